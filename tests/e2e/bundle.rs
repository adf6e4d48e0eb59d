//! A `cargo dev` of this test's own, and a client for it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::Value;

pub(crate) const EMAIL: &str = "chief@example.com";
pub(crate) const PASSWORD: &str = "Correct-horse-7";

pub(crate) struct Bundle {
    pub(crate) port: u16,
    pub(crate) data: PathBuf,
    /// What its shell sets beyond what every bundle of these tests needs.
    variables: Vec<(String, String)>,
    running: Mutex<Option<Running>>,
}

struct Running {
    child: Child,
    output: Arc<Mutex<String>>,
}

pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) kind: String,
    pub(crate) body: Value,
}

impl Bundle {
    pub(crate) fn new(folder: &Path) -> Self {
        Self::with(folder, &[])
    }

    /// A bundle that is started from a shell with these environment variables.
    pub(crate) fn with(folder: &Path, variables: &[(&str, &str)]) -> Self {
        let variables = variables.iter();
        Self {
            port: free_ports(),
            data: folder.join("data"),
            variables: variables
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect(),
            running: Mutex::new(None),
        }
    }

    /// A `cargo dev` with these arguments, in a process group of its own as a terminal starts it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new("cargo");
        for name in local::shell::variables_of_cargo_run() {
            command.env_remove(name);
        }
        command
            .args(["run", "--quiet", "--bin", "local", "--"])
            .args(arguments)
            .current_dir(root())
            .env("FIRST_SUPERUSER", EMAIL)
            .env("FIRST_SUPERUSER_PASSWORD", PASSWORD)
            .env("REGISTER_LIMIT_PER_HOUR", "1000")
            .env("LOGIN_LIMIT_PER_MINUTE", "1000")
            .envs(self.variables.clone())
            .process_group(0)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    pub(crate) fn arguments(&self) -> [String; 4] {
        let (port, data) = (self.port.to_string(), self.data.display().to_string());
        ["--port".into(), port, "--data".into(), data]
    }

    /// Starts the bundle and waits until it says that it is ready. Answers how long that took.
    pub(crate) fn start(&self) -> Duration {
        self.start_with(&[])
    }

    /// The same with more arguments.
    pub(crate) fn start_with(&self, more: &[&str]) -> Duration {
        let started = Instant::now();
        let arguments = self.arguments();
        let arguments = arguments.iter().map(String::as_str);
        let arguments: Vec<_> = arguments.chain(more.iter().copied()).collect();
        let mut child = self
            .command(&arguments)
            .spawn()
            .expect("cargo can be started");
        let output = Arc::new(Mutex::new(String::new()));
        collect(child.stdout.take().unwrap(), output.clone());
        collect(child.stderr.take().unwrap(), output.clone());
        // A first start builds everything and may have to install cargo-lambda.
        let patience = Duration::from_secs(30 * 60);
        while !output.lock().unwrap().contains("Ctrl-C stops everything") {
            if let Some(status) = child.try_wait().unwrap() {
                panic!("cargo dev ended with {status}:\n{}", output.lock().unwrap());
            }
            assert!(started.elapsed() < patience, "{}", output.lock().unwrap());
            std::thread::sleep(Duration::from_millis(20));
        }
        *self.running.lock().unwrap() = Some(Running { child, output });
        started.elapsed()
    }

    /// Stops it as Ctrl-C in its terminal does. Answers how long that took.
    pub(crate) fn stop(&self) -> Duration {
        let started = Instant::now();
        if let Some(mut running) = self.running.lock().unwrap().take() {
            signal("INT", &format!("-{}", running.child.id()));
            running.child.wait().unwrap();
        }
        started.elapsed()
    }

    /// Kills `cargo dev` itself, so that it can clean nothing up.
    pub(crate) fn kill(&self) {
        let mut running = self.running.lock().unwrap().take().expect("it runs");
        signal("KILL", &format!("-{}", running.child.id()));
        running.child.wait().unwrap();
    }

    /// What it has printed so far, the functions' log lines included.
    pub(crate) fn output(&self) -> String {
        let running = self.running.lock().unwrap();
        running
            .as_ref()
            .map(|r| r.output.lock().unwrap().clone())
            .unwrap_or_default()
    }

    /// The processes that were started for this bundle's data and still run.
    pub(crate) fn processes(&self) -> Vec<u32> {
        let mark = self.data.display().to_string();
        let all = std::fs::read_dir("/proc").into_iter().flatten().flatten();
        let numbered = all.filter_map(|entry| {
            let id: u32 = entry.file_name().to_str()?.parse().ok()?;
            let environment = std::fs::read(entry.path().join("environ")).ok()?;
            String::from_utf8_lossy(&environment)
                .contains(&mark)
                .then_some(id)
        });
        numbered.filter(|id| *id != std::process::id()).collect()
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn get(&self, path: &str, token: Option<&str>) -> Answer {
        self.send("GET", path, token, None)
    }

    pub(crate) fn post(&self, path: &str, body: Value) -> Answer {
        self.send("POST", path, None, Some(body))
    }

    pub(crate) fn send(
        &self,
        method: &str,
        path: &str,
        token: Option<&str>,
        body: Option<Value>,
    ) -> Answer {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .timeout_global(Some(Duration::from_secs(60)))
                .build(),
        );
        let mut request = ureq::http::Request::builder()
            .method(method)
            .uri(self.url(path));
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        if body.is_some() {
            request = request.header("content-type", "application/json");
        }
        let body = body.map(|body| body.to_string()).unwrap_or_default();
        let mut response = agent.run(request.body(body).unwrap()).unwrap();
        let kind = response.headers().get("content-type").cloned();
        let text = response.body_mut().read_to_string().unwrap();
        Answer {
            status: response.status().as_u16(),
            kind: kind
                .map(|kind| kind.to_str().unwrap().to_owned())
                .unwrap_or_default(),
            body: serde_json::from_str(&text).unwrap_or(Value::String(text)),
        }
    }

    /// Logs the superuser in and answers the access token.
    pub(crate) fn log_in(&self) -> String {
        let credentials = serde_json::json!({"email": EMAIL, "password": PASSWORD});
        let answer = self.post("/api/v1/auth/login", credentials).expect(200);
        answer["access_token"].as_str().unwrap().to_owned()
    }
}

/// A story that fails leaves no bundle behind that it started for itself.
impl Drop for Bundle {
    fn drop(&mut self) {
        self.stop();
    }
}

impl Answer {
    #[track_caller]
    pub(crate) fn expect(self, status: u16) -> Value {
        assert_eq!(self.status, status, "{} {}", self.kind, self.body);
        self.body
    }
}

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

pub(crate) fn signal(name: &str, process: &str) {
    let status = Command::new("kill")
        .args([&format!("-{name}"), "--", process])
        .status();
    assert!(status.unwrap().success(), "kill -{name} {process}");
}

fn collect(pipe: impl std::io::Read + Send + 'static, output: Arc<Mutex<String>>) {
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            let mut output = output.lock().unwrap();
            output.push_str(&line);
            output.push('\n');
        }
    });
}

/// A port that is free with the three after it.
pub(crate) fn free_ports() -> u16 {
    let bind = |port| TcpListener::bind(("127.0.0.1", port));
    loop {
        let first = bind(0).unwrap().local_addr().unwrap().port();
        if first < 65_000 && (first..first + 4).all(|port| bind(port).is_ok()) {
            return first;
        }
    }
}
