//! Whole calls in virtual time: the real core of the switch between simulated far sides, over a network that loses, repeats and
//! reorders. Every call ends with one result; nothing is left. A failing seed is printed; `VATS_SEED=n` replays it.

mod account;
mod media;
mod network;
mod peer;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::time::Duration;

use vats::sip::endpoint::command::Usage;
use world::{Outcome, World};

/// Worlds per run, and calls in each: a thousand calls together.
const WORLDS: u64 = 50;
const CALLS: u32 = 20;

#[test]
fn a_thousand_random_calls_end_in_one_result_each() {
    if let Some(seed) = std::env::var("VATS_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
    {
        let outcome = check(seed);
        println!("{:#?} {:#?}", outcome.results, outcome.deeds);
        return;
    }
    let mut results: BTreeMap<String, u32> = BTreeMap::new();
    let mut deeds: BTreeMap<&str, u32> = BTreeMap::new();
    for seed in 1..=WORLDS {
        let outcome = check(seed);
        for (result, times) in outcome.results {
            *results.entry(result).or_default() += times;
        }
        for (deed, times) in outcome.deeds {
            *deeds.entry(deed).or_default() += times;
        }
    }
    // The worlds must be worth the name: most ways in which a call can end occur, and many calls are answered.
    let count = |result: &str| results.get(result).copied().unwrap_or(0);
    assert!(count("Some(Answered) None") >= 200, "{results:#?}");
    assert!(count("Some(Missed) Some(WaitLimit)") >= 20, "{results:#?}");
    assert!(count("Some(NotReached) None") >= 20, "{results:#?}");
    assert!(results.len() >= 10, "{results:#?}");
    assert!(results.values().sum::<u32>() >= CALLS * 45, "{results:#?}");
    for (deed, least) in [
        ("offer", 100),
        ("transfer", 50),
        ("hangup", 20),
        ("originate", 10),
        ("drain", 10),
        ("refer", 50),
        ("passed on", 15),
        ("our UPDATE", 20),
        ("our re-INVITE", 10),
        ("our PRACK", 50),
        ("their UPDATE", 20),
        ("their PRACK", 20),
    ] {
        let times = deeds.get(deed).copied().unwrap_or(0);
        assert!(times >= least, "{deed}: {deeds:#?}");
    }
}

/// Both edges, every combination of who knows timers and how often, with UPDATE and without (one of four peers hides it, by the seed):
/// nobody's call is cut off.
#[test]
fn calls_last_fifteen_minutes_half_an_hour_and_four_hours() {
    let side = |session_expires| Usage {
        session_expires,
        ..Usage::default()
    };
    let mut seed = 0u64;
    for minutes in [16, 31, 241] {
        for near in [None, Some(90), Some(1800)] {
            for far in [None, Some(90), Some(1800)] {
                seed += 1;
                let loss = if seed.is_multiple_of(2) { 0 } else { 10 };
                let lasts = Duration::from_secs(60 * minutes);
                let sides = [side(near), side(far)];
                let outcome = World::steady(seed, loss, lasts, sides).run();
                let what = format!("{minutes} minutes, {near:?} and {far:?}, seed {seed}");
                assert!(outcome.faults.is_empty(), "{what}: {:#?}", outcome.faults);
                assert_eq!(outcome.talked.len(), 2, "{what}: {:?}", outcome.results);
                for talked in outcome.talked {
                    let seconds = lasts.as_secs();
                    let about = seconds - 15..=seconds + 1;
                    assert!(about.contains(&(talked / 1_000)), "{what}: {talked} ms");
                }
            }
        }
    }
}

/// Runs one world; fails with its seed when anything is wrong at the end.
fn check(seed: u64) -> Outcome {
    // A third of the worlds has a perfect network, where nothing may be explained by loss.
    let loss = if seed.is_multiple_of(3) { 0 } else { 10 };
    let outcome = std::panic::catch_unwind(|| World::new(seed, loss, CALLS).run());
    let outcome =
        outcome.unwrap_or_else(|_| panic!("seed {seed} panicked: replay with VATS_SEED={seed}"));
    let faults = &outcome.faults;
    assert!(
        faults.is_empty(),
        "seed {seed} (replay with VATS_SEED={seed}): {faults:#?}"
    );
    outcome
}
