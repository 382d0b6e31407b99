//! Which calls are in which conference. The first one brings the bridge and the recording, the last one takes them away.

use std::collections::HashMap;

use crate::ledger::id::{BridgeId, CallId, Name, RecordingId};

/// All conferences that somebody is in.
#[derive(Debug, Default)]
pub(super) struct Conferences {
    rooms: HashMap<Name, Room>,
}

#[derive(Debug)]
struct Room {
    place: Place,
    calls: Vec<CallId>,
}

/// Where those who are in one conference hear each other, and are recorded.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) bridge: BridgeId,
    pub(super) recording: Option<RecordingId>,
}

impl Conferences {
    /// A call comes in, and brings `place` if it is the first: the conference's place; `None` when `most` are there.
    pub(super) fn enter(
        &mut self,
        call: CallId,
        conference: Name,
        place: Place,
        most: u32,
    ) -> Option<Place> {
        self.leave(call);
        let room = self.rooms.entry(conference).or_insert_with(|| Room {
            place,
            calls: Vec::new(),
        });
        if room.calls.len() >= most as usize {
            return None;
        }
        room.calls.push(call);
        Some(room.place)
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
        let call = CallId::from_u128;
        let bridge = |n| Place {
            bridge: BridgeId::from_u128(n),
            recording: Some(RecordingId::from_u128(n)),
        };
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
