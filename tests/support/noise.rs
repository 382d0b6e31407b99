//! Noise that tells where each of its samples belongs: what was stored is compared with what was sent, sample for sample.

use super::sound::Law;

/// The octet of A-law at a place of this noise. It is never silence, and quiet enough that ten of them added up are not cut off.
pub fn octet(salt: u64, at: u32) -> u8 {
    // SplitMix64.
    let mut x = (salt << 32 | u64::from(at)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((x ^ x >> 31) as u8 & !0x40) ^ 0x55
}

/// The first samples of a noise, as whoever hears it without loss hears them.
pub fn samples(salt: u64, count: usize) -> Vec<i16> {
    (0..count as u32)
        .map(|at| Law::A.decode(octet(salt, at)))
        .collect()
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
