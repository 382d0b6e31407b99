//! What relaying G.711 calls costs, at 100, 300 and 1,000 calls: by epoll, by io_uring, and recorded; each as a ratio to a
//! bare epoll receive-and-send loop over the same packets in the same run. `cargo bench --bench relay [-- CALLS,CALLS
//! SECONDS ROUNDS]`.
//!
//! CPU is that of the relaying threads only, as the kernel accounts it; the load generator's is left out. Over loopback
//! the sender pays for the receive path too, in all cases alike. Delay is from just before a packet is sent to when the
//! kernel has it for the phone that hears it, so a generator that is late does not show.

#[path = "../budget/mod.rs"]
mod budget;
mod drive;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use vats::call::media::{MediaAct, MediaEvent};
use vats::call::output::Side;
use vats::clock::Clock;
use vats::dialplan::media_io::MediaIo;
use vats::ledger::call::CallRecord;
use vats::ledger::cause::Direction as CallDirection;
use vats::ledger::clock::{Mono, Wall};
use vats::ledger::id::{BridgeId, CallId, LegId, RecordingId, Tenant};
use vats::ledger::journal::RecordingKind;
use vats::media::io::epoll::Poller;
use vats::media::io::priority;
use vats::media::tap::tap;
use vats::media::{Plane, PlaneSettings};
use vats::recording::{Begin, Recorder, RecorderSettings};
use vats::sdp::negotiate::{Agreed, Codec, Direction};

use self::budget::{Limit, Row};
use self::drive::{Found, drive, phones, resident};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// What is measured, beside the bare loop.
#[derive(Copy, Clone, PartialEq)]
enum What {
    Bare,
    Relay(MediaIo),
    Recorded,
}

const ALL: [(&str, What); 4] = [
    ("bare loop", What::Bare),
    ("relay, epoll", What::Relay(MediaIo::Epoll)),
    ("relay, io_uring", What::Relay(MediaIo::Uring)),
    ("relay, recorded", What::Recorded),
];

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1).filter(|arg| !arg.starts_with('-'));
    let sizes: Vec<usize> = arguments
        .next()
        .unwrap_or_else(|| "100,300,1000".to_owned())
        .split(',')
        .filter_map(|calls| calls.parse().ok())
        .collect();
    let mut numbers = arguments.filter_map(|arg| arg.parse().ok());
    let seconds: u64 = numbers.next().unwrap_or(4);
    let rounds: u64 = numbers.next().unwrap_or(3);
    println!("relay of G.711 calls, 20 ms packets, {rounds} rounds of {seconds} s each");
    // The recorder and the relay share its settings; who asks for another backend measures both anyway.
    let mut found = Vec::new();
    for calls in &sizes {
        let mut sums = ALL.map(|_| Found::default());
        for _ in 0..rounds {
            for ((_, what), sum) in ALL.into_iter().zip(&mut sums) {
                sum.add(measure(what, *calls, Duration::from_secs(seconds))?);
            }
        }
        table(*calls, &mut sums);
        found.push((*calls, sums));
    }
    budget::report("relay", &rows(&mut found))
}

fn table(calls: usize, sums: &mut [Found; 4]) {
    println!("\n{calls} calls:\n");
    println!(
        "| what | packets | lost | CPU per packet | CPU per call | x bare | delay p50 | p99 | max | memory per call |"
    );
    println!("|---|---|---|---|---|---|---|---|---|---|");
    let bare = sums[0].cpu.as_secs_f64() / sums[0].sent as f64;
    for ((name, _), found) in ALL.into_iter().zip(sums) {
        let cpu = found.cpu.as_secs_f64();
        let [p50, p99, most] = [0.5, 0.99, 1.0].map(|part| found.delay(part));
        println!(
            "| {name} | {} | {} | {:.2} µs | {:.4} % of a core | {:.2} | {:.0} µs | {:.0} µs | {:.0} µs | {:.1} KiB |",
            found.sent,
            found.lost(),
            cpu * 1e6 / found.sent as f64,
            100.0 * cpu / found.wall.as_secs_f64() / calls as f64,
            cpu / found.sent as f64 / bare,
            p50,
            p99,
            most,
            found.memory as f64 / 1024.0 / calls as f64,
        );
    }
}

/// The budget's rows: ratios at the smallest size, growth up to the largest, delays where the budget names them.
fn rows(found: &mut [(usize, [Found; 4])]) -> Vec<Row> {
    let ratio = |sums: &[Found; 4], what: usize| sums[what].per_packet() / sums[0].per_packet();
    let worst = |what: usize| {
        let ratios = found.iter().map(|(_, sums)| ratio(sums, what));
        ratios.fold(0.0, f64::max)
    };
    let (relayed, recorded) = (worst(2), worst(3));
    let by_epoll = worst(1);
    let growth = match (found.first(), found.last()) {
        (Some((_, few)), Some((_, many))) => many[2].per_packet() / few[2].per_packet(),
        _ => 1.0,
    };
    let lost: u64 = found
        .iter()
        .flat_map(|(_, sums)| sums.iter().skip(1))
        .map(Found::lost)
        .sum();
    let memory = found
        .iter()
        .map(|(calls, sums)| sums[3].memory as f64 / 1024.0 / *calls as f64)
        .fold(0.0, f64::max);
    let mut added = |at_most: usize| {
        let sized = found.iter_mut().filter(|(calls, _)| *calls <= at_most);
        let delays = sized.map(|(_, sums)| sums[2].delay(0.99) / 1000.0);
        delays.fold(0.0, f64::max)
    };
    vec![
        Row::new(
            "CPU of a relayed call (x bare loop)",
            relayed,
            Limit::AtMost(1.3),
        )
        .beside(&[("Asterisk", 4.6), ("rustpbx", 2.5)]),
        Row::new(
            "the same by epoll (x bare loop)",
            by_epoll,
            Limit::AtMost(1.3),
        ),
        Row::new(
            "CPU of a relayed and recorded call (x bare loop)",
            recorded,
            Limit::AtMost(1.6),
        )
        .beside(&[("Asterisk", 9.9), ("rustpbx", 3.2)]),
        Row::new(
            "CPU per packet, most calls to fewest",
            growth,
            Limit::AtMost(1.0),
        ),
        Row::new(
            "delay of relay up to 300 calls, p99, ms",
            added(300),
            Limit::AtMost(1.0),
        ),
        Row::new(
            "delay of relay up to 1,000 calls, p99, ms",
            added(1000),
            Limit::AtMost(2.0),
        ),
        Row::new(
            "memory of a recorded call, KiB",
            memory,
            Limit::AtMost(100.0),
        ),
        Row::new(
            "packets lost in the relays",
            lost as f64,
            Limit::AtMost(0.0),
        ),
    ]
}

fn measure(what: What, calls: usize, length: Duration) -> io::Result<Found> {
    match what {
        What::Bare => bare(calls, length),
        What::Relay(io) => plane(calls, length, io, false),
        What::Recorded => plane(calls, length, MediaIo::Auto, true),
    }
}

/// The simplest relay that there can be.
fn bare(calls: usize, length: Duration) -> io::Result<Found> {
    let phones = phones(calls)?;
    let ports: Vec<UdpSocket> = self::phones(calls)?;
    let targets: Vec<SocketAddr> = ports
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<io::Result<_>>()?;
    let listeners: Vec<SocketAddr> = phones
        .iter()
        .map(UdpSocket::local_addr)
        .collect::<io::Result<_>>()?;
    let stop = Arc::new(AtomicBool::new(false));
    let stopped = Arc::clone(&stop);
    let relay =
        std::thread::Builder::new()
            .name("bare".into())
            .spawn(move || -> io::Result<()> {
                priority::raise();
                let mut poller = Poller::new(256)?;
                for (index, port) in ports.iter().enumerate() {
                    poller.add(port.as_fd(), index as u64)?;
                }
                let mut room = [0; 2048];
                while !stopped.load(Ordering::Relaxed) {
                    for event in 0..poller.wait(Duration::from_millis(100))? {
                        let Some(index) = poller.token(event).map(|token| token as usize) else {
                            continue;
                        };
                        let (length, _) = ports[index].recv_from(&mut room)?;
                        ports[index ^ 1].send_to(&room[..length], listeners[index ^ 1])?;
                    }
                }
                Ok(())
            })?;
    // So that it has its name.
    std::thread::sleep(Duration::from_millis(200));
    let found = drive(&phones, &targets, length, &["bare"]);
    stop.store(true, Ordering::Relaxed);
    relay
        .join()
        .map_err(|_| io::Error::other("the bare loop panicked"))??;
    found
}

/// Calls through the media plane, recorded by the recorder or not.
fn plane(calls: usize, length: Duration, io: MediaIo, record: bool) -> io::Result<Found> {
    let phones = phones(calls)?;
    let clock = Clock::start();
    let mut plane = Plane::start(PlaneSettings {
        workers: 1,
        ports: 20_000..=29_999,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: clock.origin(),
        io,
    })?;
    let before = resident()?;
    let mut targets = Vec::new();
    for (index, phone) in phones.iter().enumerate() {
        let leg = LegId::from_u128(index as u128 + 1);
        plane.act(
            Mono::ZERO,
            MediaAct::Open {
                leg,
                towards: LOOPBACK,
            },
        );
        let Some((_, MediaEvent::Opened { local })) = plane.poll_report() else {
            return Err(io::Error::other("no media port"));
        };
        targets.push(local);
        plane.act(
            Mono::ZERO,
            MediaAct::Agree {
                leg,
                agreed: Agreed {
                    remote: Some(phone.local_addr()?),
                    codec: Codec::Pcma,
                    send_payload_type: 8,
                    receive_payload_type: 8,
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
        plane.act(
            Mono::ZERO,
            MediaAct::Join {
                leg,
                bridge: BridgeId::from_u128(index as u128 / 2),
            },
        );
    }
    if !record {
        settle(&mut plane);
        let mut found = drive(&phones, &targets, length, &["media-0"])?;
        found.memory = resident()?.saturating_sub(before);
        return Ok(found);
    }
    let folder = tempfile::tempdir()?;
    let settings = RecorderSettings {
        root: folder.path().to_owned(),
        clock: Arc::new(move || clock.now()),
    };
    let recorder = Recorder::start(settings, Box::new(|_| {}))?;
    for call in 0..calls as u128 {
        let recording = RecordingId::from_u128(call + 1);
        recorder.begin(Begin {
            recording,
            kind: RecordingKind::Conversation,
            mailbox: None,
            wideband: false,
            opus: false,
            call: call_record(CallId::from_u128(call + 1), clock.now().wall),
        });
        for (leg, side) in [(2 * call + 1, Side::Left), (2 * call + 2, Side::Right)] {
            let leg = LegId::from_u128(leg);
            let (writer, reader) = tap();
            plane.attach_tap(leg, writer);
            recorder.attach(recording, leg, side, None, reader);
        }
    }
    settle(&mut plane);
    let threads = ["media-0", "recorder", "record-disk"];
    let mut found = drive(&phones, &targets, length, &threads)?;
    let memory = resident()?.saturating_sub(before);
    recorder.shutdown();
    found.memory = memory;
    Ok(found)
}

/// All are in place before the first packet: what a worker's ring had no room for goes out as it is polled.
fn settle(plane: &mut Plane) {
    for _ in 0..100 {
        while plane.poll_report().is_some() {}
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn call_record(call_id: CallId, arrived_at: Wall) -> CallRecord {
    CallRecord {
        tenant: Tenant::default(),
        call_id,
        direction: CallDirection::Inbound,
        caller: None,
        number: None,
        party: None,
        landing_page: None,
        trunk: None,
        arrived_at,
        connected_at: None,
        answered_at: None,
        ended_at: None,
        result: None,
        cause: None,
        flags: Vec::new(),
        wait_total_ms: None,
        wait_hunt_ms: None,
        talk_ms: None,
        operator: None,
        hunt: None,
        path: Vec::new(),
        recording_id: None,
        voicemail_id: None,
        ended_by: None,
        sip_code: None,
        plan_version: 1,
        sequence: 1,
    }
}
