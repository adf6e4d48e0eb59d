//! The start of a function, and the Lambda runtime's loop.

use lambda_http::lambda_runtime::{self, LambdaEvent};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use utoipa_axum::router::OpenApiRouter;

use crate::{App, Config};

/// Why a function could not start; Lambda logs it and tries again.
pub type StartError = lambda_http::Error;

/// Reads the configuration and makes the application. Opens no connection yet; see [`App::warm_up`].
pub fn start() -> Result<App, StartError> {
    let config = Config::from_env()?;
    init_logs(config.log_level);
    Ok(App::new(config)?)
}

/// Serves a function's routes until Lambda ends the instance.
pub async fn serve(app: App, routes: OpenApiRouter<App>) -> Result<(), StartError> {
    lambda_http::run(crate::http::wrap(app, routes)).await
}

/// Gives events that are not HTTP, as batches from a queue, to `handle` until Lambda ends the instance.
pub async fn consume<E, A, F>(app: App, handle: impl Fn(App, E) -> F) -> Result<(), StartError>
where
    E: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    let service = lambda_runtime::service_fn(|event: LambdaEvent<E>| {
        // Boxed, because the compiler gives up on a future as deep as the worker's.
        let handled = Box::pin(handle(app.clone(), event.payload));
        async { Ok::<_, StartError>(handled.await) }
    });
    lambda_runtime::run(service).await
}

/// Crates whose spans and events would cost time on each request and tell nobody anything.
const QUIET: [&str; 6] = ["aws_", "h2", "hyper", "lambda_", "rustls", "tower"];

/// Logs as JSON, one line an event, to standard output. Panics are logged the same way.
fn init_logs(level: LevelFilter) {
    let quiet = QUIET.map(|crate_name| (crate_name, level.min(LevelFilter::WARN)));
    let filter = Targets::new().with_default(level).with_targets(quiet);
    let lines = tracing_subscriber::fmt::layer()
        .json()
        .flatten_event(true)
        .with_current_span(false)
        .with_span_list(false)
        .with_target(false)
        .without_time();
    tracing_subscriber::registry()
        .with(lines)
        .with(filter)
        .init();
    std::panic::set_hook(Box::new(|panic| {
        let place = panic.location().map(ToString::to_string);
        tracing::error!(place, "panic: {}", panic.payload_as_str().unwrap_or("?"));
    }));
}
