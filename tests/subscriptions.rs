//! What phones watch, through the real binary: lamps of colleagues and slots, the message lamp, presence, and how subscriptions end.

use std::time::Duration;

use crate::support::by_hand::{Peer, contact};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::softphone::Softphone;
use crate::support::watcher::Watcher;
use crate::support::{CALLER, PHONES, pause};
use vats::sip::wire::Name;

const NUMBER: &str = "+74951000001";
const FROM: &str = "+79160000000";

fn plan() -> String {
    pbx::server()
        + &pbx::operator(
            "anna",
            "extension = \"101\"\notherwise = \"voicemail:sales\"",
        )
        + &pbx::operator("boris", "extension = \"102\"")
        + &format!(
            r#"
[trunks.here]
accept = ["127.0.0.1/32"]
[numbers."{NUMBER}"]
to = "operator:anna"
[numbers."+74951000002"]
to = "voicemail:sales"
[voicemails.sales]
prompt = "prompts/short.wav"
"#
        )
}

fn caller(pbx: &Pbx, number: &str, length: &str) -> Vats {
    phone::tone(pbx.folder(), "caller.wav", 440.0);
    let options = ["--for", length, "--play", "caller.wav"];
    Vats::dial(pbx.folder(), pbx.sip, number, &options)
}

fn version(body: &str) -> u32 {
    let (_, rest) = body.rsplit_once("version=\"").expect("a version");
    rest.split('"').next().unwrap().parse().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lamp_follows_a_colleague() {
    let pbx = Pbx::start(&plan()).await;
    let mut boris = Watcher::new(&pbx, PHONES, "boris");
    let (ok, subscription) = boris.subscribe("101", "dialog", 300);
    assert_eq!(ok.header(Name::Expires), Some("300"));
    let mut subscription = subscription.unwrap();
    let (state, body) = boris.notified();
    assert_eq!(state, "active;expires=300");
    assert_eq!(version(&body), 0, "{body}");
    assert!(body.contains("<state>terminated</state>"), "{body}");
    assert!(body.contains("entity=\"sip:101@pbx.test\""), "{body}");

    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let call = caller(&pbx, NUMBER, "1s");
    let (session, _) = anna.rings();
    anna.pass(Duration::from_millis(100));
    let ringing = boris.until("<state>early</state>");
    assert!(ringing.contains("direction=\"recipient\""), "{ringing}");
    assert!(
        ringing.contains(&format!("sip:{FROM}@pbx.test")),
        "{ringing}"
    );
    let name = anna.replaces(session);
    let (id, tags) = name.split_once(';').unwrap();
    assert!(ringing.contains(&format!("call-id=\"{id}\"")), "{ringing}");
    for tag in tags.split(';').map(|tag| tag.split_once('=').unwrap().1) {
        assert!(ringing.contains(&format!("-tag=\"{tag}\"")), "{ringing}");
    }
    anna.answer(session);
    let talking = boris.until("<state>confirmed</state>");
    assert!(version(&talking) > version(&ringing));
    anna.ended(session);
    let idle = boris.until("<state>terminated</state>");
    assert!(version(&idle) > version(&talking));
    assert!(!idle.contains("confirmed"), "{idle}");
    assert_eq!(call.ended().await.0, 0);

    let fine = boris.renew(&mut subscription, 120);
    assert_eq!(
        (fine.status(), fine.header(Name::Expires)),
        (200, Some("120"))
    );
    assert_eq!(boris.notified().0, "active;expires=120");
    assert_eq!(boris.renew(&mut subscription, 0).status(), 200);
    assert_eq!(boris.notified().0, "terminated;reason=timeout");
    assert_eq!(boris.renew(&mut subscription, 120).status(), 481);
    assert_eq!(subscription.uri(), "sip:101@pbx.test");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_lamp_follows_a_slot() {
    let pbx = Pbx::start(&plan()).await;
    let mut boris = Watcher::new(&pbx, PHONES, "boris");
    let (_, subscription) = boris.subscribe("701", "dialog", 300);
    assert!(subscription.is_some());
    assert!(boris.notified().1.contains("terminated"));
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let call = caller(&pbx, NUMBER, "2s");
    let (session, _) = anna.rings();
    anna.answer(session);
    assert_eq!(anna.refer(session, "<sip:701@pbx.test>"), 202);
    assert_eq!(anna.report(session), 200);
    let parked = boris.until("<state>confirmed</state>");
    assert!(parked.contains(FROM), "{parked}");
    assert_eq!(call.ended().await.0, 0);
    boris.until("<state>terminated</state>");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_message_lamp_counts_what_is_left() {
    let mut pbx = Pbx::start(&plan()).await;
    let mut anna = Watcher::new(&pbx, PHONES, "anna");
    let (ok, _) = anna.subscribe("anna", "message-summary", 300);
    assert_eq!(ok.status(), 200);
    let (_, body) = anna.notified();
    assert!(body.starts_with("Messages-Waiting: no\r\n"), "{body}");
    let call = caller(&pbx, "+74951000002", "4s");
    assert_eq!(call.ended().await.0, 0);
    let (_, body) = anna.notified();
    assert!(body.starts_with("Messages-Waiting: yes\r\n"), "{body}");
    assert!(body.contains("Voice-Message: 1/0"), "{body}");
    // Another operator's messages are not told.
    let mut boris = Watcher::new(&pbx, PHONES, "boris");
    assert_eq!(
        boris.subscribe("anna", "message-summary", 300).0.status(),
        403
    );
    assert_eq!(
        boris.subscribe("boris", "message-summary", 300).0.status(),
        200
    );
    assert!(boris.notified().1.starts_with("Messages-Waiting: no"));
    // Whoever has heard it says so, as often as he likes: the lamp goes out, and stays so after a restart.
    pbx.wait_until_idle(Duration::from_secs(5)).await;
    pause(500).await;
    let row = pbx.items("/api/v1/calls").await.remove(0);
    let id = row["voicemail_id"].as_str().expect("a message").to_owned();
    let recording = pbx.json(&format!("/api/v1/recordings/{id}")).await;
    assert!(recording["heard_at"].is_null(), "{recording}");
    let path = format!("/api/v1/voicemails/{id}/heard");
    for _ in 0..2 {
        assert_eq!(pbx.post(&path, &serde_json::Value::Null).await.0, 204);
    }
    let (_, body) = anna.notified();
    assert!(body.starts_with("Messages-Waiting: no\r\n"), "{body}");
    assert!(body.contains("Voice-Message: 0/1"), "{body}");
    let recording = pbx.json(&format!("/api/v1/recordings/{id}")).await;
    assert!(recording["heard_at"].is_string(), "{recording}");
    let unknown = "/api/v1/voicemails/019400000000700080000000000000ff/heard";
    assert_eq!(pbx.post(unknown, &serde_json::Value::Null).await.0, 404);
    let call = caller(&pbx, "+74951000002", "4s");
    assert_eq!(call.ended().await.0, 0);
    assert!(anna.notified().1.contains("Voice-Message: 1/1"));
    pbx.wait_until_idle(Duration::from_secs(5)).await;
    pause(500).await;
    pbx.terminate();
    pbx.ended(Duration::from_secs(10)).await;
    pbx.restart();
    let mut again = Watcher::new(&pbx, PHONES, "anna");
    again.subscribe("101", "message-summary", 300);
    assert!(again.notified().1.contains("Voice-Message: 1/1"));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn presence_of_a_colleague() {
    let pbx = Pbx::start(&plan()).await;
    let mut boris = Watcher::new(&pbx, PHONES, "boris");
    boris.subscribe("anna", "presence", 300);
    assert!(boris.notified().1.contains("<basic>closed</basic>"));
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    assert!(boris.notified().1.contains("<basic>open</basic>"));
    let call = caller(&pbx, NUMBER, "1s");
    let (session, _) = anna.rings();
    let body = boris.until("on-the-phone");
    assert!(body.contains("<note>On the phone</note>"), "{body}");
    anna.answer(session);
    anna.ended(session);
    boris.until("<note>Available</note>");
    assert_eq!(call.ended().await.0, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_registers_from_another_port_is_told_there() {
    let pbx = Pbx::start(&plan()).await;
    let mut boris = Watcher::new(&pbx, PHONES, "boris");
    boris.subscribe("anna", "presence", 300);
    boris.notified();
    // Its NAT gives it another port; to itself it is where it was.
    let at = format!("sip:boris@{}", boris.peer.at);
    boris.peer.socket = std::net::UdpSocket::bind((PHONES, 0)).unwrap();
    let (registered, _) = boris.peer.register("boris", "secret-boris", &contact(&at));
    assert_eq!(registered.status(), 200);
    let anna = Softphone::register(&pbx, PHONES, "anna");
    boris.until("<basic>open</basic>");
    drop(anna);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_refused_and_how_subscriptions_end() {
    let pbx = Pbx::start(&plan()).await;
    let mut boris = Watcher::new(&pbx, PHONES, "boris");
    let (answer, _) = boris.subscribe("anna", "conference", 300);
    assert_eq!(answer.status(), 489);
    let events = answer.header(Name::AllowEvents).unwrap();
    assert!(
        events.contains("dialog") && events.contains("presence"),
        "{events}"
    );
    assert_eq!(boris.subscribe("nobody", "dialog", 300).0.status(), 404);
    assert_eq!(boris.subscribe("701", "presence", 300).0.status(), 404);
    let (answer, _) = boris.subscribe("anna", "dialog", 30);
    assert_eq!(answer.status(), 423);
    assert_eq!(answer.header(Name::MinExpires), Some("60"));
    let (answer, _) = boris.subscribe("anna", "dialog", 100_000);
    assert_eq!(answer.header(Name::Expires), Some("3600"));
    // A phone that knows nothing of it ends it.
    boris.notified_with(481);
    let anna = Softphone::register(&pbx, PHONES, "anna");
    assert!(boris.is_quiet());
    // A look, once.
    boris.subscribe("anna", "presence", 0);
    let (state, body) = boris.notified();
    assert_eq!(state, "terminated;reason=timeout");
    assert!(body.contains("<basic>open</basic>"), "{body}");
    drop(anna);

    // It outlives a registration of the same phone, and ends with its operator.
    let (_, subscription) = boris.subscribe("anna", "dialog", 300);
    boris.notified();
    let at = format!("sip:boris@{}", boris.peer.at);
    let (registered, _) = boris.peer.register("boris", "secret-boris", &contact(&at));
    assert_eq!(registered.status(), 200);
    assert_eq!(boris.renew(&mut subscription.unwrap(), 300).status(), 200);
    boris.notified();
    let without = plan().replace("[operators.boris]", "[operators.bob]");
    let server = pbx.sip.to_string();
    let lines: Vec<String> = without
        .lines()
        .map(|line| match line {
            line if line.starts_with("sip = ") => format!("sip = [\"udp://{server}\"]"),
            line => line.to_owned(),
        })
        .collect();
    let before = std::fs::read_to_string(pbx.folder().join("config/vats.toml")).unwrap();
    let ports = before.lines().find(|line| line.starts_with("rtp_ports"));
    let text: Vec<&str> = lines
        .iter()
        .map(|line| match line.starts_with("rtp_ports") {
            true => ports.unwrap(),
            false => line.as_str(),
        })
        .collect();
    let (status, answer) = pbx.reload(&text.join("\n")).await;
    assert_eq!(status, 200, "{answer}");
    assert_eq!(boris.notified().0, "terminated;reason=noresource");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_are_refused_in_their_own_way() {
    let pbx = Pbx::start(&plan()).await;
    let mut peer = Peer::new(&pbx, CALLER);
    let uri = format!("sip:101@{}", pbx.sip);
    for (method, more, status) in [
        ("MESSAGE", "", 405),
        ("PUBLISH", "Event: presence\r\n", 405),
        (
            "NOTIFY",
            "Event: dialog\r\nSubscription-State: active\r\n",
            481,
        ),
        ("REFER", "Refer-To: <sip:102@pbx.test>\r\n", 403),
        ("SUBSCRIBE", "Event: dialog\r\n", 401),
        ("OPTIONS", "", 200),
    ] {
        let text = peer.draw(method, &uri, "<sip:a@b>", more, "");
        peer.send(text);
        let answer = peer.answer();
        assert_eq!(answer.status(), status, "{method}");
        if matches!(status, 405 | 200) {
            let allow = answer.header(Name::Allow).unwrap();
            assert!(
                allow.contains("REFER") && allow.contains("SUBSCRIBE"),
                "{allow}"
            );
            assert!(!allow.contains("MESSAGE"), "{allow}");
        }
    }
}
