//! What the phones say: one of the sample prompts, round and round, in each codec.

use std::io;

use vats::audio::voice::Encoder;
use vats::audio::wav;
use vats::sdp::negotiate::Codec;

/// Packets of 20 ms in one codec.
pub struct Speech {
    pub codec: Codec,
    packets: Vec<Vec<u8>>,
    /// A packet that is louder than all the others together.
    pub mark: Vec<u8>,
}

impl Speech {
    /// At one `quieter`-th of its loudness.
    pub fn new(codec: Codec, quieter: i16) -> io::Result<Speech> {
        let bytes = std::fs::read(PROMPT)?;
        let (rate_hz, channels) = wav::read_channels(&bytes).map_err(io::Error::other)?;
        let samples: Vec<i16> = channels
            .first()
            .map(|sound| sound.iter().map(|sample| sample / quieter).collect())
            .unwrap_or_default();
        let frame = rate_hz as usize / 50;
        let mut encoder = Encoder::new(codec, rate_hz).map_err(io::Error::other)?;
        let mut encode = |samples: &[i16]| {
            let mut bytes = vec![0; 1_275];
            let length = encoder.encode(samples, &mut bytes);
            bytes.truncate(length);
            bytes
        };
        let packets: Vec<Vec<u8>> = samples.chunks_exact(frame).map(&mut encode).collect();
        if packets.is_empty() {
            return Err(io::Error::other("the prompt is shorter than a packet"));
        }
        let square = |n: usize| {
            if (n / (frame / 20)).is_multiple_of(2) {
                LOUD
            } else {
                -LOUD
            }
        };
        let mark: Vec<i16> = (0..frame).map(square).collect();
        Ok(Speech {
            codec,
            packets,
            mark: encode(&mark),
        })
    }

    /// What a phone says in a frame. Each begins somewhere else.
    pub fn packet(&self, phone: usize, frame: u32) -> &[u8] {
        let number = (phone * 37 + frame as usize) % self.packets.len();
        &self.packets[number]
    }
}

const PROMPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prompts/greeting.wav");
/// Samples of a mark.
const LOUD: i16 = 20_000;
