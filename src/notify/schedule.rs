//! When a delivery is tried: at once, then after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, and no more.

use std::time::Duration;

/// How long to wait after `attempts` failed attempts before the next one; `None` when the schedule is used up. `random`
/// adds up to a tenth, but at most [`SHORT_JITTER`] to the first retry, which receivers wait for.
pub fn delay(attempts: u32, random: u32) -> Option<Duration> {
    let delay = *DELAYS.get(usize::try_from(attempts).ok()?)?;
    let most = match attempts {
        1 => SHORT_JITTER,
        _ => delay / 10,
    };
    let share = f64::from(random) / f64::from(u32::MAX);
    Some(delay + most.mul_f64(share))
}

/// The most that is added to the 5 s of the first retry.
pub const SHORT_JITTER: Duration = Duration::from_millis(300);

const DELAYS: [Duration; 10] = [
    Duration::ZERO,
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * 3_600),
    Duration::from_secs(5 * 3_600),
    Duration::from_secs(10 * 3_600),
    Duration::from_secs(14 * 3_600),
    Duration::from_secs(20 * 3_600),
    Duration::from_secs(24 * 3_600),
];

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_attempts_and_no_more() {
        let seconds: Vec<u64> = (0..20)
            .map_while(|attempts| delay(attempts, 0))
            .map(|delay| delay.as_secs())
            .collect();
        let expected = [
            0, 5, 300, 1_800, 7_200, 18_000, 36_000, 50_400, 72_000, 86_400,
        ];
        assert_eq!(seconds, expected);
    }

    proptest! {
        #[test]
        fn jitter_only_adds_and_little(attempts in 0u32..10, random: u32) {
            let (exact, jittered) = (delay(attempts, 0).unwrap(), delay(attempts, random).unwrap());
            let most = if attempts == 1 { SHORT_JITTER } else { exact / 10 };
            prop_assert!(jittered >= exact && jittered <= exact + most);
        }
    }
}
