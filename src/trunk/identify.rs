//! Which trunk a new request belongs to (DESIGN.md section 5, "Who is calling").

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};

use crate::dialplan::plan::Trunk;
use crate::ledger::id::Name;
use crate::sip::endpoint::Transport;

/// Where a new request outside a dialog came from. REGISTER is always a phone's and is not asked about here.
#[derive(Copy, Clone, Debug)]
pub struct Origin<'a> {
    /// The far side's transport address.
    pub source: SocketAddr,
    /// How it came.
    pub transport: Transport,
    /// The user of the Request-URI.
    pub request_user: Option<&'a str>,
    /// The DNS names of the certificate that it showed.
    pub certificate: &'a [String],
}

/// What is known of the trunks at this moment.
#[derive(Copy, Clone, Debug)]
pub struct Known<'a> {
    /// The plan's trunks.
    pub trunks: &'a BTreeMap<Name, Trunk>,
    /// The opaque users of our Contacts, by registered trunk.
    pub contact_users: &'a BTreeMap<Name, String>,
    /// The addresses that the `peer`s resolve to. A peer written as an address need not be among them.
    pub addresses: &'a BTreeMap<Name, Vec<SocketAddr>>,
}

/// The trunk that sent a request: the one whose certificate it shows, then the one whose opaque Contact user it names, then the one whose `peer` it comes from
/// (address and port over UDP), then the one whose `accept` networks hold the source; among equals the first by name.
/// A trunk that demands a certificate is none of these without it. `None`: a phone or a stranger.
pub fn identify(known: Known<'_>, origin: Origin<'_>) -> Option<Name> {
    let source = canonical(origin.source).ip();
    let mut trunks = known.trunks.keys();
    identify_peer(known, origin).or_else(|| {
        let found = trunks
            .find(|name| accepts(known, name, source) && proves(known, name, origin.certificate));
        found.cloned()
    })
}

/// As [`identify`], without the `accept` networks: for callers who say that they are a phone.
pub fn identify_peer(known: Known<'_>, origin: Origin<'_>) -> Option<Name> {
    let source = canonical(origin.source);
    let mut trunks = known.trunks.keys();
    by_certificate(known, origin.certificate)
        .or_else(|| {
            let named = by_contact_user(known, origin.request_user);
            named.filter(|name| proves(known, name, origin.certificate))
        })
        .or_else(|| {
            trunks.find(|name| {
                is_peer(known, name, source, origin.transport)
                    && proves(known, name, origin.certificate)
            })
        })
        .cloned()
}

/// The trunk that demands a certificate which the far side has shown.
fn by_certificate<'a>(known: Known<'a>, shown: &[String]) -> Option<&'a Name> {
    let mut trunks = known.trunks.iter();
    let found = trunks.find(|(_, trunk)| {
        trunk
            .certificate
            .as_ref()
            .is_some_and(|wanted| shown.contains(wanted))
    });
    found.map(|(name, _)| name)
}

/// Whether the far side has shown what a trunk demands, if it demands anything.
fn proves(known: Known<'_>, name: &Name, shown: &[String]) -> bool {
    let wanted = known
        .trunks
        .get(name)
        .and_then(|trunk| trunk.certificate.as_ref());
    wanted.is_none_or(|wanted| shown.contains(wanted))
}

fn by_contact_user<'a>(known: Known<'a>, user: Option<&str>) -> Option<&'a Name> {
    let user = user.filter(|user| !user.is_empty())?;
    known
        .contact_users
        .iter()
        .find(|(name, ours)| ours.as_str() == user && known.trunks.contains_key(name.as_str()))
        .map(|(name, _)| name)
}

fn is_peer(known: Known<'_>, name: &Name, source: SocketAddr, transport: Transport) -> bool {
    let matches = |peer: SocketAddr| {
        let peer = canonical(peer);
        match transport {
            Transport::Udp => peer == source,
            // A connection that a peer opens comes from any port.
            _ => peer.ip() == source.ip(),
        }
    };
    let resolved = known.addresses.get(name).into_iter().flatten();
    if resolved.copied().any(matches) {
        return true;
    }
    let Some(peer) = known.trunks.get(name).and_then(|t| t.peer.as_ref()) else {
        return false;
    };
    let literal: Option<IpAddr> = peer.host.parse().ok();
    literal.is_some_and(|ip| matches(SocketAddr::new(ip, peer.port)))
}

fn accepts(known: Known<'_>, name: &Name, source: IpAddr) -> bool {
    let networks = known.trunks.get(name).into_iter().flat_map(|t| &t.accept);
    networks
        .into_iter()
        .any(|network| network.contains(&source))
}

/// IPv4 seen through an IPv6 socket is IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
pub(super) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::dialplan::number::Country;
    use crate::dialplan::plan::{CallerIdPolicy, HostPort, NumberFrom};
    use crate::dialplan::provider::{DiversionHeader, IdentityHeader, NumberFormat};

    pub(in super::super) fn trunk(name: &str, peer: Option<(&str, u16)>, accept: &[&str]) -> Trunk {
        Trunk {
            name: name.into(),
            peer: peer.map(|(host, port)| HostPort {
                host: host.into(),
                port,
            }),
            accept: accept.iter().map(|n| n.parse().unwrap()).collect(),
            certificate: None,
            register: None,
            number_from: NumberFrom::Auto,
            caller_id: CallerIdPolicy::Ours,
            codecs: vec![],
            timeout: Duration::from_secs(3),
            max_calls: None,
            session_expires: None,
            reliable: false,
            srtp: crate::sdp::crypto::Policy::Off,
            delayed_offer: false,
            country: Country::RU,
            transfer: false,
            redirect: false,
            peers: Vec::new(),
            weights: Vec::new(),
            options: None,
            calls_per_second: None,
            account: None,
            number_format: NumberFormat::International,
            identity: vec![IdentityHeader::From, IdentityHeader::PAssertedIdentity],
            caller_from: vec![IdentityHeader::PAssertedIdentity, IdentityHeader::From],
            diversion: vec![DiversionHeader::Diversion],
        }
    }

    struct World {
        trunks: BTreeMap<Name, Trunk>,
        contact_users: BTreeMap<Name, String>,
        addresses: BTreeMap<Name, Vec<SocketAddr>>,
    }

    impl World {
        fn who(&self, source: &str, user: &str) -> Option<String> {
            let known = Known {
                trunks: &self.trunks,
                contact_users: &self.contact_users,
                addresses: &self.addresses,
            };
            let origin = Origin {
                source: source.parse().unwrap(),
                transport: Transport::Udp,
                request_user: Some(user),
                certificate: &[],
            };
            identify(known, origin).map(|name| name.to_string())
        }
    }

    fn world() -> World {
        let trunks = [
            trunk(
                "acme",
                Some(("sip.acme.example", 5060)),
                &["203.0.113.0/24"],
            ),
            trunk("beta", Some(("192.0.2.9", 5080)), &["203.0.113.0/24"]),
            trunk("gamma", Some(("192.0.2.9", 5080)), &[]),
        ];
        World {
            trunks: trunks.into_iter().map(|t| (t.name.clone(), t)).collect(),
            contact_users: [("gamma".into(), "5ecret".to_owned())].into(),
            addresses: [("acme".into(), vec!["192.0.2.7:5060".parse().unwrap()])].into(),
        }
    }

    #[test]
    fn a_peer_is_known_by_address_and_port() {
        let world = world();
        assert_eq!(world.who("192.0.2.7:5060", "x").unwrap(), "acme");
        assert_eq!(world.who("192.0.2.7:5061", "x"), None);
        assert_eq!(world.who("192.0.2.9:5080", "x").unwrap(), "beta");
        assert_eq!(world.who("[::ffff:192.0.2.9]:5080", "x").unwrap(), "beta");
    }

    #[test]
    fn our_contact_user_tells_accounts_at_one_address_apart() {
        let world = world();
        assert_eq!(world.who("192.0.2.9:5080", "5ecret").unwrap(), "gamma");
        assert_eq!(world.who("198.51.100.1:1", "5ecret").unwrap(), "gamma");
        assert_eq!(world.who("198.51.100.1:1", ""), None);
    }

    #[test]
    fn a_certificate_says_who_it_is_and_is_demanded() {
        let mut world = world();
        let acme = world.trunks.get_mut("acme").unwrap();
        acme.certificate = Some("sip.acme.example".to_owned());
        let shown = ["sip.acme.example".to_owned()];
        let who = |source: &str, certificate: &[String]| {
            let known = Known {
                trunks: &world.trunks,
                contact_users: &world.contact_users,
                addresses: &world.addresses,
            };
            let origin = Origin {
                source: source.parse().unwrap(),
                transport: Transport::Tls,
                request_user: None,
                certificate,
            };
            identify(known, origin).map(|name| name.to_string())
        };
        assert_eq!(who("198.51.100.1:40000", &shown).unwrap(), "acme");
        assert_eq!(who("192.0.2.7:40000", &[]), None);
        assert_eq!(who("203.0.113.200:9", &[]).unwrap(), "beta");
        // Over connections a peer comes from any port.
        assert_eq!(who("192.0.2.9:40000", &[]).unwrap(), "beta");
    }

    #[test]
    fn accept_comes_last() {
        let mut world = world();
        assert_eq!(world.who("203.0.113.200:9", "x").unwrap(), "acme");
        let there = vec!["203.0.113.200:9".parse().unwrap()];
        world.addresses.insert("beta".into(), there);
        assert_eq!(world.who("203.0.113.200:9", "x").unwrap(), "beta");
    }
}
