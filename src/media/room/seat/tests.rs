use std::f64::consts::TAU;

use super::*;
use crate::audio::goertzel;

/// Packets of a tone, 20 ms each.
fn packets(codec: Codec, hertz: f64, count: usize) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, 16_000).unwrap();
    let sample = |n: usize| (8000.0 * (TAU * hertz * n as f64 / 16_000.0).sin()) as i16;
    let frames = (0..count).map(|frame| {
        let samples: Vec<i16> = (0..320).map(|n| sample(frame * 320 + n)).collect();
        let mut payload = vec![0; 1500];
        let length = encoder.encode(&samples, &mut payload);
        payload.truncate(length);
        payload
    });
    frames.collect()
}

/// What is said in a room at `rate_hz` when each packet comes `lost` says not.
fn said(codec: Codec, rate_hz: u32, lost: impl Fn(usize) -> bool) -> Vec<i16> {
    let mut seat = Seat::new(0, Role::Member, codec, rate_hz).unwrap();
    let ticks = codec.clock_rate() / 50;
    let mut all = Vec::new();
    for (n, payload) in packets(codec, 440.0, 60).iter().enumerate() {
        let at = n as u64 * 20_000;
        let packet = Packet {
            payload_type: 0,
            marker: n == 0,
            sequence: n as u16,
            timestamp: n as u32 * ticks,
            ssrc: 1,
            payload,
        };
        if !lost(n) {
            assert!(seat.take_in(Mono::from_micros(at + 1000), &packet, codec));
        }
        seat.pull(Mono::from_micros(at + 15_000));
        all.extend_from_slice(seat.sound());
    }
    assert!(seat.speaks());
    all
}

#[test]
fn a_tone_comes_through_every_codec_at_every_rate() {
    for codec in Codec::ALL {
        for rate_hz in [8_000, 16_000, 48_000] {
            let all = said(codec, rate_hz, |_| false);
            let end = &all[all.len() / 2..];
            // The detector works at 8 kHz.
            let scaled = 440.0 * 8_000.0 / f64::from(rate_hz);
            assert!(goertzel::share(end, scaled) > 0.95, "{codec} {rate_hz}");
        }
    }
}

#[test]
fn losses_are_concealed() {
    for codec in Codec::ALL {
        let all = said(codec, 8_000, |n| n % 10 == 7);
        let end = &all[all.len() / 2..];
        assert!(goertzel::share(end, 440.0) > 0.8, "{codec}");
        // No frame is silent. Opus makes up a tone more softly than what repeats its periods.
        let least = if codec == Codec::Opus { -40.0 } else { -26.0 };
        for frame in end.chunks(160) {
            assert!(goertzel::rms_dbfs(frame) > least, "{codec}");
        }
    }
}

#[test]
fn packets_are_made_as_long_as_they_are_wanted() {
    for (packet_ms, frames, bytes, ticks) in
        [(20, 1, 160, 160), (30, 3, 240, 240), (60, 3, 480, 480)]
    {
        let mut seat = Seat::new(0, Role::Member, Codec::Pcma, 8_000).unwrap();
        let mut payload = [0; 1500];
        let mut made = 0;
        for _ in 0..frames {
            seat.hear(|own, out| {
                assert_eq!(own, None);
                out.fill(100);
            });
            while let Some(packet) = seat.encode(packet_ms, &mut payload) {
                assert_eq!(packet, (bytes, ticks));
                made += 1;
            }
        }
        assert_eq!(made, frames * 20 / packet_ms as usize);
    }
}

#[test]
fn what_was_not_heard_goes_on() {
    let mut before = Seat::new(0, Role::Member, Codec::Pcma, 8_000).unwrap();
    for n in 0..3u16 {
        let packet = Packet {
            payload_type: 8,
            marker: false,
            sequence: n,
            timestamp: u32::from(n) * 160,
            ssrc: 1,
            payload: &[n as u8; 160],
        };
        before.take_in(Mono::ZERO, &packet, Codec::Pcma);
    }
    let mut seat = Seat::new(0, Role::Listener, Codec::Pcma, 16_000).unwrap();
    seat.succeed(&mut before);
    for n in 0..3 {
        let (packet, codec) = seat.drain().unwrap();
        assert_eq!(
            (packet.sequence, packet.payload[0], codec),
            (n, n as u8, Codec::Pcma)
        );
    }
    assert!(seat.drain().is_none() && before.drain().is_none());
}
