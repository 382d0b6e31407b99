//! Order, rest and probes in virtual time.

use super::*;
use crate::sip::endpoint::Transport;
use crate::sip::locate::Search;

fn wish(ip: &str) -> Wish {
    Wish {
        host: ip.into(),
        port: None,
        transport: None,
        secure: false,
    }
}

fn server(ip: &str) -> Server {
    Server {
        transport: Transport::Udp,
        address: format!("{ip}:5060").parse().unwrap(),
    }
}

fn peers(ips: &[&str], weights: &[u16], options: Option<u64>) -> Peers {
    let wishes: Vec<Wish> = ips.iter().map(|ip| wish(ip)).collect();
    let mut peers = Peers::new(
        wishes.clone(),
        weights.to_vec(),
        options.map(Duration::from_secs),
        Duration::from_secs(3),
        Entropy::from_number(3),
    );
    for wish in wishes {
        let servers = Search::new(wish.clone(), &[Transport::Udp]).finish();
        peers.located(Mono::ZERO, &wish, servers);
    }
    peers
}

fn order(peers: &mut Peers, now: Mono) -> Vec<String> {
    let choices = peers.choose(now);
    choices
        .iter()
        .map(|choice| choice.server.address.ip().to_string())
        .collect()
}

fn at(seconds: u64) -> Mono {
    Mono::ZERO + Duration::from_secs(seconds)
}

fn asked(peers: &mut Peers) -> Vec<Server> {
    std::iter::from_fn(|| peers.poll_probe()).collect()
}

fn told(peers: &mut Peers) -> Vec<Change> {
    std::iter::from_fn(|| peers.poll_change()).collect()
}

const A: &str = "192.0.2.1";
const B: &str = "192.0.2.2";
const C: &str = "192.0.2.3";

#[test]
fn who_failed_comes_last_for_a_while() {
    let mut peers = peers(&[A, B], &[], None);
    assert_eq!(order(&mut peers, at(0)), [A, B]);
    peers.handle_failure(at(0), server(A), "silence", None);
    assert_eq!(order(&mut peers, at(1)), [B, A]);
    assert_eq!(order(&mut peers, at(30)), [A, B]);
    assert!(told(&mut peers).is_empty(), "the other one is there");
}

#[test]
fn retry_after_is_obeyed() {
    let mut peers = peers(&[A, B], &[], None);
    peers.handle_failure(at(0), server(A), "503", Some(Duration::from_secs(120)));
    assert_eq!(order(&mut peers, at(119)), [B, A]);
    assert!(peers.poll_timeout().unwrap() >= at(120));
    assert_eq!(order(&mut peers, at(121)), [A, B]);
}

#[test]
fn an_answer_ends_the_rest() {
    let mut peers = peers(&[A, B], &[], None);
    assert_eq!(peers.poll_timeout(), None, "nobody is asked without need");
    peers.handle_failure(at(0), server(A), "silence", None);
    let probe = peers.poll_timeout().unwrap();
    assert!((at(5)..at(6)).contains(&probe), "{probe:?}");
    peers.handle_timeout(probe);
    assert_eq!(asked(&mut peers), [server(A)]);
    peers.handle_probe(at(6), server(A), 404, None);
    assert_eq!(order(&mut peers, at(6)), [A, B]);
    assert_eq!(peers.poll_timeout(), None);
}

#[test]
fn the_trunk_is_lost_and_back() {
    let mut peers = peers(&[A, B], &[], Some(30));
    let mut now = at(0);
    let mut questions = 0;
    while questions < 2 {
        now = peers.poll_timeout().unwrap();
        peers.handle_timeout(now);
        questions += asked(&mut peers).len();
    }
    peers.handle_probe(now, server(A), 200, None);
    peers.handle_probe(now, server(B), 503, Some(Duration::from_secs(1)));
    assert!(told(&mut peers).is_empty());
    // A goes silent: at its next OPTIONS that is found out within four seconds.
    let mut lost = None;
    while lost.is_none() {
        now = peers.poll_timeout().unwrap();
        peers.handle_timeout(now);
        for server in asked(&mut peers) {
            if server != self::server(A) {
                peers.handle_probe(now, server, 503, None);
            }
        }
        lost = told(&mut peers).pop();
    }
    assert_eq!(
        lost,
        Some(Change::Lost("it does not answer OPTIONS".into()))
    );
    assert!(now <= at(35), "{now:?}");
    // Its late 200 is life all the same.
    peers.handle_probe(now, server(A), 200, None);
    assert_eq!(told(&mut peers), [Change::Back]);
}

#[test]
fn probes_become_rare_but_never_end() {
    let mut peers = peers(&[A], &[], None);
    peers.handle_failure(at(0), server(A), "silence", None);
    let mut pauses = Vec::new();
    let mut last = at(0);
    for _ in 0..8 {
        let now = peers.poll_timeout().unwrap();
        pauses.push(now.since(last).as_secs());
        peers.handle_timeout(now);
        assert_eq!(asked(&mut peers).len(), 1);
        last = peers.poll_timeout().unwrap();
        peers.handle_timeout(last);
    }
    assert_eq!(pauses, [5, 10, 20, 40, 60, 60, 60, 60]);
    assert_eq!(told(&mut peers).len(), 1);
}

#[test]
fn weights_share_the_calls() {
    let mut peers = peers(&[A, B], &[3, 1], None);
    let first = (0..1_000)
        .filter(|_| order(&mut peers, at(0))[0] == A)
        .count();
    assert!((700..800).contains(&first), "{first}");
}

#[test]
fn a_name_that_is_gone_keeps_its_addresses() {
    let mut peers = peers(&[A], &[], None);
    peers.located(at(1), &wish(A), Servers::default());
    assert_eq!(order(&mut peers, at(1)), [A]);
}

#[test]
fn an_address_that_left_the_dns_is_forgotten() {
    let mut peers = peers(&[A], &[], None);
    peers.handle_failure(at(0), server(A), "silence", None);
    assert_eq!(told(&mut peers).len(), 1);
    let other = Search::new(wish(B), &[Transport::Udp]).finish();
    peers.located(at(1), &wish(A), other);
    assert_eq!(order(&mut peers, at(1)), [B]);
    assert_eq!(told(&mut peers), [Change::Back]);
}

#[test]
fn a_rotated_address_counts_as_a_source_for_an_hour() {
    let mut peers = peers(&[A], &[], None);
    let address = |ip: &str| server(ip).address;
    let to = |ip: &str| Search::new(wish(ip), &[Transport::Udp]).finish();
    peers.located(at(60), &wish(A), to(B));
    assert_eq!(peers.sources(at(61)), [address(A), address(B)]);
    assert_eq!(order(&mut peers, at(61)), [B], "calls go to the new one");
    peers.located(at(120), &wish(A), to(B));
    assert_eq!(peers.sources(at(3_659)), [address(A), address(B)]);
    assert_eq!(peers.sources(at(3_660)), [address(B)]);
    peers.located(at(4_000), &wish(A), to(A));
    assert_eq!(peers.sources(at(4_001)), [address(A), address(B)]);
    assert_eq!(peers.sources(at(7_600)), [address(A)]);
}

#[test]
fn a_reload_keeps_what_is_known_of_the_peers_that_stay() {
    let new = |ips: &[&str], options: Option<u64>| {
        let wishes = ips.iter().map(|ip| wish(ip)).collect();
        let options = options.map(Duration::from_secs);
        let entropy = Entropy::from_number(4);
        Peers::new(wishes, vec![], options, Duration::from_secs(3), entropy)
    };
    let mut old = peers(&[A, B], &[], None);
    old.handle_failure(at(0), server(A), "silence", None);
    old.located(
        at(0),
        &wish(B),
        Search::new(wish(C), &[Transport::Udp]).finish(),
    );
    let mut next = new(&[A, B], Some(60)).inherit(at(1), old);
    assert_eq!(order(&mut next, at(1)), [C, A], "A rests still");
    assert_eq!(next.sources(at(1)).len(), 3);
    next.handle_timeout(at(2));
    assert_eq!(asked(&mut next), [server(C)], "options is new");
    // B goes, and with it what it led to; the one that stays is down.
    let mut next = new(&[A], None).inherit(at(3), next);
    assert_eq!(order(&mut next, at(3)), [A]);
    assert_eq!(next.sources(at(3)), [server(A).address]);
    assert_eq!(told(&mut next), [Change::Lost("silence".into())]);
    let next = new(&[B], None).inherit(at(4), next);
    assert!(next.sources(at(4)).is_empty() && !next.is_lost());
}

#[test]
fn a_new_timeout_is_another_setting() {
    let peers = peers(&[A], &[], None);
    let is_for = |seconds| {
        let timeout = Duration::from_secs(seconds);
        peers.is_for(&[wish(A)], &[], None, timeout)
    };
    // Below the shortest patience it means nothing here.
    assert!(is_for(3) && is_for(1));
    assert!(!is_for(9));
}

/// RFC 3261 §18.1.1: where the records of a peer or another entry for its host offer TCP, and nowhere else.
#[test]
fn a_stream_beside_datagrams_is_known() {
    let mut named = wish(A);
    named.transport = Some(Transport::Tcp);
    let wishes = vec![wish(A), named.clone(), wish(B)];
    let mut peers = Peers::new(
        wishes.clone(),
        Vec::new(),
        None,
        Duration::from_secs(3),
        Entropy::from_number(3),
    );
    for wish in wishes {
        let servers = Search::new(wish.clone(), &[Transport::Udp, Transport::Tcp]).finish();
        peers.located(Mono::ZERO, &wish, servers);
    }
    let tcp = Server {
        transport: Transport::Tcp,
        ..server(A)
    };
    assert_eq!(peers.stream_beside(server(A)), Some(tcp));
    assert_eq!(peers.stream_beside(server(B)), None);
    assert_eq!(peers.stream_beside(tcp), None);
}

#[test]
fn a_port_of_its_own_is_named() {
    let own = Wish {
        port: Some(5070),
        ..wish(A)
    };
    let unsaid = Wish {
        port: Some(5060),
        ..wish(B)
    };
    let wishes = vec![own, unsaid, wish(C)];
    let entropy = Entropy::from_number(3);
    let mut peers = Peers::new(
        wishes.clone(),
        Vec::new(),
        None,
        Duration::from_secs(3),
        entropy,
    );
    for wish in wishes {
        let servers = Search::new(wish.clone(), &[Transport::Udp]).finish();
        peers.located(Mono::ZERO, &wish, servers);
    }
    let there = Server {
        address: format!("{A}:5070").parse().unwrap(),
        ..server(A)
    };
    assert_eq!(peers.place_of(there), Some((A, Some(5070))));
    assert_eq!(peers.place_of(server(B)), Some((B, None)));
    assert_eq!(peers.place_of(server(C)), Some((C, None)));
    assert_eq!(peers.place_of(server(A)), None);
}
