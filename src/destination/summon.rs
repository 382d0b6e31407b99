//! The first half of a call that begins without a leg: the operator's own phones are rung; the number is dialled when he is there.

use super::claim::{Claim, Ring};
use super::operator::refusal;
use super::{Ending, Happening, Leaving, Next, Stage, claim};
use crate::call::output::Side;
use crate::call::state::State;
use crate::desk::notice::Notice;
use crate::desk::request::{Request, Unanswered};
use crate::dialplan::plan::Member;
use crate::ledger::cause::{Cause, Direction};
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// An operator who is called to his phone.
#[derive(Debug)]
pub(crate) struct Summon {
    name: Name,
    claim: Option<Claim>,
}

impl Summon {
    /// Claims the operator.
    pub(crate) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        state.note(now, format!("Calls {name} to his phone"));
        state.ask(Request::Summon {
            call: state.id,
            operator: name.clone(),
        });
        let summon = Summon {
            name: name.clone(),
            claim: None,
        };
        (Stage::Summon(summon), Next::Stay)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match what {
            Happening::Notice(Notice::Ring { member, phones, .. }) => {
                if self.claim.is_some() {
                    return Next::Stay;
                }
                if member != Member::Operator(self.name.clone()) {
                    claim::tell(state, &member, Unanswered::Withdrawn);
                    return Next::Stay;
                }
                let Some(limit) = state.plan.operators.get(&self.name).map(|o| o.ring) else {
                    return Next::fault();
                };
                let side = match state.record.direction {
                    Direction::Outbound => Side::Right,
                    Direction::Inbound | Direction::Internal => Side::Left,
                };
                let ring = Ring {
                    from: None,
                    caller: state.record.number.clone(),
                    side,
                    limit,
                };
                self.claim = Claim::begin(state, now, member, phones, &ring);
                if self.claim.is_none() {
                    return failed(Cause::Unreachable);
                }
                Next::Stay
            }
            Happening::Notice(Notice::Refused { operator, why, .. }) if operator == self.name => {
                failed(refusal(why))
            }
            Happening::Answered(leg) if self.claim.as_ref().is_some_and(|c| c.has(leg)) => {
                Next::Summoned(leg)
            }
            Happening::Failed(leg, failure) => {
                match claim::cause_of_failure(&mut self.claim, state, now, leg, &failure) {
                    None => Next::Stay,
                    Some(cause) => failed(cause),
                }
            }
            _ => Next::Stay,
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

fn failed(cause: Cause) -> Next {
    Next::End(Ending {
        failed: Some(cause),
        far: None,
    })
}
