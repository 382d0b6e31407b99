//! What measurements found, and how it is printed.

use std::time::Duration;

/// What one round of one scenario found.
pub struct Round {
    pub legs: usize,
    /// Packets that the phones sent while processor time was taken.
    pub counted: u64,
    /// Of those, how many the generator sent late.
    pub late: u64,
    pub cpu: Duration,
    pub wall: Duration,
    /// Packets that the phones should have heard, all the time.
    pub due: u64,
    pub heard: u64,
    /// Packets that came to a phone whose socket was full: the generator's loss.
    pub missed: u64,
    /// Packets with something else in them than was said.
    pub wrong: u64,
    /// In nanoseconds.
    pub delays: Vec<u32>,
    /// Bytes given out by the allocator in the end; those that were before are taken off later.
    pub memory: usize,
}

/// All rounds of one scenario at one size.
pub struct Found {
    pub name: String,
    pub calls: usize,
    rounds: Vec<Round>,
    /// Processor time as a ratio to the bare loop's, per packet, round by round.
    ratios: Vec<f64>,
    delays: Vec<u32>,
}

impl Round {
    /// Microseconds of processor time.
    pub fn per_packet(&self) -> f64 {
        self.cpu.as_secs_f64() * 1e6 / self.counted.max(1) as f64
    }
}

impl Found {
    pub fn new(name: String, calls: usize) -> Found {
        Found {
            name,
            calls,
            rounds: Vec::new(),
            ratios: Vec::new(),
            delays: Vec::new(),
        }
    }

    /// Adds a round, beside the bare loop's microseconds per packet in it.
    pub fn add(&mut self, mut round: Round, bare: f64) {
        self.ratios.push(round.per_packet() / bare);
        self.delays.append(&mut round.delays);
        self.rounds.push(round);
    }

    /// All were added.
    pub fn finish(&mut self) {
        self.delays.sort_unstable();
    }

    /// Microseconds of processor time.
    pub fn per_packet(&self) -> f64 {
        median(self.rounds.iter().map(Round::per_packet))
    }

    /// To the bare loop: the middle one of the rounds', so that one that was disturbed does not count.
    pub fn ratio(&self) -> f64 {
        median(self.ratios.iter().copied())
    }

    /// Of one core, all calls together.
    pub fn cores(&self) -> f64 {
        let share = |round: &Round| round.cpu.as_secs_f64() / round.wall.as_secs_f64();
        median(self.rounds.iter().map(share))
    }

    pub fn lost(&self) -> u64 {
        let lost = |round: &Round| round.due.saturating_sub(round.heard + round.missed);
        self.rounds.iter().map(lost).sum()
    }

    pub fn wrong(&self) -> u64 {
        self.rounds.iter().map(|round| round.wrong).sum()
    }

    /// Microseconds below which this part of the packets were; `None` where there is nothing to say.
    pub fn delay(&self, part: f64) -> Option<f64> {
        let last = self.delays.len().checked_sub(1)?;
        let delay = self.delays.get((last as f64 * part) as usize)?;
        Some(f64::from(*delay) / 1000.0)
    }

    /// Whether the generator was late so often that delays say nothing.
    pub fn is_generator_late(&self) -> bool {
        let (late, all) = self.rounds.iter().fold((0, 0), |(late, all), round| {
            (late + round.late, all + round.counted)
        });
        late * 100 > all
    }

    /// KiB for the legs of a call.
    pub fn memory(&self) -> f64 {
        let most = self.rounds.iter().map(|round| round.memory).max();
        most.unwrap_or(0) as f64 / 1024.0 / self.calls as f64
    }

    pub fn line(&self) -> String {
        let missed: u64 = self.rounds.iter().map(|round| round.missed).sum();
        let missed = match missed {
            0 => String::new(),
            missed => format!(" ({missed} by the phones)"),
        };
        let wrong = match self.wrong() {
            0 => String::new(),
            wrong => format!(", {wrong} wrong"),
        };
        let late = if self.is_generator_late() { " (late)" } else { "" };
        let delays: Vec<String> = [0.5, 0.99, 1.0]
            .iter()
            .map(|part| self.delay(*part).map_or("-".to_owned(), micros))
            .collect();
        let legs = self.rounds.first().map_or(0, |round| round.legs);
        format!(
            "| {} | {legs} | {} | {}{missed}{wrong} | {:.2} µs | {:.4} % of a core | {:.2} | {}{late} | {} | {} | {:.1} KiB |",
            self.name,
            self.rounds.iter().map(|round| round.heard).sum::<u64>(),
            self.lost(),
            self.per_packet(),
            self.cores() * 100.0 / self.calls as f64,
            self.ratio(),
            delays[0],
            delays[1],
            delays[2],
            self.memory(),
        )
    }
}

/// Above the lines of a table.
pub const HEADING: &str = "\
| what | legs | heard | lost | CPU per packet | CPU per call | x bare | delay p50 | p99 | max | memory per call |
|---|---|---|---|---|---|---|---|---|---|---|";

fn micros(delay: f64) -> String {
    format!("{delay:.0} µs")
}

fn median(figures: impl Iterator<Item = f64>) -> f64 {
    let mut figures: Vec<f64> = figures.collect();
    figures.sort_by(f64::total_cmp);
    match figures.len() {
        0 => 0.0,
        count if count % 2 == 1 => figures[count / 2],
        count => (figures[count / 2 - 1] + figures[count / 2]) / 2.0,
    }
}
