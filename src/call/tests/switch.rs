//! Carrying out what calls ask for, and checking that they may ask for it now.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use super::world::{FarState, World};
use crate::call::Call;
use crate::call::input::{Command, Input};
use crate::call::media::{MediaAct, MediaEvent, PlayMode, Role};
use crate::call::output::{EndReason, LegAct, Output, RecordAct};
use crate::desk::notice::Notice;
use crate::ledger::id::{CallId, LegId};
use crate::ledger::journal;

impl World {
    pub(super) fn settle(&mut self) {
        loop {
            let ids: Vec<CallId> = self.calls.keys().copied().collect();
            let mut idle = true;
            for id in ids {
                while let Some(output) = self.calls.get_mut(&id).and_then(Call::poll_output) {
                    idle = false;
                    self.carry_out(id, output);
                }
            }
            while let Some(notice) = self.desk.poll_notice() {
                let call = match &notice {
                    Notice::Ring { call, .. }
                    | Notice::StopRinging { call, .. }
                    | Notice::NobodyRegistered { call }
                    | Notice::Exhausted { call }
                    | Notice::ConferenceEntered { call, .. }
                    | Notice::ConferenceFull { call }
                    | Notice::Refused { call, .. } => *call,
                    Notice::StateChanged { .. } => continue,
                };
                idle = false;
                if let Some(call) = self.calls.get_mut(&call) {
                    call.handle(self.now, Input::Desk(notice));
                }
            }
            if idle {
                return;
            }
        }
    }

    fn carry_out(&mut self, id: CallId, output: Output) {
        match output {
            Output::Leg(leg, act) => self.leg_act(id, leg, act),
            Output::Media(act) => self.media_act(id, act),
            Output::Record(act) => self.record_act(act),
            Output::Desk(request) => self.desk.handle(self.now.mono, request),
            Output::Journal(entry) => self.journal(id, entry),
            Output::Move(into, moved) => {
                self.legs.get_mut(&moved.leg).unwrap().call = into;
                let target = self.calls.get_mut(&into).expect("the call that takes it");
                target.handle(self.now, Input::Command(Command::Adopt(moved)));
            }
            Output::Finished => self.finished(id),
        }
    }

    fn leg_act(&mut self, id: CallId, leg: LegId, act: LegAct) {
        let far = self.legs.get_mut(&leg).expect("a leg that exists");
        assert_eq!(far.call, id, "a leg of another call");
        let word = match act {
            LegAct::Dial(dial) => {
                assert_eq!(far.state, FarState::New);
                assert_eq!(far.port, Some(true), "dialled without a port");
                far.state = FarState::Ringing;
                far.dial = Some(*dial);
                "dial".into()
            }
            LegAct::Progress { code, sdp } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                if let Some(sdp) = &sdp
                    && far.delayed
                {
                    // Our offer: its answer comes with the PRACK.
                    far.offered = Some(sdp.clone());
                } else if let Some(sdp) = &sdp {
                    assert!(far.agreed, "183 before Agree");
                    far.negotiation.accept_answer(sdp).unwrap();
                }
                format!("{code}{}", if sdp.is_some() { "+" } else { "" })
            }
            LegAct::Accept { sdp } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                assert_eq!(far.port, Some(true), "accepted without a port");
                far.state = FarState::Up;
                if far.agreed {
                    far.negotiation.accept_answer(&sdp).unwrap();
                } else {
                    far.offered = Some(sdp);
                }
                "200".into()
            }
            LegAct::Reject { code, .. } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                far.state = FarState::Over;
                format!("reject {code}")
            }
            LegAct::End(reason) => {
                far.state = match far.state {
                    FarState::Ringing => FarState::GivenUp,
                    // A late answer that is not kept.
                    FarState::GivenUp | FarState::Up | FarState::Calling => FarState::Over,
                    state => panic!("End of a leg in {state:?}: {:?}", far.said),
                };
                match reason {
                    EndReason::AnsweredElsewhere => "end elsewhere".into(),
                    EndReason::Normal => "end".into(),
                    EndReason::Cause(cause) => format!("end {cause:?}"),
                    EndReason::Soundless(why) => format!("end: {why}"),
                }
            }
            LegAct::Keep => {
                assert_eq!(far.state, FarState::GivenUp);
                far.state = FarState::Up;
                "keep".into()
            }
            LegAct::Offer { sdp } => {
                assert_eq!(far.state, FarState::Up, "{:?}", far.said);
                far.negotiation.answer(&sdp).unwrap();
                "offer".into()
            }
            LegAct::AnswerOffer { sdp } if sdp.windows(10).any(|part| part == b"m=audio 0 ") => {
                "decline".into()
            }
            LegAct::AnswerOffer { sdp } => {
                if far.negotiation.accept_answer(&sdp).is_err() {
                    far.negotiation.answer(&sdp).unwrap();
                }
                "answer".into()
            }
            LegAct::RefuseOffer { code } => format!("refuse {code}"),
            LegAct::Probe => "probe".into(),
            LegAct::ReferNotice { code, phrase } => {
                // Who has hung up still hears what came of his REFER.
                let listens = matches!(far.state, FarState::Up | FarState::Over);
                assert!(listens, "{:?}", far.said);
                format!("notice {code} {phrase}").trim_end().to_owned()
            }
            LegAct::RejectMedia { .. } => {
                assert_eq!(far.state, FarState::Calling, "{:?}", far.said);
                far.state = FarState::Over;
                "reject 488".into()
            }
            LegAct::RefuseMedia { .. } => "refuse 488".into(),
        };
        far.said.push(word);
    }

    fn media_act(&mut self, id: CallId, act: MediaAct) {
        if let MediaAct::Open { leg, .. } = act {
            if !self.legs.contains_key(&leg) {
                let far = self.far(id);
                self.legs.insert(leg, far);
            }
            self.counter += 1;
            let port = 20_000 + (self.counter % 10_000) as u16;
            let far = self.legs.get_mut(&leg).unwrap();
            // A leg that is sent elsewhere gets another port.
            assert_ne!(far.port, Some(true), "opened twice");
            let is_early = matches!(far.state, FarState::New | FarState::Calling);
            assert!(is_early, "opened late");
            far.port = Some(!self.no_ports);
            let event = if self.no_ports {
                let why = "none is free".to_owned();
                MediaEvent::Failed { why }
            } else {
                let local = SocketAddr::from(([127, 0, 0, 1], port));
                MediaEvent::Opened { local }
            };
            let call = self.calls.get_mut(&id).unwrap();
            call.handle(self.now, Input::Media(leg, event));
            return;
        }
        if let MediaAct::Announce { bridge, clip } = &act {
            self.announced.push((*bridge, clip.name().to_owned()));
            return;
        }
        let leg = match &act {
            MediaAct::Announce { .. } => return,
            MediaAct::JoinAs { leg, .. }
            | MediaAct::SetRole { leg, .. }
            | MediaAct::Open { leg, .. }
            | MediaAct::Agree { leg, .. }
            | MediaAct::Join { leg, .. }
            | MediaAct::Leave { leg }
            | MediaAct::Play { leg, .. }
            | MediaAct::StopPlaying { leg }
            | MediaAct::Echo { leg }
            | MediaAct::Close { leg } => *leg,
        };
        let far = self.legs.get_mut(&leg).expect("a leg with a port");
        assert_eq!(far.port, Some(true), "{act:?} without a port");
        match act {
            MediaAct::Open { .. } => {}
            MediaAct::Agree { .. } => far.agreed = true,
            MediaAct::Join { bridge, .. } => {
                (far.bridge, far.role) = (Some(bridge), Role::Member);
            }
            MediaAct::JoinAs { bridge, role, .. } => {
                (far.bridge, far.role) = (Some(bridge), role);
            }
            MediaAct::SetRole { role, .. } => far.role = role,
            MediaAct::Announce { .. } => {}
            MediaAct::Leave { .. } => (far.bridge, far.echo) = (None, false),
            MediaAct::Play {
                clip, mode, token, ..
            } => {
                assert!(far.agreed, "played before Agree");
                far.playing = Some((clip.name().to_owned(), mode, token));
                if mode == PlayMode::Once {
                    let at = self.now.mono + Duration::from_millis(clip.duration_ms());
                    self.counter += 1;
                    self.queue.push((at, self.counter, leg, token));
                }
            }
            MediaAct::StopPlaying { .. } => far.playing = None,
            MediaAct::Echo { .. } => far.echo = true,
            MediaAct::Close { .. } => {
                assert_eq!(
                    (far.tapped, far.shared),
                    (None, None),
                    "closed while tapped"
                );
                (far.port, far.bridge, far.playing) = (Some(false), None, None);
            }
        }
    }

    fn record_act(&mut self, act: RecordAct) {
        let word = match act {
            RecordAct::StartConversation { recording, .. } => {
                assert!(self.recordings.insert(recording, true).is_none());
                "start".into()
            }
            RecordAct::StartConference { recording, .. } => {
                assert!(self.recordings.insert(recording, true).is_none());
                self.shared.push(recording);
                "share".into()
            }
            RecordAct::StartMessage { recording, .. } => {
                assert!(self.recordings.insert(recording, true).is_none());
                "message".into()
            }
            RecordAct::Attach {
                recording,
                feeds,
                leg,
                side,
                ..
            } => {
                assert_eq!(self.recordings.get(&recording), Some(&true));
                let far = self.legs.get_mut(&leg).unwrap();
                assert_eq!(far.tap(feeds).replace(recording), None, "two taps");
                format!("attach {side:?}")
            }
            RecordAct::Detach {
                recording,
                feeds,
                leg,
            } => {
                let far = self.legs.get_mut(&leg).unwrap();
                assert_eq!(far.tap(feeds).take(), Some(recording));
                let is_fed = self.legs.values().any(|far| far.shared == Some(recording));
                if self.shared.contains(&recording) && !is_fed {
                    self.recordings.insert(recording, false);
                }
                "detach".into()
            }
            RecordAct::Pause { recording, paused } => {
                assert_eq!(self.recordings.get(&recording), Some(&true));
                if paused {
                    "pause".into()
                } else {
                    "resume".into()
                }
            }
            RecordAct::Stop { recording } => {
                assert_eq!(self.recordings.insert(recording, false), Some(true));
                "stop".into()
            }
            RecordAct::Discard { recording } => {
                assert_eq!(self.recordings.insert(recording, false), Some(true));
                "discard".into()
            }
        };
        self.tape.push(word);
    }

    fn journal(&mut self, id: CallId, entry: journal::Entry) {
        let (kind, record) = match entry {
            journal::Entry::CallStarted(record) => ("started", record),
            journal::Entry::CallAnswered(record) => ("answered", record),
            journal::Entry::CallEnded { call, legs, .. } => {
                let before = self.ended.insert(id, ((*call).clone(), legs));
                assert!(before.is_none(), "ended twice");
                ("ended", call)
            }
            _ => return,
        };
        self.told.push((id, kind, *record));
    }

    fn finished(&mut self, id: CallId) {
        assert!(self.ended.contains_key(&id), "finished without CallEnded");
        let mut call = self.calls.remove(&id).expect("finished once");
        assert!(call.poll_output().is_none(), "output after Finished");
        assert_eq!(call.poll_timeout(), None, "a timer is left");
        let kinds: Vec<&str> = self
            .told
            .iter()
            .filter(|(call, _, _)| *call == id)
            .map(|(_, kind, _)| *kind)
            .collect();
        let unique: BTreeSet<&str> = kinds.iter().copied().collect();
        assert_eq!(unique.len(), kinds.len(), "an event twice: {kinds:?}");
        for (leg, far) in self.legs.iter().filter(|(_, far)| far.call == id) {
            assert_ne!(far.port, Some(true), "{leg} keeps its port: {:?}", far.said);
            assert!(
                matches!(
                    far.state,
                    FarState::Over | FarState::GivenUp | FarState::New
                ),
                "{leg} is {:?}: {:?}",
                far.state,
                far.said
            );
        }
    }

    /// Nothing is left of any call.
    pub(super) fn assert_empty(&self) {
        assert!(self.calls.is_empty(), "calls run on");
        assert_eq!(self.desk.census(), (0, 0));
        assert!(self.recordings.values().all(|open| !open));
    }
}
