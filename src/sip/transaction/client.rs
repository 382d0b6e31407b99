//! One client transaction (RFC 3261 §17.1, RFC 6026 §8.4).

use std::time::Duration;

use bytes::Bytes;

use super::layer::{Outcome, Output};
use super::timer::{Table, Timed, Timer};
use super::{ClientId, Failure, T1, T1_64, T2, T4, User, derive};
use crate::ledger::clock::Mono;
use crate::ledger::wheel::Ticket;
use crate::sip::endpoint::Flow;
use crate::sip::wire::{Message, Method};

/// One client transaction.
#[derive(Debug)]
pub(super) struct Client {
    /// For whom.
    pub(super) user: User,
    /// Where the request went.
    pub(super) flow: Flow,
    method: Method,
    state: State,
    timers: Table<{ Timer::COUNT }>,
    armed: Option<Ticket>,
    interval: Duration,
    /// Whether it was sent again because its connection closed.
    again: Again,
    /// Until the final response.
    request: Bytes,
    /// The ACKs that a repeated final response brings out again.
    acks: Vec<Ack>,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum State {
    /// No response yet: the RFC's Calling and Trying.
    Calling,
    Proceeding,
    Completed,
    Accepted,
}

/// A request is sent on a new connection once, when the one that it was sent on closes.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Again {
    Never,
    Now,
    Once,
}

#[derive(Debug)]
struct Ack {
    /// The To tag of the 2xx; empty for the ACK to a refusal.
    tag: Box<str>,
    /// `None`: not made yet (its next hop is being resolved).
    sent: Option<(Flow, Bytes)>,
}

impl Client {
    pub(super) fn start(
        now: Mono,
        method: Method,
        flow: Flow,
        user: User,
        request: Bytes,
        out: &mut Output,
    ) -> Client {
        let mut client = Client {
            user,
            flow,
            method,
            state: State::Calling,
            timers: Table::default(),
            armed: None,
            interval: T1,
            again: Again::Never,
            request,
            acks: Vec::new(),
        };
        let (resend, give_up) = client.resend_timers();
        if !flow.transport.is_reliable() {
            client.timers.set(resend as usize, now + T1);
        }
        client.timers.set(give_up as usize, now + T1_64);
        out.transmit(flow, client.request.clone());
        client
    }

    /// The method of its request.
    pub(super) fn method(&self) -> Method {
        self.method
    }

    /// Whether its request has this Request-URI, while it awaits the final response.
    pub(super) fn is_for(&self, uri: &str) -> bool {
        let mut words = self.request.split(|byte| *byte == b' ');
        words.nth(1) == Some(uri.as_bytes())
    }

    /// Whether it only absorbs retransmissions.
    pub(super) fn is_lingering(&self) -> bool {
        matches!(self.state, State::Completed | State::Accepted)
    }

    /// Its connection closed: sends the request once more; false: it was already.
    pub(super) fn send_again(&mut self, out: &mut Output) -> bool {
        if self.again != Again::Never {
            return false;
        }
        self.again = Again::Now;
        out.transmit(self.flow, self.request.clone());
        true
    }

    /// Whether the closed connection is to be overlooked this time.
    pub(super) fn is_on_its_way_again(&self) -> bool {
        self.again == Again::Now
    }

    /// From now on a closed connection counts.
    pub(super) fn arrived_again(&mut self) {
        if self.again == Again::Now {
            self.again = Again::Once;
        }
    }

    /// Whether no response at all has come yet.
    pub(super) fn is_unanswered(&self) -> bool {
        self.state == State::Calling
    }

    /// The bytes it holds beside the struct: for the budget of lingering transactions.
    pub(super) fn heap_bytes(&self) -> usize {
        let acks = self.acks.iter().map(|ack| {
            size_of::<Ack>() + ack.tag.len() + ack.sent.as_ref().map_or(0, |(_, bytes)| bytes.len())
        });
        self.request.len() + acks.sum::<usize>()
    }

    pub(super) fn receive(&mut self, now: Mono, id: ClientId, response: Message, out: &mut Output) {
        let pass = match self.method {
            Method::Invite => self.receive_invite(now, &response, out),
            _ => self.receive_other(now, response.status()),
        };
        if pass {
            out.outcomes.push_back(Outcome::Response {
                client: id,
                user: self.user,
                message: response,
            });
        }
    }

    fn receive_invite(&mut self, now: Mono, response: &Message, out: &mut Output) -> bool {
        let status = response.status();
        match (self.state, status) {
            (State::Calling | State::Proceeding, 100..200) => {
                self.state = State::Proceeding;
                self.timers.clear();
                true
            }
            (State::Calling | State::Proceeding, 200..300) => {
                self.linger(now, State::Accepted, Timer::M, T1_64);
                self.note_tag(response)
            }
            (State::Calling | State::Proceeding, _) => {
                // Our own request, so it parses.
                let ack = Message::parse(self.request.clone())
                    .ok()
                    .map(|invite| derive::ack(&invite, response));
                self.linger(now, State::Completed, Timer::D, self.absorbing(T1_64));
                if let Some(ack) = ack {
                    out.transmit(self.flow, ack.clone());
                    self.acks.push(Ack {
                        tag: "".into(),
                        sent: Some((self.flow, compact(ack))),
                    });
                }
                true
            }
            (State::Completed, 300..) => {
                self.repeat_ack("", out);
                false
            }
            (State::Accepted, 200..300) => {
                let tag = response.to_tag().unwrap_or("");
                if self.acks.iter().any(|ack| *ack.tag == *tag) {
                    self.repeat_ack(tag, out);
                    false
                } else {
                    self.note_tag(response)
                }
            }
            (State::Completed | State::Accepted, _) => false,
        }
    }

    fn receive_other(&mut self, now: Mono, status: u16) -> bool {
        match (self.state, status) {
            (State::Calling | State::Proceeding, 100..200) => {
                self.state = State::Proceeding;
                self.interval = T2;
                true
            }
            (State::Calling | State::Proceeding, _) => {
                self.linger(now, State::Completed, Timer::K, self.absorbing(T4));
                true
            }
            (State::Completed | State::Accepted, _) => false,
        }
    }

    /// Remembers a 2xx by its To tag; false when there are too many of them.
    fn note_tag(&mut self, response: &Message) -> bool {
        if self.acks.len() >= MAX_BRANCHES {
            return false;
        }
        self.acks.push(Ack {
            tag: response.to_tag().unwrap_or("").into(),
            sent: None,
        });
        true
    }

    /// Sends the ACK to a 2xx, now and whenever that 2xx comes again.
    pub(super) fn acknowledge(&mut self, tag: &str, flow: Flow, ack: Bytes, out: &mut Output) {
        out.transmit(flow, ack.clone());
        if let Some(entry) = self.acks.iter_mut().find(|entry| *entry.tag == *tag) {
            entry.sent = Some((flow, compact(ack)));
        }
    }

    /// No more retransmissions of the request; a late response is still taken.
    pub(super) fn hush(&mut self) {
        self.timers.stop(Timer::A as usize);
        self.timers.stop(Timer::E as usize);
    }

    /// Waits for the final response no longer than 64·T1 from now.
    pub(super) fn limit(&mut self, now: Mono) {
        if self.method == Method::Invite && !self.is_lingering() {
            self.timers.set(Timer::B as usize, now + T1_64);
        }
    }

    /// The CANCEL, when the INVITE is still without a final response.
    pub(super) fn cancel(&self, reason: Option<&str>) -> Option<Bytes> {
        if self.is_lingering() {
            return None;
        }
        let invite = Message::parse(self.request.clone()).ok()?;
        Some(derive::cancel(&invite, reason))
    }

    /// Fires what is due; false when the transaction is over.
    pub(super) fn expire(&mut self, now: Mono, id: ClientId, out: &mut Output) -> bool {
        while let Some(place) = self.timers.take_due(now) {
            match Timer::ALL[place] {
                timer @ (Timer::A | Timer::E) => {
                    out.transmit(self.flow, self.request.clone());
                    self.interval *= 2;
                    if timer == Timer::E {
                        self.interval = self.interval.min(T2);
                    }
                    self.timers.set(place, now + self.interval);
                }
                Timer::B | Timer::F => {
                    self.fail(id, Failure::Timeout, out);
                    return false;
                }
                _ => return false,
            }
        }
        true
    }

    /// Reports that no final response will come.
    pub(super) fn fail(&self, id: ClientId, how: Failure, out: &mut Output) {
        out.outcomes.push_back(Outcome::Failed {
            client: id,
            user: self.user,
            how,
        });
    }

    fn repeat_ack(&self, tag: &str, out: &mut Output) {
        if let Some((flow, ack)) = self
            .acks
            .iter()
            .find(|ack| *ack.tag == *tag)
            .and_then(|ack| ack.sent.as_ref())
        {
            out.transmit(*flow, ack.clone());
        }
    }

    fn linger(&mut self, now: Mono, state: State, timer: Timer, time: Duration) {
        self.state = state;
        self.request = Bytes::new();
        self.timers.clear();
        self.timers.set(timer as usize, now + time);
    }

    /// How long repeated messages are waited for.
    fn absorbing(&self, time: Duration) -> Duration {
        if self.flow.transport.is_reliable() {
            Duration::ZERO
        } else {
            time
        }
    }

    fn resend_timers(&self) -> (Timer, Timer) {
        match self.method {
            Method::Invite => (Timer::A, Timer::B),
            _ => (Timer::E, Timer::F),
        }
    }
}

impl Timed for Client {
    fn next_deadline(&self) -> Option<Mono> {
        self.timers.next()
    }
    fn armed(&mut self) -> &mut Option<Ticket> {
        &mut self.armed
    }
}

/// The same bytes without spare capacity behind them, for what is kept for half a minute.
pub(super) fn compact(bytes: Bytes) -> Bytes {
    Bytes::copy_from_slice(&bytes)
}

/// How many 2xx of different branches one INVITE may bring; more are an attack.
const MAX_BRANCHES: usize = 16;
