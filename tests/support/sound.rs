//! Tones, G.711 written for these tests alone, and the Goertzel measure.

use std::f64::consts::TAU;
use std::path::Path;

/// Samples per second everywhere here.
pub const RATE: f64 = 8_000.0;

/// A G.711 law.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Law {
    /// PCMU, payload type 0.
    Mu,
    /// PCMA, payload type 8.
    A,
}

impl Law {
    /// Its static RTP payload type.
    pub fn payload_type(self) -> u8 {
        match self {
            Law::Mu => 0,
            Law::A => 8,
        }
    }

    /// Its name in SDP.
    pub fn name(self) -> &'static str {
        match self {
            Law::Mu => "PCMU",
            Law::A => "PCMA",
        }
    }

    /// The linear value of an octet (G.711 tables 1 and 2).
    pub fn decode(self, octet: u8) -> i16 {
        match self {
            Law::Mu => {
                let bits = !octet;
                let exponent = (bits >> 4) & 7;
                let magnitude = (((i32::from(bits & 15) << 3) + 0x84) << exponent) - 0x84;
                let value = if bits & 0x80 == 0 {
                    magnitude
                } else {
                    -magnitude
                };
                i16::try_from(value).unwrap()
            }
            Law::A => {
                let bits = octet ^ 0x55;
                let exponent = (bits >> 4) & 7;
                let mantissa = (i32::from(bits & 15) << 4) + 8;
                let magnitude = match exponent {
                    0 => mantissa,
                    _ => (mantissa + 0x100) << (exponent - 1),
                };
                let value = if bits & 0x80 == 0 {
                    -magnitude
                } else {
                    magnitude
                };
                i16::try_from(value).unwrap()
            }
        }
    }

    /// The octet whose value is nearest.
    pub fn encode(self, sample: i16) -> u8 {
        (0..=255)
            .min_by_key(|octet| (i32::from(self.decode(*octet)) - i32::from(sample)).abs())
            .unwrap()
    }
}

/// One sample of a tone at half of full scale.
pub fn tone_sample(hertz: f64, index: u32) -> i16 {
    (16_000.0 * (TAU * hertz * f64::from(index) / RATE).sin()) as i16
}

/// Writes a tone as a mono WAV of 16 bits at 8 kHz.
pub fn write_tone(path: &Path, hertz: f64, seconds: f64) {
    let count = (seconds * RATE) as u32;
    let samples: Vec<i16> = (0..count).map(|at| tone_sample(hertz, at)).collect();
    write_wav(path, &samples);
}

/// Writes a mono WAV of 16 bits at 8 kHz.
pub fn write_wav(path: &Path, samples: &[i16]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 8_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(path, spec).unwrap();
    for sample in samples {
        writer.write_sample(*sample).unwrap();
    }
    writer.finalize().unwrap();
}

/// The channels of a WAV file in memory, and its sample rate.
pub fn read_wav(bytes: &[u8]) -> (Vec<Vec<i16>>, u32) {
    let mut reader = hound::WavReader::new(bytes).expect("a WAV file");
    let spec = reader.spec();
    let mut channels = vec![Vec::new(); usize::from(spec.channels)];
    for (index, sample) in reader.samples::<i16>().enumerate() {
        let channel = index % channels.len();
        channels[channel].push(sample.unwrap());
    }
    (channels, spec.sample_rate)
}

/// The share of a block's energy that lies at `hertz`, 0 to 1 (Goertzel).
pub fn share(samples: &[i16], hertz: f64) -> f64 {
    let energy: f64 = samples.iter().map(|s| f64::from(*s).powi(2)).sum();
    if energy == 0.0 {
        return 0.0;
    }
    let step = 2.0 * (TAU * hertz / RATE).cos();
    let (mut last, mut before) = (0.0, 0.0);
    for sample in samples {
        let now = f64::from(*sample) + step * last - before;
        before = last;
        last = now;
    }
    let power = last * last + before * before - step * last * before;
    2.0 * power / (samples.len() as f64 * energy)
}

/// Whether a block is that tone, loud and clear.
pub fn is_tone(samples: &[i16], hertz: f64) -> bool {
    let loud = samples.iter().any(|sample| sample.unsigned_abs() > 4_000);
    loud && share(samples, hertz) > 0.9
}

/// Seconds of the tone, counted in blocks of 20 ms.
pub fn seconds_of(samples: &[i16], hertz: f64) -> f64 {
    let blocks = samples.chunks_exact(160);
    blocks.filter(|block| is_tone(block, hertz)).count() as f64 * 0.02
}

/// The longest stretch without the tone between its first and its last block, in seconds.
pub fn longest_gap(samples: &[i16], hertz: f64) -> f64 {
    let heard: Vec<bool> = samples
        .chunks_exact(160)
        .map(|block| is_tone(block, hertz))
        .collect();
    let first = heard.iter().position(|h| *h).unwrap_or(0);
    let last = heard.iter().rposition(|h| *h).unwrap_or(0);
    let inner = &heard[first..=last.max(first).min(heard.len().saturating_sub(1))];
    let longest = inner.split(|h| *h).map(<[bool]>::len).max().unwrap_or(0);
    longest as f64 * 0.02
}
