//! How busy a media thread is: the processor time that it took, out of the time that passed.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::ledger::clock::Mono;

/// Written by the worker, read by the signalling task: from 0 to 1,000.
#[derive(Debug, Default)]
pub struct Load(AtomicU32);

impl Load {
    /// As of the last look.
    pub fn permille(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The worker's side.
#[derive(Debug, Default)]
pub struct LoadMeter {
    last: Option<(Mono, Duration)>,
}

impl LoadMeter {
    /// Looks at the calling thread's clock and tells what happened since the look before.
    pub fn look(&mut self, now: Mono, load: &Load) {
        let Some(taken) = thread_time() else {
            return;
        };
        if let Some((then, before)) = self.last {
            let passed = now.since(then).as_micros().max(1);
            let busy = taken.saturating_sub(before).as_micros();
            let permille = (busy * 1000 / passed).min(1000);
            load.0.store(permille as u32, Ordering::Relaxed);
        }
        self.last = Some((now, taken));
    }
}

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
        let (load, mut meter) = (Load::default(), LoadMeter::default());
        meter.look(Mono::ZERO, &load);
        std::thread::sleep(Duration::from_millis(20));
        // A second, as far as the meter is told.
        meter.look(Mono::ZERO + Duration::from_secs(1), &load);
        assert!(load.permille() < 20, "{}", load.permille());
        assert!(thread_time().unwrap() < Duration::from_secs(60));
        let end = thread_time().unwrap() + Duration::from_millis(20);
        while thread_time().unwrap() < end {
            std::hint::spin_loop();
        }
        // 20 ms, as far as the meter is told.
        meter.look(Mono::ZERO + Duration::from_millis(1_020), &load);
        assert!(load.permille() >= 900, "{}", load.permille());
    }
}
