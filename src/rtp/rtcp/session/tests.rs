//! Two sessions with a network between them that delays and loses.

use super::*;
use crate::rtp::rtcp::read::Packet;
use proptest::prelude::*;

fn ms(n: u64) -> Mono {
    Mono::from_micros(n * 1000)
}

fn session(ssrc: u32) -> Session {
    let mut session = Session::new(
        ssrc,
        Wall::from_micros(1_700_000_000_500_000),
        [ssrc as u8; 16],
    );
    session.agree(ms(0), 8000);
    session
}

fn voice(ssrc: u32, sequence: u16, timestamp: u32) -> Vec<u8> {
    let mut packet = vec![0x80, 8];
    packet.extend(sequence.to_be_bytes());
    packet.extend(timestamp.to_be_bytes());
    packet.extend(ssrc.to_be_bytes());
    packet.extend([0; 160]);
    packet
}

/// One packet from one to the other unless it is lost on the way, which takes `delay`.
fn talk(from: &mut Session, to: &mut Session, n: u64, delay: u64, lost: bool) {
    let (sequence, timestamp) = (65_500u16.wrapping_add(n as u16), n as u32 * 160);
    let packet = voice(from.ssrc, sequence, timestamp);
    from.note_sent(ms(n * 20), &packet);
    if !lost {
        to.note_received(ms(n * 20 + delay), from.ssrc, sequence, timestamp, true);
    }
}

#[test]
fn both_ends_learn_loss_and_round_trip() {
    let (mut a, mut b) = (session(1), session(2));
    let mut room = [0u8; 300];
    let (mut reports, mut away) = (0, Vec::new());
    for n in 0..1500u64 {
        talk(&mut a, &mut b, n, 40, n % 10 == 4);
        talk(&mut b, &mut a, n, 40, false);
        let now = ms(n * 20);
        if let Some(length) = a.report(now, &mut room) {
            away.push((
                now + Duration::from_millis(40),
                true,
                room[..length].to_vec(),
            ));
        }
        if let Some(length) = b.report(now, &mut room) {
            away.push((
                now + Duration::from_millis(40),
                false,
                room[..length].to_vec(),
            ));
        }
        away.retain(|(at, to_b, report)| {
            if *at > now {
                return true;
            }
            let to = if *to_b { &mut b } else { &mut a };
            to.hear(now, report).unwrap();
            reports += 1;
            false
        });
    }
    assert!((8..30).contains(&reports), "{reports}");
    let (a, b) = (a.measured(), b.measured());
    assert_eq!((b.inward.expected, b.inward.lost()), (1500, 150));
    assert_eq!((a.inward.expected, a.inward.lost()), (1500, 0));
    assert!(a.outward.expected > 1000);
    assert!((a.outward.share_lost() - 0.1).abs() < 0.005, "{a:?}");
    assert_eq!(b.outward.lost(), 0);
    for measured in [a, b] {
        let round_trip = measured.round_trip.unwrap().as_millis();
        assert!((75..=85).contains(&round_trip), "{round_trip}");
    }
}

/// What the relay's own source lost is not this leg's loss.
#[test]
fn gaps_that_were_sent_are_not_counted_as_lost() {
    let (mut a, mut b) = (session(1), session(2));
    let mut room = [0u8; 300];
    for n in 0..1000u64 {
        if n % 4 != 0 {
            talk(&mut a, &mut b, n, 5, n % 10 == 5);
        }
        talk(&mut b, &mut a, n, 5, false);
        if let Some(length) = b.report(ms(n * 20), &mut room) {
            a.hear(ms(n * 20 + 5), &room[..length]).unwrap();
        }
    }
    let outward = a.measured().outward;
    // 75 of the 100 were sent and lost.
    assert!((outward.share_lost() - 0.1).abs() < 0.04, "{outward:?}");
}

#[test]
fn a_report_says_what_was_sent_and_heard() {
    let (mut a, mut b) = (session(1), session(2));
    for n in 0..50 {
        talk(&mut b, &mut a, n, 5, n == 10);
    }
    let mut room = [0u8; 300];
    assert_eq!(b.report(ms(100), &mut room), None, "not due yet");
    let length = b.report(ms(3_100), &mut room).unwrap();
    let mut packets = compound(&room[..length]).unwrap();
    let Some(Packet::SenderReport {
        ssrc: 2,
        info,
        mut blocks,
    }) = packets.next()
    else {
        panic!("a sender report");
    };
    assert_eq!((info.packets, info.octets), (50, 8000));
    // 2.12 s after the last packet.
    assert_eq!(info.timestamp, 49 * 160 + 2_120 * 8);
    assert_eq!(info.ntp >> 32, 2_208_988_800 + 1_700_000_003);
    assert_eq!(blocks.next(), None);
    a.hear(ms(3_105), &room[..length]).unwrap();

    let length = a.report(ms(4_105), &mut room).unwrap();
    let Some(Packet::ReceiverReport {
        ssrc: 1,
        mut blocks,
    }) = compound(&room[..length]).unwrap().next()
    else {
        panic!("a receiver report");
    };
    let block = blocks.next().unwrap();
    assert_eq!((block.ssrc, block.lost, block.fraction_lost), (2, 1, 5));
    assert_eq!(block.highest, 65_500 + 49);
    assert_eq!(block.since_last_report, 65_536);

    // Nothing sent since: a receiver report, and the farewell.
    let length = b.farewell(ms(9_000), &mut room).unwrap();
    let kinds: Vec<Packet<'_>> = compound(&room[..length]).unwrap().collect();
    assert!(matches!(kinds[0], Packet::ReceiverReport { .. }));
    assert!(matches!(kinds[2], Packet::Bye(_)));
    assert_eq!(session(9).farewell(ms(1), &mut room), None);
}

#[test]
fn a_new_source_is_counted_on_top() {
    let (mut a, mut b, mut c) = (session(1), session(2), session(3));
    for n in 0..100 {
        talk(&mut b, &mut a, n, 5, n == 50);
    }
    for n in 100..200 {
        talk(&mut c, &mut a, n, 5, n == 150);
    }
    let inward = a.measured().inward;
    assert_eq!((inward.expected, inward.lost()), (200, 2));
}

proptest! {
    #[test]
    fn no_report_makes_it_panic(
        blocks in proptest::collection::vec((any::<[u32; 5]>(), any::<bool>()), 0..20), sent in 0u64..100
    ) {
        let (mut a, mut b) = (session(1), session(2));
        for n in 0..sent {
            talk(&mut a, &mut b, n, 5, false);
        }
        for (at, (words, ours)) in blocks.into_iter().enumerate() {
            let mut report = vec![0x81, 201, 0, 7, 0, 0, 0, 2];
            report.extend(if ours { 1u32 } else { 9 }.to_be_bytes());
            report.extend(words.iter().flat_map(|word| word.to_be_bytes()));
            prop_assert!(a.hear(ms(at as u64), &report).is_ok());
            let outward = a.measured().outward;
            prop_assert!((0.0..=1.0).contains(&outward.share_lost()));
        }
    }
}
