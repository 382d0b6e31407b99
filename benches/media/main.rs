//! What media costs at 100, 300 and 1,000 calls: relayed, recorded, protected, converted, mixed, and prompts; then a room
//! of 100. Each as a ratio to a bare epoll receive-and-send loop over the same packets in the same round.
//! `cargo bench --bench media [-- CALLS,CALLS SECONDS ROUNDS]`; some words of a scenario's name choose it.
//!
//! Packets go over loopback through the real plane with one worker, which has the second processor to itself; the load
//! generator has the first. CPU is that of the threads that do the work, as the kernel accounts it, the generator's is left
//! out. Over loopback the sender pays for the receive path too, in all scenarios alike. Two legs are a call, whatever they
//! hear, so that packets compare: 100 calls are 200 legs, also where these sit in rooms of three or hear music.
//!
//! Delay is from just before a packet is sent to when the kernel has it for the phone that hears it. In rooms it is from
//! mouth to ear: from a loud sound to its first sample, jitter buffer and beat included. Of music it is how much later
//! than at an even beat it came.
//!
//! A round is disturbed, and not counted, if the generator sent more than one packet in a hundred late, or if others had
//! the processor of what is measured. It is repeated; a line says "(disturbed)" if that did not help, and its figures say
//! more about the machine than about vats.

mod bare;
#[path = "../budget/mod.rs"]
mod budget;
mod budgets;
mod drive;
mod ears;
mod found;
mod machine;
mod phones;
mod recorded;
mod scenario;
mod speech;

use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use vats::clock::Clock;
use vats::media::counters::Reason;

use self::bare::Bare;
use self::drive::Generator;
use self::found::{Found, HEADING, Round};
use self::machine::{Others, allocated};
use self::recorded::Recording;
use self::scenario::{Hearing, Scenario};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// All that was found at one size.
pub struct Size {
    /// Calls asked for; what needs more than a core has fewer.
    calls: usize,
    found: Vec<(Scenario, Found)>,
}

struct Pace {
    length: Duration,
    rounds: usize,
}

fn main() -> io::Result<()> {
    // `cargo test --benches` passes flags; only a real bench run measures.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let is_number = |arg: &&String| arg.starts_with(|first: char| first.is_ascii_digit());
    let mut numbers = arguments.iter().filter(is_number);
    let sizes = numbers.next().map_or("100,300,1000", String::as_str);
    let sizes = sizes.split(',').filter_map(|calls| calls.parse().ok());
    let seconds = numbers.next().and_then(|text| text.parse().ok());
    let pace = Pace {
        length: Duration::from_secs_f64(seconds.unwrap_or(1.5)),
        rounds: numbers
            .next()
            .and_then(|text| text.parse().ok())
            .unwrap_or(3),
    };
    let words: Vec<&str> = arguments
        .iter()
        .filter(|arg| !is_number(arg) && !arg.starts_with('-'))
        .map(String::as_str)
        .collect();
    let chosen = |scenario: &Scenario| {
        let name = scenario.name();
        *scenario == Scenario::Bare
            || words.is_empty()
            || words.iter().any(|word| name.contains(word))
    };
    let scenarios: Vec<Scenario> = Scenario::ALL.into_iter().filter(chosen).collect();
    println!(
        "calls of two legs, packets of 20 ms, {} rounds of {:?} each",
        pace.rounds, pace.length
    );
    let mut found: Vec<Size> = Vec::new();
    for calls in sizes {
        println!("\n{calls} calls:\n");
        let before = found.last();
        let fitting = scenarios
            .iter()
            .filter_map(|scenario| Some((*scenario, fitting(*scenario, calls, before)?)))
            .collect();
        found.push(measure_all(calls, fitting, &pace)?);
    }
    let rooms: Vec<Scenario> = [3, 100]
        .map(Scenario::Rooms)
        .into_iter()
        .filter(chosen)
        .collect();
    let mut apart = None;
    if !rooms.is_empty() {
        println!("\na hundred legs, in rooms of 3 and in one:\n");
        let fitting = std::iter::once(Scenario::Bare).chain(rooms);
        apart = Some(measure_all(
            50,
            fitting.map(|one| (one, 50)).collect(),
            &pace,
        )?);
    }
    budget::report("media", &budgets::rows(&found, apart.as_ref()))
}

/// How many of so many calls a core can carry, by what fewer took; `None`, and says why, when that is no more than was
/// measured already.
fn fitting(scenario: Scenario, calls: usize, before: Option<&Size>) -> Option<usize> {
    let mut before = before.into_iter().flat_map(|size| &size.found);
    let Some((_, fewer)) = before.find(|(one, _)| *one == scenario) else {
        return Some(calls);
    };
    let needed = fewer.cores() / fewer.calls as f64 * calls as f64;
    if needed <= FULL || !scenario.is_work() {
        return Some(calls);
    }
    let most = (fewer.calls as f64 * FULL / fewer.cores()) as usize / 10 * 10;
    let name = scenario.name();
    println!(
        "{name}: {calls} calls need about {needed:.1} cores of media threads; {most} fit on one\n"
    );
    (most > fewer.calls).then_some(most)
}

/// Rounds of all scenarios, one after the other, so that what disturbs the machine disturbs all of them.
fn measure_all(calls: usize, scenarios: Vec<(Scenario, usize)>, pace: &Pace) -> io::Result<Size> {
    let others = Others::watch()?;
    let named =
        |(scenario, calls): (Scenario, usize)| (scenario, Found::new(scenario.name(), calls));
    let mut found: Vec<(Scenario, Found)> = scenarios.into_iter().map(named).collect();
    for round in 0..pace.rounds + REPEATED {
        let mut bare = 1.0;
        for (scenario, found) in &mut found {
            let is_settled = round >= pace.rounds && !found.is_disturbed();
            if is_settled && *scenario != Scenario::Bare {
                continue;
            }
            let round = measure(*scenario, found.calls, pace.length)?;
            if *scenario == Scenario::Bare {
                bare = round.per_packet();
            }
            found.add(round, bare);
        }
        if round + 1 >= pace.rounds && !found.iter().any(|(_, found)| found.is_disturbed()) {
            break;
        }
    }
    println!("{HEADING}");
    for (_, found) in &mut found {
        found.finish();
        println!("{}", found.line());
    }
    println!(
        "\nother processes had {:.2} cores meanwhile",
        others.cores()?
    );
    Ok(Size { calls, found })
}

fn measure(scenario: Scenario, calls: usize, length: Duration) -> io::Result<Round> {
    let generator = Generator::new(scenario, 2 * calls, length)?;
    if scenario == Scenario::Bare {
        let bare = Bare::start(generator.addresses())?;
        let targets = bare.targets.clone();
        let round = generator.drive(&targets, &[bare::THREAD]);
        bare.stop()?;
        // It has no legs.
        return round.map(|round| Round { memory: 0, ..round });
    }
    let clock = Clock::start();
    let mut plane = scenario::start(scenario, clock)?;
    let before = allocated();
    let targets = scenario::open(&mut plane, scenario, generator.addresses())?;
    let mut threads = vec![MEDIA];
    let mut recording = None;
    if scenario == Scenario::Recorded {
        threads.extend(recorded::THREADS);
        recording = Some(Recording::begin(&mut plane, calls, clock)?);
    }
    scenario::settle(&mut plane);
    let legs = generator.addresses().len() as u64;
    let mut round = generator.drive(&targets, &threads)?;
    round.memory = round.memory.saturating_sub(before);
    if let Some(recording) = recording {
        recording.end();
    }
    if scenario.hearing() != Hearing::Partner {
        let census = plane.census();
        // What a room did not play, and what was not made at all.
        round.due += census.dropped(Reason::Late) + census.beats_missed * legs;
    }
    Ok(round)
}

/// The one worker's thread.
const MEDIA: &str = "media-0";
/// The share of a core that a worker may be busy for.
const FULL: f64 = 0.8;
/// Rounds more than asked for where others were disturbed.
const REPEATED: usize = 1;
