//! A network between test peers, itself pure: it delays, loses, repeats and reorders datagrams, the same for the same seed.
//!
//! No clock and no socket: times are microseconds that the caller counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

/// How bad the network is. Probabilities are per mille.
#[derive(Copy, Clone, Debug)]
pub struct Conditions {
    /// Datagrams that never arrive.
    pub loss: u32,
    /// Datagrams that arrive twice.
    pub duplicate: u32,
    /// Datagrams that are held back by `reorder_by`.
    pub reorder: u32,
    /// Microseconds that every datagram takes.
    pub delay: u64,
    /// Up to so many microseconds more.
    pub jitter: u64,
    /// Up to so many microseconds more for reordered ones.
    pub reorder_by: u64,
}

impl Conditions {
    /// A tenth is lost, some come twice or late.
    pub const BAD: Conditions = Conditions {
        loss: 100,
        duplicate: 50,
        reorder: 50,
        delay: 5_000,
        jitter: 40_000,
        reorder_by: 300_000,
    };
}

/// The network; `T` is a datagram with its addresses.
#[derive(Debug)]
pub struct Netem<T> {
    conditions: Conditions,
    random: Random,
    sent: u64,
    due: BinaryHeap<Reverse<(u64, u64)>>,
    under_way: BTreeMap<u64, T>,
    /// Datagrams lost so far.
    pub lost: u64,
}

impl<T: Clone> Netem<T> {
    /// A network that replays from `seed`.
    pub fn new(seed: u64, conditions: Conditions) -> Netem<T> {
        Netem {
            conditions,
            random: Random(seed),
            sent: 0,
            due: BinaryHeap::new(),
            under_way: BTreeMap::new(),
            lost: 0,
        }
    }

    /// A datagram is sent.
    pub fn send(&mut self, now: u64, datagram: T) {
        let conditions = self.conditions;
        if self.random.happens(conditions.loss) {
            self.lost += 1;
            return;
        }
        let copies = 1 + u64::from(self.random.happens(conditions.duplicate));
        for _ in 0..copies {
            let mut at = now + conditions.delay + self.random.below(conditions.jitter + 1);
            if self.random.happens(conditions.reorder) {
                at += self.random.below(conditions.reorder_by + 1);
            }
            self.sent += 1;
            self.due.push(Reverse((at, self.sent)));
            self.under_way.insert(self.sent, datagram.clone());
        }
    }

    /// When the next datagram arrives.
    pub fn next_arrival(&self) -> Option<u64> {
        self.due.peek().map(|Reverse((at, _))| *at)
    }

    /// The next datagram that has arrived by `now`.
    pub fn receive(&mut self, now: u64) -> Option<T> {
        let Reverse((at, place)) = *self.due.peek()?;
        if at > now {
            return None;
        }
        self.due.pop();
        self.under_way.remove(&place)
    }
}

/// A small generator (SplitMix64) for networks and scripts of tests.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `bound`, 0 for 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    /// Whether something of this probability (per mille) happens.
    pub fn happens(&mut self, per_mille: u32) -> bool {
        self.below(1_000) < u64::from(per_mille)
    }
}
