//! A network in virtual time that loses, repeats and reorders.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use vats::ledger::clock::Mono;
use vats::ledger::entropy::Entropy;

/// One datagram on its way.
pub struct Datagram {
    pub from: SocketAddr,
    pub to: SocketAddr,
    pub bytes: Bytes,
}

/// What is on its way, by the time of its arrival.
pub struct Network {
    entropy: Entropy,
    loss: u64,
    /// Where some datagrams arrive spoilt.
    spoilt: Option<SocketAddr>,
    underway: BTreeMap<(Mono, u64), Datagram>,
    serial: u64,
}

impl Network {
    /// Loses `loss` percent, repeats half as many, and delays each datagram by 1 to 60 ms, so that they overtake each other.
    pub fn new(entropy: Entropy, loss: u64) -> Network {
        Network {
            entropy,
            loss,
            spoilt: None,
            underway: BTreeMap::new(),
            serial: 0,
        }
    }

    /// Of the datagrams to this address one in fifty arrives with some bytes replaced.
    pub fn spoiling(mut self, to: SocketAddr) -> Network {
        self.spoilt = Some(to);
        self
    }

    /// Takes a datagram.
    pub fn send(&mut self, now: Mono, from: SocketAddr, to: SocketAddr, bytes: Bytes) {
        let copies = match self.entropy.below(200) {
            fate if fate < self.loss * 2 => 0,
            fate if fate < self.loss * 3 => 2,
            _ => 1,
        };
        for _ in 0..copies {
            let delay = Duration::from_micros(1_000 + self.entropy.below(59_000));
            self.serial += 1;
            let bytes = match self.spoilt == Some(to) && self.entropy.below(50) == 0 {
                true => self.spoil(&bytes),
                false => bytes.clone(),
            };
            let datagram = Datagram { from, to, bytes };
            self.underway.insert((now + delay, self.serial), datagram);
        }
    }

    fn spoil(&mut self, bytes: &Bytes) -> Bytes {
        let mut spoilt = bytes.to_vec();
        for _ in 0..=self.entropy.below(4) {
            let place = self.entropy.below(spoilt.len() as u64) as usize;
            spoilt[place] = (self.entropy.u64() & 0x7f) as u8;
        }
        Bytes::from(spoilt)
    }

    /// When the next datagram arrives.
    pub fn next_at(&self) -> Option<Mono> {
        self.underway.keys().next().map(|(at, _)| *at)
    }

    /// The next datagram that has arrived.
    pub fn receive(&mut self, now: Mono) -> Option<Datagram> {
        let entry = self.underway.first_entry()?;
        (entry.key().0 <= now).then(|| entry.remove())
    }
}
