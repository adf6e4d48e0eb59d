//! Faults between an instance and AWS: its process dies, or an answer is lost, around any call that it makes.
//!
//! A connector below the SDK decides for each call what happens to it, by a schedule that comes from a seed or names the
//! call. A process that dies makes no further call, and whatever it was doing is dropped: [`Faults::survive`] ends with
//! `None` then. Calls go out one at a time, so that each is made wholly or not at all.

use std::future::{Future, pending};
use std::sync::{Arc, Mutex};

use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient,
    SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::result::ConnectorError;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;
use aws_smithy_types::retry::RetryConfig;
use shared::App;
use tokio::sync::{Mutex as Turn, watch};

/// What happens to one call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    None,
    /// The process dies, and the call is never made.
    DiesBefore,
    /// The call is made, and the process dies before it has the answer.
    DiesAfter,
    /// The call is made, and its answer is lost.
    AnswerLost,
    /// Nobody takes the call.
    Unreachable,
}

/// When which fault happens.
#[derive(Clone, Debug)]
pub enum Schedule {
    /// So many of a hundred calls have a fault, drawn from the seed.
    Random { seed: u64, percent: u8 },
    /// The call of this number, from 0, has it.
    Call(usize, Fault),
    /// Every call to a service has it, as long as the switch is on.
    Service(&'static str, Fault, watch::Receiver<bool>),
    /// None has, but one waits at a gate.
    Gate(Gate),
}

/// Where the first call of an operation waits whose request holds a text.
#[derive(Clone, Debug)]
pub struct Gate {
    operation: &'static str,
    text: &'static str,
    reached: watch::Sender<bool>,
    open: watch::Sender<bool>,
}

impl Gate {
    pub fn new(operation: &'static str, text: &'static str) -> Self {
        Self {
            operation,
            text,
            reached: watch::Sender::new(false),
            open: watch::Sender::new(false),
        }
    }

    /// Waits until the call is there.
    pub async fn reached(&self) {
        let mut reached = self.reached.subscribe();
        let _ = reached.wait_for(|reached| *reached).await;
    }

    pub fn open(&self) {
        self.open.send_replace(true);
    }

    async fn pass(&self, operation: &str, body: &[u8]) {
        let text = self.text.as_bytes();
        let is_its = operation.ends_with(self.operation)
            && body.windows(text.len()).any(|part| part == text);
        if is_its && !self.reached.send_replace(true) {
            let mut open = self.open.subscribe();
            let _ = open.wait_for(|open| *open).await;
        }
    }
}

#[derive(Clone, Debug)]
pub struct Faults(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    schedule: Schedule,
    random: Mutex<fastrand::Rng>,
    /// Each call so far, with what happened to it.
    calls: Mutex<Vec<(String, Fault)>>,
    dead: watch::Sender<bool>,
    turn: Turn<()>,
}

impl Schedule {
    pub const NONE: Self = Self::Random {
        seed: 0,
        percent: 0,
    };
}

impl Faults {
    pub fn new(schedule: Schedule) -> Self {
        let seed = match schedule {
            Schedule::Random { seed, .. } => seed,
            _ => 0,
        };
        Self(Arc::new(Inner {
            schedule,
            random: Mutex::new(fastrand::Rng::with_seed(seed)),
            calls: Mutex::default(),
            dead: watch::Sender::new(false),
            turn: Turn::default(),
        }))
    }

    /// Another instance like `app`, on the same tables and with the same clock, that has these faults.
    pub fn instance(&self, app: &App) -> App {
        let inner = app.sdk.http_client().expect("there is a client");
        let faulty = SharedHttpClient::new(FaultyClient {
            inner,
            faults: self.clone(),
        });
        let mut sdk = app.sdk.to_builder().http_client(faulty);
        if let Schedule::Random { .. } = self.0.schedule {
            // The client would try again after a random time, and the order of calls would not come again.
            sdk.set_retry_config(Some(RetryConfig::disabled()));
        }
        let sdk = sdk.build();
        App::with_sdk(app.config.clone(), sdk, app.clock.clone())
    }

    /// Runs `work` to its end, or until the process dies.
    pub async fn survive<F: Future>(&self, work: F) -> Option<F::Output> {
        let mut dead = self.0.dead.subscribe();
        tokio::select! {
            biased;
            _ = dead.wait_for(|dead| *dead) => None,
            done = work => Some(done),
        }
    }

    /// Takes the calls so far, by service and operation, each with what happened to it.
    pub fn take_calls(&self) -> Vec<(String, Fault)> {
        std::mem::take(&mut *self.0.calls.lock().unwrap())
    }

    pub(crate) fn next(&self, operation: String) -> Fault {
        let mut calls = self.0.calls.lock().unwrap();
        let fault = match &self.0.schedule {
            Schedule::Random { percent, .. } => {
                let random = &mut *self.0.random.lock().unwrap();
                match random.u8(0..100) < *percent {
                    false => Fault::None,
                    true => random
                        .choice([
                            Fault::DiesBefore,
                            Fault::DiesAfter,
                            Fault::AnswerLost,
                            Fault::Unreachable,
                        ])
                        .unwrap(),
                }
            }
            Schedule::Call(number, fault) if *number == calls.len() => *fault,
            Schedule::Service(service, fault, on)
                if operation.starts_with(service) && *on.borrow() =>
            {
                *fault
            }
            Schedule::Call(..) | Schedule::Service(..) | Schedule::Gate(_) => Fault::None,
        };
        calls.push((operation, fault));
        fault
    }

    pub(crate) async fn die(&self) -> ! {
        self.0.dead.send_replace(true);
        pending().await
    }
}

#[derive(Debug)]
struct FaultyClient {
    inner: SharedHttpClient,
    faults: Faults,
}

impl HttpClient for FaultyClient {
    fn http_connector(
        &self,
        settings: &HttpConnectorSettings,
        components: &RuntimeComponents,
    ) -> SharedHttpConnector {
        SharedHttpConnector::new(FaultyConnector {
            inner: self.inner.http_connector(settings, components),
            faults: self.faults.clone(),
        })
    }
}

#[derive(Debug)]
struct FaultyConnector {
    inner: SharedHttpConnector,
    faults: Faults,
}

impl HttpConnector for FaultyConnector {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let (inner, faults) = (self.inner.clone(), self.faults.clone());
        HttpConnectorFuture::new(async move {
            let _turn = faults.0.turn.lock().await;
            // `DynamoDB_20120810.UpdateItem`, `AmazonSQS.SendMessageBatch`
            let target = match request.headers().get("x-amz-target") {
                Some(target) => target.to_owned(),
                None => format!("S3.{}", request.method()),
            };
            if let Schedule::Gate(gate) = &faults.0.schedule {
                let body = request.body().bytes().unwrap_or_default();
                gate.pass(&target, body).await;
            }
            let fault = faults.next(target);
            let lost = || ConnectorError::io("the connection broke".into());
            match fault {
                Fault::None => inner.call(request).await,
                Fault::DiesBefore => faults.die().await,
                Fault::Unreachable => Err(lost()),
                Fault::DiesAfter => {
                    let _ = whole(inner.call(request).await).await;
                    faults.die().await
                }
                Fault::AnswerLost => {
                    let _ = whole(inner.call(request).await).await;
                    Err(lost())
                }
            }
        })
    }
}

/// Reads an answer to its end, so that what it answers has been done.
async fn whole(
    answer: Result<aws_smithy_runtime_api::client::orchestrator::HttpResponse, ConnectorError>,
) {
    use http_body_util::BodyExt;
    if let Ok(answer) = answer {
        let _ = answer.into_body().collect().await;
    }
}
