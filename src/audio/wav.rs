//! WAV in and out of memory, over `hound`: any usual PCM file becomes mono samples at 8 kHz, samples become a 16-bit file.

use std::io::Cursor;
use std::sync::Arc;

use hound::{SampleFormat, WavReader, WavSpec, WavWriter};

use super::clip::Clip;
use super::resample::resample;

/// Why a WAV file cannot be used; each is a sentence to show.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum WavError {
    /// Not RIFF/WAVE, or cut short before its sound begins.
    #[error("this is not a readable WAV file: {0}")]
    Unreadable(String),
    /// Compressed, or samples of a size that is not 8, 16, 24 or 32 bits.
    #[error(
        "this WAV file is not plain PCM of 8, 16, 24 or 32 bits (convert it with: sox in.wav -r 8000 -c 1 -b 16 out.wav)"
    )]
    NotPcm,
    /// A sample rate below 8 kHz or above 48 kHz.
    #[error("a sample rate of {0} Hz is not supported: it must be 8000 to 48000 Hz")]
    Rate(u32),
    /// More than two channels.
    #[error("{0} channels are not supported: the file must be mono or stereo")]
    Channels(u16),
    /// No sound in it.
    #[error("this WAV file has no sound in it")]
    Empty,
    /// It would not fit into a WAV file.
    #[error("the sound is too long for a WAV file")]
    TooLong,
}

/// Reads a PCM WAV file (8 to 32 bits or float, mono or stereo, 8 to 48 kHz) as mono at 8 kHz; stereo is averaged.
pub fn read(bytes: &[u8]) -> Result<Vec<i16>, WavError> {
    let (rate, mono) = read_mono(bytes)?;
    Ok(at_rate(&mono, rate, RATE))
}

/// Reads it as a clip: for codecs that carry more than a telephone's bandwidth it is kept at 16 kHz, if the file has as much.
pub fn read_clip(name: &str, bytes: &[u8]) -> Result<Arc<Clip>, WavError> {
    let (rate, mono) = read_mono(bytes)?;
    let samples = at_rate(&mono, rate, RATE);
    Ok(if rate > RATE {
        Clip::wide(name, &samples, &at_rate(&mono, rate, WIDE), WIDE)
    } else {
        Clip::from_samples(name, &samples)
    })
}

fn read_mono(bytes: &[u8]) -> Result<(u32, Vec<f32>), WavError> {
    let (rate, channels) = read_float(bytes)?;
    let mono: Vec<f32> = match channels.as_slice() {
        [left, right] => left.iter().zip(right).map(|(l, r)| (l + r) / 2.0).collect(),
        [only] => only.clone(),
        _ => return Err(WavError::Empty),
    };
    Ok((rate, mono))
}

fn at_rate(mono: &[f32], from: u32, to: u32) -> Vec<i16> {
    resample(mono, from, to).into_iter().map(to_i16).collect()
}

/// Reads a WAV file as it is: its sample rate in Hz and the samples of each channel.
pub fn read_channels(bytes: &[u8]) -> Result<(u32, Vec<Vec<i16>>), WavError> {
    let (rate, channels) = read_float(bytes)?;
    let channels = channels
        .into_iter()
        .map(|channel| channel.into_iter().map(to_i16).collect())
        .collect();
    Ok((rate, channels))
}

/// A mono 16-bit file at 8 kHz.
pub fn write_mono(samples: &[i16]) -> Result<Vec<u8>, WavError> {
    write_mono_at(RATE, samples)
}

/// A mono 16-bit file at another rate, in hertz.
pub fn write_mono_at(rate: u32, samples: &[i16]) -> Result<Vec<u8>, WavError> {
    write(rate, 1, samples.iter().copied())
}

/// A stereo 16-bit file at 8 kHz; the shorter side is filled with silence.
pub fn write_stereo(left: &[i16], right: &[i16]) -> Result<Vec<u8>, WavError> {
    let at = |side: &[i16], n: usize| side.get(n).copied().unwrap_or(0);
    let length = left.len().max(right.len());
    write(
        RATE,
        2,
        (0..length).flat_map(|n| [at(left, n), at(right, n)]),
    )
}

fn read_float(bytes: &[u8]) -> Result<(u32, Vec<Vec<f32>>), WavError> {
    if !block_is_sane(bytes) {
        return Err(WavError::NotPcm);
    }
    let reader = WavReader::new(Cursor::new(bytes)).map_err(unreadable)?;
    let spec = reader.spec();
    if !matches!(spec.channels, 1 | 2) {
        return Err(WavError::Channels(spec.channels));
    }
    if !(RATE..=48_000).contains(&spec.sample_rate) {
        return Err(WavError::Rate(spec.sample_rate));
    }
    if !matches!(spec.bits_per_sample, 8 | 16 | 24 | 32) {
        return Err(WavError::NotPcm);
    }
    // A file that ends before its header says so is used as far as it goes.
    let samples: Vec<f32> = match spec.sample_format {
        SampleFormat::Float => reader.into_samples::<f32>().map_while(Result::ok).collect(),
        SampleFormat::Int => {
            let scale = 1.0 / (1u64 << (spec.bits_per_sample - 1)) as f32;
            reader
                .into_samples::<i32>()
                .map_while(Result::ok)
                .map(|sample| sample as f32 * scale)
                .collect()
        }
    };
    let count = usize::from(spec.channels);
    let mut channels = vec![Vec::with_capacity(samples.len() / count); count];
    for frame in samples.chunks_exact(count) {
        for (channel, &sample) in channels.iter_mut().zip(frame) {
            channel.push(if sample.is_finite() { sample } else { 0.0 });
        }
    }
    if channels.iter().all(Vec::is_empty) {
        return Err(WavError::Empty);
    }
    Ok((spec.sample_rate, channels))
}

/// Whether the fmt chunk's block has room for a sample per channel: `hound` divides by that.
fn block_is_sane(bytes: &[u8]) -> bool {
    let mut at = 12usize;
    while let Some(header) = bytes.get(at..at.saturating_add(8)) {
        let (kind, length) = header.split_at(4);
        let length = length
            .iter()
            .rev()
            .fold(0usize, |sum, &byte| sum << 8 | usize::from(byte));
        if kind == b"fmt " {
            let field = |offset: usize| match bytes.get(at + 8 + offset..at + 10 + offset) {
                Some(&[low, high]) => u16::from_le_bytes([low, high]),
                _ => 0,
            };
            let (channels, block) = (field(2), field(12));
            return channels == 0 || block / channels > 0;
        }
        at = at.saturating_add(8).saturating_add(length);
    }
    true
}

fn write(
    rate: u32,
    channels: u16,
    samples: impl Iterator<Item = i16>,
) -> Result<Vec<u8>, WavError> {
    let spec = WavSpec {
        channels,
        sample_rate: rate,
        bits_per_sample: 16,
        sample_format: SampleFormat::Int,
    };
    let mut file = Cursor::new(Vec::new());
    let mut writer = WavWriter::new(&mut file, spec).map_err(unreadable)?;
    for (n, sample) in samples.enumerate() {
        if n >= MAX_SAMPLES {
            return Err(WavError::TooLong);
        }
        writer.write_sample(sample).map_err(unreadable)?;
    }
    writer.finalize().map_err(unreadable)?;
    Ok(file.into_inner())
}

fn unreadable(error: hound::Error) -> WavError {
    match error {
        hound::Error::Unsupported => WavError::NotPcm,
        error => WavError::Unreadable(error.to_string()),
    }
}

fn to_i16(sample: f32) -> i16 {
    // The cast saturates.
    (sample * 32_768.0).round() as i16
}

const RATE: u32 = 8_000;
/// The rate at which clips are kept for wide codecs.
const WIDE: u32 = 16_000;
/// What the 32-bit sizes of RIFF can count in 16-bit samples, with room for the header.
const MAX_SAMPLES: usize = (u32::MAX as usize - 1_024) / 2;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::{goertzel, tone};
    use proptest::prelude::*;

    fn spec(channels: u16, sample_rate: u32, bits_per_sample: u16, float: bool) -> WavSpec {
        let sample_format = if float {
            SampleFormat::Float
        } else {
            SampleFormat::Int
        };
        WavSpec {
            channels,
            sample_rate,
            bits_per_sample,
            sample_format,
        }
    }

    /// A second of 1 kHz at half of full scale.
    fn file(spec: WavSpec) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        let mut writer = WavWriter::new(&mut file, spec).unwrap();
        for n in 0..spec.sample_rate {
            let value = 0.5
                * (std::f64::consts::TAU * 1_000.0 * f64::from(n) / f64::from(spec.sample_rate))
                    .sin();
            for _ in 0..spec.channels {
                if spec.sample_format == SampleFormat::Float {
                    writer.write_sample(value as f32).unwrap();
                } else {
                    let scale = (1i64 << (spec.bits_per_sample - 1)) as f64 - 1.0;
                    writer.write_sample((value * scale).round() as i32).unwrap();
                }
            }
        }
        writer.finalize().unwrap();
        file.into_inner()
    }

    #[test]
    fn every_usual_format_becomes_the_same_sound() {
        for (bits, float) in [
            (8, false),
            (16, false),
            (24, false),
            (32, false),
            (32, true),
        ] {
            for channels in [1, 2] {
                for rate in [8_000, 16_000, 22_050, 44_100, 48_000] {
                    let samples = read(&file(spec(channels, rate, bits, float))).unwrap();
                    let name = format!("{bits} {float} {channels} {rate}");
                    assert_eq!(samples.len(), 8_000, "{name}");
                    let middle = &samples[500..7_500];
                    let level = goertzel::level_dbfs(middle, 1_000.0);
                    assert!((level + 6.02).abs() < 0.1, "{name}: {level}");
                    assert!(goertzel::share(middle, 1_000.0) > 0.999, "{name}");
                }
            }
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        let (left, right) = (
            tone::tone(&[440.0], -3.0, 300),
            tone::tone(&[1_000.0], -9.0, 200),
        );
        assert_eq!(read(&write_mono(&left).unwrap()).unwrap(), left);
        let (rate, channels) = read_channels(&write_stereo(&left, &right).unwrap()).unwrap();
        assert_eq!(rate, 8_000);
        assert_eq!(channels[0], left);
        assert_eq!(channels[1][..1_600], right);
        assert!(channels[1][1_600..].iter().all(|&sample| sample == 0));
    }

    #[test]
    fn a_file_cut_short_is_used_as_far_as_it_goes() {
        let bytes = write_mono(&tone::tone(&[440.0], -3.0, 1_000)).unwrap();
        assert_eq!(read(&bytes[..44 + 8_001]).unwrap().len(), 4_000);
    }

    #[test]
    fn errors_are_sentences() {
        assert!(matches!(read(b""), Err(WavError::Unreadable(_))));
        assert!(matches!(
            read(b"ID3 not a wav file at all......................"),
            Err(WavError::Unreadable(_))
        ));
        assert_eq!(read(&write_mono(&[]).unwrap()), Err(WavError::Empty));
        assert_eq!(
            read(&file(spec(1, 4_000, 16, false))),
            Err(WavError::Rate(4_000))
        );
        assert_eq!(
            read(&file(spec(3, 8_000, 16, false))),
            Err(WavError::Channels(3))
        );
        let mut compressed = file(spec(1, 8_000, 16, false));
        compressed[20] = 0x31;
        assert_eq!(read(&compressed), Err(WavError::NotPcm));
        let mut no_block = file(spec(1, 8_000, 16, false));
        no_block[28..36].fill(0);
        assert_eq!(read(&no_block), Err(WavError::NotPcm));
    }

    #[test]
    fn the_prompts_that_ship_are_good() {
        let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config/prompts");
        for name in [
            "greeting",
            "menu",
            "please_wait",
            "leave_message",
            "closed",
            "all_busy",
            "goodbye",
        ] {
            for language in ["", "en"] {
                let path = folder.join(language).join(name).with_extension("wav");
                let bytes = std::fs::read(&path).unwrap();
                let samples = read(&bytes).unwrap();
                assert!(bytes.len() < 300_000, "{path:?}");
                assert!((16_000..160_000).contains(&samples.len()), "{path:?}");
                let peak = samples.iter().map(|sample| sample.unsigned_abs()).max();
                assert!((15_000..18_000).contains(&peak.unwrap()), "{path:?}");
            }
        }
        let music = read(&std::fs::read(folder.join("music.wav")).unwrap()).unwrap();
        assert_eq!(music.len(), 102_400);
        assert!((goertzel::rms_dbfs(&music) + 18.0).abs() < 0.5);
        let step = |a: i16, b: i16| (i32::from(a) - i32::from(b)).abs();
        let steepest = music.windows(2).map(|pair| step(pair[0], pair[1])).max();
        assert!(
            Some(step(music[0], music[102_399])) <= steepest,
            "the loop has a seam"
        );
    }

    proptest! {
        #[test]
        fn no_damage_makes_it_panic(
            at in proptest::collection::vec((0usize..60, any::<u8>()), 0..6),
            length in 0usize..2_000,
        ) {
            let mut bytes = write_stereo(&[1_000; 400], &[-1_000; 400]).unwrap();
            for (position, byte) in at {
                bytes[position] = byte;
            }
            bytes.truncate(length);
            let _ = read(&bytes);
        }
    }
}
