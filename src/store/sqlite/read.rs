//! The queries of the API and of the restart.

use std::collections::BTreeMap;

use sqlx::sqlite::{Sqlite, SqliteRow};
use sqlx::{QueryBuilder, Row};

use super::SqliteStore;
use super::column::{self, Columns};
use crate::ledger::clock::Wall;
use crate::ledger::id::{CallId, Name, RecordingId, Tenant};
use crate::ledger::journal::{BindingRecord, Messages, RecordingRecord};
use crate::store::page::{CallFilter, Cursor, Page, PageRequest};
use crate::store::row::{CallDetail, CallRow, MissedCall, MissedItem};
use crate::store::{Position, StoreError};

impl SqliteStore {
    pub(super) async fn fact(&self, name: &str) -> Result<Option<i64>, StoreError> {
        let value = sqlx::query_scalar("SELECT value FROM facts WHERE name = ?")
            .bind(name)
            .fetch_optional(&self.readers)
            .await?;
        Ok(value)
    }

    pub(super) async fn read_position(&self) -> Result<Option<Position>, StoreError> {
        let row = sqlx::query(
            "SELECT run.value AS run, number.value AS number FROM facts AS run JOIN facts AS number \
             ON run.name = 'position_run' AND number.name = 'position_number'",
        )
        .fetch_optional(&self.readers)
        .await?;
        row.map(|row| {
            Ok(Position {
                run: row.try_get("run")?,
                number: Columns::of("facts", &row).number("number")?,
            })
        })
        .transpose()
    }

    pub(super) async fn read_bindings(&self, now: Wall) -> Result<Vec<BindingRecord>, StoreError> {
        sqlx::query("DELETE FROM bindings WHERE expires_at <= ?")
            .bind(now.as_micros())
            .execute(&self.writer)
            .await?;
        let rows = sqlx::query("SELECT * FROM bindings ORDER BY operator, contact")
            .fetch_all(&self.writer)
            .await?;
        rows.iter().map(column::binding).collect()
    }

    pub(super) async fn read_messages(
        &self,
        tenant: &Tenant,
    ) -> Result<BTreeMap<Name, Messages>, StoreError> {
        let rows = sqlx::query(
            "SELECT voicemail_box, COUNT(*) AS kept, COUNT(heard.at) AS heard \
             FROM recordings LEFT JOIN heard ON heard.recording_id = recordings.recording_id \
             WHERE tenant = ? AND voicemail_box IS NOT NULL AND duration_ms IS NOT NULL AND COALESCE(bytes, 1) > 0 GROUP BY voicemail_box",
        )
        .bind(tenant.as_str())
        .fetch_all(&self.readers)
        .await?;
        rows.iter()
            .map(|row| {
                let mailbox: String = row.try_get("voicemail_box")?;
                let (kept, heard): (i64, i64) = (row.try_get("kept")?, row.try_get("heard")?);
                let number = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
                let messages = Messages {
                    fresh: number(kept - heard),
                    heard: number(heard),
                };
                Ok((Name::from(mailbox), messages))
            })
            .collect()
    }

    pub(super) async fn read_heard(
        &self,
        recording: RecordingId,
    ) -> Result<Option<Wall>, StoreError> {
        let at: Option<i64> = sqlx::query_scalar("SELECT at FROM heard WHERE recording_id = ?")
            .bind(recording.to_string())
            .fetch_optional(&self.readers)
            .await?;
        Ok(at.map(Wall::from_micros))
    }

    pub(super) async fn read_calls(
        &self,
        filter: &CallFilter,
        page: &PageRequest,
    ) -> Result<Page<CallRow>, StoreError> {
        let rows = calls_query(filter, page)
            .build()
            .fetch_all(&self.readers)
            .await?;
        let calls: Result<Vec<CallRow>, StoreError> = rows.iter().map(column::call).collect();
        Ok(Page::cut(calls?, page.limit, |call| Cursor {
            at: call.record.arrived_at,
            call: call.record.call_id,
        }))
    }

    pub(super) async fn read_call(
        &self,
        tenant: &Tenant,
        call: CallId,
    ) -> Result<Option<CallDetail>, StoreError> {
        let id = call.to_string();
        let mut snapshot = self.readers.begin().await?;
        let row = sqlx::query("SELECT * FROM calls WHERE call_id = ? AND tenant = ?")
            .bind(&id)
            .bind(tenant.as_str())
            .fetch_optional(&mut *snapshot)
            .await?;
        let Some(row) = row else { return Ok(None) };
        // An id tells the millisecond in which its leg began; within one, the leg that rang first was there first.
        let legs = sqlx::query(
            "SELECT * FROM legs WHERE call_id = ?
             ORDER BY substr(leg_id, 1, 13), COALESCE(rung_at, ended_at), leg_id",
        )
        .bind(&id)
        .fetch_all(&mut *snapshot)
        .await?;
        let trace = sqlx::query("SELECT lines FROM traces WHERE call_id = ?")
            .bind(&id)
            .fetch_optional(&mut *snapshot)
            .await?;
        let recordings = sqlx::query(RECORDINGS_OF_CALL)
            .bind(&id)
            .fetch_all(&mut *snapshot)
            .await?;
        let mut legs: Vec<_> = legs.iter().map(column::leg).collect::<Result<_, _>>()?;
        super::quality::add_to(&mut snapshot, &id, &mut legs).await?;
        Ok(Some(CallDetail {
            call: column::call(&row)?,
            legs,
            trace: match trace {
                Some(trace) => Columns::of("traces", &trace).json("lines")?,
                None => Vec::new(),
            },
            recordings: recordings
                .iter()
                .map(column::recording)
                .collect::<Result<_, _>>()?,
        }))
    }

    pub(super) async fn read_missed(
        &self,
        tenant: &Tenant,
        page: &PageRequest,
    ) -> Result<Page<MissedItem>, StoreError> {
        let mut snapshot = self.readers.begin().await?;
        let after = page.after.unwrap_or(END);
        let rows = sqlx::query(
            "SELECT call_id, caller, missed_at FROM missed \
             WHERE tenant = ? AND recovered_at IS NULL AND latest = 1 \
             AND (missed_at, call_id) < (?, ?) \
             ORDER BY missed_at DESC, call_id DESC LIMIT ?",
        )
        .bind(tenant.as_str())
        .bind(after.at.as_micros())
        .bind(after.call.to_string())
        .bind(i64::from(page.limit) + 1)
        .fetch_all(&mut *snapshot)
        .await?;
        let mut items = Vec::with_capacity(rows.len());
        for row in &rows {
            let columns = Columns::of("missed", row);
            let cursor = Cursor {
                at: columns.wall("missed_at")?,
                call: columns.id("call_id")?,
            };
            let caller = columns.maybe_text("caller")?;
            let calls = missed_calls(tenant, &caller, cursor.call)
                .build()
                .fetch_all(&mut *snapshot)
                .await?;
            items.push((cursor, missed_item(caller, cursor.at, &calls)?));
        }
        let page = Page::cut(items, page.limit, |(cursor, _)| *cursor);
        Ok(Page {
            items: page.items.into_iter().map(|(_, item)| item).collect(),
            next: page.next,
        })
    }

    pub(super) async fn read_recording(
        &self,
        tenant: &Tenant,
        recording: RecordingId,
    ) -> Result<Option<RecordingRecord>, StoreError> {
        let id = recording.to_string();
        let row = sqlx::query(RECORDING)
            .bind(&id)
            .bind(&id)
            .bind(tenant.as_str())
            .fetch_optional(&self.readers)
            .await?;
        row.as_ref().map(column::recording).transpose()
    }

    pub(super) async fn read_recordings(
        &self,
        call: CallId,
    ) -> Result<Vec<RecordingRecord>, StoreError> {
        let rows = sqlx::query(RECORDINGS_OF_CALL)
            .bind(call.to_string())
            .fetch_all(&self.readers)
            .await?;
        rows.iter().map(column::recording).collect()
    }
}

/// The query behind a page of calls. One row more than asked for tells whether there is a next page.
pub(super) fn calls_query(filter: &CallFilter, page: &PageRequest) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new("SELECT * FROM calls WHERE tenant = ");
    query.push_bind(filter.tenant.as_str().to_owned());
    let texts = [
        (" AND caller = ", &filter.caller),
        (" AND party = ", &filter.party),
        (" AND number = ", &filter.number),
        (" AND landing_page = ", &filter.landing_page),
    ];
    for (sql, text) in &texts {
        if let Some(text) = text {
            query.push(*sql).push_bind(text.clone());
        }
    }
    // A plus keeps the planner off the index of that column, where there is a narrower one.
    let narrow = texts.iter().any(|(_, text)| text.is_some());
    if let Some(result) = filter.result {
        let sql = if narrow {
            " AND +result = "
        } else {
            " AND result = "
        };
        query.push(sql).push_bind(word(result));
    }
    if let Some(direction) = filter.direction {
        let plain = !narrow && filter.result.is_none();
        let sql = if plain {
            " AND direction = "
        } else {
            " AND +direction = "
        };
        query.push(sql).push_bind(direction.as_str());
    }
    if let Some(from) = filter.from {
        query
            .push(" AND arrived_at >= ")
            .push_bind(from.as_micros());
    }
    if let Some(to) = filter.to {
        query.push(" AND arrived_at < ").push_bind(to.as_micros());
    }
    if let Some(after) = page.after {
        query.push(" AND (arrived_at, call_id) < (");
        query.push_bind(after.at.as_micros()).push(", ");
        query.push_bind(after.call.to_string()).push(")");
    }
    query.push(" ORDER BY arrived_at DESC, call_id DESC LIMIT ");
    query.push_bind(i64::from(page.limit) + 1);
    query
}

fn missed_calls(tenant: &Tenant, caller: &Option<String>, call: CallId) -> QueryBuilder<Sqlite> {
    let mut query = QueryBuilder::new(
        "SELECT calls.*, missed.missed_at AS missed_at, COUNT(*) OVER () AS open_calls \
         FROM missed JOIN calls ON calls.call_id = missed.call_id WHERE ",
    );
    match caller {
        Some(caller) => {
            query.push("missed.recovered_at IS NULL AND missed.tenant = ");
            query.push_bind(tenant.as_str().to_owned());
            query
                .push(" AND missed.caller = ")
                .push_bind(caller.clone());
        }
        None => {
            query.push("missed.call_id = ").push_bind(call.to_string());
        }
    }
    query.push(" ORDER BY missed.missed_at DESC, missed.call_id DESC LIMIT ");
    query.push_bind(i64::from(MissedItem::CALLS));
    query
}

fn missed_item(
    caller: Option<String>,
    missed_at: Wall,
    rows: &[SqliteRow],
) -> Result<MissedItem, StoreError> {
    let mut count = 0;
    let mut calls = Vec::with_capacity(rows.len());
    for row in rows {
        let columns = Columns::of("missed", row);
        count = columns.number("open_calls")?;
        calls.push(MissedCall {
            call: column::call(row)?,
            missed_at: columns.wall("missed_at")?,
        });
    }
    Ok(MissedItem {
        caller,
        missed_at,
        count,
        calls,
    })
}

fn word<T: serde::Serialize>(word: T) -> Option<String> {
    match serde_json::to_value(word) {
        Ok(serde_json::Value::String(text)) => Some(text),
        _ => None,
    }
}

/// After every row.
const END: Cursor = Cursor {
    at: Wall::from_micros(i64::MAX),
    call: CallId::from_u128(u128::MAX),
};

/// A message is found by its own id and by that of its file. Each half has its index.
const RECORDING: &str = "SELECT * FROM recordings WHERE recording_id IN \
    (SELECT ? UNION ALL SELECT recording_id FROM recordings WHERE voicemail_id = ?) AND tenant = ?";

/// A conference's recording is that of its first call and named by the others.
const RECORDINGS_OF_CALL: &str = "SELECT * FROM recordings WHERE call_id = ?1 \
    OR recording_id = (SELECT recording_id FROM calls WHERE call_id = ?1) ORDER BY started_at, recording_id";
