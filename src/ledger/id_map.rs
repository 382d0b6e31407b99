//! Maps by identifiers of our own making. Nobody outside chooses them and most of their bits are random, so a hash need
//! only fold them: an eighth of what a hash that withstands chosen keys costs, hundreds of times in a call.

use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A map by identifiers that this process (or an earlier run of it) has drawn.
pub type IdMap<K, V> = HashMap<K, V, BuildHasherDefault<IdHasher>>;

/// Folds what is hashed into 64 bits.
#[derive(Copy, Clone, Default, Debug)]
pub struct IdHasher(u64);

impl Hasher for IdHasher {
    fn write(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        for word in words {
            self.write_u64(u64::from_le_bytes(*word));
        }
        for byte in rest {
            self.write_u64(u64::from(*byte));
        }
    }

    fn write_u64(&mut self, word: u64) {
        self.0 = self.0.rotate_left(29) ^ word;
    }

    fn write_u128(&mut self, number: u128) {
        self.write_u64(number as u64);
        self.write_u64((number >> 64) as u64);
    }

    /// Lengths of arrays, which are always the same.
    fn write_usize(&mut self, _length: usize) {}

    fn finish(&self) -> u64 {
        // Both ends of the hash are looked at, so each bit must reach them.
        let product = u128::from(self.0 ^ self.0 >> 32) * u128::from(SPREAD);
        (product >> 64) as u64 ^ product as u64
    }
}

/// The golden ratio's fraction, odd.
const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

#[cfg(test)]
mod tests {
    use std::collections::HashSet;
    use std::hash::{BuildHasher, BuildHasherDefault};

    use super::*;
    use crate::ledger::entropy::Entropy;
    use crate::ledger::id::LegId;

    fn hash(key: impl std::hash::Hash) -> u64 {
        BuildHasherDefault::<IdHasher>::default().hash_one(key)
    }

    #[test]
    fn identifiers_of_one_moment_and_plain_numbers_spread() {
        let mut entropy = Entropy::from_number(1);
        let drawn: Vec<u64> = (0..4_096)
            .map(|at| {
                hash(LegId::new(
                    crate::ledger::clock::Wall::from_micros(at),
                    &mut entropy,
                ))
            })
            .collect();
        let counted: Vec<u64> = (0..4_096u128).map(|n| hash(LegId::from_u128(n))).collect();
        for hashes in [drawn, counted] {
            for part in [|hash: &u64| hash & 0xfff, |hash: &u64| hash >> 52] {
                // Of 4,096 at random, 63 % of as many places are taken.
                let places: HashSet<u64> = hashes.iter().map(part).collect();
                assert!(places.len() > 2_300, "{}", places.len());
            }
        }
    }
}
