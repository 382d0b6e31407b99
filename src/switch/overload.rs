//! Whether new calls can be taken: by how many run, how long messages wait for the signalling task, and how busy the processors are.
//!
//! It refuses before running calls suffer, and takes again only when there is room to spare.

use std::fmt;
use std::time::Duration;

use crate::ledger::clock::Mono;

/// Why a new call is refused.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Why {
    /// As many run as may.
    Calls,
    /// Messages wait too long.
    Delay,
    /// The processors are busy.
    Processors,
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Why::Calls => "as many calls run as server.max_calls, open files or rtp_ports allow",
            Why::Delay => "messages wait too long for the signalling task",
            Why::Processors => "the processors are busy",
        })
    }
}

/// The state of it.
#[derive(Debug, Default)]
pub struct Overload {
    most_calls: Option<u64>,
    delay: Delay,
    processors: Processors,
}

impl Overload {
    /// The most calls at once; none: no limit.
    pub fn set_most_calls(&mut self, most: Option<u64>) {
        self.most_calls = most;
    }

    /// A message of a call has waited for so long before it is served. True: overload by delay begins or ends with it.
    pub fn note_delay(&mut self, now: Mono, delay: Duration) -> bool {
        self.delay.note(now, delay)
    }

    /// The share of all processors that this process has used since it was said last. True: overload by processors begins or ends with it.
    pub fn note_processors(&mut self, share: f64) -> bool {
        self.processors.note(share)
    }

    /// Why a new call must be refused while so many run.
    pub fn refuses(&self, now: Mono, calls: usize) -> Option<Why> {
        let full = self
            .most_calls
            .is_some_and(|most| u64::try_from(calls).unwrap_or(u64::MAX) >= most);
        if full {
            return Some(Why::Calls);
        }
        self.is_strained(now)
    }

    /// Why nothing new is taken on at all, registrations included.
    pub fn is_strained(&self, now: Mono) -> Option<Why> {
        if self.delay.is_high(now) {
            return Some(Why::Delay);
        }
        self.processors.high.then_some(Why::Processors)
    }
}

/// A standing queue: a whole window in which not one message was served soon. A single late one is none.
#[derive(Debug, Default)]
struct Delay {
    begun: Mono,
    least: Option<Duration>,
    count: u32,
    high: bool,
}

impl Delay {
    fn note(&mut self, now: Mono, delay: Duration) -> bool {
        let before = self.high;
        if now.since(self.begun) >= WINDOW {
            let least = self.least.unwrap_or_default();
            let stood = self.count >= FEWEST;
            self.high = match self.high {
                false => stood && least >= LATE && now.since(self.begun) < FORGOTTEN,
                true => least >= SOON,
            };
            (self.begun, self.least, self.count) = (now, None, 0);
        }
        self.count = self.count.saturating_add(1);
        self.least = Some(self.least.map_or(delay, |least| least.min(delay)));
        self.high != before
    }

    fn is_high(&self, now: Mono) -> bool {
        self.high && now.since(self.begun) < FORGOTTEN
    }
}

#[derive(Debug, Default)]
struct Processors {
    busy: u32,
    high: bool,
}

impl Processors {
    fn note(&mut self, share: f64) -> bool {
        let before = self.high;
        self.busy = if share >= BUSY { self.busy + 1 } else { 0 };
        if self.high {
            self.high = share >= CALM;
        } else {
            self.high = self.busy >= SECONDS;
        }
        self.high != before
    }
}

/// Over how long the least delay is taken.
const WINDOW: Duration = Duration::from_millis(500);
/// Messages that a window needs to say anything.
const FEWEST: u32 = 10;
/// Overload begins when none waited for less: half of what makes far sides repeat themselves (T1, RFC 3261 §17.1.1.1).
const LATE: Duration = Duration::from_millis(250);
/// It ends when one waited for less.
const SOON: Duration = Duration::from_millis(25);
/// With nothing to serve there is no queue.
const FORGOTTEN: Duration = Duration::from_secs(2);
/// A share of all processors that leaves no room.
const BUSY: f64 = 0.95;
/// A share that leaves room again.
const CALM: f64 = 0.85;
/// Reports in a row, one a second.
const SECONDS: u32 = 3;

#[cfg(test)]
mod tests {
    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_micros(millis * 1_000)
    }

    fn feed(overload: &mut Overload, from: u64, to: u64, delay: u64) -> u32 {
        (from..to)
            .step_by(20)
            .map(|millis| u32::from(overload.note_delay(at(millis), Duration::from_millis(delay))))
            .sum()
    }

    #[test]
    fn a_standing_queue_is_overload_until_it_is_gone() {
        let mut overload = Overload::default();
        assert_eq!(feed(&mut overload, 0, 2_000, 5), 0);
        assert_eq!(overload.refuses(at(2_000), 9), None);
        assert_eq!(feed(&mut overload, 2_000, 4_000, 300), 1);
        assert_eq!(overload.refuses(at(4_000), 0), Some(Why::Delay));
        // Better is not yet good.
        assert_eq!(feed(&mut overload, 4_000, 6_000, 100), 0);
        assert_eq!(overload.is_strained(at(6_000)), Some(Why::Delay));
        assert_eq!(feed(&mut overload, 6_000, 8_000, 3), 1);
        assert_eq!(overload.refuses(at(8_000), 0), None);
    }

    #[test]
    fn single_late_messages_are_none() {
        let mut overload = Overload::default();
        for millis in (0..10_000).step_by(100) {
            overload.note_delay(at(millis), Duration::from_millis(900));
        }
        assert_eq!(overload.is_strained(at(10_000)), None);
        for millis in (10_000..20_000).step_by(20) {
            let delay = if millis % 400 == 0 { 1 } else { 900 };
            overload.note_delay(at(millis), Duration::from_millis(delay));
        }
        assert_eq!(overload.is_strained(at(20_000)), None);
    }

    #[test]
    fn silence_ends_it() {
        let mut overload = Overload::default();
        feed(&mut overload, 0, 2_000, 300);
        assert!(overload.is_strained(at(2_500)).is_some());
        assert_eq!(overload.is_strained(at(5_000)), None);
    }

    #[test]
    fn busy_processors_are_overload_after_three_seconds() {
        let mut overload = Overload::default();
        let told: Vec<bool> = [0.99, 0.99, 0.5, 0.96, 0.97, 0.98, 0.9, 0.84]
            .map(|share| overload.note_processors(share))
            .into();
        assert_eq!(told, [false, false, false, false, false, true, false, true]);
        for _ in 0..3 {
            overload.note_processors(1.0);
        }
        assert_eq!(overload.refuses(at(0), 0), Some(Why::Processors));
    }

    #[test]
    fn the_ceiling_holds() {
        let mut overload = Overload::default();
        assert_eq!(overload.refuses(at(0), 1_000_000), None);
        overload.set_most_calls(Some(2));
        assert_eq!(overload.refuses(at(0), 1), None);
        assert_eq!(overload.refuses(at(0), 2), Some(Why::Calls));
        // It says nothing against registrations.
        assert_eq!(overload.is_strained(at(0)), None);
    }
}
