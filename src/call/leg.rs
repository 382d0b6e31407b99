//! One leg as its call sees it: one SIP dialog, one offer/answer, one media port, one row.

use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use bytes::Bytes;

use super::features::Typed;
use super::keys::Keys;
use super::media::{Feeds, PlayMode};
use super::output::{MovedLeg, Side, Target};
use crate::audio::clip::Clip;
use crate::dialplan::plan::{Destination, Member};
use crate::ledger::clock::Wall;
use crate::ledger::id::{BridgeId, LegId, Name, RecordingId};
use crate::ledger::leg::{LegKind, LegOutcome, LegRecord};
use crate::sdp::negotiate::{Codec, Negotiation};

/// A leg that exists.
#[derive(Debug)]
pub(crate) struct Leg {
    pub(crate) record: LegRecord,
    pub(crate) state: LegState,
    pub(crate) port: Port,
    /// Present from the moment the port is open.
    pub(crate) negotiation: Option<Negotiation>,
    /// An incoming leg: the offer of its INVITE.
    pub(crate) offer: Option<Bytes>,
    /// An incoming leg: our answer (or our offer when the INVITE had none), for 183 and 200.
    pub(crate) sdp: Option<Bytes>,
    /// Our offer is out, or will be in the next response, and its answer comes in an ACK or PRACK.
    pub(crate) awaits_answer: bool,
    /// An incoming leg that acknowledges provisional responses (RFC 3262).
    pub(crate) reliable: bool,
    /// An outgoing leg whose INVITE made no offer: the far side does, and this is answered.
    pub(crate) asks: bool,
    /// The media plane was told what is agreed.
    pub(crate) agreed: bool,
    /// The far side put us on hold.
    pub(crate) held: bool,
    pub(crate) playing: Option<Playing>,
    pub(crate) bridge: Option<BridgeId>,
    /// The call's recording, or the message, that it feeds.
    pub(crate) recorded: Option<RecordingId>,
    /// The conference's recording that it feeds.
    pub(crate) shared: Option<RecordingId>,
    pub(crate) side: Side,
    /// An outgoing leg: whom it rings and how it is presented.
    pub(crate) dialling: Option<Box<Dialling>>,
    /// Which of its keys count.
    pub(crate) keys: Keys,
    /// What an operator types while he talks.
    pub(crate) typed: Typed,
    /// An OPTIONS is out.
    pub(crate) probing: bool,
    /// A provisional response above 100 came.
    pub(crate) rang: bool,
    /// The far side's signalling address, as far as it is known here.
    pub(crate) towards: IpAddr,
}

impl Leg {
    /// The recording of that kind that it feeds.
    pub(crate) fn fed(&mut self, feeds: Feeds) -> &mut Option<RecordingId> {
        match feeds {
            Feeds::Call => &mut self.recorded,
            Feeds::Conference => &mut self.shared,
        }
    }
}

/// How far a leg is.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum LegState {
    /// Outgoing: waits for its media port, then is dialled.
    Preparing,
    /// Outgoing: the INVITE is out.
    Ringing,
    /// Outgoing: given up while it rang; a 2xx may still cross.
    GivenUp,
    /// Incoming: unanswered. Whether 180 and 183 with SDP were sent.
    Unanswered {
        /// 180 or 183 was sent.
        ringing: bool,
        /// 183 with our SDP was sent: it hears us.
        early: bool,
    },
    /// 200 was sent or received.
    Connected,
}

/// Its media port.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum Port {
    Closed,
    Opening,
    Open,
}

/// What it hears from us.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Playing {
    pub(crate) token: u64,
    pub(crate) clip: Arc<Clip>,
    pub(crate) mode: PlayMode,
    /// It is the music of a hold in a conversation.
    pub(crate) hold: bool,
}

/// An outgoing leg to be.
#[derive(Clone, PartialEq, Debug)]
pub(crate) struct Dialling {
    pub(crate) target: Target,
    pub(crate) caller: Option<String>,
    pub(crate) display_name: Option<String>,
    /// The desk's member that it rings for.
    pub(crate) member: Option<Member>,
    /// The destination that rings it: where the caller comes back to when the phone vanishes.
    pub(crate) from: Option<Destination>,
    pub(crate) side: Side,
    pub(crate) codecs: Vec<Codec>,
    /// Where its phone has sent it.
    pub(crate) instead: Option<Instead>,
}

/// An outside number that a leg rings instead of its phone.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) struct Instead {
    pub(crate) number: String,
    /// The number that is shown; `None`: what fits the trunk.
    pub(crate) shown: Option<String>,
    /// The trunks that are still to be tried, best first.
    pub(crate) trunks: VecDeque<Name>,
}

impl Leg {
    /// The leg of an INVITE that came in.
    pub(crate) fn incoming(
        leg: LegId,
        from: LegOwner,
        at: Wall,
        sip_call_id: String,
        peer: IpAddr,
        offer: Option<Bytes>,
        side: Side,
    ) -> Leg {
        let mut record = from.record(leg);
        record.rung_at = Some(at);
        record.sip_call_id = Some(sip_call_id);
        let state = LegState::Unanswered {
            ringing: false,
            early: false,
        };
        Leg {
            offer,
            towards: peer,
            ..Leg::new(record, state, side)
        }
    }

    /// A leg that will be dialled.
    pub(crate) fn outgoing(leg: LegId, dialling: Dialling) -> Leg {
        let owner = match &dialling.target {
            Target::Phone { operator, .. } => LegOwner::Operator(operator.clone()),
            Target::Trunk { trunk, .. } => LegOwner::Dialled(trunk.clone()),
        };
        let side = dialling.side;
        Leg {
            dialling: Some(Box::new(dialling)),
            ..Leg::new(owner.record(leg), LegState::Preparing, side)
        }
    }

    /// A connected leg that another call gave away.
    pub(crate) fn adopted(moved: MovedLeg) -> Leg {
        let agreed = moved.negotiation.agreed();
        let held = agreed.is_some_and(crate::sdp::negotiate::Agreed::is_held);
        let is_agreed = agreed.is_some();
        Leg {
            port: Port::Open,
            negotiation: Some(*moved.negotiation),
            agreed: is_agreed,
            held,
            ..Leg::new(moved.record, LegState::Connected, Side::Right)
        }
    }

    fn new(record: LegRecord, state: LegState, side: Side) -> Leg {
        Leg {
            record,
            state,
            port: Port::Closed,
            negotiation: None,
            offer: None,
            sdp: None,
            awaits_answer: false,
            reliable: false,
            asks: false,
            agreed: false,
            held: false,
            playing: None,
            bridge: None,
            recorded: None,
            shared: None,
            side,
            dialling: None,
            keys: Keys::default(),
            typed: Typed::default(),
            probing: false,
            rang: false,
            towards: IpAddr::V4(Ipv4Addr::UNSPECIFIED),
        }
    }

    /// Its id.
    pub(crate) const fn id(&self) -> LegId {
        self.record.leg_id
    }

    /// Whether it is connected, or hears us before that by early media.
    pub(crate) const fn hears(&self) -> bool {
        matches!(
            self.state,
            LegState::Connected | LegState::Unanswered { early: true, .. }
        )
    }

    /// Whether the 200 is there.
    pub(crate) fn is_connected(&self) -> bool {
        self.state == LegState::Connected
    }

    /// Whether it is an operator's phone that put us on hold.
    pub(crate) fn is_holding_operator(&self) -> bool {
        self.is_connected() && self.held && self.record.operator.is_some()
    }

    /// Whether it is being rung: prepared or dialled, not given up.
    pub(crate) const fn is_ringing(&self) -> bool {
        matches!(self.state, LegState::Preparing | LegState::Ringing)
    }

    /// The outcome of a leg that ends without a better reason.
    pub(crate) const fn outcome_at_end(&self) -> LegOutcome {
        match self.state {
            LegState::Connected => LegOutcome::Answered,
            LegState::Unanswered { .. } => LegOutcome::Failed,
            _ => LegOutcome::Cancelled,
        }
    }
}

/// Whose leg it is, for its row.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum LegOwner {
    /// Somebody who came in over a trunk.
    Caller(Name),
    /// An operator, on his phone.
    Operator(Name),
    /// Somebody whom we dialled over a trunk.
    Dialled(Name),
}

impl LegOwner {
    fn record(self, leg: LegId) -> LegRecord {
        let (kind, operator, trunk) = match self {
            LegOwner::Caller(trunk) => (LegKind::Caller, None, Some(trunk)),
            LegOwner::Operator(operator) => (LegKind::Operator, Some(operator), None),
            LegOwner::Dialled(trunk) => (LegKind::Forward, None, Some(trunk)),
        };
        LegRecord {
            leg_id: leg,
            kind,
            operator,
            trunk,
            rung_at: None,
            connected_at: None,
            accepted_at: None,
            ended_at: None,
            outcome: None,
            sip_code: None,
            sip_call_id: None,
            quality: None,
        }
    }
}
