//! How busy a media thread is (the processor time that it took, out of the time that passed), and the effort that Opus may
//! make on it.

use std::time::Duration;

use crate::ledger::clock::Mono;

/// Looks at a thread's clock now and then.
#[derive(Debug, Default)]
pub struct LoadMeter {
    last: Option<(Mono, Duration)>,
}

impl LoadMeter {
    /// How busy the calling thread was since the look before, from 0 to 1,000; `None` at the first look.
    pub fn look(&mut self, now: Mono) -> Option<u32> {
        let taken = thread_time()?;
        let (then, before) = self.last.replace((now, taken))?;
        let passed = now.since(then).as_micros().max(1);
        let busy = taken.saturating_sub(before).as_micros();
        u32::try_from((busy * 1000 / passed).min(1000)).ok()
    }
}

/// The effort of all Opus encoders of a worker: less as it gets busy, more again when that is sure to fit.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Effort {
    /// Into [`STEPS`].
    step: usize,
}

impl Effort {
    /// As Opus counts it, 0 to 10.
    pub fn complexity(self) -> u8 {
        STEPS.get(self.step).map_or(0, |step| step.complexity)
    }

    /// A thread was busy from 0 to 1,000; whether that changes the effort.
    pub fn follow(&mut self, permille: u32) -> bool {
        let before = self.step;
        if let Some(step) = STEPS.get(before) {
            if permille >= step.too_busy && before + 1 < STEPS.len() {
                self.step += 1;
            } else if permille < step.idle {
                self.step = before.saturating_sub(1);
            }
        }
        self.step != before
    }
}

/// An effort, and the loads that end it.
struct Step {
    complexity: u8,
    /// From this load on less effort is made.
    too_busy: u32,
    /// Below this load more effort is made. It is so low that the load then stays well below what would be too busy again.
    idle: u32,
}

const STEPS: [Step; 3] = [
    Step {
        complexity: 5,
        too_busy: 400,
        idle: 0,
    },
    Step {
        complexity: 3,
        too_busy: 700,
        idle: 200,
    },
    Step {
        complexity: 0,
        too_busy: 1_001,
        idle: 350,
    },
];

/// The processor time of the calling thread; `None` where the system does not tell.
fn thread_time() -> Option<Duration> {
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives through the call, which writes nothing else.
    let told = unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &raw mut time) };
    if told != 0 {
        return None;
    }
    let seconds = u64::try_from(time.tv_sec).ok()?;
    Some(Duration::new(seconds, u32::try_from(time.tv_nsec).ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_that_sleeps_is_not_busy() {
        let mut meter = LoadMeter::default();
        assert_eq!(meter.look(Mono::ZERO), None);
        std::thread::sleep(Duration::from_millis(20));
        // A second, as far as the meter is told.
        let load = meter.look(Mono::ZERO + Duration::from_secs(1)).unwrap();
        assert!(load < 20, "{load}");
        assert!(thread_time().unwrap() < Duration::from_secs(60));
        let end = thread_time().unwrap() + Duration::from_millis(20);
        while thread_time().unwrap() < end {
            std::hint::spin_loop();
        }
        // 20 ms, as far as the meter is told.
        let load = meter.look(Mono::ZERO + Duration::from_millis(1_020));
        assert!(load.unwrap() >= 900, "{load:?}");
    }

    #[test]
    fn effort_sinks_under_load_and_comes_back_when_it_fits() {
        let mut effort = Effort::default();
        let mut after = |load| (effort.follow(load), effort.complexity());
        let loads = [0, 390, 400, 500, 250, 710, 1_000, 400, 349, 200, 199, 50];
        let found: Vec<(bool, u8)> = loads.into_iter().map(&mut after).collect();
        let changes = [2, 5, 8, 10];
        for (n, (changed, _)) in found.iter().enumerate() {
            assert_eq!(*changed, changes.contains(&n), "{n}: {found:?}");
        }
        let efforts: Vec<u8> = found.iter().map(|(_, effort)| *effort).collect();
        assert_eq!(efforts, [5, 5, 3, 3, 3, 0, 0, 0, 3, 3, 5, 5]);
    }
}
