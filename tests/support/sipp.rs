//! SIPp: one process per scenario; its message trace is what was on the wire, with times.

use std::net::{IpAddr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::scenario::{self, Caller, Phone};
use super::{CALLER, PHONES, eventually, free_port, pause};

/// A running SIPp. Killed when dropped.
pub struct Sipp {
    folder: TempDir,
    child: Child,
    /// Where it sends and receives SIP.
    pub address: SocketAddr,
}

/// A message as SIPp traced it.
#[derive(Clone, Debug)]
pub struct Traced {
    /// Seconds since midnight.
    pub at: f64,
    /// Whether SIPp sent it.
    pub sent: bool,
    /// The message.
    pub text: String,
}

impl Traced {
    /// The first line.
    pub fn start(&self) -> &str {
        self.text.lines().next().unwrap_or_default()
    }

    /// A header's value.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.text.lines().find_map(|line| {
            let (key, value) = line.split_once(':')?;
            key.eq_ignore_ascii_case(name).then(|| value.trim())
        })
    }

    /// Where its SDP asks for media.
    pub fn media(&self) -> Option<SocketAddr> {
        let line = |start: &str| self.text.lines().find_map(|l| l.strip_prefix(start));
        let ip: IpAddr = line("c=IN IP4 ")?.trim().parse().ok()?;
        let port = line("m=audio ")?.split(' ').next()?.parse().ok()?;
        Some(SocketAddr::new(ip, port))
    }
}

/// How a scenario is run.
#[derive(Clone, Debug)]
pub struct Run {
    /// The XML.
    pub xml: String,
    /// SIPp's address; port 0: a free one.
    pub local: SocketAddr,
    /// The far side.
    pub remote: SocketAddr,
    /// How many calls it places or takes before it ends.
    pub calls: u32,
    /// Calls per second, for callers.
    pub rate: u32,
    /// Seconds until it fails.
    pub limit: u32,
    /// Whether messages are traced.
    pub trace: bool,
    /// As SIPp names it: `u1`, `t1`.
    pub transport: &'static str,
}

impl Run {
    /// One call, traced, at most 100 s.
    pub fn once(xml: String, ip: IpAddr, remote: SocketAddr) -> Run {
        Run {
            xml,
            local: SocketAddr::new(ip, 0),
            remote,
            calls: 1,
            rate: 10,
            limit: 100,
            trace: true,
            transport: "u1",
        }
    }
}

impl Sipp {
    /// Starts it.
    pub fn start(run: &Run) -> Sipp {
        let folder = tempfile::Builder::new()
            .prefix("vats-sipp-")
            .tempdir()
            .unwrap();
        let ip = run.local.ip();
        let port = match run.local.port() {
            0 => free_port(ip),
            port => port,
        };
        std::fs::write(folder.path().join("scenario.xml"), &run.xml).unwrap();
        let screen = std::fs::File::create(folder.path().join("screen.txt")).unwrap();
        let mut command = Command::new("sipp");
        command
            .args(["-sf", "scenario.xml", "-nostdin", "-timeout_error"])
            .args(["-i", &ip.to_string(), "-p", &port.to_string()])
            .args(["-mi", &ip.to_string(), "-t", run.transport])
            .args(["-mp", &free_port(ip).to_string()])
            .args(["-m", &run.calls.to_string(), "-r", &run.rate.to_string()])
            .args(["-l", "10000", "-timeout", &format!("{}s", run.limit)])
            .args(["-trace_err", "-error_file", "errors.txt"]);
        if run.trace {
            command.args(["-trace_msg", "-message_file", "messages.txt"]);
        }
        let child = command
            .arg(run.remote.to_string())
            .current_dir(folder.path())
            .env("TERM", "xterm")
            .stdin(Stdio::null())
            .stdout(screen.try_clone().unwrap())
            .stderr(screen)
            .spawn()
            .expect("sipp is installed (make test-packages)");
        Sipp {
            folder,
            child,
            address: SocketAddr::new(ip, port),
        }
    }

    /// A caller from the trunk's address.
    pub fn call(pbx: SocketAddr, caller: &Caller<'_>) -> Sipp {
        Sipp::start(&Run::once(caller.xml(), CALLER, pbx))
    }

    /// An operator's phone: registers, then takes so many calls.
    pub async fn phone(pbx: SocketAddr, operator: &str, phone: &Phone, calls: u32) -> Sipp {
        let local = SocketAddr::new(PHONES, free_port(PHONES));
        Sipp::register(pbx, operator, local).await;
        let sipp = Sipp::start(&Run {
            local,
            calls,
            ..Run::once(phone.xml(), PHONES, pbx)
        });
        sipp.listening().await;
        sipp
    }

    /// Registers an operator's phone at `local`.
    pub async fn register(pbx: SocketAddr, operator: &str, local: SocketAddr) {
        let mut sipp = Sipp::start(&Run {
            local,
            limit: 10,
            ..Run::once(scenario::register(operator, 3_600), PHONES, pbx)
        });
        sipp.finished(Duration::from_secs(12)).await;
    }

    /// Waits until its socket is bound.
    pub async fn listening(&self) {
        eventually(Duration::from_secs(5), "SIPp listens", || async {
            let errors = std::fs::read_to_string(self.folder.path().join("errors.txt"));
            assert_eq!(errors.unwrap_or_default(), "", "SIPp {}", self.address);
            let udp = std::net::UdpSocket::bind(self.address).is_err();
            let tcp = std::net::TcpStream::connect(self.address).is_ok();
            (udp || tcp).then_some(())
        })
        .await;
    }

    /// Waits for its end; fails with its errors unless every call went as the scenario says.
    pub async fn finished(&mut self, limit: Duration) {
        let end = std::time::Instant::now() + limit;
        let outcome = loop {
            match self.child.try_wait().unwrap() {
                Some(status) if status.success() => return,
                Some(status) => break status.to_string(),
                None if std::time::Instant::now() > end => {
                    break format!("still runs after {limit:?}");
                }
                None => pause(50).await,
            }
        };
        let read =
            |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        let lines: Vec<String> = self.messages().iter().map(summary).collect();
        panic!(
            "SIPp {}: {outcome}\n{}\nmessages:\n{}\n{}",
            self.address,
            read("errors.txt"),
            lines.join("\n"),
            if lines.is_empty() {
                read("screen.txt")
            } else {
                String::new()
            }
        );
    }

    /// Ends it at once, as a phone that loses power.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// The messages so far.
    pub fn messages(&self) -> Vec<Traced> {
        let path = self.folder.path().join("messages.txt");
        let bytes = std::fs::read(path).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
        text.split("----------------------------------------------- ")
            .filter_map(parse)
            .collect()
    }

    /// Waits for a message.
    pub async fn message(
        &self,
        limit: Duration,
        what: &str,
        matches: impl Fn(&Traced) -> bool,
    ) -> Traced {
        eventually(limit, &format!("{}: {what}", self.address), || async {
            self.messages().into_iter().find(|m| matches(m))
        })
        .await
    }

    /// Waits for an INVITE.
    pub async fn invite(&self, limit: Duration) -> Traced {
        self.message(limit, "an INVITE", |m| {
            !m.sent && m.start().starts_with("INVITE ")
        })
        .await
    }

    /// Waits for the 200 with SDP.
    pub async fn answer(&self, limit: Duration) -> Traced {
        self.message(limit, "a 200 to INVITE", |m| {
            !m.sent && m.start().starts_with("SIP/2.0 200") && m.media().is_some()
        })
        .await
    }

    /// How many messages of that direction start so.
    pub fn count(&self, sent: bool, start: &str) -> usize {
        let all = self.messages();
        all.iter()
            .filter(|m| m.sent == sent && m.start().starts_with(start))
            .count()
    }
}

impl Drop for Sipp {
    fn drop(&mut self) {
        self.kill();
    }
}

fn summary(message: &Traced) -> String {
    let arrow = if message.sent { "->" } else { "<-" };
    let reason = message.header("Reason").or(message.header("Warning"));
    format!(
        "{:.3} {arrow} {} {}",
        message.at,
        message.start(),
        reason.unwrap_or_default()
    )
}

/// One entry: date and time, `UDP message sent (493 bytes):`, an empty line, the message.
fn parse(entry: &str) -> Option<Traced> {
    let (head, text) = entry.split_once("\n\n")?;
    let (time, what) = head.split_once('\n')?;
    let clock = time.split_whitespace().nth(1)?;
    let mut parts = clock.split(':').map(str::parse::<f64>);
    let mut part = || parts.next()?.ok();
    let at = part()? * 3_600.0 + part()? * 60.0 + part()?;
    Some(Traced {
        at,
        sent: what.contains("sent"),
        text: text.trim_start().to_owned(),
    })
}
