//! How long a wait gathers what comes: longer where little comes, so that what a wake-up costs is shared all the same.

use std::time::Duration;

/// The window of a ring.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Window(Duration);

impl Default for Window {
    fn default() -> Window {
        Window(SHORTEST)
    }
}

impl Window {
    /// How long the next wait gathers.
    pub fn length(self) -> Duration {
        self.0
    }

    /// A wait brought so many datagrams, and so many were sent upon them. Where none is passed on, as in a room, which is
    /// heard on its beat, nobody waits for what came.
    pub fn adjust(&mut self, came: usize, sent: usize) {
        if (1..FEW).contains(&came) {
            self.0 += STEP;
        } else if came > MANY {
            self.0 = self.0.saturating_sub(STEP).max(SHORTEST);
        }
        // More than came is a beat's, whatever else is passed on.
        let longest = if (1..=came).contains(&sent) {
            LONGEST
        } else {
            UNHURRIED
        };
        self.0 = self.0.min(longest);
    }
}

/// From 200 calls on.
const SHORTEST: Duration = Duration::from_micros(200);
/// With 80 calls or fewer. Measured: from 200 µs to 400 µs a fifth of the CPU of 100 calls is saved; beyond 600 µs the
/// delay grows and little is saved.
const LONGEST: Duration = Duration::from_micros(500);
/// Where nothing is passed on as it comes.
const UNHURRIED: Duration = Duration::from_millis(1);
/// By how much it changes from one wait to the next.
const STEP: Duration = Duration::from_micros(20);
/// Fewer datagrams than this are too few for a wake-up, which costs as much as two of them.
const FEW: usize = 4;
/// More than this are more than enough.
const MANY: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    /// The window after a second of packets that come evenly and are passed on.
    fn after_a_second(packets_a_second: u64, window: Window) -> Duration {
        after_a_second_of(packets_a_second, window, |came| came)
    }

    fn after_a_second_of(
        packets_a_second: u64,
        mut window: Window,
        sent: impl Fn(usize) -> usize,
    ) -> Duration {
        let mut passed = Duration::ZERO;
        while passed < Duration::from_secs(1) {
            let before = passed.as_micros() as u64 * packets_a_second / 1_000_000;
            passed += window.length();
            let after = passed.as_micros() as u64 * packets_a_second / 1_000_000;
            let came = (after - before) as usize;
            window.adjust(came, sent(came));
        }
        window.length()
    }

    #[test]
    fn it_is_long_where_little_comes_and_short_where_much_does() {
        let (short, long) = (Window(SHORTEST), Window(LONGEST));
        for begin in [short, long] {
            assert_eq!(after_a_second(2_000, begin), LONGEST);
            assert_eq!(after_a_second(100_000, begin), SHORTEST);
            let at_100_calls = after_a_second(10_000, begin);
            assert!(
                (300..=500).contains(&at_100_calls.as_micros()),
                "{at_100_calls:?}"
            );
        }
        // Nothing is no reason to wait longer.
        assert_eq!(after_a_second(0, short), SHORTEST);
    }

    #[test]
    fn nobody_waits_for_what_is_not_passed_on() {
        let nothing = |_| 0;
        let room_of_40 = after_a_second_of(2_000, Window::default(), nothing);
        assert_eq!(room_of_40, UNHURRIED);
        // What a beat sends is more than what came.
        let mut window = Window(UNHURRIED);
        window.adjust(3, 100);
        assert_eq!(window.length(), UNHURRIED);
        // One passed on, and it is in a hurry.
        window.adjust(3, 1);
        assert_eq!(window.length(), LONGEST);
        assert_eq!(after_a_second_of(100_000, window, nothing), SHORTEST);
    }
}
