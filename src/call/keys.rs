//! Which of a leg's keys count: a phone may tell the same press in more ways than one, and it is one key.
//!
//! RFC 4733 if it was negotiated, else INFO once one came, else tones. What was told by a tone before the first INFO is not
//! told again by that INFO.

use std::time::Duration;

use crate::ledger::clock::Mono;

/// How a key was told.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) enum KeySource {
    /// On the media port: RFC 4733 where that was negotiated, else a tone.
    Media,
    /// INFO.
    Signalling,
}

/// What is known of the ways in which a leg tells keys.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(crate) struct Keys {
    info_came: bool,
    /// The last key that was taken as a tone.
    tone: Option<(char, Mono)>,
}

impl Keys {
    /// Whether a key counts. `negotiated`: telephone-event is agreed on with the leg.
    pub(crate) fn takes(
        &mut self,
        now: Mono,
        key: char,
        source: KeySource,
        negotiated: bool,
    ) -> bool {
        match (source, negotiated) {
            (KeySource::Media, true) => {
                self.tone = None;
                true
            }
            (KeySource::Signalling, true) => false,
            (KeySource::Media, false) => {
                if !self.info_came {
                    self.tone = Some((key, now));
                }
                !self.info_came
            }
            (KeySource::Signalling, false) => {
                self.info_came = true;
                let told = self.tone.take();
                !told.is_some_and(|(tone, at)| tone == key && now.since(at) < SAME_PRESS)
            }
        }
    }
}

/// An INFO this long after the same key's tone is about the same press: phones send it when the key is let go.
const SAME_PRESS: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::KeySource::{Media, Signalling};
    use super::*;

    fn ms(n: u64) -> Mono {
        Mono::from_micros(n * 1000)
    }

    #[test]
    fn what_was_negotiated_is_the_only_source() {
        let mut keys = Keys::default();
        assert!(!keys.takes(ms(0), '1', Signalling, true));
        assert!(keys.takes(ms(1), '1', Media, true));
        assert!(!keys.takes(ms(2), '1', Signalling, true));
        assert!(keys.takes(ms(900), '1', Media, true));
    }

    #[test]
    fn the_first_info_ends_the_tones() {
        let mut keys = Keys::default();
        assert!(keys.takes(ms(0), '1', Signalling, false));
        assert!(!keys.takes(ms(50), '1', Media, false));
        assert!(!keys.takes(ms(900), '2', Media, false));
        assert!(keys.takes(ms(950), '2', Signalling, false));
        assert!(keys.takes(ms(960), '2', Signalling, false));
    }

    #[test]
    fn a_tone_and_the_first_info_are_one_press() {
        let mut keys = Keys::default();
        assert!(keys.takes(ms(0), '5', Media, false));
        assert!(!keys.takes(ms(300), '5', Signalling, false));
        assert!(keys.takes(ms(600), '5', Signalling, false));
        assert!(!keys.takes(ms(900), '5', Media, false));
        // Another key, or the same one much later, is another press.
        for (key, later) in [('6', 300), ('5', 3000)] {
            let mut keys = Keys::default();
            assert!(keys.takes(ms(0), '5', Media, false));
            assert!(keys.takes(ms(later), key, Signalling, false));
        }
    }

    #[test]
    fn without_events_and_info_tones_are_keys() {
        let mut keys = Keys::default();
        assert!((0..9).all(|n| keys.takes(ms(n * 100), '7', Media, false)));
    }

    #[test]
    fn a_new_agreement_changes_the_source() {
        let mut keys = Keys::default();
        assert!(keys.takes(ms(0), '1', Media, false));
        assert!(keys.takes(ms(100), '2', Media, true));
        assert!(keys.takes(ms(200), '1', Signalling, false));
    }
}
