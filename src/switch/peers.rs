//! Where the trunks' peers are: looking names up (RFC 3263), choosing the addresses of a call, and their health.

use std::sync::Arc;
use std::time::Duration;

use super::core::Core;
use super::effect::{Effect, Lookup};
use crate::call::input::{Input, LegEvent};
use crate::dialplan::plan::Trunk;
use crate::ledger::clock::Now;
use crate::ledger::id::{LegId, Name};
use crate::sip::endpoint::command::Hop;
use crate::sip::endpoint::event::HopFailure;
use crate::sip::endpoint::{Flow, SessionId, Transport};
use crate::sip::header::seconds;
use crate::sip::locate::{Search, Server, Servers, Wish};
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name as HeaderName};
use crate::trunk::peers::{Change, Choice, Peers};

/// A name is looked up again no sooner than this, however short its life,
const SOONEST: Duration = Duration::from_secs(5);
/// and no later than this, however long.
const LATEST: Duration = Duration::from_secs(3_600);
/// While a look-up is under way, or has brought nothing.
const MEANWHILE: Duration = Duration::from_secs(30);
/// Fixed contacts of phones are looked up again after this time.
const CONTACTS_EVERY: Duration = Duration::from_secs(60);
/// The transports that this version opens towards far sides.
const ABILITIES: &[Transport] = &[Transport::Udp, Transport::Tcp, Transport::Tls];
/// The most addresses that one call tries over one trunk.
const MOST_PLACES: usize = 6;

impl Core {
    /// The transports by which far sides are reached, those that we like best first.
    pub fn abilities(&self) -> &'static [Transport] {
        ABILITIES
    }

    /// The flow to a server of `host`; `None`: no listener reaches it.
    pub(super) fn flow_of(&mut self, server: Server, host: &str) -> Option<Flow> {
        self.flow_over(server.transport, server.address, host)
    }

    /// Takes a trunk's peers from the plan; what is known of those that stay is kept. Its addresses stay until the new ones are looked up.
    pub(super) fn apply_peers(&mut self, now: Now, trunk: &Trunk) {
        let known = self.trunks.peers.get(&trunk.name);
        if known.is_some_and(|known| {
            known.is_for(&trunk.peers, &trunk.weights, trunk.options, trunk.timeout)
        }) {
            return;
        }
        let mut peers = Peers::new(
            trunk.peers.clone(),
            trunk.weights.clone(),
            trunk.options,
            trunk.timeout,
            self.entropy.split(),
        );
        if let Some(old) = self.trunks.peers.remove(&trunk.name) {
            peers = peers.inherit(now.mono, old);
        }
        let sources = peers.sources(now.mono);
        if !sources.is_empty() {
            self.trunks.addresses.insert(trunk.name.clone(), sources);
        }
        if !peers.is_lost() {
            self.trunks.lost.remove(&trunk.name);
        }
        self.trunks.peers.insert(trunk.name.clone(), peers);
        self.settle_peers(now, &trunk.name);
    }

    /// Asks for the servers of the trunks' peers: of all, or of those whose time has passed.
    pub(super) fn look_up_peers(&mut self, now: Now, all: bool) {
        if all || self.trunks.contacts_at.is_some_and(|at| at <= now.mono) {
            self.trunks.contacts_at = self
                .plan
                .operators
                .values()
                .any(|operator| operator.contact.is_some())
                .then(|| now.mono + CONTACTS_EVERY);
            self.look_up_contacts();
        }
        let peers = self.trunks.peers.values();
        let mut wishes: Vec<Wish> = peers.flat_map(|peers| peers.wishes().to_vec()).collect();
        wishes.sort();
        wishes.dedup();
        self.trunks.look_ups.retain(|wish, _| wishes.contains(wish));
        for wish in wishes {
            let at = self.trunks.look_ups.get(&wish);
            if !all && at.is_none_or(|at| *at > now.mono) {
                continue;
            }
            let search = Search::new(wish.clone(), self.abilities());
            if search.questions().is_empty() {
                self.trunks.look_ups.remove(&wish);
                self.peer_located(now, &wish, search.finish());
                continue;
            }
            self.trunks
                .look_ups
                .insert(wish.clone(), now.mono + MEANWHILE);
            self.effects.push_back(Effect::Resolve {
                what: Lookup::Trunk(wish.clone()),
                wish,
            });
        }
    }

    /// A wish was looked up.
    pub(super) fn peer_located(&mut self, now: Now, wish: &Wish, servers: Servers) {
        let again = match servers.is_empty() {
            true => servers.ttl().clamp(SOONEST, MEANWHILE),
            false => servers.ttl().clamp(SOONEST, LATEST),
        };
        if let Some(at) = self.trunks.look_ups.get_mut(wish) {
            *at = now.mono + again;
        }
        let names: Vec<Name> = self
            .trunks
            .peers
            .iter()
            .filter(|(_, peers)| peers.wishes().contains(wish))
            .map(|(name, _)| name.clone())
            .collect();
        for name in names {
            let Some(peers) = self.trunks.peers.get_mut(&name) else {
                continue;
            };
            peers.located(now.mono, wish, servers.clone());
            let addresses = peers.sources(now.mono);
            let is_lost = peers.is_lost();
            if addresses.is_empty() {
                // Those of another place, from before a reload.
                self.trunks.addresses.remove(&name);
                let why = format!("the host {} leads to no address", wish.host);
                self.trunks.lost.insert(name.clone(), why);
            } else {
                self.trunks.addresses.insert(name.clone(), addresses);
                if !is_lost {
                    self.trunks.lost.remove(&name);
                }
            }
            self.settle_peers(now, &name);
            self.registration_may_begin(now, &name);
            self.show_trunk(now, &name);
        }
        self.refresh_trust(now);
    }

    pub(super) fn run_peers(&mut self, now: Now) {
        if self.trunks.is_leaving {
            return;
        }
        let names: Vec<Name> = self.trunks.peers.keys().cloned().collect();
        for name in names {
            let Some(peers) = self.trunks.peers.get_mut(&name) else {
                continue;
            };
            if peers.poll_timeout().is_some_and(|at| at <= now.mono) {
                peers.handle_timeout(now.mono);
                self.settle_peers(now, &name);
            }
        }
    }

    /// An OPTIONS was answered, or will not be.
    pub(super) fn life_answered(
        &mut self,
        now: Now,
        trunk: &Name,
        server: Server,
        code: u16,
        message: Option<&Message>,
    ) {
        let retry_after = message
            .and_then(|message| message.header(HeaderName::RetryAfter))
            .and_then(seconds::leading);
        if let Some(peers) = self.trunks.peers.get_mut(trunk) {
            // Without a response 503 means that it cannot be reached, and 408 has been taken for silence before.
            match (message, code) {
                (None, 503) => {
                    peers.handle_failure(now.mono, server, "it cannot be reached", None);
                }
                (None, _) => {}
                (Some(_), code) => peers.handle_probe(now.mono, server, code, retry_after),
            }
            self.settle_peers(now, trunk);
        }
    }

    pub(super) fn address_failed(
        &mut self,
        now: Now,
        trunk: &Name,
        server: Server,
        why: &str,
        retry_after: Option<Duration>,
    ) {
        tracing::warn!(%trunk, address = %server.address, "{why}");
        if let Some(peers) = self.trunks.peers.get_mut(trunk) {
            peers.handle_failure(now.mono, server, why, retry_after);
            self.settle_peers(now, trunk);
        }
    }

    pub(super) fn address_lives(&mut self, now: Now, trunk: &Name, server: Server) {
        if let Some(peers) = self.trunks.peers.get_mut(trunk) {
            peers.handle_life(now.mono, server);
            self.settle_peers(now, trunk);
        }
    }

    /// Carries out what a trunk's peers ask for.
    fn settle_peers(&mut self, now: Now, name: &Name) {
        let plan = Arc::clone(&self.plan);
        loop {
            let Some(peers) = self.trunks.peers.get_mut(name) else {
                return;
            };
            if let Some(server) = peers.poll_probe() {
                if let Some(trunk) = plan.trunks.get(name.as_str()) {
                    self.ask_for_life(now, trunk, server);
                }
            } else if let Some(change) = peers.poll_change() {
                match change {
                    Change::Lost(why) => {
                        let why = format!("no address answers; of the last one: {why}");
                        self.trunks.lost.insert(name.clone(), why);
                    }
                    Change::Back => {
                        self.trunks.lost.remove(name);
                        self.hurry_registration(now, name);
                    }
                }
            } else {
                break;
            }
        }
        self.show_trunk(now, name);
    }

    /// The addresses that a leg over a trunk will try, the best first; the same ones each time it is asked.
    pub(super) fn places_of(&mut self, now: Now, leg: LegId, trunk: &Name) -> Vec<Choice> {
        if let Some(chosen) = self.trunks.chosen.get(&leg) {
            return chosen.clone();
        }
        let peers = self.trunks.peers.get_mut(trunk);
        let mut chosen = peers.map_or_else(Vec::new, |peers| peers.choose(now.mono));
        chosen.retain(|choice| {
            let Server { transport, address } = choice.server;
            self.reach.flow_over(transport, address).is_some()
        });
        chosen.truncate(MOST_PLACES);
        self.trunks.chosen.insert(leg, chosen.clone());
        chosen
    }

    /// The places of an INVITE to a number. All tell the far side the same address of ours, for they share one description.
    pub(super) fn hops(&mut self, trunk: &Trunk, choices: &[Choice], number: &str) -> Vec<Hop> {
        let mut hops: Vec<Hop> = Vec::new();
        for choice in choices {
            let Some(peer) = trunk.peers.get(choice.peer) else {
                continue;
            };
            let Some(flow) = self.flow_of(choice.server, &peer.host) else {
                continue;
            };
            let is_like_first = hops
                .first()
                .is_none_or(|first| first.flow.advertised.ip() == flow.advertised.ip());
            if is_like_first {
                let port = peer
                    .port
                    .filter(|port| *port != flow.transport.default_port());
                let uri = Uri::sip(Some(number), &peer.host, port);
                let uri = uri.as_str().to_owned();
                let large = self.large_way(trunk, choices, peer, &flow);
                hops.push(Hop { flow, uri, large });
            }
        }
        hops
    }

    /// How a message too large for a datagram reaches a peer that leaves the transport open: by TCP, where its records or another entry of `peers` offer
    /// that.
    fn large_way(
        &mut self,
        trunk: &Trunk,
        choices: &[Choice],
        peer: &Wish,
        flow: &Flow,
    ) -> Option<Flow> {
        if flow.transport != Transport::Udp || peer.transport.is_some() {
            return None;
        }
        let offered = choices.iter().find(|other| {
            let offers = trunk.peers.get(other.peer);
            other.server.transport == Transport::Tcp
                && offers.is_some_and(|offers| offers.host == peer.host)
        })?;
        let stream = self.flow_of(offered.server, &peer.host)?;
        (stream.advertised.ip() == flow.advertised.ip()).then_some(stream)
    }

    /// The stream by which large messages reach a trunk at this address.
    pub(super) fn stream_to(&mut self, trunk: &Name, flow: &Flow) -> Option<Flow> {
        if flow.transport != Transport::Udp {
            return None;
        }
        let peers = self.trunks.peers.get(trunk)?;
        let server = Server {
            transport: flow.transport,
            address: flow.remote,
        };
        let stream = peers.stream_beside(server)?;
        let host = peers.host_of(stream)?.to_owned();
        let stream = self.flow_of(stream, &host)?;
        (stream.advertised.ip() == flow.advertised.ip()).then_some(stream)
    }

    /// An address that a call tried lives, or failed.
    pub(super) fn hop_tried(
        &mut self,
        now: Now,
        session: SessionId,
        flow: Flow,
        failed: Option<HopFailure>,
    ) {
        let leg = LegId::from_u128(session.0);
        let place = self.legs.get(&leg);
        let Some((call, trunk)) = place.and_then(|place| Some((place.call, place.trunk.clone()?)))
        else {
            return;
        };
        let server = Server {
            transport: flow.transport,
            address: flow.remote,
        };
        let Some(HopFailure { code, retry_after }) = failed else {
            return self.address_lives(now, &trunk, server);
        };
        let why = match code {
            408 => "it does not answer an INVITE",
            _ => "it answers an INVITE with 503, or cannot be reached",
        };
        self.address_failed(now, &trunk, server, why, retry_after);
        let text = format!("{trunk} at {}: {why}", server.address);
        let event = LegEvent::Noted { text };
        self.give(now, call, Input::Leg(leg, event));
    }
}
