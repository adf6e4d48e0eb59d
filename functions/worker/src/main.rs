//! The Lambda function `worker`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    let worker = worker::Worker::new(app.clone())?;
    shared::lambda::consume(app, worker, worker::handle).await
}
