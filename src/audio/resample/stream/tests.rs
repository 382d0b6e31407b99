use super::*;
use std::f64::consts::TAU;

const RATES: [(u32, u32); 6] = [
    (8_000, 16_000),
    (8_000, 48_000),
    (16_000, 48_000),
    (16_000, 8_000),
    (48_000, 8_000),
    (48_000, 16_000),
];

fn sine(frequency: f64, rate: u32, seconds: u32) -> Vec<i16> {
    (0..rate * seconds)
        .map(|n| (TAU * frequency * f64::from(n) / f64::from(rate)).sin() * 16_000.0)
        .map(|sample| sample.round() as i16)
        .collect()
}

/// In packets of 20 ms, as calls bring them.
fn resampled(from: u32, to: u32, input: &[i16]) -> Vec<i16> {
    let mut resampler = Resampler::new(from, to).unwrap();
    let mut all = Vec::new();
    let mut room = vec![0; to as usize / 50];
    for packet in input.chunks(from as usize / 50) {
        let made = resampler.process(packet, &mut room);
        assert_eq!(made, packet.len() * to as usize / from as usize);
        all.extend_from_slice(&room[..made]);
    }
    all
}

/// The amplitude of a frequency, and of everything else.
fn tone_and_rest(samples: &[i16], frequency: f64, rate: u32) -> (f64, f64) {
    let (mut sin, mut cos, mut power) = (0.0, 0.0, 0.0);
    let count = samples.len() as f64;
    for (n, &sample) in samples.iter().enumerate() {
        let angle = TAU * frequency * n as f64 / f64::from(rate);
        sin += f64::from(sample) * angle.sin();
        cos += f64::from(sample) * angle.cos();
        power += f64::from(sample).powi(2);
    }
    let amplitude = 2.0 * sin.hypot(cos) / count;
    let rest = (2.0 * power / count - amplitude * amplitude)
        .max(0.0)
        .sqrt();
    (amplitude, rest)
}

fn decibels(ratio: f64) -> f64 {
    20.0 * ratio.log10()
}

#[test]
fn a_tone_keeps_its_level_and_gets_no_company() {
    for (from, to) in RATES {
        let low = f64::from(from.min(to));
        for part in [0.0375, 0.125, 0.25, 0.4] {
            let frequency = low * part;
            let heard = resampled(from, to, &sine(frequency, from, 2));
            let (amplitude, rest) = tone_and_rest(&heard[to as usize..], frequency, to);
            let level = decibels(amplitude / 16_000.0);
            let distortion = decibels(rest / amplitude);
            assert!(
                level.abs() < 0.2,
                "{from} to {to}, {frequency} Hz: {level:.2} dB"
            );
            // Rounding to 16 bits alone is at -85 dB here.
            assert!(
                distortion < -66.0,
                "{from} to {to}, {frequency} Hz: {distortion:.1} dB"
            );
        }
    }
}

#[test]
fn what_the_lower_rate_cannot_hold_is_gone() {
    for (from, to) in [(16_000, 8_000), (48_000, 8_000), (48_000, 16_000)] {
        for part in [0.56, 0.7, 0.95, 1.3] {
            let frequency = f64::from(to) * part;
            if frequency >= f64::from(from) / 2.0 {
                continue;
            }
            let heard = resampled(from, to, &sine(frequency, from, 1));
            let heard = &heard[heard.len() / 2..];
            let loudest = heard
                .iter()
                .map(|sample| sample.unsigned_abs())
                .max()
                .unwrap();
            assert!(loudest <= 10, "{from} to {to}, {frequency} Hz: {loudest}");
        }
    }
}

#[test]
fn it_is_late_by_half_the_filter() {
    for (from, to) in RATES {
        let mut input = vec![0; from as usize / 10];
        input[0] = 20_000;
        let heard = resampled(from, to, &input);
        let peak = (0..heard.len()).max_by_key(|&n| heard[n]).unwrap();
        let late = (ZERO_CROSSINGS * to as usize).div_ceil(from.min(to) as usize);
        assert!(
            peak.abs_diff(late) <= (to as usize).div_ceil(from as usize),
            "{from} to {to}: {peak}, {late}"
        );
    }
}

#[test]
fn odd_packets_make_the_same_stream() {
    for (from, to) in RATES {
        let input = sine(700.0, from, 1);
        let whole = resampled(from, to, &input);
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut heard = Vec::new();
        let mut room = vec![0; 6 * 1_000];
        for (n, packet) in input.chunks(77).enumerate() {
            let (first, second) = packet.split_at((n * 13) % (packet.len() + 1));
            for part in [first, second] {
                let made = resampler.process(part, &mut room);
                heard.extend_from_slice(&room[..made]);
            }
        }
        assert_eq!(heard, whole, "{from} to {to}");
        resampler.reset();
        let mut again = vec![0; whole.len()];
        assert_eq!(resampler.process(&input, &mut again), whole.len());
        assert_eq!(again, whole);
    }
}

#[test]
fn the_loudest_sound_is_limited_and_a_constant_stays() {
    for (from, to) in RATES {
        let square: Vec<i16> = (0..from)
            .map(|n| if n % 16 < 8 { i16::MAX } else { i16::MIN })
            .collect();
        resampled(from, to, &square);
        let heard = resampled(from, to, &vec![12_345; from as usize]);
        assert!(
            heard[heard.len() / 2..]
                .iter()
                .all(|&sample| (sample - 12_345).abs() <= 1)
        );
    }
}

#[test]
fn equal_rates_copy_and_others_are_refused() {
    let mut room = [0; 3];
    let mut copy = Resampler::new(48_000, 48_000).unwrap();
    assert_eq!(copy.process(&[1, 2, 3, 4], &mut room), 3);
    assert_eq!(room, [1, 2, 3]);
    for (from, to) in [(44_100, 48_000), (8_000, 24_000), (0, 0), (24_000, 24_000)] {
        assert_eq!(
            Resampler::new(from, to).unwrap_err(),
            UnsupportedRates { from, to }
        );
    }
}
