//! The start of a function, and the Lambda runtime's loop.

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use futures_util::future::join;
use lambda_runtime::LambdaEvent;
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
    flush_at_end(&app).await;
    lambda_http::run(service(app, routes)).await
}

/// A function's routes as an instance serves them: what was counted before is told while the next request is answered, so
/// that nobody waits for it. (Lambda lets an instance do nothing between two requests.)
pub fn service(app: App, routes: OpenApiRouter<App>) -> Router {
    let counting = app.clone();
    let flush = async move |State(app): State<App>, request: Request, next: Next| {
        let (response, ()) = join(next.run(request), app.flush_metrics()).await;
        response
    };
    crate::http::wrap(app, routes).layer(middleware::from_fn_with_state(counting, flush))
}

/// Gives events that are not HTTP, as batches from a queue, to `handle` until Lambda ends the instance. `state` is what
/// the handler needs beside the event.
pub async fn consume<S, E, A, F>(
    app: App,
    state: S,
    handle: impl Fn(S, E) -> F,
) -> Result<(), StartError>
where
    S: Clone,
    E: DeserializeOwned,
    A: Serialize,
    F: Future<Output = A>,
{
    flush_at_end(&app).await;
    let service = lambda_runtime::service_fn(|event: LambdaEvent<E>| {
        // Boxed, because the compiler gives up on a future as deep as the worker's.
        let handled = Box::pin(handle(state.clone(), event.payload));
        let app = app.clone();
        async move {
            let answer = handled.await;
            app.flush_metrics().await;
            Ok::<_, StartError>(answer)
        }
    });
    lambda_runtime::run(service).await
}

/// Tells what was counted last when Lambda ends the instance. It says so only to instances that have an extension; the
/// runtime registers one that does nothing.
async fn flush_at_end(app: &App) {
    let app = app.clone();
    let flush = || async move { app.flush_last_metrics().await };
    lambda_runtime::spawn_graceful_shutdown_handler(flush).await;
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
