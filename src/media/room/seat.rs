//! A leg's seat in a room: what it says comes through a jitter buffer and a decoder, what it hears goes through an encoder.

use crate::audio::concealment::Concealer;
use crate::audio::pace::{self, Care};
use crate::audio::voice::{Decoder, Encoder, VoiceError, most_samples};
use crate::call::media::Role;
use crate::ledger::clock::Mono;
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
        }
        self.number = before.number;
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
        let own = (self.role == Role::Member && self.hangover > 0).then_some(&*self.sound);
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

    /// Changes Opus's effort, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        self.encoder.set_complexity(complexity);
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

/// Packets that a seat keeps at most: a second of 20 ms each.
const PACKETS: usize = 50;
/// The peak of sound that is more than a line's noise (-60 dB of full scale).
const AUDIBLE: u16 = 33;
/// Beats for which silence after sound still counts as sound.
const HANGOVER: u32 = 10;

#[cfg(test)]
mod tests;
