//! Whole calls in virtual time: the real core of the switch between simulated far sides, over a network that loses, repeats and
//! reorders. Every call ends with one result; nothing is left. A failing seed is printed; `VATS_SEED=n` replays it.

mod media;
mod network;
mod peer;
mod world;

use world::World;

/// Worlds per run, and calls in each: a thousand calls together.
const WORLDS: u64 = 50;
const CALLS: u32 = 20;

#[test]
fn a_thousand_random_calls_end_in_one_result_each() {
    if let Some(seed) = std::env::var("VATS_SEED").ok().and_then(|seed| seed.parse().ok()) {
        check(seed);
        return;
    }
    for seed in 1..=WORLDS {
        check(seed);
    }
}

fn check(seed: u64) {
    // A third of the worlds has a perfect network, where nothing may be explained by loss.
    let loss = if seed.is_multiple_of(3) { 0 } else { 10 };
    let outcome = std::panic::catch_unwind(|| World::new(seed, loss, CALLS).run());
    let faults = match outcome {
        Ok(faults) => faults,
        Err(_) => vec!["the simulation panicked".to_owned()],
    };
    assert!(faults.is_empty(), "seed {seed} (replay with VATS_SEED={seed}): {faults:#?}");
}
