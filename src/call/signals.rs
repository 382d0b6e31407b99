//! What reaches a call: from the SIP dialogs, the media plane, the desk, the timers and the API; each turned into what it means.

use bytes::Bytes;

use super::Call;
use super::input::{Command, LegEnd, LegEvent};
use super::keys::KeySource;
use super::leg::{LegState, Port};
use super::legs::{Failure, GivenUp};
use super::lifecycle::Goodbye;
use super::media::{MediaEvent, PlayMode};
use super::output::{EndReason, LegAct, Seat};
use super::timer::Timer;
use crate::desk::notice::Notice;
use crate::desk::request::{Request, Unanswered};
use crate::destination::{Happening, Leaving, Stage, is_worth_another};
use crate::ledger::cause::{Cause, EndedBy};
use crate::ledger::clock::Now;
use crate::ledger::id::LegId;
use crate::ledger::leg::LegOutcome;
use crate::rtp::srtp::Life;
use crate::sdp::negotiate::Negotiation;

impl Call {
    /// Hands something to the destination and does what it says.
    fn happens(&mut self, now: Now, what: Happening) {
        let next = self.stage.handle(&mut self.state, now, what);
        self.advance(now, next);
    }

    pub(super) fn on_leg(&mut self, now: Now, leg: LegId, event: LegEvent) {
        let Some(state) = self.state.leg(leg).map(|leg| leg.state) else {
            self.on_former_leg(now, leg, &event);
            return;
        };
        match event {
            LegEvent::Cancelled if state == LegState::Connected => {
                // Our 200 still waited for the PRACK of a provisional response.
                self.leg_gone(now, leg, false);
            }
            LegEvent::Cancelled => {
                if self.state.guest == Some(leg) {
                    let goodbye = Goodbye::Gone {
                        outcome: Some(LegOutcome::Abandoned),
                        code: Some(487),
                    };
                    self.hang_up(now, EndedBy::Caller, goodbye);
                }
            }
            LegEvent::Acked { sdp } => self.acked(now, leg, sdp.as_ref()),
            LegEvent::Progress { sdp, .. } => {
                if state == LegState::Ringing {
                    let early = self.state.leg_rings(now, leg, sdp.as_ref());
                    self.passing_rings();
                    self.happens(now, Happening::Rings { leg, early });
                }
            }
            LegEvent::Answered { sdp, late } => self.answered(now, leg, sdp.as_ref(), late),
            LegEvent::Refused {
                code,
                reason,
                responded,
            } => self.leg_refused(now, leg, code, reason, responded),
            LegEvent::Offer { sdp } => self.offered(now, leg, sdp.as_ref()),
            LegEvent::Ended { .. } if matches!(state, LegState::Preparing | LegState::Ringing) => {
                let reason = "Ended before it was answered".to_owned();
                self.leg_refused(now, leg, 480, reason, true);
            }
            LegEvent::Ended { how } => {
                let text = match how {
                    LegEnd::Remote => "A leg was ended by the far side",
                    LegEnd::NoAck => "A leg is gone: it never acknowledged our answer",
                    LegEnd::Lost => "A leg is gone: it does not answer, or knows the call no more",
                    LegEnd::Expired => "A leg is gone: nobody refreshed its session in time",
                };
                self.state.note(now, text);
                self.leg_gone(now, leg, how != LegEnd::Remote);
            }
            LegEvent::Noted { text } => self.state.note(now, text),
            LegEvent::Refreshed { sdp } => self.refreshed(now, leg, sdp.as_ref()),
            LegEvent::Key(key) => self.key(now, leg, key, KeySource::Signalling),
            LegEvent::Redirected { dialled, to } => {
                if state == LegState::Ringing {
                    self.redirected(now, leg, dialled, to);
                } else {
                    self.leg_refused(now, leg, 302, "Moved".to_owned(), true);
                }
            }
            LegEvent::Alive(true) => {
                if let Some(leg) = self.state.leg_mut(leg) {
                    leg.probing = false;
                }
            }
            LegEvent::Alive(false) => {
                if state != LegState::Connected {
                    return;
                }
                if !self.state.leg(leg).is_some_and(|leg| leg.probing) {
                    // It is asked now and then although it is heard, and some far sides answer no OPTIONS within a call.
                    self.state.note(now, "A leg does not answer OPTIONS");
                    return;
                }
                self.state.act(leg, LegAct::End(EndReason::Normal));
                self.leg_gone(now, leg, true);
            }
        }
    }

    /// Of a leg that the call no longer has: only a late 2xx needs an answer.
    fn on_former_leg(&mut self, now: Now, leg: LegId, event: &LegEvent) {
        let was_ours = self.state.past.iter().any(|record| record.leg_id == leg);
        if was_ours && matches!(event, LegEvent::Answered { late: true, .. }) {
            self.state.note(now, "A late answer is not needed any more");
            self.state
                .act(leg, LegAct::End(EndReason::AnsweredElsewhere));
        }
    }

    /// Our 200 was acknowledged, with the answer when our 200 carried the offer.
    fn acked(&mut self, now: Now, id: LegId, sdp: Option<&Bytes>) {
        let Some(leg) = self.state.leg_mut(id) else {
            return;
        };
        if !std::mem::take(&mut leg.awaits_answer) {
            return;
        }
        let accepted = match (leg.negotiation.as_mut(), sdp) {
            (Some(negotiation), Some(sdp)) => negotiation.accept_answer(sdp).is_ok(),
            _ => false,
        };
        let had_agreed = leg.agreed;
        if accepted {
            self.state.agree(id);
            self.state.refresh_hold();
            self.join_if_ready(now, id);
        } else if !had_agreed {
            self.state.note(now, Cause::NoCodec.sentence());
            self.state
                .act(id, LegAct::End(EndReason::Cause(Cause::NoCodec)));
            self.state.failure = Some(Cause::NoCodec);
            // Nothing was heard, so nothing was abandoned.
            self.leave_stage(now, Leaving::Over);
            let goodbye = Goodbye::Gone {
                outcome: Some(LegOutcome::Failed),
                code: None,
            };
            self.hang_up(now, EndedBy::System, goodbye);
        }
    }

    /// A 2xx to an INVITE of ours.
    fn answered(&mut self, now: Now, leg: LegId, sdp: Option<&Bytes>, late: bool) {
        let Some(state) = self.state.leg(leg).map(|leg| leg.state) else {
            return;
        };
        match state {
            LegState::Ringing => {
                if !self.state.take_answer(now, leg, sdp) {
                    self.useless_answer(now, leg);
                    return;
                }
                if late {
                    self.state.act(leg, LegAct::Keep);
                }
                self.happens(now, Happening::Answered(leg));
                self.end_if_unwanted(now, leg);
            }
            LegState::GivenUp if late => self.late_answer(now, leg, sdp),
            // Our `End` is on its way and ends it as it is.
            LegState::GivenUp => self.state.drop_leg(now, leg, None, None),
            LegState::Preparing | LegState::Unanswered { .. } | LegState::Connected => {}
        }
    }

    /// A 2xx crossed our CANCEL: it wins while nobody else has taken the call and no message has begun.
    fn late_answer(&mut self, now: Now, leg: LegId, sdp: Option<&Bytes>) {
        let is_taken = matches!(self.stage, Stage::Talking(_) | Stage::Summon(_));
        let is_free = !is_taken && !self.state.message_begun;
        if is_free && self.state.take_answer(now, leg, sdp) {
            self.state
                .note(now, "An answer crossed our giving up: it wins");
            self.state.act(leg, LegAct::Keep);
            self.converse(now, leg, true);
            return;
        }
        self.state
            .act(leg, LegAct::End(EndReason::AnsweredElsewhere));
        self.state.drop_leg(now, leg, None, Some(200));
    }

    /// A leg answered and there is nothing that both speak.
    fn useless_answer(&mut self, now: Now, leg: LegId) {
        let rang = self.state.leg(leg).is_some_and(|leg| leg.rang);
        self.state
            .act(leg, LegAct::End(EndReason::Cause(Cause::NoCodec)));
        let failure = Failure {
            code: 488,
            reason: Cause::NoCodec.sentence().into(),
            responded: true,
            rang,
        };
        self.state
            .drop_leg(now, leg, Some(LegOutcome::Failed), Some(488));
        self.happens(now, Happening::Failed(leg, failure));
    }

    /// An answered leg that no destination took is not kept.
    fn end_if_unwanted(&mut self, now: Now, leg: LegId) {
        let is_wanted = self.state.guest == Some(leg)
            || self.state.is_supervisor(leg)
            || matches!(&self.stage, Stage::Talking(conversation) if conversation.person == leg);
        if !is_wanted && !self.is_over {
            self.state.end(now, leg, EndReason::AnsweredElsewhere);
        }
    }

    pub(super) fn leg_refused(
        &mut self,
        now: Now,
        leg: LegId,
        code: u16,
        reason: String,
        responded: bool,
    ) {
        let Some((state, rang)) = self.state.leg(leg).map(|leg| (leg.state, leg.rang)) else {
            return;
        };
        match state {
            LegState::Preparing | LegState::Ringing => {
                self.state.note(now, format!("Refused: {code} {reason}"));
                let failure = Failure {
                    code,
                    reason,
                    responded,
                    rang,
                };
                let is_dialled = state == LegState::Ringing;
                if is_dialled && is_worth_another(&failure) && self.state.dial_over_next(leg) {
                    return;
                }
                self.state.refused(now, leg, &failure);
                self.happens(now, Happening::Failed(leg, failure));
            }
            LegState::GivenUp => self.state.drop_leg(now, leg, None, None),
            LegState::Unanswered { .. } | LegState::Connected => {}
        }
    }

    /// A re-INVITE, UPDATE or PRACK with an offer: answered here, whatever the other side does.
    fn offered(&mut self, now: Now, id: LegId, sdp: Option<&Bytes>) {
        let leg = self.state.leg_mut(id).filter(|leg| !leg.awaits_answer);
        let Some(leg) = leg else {
            self.state.act(id, LegAct::RefuseOffer { code: 491 });
            return;
        };
        // Its offer in a provisional response to an INVITE of ours that made none is its first.
        let is_first = leg.asks && leg.state == LegState::Ringing;
        let negotiation = leg.negotiation.as_mut();
        let usable = |negotiation: &&mut Negotiation| is_first || negotiation.agreed().is_some();
        let Some(negotiation) = negotiation.filter(usable) else {
            self.state.act(id, LegAct::RefuseOffer { code: 491 });
            return;
        };
        let (was_held, is_heard) = (leg.held, leg.agreed);
        match sdp.map(|sdp| negotiation.answer(sdp)) {
            None => {
                let sdp = negotiation.offer();
                leg.awaits_answer = true;
                self.state.act(id, LegAct::AnswerOffer { sdp });
            }
            Some(Ok((sdp, _))) => {
                if leg.sdp.is_some() {
                    leg.sdp = Some(sdp.clone());
                }
                if is_heard {
                    self.state.agree(id);
                }
                self.state.act(id, LegAct::AnswerOffer { sdp });
                let is_held = self.state.leg(id).is_some_and(|leg| leg.held);
                if is_held != was_held {
                    let text = if is_held { "Held" } else { "Resumed" };
                    self.state.note(now, text);
                }
                self.state.refresh_hold();
                self.state.watch_held(now);
            }
            Some(Err(why)) if is_first => {
                let declined = sdp.and_then(|sdp| negotiation.decline(sdp));
                self.state
                    .note(now, format!("The offer is of no use: {why}"));
                self.state.act(
                    id,
                    match declined {
                        Some(sdp) => LegAct::AnswerOffer { sdp },
                        None => LegAct::RefuseMedia { why },
                    },
                );
                self.useless_answer(now, id);
            }
            Some(Err(why)) => {
                self.state
                    .note(now, format!("A new offer is refused: {why}"));
                self.state.act(id, LegAct::RefuseMedia { why });
            }
        }
    }

    /// The answer to what we said before: the far side may have moved, or hold.
    fn refreshed(&mut self, now: Now, id: LegId, sdp: Option<&Bytes>) {
        let leg = self.state.leg_mut(id).filter(|leg| leg.agreed);
        let Some(negotiation) = leg.and_then(|leg| leg.negotiation.as_mut()) else {
            return;
        };
        match sdp.map(|sdp| negotiation.accept_answer(sdp)) {
            Some(Ok(_)) => {
                self.state.agree(id);
                self.state.refresh_hold();
                self.state.watch_held(now);
            }
            Some(Err(error)) => {
                let text = format!("The answer to a refresh is of no use: {error}");
                self.state.note(now, text);
            }
            None => {}
        }
    }

    /// A key, if it counts. To destinations only the guest's keys mean anything.
    fn key(&mut self, now: Now, id: LegId, key: char, source: KeySource) {
        let Some(leg) = self.state.leg_mut(id) else {
            return;
        };
        let agreed = leg.negotiation.as_ref().and_then(Negotiation::agreed);
        let negotiated = agreed.is_some_and(|agreed| agreed.telephone_event.is_some());
        if !leg.keys.takes(now.mono, key, source, negotiated) {
            return;
        }
        if self.supervisor_key(now, id, key) {
            return;
        }
        self.typed(now, id, key);
        if self.state.guest == Some(id) {
            self.happens(now, Happening::Key(key));
        }
    }

    pub(super) fn on_media(&mut self, now: Now, id: LegId, event: MediaEvent) {
        let Some(leg) = self.state.leg_mut(id) else {
            return;
        };
        match event {
            MediaEvent::Opened { local } => match (leg.port, leg.state) {
                (Port::Opening, LegState::Preparing) => self.state.send_invite(id, local),
                (Port::Opening, _) => self.guest_opened(now, local),
                _ => {}
            },
            MediaEvent::Failed { .. } if leg.is_connected() => {
                self.sound_ends(now, id, "The media of this leg has failed");
            }
            MediaEvent::Failed { why } => self.no_port(now, id, &why),
            MediaEvent::KeyLife(Life::Lasting) => {}
            MediaEvent::KeyLife(Life::Ending) => self.ask_for_a_key(now, id),
            MediaEvent::KeyLife(Life::Ended) => {
                self.sound_ends(now, id, "The key of the encrypted audio is used up");
            }
            // How it sounds is told past the call: the journal has it from the switch.
            MediaEvent::Ready | MediaEvent::Poor(_) | MediaEvent::Measured(_) => {}
            MediaEvent::Key(key) => self.key(now, id, key, KeySource::Media),
            MediaEvent::Played { token } => {
                let is_current = leg
                    .playing
                    .as_ref()
                    .is_some_and(|p| p.token == token && p.mode == PlayMode::Once);
                if is_current {
                    leg.playing = None;
                    if self.state.guest == Some(id) {
                        self.happens(now, Happening::Played(token));
                    }
                }
            }
            MediaEvent::Silent => {
                if leg.is_connected() && !leg.held && !leg.probing {
                    leg.probing = true;
                    self.state.note(now, "Nothing is heard of a leg: asks it");
                    self.state.act(id, LegAct::Probe);
                }
            }
        }
    }

    /// Offers what was said before once more: who has to bring a new key does so with his answer.
    fn ask_for_a_key(&mut self, now: Now, id: LegId) {
        let leg = self.state.leg_mut(id);
        let leg = leg.filter(|leg| leg.is_connected() && !leg.awaits_answer);
        if let Some(negotiation) = leg.and_then(|leg| leg.negotiation.as_mut()) {
            let sdp = negotiation.offer();
            self.state
                .note(now, "A leg's key is soon used up: asks for a new one");
            self.state.act(id, LegAct::Offer { sdp });
        }
    }

    /// A connected leg can be heard no more, whatever its far side does: it is ended, and told why.
    fn sound_ends(&mut self, now: Now, id: LegId, why: &'static str) {
        self.state.note(now, why);
        self.state.act(id, LegAct::End(EndReason::Soundless(why)));
        if self.state.guest != Some(id) {
            return self.leg_gone(now, id, true);
        }
        if self.stage.abandoned(&self.state).is_some() {
            self.state.failure = Some(Cause::SystemError);
            self.leave_stage(now, Leaving::Over);
        }
        let goodbye = Goodbye::Gone {
            outcome: None,
            code: None,
        };
        self.hang_up(now, EndedBy::System, goodbye);
    }

    fn guest_opened(&mut self, now: Now, local: std::net::SocketAddr) {
        match self.state.prepare_guest(local) {
            Ok(()) => self.guest_is_there(now),
            Err(error) => {
                self.state.failure = Some(Cause::NoCodec);
                self.state.note(now, error.to_string());
                self.stage = Stage::Nowhere;
                // Which of his lines it was: nobody can mend "no codec" when the address was wrong.
                let goodbye = Goodbye::because(Cause::NoCodec, error.to_string());
                self.state.unusable = Some(error);
                self.hang_up(now, EndedBy::System, goodbye);
            }
        }
    }

    fn no_port(&mut self, now: Now, id: LegId, why: &str) {
        self.state.note(now, format!("No media port: {why}"));
        if let Some(leg) = self.state.leg_mut(id) {
            leg.port = Port::Closed;
        }
        if self.state.guest == Some(id) {
            self.state.failure = Some(Cause::Overload);
            self.leave_stage(now, Leaving::Over);
            self.hang_up(now, EndedBy::System, Goodbye::cause(Cause::Overload));
            return;
        }
        self.leg_refused(now, id, 503, why.to_owned(), false);
    }

    pub(super) fn on_notice(&mut self, now: Now, notice: Notice) {
        let call = match &notice {
            Notice::Ring { call, .. }
            | Notice::StopRinging { call, .. }
            | Notice::NobodyRegistered { call }
            | Notice::Exhausted { call }
            | Notice::Refused { call, .. }
            | Notice::ConferenceEntered { call, .. }
            | Notice::ConferenceFull { call } => *call,
            Notice::StateChanged { .. } => return,
        };
        if call != self.state.id {
            return;
        }
        if self.stage.takes_claims() {
            self.happens(now, Happening::Notice(notice));
        } else if let Notice::Ring { member, .. } = notice {
            // It crossed our leaving.
            self.state.ask(Request::Unanswered {
                call,
                member,
                how: Unanswered::Withdrawn,
            });
        }
    }

    pub(super) fn on_timer(&mut self, now: Now, timer: Timer) {
        match timer {
            Timer::MaxCall => {
                self.state.note(now, "The longest call has been reached");
                self.hang_up(now, EndedBy::System, Goodbye::normal());
            }
            Timer::Held => {
                let held = self.state.legs.iter_mut();
                let asked: Vec<LegId> = held
                    .filter(|leg| leg.is_holding_operator() && !leg.probing)
                    .map(|leg| {
                        leg.probing = true;
                        leg.id()
                    })
                    .collect();
                for leg in asked {
                    self.state.act(leg, LegAct::Probe);
                }
                self.state.watch_held(now);
            }
            Timer::Ring(leg) => {
                let rang = self.state.leg(leg).is_some_and(|leg| leg.rang);
                self.state.give_up(now, leg, GivenUp::RangOut, true);
                self.happens(now, Happening::Failed(leg, Failure::rang_out(rang)));
            }
            Timer::Linger(leg) => self.state.drop_leg(now, leg, None, None),
            Timer::Wait | Timer::Key | Timer::Message | Timer::Comfort | Timer::Park => {
                self.happens(now, Happening::Timer(timer));
            }
        }
    }

    pub(super) fn on_command(&mut self, now: Now, command: Command) {
        match command {
            Command::Hangup => {
                self.state.note(now, "Ended by command");
                self.hang_up(now, EndedBy::System, Goodbye::normal());
            }
            Command::Drain => {
                self.state.note(now, "Ended because this PBX stops");
                if self.stage.abandoned(&self.state).is_some() {
                    self.state.failure = Some(Cause::Overload);
                    self.leave_stage(now, Leaving::Over);
                }
                self.hang_up(now, EndedBy::System, Goodbye::cause(Cause::Overload));
            }
            Command::Transfer { to } => self.transfer(now, to),
            Command::PauseRecording { paused } => {
                self.pause_recording(now, paused, "A command");
            }
            Command::DialOut { to } => self.dial_out(now, &to),
            Command::MoveLeg { leg, into } => self.hand_over(now, leg, into, Seat::Any),
            Command::HandOver { leg, into, seat } => self.hand_over(now, leg, into, seat),
            Command::Refer { by, to } => self.refer(now, by, to),
            Command::Park { by, slot } => self.park(now, by, slot),
            Command::Adopt(moved) => self.adopt(now, *moved),
            Command::OperatorGone(operator) => {
                self.state
                    .note(now, format!("{operator} is registered no more"));
            }
        }
    }
}
