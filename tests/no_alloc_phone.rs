//! A phone of the test that counts allocations: it talks to one leg of a plane, protected or not, and reports.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use vats::audio::voice::Encoder;
use vats::call::media::{MediaAct, MediaEvent};
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::{Mono, Wall};
use vats::ledger::id::{BridgeId, LegId};
use vats::media::{Plane, PlaneSettings};
use vats::rtp::demux::{Kind, classify};
use vats::rtp::rtcp::Session;
use vats::rtp::srtp::{MasterKey, Mki, Protect, Suite, Unprotect};
use vats::sdp::crypto::CryptoAgreed;
use vats::sdp::negotiate::{Agreed, Codec, Direction};

/// This test's own address: nobody else takes ports there.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 7, 41, 1));

/// A plane of one worker.
pub fn start(io: MediaIo, ports: RangeInclusive<u16>) -> Plane {
    Plane::start(PlaneSettings {
        workers: 1,
        ports,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: Instant::now(),
        io,
    })
    .unwrap()
}

/// Puts a leg into a bridge.
pub fn join(plane: &mut Plane, leg: LegId, bridge: u128) {
    let bridge = BridgeId::from_u128(bridge);
    plane.act(Mono::ZERO, MediaAct::Join { leg, bridge });
}

/// The far side of a leg.
pub struct Phone {
    /// The leg.
    pub leg: LegId,
    socket: UdpSocket,
    /// Where its reports come to; with the media otherwise.
    reports: Option<UdpSocket>,
    /// The leg's port.
    port: SocketAddr,
    codec: Codec,
    /// 20 ms of silence.
    payload: Vec<u8>,
    sequence: u16,
    session: Session,
    /// Runs ahead, so that a report is always due.
    clock: Mono,
    keys: Option<(Protect, Unprotect)>,
}

impl Phone {
    /// A plain phone.
    pub fn open(plane: &mut Plane, number: u128, codec: Codec) -> Phone {
        Phone::open_with(plane, number, codec, None, true)
    }

    /// A phone that is protected, or whose reports have a port of their own.
    pub fn open_with(
        plane: &mut Plane,
        number: u128,
        codec: Codec,
        suite: Option<Suite>,
        mux: bool,
    ) -> Phone {
        let leg = LegId::from_u128(number);
        let bind = || {
            let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
            let patience = Some(Duration::from_secs(20));
            socket.set_read_timeout(patience).unwrap();
            socket
        };
        let towards = LOOPBACK;
        plane.act(Mono::ZERO, MediaAct::Open { leg, towards });
        let Some((_, MediaEvent::Opened { local })) = plane.poll_report() else {
            panic!("no port");
        };
        let mut phone = Phone {
            leg,
            socket: bind(),
            reports: (!mux).then(bind),
            port: local,
            codec,
            payload: silence(codec),
            sequence: 0,
            session: Session::new(number as u32, Wall::from_micros(1 << 50), [7; 16]),
            clock: Mono::ZERO,
            keys: None,
        };
        phone.session.agree(Mono::ZERO, codec.clock_rate());
        phone.agree(plane, suite, 1);
        phone
    }

    /// Agrees with the leg, with keys made of `seed`.
    pub fn agree(&mut self, plane: &mut Plane, suite: Option<Suite>, seed: u8) {
        let crypto = suite.map(|suite| CryptoAgreed {
            send: MasterKey::from_random(suite, [seed; 46]),
            receive: MasterKey::from_random(suite, [!seed; 46]),
            mki: Mki::default(),
            lifetime: 1 << 48,
        });
        let before = self.keys.take();
        self.keys = crypto.as_ref().map(|crypto| {
            let mut protect = Protect::new(&crypto.receive).unwrap();
            let mut unprotect = Unprotect::new(&crypto.send, &Mki::default()).unwrap();
            if let Some((protected, unprotected)) = &before {
                protect.follow(protected);
                unprotect.follow(unprotected);
            }
            (protect, unprotect)
        });
        let payload_type = self.codec.usual_payload_type();
        let agreed = Agreed {
            remote: Some(self.socket.local_addr().unwrap()),
            codec: self.codec,
            send_payload_type: payload_type,
            receive_payload_type: payload_type,
            telephone_event: Some((101, 101)),
            event_clock_rate: 8_000,
            opus: None,
            packet_time_ms: 20,
            max_packet_time_ms: None,
            direction: Direction::SendRecv,
            crypto: crypto.map(Box::new),
            rtcp_mux: self.reports.is_none(),
            rtcp: self.reports.as_ref().map(|own| own.local_addr().unwrap()),
        };
        plane.act(
            Mono::ZERO,
            MediaAct::Agree {
                leg: self.leg,
                agreed,
            },
        );
    }

    /// Sends 20 ms of silence.
    pub fn say(&mut self) {
        let mut packet = [0u8; 512];
        packet[0] = 0x80;
        packet[1] = self.codec.usual_payload_type();
        packet[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        let ticks = u32::from(self.sequence) * (self.codec.clock_rate() / 50);
        packet[4..8].copy_from_slice(&ticks.to_be_bytes());
        self.sequence += 1;
        let length = 12 + self.payload.len();
        packet[12..length].copy_from_slice(&self.payload);
        self.session.note_sent(self.clock, &packet[..length]);
        let length = match &mut self.keys {
            Some((protect, _)) => protect.rtp(&mut packet, length).unwrap(),
            None => length,
        };
        self.socket.send_to(&packet[..length], self.port).unwrap();
    }

    /// Loses 20 ms of silence.
    pub fn lose(&mut self) {
        self.sequence += 1;
    }

    /// Sends a report.
    pub fn report(&mut self) {
        let mut packet = [0u8; 512];
        self.clock = self.clock + Duration::from_secs(10);
        let Some(length) = self.session.report(self.clock, &mut packet) else {
            return;
        };
        let length = match &mut self.keys {
            Some((protect, _)) => protect.rtcp(&mut packet, length).unwrap(),
            None => length,
        };
        let mut port = self.port;
        let socket = match &self.reports {
            Some(reports) => {
                port.set_port(port.port() + 1);
                reports
            }
            None => &self.socket,
        };
        socket.send_to(&packet[..length], port).unwrap();
    }

    /// Waits for the next packet of sound, in its own codec and with the right keys; passes over reports.
    pub fn hear(&mut self) {
        while !self.take() {}
    }

    /// How many packets of sound have come.
    pub fn heard(&mut self) -> usize {
        self.socket.set_nonblocking(true).unwrap();
        let mut heard = 0;
        while self.socket.peek(&mut [0; 4]).is_ok() {
            heard += usize::from(self.take());
        }
        heard
    }

    /// Takes one packet; whether it was sound.
    fn take(&mut self) -> bool {
        let mut room = [0; 512];
        // A ring's work for this thread interrupts a wait.
        let length = loop {
            match self.socket.recv_from(&mut room) {
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                came => break came.unwrap().0,
            }
        };
        let packet = &mut room[..length];
        let is_report = classify(packet) == Kind::Rtcp;
        if let Some((_, unprotect)) = &mut self.keys {
            let opened = match is_report {
                true => unprotect.rtcp(packet),
                false => unprotect.rtp(packet),
            };
            // A report of before the keys changed may come after that; sound is waited for until it comes.
            if opened.is_err() {
                return false;
            }
        }
        if is_report {
            self.session.hear(self.clock, packet).ok();
            return false;
        }
        assert!(length > 12);
        assert_eq!(packet[1] & 127, self.codec.usual_payload_type());
        true
    }
}

/// 20 ms of silence in a codec.
fn silence(codec: Codec) -> Vec<u8> {
    let mut bytes = vec![0; 400];
    let length = Encoder::new(codec, 8_000)
        .unwrap()
        .encode(&[0; 160], &mut bytes);
    assert!(length > 0);
    bytes.truncate(length);
    bytes
}
