//! Route sets and next hops (RFC 3261 §12.1, §12.2.1.1, §8.1.2).

use std::fmt;
use std::net::{IpAddr, SocketAddr};

use super::Dialog;
use crate::sip::endpoint::command::Routing;
use crate::sip::endpoint::{Flow, Transport};
use crate::sip::header::name_addr::NameAddr;
use crate::sip::header::params;
use crate::sip::uri::Uri;
use crate::sip::wire::{Message, Name};

/// One value of a Record-Route or Route header.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Route {
    value: String,
    uri: String,
    loose: bool,
}

impl Route {
    /// The Record-Route values of a message, in its order. Values without a URI in brackets are left out.
    pub fn list(message: &Message) -> Vec<Route> {
        message
            .headers(Name::RecordRoute)
            .filter_map(params::elements)
            .flatten()
            .filter_map(Route::read)
            .collect()
    }

    fn read(value: &str) -> Option<Route> {
        if let Ok(route) = NameAddr::parse(value) {
            return Some(Route {
                value: route.to_string(),
                loose: route.uri.param("lr").is_some(),
                uri: route.uri.as_str().to_owned(),
            });
        }
        // What we cannot read goes back as it came: the proxy that wrote it can, and without it the others lead nowhere.
        let (_, rest) = value.split_once('<')?;
        let (uri, _) = rest.split_once('>')?;
        let is_lr = |param: &str| {
            let name = param.split('=').next().unwrap_or_default();
            name.trim().eq_ignore_ascii_case("lr")
        };
        Some(Route {
            value: value.to_owned(),
            loose: uri.split(';').skip(1).any(is_lr),
            uri: uri.to_owned(),
        })
    }

    /// Its URI.
    pub fn uri(&self) -> &str {
        &self.uri
    }

    /// Whether the router leaves the Request-URI alone (`lr`).
    pub fn is_loose(&self) -> bool {
        self.loose
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.value)
    }
}

/// Where requests within a dialog are sent.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NextHop {
    /// Not looked at since the route set or target changed.
    Unknown,
    /// Its host name is being resolved under this id.
    Resolving(u64),
    /// There.
    At(Flow),
}

/// What was found out about a next hop.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Choice {
    /// Send there.
    Send(Flow),
    /// A host name: it has to be resolved first.
    Resolve {
        /// The name.
        host: String,
        /// The port, where one is written.
        port: Option<u16>,
        /// By which transport.
        transport: Transport,
    },
}

/// Chooses the next hop of a dialog.
pub fn choose(dialog: &Dialog) -> Choice {
    let Ok(uri) = Uri::parse(dialog.next_uri()) else {
        return Choice::Send(dialog.flow);
    };
    let host = uri
        .param("maddr")
        .filter(|maddr| !maddr.is_empty())
        .unwrap_or(uri.host());
    let transport = route_transport(&uri, &dialog.flow);
    let port = uri.port().unwrap_or(transport.default_port());
    let literal = literal(host);
    match (dialog.routing, literal) {
        // Even where Contact names the flow's host: behind a symmetric NAT its port is another one's.
        (Routing::Flow, _) => Choice::Send(dialog.flow),
        (Routing::Dialog, Some(ip)) if ip.is_unspecified() => Choice::Send(dialog.flow),
        // The listener that heard the far side cannot reach an address of the other family.
        (Routing::Dialog, Some(ip)) if ip.is_ipv4() != dialog.flow.remote.is_ipv4() => {
            Choice::Send(dialog.flow)
        }
        // The dialog's own far side is at the other end of its connection, whatever port it listens on.
        (Routing::Dialog, Some(ip))
            if transport == dialog.flow.transport
                && ip == dialog.flow.remote.ip()
                && !dialog.flow.connection.is_none() =>
        {
            Choice::Send(dialog.flow)
        }
        (Routing::Dialog, Some(ip)) => {
            Choice::Send(dialog.flow.towards(transport, SocketAddr::new(ip, port)))
        }
        (Routing::Dialog, None) if host.is_empty() => Choice::Send(dialog.flow),
        (Routing::Dialog, None) => Choice::Resolve {
            host: host.to_owned(),
            port: uri.port(),
            transport,
        },
    }
}

/// The transport by which a dialog's next hop is reached.
pub fn transport(dialog: &Dialog) -> Transport {
    Uri::parse(dialog.next_uri()).map_or(dialog.flow.transport, |uri| {
        route_transport(&uri, &dialog.flow)
    })
}

/// The transport that a URI asks for. Where it leaves the choice, the far side is spoken to as it spoke; WebSockets are never opened by us.
fn route_transport(uri: &Uri, flow: &Flow) -> Transport {
    Transport::of_uri(uri)
        .filter(|asked| !asked.is_web_socket())
        .unwrap_or(flow.transport)
}

/// Whether a URI's host is an IP address.
pub fn is_literal(uri: &str) -> bool {
    Uri::parse(uri).is_ok_and(|uri| literal(uri.host()).is_some())
}

fn literal(host: &str) -> Option<IpAddr> {
    host.trim_start_matches('[')
        .trim_end_matches(']')
        .parse()
        .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sip::endpoint::{ConnectionId, ListenerId};

    fn dialog(target: &str, routing: Routing) -> Dialog {
        Dialog {
            call_id: String::new(),
            local: String::new(),
            remote: String::new(),
            remote_tag: String::new(),
            local_cseq: 1,
            remote_cseq: None,
            target: target.to_owned(),
            routes: Vec::new(),
            contact_user: None,
            flow: Flow::udp(
                ListenerId(0),
                "192.0.2.9:6000".parse().unwrap(),
                "192.0.2.1:5060".parse().unwrap(),
            ),
            routing,
            next_hop: NextHop::Unknown,
        }
    }

    fn chosen(target: &str, routing: Routing) -> String {
        match choose(&dialog(target, routing)) {
            Choice::Send(flow) => flow.remote.to_string(),
            Choice::Resolve {
                host,
                port,
                transport,
            } => format!("{host} {port:?} {transport}"),
        }
    }

    #[test]
    fn by_the_dialog() {
        for (target, hop) in [
            ("sip:b@203.0.113.1", "203.0.113.1:5060"),
            ("sip:b@203.0.113.1:5080", "203.0.113.1:5080"),
            ("sip:b@[2001:db8::1]:5080", "192.0.2.9:6000"),
            ("sip:b@gw.example", "gw.example None udp"),
            ("sip:b@gw.example;maddr=203.0.113.7", "203.0.113.7:5060"),
            ("sip:b@0.0.0.0", "192.0.2.9:6000"),
            ("tel:+74951000001", "192.0.2.9:6000"),
            ("rubbish", "192.0.2.9:6000"),
        ] {
            assert_eq!(chosen(target, Routing::Dialog), hop, "{target}");
        }
    }

    #[test]
    fn over_connections() {
        let mut dialog = dialog("sip:b@192.0.2.9:5060;transport=tcp", Routing::Dialog);
        dialog.flow.transport = Transport::Tcp;
        dialog.flow.connection = ConnectionId::theirs(1);
        let came = dialog.flow;
        let hop = |dialog: &Dialog| match choose(dialog) {
            Choice::Send(flow) => flow,
            Choice::Resolve { host, .. } => panic!("{host} is to be resolved"),
        };
        // Its own connection, not the port of its Contact.
        assert_eq!(hop(&dialog), came);
        dialog.target = "sip:b@192.0.2.9".to_owned();
        assert_eq!(hop(&dialog), came);
        dialog.target = "sip:b@203.0.113.1;transport=tls".to_owned();
        let other = hop(&dialog);
        assert_eq!(other.transport, Transport::Tls);
        assert_eq!(other.remote.to_string(), "203.0.113.1:5061");
        assert!(other.connection.is_none());
        // When it is gone, a new one to the Contact.
        dialog.target = "sip:b@192.0.2.9:5070;transport=tcp".to_owned();
        dialog.next_hop = NextHop::At(came);
        dialog.leave(&came);
        let again = hop(&dialog);
        assert_eq!(again.remote.to_string(), "192.0.2.9:5070");
        assert!(again.connection.is_none() && dialog.next_hop == NextHop::Unknown);
    }

    #[test]
    fn a_route_that_cannot_be_read_goes_back_as_it_came() {
        let text = "INVITE sip:a@b SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\n\
            Call-ID: c\r\nCSeq: 1 INVITE\r\n\
            Record-Route: <sip:192.0.2.20;lr>, <sip:192.0.2.21;lr;x=\"a,b\">, rubbish\r\n\r\n";
        let message = Message::parse(bytes::Bytes::from_static(text.as_bytes())).unwrap();
        let routes = Route::list(&message);
        let shown: Vec<String> = routes.iter().map(Route::to_string).collect();
        assert_eq!(
            shown,
            ["<sip:192.0.2.20;lr>", "<sip:192.0.2.21;lr;x=\"a,b\">"]
        );
        assert!(routes.iter().all(Route::is_loose));
    }

    #[test]
    fn by_the_flow() {
        for (target, hop) in [
            ("sip:b@10.0.0.1:5080", "192.0.2.9:6000"),
            ("sip:b@192.0.2.9:5080", "192.0.2.9:6000"),
            ("sip:b@192.0.2.9", "192.0.2.9:6000"),
            ("sip:b@gw.example", "192.0.2.9:6000"),
        ] {
            assert_eq!(chosen(target, Routing::Flow), hop, "{target}");
        }
    }
}
