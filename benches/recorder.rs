//! CPU, memory, loss and writes of recording 2,000 G.711 calls at once: synthetic taps, 50 packets a second each way, no sockets.
//! `cargo bench --bench recorder [-- RECORDINGS SECONDS FOLDER]`.
//!
//! CPU is that of the threads that record, as the kernel accounts it. What the disk costs the kernel later is left out.

#[path = "budget/mod.rs"]
mod budget;

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use vats::clock::Clock;
use vats::ledger::call::CallRecord;
use vats::ledger::id::{CallId, LegId, RecordingId};
use vats::ledger::journal::{Entry, RecordingKind};
use vats::ledger::recording::Side;
use vats::media::tap::{TapHeader, TapWriter, tap};
use vats::recording::{Begin, Recorder, RecorderSettings};
use vats::sdp::codec::Codec;

use self::budget::{Limit, Row};

/// Packets are pushed in so many batches of each 20 ms, as they would arrive.
const BATCHES: usize = 10;

fn main() -> io::Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let mut numbers = arguments.iter().filter_map(|one| one.parse::<usize>().ok());
    let recordings = numbers.next().unwrap_or(2_000);
    let seconds = numbers.next().unwrap_or(10);
    let folder = arguments.iter().find(|one| one.starts_with('/'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let root = folder.join(format!("vats-recorder-bench-{}", std::process::id()));
    let found = record(&root, recordings, Duration::from_secs(seconds as u64));
    std::fs::remove_dir_all(&root)?;
    let found = found?;
    println!(
        "{recordings} recordings for {seconds} s: {:.1} % of a core, {} of {} packets dropped, {} files of the right length, {:.1} KiB each, {} writes\n",
        found.cpu * 100.0,
        found.dropped,
        found.packets,
        found.whole,
        found.memory / 1_024.0,
        found.writes,
    );
    let per_call = found.cpu / recordings as f64 * 1e6;
    // Sound and header are a write each.
    let turns = found.writes as f64 / 2.0;
    budget::report(
        "recorder",
        &[
            Row::new(
                "recorder: us of CPU per second of a call",
                per_call,
                Limit::AtMost(100.0),
            ),
            Row::new(
                "recorder: % of a core, 2,000 recordings",
                found.cpu * 100.0,
                Limit::AtMost(20.0),
            ),
            Row::new(
                "recorder: packets dropped, 2,000 recordings",
                found.dropped as f64,
                Limit::AtMost(0.0),
            ),
            Row::new(
                "recorder: writes per second of a call",
                found.writes as f64 / (recordings * seconds) as f64,
                Limit::AtMost(6.0),
            ),
            Row::new(
                "recorder: KiB in one write of sound",
                found.written as f64 / turns / 1_024.0,
                Limit::AtLeast(8.0),
            ),
            Row::new(
                "recorder: KiB per recording",
                found.memory / 1_024.0,
                Limit::AtMost(50.0),
            ),
        ],
    )?;
    assert_eq!(found.dropped, 0, "taps were full");
    assert_eq!(found.whole, recordings, "files are short");
    Ok(())
}

struct Found {
    /// Of one core.
    cpu: f64,
    packets: u64,
    dropped: u64,
    /// Files that are as long as they must be.
    whole: usize,
    /// Bytes per recording.
    memory: f64,
    /// Calls of the kernel that wrote.
    writes: u64,
    /// Bytes that they wrote.
    written: u64,
}

fn record(root: &std::path::Path, recordings: usize, length: Duration) -> io::Result<Found> {
    let clock = Clock::start();
    let ended = Arc::new(Mutex::new(Vec::new()));
    let journal = Arc::clone(&ended);
    let settings = RecorderSettings {
        root: root.to_owned(),
        clock: Arc::new(move || clock.now()),
    };
    let recorder = Recorder::start(
        settings,
        Box::new(move |entry| {
            if let (Entry::RecordingEnded(record), Ok(mut ended)) = (entry, journal.lock()) {
                ended.push(record.duration_ms.unwrap_or(0));
            }
        }),
    )?;
    let before = resident()?;
    let mut taps = Vec::with_capacity(2 * recordings);
    for number in 0..recordings as u128 {
        let recording = id(number);
        recorder.begin(Begin {
            recording,
            kind: RecordingKind::Conversation,
            mailbox: None,
            call: CallRecord::begun(CallId::from_u128(number), clock.now().wall),
            wideband: false,
            opus: false,
        });
        for (leg, side) in [(2 * number, Side::Left), (2 * number + 1, Side::Right)] {
            let (writer, reader) = tap();
            recorder.attach(recording, LegId::from_u128(leg), side, None, reader);
            taps.push(writer);
        }
    }
    let mut packets = 0;
    let mut dropped = 0;
    let mut warm = None;
    let begun = Instant::now();
    let payloads: Vec<[u8; 160]> = (0..=255u8).map(|code| [code; 160]).collect();
    for step in 0.. {
        let due = Duration::from_micros(step as u64 * 20_000 / BATCHES as u64);
        if due >= length {
            break;
        }
        if let Some(wait) = due.checked_sub(begun.elapsed()) {
            std::thread::sleep(wait);
        }
        if warm.is_none() && due > Duration::from_secs(1) {
            warm = Some((spent()?, Instant::now()));
        }
        let (frame, batch) = (step / BATCHES, step % BATCHES);
        let some = taps.iter_mut().enumerate().skip(batch).step_by(BATCHES);
        for (number, tap) in some {
            packets += 1;
            let payload = &payloads[(number + frame) % 256];
            dropped += u64::from(!push(tap, clock, frame as u32, payload));
        }
    }
    let (cpu, since) = warm.unwrap_or((Duration::ZERO, begun));
    let cpu = (spent()? - cpu).as_secs_f64() / since.elapsed().as_secs_f64();
    let memory = (resident()? - before) / recordings as f64;
    let (writes, written) = writes_of("record-disk")?;
    recorder.shutdown();
    let shortest = length.as_millis() as u64 - 100;
    let ended = ended
        .lock()
        .map_err(|_| io::Error::other("a thread panicked"))?;
    let whole = ended.iter().filter(|&&ms| ms >= shortest).count();
    Ok(Found {
        cpu,
        packets,
        dropped,
        whole,
        memory,
        writes,
        written,
    })
}

fn push(tap: &mut TapWriter, clock: Clock, frame: u32, payload: &[u8]) -> bool {
    let header = TapHeader {
        arrival: clock.mono(),
        timestamp: frame.wrapping_mul(160),
        ssrc: 7,
        codec: Codec::Pcma,
    };
    tap.push(header, payload)
}

/// Ids with random last bits, as real ones have.
fn id(number: u128) -> RecordingId {
    RecordingId::from_u128(number << 64 | number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 7 & 0xffff)
}

/// CPU time of the threads that record.
fn spent() -> io::Result<Duration> {
    Ok(cpu_of("recorder")? + cpu_of("record-disk")?)
}

/// CPU time of this process's thread of a name.
fn cpu_of(name: &str) -> io::Result<Duration> {
    let stat = std::fs::read_to_string(thread(name)?.join("schedstat"))?;
    let spent = stat.split(' ').next().and_then(|text| text.parse().ok());
    Ok(Duration::from_nanos(spent.unwrap_or(0)))
}

/// How often this process's thread of a name wrote, and how many bytes.
fn writes_of(name: &str) -> io::Result<(u64, u64)> {
    let counts = std::fs::read_to_string(thread(name)?.join("io"))?;
    let count = |key: &str| {
        let line = counts.lines().find_map(|line| line.strip_prefix(key));
        line.and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| io::Error::other(format!("no {key} of {name}")))
    };
    Ok((count("syscw:")?, count("wchar:")?))
}

fn thread(name: &str) -> io::Result<PathBuf> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if std::fs::read_to_string(task.join("comm"))?.trim() == name {
            return Ok(task);
        }
    }
    Err(io::Error::other(format!("no thread is called {name}")))
}

/// Bytes of this process in memory.
fn resident() -> io::Result<f64> {
    let statm = std::fs::read_to_string("/proc/self/statm")?;
    let pages = statm.split(' ').nth(1).and_then(|text| text.parse().ok());
    Ok(pages.unwrap_or(0.0) * 4_096.0)
}
