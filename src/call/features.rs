//! What operators type while they talk: codes on the keys of their phones. And what those ask for: the recording paused.

use std::time::Duration;

use super::Call;
use super::media::PlayMode;
use super::output::{Output, RecordAct};
use crate::destination::Stage;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{LegId, RecordingId};

/// The last keys of a leg, as far as they belong together.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Typed {
    keys: String,
    at: Mono,
}

impl Typed {
    /// Another key; `true`: it completes `code`, and nothing is remembered of that.
    fn key(&mut self, now: Mono, key: char, code: &str) -> bool {
        if now.since(self.at) > TOGETHER || self.keys.len() > LONGEST {
            self.keys.clear();
        }
        self.at = now;
        self.keys.push(key);
        let is_complete = self.keys.ends_with(code);
        if is_complete {
            self.keys.clear();
        }
        is_complete
    }
}

impl Call {
    /// The recording of the conversation, once there is one. A conference's is not this call's to pause.
    pub fn recording(&self) -> Option<RecordingId> {
        self.state.own_recording()
    }

    /// A key of somebody who talks: it may complete an operator's code.
    pub(super) fn typed(&mut self, now: Now, id: LegId, key: char) {
        let Some(code) = self.state.plan.features.pause_recording.clone() else {
            return;
        };
        let is_talking = matches!(self.stage, Stage::Talking(_));
        let leg = self.state.leg_mut(id);
        let leg = leg.filter(|leg| is_talking && leg.bridge.is_some());
        let Some(leg) = leg.filter(|leg| leg.record.operator.is_some()) else {
            return;
        };
        let who = leg.record.operator.as_ref().map(ToString::to_string);
        if !leg.typed.key(now.mono, key, &code) || self.recording().is_none() {
            return;
        }
        let paused = !self.state.recording_paused;
        self.pause_recording(now, paused, who.as_deref().unwrap_or("An operator"));
        let server = &self.state.plan.server;
        let tone = if paused {
            &server.paused_tone
        } else {
            &server.resumed_tone
        };
        let tone = tone.clone();
        // Who hears music because he is held hears no tone: the music would not come back.
        if self.state.leg(id).is_some_and(|leg| leg.playing.is_none()) {
            self.state.play(id, tone, PlayMode::Once);
        }
    }

    /// Nothing is stored from now on (`true`), or everything again.
    pub(super) fn pause_recording(&mut self, now: Now, paused: bool, who: &str) {
        let Some(recording) = self.recording() else {
            return;
        };
        if std::mem::replace(&mut self.state.recording_paused, paused) == paused {
            return;
        }
        let what = if paused {
            "pauses the recording"
        } else {
            "lets the recording go on"
        };
        self.state.note(now, format!("{who} {what}"));
        let act = RecordAct::Pause { recording, paused };
        self.state.out.push_back(Output::Record(act));
    }
}

/// Keys further apart than this do not belong together.
const TOGETHER: Duration = Duration::from_secs(3);
/// More keys than any code has.
const LONGEST: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_code_is_typed_in_one_go() {
        let mut typed = Typed::default();
        let at = |ms: u64| Mono::from_micros(10_000_000 + ms * 1_000);
        let mut type_in = |keys: &str, start: u64, apart: u64| {
            let keys = keys.chars().zip(0u64..);
            keys.filter(|&(key, n)| typed.key(at(start + n * apart), key, "*1"))
                .count()
        };
        assert_eq!(type_in("*1", 0, 300), 1);
        assert_eq!(type_in("1", 800, 300), 0, "the code was used up");
        assert_eq!(type_in("**1", 10_000, 300), 1);
        assert_eq!(type_in("*1", 20_000, 3_100), 0, "too slow");
        assert_eq!(type_in("4111111111111111*1", 30_000, 100), 1);
        assert_eq!(type_in("*2", 40_000, 100), 0);
    }
}
