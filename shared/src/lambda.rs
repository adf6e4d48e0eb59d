//! The start of a function: configuration, logs, clients, and the Lambda runtime's loop.

use lambda_http::aws_lambda_events::sqs::{SqsBatchResponse, SqsEvent};
use lambda_http::lambda_runtime::{self, LambdaEvent};
use tracing_subscriber::filter::LevelFilter;
use utoipa_axum::router::OpenApiRouter;

use crate::{App, Config};

/// Why a function could not start; Lambda logs it and tries again.
pub type StartError = lambda_http::Error;

/// Reads the configuration and makes the application, with the first connection to DynamoDB open: an instance
/// has more processor while it starts than a small function has afterwards.
pub async fn start() -> Result<App, StartError> {
    let config = Config::from_env()?;
    init_logs(config.log_level);
    let app = App::new(config)?;
    if let Err(error) = app.keyring.fetch(&app.store).await {
        // The first request will try again; a function that answers with 503 is better than none.
        tracing::error!(%error, "cannot read the published keys");
    }
    Ok(app)
}

/// Serves a function's routes until Lambda ends the instance.
pub async fn serve(app: App, routes: OpenApiRouter<App>) -> Result<(), StartError> {
    lambda_http::run(crate::http::wrap(app, routes)).await
}

/// Gives batches from a queue to `handle` until Lambda ends the instance.
pub async fn consume<F: Future<Output = SqsBatchResponse>>(
    app: App,
    handle: impl Fn(App, SqsEvent) -> F,
) -> Result<(), StartError> {
    let service = lambda_runtime::service_fn(|event: LambdaEvent<SqsEvent>| {
        let handled = handle(app.clone(), event.payload);
        async { Ok::<_, StartError>(handled.await) }
    });
    lambda_runtime::run(service).await
}

/// Logs as JSON, one line an event, to standard output. Panics are logged the same way.
fn init_logs(level: LevelFilter) {
    tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time()
        .with_max_level(level)
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
}
