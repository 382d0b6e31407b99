//! The connections there are, and those that lead to places we send to: which one a message takes, and when one is to be opened.
//!
//! Sockets are `net`'s; which servers a trunk has is the trunk's.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::ledger::clock::Mono;
use crate::net::access::source::Source;
use crate::net::stream::Connect;
use crate::sip::endpoint::{ConnectionId, Flow, Transport};

/// A connection that nobody is registered or talks on is closed after this silence.
pub const IDLE: Duration = Duration::from_secs(120);
/// One that we opened: the next call needs no handshake.
pub const IDLE_OURS: Duration = Duration::from_secs(900);
/// More places than this are not remembered; those without a connection make room.
const MOST_PLACES: usize = 4096;

/// The connections of the process.
#[derive(Debug, Default)]
pub struct Connections {
    live: HashMap<ConnectionId, Live>,
    /// Where the connections that we open lead.
    places: HashMap<ConnectionId, (Place, Flow)>,
    ids: HashMap<Place, ConnectionId>,
    /// Connections that the far side lets us use for requests of ours (RFC 5923), by its address and a name of its certificate.
    aliases: HashMap<(SocketAddr, String), ConnectionId>,
    last: u64,
}

/// A connection that is open or being opened.
#[derive(Debug)]
struct Live {
    flow: Flow,
    /// What the far side's certificate was verified for.
    names: Vec<String>,
    heard_at: Mono,
}

/// What makes two connections of ours the same.
#[derive(Clone, PartialEq, Eq, Hash, Debug)]
struct Place {
    transport: Transport,
    remote: SocketAddr,
    /// Whom the certificate must name; empty without TLS.
    name: String,
}

/// How a message travels.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Way {
    /// As a datagram.
    Datagram,
    /// On this connection.
    On(ConnectionId),
    /// This connection is to be opened first, and then takes it.
    Open(Connect),
    /// There is none any more.
    Gone,
}

impl Connections {
    /// The flow by which requests of ours to `name` at `flow`'s far side travel: always the same for the same place, so that its connection is used
    /// again. Over UDP, `flow` itself.
    pub fn towards(&mut self, flow: Flow, name: &str) -> Flow {
        if !flow.transport.is_reliable() || !flow.connection.is_none() {
            return flow;
        }
        let name = name.to_ascii_lowercase();
        let name = name.trim_start_matches('[').trim_end_matches(']');
        if flow.transport == Transport::Tls
            && let Some(alias) = self.aliases.get(&(flow.remote, name.to_owned()))
            && let Some(live) = self.live.get(alias)
        {
            return live.flow;
        }
        let place = Place {
            transport: flow.transport,
            remote: flow.remote,
            name: if flow.transport.is_secure() {
                name.to_owned()
            } else {
                String::new()
            },
        };
        let connection = match self.ids.get(&place) {
            Some(known) => *known,
            None => self.remember(place.clone(), flow),
        };
        Flow { connection, ..flow }
    }

    fn remember(&mut self, place: Place, flow: Flow) -> ConnectionId {
        if self.ids.len() >= MOST_PLACES {
            let live = &self.live;
            self.places.retain(|id, _| live.contains_key(id));
            self.ids.retain(|_, id| live.contains_key(id));
        }
        self.last += 1;
        let connection = ConnectionId::ours(self.last);
        self.ids.insert(place.clone(), connection);
        self.places
            .insert(connection, (place, Flow { connection, ..flow }));
        connection
    }

    /// How a message on `flow` travels now. `Open` is said once; until `closed` the connection counts as there.
    pub fn way(&mut self, now: Mono, flow: &Flow) -> Way {
        if !flow.transport.is_reliable() {
            return Way::Datagram;
        }
        if self.live.contains_key(&flow.connection) {
            return Way::On(flow.connection);
        }
        let is_web_socket = flow.transport.is_web_socket() && flow.connection.is_none();
        if flow.connection.is_theirs() || is_web_socket {
            return Way::Gone;
        }
        let flow = match self.known(flow) {
            Some(known) => known,
            None => self.towards(*flow, &flow.remote.ip().to_string()),
        };
        if self.live.contains_key(&flow.connection) {
            return Way::On(flow.connection);
        }
        let Some((place, flow)) = self.places.get(&flow.connection) else {
            return Way::Gone;
        };
        let local = flow.advertised.ip();
        let connect = Connect {
            connection: flow.connection,
            transport: place.transport,
            remote: place.remote,
            // Between loopback addresses the one that we are known by; else the kernel knows best.
            local: (local.is_loopback() && place.remote.ip().is_loopback()).then_some(local),
            name: place.name.clone(),
        };
        let live = Live {
            flow: *flow,
            names: Some(place.name.clone())
                .filter(|name| !name.is_empty())
                .into_iter()
                .collect(),
            heard_at: now,
        };
        self.live.insert(flow.connection, live);
        Way::Open(connect)
    }

    /// A place that we have been to, for a flow that says nothing but the address: whoever was verified there is there.
    fn known(&self, flow: &Flow) -> Option<Flow> {
        let mut ids: Vec<ConnectionId> = self
            .ids
            .iter()
            .filter(|(place, _)| (place.transport, place.remote) == (flow.transport, flow.remote))
            .map(|(_, id)| *id)
            .collect();
        ids.sort_unstable_by_key(|id| (!self.live.contains_key(id), *id));
        let connection = *ids.first()?;
        Some(Flow {
            connection,
            ..*flow
        })
    }

    /// The far side opened one.
    pub fn accepted(&mut self, now: Mono, flow: Flow, names: Vec<String>) {
        let live = Live {
            flow,
            names,
            heard_at: now,
        };
        self.live.insert(flow.connection, live);
    }

    /// A message came on it; its flow.
    pub fn heard(&mut self, now: Mono, connection: ConnectionId) -> Option<Flow> {
        let live = self.live.get_mut(&connection)?;
        live.heard_at = now;
        Some(live.flow)
    }

    /// It is closed; its flow.
    pub fn closed(&mut self, connection: ConnectionId) -> Option<Flow> {
        if connection.is_theirs() {
            self.aliases.retain(|_, alias| *alias != connection);
        }
        self.live.remove(&connection).map(|live| live.flow)
    }

    /// Whether it is open or being opened.
    pub fn is_open(&self, connection: ConnectionId) -> bool {
        self.live.contains_key(&connection)
    }

    /// Whether the far side opened the flow's connection and it is closed: nothing reaches anybody by it any more.
    pub fn has_left(&self, flow: &Flow) -> bool {
        flow.connection.is_theirs() && !self.is_open(flow.connection)
    }

    /// What the far side's certificate was verified for; empty without one.
    pub fn names(&self, connection: ConnectionId) -> &[String] {
        self.live
            .get(&connection)
            .map_or(&[], |live| live.names.as_slice())
    }

    /// A request with `alias` in its Via came (RFC 5923 §5): requests to `port` at its address may take this connection, if TLS has proved who is there.
    pub fn alias(&mut self, flow: &Flow, port: u16) {
        if flow.transport != Transport::Tls || !flow.connection.is_theirs() {
            return;
        }
        let there = SocketAddr::new(flow.remote.ip(), port);
        for name in self.names(flow.connection).to_vec() {
            self.aliases.insert((there, name), flow.connection);
        }
    }

    /// The connections that have been silent for too long and are not `used`, which are to be closed.
    pub fn sweep(&self, now: Mono, used: impl Fn(&Flow) -> bool) -> Vec<ConnectionId> {
        let mut idle: Vec<ConnectionId> = self
            .live
            .iter()
            .filter(|(id, live)| {
                let most = if id.is_ours() { IDLE_OURS } else { IDLE };
                now.since(live.heard_at) >= most && !used(&live.flow)
            })
            .map(|(id, _)| *id)
            .collect();
        idle.sort_unstable();
        idle
    }

    /// Those that a source opened.
    pub fn of(&self, source: Source) -> Vec<ConnectionId> {
        let mut found: Vec<ConnectionId> = self
            .live
            .iter()
            .filter(|(id, live)| id.is_theirs() && Source::of(live.flow.remote.ip()) == source)
            .map(|(id, _)| *id)
            .collect();
        found.sort_unstable();
        found
    }

    /// How many there are, opening ones included.
    pub fn len(&self) -> usize {
        self.live.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.live.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::ListenerId;

    fn to(transport: Transport, remote: &str) -> Flow {
        Flow {
            transport,
            ..Flow::udp(
                ListenerId(0),
                remote.parse().unwrap(),
                "192.0.2.1:5061".parse().unwrap(),
            )
        }
    }

    const PEER: &str = "192.0.2.9:5061";

    #[test]
    fn a_connection_of_theirs_leaves_for_good() {
        let mut connections = Connections::default();
        let udp = to(Transport::Udp, PEER);
        let ours = connections.towards(to(Transport::Tcp, PEER), "acme.example");
        let theirs = Flow {
            connection: ConnectionId::theirs(1),
            ..to(Transport::Tcp, PEER)
        };
        connections.accepted(Mono::ZERO, theirs, Vec::new());
        assert!(
            [udp, ours, theirs]
                .iter()
                .all(|flow| !connections.has_left(flow))
        );
        connections.closed(theirs.connection);
        assert!(connections.has_left(&theirs));
        assert!(![udp, ours].iter().any(|flow| connections.has_left(flow)));
    }

    #[test]
    fn one_connection_for_one_place() {
        let mut connections = Connections::default();
        let now = Mono::ZERO;
        let acme = connections.towards(to(Transport::Tls, PEER), "Acme.example");
        let same = connections.towards(to(Transport::Tls, PEER), "acme.example");
        let beta = connections.towards(to(Transport::Tls, PEER), "beta.example");
        let tcp = connections.towards(to(Transport::Tcp, PEER), "beta.example");
        assert_eq!(acme, same);
        assert!(acme.connection != beta.connection && beta.connection != tcp.connection);
        let Way::Open(connect) = connections.way(now, &acme) else {
            panic!("nothing to open");
        };
        assert_eq!(
            (connect.name.as_str(), connect.local),
            ("acme.example", None)
        );
        assert_eq!(connections.way(now, &acme), Way::On(acme.connection));
        assert_eq!(connections.closed(acme.connection), Some(acme));
        assert!(
            matches!(connections.way(now, &acme), Way::Open(again) if again.connection == acme.connection)
        );
    }

    #[test]
    fn without_a_connection_one_to_the_address_is_opened() {
        let mut connections = Connections::default();
        let now = Mono::ZERO;
        let flow = to(Transport::Tls, PEER);
        assert!(
            matches!(connections.way(now, &flow), Way::Open(connect) if connect.name == "192.0.2.9")
        );
        assert!(matches!(connections.way(now, &flow), Way::On(_)));
        assert_eq!(
            connections.way(now, &to(Transport::Udp, PEER)),
            Way::Datagram
        );
        assert_eq!(connections.way(now, &to(Transport::Ws, PEER)), Way::Gone);
    }

    #[test]
    fn a_bare_address_is_the_place_that_is_known_there() {
        let mut connections = Connections::default();
        let acme = connections.towards(to(Transport::Tls, PEER), "acme.example");
        connections.way(Mono::ZERO, &acme);
        let bare = to(Transport::Tls, PEER);
        assert_eq!(connections.way(Mono::ZERO, &bare), Way::On(acme.connection));
        connections.closed(acme.connection);
        let Way::Open(connect) = connections.way(Mono::ZERO, &bare) else {
            panic!("nothing to open");
        };
        assert_eq!(connect.name, "acme.example");
    }

    #[test]
    fn who_connected_to_us_cannot_be_reached_when_gone() {
        let mut connections = Connections::default();
        let now = Mono::ZERO;
        let flow = Flow {
            connection: ConnectionId::theirs(1),
            ..to(Transport::Tcp, PEER)
        };
        connections.accepted(now, flow, Vec::new());
        assert_eq!(connections.way(now, &flow), Way::On(flow.connection));
        connections.closed(flow.connection);
        assert_eq!(connections.way(now, &flow), Way::Gone);
    }

    #[test]
    fn an_alias_needs_a_certificate() {
        let mut connections = Connections::default();
        let now = Mono::ZERO;
        let arrived = |number: u64| Flow {
            connection: ConnectionId::theirs(number),
            ..to(Transport::Tls, "192.0.2.9:40000")
        };
        connections.accepted(now, arrived(1), Vec::new());
        connections.alias(&arrived(1), 5061);
        let fresh = connections.towards(to(Transport::Tls, PEER), "acme.example");
        assert!(fresh.connection.is_ours());
        connections.accepted(now, arrived(2), vec!["acme.example".to_owned()]);
        connections.alias(&arrived(2), 5061);
        let aliased = connections.towards(to(Transport::Tls, PEER), "acme.example");
        assert_eq!(aliased, arrived(2));
        let other = connections.towards(to(Transport::Tls, PEER), "beta.example");
        assert!(other.connection.is_ours());
        connections.closed(aliased.connection);
        let fresh = connections.towards(to(Transport::Tls, PEER), "acme.example");
        assert!(fresh.connection.is_ours());
    }

    #[test]
    fn silence_closes_what_nobody_uses() {
        let mut connections = Connections::default();
        let flow = |number: u64| Flow {
            connection: ConnectionId::theirs(number),
            ..to(Transport::Tcp, PEER)
        };
        connections.accepted(Mono::ZERO, flow(1), Vec::new());
        connections.accepted(Mono::ZERO, flow(2), Vec::new());
        connections.accepted(Mono::ZERO, flow(3), Vec::new());
        let later = Mono::ZERO + IDLE;
        connections.heard(Mono::ZERO + Duration::from_secs(1), flow(3).connection);
        let idle = connections.sweep(later, |used| *used == flow(2));
        assert_eq!(idle, [flow(1).connection]);
    }
}
