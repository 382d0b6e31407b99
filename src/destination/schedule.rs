//! A schedule: chooses at once by the time of day.

use super::{Next, missing};
use crate::call::state::State;
use crate::ledger::cause::Cause;
use crate::ledger::clock::Now;
use crate::ledger::id::Name;

/// Where a call goes now.
pub(super) fn choose(state: &mut State, now: Now, name: &Name) -> Next {
    let Some(choice) = state.plan.schedules.get(name) else {
        return missing(state, now, "schedule", name).1;
    };
    let is_open = choice
        .schedule
        .is_open(now.wall, &state.plan.server.time_zone);
    let (to, failed) = if is_open {
        (choice.when_open.clone(), None)
    } else {
        (choice.when_closed.clone(), Some(Cause::Closed))
    };
    Next::Go { to, failed }
}
