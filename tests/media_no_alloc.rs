//! The media threads neither allocate nor free while packets are relayed, converted, played and tapped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vats::audio::clip::Clip;
use vats::call::media::{MediaAct, MediaEvent, PlayMode};
use vats::dialplan::media_io::MediaIo;
use vats::ledger::clock::Mono;
use vats::ledger::id::{BridgeId, LegId};
use vats::media::tap::tap;
use vats::media::{Plane, PlaneSettings, Reason};
use vats::sdp::negotiate::{Agreed, Codec, Direction};

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

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn open(plane: &mut Plane, number: u128, codec: Codec) -> (UdpSocket, SocketAddr) {
    let leg = LegId::from_u128(number);
    let socket = UdpSocket::bind((LOOPBACK, 0)).unwrap();
    socket
        .set_read_timeout(Some(Duration::from_secs(2)))
        .unwrap();
    plane.act(
        Mono::ZERO,
        MediaAct::Open {
            leg,
            towards: LOOPBACK,
        },
    );
    let Some((_, MediaEvent::Opened { local })) = plane.poll_report() else {
        panic!("no port");
    };
    let payload_type = if codec == Codec::Pcmu { 0 } else { 8 };
    plane.act(
        Mono::ZERO,
        MediaAct::Agree {
            leg,
            agreed: Agreed {
                remote: Some(socket.local_addr().unwrap()),
                codec,
                send_payload_type: payload_type,
                receive_payload_type: payload_type,
                telephone_event: Some((101, 101)),
                event_clock_rate: 8_000,
                opus: None,
                packet_time_ms: 20,
                direction: Direction::SendRecv,
                crypto: None,
                rtcp_mux: true,
                rtcp: None,
            },
        },
    );
    (socket, local)
}

/// One packet each way between two phones.
fn exchange(phones: &[(UdpSocket, SocketAddr); 2], types: [u8; 2], sequence: u16) {
    let mut packet = [0x55u8; 172];
    packet[..12].fill(0);
    packet[0] = 0x80;
    packet[2..4].copy_from_slice(&sequence.to_be_bytes());
    packet[4..8].copy_from_slice(&(u32::from(sequence) * 160).to_be_bytes());
    for ((socket, port), payload_type) in phones.iter().zip(types) {
        packet[1] = payload_type;
        socket.send_to(&packet, port).unwrap();
    }
    for (socket, _) in phones.iter() {
        let mut room = [0; 256];
        assert_eq!(socket.recv_from(&mut room).unwrap().0, 172);
    }
}

#[test]
fn a_media_thread_allocates_nothing_per_packet() {
    OWN.with(|own| own.set(true));
    for io in [MediaIo::Epoll, MediaIo::Uring] {
        relay_play_and_tap(io);
    }
}

fn relay_play_and_tap(io: MediaIo) {
    let mut plane = Plane::start(PlaneSettings {
        workers: 1,
        ports: 32_000..=32_019,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: Instant::now(),
        io,
    })
    .unwrap();
    let same = [
        open(&mut plane, 1, Codec::Pcmu),
        open(&mut plane, 2, Codec::Pcmu),
    ];
    let mixed = [
        open(&mut plane, 3, Codec::Pcmu),
        open(&mut plane, 4, Codec::Pcma),
    ];
    let (listener, _) = open(&mut plane, 5, Codec::Pcma);
    for (leg, bridge) in [(1, 1), (2, 1), (3, 2), (4, 2)] {
        plane.act(
            Mono::ZERO,
            MediaAct::Join {
                leg: LegId::from_u128(leg),
                bridge: BridgeId::from_u128(bridge),
            },
        );
    }
    let (writer, mut reader) = tap();
    plane.attach_tap(LegId::from_u128(1), writer);
    let music = Clip::from_samples("music", &[1000; 777]);
    let mut payload = Vec::with_capacity(2000);
    let mut tapped = 0;
    let mut run = |plane: &mut Plane, from: u16, count: u16| {
        for sequence in from..from + count {
            exchange(&same, [0, 0], sequence);
            exchange(&mixed, [0, 8], sequence);
            reader.drain(&mut payload, |_, _| tapped += 1);
            while plane.poll_report().is_some() {}
        }
        tapped
    };
    // Threads start, first packets are told.
    run(&mut plane, 0, 50);
    let before = FOREIGN.load(Ordering::SeqCst);
    // Starting, replacing and ending clips is free of it too.
    for token in 0..3 {
        plane.act(
            Mono::ZERO,
            MediaAct::Play {
                leg: LegId::from_u128(5),
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
            listener.recv_from(&mut [0; 256]).unwrap();
        }
    }
    let tapped = run(&mut plane, 50, 2000);
    let after = FOREIGN.load(Ordering::SeqCst);
    assert_eq!(tapped, 2050);
    let census = plane.census();
    assert!(census.sent >= 4 * 2050);
    assert_eq!(census.dropped(Reason::SendFailed), 0);
    assert_eq!(
        after - before,
        0,
        "allocations on the media thread by {io:?}"
    );
}
