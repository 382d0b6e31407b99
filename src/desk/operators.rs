//! Operators: who is registered, who is free, who holds whom. One claim by one call at most, and any number of calls that the operator placed himself.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::notice::{OperatorState, Phone};
use crate::ledger::clock::Mono;
use crate::ledger::id::{CallId, Name};

/// All operators of the plan, and those of an older plan who are still in a call.
#[derive(Debug, Default)]
pub(super) struct Operators {
    by_name: BTreeMap<Name, Operator>,
    /// Whom each call holds, claimed or occupied.
    held: BTreeMap<CallId, BTreeSet<Name>>,
    /// When wrap-ups end.
    rests: BTreeSet<(Mono, Name)>,
    /// Touched since the last `changes`.
    touched: BTreeSet<Name>,
}

#[derive(Debug)]
struct Operator {
    /// In the plan in force.
    listed: bool,
    wrap_up: Duration,
    phones: Vec<Phone>,
    away: bool,
    claim: Option<Claim>,
    /// Calls that he placed or was attached to, and whether they came to a conversation.
    own: BTreeMap<CallId, bool>,
    resting_until: Option<Mono>,
    /// What the outside was told last.
    told: (OperatorState, Option<CallId>),
}

#[derive(Copy, Clone, Debug)]
struct Claim {
    call: CallId,
    accepted: bool,
}

impl Operator {
    fn new() -> Operator {
        Operator {
            listed: true,
            wrap_up: Duration::ZERO,
            phones: Vec::new(),
            away: false,
            claim: None,
            own: BTreeMap::new(),
            resting_until: None,
            told: (OperatorState::Offline, None),
        }
    }

    fn is_held(&self) -> bool {
        self.claim.is_some() || !self.own.is_empty()
    }

    fn is_there(&self) -> bool {
        self.listed && !self.away && !self.phones.is_empty()
    }

    fn state(&self) -> (OperatorState, Option<CallId>) {
        let talks_in = match self.claim {
            Some(claim) if claim.accepted => Some(claim.call),
            _ => self.own.keys().next().copied(),
        };
        if talks_in.is_some() {
            (OperatorState::Talking, talks_in)
        } else if let Some(claim) = self.claim {
            (OperatorState::Ringing, Some(claim.call))
        } else if !self.listed || self.phones.is_empty() {
            (OperatorState::Offline, None)
        } else if self.away {
            (OperatorState::Away, None)
        } else if self.resting_until.is_some() {
            (OperatorState::WrapUp, None)
        } else {
            (OperatorState::Available, None)
        }
    }
}

impl Operators {
    /// The plan's operators. Those not named are dropped once no call holds them.
    pub(super) fn configure(&mut self, operators: impl IntoIterator<Item = (Name, Duration)>) {
        for (name, operator) in &mut self.by_name {
            operator.listed = false;
            self.touched.insert(name.clone());
        }
        for (name, wrap_up) in operators {
            let operator = self
                .by_name
                .entry(name.clone())
                .or_insert_with(Operator::new);
            operator.listed = true;
            operator.wrap_up = wrap_up;
            self.touched.insert(name);
        }
    }

    pub(super) fn set_phones(&mut self, name: &Name, phones: Vec<Phone>) {
        self.touch(name, |operator| operator.phones = phones);
    }

    pub(super) fn set_away(&mut self, name: &Name, away: bool) {
        self.touch(name, |operator| operator.away = away);
    }

    /// Whether waiting for him makes sense: registered and not away, free or not.
    pub(super) fn is_there(&self, name: &Name) -> bool {
        self.by_name.get(name).is_some_and(Operator::is_there)
    }

    /// Whether a call may claim him now.
    pub(super) fn is_free(&self, name: &Name) -> bool {
        self.by_name
            .get(name)
            .is_some_and(|operator| operator.state().0 == OperatorState::Available)
    }

    pub(super) fn state(&self, name: &Name) -> Option<(OperatorState, Option<CallId>)> {
        self.by_name.get(name).map(Operator::state)
    }

    /// The calls that hold him.
    pub(super) fn calls_of(&self, name: &Name) -> Vec<CallId> {
        let Some(operator) = self.by_name.get(name) else {
            return Vec::new();
        };
        let claimed = operator.claim.map(|claim| claim.call);
        let mut calls: Vec<CallId> = operator.own.keys().copied().chain(claimed).collect();
        calls.sort_unstable();
        calls.dedup();
        calls
    }

    /// Claims an operator for whom `is_free` holds; gives his phones.
    pub(super) fn claim(&mut self, name: &Name, call: CallId) -> Vec<Phone> {
        let Some(operator) = self.by_name.get_mut(name) else {
            return Vec::new();
        };
        operator.claim = Some(Claim {
            call,
            accepted: false,
        });
        self.held.entry(call).or_default().insert(name.clone());
        self.touched.insert(name.clone());
        operator.phones.clone()
    }

    /// The call's claim on him becomes a conversation. Without a claim (it ended while the acceptance was on its way) he is occupied all the same.
    pub(super) fn accept(&mut self, name: &Name, call: CallId) {
        self.touch(name, |operator| match &mut operator.claim {
            Some(claim) if claim.call == call => claim.accepted = true,
            _ => {
                operator.own.insert(call, true);
            }
        });
        self.hold(name, call);
    }

    fn hold(&mut self, name: &Name, call: CallId) {
        if self.by_name.contains_key(name) {
            self.held.entry(call).or_default().insert(name.clone());
        }
    }

    /// He is on the phone in a call of his own making.
    pub(super) fn occupy(&mut self, name: &Name, call: CallId) {
        self.touch(name, |operator| {
            operator.own.entry(call).or_insert(false);
        });
        self.hold(name, call);
    }

    /// Ends the call's claim on him if it was not accepted.
    pub(super) fn end_claim(&mut self, name: &Name, call: CallId) {
        let Some(operator) = self.by_name.get_mut(name) else {
            return;
        };
        if operator
            .claim
            .is_some_and(|claim| claim.call == call && !claim.accepted)
        {
            operator.claim = None;
            self.touched.insert(name.clone());
            self.forget(name, call);
        }
    }

    /// Ends every claim of the call that was not accepted.
    pub(super) fn end_unaccepted(&mut self, call: CallId) {
        for name in self.held_by(call) {
            self.end_claim(&name, call);
        }
    }

    /// The call lets go of him: after a conversation he rests, else he is free.
    pub(super) fn release(&mut self, now: Mono, name: &Name, call: CallId) {
        let Some(operator) = self.by_name.get_mut(name) else {
            return;
        };
        let mut talked = operator.own.remove(&call).unwrap_or(false);
        if let Some(claim) = operator.claim.filter(|claim| claim.call == call) {
            talked |= claim.accepted;
            operator.claim = None;
        }
        if talked && !operator.wrap_up.is_zero() {
            let until = now + operator.wrap_up;
            if let Some(before) = operator.resting_until.replace(until) {
                self.rests.remove(&(before, name.clone()));
            }
            self.rests.insert((until, name.clone()));
        }
        self.touched.insert(name.clone());
        self.forget(name, call);
    }

    /// Releases everyone whom the call holds.
    pub(super) fn release_all(&mut self, now: Mono, call: CallId) {
        for name in self.held_by(call) {
            self.release(now, &name, call);
        }
    }

    /// Ends the wrap-ups that are over at `now`.
    pub(super) fn end_rests(&mut self, now: Mono) {
        while let Some((until, name)) = self.rests.first().cloned() {
            if until > now {
                break;
            }
            self.rests.pop_first();
            self.touch(&name, |operator| operator.resting_until = None);
        }
    }

    pub(super) fn next_rest_end(&self) -> Option<Mono> {
        self.rests.first().map(|(until, _)| *until)
    }

    /// How many operators calls hold.
    pub(super) fn claims(&self) -> usize {
        self.held.values().map(BTreeSet::len).sum()
    }

    /// Whose state differs from what was told last, by name; drops those that left the plan and are held by nobody.
    pub(super) fn changes(&mut self) -> Vec<(Name, OperatorState, Option<CallId>)> {
        let mut changes = Vec::new();
        for name in std::mem::take(&mut self.touched) {
            let Some(operator) = self.by_name.get_mut(&name) else {
                continue;
            };
            let (state, call) = operator.state();
            if operator.told != (state, call) {
                operator.told = (state, call);
                changes.push((name.clone(), state, call));
            }
            if !operator.listed && !operator.is_held() {
                if let Some(until) = operator.resting_until {
                    self.rests.remove(&(until, name.clone()));
                }
                self.by_name.remove(&name);
            }
        }
        changes
    }

    fn touch(&mut self, name: &Name, change: impl FnOnce(&mut Operator)) {
        if let Some(operator) = self.by_name.get_mut(name) {
            change(operator);
            self.touched.insert(name.clone());
        }
    }

    fn held_by(&self, call: CallId) -> Vec<Name> {
        let held = self.held.get(&call);
        held.into_iter().flatten().cloned().collect()
    }

    /// Takes him from the call's list unless it still holds him in another way.
    fn forget(&mut self, name: &Name, call: CallId) {
        let still = self.by_name.get(name).is_some_and(|operator| {
            operator.own.contains_key(&call)
                || operator.claim.is_some_and(|claim| claim.call == call)
        });
        if still {
            return;
        }
        if let Some(names) = self.held.get_mut(&call) {
            names.remove(name);
            if names.is_empty() {
                self.held.remove(&call);
            }
        }
    }
}
