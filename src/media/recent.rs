//! The last few packets of voice that a leg sent while another heard it as they came. When the leg gets a seat in a room, its
//! decoder and its concealment know from these what was said last, so that the moment in which the room waits for its first
//! packets is filled with that sound going on and not with silence.

use std::time::Duration;

use crate::ledger::clock::Mono;
use crate::sdp::codec::Codec;

/// The last packets, as far as there is room.
#[derive(Debug)]
pub struct Recent {
    /// Codec and length of each, the oldest first.
    packets: [(Codec, u16); MOST],
    count: usize,
    bytes: [u8; ROOM],
    at: Option<Mono>,
}

impl Default for Recent {
    fn default() -> Recent {
        Recent {
            packets: [(Codec::Pcmu, 0); MOST],
            count: 0,
            bytes: [0; ROOM],
            at: None,
        }
    }
}

impl Recent {
    /// A packet of voice was passed on.
    pub fn note(&mut self, now: Mono, codec: Codec, payload: &[u8]) {
        self.at = Some(now);
        while self.count > 0 && (self.count == MOST || self.used() + payload.len() > ROOM) {
            let oldest = usize::from(self.packets[0].1);
            let used = self.used();
            self.bytes.copy_within(oldest..used, 0);
            self.packets.copy_within(1..self.count, 0);
            self.count -= 1;
        }
        let used = self.used();
        let Some(room) = self.bytes.get_mut(used..used + payload.len()) else {
            return;
        };
        room.copy_from_slice(payload);
        if let Some(place) = self.packets.get_mut(self.count) {
            *place = (codec, payload.len() as u16);
            self.count += 1;
        }
    }

    /// What was said just before `now`, the oldest first; nothing if that was a while ago.
    pub fn packets(&self, now: Mono) -> impl Iterator<Item = (Codec, &[u8])> {
        let is_new = self.at.is_some_and(|at| now.since(at) <= PAUSE);
        let mut begin = 0;
        let packets = self
            .packets
            .iter()
            .take(if is_new { self.count } else { 0 });
        packets.filter_map(move |&(codec, length)| {
            let end = begin + usize::from(length);
            let payload = self.bytes.get(begin..end)?;
            begin = end;
            Some((codec, payload))
        })
    }

    fn used(&self) -> usize {
        let packets = self.packets.iter().take(self.count);
        packets.map(|(_, length)| usize::from(*length)).sum()
    }
}

/// Packets kept at most.
const MOST: usize = 4;
/// Bytes kept at most: 60 ms of G.711, and of anything else.
const ROOM: usize = 480;
/// Without a packet for this long the sound has ended.
const PAUSE: Duration = Duration::from_millis(80);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_packets_are_kept_and_grow_old() {
        let ms = |n: u64| Mono::from_micros(n * 1000);
        let mut recent = Recent::default();
        assert_eq!(recent.packets(ms(0)).count(), 0);
        for n in 0..6u8 {
            recent.note(ms(u64::from(n) * 20), Codec::Pcma, &[n; 160]);
        }
        let kept: Vec<(Codec, u8, usize)> = recent
            .packets(ms(120))
            .map(|(codec, payload)| (codec, payload[0], payload.len()))
            .collect();
        let pcma = |n| (Codec::Pcma, n, 160);
        assert_eq!(kept, [pcma(3), pcma(4), pcma(5)]);
        recent.note(ms(130), Codec::Opus, &[9; 400]);
        assert_eq!(recent.packets(ms(130)).count(), 1);
        for n in 0..9u8 {
            recent.note(ms(140), Codec::Opus, &[n; 10]);
        }
        assert_eq!(recent.packets(ms(220)).count(), MOST);
        assert_eq!(recent.packets(ms(221)).count(), 0);
        recent.note(ms(300), Codec::Pcmu, &[0; 481]);
        assert_eq!(recent.packets(ms(300)).count(), 0);
    }
}
