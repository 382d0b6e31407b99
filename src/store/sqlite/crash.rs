//! The calls of a process that died: closed with the last sign of life (DESIGN.md section 5).

use std::collections::HashMap;

use super::SqliteStore;
use super::column;
use crate::ledger::call::TraceLine;
use crate::ledger::cause::{CallResult, Cause, Direction, EndedBy, Flag};
use crate::ledger::clock::Wall;
use crate::ledger::id::CallId;
use crate::ledger::journal::Entry;
use crate::ledger::leg::{LegOutcome, LegRecord};
use crate::store::row::CallRow;
use crate::store::{Closed, Store, StoreError};

impl SqliteStore {
    pub(super) async fn close_open_calls(&self, now: Wall) -> Result<Closed, StoreError> {
        let alive = self.last_sign_of_life().await?;
        let rows = sqlx::query("SELECT * FROM calls WHERE ended_at IS NULL ORDER BY call_id")
            .fetch_all(&self.writer)
            .await?;
        let mut legs = self.legs_of_open_calls().await?;
        let mut closed = Closed::default();
        let mut entries = Vec::with_capacity(rows.len());
        for row in &rows {
            let row = column::call(row)?;
            let call = row.record.call_id;
            closed.calls.push(call);
            entries.push(close(
                row,
                legs.remove(&call).unwrap_or_default(),
                alive,
                now,
            ));
        }
        for batch in entries.chunks(500) {
            self.write_entries(batch, None).await?;
        }
        let unfinished =
            sqlx::query("SELECT * FROM recordings WHERE duration_ms IS NULL ORDER BY recording_id")
                .fetch_all(&self.writer)
                .await?;
        closed.unfinished = unfinished
            .iter()
            .map(column::recording)
            .collect::<Result<_, _>>()?;
        let uncopied = sqlx::query(
            "SELECT * FROM recordings WHERE copy_due = 1 AND duration_ms IS NOT NULL ORDER BY recording_id",
        )
        .fetch_all(&self.writer)
        .await?;
        closed.uncopied = uncopied
            .iter()
            .map(column::recording)
            .collect::<Result<_, _>>()?;
        Ok(closed)
    }

    async fn legs_of_open_calls(&self) -> Result<HashMap<CallId, Vec<LegRecord>>, StoreError> {
        let rows = sqlx::query(
            "SELECT legs.* FROM calls JOIN legs ON legs.call_id = calls.call_id \
             WHERE calls.ended_at IS NULL ORDER BY legs.call_id, legs.leg_id",
        )
        .fetch_all(&self.writer)
        .await?;
        let mut legs: HashMap<CallId, Vec<LegRecord>> = HashMap::new();
        for row in &rows {
            let call = column::Columns::of("legs", row).id("call_id")?;
            legs.entry(call).or_default().push(column::leg(row)?);
        }
        Ok(legs)
    }
}

/// The entry that ends an open call as the crash left it.
fn close(row: CallRow, mut legs: Vec<LegRecord>, alive: Option<Wall>, now: Wall) -> Entry {
    let mut call = row.record;
    let changes = [call.connected_at, call.answered_at].into_iter().flatten();
    let leg_changes = legs.iter().flat_map(|leg| {
        [leg.rung_at, leg.connected_at, leg.accepted_at, leg.ended_at]
            .into_iter()
            .flatten()
    });
    let changed = changes.chain(leg_changes).fold(call.arrived_at, Wall::max);
    let ended_at = alive
        .unwrap_or(changed)
        .max(changed)
        .min(now.max(call.arrived_at));
    call.ended_at = Some(ended_at);
    call.ended_by = Some(EndedBy::Crash);
    call.sequence += 1;
    match (call.answered_at, call.direction) {
        (Some(answered_at), _) => {
            call.result = Some(CallResult::Answered);
            call.talk_ms = Some(millis(answered_at, ended_at));
            call.wait_total_ms = call
                .wait_total_ms
                .or(Some(millis(call.arrived_at, answered_at)));
        }
        (None, direction) => {
            call.result = Some(match direction {
                Direction::Inbound => CallResult::Missed,
                Direction::Outbound | Direction::Internal => CallResult::NotReached,
            });
            call.cause = Some(Cause::SystemError);
            let waited = millis(call.arrived_at, ended_at);
            call.wait_total_ms = Some(waited);
            if waited < 5_000 && !call.flags.contains(&Flag::Short) {
                call.flags.push(Flag::Short);
            }
        }
    }
    for leg in legs.iter_mut().filter(|leg| leg.ended_at.is_none()) {
        leg.ended_at = Some(ended_at);
        leg.outcome = leg.outcome.or(Some(match leg.accepted_at {
            Some(_) => LegOutcome::Answered,
            None => LegOutcome::Failed,
        }));
    }
    let trace = vec![TraceLine {
        at_ms: millis(call.arrived_at, ended_at),
        text: "The PBX stopped in the middle of this call; this is its last sign of life"
            .to_owned(),
    }];
    Entry::CallEnded {
        call: Box::new(call),
        legs,
        trace,
    }
}

fn millis(from: Wall, to: Wall) -> u64 {
    u64::try_from((to.as_micros() - from.as_micros()) / 1_000).unwrap_or(0)
}
