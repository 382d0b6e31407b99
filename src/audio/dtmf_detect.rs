//! Keys heard as tones: each key is a pair of a low and a high frequency (ITU-T Q.23), and what a receiver must take and
//! must refuse is in ITU-T Q.24. Sound of 8 kHz goes in, keys come out; where the sound comes from is not known here.
//!
//! Every 5 ms the eight frequencies are measured over the last 15 ms by Goertzel's recurrence, with their phase. How the
//! phase turns from one measurement to the next tells how far a tone is off its frequency, much finer than a window this
//! short could resolve; that, that the two tones are nearly all there is, and that both stay as loud as they are, keeps
//! speech from being heard as keys.

use std::f32::consts::TAU;

/// Hears keys in the sound of one far side.
#[derive(Clone, Debug)]
pub struct ToneListener {
    tones: Tones,
    /// The sound since the last measurement.
    block: [f32; BLOCK],
    filled: usize,
    /// The two blocks before: their spectra and energies.
    before: [Spectrum; 2],
    energies: [f32; 2],
    /// The window's spectrum at the last measurement.
    window: Spectrum,
    run: Run,
}

/// One of eight complex numbers, a frequency each.
#[derive(Copy, Clone, Debug, Default)]
struct Spectrum {
    re: [f32; TONES],
    im: [f32; TONES],
}

/// What does not change: of each frequency.
#[derive(Clone, Debug)]
struct Tones {
    /// Cosine and sine of its turn in a sample.
    cosine: [f32; TONES],
    sine: [f32; TONES],
    /// Its turn in a block.
    turn: Spectrum,
}

/// Measurements in a row.
#[derive(Copy, Clone, Debug, Default)]
struct Run {
    /// The key they heard, as its low and high frequency.
    heard: Option<(usize, usize)>,
    hits: u32,
    /// What each tone showed.
    tones: [Shown; 2],
    /// Measurements since that heard something else.
    misses: u32,
    /// The key is pressed and was told.
    told: bool,
}

/// What the low or the high tone showed in a run.
#[derive(Copy, Clone, Debug, Default)]
struct Shown {
    /// How its phase turned in all.
    turn: (f32, f32),
    /// What part of the power it had, in all measurements together; as the window shows it.
    share: f32,
    /// Its least and its most power from the second measurement on: the first may have seen it begin.
    power: Option<(f32, f32)>,
}

/// One measurement that may be a key.
#[derive(Copy, Clone, Debug)]
struct Measured {
    low: usize,
    high: usize,
    tones: [Tone; 2],
}

/// The low or the high tone in a measurement, as the window shows it.
#[derive(Copy, Clone, Debug)]
struct Tone {
    /// How its phase turned since the measurement before.
    turn: (f32, f32),
    /// Its power, and what part of the whole that is.
    power: f32,
    share: f32,
}

impl Default for ToneListener {
    fn default() -> ToneListener {
        ToneListener::new()
    }
}

impl ToneListener {
    /// Nothing heard yet.
    pub fn new() -> ToneListener {
        ToneListener {
            tones: Tones::new(),
            block: [0.0; BLOCK],
            filled: 0,
            before: [Spectrum::default(); 2],
            energies: [0.0; 2],
            window: Spectrum::default(),
            run: Run::default(),
        }
    }

    /// Takes in what came next; a key that it completes. One frame of sound completes no more than one.
    pub fn hear(&mut self, samples: impl Iterator<Item = i16>) -> Option<char> {
        let mut key = None;
        for sample in samples {
            if let Some(place) = self.block.get_mut(self.filled) {
                *place = f32::from(sample);
            }
            self.filled += 1;
            if self.filled == BLOCK {
                self.filled = 0;
                key = self.measure().or(key);
            }
        }
        key
    }

    /// The sound was interrupted: what comes next belongs to no press that was heard before.
    pub fn interrupt(&mut self) {
        self.filled = 0;
        self.before = [Spectrum::default(); 2];
        self.energies = [0.0; 2];
        self.run = Run::default();
    }

    fn measure(&mut self) -> Option<char> {
        let energy: f32 = self.block.iter().map(|sample| sample * sample).sum();
        let whole = energy + self.energies[0] + self.energies[1];
        let last = if energy < QUIET {
            // Too quiet for a tone of its own; its part in a window that holds one is nothing either.
            Spectrum::default()
        } else {
            self.tones.spectrum(&self.block)
        };
        let window = self.tones.join(&last, &self.before);
        let measured = if whole < 3.0 * QUIET {
            None
        } else {
            measured(&window, &self.window, &self.tones.turn, whole)
        };
        self.window = window;
        self.before = [last, self.before[0]];
        self.energies = [energy, self.energies[0]];
        self.run.take(measured)
    }
}

impl Tones {
    fn new() -> Tones {
        let angle = FREQUENCIES.map(|hertz| TAU * hertz / RATE);
        let turn = angle.map(|angle| angle * BLOCK as f32);
        Tones {
            cosine: angle.map(f32::cos),
            sine: angle.map(f32::sin),
            turn: Spectrum {
                re: turn.map(f32::cos),
                im: turn.map(f32::sin),
            },
        }
    }

    /// A block's spectrum, with the phases that the tones have at its last sample.
    fn spectrum(&self, block: &[f32; BLOCK]) -> Spectrum {
        let twice = self.cosine.map(|cosine| 2.0 * cosine);
        let (mut last, mut before) = ([0.0f32; TONES], [0.0f32; TONES]);
        for sample in block {
            for tone in 0..TONES {
                // In this order only one multiplication and one addition wait for the sample before.
                let next = (sample - before[tone]) + twice[tone] * last[tone];
                before[tone] = last[tone];
                last[tone] = next;
            }
        }
        let mut spectrum = Spectrum::default();
        for tone in 0..TONES {
            spectrum.re[tone] = last[tone] - self.cosine[tone] * before[tone];
            spectrum.im[tone] = self.sine[tone] * before[tone];
        }
        spectrum
    }

    /// The spectrum of a block and the two before it together.
    fn join(&self, last: &Spectrum, before: &[Spectrum; 2]) -> Spectrum {
        let turned = before[0].plus(&before[1].times(&self.turn));
        last.plus(&turned.times(&self.turn))
    }
}

impl Spectrum {
    fn plus(&self, other: &Spectrum) -> Spectrum {
        let mut sum = *self;
        for tone in 0..TONES {
            sum.re[tone] += other.re[tone];
            sum.im[tone] += other.im[tone];
        }
        sum
    }

    fn times(&self, other: &Spectrum) -> Spectrum {
        let mut product = Spectrum::default();
        for tone in 0..TONES {
            let (a, b) = (
                (self.re[tone], self.im[tone]),
                (other.re[tone], other.im[tone]),
            );
            product.re[tone] = a.0 * b.0 - a.1 * b.1;
            product.im[tone] = a.0 * b.1 + a.1 * b.0;
        }
        product
    }

    fn power(&self, tone: usize) -> f32 {
        self.re[tone] * self.re[tone] + self.im[tone] * self.im[tone]
    }

    /// The strongest tone of four.
    fn strongest(&self, from: usize) -> usize {
        (from + 1..from + 4).fold(from, |best, tone| {
            if self.power(tone) > self.power(best) {
                tone
            } else {
                best
            }
        })
    }

    /// How a tone's phase turned from `before` to this one, a block later, beyond what its frequency turns.
    fn turned(&self, before: &Spectrum, block: &Spectrum, tone: usize) -> (f32, f32) {
        let (a, b) = (
            (self.re[tone], self.im[tone]),
            (before.re[tone], before.im[tone]),
        );
        let turn = (a.0 * b.0 + a.1 * b.1, a.1 * b.0 - a.0 * b.1);
        let own = (block.re[tone], block.im[tone]);
        (
            turn.0 * own.0 + turn.1 * own.1,
            turn.1 * own.0 - turn.0 * own.1,
        )
    }
}

impl Run {
    fn take(&mut self, measured: Option<Measured>) -> Option<char> {
        let now = measured.map(|measured| (measured.low, measured.high));
        if let (Some(measured), true) = (measured, now == self.heard && now.is_some()) {
            if self.misses > 0 && !self.told {
                // Not in one piece.
                *self = Run::of(measured);
                return None;
            }
            self.misses = 0;
            self.hits += 1;
            for (shown, tone) in self.tones.iter_mut().zip(measured.tones) {
                shown.add(tone);
                shown.power = range(shown.power, tone.power);
            }
            return self.ripe();
        }
        self.misses += 1;
        if self.told && self.misses < RELEASED {
            return None;
        }
        *self = measured.map_or_else(Run::default, Run::of);
        None
    }

    fn of(measured: Measured) -> Run {
        let mut run = Run {
            heard: Some((measured.low, measured.high)),
            hits: 1,
            ..Run::default()
        };
        for (shown, tone) in run.tones.iter_mut().zip(measured.tones) {
            shown.share = tone.share;
        }
        run
    }

    /// The key, once it was heard for long enough and both tones are as near to their frequencies as they must be.
    fn ripe(&mut self) -> Option<char> {
        let (low, high) = self.heard?;
        if self.told || self.hits < HITS {
            return None;
        }
        let mut share = 0.0;
        for (shown, tone) in self.tones.iter().zip([low, high]) {
            if shift(shown.turn, tone).abs() > OFF || !shown.is_steady() {
                return None;
            }
            share += shown.share / lost(shown.turn, tone)?;
        }
        if share < SHARE_ON_AVERAGE * self.hits as f32 {
            return None;
        }
        self.told = true;
        KEYS.get(low)?.get(high - 4).map(|&key| char::from(key))
    }
}

impl Shown {
    fn add(&mut self, tone: Tone) {
        self.turn = (self.turn.0 + tone.turn.0, self.turn.1 + tone.turn.1);
        self.share += tone.share;
    }

    /// Whether it is as loud all the time, as machines make it and voices do not.
    fn is_steady(&self) -> bool {
        self.power
            .is_none_or(|(least, most)| most <= least * STEADY)
    }
}

/// What the window holds, if that may be a key.
fn measured(
    window: &Spectrum,
    before: &Spectrum,
    block: &Spectrum,
    whole: f32,
) -> Option<Measured> {
    let (low, high) = (window.strongest(0), window.strongest(4));
    let low_turn = window.turned(before, block, low);
    let high_turn = window.turned(before, block, high);
    let shown = [window.power(low), window.power(high)];
    let low_power = shown[0] / lost(low_turn, low)?;
    let high_power = shown[1] / lost(high_turn, high)?;
    // A sine of amplitude a has the power (a * WINDOW / 2)^2 here, and the energy a^2 * WINDOW / 2.
    let share = |power: f32| power * 2.0 / (WINDOW * whole);
    let is_clean = share(low_power + high_power) >= SHARE;
    let is_loud = low_power.min(high_power) >= LOUD;
    let is_even =
        high_power <= low_power * HIGH_OVER_LOW && low_power <= high_power * LOW_OVER_HIGH;
    let tone = |turn, power| Tone {
        turn,
        power,
        share: share(power),
    };
    (is_clean && is_loud && is_even).then(|| Measured {
        low,
        high,
        tones: [tone(low_turn, shown[0]), tone(high_turn, shown[1])],
    })
}

/// Which part of a tone's power the window shows although the tone is off its frequency; `None` when that is too far.
fn lost(turn: (f32, f32), tone: usize) -> Option<f32> {
    if shift(turn, tone).abs() > FAR_OFF {
        return None;
    }
    let half = turn.1.atan2(turn.0) / 2.0 * (WINDOW / BLOCK as f32);
    if half.abs() < 1e-3 {
        return Some(1.0);
    }
    Some((half.sin() / half).powi(2))
}

/// How far a tone is off its frequency, as a part of that: above it or below.
fn shift(turn: (f32, f32), tone: usize) -> f32 {
    let hertz = turn.1.atan2(turn.0) / TAU * RATE / BLOCK as f32;
    FREQUENCIES
        .get(tone)
        .map_or(1.0, |frequency| hertz / frequency)
}

/// The least and the most so far.
fn range(so_far: Option<(f32, f32)>, power: f32) -> Option<(f32, f32)> {
    let (least, most) = so_far.unwrap_or((power, power));
    Some((least.min(power), most.max(power)))
}

/// Low tones, then high ones, in hertz (Q.23).
const FREQUENCIES: [f32; TONES] = [697.0, 770.0, 852.0, 941.0, 1209.0, 1336.0, 1477.0, 1633.0];
const TONES: usize = 8;
/// Keys by low and high tone.
const KEYS: [&[u8; 4]; 4] = [b"123A", b"456B", b"789C", b"*0#D"];
const RATE: f32 = 8000.0;
/// Samples between measurements: 5 ms.
const BLOCK: usize = 40;
/// Samples in a measurement: three blocks, 15 ms.
const WINDOW: f32 = 120.0;
/// Measurements in a row that make a key. The shortest press that must be taken, 40 ms, is at least five of them; the
/// longest that must be refused, 23 ms, at most three.
const HITS: u32 = 5;
/// Measurements without the key that end a press: a gap of 10 ms is part of it, one of 40 ms is not.
const RELEASED: u32 = 6;
/// How far off a tone may be: between the 1.5 % that must be taken and the 3.5 % that must be refused.
const OFF: f32 = 0.025;
/// The same for a single measurement, which is less exact.
const FAR_OFF: f32 = 0.032;
/// Part of the whole power that the two tones must have.
const SHARE: f32 = 0.75;
/// The same on average over a press: speech comes near it for a moment only. A key over noise 12 dB below it has 94 %.
const SHARE_ON_AVERAGE: f32 = 0.87;
/// How much a tone's power may change within a press: 3.4 dB, what noise 15 dB below the key and the other tone make of it.
const STEADY: f32 = 2.2;
/// The high tone may be 6 dB above the low one, the low one 10 dB above the high one: what Q.24's administrations ask for.
const HIGH_OVER_LOW: f32 = 4.2;
const LOW_OVER_HIGH: f32 = 10.6;
/// The least power of a tone: -36 dBm0, a sine of amplitude 360.
const LOUD: f32 = 360.0 * 360.0 * WINDOW * WINDOW / 4.0;
/// The energy of a block below which it is not looked at: 10 dB below the quietest tone.
const QUIET: f32 = 360.0 * 360.0 / 20.0 * BLOCK as f32;

#[cfg(test)]
mod tests;
