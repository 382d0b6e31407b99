//! The media threads neither allocate nor free while packets are relayed, converted to other codecs, played and tapped.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use vats::audio::clip::Clip;
use vats::audio::voice::Encoder;
use vats::call::media::{MediaAct, MediaEvent, PlayMode, Role};
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

/// This test's own address: nobody else takes ports there.
const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 7, 41, 1));

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
    let payload_type = codec.usual_payload_type();
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

/// The length of the next packet; reports, which come by the same port, are passed over.
fn receive(socket: &UdpSocket, room: &mut [u8; 512]) -> usize {
    loop {
        let (length, _) = socket.recv_from(room).unwrap();
        if !(200..=207).contains(&room[1]) {
            return length;
        }
    }
}

/// 20 ms of silence in a codec.
fn silence(codec: Codec) -> Vec<u8> {
    let mut bytes = vec![0; 400];
    let length = Encoder::new(codec, 8_000)
        .unwrap()
        .encode(&[0; 160], &mut bytes);
    assert!(length > 0);
    bytes.truncate(length);
    bytes
}

/// One packet each way between two phones of different codecs.
fn convert(phones: &[(UdpSocket, SocketAddr); 2], said: &[(Codec, Vec<u8>); 2], sequence: u16) {
    for ((socket, port), (codec, payload)) in phones.iter().zip(said) {
        let mut packet = [0u8; 512];
        packet[0] = 0x80;
        packet[1] = codec.usual_payload_type();
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        let ticks = codec.clock_rate() / 50;
        packet[4..8].copy_from_slice(&(u32::from(sequence) * ticks).to_be_bytes());
        packet[12..12 + payload.len()].copy_from_slice(payload);
        socket.send_to(&packet[..12 + payload.len()], port).unwrap();
    }
    for ((socket, _), (codec, _)) in phones.iter().zip(said) {
        let mut room = [0; 512];
        assert!(receive(socket, &mut room) > 12);
        assert_eq!(room[1] & 127, codec.usual_payload_type());
    }
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
        assert_eq!(receive(socket, &mut [0; 512]), 172);
    }
}

#[test]
fn a_media_thread_allocates_nothing_per_packet() {
    OWN.with(|own| own.set(true));
    for io in [MediaIo::Epoll, MediaIo::Uring] {
        relay_play_and_tap(io);
        mix(io);
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
    let opus = [
        open(&mut plane, 6, Codec::Opus),
        open(&mut plane, 7, Codec::Pcma),
    ];
    let wide = [
        open(&mut plane, 8, Codec::G722),
        open(&mut plane, 9, Codec::Opus),
    ];
    let said = |codec| (codec, silence(codec));
    let opus_said = [said(Codec::Opus), said(Codec::Pcma)];
    let wide_said = [said(Codec::G722), said(Codec::Opus)];
    for (leg, bridge) in [
        (1, 1),
        (2, 1),
        (3, 2),
        (4, 2),
        (6, 3),
        (7, 3),
        (8, 4),
        (9, 4),
    ] {
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
            convert(&opus, &opus_said, sequence);
            convert(&wide, &wide_said, sequence);
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

/// A room: jitter buffers, losses, decoders, the sum, encoders, a clip, changes of roles, and the way to two legs and back.
fn mix(io: MediaIo) {
    let mut plane = Plane::start(PlaneSettings {
        workers: 1,
        ports: 32_020..=32_039,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: Instant::now(),
        io,
    })
    .unwrap();
    let codecs = [Codec::Pcma, Codec::Pcmu, Codec::G722, Codec::Opus];
    let bridge = BridgeId::from_u128(1);
    let mut seats = Vec::new();
    for (leg, codec) in (1u128..).zip(codecs) {
        let phone = open(&mut plane, leg, codec);
        phone.0.set_nonblocking(true).unwrap();
        seats.push((phone, codec, silence(codec)));
        let leg = LegId::from_u128(leg);
        plane.act(Mono::ZERO, MediaAct::Join { leg, bridge });
    }
    let talk = |plane: &mut Plane, from: u16, count: u16| {
        let mut heard = 0;
        for sequence in from..from + count {
            for ((socket, port), codec, payload) in &seats {
                let mut packet = [0u8; 512];
                packet[0] = 0x80;
                packet[1] = codec.usual_payload_type();
                packet[2..4].copy_from_slice(&sequence.to_be_bytes());
                let ticks = u32::from(sequence) * (codec.clock_rate() / 50);
                packet[4..8].copy_from_slice(&ticks.to_be_bytes());
                packet[12..12 + payload.len()].copy_from_slice(payload);
                // Each tenth one is lost.
                if sequence % 10 != 7 {
                    socket.send_to(&packet[..12 + payload.len()], port).unwrap();
                }
                while socket.recv_from(&mut [0; 512]).is_ok() {
                    heard += 1;
                }
            }
            while plane.poll_report().is_some() {}
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
        heard
    };
    talk(&mut plane, 0, 30);
    let before = FOREIGN.load(Ordering::SeqCst);
    let clip = Clip::from_samples("notes", &[1000; 777]);
    plane.act(Mono::ZERO, MediaAct::Announce { bridge, clip });
    let mut heard = talk(&mut plane, 30, 30);
    let boss = LegId::from_u128(4);
    let role = Role::Whisperer(LegId::from_u128(1));
    plane.act(Mono::ZERO, MediaAct::SetRole { leg: boss, role });
    heard += talk(&mut plane, 60, 30);
    for leg in [3, 4] {
        let leg = LegId::from_u128(leg);
        plane.act(Mono::ZERO, MediaAct::Leave { leg });
    }
    heard += talk(&mut plane, 90, 10);
    for leg in [3, 4] {
        let leg = LegId::from_u128(leg);
        plane.act(Mono::ZERO, MediaAct::Join { leg, bridge });
    }
    heard += talk(&mut plane, 100, 30);
    let after = FOREIGN.load(Ordering::SeqCst);
    assert!(heard > 300, "{heard}");
    assert_eq!(
        after - before,
        0,
        "allocations of a room on the media thread by {io:?}"
    );
}
