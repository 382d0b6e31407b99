//! Supervisors through the real binary: who hears whom, what the recording holds, who may.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use crate::support::by_hand::{Peer, media_of, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::rtp_peer::RtpPeer;
use crate::support::sound::{self, Law};
use crate::support::{eventually, pause};
use serde_json::{Value, json};
use vats::audio::goertzel;
use vats::sip::wire::Message;

const NUMBER: &str = "+74951000001";
const CALLER_TONE: f64 = 440.0;
const ANNA_TONE: f64 = 1_000.0;
const BORIS_TONE: f64 = 1_500.0;
const HERE: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));

fn plan() -> String {
    pbx::server()
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "extension = \"102\"\nsupervisor = true")
        + &pbx::operator("clara", "extension = \"103\"")
        + &format!(
            r#"
[trunks.here]
accept = ["127.0.0.5/32"]
[numbers."{NUMBER}"]
to = "operator:anna"
"#
        )
}

/// A caller who talks with anna, and her phone.
struct Conversation {
    pbx: Pbx,
    peer: Peer,
    voice: RtpPeer,
    ok: Message,
    anna: Vats,
    call: String,
}

impl Conversation {
    async fn begin() -> Conversation {
        let pbx = Pbx::start(&plan()).await;
        for (name, tone) in [("anna", ANNA_TONE), ("boris", BORIS_TONE)] {
            phone::tone(pbx.folder(), &format!("{name}.wav"), tone);
        }
        let options = ["--play", "anna.wav", "--record", "anna_heard.wav"];
        let anna = Vats::answer(pbx.folder(), pbx.sip, "anna", &options).await;
        let mut peer = Peer::new(&pbx, HERE);
        let voice = RtpPeer::open(HERE, Law::A).await;
        voice.tone(Some(CALLER_TONE));
        let ok = peer.connected(NUMBER, &sdp(voice.address, "8"));
        voice.send_to(media_of(&ok));
        let limit = Duration::from_secs(5);
        eventually(limit, "anna is heard", || async {
            hears(&voice, 1_600, ANNA_TONE).then_some(())
        })
        .await;
        let live = pbx.items("/api/v1/calls/live").await;
        let call = live[0]["call_id"].as_str().unwrap().to_owned();
        Conversation {
            pbx,
            peer,
            voice,
            ok,
            anna,
            call,
        }
    }

    /// An operator dials a code.
    fn dials(&self, name: &str, code: &str, more: &[&str]) -> Vats {
        let (from, password) = (format!("sip:{name}@pbx.test"), format!("secret-{name}"));
        let mut options = vec!["--from", from.as_str(), "--password", password.as_str()];
        options.extend(more);
        Vats::dial(self.pbx.folder(), self.pbx.sip, code, &options)
    }

    async fn end(mut self) -> (Pbx, Vats, Value) {
        let ok = self.ok.clone();
        self.peer.hang_up(&ok);
        let row = self.pbx.ended_call_of(&self.call).await;
        self.anna.says("the caller hung up").await;
        (self.pbx, self.anna, row)
    }
}

/// Whether a tone is in the last samples heard.
fn hears(voice: &RtpPeer, samples: usize, tone: f64) -> bool {
    let all = voice.audio();
    let last = &all[all.len().saturating_sub(samples)..];
    last.len() == samples && goertzel::level_dbfs(last, tone) > -25.0
}

/// Seconds of a tone in a file, whatever else is in it.
fn seconds_with(pbx: &Pbx, file: &str, tone: f64) -> f64 {
    let (channels, rate) = sound::read_wav(&std::fs::read(pbx.folder().join(file)).unwrap());
    assert_eq!(rate, 8_000);
    seconds_in(&channels[0], tone)
}

fn seconds_in(samples: &[i16], tone: f64) -> f64 {
    let parts = samples.chunks_exact(800);
    let loud = parts.filter(|part| goertzel::level_dbfs(part, tone) > -25.0);
    loud.count() as f64 * 0.1
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_whisper_is_for_the_operator_and_a_barge_for_both() {
    let talk = Conversation::begin().await;
    let options = [
        "--play",
        "boris.wav",
        "--record",
        "boris_heard.wav",
        "--keys",
        "3@3s,1@6s",
        "--for",
        "9s",
    ];
    let boris = talk.dials("boris", "*91101", &options);
    boris.says("answered").await;
    pause(2_500).await;
    assert!(!hears(&talk.voice, 8_000, BORIS_TONE), "whispered");
    assert!(hears(&talk.voice, 8_000, ANNA_TONE));
    pause(2_500).await;
    assert!(hears(&talk.voice, 8_000, BORIS_TONE), "barged in");
    pause(3_000).await;
    assert!(!hears(&talk.voice, 8_000, BORIS_TONE), "listens");
    let (status, call) = talk
        .pbx
        .fetch(&format!("/api/v1/calls/{}", talk.call))
        .await;
    assert_eq!(status, 200);
    let call: Value = serde_json::from_slice(&call).unwrap();
    let legs = call["legs"].as_array().unwrap();
    let his = legs
        .iter()
        .find(|leg| leg["operator"] == "boris")
        .expect("his leg");
    assert_eq!(his["kind"], "supervisor");
    let (code, said) = boris.ended().await;
    assert_eq!(code, 0, "{said}");
    // He is gone, and nothing else has changed.
    pause(1_500).await;
    assert!(hears(&talk.voice, 8_000, ANNA_TONE));
    for pair in talk.voice.heard().windows(2) {
        assert_eq!(pair[0].sequence.wrapping_add(1), pair[1].sequence);
        assert_eq!(pair[0].ssrc, pair[1].ssrc);
    }
    let (pbx, anna, row) = talk.end().await;
    anna.signal("INT");
    anna.ended().await;
    let whispered = seconds_with(&pbx, "anna_heard.wav", BORIS_TONE);
    assert!(
        (4.5..7.5).contains(&whispered),
        "anna heard him for {whispered} s"
    );
    for tone in [CALLER_TONE, ANNA_TONE] {
        let heard = seconds_with(&pbx, "boris_heard.wav", tone);
        assert!(heard > 7.0, "he heard {tone} for {heard} s");
    }
    assert!(seconds_with(&pbx, "boris_heard.wav", BORIS_TONE) < 0.3);
    // The recording has the two sides, and nobody else.
    assert_eq!(row["result"], "answered", "{row}");
    let id = row["recording_id"].as_str().expect("a recording");
    let (_, bytes) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    let (sides, _) = sound::read_wav(&bytes);
    assert!(seconds_in(&sides[0], CALLER_TONE) > 9.0);
    assert!(seconds_in(&sides[1], ANNA_TONE) > 9.0);
    for side in &sides {
        assert!(seconds_in(side, BORIS_TONE) < 0.1);
    }
    assert!(sound::longest_gap(&sides[0], CALLER_TONE) <= 0.06);
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_rings_a_supervisor() {
    let talk = Conversation::begin().await;
    let path = format!("/api/v1/calls/{}/supervise", talk.call);
    let (status, body) = talk
        .pbx
        .post(&path, &json!({"operator": "clara", "mode": "listen"}))
        .await;
    assert_eq!(
        (
            status,
            body["error"]["code"].as_str().or(body["code"].as_str())
        ),
        (422, Some("not_supervised")),
        "{body}"
    );
    let (status, _) = talk
        .pbx
        .post(&path, &json!({"operator": "boris", "mode": "shout"}))
        .await;
    assert_eq!(status, 400);
    let options = ["--play", "boris.wav", "--record", "boris_heard.wav"];
    let boris = Vats::answer(talk.pbx.folder(), talk.pbx.sip, "boris", &options).await;
    let (status, body) = talk
        .pbx
        .post(&path, &json!({"operator": "boris", "mode": "barge"}))
        .await;
    assert_eq!(status, 202, "{body}");
    let limit = Duration::from_secs(5);
    eventually(limit, "he is heard", || async {
        hears(&talk.voice, 4_000, BORIS_TONE).then_some(())
    })
    .await;
    pause(1_500).await;
    // Once is enough.
    let (status, body) = talk
        .pbx
        .post(&path, &json!({"operator": "boris", "mode": "listen"}))
        .await;
    assert_eq!(status, 422, "{body}");
    let (pbx, _anna, row) = talk.end().await;
    let legs = row["legs"].as_array().unwrap();
    assert!(
        legs.iter()
            .any(|leg| leg["kind"] == "supervisor" && leg["operator"] == "boris")
    );
    pbx.wait_for_state("boris", "available").await;
    pbx.wait_until_idle(Duration::from_secs(10)).await;
    let (status, _) = pbx
        .post(&path, &json!({"operator": "boris", "mode": "listen"}))
        .await;
    assert_eq!(status, 404, "the call is over");
    boris.signal("INT");
    boris.ended().await;
    assert!(seconds_with(&pbx, "boris_heard.wav", CALLER_TONE) > 0.5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn only_supervisors_and_only_where_somebody_talks() {
    let talk = Conversation::begin().await;
    let (code, said) = talk
        .dials("clara", "*90101", &["--for", "1s"])
        .ended()
        .await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("603"), "{said}");
    let (code, said) = talk
        .dials("boris", "*90103", &["--for", "1s"])
        .ended()
        .await;
    assert_ne!(code, 0, "{said}");
    assert!(said.contains("404"), "{said}");
    assert!(hears(&talk.voice, 1_600, ANNA_TONE));
    let (_, _anna, row) = talk.end().await;
    assert_eq!(row["legs"].as_array().unwrap().len(), 2, "{row}");
}
