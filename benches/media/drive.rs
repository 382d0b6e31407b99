//! The load generator: phones that send a packet every 20 ms, evenly spread, and hear.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::ears::Ears;
use super::found::Round;
use super::machine::{Raised, Threads, allocated, dropped_at, wall_clock};
use super::phones::Phones;
use super::scenario::{Hearing, Scenario};

/// Phones with all that they need, so that nothing more is allocated for them.
pub struct Generator {
    phones: Phones,
    ears: Ears,
    hearing: Hearing,
    /// Frames before anything counts, and all of them.
    warm: u32,
    frames: u32,
}

impl Generator {
    pub fn new(scenario: Scenario, legs: usize, length: Duration) -> io::Result<Generator> {
        let phones = Phones::new(scenario, legs)?;
        let frames = |length: Duration| (length.as_micros() / FRAME.as_micros()) as u32;
        let warm = frames(scenario.warming());
        let frames = warm + frames(length);
        Ok(Generator {
            ears: Ears::new(&phones, scenario.hearing(), warm, frames)?,
            hearing: scenario.hearing(),
            phones,
            warm,
            frames,
        })
    }

    pub fn addresses(&self) -> &[SocketAddr] {
        &self.phones.addresses
    }

    /// Sends a packet per phone every 20 ms, takes what comes back, and reads the processor time of `threads`.
    pub fn drive(mut self, targets: &[SocketAddr], threads: &[&str]) -> io::Result<Round> {
        let legs = self.phones.sockets.len();
        let spacing = FRAME / legs as u32;
        let threads = Threads::named(threads)?;
        threads.keep_apart()?;
        // What is late here is no test of what is measured.
        let _raised = Raised::now();
        let mut room = [0; 1_500];
        let (mut sent, mut late) = (0, 0);
        let start = Instant::now();
        let mut begin = (start, threads.taken()?);
        for frame in 0..self.frames {
            if frame == self.warm {
                begin = (Instant::now(), threads.taken()?);
                late = 0;
            }
            for (phone, target) in targets.iter().enumerate() {
                let loud = self.is_loud(phone, frame);
                let length = self.phones.write(phone, frame, loud, &mut room)?;
                let due = FRAME * frame + spacing * phone as u32;
                let now = start.elapsed();
                match due.checked_sub(now) {
                    Some(early) => std::thread::sleep(early),
                    None => late += u64::from(now - due > LATE),
                }
                self.ears.note(phone, frame, loud, wall_clock()?);
                self.phones.sockets[phone].send_to(&room[..length], target)?;
                sent += 1;
                if sent % 16 == 0 {
                    self.ears.hear(&self.phones)?;
                }
            }
        }
        let (taken, wall) = (threads.taken()?, begin.0.elapsed());
        let waited = taken.waited - begin.1.waited;
        std::thread::sleep(Duration::from_millis(50));
        self.ears.hear(&self.phones)?;
        let counted = u64::from(self.frames - self.warm) * legs as u64;
        let memory = allocated();
        let missed = dropped_at(&self.phones.ports())?;
        let catch = self.ears.catch();
        let due = match self.hearing {
            Hearing::Partner => sent,
            _ => catch.numbered,
        };
        // Others had the processor, or the generator's own was too busy.
        let disturbed = late * 100 > counted || waited * 50 > wall;
        Ok(Round {
            legs,
            counted,
            disturbed,
            cpu: taken.ran - begin.1.ran,
            wall,
            due,
            missed,
            heard: catch.heard,
            wrong: catch.wrong,
            delays: catch.delays,
            memory,
        })
    }

    /// A mark each half second, when all is under way.
    fn is_loud(&self, phone: usize, frame: u32) -> bool {
        match self.hearing {
            Hearing::Marks(seats) => {
                let is_first = phone.is_multiple_of(seats)
                    && phone / seats < (self.phones.sockets.len() / seats).max(1);
                is_first && frame >= self.warm && frame.is_multiple_of(25)
            }
            _ => false,
        }
    }
}

const FRAME: Duration = Duration::from_millis(20);
/// A packet sent so long after its time says nothing about the delay of what is measured.
const LATE: Duration = Duration::from_millis(1);
