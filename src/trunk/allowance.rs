//! What operators may still call to the outside: calls at once by operator and by rule, and minutes a day by operator.
//!
//! Whether a number may be dialled at all is `dialplan::routing`'s to say; this comes after. It holds for every call to the outside that an operator causes,
//! dialled, by API, by transfer or by a redirecting phone.

use std::collections::HashMap;
use std::time::Duration;

use jiff::civil::Date;
use smallvec::SmallVec;

use crate::dialplan::plan::{OutboundLimits, OutboundRule};
use crate::ledger::clock::Mono;
use crate::ledger::id::{CallId, Name};
use crate::ledger::id_map::IdMap;

/// How often the same limit is told of.
const TELL_AGAIN: Duration = Duration::from_secs(3_600);

/// Calls to the outside that run, and what has been talked today.
#[derive(Debug, Default)]
pub struct Allowances {
    placed: IdMap<CallId, SmallVec<[Placed; 1]>>,
    talked: HashMap<Name, (Date, Duration)>,
    told: HashMap<(Name, Reached), Mono>,
}

/// A call to the outside.
#[derive(Clone, Debug)]
struct Placed {
    operator: Name,
    rule: Name,
    /// Since the far side answered, and on which day that was.
    talks: Option<(Mono, Date)>,
}

/// A limit that is reached.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Reached {
    /// `operators.x.outbound.calls`.
    Calls(u32),
    /// `operators.x.outbound.minutes_per_day`.
    Minutes(u32),
    /// `outbound.x.max_calls`.
    Rule(u32),
}

impl Reached {
    /// A sentence with the key to change.
    pub fn sentence(self, operator: &Name, rule: &Name) -> String {
        match self {
            Reached::Calls(most) => format!(
                "{operator} has {most} calls to the outside already, the most that operators.{operator}.outbound.calls allows"
            ),
            Reached::Minutes(most) => format!(
                "{operator} has talked to the outside for {most} minutes today, all that operators.{operator}.outbound.minutes_per_day allows"
            ),
            Reached::Rule(most) => {
                format!(
                    "{most} calls run by outbound.{rule} already, the most that its max_calls allows"
                )
            }
        }
    }
}

impl Allowances {
    /// Whether the operator may place one more call by this rule. Minutes of running calls count.
    ///
    /// # Errors
    /// The limit that is reached.
    pub fn check(
        &self,
        now: Mono,
        today: Date,
        operator: &Name,
        limits: OutboundLimits,
        rule: &OutboundRule,
    ) -> Result<(), Reached> {
        let count = |ours: &dyn Fn(&Placed) -> bool| {
            let placed = self.placed.values().flatten();
            u32::try_from(placed.filter(|one| ours(one)).count()).unwrap_or(u32::MAX)
        };
        if let Some(most) = limits.calls
            && count(&|one| one.operator == *operator) >= most
        {
            return Err(Reached::Calls(most));
        }
        if let Some(most) = rule.max_calls
            && count(&|one| one.rule == rule.name) >= most
        {
            return Err(Reached::Rule(most));
        }
        match limits.minutes_per_day {
            Some(most) if self.talked(now, today, operator) >= minutes(most) => {
                Err(Reached::Minutes(most))
            }
            _ => Ok(()),
        }
    }

    /// What an operator has talked on that day, running calls included. A call belongs to the day on which it was answered.
    pub fn talked(&self, now: Mono, today: Date, operator: &Name) -> Duration {
        let before = self.before(today, operator);
        let running = self
            .placed
            .values()
            .flatten()
            .filter(|one| one.operator == *operator)
            .filter_map(|one| one.talks)
            .filter(|(_, day)| *day == today)
            .map(|(since, _)| now.since(since));
        running.fold(before, |sum, talk| sum.saturating_add(talk))
    }

    fn before(&self, day: Date, operator: &Name) -> Duration {
        match self.talked.get(operator) {
            Some((then, talked)) if *then == day => *talked,
            _ => Duration::ZERO,
        }
    }

    /// The operator places a call by this rule.
    pub fn begin(&mut self, call: CallId, operator: &Name, rule: &Name) {
        self.placed.entry(call).or_default().push(Placed {
            operator: operator.clone(),
            rule: rule.clone(),
            talks: None,
        });
    }

    /// The far side of a call answered.
    pub fn answered(&mut self, call: CallId, now: Mono, today: Date) {
        for placed in self.placed.get_mut(&call).into_iter().flatten() {
            placed.talks.get_or_insert((now, today));
        }
    }

    /// The far side of a call is another call's from now on: what it talks goes on to count there.
    pub fn follow(&mut self, from: CallId, into: CallId) {
        if let Some(placed) = self.placed.remove(&from) {
            self.placed.entry(into).or_default().extend(placed);
        }
    }

    /// What the call dialled last was not answered and is given up: it counts no more.
    pub fn give_up(&mut self, call: CallId) {
        if let Some(placed) = self.placed.get_mut(&call) {
            placed.retain(|one| one.talks.is_some());
        }
    }

    /// The call is over: whose talk of which day is how long by now, his running calls included, for the store.
    pub fn end(&mut self, call: CallId, now: Mono) -> Vec<(Name, Date, Duration)> {
        let mut sums = Vec::new();
        for placed in self.placed.remove(&call).into_iter().flatten() {
            let Some((since, day)) = placed.talks else {
                continue;
            };
            // A call that began yesterday says nothing about today.
            let newer = self
                .talked
                .get(&placed.operator)
                .is_some_and(|(then, _)| *then > day);
            if newer {
                continue;
            }
            let sum = self
                .before(day, &placed.operator)
                .saturating_add(now.since(since));
            self.talked.insert(placed.operator.clone(), (day, sum));
            sums.push((placed.operator, day));
        }
        let with_running = |(operator, day): (Name, Date)| {
            let talked = self.talked(now, day, &operator);
            (operator, day, talked)
        };
        sums.into_iter().map(with_running).collect()
    }

    /// Who talks to the outside now, and what he has talked on that day by now, for the store: should the process die, no more is lost than was talked since.
    pub fn running_sums(&self, now: Mono) -> Vec<(Name, Date, Duration)> {
        let talks = self.placed.values().flatten();
        let mut whose: Vec<(Name, Date)> = talks
            .filter_map(|one| Some((one.operator.clone(), one.talks?.1)))
            .collect();
        // What was talked on an earlier day is of no use any more.
        whose.retain(|(operator, day)| {
            let newest = self.talked.get(operator);
            newest.is_none_or(|(newest, _)| newest <= day)
        });
        whose.sort();
        whose.dedup();
        let sum = |(operator, day): (Name, Date)| {
            let talked = self.talked(now, day, &operator);
            (operator, day, talked)
        };
        whose.into_iter().map(sum).collect()
    }

    /// What was talked before a restart.
    pub fn restore(&mut self, operator: Name, day: Date, talked: Duration) {
        self.talked.insert(operator, (day, talked));
    }

    /// Whether a limit that was reached is to be told of: once an hour each.
    pub fn is_news(&mut self, now: Mono, operator: &Name, reached: Reached) -> bool {
        self.told.retain(|_, at| now.since(*at) < TELL_AGAIN);
        let key = (operator.clone(), reached);
        if self.told.contains_key(&key) {
            return false;
        }
        self.told.insert(key, now);
        true
    }

    /// Calls to the outside that run.
    pub fn running(&self) -> usize {
        self.placed.values().map(SmallVec::len).sum()
    }
}

fn minutes(count: u32) -> Duration {
    Duration::from_secs(u64::from(count) * 60)
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use proptest::prelude::*;

    use super::*;

    const MONDAY: Date = date(2026, 3, 9);

    fn at(seconds: u64) -> Mono {
        Mono::from_micros(seconds * 1_000_000)
    }

    fn rule(max_calls: Option<u32>) -> OutboundRule {
        OutboundRule {
            name: "russia".into(),
            prefixes: vec!["+7".into()],
            trunks: vec!["acme".into()],
            caller_id: None,
            allow: vec!["anna".into()],
            max_calls,
        }
    }

    fn limits(calls: Option<u32>, minutes_per_day: Option<u32>) -> OutboundLimits {
        OutboundLimits {
            calls,
            minutes_per_day,
        }
    }

    #[test]
    fn what_runs_is_told_as_if_it_ended_now() {
        let mut allowances = Allowances::default();
        let (anna, boris) = (Name::from("anna"), Name::from("boris"));
        let (one, other, third) = (
            CallId::from_u128(1),
            CallId::from_u128(2),
            CallId::from_u128(3),
        );
        let rule = Name::from("russia");
        allowances.restore(anna.clone(), MONDAY, Duration::from_secs(60));
        allowances.begin(one, &anna, &rule);
        allowances.begin(other, &anna, &rule);
        allowances.begin(third, &boris, &rule);
        assert_eq!(allowances.running_sums(at(5)), []);
        allowances.answered(one, at(10), MONDAY);
        allowances.answered(other, at(20), MONDAY);
        let sum = |seconds| vec![(anna.clone(), MONDAY, Duration::from_secs(seconds))];
        assert_eq!(allowances.running_sums(at(30)), sum(60 + 20 + 10));
        // The end of one does not take back what was told of the other.
        assert_eq!(allowances.end(one, at(40)), sum(60 + 30 + 20));
        assert_eq!(allowances.running_sums(at(50)), sum(60 + 30 + 30));
        // From yesterday.
        allowances.restore(anna.clone(), MONDAY.tomorrow().unwrap(), Duration::ZERO);
        assert_eq!(allowances.running_sums(at(60)), []);
    }

    #[test]
    fn calls_at_once_are_limited_by_operator_and_by_rule() {
        let mut allowances = Allowances::default();
        let (anna, boris) = (Name::from("anna"), Name::from("boris"));
        let call = CallId::from_u128;
        let rule = rule(Some(3));
        let two = limits(Some(2), None);
        for number in 1..=2 {
            assert_eq!(allowances.check(at(0), MONDAY, &anna, two, &rule), Ok(()));
            allowances.begin(call(number), &anna, &rule.name);
        }
        let reached = allowances.check(at(0), MONDAY, &anna, two, &rule);
        assert_eq!(reached, Err(Reached::Calls(2)));
        let sentence = Reached::Calls(2).sentence(&anna, &rule.name);
        assert!(sentence.contains("operators.anna.outbound.calls"));
        assert_eq!(allowances.check(at(0), MONDAY, &boris, two, &rule), Ok(()));
        allowances.begin(call(3), &boris, &rule.name);
        let full = allowances.check(at(0), MONDAY, &boris, two, &rule);
        assert_eq!(full, Err(Reached::Rule(3)));
        assert_eq!(allowances.end(call(1), at(9)), []);
        assert_eq!(allowances.check(at(9), MONDAY, &anna, two, &rule), Ok(()));
    }

    #[test]
    fn minutes_count_from_the_answer_on_the_day_of_it() {
        let mut allowances = Allowances::default();
        let anna = Name::from("anna");
        let call = CallId::from_u128;
        let rule = rule(None);
        let ten = limits(None, Some(10));
        allowances.begin(call(1), &anna, &rule.name);
        allowances.answered(call(1), at(100), MONDAY);
        allowances.answered(call(1), at(400), MONDAY);
        let check = |allowances: &Allowances, now, day| {
            allowances.check(at(now), day, &anna, ten, &rule).is_ok()
        };
        assert!(check(&allowances, 699, MONDAY));
        assert!(!check(&allowances, 700, MONDAY));
        let tuesday = MONDAY.tomorrow().unwrap();
        assert!(check(&allowances, 700, tuesday));
        let sums = allowances.end(call(1), at(460));
        assert_eq!(sums, [(anna.clone(), MONDAY, Duration::from_secs(360))]);
        assert!(check(&allowances, 700, MONDAY));
        allowances.restore(anna.clone(), MONDAY, minutes(10));
        assert!(!check(&allowances, 700, MONDAY));
        assert!(check(&allowances, 700, tuesday));
        assert_eq!(allowances.running(), 0);
    }

    #[test]
    fn a_far_side_that_is_passed_on_still_counts() {
        let mut allowances = Allowances::default();
        let anna = Name::from("anna");
        let call = CallId::from_u128;
        let rule = rule(None);
        let one = limits(Some(1), Some(10));
        allowances.begin(call(1), &anna, &rule.name);
        allowances.answered(call(1), at(0), MONDAY);
        allowances.follow(call(1), call(2));
        assert_eq!(allowances.end(call(1), at(60)), []);
        let reached = allowances.check(at(60), MONDAY, &anna, one, &rule);
        assert_eq!(reached, Err(Reached::Calls(1)));
        // Passed on to another number in the same call: its talk counts from its own answer.
        allowances.begin(call(2), &anna, &rule.name);
        allowances.answered(call(2), at(100), MONDAY);
        let sums = allowances.end(call(2), at(200));
        let last = sums.last().unwrap();
        assert_eq!(last.2, Duration::from_secs(300));
    }

    #[test]
    fn a_passed_on_call_counts_until_it_ends() {
        let mut allowances = Allowances::default();
        let anna = Name::from("anna");
        let [inbound, outbound] = [1, 2].map(CallId::from_u128);
        let rule = rule(None);
        let one = limits(Some(1), None);
        allowances.begin(outbound, &anna, &rule.name);
        allowances.answered(outbound, at(100), MONDAY);
        allowances.follow(outbound, inbound);
        assert_eq!(allowances.end(outbound, at(110)), []);
        let reached = allowances.check(at(110), MONDAY, &anna, one, &rule);
        assert_eq!(reached, Err(Reached::Calls(1)));
        let sums = allowances.end(inbound, at(400));
        assert_eq!(sums, [(anna.clone(), MONDAY, Duration::from_secs(300))]);
        assert_eq!(allowances.running(), 0);
    }

    #[test]
    fn what_is_given_up_takes_no_place() {
        let mut allowances = Allowances::default();
        let anna = Name::from("anna");
        let call = CallId::from_u128(1);
        allowances.begin(call, &anna, &"russia".into());
        allowances.answered(call, at(0), MONDAY);
        allowances.begin(call, &anna, &"russia".into());
        allowances.give_up(call);
        assert_eq!(allowances.running(), 1);
        assert_eq!(
            allowances.end(call, at(60)).len(),
            1,
            "the one that talks stays"
        );
    }

    #[test]
    fn a_limit_is_told_of_once_an_hour() {
        let mut allowances = Allowances::default();
        let anna = Name::from("anna");
        let told: Vec<bool> = [0, 10, 3_599, 3_600, 3_700]
            .map(|second| allowances.is_news(at(second), &anna, Reached::Calls(1)))
            .into();
        assert_eq!(told, [true, false, false, true, false]);
        assert!(allowances.is_news(at(3_700), &anna, Reached::Minutes(1)));
    }

    proptest! {
        /// What the store is told in the end is the sum of all talk.
        #[test]
        fn talk_adds_up(calls in prop::collection::vec((0u64..1_000, 0u64..500, any::<bool>()), 0..30)) {
            let mut allowances = Allowances::default();
            let anna = Name::from("anna");
            let mut sum = 0;
            for (number, (begun, length, answered)) in calls.into_iter().enumerate() {
                let call = CallId::from_u128(number as u128);
                allowances.begin(call, &anna, &"russia".into());
                if answered {
                    allowances.answered(call, at(begun), MONDAY);
                    sum += length;
                }
                for (_, _, told) in allowances.end(call, at(begun + length)) {
                    prop_assert_eq!(told, Duration::from_secs(sum));
                }
                prop_assert_eq!(allowances.talked(at(0), MONDAY, &anna), Duration::from_secs(sum));
            }
        }
    }
}
