//! An outside number, dialled over trunks in order: what a forward and an operator's outbound call share.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Happening, Leaving};
use crate::call::leg::Dialling;
use crate::call::legs::{Failure, GivenUp};
use crate::call::output::{Side, Target};
use crate::call::state::State;
use crate::dialplan::plan::Destination;
use crate::ledger::cause::Cause;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{LegId, Name};

/// A number being dialled.
#[derive(Debug)]
pub(super) struct DialOut {
    pub(super) number: String,
    /// Trunks not yet tried.
    pub(super) trunks: VecDeque<Name>,
    /// The number shown; `None`: as the trunk's settings say.
    pub(super) caller_id: Option<String>,
    pub(super) limit: Duration,
    pub(super) from: Option<Destination>,
    pub(super) side: Side,
    pub(super) leg: Option<LegId>,
    /// No further trunk is tried after this time; set by the first one.
    pub(super) until: Option<Mono>,
}

/// How dialling goes.
pub(super) enum Outcome {
    /// It goes on.
    Stay,
    /// The far side answered.
    Person(LegId),
    /// No trunk is left: why, and what the far side said.
    Failed(Cause, Option<(u16, String)>),
}

impl DialOut {
    /// Dials over the next trunk; `false`: none is left.
    pub(super) fn dial(&mut self, state: &mut State, now: Now) -> bool {
        if now.mono > *self.until.get_or_insert(now.mono + SEARCH) {
            return false;
        }
        let Some(trunk) = self.trunks.pop_front() else {
            return false;
        };
        let caller = match &self.caller_id {
            Some(number) => Some(number.clone()),
            None => state.shown_number(&trunk),
        };
        state.note(now, format!("Dials {} over {trunk}", self.number));
        let codecs = state.trunk_codecs(&trunk);
        let dialling = Dialling {
            target: Target::Trunk {
                trunk,
                number: self.number.clone(),
            },
            caller,
            display_name: None,
            member: None,
            from: self.from.clone(),
            side: self.side,
            codecs,
            instead: None,
        };
        self.leg = Some(state.dial(now, dialling, self.limit));
        true
    }

    pub(super) fn handle(&mut self, state: &mut State, now: Now, what: Happening) -> Outcome {
        match what {
            Happening::Rings { leg, early } if self.leg == Some(leg) => {
                if early {
                    self.pass_early_media(state, now, leg);
                } else {
                    state.ringing(now);
                }
                Outcome::Stay
            }
            Happening::Answered(leg) if self.leg == Some(leg) => Outcome::Person(leg),
            Happening::Failed(leg, failure) if self.leg == Some(leg) => {
                self.leg = None;
                state.leave_guest_bridge();
                // A person who declined is not called by another way.
                if is_worth_another(&failure) && self.dial(state, now) {
                    return Outcome::Stay;
                }
                let far = failure
                    .responded
                    .then(|| (passed_on(failure.code), failure.reason.clone()));
                Outcome::Failed(cause(&failure), far)
            }
            _ => Outcome::Stay,
        }
    }

    /// The far side speaks before it answers: the guest hears it.
    fn pass_early_media(&self, state: &mut State, now: Now, leg: LegId) {
        if !state.guest_hears() && !state.can_hear_early() {
            state.ringing(now);
            return;
        }
        state.early(now);
        state.agree(leg);
        state.stop_guest();
        state.join(now, leg);
    }

    pub(super) fn leave(self, state: &mut State, now: Now, how: Leaving) {
        let Some(leg) = self.leg else { return };
        if how == Leaving::Taken {
            state.give_up(now, leg, GivenUp::Elsewhere, false);
        } else {
            state.leave_guest_bridge();
            state.give_up(now, leg, GivenUp::Over, true);
        }
    }
}

/// Whether another trunk may do better: this one did not answer in time, or has no line or no service (RFC 3261 §21.5).
pub(crate) fn is_worth_another(failure: &Failure) -> bool {
    !failure.rang && (!failure.responded || matches!(failure.code, 408 | 500..=599))
}

/// How long a caller is kept without a sign while trunks are tried.
const SEARCH: Duration = Duration::from_secs(40);

/// What a far side's failure is accounted as.
pub(super) fn cause(failure: &Failure) -> Cause {
    let no_line = Cause::TrunkCapacity.sentence();
    // The switch begins with this sentence when it has no line to send on.
    if !failure.responded && failure.reason.starts_with(no_line) {
        Cause::TrunkCapacity
    } else if failure.code == 488 {
        Cause::NoCodec
    } else if failure.is_decline() || failure.is_no_answer() {
        Cause::NoAnswer
    } else {
        Cause::Unreachable
    }
}

/// The status to pass on: only those that mean something on the caller's side.
fn passed_on(code: u16) -> u16 {
    match code {
        // Challenges and redirections are between us and the trunk.
        401 | 407 | 300..=399 => 480,
        400..=699 => code,
        _ => 480,
    }
}
