//! The Lambda function `docs`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    shared::lambda::serve(app, docs::router()).await
}
