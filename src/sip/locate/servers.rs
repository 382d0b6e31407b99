//! What a search found, and the order in which it is tried (RFC 2782, RFC 3263 §4.2 and §4.3).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use crate::ledger::entropy::Entropy;
use crate::sip::endpoint::Transport;

/// One address to try.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Server {
    /// How.
    pub transport: Transport,
    /// Where.
    pub address: SocketAddr,
}

/// All servers of a wish, as the DNS ranks them.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Servers {
    groups: Vec<Group>,
    ttl: Duration,
}

/// The servers of one transport.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Group {
    pub(super) transport: Transport,
    pub(super) places: Vec<Place>,
}

/// One SRV record with the addresses of its host.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Place {
    pub(super) priority: u16,
    pub(super) weight: u16,
    pub(super) port: u16,
    pub(super) addresses: Vec<IpAddr>,
}

impl Servers {
    pub(super) fn new(groups: Vec<Group>, ttl: Duration) -> Servers {
        Servers { groups, ttl }
    }

    /// For how long they hold; [`Duration::MAX`] when no name had to be looked up.
    pub const fn ttl(&self) -> Duration {
        self.ttl
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// All of them, in no order that means anything.
    pub fn all(&self) -> impl Iterator<Item = Server> + '_ {
        self.groups.iter().flat_map(|group| {
            group
                .places
                .iter()
                .flat_map(|place| place.servers(group.transport))
        })
    }

    /// The order of this time: transports as preferred, then by priority; among equals a lot, by weight. IPv4 before IPv6: media is most often reached by it.
    pub fn order(&self, entropy: &mut Entropy) -> Vec<Server> {
        let mut ordered = Vec::new();
        for group in &self.groups {
            let mut places: Vec<&Place> = group.places.iter().collect();
            places.sort_by_key(|place| place.priority);
            for equals in places.chunk_by(|one, other| one.priority == other.priority) {
                let weights: Vec<u16> = equals.iter().map(|place| place.weight).collect();
                for index in draw(&weights, entropy) {
                    ordered.extend(
                        equals
                            .get(index)
                            .into_iter()
                            .flat_map(|place| place.servers(group.transport)),
                    );
                }
            }
        }
        let mut seen: Vec<Server> = Vec::with_capacity(ordered.len());
        for server in ordered {
            if !seen.contains(&server) {
                seen.push(server);
            }
        }
        seen
    }
}

impl Place {
    fn servers(&self, transport: Transport) -> impl Iterator<Item = Server> + '_ {
        let by_family = |v4: bool| self.addresses.iter().filter(move |ip| ip.is_ipv4() == v4);
        by_family(true)
            .chain(by_family(false))
            .map(move |ip| Server {
                transport,
                address: SocketAddr::new(*ip, self.port),
            })
    }
}

/// The order of some equals by lot, each as likely to be next as its weight says (RFC 2782). Those of weight 0 are all but never drawn before others.
pub fn draw(weights: &[u16], entropy: &mut Entropy) -> Vec<usize> {
    let mut left: Vec<usize> = (0..weights.len()).collect();
    // The RFC puts those without weight first, so that they have a small chance.
    left.sort_by_key(|index| weights.get(*index).is_some_and(|weight| *weight > 0));
    let mut order = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let weight = |index: &usize| weights.get(*index).map_or(0, |weight| u64::from(*weight));
        let sum: u64 = left.iter().map(weight).sum();
        // All without weight: equally likely.
        let place = if sum == 0 {
            usize::try_from(entropy.below(left.len() as u64)).unwrap_or(0)
        } else {
            let lot = entropy.below(sum + 1);
            let mut running = 0;
            left.iter()
                .position(|index| {
                    running += weight(index);
                    running >= lot
                })
                .unwrap_or(0)
        };
        order.push(left.remove(place.min(left.len() - 1)));
    }
    order
}
