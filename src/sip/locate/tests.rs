//! RFC 3263 case by case.

use proptest::prelude::*;

use super::*;
use crate::ledger::entropy::Entropy;

const ALL: &[Transport] = &[Transport::Udp, Transport::Tcp, Transport::Tls];

/// A small DNS.
#[derive(Default)]
struct Zone {
    naptr: Vec<(&'static str, Naptr)>,
    srv: Vec<(&'static str, Srv)>,
    hosts: Vec<(&'static str, &'static str)>,
}

impl Zone {
    fn answer(&self, question: &Question) -> Answer {
        fn of<T: Clone>(records: &[(&str, T)], name: &str) -> Vec<T> {
            let named = records.iter().filter(|(owner, _)| *owner == name);
            named.map(|(_, record)| record.clone()).collect()
        }
        match question {
            Question::Naptr(name) => Answer::Naptr(of(&self.naptr, name)),
            Question::Srv(name) => Answer::Srv(of(&self.srv, name)),
            Question::Addresses(name) => Answer::Addresses(
                of(&self.hosts, name)
                    .iter()
                    .map(|ip| ip.parse().unwrap())
                    .collect(),
            ),
        }
    }

    fn locate(&self, wish: Wish, abilities: &[Transport]) -> (Servers, Vec<Question>) {
        let mut search = Search::new(wish, abilities);
        let mut asked = Vec::new();
        loop {
            let questions = search.questions();
            if questions.is_empty() {
                return (search.finish(), asked);
            }
            let answers = questions
                .iter()
                .map(|q| (q.clone(), self.answer(q), Duration::from_secs(60)));
            search.handle_answers(answers.collect());
            asked.extend(questions);
            assert!(asked.len() < 20, "it goes on for ever");
        }
    }

    fn order(&self, uri: &str) -> Vec<String> {
        shown(&self.locate(wish(uri), ALL).0)
    }
}

fn shown(servers: &Servers) -> Vec<String> {
    let ordered = servers.order(&mut Entropy::from_number(1));
    ordered
        .iter()
        .map(|server| format!("{:?} {}", server.transport, server.address))
        .collect()
}

/// `sip:host:port;tcp`, `sips:host`.
fn wish(text: &str) -> Wish {
    let (scheme, rest) = text.split_once(':').unwrap();
    let (place, transport) = rest.split_once(';').unwrap_or((rest, ""));
    let (host, port) = match place.strip_prefix('[') {
        Some(v6) => (v6.trim_end_matches(']'), None),
        None => match place.split_once(':') {
            Some((host, port)) => (host, Some(port.parse().unwrap())),
            None => (place, None),
        },
    };
    Wish {
        host: host.into(),
        port,
        transport: match transport {
            "udp" => Some(Transport::Udp),
            "tcp" => Some(Transport::Tcp),
            "tls" => Some(Transport::Tls),
            _ => None,
        },
        secure: scheme == "sips",
    }
}

fn naptr(order: u16, preference: u16, service: &str, replacement: &str) -> Naptr {
    Naptr {
        order,
        preference,
        flags: "s".into(),
        service: service.into(),
        replacement: replacement.into(),
    }
}

fn srv(priority: u16, weight: u16, port: u16, target: &str) -> Srv {
    Srv {
        priority,
        weight,
        port,
        target: target.into(),
    }
}

/// The example of RFC 3263 §4.1, its hosts given addresses.
fn example() -> Zone {
    Zone {
        naptr: vec![
            (
                "example.com",
                naptr(50, 50, "SIPS+D2T", "_sips._tcp.example.com."),
            ),
            (
                "example.com",
                naptr(90, 50, "SIP+D2T", "_sip._tcp.example.com."),
            ),
            (
                "example.com",
                naptr(100, 50, "SIP+D2U", "_sip._udp.example.com."),
            ),
        ],
        srv: vec![
            (
                "_sip._tcp.example.com",
                srv(0, 1, 5060, "server1.example.com"),
            ),
            (
                "_sip._tcp.example.com",
                srv(0, 2, 5060, "server2.example.com"),
            ),
            (
                "_sips._tcp.example.com",
                srv(0, 1, 5061, "server1.example.com"),
            ),
            (
                "_sip._udp.example.com",
                srv(20, 1, 5070, "server1.example.com"),
            ),
            (
                "_sip._udp.example.com",
                srv(10, 1, 5080, "server2.example.com"),
            ),
        ],
        hosts: vec![
            ("server1.example.com", "192.0.2.1"),
            ("server1.example.com", "2001:db8::1"),
            ("server2.example.com", "192.0.2.2"),
            ("example.com", "192.0.2.9"),
        ],
    }
}

#[test]
fn an_address_needs_no_dns() {
    let zone = Zone::default();
    let (servers, asked) = zone.locate(wish("sip:192.0.2.1"), ALL);
    assert_eq!(shown(&servers), ["Udp 192.0.2.1:5060"]);
    assert_eq!((servers.ttl(), asked), (Duration::MAX, vec![]));
    assert_eq!(zone.order("sip:192.0.2.1:5070;tcp"), ["Tcp 192.0.2.1:5070"]);
    assert_eq!(zone.order("sips:192.0.2.1"), ["Tls 192.0.2.1:5061"]);
    assert_eq!(zone.order("sip:192.0.2.1;tls"), ["Tls 192.0.2.1:5061"]);
    assert_eq!(zone.order("sip:[2001:db8::1]"), ["Udp [2001:db8::1]:5060"]);
}

#[test]
fn a_port_means_the_host_itself() {
    let zone = example();
    assert_eq!(zone.order("sip:example.com:5070"), ["Udp 192.0.2.9:5070"]);
    assert_eq!(zone.order("sips:example.com:5070"), ["Tls 192.0.2.9:5070"]);
    let (_, asked) = zone.locate(wish("sip:example.com:5070;tcp"), ALL);
    assert_eq!(asked, [Question::Addresses("example.com".into())]);
}

#[test]
fn naptr_chooses_the_transport() {
    let zone = example();
    assert_eq!(
        zone.order("sip:example.com"),
        ["Tls 192.0.2.1:5061", "Tls [2001:db8::1]:5061"]
    );
    // Without TLS the next order that we speak counts, alone.
    let only = |abilities: &[Transport]| shown(&zone.locate(wish("sip:example.com"), abilities).0);
    assert_eq!(
        only(&[Transport::Udp]),
        [
            "Udp 192.0.2.2:5080",
            "Udp 192.0.2.1:5070",
            "Udp [2001:db8::1]:5070"
        ]
    );
    assert!(only(&[Transport::Udp, Transport::Tcp])[0].starts_with("Tcp"));
}

#[test]
fn one_order_several_preferences() {
    let mut zone = example();
    for (_, naptr) in &mut zone.naptr {
        (naptr.preference, naptr.order) = (naptr.order, 10);
    }
    let order = zone.order("sip:example.com");
    let transports: Vec<&str> = order.iter().map(|line| &line[..3]).collect();
    assert_eq!(
        transports,
        ["Tls", "Tls", "Tcp", "Tcp", "Tcp", "Udp", "Udp", "Udp"]
    );
}

#[test]
fn a_transport_asks_its_srv_alone() {
    let zone = example();
    let (servers, asked) = zone.locate(wish("sip:example.com;udp"), ALL);
    assert_eq!(asked[0], Question::Srv("_sip._udp.example.com".into()));
    assert_eq!(
        shown(&servers),
        [
            "Udp 192.0.2.2:5080",
            "Udp 192.0.2.1:5070",
            "Udp [2001:db8::1]:5070"
        ]
    );
}

#[test]
fn without_naptr_every_transport_is_asked() {
    let mut zone = example();
    zone.naptr.clear();
    let (servers, asked) = zone.locate(wish("sip:example.com"), ALL);
    assert_eq!(asked.len(), 1 + 3 + 2);
    assert!(shown(&servers)[0].starts_with("Udp 192.0.2.2"));
    let (_, asked) = zone.locate(wish("sips:example.com"), ALL);
    assert_eq!(asked[1], Question::Srv("_sips._tcp.example.com".into()));
    assert_eq!(asked.len(), 3);
}

#[test]
fn without_srv_the_host_itself() {
    let zone = Zone {
        hosts: vec![("pbx.example", "192.0.2.5")],
        ..Zone::default()
    };
    assert_eq!(zone.order("sip:pbx.example"), ["Udp 192.0.2.5:5060"]);
    assert_eq!(zone.order("sip:pbx.example;tcp"), ["Tcp 192.0.2.5:5060"]);
    assert_eq!(zone.order("sips:pbx.example"), ["Tls 192.0.2.5:5061"]);
    assert!(zone.order("sip:nowhere.example").is_empty());
}

#[test]
fn a_service_that_is_not_offered_is_not_tried_otherwise() {
    let zone = Zone {
        srv: vec![("_sip._udp.example.com", srv(0, 0, 0, "."))],
        hosts: vec![("example.com", "192.0.2.9")],
        ..Zone::default()
    };
    let (servers, _) = zone.locate(wish("sip:example.com;udp"), ALL);
    assert!(servers.is_empty());
}

#[test]
fn what_we_do_not_speak_is_not_found() {
    let zone = example();
    let (servers, _) = zone.locate(wish("sip:example.com;tls"), &[Transport::Udp]);
    assert!(servers.is_empty());
    let (servers, _) = zone.locate(wish("sips:192.0.2.1"), &[Transport::Udp]);
    assert!(servers.is_empty());
}

#[test]
fn regular_expressions_and_foreign_services_are_passed_over() {
    let mut zone = example();
    let odd = Naptr {
        flags: "u".into(),
        ..naptr(1, 1, "SIP+D2U", "x.example.com")
    };
    zone.naptr.push(("example.com", odd));
    zone.naptr
        .push(("example.com", naptr(2, 1, "E2U+sip", "y.example.com")));
    assert!(zone.order("sip:example.com")[0].starts_with("Tls"));
}

#[test]
fn the_shortest_life_counts() {
    let mut search = Search::new(wish("sip:example.com;udp"), ALL);
    let asked = search.questions().remove(0);
    let found = Answer::Srv(vec![srv(0, 0, 5060, "a.example")]);
    search.handle_answers(vec![(asked, found, Duration::from_secs(300))]);
    let asked = search.questions().remove(0);
    let found = Answer::Addresses(vec!["192.0.2.1".parse().unwrap()]);
    search.handle_answers(vec![(asked, found, Duration::from_secs(30))]);
    assert_eq!(search.finish().ttl(), Duration::from_secs(30));
}

#[test]
fn weights_are_shares() {
    let mut entropy = Entropy::from_number(5);
    let mut first = [0_u32; 3];
    for _ in 0..10_000 {
        let order = servers::draw(&[0, 10, 30], &mut entropy);
        assert_eq!(order.len(), 3);
        first[order[0]] += 1;
    }
    assert!(first[0] < 500, "{first:?}");
    assert!((2_100..2_900).contains(&first[1]), "{first:?}");
    assert!((6_700..7_700).contains(&first[2]), "{first:?}");
}

proptest! {
    #[test]
    fn a_draw_names_each_once(weights in prop::collection::vec(any::<u16>(), 0..8), seed in any::<u64>()) {
        let mut order = servers::draw(&weights, &mut Entropy::from_number(seed));
        order.sort_unstable();
        prop_assert_eq!(order, (0..weights.len()).collect::<Vec<_>>());
    }
}
