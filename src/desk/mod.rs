//! The desk: the one owner of all operators' states, of each hunt's line of waiting calls, and of every claim of an operator by a call.
//!
//! What a call asks is a [`request::Request`]; the answer comes later as a [`notice::Notice`] for that call. The desk never sends SIP:
//! a claim tells the call to ring, and the call reports how it went. The wait limit of a hunt is the call's timer; ring turns and wrap-ups are the desk's.
//!
//! It also knows which calls are in which conference.
//!
//! Rules: an operator is claimed by one call at most; who becomes free goes to the call that has waited longest, across all hunts that he is a member of;
//! an operator who is away counts as not there. Forwards are never busy and belong to no call.

mod conferences;
mod line;
pub mod notice;
mod operators;
pub mod request;
mod strategy;

#[cfg(test)]
mod random;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::time::Duration;

use self::conferences::{Conferences, Place};
use self::line::{Line, Outlook, Waiting};
use self::notice::{Notice, OperatorState, Phone, Refusal};
use self::operators::Operators;
use self::request::{Request, Unanswered};
use crate::dialplan::plan::Member;
use crate::ledger::clock::Mono;
use crate::ledger::id::{CallId, Name};

/// The desk. After each `handle*`, `configure`, `set_phones` or `set_away`, drain `poll_notice`, then ask `poll_timeout`.
#[derive(Debug, Default)]
pub struct Desk {
    operators: Operators,
    line: Line,
    conferences: Conferences,
    notices: VecDeque<Notice>,
}

impl Desk {
    /// The operators of a (new) plan with their wrap-up times. Operators that are gone finish what they are in and are not rung again.
    /// An operator that is new has no phones until `set_phones` names them.
    pub fn configure(&mut self, now: Mono, operators: impl IntoIterator<Item = (Name, Duration)>) {
        self.operators.configure(operators);
        self.settle(now);
    }

    /// An operator's reachable phones now: registered bindings, or the fixed contact. Empty: offline. Unknown operators are ignored.
    pub fn set_phones(&mut self, now: Mono, operator: &Name, phones: Vec<Phone>) {
        self.operators.set_phones(operator, phones);
        self.settle(now);
    }

    /// The operator sets himself away or back.
    pub fn set_away(&mut self, now: Mono, operator: &Name, away: bool) {
        self.operators.set_away(operator, away);
        self.settle(now);
    }

    /// A call asks.
    pub fn handle(&mut self, now: Mono, request: Request) {
        self.expire(now);
        match request {
            Request::EnterHunt {
                call,
                hunt,
                members,
                strategy,
                ring,
                declined,
            } => {
                self.leave(call);
                let waiting = Waiting::new(call, hunt, members, strategy, ring, declined);
                self.line.push(waiting);
            }
            Request::LeaveHunt { call } => self.leave(call),
            Request::Claim { call, operator } => {
                let refusal = self.operators.refusal(&operator);
                self.claim(call, operator, refusal);
            }
            Request::Summon { call, operator } => {
                let refusal = self.operators.refusal_to_himself(&operator);
                self.claim(call, operator, refusal);
            }
            Request::Unanswered { call, member, how } => self.unanswered(now, call, &member, how),
            Request::Accepted { call, member } => {
                self.line.remove(call);
                self.unsay(call);
                if let Member::Operator(operator) = &member {
                    self.operators.accept(operator, call);
                }
                self.operators.end_unaccepted(call);
            }
            Request::Release { call, operator } => {
                self.rings_no_more(call, &operator);
                self.operators.release(now, &operator, call);
            }
            Request::Occupy { call, operator } => {
                self.rings_no_more(call, &operator);
                self.operators.occupy(&operator, call);
            }
            Request::EnterConference {
                call,
                conference,
                bridge,
                recording,
                most,
            } => {
                let place = Place { bridge, recording };
                let notice = match self.conferences.enter(call, conference, place, most) {
                    Some(Place { bridge, recording }) => Notice::ConferenceEntered {
                        call,
                        bridge,
                        recording,
                    },
                    None => Notice::ConferenceFull { call },
                };
                self.notices.push_back(notice);
            }
            Request::LeaveConference { call } => self.conferences.leave(call),
            Request::Gone { call } => {
                self.conferences.leave(call);
                self.line.remove(call);
                self.unsay(call);
                self.operators.release_all(now, call);
            }
        }
        self.settle(now);
    }

    /// `poll_timeout` has passed: ring turns and wrap-ups that end.
    pub fn handle_timeout(&mut self, now: Mono) {
        self.settle(now);
    }

    /// What to tell next.
    pub fn poll_notice(&mut self) -> Option<Notice> {
        self.notices.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        let turn = self.line.next_turn_end();
        let rest = self.operators.next_rest_end();
        turn.into_iter().chain(rest).min()
    }

    /// An operator's state and the call he is in; `None` for an unknown operator.
    pub fn state(&self, operator: &Name) -> Option<(OperatorState, Option<CallId>)> {
        self.operators.state(operator)
    }

    /// The calls that an operator rings, talks or is placed in.
    pub fn calls_of(&self, operator: &Name) -> Vec<CallId> {
        self.operators.calls_of(operator)
    }

    /// Waiting calls and claims alive: both 0 when no call is.
    pub fn census(&self) -> (usize, usize) {
        (self.line.len(), self.operators.claims())
    }

    /// How many calls wait in the line of `hunt`, those that ring members included.
    pub fn waiting_in(&self, hunt: &Name) -> usize {
        self.line.iter().filter(|w| w.hunt == *hunt).count()
    }

    fn claim(&mut self, call: CallId, operator: Name, refusal: Option<Refusal>) {
        match refusal {
            None => {
                let phones = self.operators.claim(&operator, call);
                self.notices.push_back(Notice::Ring {
                    call,
                    member: Member::Operator(operator),
                    phones,
                });
            }
            Some(why) => self.notices.push_back(Notice::Refused {
                call,
                operator,
                why,
            }),
        }
    }

    fn unanswered(&mut self, now: Mono, call: CallId, member: &Member, how: Unanswered) {
        if let Member::Operator(operator) = member {
            self.operators.end_claim(operator, call);
        }
        if let Some(waiting) = self.line.of(call) {
            waiting.failed(now, member, how);
        }
    }

    /// The operator is not one of those whom the waiting call rings, whatever it holds him for now.
    fn rings_no_more(&mut self, call: CallId, operator: &Name) {
        if let Some(waiting) = self.line.of(call) {
            waiting.stopped(&Member::Operator(operator.clone()));
        }
    }

    fn leave(&mut self, call: CallId) {
        self.line.remove(call);
        self.unsay(call);
        self.operators.end_unaccepted(call);
    }

    /// Takes back what the call's hunt still had to be told: another hunt must not take it for its own.
    fn unsay(&mut self, call: CallId) {
        self.notices.retain(|notice| match notice {
            Notice::Ring { call: told, .. }
            | Notice::StopRinging { call: told, .. }
            | Notice::NobodyRegistered { call: told }
            | Notice::Exhausted { call: told } => *told != call,
            Notice::Refused { .. }
            | Notice::ConferenceEntered { .. }
            | Notice::ConferenceFull { .. }
            | Notice::StateChanged { .. } => true,
        });
    }

    /// Ends what has run out by `now`: wrap-ups and ring turns.
    fn expire(&mut self, now: Mono) {
        self.operators.end_rests(now);
        for (call, member) in self.line.end_turns(now) {
            if let Member::Operator(operator) = &member {
                self.operators.end_claim(operator, call);
            }
            self.notices.push_back(Notice::StopRinging { call, member });
        }
    }

    /// Gives free members to waiting calls, oldest first, tells those that wait for nobody, and reports changed states.
    /// One pass is enough: a call leaves the line here only when it holds nobody.
    fn settle(&mut self, now: Mono) {
        self.expire(now);
        let (operators, notices) = (&mut self.operators, &mut self.notices);
        self.line.retain(|waiting| {
            for member in strategy::turn(waiting, |name| operators.is_free(name)) {
                let phones = match &member {
                    Member::Operator(name) => operators.claim(name, waiting.call),
                    Member::Forward(_) => Vec::new(),
                };
                waiting.started(now, member.clone());
                notices.push_back(Notice::Ring {
                    call: waiting.call,
                    member,
                    phones,
                });
            }
            let call = waiting.call;
            match waiting.outlook(|name| operators.is_there(name)) {
                Outlook::Wait => return true,
                Outlook::NobodyRegistered => notices.push_back(Notice::NobodyRegistered { call }),
                Outlook::Exhausted => notices.push_back(Notice::Exhausted { call }),
            }
            false
        });
        for (operator, state, call) in self.operators.changes() {
            self.notices.push_back(Notice::StateChanged {
                operator,
                state,
                call,
            });
        }
    }
}

impl Operators {
    /// Why the operator cannot be claimed now; `None`: he can.
    fn refusal(&self, operator: &Name) -> Option<Refusal> {
        match self.state(operator) {
            None | Some((OperatorState::Offline, _)) => Some(Refusal::Offline),
            Some((OperatorState::Away, _)) => Some(Refusal::Away),
            Some((OperatorState::Available, _)) => None,
            Some(_) => Some(Refusal::Busy),
        }
    }

    /// As `refusal`, for a call on his own behalf: neither rest nor absence keeps him from those.
    fn refusal_to_himself(&self, operator: &Name) -> Option<Refusal> {
        match self
            .state(operator)
            .map_or(OperatorState::Offline, |(state, _)| state)
        {
            OperatorState::Available | OperatorState::WrapUp | OperatorState::Away => None,
            OperatorState::Offline => Some(Refusal::Offline),
            OperatorState::Ringing | OperatorState::Talking => Some(Refusal::Busy),
        }
    }
}
