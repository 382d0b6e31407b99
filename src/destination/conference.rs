//! A conference: its prompt, its pin, then the room with all others who are there.

use std::sync::Arc;
use std::time::Duration;

use super::{Ending, Happening, Next, Stage, missing};
use crate::call::media::{MediaAct, PlayMode};
use crate::call::state::State;
use crate::call::timer::Timer;
use crate::desk::notice::Notice;
use crate::desk::request::Request;
use crate::dialplan::dry_run::PIN_ATTEMPTS;
use crate::dialplan::plan;
use crate::ledger::clock::Now;
use crate::ledger::id::{BridgeId, Name, RecordingId};

/// A caller in a conference, or at its door.
#[derive(Debug)]
pub(crate) struct Conference {
    name: Name,
    /// Of the prompt, while it plays and there is no pin.
    prompt: Option<u64>,
    typed: String,
    /// Pins typed wrong, or not at all.
    failed: u32,
    bridge: Option<BridgeId>,
    /// What the conference's recording is if he is the first.
    brings: Option<RecordingId>,
}

impl Conference {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        if !state.plan.conferences.contains_key(name) {
            return missing(state, now, "conference", name);
        }
        let mut conference = Conference {
            name: name.clone(),
            prompt: None,
            typed: String::new(),
            failed: 0,
            bridge: None,
            brings: None,
        };
        // He must be heard, so early media is not enough.
        state.connect(now);
        state.stop_guest();
        state.informed = true;
        let next = conference.welcome(state, now);
        (Stage::Conference(conference), next)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match what {
            Happening::Played(token) if self.prompt == Some(token) => {
                self.prompt = None;
                self.ask_in(state, now)
            }
            Happening::Key(key) if self.bridge.is_none() => self.key(state, now, key),
            Happening::Timer(Timer::Key) => self.refuse(state, now),
            Happening::Notice(Notice::ConferenceEntered {
                bridge, recording, ..
            }) => {
                self.come_in(state, now, bridge);
                if let Some(recording) = recording {
                    state.share_recording(recording, self.brings == Some(recording));
                }
                Next::Stay
            }
            Happening::Notice(Notice::ConferenceFull { .. }) => {
                state.note(now, format!("conference:{} is full", self.name));
                Next::End(Ending::default())
            }
            _ => Next::Stay,
        }
    }

    pub(super) fn leave(self, state: &mut State) {
        let Some(bridge) = self.bridge else {
            return;
        };
        state.leave_guest_bridge();
        state.leave_shared_recording();
        let call = state.id;
        state.ask(Request::LeaveConference { call });
        self.tone(state, bridge, false);
    }

    /// Plays the prompt, if there is one; without a pin the caller comes in after it.
    fn welcome(&mut self, state: &mut State, now: Now) -> Next {
        let (prompt, asks) = match self.settings(state) {
            Some(settings) => (settings.prompt.clone(), settings.pin.is_some()),
            None => return Next::fault(),
        };
        let Some(guest) = state.guest else {
            return Next::fault();
        };
        let length = prompt.as_ref().map_or(0, |prompt| prompt.duration_ms());
        let playing = prompt.map(|prompt| state.play(guest, prompt, PlayMode::Once));
        if asks {
            let until = now.mono + Duration::from_millis(length) + FOR_THE_PIN;
            state.timers.set(Timer::Key, until);
            return Next::Stay;
        }
        match playing {
            Some(token) => {
                self.prompt = Some(token);
                Next::Stay
            }
            None => self.ask_in(state, now),
        }
    }

    fn key(&mut self, state: &mut State, now: Now, key: char) -> Next {
        let Some(pin) = self
            .settings(state)
            .and_then(|settings| settings.pin.clone())
        else {
            return Next::Stay;
        };
        if key.is_ascii_digit() {
            state.stop_guest();
            self.typed.push(key);
            state.timers.set(Timer::Key, now.mono + FOR_THE_PIN);
        }
        if self.typed == pin {
            state.timers.stop(Timer::Key);
            return self.ask_in(state, now);
        }
        if key == '#' || self.typed.len() >= pin.len() {
            return self.refuse(state, now);
        }
        Next::Stay
    }

    fn refuse(&mut self, state: &mut State, now: Now) -> Next {
        if self.bridge.is_some() {
            return Next::Stay;
        }
        self.failed += 1;
        self.typed.clear();
        state.timers.stop(Timer::Key);
        state.note(now, "A wrong pin, or none");
        if self.failed >= PIN_ATTEMPTS {
            return Next::End(Ending::default());
        }
        self.welcome(state, now)
    }

    fn ask_in(&mut self, state: &mut State, now: Now) -> Next {
        let settings = self.settings(state);
        let Some((most, record)) = settings.map(|one| (one.max_members, one.record)) else {
            return Next::fault();
        };
        self.brings = record.then(|| RecordingId::new(now.wall, &mut state.entropy));
        let request = Request::EnterConference {
            call: state.id,
            conference: self.name.clone(),
            bridge: BridgeId::new(now.wall, &mut state.entropy),
            recording: self.brings,
            most,
        };
        state.ask(request);
        Next::Stay
    }

    fn come_in(&mut self, state: &mut State, now: Now, bridge: BridgeId) {
        let Some(guest) = state.guest else { return };
        state.stop_guest();
        // Whoever was among people was not missed.
        state.echoed = true;
        self.bridge = Some(bridge);
        state.note(now, format!("Is in conference:{}", self.name));
        state.enter_bridge(guest, bridge);
        self.tone(state, bridge, true);
    }

    fn tone(&self, state: &mut State, bridge: BridgeId, comes: bool) {
        let tones = self
            .settings(state)
            .and_then(|settings| settings.tones.as_ref());
        let clip = tones.map(|(coming, leaving)| Arc::clone(if comes { coming } else { leaving }));
        if let Some(clip) = clip {
            state.media(MediaAct::Announce { bridge, clip });
        }
    }

    fn settings<'a>(&self, state: &'a State) -> Option<&'a plan::Conference> {
        state.plan.conferences.get(&self.name)
    }
}

/// From the end of the prompt, or the last key.
const FOR_THE_PIN: Duration = Duration::from_secs(10);
