//! The leg without sockets.

mod relay;

use super::*;
use crate::audio::g711;
use crate::media::counters::Reason;
use crate::rtp::telephone_event::{TelephoneEvent, key_of_event};
use proptest::prelude::*;

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn ms(n: u64) -> Mono {
    Mono::from_micros(n * 1000)
}

fn agreed(codec: Codec, port: u16) -> Agreed {
    let number = match codec {
        Codec::Pcmu => 0,
        Codec::Pcma => 8,
        codec => codec.usual_payload_type(),
    };
    Agreed {
        remote: Some(at(port)),
        codec,
        send_payload_type: number,
        receive_payload_type: number,
        telephone_event: Some((96, 101)),
        event_clock_rate: 8_000,
        opus: None,
        packet_time_ms: 20,
        max_packet_time_ms: None,
        direction: Direction::SendRecv,
        crypto: None,
        rtcp_mux: true,
        rtcp: None,
    }
}

fn leg(number: u128, agreement: Agreed) -> Leg {
    let mut leg = Leg::new(
        LegId::from_u128(number),
        ms(0),
        &mut Entropy::from_number(number as u64),
    );
    leg.agree(ms(0), agreement);
    leg
}

fn datagram(payload_type: u8, sequence: u16, timestamp: u32, payload: &[u8]) -> Vec<u8> {
    let mut room = [0; ROOM];
    let length = Packet {
        payload_type,
        marker: false,
        sequence,
        timestamp,
        ssrc: 77,
        payload,
    }
    .write_into(&mut room)
    .unwrap();
    room[..length].to_vec()
}

fn voice(sequence: u16) -> Vec<u8> {
    datagram(
        0,
        sequence,
        u32::from(sequence) * 160,
        &[sequence as u8; 160],
    )
}

fn event(sequence: u16, timestamp: u32, key: u8, duration: u16) -> Vec<u8> {
    let event = TelephoneEvent {
        event: key,
        end: false,
        volume: 10,
        duration,
    };
    datagram(101, sequence, timestamp, &event.to_bytes())
}

/// What `to` is sent when `from`'s far side sends `bytes`.
fn pass(from: &mut Leg, to: &mut Leg, now: u64, bytes: &[u8]) -> Result<Vec<u8>, Reason> {
    let mut scratch = Scratch::new();
    let accepted = from.receive(ms(now), at(1), bytes)?;
    let mut heard = Vec::new();
    to.hear(ms(now), &accepted, &mut scratch, |room, length, target| {
        assert_eq!(target, at(2));
        heard.push(room[..length].to_vec());
    })?;
    assert_eq!(heard.len(), 1);
    Ok(heard.remove(0))
}

fn beats(leg: &mut Leg, from: u64, count: u64) -> (Vec<Vec<u8>>, Vec<(u64, u64)>) {
    let mut scratch = Scratch::new();
    let (mut sent, mut finished) = (Vec::new(), Vec::new());
    for n in 0..count {
        let end = leg.beat(ms(from + 20 * n), &mut scratch, |room, length, _| {
            let bytes = &room[..length];
            sent.push(bytes.to_vec());
        });
        finished.extend(end.map(|end| (n, end.token)));
    }
    (sent, finished)
}

#[test]
fn the_same_codec_passes_untouched() {
    let (mut a, mut b) = (
        leg(1, agreed(Codec::Pcmu, 1)),
        leg(2, agreed(Codec::Pcmu, 2)),
    );
    let mut last = None;
    for n in 0..100u16 {
        let bytes = voice(n);
        let out = pass(&mut a, &mut b, u64::from(n) * 20, &bytes).unwrap();
        let packet = Packet::parse(&out).unwrap();
        assert_eq!(packet.payload, &bytes[12..]);
        assert_eq!((packet.payload_type, packet.marker), (0, n == 0));
        assert_ne!(packet.ssrc, 77);
        if let Some((sequence, timestamp)) = last {
            assert_eq!(packet.sequence, u16::wrapping_add(sequence, 1));
            assert_eq!(packet.timestamp, u32::wrapping_add(timestamp, 160));
        }
        last = Some((packet.sequence, packet.timestamp));
    }
}

#[test]
fn the_other_law_passes_by_table_and_types_are_translated() {
    let mut listener = agreed(Codec::Pcma, 2);
    listener.send_payload_type = 108;
    let (mut a, mut b) = (leg(1, agreed(Codec::Pcmu, 1)), leg(2, listener));
    let all: Vec<u8> = (0..=255).collect();
    let out = pass(&mut a, &mut b, 0, &datagram(0, 1, 0, &all)).unwrap();
    let packet = Packet::parse(&out).unwrap();
    assert_eq!(packet.payload_type, 108);
    assert!((0..256).all(|n| packet.payload[n] == g711::ulaw_to_alaw(n as u8)));
    // The far side may use the other static type without asking; then nothing is converted.
    let out = pass(&mut a, &mut b, 20, &datagram(8, 2, 256, &all)).unwrap();
    assert_eq!(Packet::parse(&out).unwrap().payload, all);
}

#[test]
fn events_pass_under_the_listeners_number_and_are_told_once() {
    let (mut a, mut b) = (
        leg(1, agreed(Codec::Pcmu, 1)),
        leg(2, agreed(Codec::Pcmu, 2)),
    );
    pass(&mut a, &mut b, 0, &voice(1)).unwrap();
    let mut told = Vec::new();
    for n in 2..6u16 {
        let bytes = event(n, 320, 7, (n - 1) * 160);
        let accepted = a.receive(ms(u64::from(n) * 20), at(1), &bytes).unwrap();
        told.extend(accepted.key);
        let mut scratch = Scratch::new();
        let mut heard = 0;
        b.hear(
            ms(u64::from(n) * 20),
            &accepted,
            &mut scratch,
            |room, length, _| {
                let packet = Packet::parse(&room[..length]).unwrap();
                assert_eq!(packet.payload_type, 96);
                assert_eq!(packet.payload, &bytes[12..]);
                heard += 1;
            },
        )
        .unwrap();
        assert_eq!(heard, 1);
    }
    assert_eq!(told, ['7']);
    // Under the far side's own number too.
    let mut bytes = event(6, 9000, 8, 160);
    bytes[1] = 96;
    assert_eq!(a.receive(ms(200), at(1), &bytes).unwrap().key, Some('8'));
}

#[test]
fn events_that_the_listener_does_not_know_leave_no_gap() {
    let mut listener = agreed(Codec::Pcmu, 2);
    listener.telephone_event = None;
    let (mut a, mut b) = (leg(1, agreed(Codec::Pcmu, 1)), leg(2, listener));
    let first = pass(&mut a, &mut b, 0, &voice(1)).unwrap();
    for n in 2..5 {
        assert_eq!(
            pass(&mut a, &mut b, 20, &event(n, 320, 1, 160)),
            Err(Reason::NoEvents)
        );
    }
    let next = pass(&mut a, &mut b, 80, &voice(5)).unwrap();
    let number = |bytes: &[u8]| Packet::parse(bytes).unwrap().sequence;
    assert_eq!(number(&next), number(&first).wrapping_add(1));
}

#[test]
fn a_clip_replaces_the_party_and_ends_exactly_once() {
    let (mut a, mut b) = (
        leg(1, agreed(Codec::Pcmu, 1)),
        leg(2, agreed(Codec::Pcma, 2)),
    );
    let clip = Clip::from_samples("x", &[1000; 400]);
    assert!(b.play(Arc::clone(&clip), PlayMode::Once, 9).is_none());
    assert_eq!(pass(&mut a, &mut b, 0, &voice(1)), Err(Reason::Overridden));
    // What b sends is heard meanwhile.
    let own = datagram(8, 1, 0, &[0xd5; 160]);
    let accepted = b.receive(ms(0), at(2), &own).unwrap();
    assert!(
        a.hear(ms(0), &accepted, &mut Scratch::new(), |_, _, _| {})
            .is_ok()
    );
    let (sent, finished) = beats(&mut b, 0, 10);
    assert_eq!(finished, [(2, 9)]);
    let sound: Vec<u8> = sent
        .iter()
        .flat_map(|bytes| Packet::parse(bytes).unwrap().payload.to_vec())
        .collect();
    assert_eq!(sound.len(), 480);
    assert_eq!(sound[..400], *clip.pcma());
    assert_eq!(sound[400..], [g711::ALAW_SILENCE; 80]);
    assert!(!b.wants_beats());
    // The party is heard again, on the same stream.
    let last = Packet::parse(&sent[2]).unwrap();
    let out = pass(&mut a, &mut b, 60, &voice(5)).unwrap();
    let packet = Packet::parse(&out).unwrap();
    assert_eq!(packet.sequence, last.sequence.wrapping_add(1));
    assert_eq!(packet.timestamp, last.timestamp.wrapping_add(160));
    assert!(packet.marker);
}

#[test]
fn a_clip_waits_for_agreement_and_follows_the_packet_time() {
    for (millis, frames, first_ends) in [(10, 4, 1), (20, 2, 1), (30, 2, 2), (40, 1, 0), (60, 1, 0)]
    {
        let mut leg = Leg::new(LegId::from_u128(1), ms(0), &mut Entropy::from_number(1));
        leg.play(Clip::from_samples("x", &[1; 320]), PlayMode::Once, 4);
        let (sent, finished) = beats(&mut leg, 0, 5);
        assert!(sent.is_empty() && finished.is_empty() && leg.wants_beats());
        let mut agreement = agreed(Codec::Pcmu, 2);
        agreement.packet_time_ms = millis;
        leg.agree(ms(100), agreement);
        leg.stop_playing();
        leg.play(Clip::from_samples("x", &[1; 320]), PlayMode::Once, 4);
        let (sent, finished) = beats(&mut leg, 100, 8);
        assert_eq!(sent.len(), frames, "{millis} ms");
        assert_eq!(finished, [(first_ends, 4)], "{millis} ms");
        let samples = 8 * millis as usize;
        assert!(sent.iter().all(|bytes| bytes.len() == 12 + samples));
    }
}

#[test]
fn who_is_on_hold_hears_nothing_and_the_clip_goes_on() {
    for (direction, remote) in [
        (Direction::RecvOnly, Some(at(2))),
        (Direction::Inactive, Some(at(2))),
        (Direction::SendRecv, None),
    ] {
        let mut held = agreed(Codec::Pcmu, 2);
        held.direction = direction;
        held.remote = remote;
        let (mut a, mut b) = (leg(1, agreed(Codec::Pcmu, 1)), leg(2, held));
        assert_eq!(pass(&mut a, &mut b, 0, &voice(1)), Err(Reason::Held));
        b.play(Clip::from_samples("x", &[1; 320]), PlayMode::Once, 4);
        assert_eq!(beats(&mut b, 0, 8), (vec![], vec![(1, 4)]));
    }
    // A far side that only wants to hear is sent to, and what it sends is ignored.
    let mut listening = agreed(Codec::Pcmu, 1);
    listening.direction = Direction::SendOnly;
    let (mut a, mut b) = (leg(1, listening), leg(2, agreed(Codec::Pcmu, 2)));
    assert_eq!(pass(&mut a, &mut b, 0, &voice(1)), Err(Reason::NotWanted));
    a.play(Clip::from_samples("x", &[1; 320]), PlayMode::Loop, 4);
    assert_eq!(beats(&mut a, 0, 8).0.len(), 8);
}

#[test]
fn what_does_not_belong_is_told_apart() {
    let mut a = Leg::new(LegId::from_u128(1), ms(0), &mut Entropy::from_number(1));
    assert_eq!(a.receive(ms(0), at(1), &voice(1)), Err(Reason::NotAgreed));
    a.agree(ms(0), agreed(Codec::Pcmu, 1));
    assert_eq!(
        a.receive(ms(0), at(3), &datagram(13, 1, 0, &[0])),
        Err(Reason::ForeignSource)
    );
    assert!(a.receive(ms(0), at(1), &voice(1)).unwrap().first);
    assert!(!a.receive(ms(0), at(1), &voice(2)).unwrap().first);
    for (bytes, reason) in [
        (&voice(3)[..5], Reason::Malformed),
        (&[0x81, 200, 0, 1][..], Reason::NotRtp),
        (&[][..], Reason::NotRtp),
        (&datagram(101, 3, 0, &[1, 2]), Reason::Malformed),
    ] {
        assert_eq!(a.receive(ms(0), at(1), bytes), Err(reason));
    }
    assert_eq!(
        a.receive(ms(0), at(3), &voice(3)),
        Err(Reason::ForeignSource)
    );
}

#[test]
fn silence_is_told_once_until_something_comes() {
    let mut a = leg(1, agreed(Codec::Pcmu, 1));
    assert!(!a.fell_silent(ms(29_999)));
    assert!(a.fell_silent(ms(30_000)));
    assert!(!a.fell_silent(ms(90_000)));
    a.receive(ms(90_000), at(1), &voice(1)).unwrap();
    assert!(!a.fell_silent(ms(119_000)));
    assert!(a.fell_silent(ms(120_000)));
    // On hold nothing is expected; the time counts anew afterwards.
    a.receive(ms(120_000), at(1), &voice(2)).unwrap();
    let mut held = agreed(Codec::Pcmu, 1);
    held.direction = Direction::RecvOnly;
    a.agree(ms(121_000), held);
    assert!(!a.fell_silent(ms(300_000)));
    a.agree(ms(300_000), agreed(Codec::Pcmu, 1));
    assert!(!a.fell_silent(ms(329_000)));
    assert!(a.fell_silent(ms(330_000)));
}

#[test]
fn keys_are_sent_between_the_frames_of_a_clip() {
    let mut a = leg(1, agreed(Codec::Pcmu, 1));
    a.play(Clip::from_samples("x", &[1; 1600]), PlayMode::Once, 4);
    let (before, _) = beats(&mut a, 0, 2);
    assert!(a.press('5') && a.press('#') && !a.press('?'));
    let (keys, _) = beats(&mut a, 40, 20);
    let (after, finished) = beats(&mut a, 440, 10);
    assert_eq!(finished.len(), 1);
    assert_eq!((before.len(), keys.len(), after.len()), (2, 14, 8));
    // A far side hears each key once, and the sequence has no gap.
    let mut other = leg(2, {
        let mut agreement = agreed(Codec::Pcmu, 1);
        agreement.telephone_event = Some((101, 96));
        agreement
    });
    let mut heard = Vec::new();
    let mut last: Option<Packet<'_>> = None;
    for bytes in before.iter().chain(&keys).chain(&after) {
        let packet = Packet::parse(bytes).unwrap();
        if let Some(last) = last {
            assert_eq!(packet.sequence, last.sequence.wrapping_add(1));
            assert!(packet.timestamp.wrapping_sub(last.timestamp) < 8000);
        }
        last = Some(packet);
        heard.extend(other.receive(ms(0), at(1), bytes).unwrap().key);
    }
    assert_eq!(heard, ['5', '#']);
    assert_eq!(key_of_event(5), Some('5'));
}

proptest! {
    #[test]
    fn any_bytes_from_anywhere_do_no_harm(
        datagrams in proptest::collection::vec(
            (proptest::collection::vec(any::<u8>(), 0..60), 1u16..4, any::<bool>()), 0..60)
    ) {
        let (mut a, mut b) = (leg(1, agreed(Codec::Pcmu, 1)), leg(2, agreed(Codec::Pcma, 2)));
        let mut scratch = Scratch::new();
        for (mut bytes, from, looks_right) in datagrams {
            if looks_right && bytes.len() > 2 {
                bytes[0] = 0x80 | (bytes[0] & 0x3f);
                bytes[1] = [0, 8, 101, 13][usize::from(bytes[1]) % 4];
            }
            if let Ok(accepted) = a.receive(ms(0), at(from), &bytes) {
                let _ = b.hear(ms(0), &accepted, &mut scratch, |_, _, _| {});
            }
        }
    }
}

mod converted;
