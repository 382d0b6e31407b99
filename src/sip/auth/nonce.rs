//! Nonces: issued with their time and a signature, so that nothing is kept for those that are never used; used ones may not repeat a count.

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;

/// How long a nonce may be used.
pub(super) const LIFE: Duration = Duration::from_secs(300);
/// How many used nonces are remembered.
const REMEMBERED: usize = 65_536;
/// How far behind the highest count a count may come late.
const WINDOW: u32 = 64;
/// Issue time (µs), a random number, the first half of the signature.
const LENGTH: usize = 8 + 8 + 16;

/// A nonce that we issued and that is not too old.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub(super) struct Nonce {
    issued: Mono,
    id: u64,
}

/// Issues nonces, knows its own again, remembers the counts of those that were used.
pub(super) struct Nonces {
    key: [u8; 32],
    entropy: Entropy,
    used: HashMap<Nonce, Used>,
    /// In the order of first use.
    order: VecDeque<Nonce>,
    /// Nonces issued up to then are no longer taken: used ones among them were forgotten to bound memory.
    forgotten: Option<Mono>,
}

/// The counts seen of a nonce: the highest, and which of the 64 up to it (bit 0: the highest).
#[derive(Copy, Clone)]
struct Used {
    highest: u32,
    seen: u64,
}

impl Nonces {
    pub(super) fn new(mut entropy: Entropy) -> Nonces {
        Nonces {
            key: entropy.bytes(),
            entropy,
            used: HashMap::new(),
            order: VecDeque::new(),
            forgotten: None,
        }
    }

    /// A new nonce for `origin`: whoever else brings it has not got it from us.
    pub(super) fn issue(&mut self, now: Mono, origin: &[u8]) -> String {
        let id = self.entropy.u64();
        let mut nonce = Vec::with_capacity(LENGTH);
        nonce.extend_from_slice(&now.as_micros().to_be_bytes());
        nonce.extend_from_slice(&id.to_be_bytes());
        let signature = self.sign(&nonce, origin);
        nonce.extend_from_slice(signature.get(..16).unwrap_or_default());
        URL_SAFE_NO_PAD.encode(nonce)
    }

    /// The nonce, if it is one of ours, was issued for `origin` and can still be used.
    pub(super) fn read(&self, now: Mono, origin: &[u8], text: &str) -> Option<Nonce> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (said, signature) = bytes.split_at_checked(16)?;
        let own = self.sign(said, origin);
        if !bool::from(own.get(..16)?.ct_eq(signature)) {
            return None;
        }
        let (issued, id) = said.split_at_checked(8)?;
        let nonce = Nonce {
            issued: Mono::from_micros(u64::from_be_bytes(issued.try_into().ok()?)),
            id: u64::from_be_bytes(id.try_into().ok()?),
        };
        let forgotten = self.forgotten.is_some_and(|until| nonce.issued <= until);
        (now.since(nonce.issued) <= LIFE && !forgotten).then_some(nonce)
    }

    /// Notes the use of a nonce with this count; false when that count was used before, or is too far behind to be known.
    pub(super) fn take(&mut self, now: Mono, nonce: Nonce, count: u32) -> bool {
        if let Some(used) = self.used.get_mut(&nonce) {
            return used.take(count);
        }
        self.forget(now);
        self.order.push_back(nonce);
        self.used.insert(
            nonce,
            Used {
                highest: count,
                seen: 1,
            },
        );
        true
    }

    /// Makes room: what has expired goes, and the oldest when there are too many.
    fn forget(&mut self, now: Mono) {
        while let Some(&nonce) = self.order.front() {
            let expired = now.since(nonce.issued) > LIFE;
            if !expired && self.order.len() < REMEMBERED {
                break;
            }
            if !expired {
                self.forgotten = self.forgotten.max(Some(nonce.issued));
            }
            self.order.pop_front();
            self.used.remove(&nonce);
        }
    }

    fn sign(&self, said: &[u8], origin: &[u8]) -> [u8; 32] {
        // A key of the block's size or less is taken as it is; HMAC refuses none.
        let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(&self.key) else {
            return self.key;
        };
        mac.update(said);
        mac.update(origin);
        mac.finalize().into_bytes().into()
    }
}

impl Used {
    fn take(&mut self, count: u32) -> bool {
        if count > self.highest {
            let ahead = count - self.highest;
            self.seen = self.seen.checked_shl(ahead).unwrap_or(0) | 1;
            self.highest = count;
            return true;
        }
        let behind = self.highest - count;
        if behind >= WINDOW || self.seen & (1 << behind) != 0 {
            return false;
        }
        self.seen |= 1 << behind;
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> Mono {
        Mono::from_micros(seconds * 1_000_000)
    }

    #[test]
    fn own_nonces_are_known_for_five_minutes_and_others_never() {
        let mut nonces = Nonces::new(Entropy::from_number(1));
        let text = nonces.issue(at(10), b"here");
        assert_ne!(text, nonces.issue(at(10), b"here"));
        assert!(nonces.read(at(310), b"here", &text).is_some());
        assert!(nonces.read(at(310), b"there", &text).is_none());
        assert!(nonces.read(at(311), b"here", &text).is_none());
        let others = Nonces::new(Entropy::from_number(2));
        assert!(others.read(at(10), b"here", &text).is_none());
        for end in 0..text.len() {
            assert!(nonces.read(at(10), b"here", &text[..end]).is_none());
        }
        assert!(nonces.read(at(10), b"here", &format!("{text}AA")).is_none());
    }

    #[test]
    fn counts_may_come_late_but_never_twice() {
        let mut nonces = Nonces::new(Entropy::from_number(1));
        let text = nonces.issue(at(0), b"here");
        let nonce = nonces.read(at(0), b"here", &text).unwrap();
        let mut take = |count| nonces.take(at(1), nonce, count);
        assert_eq!(
            [1, 1, 3, 2, 2, 3].map(&mut take),
            [true, false, true, true, false, false]
        );
        assert_eq!(
            [200, 137, 136, 200].map(&mut take),
            [true, true, false, false]
        );
        assert_eq!([u32::MAX, 0].map(&mut take), [true, false]);
    }

    #[test]
    fn memory_is_bounded_and_what_is_forgotten_cannot_be_replayed() {
        let mut nonces = Nonces::new(Entropy::from_number(1));
        let first = nonces.issue(at(0), b"here");
        let nonce = nonces.read(at(0), b"here", &first).unwrap();
        assert!(nonces.take(at(0), nonce, 1));
        for id in 0..REMEMBERED as u64 {
            let nonce = Nonce { issued: at(1), id };
            assert!(nonces.take(at(1), nonce, 1));
        }
        assert_eq!(
            (nonces.used.len(), nonces.order.len()),
            (REMEMBERED, REMEMBERED)
        );
        assert!(nonces.read(at(1), b"here", &first).is_none());
        assert!(nonces.take(
            at(400),
            Nonce {
                issued: at(400),
                id: 0
            },
            1
        ));
        assert_eq!(nonces.used.len(), 1);
    }
}
