//! What calls and the switch ask of the desk.

use std::time::Duration;

use crate::dialplan::plan::{Member, Strategy};
use crate::ledger::id::{BridgeId, CallId, Name, RecordingId};

/// A request of a call.
#[derive(Clone, PartialEq, Debug)]
pub enum Request {
    /// The call enters a hunt and waits in its line. Answered by `Ring` and `StopRinging` as members become free or their turn ends,
    /// by `NobodyRegistered` or `Exhausted` when there is nothing to wait for.
    /// The wait limit is the call's own timer; it sends `LeaveHunt` when it passes.
    EnterHunt {
        /// The call.
        call: CallId,
        /// The hunt's name: calls of the same hunt share a line.
        hunt: Name,
        /// Members in the order written, by the call's own plan.
        members: Vec<Member>,
        /// How they are rung.
        strategy: Strategy,
        /// Per member, for one-at-a-time strategies.
        ring: Duration,
        /// Members that this call has already seen decline.
        declined: Vec<Member>,
    },
    /// The call leaves the hunt's line without an acceptance; its unaccepted claims end (the call has stopped those phones itself).
    LeaveHunt {
        /// The call.
        call: CallId,
    },
    /// The call wants this one operator now. Answered by `Ring` or `Refused`.
    Claim {
        /// The call.
        call: CallId,
        /// The operator.
        operator: Name,
    },
    /// As `Claim`, for a call that is placed on the operator's own behalf: rest and absence do not keep him from it.
    Summon {
        /// The call.
        call: CallId,
        /// The operator.
        operator: Name,
    },
    /// A claimed member did not take the call.
    Unanswered {
        /// The call.
        call: CallId,
        /// The member.
        member: Member,
        /// How it failed.
        how: Unanswered,
    },
    /// The claimed member accepted the call: it is talking, and every other claim of this call ends (the call stops those phones itself).
    Accepted {
        /// The call.
        call: CallId,
        /// The member.
        member: Member,
    },
    /// The call lets go of an operator: after a conversation he goes into wrap-up, else he is free at once.
    Release {
        /// The call.
        call: CallId,
        /// The operator.
        operator: Name,
    },
    /// The operator is on the phone in a call of his own making (or is about to be attached to one). Always granted; a claim of another call is
    /// not disturbed. `Accepted` makes it a conversation, after which he rests.
    Occupy {
        /// The call.
        call: CallId,
        /// The operator.
        operator: Name,
    },
    /// The call's guest comes into a conference. Answered by `ConferenceEntered` or `ConferenceFull`.
    EnterConference {
        /// The call.
        call: CallId,
        /// The conference's name.
        conference: Name,
        /// Its bridge, if nobody else is there.
        bridge: BridgeId,
        /// Its recording, if it is recorded and nobody else is there.
        recording: Option<RecordingId>,
        /// Parties at once.
        most: u32,
    },
    /// He leaves it.
    LeaveConference {
        /// The call.
        call: CallId,
    },
    /// The call is over: everything it holds is released as by `LeaveHunt` and `Release`.
    Gone {
        /// The call.
        call: CallId,
    },
}

/// How a claimed member failed to take a call.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Unanswered {
    /// A person declined (486, 603, or any 6xx): this call does not ring the member again.
    Declined,
    /// The ring time passed; in a hunt the member's turn comes again, unless the phone gave up almost at once.
    NoAnswer,
    /// The phone could not be reached or refused with an error (404, 408, 480, 488, 5xx, transport): this call does not ring the member again.
    Unreachable,
    /// The claim is given back: the call needs the member no more, and nobody is to blame.
    Withdrawn,
}
