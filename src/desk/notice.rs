//! What the desk tells: to calls, and about operators.

use std::net::SocketAddr;
use std::sync::Arc;

use crate::dialplan::plan::Member;
use crate::ledger::id::{BridgeId, CallId, Name, RecordingId};
use crate::sip::registrar::split_place;

/// A notice for a call, or about an operator.
#[derive(Clone, PartialEq, Debug)]
pub enum Notice {
    /// The member is claimed for this call: ring it.
    Ring {
        /// The call.
        call: CallId,
        /// The member.
        member: Member,
        /// An operator's phones at this moment, at least one; empty for a forward.
        phones: Vec<Phone>,
    },
    /// The member's turn is over (one-at-a-time strategies): stop ringing it. The claim has already ended.
    StopRinging {
        /// The call.
        call: CallId,
        /// The member.
        member: Member,
    },
    /// No member of the hunt is registered: go to `when_nobody`.
    NobodyRegistered {
        /// The call.
        call: CallId,
    },
    /// Every member that could be rung has declined or failed: overflow at once.
    Exhausted {
        /// The call.
        call: CallId,
    },
    /// The operator cannot be claimed (answer to `Claim`).
    Refused {
        /// The call.
        call: CallId,
        /// The operator.
        operator: Name,
        /// Why.
        why: Refusal,
    },
    /// The guest is in the conference: he joins its bridge.
    ConferenceEntered {
        /// The call.
        call: CallId,
        /// The conference's bridge.
        bridge: BridgeId,
        /// Its recording, which all who are there feed.
        recording: Option<RecordingId>,
    },
    /// The conference is full.
    ConferenceFull {
        /// The call.
        call: CallId,
    },
    /// An operator's state changed; for events and the API.
    StateChanged {
        /// The operator.
        operator: Name,
        /// The new state.
        state: OperatorState,
        /// The call he rings or talks in.
        call: Option<CallId>,
    },
}

/// One reachable phone of an operator: its contact URI, as registered or configured; where it came from another address, ` via ` and that.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
pub struct Phone(pub Arc<str>);

impl Phone {
    /// Its contact URI.
    pub fn contact(&self) -> &str {
        split_place(&self.0).0
    }

    /// The address that it came from, where that is not its contact's.
    pub fn remote(&self) -> Option<SocketAddr> {
        split_place(&self.0).1
    }
}

/// Why an operator cannot be claimed.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// No phone registered and no fixed contact.
    Offline,
    /// Ringing, talking or in wrap-up.
    Busy,
    /// Set himself away.
    Away,
}

/// An operator's state (DESIGN.md section 2).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum OperatorState {
    /// Registered and free.
    Available,
    /// Claimed by a call, not yet accepted.
    Ringing,
    /// In a conversation.
    Talking,
    /// Resting after one.
    WrapUp,
    /// Away by his own choice.
    Away,
    /// No phone registered.
    Offline,
}

impl OperatorState {
    /// The word used in rows, events and the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            OperatorState::Available => "available",
            OperatorState::Ringing => "ringing",
            OperatorState::Talking => "talking",
            OperatorState::WrapUp => "wrap-up",
            OperatorState::Away => "away",
            OperatorState::Offline => "offline",
        }
    }
}
