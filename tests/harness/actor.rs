//! Somebody who uses the API: anonymous, or signed in.

use serde_json::{Value, json};

use crate::{Answer, PASSWORD, Stage, gateway};

#[derive(Clone)]
pub struct Actor<'a> {
    stage: &'a Stage,
    headers: Vec<(String, String)>,
    ip: String,
    /// The e-mail address and id of a signed-in actor.
    pub email: String,
    pub id: String,
}

impl<'a> Actor<'a> {
    pub(crate) fn anonymous(stage: &'a Stage, ip: String) -> Self {
        Self {
            stage,
            headers: Vec::new(),
            ip,
            email: String::new(),
            id: String::new(),
        }
    }

    /// Registers and logs in.
    pub(crate) async fn register(self, email: &str) -> Actor<'a> {
        let account = json!({"email": email, "password": PASSWORD});
        self.post("/api/v1/auth/register", account)
            .await
            .expect(201);
        self.log_in(email, PASSWORD).await
    }

    /// Logs in and becomes somebody.
    pub async fn log_in(mut self, email: &str, password: &str) -> Actor<'a> {
        let credentials = json!({"email": email, "password": password});
        let token = self
            .post("/api/v1/auth/login", credentials)
            .await
            .expect(200);
        self = self.with_header(
            "authorization",
            &format!("Bearer {}", token.text("access_token")),
        );
        let me = self.get("/api/v1/users/me").await.expect(200);
        (self.email, self.id) = (me.text("email"), me.text("id"));
        self
    }

    /// The same actor, who also sends this header.
    pub fn with_header(mut self, name: &str, value: &str) -> Self {
        self.headers.retain(|(known, _)| known != name);
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// A header that this actor sends.
    pub fn header(&self, name: &str) -> Option<&str> {
        let header = self.headers.iter().find(|(known, _)| known == name);
        header.map(|(_, value)| value.as_str())
    }

    /// The same actor, from another address.
    pub fn from_ip(mut self, ip: &str) -> Self {
        self.ip = ip.to_owned();
        self
    }

    /// The same actor, before another instance.
    pub fn at<'b>(&self, stage: &'b Stage) -> Actor<'b> {
        Actor {
            stage,
            headers: self.headers.clone(),
            ip: self.ip.clone(),
            email: self.email.clone(),
            id: self.id.clone(),
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, None, b"").await
    }

    pub async fn post(&self, path: &str, body: Value) -> Answer {
        self.send_json("POST", path, body).await
    }

    pub async fn patch(&self, path: &str, body: Value) -> Answer {
        self.send_json("PATCH", path, body).await
    }

    pub async fn put(&self, path: &str, body: Value) -> Answer {
        self.send_json("PUT", path, body).await
    }

    pub async fn send_json(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = body.to_string();
        self.send(method, path, Some("application/json"), body.as_bytes())
            .await
    }

    /// The event of a request without a body.
    pub fn event(&self, method: &str, path: &str) -> Value {
        gateway::event(method, path, &self.headers, None, &self.ip)
    }

    /// A request to a router that is no function's.
    pub async fn send_to(&self, router: axum::Router, method: &str, path: &str) -> Answer {
        gateway::answer(router, &self.event(method, path)).await
    }

    /// A request as it is, with whatever body.
    pub async fn send(&self, method: &str, path: &str, kind: Option<&str>, body: &[u8]) -> Answer {
        let mut headers = self.headers.clone();
        headers.extend(kind.map(|kind| ("content-type".to_owned(), kind.to_owned())));
        let body = Some(body).filter(|body| !body.is_empty());
        let event = gateway::event(method, path, &headers, body, &self.ip);
        self.stage.send(&event).await
    }
}
