//! Mixing n parties: one sum, from which each listener's own part is taken off again. A party costs the same however many there are.

/// The sum of one beat's sound. All loops are over whole frames of plain integers, so that the compiler makes vectors of them.
#[derive(Clone, Debug)]
pub struct Mix {
    sum: Box<[i32]>,
    length: usize,
    voices: usize,
}

impl Mix {
    /// Room for frames of up to `longest` samples.
    pub fn new(longest: usize) -> Mix {
        Mix {
            sum: vec![0; longest].into_boxed_slice(),
            length: 0,
            voices: 0,
        }
    }

    /// Begins a frame of `length` samples: silence.
    pub fn begin(&mut self, length: usize) {
        self.length = length.min(self.sum.len());
        self.voices = 0;
        self.sum[..self.length].fill(0);
    }

    /// Adds a party's frame.
    pub fn add(&mut self, sound: &[i16]) {
        self.voices += 1;
        for (sum, &sample) in self.sum[..self.length].iter_mut().zip(sound) {
            *sum += i32::from(sample);
        }
    }

    /// How many parties were added.
    pub fn voices(&self) -> usize {
        self.voices
    }

    /// What one who was not added hears.
    pub fn whole(&self, out: &mut [i16]) {
        let sums = &self.sum[..self.length];
        if self.voices <= 1 {
            for (out, &sum) in out.iter_mut().zip(sums) {
                *out = sum as i16;
            }
            return;
        }
        for (out, &sum) in out.iter_mut().zip(sums) {
            *out = limit(sum);
        }
    }

    /// What the party that added `own` hears: the others.
    pub fn without(&self, own: &[i16], out: &mut [i16]) {
        let sums = self.sum[..self.length].iter().zip(own);
        if self.voices <= 2 {
            // One voice is passed on as it is.
            for (out, (&sum, &own)) in out.iter_mut().zip(sums) {
                *out = (sum - i32::from(own)) as i16;
            }
            return;
        }
        for (out, (&sum, &own)) in out.iter_mut().zip(sums) {
            *out = limit(sum - i32::from(own));
        }
    }
}

/// Adds one more voice to what a listener hears.
pub fn add_to(out: &mut [i16], sound: &[i16]) {
    for (out, &sample) in out.iter_mut().zip(sound) {
        *out = limit(i32::from(*out) + i32::from(sample));
    }
}

/// Into 16 bits: as it is up to the knee, a quarter as steep from there on. Written with operations that exist for vectors of 16 bits.
#[inline(always)]
fn limit(sum: i32) -> i16 {
    let quarter = narrow(sum >> 2);
    let most = quarter.saturating_add(KNEE / 4 * 3);
    let least = quarter.saturating_sub(KNEE / 4 * 3);
    narrow(sum).min(most).max(least)
}

#[inline(always)]
fn narrow(sum: i32) -> i16 {
    sum.clamp(i32::from(i16::MIN), i32::from(i16::MAX)) as i16
}

/// Three quarters of full scale.
const KNEE: i16 = 24_576;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn each_hears_the_others() {
        let mut mix = Mix::new(4);
        let (a, b, c) = ([1, 2, 3, 4], [10, 20, 30, 40], [100, 200, 300, 400]);
        let mut out = [0; 4];
        mix.begin(4);
        for sound in [&a, &b, &c] {
            mix.add(sound);
        }
        mix.without(&a, &mut out);
        assert_eq!(out, [110, 220, 330, 440]);
        mix.without(&c, &mut out);
        assert_eq!(out, [11, 22, 33, 44]);
        mix.whole(&mut out);
        assert_eq!(out, [111, 222, 333, 444]);
        add_to(&mut out, &[1; 4]);
        assert_eq!(out, [112, 223, 334, 445]);
        mix.begin(2);
        mix.whole(&mut out);
        assert_eq!(out, [0, 0, 334, 445]);
    }

    #[test]
    fn the_limit_is_soft() {
        assert_eq!(
            [limit(0), limit(-1), limit(24_576), limit(-24_576)],
            [0, -1, 24_576, -24_576]
        );
        assert_eq!(limit(24_580), 24_577);
        assert_eq!([limit(i32::MAX), limit(i32::MIN)], [i16::MAX, i16::MIN]);
        assert_eq!(limit(32_767), 26_623);
    }

    proptest! {
        /// One voice alone is heard as it is; many never wrap, and louder is never quieter.
        #[test]
        fn nothing_wraps(
            frames in proptest::collection::vec(proptest::collection::vec(any::<i16>(), 8), 1..20)
        ) {
            let mut mix = Mix::new(8);
            mix.begin(8);
            for frame in &frames {
                mix.add(frame);
            }
            let mut out = [0i16; 8];
            for (n, frame) in frames.iter().enumerate() {
                mix.without(frame, &mut out);
                for at in 0..8 {
                    let others = frames.iter().enumerate().filter(|(other, _)| *other != n);
                    let sum: i32 = others.map(|(_, frame)| i32::from(frame[at])).sum();
                    let heard = i32::from(out[at]);
                    prop_assert!(sum.signum() * heard >= 0);
                    prop_assert!(heard.abs() <= sum.abs());
                    if frames.len() <= 2 || sum.abs() <= i32::from(KNEE) {
                        prop_assert_eq!(heard, sum);
                    }
                }
            }
        }

        #[test]
        fn the_limit_rises(a in -5_000_000i32..5_000_000, b in 0i32..1000) {
            prop_assert!(limit(a + b) >= limit(a));
        }
    }
}
