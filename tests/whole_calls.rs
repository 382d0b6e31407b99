//! Whole calls in virtual time: the real core of the switch between simulated far sides, over a network that loses, repeats and
//! reorders. Every call ends with one result; nothing is left. A failing seed is printed; `VATS_SEED=n` replays it, `VATS_WORLDS=n` runs so many.

mod account;
mod media;
mod network;
mod peer;
mod traffic;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use self::world::{Outcome, World};
use vats::sip::endpoint::command::Usage;

/// Worlds per run, and calls in each: ten thousand calls together.
const WORLDS: u64 = 500;
const CALLS: u32 = 20;

/// Results and deeds of all worlds, and what was wrong in some.
#[derive(Default)]
struct Sum {
    results: BTreeMap<String, u32>,
    deeds: BTreeMap<&'static str, u32>,
    failures: Vec<String>,
}

impl Sum {
    fn add(&mut self, outcome: Outcome) {
        for (result, times) in outcome.results {
            *self.results.entry(result).or_default() += times;
        }
        for (deed, times) in outcome.deeds {
            *self.deeds.entry(deed).or_default() += times;
        }
    }
}

#[test]
fn ten_thousand_random_calls_end_in_one_result_each() {
    if let Some(seed) = number("VATS_SEED") {
        let outcome = check(seed).unwrap_or_else(|failure| panic!("{failure}"));
        println!("{:#?} {:#?}", outcome.results, outcome.deeds);
        return;
    }
    let worlds = number("VATS_WORLDS").unwrap_or(WORLDS);
    let sum = run(worlds);
    println!("{:#?} {:#?}", sum.results, sum.deeds);
    assert!(sum.failures.is_empty(), "{}", sum.failures.join("\n"));
    // The worlds must be worth the name: most ways in which a call can end occur, and many calls are answered.
    let least = |times: u64| u32::try_from(times * worlds / 50).unwrap();
    let count = |result: &str| sum.results.get(result).copied().unwrap_or(0);
    let results = &sum.results;
    assert!(count("Some(Answered) None") >= least(200), "{results:#?}");
    assert!(
        count("Some(Missed) Some(WaitLimit)") >= least(20),
        "{results:#?}"
    );
    assert!(count("Some(NotReached) None") >= least(20), "{results:#?}");
    assert!(results.len() >= 10, "{results:#?}");
    assert!(
        results.values().sum::<u32>() >= least(u64::from(CALLS) * 45),
        "{results:#?}"
    );
    for (deed, times) in [
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
        let done = sum.deeds.get(deed).copied().unwrap_or(0);
        assert!(done >= least(times), "{deed}: {:#?}", sum.deeds);
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

/// Runs that many worlds on all cores.
fn run(worlds: u64) -> Sum {
    let sum = Mutex::new(Sum::default());
    let next = AtomicU64::new(1);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed > worlds {
                        return;
                    }
                    let outcome = check(seed);
                    let mut sum = sum.lock().unwrap();
                    match outcome {
                        Ok(outcome) => sum.add(outcome),
                        Err(failure) => sum.failures.push(failure),
                    }
                }
            });
        }
    });
    sum.into_inner().unwrap()
}

/// Runs one world; fails with its seed when anything is wrong at the end.
fn check(seed: u64) -> Result<Outcome, String> {
    // A third of the worlds has a perfect network, where nothing may be explained by loss.
    let loss = if seed.is_multiple_of(3) { 0 } else { 10 };
    let outcome = std::panic::catch_unwind(|| World::new(seed, loss, CALLS).run())
        .map_err(|_| format!("seed {seed} panicked: replay with VATS_SEED={seed}"))?;
    let faults = &outcome.faults;
    if faults.is_empty() {
        Ok(outcome)
    } else {
        Err(format!(
            "seed {seed} (replay with VATS_SEED={seed}): {faults:#?}"
        ))
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}
