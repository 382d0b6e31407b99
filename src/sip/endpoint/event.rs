//! What the endpoint reports.

use std::time::Duration;

use bytes::Bytes;

use crate::sip::locate::Wish;
use crate::sip::wire::Message;

pub use super::flow::{ConnectionId, Flow, ListenerId, Transport};

/// An INVITE usage: incoming or outgoing. The same 128 bits are the `LegId` of the call layer.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct SessionId(pub u128);

/// A request outside a session, incoming (we reply) or outgoing (we get a response).
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RequestId(pub u64);

/// One thing that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A new INVITE. 100 has been sent. Answer with `Progress`, `Accept`, `Reject` or `Challenge`.
    Incoming {
        /// Its session.
        session: SessionId,
        /// Where it came from.
        flow: Flow,
        /// The INVITE.
        message: Message,
    },
    /// The far side gave an incoming INVITE up before our final response; 487 has been sent, the session is gone.
    Cancelled {
        /// The session.
        session: SessionId,
    },
    /// Our 2xx to an INVITE or re-INVITE was acknowledged; or a reliable provisional response of ours that carried the offer was, with the answer.
    Acked {
        /// The session.
        session: SessionId,
        /// SDP in the ACK or PRACK (the answer, when our response carried the offer).
        sdp: Option<Bytes>,
    },
    /// A provisional response above 100.
    Progress {
        /// The session.
        session: SessionId,
        /// The To tag: which early dialog.
        dialog: String,
        /// The status.
        code: u16,
        /// SDP, if any.
        sdp: Option<Bytes>,
    },
    /// The first 2xx; ACK has been sent. 2xx of other dialogs are ACKed and BYEd by the endpoint. `late`: `End` had been asked for before it came;
    /// answer with `Keep` or `End` (nothing within 32 s means `End`). A kept session, and one not yet decided on, reports like any other.
    Answered {
        /// The session.
        session: SessionId,
        /// SDP, if any.
        sdp: Option<Bytes>,
        /// Whether it crossed our CANCEL.
        late: bool,
    },
    /// A final refusal (after credentials were tried), a timeout (408) or a transport failure (503). The session is gone.
    Refused {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
        /// The phrase, or our sentence.
        reason: String,
        /// Whether the far side sent any response at all.
        responded: bool,
        /// The response, when one came.
        message: Option<Message>,
    },
    /// A re-INVITE, UPDATE or PRACK with SDP (or a re-INVITE without), in an early dialog too. Answer with `AnswerOffer` or `RefuseOffer`.
    Offer {
        /// The session.
        session: SessionId,
        /// The offer; `None`: we are to offer.
        sdp: Option<Bytes>,
    },
    /// The 2xx to our re-INVITE, also to one that only refreshes the session (RFC 4028) and repeats what we said; ACK has been sent.
    OfferAnswered {
        /// The session.
        session: SessionId,
        /// The answer.
        sdp: Option<Bytes>,
    },
    /// Our re-INVITE was refused (491 after it was tried again a few times), or could not be sent because another offer is open (491); the session
    /// stays as it was.
    OfferRefused {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
    },
    /// The session is over: BYE from the far side (200 has been sent), our 2xx never acknowledged, an in-dialog request answered 408 or 481.
    Ended {
        /// The session.
        session: SessionId,
        /// How.
        how: Ended,
    },
    /// INFO within a session; 200 has been sent.
    Info {
        /// The session.
        session: SessionId,
        /// The request.
        message: Message,
    },
    /// An OPTIONS, asked for by `Probe` or sent now and then, was answered (any final response but 408; 481 ends the session) or not.
    Probed {
        /// The session.
        session: SessionId,
        /// Whether it was answered.
        alive: bool,
    },
    /// A request outside a session: REGISTER, OPTIONS, MESSAGE … Answer with `Reply`. Requests within an unknown dialog have been answered 481,
    /// unknown methods 405, merged ones 482.
    Request {
        /// For `Reply`.
        id: RequestId,
        /// Where it came from.
        flow: Flow,
        /// The request.
        message: Message,
    },
    /// The final response to a request sent by `Command::Request` (after credentials were tried); a timeout is 408, a transport failure 503.
    Response {
        /// The request.
        id: RequestId,
        /// The status.
        code: u16,
        /// The response, when one came.
        message: Option<Message>,
    },
    /// REFER within a session that is established (RFC 3515). Answer with `AnswerRefer`, then tell how it goes with `ReferNotice`.
    Refer {
        /// The session.
        session: SessionId,
        /// The request; it has one Refer-To.
        message: Message,
    },
    /// The final response to our REFER; a timeout is 408.
    ReferAnswered {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
    },
    /// How our REFER goes: the status that its target has answered so far.
    ReferReport {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
    },
    /// A dialog's next hop is a host name: answer with `Command::Resolved`.
    ResolveNeeded {
        /// Comes back in `Resolved`.
        id: u64,
        /// What has to be located (RFC 3263): a name, by one transport.
        wish: Wish,
    },
    /// A place of `Command::InviteAny` gave its first sign of life above 100, or failed.
    HopTried {
        /// The session.
        session: SessionId,
        /// The place.
        flow: Flow,
        /// How it failed; `None`: it lives.
        failed: Option<HopFailure>,
    },
}

/// Why another place is tried.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct HopFailure {
    /// 408: no response; 503: it said so, or it cannot be reached.
    pub code: u16,
    /// The Retry-After of its 503.
    pub retry_after: Option<Duration>,
}

/// How a session ended.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Ended {
    /// BYE from the far side.
    Bye,
    /// Our 2xx was never acknowledged (RFC 3261 §13.3.1.4); BYE has been sent.
    NoAck,
    /// A request of ours within the dialog got 408 or 481, or a reliable provisional response was never acknowledged.
    Lost,
    /// Nobody refreshed the session in time (RFC 4028 §10); BYE has been sent.
    Expired,
}
