//! An announcement: plays its prompt to the end, then goes on.

use super::{Happening, Next, Stage, missing};
use crate::call::media::PlayMode;
use crate::call::state::State;
use crate::dialplan::plan::Destination;
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// An announcement that a caller hears.
#[derive(Debug)]
pub(crate) struct Announcement {
    prompt: u64,
    then: Destination,
}

impl Announcement {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        let Some(settings) = state.plan.announcements.get(name) else {
            return missing(state, now, "announcement", name);
        };
        let (prompt, then) = (settings.prompt.clone(), settings.then.clone());
        state.need_voice(now);
        let Some(guest) = state.guest else {
            return (Stage::Nowhere, Next::fault());
        };
        let prompt = state.play(guest, prompt, PlayMode::Once);
        // Who chose information has it from its first word.
        state.informed |= state.greeted && then == Destination::Hangup;
        (
            Stage::Announcement(Announcement { prompt, then }),
            Next::Stay,
        )
    }

    pub(super) fn handle(&mut self, state: &mut State, what: Happening) -> Next {
        if what != Happening::Played(self.prompt) {
            return Next::Stay;
        }
        state.greeted = true;
        state.informed |= self.then == Destination::Hangup;
        Next::Go {
            to: self.then.clone(),
            failed: None,
        }
    }

    /// An announcement seeks nobody, so an earlier failure counts. Without one, who leaves before the first prompt has ended
    /// was lost, and who leaves a later one on his way to people was lost between menu and hunt; who leaves information that he
    /// had chosen was not.
    pub(super) fn abandoned(&self, state: &State) -> Option<Cause> {
        let chose_information = state.greeted && self.then == Destination::Hangup;
        let cause = if state.greeted {
            Cause::AbandonedMenu
        } else {
            Cause::AbandonedGreeting
        };
        (state.failure.is_none() && !chose_information).then_some(cause)
    }
}
