//! Hunt strategies: whom a waiting call rings next.

use super::line::Waiting;
use crate::dialplan::plan::{Member, Strategy};
use crate::ledger::id::Name;

/// The members to ring now, in order; empty while there is nobody free, or while a one-at-a-time strategy rings somebody.
pub(super) fn turn(waiting: &Waiting, is_free: impl Fn(&Name) -> bool) -> Vec<Member> {
    let can_ring = |member: &&Member| {
        waiting.may_ring(member)
            && match member {
                Member::Operator(name) => is_free(name),
                Member::Forward(_) => true,
            }
    };
    match waiting.strategy {
        Strategy::RingAll => waiting.members.iter().filter(can_ring).cloned().collect(),
        Strategy::Linear if waiting.is_ringing() => Vec::new(),
        Strategy::Linear => {
            let (passed, ahead) = waiting
                .members
                .split_at(waiting.next.min(waiting.members.len()));
            let mut round = ahead.iter().chain(passed);
            round.find(can_ring).into_iter().cloned().collect()
        }
    }
}
