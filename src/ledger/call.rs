//! The record of one call: what rows in `calls` and the `data` of every `call.*` event carry.

use serde::{Deserialize, Serialize};

use super::cause::{CallResult, Cause, Direction, EndedBy, Flag};
use super::clock::Wall;
use super::id::{CallId, Name, RecordingId, Tenant, VoicemailId};

/// A call as it is accounted. Field names are the contract of events and API; `None` is JSON `null`.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct CallRecord {
    /// The shop.
    pub tenant: Tenant,
    /// The call.
    pub call_id: CallId,
    /// Which way it went.
    pub direction: Direction,
    /// The calling number in E.164 (or the operator's name, or as received); `None` when withheld.
    pub caller: Option<String>,
    /// The number that was dialled, in E.164 where it is one.
    pub number: Option<String>,
    /// The outside party's number: the caller of an inbound call, the dialled number of an outbound one.
    pub party: Option<String>,
    /// The landing page that the dialled number belongs to.
    pub landing_page: Option<String>,
    /// The trunk it came or went over.
    pub trunk: Option<Name>,
    /// When it arrived or was asked for.
    pub arrived_at: Wall,
    /// When the calling side was connected (200).
    pub connected_at: Option<Wall>,
    /// When the first person accepted.
    pub answered_at: Option<Wall>,
    /// When it ended.
    pub ended_at: Option<Wall>,
    /// How it ended.
    pub result: Option<CallResult>,
    /// Why it was missed or rejected.
    pub cause: Option<Cause>,
    /// Remarks.
    pub flags: Vec<Flag>,
    /// From arrival to the first person's acceptance, or to the end; milliseconds of the monotonic clock.
    pub wait_total_ms: Option<u64>,
    /// Time spent in hunts, milliseconds of the monotonic clock.
    pub wait_hunt_ms: Option<u64>,
    /// From the first person's acceptance to the end, milliseconds of the monotonic clock.
    pub talk_ms: Option<u64>,
    /// The operator who accepted, or who placed the call.
    pub operator: Option<Name>,
    /// The hunt that the operator answered from, or that was entered last.
    pub hunt: Option<Name>,
    /// The destinations passed, in order, as the dial plan writes them (`menu:main`).
    pub path: Vec<String>,
    /// The recording of the conversation.
    pub recording_id: Option<RecordingId>,
    /// The message that the caller left.
    pub voicemail_id: Option<VoicemailId>,
    /// Who ended it.
    pub ended_by: Option<EndedBy>,
    /// The final SIP status that the calling side got.
    pub sip_code: Option<u16>,
    /// The dial plan's version when the call began.
    pub plan_version: u64,
    /// Orders a call's events: 1 for the first.
    pub sequence: u32,
}

impl CallRecord {
    /// An inbound call of the plan's first version of which nothing else is known yet.
    pub fn begun(call_id: CallId, arrived_at: Wall) -> CallRecord {
        CallRecord {
            tenant: Tenant::default(),
            call_id,
            direction: Direction::Inbound,
            caller: None,
            number: None,
            party: None,
            landing_page: None,
            trunk: None,
            arrived_at,
            connected_at: None,
            answered_at: None,
            ended_at: None,
            result: None,
            cause: None,
            flags: Vec::new(),
            wait_total_ms: None,
            wait_hunt_ms: None,
            talk_ms: None,
            operator: None,
            hunt: None,
            path: Vec::new(),
            recording_id: None,
            voicemail_id: None,
            ended_by: None,
            sip_code: None,
            plan_version: 1,
            sequence: 1,
        }
    }
}

/// A line of a call's trace: what was decided and why.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct TraceLine {
    /// Milliseconds since the call arrived.
    pub at_ms: u64,
    /// One sentence.
    pub text: String,
}
