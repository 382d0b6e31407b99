//! Any codec at any of the rates that sound is worked on with: what [`g711`], [`g722`], [`opus`] and the resampler do, behind
//! two types that are made once and then allocate nothing.

use super::g711;
use super::g722;
use super::opus::{self, OpusError, Tuning};
use super::resample::stream::{Resampler, UnsupportedRates};
use crate::sdp::codec::Codec;

/// Why no coder could be made.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum VoiceError {
    /// Not 8,000, 16,000 or 48,000 Hz.
    #[error(transparent)]
    Rate(#[from] UnsupportedRates),
    /// Opus has its own say.
    #[error(transparent)]
    Opus(#[from] OpusError),
}

/// Decodes one stream.
#[derive(Debug)]
pub struct Decoder {
    codec: Codec,
    rate_hz: u32,
    coder: Decoding,
}

/// Encodes one stream.
#[derive(Debug)]
pub struct Encoder {
    codec: Codec,
    rate_hz: u32,
    coder: Encoding,
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one lives as long as its leg, boxed with the rest"
)]
enum Decoding {
    Opus(opus::Decoder),
    /// With the sound at the codec's own rate.
    Sampled {
        state: Option<g722::Decoder>,
        resampler: Resampler,
        room: Vec<i16>,
    },
}

#[derive(Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one lives as long as its leg, boxed with the rest"
)]
enum Encoding {
    Opus(opus::Encoder),
    Sampled {
        state: Option<g722::Encoder>,
        resampler: Resampler,
        room: Vec<i16>,
    },
}

impl Decoder {
    /// From `codec` to samples at `rate_hz`: 8,000, 16,000 or 48,000.
    pub fn new(codec: Codec, rate_hz: u32) -> Result<Decoder, VoiceError> {
        let coder = if codec == Codec::Opus {
            Decoding::Opus(opus::Decoder::new(rate_hz)?)
        } else {
            Decoding::Sampled {
                state: (codec == Codec::G722).then(g722::Decoder::default),
                resampler: Resampler::new(codec.sample_rate(), rate_hz)?,
                room: vec![0; most_samples(codec.sample_rate())],
            }
        };
        Ok(Decoder {
            codec,
            rate_hz,
            coder,
        })
    }

    /// What it decodes.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The rate of its samples, in hertz.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Decodes a packet; returns the samples written, 0 when it cannot be decoded. `out` needs room for the whole packet;
    /// [`most_samples`] is always enough.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        match &mut self.coder {
            Decoding::Opus(decoder) => decoder.decode(payload, out).unwrap_or(0),
            Decoding::Sampled {
                state,
                resampler,
                room,
            } => {
                let length = match (state, self.codec) {
                    (Some(decoder), _) => decoder.decode(payload, room),
                    (None, Codec::Pcmu) => by_table(payload, g711::ulaw_decode, room),
                    (None, _) => by_table(payload, g711::alaw_decode, room),
                };
                resampler.process(&room[..length], out)
            }
        }
    }

    /// Fills `out` with what `next` tells of the packet lost before it: Opus's error correction. The length of `out` is that
    /// of the lost packet. Other codecs conceal.
    pub fn decode_fec(&mut self, next: &[u8], out: &mut [i16]) -> usize {
        match &mut self.coder {
            Decoding::Opus(decoder) => decoder.decode_fec(next, out).unwrap_or(0),
            Decoding::Sampled { .. } => self.conceal(out),
        }
    }

    /// Makes up `out` for a packet of that length that was lost: by Opus itself; with other codecs it is silence.
    pub fn conceal(&mut self, out: &mut [i16]) -> usize {
        match &mut self.coder {
            Decoding::Opus(decoder) => decoder.conceal(out).unwrap_or(0),
            Decoding::Sampled { .. } => {
                out.fill(0);
                out.len()
            }
        }
    }
}

impl Encoder {
    /// From samples at `rate_hz` (8,000, 16,000 or 48,000) to `codec`; Opus with its usual tuning.
    pub fn new(codec: Codec, rate_hz: u32) -> Result<Encoder, VoiceError> {
        Encoder::tuned(codec, rate_hz, Tuning::default())
    }

    /// The same with a tuning for Opus.
    pub fn tuned(codec: Codec, rate_hz: u32, tuning: Tuning) -> Result<Encoder, VoiceError> {
        let coder = if codec == Codec::Opus {
            Encoding::Opus(opus::Encoder::new(rate_hz, tuning)?)
        } else {
            Encoding::Sampled {
                state: (codec == Codec::G722).then(g722::Encoder::default),
                resampler: Resampler::new(rate_hz, codec.sample_rate())?,
                room: vec![0; most_samples(codec.sample_rate())],
            }
        };
        Ok(Encoder {
            codec,
            rate_hz,
            coder,
        })
    }

    /// What it encodes to.
    pub fn codec(&self) -> Codec {
        self.codec
    }

    /// The rate of its samples, in hertz.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Encodes a packet's samples (a whole number of milliseconds, at most 120; for Opus 10, 20, 40 or 60); returns its
    /// length in bytes, 0 when it cannot be encoded or `out` is too small.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        match &mut self.coder {
            Encoding::Opus(encoder) => encoder.encode(samples, out).unwrap_or(0),
            Encoding::Sampled {
                state,
                resampler,
                room,
            } => {
                let length = resampler.process(samples, room);
                let samples = &room[..length];
                match (state, self.codec) {
                    (Some(encoder), _) => encoder.encode(samples, out),
                    (None, Codec::Pcmu) => to_table(samples, g711::ulaw_encode, out),
                    (None, _) => to_table(samples, g711::alaw_encode, out),
                }
            }
        }
    }

    /// Goes on where `other`, an encoder alike, stands, so that whoever heard that one hears this one's packets as if they
    /// were that one's. Opus begins anew, which asks nothing of what was heard before.
    pub fn follow(&mut self, other: &Encoder) {
        match (&mut self.coder, &other.coder) {
            (Encoding::Opus(encoder), _) => {
                // Cannot fail; if it did, the far side would hear a moment of the old state.
                let _anew = encoder.reset();
            }
            (
                Encoding::Sampled {
                    state, resampler, ..
                },
                Encoding::Sampled {
                    state: theirs,
                    resampler: their_resampler,
                    ..
                },
            ) => {
                state.clone_from(theirs);
                resampler.follow(their_resampler);
            }
            (Encoding::Sampled { .. }, Encoding::Opus(_)) => {}
        }
    }

    /// Changes Opus's effort, 0 to 10; others have none.
    pub fn set_complexity(&mut self, complexity: u8) {
        if let Encoding::Opus(encoder) = &mut self.coder {
            // Cannot fail for 0 to 10; if it did, the old effort stays.
            let _unchanged = encoder.set_complexity(complexity);
        }
    }
}

/// The samples of the longest packet (120 ms) at a rate.
pub const fn most_samples(rate_hz: u32) -> usize {
    rate_hz as usize / 1000 * 120
}

fn by_table(payload: &[u8], decode: fn(u8) -> i16, out: &mut [i16]) -> usize {
    for (sample, &code) in out.iter_mut().zip(payload) {
        *sample = decode(code);
    }
    payload.len().min(out.len())
}

fn to_table(samples: &[i16], encode: fn(i16) -> u8, out: &mut [u8]) -> usize {
    for (code, &sample) in out.iter_mut().zip(samples) {
        *code = encode(sample);
    }
    samples.len().min(out.len())
}

#[cfg(test)]
mod tests;
