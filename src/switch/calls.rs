//! Carrying out what calls ask for.

use super::core::{Core, LegPlace, Running};
use super::effect::Effect;
use super::reasons;
use crate::call::Call;
use crate::call::input::{Command as CallCommand, Input};
use crate::call::media::MediaAct;
use crate::call::output::{EndReason, LegAct, MovedLeg, Output};
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::ledger::journal::Entry;
use crate::sip::endpoint::SessionId;
use crate::sip::endpoint::command::Command;

impl Core {
    /// Takes a new call in, with its first leg if it has one, and carries out what it asks for first.
    pub(super) fn start_call(
        &mut self,
        now: Now,
        id: CallId,
        call: Call,
        first: Option<(LegId, Option<Name>)>,
    ) {
        let running = Running {
            call,
            armed: None,
            legs: Vec::new(),
        };
        self.calls.insert(id, running);
        if let Some((leg, trunk)) = first {
            self.place_leg(leg, id, trunk);
        }
        self.drain_call(now, id);
    }

    /// Notes which call a leg belongs to, and the line that it occupies.
    pub(super) fn place_leg(&mut self, leg: LegId, call: CallId, trunk: Option<Name>) {
        if let Some(trunk) = &trunk {
            self.occupy_line(leg, trunk);
        }
        let known = self.legs.insert(leg, LegPlace { call, trunk }).is_some();
        if !known && let Some(running) = self.calls.get_mut(&call) {
            running.legs.push(leg);
        }
    }

    /// Carries out everything that a call asks for, and sets its timer.
    pub(super) fn drain_call(&mut self, now: Now, id: CallId) {
        while let Some(output) = self
            .calls
            .get_mut(&id)
            .and_then(|running| running.call.poll_output())
        {
            if matches!(output, Output::Finished) {
                self.drop_call(id);
                return;
            }
            self.carry_out(now, id, output);
        }
        let Some(running) = self.calls.get_mut(&id) else {
            return;
        };
        let wanted = running.call.poll_timeout();
        if wanted == running.armed {
            return;
        }
        if let Some(old) = running.armed.take() {
            self.timers.remove(&(old, id));
        }
        if let Some(at) = wanted {
            self.timers.insert((at, id));
        }
        running.armed = wanted;
    }

    fn carry_out(&mut self, now: Now, id: CallId, output: Output) {
        match output {
            Output::Leg(leg, act) => self.act_on_leg(now, id, leg, act),
            Output::Media(act) => {
                if let MediaAct::Open { leg, .. } = act
                    && !self.legs.contains_key(&leg)
                {
                    self.place_leg(leg, id, None);
                }
                self.effects.push_back(Effect::Media(act));
            }
            Output::Record(act) => self.effects.push_back(Effect::Record(act)),
            Output::Desk(request) => self.desk.handle(now.mono, request),
            Output::Journal(entry) => {
                self.show_call(id, &entry);
                self.journal(entry);
            }
            Output::Move(into, moved) => self.move_leg(now, into, moved),
            Output::Finished => {}
        }
    }

    fn act_on_leg(&mut self, now: Now, call: CallId, leg: LegId, act: LegAct) {
        let session = SessionId(leg.as_u128());
        let command = match act {
            LegAct::Dial(dial) => {
                self.dial(now, call, leg, *dial);
                return;
            }
            LegAct::Progress { code, sdp } => Command::Progress { session, code, sdp },
            LegAct::Accept { sdp } => Command::Accept {
                session,
                sdp,
                headers: Vec::new(),
            },
            LegAct::Reject {
                code,
                cause,
                sentence,
            } => {
                self.release_line(leg);
                Command::Reject {
                    session,
                    code,
                    headers: reasons::refusal(code, cause, &sentence, &self.plan.server.domain),
                }
            }
            LegAct::End(reason) => {
                self.release_line(leg);
                Command::End {
                    session,
                    reason: Some(reasons::end_reason(reason)),
                }
            }
            LegAct::Keep => {
                self.hold_line_again(leg);
                Command::Keep { session }
            }
            LegAct::AnswerOffer { sdp } => Command::AnswerOffer { session, sdp },
            LegAct::RefuseOffer { code } => Command::RefuseOffer {
                session,
                code,
                headers: reasons::refusal(code, None, "", ""),
            },
            LegAct::Probe => Command::Probe { session },
        };
        self.endpoint.handle_command(now, command);
    }

    fn hold_line_again(&mut self, leg: LegId) {
        if let Some(trunk) = self.legs.get(&leg).and_then(|place| place.trunk.clone()) {
            self.occupy_line(leg, &trunk);
        }
    }

    fn move_leg(&mut self, now: Now, into: CallId, moved: Box<MovedLeg>) {
        let leg = moved.leg;
        if !self.calls.contains_key(&into) {
            // The call that was to take the leg ended meanwhile: nobody owns the leg any more.
            let reason = Some(reasons::end_reason(EndReason::Normal));
            let session = SessionId(leg.as_u128());
            self.endpoint
                .handle_command(now, Command::End { session, reason });
            self.effects
                .push_back(Effect::Media(MediaAct::Close { leg }));
            return;
        }
        if let Some(place) = self.legs.get_mut(&leg) {
            let from = std::mem::replace(&mut place.call, into);
            if let Some(running) = self.calls.get_mut(&from) {
                running.legs.retain(|other| *other != leg);
            }
        }
        if let Some(running) = self.calls.get_mut(&into) {
            running.legs.push(leg);
        }
        self.later
            .push_back((into, Input::Command(CallCommand::Adopt(moved))));
    }

    fn drop_call(&mut self, id: CallId) {
        let Some(running) = self.calls.remove(&id) else {
            return;
        };
        if let Some(at) = running.armed {
            self.timers.remove(&(at, id));
        }
        for leg in running.legs {
            self.release_line(leg);
            self.legs.remove(&leg);
        }
        self.views.calls.remove(&id);
    }

    fn show_call(&self, id: CallId, entry: &Entry) {
        match entry {
            Entry::CallStarted(record)
            | Entry::CallAnswered(record)
            | Entry::CallChanged(record) => {
                self.views.calls.insert(id, (**record).clone());
            }
            Entry::CallEnded { .. } => {
                self.views.calls.remove(&id);
            }
            _ => {}
        }
    }
}
