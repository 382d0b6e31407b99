//! Where each leg is, who hears it, and how it gets to another worker.
//!
//! A leg moves as a whole, its socket with it: the old worker gives the port back, the new one gets it. Packets that come
//! meanwhile wait in the socket, orders wait here.

use std::net::SocketAddr;

use super::Plane;
use super::converting::Sound;
use super::rooms::Seated;
use super::streams::Made;
use crate::call::media::Role;
use crate::ledger::id::{BridgeId, LegId};
use crate::media::command::Order;
use crate::media::port::{Link, MediaPort};
use crate::sdp::codec::Codec;

/// Where a leg is.
#[derive(Debug)]
pub struct Place {
    worker: usize,
    slot: u32,
    number: u16,
    /// What its far side was told.
    pub local: SocketAddr,
    /// What it speaks, once that is agreed.
    pub codec: Option<Codec>,
    heard_by: HeardBy,
    /// What it agreed on, and what it plays: which codec is needed where.
    pub(super) sound: Sound,
    transit: Option<Transit>,
    /// For its stream.
    pub made: Made,
}

/// On the way to another worker.
#[derive(Debug)]
struct Transit {
    to: usize,
    /// For when it has arrived.
    orders: Vec<Order>,
}

/// Who was last told to hear a leg.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum HeardBy {
    Nobody,
    /// Nobody yet: who is to hear it is on the way.
    Soon,
    Itself,
    Leg(LegId),
    /// All in a room.
    Room(Seated),
}

impl Place {
    /// In this slot, heard by nobody.
    pub fn new(worker: usize, slot: u32, number: u16, local: SocketAddr) -> Place {
        Place {
            worker,
            slot,
            number,
            local,
            codec: None,
            heard_by: HeardBy::Nobody,
            sound: Sound::default(),
            transit: None,
            made: Made::default(),
        }
    }

    /// Who was last told to hear it.
    pub fn heard_by(&self) -> HeardBy {
        self.heard_by
    }

    /// The seat that it was told to take.
    pub(super) fn heard_by_room(&self) -> Option<Seated> {
        match self.heard_by {
            HeardBy::Room(seated) => Some(seated),
            _ => None,
        }
    }

    pub(super) fn set_heard_by(&mut self, heard_by: HeardBy) {
        self.heard_by = heard_by;
    }

    /// The worker that it is on or goes to.
    pub(super) fn bound_for(&self) -> usize {
        self.transit.as_ref().map_or(self.worker, |t| t.to)
    }

    /// Whether its port is with a worker.
    pub(super) fn is_with(&self, worker: usize) -> bool {
        self.worker == worker
    }

    /// Its port's number.
    pub(super) fn number(&self) -> u16 {
        self.number
    }

    /// Sends it to another worker than the one that it is on its way to.
    pub(super) fn redirect(&mut self, to: usize) {
        if let Some(transit) = &mut self.transit {
            transit.to = to;
        }
    }

    /// The worker that it is on.
    pub(super) fn settled_on(&self) -> Option<usize> {
        self.transit.is_none().then_some(self.worker)
    }
}

impl Plane {
    /// Sends an order to a leg, or keeps it until the leg has arrived. Without such a leg it is dropped.
    pub(super) fn order(&mut self, leg: LegId, order: Order) {
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        match &mut place.transit {
            Some(transit) => transit.orders.push(order),
            None => self.crew.order(place.worker, place.slot, order),
        }
    }

    pub(super) fn join(&mut self, leg: LegId, bridge: BridgeId, role: Role) {
        if !self.places.contains_key(&leg) {
            return;
        }
        if self.bridges.of(leg) == Some(bridge) {
            return self.set_role(leg, role);
        }
        self.leave(leg);
        self.bridges.join(leg, bridge, role);
        self.relink(bridge);
    }

    pub(super) fn leave(&mut self, leg: LegId) {
        self.set_heard_by(leg, HeardBy::Nobody);
        if let Some(bridge) = self.bridges.leave(leg) {
            self.relink(bridge);
        }
    }

    pub(super) fn close(&mut self, leg: LegId) {
        self.leave(leg);
        let Some(place) = self.places.remove(&leg) else {
            return;
        };
        self.crew.recount(place.bound_for(), -1);
        self.leaving
            .insert((place.worker, place.slot), place.number);
        // One on its way is dropped when it comes back from its old worker.
        if let Some(worker) = place.settled_on() {
            let remove = Order::Remove { moves: false };
            self.crew.order(worker, place.slot, remove);
        }
    }

    /// A worker gave a port back: it goes on to its new worker, or its leg is over.
    pub(super) fn take_back(&mut self, worker: usize, slot: u32, mut port: Box<MediaPort>) {
        self.crew.free_slot(worker, slot);
        let leg = port.leg.id();
        let place = self.places.get_mut(&leg);
        let Some(place) = place.filter(|place| place.number == port.number) else {
            self.leaving.remove(&(worker, slot));
            self.free_port(port.number);
            self.finish(port);
            return;
        };
        let Some(transit) = place.transit.take() else {
            return;
        };
        let to = transit.to;
        let slot = self.crew.take_slot(to);
        (place.worker, place.slot) = (to, slot);
        // All that waited is done before the first packet is read, so that no packet meets a leg half set up.
        port.seat = None;
        for order in transit.orders {
            drop(port.carry_out(order));
        }
        if let Some((partner, listener)) = self.partner(leg) {
            port.link = Link::To(listener);
            if let Some(place) = self.places.get_mut(&leg) {
                place.heard_by = HeardBy::Leg(partner);
            }
            self.convert(leg, partner);
        }
        let bridge = self.bridges.of(leg);
        if bridge.is_some() && port.link == Link::Nobody {
            // What came meanwhile waits until it is said below who hears it.
            port.link = Link::Coming;
            if let Some(place) = self.places.get_mut(&leg) {
                place.heard_by = HeardBy::Soon;
            }
        }
        self.crew.order(to, slot, Order::Insert(port));
        if let Some(bridge) = bridge {
            self.relink(bridge);
        }
    }

    /// Whom a leg shall be heard by in its bridge, and that one's slot, if both are settled on one worker.
    fn partner(&self, leg: LegId) -> Option<(LegId, u32)> {
        let bridge = self
            .bridges
            .of(leg)
            .filter(|b| !self.bridges.needs_room(*b))?;
        let members = self.bridges.members(bridge);
        let partner = match *members.as_slice() {
            [first, second] if first == leg => second,
            [first, second] if second == leg => first,
            _ => return None,
        };
        let (here, there) = (self.places.get(&leg)?, self.places.get(&partner)?);
        let together = here.settled_on().is_some() && here.settled_on() == there.settled_on();
        together.then_some((partner, there.slot))
    }

    /// Makes the legs of a bridge hear each other: two by passing packets on, more in a room.
    pub(super) fn relink(&mut self, bridge: BridgeId) {
        if self.bridges.needs_room(bridge) {
            self.seat_all(bridge);
        } else {
            self.link_pair(bridge);
            self.close_room(bridge);
        }
    }

    /// Makes the two legs of a bridge hear each other, bringing them onto one worker first.
    fn link_pair(&mut self, bridge: BridgeId) {
        let members = self.bridges.members(bridge);
        let &[first, second] = members.as_slice() else {
            for leg in members {
                self.set_heard_by(leg, HeardBy::Nobody);
            }
            return;
        };
        let (Some(a), Some(b)) = (self.places.get(&first), self.places.get(&second)) else {
            return;
        };
        let (home, other) = (a.bound_for(), b.bound_for());
        if a.settled_on().is_some() && a.settled_on() == b.settled_on() {
            self.set_heard_by(first, HeardBy::Leg(second));
            self.set_heard_by(second, HeardBy::Leg(first));
            return;
        }
        self.set_heard_by(first, HeardBy::Soon);
        self.set_heard_by(second, HeardBy::Soon);
        if home != other {
            self.send_to_worker(second, home);
        }
    }

    /// Says who hears a leg. A listener must be settled on the same worker.
    pub(super) fn set_heard_by(&mut self, leg: LegId, heard_by: HeardBy) {
        let link = match heard_by {
            HeardBy::Nobody => Link::Nobody,
            HeardBy::Soon => Link::Coming,
            HeardBy::Itself => Link::Echo,
            // A seat is given with its order.
            HeardBy::Room(_) => return,
            HeardBy::Leg(listener) => match self.places.get(&listener) {
                Some(place) => Link::To(place.slot),
                None => return,
            },
        };
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        if place.heard_by != heard_by {
            place.heard_by = heard_by;
            // The listener first: no packet meets one that cannot hear it.
            if let HeardBy::Leg(listener) = heard_by {
                self.convert(leg, listener);
            }
            self.order(leg, Order::Link(link));
        }
    }

    /// Sends a leg to another worker. Nobody hears it, and it hears nobody, until it has arrived; what it says meanwhile is
    /// kept.
    pub(super) fn send_to_worker(&mut self, leg: LegId, to: usize) {
        let Some(place) = self.places.get_mut(&leg) else {
            return;
        };
        self.crew.recount(place.bound_for(), -1);
        self.crew.recount(to, 1);
        if let Some(transit) = &mut place.transit {
            transit.to = to;
            return;
        }
        place.transit = Some(Transit {
            to,
            orders: Vec::new(),
        });
        let remove = Order::Remove { moves: true };
        self.crew.order(place.worker, place.slot, remove);
    }
}
