//! What is remembered of each stream under one key: its rollover counter and the packets seen lately.

use super::SrtpError;

/// One SSRC's packets.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) struct Stream {
    pub(super) ssrc: u32,
    pub(super) rtp: Window,
    pub(super) rtcp: Window,
    /// Nothing has been verified since the key changed: whether the far side went on counting is not known.
    pub(super) rekeyed: bool,
    used: u32,
}

/// The highest index and which of those before it were seen.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Window {
    highest: Option<u64>,
    /// Bit n: the index n below the highest was seen.
    seen: u128,
}

impl Window {
    /// The index that a sequence number stands for (RFC 3711 §3.3.1 and appendix A); `None`: it would lie before the
    /// first one.
    pub(super) fn estimate(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else {
            return Some(u64::from(sequence));
        };
        let (roc, last) = (highest >> 16, highest as u16);
        let roc = if last < HALF {
            if sequence.saturating_sub(last) > HALF {
                roc.checked_sub(1)?
            } else {
                roc
            }
        } else if last - HALF > sequence {
            roc + 1
        } else {
            roc
        };
        Some(roc << 16 | u64::from(sequence))
    }

    /// Whether an index is neither seen nor too old.
    pub(super) fn check(&self, index: u64) -> Result<(), SrtpError> {
        let Some(highest) = self.highest else {
            return Ok(());
        };
        let Some(behind) = highest.checked_sub(index) else {
            return Ok(());
        };
        let is_new = behind < SEEN && self.seen & (1 << behind) == 0;
        if is_new {
            Ok(())
        } else {
            Err(SrtpError::Replayed)
        }
    }

    /// Notes an index that was checked and verified.
    pub(super) fn note(&mut self, index: u64) {
        match self.highest {
            Some(highest) if index <= highest => {
                if let Some(bit) = 1u128.checked_shl((highest - index) as u32) {
                    self.seen |= bit;
                }
            }
            Some(highest) => {
                let ahead = index - highest;
                self.seen = if ahead < SEEN {
                    self.seen << ahead | 1
                } else {
                    1
                };
                self.highest = Some(index);
            }
            None => {
                self.seen = 1;
                self.highest = Some(index);
            }
        }
    }
}

/// The streams under one key. There are seldom more than one or two: a far side that is passed on by its own switch may
/// come with another SSRC each time.
#[derive(Clone, Debug, Default)]
pub(super) struct Streams {
    known: [Option<Stream>; MOST],
    clock: u32,
}

impl Streams {
    /// What is known of a stream; a new one is kept only when it is noted.
    pub(super) fn find(&self, ssrc: u32) -> Stream {
        let known = self.known.iter().flatten();
        known
            .copied()
            .find(|stream| stream.ssrc == ssrc)
            .unwrap_or(Stream {
                ssrc,
                rtp: Window::default(),
                rtcp: Window::default(),
                rekeyed: false,
                used: 0,
            })
    }

    /// Keeps what is known of a stream, instead of the one unused for longest if need be.
    pub(super) fn keep(&mut self, mut stream: Stream) {
        self.clock = self.clock.wrapping_add(1);
        stream.used = self.clock;
        let clock = self.clock;
        let same = self
            .known
            .iter_mut()
            .flatten()
            .find(|known| known.ssrc == stream.ssrc);
        if let Some(known) = same {
            *known = stream;
            return;
        }
        let oldest = self
            .known
            .iter_mut()
            .max_by_key(|place| place.map_or(u32::MAX, |known| clock.wrapping_sub(known.used)));
        if let Some(place) = oldest {
            *place = Some(stream);
        }
    }

    /// The same streams under a new key: sequences go on (RFC 3711 §3.3.1), and nothing was replayed yet.
    pub(super) fn rekeyed(&self) -> Streams {
        let mut streams = self.clone();
        for stream in streams.known.iter_mut().flatten() {
            stream.rekeyed = true;
            stream.rtcp = Window::default();
        }
        streams
    }
}

/// Half of the sequence numbers.
const HALF: u16 = 1 << 15;
/// Packets that are remembered; RFC 3711 §3.3.2 wants 64.
const SEEN: u64 = 128;
/// Streams that are remembered.
const MOST: usize = 4;
/// Indexes have 48 bits.
pub(super) const LAST_INDEX: u64 = (1 << 48) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(highest: u64) -> Window {
        let mut window = Window::default();
        window.note(highest);
        window
    }

    #[test]
    fn the_counter_is_guessed_as_the_appendix_says() {
        assert_eq!(Window::default().estimate(65_535), Some(65_535));
        assert_eq!(at(65_535).estimate(0), Some(65_536));
        assert_eq!(at(65_536).estimate(65_535), Some(65_535));
        assert_eq!(at(0).estimate(65_535), None);
        assert_eq!(at(0).estimate(32_768), Some(32_768));
        assert_eq!(at(65_536 + 32_767).estimate(65_535), Some(65_536 + 65_535));
        assert_eq!(at(65_536 + 32_768).estimate(0), Some(65_536));
        assert_eq!(at(65_536 + 32_769).estimate(0), Some(2 * 65_536));
    }

    #[test]
    fn a_packet_is_taken_once_and_the_old_not_at_all() {
        let mut window = at(1000);
        assert_eq!(window.check(1000), Err(SrtpError::Replayed));
        assert_eq!(window.check(1000 - 127), Ok(()));
        assert_eq!(window.check(1000 - 128), Err(SrtpError::Replayed));
        window.note(1000 - 127);
        assert_eq!(window.check(1000 - 127), Err(SrtpError::Replayed));
        window.note(5000);
        assert_eq!(window.check(4999), Ok(()));
        assert_eq!(window.check(1000), Err(SrtpError::Replayed));
    }

    #[test]
    fn the_stream_unused_for_longest_gives_way() {
        let mut streams = Streams::default();
        for ssrc in 1..=4 {
            let mut stream = streams.find(ssrc);
            stream.rtp.note(u64::from(ssrc));
            streams.keep(stream);
        }
        streams.keep(streams.find(1));
        streams.keep(streams.find(9));
        assert_eq!(streams.find(1).rtp, at(1));
        assert_eq!(streams.find(2).rtp, Window::default());
        assert_eq!(streams.find(3).rtp, at(3));
    }

    proptest! {
        #[test]
        fn each_index_is_taken_exactly_once(
            start in 0u64..200_000, steps in proptest::collection::vec(-150i64..160, 1..400)
        ) {
            let mut window = Window::default();
            let mut taken = std::collections::HashSet::new();
            let mut highest = start;
            window.note(start);
            taken.insert(start);
            for step in steps {
                let index = highest.saturating_add_signed(step);
                prop_assume!(highest < 60_000_000);
                if highest >= index + 32_000 { continue; }
                let guessed = window.estimate(index as u16);
                prop_assert_eq!(guessed, Some(index));
                let fits = index + 128 > highest && !taken.contains(&index);
                prop_assert_eq!(window.check(index).is_ok(), fits);
                if fits {
                    window.note(index);
                    taken.insert(index);
                    highest = highest.max(index);
                }
            }
        }
    }
}
