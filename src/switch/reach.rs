//! Flows towards far sides that have not written to us first: which listener, and which address of ours they are told.

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use crate::sip::endpoint::{Flow, ListenerId};

/// The listeners' real addresses, and the edge's knowledge of what each far side must be told.
pub struct Reach {
    listeners: Vec<SocketAddr>,
    advertise: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
}

impl Reach {
    /// For these bound addresses; `advertise` tells which address of ours a far address must see.
    pub fn new(
        listeners: Vec<SocketAddr>,
        advertise: Box<dyn Fn(IpAddr) -> IpAddr + Send>,
    ) -> Reach {
        Reach {
            listeners,
            advertise,
        }
    }

    /// The flow that a datagram came on.
    pub fn flow(&self, listener: ListenerId, remote: SocketAddr) -> Flow {
        let local = self.listeners.get(usize::from(listener.0)).copied();
        let port = local.map_or(0, |address| address.port());
        // A socket bound to one address is reached at that address only, unless a public one stands for it.
        let told = (self.advertise)(remote.ip());
        let ip = match local {
            Some(address)
                if !address.ip().is_unspecified()
                    && told.is_loopback() != address.ip().is_loopback() =>
            {
                address.ip()
            }
            Some(address) if address.ip().is_loopback() => address.ip(),
            _ => told,
        };
        Flow::udp(listener, remote, SocketAddr::new(ip, port))
    }

    /// A flow to a far side that has not written first; `None` when no listener can reach it.
    pub fn flow_to(&self, remote: SocketAddr) -> Option<Flow> {
        let index = self
            .listeners
            .iter()
            .position(|local| reaches(local.ip(), remote.ip()))?;
        Some(self.flow(ListenerId(u16::try_from(index).ok()?), remote))
    }

    /// The listener bound to this address, for bindings restored after a restart.
    pub fn listener(&self, local: SocketAddr) -> Option<ListenerId> {
        let index = self
            .listeners
            .iter()
            .position(|address| *address == local)?;
        u16::try_from(index).ok().map(ListenerId)
    }

    /// How many listeners there are.
    pub fn count(&self) -> u16 {
        u16::try_from(self.listeners.len()).unwrap_or(u16::MAX)
    }

    /// The address a listener is bound to.
    pub fn local(&self, listener: ListenerId) -> Option<SocketAddr> {
        self.listeners.get(usize::from(listener.0)).copied()
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
}
