//! Two endpoints joined by an emulated network, on a clock that jumps from deadline to deadline.

use std::net::SocketAddr;

use bytes::Bytes;
use vats::ledger::clock::{Mono, Now, Wall};
use vats::ledger::entropy::Entropy;
use vats::sip::endpoint::command::Command;
use vats::sip::endpoint::event::Event;
use vats::sip::endpoint::{Endpoint, Flow, ListenerId, Settings};

use super::netem::{Conditions, Netem};

/// One of the two.
pub const A: usize = 0;
/// The other.
pub const B: usize = 1;

/// A datagram on its way to a side.
#[derive(Clone, Debug)]
pub struct Datagram {
    to: usize,
    bytes: Bytes,
}

/// Two endpoints and the network between them.
pub struct SipNet {
    /// The time.
    pub now: Now,
    pub sides: [Endpoint; 2],
    net: Netem<Datagram>,
}

impl SipNet {
    pub fn new(seed: u64, conditions: Conditions) -> SipNet {
        let endpoint = |name: &str, seed: u64| {
            let settings = Settings {
                product: format!("{name}/1"),
            };
            Endpoint::new(settings, Entropy::from_number(seed))
        };
        SipNet {
            now: Now {
                mono: Mono::ZERO,
                wall: Wall::from_micros(1_772_960_700_000_000),
            },
            sides: [endpoint("a", seed * 2), endpoint("b", seed * 2 + 1)],
            net: Netem::new(seed, conditions),
        }
    }

    /// The flow from `side` to the other.
    pub fn flow(&self, side: usize) -> Flow {
        flow(side)
    }

    /// Gives a side a command.
    pub fn command(&mut self, side: usize, command: Command) {
        self.sides[side].handle_command(self.now, command);
        self.flush(side);
    }

    /// The next event of a side.
    pub fn event(&mut self, side: usize) -> Option<Event> {
        self.sides[side].poll_event()
    }

    /// When something happens next.
    pub fn next(&self) -> Option<u64> {
        let timers = self
            .sides
            .iter()
            .filter_map(Endpoint::poll_timeout)
            .map(Mono::as_micros);
        timers.chain(self.net.next_arrival()).min()
    }

    /// Jumps to a time (not beyond the next thing to happen, nor back) and does what is due then.
    pub fn advance_to(&mut self, at: u64) {
        let passed = at.saturating_sub(micros(self.now));
        self.now = self.now + std::time::Duration::from_micros(passed);
        while let Some(datagram) = self.net.receive(micros(self.now)) {
            let side = datagram.to;
            self.sides[side].handle_message(self.now, flow(side), datagram.bytes);
            self.flush(side);
        }
        for side in [A, B] {
            if self.sides[side]
                .poll_timeout()
                .is_some_and(|at| at <= self.now.mono)
            {
                self.sides[side].handle_timeout(self.now);
                self.flush(side);
            }
        }
    }

    /// Runs until `until` (microseconds) or until nothing is left to happen; events stay with the endpoints.
    pub fn run_until(&mut self, until: u64) {
        while let Some(next) = self.next().filter(|next| *next <= until) {
            self.advance_to(next);
        }
        self.advance_to(until);
    }

    fn flush(&mut self, side: usize) {
        while let Some(transmit) = self.sides[side].poll_transmit() {
            assert_eq!(transmit.flow.remote, address(1 - side), "sent to nobody");
            let datagram = Datagram {
                to: 1 - side,
                bytes: transmit.bytes,
            };
            self.net.send(micros(self.now), datagram);
        }
    }
}

/// The time in microseconds.
pub fn micros(now: Now) -> u64 {
    now.mono.as_micros()
}

/// A side's address.
pub fn address(side: usize) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, 1 + side as u8], 5060))
}

/// The flow from a side to the other.
pub fn flow(side: usize) -> Flow {
    Flow::udp(ListenerId(0), address(1 - side), address(side))
}

/// The seeds to run: `VATS_SEED` alone, or `count` from `first`.
pub fn seeds(first: u64, count: u64) -> impl Iterator<Item = u64> {
    let one = std::env::var("VATS_SEED")
        .ok()
        .map(|seed| seed.parse().expect("VATS_SEED is a number"));
    one.map_or(first..first + count, |seed: u64| seed..seed + 1)
}

/// Runs a test for each seed, and prints the one that fails.
pub fn with_seeds(first: u64, count: u64, test: impl Fn(u64) + std::panic::RefUnwindSafe) {
    for seed in seeds(first, count) {
        if let Err(panic) = std::panic::catch_unwind(|| test(seed)) {
            eprintln!("failed with seed {seed}; VATS_SEED={seed} replays it");
            std::panic::resume_unwind(panic);
        }
    }
}
