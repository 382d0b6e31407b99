//! A leg that hears another codec than its own.

use super::*;
use crate::audio::voice::Encoder;
use crate::media::transcode::{Recipe, Transcoder};

/// Both legs, each hearing the other through a transcoder if it must.
fn pair(from: Codec, to: Codec) -> (Leg, Leg) {
    let at_clock = |codec: Codec, port| Agreed {
        event_clock_rate: codec.clock_rate(),
        ..agreed(codec, port)
    };
    let (speaker, listener) = (at_clock(from, 1), at_clock(to, 2));
    let recipe = Recipe::between(&speaker, &listener);
    let (a, mut b) = (leg(1, speaker), leg(2, listener));
    let made = recipe.map(|recipe| Box::new(Transcoder::new(recipe, 1, 0).unwrap()));
    assert!(b.hear_through(made).is_none());
    (a, b)
}

/// 20 ms of silence.
fn said(codec: Codec, sequence: u16) -> Vec<u8> {
    let mut bytes = [0; 400];
    let mut encoder = Encoder::new(codec, 8_000).unwrap();
    let length = encoder.encode(&[0; 160], &mut bytes);
    let timestamp = u32::from(sequence) * codec.clock_rate() / 50;
    datagram(
        codec.usual_payload_type(),
        sequence,
        timestamp,
        &bytes[..length],
    )
}

#[test]
fn each_codec_is_heard_in_each_other_under_its_number_and_clock() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            let (mut a, mut b) = pair(from, to);
            let mut last = None;
            for n in 0..10 {
                let heard = pass(&mut a, &mut b, u64::from(n) * 20, &said(from, n)).unwrap();
                let packet = Packet::parse(&heard).unwrap();
                assert_eq!(packet.payload_type, to.usual_payload_type(), "{from} {to}");
                assert_eq!(packet.marker, n == 0, "{from} {to}");
                if let Some((sequence, timestamp)) = last {
                    assert_eq!(packet.sequence, u16::wrapping_add(sequence, 1));
                    let ticks = packet.timestamp.wrapping_sub(timestamp);
                    assert_eq!(ticks, to.clock_rate() / 50, "{from} {to}");
                }
                last = Some((packet.sequence, packet.timestamp));
            }
        }
    }
}

#[test]
fn events_pass_in_the_listeners_clock() {
    for (from, to, duration, heard_as) in [
        (Codec::Pcma, Codec::Opus, 480, 2_880),
        (Codec::Opus, Codec::Pcma, 2_880, 480),
        (Codec::Opus, Codec::Opus, 2_880, 2_880),
        (Codec::G722, Codec::Pcma, 480, 480),
        (Codec::Pcma, Codec::Opus, 20_000, u16::MAX),
    ] {
        let (mut a, mut b) = pair(from, to);
        let first = pass(&mut a, &mut b, 0, &said(from, 1)).unwrap();
        let tick = from.clock_rate() / 50;
        let mut packets = Vec::new();
        for n in 2..5u16 {
            let bytes = event(n, 2 * tick, 5, duration);
            packets.push(pass(&mut a, &mut b, u64::from(n) * 20, &bytes).unwrap());
        }
        let voice = Packet::parse(&first).unwrap();
        for (n, bytes) in packets.iter().enumerate() {
            let packet = Packet::parse(bytes).unwrap();
            assert_eq!(packet.payload_type, 96, "{from} {to}");
            assert_eq!(packet.sequence, voice.sequence.wrapping_add(n as u16 + 1));
            let on = packet.timestamp.wrapping_sub(voice.timestamp);
            assert_eq!(on, to.clock_rate() / 50, "{from} {to}");
            let event = TelephoneEvent::parse(packet.payload).unwrap();
            assert_eq!((event.event, event.duration), (5, heard_as), "{from} {to}");
        }
    }
}

#[test]
fn without_a_transcoder_another_codec_is_not_heard() {
    let (mut a, mut b) = pair(Codec::Opus, Codec::Pcma);
    b.hear_through(None).unwrap();
    let heard = pass(&mut a, &mut b, 0, &said(Codec::Opus, 1));
    assert_eq!(heard, Err(Reason::NotConverted));
    // One for another codec converts nothing either.
    let (_, mut other) = pair(Codec::Opus, Codec::G722);
    b.hear_through(other.hear_through(None));
    let heard = pass(&mut a, &mut b, 20, &said(Codec::Opus, 2));
    assert_eq!(heard, Err(Reason::NotConverted));
}

#[test]
fn a_clip_is_played_in_opus_and_a_key_in_its_clock() {
    let (_, mut b) = pair(Codec::Pcma, Codec::Opus);
    let clip = Clip::from_samples("x", &[1000; 480]);
    assert!(b.play(Arc::clone(&clip), PlayMode::Once, 9).is_none());
    assert_eq!(
        beats(&mut b, 0, 5),
        (vec![], vec![]),
        "it is not encoded yet"
    );
    clip.encode(Codec::Opus);
    let (sent, finished) = beats(&mut b, 100, 5);
    assert_eq!(finished, [(2, 9)]);
    let packets: Vec<Packet<'_>> = sent
        .iter()
        .map(|bytes| Packet::parse(bytes).unwrap())
        .collect();
    assert_eq!(packets.len(), 3);
    for (n, packet) in packets.iter().enumerate() {
        assert_eq!(packet.payload, clip.opus(n).unwrap());
        let on = packet.timestamp.wrapping_sub(packets[0].timestamp);
        assert_eq!(on, n as u32 * 960);
    }
    assert!(b.press('5'));
    let (sent, _) = beats(&mut b, 300, 6);
    let last = Packet::parse(&sent[5]).unwrap();
    let event = TelephoneEvent::parse(last.payload).unwrap();
    assert!(event.end);
    assert_eq!(u32::from(event.duration) % 960, 0);
    assert!(event.duration >= 80 * 48);
}
