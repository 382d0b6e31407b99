//! baresip: a phone that answers at once, plays a WAV file and keeps what it hears.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use super::{ANYWHERE, PHONES, eventually, free_port, sound};

const MODULES: &str = "/usr/lib/baresip/modules";

/// A running baresip. Killed when dropped.
pub struct Baresip {
    folder: TempDir,
    child: Child,
    /// Where it takes SIP.
    pub address: SocketAddr,
    /// Where it takes commands.
    control: SocketAddr,
}

impl Baresip {
    /// Registers `operator` at the PBX; answers every call at once and sends the tone; offers the codecs in this order (`PCMU/8000/1`).
    pub async fn start(pbx: SocketAddr, operator: &str, hertz: f64, codecs: &str) -> Baresip {
        let address = SocketAddr::new(PHONES, free_port(PHONES));
        let outbound = format!("sip:{pbx};transport=udp");
        let place = Place {
            namespace: None,
            address,
            media: free_port(ANYWHERE),
            ca: None,
        };
        let account = format!(";audio_codecs={codecs}");
        let baresip = Baresip::start_at(&place, operator, hertz, &outbound, &account);
        baresip.registered().await;
        baresip
    }

    /// As `start`, at another place, with another way to the PBX and more parameters of the account; does not wait for anything.
    pub fn start_at(
        place: &Place,
        operator: &str,
        hertz: f64,
        outbound: &str,
        account: &str,
    ) -> Baresip {
        let address = place.address;
        let folder = tempfile::Builder::new()
            .prefix("vats-baresip-")
            .tempdir()
            .unwrap();
        let home = folder.path().display();
        sound::write_tone(&folder.path().join("tone.wav"), hertz, 30.0);
        let control = SocketAddr::new(place.address.ip(), free_port(PHONES));
        let config = config(&home.to_string(), place, control);
        std::fs::write(folder.path().join("config"), config).unwrap();
        let account = format!(
            "<sip:{operator}@pbx.test>;auth_user={operator};auth_pass=secret-{operator};outbound=\"{outbound}\";regint=600;answermode=auto{account}\n"
        );
        std::fs::write(folder.path().join("accounts"), account).unwrap();
        std::fs::write(folder.path().join("contacts"), "").unwrap();
        let log = std::fs::File::create(folder.path().join("log.txt")).unwrap();
        let mut command = match &place.namespace {
            None => Command::new("baresip"),
            Some(name) => {
                let mut command = Command::new("ip");
                command.args(["netns", "exec", name.as_str(), "baresip"]);
                command
            }
        };
        let child = command
            .args(["-v", "-f"])
            .arg(folder.path())
            .current_dir(folder.path())
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .expect("baresip is installed (make test-packages)");
        Baresip {
            folder,
            child,
            address,
            control,
        }
    }

    /// Waits until it is registered.
    pub async fn registered(&self) {
        eventually(Duration::from_secs(10), "baresip registers", || async {
            self.log().contains("200 OK").then_some(())
        })
        .await;
    }

    /// Ends it without a word, as a phone that loses power.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Has it do something to its call: `hold`, `resume`.
    pub async fn command(&self, command: &str) {
        self.command_with(command, "").await;
    }

    /// As `command`, with a parameter: `dial` and whom.
    pub async fn command_with(&self, command: &str, parameter: &str) {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut stream = tokio::net::TcpStream::connect(self.control).await.unwrap();
        let json = format!("{{\"command\":\"{command}\",\"params\":\"{parameter}\"}}");
        let netstring = format!("{}:{json},", json.len());
        stream.write_all(netstring.as_bytes()).await.unwrap();
        // Events come the same way, before the answer too.
        let (mut replies, mut buffer) = (String::new(), [0; 1_024]);
        while !replies.contains("\"response\":true") {
            let length = stream.read(&mut buffer).await.unwrap();
            assert!(length > 0, "{command}: {replies}");
            replies += &String::from_utf8_lossy(&buffer[..length]);
        }
        assert!(replies.contains("\"ok\":true"), "{command}: {replies}");
    }

    /// What it wrote.
    pub fn log(&self) -> String {
        let bytes = std::fs::read(self.folder.path().join("log.txt")).unwrap_or_default();
        String::from_utf8_lossy(&bytes).into_owned()
    }

    /// What it heard in the last call, after that call has ended.
    pub async fn heard(&self) -> Vec<i16> {
        let limit = Duration::from_secs(5);
        let path = eventually(limit, "baresip's dump", || async { self.dump() }).await;
        let bytes = eventually(limit, "baresip closes its dump", || async {
            let bytes = std::fs::read(&path).ok()?;
            (bytes.len() > 44 && self.log().contains("audio: destroyed")).then_some(bytes)
        })
        .await;
        let (mut channels, rate) = sound::read_wav(&bytes);
        let heard: Vec<f32> = channels.remove(0).into_iter().map(f32::from).collect();
        let heard = vats::audio::resample::resample(&heard, rate, 8_000);
        heard.into_iter().map(|sample| sample as i16).collect()
    }

    /// The sample rate of what it heard last: its codec's.
    pub fn heard_rate(&self) -> u32 {
        let bytes = std::fs::read(self.dump().expect("a dump")).unwrap();
        sound::read_wav(&bytes).1
    }

    fn dump(&self) -> Option<PathBuf> {
        let entries = std::fs::read_dir(self.folder.path()).ok()?;
        let mut dumps: Vec<PathBuf> = entries
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.to_string_lossy().ends_with("-dec.wav"))
            .collect();
        dumps.sort();
        dumps.pop()
    }
}

impl Drop for Baresip {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
        if std::thread::panicking() {
            eprintln!("baresip:\n{}", self.log());
        }
    }
}

/// Where a baresip runs.
pub struct Place {
    /// A network namespace; `None`: the machine's.
    pub namespace: Option<String>,
    /// Its SIP address.
    pub address: SocketAddr,
    /// Its first media port: baresip binds it on every address.
    pub media: u16,
    /// The authority that it believes.
    pub ca: Option<PathBuf>,
}

fn config(home: &str, place: &Place, control: SocketAddr) -> String {
    let modules: String = [
        "module g711.so",
        "module g722.so",
        "module opus.so",
        "module srtp.so",
        "module aubridge.so",
        "module sndfile.so",
        "module aufile.so",
        "module_tmp uuid.so",
        "module_tmp account.so",
        "module_app menu.so",
        "module_app ctrl_tcp.so",
    ]
    .join("\n");
    let (address, media) = (place.address, place.media);
    let ip: IpAddr = address.ip();
    let ca = match &place.ca {
        Some(file) => format!("sip_cafile {}\n", file.display()),
        None => String::new(),
    };
    ca + &format!(
        "sip_listen {address}\nctrl_tcp_listen {control}\nnet_interface {ip}\ncall_max_calls 4\naudio_player aubridge,none\naudio_source aufile,{home}/tone.wav\nausrc_srate 8000\nausrc_channels 1\naudio_alert aubridge,alert\nrtp_ports {media}-{}\nmodule_path {MODULES}\n{modules}\nsnd_path {home}\n",
        media + 3
    )
}
