//! The media threads neither allocate nor free while packets are relayed, converted to other codecs, mixed, played, tapped,
//! protected and reported on.

mod no_alloc_phone;
mod no_alloc_room;
mod no_alloc_secure;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicU64, Ordering};

use vats::audio::clip::Clip;
use vats::call::media::{Feeds, MediaAct, PlayMode};
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::Mono;
use vats::ledger::id::LegId;
use vats::media::tap::{TapReader, tap_for};
use vats::media::{Plane, Reason};
use vats::sdp::negotiate::Codec;

use no_alloc_phone::{Phone, join, start};

/// Counts what is allocated and freed on threads that have not declared themselves to be the test's own.
struct Counting;

static FOREIGN: AtomicU64 = AtomicU64::new(0);

thread_local! {
    static OWN: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if !OWN.try_with(Cell::get).unwrap_or(true) {
        FOREIGN.fetch_add(1, Ordering::Relaxed);
    }
}

// SAFETY: everything is handed on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.dealloc(pointer, layout) }
    }
    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is handed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Allocated and freed so far by threads that are not the test's own.
fn foreign() -> u64 {
    FOREIGN.load(Ordering::SeqCst)
}

#[test]
fn a_media_thread_allocates_nothing_per_packet() {
    OWN.with(|own| own.set(true));
    for io in [MediaIo::Epoll, MediaIo::Uring] {
        relay_play_and_tap(io);
        no_alloc_room::mix(io);
        no_alloc_secure::protect(io);
    }
}

fn relay_play_and_tap(io: MediaIo) {
    let mut plane = start(io, 32_000..=32_019);
    let mut open = |number, codec| Phone::open(&mut plane, number, codec);
    let mut listener = open(9, Codec::Pcma);
    let pairs = [
        [Codec::Pcmu, Codec::Pcmu],
        [Codec::Pcmu, Codec::Pcma],
        [Codec::Opus, Codec::Pcma],
        [Codec::G722, Codec::Opus],
    ];
    let mut legs = 1u128..;
    let mut pairs = pairs.map(|pair| pair.map(|codec| open(legs.next().unwrap(), codec)));
    for (pair, bridge) in pairs.iter().zip(1..) {
        for phone in pair {
            join(&mut plane, phone.leg, bridge);
        }
    }
    // Recorded: narrowband, and both sides of a call in wide sound, one of them in a conference's file too.
    let recorded = [
        (1, Codec::Pcmu, Feeds::Call),
        (7, Codec::G722, Feeds::Call),
        (8, Codec::Opus, Feeds::Call),
        (8, Codec::Opus, Feeds::Conference),
    ];
    let mut taps = recorded.map(|(leg, codec, feeds)| {
        let (writer, reader) = tap_for(Some(codec));
        plane.attach_tap(LegId::from_u128(leg), feeds, writer);
        reader
    });
    let music = Clip::from_samples("music", &[1000; 777]);
    let mut spare = Vec::with_capacity(2000);
    let mut tapped = [0; 4];
    let mut run = |plane: &mut Plane, count: u16| {
        for _ in 0..count {
            for pair in &mut pairs {
                exchange(pair);
            }
            for (reader, tapped) in taps.iter_mut().zip(&mut tapped) {
                TapReader::drain(reader, &mut spare, |_, _| *tapped += 1);
            }
            while plane.poll_report().is_some() {}
        }
        tapped
    };
    // Threads start, first packets are told.
    run(&mut plane, 50);
    let before = foreign();
    assert!(before > 0, "nothing is counted");
    // Starting, replacing and ending clips is free of it too.
    for token in 0..3 {
        plane.act(
            Mono::ZERO,
            MediaAct::Play {
                leg: listener.leg,
                clip: music.clone(),
                mode: if token == 1 {
                    PlayMode::Once
                } else {
                    PlayMode::Loop
                },
                token,
            },
        );
        for _ in 0..5 {
            listener.hear();
        }
    }
    let tapped = run(&mut plane, 2000);
    let after = foreign();
    assert_eq!(tapped, [2050; 4]);
    let census = plane.census();
    assert!(census.sent >= 8 * 2050);
    assert_eq!(census.dropped(Reason::SendFailed), 0);
    assert_eq!(
        after - before,
        0,
        "allocations on the media thread by {io:?}"
    );
}

/// One packet each way between two phones.
fn exchange(pair: &mut [Phone; 2]) {
    for phone in pair.iter_mut() {
        phone.say();
    }
    for phone in pair {
        phone.hear();
    }
}
