//! Registering and logging in.

use std::collections::HashSet;

use futures_util::future::join_all;
use serde_json::json;
use tests::{PASSWORD, Stage};

const REGISTER: &str = "/api/v1/auth/register";
const LOGIN: &str = "/api/v1/auth/login";

#[tokio::test]
async fn somebody_registers_logs_in_and_sees_themselves() {
    let stage = Stage::new().await;
    let anon = stage.anon();

    let account = json!({
        "email": " Ada@Example.com ",
        "password": PASSWORD,
        "username": "Ada_L",
        "first_name": "Ada",
        "last_name": "Lovelace",
        "phone": "+44 20 7946 0000",
    });
    let registered = anon.post(REGISTER, account).await.expect(201);
    let user = registered.json();
    assert_eq!(user["email"], "ada@example.com");
    assert_eq!(user["username"], "Ada_L");
    assert_eq!(user["full_name"], "Ada Lovelace");
    assert_eq!(user["phone"], "+442079460000");
    assert_eq!(user["role"], "user");
    assert_eq!(user["is_active"], true);
    assert_eq!(user["is_verified"], false);
    assert_eq!(user["is_superuser"], false);
    assert_eq!(user.get("password"), None);
    let location = format!("/api/v1/users/{}", registered.text("id"));
    assert_eq!(registered.header("location"), location);

    let credentials = json!({"email": "ADA@example.com", "password": PASSWORD});
    let token = anon.post(LOGIN, credentials).await.expect(200);
    assert_eq!(token.text("token_type"), "bearer");
    assert_eq!(token.json()["expires_in"], 900);
    assert_eq!(token.header("cache-control"), "no-store");
    assert!(token.text("scope").contains("items:write"));

    let bearer = format!("Bearer {}", token.text("access_token"));
    let ada = anon.with_header("authorization", &bearer);
    let me = ada.get("/api/v1/users/me").await.expect(200);
    assert_eq!(me.json(), user);
}

#[tokio::test]
async fn the_budget_of_register_and_login() {
    let stage = Stage::new().await;
    let anon = stage.anon();
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "username": "ada"});
    // The limit's write, and one transaction.
    anon.post(REGISTER, account)
        .await
        .expect(201)
        .expect_round_trips(2);
    // The limit with the login name, the account, and one transaction.
    let credentials = json!({"username": "ada", "password": PASSWORD});
    anon.post(LOGIN, credentials)
        .await
        .expect(200)
        .expect_round_trips(3);
    // Nobody of that name costs the same, so that the cost does not tell.
    let wrong = json!({"username": "ada", "password": "Wrong-horse-7"});
    anon.post(LOGIN, wrong)
        .await
        .expect(401)
        .expect_round_trips(3);
    let nobody = json!({"username": "nobody", "password": PASSWORD});
    anon.post(LOGIN, nobody)
        .await
        .expect(401)
        .expect_round_trips(3);
}

#[tokio::test]
async fn login_takes_json_and_forms_email_and_username() {
    let stage = Stage::new().await;
    let anon = stage.anon();
    let account = json!({"email": "ada@example.com", "password": PASSWORD, "username": "Ada"});
    anon.post(REGISTER, account).await.expect(201);

    for name in ["ada@example.com", "ADA@EXAMPLE.COM", "ada", "ADA"] {
        let by_username = json!({"username": name, "password": PASSWORD});
        anon.post(LOGIN, by_username).await.expect(200);
    }
    let form = "grant_type=password&username=ada%40example.com&password=Correct-horse-7&scope=";
    let kind = Some("application/x-www-form-urlencoded");
    anon.send("POST", LOGIN, kind, form.as_bytes())
        .await
        .expect(200);
}

#[tokio::test]
async fn a_wrong_login_tells_nothing() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let anon = stage.anon();

    let wrong = json!({"email": ada.email, "password": "Wrong-horse-7"});
    let wrong = anon
        .post(LOGIN, wrong)
        .await
        .expect_problem(401, "invalid_credentials");
    let nobody = json!({"email": "nobody@example.com", "password": PASSWORD});
    let nobody = anon
        .post(LOGIN, nobody)
        .await
        .expect_problem(401, "invalid_credentials");
    assert_eq!(wrong.text("detail"), nobody.text("detail"));
    assert!(wrong.header("www-authenticate").starts_with("Bearer"));

    let impossible = json!({"email": "no address", "password": PASSWORD});
    anon.post(LOGIN, impossible)
        .await
        .expect_problem(401, "invalid_credentials");

    let neither = json!({"password": PASSWORD});
    let neither = anon
        .post(LOGIN, neither)
        .await
        .expect_problem(422, "validation_failed");
    assert_eq!(
        neither.wrong_fields(),
        [("email".into(), "required".into())]
    );
    let both = json!({"email": ada.email, "username": "ada", "password": PASSWORD});
    anon.post(LOGIN, both)
        .await
        .expect_problem(422, "validation_failed");
}

#[tokio::test]
async fn a_taken_address_or_name_is_a_conflict_that_leaves_nothing() {
    let stage = Stage::new().await;
    let anon = stage.anon();
    let register = |email: &str, username: &str| {
        anon.post(
            REGISTER,
            json!({"email": email, "password": PASSWORD, "username": username}),
        )
    };
    register("ada@example.com", "ada").await.expect(201);
    register("ADA@Example.com", "other")
        .await
        .expect_problem(409, "email_taken");
    register("other@example.com", "ADA")
        .await
        .expect_problem(409, "username_taken");
    // Neither refusal has kept the name that was free.
    register("other@example.com", "other").await.expect(201);
}

#[tokio::test]
async fn of_fifty_who_register_one_address_at_once_one_succeeds() {
    let stage = Stage::new().await;
    let anon = stage.anon();
    let attempts = (0..50).map(|n| {
        let email = match n % 3 {
            0 => "ada@example.com",
            1 => "Ada@Example.com",
            _ => "ADA@EXAMPLE.COM",
        };
        anon.post(REGISTER, json!({"email": email, "password": PASSWORD}))
    });
    let answers = join_all(attempts).await;
    let created = answers.iter().filter(|answer| answer.status == 201).count();
    let refused = answers.iter().filter(|answer| answer.status == 409).count();
    assert_eq!((created, refused), (1, 49));

    let items = stage.all_items().await;
    let count = |part: &str| items.iter().filter(|item| item.contains(part)).count();
    assert_eq!(count("\"PROFILE\""), 1);
    assert_eq!(count("\"PASSWORD\""), 1);
    assert_eq!(count("UNIQUE#EMAIL#"), 1);
    assert_eq!(stage.task_ids().await.len(), 3);
    assert_eq!(count("\"PAST#"), 1);
}

#[tokio::test]
async fn privileged_fields_are_refused() {
    let stage = Stage::new().await;
    let account = json!({
        "email": "ada@example.com", "password": PASSWORD, "role": "admin", "is_verified": true,
    });
    let answer = stage.anon().post(REGISTER, account).await;
    let answer = answer
        .expect_problem(422, "validation_failed")
        .expect_round_trips(0);
    let expected: HashSet<(String, String)> = [
        ("role".into(), "unknown_field".into()),
        ("is_verified".into(), "unknown_field".into()),
    ]
    .into();
    assert_eq!(HashSet::from_iter(answer.wrong_fields()), expected);
}

#[tokio::test]
async fn a_password_keeps_the_rules_and_is_not_the_address() {
    let stage = Stage::new().await;
    for (password, code) in [
        ("Short-1", "too_short"),
        ("no-upper-case-1", "too_simple"),
        ("Password123", "too_common"),
        ("Ada1@example.com", "too_simple"),
    ] {
        let account = json!({"email": "ada1@example.com", "password": password});
        let answer = stage.anon().post(REGISTER, account).await;
        let answer = answer.expect_problem(422, "validation_failed");
        assert_eq!(answer.wrong_fields(), [("password".into(), code.into())]);
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(
            !body.contains(password),
            "the answer repeats the password: {body}"
        );
    }
}

#[tokio::test]
async fn registrations_are_limited_per_address_and_hour() {
    let stage = Stage::with(&[("REGISTER_LIMIT_PER_HOUR", "5")]).await;
    let anon = stage.anon();
    let register = async |n: u8| {
        let email = format!("ada{n}@example.com");
        anon.post(REGISTER, json!({"email": email, "password": PASSWORD}))
            .await
    };
    // What is not valid does not count.
    anon.post(REGISTER, json!({"email": "no"}))
        .await
        .expect(422);
    for n in 0..5 {
        let answer = register(n).await.expect(201);
        assert_eq!(answer.header("x-ratelimit-limit"), "5");
        assert_eq!(answer.header("x-ratelimit-remaining"), (4 - n).to_string());
    }
    let limited = register(5)
        .await
        .expect_problem(429, "rate_limited")
        .expect_round_trips(1);
    let seconds: u64 = limited.header("retry-after").parse().unwrap();
    assert!((1..=3_600).contains(&seconds));
    assert_eq!(limited.header("x-ratelimit-remaining"), "0");
    // Somebody else is not concerned.
    let other = json!({"email": "other@example.com", "password": PASSWORD});
    stage.anon().post(REGISTER, other).await.expect(201);
}

#[tokio::test]
async fn logins_are_limited_even_when_they_come_at_once() {
    let stage = Stage::with(&[("LOGIN_LIMIT_PER_MINUTE", "10")]).await;
    let ada = stage.user().await;
    let thief = stage.anon();
    let guess = json!({"email": ada.email, "password": "Wrong-horse-7"});

    let answers = join_all((0..25).map(|_| thief.post(LOGIN, guess.clone()))).await;
    for answer in answers.iter().filter(|answer| answer.status == 429) {
        assert_eq!(answer.header("x-ratelimit-remaining"), "0", "{answer:?}");
    }
    let told = answers.iter().filter(|answer| answer.status == 401).count();
    let limited = answers.iter().filter(|answer| answer.status == 429).count();
    assert!(told <= 10, "{told} guesses were answered");
    assert_eq!(told + limited, 25);

    // Once the window is full, not even the right password is looked at, and nothing is written.
    let right = json!({"email": ada.email, "password": PASSWORD});
    let answer = thief
        .post(LOGIN, right.clone())
        .await
        .expect_problem(429, "rate_limited");
    answer.expect_round_trips(1);
    // The victim comes from elsewhere and is not locked out.
    stage.anon().post(LOGIN, right).await.expect(200);
}

#[tokio::test]
async fn ipv6_is_limited_by_its_64() {
    let stage = Stage::with(&[("REGISTER_LIMIT_PER_HOUR", "1")]).await;
    let register = async |ip: &str, email: &str| {
        let account = json!({"email": email, "password": PASSWORD});
        stage.anon().from_ip(ip).post(REGISTER, account).await
    };
    register("2001:db8:1:2::1", "a@example.com")
        .await
        .expect(201);
    register("2001:db8:1:2:ffff::9", "b@example.com")
        .await
        .expect(429);
    register("2001:db8:1:3::1", "b@example.com")
        .await
        .expect(201);
}

#[tokio::test]
async fn everybody_can_fetch_the_public_keys() {
    let stage = Stage::new().await;
    let answer = stage.anon().get("/.well-known/jwks.json").await.expect(200);
    let answer = answer.expect_round_trips(0);
    assert_eq!(answer.header("cache-control"), "public, max-age=300");
    let keys = answer.json();
    let key = &keys["keys"][0];
    assert_eq!(key["kty"], "OKP");
    assert_eq!(key["crv"], "Ed25519");
    assert_eq!(key["alg"], "EdDSA");
    assert_eq!(key["use"], "sig");
    assert!(key["kid"].is_string());
    assert_eq!(key.get("d"), None, "the private key is published");
}

#[tokio::test]
async fn no_secret_is_stored_in_clear() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let credentials = json!({"email": ada.email, "password": PASSWORD});
    let token = stage.anon().post(LOGIN, credentials).await.expect(200);
    let items = stage.all_items().await;
    for secret in [
        PASSWORD.to_owned(),
        token.text("refresh_token"),
        token.text("access_token"),
    ] {
        assert!(
            !items.iter().any(|item| item.contains(&secret)),
            "{secret} is stored"
        );
    }
}

#[tokio::test]
async fn an_instance_that_started_before_a_key_was_published_finds_it() {
    use shared::auth::{SigningKeys, tokens};
    use shared::models::User;
    use shared::models::text::Email;

    let stage = Stage::new().await;
    let url = "https://api.example.com";
    // One instance has started and knows the keys of now; then another comes with a new secret.
    let (verifier, signer) = (stage.instance(), stage.instance());
    verifier.warm_up().await;
    let keys = SigningKeys::derive("another secret, which is as long as the first").unwrap();
    signer.sign_with(keys).await.unwrap();
    let user = User::new(Email::parse("ada@example.com").unwrap());
    let token = signer.signing().unwrap();
    let now = signer.clock.seconds();
    let token = token
        .sign_access(url, &user, uuid::Uuid::nil(), now)
        .unwrap();

    let claims = tokens::verify_access(&verifier, url, &token).await.unwrap();
    assert_eq!(claims.sub, user.id);
    let elsewhere = tokens::verify_access(&verifier, "https://other.example", &token).await;
    assert!(elsewhere.is_err());
}

#[tokio::test]
async fn made_up_key_ids_do_not_make_us_read_for_each() {
    use base64::Engine;
    let stage = Stage::new().await;
    let base64 = base64::engine::general_purpose::URL_SAFE_NO_PAD;
    let mut trips = 0;
    for n in 0..20 {
        let header = base64.encode(format!(
            r#"{{"alg":"EdDSA","typ":"at+jwt","kid":"made-up-{n}"}}"#
        ));
        let thief = stage
            .anon()
            .with_header("authorization", &format!("Bearer {header}.e30.e30"));
        let answer = thief
            .get("/api/v1/users/me")
            .await
            .expect_problem(401, "invalid_token");
        trips += answer.usage.round_trips();
    }
    assert!((1..=2).contains(&trips), "{trips}");
}

#[tokio::test]
async fn a_rotated_secret_logs_nobody_out() {
    let before = Stage::new().await;
    let ada = before.user().await;
    let credentials = json!({"email": ada.email, "password": PASSWORD});
    let old = before
        .anon()
        .post(LOGIN, credentials.clone())
        .await
        .expect(200);
    let after = before
        .rotated("a new secret, which nobody has seen before")
        .await;

    let new = after.anon().post(LOGIN, credentials).await.expect(200);
    // Each instance takes the tokens of both, also the one that started before.
    for stage in [&before, &after] {
        for token in [&old, &new] {
            let token = format!("Bearer {}", token.text("access_token"));
            let ada = stage.anon().with_header("authorization", &token);
            ada.get("/api/v1/users/me").await.expect(200);
        }
    }
    let refresh = json!({"refresh_token": old.text("refresh_token")});
    after
        .anon()
        .post("/api/v1/auth/refresh", refresh)
        .await
        .expect(200);
    let keys = after
        .anon()
        .get("/.well-known/jwks.json")
        .await
        .expect(200)
        .json();
    assert_eq!(keys["keys"].as_array().unwrap().len(), 2);

    // A day later the old key is gone; whoever starts then does not take it.
    after.later(25 * 3_600).await;
    let published = after.app.store.published_keys().await.unwrap();
    assert_eq!(published.keys.len(), 1);
}

#[tokio::test]
async fn a_bcrypt_hash_of_an_imported_database_is_replaced_at_login() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    // `Correct-horse-7` by bcrypt, cost 4.
    let imported = bcrypt::hash(PASSWORD, 4).unwrap();
    stage
        .set_password_hash(ada.id.parse().unwrap(), &imported)
        .await;
    let wrong = json!({"email": ada.email, "password": "Wrong-horse-7"});
    stage.anon().post(LOGIN, wrong).await.expect(401);
    let right = json!({"email": ada.email, "password": PASSWORD});
    let answer = stage.anon().post(LOGIN, right.clone()).await.expect(200);
    answer.expect_round_trips(3);
    let items = stage.all_items().await;
    assert!(!items.iter().any(|item| item.contains(&imported)));
    assert!(items.iter().any(|item| item.contains("$argon2id$")));
    stage.anon().post(LOGIN, right).await.expect(200);
}
