//! A media peer made of the library's own parts: SRTP and RTCP in both directions, losses on purpose.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use vats::ledger::clock::{Mono, Wall};
use vats::rtp::demux::{Kind, classify};
use vats::rtp::packet::Packet;
use vats::rtp::rtcp::Session;
use vats::rtp::rtcp::read::{self, Packet as Report};
use vats::rtp::rtcp::{ReportBlock, SenderInfo};
use vats::rtp::srtp::{OVERHEAD, Protect, Unprotect};
use vats::sdp::negotiate::Agreed;

use super::free_port;

/// Its source.
pub const SSRC: u32 = 0x5eed_0001;

/// What came.
#[derive(Clone, Debug, Default)]
pub struct Heard {
    /// The payloads of RTP packets, in order of arrival.
    pub payloads: Vec<Vec<u8>>,
    /// Packets that could not be opened, or came plain although protection was agreed on, or the other way round.
    pub refused: usize,
    /// What the far side said about itself.
    pub senders: Vec<SenderInfo>,
    /// What it said about us.
    pub blocks: Vec<ReportBlock>,
    /// Its canonical names.
    pub names: Vec<Vec<u8>>,
    /// It said farewell.
    pub byes: usize,
    /// Reports that came to the port above.
    pub above: usize,
}

struct Inner {
    target: Option<SocketAddr>,
    mux: bool,
    protect: Option<Protect>,
    unprotect: Option<Unprotect>,
    session: Session,
    /// Each packet's payload is filled with this; `None`: silence.
    byte: Option<u8>,
    /// Each packet with this remainder of ten is not sent.
    loses: Option<u16>,
    sequence: u16,
    timestamp: u32,
    heard: Heard,
}

/// The peer. Stops when dropped.
pub struct MediaPeer {
    /// Where it listens.
    pub address: SocketAddr,
    inner: Arc<Mutex<Inner>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl MediaPeer {
    /// Listens on a free port of `ip` and the one above it; its numbers begin here.
    pub fn open(ip: IpAddr, sequence: u16) -> MediaPeer {
        let address = SocketAddr::new(ip, free_port(ip));
        let socket = UdpSocket::bind(address).unwrap();
        let reports = UdpSocket::bind((ip, address.port() + 1)).unwrap();
        for socket in [&socket, &reports] {
            socket.set_nonblocking(true).unwrap();
        }
        let inner = Arc::new(Mutex::new(Inner {
            target: None,
            mux: true,
            protect: None,
            unprotect: None,
            session: Session::new(SSRC, Wall::from_micros(1_700_000_000_000_000), [7; 16]),
            byte: None,
            loses: None,
            sequence,
            timestamp: 0,
            heard: Heard::default(),
        }));
        let stop = Arc::new(AtomicBool::new(false));
        let (of_thread, ended) = (Arc::clone(&inner), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let began = Instant::now();
            let mut next = Duration::ZERO;
            while !ended.load(Ordering::Relaxed) {
                let now = Mono::ZERO + began.elapsed();
                let mut inner = of_thread.lock().unwrap();
                inner.receive(now, &socket, false);
                inner.receive(now, &reports, true);
                if began.elapsed() >= next {
                    next += Duration::from_millis(20);
                    inner.beat(now, &socket, &reports);
                }
                drop(inner);
                std::thread::sleep(Duration::from_millis(1));
            }
        });
        MediaPeer {
            address,
            inner,
            stop,
            thread: Some(thread),
        }
    }

    /// Sends and expects media as agreed; counters go on.
    pub fn agree(&self, agreed: &Agreed) {
        let mut inner = self.inner.lock().unwrap();
        inner.target = agreed.remote;
        inner.mux = agreed.rtcp_mux;
        inner.session.agree(Mono::ZERO, 8_000);
        let Some(crypto) = &agreed.crypto else {
            (inner.protect, inner.unprotect) = (None, None);
            return;
        };
        let mut protect = Protect::new(&crypto.send).unwrap();
        let mut unprotect = Unprotect::new(&crypto.receive, &crypto.mki).unwrap();
        if let (Some(before), Some(heard)) = (&inner.protect, &inner.unprotect) {
            protect.follow(before);
            unprotect.follow(heard);
        }
        (inner.protect, inner.unprotect) = (Some(protect), Some(unprotect));
    }

    /// Fills what it sends with this byte; `None`: sends nothing.
    pub fn say(&self, byte: Option<u8>) {
        self.inner.lock().unwrap().byte = byte;
    }

    /// Leaves each tenth packet out.
    pub fn lose_a_tenth(&self) {
        self.inner.lock().unwrap().loses = Some(3);
    }

    /// The next packet's number.
    pub fn sequence(&self) -> u16 {
        self.inner.lock().unwrap().sequence
    }

    /// What came so far; forgotten here.
    pub fn take(&self) -> Heard {
        std::mem::take(&mut self.inner.lock().unwrap().heard)
    }

    /// What came so far.
    pub fn peek(&self) -> Heard {
        self.inner.lock().unwrap().heard.clone()
    }

    /// How many of the packets that came say this byte.
    pub fn heard(&self, byte: u8) -> usize {
        let inner = self.inner.lock().unwrap();
        let payloads = inner.heard.payloads.iter();
        payloads.filter(|payload| payload.contains(&byte)).count()
    }
}

impl Inner {
    fn receive(&mut self, now: Mono, socket: &UdpSocket, above: bool) {
        let mut buffer = [0u8; 2_048];
        while let Ok((length, _)) = socket.recv_from(&mut buffer) {
            let datagram = &mut buffer[..length];
            let kind = classify(datagram);
            let opened = match (&mut self.unprotect, kind) {
                (Some(unprotect), Kind::Rtp) => unprotect.rtp(datagram).ok(),
                (Some(unprotect), Kind::Rtcp) => unprotect.rtcp(datagram).ok(),
                _ => Some(length),
            };
            let Some(length) = opened else {
                self.heard.refused += 1;
                continue;
            };
            let datagram = &buffer[..length];
            match kind {
                Kind::Rtp => {
                    let packet = Packet::parse(datagram).unwrap();
                    let (sequence, timestamp) = (packet.sequence, packet.timestamp);
                    self.session
                        .note_received(now, packet.ssrc, sequence, timestamp, true);
                    self.heard.payloads.push(packet.payload.to_vec());
                }
                Kind::Rtcp => {
                    self.heard.above += usize::from(above);
                    self.note_report(datagram);
                    self.session.hear(now, datagram).unwrap();
                }
                _ => self.heard.refused += 1,
            }
        }
    }

    fn note_report(&mut self, datagram: &[u8]) {
        let heard = &mut self.heard;
        for packet in read::compound(datagram).unwrap() {
            match packet {
                Report::SenderReport { info, blocks, .. } => {
                    heard.senders.push(info);
                    heard.blocks.extend(blocks);
                }
                Report::ReceiverReport { blocks, .. } => heard.blocks.extend(blocks),
                Report::Description(chunks) => {
                    let names = chunks.filter_map(|(_, name)| name.map(<[u8]>::to_vec));
                    heard.names.extend(names);
                }
                Report::Bye(_) => heard.byes += 1,
                Report::Other(_) => {}
            }
        }
    }

    fn beat(&mut self, now: Mono, socket: &UdpSocket, reports: &UdpSocket) {
        let Some(target) = self.target else { return };
        let mut buffer = [0u8; 400];
        if let Some(byte) = self.byte {
            let packet = Packet {
                payload_type: 0,
                marker: false,
                sequence: self.sequence,
                timestamp: self.timestamp,
                ssrc: SSRC,
                payload: &[byte; 160],
            };
            let length = packet.write_into(&mut buffer).unwrap();
            let lost = self.loses == Some(self.sequence % 10);
            self.sequence = self.sequence.wrapping_add(1);
            self.timestamp = self.timestamp.wrapping_add(160);
            if !lost {
                self.session.note_sent(now, &buffer[..length]);
                let length = match &mut self.protect {
                    Some(protect) => protect.rtp(&mut buffer, length).unwrap(),
                    None => length,
                };
                assert!(length <= 172 + OVERHEAD);
                socket.send_to(&buffer[..length], target).unwrap();
            }
        }
        if let Some(length) = self.session.report(now, &mut buffer) {
            let length = match &mut self.protect {
                Some(protect) => protect.rtcp(&mut buffer, length).unwrap(),
                None => length,
            };
            let (socket, port) = match self.mux {
                true => (socket, target.port()),
                false => (reports, target.port() + 1),
            };
            let report = &buffer[..length];
            socket.send_to(report, (target.ip(), port)).unwrap();
        }
    }
}

impl Drop for MediaPeer {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().ok();
        }
    }
}
