//! What lists and searches of items cost where there are few and where there are many: the same round trips and units.
//! Times are only printed.

use std::time::{Duration, Instant};

use local::{load, shell};
use serde_json::Value;
use tests::{Actor, Stage};

use crate::percentile;

const FEW: u32 = 100;
/// Or as the variable `ITEMS` says.
const MANY: u32 = 100_000;

/// The position in the list at which the deep page begins, if there are twice as many items; the length of the pages
/// that lead there.
const DEEP: u32 = 2_000;
const STEP: u32 = 50;

/// A material that many of the items have in their title, and as a tag.
const MATERIAL: &str = "walnut";

/// How often each request is made.
const REQUESTS: usize = 20;

struct Figure {
    request: &'static str,
    round_trips: u32,
    read_units: f64,
    median: Duration,
}

pub(crate) async fn measure() {
    let many = shell::variable("ITEMS").map_or(MANY, |items| items.parse().unwrap());
    println!();
    let of_few = figures(FEW).await;
    let of_many = figures(many).await;
    println!(
        "items: request             round trips     read units         p50 ms of {FEW}, of {many}, ratio"
    );
    for (few, many) in of_few.iter().zip(&of_many) {
        let millis = |figure: &Figure| figure.median.as_secs_f64() * 1e3;
        println!(
            "{:24} {:8} {:5} {:8.1} {:5.1} {:16.2} {:8.2} {:8.2}",
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

async fn figures(items: u32) -> Vec<Figure> {
    let stage = Stage::new().await;
    let begun = Instant::now();
    load::items(&stage.app, items, |_| ()).await.unwrap();
    println!(
        "{items} items made up after {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    let anybody = stage.anon();
    let newest = anybody.get("/api/v1/items?limit=1").await.expect(200);
    let newest = newest.json();
    let text = |name: &str| newest["items"][0][name].as_str().unwrap();
    // The title ends with what no other has.
    let (id, code) = (text("id"), text("title").split(' ').next_back().unwrap());

    let deep = cursor_at(&anybody, DEEP.min(items / 2)).await;
    let by_price = "?category=house&min_price=5&max_price=500&sort=price&limit=20";
    let requests = [
        ("first page", "?limit=20".to_owned(), Some(20)),
        ("deep page", format!("?limit=20&cursor={deep}"), Some(20)),
        ("a category, by price", by_price.to_owned(), Some(20)),
        ("a tag", format!("?tag={MATERIAL}&limit=20"), Some(20)),
        ("one item", format!("/{id}"), None),
        (
            "search, a material",
            format!("/search?q={MATERIAL}&limit=20"),
            Some(20),
        ),
        (
            "search, one item",
            format!("/search?q={code}&limit=20"),
            Some(1),
        ),
        ("popular", "/popular".to_owned(), Some(10)),
    ];
    let mut figures = Vec::new();
    for (request, path, items) in requests {
        let path = format!("/api/v1/items{path}");
        figures.push(figure(&stage, &anybody, request, &path, items).await);
    }
    figures
}

/// The cursor of the page that begins at a position, found page by page.
async fn cursor_at(anybody: &Actor<'_>, position: u32) -> String {
    let mut path = format!("/api/v1/items?limit={STEP}");
    let mut at = 0;
    loop {
        let cursor = anybody.get(&path).await.expect(200).text("next_cursor");
        at += STEP;
        if at >= position {
            return cursor;
        }
        path = format!("/api/v1/items?limit={STEP}&cursor={cursor}");
    }
}

async fn figure(
    stage: &Stage,
    anybody: &Actor<'_>,
    request: &'static str,
    path: &str,
    items: Option<usize>,
) -> Figure {
    let mut times = Vec::new();
    let mut costs = Vec::new();
    for _ in 0..REQUESTS {
        // What is kept of it for a minute would cost nothing.
        stage.app.caches.popular.clear();
        let begun = Instant::now();
        let answer = anybody.get(path).await.expect(200);
        times.push(begun.elapsed());
        costs.push((answer.usage.round_trips(), answer.usage.read_units()));
        let found = answer.json()["items"].as_array().map(Vec::<Value>::len);
        assert_eq!(found, items, "{request}");
    }
    // Now and then one takes permits for the hundred requests that follow, or tells how often items were looked at.
    let least = costs.iter().min_by_key(|(round_trips, _)| *round_trips);
    let (round_trips, read_units) = *least.unwrap();
    Figure {
        request,
        round_trips,
        read_units,
        median: percentile(&mut times, 50),
    }
}
