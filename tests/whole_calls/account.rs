//! Whether the account of a call that has ended is whole.

use std::collections::HashMap;

use vats::ledger::call::CallRecord;
use vats::ledger::cause::{CallResult, Cause, Direction};
use vats::ledger::id::CallId;
use vats::ledger::journal::Entry;
use vats::ledger::leg::LegRecord;

/// The call that an entry belongs to.
pub fn call_of(entry: &Entry) -> Option<CallId> {
    match entry {
        Entry::CallStarted(call) | Entry::CallAnswered(call) | Entry::CallChanged(call) => {
            Some(call.call_id)
        }
        Entry::LegChanged(call, _) => Some(*call),
        _ => None,
    }
}

/// What is wrong with the account of a call that has ended.
pub fn faults_of(call: &CallRecord, legs: &[LegRecord]) -> Vec<&'static str> {
    let answered = call.result == Some(CallResult::Answered);
    let inbound = call.direction == Direction::Inbound;
    let missed = call.result == Some(CallResult::Missed);
    let refused = matches!(
        call.cause,
        Some(Cause::Overload | Cause::TrunkCapacity | Cause::NoCodec)
    );
    let rejected = call.result == Some(CallResult::Rejected);
    let events = 2 + u32::from(call.answered_at.is_some());
    let every = |ok: fn(&LegRecord) -> bool| legs.iter().all(ok);
    let checks = [
        (call.result.is_some(), "no result"),
        (call.ended_at.is_some(), "no end"),
        (call.ended_by.is_some(), "ended by nobody"),
        (answered == call.answered_at.is_some(), "answered or not"),
        (answered == call.talk_ms.is_some(), "talk_ms"),
        (call.wait_total_ms.is_some(), "wait_total_ms"),
        (!missed || inbound, "missed though not inbound"),
        (!missed || call.cause.is_some(), "missed without a cause"),
        (!answered || call.cause.is_none(), "answered with a cause"),
        (
            call.hunt.is_some() || call.wait_hunt_ms.is_none(),
            "it waited in no hunt",
        ),
        (
            !inbound || refused || rejected || !call.path.is_empty(),
            "no path",
        ),
        (
            !inbound || call.sip_code.is_some(),
            "the caller got no status",
        ),
        (!inbound || !legs.is_empty(), "no leg"),
        (call.sequence == events, "sequence"),
        (every(|leg| leg.ended_at.is_some()), "a leg without an end"),
        (
            every(|leg| leg.outcome.is_some()),
            "a leg without an outcome",
        ),
        (
            every(|leg| leg.connected_at.is_none() || leg.sip_code == Some(200)),
            "a connected leg without 200",
        ),
        (
            every(|leg| leg.accepted_at.is_none() || leg.connected_at.is_some()),
            "accepted without being connected",
        ),
        (
            every(|leg| leg.rung_at.is_none() || leg.sip_call_id.is_some()),
            "a leg that rang without a Call-ID",
        ),
    ];
    let wrong = checks.into_iter().filter(|(ok, _)| !ok);
    wrong.map(|(_, text)| text).collect()
}

/// How often each call started, was answered and ended.
pub fn tally(journal: &[Entry]) -> HashMap<CallId, (u32, u32, u32)> {
    let mut tally: HashMap<CallId, (u32, u32, u32)> = HashMap::new();
    for entry in journal {
        match entry {
            Entry::CallStarted(call) => tally.entry(call.call_id).or_default().0 += 1,
            Entry::CallAnswered(call) => tally.entry(call.call_id).or_default().1 += 1,
            Entry::CallEnded { call, .. } => tally.entry(call.call_id).or_default().2 += 1,
            _ => {}
        }
    }
    tally
}
