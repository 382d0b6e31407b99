//! Carrying out what calls ask for.

use std::net::IpAddr;

use super::core::{Core, LegPlace, Running};
use super::effect::Effect;
use super::reasons;
use crate::call::Call;
use crate::call::input::{Command as CallCommand, Input};
use crate::call::media::MediaAct;
use crate::call::output::{EndReason, LegAct, MovedLeg, Output, Target};
use crate::desk::request::Request;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::ledger::journal::Entry;
use crate::ledger::leg::LegRecord;
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
            parked: None,
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
        self.place(
            leg,
            LegPlace {
                call,
                trunk,
                sip_call_id: None,
            },
        );
    }

    /// As `place_leg`, for a leg whose INVITE is ours.
    pub(super) fn place(&mut self, leg: LegId, place: LegPlace) {
        let call = place.call;
        if let Some(trunk) = &place.trunk {
            self.occupy_line(leg, trunk);
        }
        let known = self.legs.insert(leg, place).is_some();
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
                self.outbound_ended(now, id);
                self.drop_call(id);
                return;
            }
            self.carry_out(now, id, output);
        }
        self.note_parking(id);
        let Some(running) = self.calls.get_mut(&id) else {
            return;
        };
        let wanted = running.call.poll_timeout();
        self.timers.arm(&mut running.armed, wanted, &id);
    }

    fn carry_out(&mut self, now: Now, id: CallId, output: Output) {
        match output {
            Output::Leg(leg, act) => self.act_on_leg(now, id, leg, act),
            Output::Media(MediaAct::Open { leg, towards }) => {
                if !self.legs.contains_key(&leg) {
                    self.place_leg(leg, id, None);
                }
                let towards = self.far_address(now, id, leg).unwrap_or(towards);
                self.effects
                    .push_back(Effect::Media(MediaAct::Open { leg, towards }));
            }
            Output::Media(act) => {
                if let MediaAct::Close { leg } = act {
                    self.closing.note(now.mono, leg, id);
                }
                self.effects.push_back(Effect::Media(act));
            }
            Output::Record(act) => {
                self.watch.hear_recorder(&act);
                self.effects.push_back(Effect::Record(act));
            }
            Output::Desk(request) => self.desk.handle(now.mono, request),
            Output::Journal(mut entry) => {
                self.fill_call_ids(&mut entry);
                self.show_call(id, &entry);
                self.watch.touch_entry(&entry);
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
                let domain = &self.plan.server.domain;
                let mut headers = reasons::refusal(code, cause, &sentence, domain);
                self.spread_retries(&mut headers);
                Command::Reject {
                    session,
                    code,
                    headers,
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
                headers: reasons::refused_offer(code, &self.plan.server.domain),
            },
            LegAct::Offer { sdp } => Command::Offer { session, sdp },
            LegAct::Probe => Command::Probe { session },
            LegAct::ReferNotice { code, phrase } => {
                if code >= 300 {
                    self.allowances.give_up(call);
                }
                Command::ReferNotice {
                    session,
                    code,
                    phrase,
                }
            }
            LegAct::RejectMedia { why } => {
                self.release_line(leg);
                Command::Reject {
                    session,
                    code: 488,
                    headers: reasons::unusable_media(&why, &self.plan.server.domain),
                }
            }
            LegAct::RefuseMedia { why } => Command::RefuseOffer {
                session,
                code: 488,
                headers: reasons::unusable_media(&why, &self.plan.server.domain),
            },
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
            self.abandon_leg(now, into, *moved);
            return;
        }
        if let Some(place) = self.legs.get_mut(&leg) {
            let from = std::mem::replace(&mut place.call, into);
            if place.trunk.is_some() {
                self.allowances.follow(from, into);
            }
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

    /// The call that was to take a leg is over: nobody owns the leg any more.
    pub(super) fn abandon_leg(&mut self, now: Now, into: CallId, moved: MovedLeg) {
        let leg = moved.leg;
        if let Some(operator) = moved.record.operator {
            let call = into;
            self.desk
                .handle(now.mono, Request::Release { call, operator });
        }
        let reason = Some(reasons::end_reason(EndReason::Normal));
        let session = SessionId(leg.as_u128());
        self.endpoint
            .handle_command(now, Command::End { session, reason });
        self.closing.note(now.mono, leg, into);
        self.effects
            .push_back(Effect::Media(MediaAct::Close { leg }));
        self.release_line(leg);
        self.legs.remove(&leg);
    }

    fn drop_call(&mut self, id: CallId) {
        let Some(running) = self.calls.remove(&id) else {
            return;
        };
        if let Some(ticket) = running.armed {
            self.timers.cancel(ticket);
        }
        if let Some(slot) = &running.parked {
            self.watch.touch(slot);
        }
        for leg in running.legs {
            self.release_line(leg);
            self.legs.remove(&leg);
        }
        self.views.calls.remove(&id);
    }

    /// Where an outgoing leg's INVITE will really go: decides which address of ours its SDP tells.
    fn far_address(&mut self, now: Now, call: CallId, leg: LegId) -> Option<IpAddr> {
        let target = self.calls.get(&call)?.call.target(leg)?;
        match target {
            Target::Phone { operator, phone } => {
                let flow = self.phone_flow(operator, phone).ok()?.0;
                Some(flow.remote.ip())
            }
            Target::Trunk { trunk, .. } => {
                let trunk = trunk.clone();
                let places = self.places_of(now, leg, &trunk);
                places.first().map(|place| place.server.address.ip())
            }
        }
    }

    /// The call layer does not know the Call-IDs of the legs that it had dialled.
    fn fill_call_ids(&self, entry: &mut Entry) {
        let fill = |leg: &mut LegRecord| {
            if leg.sip_call_id.is_none() {
                leg.sip_call_id = self
                    .legs
                    .get(&leg.leg_id)
                    .and_then(|place| place.sip_call_id.clone());
            }
        };
        match entry {
            Entry::LegChanged(_, leg) => fill(leg),
            Entry::CallEnded { legs, .. } => legs.iter_mut().for_each(fill),
            _ => {}
        }
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
