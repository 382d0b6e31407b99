//! How strong one frequency is in a window of sound at 8 kHz, by Goertzel's recurrence.
//!
//! A window resolves frequencies that are about 8000 / length Hz apart.

use std::f64::consts::TAU;

/// The amplitude of the sine of `frequency_hz` in the window, in sample units (32767 is full scale); 0 for an empty window.
pub fn amplitude(samples: &[i16], frequency_hz: f64) -> f64 {
    if samples.is_empty() {
        return 0.0;
    }
    let coefficient = 2.0 * (TAU * frequency_hz / RATE).cos();
    let (mut last, mut before) = (0.0f64, 0.0f64);
    for &sample in samples {
        let next = f64::from(sample) + coefficient * last - before;
        before = last;
        last = next;
    }
    let power = last * last + before * before - coefficient * last * before;
    2.0 * power.max(0.0).sqrt() / samples.len() as f64
}

/// The same as a level: 0 is a sine of full scale, silence is -200.
pub fn level_dbfs(samples: &[i16], frequency_hz: f64) -> f64 {
    decibels(amplitude(samples, frequency_hz) / FULL_SCALE)
}

/// Which part of the window's whole power is in the sine of `frequency_hz`: 1 for that sine alone, 0 for silence.
pub fn share(samples: &[i16], frequency_hz: f64) -> f64 {
    let whole: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    if whole == 0.0 {
        return 0.0;
    }
    let amplitude = amplitude(samples, frequency_hz);
    (amplitude * amplitude / 2.0 * samples.len() as f64 / whole).min(1.0)
}

/// Whether the window is this tone and hardly anything else: at least 80 % of its power, and louder than -50 dBFS.
pub fn is_dominant(samples: &[i16], frequency_hz: f64) -> bool {
    share(samples, frequency_hz) >= 0.8 && level_dbfs(samples, frequency_hz) > -50.0
}

/// The window's root mean square as a level: a sine of full scale has -3, silence -200.
pub fn rms_dbfs(samples: &[i16]) -> f64 {
    let whole: f64 = samples
        .iter()
        .map(|&sample| f64::from(sample).powi(2))
        .sum();
    decibels((whole / samples.len().max(1) as f64).sqrt() / FULL_SCALE)
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.max(1e-10).log10()
}

const RATE: f64 = 8_000.0;
const FULL_SCALE: f64 = i16::MAX as f64;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::tone;

    #[test]
    fn a_tone_is_measured() {
        let samples = tone::tone(&[440.0], -20.0, 250);
        assert!((level_dbfs(&samples, 440.0) + 20.0).abs() < 0.05);
        assert!((rms_dbfs(&samples) + 23.0).abs() < 0.05);
        assert!(share(&samples, 440.0) > 0.999);
        assert!(share(&samples, 1_000.0) < 0.001);
        assert!(is_dominant(&samples, 440.0));
        assert!(!is_dominant(&samples, 480.0));
    }

    #[test]
    fn two_tones_share() {
        let samples = tone::tone(&[697.0, 1_209.0], -6.0, 1_000);
        assert!((share(&samples, 697.0) - 0.5).abs() < 0.01);
        assert!(!is_dominant(&samples, 697.0));
    }

    #[test]
    fn silence_and_nothing_are_no_tone() {
        assert!(!is_dominant(&[0; 800], 440.0));
        assert!(!is_dominant(&[], 440.0));
        assert_eq!(rms_dbfs(&[]), -200.0);
    }
}
