//! The Lambda function `items`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    app.warm_up().await;
    shared::lambda::serve(app, items::router()).await
}
