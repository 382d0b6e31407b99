//! A leg's seat in a room: what it says comes through a jitter buffer and a decoder, what it hears goes through an encoder.

use std::time::Duration;

use super::broadcast::Broadcast;
use crate::audio::concealment::Concealer;
use crate::audio::crossfade;
use crate::audio::pace::{self, Care};
use crate::audio::voice::{Decoder, Encoder, VoiceError, most_samples};
use crate::call::media::Role;
use crate::ledger::clock::Mono;
use crate::media::recent::Recent;
use crate::rtp::jitter_buffer::Tally;
use crate::rtp::jitter_buffer::{Arrived, JitterBuffer, Kept, Pace, Take};
use crate::rtp::packet::Packet;
use crate::sdp::codec::Codec;

/// A leg's seat. Made by the signalling task, which gets it back.
#[derive(Debug)]
pub struct Seat {
    room: u32,
    role: Role,
    codec: Codec,
    rate_hz: u32,
    buffer: JitterBuffer,
    /// One for each codec that the far side may send.
    decoders: Vec<Decoder>,
    concealer: Concealer,
    /// Decoded and not heard yet.
    ahead: Box<[i16]>,
    filled: usize,
    /// What was said in this beat.
    sound: Box<[i16]>,
    /// For so many beats it still counts as speaking.
    hangover: u32,
    encoder: Encoder,
    /// What it is to hear and is not encoded yet.
    heard: Box<[i16]>,
    waiting: usize,
    /// Tells its packets from what else is made for the leg.
    number: Option<u64>,
    /// For so many beats it has said nothing and heard what all do.
    listens: u32,
    /// It hears what is encoded for all.
    shares: bool,
    /// Packets of the buffer that were told as too late.
    told_late: u64,
}

/// How a seat's buffer does.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Buffered {
    /// Packets that came too late to be played, since this was last asked.
    pub late: u64,
    /// How long after the fastest packets' arrival sound is played.
    pub delay: Duration,
}

impl Seat {
    /// A seat in the room of this number for a leg that speaks `codec`, in a room that works at `rate_hz`.
    pub fn new(room: u32, role: Role, codec: Codec, rate_hz: u32) -> Result<Seat, VoiceError> {
        let clock_rate = codec.clock_rate();
        let spoken = Codec::ALL.into_iter().filter(|&other| {
            // A far side may take the other law of G.711, which its offer named, at any time.
            other == codec
                || (other.static_payload_type().is_some() && other.clock_rate() == clock_rate)
        });
        let frame = rate_hz as usize / 50;
        let payload = if codec == Codec::Opus { 1276 } else { 480 };
        Ok(Seat {
            room,
            role,
            codec,
            rate_hz,
            buffer: JitterBuffer::new(clock_rate, PACKETS, payload),
            decoders: spoken
                .map(|codec| Decoder::new(codec, rate_hz))
                .collect::<Result<_, _>>()?,
            concealer: Concealer::new(rate_hz),
            ahead: vec![0; 3 * frame + most_samples(rate_hz)].into_boxed_slice(),
            filled: 0,
            sound: vec![0; frame].into_boxed_slice(),
            hangover: 0,
            encoder: Encoder::new(codec, rate_hz)?,
            heard: vec![0; frame + most_samples(rate_hz)].into_boxed_slice(),
            waiting: 0,
            number: None,
            listens: 0,
            shares: false,
            told_late: 0,
        })
    }

    /// The number of its room.
    pub fn room(&self) -> u32 {
        self.room
    }

    /// Who hears it.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Changes who hears it.
    pub fn set_role(&mut self, role: Role) {
        self.role = role;
    }

    /// What its leg speaks.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The rate of its room.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Takes over what the leg's seat before this one had received.
    pub fn succeed(&mut self, before: &mut Seat) {
        if self.buffer.clock_rate() == before.buffer.clock_rate() {
            std::mem::swap(&mut self.buffer, &mut before.buffer);
            std::mem::swap(&mut self.told_late, &mut before.told_late);
        }
        self.number = before.number;
        self.filled = carry(
            &before.ahead[..before.filled],
            before.rate_hz,
            &mut self.ahead,
            self.rate_hz,
        );
        self.waiting = carry(
            &before.heard[..before.waiting],
            before.rate_hz,
            &mut self.heard,
            self.rate_hz,
        );
    }

    /// The leg was heard without a room until `now`: its sound goes on from there.
    pub fn prime(&mut self, now: Mono, recent: &Recent) {
        for (codec, payload) in recent.packets(now) {
            let Some(decoder) = self.decoders.iter_mut().find(|d| d.codec() == codec) else {
                continue;
            };
            let length = decoder.decode(payload, &mut self.ahead);
            if codec != Codec::Opus {
                self.concealer.heard(&mut self.ahead[..length]);
            }
        }
    }

    /// The leg said something; `false`: it came too late, or is nothing that can be kept.
    pub fn take_in(&mut self, arrival: Mono, packet: &Packet<'_>, codec: Codec) -> bool {
        let Some(kind) = self.decoders.iter().position(|d| d.codec() == codec) else {
            return false;
        };
        let arrived = Arrived {
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            marker: packet.marker,
            kind: kind as u8,
            payload: packet.payload,
        };
        matches!(
            self.buffer.insert(arrival, arrived),
            Kept::Kept | Kept::Duplicate
        )
    }

    /// The next packet that was received and not heard, for somebody else to play.
    pub fn drain(&mut self) -> Option<(Packet<'_>, Codec)> {
        let arrived = self.buffer.drain()?;
        let codec = self.decoders.get(usize::from(arrived.kind))?.codec();
        let packet = Packet {
            payload_type: codec.usual_payload_type(),
            marker: arrived.marker,
            sequence: arrived.sequence,
            timestamp: arrived.timestamp,
            ssrc: arrived.ssrc,
            payload: arrived.payload,
        };
        Some((packet, codec))
    }

    /// Is to hear what another has said here and nobody has heard yet.
    pub fn hear_rest_of(&mut self, other: &Seat) {
        let rest = &other.ahead[..other.filled];
        let room = self.heard.get_mut(self.waiting..).unwrap_or_default();
        let length = rest.len().min(room.len());
        room[..length].copy_from_slice(&rest[..length]);
        self.waiting += length;
    }

    /// What the leg itself has said and nobody has heard is heard otherwise.
    pub fn forget_rest(&mut self) {
        self.filled = 0;
    }

    /// Encodes what is left to hear, in packets as short as need be, filled up to whole milliseconds (with Opus to ten of
    /// them): each one's bytes in `payload`, and its length in ticks.
    pub fn encode_rest(&mut self, payload: &mut [u8]) -> Option<(usize, u32)> {
        let milli = self.rate_hz as usize / 1000;
        let left = self.waiting.div_ceil(milli);
        let packet_ms = match (left, self.codec) {
            (0, _) => return None,
            (1..=10, Codec::Opus) => 10,
            (_, Codec::Opus) => 20,
            (left, _) => left.min(60),
        };
        let samples = packet_ms * milli;
        if let Some(short) = self.heard.get_mut(self.waiting..samples) {
            short.fill(0);
            self.waiting = samples;
        }
        self.encode(packet_ms as u32, payload)
    }

    /// How its buffer does.
    pub fn buffered(&mut self, now: Mono) -> Buffered {
        let Tally {
            late, overflowed, ..
        } = self.buffer.tally();
        let all = late + overflowed;
        let new = all.saturating_sub(self.told_late);
        self.told_late = all;
        let delay = self.buffer.delay_micros(now, self.ticks(self.filled));
        Buffered {
            late: new,
            delay: Duration::from_micros(u64::try_from(delay).unwrap_or(0)),
        }
    }

    /// Changes Opus's effort, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        self.encoder.set_complexity(complexity);
    }

    /// Whether it hears this beat what is encoded for all: it does when it has said nothing for a while, from a moment on in
    /// which nobody says anything (`is_silent`), so that the change of encoders is not heard; after [`LONG`] at the latest.
    pub fn shares(&mut self, hears_all: bool, is_silent: bool, shared: &mut Broadcast) -> bool {
        if !hears_all {
            if self.shares {
                self.encoder.follow(shared.encoder());
            }
            (self.listens, self.shares) = (0, false);
            return false;
        }
        self.listens = self.listens.saturating_add(1);
        let may = self.listens >= LONG || (is_silent && self.listens >= A_WHILE);
        if may && !self.shares {
            shared.take_over(&self.encoder);
            (self.shares, self.waiting) = (true, 0);
        }
        self.shares
    }

    /// Gets the 20 ms that are said now.
    pub fn pull(&mut self, now: Mono) {
        let frame = self.sound.len();
        while self.filled < frame {
            self.fill(now, frame);
        }
        self.sound.copy_from_slice(&self.ahead[..frame]);
        self.ahead.copy_within(frame..self.filled, 0);
        self.filled -= frame;
        let peak = self.sound.iter().map(|sample| sample.unsigned_abs()).max();
        self.hangover = match peak {
            Some(peak) if peak >= AUDIBLE => HANGOVER,
            _ => self.hangover.saturating_sub(1),
        };
    }

    /// What was pulled.
    pub fn sound(&self) -> &[i16] {
        &self.sound
    }

    /// Whether that was put into the sum.
    pub fn is_in_sum(&self) -> bool {
        self.role == Role::Member && self.speaks()
    }

    /// Whether that is more than silence.
    pub fn speaks(&self) -> bool {
        self.hangover > 0
    }

    /// Takes 20 ms to hear: `mix` gets what the leg itself put into the sum, if it did, and where to put it.
    pub fn hear(&mut self, mix: impl FnOnce(Option<&[i16]>, &mut [i16])) {
        let frame = self.sound.len();
        if self.waiting + frame > self.heard.len() {
            self.waiting = 0;
        }
        let own = self.is_in_sum().then_some(&*self.sound);
        if let Some(out) = self.heard.get_mut(self.waiting..self.waiting + frame) {
            mix(own, out);
            self.waiting += frame;
        }
    }

    /// Encodes the next packet of `packet_ms` if there is enough to hear: its bytes in `payload`, and its length in ticks.
    pub fn encode(&mut self, packet_ms: u32, payload: &mut [u8]) -> Option<(usize, u32)> {
        let samples = self.rate_hz as usize / 1000 * packet_ms as usize;
        if samples == 0 || self.waiting < samples {
            return None;
        }
        let bytes = self.encoder.encode(self.heard.get(..samples)?, payload);
        self.heard.copy_within(samples..self.waiting, 0);
        self.waiting -= samples;
        (bytes > 0).then(|| (bytes, self.codec.clock_rate() / 1000 * packet_ms))
    }

    /// Forgets what was to be heard: the leg hears something else.
    pub fn discard(&mut self) {
        self.waiting = 0;
    }

    /// Tells its packets from what else is made for the leg.
    pub fn number(&mut self, new: impl FnOnce() -> u64) -> u64 {
        *self.number.get_or_insert_with(new)
    }

    /// Decodes or makes up the next piece.
    fn fill(&mut self, now: Mono, frame: usize) {
        let missing = frame - self.filled;
        let wanted = self.ticks(missing);
        let pace = self.buffer.pace(now);
        let (rate, clock_rate) = (self.rate_hz as usize, self.buffer.clock_rate() as usize);
        let room = &mut self.ahead[self.filled..];
        let is_opus = self.codec == Codec::Opus;
        match self.buffer.take(now, wanted) {
            Take::Packet(packet) => {
                let decoder = self.decoders.get_mut(usize::from(packet.kind));
                let length = decoder.map_or(0, |decoder| decoder.decode(packet.payload, room));
                if length == 0 {
                    self.make_up(missing);
                    return;
                }
                let ticks = length * clock_rate / rate;
                self.buffer.lasted(u32::try_from(ticks).unwrap_or(wanted));
                if !is_opus {
                    self.concealer.heard(&mut room[..length]);
                }
                self.filled += match pace {
                    Pace::Steady => length,
                    Pace::Slower => pace::lengthen(room, length, self.rate_hz, Care::Careful),
                    Pace::Faster => pace::shorten(&mut room[..length], self.rate_hz, Care::Careful),
                    Pace::MuchFaster => {
                        pace::shorten(&mut room[..length], self.rate_hz, Care::Hasty)
                    }
                };
            }
            Take::Lost { ticks, next } => {
                let length = (ticks as usize * rate / clock_rate).clamp(1, room.len());
                if is_opus
                    && let Some(next) = next
                    && let Some(decoder) = self.decoders.get_mut(usize::from(next.kind))
                    && decoder.decode_fec(next.payload, &mut room[..length]) == length
                {
                    self.filled += length;
                    return;
                }
                self.make_up(length);
            }
            Take::Nothing => self.make_up(missing),
        }
    }

    /// Makes up so many samples.
    fn make_up(&mut self, length: usize) {
        let room = &mut self.ahead[self.filled..];
        if self.codec == Codec::Opus {
            // Opus makes up whole pieces of 2.5 ms.
            let piece = self.rate_hz as usize / 400;
            let length = length.div_ceil(piece) * piece;
            let room = &mut room[..length];
            let decoder = self.decoders.iter_mut().find(|d| d.codec() == Codec::Opus);
            let made = decoder.map_or(0, |decoder| decoder.conceal(room));
            room[made.min(length)..].fill(0);
            self.filled += length;
        } else {
            self.concealer.conceal(&mut room[..length]);
            self.filled += length;
        }
    }

    /// So many samples in ticks of the far side's clock.
    fn ticks(&self, samples: usize) -> u32 {
        let ticks = samples * self.buffer.clock_rate() as usize / self.rate_hz as usize;
        u32::try_from(ticks).unwrap_or(1).max(1)
    }
}

/// Takes sound over from a room of another rate: roughly, as it is a few milliseconds at most.
fn carry(sound: &[i16], from_hz: u32, room: &mut [i16], to_hz: u32) -> usize {
    let (from, to) = (from_hz as usize, to_hz.max(1) as usize);
    let length = (sound.len() * to / from.max(1)).min(room.len());
    for (n, place) in room.iter_mut().take(length).enumerate() {
        let (whole, part) = (n * from / to, n * from % to);
        let now = sound.get(whole).copied().unwrap_or(0);
        let next = sound.get(whole + 1).copied().unwrap_or(now);
        *place = crossfade::between(now, next, part as f32 / to as f32);
    }
    length
}

/// Packets that a seat keeps at most: a second of 20 ms each.
const PACKETS: usize = 50;
/// The peak of sound that is more than a line's noise (-60 dB of full scale).
const AUDIBLE: u16 = 33;
/// Beats for which silence after sound still counts as sound.
const HANGOVER: u32 = 10;
/// Beats without a word after which a leg may hear what is encoded for all: a second.
const A_WHILE: u32 = 50;
/// The same, whoever speaks: ten seconds.
const LONG: u32 = 500;

#[cfg(test)]
mod tests;
