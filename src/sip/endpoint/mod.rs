//! The endpoint: hand in messages, commands and the passing of time; then drain what to transmit, what happened, when to wake.
//!
//! After each `handle_*`, drain `poll_transmit` and `poll_event` until both are empty, then ask `poll_timeout`.
//!
//! In it: transactions, dialogs and sessions, joined. Not in it: sockets, name resolution, who may call whom, the registrar.

pub mod admit;
pub mod command;
pub mod core;
pub mod event;
pub mod filed;
pub mod flow;

mod form;
mod lookup;
mod outcome;
mod outside;
mod receive;
mod referral;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::Duration;

use bytes::Bytes;

use self::command::{Command, Hop, Invite, Request};
use self::core::Core;
use self::event::{Event, RequestId};
use self::filed::Filed;
use self::outside::Outside;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::entropy::Entropy;
use crate::ledger::id_map::IdMap;
use crate::sip::dialog::LocalTag;
use crate::sip::session::{Fate, Session};
use crate::sip::transaction::ServerId;
use crate::sip::transaction::timer::Deadlines;

pub use self::event::SessionId;
pub use self::flow::{ConnectionId, Flow, ListenerId, Transport};
pub use self::lookup::{DialogIdentity, Found};
pub use self::receive::Drops;

/// The further places of an INVITE, for how long they are tried, and the first one's flow for large messages.
type Further = (Vec<Hop>, Duration, Option<Flow>);

/// Bytes to be sent on a flow.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Transmit {
    /// Where.
    pub flow: Flow,
    /// The whole message.
    pub bytes: Bytes,
}

/// What the endpoint must know of itself.
#[derive(Clone, Debug)]
pub struct Settings {
    /// User-Agent and Server.
    pub product: String,
}

/// The SIP endpoint.
#[derive(Debug)]
pub struct Endpoint {
    core: Core,
    sessions: IdMap<SessionId, Box<Session>>,
    tags: HashMap<LocalTag, SessionId>,
    requests: HashMap<RequestId, Box<Outside>>,
    deadlines: Deadlines<SessionId>,
    /// Which sessions are on a connection.
    on: Filed<ConnectionId, SessionId>,
    drops: Drops,
}

impl Endpoint {
    /// A new endpoint; `entropy` makes its tags, branches, Call-IDs and session ids.
    pub fn new(settings: Settings, entropy: Entropy) -> Endpoint {
        Endpoint {
            core: Core::new(settings, entropy),
            sessions: IdMap::default(),
            tags: HashMap::new(),
            requests: HashMap::new(),
            deadlines: Deadlines::default(),
            on: Filed::default(),
            drops: Drops::default(),
        }
    }

    /// A message came in on a flow.
    pub fn handle_message(&mut self, now: Now, flow: Flow, bytes: Bytes) {
        self.receive(now, flow, bytes);
        self.settle(now);
    }

    /// What came on a connection could not be framed, and only its head is here: it is refused where that makes sense. The connection
    /// is to be closed.
    pub fn handle_broken(&mut self, flow: Flow, head: Bytes, code: u16, sentence: &str) {
        self.refuse_broken(flow, head, code, sentence);
    }

    /// Refuses a request that is not to be served, without a transaction.
    pub fn refuse_unserved(&mut self, flow: Flow, request: Bytes, code: u16, sentence: &str) {
        self.refuse_broken(flow, request, code, sentence);
    }

    /// The connections that sessions and transactions use.
    pub fn connections(&self) -> impl Iterator<Item = ConnectionId> {
        let sessions = self.sessions.values().flat_map(|session| session.flows());
        let transactions = self.core.layer.flows();
        sessions
            .chain(transactions)
            .map(|flow| flow.connection)
            .filter(|connection| !connection.is_none())
    }

    /// A phone is back on another connection: its dialogs whose connection is closed go on there. `contact` is its Contact URI.
    pub fn rejoin(&mut self, contact: &str, flow: Flow, is_open: impl Fn(ConnectionId) -> bool) {
        for session in self.sessions.values_mut() {
            session.rejoin(contact, &flow, &is_open);
            file(&mut self.on, session);
        }
    }

    /// A connection of ours was closed by the far side, which may not have read what was sent last: what waits there for a first response is sent once
    /// more, on a new connection. To be followed by `handle_flow_closed`, which fails what has been sent again before.
    pub fn send_again(&mut self, now: Now, flow: Flow) {
        self.core.layer.send_again(flow);
        self.settle(now);
    }

    /// A flow can no longer be used: what waits there for a first response fails (503); dialogs stay, and find another way if there is one.
    pub fn handle_flow_closed(&mut self, now: Now, flow: Flow) {
        self.core.layer.close_flow(flow);
        for id in self.on.at(&flow.connection) {
            if let Some(session) = self.sessions.get_mut(&id) {
                session.leave(&flow);
                file(&mut self.on, session);
            }
        }
        self.settle(now);
    }

    /// The layers above want something. Commands for sessions that are gone are ignored: their last event is on its way.
    pub fn handle_command(&mut self, now: Now, command: Command) {
        let at = now.mono;
        match command {
            Command::Invite(invite) => self.dial(at, *invite, None),
            Command::InviteAny {
                invite,
                others,
                search,
                large,
            } => self.dial(at, *invite, Some((others, search, large))),
            Command::Progress { session, code, sdp } => {
                self.with_session(session, |session, core| {
                    session.progress(core, at, code, sdp)
                });
            }
            Command::Accept {
                session,
                sdp,
                headers,
            } => {
                self.with_session(session, |session, core| {
                    session.accept(core, at, &sdp, &headers)
                });
            }
            Command::Reject {
                session,
                code,
                headers,
            } => {
                self.with_session(session, |session, core| {
                    session.reject(core, at, code, &headers)
                });
            }
            Command::Challenge { session, headers } => {
                self.with_session(session, |session, core| {
                    session.challenge(core, at, &headers)
                });
            }
            Command::End { session, reason } => {
                self.with_session(session, |session, core| session.end(core, at, reason));
            }
            Command::AnswerOffer { session, sdp } => {
                self.with_session(session, |session, core| {
                    session.answer_offer(core, at, &sdp)
                });
            }
            Command::RefuseOffer {
                session,
                code,
                headers,
            } => {
                self.with_session(session, |session, core| {
                    session.refuse_offer(core, at, code, &headers)
                });
            }
            Command::Offer { session, sdp } => {
                self.with_session(session, |session, core| session.offer(core, at, sdp));
            }
            Command::Use { session, usage } => {
                self.with_session(session, |session, _| session.use_as(usage));
            }
            Command::Probe { session } => {
                self.with_session(session, |session, core| session.probe(core, at));
            }
            Command::Reply { id, code, headers } => {
                outside::reply(&mut self.core, at, id, code, &headers)
            }
            Command::Request(request) => self.request(at, *request, None),
            Command::RequestBy { request, large } => self.request(at, *request, large),
            Command::OffersStream { session, large } => {
                self.with_session(session, |session, _| session.offers_stream(large));
            }
            Command::Routed { id, flows } => self.with_resolving(id, |session, core| {
                session.routed(core, at, Some(id), &flows);
            }),
            Command::Resolved { id, addresses } => self.with_resolving(id, |session, core| {
                session.resolved(core, at, Some(id), &addresses);
            }),
            command => self.handle_referral(at, command),
        }
        self.settle(now);
    }

    /// A request outside a session was replied to with a challenge: nothing is kept of it. Sent again it is challenged anew, so a flood of forged ones
    /// costs no memory.
    pub fn forget_request(&mut self, id: RequestId) {
        self.core.layer.forget(ServerId(id.0));
    }

    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        self.core.layer.handle_timeout(now.mono);
        while let Some(id) = self.deadlines.take_due(&mut self.sessions, now.mono) {
            self.with_session(id, |session, core| session.handle_timeout(core, now.mono));
        }
        self.settle(now);
    }

    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        self.core.layer.poll_transmit()
    }

    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        self.core.events.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        match (self.core.layer.poll_timeout(), self.deadlines.next()) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        }
    }

    /// Transactions, dialogs and sessions alive now: for tests and metrics.
    pub fn census(&self) -> Census {
        let count = self.core.layer.count();
        Census {
            transactions: count.active,
            lingering: count.lingering,
            dialogs: self
                .sessions
                .values()
                .map(|session| session.dialogs())
                .sum(),
            sessions: self.sessions.len(),
        }
    }

    /// The bytes that lingering transactions hold.
    pub fn lingering_bytes(&self) -> usize {
        self.core.layer.count().lingering_bytes
    }

    /// The messages dropped so far.
    pub fn drops(&self) -> Drops {
        self.drops
    }

    fn request(&mut self, now: Mono, request: Request, large: Option<Flow>) {
        let id = request.id;
        let outside = Outside::start(&mut self.core, now, request, large);
        self.requests.insert(id, Box::new(outside));
    }

    fn dial(&mut self, now: Mono, invite: Invite, places: Option<Further>) {
        let session = Session::dial(&mut self.core, now, invite, places);
        self.add_session(session);
    }

    fn add_session(&mut self, session: Session) {
        let (id, tag) = (session.id, session.local_tag);
        let mut session = Box::new(session);
        self.deadlines.arm(id, &mut session);
        file(&mut self.on, &mut session);
        self.sessions.insert(id, session);
        // A stray's tag is that of the session that its INVITE belongs to.
        self.tags.entry(tag).or_insert(id);
    }

    /// Does something with the session that waits for a look-up, if it still does.
    fn with_resolving(&mut self, id: u64, act: impl FnOnce(&mut Session, &mut Core)) {
        if let Some(session) = self.core.resolving.remove(&id) {
            self.with_session(session, |session, core| {
                act(session, core);
                Fate::Alive
            });
        }
    }

    /// Does something with a session; false when it is gone.
    fn with_session(
        &mut self,
        id: SessionId,
        act: impl FnOnce(&mut Session, &mut Core) -> Fate,
    ) -> bool {
        let Some(session) = self.sessions.get_mut(&id) else {
            return false;
        };
        match act(session, &mut self.core) {
            Fate::Alive => {
                self.deadlines.arm(id, session);
                file(&mut self.on, session);
            }
            Fate::Gone => self.remove_session(id),
        }
        true
    }

    fn remove_session(&mut self, id: SessionId) {
        let Some(mut session) = self.sessions.remove(&id) else {
            return;
        };
        self.deadlines.disarm(&mut session);
        for connection in &session.filed {
            self.on.remove(*connection, &id);
        }
        for look_up in session.resolving() {
            self.core.resolving.remove(&look_up);
        }
        if self.tags.get(&session.local_tag) == Some(&id) {
            self.tags.remove(&session.local_tag);
        }
        if self.sessions.is_empty() && self.sessions.capacity() > 1024 {
            self.sessions.shrink_to(0);
            self.tags.shrink_to(0);
        }
    }
}

/// Notes on which connections a session is now.
fn file(on: &mut Filed<ConnectionId, SessionId>, session: &mut Session) {
    let connections = session.connections();
    if connections == session.filed {
        return;
    }
    for old in &session.filed {
        on.remove(*old, &session.id);
    }
    for new in &connections {
        on.insert(*new, session.id);
    }
    session.filed = connections;
}

/// How much the endpoint holds.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Census {
    /// Client and server transactions that are not lingering for retransmissions only.
    pub transactions: usize,
    /// Transactions that linger to absorb retransmissions.
    pub lingering: usize,
    /// Dialogs, early and confirmed.
    pub dialogs: usize,
    /// Sessions (INVITE usages).
    pub sessions: usize,
}
