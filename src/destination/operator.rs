//! One operator: claimed at the desk, rung on all his phones, else his `otherwise`.

use super::claim::{self, Claim, Ring};
use super::{Happening, Leaving, Next, Stage, missing};
use crate::call::state::State;
use crate::desk::notice::{Notice, Refusal};
use crate::desk::request::{Request, Unanswered};
use crate::dialplan::plan::{Destination, Member};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// An operator who is sought.
#[derive(Debug)]
pub(crate) struct Operator {
    name: Name,
    claim: Option<Claim>,
}

impl Operator {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        if !state.plan.operators.contains_key(name) {
            return missing(state, now, "operator", name);
        }
        state.wait_sound(now, None);
        state.ask(Request::Claim {
            call: state.id,
            operator: name.clone(),
        });
        let operator = Operator {
            name: name.clone(),
            claim: None,
        };
        (Stage::Operator(operator), Next::Stay)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match what {
            Happening::Notice(Notice::Ring { member, phones, .. }) => {
                if self.claim.is_some() {
                    return Next::Stay;
                }
                if member != Member::Operator(self.name.clone()) {
                    // Of a hunt that was left while the desk spoke.
                    claim::tell(state, &member, Unanswered::Withdrawn);
                    return Next::Stay;
                }
                let Some(limit) = state.plan.operators.get(&self.name).map(|o| o.ring) else {
                    return Next::fault();
                };
                let ring = Ring {
                    from: Some(Destination::Operator(self.name.clone())),
                    caller: state.shown_caller(),
                    side: state.far_side(),
                    limit,
                };
                self.claim = Claim::begin(state, now, member, phones, &ring);
                if self.claim.is_none() {
                    return self.otherwise(state, Cause::Unreachable);
                }
                Next::Stay
            }
            Happening::Notice(Notice::Refused { operator, why, .. }) if operator == self.name => {
                self.otherwise(state, refusal(why))
            }
            Happening::Rings { leg, .. } if self.claim.as_ref().is_some_and(|c| c.has(leg)) => {
                state.ringing(now);
                Next::Stay
            }
            Happening::Answered(leg) if self.claim.as_ref().is_some_and(|c| c.has(leg)) => {
                Next::Person(leg)
            }
            Happening::Failed(leg, failure) => {
                match claim::cause_of_failure(&mut self.claim, state, now, leg, &failure) {
                    None => Next::Stay,
                    Some(cause) => self.otherwise(state, cause),
                }
            }
            _ => Next::Stay,
        }
    }

    fn otherwise(&self, state: &State, cause: Cause) -> Next {
        match state.plan.operators.get(&self.name) {
            Some(operator) => Next::Go {
                to: operator.otherwise.clone(),
                failed: Some(cause),
            },
            None => Next::fault(),
        }
    }

    pub(super) fn leave(self, state: &mut State, now: Now, how: Leaving) {
        if let Some(claim) = self.claim {
            let member = claim.member.clone();
            claim.leave(state, now, how);
            if how != Leaving::Taken {
                claim::tell(state, &member, Unanswered::Withdrawn);
            }
        }
    }
}

/// The cause when an operator cannot be claimed.
pub(super) const fn refusal(why: Refusal) -> Cause {
    match why {
        Refusal::Offline | Refusal::Away => Cause::NoOperators,
        Refusal::Busy => Cause::AllBusy,
    }
}
