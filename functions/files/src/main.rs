//! The Lambda function `files`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    app.warm_up().await;
    shared::lambda::serve(app, files::router()).await
}
