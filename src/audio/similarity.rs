//! Where a piece of sound repeats itself: the lag at which two stretches of it are most alike.

/// Two stretches of sound that are alike.
#[derive(Copy, Clone, PartialEq, Debug)]
pub struct Likeness {
    /// How far they are apart, in samples.
    pub lag: usize,
    /// How alike: 1 for the same shape, 0 for nothing in common; negative for opposites.
    pub correlation: f32,
}

/// The lag from `shortest` to `longest` at which the last `window` samples are most like those before them; `None` when there are too few samples.
pub fn backwards(
    samples: &[i16],
    window: usize,
    shortest: usize,
    longest: usize,
    coarse: usize,
) -> Option<Likeness> {
    let end = samples.len();
    let start = end.checked_sub(window)?;
    if shortest == 0 || shortest > longest || longest > start {
        return None;
    }
    let now = samples.get(start..end)?;
    best(shortest, longest, coarse, |lag, step| {
        let then = samples.get(start - lag..end - lag).unwrap_or_default();
        correlation(now, then, step)
    })
}

/// The lag from `shortest` to `longest` at which the first samples are most like those that follow them at that lag, compared over the lag's length;
/// `None` when there are too few samples.
pub fn forwards(
    samples: &[i16],
    shortest: usize,
    longest: usize,
    coarse: usize,
) -> Option<Likeness> {
    if shortest == 0 || shortest > longest || 2 * longest > samples.len() {
        return None;
    }
    best(shortest, longest, coarse, |lag, step| {
        let (first, rest) = samples.split_at(lag);
        correlation(first, rest.get(..lag).unwrap_or_default(), step)
    })
}

/// Looks at each `coarse`-th lag, by each `coarse`-th sample, and then closely around the best one.
fn best(
    shortest: usize,
    longest: usize,
    coarse: usize,
    likeness: impl Fn(usize, usize) -> f32,
) -> Option<Likeness> {
    let coarse = coarse.max(1);
    let about = pick((shortest..=longest).step_by(coarse), |lag| {
        likeness(lag, coarse)
    })?;
    let around =
        about.lag.saturating_sub(coarse - 1).max(shortest)..=(about.lag + coarse - 1).min(longest);
    pick(around, |lag| likeness(lag, 1))
}

fn pick(lags: impl Iterator<Item = usize>, likeness: impl Fn(usize) -> f32) -> Option<Likeness> {
    let of = lags.map(|lag| Likeness {
        lag,
        correlation: likeness(lag),
    });
    of.reduce(|a, b| if b.correlation > a.correlation { b } else { a })
}

/// The normalised cross-correlation.
fn correlation(a: &[i16], b: &[i16], step: usize) -> f32 {
    let (mut both, mut of_a, mut of_b) = (0.0f32, 0.0f32, 0.0f32);
    for (&a, &b) in a.iter().step_by(step).zip(b.iter().step_by(step)) {
        let (a, b) = (f32::from(a), f32::from(b));
        both += a * b;
        of_a += a * a;
        of_b += b * b;
    }
    let scale = (of_a * of_b).sqrt();
    if scale < 1.0 { 0.0 } else { both / scale }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_period_of_a_tone_is_found() {
        let period = 53;
        let samples: Vec<i16> = (0..600)
            .map(|n| if n % period < 9 { 8000 } else { -(n % period) * 20 } as i16)
            .collect();
        for coarse in [1, 2, 4] {
            let found = backwards(&samples, 160, 40, 100, coarse).unwrap();
            assert_eq!(found.lag, period as usize);
            assert!(found.correlation > 0.999);
            assert_eq!(
                forwards(&samples, 20, 80, coarse).unwrap().lag,
                period as usize
            );
        }
    }

    #[test]
    fn too_little_sound_has_no_likeness() {
        assert_eq!(backwards(&[0; 100], 80, 10, 30, 1), None);
        assert_eq!(forwards(&[0; 100], 10, 51, 1), None);
        assert_eq!(forwards(&[0; 100], 10, 50, 1).unwrap().correlation, 0.0);
    }
}
