//! The main job: a caller goes through the menu and the hunt to an operator; both hear each other; the conversation is on the recording.

use std::time::Duration;

use crate::support::baresip::Baresip;
use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::Sipp;
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, pause};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(15);
const EVENTS: [&str; 5] = [
    "call.started",
    "call.answered",
    "call.ended",
    "call.missed",
    "recording.ready",
];
/// How much later than its phones the PBX may see the same thing, in seconds, where others have the processors.
const LATE: f64 = 0.3;
const CALLER_TONE: f64 = 440.0;
const OPERATOR_TONE: f64 = 1_000.0;

fn plan(receiver: &Receiver) -> String {
    pbx::server()
        + &pbx::operator("anna", "")
        + &receiver.section(&EVENTS)
        + r#"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "menu:main"

[menus.main]
prompt = "prompts/short.wav"
keys = { 1 = "hunt:sales" }
timeout = "5s"
attempts = 1
otherwise = "hangup"

[hunts.sales]
members = ["anna"]
strategy = "ring-all"
wait = "20s"
otherwise = "hangup"
"#
}

fn millis(call: &Value, field: &str) -> f64 {
    call[field]
        .as_f64()
        .unwrap_or_else(|| panic!("{field}: {call}"))
}

/// The row, its legs and its events, whoever the operator's phone was.
async fn check_accounts(pbx: &Pbx, receiver: &Receiver, call: &Value, caller: &str) {
    for (field, value) in [
        ("direction", "inbound"),
        ("caller", caller),
        ("number", "+74951000001"),
        ("party", caller),
        ("landing_page", "/sofas"),
        ("trunk", "acme"),
        ("result", "answered"),
        ("operator", "anna"),
        ("hunt", "sales"),
        ("ended_by", "caller"),
        ("tenant", "default"),
    ] {
        assert_eq!(call[field], value, "{field} of {call}");
    }
    assert_eq!(call["cause"], Value::Null);
    assert_eq!(call["sip_code"], 200);
    assert_eq!(call["path"][0], "menu:main");
    assert_eq!(call["path"][1], "hunt:sales");
    let legs = call["legs"].as_array().expect("legs");
    assert_eq!(legs.len(), 2, "{legs:?}");
    assert!(
        legs.iter().all(|leg| leg["outcome"] == "answered"),
        "{legs:?}"
    );
    assert!(!call["trace"].as_array().expect("trace").is_empty());
    receiver.accepted("call.ended", caller, LIMIT).await;
    let recording = call["recording_id"].as_str().expect("a recording");
    crate::support::eventually(LIMIT, "recording.ready", || async {
        let all = receiver.deliveries();
        let ready = all.iter().find(|d| {
            d.kind() == "recording.ready" && d.event["data"]["recording_id"] == recording
        });
        ready.map(|_| ())
    })
    .await;
    let mut sequence = 0;
    for kind in ["call.started", "call.answered", "call.ended"] {
        let events = receiver.of(kind, caller);
        assert_eq!(events.len(), 1, "{kind}: {events:?}");
        let this = events[0].event["data"]["sequence"].as_u64().unwrap();
        assert!(this > sequence, "{kind} has sequence {this}");
        sequence = this;
    }
    assert!(receiver.of("call.missed", caller).is_empty());
    assert!(pbx.items("/api/v1/missed").await.is_empty());
    pbx.wait_until_idle(LIMIT).await;
    pbx.wait_for_state("anna", "available").await;
}

/// The file: caller left, operator right, no gap, as long as they talked; the operator said something for `said` seconds of it.
async fn check_recording(pbx: &Pbx, call: &Value, talked: f64, said: f64) {
    let id = call["recording_id"].as_str().expect("a recording");
    let (status, wav) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    assert_eq!(status, 200);
    let (sides, rate) = sound::read_wav(&wav);
    assert_eq!((sides.len(), rate), (2, 8_000));
    let length = sides[0].len() as f64 / sound::RATE;
    assert!(
        (length - talked).abs() <= LATE,
        "{length} s recorded of {talked} s"
    );
    for (side, own, other, lasts) in [
        (&sides[0], CALLER_TONE, OPERATOR_TONE, talked),
        (&sides[1], OPERATOR_TONE, CALLER_TONE, said),
    ] {
        let heard = sound::seconds_of(side, own);
        assert!(heard >= lasts - 0.6, "{own} Hz for {heard} s of {lasts} s");
        assert_eq!(sound::seconds_of(side, other), 0.0);
        let gap = sound::longest_gap(side, own);
        assert!(gap <= 0.02, "{own} Hz has a gap of {gap} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_caller_and_sipp_operator() {
    let receiver = Receiver::start(&[]).await;
    let pbx = Pbx::start(&plan(&receiver)).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let answer = Phone::Answer(300, far.place(), Law::Mu);
    let mut phone = Sipp::phone(pbx.sip, "anna", &answer, 1).await;
    let number = "+79160000001";
    let call = Caller::new(
        "+74951000001",
        number,
        near.place(),
        Then::HangUpAfter(7_500),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.send_to(media);
    near.tone(Some(CALLER_TONE));
    pause(900).await;
    near.press('1');
    let invite = phone.invite(LIMIT).await;
    far.send_to(invite.media().unwrap());
    far.tone(Some(OPERATOR_TONE));
    caller.finished(LIMIT).await;
    phone.finished(LIMIT).await;
    near.tone(None);
    far.tone(None);
    assert!(invite.header("From").unwrap().contains(number));

    let answered = |m: &crate::support::sipp::Traced| m.sent && m.media().is_some();
    let accepted = phone.message(LIMIT, "its 200", answered).await;
    let bye = caller
        .message(LIMIT, "its BYE", |m| m.sent && m.start().starts_with("BYE"))
        .await;
    let talked = bye.at - accepted.at;
    // The operator's tone begins when this test has read of the call, and ends when it has read of its end: on a busy machine
    // both are late.
    let said = far.said().min(talked) - 1.0;
    assert!(said > talked / 2.0, "{said} s of {talked} s");
    assert!(sound::seconds_of(&near.audio(), OPERATOR_TONE) >= said - 0.5);
    assert!(sound::seconds_of(&far.audio(), CALLER_TONE) >= talked - 0.5);
    let row = pbx.ended_call(number).await;
    assert!(
        (millis(&row, "talk_ms") / 1_000.0 - talked).abs() <= LATE,
        "{row}"
    );
    check_accounts(&pbx, &receiver, &row, number).await;
    check_recording(&pbx, &row, talked, said).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_caller_and_baresip_operator() {
    let receiver = Receiver::start(&[]).await;
    let pbx = Pbx::start(&plan(&receiver)).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let phone = Baresip::start(pbx.sip, "anna", OPERATOR_TONE, "PCMU/8000/1").await;
    let number = "+79160000002";
    let call = Caller::new(
        "+74951000001",
        number,
        near.place(),
        Then::HangUpAfter(7_000),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.send_to(media);
    near.tone(Some(CALLER_TONE));
    pause(900).await;
    near.press('1');
    caller.finished(LIMIT).await;
    near.tone(None);

    let row = pbx.ended_call(number).await;
    let talked = millis(&row, "talk_ms") / 1_000.0;
    assert!((5.0..=7.0).contains(&talked), "{row}");
    assert!(sound::seconds_of(&near.audio(), OPERATOR_TONE) >= talked - 0.8);
    assert!(sound::seconds_of(&phone.heard().await, CALLER_TONE) >= talked - 0.8);
    check_accounts(&pbx, &receiver, &row, number).await;
    check_recording(&pbx, &row, talked, talked).await;
}
