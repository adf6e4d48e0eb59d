//! The same requests where there is little and where there is much: they must cost the same. Times are only printed.

use std::time::{Duration, Instant};

use serde_json::Value;
use tests::Actor;

use crate::percentile;

/// How often each request is made.
const REQUESTS: usize = 20;

/// What one request costs.
pub(crate) struct Figure {
    request: &'static str,
    round_trips: u32,
    read_units: f64,
    median: Duration,
}

/// Prints the figures of both sizes side by side, and asserts that round trips and read units are equal.
pub(crate) fn compare(what: &str, of_few: (u32, Vec<Figure>), of_many: (u32, Vec<Figure>)) {
    let ((few, of_few), (many, of_many)) = (of_few, of_many);
    println!(
        "{:24} round trips     read units         p50 ms of {few}, of {many}, ratio",
        format!("{what}: request")
    );
    for (few, many) in of_few.iter().zip(&of_many) {
        let millis = |figure: &Figure| figure.median.as_secs_f64() * 1e3;
        println!(
            "{:24} {:5} {:5} {:8.1} {:5.1} {:16.2} {:8.2} {:8.2}",
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

/// The cursor of the page that begins at a position of a list, found by pages of so many.
pub(crate) async fn cursor_at(reader: &Actor<'_>, list: &str, position: u32, step: u32) -> String {
    let mut path = format!("{list}?limit={step}");
    let mut at = 0;
    loop {
        let cursor = reader.get(&path).await.expect(200).text("next_cursor");
        at += step;
        if at >= position {
            return cursor;
        }
        path = format!("{list}?limit={step}&cursor={cursor}");
    }
}

/// Makes a request that answers so many items, if it is a list. `before` comes before each.
pub(crate) async fn figure(
    reader: &Actor<'_>,
    request: &'static str,
    path: &str,
    items: Option<usize>,
    before: impl Fn(),
) -> Figure {
    let mut times = Vec::new();
    let mut costs = Vec::new();
    for _ in 0..REQUESTS {
        before();
        let begun = Instant::now();
        let answer = reader.get(path).await.expect(200);
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
