//! Noise that tells where each of its samples belongs: what was stored is compared with what was sent, sample for sample.

use std::sync::OnceLock;

use super::sound::{Law, tone_sample};

/// What the alternate bits of an octet of A-law are inverted with (G.711 §3).
const INVERTED: u8 = 0x55;

/// The octet of A-law at a place of this noise. It is never silence, and quiet enough that ten of them added up are not cut off.
pub fn octet(salt: u64, at: u32) -> u8 {
    (random(salt, at) & !0x40) ^ INVERTED
}

/// The octet of A-law at a place of a tone whose two lowest bits are noise: 440 Hz for an even salt, 1,000 Hz for an odd one.
pub fn tone_octet(salt: u64, at: u32) -> u8 {
    /// Both tones are where they were after so many samples.
    const PERIOD: u32 = 200;
    static TONES: OnceLock<[Vec<u8>; 2]> = OnceLock::new();
    let tones = TONES.get_or_init(|| {
        TONES_HZ.map(|hertz| {
            let tone = (0..PERIOD).map(|at| tone_sample(hertz, at));
            tone.map(|sample| Law::A.encode(sample) & !3).collect()
        })
    });
    tones[salt as usize % 2][(at % PERIOD) as usize] | random(salt, at) & 3
}

/// Those of even salts and of odd ones.
pub const TONES_HZ: [f64; 2] = [440.0, 1_000.0];

fn random(salt: u64, at: u32) -> u8 {
    // SplitMix64.
    let mut x = (salt << 32 | u64::from(at)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    (x ^ x >> 31) as u8
}

/// The first samples of a noise, as whoever hears it without loss hears them.
pub fn samples(salt: u64, count: usize) -> Vec<i16> {
    decoded(count, |at| octet(salt, at))
}

/// The same of a tone with noise in it.
pub fn tone_samples(salt: u64, count: usize) -> Vec<i16> {
    decoded(count, |at| tone_octet(salt, at))
}

fn decoded(count: usize, octet: impl Fn(u32) -> u8) -> Vec<i16> {
    let values: Vec<i16> = (0..=u8::MAX).map(|octet| Law::A.decode(octet)).collect();
    let octets = (0..count as u32).map(octet);
    octets.map(|octet| values[usize::from(octet)]).collect()
}

/// Samples that follow each other where they were stored as they did where they were sent.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Run {
    /// Where in the file.
    pub at: usize,
    /// Where in what was sent.
    pub place: usize,
    /// How many.
    pub length: usize,
}

/// Takes a side of a recording apart: all of it is silence or part of what was sent, in order and nothing twice.
///
/// # Errors
/// What else it holds, and where.
pub fn runs(side: &[i16], sent: &[i16]) -> Result<Vec<Run>, String> {
    let mut runs: Vec<Run> = Vec::new();
    let (mut at, mut heard) = (0, 0);
    while let Some(silent) = side[at..].iter().position(|&sample| sample != 0) {
        at += silent;
        let rest = &side[at..];
        let begin = &rest[..rest.len().min(SURE)];
        let place = sent[heard..]
            .windows(begin.len())
            .position(|part| part == begin)
            .ok_or_else(|| format!("sample {at} is none that was to come after {runs:?}"))?;
        let place = heard + place;
        let same = rest.iter().zip(&sent[place..]).take_while(|(a, b)| a == b);
        let length = same.count();
        runs.push(Run { at, place, length });
        at += length;
        heard = place + length;
    }
    Ok(runs)
}

/// Samples of all runs.
pub fn stored(runs: &[Run]) -> usize {
    runs.iter().map(|run| run.length).sum()
}

/// So many samples are found at one place only.
const SURE: usize = 16;
