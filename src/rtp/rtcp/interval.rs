//! When the next report is due (RFC 3550 §6.2, §6.3.1, appendix A.7).
//!
//! A leg is a session of two, so the bandwidth share never asks for more than the minimum of five seconds, and there is
//! nobody to reconsider for.

use std::time::Duration;

/// The time to the next report: five seconds, or half of it for the first, times a random half to one and a half, and
/// shortened by what reconsideration would lengthen it. `random` is uniform over 32 bits.
pub fn interval(first: bool, random: u32) -> Duration {
    let minimum = if first { MINIMUM / 2 } else { MINIMUM };
    let factor = 0.5 + f64::from(random) / f64::from(u32::MAX);
    minimum.mul_f64(factor / COMPENSATION)
}

/// Between two reports.
const MINIMUM: Duration = Duration::from_secs(5);
/// e - 3/2 (RFC 3550 §6.3.1).
const COMPENSATION: f64 = std::f64::consts::E - 1.5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn between_two_and_a_bit_over_six_seconds() {
        assert_eq!(interval(false, 0).as_millis(), 2052);
        assert_eq!(interval(false, u32::MAX).as_millis(), 6156);
        assert_eq!(interval(true, u32::MAX / 2).as_millis(), 2052);
    }
}
