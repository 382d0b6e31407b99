//! The machine's clocks, read at the edge and nowhere else: one origin for the whole process, so that every thread's `Mono` agrees.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::ledger::clock::{Mono, Now, Wall};

/// Reads both clocks. Cheap to copy to every thread.
#[derive(Copy, Clone, Debug)]
pub struct Clock {
    origin: Instant,
}

impl Clock {
    /// A clock whose monotonic time begins now.
    pub fn start() -> Clock {
        Clock {
            origin: Instant::now(),
        }
    }

    /// Both clocks.
    pub fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            wall: wall(),
        }
    }

    /// The monotonic clock alone.
    pub fn mono(&self) -> Mono {
        Mono::from_micros(self.origin.elapsed().as_micros() as u64)
    }

    /// The instant for which `Mono` is zero.
    pub fn origin(&self) -> Instant {
        self.origin
    }

    /// The instant of a point on the monotonic clock, for timers of the runtime.
    pub fn instant(&self, mono: Mono) -> Instant {
        self.origin + mono.since(Mono::ZERO)
    }
}

/// How busy this process keeps the processors.
#[derive(Copy, Clone, Debug)]
pub struct Load {
    at: Mono,
    used: Duration,
    processors: f64,
}

impl Load {
    /// From now on.
    pub fn start(now: Mono) -> Load {
        Load {
            at: now,
            used: processor_time(),
            processors: std::thread::available_parallelism()
                .map_or(1.0, |count| count.get() as f64),
        }
    }

    /// The share of all processors that was used since this was asked last, 0 to 1.
    pub fn share(&mut self, now: Mono) -> f64 {
        let used = processor_time();
        let passed = now.since(self.at).as_secs_f64();
        let share = used.saturating_sub(self.used).as_secs_f64() / (passed * self.processors);
        (self.at, self.used) = (now, used);
        if share.is_finite() { share } else { 0.0 }
    }
}

/// What this process has used of the processors, all threads together.
fn processor_time() -> Duration {
    let zero = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    let mut time = zero;
    // SAFETY: `time` is a valid, writable timespec that outlives the call.
    if unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) } != 0 {
        return Duration::ZERO;
    }
    let seconds = u64::try_from(time.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// The wall clock alone.
pub fn wall() -> Wall {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    Wall::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn work_is_seen() {
        let clock = Clock::start();
        let mut load = Load::start(clock.mono());
        let until = Instant::now() + Duration::from_millis(100);
        let mut sum = 0u64;
        while Instant::now() < until {
            sum = std::hint::black_box(sum.wrapping_add(1));
        }
        let share = load.share(clock.mono());
        assert!(share > 0.0 && share < 1.5, "{share}");
        assert!(load.share(clock.mono()) >= 0.0);
    }
}
