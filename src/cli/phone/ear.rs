//! What a test phone heard, put together by RTP timestamp.

use crate::media::tap::TapReader;
use crate::recording::ear::Ear as Decoding;

/// More than this is not kept: a minute of silence is no reason to fill the memory. Seconds.
const MOST_SECONDS: usize = 3600;

/// Collects a leg's received audio.
#[derive(Debug)]
pub struct Ear {
    tap: TapReader,
    decoding: Decoding,
    rate_hz: u32,
    spare: Vec<u8>,
    heard: Vec<i16>,
    /// SSRC and the timestamp that stands at `base`.
    stream: Option<(u32, u32)>,
    base: usize,
    samples: Vec<i16>,
}

impl Ear {
    /// Listens to a tap; what is heard is kept at `rate_hz`.
    pub fn new(tap: TapReader, rate_hz: u32) -> Ear {
        Ear {
            tap,
            decoding: Decoding::new(rate_hz),
            rate_hz,
            spare: Vec::new(),
            heard: Vec::new(),
            stream: None,
            base: 0,
            samples: Vec::new(),
        }
    }

    /// Takes what has arrived since the last time; often enough that the tap's second does not run full.
    pub fn listen(&mut self) {
        let Ear {
            tap,
            decoding,
            rate_hz,
            spare,
            heard,
            stream,
            base,
            samples,
        } = self;
        let rate_hz = *rate_hz;
        let most = MOST_SECONDS * rate_hz as usize;
        tap.drain(spare, |header, payload| {
            let known = stream.filter(|(ssrc, _)| *ssrc == header.ssrc);
            let (_, first) = known.unwrap_or_else(|| {
                *base = samples.len();
                *stream.insert((header.ssrc, header.timestamp))
            });
            let ticks = header.timestamp.wrapping_sub(first);
            // A timestamp before the first packet's: it was overtaken, and its place is gone.
            if ticks > u32::MAX / 2 {
                return;
            }
            decoding.hear(header.codec, known.is_none(), payload, heard);
            let offset =
                u64::from(ticks) * u64::from(rate_hz) / u64::from(header.codec.clock_rate());
            let start = *base + usize::try_from(offset).unwrap_or(most);
            let end = start + heard.len();
            if end > most {
                return;
            }
            if samples.len() < end {
                samples.resize(end, 0);
            }
            samples[start..end].copy_from_slice(heard);
        });
    }

    /// Everything heard, from the first packet on, mono.
    pub fn samples(&self) -> &[i16] {
        &self.samples
    }

    /// Samples a second.
    pub fn rate_hz(&self) -> u32 {
        self.rate_hz
    }
}
