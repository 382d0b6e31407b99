//! The line: calls that wait in hunts, in order of arrival. All hunts share one order, so a shared operator goes to the caller who has waited longest.

use std::time::Duration;

use super::request::Unanswered;
use crate::dialplan::plan::{Member, Strategy};
use crate::ledger::clock::Mono;
use crate::ledger::id::{CallId, Name};

/// A phone that rings shorter than this before it gives up does not mean to ring for this call.
const PATIENCE: Duration = Duration::from_secs(2);

/// Waiting calls, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<Waiting>);

/// A call in a hunt.
#[derive(Debug)]
pub(super) struct Waiting {
    pub(super) call: CallId,
    pub(super) hunt: Name,
    /// Without repetitions, in the order written.
    pub(super) members: Vec<Member>,
    pub(super) strategy: Strategy,
    /// Where the next turn begins to look, for one-at-a-time strategies.
    pub(super) next: usize,
    ring: Duration,
    /// Not rung again by this call: declined, unreachable.
    struck: Vec<Member>,
    /// Not rung again in this wait: forwards that ring-all has rung once, members given back.
    spent: Vec<Member>,
    /// Since when each rings.
    ringing: Vec<(Member, Mono)>,
    turn_ends: Option<Mono>,
    has_rung: bool,
}

/// What a call in the line can hope for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Outlook {
    /// Somebody rings, or is worth waiting for.
    Wait,
    /// No member is there.
    NobodyRegistered,
    /// Whoever is there has declined or failed.
    Exhausted,
}

impl Waiting {
    pub(super) fn new(
        call: CallId,
        hunt: Name,
        members: Vec<Member>,
        strategy: Strategy,
        ring: Duration,
        declined: Vec<Member>,
    ) -> Waiting {
        let mut once: Vec<Member> = Vec::with_capacity(members.len());
        for member in members {
            if !once.contains(&member) {
                once.push(member);
            }
        }
        Waiting {
            call,
            hunt,
            members: once,
            strategy,
            next: 0,
            // A turn of no length would come round within the same instant.
            ring: ring.max(Duration::from_secs(1)),
            struck: declined,
            spent: Vec::new(),
            ringing: Vec::new(),
            turn_ends: None,
            has_rung: false,
        }
    }

    /// Whether this call may ring the member, were he free.
    pub(super) fn may_ring(&self, member: &Member) -> bool {
        !self.struck.contains(member)
            && !self.spent.contains(member)
            && !self.ringing.iter().any(|(ringing, _)| ringing == member)
    }

    pub(super) fn is_ringing(&self) -> bool {
        !self.ringing.is_empty()
    }

    /// The member rings from now on.
    pub(super) fn started(&mut self, now: Mono, member: Member) {
        self.has_rung = true;
        match self.strategy {
            Strategy::RingAll => {
                if matches!(member, Member::Forward(_)) {
                    self.spent.push(member.clone());
                }
            }
            Strategy::Linear => {
                let place = self.members.iter().position(|m| *m == member);
                self.next = place.map_or(0, |place| place + 1);
                self.turn_ends = Some(now + self.ring);
            }
        }
        self.ringing.push((member, now));
    }

    /// The member rings no more, and may be rung again.
    pub(super) fn stopped(&mut self, member: &Member) {
        self.ringing.retain(|(ringing, _)| ringing != member);
        if self.ringing.is_empty() {
            self.turn_ends = None;
        }
    }

    /// The member did not take the call.
    pub(super) fn failed(&mut self, now: Mono, member: &Member, how: Unanswered) {
        let since = self.ringing.iter().find(|(ringing, _)| ringing == member);
        // Ringing it again at once, and again, would be a storm.
        let too_soon = since.is_some_and(|(_, since)| now.since(*since) < PATIENCE);
        self.stopped(member);
        match how {
            Unanswered::Declined | Unanswered::Unreachable => self.struck.push(member.clone()),
            Unanswered::NoAnswer if too_soon => self.struck.push(member.clone()),
            Unanswered::Withdrawn => self.spent.push(member.clone()),
            Unanswered::NoAnswer => {}
        }
    }

    /// What is left to hope for, after every free member has been rung.
    pub(super) fn outlook(&self, is_there: impl Fn(&Name) -> bool) -> Outlook {
        let there = |member: &Member| match member {
            Member::Operator(name) => is_there(name),
            Member::Forward(_) => true,
        };
        let hope = self.members.iter().any(|m| self.may_ring(m) && there(m));
        if self.is_ringing() || hope {
            Outlook::Wait
        } else if self.has_rung || self.members.iter().any(there) {
            Outlook::Exhausted
        } else {
            Outlook::NobodyRegistered
        }
    }
}

impl Line {
    /// Joins the end.
    pub(super) fn push(&mut self, waiting: Waiting) {
        self.0.push(waiting);
    }

    pub(super) fn remove(&mut self, call: CallId) {
        self.0.retain(|waiting| waiting.call != call);
    }

    pub(super) fn of(&mut self, call: CallId) -> Option<&mut Waiting> {
        self.0.iter_mut().find(|waiting| waiting.call == call)
    }

    pub(super) fn retain(&mut self, keep: impl FnMut(&mut Waiting) -> bool) {
        self.0.retain_mut(keep);
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Waiting> {
        self.0.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Ends the turns that are over at `now`.
    pub(super) fn end_turns(&mut self, now: Mono) -> Vec<(CallId, Member)> {
        let mut ended = Vec::new();
        for waiting in &mut self.0 {
            if waiting.turn_ends.is_some_and(|end| end <= now) {
                waiting.turn_ends = None;
                let call = waiting.call;
                ended.extend(waiting.ringing.drain(..).map(|(member, _)| (call, member)));
            }
        }
        ended
    }

    pub(super) fn next_turn_end(&self) -> Option<Mono> {
        self.0.iter().filter_map(|waiting| waiting.turn_ends).min()
    }
}
