use super::*;
use crate::audio::{g711, tone};
use crate::ledger::entropy::Entropy;
use proptest::prelude::*;

/// A tone pair: off their frequencies by a factor, at levels in dBm0 (a sine of full scale is 3.17).
struct Pair {
    low: f64,
    high: f64,
    off: (f64, f64),
    levels: (f64, f64),
}

fn pair(key: char) -> Pair {
    let place = KEYS
        .iter()
        .enumerate()
        .find_map(|(row, keys)| Some((row, keys.iter().position(|&k| char::from(k) == key)?)));
    let (row, column) = place.unwrap();
    Pair {
        low: f64::from(FREQUENCIES[row]),
        high: f64::from(FREQUENCIES[4 + column]),
        off: (1.0, 1.0),
        levels: (-10.0, -8.0),
    }
}

impl Pair {
    fn samples(&self, count: usize) -> Vec<i16> {
        let amplitude = |level: f64| 32_767.0 * 10f64.powf((level - 3.17) / 20.0);
        let (low, high) = (amplitude(self.levels.0), amplitude(self.levels.1));
        (0..count)
            .map(|n| {
                let at = n as f64 / 8000.0 * std::f64::consts::TAU;
                let sum = low * (at * self.low * self.off.0).sin()
                    + high * (at * self.high * self.off.1 + 1.0).sin();
                sum.clamp(-32_768.0, 32_767.0) as i16
            })
            .collect()
    }
}

/// What is heard of the parts, each through A-law and in frames of 20 ms, behind `shift` samples of silence.
fn heard(shift: usize, parts: &[Vec<i16>]) -> String {
    let mut sound = vec![0i16; shift];
    sound.extend(parts.iter().flatten());
    sound.extend([0; 800]);
    let mut listener = ToneListener::new();
    sound
        .chunks(160)
        .filter_map(|frame| {
            let coded = frame
                .iter()
                .map(|&s| g711::alaw_decode(g711::alaw_encode(s)));
            listener.hear(coded)
        })
        .collect()
}

fn ms(n: usize) -> usize {
    n * 8
}

fn quiet(millis: usize) -> Vec<i16> {
    vec![0; ms(millis)]
}

const ALL: &str = "123A456B789C*0#D";

#[test]
fn every_key_of_40_ms_is_heard_once_wherever_it_falls() {
    for shift in 0..BLOCK {
        for key in ALL.chars() {
            let tone = pair(key).samples(ms(40));
            assert_eq!(heard(shift, &[tone]), key.to_string(), "shift {shift}");
        }
    }
}

#[test]
fn what_is_shorter_than_23_ms_is_no_key() {
    for shift in 0..BLOCK {
        for key in ALL.chars() {
            assert_eq!(heard(shift, &[pair(key).samples(ms(23))]), "", "{key}");
        }
    }
}

#[test]
fn frequencies_may_be_off_by_1_5_percent_and_not_by_3_5() {
    for key in ALL.chars() {
        for shift in (0..BLOCK).step_by(7) {
            for off in [0.985, 1.015] {
                for off in [(off, 1.0), (1.0, off), (off, off), (off, 2.0 - off)] {
                    let tone = Pair { off, ..pair(key) }.samples(ms(40));
                    assert_eq!(heard(shift, &[tone]), key.to_string(), "{off:?}");
                }
            }
            for off in [0.965, 1.035, 0.95, 1.05] {
                for off in [(off, 1.0), (1.0, off), (off, off)] {
                    let tone = Pair { off, ..pair(key) }.samples(ms(200));
                    assert_eq!(heard(shift, &[tone]), "", "{key} {off:?}");
                }
            }
        }
    }
}

#[test]
fn levels_and_twist() {
    for key in ALL.chars() {
        let at = |levels| {
            heard(
                3,
                &[Pair {
                    levels,
                    ..pair(key)
                }
                .samples(ms(40))],
            )
        };
        let wanted = key.to_string();
        // 0 to -30 dBm0 each (Q.24: -3 to -24 and more), the high one up to 5 dB stronger, the low one up to 9.
        for levels in [(-2.0, -2.0), (-30.0, -30.0), (-15.0, -10.0), (-6.0, -15.0)] {
            assert_eq!(at(levels), wanted, "{levels:?}");
        }
        for levels in [(-45.0, -45.0), (-20.0, -10.0), (-6.0, -20.0)] {
            assert_eq!(at(levels), "", "{levels:?}");
        }
    }
}

#[test]
fn a_gap_of_10_ms_does_not_split_a_press_and_one_of_40_ms_does() {
    for shift in 0..BLOCK {
        for key in ALL.chars() {
            let tone = || pair(key).samples(ms(60));
            assert_eq!(heard(shift, &[tone(), quiet(10), tone()]), key.to_string());
            let twice = heard(shift, &[tone(), quiet(40), tone()]);
            assert_eq!(
                twice,
                [key, key].iter().collect::<String>(),
                "shift {shift}"
            );
        }
    }
    let row: Vec<Vec<i16>> = ALL
        .chars()
        .flat_map(|key| [pair(key).samples(ms(40)), quiet(40)])
        .collect();
    assert_eq!(heard(0, &row), ALL);
    // A key that follows without a gap is another one.
    let both = [pair('1').samples(ms(100)), pair('6').samples(ms(100))];
    assert_eq!(heard(0, &both), "16");
    assert_eq!(heard(0, &[pair('5').samples(ms(5000))]), "5");
}

#[test]
fn lost_packets_within_a_press_do_not_double_it() {
    let tone = pair('8').samples(ms(400));
    for lost in 1..18 {
        let mut rest = tone.clone();
        rest.drain(lost * 160..(lost + 2) * 160);
        assert_eq!(heard(0, &[rest]), "8");
    }
}

#[test]
fn noise_on_the_line_is_borne() {
    let mut entropy = Entropy::from_number(1);
    let mut missed = 0;
    for round in 0..50 {
        for key in ALL.chars() {
            // 18 dB below the tones.
            let noisy: Vec<i16> = pair(key)
                .samples(ms(50))
                .into_iter()
                .map(|s| s.saturating_add((entropy.u32() % 4400) as i16 - 2200))
                .collect();
            missed += usize::from(heard(round % BLOCK, &[noisy]) != key.to_string());
        }
    }
    assert!(missed <= 4, "{missed} of 800");
}

/// How many of all keys are not heard at these levels, lengths and frequencies, with noise `snr` dB below the key.
fn missed(levels: (f64, f64), off: (f64, f64), millis: usize, snr: f64) -> usize {
    let mut entropy = Entropy::from_number(7);
    let amplitude = |level: f64| 32_767.0 * 10f64.powf((level - 3.17) / 20.0);
    let power = (amplitude(levels.0).powi(2) + amplitude(levels.1).powi(2)) / 2.0;
    // Evenly spread noise of that power.
    let most = (3.0 * power / 10f64.powf(snr / 10.0)).sqrt();
    let keys = ALL.chars().zip((0..BLOCK).step_by(7).cycle());
    let mut is_missed = |&(key, shift): &(char, usize)| {
        let tone = Pair {
            levels,
            off,
            ..pair(key)
        };
        let mut noise = || most * (f64::from(entropy.u32()) / f64::from(u32::MAX) * 2.0 - 1.0);
        let samples = tone.samples(ms(millis));
        let noisy = samples
            .iter()
            .map(|&s| (f64::from(s) + noise()).clamp(-32_768.0, 32_767.0) as i16);
        heard(shift, &[noisy.collect()]) != key.to_string()
    };
    keys.filter(|one| is_missed(one)).count()
}

#[test]
fn real_keys_are_heard_at_every_level_and_twist_over_noise() {
    let mut counts = (0, 0);
    let mut noisy = (0, 0);
    for level in [0.0, -5.0, -10.0, -15.0, -20.0, -25.0] {
        for twist in [-6.0, -3.0, 0.0, 3.0] {
            // The stronger tone at that level.
            let levels = (level - f64::max(twist, 0.0), level + f64::min(twist, 0.0));
            let levels = (levels.0 - 3.0, levels.1 - 3.0);
            for off in [(1.0, 1.0), (0.985, 1.015), (1.015, 0.985), (1.015, 1.015)] {
                assert_eq!(missed(levels, off, 50, 60.0), 0, "{levels:?} {off:?}");
                counts.0 += missed(levels, off, 40, 20.0) + missed(levels, off, 60, 20.0);
                counts.1 += 2 * ALL.len();
                noisy.0 += missed(levels, off, 40, 15.0);
                noisy.1 += ALL.len();
            }
        }
    }
    // With noise, at the shortest and at the edge of what frequencies may be.
    assert!(counts.0 * 200 <= counts.1, "{counts:?}");
    assert!(noisy.0 * 200 <= noisy.1, "{noisy:?}");
}

#[test]
fn other_tones_are_no_keys() {
    for frequencies in [
        &[425.0][..],
        &[350.0, 440.0],
        &[480.0, 620.0],
        &[697.0],
        &[1209.0],
        &[697.0, 770.0],
        &[1209.0, 1336.0],
        &[697.0, 1209.0, 1477.0],
        &[697.0, 852.0, 1209.0],
        &[1100.0],
        &[2100.0],
    ] {
        let sound = tone::tone(frequencies, -6.0, 1000);
        assert_eq!(heard(0, &[sound]), "", "{frequencies:?}");
    }
}

/// A voice without words: pulses of a gliding pitch through three gliding formants, syllable by syllable.
fn babble(entropy: &mut Entropy, seconds: usize) -> Vec<i16> {
    let mut between =
        |low: f64, high: f64| low + (high - low) * f64::from(entropy.u32()) / f64::from(u32::MAX);
    let mut sound = Vec::new();
    while sound.len() < seconds * 8000 {
        let length = between(600.0, 3200.0) as usize;
        let ranges = [(250.0, 1000.0), (800.0, 2300.0), (2000.0, 3400.0)];
        let formants: Vec<(f64, f64, f64)> = ranges
            .iter()
            .map(|&(low, high)| (between(low, high), between(low, high), between(40.0, 120.0)))
            .collect();
        let (pitch, end) = (between(80.0, 350.0), between(80.0, 350.0));
        let loudness = between(300.0, 4000.0);
        let breath = between(0.0, 0.2);
        let mut memory = [[0.0f64; 2]; 3];
        let mut filters = [[0.0f64; 3]; 3];
        let mut swell = 0.0;
        let mut phase = 0.0;
        for n in 0..length {
            let part = n as f64 / length as f64;
            phase += (pitch + (end - pitch) * part) / 8000.0;
            let mut signal = between(-breath, breath);
            if phase >= 1.0 {
                phase -= 1.0;
                signal += 1.0;
            }
            if n % 8 == 0 {
                // A mouth is not quicker than a millisecond.
                swell = (part * std::f64::consts::PI).sin();
                for (filter, (from, to, width)) in filters.iter_mut().zip(&formants) {
                    let angle = (from + (to - from) * part) / 8000.0 * std::f64::consts::TAU;
                    let radius = (-std::f64::consts::PI * width / 8000.0).exp();
                    *filter = [
                        (1.0 - radius) * 4.0,
                        2.0 * radius * angle.cos(),
                        radius * radius,
                    ];
                }
            }
            for (memory, [input, last, before]) in memory.iter_mut().zip(filters) {
                signal = signal * input + last * memory[0] - before * memory[1];
                *memory = [signal, memory[0]];
            }
            sound.push((signal * swell * loudness * 60.0).clamp(-32_000.0, 32_000.0) as i16);
        }
        sound.extend(vec![0; between(0.0, 1200.0) as usize]);
    }
    sound
}

#[test]
fn half_an_hour_of_babble_holds_hardly_a_key() {
    let mut entropy = Entropy::from_number(2);
    let mut told = String::new();
    let mut loudest = 0;
    for _ in 0..30 {
        let sound = babble(&mut entropy, 60);
        loudest = loudest.max(sound.iter().map(|s| s.unsigned_abs()).max().unwrap_or(0));
        told += &heard(0, &[sound]);
    }
    assert!(loudest > 3000, "{loudest}");
    // Recorded speech without a pause may imitate up to 30 keys in half an hour (Bellcore TR-TSY-000763).
    assert!(told.len() <= 1, "{told}");
}

/// A row of short presses over what a far side says or gives back of a prompt: each is heard once, in order.
#[test]
fn keys_are_heard_over_a_voice() {
    let mut entropy = Entropy::from_number(4);
    let voice: Vec<f64> = babble(&mut entropy, 60)
        .into_iter()
        .filter(|sample| *sample != 0)
        .map(f64::from)
        .collect();
    let power = |sound: &[f64]| sound.iter().map(|s| s * s).sum::<f64>() / sound.len() as f64;
    let row: Vec<i16> = ALL
        .chars()
        .flat_map(|key| [pair(key).samples(ms(40)), quiet(40)])
        .flatten()
        .collect();
    let key = row[..ms(40)].iter().map(|&s| f64::from(s));
    let key = power(&key.collect::<Vec<f64>>());
    for (below, most) in [(20.0, 0.005), (15.0, 0.05)] {
        let (mut missed, mut all) = (0, 0);
        for part in voice.chunks_exact(row.len()) {
            let scale = (key / 10f64.powf(below / 10.0) / power(part)).sqrt();
            let both = row.iter().zip(part);
            let both = both.map(|(&a, &b)| (f64::from(a) + b * scale) as i16);
            let told = heard(all % BLOCK, &[both.collect()]);
            // In order and none twice: what was told is the row with gaps.
            let mut keys = ALL.chars();
            assert!(told.chars().all(|one| keys.any(|key| key == one)), "{told}");
            missed += ALL.len() - told.len();
            all += ALL.len();
        }
        let part = missed as f64 / all as f64;
        assert!(all > 400 && part <= most, "{below} dB: {missed} of {all}");
    }
}

#[test]
fn a_key_is_heard_over_soft_speech_and_not_after_an_interruption() {
    let mut entropy = Entropy::from_number(3);
    let voice = babble(&mut entropy, 2);
    let sound: Vec<i16> = pair('4')
        .samples(ms(100))
        .iter()
        .zip(&voice[4000..])
        .map(|(a, b)| a.saturating_add(b / 32))
        .collect();
    assert_eq!(heard(0, &[sound]), "4");
    let mut listener = ToneListener::new();
    let tone = pair('2').samples(160);
    assert_eq!(listener.hear(tone.iter().copied()), None);
    listener.interrupt();
    assert_eq!(listener.hear(tone.iter().copied()), None);
}

proptest! {
    #[test]
    fn any_sound_does_no_harm(sound in proptest::collection::vec(any::<i16>(), 0..2000)) {
        let mut listener = ToneListener::new();
        for frame in sound.chunks(37) {
            let _ = listener.hear(frame.iter().copied());
        }
    }
}
