//! Protection without allocations: each suite towards another one and towards plain RTP, with reports both ways, on ports of
//! their own too, and with keys that change.

use std::time::{Duration, Instant};

use vats::dialplan::media_io::MediaIo;
use vats::media::{Plane, Reason};
use vats::rtp::srtp::Suite;
use vats::sdp::negotiate::Codec;

use super::no_alloc_phone::{Phone, join, start};
use super::{exchange, foreign};

/// Reports come seldom: how long to wait for as many as there are legs.
const PATIENCE: Duration = Duration::from_secs(60);

pub fn protect(io: MediaIo) {
    let mut plane = start(io, 32_040..=32_079);
    let mut pairs = pairs(&mut plane);
    let legs = 2 * pairs.len() as u64;
    let mut run = |plane: &mut Plane, rounds: u16| {
        for _ in 0..rounds {
            for pair in &mut pairs {
                exchange(pair);
                for phone in pair {
                    phone.report();
                }
            }
            while plane.poll_report().is_some() {}
        }
    };
    run(&mut plane, 50);
    let (before, census) = (foreign(), plane.census());
    let began = Instant::now();
    while plane.census().reports_sent < census.reports_sent + legs {
        assert!(began.elapsed() < PATIENCE, "no reports by {io:?}");
        run(&mut plane, 20);
        std::thread::sleep(Duration::from_millis(20));
    }
    for (pair, suite) in pairs.iter_mut().zip(Suite::ALL) {
        pair[0].agree(&mut plane, Some(suite), 77);
        while plane.poll_report().is_some() {}
        for _ in 0..100 {
            exchange(pair);
        }
        while plane.poll_report().is_some() {}
    }
    let after = foreign();
    let later = plane.census();
    assert!(later.reports_received > census.reports_received + 100 * legs);
    for reason in [
        Reason::Forged,
        Reason::Replayed,
        Reason::SendFailed,
        Reason::Malformed,
    ] {
        assert_eq!(later.dropped(reason), 0, "{reason:?} by {io:?}");
    }
    assert_eq!(
        after - before,
        0,
        "allocations under protection on the media thread by {io:?}"
    );
}

/// Each suite with the next one, each suite with none.
fn pairs(plane: &mut Plane) -> Vec<[Phone; 2]> {
    let others = Suite::ALL.into_iter().cycle().skip(1).map(Some);
    let mixed = Suite::ALL.into_iter().zip(others);
    let half = Suite::ALL.into_iter().map(|suite| (suite, None));
    let mut made = Vec::new();
    for ((one, other), bridge) in mixed.chain(half).zip(1u128..) {
        let has_mux = bridge.is_multiple_of(2);
        let mut open = |leg, suite, mux| {
            let phone = Phone::open_with(plane, leg, Codec::Pcma, suite, mux);
            join(plane, phone.leg, bridge);
            phone
        };
        made.push([
            open(2 * bridge, Some(one), true),
            open(2 * bridge + 1, other, has_mux),
        ]);
    }
    made
}
