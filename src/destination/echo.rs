//! Echo: the caller hears himself until he hangs up.

use super::{Next, Stage};
use crate::call::media::MediaAct;
use crate::call::state::State;
use crate::ledger::clock::Now;
use crate::ledger::id::LegId;

/// A caller who hears himself.
#[derive(Debug)]
pub(crate) struct Echo {
    leg: LegId,
}

impl Echo {
    pub(super) fn enter(state: &mut State, now: Now) -> (Stage, Next) {
        let Some(leg) = state.guest else {
            return (Stage::Nowhere, Next::fault());
        };
        // He must be heard, so early media is not enough.
        state.connect(now);
        state.stop_playing(leg);
        state.echoed = true;
        state.media(MediaAct::Echo { leg });
        (Stage::Echo(Echo { leg }), Next::Stay)
    }

    pub(super) fn leave(self, state: &mut State) {
        if state.leg(self.leg).is_some() {
            state.media(MediaAct::Leave { leg: self.leg });
        }
    }
}
