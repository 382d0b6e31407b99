//! A recording goes through whatever happens to its call: what each side said is there, sample for sample and in its place.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection, Executor, SqliteConnection};

use crate::support::by_hand::{Peer, media_of, sdp};
use crate::support::noise::{self, Run};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::RtpPeer;
use crate::support::sound::{self, Law};
use crate::support::{eventually, free_port, pause};
use vats::sip::wire::{Message, Method};

const LIMIT: Duration = Duration::from_secs(30);
const NUMBER: &str = "+74951000001";
const CALLER: &str = "+79160000001";
/// Where callers are.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 24));
/// Where anna's phone is.
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 25));
/// What the caller and anna say.
const SALTS: [u64; 2] = [1, 2];
/// Samples of a minute: nobody talks longer.
const LONGEST: usize = 60 * 8_000;
/// The most that is missing of a side on a machine that stops now and then: half a second.
const MOST_LOST: usize = 4_000;

fn plan(anna: SocketAddr, more: &str) -> String {
    let server = pbx::server();
    let music = "drain = \"4s\"\nmusic = \"prompts/long.wav\"";
    server.replace("drain = \"4s\"", music)
        + &pbx::operator(
            "anna",
            &format!("extension = \"101\"\ncontact = \"sip:anna@{anna}\""),
        )
        + &pbx::operator("boris", "supervisor = true")
        + &format!(
            r#"
[trunks.here]
accept = ["{NEAR}/32"]
codecs = ["pcma"]
[numbers."{NUMBER}"]
to = "operator:anna"
[numbers."+74951000002"]
to = "conference:daily"
[numbers."+74951000003"]
to = "conference:book"
[conferences.daily]
beep = false
[conferences.book]
beep = false
record = true
{more}
"#
        )
}

/// A caller and anna, who talk in noise.
struct Talk {
    pbx: Pbx,
    caller: Peer,
    near: RtpPeer,
    ok: Message,
    anna: Peer,
    far: RtpPeer,
    call: String,
    requests: u32,
}

impl Talk {
    async fn begin(more: &str) -> Talk {
        let at = SocketAddr::new(FAR, free_port(FAR));
        let pbx = Pbx::start(&plan(at, more)).await;
        let anna = Peer::bound(&pbx, at);
        Talk::between(pbx, anna).await
    }

    async fn between(pbx: Pbx, anna: Peer) -> Talk {
        let mut caller = Peer::new(&pbx, NEAR);
        let near = RtpPeer::open(NEAR, Law::A).await;
        let far = RtpPeer::open(FAR, Law::A).await;
        let invite = caller.call(NUMBER, "", &sdp(near.address, "8"));
        caller.send(invite);
        answer(&anna, &far);
        let ok = caller.answer();
        assert_eq!(ok.status(), 200);
        let ack = caller.within(&ok, "ACK", 1, "", "");
        caller.send(ack);
        near.send_to(media_of(&ok));
        near.noise(Some(SALTS[0]));
        let call = eventually(LIMIT, "a conversation", || async {
            let live = pbx.items("/api/v1/calls/live").await;
            let one = live.iter().find(|call| !call["answered_at"].is_null())?;
            Some(one["call_id"].as_str().unwrap().to_owned())
        })
        .await;
        Talk {
            pbx,
            caller,
            near,
            ok,
            anna,
            far,
            call,
            requests: 1,
        }
    }

    /// The caller's re-INVITE with a direction.
    fn going(&mut self, direction: &str) {
        self.requests += 1;
        let n = self.requests;
        let body = sdp(self.near.address, "8").replace("o=- 1 1", &format!("o=- 1 {n}"));
        let body = format!("{body}a={direction}\r\n");
        let more = format!(
            "Contact: <sip:x@{}>\r\nContent-Type: application/sdp\r\n",
            self.caller.at
        );
        let invite = self.caller.within(&self.ok, "INVITE", n, &more, &body);
        self.caller.send(invite);
        assert_eq!(self.caller.answer().status(), 200);
        let ack = self.caller.within(&self.ok, "ACK", n, "", "");
        self.caller.send(ack);
    }

    async fn passed_on(&self, to: &str) {
        let path = format!("/api/v1/calls/{}/transfer", self.call);
        let (status, said) = self.pbx.post(&path, &json!({ "to": to })).await;
        assert_eq!(status, 202, "{said}");
    }

    /// Anna is told that it is over for her.
    fn anna_leaves(&self) {
        let bye = self.anna.request_within(LIMIT, Method::Bye);
        self.anna.respond(&bye, 200, "x", "sip:x@x", "");
    }

    /// The caller hangs up; what the row says of the file is true.
    async fn end(mut self) -> Ended {
        let ok = self.ok.clone();
        self.caller.hang_up(&ok);
        self.anna_leaves();
        let call = self.pbx.ended_call_of(&self.call).await;
        let row = complete(&self.pbx, call["recording_id"].as_str().unwrap()).await;
        let (status, wav) = self.pbx.fetch(row["audio"].as_str().unwrap()).await;
        assert_eq!((status, &row["bytes"]), (200, &json!(wav.len())));
        let (sides, rate) = sound::read_wav(&wav);
        assert_eq!(rate, 8_000);
        let runs = |n: usize| {
            let sent = noise::samples(SALTS[n], LONGEST);
            noise::runs(&sides[n], &sent).unwrap()
        };
        Ended {
            pbx: self.pbx,
            call,
            row,
            sides: [runs(0), runs(1)],
        }
    }
}

struct Ended {
    pbx: Pbx,
    call: Value,
    row: Value,
    /// The caller's and anna's.
    sides: [Vec<Run>; 2],
}

/// Anna's phone takes a call.
fn answer(anna: &Peer, far: &RtpPeer) {
    let invite = anna.request_within(LIMIT, Method::Invite);
    let body = sdp(far.address, "8");
    anna.respond(&invite, 200, "a", &format!("sip:anna@{}", anna.at), &body);
    far.send_to(media_of(&invite));
    far.noise(Some(SALTS[1]));
}

async fn complete(pbx: &Pbx, recording: &str) -> Value {
    let path = format!("/api/v1/recordings/{recording}");
    eventually(LIMIT, "the recording is complete", || async {
        let (status, row) = pbx.fetch(&path).await;
        let row: Value = serde_json::from_slice(&row).ok()?;
        (status == 200 && row["state"] == "complete" && !row["sha256"].is_null()).then_some(row)
    })
    .await
}

/// What was sent and is not there, between the first and the last that is, but for the longest such part where one is expected.
fn lost(runs: &[Run], but_one: bool) -> usize {
    let gaps = runs
        .windows(2)
        .map(|pair| pair[1].place - pair[0].place - pair[0].length);
    let gaps: Vec<usize> = gaps.collect();
    let longest = gaps.iter().max().filter(|_| but_one);
    gaps.iter().sum::<usize>() - longest.unwrap_or(&0)
}

/// Each run lies in the file where it lay in time.
fn assert_in_place(runs: &[Run]) {
    for pair in runs.windows(2) {
        let (stored, sent) = (pair[1].at - pair[0].at, pair[1].place - pair[0].place);
        assert!(stored.abs_diff(sent) < MOST_LOST, "{runs:?}");
    }
}

/// A side without a break.
fn assert_whole(runs: &[Run], seconds: f64) {
    assert!(noise::stored(runs) as f64 > seconds * 8_000.0, "{runs:?}");
    assert!(lost(runs, false) <= MOST_LOST, "{runs:?}");
    assert_in_place(runs);
}

/// A side with one break of about so many seconds.
fn assert_broken(runs: &[Run], seconds: f64, silent: std::ops::Range<f64>) {
    assert!(noise::stored(runs) as f64 > seconds * 8_000.0, "{runs:?}");
    assert!(lost(runs, true) <= MOST_LOST, "{runs:?}");
    assert_in_place(runs);
    let longest = runs
        .windows(2)
        .map(|pair| pair[1].at - pair[0].at - pair[0].length);
    let longest = longest.max().unwrap_or(0) as f64 / 8_000.0;
    assert!(
        silent.contains(&longest),
        "silent for {longest} s: {runs:?}"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hold_is_silence_in_its_place() {
    let mut talk = Talk::begin("").await;
    pause(1_500).await;
    talk.near.noise(None);
    talk.going("sendonly");
    pause(2_000).await;
    let music = sound::seconds_of(&talk.far.audio(), 300.0);
    talk.going("sendrecv");
    talk.near.noise(Some(SALTS[0]));
    pause(1_500).await;
    let ended = talk.end().await;
    assert!(music > 1.0, "anna heard music for {music} s");
    let [left, right] = &ended.sides;
    assert_broken(left, 2.5, 1.7..4.0);
    assert_whole(right, 4.5);
    assert_eq!(ended.call["recordings"].as_array().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_supervisor_comes_and_goes() {
    let talk = Talk::begin("").await;
    pause(1_000).await;
    phone::tone(talk.pbx.folder(), "boris.wav", 1_500.0);
    let options = "--from sip:boris@pbx.test --password secret-boris --play boris.wav --for 2s";
    let options: Vec<&str> = options.split(' ').collect();
    let boris = Vats::dial(talk.pbx.folder(), talk.pbx.sip, "*92101", &options);
    let (code, said) = boris.ended().await;
    assert_eq!(code, 0, "{said}");
    pause(1_000).await;
    let ended = talk.end().await;
    for side in &ended.sides {
        assert_whole(side, 3.5);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn into_a_conference_and_back() {
    let talk = Talk::begin("").await;
    let mut other = Peer::new(&talk.pbx, NEAR);
    let voice = RtpPeer::open(NEAR, Law::A).await;
    let ok = other.connected("+74951000002", &sdp(voice.address, "8"));
    voice.send_to(media_of(&ok));
    voice.noise(Some(9));
    pause(1_500).await;
    talk.passed_on("conference:daily").await;
    talk.anna_leaves();
    talk.far.noise(None);
    pause(2_000).await;
    talk.passed_on("operator:anna").await;
    answer(&talk.anna, &talk.far);
    pause(1_500).await;
    other.hang_up(&ok);
    let ended = talk.end().await;
    let [left, right] = &ended.sides;
    // His own side goes on; the others of the conference belong to other calls.
    assert_whole(left, 4.5);
    assert_broken(right, 2.5, 1.7..5.0);
    let segments = ended.row["segments"].as_array().unwrap();
    let annas = segments.iter().filter(|one| one["operator"] == "anna");
    assert_eq!(annas.count(), 2, "{}", ended.row);
    assert_eq!(ended.pbx.recordings().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn into_a_recorded_conference_he_is_in_both_files() {
    let talk = Talk::begin("").await;
    let mut other = Peer::new(&talk.pbx, NEAR);
    // He only listens, so that the conference's file holds nothing but the caller.
    let voice = RtpPeer::open(NEAR, Law::A).await;
    let ok = other.connected("+74951000003", &sdp(voice.address, "8"));
    voice.send_to(media_of(&ok));
    pause(1_500).await;
    talk.passed_on("conference:book").await;
    talk.anna_leaves();
    talk.far.noise(None);
    pause(2_500).await;
    talk.passed_on("operator:anna").await;
    answer(&talk.anna, &talk.far);
    pause(1_500).await;
    let live = talk.pbx.items("/api/v1/calls/live").await;
    let others = live.iter().find(|one| one["call_id"] != talk.call.as_str());
    let others = others.unwrap()["call_id"].as_str().unwrap().to_owned();
    other.hang_up(&ok);
    let ended = talk.end().await;
    assert_whole(&ended.sides[0], 5.0);
    assert_broken(&ended.sides[1], 2.5, 2.0..6.0);

    let row = ended.pbx.ended_call_of(&others).await;
    let id = row["recording_id"].as_str().unwrap();
    assert_ne!(ended.call["recording_id"], id);
    let book = complete(&ended.pbx, id).await;
    let (status, wav) = ended.pbx.fetch(book["audio"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    let (sides, _) = sound::read_wav(&wav);
    assert!(sides[1].iter().all(|&sample| sample == 0), "no operator");
    let heard = noise::runs(&sides[0], &noise::samples(SALTS[0], LONGEST)).unwrap();
    assert_whole(&heard, 2.0);
    assert!(noise::stored(&heard) < noise::stored(&ended.sides[0]) - 16_000);
    // The same word lies at the same time in both.
    let began = |row: &Value| {
        let at: jiff::Timestamp = row["started_at"].as_str().unwrap().parse().unwrap();
        at.as_millisecond() * 8
    };
    let zero = |row: &Value, run: &Run| began(row) + run.at as i64 - run.place as i64;
    let apart = zero(&book, &heard[0]) - zero(&ended.row, &ended.sides[0][0]);
    assert!(apart.unsigned_abs() < MOST_LOST as u64, "{apart} samples");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_database_is_away_meanwhile() {
    let receiver = Receiver::start(&[]).await;
    let at = SocketAddr::new(FAR, free_port(FAR));
    let section = receiver.section(&["recording.ready"]);
    let pbx = Pbx::start(&plan(at, &section)).await;
    let anna = Peer::bound(&pbx, at);
    let file = pbx.folder().join("data/vats.db");
    let mut lock = SqliteConnection::connect(&format!("sqlite://{}", file.display()))
        .await
        .unwrap();
    lock.execute("PRAGMA busy_timeout = 20000").await.unwrap();
    lock.execute("BEGIN IMMEDIATE").await.unwrap();
    let mut talk = Talk::between(pbx, anna).await;
    pause(3_000).await;
    let ok = talk.ok.clone();
    talk.caller.hang_up(&ok);
    talk.anna_leaves();
    eventually(LIMIT, "the file is complete and nothing runs", || async {
        let ready = talk.pbx.json("/health/ready").await;
        let alive = &ready["alive"];
        (alive["recordings"] == 0 && alive["calls"] == 0).then_some(())
    })
    .await;
    let files = talk.pbx.recordings();
    assert_eq!(files.len(), 1);
    assert!(receiver.deliveries().is_empty());
    eventually(LIMIT, "the journal goes to the spool", || async {
        let ready = talk.pbx.json("/health/ready").await;
        (ready["database"] != "ok").then_some(())
    })
    .await;
    lock.execute("ROLLBACK").await.unwrap();
    let call = talk.pbx.ended_call_of(&talk.call).await;
    let row = complete(&talk.pbx, call["recording_id"].as_str().unwrap()).await;
    let wav = std::fs::read(&files[0]).unwrap();
    assert!(files[0].ends_with(row["path"].as_str().unwrap()), "{row}");
    assert_eq!(row["bytes"], wav.len());
    let event = receiver.accepted("recording.ready", CALLER, LIMIT).await;
    assert_eq!(event.event["data"]["sha256"], row["sha256"]);
    let (sides, _) = sound::read_wav(&wav);
    for (side, salt) in sides.iter().zip(SALTS) {
        let runs = noise::runs(side, &noise::samples(salt, LONGEST)).unwrap();
        assert_whole(&runs, 2.5);
    }
    assert_eq!(receiver.of("recording.ready", CALLER).len(), 1);
}
