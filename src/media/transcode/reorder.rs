//! Packets that overtook each other, put in order before they are converted.
//!
//! Nothing waits while packets come in order, and none for a gap on a line that only loses. Once a packet came after a later
//! one, a gap is waited for by as many packets as that one was late by, three at most; so the first packet that is overtaken
//! is lost, and those after it are heard. Ten seconds without another take a packet off the wait.

use std::time::Duration;

use crate::ledger::clock::Mono;
use crate::rtp::packet::Packet;

/// The order of one stream. All room is allocated at the beginning.
#[derive(Debug, Default)]
pub struct Reorder {
    /// The stream, and the number that comes next.
    next: Option<(u32, u16)>,
    /// Which of the numbers before the next one have come: the lowest bit is the last one.
    came: u64,
    /// So many packets wait for one that is missing.
    window: u16,
    /// Packets that came in order since the last that did not.
    calm: u32,
    waiting: [Option<Waiting>; MOST],
    bytes: Box<[u8]>,
}

#[derive(Copy, Clone, Debug)]
struct Waiting {
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    payload_type: u8,
    length: u16,
    since: Mono,
}

/// What to do with a packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Turn {
    /// It is next: convert it, and then what [`Reorder::ready`] gives.
    Now,
    /// What is missing first is given up: convert what [`Reorder::next_waiting`] and [`Reorder::ready`] give, and offer it
    /// again; when nothing waits it is its turn ([`Reorder::advance`]).
    AfterAll,
    /// It waits.
    Waits,
    /// Its place was given up, or it came before.
    Late,
}

impl Reorder {
    /// For packets of at most [`MOST_BYTES`].
    pub fn new() -> Reorder {
        Reorder {
            bytes: vec![0; MOST * MOST_BYTES].into_boxed_slice(),
            ..Reorder::default()
        }
    }

    /// A packet came.
    pub fn offer(&mut self, now: Mono, packet: &Packet<'_>) -> Turn {
        let ahead = self.ahead(packet);
        match ahead {
            Some(ahead) if ahead < 0 => {
                self.overtaken(ahead.unsigned_abs());
                Turn::Late
            }
            Some(0) => {
                if self.is_waiting() {
                    self.calm = 0;
                } else {
                    self.in_order();
                }
                self.advance(packet.ssrc, packet.sequence);
                Turn::Now
            }
            Some(_) => self.keep(now, packet),
            None => Turn::AfterAll,
        }
    }

    /// A packet that needs no turn, as it carries no voice: what waits was taken out before.
    pub fn follow(&mut self, packet: &Packet<'_>) {
        if self.ahead(packet).is_none_or(|ahead| ahead >= 0) {
            self.advance(packet.ssrc, packet.sequence);
        }
    }

    /// The packet that waits and whose turn it is now.
    pub fn ready(&mut self) -> Option<Packet<'_>> {
        let (_, next) = self.next?;
        let place = self.waiting.iter().position(|one| {
            let is_next = |one: &Waiting| one.sequence == next;
            one.as_ref().is_some_and(is_next)
        })?;
        self.take(place)
    }

    /// The first of the packets that wait, whatever is missing before it; with `before`, if it goes before that packet.
    pub fn next_waiting(&mut self, before: Option<&Packet<'_>>) -> Option<Packet<'_>> {
        let (_, next) = self.next?;
        let waiting = self.waiting.iter().enumerate();
        let all = waiting.filter_map(|(place, one)| Some((place, one.as_ref()?)));
        let (place, first) = all.min_by_key(|(_, one)| one.sequence.wrapping_sub(next))?;
        let ahead = before.and_then(|packet| self.ahead(packet));
        if ahead.is_some_and(|ahead| ahead.cast_unsigned() < first.sequence.wrapping_sub(next)) {
            return None;
        }
        self.take(place)
    }

    /// Counts a packet whose turn was after all.
    pub fn advance(&mut self, ssrc: u32, sequence: u16) {
        let passed = match self.next {
            Some((before, next)) if before == ssrc => {
                u32::from(sequence.wrapping_sub(next)).saturating_add(1)
            }
            _ => 64,
        };
        self.came = self.came.checked_shl(passed).unwrap_or(0) | 1;
        self.next = Some((ssrc, sequence.wrapping_add(1)));
    }

    /// Whether a packet waits.
    pub fn is_waiting(&self) -> bool {
        self.waiting.iter().any(Option::is_some)
    }

    /// Whether one has waited for so long that the stream must have paused behind it.
    pub fn is_overdue(&self, now: Mono) -> bool {
        let mut waiting = self.waiting.iter().flatten();
        waiting.any(|one| now.since(one.since) >= LONGEST)
    }

    /// How far the packet is ahead of the next one; `None`: it is of another stream, or of one that began anew.
    fn ahead(&self, packet: &Packet<'_>) -> Option<i16> {
        let (ssrc, next) = self.next?;
        let ahead = packet.sequence.wrapping_sub(next).cast_signed();
        (ssrc == packet.ssrc && ahead.unsigned_abs() < FAR).then_some(ahead)
    }

    /// A packet came so many behind its turn.
    fn overtaken(&mut self, behind: u16) {
        let bit = 1u64.checked_shl(u32::from(behind) - 1).unwrap_or(0);
        // One that came before, or is too old to tell, says nothing about the order.
        if bit == 0 || self.came & bit != 0 {
            return;
        }
        self.came |= bit;
        self.window = self
            .window
            .max(behind.saturating_sub(1).clamp(1, MOST as u16));
        self.calm = 0;
    }

    fn in_order(&mut self) {
        self.calm += 1;
        if self.calm >= CALM {
            self.calm = 0;
            self.window = self.window.saturating_sub(1);
        }
    }

    fn keep(&mut self, now: Mono, packet: &Packet<'_>) -> Turn {
        let mut waiting = self.waiting.iter().flatten();
        if waiting.any(|one| one.sequence == packet.sequence) {
            return Turn::Late;
        }
        if self.waiting.iter().flatten().count() >= usize::from(self.window) {
            return Turn::AfterAll;
        }
        let length = packet.payload.len();
        let Some(place) = self.waiting.iter().position(Option::is_none) else {
            return Turn::AfterAll;
        };
        let begin = place * MOST_BYTES;
        let room = self.bytes.get_mut(begin..begin + length);
        let (Some(room), true) = (room, length <= MOST_BYTES) else {
            return Turn::AfterAll;
        };
        room.copy_from_slice(packet.payload);
        self.waiting[place] = Some(Waiting {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            marker: packet.marker,
            payload_type: packet.payload_type,
            length: length as u16,
            since: now,
        });
        Turn::Waits
    }

    fn take(&mut self, place: usize) -> Option<Packet<'_>> {
        let one = self.waiting.get_mut(place)?.take()?;
        self.advance(one.ssrc, one.sequence);
        let begin = place * MOST_BYTES;
        let payload = self.bytes.get(begin..begin + usize::from(one.length))?;
        Some(Packet {
            payload_type: one.payload_type,
            marker: one.marker,
            sequence: one.sequence,
            timestamp: one.timestamp,
            ssrc: one.ssrc,
            payload,
        })
    }
}

/// Packets that wait at most.
const MOST: usize = 3;
/// The longest payload that waits.
const MOST_BYTES: usize = 1_500;
/// Packets in order that make the wait shorter: ten seconds of 20 ms.
const CALM: u32 = 500;
/// Numbers so far apart are of streams of their own.
const FAR: u16 = 100;
/// Nothing waits longer than three packets of 20 ms.
const LONGEST: Duration = Duration::from_millis(60);

#[cfg(test)]
mod tests;
