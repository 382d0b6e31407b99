//! The checks of the fuzz targets on a stable toolchain: the seeds of `fuzz/seeds`, pieces of them in any order, with bytes replaced, cut out and
//! repeated.

#[path = "../fuzz/checks/mod.rs"]
mod checks;

use std::path::Path;

use proptest::prelude::*;
use proptest::sample::Index;

/// What holds for any bytes.
type Check = fn(&[u8]);

/// Every check with the folder of its seeds.
const CHECKS: [(&str, Check); 6] = [
    ("message", checks::message),
    ("uri", checks::uri),
    ("sdp", checks::sdp),
    ("digest", checks::digest),
    ("framing", checks::framing),
    ("endpoint", checks::endpoint),
];

fn seeds(kind: &str) -> Vec<Vec<u8>> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(kind);
    let mut paths: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    paths
        .iter()
        .map(|path| std::fs::read(path).unwrap())
        .collect()
}

#[test]
fn every_seed_passes() {
    for (kind, check) in CHECKS {
        let seeds = seeds(kind);
        assert!(seeds.len() >= 3, "{kind}");
        for seed in seeds {
            check(&seed);
        }
    }
}

/// One thing that befalls a text.
#[derive(Clone, Debug)]
enum Mishap {
    Replace(Index, u8),
    Insert(Index, &'static str),
    Cut(Index, Index),
    Repeat(Index, Index),
    Append(Index),
}

/// What has a meaning to one of the parsers.
const WORDS: &[&str] = &[
    "\r\n",
    "\r\n\r\n",
    "\r\n ",
    "\r",
    "\n",
    "\0",
    "\"",
    "\\",
    "<",
    ">",
    ",",
    ";",
    ":",
    "@",
    "%",
    "%00",
    "?",
    "&",
    "[",
    "]",
    "=",
    "/",
    "--",
    " ",
    "\t",
    "é",
    "\u{feff}",
    "-1",
    "99999999999999999999",
    "4294967295",
    "SIP/2.0",
    "sip:",
    "tel:",
    "z9hG4bK",
    ";lr",
    ";tag=",
    "Content-Length: 3\r\n",
    "l: 0\r\n",
    "v=0\r\n",
    "m=audio 9 RTP/AVP 0\r\n",
    "a=rtpmap:0 PCMU/8000\r\n",
    "c=IN IP6 ::1\r\n",
    "Digest ",
    "nc=",
    "qop=auth",
    "--b1\r\n",
];

fn mishap() -> impl Strategy<Value = Mishap> {
    let place = any::<Index>;
    prop_oneof![
        3 => (place(), any::<u8>()).prop_map(|(at, byte)| Mishap::Replace(at, byte)),
        4 => (place(), prop::sample::select(WORDS)).prop_map(|(at, word)| Mishap::Insert(at, word)),
        2 => (place(), place()).prop_map(|(from, to)| Mishap::Cut(from, to)),
        1 => (place(), place()).prop_map(|(from, to)| Mishap::Repeat(from, to)),
        1 => place().prop_map(Mishap::Append),
    ]
}

/// A seed after some mishaps.
fn spoilt(seeds: &[Vec<u8>], first: Index, mishaps: Vec<Mishap>) -> Vec<u8> {
    let mut bytes = first.get(seeds).clone();
    for mishap in mishaps {
        let length = bytes.len();
        let at = |index: Index| index.index(length.max(1)).min(length);
        match mishap {
            Mishap::Replace(place, byte) => {
                if let Some(old) = bytes.get_mut(at(place)) {
                    *old = byte;
                }
            }
            Mishap::Insert(place, word) => {
                bytes.splice(at(place)..at(place), word.bytes());
            }
            // Short stretches mostly, or little is left.
            Mishap::Cut(from, long) => {
                let from = at(from);
                bytes.drain(from..(from + at(long) / 16).min(length));
            }
            Mishap::Repeat(from, long) => {
                let from = at(from);
                let piece = bytes[from..(from + at(long) / 4).min(length)].to_vec();
                bytes.splice(from..from, piece);
            }
            Mishap::Append(other) => bytes.extend_from_slice(other.get::<Vec<u8>>(seeds)),
        }
        bytes.truncate(8_192);
    }
    bytes
}

fn run(kind: &str, cases: u32) {
    let (_, check) = CHECKS
        .into_iter()
        .find(|(known, _)| *known == kind)
        .expect("a check");
    let seeds = seeds(kind);
    let mut runner = proptest::test_runner::TestRunner::new(ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    });
    let strategy = (any::<Index>(), prop::collection::vec(mishap(), 0..8));
    runner
        .run(&strategy, |(first, mishaps)| {
            check(&spoilt(&seeds, first, mishaps));
            Ok(())
        })
        .unwrap_or_else(|error| panic!("{kind}: {error}"));
}

#[test]
fn no_message_does_harm() {
    run("message", 6_000);
}

#[test]
fn no_uri_does_harm() {
    run("uri", 20_000);
}

#[test]
fn no_description_does_harm() {
    run("sdp", 4_000);
}

#[test]
fn no_credentials_and_no_challenge_do_harm() {
    run("digest", 4_000);
}

#[test]
fn no_sequence_of_datagrams_does_harm() {
    run("endpoint", 1_500);
}

#[test]
fn no_stream_does_harm() {
    run("framing", 10_000);
}
