//! A call's state machine: its legs, its bridges, its lifecycle, and the destinations that drive it.
//!
//! Inputs ([`input::Input`]) come with `now`; what follows from them is drained as outputs ([`output::Output`]).
//! No SIP message, socket or packet is seen here: legs are addressed by id.
//!
//! One leg of a call is its **guest**: the one that destinations serve. It is the leg of the calling side until a transfer
//! hands the outside party of an outbound call on. A **person** is the leg that the guest talks with. The call ends with its guest.

mod account;
mod codecs;
pub(crate) mod conversation;
pub(crate) mod features;
pub mod input;
pub(crate) mod keys;
pub(crate) mod leg;
pub(crate) mod legs;
mod lifecycle;
pub mod media;
pub mod output;
mod passing;
mod protection;
pub mod shown;
mod signals;
mod sound;
pub(crate) mod state;
mod supervising;
#[cfg(test)]
mod tests;
pub(crate) mod timer;

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;

use self::input::Input;
use self::output::{Output, Seat, Target};
use self::state::State;
use crate::destination::Stage;
use crate::dialplan::features::Supervision;
use crate::dialplan::number::E164;
use crate::dialplan::plan::{Destination, Plan};
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
    /// It takes a seat in a running call instead of going where the entry leads (pick-up, a parked call, Replaces).
    pub join: Option<(CallId, Seat)>,
    /// The caller acknowledges provisional responses (RFC 3262): without an offer in the INVITE, ours may stand in one.
    pub reliable: bool,
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
pub struct Call {
    state: State,
    stage: Stage,
    /// What to do when the guest is there.
    first: Option<First>,
    is_over: bool,
}

/// What a call begins with.
#[derive(Debug)]
enum First {
    /// A destination.
    Go(Destination),
    /// An outside number.
    Dial {
        number: E164,
        trunks: Vec<Name>,
        caller_id: Option<E164>,
    },
    /// Another call.
    Join(CallId, Seat),
}

impl Call {
    /// A call that came in.
    pub fn incoming(now: Now, plan: Arc<Plan>, arrival: Arrival, entropy: Entropy) -> Call {
        let state = State::incoming(now, plan, &arrival, entropy);
        let mut call = Call::new(state);
        call.begin_incoming(now, arrival);
        call
    }

    /// A call that begins without a leg (API): rings `operator`'s phones, then dials `entry` (an `Entry::Outbound` or `Entry::Operator`) for him.
    pub fn originate(
        now: Now,
        plan: Arc<Plan>,
        call: CallId,
        operator: Name,
        dialled: String,
        entry: Entry,
        entropy: Entropy,
    ) -> Call {
        let state = State::originated(now, plan, call, &operator, dialled, &entry, entropy);
        let mut call = Call::new(state);
        call.begin_originated(now, &operator, entry);
        call
    }

    /// A call that begins without a leg (API): rings `supervisor`'s phones, then he supervises the call `into`.
    pub fn supervise(
        now: Now,
        plan: Arc<Plan>,
        call: CallId,
        supervisor: Name,
        into: CallId,
        mode: Supervision,
        entropy: Entropy,
    ) -> Call {
        let dialled = mode.as_str().to_owned();
        let entry = Entry::Unknown;
        let state = State::originated(now, plan, call, &supervisor, dialled, &entry, entropy);
        let mut call = Call::new(state);
        call.begin_joining(now, &supervisor, into, Seat::Supervisor(mode));
        call
    }

    fn new(state: State) -> Call {
        Call {
            state,
            stage: Stage::Opening,
            first: None,
            is_over: false,
        }
    }

    /// Something happened.
    pub fn handle(&mut self, now: Now, input: Input) {
        if self.is_over {
            return;
        }
        match input {
            Input::Leg(leg, event) => self.on_leg(now, leg, event),
            Input::Media(leg, event) => self.on_media(now, leg, event),
            Input::Desk(notice) => self.on_notice(now, notice),
            Input::Command(command) => self.on_command(now, command),
        }
        self.refresh_supervisors(now);
    }

    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Now) {
        while !self.is_over {
            let Some(timer) = self.state.timers.expire(now.mono) else {
                return;
            };
            self.on_timer(now, timer);
            self.refresh_supervisors(now);
        }
    }

    /// What to do next.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.state.out.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.state.timers.next()
    }

    /// The record so far.
    pub fn record(&self) -> &CallRecord {
        &self.state.record
    }

    /// Whom an outgoing leg will ring, known before its media port is asked for: the switch may choose the advertised
    /// address by it (a phone behind NAT is reached through its binding's flow, whatever its contact says).
    pub fn target(&self, leg: LegId) -> Option<&Target> {
        let dialling = self.state.leg(leg)?.dialling.as_ref()?;
        Some(&dialling.target)
    }
}
