//! Bridges that are mixed: which room on which worker, who has a seat in it, and the way from a room to two legs that are
//! simply linked, and back.

use super::Plane;
use super::placing::HeardBy;
use crate::audio::clip::Clip;
use crate::call::media::Role;
use crate::ledger::id::{BridgeId, LegId};
use crate::media::command::Order;
use crate::media::room::Room;
use crate::media::room::broadcast::Broadcast;
use crate::media::room::seat::Seat;
use crate::sdp::codec::Codec;
use std::sync::Arc;

/// Where a bridge is mixed.
#[derive(Copy, Clone, Debug)]
pub struct RoomPlace {
    pub(super) worker: usize,
    slot: u32,
    rate_hz: u32,
    /// The codecs that are encoded once for all who only listen.
    shared: [bool; Codec::ALL.len()],
}

/// What a leg's seat was made for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Seated {
    slot: u32,
    rate_hz: u32,
    codec: Codec,
}

impl Plane {
    /// Changes who hears a leg of a bridge.
    pub(super) fn set_role(&mut self, leg: LegId, role: Role) {
        if self.bridges.role(leg) == Some(role) {
            return;
        }
        if let Some(bridge) = self.bridges.set_role(leg, role) {
            self.order(leg, Order::Role(role));
            self.relink(bridge);
        }
    }

    /// All legs of a bridge hear a clip.
    pub(super) fn announce(&mut self, bridge: BridgeId, clip: Arc<Clip>) {
        let members = self.bridges.members(bridge);
        if let &[alone] = members.as_slice() {
            return self.order(alone, Order::Beep(clip));
        }
        // Two that are linked are mixed for as long as it takes, so that they go on hearing each other.
        self.bridges.announce(bridge, true);
        self.relink(bridge);
        match self.rooms.get(&bridge) {
            Some(room) => {
                let (worker, slot) = (room.worker, room.slot);
                self.crew.order(worker, slot, Order::Announce(clip));
            }
            None => self.bridges.announce(bridge, false),
        }
    }

    /// What a room was let hear has ended.
    pub(super) fn announced(&mut self, worker: usize, slot: u32) {
        let mut rooms = self.rooms.iter();
        let found = rooms.find(|(_, room)| (room.worker, room.slot) == (worker, slot));
        if let Some((&bridge, _)) = found {
            self.bridges.announce(bridge, false);
            self.relink(bridge);
        }
    }

    /// Gives each leg of a bridge a seat in its room, on one worker.
    pub(super) fn seat_all(&mut self, bridge: BridgeId) {
        let members = self.bridges.members(bridge);
        let rate_hz = self.room_rate(bridge, &members);
        let Some(room) = self.room(bridge, &members, rate_hz) else {
            return;
        };
        for leg in members {
            let Some(place) = self.places.get(&leg) else {
                continue;
            };
            if place.bound_for() != room.worker {
                self.set_heard_by(leg, HeardBy::Nobody);
                self.send_to_worker(leg, room.worker);
                continue;
            }
            let (Some(_), Some(codec)) = (place.settled_on(), place.codec) else {
                continue;
            };
            let wanted = Seated {
                slot: room.slot,
                rate_hz,
                codec,
            };
            if place.heard_by_room() == Some(wanted) {
                continue;
            }
            let role = self.bridges.role(leg).unwrap_or(Role::Member);
            match Seat::new(room.slot, role, codec, rate_hz) {
                Ok(seat) => self.sit(leg, wanted, Box::new(seat)),
                Err(error) => {
                    tracing::error!(%error, %leg, "a leg cannot be mixed");
                    self.set_heard_by(leg, HeardBy::Nobody);
                }
            }
        }
        self.share(bridge);
    }

    /// Has each codec encoded once that enough legs of a bridge speak, for those of them who only listen.
    fn share(&mut self, bridge: BridgeId) {
        let members = self.bridges.members(bridge);
        let Some(room) = self.rooms.get_mut(&bridge) else {
            return;
        };
        for (codec, shared) in Codec::ALL.into_iter().zip(&mut room.shared) {
            let speak = |leg: &&LegId| {
                let place = self.places.get(leg);
                place.is_some_and(|place| place.codec == Some(codec))
            };
            if *shared || members.iter().filter(speak).count() < ENOUGH {
                continue;
            }
            match Broadcast::new(codec, room.rate_hz) {
                Ok(broadcast) => {
                    *shared = true;
                    let order = Order::Share(Box::new(broadcast));
                    self.crew.order(room.worker, room.slot, order);
                }
                Err(error) => tracing::error!(%error, %codec, "each listener is encoded for"),
            }
        }
    }

    /// A bridge is mixed no more.
    pub(super) fn close_room(&mut self, bridge: BridgeId) {
        if let Some(room) = self.rooms.remove(&bridge) {
            self.crew.order(room.worker, room.slot, Order::CloseRoom);
        }
    }

    /// As low as the legs' codecs allow, so that mixing narrowband costs no more than it must; never lower than it was.
    fn room_rate(&self, bridge: BridgeId, members: &[LegId]) -> u32 {
        let places = members.iter().filter_map(|leg| self.places.get(leg));
        let is_wide = |codec: &Codec| codec.is_wideband();
        let wanted = if places
            .filter_map(|place| place.codec)
            .any(|codec| is_wide(&codec))
        {
            WIDE
        } else {
            NARROW
        };
        let before = self.rooms.get(&bridge).map_or(NARROW, |room| room.rate_hz);
        wanted.max(before)
    }

    /// The bridge's room, which is made or made anew when it must be.
    fn room(&mut self, bridge: BridgeId, members: &[LegId], rate_hz: u32) -> Option<RoomPlace> {
        let before = self.rooms.get(&bridge).copied();
        if let Some(room) = before.filter(|room| room.rate_hz == rate_hz) {
            return Some(room);
        }
        let made = match Room::new(rate_hz) {
            Ok(room) => Box::new(room),
            Err(error) => {
                tracing::error!(%error, "a room cannot be made");
                return before;
            }
        };
        let (worker, slot) = match before {
            Some(room) => (room.worker, room.slot),
            None => {
                let first = members.iter().find_map(|leg| self.places.get(leg))?;
                let worker = first.bound_for();
                (worker, self.crew.take_room(worker))
            }
        };
        let place = RoomPlace {
            worker,
            slot,
            rate_hz,
            shared: Default::default(),
        };
        self.crew.order(worker, slot, Order::OpenRoom(made));
        self.rooms.insert(bridge, place);
        Some(place)
    }

    fn sit(&mut self, leg: LegId, seated: Seated, seat: Box<Seat>) {
        if let Some(place) = self.places.get_mut(&leg) {
            place.set_heard_by(HeardBy::Room(seated));
            self.order(leg, Order::Sit(seat));
        }
    }
}

/// The rate of a room in which all speak G.711.
const NARROW: u32 = 8_000;
/// Legs of one codec in a room, from which on some of them may listen at once.
const ENOUGH: usize = 3;
/// The rate of any other.
const WIDE: u32 = 16_000;
