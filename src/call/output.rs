//! What a call wants done.

use bytes::Bytes;

use super::media::{Feeds, MediaAct};
use crate::desk::notice::Phone;
use crate::desk::request::Request;
use crate::dialplan::features::Supervision;
use crate::ledger::cause::Cause;
use crate::ledger::id::{CallId, LegId, Name, RecordingId, VoicemailId};
use crate::ledger::journal::Entry;
use crate::ledger::leg::LegRecord;
pub use crate::ledger::recording::Side;
use crate::sdp::negotiate::{Codec, Negotiation, SdpError};
use crate::trunk::diversion::Diverted;

/// One thing to be done by the switch, in order.
#[derive(Debug)]
pub enum Output {
    /// On a leg's SIP dialog.
    Leg(LegId, LegAct),
    /// On the media plane.
    Media(MediaAct),
    /// On the recorder.
    Record(RecordAct),
    /// Of the desk.
    Desk(Request),
    /// Into the journal.
    Journal(Entry),
    /// Hand a leg to another call.
    Move(CallId, Box<MovedLeg>),
    /// The call is over and owns nothing any more: drop it.
    Finished,
}

/// What to do on a leg's SIP dialog.
#[derive(Clone, PartialEq, Debug)]
pub enum LegAct {
    /// Create an outgoing leg: send INVITE. Answered by `LegEvent`s; `Refused` when it cannot even be sent.
    Dial(Box<Dial>),
    /// Provisional response to an incoming leg, with SDP for early media.
    Progress {
        /// 180 or 183.
        code: u16,
        /// Our description.
        sdp: Option<Bytes>,
    },
    /// 200 to an incoming leg.
    Accept {
        /// Our answer, or our offer when the INVITE had none.
        sdp: Bytes,
    },
    /// Final refusal of an incoming leg.
    Reject {
        /// The SIP status.
        code: u16,
        /// For `Warning` and `Reason`; none: the far side's own code passed on.
        cause: Option<Cause>,
        /// The sentence.
        sentence: String,
    },
    /// End the leg, whatever its state: CANCEL, BYE, or 480/487 by state.
    End(EndReason),
    /// Take a late 2xx: the leg is connected after all.
    Keep,
    /// Answer a re-INVITE or UPDATE.
    AnswerOffer {
        /// Our answer (or offer, when it had none).
        sdp: Bytes,
    },
    /// Refuse a re-INVITE or UPDATE; the session stays as it was.
    RefuseOffer {
        /// 488 or 491.
        code: u16,
    },
    /// Send a re-INVITE with this offer; answered by `LegEvent::Refreshed` if it is accepted.
    Offer {
        /// Our offer.
        sdp: Bytes,
    },
    /// Send an OPTIONS within the dialog; answered by `LegEvent::Alive`.
    Probe,
    /// How the REFER of the leg's far side goes; a final status is the last.
    ReferNotice {
        /// The status.
        code: u16,
        /// The phrase; empty: the standard one.
        phrase: String,
    },
    /// As `Reject` with 488, for what the offer says.
    RejectMedia {
        /// What is wrong with it.
        why: SdpError,
    },
    /// As `RefuseOffer` with 488, for what the offer says.
    RefuseMedia {
        /// What is wrong with it.
        why: SdpError,
    },
}

/// Why a leg is ended; becomes the `Reason` header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum EndReason {
    /// `SIP;cause=200;text="Call completed elsewhere"`.
    AnsweredElsewhere,
    /// The other side hung up: `SIP;cause=487` and `Q.850;cause=16`.
    Normal,
    /// For a cause of ours.
    Cause(Cause),
    /// Its sound cannot go on: `SIP;cause=500` with this sentence.
    Soundless(&'static str),
}

/// An outgoing leg.
#[derive(Clone, PartialEq, Debug)]
pub struct Dial {
    /// Whom.
    pub target: Target,
    /// Shown as caller: a number or an operator's name; `None`: anonymous.
    pub caller: Option<String>,
    /// Shown beside it.
    pub display_name: Option<String>,
    /// Our offer.
    pub sdp: Bytes,
    /// Carried over minus one (RFC 3261 §16.6); 70 for calls that begin here.
    pub max_forwards: u8,
    /// The call, for the `X-Vats-Call` header on legs to operators' phones.
    pub call: CallId,
    /// The landing page, for operators' phones.
    pub landing_page: Option<String>,
    /// The operator who passed the call on (RFC 3892).
    pub referred_by: Option<String>,
    /// A caller's call goes on to an outside number: what the provider is told of it.
    pub diverted: Option<Diverted>,
}

/// Whom an outgoing leg rings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Target {
    /// One phone of an operator, as `Notice::Ring` listed it.
    Phone {
        /// The operator.
        operator: Name,
        /// The phone.
        phone: Phone,
    },
    /// A number over a trunk.
    Trunk {
        /// The trunk.
        trunk: Name,
        /// The number in E.164.
        number: String,
    },
}

/// What to do on the recorder.
#[derive(Clone, PartialEq, Debug)]
pub enum RecordAct {
    /// Begin the recording of a conversation.
    StartConversation {
        /// The recording.
        recording: RecordingId,
        /// The call's record now, for the path.
        call: Box<crate::ledger::call::CallRecord>,
        /// Somebody on it speaks a wideband codec.
        wideband: bool,
        /// A copy in Opus is to replace the file.
        opus: bool,
    },
    /// Begin the recording of a conference: it is complete when nobody feeds it any more.
    StartConference {
        /// The recording.
        recording: RecordingId,
        /// The record of the first one's call, for the path.
        call: Box<crate::ledger::call::CallRecord>,
        /// The first one speaks a wideband codec.
        wideband: bool,
        /// A copy in Opus is to replace the file.
        opus: bool,
    },
    /// Begin a voicemail message.
    StartMessage {
        /// The recording.
        recording: RecordingId,
        /// The message.
        voicemail: VoicemailId,
        /// The box.
        mailbox: Name,
        /// The call's record now, for the path.
        call: Box<crate::ledger::call::CallRecord>,
        /// The caller speaks a wideband codec.
        wideband: bool,
        /// A copy in Opus is to replace the file.
        opus: bool,
    },
    /// Feed a side from a leg's received audio, from now on. A side may change its leg (transfer).
    Attach {
        /// The recording.
        recording: RecordingId,
        /// Which one of the leg's it is.
        feeds: Feeds,
        /// The leg.
        leg: LegId,
        /// Which side of the file.
        side: Side,
        /// Whose leg it is, if it is an operator's.
        operator: Option<Name>,
        /// What it speaks, as far as that is agreed.
        codec: Option<Codec>,
    },
    /// A leg no longer feeds the recording; its side is silent.
    Detach {
        /// The recording.
        recording: RecordingId,
        /// Which one of the leg's it was.
        feeds: Feeds,
        /// The leg.
        leg: LegId,
    },
    /// The file is complete.
    Stop {
        /// The recording.
        recording: RecordingId,
    },
    /// Store nothing (`true`), or everything again; the file's time goes on.
    Pause {
        /// The recording.
        recording: RecordingId,
        /// Whether it is paused from now on.
        paused: bool,
    },
    /// Throw the file away (an empty message).
    Discard {
        /// The recording.
        recording: RecordingId,
    },
}

/// A leg on its way to another call: everything that belongs to it.
#[derive(Clone, PartialEq, Debug)]
pub struct MovedLeg {
    /// The leg.
    pub leg: LegId,
    /// Its record so far.
    pub record: LegRecord,
    /// Its side of offer/answer.
    pub negotiation: Box<Negotiation>,
    /// Where it sits in the call that takes it.
    pub seat: Seat,
}

/// Where a leg sits in the call that takes it. When that is not so any more, the leg is ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Seat {
    /// Instead of whoever the guest talks with or waits for.
    Any,
    /// Instead of this leg, which talks.
    Of(LegId),
    /// With a caller for whom phones ring.
    Ringing,
    /// With a caller who is parked.
    Parked,
    /// Beside two who talk.
    Supervisor(Supervision),
}
