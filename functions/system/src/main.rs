//! The Lambda function `system`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    shared::lambda::serve(app, system::router()).await
}
