//! What happens to a call.

use bytes::Bytes;

use super::media::MediaEvent;
use super::output::Seat;
use crate::desk::notice::Notice;
use crate::dialplan::number::E164;
use crate::dialplan::plan::Destination;
use crate::dialplan::routing::Entry;
use crate::ledger::id::{CallId, LegId, Name};

/// One thing that happened, handed to `Call::handle` with `now`.
#[derive(Clone, PartialEq, Debug)]
pub enum Input {
    /// On the SIP dialog of a leg.
    Leg(LegId, LegEvent),
    /// On the media stream of a leg.
    Media(LegId, MediaEvent),
    /// The desk answers or tells.
    Desk(Notice),
    /// From the API, or from another call.
    Command(Command),
}

/// What the SIP dialog of a leg reports.
#[derive(Clone, PartialEq, Debug)]
pub enum LegEvent {
    /// Incoming leg: the far side gave up before our final response (CANCEL; 487 has been sent).
    Cancelled,
    /// Incoming leg: our 200 was acknowledged, or our provisional response with the offer; with the answer when the INVITE had no offer.
    Acked {
        /// The far side's SDP answer.
        sdp: Option<Bytes>,
    },
    /// Outgoing leg: a provisional response other than 100.
    Progress {
        /// 180, 183 …
        code: u16,
        /// Early media's description.
        sdp: Option<Bytes>,
    },
    /// Outgoing leg: a 2xx (ACK has been sent). `late`: it crossed our CANCEL; answer with `LegAct::Keep` or `LegAct::End`.
    Answered {
        /// The SDP answer.
        sdp: Option<Bytes>,
        /// Whether `End` had been asked for.
        late: bool,
    },
    /// Outgoing leg: a final refusal, a timeout (408) or no way to send (503). The leg is gone.
    Refused {
        /// The SIP status.
        code: u16,
        /// The reason phrase or our own sentence.
        reason: String,
        /// Whether any response came from the far side at all.
        responded: bool,
    },
    /// A re-INVITE, UPDATE or PRACK with an offer came, for a leg that rings too; answer with `LegAct::AnswerOffer` or `LegAct::RefuseOffer`. No SDP: an offer is asked for.
    Offer {
        /// The far side's offer.
        sdp: Option<Bytes>,
    },
    /// The dialog is over: BYE from the far side, or our 200 was never acknowledged, or an in-dialog request failed for good. The leg is gone.
    Ended {
        /// How.
        how: LegEnd,
    },
    /// A key by INFO (`application/dtmf-relay` or `application/dtmf`).
    Key(char),
    /// Outgoing leg: a 3xx that is obeyed (RFC 3261 §8.1.3.4). The leg's dialog is gone, the leg stays.
    Redirected {
        /// What its Contact names.
        dialled: String,
        /// What that means for whoever the leg belongs to.
        to: Entry,
    },
    /// The in-dialog OPTIONS that was asked for: answered or not.
    Alive(bool),
    /// For the call's trace: an address of the trunk was given up for the next one.
    Noted {
        /// What happened.
        text: String,
    },
    /// The far side answered a re-INVITE that repeats our description, to refresh the session.
    Refreshed {
        /// Its answer.
        sdp: Option<Bytes>,
    },
}

/// How a dialog ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum LegEnd {
    /// The far side sent BYE.
    Remote,
    /// Our 200 was never acknowledged (RFC 3261 §13.3.1.4).
    NoAck,
    /// A request within the dialog got no answer, or 481.
    Lost,
    /// Nobody refreshed the session in time (RFC 4028 §10).
    Expired,
}

/// What is asked of a running call from outside it.
#[derive(Clone, PartialEq, Debug)]
pub enum Command {
    /// End the call (API, drain, `max_call`).
    Hangup,
    /// The outside party's leg leaves whoever it hears and goes to a new destination (blind transfer).
    Transfer {
        /// The new destination.
        to: Destination,
    },
    /// Dial an outside number for the operator of this call (the second half of originate).
    DialOut {
        /// The number.
        to: E164,
    },
    /// Move a leg of this call into another call; the other side of this one ends.
    MoveLeg {
        /// The leg.
        leg: LegId,
        /// The call that takes it.
        into: CallId,
    },
    /// As `MoveLeg`, to a certain seat.
    HandOver {
        /// The leg.
        leg: LegId,
        /// The call that takes it.
        into: CallId,
        /// Its seat there.
        seat: Seat,
    },
    /// The far side of `by` asks that whom it talks with go elsewhere (REFER); it hears how that goes by `LegAct::ReferNotice`, and gets the
    /// party back when nobody takes it.
    Refer {
        /// Who asks.
        by: LegId,
        /// Where to.
        to: Entry,
    },
    /// As `Refer`, into a free slot.
    Park {
        /// Who asks.
        by: LegId,
        /// The slot.
        slot: String,
    },
    /// Attach an operator's leg that another call gave away.
    Adopt(Box<super::output::MovedLeg>),
    /// The process drains: as `Hangup`, `ended_by` system.
    Drain,
    /// An operator's phone lost its registration; used for traces only.
    OperatorGone(Name),
    /// The conversation's recording stores nothing from now on (`true`), or everything again.
    PauseRecording {
        /// Whether it is paused.
        paused: bool,
    },
}
