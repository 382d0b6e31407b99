//! The built-in test phones, as commands of the real binary.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncRead, BufReader};
use tokio::process::{Child, Command};

use super::eventually;

/// A running `vats dial` or `vats answer`. Killed when dropped.
pub struct Vats {
    child: Child,
    said: Arc<Mutex<String>>,
}

impl Vats {
    /// Starts the binary in `folder`.
    pub fn start(folder: &Path, arguments: &[&str]) -> Vats {
        let mut command = Command::new(env!("CARGO_BIN_EXE_vats"));
        command.args(arguments);
        Vats::spawn(folder, command)
    }

    /// A line as it would be typed into a terminal.
    pub fn typed(folder: &Path, line: &str) -> Vats {
        let mut command = Command::new("sh");
        command.args(["-c", &format!("exec {line}")]);
        Vats::spawn(folder, command)
    }

    fn spawn(folder: &Path, mut command: Command) -> Vats {
        let mut child = command
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let said = Arc::default();
        listen(child.stdout.take().unwrap(), &said);
        listen(child.stderr.take().unwrap(), &said);
        Vats { child, said }
    }

    /// Calls `number` at the PBX.
    pub fn dial(folder: &Path, pbx: SocketAddr, number: &str, more: &[&str]) -> Vats {
        let uri = format!("sip:{number}@{pbx}");
        Vats::start(folder, &[&["dial", uri.as_str()], more].concat())
    }

    /// Registers as an operator with the password that `pbx::operator` gives, and waits until that is done.
    pub async fn answer(folder: &Path, pbx: SocketAddr, user: &str, more: &[&str]) -> Vats {
        let phone = Vats::answer_with(folder, pbx, user, &format!("secret-{user}"), more);
        phone.says("registered as").await;
        phone
    }

    /// Tries to register with this password.
    pub fn answer_with(
        folder: &Path,
        pbx: SocketAddr,
        user: &str,
        password: &str,
        more: &[&str],
    ) -> Vats {
        let server = pbx.to_string();
        let account = [
            "answer",
            "--user",
            user,
            "--password",
            password,
            "--server",
            &server,
            "--domain",
            "pbx.test",
        ];
        Vats::start(folder, &[&account, more].concat())
    }

    /// Everything printed so far.
    pub fn said(&self) -> String {
        self.said.lock().unwrap().clone()
    }

    /// Waits until this has been printed.
    pub async fn says(&self, what: &str) {
        let limit = Duration::from_secs(15);
        eventually(limit, &format!("says {what:?}"), || async {
            self.said().contains(what).then_some(())
        })
        .await;
    }

    /// Sends a signal: `INT`, `TERM`, `HUP`.
    pub fn signal(&self, name: &str) {
        let pid = self.child.id().expect("it runs").to_string();
        let sent = std::process::Command::new("kill")
            .args([&format!("-{name}"), &pid])
            .status();
        assert!(sent.unwrap().success());
    }

    /// Waits for the end: the exit code and everything printed.
    pub async fn ended(mut self) -> (i32, String) {
        let limit = Duration::from_secs(40);
        let status = tokio::time::timeout(limit, self.child.wait()).await;
        let Ok(status) = status else {
            panic!("still running after {limit:?}:\n{}", self.said());
        };
        // What was written last may still be on its way through the pipe.
        super::pause(50).await;
        (status.unwrap().code().expect("an exit code"), self.said())
    }
}

fn listen(stream: impl AsyncRead + Unpin + Send + 'static, said: &Arc<Mutex<String>>) {
    let mut lines = BufReader::new(stream).lines();
    let said = Arc::clone(said);
    tokio::spawn(async move {
        while let Ok(Some(line)) = lines.next_line().await {
            let mut said = said.lock().unwrap();
            said.push_str(&line);
            said.push('\n');
        }
    });
}

/// A WAV file in `folder` with five seconds of a tone.
pub fn tone(folder: &Path, name: &str, hertz: f64) -> PathBuf {
    let path = folder.join(name);
    super::sound::write_tone(&path, hertz, 5.0);
    path
}
