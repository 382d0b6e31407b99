//! The record of one leg.

use serde::{Deserialize, Serialize};

use super::clock::Wall;
use super::id::{LegId, Name};
use super::quality::LegQuality;

/// What stands at the far end of a leg.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegKind {
    /// A caller who came in over a trunk.
    Caller,
    /// An operator's phone.
    Operator,
    /// An outside number that we dialled over a trunk.
    Forward,
    /// The phone of an operator who supervises the conversation of others.
    Supervisor,
}

/// How a leg went.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LegOutcome {
    /// A person or a machine of ours talked on it.
    Answered,
    /// It rang and was not taken.
    NoAnswer,
    /// The far side said busy or declined.
    Declined,
    /// Another leg was taken, or the caller left.
    Cancelled,
    /// The far side could not be reached or refused with an error.
    Failed,
    /// It ended unanswered by the far side's own doing (a caller who hung up).
    Abandoned,
}

/// One row per leg, as `GET /api/v1/calls/{id}` shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct LegRecord {
    /// The leg.
    pub leg_id: LegId,
    /// What stands at its far end.
    pub kind: LegKind,
    /// The operator whose phone it is.
    pub operator: Option<Name>,
    /// The trunk it runs over.
    pub trunk: Option<Name>,
    /// When it began to ring (the INVITE's arrival for a caller's leg).
    pub rung_at: Option<Wall>,
    /// When the 200 to its INVITE was sent or received.
    pub connected_at: Option<Wall>,
    /// When a person was there.
    pub accepted_at: Option<Wall>,
    /// When it ended.
    pub ended_at: Option<Wall>,
    /// How it went, once ended.
    pub outcome: Option<LegOutcome>,
    /// The final SIP status of its INVITE.
    pub sip_code: Option<u16>,
    /// Its SIP Call-ID, to find it in a trace.
    pub sip_call_id: Option<String>,
    /// How it sounded, once its port is closed. Kept apart: read with the row, never written with it.
    #[serde(default)]
    pub quality: Option<Box<LegQuality>>,
}
