//! What a recording makes of one leg's payloads: samples at the file's rate.

use crate::audio::g711;
use crate::audio::voice::{Decoder, most_samples};
use crate::sdp::negotiate::Codec;

/// A leg's decoder.
#[derive(Debug)]
pub struct Ear {
    rate_hz: u32,
    /// Made at the first payload that needs one, and anew where a source begins.
    decoder: Option<Box<Decoder>>,
}

impl Ear {
    /// For a file of this rate: 8,000 or 16,000 Hz.
    pub fn new(rate_hz: u32) -> Ear {
        Ear {
            rate_hz,
            decoder: None,
        }
    }

    /// Decodes a payload; its samples replace what is in `samples`: none when it cannot be decoded. `is_fresh`: the source
    /// begins here, and nothing that was decoded before has to do with it.
    pub fn hear(&mut self, codec: Codec, is_fresh: bool, payload: &[u8], samples: &mut Vec<i16>) {
        samples.clear();
        match (codec, self.rate_hz) {
            // Most calls are these: no state, no resampling, and exact to the sample.
            (Codec::Pcmu, TELEPHONE_HZ) => {
                samples.extend(payload.iter().map(|&code| g711::ulaw_decode(code)));
            }
            (Codec::Pcma, TELEPHONE_HZ) => {
                samples.extend(payload.iter().map(|&code| g711::alaw_decode(code)));
            }
            _ => self.decode(codec, is_fresh, payload, samples),
        }
    }

    fn decode(&mut self, codec: Codec, is_fresh: bool, payload: &[u8], samples: &mut Vec<i16>) {
        let known = self.decoder.take();
        let decoder = known.filter(|decoder| !is_fresh && decoder.codec() == codec);
        let decoder = match decoder {
            Some(decoder) => decoder,
            None => match Decoder::new(codec, self.rate_hz) {
                Ok(decoder) => Box::new(decoder),
                Err(error) => {
                    tracing::error!(%codec, %error, "a leg is not heard in its recording");
                    return;
                }
            },
        };
        let decoder = self.decoder.insert(decoder);
        samples.resize(most_samples(self.rate_hz), 0);
        let decoded = decoder.decode(payload, samples);
        samples.truncate(decoded);
    }
}

/// The rate of G.711.
const TELEPHONE_HZ: u32 = 8_000;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::voice::Encoder;
    use crate::audio::{goertzel, tone};

    /// A second of 400 Hz in packets of 20 ms, heard at a rate; at 16 kHz every second sample of it.
    fn heard(codec: Codec, rate_hz: u32) -> Vec<i16> {
        let mut encoder = Encoder::new(codec, 8_000).unwrap();
        let mut ear = Ear::new(rate_hz);
        let (mut payload, mut samples, mut all) = ([0u8; 1_500], Vec::new(), Vec::new());
        for (n, part) in tone::tone(&[400.0], -6.0, 1_000)
            .chunks_exact(160)
            .enumerate()
        {
            let length = encoder.encode(part, &mut payload);
            ear.hear(codec, n == 0, &payload[..length], &mut samples);
            assert_eq!(samples.len(), rate_hz as usize / 50, "{codec}");
            all.extend(samples.iter().step_by(rate_hz as usize / 8_000));
        }
        all
    }

    #[test]
    fn every_codec_is_heard_at_every_rate() {
        for codec in Codec::ALL {
            for rate_hz in [8_000, 16_000] {
                let all = heard(codec, rate_hz);
                for part in all[800..].chunks_exact(160) {
                    assert!(goertzel::share(part, 400.0) > 0.97, "{codec} {rate_hz}");
                }
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_not_heard_and_the_codec_may_change() {
        let mut ear = Ear::new(16_000);
        let mut samples = vec![1, 2, 3];
        ear.hear(Codec::Opus, true, &[0xff; 3], &mut samples);
        assert!(samples.is_empty());
        ear.hear(Codec::Pcma, false, &[0xd5; 160], &mut samples);
        assert_eq!(samples.len(), 320);
        ear.hear(Codec::G722, false, &[0; 160], &mut samples);
        assert_eq!(samples.len(), 320);
    }
}
