//! A room: legs on one worker that hear each other. Once a beat every seat's sound is decoded and summed, and each listener
//! gets the sum without his own part; so a seat costs the same in a room of 3 and of 300. What those hear who say nothing is
//! the same for all of them, and is encoded once for each codec.
//!
//! Rooms and [`seat::Seat`]s are made and dropped by the signalling task. Here nothing is allocated.

pub mod broadcast;
pub mod parting;
pub mod seat;

use std::net::SocketAddr;
use std::sync::Arc;

use self::broadcast::Broadcast;
use super::leg::Scratch;
use super::port::MediaPort;
use crate::audio::clip::Clip;
use crate::audio::mix::{self, Mix};
use crate::audio::resample::stream::{Resampler, UnsupportedRates};
use crate::call::media::Role;
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::sdp::codec::Codec;

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
    /// From each rate that clips have.
    resamplers: [Resampler; 3],
    announced: Box<[i16]>,
    /// For those who only listen, one for each codec that enough of them speak.
    broadcasts: [Option<Box<Broadcast>>; CODECS],
    /// What they hear.
    whole: Box<[i16]>,
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
            resamplers: [
                Resampler::new(8_000, rate_hz)?,
                Resampler::new(16_000, rate_hz)?,
                Resampler::new(48_000, rate_hz)?,
            ],
            announced: vec![0; frame * 2].into_boxed_slice(),
            broadcasts: [const { None }; CODECS],
            whole: vec![0; frame].into_boxed_slice(),
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

    /// Those who only listen hear what this encodes from now on; gives back what is not needed.
    pub fn share(&mut self, broadcast: Box<Broadcast>) -> Option<Box<Broadcast>> {
        let fits = broadcast.rate_hz() == self.rate_hz;
        let mut places = self.broadcasts.iter_mut();
        match places.find(|place| place.is_none()) {
            Some(place) if fits => place.replace(broadcast),
            _ => Some(broadcast),
        }
    }

    /// Changes the effort of Opus for those who only listen, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        for broadcast in self.broadcasts.iter_mut().flatten() {
            broadcast.encoder().set_complexity(complexity);
        }
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
        self.mix.whole(&mut self.whole);
        for broadcast in self.broadcasts.iter_mut().flatten() {
            broadcast.begin();
        }
        let Room {
            slots,
            mix,
            whispers,
            whispering,
            broadcasts,
            whole,
            rate_hz,
            ..
        } = self;
        for &slot in &*slots {
            let Some(port) = ports.get_mut(slot as usize).and_then(Option::as_mut) else {
                continue;
            };
            let Some(seat) = port.seat.as_mut().filter(|s| s.rate_hz() == *rate_hz) else {
                continue;
            };
            let Some(packet_ms) = port.leg.room_packet_ms(seat.codec()) else {
                seat.discard();
                continue;
            };
            let id = port.leg.id();
            let whispers = whispers.iter().take(*whispering);
            let mut whispers = whispers.filter(|whisper| whisper.to == id).peekable();
            let codec = seat.codec();
            let mut shared = broadcasts.iter_mut().flatten();
            if let Some(shared) = shared.find(|shared| shared.codec() == codec) {
                let hears_all = !seat.is_in_sum() && whispers.peek().is_none();
                let hears_all = hears_all && packet_ms == broadcast::PACKET_MS;
                if seat.shares(hears_all, mix.voices() == 0, shared) {
                    let made = seat.number(|| port.leg.begin_made());
                    let packet = shared.packet(whole);
                    let ticks = codec.clock_rate() / 1000 * packet_ms;
                    if !packet.is_empty()
                        && let Some((length, to)) =
                            port.leg.speak_as_is(now, made, packet, ticks, scratch)
                    {
                        send(slot, port, scratch.room(), length, to);
                    }
                    continue;
                }
            }
            seat.hear(|own, out| {
                match own {
                    Some(own) => mix.without(own, out),
                    None => out.copy_from_slice(whole),
                }
                for whisper in whispers {
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
        let clip = &notice.clip;
        let sound = clip.samples().get(notice.position..).unwrap_or_default();
        if sound.is_empty() {
            return self.notice.take().map(|notice| notice.clip);
        }
        let wanted = self::frame(clip.rate_hz());
        let sound = sound.get(..wanted).unwrap_or(sound);
        notice.position += wanted;
        let mut resamplers = self.resamplers.iter_mut();
        let resampler = resamplers.find(|one| one.from_hz() == clip.rate_hz());
        let length = resampler.map_or(0, |one| one.process(sound, &mut self.announced));
        // The clip's end, or a sample that a resampler holds back at its beginning.
        let frame = frame(self.rate_hz);
        if let Some(rest) = self.announced.get_mut(length..frame) {
            rest.fill(0);
        }
        self.mix
            .add(self.announced.get(..frame).unwrap_or_default());
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
/// Codecs that may be encoded for all.
const CODECS: usize = Codec::ALL.len();

#[cfg(test)]
mod tests;
