//! G.722 at 64 kbit/s (ITU-T G.722, mode 1): two sub-bands of 8 kHz each, ADPCM with 6 bits for the lower and 2 for the
//! upper one. A byte carries two samples at 16 kHz. Names of steps are those of the recommendation.

use std::fmt;

/// Encodes 16-bit samples at 16 kHz.
#[derive(Clone)]
pub struct Encoder {
    mirror: Mirror,
    low: Band,
    high: Band,
    /// A sample that waits for its partner.
    odd: Option<i16>,
}

/// Decodes to 16-bit samples at 16 kHz.
#[derive(Clone)]
pub struct Decoder {
    mirror: Mirror,
    low: Band,
    high: Band,
}

/// The adaptive predictor and quantizer step of one band.
#[derive(Clone)]
struct Band {
    /// The signal estimate, and its part from the zeros.
    s: i32,
    sz: i32,
    /// Reconstructed signal, two values back.
    r: [i32; 2],
    /// Partially reconstructed signal, two values back.
    p: [i32; 2],
    /// Pole coefficients.
    a: [i32; 2],
    /// Zero coefficients.
    b: [i32; 6],
    /// Quantized differences, six values back: twice each, as they are needed.
    d: [i32; 6],
    /// The logarithm of the step, and the step.
    nb: i32,
    det: i32,
}

impl Default for Encoder {
    fn default() -> Encoder {
        Encoder {
            mirror: Mirror::default(),
            low: Band::new(DET_LOW),
            high: Band::new(DET_HIGH),
            odd: None,
        }
    }
}

impl Default for Decoder {
    fn default() -> Decoder {
        Decoder {
            mirror: Mirror::default(),
            low: Band::new(DET_LOW),
            high: Band::new(DET_HIGH),
        }
    }
}

impl fmt::Debug for Encoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("g722::Encoder")
    }
}

impl fmt::Debug for Decoder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("g722::Decoder")
    }
}

impl Encoder {
    /// Encodes pairs of samples to a byte each; returns the bytes written. What `out` has no room for is not encoded; an odd
    /// sample waits for the next call.
    pub fn encode(&mut self, samples: &[i16], out: &mut [u8]) -> usize {
        let mut samples = samples.iter().copied();
        let mut written = 0;
        for place in out {
            let Some(first) = self.odd.take().or_else(|| samples.next()) else {
                break;
            };
            let Some(second) = samples.next() else {
                self.odd = Some(first);
                break;
            };
            *place = self.pair(first, second);
            written += 1;
        }
        written
    }

    fn pair(&mut self, first: i16, second: i16) -> u8 {
        let (odd, even) = self.mirror.take(first, second);
        // 12 bits are the filters' gain, one is for the sum of both, one for the band's 15 bits.
        let low = ((even + odd) >> 14).clamp(MIN_15, MAX_15);
        let high = ((even - odd) >> 14).clamp(MIN_15, MAX_15);
        let low = self.encode_low(low);
        let high = self.encode_high(high);
        (high << 6 | low) as u8
    }

    fn encode_low(&mut self, low: i32) -> usize {
        let band = &mut self.low;
        let difference = saturate(low - band.s);
        let size = magnitude(difference);
        // So many decision levels, scaled by the step, are not above the size.
        let scaled = (((size + 1) << 12) - 1) / band.det.max(1);
        let level = usize::from(LEVELS[(scaled as usize).min(LEVELS.len() - 1)]);
        // QUANTL: codes go down from 61 (positive) and 31 (negative); the two smallest negative steps are 63 and 62.
        let code = match (difference < 0, level) {
            (false, _) => 61 - level,
            (true, 0) => 63,
            (true, 1) => 62,
            (true, _) => 33 - level,
        };
        band.adapt_low(code);
        code
    }

    fn encode_high(&mut self, high: i32) -> usize {
        let band = &mut self.high;
        let difference = saturate(high - band.s);
        let large = magnitude(difference) >= (564 * band.det) >> 12;
        let code = match (difference < 0, large) {
            (true, false) => 1,
            (true, true) => 0,
            (false, false) => 3,
            (false, true) => 2,
        };
        band.adapt_high(code);
        code
    }
}

impl Decoder {
    /// Decodes each byte to two samples; returns the samples written. What `out` has no room for is not decoded.
    pub fn decode(&mut self, payload: &[u8], out: &mut [i16]) -> usize {
        let mut written = 0;
        for (&byte, places) in payload.iter().zip(out.chunks_exact_mut(2)) {
            places.copy_from_slice(&self.pair(byte));
            written += 2;
        }
        written
    }

    fn pair(&mut self, byte: u8) -> [i16; 2] {
        let (low_code, high_code) = (usize::from(byte & 63), usize::from(byte >> 6));
        let low = self.low.s + ((self.low.det * INVERSE_6[low_code]) >> 15);
        let low = low.clamp(MIN_15, MAX_15);
        self.low.adapt_low(low_code);
        let high = self.high.s + ((self.high.det * INVERSE_2[high_code]) >> 15);
        let high = high.clamp(MIN_15, MAX_15);
        self.high.adapt_high(high_code);
        // Both bands have 15 bits, so their sum has 16.
        let (odd, even) = self.mirror.take((low + high) as i16, (low - high) as i16);
        [saturate(even >> 11) as i16, saturate(odd >> 11) as i16]
    }
}

impl Band {
    fn new(det: i32) -> Band {
        Band {
            s: 0,
            sz: 0,
            r: [0; 2],
            p: [0; 2],
            a: [0; 2],
            b: [0; 6],
            d: [0; 6],
            nb: 0,
            det,
        }
    }

    /// INVQAL, LOGSCL, SCALEL and the predictor: the lower band adapts by the four upper bits of its code only.
    fn adapt_low(&mut self, code: usize) {
        let coarse = code >> 2;
        let difference = (self.det * INVERSE_4[coarse]) >> 15;
        self.rescale(LOW_WEIGHTS[coarse], 18_432, 8);
        self.predict(difference);
    }

    fn adapt_high(&mut self, code: usize) {
        let difference = (self.det * INVERSE_2[code]) >> 15;
        self.rescale(HIGH_WEIGHTS[code], 22_528, 10);
        self.predict(difference);
    }

    fn rescale(&mut self, weight: i32, most: i32, exponent: i32) {
        self.nb = (((self.nb * 127) >> 7) + weight).clamp(0, most);
        let mantissa = EXPONENTIALS[(self.nb >> 6) as usize & 31];
        let shift = exponent - (self.nb >> 11);
        self.det = if shift < 0 {
            mantissa << -shift
        } else {
            mantissa >> shift
        } << 2;
    }

    /// Block 4: reconstructs, adapts poles and zeros, and estimates the next sample.
    fn predict(&mut self, d: i32) {
        let r = saturate(self.s + d);
        let p = saturate(self.sz + d);
        self.adapt_poles(p);
        self.adapt_zeros(d);
        let [d0, d1, d2, d3, d4, _] = self.d;
        self.d = [saturate(2 * d), d0, d1, d2, d3, d4];
        self.r = [r, self.r[0]];
        self.p = [p, self.p[0]];
        let poles = self.a.iter().zip(&self.r);
        let sp = poles.map(|(a, &r)| (a * saturate(2 * r)) >> 15).sum();
        let zeros = self.b.iter().zip(&self.d);
        let sz = zeros.map(|(b, d)| (b * d) >> 15).sum();
        self.sz = saturate(sz);
        self.s = saturate(saturate(sp) + self.sz);
    }

    /// UPPOL2 and UPPOL1.
    fn adapt_poles(&mut self, p: i32) {
        let same = |other: i32| (p < 0) == (other < 0);
        let [a1, a2] = self.a;
        let toward = saturate(4 * a1);
        let toward = if same(self.p[0]) {
            (-toward).min(32_767)
        } else {
            toward
        };
        let step = if same(self.p[1]) { 128 } else { -128 };
        let a2 = (step + (toward >> 7) + ((a2 * 32_512) >> 15)).clamp(-12_288, 12_288);
        let step = if same(self.p[0]) { 192 } else { -192 };
        let limit = saturate(15_360 - a2);
        let a1 = saturate(step + ((a1 * 32_640) >> 15)).clamp(-limit, limit);
        self.a = [a1, a2];
    }

    /// UPZERO.
    fn adapt_zeros(&mut self, d: i32) {
        let step = if d == 0 { 0 } else { 128 };
        for (b, &old) in self.b.iter_mut().zip(&self.d) {
            // -1 where the signs differ: without branches.
            let other = (old ^ d) >> 31;
            // Stays within 16 bits by itself: 32,767 is where it stands still.
            *b = ((step ^ other) - other) + ((*b * 32_640) >> 15);
        }
    }
}

/// The quadrature mirror filter over the last 24 values. They lie twice in a row, so that the last of them always lie together.
#[derive(Clone)]
struct Mirror {
    first: [i16; 2 * ROW],
    second: [i16; 2 * ROW],
    /// Where the oldest are.
    at: usize,
}

impl Default for Mirror {
    fn default() -> Mirror {
        Mirror {
            first: [0; 2 * ROW],
            second: [0; 2 * ROW],
            at: 0,
        }
    }
}

impl Mirror {
    /// Takes two values; both halves' sums.
    fn take(&mut self, first: i16, second: i16) -> (i32, i32) {
        for (values, value) in [(&mut self.first, first), (&mut self.second, second)] {
            values[self.at] = value;
            values[self.at + ROW] = value;
        }
        self.at = (self.at + 1) % ROW;
        let sum = |values: &[i16; 2 * ROW], factors: &[i16; ROW]| -> i32 {
            let values = values[self.at..].iter().zip(factors);
            values
                .map(|(&value, &factor)| i32::from(value) * i32::from(factor))
                .sum()
        };
        (sum(&self.first, &FORTH), sum(&self.second, &BACK))
    }
}

fn saturate(value: i32) -> i32 {
    value.clamp(-32_768, 32_767)
}

/// The size of a difference; -1 is as large as 0.
fn magnitude(difference: i32) -> i32 {
    if difference < 0 {
        -(difference + 1)
    } else {
        difference
    }
}

const MIN_15: i32 = -16_384;
const MAX_15: i32 = 16_383;
/// Where the quantizers' steps begin.
const DET_LOW: i32 = 32;
const DET_HIGH: i32 = 8;

/// Values of a half of the filter: 12, and four that count nothing, for the sake of whole vectors.
const ROW: usize = 16;
/// One half of the filter's coefficients, for the oldest value first; the other half mirrors it.
const FORTH: [i16; ROW] = [
    0, 0, 0, 0, 3, -11, 12, 32, -210, 951, 3876, -805, 362, -156, 53, -11,
];
const BACK: [i16; ROW] = [
    0, 0, 0, 0, -11, 53, -156, 362, -805, 3876, 951, -210, 32, 12, -11, 3,
];

/// Decision levels of the lower band's quantizer.
const DECISIONS: [i32; 29] = [
    35, 72, 110, 150, 190, 233, 276, 323, 370, 422, 473, 530, 587, 650, 714, 786, 858, 940, 1023,
    1121, 1219, 1339, 1458, 1612, 1765, 1980, 2195, 2557, 2919,
];

/// For each scaled size, how many of them it has reached.
static LEVELS: [u8; 2_920] = {
    let mut levels = [0; 2_920];
    let (mut size, mut level) = (0, 0);
    while size < levels.len() {
        while level < DECISIONS.len() && DECISIONS[level] as usize <= size {
            level += 1;
        }
        levels[size] = level as u8;
        size += 1;
    }
    levels
};

/// Output levels for the lower band's 6-bit codes.
const INVERSE_6: [i32; 64] = [
    -136, -136, -136, -136, -24808, -21904, -19008, -16704, -14984, -13512, -12280, -11192, -10232,
    -9360, -8576, -7856, -7192, -6576, -6000, -5456, -4944, -4464, -4008, -3576, -3168, -2776,
    -2400, -2032, -1688, -1360, -1040, -728, 24808, 21904, 19008, 16704, 14984, 13512, 12280,
    11192, 10232, 9360, 8576, 7856, 7192, 6576, 6000, 5456, 4944, 4464, 4008, 3576, 3168, 2776,
    2400, 2032, 1688, 1360, 1040, 728, 432, 136, -432, -136,
];

/// Output levels for their four upper bits.
const INVERSE_4: [i32; 16] = [
    0, -20456, -12896, -8968, -6288, -4240, -2584, -1200, 20456, 12896, 8968, 6288, 4240, 2584,
    1200, 0,
];

/// Output levels of the upper band.
const INVERSE_2: [i32; 4] = [-7408, -1616, 7408, 1616];

/// What a lower code's four upper bits add to the step's logarithm.
const LOW_WEIGHTS: [i32; 16] = [
    -60, 3042, 1198, 538, 334, 172, 58, -30, 3042, 1198, 538, 334, 172, 58, -30, -60,
];

/// What an upper code adds to the step's logarithm.
const HIGH_WEIGHTS: [i32; 4] = [798, -214, 798, -214];

/// 2^(n/32), scaled by 2048.
const EXPONENTIALS: [i32; 32] = [
    2048, 2093, 2139, 2186, 2233, 2282, 2332, 2383, 2435, 2489, 2543, 2599, 2656, 2714, 2774, 2834,
    2896, 2960, 3025, 3091, 3158, 3228, 3298, 3371, 3444, 3520, 3597, 3676, 3756, 3838, 3922, 4008,
];

#[cfg(test)]
mod tests;
