//! What the switch tells the store: entries to be written in order, each in one transaction with the events it raises.
//!
//! Written by the signalling task without waiting; `store` turns each into rows and outbox events.

use std::net::SocketAddr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::call::{CallRecord, TraceLine};
use super::clock::Wall;
use super::id::{CallId, LegId, Name, RecordingId, Tenant, VoicemailId};
use super::leg::LegRecord;
use super::quality::LegQuality;
use super::recording::{Pause, Segment};

/// One thing that happened and has to be kept.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub enum Entry {
    /// A call began: insert the row, raise `call.started`.
    CallStarted(Box<CallRecord>),
    /// The first person accepted: update the row, raise `call.answered`.
    CallAnswered(Box<CallRecord>),
    /// Something on the row changed (a destination was entered, the call was connected); no event.
    CallChanged(Box<CallRecord>),
    /// A leg began or changed: insert or update its row; no event.
    LegChanged(CallId, Box<LegRecord>),
    /// The call ended: complete the row, legs and trace, raise `call.ended`, and `call.missed` or `call.recovered` where they apply.
    /// The store adds the flag `repeat_of` (it knows the open missed calls).
    CallEnded {
        /// The complete record.
        call: Box<CallRecord>,
        /// Every leg it had.
        legs: Vec<LegRecord>,
        /// What was decided and why.
        trace: Vec<TraceLine>,
    },
    /// A recording or a voicemail message began to be written.
    RecordingStarted(RecordingRecord),
    /// What a recording's row says has changed: who is heard, a pause, its copy in another format. Raises nothing.
    RecordingChanged(RecordingRecord),
    /// A recording or a message is complete on disk: raise `recording.ready`, or `voicemail.left` for a message; with `copy_due`
    /// that waits for `RecordingCopied`, so that the event names the file that stays.
    RecordingEnded(RecordingRecord),
    /// An operator's state changed: raise `operator.state`.
    OperatorState {
        /// The shop.
        tenant: Tenant,
        /// The operator.
        operator: Name,
        /// `available`, `ringing`, `talking`, `wrap-up`, `away` or `offline`.
        state: String,
        /// When.
        at: Wall,
    },
    /// A trunk's state changed: raise `trunk.state`.
    TrunkState {
        /// The shop.
        tenant: Tenant,
        /// The trunk.
        trunk: Name,
        /// `registered`, `registering`, `failed`, `unregistered`.
        state: String,
        /// Why, as a sentence.
        reason: Option<String>,
        /// When.
        at: Wall,
    },
    /// A new plan is in force: raise `config.reloaded`.
    ConfigReloaded {
        /// The shop.
        tenant: Tenant,
        /// The new plan's version.
        plan_version: u64,
        /// When.
        at: Wall,
    },
    /// A phone's binding was added or refreshed.
    BindingSaved(Box<BindingRecord>),
    /// A phone's binding was removed.
    BindingRemoved {
        /// The operator (the user of the address-of-record).
        operator: Name,
        /// As in its `BindingRecord`.
        contact: String,
    },
    /// The process lives at this time; open calls are closed with the last such time after a crash.
    Alive(Wall),
    /// A source was banned: raise `security.banned`.
    Banned(BanRecord),
    /// A ban is over: forget it, and raise `security.unbanned`.
    Unbanned {
        /// `BanRecord::address`.
        address: String,
        /// The shop.
        #[serde(default)]
        tenant: Tenant,
        /// Why it is over.
        #[serde(default)]
        why: BanEnd,
        /// When.
        #[serde(default)]
        at: Wall,
    },
    /// How long an operator has talked to the outside on a local day, all in all: replaces what was said before.
    OutboundTalked(OutboundDay),
    /// An operator was refused a call to the outside because a limit is reached: raise `security.outbound_limit`.
    OutboundLimit {
        /// The shop.
        tenant: Tenant,
        /// The operator.
        operator: Name,
        /// Which limit, as a sentence with the key to change.
        reason: String,
        /// When.
        at: Wall,
    },
    /// A leg's port is closed: keep how it sounded; no event.
    LegMeasured(CallId, LegId, Box<LegQuality>),
    /// A leg has been bad for a while: raise `media.quality`.
    MediaPoor {
        /// The shop.
        tenant: Tenant,
        /// The call.
        call: CallId,
        /// The leg.
        leg: LegId,
        /// The last few seconds.
        quality: Box<LegQuality>,
        /// When.
        at: Wall,
    },
    /// The plan with which the process begins.
    PlanLoaded {
        /// Its version.
        plan_version: u64,
    },
    /// Somebody has heard a message.
    MessageHeard {
        /// The message's recording.
        recording_id: RecordingId,
        /// When.
        at: Wall,
    },
    /// The copy that was due stands instead of the file, or cannot be made and the file stays: raise what `RecordingEnded` put off.
    RecordingCopied(RecordingRecord),
    /// A recording cannot be kept from now on, its record says why (`fault`): raise `recording.failed`.
    RecordingFailed {
        /// As it stands.
        recording: Box<RecordingRecord>,
        /// When.
        at: Wall,
    },
}

/// Why a ban is over.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BanEnd {
    /// Its time has passed.
    Expired,
    /// Somebody lifted it.
    #[default]
    Lifted,
    /// The source is a trunk's or on the allow list now.
    Trusted,
}

impl BanEnd {
    /// As the log and the event say it.
    pub const fn as_str(self) -> &'static str {
        match self {
            BanEnd::Expired => "expired",
            BanEnd::Lifted => "lifted",
            BanEnd::Trusted => "trusted",
        }
    }
}

/// The complete messages of a voicemail box.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Messages {
    /// Nobody has heard them yet.
    pub fresh: u32,
    /// Somebody has.
    pub heard: u32,
}

/// Which file a recording is.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum RecordingKind {
    /// A conversation, stereo.
    Conversation,
    /// A voicemail message.
    Voicemail(VoicemailId),
}

/// The index row of a recording.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct RecordingRecord {
    /// The recording.
    pub recording_id: RecordingId,
    /// The shop.
    pub tenant: Tenant,
    /// The call that is heard on it.
    pub call_id: CallId,
    /// Conversation or message.
    pub kind: RecordingKind,
    /// The voicemail box of a message.
    pub voicemail_box: Option<Name>,
    /// Relative to the recordings' root.
    pub path: String,
    /// When its first sample was heard.
    pub started_at: Wall,
    /// Complete: its length; `None` while it is being written.
    pub duration_ms: Option<u64>,
    /// Size of the file in bytes, once complete.
    pub bytes: Option<u64>,
    /// SHA-256 of the file in lower-case hexadecimal, once complete.
    pub sha256: Option<String>,
    /// Samples per second and channel.
    #[serde(default = "narrowband")]
    pub rate_hz: u32,
    /// Who is heard when.
    #[serde(default)]
    pub segments: Vec<Segment>,
    /// When it was paused.
    #[serde(default)]
    pub pauses: Vec<Pause>,
    /// The WAV file is to be replaced by a copy in Opus.
    #[serde(default)]
    pub copy_due: bool,
    /// Why it ends before the conversation does, or is not there at all.
    #[serde(default)]
    pub fault: Option<String>,
}

impl RecordingRecord {
    /// The format of its file: `wav` or `opus`.
    pub fn format(&self) -> &'static str {
        if self.path.ends_with(".opus") {
            "opus"
        } else {
            "wav"
        }
    }

    /// `running`, `paused`, `complete`, or `failed` when it ended before the conversation did.
    pub fn state(&self) -> &'static str {
        if self.fault.is_some() {
            "failed"
        } else if self.duration_ms.is_some() {
            "complete"
        } else if self.pauses.last().is_some_and(|last| last.to_ms.is_none()) {
            "paused"
        } else {
            "running"
        }
    }
}

const fn narrowband() -> u32 {
    8_000
}

/// A registered phone, as it is kept over a restart.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BindingRecord {
    /// The operator (the user of the address-of-record).
    pub operator: Name,
    /// The contact URI as registered; where the phone came from another address, ` via ` and that.
    pub contact: String,
    /// The transport of its flow.
    pub transport: String,
    /// Our listening address of the flow.
    pub local: SocketAddr,
    /// The phone's address as seen by us.
    pub remote: SocketAddr,
    /// Call-ID of the REGISTER (RFC 3261 §10.3).
    pub call_id: String,
    /// CSeq of the REGISTER.
    pub cseq: u32,
    /// When the binding ends.
    pub expires_at: Wall,
    /// The phone's User-Agent.
    pub user_agent: Option<String>,
    /// How long was granted.
    pub granted: Duration,
    /// The proxies that requests to it pass (RFC 3327), in order.
    #[serde(default)]
    pub path: Vec<String>,
}

/// A banned source, as it is kept over a restart and as the API shows it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct BanRecord {
    /// The shop.
    pub tenant: Tenant,
    /// An IPv4 address, or an IPv6 network of 64 bits: `192.0.2.7`, `2001:db8:0:1::/64`.
    pub address: String,
    /// Why, as a sentence.
    pub reason: String,
    /// Failed authentications that led to it.
    pub failures: u32,
    /// How many different users they tried.
    pub users: u32,
    /// Since when.
    pub banned_at: Wall,
    /// Until when.
    pub until: Wall,
}

/// What an operator has talked to the outside on a day.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct OutboundDay {
    /// The shop.
    pub tenant: Tenant,
    /// The operator.
    pub operator: Name,
    /// The day in `server.time_zone`, `2026-03-08`.
    pub day: String,
    /// Milliseconds.
    pub talked_ms: u64,
}
