//! Timers without tasks: a fixed table per owner, and one wheel of the owners' next deadlines.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hash};

use crate::ledger::clock::Mono;
use crate::ledger::wheel::{Ticket, Wheel};

/// The timers of RFC 3261 table 4 and RFC 6026 (C is for proxies).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Timer {
    /// Resend the INVITE.
    A,
    /// No response to the INVITE.
    B,
    /// Absorb repeated non-2xx final responses to the INVITE.
    D,
    /// Resend the non-INVITE request.
    E,
    /// No final response to the non-INVITE request.
    F,
    /// Resend the final response to the INVITE.
    G,
    /// No ACK.
    H,
    /// Absorb repeated ACKs.
    I,
    /// Absorb repeated non-INVITE requests.
    J,
    /// Absorb repeated responses to the non-INVITE request.
    K,
    /// Absorb repeated INVITEs after a 2xx.
    L,
    /// Wait for more 2xx, of other branches or repeated.
    M,
}

impl Timer {
    /// How many there are.
    pub const COUNT: usize = 12;
    /// All, by their place in the table.
    pub const ALL: [Timer; Timer::COUNT] = [
        Timer::A,
        Timer::B,
        Timer::D,
        Timer::E,
        Timer::F,
        Timer::G,
        Timer::H,
        Timer::I,
        Timer::J,
        Timer::K,
        Timer::L,
        Timer::M,
    ];
}

/// The deadlines of one owner's timers, by their place.
#[derive(Copy, Clone, Debug)]
pub struct Table<const N: usize>([u64; N]);

impl<const N: usize> Default for Table<N> {
    fn default() -> Self {
        Table([UNSET; N])
    }
}

impl<const N: usize> Table<N> {
    /// Starts or restarts a timer.
    pub fn set(&mut self, place: usize, at: Mono) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = at.as_micros();
        }
    }

    /// Stops a timer.
    pub fn stop(&mut self, place: usize) {
        if let Some(slot) = self.0.get_mut(place) {
            *slot = UNSET;
        }
    }

    /// Stops all.
    pub fn clear(&mut self) {
        self.0 = [UNSET; N];
    }

    /// The earliest deadline.
    pub fn next(&self) -> Option<Mono> {
        let earliest = self.0.iter().copied().min().unwrap_or(UNSET);
        (earliest != UNSET).then(|| Mono::from_micros(earliest))
    }

    /// The place of the earliest timer that is due, which is stopped.
    pub fn take_due(&mut self, now: Mono) -> Option<usize> {
        let (place, slot) = self.0.iter_mut().enumerate().min_by_key(|(_, at)| **at)?;
        if *slot == UNSET || *slot > now.as_micros() {
            return None;
        }
        *slot = UNSET;
        Some(place)
    }
}

/// Something with a table of timers, filed in [`Deadlines`].
pub trait Timed {
    /// The earliest deadline of its table.
    fn next_deadline(&self) -> Option<Mono>;
    /// Where the wheel has filed it.
    fn armed(&mut self) -> &mut Option<Ticket>;
}

/// The owners by their next deadline.
#[derive(Debug)]
pub struct Deadlines<K> {
    wheel: Wheel<K>,
}

impl<K> Default for Deadlines<K> {
    fn default() -> Self {
        Deadlines {
            wheel: Wheel::default(),
        }
    }
}

impl<K: Ord + Copy + Hash> Deadlines<K> {
    /// Files an owner whose table may have changed.
    pub fn arm(&mut self, key: K, owner: &mut impl Timed) {
        let at = owner.next_deadline();
        self.wheel.arm(owner.armed(), at, &key);
    }

    /// An owner goes.
    pub fn disarm(&mut self, owner: &mut impl Timed) {
        if let Some(ticket) = owner.armed().take() {
            self.wheel.cancel(ticket);
        }
    }

    /// The next owner with a timer that is due. It is to be armed again after its timers were taken.
    pub fn take_due<T: Timed>(
        &mut self,
        owners: &mut HashMap<K, T, impl BuildHasher>,
        now: Mono,
    ) -> Option<K> {
        let (_, key) = self.wheel.take_due(now)?;
        if let Some(owner) = owners.get_mut(&key) {
            *owner.armed() = None;
        }
        Some(key)
    }

    /// When to look for what is due; perhaps too early.
    pub fn next(&self) -> Option<Mono> {
        self.wheel.next()
    }
}

const UNSET: u64 = u64::MAX;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_fires_in_order_and_once() {
        let mut table = Table::<{ Timer::COUNT }>::default();
        table.set(Timer::B as usize, Mono::from_micros(20));
        table.set(Timer::A as usize, Mono::from_micros(10));
        assert_eq!(table.next(), Some(Mono::from_micros(10)));
        assert_eq!(table.take_due(Mono::from_micros(9)), None);
        assert_eq!(
            table.take_due(Mono::from_micros(30)),
            Some(Timer::A as usize)
        );
        assert_eq!(
            table.take_due(Mono::from_micros(30)),
            Some(Timer::B as usize)
        );
        assert_eq!(table.take_due(Mono::from_micros(30)), None);
    }

    #[test]
    fn places_follow_the_enum() {
        for (place, timer) in Timer::ALL.into_iter().enumerate() {
            assert_eq!(timer as usize, place);
        }
    }

    struct Owner(Option<u64>, Option<Ticket>);
    impl Timed for Owner {
        fn next_deadline(&self) -> Option<Mono> {
            self.0.map(Mono::from_micros)
        }
        fn armed(&mut self) -> &mut Option<Ticket> {
            &mut self.1
        }
    }

    #[test]
    fn a_postponed_deadline_is_due_at_its_new_time_and_a_gone_owners_never() {
        let mut queue = Deadlines::<u8>::default();
        let mut owners = HashMap::from([(1, Owner(Some(10), None)), (2, Owner(Some(20), None))]);
        for (key, owner) in &mut owners {
            queue.arm(*key, owner);
        }
        let first = owners.get_mut(&1).unwrap();
        first.0 = Some(50);
        queue.arm(1, first);
        queue.disarm(&mut owners.remove(&2).unwrap());
        assert_eq!(queue.take_due(&mut owners, Mono::from_micros(40)), None);
        assert_eq!(queue.next(), Some(Mono::from_micros(50)));
        assert_eq!(queue.take_due(&mut owners, Mono::from_micros(50)), Some(1));
        assert_eq!(queue.next(), None);
    }
}
