//! Statistics of one source's packets as they come in (RFC 3550 §6.4.1, appendices A.1, A.3, A.8).

use std::time::Duration;

use crate::ledger::clock::Mono;
use crate::rtp::sequence::{SequenceTracker, Step};

/// What was received of one source.
#[derive(Clone, Debug)]
pub struct Reception {
    /// The source.
    pub ssrc: u32,
    tracker: SequenceTracker,
    received: u64,
    late: u64,
    /// Of the packet before: its arrival minus its timestamp.
    transit: Option<u32>,
    /// In sixteenths of the clock rate's units.
    jitter: u64,
    floor: Floor,
    clock_rate: u32,
}

/// How many packets, since the beginning or within a while.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Counts {
    /// That the source sent, by its numbers.
    pub expected: u64,
    /// That came.
    pub received: u64,
    /// That came, but too late to be played by any sensible jitter buffer.
    pub late: u64,
}

impl Counts {
    /// What did not come; negative when duplicates outnumber losses.
    pub fn lost(&self) -> i64 {
        self.expected as i64 - self.received as i64
    }

    /// The share that could not be played, 0 to 1.
    pub fn share_lost(&self) -> f64 {
        if self.expected == 0 {
            return 0.0;
        }
        let missing = self.lost().max(0) as f64 + self.late as f64;
        (missing / self.expected as f64).min(1.0)
    }

    /// What was added since `before`.
    pub fn since(&self, before: Counts) -> Counts {
        Counts {
            expected: self.expected.saturating_sub(before.expected),
            received: self.received.saturating_sub(before.received),
            late: self.late.saturating_sub(before.late),
        }
    }

    /// Both together.
    pub fn plus(&self, other: Counts) -> Counts {
        Counts {
            expected: self.expected + other.expected,
            received: self.received + other.received,
            late: self.late + other.late,
        }
    }
}

/// The shortest way through the network lately: a delay is late by comparison with it. It is renewed because clocks drift.
#[derive(Copy, Clone, Debug)]
struct Floor {
    since: Mono,
    before: Option<u32>,
    now: Option<u32>,
}

impl Reception {
    /// Begins with a source's first packet, which is still to be noted.
    pub fn new(now: Mono, ssrc: u32, sequence: u16, clock_rate: u32) -> Reception {
        Reception {
            ssrc,
            tracker: SequenceTracker::new(sequence),
            received: 0,
            late: 0,
            transit: None,
            jitter: 0,
            floor: Floor {
                since: now,
                before: None,
                now: None,
            },
            clock_rate,
        }
    }

    /// Notes a packet; `false` when its number is so far off that its source must have begun anew, and nothing is noted.
    /// `timed` packets carry the moment in their timestamp, as voice does and updates of a telephone event do not.
    pub fn note(&mut self, now: Mono, sequence: u16, timestamp: u32, timed: bool) -> bool {
        let ahead = match self.tracker.follow(sequence) {
            Step::Jump => return false,
            Step::Ahead { .. } => true,
            // The first one is the highest too.
            Step::Late { .. } => self.received == 0,
        };
        self.received += 1;
        if timed {
            let arrival = (now.as_micros() * u64::from(self.clock_rate) / 1_000_000) as u32;
            let transit = arrival.wrapping_sub(timestamp);
            if let Some(before) = self.transit {
                let change = (transit.wrapping_sub(before) as i32).unsigned_abs();
                if change > self.units(STEP) {
                    // A timestamp that jumps, as after a pause at some far sides, is no jitter.
                    self.floor = Floor {
                        since: now,
                        before: None,
                        now: None,
                    };
                } else {
                    let decay = (self.jitter + 8) >> 4;
                    self.jitter = self.jitter + u64::from(change) - decay;
                }
            }
            if ahead || self.transit.is_none() {
                self.transit = Some(transit);
            }
            self.measure_delay(now, transit);
        }
        true
    }

    fn measure_delay(&mut self, now: Mono, transit: u32) {
        let floor = &mut self.floor;
        if now.since(floor.since) >= FLOOR {
            *floor = Floor {
                since: now,
                before: floor.now,
                now: None,
            };
        }
        let lower = |known: Option<u32>| match known {
            Some(known) if (transit.wrapping_sub(known) as i32) >= 0 => known,
            _ => transit,
        };
        floor.now = Some(lower(floor.now));
        let lowest = match (floor.before, floor.now) {
            (Some(before), Some(now)) if (now.wrapping_sub(before) as i32) > 0 => before,
            (_, Some(now)) => now,
            (before, None) => before.unwrap_or(transit),
        };
        if transit.wrapping_sub(lowest) > self.units(LATE) {
            self.late += 1;
        }
    }

    fn units(&self, time: Duration) -> u32 {
        (time.as_millis() as u32) * (self.clock_rate / 1000)
    }

    /// Since the beginning.
    pub fn counts(&self) -> Counts {
        Counts {
            expected: match self.received {
                0 => 0,
                _ => self.tracker.highest() - self.tracker.first() + 1,
            },
            received: self.received,
            late: self.late,
        }
    }

    /// The highest sequence number, extended, with the source's first turn as zero.
    pub fn highest(&self) -> u32 {
        let turns = (self.tracker.highest() >> 16) - (self.tracker.first() >> 16);
        (turns as u32) << 16 | (self.tracker.highest() as u32 & 0xffff)
    }

    /// Interarrival jitter in the clock rate's units.
    pub fn jitter(&self) -> u32 {
        (self.jitter >> 4) as u32
    }

    /// The same as a time.
    pub fn jitter_time(&self) -> Duration {
        Duration::from_micros(
            u64::from(self.jitter()) * 1_000_000 / u64::from(self.clock_rate.max(1)),
        )
    }
}

/// Later than the quickest by this much a packet is as good as lost.
const LATE: Duration = Duration::from_millis(200);
/// How long the quickest way is remembered, at least. A delay that stays is one that jitter buffers follow within seconds.
const FLOOR: Duration = Duration::from_secs(2);
/// A change of delay beyond this is a new beginning.
const STEP: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ms(n: u64) -> Mono {
        Mono::from_micros(n * 1000)
    }

    #[test]
    fn losses_and_wraps() {
        let mut reception = Reception::new(ms(0), 7, 65_530, 8000);
        for n in 0..20u16 {
            if n % 5 != 3 {
                let at = u64::from(n) * 20;
                assert!(reception.note(
                    ms(at),
                    65_530u16.wrapping_add(n),
                    u32::from(n) * 160,
                    true
                ));
            }
        }
        let counts = reception.counts();
        assert_eq!(
            (counts.expected, counts.received, counts.lost()),
            (20, 16, 4)
        );
        assert_eq!(reception.highest(), 65_536 + 13);
        assert_eq!((reception.jitter(), counts.late), (0, 0));
        assert!((counts.share_lost() - 0.2).abs() < 1e-9);
        assert!(!reception.note(ms(500), 30_000, 0, true));
        assert_eq!(reception.counts(), counts);
    }

    /// Each packet 10 ms early or late: differences of 20 ms, to which the estimate converges.
    #[test]
    fn jitter_converges_to_the_mean_difference() {
        let mut reception = Reception::new(ms(0), 7, 1, 8000);
        for n in 0..400u64 {
            let at = 100 + n * 20 + if n % 2 == 0 { 20 } else { 0 };
            reception.note(ms(at), (1 + n) as u16, n as u32 * 160, true);
        }
        assert!(
            (19..=20).contains(&reception.jitter_time().as_millis()),
            "{reception:?}"
        );
    }

    #[test]
    fn updates_of_an_event_are_no_jitter() {
        let mut reception = Reception::new(ms(0), 7, 1, 8000);
        for n in 0..50u64 {
            reception.note(ms(n * 20), (1 + n) as u16, 0, n == 0);
        }
        assert_eq!((reception.jitter(), reception.counts().received), (0, 50));
    }

    #[test]
    fn what_comes_far_behind_the_quickest_is_late() {
        let mut reception = Reception::new(ms(0), 7, 0, 8000);
        for n in 0..1000u64 {
            let delay = if n % 10 == 9 { 250 } else { 30 };
            reception.note(ms(n * 20 + delay), n as u16, n as u32 * 160, true);
        }
        assert_eq!(reception.counts().late, 100);
        // A way that got longer for good is soon the usual one.
        for n in 1000..3000u64 {
            reception.note(ms(n * 20 + 300), n as u16, n as u32 * 160, true);
        }
        let late = reception.counts().late;
        assert!((200..=300).contains(&late), "{late}");
    }

    proptest! {
        #[test]
        fn any_packets_are_counted(
            packets in proptest::collection::vec((any::<u16>(), any::<u32>(), 0u64..1000, any::<bool>()), 1..200)
        ) {
            let mut reception = Reception::new(ms(0), 7, packets[0].0, 48_000);
            let mut at = 0;
            let mut noted = 0;
            for (sequence, timestamp, pause, timed) in packets {
                at += pause;
                noted += u64::from(reception.note(ms(at), sequence, timestamp, timed));
            }
            let counts = reception.counts();
            prop_assert_eq!(counts.received, noted);
            prop_assert!((0.0..=1.0).contains(&counts.share_lost()));
        }
    }
}
