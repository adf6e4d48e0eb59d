//! Configuration: the only place that reads the environment.
//!
//! [`Config::from_env`] reads every variable once, at start, and lists all that is wrong in one error.
//! Tests build a `Config` from a closure instead, so that no test touches the process environment.

mod oidc;

use std::path::PathBuf;
use std::str::FromStr;

use email_address::EmailAddress;
use http::HeaderValue;
use ring::digest::{SHA256, digest};

use crate::models::order::Provider;

pub use oidc::OidcProvider;

/// Everything a function can be told from outside. The README's table lists the variables.
#[derive(Clone, Debug)]
pub struct Config {
    /// `local`, `test`, or any name for a deployed stage; only `local` and `test` relax a rule.
    pub environment: String,
    /// Where clients reach the API, without a slash at the end: the tokens' issuer and audience, and the start of
    /// links. Without it each request's domain name stands in, which API Gateway sets and a client cannot.
    pub public_url: Option<String>,
    pub log_level: tracing::level_filters::LevelFilter,
    pub cors_origins: Origins,
    pub aws: Aws,
    pub app_table: String,
    /// Only functions that may touch secrets know this name.
    pub vault_table: Option<String>,
    pub task_queue_url: String,
    pub secret: Option<SecretSource>,
    pub limits: Limits,
    /// Whom people may log in with besides us.
    pub oidc_providers: Vec<OidcProvider>,
    /// Whether `/auth/token` takes passwords, which RFC 9700 advises against: for the documentation pages.
    pub allow_password_grant: bool,
    /// Whether only who has verified their address may write what others see.
    pub require_verified_email: bool,
    /// How long an audit entry is kept.
    pub audit_retention_days: u32,
    /// Of all prices, as ISO 4217 names it.
    pub currency: String,
    /// How an order is paid that is placed from now on.
    pub payment_provider: Provider,
    /// What it takes to speak to Stripe.
    pub stripe: Option<StripeKeys>,
    /// How long an order may stay unpaid, in seconds.
    pub order_due_seconds: u32,
    /// How many orders of a user may be unpaid at the same time.
    pub max_unpaid_orders: u32,
    /// Whether an order must be placed with an `Idempotency-Key`.
    pub require_idempotency_key: bool,
    /// Only functions that store files know this name.
    pub files_bucket: Option<String>,
    /// How much a user may store, in megabytes.
    pub quota_mb: u32,
    pub max_files: u32,
    /// What a program sends to read the metrics; without it only administrators may.
    pub metrics_token: Option<Hidden>,
    /// Without it no mail is sent, and its task says so.
    pub mail_url: Option<MailUrl>,
    /// The sender, as `Name <address>`.
    pub mail_from: String,
}

/// The origins whose pages may call the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origins {
    Any,
    These(Vec<HeaderValue>),
}

/// Where mail goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MailUrl {
    /// `file:/folder`: a folder that keeps one `.eml` file a message.
    Folder(PathBuf),
    /// `smtp://` or `smtps://`: a mail server, perhaps with user and password in it.
    Smtp(Hidden),
    /// `ses:`: Amazon SES, in the function's own region and with its permissions.
    Ses,
}

/// What proves us to Stripe, and Stripe to us.
#[derive(Clone, Debug)]
pub struct StripeKeys {
    pub secret_key: Hidden,
    /// Of the endpoint that Stripe sends events to.
    pub webhook_secret: Hidden,
    pub api_url: String,
}

/// How to reach AWS. The Lambda runtime sets all but the endpoints, which are for local use.
#[derive(Clone, Debug)]
pub struct Aws {
    pub region: String,
    pub access_key_id: String,
    pub secret_access_key: Hidden,
    pub session_token: Option<Hidden>,
    pub dynamodb_endpoint: Option<String>,
    pub sqs_endpoint: Option<String>,
    pub secrets_manager_endpoint: Option<String>,
    pub ses_endpoint: Option<String>,
    pub s3_endpoint: Option<String>,
    /// A PEM file of certificate authorities to trust instead of the built-in ones.
    pub ca_bundle: Option<String>,
}

/// Where the one secret comes from, of which all keys are derived.
#[derive(Clone, Debug)]
pub enum SecretSource {
    /// Secrets Manager, by ARN.
    Arn(String),
    /// The environment, with the secret that it has replaced; refused outside local use.
    Plain {
        secret: Hidden,
        before: Option<Hidden>,
    },
}

/// What is wrong with a secret, if something is: it must have 32 random characters at least.
pub fn weakness(secret: &str) -> Option<&'static str> {
    const WELL_KNOWN: [&str; 7] = [
        "change", "secret", "password", "example", "default", "insecure", "123456",
    ];
    let letters: std::collections::BTreeSet<char> = secret.chars().collect();
    let lower = secret.to_lowercase();
    if secret.len() < 32 {
        Some("is shorter than 32 characters")
    } else if letters.len() < 12 || WELL_KNOWN.iter().any(|word| lower.contains(word)) {
        Some("is one that others could guess; let CloudFormation make one")
    } else {
        None
    }
}

/// How often a caller may do something.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub per_minute: u32,
    pub registrations_per_hour: u32,
    pub logins_per_minute: u32,
    /// Mails that a stranger can cause, per address and per mail address.
    pub recoveries_per_hour: u32,
    /// Tokens of a service client.
    pub tokens_per_minute: u32,
}

/// A text that must not be printed; its `Debug` shows nothing of it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Hidden(String);

impl Hidden {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    pub fn reveal(&self) -> &str {
        &self.0
    }

    /// Whether it is this text. How long that takes tells nothing of it.
    pub fn is(&self, text: &str) -> bool {
        let hash = |text: &str| digest(&SHA256, text.as_bytes());
        hash(&self.0).as_ref() == hash(text).as_ref()
    }
}

impl std::fmt::Debug for Hidden {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

/// Every problem found in the configuration, one a line.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("the configuration is wrong:\n  {}", .0.join("\n  "))]
pub struct ConfigError(pub Vec<String>);

impl Config {
    /// Reads the process environment.
    #[expect(
        clippy::disallowed_methods,
        reason = "this is the one place that may read the environment"
    )]
    pub fn from_env() -> Result<Self, ConfigError> {
        Self::from_lookup(|name| std::env::var(name).ok())
    }

    /// Reads variables through `lookup`; an empty variable counts as absent.
    pub fn from_lookup(lookup: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut read = Reader {
            lookup: &lookup,
            problems: Vec::new(),
        };
        let environment = read.text_or("ENVIRONMENT", "production");
        let relaxed = is_relaxed(&environment);
        // Lambda sets this one, and cargo-lambda does not.
        if relaxed && read.optional("AWS_LAMBDA_INITIALIZATION_TYPE").is_some() {
            let problem = format!("ENVIRONMENT={environment} is not for deployments");
            read.problems.push(problem);
        }
        let config = Self {
            public_url: read.url("PUBLIC_URL"),
            log_level: read.parsed_or("LOG_LEVEL", "info"),
            cors_origins: read.origins("CORS_ORIGINS"),
            aws: Aws {
                region: read.required("AWS_REGION"),
                access_key_id: read.required("AWS_ACCESS_KEY_ID"),
                secret_access_key: Hidden::new(read.required("AWS_SECRET_ACCESS_KEY")),
                session_token: read.optional("AWS_SESSION_TOKEN").map(Hidden::new),
                dynamodb_endpoint: read.endpoint("AWS_ENDPOINT_URL_DYNAMODB"),
                sqs_endpoint: read.endpoint("AWS_ENDPOINT_URL_SQS"),
                secrets_manager_endpoint: read.endpoint("AWS_ENDPOINT_URL_SECRETS_MANAGER"),
                ses_endpoint: read.endpoint("AWS_ENDPOINT_URL_SESV2"),
                s3_endpoint: read.endpoint("AWS_ENDPOINT_URL_S3"),
                ca_bundle: read.optional("AWS_CA_BUNDLE"),
            },
            app_table: read.required("APP_TABLE"),
            vault_table: read.optional("VAULT_TABLE"),
            task_queue_url: read.required("TASK_QUEUE_URL"),
            secret: read.secret(relaxed),
            limits: Limits {
                per_minute: read.parsed_or("RATE_LIMIT_PER_MINUTE", "100"),
                registrations_per_hour: read.parsed_or("REGISTER_LIMIT_PER_HOUR", "5"),
                logins_per_minute: read.parsed_or("LOGIN_LIMIT_PER_MINUTE", "10"),
                recoveries_per_hour: read.parsed_or("RECOVERY_LIMIT_PER_HOUR", "5"),
                tokens_per_minute: read.parsed_or("TOKEN_LIMIT_PER_MINUTE", "60"),
            },
            oidc_providers: read.oidc_providers("OIDC_PROVIDERS", relaxed),
            allow_password_grant: read.parsed_or("ALLOW_PASSWORD_GRANT", "false"),
            require_verified_email: read.parsed_or("REQUIRE_VERIFIED_EMAIL", "false"),
            audit_retention_days: read.parsed_or("AUDIT_RETENTION_DAYS", "365"),
            currency: read.currency("CURRENCY", "EUR"),
            payment_provider: read.payment_provider("PAYMENT_PROVIDER"),
            stripe: read.stripe(relaxed),
            order_due_seconds: read.parsed_or("ORDER_DUE_SECONDS", "300"),
            max_unpaid_orders: read.parsed_or("MAX_UNPAID_ORDERS", "20"),
            require_idempotency_key: read.parsed_or("REQUIRE_IDEMPOTENCY_KEY", "false"),
            files_bucket: read.optional("FILES_BUCKET"),
            quota_mb: read.parsed_or("QUOTA_MB", "200"),
            max_files: read.parsed_or("MAX_FILES", "1000"),
            metrics_token: read.token("METRICS_TOKEN"),
            mail_url: read.mail_url("MAIL_URL"),
            mail_from: read.mailbox("MAIL_FROM", "Sheaf <no-reply@localhost>"),
            environment,
        };
        match read.problems.is_empty() {
            true => Ok(config),
            false => Err(ConfigError(read.problems)),
        }
    }
}

impl Config {
    /// Whether this is a developer's machine or a test, where some rules are relaxed.
    pub fn is_local(&self) -> bool {
        is_relaxed(&self.environment)
    }
}

/// Whether rules for development apply: a secret in the environment is fine there, and nowhere else.
fn is_relaxed(environment: &str) -> bool {
    matches!(environment, "local" | "test")
}

/// Currencies that have none, or a thousand of them, by ISO 4217 or for Stripe: amounts here have two decimal places.
const OTHER_MINOR_UNITS: [&str; 27] = [
    "BHD", "BIF", "CLF", "CLP", "DJF", "GNF", "IQD", "ISK", "JOD", "JPY", "KMF", "KRW", "KWD",
    "LYD", "MGA", "OMR", "PYG", "RWF", "TND", "UGX", "UYI", "UYW", "VND", "VUV", "XAF", "XOF",
    "XPF",
];

/// Reads variables one by one and remembers what was wrong, so that all of it can be told at once.
struct Reader<'a> {
    lookup: &'a dyn Fn(&str) -> Option<String>,
    problems: Vec<String>,
}

impl Reader<'_> {
    fn optional(&self, name: &str) -> Option<String> {
        (self.lookup)(name).filter(|value| !value.is_empty())
    }

    fn required(&mut self, name: &str) -> String {
        self.optional(name).unwrap_or_else(|| {
            self.problems.push(format!("{name} is not set"));
            String::new()
        })
    }

    fn text_or(&self, name: &str, default: &str) -> String {
        self.optional(name).unwrap_or_else(|| default.to_owned())
    }

    fn parsed_or<T: FromStr + Fallback>(&mut self, name: &str, default: &str) -> T {
        let text = self.text_or(name, default);
        text.parse().unwrap_or_else(|_| {
            self.problems
                .push(format!("{name} is {text:?}, which is not {}", T::EXPECTED));
            T::FALLBACK
        })
    }

    fn origins(&mut self, name: &str) -> Origins {
        let text = self.optional(name).unwrap_or_default();
        if text.trim() == "*" {
            return Origins::Any;
        }
        let origins = text
            .split(',')
            .map(str::trim)
            .filter(|part| !part.is_empty());
        let (good, bad): (Vec<_>, Vec<_>) = origins.partition(|origin| is_http_url(origin));
        for origin in bad {
            let problem = format!("{name} has {origin:?}, which is not an http or https origin");
            self.problems.push(problem);
        }
        Origins::These(
            good.iter()
                .filter_map(|origin| origin.parse().ok())
                .collect(),
        )
    }

    fn url(&mut self, name: &str) -> Option<String> {
        let text = self.optional(name)?;
        if !is_http_url(&text) {
            let problem = format!("{name} is {text:?}, which is not an http or https URL");
            self.problems.push(problem);
        }
        Some(text.trim_end_matches('/').to_owned())
    }

    /// The endpoint of one service, or of all of them.
    fn endpoint(&mut self, name: &str) -> Option<String> {
        self.url(name).or_else(|| self.url("AWS_ENDPOINT_URL"))
    }

    fn secret(&mut self, relaxed: bool) -> Option<SecretSource> {
        if let Some(arn) = self.optional("AUTH_SECRET_ARN") {
            return Some(SecretSource::Arn(arn));
        }
        let plain = self.optional("AUTH_SECRET")?;
        if !relaxed {
            self.problems.push(
                "AUTH_SECRET is for ENVIRONMENT=local only; set AUTH_SECRET_ARN instead".to_owned(),
            );
        }
        if plain.len() < 32 {
            self.problems
                .push("AUTH_SECRET is shorter than 32 characters".to_owned());
        }
        Some(SecretSource::Plain {
            secret: Hidden::new(plain),
            before: self.optional("AUTH_SECRET_BEFORE").map(Hidden::new),
        })
    }

    fn token(&mut self, name: &str) -> Option<Hidden> {
        let token = self.optional(name)?;
        if token.len() < 32 {
            let problem = format!("{name} is shorter than 32 characters");
            self.problems.push(problem);
        }
        Some(Hidden::new(token))
    }

    fn currency(&mut self, name: &str, default: &str) -> String {
        let text = self.text_or(name, default);
        if text.len() != 3 || !text.bytes().all(|b| b.is_ascii_uppercase()) {
            self.problems.push(format!(
                "{name} is {text:?}, which is not three capital letters"
            ));
        }
        if OTHER_MINOR_UNITS.contains(&text.as_str()) {
            let problem = format!("{name} is {text}, which has not a hundred minor units");
            self.problems.push(problem);
        }
        text
    }

    /// Orders that were placed with Stripe need its keys for as long as they live, whatever is set now.
    fn stripe(&mut self, relaxed: bool) -> Option<StripeKeys> {
        let api_url = self.url("STRIPE_API_URL");
        if !relaxed && api_url.as_ref().is_some_and(|url| url.starts_with("http:")) {
            let problem = "STRIPE_API_URL is not an https URL";
            self.problems.push(problem.to_owned());
        }
        let secret_key = self.optional("STRIPE_SECRET_KEY").map(Hidden::new);
        let webhook_secret = self.optional("STRIPE_WEBHOOK_SECRET").map(Hidden::new);
        let (secret_key, webhook_secret) = match (secret_key, webhook_secret) {
            (Some(secret_key), Some(webhook_secret)) => (secret_key, webhook_secret),
            (None, None) => return None,
            _ => {
                let problem = "of STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET only one is set";
                self.problems.push(problem.to_owned());
                return None;
            }
        };
        Some(StripeKeys {
            secret_key,
            webhook_secret,
            api_url: api_url.unwrap_or_else(|| "https://api.stripe.com".to_owned()),
        })
    }

    fn payment_provider(&mut self, name: &str) -> Provider {
        let text = self.text_or(name, Provider::default().as_str());
        let provider = Provider::parse(&text).unwrap_or_else(|| {
            let problem = format!("{name} is {text:?}, which is not manual or stripe");
            self.problems.push(problem);
            Provider::default()
        });
        if provider == Provider::Stripe && self.optional("STRIPE_SECRET_KEY").is_none() {
            let problem = format!("{name} is stripe, and STRIPE_SECRET_KEY is not set");
            self.problems.push(problem);
        }
        provider
    }

    /// The value may hold a password, so a problem does not repeat it.
    fn mail_url(&mut self, name: &str) -> Option<MailUrl> {
        let url = self.optional(name)?;
        if url.trim_end_matches('/') == "ses:" {
            return Some(MailUrl::Ses);
        }
        if let Some(folder) = url.strip_prefix("file:") {
            let folder = folder.strip_prefix("//").unwrap_or(folder);
            return Some(MailUrl::Folder(PathBuf::from(folder)));
        }
        let is_smtp = |url: url::Url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host();
        if url::Url::parse(&url).is_ok_and(is_smtp) {
            return Some(MailUrl::Smtp(Hidden::new(url)));
        }
        self.problems.push(format!(
            "{name} is not smtp://host, smtps://host, ses: or file:/folder"
        ));
        None
    }

    fn mailbox(&mut self, name: &str, default: &str) -> String {
        let text = self.text_or(name, default);
        if EmailAddress::from_str(&text).is_err() {
            self.problems
                .push(format!("{name} is {text:?}, which is not 'Name <address>'"));
        }
        text
    }
}

fn is_http_url(text: &str) -> bool {
    url::Url::parse(text)
        .is_ok_and(|url| matches!(url.scheme(), "http" | "https") && url.has_host())
}

/// What a variable of this type should have been, for the error, and what stands in for it until then.
trait Fallback: Sized {
    const EXPECTED: &'static str;
    const FALLBACK: Self;
}

impl Fallback for u32 {
    const EXPECTED: &'static str = "a whole number";
    const FALLBACK: Self = 0;
}

impl Fallback for bool {
    const EXPECTED: &'static str = "true or false";
    const FALLBACK: Self = false;
}

impl Fallback for tracing::level_filters::LevelFilter {
    const EXPECTED: &'static str = "one of off, error, warn, info, debug, trace";
    const FALLBACK: Self = Self::INFO;
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &[(&str, &str)] = &[
        ("PUBLIC_URL", "https://api.example.com/"),
        ("AWS_REGION", "eu-central-1"),
        ("AWS_ACCESS_KEY_ID", "id"),
        ("AWS_SECRET_ACCESS_KEY", "key"),
        ("APP_TABLE", "app"),
        ("TASK_QUEUE_URL", "https://sqs/queue"),
    ];

    fn read(changes: &[(&str, &str)]) -> Result<Config, ConfigError> {
        Config::from_lookup(|name| {
            let found = changes.iter().chain(GOOD).find(|(n, _)| *n == name);
            found.map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn what_is_not_set_has_a_default() {
        let config = read(&[]).unwrap();
        assert_eq!(
            config.public_url.as_deref(),
            Some("https://api.example.com")
        );
        assert_eq!(config.environment, "production");
        assert_eq!(config.cors_origins, Origins::These(Vec::new()));
        assert_eq!(config.mail_url, None);
        assert_eq!(config.currency, "EUR");
    }

    #[test]
    fn values_are_parsed_once() {
        let config = read(&[
            ("CORS_ORIGINS", "https://a.example, https://b.example"),
            ("MAIL_URL", "file:///var/mail"),
            ("AWS_ENDPOINT_URL", "http://127.0.0.1:4566"),
            ("AWS_ENDPOINT_URL_SQS", "http://127.0.0.1:9002"),
        ])
        .unwrap();
        let origins = ["https://a.example", "https://b.example"].map(HeaderValue::from_static);
        assert_eq!(config.cors_origins, Origins::These(origins.into()));
        let folder = MailUrl::Folder(PathBuf::from("/var/mail"));
        assert_eq!(config.mail_url, Some(folder));
        let aws = config.aws;
        assert_eq!(
            aws.dynamodb_endpoint.as_deref(),
            Some("http://127.0.0.1:4566")
        );
        assert_eq!(aws.sqs_endpoint.as_deref(), Some("http://127.0.0.1:9002"));
    }

    #[test]
    fn every_problem_is_told_at_once() {
        let error = read(&[
            ("APP_TABLE", ""),
            ("PUBLIC_URL", "nowhere"),
            ("RATE_LIMIT_PER_MINUTE", "many"),
            ("LOG_LEVEL", "loud"),
            ("AUTH_SECRET", "short"),
            ("CORS_ORIGINS", "https://a.example,*"),
            ("CURRENCY", "euro"),
            ("METRICS_TOKEN", "guess-me"),
            ("MAIL_URL", "pigeon:"),
            ("MAIL_FROM", "nobody"),
        ])
        .unwrap_err();
        let expected = [
            "PUBLIC_URL is \"nowhere\", which is not an http or https URL",
            "LOG_LEVEL is \"loud\", which is not one of off, error, warn, info, debug, trace",
            "CORS_ORIGINS has \"*\", which is not an http or https origin",
            "APP_TABLE is not set",
            "AUTH_SECRET is for ENVIRONMENT=local only; set AUTH_SECRET_ARN instead",
            "AUTH_SECRET is shorter than 32 characters",
            "RATE_LIMIT_PER_MINUTE is \"many\", which is not a whole number",
            "CURRENCY is \"euro\", which is not three capital letters",
            "METRICS_TOKEN is shorter than 32 characters",
            "MAIL_URL is not smtp://host, smtps://host, ses: or file:/folder",
            "MAIL_FROM is \"nobody\", which is not 'Name <address>'",
        ];
        assert_eq!(error.0, expected);
    }

    #[test]
    fn rules_are_not_relaxed_where_lambda_runs() {
        let deployed = ("AWS_LAMBDA_INITIALIZATION_TYPE", "on-demand");
        for environment in ["local", "test"] {
            let named = ("ENVIRONMENT", environment);
            assert!(read(&[named]).is_ok(), "{environment}");
            let error = read(&[named, deployed]).unwrap_err();
            let expected = format!("ENVIRONMENT={environment} is not for deployments");
            assert_eq!(error.0, [expected]);
        }
        for environment in ["", "production", "testing", "local-2"] {
            let config = read(&[("ENVIRONMENT", environment), deployed]);
            assert!(
                config.is_ok_and(|config| !config.is_local()),
                "{environment}"
            );
        }
    }

    #[test]
    fn a_secret_that_others_could_guess_is_weak() {
        assert_eq!(weakness("q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3i"), None);
        for weak in [
            "q8ZrT2mWxK0vYb7LhN4cJd9SgPfAeU3",
            "change-me-q8ZrT2mWxK0vYb7LhN4cJd9S",
            "the secret of the tests, known to all",
            "abcabcabcabcabcabcabcabcabcabcabcabc",
        ] {
            assert!(weakness(weak).is_some(), "{weak}");
        }
    }

    #[test]
    fn secrets_are_not_printed() {
        let config = read(&[
            ("ENVIRONMENT", "local"),
            ("AUTH_SECRET", "a-secret-of-more-than-32-characters"),
            ("AWS_SECRET_ACCESS_KEY", "the-aws-key"),
            ("MAIL_URL", "smtps://ada:the-mail-key@mail.example.com"),
        ])
        .unwrap();
        let printed = format!("{config:?}");
        assert!(!printed.contains("a-secret-of"), "{printed}");
        assert!(!printed.contains("the-aws-key"), "{printed}");
        assert!(!printed.contains("the-mail-key"), "{printed}");
    }
}
