//! The one policy for calls to the outside: what `[outbound.*]` allows the operator, and what his limits leave.
//!
//! Every way to the outside asks [`Core::outside`] first: a dialled number, the API, a REFER and a 3xx of a phone alike. A way that does not begin with a new
//! call notes it by [`Core::note_outbound`] when it dials.

use std::time::Duration;

use super::core::Core;
use super::defence::count;
use crate::dialplan::plan::OutboundRule;
use crate::dialplan::routing::{self, Entry};
use crate::ledger::clock::Now;
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

    /// A far side outside answered: what it talks in this call counts from now.
    pub(super) fn outbound_answered(&mut self, now: Now, call: CallId) {
        if self.allowances.running() > 0 {
            let today = self.today(now);
            self.allowances.answered(call, now.mono, today);
        }
    }

    pub(super) fn outbound_ended(&mut self, now: Now, call: CallId) {
        let sums = self.allowances.end(call, now.mono);
        self.journal_talk(sums);
    }

    /// Notes what running calls have talked to the outside: so a crash forgets no more than the time since.
    pub fn charge_running(&mut self, now: Now) {
        if self.allowances.running() > 0 {
            let sums = self.allowances.running_sums(now.mono);
            self.journal_talk(sums);
        }
    }

    fn journal_talk(&mut self, sums: Vec<(Name, jiff::civil::Date, Duration)>) {
        for (operator, day, talked) in sums {
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
