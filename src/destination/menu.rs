//! A menu: plays its prompt, waits for one key, and goes where the key leads.

use super::{Happening, Next, Stage, missing};
use crate::call::media::PlayMode;
use crate::call::state::State;
use crate::call::timer::Timer;
use crate::dialplan::plan::{self, Destination};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// A menu that a caller is in.
#[derive(Debug)]
pub(crate) struct Menu {
    name: Name,
    /// How often the prompt has been begun.
    attempts: u32,
    /// Of the prompt, while it plays.
    prompt: u64,
}

impl Menu {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        if !state.plan.menus.contains_key(name) {
            return missing(state, now, "menu", name);
        }
        let mut menu = Menu {
            name: name.clone(),
            attempts: 0,
            prompt: 0,
        };
        state.need_voice(now);
        let next = menu.attempt(state);
        (Stage::Menu(menu), next)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match what {
            Happening::Key(key) => self.key(state, now, key),
            Happening::Played(token) if token == self.prompt => {
                state.greeted = true;
                if let Some(timeout) = self.settings(state).map(|menu| menu.timeout) {
                    state.timers.set(Timer::Key, now.mono + timeout);
                }
                Next::Stay
            }
            Happening::Timer(Timer::Key) => {
                state.note(now, "No key was pressed in time");
                self.attempt(state)
            }
            _ => Next::Stay,
        }
    }

    fn key(&mut self, state: &mut State, now: Now, key: char) -> Next {
        state.greeted = true;
        state.timers.stop(Timer::Key);
        let choice = self
            .settings(state)
            .and_then(|menu| menu.keys.get(&key))
            .cloned();
        match choice {
            Some(to) => {
                state.note(now, format!("Key {key}: {to}"));
                state.stop_guest();
                // Whoever chooses the end got what he wanted.
                state.informed |= to == Destination::Hangup;
                Next::Go { to, failed: None }
            }
            None => {
                state.note(now, format!("Key {key} leads nowhere"));
                self.attempt(state)
            }
        }
    }

    /// Plays the prompt once more, or gives up.
    fn attempt(&mut self, state: &mut State) -> Next {
        let Some(menu) = self.settings(state) else {
            return Next::fault();
        };
        let (prompt, otherwise) = (menu.prompt.clone(), menu.otherwise.clone());
        if self.attempts >= menu.attempts.max(1) {
            state.stop_guest();
            return Next::Go {
                to: otherwise,
                failed: Some(Cause::NoChoice),
            };
        }
        self.attempts += 1;
        let Some(guest) = state.guest else {
            return Next::fault();
        };
        self.prompt = state.play(guest, prompt, PlayMode::Once);
        Next::Stay
    }

    fn settings<'a>(&self, state: &'a State) -> Option<&'a plan::Menu> {
        state.plan.menus.get(&self.name)
    }
}
