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
        "docs/configuration.md is out of date: run `VATS_WRITE_DOCS=1 cargo test --test in_process plan::`"
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

#[test]
fn a_run_makes_secrets_once_and_a_look_makes_none() {
    use vats::app::load::{Purpose, load, load_as};
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("state/data");
    let text = format!(
        "[server]\ndatabase = \"sqlite://{}/vats.db\"\napi_token = \"generate\"\n[operators.anna]\npassword = \"generate\"\n",
        data.display()
    );
    std::fs::write(directory.path().join("vats.toml"), text).unwrap();
    let looked = load_as(directory.path(), Purpose::Look, 1).unwrap();
    assert!(!data.exists());
    assert_eq!(looked.secrets_file, Some(data.join("secrets.toml")));
    let first = load(directory.path()).unwrap();
    let again = load_as(directory.path(), Purpose::Run, 2).unwrap().plan;
    assert_eq!(first.operators, again.operators);
    assert_eq!(first.server.api_tokens, again.server.api_tokens);
    assert_eq!(again.version, 2);
    assert!(first.operators["anna"].password.0.len() >= 20);
    assert_ne!(
        first.operators["anna"].password.0,
        first.server.api_tokens[0]
    );
    let looked = load_as(directory.path(), Purpose::Look, 1).unwrap().plan;
    assert_eq!(looked.operators, first.operators);
}
