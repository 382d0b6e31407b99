//! A seat in a running call: for an INVITE that picks a ringing call up, takes a parked one, or replaces a dialog (RFC 3891).

use super::core::Core;
use crate::call::Source;
use crate::call::output::Seat;
use crate::desk::notice::OperatorState;
use crate::dialplan::routing::Entry;
use crate::ledger::id::{CallId, LegId, Name};
use crate::sip::header::replaces::Replaces;
use crate::sip::wire::{Message, Name as HeaderName};

/// A status and a sentence.
pub(super) type Refusal = (u16, &'static str);

impl Core {
    /// The seat that an INVITE asks for by Replaces.
    pub(super) fn replaced(
        &self,
        source: &Source,
        invite: &Message,
    ) -> Result<Option<(CallId, Seat)>, Refusal> {
        let mut lines = invite.headers(HeaderName::Replaces);
        let Some(line) = lines.next() else {
            return Ok(None);
        };
        let both = invite.header(HeaderName::Join).is_some();
        let replaces = match Replaces::parse(line) {
            Some(replaces) if lines.next().is_none() && !both => replaces,
            _ => return Err((400, "Replaces names one dialog, and stands without Join")),
        };
        let Source::Operator(operator) = source else {
            return Err((403, "Only operators' phones may replace dialogs"));
        };
        let (call_id, to, from) = (&replaces.call_id, &replaces.to_tag, &replaces.from_tag);
        let found = self
            .endpoint
            .find_dialog(call_id, to, from)
            .ok_or(NO_DIALOG)?;
        let leg = LegId::from_u128(found.session.0);
        let call = self.legs.get(&leg).ok_or(NO_DIALOG)?.call;
        let running = self.calls.get(&call).ok_or(NO_DIALOG)?;
        if found.is_confirmed {
            if replaces.early_only {
                return Err((486, "The call has been answered"));
            }
            if running.call.operator_on(leg) != Some(operator) {
                return Err((403, "Another operator's conversation cannot be taken"));
            }
            if running.call.other_than(leg).is_none() {
                return Err((603, "There is nobody to talk with"));
            }
            return Ok(Some((call, Seat::Of(leg))));
        }
        // RFC 3891 §3: only an early dialog that we have begun can be replaced.
        if !found.is_ours || !running.call.is_seeking() {
            return Err(NO_DIALOG);
        }
        if !self.may(operator).pick_up {
            return Err((403, "This operator may not pick calls up"));
        }
        Ok(Some((call, Seat::Ringing)))
    }

    /// The seat that a dialled code or slot means, if there is one now.
    pub(super) fn seat_of(&self, entry: &Entry) -> Option<(CallId, Seat)> {
        match entry {
            Entry::PickUp(Some(operator)) => Some((self.ringing_at(operator)?, Seat::Ringing)),
            Entry::PickUp(None) => {
                let ringing = self.plan.operators.keys();
                let oldest = ringing.filter_map(|name| self.ringing_at(name)).min()?;
                Some((oldest, Seat::Ringing))
            }
            Entry::Slot(Some(slot)) => Some((self.parked_at(slot)?, Seat::Parked)),
            Entry::Slot(None) => {
                let parked = self.calls.iter();
                let parked = parked.filter(|(_, running)| running.call.parked().is_some());
                Some((parked.map(|(id, _)| *id).min()?, Seat::Parked))
            }
            Entry::Supervise(operator, mode) => {
                Some((self.talks_in(operator)?, Seat::Supervisor(*mode)))
            }
            _ => None,
        }
    }

    /// The call in which an operator talks.
    fn talks_in(&self, operator: &Name) -> Option<CallId> {
        let mut calls = self.desk.calls_of(operator).into_iter();
        calls.find(|call| {
            let running = self.calls.get(call);
            running.is_some_and(|running| running.call.can_supervise(operator))
        })
    }

    /// The call that rings an operator.
    fn ringing_at(&self, operator: &Name) -> Option<CallId> {
        let (OperatorState::Ringing, Some(call)) = self.desk.state(operator)? else {
            return None;
        };
        self.calls.get(&call)?.call.is_seeking().then_some(call)
    }

    /// The call that is parked in a slot.
    pub(super) fn parked_at(&self, slot: &str) -> Option<CallId> {
        let mut calls = self.calls.iter();
        let found = calls.find(|(_, running)| running.call.parked() == Some(slot));
        found.map(|(id, _)| *id)
    }

    /// The slot that a call is parked in: the one asked for if it is free, else the first free one.
    pub(super) fn free_slot(&self, wanted: Option<String>) -> Option<String> {
        let is_free = |slot: &String| {
            !self.plan.extensions.contains_key(slot) && self.parked_at(slot).is_none()
        };
        match wanted {
            Some(slot) => Some(slot).filter(is_free),
            None => self
                .plan
                .features
                .slots
                .iter()
                .find(|slot| is_free(slot))
                .cloned(),
        }
    }
}

const NO_DIALOG: Refusal = (481, "There is no such dialog");
