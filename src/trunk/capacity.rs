//! How many calls run over each trunk, held against `max_calls`.

use std::collections::{BTreeMap, HashMap};

use crate::ledger::id::{LegId, Name};

/// The legs in use on each trunk. A leg is counted once, however often it is taken or given back.
#[derive(Debug, Default)]
pub struct Capacity {
    legs: HashMap<LegId, Name>,
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

#[cfg(test)]
mod tests {
    use super::*;

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
