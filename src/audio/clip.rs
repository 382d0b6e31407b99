//! A prompt or a piece of music, kept as each codec's bytes so that playing it is a copy.
//!
//! G.711 is encoded at load, as nearly every call hears it. G.722 and Opus are encoded when the first leg that speaks them
//! is to hear the clip, a second of it at a time, by whoever has the [`Encoding`]: what is done can be played meanwhile.

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
    g722: Pieces,
    opus: Pieces,
}

/// Seconds of a clip in a codec, encoded one after another.
type Pieces = Box<[OnceLock<Packets>]>;

/// Packets of [`PACKET_MS`], one behind the other.
#[derive(Debug, Default)]
struct Packets {
    bytes: Vec<u8>,
    /// Where each ends.
    ends: Vec<u32>,
}

impl Packets {
    /// The packet of that number, counted from zero.
    fn packet(&self, number: usize) -> Option<&[u8]> {
        let end = *self.ends.get(number)?;
        let begin = match number.checked_sub(1) {
            Some(before) => *self.ends.get(before)?,
            None => 0,
        };
        self.bytes.get(begin as usize..end as usize)
    }
}

/// A clip on its way into a codec.
#[derive(Debug)]
pub struct Encoding {
    clip: Arc<Clip>,
    codec: Codec,
    /// `None`: it cannot be encoded, and what there is of it is silence.
    encoder: Option<Encoder>,
    /// The next piece.
    next: usize,
}

impl Encoding {
    /// From the clip's beginning; `None` where the codec needs none.
    pub fn new(clip: &Arc<Clip>, codec: Codec) -> Option<Encoding> {
        clip.pieces(codec)?;
        // It is encoded once and heard often, and nothing of it is lost before it is sent.
        let tuning = Tuning {
            complexity: 9,
            fec: false,
            ..Tuning::default()
        };
        Some(Encoding {
            clip: Arc::clone(clip),
            codec,
            encoder: Encoder::tuned(codec, clip.rate_hz, tuning).ok(),
            next: 0,
        })
    }

    /// Whether it is this clip in this codec.
    pub fn is_of(&self, clip: &Arc<Clip>, codec: Codec) -> bool {
        self.codec == codec && Arc::ptr_eq(&self.clip, clip)
    }

    /// Encodes the next second; false when there is none left. It takes about a hundredth of that for Opus.
    pub fn step(&mut self) -> bool {
        let clip = Arc::clone(&self.clip);
        let Some(place) = clip.pieces(self.codec).and_then(|all| all.get(self.next)) else {
            return false;
        };
        let packets = self.piece();
        // Whoever encodes the same at the same time makes the same.
        let _made_twice = place.set(packets);
        self.next += 1;
        true
    }

    /// The next second in packets, the last one filled up with silence; none if it cannot be encoded.
    fn piece(&mut self) -> Packets {
        let mut packets = Packets::default();
        let Some(encoder) = &mut self.encoder else {
            return packets;
        };
        let length = self.clip.packet_samples();
        let begin = self.next * PIECE_PACKETS * length;
        let rest = self.clip.samples.get(begin..).unwrap_or_default();
        let mut frame = vec![0i16; length];
        let mut bytes = [0u8; MOST_BYTES];
        for samples in rest.chunks(length).take(PIECE_PACKETS) {
            let (sound, rest) = frame.split_at_mut(samples.len());
            sound.copy_from_slice(samples);
            rest.fill(0);
            let made = encoder.encode(&frame, &mut bytes);
            packets.bytes.extend_from_slice(&bytes[..made]);
            packets.ends.push(packets.bytes.len() as u32);
        }
        if self.codec == Codec::G722 {
            // Never longer than G.711, so that one position fits both.
            let before = self.next * PIECE_PACKETS * PACKET_BYTES;
            packets
                .bytes
                .truncate(self.clip.pcmu.len().saturating_sub(before));
        }
        packets
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
        let piece = (rate_hz / 1000 * PACKET_MS) as usize * PIECE_PACKETS;
        let pieces = || (0..wide.len().div_ceil(piece)).map(|_| OnceLock::new());
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
            g722: pieces().collect(),
            opus: pieces().collect(),
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

    /// Its bytes of G.722, eight per millisecond, from a position on as far as they lie together: none at the end, `None` where
    /// they are not encoded yet.
    pub fn g722(&self, position: usize) -> Option<&[u8]> {
        let Some(place) = self.g722.get(position / PIECE_BYTES) else {
            return Some(&[]);
        };
        let bytes = &place.get()?.bytes;
        Some(bytes.get(position % PIECE_BYTES..).unwrap_or_default())
    }

    /// The packet of Opus of that number, counted from zero: empty where there is none, `None` where it is not encoded yet.
    pub fn opus(&self, number: usize) -> Option<&[u8]> {
        let Some(place) = self.opus.get(number / PIECE_PACKETS) else {
            return Some(&[]);
        };
        let packets = place.get()?;
        Some(packets.packet(number % PIECE_PACKETS).unwrap_or_default())
    }

    /// How many packets of [`PACKET_MS`] it fills.
    pub fn packets(&self) -> usize {
        self.samples.len().div_ceil(self.packet_samples())
    }

    /// Whether all of it can be played in a codec.
    pub fn is_encoded(&self, codec: Codec) -> bool {
        // They are encoded in order.
        let last = self.pieces(codec).and_then(<[_]>::last);
        last.is_none_or(|place| place.get().is_some())
    }

    /// Encodes all of it for a codec, here and now, unless it is.
    pub fn encode(self: &Arc<Clip>, codec: Codec) {
        if self.is_encoded(codec) {
            return;
        }
        if let Some(mut encoding) = Encoding::new(self, codec) {
            while encoding.step() {}
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

    /// What is encoded for a codec; `None` where that is done at load.
    fn pieces(&self, codec: Codec) -> Option<&[OnceLock<Packets>]> {
        match codec {
            Codec::Pcmu | Codec::Pcma => None,
            Codec::G722 => Some(&self.g722),
            Codec::Opus => Some(&self.opus),
        }
    }

    fn packet_samples(&self) -> usize {
        (self.rate_hz / 1000 * PACKET_MS) as usize
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
/// A packet of G.722.
const PACKET_BYTES: usize = PACKET_MS as usize * 8;
/// Packets of a piece: a second.
const PIECE_PACKETS: usize = 1_000 / PACKET_MS as usize;
/// Bytes of G.722 in a piece.
const PIECE_BYTES: usize = PIECE_PACKETS * PACKET_BYTES;

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
        assert!(clip.g722(0).is_none() && clip.opus(0).is_none());
        for codec in Codec::ALL {
            clip.encode(codec);
            clip.encode(codec);
            assert!(clip.is_encoded(codec));
        }
        assert_eq!(clip.g722(0).unwrap().len(), clip.pcma().len());
        assert_eq!(clip.packets(), 7);
        assert_eq!(clip.opus(7), Some([].as_slice()));
        let mut decoder = Decoder::new(Codec::Opus, 8_000).unwrap();
        let mut room = [0; 960];
        for number in 0..7 {
            let made = decoder.decode(clip.opus(number).unwrap(), &mut room);
            assert_eq!(made, 160);
        }
    }

    #[test]
    fn what_is_done_is_there_before_the_rest() {
        // 2.5 s, wide: its pieces together are what the codec makes of it in one go.
        let clip = Clip::wide(
            "x",
            &[0; 20_001],
            &tone::tone(&[500.0], -10.0, 5_000),
            16_000,
        );
        let mut whole = Encoder::tuned(Codec::G722, 16_000, Tuning::default()).unwrap();
        let mut bytes = Vec::new();
        for frame in clip.samples.chunks(320) {
            let mut room = [0; 160];
            let made = whole.encode(frame, &mut room);
            bytes.extend_from_slice(&room[..made]);
        }
        let mut encoding = Encoding::new(&clip, Codec::G722).unwrap();
        assert!(encoding.is_of(&clip, Codec::G722) && !encoding.is_of(&clip, Codec::Opus));
        assert!(encoding.step());
        assert_eq!(clip.g722(0), Some(&bytes[..8_000]));
        assert_eq!(clip.g722(7_900), Some(&bytes[7_900..8_000]));
        assert_eq!(clip.g722(8_000), None);
        assert!(encoding.step() && encoding.step() && !encoding.step());
        assert_eq!(clip.g722(8_000), Some(&bytes[8_000..16_000]));
        assert_eq!(clip.g722(16_000), Some(&bytes[16_000..]));
        assert_eq!(clip.g722(20_000), Some([].as_slice()));
        assert!(clip.is_encoded(Codec::G722) && Encoding::new(&clip, Codec::Pcma).is_none());
    }

    #[test]
    fn an_empty_clip_has_no_packets() {
        let clip = Clip::from_samples("x", &[]);
        assert!(Codec::ALL.into_iter().all(|codec| clip.is_encoded(codec)));
        assert_eq!((clip.packets(), clip.opus(0)), (0, Some([].as_slice())));
        assert_eq!(clip.g722(0), Some([].as_slice()));
    }
}
