//! The PBX under test: `vats run` in a folder of its own, its API, its process.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use super::{CALLER, eventually, free_port, sound};

/// How long a start may take on a busy machine.
const START: Duration = Duration::from_secs(60);

/// A running PBX. Killed when dropped; its folder is kept and named when the test failed.
pub struct Pbx {
    folder: TempDir,
    child: Child,
    /// Where it takes SIP: over UDP, or else its first listener.
    pub sip: SocketAddr,
    /// Every listener, as `tls` and its address.
    listening: Vec<(String, SocketAddr)>,
    /// Where it takes HTTP.
    pub http: SocketAddr,
    client: reqwest::Client,
}

static RTP_RANGE: AtomicU16 = AtomicU16::new(0);

/// The beginning of a configuration: `[server]` on free ports and the trunk `acme`, which accepts callers' addresses.
pub fn server() -> String {
    // Test binaries that run side by side begin apart.
    let first = (std::process::id() % 12) as u16;
    let range = first + RTP_RANGE.fetch_add(1, Ordering::Relaxed);
    // Below the range from which the system gives ports of its own.
    let base = 20_000 + range % 12 * 1_000;
    let sip = free_port("127.0.0.1".parse().unwrap());
    format!(
        r#"
[server]
sip = ["udp://127.0.0.1:{sip}"]
domain = "pbx.test"
rtp_ports = "{base}-{end}"
http = "127.0.0.1:0"
database = "sqlite://data/vats.db"
drain = "4s"
country = "RU"
time_zone = "Europe/Moscow"

[trunks.acme]
accept = ["{CALLER}/32"]
codecs = ["pcmu", "pcma"]
"#,
        end = base + 999
    )
}

/// An operator with the password `secret-NAME`; `more` are further lines.
pub fn operator(name: &str, more: &str) -> String {
    format!(
        "\n[operators.{name}]\nname = \"{name}\"\npassword = \"secret-{name}\"\nwrap_up = \"0s\"\nauth = \"md5\"\n{more}\n"
    )
}

impl Pbx {
    /// Starts with this configuration. `prompts/short.wav` (0.4 s) and `prompts/long.wav` (4 s) exist.
    pub async fn start(toml: &str) -> Pbx {
        let folder = tempfile::Builder::new()
            .prefix("vats-test-")
            .tempdir()
            .unwrap();
        let config = folder.path().join("config");
        std::fs::create_dir_all(config.join("prompts")).unwrap();
        std::fs::create_dir_all(folder.path().join("data")).unwrap();
        sound::write_tone(&config.join("prompts/short.wav"), 300.0, 0.4);
        sound::write_tone(&config.join("prompts/long.wav"), 300.0, 4.0);
        std::fs::write(config.join("vats.toml"), toml).unwrap();
        Pbx::start_in(folder)
    }

    /// Starts in a folder with a configuration.
    pub fn start_in(folder: TempDir) -> Pbx {
        let (child, listening, http) = spawn(folder.path());
        // The first of all tests installs it.
        let _installed = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(10))
            .build()
            .unwrap();
        Pbx {
            folder,
            child,
            sip: chief(&listening),
            listening,
            http,
            client,
        }
    }

    /// The folder it runs in.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// `kill -9`.
    pub fn crash(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// SIGTERM.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends a signal: `TERM`, `HUP`, `INT`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().to_string();
        let status = Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(status.unwrap().success());
    }

    /// Replaces the configuration on disk; the running process does not know it yet.
    pub fn configure(&self, toml: &str) {
        std::fs::write(self.folder().join("config/vats.toml"), toml).unwrap();
    }

    /// Replaces the configuration and asks for a reload by the API: the status and the answer.
    pub async fn reload(&self, toml: &str) -> (u16, Value) {
        self.configure(toml);
        self.post("/api/v1/reload", &Value::Null).await
    }

    /// Waits until the process has ended of its own accord.
    pub async fn ended(&mut self, limit: Duration) -> ExitStatus {
        let child = std::cell::RefCell::new(&mut self.child);
        eventually(limit, "the PBX ends", || async {
            child.borrow_mut().try_wait().unwrap()
        })
        .await
    }

    /// Starts again in the same folder, after `crash` or `ended`.
    pub fn restart(&mut self) {
        (self.child, self.listening, self.http) = spawn(self.folder.path());
        self.sip = chief(&self.listening);
    }

    /// Where it takes SIP over a transport.
    pub fn over(&self, transport: &str) -> SocketAddr {
        *self.all(transport).first().expect("a listener of it")
    }

    /// Every listener of a transport, in the order of the configuration.
    pub fn all(&self, transport: &str) -> Vec<SocketAddr> {
        let listeners = self.listening.iter();
        listeners
            .filter(|(name, _)| name == transport)
            .map(|(_, address)| *address)
            .collect()
    }

    /// GET, as JSON; fails unless 200.
    pub async fn json(&self, path: &str) -> Value {
        let (status, body) = self.fetch(path).await;
        assert_eq!(status, 200, "{path}: {}", String::from_utf8_lossy(&body));
        serde_json::from_slice(&body).unwrap()
    }

    /// GET: the status and the body.
    pub async fn fetch(&self, path: &str) -> (u16, Vec<u8>) {
        let url = format!("http://{}{path}", self.http);
        let response = self.client.get(&url).send().await.expect(&url);
        let status = response.status().as_u16();
        (status, response.bytes().await.unwrap().to_vec())
    }

    /// POST with a JSON body: the status and the answer.
    pub async fn post(&self, path: &str, body: &Value) -> (u16, Value) {
        let url = format!("http://{}{path}", self.http);
        let response = self.client.post(&url).json(body).send().await.expect(&url);
        let status = response.status().as_u16();
        let bytes = response.bytes().await.unwrap();
        (
            status,
            serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        )
    }

    /// A call by its id, once it has ended.
    pub async fn ended_call_of(&self, id: &str) -> Value {
        let path = format!("/api/v1/calls/{id}");
        eventually(Duration::from_secs(10), &format!("{id} ends"), || async {
            let (status, body) = self.fetch(&path).await;
            let call: Value = serde_json::from_slice(&body).ok()?;
            (status == 200 && !call["ended_at"].is_null()).then_some(call)
        })
        .await
    }

    /// The items of a list.
    pub async fn items(&self, path: &str) -> Vec<Value> {
        let list = self.json(path).await;
        list["items"].as_array().expect("items").clone()
    }

    /// The call from this number, once it has ended, with its legs and trace.
    pub async fn ended_call(&self, caller: &str) -> Value {
        self.ended_call_within(caller, Duration::from_secs(10))
            .await
    }

    /// As `ended_call`, with a limit.
    pub async fn ended_call_within(&self, caller: &str, limit: Duration) -> Value {
        let id = eventually(limit, &format!("the call of {caller} ends"), || async {
            let calls = self.items("/api/v1/calls?limit=200").await;
            let ours = calls
                .iter()
                .find(|call| call["caller"] == caller && !call["ended_at"].is_null());
            ours.map(|call| call["call_id"].as_str().unwrap().to_owned())
        })
        .await;
        self.json(&format!("/api/v1/calls/{id}")).await
    }

    /// An operator's state, as the API names it.
    pub async fn operator_state(&self, name: &str) -> String {
        let operators = self.items("/api/v1/operators").await;
        let one = operators.iter().find(|one| one["operator"] == name);
        one.map_or("unknown", |one| one["state"].as_str().unwrap())
            .to_owned()
    }

    /// Waits for an operator's state.
    pub async fn wait_for_state(&self, name: &str, state: &str) {
        let limit = Duration::from_secs(10);
        eventually(limit, &format!("{name} becomes {state}"), || async {
            (self.operator_state(name).await == state).then_some(())
        })
        .await;
    }

    /// Waits until no call runs.
    pub async fn wait_until_idle(&self, limit: Duration) {
        eventually(limit, "no call is alive", || async {
            let live = self.items("/api/v1/calls/live").await;
            live.is_empty().then_some(())
        })
        .await;
    }

    /// Open files of the process.
    pub fn open_files(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder).unwrap().count()
    }

    /// UDP sockets of the process: listeners and media ports.
    pub fn sockets(&self) -> usize {
        let folder = format!("/proc/{}/fd", self.child.id());
        std::fs::read_dir(folder)
            .unwrap()
            .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
            .filter(|target| target.to_string_lossy().starts_with("socket:"))
            .count()
    }

    /// What it wrote on stderr so far.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("vats.log")).unwrap_or_default()
    }

    /// WAV files below `recordings/`.
    pub fn recordings(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.folder.path().join("recordings")];
        while let Some(folder) = folders.pop() {
            for entry in std::fs::read_dir(folder).into_iter().flatten() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|e| e == "wav") {
                    found.push(path);
                }
            }
        }
        found
    }
}

impl Pbx {
    /// Waits until no dialog, no media session and no recording is left; says what is, if that does not come to pass.
    fn leftovers(&self, limit: Duration) -> Option<String> {
        let until = std::time::Instant::now() + limit;
        loop {
            let ready = health(self.http)?;
            let alive: Value = serde_json::from_str(&ready).ok()?;
            let alive = &alive["alive"];
            let empty = ["calls", "dialogs", "media_sessions", "recordings"]
                .iter()
                .all(|what| alive[what] == 0);
            if empty {
                return None;
            }
            if std::time::Instant::now() > until {
                return Some(alive.to_string());
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

/// `GET /health/ready`, without a runtime: the body, or nothing when the process is gone.
fn health(http: SocketAddr) -> Option<String> {
    use std::io::{Read, Write};
    let mut stream = std::net::TcpStream::connect(http).ok()?;
    stream.set_read_timeout(Some(START)).ok()?;
    write!(
        stream,
        "GET /health/ready HTTP/1.1\r\nHost: {http}\r\nConnection: close\r\n\r\n"
    )
    .ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer
        .split_once("\r\n\r\n")
        .map(|(_, body)| body.to_owned())
}

impl Drop for Pbx {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let left = self.leftovers(TEARDOWN);
            assert!(
                left.is_none(),
                "the test left behind: {}",
                left.unwrap_or_default()
            );
        }
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            let log = self.log();
            let tail: Vec<&str> = log.lines().rev().take(60).collect();
            let tail: Vec<&str> = tail.into_iter().rev().collect();
            self.folder.disable_cleanup(true);
            let folder = self.folder.path().display();
            eprintln!("kept: {folder}\nend of the log:\n{}", tail.join("\n"));
        }
    }
}

/// Within this time after a test everything must be gone. A far side that left without a word is waited for 32 s (64·T1).
const TEARDOWN: Duration = Duration::from_secs(40);

/// Starts the binary in `folder`; waits for the lines `listening sip …`, `listening http …` and `ready`.
fn spawn(folder: &Path) -> (Child, Vec<(String, SocketAddr)>, SocketAddr) {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join("vats.log"))
        .unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_vats"))
        .args(["run", "--config", "config"])
        .current_dir(folder)
        .env("RUST_LOG", "info")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(log)
        .spawn()
        .unwrap();
    let stdout = BufReader::new(child.stdout.take().unwrap());
    let (lines, heard) = mpsc::channel();
    // Reads to the end, so that the PBX never waits for a full pipe.
    std::thread::spawn(move || {
        for line in stdout.lines().map_while(Result::ok) {
            lines.send(line).ok();
        }
    });
    let (mut sip, mut http) = (Vec::new(), None);
    loop {
        let Ok(line) = heard.recv_timeout(START) else {
            child.kill().ok();
            let log = std::fs::read_to_string(folder.join("vats.log")).unwrap_or_default();
            panic!("the PBX did not start:\n{log}");
        };
        if let Some(listener) = line.strip_prefix("listening sip ") {
            let (transport, address) = listener.trim().split_once("://").expect(listener);
            sip.push((transport.to_owned(), address.parse().expect(address)));
        } else if let Some(address) = line.strip_prefix("listening http http://") {
            http = Some(address.trim().parse().expect(address));
        } else if line.trim() == "ready" {
            break;
        }
    }
    (child, sip, http.expect("an HTTP line"))
}

fn chief(listening: &[(String, SocketAddr)]) -> SocketAddr {
    let udp = listening.iter().find(|(transport, _)| transport == "udp");
    udp.or(listening.first()).expect("a SIP line").1
}
