//! Changing the sample rate of a whole sound by a polyphase filter: a sinc under a Kaiser window, 70 dB down at the stop band.
//!
//! For prompts at load and test phones; streams are resampled in [`stream`].

pub mod stream;

use std::f64::consts::PI;

/// `samples` at `from` Hz as they would have been sampled at `to` Hz: as long in time, flat up to 86 % of the lower rate's
/// half, nothing above it. A rate of 0 gives nothing.
pub fn resample(samples: &[f32], from: u32, to: u32) -> Vec<f32> {
    if from == 0 || to == 0 {
        return Vec::new();
    }
    if from == to {
        return samples.to_vec();
    }
    let divisor = gcd(from, to);
    let filter = Filter::new(from / divisor, to / divisor);
    let length = (samples.len() as u64 * u64::from(to)).div_ceil(u64::from(from));
    (0..length).map(|n| filter.at(samples, n)).collect()
}

/// One row of coefficients for each position that an output sample can have between two input samples.
struct Filter {
    /// Input samples per `phases` output samples.
    step: u64,
    phases: u64,
    /// Coefficients per phase.
    taps: usize,
    table: Vec<f32>,
}

impl Filter {
    /// For `up` samples out of every `down` in.
    fn new(down: u32, up: u32) -> Filter {
        let ratio = f64::from(up) / f64::from(down);
        // Both in cycles per input sample and input samples: going down, the filter is wider and cuts lower.
        let cutoff = 0.5 * CUTOFF * ratio.min(1.0);
        let half = ZERO_CROSSINGS / ratio.min(1.0);
        let taps = 2 * half.ceil() as usize;
        let mut table = Vec::with_capacity(taps * up as usize);
        for phase in 0..up {
            let fraction = f64::from(phase) / f64::from(up);
            let row: Vec<f64> = (0..taps)
                .map(|tap| tap as f64 - (taps / 2 - 1) as f64 - fraction)
                .map(|distance| {
                    2.0 * cutoff * sinc(2.0 * cutoff * distance) * kaiser(distance / half)
                })
                .collect();
            // Every phase passes a constant unchanged: without this, phases differ by the window's ripple and hum.
            let sum: f64 = row.iter().sum();
            table.extend(row.iter().map(|coefficient| (coefficient / sum) as f32));
        }
        Filter {
            step: u64::from(down),
            phases: u64::from(up),
            taps,
            table,
        }
    }

    /// Output sample `n`; before the beginning and after the end there is silence.
    fn at(&self, samples: &[f32], n: u64) -> f32 {
        let position = n * self.step;
        let first = (position / self.phases) as i64 - (self.taps as i64 / 2 - 1);
        let phase = (position % self.phases) as usize;
        let row = self
            .table
            .get(phase * self.taps..(phase + 1) * self.taps)
            .unwrap_or(&[]);
        let skipped = first.min(0).unsigned_abs() as usize;
        let start = first.max(0) as usize;
        let row = row.get(skipped..).unwrap_or(&[]);
        let window = samples.get(start..).unwrap_or(&[]);
        row.iter().zip(window).map(|(a, b)| a * b).sum()
    }
}

fn sinc(x: f64) -> f64 {
    if x.abs() < 1e-9 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The Kaiser window at -1 to 1, 0 outside.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel_i0(BETA * (1.0 - x * x).sqrt()) / bessel_i0(BETA)
}

/// The modified Bessel function of order 0, by its power series.
fn bessel_i0(x: f64) -> f64 {
    let quarter = x * x / 4.0;
    let (mut term, mut sum) = (1.0, 1.0);
    for k in 1..40 {
        term *= quarter / f64::from(k * k);
        sum += term;
    }
    sum
}

fn gcd(a: u32, b: u32) -> u32 {
    if b == 0 { a } else { gcd(b, a % b) }
}

/// Zero crossings of the sinc on each side, and the cut-off as part of the lower rate's half: together they put the
/// transition between 86 % and 100 % of it.
const ZERO_CROSSINGS: f64 = 32.0;
const CUTOFF: f64 = 0.93;
/// Kaiser's parameter for 70 dB.
const BETA: f64 = 6.76;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::goertzel;
    use std::f64::consts::TAU;

    fn sine(frequency: f64, rate: u32) -> Vec<f32> {
        (0..rate)
            .map(|n| (0.5 * (TAU * frequency * f64::from(n) / f64::from(rate)).sin()) as f32)
            .collect()
    }

    /// The middle of a second at 8 kHz, away from the edges.
    fn middle(samples: &[f32]) -> Vec<i16> {
        assert_eq!(samples.len(), 8_000);
        samples[1_000..7_000]
            .iter()
            .map(|sample| (sample * 32_767.0).round() as i16)
            .collect()
    }

    const RATES: [u32; 8] = [
        11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000,
    ];

    #[test]
    fn tones_of_speech_pass_unchanged() {
        for rate in RATES {
            for frequency in [100.0, 440.0, 1_000.0, 3_300.0] {
                let out = middle(&resample(&sine(frequency, rate), rate, 8_000));
                let level = goertzel::level_dbfs(&out, frequency);
                assert!((level + 6.02).abs() < 0.1, "{rate} {frequency}: {level}");
                assert!(
                    goertzel::share(&out, frequency) > 0.999_9,
                    "{rate} {frequency}"
                );
            }
        }
    }

    #[test]
    fn nothing_folds_back() {
        for rate in RATES {
            for frequency in [4_100.0, 4_600.0, 5_000.0, 7_000.0, 9_000.0, 15_500.0] {
                if frequency * 2.0 >= f64::from(rate) {
                    continue;
                }
                let out = middle(&resample(&sine(frequency, rate), rate, 8_000));
                let left = goertzel::rms_dbfs(&out);
                assert!(left < -6.0 - 3.0 - 55.0, "{rate} {frequency}: {left}");
            }
        }
    }

    #[test]
    fn going_up_makes_no_images() {
        let up = resample(&sine(1_000.0, 8_000), 8_000, 48_000);
        assert_eq!(up.len(), 48_000);
        let back = middle(&resample(&up, 48_000, 8_000));
        assert!(goertzel::share(&back, 1_000.0) > 0.999_9);
    }

    #[test]
    fn length_keeps_time_and_nothing_stays_nothing() {
        assert_eq!(resample(&[0.1; 441], 44_100, 8_000).len(), 80);
        assert_eq!(resample(&[0.1; 7], 8_000, 8_000), [0.1; 7]);
        assert!(resample(&[], 44_100, 8_000).is_empty());
        assert!(resample(&[1.0], 0, 8_000).is_empty());
    }
}
