//! Flows towards far sides that have not written to us first: which listener, and which address of ours they are told.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::sip::endpoint::{ConnectionId, Flow, ListenerId, Transport};

/// The listeners' real addresses, and the edge's knowledge of what each far side must be told.
pub struct Reach {
    listeners: Vec<(Transport, SocketAddr)>,
    advertise: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
}

impl Reach {
    /// For these bound UDP addresses; `advertise` tells which address of ours a far address must see.
    pub fn new(
        listeners: Vec<SocketAddr>,
        advertise: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
    ) -> Reach {
        let listeners = listeners.into_iter();
        Reach::over(
            listeners.map(|address| (Transport::Udp, address)).collect(),
            advertise,
        )
    }

    /// As `new`, over several transports.
    pub fn over(
        listeners: Vec<(Transport, SocketAddr)>,
        advertise: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
    ) -> Reach {
        Reach {
            listeners,
            advertise,
        }
    }

    /// The flow that a message came on; over stream transports it wants its connection added.
    pub fn flow(&self, listener: ListenerId, remote: SocketAddr) -> Flow {
        let known = self.listeners.get(usize::from(listener.0)).copied();
        let transport = known.map_or(Transport::Udp, |(transport, _)| transport);
        self.flow_as(listener, transport, remote)
    }

    fn flow_as(&self, listener: ListenerId, transport: Transport, remote: SocketAddr) -> Flow {
        let local = self.local(listener);
        let port = local.map_or(0, |address| address.port());
        // A socket bound to one address is reached at that address only, unless a public one stands for it.
        let told = (self.advertise)(remote.ip());
        let ip = match local {
            Some(address)
                if !address.ip().is_unspecified()
                    && (told.is_loopback() != address.ip().is_loopback()
                        || told.is_ipv4() != address.is_ipv4()) =>
            {
                address.ip()
            }
            Some(address) if address.ip().is_loopback() => address.ip(),
            _ => told,
        };
        Flow {
            transport,
            connection: ConnectionId::NONE,
            ..Flow::udp(listener, remote, SocketAddr::new(ip, port))
        }
    }

    /// The flow over UDP to a far side that has not written first; `None` when no listener can reach it.
    pub fn flow_to(&self, remote: SocketAddr) -> Option<Flow> {
        self.flow_over(Transport::Udp, remote)
    }

    /// The flow over a transport to a far side that has not written first; `None` when no listener can reach it. A connection can be opened without a
    /// listener of its transport: then the address of another one is told, and the far side has to answer on that connection.
    pub fn flow_over(&self, transport: Transport, remote: SocketAddr) -> Option<Flow> {
        let able = |wanted: Option<Transport>| {
            self.listeners.iter().position(|(of, local)| {
                wanted.is_none_or(|wanted| *of == wanted) && reaches(local.ip(), remote.ip())
            })
        };
        let index = match transport {
            Transport::Udp => able(Some(transport)),
            Transport::Tcp | Transport::Tls => able(Some(transport)).or_else(|| able(None)),
            Transport::Ws | Transport::Wss => None,
        }?;
        let listener = ListenerId(u16::try_from(index).ok()?);
        Some(self.flow_as(listener, transport, remote))
    }

    /// The UDP listener bound to this address, for bindings restored after a restart.
    pub fn listener(&self, local: SocketAddr) -> Option<ListenerId> {
        let index = self
            .listeners
            .iter()
            .position(|listener| *listener == (Transport::Udp, local))?;
        u16::try_from(index).ok().map(ListenerId)
    }

    /// How many listeners there are.
    pub fn count(&self) -> u16 {
        u16::try_from(self.listeners.len()).unwrap_or(u16::MAX)
    }

    /// The address a listener is bound to.
    pub fn local(&self, listener: ListenerId) -> Option<SocketAddr> {
        let (_, local) = self.listeners.get(usize::from(listener.0))?;
        Some(*local)
    }
}

fn reaches(local: IpAddr, remote: IpAddr) -> bool {
    local.is_ipv4() == remote.is_ipv4()
        && (local.is_unspecified() || local.is_loopback() == remote.is_loopback())
}

impl fmt::Debug for Reach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Reach")
            .field("listeners", &self.listeners)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_listener_does_not_reach_the_world() {
        let reach = Reach::new(
            vec!["127.0.0.1:5060".parse().unwrap()],
            Box::new(|_| "127.0.0.1".parse().unwrap()),
        );
        assert!(reach.flow_to("127.0.0.9:5062".parse().unwrap()).is_some());
        assert!(reach.flow_to("192.0.2.1:5060".parse().unwrap()).is_none());
        assert!(reach.flow_to("[::1]:5060".parse().unwrap()).is_none());
    }

    #[test]
    fn each_transport_has_its_listener() {
        let listeners = vec![
            (Transport::Udp, "192.0.2.1:5060".parse().unwrap()),
            (Transport::Tls, "192.0.2.1:5061".parse().unwrap()),
            (Transport::Tls, "[2001:db8::1]:5061".parse().unwrap()),
        ];
        let advertise = |remote: IpAddr| match remote {
            IpAddr::V4(_) => "192.0.2.1".parse().unwrap(),
            IpAddr::V6(_) => "2001:db8::1".parse().unwrap(),
        };
        let reach = Reach::over(listeners, Box::new(advertise));
        let to = |transport, remote: &str| {
            let flow = reach.flow_over(transport, remote.parse().unwrap())?;
            Some((flow.listener.0, flow.advertised.to_string()))
        };
        let (four, six) = ("198.51.100.1:5060", "[2001:db8::9]:5060");
        assert_eq!(
            to(Transport::Udp, four),
            Some((0, "192.0.2.1:5060".to_owned()))
        );
        assert_eq!(to(Transport::Udp, six), None);
        assert_eq!(
            to(Transport::Tls, six),
            Some((2, "[2001:db8::1]:5061".to_owned()))
        );
        // By TCP we can go out, but are known by another listener.
        assert_eq!(
            to(Transport::Tcp, four),
            Some((0, "192.0.2.1:5060".to_owned()))
        );
        assert_eq!(to(Transport::Wss, four), None);
    }
}
