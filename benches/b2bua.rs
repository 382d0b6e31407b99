//! Calls through the B2BUA without media, seen from outside: a generator plays the caller's trunk and the far side of a forward,
//! and the process's CPU time is read from /proc. Prints a table: figure, baseline, ratio.

use std::collections::{HashMap, VecDeque};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use vats::clock::Clock;
use vats::ledger::entropy::Entropy;
use vats::ledger::id::LegId;
use vats::sip::endpoint::command::{Command, Invite, Routing};
use vats::sip::endpoint::event::Event;
use vats::sip::endpoint::{Endpoint, Flow, ListenerId, SessionId, Settings, Transport};

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40000 RTP/AVP 8 0 101\r\na=rtpmap:101 telephone-event/8000\r\n";
const ANSWER: &str = "v=0\r\no=- 2 2 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio 40002 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn main() {
    // `cargo test --benches` passes flags; only a real bench run measures.
    if std::env::args().any(|arg| arg == "--test") {
        return;
    }
    let server = Server::start();
    println!("B2BUA, INVITE to BYE, no media, journal on (one process, loopback)");
    println!(
        "{:<44} {:>12} {:>22} {:>8}",
        "what", "figure", "baseline", "ratio"
    );
    server.measure(200, Duration::from_secs(2));
    let quiet = server.measure(50, Duration::from_secs(8));
    row(
        "set-up time at 50 calls/s, p50 (ms)",
        quiet.percentile(0.50),
        "Asterisk 2.0",
        2.0,
    );
    row(
        "set-up time at 50 calls/s, p99 (ms)",
        quiet.percentile(0.99),
        "Asterisk 3.7",
        3.7,
    );
    let busy = server.measure(400, Duration::from_secs(8));
    row(
        "CPU of a call at 400 calls/s (ms)",
        busy.cpu_ms / busy.done as f64,
        "Asterisk 3.9",
        3.9,
    );
    row(
        "set-up time at 400 calls/s, p99 (ms)",
        busy.percentile(0.99),
        "Asterisk 3.7 at 50",
        3.7,
    );
    let core = 1000.0 / (busy.cpu_ms / busy.done as f64);
    row(
        "calls per second on one core, by CPU",
        core,
        "Asterisk 300",
        300.0,
    );
    println!(
        "calls: {} started, {} done, {} failed",
        busy.started, busy.done, busy.failed
    );
    println!(
        "memory: {} KiB resident after {} calls",
        server.resident_kib(),
        quiet.done + busy.done
    );
}

fn row(what: &str, figure: f64, name: &str, baseline: f64) {
    println!(
        "{what:<44} {figure:>12.3} {name:>22} {:>8.3}",
        figure / baseline
    );
}

/// The PBX under test.
struct Server {
    child: Child,
    directory: PathBuf,
    sip: SocketAddr,
    caller: UdpSocket,
    callee: UdpSocket,
}

impl Server {
    fn start() -> Server {
        let caller = bind();
        let callee = bind();
        let directory = std::env::temp_dir().join(format!("vats-bench-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("config")).expect("a temporary directory");
        let plan = format!(
            "[server]\nsip = [\"udp://127.0.0.1:0\"]\nhttp = \"127.0.0.1:0\"\nrtp_ports = \"20000-29999\"\ncountry = \"RU\"\n\
             [trunks.in]\npeer = \"{}\"\n[trunks.out]\npeer = \"{}\"\n\
             [forwards.far]\nto = \"+79990000000\"\ntrunk = \"out\"\n\
             [numbers.\"+74951000001\"]\nto = \"forward:far\"\nrecord = false\n",
            address(&caller),
            address(&callee),
        );
        std::fs::write(directory.join("config/vats.toml"), plan).expect("the plan is written");
        let mut child = Process::new(env!("CARGO_BIN_EXE_vats"))
            .args(["run", "--config", "config"])
            .current_dir(&directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the PBX starts");
        let stdout = child.stdout.take().expect("its stdout");
        let mut sip = None;
        for line in BufReader::new(stdout).lines().map_while(Result::ok) {
            if let Some(text) = line.strip_prefix("listening sip udp://") {
                sip = text.parse().ok();
            }
            if line == "ready" {
                break;
            }
        }
        Server {
            child,
            directory,
            sip: sip.expect("the PBX says where it listens"),
            caller,
            callee,
        }
    }

    fn measure(&self, rate: u32, length: Duration) -> Outcome {
        let before = self.cpu_ms();
        let mut load = Load::new(self);
        load.run(rate, length);
        let mut outcome = load.outcome;
        outcome.cpu_ms = self.cpu_ms() - before;
        outcome.setup.sort();
        outcome
    }

    fn cpu_ms(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
        let ticks: f64 = [11, 12]
            .iter()
            .filter_map(|&i| fields.get(i)?.parse::<f64>().ok())
            .sum();
        ticks * 10.0
    }

    fn resident_kib(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status
            .lines()
            .find(|line| line.starts_with("VmRSS:"))
            .unwrap_or("");
        line.split_whitespace()
            .nth(1)
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

#[derive(Default)]
struct Outcome {
    started: u32,
    done: u32,
    failed: u32,
    setup: Vec<Duration>,
    cpu_ms: f64,
}

impl Outcome {
    fn percentile(&self, share: f64) -> f64 {
        let index =
            ((self.setup.len() as f64 * share) as usize).min(self.setup.len().saturating_sub(1));
        self.setup
            .get(index)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Both far sides, in one thread.
struct Load<'a> {
    server: &'a Server,
    clock: Clock,
    entropy: Entropy,
    caller: Endpoint,
    callee: Endpoint,
    sent: HashMap<SessionId, Instant>,
    held: VecDeque<SessionId>,
    outcome: Outcome,
    scratch: Vec<u8>,
}

impl<'a> Load<'a> {
    fn new(server: &'a Server) -> Load<'a> {
        let settings = || Settings {
            product: "load".to_owned(),
        };
        Load {
            server,
            clock: Clock::start(),
            entropy: Entropy::from_number(Instant::now().elapsed().as_nanos() as u64),
            caller: Endpoint::new(settings(), Entropy::from_seed(seed())),
            callee: Endpoint::new(settings(), Entropy::from_seed(seed())),
            sent: HashMap::new(),
            held: VecDeque::new(),
            outcome: Outcome::default(),
            scratch: vec![0; 65_536],
        }
    }

    fn run(&mut self, rate: u32, length: Duration) {
        let begun = Instant::now();
        let total = (f64::from(rate) * length.as_secs_f64()) as u32;
        let gap = Duration::from_secs(1) / rate;
        loop {
            let due = (begun.elapsed().as_nanos() / gap.as_nanos()) as u32;
            while self.outcome.started < total.min(due) {
                self.call();
            }
            let busy = self.turn();
            let over = self.outcome.done + self.outcome.failed >= total;
            if over || begun.elapsed() > length + Duration::from_secs(40) {
                break;
            }
            if !busy {
                std::thread::sleep(Duration::from_micros(100));
            }
        }
    }

    fn call(&mut self) {
        let now = self.clock.now();
        let session = SessionId(LegId::new(now.wall, &mut self.entropy).as_u128());
        self.outcome.started += 1;
        self.sent.insert(session, Instant::now());
        let invite = Invite {
            session,
            flow: flow(&self.server.caller, self.server.sip),
            routing: Routing::Dialog,
            uri: format!("sip:+74951000001@{}", self.server.sip),
            from: "<sip:+79161234567@load.example>".to_owned(),
            to: format!("<sip:+74951000001@{}>", self.server.sip),
            contact_user: Some("load".to_owned()),
            call_id: self.entropy.token(),
            sdp: Bytes::from_static(OFFER.as_bytes()),
            credentials: None,
            max_forwards: 70,
            headers: Vec::new(),
            other_headers: Vec::new(),
            give_up_after: None,
        };
        self.caller
            .handle_command(now, Command::Invite(Box::new(invite)));
    }

    /// One round over sockets, timers and events; whether anything happened.
    fn turn(&mut self) -> bool {
        let mut busy = false;
        for far in [false, true] {
            let socket = if far {
                &self.server.callee
            } else {
                &self.server.caller
            };
            while let Ok((length, remote)) = socket.recv_from(&mut self.scratch) {
                let bytes = Bytes::copy_from_slice(&self.scratch[..length]);
                let endpoint = if far {
                    &mut self.callee
                } else {
                    &mut self.caller
                };
                endpoint.handle_message(self.clock.now(), flow(socket, remote), bytes);
                busy = true;
            }
        }
        let now = self.clock.now();
        for endpoint in [&mut self.caller, &mut self.callee] {
            if endpoint.poll_timeout().is_some_and(|at| at <= now.mono) {
                endpoint.handle_timeout(now);
            }
        }
        while let Some(event) = self.caller.poll_event() {
            self.on_caller(event);
        }
        while let Some(event) = self.callee.poll_event() {
            self.on_callee(event);
        }
        while let Some(session) = self.held.pop_front() {
            self.caller.handle_command(
                now,
                Command::End {
                    session,
                    reason: None,
                },
            );
            self.outcome.done += 1;
        }
        self.flush();
        busy
    }

    fn flush(&mut self) {
        for (endpoint, socket) in [
            (&mut self.caller, &self.server.caller),
            (&mut self.callee, &self.server.callee),
        ] {
            while let Some(transmit) = endpoint.poll_transmit() {
                let _ = socket.send_to(&transmit.bytes, transmit.flow.remote);
            }
        }
    }

    fn on_caller(&mut self, event: Event) {
        match event {
            Event::Answered { session, .. } => {
                if let Some(sent) = self.sent.remove(&session) {
                    self.outcome.setup.push(sent.elapsed());
                }
                self.held.push_back(session);
            }
            Event::Refused { session, .. } => {
                self.sent.remove(&session);
                self.outcome.failed += 1;
            }
            _ => {}
        }
    }

    fn on_callee(&mut self, event: Event) {
        let now = self.clock.now();
        if let Event::Incoming { session, .. } = event {
            self.callee.handle_command(
                now,
                Command::Progress {
                    session,
                    code: 180,
                    sdp: None,
                },
            );
            let sdp = Bytes::from_static(ANSWER.as_bytes());
            self.callee.handle_command(
                now,
                Command::Accept {
                    session,
                    sdp,
                    headers: Vec::new(),
                },
            );
        }
    }
}

fn flow(socket: &UdpSocket, remote: SocketAddr) -> Flow {
    Flow {
        listener: ListenerId(0),
        remote,
        transport: Transport::Udp,
        advertised: address(socket),
    }
}

fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
    socket.set_nonblocking(true).expect("a non-blocking socket");
    socket
}

fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("a bound socket has an address")
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system's randomness");
    seed
}
