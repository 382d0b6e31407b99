//! What operators do with calls beside talking: passing them on, picking up, parking.

use std::time::Duration;

/// `[features]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Features {
    /// Dialled alone or with an extension behind it: takes a call that rings elsewhere.
    pub pick_up: String,
    /// A call that is passed on to here is parked in the first free slot; dialled: takes the call that has been parked longest.
    pub park: String,
    /// The slots, in order.
    pub slots: Vec<String>,
    /// After so long whoever parked a call is rung.
    pub park_timeout: Duration,
    /// Typed in a conversation: pauses its recording, or lets it go on.
    pub pause_recording: Option<String>,
}

impl Default for Features {
    fn default() -> Features {
        Features {
            pick_up: "*8".to_owned(),
            park: "*7".to_owned(),
            slots: (701..=720).map(|slot| slot.to_string()).collect(),
            park_timeout: Duration::from_secs(60),
            pause_recording: None,
        }
    }
}

/// What an operator may do with calls that are not, or not only, his own.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct May {
    /// Pass on those he talks with.
    pub transfer: bool,
    /// Take a call that rings at a colleague's phone.
    pub pick_up: bool,
    /// Park, and take parked calls.
    pub park: bool,
}

impl May {
    /// Everything.
    pub const ALL: May = May {
        transfer: true,
        pick_up: true,
        park: true,
    };
}

/// The slots that `701-720` writes; `None`: it is no such range, or too long a one.
pub fn slots(text: &str) -> Option<Vec<String>> {
    let (first, last) = text.split_once('-')?;
    let (first, last) = (first.trim(), last.trim());
    let is_one = |text: &str| {
        (1..=6).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    if !is_one(first) || !is_one(last) || first.len() != last.len() {
        return None;
    }
    let width = first.len();
    let (first, last): (u32, u32) = (first.parse().ok()?, last.parse().ok()?);
    let count = last.checked_sub(first)?.checked_add(1)?;
    (count <= MOST_SLOTS).then(|| {
        (first..=last)
            .map(|slot| format!("{slot:0width$}"))
            .collect()
    })
}

const MOST_SLOTS: u32 = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_of_slots() {
        assert_eq!(slots("701-703").unwrap(), ["701", "702", "703"]);
        assert_eq!(slots("08 - 10").unwrap(), ["08", "09", "10"]);
        for text in [
            "",
            "701",
            "703-701",
            "9-11",
            "1-999",
            "a-b",
            "1234567-1234568",
        ] {
            assert_eq!(slots(text), None, "{text}");
        }
        assert_eq!(slots("701-720").unwrap(), Features::default().slots);
    }
}
