//! What a test phone heard, put together by RTP timestamp.

use crate::audio::g711;
use crate::media::tap::TapReader;
use crate::sdp::negotiate::Codec;

/// More than this is not kept: a minute of silence is no reason to fill the memory. Samples at 8 kHz: one hour.
const MOST_SAMPLES: usize = 3600 * 8000;

/// Collects a leg's received audio.
#[derive(Debug)]
pub struct Ear {
    tap: TapReader,
    payload: Vec<u8>,
    /// SSRC and the timestamp that stands at `base`.
    stream: Option<(u32, u32)>,
    base: usize,
    samples: Vec<i16>,
}

impl Ear {
    /// Listens to a tap.
    pub fn new(tap: TapReader) -> Ear {
        Ear {
            tap,
            payload: Vec::new(),
            stream: None,
            base: 0,
            samples: Vec::new(),
        }
    }

    /// Takes what has arrived since the last time; often enough that the tap's second does not run full.
    pub fn listen(&mut self) {
        while let Some(header) = self.tap.pop(&mut self.payload) {
            let (_, first) = match self.stream {
                Some(stream) if stream.0 == header.ssrc => stream,
                _ => {
                    self.base = self.samples.len();
                    *self.stream.insert((header.ssrc, header.timestamp))
                }
            };
            let offset = header.timestamp.wrapping_sub(first);
            // A timestamp before the first packet's: it was overtaken, and its place is gone.
            if offset > u32::MAX / 2 {
                continue;
            }
            let start = self.base + offset as usize;
            let end = start + self.payload.len();
            if end > MOST_SAMPLES {
                continue;
            }
            if self.samples.len() < end {
                self.samples.resize(end, 0);
            }
            let decode = match header.codec {
                Codec::Pcmu => g711::ulaw_decode,
                Codec::Pcma => g711::alaw_decode,
                Codec::G722 | Codec::Opus => continue,
            };
            for (sample, &byte) in self.samples[start..end].iter_mut().zip(&self.payload) {
                *sample = decode(byte);
            }
        }
    }

    /// Everything heard, from the first packet on, mono at 8 kHz.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }
}
