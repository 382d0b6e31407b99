//! The figures that have a budget, and those beside them.

use vats::dialplan::media_io::MediaIo;
use vats::rtp::srtp::Suite;
use vats::sdp::negotiate::Codec;

use super::Size;
use super::budget::{Limit, Row};
use super::found::Found;
use super::scenario::Scenario;

/// Figures of all sizes, and of a hundred legs in rooms of several sizes. What was not measured has no row.
pub fn rows(sizes: &[Size], rooms: Option<&Size>) -> Vec<Row> {
    for (_, found) in sizes.iter().chain(rooms).flat_map(|size| &size.found) {
        if found.is_disturbed() {
            println!("{}, {} calls: disturbed", found.name, found.calls);
        }
    }
    let mut rows = Vec::new();
    relay(sizes, &mut rows);
    others(sizes, &mut rows);
    if let Some(rooms) = rooms {
        one_room(rooms, &mut rows);
    }
    let all = || {
        let sized = sizes.iter().chain(rooms).flat_map(|size| &size.found);
        sized.filter(|(scenario, _)| *scenario != Scenario::Bare)
    };
    rows.push(Row::new(
        "packets lost or changed in all of these",
        all()
            .map(|(_, found)| found.lost() + found.wrong())
            .sum::<u64>() as f64,
        Limit::AtMost(0.0),
    ));
    rows
}

const URING: Scenario = Scenario::Relay(MediaIo::Uring);

fn relay(sizes: &[Size], rows: &mut Vec<Row>) {
    if let Some(ratio) = worst(sizes, URING, Found::ratio) {
        let row = Row::new(
            "CPU of a relayed call (x bare loop)",
            ratio,
            Limit::AtMost(1.3),
        );
        rows.push(row.beside(&[("Asterisk", 4.6), ("rustpbx", 2.5)]));
    }
    if let Some(ratio) = worst(sizes, Scenario::Relay(MediaIo::Epoll), Found::ratio) {
        let limit = Limit::AtMost(1.3);
        rows.push(Row::new("the same by epoll (x bare loop)", ratio, limit));
    }
    if let Some(ratio) = worst(sizes, Scenario::Recorded, Found::ratio) {
        let what = "CPU of a relayed and recorded call (x bare loop)";
        let row = Row::new(what, ratio, Limit::AtMost(1.6));
        rows.push(row.beside(&[("Asterisk", 9.9), ("rustpbx", 3.2)]));
    }
    let up_to = |most: usize| sizes.iter().take_while(move |size| size.calls <= most);
    let p99 = |found: &Found| found.delay(0.99).unwrap_or(0.0) / 1000.0;
    for (what, most, limit) in [
        ("delay of relay up to 300 calls, p99, ms", 300, 1.0),
        ("delay of relay up to 1,000 calls, p99, ms", 1_000, 2.0),
    ] {
        if let Some(delay) = worst(up_to(most), URING, p99) {
            rows.push(Row::new(what, delay, Limit::AtMost(limit)));
        }
    }
    if let Some(memory) = worst(sizes, Scenario::Recorded, Found::memory) {
        let what = "memory of a recorded call, KiB";
        rows.push(Row::new(what, memory, Limit::AtMost(100.0)));
    }
}

fn others(sizes: &[Size], rows: &mut Vec<Row>) {
    for (what, scenario) in [
        (
            "CPU of a call with AES-CM, HMAC-SHA1 (x bare loop)",
            Scenario::Secured(Suite::AesCm128HmacSha1Tag80),
        ),
        (
            "CPU of a call with AES-GCM (x bare loop)",
            Scenario::Secured(Suite::AeadAes128Gcm),
        ),
        (
            "CPU of a call PCMU to G.722 (x bare loop)",
            Scenario::Converted(Codec::G722),
        ),
        (
            "CPU of a call PCMU to Opus (x bare loop)",
            Scenario::Converted(Codec::Opus),
        ),
        (
            "CPU of two legs in rooms of 3 (x bare loop)",
            Scenario::Rooms(3),
        ),
        (
            "CPU of two legs that hear music (x bare loop)",
            Scenario::Music,
        ),
    ] {
        if let Some(ratio) = worst(sizes, scenario, Found::ratio) {
            rows.push(Row::new(what, ratio, Limit::Open));
        }
    }
    let growths = Scenario::ALL.into_iter().skip(1).filter_map(|scenario| {
        let mut all = sizes.iter().filter_map(|size| of(size, scenario));
        let (few, many) = (all.next()?, all.next_back()?);
        println!(
            "{}: CPU per packet at {} calls {:.2} x that at {}",
            scenario.name(),
            many.calls,
            many.per_packet() / few.per_packet(),
            few.calls
        );
        Some(many.per_packet() / few.per_packet())
    });
    println!();
    if let Some(growth) = growths.reduce(f64::max) {
        rows.push(Row::new(
            "CPU per packet, most calls to fewest, worst of all",
            growth,
            Limit::AtMost(1.1),
        ));
    }
}

fn one_room(size: &Size, rows: &mut Vec<Row>) {
    let (large, small) = (Scenario::Rooms(100), Scenario::Rooms(3));
    let Some(large) = of(size, large) else {
        return;
    };
    let limit = Limit::AtMost(0.1);
    rows.push(Row::new(
        "CPU of a room of 100 (cores)",
        large.cores(),
        limit,
    ));
    if let Some(small) = of(size, small) {
        rows.push(Row::new(
            "CPU of a leg, room of 100 to rooms of 3",
            large.per_packet() / small.per_packet(),
            Limit::AtMost(1.1),
        ));
    }
    if let Some(delay) = large.delay(0.99) {
        let what = "mouth to ear in a room of 100, p99, ms";
        rows.push(Row::new(what, delay / 1000.0, Limit::Open));
    }
}

/// The largest figure of a scenario, of all sizes.
fn worst<'a>(
    sizes: impl IntoIterator<Item = &'a Size>,
    scenario: Scenario,
    figure: impl Fn(&Found) -> f64,
) -> Option<f64> {
    let all = sizes.into_iter().filter_map(|size| of(size, scenario));
    all.map(figure).reduce(f64::max)
}

fn of(size: &Size, scenario: Scenario) -> Option<&Found> {
    let mut all = size.found.iter();
    all.find(|(one, _)| *one == scenario)
        .map(|(_, found)| found)
}
