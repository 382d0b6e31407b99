//! Making sound a little shorter or longer without changing its pitch: one period is taken out or put in where the sound is
//! like itself, or is hardly anything.

use super::crossfade::crossfade;
use super::similarity;

/// How freely sound may be cut.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Care {
    /// Only where nobody hears it.
    Careful,
    /// Wherever it is least heard.
    Hasty,
}

/// Takes a piece of 2.5 to 10 ms out of `samples` (at `rate_hz`; 20 ms or more); the new length, or the old one when that would be heard.
pub fn shorten(samples: &mut [i16], rate_hz: u32, care: Care) -> usize {
    let length = samples.len();
    let Some(lag) = piece(samples, rate_hz, care) else {
        return length;
    };
    for n in 0..lag {
        let (before, after) = (samples[n], samples[n + lag]);
        samples[n + lag] = blend(before, after, n, lag);
    }
    samples.copy_within(lag.., 0);
    length - lag
}

/// Puts a piece of 2.5 to 10 ms into the first `length` of `samples`; the new length, or the old one when that would be heard or there is no room.
pub fn lengthen(samples: &mut [i16], length: usize, rate_hz: u32, care: Care) -> usize {
    let Some(sound) = samples.get(..length) else {
        return length;
    };
    let Some(lag) = piece(sound, rate_hz, care).filter(|lag| length + lag <= samples.len()) else {
        return length;
    };
    // The second period passes into the first one, and both follow once more.
    samples.copy_within(lag..length, 2 * lag);
    for n in 0..lag {
        let (before, after) = (samples[n + 2 * lag], samples[n]);
        samples[n + lag] = blend(before, after, n, lag);
    }
    length + lag
}

/// How long a piece can go.
fn piece(samples: &[i16], rate_hz: u32, care: Care) -> Option<usize> {
    let milli = (rate_hz as usize / 1000).max(1);
    let longest = (10 * milli).min(samples.len() / 2);
    let shortest = 5 * milli / 2;
    let found = similarity::forwards(samples, shortest, longest, (milli / 8).max(1))?;
    let beginning = samples.get(..2 * longest).unwrap_or(samples);
    if is_quiet(beginning) {
        return Some(longest);
    }
    let enough = match care {
        Care::Careful => ALIKE,
        Care::Hasty => -1.0,
    };
    (found.correlation >= enough).then_some(found.lag)
}

fn is_quiet(samples: &[i16]) -> bool {
    let sum: u64 = samples
        .iter()
        .map(|&sample| u64::from(sample.unsigned_abs()))
        .sum();
    sum < samples.len() as u64 * QUIET
}

fn blend(before: i16, after: i16, n: usize, length: usize) -> i16 {
    crossfade(f32::from(before), f32::from(after), n, length) as i16
}

/// From this correlation on a period taken out is not heard.
const ALIKE: f32 = 0.9;
/// Sound of less than this on average (-56 dB of full scale) is not missed.
const QUIET: u64 = 50;

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(rate: u32, hertz: f64, count: usize) -> Vec<i16> {
        (0..count)
            .map(|n| (8000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16)
            .collect()
    }

    fn roughness(samples: &[i16]) -> i32 {
        let step = |pair: &[i16]| i32::from(pair[1]) - i32::from(pair[0]);
        let steps: Vec<i32> = samples.windows(2).map(step).collect();
        steps
            .windows(2)
            .map(|pair| (pair[1] - pair[0]).abs())
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn a_tone_stays_whole() {
        for (rate, hertz) in [
            (8000, 400.0),
            (8000, 213.0),
            (16_000, 330.0),
            (48_000, 151.0),
        ] {
            let frame = rate as usize / 50;
            let mut samples = tone(rate, hertz, frame);
            let smooth = roughness(&samples);
            let shorter = shorten(&mut samples, rate, Care::Careful);
            assert!(shorter < frame, "{hertz}");
            assert!(shorter >= frame / 2);
            assert!(roughness(&samples[..shorter]) < 2 * smooth, "{hertz}");
            let mut samples = tone(rate, hertz, frame);
            samples.resize(2 * frame, 0);
            let longer = lengthen(&mut samples, frame, rate, Care::Careful);
            assert!(longer > frame && longer <= frame + frame / 2, "{hertz}");
            assert!(roughness(&samples[..longer]) < 2 * smooth, "{hertz}");
        }
    }

    #[test]
    fn noise_is_cut_in_haste_only_and_silence_at_once() {
        let mut seed = 1u32;
        let noise: Vec<i16> = (0..160)
            .map(|_| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 16) as i16
            })
            .collect();
        assert_eq!(shorten(&mut noise.clone(), 8000, Care::Careful), 160);
        assert!(shorten(&mut noise.clone(), 8000, Care::Hasty) < 160);
        assert_eq!(shorten(&mut [3; 160], 8000, Care::Careful), 80);
        let mut room = vec![0; 240];
        assert_eq!(lengthen(&mut room, 160, 8000, Care::Careful), 240);
        assert_eq!(lengthen(&mut room, 200, 8000, Care::Careful), 200);
        assert_eq!(shorten(&mut [], 8000, Care::Hasty), 0);
    }
}
