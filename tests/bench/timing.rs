//! Whether the time of an answer tells who has an account: the same request for somebody and for nobody, in turn.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tests::Stage;

use crate::percentile;

const PAIRS: usize = 300;

pub(crate) async fn measure() {
    println!();
    println!(
        "route            p50 known us  p50 unknown us  ratio of medians  pairs in which known took longer"
    );
    for (route, password) in [("login", Some("Wrong-horse-7")), ("forgot-password", None)] {
        let stage = Stage::new().await;
        let mut known = Vec::new();
        let mut unknown = Vec::new();
        for pair in 0..PAIRS {
            // Somebody new each time: after five failures the answers are held back for anybody.
            let (somebody, nobody) = (
                stage.user().await.email,
                format!("nobody{pair}@example.com"),
            );
            // The first of a pair changes, in case being the first costs something.
            let mut took = [Duration::ZERO; 2];
            for turn in [pair % 2, 1 - pair % 2] {
                let email = [&somebody, &nobody][turn];
                let mut body = json!({"email": email});
                if let Some(password) = password {
                    body["password"] = Value::from(password);
                }
                let client = stage.anon();
                let started = Instant::now();
                client.post(&format!("/api/v1/auth/{route}"), body).await;
                took[turn] = started.elapsed();
            }
            known.push(took[0]);
            unknown.push(took[1]);
        }
        let longer = known.iter().zip(&unknown).filter(|(k, u)| k > u).count();
        let micros = |d: Duration| d.as_secs_f64() * 1e6;
        let (k, u) = (
            micros(percentile(&mut known, 50)),
            micros(percentile(&mut unknown, 50)),
        );
        println!(
            "{route:16} {k:12.0} {u:15.0} {:17.3} {:20.0} %",
            k / u,
            longer as f64 / PAIRS as f64 * 100.0
        );
    }
}
