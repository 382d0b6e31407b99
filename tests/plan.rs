//! The dial plan from the outside of the crate: its reference page, and what a decision costs.

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use vats::audio::clip::Clip;
use vats::dialplan::config::{self, Edge, SourceFile, schema};
use vats::dialplan::number::{self, Country, E164};
use vats::dialplan::routing::{self, Entry};
use vats::ledger::id::Name;

#[test]
fn the_reference_page_is_the_declaration() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/configuration.md");
    if std::env::var_os("VATS_WRITE_DOCS").is_some() {
        std::fs::write(path, schema::reference()).unwrap();
    }
    let written = std::fs::read_to_string(path).unwrap();
    assert!(
        written == schema::reference(),
        "docs/configuration.md is out of date: run `VATS_WRITE_DOCS=1 cargo test --test plan`"
    );
}

/// No prompts, no environment.
struct Nothing;

impl Edge for Nothing {
    fn clip(&self, path: &str) -> Result<Arc<Clip>, String> {
        Err(format!("no {path}"))
    }
    fn env(&self, _: &str) -> Option<String> {
        None
    }
    fn secret(&self, _: &str) -> Option<String> {
        None
    }
    fn host_name(&self) -> Option<String> {
        None
    }
    fn time_zone(&self, name: &str) -> Option<jiff::tz::TimeZone> {
        jiff::tz::TimeZone::get(name).ok()
    }
}

/// The best of ten runs: other processes are not what is measured.
fn each(calls: u32, mut call: impl FnMut(u32)) -> Duration {
    let mut best = Duration::MAX;
    for _ in 0..10 {
        let start = Instant::now();
        (0..calls).for_each(&mut call);
        best = best.min(start.elapsed() / calls);
    }
    best
}

#[test]
fn ten_thousand_numbers_are_no_burden() {
    let mut text = String::from(
        "[trunks.acme]\npeer = \"192.0.2.1\"\n[operators.anna]\npassword = \"x\"\nextension = \"101\"\n",
    );
    for n in 0..10_000 {
        text.push_str(&format!(
            "[numbers.\"+7499{n:07}\"]\nto = \"operator:anna\"\n"
        ));
    }
    let source = SourceFile {
        path: "vats.toml".into(),
        text,
    };
    let start = Instant::now();
    let plan = config::check(&[source], &Nothing, 1).unwrap();
    println!("checked in {:?}", start.elapsed());
    let (trunk, anna) = (Name::from("acme"), Name::from("anna"));
    let dialled: Vec<String> = (0..1_000).map(|n| format!("8499{:07}", n * 7)).collect();
    let from_trunk = each(1_000, |n| {
        let (entry, _) = routing::from_trunk(&plan, &trunk, &dialled[n as usize], "x", None);
        assert!(matches!(entry, Entry::Number(_)));
    });
    let from_operator = each(1_000, |n| {
        let (entry, _) = routing::from_operator(&plan, &anna, &dialled[n as usize]);
        assert!(matches!(entry, Entry::Number(_)));
    });
    println!("from a trunk {from_trunk:?}, from an operator {from_operator:?}");
    assert!(from_trunk < Duration::from_micros(50), "{from_trunk:?}");
    assert!(
        from_operator < Duration::from_micros(50),
        "{from_operator:?}"
    );
}

#[test]
fn reading_a_number_is_quick() {
    number::warm_up();
    for (text, country) in [
        ("+74951000001", "RU"),
        ("84951000001", "RU"),
        ("020 7183 8750", "GB"),
        ("101", "RU"),
    ] {
        let country = Country::parse(country).unwrap();
        let time = each(1_000, |_| {
            drop(black_box(E164::read(black_box(text), country)))
        });
        println!("{text}: {time:?}");
        assert!(time < Duration::from_micros(50), "{text}: {time:?}");
    }
}
