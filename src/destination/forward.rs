//! A forward: an outside number over its trunk. Its 180 and, as the only one that rings, its early media reach the caller.

use super::dial_out::{DialOut, Outcome};
use super::{Ending, Happening, Leaving, Next, Stage, missing};
use crate::call::state::State;
use crate::dialplan::plan::Destination;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// A forward being dialled.
#[derive(Debug)]
pub(crate) struct Forward {
    otherwise: Option<Destination>,
    dial: DialOut,
}

impl Forward {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        let Some(settings) = state.plan.forwards.get(name).cloned() else {
            return missing(state, now, "forward", name);
        };
        state.wait_sound(now, None);
        let mut dial = DialOut {
            number: settings.to.as_str().to_owned(),
            trunks: [settings.trunk].into(),
            caller_id: None,
            limit: settings.ring,
            from: Some(Destination::Forward(name.clone())),
            side: state.far_side(),
            leg: None,
            until: None,
        };
        dial.dial(state, now);
        let forward = Forward {
            otherwise: settings.otherwise,
            dial,
        };
        (Stage::Forward(forward), Next::Stay)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match self.dial.handle(state, now, what) {
            Outcome::Stay => Next::Stay,
            Outcome::Person(leg) => Next::Person(leg),
            Outcome::Failed(cause, far) => match &self.otherwise {
                Some(to) => Next::Go {
                    to: to.clone(),
                    failed: Some(cause),
                },
                None => Next::End(Ending {
                    failed: Some(cause),
                    far,
                }),
            },
        }
    }

    pub(super) fn leave(self, state: &mut State, now: Now, how: Leaving) {
        self.dial.leave(state, now, how);
    }
}
