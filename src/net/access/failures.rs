//! Failed authentications of a source: how many, and of how many different users.

use std::time::Duration;

use smallvec::SmallVec;

use crate::ledger::clock::Mono;

/// Users told apart; more do not count twice.
const MOST_USERS: usize = 16;

/// What a source has failed at since `first`.
#[derive(Clone, Debug)]
pub(super) struct Failures {
    first: Mono,
    last: Mono,
    count: u32,
    /// Hashes of the users' names.
    users: SmallVec<[u64; 4]>,
}

impl Failures {
    pub(super) fn begin(now: Mono) -> Failures {
        Failures {
            first: now,
            last: now,
            count: 0,
            users: SmallVec::new(),
        }
    }

    /// One more. What is older than `window` is forgotten first.
    pub(super) fn add(&mut self, now: Mono, window: Duration, user: u64) {
        if now.since(self.first) > window {
            *self = Failures::begin(now);
        }
        self.last = now;
        self.count = self.count.saturating_add(1);
        if self.users.len() < MOST_USERS && !self.users.contains(&user) {
            self.users.push(user);
        }
    }

    /// What is held against the limit: each failure once, each user beyond the first once more.
    pub(super) fn weight(&self) -> u32 {
        self.count.saturating_add(self.users().saturating_sub(1))
    }

    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Different users, at most [`MOST_USERS`].
    pub(super) fn users(&self) -> u32 {
        u32::try_from(self.users.len()).unwrap_or(u32::MAX)
    }

    /// From the first to the last.
    pub(super) fn took(&self) -> Duration {
        self.last.since(self.first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_users_count_twice_and_old_failures_not_at_all() {
        let at = |seconds: u64| Mono::from_micros(seconds * 1_000_000);
        let window = Duration::from_secs(60);
        let mut failures = Failures::begin(at(0));
        for second in 0..5 {
            failures.add(at(second), window, 1);
        }
        assert_eq!((failures.weight(), failures.users()), (5, 1));
        failures.add(at(5), window, 2);
        assert_eq!((failures.weight(), failures.count()), (7, 6));
        assert_eq!(failures.took(), Duration::from_secs(5));
        failures.add(at(61), window, 1);
        assert_eq!((failures.weight(), failures.count()), (1, 1));
    }
}
