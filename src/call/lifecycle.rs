//! How a call begins, goes from destination to destination, and ends.

use super::account::decide;
use super::conversation::Conversation;
use super::leg::{Leg, LegOwner, LegState};
use super::output::{EndReason, LegAct, Output, Seat, Side};
use super::{Arrival, Call, First, Source};
use crate::desk::request::Request;
use crate::destination::{Ending, Leaving, Next, Outbound, Stage, Summon};
use crate::dialplan::plan::AnswerPolicy;
use crate::dialplan::routing::Entry;
use crate::ledger::cause::{Cause, Direction, EndedBy};
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, LegId, Name};
use crate::ledger::leg::LegOutcome;

/// What the guest is told at the end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Goodbye {
    /// Nothing: his leg is gone.
    Gone {
        /// How it went, if it does not go without saying.
        outcome: Option<LegOutcome>,
        /// The status he got, if it was not 200.
        code: Option<u16>,
    },
    /// BYE when he is connected, else a refusal.
    Told {
        /// For a guest who is connected.
        reason: EndReason,
        /// For one who is not: the status,
        code: u16,
        /// our cause (none: the far side's status is passed on),
        cause: Option<Cause>,
        /// and the sentence.
        sentence: String,
    },
}

impl Goodbye {
    /// The other side hung up.
    pub(super) fn normal() -> Goodbye {
        Goodbye::Told {
            reason: EndReason::Normal,
            code: 480,
            cause: None,
            sentence: "The call was ended".into(),
        }
    }

    /// For a cause of ours.
    pub(super) fn cause(cause: Cause) -> Goodbye {
        Goodbye::because(cause, cause.sentence().into())
    }

    /// For a cause of ours, with a sentence that says more than the cause does.
    pub(super) fn because(cause: Cause, sentence: String) -> Goodbye {
        Goodbye::Told {
            reason: EndReason::Cause(cause),
            code: cause.sip_status(),
            cause: Some(cause),
            sentence,
        }
    }
}

impl Call {
    pub(super) fn begin_incoming(&mut self, now: Now, arrival: Arrival) {
        let state = &mut self.state;
        let owner = match &arrival.source {
            Source::Trunk(trunk) => LegOwner::Caller(trunk.clone()),
            Source::Operator(operator) => LegOwner::Operator(operator.clone()),
        };
        let side = match state.record.direction {
            Direction::Outbound => Side::Right,
            Direction::Inbound | Direction::Internal => Side::Left,
        };
        let mut leg = Leg::incoming(
            arrival.leg,
            owner,
            now.wall,
            arrival.sip_call_id,
            arrival.peer,
            arrival.offer,
            side,
        );
        leg.reliable = arrival.reliable;
        state.legs.push(leg);
        state.guest = Some(arrival.leg);
        state.calling = Some(arrival.leg);
        let caller = state.record.caller.as_deref().unwrap_or("somebody");
        let text = format!("{caller} calls {}", arrival.dialled);
        state.note(now, text);
        state.started();
        state.leg_changed(arrival.leg);
        if let Some(cause) = arrival.refuse {
            self.refuse(now, cause, cause.sentence().to_owned());
            return;
        }
        let first = match arrival.join {
            Some((into, seat)) => Ok(First::Join(into, seat)),
            None => self.first_of(now, arrival.entry),
        };
        match first {
            Ok(first) => self.first = Some(first),
            Err((cause, sentence)) => {
                self.state.rejected = Some(cause);
                self.refuse(now, cause, sentence);
                return;
            }
        }
        if let Source::Operator(operator) = arrival.source {
            let call = self.state.id;
            self.state.ask(Request::Occupy { call, operator });
        }
        self.state.open(arrival.leg);
    }

    pub(super) fn begin_originated(&mut self, now: Now, operator: &Name, entry: Entry) {
        self.state.started();
        match self.first_of(now, entry) {
            Ok(first) => self.first = Some(first),
            Err((cause, sentence)) => {
                self.state.rejected = Some(cause);
                self.refuse(now, cause, sentence);
                return;
            }
        }
        self.summon(now, operator);
    }

    /// The operator is called to his phone, to take a seat in a running call.
    pub(super) fn begin_joining(&mut self, now: Now, operator: &Name, into: CallId, seat: Seat) {
        self.state.started();
        self.first = Some(First::Join(into, seat));
        self.summon(now, operator);
    }

    fn summon(&mut self, now: Now, operator: &Name) {
        let (stage, next) = Summon::enter(&mut self.state, now, operator);
        self.stage = stage;
        self.advance(now, next);
    }

    /// What an entry begins with, or why it is refused by rule.
    pub(super) fn first_of(&mut self, now: Now, entry: Entry) -> Result<First, (Cause, String)> {
        use crate::dialplan::plan::Destination;
        match entry {
            Entry::Number(number) => match self.state.plan.numbers.get(&number) {
                Some(number) => Ok(First::Go(number.to.clone())),
                None => Err(rejection(Cause::UnknownNumber)),
            },
            Entry::Operator(name) => Ok(First::Go(Destination::Operator(name))),
            Entry::Echo => Ok(First::Go(Destination::Echo)),
            Entry::Outbound {
                number,
                trunks,
                caller_id,
            } => Ok(First::Dial {
                number,
                trunks,
                caller_id,
            }),
            Entry::NotAllowed { why } => {
                self.state.note(now, why.clone());
                Err((Cause::Blocked, why))
            }
            Entry::Unknown => Err(rejection(Cause::UnknownNumber)),
            Entry::Destination(to) => Ok(First::Go(to)),
            Entry::PickUp(_) => Err((Cause::UnknownNumber, "No call rings there".to_owned())),
            Entry::Supervise(whom, _) => Err((
                Cause::UnknownNumber,
                format!("{whom} is in no conversation"),
            )),
            Entry::Slot(_) => Err((Cause::UnknownNumber, "Nobody is parked there".to_owned())),
        }
    }

    /// The guest can hear and be heard: goes where the call leads.
    pub(super) fn guest_is_there(&mut self, now: Now) {
        if self.state.policy == AnswerPolicy::AtOnce {
            self.state.connect(now);
        }
        let first = self.first.take();
        self.begin(now, first);
    }

    /// The guest goes where he is to begin.
    pub(super) fn begin(&mut self, now: Now, first: Option<First>) {
        match first {
            Some(First::Go(to)) => self.advance(now, Next::Go { to, failed: None }),
            Some(First::Dial {
                number,
                trunks,
                caller_id,
            }) => {
                let (stage, next) =
                    Outbound::enter(&mut self.state, now, &number, trunks, caller_id);
                self.stage = stage;
                self.state.changed();
                self.advance(now, next);
            }
            Some(First::Join(into, seat)) => {
                self.stage = Stage::Joining(into, seat);
                self.state.connect(now);
                if let Some(guest) = self.state.guest {
                    self.join_if_ready(now, guest);
                }
            }
            None => self.advance(now, Next::fault()),
        }
    }

    /// Does what a destination says, and what the next ones say in turn.
    pub(super) fn advance(&mut self, now: Now, mut next: Next) {
        loop {
            match next {
                Next::Stay => return,
                Next::Go { to, failed } => {
                    self.leave_stage(now, Leaving::Over);
                    if failed.is_some() && self.is_passing() {
                        return self.give_back(now, failed, None);
                    }
                    if let Some(cause) = failed {
                        self.state.failed(now, cause);
                    }
                    if !self.state.entered(now, &to) {
                        next = Next::fault();
                        continue;
                    }
                    (self.stage, next) = Stage::enter(&mut self.state, now, &to);
                    self.state.changed();
                    if self.stage.is_ours() {
                        self.passed_on(now);
                    }
                }
                Next::Person(leg) => return self.converse(now, leg, false),
                Next::Summoned(leg) => return self.summoned(now, leg),
                Next::End(ending) if self.is_passing() => {
                    self.leave_stage(now, Leaving::Over);
                    return self.give_back(now, ending.failed, Some(&ending));
                }
                Next::End(ending) => return self.end_by_plan(now, ending),
            }
        }
    }

    pub(super) fn leave_stage(&mut self, now: Now, how: Leaving) {
        let stage = std::mem::replace(&mut self.stage, Stage::Nowhere);
        stage.leave(&mut self.state, now, how);
    }

    /// The operator for whom the call was originated is there: he becomes its guest.
    fn summoned(&mut self, now: Now, leg: LegId) {
        self.leave_stage(now, Leaving::Taken);
        let state = &mut self.state;
        state.guest = Some(leg);
        state.calling = Some(leg);
        state.record.connected_at = Some(now.wall);
        state.record.sip_code = Some(200);
        let operator = state.leg_mut(leg).and_then(|leg| {
            leg.record.accepted_at = Some(now.wall);
            leg.record.operator.clone()
        });
        if let Some(operator) = operator {
            state.note(now, format!("{operator} is there"));
            state.ask(Request::Occupy {
                call: state.id,
                operator,
            });
        }
        state.leg_changed(leg);
        self.guest_is_there(now);
    }

    /// The dial plan ends the call.
    fn end_by_plan(&mut self, now: Now, ending: Ending) {
        if let Some(cause) = ending.failed {
            self.state.failed(now, cause);
        }
        let (_, decided) = decide(&self.state.facts(None));
        // Whoever has left a message or talked is not told of a failure.
        let is_content = self.state.message_begun || self.state.answered.is_some();
        let told = self.state.failure.or(decided).filter(|_| !is_content);
        let mut goodbye = told.map_or_else(Goodbye::normal, Goodbye::cause);
        if let (
            Some((far_code, phrase)),
            Goodbye::Told {
                code,
                cause,
                sentence,
                ..
            },
        ) = (ending.far, &mut goodbye)
        {
            (*code, *cause, *sentence) = (far_code, None, phrase);
        }
        self.finish(now, EndedBy::System, None, goodbye);
    }

    /// The call is refused before anything else.
    fn refuse(&mut self, now: Now, cause: Cause, sentence: String) {
        self.state.failed(now, cause);
        let goodbye = Goodbye::Told {
            reason: EndReason::Cause(cause),
            code: cause.sip_status(),
            cause: Some(cause),
            sentence,
        };
        self.finish(now, EndedBy::System, None, goodbye);
    }

    /// The call is ended from outside the plan, or by one of its parties.
    pub(super) fn hang_up(&mut self, now: Now, by: EndedBy, goodbye: Goodbye) {
        let abandoned = self.stage.abandoned(&self.state);
        self.finish(now, by, abandoned, goodbye);
    }

    /// Ends everything that the call owns, and accounts it.
    fn finish(&mut self, now: Now, by: EndedBy, abandoned: Option<Cause>, goodbye: Goodbye) {
        if self.is_over {
            return;
        }
        self.is_over = true;
        let person = match &self.stage {
            Stage::Talking(Conversation { person, .. }) => Some(*person),
            _ => None,
        };
        self.state.is_closing = true;
        self.passing_over();
        self.leave_stage(now, Leaving::Over);
        let state = &mut self.state;
        state.forget_given_up(now);
        state.stop_recording();
        if let Some(cause) = abandoned.filter(|_| by == EndedBy::Caller) {
            state.note(now, cause.sentence());
        }
        let others: Vec<LegId> = state
            .legs
            .iter()
            .map(Leg::id)
            .filter(|id| Some(*id) != state.guest)
            .collect();
        let farewell = match &goodbye {
            Goodbye::Told { reason, .. } if person.is_some() => *reason,
            _ => EndReason::Normal,
        };
        for id in others {
            state.end(now, id, farewell);
        }
        self.part_with_guest(now, goodbye);
        let state = &mut self.state;
        state.timers.clear();
        state.record.ended_by = Some(by);
        let (result, cause) = decide(&state.facts(abandoned));
        let call = state.id;
        state.ask(Request::Gone { call });
        state.note(now, format!("The call is over: {result:?}"));
        state.close(now, result, cause);
        state.out.push_back(Output::Finished);
    }

    fn part_with_guest(&mut self, now: Now, goodbye: Goodbye) {
        let state = &mut self.state;
        let Some(guest) = state.guest else { return };
        let is_unanswered = match state.leg(guest) {
            Some(leg) => matches!(leg.state, LegState::Unanswered { .. }),
            None => return,
        };
        match goodbye {
            Goodbye::Gone { outcome, code } => {
                state.record.sip_code = code.or(state.record.sip_code);
                state.drop_leg(now, guest, outcome, code);
            }
            Goodbye::Told {
                code,
                cause,
                sentence,
                ..
            } if is_unanswered => {
                state.record.sip_code = Some(code);
                let act = match state.unusable.take() {
                    Some(why) => LegAct::RejectMedia { why },
                    None => LegAct::Reject {
                        code,
                        cause,
                        sentence,
                    },
                };
                state.act(guest, act);
                state.drop_leg(now, guest, Some(LegOutcome::Failed), Some(code));
            }
            Goodbye::Told { reason, .. } => state.end(now, guest, reason),
        }
    }
}

fn rejection(cause: Cause) -> (Cause, String) {
    (cause, cause.sentence().to_owned())
}
