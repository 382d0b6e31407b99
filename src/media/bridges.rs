//! Who is in which bridge, and who hears whom there. Two members of a bridge hear each other; three legs or more, or one that
//! is no plain member, need a room.

use std::collections::HashSet;

use smallvec::SmallVec;

use crate::call::media::Role;
use crate::ledger::id::{BridgeId, LegId};
use crate::ledger::id_map::IdMap;

/// The legs of a bridge in the order in which they came.
pub type Members = SmallVec<[LegId; 4]>;

/// All bridges that have a leg.
#[derive(Debug, Default)]
pub struct Bridges {
    members: IdMap<BridgeId, Members>,
    of: IdMap<LegId, (BridgeId, Role)>,
    /// Those that hear a clip beside each other just now.
    announcing: HashSet<BridgeId>,
}

impl Bridges {
    /// Puts a leg into a bridge. The caller takes it out of another one first.
    pub fn join(&mut self, leg: LegId, bridge: BridgeId, role: Role) {
        let members = self.members.entry(bridge).or_default();
        if !members.contains(&leg) {
            members.push(leg);
        }
        self.of.insert(leg, (bridge, role));
    }

    /// Takes a leg out; the bridge that it was in.
    pub fn leave(&mut self, leg: LegId) -> Option<BridgeId> {
        let (bridge, _) = self.of.remove(&leg)?;
        if let Some(members) = self.members.get_mut(&bridge) {
            members.retain(|member| *member != leg);
            if members.is_empty() {
                self.members.remove(&bridge);
                self.announcing.remove(&bridge);
            }
        }
        Some(bridge)
    }

    /// The bridge of a leg.
    pub fn of(&self, leg: LegId) -> Option<BridgeId> {
        self.of.get(&leg).map(|(bridge, _)| *bridge)
    }

    /// Who hears a leg of a bridge.
    pub fn role(&self, leg: LegId) -> Option<Role> {
        self.of.get(&leg).map(|(_, role)| *role)
    }

    /// Changes who hears a leg; the bridge that it is in.
    pub fn set_role(&mut self, leg: LegId, role: Role) -> Option<BridgeId> {
        let (bridge, old) = self.of.get_mut(&leg)?;
        *old = role;
        Some(*bridge)
    }

    /// The legs of a bridge in the order in which they came.
    pub fn members(&self, bridge: BridgeId) -> Members {
        self.members.get(&bridge).cloned().unwrap_or_default()
    }

    /// The legs of a bridge hear a clip beside each other from now on, or no longer.
    pub fn announce(&mut self, bridge: BridgeId, announces: bool) {
        if announces && self.members.contains_key(&bridge) {
            self.announcing.insert(bridge);
        } else {
            self.announcing.remove(&bridge);
        }
    }

    /// Whether passing packets from one leg to the other is not enough.
    pub fn needs_room(&self, bridge: BridgeId) -> bool {
        let Some(members) = self.members.get(&bridge) else {
            return false;
        };
        let is_plain = |leg: &LegId| self.role(*leg) == Some(Role::Member);
        let is_simple = members.iter().all(is_plain) && !self.announcing.contains(&bridge);
        members.len() > 2 || (members.len() == 2 && !is_simple)
    }

    /// How many bridges have a leg.
    pub fn len(&self) -> usize {
        self.members.len()
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
            bridges.join(leg(n), x, Role::Member);
        }
        bridges.join(leg(3), x, Role::Member);
        assert!(bridges.needs_room(x));
        assert_eq!(bridges.leave(leg(1)), Some(x));
        assert_eq!(bridges.members(x).as_slice(), [leg(2), leg(3)]);
        assert!(!bridges.needs_room(x));
        bridges.announce(x, true);
        assert!(bridges.needs_room(x));
        bridges.announce(x, false);
        assert_eq!(bridges.set_role(leg(3), Role::Listener), Some(x));
        assert!(bridges.needs_room(x));
        bridges.join(leg(1), y, Role::Listener);
        assert_eq!(bridges.of(leg(1)), Some(y));
        assert_eq!(bridges.role(leg(1)), Some(Role::Listener));
        assert!(!bridges.needs_room(y));
        assert_eq!(bridges.len(), 2);
        for n in 1..=3 {
            bridges.leave(leg(n));
        }
        assert_eq!(bridges.leave(leg(1)), None);
        assert_eq!(bridges.set_role(leg(1), Role::Member), None);
        assert_eq!(bridges.len(), 0);
    }
}
