//! The cookie that binds a login to the browser that began it. Without it somebody could finish their own login in
//! another's browser, who would then work in a foreign account (login CSRF; RFC 6749, section 10.12).

use http::HeaderMap;
use http::header::COOKIE;
use shared::Config;
use shared::store::oidc::OIDC_PATIENCE;

/// Browsers take a `__Host-` cookie by TLS only, for this host and the whole of it: no subdomain can set it. Without
/// TLS, as on a developer's machine, they would not take it at all.
fn name(config: &Config) -> &'static str {
    match config.is_local() {
        true => "sheaf-oidc",
        false => "__Host-sheaf-oidc",
    }
}

/// `Set-Cookie` for a login that begins. `Lax`, because the provider's page leads back to us.
pub(super) fn keep(config: &Config, value: &str) -> String {
    written(config, value, OIDC_PATIENCE.as_secs())
}

/// `Set-Cookie` for a login that has been finished.
pub(super) fn forget(config: &Config) -> String {
    written(config, "", 0)
}

fn written(config: &Config, value: &str, seconds: i64) -> String {
    let name = name(config);
    let secure = match config.is_local() {
        true => "",
        false => "; Secure",
    };
    format!("{name}={value}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax{secure}")
}

/// What the browser has kept. Looked for by bytes: what others have it keep need not be text.
pub(super) fn read<'a>(config: &Config, headers: &'a HeaderMap) -> Option<&'a str> {
    let name = name(config).as_bytes();
    let lists = headers.get_all(COOKIE).iter();
    let cookies = lists.flat_map(|list| list.as_bytes().split(|byte| *byte == b';'));
    let mut values =
        cookies.filter_map(|cookie| cookie.trim_ascii().strip_prefix(name)?.strip_prefix(b"="));
    let value = str::from_utf8(values.next()?).ok()?;
    value.is_ascii().then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn config(environment: &str) -> Config {
        let config = Config::from_lookup(|name| match name {
            "ENVIRONMENT" => Some(environment.to_owned()),
            "AWS_REGION" | "AWS_ACCESS_KEY_ID" | "AWS_SECRET_ACCESS_KEY" | "APP_TABLE" => {
                Some("x".to_owned())
            }
            "TASK_QUEUE_URL" => Some("https://queue.example".to_owned()),
            _ => None,
        });
        config.unwrap()
    }

    #[test]
    fn deployed_it_is_for_this_host_by_tls() {
        let (here, there) = (config("local"), config("production"));
        assert_eq!(
            keep(&there, "abc"),
            "__Host-sheaf-oidc=abc; Path=/; Max-Age=600; HttpOnly; SameSite=Lax; Secure"
        );
        assert_eq!(
            keep(&here, "abc"),
            "sheaf-oidc=abc; Path=/; Max-Age=600; HttpOnly; SameSite=Lax"
        );
        assert_eq!(
            forget(&there),
            "__Host-sheaf-oidc=; Path=/; Max-Age=0; HttpOnly; SameSite=Lax; Secure"
        );
    }

    #[test]
    fn it_is_found_among_others() {
        let config = config("production");
        let cases = [
            (vec!["__Host-sheaf-oidc=abc"], Some("abc")),
            (vec!["a=b; __Host-sheaf-oidc=abc; c=d"], Some("abc")),
            (vec!["a=b", "__Host-sheaf-oidc=abc"], Some("abc")),
            (vec!["__Host-sheaf-oidc="], Some("")),
            // Any subdomain can set this one.
            (vec!["sheaf-oidc=abc"], None),
            (vec!["x__Host-sheaf-oidc=abc; __Host-sheaf-oidc"], None),
            (vec!["__Host-sheaf-oidc2=abc"], None),
            (
                vec!["a=\u{e9}; __Host-sheaf-oidc=abc; c=\u{e9}"],
                Some("abc"),
            ),
            (vec!["__Host-sheaf-oidc=ab\u{e9}"], None),
            // Not a space to any browser.
            (vec!["a=b;\u{a0}__Host-sheaf-oidc=abc"], None),
            (vec!["__Host-sheaf-oidc=abc\u{a0}"], None),
            (vec![], None),
        ];
        for (cookies, expected) in cases {
            let mut headers = HeaderMap::new();
            for cookie in &cookies {
                let cookie = HeaderValue::from_bytes(cookie.as_bytes());
                headers.append(COOKIE, cookie.unwrap());
            }
            assert_eq!(read(&config, &headers), expected, "{cookies:?}");
        }
    }

    #[test]
    fn another_cookie_need_not_be_text() {
        let cookies = HeaderValue::from_bytes(b"a=\xff\xe9; __Host-sheaf-oidc=abc; \xff");
        let headers = HeaderMap::from_iter([(COOKIE, cookies.unwrap())]);
        assert_eq!(read(&config("production"), &headers), Some("abc"));
    }
}
