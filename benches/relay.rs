//! CPU of relaying 100 G.711 calls through the media plane, beside a bare epoll receive-and-send loop over the same
//! packets in the same run. `cargo bench --bench relay [-- CALLS SECONDS ROUNDS]`.
//!
//! CPU is that of the relaying threads only, as the kernel accounts it; the load generator's is left out. Over loopback
//! the sender pays for the receive path too, in both cases alike.

#[path = "budget/mod.rs"]
mod budget;

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

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

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
const FRAME: Duration = Duration::from_millis(20);

/// What one measurement found.
#[derive(Copy, Clone)]
struct Found {
    sent: u64,
    arrived: u64,
    cpu: Duration,
    wall: Duration,
}

fn main() -> io::Result<()> {
    let mut numbers = std::env::args().skip(1).filter_map(|arg| arg.parse().ok());
    let calls: usize = numbers.next().unwrap_or(100);
    let seconds = numbers.next().unwrap_or(5) as u64;
    let rounds = numbers.next().unwrap_or(3);
    let length = Duration::from_secs(seconds);
    println!("relay of {calls} G.711 calls, 20 ms packets, {rounds} rounds of {seconds} s each\n");
    println!("| what | packets | lost | CPU per packet | CPU per call |");
    println!("|---|---|---|---|---|");
    let mut cpu = [Duration::ZERO; 3];
    let mut lost = 0;
    for _ in 0..rounds {
        let found = [
            ("bare loop", bare(calls, length)?),
            ("media plane", plane(calls, length, false)?),
            ("recorded", plane(calls, length, true)?),
        ];
        for ((what, found), cpu) in found.into_iter().zip(&mut cpu) {
            line(what, calls, found);
            *cpu += found.cpu;
            lost += found.sent.saturating_sub(found.arrived);
        }
    }
    let [bare, relayed, recorded] = cpu.map(|cpu| cpu.as_secs_f64());
    budget::report(
        "relay",
        &[
            Row::new(
                "CPU of a relayed call (x bare loop)",
                relayed / bare,
                Limit::AtMost(1.3),
            )
            .beside(&[("Asterisk", 4.6), ("rustpbx", 2.5)]),
            Row::new(
                "CPU of a relayed and recorded call (x bare loop)",
                recorded / bare,
                Limit::AtMost(1.6),
            )
            .beside(&[("Asterisk", 9.9), ("rustpbx", 3.2)]),
            Row::new(
                "packets lost in the relays",
                lost as f64,
                Limit::AtMost(0.0),
            ),
        ],
    )
}

fn line(what: &str, calls: usize, found: Found) {
    println!(
        "| {what} | {} | {} | {:.2} µs | {:.4} % of a core |",
        found.sent,
        found.sent.saturating_sub(found.arrived),
        found.cpu.as_secs_f64() * 1e6 / found.sent as f64,
        100.0 * found.cpu.as_secs_f64() / found.wall.as_secs_f64() / calls as f64,
    );
}

fn phones(calls: usize) -> io::Result<Vec<UdpSocket>> {
    (0..2 * calls)
        .map(|_| {
            let socket = UdpSocket::bind((LOOPBACK, 0))?;
            socket.set_nonblocking(true)?;
            Ok(socket)
        })
        .collect()
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
fn plane(calls: usize, length: Duration, record: bool) -> io::Result<Found> {
    let phones = phones(calls)?;
    let clock = Clock::start();
    let mut plane = Plane::start(PlaneSettings {
        workers: 1,
        ports: 20_000..=29_999,
        bind: LOOPBACK,
        advertised: Box::new(|towards| towards),
        start: clock.origin(),
        io: MediaIo::Auto,
    })?;
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
                    telephone_event: None,
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
        // So that all are in place before the first packet.
        std::thread::sleep(Duration::from_millis(200));
        return drive(&phones, &targets, length, &["media-0"]);
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
            wideband: false,
            opus: false,
        });
        for (leg, side) in [(2 * call + 1, Side::Left), (2 * call + 2, Side::Right)] {
            let leg = LegId::from_u128(leg);
            let (writer, reader) = tap();
            plane.attach_tap(leg, writer);
            recorder.attach(recording, leg, side, None, reader);
        }
    }
    std::thread::sleep(Duration::from_millis(500));
    let found = drive(
        &phones,
        &targets,
        length,
        &["media-0", "recorder", "record-disk"],
    );
    recorder.shutdown();
    found
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

/// Sends a packet per phone every 20 ms, evenly spread, takes what comes back, and reads the CPU of the thread so named.
fn drive(
    phones: &[UdpSocket],
    targets: &[SocketAddr],
    length: Duration,
    threads: &[&str],
) -> io::Result<Found> {
    let frames = (length.as_micros() / FRAME.as_micros()) as u32;
    let spacing = FRAME / phones.len() as u32;
    let mut packet = [0xd5u8; 172];
    let mut room = [0; 2048];
    let (mut sent, mut arrived) = (0, 0);
    let threads: Vec<i32> = threads
        .iter()
        .map(|name| thread_named(name))
        .collect::<io::Result<_>>()?;
    pin(0, 0)?;
    for thread in &threads {
        pin(*thread, 1)?;
    }
    let cpu_before = threads_cpu(&threads)?;
    let start = Instant::now();
    for frame in 0..frames {
        packet[..12].fill(0);
        packet[..2].copy_from_slice(&[0x80, 8]);
        packet[2..4].copy_from_slice(&(frame as u16).to_be_bytes());
        packet[4..8].copy_from_slice(&(frame * 160).to_be_bytes());
        for (index, (phone, target)) in phones.iter().zip(targets).enumerate() {
            let due = FRAME * frame + spacing * index as u32;
            if let Some(early) = due.checked_sub(start.elapsed()) {
                std::thread::sleep(early);
            }
            packet[8..12].copy_from_slice(&(index as u32 + 1).to_be_bytes());
            phone.send_to(&packet, target)?;
            sent += 1;
            while phone.recv_from(&mut room).is_ok() {
                arrived += 1;
            }
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    for phone in phones {
        while phone.recv_from(&mut room).is_ok() {
            arrived += 1;
        }
    }
    Ok(Found {
        sent,
        arrived,
        cpu: threads_cpu(&threads)? - cpu_before,
        wall: start.elapsed(),
    })
}

fn threads_cpu(threads: &[i32]) -> io::Result<Duration> {
    threads.iter().map(|thread| thread_cpu(*thread)).sum()
}

/// The time that a thread of this process has run.
fn thread_cpu(thread: i32) -> io::Result<Duration> {
    // The clock of one thread, as pthread_getcpuclockid computes it for a known thread.
    let clock = (!thread << 3) | 6;
    let mut time = libc::timespec {
        tv_sec: 0,
        tv_nsec: 0,
    };
    // SAFETY: `time` lives through the call; an unknown clock is an error.
    if unsafe { libc::clock_gettime(clock, &mut time) } != 0 {
        return Err(io::Error::last_os_error());
    }
    Ok(Duration::new(time.tv_sec as u64, time.tv_nsec as u32))
}

/// Keeps a thread (0: the calling one) on one processor. What a wake-up costs depends on whether it crosses from one to
/// another, and left alone a run would fall on either side of that.
fn pin(thread: i32, processor: usize) -> io::Result<()> {
    let processors = std::thread::available_parallelism()?.get();
    // SAFETY: the set is plain bits, for which zero is valid, and the index is within it; it lives through the call.
    let result = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::CPU_SET(processor % processors, &mut set);
        libc::sched_setaffinity(thread, size_of::<libc::cpu_set_t>(), &set)
    };
    match result {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The number of this process's thread of that name.
fn thread_named(name: &str) -> io::Result<i32> {
    for task in std::fs::read_dir("/proc/self/task")? {
        let path = task?.path();
        if std::fs::read_to_string(path.join("comm"))?.trim() == name {
            return path
                .file_name()
                .and_then(|name| name.to_str()?.parse().ok())
                .ok_or_else(|| io::Error::other("a task without a number"));
        }
    }
    Err(io::Error::other(format!("there is no thread {name}")))
}
