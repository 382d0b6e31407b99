//! A room: legs on one worker that hear each other. Once a beat every seat's sound is decoded and summed, and each listener
//! gets the sum without his own part; so a seat costs the same in a room of 3 and of 300.
//!
//! Rooms and [`seat::Seat`]s are made and dropped by the signalling task. Here nothing is allocated.

pub mod seat;

use std::net::SocketAddr;
use std::sync::Arc;

use super::leg::Scratch;
use super::port::MediaPort;
use crate::audio::clip::Clip;
use crate::audio::g711;
use crate::audio::mix::{self, Mix};
use crate::audio::resample::stream::{Resampler, UnsupportedRates};
use crate::call::media::Role;
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;

/// A room on a worker.
#[derive(Debug)]
pub struct Room {
    rate_hz: u32,
    /// The slots of the legs that sit here. Never grows beyond what it was made for.
    slots: Vec<u32>,
    mix: Mix,
    whispers: [Whisper; MOST_WHISPERS],
    whispering: usize,
    notice: Option<Notice>,
    /// Of clips, which are at 8 kHz.
    resampler: Resampler,
    narrow: [i16; NARROW],
    wide: Box<[i16]>,
}

/// What one says to one other.
#[derive(Debug)]
struct Whisper {
    to: LegId,
    sound: Box<[i16]>,
}

/// A clip that everybody hears.
#[derive(Debug)]
struct Notice {
    clip: Arc<Clip>,
    position: usize,
}

impl Room {
    /// An empty room that works at `rate_hz`: 8,000, 16,000 or 48,000.
    pub fn new(rate_hz: u32) -> Result<Room, UnsupportedRates> {
        let frame = frame(rate_hz);
        Ok(Room {
            rate_hz,
            slots: Vec::with_capacity(MOST_SEATS),
            mix: Mix::new(frame),
            whispers: std::array::from_fn(|_| Whisper {
                to: LegId::from_u128(0),
                sound: vec![0; frame].into_boxed_slice(),
            }),
            whispering: 0,
            notice: None,
            resampler: Resampler::new(8_000, rate_hz)?,
            narrow: [0; NARROW],
            wide: vec![0; frame * 2].into_boxed_slice(),
        })
    }

    /// The leg in this slot sits here from now on; `false` when the room is full.
    pub fn admit(&mut self, slot: u32) -> bool {
        if self.slots.contains(&slot) {
            return true;
        }
        if self.slots.len() == self.slots.capacity() {
            return false;
        }
        self.slots.push(slot);
        true
    }

    /// Takes over what is announced and those who sit in `before`, a room of another rate in the same place.
    pub fn succeed(&mut self, before: &mut Room) {
        std::mem::swap(&mut self.slots, &mut before.slots);
        std::mem::swap(&mut self.notice, &mut before.notice);
    }

    /// Everybody hears a clip beside the others; gives back the one that it replaces.
    pub fn announce(&mut self, clip: Arc<Clip>) -> Option<Arc<Clip>> {
        let notice = Notice { clip, position: 0 };
        self.notice.replace(notice).map(|notice| notice.clip)
    }

    /// 20 ms have passed: hands each leg's datagrams to `send`, each with room behind it. Gives back a clip that has ended.
    pub fn beat(
        &mut self,
        number: u32,
        now: Mono,
        ports: &mut [Option<Box<MediaPort>>],
        scratch: &mut Scratch,
        mut send: impl FnMut(u32, &mut MediaPort, &mut [u8], usize, SocketAddr),
    ) -> Option<Arc<Clip>> {
        self.gather(number, now, ports);
        let spent = self.add_notice();
        for &slot in &self.slots {
            let Some(port) = ports.get_mut(slot as usize).and_then(Option::as_mut) else {
                continue;
            };
            let Some(seat) = port.seat.as_mut().filter(|s| s.rate_hz() == self.rate_hz) else {
                continue;
            };
            let Some(packet_ms) = port.leg.room_packet_ms(seat.codec()) else {
                seat.discard();
                continue;
            };
            let id = port.leg.id();
            seat.hear(|own, out| {
                match own {
                    Some(own) => self.mix.without(own, out),
                    None => self.mix.whole(out),
                }
                let whispers = self.whispers.iter().take(self.whispering);
                for whisper in whispers.filter(|whisper| whisper.to == id) {
                    mix::add_to(out, &whisper.sound);
                }
            });
            while let Some(port) = ports.get_mut(slot as usize).and_then(Option::as_mut)
                && let Some(seat) = port.seat.as_mut()
                && let Some((bytes, ticks)) = seat.encode(packet_ms, scratch.payload_mut())
            {
                let made = seat.number(|| port.leg.begin_made());
                if let Some((length, to)) = port.leg.speak(now, made, bytes, ticks, scratch) {
                    send(slot, port, scratch.room(), length, to);
                }
            }
        }
        spent
    }

    /// Takes every seat's sound of this beat; who has left is forgotten.
    fn gather(&mut self, number: u32, now: Mono, ports: &mut [Option<Box<MediaPort>>]) {
        let Room {
            slots,
            mix,
            whispers,
            whispering,
            rate_hz,
            ..
        } = self;
        mix.begin(frame(*rate_hz));
        *whispering = 0;
        slots.retain(|slot| {
            let port = ports.get_mut(*slot as usize).and_then(Option::as_mut);
            let seat = port.and_then(|port| port.seat.as_mut());
            let Some(seat) = seat.filter(|seat| seat.room() == number) else {
                return false;
            };
            if seat.rate_hz() != *rate_hz {
                return true;
            }
            seat.pull(now);
            if !seat.speaks() {
                return true;
            }
            match seat.role() {
                Role::Member => mix.add(seat.sound()),
                Role::Listener => {}
                Role::Whisperer(to) => {
                    if let Some(whisper) = whispers.get_mut(*whispering) {
                        whisper.to = to;
                        whisper.sound.copy_from_slice(seat.sound());
                        *whispering += 1;
                    }
                }
            }
            true
        });
    }

    /// Adds the next 20 ms of what is announced; gives the clip back when it has ended.
    fn add_notice(&mut self) -> Option<Arc<Clip>> {
        let notice = self.notice.as_mut()?;
        let sound = notice
            .clip
            .pcmu()
            .get(notice.position..)
            .unwrap_or_default();
        if sound.is_empty() {
            return self.notice.take().map(|notice| notice.clip);
        }
        self.narrow.fill(0);
        for (sample, &code) in self.narrow.iter_mut().zip(sound) {
            *sample = g711::ulaw_decode(code);
        }
        notice.position += NARROW;
        let length = self.resampler.process(&self.narrow, &mut self.wide);
        // A resampler may hold a sample back at its beginning.
        let frame = frame(self.rate_hz);
        if let Some(rest) = self.wide.get_mut(length..frame) {
            rest.fill(0);
        }
        self.mix.add(self.wide.get(..frame).unwrap_or_default());
        None
    }
}

/// Samples of 20 ms.
fn frame(rate_hz: u32) -> usize {
    rate_hz as usize / 50
}

/// Legs in a room at most.
pub const MOST_SEATS: usize = 512;
/// Those who whisper at once.
const MOST_WHISPERS: usize = 8;
/// Samples of 20 ms at the rate of clips.
const NARROW: usize = 160;
