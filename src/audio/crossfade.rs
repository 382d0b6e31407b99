//! Passing from one sound into another without a step: the one place where that is computed.

/// Sample `n` of a passage of `length` samples that leads from `before` to `after`, both as they are at that sample.
pub fn crossfade(before: f32, after: f32, n: usize, length: usize) -> f32 {
    let part = (n + 1) as f32 / (length + 1) as f32;
    before * (1.0 - part) + after * part
}

/// The sound between two samples, `part` of the way from the one to the next.
pub fn between(sample: i16, next: i16, part: f32) -> i16 {
    (f32::from(sample) * (1.0 - part) + f32::from(next) * part) as i16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_leads_evenly_from_the_one_to_the_other() {
        let passage: Vec<f32> = (0..3).map(|n| crossfade(100.0, 200.0, n, 3)).collect();
        assert_eq!(passage, [125.0, 150.0, 175.0]);
        assert_eq!(crossfade(7.0, 7.0, 0, 0), 7.0);
    }
}
