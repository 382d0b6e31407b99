//! Delta-seconds at the beginning of a value: Expires, Min-Expires, Retry-After with its comment and parameters (RFC 3261 §20.19, §20.33).

use std::time::Duration;

/// The seconds that a value begins with; `None` where it begins with anything else.
pub fn leading(value: &str) -> Option<Duration> {
    let digits = value.trim();
    let end = digits
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(digits.len());
    let seconds: u32 = digits.get(..end)?.parse().ok()?;
    Some(Duration::from_secs(u64::from(seconds)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_lead() {
        let two_minutes = Some(Duration::from_secs(120));
        assert_eq!(leading("120 (in a meeting);duration=3"), two_minutes);
        assert_eq!(leading(" 120"), two_minutes);
        assert_eq!(leading("soon"), None);
        assert_eq!(leading("99999999999"), None);
    }
}
