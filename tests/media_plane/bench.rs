//! A media plane with simple phones around it, and what is asked of both.

use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use vats::call::media::{MediaAct, MediaEvent};
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::Mono;
use vats::ledger::id::{BridgeId, LegId};
use vats::media::{Census, Plane, PlaneSettings};
use vats::rtp::packet::Packet;
use vats::sdp::negotiate::{Agreed, Codec, Direction};

/// This test's own address: nobody else takes ports there.
pub const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 7, 42, 1));
pub const PATIENCE: Duration = Duration::from_secs(5);

thread_local! {
    /// What this thread's test is run over.
    static IO: Cell<MediaIo> = const { Cell::new(MediaIo::Auto) };
}

/// Runs a test over one of the backends.
pub fn over(io: MediaIo, test: impl FnOnce()) {
    IO.set(io);
    test();
}

/// What this thread's test is run over.
pub fn io() -> MediaIo {
    IO.get()
}

/// Ports of this run, a part for each test and backend: several runs may share a machine.
pub fn ports(range: RangeInclusive<u16>) -> RangeInclusive<u16> {
    static BASE: OnceLock<u16> = OnceLock::new();
    let base = *BASE.get_or_init(free_base) + if io() == MediaIo::Epoll { 900 } else { 0 };
    base + range.start()..=base + range.end()
}

/// The first of 1800 ports that nobody holds, below those that the system gives; runs begin looking at different places.
fn free_base() -> u16 {
    let first = std::process::id() % 12;
    let is_free =
        |base: &u16| (*base..base + 1800).all(|port| UdpSocket::bind((LOOPBACK, port)).is_ok());
    (0..12)
        .map(|step| 10_000 + ((first + step) % 12) as u16 * 1800)
        .find(is_free)
        .expect("1800 free ports in a row")
}

pub struct Bench {
    pub plane: Plane,
    pub start: Instant,
    pub events: Vec<(LegId, MediaEvent)>,
}

impl Bench {
    pub fn new(workers: usize, ports: RangeInclusive<u16>) -> Bench {
        let start = Instant::now();
        let plane = Plane::start(PlaneSettings {
            workers,
            ports,
            bind: LOOPBACK,
            advertised: Box::new(|towards| towards),
            start,
            io: io(),
        })
        .unwrap();
        Bench {
            plane,
            start,
            events: Vec::new(),
        }
    }

    pub fn act(&mut self, act: MediaAct) {
        let now = Mono::ZERO + self.start.elapsed();
        self.plane.act(now, act);
        self.take();
    }

    pub fn take(&mut self) {
        while let Some(report) = self.plane.poll_report() {
            self.events.push(report);
        }
    }

    pub fn until(&mut self, what: &str, mut is_so: impl FnMut(&mut Bench) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.take();
            if is_so(self) {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "{what}: {:?} {:?}",
                self.events,
                self.plane.census()
            );
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    pub fn await_event(&mut self, leg: LegId, event: &MediaEvent) {
        self.until(&format!("{event:?}"), |bench| {
            bench.events.iter().any(|(l, e)| (*l, e) == (leg, event))
        });
    }

    pub fn count(&self, leg: LegId, event: &MediaEvent) -> usize {
        self.events
            .iter()
            .filter(|(l, e)| (*l, e) == (leg, event))
            .count()
    }

    pub fn phone(&mut self, number: u128, codec: Codec) -> Phone {
        let leg = LegId::from_u128(number);
        self.act(MediaAct::Open {
            leg,
            towards: LOOPBACK,
        });
        let local = self.events.iter().find_map(|(l, event)| match event {
            MediaEvent::Opened { local } if *l == leg => Some(*local),
            _ => None,
        });
        let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
        socket
            .set_read_timeout(Some(Duration::from_millis(500)))
            .unwrap();
        let phone = Phone {
            leg,
            port: local.unwrap(),
            socket,
            codec,
            packet_time_ms: 20,
            max_packet_time_ms: None,
            sequence: 100,
            timestamp: 5_000,
        };
        let agreed = phone.agreed();
        self.act(MediaAct::Agree { leg, agreed });
        phone
    }

    pub fn bridge(&mut self, bridge: u128, phones: &[&Phone]) {
        for phone in phones {
            self.act(MediaAct::Join {
                leg: phone.leg,
                bridge: BridgeId::from_u128(bridge),
            });
        }
    }

    pub fn close(&mut self, phones: &[&Phone]) -> Census {
        for phone in phones {
            self.act(MediaAct::Close { leg: phone.leg });
        }
        self.until("all sockets closed", |bench| {
            bench.plane.census().open_sockets == 0
        });
        let census = self.plane.census();
        assert_eq!((census.legs, census.bridges), (0, 0));
        census
    }
}

pub struct Phone {
    pub leg: LegId,
    pub port: SocketAddr,
    pub socket: UdpSocket,
    pub codec: Codec,
    pub packet_time_ms: u32,
    pub max_packet_time_ms: Option<u32>,
    pub sequence: u16,
    pub timestamp: u32,
}

impl Phone {
    pub fn agreed(&self) -> Agreed {
        let number = self.codec.usual_payload_type();
        Agreed {
            remote: Some(self.socket.local_addr().unwrap()),
            codec: self.codec,
            send_payload_type: number,
            receive_payload_type: number,
            telephone_event: Some((101, 101)),
            event_clock_rate: 8_000,
            opus: None,
            packet_time_ms: self.packet_time_ms,
            max_packet_time_ms: self.max_packet_time_ms,
            direction: Direction::SendRecv,
            crypto: None,
            rtcp_mux: true,
            rtcp: None,
        }
    }

    pub fn send(&mut self, payload: &[u8]) {
        self.send_as(self.agreed().send_payload_type, payload);
        self.timestamp = self.timestamp.wrapping_add(payload.len() as u32);
    }

    pub fn send_as(&mut self, payload_type: u8, payload: &[u8]) {
        let mut room = [0; 1600];
        let length = Packet {
            payload_type,
            marker: false,
            sequence: self.sequence,
            timestamp: self.timestamp,
            ssrc: self.leg.as_u128() as u32,
            payload,
        }
        .write_into(&mut room)
        .unwrap();
        self.socket.send_to(&room[..length], self.port).unwrap();
        self.sequence = self.sequence.wrapping_add(1);
    }

    pub fn receive(&self) -> Option<(u16, u32, u8, bool, Vec<u8>)> {
        let mut room = [0; 1600];
        let length = loop {
            let (length, from) = self.socket.recv_from(&mut room).ok()?;
            assert_eq!(from, self.port);
            // Reports come on the same port.
            if !(200..=207).contains(&room[1]) {
                break length;
            }
        };
        let packet = Packet::parse(&room[..length]).unwrap();
        Some((
            packet.sequence,
            packet.timestamp,
            packet.payload_type,
            packet.marker,
            packet.payload.to_vec(),
        ))
    }
}

pub fn sound(seed: usize, n: usize) -> Vec<u8> {
    (0..160)
        .map(|i| ((i * 7 + n * 13 + seed) % 256) as u8)
        .collect()
}
