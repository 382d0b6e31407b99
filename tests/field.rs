//! The PBX against what comes in from the field: malformed, odd, repeated and hostile messages, hand-made on raw sockets.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, TcpStream, UdpSocket};
use std::time::Duration;

use crate::support::by_hand::{Peer, QUIET, SOON, contact, echoed, media_of, rtp, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::{CALLER, PHONES, pause};
use bytes::Bytes;
use vats::sip::wire::{Message, Method, Name};

const STRANGER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 77));

const PLAN: &str = r#"
[numbers."+74951000001"]
to = "echo"
[numbers."+74951000002"]
to = "menu:main"
[numbers."+74951000003"]
to = "operator:anna"
[numbers."+74951000004"]
to = "operator:boris"
[menus.main]
prompt = "prompts/long.wav"
keys = { 2 = "echo" }
"#;

async fn start() -> Pbx {
    let people = [pbx::operator("anna", ""), pbx::operator("boris", "")].concat();
    Pbx::start(&[pbx::server(), people, PLAN.to_owned()].concat()).await
}

/// What is changed in a plain OPTIONS from a trunk, and the status that answers it; 0: none.
const ODD: [(&str, &str, u16); 25] = [
    ("OPTIONS", "OPTIONS", 200),
    ("OPTIONS", "FROBNICATE", 405),
    ("OPTIONS", "MESSAGE", 405),
    ("OPTIONS", "BYE", 481),
    ("OPTIONS", "CANCEL", 481),
    ("OPTIONS", "ACK", 0),
    ("To: <", "To: <sip:x@y>;tag=gone;x=<", 481),
    (" SIP/2.0\r\nVia", " SIP/3.0\r\nVia", 505),
    ("OPTIONS sip:", "OPTIONS http:", 416),
    ("OPTIONS sip:", "OPTIONS ", 416),
    ("Max-Forwards: 70", "Max-Forwards: 999", 400),
    ("Max-Forwards: 70", "Require: foo", 420),
    ("CSeq: 1 OPTIONS", "CSeq: 1 INVITE", 400),
    ("CSeq: 1 ", "CSeq: 4294967296 ", 400),
    ("Content-Length: 0", "Content-Length: 9", 400),
    ("Content-Length: 0", "Content-Length: -1", 400),
    ("Call-ID:", "X-ID:", 400),
    ("From: <", "From: \"A <", 400),
    ("From:", "f :", 200),
    ("From: ", "From:\r\n\t", 200),
    ("\r\n", "\n", 200),
    ("OPTIONS sip", "\r\n\r\nOPTIONS sip", 200),
    ("From: <", "From: \"\\\"q\\\" <sip:no@no>;tag=9\" <", 200),
    (
        "\r\nMax",
        ", SIP/2.0/UDP [2001:db8::1]:5060;branch=z9hG4bKq\r\nMax",
        200,
    ),
    ("Via: ", "X-Via: ", 0),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn odd_requests_get_the_status_that_says_why() {
    let pbx = start().await;
    let mut peer = Peer::new(&pbx, CALLER);
    let uri = format!("sip:{}", peer.pbx);
    let mut cases: Vec<(String, u16)> = Vec::new();
    for (plain, odd, status) in ODD {
        let options = peer.draw("OPTIONS", &uri, "<sip:a@b>", "", "");
        cases.push((options.replace(plain, odd), status));
    }
    let long = format!("X-Long: {}\r\n", "x".repeat(60_000));
    cases.push((peer.draw("OPTIONS", &uri, "<sip:a@b>", &long, ""), 513));
    let whole = peer.draw("OPTIONS", &uri, "<sip:a@b>", "", "");
    cases.push((whole.split("Call-ID").next().unwrap().to_owned(), 400));
    for nonsense in [
        "\0\u{1}binary",
        "GET / HTTP/1.1\r\n\r\n",
        "SIP/2.0 200 OK\r\n\r\n",
    ] {
        cases.push((nonsense.to_owned(), 0));
    }
    for (plain, odd, status) in [
        ("Max-Forwards: 70", "Max-Forwards: 0", 483),
        ("application/sdp", "text/plain", 415),
        ("RTP/AVP 0", "RTP/AVP 9", 488),
        ("+74951000001", "+74959999999", 404),
    ] {
        let invite = peer.call("+74951000001", "", &sdp(peer.at, "0"));
        cases.push((invite.replace(plain, odd), status));
    }
    for (text, status) in cases {
        peer.send(&text);
        let start: String = text.chars().take(600).collect();
        if status == 0 {
            let heard = peer.hear(Duration::from_millis(60));
            assert!(heard.is_none(), "{start}");
        } else {
            assert_eq!(peer.answer().status(), status, "{start}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn repetitions_change_nothing() {
    let pbx = start().await;
    let mut peer = Peer::new(&pbx, CALLER);
    let invite = peer.call("+74951000001", "", &sdp(peer.at, "0"));
    for _ in 0..5 {
        peer.send(&invite);
    }
    let ok = peer.answer();
    assert_eq!(pbx.items("/api/v1/calls/live").await.len(), 1);
    // Unacknowledged, the 200 comes again; the same request by another way is refused.
    assert_eq!(peer.answer().bytes(), ok.bytes());
    peer.send(invite.replace("branch=z9hG4bK", "branch=z9hG4bKother"));
    let merged = std::iter::from_fn(|| peer.hear(QUIET)).find(|it| it.status() != 200);
    assert_eq!(merged.unwrap().status(), 482);
    let ack = peer.within(&ok, "ACK", 1, "", "");
    peer.send(&ack);
    pause(50).await;
    peer.all();
    peer.send(&ack);
    peer.send(&invite);
    // The 482 awaits an ACK of its own, which it does not get.
    assert!(peer.statuses().iter().all(|status| *status == 482));
    let bye = peer.within(&ok, "BYE", 2, "", "");
    for _ in 0..5 {
        peer.send(&bye);
    }
    let answers = peer.statuses();
    assert_eq!(answers.iter().filter(|status| **status == 200).count(), 5);
    for (method, cseq) in [("BYE", 3), ("INVITE", 4), ("INFO", 5)] {
        let late = peer.within(&ok, method, cseq, "", "");
        peer.send(late);
        let answers = peer.statuses();
        assert!(answers.contains(&481), "{method}: {answers:?}");
    }
    pbx.wait_until_idle(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stranger_gets_one_challenge_and_nothing_more() {
    let pbx = start().await;
    let mut stranger = Peer::new(&pbx, STRANGER);
    let invite = stranger.call("+74951000001", "", &sdp(stranger.at, "0"));
    stranger.send(&invite);
    let challenge = stranger.answer();
    assert_eq!(challenge.status(), 401);
    pause(1_200).await;
    assert!(stranger.all().is_empty());
    stranger.send(&invite);
    assert_eq!(stranger.answer().bytes(), challenge.bytes());
    assert_eq!(pbx.items("/api/v1/calls").await.len(), 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_registers_gets_what_is_due_to_him() {
    let pbx = start().await;
    let mut phone = Peer::new(&pbx, PHONES);
    let status = |answer: &(Message, Message)| answer.0.status();
    let good = phone.register("anna", "secret-anna", &contact("sip:anna@192.168.1.9"));
    assert_eq!(status(&good), 200);
    assert_eq!(
        status(&phone.register("anna", "secret-anna", "Contact: *\r\nExpires: 60\r\n")),
        400
    );
    assert_eq!(
        status(&phone.register("anna", "secret-anna", "Contact: <sip:a@b>;expires=1\r\n")),
        423
    );
    assert_eq!(
        status(&phone.register("anna", "secret-anna", "Contact: <tel:+7>\r\n")),
        400
    );
    let query = phone.register("anna", "secret-anna", "").0;
    assert_eq!(query.headers(Name::Contact).count(), 1);
    // Wrong password and unknown user: the same in everything but the nonces.
    let shape = |message: &Message| {
        let names: Vec<String> = message
            .lines()
            .map(|(_, name, _)| name.to_owned())
            .collect();
        let offers = message.headers(Name::WwwAuthenticate);
        let offers: Vec<String> = offers
            .map(|value| {
                value
                    .split("nonce=\"")
                    .map(|part| part.split_once('"').map_or(part, |(_, rest)| rest))
                    .collect()
            })
            .collect();
        (message.status(), names, offers)
    };
    let wrong = phone.register("anna", "nonsense", "");
    let nobody = phone.register("nobody", "nonsense", "");
    assert_eq!(shape(&wrong.0), shape(&nobody.0));
    assert_eq!(shape(&wrong.1), shape(&nobody.1));
    let gone = phone
        .register("anna", "secret-anna", "Contact: *\r\nExpires: 0\r\n")
        .0;
    assert_eq!((gone.status(), gone.header(Name::Contact)), (200, None));
    pbx.wait_for_state("anna", "offline").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn phones_behind_nat_are_reached_on_their_flows() {
    let pbx = start().await;
    let private = "sip:phone@192.168.1.10:5060";
    // Two operators, two homes, the same private address.
    let mut anna = Peer::new(&pbx, PHONES);
    let mut boris = Peer::new(&pbx, "127.0.0.4".parse().unwrap());
    anna.register("anna", "secret-anna", &contact(private));
    boris.register("boris", "secret-boris", &contact(private));
    // Anna's router forgets her; the phone comes back on another port.
    let mut anna = Peer::new(&pbx, PHONES);
    anna.register("anna", "secret-anna", &contact(private));
    let mut caller = Peer::new(&pbx, CALLER);
    for (number, phone) in [("+74951000003", &anna), ("+74951000004", &boris)] {
        let invite = caller.call(number, "", &sdp(caller.at, "0"));
        caller.send(&invite);
        let rung = phone.request(Method::Invite);
        // A second 200 of a forking proxy is acknowledged and ended; the first stays.
        phone.respond(
            &rung,
            200,
            "one",
            "sip:phone@127.0.0.3:1",
            &sdp(phone.at, "0"),
        );
        assert_eq!(phone.request(Method::Ack).to_tag(), Some("one"));
        phone.respond(&rung, 200, "two", private, &sdp(phone.at, "0"));
        assert_eq!(phone.request(Method::Ack).to_tag(), Some("two"));
        let bye = phone.request(Method::Bye);
        assert_eq!(bye.to_tag(), Some("two"));
        phone.respond(&bye, 200, "", private, "");
        let ok = caller.answer();
        assert_eq!(ok.status(), 200);
        let ack = caller.within(&ok, "ACK", 1, "", "");
        caller.send(ack);
        caller.hang_up(&ok);
        let bye = phone.request(Method::Bye);
        assert_eq!(bye.to_tag(), Some("one"));
        phone.respond(&bye, 200, "", private, "");
    }
    pbx.wait_until_idle(SOON).await;
    pbx.wait_for_state("anna", "available").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_go_back_through_the_proxies_they_came_by() {
    let pbx = start().await;
    let mut proxy = Peer::new(&pbx, CALLER);
    // The second value is no URI by the letter of RFC 3261, but its proxy wants it back.
    let routes = format!(
        "Record-Route: <sip:{};lr>, <sip:10.9.9.9;lr;x=\"a,b\">\r\n",
        proxy.at
    );
    let invite = proxy.call("+74951000001", &routes, &sdp(proxy.at, "0"));
    let invite = invite.replace(
        "Contact: <sip:x@",
        "Contact: <sip:x@10.1.1.1:5070>\r\nX-Was: <",
    );
    proxy.send(&invite);
    let ok = proxy.answer();
    assert_eq!(ok.headers(Name::RecordRoute).count(), 1);
    let ack = proxy.within(&ok, "ACK", 1, "", "");
    proxy.send(ack);
    let live = pbx.items("/api/v1/calls/live").await;
    let id = live[0]["call_id"].as_str().unwrap();
    let path = format!("/api/v1/calls/{id}/hangup");
    pbx.post(&path, &serde_json::Value::Null).await;
    let bye = proxy.request(Method::Bye);
    assert_eq!(bye.request_uri(), "sip:x@10.1.1.1:5070");
    let routes: Vec<&str> = bye.headers(Name::Route).collect();
    assert!(
        routes.join(",").ends_with("<sip:10.9.9.9;lr;x=\"a,b\">"),
        "{routes:?}"
    );
    proxy.respond(&bye, 200, "", "sip:x@10.1.1.1:5070", "");
    pbx.wait_until_idle(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn session_descriptions_of_the_field_are_understood() {
    let pbx = start().await;
    let mut caller = Peer::new(&pbx, CALLER);
    let plain = sdp(caller.at, "0 8");
    let video = "m=video 4000 RTP/AVP 99\r\na=rtpmap:99 H264/90000\r\n";
    let audio = plain.find("m=audio").unwrap();
    let cases: [(String, u16, &str); 12] = [
        (plain.clone(), 200, "RTP/AVP 0\r\n"),
        (plain.clone() + video, 200, "m=video 0 RTP/AVP 99"),
        (
            plain[..audio].to_owned() + video + &plain[audio..],
            200,
            "m=video 0 RTP/AVP 99\r\nm=audio",
        ),
        (
            plain.clone() + "a=ptime:60\r\na=sendonly\r\n",
            200,
            "a=recvonly",
        ),
        (
            plain.replace("c=IN IP4 127.0.0.2", "c=IN IP4 0.0.0.0"),
            200,
            "a=recvonly",
        ),
        (
            plain.replace("0 8", "97 96")
                + "a=rtpmap:97 pcma/8000/1\r\na=rtpmap:96 telephone-event/8000\r\n",
            200,
            "RTP/AVP 97 96",
        ),
        (
            plain.replace("\r\n", "\n").replace("s=-\n", ""),
            200,
            "m=audio",
        ),
        (plain.replace("RTP/AVP", "RTP/SAVP"), 488, ""),
        (plain.replace("m=audio", "m=image"), 488, ""),
        (plain.replace("c=IN IP4 127.0.0.2", "c=IN IP6 ::1"), 488, ""),
        (
            plain.replace("c=IN IP4 127.0.0.2", "c=IN IP4 224.0.0.1"),
            488,
            "",
        ),
        ("rubbish".to_owned(), 488, ""),
    ];
    for (offer, status, said) in cases {
        let invite = caller.call("+74951000001", "", &offer);
        caller.send(&invite);
        let answer = caller.answer();
        assert_eq!(answer.status(), status, "{offer}");
        if offer.contains("IP6") {
            let warning = answer.header(Name::Warning).unwrap();
            assert!(warning.contains("IP version"), "{warning}");
        }
        let body = String::from_utf8(answer.body().to_vec()).unwrap();
        assert!(body.contains(said), "{offer}\n{body}");
        if status == 200 {
            let ack = caller.within(&answer, "ACK", 1, "", "");
            caller.send(ack);
            caller.hang_up(&answer);
        } else {
            let top = invite.lines().nth(1).unwrap();
            let ack = caller.within(&ok_like(&answer), "ACK", 1, "", "");
            let via = ack.lines().nth(1).unwrap().to_owned();
            caller.send(ack.replace(&via, top));
        }
    }
    pbx.wait_until_idle(SOON).await;
}

/// A refusal with a Contact, so that `within` can be used on it.
fn ok_like(refusal: &Message) -> Message {
    let text = String::from_utf8(refusal.bytes().to_vec()).unwrap();
    let text = text.replacen("\r\n", "\r\nContact: <sip:x@127.0.0.1>\r\n", 1);
    Message::parse(Bytes::from(text)).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn junk_on_the_media_port_disturbs_nobody() {
    let pbx = start().await;
    let mut caller = Peer::new(&pbx, CALLER);
    let ear = UdpSocket::bind((CALLER, 0)).unwrap();
    let before = pbx.sockets();
    let ok = caller.connected("+74951000001", &sdp(ear.local_addr().unwrap(), "0"));
    let media = media_of(&ok);
    assert_eq!(echoed(&ear, media, 65_530, 20, 0x11), 20);
    let junk: [&[u8]; 9] = [
        b"",
        b"\x80",
        &[0x80; 11],
        &[0; 200],
        &[0xff; 1_400],
        b"\x00\x01\x00\x00\x21\x12\xa4\x42aaaaaaaaaaaa",
        b"\x80\xc8\x00\x06\x00\x00\x00\x00",
        b"\x90\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xbe\xde\xff\xff",
        &[0xaf; 40],
    ];
    for bytes in junk.iter().cycle().take(90) {
        ear.send_to(bytes, media).unwrap();
    }
    let evil = UdpSocket::bind((CALLER, 0)).unwrap();
    for n in 0..50 {
        evil.send_to(&rtp(n, &[0x66; 160]), media).unwrap();
    }
    let mut buffer = [0; 4096];
    ear.set_read_timeout(Some(QUIET)).unwrap();
    while let Ok(length) = ear.recv(&mut buffer) {
        assert!(
            !buffer[..length].contains(&0x66),
            "another's stream is heard"
        );
    }
    evil.set_read_timeout(Some(QUIET)).unwrap();
    assert!(evil.recv(&mut buffer).is_err());
    assert_eq!(echoed(&ear, media, 500, 20, 0x33), 20);
    caller.hang_up(&ok);
    pbx.wait_until_idle(SOON).await;
    // Its media socket is closed at the next look of the worker.
    crate::support::eventually(SOON, "the media socket closes", || async {
        (pbx.sockets() <= before + 1).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys_come_by_info_where_nothing_else_was_agreed() {
    let pbx = start().await;
    for (kind, body) in [
        ("application/dtmf-relay", "Signal= 2\r\nDuration=160\r\n"),
        ("application/dtmf", "2"),
    ] {
        let mut caller = Peer::new(&pbx, CALLER);
        let ear = UdpSocket::bind((CALLER, 0)).unwrap();
        let ok = caller.connected("+74951000002", &sdp(ear.local_addr().unwrap(), "0"));
        let info = caller.within(&ok, "INFO", 2, &format!("Content-Type: {kind}\r\n"), body);
        caller.send(info);
        assert_eq!(caller.answer().status(), 200);
        pause(200).await;
        assert!(echoed(&ear, media_of(&ok), 1, 20, 0x44) > 15);
        caller.hang_up(&ok);
    }
}

/// What the API answers to these bytes.
fn raw(pbx: &Pbx, request: &str) -> String {
    let mut stream = TcpStream::connect(pbx.http).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_api_refuses_what_it_must() {
    let pbx = start().await;
    let host = format!("Host: {}", pbx.http);
    let get = |path: &str, lines: &str| {
        format!("GET {path} HTTP/1.1\r\n{lines}\r\nConnection: close\r\n\r\n")
    };
    let cases = [
        (get("/api/v1/calls", &host), 200),
        (get("/api/v1/calls", "Host: evil.example"), 403),
        (
            get(
                "/api/v1/calls",
                &format!("{host}\r\nOrigin: http://evil.example"),
            ),
            403,
        ),
        (
            get(
                "/api/v1/calls",
                &format!("{host}\r\nX-Forwarded-For: 1.2.3.4"),
            ),
            403,
        ),
        (
            get("/api/v1/calls", &format!("{host}\r\nX-Real-IP: 1.2.3.4")),
            403,
        ),
        (
            get("/api/v1/calls", &format!("{host}\r\nVia: 1.1 proxy")),
            403,
        ),
        (get("/api/v1/calls?cursor=%00%ff", &host), 400),
        (get("/api/v1/calls?limit=-1", &host), 400),
        (get("/api/v1/calls?limit=0", &host), 400),
        (
            get("/api/v1/recordings/..%2f..%2fetc%2fpasswd/audio", &host),
            404,
        ),
        (get("/api/v1/recordings/../../../etc/passwd", &host), 404),
        (
            get(
                "/api/v1/calls",
                &format!("{host}\r\nX-Long: {}", "x".repeat(2_000_000)),
            ),
            431,
        ),
        (
            format!(
                "POST /api/v1/calls HTTP/1.1\r\n{host}\r\nConnection: close\r\nContent-Length: 1\r\n\r\n{{"
            ),
            400,
        ),
        ("\0\u{1}\r\n\r\n".to_owned(), 400),
    ];
    for (request, status) in cases {
        let answer = raw(&pbx, &request);
        let start: String = request.chars().take(200).collect();
        // Too large a request may be cut off before its answer is read.
        let cut = status == 431 && answer.is_empty();
        assert!(
            cut || answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{start}\n{answer}"
        );
    }
    let files = pbx.open_files();
    // A crowd of connections that say nothing takes no descriptors from calls.
    let crowd: Vec<TcpStream> = (0..200)
        .map(|_| TcpStream::connect(pbx.http).unwrap())
        .collect();
    pause(300).await;
    assert!(pbx.open_files() < files + 140, "{} files", pbx.open_files());
    let mut caller = Peer::new(&pbx, CALLER);
    let ok = caller.connected("+74951000001", &sdp(caller.at, "0"));
    caller.hang_up(&ok);
    drop(crowd);
    crate::support::eventually(SOON, "the crowd is gone", || async {
        (pbx.open_files() < 100).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_strangers_does_not_touch_a_call() {
    let pbx = start().await;
    let mut caller = Peer::new(&pbx, CALLER);
    let ear = UdpSocket::bind((CALLER, 0)).unwrap();
    let ok = caller.connected("+74951000001", &sdp(ear.local_addr().unwrap(), "0"));
    let media = media_of(&ok);
    let (log, files) = (pbx.log().len(), pbx.open_files());
    let mut flood = Peer::new(&pbx, STRANGER);
    let storm = std::thread::spawn(move || {
        let (mut requests, body) = (0, sdp(flood.at, "0"));
        for n in 0..1_000 {
            let user = format!("sip:ghost{n}@pbx.test");
            let from = format!("<{user}>");
            for text in [
                flood.draw("REGISTER", "sip:pbx.test", &from, "", ""),
                flood.draw("INVITE", &user, &from, "", &body),
            ] {
                flood.send(text);
                requests += 1;
            }
        }
        settle();
        flood.socket.set_nonblocking(true).unwrap();
        let mut buffer = [0; 65_536];
        let answers = std::iter::from_fn(|| flood.socket.recv(&mut buffer).ok()).count();
        assert!(
            answers <= requests,
            "{answers} answers to {requests} requests"
        );
    });
    let heard = echoed(&ear, media, 1, 100, 0x55);
    assert!(heard >= 99, "{heard} of 100 packets");
    pbx.json("/api/v1/calls/live").await;
    storm.join().unwrap();
    caller.hang_up(&ok);
    assert!(pbx.log().len() < log + 2_000, "strangers fill the log");
    assert!(pbx.open_files() <= files + 8);
    assert_eq!(pbx.items("/api/v1/calls").await.len(), 1);
}

/// Lets what was sent be answered, on a thread of its own.
fn settle() {
    std::thread::sleep(Duration::from_millis(1_000));
}
