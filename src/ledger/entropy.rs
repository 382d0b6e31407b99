//! The one source of randomness that floor 1 is handed: the same seed gives the same tags, branches, nonces and ids.

use rand_chacha::ChaCha12Rng;
use rand_core::{Rng, SeedableRng};

/// A seeded, cryptographically strong generator. The edge seeds it from the operating system, tests from a number.
#[derive(Clone)]
pub struct Entropy(ChaCha12Rng);

impl Entropy {
    /// A generator that replays from `seed`.
    pub fn from_seed(seed: [u8; 32]) -> Entropy {
        Entropy(ChaCha12Rng::from_seed(seed))
    }

    /// A generator for tests and simulations, told apart by one number.
    pub fn from_number(seed: u64) -> Entropy {
        let mut bytes = [0u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Entropy::from_seed(bytes)
    }

    /// A generator of its own, so that one user's draws do not shift another's.
    pub fn split(&mut self) -> Entropy {
        Entropy::from_seed(self.bytes())
    }

    /// 64 random bits.
    pub fn u64(&mut self) -> u64 {
        self.0.next_u64()
    }

    /// 32 random bits.
    pub fn u32(&mut self) -> u32 {
        self.0.next_u32()
    }

    /// `N` random bytes.
    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut bytes = [0u8; N];
        self.0.fill_bytes(&mut bytes);
        bytes
    }

    /// A number below `bound`, near enough to uniform for choices (bias under 2^-32 for bounds below 2^32); 0 when `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A token of 16 lower-case hexadecimal digits (64 bits): enough for a SIP tag or branch (RFC 3261 §19.3).
    pub fn token(&mut self) -> String {
        format!("{:016x}", self.u64())
    }
}

impl std::fmt::Debug for Entropy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Entropy")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_replays() {
        let (mut a, mut b) = (Entropy::from_number(7), Entropy::from_number(7));
        assert_eq!(a.token(), b.token());
        assert_eq!(a.split().u64(), b.split().u64());
    }

    #[test]
    fn below_stays_below() {
        let mut entropy = Entropy::from_number(1);
        assert!((0..1000).all(|_| entropy.below(3) < 3));
        assert_eq!(entropy.below(0), 0);
    }
}
