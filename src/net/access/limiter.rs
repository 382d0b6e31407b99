//! Token buckets by key, of bounded memory, on the time that they are told.

use std::cell::{Cell, RefCell};
use std::fmt;
use std::hash::Hash;
use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::nanos::Nanos;
use governor::state::StateStore;
use governor::{Quota, RateLimiter};

use super::generations::Generations;
use crate::ledger::clock::Mono;

/// A bucket for each key: `burst` at once, then one each `period`.
///
/// Keys beyond `most` push those out that were used longest ago, whose buckets are full again then: forged sources cost memory only up to there.
pub struct Limiter<K: Eq + Hash + Clone> {
    buckets: RateLimiter<K, Buckets<K>, Told, NoOpMiddleware<Duration>>,
}

impl<K: Eq + Hash + Clone> Limiter<K> {
    /// With these limits.
    pub fn new(burst: u32, period: Duration, most: usize) -> Limiter<K> {
        let period = period.max(Duration::from_nanos(1));
        let burst = NonZeroU32::new(burst).unwrap_or(NonZeroU32::MIN);
        let quota = Quota::with_period(period)
            .unwrap_or_else(|| Quota::per_second(burst))
            .allow_burst(burst);
        let buckets = Buckets(RefCell::new(Generations::new(most)));
        Limiter {
            buckets: RateLimiter::new(quota, buckets, Told::default()),
        }
    }

    /// `rate` a second, `burst` at once.
    pub fn per_second(rate: u32, burst: u32, most: usize) -> Limiter<K> {
        let period = Duration::from_secs(1) / rate.max(1);
        Limiter::new(burst, period, most)
    }

    /// Takes a token.
    ///
    /// # Errors
    /// There is none: how long until there is one.
    pub fn take(&self, now: Mono, key: &K) -> Result<(), Duration> {
        let now = Duration::from_micros(now.as_micros());
        self.buckets.clock().0.set(now);
        self.buckets
            .check_key(key)
            .map_err(|refused| refused.wait_time_from(now))
    }
}

impl<K: Eq + Hash + Clone> fmt::Debug for Limiter<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Limiter")
    }
}

/// The clock that is set before each look at it.
#[derive(Debug, Default)]
struct Told(Cell<Duration>);

impl Clock for Told {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.get()
    }
}

/// When each bucket is full again.
struct Buckets<K: Eq + Hash + Clone>(RefCell<Generations<K, Nanos>>);

impl<K: Eq + Hash + Clone> StateStore for Buckets<K> {
    type Key = K;

    fn measure_and_replace<T, F, E>(&self, key: &K, decide: F) -> Result<T, E>
    where
        F: Fn(Option<Nanos>) -> Result<(T, Nanos), E>,
    {
        let mut buckets = self.0.borrow_mut();
        let known = buckets.touch(key);
        let (answer, full_at) = decide(known.as_deref().copied())?;
        match known {
            Some(bucket) => *bucket = full_at,
            None => buckets.insert(key.clone(), full_at),
        }
        Ok(answer)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Mono {
        Mono::from_micros(millis * 1_000)
    }

    #[test]
    fn a_burst_and_then_the_rate_for_each_key() {
        let limiter = Limiter::per_second(10, 5, 1_000);
        let served = |from: u64, to: u64, key: u8| {
            (from..to)
                .filter(|millis| limiter.take(at(*millis), &key).is_ok())
                .count()
        };
        assert_eq!(served(0, 1, 1), 1);
        assert_eq!(served(1, 1_001, 1), 14);
        assert_eq!(served(1_001, 1_002, 2), 1);
        let wait = limiter.take(at(1_001), &1).unwrap_err();
        assert!(wait <= Duration::from_millis(100), "{wait:?}");
        assert!(limiter.take(at(1_001) + wait, &1).is_ok());
    }

    #[test]
    fn forged_keys_do_not_grow_it() {
        let limiter = Limiter::per_second(1, 2, 64);
        for key in 0..100_000u32 {
            assert!(limiter.take(at(5), &key).is_ok());
        }
        assert!(limiter.buckets.into_state_store().0.borrow().len() <= 65);
    }

    proptest! {
        /// Never more than burst + rate × time.
        #[test]
        fn the_rate_holds(waits in prop::collection::vec(0u64..300, 1..300), rate in 1u32..50, burst in 1u32..50) {
            let limiter = Limiter::per_second(rate, burst, 8);
            let (mut now, mut taken) = (0, 0u64);
            for wait in waits {
                now += wait;
                taken += u64::from(limiter.take(at(now), &()).is_ok());
                prop_assert!(taken * 1_000 <= u64::from(burst) * 1_000 + u64::from(rate) * now + 1_000);
            }
        }
    }
}
