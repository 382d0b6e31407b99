//! Batches of journal entries into the tables.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::PoisonError;

use sqlx::Row;
use sqlx::sqlite::SqliteConnection;

use super::SqliteStore;
use super::column::{self, Columns};
use super::table::{Table, Value};
use crate::ledger::id::{CallId, Tenant};
use crate::ledger::journal::{BindingRecord, Entry, RecordingKind, RecordingRecord};
use crate::ledger::leg::LegRecord;
use crate::store::accounting::{Effects, EventRow, Known, MissedRow, Questions, StateRow, account};
use crate::store::row::CallRow;
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
        let deliveries = self.write_effects(&mut transaction, effects).await?;
        if let Some(position) = position {
            let number = i64::try_from(position.number).unwrap_or(i64::MAX);
            let rows = vec![("position_run", position.run), ("position_number", number)];
            put_facts(&mut transaction, rows).await?;
        }
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
        effects: Effects,
    ) -> Result<bool, StoreError> {
        let deliveries = self.deliveries(&effects.events);
        let written = !deliveries.is_empty();
        let mut traces = Vec::new();
        for (call, lines) in &effects.traces {
            let lines = serde_json::to_string(lines)
                .map_err(|error| StoreError::Refused(sqlx::Error::Encode(error.into())))?;
            traces.push(vec![Value::text(call), Value::Text(lines)]);
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
        let alive = effects.alive.map(|at| ("alive_at", at.as_micros()));
        let version = effects
            .plan_version
            .map(|version| ("plan_version", i64::try_from(version).unwrap_or(i64::MAX)));
        put_facts(connection, alive.into_iter().chain(version).collect()).await?;
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

fn call_row(row: CallRow) -> Vec<Value> {
    let call = row.record;
    vec![
        Value::text(call.call_id),
        Value::text(&call.tenant),
        Value::text(call.direction.as_str()),
        call.caller.into(),
        call.number.into(),
        call.party.into(),
        call.landing_page.into(),
        call.trunk.into(),
        call.arrived_at.into(),
        call.connected_at.into(),
        call.answered_at.into(),
        call.ended_at.into(),
        Value::maybe_word(call.result),
        Value::maybe_word(call.cause),
        list(&call.flags),
        Value::maybe_number(call.wait_total_ms),
        Value::maybe_number(call.wait_hunt_ms),
        Value::maybe_number(call.talk_ms),
        call.operator.into(),
        call.hunt.into(),
        list(&call.path),
        Value::maybe_text(call.recording_id),
        Value::maybe_text(call.voicemail_id),
        Value::maybe_word(call.ended_by),
        Value::maybe_number(call.sip_code.map(u64::from)),
        Value::number(call.plan_version),
        Value::number(call.sequence.into()),
        Value::maybe_text(row.repeat_of),
    ]
}

/// A JSON array. Flags and paths are lists of plain words, which always serialise.
fn list<T: serde::Serialize>(words: &[T]) -> Value {
    Value::Text(serde_json::to_string(words).unwrap_or_else(|_| "[]".to_owned()))
}

fn leg_row((call, leg): (CallId, LegRecord)) -> Vec<Value> {
    vec![
        Value::text(call),
        Value::text(leg.leg_id),
        Value::word(leg.kind),
        leg.operator.into(),
        leg.trunk.into(),
        leg.rung_at.into(),
        leg.connected_at.into(),
        leg.accepted_at.into(),
        leg.ended_at.into(),
        Value::maybe_word(leg.outcome),
        Value::maybe_number(leg.sip_code.map(u64::from)),
        leg.sip_call_id.into(),
    ]
}

fn missed_row(missed: MissedRow) -> Vec<Value> {
    vec![
        Value::text(missed.call_id),
        Value::text(&missed.tenant),
        missed.caller.into(),
        missed.missed_at.into(),
        Value::Integer(missed.latest.into()),
        missed.recovered_at.into(),
        Value::maybe_text(missed.recovered_by),
    ]
}

fn recording_row(recording: RecordingRecord) -> Vec<Value> {
    let voicemail = match recording.kind {
        RecordingKind::Conversation => None,
        RecordingKind::Voicemail(voicemail) => Some(voicemail),
    };
    vec![
        Value::text(recording.recording_id),
        Value::text(&recording.tenant),
        Value::text(recording.call_id),
        Value::maybe_text(voicemail),
        recording.voicemail_box.into(),
        Value::Text(recording.path),
        recording.started_at.into(),
        Value::maybe_number(recording.duration_ms),
        Value::maybe_number(recording.bytes),
        recording.sha256.into(),
    ]
}

fn binding_row(binding: BindingRecord) -> Vec<Value> {
    let granted = u64::try_from(binding.granted.as_millis()).unwrap_or(u64::MAX);
    vec![
        Value::text(&binding.operator),
        Value::text(&binding.contact),
        Value::text(&binding.transport),
        Value::text(binding.local),
        Value::text(binding.remote),
        Value::text(&binding.call_id),
        Value::number(binding.cseq.into()),
        binding.expires_at.into(),
        binding.user_agent.into(),
        Value::number(granted),
    ]
}

fn operator_row(row: StateRow) -> Vec<Value> {
    vec![
        Value::text(&row.tenant),
        Value::text(&row.name),
        Value::text(&row.state),
        row.at.into(),
    ]
}

fn trunk_row(row: StateRow) -> Vec<Value> {
    vec![
        Value::text(&row.tenant),
        Value::text(&row.name),
        Value::text(&row.state),
        row.reason.into(),
        row.at.into(),
    ]
}

fn event_row(event: EventRow) -> Vec<Value> {
    vec![
        Value::text(event.event_id),
        Value::text(&event.tenant),
        Value::text(event.kind.as_str()),
        event.time.into(),
        Value::maybe_text(event.call_id),
        Value::Text(event.body),
    ]
}

/// The first attempt is due whatever the wall clock does.
const AT_ONCE: Value = Value::Integer(0);

const CALLS: Table = Table {
    name: "calls",
    columns: &[
        "call_id",
        "tenant",
        "direction",
        "caller",
        "number",
        "party",
        "landing_page",
        "trunk",
        "arrived_at",
        "connected_at",
        "answered_at",
        "ended_at",
        "result",
        "cause",
        "flags",
        "wait_total_ms",
        "wait_hunt_ms",
        "talk_ms",
        "operator",
        "hunt",
        "path",
        "recording_id",
        "voicemail_id",
        "ended_by",
        "sip_code",
        "plan_version",
        "sequence",
        "repeat_of",
    ],
    key: &["call_id"],
    fixed: &["tenant", "direction", "arrived_at"],
};

const LEGS: Table = Table {
    name: "legs",
    columns: &[
        "call_id",
        "leg_id",
        "kind",
        "operator",
        "trunk",
        "rung_at",
        "connected_at",
        "accepted_at",
        "ended_at",
        "outcome",
        "sip_code",
        "sip_call_id",
    ],
    key: &["call_id", "leg_id"],
    fixed: &[],
};

const TRACES: Table = Table {
    name: "traces",
    columns: &["call_id", "lines"],
    key: &["call_id"],
    fixed: &[],
};

const MISSED: Table = Table {
    name: "missed",
    columns: &[
        "call_id",
        "tenant",
        "caller",
        "missed_at",
        "latest",
        "recovered_at",
        "recovered_by",
    ],
    key: &["call_id"],
    fixed: &["tenant", "caller", "missed_at"],
};

const RECORDINGS: Table = Table {
    name: "recordings",
    columns: &[
        "recording_id",
        "tenant",
        "call_id",
        "voicemail_id",
        "voicemail_box",
        "path",
        "started_at",
        "duration_ms",
        "bytes",
        "sha256",
    ],
    key: &["recording_id"],
    fixed: &["tenant", "call_id"],
};

const BINDINGS: Table = Table {
    name: "bindings",
    columns: &[
        "operator",
        "contact",
        "transport",
        "local",
        "remote",
        "call_id",
        "cseq",
        "expires_at",
        "user_agent",
        "granted_ms",
    ],
    key: &["operator", "contact"],
    fixed: &[],
};

const OPERATOR_STATES: Table = Table {
    name: "operator_states",
    columns: &["tenant", "operator", "state", "at"],
    key: &[],
    fixed: &[],
};

const TRUNK_STATES: Table = Table {
    name: "trunk_states",
    columns: &["tenant", "trunk", "state", "reason", "at"],
    key: &[],
    fixed: &[],
};

const EVENTS: Table = Table {
    name: "events",
    columns: &["event_id", "tenant", "type", "time", "call_id", "body"],
    key: &[],
    fixed: &[],
};

const DELIVERIES: Table = Table {
    name: "deliveries",
    columns: &[
        "webhook",
        "event_id",
        "created_at",
        "due_at",
        "attempts",
        "state",
    ],
    key: &["webhook", "event_id"],
    fixed: &["created_at", "due_at", "attempts", "state"],
};

const FACTS: Table = Table {
    name: "facts",
    columns: &["name", "value"],
    key: &["name"],
    fixed: &[],
};
