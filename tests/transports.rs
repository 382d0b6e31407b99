//! SIP over TCP, TLS, WebSockets and IPv6, with real peers: SIPp (Debian's has no TLS), baresip, the built-in phones, and connections by hand.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use crate::support::baresip::{Baresip, Place};
use crate::support::by_hand::sdp;
use crate::support::certificates::Authority;
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::stream::{SOON, Stream};
use crate::support::{ANYWHERE, CALLER, PHONES, eventually, free_port, pause};
use tempfile::TempDir;
use vats::sip::wire::framer::Frame;
use vats::sip::wire::{Message, Name};

const LIMIT: Duration = Duration::from_secs(15);

/// `[server]` with these listeners in the stead of UDP alone, and `more` lines of it.
fn server(listeners: &str, more: &str) -> String {
    let lines: Vec<String> = pbx::server()
        .lines()
        .map(|line| match line.starts_with("sip = ") {
            true => format!("sip = [{listeners}]\n{more}"),
            false => line.to_owned(),
        })
        .collect();
    lines.join("\n")
        + "\n[trunks.here]\naccept = [\"127.0.0.1/32\", \"::1/128\"]\n"
        + "\n[numbers.\"+74951000009\"]\nto = \"echo\"\n"
}

/// Anna, who is called by a number.
fn anna(more: &str) -> String {
    pbx::operator("anna", more) + "\n[numbers.\"+74951000001\"]\nto = \"operator:anna\"\n"
}

const ALL: &str = r#""udp://127.0.0.1:0", "tcp://127.0.0.1:0", "tls://127.0.0.1:0", "ws://127.0.0.1:0", "wss://127.0.0.1:0""#;

fn tls(certificate: &Path, key: &Path, more: &str) -> String {
    format!(
        "tls = {{ certificate = \"{}\", key = \"{}\"{more} }}",
        certificate.display(),
        key.display()
    )
}

/// A PBX on all transports, with a certificate for 127.0.0.1.
async fn secure_pbx(more: &str) -> (Pbx, Authority, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (certificate, key) = authority.sign("pbx", &["127.0.0.1", "pbx.test"]);
    let toml = server(ALL, &tls(&certificate, &key, "")) + &anna(more);
    (Pbx::start(&toml).await, authority, folder)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_places_a_call_over_tcp() {
    let at = SocketAddr::new(PHONES, free_port(PHONES));
    let contact = format!("contact = \"sip:anna@{at};transport=tcp\"");
    let toml = server(r#""udp://127.0.0.1:0", "tcp://127.0.0.1:0""#, "") + &anna(&contact);
    let pbx = Pbx::start(&toml).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let before = sockets(&pbx).await;
    let answers = Phone::Answer(300, far.place(), Law::Mu);
    let mut anna = Sipp::start(&Run {
        local: at,
        transport: "t1",
        ..Run::once(answers.xml(), PHONES, pbx.over("tcp"))
    });
    eventually(LIMIT, "SIPp listens on TCP", || async {
        // It is not to be given a connection of its own.
        std::net::TcpListener::bind(at).is_err().then_some(())
    })
    .await;
    let number = "+79160000001";
    let call = Caller::new(
        "+74951000001",
        number,
        near.place(),
        Then::HangUpAfter(3_000),
    );
    let mut caller = Sipp::start(&Run {
        transport: "t1",
        ..Run::once(call.xml(), CALLER, pbx.over("tcp"))
    });
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    let invite = anna.invite(LIMIT).await;
    far.send_to(invite.media().unwrap());
    far.tone(Some(1_000.0));
    assert!(invite.header("Via").unwrap().starts_with("SIP/2.0/TCP "));
    assert!(invite.header("Contact").unwrap().contains(";transport=tcp"));
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    assert!(sound::seconds_of(&far.audio(), 440.0) > 1.5);
    assert!(sound::seconds_of(&near.audio(), 1_000.0) > 1.5);
    // Nothing is sent twice over a connection but a 200, and that only until its ACK.
    assert_eq!(anna.count(false, "INVITE "), 1);
    assert_eq!(anna.count(false, "BYE "), 1);
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered", "{row}");
    drop((anna, caller));
    sockets_go_back(&pbx, before).await;
}

/// SIP connections, and open sockets, the API's connection included. (The database opens files as it needs them.)
async fn sockets(pbx: &Pbx) -> (u64, usize) {
    let health = pbx.json("/health/ready").await;
    (
        health["alive"]["connections"].as_u64().unwrap(),
        pbx.sockets(),
    )
}

/// As many as before; the API's client may have opened one more.
async fn sockets_go_back(pbx: &Pbx, before: (u64, usize)) {
    let what = format!("connections and sockets are {before:?} again");
    eventually(LIMIT, &what, || async {
        let (connections, all) = sockets(pbx).await;
        (connections == before.0 && all <= before.1 + 1).then_some(())
    })
    .await;
}

/// Both ends over the same transport: they hear each other.
async fn phones_talk(pbx: &Pbx, transport: &str, ca: &Path) {
    let folder = pbx.folder();
    phone::tone(folder, "caller.wav", 440.0);
    phone::tone(folder, "anna.wav", 1_000.0);
    let before = sockets(pbx).await;
    let ca = ca.display().to_string();
    let way = ["--transport", transport, "--ca", &ca];
    let there = pbx.over(transport);
    let mine = [
        "--after",
        "300ms",
        "--play",
        "anna.wav",
        "--record",
        "heard.wav",
        "--once",
    ];
    let anna = Vats::answer(folder, there, "anna", &[&way[..], &mine].concat()).await;
    pbx.wait_for_state("anna", "available").await;
    let mine = ["--play", "caller.wav", "--for", "3s"];
    let caller = Vats::dial(folder, there, "+74951000001", &[&way[..], &mine].concat());
    let (code, said) = caller.ended().await;
    assert_eq!(code, 0, "{transport}: {said}");
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{transport}: {said}");
    let heard = std::fs::read(folder.join("heard.wav")).unwrap();
    let heard = sound::read_wav(&heard).0.remove(0);
    assert!(sound::seconds_of(&heard, 440.0) > 1.5, "{transport}");
    pbx.wait_for_state("anna", "offline").await;
    sockets_go_back(pbx, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_built_in_phones_talk_over_every_transport() {
    let (pbx, authority, _folder) = secure_pbx("").await;
    for transport in ["tcp", "tls", "ws", "wss"] {
        phones_talk(&pbx, transport, &authority.file).await;
    }
    // Who does not know the authority does not talk.
    let stranger = Authority::new(pbx.folder(), "stranger");
    let ca = stranger.file.display().to_string();
    let options = ["--transport", "tls", "--ca", &ca];
    let caller = Vats::dial(pbx.folder(), pbx.over("tls"), "+74951000009", &options);
    let (code, said) = caller.ended().await;
    assert_eq!(code, 1, "{said}");
    assert!(said.contains("certificate"), "{said}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn messages_are_cut_out_of_the_stream() {
    let pbx = Pbx::start(&server(r#""tcp://127.0.0.1:0""#, "")).await;
    let there = pbx.over("tcp");
    let mut stream = Stream::tcp(there).await;
    let host = stream.at.to_string();
    let uri = format!("sip:{there}");
    let options = stream.draw("OPTIONS", &uri, &host, "", "");
    for piece in options.as_bytes().chunks(17) {
        stream.send(piece).await;
        pause(5).await;
    }
    assert_eq!(stream.answer().await.status(), 200);
    let two = stream.draw("OPTIONS", &uri, &host, "", "")
        + "\r\n\r\n"
        + &stream.draw("OPTIONS", &uri, &host, "", "");
    stream.send(two).await;
    let mut frames = Vec::new();
    for _ in 0..3 {
        frames.push(stream.frame(SOON).await.expect("an answer"));
    }
    let pongs = frames.iter().filter(|frame| **frame == Frame::Pong).count();
    assert_eq!(pongs, 1, "{frames:?}");
    stream.send("\r\n\r\n").await;
    assert_eq!(stream.frame(SOON).await, Some(Frame::Pong));
    let large = stream
        .draw("OPTIONS", &uri, &host, "", "")
        .replace("Content-Length: 0", "Content-Length: 100000");
    stream.send(large + &"x".repeat(1_000)).await;
    let answer = stream.answer().await;
    assert_eq!(answer.status(), 513);
    assert!(stream.is_closed(SOON).await);

    let mut stream = Stream::tcp(there).await;
    let without = stream
        .draw("OPTIONS", &uri, &host, "", "")
        .replace("Content-Length: 0\r\n", "");
    stream.send(without).await;
    let answer = stream.answer().await;
    assert_eq!(answer.status(), 400);
    let warning = answer.header(Name::Warning).unwrap();
    assert!(warning.contains("Content-Length is missing"), "{warning}");
    assert!(stream.is_closed(SOON).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_large_invite_and_a_connection_that_drops_in_the_call() {
    let pbx = Pbx::start(&server(r#""udp://127.0.0.1:0", "tcp://127.0.0.1:0""#, "")).await;
    let there = pbx.over("tcp");
    let mut stream = Stream::tcp(there).await;
    let host = stream.at.to_string();
    let uri = format!("sip:+74951000009@{there}");
    let body = sdp("127.0.0.1:9000".parse().unwrap(), "0")
        + &format!("a=x-filling:{}\r\n", "y".repeat(80)).repeat(200);
    assert!(body.len() > 18_000);
    let invite = stream.draw("INVITE", &uri, &host, "", &body);
    stream.send(invite).await;
    let ok = stream.answer().await;
    assert_eq!(ok.status(), 200);
    let contact = ok.header(Name::Contact).unwrap();
    assert!(contact.contains(";transport=tcp"), "{contact}");
    let ack = stream.within(&ok, "ACK", 1);
    stream.send(ack).await;
    // The 200 is repeated until its ACK, even here; now it must not be.
    assert!(stream.frame(Duration::from_millis(700)).await.is_none());
    drop(stream);
    pause(200).await;
    let mut again = Stream::tcp(there).await;
    let bye = again.within(&ok, "BYE", 2);
    again.send(bye).await;
    assert_eq!(again.answer().await.status(), 200);
    let row = pbx.ended_call("+79160000001").await;
    assert_eq!(row["ended_by"], "caller", "{row}");
}

/// RFC 3261 §18.2.2: when the request's connection is gone, the answer goes to the sent-by of its Via.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_finds_its_way_when_the_connection_is_gone() {
    let toml = server(r#""udp://127.0.0.1:0", "tcp://127.0.0.1:0""#, "");
    let toml = toml.replace(
        "to = \"echo\"",
        "to = \"announcement:late\"\nanswer = \"when a person answers\"\n[announcements.late]\nprompt = \"prompts/short.wav\"\nthen = \"hangup\"",
    );
    let pbx = Pbx::start(&toml).await;
    let there = pbx.over("tcp");
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let mut stream = Stream::tcp(there).await;
    let uri = format!("sip:+74951000009@{there}");
    let body = sdp("127.0.0.1:9000".parse().unwrap(), "0");
    let invite = stream.draw("INVITE", &uri, &host, "", &body);
    stream.send(invite).await;
    assert_eq!(stream.message().await.status(), 100);
    drop(stream);
    let accepted = tokio::time::timeout(LIMIT, listener.accept()).await;
    let (mut stream, _) = accepted
        .expect("a connection to the Via's address")
        .unwrap();
    let mut bytes = bytes::BytesMut::new();
    while !bytes.ends_with(b"\r\n\r\n") {
        tokio::io::AsyncReadExt::read_buf(&mut stream, &mut bytes)
            .await
            .unwrap();
    }
    let answer = Message::parse(bytes.freeze()).unwrap();
    assert!(answer.status() >= 180, "{}", answer.status());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_certificate_is_exchanged_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let (old, new) = (
        Authority::new(&folder.path().join("old"), "old"),
        Authority::new(&folder.path().join("new"), "new"),
    );
    let (certificate, key) = old.sign("pbx", &["127.0.0.1"]);
    let toml = server(
        r#""udp://127.0.0.1:0", "tls://127.0.0.1:0""#,
        &tls(&certificate, &key, ""),
    );
    let pbx = Pbx::start(&toml).await;
    let there = pbx.over("tls");
    let reaches = async |authority: &Authority| {
        Stream::tls(there, "127.0.0.1", authority.client(None))
            .await
            .is_ok()
    };
    assert!(reaches(&old).await && !reaches(&new).await);
    let mut open = Stream::tls(there, "127.0.0.1", old.client(None))
        .await
        .unwrap();
    // A key that belongs to another certificate: all stays as it was, and it is said why.
    let (_, other_key) = new.sign("other", &["127.0.0.1"]);
    std::fs::copy(&other_key, &key).unwrap();
    let (status, answer) = pbx.post("/api/v1/reload", &serde_json::Value::Null).await;
    assert!(status >= 400, "{status} {answer}");
    assert!(
        answer.to_string().contains("do not go together"),
        "{answer}"
    );
    assert!(reaches(&old).await && !reaches(&new).await);
    let pair = new.sign("pbx", &["127.0.0.1"]);
    std::fs::copy(pair.0, &certificate).unwrap();
    std::fs::copy(pair.1, &key).unwrap();
    pbx.signal("HUP");
    eventually(LIMIT, "the new certificate", || async {
        reaches(&new).await.then_some(())
    })
    .await;
    assert!(!reaches(&old).await);
    // Connections that are open stay.
    let (uri, host) = (format!("sip:{there}"), open.at.to_string());
    let options = open.draw("OPTIONS", &uri, &host, "", "");
    open.send(options).await;
    assert_eq!(open.answer().await.status(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_can_demand_a_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (certificate, key) = authority.sign("pbx", &["127.0.0.1"]);
    let more = format!(", client_ca = \"{}\"", authority.file.display());
    let toml = server(
        r#""udp://127.0.0.1:0", "tls://127.0.0.1:0""#,
        &tls(&certificate, &key, &more),
    );
    let toml = toml.replace(
        "accept = [\"127.0.0.1/32\", \"::1/128\"]",
        "accept = [\"127.0.0.1/32\"]\ncertificate = \"sip.provider.example\"",
    );
    let pbx = Pbx::start(&toml).await;
    let there = pbx.over("tls");
    let right = authority.sign("right", &["sip.provider.example"]);
    let wrong = authority.sign("wrong", &["sip.other.example"]);
    for (own, status) in [(None, 401), (Some(&wrong), 401), (Some(&right), 200)] {
        let client = authority.client(own);
        let mut stream = Stream::tls(there, "127.0.0.1", client).await.unwrap();
        let (uri, host) = (format!("sip:+74951000009@{there}"), stream.at.to_string());
        let body = sdp("127.0.0.1:9000".parse().unwrap(), "0");
        let invite = stream.draw("INVITE", &uri, &host, "", &body);
        stream.send(invite).await;
        let answer = stream.answer().await;
        assert_eq!(answer.status(), status, "{own:?}");
        if status == 200 {
            let ack = stream.within(&answer, "ACK", 1);
            stream.send(ack).await;
            let bye = stream.within(&answer, "BYE", 2);
            stream.send(bye).await;
            assert_eq!(stream.answer().await.status(), 200);
        }
    }
    let row = pbx.ended_call("+79160000001").await;
    assert_eq!(row["trunk"], "here", "{row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_browser_registers_and_is_called() {
    let toml = server(r#""udp://127.0.0.1:0", "ws://127.0.0.1:0""#, "") + &anna("");
    let pbx = Pbx::start(&toml).await;
    let there = pbx.over("ws");
    let before = sockets(&pbx).await;
    assert_eq!(Stream::web(there, "chat").await.err(), Some(400));
    let mut browser = Stream::web(there, "chat, sip").await.unwrap();
    let host = "df7jal23ls0d.invalid";
    let ours = format!("sip:anna@{host};transport=ws");
    let contact = format!(
        "<{ours}>;reg-id=1;+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\""
    );
    let more = "Supported: path, outbound\r\n";
    let ok = browser.register("anna", &contact, host, more).await;
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.header(Name::Require), Some("outbound"));
    assert!(ok.header(Name::FlowTimer).is_some());
    pbx.wait_for_state("anna", "available").await;
    let operators = pbx.items("/api/v1/operators").await;
    let phones = operators[0]["phones"].to_string();
    assert!(
        phones.contains(&ours) && phones.contains(" via 127.0.0.1:"),
        "{phones}"
    );

    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let number = "+79160000001";
    let call = Caller::new("+74951000001", number, near.place(), Then::HangUpAfter(500));
    let mut caller = Sipp::call(pbx.sip, &call);
    let invite = browser.request("INVITE").await;
    assert_eq!(invite.request_uri(), ours);
    let via = invite.header(Name::Via).unwrap();
    assert!(via.starts_with("SIP/2.0/WS 127.0.0.1:"), "{via}");
    assert!(
        invite
            .header(Name::Contact)
            .unwrap()
            .contains(";transport=ws")
    );
    browser.respond(&invite, 180, &ours, "").await;
    let body = sdp("127.0.0.1:9000".parse().unwrap(), "0");
    browser.respond(&invite, 200, &ours, &body).await;
    browser.request("ACK").await;
    let bye = browser.request("BYE").await;
    browser.respond(&bye, 200, &ours, "").await;
    caller.finished(LIMIT).await;
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered", "{row}");
    // The page is closed: nobody is there any more.
    drop(browser);
    pbx.wait_for_state("anna", "offline").await;
    drop(caller);
    sockets_go_back(&pbx, before).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_over_ipv6() {
    let listeners = r#""udp://[::1]:0", "tcp://[::1]:0", "udp://127.0.0.1:0""#;
    let toml = server(listeners, "") + &anna("");
    let pbx = Pbx::start(&toml).await;
    let folder = pbx.folder();
    phone::tone(folder, "caller.wav", 440.0);
    for transport in ["udp", "tcp"] {
        let there = pbx.over(transport);
        assert!(there.is_ipv6());
        let options = [
            "--transport",
            transport,
            "--play",
            "caller.wav",
            "--record",
            "heard.wav",
            "--for",
            "2s",
        ];
        let caller = Vats::dial(folder, there, "+74951000009", &options);
        let (code, said) = caller.ended().await;
        assert_eq!(code, 0, "{transport}: {said}");
        let heard = std::fs::read(folder.join("heard.wav")).unwrap();
        let heard = sound::read_wav(&heard).0.remove(0);
        assert!(sound::seconds_of(&heard, 440.0) > 1.0, "{transport}");
    }
    // From the one family to the other.
    let six = pbx.over("udp");
    let options = ["--after", "200ms", "--record", "anna.wav", "--once"];
    let anna = Vats::answer(folder, six, "anna", &options).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let number = "+79160000002";
    let call = Caller::new(
        "+74951000001",
        number,
        near.place(),
        Then::HangUpAfter(2_500),
    );
    let four: SocketAddr = pbx.all("udp")[1];
    let mut caller = Sipp::call(four, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    caller.finished(LIMIT).await;
    let (code, said) = anna.ended().await;
    assert_eq!(code, 0, "{said}");
    let heard = std::fs::read(folder.join("anna.wav")).unwrap();
    let heard = sound::read_wav(&heard).0.remove(0);
    assert!(sound::seconds_of(&heard, 440.0) > 1.0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_is_called_over_tls() {
    let (pbx, authority, _folder) = secure_pbx("").await;
    let there = pbx.over("tls");
    let place = Place {
        namespace: None,
        address: SocketAddr::new(PHONES, free_port(PHONES)),
        media: free_port(ANYWHERE),
        ca: Some(authority.file.clone()),
    };
    let outbound = format!("sip:{there};transport=tls");
    let account = ";audio_codecs=PCMU/8000/1;sipnat=outbound";
    let mut phone = Baresip::start_at(&place, "anna", 1_000.0, &outbound, account);
    phone.registered().await;
    pbx.wait_for_state("anna", "available").await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let number = "+79160000001";
    let call = Caller::new(
        "+74951000001",
        number,
        near.place(),
        Then::HangUpAfter(3_000),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    caller.finished(LIMIT).await;
    assert!(sound::seconds_of(&near.audio(), 1_000.0) > 1.5);
    assert!(sound::seconds_of(&phone.heard().await, 440.0) > 1.5);
    phone.kill();
    pbx.wait_for_state("anna", "offline").await;
}

/// Too many connections from one source: the next one is closed at once, the others stay.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_source_has_so_many_connections_and_no_more() {
    let toml = server(
        r#""udp://127.0.0.1:0", "tcp://127.0.0.1:0""#,
        "connections_per_source = 3",
    );
    let pbx = Pbx::start(&toml).await;
    let there = pbx.over("tcp");
    let mut streams = Vec::new();
    for _ in 0..3 {
        streams.push(Stream::tcp(there).await);
    }
    pause(100).await;
    assert!(Stream::tcp(there).await.is_closed(SOON).await);
    let first = &mut streams[0];
    let (uri, host) = (format!("sip:{there}"), first.at.to_string());
    let options = first.draw("OPTIONS", &uri, &host, "", "");
    first.send(options).await;
    assert_eq!(first.answer().await.status(), 200);
    streams.pop();
    eventually(LIMIT, "room for another", || async {
        let mut stream = Stream::tcp(there).await;
        (!stream.is_closed(Duration::from_millis(200)).await).then_some(())
    })
    .await;
}

/// One PBX is the other's provider: it is registered at and called over TLS, and its certificate is looked at.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (certificate, key) = authority.sign("provider", &["127.0.0.1"]);
    let provider =
        server(r#""tls://127.0.0.1:0""#, &tls(&certificate, &key, "")) + &pbx::operator("shop", "");
    let provider = Pbx::start(&provider).await;
    let (own, own_key) = authority.sign("own", &["127.0.0.1"]);
    let ours = |ca: &Path| {
        let more = format!(", ca = \"{}\"", ca.display());
        server(
            r#""udp://127.0.0.1:0", "tls://127.0.0.1:0""#,
            &tls(&own, &own_key, &more),
        ) + &format!(
            "\n[trunks.provider]\npeer = \"tls://{}\"\nregister = {{ user = \"shop\", password = \"secret-shop\" }}\n",
            provider.over("tls")
        ) + "\n[numbers.\"+74951000002\"]\nto = \"forward:far\"\n\n[forwards.far]\nto = \"+74951000009\"\ntrunk = \"provider\"\n"
    };
    let pbx = Pbx::start(&ours(&authority.file)).await;
    provider.wait_for_state("shop", "available").await;
    let before = pbx.open_files();
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let number = "+79160000001";
    let call = Caller::new(
        "+74951000002",
        number,
        near.place(),
        Then::HangUpAfter(2_500),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    caller.finished(LIMIT).await;
    // The provider's echo came back.
    assert!(sound::seconds_of(&near.audio(), 440.0) > 1.0);
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered", "{row}");
    let far = provider.items("/api/v1/calls").await;
    assert_eq!(far[0]["trunk"], "here", "{far:?}");
    assert!(pbx.open_files() <= before + 8);

    // Who shows a certificate that we do not believe is no provider of ours.
    let stranger = Authority::new(folder.path(), "stranger");
    let other = Pbx::start(&ours(&stranger.file)).await;
    eventually(LIMIT, "the certificate is refused", || async {
        other.log().contains("no TLS with").then_some(())
    })
    .await;
}
