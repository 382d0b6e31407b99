//! Who is in which bridge. Two legs of a bridge hear each other; further ones wait until mixing is there.

use std::collections::HashMap;

use smallvec::SmallVec;

use crate::ledger::id::{BridgeId, LegId};

/// The legs of a bridge in the order in which they came.
pub type Members = SmallVec<[LegId; 4]>;

/// All bridges that have a leg.
#[derive(Debug, Default)]
pub struct Bridges {
    members: HashMap<BridgeId, Members>,
    of: HashMap<LegId, BridgeId>,
}

impl Bridges {
    /// Puts a leg into a bridge. The caller takes it out of another one first.
    pub fn join(&mut self, leg: LegId, bridge: BridgeId) {
        let members = self.members.entry(bridge).or_default();
        if !members.contains(&leg) {
            members.push(leg);
        }
        self.of.insert(leg, bridge);
    }

    /// Takes a leg out; the bridge that it was in.
    pub fn leave(&mut self, leg: LegId) -> Option<BridgeId> {
        let bridge = self.of.remove(&leg)?;
        if let Some(members) = self.members.get_mut(&bridge) {
            members.retain(|member| *member != leg);
            if members.is_empty() {
                self.members.remove(&bridge);
            }
        }
        Some(bridge)
    }

    /// The bridge of a leg.
    pub fn of(&self, leg: LegId) -> Option<BridgeId> {
        self.of.get(&leg).copied()
    }

    /// The legs of a bridge in the order in which they came.
    pub fn members(&self, bridge: BridgeId) -> Members {
        self.members.get(&bridge).cloned().unwrap_or_default()
    }

    /// How many bridges have a leg.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// Legs that hear nobody because two were there before them.
    pub fn waiting(&self) -> usize {
        self.members
            .values()
            .map(|members| members.len().saturating_sub(2))
            .sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn legs_come_and_go_in_order() {
        let leg = LegId::from_u128;
        let (x, y) = (BridgeId::from_u128(1), BridgeId::from_u128(2));
        let mut bridges = Bridges::default();
        for n in 1..=3 {
            bridges.join(leg(n), x);
        }
        bridges.join(leg(3), x);
        assert_eq!(bridges.waiting(), 1);
        assert_eq!(bridges.leave(leg(1)), Some(x));
        assert_eq!(bridges.members(x).as_slice(), [leg(2), leg(3)]);
        assert_eq!(bridges.waiting(), 0);
        bridges.join(leg(1), y);
        assert_eq!(bridges.of(leg(1)), Some(y));
        assert_eq!(bridges.len(), 2);
        for n in 1..=3 {
            bridges.leave(leg(n));
        }
        assert_eq!(bridges.leave(leg(1)), None);
        assert_eq!(bridges.len(), 0);
    }
}
