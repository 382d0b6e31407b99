//! A call's state machine: its legs, its bridges, its lifecycle, and the destinations that drive it.
//!
//! Inputs ([`input::Input`]) come with `now`; what follows from them is drained as outputs ([`output::Output`]).
//! No SIP message, socket or packet is seen here: legs are addressed by id.

pub mod input;
pub mod media;
pub mod output;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use self::input::Input;
use self::output::Output;
use crate::dialplan::plan::Plan;
use crate::dialplan::routing::Entry;
use crate::ledger::call::CallRecord;
use crate::ledger::cause::Cause;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{CallId, LegId, Name};

/// A call that came in: its first leg exists (INVITE received, 100 sent, source identified, caller allowed).
#[derive(Clone, Debug)]
pub struct Arrival {
    /// The call's id.
    pub call: CallId,
    /// The caller's leg.
    pub leg: LegId,
    /// Who calls.
    pub source: Source,
    /// The calling number (E.164 where it is one) or the operator's name; `None`: withheld.
    pub caller: Option<String>,
    /// The caller's display name.
    pub display_name: Option<String>,
    /// What was dialled, for the record.
    pub dialled: String,
    /// What that means in the plan.
    pub entry: Entry,
    /// The INVITE's offer, if it had one.
    pub offer: Option<Bytes>,
    /// The INVITE's Max-Forwards.
    pub max_forwards: u8,
    /// The INVITE's Call-ID.
    pub sip_call_id: String,
    /// The far side's signalling address.
    pub peer: IpAddr,
    /// The call must be refused at once for this cause (overload, draining); it is accounted all the same.
    pub refuse: Option<Cause>,
}

/// Who calls.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// A trunk.
    Trunk(Name),
    /// An operator's phone.
    Operator(Name),
}

/// One call. After each `handle*`, drain `poll_output` until it is empty, then ask `poll_timeout`.
#[derive(Debug)]
pub struct Call {}

impl Call {
    /// A call that came in.
    pub fn incoming(_now: Now, _plan: Arc<Plan>, _arrival: Arrival, _entropy: Entropy) -> Call {
        todo!("call helper")
    }
    /// A call that begins without a leg (API): rings `operator`'s phones, then dials `entry` (an `Entry::Outbound` or `Entry::Operator`) for him.
    pub fn originate(
        _now: Now,
        _plan: Arc<Plan>,
        _call: CallId,
        _operator: Name,
        _dialled: String,
        _entry: Entry,
        _entropy: Entropy,
    ) -> Call {
        todo!("call helper")
    }
    /// Something happened.
    pub fn handle(&mut self, _now: Now, _input: Input) {
        todo!()
    }
    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, _now: Now) {
        todo!()
    }
    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        todo!()
    }
    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        todo!()
    }
    /// The record so far.
    pub fn record(&self) -> &CallRecord {
        todo!()
    }
}
