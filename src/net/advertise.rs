//! Which address of ours goes into Via, Contact and SDP towards a far side.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::sync::Mutex;

use ipnet::IpNet;

/// Answers "as whom does this far side reach us?". The kernel's routing table is asked once per far address.
#[derive(Debug)]
pub struct Advertiser {
    bound: IpAddr,
    public: Option<IpAddr>,
    local_networks: Vec<IpNet>,
    routes: Mutex<HashMap<IpAddr, IpAddr>>,
}

/// More remembered routes than this are forgotten together; a scanner must not fill the memory.
const MOST_ROUTES: usize = 4096;

impl Advertiser {
    /// For sockets bound to `bound` (which may be unspecified), with the configured public address and local networks.
    pub fn new(bound: IpAddr, public: Option<IpAddr>, local_networks: Vec<IpNet>) -> Advertiser {
        Advertiser {
            bound,
            public,
            local_networks,
            routes: Mutex::default(),
        }
    }

    /// The address of ours that `remote` must be told: the public one for peers outside the local networks,
    /// else the one that the kernel would send from.
    pub fn towards(&self, remote: IpAddr) -> IpAddr {
        let local =
            remote.is_loopback() || self.local_networks.iter().any(|net| net.contains(&remote));
        if let Some(public) = self.public
            && !local
            && public.is_ipv4() == remote.is_ipv4()
        {
            return public;
        }
        if !self.bound.is_unspecified() && self.bound.is_ipv4() == remote.is_ipv4() {
            return self.bound;
        }
        let mut routes = self
            .routes
            .lock()
            .unwrap_or_else(|poisoned| poisoned.into_inner());
        if routes.len() > MOST_ROUTES {
            routes.clear();
        }
        *routes.entry(remote).or_insert_with(|| source_for(remote))
    }
}

/// The address for media beside these listeners: theirs where those of the first one's family share one, else all addresses of that family.
pub fn common(listeners: impl IntoIterator<Item = IpAddr>) -> IpAddr {
    let mut listeners = listeners.into_iter();
    let first = listeners.next().unwrap_or(Ipv4Addr::LOCALHOST.into());
    let is_shared = listeners.all(|other| other == first || other.is_ipv4() != first.is_ipv4());
    match first {
        _ if is_shared => first,
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    }
}

/// The source address that the kernel picks towards `remote`: connecting a UDP socket sends nothing.
fn source_for(remote: IpAddr) -> IpAddr {
    let any: IpAddr = match remote {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0))
        .and_then(|socket| {
            socket.connect(SocketAddr::new(remote, 9))?;
            socket.local_addr()
        })
        .map_or(any, |address| address.ip())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn media_is_where_all_listeners_are() {
        let of = |listeners: &[&str]| {
            let listeners = listeners.iter().map(|ip| ip.parse().unwrap());
            common(listeners).to_string()
        };
        assert_eq!(of(&[]), "127.0.0.1");
        assert_eq!(of(&["192.0.2.1", "192.0.2.1"]), "192.0.2.1");
        assert_eq!(of(&["192.0.2.1", "2001:db8::1"]), "192.0.2.1");
        assert_eq!(of(&["192.0.2.1", "10.0.0.1"]), "0.0.0.0");
        assert_eq!(of(&["::1", "127.0.0.1", "2001:db8::1"]), "::");
    }

    #[test]
    fn the_public_address_is_for_peers_outside() {
        let nets = vec!["10.0.0.0/8".parse().unwrap()];
        let public: IpAddr = "203.0.113.7".parse().unwrap();
        let bound: IpAddr = "10.0.0.5".parse().unwrap();
        let advertiser = Advertiser::new(bound, Some(public), nets);
        assert_eq!(advertiser.towards("198.51.100.1".parse().unwrap()), public);
        assert_eq!(advertiser.towards("10.1.2.3".parse().unwrap()), bound);
        assert_eq!(advertiser.towards("127.0.0.1".parse().unwrap()), bound);
        // An IPv4 address is of no use to a peer that speaks IPv6.
        let six: IpAddr = "::1".parse().unwrap();
        assert_eq!(advertiser.towards(six), six);
    }

    #[test]
    fn an_unspecified_socket_uses_the_route() {
        let advertiser = Advertiser::new(Ipv4Addr::UNSPECIFIED.into(), None, Vec::new());
        let loopback: IpAddr = "127.0.0.1".parse().unwrap();
        assert_eq!(advertiser.towards(loopback), loopback);
    }
}
