//! What lists and searches of users cost where there are few and where there are many: the same round trips and units.
//! Times are only printed.

use std::time::{Duration, Instant};

use local::{load, shell};
use serde_json::Value;
use tests::{Actor, Stage};

use crate::percentile;

const FEW: u32 = 1_000;
/// Or as the variable `USERS` says.
const MANY: u32 = 100_000;

/// The position in the list at which the deep page begins, if there are twice as many users; the length of the pages
/// that lead there.
const DEEP: u32 = 2_000;
const STEP: u32 = 100;

/// A family name that many of those have who are made up.
const FAMILY: &str = "Silva";

/// How often each request is made.
const REQUESTS: usize = 20;

struct Figure {
    request: &'static str,
    round_trips: u32,
    read_units: f64,
    median: Duration,
}

pub(crate) async fn measure() {
    let many = shell::variable("USERS").map_or(MANY, |users| users.parse().unwrap());
    println!();
    let of_few = figures(FEW).await;
    let of_many = figures(many).await;
    println!(
        "users: request         round trips     read units         p50 ms of {FEW}, of {many}, ratio"
    );
    for (few, many) in of_few.iter().zip(&of_many) {
        let millis = |figure: &Figure| figure.median.as_secs_f64() * 1e3;
        println!(
            "{:20} {:8} {:5} {:8.1} {:5.1} {:16.2} {:8.2} {:8.2}",
            few.request,
            few.round_trips,
            many.round_trips,
            few.read_units,
            many.read_units,
            millis(few),
            millis(many),
            millis(many) / millis(few),
        );
    }
    for (few, many) in of_few.iter().zip(&of_many) {
        let cost = |figure: &Figure| (figure.round_trips, figure.read_units);
        assert_eq!(cost(few), cost(many), "{} of few and of many", few.request);
    }
}

async fn figures(users: u32) -> Vec<Figure> {
    let stage = Stage::new().await;
    let begun = Instant::now();
    load::users(&stage.app, users, |_| ()).await.unwrap();
    println!(
        "{users} users made up after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    // Not before, because the token would expire meanwhile.
    let admin = stage.admin().await;
    let newest = admin.get("/api/v1/users?limit=2").await.expect(200).json();
    let newest = newest["items"].as_array().unwrap();
    let somebody = newest.iter().find(|user| user["email"] != *admin.email);
    let text = |name: &str| somebody.unwrap()[name].as_str().unwrap();
    let (id, email) = (text("id"), text("email"));
    // What comes before it in the address is the beginning of a name.
    let code = email.split(['.', '@']).nth(1).unwrap();

    let deep = cursor_at(&admin, DEEP.min(users / 2)).await;
    let requests = [
        ("first page", "?limit=20".to_owned(), Some(20)),
        ("deep page", format!("?limit=20&cursor={deep}"), Some(20)),
        ("one user", format!("/{id}"), None),
        (
            "search, a family",
            format!("/search?q={FAMILY}&limit=20"),
            Some(20),
        ),
        (
            "search, an address",
            format!("/search?q={code}&limit=20"),
            Some(1),
        ),
    ];
    let mut figures = Vec::new();
    for (request, path, items) in requests {
        let path = format!("/api/v1/users{path}");
        figures.push(figure(&admin, request, &path, items).await);
    }
    figures
}

/// The cursor of the page that begins at a position, found page by page.
async fn cursor_at(admin: &Actor<'_>, position: u32) -> String {
    let mut path = format!("/api/v1/users?limit={STEP}");
    let mut at = 0;
    loop {
        let cursor = admin.get(&path).await.expect(200).text("next_cursor");
        at += STEP;
        if at >= position {
            return cursor;
        }
        path = format!("/api/v1/users?limit={STEP}&cursor={cursor}");
    }
}

async fn figure(
    admin: &Actor<'_>,
    request: &'static str,
    path: &str,
    items: Option<usize>,
) -> Figure {
    let mut times = Vec::new();
    let mut costs = Vec::new();
    for _ in 0..REQUESTS {
        let begun = Instant::now();
        let answer = admin.get(path).await.expect(200);
        times.push(begun.elapsed());
        costs.push((answer.usage.round_trips(), answer.usage.read_units()));
        let found = answer.json()["items"].as_array().map(Vec::<Value>::len);
        assert_eq!(found, items, "{request}");
    }
    // Now and then one takes permits for the hundred requests that follow.
    let least = costs.iter().min_by_key(|(round_trips, _)| *round_trips);
    let (round_trips, read_units) = *least.unwrap();
    Figure {
        request,
        round_trips,
        read_units,
        median: percentile(&mut times, 50),
    }
}
