//! The PBX under test: the built binary in a temporary directory, watched through /proc.

use std::net::{SocketAddr, UdpSocket};
use std::path::PathBuf;
use std::process::{Child, Command as Process, Stdio};
use std::time::{Duration, Instant};

pub struct Server {
    child: Child,
    directory: PathBuf,
    /// Where it takes SIP.
    pub sip: SocketAddr,
    /// The trunk that calls come from.
    pub caller: UdpSocket,
    /// The trunk that calls are forwarded to.
    pub callee: UdpSocket,
    /// From the start of the process to its first answer.
    pub started_in: Duration,
}

impl Server {
    /// Starts it and waits until it answers OPTIONS.
    #[allow(dead_code, reason = "one of the two benchmarks has a plan of its own")]
    pub fn start() -> Server {
        Server::with(plan)
    }

    /// As `start`, with the plan that is made of our address and the two trunks'.
    pub fn with(plan: impl FnOnce(SocketAddr, SocketAddr, SocketAddr) -> String) -> Server {
        let caller = bind();
        let callee = bind();
        let sip = address(&bind());
        let directory = std::env::temp_dir().join(format!("vats-bench-{}", std::process::id()));
        std::fs::create_dir_all(directory.join("config")).expect("a temporary directory");
        let plan = plan(sip, address(&caller), address(&callee));
        std::fs::write(directory.join("config/vats.toml"), plan).expect("the plan is written");
        let log = std::fs::File::create(directory.join("log")).expect("a log file");
        let begun = Instant::now();
        let child = Process::new(env!("CARGO_BIN_EXE_vats"))
            .args(["run", "--config", "config"])
            .current_dir(&directory)
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("the PBX starts");
        let mut server = Server {
            child,
            directory,
            sip,
            caller,
            callee,
            started_in: Duration::ZERO,
        };
        server.await_options(begun);
        server.started_in = begun.elapsed();
        server
    }

    fn await_options(&self, begun: Instant) {
        let mut room = [0; 2048];
        let from = address(&self.caller);
        for attempt in 0.. {
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "the PBX does not answer:\n{}",
                std::fs::read_to_string(self.directory.join("log")).unwrap_or_default()
            );
            let options = format!(
                "OPTIONS sip:{sip} SIP/2.0\r\nVia: SIP/2.0/UDP {from};branch=z9hG4bKstart{attempt}\r\n\
                 From: <sip:load@{from}>;tag=1\r\nTo: <sip:{sip}>\r\nCall-ID: start{attempt}\r\nCSeq: 1 OPTIONS\r\n\
                 Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n",
                sip = self.sip,
            );
            // Refused until the socket is there.
            let _ = self.caller.send_to(options.as_bytes(), self.sip);
            std::thread::sleep(Duration::from_millis(2));
            if matches!(self.caller.recv_from(&mut room), Ok((length, _)) if room[..length].starts_with(b"SIP/2.0 200"))
            {
                return;
            }
        }
    }

    /// CPU time of the process so far, milliseconds; threads that have ended count.
    pub fn cpu_ms(&self) -> f64 {
        let stat =
            std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap_or_default();
        let fields = stat.rsplit(") ").next().unwrap_or("").split(' ');
        let ticks: f64 = fields
            .skip(11)
            .take(2)
            .filter_map(|field| field.parse::<f64>().ok())
            .sum();
        ticks * 10.0
    }

    /// Resident memory, KiB.
    pub fn resident_kib(&self) -> f64 {
        self.status("VmRSS:")
    }

    /// Resident memory and its parts.
    pub fn memory(&self) -> String {
        format!(
            "{} KiB (anonymous {}, files {}, shared {})",
            self.resident_kib(),
            self.status("RssAnon:"),
            self.status("RssFile:"),
            self.status("RssShmem:"),
        )
    }

    fn status(&self, name: &str) -> f64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id()))
            .unwrap_or_default();
        let line = status.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.split_whitespace().nth(1)?.parse().ok())
            .unwrap_or(f64::NAN)
    }

    pub fn open_files(&self) -> usize {
        let files = std::fs::read_dir(format!("/proc/{}/fd", self.child.id()));
        files.map_or(0, Iterator::count)
    }

    /// Keeps all its threads on one processor, or lets them go where they like.
    pub fn confine(&self, to_one: bool) {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.child.id()));
        for task in tasks.into_iter().flatten().flatten() {
            let Some(task) = task.file_name().to_str().and_then(|id| id.parse().ok()) else {
                continue;
            };
            // SAFETY: the set is plain bits, for which zero is valid, and each index is within it; it lives through the call.
            unsafe {
                let mut set: libc::cpu_set_t = std::mem::zeroed();
                for processor in 0..if to_one { 1 } else { processors } {
                    libc::CPU_SET(processor, &mut set);
                }
                libc::sched_setaffinity(task, size_of::<libc::cpu_set_t>(), &set);
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

/// Two numbers to one forward, one of them recorded, and the prompts of the sample configuration in memory.
fn plan(sip: SocketAddr, caller: SocketAddr, callee: SocketAddr) -> String {
    let prompts = concat!(env!("CARGO_MANIFEST_DIR"), "/config/prompts");
    let mut plan = format!(
        "[server]\nsip = [\"udp://{sip}\"]\nhttp = \"127.0.0.1:0\"\nrtp_ports = \"20000-29999\"\ncountry = \"RU\"\n\
         music = \"{prompts}/music.wav\"\n\
         [trunks.in]\npeer = \"{caller}\"\n[trunks.out]\npeer = \"{callee}\"\n\
         [forwards.far]\nto = \"+79990000000\"\ntrunk = \"out\"\n\
         [numbers.\"+74951000001\"]\nto = \"forward:far\"\nrecord = false\n\
         [numbers.\"+74951000002\"]\nto = \"forward:far\"\n",
    );
    for name in ["greeting", "menu", "please_wait", "leave_message", "closed"] {
        plan.push_str(&format!(
            "[announcements.{name}]\nprompt = \"{prompts}/{name}.wav\"\nthen = \"hangup\"\n"
        ));
    }
    plan
}

pub fn bind() -> UdpSocket {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a loopback port");
    socket.set_nonblocking(true).expect("a non-blocking socket");
    socket
}

pub fn address(socket: &UdpSocket) -> SocketAddr {
    socket.local_addr().expect("a bound socket has an address")
}
