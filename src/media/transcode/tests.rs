use super::*;
use crate::audio::{g711, voice};
use proptest::prelude::*;
use std::f64::consts::TAU;

fn recipe(from: Codec, to: Codec, packet_ms: u32) -> Recipe {
    Recipe {
        from,
        to,
        packet_ms,
        opus: (to == Codec::Opus).then(OpusFormat::default),
    }
}

/// A speaker with a tone of 1 kHz.
struct Speaker {
    encoder: Encoder,
    packet_ms: u32,
    sequence: u16,
    timestamp: u32,
    said: u64,
}

impl Speaker {
    fn new(codec: Codec, packet_ms: u32) -> Speaker {
        Speaker {
            encoder: Encoder::new(codec, 16_000).unwrap(),
            packet_ms,
            sequence: 65_530,
            timestamp: u32::MAX - 3_000,
            said: 0,
        }
    }

    fn ticks(&self) -> u32 {
        self.encoder.codec().clock_rate() / 1000 * self.packet_ms
    }

    fn say(&mut self) -> (u16, u32, Vec<u8>) {
        let count = u64::from(16 * self.packet_ms);
        let samples: Vec<i16> = (self.said..self.said + count)
            .map(|n| ((TAU * n as f64 / 16.0).sin() * 8_000.0) as i16)
            .collect();
        self.said += count;
        let mut bytes = vec![0; 1_500];
        let length = self.encoder.encode(&samples, &mut bytes);
        assert!(length > 0);
        bytes.truncate(length);
        let said = (self.sequence, self.timestamp, bytes);
        self.sequence = self.sequence.wrapping_add(1);
        self.timestamp = self.timestamp.wrapping_add(self.ticks());
        said
    }
}

type Heard = (u16, u32, bool, u32, Vec<u8>);

fn take(
    transcoder: &mut Transcoder,
    (sequence, timestamp, payload): &(u16, u32, Vec<u8>),
) -> Result<Vec<Heard>, Reason> {
    let packet = Packet {
        payload_type: 0,
        marker: false,
        sequence: *sequence,
        timestamp: *timestamp,
        ssrc: 7,
        payload,
    };
    let mut heard = Vec::new();
    transcoder.take(Mono::ZERO, &packet, |frame| {
        heard.push((
            frame.sequence,
            frame.timestamp,
            frame.marker,
            frame.ticks,
            frame.payload.to_vec(),
        ));
    })?;
    Ok(heard)
}

/// How loud 1 kHz is in what was heard, of 8,000; the first third is left out.
fn loudness(codec: Codec, heard: &[Heard]) -> f64 {
    let mut decoder = voice::Decoder::new(codec, 8_000).unwrap();
    let mut samples = Vec::new();
    let mut room = [0; 960];
    for (.., payload) in heard {
        let made = decoder.decode(payload, &mut room);
        samples.extend_from_slice(&room[..made]);
    }
    let late = &samples[samples.len() / 3..];
    let whole = late.len() / 8 * 8;
    let (mut sin, mut cos) = (0.0, 0.0);
    for (n, &sample) in late[..whole].iter().enumerate() {
        sin += f64::from(sample) * (TAU * n as f64 / 8.0).sin();
        cos += f64::from(sample) * (TAU * n as f64 / 8.0).cos();
    }
    2.0 * sin.hypot(cos) / whole as f64
}

#[test]
fn every_pair_at_every_packet_time_is_one_stream_with_the_tone() {
    for from in Codec::ALL {
        for to in Codec::ALL {
            for (packet_in, packet_out) in [(20, 20), (10, 20), (20, 60), (60, 20), (40, 10)] {
                let mut speaker = Speaker::new(from, packet_in);
                let mut transcoder = Transcoder::new(recipe(from, to, packet_out), 1, 5).unwrap();
                let mut heard = Vec::new();
                for _ in 0..600 / packet_in {
                    heard.extend(take(&mut transcoder, &speaker.say()).unwrap());
                }
                let what = format!("{from} {packet_in} ms to {to} {packet_out} ms");
                assert_eq!(heard.len() as u32, 600 / packet_out, "{what}");
                let ticks = to.clock_rate() / 1000 * packet_out;
                for (n, (sequence, timestamp, marker, lasts, _)) in heard.iter().enumerate() {
                    assert_eq!(*sequence, n as u16, "{what}");
                    assert_eq!(*timestamp, n as u32 * ticks, "{what}");
                    assert_eq!((*marker, *lasts), (n == 0, ticks), "{what}");
                }
                let loud = loudness(to, &heard);
                assert!((6_500.0..9_500.0).contains(&loud), "{what}: {loud}");
            }
        }
    }
}

#[test]
fn a_loss_stays_a_gap_in_numbers_and_in_time() {
    for (packet_in, packet_out, lost) in [(20, 20, 3), (10, 20, 5), (20, 60, 9), (60, 20, 2)] {
        let mut speaker = Speaker::new(Codec::Pcma, packet_in);
        let mut transcoder =
            Transcoder::new(recipe(Codec::Pcma, Codec::G722, packet_out), 1, 5).unwrap();
        let mut heard = Vec::new();
        for n in 0..60 {
            let said = speaker.say();
            if !(30..30 + lost).contains(&n) {
                heard.extend(take(&mut transcoder, &said).unwrap());
            }
        }
        let all = 60 * packet_in / packet_out;
        let (sequence, timestamp, ..) = heard[heard.len() - 1];
        assert_eq!(u32::from(sequence), all - 1, "{packet_in} {packet_out}");
        assert_eq!(timestamp, (all - 1) * packet_out * 8);
        let missing = all as usize - heard.len();
        let whole = (lost * packet_in / packet_out) as usize;
        assert!(
            (whole - 1..=whole).contains(&missing),
            "{packet_in} {packet_out}: {missing}"
        );
    }
}

#[test]
fn opus_fills_short_losses_by_itself() {
    let mut speaker = Speaker::new(Codec::Opus, 20);
    let mut transcoder = Transcoder::new(recipe(Codec::Opus, Codec::Pcmu, 20), 1, 5).unwrap();
    let mut heard = Vec::new();
    for n in 0..60 {
        let said = speaker.say();
        if ![20, 30, 31].contains(&n) && !(40..50).contains(&n) {
            heard.extend(take(&mut transcoder, &said).unwrap());
        }
    }
    let numbers: Vec<u16> = heard.iter().map(|heard| heard.0).collect();
    let expected: Vec<u16> = (0..40).chain(50..60).collect();
    assert_eq!(
        numbers, expected,
        "only what is too long to be guessed is missing"
    );
    assert!(
        heard
            .iter()
            .all(|heard| heard.1 == u32::from(heard.0) * 160)
    );
}

#[test]
fn a_pause_takes_time_and_no_number() {
    let mut speaker = Speaker::new(Codec::G722, 20);
    let mut transcoder = Transcoder::new(recipe(Codec::G722, Codec::Opus, 20), 1, 5).unwrap();
    let mut heard = Vec::new();
    for n in 0..20 {
        if n == 10 {
            speaker.timestamp = speaker.timestamp.wrapping_add(8 * 1_000);
        }
        heard.extend(take(&mut transcoder, &speaker.say()).unwrap());
    }
    assert_eq!(heard.len(), 20);
    assert_eq!(heard[10].0, 10);
    assert_eq!(heard[10].1, (10 * 20 + 1_000) * 48);
    assert!(heard[10].2, "sound begins anew");
    assert!(!heard[11].2);
}

#[test]
fn late_packets_and_nonsense_are_left_out() {
    let mut speaker = Speaker::new(Codec::Opus, 20);
    let mut transcoder = Transcoder::new(recipe(Codec::Opus, Codec::Pcma, 20), 1, 5).unwrap();
    let first = speaker.say();
    let second = speaker.say();
    let third = speaker.say();
    assert_eq!(take(&mut transcoder, &first).unwrap().len(), 1);
    assert_eq!(
        take(&mut transcoder, &third).unwrap().len(),
        2,
        "the second was made up"
    );
    assert_eq!(take(&mut transcoder, &second), Err(Reason::Late));
    assert_eq!(take(&mut transcoder, &third), Err(Reason::Late));
    let mut broken = speaker.say();
    broken.2 = vec![0xff; 3];
    assert_eq!(take(&mut transcoder, &broken), Err(Reason::Malformed));
    let heard = take(&mut transcoder, &speaker.say()).unwrap();
    assert_eq!(
        heard.len(),
        2,
        "what was broken counts as lost, and is made up"
    );
    assert_eq!(heard[1].0, 4);
}

#[test]
fn an_event_has_its_place_in_time() {
    let mut speaker = Speaker::new(Codec::Pcma, 20);
    let mut transcoder = Transcoder::new(recipe(Codec::Pcma, Codec::Opus, 20), 1, 5).unwrap();
    for _ in 0..5 {
        take(&mut transcoder, &speaker.say()).unwrap();
    }
    let event = |speaker: &mut Speaker, transcoder: &mut Transcoder, timestamp| {
        let packet = Packet {
            payload_type: 101,
            marker: false,
            sequence: speaker.sequence,
            timestamp,
            ssrc: 7,
            payload: &[1, 10, 0, 160],
        };
        speaker.sequence = speaker.sequence.wrapping_add(1);
        transcoder.pass(&packet)
    };
    let timestamp = speaker.timestamp;
    for n in 0..3 {
        let place = event(&mut speaker, &mut transcoder, timestamp);
        assert_eq!(place, Some((5 + n, 5 * 960)));
    }
    // Sound goes on behind it, and a repeated end still belongs to the same moment.
    speaker.timestamp = speaker.timestamp.wrapping_add(3 * 160);
    let heard = take(&mut transcoder, &speaker.say()).unwrap();
    assert_eq!((heard[0].0, heard[0].1), (8, 8 * 960));
    assert_eq!(
        event(&mut speaker, &mut transcoder, timestamp),
        Some((9, 5 * 960))
    );
}

#[test]
fn a_listeners_wishes_count() {
    let agreed = |codec, opus| Agreed {
        remote: None,
        codec,
        send_payload_type: 0,
        receive_payload_type: 0,
        telephone_event: None,
        event_clock_rate: 8_000,
        opus,
        packet_time_ms: 40,
        max_packet_time_ms: None,
        direction: crate::sdp::negotiate::Direction::SendRecv,
        crypto: None,
        rtcp_mux: false,
        rtcp: None,
    };
    let wishes = OpusFormat {
        max_playback_hz: 8_000,
        max_bitrate: Some(8_000),
        ..OpusFormat::default()
    };
    let speaker = agreed(Codec::G722, None);
    let listener = agreed(Codec::Opus, Some(wishes));
    let recipe = Recipe::between(&speaker, &listener).unwrap();
    assert_eq!((recipe.packet_ms, recipe.rate_hz()), (40, 8_000));
    assert_eq!(recipe.tuning(3).bitrate, Some(8_000));
    assert_eq!(Recipe::between(&listener, &listener), None);
    assert_eq!(
        Recipe::between(&agreed(Codec::Pcmu, None), &agreed(Codec::Pcma, None)),
        None,
        "a table does that"
    );
    assert_eq!(
        Recipe::between(&listener, &speaker).unwrap().rate_hz(),
        16_000
    );
}

#[test]
fn longer_packets_than_a_listener_takes_are_cut_octet_by_octet() {
    let octets: Vec<u8> = (0..=255)
        .chain((0..=255).rev())
        .cycle()
        .take(3_200)
        .collect();
    let same: fn(u8) -> u8 = |octet| octet;
    for (from, to, heard_as) in [
        (Codec::Pcmu, Codec::Pcmu, same),
        (Codec::Pcma, Codec::Pcma, same),
        (Codec::G722, Codec::G722, same),
        (Codec::Pcmu, Codec::Pcma, g711::ulaw_to_alaw),
        (Codec::Pcma, Codec::Pcmu, g711::alaw_to_ulaw),
    ] {
        for (packet_in, packet_out) in [(40, 20), (60, 20), (30, 20), (50, 40), (20, 10)] {
            let mut transcoder = Transcoder::new(recipe(from, to, packet_out), 1, 5).unwrap();
            let mut heard = Vec::new();
            for (n, part) in (0u16..).zip(octets.chunks_exact(packet_in * 8)) {
                let at = (u32::from(n) * packet_in as u32 * 8).wrapping_sub(800);
                heard.extend(
                    take(&mut transcoder, &(n.wrapping_sub(3), at, part.to_vec())).unwrap(),
                );
            }
            for pair in heard.windows(2) {
                assert_eq!(pair[1].0, pair[0].0.wrapping_add(1));
                assert_eq!(pair[1].1, pair[0].1.wrapping_add(packet_out * 8));
            }
            assert!(
                heard
                    .iter()
                    .all(|packet| packet.4.len() as u32 == packet_out * 8)
            );
            let all: Vec<u8> = heard.iter().flat_map(|packet| packet.4.clone()).collect();
            assert!(all.len() + 480 > octets.len(), "{from} {to}");
            let expected: Vec<u8> = octets.iter().map(|&octet| heard_as(octet)).collect();
            assert_eq!(
                all,
                expected[..all.len()],
                "{from} {to} {packet_in} {packet_out}"
            );
        }
    }
}

#[test]
fn a_loss_among_cut_packets_stays_a_gap_and_half_of_one_is_silence() {
    let mut transcoder = Transcoder::new(recipe(Codec::Pcmu, Codec::Pcmu, 20), 1, 5).unwrap();
    let mut heard = Vec::new();
    // 30 ms each; the third one is lost.
    for n in [0u16, 1, 3, 4] {
        let said = (n, u32::from(n) * 240, vec![n as u8 + 1; 240]);
        heard.extend(take(&mut transcoder, &said).unwrap());
    }
    let starts: Vec<(u32, u8, u8)> = heard
        .iter()
        .map(|packet| (packet.1, packet.4[0], packet.4[159]))
        .collect();
    assert_eq!(
        starts,
        [
            (0, 1, 1),
            (160, 1, 2),
            (320, 2, 2),
            (640, 0xff, 4),
            (800, 4, 4),
            (960, 5, 5)
        ]
    );
    assert_eq!(heard[3].0, heard[2].0 + 2, "a number is missing too");
}

#[test]
fn equal_codecs_pass_unless_packets_are_longer_than_the_listener_takes() {
    let agreed = |codec, packet_time_ms, max_packet_time_ms| Agreed {
        remote: None,
        codec,
        send_payload_type: 0,
        receive_payload_type: 0,
        telephone_event: None,
        event_clock_rate: 8_000,
        opus: None,
        packet_time_ms,
        max_packet_time_ms,
        direction: crate::sdp::negotiate::Direction::SendRecv,
        crypto: None,
        rtcp_mux: false,
        rtcp: None,
    };
    for (from, to) in [
        (Codec::Pcmu, Codec::Pcmu),
        (Codec::Pcma, Codec::Pcmu),
        (Codec::G722, Codec::G722),
        (Codec::Opus, Codec::Opus),
    ] {
        let between = |speaks, wants, most| {
            let recipe = Recipe::between(&agreed(from, speaks, None), &agreed(to, wants, most));
            recipe.map(|recipe| recipe.packet_ms)
        };
        assert_eq!(between(40, 20, Some(20)), Some(20));
        assert_eq!(between(60, 10, Some(20)), Some(10));
        assert_eq!(between(20, 10, Some(10)), Some(10));
        for passes in [None, Some(40), Some(60)] {
            assert_eq!(between(40, 20, passes), None);
        }
        // Less than we can make: nothing would be gained.
        assert_eq!(between(20, 20, Some(5)), None);
    }
}

#[test]
fn a_listener_that_wants_no_silence_is_sent_none() {
    let wishes = OpusFormat {
        dtx: true,
        ..OpusFormat::default()
    };
    let recipe = Recipe {
        opus: Some(wishes),
        ..recipe(Codec::Pcma, Codec::Opus, 20)
    };
    let mut transcoder = Transcoder::new(recipe, 1, 5).unwrap();
    let mut heard = Vec::new();
    for n in 0..100u16 {
        let silence = (n, u32::from(n) * 160, vec![0xd5; 160]);
        heard.extend(take(&mut transcoder, &silence).unwrap());
    }
    assert!(heard.len() < 60, "{}", heard.len());
    assert!(
        heard
            .iter()
            .enumerate()
            .all(|(n, heard)| heard.0 == n as u16)
    );
}

/// Numbers in the order in which they come, and which of them are not among what is heard.
fn missing(from: Codec, to: Codec, order: &[u16]) -> Vec<u16> {
    let mut speaker = Speaker::new(from, 20);
    let first = speaker.sequence;
    let count = order.iter().max().map_or(0, |most| most + 1);
    let said: Vec<_> = (0..count).map(|_| speaker.say()).collect();
    let mut transcoder = Transcoder::new(recipe(from, to, 20), 1, 5).unwrap();
    let mut heard = Vec::new();
    for &n in order {
        let one = &said[usize::from(n)];
        assert_eq!(one.0, first.wrapping_add(n));
        heard.extend(take(&mut transcoder, one).unwrap_or_default());
    }
    transcoder.release(None, |frame| {
        heard.push((
            frame.sequence,
            frame.timestamp,
            frame.marker,
            frame.ticks,
            frame.payload.to_vec(),
        ));
    });
    let ticks = to.clock_rate() / 50;
    assert!(
        heard.windows(2).all(|pair| pair[0].0 < pair[1].0),
        "in order"
    );
    for one in &heard {
        assert_eq!(one.1, u32::from(one.0) * ticks);
    }
    (0..count)
        .filter(|n| heard.iter().all(|one| one.0 != *n))
        .collect()
}

#[test]
fn packets_that_overtake_each_other_are_heard_in_order_but_for_the_first() {
    for (from, to) in [(Codec::G722, Codec::Pcmu), (Codec::Pcma, Codec::Opus)] {
        // Every tenth packet comes behind the one after it.
        let order: Vec<u16> = (0..200)
            .map(|n| match n % 10 {
                4 => n + 1,
                5 => n - 1,
                _ => n,
            })
            .collect();
        assert_eq!(missing(from, to, &order), [4], "{from} {to}");
        // Each fourth one is 50 ms late: behind two others.
        let mut order: Vec<u16> = (0..200).collect();
        order.sort_by_key(|n| n * 20 + if n % 4 == 2 { 50 } else { 0 });
        assert_eq!(missing(from, to, &order), [2], "{from} {to}");
        // With losses, which are gaps as ever.
        let order: Vec<u16> = order.into_iter().filter(|n| n % 9 != 3).collect();
        let lost: Vec<u16> = (0..200).filter(|n| n % 9 == 3 || *n == 2).collect();
        assert_eq!(missing(from, to, &order), lost, "{from} {to}");
    }
}

#[test]
fn opus_has_little_to_make_up_where_packets_overtake_each_other() {
    let mut order: Vec<u16> = (0..100).collect();
    order.sort_by_key(|n| n * 20 + if n % 6 == 2 { 30 } else { 0 });
    assert_eq!(missing(Codec::Opus, Codec::Pcmu, &order), [0u16; 0]);
}

/// Syllables of a buzzing voice at 16 kHz, 60 ms long, 60 ms apart.
fn syllables(count: usize) -> Vec<i16> {
    let sample = |n: usize| {
        let at = n as f64 / 16_000.0;
        let harmonics = (1..12).map(|k| (TAU * 140.0 * f64::from(k) * at).sin() / f64::from(k));
        let is_on = (n / 960).is_multiple_of(2);
        (if is_on {
            harmonics.sum::<f64>() * 6_000.0
        } else {
            0.0
        }) as i16
    };
    (0..count).map(sample).collect()
}

#[test]
fn the_copy_in_the_next_packet_stands_for_a_lost_one() {
    let tuning = Tuning {
        fec: true,
        loss_percent: 10,
        ..Tuning::default()
    };
    let sound = syllables(124 * 320);
    let power = |samples: &[i16]| -> f64 { samples.iter().map(|&s| f64::from(s).powi(2)).sum() };
    // The loss of the beginning of a syllable, which nobody can guess: how much of its power is heard all the same.
    let heard = |lost: Option<usize>, tuning| {
        let mut encoder = Encoder::tuned(Codec::Opus, 16_000, tuning).unwrap();
        let mut transcoder = Transcoder::new(recipe(Codec::Opus, Codec::G722, 20), 1, 5).unwrap();
        let mut decoder = voice::Decoder::new(Codec::G722, 16_000).unwrap();
        let mut all = Vec::new();
        for (n, frame) in sound.chunks(320).enumerate() {
            let mut bytes = vec![0; 1_500];
            let length = encoder.encode(frame, &mut bytes);
            bytes.truncate(length);
            if lost == Some(n) {
                continue;
            }
            let said = (n as u16, n as u32 * 960, bytes);
            for (.., payload) in take(&mut transcoder, &said).unwrap() {
                let mut room = [0; 1_920];
                let made = decoder.decode(&payload, &mut room);
                all.extend_from_slice(&room[..made]);
            }
        }
        assert_eq!(all.len(), sound.len());
        all
    };
    let without = Tuning {
        fec: false,
        ..tuning
    };
    let nothing_lost = heard(None, tuning);
    let (mut by_copy, mut by_guess) = (0.0, 0.0);
    for lost in [96, 102, 108, 114, 120] {
        // What Opus and G.722 delay is less than 10 ms.
        let place = lost * 320 + 160..lost * 320 + 480;
        let whole = power(&nothing_lost[place.clone()]);
        by_copy += power(&heard(Some(lost), tuning)[place.clone()]) / whole / 5.0;
        by_guess += power(&heard(Some(lost), without)[place]) / whole / 5.0;
    }
    assert!((0.5..1.5).contains(&by_copy), "{by_copy}");
    assert!(by_guess < by_copy / 2.0, "{by_guess} {by_copy}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn any_packets_make_a_stream_that_goes_on(
        packets in proptest::collection::vec(
            (any::<u16>(), any::<u32>(), 0u8..8, proptest::collection::vec(any::<u8>(), 0..200)), 1..60),
        from in 0usize..4, to in 0usize..4,
    ) {
        let (from, to) = (Codec::ALL[from], Codec::ALL[to]);
        let mut transcoder = Transcoder::new(recipe(from, to, 20), 1, 0).unwrap();
        let (mut sequence, mut timestamp) = (0u16, 0u32);
        for (jump, leap, kind, payload) in packets {
            match kind {
                0 => sequence = jump,
                1 => timestamp = leap,
                2 => sequence = sequence.wrapping_add(jump % 20),
                _ => sequence = sequence.wrapping_add(1),
            }
            timestamp = timestamp.wrapping_add(160);
            let packet = Packet {
                payload_type: 0, marker: false, sequence, timestamp, ssrc: 7, payload: &payload,
            };
            if kind == 7 {
                let _ = transcoder.pass(&packet);
            } else {
                let _ = transcoder.take(Mono::ZERO, &packet, |frame| assert!(!frame.payload.is_empty()));
            }
        }
    }
}
