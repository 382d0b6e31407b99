//! What the phones hear: how much of it, how late, and whether it is what was said.

use std::io;
use std::net::UdpSocket;
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use vats::audio::g711;
use vats::media::io::epoll::Poller;

use super::phones::{HEADER, Phones};
use super::scenario::Hearing;

/// All phones' ears. Nothing is allocated while they hear.
pub struct Ears {
    poller: Poller,
    hearing: Hearing,
    /// From this frame on delays are kept.
    warm: u32,
    heard: Vec<Heard>,
    /// Of each phone, the frames that it sent last, and when.
    sent: Vec<[(u32, u64); KEPT]>,
    /// Of each room, how many marks there were, and when the last was sent.
    marks: Vec<(u32, u64)>,
    /// In nanoseconds.
    delays: Vec<u32>,
    /// The phone, and how far a packet was from where the even beat after the first has it.
    beats: Vec<(u32, i64)>,
}

/// What a phone heard so far.
#[derive(Copy, Clone, Default)]
struct Heard {
    packets: u64,
    /// Packets that are not what was said.
    wrong: u64,
    /// The first sequence number, and when it came.
    first: Option<(u16, u64)>,
    /// How far the highest number is from it.
    highest: u32,
    /// The last mark of its room that it heard.
    mark: u32,
}

/// All that was heard.
pub struct Catch {
    pub heard: u64,
    pub wrong: u64,
    /// What should have been heard, by the numbers of the packets that were.
    pub numbered: u64,
    pub delays: Vec<u32>,
}

/// A packet, as the kernel gave it.
struct Got {
    length: usize,
    arrived: u64,
}

impl Ears {
    pub fn new(phones: &Phones, hearing: Hearing, warm: u32, frames: u32) -> io::Result<Ears> {
        let poller = Poller::new(1024)?;
        for (index, phone) in phones.sockets.iter().enumerate() {
            poller.add(phone.as_fd(), index as u64)?;
        }
        let count = phones.sockets.len();
        let most = count * (frames as usize + 10);
        let beats = if hearing == Hearing::Evenly { most } else { 0 };
        Ok(Ears {
            poller,
            hearing,
            warm,
            heard: vec![Heard::default(); count],
            sent: vec![[(u32::MAX, 0); KEPT]; count],
            marks: vec![(0, 0); count],
            delays: Vec::with_capacity(most - beats),
            beats: Vec::with_capacity(beats),
        })
    }

    /// A phone sends at this moment.
    pub fn note(&mut self, phone: usize, frame: u32, loud: bool, now: u64) {
        self.sent[phone][frame as usize % KEPT] = (frame, now);
        if let (Hearing::Marks(seats), true) = (self.hearing, loud) {
            let (number, time) = &mut self.marks[phone / seats];
            (*number, *time) = (*number + 1, now);
        }
    }

    /// Takes in all that is there.
    pub fn hear(&mut self, phones: &Phones) -> io::Result<()> {
        let mut room = [0; 1_500];
        loop {
            let told = self.poller.wait(Duration::ZERO)?;
            if told == 0 {
                return Ok(());
            }
            for event in 0..told {
                let Some(phone) = self.poller.token(event).map(|token| token as usize) else {
                    continue;
                };
                while let Some(got) = receive(&phones.sockets[phone], &mut room) {
                    let packet = &room[..got.length];
                    // Reports come on the same port.
                    if packet.len() >= HEADER && !(200..=207).contains(&packet[1]) {
                        self.take(phones, phone, packet, got.arrived)?;
                    }
                }
            }
        }
    }

    fn take(
        &mut self,
        phones: &Phones,
        phone: usize,
        packet: &[u8],
        arrived: u64,
    ) -> io::Result<()> {
        let heard = &mut self.heard[phone];
        let sequence = u16::from_be_bytes([packet[2], packet[3]]);
        let (first, began) = *heard.first.get_or_insert((sequence, arrived));
        let frame = u32::from(sequence.wrapping_sub(first));
        heard.packets += 1;
        heard.highest = heard.highest.max(frame);
        match self.hearing {
            Hearing::Partner => {
                heard.wrong += u64::from(!phones.understands(phone, frame, packet)?);
                let (sent, time) = self.sent[phone ^ 1][frame as usize % KEPT];
                if sent == frame && frame >= self.warm {
                    self.delays.push(clamped(arrived.saturating_sub(time)));
                }
            }
            Hearing::Marks(seats) => {
                let room = (phone / seats).min((self.heard.len() / seats).max(1) - 1);
                let (number, time) = self.marks[room];
                let is_new = number > self.heard[phone].mark && !phone.is_multiple_of(seats);
                let at = packet[HEADER..].iter().position(|code| is_loud(*code));
                if let Some(at) = at.filter(|_| is_new) {
                    self.heard[phone].mark = number;
                    // The samples before it in the packet are played first.
                    let delay = arrived.saturating_sub(time) + at as u64 * 125_000;
                    self.delays.push(clamped(delay));
                }
            }
            Hearing::Evenly => {
                let due = began + u64::from(frame) * 20_000_000;
                if frame >= self.warm {
                    self.beats.push((phone as u32, arrived as i64 - due as i64));
                }
            }
        }
        Ok(())
    }

    /// All that was heard.
    pub fn catch(mut self) -> Catch {
        let mut earliest = vec![i64::MAX; self.heard.len()];
        for (phone, off) in &self.beats {
            let least = &mut earliest[*phone as usize];
            *least = (*least).min(*off);
        }
        let beats = self.beats.iter();
        let late = beats.map(|(phone, off)| clamped((off - earliest[*phone as usize]) as u64));
        self.delays.extend(late);
        let numbered = |heard: &Heard| heard.first.map_or(0, |_| u64::from(heard.highest) + 1);
        Catch {
            heard: self.heard.iter().map(|heard| heard.packets).sum(),
            wrong: self.heard.iter().map(|heard| heard.wrong).sum(),
            numbered: self.heard.iter().map(numbered).sum(),
            delays: self.delays,
        }
    }
}

fn clamped(nanos: u64) -> u32 {
    u32::try_from(nanos).unwrap_or(u32::MAX)
}

fn is_loud(code: u8) -> bool {
    g711::alaw_decode(code).unsigned_abs() > 14_000
}

/// `None` when there is nothing.
fn receive(phone: &UdpSocket, room: &mut [u8]) -> Option<Got> {
    let mut control = [0u64; 16];
    let mut part = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    // SAFETY: the structure is plain numbers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all that the header points to lives through the call and has the lengths given.
    let length = unsafe { libc::recvmsg(phone.as_raw_fd(), &mut message, 0) };
    let length = usize::try_from(length).ok()?;
    // SAFETY: the kernel filled the control room, which is aligned, and set its length; the one header in it carries a
    // timespec, since no other option is set.
    let time = unsafe {
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() {
            return None;
        }
        libc::CMSG_DATA(header)
            .cast::<libc::timespec>()
            .read_unaligned()
    };
    Some(Got {
        length,
        arrived: time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64,
    })
}

/// Frames of which it is known when they were sent: more than a second.
const KEPT: usize = 64;
