//! Nothing is lost: processes die and answers get lost around any call to AWS, and still all that was promised happens.
//!
//! What is promised: a change and its tasks are written together or not at all; each task's effect is there exactly
//! once, or the task is listed as failed; two lease times after the last fault nothing is open any more. The effect is
//! a mail in a folder, named after its task, whose link is the one that the vault knows; or that a search finds exactly
//! what it should.

use std::collections::{BTreeMap, BTreeSet};

use futures_util::StreamExt;
use lambda_http::aws_lambda_events::sqs::{SqsEvent, SqsMessage};
use shared::metrics::Count;
use shared::models::audit::AuditEntry;
use shared::models::page::{From, Slice};
use shared::models::text::Email;
use shared::models::{User, search};
use shared::store::tasks::{Claim, Ending, LEASE, NewTask, StoredTask, TaskError};
use shared::tasks::{Status, Task};
use shared::{App, ids};
use tests::faults::{Fault, Faults, Schedule};
use tests::{MailFolder, Stage, token_hash};
use tokio::sync::watch;
use uuid::Uuid;
use worker::Worker;

const SWEEP: &str = "{\"schedule\":\"sweep\"}";

/// A bundle whose instances have faults.
struct World {
    stage: Stage,
    mails: MailFolder,
    /// Who was tried to be registered.
    users: Vec<User>,
    /// Each call of each instance, with what happened to it.
    calls: Vec<(String, Fault)>,
}

impl World {
    async fn new() -> Self {
        let mails = MailFolder::new();
        Self {
            stage: Stage::with(&[("MAIL_URL", &mails.url())]).await,
            mails,
            users: Vec::new(),
            calls: Vec::new(),
        }
    }

    /// How many calls had a fault.
    fn faults(&self) -> usize {
        let faults = self.calls.iter().filter(|(_, fault)| *fault != Fault::None);
        faults.count()
    }

    /// Registers somebody, by the transaction that the route makes.
    async fn register(&mut self, faults: &Faults) {
        let app = faults.instance(&self.stage.app);
        let email = format!("user{}@example.com", self.users.len());
        let user = User::new(Email::parse(&email).unwrap());
        let audit = AuditEntry::new("user.registered", Some(user.id), "127.0.0.1");
        let made = app.store.create_account(&user, "a hash", &audit);
        // Whether it was made shows in the table: an answer may be lost.
        let _ = faults.survive(made).await;
        self.users.push(user);
        self.calls.extend(faults.take_calls());
    }

    /// All messages that can be received now, in the order of what they say, and some of them twice.
    async fn receive(&self, random: &mut fastrand::Rng) -> Vec<SqsEvent> {
        let mut messages = self.stage.receive().await;
        messages.sort_by(|a, b| a.body.cmp(&b.body));
        for at in (0..messages.len()).rev() {
            if random.u8(0..100) < 20 {
                messages.push(messages[at].clone());
            }
        }
        random.shuffle(&mut messages);
        let mut batches = Vec::new();
        while !messages.is_empty() {
            let rest = messages.split_off(messages.len().min(random.usize(1..=10)));
            let mut batch = SqsEvent::default();
            batch.records = std::mem::replace(&mut messages, rest);
            batches.push(batch);
        }
        batches
    }

    /// Gives a batch to a worker with these faults, and deletes what it has handled if it lives.
    async fn deliver(&mut self, batch: SqsEvent, faults: &Faults) {
        let worker = Worker::new(faults.instance(&self.stage.app)).unwrap();
        let handled = faults.survive(worker::handle(worker, batch.clone())).await;
        self.calls.extend(faults.take_calls());
        let Some(response) = handled else {
            return;
        };
        let failed = response.batch_item_failures.into_iter();
        let failed: BTreeSet<_> = failed.map(|failure| failure.item_identifier).collect();
        for message in batch.records {
            if !failed.contains(message.message_id.as_deref().unwrap_or_default()) {
                self.stage.delete(&message).await;
            }
        }
    }

    /// Up to two lease times without faults: two sweeps a minute apart, the first after `seconds`, and all that comes of
    /// them.
    async fn settle(&mut self, seconds: i64) {
        for seconds in [seconds, 60] {
            self.stage.later(seconds).await;
            self.stage.post_message(SWEEP).await;
            self.stage.work().await;
        }
    }

    /// Asserts all that was promised. `story` says how to tell it again.
    async fn check(&self, story: &str) {
        let items = self.stage.all_items().await;
        let all = join(&self.stage.app, &self.stage.task_ids().await).await;
        let failed = Slice {
            from: From::Skip(0),
            limit: 100,
        };
        let failed = self.stage.app.store.failed_tasks(&failed).await.unwrap();
        let failed: BTreeSet<Uuid> = failed.items.iter().map(|task| task.id).collect();

        let index = |task: &&StoredTask| task.kind == "index_user" && task.status != Status::Failed;
        let indexed = all.iter().filter(index).count();
        let records = items.iter().filter(|item| item.contains("\"SEARCH#USER#"));
        assert!(records.count() >= indexed, "not indexed: {story}");
        for user in &self.users {
            let exists = self.stage.app.store.user(user.id).await.unwrap().is_some();
            let tasks: Vec<_> = all.iter().filter(|t| t.owner == Some(user.id)).collect();
            let expected = if exists { 2 } else { 0 };
            assert_eq!(tasks.len(), expected, "tasks of a user: {story}");
            check_search(user, &items, story);
        }
        for task in &all {
            let id = task.id.to_string();
            match task.status {
                Status::Succeeded if task.kind == "index_user" => {}
                Status::Succeeded => {
                    let mail = self.mails.read(&id);
                    if mail.text.contains("token=") {
                        let hash = token_hash(&mail.token());
                        let known = items.iter().filter(|item| item.contains(&hash));
                        assert_eq!(known.count(), 1, "a dead link: {story}");
                    }
                }
                Status::Failed => assert!(failed.contains(&task.id), "not listed: {story}"),
                _ => panic!("{task:?} is open: {story}"),
            }
        }
        let done = all.iter().filter(|task| task.status == Status::Failed);
        assert_eq!(done.count(), failed.len(), "{story}");
        let waiting = items.iter().any(|item| item.contains("DUE#"));
        assert!(!waiting, "what is done waits for the sweep: {story}");
        let ids: BTreeSet<_> = all.iter().map(|task| task.id.to_string()).collect();
        assert!(
            self.mails.ids().is_subset(&ids),
            "a mail of nobody: {story}"
        );
    }
}

/// Asserts that a user is found by all that they should be found by and by nothing else, once that was begun.
fn check_search(user: &User, items: &[String], story: &str) {
    let id = user.id.to_string();
    let of_user = |what: &str| {
        let found = items
            .iter()
            .filter(|item| item.contains(what) && item.contains(&id));
        found.collect::<Vec<_>>()
    };
    let [record] = of_user("\"SEARCH#USER#")[..] else {
        return;
    };
    // The task was given up, and is listed.
    if record.contains("is_dirty") {
        return;
    }
    let texts = user.search_texts();
    let expected = search::suffixes(texts.iter().map(String::as_str));
    assert_eq!(
        of_user("\"SUFFIX#USER#").len(),
        expected.len(),
        "rows: {story}"
    );
    for suffix in expected {
        let row = format!("\"{suffix} {id}\"");
        assert!(
            items.iter().any(|item| item.contains(&row)),
            "{suffix}: {story}"
        );
    }
}

async fn join(app: &App, ids: &[Uuid]) -> Vec<StoredTask> {
    let tasks = ids.iter().map(|id| app.store.task(*id));
    let tasks = futures_util::future::try_join_all(tasks).await.unwrap();
    tasks.into_iter().map(Option::unwrap).collect()
}

/// Some people register and their mails are sent, while calls have faults; then none has, for two lease times.
async fn play(seed: u64) -> World {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new().await;
    let mut instances = 0;
    let mut faults = |percent| {
        instances += 1;
        let seed = seed.wrapping_mul(1_000).wrapping_add(instances);
        Faults::new(Schedule::Random { seed, percent })
    };
    for _ in 0..random.usize(1..=3) {
        world.register(&faults(20)).await;
    }
    if random.bool() {
        world.stage.post_message("poison").await;
    }
    let percent = random.u8(5..=40);
    for _ in 0..random.usize(2..=5) {
        for batch in world.receive(&mut random).await {
            world.deliver(batch, &faults(percent)).await;
        }
        world.stage.later(random.i64(1..=LEASE)).await;
        world.stage.post_message(SWEEP).await;
    }
    world.settle(random.i64(1..=60)).await;
    world
}

/// `SEEDS=7 cargo test -p tests --test api faults -- --nocapture` plays one and tells each call; `SEEDS=0..500` plays
/// more than these.
const SEEDS: std::ops::Range<u64> = 0..30;

#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
pub(crate) fn seeds(unless_told: std::ops::Range<u64>) -> std::ops::Range<u64> {
    let Ok(seeds) = std::env::var("SEEDS") else {
        return unless_told;
    };
    let (from, to) = seeds.split_once("..").unwrap_or((&seeds, ""));
    let from = from.parse().unwrap();
    from..to.parse().unwrap_or(from + 1)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[expect(clippy::print_stdout, reason = "who plays it by hand wants to see it")]
async fn whatever_dies_and_whatever_is_lost_all_tasks_are_done_or_listed() {
    let seeds = seeds(SEEDS);
    let plays = seeds.clone().map(|seed| {
        tokio::spawn(async move {
            let world = ids::seeded(seed, play(seed)).await;
            world.check(&format!("SEEDS={seed}")).await;
            world.calls.clone()
        })
    });
    let mut calls = Vec::new();
    let mut plays = futures_util::stream::iter(plays).buffer_unordered(8);
    while let Some(played) = plays.next().await {
        calls.extend(played.expect("a play keeps its promises"));
    }
    if seeds.end - seeds.start == 1 {
        println!("{calls:#?}");
        return;
    }
    let mut counts = BTreeMap::new();
    for call in &calls {
        *counts.entry(format!("{call:?}")).or_insert(0) += 1;
    }
    println!("{counts:#?}");
    // A schedule that never strikes would prove nothing.
    let deaths = |(_, fault): &&(_, Fault)| matches!(fault, Fault::DiesBefore | Fault::DiesAfter);
    let deaths = calls.iter().filter(deaths).count();
    assert!(deaths > seeds.count(), "{deaths} deaths");
}

/// The numbers of the calls that have a fault in turn, where each costs a second: every sixth, or all with `CALLS=all`.
#[expect(clippy::disallowed_methods, reason = "a test may be told what to do")]
pub(crate) fn calls() -> impl Iterator<Item = usize> {
    let all = std::env::var("CALLS").is_ok_and(|calls| calls == "all");
    (0..).step_by(if all { 1 } else { 6 })
}

/// The faults that one call can have.
const EACH: [Fault; 4] = [
    Fault::DiesBefore,
    Fault::DiesAfter,
    Fault::AnswerLost,
    Fault::Unreachable,
];

#[tokio::test]
async fn a_registration_may_die_at_any_of_its_calls() {
    for fault in EACH {
        for number in 0.. {
            let faults = Faults::new(Schedule::Call(number, fault));
            let mut world = World::new().await;
            world.register(&faults).await;
            world.settle(20).await;
            world.check(&format!("{fault:?} at call {number}")).await;
            if world.faults() == 0 {
                assert!(number >= 2, "the transaction and the message");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_worker_may_die_at_any_of_its_calls() {
    for fault in EACH {
        for number in 0.. {
            let mut world = World::new().await;
            world.register(&Faults::new(Schedule::NONE)).await;
            let user_id = world.users[0].id;
            let old_email = Email::parse("old@example.com").unwrap();
            let new_email = Email::parse("new@example.com").unwrap();
            let provider = "test".to_owned();
            let email = || world.users[0].email.clone();
            // The registration has caused the other three kinds.
            for task in [
                Task::PasswordResetMail { email: email() },
                Task::VerificationMailAgain { email: email() },
                Task::InvitationMail { user_id },
                Task::EmailChangedMail { user_id, old_email },
                Task::EmailChangeAskedMail { user_id, new_email },
                Task::LoginLinkedMail { user_id, provider },
            ] {
                let task = NewTask::new(task);
                world.stage.app.store.add_task(&task).await.unwrap();
            }
            let faults = Faults::new(Schedule::Call(number, fault));
            let mut batch = SqsEvent::default();
            batch.records = world.stage.receive().await;
            world.deliver(batch, &faults).await;
            world.settle(20).await;
            world.check(&format!("{fault:?} at call {number}")).await;
            assert_eq!(world.mails.ids().len(), 8);
            if world.faults() == 0 {
                let calls = "nine claims, users and ends, two addresses, four tokens; of the search, three notes and a batch of rows";
                assert_eq!(number, 9 + 9 + 9 + 2 + 4 + 3 + 1, "{calls}");
                break;
            }
        }
    }
}

/// A failure of any kind is told once, though the answer to the end of the attempt was lost.
#[tokio::test]
async fn an_end_whose_answer_was_lost_is_written_all_the_same() {
    let error = || TaskError {
        code: "unavailable".into(),
        message: "away".into(),
        cause: "away".into(),
    };
    for ending in [
        Ending::Succeeded(serde_json::Value::Null),
        Ending::Failed(error()),
        Ending::Again(error(), 2),
    ] {
        let mut world = World::new().await;
        world.register(&Faults::new(Schedule::NONE)).await;
        let id = world.stage.task_ids().await[0];
        let store = &world.stage.app.store;
        let Claim::Ours(task) = store.claim_task(id).await.unwrap() else {
            panic!("it is free")
        };
        let faults = Faults::new(Schedule::Call(0, Fault::AnswerLost));
        let instance = faults.instance(&world.stage.app);
        assert!(instance.store.end_task(&task, &ending).await.unwrap());
        assert_eq!(faults.take_calls().len(), 2);
        // Once it is claimed again, whoever held it before is not heard.
        if let Ending::Again(..) = ending {
            world.stage.later(2).await;
            let store = &world.stage.app.store;
            assert!(matches!(store.claim_task(id).await, Ok(Claim::Ours(_))));
            assert!(!store.end_task(&task, &ending).await.unwrap());
        }
    }
}

#[tokio::test]
async fn ten_workers_with_the_same_messages_run_each_task_once() {
    let mut world = World::new().await;
    for _ in 0..5 {
        world.register(&Faults::new(Schedule::NONE)).await;
    }
    let mut batch = SqsEvent::default();
    batch.records = world.stage.receive().await;
    let apps: Vec<_> = (0..10)
        .map(|_| Faults::new(Schedule::NONE).instance(&world.stage.app))
        .collect();
    let handled = apps.iter().map(|app| {
        let worker = Worker::new(app.clone()).unwrap();
        worker::handle(worker, batch.clone())
    });
    futures_util::future::join_all(handled).await;
    let total = |count| apps.iter().map(|app| app.metrics.total(count)).sum::<u64>();
    assert_eq!(total(Count::TasksStarted), 15);
    assert_eq!(total(Count::TasksSucceeded), 15);
    world.check("ten workers").await;
}

#[tokio::test]
async fn a_task_that_kills_its_worker_takes_no_neighbour_with_it_twice() {
    let mut world = World::new().await;
    for _ in 0..2 {
        world.register(&Faults::new(Schedule::NONE)).await;
    }
    // Three tasks come again, because a worker has died of one of them; a fourth comes for the first time. Two more are
    // left out.
    let mut batch = SqsEvent::default();
    batch.records = world.stage.receive().await;
    assert_eq!(batch.records.len(), 6);
    let is_mail = async |message: &SqsMessage| {
        let id = task_of(message);
        let task = world.stage.app.store.task(id).await.unwrap();
        task.unwrap().kind != "index_user"
    };
    let mut mails = Vec::new();
    for message in batch.records {
        if is_mail(&message).await {
            mails.push(message);
        }
    }
    batch.records = mails;
    assert_eq!(batch.records.len(), 4);
    for message in &mut batch.records[..3] {
        let body = message.body.as_mut().unwrap();
        *body = body.replace('}', ",\"resent\":true}");
    }
    let ids: Vec<_> = batch.records.iter().map(task_of).collect();
    // The fourth is done with its first calls; then the first of the three dies after its claim.
    let fourth = world.stage.app.store.task(ids[3]).await.unwrap().unwrap();
    let calls = if fourth.kind == "verification_mail" {
        4
    } else {
        3
    };
    let faults = Faults::new(Schedule::Call(calls, Fault::DiesAfter));
    world.deliver(batch, &faults).await;

    let tasks = join(&world.stage.app, &ids).await;
    let seen: Vec<_> = tasks
        .iter()
        .map(|task| (task.status, task.attempts))
        .collect();
    let expected = [
        (Status::Running, 1),
        (Status::Pending, 0),
        (Status::Pending, 0),
        (Status::Succeeded, 1),
    ];
    assert_eq!(seen, expected);
    world.settle(60).await;
    world.check("afterwards").await;
}

/// The id of the task that a message is about.
fn task_of(message: &SqsMessage) -> Uuid {
    let body = message.body.clone().unwrap();
    let message: serde_json::Value = serde_json::from_str(&body).unwrap();
    message["task_id"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_sweep_may_die_at_any_of_its_calls() {
    for fault in EACH {
        for number in 0.. {
            let mut world = World::new().await;
            world.register(&Faults::new(Schedule::NONE)).await;
            assert_eq!(world.stage.lose_messages().await, 3);
            world.stage.later(LEASE).await;
            world.stage.post_message(SWEEP).await;
            let faults = Faults::new(Schedule::Call(number, fault));
            let mut batch = SqsEvent::default();
            batch.records = world.stage.receive().await;
            world.deliver(batch, &faults).await;
            world.settle(20).await;
            world.check(&format!("{fault:?} at call {number}")).await;
            if world.faults() == 0 {
                assert!(number >= 7, "the depth, four pages, a message, two notes");
                break;
            }
        }
    }
}

#[tokio::test]
async fn requests_succeed_while_the_queue_refuses_everything_and_tasks_run_once_it_is_back() {
    let mut world = World::new().await;
    let (switch, on) = watch::channel(true);
    let faults = Faults::new(Schedule::Service("AmazonSQS", Fault::Unreachable, on));
    let registered = async |world: &mut World, n: usize| {
        world.register(&faults).await;
        let user = world.users.last().unwrap().id;
        let user = world.stage.app.store.user(user).await.unwrap();
        assert!(user.is_some(), "registration {n} was refused");
    };
    for n in 0..5 {
        registered(&mut world, n).await;
    }
    assert_eq!(world.stage.work().await, (0, 0));
    // A sweep that finds the queue so changes nothing.
    world.stage.later(LEASE).await;
    let sweeping = faults.instance(&world.stage.app);
    let patience = std::time::Duration::from_secs(30);
    let swept = sweeping.store.resend_due_tasks(100, patience).await;
    assert!(swept.is_err_and(|error| error.retryable()));
    let tasks = join(&world.stage.app, &world.stage.task_ids().await).await;
    assert!(tasks.iter().all(|task| task.version == 1));

    switch.send(false).unwrap();
    registered(&mut world, 5).await;
    world.settle(20).await;
    world.check("the queue is back").await;
    assert_eq!(world.mails.ids().len(), 12);
}

#[tokio::test]
async fn late_copies_of_messages_change_nothing() {
    let mut world = World::new().await;
    for _ in 0..5 {
        world.register(&Faults::new(Schedule::NONE)).await;
    }
    let messages = world.stage.receive().await;
    world.settle(20).await;
    world.check("first").await;
    let before = world.stage.all_items().await;
    world.mails.clear();
    let mut late = SqsEvent::default();
    late.records = messages.iter().rev().cloned().collect();
    late.records.truncate(10);
    assert_eq!(world.stage.handle(late).await.batch_item_failures, []);
    assert_eq!(world.mails.ids(), BTreeSet::new());
    let after = world.stage.all_items().await;
    assert_eq!(sorted(before), sorted(after));
}

/// An item's attributes come in any order.
fn sorted(items: Vec<String>) -> Vec<Vec<char>> {
    let letters = items.iter().map(|item| {
        let mut letters: Vec<char> = item.chars().collect();
        letters.sort_unstable();
        letters
    });
    let mut items: Vec<_> = letters.collect();
    items.sort();
    items
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_is_held_all_the_same() {
    let mut world = World::new().await;
    world.register(&Faults::new(Schedule::NONE)).await;
    let id = world.stage.task_ids().await[0];
    let faults = Faults::new(Schedule::Call(0, Fault::AnswerLost));
    let instance = faults.instance(&world.stage.app);
    let Claim::Ours(task) = instance.store.claim_task(id).await.unwrap() else {
        panic!("the client's second try was refused")
    };
    assert_eq!(task.attempts, 1);
}
