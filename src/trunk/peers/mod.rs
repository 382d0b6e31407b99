//! The addresses of one trunk: in which order a call tries them, which of them are passed over for now, and when each is asked by
//! OPTIONS whether it lives.
//!
//! Not here: the look-up of names (`sip::locate`), the messages themselves.

mod health;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::time::Duration;

pub use self::health::Standing;
use self::health::{Health, Signs};
use crate::ledger::clock::Mono;
use crate::ledger::entropy::Entropy;
use crate::sip::endpoint::Transport;
use crate::sip::locate::{Server, Servers, Wish, draw};

/// One address to try, and which of the trunk's peers it belongs to.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Choice {
    /// The address.
    pub server: Server,
    /// Its peer's place in the plan's list.
    pub peer: usize,
}

/// The trunk can be reached no more, or again.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Change {
    /// Every address is down: why the last one is.
    Lost(String),
    /// One lives again.
    Back,
}

/// The peers of one trunk. After each `handle_*` and `located`, drain `poll_probe` and `poll_change`, then ask `poll_timeout`.
#[derive(Debug)]
pub struct Peers {
    wishes: Vec<Wish>,
    weights: Vec<u16>,
    options: Option<Duration>,
    patience: Duration,
    located: BTreeMap<Wish, Servers>,
    /// Addresses that a wish led to before, and when it was seen that it does so no more.
    left: BTreeMap<Wish, BTreeMap<SocketAddr, Mono>>,
    health: BTreeMap<Server, Health>,
    probes: VecDeque<Server>,
    changes: VecDeque<Change>,
    lost: bool,
    entropy: Entropy,
}

impl Peers {
    /// Peers in order, or by `weights` if there are any. Each address is asked every `options`; one that does not answer within
    /// `patience`, or within four seconds if that is longer, is down.
    pub fn new(
        wishes: Vec<Wish>,
        weights: Vec<u16>,
        options: Option<Duration>,
        patience: Duration,
        entropy: Entropy,
    ) -> Peers {
        Peers {
            wishes,
            weights,
            options,
            patience: patience.max(SHORTEST_PATIENCE),
            located: BTreeMap::new(),
            left: BTreeMap::new(),
            health: BTreeMap::new(),
            probes: VecDeque::new(),
            changes: VecDeque::new(),
            lost: false,
            entropy,
        }
    }

    /// What is known of the wishes that stay comes over from the peers of an earlier plan.
    pub fn inherit(mut self, now: Mono, old: Peers) -> Peers {
        let is_same_pace = self.options == old.options;
        self.lost = old.lost;
        self.left = old.left;
        self.left.retain(|wish, _| self.wishes.contains(wish));
        self.located = old.located;
        self.located.retain(|wish, _| self.wishes.contains(wish));
        self.health = old.health;
        if !is_same_pace {
            for health in self.health.values_mut() {
                let jitter = self.entropy.below(FIRST_PROBE_WITHIN);
                let first = self.options.map(|_| now + Duration::from_millis(jitter));
                health.set_pace(first);
            }
        }
        self.follow_located(now);
        self
    }

    /// Whether these settings are the ones it was made with.
    pub fn is_for(
        &self,
        wishes: &[Wish],
        weights: &[u16],
        options: Option<Duration>,
        patience: Duration,
    ) -> bool {
        self.wishes == wishes
            && self.weights == weights
            && self.options == options
            && self.patience == patience.max(SHORTEST_PATIENCE)
    }

    /// How a message too large for a datagram reaches the peer of this address, if that leaves the transport open: by TCP, where its records or another entry
    /// of the same host offer that.
    pub fn stream_beside(&self, server: Server) -> Option<Server> {
        let leads_here = |servers: &Servers| servers.all().any(|one| one == server);
        let mut located = self.located.iter();
        let (wish, _) = located
            .find(|(wish, servers)| wish.transport.is_none() && leads_here(servers))
            .filter(|_| server.transport == Transport::Udp)?;
        let located = self.located.iter();
        let of_host = located.filter(|(other, _)| other.host == wish.host);
        let streams = of_host
            .flat_map(|(_, servers)| servers.all())
            .filter(|other| other.transport == Transport::Tcp);
        streams.min_by_key(|other| other.address.ip() != server.address.ip())
    }

    /// What has to be located.
    pub fn wishes(&self) -> &[Wish] {
        &self.wishes
    }

    /// What a wish leads to. Nothing: what was found before stays, for a name server that is away must not end calls.
    pub fn located(&mut self, now: Mono, wish: &Wish, servers: Servers) {
        if !self.wishes.contains(wish) {
            return;
        }
        if servers.is_empty() && self.located.contains_key(wish) {
            return;
        }
        let there: Vec<SocketAddr> = servers.all().map(|server| server.address).collect();
        let before = self.located.insert(wish.clone(), servers);
        let left = self.left.entry(wish.clone()).or_default();
        left.extend(
            before
                .iter()
                .flat_map(Servers::all)
                .map(|s| (s.address, now)),
        );
        left.retain(|address, _| !there.contains(address));
        self.follow_located(now);
    }

    /// Every address that `located` leads to has its health, and no other.
    fn follow_located(&mut self, now: Mono) {
        let known: Vec<Server> = self.located.values().flat_map(Servers::all).collect();
        self.health.retain(|server, _| known.contains(server));
        for server in known {
            let jitter = self.entropy.below(FIRST_PROBE_WITHIN);
            let first = self.options.map(|_| now + Duration::from_millis(jitter));
            self.health
                .entry(server)
                .or_insert_with(|| Health::new(first));
        }
        let mut downs = self.health.values().map(Health::standing);
        let why = downs.find_map(|standing| standing.reason.clone());
        self.look(why.unwrap_or_default());
    }

    /// The addresses that requests of this trunk may come from: those of now, and those that left the DNS within the last hour, for a provider that rotates
    /// its records sends from all of them.
    pub fn sources(&self, now: Mono) -> Vec<SocketAddr> {
        let left = self.left.values().flatten();
        let lately = left.filter(|(_, at)| now.since(**at) < LEFT_KEPT);
        let here = self.all().map(|server| server.address);
        let mut sources: Vec<SocketAddr> =
            here.chain(lately.map(|(address, _)| *address)).collect();
        sources.sort_unstable();
        sources.dedup();
        sources
    }

    /// Whether every address is down.
    pub fn is_lost(&self) -> bool {
        self.lost
    }

    /// Every address, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = Server> + '_ {
        self.located.values().flat_map(Servers::all)
    }

    /// The host that an address belongs to: whom a certificate there must name.
    pub fn host_of(&self, server: Server) -> Option<&str> {
        self.place_of(server).map(|(host, _)| host)
    }

    /// The host and port that requests to an address name: as it is written in the plan, without a port that goes without saying.
    pub fn place_of(&self, server: Server) -> Option<(&str, Option<u16>)> {
        let mut located = self.located.iter();
        let (wish, _) = located.find(|(_, servers)| servers.all().any(|one| one == server))?;
        let port = wish
            .port
            .filter(|port| *port != server.transport.default_port());
        Some((&wish.host, port))
    }

    /// The addresses to try now, each once, the best first. Those that failed lately come last: better than nothing.
    pub fn choose(&mut self, now: Mono) -> Vec<Choice> {
        let order = if self.weights.is_empty() {
            (0..self.wishes.len()).collect()
        } else {
            draw(&self.weights, &mut self.entropy)
        };
        let mut choices: Vec<Choice> = Vec::new();
        for peer in order {
            let servers = self
                .wishes
                .get(peer)
                .and_then(|wish| self.located.get(wish));
            let Some(servers) = servers else { continue };
            for server in servers.order(&mut self.entropy) {
                if !choices.iter().any(|choice| choice.server == server) {
                    choices.push(Choice { server, peer });
                }
            }
        }
        // A stable sort: the order among equals stays.
        choices.sort_by_key(|choice| self.is_resting(now, choice.server));
        choices
    }

    fn is_resting(&self, now: Mono, server: Server) -> bool {
        self.health
            .get(&server)
            .is_some_and(|health| health.is_resting(now))
    }

    /// A request to the address failed: no answer, no way to it, or 503 with perhaps a Retry-After.
    pub fn handle_failure(
        &mut self,
        now: Mono,
        server: Server,
        why: &str,
        retry_after: Option<Duration>,
    ) {
        let jitter = self.entropy.below(200);
        if let Some(health) = self.health.get_mut(&server) {
            health.fail(now, why, retry_after, jitter);
            self.look(why.to_owned());
        }
    }

    /// The address answered something that is life.
    pub fn handle_life(&mut self, now: Mono, server: Server) {
        let signs = self.signs();
        if let Some(health) = self.health.get_mut(&server) {
            health.live(now, signs);
            self.look(String::new());
        }
    }

    /// An OPTIONS of `poll_probe` was answered, or timed out (408). Any answer but 408 and 503 is life.
    pub fn handle_probe(
        &mut self,
        now: Mono,
        server: Server,
        code: u16,
        retry_after: Option<Duration>,
    ) {
        match code {
            408 => self.handle_failure(now, server, NO_ANSWER, None),
            503 => self.handle_failure(now, server, UNAVAILABLE, retry_after),
            _ => self.handle_life(now, server),
        }
    }

    /// `poll_timeout` has passed.
    pub fn handle_timeout(&mut self, now: Mono) {
        let patience = self.patience;
        let mut silent = Vec::new();
        for (server, health) in &mut self.health {
            if health.is_silent(now) {
                silent.push(*server);
            } else if health.begin_probe(now, patience) {
                self.probes.push_back(*server);
            }
        }
        for server in silent {
            self.handle_failure(now, server, NO_ANSWER, None);
        }
    }

    /// Which address is to be asked next.
    pub fn poll_probe(&mut self) -> Option<Server> {
        self.probes.pop_front()
    }

    /// What to tell next.
    pub fn poll_change(&mut self) -> Option<Change> {
        self.changes.pop_front()
    }

    /// When to call `handle_timeout`.
    pub fn poll_timeout(&self) -> Option<Mono> {
        self.health.values().filter_map(Health::next).min()
    }

    /// How every address stands, in the order of the addresses.
    pub fn standings(&self) -> impl Iterator<Item = (Server, &Standing)> {
        self.health
            .iter()
            .map(|(server, health)| (*server, health.standing()))
    }

    fn signs(&mut self) -> Signs {
        let options = self.options;
        Signs {
            every: options,
            jitter: options.map_or(0, |every| {
                let tenth = u64::try_from(every.as_millis() / 10).unwrap_or(0);
                self.entropy.below(tenth.max(1))
            }),
        }
    }

    /// Notes whether any address is left.
    fn look(&mut self, why: String) {
        let lost = !self.health.is_empty() && self.health.values().all(Health::is_down);
        if lost && !self.lost {
            self.changes.push_back(Change::Lost(why));
        } else if !lost && self.lost {
            self.changes.push_back(Change::Back);
        }
        self.lost = lost;
    }
}

/// An address that left the DNS counts as the trunk's for so long.
const LEFT_KEPT: Duration = Duration::from_secs(3_600);
/// UDP sends a request four times within this.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(4);
/// The first OPTIONS goes out within so many milliseconds, so that not all trunks ask at once.
const FIRST_PROBE_WITHIN: u64 = 500;
const NO_ANSWER: &str = "it does not answer OPTIONS";
const UNAVAILABLE: &str = "it answers OPTIONS with 503";
