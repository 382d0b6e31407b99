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
    /// Dialled with an extension behind it by a supervisor: he hears the conversation there.
    pub listen: String,
    /// The same, and the operator alone hears him.
    pub whisper: String,
    /// The same, and both hear him.
    pub barge: String,
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
            listen: "*90".to_owned(),
            whisper: "*91".to_owned(),
            barge: "*92".to_owned(),
            pause_recording: None,
        }
    }
}

/// How a supervisor takes part in a conversation.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub enum Supervision {
    /// Nobody hears him.
    Listen,
    /// The operator hears him.
    Whisper,
    /// Both hear him.
    Barge,
}

impl Supervision {
    /// As the API writes it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Supervision::Listen => "listen",
            Supervision::Whisper => "whisper",
            Supervision::Barge => "barge",
        }
    }

    /// What a word of the API means.
    pub fn parse(word: &str) -> Option<Supervision> {
        let all = [
            Supervision::Listen,
            Supervision::Whisper,
            Supervision::Barge,
        ];
        all.into_iter().find(|one| one.as_str() == word)
    }

    /// What a supervisor's key asks for.
    pub const fn of_key(key: char) -> Option<Supervision> {
        match key {
            '1' => Some(Supervision::Listen),
            '2' => Some(Supervision::Whisper),
            '3' => Some(Supervision::Barge),
            _ => None,
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
