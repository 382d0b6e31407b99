//! A parked call: it hears music until somebody dials its slot; after a while whoever parked it is rung.

use super::{Ending, Happening, Next, Stage};
use crate::call::media::PlayMode;
use crate::call::state::State;
use crate::call::timer::Timer;
use crate::dialplan::plan::Destination;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// A call that waits in a slot.
#[derive(Debug)]
pub(crate) struct Parked {
    slot: String,
    by: Option<Name>,
}

impl Parked {
    /// Parks the guest.
    pub(crate) fn enter(state: &mut State, now: Now, slot: String, by: Option<Name>) -> Stage {
        state.passed_through(now, &format!("park:{slot}"));
        state.need_voice(now);
        let music = state.plan.server.music.clone();
        if let (Some(guest), Some(music)) = (state.guest, music) {
            state.play(guest, music, PlayMode::Loop);
        }
        let limit = state.plan.features.park_timeout;
        state.timers.set(Timer::Park, now.mono + limit);
        Stage::Parked(Parked { slot, by })
    }

    /// Where.
    pub(crate) fn slot(&self) -> &str {
        &self.slot
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: &Happening) -> Next {
        if *what != Happening::Timer(Timer::Park) {
            return Next::Stay;
        }
        state.note(now, format!("Nobody has taken the call at {}", self.slot));
        match self.by.take() {
            Some(by) => Next::Go {
                to: Destination::Operator(by),
                failed: None,
            },
            None => Next::End(Ending::default()),
        }
    }
}
