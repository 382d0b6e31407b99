//! What a relay keeps of a packet and of a stream, whatever the far side does with its own.

use super::*;
use crate::audio::tone;

fn legs() -> (Leg, Leg) {
    (
        leg(1, agreed(Codec::Pcmu, 1)),
        leg(2, agreed(Codec::Pcmu, 2)),
    )
}

fn numbers(bytes: &[u8]) -> (u16, u32, bool) {
    let packet = Packet::parse(bytes).unwrap();
    (packet.sequence, packet.timestamp, packet.marker)
}

#[test]
fn the_marker_of_a_talkspurt_passes_and_its_pause_stays_as_long() {
    let (mut a, mut b) = legs();
    let first = numbers(&pass(&mut a, &mut b, 0, &voice(1)).unwrap());
    let mut spurt = datagram(0, 2, 160 + 8000, &[7; 160]);
    spurt[1] |= 0x80;
    let second = numbers(&pass(&mut a, &mut b, 1000, &spurt).unwrap());
    assert_eq!(second.0, first.0.wrapping_add(1));
    assert_eq!(second.1, first.1.wrapping_add(8000));
    assert!(second.2);
}

#[test]
fn padding_ends_with_the_stream_that_had_it() {
    let (mut a, mut b) = legs();
    let mut padded = voice(1);
    padded[0] |= 0x20;
    padded.extend([0, 0, 0, 4]);
    let out = pass(&mut a, &mut b, 0, &padded).unwrap();
    assert_eq!(out.len(), 12 + 160);
    assert_eq!(out[0], 0x80);
    assert_eq!(out[12..], voice(1)[12..]);
}

#[test]
fn comfort_noise_is_not_heard_and_looks_like_no_loss() {
    let (mut a, mut b) = legs();
    let first = numbers(&pass(&mut a, &mut b, 0, &voice(1)).unwrap());
    for n in 2..5u16 {
        let noise = datagram(13, n, u32::from(n) * 160, &[60]);
        assert_eq!(
            pass(&mut a, &mut b, 20, &noise),
            Err(Reason::UnknownPayload)
        );
    }
    let next = numbers(&pass(&mut a, &mut b, 80, &voice(5)).unwrap());
    assert_eq!(next.0, first.0.wrapping_add(1));
    assert_eq!(next.1, first.1.wrapping_add(4 * 160));
    // It is a sign of life all the same, and of the far side only.
    let noise = datagram(13, 6, 960, &[60]);
    assert!(!a.fell_silent(ms(30_000)));
    assert!(a.receive(ms(30_000), at(1), &noise).is_ok());
    assert!(!a.fell_silent(ms(59_000)));
    assert_eq!(
        a.receive(ms(59_000), at(9), &noise),
        Err(Reason::ForeignSource)
    );
    assert!(a.fell_silent(ms(60_000)));
}

#[test]
fn a_far_side_that_begins_anew_is_heard_in_the_same_stream() {
    let (mut a, mut b) = legs();
    let first = Packet::parse(&pass(&mut a, &mut b, 0, &voice(1)).unwrap())
        .unwrap()
        .ssrc;
    let mut last = None;
    for (n, ssrc) in [(1u16, 5u8), (2, 5), (900, 6), (901, 6), (3, 5)] {
        let mut bytes = datagram(0, n, u32::from(n) * 1000, &[1; 160]);
        bytes[8..12].fill(ssrc);
        let out = pass(&mut a, &mut b, u64::from(n), &bytes).unwrap();
        assert_eq!(Packet::parse(&out).unwrap().ssrc, first);
        let number = numbers(&out).0;
        if let Some(last) = last {
            assert_eq!(number, u16::wrapping_add(last, 1), "{n} of {ssrc}");
        }
        last = Some(number);
    }
}

#[test]
fn a_new_address_by_re_invite_counts_at_once() {
    let (mut a, mut b) = legs();
    pass(&mut a, &mut b, 0, &voice(1)).unwrap();
    a.agree(ms(20), agreed(Codec::Pcmu, 5));
    let bytes = voice(2);
    let own = a.receive(ms(20), at(5), &bytes).unwrap();
    assert_eq!(own.packet.sequence, 2);
    assert_eq!(
        a.receive(ms(40), at(1), &voice(3)),
        Err(Reason::ForeignSource)
    );
    // And what it hears goes there.
    let other = b.receive(ms(40), at(2), &bytes).unwrap();
    let mut to = None;
    a.hear(ms(40), &other, &mut Scratch::new(), |_, _, target| {
        to = Some(target)
    })
    .unwrap();
    assert_eq!(to, Some(at(5)));
}

#[test]
fn what_comes_before_the_answer_is_not_taken_and_what_comes_after_it_is() {
    let mut a = Leg::new(LegId::from_u128(1), ms(0), &mut Entropy::from_number(1));
    for from in [1, 9] {
        assert_eq!(
            a.receive(ms(0), at(from), &voice(1)),
            Err(Reason::NotAgreed)
        );
    }
    a.agree(ms(20), agreed(Codec::Pcmu, 1));
    assert!(a.receive(ms(20), at(1), &voice(2)).unwrap().first);
}

#[test]
fn a_stranger_before_the_far_side_gets_nothing_and_keeps_nobody_out() {
    let (mut a, mut b) = legs();
    // A late packet of the port's last call is the first.
    assert!(a.receive(ms(0), at(9), &voice(70)).is_ok());
    let bytes = voice(1);
    let other = b.receive(ms(0), at(2), &bytes).unwrap();
    let mut to = Vec::new();
    a.hear(ms(0), &other, &mut Scratch::new(), |_, _, target| {
        to.push(target)
    })
    .unwrap();
    assert_eq!(to, [at(1)]);
    assert!(a.receive(ms(20), at(1), &voice(1)).is_ok());
    assert_eq!(
        a.receive(ms(20), at(9), &voice(71)),
        Err(Reason::ForeignSource)
    );
}

#[test]
fn tones_are_keys_only_where_events_were_not_agreed_on() {
    let sound = tone::tone(&[852.0, 1477.0], -6.0, 200);
    let coded: Vec<u8> = sound.into_iter().map(g711::ulaw_encode).collect();
    for (events, expected) in [(None, vec!['9']), (Some((101, 101)), vec![])] {
        let mut agreement = agreed(Codec::Pcmu, 1);
        agreement.telephone_event = events;
        let mut a = leg(1, agreement);
        let mut told = Vec::new();
        for (n, payload) in coded.chunks(160).enumerate() {
            let bytes = datagram(0, n as u16, n as u32 * 160, payload);
            told.extend(a.receive(ms(20 * n as u64), at(1), &bytes).unwrap().key);
        }
        assert_eq!(told, expected);
    }
}
