//! A media port: a leg's state machine with its socket, as it travels between the signalling task and the workers.

use std::net::{SocketAddr, UdpSocket};

use super::command::{Order, Report};
use super::leg::Leg;
use super::load::Effort;
use super::recent::Recent;
use super::room::seat::Seat;
use super::stream::Stream;
use super::tap::Taps;

/// A leg's media port. Made and dropped by the signalling task only.
#[derive(Debug)]
pub struct MediaPort {
    /// Not connected. Whether it blocks is the business of the worker that has it.
    pub socket: UdpSocket,
    /// Its number, unique among those that are open.
    pub number: u16,
    /// For reports, on the port above; only where they do not come with the media.
    pub reports: Option<UdpSocket>,
    /// What happens on it.
    pub leg: Leg,
    /// Its protection and its reports.
    pub stream: Stream,
    /// Who hears what comes in on it.
    pub link: Link,
    /// Where it sits in a room, instead of `link`.
    pub seat: Option<Box<Seat>>,
    /// The recorder's copies of what comes in.
    pub taps: Taps,
    /// Tells this port from the one that had the slot before.
    pub generation: u32,
    /// Whether it is on the worker's list for beats.
    pub beats: bool,
    /// Whether it is about to be given back.
    pub leaves: bool,
    /// Whether it goes to another worker then.
    pub moves: bool,
    /// Sockets of it that something may still come from.
    pub detaching: u8,
    /// What came meanwhile, for the worker that has it next.
    pub held: Held,
    /// What was said last, for the beginning of its sound in a room.
    pub recent: Recent,
}

/// Datagrams that were read and wait: for the worker that gets the port, or for the listener who is on his way. There is
/// room for some packets of 20 ms, and they are seldom more than one.
#[derive(Debug)]
pub struct Held {
    datagrams: [Option<(SocketAddr, u16)>; 8],
    bytes: [u8; 1536],
}

impl Held {
    /// Nothing.
    pub const EMPTY: Held = Held {
        datagrams: [None; 8],
        bytes: [0; 1536],
    };

    /// Keeps a datagram; `false` when there is no room.
    pub fn keep(&mut self, from: SocketAddr, datagram: &[u8]) -> bool {
        let begin = self.datagrams.iter().flatten();
        let begin: usize = begin.map(|(_, length)| usize::from(*length)).sum();
        let Some(place) = self.datagrams.iter_mut().find(|place| place.is_none()) else {
            return false;
        };
        let Some(room) = self.bytes.get_mut(begin..begin + datagram.len()) else {
            return false;
        };
        room.copy_from_slice(datagram);
        *place = Some((from, datagram.len() as u16));
        true
    }

    /// Copies the datagram of that number, counted from zero, into `room`: where it came from and its length.
    pub fn copy(&self, number: usize, room: &mut [u8]) -> Option<(SocketAddr, usize)> {
        let (from, length) = (*self.datagrams.get(number)?)?;
        let before = self.datagrams.iter().take(number).flatten();
        let begin: usize = before.map(|(_, length)| usize::from(*length)).sum();
        let length = usize::from(length);
        let bytes = self.bytes.get(begin..begin + length)?;
        room.get_mut(..length)?.copy_from_slice(bytes);
        Some((from, length))
    }

    /// Keeps nothing any more.
    pub fn clear(&mut self) {
        self.datagrams = [None; 8];
    }
}

impl MediaPort {
    /// Opus makes this effort from now on in all that is encoded for the leg.
    pub fn set_effort(&mut self, effort: Effort) {
        self.leg.set_complexity(effort.complexity());
        if let Some(seat) = &mut self.seat {
            seat.set_complexity(effort.complexity());
        }
    }

    /// Whether what comes is kept for later: the port, or whoever is to hear it, is on its way.
    pub fn keeps(&self) -> bool {
        self.leaves || (self.link == Link::Coming && self.seat.is_none())
    }

    /// Carries out an order; what is left over must go back to the signalling task.
    pub fn carry_out(&mut self, order: Order) -> Option<Report> {
        match order {
            Order::Agree(now, agreed) => {
                self.stream.agree(now, &agreed);
                self.leg.agree(now, agreed);
                None
            }
            Order::Link(link) => {
                self.link = link;
                self.seat.take().map(Report::SpentSeat)
            }
            Order::Play(clip, mode, token) => {
                self.leg.play(clip, mode, token).map(Report::SpentClip)
            }
            Order::StopPlaying => self.leg.stop_playing().map(Report::SpentClip),
            Order::Tap(feeds, tap) => self.taps.of(feeds).replace(tap).map(Report::SpentTap),
            Order::Untap(feeds) => self.taps.of(feeds).take().map(Report::SpentTap),
            Order::Secure(on, security) => {
                self.stream.secure(on, security).map(Report::SpentSecurity)
            }
            Order::Reports(socket) => match self.reports {
                Some(_) => Some(Report::SpentSocket(socket)),
                None => {
                    self.reports = Some(socket);
                    None
                }
            },
            Order::Press(key) => {
                // A line of keys that is full takes no more.
                let _in_line = self.leg.press(key);
                None
            }
            Order::Beep(clip) => self.leg.beep(clip).map(Report::SpentClip),
            Order::Sit(mut seat) => {
                self.link = Link::Nobody;
                if let Some(before) = &mut self.seat {
                    seat.succeed(before);
                }
                self.seat.replace(seat).map(Report::SpentSeat)
            }
            Order::Role(role) => {
                if let Some(seat) = &mut self.seat {
                    seat.set_role(role);
                }
                None
            }
            Order::Measure(mut sounding) => {
                sounding.overall = self.stream.overall();
                sounding.latest = self.stream.latest();
                Some(Report::Measured(self.leg.id(), sounding))
            }
            Order::Transcode(transcoder) => self
                .leg
                .hear_through(transcoder)
                .map(Report::SpentTranscoder),
            Order::Listen(decoder) => self.leg.listen_through(decoder).map(Report::SpentListener),
            // These are about the slot, not the port.
            Order::Insert(_)
            | Order::Remove { .. }
            | Order::OpenRoom(_)
            | Order::CloseRoom
            | Order::Share(_)
            | Order::Announce(_) => None,
        }
    }
}

/// Who hears what a leg sends.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Link {
    /// Nobody.
    Nobody,
    /// The leg itself.
    Echo,
    /// The leg in this slot of the same worker.
    To(u32),
    /// Nobody yet: whoever is to hear it is on the way to this worker, and what comes is kept for him.
    Coming,
}

impl Link {
    /// The slot of whoever hears the leg in `slot`.
    pub fn listener(self, slot: u32) -> Option<u32> {
        match self {
            Link::Nobody | Link::Coming => None,
            Link::Echo => Some(slot),
            Link::To(listener) => Some(listener),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_held_comes_back_in_order_while_there_is_room() {
        let at = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let mut held = Held::EMPTY;
        let mut room = [0; 600];
        assert_eq!(held.copy(0, &mut room), None);
        assert!(held.keep(at(1), &[1; 172]) && held.keep(at(2), &[2; 500]));
        assert!(!held.keep(at(3), &[3; 900]));
        assert!(held.keep(at(3), &[3; 16]) && held.keep(at(4), &[]));
        assert!((0..4).all(|_| held.keep(at(5), &[])));
        assert!(!held.keep(at(6), &[]));
        assert_eq!(held.copy(1, &mut room), Some((at(2), 500)));
        assert_eq!(room[..500], [2; 500]);
        assert_eq!(held.copy(2, &mut room), Some((at(3), 16)));
        assert_eq!(room[..16], [3; 16]);
        assert_eq!(held.copy(3, &mut room), Some((at(4), 0)));
        assert_eq!(held.copy(8, &mut room), None);
        held.clear();
        assert_eq!(held.copy(0, &mut room), None);
    }
}
