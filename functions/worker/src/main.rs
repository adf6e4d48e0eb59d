//! The Lambda function `worker`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    shared::lambda::consume(app, worker::handle).await
}
