//! Batches of journal entries into the tables.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::column::{self, Columns};
use super::schema::{
    AT_ONCE, BINDINGS, CALLS, DELIVERIES, EVENTS, FACTS, LEGS, MISSED, OPERATOR_STATES, RECORDINGS,
    TRACES, TRUNK_STATES, binding_row, call_row, event_row, leg_row, missed_row, operator_row,
    recording_row, trunk_row,
};
use super::table::Value;
use crate::ledger::id::{CallId, Tenant};
use crate::ledger::journal::Entry;
use crate::store::accounting::{Effects, EventRow, Known, MissedRow, Questions, account};
use crate::store::{Position, StoreError};

impl SqliteStore {
    pub(super) async fn write_entries(
        &self,
        entries: &[Entry],
        position: Option<Position>,
    ) -> Result<(), StoreError> {
        if entries.is_empty() && position.is_none() {
            return Ok(());
        }
        let mut transaction = self.writer.begin_with("BEGIN IMMEDIATE").await?;
        let known = know(&mut transaction, Questions::of(entries)).await?;
        let effects = {
            let mut entropy = self.entropy.lock().unwrap_or_else(PoisonError::into_inner);
            account(entries, known, &mut entropy)
                .map_err(|error| StoreError::Refused(sqlx::Error::Encode(error.into())))?
        };
        let mut facts = facts(&effects);
        if let Some(position) = position {
            let number = i64::try_from(position.number).unwrap_or(i64::MAX);
            facts.extend([("position_run", position.run), ("position_number", number)]);
        }
        let deliveries = self.write_effects(&mut transaction, effects).await?;
        put_facts(&mut transaction, facts).await?;
        transaction.commit().await?;
        if deliveries {
            self.outbox_changed.notify_one();
        }
        Ok(())
    }

    /// True when deliveries were written.
    async fn write_effects(
        &self,
        connection: &mut SqliteConnection,
        mut effects: Effects,
    ) -> Result<bool, StoreError> {
        super::defence::write(connection, &mut effects).await?;
        super::quality::write(connection, &mut effects).await?;
        let deliveries = self.deliveries(&effects.events);
        let written = !deliveries.is_empty();
        let mut traces = Vec::new();
        for (call, lines) in &effects.traces {
            let lines = serde_json::to_string(lines)
                .map_err(|error| StoreError::Refused(sqlx::Error::Encode(error.into())))?;
            traces.push(vec![Value::text(call), Value::Text(lines)]);
        }
        for (recording, at) in &effects.heard {
            sqlx::query("INSERT OR IGNORE INTO heard (recording_id, at) VALUES (?, ?)")
                .bind(recording.to_string())
                .bind(at.as_micros())
                .execute(&mut *connection)
                .await?;
        }
        for (operator, contact) in &effects.unbound {
            sqlx::query("DELETE FROM bindings WHERE operator = ? AND contact = ?")
                .bind(operator.as_str())
                .bind(contact)
                .execute(&mut *connection)
                .await?;
        }
        for (table, rows) in [
            (&CALLS, rows(effects.calls, call_row)),
            (&LEGS, rows(effects.legs, leg_row)),
            (&TRACES, traces),
            (&MISSED, rows(effects.missed, missed_row)),
            (&RECORDINGS, rows(effects.recordings, recording_row)),
            (&BINDINGS, rows(effects.bindings, binding_row)),
            (&OPERATOR_STATES, rows(effects.operators, operator_row)),
            (&TRUNK_STATES, rows(effects.trunks, trunk_row)),
            (&EVENTS, rows(effects.events, event_row)),
            (&DELIVERIES, deliveries),
        ] {
            table.put(connection, rows).await?;
        }
        Ok(written)
    }

    fn deliveries(&self, events: &[EventRow]) -> Vec<Vec<Value>> {
        let subscriptions = self.subscriptions.load();
        let mut rows = Vec::new();
        for event in events {
            for webhook in subscriptions.to(event.kind) {
                rows.push(vec![
                    Value::text(webhook),
                    Value::text(event.event_id),
                    event.time.into(),
                    AT_ONCE,
                    Value::Integer(0),
                    Value::Text("pending".to_owned()),
                ]);
            }
        }
        rows
    }
}

fn rows<T>(records: Vec<T>, row: impl Fn(T) -> Vec<Value>) -> Vec<Vec<Value>> {
    records.into_iter().map(row).collect()
}

fn facts(effects: &Effects) -> Vec<(&'static str, i64)> {
    let alive = effects.alive.map(|at| ("alive_at", at.as_micros()));
    let version = effects
        .plan_version
        .map(|version| ("plan_version", i64::try_from(version).unwrap_or(i64::MAX)));
    alive.into_iter().chain(version).collect()
}

async fn put_facts(
    connection: &mut SqliteConnection,
    facts: Vec<(&'static str, i64)>,
) -> Result<(), StoreError> {
    let rows = rows(facts, |(name, value)| {
        vec![Value::text(name), Value::Integer(value)]
    });
    FACTS.put(connection, rows).await?;
    Ok(())
}

/// Answers the questions of the accounting from the tables.
async fn know(
    connection: &mut SqliteConnection,
    questions: Questions,
) -> Result<Known, StoreError> {
    let mut known = Known::default();
    if !questions.ended.is_empty() {
        known.ended = ended(connection, &questions.ended).await?;
    }
    let mut parties: HashMap<Tenant, Vec<String>> = HashMap::new();
    for (tenant, party) in questions.parties {
        parties.entry(tenant).or_default().push(party);
    }
    for (tenant, parties) in parties {
        for missed in open_missed(connection, &tenant, &parties).await? {
            if let Some(caller) = &missed.caller {
                let key = (tenant.clone(), caller.clone());
                known.missed.entry(key).or_default().push(missed);
            }
        }
    }
    for call in questions.rows {
        let row = sqlx::query("SELECT * FROM calls WHERE call_id = ?")
            .bind(call.to_string())
            .fetch_optional(&mut *connection)
            .await?;
        if let Some(row) = row {
            known.rows.insert(call, column::call(&row)?);
        }
    }
    Ok(known)
}

async fn ended(
    connection: &mut SqliteConnection,
    calls: &BTreeSet<CallId>,
) -> Result<HashSet<CallId>, StoreError> {
    let ids = json(&calls.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    let rows = sqlx::query(
        "SELECT call_id FROM json_each(?) AS asked JOIN calls ON calls.call_id = asked.value \
         WHERE calls.ended_at IS NOT NULL",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| Columns::of("calls", row).id("call_id"))
        .collect()
}

async fn open_missed(
    connection: &mut SqliteConnection,
    tenant: &Tenant,
    parties: &[String],
) -> Result<Vec<MissedRow>, StoreError> {
    let rows = sqlx::query(
        "SELECT missed.* FROM json_each(?) AS asked \
         CROSS JOIN missed INDEXED BY missed_by_caller \
         ON missed.tenant = ? AND missed.caller = asked.value AND missed.recovered_at IS NULL \
         ORDER BY missed.missed_at, missed.call_id",
    )
    .bind(json(parties)?)
    .bind(tenant.as_str())
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let columns = Columns::of("missed", row);
            Ok(MissedRow {
                call_id: columns.id("call_id")?,
                tenant: tenant.clone(),
                caller: columns.maybe_text("caller")?,
                missed_at: columns.wall("missed_at")?,
                latest: row.try_get::<i64, _>("latest")? != 0,
                recovered_at: columns.maybe_wall("recovered_at")?,
                recovered_by: columns.maybe_id("recovered_by")?,
            })
        })
        .collect()
}

fn json(texts: &[String]) -> Result<String, StoreError> {
    serde_json::to_string(texts)
        .map_err(|error| StoreError::Refused(sqlx::Error::Encode(error.into())))
}
