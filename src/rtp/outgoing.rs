//! The stream that a leg hears: one SSRC, sequence and timestamps that go on whatever feeds it (RFC 3550 §5.1).
//!
//! What feeds it changes: a prompt, then a relayed party, then music, then another party. Each is mapped onto the one
//! stream by an offset that is fixed when it begins; so what a source loses or reorders stays visible to the listener,
//! and nothing else does.

use crate::ledger::clock::Mono;

use super::sequence::{SequenceTracker, Step};

/// An outgoing stream.
#[derive(Clone, Debug)]
pub struct Outgoing {
    ssrc: u32,
    /// What a second counts in timestamps.
    clock_rate: u32,
    /// Of the packet sent last, not counting late ones.
    sequence: u16,
    /// Of the packet sent last, not counting late ones.
    timestamp: u32,
    /// What the packet sent last lasts, in timestamps.
    samples: u32,
    /// When it was sent.
    sent_at: Option<Mono>,
    feed: Option<Feed>,
}

/// What may feed a stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Source {
    /// Made here; the number tells one from the next.
    Made(u64),
    /// Relayed from another stream: where it comes from, and its SSRC.
    Relayed(u64, u32),
    /// Converted from another stream: by what, and the other stream's SSRC.
    Converted(u64, u32),
}

/// What to write into a packet's header.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Sequence number.
    pub sequence: u16,
    /// Timestamp.
    pub timestamp: u32,
    /// SSRC.
    pub ssrc: u32,
    /// Marker bit.
    pub marker: bool,
}

#[derive(Clone, Debug)]
struct Feed {
    source: Source,
    mapping: Option<Mapping>,
}

#[derive(Clone, Debug)]
struct Mapping {
    tracker: SequenceTracker,
    /// Extended numbers below this were mapped otherwise, and are too late.
    valid_from: u64,
    sequence_shift: u16,
    timestamp_shift: u32,
}

impl Outgoing {
    /// A stream with random beginnings (RFC 3550 §5.1), its clock that of the telephone network: 8 kHz.
    pub fn new(ssrc: u32, sequence: u16, timestamp: u32) -> Outgoing {
        Outgoing {
            ssrc,
            clock_rate: TELEPHONE_CLOCK,
            sequence,
            timestamp,
            samples: 0,
            sent_at: None,
            feed: None,
        }
    }

    /// Counts time at this rate from now on, in hertz. What was sent keeps its timestamps.
    pub fn set_clock_rate(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate;
    }

    /// The rate of its timestamps, in hertz.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// Our SSRC.
    pub fn ssrc(&self) -> u32 {
        self.ssrc
    }

    /// The stamp for a packet of `samples` made here that follows the one before without a gap in time.
    pub fn make(&mut self, now: Mono, number: u64, samples: u32) -> Stamp {
        let source = Source::Made(number);
        let begins = !self.is_fed_by(source);
        let timestamp = if begins {
            self.feed = Some(Feed {
                source,
                mapping: None,
            });
            self.resumed_timestamp(now)
        } else {
            self.timestamp.wrapping_add(self.samples)
        };
        self.advance(now, self.sequence.wrapping_add(1), timestamp, samples);
        self.stamp(begins)
    }

    /// The stamp for one more packet about the same moment as the one before: updates of a telephone event that lasts
    /// `samples` by now (RFC 4733 §2.5.1).
    pub fn repeat(&mut self, now: Mono, samples: u32) -> Stamp {
        self.advance(now, self.sequence.wrapping_add(1), self.timestamp, samples);
        self.stamp(false)
    }

    /// The stamp for a relayed packet; `None` when it is so late that it belongs before the source's beginning here.
    pub fn relay(
        &mut self,
        now: Mono,
        source: Source,
        sequence: u16,
        timestamp: u32,
        marker: bool,
        samples: u32,
    ) -> Option<Stamp> {
        let Some(mapping) = self.mapping(source) else {
            return Some(self.begin(now, source, sequence, timestamp, samples));
        };
        match mapping.tracker.follow(sequence) {
            Step::Jump => Some(self.begin(now, source, sequence, timestamp, samples)),
            Step::Ahead { .. } => {
                let sequence = sequence.wrapping_add(mapping.sequence_shift);
                let timestamp = timestamp.wrapping_add(mapping.timestamp_shift);
                self.advance(now, sequence, timestamp, samples);
                Some(self.stamp(marker))
            }
            Step::Late { extended } if extended >= mapping.valid_from => Some(Stamp {
                sequence: sequence.wrapping_add(mapping.sequence_shift),
                timestamp: timestamp.wrapping_add(mapping.timestamp_shift),
                ssrc: self.ssrc,
                marker,
            }),
            Step::Late { .. } => None,
        }
    }

    /// A packet of the source that is not passed on: it must not look like a loss.
    pub fn skip(&mut self, source: Source, sequence: u16) {
        let Some(mapping) = self.mapping(source) else {
            return;
        };
        if let Step::Ahead { extended, lost: 0 } = mapping.tracker.follow(sequence) {
            mapping.sequence_shift = mapping.sequence_shift.wrapping_sub(1);
            mapping.valid_from = extended;
        }
    }

    fn is_fed_by(&self, source: Source) -> bool {
        self.feed.as_ref().is_some_and(|feed| feed.source == source)
    }

    fn mapping(&mut self, source: Source) -> Option<&mut Mapping> {
        let feed = self.feed.as_mut()?;
        if feed.source == source {
            feed.mapping.as_mut()
        } else {
            None
        }
    }

    fn begin(
        &mut self,
        now: Mono,
        source: Source,
        sequence: u16,
        timestamp: u32,
        samples: u32,
    ) -> Stamp {
        let our_sequence = self.sequence.wrapping_add(1);
        let our_timestamp = self.resumed_timestamp(now);
        let tracker = SequenceTracker::new(sequence);
        self.feed = Some(Feed {
            source,
            mapping: Some(Mapping {
                valid_from: tracker.first(),
                tracker,
                sequence_shift: our_sequence.wrapping_sub(sequence),
                timestamp_shift: our_timestamp.wrapping_sub(timestamp),
            }),
        });
        self.advance(now, our_sequence, our_timestamp, samples);
        self.stamp(true)
    }

    /// Where the timestamp stands after a pause: it went on by the time that passed, at least by the last packet.
    fn resumed_timestamp(&self, now: Mono) -> u32 {
        let Some(sent_at) = self.sent_at else {
            return self.timestamp;
        };
        let passed = now.since(sent_at).as_micros() * u128::from(self.clock_rate) / 1_000_000;
        // A pause of days wraps as the timestamp itself does.
        self.timestamp
            .wrapping_add((passed as u32).max(self.samples))
    }

    fn advance(&mut self, now: Mono, sequence: u16, timestamp: u32, samples: u32) {
        self.sequence = sequence;
        self.timestamp = timestamp;
        self.samples = samples;
        self.sent_at = Some(now);
    }

    fn stamp(&self, marker: bool) -> Stamp {
        Stamp {
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.ssrc,
            marker,
        }
    }
}

/// The RTP clock rate of G.711 and G.722, in hertz.
const TELEPHONE_CLOCK: u32 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const A: Source = Source::Relayed(1, 0xaaaa);
    const B: Source = Source::Relayed(2, 0xbbbb);

    fn ms(n: u64) -> Mono {
        Mono::from_micros(n * 1000)
    }

    fn key(stamp: Option<Stamp>) -> (u16, u32, bool) {
        let stamp = stamp.unwrap();
        assert_eq!(stamp.ssrc, 9);
        (stamp.sequence, stamp.timestamp, stamp.marker)
    }

    #[test]
    fn a_prompt_then_a_party_then_music_is_one_stream() {
        let mut out = Outgoing::new(9, 65_533, 1000);
        assert_eq!(key(Some(out.make(ms(0), 1, 160))), (65_534, 1000, true));
        assert_eq!(key(Some(out.make(ms(20), 1, 160))), (65_535, 1160, false));
        // The party comes 5 ms later: still a whole frame on.
        assert_eq!(
            key(out.relay(ms(25), A, 500, 77_000, false, 160)),
            (0, 1320, true)
        );
        assert_eq!(
            key(out.relay(ms(45), A, 501, 77_160, false, 160)),
            (1, 1480, false)
        );
        // Two lost, one of them late.
        assert_eq!(
            key(out.relay(ms(105), A, 504, 77_640, true, 160)),
            (4, 1960, true)
        );
        assert_eq!(
            key(out.relay(ms(106), A, 502, 77_320, false, 160)),
            (2, 1640, false)
        );
        // Half a second of nothing, then music.
        assert_eq!(key(Some(out.make(ms(605), 2, 160))), (5, 1960 + 4000, true));
        assert_eq!(
            key(out.relay(ms(625), B, 9, 0, false, 160)),
            (6, 1960 + 4160, true)
        );
        assert_eq!(
            key(out
                .relay(ms(626), B, 8, 0, false, 160)
                .or(Some(out.stamp(true))))
            .0,
            6
        );
        assert_eq!(out.relay(ms(627), B, 8, 0, false, 160), None);
    }

    #[test]
    fn a_pause_counts_in_the_clock_of_the_stream() {
        let mut out = Outgoing::new(9, 0, 0);
        out.set_clock_rate(48_000);
        assert_eq!(key(Some(out.make(ms(0), 1, 960))), (1, 0, true));
        assert_eq!(key(Some(out.make(ms(20), 1, 960))), (2, 960, false));
        assert_eq!(key(Some(out.make(ms(1_020), 2, 960))), (3, 48_960, true));
        let converted = Source::Converted(1, 0xaaaa);
        assert_eq!(
            key(out.relay(ms(1_040), converted, 7, 0, false, 960)),
            (4, 49_920, true)
        );
        // The same stream as it is, no longer converted: mapped anew.
        assert_eq!(
            key(out.relay(ms(1_060), A, 8, 960, false, 960)),
            (5, 50_880, true)
        );
    }

    #[test]
    fn skipped_packets_leave_no_gap() {
        let mut out = Outgoing::new(9, 0, 0);
        assert_eq!(key(out.relay(ms(0), A, 10, 0, true, 160)).0, 1);
        out.skip(A, 11);
        out.skip(A, 12);
        out.skip(A, 12);
        out.skip(B, 13);
        assert_eq!(
            key(out.relay(ms(60), A, 13, 480, false, 160)),
            (2, 480, false)
        );
        assert_eq!(out.relay(ms(61), A, 11, 160, false, 160), None);
    }

    #[test]
    fn a_source_that_begins_anew_is_mapped_anew() {
        let mut out = Outgoing::new(9, 0, 0);
        assert_eq!(key(out.relay(ms(0), A, 10, 0, true, 160)), (1, 0, true));
        assert_eq!(
            key(out.relay(ms(20), A, 40_000, 999_999, false, 160)),
            (2, 160, true)
        );
    }

    #[test]
    fn an_event_keeps_its_timestamp_and_sound_goes_on_after_it() {
        let mut out = Outgoing::new(9, 0, 0);
        assert_eq!(key(Some(out.make(ms(0), 1, 160))), (1, 0, true));
        assert_eq!(key(Some(out.make(ms(20), 2, 160))), (2, 160, true));
        assert_eq!(key(Some(out.repeat(ms(40), 320))), (3, 160, false));
        assert_eq!(key(Some(out.repeat(ms(60), 480))), (4, 160, false));
        assert_eq!(key(Some(out.make(ms(61), 1, 160))), (5, 640, true));
    }

    proptest! {
        /// Whatever sources take turns, each new number is the next unless the source itself left a gap.
        #[test]
        fn numbers_have_only_the_gaps_of_the_source(
            turns in proptest::collection::vec((0u64..3, 0u16..4, 1u64..100), 1..300)
        ) {
            let mut out = Outgoing::new(9, 65_000, u32::MAX - 1000);
            let mut now = 0;
            let mut sent = [(100u16, 0u32), (65_500, 1 << 31)];
            let mut before: Option<(u64, Stamp)> = None;
            for (who, gap, pause) in turns {
                now += pause;
                let stamp = if who == 2 {
                    out.make(ms(now), 7, 160)
                } else {
                    let (sequence, timestamp) = &mut sent[who as usize];
                    *sequence = sequence.wrapping_add(1 + gap);
                    *timestamp = timestamp.wrapping_add(160 * (1 + u32::from(gap)));
                    out.relay(ms(now), Source::Relayed(who, 5), *sequence, *timestamp, false, 160).unwrap()
                };
                if let Some((previous, last)) = before {
                    let step = stamp.sequence.wrapping_sub(last.sequence);
                    let same = previous == who;
                    prop_assert_eq!(step, if same && who != 2 { 1 + gap } else { 1 });
                    prop_assert_eq!(stamp.marker, !same);
                    let on = stamp.timestamp.wrapping_sub(last.timestamp);
                    prop_assert!((160..=1000).contains(&on));
                }
                before = Some((who, stamp));
            }
        }
    }
}
