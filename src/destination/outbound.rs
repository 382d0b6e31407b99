//! An operator's call to the outside, over trunks in order of preference.

use std::time::Duration;

use super::dial_out::{DialOut, Outcome};
use super::{Ending, Happening, Leaving, Next, Stage};
use crate::call::state::State;
use crate::dialplan::number::E164;
use crate::ledger::cause::{Cause, Direction};
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// An outside number that an operator calls.
#[derive(Debug)]
pub(crate) struct Outbound {
    dial: DialOut,
}

/// How long an outside number may ring: the caller ends it before.
const LIMIT: Duration = Duration::from_secs(180);

impl Outbound {
    /// Dials `number`.
    pub(crate) fn enter(
        state: &mut State,
        now: Now,
        number: &E164,
        trunks: Vec<Name>,
        caller_id: Option<E164>,
    ) -> (Stage, Next) {
        state.wait_sound(now, None);
        // A call that came in and is passed on keeps the trunk that it came over.
        let is_outbound = state.record.direction == Direction::Outbound;
        if is_outbound {
            state.record.trunk = trunks.first().cloned();
        }
        let mut dial = DialOut {
            number: number.as_str().to_owned(),
            trunks: trunks.into(),
            caller_id: caller_id.map(|number| number.as_str().to_owned()),
            limit: LIMIT,
            from: None,
            side: state.far_side(),
            leg: None,
            until: None,
        };
        let next = if dial.dial(state, now) {
            Next::Stay
        } else {
            Next::End(Ending {
                failed: Some(Cause::Unreachable),
                far: None,
            })
        };
        (Stage::Outbound(Outbound { dial }), next)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        let before = self.dial.leg;
        let outcome = self.dial.handle(state, now, what);
        let is_outbound = state.record.direction == Direction::Outbound;
        if is_outbound && self.dial.leg != before {
            let leg = self.dial.leg.and_then(|leg| state.leg(leg));
            if let Some(trunk) = leg.and_then(|leg| leg.record.trunk.clone()) {
                state.record.trunk = Some(trunk);
            }
        }
        match outcome {
            Outcome::Stay => Next::Stay,
            Outcome::Person(leg) => Next::Person(leg),
            Outcome::Failed(cause, far) => Next::End(Ending {
                failed: Some(cause),
                far,
            }),
        }
    }

    pub(super) fn leave(self, state: &mut State, now: Now, how: Leaving) {
        self.dial.leave(state, now, how);
    }
}
