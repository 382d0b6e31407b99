//! What the outside floor may ask of the switch, and the views that it may read meanwhile.

use std::sync::Arc;

use dashmap::DashMap;
use serde::Serialize;
use tokio::sync::{mpsc, oneshot};

use super::defence::Kept;
use crate::dialplan::features::Supervision;
use crate::dialplan::plan::Plan;
use crate::ledger::call::CallRecord;
use crate::ledger::clock::Wall;
use crate::ledger::id::{CallId, LegId, Name, RecordingId};
use crate::ledger::journal::BanRecord;
use crate::ledger::quality::{LegMedia, Opinions};
use crate::media;
use crate::net::access::source::Source;
use crate::sip::endpoint::Drops;

/// A request to the signalling task.
#[derive(Debug)]
pub enum Ask {
    /// Ring the operator, then dial the number for him. Answers with the call's id, or a sentence why not.
    Originate {
        /// The operator.
        operator: Name,
        /// What to dial, as an operator would.
        to: String,
        /// Where the answer goes.
        reply: oneshot::Sender<Result<CallId, String>>,
    },
    /// End a call.
    Hangup {
        /// The call.
        call: CallId,
        /// Whether it was there.
        reply: oneshot::Sender<bool>,
    },
    /// Blind transfer of the outside party to a destination as the plan writes it, `hunt:sales`.
    Transfer {
        /// The call.
        call: CallId,
        /// The destination.
        to: String,
        /// A sentence why not.
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Pause the recording of a call's conversation, or let it go on.
    PauseRecording {
        /// The call.
        call: CallId,
        /// Whether nothing is stored from now on.
        paused: bool,
        /// The recording, or a sentence why not.
        reply: oneshot::Sender<Result<RecordingId, String>>,
    },
    /// Ring a supervisor's phones; when he is there he takes part in a running conversation.
    Supervise {
        /// The conversation's call.
        call: CallId,
        /// The supervisor.
        operator: Name,
        /// How.
        mode: Supervision,
        /// The call that rings him, or a sentence why not.
        reply: oneshot::Sender<Result<CallId, String>>,
    },
    /// Put a new plan in force.
    Install {
        /// The plan.
        plan: Arc<Plan>,
        /// A sentence why not (a listener, port or database changed: needs a restart).
        reply: oneshot::Sender<Result<(), String>>,
    },
    /// Lift a ban.
    Unban {
        /// Who.
        source: Source,
        /// Whether there was one.
        reply: oneshot::Sender<bool>,
    },
    /// A message of this voicemail box was heard for the first time.
    MessageHeard {
        /// The box.
        mailbox: Name,
        /// When the lamps know.
        reply: oneshot::Sender<()>,
    },
    /// How the legs of a running call sound now.
    Listen {
        /// The call.
        call: CallId,
        /// Its legs that could be asked; none if it is not running.
        reply: oneshot::Sender<Vec<(LegId, LegMedia)>>,
    },
    /// Counts what is alive now.
    Census {
        /// Where the answer goes.
        reply: oneshot::Sender<Census>,
    },
    /// What monitoring reads.
    Measure {
        /// Where the answer goes.
        reply: oneshot::Sender<Metrics>,
    },
    /// No new calls; running ones finish until `server.drain` has passed, then BYE. Answers when the last call is over.
    /// Asked again, the running calls end at once; that ask gets no answer.
    Drain {
        /// Where the answer goes.
        reply: oneshot::Sender<()>,
    },
}

/// What is alive now: all zero when no call is, but for transactions that linger.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize)]
pub struct Census {
    /// Running calls.
    pub calls: usize,
    /// SIP dialogs, early and confirmed.
    pub dialogs: usize,
    /// SIP transactions under way.
    pub transactions: usize,
    /// Legs on the media plane.
    pub media_sessions: usize,
    /// Recordings that are not complete yet.
    pub recordings: usize,
    /// Recordings that could not be kept, since the start.
    pub recordings_failed: usize,
    /// SIP connections, registered phones' among them.
    pub connections: usize,
}

/// What monitoring reads: what is alive, and what was counted since the start.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metrics {
    /// What is alive.
    pub alive: Census,
    /// The media plane's counters.
    pub media: media::Census,
    /// SIP messages that were dropped.
    pub sip_dropped: Drops,
    /// How ended legs sounded.
    pub opinions: Opinions,
}

/// A handle on the switch. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Handle {
    /// To the signalling task.
    pub asks: mpsc::Sender<Ask>,
    /// What may be read without asking.
    pub views: Arc<Views>,
}

/// Views that the signalling task writes and the API reads.
#[derive(Debug, Default)]
pub struct Views {
    /// Running calls.
    pub calls: DashMap<CallId, CallRecord>,
    /// Operators.
    pub operators: DashMap<Name, OperatorView>,
    /// Trunks.
    pub trunks: DashMap<Name, TrunkView>,
    /// Banned sources.
    pub bans: DashMap<Source, BanRecord>,
    /// What was kept out.
    pub kept: Kept,
}

/// An operator as the API shows him.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct OperatorView {
    /// The SIP user.
    pub operator: Name,
    /// Shown to people.
    pub name: String,
    /// Dialled by colleagues.
    pub extension: Option<String>,
    /// `available`, `ringing` …
    pub state: &'static str,
    /// Since when.
    pub since: Wall,
    /// The call he rings or talks in.
    pub call_id: Option<CallId>,
    /// His reachable phones' contact URIs.
    pub phones: Vec<String>,
}

/// A trunk as the API shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct TrunkView {
    /// Its name.
    pub trunk: Name,
    /// `registered`, `registering`, `failed`, `unregistered`; `available` where we do not register; `unreachable` when no address lives.
    pub state: &'static str,
    /// Why, as a sentence.
    pub reason: Option<String>,
    /// Calls on it now.
    pub calls: u32,
    /// The most calls at once.
    pub max_calls: Option<u32>,
    /// Its addresses.
    pub peers: Vec<PeerView>,
}

/// One address of a trunk as the API shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct PeerView {
    /// IP address and port.
    pub address: String,
    /// `udp`, `tcp`, `tls`.
    pub transport: &'static str,
    /// `up`, `down`; `unknown`: nothing was asked of it yet.
    pub state: &'static str,
    /// Why it is down, as a sentence.
    pub reason: Option<String>,
}
