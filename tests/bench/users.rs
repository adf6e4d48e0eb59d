//! What lists and searches of users cost where there are few and where there are many.

use std::time::Instant;

use local::{load, shell};
use tests::Stage;

use crate::sizes::{self, Figure};

const LIST: &str = "/api/v1/users";

const FEW: u32 = 1_000;
/// Or as the variable `USERS` says.
const MANY: u32 = 100_000;

/// The position in the list at which the deep page begins, if there are twice as many users; the length of the pages
/// that lead there.
const DEEP: u32 = 2_000;
const STEP: u32 = 100;

/// A family name that many of those have who are made up.
const FAMILY: &str = "Silva";

pub(crate) async fn measure() {
    let many = shell::variable("USERS").map_or(MANY, |users| users.parse().unwrap());
    println!();
    let of_few = (FEW, figures(FEW).await);
    let of_many = (many, figures(many).await);
    sizes::compare("users", of_few, of_many);
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

    let deep = sizes::cursor_at(&admin, LIST, DEEP.min(users / 2), STEP).await;
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
        let path = format!("{LIST}{path}");
        figures.push(sizes::figure(&admin, request, &path, items, || ()).await);
    }
    figures
}
