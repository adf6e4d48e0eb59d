//! Two versions of a route beside each other: the newer one, and what the older one tells of it.

use jiff::Timestamp;
use jiff::fmt::rfc2822;
use serde_json::{Value, json};
use tests::{Answer, Stage};

use crate::people::{USERS, all_of, members, path_of, staff, texts};

const USERS_V2: &str = "/api/v2/users";

const TELLING: [&str; 3] = ["deprecation", "sunset", "link"];

/// What an answer tells of the route's end.
fn told(answer: &Answer) -> [&str; 3] {
    TELLING.map(|name| answer.header(name))
}

#[tokio::test]
async fn users_in_both_versions() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let reader = staff(&stage, &admin, "moderator").await;
    for n in 0..9 {
        let account = json!({"email": format!("person{n}@example.com")});
        let made = admin.post(USERS, account).await.expect(201);
        if n < 3 {
            let change = json!({"is_active": false});
            let path = path_of(&made.text("id"));
            admin.patch(&path, change).await.expect(200);
        }
    }
    for (query, query_v2, expected) in [
        ("limit=4", "limit=4", 11),
        ("limit=4&is_active=true", "limit=4&filter_active=true", 8),
        ("limit=4&is_active=false", "limit=4&filter_active=false", 3),
        ("limit=4&role=moderator", "limit=4&role=moderator", 1),
        (
            "limit=4&role=user&is_active=true",
            "limit=4&role=user&filter_active=true",
            6,
        ),
    ] {
        let (path, path_v2) = (format!("{USERS}?{query}"), format!("{USERS_V2}?{query_v2}"));
        let older = reader.get(&path).await.expect(200);
        let newer = reader.get(&path_v2).await.expect(200);
        let page = newer.json();
        assert_eq!(members(&page), ["items", "next_cursor", "total"]);
        assert_eq!(page["total"], expected, "{query_v2}");
        assert_eq!(page["items"], older.json()["items"], "{query_v2}");
        // What it costs is the same.
        let older = older.usage;
        newer
            .expect_round_trips(older.round_trips())
            .expect_units(older.read_units(), 0.0);

        let all = all_of(&reader, &path_v2).await;
        assert_eq!(all.len(), expected, "{query_v2}");
        let ids = texts(&all, "id");
        assert_eq!(ids, texts(&all_of(&reader, &path).await, "id"));
    }
    // A cursor of one version is good for the other.
    let page = reader.get(&format!("{USERS}?limit=4")).await.json();
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = format!("{USERS_V2}?limit=4&cursor={cursor}");
    let next = reader.get(&next).await.expect(200).expect_round_trips(3);
    assert_eq!(next.json()["items"].as_array().unwrap().len(), 4);
    assert_ne!(next.json()["items"][0], page["items"][0]);
}

#[tokio::test]
async fn the_newer_version_refuses_what_it_does_not_know() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let check = async |query: &str, expected: &[(&str, &str)]| {
        let wrong = admin.get(&format!("{USERS_V2}?{query}")).await;
        let wrong = wrong.expect_problem(422, "validation_failed");
        let fields = wrong.wrong_fields();
        let fields: Vec<_> = fields
            .iter()
            .map(|(f, c)| (f.as_str(), c.as_str()))
            .collect();
        assert_eq!(fields, expected, "{query}");
    };
    check("filter_active=yes", &[("filter_active", "not_one_of")]).await;
    check("role=king", &[("role", "not_one_of")]).await;
    check("limit=0", &[("limit", "out_of_range")]).await;
    check("limit=101", &[("limit", "out_of_range")]).await;
    // Those of version 1, and one that is misspelt, would otherwise list everybody.
    check("skip=20", &[("skip", "unknown_field")]).await;
    check("skip=20000", &[("skip", "unknown_field")]).await;
    check("is_active=false", &[("is_active", "unknown_field")]).await;
    check(
        "filter_actve=true&limit=x&skip=1&skip=2",
        &[
            ("filter_actve", "unknown_field"),
            ("skip", "unknown_field"),
            ("limit", "out_of_range"),
        ],
    )
    .await;
    let cursor = admin.get(&format!("{USERS_V2}?cursor=nonsense")).await;
    cursor.expect_problem(400, "invalid_cursor");

    let ada = stage.user().await;
    let refused = ada.get(USERS_V2).await;
    refused.expect_problem(403, "insufficient_scope");
    let nobody = stage.anon().get(USERS_V2).await;
    nobody.expect_problem(401, "token_missing");
    let made = admin.post(USERS_V2, json!({})).await;
    made.expect_problem(405, "method_not_allowed");
    let below = admin.get(&format!("{USERS_V2}/me")).await;
    below.expect_problem(404, "not_found");
}

#[tokio::test]
async fn the_older_version_tells_of_its_end() {
    let stage = Stage::new().await;
    let admin = stage.admin().await;
    let expected = [
        "@1796083200",
        "Wed, 01 Dec 2027 00:00:00 GMT",
        "</api/v2/users>; rel=\"successor-version\"",
    ];
    let listed = admin.get(USERS).await.expect(200);
    let wrong = admin.get(&format!("{USERS}?limit=0")).await.expect(422);
    let ada = stage.user().await;
    let refused = ada.get(USERS).await.expect(403);
    let nobody = stage.anon().get(USERS).await.expect(401);
    for answer in [listed, wrong, refused, nobody] {
        assert_eq!(told(&answer), expected, "{answer:?}");
    }
    // A page of another origin may read it.
    let open = Stage::with(&[("CORS_ORIGINS", "https://app.example.com")]).await;
    let page = open.anon().with_header("origin", "https://app.example.com");
    let seen = page.get(USERS).await.expect(401);
    let exposed = seen.header("access-control-expose-headers");
    for name in TELLING {
        assert!(exposed.split(',').any(|known| known == name), "{exposed}");
    }

    // Neither its successor, nor what else is at that path or below it.
    let account = json!({"email": "new@example.com"});
    for answer in [
        admin.get(USERS_V2).await.expect(200),
        stage.anon().get(USERS_V2).await.expect(401),
        admin.post(USERS, account).await.expect(201),
        admin.send("DELETE", USERS, None, b"").await.expect(405),
        admin.get(&path_of(&ada.id)).await.expect(200),
    ] {
        assert_eq!(told(&answer), ["", "", ""], "{answer:?}");
    }
}

/// The rule of README.md, "Versions of the API", for all routes that there are.
#[tokio::test]
async fn a_route_with_a_successor_is_kept_for_half_a_year() {
    let stage = Stage::new().await;
    let document = serde_json::to_value(docs::document()).unwrap();
    let paths = document["paths"].as_object().unwrap();
    let mut ending = Vec::new();
    for (path, item) in paths {
        for (method, operation) in item.as_object().unwrap() {
            let is_marked = operation["deprecated"] == true;
            let answer = stage
                .anon()
                .send(&method.to_uppercase(), path, None, b"")
                .await;
            let told = told(&answer);
            assert_eq!(is_marked, told != ["", "", ""], "{method} {path}: {told:?}");
            if is_marked {
                let [since, sunset, link] = told;
                let since: i64 = since.strip_prefix('@').unwrap().parse().unwrap();
                let since = Timestamp::from_second(since).unwrap();
                let sunset = rfc2822::parse(sunset).unwrap().timestamp();
                let days = sunset.duration_since(since).as_hours() / 24;
                assert!(days >= 182, "{method} {path} ends after {days} days");
                let successor = link.strip_prefix('<').unwrap().split_once('>').unwrap().0;
                let next: &Value = &paths[successor][method];
                assert!(next.is_object(), "there is no {method} {successor}");
                assert_ne!(next["deprecated"], true, "{successor} ends as well");
                ending.push(format!("{method} {path}"));
            }
        }
    }
    assert_eq!(ending, ["get /api/v1/users"]);
}
