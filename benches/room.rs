//! What a room costs: processor time of the media thread for rooms of 3, 10, 100 and 300 G.711 parties, all talking, over
//! real sockets. `cargo bench --bench room`; the goal is a tenth of a core for 100.

#[path = "../tests/media_plane/bench.rs"]
#[allow(dead_code, reason = "the bench uses a part of the tests' plane")]
mod bench;

use std::f64::consts::TAU;
use std::time::{Duration, Instant};

use bench::{Bench, Phone, ports};
use vats::audio::g711;
use vats::sdp::negotiate::Codec;

fn main() {
    println!("parties  media thread  per party  sent/s  late or lost");
    for parties in [3, 10, 100, 300] {
        measure(parties);
    }
}

fn measure(parties: u128) {
    let mut bench = Bench::new(1, ports(0..=899));
    let mut phones: Vec<Phone> = (1..=parties)
        .map(|number| bench.phone(number, Codec::Pcma))
        .collect();
    for phone in &phones {
        phone.socket.set_nonblocking(true).unwrap();
    }
    for phone in &phones {
        bench.bridge(1, &[phone]);
    }
    let voices: Vec<Vec<u8>> = (0..parties).map(voice).collect();
    let mut turn = 0;
    talk(
        &mut bench,
        &mut phones,
        &voices,
        &mut turn,
        Duration::from_secs(2),
    );
    let (before, spent) = (bench.plane.census(), media_time());
    let began = Instant::now();
    talk(
        &mut bench,
        &mut phones,
        &voices,
        &mut turn,
        Duration::from_secs(10),
    );
    let took = began.elapsed().as_secs_f64();
    let share = (media_time() - spent).as_secs_f64() / took;
    let after = bench.plane.census();
    let sent = (after.sent - before.sent) as f64 / took;
    let dropped: u64 = after.dropped.iter().sum::<u64>() - before.dropped.iter().sum::<u64>();
    println!(
        "{parties:7}  {:10.2} %  {:7.4} %  {sent:6.0}  {dropped}, {} beats missed",
        share * 100.0,
        share * 100.0 / parties as f64,
        after.beats_missed - before.beats_missed,
    );
}

/// Everybody says 20 ms each 20 ms, and takes what he hears.
fn talk(
    bench: &mut Bench,
    phones: &mut [Phone],
    voices: &[Vec<u8>],
    turn: &mut usize,
    length: Duration,
) {
    let began = Instant::now();
    let mut n = 0;
    while began.elapsed() < length {
        for (phone, voice) in phones.iter_mut().zip(voices) {
            let at = *turn % 50 * 160;
            phone.send(&voice[at..at + 160]);
            while phone.receive().is_some() {}
        }
        bench.take();
        *turn += 1;
        n += 1;
        let next = began + Duration::from_millis(20) * n;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// A second of a tone of its own.
fn voice(number: u128) -> Vec<u8> {
    let hertz = 200.0 + (number % 60) as f64 * 40.0;
    (0..8_000)
        .map(|n| g711::alaw_encode((300.0 * (TAU * hertz * f64::from(n) / 8_000.0).sin()) as i16))
        .collect()
}

/// Processor time of the media thread so far.
fn media_time() -> Duration {
    let mut ticks = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap().flatten() {
        let name = std::fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if !name.starts_with("media-") {
            continue;
        }
        let stat = std::fs::read_to_string(task.path().join("stat")).unwrap_or_default();
        let after_name = stat.rsplit(')').next().unwrap_or_default();
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let field = |index: usize| fields.get(index).and_then(|f| f.parse::<u64>().ok());
        ticks += field(11).unwrap_or(0) + field(12).unwrap_or(0);
    }
    Duration::from_millis(ticks * 10)
}
