//! The whole PBX, seen from outside: start, memory, set-up time, calls per second and CPU of calls without media. The built
//! binary runs in a process of its own; a generator plays both trunks. Last, the budgets of all benchmarks as one table.

#[path = "../budget/mod.rs"]
mod budget;
mod load;
mod server;

use std::time::Duration;

use self::budget::{Limit, Row};
use self::load::{Load, Pace};
use self::server::Server;

const MANY: u32 = 100_000;
const FIRST_WAVE: u32 = 20_000;
const TALKING: u32 = 200;
const IDLE: u32 = 1_000;

fn main() -> std::io::Result<()> {
    // `cargo test --benches` passes flags; only a real bench run measures.
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let server = Server::start();
    let mut rows = vec![
        Row::new(
            "start to first answered OPTIONS (ms)",
            server.started_in.as_secs_f64() * 1000.0,
            Limit::AtMost(300.0),
        )
        .beside(&[("Asterisk", 5000.0), ("rustpbx", 300.0)]),
    ];
    pause(2);
    let idle = server.resident_kib();
    rows.push(
        Row::new("idle memory (MiB)", idle / 1024.0, Limit::AtMost(30.0))
            .beside(&[("Asterisk", 34.0)]),
    );
    rows.push(
        Row::new("binary (MB)", binary_size()?, Limit::AtMost(30.0)).beside(&[("rustpbx", 85.0)]),
    );
    memory_of_talking(&server, &mut rows);
    memory_of_idle(&server, &mut rows);
    set_up(&server, &mut rows);
    one_core(&server, &mut rows);
    many(&server, &mut rows);
    budget::report("b2bua", &rows)?;
    budget::summary(&[
        "sip",
        "codec",
        "media",
        "recorder",
        "routing",
        "registrations",
        "b2bua",
    ]);
    Ok(())
}

fn memory_of_talking(server: &Server, rows: &mut Vec<Row>) {
    Load::new(server).run(Pace::Rate(100), 200, Duration::from_secs(5));
    let before = server.resident_kib();
    let talking = Load::new(server).talk(TALKING, Duration::from_secs(3), || server.resident_kib());
    rows.push(
        Row::new(
            "memory of a recorded call with audio (KiB)",
            (talking - before) / f64::from(TALKING),
            Limit::AtMost(100.0),
        )
        .beside(&[("rustpbx", 600.0)]),
    );
}

/// Two dialogs and two media ports in silence.
fn memory_of_idle(server: &Server, rows: &mut Vec<Row>) {
    pause(40);
    let before = server.resident_kib();
    let held = Load::new(server).hold(IDLE, || server.resident_kib());
    rows.push(Row::new(
        "memory of an idle dialog, its half of a call (KiB)",
        (held - before) / f64::from(2 * IDLE),
        Limit::Open,
    ));
}

/// What the PBX adds: the generator's own time, from a run without the PBX, is taken off.
fn set_up(server: &Server, rows: &mut Vec<Row>) {
    let length = Duration::from_secs(10);
    let added = |rate: u32| {
        let alone = Load::direct(server).run(Pace::Rate(rate), rate * 8, length);
        let through = Load::new(server).run(Pace::Rate(rate), rate * 8, length);
        move |share: f64| through.percentile(share) - alone.percentile(share)
    };
    let slow = added(50);
    rows.push(
        Row::new(
            "set-up time added at 50 calls/s, p50 (ms)",
            slow(0.50),
            Limit::AtMost(0.7),
        )
        .beside(&[("Asterisk", 2.0), ("rustpbx", 106.0)]),
    );
    rows.push(
        Row::new(
            "set-up time added at 50 calls/s, p99 (ms)",
            slow(0.99),
            Limit::AtMost(2.0),
        )
        .beside(&[("Asterisk", 3.7), ("rustpbx", 111.0)]),
    );
    rows.push(Row::new(
        "set-up time added at 500 calls/s, p99 (ms)",
        added(500)(0.99),
        Limit::AtMost(10.0),
    ));
}

/// The generator has the other core.
fn one_core(server: &Server, rows: &mut Vec<Row>) {
    server.confine(true);
    let outcome = Load::new(server).run(Pace::AtOnce(50), u32::MAX, Duration::from_secs(5));
    server.confine(false);
    rows.push(
        Row::new(
            "calls per second on one core",
            f64::from(outcome.done) / outcome.took.as_secs_f64(),
            Limit::AtLeast(1000.0),
        )
        .beside(&[("Asterisk", 300.0), ("rustpbx", 90.0)]),
    );
}

/// A first wave shows what calls leave behind, the others that it does not grow.
fn many(server: &Server, rows: &mut Vec<Row>) {
    // What was before is forgotten first: transactions linger for 32 s.
    pause(40);
    let cpu = server.cpu_ms();
    let first = wave(server, FIRST_WAVE);
    let after_first = server.resident_kib();
    let rest = wave(server, MANY - FIRST_WAVE);
    let after_all = server.resident_kib();
    rows.push(
        Row::new(
            "CPU of a call's signalling with journal (ms)",
            (server.cpu_ms() - cpu) / f64::from(first.done + rest.done),
            Limit::AtMost(0.7),
        )
        .beside(&[("Asterisk", 3.9), ("rustpbx", 8.1)]),
    );
    rows.push(Row::new(
        "calls of 100,000 that failed",
        f64::from(MANY - first.done - rest.done),
        Limit::AtMost(0.0),
    ));
    rows.push(
        Row::new(
            "memory 40 s after 20,000 calls (MiB)",
            after_first / 1024.0,
            Limit::Open,
        )
        .beside(&[("Asterisk", 260.0)]),
    );
    rows.push(Row::new(
        "memory that 80,000 more calls left behind (MiB)",
        (after_all - after_first) / 1024.0,
        Limit::AtMost(1.0),
    ));
}

fn wave(server: &Server, calls: u32) -> load::Outcome {
    let (memory, files) = (server.memory(), server.open_files());
    let most = Duration::from_secs(u64::from(calls / 250));
    let outcome = Load::new(server).run(Pace::Rate(500), calls, most);
    let lingering = server.memory();
    pause(42);
    println!(
        "{} calls: {} done, {} failed, in {:.1} s; memory {memory} before, {lingering} at their end, {} 40 s later; \
         open files {files} before, {} after",
        outcome.started,
        outcome.done,
        outcome.failed,
        outcome.took.as_secs_f64(),
        server.memory(),
        server.open_files(),
    );
    outcome
}

fn binary_size() -> std::io::Result<f64> {
    Ok(std::fs::metadata(env!("CARGO_BIN_EXE_vats"))?.len() as f64 / 1e6)
}

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}
