//! The budgets of speed and size: every benchmark keeps its figures, and the last one prints all of them as one table.

#![allow(
    dead_code,
    reason = "each benchmark is a crate of its own and uses a part"
)]

use std::fmt::Write;
use std::io;
use std::path::PathBuf;

/// What is allowed.
#[derive(Copy, Clone)]
pub enum Limit {
    AtMost(f64),
    AtLeast(f64),
    /// For comparison only.
    Open,
}

/// A figure beside its budget and what was measured of others.
pub struct Row {
    what: &'static str,
    figure: f64,
    limit: Limit,
    baselines: Vec<(&'static str, f64)>,
}

impl Row {
    pub fn new(what: &'static str, figure: f64, limit: Limit) -> Row {
        Row {
            what,
            figure,
            limit,
            baselines: Vec::new(),
        }
    }

    pub fn beside(self, baselines: &[(&'static str, f64)]) -> Row {
        Row {
            baselines: baselines.to_vec(),
            ..self
        }
    }

    fn line(&self) -> String {
        let (sign, limit, kept) = match self.limit {
            Limit::AtMost(limit) => ("<= ", Some(limit), self.figure <= limit),
            Limit::AtLeast(limit) => (">= ", Some(limit), self.figure >= limit),
            Limit::Open => ("", None, true),
        };
        let share = limit
            .filter(|limit| *limit != 0.0)
            .map(|limit| self.figure / limit);
        let baselines: Vec<String> = self
            .baselines
            .iter()
            .map(|(name, value)| {
                format!(
                    "{name} {} (x {})",
                    print(*value),
                    print(self.figure / value)
                )
            })
            .collect();
        format!(
            "{:<52} {:>9} {:>9} {:>7} {:<7} {}",
            self.what,
            print(self.figure),
            limit.map_or("-".to_owned(), |limit| format!("{sign}{}", print(limit))),
            share.map_or("-".to_owned(), print),
            if kept { "" } else { "MISSED" },
            baselines.join(", "),
        )
    }
}

/// Prints this benchmark's rows and keeps them for the table of all.
pub fn report(benchmark: &str, rows: &[Row]) -> io::Result<()> {
    let lines = rows.iter().fold(String::new(), |mut text, row| {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{}", row.line());
        text
    });
    std::fs::create_dir_all(folder())?;
    std::fs::write(folder().join(benchmark), &lines)?;
    println!("\n{}\n{lines}", heading());
    Ok(())
}

/// Prints the last figures of these benchmarks.
pub fn summary(benchmarks: &[&str]) {
    println!("\nBudgets\n{}", heading());
    for benchmark in benchmarks {
        match std::fs::read_to_string(folder().join(benchmark)) {
            Ok(lines) => print!("{lines}"),
            Err(_) => println!("{benchmark}: not measured yet"),
        }
    }
}

fn heading() -> String {
    format!(
        "{:<52} {:>9} {:>9} {:>7} {:<7} baseline (ratio)",
        "what", "figure", "budget", "of it", ""
    )
}

fn print(value: f64) -> String {
    if value.abs() >= 100.0 {
        format!("{value:.0}")
    } else if value.abs() >= 10.0 {
        format!("{value:.1}")
    } else if value == value.trunc() {
        format!("{value:.0}")
    } else {
        format!("{value:.3}")
    }
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("budgets")
}
