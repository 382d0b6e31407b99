//! The one policy for calls to the outside: what `[outbound.*]` allows the operator, and what his limits leave.
//!
//! Every way to the outside asks [`Core::outside`] first: a dialled number, the API, a REFER and a 3xx of a phone alike. A way that does not begin with a new
//! call notes it by [`Core::note_outbound`] when it dials.

use std::time::Duration;

use super::core::Core;
use super::defence::count;
use crate::dialplan::plan::OutboundRule;
use crate::dialplan::routing::{self, Entry};
use crate::ledger::clock::{Now, Wall};
use crate::ledger::id::{CallId, Name};
use crate::ledger::journal::{Entry as JournalEntry, OutboundDay};

impl Core {
    /// What `operator` reaches by dialling this, now: as `routing::from_operator`, and `NotAllowed` when one of his limits is reached.
    pub(super) fn outside(&mut self, now: Now, operator: &Name, dialled: &str) -> (Entry, String) {
        let (entry, text) = routing::from_operator(&self.plan, operator, dialled);
        let Entry::Outbound { number, .. } = &entry else {
            return (entry, text);
        };
        let Some(rule) = routing::outbound_rule(&self.plan, operator, number) else {
            return (entry, text);
        };
        let limits = self.limits_of(operator);
        let today = self.today(now);
        let Err(reached) = self
            .allowances
            .check(now.mono, today, operator, limits, rule)
        else {
            return (entry, text);
        };
        let why = reached.sentence(operator, &rule.name);
        count(&self.views.kept.refused_outbound);
        if self.allowances.is_news(now.mono, operator, reached) {
            self.journal(JournalEntry::OutboundLimit {
                tenant: self.tenant.clone(),
                operator: operator.clone(),
                reason: why.clone(),
                at: now.wall,
            });
        }
        (Entry::NotAllowed { why }, text)
    }

    /// The call dials this entry for the operator: it counts against his limits until it ends. Entries that stay inside do not.
    pub(super) fn note_outbound(&mut self, call: CallId, operator: &Name, entry: &Entry) {
        let Entry::Outbound { number, .. } = entry else {
            return;
        };
        let rule: Option<&OutboundRule> = routing::outbound_rule(&self.plan, operator, number);
        if let Some(rule) = rule {
            let rule = rule.name.clone();
            self.allowances.begin(call, operator, &rule);
        }
    }

    /// [`begins_talk`] is true in this call: what it talks to the outside counts from now.
    pub(super) fn outbound_answered(&mut self, now: Now, call: CallId) {
        if self.allowances.running() > 0 {
            let today = self.today(now);
            self.allowances.answered(call, now.mono, today);
        }
    }

    pub(super) fn outbound_ended(&mut self, now: Now, call: CallId) {
        for (operator, day, talked) in self.allowances.end(call, now.mono) {
            self.journal(JournalEntry::OutboundTalked(OutboundDay {
                tenant: self.tenant.clone(),
                operator,
                day: day.to_string(),
                talked_ms: u64::try_from(talked.as_millis()).unwrap_or(u64::MAX),
            }));
        }
    }

    /// What was talked today before a restart.
    pub fn restore_outbound(&mut self, days: Vec<OutboundDay>) {
        for day in days {
            if let Ok(date) = day.day.parse() {
                let talked = Duration::from_millis(day.talked_ms);
                self.allowances.restore(day.operator, date, talked);
            }
        }
    }

    fn limits_of(&self, operator: &Name) -> crate::dialplan::plan::OutboundLimits {
        self.plan
            .operators
            .get(operator.as_str())
            .map(|operator| operator.outbound)
            .unwrap_or_default()
    }

    /// The day in `server.time_zone`.
    fn today(&self, now: Now) -> jiff::civil::Date {
        let zone = self.plan.server.time_zone.clone();
        now.wall.timestamp().to_zoned(zone).date()
    }
}

/// Whether talk begins now that may cost: a person answers the call, or the far side of a trunk does later in it, where it was sent on to.
pub(super) fn begins_talk(entry: &JournalEntry, now: Wall) -> bool {
    match entry {
        JournalEntry::CallAnswered(_) => true,
        JournalEntry::LegChanged(_, leg) => leg.trunk.is_some() && leg.accepted_at == Some(now),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::id::LegId;
    use crate::ledger::leg::{LegKind, LegRecord};

    #[test]
    fn a_trunk_that_answers_later_in_a_call_begins_talk() {
        let [then, now] = [1_000, 2_000].map(Wall::from_micros);
        let changed = |trunk: Option<&str>, accepted_at| {
            let leg = LegRecord {
                leg_id: LegId::from_u128(1),
                kind: LegKind::Forward,
                operator: None,
                trunk: trunk.map(Name::from),
                rung_at: None,
                connected_at: accepted_at,
                accepted_at,
                ended_at: None,
                outcome: None,
                sip_code: None,
                sip_call_id: None,
            };
            JournalEntry::LegChanged(CallId::from_u128(1), Box::new(leg))
        };
        assert!(begins_talk(&changed(Some("acme"), Some(now)), now));
        assert!(!begins_talk(&changed(Some("acme"), Some(then)), now));
        assert!(!begins_talk(&changed(Some("acme"), None), now));
        assert!(!begins_talk(&changed(None, Some(now)), now));
    }
}
