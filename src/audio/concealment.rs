//! Concealment of lost sound in the manner of ITU-T G.711 Appendix I: what was heard last goes on by its pitch period, by more
//! periods the longer it lasts, fades to silence after 60 ms, and passes smoothly into what comes after.
//!
//! Unlike the appendix it delays nothing: the step between what was heard and its repetition is evened out in the repetition.
//! For codecs that do not conceal by themselves; at any rate of 8 kHz or more.

use super::crossfade::crossfade;
use super::similarity;

/// Conceals the losses of one stream. All room is allocated at the beginning.
#[derive(Debug)]
pub struct Concealer {
    /// Samples per millisecond.
    milli: usize,
    /// What was heard last, concealment included.
    history: Box<[i16]>,
    /// What is repeated: the history as it was when the loss began.
    source: Box<[i16]>,
    /// Samples concealed in this loss.
    concealed: usize,
    /// The pitch period, in samples.
    period: usize,
    /// Over how many samples two pieces pass into each other.
    overlap: usize,
    /// How much the repetition begins off what was heard last.
    step: f32,
}

impl Concealer {
    /// For samples at `rate_hz`.
    pub fn new(rate_hz: u32) -> Concealer {
        let milli = (rate_hz as usize / 1000).max(8);
        Concealer {
            milli,
            history: vec![0; HISTORY_MS * milli].into_boxed_slice(),
            source: vec![0; HISTORY_MS * milli].into_boxed_slice(),
            concealed: 0,
            period: SHORTEST_MS * milli,
            overlap: milli,
            step: 0.0,
        }
    }

    /// These samples were received. After a loss their beginning is made to follow from it.
    pub fn heard(&mut self, samples: &mut [i16]) {
        if self.concealed > 0 {
            let lasted = self.concealed / (10 * self.milli);
            let overlap = self.overlap + 4 * self.milli * lasted;
            let overlap = overlap.min(10 * self.milli).min(samples.len());
            for (n, sample) in samples.iter_mut().take(overlap).enumerate() {
                let before = self.voice(self.concealed + n);
                *sample = clamp(crossfade(before, f32::from(*sample), n, overlap));
            }
            self.concealed = 0;
        }
        self.remember(samples);
    }

    /// Fills `out` with what may have been lost; further losses before the next `heard` go on from there.
    pub fn conceal(&mut self, out: &mut [i16]) {
        if self.concealed == 0 {
            self.begin();
        }
        for (n, sample) in out.iter_mut().enumerate() {
            *sample = clamp(self.voice(self.concealed + n));
        }
        self.concealed = (self.concealed + out.len()).min(FADED_MS * self.milli * 2);
        self.remember(out);
    }

    /// Whether nothing but silence is left of what was heard.
    pub fn has_faded(&self) -> bool {
        self.concealed >= FADED_MS * self.milli
    }

    /// Forgets what was heard.
    pub fn reset(&mut self) {
        self.history.fill(0);
        self.concealed = 0;
    }

    fn begin(&mut self) {
        self.source.copy_from_slice(&self.history);
        let (shortest, longest) = (SHORTEST_MS * self.milli, LONGEST_MS * self.milli);
        let coarse = (self.milli / 8).max(1);
        let found = similarity::backwards(
            &self.source,
            WINDOW_MS * self.milli,
            shortest,
            longest,
            coarse,
        );
        self.period = found.map_or(longest, |found| found.lag);
        self.overlap = self.period / 4;
        let end = self.source.len();
        let last = self.source.last().copied().unwrap_or(0);
        let before = self.source.get(end - self.period - 1).copied().unwrap_or(0);
        self.step = f32::from(last) - f32::from(before);
    }

    /// The sample `n` after the beginning of the loss.
    fn voice(&self, n: usize) -> f32 {
        let gain = self.gain(n);
        if gain <= 0.0 {
            return 0.0;
        }
        let (periods, since) = self.periods(n);
        let mut sound = self.repeated(periods, n);
        if since < self.overlap {
            let before = if periods == 1 {
                sound + self.step
            } else {
                self.repeated(periods - 1, n)
            };
            sound = crossfade(before, sound, since, self.overlap);
        }
        sound * gain
    }

    /// How many periods are repeated at sample `n`, and since how many samples. More of them sound less like a buzzer.
    fn periods(&self, n: usize) -> (usize, usize) {
        let tenth = 10 * self.milli;
        match n / tenth {
            0 => (1, n),
            1 => (2, n - tenth),
            _ => (3, n - 2 * tenth),
        }
    }

    /// Sample `n` of the last periods, round and round; the end passes into what came before the beginning.
    fn repeated(&self, periods: usize, n: usize) -> f32 {
        let length = periods * self.period;
        let place = n % length;
        let start = self.source.len() - length;
        let at = |index: usize| f32::from(self.source.get(index).copied().unwrap_or(0));
        let sound = at(start + place);
        let to_end = length - place;
        if to_end > self.overlap {
            return sound;
        }
        let n = self.overlap - to_end;
        crossfade(sound, at(start - to_end), n, self.overlap)
    }

    /// Whole for 10 ms, then down by a fifth each 10 ms.
    fn gain(&self, n: usize) -> f32 {
        let whole = 10 * self.milli;
        let faded = FADED_MS * self.milli;
        if n <= whole {
            1.0
        } else {
            faded.saturating_sub(n) as f32 / (faded - whole) as f32
        }
    }

    fn remember(&mut self, samples: &[i16]) {
        let room = self.history.len();
        if let Some(start) = samples.len().checked_sub(room) {
            self.history
                .copy_from_slice(samples.get(start..).unwrap_or_default());
            return;
        }
        self.history.copy_within(samples.len().., 0);
        if let Some(end) = self.history.get_mut(room - samples.len()..) {
            end.copy_from_slice(samples);
        }
    }
}

fn clamp(sample: f32) -> i16 {
    sample
        .round()
        .clamp(f32::from(i16::MIN), f32::from(i16::MAX)) as i16
}

/// Voices have pitch periods from here …
const SHORTEST_MS: usize = 5;
/// … to here.
const LONGEST_MS: usize = 15;
/// What is compared to find the period.
const WINDOW_MS: usize = 20;
/// Three of the longest periods and a quarter of one.
const HISTORY_MS: usize = 49;
/// From here on there is silence.
const FADED_MS: usize = 60;

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn tone(rate: u32, hertz: f64, from: usize, count: usize) -> Vec<i16> {
        (from..from + count)
            .map(|n| (8000.0 * (TAU * hertz * n as f64 / f64::from(rate)).sin()) as i16)
            .collect()
    }

    /// The largest change from one step to the next: a click stands out in it.
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
    fn a_lost_packet_of_a_tone_is_hardly_noticed() {
        for (rate, hertz) in [
            (8000, 150.0),
            (8000, 440.0),
            (16_000, 317.0),
            (48_000, 211.0),
        ] {
            let frame = rate as usize / 50;
            let mut concealer = Concealer::new(rate);
            let mut all = Vec::new();
            for n in 0..10 {
                let mut samples = tone(rate, hertz, n * frame, frame);
                if n == 6 {
                    concealer.conceal(&mut samples);
                } else {
                    concealer.heard(&mut samples);
                }
                all.extend(samples);
            }
            let whole = tone(rate, hertz, 0, 10 * frame);
            let smooth = roughness(&whole);
            assert!(
                roughness(&all) < 3 * smooth + 60,
                "{hertz}: {} {smooth}",
                roughness(&all)
            );
            let lost = 6 * frame..7 * frame;
            let power =
                |samples: &[i16]| -> f64 { samples.iter().map(|&s| f64::from(s).powi(2)).sum() };
            let ratio = power(&all[lost.clone()]) / power(&whole[lost]);
            assert!((0.6..1.2).contains(&ratio), "{hertz}: {ratio}");
            assert_eq!(all[8 * frame..], whole[8 * frame..]);
        }
    }

    #[test]
    fn a_long_loss_fades_to_silence_and_back() {
        let mut concealer = Concealer::new(8000);
        for n in 0..5 {
            concealer.heard(&mut tone(8000, 200.0, n * 160, 160));
        }
        let mut lost = vec![0; 80];
        let mut levels = Vec::new();
        for _ in 0..10 {
            concealer.conceal(&mut lost);
            levels.push(lost.iter().map(|&s| i32::from(s).abs()).max().unwrap());
        }
        assert!(
            levels.windows(2).all(|pair| pair[1] <= pair[0] + 200),
            "{levels:?}"
        );
        assert!(
            levels[0] > 7000 && levels[3] < 6000 && levels[3] > 2000,
            "{levels:?}"
        );
        assert_eq!(levels[6..], [0, 0, 0, 0]);
        assert!(concealer.has_faded());
        let mut back = tone(8000, 200.0, 20, 160);
        concealer.heard(&mut back);
        assert!(back[0].abs() < 200);
        assert!(roughness(&back) < 1000);
        assert!(!concealer.has_faded());
    }

    #[test]
    fn nothing_heard_is_concealed_by_silence() {
        let mut concealer = Concealer::new(16_000);
        let mut out = vec![7; 320];
        concealer.conceal(&mut out);
        assert_eq!(out, vec![0; 320]);
        // Any length will do.
        concealer.heard(&mut vec![100; 5000]);
        concealer.conceal(&mut [0; 3]);
        concealer.conceal(&mut []);
        concealer.heard(&mut [1; 1]);
    }
}
