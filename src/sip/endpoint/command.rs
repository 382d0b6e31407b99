//! What is asked of the endpoint.

use std::net::SocketAddr;

use bytes::Bytes;

use super::event::{Flow, RequestId, SessionId};
use crate::sip::auth::Credentials;
use crate::sip::dialog::{Dialog, LocalTag};
use crate::sip::wire::Name;

/// Header lines to be added to a message.
pub type Headers = Vec<(Name, String)>;

/// One command.
#[derive(Clone, Debug)]
pub enum Command {
    /// Send an INVITE: a new outgoing session.
    Invite(Box<Invite>),
    /// A provisional response to an incoming INVITE (repeated every minute, RFC 3261 §13.3.1.1).
    Progress {
        /// The session.
        session: SessionId,
        /// 180 or 183.
        code: u16,
        /// SDP for early media.
        sdp: Option<Bytes>,
    },
    /// 200 to an incoming INVITE; retransmitted until its ACK.
    Accept {
        /// The session.
        session: SessionId,
        /// The answer or offer.
        sdp: Bytes,
        /// Extra header lines.
        headers: Headers,
    },
    /// 401 to an INVITE of somebody unknown: sent once and again only for a repeated INVITE, without a 100 before it, so that a
    /// forged source address is not sent more than the forger sent. The session is gone (no event follows).
    Challenge {
        /// The session.
        session: SessionId,
        /// The WWW-Authenticate lines.
        headers: Headers,
    },
    /// A final refusal of an incoming INVITE. The session is gone (no event follows).
    Reject {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
        /// Extra header lines (Warning, Reason, Retry-After, WWW-Authenticate).
        headers: Headers,
    },
    /// End a session whatever its state: CANCEL an unanswered outgoing one (held back until a provisional response, RFC 3261 §9.1), BYE an answered one
    /// (held back until the ACK where RFC 3261 §15 asks for it), 480 to an unanswered incoming one. The session reports nothing more, except
    /// `Answered { late: true }`.
    End {
        /// The session.
        session: SessionId,
        /// The value of the Reason header.
        reason: Option<String>,
    },
    /// Take the session of a late 2xx after all.
    Keep {
        /// The session.
        session: SessionId,
    },
    /// 200 to a re-INVITE or UPDATE; or our answer to what an INVITE of ours without offer brought.
    AnswerOffer {
        /// The session.
        session: SessionId,
        /// The answer or offer.
        sdp: Bytes,
    },
    /// Refuse a re-INVITE or UPDATE.
    RefuseOffer {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
        /// Extra header lines.
        headers: Headers,
    },
    /// Send a re-INVITE with a new offer; answered by `Event::OfferAnswered` or `Event::OfferRefused`.
    Offer {
        /// The session.
        session: SessionId,
        /// The offer.
        sdp: Bytes,
    },
    /// Send OPTIONS within the session's dialog; answered by `Event::Probed`.
    Probe {
        /// The session.
        session: SessionId,
    },
    /// Reply to a request outside a session.
    Reply {
        /// The request.
        id: RequestId,
        /// The status.
        code: u16,
        /// Extra header lines.
        headers: Headers,
    },
    /// Send a request outside a session (REGISTER, OPTIONS).
    Request(Box<Request>),
    /// Answer a REFER. With a 2xx its sender hears how it goes (100 at once), unless he asked not to (RFC 4488).
    AnswerRefer {
        /// The session.
        session: SessionId,
        /// 202, or a refusal that does not end the dialog (RFC 5057 §5.1).
        code: u16,
        /// Extra header lines.
        headers: Headers,
    },
    /// How a REFER goes, as the status that its target has answered; a final one is the last.
    ReferNotice {
        /// The session.
        session: SessionId,
        /// The status.
        code: u16,
        /// The phrase; empty: the standard one.
        phrase: String,
    },
    /// Send REFER within a session, as a phone does that passes its call on; answered by `Event::ReferAnswered`, then `Event::ReferReport`s.
    Refer {
        /// The session.
        session: SessionId,
        /// The value of Refer-To.
        to: String,
        /// Extra header lines.
        headers: Headers,
    },
    /// Reply to a request outside a session with a To tag that its sender keeps, and Contact: it makes or belongs to a dialog.
    ReplyWithin {
        /// The request.
        id: RequestId,
        /// The status.
        code: u16,
        /// Our tag.
        tag: LocalTag,
        /// Extra header lines.
        headers: Headers,
    },
    /// Send NOTIFY within the dialog of a subscription; answered by `Event::Response`.
    Notify(Box<Notify>),
    /// The addresses of a name; empty: it does not resolve.
    Resolved {
        /// Of `ResolveNeeded`.
        id: u64,
        /// In order of preference.
        addresses: Vec<SocketAddr>,
    },
    /// As `Invite`, to the first of several places that answers: the next one is tried when one gives no response at all within
    /// `give_up_after`, cannot be reached or says 503 (RFC 3263 §4.3). Each is told of by `Event::HopTried`.
    InviteAny {
        /// The INVITE, with its first place.
        invite: Box<Invite>,
        /// Further places, in order of preference.
        others: Vec<Hop>,
        /// After so long no further one is tried.
        search: std::time::Duration,
        /// As `Hop::large`, of the first place.
        large: Option<Flow>,
    },
    /// As `Resolved`, where connections are involved: whole flows in order of preference. Over UDP only the address counts.
    Routed {
        /// Of `ResolveNeeded`.
        id: u64,
        /// In order of preference; empty: it does not resolve.
        flows: Vec<Flow>,
    },
    /// How an incoming session is kept, once its far side is known; before `Progress` and `Accept`.
    Use {
        /// The session.
        session: SessionId,
        /// What is configured for that far side.
        usage: Usage,
    },
    /// As `Request`; where it is too large for a datagram, by the stream that its server offers.
    RequestBy {
        /// The request, by datagram.
        request: Box<Request>,
        /// As `Hop::large`.
        large: Option<Flow>,
    },
    /// The far side of an incoming session offers a stream, for messages too large for a datagram.
    OffersStream {
        /// The session.
        session: SessionId,
        /// As `Hop::large`.
        large: Flow,
    },
}

/// One more place that an INVITE may be sent to.
#[derive(Clone, Debug)]
pub struct Hop {
    /// Where.
    pub flow: Flow,
    /// The Request-URI there.
    pub uri: String,
    /// A stream transport that the same server offers, for a message too large for a datagram (RFC 3261 §18.1.1).
    pub large: Option<Flow>,
}

/// How a session is kept: what is configured for its far side.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Usage {
    /// The session interval that we ask for, seconds (RFC 4028); `None`: only what the far side asks for.
    pub session_expires: Option<u32>,
    /// The shortest session interval that we agree to, seconds; 0: the RFC's 90.
    pub min_se: u32,
    /// Provisional responses are reliable wherever the far side can (RFC 3262), otherwise only where it requires that.
    pub reliable: bool,
}

/// How requests within a dialog travel.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Routing {
    /// By the route set and the remote target (RFC 3261 §12.2): trunks.
    Dialog,
    /// On the flow of the INVITE, whatever Contact says: phones, which may be behind NAT.
    Flow,
}

/// An outgoing INVITE.
#[derive(Clone, Debug)]
pub struct Invite {
    /// The new session's id.
    pub session: SessionId,
    /// Where it is sent.
    pub flow: Flow,
    /// How requests within its dialog travel.
    pub routing: Routing,
    /// Request-URI.
    pub uri: String,
    /// From without tag: a name-addr.
    pub from: String,
    /// To: a name-addr.
    pub to: String,
    /// The user of our Contact.
    pub contact_user: Option<String>,
    /// A Call-ID that was never used before.
    pub call_id: String,
    /// The offer. Empty: the far side makes it, in its 200 (then `Event::Answered` has it) or in a reliable provisional response (`Event::Offer`), and
    /// `Command::AnswerOffer` answers it in the ACK or PRACK.
    pub sdp: Bytes,
    /// Answers 401 and 407, here and within the dialog.
    pub credentials: Option<Credentials>,
    /// Max-Forwards.
    pub max_forwards: u8,
    /// Extra header lines.
    pub headers: Headers,
    /// Extra header lines with names that `Name` does not list.
    pub other_headers: Vec<(String, String)>,
    /// No response at all for so long is a timeout (408); `None`: timer B.
    pub give_up_after: Option<std::time::Duration>,
    /// How the session is kept.
    pub usage: Usage,
}

/// A NOTIFY (RFC 6665 §4.2.2).
#[derive(Clone, Debug)]
pub struct Notify {
    /// Its id, chosen by the asker.
    pub id: RequestId,
    /// The dialog; its `local_cseq` is this request's. It travels on the dialog's flow.
    pub dialog: Dialog,
    /// Event, Subscription-State and what else there is.
    pub headers: Headers,
    /// The type of the body and the body; none: without.
    pub body: Option<(&'static str, Bytes)>,
}

/// An outgoing request outside a session.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its id, chosen by the asker.
    pub id: RequestId,
    /// `REGISTER`, `OPTIONS`.
    pub method: crate::sip::wire::Method,
    /// Where it is sent.
    pub flow: Flow,
    /// Request-URI.
    pub uri: String,
    /// From without tag: a name-addr.
    pub from: String,
    /// To: a name-addr.
    pub to: String,
    /// The Call-ID, kept over the refreshes of a registration; `None`: a new one.
    pub call_id: Option<String>,
    /// The CSeq number to begin with; a retry with credentials adds one.
    pub cseq: u32,
    /// Answers 401 and 407.
    pub credentials: Option<Credentials>,
    /// Extra header lines (Contact, Expires).
    pub headers: Headers,
}
