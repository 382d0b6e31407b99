//! A disk that is full: the recording stops and says so, the conversation goes on, and the next one is stored where there is room.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use serde_json::Value;
use tempfile::TempDir;

use crate::support::by_hand::{Peer, media_of, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::RtpPeer;
use crate::support::sound::{self, Law};
use crate::support::{eventually, pause};
use vats::sip::wire::Message;

const LIMIT: Duration = Duration::from_secs(30);
const NUMBER: &str = "+74951000001";
const CALLER: &str = "+79160000001";
const CALLER_TONE: f64 = 440.0;
const ANNA_TONE: f64 = 1_000.0;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 23));

/// A file system of 128 KiB: four seconds of a conversation. Unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    /// `None` where mounting is not allowed.
    fn mount() -> Option<SmallDisk> {
        let folder = tempfile::Builder::new()
            .prefix("vats-small-disk-")
            .tempdir()
            .unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", "size=128k", "vats-test"])
            .arg(folder.path())
            .output();
        let mounted = mounted.is_ok_and(|output| output.status.success());
        mounted.then_some(SmallDisk(folder))
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn of(&self, row: &Value) -> PathBuf {
        self.path().join(row["path"].as_str().unwrap())
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let unmounted = Command::new("umount").arg("-l").arg(self.path()).status();
        if !unmounted.is_ok_and(|status| status.success()) {
            eprintln!("still mounted: {}", self.path().display());
        }
    }
}

fn plan(disk: &SmallDisk, receiver: &Receiver) -> String {
    pbx::server()
        + &pbx::operator("anna", "")
        + &receiver.section(&["recording.ready", "recording.failed"])
        + &format!(
            r#"
[recordings]
path = "{}"
[trunks.here]
accept = ["127.0.0.23/32"]
[numbers."{NUMBER}"]
to = "operator:anna"
"#,
            disk.path().display()
        )
}

/// A caller who talks with anna.
struct Conversation<'a> {
    pbx: &'a Pbx,
    peer: Peer,
    voice: RtpPeer,
    ok: Message,
    /// The recording's id.
    recording: String,
    call: String,
}

impl Conversation<'_> {
    async fn begin(pbx: &Pbx) -> Conversation<'_> {
        let mut peer = Peer::new(pbx, HERE);
        let voice = RtpPeer::open(HERE, Law::A).await;
        voice.tone(Some(CALLER_TONE));
        let ok = peer.connected(NUMBER, &sdp(voice.address, "8"));
        voice.send_to(media_of(&ok));
        let one = eventually(LIMIT, "a conversation", || async {
            let live = pbx.items("/api/v1/calls/live").await;
            live.into_iter()
                .find(|call| !call["recording_id"].is_null())
        })
        .await;
        let text = |key: &str| one[key].as_str().unwrap().to_owned();
        let (recording, call) = (text("recording_id"), text("call_id"));
        Conversation {
            pbx,
            peer,
            voice,
            ok,
            recording,
            call,
        }
    }

    /// The recording's row once it is so.
    async fn row(&self, state: &str) -> Value {
        let path = format!("/api/v1/recordings/{}", self.recording);
        eventually(LIMIT, &format!("the recording is {state}"), || async {
            let (status, row) = self.pbx.fetch(&path).await;
            let row: Value = serde_json::from_slice(&row).ok()?;
            (status == 200 && row["state"] == state).then_some(row)
        })
        .await
    }

    /// The caller goes on hearing anna.
    async fn goes_on(&self) {
        let before = self.voice.audio().len();
        eventually(LIMIT, "anna is heard for another second", || async {
            let all = self.voice.audio();
            (sound::seconds_of(&all[before..], ANNA_TONE) > 1.0).then_some(())
        })
        .await;
    }

    async fn end(mut self) -> Value {
        let ok = self.ok.clone();
        self.peer.hang_up(&ok);
        self.pbx.ended_call_of(&self.call).await
    }
}

/// The events of a recording.
async fn told(receiver: &Receiver, kind: &str, recording: &str) -> Vec<Value> {
    eventually(LIMIT, &format!("{kind} of {recording}"), || async {
        let all = receiver.of(kind, CALLER).into_iter();
        let data = all.map(|one| one.event["data"].clone());
        let ours: Vec<Value> = data
            .filter(|data| data["recording_id"] == recording)
            .collect();
        (!ours.is_empty()).then_some(ours)
    })
    .await
}

async fn failed(pbx: &Pbx) -> Value {
    pbx.json("/health/ready").await["alive"]["recordings_failed"].clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_stops_the_recording_and_not_the_call() {
    let Some(disk) = SmallDisk::mount() else {
        eprintln!("skipped: this user may not mount a file system");
        return;
    };
    let receiver = Receiver::start(&[]).await;
    let pbx = Pbx::start(&plan(&disk, &receiver)).await;
    phone::tone(pbx.folder(), "anna.wav", ANNA_TONE);
    let options = ["--after", "0s", "--play", "anna.wav"];
    let _anna = Vats::answer(pbx.folder(), pbx.sip, "anna", &options).await;
    assert_eq!(failed(&pbx).await, 0);

    // The disk gets full in the middle.
    let first = Conversation::begin(&pbx).await;
    let row = first.row("failed").await;
    let fault = row["fault"].as_str().unwrap();
    assert!(fault.contains("No space left on device"), "{row}");
    let event = &told(&receiver, "recording.failed", &first.recording).await[0];
    assert_eq!(
        (&event["fault"], &event["path"]),
        (&row["fault"], &row["path"])
    );
    assert_eq!(failed(&pbx).await, 1);
    first.goes_on().await;
    let id = first.recording.clone();
    let call = first.end().await;
    assert_eq!(
        (&call["result"], &call["ended_by"]),
        (&"answered".into(), &"caller".into())
    );
    // What was stored before stays, complete and playable.
    let event = told(&receiver, "recording.ready", &id).await[0].clone();
    assert_eq!(event["fault"], row["fault"]);
    let row = pbx.json(&format!("/api/v1/recordings/{id}")).await;
    assert_eq!(
        (&row["state"], &row["sha256"]),
        (&"failed".into(), &event["sha256"])
    );
    let length = row["duration_ms"].as_u64().unwrap();
    assert!((3_000..4_200).contains(&length), "{row}");
    assert!(length < call["talk_ms"].as_u64().unwrap(), "{call}");
    let (status, wav) = pbx.fetch(row["audio"].as_str().unwrap()).await;
    assert_eq!(
        (status, wav.len() as u64),
        (200, row["bytes"].as_u64().unwrap())
    );
    let (sides, _) = sound::read_wav(&wav);
    for (side, hertz) in sides.iter().zip([CALLER_TONE, ANNA_TONE]) {
        let heard = sound::seconds_of(side, hertz);
        assert!(
            heard > length as f64 / 1_000.0 - 1.5,
            "{hertz} Hz: {heard} s"
        );
    }

    // While it is full nothing can begin.
    let second = Conversation::begin(&pbx).await;
    let row = second.row("failed").await;
    assert_eq!((&row["bytes"], &row["sha256"]), (&0.into(), &Value::Null));
    assert!(!disk.of(&row).exists());
    told(&receiver, "recording.failed", &second.recording).await;
    assert_eq!(failed(&pbx).await, 2);
    second.goes_on().await;
    assert_eq!(second.end().await["result"], "answered");

    // With room again the next one is stored.
    let path = pbx.json(&format!("/api/v1/recordings/{id}")).await;
    std::fs::remove_file(disk.of(&path)).unwrap();
    let third = Conversation::begin(&pbx).await;
    assert_eq!(third.row("running").await["fault"], Value::Null);
    pause(1_500).await;
    let id = third.recording.clone();
    third.end().await;
    let event = &told(&receiver, "recording.ready", &id).await[0];
    assert_eq!(event["fault"], Value::Null);
    assert_eq!(failed(&pbx).await, 2);
    // One each, and none for what was never there.
    assert_eq!(receiver.of("recording.failed", CALLER).len(), 2);
    assert_eq!(receiver.of("recording.ready", CALLER).len(), 2);
}
