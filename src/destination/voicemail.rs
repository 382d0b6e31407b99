//! Voicemail: a prompt, a tone, then the caller is recorded until he stops, presses `#` or the longest message is reached.

use std::time::Duration;

use super::{Ending, Happening, Next, Stage, missing};
use crate::call::media::PlayMode;
use crate::call::output::{Output, RecordAct};
use crate::call::state::State;
use crate::call::timer::Timer;
use crate::dialplan::plan::RecordingFormat;
use crate::ledger::cause::Cause;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{Name, RecordingId, VoicemailId};
use crate::sdp::negotiate::Codec;

/// A voicemail box that a caller is in.
#[derive(Debug)]
pub(crate) struct Voicemail {
    mailbox: Name,
    phase: Phase,
}

#[derive(Debug)]
enum Phase {
    Prompt(u64),
    Tone(u64),
    Message {
        recording: RecordingId,
        since: Mono,
        /// The message that the caller had left before.
        before: Option<VoicemailId>,
    },
}

/// A shorter message is none.
const SHORTEST: Duration = Duration::from_secs(1);

impl Voicemail {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        let Some(prompt) = state.plan.voicemails.get(name).map(|v| v.prompt.clone()) else {
            return missing(state, now, "voicemail", name);
        };
        let Some(guest) = state.guest else {
            return (Stage::Nowhere, Next::fault());
        };
        if state.failure.is_none() {
            state.failed(now, Cause::Voicemail);
        }
        // He must be heard, so early media is not enough.
        state.connect(now);
        let token = state.play(guest, prompt, PlayMode::Once);
        let voicemail = Voicemail {
            mailbox: name.clone(),
            phase: Phase::Prompt(token),
        };
        (Stage::Voicemail(voicemail), Next::Stay)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match (&self.phase, what) {
            (Phase::Prompt(token), Happening::Played(played)) if *token == played => {
                state.greeted = true;
                self.tone(state)
            }
            (Phase::Prompt(_), Happening::Key('#')) => self.tone(state),
            (Phase::Tone(token), Happening::Played(played)) if *token == played => {
                self.begin(state, now)
            }
            (Phase::Message { .. }, Happening::Key('#') | Happening::Timer(Timer::Message)) => {
                Next::End(Ending::default())
            }
            _ => Next::Stay,
        }
    }

    fn tone(&mut self, state: &mut State) -> Next {
        let Some(guest) = state.guest else {
            return Next::fault();
        };
        let beep = state.plan.server.beep.clone();
        self.phase = Phase::Tone(state.play(guest, beep, PlayMode::Once));
        Next::Stay
    }

    fn begin(&mut self, state: &mut State, now: Now) -> Next {
        let (Some(guest), Some(max)) = (
            state.guest,
            state.plan.voicemails.get(&self.mailbox).map(|v| v.max),
        ) else {
            return Next::fault();
        };
        let recording = RecordingId::new(now.wall, &mut state.entropy);
        let voicemail = VoicemailId::new(now.wall, &mut state.entropy);
        // From here on no phone that was given up may take the call.
        state.message_begun = true;
        state.forget_given_up(now);
        state.timers.set(Timer::Message, now.mono + max);
        let call = Box::new(state.record.clone());
        let wideband = state.codec_of(guest).is_some_and(Codec::is_wideband);
        let opus = state.plan.recordings.format == RecordingFormat::Opus;
        state.out.push_back(Output::Record(RecordAct::StartMessage {
            recording,
            voicemail,
            mailbox: self.mailbox.clone(),
            call,
            wideband,
            opus,
        }));
        state.attach(recording, guest);
        // In the row at once: a message that a crash cuts short is kept.
        let before = state.record.voicemail_id.replace(voicemail);
        state.changed();
        state.note(now, "The message begins");
        self.phase = Phase::Message {
            recording,
            since: now.mono,
            before,
        };
        Next::Stay
    }

    /// Completes the message, or throws an empty one away.
    pub(super) fn leave(self, state: &mut State, now: Now) {
        let Phase::Message {
            recording,
            since,
            before,
        } = self.phase
        else {
            return;
        };
        if let Some(guest) = state.guest {
            state.detach(guest);
        }
        let act = if now.mono.since(since) < SHORTEST {
            state.note(now, "The message is empty");
            state.record.voicemail_id = before;
            RecordAct::Discard { recording }
        } else {
            state.note(now, "The message is complete");
            RecordAct::Stop { recording }
        };
        state.out.push_back(Output::Record(act));
    }
}
