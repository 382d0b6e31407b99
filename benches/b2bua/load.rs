//! The far sides of calls, in one thread: a caller's trunk and the trunk that calls are forwarded to.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use vats::clock::Clock;
use vats::ledger::entropy::Entropy;
use vats::ledger::id::LegId;
use vats::sip::endpoint::command::{Command, Invite, Routing};
use vats::sip::endpoint::event::Event;
use vats::sip::endpoint::{Endpoint, Flow, ListenerId, SessionId, Settings};

use super::server::{Server, address, bind};

/// How calls are begun.
#[derive(Copy, Clone)]
pub enum Pace {
    /// So many a second.
    Rate(u32),
    /// As fast as they end, with so many at once.
    AtOnce(u32),
}

/// What became of the calls.
#[derive(Default)]
pub struct Outcome {
    pub started: u32,
    pub done: u32,
    pub failed: u32,
    pub setup: Vec<Duration>,
    pub took: Duration,
}

impl Outcome {
    /// A percentile of the set-up times, milliseconds.
    pub fn percentile(&self, share: f64) -> f64 {
        let mut setup = self.setup.clone();
        setup.sort();
        let index = ((setup.len() as f64 * share) as usize).min(setup.len().saturating_sub(1));
        setup
            .get(index)
            .map_or(f64::NAN, |time| time.as_secs_f64() * 1000.0)
    }
}

/// Both far sides.
pub struct Load<'a> {
    server: &'a Server,
    /// Where calls are sent.
    target: SocketAddr,
    clock: Clock,
    entropy: Entropy,
    caller: Endpoint,
    callee: Endpoint,
    sent: HashMap<SessionId, Instant>,
    answered: VecDeque<SessionId>,
    outcome: Outcome,
    scratch: Vec<u8>,
    /// Where each side sends and hears audio, and where the PBX wants it: one port for all calls is enough.
    audio: [UdpSocket; 2],
    ports: [Vec<SocketAddr>; 2],
}

impl<'a> Load<'a> {
    pub fn new(server: &'a Server) -> Load<'a> {
        let settings = || Settings {
            product: "load".to_owned(),
        };
        let mut entropy = Entropy::from_seed(seed());
        Load {
            server,
            target: server.sip,
            clock: Clock::start(),
            caller: Endpoint::new(settings(), entropy.split()),
            callee: Endpoint::new(settings(), entropy.split()),
            entropy,
            sent: HashMap::new(),
            answered: VecDeque::new(),
            outcome: Outcome::default(),
            scratch: vec![0; 65_536],
            audio: [bind(), bind()],
            ports: [Vec::new(), Vec::new()],
        }
    }

    /// The callers call the callees without a PBX between them: what the generator itself takes.
    pub fn direct(server: &'a Server) -> Load<'a> {
        let mut load = Load::new(server);
        load.target = address(&server.callee);
        load
    }

    /// Begins calls for `length`, at most `most`, ends each as soon as it is answered, and waits for the last.
    pub fn run(mut self, pace: Pace, most: u32, length: Duration) -> Outcome {
        let begun = Instant::now();
        loop {
            let over = begun.elapsed() >= length || self.outcome.started >= most;
            let due = match pace {
                Pace::Rate(rate) => {
                    let due = begun.elapsed().as_secs_f64() * f64::from(rate);
                    (due as u32).min(most)
                }
                Pace::AtOnce(calls) => (self.ended() + calls).min(most),
            };
            while !over && self.outcome.started < due {
                self.call("+74951000001");
            }
            self.turn(Duration::from_millis(1));
            while let Some(session) = self.answered.pop_front() {
                self.hang_up(session);
            }
            self.flush();
            let all = over && self.ended() >= self.outcome.started;
            if all || begun.elapsed() > length + Duration::from_secs(40) {
                self.outcome.took = begun.elapsed();
                // The last BYEs are answered.
                self.idle(Duration::from_millis(200));
                return self.outcome;
            }
        }
    }

    /// Sets up `calls` calls without audio, asks `look` when all stand, and ends them.
    pub fn hold<T>(mut self, calls: u32, look: impl FnOnce() -> T) -> T {
        self.set_up("+74951000001", calls);
        let seen = look();
        self.end_all();
        seen
    }

    fn set_up(&mut self, number: &str, calls: u32) {
        for _ in 0..calls {
            self.call(number);
            self.idle(Duration::from_millis(5));
        }
        self.idle(Duration::from_millis(500));
        assert_eq!(
            self.answered.len(),
            calls as usize,
            "all calls are answered"
        );
    }

    fn end_all(&mut self) {
        while let Some(session) = self.answered.pop_front() {
            self.hang_up(session);
            self.idle(Duration::from_millis(2));
        }
        self.idle(Duration::from_secs(1));
    }

    /// Sets up `calls` recorded calls with audio, asks `look` while they talk, and ends them.
    pub fn talk<T>(mut self, calls: u32, length: Duration, look: impl FnOnce() -> T) -> T {
        self.set_up("+74951000002", calls);
        let begun = Instant::now();
        let mut packet = [0x55; 172];
        packet[..2].copy_from_slice(&[0x80, 8]);
        for frame in 0u32.. {
            packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
            packet[4..8].copy_from_slice(&(frame * 160).to_be_bytes());
            packet[8..12].copy_from_slice(&[1, 2, 3, 4]);
            for (socket, ports) in self.audio.iter().zip(&self.ports) {
                for port in ports {
                    let _ = socket.send_to(&packet, port);
                }
                while socket.recv_from(&mut self.scratch).is_ok() {}
            }
            if begun.elapsed() > length {
                break;
            }
            let next = begun + Duration::from_millis(20) * (frame + 1);
            self.idle(next.saturating_duration_since(Instant::now()));
        }
        let seen = look();
        self.end_all();
        seen
    }

    fn idle(&mut self, length: Duration) {
        let until = Instant::now() + length;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            self.turn(left.min(Duration::from_millis(1)));
            if left.is_zero() {
                return;
            }
        }
    }

    fn ended(&self) -> u32 {
        self.outcome.done + self.outcome.failed
    }

    fn call(&mut self, number: &str) {
        let now = self.clock.now();
        let session = SessionId(LegId::new(now.wall, &mut self.entropy).as_u128());
        self.outcome.started += 1;
        self.sent.insert(session, Instant::now());
        let invite = Invite {
            session,
            flow: flow(&self.server.caller, self.target),
            routing: Routing::Dialog,
            uri: format!("sip:{number}@{}", self.server.sip),
            from: "<sip:+79161234567@load.example>".to_owned(),
            to: format!("<sip:{number}@{}>", self.server.sip),
            contact_user: Some("load".to_owned()),
            call_id: self.entropy.token(),
            sdp: self.description(0),
            credentials: None,
            max_forwards: 70,
            headers: Vec::new(),
            other_headers: Vec::new(),
            give_up_after: None,
            usage: vats::sip::endpoint::command::Usage::default(),
        };
        self.caller
            .handle_command(now, Command::Invite(Box::new(invite)));
        self.flush();
    }

    fn hang_up(&mut self, session: SessionId) {
        let reason = None;
        self.caller
            .handle_command(self.clock.now(), Command::End { session, reason });
        self.outcome.done += 1;
    }

    fn description(&self, side: usize) -> Bytes {
        let port = address(&self.audio[side]).port();
        Bytes::from(format!(
            "v=0\r\no=- 1 1 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 127.0.0.1\r\nt=0 0\r\nm=audio {port} RTP/AVP 8 0 101\r\n\
             a=rtpmap:101 telephone-event/8000\r\n"
        ))
    }

    /// One round over sockets, timers and events; waits at most so long for a message.
    fn turn(&mut self, wait: Duration) {
        self.await_message(wait);
        for far in [false, true] {
            let (socket, endpoint) = if far {
                (&self.server.callee, &mut self.callee)
            } else {
                (&self.server.caller, &mut self.caller)
            };
            while let Ok((length, remote)) = socket.recv_from(&mut self.scratch) {
                let bytes = Bytes::copy_from_slice(&self.scratch[..length]);
                endpoint.handle_message(self.clock.now(), flow(socket, remote), bytes);
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
        self.flush();
    }

    fn await_message(&self, wait: Duration) {
        let watched = |socket: &UdpSocket| libc::pollfd {
            fd: socket.as_raw_fd(),
            events: libc::POLLIN,
            revents: 0,
        };
        let mut sockets = [watched(&self.server.caller), watched(&self.server.callee)];
        let wait = i32::try_from(wait.as_millis()).unwrap_or(0);
        // SAFETY: the array lives through the call and has the length that is told.
        unsafe { libc::poll(sockets.as_mut_ptr(), sockets.len() as libc::nfds_t, wait) };
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
            Event::Answered { session, sdp, .. } => {
                if let Some(sent) = self.sent.remove(&session) {
                    self.outcome.setup.push(sent.elapsed());
                }
                self.ports[0].extend(sdp.as_deref().and_then(audio_port));
                self.answered.push_back(session);
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
        if let Event::Incoming {
            session, message, ..
        } = event
        {
            self.ports[1].extend(audio_port(&message.body()));
            let sdp = self.description(1);
            self.callee.handle_command(
                now,
                Command::Progress {
                    session,
                    code: 180,
                    sdp: None,
                },
            );
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

/// Where the PBX wants audio.
fn audio_port(sdp: &[u8]) -> Option<SocketAddr> {
    let text = std::str::from_utf8(sdp).ok()?;
    let port = text.split("m=audio ").nth(1)?.split(' ').next()?;
    Some(SocketAddr::from(([127, 0, 0, 1], port.parse().ok()?)))
}

fn flow(socket: &UdpSocket, remote: SocketAddr) -> Flow {
    Flow::udp(ListenerId(0), remote, address(socket))
}

fn seed() -> [u8; 32] {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).expect("the system's randomness");
    seed
}
