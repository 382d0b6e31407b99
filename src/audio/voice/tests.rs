use super::*;
use std::f64::consts::TAU;

fn sine(frequency: f64, rate: u32, milliseconds: u32) -> Vec<i16> {
    (0..rate / 1000 * milliseconds)
        .map(|n| (TAU * frequency * f64::from(n) / f64::from(rate)).sin() * 8_000.0)
        .map(|sample| sample.round() as i16)
        .collect()
}

fn amplitude(samples: &[i16], frequency: f64, rate: u32) -> f64 {
    let (mut sin, mut cos) = (0.0, 0.0);
    for (n, &sample) in samples.iter().enumerate() {
        let angle = TAU * frequency * n as f64 / f64::from(rate);
        sin += f64::from(sample) * angle.sin();
        cos += f64::from(sample) * angle.cos();
    }
    2.0 * sin.hypot(cos) / samples.len() as f64
}

/// Through a codec in packets of `packet_ms`, at rates of their own on both sides.
fn heard(codec: Codec, samples: &[i16], rate_in: u32, rate_out: u32, packet_ms: u32) -> Vec<i16> {
    let mut encoder = Encoder::new(codec, rate_in).unwrap();
    let mut decoder = Decoder::new(codec, rate_out).unwrap();
    let mut heard = Vec::new();
    let (mut bytes, mut room) = ([0; 2_000], vec![0; most_samples(rate_out)]);
    for packet in samples.chunks((rate_in / 1000 * packet_ms) as usize) {
        let length = encoder.encode(packet, &mut bytes);
        assert!(length > 0);
        let made = decoder.decode(&bytes[..length], &mut room);
        assert_eq!(
            made as u32,
            rate_out / 1000 * packet_ms,
            "{codec} to {rate_out} Hz"
        );
        heard.extend_from_slice(&room[..made]);
    }
    heard
}

#[test]
fn every_codec_at_every_rate_carries_a_tone() {
    for codec in Codec::ALL {
        for rate_in in [8_000, 16_000, 48_000] {
            for rate_out in [8_000, 16_000, 48_000] {
                for packet_ms in [10, 20, 40, 60] {
                    let sound = sine(1_000.0, rate_in, 600);
                    let heard = heard(codec, &sound, rate_in, rate_out, packet_ms);
                    let late = &heard[heard.len() / 2..];
                    let level = 20.0 * (amplitude(late, 1_000.0, rate_out) / 8_000.0).log10();
                    assert!(
                        level.abs() < 1.5,
                        "{codec} {rate_in} to {rate_out} in {packet_ms} ms: {level:.2} dB"
                    );
                }
            }
        }
    }
}

#[test]
fn the_wide_codecs_carry_what_a_telephone_does_not() {
    for (codec, rate) in [(Codec::G722, 16_000), (Codec::Opus, 48_000)] {
        let sound = sine(6_000.0, rate, 1_000);
        let heard = heard(codec, &sound, rate, rate, 20);
        let level = amplitude(&heard[heard.len() / 2..], 6_000.0, rate);
        assert!(level > 4_000.0, "{codec}: {level}");
    }
}

#[test]
fn opus_fills_a_lost_packet_from_the_next() {
    let sound = sine(300.0, 16_000, 1_000);
    let tuning = Tuning {
        loss_percent: 30,
        ..Tuning::default()
    };
    let mut encoder = Encoder::tuned(Codec::Opus, 16_000, tuning).unwrap();
    let mut decoder = Decoder::new(Codec::Opus, 16_000).unwrap();
    let packets: Vec<Vec<u8>> = sound
        .chunks(320)
        .map(|packet| {
            let mut bytes = vec![0; 400];
            let length = encoder.encode(packet, &mut bytes);
            bytes.truncate(length);
            bytes
        })
        .collect();
    let mut room = [0; 320];
    for packet in &packets[..30] {
        assert_eq!(decoder.decode(packet, &mut room), 320);
    }
    assert_eq!(decoder.decode_fec(&packets[31], &mut room), 320);
    assert!(amplitude(&room, 300.0, 16_000) > 4_000.0);
    assert_eq!(decoder.decode(&packets[31], &mut room), 320);
    assert_eq!(decoder.conceal(&mut room), 320);
    assert!(amplitude(&room, 300.0, 16_000) > 2_000.0);
}

#[test]
fn nonsense_is_no_sound() {
    let mut room = [0; 5_760];
    let mut opus = Decoder::new(Codec::Opus, 48_000).unwrap();
    assert_eq!(opus.decode(&[], &mut room), 0);
    assert_eq!(opus.decode(&[0xff, 0xff, 0xff], &mut room), 0);
    let mut bytes = [0; 100];
    let mut encoder = Encoder::new(Codec::Opus, 8_000).unwrap();
    assert_eq!(
        encoder.encode(&[0; 100], &mut bytes),
        0,
        "12.5 ms is no frame of Opus"
    );
    for codec in Codec::ALL {
        assert!(Decoder::new(codec, 44_100).is_err());
        assert!(Encoder::new(codec, 24_000).is_err());
    }
}

#[test]
fn complexity_can_be_changed_on_the_way() {
    let mut encoder = Encoder::new(Codec::Opus, 48_000).unwrap();
    let sound = sine(440.0, 48_000, 20);
    let mut bytes = [0; 400];
    for complexity in [0, 3, 5, 10, 99] {
        encoder.set_complexity(complexity);
        assert!(encoder.encode(&sound, &mut bytes) > 0);
    }
}
