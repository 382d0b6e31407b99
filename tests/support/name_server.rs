//! A tiny name server on loopback.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

use hickory_resolver::proto::op::{Message, OpCode, ResponseCode};
use hickory_resolver::proto::rr::rdata::{A, AAAA, SOA, SRV};
use hickory_resolver::proto::rr::{Name, RData, Record};
use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

/// It answers until it is dropped.
pub struct NameServer {
    /// Where it listens.
    pub address: SocketAddr,
    records: Arc<Mutex<Vec<Record>>>,
    task: JoinHandle<()>,
}

impl NameServer {
    pub async fn start(records: Vec<Record>) -> NameServer {
        let socket = UdpSocket::bind("127.0.0.1:0").await.unwrap();
        let address = socket.local_addr().unwrap();
        let records = Arc::new(Mutex::new(records));
        let known = records.clone();
        let task = tokio::spawn(async move {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
                if let Ok(asked) = Message::from_vec(&buffer[..length]) {
                    let answer = answer(&asked, &known.lock().unwrap());
                    socket.send_to(&answer, from).await.ok();
                }
            }
        });
        NameServer {
            address,
            records,
            task,
        }
    }

    /// From now on there is one more record.
    pub fn add(&self, record: Record) {
        self.records.lock().unwrap().push(record);
    }
}

impl Drop for NameServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An SRV record without weight.
pub fn srv(name: &str, priority: u16, port: u16, target: &str) -> Record {
    let target = Name::from_ascii(target).unwrap();
    record(name, RData::SRV(SRV::new(priority, 0, port, target)))
}

/// An address of a host.
pub fn host(name: &str, ip: IpAddr) -> Record {
    record(
        name,
        match ip {
            IpAddr::V4(ip) => RData::A(A(ip)),
            IpAddr::V6(ip) => RData::AAAA(AAAA(ip)),
        },
    )
}

fn record(name: &str, data: RData) -> Record {
    Record::from_rdata(Name::from_ascii(name).unwrap(), 30, data)
}

fn answer(asked: &Message, records: &[Record]) -> Vec<u8> {
    let query = asked.queries[0].clone();
    let mut answer = Message::response(asked.metadata.id, OpCode::Query);
    let of_name = |record: &&Record| record.name == *query.name();
    let found = records
        .iter()
        .filter(of_name)
        .filter(|record| record.data.record_type() == query.query_type());
    for record in found {
        answer.add_answer(record.clone());
    }
    if answer.answers.is_empty() {
        if !records.iter().any(|record| of_name(&record)) {
            answer.metadata.response_code = ResponseCode::NXDomain;
        }
        let name = Name::from_ascii("example.").unwrap();
        let soa = SOA::new(name.clone(), name.clone(), 1, 60, 60, 60, 5);
        answer.add_authority(Record::from_rdata(name, 5, RData::SOA(soa)));
    }
    answer.add_query(query);
    answer.to_vec().unwrap()
}
