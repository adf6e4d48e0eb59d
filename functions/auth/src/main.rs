//! The Lambda function `auth`.

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), shared::lambda::StartError> {
    let app = shared::lambda::start()?;
    auth::secret::unlock(&app).await?;
    shared::lambda::serve(app, auth::router()).await
}
