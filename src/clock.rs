//! The machine's clocks, read at the edge and nowhere else: one origin for the whole process, so that every thread's `Mono` agrees.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

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

fn wall() -> Wall {
    let micros = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_micros());
    Wall::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
}
