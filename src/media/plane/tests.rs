//! Placement without waiting for the network: acts in any order leave nothing behind.

use super::*;
use crate::audio::clip::Clip;
use crate::call::media::{Feeds, MediaEvent, PlayMode};
use crate::dialplan::media_io::MediaIo;
use crate::ledger::id::BridgeId;
use crate::media::tap::tap;
use crate::sdp::negotiate::{Agreed, Codec, Direction};
use proptest::prelude::*;
use std::net::Ipv4Addr;

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn plane(workers: usize, ports: RangeInclusive<u16>) -> Plane {
    plane_at(LOOPBACK, workers, ports)
}

fn plane_at(bind: IpAddr, workers: usize, ports: RangeInclusive<u16>) -> Plane {
    Plane::start(PlaneSettings {
        workers,
        ports,
        bind,
        advertised: Box::new(|towards| towards),
        start: Instant::now(),
        io: MediaIo::Auto,
    })
    .unwrap()
}

fn act_on(plane: &mut Plane, kind: u8, leg: LegId, bridge: BridgeId, clip: &Arc<Clip>) {
    let act = match kind {
        0 | 1 => MediaAct::Open {
            leg,
            towards: LOOPBACK,
        },
        2 => MediaAct::Agree {
            leg,
            agreed: Agreed {
                remote: Some(SocketAddr::from(([127, 0, 0, 1], 9))),
                codec: Codec::Pcma,
                send_payload_type: 8,
                receive_payload_type: 8,
                telephone_event: None,
                event_clock_rate: 8_000,
                opus: None,
                packet_time_ms: 20,
                max_packet_time_ms: None,
                direction: Direction::SendRecv,
                crypto: None,
                rtcp_mux: true,
                rtcp: None,
            },
        },
        3..=6 => MediaAct::Join { leg, bridge },
        7 => MediaAct::Leave { leg },
        8 => MediaAct::Play {
            leg,
            clip: Arc::clone(clip),
            mode: PlayMode::Loop,
            token: 1,
        },
        9 => MediaAct::StopPlaying { leg },
        10 => MediaAct::Echo { leg },
        11 => {
            let (writer, _) = tap();
            plane.attach_tap(leg, Feeds::Call, writer);
            return plane.send_key(leg, '1');
        }
        12 => return plane.detach_tap(leg, Feeds::Call),
        _ => MediaAct::Close { leg },
    };
    plane.act(Mono::ZERO, act);
}

#[test]
fn the_signalling_task_may_be_moved_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    let plane = plane(1, 30_100..=30_119);
    is_send(&plane);
    is_send(&plane.ready());
}

/// Polls until so many legs have failed.
fn failed(plane: &mut Plane, count: usize) -> Vec<LegId> {
    let deadline = Instant::now() + Duration::from_secs(10);
    let mut failed = Vec::new();
    while failed.len() < count {
        assert!(Instant::now() < deadline, "{plane:?}: {failed:?}");
        match plane.poll_report() {
            Some((leg, MediaEvent::Failed { .. })) => failed.push(leg),
            Some(_) => {}
            None => std::thread::yield_now(),
        }
    }
    failed.sort();
    failed
}

#[test]
fn the_legs_of_a_thread_that_is_gone_fail_and_others_go_on() {
    let clip = Clip::from_samples("x", &[1; 1000]);
    let mut plane = plane(2, 30_120..=30_159);
    let leg = LegId::from_u128;
    let bridge = BridgeId::from_u128(1);
    // Four on the first worker, in a room among them, and the rest on the second.
    for number in 0..6 {
        for kind in [0, 2] {
            act_on(&mut plane, kind, leg(number), bridge, &clip);
        }
    }
    for number in 0..4 {
        act_on(&mut plane, 3, leg(number), bridge, &clip);
    }
    while plane.poll_report().is_some() {}
    assert_eq!(plane.crew.loads(), [4, 2]);
    plane.crew.lose(0);
    assert_eq!(failed(&mut plane, 4), [0, 1, 2, 3].map(leg));
    let census = plane.census();
    assert_eq!((census.legs, census.bridges, census.rooms), (2, 0, 0));
    assert_eq!(census.open_sockets, 2);
    assert_eq!(census.free_ports, plane.capacity() - 2);
    assert_eq!(plane.crew.loads(), [0, 2]);
    // The other one takes new legs; acts for those that are gone do nothing.
    for kind in [0, 2, 3, 8, 14] {
        act_on(&mut plane, kind, leg(3), bridge, &clip);
        act_on(&mut plane, kind, leg(7), bridge, &clip);
        assert!(plane.crew.loads()[0] == 0);
    }
    // With the last one all is over, and a new leg is refused at once.
    plane.crew.lose(1);
    assert_eq!(failed(&mut plane, 2), [4, 5].map(leg));
    act_on(&mut plane, 0, leg(9), bridge, &clip);
    assert_eq!(failed(&mut plane, 1), [leg(9)]);
    assert_eq!(plane.census().legs, 0);
}

#[test]
fn ports_of_legs_that_leave_a_thread_that_is_gone_are_free_again() {
    let clip = Clip::from_samples("x", &[1; 1000]);
    // An address of its own: nobody else takes its ports.
    let mut plane = plane_at([127, 7, 43, 1].into(), 2, 30_160..=30_199);
    let leg = LegId::from_u128;
    for number in 0..6 {
        for kind in [0, 2] {
            act_on(&mut plane, kind, leg(number), BridgeId::from_u128(1), &clip);
        }
    }
    while plane.poll_report().is_some() {}
    assert_eq!(plane.crew.loads(), [4, 2]);
    plane.crew.lose(0);
    // One is closed, one on the way to the other thread, one both, and one is not in the first one's hands yet.
    for number in [4, 1, 2] {
        act_on(&mut plane, 3, leg(number), BridgeId::from_u128(2), &clip);
    }
    for number in [0, 1] {
        act_on(&mut plane, 14, leg(number), BridgeId::from_u128(2), &clip);
    }
    assert_eq!(failed(&mut plane, 2), [2, 3].map(leg));
    let census = plane.census();
    assert_eq!((census.legs, census.open_sockets), (2, 2));
    assert_eq!(census.free_ports, plane.capacity() - 2);
    assert!(plane.leaving.is_empty());
    // Their sockets are closed: every number can be bound.
    let free = census.free_ports as u128;
    for number in 10..10 + free {
        act_on(&mut plane, 0, leg(number), BridgeId::from_u128(1), &clip);
    }
    assert_eq!(plane.census().legs, plane.capacity());
    for number in (4..6).chain(10..10 + free) {
        act_on(&mut plane, 14, leg(number), BridgeId::from_u128(1), &clip);
    }
    let deadline = Instant::now() + Duration::from_secs(10);
    while plane.census().open_sockets > 0 {
        while plane.poll_report().is_some() {}
        assert!(Instant::now() < deadline, "{plane:?}");
        std::thread::yield_now();
    }
    assert_eq!(plane.census().free_ports, plane.capacity());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]
    #[test]
    fn acts_in_any_order_leave_nothing_behind(
        acts in proptest::collection::vec((0u8..15, 0u128..8, 0u128..3, any::<bool>()), 1..400)
    ) {
        let clip = Clip::from_samples("x", &[1; 1000]);
        let mut plane = plane(3, 30_000..=30_099);
        for (kind, leg, bridge, poll) in acts {
            act_on(&mut plane, kind, LegId::from_u128(leg), BridgeId::from_u128(bridge), &clip);
            if poll {
                while plane.poll_report().is_some() {}
            }
        }
        // Whoever is in a bridge with another ends up on the same worker, each hearing the other.
        for bridge in 0..3 {
            let bridge = BridgeId::from_u128(bridge);
            if plane.bridges.needs_room(bridge) {
                // Its members hear the room.
                continue;
            }
            let members = plane.bridges.members(bridge);
            let Some((&first, &second)) = members.first().zip(members.get(1)) else {
                continue;
            };
            let deadline = Instant::now() + Duration::from_secs(5);
            while plane.places[&first].heard_by() != HeardBy::Leg(second)
                || plane.places[&second].heard_by() != HeardBy::Leg(first)
            {
                while plane.poll_report().is_some() {}
                prop_assert!(Instant::now() < deadline);
                std::thread::yield_now();
            }
        }
        for leg in 0..8 {
            plane.act(Mono::ZERO, MediaAct::Close { leg: LegId::from_u128(leg) });
        }
        let deadline = Instant::now() + Duration::from_secs(5);
        while plane.census().open_sockets > 0 {
            while plane.poll_report().is_some() {}
            prop_assert!(Instant::now() < deadline, "{:?}", plane);
            std::thread::yield_now();
        }
        let census = plane.census();
        prop_assert_eq!((census.legs, census.bridges, census.ring_full), (0, 0, 0));
        prop_assert_eq!(census.free_ports, plane.capacity());
        prop_assert_eq!(plane.crew.loads(), vec![0; 3]);
        drop(plane);
        prop_assert_eq!(Arc::strong_count(&clip), 1);
    }
}
