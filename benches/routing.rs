//! What it costs to decide where a number goes, in a plan of 10,000 numbers.

#[path = "budget/mod.rs"]
mod budget;
#[path = "../tests/support/plan_edge.rs"]
mod plan_edge;

use std::hint::black_box;
use std::time::{Duration, Instant};

use vats::dialplan::config::{self, SourceFile};
use vats::dialplan::plan::Plan;
use vats::dialplan::routing::{self, Entry};
use vats::ledger::id::Name;

use self::budget::{Limit, Row};
use self::plan_edge::Silence;

const NUMBERS: u32 = 10_000;
const ROUNDS: u32 = 10;

fn main() -> std::io::Result<()> {
    // `cargo test --benches` passes flags; only a real bench run measures.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let plan = plan();
    let (trunk, anna) = (Name::from("acme"), Name::from("anna"));
    // As callers' networks and operators write them.
    let dialled: Vec<String> = (0..NUMBERS).map(|n| format!("8499{n:07}")).collect();
    let from_trunk = each(&dialled, |number| {
        routing::from_trunk(&plan, &trunk, number, "x", None).0
    });
    let from_operator = each(&dialled, |number| {
        routing::from_operator(&plan, &anna, number).0
    });
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let limit = Limit::AtMost(50.0);
    let rows = [
        Row::new(
            "routing among 10,000 numbers, from a trunk (us)",
            micros(from_trunk),
            limit,
        )
        .beside(&[("rustpbx", 58_000.0)]),
        Row::new(
            "routing among 10,000 numbers, from an operator (us)",
            micros(from_operator),
            limit,
        ),
    ];
    budget::report("routing", &rows)
}

fn plan() -> Plan {
    let mut text = String::from(
        "[trunks.acme]\npeer = \"192.0.2.1\"\n[operators.anna]\npassword = \"x\"\nextension = \"101\"\n",
    );
    for number in 0..NUMBERS {
        text.push_str(&format!(
            "[numbers.\"+7499{number:07}\"]\nto = \"operator:anna\"\n"
        ));
    }
    let source = SourceFile {
        path: "vats.toml".into(),
        text,
    };
    config::check(&[source], &Silence(0), 1).expect("a plan without faults")
}

/// The mean of a decision; each must find its number.
fn each(dialled: &[String], mut decide: impl FnMut(&str) -> Entry) -> Duration {
    let start = Instant::now();
    for _ in 0..ROUNDS {
        for number in dialled {
            let entry = decide(black_box(number));
            assert!(matches!(entry, Entry::Number(_)), "{number}");
        }
    }
    start.elapsed() / (NUMBERS * ROUNDS)
}
