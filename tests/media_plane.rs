//! The media plane over real sockets on 127.0.0.1.

mod bench;
mod room;

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use self::bench::{Bench, LOOPBACK, PATIENCE, Phone, io, over, ports, sound};
use self::room::{
    a_supervisor_listens_whispers_and_barges_in, three_hear_each_other_and_not_themselves,
};
use vats::audio::clip::Clip;
use vats::audio::g711;
use vats::call::media::{Feeds, MediaAct, MediaEvent, PlayMode};
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::Mono;
use vats::ledger::id::{BridgeId, LegId};
use vats::media::tap::tap;
use vats::media::{Census, Plane, PlaneSettings, Reason};
use vats::rtp::telephone_event::{KeyReceiver, TelephoneEvent};
use vats::sdp::negotiate::Codec;

fn five_seconds_both_ways_are_bit_exact() {
    for codec in [Codec::Pcmu, Codec::Pcma] {
        let mut bench = Bench::new(2, ports(0..=39));
        let mut a = bench.phone(1, codec);
        let mut b = bench.phone(2, codec);
        bench.bridge(1, &[&a, &b]);
        // The second leg moves to the first one's worker, and what comes for it waits.
        b.send(&sound(2, 999));
        bench.until("the second has arrived", |bench| {
            bench.plane.census().sent == 1
        });
        let mut last = [None, a.receive().map(|(s, t, ..)| (s, t))];
        for n in 0..250 {
            a.send(&sound(1, n));
            b.send(&sound(2, n));
            for (last, (phone, seed)) in last.iter_mut().zip([(&b, 1), (&a, 2)]) {
                // Each asks for half a second.
                let (sequence, timestamp, payload_type, marker, payload) = (0..10)
                    .find_map(|_| phone.receive())
                    .unwrap_or_else(|| panic!("packet {n} was lost: {:?}", bench.plane.census()));
                assert_eq!(payload, sound(seed, n), "packet {n}");
                assert_eq!(payload_type, phone.agreed().send_payload_type);
                assert_eq!(marker, last.is_none());
                if let Some((s, t)) = *last {
                    assert_eq!(sequence, u16::wrapping_add(s, 1));
                    assert_eq!(timestamp, u32::wrapping_add(t, 160));
                }
                *last = Some((sequence, timestamp));
            }
        }
        bench.take();
        assert_eq!(bench.count(a.leg, &MediaEvent::Ready), 1);
        assert_eq!(bench.count(b.leg, &MediaEvent::Ready), 1);
        let census = bench.close(&[&a, &b]);
        assert_eq!(census.ring_full, 0);
    }
}

fn the_two_laws_are_converted_and_tapped_before_that() {
    let mut bench = Bench::new(1, ports(40..=79));
    let mut a = bench.phone(1, Codec::Pcmu);
    let mut b = bench.phone(2, Codec::Pcma);
    bench.bridge(1, &[&a, &b]);
    let (writer, mut reader) = tap();
    bench.plane.attach_tap(a.leg, Feeds::Call, writer);
    for n in 0..50 {
        a.send(&sound(1, n));
        b.send(&sound(2, n));
        let (_, _, payload_type, _, payload) = b.receive().unwrap();
        let expected: Vec<u8> = sound(1, n).into_iter().map(g711::ulaw_to_alaw).collect();
        assert_eq!((payload_type, payload), (8, expected));
        let (_, _, payload_type, _, payload) = a.receive().unwrap();
        let expected: Vec<u8> = sound(2, n).into_iter().map(g711::alaw_to_ulaw).collect();
        assert_eq!((payload_type, payload), (0, expected));
    }
    let mut n = 0;
    reader.drain(&mut Vec::new(), |header, payload| {
        assert_eq!(payload, sound(1, n));
        assert_eq!(header.timestamp, 5_000 + 160 * n as u32);
        assert_eq!((header.codec, header.ssrc), (Codec::Pcmu, 1));
        n += 1;
    });
    assert_eq!(n, 50);
    bench.plane.detach_tap(a.leg, Feeds::Call);
    bench.until("tap given back", |_| reader.is_finished());
    bench.close(&[&a, &b]);
}

fn packets_are_cut_for_who_takes_shorter_ones() {
    let same: fn(u8) -> u8 = |octet| octet;
    for (from, to, heard_as) in [
        (Codec::Pcmu, Codec::Pcmu, same),
        (Codec::Pcma, Codec::Pcmu, g711::alaw_to_ulaw as fn(u8) -> u8),
        (Codec::G722, Codec::G722, same),
    ] {
        let mut bench = Bench::new(2, ports(880..=899));
        let mut a = bench.phone(1, from);
        let mut b = bench.phone(2, to);
        a.packet_time_ms = 40;
        b.max_packet_time_ms = Some(20);
        for phone in [&a, &b] {
            let agreed = phone.agreed();
            bench.act(MediaAct::Agree {
                leg: phone.leg,
                agreed,
            });
        }
        bench.bridge(1, &[&a, &b]);
        b.send(&sound(2, 999));
        bench.until("the second has arrived", |bench| {
            bench.plane.census().sent == 1
        });
        let mut last = None;
        let mut hear = |b: &Phone, lasts: u32| {
            let (sequence, timestamp, _, _, payload) = b.receive().unwrap();
            if let Some((s, t)) = last.replace((sequence, timestamp + lasts)) {
                assert_eq!((sequence, timestamp), (u16::wrapping_add(s, 1), t));
            }
            payload
        };
        let spoken = |n: usize| [sound(1, n), sound(3, n)].concat();
        for n in 0..40 {
            let said = spoken(n);
            a.send(&said);
            let heard = [hear(&b, 160), hear(&b, 160)];
            assert_eq!((heard[0].len(), heard[1].len()), (160, 160));
            let expected: Vec<u8> = said.into_iter().map(heard_as).collect();
            assert_eq!(heard.concat(), expected, "packet {n}");
        }
        // Who said nothing of the kind hears what comes.
        a.receive().unwrap();
        b.send(&sound(2, 1));
        assert_eq!(a.receive().unwrap().4.len(), 160);
        b.max_packet_time_ms = Some(60);
        let agreed = b.agreed();
        bench.act(MediaAct::Agree { leg: b.leg, agreed });
        // The order and the packet go different ways to the worker.
        bench.until("packets pass whole again", |_| {
            a.send(&spoken(50));
            b.receive().unwrap().4.len() == 320
        });
        bench.close(&[&a, &b]);
    }
}

fn a_clip_is_played_in_time_and_its_end_told_once() {
    let mut bench = Bench::new(1, ports(80..=99));
    let a = bench.phone(1, Codec::Pcma);
    let samples: Vec<i16> = (0..8_000).map(|n| (n * 3 % 20_000) as i16).collect();
    let clip = Clip::from_samples("x", &samples);
    let began = Instant::now();
    bench.act(MediaAct::Play {
        leg: a.leg,
        clip: clip.clone(),
        mode: PlayMode::Once,
        token: 42,
    });
    let mut heard = Vec::new();
    let mut last: Option<(u16, u32)> = None;
    for n in 0..50 {
        let (sequence, timestamp, _, marker, payload) = a.receive().unwrap();
        assert_eq!(marker, n == 0);
        if let Some((s, t)) = last {
            assert_eq!(
                (sequence, timestamp),
                (s.wrapping_add(1), t.wrapping_add(160))
            );
        }
        last = Some((sequence, timestamp));
        heard.extend(payload);
    }
    let took = began.elapsed();
    assert!(took >= Duration::from_millis(980), "{took:?}");
    assert_eq!(heard, clip.pcma());
    bench.await_event(a.leg, &MediaEvent::Played { token: 42 });
    // Replaced and stopped ones are not told.
    for token in [43, 44] {
        bench.act(MediaAct::Play {
            leg: a.leg,
            clip: clip.clone(),
            mode: PlayMode::Loop,
            token,
        });
        assert!(a.receive().is_some());
    }
    bench.act(MediaAct::StopPlaying { leg: a.leg });
    std::thread::sleep(Duration::from_millis(60));
    bench.take();
    let played = bench
        .events
        .iter()
        .filter(|(_, event)| matches!(event, MediaEvent::Played { .. }));
    assert_eq!(played.count(), 1);
    bench.close(&[&a]);
    drop(bench);
    assert_eq!(std::sync::Arc::strong_count(&clip), 1);
}

fn keys_are_told_once_and_sent_so_that_they_are_heard_once() {
    let mut bench = Bench::new(2, ports(100..=119));
    let mut a = bench.phone(1, Codec::Pcmu);
    let b = bench.phone(2, Codec::Pcmu);
    bench.bridge(1, &[&a, &b]);
    // A prompt does not keep keys from being told.
    bench.act(MediaAct::Play {
        leg: a.leg,
        clip: Clip::from_samples("x", &[1; 800]),
        mode: PlayMode::Loop,
        token: 1,
    });
    for key in [1u8, 1, 11] {
        a.timestamp = a.timestamp.wrapping_add(3200);
        for (duration, end) in [
            (160, false),
            (320, false),
            (480, true),
            (480, true),
            (480, true),
        ] {
            let event = TelephoneEvent {
                event: key,
                end,
                volume: 10,
                duration,
            };
            a.send_as(101, &event.to_bytes());
        }
    }
    bench.await_event(a.leg, &MediaEvent::Key('#'));
    assert_eq!(bench.count(a.leg, &MediaEvent::Key('1')), 2);
    assert_eq!(bench.count(a.leg, &MediaEvent::Key('#')), 1);

    while b
        .socket
        .set_read_timeout(Some(Duration::from_millis(50)))
        .is_ok()
        && b.receive().is_some()
    {}
    for key in ['4', '2'] {
        bench.plane.send_key(b.leg, key);
    }
    let mut receiver = KeyReceiver::default();
    let mut heard = Vec::new();
    b.socket
        .set_read_timeout(Some(Duration::from_millis(300)))
        .unwrap();
    while let Some((_, timestamp, payload_type, _, payload)) = b.receive() {
        assert_eq!(payload_type, 101);
        heard.extend(receiver.receive(1, timestamp, TelephoneEvent::parse(&payload).unwrap()));
    }
    assert_eq!(heard, ['4', '2']);
    bench.close(&[&a, &b]);
}

fn echo_and_strangers() {
    let mut bench = Bench::new(1, ports(120..=139));
    let mut a = bench.phone(1, Codec::Pcmu);
    bench.act(MediaAct::Echo { leg: a.leg });
    for n in 0..20 {
        a.send(&sound(1, n));
        assert_eq!(a.receive().unwrap().4, sound(1, n));
    }
    let stranger = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    let mut packet = [0u8; 172];
    packet[0] = 0x80;
    stranger.send_to(&packet, a.port).unwrap();
    stranger.send_to(b"OPTIONS", a.port).unwrap();
    bench.until("strangers are counted", |bench| {
        let census = bench.plane.census();
        census.dropped(Reason::ForeignSource) == 1 && census.dropped(Reason::NotRtp) == 1
    });
    a.send(&sound(1, 20));
    assert_eq!(a.receive().unwrap().4, sound(1, 20));
    bench.close(&[&a]);
}

fn legs_move_between_workers_without_loss() {
    let mut bench = Bench::new(3, ports(140..=199));
    let mut phones: Vec<Phone> = (1..=6).map(|n| bench.phone(n, Codec::Pcmu)).collect();
    for round in 0..60u128 {
        let (x, y) = (
            (round % 6) as usize,
            ((round * 5 + 1 + round / 6) % 6) as usize,
        );
        if x == y {
            continue;
        }
        // Without leaving first, from whatever they were in.
        bench.bridge(1000 + round, &[&phones[x], &phones[y]]);
        phones[x].send(&sound(x, round as usize));
        phones[x].send(&sound(x, round as usize + 1));
        let until = Instant::now() + PATIENCE;
        phones[y].socket.set_nonblocking(true).unwrap();
        let mut got = Vec::new();
        // What comes before the second leg has arrived waits for it.
        while got.len() < 2 {
            bench.take();
            got.extend(phones[y].receive().map(|packet| packet.4));
            let census = bench.plane.census();
            assert!(Instant::now() < until, "{round}: {got:?} {census:?}");
        }
        let said = [round, round + 1].map(|n| sound(x, n as usize));
        assert_eq!(got, said, "{round}");
        assert!(phones[y].receive().is_none(), "{round}");
    }
    assert_eq!(bench.plane.census().dropped(Reason::Unheard), 0);
    // A third leg makes it a room, and is linked to the first one when the second leaves.
    for phone in &phones[..3] {
        phone.socket.set_nonblocking(false).unwrap();
        bench.act(MediaAct::Join {
            leg: phone.leg,
            bridge: BridgeId::from_u128(5),
        });
    }
    assert_eq!(bench.plane.census().rooms, 1);
    bench.act(MediaAct::Leave { leg: phones[1].leg });
    bench.until("the third is heard", |bench| {
        while phones[0].socket.set_nonblocking(true).is_ok() && phones[0].receive().is_some() {}
        phones[2].send(&sound(9, 9));
        std::thread::sleep(Duration::from_millis(3));
        bench.take();
        phones[0]
            .receive()
            .is_some_and(|packet| packet.4 == sound(9, 9))
    });
    let phones: Vec<&Phone> = phones.iter().collect();
    bench.close(&phones);
}

fn two_hundred_legs_talk_and_leave_nothing_behind() {
    let mut bench = Bench::new(2, ports(200..=799));
    for round in 0..2 {
        let mut phones: Vec<Phone> = (1..=200)
            .map(|n| bench.phone(n + round * 1000, Codec::Pcmu))
            .collect();
        for pair in 0..100 {
            bench.bridge(pair as u128, &[&phones[2 * pair], &phones[2 * pair + 1]]);
        }
        // All have arrived where they belong when each is heard; what comes before that waits.
        let before = bench.plane.census().sent;
        for phone in &mut phones {
            phone.send(&[0xff; 160]);
        }
        bench.until("all are placed", |bench| {
            bench.plane.census().sent == before + 200
        });
        for phone in &phones {
            phone.socket.set_nonblocking(true).unwrap();
            while phone.receive().is_some() {}
            phone.socket.set_nonblocking(false).unwrap();
        }
        let before = bench.plane.census();
        for n in 0..50 {
            for phone in &mut phones {
                let seed = phone.leg.as_u128() as usize;
                phone.send(&sound(seed, n));
            }
            for (index, phone) in phones.iter().enumerate() {
                let other = phones[index ^ 1].leg.as_u128() as usize;
                let heard = (0..10).find_map(|_| phone.receive());
                assert_eq!(heard.unwrap().4, sound(other, n));
            }
        }
        let after = bench.plane.census();
        assert_eq!(voice(&after) - voice(&before), 10_000);
        assert_eq!(after.dropped, before.dropped);
        bench.close(&phones.iter().collect::<Vec<_>>());
    }
    assert_eq!(bench.plane.census().free_ports, bench.plane.capacity());
}

/// Packets sent without those that report on others.
fn voice(census: &Census) -> u64 {
    census.sent - census.reports_sent
}

fn ports_rest_but_a_call_is_refused_only_when_none_is_free() {
    let mut bench = Bench::new(1, ports(800..=803));
    let (lower, upper) = (*ports(800..=803).start(), *ports(802..=803).start());
    let range = format!("{lower}-{}", upper + 1);
    let a = bench.phone(1, Codec::Pcmu);
    let b = bench.phone(2, Codec::Pcmu);
    assert_eq!((a.port.port(), b.port.port()), (lower, upper));
    let third = LegId::from_u128(3);
    bench.act(MediaAct::Open {
        leg: third,
        towards: LOOPBACK,
    });
    assert!(matches!(
        bench.events.last(),
        Some((leg, MediaEvent::Failed { why })) if *leg == third && why.contains(&range)
    ));
    // Acts for legs that are not there are ignored.
    for leg in [third, LegId::from_u128(99)] {
        bench.bridge(1, &[&a]);
        bench.act(MediaAct::Join {
            leg,
            bridge: BridgeId::from_u128(1),
        });
        bench.act(MediaAct::Leave { leg });
        bench.act(MediaAct::StopPlaying { leg });
        bench.act(MediaAct::Echo { leg });
        bench.act(MediaAct::Close { leg });
    }
    bench.close(&[&a, &b]);
    let taken = UdpSocket::bind((LOOPBACK, lower)).unwrap();
    assert_eq!(bench.phone(4, Codec::Pcmu).port.port(), upper);
    drop(taken);
    assert_eq!(bench.phone(5, Codec::Pcmu).port.port(), lower);
    bench.plane.shutdown();
    assert_eq!(bench.plane.census().open_sockets, 0);
    UdpSocket::bind((LOOPBACK, upper)).unwrap();
    bench.act(MediaAct::Open {
        leg: third,
        towards: LOOPBACK,
    });
    assert!(matches!(
        bench.events.last(),
        Some((_, MediaEvent::Failed { .. }))
    ));
    let refused = Plane::start(PlaneSettings {
        workers: 1,
        ports: 7..=7,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: Instant::now(),
        io: io(),
    });
    assert!(refused.is_err());
}

fn the_signalling_task_is_woken() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(wakes());
}

async fn wakes() {
    let mut bench = Bench::new(1, ports(804..=819));
    let mut a = bench.phone(1, Codec::Pcmu);
    for n in 0..3 {
        if n == 0 {
            a.send(&sound(1, 1));
        } else {
            bench.act(MediaAct::Play {
                leg: a.leg,
                clip: Clip::from_samples("x", &[1; 160]),
                mode: PlayMode::Once,
                token: n,
            });
        }
        let expected = match n {
            0 => MediaEvent::Ready,
            token => MediaEvent::Played { token },
        };
        let woken = async {
            loop {
                bench.plane.ready().await;
                if let Some((_, event)) = bench.plane.poll_report() {
                    break event;
                }
            }
        };
        let event = tokio::time::timeout(PATIENCE, woken).await.unwrap();
        assert_eq!(event, expected);
    }
}

fn a_far_side_that_sends_nothing_is_told_once() {
    // As if the process had started a minute ago, and the leg had been agreed on then.
    let start = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    let plane = Plane::start(PlaneSettings {
        workers: 1,
        ports: ports(840..=859),
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start,
        io: io(),
    })
    .unwrap();
    let mut bench = Bench {
        plane,
        start: Instant::now(),
        events: Vec::new(),
    };
    let mut a = bench.phone(1, Codec::Pcmu);
    let b = bench.phone(2, Codec::Pcmu);
    a.send(&sound(1, 1));
    bench.await_event(a.leg, &MediaEvent::Ready);
    bench.await_event(b.leg, &MediaEvent::Silent);
    std::thread::sleep(Duration::from_millis(1100));
    bench.take();
    assert_eq!(bench.count(b.leg, &MediaEvent::Silent), 1);
    bench.close(&[&a, &b]);
}

fn commands_beyond_the_ring_wait_in_order() {
    let mut bench = Bench::new(1, ports(820..=839));
    let a = bench.phone(1, Codec::Pcmu);
    let clip = Clip::from_samples("x", &[1; 160]);
    for token in 0..20_000 {
        // Not drained: neither reports nor commands may be lost for it.
        bench.plane.act(
            Mono::ZERO,
            MediaAct::Play {
                leg: a.leg,
                clip: clip.clone(),
                mode: PlayMode::Once,
                token,
            },
        );
    }
    bench.await_event(a.leg, &MediaEvent::Played { token: 19_999 });
    bench.close(&[&a]);
    drop(bench);
    assert_eq!(std::sync::Arc::strong_count(&clip), 1);
}

/// Every test over each backend.
macro_rules! over_both {
    ($($test:ident),* $(,)?) => {
        mod by_epoll {
            $(#[test]
            fn $test() {
                super::over(super::MediaIo::Epoll, super::$test);
            })*
        }
        mod by_io_uring {
            $(#[test]
            fn $test() {
                super::over(super::MediaIo::Uring, super::$test);
            })*
        }
    };
}

over_both! {
    five_seconds_both_ways_are_bit_exact,
    the_two_laws_are_converted_and_tapped_before_that,
    packets_are_cut_for_who_takes_shorter_ones,
    a_clip_is_played_in_time_and_its_end_told_once,
    keys_are_told_once_and_sent_so_that_they_are_heard_once,
    echo_and_strangers,
    legs_move_between_workers_without_loss,
    two_hundred_legs_talk_and_leave_nothing_behind,
    ports_rest_but_a_call_is_refused_only_when_none_is_free,
    the_signalling_task_is_woken,
    a_far_side_that_sends_nothing_is_told_once,
    commands_beyond_the_ring_wait_in_order,
    three_hear_each_other_and_not_themselves,
    a_supervisor_listens_whispers_and_barges_in,
}
