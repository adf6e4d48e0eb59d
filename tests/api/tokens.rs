//! Access tokens that are refused. Each case spoils a good token in one way.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{Ed25519KeyPair, KeyPair};
use serde_json::{Value, json};
use tests::{Actor, PASSWORD, Stage};

const URL: &str = "https://api.example.com";
const ME: &str = "/api/v1/users/me";

/// A key of this test's own, which the house is told of or not.
struct Key {
    pair: Ed25519KeyPair,
    id: String,
}

impl Key {
    fn new(id: &str) -> Self {
        let pkcs8 = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self {
            pair: Ed25519KeyPair::from_pkcs8(pkcs8.as_ref()).unwrap(),
            id: id.to_owned(),
        }
    }

    fn public(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key());
        json!({"kty": "OKP", "crv": "Ed25519", "alg": "EdDSA", "use": "sig", "kid": self.id, "x": x})
    }

    fn sign(&self, header: &str, payload: &str) -> String {
        let signed = format!("{}.{}", base64(header), base64(payload));
        let signature = self.pair.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature))
    }
}

fn base64(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A good token, in parts.
#[derive(Clone)]
struct Good {
    header: Value,
    claims: Value,
}

impl Good {
    fn signed(&self, key: &Key) -> String {
        key.sign(&self.header.to_string(), &self.claims.to_string())
    }

    fn header(mut self, name: &str, value: Value) -> Self {
        self.header[name] = value;
        self
    }

    fn claim(mut self, name: &str, value: Value) -> Self {
        self.claims[name] = value;
        self
    }

    fn without(mut self, name: &str) -> Self {
        self.header.as_object_mut().unwrap().remove(name);
        self.claims.as_object_mut().unwrap().remove(name);
        self
    }
}

fn session_of(actor: &Actor<'_>) -> Value {
    let token = actor.header("authorization").unwrap();
    let payload = token.split('.').nth(1).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
    claims["sid"].clone()
}

#[tokio::test]
async fn what_is_no_good_access_token_is_refused() {
    let stage = Stage::new().await;
    let ada = stage.user().await;
    let eve = stage.user().await;
    let ended = stage.anon().log_in(&ada.email, PASSWORD).await;
    let ended_session = session_of(&ended);
    let logout = ended.post("/api/v1/auth/logout", json!({})).await;
    logout.expect(204);
    let credentials = json!({"email": ada.email, "password": PASSWORD});
    let login = stage.anon().post("/api/v1/auth/login", credentials).await;
    let refresh_token = login.text("refresh_token");

    let key = Key::new("the key of this test");
    let jwk = serde_json::from_value(key.public()).unwrap();
    let published = stage.app.store.publish_key(&jwk).await.unwrap();
    stage.app.keyring.learn(&published);
    let evil = Key::new(&key.id);
    let stranger = Key::new("a key that nobody has published");

    let now = stage.app.clock.seconds();
    let good = || Good {
        header: json!({"alg": "EdDSA", "typ": "at+jwt", "kid": key.id}),
        claims: json!({
            "iss": URL, "aud": URL, "sub": ada.id, "iat": now, "exp": now + 900,
            "jti": uuid::Uuid::now_v7(), "sid": session_of(&ada), "email": ada.email,
            "role": "user", "scope": "items:read", "type": "access",
        }),
    };
    let sign = |good: Good| good.signed(&key);
    let alg = |alg: Value| sign(good().header("alg", alg));
    let unsigned = |alg: &str| {
        let good = good().header("alg", json!(alg));
        let (header, claims) = (good.header.to_string(), good.claims.to_string());
        format!("{}.{}.", base64(&header), base64(&claims))
    };
    let by_hmac = |alg: &str, algorithm| {
        let good = good().header("alg", json!(alg));
        let signed = format!(
            "{}.{}",
            base64(&good.header.to_string()),
            base64(&good.claims.to_string())
        );
        let secret = ring::hmac::Key::new(algorithm, key.pair.public_key().as_ref());
        let tag = ring::hmac::sign(&secret, signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(tag))
    };
    let token = sign(good());
    let parts: Vec<&str> = token.split('.').collect();
    let (head, body, signature) = (parts[0], parts[1], parts[2]);
    let twice = |name: &str, value: &str| {
        let claims = good().claims.to_string();
        let claims = format!("{{\"{name}\":\"{value}\",{}", &claims[1..]);
        key.sign(&good().header.to_string(), &claims)
    };
    let raw = |payload: &str| key.sign(&good().header.to_string(), payload);

    let cases: Vec<(&str, String)> = vec![
        ("alg none", unsigned("none")),
        ("alg None", unsigned("None")),
        ("alg empty", unsigned("")),
        (
            "HMAC with the public key",
            by_hmac("HS256", ring::hmac::HMAC_SHA256),
        ),
        (
            "HMAC of another length",
            by_hmac("HS512", ring::hmac::HMAC_SHA512),
        ),
        ("alg RS256", alg(json!("RS256"))),
        ("alg ES256", alg(json!("ES256"))),
        ("alg a number", alg(json!(7))),
        ("no alg", sign(good().without("alg"))),
        ("typ JWT", sign(good().header("typ", json!("JWT")))),
        (
            "typ of an id token",
            sign(good().without("typ").claim("nonce", json!("n"))),
        ),
        ("no kid", sign(good().without("kid"))),
        (
            "kid unknown",
            good().header("kid", json!(stranger.id)).signed(&stranger),
        ),
        (
            "kid a path",
            sign(good().header("kid", json!("../../../dev/null"))),
        ),
        (
            "kid a query",
            sign(good().header("kid", json!("' OR 1=1 --"))),
        ),
        (
            "kid very long",
            sign(good().header("kid", json!("k".repeat(2_000)))),
        ),
        (
            "jku",
            good()
                .header("jku", json!("https://evil.example/jwks"))
                .signed(&evil),
        ),
        (
            "x5u",
            good()
                .header("x5u", json!("https://evil.example/cert"))
                .signed(&evil),
        ),
        (
            "jwk",
            good()
                .header("kid", json!("x"))
                .header("jwk", stranger.public())
                .signed(&stranger),
        ),
        (
            "jwk with our kid",
            good().header("jwk", evil.public()).signed(&evil),
        ),
        ("another key with our kid", good().signed(&evil)),
        ("crit", sign(good().header("crit", json!(["exp"])))),
        (
            "wrong iss",
            sign(good().claim("iss", json!("https://evil.example"))),
        ),
        (
            "iss with a slash",
            sign(good().claim("iss", json!(format!("{URL}/")))),
        ),
        ("iss a list", sign(good().claim("iss", json!([URL])))),
        ("no iss", sign(good().without("iss"))),
        (
            "wrong aud",
            sign(good().claim("aud", json!("https://evil.example"))),
        ),
        (
            "aud a list",
            sign(good().claim("aud", json!([URL, "https://evil.example"]))),
        ),
        ("no aud", sign(good().without("aud"))),
        ("no sub", sign(good().without("sub"))),
        ("sub no id", sign(good().claim("sub", json!("admin")))),
        ("sub a number", sign(good().claim("sub", json!(1)))),
        (
            "sub nobody",
            sign(good().claim("sub", json!(uuid::Uuid::now_v7()))),
        ),
        ("expired", sign(good().claim("exp", json!(now - 6)))),
        ("no exp", sign(good().without("exp"))),
        ("exp a text", sign(good().claim("exp", json!("9999999999")))),
        ("exp out of range", sign(good().claim("exp", json!(1e300)))),
        ("exp null", sign(good().claim("exp", Value::Null))),
        ("iat to come", sign(good().claim("iat", json!(now + 60)))),
        ("nbf to come", sign(good().claim("nbf", json!(now + 60)))),
        ("nbf a text", sign(good().claim("nbf", json!("0")))),
        ("no sid", sign(good().without("sid"))),
        (
            "an ended session",
            sign(good().claim("sid", ended_session.clone())),
        ),
        (
            "a session of another",
            sign(good().claim("sid", session_of(&eve))),
        ),
        (
            "another with this session",
            sign(good().claim("sub", json!(eve.id))),
        ),
        ("a service's", sign(good().claim("type", json!("service")))),
        ("type refresh", sign(good().claim("type", json!("refresh")))),
        ("no type", sign(good().without("type"))),
        ("role unknown", sign(good().claim("role", json!("root")))),
        (
            "scope a list",
            sign(good().claim("scope", json!(["admin:all"]))),
        ),
        ("sub twice", twice("sub", &eve.id)),
        ("exp twice", twice("exp", "9999999999")),
        (
            "too long",
            sign(good().claim("padding", json!("x".repeat(5_000)))),
        ),
        ("a refresh token", refresh_token),
        ("two parts", format!("{head}.{body}")),
        ("four parts", format!("{token}.{signature}")),
        ("no signature", format!("{head}.{body}.")),
        (
            "a short signature",
            format!("{head}.{body}.{}", &signature[..40]),
        ),
        ("padded", format!("{head}.{body}.{signature}==")),
        ("a space inside", format!("{head}. {body}.{signature}")),
        (
            "another payload",
            format!(
                "{head}.{}.{signature}",
                base64(&good().claim("role", json!("admin")).claims.to_string())
            ),
        ),
        ("no JSON", raw("nonsense")),
        ("a list", raw("[]")),
        ("null", raw("null")),
        ("nothing", String::new()),
    ];
    let send = async |token: &str| {
        let bearer = format!("Bearer {token}");
        stage
            .anon()
            .with_header("authorization", &bearer)
            .get(ME)
            .await
    };
    send(&token).await.expect(200);
    for (name, token) in cases {
        let answer = send(&token).await;
        assert_eq!(answer.status, 401, "{name}: {answer:?}");
        let answer = answer.expect_problem(401, "invalid_token");
        let challenge = answer.header("www-authenticate");
        assert!(
            challenge.starts_with("Bearer error=\"invalid_token\""),
            "{name}: {challenge}"
        );
    }
    // And not because something had broken.
    send(&token).await.expect(200);
}
