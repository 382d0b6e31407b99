//! Many who only speak: one thread sends the tones of all, each packet in its time, so that a thousand calls fit beside the
//! PBX on two cores.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::free_port;
use super::noise;
use super::sound::Law;

/// Milliseconds of A-law in a packet; as many turns of the thread are one round.
const ROUND: usize = 20;
const SAMPLES: u32 = 8 * ROUND as u32;

/// One who speaks until dropped, and never listens.
pub struct Speaker {
    /// Where the far side sends.
    pub address: SocketAddr,
    socket: Arc<UdpSocket>,
}

impl Speaker {
    /// On a free port of `ip`.
    pub fn open(ip: IpAddr) -> Speaker {
        let address = SocketAddr::new(ip, free_port(ip));
        let socket = UdpSocket::bind(address).unwrap();
        socket.set_nonblocking(true).unwrap();
        // What comes is never read: as little of it as can be is kept.
        socket2::SockRef::from(&socket)
            .set_recv_buffer_size(0)
            .unwrap();
        let socket = Arc::new(socket);
        Speaker { address, socket }
    }
}

/// The thread that sends. It ends when this is dropped.
pub struct Choir {
    parts: Sender<Part>,
}

impl Choir {
    pub fn start() -> Choir {
        let (parts, taken) = channel();
        let thread = std::thread::Builder::new().name("choir".into());
        thread.spawn(move || sing(&taken)).unwrap();
        Choir { parts }
    }

    /// From now on `speaker` says this tone with noise in it to `target`.
    pub fn give(&self, speaker: &Speaker, target: SocketAddr, salt: u64) {
        speaker.socket.connect(target).unwrap();
        let part = Part {
            socket: Arc::downgrade(&speaker.socket),
            salt,
            ssrc: u32::from(speaker.address.port()) << 8,
            packets: 0,
        };
        self.parts.send(part).unwrap();
    }
}

/// What one of them says.
struct Part {
    socket: Weak<UdpSocket>,
    salt: u64,
    ssrc: u32,
    /// So many were sent.
    packets: u32,
}

impl Part {
    /// Sends the next packet; `false` when nobody says it any more.
    fn go_on(&mut self) -> bool {
        let Some(socket) = self.socket.upgrade() else {
            return false;
        };
        let at = self.packets * SAMPLES;
        let mut packet = [0; 12 + SAMPLES as usize];
        let (header, payload) = packet.split_at_mut(12);
        header[0] = 0x80;
        header[1] = Law::A.payload_type();
        header[2..4].copy_from_slice(&(self.packets as u16).to_be_bytes());
        header[4..8].copy_from_slice(&at.to_be_bytes());
        header[8..].copy_from_slice(&self.ssrc.to_be_bytes());
        for (octet, at) in payload.iter_mut().zip(at..) {
            *octet = noise::tone_octet(self.salt, at);
        }
        self.packets += 1;
        // What cannot be sent is missing where it is looked for.
        socket.send(&packet).ok();
        true
    }
}

/// One turn a millisecond, each with its share of the parts; what is late is made up for.
fn sing(taken: &Receiver<Part>) {
    let begin = Instant::now();
    let mut shares: [Vec<Part>; ROUND] = std::array::from_fn(|_| Vec::new());
    let mut given = 0;
    for turn in 0.. {
        loop {
            match taken.try_recv() {
                Ok(part) => shares[given % ROUND].push(part),
                Err(TryRecvError::Empty) => break,
                Err(TryRecvError::Disconnected) => return,
            }
            given += 1;
        }
        let due = begin + Duration::from_millis(turn);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        shares[turn as usize % ROUND].retain_mut(Part::go_on);
    }
}
