//! The desk: the one owner of all operators' states, of each hunt's line of waiting calls, and of every claim of an operator by a call.
//!
//! What a call asks is a [`request::Request`]; the answer comes later as a [`notice::Notice`] for that call. The desk never sends SIP:
//! a claim tells the call to ring, and the call reports how it went.

pub mod notice;
pub mod request;

use std::time::Duration;

use self::notice::{Notice, OperatorState, Phone};
use self::request::Request;
use crate::ledger::clock::Mono;
use crate::ledger::id::{CallId, Name};

/// The desk. After each `handle*`, `configure` or `set_phones`, drain `poll_notice`, then ask `poll_timeout`.
#[derive(Debug, Default)]
pub struct Desk {}

impl Desk {
    /// The operators of a (new) plan with their wrap-up times. Operators that are gone finish what they are in.
    pub fn configure(
        &mut self,
        _now: Mono,
        _operators: impl IntoIterator<Item = (Name, Duration)>,
    ) {
        todo!()
    }
    /// An operator's reachable phones now: registered bindings, or the fixed contact. Empty: offline.
    pub fn set_phones(&mut self, _now: Mono, _operator: &Name, _phones: Vec<Phone>) {
        todo!()
    }
    /// The operator sets himself away or back.
    pub fn set_away(&mut self, _now: Mono, _operator: &Name, _away: bool) {
        todo!()
    }
    /// A call asks.
    pub fn handle(&mut self, _now: Mono, _request: Request) {
        todo!()
    }
    /// `poll_timeout` has passed: ring turns and wrap-ups that end.
    pub fn handle_timeout(&mut self, _now: Mono) {
        todo!()
    }
    /// What to tell next.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        todo!()
    }
    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        todo!()
    }
    /// An operator's state and the call he is in; `None` for an unknown operator.
    pub fn state(&self, _operator: &Name) -> Option<(OperatorState, Option<CallId>)> {
        todo!()
    }
    /// Waiting calls and claims alive: both 0 when no call is.
    pub fn census(&self) -> (usize, usize) {
        todo!()
    }
}
