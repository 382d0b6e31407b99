//! One party's packets in another party's codec, packet by packet: decoded, at the lower of both sample rates, encoded, and
//! cut to the listener's packet time; or only cut, where one speaks in longer packets than the other takes ([`octets`]). A stream goes in and a stream with numbers of its own comes out; the leg maps those
//! onto what it sends like any other stream's.
//!
//! What was lost stays a gap, in numbers and in time, unless the codec itself can fill it (Opus: error correction, then
//! concealment). There is no jitter buffer here: the listener has one, and packets that are put in order for it need no
//! second one. So nothing waits on a line that keeps its order; where packets were seen to overtake each other, a gap is
//! waited for by a few packets ([`reorder`]), and what comes later still is not heard.
//! Made by the signalling task; nothing is allocated while it works.

mod octets;
mod reorder;

use self::octets::Octets;
use self::reorder::{Reorder, Turn};
use super::counters::Reason;
use crate::audio::opus::{self, Tuning};
use crate::audio::voice::{Decoder, Encoder, VoiceError, most_samples};
use crate::ledger::clock::Mono;
use crate::rtp::packet::Packet;
use crate::rtp::sequence::{SequenceTracker, Step};
use crate::sdp::negotiate::{Agreed, Codec};
use crate::sdp::opus_format::OpusFormat;

/// What to convert to what.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Recipe {
    /// What the speaker sends.
    pub from: Codec,
    /// What the listener takes.
    pub to: Codec,
    /// Milliseconds of sound in each of the listener's packets.
    pub packet_ms: u32,
    /// What a listener with Opus wishes.
    pub opus: Option<OpusFormat>,
}

impl Recipe {
    /// What it takes for `listener` to hear `speaker`; `None` where packets can pass, or a table does: unless they are longer
    /// than the listener takes.
    pub fn between(speaker: &Agreed, listener: &Agreed) -> Option<Recipe> {
        let (from, to) = (speaker.codec, listener.codec);
        let is_g711 = |codec| matches!(codec, Codec::Pcmu | Codec::Pcma);
        let most = listener.max_packet_time_ms.unwrap_or(u32::MAX);
        let is_too_long = speaker.packet_time_ms > most.max(listener.packet_time_ms);
        if (from == to || (is_g711(from) && is_g711(to))) && !is_too_long {
            return None;
        }
        Some(Recipe {
            from,
            to,
            packet_ms: listener.packet_time_ms,
            opus: listener.opus,
        })
    }

    /// How packets are only cut, without a codec; `None`: they are decoded and encoded.
    fn octets(&self) -> Option<Octets> {
        Octets::between(self.from, self.to)
    }

    /// The rate that is worked at: more than the poorer side carries would be for nothing.
    fn rate_hz(&self) -> u32 {
        if self.octets().is_some() {
            return octets::PER_SECOND;
        }
        let playable = self.opus.map_or(48_000, |wishes| wishes.max_playback_hz);
        let playable = if playable < 16_000 { 8_000 } else { 48_000 };
        let rate = self.from.sample_rate().min(self.to.sample_rate());
        rate.min(playable)
    }

    fn tuning(&self, complexity: u8) -> Tuning {
        let wishes = self.opus.unwrap_or_default();
        let usual = opus::usual_bitrate(self.rate_hz());
        Tuning {
            complexity,
            bitrate: Some(wishes.max_bitrate.map_or(usual, |most| most.min(usual))),
            fec: wishes.fec,
            dtx: wishes.dtx,
            constant_bitrate: wishes.constant_bitrate,
            ..Tuning::default()
        }
    }
}

/// Converts one stream.
#[derive(Debug)]
pub struct Transcoder {
    recipe: Recipe,
    number: u64,
    means: Means,
    /// Samples per millisecond; octets, where packets are only cut.
    rate_khz: u32,
    /// Samples in a packet that goes out, and what they count in its clock.
    frame: usize,
    frame_ticks: u32,
    /// What is decoded and not encoded yet, `filled` samples of a frame.
    pending: Vec<i16>,
    filled: usize,
    decoded: Vec<i16>,
    encoded: Vec<u8>,
    source: Option<Source>,
    reorder: Reorder,
    /// Of the frame that is being filled.
    sequence: u16,
    timestamp: u32,
    marker: bool,
}

/// How sound becomes other packets.
#[derive(Debug)]
enum Means {
    Codecs(Box<Codecs>),
    Octets(Octets),
}

#[derive(Debug)]
struct Codecs {
    decoder: Decoder,
    encoder: Encoder,
}

/// The stream that comes in.
#[derive(Debug)]
struct Source {
    ssrc: u32,
    tracker: SequenceTracker,
    /// The timestamp that comes next when nothing is lost.
    next: u32,
    /// What the last packet lasted.
    ticks: u32,
    /// Packets that came and could not be decoded, since one could.
    broken: u32,
}

/// A packet of the stream that comes out.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Frame<'a> {
    /// Its number.
    pub sequence: u16,
    /// Its time, in its codec's clock.
    pub timestamp: u32,
    /// Whether sound begins with it after a pause.
    pub marker: bool,
    /// What it lasts, in its codec's clock.
    pub ticks: u32,
    /// The sound.
    pub payload: &'a [u8],
}

impl Transcoder {
    /// For one stream; `number` tells its output from other streams', `complexity` is Opus's.
    pub fn new(recipe: Recipe, number: u64, complexity: u8) -> Result<Transcoder, VoiceError> {
        let rate_hz = recipe.rate_hz();
        let rate_khz = rate_hz / 1000;
        let frame = (rate_khz * recipe.packet_ms) as usize;
        Ok(Transcoder {
            means: match recipe.octets() {
                Some(octets) => Means::Octets(octets),
                None => Means::Codecs(Box::new(Codecs {
                    decoder: Decoder::new(recipe.from, rate_hz)?,
                    encoder: Encoder::tuned(recipe.to, rate_hz, recipe.tuning(complexity))?,
                })),
            },
            recipe,
            number,
            rate_khz,
            frame,
            frame_ticks: recipe.to.clock_rate() / 1000 * recipe.packet_ms,
            pending: vec![0; frame],
            filled: 0,
            decoded: vec![0; most_samples(rate_hz)],
            encoded: vec![0; MOST_BYTES],
            source: None,
            reorder: Reorder::new(),
            sequence: 0,
            timestamp: 0,
            marker: true,
        })
    }

    /// What it converts.
    pub fn recipe(&self) -> Recipe {
        self.recipe
    }

    /// Tells its output from that of other transcoders.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// Takes a packet of voice and hands `out` the packets that it completes, and those that waited for it.
    pub fn take(
        &mut self,
        now: Mono,
        packet: &Packet<'_>,
        mut out: impl FnMut(Frame<'_>),
    ) -> Result<(), Reason> {
        // Apart from the rest, so that what waits can be converted where it lies.
        let mut reorder = std::mem::take(&mut self.reorder);
        let taken = loop {
            match reorder.offer(now, packet) {
                Turn::Waits => break Ok(()),
                Turn::Late => break Err(Reason::Late),
                Turn::Now => break self.convert(packet, &mut out),
                Turn::AfterAll => {}
            }
            let Some(waiting) = reorder.next_waiting(Some(packet)) else {
                reorder.advance(packet.ssrc, packet.sequence);
                break self.convert(packet, &mut out);
            };
            // What cannot be decoded is a loss like any other.
            let _broken = self.convert(&waiting, &mut out);
            self.convert_ready(&mut reorder, &mut out);
        };
        self.convert_ready(&mut reorder, &mut out);
        self.reorder = reorder;
        taken
    }

    fn convert_ready(&mut self, reorder: &mut Reorder, out: &mut impl FnMut(Frame<'_>)) {
        while let Some(ready) = reorder.ready() {
            let _broken = self.convert(&ready, &mut *out);
        }
    }

    /// Of the stream that comes in.
    pub fn ssrc(&self) -> u32 {
        self.source.as_ref().map_or(0, |source| source.ssrc)
    }

    /// Whether a packet waits for one before it.
    pub fn is_waiting(&self) -> bool {
        self.reorder.is_waiting()
    }

    /// Hands `out` what waited: all of it, or with `now` only if the stream has paused behind it.
    pub fn release(&mut self, now: Option<Mono>, mut out: impl FnMut(Frame<'_>)) {
        if !self.reorder.is_waiting() || now.is_some_and(|now| !self.reorder.is_overdue(now)) {
            return;
        }
        let mut reorder = std::mem::take(&mut self.reorder);
        while let Some(waiting) = reorder.next_waiting(None) {
            let _broken = self.convert(&waiting, &mut out);
        }
        self.reorder = reorder;
    }

    /// Changes the effort of Opus, 0 to 10.
    pub fn set_complexity(&mut self, complexity: u8) {
        if let Means::Codecs(codecs) = &mut self.means {
            codecs.encoder.set_complexity(complexity);
        }
    }

    fn convert(
        &mut self,
        packet: &Packet<'_>,
        mut out: impl FnMut(Frame<'_>),
    ) -> Result<(), Reason> {
        let lost = self.follow(packet)?;
        self.marker |= packet.marker;
        let Some(source) = &self.source else {
            return Ok(());
        };
        let missing = packet.timestamp.wrapping_sub(source.next);
        // Time that goes back is a source that began anew with its numbers going on.
        let missing = if missing > u32::MAX / 2 { 0 } else { missing };
        if missing > 0 && !(lost > 0 && self.repair(packet, missing, &mut out)) {
            self.leave_out(missing, lost, &mut out);
        }
        let made = match &mut self.means {
            Means::Codecs(codecs) => codecs.decoder.decode(packet.payload, &mut self.decoded),
            Means::Octets(octets) => octets.read(packet.payload, &mut self.decoded),
        };
        let ticks = self.source_ticks(made);
        if let Some(source) = &mut self.source {
            source.next = packet.timestamp.wrapping_add(ticks);
            if made == 0 {
                source.next = packet.timestamp;
                source.broken += 1;
                return Err(Reason::Malformed);
            }
            (source.ticks, source.broken) = (ticks, 0);
        }
        self.push(made, &mut out);
        Ok(())
    }

    /// Where a packet that is no voice stands in the stream that comes out: its number and timestamp. It takes a number. What
    /// waits is to be released before.
    pub fn pass(&mut self, packet: &Packet<'_>) -> Option<(u16, u32)> {
        self.reorder.follow(packet);
        let lost = self.follow(packet).ok()?;
        let source = self.source.as_ref()?;
        let on = packet.timestamp.wrapping_sub(source.next).cast_signed();
        let on = i64::from(on) * i64::from(self.recipe.to.clock_rate())
            / i64::from(self.recipe.from.clock_rate());
        let filled = self.target_ticks(self.filled);
        let timestamp = self.timestamp.wrapping_add(filled).wrapping_add(on as u32);
        let sequence = self.sequence.wrapping_add(lost as u16);
        self.sequence = sequence.wrapping_add(1);
        Some((sequence, timestamp))
    }

    /// A packet that is not passed on: it must not look like a loss.
    pub fn skip(&mut self, packet: &Packet<'_>) {
        self.reorder.follow(packet);
        // Late or not, there is nothing to do for it.
        let _lost = self.follow(packet);
    }

    /// Counts a packet in; how many before it are missing.
    fn follow(&mut self, packet: &Packet<'_>) -> Result<u32, Reason> {
        if let Some(source) = &mut self.source
            && source.ssrc == packet.ssrc
        {
            match source.tracker.follow(packet.sequence) {
                Step::Ahead { lost, .. } => return Ok(u32::from(lost) + source.broken),
                Step::Late { .. } => return Err(Reason::Late),
                Step::Jump => {}
            }
        }
        self.source = Some(Source {
            ssrc: packet.ssrc,
            tracker: SequenceTracker::new(packet.sequence),
            next: packet.timestamp,
            ticks: 0,
            broken: 0,
        });
        self.marker = true;
        Ok(0)
    }

    /// Fills what is missing by what Opus knows of it: the packet before this one is in this one, those before are guessed.
    fn repair(
        &mut self,
        packet: &Packet<'_>,
        missing: u32,
        out: &mut impl FnMut(Frame<'_>),
    ) -> bool {
        if self.recipe.from != Codec::Opus
            || missing > MOST_REPAIRED
            || !missing.is_multiple_of(OPUS_STEP)
        {
            return false;
        }
        let Some(length) = opus::packet_ticks(packet.payload) else {
            return false;
        };
        let told = length.min(missing);
        for (ticks, is_told) in [(missing - told, false), (told, true)] {
            let samples = (ticks / (48 / self.rate_khz)) as usize;
            if samples == 0 {
                continue;
            }
            let Some(room) = self.decoded.get_mut(..samples) else {
                return false;
            };
            let made = match &mut self.means {
                Means::Codecs(codecs) if is_told => codecs.decoder.decode_fec(packet.payload, room),
                Means::Codecs(codecs) => codecs.decoder.conceal(room),
                Means::Octets(_) => return false,
            };
            // Nothing made is silence, so that time goes on all the same.
            room[made.min(samples)..].fill(0);
            self.push(samples, out);
        }
        true
    }

    /// Passes over what is missing: whole frames are left out, the frame that was begun is filled up with silence.
    fn leave_out(&mut self, missing: u32, lost: u32, out: &mut impl FnMut(Frame<'_>)) {
        let khz = self.recipe.from.clock_rate() / 1000;
        let mut samples = (u64::from(missing) * u64::from(self.rate_khz) / u64::from(khz)) as usize;
        if self.filled > 0 {
            let fill = samples.min(self.frame - self.filled);
            samples -= fill;
            self.pad(fill, out);
        }
        let frames = samples / self.frame;
        if frames > 0 {
            // A pause has time but no numbers; a loss has both.
            let last = self.source.as_ref().map_or(0, |source| source.ticks);
            let per_packet = (last / khz).max(10);
            let lost_frames = (lost * per_packet).div_ceil(self.recipe.packet_ms) as usize;
            let numbers = frames.min(lost_frames);
            self.sequence = self.sequence.wrapping_add(numbers as u16);
            self.timestamp = self
                .timestamp
                .wrapping_add((frames as u32).wrapping_mul(self.frame_ticks));
            self.marker |= frames > numbers;
        }
        self.pad(samples % self.frame, out);
    }

    /// Appends silence, less than two frames.
    fn pad(&mut self, samples: usize, out: &mut impl FnMut(Frame<'_>)) {
        let silence = match &self.means {
            Means::Codecs(_) => 0,
            Means::Octets(octets) => octets.silence(),
        };
        self.decoded[..samples].fill(silence);
        self.push(samples, out);
    }

    /// Appends the first of the decoded samples to what is pending, and encodes the frames that become full.
    fn push(&mut self, samples: usize, out: &mut impl FnMut(Frame<'_>)) {
        let mut taken = 0;
        while taken < samples {
            let length = (samples - taken).min(self.frame - self.filled);
            self.pending[self.filled..self.filled + length]
                .copy_from_slice(&self.decoded[taken..taken + length]);
            self.filled += length;
            taken += length;
            if self.filled == self.frame {
                self.filled = 0;
                self.finish_frame(out);
            }
        }
    }

    fn finish_frame(&mut self, out: &mut impl FnMut(Frame<'_>)) {
        let length = match &mut self.means {
            Means::Codecs(codecs) => codecs.encoder.encode(&self.pending, &mut self.encoded),
            Means::Octets(octets) => octets.write(&self.pending, &mut self.encoded),
        };
        let timestamp = self.timestamp;
        self.timestamp = timestamp.wrapping_add(self.frame_ticks);
        // One or two bytes of Opus say "as before": they are not sent (RFC 7587 §3.1.3).
        let unsaid = self.recipe.opus.is_some_and(|wishes| wishes.dtx) && length <= 2;
        if length == 0 || unsaid {
            self.marker = true;
            return;
        }
        let frame = Frame {
            sequence: self.sequence,
            timestamp,
            marker: std::mem::take(&mut self.marker),
            ticks: self.frame_ticks,
            payload: self.encoded.get(..length).unwrap_or_default(),
        };
        self.sequence = self.sequence.wrapping_add(1);
        out(frame);
    }

    /// Samples in the clock of what comes in.
    fn source_ticks(&self, samples: usize) -> u32 {
        (samples as u64 * u64::from(self.recipe.from.clock_rate() / 1000)
            / u64::from(self.rate_khz)) as u32
    }

    /// Samples in the clock of what goes out.
    fn target_ticks(&self, samples: usize) -> u32 {
        (samples as u64 * u64::from(self.recipe.to.clock_rate() / 1000) / u64::from(self.rate_khz))
            as u32
    }
}

/// The longest loss that Opus fills: 120 ms at 48 kHz.
const MOST_REPAIRED: u32 = 5_760;
/// Opus works in steps of 2.5 ms.
const OPUS_STEP: u32 = 120;
/// The longest payload that is made: 60 ms of G.722 are 480 bytes; Opus at its highest stays below.
const MOST_BYTES: usize = 1_275;

#[cfg(test)]
mod tests;
