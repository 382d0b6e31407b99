//! Whatever the entries: the same rows come out however they are cut into batches, and every call ends once.

use proptest::prelude::*;

use super::tests::{call, ended};
use super::*;
use crate::ledger::cause::{CallResult, Direction};

/// The tables, as far as the accounting asks for them.
#[derive(Default)]
struct Tables {
    calls: HashMap<CallId, CallRow>,
    missed: HashMap<CallId, MissedRow>,
    events: Vec<(EventType, CallId)>,
}

impl Tables {
    fn apply(&mut self, entries: &[Entry]) {
        let questions = Questions::of(entries);
        let over = |call: &CallId| {
            self.calls
                .get(call)
                .is_some_and(|row| row.record.ended_at.is_some())
        };
        let mut known = Known {
            ended: questions.ended.into_iter().filter(over).collect(),
            ..Known::default()
        };
        let mut open: Vec<MissedRow> = self
            .missed
            .values()
            .filter(|missed| missed.recovered_at.is_none())
            .cloned()
            .collect();
        open.sort_by_key(|missed| (missed.missed_at, missed.call_id));
        for missed in open {
            let party = missed
                .caller
                .clone()
                .map(|caller| (missed.tenant.clone(), caller));
            if let Some(party) = party.filter(|party| questions.parties.contains(party)) {
                known.missed.entry(party).or_default().push(missed);
            }
        }
        let effects = account(entries, known, &mut Entropy::from_number(1)).unwrap();
        self.calls.extend(
            effects
                .calls
                .into_iter()
                .map(|row| (row.record.call_id, row)),
        );
        self.missed
            .extend(effects.missed.into_iter().map(|row| (row.call_id, row)));
        let events = effects.events.into_iter();
        self.events
            .extend(events.filter_map(|event| Some((event.kind, event.call_id?))));
    }
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let one = (
        0u8..4,
        0i64..40,
        0i64..20,
        any::<bool>(),
        0u8..5,
        any::<bool>(),
    );
    prop::collection::vec(one, 1..40).prop_map(|calls| {
        let mut entries = Vec::new();
        for (number, (caller, arrived, length, answered, outbound, twice)) in
            calls.into_iter().enumerate()
        {
            let caller = (caller > 0).then(|| format!("+7916000000{caller}"));
            let mut record = call(number as u128 + 1, caller.as_deref(), arrived);
            if outbound == 0 {
                record.direction = Direction::Outbound;
            }
            entries.push(Entry::CallStarted(Box::new(record.clone())));
            let end = ended(record, arrived + length, answered);
            if twice {
                entries.push(end.clone());
            }
            entries.push(end);
        }
        entries
    })
}

proptest! {
    #[test]
    fn batches_do_not_matter_and_every_call_ends_once(entries in entries(), size in 1usize..9) {
        let (mut whole, mut parts) = (Tables::default(), Tables::default());
        whole.apply(&entries);
        for batch in entries.chunks(size) {
            parts.apply(batch);
        }
        prop_assert_eq!(&whole.calls, &parts.calls);
        prop_assert_eq!(&whole.missed, &parts.missed);
        prop_assert_eq!(&whole.events, &parts.events);
        for (call, row) in &whole.calls {
            let count = |kind| whole.events.iter().filter(|event| **event == (kind, *call)).count();
            prop_assert_eq!(count(EventType::CallEnded), 1);
            let missed = row.record.result == Some(CallResult::Missed);
            prop_assert_eq!(count(EventType::CallMissed), usize::from(missed));
            prop_assert_eq!(whole.missed.contains_key(call), missed);
        }
        let mut newest: HashMap<&str, &MissedRow> = HashMap::new();
        for missed in whole.missed.values().filter(|missed| missed.recovered_at.is_none()) {
            let Some(caller) = missed.caller.as_deref() else { continue };
            let kept = newest.entry(caller).or_insert(missed);
            if (missed.missed_at, missed.call_id) > (kept.missed_at, kept.call_id) {
                *kept = missed;
            }
        }
        for missed in whole.missed.values().filter(|missed| missed.recovered_at.is_none()) {
            let Some(caller) = missed.caller.as_deref() else { continue };
            prop_assert_eq!(missed.latest, newest[caller].call_id == missed.call_id);
        }
    }
}
