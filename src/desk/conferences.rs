//! Which calls are in which conference. The first one brings the bridge, the last one takes it away.

use std::collections::HashMap;

use crate::ledger::id::{BridgeId, CallId, Name};

/// All conferences that somebody is in.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    rooms: HashMap<Name, Room>,
}

#[derive(Debug)]
struct Room {
    bridge: BridgeId,
    calls: Vec<CallId>,
}

impl Conferences {
    /// A call comes in, and brings `bridge` if it is the first: the conference's bridge; `None` when `most` are there.
    pub(super) fn enter(
        &mut self,
        call: CallId,
        conference: Name,
        bridge: BridgeId,
        most: u32,
    ) -> Option<BridgeId> {
        self.leave(call);
        let room = self.rooms.entry(conference).or_insert_with(|| Room {
            bridge,
            calls: Vec::new(),
        });
        if room.calls.len() >= most as usize {
            return None;
        }
        room.calls.push(call);
        Some(room.bridge)
    }

    /// A call leaves whichever conference it is in.
    pub(super) fn leave(&mut self, call: CallId) {
        self.rooms.retain(|_, room| {
            room.calls.retain(|one| *one != call);
            !room.calls.is_empty()
        });
    }

    /// Calls that are in one.
    #[cfg(test)]
    fn len(&self) -> usize {
        self.rooms.values().map(|room| room.calls.len()).sum()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_brings_the_bridge_and_the_last_takes_it_away() {
        let (call, bridge) = (CallId::from_u128, BridgeId::from_u128);
        let daily = || Name::from("daily");
        let mut conferences = Conferences::default();
        assert_eq!(
            conferences.enter(call(1), daily(), bridge(1), 2),
            Some(bridge(1))
        );
        assert_eq!(
            conferences.enter(call(2), daily(), bridge(2), 2),
            Some(bridge(1))
        );
        assert_eq!(
            conferences.enter(call(2), daily(), bridge(2), 2),
            Some(bridge(1))
        );
        assert_eq!(conferences.enter(call(3), daily(), bridge(3), 2), None);
        let other = Name::from("other");
        assert_eq!(
            conferences.enter(call(3), other, bridge(3), 2),
            Some(bridge(3))
        );
        assert_eq!(conferences.len(), 3);
        for n in [1, 2, 2, 3] {
            conferences.leave(call(n));
        }
        assert_eq!(conferences.len(), 0);
        assert_eq!(
            conferences.enter(call(4), daily(), bridge(4), 2),
            Some(bridge(4))
        );
    }
}
