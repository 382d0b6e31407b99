//! The endpoint: hand in messages, commands and the passing of time; then drain what to transmit, what happened, when to wake.
//!
//! After each `handle_*`, drain `poll_transmit` and `poll_event` until both are empty, then ask `poll_timeout`.

pub mod command;
pub mod event;

use bytes::Bytes;

use self::command::Command;
use self::event::Event;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::entropy::Entropy;

pub use self::event::{Flow, ListenerId, SessionId, Transport};

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
pub struct Endpoint {}

impl Endpoint {
    /// A new endpoint; `entropy` makes its tags, branches, Call-IDs and session ids.
    pub fn new(_settings: Settings, _entropy: Entropy) -> Endpoint {
        todo!()
    }
    /// A message came in on a flow.
    pub fn handle_message(&mut self, _now: Now, _flow: Flow, _bytes: Bytes) {
        todo!()
    }
    /// A flow can no longer be used.
    pub fn handle_flow_closed(&mut self, _now: Now, _flow: Flow) {
        todo!()
    }
    /// The layers above want something.
    pub fn handle_command(&mut self, _now: Now, _command: Command) {
        todo!()
    }
    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, _now: Now) {
        todo!()
    }
    /// What to send next.
    pub fn poll_transmit(&mut self) -> Option<Transmit> {
        todo!()
    }
    /// What happened next.
    pub fn poll_event(&mut self) -> Option<Event> {
        todo!()
    }
    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        todo!()
    }
    /// Transactions, dialogs and sessions alive now: for tests and metrics.
    pub fn census(&self) -> Census {
        todo!()
    }
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
