//! What the stories about people have in common: who is on the staff, whose mails can be read, and lists to their end.

use serde_json::{Value, json};
use tests::{Actor, Answer, Mail, MailFolder, PASSWORD, Stage};

pub(crate) const USERS: &str = "/api/v1/users";
pub(crate) const ME: &str = "/api/v1/users/me";
pub(crate) const REGISTER: &str = "/api/v1/auth/register";
pub(crate) const REFRESH: &str = "/api/v1/auth/refresh";
pub(crate) const VERIFY: &str = "/api/v1/auth/verify-email";
pub(crate) const FORGOT: &str = "/api/v1/auth/forgot-password";
pub(crate) const RESET: &str = "/api/v1/auth/reset-password";

/// The subject of a mail with a link that verifies an address.
pub(crate) const VERIFICATION: &str = "Confirm your e-mail address";

/// A bundle whose mails can be read.
pub(crate) struct Post {
    pub(crate) stage: Stage,
    mails: MailFolder,
}

impl Post {
    pub(crate) async fn new() -> Self {
        Self::with(&[]).await
    }

    pub(crate) async fn with(variables: &[(&str, &str)]) -> Self {
        let mails = MailFolder::new();
        let url = mails.url();
        let variables = [variables, &[("MAIL_URL", url.as_str())]].concat();
        let stage = Stage::with(&variables).await;
        Self { stage, mails }
    }

    /// The mails that have come since the last call.
    pub(crate) async fn new_mails(&self) -> Vec<Mail> {
        work(&self.stage).await;
        let ids = self.mails.ids();
        let mails = ids.iter().map(|id| self.mails.read(id)).collect();
        self.mails.clear();
        mails
    }

    /// The token of the one mail that has come with this subject.
    pub(crate) async fn token(&self, subject: &str) -> String {
        let mails = self.new_mails().await;
        let mut mails = mails.iter().filter(|mail| mail.subject == subject);
        let mail = mails
            .next()
            .unwrap_or_else(|| panic!("no mail {subject:?}"));
        assert!(mails.next().is_none(), "two mails {subject:?}");
        mail.token()
    }

    /// Uses the link that has come to verify an address.
    pub(crate) async fn verify(&self) -> Answer {
        let token = self.token(VERIFICATION).await;
        verify(&self.stage, &token).await
    }
}

pub(crate) async fn verify(stage: &Stage, token: &str) -> Answer {
    stage.anon().post(VERIFY, json!({"token": token})).await
}

/// Gives all that waits to the worker, which must not fail.
pub(crate) async fn work(stage: &Stage) {
    assert_eq!(stage.work().await.1, 0, "a task has failed");
}

/// Two lease times and two sweeps, with all that they send: what a worker has left that died is done then.
pub(crate) async fn settle(stage: &Stage) {
    for _ in 0..2 {
        stage.later(60).await;
        stage.sweep().await;
    }
}

/// Somebody of this role, who has logged in since they have it: a token has the scopes of the role it was issued for.
pub(crate) async fn staff<'a>(stage: &'a Stage, admin: &Actor<'_>, role: &str) -> Actor<'a> {
    let user = stage.user().await;
    let change = json!({"role": role});
    admin.patch(&path_of(&user.id), change).await.expect(200);
    stage.anon().log_in(&user.email, PASSWORD).await
}

/// Tries to log in, from an address of their own, with an e-mail address or a user name.
pub(crate) async fn log_in(stage: &Stage, name: &str, password: &str) -> Answer {
    let credentials = json!({"username": name, "password": password});
    stage.anon().post("/api/v1/auth/login", credentials).await
}

pub(crate) async fn delete(actor: &Actor<'_>, path: &str) -> Answer {
    actor.send("DELETE", path, None, b"").await
}

pub(crate) fn path_of(user: &str) -> String {
    format!("{USERS}/{user}")
}

/// All items of a list, page after page by cursor. The path has a query already.
pub(crate) async fn all_of(actor: &Actor<'_>, path: &str) -> Vec<Value> {
    let mut items = Vec::new();
    let mut cursor = String::new();
    for _ in 0..1_000 {
        let page = actor.get(&format!("{path}{cursor}")).await;
        let page = page.expect(200).json();
        items.extend_from_slice(page["items"].as_array().unwrap());
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => return items,
        }
    }
    panic!("{path} has no end")
}

/// A text of each item.
pub(crate) fn texts(items: &[Value], field: &str) -> Vec<String> {
    let text = |item: &Value| item[field].as_str().unwrap().to_owned();
    items.iter().map(text).collect()
}

/// The names of an object's members, sorted.
pub(crate) fn members(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object.as_object().unwrap().keys().collect();
    names.sort();
    names.into_iter().map(String::as_str).collect()
}
