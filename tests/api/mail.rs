//! Mail through Amazon SES. The other ways are in `tasks.rs` (a folder), and in the end-to-end suite (a mail server).

use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http::Response;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use shared::store::tasks::NewTask;
use shared::tasks::{Status, Task};
use tests::{Mail, Stage};
use tokio::net::TcpListener;
use winterbaume_core::{MockRequest, MockService};
use winterbaume_sesv2::SesV2Service;

/// An SES of this test's own. Answers its URL, and the bodies of what it was sent.
async fn ses() -> (String, Arc<Mutex<Vec<Value>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let ses = Arc::new(SesV2Service::new());
    let sent: Arc<Mutex<Vec<Value>>> = Arc::default();
    let seen = Arc::clone(&sent);
    tokio::spawn(async move {
        loop {
            let (connection, _) = listener.accept().await.unwrap();
            let (ses, seen) = (ses.clone(), Arc::clone(&seen));
            let service = service_fn(move |request: http::Request<Incoming>| {
                let (ses, seen) = (ses.clone(), Arc::clone(&seen));
                async move {
                    let (head, body) = request.into_parts();
                    let body = body.collect().await?.to_bytes();
                    let json = serde_json::from_slice(&body).unwrap();
                    seen.lock().unwrap().push(json);
                    let answer = ses.handle(MockRequest {
                        method: head.method.to_string(),
                        uri: format!("https://email.us-east-1.amazonaws.com{}", head.uri.path()),
                        headers: head.headers,
                        body,
                    });
                    let answer = answer.await;
                    let mut response = Response::new(Full::<Bytes>::new(answer.body));
                    *response.status_mut() = answer.status.try_into().unwrap();
                    *response.headers_mut() = answer.headers;
                    Ok::<_, hyper::Error>(response)
                }
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
        }
    });
    (url, sent)
}

#[tokio::test]
async fn ses_is_given_the_whole_mail_and_its_id_is_kept() {
    let (url, sent) = ses().await;
    let variables = [("MAIL_URL", "ses:"), ("AWS_ENDPOINT_URL_SESV2", &url)];
    let stage = Stage::with(&variables).await;
    let ada = stage.user().await;
    stage.lose_messages().await;
    let user_id = ada.id.parse().unwrap();
    let task = NewTask::new(Task::VerificationMail { user_id });
    stage.app.store.add_task(&task).await.unwrap();
    assert_eq!(stage.work().await, (1, 0));

    let stored = stage.app.store.task(task.id).await.unwrap().unwrap();
    assert_eq!(stored.status, Status::Succeeded);
    let id = stored.result.unwrap()["message_id"].clone();
    assert!(!id.as_str().unwrap().contains('@'), "{id} is not SES's");

    let sent = sent.lock().unwrap();
    let [request] = &sent[..] else {
        panic!("{sent:?}")
    };
    assert_eq!(request["FromEmailAddress"], "no-reply@localhost");
    assert_eq!(request["Destination"]["ToAddresses"][0], ada.email);
    let raw = request["Content"]["Raw"]["Data"].as_str().unwrap();
    let mail = Mail::parse(&STANDARD.decode(raw).unwrap());
    assert_eq!(mail.to, ada.email);
    assert!(mail.text.contains("/verify-email?token="), "{mail:?}");
}
