//! Background tasks: from a change through the queue to the worker, and what people see of them.

use std::collections::BTreeSet;

use futures_util::future::join_all;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use shared::metrics::Count;
use shared::models::text::Email;
use shared::store::meter;
use shared::store::tasks::{Claim, Ending, GRACE, NewTask, StoredTask};
use shared::tasks::{Status, Task};
use tests::{Actor, MailFolder, PASSWORD, Stage};
use uuid::Uuid;

async fn task(stage: &Stage, id: Uuid) -> StoredTask {
    stage.app.store.task(id).await.unwrap().unwrap()
}

async fn status(stage: &Stage, id: Uuid) -> Status {
    task(stage, id).await.status
}

/// Writes a task that does nothing: its user is nobody.
async fn idle_task(stage: &Stage) -> Uuid {
    let user_id = Uuid::now_v7();
    let task = NewTask::new(Task::WelcomeMail { user_id });
    stage.app.store.add_task(&task).await.unwrap();
    task.id
}

async fn claim(stage: &Stage, id: Uuid) -> Box<StoredTask> {
    match stage.app.store.claim_task(id).await.unwrap() {
        Claim::Ours(task) => task,
        other => panic!("{other:?}"),
    }
}

async fn my_tasks(actor: &Actor<'_>) -> Vec<Value> {
    let page = actor.get("/api/v1/tasks").await.expect(200).json();
    page["items"].as_array().unwrap().clone()
}

#[tokio::test]
async fn a_registration_causes_two_mails_and_its_user_sees_them_done() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "first_name": "Ada"});
    stage
        .anon()
        .post("/api/v1/auth/register", account)
        .await
        .expect(201);
    let ada = stage.anon().log_in("ada@example.com", PASSWORD).await;

    let waiting = my_tasks(&ada).await;
    let kinds = waiting.iter().map(|task| task["kind"].as_str().unwrap());
    let kinds: BTreeSet<_> = kinds.collect();
    assert_eq!(kinds, ["verification_mail", "welcome_mail"].into());
    for task in &waiting {
        assert_eq!(task["status"], "pending");
        assert_eq!(task["owner_id"], ada.id);
        assert_eq!(task["attempts"], 0);
    }

    // With the one that makes them be found, which is nobody's.
    assert_eq!(stage.work().await, (3, 0));
    for task in my_tasks(&ada).await {
        assert_eq!(task["status"], "succeeded", "{task}");
        assert_eq!(task["attempts"], 1);
        assert_eq!(task["progress"], 100);
        assert_eq!(task["error"], Value::Null);
        let id = task["id"].as_str().unwrap();
        assert_eq!(task["result"]["message_id"], format!("<{id}@localhost>"));
        let mail = mails.read(id);
        assert_eq!(mail.to, "ada@example.com");
        assert!(mail.text.contains("Hello Ada,"), "{mail:?}");
        if task["kind"] == "verification_mail" {
            let start = "https://api.example.com/verify-email?token=";
            assert!(mail.text.contains(start), "{mail:?}");
            assert!(mail.html.contains(start), "{mail:?}");
        }
    }
    assert_eq!(mails.ids().len(), 2);
    let metrics = &stage.app.metrics;
    assert_eq!(metrics.total(Count::TasksQueued), 3);
    assert_eq!(metrics.total(Count::TasksStarted), 3);
    assert_eq!(metrics.total(Count::TasksSucceeded), 3);
}

#[tokio::test]
async fn a_changed_address_is_verified_and_told_to_the_old_one() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    stage.work().await;
    let before = mails.ids();
    let change = json!({"email": "new@example.com"});
    ada.patch("/api/v1/users/me", change).await.expect(200);
    assert_eq!(stage.work().await, (2, 0));

    let after = mails.ids();
    let sent: Vec<_> = after.difference(&before).map(|id| mails.read(id)).collect();
    let to = |address: &str| sent.iter().find(|mail| mail.to == address).unwrap();
    assert!(to("new@example.com").text.contains("/verify-email?token="));
    let told = to(&ada.email);
    assert!(told.text.contains("new@example.com"), "{told:?}");
    assert!(!told.text.contains("token="), "{told:?}");
}

#[tokio::test]
async fn a_link_does_not_follow_the_host_of_a_request() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let thief = stage.anon().with_header("host", "evil.example");
    let thief = thief.with_header("x-forwarded-host", "evil.example");
    let account = json!({"email": "ada@example.com", "password": PASSWORD});
    thief
        .post("/api/v1/auth/register", account)
        .await
        .expect(201);
    stage.work().await;
    for id in mails.ids() {
        let mail = mails.read(&id);
        assert!(!format!("{mail:?}").contains("evil.example"), "{mail:?}");
    }
}

#[tokio::test]
async fn a_mail_that_was_sent_is_not_sent_again() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    stage.user().await;
    stage.work().await;
    mails.clear();
    for id in stage.task_ids().await {
        let before = task(&stage, id).await.version;
        stage
            .post_message(&json!({"task_id": id}).to_string())
            .await;
        assert_eq!(stage.work().await, (1, 0));
        assert_eq!(task(&stage, id).await.version, before);
    }
    assert_eq!(mails.ids(), BTreeSet::new());
}

#[tokio::test]
async fn without_a_mail_url_the_task_says_that_nothing_was_sent() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    stage.work().await;
    for task in my_tasks(&ada).await {
        assert_eq!(task["status"], "succeeded");
        let expected = json!({"sent": false, "reason": "MAIL_URL is not set"});
        assert_eq!(task["result"], expected);
    }
}

#[tokio::test]
async fn a_link_is_kept_as_a_hash() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    stage.work().await;
    let before = mails.ids();
    let user_id = ada.id.parse().unwrap();
    let again = NewTask::new(Task::VerificationMail { user_id });
    stage.app.store.add_task(&again).await.unwrap();
    stage.work().await;
    let new: Vec<_> = mails.ids().difference(&before).cloned().collect();
    assert_eq!(new, [again.id.to_string()]);

    let token = mails.read(&new[0]).token();
    let items = stage.all_items().await;
    assert!(!items.iter().any(|item| item.contains(&token)));
    let stored = items.iter().filter(|i| i.contains("TOKEN#VERIFY_EMAIL#"));
    assert_eq!(stored.count(), 2);
    let hash = tests::token_hash(&token);
    assert!(items.iter().any(|item| item.contains(&hash)));
}

#[tokio::test]
async fn the_budget_of_a_task_is_two_round_trips_beside_its_own() {
    let mails = MailFolder::new();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    stage.work().await;
    let user_id = ada.id.parse().unwrap();
    let email = Email::parse(&ada.email).unwrap();
    let cases = [
        // The claim and the end; the user.
        (Task::WelcomeMail { user_id }, 2 + 1),
        // And the token.
        (Task::VerificationMail { user_id }, 2 + 2),
        // And who has the address.
        (Task::PasswordResetMail { email }, 2 + 3),
    ];
    for (task, expected) in cases {
        let new = NewTask::new(task.clone());
        stage.app.store.add_task(&new).await.unwrap();
        let usage = std::sync::Arc::default();
        let worked = meter::metered(std::sync::Arc::clone(&usage), stage.work()).await;
        assert_eq!(worked, (1, 0));
        assert_eq!(usage.round_trips(), expected, "{task:?}");
    }
}

#[tokio::test]
async fn a_failure_that_may_pass_is_retried_after_2_4_and_8_seconds_and_then_given_up() {
    // A file stands where the folder for mails should be.
    let mails = MailFolder::new();
    std::fs::write(mails.path(), "").unwrap();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    let user_id = ada.id.parse().unwrap();
    stage.lose_messages().await;
    let new = NewTask::new(Task::WelcomeMail { user_id }).owned_by(user_id);
    stage.app.store.add_task(&new).await.unwrap();
    let id = new.id;

    for (attempt, wait) in [(1, 2), (2, 4), (3, 8)] {
        let now = stage.app.clock.seconds();
        assert_eq!(stage.work().await, (0, 1));
        let stored = task(&stage, id).await;
        assert_eq!(stored.status, Status::Pending);
        assert_eq!(stored.attempts, attempt);
        let waits = stored.not_before.unwrap() - now;
        assert!((wait..=wait + 1).contains(&waits), "{waits} and not {wait}");
        // Its message is hidden, and a copy that comes too early changes nothing.
        let early = stage.app.store.claim_task(id).await.unwrap();
        assert!(matches!(early, Claim::Later(1..)), "{early:?}");
        assert_eq!(task(&stage, id).await.version, stored.version);
        stage.later(wait + 1).await;
    }
    // The last attempt. Its message finds the task given up, and is passed to the dead letters.
    assert_eq!(stage.work().await.0, 0);
    let stored = task(&stage, id).await;
    assert_eq!((stored.status, stored.attempts), (Status::Failed, 4));
    assert_eq!(stage.dead_letters().await, 1);
    assert_eq!(stage.app.metrics.total(Count::TasksRetried), 3);
    assert_eq!(stage.app.metrics.total(Count::TasksFailed), 1);
    // The sweep leaves it alone.
    stage.later(3_600).await;
    stage.sweep().await;
    assert_eq!(task(&stage, id).await.version, stored.version);

    // Its owner sees that it failed, and not what the house looks like inside.
    let ada = stage.anon().log_in(&ada.email, PASSWORD).await;
    let path = format!("/api/v1/tasks/{id}");
    let seen = ada.get(&path).await.expect(200).json();
    assert_eq!(seen["status"], "failed");
    assert_eq!(seen["error"]["code"], "internal");
    assert_eq!(seen["error"].get("cause"), None);

    // An administrator sees why, mends it, and has it done.
    let admin = stage.admin().await;
    let failed = admin.get("/api/v1/tasks/failed").await.expect(200).json();
    assert_eq!(failed["total"], 1);
    assert_eq!(failed["items"][0]["id"], id.to_string());
    let cause = failed["items"][0]["error"]["cause"].as_str().unwrap();
    assert!(cause.contains("folder for mails"), "{cause}");
    std::fs::remove_file(mails.path()).unwrap();
    let retried = admin.post(&format!("{path}/retry"), json!({})).await;
    let retried = retried.expect(200).json();
    assert_eq!(retried["status"], "pending");
    assert_eq!(retried["attempts"], 0);
    let failed = admin.get("/api/v1/tasks/failed").await.expect(200).json();
    assert_eq!(failed["total"], 0);
    stage.work().await;
    assert_eq!(status(&stage, id).await, Status::Succeeded);
    assert_eq!(mails.read(&id.to_string()).to, ada.email);
}

#[tokio::test]
async fn a_failure_that_cannot_pass_is_given_up_at_once() {
    // A mail server that wants nothing from us.
    let server = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("smtp://{}", server.local_addr().unwrap());
    std::thread::spawn(move || {
        use std::io::Write;
        let (mut client, _) = server.accept().unwrap();
        let _ = client.write_all(b"554 not with ada@example.com\r\n");
    });
    let stage = Stage::with(&[("MAIL_URL", &url)]).await;
    let ada = stage.user().await;
    let user_id = ada.id.parse().unwrap();
    stage.lose_messages().await;
    let new = NewTask::new(Task::WelcomeMail { user_id });
    stage.app.store.add_task(&new).await.unwrap();

    assert_eq!(stage.work().await.0, 0);
    let stored = task(&stage, new.id).await;
    assert_eq!((stored.status, stored.attempts), (Status::Failed, 1));
    let error = stored.error.unwrap();
    assert_eq!(error.code, "refused");
    assert!(error.cause.contains("554"), "{error:?}");
    assert!(!error.cause.contains("ada@"), "{error:?}");
    assert_eq!(stage.dead_letters().await, 1);
}

#[tokio::test]
async fn a_task_whose_worker_dies_each_time_is_given_up() {
    let stage = Stage::new().await;
    let id = idle_task(&stage).await;
    stage.lose_messages().await;
    for attempt in 1..=4 {
        assert_eq!(claim(&stage, id).await.attempts, attempt);
        stage.later(60).await;
    }
    assert_eq!(stage.sweep().await.0, 1);
    let stored = task(&stage, id).await;
    assert_eq!(stored.status, Status::Failed);
    let error = stored.error.unwrap();
    assert_eq!(error.code, "refused");
    assert!(error.cause.contains("died"), "{error:?}");
}

#[tokio::test]
async fn a_poison_message_among_ten_good_ones_fails_alone() {
    let stage = Stage::new().await;
    let mut ids = Vec::new();
    for n in 0..10 {
        if n == 5 {
            stage.post_message("nonsense").await;
        }
        ids.push(idle_task(&stage).await);
    }
    let (succeeded, failed) = stage.work().await;
    assert_eq!(succeeded, 10);
    // It comes back at once, until the queue moves it.
    assert_eq!(failed, 8);
    assert_eq!(stage.dead_letters().await, 1);
    for id in ids {
        assert_eq!(status(&stage, id).await, Status::Succeeded);
    }
}

#[tokio::test]
async fn a_task_of_a_kind_that_nobody_knows_fails_alone() {
    let stage = Stage::new().await;
    let [strange, known] = [idle_task(&stage).await, idle_task(&stage).await];
    stage
        .set_attribute(strange, "kind", "from_the_future")
        .await;
    assert_eq!(stage.work().await, (1, 1));
    assert_eq!(status(&stage, known).await, Status::Succeeded);
    // A newer worker may be on its way.
    let stored = task(&stage, strange).await;
    assert_eq!(stored.status, Status::Pending);
    let cause = stored.error.unwrap().cause;
    assert!(cause.contains("from_the_future"), "{cause}");
}

#[tokio::test]
async fn of_many_who_claim_a_task_at_once_one_gets_it() {
    let stage = Stage::new().await;
    let id = idle_task(&stage).await;
    let claims = join_all((0..20).map(|_| stage.app.store.claim_task(id))).await;
    let ours = claims
        .iter()
        .filter(|claim| matches!(claim.as_ref().unwrap(), Claim::Ours(_)));
    assert_eq!(ours.count(), 1);
    // Its message finds it held, and looks again when the lease is over.
    assert_eq!(stage.work().await, (0, 1));
    assert_eq!(status(&stage, id).await, Status::Running);
    assert_eq!(task(&stage, id).await.attempts, 1);
}

#[tokio::test]
async fn a_lease_that_is_over_may_be_taken_over_and_its_former_holder_is_not_heard() {
    let stage = Stage::new().await;
    let id = idle_task(&stage).await;
    let first = claim(&stage, id).await;
    stage.later(59).await;
    let early = stage.app.store.claim_task(id).await.unwrap();
    assert!(matches!(early, Claim::Later(1..=2)), "{early:?}");
    stage.later(1).await;
    let second = claim(&stage, id).await;
    assert_eq!(second.attempts, 2);

    let store = &stage.app.store;
    let done = |n: u8| Ending::Succeeded(json!({"by": n}));
    assert!(!store.note_progress(&first, 50).await.unwrap());
    assert!(!store.end_task(&first, &done(1)).await.unwrap());
    assert!(store.end_task(&second, &done(2)).await.unwrap());
    assert_eq!(task(&stage, id).await.result, Some(json!({"by": 2})));
}

#[tokio::test]
async fn progress_and_result_can_be_followed() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    stage.work().await;
    let user_id = ada.id.parse().unwrap();
    let new = NewTask::new(Task::WelcomeMail { user_id }).owned_by(user_id);
    stage.app.store.add_task(&new).await.unwrap();
    let path = format!("/api/v1/tasks/{}", new.id);
    let claimed = claim(&stage, new.id).await;
    let store = &stage.app.store;

    assert!(store.note_progress(&claimed, 40).await.unwrap());
    let seen = ada.get(&path).await.expect(200).expect_round_trips(2);
    assert_eq!(seen.json()["status"], "running");
    assert_eq!(seen.json()["progress"], 40);
    // Who asks again with the tag is told in a few bytes that nothing has changed.
    let polling = ada
        .clone()
        .with_header("if-none-match", seen.header("etag"));
    assert_eq!(polling.get(&path).await.expect(304).body, b"");
    let done = Ending::Succeeded(json!({"rows": 7}));
    assert!(store.end_task(&claimed, &done).await.unwrap());
    let seen = polling.get(&path).await.expect(200).json();
    assert_eq!(seen["progress"], 100);
    assert_eq!(seen["result"]["rows"], 7);
    assert!(seen["finished_at"].is_string());
}

#[tokio::test]
async fn the_sweep_sends_again_what_was_lost_and_nothing_else() {
    let stage = Stage::new().await;
    let lost = idle_task(&stage).await;
    assert_eq!(stage.lose_messages().await, 1);
    // What was sent a moment ago has its message on the way still.
    stage.later(GRACE - 1).await;
    assert_eq!(stage.sweep().await, (1, 0));
    assert_eq!(status(&stage, lost).await, Status::Pending);
    stage.later(1).await;
    let waiting = idle_task(&stage).await;
    stage.lose_messages().await;
    stage.post_message("{\"schedule\":\"sweep\"}").await;
    // The sweep and what it sends.
    assert_eq!(stage.work().await, (2, 0));
    assert_eq!(status(&stage, lost).await, Status::Succeeded);
    assert_eq!(status(&stage, waiting).await, Status::Pending);
    assert_eq!(stage.app.metrics.total(Count::TasksResent), 1);
    let told = stage.app.metrics.document("test", Timestamp::UNIX_EPOCH);
    let age = told.unwrap()["OldestTaskAge"].as_u64().unwrap();
    // The stage's clock is up to a minute ahead of the ids.
    assert!((45..=107).contains(&age), "{age}");

    // What is finished is not sent again.
    stage.later(3_600).await;
    assert_eq!(stage.sweep().await, (2, 0));
    assert_eq!(stage.sweep().await, (1, 0));
    assert_eq!(stage.app.metrics.total(Count::TasksResent), 2);
}

#[tokio::test]
async fn the_age_of_the_oldest_task_is_told_though_there_is_no_room_in_the_queue() {
    let stage = Stage::new().await;
    for _ in 0..8 {
        idle_task(&stage).await;
    }
    stage.later(1_000).await;
    let room = std::time::Duration::from_secs(30);
    let swept = stage.app.store.resend_due_tasks(0, room).await.unwrap();
    assert_eq!(swept.sent, 0);
    assert!((1_000..=1_065).contains(&swept.oldest), "{swept:?}");
}

#[tokio::test]
async fn a_message_stays_away_for_as_long_as_its_task_waits() {
    // A file stands where the folder for mails should be.
    let mails = MailFolder::new();
    std::fs::write(mails.path(), "").unwrap();
    let stage = Stage::with(&[("MAIL_URL", &mails.url())]).await;
    stage.user().await;
    // The third needs no folder.
    assert_eq!(stage.work().await, (1, 2));
    std::fs::remove_file(mails.path()).unwrap();
    // No clock is set ahead here: the queue shows them after two seconds, and not after its visibility time-out.
    assert_eq!(stage.work().await, (0, 0));
    while mails.ids().len() < 2 {
        stage.work_waiting(20).await;
    }
}

#[tokio::test]
async fn the_sweep_pages_through_what_is_due_and_reads_nothing_else() {
    let stage = Stage::new().await;
    // A page of each of the four partitions.
    assert_eq!(usage_of_sweep(&stage).await, 4);
    // No more at once than can be announced in a second.
    for _ in 0..15 {
        join_all((0..30).map(|_| idle_task(&stage))).await;
    }
    // Nothing of it is due yet.
    assert_eq!(usage_of_sweep(&stage).await, 4);
    assert_eq!(stage.lose_messages().await, 450);
    stage.later(60).await;
    let room = std::time::Duration::from_secs(30);
    let store = &stage.app.store;
    assert_eq!(store.resend_due_tasks(25, room).await.unwrap().sent, 25);
    assert_eq!(store.resend_due_tasks(0, room).await.unwrap().sent, 0);
    assert_eq!(store.resend_due_tasks(9_999, room).await.unwrap().sent, 425);
    assert_eq!(store.resend_due_tasks(9_999, room).await.unwrap().sent, 0);
    assert_eq!(stage.work().await, (450, 0));
}

async fn usage_of_sweep(stage: &Stage) -> u32 {
    let usage = std::sync::Arc::default();
    let room = std::time::Duration::from_secs(30);
    let sweep = stage.app.store.resend_due_tasks(9_999, room);
    let swept = meter::metered(std::sync::Arc::clone(&usage), sweep).await;
    assert_eq!(swept.unwrap().sent, 0);
    usage.round_trips()
}

#[tokio::test]
async fn a_task_for_later_waits() {
    let stage = Stage::new().await;
    let in_a_while = |seconds| stage.app.clock.now() + SignedDuration::from_secs(seconds);
    let add = async |seconds| {
        let user_id = Uuid::now_v7();
        let task = NewTask::new(Task::WelcomeMail { user_id }).not_before(in_a_while(seconds));
        stage.app.store.add_task(&task).await.unwrap();
        task.id
    };
    // The queue holds back what it can.
    let soon = add(300).await;
    assert_eq!(stage.delayed_messages().await, 1);
    let tomorrow = add(24 * 3_600).await;
    assert_eq!(stage.delayed_messages().await, 1);
    assert_eq!(stage.work().await, (0, 0));
    // A message that comes early is sent away.
    stage
        .post_message(&json!({"task_id": soon}).to_string())
        .await;
    assert_eq!(stage.work().await, (0, 1));
    assert_eq!(status(&stage, soon).await, Status::Pending);
    stage.later(301).await;
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(status(&stage, soon).await, Status::Succeeded);

    // The sweep sends the other one as soon as the queue can hold it back.
    stage.later(22 * 3_600).await;
    assert_eq!(stage.sweep().await, (1, 0));
    stage.later(2 * 3_600 - 301 - 850).await;
    assert_eq!(stage.sweep().await, (1, 0));
    assert_eq!(stage.delayed_messages().await, 2);
    assert_eq!(status(&stage, tomorrow).await, Status::Pending);
    // Its message may be lost too.
    stage.later(850 + 61).await;
    assert_eq!(stage.sweep().await, (2, 0));
    assert_eq!(status(&stage, tomorrow).await, Status::Succeeded);
}

#[tokio::test]
async fn a_list_has_pages() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let user_id: Uuid = ada.id.parse().unwrap();
    stage.work().await;
    for _ in 0..43 {
        let task = NewTask::new(Task::WelcomeMail { user_id }).owned_by(user_id);
        stage.app.store.add_task(&task).await.unwrap();
    }
    // The caller, the index, the tasks.
    let first = ada.get("/api/v1/tasks?limit=10").await.expect(200);
    let first = first.expect_round_trips(3).json();
    assert_eq!(first["total"], 45);
    assert_eq!(first["total_relation"], "eq");
    assert_eq!((&first["page"], &first["size"]), (&json!(1), &json!(10)));
    assert_eq!(first["pages"], 5);

    let mut ids = Vec::new();
    let mut page = first;
    loop {
        let items = page["items"].as_array().unwrap();
        ids.extend(items.iter().map(|i| i["id"].as_str().unwrap().to_owned()));
        let Some(cursor) = page["next_cursor"].as_str() else {
            break;
        };
        let path = format!("/api/v1/tasks?limit=10&cursor={cursor}");
        page = ada
            .get(&path)
            .await
            .expect(200)
            .expect_round_trips(4)
            .json();
        assert_eq!(page["total"], 45);
        assert_eq!(page["page"], Value::Null);
    }
    assert_eq!(ids.len(), 45);
    let mut newest_first = ids.clone();
    newest_first.sort_by(|a, b| b.cmp(a));
    assert_eq!(ids, newest_first);
    newest_first.dedup();
    assert_eq!(newest_first.len(), 45);

    let skipped = ada.get("/api/v1/tasks?skip=40&limit=10").await.expect(200);
    let skipped = skipped.json();
    assert_eq!(skipped["items"].as_array().unwrap().len(), 5);
    assert_eq!(skipped["items"][0]["id"], ids[40]);
    assert_eq!(skipped["page"], 5);
    assert_eq!(skipped["next_cursor"], Value::Null);
    let beyond = ada.get("/api/v1/tasks?skip=10000").await.expect(200).json();
    assert_eq!(beyond["items"], json!([]));
    assert_eq!(beyond["total"], 45);

    // Mistakes.
    ada.get("/api/v1/tasks?skip=10001")
        .await
        .expect_problem(400, "skip_too_deep");
    for cursor in ["nonsense", "W10", "WyIiLCIiLCIiXQ", "%00"] {
        ada.get(&format!("/api/v1/tasks?cursor={cursor}"))
            .await
            .expect_problem(400, "invalid_cursor");
    }
    let wrong = ada.get("/api/v1/tasks?limit=101&skip=-1").await;
    let wrong = wrong.expect_problem(422, "validation_failed");
    let expected = ["limit", "skip"].map(|field| (field.to_owned(), "out_of_range".to_owned()));
    assert_eq!(wrong.wrong_fields(), expected);

    // A cursor of hers shows somebody else their own tasks only.
    let page = ada.get("/api/v1/tasks?limit=10").await.expect(200).json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let eve = stage.user().await;
    let path = format!("/api/v1/tasks?cursor={cursor}");
    let seen = eve.get(&path).await.expect(200).json();
    for task in seen["items"].as_array().unwrap() {
        assert_eq!(task["owner_id"], eve.id);
    }
    // Nor is it one of another list.
    let admin = stage.admin().await;
    admin
        .get(&format!("/api/v1/tasks/failed?cursor={cursor}"))
        .await
        .expect_problem(400, "invalid_cursor");
}

#[tokio::test]
async fn a_task_is_its_owners_and_the_administrators() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let eve = stage.user().await;
    let admin = stage.admin().await;
    let id = my_tasks(&ada).await[0]["id"].as_str().unwrap().to_owned();
    let path = format!("/api/v1/tasks/{id}");

    ada.get(&path).await.expect(200);
    admin.get(&path).await.expect(200);
    let hidden = eve.get(&path).await.expect_problem(404, "not_found");
    let missing = format!("/api/v1/tasks/{}", Uuid::now_v7());
    let missing = eve.get(&missing).await.expect_problem(404, "not_found");
    assert_eq!(hidden.text("detail"), missing.text("detail"));
    ada.get("/api/v1/tasks/no-uuid")
        .await
        .expect_problem(404, "not_found");
    stage
        .anon()
        .get(&path)
        .await
        .expect_problem(401, "token_missing");

    for actor in [&ada, &eve] {
        for (method, path) in [
            ("GET", "/api/v1/tasks/failed".to_owned()),
            ("POST", format!("{path}/retry")),
            ("POST", format!("{path}/cancel")),
        ] {
            let answer = actor.send(method, &path, None, b"").await;
            let answer = answer.expect_problem(403, "insufficient_scope");
            let challenge = answer.header("www-authenticate");
            assert!(challenge.contains("scope=\"admin:all\""), "{challenge}");
        }
    }
}

#[tokio::test]
async fn an_administrator_cancels_and_retries() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    stage.lose_messages().await;
    let id = idle_task(&stage).await;
    let retry = format!("/api/v1/tasks/{id}/retry");
    let cancel = format!("/api/v1/tasks/{id}/cancel");
    let refused = |answer: tests::Answer| answer.expect_problem(409, "illegal_transition");

    refused(admin.post(&retry, json!({})).await);
    let cancelled = admin.post(&cancel, json!({})).await.expect(200);
    // The caller, the task, the change with its audit entry.
    let cancelled = cancelled.expect_round_trips(3).json();
    assert_eq!(cancelled["status"], "cancelled");
    refused(admin.post(&cancel, json!({})).await);
    // Its message finds it cancelled.
    assert_eq!(stage.work().await, (1, 0));
    assert_eq!(status(&stage, id).await, Status::Cancelled);

    admin.post(&retry, json!({})).await.expect(200);
    // What runs is not stopped, until its worker has had the time.
    claim(&stage, id).await;
    refused(admin.post(&cancel, json!({})).await);
    refused(admin.post(&retry, json!({})).await);
    stage.later(61).await;
    admin.post(&cancel, json!({})).await.expect(200);
    admin.post(&retry, json!({})).await.expect(200);
    stage.work().await;
    assert_eq!(status(&stage, id).await, Status::Succeeded);
    refused(admin.post(&cancel, json!({})).await);
    refused(admin.post(&retry, json!({})).await);
    let missing = format!("/api/v1/tasks/{}/retry", Uuid::now_v7());
    admin
        .post(&missing, json!({}))
        .await
        .expect_problem(404, "not_found");

    let trail = stage.all_items().await;
    let noted = |action: &str| trail.iter().filter(|item| item.contains(action)).count();
    assert_eq!((noted("task.cancelled"), noted("task.retried")), (2, 2));
}

#[tokio::test]
async fn of_many_who_retry_a_task_at_once_one_does() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    stage.lose_messages().await;
    let id = idle_task(&stage).await;
    stage.lose_messages().await;
    let path = format!("/api/v1/tasks/{id}");
    admin
        .post(&format!("{path}/cancel"), json!({}))
        .await
        .expect(200);
    let retry = format!("{path}/retry");
    let answers = join_all((0..10).map(|_| admin.post(&retry, json!({})))).await;
    let done = answers.iter().filter(|answer| answer.status == 200).count();
    let lost = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((done, lost), (1, 9));
    assert_eq!(stage.work().await, (1, 0));
}
