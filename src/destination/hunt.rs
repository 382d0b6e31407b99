//! A hunt: waits in the desk's line and rings the members that the desk claims for this call, until one takes it or the
//! wait limit passes. Who is rung when is the desk's business, the limit is the call's.

use std::time::Duration;

use super::claim::{self, Claim, Ring};
use super::{Happening, Leaving, Next, Stage, missing};
use crate::call::legs::GivenUp;
use crate::call::state::State;
use crate::call::timer::Timer;
use crate::desk::notice::{Notice, Phone};
use crate::desk::request::{Request, Unanswered};
use crate::dialplan::plan::{self, Destination, Member};
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::{LegId, Name};

/// A hunt that a caller waits in.
#[derive(Debug)]
pub(crate) struct Hunt {
    name: Name,
    claims: Vec<Claim>,
    /// A phone rang for this call, or a person declined.
    rang: bool,
    /// Members were called and could not be reached: why, if all for one reason.
    fault: Option<Cause>,
    /// A member declined or let it ring.
    unwilling: bool,
}

/// A caller in line who was told nothing hears ring-back after this time.
const COMFORT: Duration = Duration::from_secs(2);

impl Hunt {
    pub(super) fn enter(state: &mut State, now: Now, name: &Name) -> (Stage, Next) {
        let Some(settings) = state.plan.hunts.get(name).cloned() else {
            return missing(state, now, "hunt", name);
        };
        state.hunt_entered(now, name);
        state.timers.set(Timer::Wait, now.mono + settings.wait);
        state.timers.set(Timer::Comfort, now.mono + COMFORT);
        state.wait_sound(now, settings.music.as_ref());
        state.ask(Request::EnterHunt {
            call: state.id,
            hunt: name.clone(),
            members: settings.members,
            strategy: settings.strategy,
            ring: settings.ring,
            declined: state.declined.clone(),
        });
        let hunt = Hunt {
            name: name.clone(),
            claims: Vec::new(),
            rang: false,
            fault: None,
            unwilling: false,
        };
        (Stage::Hunt(hunt), Next::Stay)
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Next {
        match what {
            Happening::Notice(notice) => self.notice(state, now, notice),
            Happening::Rings { leg, .. } if self.claim_of(leg).is_some() => {
                self.rang = true;
                // One fork's early media is never passed on.
                state.ringing(now);
                Next::Stay
            }
            Happening::Answered(leg) if self.claim_of(leg).is_some() => Next::Person(leg),
            Happening::Failed(leg, failure) => {
                let Some(place) = self.claims.iter().position(|claim| claim.has(leg)) else {
                    return Next::Stay;
                };
                let Some(claim) = self.claims.get_mut(place) else {
                    return Next::Stay;
                };
                match claim.failed(state, now, leg, &failure) {
                    None => {}
                    Some(how) => {
                        let cause = claim.cause(how);
                        self.claims.remove(place);
                        if how == Unanswered::Unreachable {
                            self.fault = Some(claim::one_fault(self.fault, cause));
                        } else {
                            self.rang = true;
                            self.unwilling = true;
                        }
                    }
                }
                Next::Stay
            }
            Happening::Timer(Timer::Wait) => self.limit(state, now),
            Happening::Timer(Timer::Comfort) => {
                state.ringing(now);
                Next::Stay
            }
            _ => Next::Stay,
        }
    }

    fn notice(&mut self, state: &mut State, now: Now, notice: Notice) -> Next {
        let Some(settings) = self.settings(state) else {
            return Next::fault();
        };
        match notice {
            Notice::Ring { member, phones, .. } => {
                if !settings.members.contains(&member) {
                    claim::tell(state, &member, Unanswered::Withdrawn);
                    return Next::Stay;
                }
                let limit = settings.wait;
                self.ring(state, now, member, phones, limit);
                Next::Stay
            }
            Notice::StopRinging { member, .. } => {
                if let Some(place) = self.claims.iter().position(|claim| claim.member == member) {
                    let mut claim = self.claims.remove(place);
                    self.rang = true;
                    self.unwilling = true;
                    claim.stop(state, now, GivenUp::RangOut, true);
                }
                Next::Stay
            }
            Notice::NobodyRegistered { .. } => {
                let to = settings
                    .when_nobody
                    .clone()
                    .unwrap_or_else(|| settings.otherwise.clone());
                Next::Go {
                    to,
                    failed: Some(Cause::NoOperators),
                }
            }
            Notice::Exhausted { .. } => {
                let cause = match self.fault {
                    // Also of a phone that rang, and then had no codec for us.
                    Some(cause @ (Cause::NoCodec | Cause::TrunkCapacity)) if !self.unwilling => {
                        cause
                    }
                    Some(cause) if !self.rang => cause,
                    _ => Cause::NoAnswer,
                };
                Next::Go {
                    to: settings.otherwise.clone(),
                    failed: Some(cause),
                }
            }
            Notice::Refused { .. }
            | Notice::StateChanged { .. }
            | Notice::ConferenceEntered { .. }
            | Notice::ConferenceFull { .. } => Next::Stay,
        }
    }

    fn ring(
        &mut self,
        state: &mut State,
        now: Now,
        member: Member,
        phones: Vec<Phone>,
        limit: Duration,
    ) {
        if self.claims.iter().any(|claim| claim.member == member) {
            return;
        }
        let ring = Ring {
            from: Some(Destination::Hunt(self.name.clone())),
            caller: state.shown_caller(),
            side: state.far_side(),
            limit,
        };
        match Claim::begin(state, now, member, phones, &ring) {
            Some(claim) => self.claims.push(claim),
            None => self.fault = Some(Cause::Unreachable),
        }
    }

    /// The whole wait has passed.
    fn limit(&mut self, state: &mut State, now: Now) -> Next {
        let Some(to) = self.settings(state).map(|hunt| hunt.otherwise.clone()) else {
            return Next::fault();
        };
        let cause = if self.rang || !self.claims.is_empty() {
            Cause::WaitLimit
        } else if let Some(cause) = self.fault {
            cause
        } else {
            Cause::AllBusy
        };
        self.stop(state, now, Leaving::TimedOut);
        Next::Go {
            to,
            failed: Some(cause),
        }
    }

    pub(super) fn leave(mut self, state: &mut State, now: Now, how: Leaving) {
        state.hunt_left(now);
        self.stop(state, now, how);
        if how != Leaving::Taken {
            state.ask(Request::LeaveHunt { call: state.id });
        }
    }

    fn stop(&mut self, state: &mut State, now: Now, how: Leaving) {
        for claim in self.claims.drain(..) {
            claim.leave(state, now, how);
        }
    }

    fn claim_of(&self, leg: LegId) -> Option<&Claim> {
        self.claims.iter().find(|claim| claim.has(leg))
    }

    fn settings<'a>(&self, state: &'a State) -> Option<&'a plan::Hunt> {
        state.plan.hunts.get(&self.name)
    }
}
