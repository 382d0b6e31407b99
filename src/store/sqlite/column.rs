//! Rows back into records; a column that does not read names itself.

use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as WordError, StrDeserializer};
use sqlx::Row;
use sqlx::sqlite::SqliteRow;

use crate::ledger::call::CallRecord;
use crate::ledger::clock::Wall;
use crate::ledger::id::Name;
use crate::ledger::journal::{BindingRecord, RecordingKind, RecordingRecord};
use crate::ledger::leg::LegRecord;
use crate::store::StoreError;
use crate::store::row::CallRow;

/// A row of a named table.
pub(super) struct Columns<'a> {
    table: &'static str,
    row: &'a SqliteRow,
}

impl<'a> Columns<'a> {
    /// The row, and the table for errors.
    pub(super) fn of(table: &'static str, row: &'a SqliteRow) -> Columns<'a> {
        Columns { table, row }
    }

    pub(super) fn maybe_text(&self, column: &'static str) -> Result<Option<String>, StoreError> {
        Ok(self.row.try_get(column)?)
    }

    pub(super) fn text(&self, column: &'static str) -> Result<String, StoreError> {
        Ok(self.row.try_get(column)?)
    }

    fn maybe_str(&self, column: &'static str) -> Result<Option<&'a str>, StoreError> {
        Ok(self.row.try_get(column)?)
    }

    fn maybe_name(&self, column: &'static str) -> Result<Option<Name>, StoreError> {
        Ok(self.maybe_str(column)?.map(Name::from))
    }

    pub(super) fn maybe_wall(&self, column: &'static str) -> Result<Option<Wall>, StoreError> {
        let micros: Option<i64> = self.row.try_get(column)?;
        Ok(micros.map(Wall::from_micros))
    }

    pub(super) fn wall(&self, column: &'static str) -> Result<Wall, StoreError> {
        Ok(Wall::from_micros(self.row.try_get(column)?))
    }

    pub(super) fn maybe_id<T>(&self, column: &'static str) -> Result<Option<T>, StoreError>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        let text = self.maybe_str(column)?;
        text.map(|text| text.parse().map_err(|error| self.unreadable(column, error)))
            .transpose()
    }

    pub(super) fn id<T>(&self, column: &'static str) -> Result<T, StoreError>
    where
        T: FromStr<Err: std::fmt::Display>,
    {
        self.maybe_id(column)?
            .ok_or_else(|| self.unreadable(column, "NULL"))
    }

    pub(super) fn maybe_number<T: TryFrom<i64>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let number: Option<i64> = self.row.try_get(column)?;
        number
            .map(|number| T::try_from(number).map_err(|_| self.unreadable(column, "out of range")))
            .transpose()
    }

    pub(super) fn number<T: TryFrom<i64>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.maybe_number(column)?
            .ok_or_else(|| self.unreadable(column, "NULL"))
    }

    fn maybe_word<T: Deserialize<'a>>(
        &self,
        column: &'static str,
    ) -> Result<Option<T>, StoreError> {
        let read = |text: &'a str| {
            let word: StrDeserializer<'a, WordError> = text.into_deserializer();
            T::deserialize(word).map_err(|error| self.unreadable(column, error))
        };
        self.maybe_str(column)?.map(read).transpose()
    }

    fn word<T: Deserialize<'a>>(&self, column: &'static str) -> Result<T, StoreError> {
        self.maybe_word(column)?
            .ok_or_else(|| self.unreadable(column, "NULL"))
    }

    pub(super) fn json<T: Deserialize<'a>>(&self, column: &'static str) -> Result<T, StoreError> {
        let text = self.maybe_str(column)?.unwrap_or("null");
        serde_json::from_str(text).map_err(|error| self.unreadable(column, error))
    }

    fn unreadable(&self, column: &'static str, reason: impl std::fmt::Display) -> StoreError {
        StoreError::Unreadable {
            table: self.table,
            column,
            reason: reason.to_string(),
        }
    }
}

/// A row of `calls`.
pub(super) fn call(row: &SqliteRow) -> Result<CallRow, StoreError> {
    let columns = Columns::of("calls", row);
    let record = CallRecord {
        tenant: columns.tenant()?,
        call_id: columns.id("call_id")?,
        direction: columns.word("direction")?,
        caller: columns.maybe_text("caller")?,
        number: columns.maybe_text("number")?,
        party: columns.maybe_text("party")?,
        landing_page: columns.maybe_text("landing_page")?,
        trunk: columns.maybe_name("trunk")?,
        arrived_at: columns.wall("arrived_at")?,
        connected_at: columns.maybe_wall("connected_at")?,
        answered_at: columns.maybe_wall("answered_at")?,
        ended_at: columns.maybe_wall("ended_at")?,
        result: columns.maybe_word("result")?,
        cause: columns.maybe_word("cause")?,
        flags: columns.json("flags")?,
        wait_total_ms: columns.maybe_number("wait_total_ms")?,
        wait_hunt_ms: columns.maybe_number("wait_hunt_ms")?,
        talk_ms: columns.maybe_number("talk_ms")?,
        operator: columns.maybe_name("operator")?,
        hunt: columns.maybe_name("hunt")?,
        path: columns.json("path")?,
        recording_id: columns.maybe_id("recording_id")?,
        voicemail_id: columns.maybe_id("voicemail_id")?,
        ended_by: columns.maybe_word("ended_by")?,
        sip_code: columns.maybe_number("sip_code")?,
        plan_version: columns.number("plan_version")?,
        sequence: columns.number("sequence")?,
    };
    Ok(CallRow {
        record,
        repeat_of: columns.maybe_id("repeat_of")?,
    })
}

/// A row of `legs`.
pub(super) fn leg(row: &SqliteRow) -> Result<LegRecord, StoreError> {
    let columns = Columns::of("legs", row);
    Ok(LegRecord {
        leg_id: columns.id("leg_id")?,
        kind: columns.word("kind")?,
        operator: columns.maybe_name("operator")?,
        trunk: columns.maybe_name("trunk")?,
        rung_at: columns.maybe_wall("rung_at")?,
        connected_at: columns.maybe_wall("connected_at")?,
        accepted_at: columns.maybe_wall("accepted_at")?,
        ended_at: columns.maybe_wall("ended_at")?,
        outcome: columns.maybe_word("outcome")?,
        sip_code: columns.maybe_number("sip_code")?,
        sip_call_id: columns.maybe_text("sip_call_id")?,
        quality: None,
    })
}

/// A row of `recordings`.
pub(super) fn recording(row: &SqliteRow) -> Result<RecordingRecord, StoreError> {
    let columns = Columns::of("recordings", row);
    Ok(RecordingRecord {
        recording_id: columns.id("recording_id")?,
        tenant: columns.tenant()?,
        call_id: columns.id("call_id")?,
        kind: match columns.maybe_id("voicemail_id")? {
            Some(voicemail) => RecordingKind::Voicemail(voicemail),
            None => RecordingKind::Conversation,
        },
        voicemail_box: columns.maybe_name("voicemail_box")?,
        path: columns.text("path")?,
        started_at: columns.wall("started_at")?,
        duration_ms: columns.maybe_number("duration_ms")?,
        bytes: columns.maybe_number("bytes")?,
        sha256: columns.maybe_text("sha256")?,
        rate_hz: columns.number("rate_hz")?,
        segments: columns.json("segments")?,
        pauses: columns.json("pauses")?,
        copy_due: columns.number::<u8>("copy_due")? != 0,
        fault: columns.maybe_text("fault")?,
    })
}

/// A row of `bindings`.
pub(super) fn binding(row: &SqliteRow) -> Result<BindingRecord, StoreError> {
    let columns = Columns::of("bindings", row);
    Ok(BindingRecord {
        operator: Name::from(columns.text("operator")?),
        contact: columns.text("contact")?,
        transport: columns.text("transport")?,
        local: columns.id("local")?,
        remote: columns.id("remote")?,
        call_id: columns.text("call_id")?,
        cseq: columns.number("cseq")?,
        expires_at: columns.wall("expires_at")?,
        user_agent: columns.maybe_text("user_agent")?,
        granted: std::time::Duration::from_millis(columns.number("granted_ms")?),
        path: columns.json("path")?,
    })
}

impl Columns<'_> {
    pub(super) fn tenant(&self) -> Result<crate::ledger::id::Tenant, StoreError> {
        let text = self.text("tenant")?;
        let word: StrDeserializer<'_, WordError> = text.as_str().into_deserializer();
        crate::ledger::id::Tenant::deserialize(word)
            .map_err(|error| self.unreadable("tenant", error))
    }
}
