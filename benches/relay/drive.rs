//! The load generator: phones that send a packet every 20 ms, evenly spread, and what came of it.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::{Duration, Instant};

use vats::media::io::epoll::Poller;
use vats::media::io::priority;

use super::LOOPBACK;

/// What one measurement found, or several together.
#[derive(Clone, Default)]
pub struct Found {
    pub sent: u64,
    pub arrived: u64,
    pub cpu: Duration,
    pub wall: Duration,
    /// Bytes that the process grew by.
    pub memory: usize,
    /// Of each packet that arrived, in nanoseconds.
    delays: Vec<u32>,
    sorted: bool,
}

impl Found {
    pub fn add(&mut self, other: Found) {
        self.sent += other.sent;
        self.arrived += other.arrived;
        self.cpu += other.cpu;
        self.wall += other.wall;
        self.memory = self.memory.max(other.memory);
        self.delays.extend(other.delays);
        self.sorted = false;
    }

    pub fn lost(&self) -> u64 {
        self.sent.saturating_sub(self.arrived)
    }

    /// Seconds of CPU.
    pub fn per_packet(&self) -> f64 {
        self.cpu.as_secs_f64() / self.sent as f64
    }

    /// Microseconds below which this part of the packets were.
    pub fn delay(&mut self, part: f64) -> f64 {
        if !self.sorted {
            self.delays.sort_unstable();
            self.sorted = true;
        }
        let last = self.delays.len().saturating_sub(1);
        let delay = self.delays.get((last as f64 * part) as usize);
        f64::from(delay.copied().unwrap_or(0)) / 1000.0
    }
}

const FRAME: Duration = Duration::from_millis(20);

/// Two phones for each call. The kernel notes when each packet arrives.
pub fn phones(calls: usize) -> io::Result<Vec<UdpSocket>> {
    (0..2 * calls)
        .map(|_| {
            let socket = UdpSocket::bind((LOOPBACK, 0))?;
            socket.set_nonblocking(true)?;
            let on: libc::c_int = 1;
            // SAFETY: `on` lives through the call and has the length given.
            let result = unsafe {
                libc::setsockopt(
                    socket.as_raw_fd(),
                    libc::SOL_SOCKET,
                    libc::SO_TIMESTAMPNS,
                    (&raw const on).cast(),
                    size_of::<libc::c_int>() as u32,
                )
            };
            match result {
                0 => Ok(socket),
                _ => Err(io::Error::last_os_error()),
            }
        })
        .collect()
}

/// Sends a packet per phone every 20 ms, takes what comes back, and reads the CPU of the threads so named.
pub fn drive(
    phones: &[UdpSocket],
    targets: &[SocketAddr],
    length: Duration,
    threads: &[&str],
) -> io::Result<Found> {
    let frames = (length.as_micros() / FRAME.as_micros()) as u32;
    let spacing = FRAME / phones.len() as u32;
    let mut packet = [0xd5u8; 172];
    let threads: Vec<i32> = threads
        .iter()
        .map(|name| thread_named(name))
        .collect::<io::Result<_>>()?;
    pin(0, 0)?;
    for thread in &threads {
        pin(*thread, 1)?;
    }
    let mut ears = Ears::new(phones)?;
    // What is late here is no test of what is measured.
    priority::raise();
    let cpu_before = threads_cpu(&threads)?;
    let start = Instant::now();
    let mut sent = 0;
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
            packet[12..20].copy_from_slice(&wall()?.to_le_bytes());
            phone.send_to(&packet, target)?;
            sent += 1;
            if sent % 16 == 0 {
                ears.hear(phones)?;
            }
        }
    }
    std::thread::sleep(Duration::from_millis(50));
    ears.hear(phones)?;
    Ok(Found {
        sent,
        arrived: ears.delays.len() as u64,
        cpu: threads_cpu(&threads)? - cpu_before,
        wall: start.elapsed(),
        delays: ears.delays,
        ..Found::default()
    })
}

/// What the phones hear.
struct Ears {
    poller: Poller,
    delays: Vec<u32>,
}

impl Ears {
    fn new(phones: &[UdpSocket]) -> io::Result<Ears> {
        let poller = Poller::new(1024)?;
        for (index, phone) in phones.iter().enumerate() {
            poller.add(phone.as_fd(), index as u64)?;
        }
        Ok(Ears {
            poller,
            delays: Vec::new(),
        })
    }

    /// Takes in all that is there.
    fn hear(&mut self, phones: &[UdpSocket]) -> io::Result<()> {
        loop {
            let told = self.poller.wait(Duration::ZERO)?;
            if told == 0 {
                return Ok(());
            }
            for event in 0..told {
                let phone = self
                    .poller
                    .token(event)
                    .and_then(|n| phones.get(n as usize));
                while let Some(times) = phone.and_then(receive) {
                    if let Some((sent, arrived)) = times {
                        let delay = arrived.saturating_sub(sent);
                        self.delays.push(u32::try_from(delay).unwrap_or(u32::MAX));
                    }
                }
            }
        }
    }
}

/// When a packet was sent and when the kernel had it, in nanoseconds of the wall clock; `Some(None)` for a report (RTCP),
/// `None` when there is nothing.
fn receive(phone: &UdpSocket) -> Option<Option<(u64, u64)>> {
    let mut room = [0u8; 256];
    let mut control = [0u64; 16];
    let mut part = libc::iovec {
        iov_base: room.as_mut_ptr().cast(),
        iov_len: room.len(),
    };
    // SAFETY: the structure is plain numbers and pointers, for which zero is valid.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut part;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of_val(&control) as _;
    // SAFETY: all that the header points to lives through the call and has the lengths given.
    let length = unsafe { libc::recvmsg(phone.as_raw_fd(), &mut message, 0) };
    if length < 0 {
        return None;
    }
    if length != 172 {
        return Some(None);
    }
    // SAFETY: the kernel filled the control room, which is aligned, and set its length; the one header in it carries a
    // timespec, since no other option is set.
    let time = unsafe {
        let header = libc::CMSG_FIRSTHDR(&message);
        if header.is_null() {
            return Some(None);
        }
        libc::CMSG_DATA(header)
            .cast::<libc::timespec>()
            .read_unaligned()
    };
    let sent = u64::from_le_bytes(room[12..20].try_into().ok()?);
    let arrived = time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64;
    Some(Some((sent, arrived)))
}

/// Nanoseconds of the wall clock, as the kernel stamps packets.
fn wall() -> io::Result<u64> {
    read_clock(libc::CLOCK_REALTIME).map(|time| time.as_nanos() as u64)
}

/// Bytes of memory that the process has in use.
pub fn resident() -> io::Result<usize> {
    let text = std::fs::read_to_string("/proc/self/statm")?;
    let pages: Option<usize> = text.split(' ').nth(1).and_then(|pages| pages.parse().ok());
    pages
        .map(|pages| pages * 4096)
        .ok_or_else(|| io::Error::other("no figure in statm"))
}

fn threads_cpu(threads: &[i32]) -> io::Result<Duration> {
    threads.iter().map(|thread| thread_cpu(*thread)).sum()
}

/// The time that a thread of this process has run.
fn thread_cpu(thread: i32) -> io::Result<Duration> {
    // The clock of one thread, as pthread_getcpuclockid computes it for a known thread.
    read_clock((!thread << 3) | 6)
}

fn read_clock(clock: libc::clockid_t) -> io::Result<Duration> {
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
