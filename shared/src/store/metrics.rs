//! What all instances have counted together. There are a few copies of each row, and each instance adds to one of them.

use std::collections::BTreeMap;

use super::change::text;
use super::users::sums;
use super::{Change, Item, Store, Table, failed, keys};
use crate::error::{Context, Result};
use crate::metrics::Part;

impl Store {
    /// Adds a part to the shared rows, once, whatever was lost of an attempt before. One transaction.
    pub async fn add_metrics(&self, part: &Part) -> Result<()> {
        let mut transaction = self.transaction().once(part.token);
        for (row, attributes) in &part.rows {
            let mut change = Change::new().versioned();
            for (name, number) in attributes {
                let number = i64::try_from(*number).context("count that far")?;
                change = change.add(name, number);
            }
            transaction = transaction.update(Table::App, &keys::metric(part.shard, row), change);
        }
        transaction.commit().await
    }

    /// What all instances have added, by row and attribute. A query of each shard, more where one is above a megabyte;
    /// not strongly consistent, for whoever counts has not told the last ten seconds anyway.
    pub async fn metrics(&self) -> Result<BTreeMap<String, BTreeMap<String, u64>>> {
        let mut rows: BTreeMap<String, Vec<Item>> = BTreeMap::new();
        let shards = (0..keys::METRIC_SHARDS).map(|shard| self.metrics_of(shard));
        for items in futures_util::future::try_join_all(shards).await? {
            for mut item in items {
                let row = item.remove("sk");
                let row = row.and_then(|row| row.as_s().ok().cloned());
                rows.entry(row.context("read a row of metrics")?)
                    .or_default()
                    .push(item);
            }
        }
        let added = rows.into_iter().map(|(row, items)| {
            let sums = sums(items.into_iter()).into_iter();
            let sums = sums.map(|(name, sum)| (name, u64::try_from(sum).unwrap_or_default()));
            (row, sums.collect())
        });
        Ok(added.collect())
    }

    async fn metrics_of(&self, shard: u8) -> Result<Vec<Item>> {
        let mut found = Vec::new();
        let mut start = None;
        loop {
            let request = self.client.query().table_name(self.name(Table::App)?);
            let request = request
                .key_condition_expression("pk = :pk")
                .expression_attribute_values(":pk", text(&keys::metrics(shard)))
                .set_exclusive_start_key(start);
            let output = request.send().await.map_err(failed("read the metrics"))?;
            found.extend(output.items.unwrap_or_default());
            start = output.last_evaluated_key;
            if start.is_none() {
                return Ok(found);
            }
        }
    }
}
