//! One server transaction (RFC 3261 §17.2, RFC 6026 §8.5).

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::client::compact;
use super::layer::{Outcome, Output};
use super::timer::{Table, Timed, Timer};
use super::{ServerId, T1, T1_64, T2, T4, via};
use crate::ledger::clock::Mono;
use crate::ledger::wheel::Ticket;
use crate::sip::endpoint::{ConnectionId, Flow, SessionId};
use crate::sip::wire::{Message, Method, Name};

/// One server transaction.
#[derive(Debug)]
pub(super) struct Server {
    /// The session it belongs to, once known.
    pub(super) session: Option<SessionId>,
    /// Where the request came from and its responses go.
    pub(super) flow: Flow,
    /// What its request is matched by.
    pub(super) key: Arc<str>,
    /// What merged copies of it have in common; `None` for requests within a dialog.
    pub(super) merge: Option<u64>,
    invite: bool,
    /// Where the sender listens, by its Via.
    reply_port: u16,
    state: State,
    timers: Table<{ Timer::COUNT }>,
    armed: Option<Ticket>,
    interval: Duration,
    /// A refusal is not sent again of our own accord.
    once: bool,
    /// Until the final response.
    pub(super) request: Option<Message>,
    /// What a repeated request brings out again.
    response: Option<Bytes>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// No final response yet: the RFC's Trying and Proceeding.
    Proceeding,
    /// A final response was sent (to an INVITE: a refusal that awaits its ACK).
    Completed,
    /// The refusal was acknowledged.
    Confirmed,
    /// A 2xx to an INVITE was sent.
    Accepted,
}

impl Server {
    pub(super) fn new(
        now: Mono,
        flow: Flow,
        key: Arc<str>,
        merge: Option<u64>,
        request: Message,
    ) -> Server {
        let invite = request.method() == Method::Invite;
        let mut timers = Table::default();
        if !invite {
            // Nobody answers within 64·T1: then the client has given up as well.
            timers.set(Timer::J as usize, now + T1_64);
        }
        Server {
            session: None,
            flow,
            key,
            merge,
            invite,
            reply_port: via::sent_by_port(request.header(Name::Via).unwrap_or(""))
                .unwrap_or(flow.transport.default_port()),
            state: State::Proceeding,
            timers,
            armed: None,
            interval: T1,
            once: false,
            request: Some(request),
            response: None,
        }
    }

    /// Whether it only absorbs retransmissions.
    pub(super) fn is_lingering(&self) -> bool {
        match self.state {
            State::Proceeding => false,
            State::Completed => !self.invite,
            State::Confirmed => true,
            State::Accepted => self.response.is_none(),
        }
    }

    /// Whether a copy of its request that took another way must be refused.
    pub(super) fn refuses_copies(&self) -> bool {
        self.invite || self.state == State::Proceeding
    }

    /// The bytes it holds beside the struct: for the budget of lingering transactions.
    pub(super) fn heap_bytes(&self) -> usize {
        self.key.len()
            + self.response.as_ref().map_or(0, Bytes::len)
            + self
                .request
                .as_ref()
                .map_or(0, |request| request.bytes().len())
    }

    /// Its flow closed: responses go to the sent-by of its Via at the address it came from (RFC 3261 §18.2.2). Who opened a WebSocket listens nowhere.
    pub(super) fn leave(&mut self, closed: &Flow) {
        let flow = self.flow;
        // One that we opened opens again.
        if !flow.connection.is_theirs() || flow.transport.is_web_socket() || !flow.is_cut_by(closed)
        {
            return;
        }
        self.flow = Flow {
            remote: SocketAddr::new(flow.remote.ip(), self.reply_port),
            connection: ConnectionId::NONE,
            ..flow
        };
    }

    /// The request came again.
    pub(super) fn repeat(&self, out: &mut Output) {
        if self.state != State::Accepted
            && let Some(response) = &self.response
        {
            out.transmit(self.flow, response.clone());
        }
    }

    /// An ACK that matches; true when it is for the user (it acknowledges a 2xx).
    pub(super) fn ack(&mut self, now: Mono) -> bool {
        match self.state {
            State::Completed if self.invite => {
                self.state = State::Confirmed;
                self.response = None;
                self.timers.clear();
                self.timers.set(Timer::I as usize, now + self.absorbing(T4));
                false
            }
            State::Accepted => true,
            _ => false,
        }
    }

    /// From now on speaks only when spoken to; the provisional response sent so far.
    pub(super) fn say_once(&mut self) -> Option<Bytes> {
        self.once = true;
        self.response.take()
    }

    pub(super) fn respond(&mut self, now: Mono, code: u16, response: Bytes, out: &mut Output) {
        if self.state != State::Proceeding {
            return;
        }
        out.transmit(self.flow, response.clone());
        if code < 200 {
            self.response = Some(response);
            return;
        }
        self.request = None;
        self.response = Some(compact(response));
        self.timers.clear();
        if !self.invite {
            self.state = State::Completed;
            self.timers
                .set(Timer::J as usize, now + self.absorbing(T1_64));
            return;
        }
        // A 2xx is repeated over any transport: the ACK comes end to end (RFC 3261 §13.3.1.4).
        if !self.once && (code < 300 || !self.flow.transport.is_reliable()) {
            self.timers.set(Timer::G as usize, now + T1);
        }
        self.timers.set(Timer::H as usize, now + T1_64);
        if code < 300 {
            self.state = State::Accepted;
            self.timers.set(Timer::L as usize, now + T1_64);
        } else {
            self.state = State::Completed;
        }
    }

    /// How long repeated messages are waited for.
    fn absorbing(&self, time: Duration) -> Duration {
        if self.flow.transport.is_reliable() {
            Duration::ZERO
        } else {
            time
        }
    }

    /// The 2xx was acknowledged, or nobody waits for that any more.
    pub(super) fn acknowledged(&mut self) {
        if self.state == State::Accepted {
            self.timers.stop(Timer::G as usize);
            self.timers.stop(Timer::H as usize);
            self.response = None;
        }
    }

    /// Fires what is due; false when the transaction is over.
    pub(super) fn expire(&mut self, now: Mono, id: ServerId, out: &mut Output) -> bool {
        while let Some(place) = self.timers.take_due(now) {
            match Timer::ALL[place] {
                Timer::G => {
                    if let Some(response) = &self.response {
                        out.transmit(self.flow, response.clone());
                    }
                    self.interval = (self.interval * 2).min(T2);
                    self.timers.set(place, now + self.interval);
                }
                Timer::H if self.state == State::Accepted => {
                    self.acknowledged();
                    out.outcomes.push_back(Outcome::NoAck {
                        server: id,
                        session: self.session,
                    });
                }
                _ => return false,
            }
        }
        true
    }
}

impl Timed for Server {
    fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }
    fn armed(&mut self) -> &mut Option<Ticket> {
        &mut self.armed
    }
}
