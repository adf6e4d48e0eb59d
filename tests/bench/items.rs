//! What lists and searches of items cost where there are few and where there are many.

use std::time::Instant;

use local::{load, shell};
use tests::Stage;

use crate::sizes::{self, Figure};

const LIST: &str = "/api/v1/items";

const FEW: u32 = 100;
/// Or as the variable `ITEMS` says.
const MANY: u32 = 100_000;

/// The position in the list at which the deep page begins, if there are twice as many items; the length of the pages
/// that lead there.
const DEEP: u32 = 2_000;
const STEP: u32 = 50;

/// A material that many of the items have in their title, and as a tag.
const MATERIAL: &str = "walnut";

pub(crate) async fn measure() {
    let many = shell::variable("ITEMS").map_or(MANY, |items| items.parse().unwrap());
    println!();
    let of_few = (FEW, figures(FEW).await);
    let of_many = (many, figures(many).await);
    sizes::compare("items", of_few, of_many);
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

    let deep = sizes::cursor_at(&anybody, LIST, DEEP.min(items / 2), STEP).await;
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
        let path = format!("{LIST}{path}");
        // What is kept of it for a minute would cost nothing.
        let forget = || stage.app.caches.popular.clear();
        figures.push(sizes::figure(&anybody, request, &path, items, forget).await);
    }
    figures
}
