//! What a home phone, a carrier or a scanner may get wrong, over real sockets: each mistake has its answer, and the next request is served.
//! `sipsak` is the real peer; what it cannot say is sent by hand.

use std::process::{Command, Output};
use std::time::Duration;

use crate::support::by_hand::{Peer, SOON, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::{CALLER, pause};
use vats::sip::wire::{Message, Method, Name};

const PLAN: &str = r#"
[numbers."+74951000001"]
to = "echo"
[numbers."+74951000002"]
to = "forward:circle"
[forwards.circle]
to = "+74951000002"
trunk = "ourselves"
"#;

/// `ourselves` is a trunk that leads straight back.
async fn start() -> Pbx {
    let server = pbx::server();
    let sip = server.split("udp://").nth(1).unwrap();
    let sip = sip.split('"').next().unwrap();
    let ourselves = format!("\n[trunks.ourselves]\npeer = \"{sip}\"\n");
    Pbx::start(
        &[
            server.as_str(),
            &ourselves,
            &pbx::operator("anna", ""),
            PLAN,
        ]
        .concat(),
    )
    .await
}

/// Runs sipsak against the PBX to its end.
async fn sipsak(pbx: &Pbx, user: &str, options: &[&str]) -> Output {
    let mut command = Command::new("timeout");
    command
        .args(["20", "sipsak"])
        .args(options)
        .args(["-s", &format!("sip:{user}@{}", pbx.sip)]);
    tokio::task::spawn_blocking(move || command.output().expect("sipsak (Debian: sipsak)"))
        .await
        .unwrap()
}

fn said(output: &Output) -> String {
    let all = [&output.stdout[..], &output.stderr[..]].concat();
    String::from_utf8_lossy(&all).into_owned()
}

/// sipsak's OPTIONS is answered with 200.
async fn assert_serves(pbx: &Pbx) {
    let output = sipsak(pbx, "anybody", &["-v"]).await;
    let said = said(&output);
    assert!(output.status.success(), "{said}");
    assert!(said.contains("SIP/2.0 200 OK"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipsak_asks_registers_floods_and_sends_rubbish() {
    let pbx = start().await;
    assert_serves(&pbx).await;

    let options = [
        "-v",
        "-i",
        "-U",
        "-a",
        "secret-anna",
        "-u",
        "anna",
        "-x",
        "60",
    ];
    let registered = sipsak(&pbx, "anna", &options).await;
    assert!(registered.status.success(), "{}", said(&registered));
    let options = ["-v", "-i", "-U", "-a", "wrong", "-u", "anna", "-x", "60"];
    let refused = sipsak(&pbx, "anna", &options).await;
    assert!(!refused.status.success(), "{}", said(&refused));

    let flood = sipsak(&pbx, "anybody", &["-F", "-e", "2000"]).await;
    assert!(said(&flood).contains("2000 request"), "{}", said(&flood));
    assert_serves(&pbx).await;

    // It stops at the first request that it has spoilt so far that no answer can come: hence many runs, side by side, with a T1 of 50 ms.
    let rubbish = (0..16).map(|n| {
        let most = (1 + n * 2).to_string();
        let pbx = &pbx;
        async move { sipsak(pbx, "anybody", &["-R", "-t", &most, "-Z", "50"]).await }
    });
    for output in futures_util::future::join_all(rubbish).await {
        assert_ne!(output.status.code(), Some(124), "{}", said(&output));
    }
    assert_serves(&pbx).await;

    let file = pbx.folder().join("unknown.txt");
    let text = "FROBNICATE sip:u@127.0.0.1 SIP/2.0\nFrom: <sip:a@b>;tag=1\nTo: <sip:u@b>\nCall-ID: x\nCSeq: 1 FROBNICATE\n\
        Max-Forwards: 3\nContent-Length: 0\n\n";
    std::fs::write(&file, text).unwrap();
    let unknown = sipsak(&pbx, "anybody", &["-v", "-f", file.to_str().unwrap()]).await;
    let unknown = said(&unknown);
    assert!(unknown.contains("SIP/2.0 405 "), "{unknown}");
    assert!(unknown.contains("Allow: INVITE"), "{unknown}");
}

/// What is changed in a good INVITE to an echo, the status that answers it, and what its headers say.
const INVITES: [(&str, &str, u16, (Name, &str)); 27] = [
    (
        "INVITE",
        "INVITE",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        " SIP/2.0\r\nVia",
        " SIP/3.0\r\nVia",
        505,
        (Name::Warning, "Only SIP/2.0"),
    ),
    (
        "INVITE sip:",
        "INVITE mailto:",
        416,
        (Name::Warning, "sip, sips and tel"),
    ),
    (
        "Call-ID: ",
        "X-Call-ID: ",
        400,
        (Name::Warning, "Call-ID is missing"),
    ),
    (
        "CSeq: 1 INVITE",
        "CSeq: 1 INVITE\r\nCSeq: 2 INVITE",
        400,
        (Name::Warning, "CSeq is there more than once"),
    ),
    (
        "CSeq: 1 INVITE",
        "CSeq: 1 BYE",
        400,
        (Name::Warning, "another method"),
    ),
    (
        "CSeq: 1 ",
        "CSeq: -1 ",
        400,
        (Name::Warning, "not a number"),
    ),
    (
        "Max-Forwards: 70",
        "Max-Forwards: 70\r\nMax-Forwards: 3",
        400,
        (Name::Warning, "more than once"),
    ),
    (
        "Max-Forwards: 70",
        "Max-Forwards: -3",
        400,
        (Name::Warning, "0 to 255"),
    ),
    (
        "Max-Forwards: 70",
        "Max-Forwards: 0",
        483,
        (Name::Warning, "Max-Forwards is used up"),
    ),
    (
        "Max-Forwards: 70",
        "Require: a, b\r\nRequire: c",
        420,
        (Name::Unsupported, "a, b, c"),
    ),
    (
        "Max-Forwards: 70",
        "Proxy-Require: sec-agree",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "Content-Type: application/sdp",
        "Content-Type: text/html",
        415,
        (Name::Accept, "application/sdp"),
    ),
    (
        "Content-Type: application/sdp",
        "Content-Type: application/sdp\r\ne: gzip",
        415,
        (Name::AcceptEncoding, "identity"),
    ),
    (
        "Content-Type: application/sdp",
        "Content-Disposition: render;handling=optional\r\nc: text/html",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "Max-Forwards: 70",
        "Accept: text/html",
        406,
        (Name::Warning, "Accept"),
    ),
    ("RTP/AVP 0 8", "RTP/AVP 9 18", 488, (Name::Warning, "399")),
    (
        "Content-Length: ",
        "Content-Length: 99",
        400,
        (Name::Warning, "larger than what came"),
    ),
    (
        "Via: SIP/2.0/UDP",
        "Via: SIP/2.0",
        400,
        (Name::Warning, "Via is no list"),
    ),
    (
        "To: <sip:+74951000001@",
        "To: <sip:+74951000001;x=",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "To: <",
        "To: <sip:gone@x>;tag=gone;x=<",
        481,
        (Name::Warning, "no such dialog"),
    ),
    (
        "INVITE sip:+74951000001@",
        "INVITE sip:8%28495%29100-00-01@",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "Via: ",
        "v :\t",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "\r\nMax",
        " , SIP / 2.0 / TCP  [2001:db8::1]:5062 ;branch = z9hG4bKq\r\nMax",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "From: <",
        "From:\r\n \"Anna \\\"A\\\" <sip:no@no>;tag=no\"\r\n\t<",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        "Max-Forwards: 70",
        "SUBJECT:\r\nX-Odd : ;;,,\r\n\t;,\r\nmAX-fORWARDS:  070 ",
        200,
        (Name::ContentType, "application/sdp"),
    ),
    (
        " SIP/2.0\r\nVia",
        " SIP/2.0 \r\nVia",
        200,
        (Name::ContentType, "application/sdp"),
    ),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_mistake_in_an_invite_has_its_answer() {
    let pbx = start().await;
    let mut peer = Peer::new(&pbx, CALLER);
    let body = sdp("127.0.0.2:9000".parse().unwrap(), "0 8");
    for (plain, spoilt, status, (name, text)) in INVITES {
        let invite = peer.call("+74951000001", "", &body);
        assert!(invite.contains(plain), "{plain}");
        peer.send(invite.replacen(plain, spoilt, 1));
        let answer = peer.answer();
        assert_eq!(answer.status(), status, "{spoilt}: {:?}", answer.bytes());
        let value = answer.header(name).unwrap_or_default();
        assert!(value.contains(text), "{spoilt}: {name}: {value}");
        finish(&mut peer, &invite, &answer);
    }
    assert_serves(&pbx).await;
    assert!(
        pbx.json("/api/v1/calls/live").await["items"]
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// Acknowledges the final answer to an INVITE, and ends what came of it.
fn finish(peer: &mut Peer, invite: &str, answer: &Message) {
    if answer.status() < 300 {
        let ack = peer.within(answer, "ACK", 1, "", "");
        peer.send(ack);
        peer.hang_up(answer);
        return;
    }
    let via = invite
        .lines()
        .find(|line| line.starts_with("Via: "))
        .unwrap();
    let header = |name: Name| answer.header(name).unwrap_or_default().to_owned();
    peer.send(format!(
        "ACK sip:x@{} SIP/2.0\r\n{via}\r\nFrom: {}\r\nTo: {}\r\nCall-ID: {}\r\nCSeq: {} ACK\r\nContent-Length: 0\r\n\r\n",
        peer.pbx,
        header(Name::From),
        header(Name::To),
        answer.call_id(),
        answer.cseq(),
    ));
    while peer.hear(Duration::from_millis(50)).is_some() {}
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn other_methods_and_dead_dialogs() {
    let pbx = start().await;
    let mut peer = Peer::new(&pbx, CALLER);
    let uri = format!("sip:{}", peer.pbx);
    let mut ask = |method: &str, change: &dyn Fn(String) -> String| {
        let request = peer.draw(method, &uri, "<sip:a@b>", "", "");
        peer.send(change(request));
        peer.answer()
    };
    let same = |request: String| request;
    let unknown = ask("DANCE", &same);
    assert_eq!(unknown.status(), 405);
    assert!(unknown.header(Name::Allow).unwrap().contains("INVITE"));
    assert_eq!(
        ask("DANCE", &|text| text.replace("1 DANCE", "1 INVITE")).status(),
        501
    );
    let spent = ask("OPTIONS", &|text| {
        text.replace("Max-Forwards: 70", "Max-Forwards: 0")
    });
    assert_eq!(spent.status(), 200);
    let long = format!("X-Long: {}\r\nMax-Forwards", "x".repeat(50_000));
    let large = ask("OPTIONS", &|text| text.replace("Max-Forwards", &long));
    assert_eq!(large.status(), 513);
    for method in ["BYE", "INFO", "UPDATE", "PRACK"] {
        let dead = ask(method, &|text| {
            text.replace("To: <", "To: <sip:a@b>;tag=dead;x=<")
        });
        assert_eq!(dead.status(), 481, "{method}");
    }

    let body = sdp("127.0.0.2:9000".parse().unwrap(), "0 8");
    let ok = peer.connected("+74951000001", &body);
    let extended = peer.within(&ok, "INFO", 2, "Require: nothing\r\n", "");
    peer.send(extended);
    let answer = peer.answer();
    assert_eq!(
        (answer.status(), answer.header(Name::Unsupported)),
        (420, Some("nothing"))
    );
    peer.hang_up(&ok);
    let late = peer.within(&ok, "BYE", 91, "", "");
    peer.send(late);
    assert_eq!(peer.answer().status(), 481);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_came_before_comes_no_further() {
    let pbx = start().await;
    let mut peer = Peer::new(&pbx, CALLER);
    let body = sdp("127.0.0.2:9000".parse().unwrap(), "0 8");

    // The same request by two ways: one is served.
    let invite = peer.call("+74951000001", "", &body);
    peer.send(&invite);
    let ok = peer.answer();
    assert_eq!(ok.status(), 200);
    peer.send(invite.replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    assert_eq!(merged(&peer), 482);
    let ack = peer.within(&ok, "ACK", 1, "", "");
    peer.send(ack);
    peer.hang_up(&ok);

    // A forward that leads back to where it began: one round, not seventy.
    let invite = peer.call("+74951000002", "", &body);
    peer.send(&invite);
    let answer = peer.answer();
    assert_eq!(answer.status(), 482, "{:?}", answer.bytes());
    finish(&mut peer, &invite, &answer);
    pause(300).await;
    assert_eq!(pbx.items("/api/v1/calls?limit=10").await.len(), 2);
}

/// The next final response to an INVITE other than a 200.
fn merged(peer: &Peer) -> u16 {
    let mut heard = std::iter::from_fn(|| peer.hear(SOON));
    let answer =
        heard.find(|message| message.status() >= 300 && message.method() == Method::Invite);
    answer.expect("a refusal").status()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn telephone_uris_and_parts_of_bodies() {
    let pbx = start().await;
    let mut peer = Peer::new(&pbx, CALLER);
    let body = sdp("127.0.0.2:9000".parse().unwrap(), "0 8");
    let parts = format!(
        "--b\r\n\r\n\r\n--b\r\nContent-Type: application/sdp\r\n\r\n{body}\r\n--b\r\nContent-Type: application/isup\r\n\r\n\u{1}\u{2}\r\n--b--\r\n"
    );
    for (uri, from, kind, body) in [
        (
            "tel:+7(495)100-00-01",
            "<tel:+79160000001>",
            "application/sdp",
            &body,
        ),
        (
            "tel:100-00-01;phone-context=+7495",
            "<sip:+79160000001@x>",
            "application/sdp",
            &body,
        ),
        (
            "sip:1000001;phone-context=+7495@h;user=phone",
            "<sip:a@b>",
            "application/sdp",
            &body,
        ),
        (
            "tel:84951000001",
            "sip:a@b",
            "multipart/mixed;boundary=b",
            &parts,
        ),
    ] {
        let invite = peer.draw("INVITE", uri, from, "", body);
        peer.send(invite.replace(
            "application/sdp\r\nContent-Length",
            &format!("{kind}\r\nContent-Length"),
        ));
        let ok = peer.answer();
        assert_eq!(ok.status(), 200, "{uri}: {:?}", ok.bytes());
        let ack = peer.within(&ok, "ACK", 1, "", "");
        peer.send(ack);
        peer.hang_up(&ok);
    }
    let calls = pbx.items("/api/v1/calls?limit=10").await;
    assert_eq!(calls.len(), 4);
    assert!(calls.iter().all(|call| call["number"] == "+74951000001"));
    assert_eq!(calls.last().unwrap()["caller"], "+79160000001");
}
