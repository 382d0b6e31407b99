//! What a packet of 20 ms costs in the small: converted between codecs, resampled, protected, mixed. No sockets; what the
//! whole path costs is in the media benchmark. `cargo bench --bench codec`.

#[path = "budget/mod.rs"]
mod budget;

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, criterion_group};
use vats::audio::mix::Mix;
use vats::audio::resample::stream::Resampler;
use vats::audio::voice::Encoder;
use vats::audio::wav;
use vats::ledger::clock::Mono;
use vats::media::transcode::{Frame, Recipe, Transcoder};
use vats::rtp::packet::Packet;
use vats::rtp::srtp::{LONGEST_MATERIAL, MasterKey, Mki, Protect, Suite, Unprotect};
use vats::sdp::negotiate::Codec;

use self::budget::{Limit, Row};

const PROMPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prompts/greeting.wav");

/// Frames of 20 ms of a prompt at 8 kHz.
fn speech() -> Vec<Vec<i16>> {
    let bytes = std::fs::read(PROMPT).unwrap();
    let (rate, channels) = wav::read_channels(&bytes).unwrap();
    assert_eq!(rate, 8_000);
    channels[0].chunks_exact(160).map(<[i16]>::to_vec).collect()
}

/// The same in a codec.
fn packets(codec: Codec) -> Vec<Vec<u8>> {
    let mut encoder = Encoder::new(codec, 8_000).unwrap();
    let encode = |frame: Vec<i16>| {
        let mut bytes = vec![0; 1_500];
        let length = encoder.encode(&frame, &mut bytes);
        bytes.truncate(length);
        bytes
    };
    speech().into_iter().map(encode).collect()
}

fn converting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("convert");
    let pairs = [
        (Codec::Pcmu, Codec::G722, 0),
        (Codec::G722, Codec::Pcmu, 0),
        (Codec::Opus, Codec::Pcmu, 0),
        (Codec::Opus, Codec::G722, 0),
        (Codec::Pcmu, Codec::Opus, 5),
        (Codec::Pcmu, Codec::Opus, 3),
        (Codec::Pcmu, Codec::Opus, 0),
        (Codec::G722, Codec::Opus, 5),
        (Codec::G722, Codec::Opus, 0),
    ];
    for (from, to, complexity) in pairs {
        let opus = (to == Codec::Opus).then(Default::default);
        let recipe = Recipe {
            from,
            to,
            packet_ms: 20,
            opus,
        };
        let mut transcoder = Transcoder::new(recipe, 1, complexity).unwrap();
        let payloads = packets(from);
        let mut number = 0u32;
        let name = match to {
            Codec::Opus => format!("{from} to {to}, complexity {complexity}"),
            _ => format!("{from} to {to}"),
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let packet = Packet {
                    payload_type: 0,
                    marker: false,
                    sequence: number as u16,
                    timestamp: number.wrapping_mul(from.clock_rate() / 50),
                    ssrc: 1,
                    payload: &payloads[number as usize % payloads.len()],
                };
                let at = Mono::from_micros(u64::from(number) * 20_000);
                number = number.wrapping_add(1);
                let mut made = 0;
                transcoder
                    .take(at, &packet, |frame: Frame<'_>| made += frame.payload.len())
                    .unwrap();
                made
            });
        });
    }
    group.finish();
}

fn resampling(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("resample");
    for (from, to) in [
        (8_000, 16_000),
        (16_000, 8_000),
        (8_000, 48_000),
        (48_000, 8_000),
    ] {
        let mut resampler = Resampler::new(from, to).unwrap();
        let sound: Vec<i16> = speech().concat()[..from as usize / 50].to_vec();
        let mut room = vec![0; to as usize / 50 + 8];
        group.bench_function(format!("{from} to {to} Hz"), |bencher| {
            bencher.iter(|| resampler.process(black_box(&sound), &mut room));
        });
    }
    group.finish();
}

fn protecting(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("SRTP, there and back");
    for suite in [Suite::AesCm128HmacSha1Tag80, Suite::AeadAes128Gcm] {
        let key = MasterKey::from_random(suite, [7; LONGEST_MATERIAL]);
        let mut protect = Protect::new(&key).unwrap();
        let mut unprotect = Unprotect::new(&key, &Mki::new(&[]).unwrap()).unwrap();
        let mut room = [0u8; 200];
        let mut sequence = 0u16;
        group.bench_function(suite.as_str(), |bencher| {
            bencher.iter(|| {
                room[..12].copy_from_slice(&[0x80, 8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
                room[2..4].copy_from_slice(&sequence.to_be_bytes());
                sequence = sequence.wrapping_add(1);
                let length = protect.rtp(&mut room, 172).unwrap();
                unprotect.rtp(&mut room[..length]).unwrap()
            });
        });
    }
    group.finish();
}

fn mixing(criterion: &mut Criterion) {
    let frames = speech();
    let mut mix = Mix::new(160);
    let mut out = [0; 160];
    criterion.bench_function("mix/100 parties at 8 kHz", |bencher| {
        bencher.iter(|| {
            let parties = || frames.iter().cycle().take(100);
            mix.begin(160);
            parties().for_each(|frame| mix.add(frame));
            for frame in parties() {
                mix.without(frame, &mut out);
                black_box(&out);
            }
        });
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(200))
        .measurement_time(Duration::from_millis(700));
    targets = converting, resampling, protecting, mixing
}

fn main() -> std::io::Result<()> {
    benches();
    Criterion::default().configure_from_args().final_summary();
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let row = |what, name| Row::new(what, micros(name).unwrap_or(f64::NAN), Limit::Open);
    budget::report(
        "codec",
        &[
            row("PCMU to G.722, 20 ms (us)", "convert/PCMU to G722"),
            row("G.722 to PCMU, 20 ms (us)", "convert/G722 to PCMU"),
            row(
                "PCMU to Opus at its best, 20 ms (us)",
                "convert/PCMU to opus, complexity 5",
            ),
            row(
                "PCMU to Opus on a busy worker, 20 ms (us)",
                "convert/PCMU to opus, complexity 0",
            ),
            row("Opus to PCMU, 20 ms (us)", "convert/opus to PCMU"),
            row(
                "AES-CM, HMAC-SHA1 there and back (us)",
                "SRTP, there and back/AES_CM_128_HMAC_SHA1_80",
            ),
            row(
                "AES-GCM there and back (us)",
                "SRTP, there and back/AEAD_AES_128_GCM",
            ),
            row(
                "sums of a room of 100, 20 ms (us)",
                "mix/100 parties at 8 kHz",
            ),
        ],
    )
}

/// The mean of a benchmark's last run.
fn micros(name: &str) -> Option<f64> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let file = folder
        .join("criterion")
        .join(name)
        .join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    Some(estimates["mean"]["point_estimate"].as_f64()? / 1000.0)
}
