//! The outbox in its tables: what is due, how it went, and what is old enough to go.

use std::time::Duration;

use super::SqliteStore;
use super::column::Columns;
use super::table::{Table, Value};
use crate::ledger::clock::Wall;
use crate::ledger::id::Name;
use crate::store::StoreError;
use crate::store::outbox::{Delivery, EndpointRow, Outcome, Settlement};

impl SqliteStore {
    pub(super) async fn read_due(
        &self,
        webhook: &Name,
        now: Wall,
        limit: u32,
    ) -> Result<Vec<Delivery>, StoreError> {
        let rows = sqlx::query(
            "SELECT deliveries.event_id AS event_id, attempts, body FROM deliveries \
             INDEXED BY deliveries_due JOIN events ON events.event_id = deliveries.event_id \
             WHERE deliveries.webhook = ? AND deliveries.state = 'pending' AND deliveries.due_at <= ? \
             ORDER BY deliveries.due_at, deliveries.event_id LIMIT ?",
        )
        .bind(webhook.as_str())
        .bind(now.as_micros())
        .bind(i64::from(limit))
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("deliveries", row);
                Ok(Delivery {
                    webhook: webhook.clone(),
                    event: columns.id("event_id")?,
                    attempts: columns.number("attempts")?,
                    body: columns.text("body")?,
                })
            })
            .collect()
    }

    pub(super) async fn read_next_due(
        &self,
        webhook: &Name,
        after: Wall,
    ) -> Result<Option<Wall>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar(
            "SELECT due_at FROM deliveries INDEXED BY deliveries_due \
             WHERE webhook = ? AND state = 'pending' AND due_at > ? ORDER BY due_at LIMIT 1",
        )
        .bind(webhook.as_str())
        .bind(after.as_micros())
        .fetch_optional(&self.readers)
        .await?;
        Ok(at.map(Wall::from_micros))
    }

    pub(super) async fn write_settlements(
        &self,
        settlements: &[Settlement],
        endpoints: &[EndpointRow],
    ) -> Result<(), StoreError> {
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        for settlement in settlements {
            let (state, due_at) = match settlement.outcome {
                Outcome::Delivered => ("delivered", None),
                Outcome::Again(at) => ("pending", Some(at.as_micros())),
                Outcome::GivenUp => ("given_up", None),
            };
            let finished_at = match settlement.outcome {
                Outcome::Again(_) => None,
                _ => Some(settlement.at.as_micros()),
            };
            sqlx::query(
                "UPDATE deliveries SET state = ?, due_at = COALESCE(?, due_at), attempts = ?, \
                 status = ?, error = ?, finished_at = ? WHERE webhook = ? AND event_id = ?",
            )
            .bind(state)
            .bind(due_at)
            .bind(i64::from(settlement.attempts))
            .bind(settlement.status.map(i64::from))
            .bind(settlement.error.as_deref())
            .bind(finished_at)
            .bind(settlement.webhook.as_str())
            .bind(settlement.event.to_string())
            .execute(&mut *transaction)
            .await?;
        }
        let rows = endpoints.iter().map(endpoint_row).collect();
        ENDPOINTS.put(&mut transaction, rows).await?;
        transaction.commit().await?;
        Ok(())
    }

    pub(super) async fn read_endpoints(&self) -> Result<Vec<EndpointRow>, StoreError> {
        let rows = sqlx::query("SELECT webhook, url, disabled, failures FROM endpoints")
            .fetch_all(&self.readers)
            .await?;
        rows.iter()
            .map(|row| {
                let columns = Columns::of("endpoints", row);
                Ok(EndpointRow {
                    webhook: Name::from(columns.text("webhook")?),
                    url: columns.text("url")?,
                    disabled: columns.number::<i64>("disabled")? != 0,
                    failures: columns.number("failures")?,
                })
            })
            .collect()
    }

    /// Finished deliveries go after a week; events, and deliveries that a removed or disabled endpoint left, after 30 days.
    pub(super) async fn prune_outbox(&self, now: Wall) -> Result<bool, StoreError> {
        let week = now.as_micros() - micros(7);
        let month = now.as_micros() - micros(30);
        let mut removed = 0;
        for (sql, before) in [
            (
                "DELETE FROM deliveries WHERE (webhook, event_id) IN (SELECT webhook, event_id \
                 FROM deliveries WHERE finished_at IS NOT NULL AND finished_at < ? LIMIT 500)",
                week,
            ),
            (
                "DELETE FROM deliveries WHERE (webhook, event_id) IN (SELECT webhook, event_id \
                 FROM deliveries INDEXED BY deliveries_due \
                 WHERE state = 'pending' AND created_at < ? LIMIT 500)",
                month,
            ),
            (
                "DELETE FROM events WHERE position IN \
                 (SELECT position FROM events WHERE time < ? LIMIT 500)",
                month,
            ),
        ] {
            let done = sqlx::query(sql).bind(before).execute(&self.writer).await?;
            removed = done.rows_affected().max(removed);
        }
        Ok(removed >= 500)
    }
}

fn endpoint_row(endpoint: &EndpointRow) -> Vec<Value> {
    vec![
        Value::text(&endpoint.webhook),
        Value::text(&endpoint.url),
        Value::Integer(endpoint.disabled.into()),
        Value::Integer(endpoint.failures.into()),
    ]
}

fn micros(days: u64) -> i64 {
    i64::try_from(Duration::from_secs(days * 86_400).as_micros()).unwrap_or(i64::MAX)
}

const ENDPOINTS: Table = Table {
    name: "endpoints",
    columns: &["webhook", "url", "disabled", "failures"],
    key: &["webhook"],
    fixed: &[],
};
