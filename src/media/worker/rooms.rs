//! The rooms of a worker: who sits where, and what they hear on the beat.

use std::io;

use super::passing::send;
use super::{Worker, media_token};
use crate::ledger::clock::Mono;
use crate::media::command::{Order, Report};
use crate::media::counters::{Counters, Reason};
use crate::media::port::MediaPort;
use crate::media::room::{Room, parting};

impl Worker {
    pub(super) fn carry_out_in_room(&mut self, slot: u32, order: Order) -> io::Result<()> {
        let Some(place) = self.rooms.get_mut(slot as usize) else {
            return Ok(());
        };
        let left = match (order, place) {
            (Order::OpenRoom(mut room), place) => {
                match place {
                    Some(before) => room.succeed(before),
                    None => self.open_rooms += 1,
                }
                place.replace(room).map(Report::SpentRoom)
            }
            (Order::CloseRoom, place) => place.take().map(|room| {
                self.open_rooms -= 1;
                Report::ClosedRoom(slot, room)
            }),
            (Order::Share(broadcast), Some(room)) => {
                room.share(broadcast).map(Report::SpentBroadcast)
            }
            (Order::Share(broadcast), None) => Some(Report::SpentBroadcast(broadcast)),
            (Order::Announce(clip), Some(room)) => room.announce(clip).map(Report::SpentClip),
            (Order::Announce(clip), None) => Some(Report::Announced(slot, clip)),
            _ => None,
        };
        if let Some(left) = left {
            self.reports.give_back(left, &self.shared.counters);
        }
        if self.open_rooms > 0 {
            self.start_beats()?;
        }
        Ok(())
    }

    /// What a leg said and heard in its room is played to its end, for it and for whom it is linked to from now on.
    pub(super) fn play_out(&mut self, slot: u32, listener: u32) {
        let now = self.now();
        let Worker {
            ports,
            scratch,
            shared,
            io,
            ..
        } = self;
        let legs = (slot, listener);
        let seat = parting::play_out(now, ports, legs, scratch, |door, room, length, to| {
            let (slot, generation, stream, socket) = door;
            let token = media_token(generation, slot);
            let counters = &shared.counters;
            send(
                io,
                now,
                token,
                (stream, socket),
                (room, length),
                to,
                counters,
            );
        });
        let Some(seat) = seat else { return };
        self.reports
            .give_back(Report::SpentSeat(seat), &self.shared.counters);
    }

    /// Rooms are mixed for the moment at which the beat was due, so that they go on evenly when the thread does not.
    pub(super) fn beat_rooms(&mut self, due: Mono) {
        if self.open_rooms == 0 {
            return;
        }
        let Worker {
            ports,
            rooms,
            reports,
            scratch,
            shared,
            io,
            ..
        } = self;
        let counters = &shared.counters;
        let rooms = rooms.iter_mut().zip(0u32..);
        for (room, number) in rooms.filter_map(|(room, n)| Some((room.as_mut()?, n))) {
            if !reports.has_room() {
                counters.ring_full.count();
                continue;
            }
            let spent = room.beat(
                number,
                due,
                ports,
                scratch,
                |slot, port, room, length, to| {
                    let token = media_token(port.generation, slot);
                    let from = (&mut port.stream, &port.socket);
                    send(io, due, token, from, (room, length), to, counters);
                },
            );
            if let Some(clip) = spent {
                reports.give_back(Report::Announced(number, clip), counters);
            }
        }
    }
}

/// Puts a leg that has a seat on its room's list.
pub(super) fn enter_room(
    rooms: &mut [Option<Box<Room>>],
    slot: u32,
    port: &MediaPort,
    counters: &Counters,
) {
    let Some(seat) = &port.seat else { return };
    let room = rooms.get_mut(seat.room() as usize);
    if let Some(room) = room.and_then(Option::as_mut)
        && !room.admit(slot)
    {
        counters.drop(Reason::Unheard);
    }
}
