//! Who may open a connection: asked before any handshake, by the tasks that accept; told by [`Access`](super::Access) what it knows of sources.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard};

use ipnet::IpNet;

use super::limiter::Limiter;
use super::source::Source;
use super::{MOST_SOURCES, Standing};
use crate::ledger::clock::Mono;

/// Connections a second that a stranger may open, and at once.
const STRANGER: (u32, u32) = (10, 50);
/// The same for an address of ours: a whole office comes back after its router's restart.
const KNOWN: (u32, u32) = (100, 1_000);

/// Why a connection is closed before it is anything.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refused {
    /// Its source is banned.
    Banned,
    /// Its source opens too many.
    TooMany,
}

/// The part of [`Access`](super::Access) that is shared with the accepting tasks.
#[derive(Debug)]
pub struct Door(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    banned: HashSet<Source>,
    known: HashSet<Source>,
    trusted: HashSet<IpAddr>,
    networks: Vec<IpNet>,
    strangers: Limiter<Source>,
    offices: Limiter<Source>,
}

impl Default for Door {
    fn default() -> Door {
        Door(Mutex::new(Inner {
            banned: HashSet::new(),
            known: HashSet::new(),
            trusted: HashSet::new(),
            networks: Vec::new(),
            strangers: Limiter::per_second(STRANGER.0, STRANGER.1, MOST_SOURCES),
            offices: Limiter::per_second(KNOWN.0, KNOWN.1, MOST_SOURCES),
        }))
    }
}

impl Door {
    /// A connection was opened from there: how its source stands.
    ///
    /// # Errors
    /// It is to be closed at once.
    pub fn knock(&self, now: Mono, address: IpAddr) -> Result<Standing, Refused> {
        let (ip, source) = (address.to_canonical(), Source::of(address));
        let inner = self.inner();
        if inner.banned.contains(&source) {
            return Err(Refused::Banned);
        }
        let is_trusted = inner.trusted.contains(&ip)
            || inner.networks.iter().any(|network| network.contains(&ip));
        if is_trusted {
            return Ok(Standing::Trusted);
        }
        let (standing, limiter) = match inner.known.contains(&source) {
            true => (Standing::Known, &inner.offices),
            false => (Standing::Stranger, &inner.strangers),
        };
        match limiter.take(now, &source) {
            Ok(()) => Ok(standing),
            Err(_) => Err(Refused::TooMany),
        }
    }

    /// A source is banned from now on.
    pub fn ban(&self, source: Source) {
        self.inner().banned.insert(source);
    }

    /// A source's ban is over.
    pub fn unban(&self, source: Source) {
        self.inner().banned.remove(&source);
    }

    /// A phone of ours is there.
    pub fn vouch(&self, source: Source) {
        self.inner().known.insert(source);
    }

    /// Keeps only those for whom `knows` holds.
    pub fn retain(&self, knows: impl Fn(Source) -> bool) {
        self.inner().known.retain(|source| knows(*source));
    }

    /// The trunks' addresses and networks, and the allow list.
    pub fn trust(&self, trusted: HashSet<IpAddr>, networks: Vec<IpNet>) {
        let mut inner = self.inner();
        (inner.trusted, inner.networks) = (trusted, networks);
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.0
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strangers_come_slowly_and_the_banned_not_at_all() {
        let door = Door::default();
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let come = |address: &str, count: u32| {
            let address = ip(address);
            let knocks = (0..count).map(|_| door.knock(Mono::ZERO, address));
            knocks.filter(Result::is_ok).count()
        };
        assert_eq!(come("192.0.2.1", 100), 50);
        assert_eq!(come("192.0.2.2", 10), 10);
        door.vouch(Source::of(ip("192.0.2.3")));
        assert_eq!(come("192.0.2.3", 900), 900);
        door.retain(|_| false);
        assert_eq!(come("192.0.2.3", 900), 50);
        door.trust(HashSet::new(), vec!["192.0.2.0/24".parse().unwrap()]);
        assert_eq!(come("192.0.2.1", 900), 900);
        door.ban(Source::of(ip("192.0.2.1")));
        let refused = door.knock(Mono::ZERO, ip("::ffff:192.0.2.1"));
        assert_eq!(refused, Err(Refused::Banned));
        door.unban(Source::of(ip("192.0.2.1")));
        assert_eq!(come("192.0.2.1", 1), 1);
    }
}
