//! Sessions: INVITE usages (RFC 3261 §13–15), from the first INVITE to the answer to BYE.
//!
//! A session is one phase at a time: calling (with its early dialogs), ringing, established, closing. What it reports dries up as soon as
//! its user asks for its end; the session itself stays until the last of its requests is answered.
//!
//! Not here: what is said in SDP, who may call, transactions.

pub mod credentials;

mod early;
mod incoming;
mod offering;
mod outgoing;
mod places;
mod pracking;
mod referral;
mod referring;
mod refreshing;
mod reliable;
mod sending;
mod timing;
mod within;

use std::time::Duration;

use bytes::Bytes;
use smallvec::SmallVec;

use self::credentials::Challenges;
use self::incoming::Ringing;
use self::offering::OurOffer;
use self::outgoing::Calling;
use self::pracking::OurPrack;
use self::referral::Referral;
use self::referring::Referring;
use self::refreshing::OurUpdate;
use self::reliable::Reliable;
use self::sending::{Held, Probe};
use self::timing::Timing;
use crate::ledger::clock::Mono;
use crate::ledger::wheel::Ticket;
use crate::sip::auth::Credentials;
use crate::sip::dialog::route::NextHop;
use crate::sip::dialog::{Dialog, LocalTag};
use crate::sip::endpoint::command::Usage;
use crate::sip::endpoint::core::Core;
use crate::sip::endpoint::event::{Ended, Event};
use crate::sip::endpoint::{ConnectionId, Flow, SessionId};
use crate::sip::transaction::timer::{Table, Timed};
use crate::sip::transaction::{ClientId, ServerId, T1_64};
use crate::sip::wire::Message;

pub use self::outgoing::Stray;
pub use self::reliable::takes_reliable;
pub use self::timing::too_small;

/// One INVITE usage.
#[derive(Debug)]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Our tag in all its dialogs.
    pub local_tag: LocalTag,
    phase: Phase,
    /// Whether we sent the first INVITE.
    is_call_id_ours: bool,
    reports: Reports,
    /// The early dialogs while unanswered, then the one dialog.
    dialogs: Vec<Dialog>,
    credentials: Option<Credentials>,
    /// The challenges that the INVITE met: later requests are answered before they are challenged.
    authority: Challenges,
    timers: Table<{ Timer::COUNT }>,
    armed: Option<Ticket>,
    /// The connections under which the endpoint has filed it.
    pub filed: SmallVec<[ConnectionId; 1]>,
    /// Requests that wait for the address of their next hop.
    held: Vec<Held>,
    /// Our 2xx that await their ACK.
    unacked: Vec<Unacked>,
    /// The offer that awaits our answer.
    theirs: Option<TheirOffer>,
    /// The re-INVITE under way.
    ours: Option<Box<OurOffer>>,
    /// The OPTIONS under way.
    probe: Option<Probe>,
    /// The REFER that is being served, and its reports.
    referral: Option<Box<Referral>>,
    /// How many REFERs were taken.
    referrals: u32,
    /// A REFER of ours.
    referring: Option<Box<Referring>>,
    /// How the session is kept, and what was agreed on that.
    timing: Box<Timing>,
    /// The UPDATE under way.
    updating: Option<Box<OurUpdate>>,
    /// Our reliable provisional responses.
    reliable: Option<Box<Reliable>>,
    /// The PRACKs under way.
    pracks: Vec<OurPrack>,
    /// What we described last, for a re-INVITE that only refreshes.
    said: Bytes,
    /// ACKs and PRACKs that wait for our answer to the offer that they acknowledge.
    owed: Vec<Held>,
    /// A stream that the far side offers beside the datagrams of its peer address, for large messages.
    large: Option<Flow>,
}

/// Whether the session goes on.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
#[must_use]
pub enum Fate {
    /// It does.
    Alive,
    /// It is over and to be dropped.
    Gone,
}

#[derive(Debug)]
enum Phase {
    /// Our INVITE has no final response yet.
    Calling(Box<Calling>),
    /// Their INVITE has no final response yet.
    Ringing(Ringing),
    /// A 2xx was exchanged. `late`: ours to keep or to end.
    Established { late: bool },
    /// BYE is on its way, or waits for the ACK to our 2xx.
    Closing {
        reason: Option<String>,
        challenges: Challenges,
    },
    /// The far side has ended the session and still hears how its REFER goes (RFC 5057 §4.1).
    Reporting,
}

/// What the user still wants to hear.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Reports {
    All,
    /// `End` was asked for: a 2xx that crosses our CANCEL.
    LateAnswer,
    Nothing,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct Unacked {
    cseq: u32,
    server: ServerId,
    /// Whether the ACK must bring the answer.
    we_offered: bool,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
struct TheirOffer {
    server: ServerId,
    cseq: u32,
    carrier: OfferIn,
    /// Whether it has SDP; if not, ours is the offer.
    sdp: bool,
}

/// The request that brought an offer.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum OfferIn {
    Invite,
    Update,
    Prack,
}

/// The timers of a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Timer {
    /// No response at all within `give_up_after`.
    GiveUp,
    /// No final response after CANCEL (RFC 3261 §9.1).
    Cancelled,
    /// The provisional response is to be repeated.
    Repeat,
    /// A next hop was not resolved.
    Resolve,
    /// Nobody said what becomes of a late 2xx.
    Late,
    /// Our re-INVITE met theirs and is to be tried again (RFC 3261 §14.1).
    Again,
    /// The reports about a REFER end.
    Referral,
    /// The session is to be refreshed (RFC 4028 §10).
    Refresh,
    /// Nobody refreshed the session.
    Expire,
    /// A reliable provisional response awaits its PRACK (RFC 3262 §3).
    Reliable,
    /// An OPTIONS that could not be sent is to be tried again.
    Probe,
}

impl Timer {
    const COUNT: usize = 11;
    const ALL: [Timer; Timer::COUNT] = [
        Timer::GiveUp,
        Timer::Cancelled,
        Timer::Repeat,
        Timer::Resolve,
        Timer::Late,
        Timer::Again,
        Timer::Referral,
        Timer::Refresh,
        Timer::Expire,
        Timer::Reliable,
        Timer::Probe,
    ];
}

impl Session {
    fn new(id: SessionId, local_tag: LocalTag, phase: Phase) -> Session {
        Session {
            id,
            local_tag,
            is_call_id_ours: !matches!(phase, Phase::Ringing(_)),
            phase,
            reports: Reports::All,
            // Nearly always one; a list grows to four of them at once.
            dialogs: Vec::with_capacity(1),
            credentials: None,
            authority: Challenges::default(),
            timers: Table::default(),
            armed: None,
            filed: SmallVec::new(),
            held: Vec::new(),
            unacked: Vec::new(),
            theirs: None,
            ours: None,
            probe: None,
            referral: None,
            referrals: 0,
            referring: None,
            timing: Box::new(Timing::new(Usage::default())),
            updating: None,
            reliable: None,
            pracks: Vec::new(),
            said: Bytes::new(),
            owed: Vec::new(),
            large: None,
        }
    }

    /// How many dialogs it has, early ones included.
    pub fn dialogs(&self) -> usize {
        self.dialogs.len()
    }

    /// Where its dialogs are.
    pub fn flows(&self) -> impl Iterator<Item = &Flow> {
        self.dialogs.iter().map(|dialog| &dialog.flow)
    }

    /// The connections that its dialogs are on, each once.
    pub fn connections(&self) -> SmallVec<[ConnectionId; 1]> {
        let mut connections = SmallVec::new();
        for connection in self.flows().map(|flow| flow.connection) {
            if !connection.is_none() && !connections.contains(&connection) {
                connections.push(connection);
            }
        }
        connections
    }

    /// The phone at this Contact is back on another connection.
    pub fn rejoin(&mut self, contact: &str, flow: &Flow, is_open: impl Fn(ConnectionId) -> bool) {
        for dialog in &mut self.dialogs {
            if dialog.target == contact && !is_open(dialog.flow.connection) {
                dialog.come_by(flow);
            }
        }
    }

    /// A flow closed: dialogs on it look for their next hop anew.
    pub fn leave(&mut self, closed: &Flow) {
        for dialog in &mut self.dialogs {
            dialog.leave(closed);
        }
    }

    /// Whether one of its dialogs is the one that a request names.
    pub fn owns(&self, request: &Message) -> bool {
        self.dialogs.iter().any(|dialog| dialog.is_of(request))
    }

    /// Of its dialog with this name: whether it is confirmed, and whether its INVITE was ours. `None`: it has none, or is over.
    pub fn standing(&self, call_id: &str, remote_tag: &str) -> Option<(bool, bool)> {
        let is_confirmed = match self.phase {
            Phase::Established { .. } => true,
            Phase::Calling(_) | Phase::Ringing(_) => false,
            Phase::Closing { .. } | Phase::Reporting => return None,
        };
        let has = |dialog: &Dialog| dialog.call_id == call_id && dialog.remote_tag == remote_tag;
        let is_ours = self.is_call_id_ours;
        self.dialogs
            .iter()
            .any(has)
            .then_some((is_confirmed, is_ours))
    }

    /// The Call-ID and the far side's tag of its first dialog.
    pub fn first_dialog(&self) -> Option<(&str, &str)> {
        let dialog = self.dialogs.first()?;
        Some((&dialog.call_id, &dialog.remote_tag))
    }

    /// Whether it awaits the final response of this INVITE transaction.
    pub fn awaits(&self, client: ClientId) -> bool {
        matches!(&self.phase, Phase::Calling(calling) if calling.is(client))
    }

    /// What it answers challenges with.
    pub fn credentials(&self) -> Option<&Credentials> {
        self.credentials.as_ref()
    }

    /// The look-ups of addresses that it waits for.
    pub fn resolving(&self) -> impl Iterator<Item = u64> + '_ {
        self.dialogs
            .iter()
            .filter_map(|dialog| match dialog.next_hop {
                NextHop::Resolving(id) => Some(id),
                _ => None,
            })
    }

    /// Ends it, whatever its phase.
    pub fn end(&mut self, core: &mut Core, now: Mono, reason: Option<String>) -> Fate {
        match self.phase {
            Phase::Calling(_) => self.cancel(core, now, reason),
            Phase::Ringing(_) => self.turn_away(core, now, reason),
            Phase::Established { .. } => {
                self.close(core, now, reason);
                Fate::Alive
            }
            Phase::Closing { .. } | Phase::Reporting => Fate::Alive,
        }
    }

    /// Takes a late 2xx after all.
    pub fn keep(&mut self) -> Fate {
        if let Phase::Established { late } = &mut self.phase {
            *late = false;
            self.timers.stop(Timer::Late as usize);
        }
        Fate::Alive
    }

    /// Fires what is due.
    pub fn handle_timeout(&mut self, core: &mut Core, now: Mono) -> Fate {
        while let Some(place) = self.timers.take_due(now) {
            match Timer::ALL[place] {
                Timer::GiveUp => self.give_up(core, now),
                Timer::Cancelled => {
                    self.abandon(core);
                    return Fate::Gone;
                }
                Timer::Repeat => self.repeat_progress(core, now),
                Timer::Resolve => self.resolved(core, now, None, &[]),
                Timer::Late => self.close(core, now, None),
                Timer::Again => self.offer_again(core, now),
                Timer::Referral => {
                    if self.referral_expired(core, now) == Fate::Gone {
                        return Fate::Gone;
                    }
                }
                Timer::Refresh => self.refresh(core, now),
                Timer::Expire => self.expire(core, now),
                Timer::Probe => self.ask_again(core, now),
                Timer::Reliable => {
                    if self.resend_reliable(core, now) == Fate::Gone {
                        return Fate::Gone;
                    }
                }
            }
        }
        Fate::Alive
    }

    /// A 2xx of ours was never acknowledged.
    pub fn not_acked(&mut self, core: &mut Core, now: Mono, server: ServerId) -> Fate {
        self.unacked.retain(|unacked| unacked.server != server);
        match self.phase {
            Phase::Established { .. } => {
                self.report_ended(core, Ended::NoAck);
                self.close(core, now, Some("SIP;cause=408;text=\"No ACK\"".to_owned()));
            }
            Phase::Closing { .. } if self.unacked.is_empty() => self.send_bye(core, now),
            _ => {}
        }
        Fate::Alive
    }

    /// An ACK came that is not one to a refusal.
    pub fn acked(&mut self, core: &mut Core, now: Mono, ack: &Message) -> Fate {
        let Some(place) = self
            .unacked
            .iter()
            .position(|unacked| unacked.cseq == ack.cseq())
        else {
            return Fate::Alive;
        };
        let unacked = self.unacked.swap_remove(place);
        core.layer.acknowledged(unacked.server);
        if self.reports == Reports::All {
            core.report(Event::Acked {
                session: self.id,
                sdp: sdp_of(ack),
            });
        }
        if matches!(self.phase, Phase::Closing { .. }) && self.unacked.is_empty() {
            self.send_bye(core, now);
        }
        Fate::Alive
    }

    /// Stops reporting and sends BYE; held back while a 2xx of ours awaits its ACK (RFC 3261 §15).
    fn close(&mut self, core: &mut Core, now: Mono, reason: Option<String>) {
        self.finish_referral(core, now);
        self.reports = Reports::Nothing;
        self.timers.clear();
        if self.is_resolving() {
            self.timers
                .set(Timer::Resolve as usize, now + RESOLVE_LIMIT);
        }
        self.drop_their_offer(core, now);
        self.pay(core, now, &Bytes::new());
        self.phase = Phase::Closing {
            reason,
            challenges: Challenges::default(),
        };
        if self.unacked.is_empty() {
            self.send_bye(core, now);
        }
    }

    fn report_ended(&mut self, core: &mut Core, how: Ended) {
        if self.reports == Reports::All {
            core.report(Event::Ended {
                session: self.id,
                how,
            });
        }
        self.reports = Reports::Nothing;
    }

    fn is_resolving(&self) -> bool {
        self.resolving().next().is_some()
    }
}

impl Timed for Box<Session> {
    fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }
    fn armed(&mut self) -> &mut Option<Ticket> {
        &mut self.armed
    }
}

/// The session description in a message.
fn sdp_of(message: &Message) -> Option<Bytes> {
    message
        .body_of(crate::sip::endpoint::core::SDP)
        .filter(|body| !body.is_empty())
}

/// How long a resolver may take; then requests go where the INVITE went.
const RESOLVE_LIMIT: Duration = Duration::from_secs(5);
/// How long a late 2xx may wait for `Keep` or `End`.
const LATE_LIMIT: Duration = T1_64;
