//! Conferences through the real binary, with phones that say tones and keep what they hear.

use std::net::{IpAddr, Ipv4Addr};
use std::process::Command;
use std::time::Duration;

use crate::support::by_hand::{Peer, sdp};
use crate::support::noise;
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::{Packet, RtpPeer};
use crate::support::sound::{self, Law};
use crate::support::{eventually, pause};
use vats::audio::goertzel;
use vats::sip::wire::{Message, Method};

const DAILY: &str = "+74951000001";
const BOARD: &str = "+74951000002";
const BOOK: &str = "+74951000003";
const TONES: [f64; 3] = [440.0, 1_000.0, 1_500.0];
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));

fn plan() -> String {
    pbx::server()
        + &pbx::operator("anna", "extension = \"101\"")
        + &format!(
            r#"
[trunks.here]
accept = ["127.0.0.5/32"]
[numbers."{DAILY}"]
to = "conference:daily"
[numbers."{BOARD}"]
to = "conference:board"
[numbers."{BOOK}"]
to = "conference:book"
record = false
[conferences.book]
extension = "801"
record = true
[conferences.daily]
extension = "800"
max_members = 3
[conferences.board]
prompt = "prompts/short.wav"
pin = "4711"
beep = false
[[test]]
name = "The daily conference"
to = "{DAILY}"
expect = "conference:daily"
[[test]]
name = "Who knows the pin comes in"
to = "{BOARD}"
keys = "4711"
expect = "conference:board"
[[test]]
name = "Who does not is turned away"
to = "{BOARD}"
keys = "1234123412"
expect = "hangup"
"#
        )
}

/// A caller in a dialog, with his voice.
struct Member {
    peer: Peer,
    voice: RtpPeer,
    ok: Message,
}

impl Member {
    async fn new(pbx: &Pbx, number: &str, law: Law, tone: f64) -> Member {
        let mut peer = Peer::new(pbx, HERE);
        let voice = RtpPeer::open(HERE, law).await;
        voice.tone(Some(tone));
        let formats = format!("{} 101", law.payload_type());
        let offer = sdp(voice.address, &formats) + "a=rtpmap:101 telephone-event/8000\r\n";
        let ok = peer.connected(number, &offer);
        voice.send_to(crate::support::by_hand::media_of(&ok));
        Member { peer, voice, ok }
    }

    /// Whether a tone is in what was heard in the last second.
    fn hears(&self, tone: f64) -> bool {
        let level = self.level(tone);
        assert!(!(-40.0..-20.0).contains(&level), "{tone}: {level}");
        level > -20.0
    }

    /// The level of a tone in the last second, in dB of full scale.
    fn level(&self, tone: f64) -> f64 {
        let all = self.voice.audio();
        goertzel::level_dbfs(&all[all.len().saturating_sub(8_000)..], tone)
    }

    fn hang_up(&mut self) {
        let ok = self.ok.clone();
        self.peer.hang_up(&ok);
    }
}

/// Every number once, in order, one stream, time going on.
fn is_one_stream(packets: &[Packet]) {
    for pair in packets.windows(2) {
        let (a, b) = (&pair[0], &pair[1]);
        assert_eq!(a.ssrc, b.ssrc);
        assert_eq!(a.sequence.wrapping_add(1), b.sequence);
        assert!((1..80_000).contains(&b.timestamp.wrapping_sub(a.timestamp)));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_hears_the_others_and_not_himself() {
    let pbx = Pbx::start(&plan()).await;
    let laws = [Law::A, Law::Mu, Law::A];
    let mut members = Vec::new();
    for (law, tone) in laws.into_iter().zip(TONES) {
        members.push(Member::new(&pbx, DAILY, law, tone).await);
        pause(300).await;
    }
    // Two notes tell that somebody came.
    let notes = members[0].voice.audio();
    let loudest = notes
        .chunks_exact(800)
        .map(|part| goertzel::level_dbfs(part, 880.0))
        .fold(-200.0, f64::max);
    assert!(loudest > -30.0, "{loudest}");
    pause(2_000).await;
    for (n, member) in members.iter().enumerate() {
        for (other, tone) in TONES.iter().enumerate() {
            assert_eq!(member.hears(*tone), n != other, "{n} and {tone}");
        }
    }
    let live = pbx.items("/api/v1/calls/live").await;
    assert_eq!(live.len(), 3);
    assert_eq!(live[0]["path"], serde_json::json!(["conference:daily"]));
    // A fourth does not fit in.
    let mut fourth = Peer::new(&pbx, HERE);
    let media = RtpPeer::open(HERE, Law::A).await;
    let ok = fourth.connected(DAILY, &sdp(media.address, "8"));
    let bye = fourth.request(Method::Bye);
    assert_eq!(bye.call_id(), ok.call_id());
    fourth.respond(&bye, 200, "x", "sip:x@x", "");
    // One leaves: the others go on without a gap.
    let before = members[0].voice.audio().len();
    members[2].hang_up();
    pause(2_000).await;
    assert!(members[0].hears(TONES[1]) && !members[0].hears(TONES[2]));
    assert!(members[1].hears(TONES[0]) && !members[1].hears(TONES[2]));
    let audio = members[0].voice.audio();
    let silent = audio[before..]
        .chunks_exact(160)
        .filter(|block| goertzel::level_dbfs(block, TONES[1]) < -20.0)
        .count();
    // To the sample it is told in virtual time (`media/room/tests`); here a busy machine may hold up who speaks.
    assert!(silent <= 10, "20 ms without the other: {silent}");
    for member in &members {
        is_one_stream(&member.voice.heard());
    }
    members[0].hang_up();
    members[1].hang_up();
    let row = pbx.ended_call("+79160000001").await;
    assert_eq!(row["result"], "served", "{row}");
    assert_eq!(row["cause"], serde_json::Value::Null);
    assert_eq!(row["path"], serde_json::json!(["conference:daily"]));
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pin_lets_in() {
    let pbx = Pbx::start(&plan()).await;
    let mut first = Member::new(&pbx, BOARD, Law::Mu, TONES[0]).await;
    let mut second = Member::new(&pbx, BOARD, Law::Mu, TONES[1]).await;
    let stranger = Member::new(&pbx, BOARD, Law::Mu, TONES[2]).await;
    for (n, key) in "4711".chars().enumerate() {
        for member in [&first, &second] {
            member.voice.press(key);
        }
        stranger.voice.press(char::from(b'1' + n as u8));
        pause(300).await;
    }
    let limit = Duration::from_secs(5);
    eventually(limit, "both hear each other", || async {
        let audio = first.voice.audio();
        let last = &audio[audio.len().saturating_sub(1_600)..];
        sound::is_tone(last, TONES[1]).then_some(())
    })
    .await;
    assert!(!stranger.hears(TONES[0]));
    for _ in 0..2 {
        for key in "1234".chars() {
            stranger.voice.press(key);
            pause(300).await;
        }
    }
    let bye = stranger.peer.request(Method::Bye);
    stranger.peer.respond(&bye, 200, "x", "sip:x@x", "");
    pause(1_000).await;
    assert!(second.hears(TONES[0]) && !second.hears(TONES[2]));
    for member in [&mut first, &mut second] {
        member.hang_up();
    }
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_dial_the_extension_in_wideband() {
    let pbx = Pbx::start(&plan()).await;
    phone::tone(pbx.folder(), "anna.wav", TONES[1]);
    let mut member = Member::new(&pbx, DAILY, Law::A, TONES[0]).await;
    let options = [
        "--from",
        "sip:anna@pbx.test",
        "--password",
        "secret-anna",
        "--play",
        "anna.wav",
        "--record",
        "heard.wav",
        "--codec",
        "g722",
        "--for",
        "6s",
    ];
    let anna = Vats::dial(pbx.folder(), pbx.sip, "800", &options);
    anna.says("answered").await;
    eventually(Duration::from_secs(5), "anna is heard", || async {
        (member.level(TONES[1]) > -20.0).then_some(())
    })
    .await;
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    let (heard, rate) = sound::read_wav(&std::fs::read(pbx.folder().join("heard.wav")).unwrap());
    let end = &heard[0][heard[0].len() / 2..];
    let scaled = TONES[0] * 8_000.0 / f64::from(rate);
    assert!(goertzel::level_dbfs(end, scaled) > -20.0);
    member.hang_up();
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn check_and_route_know_conferences() {
    let pbx = Pbx::start(&plan()).await;
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_vats"))
            .args(arguments)
            .current_dir(pbx.folder())
            .output()
            .unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said.into_owned())
    };
    let (ok, said) = run(&["check"]);
    assert!(ok, "{said}");
    let (_, said) = run(&["route", "--to", DAILY]);
    assert!(said.contains("conference:daily"), "{said}");
    let (_, said) = run(&["route", "--to", "800", "--from", "anna"]);
    assert!(said.contains("800 is conference:daily"), "{said}");
    pbx.configure(&(plan() + "[conferences.bad]\npin = \"12\"\n"));
    let (ok, said) = run(&["check"]);
    assert!(!ok && said.contains("this is no pin"), "{said}");
    assert!(
        said.contains("nothing asks the caller for the pin"),
        "{said}"
    );
}

/// A caller who comes in with noise.
async fn comes_in(pbx: &Pbx, salt: u64) -> Member {
    let member = Member::new(pbx, BOOK, Law::A, TONES[0]).await;
    member.voice.noise(Some(salt));
    member
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_of_a_recorded_conference_are_in_one_file() {
    // A caller whom this machine holds up for longer than the room waits is heard with a gap that he did not make: that
    // conference is held again, if that is seen from how the callers came in.
    let mut disturbed = Vec::new();
    while disturbed.len() < 4 {
        let (left, sent, uneven) = recorded_conference().await;
        match who_says_what(&left, &sent) {
            Ok([silent, first, second, both])
                if silent < 4_000 && first > 8_000 && second > 8_000 && both > 16_000 =>
            {
                return;
            }
            other if uneven => disturbed.push(other),
            other => panic!("all came in evenly, and {other:?}"),
        }
    }
    panic!("{disturbed:?}");
}

/// Two callers and an operator in a conference that is recorded: the file's left side, what each sent, and whether somebody
/// came in unevenly.
async fn recorded_conference() -> (Vec<i16>, [Vec<i16>; 3], bool) {
    let receiver = Receiver::start(&[]).await;
    let pbx = Pbx::start(&(plan() + &receiver.section(&["recording.ready"]))).await;
    let sent = [1, 2, 3].map(|salt| noise::samples(salt, 60 * 8_000));
    sound::write_wav(&pbx.folder().join("anna.wav"), &sent[2][..20 * 8_000]);
    let mut first = comes_in(&pbx, 1).await;
    // Longer than coming in takes on a busy machine.
    pause(3_000).await;
    let mut second = comes_in(&pbx, 2).await;
    pause(1_000).await;
    let options =
        "--from sip:anna@pbx.test --password secret-anna --play anna.wav --codec pcma --for 2s";
    let options: Vec<&str> = options.split(' ').collect();
    let anna = Vats::dial(pbx.folder(), pbx.sip, "801", &options);
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    let calls = pbx.items("/api/v1/calls/live").await;
    first.hang_up();
    pause(1_500).await;
    assert!(
        receiver.deliveries().is_empty(),
        "the second one is still there"
    );
    second.hang_up();
    pbx.wait_until_idle(Duration::from_secs(10)).await;
    let limit = Duration::from_secs(20);
    let event = receiver
        .accepted("recording.ready", "+79160000001", limit)
        .await;
    let files = pbx.recordings();
    assert_eq!(files.len(), 1, "{files:?}");
    let id = event.event["data"]["recording_id"].clone();
    let mut uneven = false;
    for call in &calls {
        let path = format!("/api/v1/calls/{}", call["call_id"].as_str().unwrap());
        let row = eventually(limit, "how the caller came in", || async {
            let row = pbx.json(&path).await;
            (!row["legs"][0]["quality"].is_null()).then_some(row)
        })
        .await;
        let quality = &row["legs"][0]["quality"];
        uneven |= quality["jitter_ms"].as_u64().unwrap() > EVEN_MS
            || quality["loss"].as_f64().unwrap() > 0.0;
        assert_eq!(row["recording_id"], id, "{row}");
        assert_eq!(row["recordings"][0]["recording_id"], id, "{row}");
    }
    let row = pbx
        .json(&format!("/api/v1/recordings/{}", id.as_str().unwrap()))
        .await;
    assert_eq!(
        (&row["state"], &row["segments"].as_array().unwrap().len()),
        (&"complete".into(), &3)
    );

    let (mut sides, _) = sound::read_wav(&std::fs::read(&files[0]).unwrap());
    // The operator alone is on the right.
    let right = noise::runs(&sides[1], &sent[2]).unwrap();
    assert!(noise::stored(&right) > 8_000, "{right:?}");
    (sides.swap_remove(0), sent, uneven)
}

/// Jitter of a caller whom nothing held up.
const EVEN_MS: u64 = 1;

/// Of the callers each is where he alone is heard, and the sum of both where both are: how many samples are of nobody who says
/// anything, of the first, of the second, of both.
fn who_says_what(left: &[i16], sent: &[Vec<i16>; 3]) -> Result<[u32; 4], String> {
    let alone = |part: &[i16], sent: &[i16]| {
        let runs = noise::runs(part, sent).map_err(|why| format!("{why:?}"))?;
        runs.first().copied().ok_or("nobody".to_owned())
    };
    let begin = alone(&left[..8_000], &sent[0])?;
    let end = alone(&left[left.len() - 6_400..], &sent[1])?;
    let of_first = |at: usize| sent[0][at + begin.place - begin.at];
    let end_at = left.len() - 6_400 + end.at;
    let mut counts = [0; 4];
    for (at, &sample) in left.iter().enumerate().skip(begin.at) {
        let (one, other) = (
            of_first(at),
            (at + end.place).checked_sub(end_at).map(|at| sent[1][at]),
        );
        let kind = match (sample, other) {
            (0, _) => 0,
            (sample, _) if sample == one => 1,
            (sample, Some(other)) if sample == other => 2,
            (sample, Some(other)) if sample == one + other => 3,
            _ => return Err(format!("sample {at} is of nobody")),
        };
        counts[kind] += 1;
    }
    Ok(counts)
}
