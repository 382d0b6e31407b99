//! linphonec: a phone with several lines that holds, consults and transfers as desk phones do. Seventy packages come with it, so it is not installed for the
//! tests: they use it where it is.

use std::io::Write;
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{ANYWHERE, PHONES, eventually, free_port, sound};

/// A running linphonec. Killed when dropped.
pub struct Linphone {
    folder: TempDir,
    child: Child,
    keys: ChildStdin,
}

impl Linphone {
    /// Registers `operator`, who watches anna; a sentence why there is no such phone here.
    pub async fn start(pbx: SocketAddr, operator: &str, hertz: f64) -> Result<Linphone, String> {
        let program = Path::new("/usr/bin/linphonec");
        if !program.exists() {
            return Err("linphone-cli is not installed".to_owned());
        }
        let folder = tempfile::tempdir().unwrap();
        // Where it keeps its database.
        std::fs::create_dir_all(folder.path().join(".local/share/linphone")).unwrap();
        sound::write_tone(&folder.path().join("tone.wav"), hertz, 30.0);
        let address = SocketAddr::new(PHONES, free_port(PHONES));
        let config = CONFIG
            .replace("ADDRESS", &PHONES.to_string())
            .replace("PORT", &address.port().to_string())
            .replace("MEDIA", &free_port(ANYWHERE).to_string())
            .replace("PBX", &pbx.to_string())
            .replace("OPERATOR", operator);
        std::fs::write(folder.path().join("linphonerc"), config).unwrap();
        let said = std::fs::File::create(folder.path().join("said.txt")).unwrap();
        let mut child = Command::new(program)
            .args(["-c", "linphonerc", "-d", "5", "-l", "log.txt"])
            .current_dir(folder.path())
            .env("HOME", folder.path())
            .stdin(Stdio::piped())
            .stdout(said.try_clone().unwrap())
            .stderr(said)
            .spawn()
            .map_err(|error| format!("linphonec: {error}"))?;
        let keys = child.stdin.take().unwrap();
        let mut phone = Linphone {
            folder,
            child,
            keys,
        };
        phone.says("linphonec>").await;
        phone.press("soundcard use files");
        // It registers by itself; whoever waits for the operator to be there waits for that.
        Ok(phone)
    }

    /// Types a command.
    pub fn press(&mut self, command: &str) {
        writeln!(self.keys, "{command}").unwrap();
        self.keys.flush().unwrap();
    }

    /// Types a command, waits for sound to whomever that connects it with, and plays its tone.
    pub async fn press_and_talk(&mut self, command: &str) {
        let streams = |said: &str| said.matches("Media streams established").count();
        let before = streams(&self.said());
        self.press(command);
        let limit = Duration::from_secs(15);
        eventually(
            limit,
            &format!("{command} makes linphonec talk"),
            || async { (streams(&self.said()) > before).then_some(()) },
        )
        .await;
        let tone = self.folder.path().join("tone.wav");
        self.press(&format!("play {}", tone.display()));
    }

    /// Everything it said.
    pub fn said(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("said.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Its log, with every SIP message.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// Waits until it has said this.
    pub async fn says(&self, what: &str) {
        let limit = Duration::from_secs(15);
        eventually(limit, &format!("linphonec says {what:?}"), || async {
            self.said().contains(what).then_some(())
        })
        .await;
    }
}

impl Drop for Linphone {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("linphonec:\n{}", self.said());
            let log = self.log();
            let of_sip =
                |line: &&str| !line.contains("liblinphone-") && !line.contains("mediastreamer-");
            for line in log.lines().filter(of_sip) {
                eprintln!("{line}");
            }
        }
    }
}

const CONFIG: &str = "[sip]
sip_port=PORT
sip_tcp_port=0
sip_tls_port=0
use_ipv6=0
bind_address=ADDRESS
guess_hostname=0
contact=<sip:OPERATOR@ADDRESS>
default_proxy=0
media_encryption=none
register_only_when_network_is_up=0
auto_net_state_mon=0
[rtp]
audio_rtp_port=MEDIA
[sound]
echocancellation=0
[video]
enabled=0
[proxy_0]
reg_proxy=<sip:PBX;transport=udp>
reg_route=<sip:PBX;transport=udp;lr>
reg_identity=sip:OPERATOR@pbx.test
reg_expires=300
reg_sendregister=1
publish=0
[auth_info_0]
username=OPERATOR
passwd=secret-OPERATOR
realm=pbx.test
domain=pbx.test
[friend_0]
url=<sip:anna@pbx.test>
pol=accept
subscribe=1
";
