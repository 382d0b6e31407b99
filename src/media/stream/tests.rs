//! Two streams back to back, without sockets.

use super::*;
use crate::rtp::packet::Packet;
use crate::rtp::srtp::{LONGEST_MATERIAL, MasterKey, Mki};
use crate::sdp::negotiate::Direction;

fn ms(n: u64) -> Mono {
    Mono::from_micros(n * 1000)
}

fn at(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn agreed(rtcp_mux: bool) -> Agreed {
    Agreed {
        remote: Some(at(4000)),
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
        rtcp_mux,
        rtcp: None,
    }
}

fn security(send: u8, receive: u8) -> Option<Box<Security>> {
    let key = |n| MasterKey::from_random(Suite::AeadAes128Gcm, [n; LONGEST_MATERIAL]);
    let crypto = CryptoAgreed {
        send: key(send),
        receive: key(receive),
        mki: Mki::default(),
        lifetime: 8,
    };
    Some(Box::new(Security::new(&crypto).unwrap()))
}

fn stream(ssrc: u32) -> Stream {
    let mut stream = Stream::new(
        ssrc,
        Wall::default(),
        &mut Entropy::from_number(ssrc.into()),
    );
    stream.agree(ms(0), &agreed(true));
    stream
}

/// A packet as it goes out.
fn packet(stream: &mut Stream, ssrc: u32, n: u16) -> Result<Vec<u8>, Reason> {
    let mut room = [0u8; 400];
    let length = Packet {
        payload_type: 8,
        marker: false,
        sequence: n,
        timestamp: u32::from(n) * 160,
        ssrc,
        payload: &[n as u8; 160],
    }
    .write_into(&mut room)
    .unwrap();
    let length = stream.send(ms(u64::from(n) * 20), Outgoing::Media, &mut room, length)?;
    Ok(room[..length].to_vec())
}

fn take(stream: &mut Stream, bytes: &[u8]) -> Result<Came, Reason> {
    stream.take_in(&mut bytes.to_vec(), bytes.len())
}

#[test]
fn protection_begins_ends_and_goes_on_without_using_a_number_twice() {
    let (mut a, mut b) = (stream(1), stream(2));
    let plain = packet(&mut a, 1, 1).unwrap();
    assert_eq!(take(&mut b, &plain), Ok(Came::Media(172)));

    assert!(a.secure(true, security(1, 2)).is_none());
    assert!(b.secure(true, security(2, 1)).is_none());
    assert_eq!(take(&mut b, &plain), Err(Reason::Forged));
    let sealed = packet(&mut a, 1, 2).unwrap();
    assert_eq!(sealed.len(), 172 + 16);
    assert_eq!(take(&mut b, &sealed), Ok(Came::Media(172)));
    assert_eq!(take(&mut b, &sealed), Err(Reason::Replayed));

    // Plain for a while, then with the keys of before.
    a.secure(false, None);
    assert_eq!(packet(&mut a, 1, 3).unwrap().len(), 172);
    assert_eq!(a.overall().suite, None);
    a.secure(true, None);
    assert_eq!(packet(&mut a, 1, 2), Err(Reason::Replayed));
    assert_eq!(a.overall().suite, Some(Suite::AeadAes128Gcm));

    // New keys take effect at once; the contexts before go back.
    assert!(a.secure(true, security(3, 4)).is_some());
    let renewed = packet(&mut a, 1, 4).unwrap();
    assert_eq!(take(&mut b, &renewed), Err(Reason::Forged));
    assert!(b.secure(true, security(4, 3)).is_some());
    assert_eq!(take(&mut b, &renewed), Ok(Came::Media(172)));
    assert_eq!(packet(&mut a, 1, 2), Err(Reason::Replayed));
}

#[test]
fn a_key_s_end_is_told_before_it_and_at_it() {
    let (mut a, mut b) = (stream(1), stream(2));
    assert_eq!(b.key_life(), None);
    a.secure(true, security(1, 2));
    b.secure(true, security(2, 1));
    let mut told = Vec::new();
    for n in 0..8 {
        let sealed = packet(&mut a, 1, n).unwrap();
        assert!(take(&mut b, &sealed).is_ok());
        told.extend(b.key_life().map(|life| (n, life)));
    }
    assert_eq!(told, [(5, Life::Ending), (7, Life::Ended)]);
    let sealed = packet(&mut a, 1, 8).unwrap();
    assert_eq!(take(&mut b, &sealed), Err(Reason::KeyUsedUp));
    // A new one has a life of its own.
    a.secure(true, security(3, 4));
    b.secure(true, security(4, 3));
    let sealed = packet(&mut a, 1, 9).unwrap();
    assert!(take(&mut b, &sealed).is_ok());
    assert_eq!(b.key_life(), None);
}

#[test]
fn reports_are_protected_too_and_go_where_they_are_wanted() {
    let (mut a, mut b) = (stream(1), stream(2));
    a.secure(true, security(1, 2));
    b.secure(true, security(2, 1));
    packet(&mut a, 1, 1).unwrap();
    let mut room = [0u8; 400];
    let (length, to) = a.report(ms(7_000), Some(at(9)), &mut room).unwrap();
    assert_eq!(to, at(9));
    let Ok(Came::Report(opened)) = b.take_in(&mut room, length) else {
        panic!("a report");
    };
    // Whoever has the key is believed, wherever he is.
    assert_eq!(b.hear(ms(7_000), at(77), None, &room[..opened]), Ok(()));
    assert_eq!(a.report(ms(7_001), Some(at(9)), &mut room), None);

    let mut plain = stream(3);
    let report = room[..opened].to_vec();
    let stranger = SocketAddr::from(([127, 0, 0, 9], 9));
    assert_eq!(
        plain.hear(ms(0), stranger, Some(at(9)), &report),
        Err(Reason::ForeignSource)
    );
    assert_eq!(plain.place_of_reports(Some(at(9))), Some(at(9)));
    plain.agree(ms(0), &agreed(false));
    assert_eq!(plain.place_of_reports(Some(at(9))), Some(at(10)));
    plain.agree(
        ms(0),
        &Agreed {
            rtcp: Some(at(50)),
            ..agreed(false)
        },
    );
    assert_eq!(plain.place_of_reports(Some(at(9))), Some(at(50)));
    assert_eq!(plain.hear(ms(0), at(51), Some(at(9)), &report), Ok(()));
    assert_eq!(plain.place_of_reports(Some(at(9))), Some(at(51)));
    assert_eq!(plain.place_of_reports(None), None);
}

#[test]
fn what_is_neither_is_left_to_the_leg() {
    let mut a = stream(1);
    a.secure(true, security(1, 2));
    assert_eq!(take(&mut a, b"\x00\x01stun"), Ok(Came::Media(6)));
    assert_eq!(take(&mut a, &[]), Ok(Came::Media(0)));
    assert_eq!(take(&mut a, &[0x80, 200]), Err(Reason::Malformed));
}
