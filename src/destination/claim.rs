//! A member of the desk that is claimed for the call and being rung: all phones of an operator, or an outside number.

use std::time::Duration;

use super::{Leaving, dial_out};
use crate::call::leg::Dialling;
use crate::call::legs::{Failure, GivenUp};
use crate::call::output::{Side, Target};
use crate::call::state::State;
use crate::desk::notice::Phone;
use crate::desk::request::{Request, Unanswered};
use crate::dialplan::plan::{Destination, Member};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::LegId;

/// A claimed member.
#[derive(Debug)]
pub(super) struct Claim {
    pub(super) member: Member,
    /// Legs that still ring.
    legs: Vec<LegId>,
    declined: bool,
    rang_out: bool,
    /// Why its legs failed that nobody refused, when all did for one reason.
    fault: Option<Cause>,
}

/// How the member is rung.
pub(super) struct Ring {
    /// The destination that rings him.
    pub(super) from: Option<Destination>,
    /// Who is shown to him.
    pub(super) caller: Option<String>,
    /// His side of the recording.
    pub(super) side: Side,
    /// How long.
    pub(super) limit: Duration,
}

impl Claim {
    /// Rings every phone of the member. Without any there is nothing to ring: gives the claim back as unreachable.
    pub(super) fn begin(
        state: &mut State,
        now: Now,
        member: Member,
        phones: Vec<Phone>,
        ring: &Ring,
    ) -> Option<Claim> {
        let legs = match &member {
            Member::Operator(operator) => {
                state.note(now, format!("Rings {operator}"));
                phones
                    .into_iter()
                    .map(|phone| {
                        let target = Target::Phone {
                            operator: operator.clone(),
                            phone,
                        };
                        let dialling = dialling(state, target, &member, ring);
                        state.dial(now, dialling, ring.limit)
                    })
                    .collect()
            }
            Member::Forward(name) => match state.plan.forwards.get(name) {
                Some(forward) => {
                    let limit = forward.ring.min(ring.limit);
                    let target = Target::Trunk {
                        trunk: forward.trunk.clone(),
                        number: forward.to.as_str().to_owned(),
                    };
                    state.note(now, format!("Rings forward:{name}"));
                    let dialling = dialling(state, target, &member, ring);
                    vec![state.dial(now, dialling, limit)]
                }
                None => Vec::new(),
            },
        };
        if legs.is_empty() {
            tell(state, &member, Unanswered::Unreachable);
            return None;
        }
        Some(Claim {
            member,
            legs,
            declined: false,
            rang_out: false,
            fault: None,
        })
    }

    /// Whether the leg is one of its.
    pub(super) fn has(&self, leg: LegId) -> bool {
        self.legs.contains(&leg)
    }

    /// One of its legs failed. When that was the last, or said no for all, tells the desk and gives how the member failed.
    pub(super) fn failed(
        &mut self,
        state: &mut State,
        now: Now,
        leg: LegId,
        failure: &Failure,
    ) -> Option<Unanswered> {
        self.legs.retain(|ringing| *ringing != leg);
        self.declined |= failure.is_decline();
        self.rang_out |= failure.is_no_answer();
        self.fault = Some(one_fault(self.fault, dial_out::cause(failure)));
        if failure.code >= 600 {
            self.stop(state, now, GivenUp::Over, false);
        }
        if !self.legs.is_empty() {
            return None;
        }
        let how = if self.declined {
            state.declined.push(self.member.clone());
            Unanswered::Declined
        } else if self.rang_out {
            Unanswered::NoAnswer
        } else {
            Unanswered::Unreachable
        };
        state.note(now, format!("{}: {how:?}", name_of(&self.member)));
        tell(state, &self.member, how);
        Some(how)
    }

    /// What it counts as that the member did not take the call.
    pub(super) fn cause(&self, how: Unanswered) -> Cause {
        match how {
            Unanswered::Declined | Unanswered::NoAnswer | Unanswered::Withdrawn => Cause::NoAnswer,
            Unanswered::Unreachable => self.fault.unwrap_or(Cause::Unreachable),
        }
    }

    /// Stops ringing, except on legs that are answered by now.
    pub(super) fn stop(&mut self, state: &mut State, now: Now, why: GivenUp, linger: bool) {
        for leg in self.legs.drain(..) {
            state.give_up(now, leg, why, linger);
        }
    }

    /// Stops ringing because the destination is left.
    pub(super) fn leave(mut self, state: &mut State, now: Now, how: Leaving) {
        let (why, linger) = match how {
            Leaving::Taken => (GivenUp::Elsewhere, false),
            Leaving::TimedOut => (GivenUp::RangOut, true),
            Leaving::Over => (GivenUp::Over, true),
        };
        self.stop(state, now, why, linger);
    }
}

/// A leg of the only claim failed. When that was its last, the claim is over: the cause.
pub(super) fn cause_of_failure(
    only: &mut Option<Claim>,
    state: &mut State,
    now: Now,
    leg: LegId,
    failure: &Failure,
) -> Option<Cause> {
    let claim = only.as_mut().filter(|claim| claim.has(leg))?;
    let how = claim.failed(state, now, leg, failure)?;
    let cause = claim.cause(how);
    *only = None;
    Some(cause)
}

/// Several faults as one: a full trunk or a codec only where it was the only reason.
pub(super) fn one_fault(before: Option<Cause>, now: Cause) -> Cause {
    match (before, now) {
        (None | Some(Cause::NoCodec), Cause::NoCodec) => Cause::NoCodec,
        (None | Some(Cause::TrunkCapacity), Cause::TrunkCapacity) => Cause::TrunkCapacity,
        _ => Cause::Unreachable,
    }
}

/// Tells the desk that a claimed member did not take the call.
pub(super) fn tell(state: &mut State, member: &Member, how: Unanswered) {
    let request = Request::Unanswered {
        call: state.id,
        member: member.clone(),
        how,
    };
    state.ask(request);
}

fn dialling(state: &State, target: Target, member: &Member, ring: &Ring) -> Dialling {
    let (caller, display_name, codecs) = match &target {
        Target::Phone { .. } => (
            ring.caller.clone(),
            state.display_name.clone(),
            state.phone_codecs(match member {
                Member::Operator(name) => Some(name),
                Member::Forward(_) => None,
            }),
        ),
        Target::Trunk { trunk, .. } => (state.shown_number(trunk), None, state.trunk_codecs(trunk)),
    };
    Dialling {
        target,
        caller,
        display_name,
        member: Some(member.clone()),
        from: ring.from.clone(),
        side: ring.side,
        codecs,
        instead: None,
    }
}

fn name_of(member: &Member) -> String {
    match member {
        Member::Operator(name) => name.to_string(),
        Member::Forward(name) => format!("forward:{name}"),
    }
}
