//! The other places where a call can go: voicemail, forward, colleagues, outside numbers, and calls placed by the API.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{self, Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, free_port, pause};
use serde_json::{Value, json};

const LIMIT: Duration = Duration::from_secs(15);
const DEAF: (std::net::IpAddr, u16) = (PHONES, 9_000);
const MOBILE: &str = "+79990000000";

/// A provider that takes calls at `provider`, two operators, and something of everything.
fn plan(provider: SocketAddr) -> String {
    pbx::server()
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "extension = \"102\"")
        + &format!(
            r#"
[trunks.out]
peer = "{provider}"

[numbers."+74951000001"]
to = "voicemail:sales"
[numbers."+74951000002"]
to = "forward:mobile"

[forwards.mobile]
to = "{MOBILE}"
trunk = "out"

[voicemails.sales]
prompt = "prompts/short.wav"
max = "1m"

[outbound.russia]
prefixes = ["+7"]
trunks = ["out"]
caller_id = "+74951000001"
allow = ["anna"]
"#
        )
}

async fn start() -> (Pbx, Sipp) {
    let provider = SocketAddr::new(CALLER, free_port(CALLER));
    let pbx = Pbx::start(&plan(provider)).await;
    let answer = Phone::Answer(200, (CALLER, 9_000), Law::Mu);
    let far = Sipp::start(&Run {
        local: provider,
        ..Run::once(answer.xml(), CALLER, pbx.sip)
    });
    far.listening().await;
    (pbx, far)
}

fn assert_fields(row: &Value, fields: &[(&str, Value)]) {
    for (field, value) in fields {
        assert_eq!(&row[*field], value, "{field} of {row}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_is_left() {
    let receiver = Receiver::start(&[]).await;
    let nobody = SocketAddr::new(CALLER, free_port(CALLER));
    let toml = plan(nobody) + &receiver.section(&["voicemail.left", "call.missed"]);
    let pbx = Pbx::start(&toml).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let number = "+79160000001";
    let call = Caller::new(
        "+74951000001",
        number,
        near.place(),
        Then::HangUpAfter(4_500),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    caller.finished(LIMIT).await;
    let row = pbx.ended_call(number).await;
    assert_fields(
        &row,
        &[("result", "missed".into()), ("cause", "voicemail".into())],
    );
    let message = row["voicemail_id"].as_str().expect("a message").to_owned();
    receiver.accepted("call.missed", number, LIMIT).await;
    crate::support::eventually(LIMIT, "voicemail.left", || async {
        let all = receiver.deliveries();
        let left = all.iter().find(|d| d.kind() == "voicemail.left");
        left.map(|left| assert_eq!(left.event["data"]["voicemail_id"], message.as_str()))
    })
    .await;
    let detail = pbx.ended_call(number).await;
    let id = detail["recordings"][0]["recording_id"].as_str().unwrap();
    let (status, wav) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    assert_eq!(status, 200);
    // What the missed call and the event name finds it, too.
    let by_message = pbx
        .fetch(&format!("/api/v1/recordings/{message}/audio"))
        .await;
    assert_eq!(by_message, (200, wav.clone()));
    let (sides, _) = sound::read_wav(&wav);
    let kept = sound::seconds_of(&sides[0], 440.0);
    assert!((2.0..4.5).contains(&kept), "{kept} s of the message");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forward_goes_out_over_its_trunk() {
    let (pbx, mut far) = start().await;
    let number = "+79160000002";
    let call = Caller::new(
        "+74951000002",
        number,
        (CALLER, 9_000),
        Then::HangUpAfter(700),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    far.finished(LIMIT).await;
    let invite = far.invite(LIMIT).await;
    assert!(invite.start().contains(MOBILE), "{}", invite.start());
    let from = invite.header("From").unwrap();
    assert!(
        from.contains("+74951000002"),
        "the number of ours is shown: {from}"
    );
    assert_eq!(invite.header("Max-Forwards"), Some("69"));
    let row = pbx.ended_call(number).await;
    assert_fields(
        &row,
        &[("result", "answered".into()), ("cause", Value::Null)],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_call_one_another_and_out() {
    let (pbx, mut far) = start().await;
    let answer = Phone::Answer(200, DEAF, Law::Mu);
    let mut boris = Sipp::phone(pbx.sip, "boris", &answer, 1).await;
    let dial = |to: &str| {
        let xml = scenario::operator_dials("anna", to, DEAF, 700);
        Sipp::start(&Run::once(xml, PHONES, pbx.sip))
    };
    let mut anna = dial("102");
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    let row = pbx.ended_call("anna").await;
    assert_fields(
        &row,
        &[
            ("direction", "internal".into()),
            ("result", "answered".into()),
        ],
    );

    let mut anna = dial("89991234567");
    anna.finished(LIMIT).await;
    far.finished(LIMIT).await;
    let invite = far.invite(LIMIT).await;
    assert!(
        invite.start().contains("+79991234567"),
        "{}",
        invite.start()
    );
    assert!(invite.header("From").unwrap().contains("+74951000001"));
    let row = crate::support::eventually(LIMIT, "the outbound call ends", || async {
        let all = pbx.items("/api/v1/calls").await;
        let ended = |call: &Value| call["direction"] == "outbound" && !call["ended_at"].is_null();
        all.into_iter().find(ended)
    })
    .await;
    assert_fields(
        &row,
        &[
            ("result", "answered".into()),
            ("operator", "anna".into()),
            ("party", "+79991234567".into()),
            ("trunk", "out".into()),
        ],
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_places_and_ends_a_call() {
    let (pbx, mut far) = start().await;
    let answer = Phone::Answer(200, DEAF, Law::Mu);
    let mut anna = Sipp::phone(pbx.sip, "anna", &answer, 1).await;
    let order = json!({"operator": "anna", "to": "+79991234567"});
    let (status, placed) = pbx.post("/api/v1/calls", &order).await;
    assert_eq!(status, 202, "{placed}");
    let id = placed["call_id"].as_str().unwrap().to_owned();
    far.message(LIMIT, "its ACK", |m| m.start().starts_with("ACK"))
        .await;
    pause(500).await;
    let (status, _) = pbx
        .post(&format!("/api/v1/calls/{id}/hangup"), &json!({}))
        .await;
    assert_eq!(status, 202);
    anna.finished(LIMIT).await;
    far.finished(LIMIT).await;
    let row = pbx.ended_call_of(&id).await;
    assert_fields(
        &row,
        &[
            ("direction", "outbound".into()),
            ("result", "answered".into()),
            ("operator", "anna".into()),
            ("ended_by", "system".into()),
        ],
    );
    pbx.wait_for_state("anna", "available").await;

    let nobody = json!({"operator": "nobody", "to": "+79991234567"});
    let (status, answer) = pbx.post("/api/v1/calls", &nobody).await;
    assert_eq!(status, 422, "{answer}");
}
