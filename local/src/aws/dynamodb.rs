//! DynamoDB: dynoxide over SQLite, with the expiry of items that it leaves to its host.

use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use dynoxide::Database;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::Storage;

/// The real one deletes within days; this is fast so that code which forgets to compare the expiry is not hidden for
/// long, and slow so that such code is not hidden at once.
const SWEEP_EVERY: Duration = Duration::from_secs(30);

pub(super) fn open(storage: &Storage) -> Result<Database> {
    let Storage::Folder(folder) = storage else {
        return Database::memory().context("the in-memory DynamoDB did not start");
    };
    let file = folder.join("dynamodb.sqlite");
    let path = file
        .to_str()
        .with_context(|| format!("the path {} is not UTF-8", file.display()))?;
    // SQLite's own words say the same several times over, and nothing that helps.
    Database::new(path).map_err(|_| {
        anyhow!(
            "{} cannot be opened as a database; make it readable and writable, or start with an empty one by \
             `cargo dev --reset`",
            file.display()
        )
    })
}

pub(super) fn serve(listener: TcpListener, database: Database, stopped: watch::Receiver<()>) {
    tokio::spawn(sweep(database.clone(), stopped.clone()));
    tokio::spawn(async move {
        let mut stopped = stopped;
        let stop = async move {
            let _ = stopped.changed().await;
        };
        let _ = dynoxide::server::serve_with_shutdown(listener, database, stop).await;
    });
}

async fn sweep(database: Database, mut stopped: watch::Receiver<()>) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(SWEEP_EVERY) => {}
            _ = stopped.changed() => return,
        }
        let database = database.clone();
        // SQLite blocks. An item that could not be swept is swept the next time.
        let _ = tokio::task::spawn_blocking(move || database.sweep_ttl()).await;
    }
}
