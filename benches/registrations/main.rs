//! Registrations with digest, seen from outside: how many a second on one core, each with its challenge, and what a registered phone keeps of memory.

#[path = "../budget/mod.rs"]
mod budget;
#[path = "../b2bua/server.rs"]
#[allow(dead_code, reason = "the calls' benchmark uses the rest")]
mod server;

use std::collections::HashMap;
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use bytes::Bytes;
use vats::ledger::entropy::Entropy;
use vats::sip::auth::{Credentials, answer_challenge};
use vats::sip::wire::Message;

use self::budget::{Limit, Row};
use self::server::{Server, address, bind};

const PHONES: usize = 10_000;
/// Phones that are in the middle of registering.
const AT_ONCE: usize = 64;

fn main() -> std::io::Result<()> {
    // `cargo test --benches` passes flags; only a real bench run measures.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let server = Server::with(plan);
    std::thread::sleep(Duration::from_secs(2));
    let before = server.resident_kib();
    let mut phones = Phones::new(&server);
    server.confine(true);
    let cpu = server.cpu_ms();
    let begun = Instant::now();
    let first = phones.register_all();
    let took = begun.elapsed();
    println!(
        "{first} phones registered in {:.2} s, {:.3} ms of processor time each, the journal's included",
        took.as_secs_f64(),
        (server.cpu_ms() - cpu) / first as f64
    );
    let begun = Instant::now();
    let again = phones.register_all();
    let refreshed = begun.elapsed();
    server.confine(false);
    // Transactions linger for 32 s; until then the phones stay registered (120 s).
    std::thread::sleep(Duration::from_secs(40));
    let kept = server.resident_kib();
    let rows = [
        Row::new(
            "registrations with digest per second on one core",
            first as f64 / took.as_secs_f64(),
            Limit::AtLeast(5_000.0),
        ),
        Row::new(
            "the same, of phones that are registered already",
            again as f64 / refreshed.as_secs_f64(),
            Limit::AtLeast(5_000.0),
        ),
        Row::new(
            "memory of a registered phone (KiB)",
            (kept - before) / PHONES as f64,
            Limit::AtMost(12.0),
        ),
    ];
    budget::report("registrations", &rows)
}

/// Ten thousand operators; the generator's one address is no stranger.
fn plan(sip: SocketAddr, caller: SocketAddr, _: SocketAddr) -> String {
    let mut plan = format!(
        "[server]\nsip = [\"udp://{sip}\"]\nhttp = \"127.0.0.1:0\"\ndomain = \"pbx.test\"\n[trunks.in]\npeer = \"{caller}\"\n"
    );
    for phone in 0..PHONES {
        plan.push_str(&format!(
            "[operators.phone{phone}]\npassword = \"secret-{phone}\"\n"
        ));
    }
    plan
}

struct Phones {
    socket: UdpSocket,
    pbx: SocketAddr,
    at: SocketAddr,
    count: u32,
    entropy: Entropy,
}

/// A phone that waits for an answer.
struct Waiting {
    request: String,
    sent: Instant,
}

impl Phones {
    fn new(server: &Server) -> Phones {
        let socket = bind();
        Phones {
            at: address(&socket),
            socket,
            pbx: server.sip,
            count: 0,
            entropy: Entropy::from_number(1),
        }
    }

    /// Every phone registers once: how many were accepted.
    fn register_all(&mut self) -> usize {
        let mut waiting: HashMap<usize, Waiting> = HashMap::new();
        let (mut next, mut accepted) = (0, 0);
        let begun = Instant::now();
        while accepted < PHONES {
            assert!(
                begun.elapsed() < Duration::from_secs(120),
                "{accepted} phones are registered and no more"
            );
            while next < PHONES && waiting.len() < AT_ONCE {
                let request = self.draw(next);
                self.send(next, request, &mut waiting);
                next += 1;
            }
            let mut room = [0; 4096];
            match self.socket.recv_from(&mut room) {
                Ok((length, _)) => {
                    accepted += self.hear(&room[..length], &mut waiting);
                }
                Err(_) => {
                    std::thread::yield_now();
                    self.repeat(&mut waiting);
                }
            }
        }
        accepted
    }

    fn draw(&mut self, phone: usize) -> String {
        self.count += 1;
        let (at, n) = (self.at, self.count);
        format!(
            "REGISTER sip:pbx.test SIP/2.0\r\nVia: SIP/2.0/UDP {at};rport;branch=z9hG4bKa{n}\r\nMax-Forwards: 70\r\n\
             From: <sip:phone{phone}@pbx.test>;tag=t{n}\r\nTo: <sip:phone{phone}@pbx.test>\r\nCall-ID: {phone}-{n}\r\n\
             CSeq: 1 REGISTER\r\nContact: <sip:phone{phone}@{at}>;expires=120\r\nUser-Agent: bench\r\nContent-Length: 0\r\n\r\n"
        )
    }

    fn send(&self, phone: usize, request: String, waiting: &mut HashMap<usize, Waiting>) {
        let _ = self.socket.send_to(request.as_bytes(), self.pbx);
        let sent = Instant::now();
        waiting.insert(phone, Waiting { request, sent });
    }

    fn hear(&mut self, bytes: &[u8], waiting: &mut HashMap<usize, Waiting>) -> usize {
        let Ok(response) = Message::parse(Bytes::copy_from_slice(bytes)) else {
            return 0;
        };
        let phone = response
            .call_id()
            .split('-')
            .next()
            .and_then(|text| text.parse().ok());
        let Some((phone, asked)) =
            phone.and_then(|phone: usize| Some((phone, waiting.remove(&phone)?)))
        else {
            return 0;
        };
        if response.status() != 401 || response.cseq() != 1 {
            assert_eq!(response.status(), 200, "{}", String::from_utf8_lossy(bytes));
            return 1;
        }
        let credentials = Credentials {
            user: format!("phone{phone}"),
            password: format!("secret-{phone}"),
            realm: None,
        };
        let (name, value) = answer_challenge(
            &response,
            "REGISTER",
            "sip:pbx.test",
            &credentials,
            1,
            &mut self.entropy,
        )
        .expect("a challenge that can be answered");
        let request = asked
            .request
            .replace("CSeq: 1", &format!("{name}: {value}\r\nCSeq: 2"))
            .replace("branch=z9hG4bKa", "branch=z9hG4bKb");
        self.send(phone, request, waiting);
        0
    }

    /// UDP loses: what is not answered for half a second is sent again.
    fn repeat(&self, waiting: &mut HashMap<usize, Waiting>) {
        for asked in waiting.values_mut() {
            if asked.sent.elapsed() > Duration::from_millis(500) {
                asked.sent = Instant::now();
                let _ = self.socket.send_to(asked.request.as_bytes(), self.pbx);
            }
        }
    }
}
