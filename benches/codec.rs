//! CPU of converting a packet of 20 ms between codecs, beside relaying it, and beside the two system calls that any relay
//! makes for it. `cargo bench --bench codec [-- PACKETS]`.

use std::hint::black_box;
use std::io;
use std::net::UdpSocket;
use std::time::{Duration, Instant};

use vats::audio::resample::stream::Resampler;
use vats::audio::voice::Encoder;
use vats::media::transcode::{Recipe, Transcoder};
use vats::rtp::packet::Packet;
use vats::sdp::negotiate::Codec;

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let count: u32 = numbers.next().unwrap_or(3_000);
    let bare = system_calls(count)?;
    println!("{count} packets of 20 ms each; bare: receive and send of one packet over loopback\n");
    println!("| what | per packet | x bare |");
    println!("|---|---|---|");
    line("bare", bare, bare);
    for (from, to) in [
        (Codec::Pcmu, Codec::G722),
        (Codec::G722, Codec::Pcmu),
        (Codec::Opus, Codec::Pcmu),
        (Codec::Opus, Codec::G722),
    ] {
        line(
            &format!("{from} to {to}"),
            convert(from, to, 5, count),
            bare,
        );
    }
    for from in [Codec::Pcmu, Codec::G722] {
        for complexity in [5, 3, 0] {
            let each = convert(from, Codec::Opus, complexity, count);
            line(
                &format!("{from} to opus, complexity {complexity}"),
                each,
                bare,
            );
        }
    }
    for (from, to) in [
        (8_000, 16_000),
        (16_000, 8_000),
        (8_000, 48_000),
        (48_000, 8_000),
    ] {
        line(
            &format!("resampling {from} to {to} Hz"),
            resample(from, to, count),
            bare,
        );
    }
    Ok(())
}

fn line(what: &str, each: Duration, bare: Duration) {
    let ratio = each.as_secs_f64() / bare.as_secs_f64();
    println!(
        "| {what} | {:.2} µs | {ratio:.2} |",
        each.as_secs_f64() * 1e6
    );
}

fn system_calls(count: u32) -> io::Result<Duration> {
    let (a, b) = (
        UdpSocket::bind("127.0.0.1:0")?,
        UdpSocket::bind("127.0.0.1:0")?,
    );
    let to = b.local_addr()?;
    let mut room = [0u8; 1_500];
    let began = Instant::now();
    for _ in 0..count {
        a.send_to(&[0x80; 172], to)?;
        b.recv_from(&mut room)?;
    }
    Ok(began.elapsed() / count)
}

/// Speech-like: two tones that come and go.
fn speech(rate: u32, from: usize, count: usize) -> Vec<i16> {
    (from..from + count)
        .map(|n| {
            let at = n as f64 / f64::from(rate);
            let swell = (at * 3.0 * std::f64::consts::TAU).sin().abs();
            let sound = (at * 220.0 * std::f64::consts::TAU).sin()
                + 0.5 * (at * 1_130.0 * std::f64::consts::TAU).sin();
            (sound * swell * 6_000.0) as i16
        })
        .collect()
}

fn convert(from: Codec, to: Codec, complexity: u8, count: u32) -> Duration {
    let recipe = Recipe {
        from,
        to,
        packet_ms: 20,
        opus: (to == Codec::Opus).then(Default::default),
    };
    let mut transcoder = Transcoder::new(recipe, 1, complexity).expect("known codecs");
    let mut encoder = Encoder::new(from, 16_000).expect("known codecs");
    let payloads: Vec<Vec<u8>> = (0..count as usize)
        .map(|n| {
            let mut bytes = vec![0; 1_500];
            let length = encoder.encode(&speech(16_000, n * 320, 320), &mut bytes);
            bytes.truncate(length);
            bytes
        })
        .collect();
    let ticks = from.clock_rate() / 50;
    let mut made = 0;
    let began = Instant::now();
    for (n, payload) in (0u32..).zip(&payloads) {
        let packet = Packet {
            payload_type: 0,
            marker: false,
            sequence: n as u16,
            timestamp: n * ticks,
            ssrc: 1,
            payload,
        };
        let taken = transcoder.take(&packet, |frame| made += frame.payload.len());
        assert!(taken.is_ok(), "{taken:?}");
    }
    let took = began.elapsed();
    assert!(black_box(made) > 0);
    took / count
}

fn resample(from: u32, to: u32, count: u32) -> Duration {
    let mut resampler = Resampler::new(from, to).expect("known rates");
    let sound = speech(from, 0, from as usize / 50);
    let mut room = vec![0; to as usize / 50];
    let began = Instant::now();
    for _ in 0..count {
        black_box(resampler.process(black_box(&sound), &mut room));
    }
    began.elapsed() / count
}
