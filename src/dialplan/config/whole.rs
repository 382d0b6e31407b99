//! What only the whole plan shows: circles without a wait, waits that add up, trunks that cannot be dialled through.

use std::time::Duration;

use super::checker::{Checker, START};
use super::problem::Span;
use super::values::{Wrong, write_duration};
use crate::dialplan::graph;
use crate::dialplan::plan::{Destination, Plan};
use crate::ledger::id::Name;

/// Reports it.
pub(crate) fn look(checker: &Checker<'_>, plan: &Plan) {
    circles(checker, plan);
    long_waits(checker, plan);
    trunks(checker, plan);
}

fn circles(checker: &Checker<'_>, plan: &Plan) {
    for circle in graph::circles(plan) {
        let Some(first) = circle.first() else {
            continue;
        };
        let names: Vec<String> = circle
            .iter()
            .chain([first])
            .map(Destination::to_string)
            .collect();
        let wrong = Wrong::new(format!(
            "a call could run in this circle without end: {}",
            names.join(" -> ")
        ))
        .hint("end it with a voicemail, an announcement or hangup");
        checker.error(defined(checker, first), wrong);
    }
}

fn long_waits(checker: &Checker<'_>, plan: &Plan) {
    for name in plan.hunts.keys() {
        let from = Destination::Hunt(name.clone());
        let (wait, hunts) = graph::longest_wait(plan, &from);
        if hunts.len() < 2 || wait <= LONGEST_WAIT {
            continue;
        }
        let names: Vec<String> = hunts.iter().map(Destination::to_string).collect();
        let wrong = Wrong::new(format!(
            "a caller can wait {} in {} together",
            write_duration(wait),
            names.join(" and ")
        ))
        .hint(format!(
            "callers give up after {}: shorten their wait",
            write_duration(LONGEST_WAIT)
        ));
        checker.warn(defined(checker, &from), wrong);
    }
}

fn trunks(checker: &Checker<'_>, plan: &Plan) {
    let mute = |trunk: &Name| {
        plan.trunks
            .get(trunk)
            .is_some_and(|trunk| trunk.peers.is_empty())
    };
    let wrong = |trunk: &Name| {
        Wrong::new(format!(
            "the trunk {trunk} has no peer: no call can go out over it"
        ))
        .hint(format!("add peer = \"…\" to [trunks.{trunk}]"))
    };
    for (name, forward) in &plan.forwards {
        if mute(&forward.trunk) {
            let at = defined(checker, &Destination::Forward(name.clone()));
            checker.error(at, wrong(&forward.trunk));
        }
    }
    for (name, rule) in &plan.outbound {
        let at = checker.defined("outbound", name.as_str()).unwrap_or(START);
        for trunk in rule.trunks.iter().filter(|trunk| mute(trunk)) {
            checker.error(at, wrong(trunk));
        }
    }
}

fn defined(checker: &Checker<'_>, destination: &Destination) -> Span {
    let found = match destination {
        Destination::Menu(name) => checker.defined("menus", name.as_str()),
        Destination::Hunt(name) => checker.defined("hunts", name.as_str()),
        Destination::Operator(name) => checker.defined("operators", name.as_str()),
        Destination::Forward(name) => checker.defined("forwards", name.as_str()),
        Destination::Voicemail(name) => checker.defined("voicemails", name.as_str()),
        Destination::Announcement(name) => checker.defined("announcements", name.as_str()),
        Destination::Schedule(name) => checker.defined("schedules", name.as_str()),
        Destination::Conference(name) => checker.defined("conferences", name.as_str()),
        Destination::Echo | Destination::Hangup => None,
    };
    found.unwrap_or(START)
}

/// What a caller is ready to wait (DESIGN.md section 1).
const LONGEST_WAIT: Duration = Duration::from_secs(20);
