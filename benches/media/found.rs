//! What measurements found, and how it is printed.

use std::time::Duration;

/// What one round of one scenario found.
pub struct Round {
    pub legs: usize,
    /// Packets that the phones sent while processor time was taken.
    pub counted: u64,
    /// The generator sent more than one packet in a hundred late, or what is measured was kept from running.
    pub disturbed: bool,
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

/// All rounds of one scenario at one size. Those that were disturbed do not count, unless all were.
pub struct Found {
    pub name: String,
    pub calls: usize,
    /// With the bare loop's microseconds per packet in the same round.
    rounds: Vec<(Round, f64)>,
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
            delays: Vec::new(),
        }
    }

    /// Adds a round, beside the bare loop's microseconds per packet in it.
    pub fn add(&mut self, round: Round, bare: f64) {
        self.rounds.push((round, bare));
    }

    /// All were added.
    pub fn finish(&mut self) {
        if !self.is_disturbed() {
            self.rounds.retain(|(round, _)| !round.disturbed);
        }
        for (round, _) in &mut self.rounds {
            self.delays.append(&mut round.delays);
        }
        self.delays.sort_unstable();
    }

    /// Whether no round was left in peace.
    pub fn is_disturbed(&self) -> bool {
        self.rounds.iter().all(|(round, _)| round.disturbed)
    }

    /// Microseconds of processor time.
    pub fn per_packet(&self) -> f64 {
        median(self.rounds.iter().map(|(round, _)| round.per_packet()))
    }

    /// To the bare loop, per packet.
    pub fn ratio(&self) -> f64 {
        let ratio = |(round, bare): &(Round, f64)| round.per_packet() / bare;
        median(self.rounds.iter().map(ratio))
    }

    /// Of one core, all calls together.
    pub fn cores(&self) -> f64 {
        let share = |(round, _): &(Round, f64)| round.cpu.as_secs_f64() / round.wall.as_secs_f64();
        median(self.rounds.iter().map(share))
    }

    pub fn lost(&self) -> u64 {
        self.sum(|round| round.due.saturating_sub(round.heard + round.missed))
    }

    pub fn wrong(&self) -> u64 {
        self.sum(|round| round.wrong)
    }

    fn sum(&self, figure: impl Fn(&Round) -> u64) -> u64 {
        self.rounds.iter().map(|(round, _)| figure(round)).sum()
    }

    /// Microseconds below which this part of the packets were; `None` where there is nothing to say.
    pub fn delay(&self, part: f64) -> Option<f64> {
        let last = self.delays.len().checked_sub(1)?;
        let delay = self.delays.get((last as f64 * part) as usize)?;
        Some(f64::from(*delay) / 1000.0)
    }

    /// KiB for the legs of a call.
    pub fn memory(&self) -> f64 {
        let most = self.rounds.iter().map(|(round, _)| round.memory).max();
        most.unwrap_or(0) as f64 / 1024.0 / self.calls as f64
    }

    pub fn line(&self) -> String {
        let missed = match self.sum(|round| round.missed) {
            0 => String::new(),
            missed => format!(" ({missed} by the phones)"),
        };
        let wrong = match self.wrong() {
            0 => String::new(),
            wrong => format!(", {wrong} wrong"),
        };
        let disturbed = match self.is_disturbed() {
            true => " (disturbed)",
            false => "",
        };
        let delays: Vec<String> = [0.5, 0.99, 1.0]
            .iter()
            .map(|part| self.delay(*part).map_or("-".to_owned(), micros))
            .collect();
        let legs = self.rounds.first().map_or(0, |(round, _)| round.legs);
        format!(
            "| {} | {legs} | {} | {}{missed}{wrong} | {:.2} µs | {:.4} % of a core | {:.2}{disturbed} | {} | {} | {} | {:.1} KiB |",
            self.name,
            self.sum(|round| round.heard),
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
