//! The functions' log lines, as a person reads them.
//!
//! The functions write JSON, one line an event, here as in the cloud. What is made of it is for eyes alone: no program
//! should read it, and `--json-logs` leaves the lines as they are.

use std::fmt::Display;

use console::{Color, StyledObject, style};
use serde_json::{Map, Value};

/// The width of time and level, below which the lines of a cause stand.
const MARGIN: usize = 15;

/// An event of a function, and what a tool has said before it in the same line.
pub(super) struct Line<'a> {
    pub(super) before: &'a str,
    /// The event as it was written.
    pub(super) json: &'a str,
    event: Map<String, Value>,
}

impl<'a> Line<'a> {
    /// `None` if the line does not end with an event as the functions write them.
    pub(super) fn read(line: &'a str) -> Option<Self> {
        let (before, json) = line.split_at(line.find("{\"")?);
        let event: Map<_, _> = serde_json::from_str(json).ok()?;
        let line = Self {
            before,
            json,
            event,
        };
        (line.is_metrics() || line.event.get("level")?.is_string()).then_some(line)
    }

    /// Whether it is a document of CloudWatch's embedded metric format, which is for CloudWatch alone.
    pub(super) fn is_metrics(&self) -> bool {
        self.event.contains_key("_aws")
    }

    /// The event in one line, and its cause in lines of its own. Ends without a line break.
    pub(super) fn readable(self, time: &str, colour: bool) -> String {
        let mut rest = Fields(self.event);
        let paint = Paint(colour);
        let level = rest.text("level").unwrap_or_default();
        let cause = rest.text("cause");
        let what = match (rest.text("method"), rest.text("route")) {
            (Some(method), Some(route)) => request(&mut rest, paint, &method, &route),
            _ => happening(&mut rest, paint),
        };
        let time = paint.dim(time);
        let mut told = format!("{time} {} {what}", paint.level(&level));
        for line in cause.iter().flat_map(|cause| cause.lines()) {
            let line = paint.level_of(&level, plain(line));
            told.push_str(&format!("\n{:MARGIN$}{line}", ""));
        }
        told
    }
}

/// `POST /api/v1/orders 201 3.2 ms 2 trips 1.5 rcu 12 wcu user 019f… request 019f…`
fn request(rest: &mut Fields, paint: Paint, method: &str, route: &str) -> String {
    let status = rest.text("status").unwrap_or_default();
    let mut told = vec![format!("{method} {route}"), paint.status(&status)];
    told.extend(rest.text("code"));
    told.extend(rest.measures());
    // Here it is always this machine's, and there is no X-Ray.
    for known in ["ip", "trace"] {
        rest.0.remove(known);
    }
    for name in ["user", "request"] {
        let id = rest.text(name);
        told.extend(id.map(|id| paint.dim(&format!("{name} {id}"))));
    }
    told.extend(rest.others("").iter().map(|other| paint.dim(other)));
    told.join(" ")
}

/// `task welcome_mail succeeded 12.3 ms 3 trips attempts 1 task.id 019f…`, or whatever else a function says.
fn happening(rest: &mut Fields, paint: Paint) -> String {
    let message = rest.text("message").unwrap_or_default();
    let ending = message.strip_prefix("task ");
    let kind = ending.and_then(|_| rest.text("kind"));
    let mut told = match (ending, kind) {
        (Some(ending), Some(kind)) => vec![format!("task {kind} {ending}")],
        _ => vec![message.clone()],
    };
    told.extend(rest.measures());
    let others = rest.others(&message);
    told.extend(others.iter().map(|other| paint.dim(other)));
    told.join(" ")
}

/// What of an event was not told yet.
struct Fields(Map<String, Value>);

impl Fields {
    /// Takes a field, as text.
    fn text(&mut self, name: &str) -> Option<String> {
        let value = self.0.remove(name)?;
        // The lines of a cause are what it is read by.
        let is_cause = name == "cause";
        Some(match value {
            Value::String(text) if is_cause => text,
            Value::String(text) => plain(&text),
            // Without the `.0` of whole units.
            Value::Number(number) => match number.as_f64().filter(|_| number.is_f64()) {
                Some(number) => number.to_string(),
                None => number.to_string(),
            },
            other => plain(&other.to_string()),
        })
    }

    /// How long it took and what it cost, as far as it says so.
    fn measures(&mut self) -> Vec<String> {
        let names = [
            ("duration_ms", "ms"),
            ("db_trips", "trips"),
            ("rcu", "rcu"),
            ("wcu", "wcu"),
        ];
        let measure = |(name, unit)| {
            let number = self.text(name)?;
            Some(match (number.as_str(), unit) {
                ("1", "trips") => "1 trip".to_owned(),
                _ => format!("{number} {unit}"),
            })
        };
        names.into_iter().filter_map(measure).collect()
    }

    /// All other fields, each with its name, but texts that `told` has in it already.
    fn others(&mut self, told: &str) -> Vec<String> {
        let mut names: Vec<_> = self.0.keys().cloned().collect();
        names.sort();
        let other = |name: String| {
            let is_text = self.0.get(&name)?.is_string();
            let value = self.text(&name)?;
            let is_told = is_text && told.contains(&value);
            (!is_told).then(|| format!("{name} {value}"))
        };
        names.into_iter().filter_map(other).collect()
    }
}

/// Nothing that a terminal would obey: part of a text may be what a stranger has sent.
fn plain(text: &str) -> String {
    let shown = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Colours, or none.
#[derive(Clone, Copy)]
struct Paint(bool);

impl Paint {
    fn on<D: Display>(self, what: D) -> StyledObject<D> {
        style(what).force_styling(self.0)
    }

    fn dim(self, text: &str) -> String {
        self.on(text).dim().to_string()
    }

    fn level(self, level: &str) -> String {
        self.level_of(level, format!("{level:<5}"))
    }

    /// In the colour of a level.
    fn level_of(self, level: &str, text: String) -> String {
        let colour = match level {
            "ERROR" => Color::Red,
            "WARN" => Color::Yellow,
            "INFO" => Color::Green,
            _ => Color::Blue,
        };
        self.on(text).fg(colour).to_string()
    }

    fn status(self, status: &str) -> String {
        let colour = match status.as_bytes().first() {
            Some(b'4') => Color::Yellow,
            Some(b'5') => Color::Red,
            _ => return status.to_owned(),
        };
        self.on(status).fg(colour).to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told(line: &str) -> Option<String> {
        let line = Line::read(line)?;
        assert!(!line.is_metrics());
        Some(line.readable("12:04:31", false))
    }

    #[test]
    fn lines_as_a_person_reads_them() {
        let cases = [
            (
                r#"{"level":"INFO","method":"POST","route":"/api/v1/orders","status":201,"duration_ms":3.2,"ip":"127.0.0.1","user":"019f-u","request":"019f-r","db_trips":2,"rcu":1.5,"wcu":12.0}"#,
                "12:04:31 INFO  POST /api/v1/orders 201 3.2 ms 2 trips 1.5 rcu 12 wcu user 019f-u request 019f-r",
            ),
            (
                r#"{"level":"INFO","method":"GET","route":"-","status":404,"code":"not_found","duration_ms":0.05,"ip":"127.0.0.1","request":"019f-r","trace":"1-5759","db_trips":0,"rcu":0.0,"wcu":0.0}"#,
                "12:04:31 INFO  GET - 404 not_found 0.05 ms 0 trips 0 rcu 0 wcu request 019f-r",
            ),
            (
                r#"{"level":"ERROR","message":"request failed","request":"019f-r","code":"unavailable","cause":"read a user: no answer"}"#,
                "12:04:31 ERROR request failed code unavailable request 019f-r\n               read a user: no answer",
            ),
            (
                r#"{"level":"INFO","message":"task succeeded","task.id":"019f-t","kind":"welcome_mail","attempts":1,"duration_ms":12.34,"db_trips":1}"#,
                "12:04:31 INFO  task welcome_mail succeeded 12.34 ms 1 trip attempts 1 task.id 019f-t",
            ),
            (
                r#"{"level":"WARN","message":"task will be tried again","task.id":"019f-t","kind":"welcome_mail","attempts":2,"duration_ms":1.0,"db_trips":3,"cause":"Unavailable(\n\nCaused by:\n  away)","after":4}"#,
                "12:04:31 WARN  task welcome_mail will be tried again 1 ms 3 trips after 4 attempts 2 task.id 019f-t\n               Unavailable(\n               \n               Caused by:\n                 away)",
            ),
            // What the message says already is not said again.
            (
                r#"{"level":"INFO","message":"placed order 019f-o","order.id":"019f-o"}"#,
                "12:04:31 INFO  placed order 019f-o",
            ),
            (
                r#"{"level":"WARN","message":"sent 3 due tasks again","sent":3,"oldest":30}"#,
                "12:04:31 WARN  sent 3 due tasks again oldest 30 sent 3",
            ),
            (
                r#"{"level":"ERROR","message":"panic: at the disco","place":"src/x.rs:1:2"}"#,
                "12:04:31 ERROR panic: at the disco place src/x.rs:1:2",
            ),
            (
                r#"{"level":"DEBUG","list":[1,2],"on":true,"none":null}"#,
                "12:04:31 DEBUG  list [1,2] none null on true",
            ),
            // Nothing that is sent here moves a cursor or makes lines of its own.
            (
                r#"{"level":"INFO","message":"a\u001b[2Jb\nc","cause":"d\u0007e\nf"}"#,
                "12:04:31 INFO  a\\u{1b}[2Jb\\nc\n               d\\u{7}e\n               f",
            ),
        ];
        for (line, expected) in cases {
            assert_eq!(told(line).as_deref(), Some(expected), "{line}");
        }
    }

    #[test]
    fn what_is_no_event_is_left_alone() {
        for line in [
            "",
            "   Compiling auth v0.1.0",
            "thread 'main' panicked at src/main.rs:1:1:",
            r#"{"level":"INFO","message":"cut o"#,
            r#"{"level":"INFO"} and more"#,
            r#"{"message":"without a level"}"#,
            r#"{"level":3}"#,
            r#"["level"]"#,
        ] {
            assert_eq!(told(line), None, "{line}");
        }
    }

    #[test]
    fn metrics_and_what_stands_before_a_line() {
        let line = r#"{"Environment":"local","TasksQueued":2,"_aws":{"Timestamp":1}}"#;
        assert!(Line::read(line).unwrap().is_metrics());
        let line = r#"{"level":"INFO","message":"about {\"_aws\":1}"}"#;
        assert!(!Line::read(line).unwrap().is_metrics());
        let line = r#"   Compiling auth{"level":"INFO","message":"x"}"#;
        assert_eq!(Line::read(line).unwrap().before, "   Compiling auth");
    }

    #[test]
    fn colours_are_those_of_level_and_status() {
        let colours = |line: &str| {
            let told = Line::read(line).unwrap().readable("12:04:31", true);
            let codes = told.split("\u{1b}[").skip(1);
            let codes = codes.map(|code| code.split_once('m').unwrap().0.to_owned());
            let mut codes: Vec<_> = codes.collect();
            codes.retain(|code| code.starts_with('3'));
            codes.join(" ")
        };
        let request =
            |status| format!(r#"{{"level":"INFO","method":"GET","route":"/","status":{status}}}"#);
        assert_eq!(colours(&request(200)), "32");
        assert_eq!(colours(&request(404)), "32 33");
        assert_eq!(colours(&request(503)), "32 31");
        assert_eq!(
            colours(r#"{"level":"WARN","message":"x","cause":"y"}"#),
            "33 33"
        );
        assert_eq!(
            colours(r#"{"level":"ERROR","message":"x","cause":"y\nz"}"#),
            "31 31 31"
        );
    }
}
