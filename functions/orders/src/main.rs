//! The Lambda function `orders`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    app.warm_up().await;
    shared::lambda::serve(app, orders::router()).await
}
