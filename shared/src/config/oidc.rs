//! The OpenID providers that people may log in with.

use serde::Deserialize;
use serde_json::Value;

use super::{Hidden, Reader};

/// A provider, and what this house is to it.
#[derive(Clone, Debug)]
pub struct OidcProvider {
    /// What it is called in paths and keys: 1 to 20 of `a-z 0-9 -`.
    pub name: String,
    /// Its issuer, exactly as it spells it: its documents and tokens are compared with this text.
    pub issuer: String,
    pub client_id: String,
    pub client_secret: Hidden,
}

/// An entry of the variable, before its values are looked at.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    name: String,
    issuer: String,
    client_id: String,
    client_secret: Hidden,
}

impl Reader<'_> {
    /// The value holds secrets, so a problem tells where it is and repeats names and issuers only.
    pub(super) fn oidc_providers(&mut self, variable: &str, relaxed: bool) -> Vec<OidcProvider> {
        let Some(text) = self.optional(variable) else {
            return Vec::new();
        };
        let Ok(entries) = serde_json::from_str::<Vec<Value>>(&text) else {
            self.problems.push(format!("{variable} is not a JSON list"));
            return Vec::new();
        };
        let mut providers = Vec::new();
        for (number, entry) in entries.into_iter().enumerate() {
            let Ok(entry) = serde_json::from_value::<Entry>(entry) else {
                self.problems.push(format!(
                    "{variable}[{number}] is not an object of the texts name, issuer, client_id and client_secret"
                ));
                continue;
            };
            let wrong = |problem: String| format!("{variable}[{number}] {problem}");
            let found = check(&entry, &providers, relaxed);
            self.problems.extend(found.into_iter().map(wrong));
            providers.push(OidcProvider {
                name: entry.name,
                issuer: entry.issuer,
                client_id: entry.client_id,
                client_secret: entry.client_secret,
            });
        }
        providers
    }
}

/// All that is wrong with an entry that comes after `others`.
fn check(entry: &Entry, others: &[OidcProvider], relaxed: bool) -> Vec<String> {
    let Entry { name, issuer, .. } = entry;
    let mut problems = Vec::new();
    if !is_name(name) {
        problems.push(format!(
            "has the name {name:?}, which is not 1 to 20 of a-z, 0-9 and '-'"
        ));
    }
    if others.iter().any(|other| other.name == *name) {
        problems.push(format!(
            "has the name {name:?}, which another one has before it"
        ));
    }
    if !is_issuer(issuer, relaxed) {
        problems.push(format!(
            "has the issuer {issuer:?}, which is not an https URL without query and fragment"
        ));
    }
    for (field, value) in [
        ("client_id", entry.client_id.as_str()),
        ("client_secret", entry.client_secret.reveal()),
    ] {
        if value.trim().is_empty() {
            problems.push(format!("has an empty {field}"));
        }
    }
    problems
}

fn is_name(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=20).contains(&text.len()) && text.bytes().all(allowed)
}

/// OpenID Connect Discovery 1.0, section 3. Without TLS only where rules are relaxed.
fn is_issuer(text: &str, relaxed: bool) -> bool {
    let Ok(url) = url::Url::parse(text) else {
        return false;
    };
    let is_secure = url.scheme() == "https" || (relaxed && url.scheme() == "http");
    let is_bare = url.query().is_none() && url.fragment().is_none();
    let is_plain = url.username().is_empty() && url.password().is_none();
    is_secure && url.has_host() && is_bare && is_plain
}

impl<'de> Deserialize<'de> for Hidden {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(Self::new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str, relaxed: bool) -> (Vec<OidcProvider>, Vec<String>) {
        let lookup = |_: &str| Some(text.to_owned());
        let mut reader = Reader {
            lookup: &lookup,
            problems: Vec::new(),
        };
        let providers = reader.oidc_providers("OIDC_PROVIDERS", relaxed);
        (providers, reader.problems)
    }

    #[test]
    fn a_list_of_providers() {
        let text = r#"[
            {"name": "google", "issuer": "https://accounts.google.com", "client_id": "one", "client_secret": "hush"},
            {"name": "id-2", "issuer": "https://id.example/realms/a/", "client_id": "two", "client_secret": "hush"}
        ]"#;
        let (providers, problems) = read(text, false);
        assert_eq!(problems, [""; 0]);
        let names = providers.iter().map(|provider| provider.name.as_str());
        assert_eq!(names.collect::<Vec<_>>(), ["google", "id-2"]);
        assert_eq!(providers[1].issuer, "https://id.example/realms/a/");
        assert_eq!(providers[0].client_secret.reveal(), "hush");
        assert!(!format!("{providers:?}").contains("hush"));
        assert!(read("[]", false).0.is_empty());
        assert!(read("", false).0.is_empty());
    }

    #[test]
    fn every_problem_is_told_and_no_secret() {
        let text = r#"[
            {"name": "Google", "issuer": "http://id.example", "client_id": "", "client_secret": " "},
            {"name": "a", "issuer": "https://id.example?a=b", "client_id": "one", "client_secret": "hush"},
            {"name": "a", "issuer": "https://user@id.example", "client_id": "one", "client_secret": "hush"},
            {"name": "b", "issuer": "https://id.example", "client_id": "one", "client_secret": 7},
            {"name": "c", "issuer": "https://id.example", "client_id": "one", "client_secret": "hush", "scope": "all"},
            "hush"
        ]"#;
        let shape =
            "is not an object of the texts name, issuer, client_id and client_secret".to_owned();
        let expected = [
            "[0] has the name \"Google\", which is not 1 to 20 of a-z, 0-9 and '-'",
            "[0] has the issuer \"http://id.example\", which is not an https URL without query and fragment",
            "[0] has an empty client_id",
            "[0] has an empty client_secret",
            "[1] has the issuer \"https://id.example?a=b\", which is not an https URL without query and fragment",
            "[2] has the name \"a\", which another one has before it",
            "[2] has the issuer \"https://user@id.example\", which is not an https URL without query and fragment",
            &format!("[3] {shape}"),
            &format!("[4] {shape}"),
            &format!("[5] {shape}"),
        ];
        let expected = expected.map(|problem| format!("OIDC_PROVIDERS{problem}"));
        assert_eq!(read(text, false).1, expected);
        for text in ["{}", "hush", "[", "null"] {
            let problems = read(text, false).1;
            assert_eq!(problems, ["OIDC_PROVIDERS is not a JSON list"], "{text}");
        }
    }

    #[test]
    fn without_tls_only_where_rules_are_relaxed() {
        let text = r#"[{"name": "a", "issuer": "http://127.0.0.1:9", "client_id": "b", "client_secret": "c"}]"#;
        assert_eq!(read(text, true).1, [""; 0]);
        assert_eq!(read(text, false).1.len(), 1);
    }
}
