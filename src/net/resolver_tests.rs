//! The resolver against a tiny name server on loopback.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, NAPTR, SOA, SRV};
use tokio::net::UdpSocket;

use super::*;
use crate::ledger::entropy::Entropy;

const UDP: &[Transport] = &[Transport::Udp, Transport::Tcp];

struct NameServer {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

impl NameServer {
    async fn start(records: Vec<Record>) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            loop {
                let (length, from) = socket.recv_from(&mut buffer).await.unwrap();
                counter.fetch_add(1, Ordering::Relaxed);
                let asked = Message::from_vec(&buffer[..length]).unwrap();
                let answer = answer(&asked, &records);
                socket.send_to(&answer, from).await.unwrap();
            }
        });
        NameServer { address, asked }
    }
}

fn answer(asked: &Message, records: &[Record]) -> Vec<u8> {
    let query = asked.queries[0].clone();
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    let of_name = |record: &&Record| record.name == *query.name();
    let known = records.iter().any(|record| of_name(&record));
    let found = records
        .iter()
        .filter(of_name)
        .filter(|record| record.data.record_type() == query.query_type());
    for record in found {
        answer.add_answer(record.clone());
    }
    if answer.answers.is_empty() {
        if !known {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        let name = Name::from_ascii("example.").unwrap();
        let soa = SOA::new(name.clone(), name.clone(), 1, 60, 60, 60, 20);
        answer.add_authority(Record::from_rdata(name, 20, RData::SOA(soa)));
    }
    answer.add_query(query);
    answer.to_vec().unwrap()
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), 30, data)
}

fn srv_record(name: &str, priority: u16, port: u16, target: &str) -> Record {
    let target = Name::from_ascii(target).unwrap();
    record(name, RData::SRV(SRV::new(priority, 0, port, target)))
}

fn host(name: &str, ip: &str) -> Record {
    record(
        name,
        match ip.parse().unwrap() {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        },
    )
}

fn wish(host: &str, port: Option<u16>) -> Wish {
    Wish {
        host: host.into(),
        port,
        transport: None,
        secure: false,
    }
}

fn shown(servers: &Servers) -> Vec<String> {
    let order = servers.order(&mut Entropy::from_number(1));
    order
        .iter()
        .map(|server| format!("{:?} {}", server.transport, server.address))
        .collect()
}

#[tokio::test]
async fn from_naptr_to_addresses_once_a_ttl() {
    let replacement = Name::from_ascii("_sip._udp.acme.example.").unwrap();
    let service = NAPTR::new(
        10,
        10,
        b"s".to_vec().into(),
        b"SIP+D2U".to_vec().into(),
        b"".to_vec().into(),
        replacement,
    );
    let server = NameServer::start(vec![
        record("acme.example.", RData::NAPTR(service)),
        srv_record("_sip._udp.acme.example.", 20, 5_070, "b.acme.example."),
        srv_record("_sip._udp.acme.example.", 10, 5_060, "a.acme.example."),
        host("a.acme.example.", "127.0.0.21"),
        host("a.acme.example.", "::1"),
        host("b.acme.example.", "127.0.0.22"),
    ])
    .await;
    let resolver = Resolver::new(&[server.address]).unwrap();
    for _ in 0..2 {
        let found = resolver.locate(wish("acme.example", None), UDP).await;
        assert_eq!(
            shown(&found),
            [
                "Udp 127.0.0.21:5060",
                "Udp [::1]:5060",
                "Udp 127.0.0.22:5070"
            ]
        );
        // B has no AAAA record: that holds for the 20 s of the zone.
        assert!(found.ttl() <= Duration::from_secs(30), "{:?}", found.ttl());
    }
    let asked = server.asked.load(Ordering::Relaxed);
    assert_eq!(
        asked,
        1 + 1 + 4,
        "NAPTR, SRV, A and AAAA of both hosts, once"
    );
}

#[tokio::test]
async fn nothing_there_is_remembered_too() {
    let server = NameServer::start(vec![host("plain.example.", "127.0.0.23")]).await;
    let resolver = Resolver::new(&[server.address]).unwrap();
    for _ in 0..2 {
        let found = resolver.locate(wish("plain.example", None), UDP).await;
        assert_eq!(shown(&found), ["Udp 127.0.0.23:5060"]);
    }
    // NAPTR, two SRV, A and AAAA.
    assert_eq!(server.asked.load(Ordering::Relaxed), 5);
    let found = resolver
        .locate(wish("gone.example", Some(5_060)), UDP)
        .await;
    assert!(found.is_empty());
    assert!(found.ttl() <= Duration::from_secs(20), "{:?}", found.ttl());
}

#[tokio::test]
async fn a_dead_name_server_is_asked_again_soon() {
    let nobody = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let mut resolver = Resolver::new(&[nobody.local_addr().unwrap()]).unwrap();
    resolver = resolver.clone();
    let limit = Duration::from_secs(30);
    let found = resolver.locate(wish("acme.example", Some(5_060)), UDP);
    let found = tokio::time::timeout(limit, found).await.unwrap();
    assert!(found.is_empty());
    assert_eq!(found.ttl(), AFTER_FAILURE);
}
