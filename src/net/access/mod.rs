//! Who may send us anything: token buckets for each source, bans, and who is above both. Nothing here reads a message, a socket or a clock.
//!
//! A source is trusted (a trunk's address, `security.allow`), known (a phone of ours is registered or calls from there) or a stranger. Trusted ones are
//! neither limited nor banned; known ones have a wide limit and are not banned: there each user that fails is slowed down alone. A stranger is banned for
//! failed authentications that brought back a nonce which we had sent to that very source: who forges a source never sees one, so nobody can
//! have another banned.

pub mod attempts;
mod bans;
pub mod door;
mod failures;
mod generations;
pub mod limiter;
pub mod source;

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use self::attempts::Attempts;
use self::bans::Bans;
use self::door::Door;
use self::failures::Failures;
use self::generations::Generations;
use self::limiter::Limiter;
use self::source::Source;
use crate::dialplan::plan::Security;
use crate::ledger::clock::Mono;

/// Sources whose buckets and failures are kept at once.
const MOST_SOURCES: usize = 32_768;
/// A stranger may send so many seconds' worth at once.
const BURST: u32 = 4;
/// A known address may hold a whole office: so many times a stranger's rate.
const KNOWN: u32 = 50;

/// Requests a second of all strangers together, but for REGISTER.
const CROWD: u32 = 500;

/// How a source stands with us.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Standing {
    /// A trunk's address, or on the allow list.
    Trusted,
    /// A phone of ours is there.
    Known,
    /// Anybody.
    Stranger,
}

/// What becomes of a message before it is read.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Admission {
    /// It is read.
    Served(Standing),
    /// Its source is banned: silence.
    Banned,
    /// Its source sends too much.
    Limited,
}

/// What a failed authentication led to.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Consequence {
    /// Nothing yet.
    None,
    /// The source is banned for so long.
    Banned(Offence),
    /// This user's credentials are not looked at for so long, when they come from there.
    Slowed(Duration),
}

/// Why a source is banned.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Offence {
    /// Who.
    pub source: Source,
    /// For how long.
    pub length: Duration,
    /// Failed authentications.
    pub failures: u32,
    /// Different users.
    pub users: u32,
    /// A sentence.
    pub reason: String,
}

/// The door.
#[derive(Debug)]
pub struct Access {
    settings: Security,
    trusted: HashSet<IpAddr>,
    networks: Vec<IpNet>,
    known: HashMap<Source, Mono>,
    /// When `known` was looked over last.
    swept: Mono,
    strangers: Limiter<Source>,
    offices: Limiter<Source>,
    /// All strangers together, for what leaves something behind with us: sources can be forged, so their number is no bound.
    crowd: Limiter<()>,
    /// What is part of something that runs here, wherever it comes from.
    running: Limiter<Source>,
    failures: Generations<Source, Failures>,
    /// Failures of each user from each source that is not banned.
    attempts: Attempts<(Source, u64)>,
    bans: Bans,
    hash: RandomState,
    /// What the accepting tasks are told.
    door: Arc<Door>,
}

impl Access {
    /// With these settings; nobody is trusted yet.
    pub fn new(settings: Security) -> Access {
        let rate = settings.requests;
        Access {
            trusted: HashSet::new(),
            networks: settings.allow.clone(),
            known: HashMap::new(),
            swept: Mono::ZERO,
            strangers: Limiter::per_second(rate, rate.saturating_mul(BURST), MOST_SOURCES),
            offices: Limiter::per_second(
                rate.saturating_mul(KNOWN),
                rate.saturating_mul(KNOWN * BURST),
                MOST_SOURCES,
            ),
            crowd: Limiter::per_second(CROWD, CROWD * BURST, 2),
            running: Limiter::per_second(
                rate.saturating_mul(KNOWN),
                rate.saturating_mul(KNOWN * BURST),
                MOST_SOURCES,
            ),
            failures: Generations::new(MOST_SOURCES),
            attempts: Attempts::new(settings.failures, settings.window, MOST_SOURCES),
            bans: Bans::default(),
            hash: RandomState::new(),
            door: Arc::default(),
            settings,
        }
    }

    /// Puts a new plan's settings in force. Bans stay.
    pub fn configure(&mut self, settings: &Security) {
        if *settings == self.settings {
            return;
        }
        let fresh = Access::new(settings.clone());
        let old = std::mem::replace(self, fresh);
        (self.known, self.bans, self.swept) = (old.known, old.bans, old.swept);
        (self.trusted, self.door) = (old.trusted, old.door);
    }

    /// From now on this door is told what is known of sources; what is known already, at once.
    pub fn set_door(&mut self, door: Arc<Door>) {
        self.door = door;
        self.bans.sources().for_each(|source| self.door.ban(source));
        self.known
            .keys()
            .for_each(|source| self.door.vouch(*source));
        self.door.trust(self.trusted.clone(), self.networks.clone());
    }

    /// The trunks' addresses and networks, instead of those of before. The sources whose ban that lifts.
    pub fn trust(
        &mut self,
        addresses: impl IntoIterator<Item = IpAddr>,
        networks: impl IntoIterator<Item = IpNet>,
    ) -> Vec<Source> {
        self.trusted = addresses.into_iter().map(|ip| ip.to_canonical()).collect();
        self.networks = self.settings.allow.to_vec();
        self.networks.extend(networks);
        self.door.trust(self.trusted.clone(), self.networks.clone());
        let lifted: Vec<Source> = self
            .bans
            .sources()
            .filter(|source| self.trusts_some_of(*source))
            .collect();
        for source in &lifted {
            self.unban(*source);
        }
        lifted
    }

    /// Somebody there has shown who he is: until then the source is known.
    pub fn vouch(&mut self, now: Mono, address: IpAddr, until: Mono) {
        if now.since(self.swept) > SWEEP {
            self.swept = now;
            self.known.retain(|_, until| *until > now);
            self.door.retain(|source| self.known.contains_key(&source));
        }
        let source = Source::of(address);
        match self.known.get_mut(&source) {
            Some(known) => *known = until.max(*known),
            None => {
                self.known.insert(source, until);
                self.door.vouch(source);
            }
        }
    }

    /// How an address stands.
    pub fn standing(&self, now: Mono, address: IpAddr) -> Standing {
        let ip = address.to_canonical();
        if self.trusted.contains(&ip) || self.networks.iter().any(|network| network.contains(&ip)) {
            return Standing::Trusted;
        }
        match self.known.get(&Source::of(ip)) {
            Some(until) if *until > now => Standing::Known,
            _ => Standing::Stranger,
        }
    }

    /// A message came from there.
    pub fn admit(&mut self, now: Mono, address: IpAddr) -> Admission {
        let source = Source::of(address);
        if self.bans.holds(now, source) {
            return Admission::Banned;
        }
        let standing = self.standing(now, address);
        let taken = match standing {
            Standing::Trusted => Ok(()),
            Standing::Known => self.offices.take(now, &source),
            Standing::Stranger => self.strangers.take(now, &source),
        };
        match taken {
            Ok(()) => Admission::Served(standing),
            Err(_) => Admission::Limited,
        }
    }

    /// Whether one more stranger can be given room for a request that is not forgotten as soon as it is answered.
    pub fn admit_to_stay(&mut self, now: Mono) -> bool {
        self.crowd.take(now, &()).is_ok()
    }

    /// Whether a message from there that is part of something that runs here is read, although its source sends too much or strangers do.
    pub fn admit_running(&mut self, now: Mono, address: IpAddr) -> bool {
        self.running.take(now, &Source::of(address)).is_ok()
    }

    /// Whether it is silent towards this address: for connections, before they are taken in.
    pub fn is_banned(&self, now: Mono, address: IpAddr) -> bool {
        self.bans.holds(now, Source::of(address))
    }

    /// Whether credentials of this user from there must not be looked at now.
    pub fn is_slowed(&self, now: Mono, address: IpAddr, user: &str) -> bool {
        let key = (Source::of(address), self.hash.hash_one(user));
        self.attempts.is_slowed(now, &key)
    }

    /// Whether credentials of any user are not looked at: then it is worth finding out whose came.
    pub fn slows_anybody(&self) -> bool {
        self.attempts.slows_anybody()
    }

    /// Credentials from there that answered a nonce of ours were wrong.
    pub fn failed(&mut self, now: Mono, address: IpAddr, user: &str) -> Consequence {
        let source = Source::of(address);
        let user = self.hash.hash_one(user);
        if self.standing(now, address) != Standing::Stranger {
            let slowed = self.attempts.failed(now, &(source, user));
            return slowed.map_or(Consequence::None, Consequence::Slowed);
        }
        if self.failures.peek(&source).is_none() {
            self.failures.insert(source, Failures::begin(now));
        }
        let Some(failures) = self.failures.touch(&source) else {
            return Consequence::None;
        };
        failures.add(now, self.settings.window, user);
        if failures.weight() < self.settings.failures {
            return Consequence::None;
        }
        let offence = Offence {
            source,
            length: self.settings.ban,
            failures: failures.count(),
            users: failures.users(),
            reason: reason(failures),
        };
        self.failures.remove(&source);
        self.add_ban(source, now + self.settings.ban);
        Consequence::Banned(offence)
    }

    /// Bans a source until then: those of before a restart. False: it is trusted or known.
    pub fn ban(&mut self, now: Mono, source: Source, until: Mono) -> bool {
        let known = self.known.get(&source).is_some_and(|until| *until > now);
        if known || self.trusts_some_of(source) {
            return false;
        }
        self.add_ban(source, until);
        true
    }

    /// Lifts a ban; its failures are forgotten. False: there was none.
    pub fn lift(&mut self, source: Source) -> bool {
        self.failures.remove(&source);
        self.unban(source)
    }

    fn add_ban(&mut self, source: Source, until: Mono) {
        if let Some(first) = self.bans.add(source, until) {
            self.door.unban(first);
        }
        self.door.ban(source);
    }

    fn unban(&mut self, source: Source) -> bool {
        self.door.unban(source);
        self.bans.remove(source)
    }

    /// Takes out a ban that is over.
    pub fn take_ended(&mut self, now: Mono) -> Option<Source> {
        let source = self.bans.take_ended(now)?;
        self.door.unban(source);
        Some(source)
    }

    /// When the next ban is over.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.bans.next_end()
    }

    fn trusts_some_of(&self, source: Source) -> bool {
        let network = self.networks.iter().any(|network| {
            Source::of(network.addr()) == source || network.contains(&source.address())
        });
        network || self.trusted.iter().any(|ip| Source::of(*ip) == source)
    }
}

fn reason(failures: &Failures) -> String {
    let users = match failures.users() {
        1 => "one user".to_owned(),
        users => format!("{users} users"),
    };
    format!(
        "{} failed log-ins of {users} within {} s",
        failures.count(),
        failures.took().as_secs().max(1)
    )
}

/// How often those who are known no more are dropped.
const SWEEP: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests;
