//! Arrival times recorded from real packets, played through the buffer.

use super::*;

/// How much later than the fastest each packet came, in microseconds.
type Trace = Vec<Option<u64>>;

const UPLINK: &str = include_str!("uplink.trace");
const TWO_PATHS: &str = include_str!("two_paths.trace");
const BUSY_MACHINE: &str = include_str!("busy_machine.trace");

fn trace(text: &str) -> Trace {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let one = |word: &str| word.parse::<u64>().ok().map(|tenths| tenths * 100);
    lines.flat_map(str::split_whitespace).map(one).collect()
}

/// How a stretch of a trace was played.
#[derive(Copy, Clone, Default, Debug)]
struct Played {
    came: u64,
    late: u64,
    delays: i64,
    beats: i64,
    longest: i64,
    most: usize,
}

impl Played {
    fn late_percent(&self) -> f64 {
        self.late as f64 * 100.0 / self.came.max(1) as f64
    }

    fn mean_delay(&self) -> i64 {
        self.delays / self.beats.max(1)
    }
}

/// Plays a trace over and over, by a sender whose clock is wrong by `ppm`: how each round went, and the line.
fn rounds(trace: &Trace, count: u32, ppm: i64) -> (Vec<Played>, Line) {
    let mut line = Line::new(8000, 20);
    let mut rounds = Vec::new();
    let length = trace.len() as u32;
    let mut at = 0u64;
    let mut coming: Vec<(u64, u32)> = Vec::new();
    for round in 0..count {
        let mut played = Played::default();
        let before = line.buffer.tally();
        for (n, later) in (0u32..).zip(trace) {
            let number = round * length + n;
            let sent = i64::from(number) * 20_000;
            if let Some(later) = later {
                coming.push(((sent - sent * ppm / 1_000_000) as u64 + later, number));
            }
        }
        coming.sort_unstable();
        let sent = i64::from((round + 1) * length) * 20_000;
        let end = (sent - sent * ppm / 1_000_000) as u64;
        let mut next = 0;
        while at < end {
            while let Some(&(arrival, number)) = coming.get(next).filter(|one| one.0 <= at) {
                line.send(arrival, number);
                next += 1;
            }
            line.longest_delay = 0;
            line.beat(at);
            if line.longest_delay > 0 {
                played.delays += line.longest_delay;
                played.beats += 1;
                played.longest = played.longest.max(line.longest_delay);
            }
            played.most = played.most.max(line.buffer.len());
            at += 20_000;
        }
        // What was sent in this round and comes in the next.
        coming.drain(..next);
        let after = line.buffer.tally();
        played.came = after.received - before.received;
        played.late = after.late + after.overflowed - before.late - before.overflowed;
        rounds.push(played);
    }
    (rounds, line)
}

/// Which the slowest packet in a hundred is, in microseconds.
fn percentile_99(trace: &Trace) -> i64 {
    let mut came: Vec<u64> = trace.iter().flatten().copied().collect();
    came.sort_unstable();
    came[came.len() * 99 / 100] as i64
}

#[test]
fn recorded_arrivals_are_played_in_order_in_time_and_soon() {
    for (name, text, late) in [
        ("uplink", UPLINK, 2.0),
        ("two paths", TWO_PATHS, 2.5),
        ("busy machine", BUSY_MACHINE, 1.0),
    ] {
        let trace = trace(text);
        let (played, line) = rounds(&trace, 1, 0);
        let played = played[0];
        assert!(line.is_in_order(), "{name}");
        assert!(played.late_percent() <= late, "{name}: {played:?}");
        // A beat and a packet are left to chance beside what the network asks for.
        let needed = percentile_99(&trace);
        assert!(played.mean_delay() <= needed + 45_000, "{name}: {played:?}");
        let tally = line.buffer.tally();
        let known = tally.played + tally.late + tally.overflowed + line.buffer.len() as u64;
        assert_eq!(known, tally.received, "{name}");
        assert_eq!((tally.duplicate, tally.unfit), (0, 0), "{name}");
    }
}

#[test]
fn recorded_arrivals_do_not_pile_up_over_half_an_hour_of_a_clock_that_is_wrong() {
    for (name, text, count) in [
        ("uplink", UPLINK, 30),
        ("two paths", TWO_PATHS, 60),
        ("busy machine", BUSY_MACHINE, 30),
    ] {
        let trace = trace(text);
        for ppm in [-200, 200] {
            let (played, line) = rounds(&trace, count, ppm);
            assert!(line.is_in_order(), "{name} {ppm}");
            let mean = |rounds: &[Played]| {
                let sum: i64 = rounds.iter().map(Played::mean_delay).sum();
                sum / rounds.len() as i64
            };
            let late = |rounds: &[Played]| {
                let sum: f64 = rounds.iter().map(Played::late_percent).sum();
                sum / rounds.len() as f64
            };
            let tenth = played.len() / 10;
            let (first, last) = (&played[1..=tenth], &played[played.len() - tenth..]);
            assert!(mean(last) <= mean(first) + 5_000, "{name} {ppm}");
            assert!(late(last) <= late(first) + 0.5, "{name} {ppm}");
            let longest = played.iter().skip(1).map(|one| one.longest).max();
            assert!(
                longest.is_some_and(|longest| longest < 400_000),
                "{name} {ppm}: {longest:?}"
            );
            assert!(played.iter().all(|one| one.most < 25), "{name} {ppm}");
        }
    }
}
