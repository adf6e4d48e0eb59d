//! Mail through Amazon SES. The other ways are in `tasks.rs` (a folder), and in the end-to-end suite (a mail server).

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use shared::store::tasks::NewTask;
use shared::tasks::{Status, Task};
use tests::{Mail, Stage};
use winterbaume_sesv2::SesV2Service;

use crate::aws;

#[tokio::test]
async fn ses_is_given_the_whole_mail_and_its_id_is_kept() {
    let (url, sent) = aws::serve(SesV2Service::new(), "email.us-east-1.amazonaws.com").await;
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
