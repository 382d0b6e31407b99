//! What a recording's row tells of its inside: who was heard when, and when nothing was stored.

use serde::{Deserialize, Serialize};

use super::id::{LegId, Name};

/// A side of the stereo file.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Side {
    /// The outside party, or the calling one.
    Left,
    /// The operator.
    Right,
}

/// One leg is heard from one moment to another; milliseconds from the beginning of the file.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Segment {
    /// The leg.
    pub leg_id: LegId,
    /// The side that it is heard on.
    pub side: Side,
    /// The operator whose leg it is.
    pub operator: Option<Name>,
    /// When it joined.
    pub from_ms: u64,
    /// When it left; `None`: it is there.
    pub to_ms: Option<u64>,
}

/// Nothing was stored, for both sides, from one moment to another; milliseconds from the beginning of the file.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Pause {
    /// When it began.
    pub from_ms: u64,
    /// When it was over; `None`: it lasts.
    pub to_ms: Option<u64>,
}
