//! What a call does with its legs on the media side: connect, play, bridge, hold, record.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::leg::{Leg, LegState, Playing, Port};
use super::media::{Feeds, MediaAct, PlayMode};
use super::output::{LegAct, Output, RecordAct};
use super::state::State;
use super::timer::Timer;
use crate::audio::clip::Clip;
use crate::dialplan::plan::{AnswerPolicy, RecordingFormat};
use crate::ledger::clock::Now;
use crate::ledger::id::{BridgeId, LegId, RecordingId};
use crate::ledger::recording::Side;
use crate::sdp::negotiate::{Agreed, Codec, Negotiation, SdpError};

impl State {
    /// The guest's port is open: reads his offer and has our answer ready.
    pub(crate) fn prepare_guest(&mut self, local: SocketAddr) -> Result<(), SdpError> {
        let protection = self.guest_protection();
        let codecs = self.guest_codecs();
        let mut negotiation = self.negotiation(local, &codecs, protection);
        let Some(leg) = self.guest.and_then(|guest| self.leg_mut(guest)) else {
            return Ok(());
        };
        leg.port = Port::Open;
        if let Some(offer) = leg.offer.take() {
            let (answer, _) = negotiation.answer(&offer)?;
            leg.sdp = Some(answer);
        } else if leg.reliable {
            leg.sdp = Some(negotiation.offer());
            leg.awaits_answer = true;
        }
        leg.negotiation = Some(negotiation);
        Ok(())
    }

    /// Whether the guest hears us: connected, or by early media.
    pub(crate) fn guest_hears(&self) -> bool {
        self.guest_leg().is_some_and(Leg::hears)
    }

    /// Something of ours must be heard: connects the guest, or lets him hear it before a person answers.
    pub(crate) fn need_voice(&mut self, now: Now) {
        if self.policy == AnswerPolicy::WhenAPersonAnswers && self.can_hear_early() {
            self.early(now);
        } else {
            self.connect(now);
        }
    }

    /// Whether the guest can be let hear something before the 200: there is an answer to give him.
    pub(crate) fn can_hear_early(&self) -> bool {
        self.guest_leg().is_some_and(|leg| leg.sdp.is_some())
    }

    /// A phone rings: passes 180 on, or plays ring-back to a guest who hears us already.
    pub(crate) fn ringing(&mut self, now: Now) {
        let Some(guest) = self.guest else { return };
        let Some(leg) = self.leg_mut(guest) else {
            return;
        };
        match &mut leg.state {
            LegState::Unanswered { ringing, .. } if !*ringing => {
                *ringing = true;
                // The first reliable response to an INVITE without an offer carries ours (RFC 3262 §5).
                let sdp = leg.sdp.clone().filter(|_| leg.awaits_answer);
                self.act(guest, LegAct::Progress { code: 180, sdp });
                self.note(now, "The caller is told that a phone rings");
            }
            _ => {}
        }
    }

    /// 183 with our description: the guest hears us before he is connected.
    pub(crate) fn early(&mut self, now: Now) {
        let Some(guest) = self.guest else { return };
        let Some(leg) = self.leg_mut(guest) else {
            return;
        };
        let sdp = leg.sdp.clone();
        let LegState::Unanswered { ringing, early } = &mut leg.state else {
            return;
        };
        if *early || sdp.is_none() {
            return;
        }
        (*ringing, *early) = (true, true);
        self.agree(guest);
        self.act(guest, LegAct::Progress { code: 183, sdp });
        self.note(now, "The caller hears early media");
    }

    /// 200 to the guest, if he is not connected yet. Whoever asks for it keeps the call's row.
    pub(crate) fn connect(&mut self, now: Now) {
        let Some(guest) = self.guest else { return };
        let Some(leg) = self.leg_mut(guest) else {
            return;
        };
        if !matches!(leg.state, LegState::Unanswered { .. }) {
            return;
        }
        let sdp = match (&leg.sdp, leg.negotiation.as_mut()) {
            (Some(answer), _) => answer.clone(),
            (None, Some(negotiation)) => {
                leg.awaits_answer = true;
                negotiation.offer()
            }
            (None, None) => return,
        };
        leg.state = LegState::Connected;
        leg.record.connected_at = Some(now.wall);
        leg.record.accepted_at = Some(now.wall);
        leg.record.sip_code = Some(200);
        if !leg.awaits_answer && !leg.agreed {
            self.agree(guest);
        }
        self.act(guest, LegAct::Accept { sdp });
        self.record.connected_at = Some(now.wall);
        self.record.sip_code = Some(200);
        self.note(now, "The caller is connected");
        self.leg_changed(guest);
    }

    /// Tells the media plane what is agreed for a leg, and begins what was waiting for it.
    pub(crate) fn agree(&mut self, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        let Some(agreed) = leg.negotiation.as_ref().and_then(Negotiation::agreed) else {
            return;
        };
        let agreed: Agreed = agreed.clone();
        leg.held = agreed.is_held();
        let first = !std::mem::replace(&mut leg.agreed, true);
        let waiting = leg.playing.clone().filter(|_| first);
        self.media(MediaAct::Agree { leg: id, agreed });
        if let Some(playing) = waiting {
            self.send_play(id, playing);
        }
    }

    /// The guest waits for a person: he hears `music`, or ring-back if he hears us at all.
    pub(crate) fn wait_sound(&mut self, now: Now, music: Option<&Arc<Clip>>) {
        if music.is_some() {
            self.need_voice(now);
        }
        let Some(guest) = self.guest else { return };
        if self.guest_hears() {
            let ringback = Arc::clone(&self.plan.server.ringback);
            let clip = music.cloned().unwrap_or(ringback);
            self.play(guest, clip, PlayMode::Loop);
        }
    }

    /// Plays to a leg instead of what it hears; the token comes back when a clip played once has ended.
    /// A loop that runs already goes on.
    pub(crate) fn play(&mut self, id: LegId, clip: Arc<Clip>, mode: PlayMode) -> u64 {
        self.play_as(id, clip, mode, false)
    }

    fn play_as(&mut self, id: LegId, clip: Arc<Clip>, mode: PlayMode, hold: bool) -> u64 {
        let token = self.token();
        let Some(leg) = self.leg_mut(id) else {
            return token;
        };
        if let Some(running) = leg.playing.as_mut()
            && running.mode == PlayMode::Loop
            && mode == PlayMode::Loop
            && Arc::ptr_eq(&running.clip, &clip)
        {
            running.hold = hold;
            return running.token;
        }
        let playing = Playing {
            token,
            clip,
            mode,
            hold,
        };
        leg.playing = Some(playing.clone());
        if leg.agreed {
            self.send_play(id, playing);
        }
        token
    }

    fn send_play(&mut self, leg: LegId, playing: Playing) {
        self.media(MediaAct::Play {
            leg,
            clip: playing.clip,
            mode: playing.mode,
            token: playing.token,
        });
    }

    /// Stops what is played to a leg.
    pub(crate) fn stop_playing(&mut self, id: LegId) {
        let Some(leg) = self.leg_mut(id) else { return };
        if leg.playing.take().is_some() && leg.agreed {
            self.media(MediaAct::StopPlaying { leg: id });
        }
    }

    /// Stops what is played to the guest.
    pub(crate) fn stop_guest(&mut self) {
        if let Some(guest) = self.guest {
            self.stop_playing(guest);
        }
    }

    /// The guest hears nobody any more.
    pub(crate) fn leave_guest_bridge(&mut self) {
        if let Some(guest) = self.guest {
            self.leave_bridge(guest);
        }
    }

    /// The leg hears all who are in a bridge that is not this call's own, and they it.
    pub(crate) fn enter_bridge(&mut self, id: LegId, bridge: BridgeId) {
        let Some(leg) = self.leg_mut(id) else { return };
        if leg.bridge.replace(bridge) != Some(bridge) {
            self.media(MediaAct::Join { leg: id, bridge });
        }
    }

    /// The guest and another leg hear each other.
    pub(crate) fn join(&mut self, now: Now, other: LegId) {
        let bridge = match self.bridge {
            Some(bridge) => bridge,
            None => BridgeId::new(now.wall, &mut self.entropy),
        };
        self.bridge = Some(bridge);
        for id in self.guest.into_iter().chain([other]) {
            let Some(leg) = self.leg_mut(id) else {
                continue;
            };
            if leg.bridge.replace(bridge) != Some(bridge) {
                self.media(MediaAct::Join { leg: id, bridge });
            }
        }
    }

    /// The leg hears nobody any more.
    pub(crate) fn leave_bridge(&mut self, id: LegId) {
        let left = self.leg_mut(id).and_then(|leg| leg.bridge.take());
        if left.is_some() {
            self.media(MediaAct::Leave { leg: id });
        }
    }

    /// Music for whoever waits in a conversation because another put it on hold; silence for it again on resume.
    pub(crate) fn refresh_hold(&mut self) {
        let music = self.plan.server.music.clone();
        let bridged: Vec<(LegId, bool, bool)> = self
            .legs
            .iter()
            .filter(|leg| leg.bridge.is_some() && leg.is_connected())
            .filter(|leg| !self.is_supervisor(leg.id()))
            .map(|leg| {
                let hears_hold = leg.playing.as_ref().is_some_and(|playing| playing.hold);
                (leg.id(), leg.held, hears_hold)
            })
            .collect();
        for &(id, held, hears_hold) in &bridged {
            let waits = !held && bridged.iter().any(|&(other, held, _)| other != id && held);
            match (&music, waits) {
                (Some(music), true) if !hears_hold => {
                    self.play_as(id, Arc::clone(music), PlayMode::Loop, true);
                }
                (_, false) if hears_hold => self.stop_playing(id),
                _ => {}
            }
        }
    }

    /// While an operator's phone holds the others, it is asked from time to time whether it is still there.
    pub(crate) fn watch_held(&mut self, now: Now) {
        if self.legs.iter().any(Leg::is_holding_operator) {
            self.timers.set(Timer::Held, now.mono + HELD_CHECK);
        } else {
            self.timers.stop(Timer::Held);
        }
    }

    /// A conversation between the guest and `person` is recorded from now on, or goes on being recorded.
    pub(crate) fn record_conversation(&mut self, now: Now, person: LegId) {
        if !self.is_recorded {
            return;
        }
        let recording = match self.own_recording() {
            Some(recording) => recording,
            None => {
                let parties = self.guest.into_iter().chain([person]);
                let wideband = parties
                    .filter_map(|id| self.codec_of(id))
                    .any(Codec::is_wideband);
                let opus = self.plan.recordings.format == RecordingFormat::Opus;
                let recording = RecordingId::new(now.wall, &mut self.entropy);
                self.record.recording_id = Some(recording);
                let call = Box::new(self.record.clone());
                self.out
                    .push_back(Output::Record(RecordAct::StartConversation {
                        recording,
                        call,
                        wideband,
                        opus,
                    }));
                recording
            }
        };
        for id in self.guest.into_iter().chain([person]) {
            self.attach(recording, id);
        }
    }

    /// The recording of this call alone.
    pub(crate) fn own_recording(&self) -> Option<RecordingId> {
        let named = self.record.recording_id;
        named.filter(|recording| self.shared_recording != Some(*recording))
    }

    /// The guest feeds a conference's recording beside his own. `begins`: he is the first.
    pub(crate) fn share_recording(&mut self, recording: RecordingId, begins: bool) {
        let Some(guest) = self.guest else { return };
        if begins {
            let wideband = self.codec_of(guest).is_some_and(Codec::is_wideband);
            let opus = self.plan.recordings.format == RecordingFormat::Opus;
            let call = Box::new(self.record.clone());
            self.out
                .push_back(Output::Record(RecordAct::StartConference {
                    recording,
                    call,
                    wideband,
                    opus,
                }));
        }
        if self.own_recording().is_none() {
            self.record.recording_id = Some(recording);
        }
        self.shared_recording = Some(recording);
        let is_operator = |leg: &Leg| leg.record.operator.is_some();
        let side = if self.leg(guest).is_some_and(is_operator) {
            Side::Right
        } else {
            Side::Left
        };
        self.attach_to(recording, Feeds::Conference, guest, side);
        if let Some(own) = self.own_recording() {
            self.attach(own, guest);
        }
        self.changed();
    }

    /// The guest leaves the conference: its recording is fed by him no more.
    pub(crate) fn leave_shared_recording(&mut self) {
        if let Some(guest) = self.guest {
            self.detach_from(Feeds::Conference, guest);
        }
    }

    /// Feeds the call's recording, or a message, from a leg.
    pub(crate) fn attach(&mut self, recording: RecordingId, id: LegId) {
        if let Some(side) = self.leg(id).map(|leg| leg.side) {
            self.attach_to(recording, Feeds::Call, id, side);
        }
    }

    fn attach_to(&mut self, recording: RecordingId, feeds: Feeds, id: LegId, side: Side) {
        let Some(leg) = self.leg_mut(id) else { return };
        if *leg.fed(feeds) == Some(recording) {
            return;
        }
        let operator = leg.record.operator.clone();
        let codec = self.codec_of(id);
        self.detach_from(feeds, id);
        if let Some(leg) = self.leg_mut(id) {
            *leg.fed(feeds) = Some(recording);
        }
        self.out.push_back(Output::Record(RecordAct::Attach {
            recording,
            feeds,
            leg: id,
            side,
            operator,
            codec,
        }));
    }

    /// What a leg speaks, once that is agreed.
    pub(crate) fn codec_of(&self, id: LegId) -> Option<Codec> {
        let negotiation = self.leg(id)?.negotiation.as_ref()?;
        Some(negotiation.agreed()?.codec)
    }

    /// A leg feeds no recording any more.
    pub(crate) fn detach(&mut self, id: LegId) {
        self.detach_from(Feeds::Call, id);
        self.detach_from(Feeds::Conference, id);
    }

    fn detach_from(&mut self, feeds: Feeds, id: LegId) {
        if let Some(recording) = self.leg_mut(id).and_then(|leg| leg.fed(feeds).take()) {
            self.out.push_back(Output::Record(RecordAct::Detach {
                recording,
                feeds,
                leg: id,
            }));
        }
    }

    /// The conversation's recording is complete.
    pub(crate) fn stop_recording(&mut self) {
        let ids: Vec<LegId> = self.legs.iter().map(Leg::id).collect();
        for id in ids {
            self.detach(id);
        }
        if let Some(recording) = self.own_recording() {
            self.out
                .push_back(Output::Record(RecordAct::Stop { recording }));
        }
    }
}

/// How often a phone that holds is asked whether it is there.
const HELD_CHECK: Duration = Duration::from_secs(60);
