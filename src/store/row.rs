//! Rows as they are read back: what lists and details show.

use serde::{Deserialize, Serialize};

use crate::ledger::call::{CallRecord, TraceLine};
use crate::ledger::clock::Wall;
use crate::ledger::id::CallId;
use crate::ledger::journal::RecordingRecord;
use crate::ledger::leg::LegRecord;

/// A row of `calls`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallRow {
    /// The record.
    #[serde(flatten)]
    pub record: CallRecord,
    /// The caller's earlier open missed call, the latest of them.
    pub repeat_of: Option<CallId>,
}

/// A call with everything that is kept of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CallDetail {
    /// The row.
    pub call: CallRow,
    /// Its legs, in the order in which they began.
    pub legs: Vec<LegRecord>,
    /// What was decided and why.
    pub trace: Vec<TraceLine>,
    /// Its recordings and messages, oldest first.
    pub recordings: Vec<RecordingRecord>,
}

/// An item of the missed list: a caller who was not reached since. A withheld caller is an item per call.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissedItem {
    /// The caller; `None` when withheld.
    pub caller: Option<String>,
    /// The end of his latest missed call.
    pub missed_at: Wall,
    /// How many of his missed calls are open.
    pub count: u64,
    /// The newest of them, newest first; at most [`MissedItem::CALLS`].
    pub calls: Vec<MissedCall>,
}

impl MissedItem {
    /// The most calls that an item shows, so that a machine that dials all day does not fill the list.
    pub const CALLS: u32 = 100;
}

/// A missed call in an item of the list.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct MissedCall {
    /// The call's row.
    #[serde(flatten)]
    pub call: CallRow,
    /// When it was missed.
    pub missed_at: Wall,
}
