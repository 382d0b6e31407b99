//! How long packets take, compared with the fastest of the last seconds, and which delay keeps nearly all of them in time.

use crate::ledger::clock::Mono;

/// Measures the delays of one sender's packets. Both ends have clocks of their own; only differences count.
#[derive(Debug)]
pub(super) struct Delay {
    /// The least arrival minus sending time within each of the last seconds.
    least: [i64; SECONDS],
    second: u64,
    /// The least of these.
    floor: Option<i64>,
    /// How many packets were how much later than the floor, newer ones counting more.
    counts: [u32; STEPS],
    seen: u32,
    target: i64,
}

impl Delay {
    pub(super) fn new() -> Delay {
        Delay {
            least: [i64::MAX; SECONDS],
            second: 0,
            floor: None,
            counts: [0; STEPS],
            seen: 0,
            target: STEP,
        }
    }

    /// A packet sent at `sent` (microseconds of the sender's clock) arrived.
    pub(super) fn heard(&mut self, arrival: Mono, sent: i64) {
        let transit = micros(arrival) - sent;
        self.follow_floor(arrival, transit);
        let later = transit - self.floor.unwrap_or(transit);
        let step = usize::try_from(later / STEP).unwrap_or(0).min(STEPS - 1);
        if self.seen < MEMORY {
            self.seen += 1;
        } else {
            for count in &mut self.counts {
                *count -= *count >> FORGET;
            }
        }
        if let Some(count) = self.counts.get_mut(step) {
            *count += WEIGHT;
        }
        self.target = self.quantile().clamp(LEAST, MOST);
    }

    /// How much later than the fastest packets what was sent at `sent` is at `now`, in microseconds; negative: none could be here yet.
    pub(super) fn of(&self, now: Mono, sent: i64) -> i64 {
        let transit = micros(now) - sent;
        transit - self.floor.unwrap_or(transit)
    }

    /// The delay at which nearly all packets are in time, in microseconds.
    pub(super) fn target(&self) -> i64 {
        self.target
    }

    fn follow_floor(&mut self, arrival: Mono, transit: i64) {
        let second = arrival.as_micros() / 1_000_000;
        let passed = second.saturating_sub(self.second).min(SECONDS as u64);
        for n in 0..passed {
            let place = ((second - n) % SECONDS as u64) as usize;
            self.least[place] = i64::MAX;
        }
        self.second = self.second.max(second);
        let place = (self.second % SECONDS as u64) as usize;
        self.least[place] = self.least[place].min(transit);
        self.floor = self.least.iter().copied().min();
    }

    /// The upper end of the step above which not more than one packet of [`RARE`] was.
    fn quantile(&self) -> i64 {
        let all: u64 = self.counts.iter().map(|&count| u64::from(count)).sum();
        let mut above = 0;
        for (step, &count) in self.counts.iter().enumerate().rev() {
            above += u64::from(count);
            if above * RARE > all {
                return (step as i64 + 1) * STEP;
            }
        }
        STEP
    }
}

fn micros(at: Mono) -> i64 {
    i64::try_from(at.as_micros()).unwrap_or(i64::MAX)
}

/// The floor is of so many seconds: long enough to meet a fast packet, short enough that a clock that runs away by 200 ppm moves it by 1 ms.
const SECONDS: usize = 5;
/// Delays are told apart by so many microseconds.
const STEP: i64 = 5_000;
/// Delays of up to half a second are told apart.
const STEPS: usize = 100;
/// So many packets are counted alike; then the older ones count less and less.
const MEMORY: u32 = 1 << FORGET;
const FORGET: u32 = 9;
/// What a packet counts: large, so that forgetting by shifting loses little.
const WEIGHT: u32 = 1 << 20;
/// One packet in so many may come too late.
const RARE: u64 = 100;
/// Less than half a beat would be left to chance by the beat itself.
const LEAST: i64 = 10_000;
const MOST: i64 = 400_000;
