//! Changing the sample rate of a stream packet by packet: 8, 16 and 48 kHz, whose ratios are whole numbers.
//!
//! A polyphase filter: a sinc under a Kaiser window, flat within 0.2 dB up to 3.2 kHz where one side is 8 kHz, and 70 dB
//! down from 4.4 kHz. It delays by [`ZERO_CROSSINGS`] samples of the lower rate (2 ms at 8 kHz) and allocates only when made.

use std::f64::consts::PI;
use std::sync::LazyLock;

/// A stream being resampled. Between equal rates it copies.
#[derive(Clone, Debug)]
pub struct Resampler {
    from: u32,
    to: u32,
    path: Path,
    /// Samples that came before, then those being worked on.
    history: Vec<f32>,
    /// Input samples of a group that has not made an output sample yet (going down).
    pending: usize,
}

/// Rates that no whole number leads between.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("sound is not resampled from {from} Hz to {to} Hz")]
pub struct UnsupportedRates {
    /// Hertz.
    pub from: u32,
    /// Hertz.
    pub to: u32,
}

#[derive(Copy, Clone, Debug)]
enum Path {
    Copy,
    Up(&'static Filter),
    Down(&'static Filter),
}

impl Resampler {
    /// From and to 8,000, 16,000 or 48,000 Hz.
    pub fn new(from: u32, to: u32) -> Result<Resampler, UnsupportedRates> {
        let path = match (from, to) {
            (8_000 | 16_000 | 48_000, _) if from == to => Path::Copy,
            (8_000, 16_000) => Path::Up(&BY_2),
            (16_000, 48_000) => Path::Up(&BY_3),
            (8_000, 48_000) => Path::Up(&BY_6),
            (16_000, 8_000) => Path::Down(&BY_2),
            (48_000, 16_000) => Path::Down(&BY_3),
            (48_000, 8_000) => Path::Down(&BY_6),
            _ => return Err(UnsupportedRates { from, to }),
        };
        let room = match path {
            Path::Copy => 0,
            Path::Up(_) => TAPS - 1 + BLOCK,
            Path::Down(filter) => filter.prototype.len() - 1 + BLOCK,
        };
        Ok(Resampler {
            from,
            to,
            path,
            history: vec![0.0; room],
            pending: 0,
        })
    }

    /// The rate of what goes in, in hertz.
    pub fn from_hz(&self) -> u32 {
        self.from
    }

    /// The rate of what comes out, in hertz.
    pub fn to_hz(&self) -> u32 {
        self.to
    }

    /// Goes on where `other`, between the same rates, stands.
    pub fn follow(&mut self, other: &Resampler) {
        if (self.from, self.to) == (other.from, other.to) {
            self.history.copy_from_slice(&other.history);
            self.pending = other.pending;
        }
    }

    /// Forgets what came before, as at the beginning.
    pub fn reset(&mut self) {
        self.history.fill(0.0);
        self.pending = 0;
    }

    /// Resamples what came next into `out`; returns how many samples that made: over any stretch of a millisecond's
    /// multiple exactly as long in time as the input. What `out` has no room for is lost.
    pub fn process(&mut self, input: &[i16], out: &mut [i16]) -> usize {
        match self.path {
            Path::Copy => {
                let length = input.len().min(out.len());
                out[..length].copy_from_slice(&input[..length]);
                length
            }
            Path::Up(filter) => self.up(filter, input, out),
            Path::Down(filter) => self.down(filter, input, out),
        }
    }

    fn up(&mut self, filter: &Filter, input: &[i16], out: &mut [i16]) -> usize {
        let mut made = 0;
        for block in input.chunks(BLOCK) {
            let length = self.load(TAPS - 1, block);
            let places = out.get_mut(made..).unwrap_or_default();
            for (window, group) in self.history[..length]
                .windows(TAPS)
                .zip(places.chunks_exact_mut(filter.factor))
            {
                for (place, row) in group.iter_mut().zip(filter.rows.chunks_exact(TAPS)) {
                    *place = dot(window, row) as i16;
                }
                made += filter.factor;
            }
            self.keep(TAPS - 1, block.len());
        }
        made
    }

    fn down(&mut self, filter: &Filter, input: &[i16], out: &mut [i16]) -> usize {
        let taps = filter.prototype.len();
        let mut made = 0;
        for block in input.chunks(BLOCK) {
            let length = self.load(taps - 1, block);
            // The first window whose newest sample completes a group.
            let first = filter.factor - 1 - self.pending;
            let windows = self.history[..length].windows(taps);
            let places = out.get_mut(made..).unwrap_or_default();
            for (window, place) in windows.skip(first).step_by(filter.factor).zip(places) {
                *place = dot(window, &filter.prototype) as i16;
                made += 1;
            }
            self.pending = (self.pending + block.len()) % filter.factor;
            self.keep(taps - 1, block.len());
        }
        made
    }

    /// Puts a block behind the `before` samples of history; returns how many there are then.
    fn load(&mut self, before: usize, block: &[i16]) -> usize {
        let places = self.history[before..].iter_mut();
        for (place, &sample) in places.zip(block) {
            *place = f32::from(sample);
        }
        before + block.len()
    }

    /// Keeps the last `before` samples as the next block's history.
    fn keep(&mut self, before: usize, taken: usize) {
        self.history.copy_within(taken..taken + before, 0);
    }
}

/// The filter for one ratio, both ways.
#[derive(Debug)]
struct Filter {
    factor: usize,
    /// Going up: a row of [`TAPS`] coefficients for each output sample of a group.
    rows: Vec<f32>,
    /// Going down: all of them in order.
    prototype: Vec<f32>,
}

impl Filter {
    fn new(factor: usize) -> Filter {
        let half = (ZERO_CROSSINGS * factor) as f64;
        // In cycles per sample of the higher rate.
        let cutoff = 0.5 * CUTOFF / factor as f64;
        let length = TAPS * factor;
        let mut whole: Vec<f64> = (0..length)
            .map(|tap| tap as f64 + 0.5 - half)
            .map(|at| 2.0 * cutoff * sinc(2.0 * cutoff * at) * kaiser(at / half))
            .collect();
        // Each row passes a constant unchanged, so that silence with an offset does not hum.
        let mut rows = Vec::with_capacity(length);
        for phase in 0..factor {
            let row = || whole.iter().skip(phase).step_by(factor);
            let sum: f64 = row().sum();
            // The newest sample comes last in a window.
            let scaled: Vec<f32> = row().map(|c| (c / sum) as f32).collect();
            rows.extend(scaled.iter().rev());
        }
        let sum: f64 = whole.iter().sum();
        whole.iter_mut().for_each(|c| *c /= sum);
        Filter {
            factor,
            rows,
            prototype: whole.iter().rev().map(|&c| c as f32).collect(),
        }
    }
}

/// The sum of products, in eight lanes so that it is computed side by side. Rounded and limited by the cast of the caller.
fn dot(window: &[f32], coefficients: &[f32]) -> f32 {
    let mut lanes = [0.0f32; LANES];
    for (samples, factors) in window
        .chunks_exact(LANES)
        .zip(coefficients.chunks_exact(LANES))
    {
        for ((lane, sample), factor) in lanes.iter_mut().zip(samples).zip(factors) {
            *lane += sample * factor;
        }
    }
    let sum = lanes.iter().sum::<f32>();
    // Rounds as it is cut off afterwards; `round` is a call on processors without SSE 4.1.
    sum + 0.5f32.copysign(sum)
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The Kaiser window over -1..1.
fn kaiser(x: f64) -> f64 {
    if x.abs() >= 1.0 {
        return 0.0;
    }
    bessel_i0(BETA * (1.0 - x * x).sqrt()) / bessel_i0(BETA)
}

fn bessel_i0(x: f64) -> f64 {
    let mut sum = 1.0;
    let mut term = 1.0;
    let mut n = 1.0;
    while term > sum * 1e-12 {
        term *= (x / (2.0 * n)) * (x / (2.0 * n));
        sum += term;
        n += 1.0;
    }
    sum
}

static BY_2: LazyLock<Filter> = LazyLock::new(|| Filter::new(2));
static BY_3: LazyLock<Filter> = LazyLock::new(|| Filter::new(3));
static BY_6: LazyLock<Filter> = LazyLock::new(|| Filter::new(6));

/// Zero crossings of the sinc on each side, in samples of the lower rate.
const ZERO_CROSSINGS: usize = 16;
/// Coefficients per sample of the lower rate.
const TAPS: usize = 2 * ZERO_CROSSINGS;
/// Where the filter is 6 dB down, as a part of the lower rate's half.
const CUTOFF: f64 = 0.95;
/// The window's shape: 70 dB.
const BETA: f64 = 7.0;
/// Input samples worked on at once.
const BLOCK: usize = 480;
/// Sums computed side by side; divides [`TAPS`].
const LANES: usize = 8;

#[cfg(test)]
mod tests;
