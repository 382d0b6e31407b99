//! How many calls run over each trunk, held against `max_calls`, and how fast they go out, held against `calls_per_second`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::ledger::clock::Mono;
use crate::ledger::id::{LegId, Name};
use crate::ledger::id_map::IdMap;

/// The legs in use on each trunk. A leg is counted once, however often it is taken or given back.
#[derive(Debug, Default)]
pub struct Capacity {
    legs: IdMap<LegId, Name>,
    counts: BTreeMap<Name, u32>,
}

/// The trunk has `max_calls` calls already.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("All {max} lines of the trunk are in use")]
pub struct Full {
    /// Its `max_calls`.
    pub max: u32,
}

impl Capacity {
    /// Takes a line of the trunk for a leg; `max` as the plan in force says.
    pub fn take(&mut self, trunk: &Name, leg: LegId, max: Option<u32>) -> Result<(), Full> {
        if self.legs.contains_key(&leg) {
            return Ok(());
        }
        let count = self.calls(trunk);
        if let Some(max) = max.filter(|max| count >= *max) {
            return Err(Full { max });
        }
        self.legs.insert(leg, trunk.clone());
        self.counts.insert(trunk.clone(), count + 1);
        Ok(())
    }

    /// The leg is over. Its trunk, if it held a line.
    pub fn give_back(&mut self, leg: LegId) -> Option<Name> {
        let trunk = self.legs.remove(&leg)?;
        match self.calls(&trunk) {
            0 | 1 => self.counts.remove(&trunk),
            more => self.counts.insert(trunk.clone(), more - 1),
        };
        Some(trunk)
    }

    /// Calls on the trunk now.
    pub fn calls(&self, trunk: &Name) -> u32 {
        self.counts.get(trunk).copied().unwrap_or(0)
    }
}

/// The pace of the calls that go out over each trunk: as many at once as a second allows, then evenly.
#[derive(Debug, Default)]
pub struct Pace {
    /// When a trunk's next call would be on time if all so far had come evenly.
    next: BTreeMap<Name, Mono>,
}

impl Pace {
    /// Whether one more call may go out now; if so it is counted.
    pub fn admit(&mut self, now: Mono, trunk: &Name, per_second: Option<u32>) -> bool {
        let Some(rate) = per_second.filter(|rate| *rate > 0) else {
            return true;
        };
        let second = Duration::from_secs(1);
        let next = self.next.get(trunk).copied().unwrap_or(now).max(now) + second / rate;
        let fits = next <= now + second;
        if fits {
            self.next.insert(trunk.clone(), next);
        }
        fits
    }

    /// Forgets the trunks that are no more.
    pub fn retain(&mut self, is_there: impl Fn(&Name) -> bool) {
        self.next.retain(|name, _| is_there(name));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_go_out_at_their_pace() {
        let mut pace = Pace::default();
        let acme = Name::from("acme");
        let at = |millis| Mono::ZERO + Duration::from_millis(millis);
        let mut sent = 0;
        for millis in (0..10_000).step_by(10) {
            sent += u32::from(pace.admit(at(millis), &acme, Some(4)));
            if millis == 0 {
                assert!((1..4).all(|_| pace.admit(at(0), &acme, Some(4))));
                assert!(!pace.admit(at(0), &acme, Some(4)));
            }
        }
        assert!((37..=41).contains(&sent), "{sent}");
        assert!(pace.admit(at(10_000), &acme, None));
        pace.retain(|_| false);
        assert!((0..4).all(|_| pace.admit(at(10_000), &acme, Some(4))));
    }

    #[test]
    fn a_leg_counts_once_and_the_limit_holds() {
        let mut capacity = Capacity::default();
        let (acme, leg) = (Name::from("acme"), LegId::from_u128);
        assert_eq!(capacity.take(&acme, leg(1), Some(2)), Ok(()));
        assert_eq!(capacity.take(&acme, leg(1), Some(2)), Ok(()));
        assert_eq!(capacity.take(&acme, leg(2), Some(2)), Ok(()));
        assert_eq!(capacity.take(&acme, leg(3), Some(2)), Err(Full { max: 2 }));
        assert_eq!(capacity.give_back(leg(1)), Some(acme.clone()));
        assert_eq!(capacity.give_back(leg(1)), None);
        assert_eq!(capacity.take(&acme, leg(3), Some(2)), Ok(()));
        capacity.give_back(leg(2));
        capacity.give_back(leg(3));
        assert_eq!(capacity.calls(&acme), 0);
        assert_eq!(capacity.take(&acme, leg(4), Some(0)), Err(Full { max: 0 }));
    }
}
