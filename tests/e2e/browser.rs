//! A browser, driven as a person would: Chromium by its driver (W3C WebDriver).

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use crate::bundle::{free_ports, root};

const CHROMIUM: &str = "/usr/bin/chromium";
const DRIVER: &str = "/usr/bin/chromedriver";

/// How WebDriver names an element.
const ELEMENT: &str = "element-6066-11e4-a52e-4f735466cecf";

pub(crate) struct Browser {
    driver: Child,
    session: String,
    _profile: tempfile::TempDir,
}

impl Browser {
    /// A new browser that nobody has used, or none if there is no Chromium here.
    pub(crate) fn open() -> Option<Self> {
        if !Path::new(CHROMIUM).exists() || !Path::new(DRIVER).exists() {
            return None;
        }
        let port = free_ports();
        let driver = Command::new(DRIVER)
            .arg(format!("--port={port}"))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let profile = tempfile::tempdir().unwrap();
        // Nothing that it would do by itself on the network: what is seen there is the page's.
        let arguments = [
            "--headless",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-quic",
            "--no-first-run",
            "--disable-background-networking",
            "--disable-component-update",
            "--disable-sync",
            "--window-size=1280,1600",
        ];
        let mut arguments: Vec<_> = arguments.map(str::to_owned).into();
        arguments.push(format!("--user-data-dir={}", profile.path().display()));
        let capabilities = json!({
            "goog:chromeOptions": {"binary": CHROMIUM, "args": arguments},
            "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"},
        });
        let wish = json!({"capabilities": {"alwaysMatch": capabilities}});
        let mut browser = Self {
            driver,
            session: format!("http://127.0.0.1:{port}/session"),
            _profile: profile,
        };
        let started = Instant::now();
        let opened = loop {
            match browser.ask("POST", "", &wish) {
                Ok(opened) => break opened,
                Err(error) => assert!(started.elapsed() < Duration::from_secs(60), "{error}"),
            }
            std::thread::sleep(Duration::from_millis(200));
        };
        let id = opened["sessionId"].as_str().unwrap();
        browser.session = format!("{}/{id}", browser.session);
        Some(browser)
    }

    pub(crate) fn go(&self, url: &str) {
        self.post("/url", &json!({"url": url}));
    }

    /// What a script returns on the page.
    pub(crate) fn run(&self, script: &str) -> Value {
        self.post("/execute/sync", &json!({"script": script, "args": []}))
    }

    /// Waits until an expression is true on the page.
    #[track_caller]
    pub(crate) fn wait_for(&self, condition: &str) {
        let started = Instant::now();
        while self.run(&format!("return !!({condition})")) != true {
            if started.elapsed() > Duration::from_secs(60) {
                self.screenshot("stuck");
                panic!("never {condition}; the log is {:?}", self.log("browser"));
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Clicks on an element, once it is there.
    #[track_caller]
    pub(crate) fn click(&self, selector: &str) {
        let element = self.find(selector);
        self.post(&format!("/element/{element}/click"), &json!({}));
    }

    #[track_caller]
    pub(crate) fn type_into(&self, selector: &str, text: &str) {
        let element = self.find(selector);
        self.post(&format!("/element/{element}/value"), &json!({"text": text}));
    }

    #[track_caller]
    fn find(&self, selector: &str) -> String {
        self.wait_for(&format!("document.querySelector({})", json!(selector)));
        let wish = json!({"using": "css selector", "value": selector});
        let found = self.post("/element", &wish);
        found[ELEMENT].as_str().unwrap().to_owned()
    }

    /// Keeps what is seen as `target/e2e/{name}.png`.
    pub(crate) fn screenshot(&self, name: &str) {
        let image = self.ask("GET", "/screenshot", &Value::Null).unwrap();
        let image = STANDARD.decode(image.as_str().unwrap()).unwrap();
        let folder = root().join("target/e2e");
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join(format!("{name}.png")), image).unwrap();
    }

    /// What the console has warned of, or called an error, since it was asked last.
    pub(crate) fn warnings(&self) -> Vec<String> {
        let entries = self.log("browser").into_iter();
        let serious =
            entries.filter(|entry| entry["level"] == "SEVERE" || entry["level"] == "WARNING");
        serious.map(|entry| entry["message"].to_string()).collect()
    }

    /// Where requests went since it was asked last. Those of the empty page that a browser opens with stay in itself.
    pub(crate) fn requests(&self) -> Vec<String> {
        let events = self.log("performance").into_iter();
        let events = events.filter_map(|entry| {
            let event: Value = serde_json::from_str(entry["message"].as_str()?).ok()?;
            let message = &event["message"];
            let is_request = message["method"] == "Network.requestWillBeSent";
            let url = message["params"]["request"]["url"].as_str();
            let goes_out = is_request && url?.split_once(':')?.0 != "chrome";
            url.filter(|_| goes_out).map(str::to_owned)
        });
        events.collect()
    }

    fn log(&self, kind: &str) -> Vec<Value> {
        let log = self.post("/se/log", &json!({"type": kind}));
        log.as_array().cloned().unwrap_or_default()
    }

    #[track_caller]
    fn post(&self, path: &str, body: &Value) -> Value {
        self.ask("POST", path, body).unwrap()
    }

    fn ask(&self, method: &str, path: &str, body: &Value) -> Result<Value, String> {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(60)))
                .build(),
        );
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.session))
            .header("content-type", "application/json");
        let body = match body {
            Value::Null => String::new(),
            body => body.to_string(),
        };
        let answer = agent.run(request.body(body).unwrap());
        let mut answer = answer.map_err(|error| error.to_string())?;
        let limit = answer.body_mut().with_config().limit(64 * 1024 * 1024);
        let text = limit.read_to_string().map_err(|error| error.to_string())?;
        let mut told: Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        match answer.status().is_success() {
            true => Ok(told["value"].take()),
            false => Err(text),
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.ask("DELETE", "", &Value::Null);
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}
