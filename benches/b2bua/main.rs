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

const MANY: u32 = 20_000;
const TALKING: u32 = 200;

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
    set_up(&server, &mut rows);
    one_core(&server, &mut rows);
    many(&server, &mut rows);
    budget::report("b2bua", &rows)?;
    budget::summary(&["sip", "relay", "registrations", "b2bua"]);
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

fn set_up(server: &Server, rows: &mut Vec<Row>) {
    let quiet = Load::new(server).run(Pace::Rate(50), 400, Duration::from_secs(10));
    for (what, share, limit, asterisk, rustpbx) in [
        ("set-up time at 50 calls/s, p50 (ms)", 0.50, 0.7, 2.0, 106.0),
        ("set-up time at 50 calls/s, p99 (ms)", 0.99, 2.0, 3.7, 111.0),
    ] {
        rows.push(
            Row::new(what, quiet.percentile(share), Limit::AtMost(limit))
                .beside(&[("Asterisk", asterisk), ("rustpbx", rustpbx)]),
        );
    }
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

fn many(server: &Server, rows: &mut Vec<Row>) {
    // What was before is forgotten first: transactions linger for 32 s.
    pause(34);
    let (cpu, memory, files) = (server.cpu_ms(), server.resident_kib(), server.open_files());
    let outcome = Load::new(server).run(Pace::Rate(500), MANY, Duration::from_secs(60));
    let done = f64::from(outcome.done);
    let lingering = server.resident_kib();
    pause(38);
    println!(
        "{} calls: {} done, {} failed, in {:.1} s; resident memory {memory} KiB before, {lingering} KiB at their end, {} KiB 38 s later; \
         open files {files} before, {} after",
        outcome.started,
        outcome.done,
        outcome.failed,
        outcome.took.as_secs_f64(),
        server.resident_kib(),
        server.open_files(),
    );
    rows.push(
        Row::new(
            "CPU of a call's signalling with journal (ms)",
            (server.cpu_ms() - cpu) / done,
            Limit::AtMost(0.7),
        )
        .beside(&[("Asterisk", 3.9), ("rustpbx", 8.1)]),
    );
    rows.push(Row::new(
        "set-up time at 500 calls/s, p99 (ms)",
        outcome.percentile(0.99),
        Limit::Open,
    ));
    rows.push(Row::new(
        "calls of 20,000 that failed",
        f64::from(outcome.started - outcome.done),
        Limit::AtMost(0.0),
    ));
    rows.push(
        Row::new(
            "memory 38 s after 20,000 calls (MiB)",
            server.resident_kib() / 1024.0,
            Limit::AtMost(idle_and_caches(memory)),
        )
        .beside(&[("Asterisk", 260.0)]),
    );
}

/// What was resident before the calls, and a little for the database's page cache.
fn idle_and_caches(before_kib: f64) -> f64 {
    before_kib / 1024.0 + 4.0
}

fn binary_size() -> std::io::Result<f64> {
    Ok(std::fs::metadata(env!("CARGO_BIN_EXE_vats"))?.len() as f64 / 1e6)
}

fn pause(seconds: u64) {
    std::thread::sleep(Duration::from_secs(seconds));
}
