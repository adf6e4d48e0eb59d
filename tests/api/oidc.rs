//! Logging in with an OpenID provider. A real one is in the end-to-end suite; the one here can be spoilt.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use futures_util::future::join_all;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use ring::digest::{SHA256, digest};
use ring::hmac;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _,
};
use serde_json::{Value, json};
use shared::models::User;
use shared::models::audit::AuditEntry;
use tests::{Actor, Answer, Mail, MailFolder, PASSWORD, Stage};
use tokio::net::TcpListener;
use url::Url;
use url::form_urlencoded;
use uuid::Uuid;

const CLIENT: &str = "sheaf";
const SECRET: &str = "hush/hush";
const REDIRECT: &str = "https://api.example.com/api/v1/auth/oidc/test/callback";
const ME: &str = "/api/v1/users/me";
const NEW_PASSWORD: &str = "Better-horse-8";

#[tokio::test]
async fn somebody_new_logs_in_with_a_provider() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let browser = stage.anon();

    let answer = browser.get("/api/v1/auth/oidc/test/login").await;
    let answer = answer.expect(302).expect_round_trips(2);
    assert_eq!(answer.header("cache-control"), "no-store");
    let cookie = answer.header("set-cookie");
    assert!(cookie.starts_with("sheaf-oidc="), "{cookie}");
    for attribute in ["; HttpOnly", "; SameSite=Lax", "; Path=/", "; Max-Age=600"] {
        assert!(cookie.contains(attribute), "{cookie} without {attribute}");
    }
    let login = Login::of(&answer);
    assert_eq!(login.url.path(), "/authorize");
    for (name, expected) in [
        ("response_type", "code"),
        ("client_id", CLIENT),
        ("redirect_uri", REDIRECT),
        ("scope", "openid email profile"),
        ("code_challenge_method", "S256"),
    ] {
        assert_eq!(login.parameter(name), expected, "{}", login.url);
    }
    // Everything that is secret is another secret, and none is stored.
    let secrets = [
        login.parameter("state"),
        login.parameter("nonce"),
        login.parameter("code_challenge"),
        login.browser(),
    ];
    for (n, secret) in secrets.iter().enumerate() {
        assert!(secret.len() >= 43, "{secret}");
        assert!(!secrets[..n].contains(secret), "{secrets:?}");
    }
    let items = stage.all_items().await.concat();
    assert!(!items.contains(&login.parameter("state")));
    assert!(!items.contains(&login.browser()));

    let token = login.finish(&provider, &browser).await;
    let token = token.expect(200).expect_round_trips(6);
    assert_eq!(token.header("cache-control"), "no-store");
    assert!(token.header("set-cookie").contains("Max-Age=0"));
    let me = profile(&browser, &token).await;
    assert_eq!(me["email"], "ada@example.com");
    assert_eq!(me["full_name"], "Ada Lovelace");
    assert_eq!(me["role"], "user");
    assert_eq!(me["is_verified"], true);
    // They are welcomed, and can be found; there is nothing to verify.
    assert_eq!(stage.task_ids().await.len(), 2);
    let items = stage.all_items().await;
    let count = |part: &str| items.iter().filter(|item| item.contains(part)).count();
    assert_eq!(count("user.registered_by_oidc"), 1);
    assert_eq!(count("session.began_by_oidc"), 1);
    assert_eq!(count("\"OIDC#test#"), 1);
    assert_eq!(count("\"PASSWORD\""), 0);
    // Its refresh token works as anybody's.
    let refresh = json!({"refresh_token": token.text("refresh_token")});
    browser
        .post("/api/v1/auth/refresh", refresh)
        .await
        .expect(200);
}

#[tokio::test]
async fn whoever_came_before_is_known_by_subject_and_not_by_address() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let first = log_in(&stage, &provider).await.expect(200);
    let first = profile(&stage.anon(), &first).await;

    // The address is somebody else's by now, and not even verified. The provider is asked nothing more.
    provider
        .now(|spoilt| spoilt.claims = json!({"email": "new@example.com", "email_verified": false}));
    let again = log_in(&stage, &provider).await;
    let again = again.expect(200).expect_round_trips(5);
    assert_eq!(profile(&stage.anon(), &again).await, first);

    // Another subject has her address there by now: that does not make them her.
    provider.now(|spoilt| spoilt.claims = json!({"sub": "eve"}));
    let refused = log_in(&stage, &provider).await;
    refused
        .expect_problem(409, "email_taken")
        .expect_round_trips(6);
    assert_eq!(provider.count("/userinfo"), 0);
    let items = stage.all_items().await;
    let linked = items.iter().filter(|item| item.contains("\"OIDC#test#"));
    assert_eq!(linked.count(), 1);
}

#[tokio::test]
async fn an_account_with_the_same_verified_address_is_linked() {
    let provider = Provider::start().await;
    let mails = MailFolder::new();
    let stage = stage(&provider, &[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    change(&stage, &ada, |user| user.is_verified = true).await;
    new_mails(&stage, &mails).await;
    provider.now(|spoilt| spoilt.claims = json!({"email": ada.email.to_uppercase()}));

    let token = log_in(&stage, &provider).await;
    let token = token.expect(200).expect_round_trips(8);
    assert_eq!(profile(&stage.anon(), &token).await["id"], ada.id);
    let items = stage.all_items().await;
    let count = |part: &str| items.iter().filter(|item| item.contains(part)).count();
    assert_eq!(count("user.linked_oidc"), 1);
    assert_eq!(count("\"PROFILE\""), 1);
    // Her password is what it was.
    stage.anon().log_in(&ada.email, PASSWORD).await;
    // She is told, because it may have been somebody else.
    let told = new_mails(&stage, &mails).await;
    let [mail] = &told[..] else {
        panic!("{told:?}")
    };
    assert_eq!(mail.to, ada.email);
    assert_eq!(mail.subject, "Another way to log in to your account");
    assert!(mail.text.lines().any(|line| line == "test"), "{mail:?}");
    // The second time there is nothing to link.
    log_in(&stage, &provider).await.expect(200);
    let items = stage.all_items().await.concat();
    assert_eq!(items.matches("user.linked_oidc").count(), 1);
    assert!(new_mails(&stage, &mails).await.is_empty());
}

#[tokio::test]
async fn nobody_is_told_of_a_login_to_an_account_that_was_closed_meanwhile() {
    let provider = Provider::start().await;
    let mails = MailFolder::new();
    let stage = stage(&provider, &[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    change(&stage, &ada, |user| user.is_verified = true).await;
    new_mails(&stage, &mails).await;
    provider.now(|spoilt| spoilt.claims = json!({"email": ada.email}));
    log_in(&stage, &provider).await.expect(200);
    change(&stage, &ada, |user| user.is_active = false).await;
    assert!(new_mails(&stage, &mails).await.is_empty());
}

#[tokio::test]
async fn an_account_whose_address_is_not_verified_is_not_linked() {
    let provider = Provider::start().await;
    let mails = MailFolder::new();
    let stage = stage(&provider, &[("MAIL_URL", &mails.url())]).await;
    let thief = stage.user().await;
    provider.now(|spoilt| spoilt.claims = json!({"email": thief.email}));
    let refused = log_in(&stage, &provider).await;
    refused.expect_problem(409, "email_taken");
    let items = stage.all_items().await.concat();
    assert!(!items.contains("\"OIDC#test#"), "it was linked");
    assert!(!items.contains("session.began_by_oidc"));
    // Its owner takes the account over by a link: then it is verified, and nobody else knows a way in.
    reset_password(&stage, &mails, &thief.email).await;
    let token = log_in(&stage, &provider).await.expect(200);
    assert_eq!(profile(&stage.anon(), &token).await["id"], thief.id);
    thief.get(ME).await.expect_problem(401, "invalid_token");
    let credentials = json!({"email": thief.email, "password": PASSWORD});
    let refused = stage.anon().post("/api/v1/auth/login", credentials).await;
    refused.expect_problem(401, "invalid_credentials");
}

#[tokio::test]
async fn a_new_password_by_a_link_unlinks_whoever_was_linked() {
    let provider = Provider::start().await;
    let mails = MailFolder::new();
    let stage = stage(&provider, &[("MAIL_URL", &mails.url())]).await;
    let ada = stage.user().await;
    change(&stage, &ada, |user| user.is_verified = true).await;
    // For a while, somebody else had her address at the provider.
    provider.now(|spoilt| spoilt.claims = json!({"sub": "eve", "email": ada.email}));
    let stolen = log_in(&stage, &provider).await.expect(200);
    assert_eq!(profile(&stage.anon(), &stolen).await["id"], ada.id);
    // So she is not let in there herself.
    provider.now(|spoilt| spoilt.claims = json!({"email": ada.email}));
    let refused = log_in(&stage, &provider).await;
    refused.expect_problem(409, "email_taken");

    reset_password(&stage, &mails, &ada.email).await;
    let items = stage.all_items().await.concat();
    assert!(!items.contains("OIDC#test#"), "it is still linked");
    let bearer = format!("Bearer {}", stolen.text("access_token"));
    let thief = stage.anon().with_header("authorization", &bearer);
    thief.get(ME).await.expect_problem(401, "invalid_token");
    // Without the address the thief is nobody, and with another one somebody else.
    provider.now(|spoilt| {
        spoilt.claims = json!({"sub": "eve", "email": ada.email, "email_verified": false});
    });
    let refused = log_in(&stage, &provider).await;
    refused.expect_problem(400, "oidc_refused");
    provider.now(|spoilt| spoilt.claims = json!({"sub": "eve", "email": "eve@example.com"}));
    let eve = log_in(&stage, &provider).await.expect(200);
    assert_ne!(profile(&stage.anon(), &eve).await["id"], ada.id);
    // She is linked by her next login.
    provider.now(|spoilt| spoilt.claims = json!({"email": ada.email}));
    let token = log_in(&stage, &provider).await.expect(200);
    assert_eq!(profile(&stage.anon(), &token).await["id"], ada.id);
    stage.anon().log_in(&ada.email, NEW_PASSWORD).await;
}

#[tokio::test]
async fn an_address_that_the_provider_does_not_vouch_for_makes_no_account() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    // Claims of the id token, those of the user info, and how often that is asked for.
    let cases = [
        (json!({"email_verified": false}), json!({}), 0),
        (
            json!({"email_verified": null}),
            json!({"email_verified": false}),
            1,
        ),
        (
            json!({"email_verified": null}),
            json!({"email_verified": null}),
            1,
        ),
        (json!({"email": null}), json!({"email": null}), 1),
        (json!({"email": null}), json!({"email": "no address"}), 1),
        (json!({"email": null}), json!({"sub": "eve"}), 1),
        (json!({"email": "no address"}), json!({}), 0),
    ];
    let mut asked = 0;
    for (claims, user_info, more) in cases {
        provider.now(|spoilt| {
            spoilt.claims = claims.clone();
            spoilt.user_info = user_info.clone();
        });
        let answer = log_in(&stage, &provider).await;
        assert_eq!(answer.status, 400, "{claims} {user_info}: {answer:?}");
        answer.expect_problem(400, "oidc_refused");
        asked += more;
        assert_eq!(provider.count("/userinfo"), asked, "{claims} {user_info}");
    }
    assert!(nothing_was_made(&stage).await);
}

#[tokio::test]
async fn the_user_info_tells_what_the_id_token_does_not() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    provider.now(|spoilt| {
        spoilt.claims = json!({"email": null, "email_verified": null, "given_name": null});
        // Some providers write truth as a text.
        spoilt.user_info = json!({"email_verified": "true", "family_name": "\u{0}"});
    });
    let token = log_in(&stage, &provider).await.expect(200);
    let me = profile(&stage.anon(), &token).await;
    assert_eq!(me["email"], "ada@example.com");
    assert_eq!(me["first_name"], "Ada");
    assert_eq!(me["last_name"], Value::Null);
    assert_eq!(provider.count("/userinfo"), 1);
}

/// Each case changes one thing of a callback that would be right.
#[tokio::test]
async fn a_callback_that_is_not_the_one_expected_is_refused() {
    type Tamper = fn(&mut Callback);
    let cases: [(&str, Tamper); 12] = [
        ("another state", |c| c.set("state", "another")),
        ("no state", |c| c.remove("state")),
        ("another provider's path", |c| c.provider = "other"),
        ("no cookie", |c| c.cookie.clear()),
        ("another cookie", |c| {
            c.cookie = "sheaf-oidc=another".to_owned()
        }),
        ("the state as the cookie", |c| {
            c.cookie = format!("sheaf-oidc={}", c.parameters["state"]);
        }),
        ("an error", |c| c.set("error", "access_denied")),
        ("another issuer (RFC 9207)", |c| {
            c.set("iss", "https://evil.example")
        }),
        ("no code", |c| c.remove("code")),
        ("an empty code", |c| c.set("code", "")),
        ("another code", |c| c.set("code", "another")),
        ("no query", |c| c.parameters.clear()),
    ];
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    for (name, tamper) in cases {
        let browser = stage.anon();
        let login = Login::begin(&browser).await;
        let mut callback = login.callback(&provider);
        tamper(&mut callback);
        let answer = callback.send(&browser).await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        answer.expect_problem(400, "oidc_refused");
    }
    assert_eq!(provider.count("/token"), 1, "for another code only");
    // What a provider calls it is no matter, as long as it may be the code that is wrong.
    for (refusal, status, code) in [
        ("invalid_request", 400, "oidc_refused"),
        ("unauthorized_client", 500, "refused"),
    ] {
        provider.now(|spoilt| spoilt.refusal = Some(refusal));
        let browser = stage.anon();
        let mut callback = Login::begin(&browser).await.callback(&provider);
        callback.set("code", "another");
        let answer = callback.send(&browser).await;
        answer.expect_problem(status, code);
    }
    provider.now(|_| {});
    // The code of another login: only who has begun that one can prove it (PKCE).
    let (browser, thief) = (stage.anon(), stage.anon());
    let stolen = Login::begin(&browser).await.callback(&provider);
    let mut callback = Login::begin(&thief).await.callback(&provider);
    callback.set("code", &stolen.parameters["code"]);
    let answer = callback.send(&thief).await;
    answer.expect_problem(400, "oidc_refused");
    assert!(nothing_was_made(&stage).await);

    for path in ["login", "callback?state=a&code=b"] {
        let unknown = format!("/api/v1/auth/oidc/nobody/{path}");
        stage
            .anon()
            .get(&unknown)
            .await
            .expect_problem(404, "not_found");
    }
    // A stranger with the state alone has spoilt nothing, and the right issuer is no problem.
    let login = Login::begin(&browser).await;
    let mut callback = login.callback(&provider);
    callback.set("iss", &provider.0.url);
    let mut without_cookie = callback.clone();
    without_cookie.cookie.clear();
    without_cookie.send(&thief).await.expect(400);
    callback.send(&browser).await.expect(200);
}

/// Each case spoils one thing of an id token that would be right.
#[tokio::test]
async fn an_id_token_that_is_not_right_is_refused() {
    type Spoil = fn(&mut Spoilt);
    let cases: [(&str, Spoil); 18] = [
        ("another nonce", |s| s.claims = json!({"nonce": "another"})),
        ("no nonce", |s| s.claims = json!({"nonce": null})),
        ("another issuer", |s| {
            s.claims = json!({"iss": "https://evil.example"})
        }),
        ("another audience", |s| s.claims = json!({"aud": "another"})),
        ("no audience", |s| s.claims = json!({"aud": []})),
        ("two audiences and no party", |s| {
            s.claims = json!({"aud": [CLIENT, "another"]})
        }),
        ("another party among two", |s| {
            s.claims = json!({"aud": [CLIENT, "another"], "azp": "another"});
        }),
        ("another party", |s| s.claims = json!({"azp": "another"})),
        ("expired", |s| s.claims = json!({"exp": now() - 1})),
        ("no expiry", |s| s.claims = json!({"exp": null})),
        ("from the future", |s| {
            s.claims = json!({"iat": now() + 120, "exp": now() + 900})
        }),
        ("an old one", |s| s.claims = json!({"iat": now() - 3_600})),
        ("no subject", |s| s.claims = json!({"sub": null})),
        ("no signature", |s| s.signature = Signature::None),
        ("signed with the client secret", |s| {
            s.signature = Signature::Hs256
        }),
        ("signed by somebody else", |s| {
            s.signature = Signature::Forged
        }),
        ("a key nobody knows", |s| s.key_id = Some("unknown")),
        ("a key of another kind", |s| s.key_id = Some("ed")),
    ];
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    for (name, spoil) in cases {
        provider.now(spoil);
        let answer = log_in(&stage, &provider).await;
        assert_eq!(answer.status, 400, "{name}: {answer:?}");
        answer.expect_problem(400, "oidc_refused");
    }
    provider.now(|spoilt| spoilt.no_id_token = true);
    log_in(&stage, &provider)
        .await
        .expect_problem(400, "oidc_refused");
    assert!(nothing_was_made(&stage).await);
}

#[tokio::test]
async fn an_id_token_may_be_signed_otherwise_and_be_for_others_too() {
    type Spoil = fn(&mut Spoilt);
    let cases: [(&str, Spoil); 4] = [
        ("Ed25519", |s| s.signature = Signature::EdDsa),
        ("no key id, as long as one key fits", |s| {
            s.key_id = Some("")
        }),
        ("we among others, and made for us", |s| {
            s.claims = json!({"aud": ["another", CLIENT], "azp": CLIENT});
        }),
        ("a clock that is ahead", |s| {
            s.claims = json!({"iat": now() + 30})
        }),
    ];
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    for (name, spoil) in cases {
        provider.now(spoil);
        let answer = log_in(&stage, &provider).await;
        assert_eq!(answer.status, 200, "{name}: {answer:?}");
    }
}

#[tokio::test]
async fn a_login_ends_with_its_callback_or_after_ten_minutes() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let browser = stage.anon();

    let login = Login::begin(&browser).await;
    let callback = login.callback(&provider);
    callback.send(&browser).await.expect(200);
    let replay = callback.send(&browser).await;
    replay
        .expect_problem(400, "oidc_refused")
        .expect_round_trips(2);

    // A login that was refused is over too.
    let login = Login::begin(&browser).await;
    let mut refused = login.callback(&provider);
    refused.set("error", "access_denied");
    refused.send(&browser).await.expect(400);
    login.finish(&provider, &browser).await.expect(400);

    let login = Login::begin(&browser).await;
    stage.app.clock.advance(590);
    login.finish(&provider, &browser).await.expect(200);
    let login = Login::begin(&browser).await;
    stage.app.clock.advance(600);
    let late = login.finish(&provider, &browser).await;
    late.expect_problem(400, "oidc_refused");
}

#[tokio::test]
async fn of_ten_callbacks_at_once_one_wins() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let browser = stage.anon();
    let callback = Login::begin(&browser).await.callback(&provider);
    let answers = join_all((0..10).map(|_| callback.send(&browser))).await;
    let count = |status: u16| answers.iter().filter(|a| a.status == status).count();
    assert_eq!((count(200), count(400)), (1, 9));
    assert_eq!(provider.count("/token"), 1);
}

#[tokio::test]
async fn a_deactivated_account_is_not_let_in() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let ada = stage.user().await;
    change(&stage, &ada, |user| {
        user.is_verified = true;
        user.is_active = false;
    })
    .await;
    provider.now(|spoilt| spoilt.claims = json!({"email": ada.email}));
    let refused = log_in(&stage, &provider).await;
    refused.expect_problem(403, "account_inactive");
    let items = stage.all_items().await.concat();
    assert!(!items.contains("user.linked_oidc"), "it was linked");

    change(&stage, &ada, |user| user.is_active = true).await;
    log_in(&stage, &provider).await.expect(200);
    change(&stage, &ada, |user| user.is_active = false).await;
    let refused = log_in(&stage, &provider).await;
    refused.expect_problem(403, "account_inactive");
    let items = stage.all_items().await.concat();
    assert_eq!(items.matches("session.began_by_oidc").count(), 1);
}

#[tokio::test]
async fn both_routes_share_one_limit() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[("LOGIN_LIMIT_PER_MINUTE", "3")]).await;
    let browser = stage.anon();
    log_in_as(&browser, &provider).await.expect(200);
    let login = Login::begin(&browser).await;
    let limited = login.finish(&provider, &browser).await;
    limited
        .expect_problem(429, "rate_limited")
        .expect_round_trips(1);
    let limited = browser.get("/api/v1/auth/oidc/nobody/login").await;
    limited.expect_problem(429, "rate_limited");
    // The login is still there for later.
    stage.app.clock.advance(60);
    login.finish(&provider, &browser).await.expect(200);
}

#[tokio::test]
async fn a_provider_is_asked_about_itself_every_ten_minutes() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let asked = || {
        let document = provider.count("/.well-known/openid-configuration");
        (document, provider.count("/jwks"))
    };
    for _ in 0..3 {
        log_in(&stage, &provider).await.expect(200);
    }
    assert_eq!(asked(), (1, 1));
    stage.app.clock.advance(590);
    log_in(&stage, &provider).await.expect(200);
    assert_eq!(asked(), (1, 1));
    stage.app.clock.advance(10);
    log_in(&stage, &provider).await.expect(200);
    assert_eq!(asked(), (2, 2));
}

#[tokio::test]
async fn a_new_key_is_found_and_unknown_ones_cost_little() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    log_in(&stage, &provider).await.expect(200);
    assert_eq!(provider.count("/jwks"), 1);
    // It signs with a new one at once.
    provider.now(|spoilt| {
        spoilt.key_id = Some("new");
        spoilt.keys = Keys::Renamed("new");
    });
    log_in(&stage, &provider).await.expect(200);
    assert_eq!(provider.count("/jwks"), 2);
    log_in(&stage, &provider).await.expect(200);
    assert_eq!(provider.count("/jwks"), 2);
    // Keys that are made up are not looked for each time.
    provider.now(|spoilt| spoilt.key_id = Some("unknown"));
    for _ in 0..3 {
        log_in(&stage, &provider).await.expect(400);
    }
    assert_eq!(provider.count("/jwks"), 2);
    stage.app.clock.advance(60);
    for _ in 0..3 {
        log_in(&stage, &provider).await.expect(400);
    }
    assert_eq!(provider.count("/jwks"), 3);
}

#[tokio::test]
async fn a_provider_that_answers_nonsense_is_unavailable() {
    type Spoil = fn(&mut Spoilt);
    let cases: [(&str, Spoil); 6] = [
        ("another issuer's metadata", |s| {
            s.metadata = json!({"issuer": "https://evil.example"});
        }),
        ("no address of keys", |s| {
            s.metadata = json!({"jwks_uri": null})
        }),
        ("keys without an end", |s| s.keys = Keys::Huge),
        ("keys elsewhere", |s| s.keys = Keys::Elsewhere),
        ("keys on a private network", |s| {
            s.metadata = json!({"jwks_uri": "http://169.254.169.254/latest"});
        }),
        ("keys in a file", |s| {
            s.metadata = json!({"jwks_uri": "file:///etc/passwd"})
        }),
    ];
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    for (name, spoil) in cases {
        provider.now(spoil);
        let answer = stage.anon().get("/api/v1/auth/oidc/test/login").await;
        assert_eq!(answer.status, 503, "{name}: {answer:?}");
        answer.expect_problem(503, "unavailable");
        stage.later(10).await;
    }
    assert_eq!(provider.count("/elsewhere"), 0, "a redirect was followed");
    // It is mended.
    provider.now(|_| {});
    log_in(&stage, &provider).await.expect(200);
    // The same while its new keys are looked for.
    provider.now(|spoilt| {
        spoilt.key_id = Some("new");
        spoilt.keys = Keys::Elsewhere;
    });
    log_in(&stage, &provider)
        .await
        .expect_problem(503, "unavailable");
    assert_eq!(provider.count("/elsewhere"), 0, "a redirect was followed");
    // They are looked for again as soon as anybody asks it again.
    provider.now(|spoilt| {
        spoilt.key_id = Some("new");
        spoilt.keys = Keys::Renamed("new");
    });
    stage.later(11).await;
    log_in(&stage, &provider).await.expect(200);
}

#[tokio::test]
async fn a_provider_that_has_failed_is_left_alone_for_ten_seconds() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let browser = stage.anon();
    let asked = || provider.count("/.well-known/openid-configuration");
    let begin = async |name: &str| {
        let path = format!("/api/v1/auth/oidc/{name}/login");
        let answer = browser.get(&path).await;
        answer.expect_problem(503, "unavailable");
    };
    provider.now(|spoilt| spoilt.metadata = json!({"issuer": "https://evil.example"}));
    begin("test").await;
    assert_eq!(asked(), 1);
    for _ in 0..3 {
        begin("test").await;
    }
    assert_eq!(asked(), 1);
    // Another provider is asked for itself.
    begin("other").await;
    assert_eq!(asked(), 2);
    // Nobody knows yet that it is mended.
    provider.now(|_| {});
    begin("test").await;
    assert_eq!(asked(), 2);
    stage.later(11).await;
    let login = Login::begin(&browser).await;
    assert_eq!(asked(), 3);

    // The same with keys that cannot be fetched.
    provider.now(|spoilt| {
        spoilt.key_id = Some("new");
        spoilt.keys = Keys::Elsewhere;
    });
    let answer = login.finish(&provider, &browser).await;
    answer.expect_problem(503, "unavailable");
    let fetched = provider.count("/jwks");
    begin("test").await;
    stage.later(11).await;
    log_in_as(&browser, &provider)
        .await
        .expect_problem(503, "unavailable");
    assert_eq!(provider.count("/jwks"), fetched + 1);
    assert_eq!(asked(), 3);
}

#[tokio::test]
async fn a_provider_that_takes_its_time_is_given_five_seconds() {
    let provider = Provider::start().await;
    let stage = stage(&provider, &[]).await;
    let browser = stage.anon();
    let login = Login::begin(&browser).await;
    provider.now(|spoilt| spoilt.is_slow = true);
    let began = Instant::now();
    let answer = login.finish(&provider, &browser).await;
    answer.expect_problem(503, "unavailable");
    let spent = began.elapsed();
    let expected = Duration::from_millis(4_900)..Duration::from_secs(8);
    assert!(expected.contains(&spent), "{spent:?}");
}

#[tokio::test]
async fn a_deployed_function_calls_nobody_beside_it() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    for host in ["127.0.0.1", "localhost"] {
        let providers = providers(&[("test", &format!("https://{host}:{port}"))]);
        let deployed = [
            ("ENVIRONMENT", "staging"),
            ("AUTH_SECRET", ""),
            (
                "AUTH_SECRET_ARN",
                "arn:aws:secretsmanager:eu-central-1:1:secret:a",
            ),
            ("OIDC_PROVIDERS", providers.as_str()),
        ];
        let stage = Stage::with(&deployed).await;
        let answer = stage.anon().get("/api/v1/auth/oidc/test/login").await;
        answer.expect_problem(503, "unavailable");
    }
    let knock = tokio::time::timeout(Duration::from_millis(100), listener.accept());
    assert!(knock.await.is_err(), "it has called");
}

/// A bundle with the provider under two names.
async fn stage(provider: &Provider, variables: &[(&str, &str)]) -> Stage {
    let providers = providers(&[("test", &provider.0.url), ("other", &provider.0.url)]);
    let providers = [("OIDC_PROVIDERS", providers.as_str())];
    let variables = [&providers[..], variables].concat();
    Stage::with(&variables).await
}

fn providers(known: &[(&str, &str)]) -> String {
    let entry = |(name, issuer): &(&str, &str)| {
        json!({
            "name": name,
            "issuer": issuer,
            "client_id": CLIENT,
            "client_secret": SECRET,
        })
    };
    Value::Array(known.iter().map(entry).collect()).to_string()
}

/// Somebody with a new browser logs in.
async fn log_in(stage: &Stage, provider: &Provider) -> Answer {
    log_in_as(&stage.anon(), provider).await
}

async fn log_in_as(browser: &Actor<'_>, provider: &Provider) -> Answer {
    let login = Login::begin(browser).await;
    login.finish(provider, browser).await
}

/// The mails that have come since the last call.
async fn new_mails(stage: &Stage, mails: &MailFolder) -> Vec<Mail> {
    stage.work().await;
    let new = mails.ids().iter().map(|id| mails.read(id)).collect();
    mails.clear();
    new
}

/// Sets [`NEW_PASSWORD`] by the link that goes to an address.
async fn reset_password(stage: &Stage, mails: &MailFolder, email: &str) {
    new_mails(stage, mails).await;
    let anon = stage.anon();
    let forgot = anon.post("/api/v1/auth/forgot-password", json!({"email": email}));
    forgot.await.expect(202);
    let new = new_mails(stage, mails).await;
    let [mail] = &new[..] else { panic!("{new:?}") };
    let reset = json!({"token": mail.token(), "new_password": NEW_PASSWORD});
    let reset = anon.post("/api/v1/auth/reset-password", reset);
    reset.await.expect(204);
}

/// The profile of whom a token is for.
async fn profile(actor: &Actor<'_>, token: &Answer) -> Value {
    let bearer = format!("Bearer {}", token.text("access_token"));
    let actor = actor.clone().with_header("authorization", &bearer);
    actor.get(ME).await.expect(200).json()
}

/// Changes a user as no route does yet.
async fn change(stage: &Stage, actor: &Actor<'_>, change: impl FnOnce(&mut User)) {
    let store = &stage.app.store;
    let old = store
        .user(actor.id.parse().unwrap())
        .await
        .unwrap()
        .unwrap();
    let mut new = old.clone();
    change(&mut new);
    new.version += 1;
    let audit = AuditEntry::new("user.updated", None, "::1");
    store.update_user(&old, &new, &audit).await.unwrap();
}

async fn nothing_was_made(stage: &Stage) -> bool {
    let items = stage.all_items().await.concat();
    let made = [
        "\"PROFILE\"",
        "\"SESSION#",
        "\"FAMILY#",
        "UNIQUE#",
        "OIDC#test",
    ];
    !made.iter().any(|part| items.contains(part))
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

/// A login that has gone to the provider.
struct Login {
    url: Url,
    cookie: String,
}

impl Login {
    async fn begin(browser: &Actor<'_>) -> Self {
        let answer = browser.get("/api/v1/auth/oidc/test/login").await;
        Self::of(&answer.expect(302))
    }

    fn of(answer: &Answer) -> Self {
        let cookie = answer.header("set-cookie").split(';').next();
        Self {
            url: answer.header("location").parse().unwrap(),
            cookie: cookie.unwrap().to_owned(),
        }
    }

    fn parameter(&self, name: &str) -> String {
        let mut pairs = self.url.query_pairs();
        let (_, value) = pairs.find(|(known, _)| known == name).unwrap();
        value.into_owned()
    }

    /// What the browser keeps.
    fn browser(&self) -> String {
        self.cookie.split_once('=').unwrap().1.to_owned()
    }

    /// Logs in at the provider, which sends the browser back.
    fn callback(&self, provider: &Provider) -> Callback {
        Callback {
            provider: "test",
            parameters: HashMap::from([
                ("state".to_owned(), self.parameter("state")),
                ("code".to_owned(), provider.approve(self)),
            ]),
            cookie: self.cookie.clone(),
        }
    }

    async fn finish(&self, provider: &Provider, browser: &Actor<'_>) -> Answer {
        self.callback(provider).send(browser).await
    }
}

/// What comes back from the provider.
#[derive(Clone)]
struct Callback {
    provider: &'static str,
    parameters: HashMap<String, String>,
    cookie: String,
}

impl Callback {
    fn set(&mut self, name: &str, value: &str) {
        self.parameters.insert(name.to_owned(), value.to_owned());
    }

    fn remove(&mut self, name: &str) {
        self.parameters.remove(name);
    }

    async fn send(&self, browser: &Actor<'_>) -> Answer {
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.extend_pairs(&self.parameters);
        let (provider, query) = (self.provider, query.finish());
        let browser = browser.clone().with_header("cookie", &self.cookie);
        let path = format!("/api/v1/auth/oidc/{provider}/callback?{query}");
        browser.get(&path).await
    }
}

/// An OpenID provider of this test's own, where Ada has logged in.
#[derive(Clone)]
struct Provider(Arc<Inner>);

struct Inner {
    url: String,
    ec: EcdsaKeyPair,
    another_ec: EcdsaKeyPair,
    ed: Ed25519KeyPair,
    spoilt: Mutex<Spoilt>,
    /// What it was asked for with each code: challenge and nonce.
    codes: Mutex<HashMap<String, (String, String)>>,
    /// The paths of all requests.
    asked: Mutex<Vec<String>>,
}

/// What it does otherwise than right.
#[derive(Clone, Default)]
struct Spoilt {
    /// Changes of its documents; null takes a member out.
    metadata: Value,
    claims: Value,
    user_info: Value,
    signature: Signature,
    /// What the id token's header names; nothing if empty.
    key_id: Option<&'static str>,
    keys: Keys,
    /// What it calls a code that is not right.
    refusal: Option<&'static str>,
    no_id_token: bool,
    is_slow: bool,
}

#[derive(Clone, Copy, Default)]
enum Signature {
    #[default]
    Es256,
    EdDsa,
    Hs256,
    None,
    /// By another key than the one that it names.
    Forged,
}

#[derive(Clone, Copy, Default)]
enum Keys {
    #[default]
    Right,
    /// The first one has this id.
    Renamed(&'static str),
    Huge,
    /// A redirect.
    Elsewhere,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let random = SystemRandom::new();
        let ec = || {
            let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
            let pkcs8 = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
            EcdsaKeyPair::from_pkcs8(algorithm, pkcs8.as_ref(), &random).unwrap()
        };
        let ed = Ed25519KeyPair::generate_pkcs8(&random).unwrap();
        let provider = Self(Arc::new(Inner {
            url: format!("http://{}", listener.local_addr().unwrap()),
            ec: ec(),
            another_ec: ec(),
            ed: Ed25519KeyPair::from_pkcs8(ed.as_ref()).unwrap(),
            spoilt: Mutex::default(),
            codes: Mutex::default(),
            asked: Mutex::default(),
        }));
        let served = provider.clone();
        tokio::spawn(async move {
            loop {
                let (connection, _) = listener.accept().await.unwrap();
                let provider = served.clone();
                let service = service_fn(move |request: Request<Incoming>| {
                    let provider = provider.clone();
                    async move { provider.answer(request).await }
                });
                let http = hyper::server::conn::http1::Builder::new();
                tokio::spawn(http.serve_connection(TokioIo::new(connection), service));
            }
        });
        provider
    }

    /// Makes it do this one thing otherwise from now on.
    fn now(&self, spoil: impl FnOnce(&mut Spoilt)) {
        let mut spoilt = Spoilt::default();
        spoil(&mut spoilt);
        *self.0.spoilt.lock().unwrap() = spoilt;
    }

    fn count(&self, path: &str) -> usize {
        let asked = self.0.asked.lock().unwrap();
        asked.iter().filter(|known| *known == path).count()
    }

    /// What its login page does once somebody has logged in: makes a code.
    fn approve(&self, login: &Login) -> String {
        assert_eq!(login.parameter("redirect_uri"), REDIRECT);
        let asked = (login.parameter("code_challenge"), login.parameter("nonce"));
        let mut codes = self.codes();
        let code = format!("a code {}", Uuid::now_v7());
        codes.insert(code.clone(), asked);
        code
    }

    fn codes(&self) -> MutexGuard<'_, HashMap<String, (String, String)>> {
        self.0.codes.lock().unwrap()
    }

    async fn answer(
        &self,
        request: Request<Incoming>,
    ) -> Result<Response<Full<Bytes>>, hyper::Error> {
        let path = request.uri().path().to_owned();
        self.0.asked.lock().unwrap().push(path.clone());
        let spoilt = self.0.spoilt.lock().unwrap().clone();
        let mut response = match (request.method(), path.as_str()) {
            (&Method::GET, "/.well-known/openid-configuration") => self.metadata(&spoilt),
            (&Method::GET, "/jwks" | "/elsewhere") => self.keys(&spoilt),
            (&Method::GET, "/userinfo") => self.user_info(&request, &spoilt),
            (&Method::POST, "/token") => {
                if spoilt.is_slow {
                    tokio::time::sleep(Duration::from_secs(10)).await;
                }
                let authorization = header(&request, "authorization");
                let body = request.into_body().collect().await?.to_bytes();
                self.token(&authorization, &body, &spoilt)
            }
            _ => json_response(404, &json!({})),
        };
        if path == "/jwks" && matches!(spoilt.keys, Keys::Elsewhere) {
            *response.status_mut() = StatusCode::FOUND;
            let elsewhere = format!("{}/elsewhere", self.0.url).parse().unwrap();
            response.headers_mut().insert("location", elsewhere);
        }
        Ok(response)
    }

    fn metadata(&self, spoilt: &Spoilt) -> Response<Full<Bytes>> {
        let url = &self.0.url;
        let metadata = json!({
            "issuer": url,
            "authorization_endpoint": format!("{url}/authorize"),
            "token_endpoint": format!("{url}/token"),
            "userinfo_endpoint": format!("{url}/userinfo"),
            "jwks_uri": format!("{url}/jwks"),
            "response_types_supported": ["code"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["RS256", "ES256", "EdDSA", "HS256", "none"],
            "something_of_its_own": true,
        });
        json_response(200, &changed(metadata, &spoilt.metadata))
    }

    fn keys(&self, spoilt: &Spoilt) -> Response<Full<Bytes>> {
        let (x, y) = self.0.ec.public_key().as_ref()[1..].split_at(32);
        let id = match spoilt.keys {
            Keys::Renamed(id) => id,
            _ => "ec",
        };
        let filler = match spoilt.keys {
            Keys::Huge => "a".repeat(1024 * 1024),
            _ => String::new(),
        };
        let keys = json!({"keys": [
            {"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
             "x": BASE64.encode(x), "y": BASE64.encode(y)},
            {"kty": "OKP", "crv": "Ed25519", "use": "sig", "alg": "EdDSA", "kid": "ed",
             "x": BASE64.encode(self.0.ed.public_key())},
            {"kty": "one that nobody knows", "kid": "strange", "filler": filler},
        ]});
        json_response(200, &keys)
    }

    /// RFC 6749, section 4.1.3, and RFC 7636, section 4.6.
    fn token(&self, authorization: &str, body: &[u8], spoilt: &Spoilt) -> Response<Full<Bytes>> {
        let client = format!("{CLIENT}:{}", SECRET.replace('/', "%2F"));
        if authorization != format!("Basic {}", STANDARD.encode(client)) {
            return json_response(401, &json!({"error": "invalid_client"}));
        }
        let sent: HashMap<_, _> = form_urlencoded::parse(body).into_owned().collect();
        let challenge = BASE64.encode(digest(&SHA256, sent["code_verifier"].as_bytes()));
        let asked = self.codes().remove(&sent["code"]);
        let nonce = match asked {
            Some((known, nonce))
                if known == challenge
                    && sent["redirect_uri"] == REDIRECT
                    && sent["grant_type"] == "authorization_code" =>
            {
                nonce
            }
            _ => {
                let refusal = spoilt.refusal.unwrap_or("invalid_grant");
                return json_response(400, &json!({"error": refusal}));
            }
        };
        let mut answer = json!({
            "access_token": "an access token",
            "token_type": "Bearer",
            "expires_in": 300,
            "id_token": self.id_token(&nonce, spoilt),
        });
        if spoilt.no_id_token {
            answer["id_token"].take();
        }
        json_response(200, &answer)
    }

    fn id_token(&self, nonce: &str, spoilt: &Spoilt) -> String {
        let claims = json!({
            "iss": self.0.url,
            "aud": CLIENT,
            "sub": "ada",
            "iat": now(),
            "exp": now() + 300,
            "nonce": nonce,
            "email": "ada@example.com",
            "email_verified": true,
            "given_name": "Ada",
            "family_name": "Lovelace",
        });
        let claims = changed(claims, &spoilt.claims);
        let (algorithm, key_id) = match spoilt.signature {
            Signature::Es256 | Signature::Forged => ("ES256", "ec"),
            Signature::EdDsa => ("EdDSA", "ed"),
            Signature::Hs256 => ("HS256", "ec"),
            Signature::None => ("none", "ec"),
        };
        let header = match spoilt.key_id.unwrap_or(key_id) {
            "" => json!({"alg": algorithm, "typ": "JWT"}),
            key_id => json!({"alg": algorithm, "typ": "JWT", "kid": key_id}),
        };
        let part = |value: Value| BASE64.encode(value.to_string());
        let signed = format!("{}.{}", part(header), part(claims));
        let signature = self.sign(signed.as_bytes(), spoilt.signature);
        format!("{signed}.{}", BASE64.encode(signature))
    }

    fn sign(&self, message: &[u8], signature: Signature) -> Vec<u8> {
        let ec = |key: &EcdsaKeyPair| {
            let signature = key.sign(&SystemRandom::new(), message).unwrap();
            signature.as_ref().to_vec()
        };
        match signature {
            Signature::Es256 => ec(&self.0.ec),
            Signature::Forged => ec(&self.0.another_ec),
            Signature::EdDsa => self.0.ed.sign(message).as_ref().to_vec(),
            Signature::Hs256 => {
                let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
                hmac::sign(&key, message).as_ref().to_vec()
            }
            Signature::None => Vec::new(),
        }
    }

    fn user_info(&self, request: &Request<Incoming>, spoilt: &Spoilt) -> Response<Full<Bytes>> {
        assert_eq!(header(request, "authorization"), "Bearer an access token");
        let claims = json!({
            "sub": "ada",
            "email": "ada@example.com",
            "email_verified": true,
            "given_name": "Ada",
            "family_name": "Lovelace",
            "updated_at": "2026-01-01T00:00:00Z",
        });
        json_response(200, &changed(claims, &spoilt.user_info))
    }
}

/// A document with these changes; null takes a member out.
fn changed(mut document: Value, changes: &Value) -> Value {
    let members = document.as_object_mut().unwrap();
    for (name, value) in changes.as_object().into_iter().flatten() {
        match value {
            Value::Null => members.remove(name),
            value => members.insert(name.clone(), value.clone()),
        };
    }
    document
}

fn header(request: &Request<Incoming>, name: &str) -> String {
    let value = request.headers().get(name);
    value.map_or(String::new(), |value| value.to_str().unwrap().to_owned())
}

fn json_response(status: u16, body: &Value) -> Response<Full<Bytes>> {
    let response = Response::builder().status(status);
    let response = response.header("content-type", "application/json");
    response.body(Full::from(body.to_string())).unwrap()
}
