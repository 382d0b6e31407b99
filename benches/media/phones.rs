//! The phones: two for each call, each with a socket, something to say and, where media is protected, its keys.

use std::collections::HashSet;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::AsRawFd;

use vats::rtp::srtp::{Mki, Protect, Unprotect};
use vats::sdp::negotiate::Codec;

use super::LOOPBACK;
use super::scenario::Scenario;
use super::speech::Speech;

/// All phones of a measurement.
pub struct Phones {
    pub sockets: Vec<UdpSocket>,
    pub addresses: Vec<SocketAddr>,
    scenario: Scenario,
    speeches: Vec<Speech>,
    protects: Vec<Option<Protect>>,
}

impl Phones {
    pub fn new(scenario: Scenario, count: usize) -> io::Result<Phones> {
        let sockets = sockets(count)?;
        let addresses = sockets.iter().map(UdpSocket::local_addr);
        let codecs = HashSet::from([scenario.codec(0), scenario.codec(1)]);
        let speeches = codecs
            .into_iter()
            .map(|codec| Speech::new(codec, scenario.quieter()));
        let protect = |phone| match scenario.keys(phone) {
            Some(keys) => Protect::new(&keys.receive)
                .map(Some)
                .map_err(io::Error::other),
            None => Ok(None),
        };
        Ok(Phones {
            addresses: addresses.collect::<io::Result<_>>()?,
            scenario,
            speeches: speeches.collect::<io::Result<_>>()?,
            protects: (0..count).map(protect).collect::<io::Result<_>>()?,
            sockets,
        })
    }

    /// The kernel drops what has no room in these.
    pub fn ports(&self) -> HashSet<u16> {
        self.addresses.iter().map(SocketAddr::port).collect()
    }

    /// What a phone says in a frame.
    pub fn words(&self, phone: usize, frame: u32, loud: bool) -> io::Result<&[u8]> {
        let speech = self.speech(self.scenario.codec(phone))?;
        Ok(match loud {
            true => &speech.mark,
            false => speech.packet(phone, frame),
        })
    }

    /// Writes a phone's packet of a frame; its length.
    pub fn write(
        &mut self,
        phone: usize,
        frame: u32,
        loud: bool,
        room: &mut [u8],
    ) -> io::Result<usize> {
        let codec = self.scenario.codec(phone);
        let words = self.words(phone, frame, loud)?;
        let length = HEADER + words.len();
        room[HEADER..length].copy_from_slice(words);
        room[..2].copy_from_slice(&[0x80, codec.usual_payload_type()]);
        room[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
        let timestamp = frame * (codec.clock_rate() / 50);
        room[4..8].copy_from_slice(&timestamp.to_be_bytes());
        room[8..12].copy_from_slice(&(phone as u32 + 1).to_be_bytes());
        match &mut self.protects[phone] {
            Some(protect) => protect.rtp(room, length).map_err(io::Error::other),
            None => Ok(length),
        }
    }

    /// Whether a phone that hears `packet` as the nth can make out what its partner said as the nth. Of protected packets
    /// only the first is opened.
    pub fn understands(&self, phone: usize, frame: u32, packet: &[u8]) -> io::Result<bool> {
        let partner = phone ^ 1;
        if self.scenario.codec(phone) != self.scenario.codec(partner) {
            return Ok(packet.len() > HEADER);
        }
        let words = self.words(partner, frame, false)?;
        let Some(keys) = self.scenario.keys(phone).filter(|_| frame == 0) else {
            return Ok(packet.len() > HEADER + words.len() || packet.get(HEADER..) == Some(words));
        };
        let mut opened = packet.to_vec();
        let none = Mki::new(&[]).ok_or(io::ErrorKind::InvalidInput)?;
        let mut unprotect = Unprotect::new(&keys.send, &none).map_err(io::Error::other)?;
        let length = unprotect.rtp(&mut opened).map_err(io::Error::other)?;
        Ok(opened.get(HEADER..length) == Some(words))
    }

    fn speech(&self, codec: Codec) -> io::Result<&Speech> {
        let mut speeches = self.speeches.iter();
        let found = speeches.find(|speech| speech.codec == codec);
        found.ok_or_else(|| io::Error::other("nothing to say"))
    }
}

/// Sockets whose packets the kernel stamps as they arrive.
pub fn sockets(count: usize) -> io::Result<Vec<UdpSocket>> {
    let stamped = |_| {
        let socket = UdpSocket::bind((LOOPBACK, 0))?;
        socket.set_nonblocking(true)?;
        let on: libc::c_int = 1;
        // SAFETY: `on` lives through the call and has the length given.
        let result = unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_TIMESTAMPNS,
                (&raw const on).cast(),
                size_of::<libc::c_int>() as u32,
            )
        };
        match result {
            0 => Ok(socket),
            _ => Err(io::Error::last_os_error()),
        }
    };
    (0..count).map(stamped).collect()
}

/// Bytes of an RTP header.
pub const HEADER: usize = 12;
