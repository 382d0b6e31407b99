//! What comes when a person is there: the bridge, and what may happen to it: a phone that vanishes, a transfer, a leg that moves.

use super::leg::Leg;
use super::lifecycle::Goodbye;
use super::output::{EndReason, LegAct, MovedLeg, Output, Seat};
use super::{Call, First};
use crate::call::media::MediaAct;
use crate::desk::request::Request;
use crate::destination::{Leaving, Next, Stage};
use crate::dialplan::number::E164;
use crate::dialplan::plan::{Destination, Member};
use crate::dialplan::routing::{self, Entry};
use crate::ledger::cause::{Direction, EndedBy};
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId};

/// A guest talks with a person.
#[derive(Debug)]
pub(crate) struct Conversation {
    /// The person's leg.
    pub(crate) person: LegId,
    /// Where the guest goes back to when the person's phone vanishes.
    pub(crate) back: Option<Destination>,
}

impl Call {
    /// A person accepted on a leg that was dialled. `late`: it had been given up, so the desk may have ended its claim.
    pub(super) fn converse(&mut self, now: Now, person: LegId, late: bool) {
        self.leave_stage(now, Leaving::Taken);
        let state = &mut self.state;
        state.forget_given_up(now);
        let dialling = state.leg(person).and_then(|leg| leg.dialling.clone());
        let (member, from) = dialling.map_or((None, None), |d| (d.member, d.from));
        let call = state.id;
        match member {
            // Ends every other claim of this call, and its wait in a line.
            Some(member) => state.ask(Request::Accepted { call, member }),
            None if late => state.ask(Request::LeaveHunt { call }),
            None => {}
        }
        if let Some(Destination::Hunt(hunt)) = &from {
            state.record.hunt = Some(hunt.clone());
        }
        let back =
            from.filter(|from| matches!(from, Destination::Hunt(_) | Destination::Operator(_)));
        self.talk(now, person, back);
    }

    /// Joins the guest and a connected person.
    fn talk(&mut self, now: Now, person: LegId, back: Option<Destination>) {
        self.passed_on(now);
        let state = &mut self.state;
        state.stop_guest();
        state.connect(now);
        state.join(now, person);
        if let Some(leg) = state.leg_mut(person) {
            leg.record.accepted_at.get_or_insert(now.wall);
        }
        let who = match state
            .leg(person)
            .and_then(|leg| leg.record.operator.clone())
        {
            Some(operator) => operator.to_string(),
            None => "The far side".to_owned(),
        };
        state.note(now, format!("{who} accepts"));
        let is_first = state.answered.is_none();
        if is_first {
            state.first_answer(now, person);
        }
        state.record_conversation(now, person);
        state.leg_changed(person);
        if is_first {
            state.tell_answered();
        } else {
            state.changed();
        }
        state.refresh_hold();
        state.watch_held(now);
        let caller = state
            .guest_leg()
            .and_then(|leg| leg.record.operator.clone());
        if let Some(caller) = caller {
            // Who placed the call talks from now on.
            let (call, member) = (state.id, Member::Operator(caller));
            state.ask(Request::Accepted { call, member });
        }
        self.stage = Stage::Talking(Conversation { person, back });
    }

    /// Who ends the call when this leg does.
    pub(super) fn ender(&self, leg: LegId) -> EndedBy {
        if self.state.calling == Some(leg) {
            EndedBy::Caller
        } else {
            EndedBy::Operator
        }
    }

    /// A leg without which there is no call, or no conversation, is gone. `vanished`: without a word.
    pub(super) fn leg_gone(&mut self, now: Now, leg: LegId, vanished: bool) {
        let by = self.ender(leg);
        if self.state.guest == Some(leg) {
            let goodbye = Goodbye::Gone {
                outcome: None,
                code: None,
            };
            self.hang_up(now, by, goodbye);
            return;
        }
        if self.passer_gone(now, leg) || self.supervisor_gone(now, leg) {
            return;
        }
        let back = match &mut self.stage {
            Stage::Talking(conversation) if conversation.person == leg => conversation.back.take(),
            _ => {
                self.state.drop_leg(now, leg, None, None);
                return;
            }
        };
        self.release_operator(leg);
        self.state.drop_leg(now, leg, None, None);
        match back {
            Some(to) if vanished => {
                self.state
                    .note(now, "The phone vanished: the caller goes back");
                self.state.stop_guest();
                self.state.leave_guest_bridge();
                self.advance(now, Next::Go { to, failed: None });
            }
            _ => self.hang_up(now, by, Goodbye::normal()),
        }
    }

    /// Whether there is somebody who can be sent to another destination.
    pub fn can_transfer(&self) -> bool {
        let is_nobody_there = matches!(
            self.stage,
            Stage::Opening
                | Stage::Outbound(_)
                | Stage::Summon(_)
                | Stage::Joining(..)
                | Stage::Nowhere
        );
        !is_nobody_there && self.state.guest.is_some() && self.state.passing.is_none()
    }

    /// The outside party goes to another destination; whom it talked with is out of the call.
    pub(super) fn transfer(&mut self, now: Now, to: Destination) {
        if !self.can_transfer() {
            self.state
                .note(now, "A transfer is refused: nobody is there yet");
            return;
        }
        let (guest, person) = match (&self.stage, self.state.guest) {
            (Stage::Talking(Conversation { person, .. }), Some(guest)) => (guest, *person),
            _ => {
                self.state.note(now, format!("Transferred to {to}"));
                self.state.stop_guest();
                self.advance(now, Next::Go { to, failed: None });
                return;
            }
        };
        self.state.note(now, format!("Transferred to {to}"));
        let is_outbound = self.state.record.direction == Direction::Outbound;
        let (outside, leaving) = if is_outbound && self.state.calling == Some(guest) {
            (person, guest)
        } else {
            (guest, person)
        };
        self.release_operator(leaving);
        self.state.end(now, leaving, EndReason::Normal);
        self.state.guest = Some(outside);
        self.stage = Stage::Nowhere;
        self.state.stop_guest();
        self.state.leave_guest_bridge();
        self.advance(now, Next::Go { to, failed: None });
    }

    /// The guest takes his seat in another call, once his media is agreed.
    pub(super) fn join_if_ready(&mut self, now: Now, leg: LegId) {
        let Stage::Joining(into, seat) = self.stage else {
            return;
        };
        if self.state.guest == Some(leg) && self.state.leg(leg).is_some_and(|leg| leg.agreed) {
            self.hand_over(now, leg, into, seat);
        }
    }

    /// Gives a connected leg to another call; the other side of this one ends.
    pub(super) fn hand_over(&mut self, now: Now, leg: LegId, into: CallId, seat: Seat) {
        let is_ready = self
            .state
            .leg(leg)
            .is_some_and(|leg| leg.is_connected() && leg.negotiation.is_some());
        if !is_ready || into == self.state.id {
            self.state.note(now, "A leg that is not connected stays");
            return;
        }
        let is_guest = self.state.guest == Some(leg);
        if is_guest {
            self.leave_stage(now, Leaving::Over);
            // He goes on elsewhere: nobody was missed and nobody was turned away here.
            self.state.informed = true;
        }
        let operator = self.operator_on(leg).cloned();
        if let Some(operator) = operator {
            // The other call has him before this one lets go, so that the desk finds him free at no moment.
            self.state.ask(Request::Occupy {
                call: into,
                operator,
            });
        }
        self.release_operator(leg);
        if self.state.passing.as_ref().is_some_and(|one| one.by == leg) {
            // Told before he goes: afterwards his leg is not this call's any more.
            self.passing_over();
        }
        let state = &mut self.state;
        state.stop_playing(leg);
        state.leave_bridge(leg);
        state.detach(leg);
        state.timers.stop_leg(leg);
        let Some(place) = state.legs.iter().position(|l| l.id() == leg) else {
            return;
        };
        let given = state.legs.remove(place);
        if let Some(negotiation) = given.negotiation {
            let moved = MovedLeg {
                leg,
                record: given.record,
                negotiation: Box::new(negotiation),
                seat,
            };
            state.out.push_back(Output::Move(into, Box::new(moved)));
        }
        state.note(now, format!("A leg moves to call {into}"));
        self.hang_up(now, EndedBy::System, Goodbye::normal());
    }

    /// A leg that another call gave away takes its seat; whoever had it leaves.
    pub(super) fn adopt(&mut self, now: Now, moved: MovedLeg) {
        let id = moved.leg;
        if let Seat::Supervisor(mode) = moved.seat
            && self.has_seat(moved.seat)
        {
            return self.adopt_supervisor(now, moved, mode);
        }
        if !self.has_seat(moved.seat) {
            self.state
                .note(now, "A leg cannot be taken: its seat is not there any more");
            self.state.act(id, LegAct::End(EndReason::Normal));
            self.state.media(MediaAct::Close { leg: id });
            if let Some(operator) = moved.record.operator {
                let call = self.state.id;
                let mut legs = self.state.legs.iter();
                // It may be another phone of somebody who is in this call anyway.
                if !legs.any(|leg| leg.record.operator.as_ref() == Some(&operator)) {
                    self.state.ask(Request::Release { call, operator });
                }
            }
            return;
        }
        let seat = moved.seat;
        let leg = Leg::adopted(moved);
        let operator = leg.record.operator.clone();
        self.state.legs.push(leg);
        let call = self.state.id;
        match std::mem::replace(&mut self.stage, Stage::Nowhere) {
            Stage::Talking(before) => {
                let leaving = match self.state.guest {
                    Some(guest) if seat == Seat::Of(guest) => {
                        self.state.guest = Some(before.person);
                        guest
                    }
                    _ => before.person,
                };
                // Who only changes to another phone of his is free at no moment.
                if self.operator_on(leaving) != operator.as_ref() {
                    self.release_operator(leaving);
                }
                self.state.end(now, leaving, EndReason::Normal);
            }
            stage => {
                stage.leave(&mut self.state, now, Leaving::Taken);
                self.state.forget_given_up(now);
                self.state.ask(Request::LeaveHunt { call });
            }
        }
        let side = self.state.far_side();
        if let Some(leg) = self.state.leg_mut(id) {
            leg.side = side;
        }
        if let Some(operator) = operator {
            let member = Member::Operator(operator);
            self.state.ask(Request::Accepted { call, member });
        }
        self.talk(now, id, None);
    }

    /// Whether a leg of another call can sit down there.
    fn has_seat(&self, seat: Seat) -> bool {
        let is_free = match seat {
            Seat::Any => !matches!(
                self.stage,
                Stage::Opening | Stage::Summon(_) | Stage::Joining(..) | Stage::Nowhere
            ),
            Seat::Of(leg) => self.other_than(leg).is_some(),
            Seat::Ringing => self.is_seeking(),
            Seat::Parked => self.parked().is_some(),
            Seat::Supervisor(_) => self.is_conversation(),
        };
        is_free && self.state.guest_leg().is_some()
    }

    /// Dials an outside number for the operator who is this call's guest, or will be.
    pub(super) fn dial_out(&mut self, now: Now, to: &E164) {
        let Some(operator) = self.state.record.operator.clone() else {
            self.state.note(now, "Only an operator can dial out");
            return;
        };
        let (entry, _) = routing::from_operator(&self.state.plan, &operator, to.as_str());
        let Entry::Outbound {
            number,
            trunks,
            caller_id,
        } = entry
        else {
            self.state
                .note(now, format!("{operator} may not dial {to}"));
            return;
        };
        let first = First::Dial {
            number,
            trunks,
            caller_id,
        };
        match &self.stage {
            Stage::Opening | Stage::Summon(_) => self.first = Some(first),
            Stage::Talking(_) => self.state.note(now, "Dialling out waits for a free line"),
            _ => {
                self.leave_stage(now, Leaving::Over);
                self.first = Some(first);
                self.guest_is_there(now);
            }
        }
    }
}
