//! A prompt or a piece of music, kept as each codec's bytes so that playing it is a copy.
//!
//! G.711 is encoded at load, as nearly every call hears it. G.722 and Opus are encoded when the first leg that speaks them
//! is to hear the clip, by whoever calls [`Clip::encode`]; until then there is nothing to be played in them.

use std::sync::{Arc, OnceLock};

use super::g711;
use super::opus::Tuning;
use super::voice::Encoder;
use crate::sdp::codec::Codec;

/// Sound, ready to be sent. Immutable and shared.
pub struct Clip {
    /// Where it came from, for messages to people.
    name: String,
    pcmu: Vec<u8>,
    pcma: Vec<u8>,
    /// The sound at the rate below, for codecs that carry more than G.711.
    samples: Vec<i16>,
    rate_hz: u32,
    g722: OnceLock<Vec<u8>>,
    opus: OnceLock<Packets>,
}

/// Packets of [`PACKET_MS`], one behind the other.
#[derive(Debug, Default)]
pub struct Packets {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Packets {
    /// The packet of that number, counted from zero.
    pub fn packet(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let begin = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(begin as usize..end as usize)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }
}

impl Clip {
    /// Encodes 16-bit samples at 8 kHz.
    pub fn from_samples(name: impl Into<String>, samples: &[i16]) -> Arc<Clip> {
        Clip::wide(name, samples, samples, 8_000)
    }

    /// The same for a sound that there is at a higher rate too: `wide` at 8,000, 16,000 or 48,000 Hz, as long as `samples`
    /// at 8 kHz.
    pub fn wide(name: impl Into<String>, samples: &[i16], wide: &[i16], rate_hz: u32) -> Arc<Clip> {
        Arc::new(Clip {
            name: name.into(),
            pcmu: samples
                .iter()
                .map(|&sample| g711::ulaw_encode(sample))
                .collect(),
            pcma: samples
                .iter()
                .map(|&sample| g711::alaw_encode(sample))
                .collect(),
            samples: wide.to_vec(),
            rate_hz,
            g722: OnceLock::new(),
            opus: OnceLock::new(),
        })
    }

    /// Where it came from.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its µ-law bytes, one per sample at 8 kHz.
    pub fn pcmu(&self) -> &[u8] {
        &self.pcmu
    }

    /// Its A-law bytes, one per sample at 8 kHz.
    pub fn pcma(&self) -> &[u8] {
        &self.pcma
    }

    /// Its bytes of G.722, eight per millisecond; `None` while they are not encoded.
    pub fn g722(&self) -> Option<&[u8]> {
        self.g722.get().map(Vec::as_slice)
    }

    /// Its packets of Opus; `None` while they are not encoded.
    pub fn opus(&self) -> Option<&Packets> {
        self.opus.get()
    }

    /// Whether it can be played in a codec.
    pub fn is_encoded(&self, codec: Codec) -> bool {
        match codec {
            Codec::Pcmu | Codec::Pcma => true,
            Codec::G722 => self.g722.get().is_some(),
            Codec::Opus => self.opus.get().is_some(),
        }
    }

    /// Encodes it for a codec, unless it is. That takes about a hundredth of its length for Opus.
    pub fn encode(&self, codec: Codec) {
        match codec {
            Codec::Pcmu | Codec::Pcma => {}
            Codec::G722 => {
                self.g722.get_or_init(|| {
                    let packets = self.packets(codec);
                    // Never longer than G.711, so that one position fits both.
                    let mut bytes = packets.bytes;
                    bytes.truncate(self.pcmu.len());
                    bytes
                });
            }
            Codec::Opus => {
                self.opus.get_or_init(|| self.packets(codec));
            }
        }
    }

    /// Its samples at [`Clip::rate_hz`].
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// The rate of its samples: 8,000, 16,000 or 48,000 Hz.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }

    /// Its length in milliseconds.
    pub fn duration_ms(&self) -> u64 {
        self.pcmu.len() as u64 / 8
    }

    /// The sound in packets, the last one filled up with silence; none if it cannot be encoded.
    fn packets(&self, codec: Codec) -> Packets {
        let mut packets = Packets::default();
        // It is encoded once and heard often, and nothing of it is lost before it is sent.
        let tuning = Tuning {
            complexity: 9,
            fec: false,
            ..Tuning::default()
        };
        let Ok(mut encoder) = Encoder::tuned(codec, self.rate_hz, tuning) else {
            return packets;
        };
        let length = (self.rate_hz / 1000 * PACKET_MS) as usize;
        let mut frame = vec![0i16; length];
        let mut bytes = [0u8; MOST_BYTES];
        for samples in self.samples.chunks(length) {
            let (sound, rest) = frame.split_at_mut(samples.len());
            sound.copy_from_slice(samples);
            rest.fill(0);
            let made = encoder.encode(&frame, &mut bytes);
            packets.bytes.extend_from_slice(&bytes[..made]);
            packets.ends.push(packets.bytes.len() as u32);
        }
        packets
    }
}

impl std::fmt::Debug for Clip {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Clip({} {} ms)", self.name, self.duration_ms())
    }
}

impl PartialEq for Clip {
    fn eq(&self, other: &Clip) -> bool {
        self.name == other.name && self.rate_hz == other.rate_hz && self.samples == other.samples
    }
}

impl Eq for Clip {}

/// What a packet of Opus holds, in milliseconds.
pub const PACKET_MS: u32 = 20;
/// The longest packet of Opus.
const MOST_BYTES: usize = 1_275;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone;
    use crate::audio::voice::Decoder;

    #[test]
    fn each_codec_has_the_whole_clip() {
        let sound = tone::tone(&[500.0], -10.0, 130);
        let clip = Clip::from_samples("x", &sound);
        assert!(clip.is_encoded(Codec::Pcma) && !clip.is_encoded(Codec::Opus));
        assert!(clip.g722().is_none());
        for codec in Codec::ALL {
            clip.encode(codec);
            clip.encode(codec);
            assert!(clip.is_encoded(codec));
        }
        assert_eq!(clip.g722().unwrap().len(), clip.pcma().len());
        let packets = clip.opus().unwrap();
        assert_eq!((packets.len(), packets.is_empty()), (7, false));
        assert_eq!(packets.packet(7), None);
        let mut decoder = Decoder::new(Codec::Opus, 8_000).unwrap();
        let mut room = [0; 960];
        for number in 0..7 {
            let made = decoder.decode(packets.packet(number).unwrap(), &mut room);
            assert_eq!(made, 160);
        }
    }

    #[test]
    fn an_empty_clip_has_no_packets() {
        let clip = Clip::from_samples("x", &[]);
        for codec in Codec::ALL {
            clip.encode(codec);
        }
        assert!(clip.opus().unwrap().is_empty());
        assert_eq!(clip.g722(), Some([].as_slice()));
    }
}
