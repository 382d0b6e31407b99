//! Tones by arithmetic: the beep before a message and what a caller hears while phones ring. 8 kHz, 16 bit, mono.

use std::f64::consts::TAU;

/// Sines of equal strength added up. The peak of the sum stays below `level_dbfs` (0 is full scale), whatever their phases.
/// Starts at phase 0; without a frequency it is silence.
pub fn tone(frequencies_hz: &[f64], level_dbfs: f64, milliseconds: u32) -> Vec<i16> {
    let amplitude = FULL_SCALE * 10f64.powf(level_dbfs.min(0.0) / 20.0);
    let each = amplitude / frequencies_hz.len().max(1) as f64;
    (0..samples_in(milliseconds))
        .map(|n| {
            let at = n as f64 / RATE;
            let sum: f64 = frequencies_hz
                .iter()
                .map(|frequency| (TAU * frequency * at).sin())
                .sum();
            (sum * each).round() as i16
        })
        .collect()
}

/// Silence.
pub fn silence(milliseconds: u32) -> Vec<i16> {
    vec![0; samples_in(milliseconds)]
}

/// The signal to speak after: 1 kHz for 400 ms, softly begun and ended.
pub fn beep() -> Vec<i16> {
    let mut samples = tone(&[1_000.0], BEEP_DBFS, 400);
    fade_ends(&mut samples, samples_in(10));
    samples
}

/// So many short signals: 1 kHz for 120 ms each, softly begun and ended.
pub fn signals(count: usize) -> Vec<i16> {
    let mut signal = tone(&[1_000.0], BEEP_DBFS, 120);
    fade_ends(&mut signal, samples_in(10));
    signal.extend(silence(80));
    signal.repeat(count)
}

/// Two short notes, rising or falling: somebody comes or leaves.
pub fn notes(rising: bool) -> Vec<i16> {
    let frequencies = if rising {
        [660.0, 880.0]
    } else {
        [880.0, 660.0]
    };
    let note = |frequency: f64| {
        let mut note = tone(&[frequency], NOTES_DBFS, 120);
        fade_ends(&mut note, samples_in(10));
        note
    };
    frequencies.into_iter().flat_map(note).collect()
}

/// One period of a country's ring-back tone (ITU-T E.180 Supplement 2), to be played in a loop. `country` is ISO 3166 alpha-2;
/// one that is not listed hears 425 Hz for 1 s, then 4 s of silence.
pub fn ringback(country: &str) -> Vec<i16> {
    let (frequencies, cadence): (&[f64], &[u32]) = match country.to_ascii_uppercase().as_str() {
        "US" | "CA" => (&[440.0, 480.0], &[2_000, 4_000]),
        "GB" | "IE" => (&[400.0, 450.0], &[400, 200, 400, 2_000]),
        "AU" => (&[400.0, 425.0, 450.0], &[400, 200, 400, 2_000]),
        "FR" => (&[440.0], &[1_500, 3_500]),
        "CN" => (&[450.0], &[1_000, 4_000]),
        "JP" => (&[384.0, 416.0], &[1_000, 2_000]),
        // RU, DE and most of Europe among them.
        _ => (&[425.0], &[1_000, 4_000]),
    };
    let mut period = Vec::new();
    for (part, &milliseconds) in cadence.iter().enumerate() {
        if part % 2 == 0 {
            let mut sound = tone(frequencies, RINGBACK_DBFS, milliseconds);
            fade_ends(&mut sound, samples_in(5));
            period.extend(sound);
        } else {
            period.extend(silence(milliseconds));
        }
    }
    period
}

/// Raises the first and lowers the last samples linearly, so that no click is heard.
fn fade_ends(samples: &mut [i16], length: usize) {
    let length = length.min(samples.len() / 2);
    let scale = |sample: &mut i16, step: usize| {
        *sample = (i64::from(*sample) * step as i64 / length.max(1) as i64) as i16;
    };
    for (step, sample) in samples.iter_mut().take(length).enumerate() {
        scale(sample, step);
    }
    for (step, sample) in samples.iter_mut().rev().take(length).enumerate() {
        scale(sample, step);
    }
}

fn samples_in(milliseconds: u32) -> usize {
    milliseconds as usize * 8
}

const RATE: f64 = 8_000.0;
const FULL_SCALE: f64 = i16::MAX as f64;
const BEEP_DBFS: f64 = -10.0;
const RINGBACK_DBFS: f64 = -16.0;
/// Beside people who talk.
const NOTES_DBFS: f64 = -20.0;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::goertzel;

    #[test]
    fn a_tone_has_its_frequencies_level_and_length() {
        let samples = tone(&[440.0, 480.0], -6.0, 500);
        assert_eq!(samples.len(), 4_000);
        for frequency in [440.0, 480.0] {
            let level = goertzel::level_dbfs(&samples, frequency);
            assert!((level + 12.02).abs() < 0.2, "{level}");
        }
        assert!(goertzel::level_dbfs(&samples, 600.0) < -40.0);
        let peak = samples.iter().map(|sample| sample.unsigned_abs()).max();
        assert!(peak <= Some(16_423));
    }

    #[test]
    fn odd_arguments_give_silence_or_full_scale() {
        assert_eq!(tone(&[], -6.0, 10), silence(10));
        assert!(tone(&[425.0], -6.0, 0).is_empty());
        assert!(
            tone(&[425.0], 20.0, 100)
                .iter()
                .all(|&sample| sample > i16::MIN)
        );
    }

    #[test]
    fn the_beep_is_one_kilohertz_without_a_click() {
        let beep = beep();
        assert_eq!(beep.len(), 3_200);
        assert!(goertzel::is_dominant(&beep, 1_000.0));
        assert_eq!((beep[0], beep[3_199]), (0, 0));
    }

    #[test]
    fn ring_back_follows_the_country() {
        for (country, frequencies, sound, period) in [
            ("RU", &[425.0][..], 1_000, 5_000),
            ("us", &[440.0, 480.0], 2_000, 6_000),
            ("GB", &[400.0, 450.0], 400, 3_000),
            ("DE", &[425.0], 1_000, 5_000),
            ("??", &[425.0], 1_000, 5_000),
        ] {
            let samples = ringback(country);
            assert_eq!(samples.len(), samples_in(period), "{country}");
            let (on, off) = samples.split_at(samples_in(sound));
            let share: f64 = frequencies.iter().map(|&f| goertzel::share(on, f)).sum();
            assert!(share > 0.95, "{country}: {share}");
            assert!(off[..samples_in(200)].iter().all(|&sample| sample == 0));
        }
        assert!(goertzel::share(&ringback("GB")[samples_in(600)..samples_in(1_000)], 400.0) > 0.4);
    }
}
