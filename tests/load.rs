//! 200 calls at 20 a second through menu and hunt: every one accounted for, nothing left behind. And 40 recorded calls at
//! once (`VATS_RECORDED_CALLS` says how many, `VATS_TALK_SECONDS` how long): every recording holds what was sent. Needs a
//! quiet machine.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::support::by_hand::{Peer, media_of, sdp};
use crate::support::choir::{Choir, Speaker};
use crate::support::noise;
use crate::support::pbx::{self, Pbx};
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, eventually, free_port, pause};
use vats::sip::wire::{Message, Method};

const OPERATORS: usize = 100;
const CALLS: u32 = 200;
const LIMIT: Duration = Duration::from_secs(60);

fn plan(phones: SocketAddr) -> String {
    let mut toml = pbx::server();
    let mut members = Vec::new();
    for index in 0..OPERATORS {
        let name = format!("op{index}");
        let contact = format!("contact = \"sip:{name}@{phones}\"");
        toml += &pbx::operator(&name, &contact);
        members.push(name);
    }
    toml + &format!(
        r#"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "menu:main"

[menus.main]
prompt = "prompts/short.wav"
keys = {{ 1 = "hunt:sales" }}

[hunts.sales]
members = {members:?}
strategy = "linear"
"#
    )
}

async fn wave(pbx: &Pbx, phones: SocketAddr, calls: u32) {
    let answer = Phone::Answer(200, (PHONES, 9_000), Law::Mu);
    let mut operators = Sipp::start(&Run {
        local: phones,
        calls,
        trace: false,
        ..Run::once(answer.xml(), PHONES, pbx.sip)
    });
    operators.listening().await;
    // SIPp numbers its calls from 1.
    let call = Caller {
        keys: false,
        ..Caller::new(
            "+74951000001",
            "+7916000[call_number]",
            (CALLER, 9_000),
            Then::InfoKey(700, '1', 2_000),
        )
    };
    let mut callers = Sipp::start(&Run {
        calls,
        rate: 20,
        trace: false,
        ..Run::once(call.xml(), CALLER, pbx.sip)
    });
    callers.finished(LIMIT).await;
    operators.finished(LIMIT).await;
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

/// The rows of all calls, once so many have ended.
async fn ended_calls(pbx: &Pbx, expected: usize) -> Vec<Value> {
    eventually(LIMIT, "every call is in the ledger", || async {
        let mut rows = Vec::new();
        let mut next = String::new();
        loop {
            let page = pbx.json(&format!("/api/v1/calls?limit=100{next}")).await;
            rows.extend(page["items"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        let ended = rows.iter().filter(|row| !row["ended_at"].is_null()).count();
        (ended == expected).then_some(rows)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_leave_nothing_behind() {
    let phones = SocketAddr::new(PHONES, free_port(PHONES));
    let pbx = Pbx::start(&plan(phones)).await;
    // What is opened once (database connections, logs) is open after the first few calls.
    wave(&pbx, phones, 5).await;
    pause(2_000).await;
    let before = (pbx.open_files(), pbx.sockets());
    wave(&pbx, phones, CALLS).await;

    let expected = usize::try_from(CALLS).unwrap() + 5;
    let rows = ended_calls(&pbx, expected).await;
    let answered = rows
        .iter()
        .filter(|row| row["result"] == "answered")
        .count();
    assert_eq!(answered, expected);
    let mut ids: Vec<String> = rows.iter().map(|row| row["call_id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), expected);

    // Idle keep-alive connections of this test's own client count as files of the PBX: compare when they are the same.
    eventually(Duration::from_secs(20), "the files of before", || async {
        let now = (pbx.open_files(), pbx.sockets());
        (now.0 <= before.0 && now.1 <= before.1).then_some(())
    })
    .await;
    assert_eq!(pbx.recordings().len(), expected);
    for operator in pbx.items("/api/v1/operators?limit=200").await {
        assert_eq!(operator["state"], "available", "{operator}");
    }
}

/// Where the callers of recorded calls are, and those whom they call.
const NEAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 26));
const FAR: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 27));
/// How long all of them talk at once, unless it is said.
const TALK_SECONDS: u64 = 4;
/// What may be missing on a machine that stops now and then; what is there is as it was sent, and where it belongs to a second.
const LOST_SHARE: usize = 10;
const IN_PLACE: usize = 8_000;
/// Of each side: half of what all said at once.
const LEAST_STORED: usize = TALK_SECONDS as usize * 8_000 / 2;
/// Of each side between its first sound and its last: where its tone is clear.
const TONE_SHARE: f64 = 0.9;

/// Two who say a tone of their own to each other.
struct Talk {
    near: Speaker,
    far: Speaker,
    ok: Message,
}

impl Talk {
    fn begin(choir: &Choir, number: u64, caller: &mut Peer, callee: &Peer) -> Talk {
        let (near, far) = (Speaker::open(NEAR), Speaker::open(FAR));
        let uri = format!("sip:+74951000001@{}", caller.pbx);
        let from = format!("<sip:{}@x>", caller_of(number));
        let invite = caller.draw("INVITE", &uri, &from, "", &voice_and_keys(near.address));
        caller.send(invite);
        let invite = callee.request_within(LIMIT, Method::Invite);
        let contact = format!("sip:x@{}", callee.at);
        callee.respond(&invite, 200, "x", &contact, &voice_and_keys(far.address));
        choir.give(&far, media_of(&invite), 2 * number + 1);
        let ok = caller.answer();
        assert_eq!(ok.status(), 200);
        let ack = caller.within(&ok, "ACK", 1, "", "");
        caller.send(ack);
        choir.give(&near, media_of(&ok), 2 * number);
        Talk { near, far, ok }
    }

    fn end(self, caller: &mut Peer, callee: &Peer) {
        caller.hang_up(&self.ok);
        let bye = callee.request_within(LIMIT, Method::Bye);
        callee.respond(&bye, 200, "x", "sip:x@x", "");
        drop((self.near, self.far));
    }
}

/// A-law, and telephone events, so that nobody has to listen for keys in the sound.
fn voice_and_keys(media: SocketAddr) -> String {
    sdp(media, "8 101") + "a=rtpmap:101 telephone-event/8000\r\n"
}

fn caller_of(number: u64) -> String {
    format!("+7916{number:07}")
}

/// What is in recordings, of both sides.
struct Stored {
    /// Samples as they were sent.
    samples: usize,
    /// Samples that are missing between the first and the last.
    missing: usize,
    /// The smallest share of a side in which its tone is clear.
    tone: f64,
}

impl Stored {
    const NOTHING: Stored = Stored {
        samples: 0,
        missing: 0,
        tone: 1.0,
    };

    /// Adds what one side holds of the tone with this salt.
    ///
    /// # Errors
    /// What it holds that was not sent, or too little of what was.
    fn add(&mut self, side: &[i16], salt: u64) -> Result<(), String> {
        let sent = noise::tone_samples(salt, side.len() + 80_000);
        let runs = noise::runs(side, &sent)?;
        let (Some(first), Some(last)) = (runs.first(), runs.last()) else {
            return Err("nothing is heard".into());
        };
        // From what was heard first to what was heard last, in time as it was sent.
        let sent = last.place + last.length - first.place;
        let stored = noise::stored(&runs);
        let part = &side[first.at..last.at + last.length];
        let tone = noise::TONES_HZ[salt as usize % 2];
        let tone = sound::seconds_of(part, tone) * 8_000.0 / part.len() as f64;
        if part.len().abs_diff(sent) >= IN_PLACE || stored <= LEAST_STORED || tone < TONE_SHARE {
            return Err(format!("its tone is clear in {tone:.3} of it: {runs:?}"));
        }
        self.samples += stored;
        self.missing += sent - stored;
        self.tone = self.tone.min(tone);
        Ok(())
    }
}

/// Adds what a recording holds, which is what its row says.
fn compare(pbx: &Pbx, row: &Value, call: &Value, stored: &mut Stored) {
    let path = pbx
        .folder()
        .join("recordings")
        .join(row["path"].as_str().unwrap());
    let bytes = std::fs::read(path).unwrap();
    let digest = Sha256::digest(&bytes);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(
        (&row["bytes"], &row["sha256"]),
        (&bytes.len().into(), &digest.into())
    );
    let (sides, rate) = sound::read_wav(&bytes);
    let length = row["duration_ms"].as_u64().unwrap();
    assert_eq!(
        (rate, sides.len(), sides[0].len() as u64 / 8),
        (8_000, 2, length)
    );
    let talked = call["talk_ms"].as_u64().unwrap();
    assert!(length.abs_diff(talked) < 250, "{length} ms of {talked} ms");
    let number: u64 = call["caller"].as_str().unwrap()[5..].parse().unwrap();
    for (side, salt) in sides.iter().zip([2 * number, 2 * number + 1]) {
        let added = stored.add(side, salt);
        added.unwrap_or_else(|error| panic!("{row}: {error}"));
    }
}

/// A number that whoever runs this may give.
fn wish(name: &str, usual: u64) -> u64 {
    std::env::var(name).map_or(usual, |text| text.parse().unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_recording_holds_what_was_sent() {
    let calls = wish("VATS_RECORDED_CALLS", 40);
    let talk = wish("VATS_TALK_SECONDS", TALK_SECONDS);
    let callee = SocketAddr::new(FAR, free_port(FAR));
    let mut server = pbx::server();
    if calls > 200 {
        // Alone on the machine.
        let from = server.find("rtp_ports").unwrap();
        let to = from + server[from..].find('\n').unwrap();
        server.replace_range(from..to, "rtp_ports = \"20000-29999\"");
    }
    let plan = format!(
        r#"{server}
[trunks.here]
accept = ["{NEAR}/32"]
codecs = ["pcma"]
[trunks.out]
peer = "{callee}"
codecs = ["pcma"]
[numbers."+74951000001"]
to = "forward:mobile"
[forwards.mobile]
to = "+79990000000"
trunk = "out"
"#
    );
    let pbx = Pbx::start(&plan).await;
    let mut caller = Peer::new(&pbx, NEAR);
    let callee = Peer::bound(&pbx, callee);
    let choir = Choir::start();
    let mut talks = Vec::new();
    for number in 0..calls {
        talks.push(Talk::begin(&choir, number, &mut caller, &callee));
        pause(20).await;
    }
    pause(talk * 1_000).await;
    for talk in talks {
        talk.end(&mut caller, &callee);
    }
    let rows = ended_calls(&pbx, calls as usize).await;
    let mut stored = Stored::NOTHING;
    for call in &rows {
        assert_eq!(call["result"], "answered", "{call}");
        let path = format!(
            "/api/v1/recordings/{}",
            call["recording_id"].as_str().unwrap()
        );
        let row = eventually(LIMIT, "the recording is complete", || async {
            let row = pbx.json(&path).await;
            (!row["sha256"].is_null()).then_some(row)
        })
        .await;
        compare(&pbx, &row, call, &mut stored);
    }
    let Stored {
        samples,
        missing,
        tone,
    } = stored;
    eprintln!(
        "{calls} recordings: {samples} samples as they were sent, {missing} missing, the tone clear in {tone:.4} of each side"
    );
    assert!(missing <= samples / LOST_SHARE, "{missing} are missing");
}
