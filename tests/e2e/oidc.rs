//! The OpenID provider `oidc-provider` from npm, which is certified, logs somebody in.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use url::Url;

use crate::bundle::{Bundle, root};

const PACKAGE: &str = "oidc-provider@9.13.3";

/// The bundle of the other stories knows no provider, so this one starts another.
pub(crate) fn a_provider_from_npm_logs_somebody_in(_: &Bundle) {
    let Some(package) = package() else {
        println!("left out: there is no node with npm, to run {PACKAGE}");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let mut provider = Provider::start(&package);
    let providers = json!([{
        "name": "node",
        "issuer": format!("http://127.0.0.1:{}", provider.port),
        "client_id": "sheaf",
        "client_secret": "hush/hush",
    }]);
    let variables = [("OIDC_PROVIDERS", providers.to_string())];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let bundle = Bundle::with(folder.path(), &variables);
    provider.serve(&bundle.url("/api/v1/auth/oidc/node/callback"));
    bundle.start();

    let login = bundle.url("/api/v1/auth/oidc/node/login");
    let profile = |token: Value| {
        assert_eq!(token["token_type"], "bearer", "{token}");
        let token = token["access_token"].as_str().unwrap();
        bundle.get("/api/v1/users/me", Some(token)).expect(200)
    };
    let ada = profile(Browser::default().log_in(&login, "ada"));
    assert_eq!(ada["email"], "ada@example.com");
    assert_eq!(ada["full_name"], "Ada Lovelace");
    assert_eq!(ada["is_verified"], true);
    // From another browser, and somebody else.
    let again = profile(Browser::default().log_in(&login, "ada"));
    assert_eq!(again["id"], ada["id"]);
    let grace = profile(Browser::default().log_in(&login, "grace"));
    assert_eq!(grace["email"], "grace@example.com");
    assert_ne!(grace["id"], ada["id"]);
    bundle.stop();
}

/// The provider in a process of its own, which ends with this story.
struct Provider {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    port: u16,
}

impl Provider {
    /// Starts it. It has a port, and answers nothing yet.
    fn start(package: &Path) -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/oidc-provider.mjs");
        let mut child = Command::new("node")
            .arg(script)
            .arg(package)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("node can be started");
        let mut provider = Self {
            input: child.stdin.take().unwrap(),
            output: BufReader::new(child.stdout.take().unwrap()),
            child,
            port: 0,
        };
        provider.port = provider.line().parse().unwrap();
        provider
    }

    /// Lets it answer, and send browsers back to this address only.
    fn serve(&mut self, redirect_uri: &str) {
        writeln!(self.input, "{redirect_uri}").unwrap();
        assert_eq!(self.line(), "ready");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.output.read_line(&mut line).unwrap();
        line.trim().to_owned()
    }
}

impl Drop for Provider {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A browser as far as logging in needs one: it follows redirects, keeps cookies, and sends forms.
#[derive(Default)]
struct Browser {
    cookies: Vec<Cookie>,
}

struct Cookie {
    name: String,
    value: String,
    path: String,
}

impl Browser {
    /// Begins a login, signs in on the provider's first page, agrees on its second, and answers what comes back.
    fn log_in(&mut self, url: &str, name: &str) -> Value {
        let mut page = self.open("GET", url.parse().unwrap(), String::new());
        for form in [
            format!("prompt=login&login={name}&password=any"),
            "prompt=consent".to_owned(),
        ] {
            let prompt = form.split('&').next().unwrap().replace("prompt=", "");
            assert!(page.contains(&format!("value=\"{prompt}\"")), "{page}");
            let action = page.split("action=\"").nth(1).unwrap();
            let action = action.split('"').next().unwrap().parse().unwrap();
            page = self.open("POST", action, form);
        }
        serde_json::from_str(&page).unwrap_or_else(|error| panic!("{error}: {page}"))
    }

    /// The page at the end of the redirects.
    fn open(&mut self, method: &str, url: Url, form: String) -> String {
        let (mut method, mut url, mut form) = (method, url, form);
        for _ in 0..10 {
            let mut response = self.send(method, &url, std::mem::take(&mut form));
            let location = response.headers().get("location").cloned();
            if let Some(location) = location {
                url = url.join(location.to_str().unwrap()).unwrap();
                method = "GET";
                continue;
            }
            let page = response.body_mut().read_to_string().unwrap();
            assert_eq!(response.status(), 200, "{method} {url}: {page}");
            return page;
        }
        panic!("it is redirected again and again, at last to {url}");
    }

    fn send(&mut self, method: &str, url: &Url, form: String) -> ureq::http::Response<ureq::Body> {
        let agent = ureq::Agent::new_with_config(
            ureq::Agent::config_builder()
                .http_status_as_error(false)
                .max_redirects(0)
                .timeout_global(Some(Duration::from_secs(60)))
                .build(),
        );
        let request = ureq::http::Request::builder()
            .method(method)
            .uri(url.as_str())
            .header("cookie", self.cookies_for(url.path()))
            .header("content-type", "application/x-www-form-urlencoded");
        let response = agent.run(request.body(form).unwrap()).unwrap();
        for cookie in response.headers().get_all("set-cookie") {
            self.keep(cookie.to_str().unwrap());
        }
        response
    }

    fn cookies_for(&self, path: &str) -> String {
        let for_path = self.cookies.iter().filter(|c| path.starts_with(&c.path));
        let pairs = for_path.map(|cookie| format!("{}={}", cookie.name, cookie.value));
        pairs.collect::<Vec<_>>().join("; ")
    }

    /// Keeps a cookie in the place of the one that has the same name and path. One without a value is taken back.
    fn keep(&mut self, text: &str) {
        let mut parts = text.split(';').map(str::trim);
        let (name, value) = parts.next().unwrap().split_once('=').unwrap();
        let mut attributes = parts.filter_map(|part| part.split_once('='));
        let path = attributes.find(|(name, _)| name.eq_ignore_ascii_case("path"));
        let path = path.map_or("/", |(_, path)| path).to_owned();
        self.cookies.retain(|c| c.name != name || c.path != path);
        if !value.is_empty() {
            let (name, value) = (name.to_owned(), value.to_owned());
            self.cookies.push(Cookie { name, value, path });
        }
    }
}

/// The folder where the package is installed; `None` on a machine that cannot run it.
fn package() -> Option<PathBuf> {
    let works = |program| {
        let mut command = Command::new(program);
        let output = command.arg("--version").stdin(Stdio::null()).output();
        output.is_ok_and(|output| output.status.success())
    };
    if !works("node") || !works("npm") {
        return None;
    }
    let folder = root().join("target/oidc-provider");
    std::fs::create_dir_all(&folder).unwrap();
    let install = Command::new("npm")
        .args(["install", "--no-audit", "--no-fund", "--loglevel=error"])
        .arg("--prefix")
        .arg(&folder)
        .arg(PACKAGE)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = [install.stdout, install.stderr].concat();
    let said = String::from_utf8_lossy(&said);
    assert!(
        install.status.success(),
        "{PACKAGE} cannot be installed: {said}"
    );
    Some(folder)
}
