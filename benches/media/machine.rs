//! What the kernel and the allocator tell of this process: clocks, processor time, memory, datagrams that sockets dropped.

use std::collections::HashSet;
use std::io;
use std::time::Duration;

use vats::media::io::priority;

/// Nanoseconds of the wall clock, as the kernel stamps packets.
pub fn wall_clock() -> io::Result<u64> {
    read_clock(libc::CLOCK_REALTIME).map(|time| time.as_nanos() as u64)
}

/// Threads of this process, by their numbers.
pub struct Threads(Vec<i32>);

/// The time that threads have run, and the time that they could have and another one did.
#[derive(Copy, Clone)]
pub struct Taken {
    pub ran: Duration,
    pub waited: Duration,
}

impl Threads {
    /// Those of these names.
    pub fn named(names: &[&str]) -> io::Result<Threads> {
        names
            .iter()
            .map(|name| thread_named(name))
            .collect::<io::Result<_>>()
            .map(Threads)
    }

    /// Keeps them on the second processor, and the calling thread on the first. What a wake-up costs depends on whether
    /// it crosses from one to another, and left alone a run would fall on either side of that.
    pub fn keep_apart(&self) -> io::Result<()> {
        pin(0, 0)?;
        self.0.iter().try_for_each(|thread| pin(*thread, 1))
    }

    /// The time that they took so far.
    pub fn taken(&self) -> io::Result<Taken> {
        let mut taken = Taken {
            ran: Duration::ZERO,
            waited: Duration::ZERO,
        };
        for thread in &self.0 {
            // The clock of one thread, as pthread_getcpuclockid computes it for a known thread.
            taken.ran += read_clock((!thread << 3) | 6)?;
            let path = format!("/proc/self/task/{thread}/schedstat");
            let text = std::fs::read_to_string(path)?;
            let waited = text.split_whitespace().nth(1).and_then(|n| n.parse().ok());
            taken.waited += Duration::from_nanos(waited.unwrap_or(0));
        }
        Ok(taken)
    }
}

/// The calling thread above all others, until this is dropped: threads that it starts afterwards are ordinary again.
pub struct Raised;

impl Raised {
    pub fn now() -> Raised {
        priority::raise();
        Raised
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        // SAFETY: the structure is plain numbers, for which zero is valid; it lives through the call, and 0 is the calling
        // thread. To step back is always allowed.
        unsafe {
            let parameter: libc::sched_param = std::mem::zeroed();
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &parameter);
            libc::setpriority(libc::PRIO_PROCESS, 0, 0);
        }
    }
}

/// Bytes that the allocator has given out. Unlike resident memory they do not depend on what was freed before.
pub fn allocated() -> usize {
    // SAFETY: no arguments; it reads the allocator's books under its locks.
    let books = unsafe { libc::mallinfo2() };
    books.uordblks + books.hblkhd
}

/// Datagrams that had no room in the sockets of these ports.
pub fn dropped_at(ports: &HashSet<u16>) -> io::Result<u64> {
    let table = std::fs::read_to_string("/proc/net/udp")?;
    let dropped = table.lines().skip(1).filter_map(|line| {
        let port = line.split_whitespace().nth(1)?.rsplit(':').next()?;
        let port = u16::from_str_radix(port, 16).ok()?;
        let dropped: u64 = line.split_whitespace().last()?.parse().ok()?;
        ports.contains(&port).then_some(dropped)
    });
    Ok(dropped.sum())
}

/// What the machine's processors did besides this process, since it was made.
pub struct Others {
    busy: Duration,
    own: Duration,
    since: std::time::Instant,
}

impl Others {
    /// From now on.
    pub fn watch() -> io::Result<Others> {
        Ok(Others {
            busy: machine_busy()?,
            own: read_clock(libc::CLOCK_PROCESS_CPUTIME_ID)?,
            since: std::time::Instant::now(),
        })
    }

    /// Cores that others had on average. The kernel's work for our packets counts as ours.
    pub fn cores(&self) -> io::Result<f64> {
        let busy = machine_busy()?.saturating_sub(self.busy);
        let own = read_clock(libc::CLOCK_PROCESS_CPUTIME_ID)?.saturating_sub(self.own);
        Ok(busy.saturating_sub(own).as_secs_f64() / self.since.elapsed().as_secs_f64())
    }
}

/// User, nice and system time of all processors, in the kernel's hundredths of a second.
fn machine_busy() -> io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/stat")?;
    let first = text.lines().next().unwrap_or_default();
    let fields = first.split_whitespace().skip(1).take(3);
    let ticks: u64 = fields.filter_map(|field| field.parse::<u64>().ok()).sum();
    Ok(Duration::from_millis(ticks * 10))
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

/// Keeps a thread (0: the calling one) on one processor.
fn pin(thread: i32, processor: usize) -> io::Result<()> {
    // SAFETY: no pointers. How many the calling thread may use is something else: it may be kept on one already.
    let processors = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) };
    let processors = usize::try_from(processors).unwrap_or(1).max(1);
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
