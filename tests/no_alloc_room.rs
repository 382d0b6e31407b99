//! A room without allocations: jitter buffers, losses, decoders, the sum, encoders, a clip, changes of roles, a supervisor,
//! recordings, protection, and the way to two legs and back.

use std::time::Duration;

use vats::audio::clip::Clip;
use vats::call::media::{Feeds, MediaAct, Role};
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::Mono;
use vats::ledger::id::{BridgeId, LegId};
use vats::media::Plane;
use vats::media::tap::{TapReader, tap_for};
use vats::rtp::srtp::Suite;
use vats::sdp::negotiate::Codec;

use super::foreign;
use super::no_alloc_phone::{Phone, join, start};

/// The supervisor's leg.
const BOSS: LegId = LegId::from_u128(5);

pub fn mix(io: MediaIo) {
    let mut plane = start(io, 32_020..=32_039);
    let bridge = BridgeId::from_u128(1);
    let mut seats: Vec<Phone> = [
        (Codec::Pcma, None),
        (Codec::Pcmu, Some(Suite::AesCm128HmacSha1Tag80)),
        (Codec::G722, None),
        (Codec::Opus, Some(Suite::AeadAes128Gcm)),
        (Codec::Opus, None),
    ]
    .into_iter()
    .zip(1..)
    .map(|((codec, suite), leg)| Phone::open_with(&mut plane, leg, codec, suite, true))
    .collect();
    for leg in 1..5 {
        join(&mut plane, LegId::from_u128(leg), 1);
    }
    let role = Role::Listener;
    let leg = BOSS;
    plane.act(Mono::ZERO, MediaAct::JoinAs { leg, bridge, role });
    let mut taps = [(2, Codec::Pcmu), (3, Codec::G722), (4, Codec::Opus)].map(|(leg, codec)| {
        let (writer, reader) = tap_for(Some(codec));
        plane.attach_tap(LegId::from_u128(leg), Feeds::Conference, writer);
        reader
    });
    let mut tapped = [0; 3];
    let mut spare = Vec::with_capacity(2000);
    let mut talk = |plane: &mut Plane, count: usize| {
        let mut heard = 0;
        for round in 0..count {
            for phone in &mut seats {
                match round % 10 {
                    7 => phone.lose(),
                    _ => phone.say(),
                }
                heard += phone.heard();
            }
            for (reader, tapped) in taps.iter_mut().zip(&mut tapped) {
                TapReader::drain(reader, &mut spare, |_, _| *tapped += 1);
            }
            while plane.poll_report().is_some() {}
            std::thread::sleep(Duration::from_millis(20));
        }
        heard
    };
    talk(&mut plane, 30);
    let before = foreign();
    let clip = Clip::from_samples("notes", &[1000; 777]);
    plane.act(Mono::ZERO, MediaAct::Announce { bridge, clip });
    let mut heard = talk(&mut plane, 30);
    for role in [Role::Whisperer(LegId::from_u128(1)), Role::Member] {
        plane.act(Mono::ZERO, MediaAct::SetRole { leg: BOSS, role });
        heard += talk(&mut plane, 20);
    }
    // Two are left, who are linked, and mixed again afterwards.
    for leg in 3..=5 {
        let leg = LegId::from_u128(leg);
        plane.act(Mono::ZERO, MediaAct::Leave { leg });
    }
    heard += talk(&mut plane, 10);
    for leg in 3..=5 {
        join(&mut plane, LegId::from_u128(leg), 1);
    }
    heard += talk(&mut plane, 30);
    let after = foreign();
    assert!(heard > 350, "{heard}");
    assert!(tapped.iter().all(|tapped| *tapped > 100), "{tapped:?}");
    assert_eq!(
        after - before,
        0,
        "allocations of a room on the media thread by {io:?}"
    );
}
