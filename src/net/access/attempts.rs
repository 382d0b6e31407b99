//! Failed attempts by key: after a burst of them, further ones are not looked at for a while.

use std::hash::Hash;
use std::time::Duration;

use super::generations::Generations;
use super::limiter::Limiter;
use crate::ledger::clock::Mono;

/// A token for each failure; who has none left is slowed down until there is one again. Of bounded memory.
#[derive(Debug)]
pub struct Attempts<K: Eq + Hash + Clone> {
    tokens: Limiter<K>,
    slowed: Generations<K, Mono>,
}

impl<K: Eq + Hash + Clone> Attempts<K> {
    /// The failure number `failures` slows down, for as long as one of `failures` takes of `window`. At most `most` keys are remembered.
    pub fn new(failures: u32, window: Duration, most: usize) -> Attempts<K> {
        let failures = failures.max(2);
        Attempts {
            tokens: Limiter::new(failures - 1, window / failures, most),
            slowed: Generations::new(most),
        }
    }

    /// Whether an attempt must not be looked at.
    pub fn is_slowed(&self, now: Mono, key: &K) -> bool {
        !self.slowed.is_empty() && self.slowed.peek(key).is_some_and(|until| *until > now)
    }

    /// Whether there is anybody whose attempts are not looked at.
    pub fn slows_anybody(&self) -> bool {
        !self.slowed.is_empty()
    }

    /// An attempt failed: for how long further ones are not looked at.
    pub fn failed(&mut self, now: Mono, key: &K) -> Option<Duration> {
        let wait = self.tokens.take(now, key).err()?;
        self.slowed.retain(|until| *until > now);
        self.slowed.insert(key.clone(), now + wait);
        Some(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tenth_failure_slows_down_for_a_minute() {
        let at = |seconds: u64| Mono::from_micros(seconds * 1_000_000);
        let mut attempts = Attempts::new(10, Duration::from_secs(600), 100);
        for _ in 0..9 {
            assert_eq!(attempts.failed(at(1), &"anna"), None);
            assert!(!attempts.slows_anybody());
        }
        let wait = attempts.failed(at(1), &"anna").unwrap();
        assert!(wait <= Duration::from_secs(60));
        assert!(attempts.is_slowed(at(2), &"anna") && !attempts.is_slowed(at(2), &"boris"));
        assert!(!attempts.is_slowed(at(61), &"anna"));
        assert_eq!(attempts.failed(at(61), &"anna"), None);
        assert!(attempts.failed(at(62), &"anna").is_some());
    }
}
