//! An RTP peer: sends 20 ms of G.711 with a tone, presses keys (RFC 4733), keeps what it hears.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::task::JoinHandle;

use super::free_port;
use super::sound::{Law, tone_sample};

const EVENTS: u8 = 101;

/// One received packet.
#[derive(Clone, Debug)]
pub struct Packet {
    /// Its payload type.
    pub payload_type: u8,
    /// Its sequence number.
    pub sequence: u16,
    /// Its timestamp.
    pub timestamp: u32,
    /// Its source.
    pub ssrc: u32,
    /// What it carries.
    pub payload: Vec<u8>,
}

#[derive(Default)]
struct Inner {
    target: Option<SocketAddr>,
    tone: Option<f64>,
    keys: VecDeque<char>,
    heard: Vec<Packet>,
}

/// The peer. It sends to where the first packet came from, or where `send_to` says. Stops when dropped.
pub struct RtpPeer {
    /// Where it listens.
    pub address: SocketAddr,
    law: Law,
    inner: Arc<Mutex<Inner>>,
    tasks: Vec<JoinHandle<()>>,
}

impl RtpPeer {
    /// Listens on a free port of `ip`.
    pub async fn open(ip: IpAddr, law: Law) -> RtpPeer {
        let address = SocketAddr::new(ip, free_port(ip));
        let socket = Arc::new(UdpSocket::bind(address).await.unwrap());
        let inner = Arc::new(Mutex::new(Inner::default()));
        let tasks = vec![
            tokio::spawn(receive(socket.clone(), inner.clone())),
            tokio::spawn(send(socket, inner.clone(), law)),
        ];
        RtpPeer {
            address,
            law,
            inner,
            tasks,
        }
    }

    /// Where it listens, as scenarios want it.
    pub fn place(&self) -> (IpAddr, u16) {
        (self.address.ip(), self.address.port())
    }

    /// Where to send.
    pub fn send_to(&self, target: SocketAddr) {
        self.inner.lock().unwrap().target = Some(target);
    }

    /// The tone to send from now on; `None`: nothing at all is sent.
    pub fn tone(&self, hertz: Option<f64>) {
        self.inner.lock().unwrap().tone = hertz;
    }

    /// Presses a key for 100 ms.
    pub fn press(&self, key: char) {
        self.inner.lock().unwrap().keys.push_back(key);
    }

    /// Everything heard so far, in order of arrival.
    pub fn heard(&self) -> Vec<Packet> {
        self.inner.lock().unwrap().heard.clone()
    }

    /// The audio heard, placed by RTP timestamp; what is missing is silence. Streams of different sources follow one another.
    pub fn audio(&self) -> Vec<i16> {
        let mut samples: Vec<i16> = Vec::new();
        let mut anchor: Option<(u32, u32, usize)> = None;
        for packet in self.heard() {
            if packet.payload_type != self.law.payload_type() {
                continue;
            }
            let (_, first, base) = match anchor {
                Some(known) if known.0 == packet.ssrc => known,
                _ => (packet.ssrc, packet.timestamp, samples.len()),
            };
            anchor = Some((packet.ssrc, first, base));
            let offset = packet.timestamp.wrapping_sub(first) as usize;
            if offset > 8_000 * 600 {
                continue;
            }
            let start = base + offset;
            let end = start + packet.payload.len();
            if samples.len() < end {
                samples.resize(end, 0);
            }
            for (place, octet) in samples[start..end].iter_mut().zip(&packet.payload) {
                *place = self.law.decode(*octet);
            }
        }
        samples
    }
}

impl Drop for RtpPeer {
    fn drop(&mut self) {
        for task in &self.tasks {
            task.abort();
        }
    }
}

async fn receive(socket: Arc<UdpSocket>, inner: Arc<Mutex<Inner>>) {
    let mut buffer = [0u8; 2_048];
    while let Ok((length, from)) = socket.recv_from(&mut buffer).await {
        let packet = &buffer[..length];
        // Version 2, not RTCP (RFC 5761).
        if length < 12 || packet[0] >> 6 != 2 || (192..224).contains(&packet[1]) {
            continue;
        }
        let number = |at: usize| u32::from_be_bytes(packet[at..at + 4].try_into().unwrap());
        let header = 12 + 4 * usize::from(packet[0] & 15);
        let mut inner = inner.lock().unwrap();
        inner.target.get_or_insert(from);
        inner.heard.push(Packet {
            payload_type: packet[1] & 127,
            sequence: u16::from_be_bytes([packet[2], packet[3]]),
            timestamp: number(4),
            ssrc: number(8),
            payload: packet[header.min(length)..].to_vec(),
        });
    }
}

async fn send(socket: Arc<UdpSocket>, inner: Arc<Mutex<Inner>>, law: Law) {
    let table: Vec<u8> = (i16::MIN..=i16::MAX)
        .step_by(16)
        .map(|s| law.encode(s))
        .collect();
    let mut clock = tokio::time::interval(Duration::from_millis(20));
    let ssrc = std::process::id() ^ u32::from(socket.local_addr().unwrap().port()) << 8;
    let (mut sequence, mut timestamp) = (0u16, 0u32);
    // The key being pressed: its event code, when it began, packets sent.
    let mut pressing: Option<(u8, u32, u16)> = None;
    loop {
        clock.tick().await;
        let (target, tone) = {
            let mut inner = inner.lock().unwrap();
            if inner.target.is_some() && pressing.is_none() {
                let key = inner.keys.pop_front();
                pressing = key.map(|key| (event_code(key), timestamp, 0));
            }
            (inner.target, inner.tone)
        };
        let (marker, kind, at, payload) = match &mut pressing {
            Some((code, began, count)) => {
                *count += 1;
                let payload = event_payload(*code, *count);
                (*count == 1, EVENTS, *began, payload)
            }
            None => {
                let samples = (0..160).map(|i| tone_sample(tone.unwrap_or(0.0), timestamp + i));
                let payload = samples
                    .map(|s| table[usize::from((i32::from(s) + 32_768) as u16 / 16)])
                    .collect();
                (false, law.payload_type(), timestamp, payload)
            }
        };
        if pressing.is_some_and(|(_, _, count)| count >= 8) {
            pressing = None;
        }
        timestamp = timestamp.wrapping_add(160);
        let Some(target) = target.filter(|_| tone.is_some() || kind == EVENTS) else {
            continue;
        };
        let mut packet = vec![0x80, kind | u8::from(marker) << 7];
        packet.extend(sequence.to_be_bytes());
        packet.extend(at.to_be_bytes());
        packet.extend(ssrc.to_be_bytes());
        packet.extend(payload);
        sequence = sequence.wrapping_add(1);
        socket.send_to(&packet, target).await.ok();
    }
}

/// RFC 4733 §2.3: five packets of a growing event, then its end three times.
fn event_payload(code: u8, count: u16) -> Vec<u8> {
    let end = count > 5;
    let duration = count.min(5) * 160;
    let mut payload = vec![code, 10 | u8::from(end) << 7];
    payload.extend(duration.to_be_bytes());
    payload
}

fn event_code(key: char) -> u8 {
    match key {
        '*' => 10,
        '#' => 11,
        digit => u8::try_from(digit.to_digit(10).expect("a key")).unwrap(),
    }
}
