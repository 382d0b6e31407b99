//! Flows: where a message came from, and where one goes (RFC 3261 §18, RFC 5626 §3.3, RFC 7118).

use std::fmt;
use std::net::SocketAddr;

use bytes::Bytes;

use crate::sip::uri::{Scheme, Uri};

/// A listening socket, by its place in the configuration.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ListenerId(pub u16);

/// A transport of RFC 3261 §18 and RFC 7118.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Transport {
    /// UDP.
    Udp,
    /// TCP.
    Tcp,
    /// TLS over TCP.
    Tls,
    /// WebSocket.
    Ws,
    /// WebSocket over TLS.
    Wss,
}

impl Transport {
    /// All of them.
    pub const ALL: [Transport; 5] = [
        Transport::Udp,
        Transport::Tcp,
        Transport::Tls,
        Transport::Ws,
        Transport::Wss,
    ];

    /// Whether messages arrive in order and once, so that nothing is to be sent again (RFC 3261 §17).
    pub const fn is_reliable(self) -> bool {
        !matches!(self, Transport::Udp)
    }

    /// Whether TLS protects it.
    pub const fn is_secure(self) -> bool {
        matches!(self, Transport::Tls | Transport::Wss)
    }

    /// Whether it is a WebSocket: those are opened by the far side only.
    pub const fn is_web_socket(self) -> bool {
        matches!(self, Transport::Ws | Transport::Wss)
    }

    /// As a Via names it.
    pub const fn in_via(self) -> &'static str {
        match self {
            Transport::Udp => "UDP",
            Transport::Tcp => "TCP",
            Transport::Tls => "TLS",
            Transport::Ws => "WS",
            Transport::Wss => "WSS",
        }
    }

    /// As the configuration, the API and the store name it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Transport::Udp => "udp",
            Transport::Tcp => "tcp",
            Transport::Tls => "tls",
            Transport::Ws => "ws",
            Transport::Wss => "wss",
        }
    }

    /// Reads any of these spellings.
    pub fn parse(text: &str) -> Option<Transport> {
        Transport::ALL
            .into_iter()
            .find(|transport| transport.as_str().eq_ignore_ascii_case(text))
    }

    /// The value of our URIs' `transport` parameter; UDP needs none. RFC 7118 §5.2 writes `ws` for both WebSockets; the TLS one
    /// is told apart here, because our URIs say `sip:`.
    pub const fn in_uri(self) -> Option<&'static str> {
        match self {
            Transport::Udp => None,
            other => Some(other.as_str()),
        }
    }

    /// The transport that a URI asks for (RFC 3263 §4.1, RFC 7118 §5.2); `None`: it leaves the choice.
    pub fn of_uri(uri: &Uri) -> Option<Transport> {
        let named = uri.param("transport").and_then(Transport::parse);
        match (uri.scheme(), named) {
            (Scheme::Sips, None | Some(Transport::Udp | Transport::Tcp)) => Some(Transport::Tls),
            (Scheme::Sips, Some(Transport::Ws)) => Some(Transport::Wss),
            (_, named) => named,
        }
    }

    /// The port where none is written (RFC 3261 §19.1.2, RFC 7118 §5.3).
    pub const fn default_port(self) -> u16 {
        match self {
            Transport::Udp | Transport::Tcp => 5060,
            Transport::Tls => 5061,
            Transport::Ws => 80,
            Transport::Wss => 443,
        }
    }
}

impl fmt::Display for Transport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One connection over a stream transport. Those that the far side opened are gone when they close; those that we open are
/// known by where they lead, and open again under the same id.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct ConnectionId(u64);

impl ConnectionId {
    /// None: over UDP; over others any connection to there, and a new one if there is none.
    pub const NONE: ConnectionId = ConnectionId(0);
    const OURS: u64 = 1 << 63;

    /// The number of one that the far side opened, from 1.
    pub const fn theirs(number: u64) -> ConnectionId {
        ConnectionId(number & !ConnectionId::OURS)
    }

    /// The number of one that we open.
    pub const fn ours(number: u64) -> ConnectionId {
        ConnectionId(number | ConnectionId::OURS)
    }

    /// Whether it is none in particular.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }

    /// Whether we open it, and may open it again.
    pub const fn is_ours(self) -> bool {
        self.0 & ConnectionId::OURS != 0
    }

    /// Whether the far side opened it: once closed, nobody can open it again.
    pub const fn is_theirs(self) -> bool {
        !self.is_none() && !self.is_ours()
    }
}

/// Where messages come from and go to: over UDP a listener and a remote address, else one connection.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug)]
pub struct Flow {
    /// Our side.
    pub listener: ListenerId,
    /// The far side's transport address.
    pub remote: SocketAddr,
    /// The transport.
    pub transport: Transport,
    /// What Via and Contact carry towards this far side (already chosen between local and public address).
    pub advertised: SocketAddr,
    /// The connection.
    pub connection: ConnectionId,
}

impl Flow {
    /// Over UDP.
    pub const fn udp(listener: ListenerId, remote: SocketAddr, advertised: SocketAddr) -> Flow {
        Flow {
            listener,
            remote,
            transport: Transport::Udp,
            advertised,
            connection: ConnectionId::NONE,
        }
    }

    /// Whether what goes to `self` goes down the closed flow `closed`: the same connection, or any to the same place.
    pub fn is_cut_by(&self, closed: &Flow) -> bool {
        if self.transport != closed.transport {
            return false;
        }
        if self.connection.is_none() || closed.connection.is_none() {
            return self.remote == closed.remote
                && (self.transport.is_reliable() || self.listener == closed.listener);
        }
        self.connection == closed.connection
    }

    /// From the same listener to another address, by another connection.
    pub fn towards(&self, transport: Transport, remote: SocketAddr) -> Flow {
        if (transport, remote) == (self.transport, self.remote) {
            return *self;
        }
        Flow {
            remote,
            transport,
            connection: ConnectionId::NONE,
            ..*self
        }
    }
}

/// Writes a message for its flow; one that is too large for a datagram for `large` instead, where a stream is offered (RFC 3261 §18.1.1).
pub fn fit(flow: Flow, large: Option<Flow>, write: impl Fn(&Flow) -> Bytes) -> (Flow, Bytes) {
    let bytes = write(&flow);
    match large {
        Some(large) if bytes.len() > MOST_BY_DATAGRAM && !flow.transport.is_reliable() => {
            let bytes = write(&large);
            (large, bytes)
        }
        _ => (flow, bytes),
    }
}

/// RFC 3261 §18.1.1: larger messages may be cut on their way.
const MOST_BY_DATAGRAM: usize = 1_300;

/// Our Via value without its branch: `SIP/2.0/TCP 192.0.2.1:5060;rport`. On TLS connections that we open it offers to be called back on them (`alias`,
/// RFC 5923 §5), of which the far side makes use only if it has verified a certificate of ours.
#[derive(Copy, Clone, Debug)]
pub struct OurVia<'a>(pub &'a Flow);

impl fmt::Display for OurVia<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OurVia(flow) = self;
        write!(
            f,
            "SIP/2.0/{} {};rport",
            flow.transport.in_via(),
            flow.advertised
        )?;
        match flow.transport {
            Transport::Tls if flow.connection.is_ours() => f.write_str(";alias"),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flow(transport: Transport, remote: &str, connection: ConnectionId) -> Flow {
        Flow {
            transport,
            connection,
            ..Flow::udp(
                ListenerId(0),
                remote.parse().unwrap(),
                "192.0.2.1:5060".parse().unwrap(),
            )
        }
    }

    #[test]
    fn a_uri_asks_for_its_transport() {
        for (uri, transport) in [
            ("sip:a@b", None),
            ("sip:a@b;transport=TCP", Some(Transport::Tcp)),
            ("sip:a@b;transport=sctp", None),
            ("sips:a@b", Some(Transport::Tls)),
            ("sips:a@b;transport=tcp", Some(Transport::Tls)),
            ("sips:a@b.invalid;transport=ws", Some(Transport::Wss)),
            ("sip:a@b.invalid;transport=ws", Some(Transport::Ws)),
        ] {
            assert_eq!(
                Transport::of_uri(&Uri::parse(uri).unwrap()),
                transport,
                "{uri}"
            );
        }
    }

    #[test]
    fn a_closed_connection_cuts_what_goes_down_it() {
        let (one, two) = (ConnectionId::theirs(1), ConnectionId::theirs(2));
        let (tcp, there) = (Transport::Tcp, "192.0.2.9:5060");
        let closed = flow(tcp, there, one);
        assert!(flow(tcp, there, one).is_cut_by(&closed));
        assert!(flow(tcp, there, ConnectionId::NONE).is_cut_by(&closed));
        assert!(!flow(tcp, there, two).is_cut_by(&closed));
        assert!(!flow(Transport::Udp, there, ConnectionId::NONE).is_cut_by(&closed));
        assert!(!flow(tcp, "192.0.2.9:5062", ConnectionId::NONE).is_cut_by(&closed));
    }

    #[test]
    fn ids_say_who_opens() {
        assert!(ConnectionId::theirs(7).is_theirs() && !ConnectionId::theirs(7).is_ours());
        assert!(ConnectionId::ours(7).is_ours() && !ConnectionId::ours(7).is_theirs());
        assert!(!ConnectionId::NONE.is_ours() && !ConnectionId::NONE.is_theirs());
        assert_ne!(ConnectionId::ours(7), ConnectionId::theirs(7));
    }

    #[test]
    fn via_names_transport_and_address() {
        let mut flow = flow(Transport::Wss, "192.0.2.9:5060", ConnectionId::theirs(1));
        flow.advertised = "[2001:db8::1]:443".parse().unwrap();
        assert_eq!(
            OurVia(&flow).to_string(),
            "SIP/2.0/WSS [2001:db8::1]:443;rport"
        );
    }
}
