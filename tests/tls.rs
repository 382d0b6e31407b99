//! TLS as providers and phones use it: SIPp through OpenSSL, connections lent to us by a partner (RFC 5923), and what becomes of phones when the PBX
//! starts again.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::support::certificates::Authority;
use crate::support::name_server::{NameServer, host};
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::stream::{SOON, Stream};
use crate::support::tunnel::Tunnel;
use crate::support::{CALLER, PHONES, eventually, free_port, pause};
use tempfile::TempDir;
use vats::sip::wire::Name;

const LIMIT: Duration = Duration::from_secs(20);
const FROM: &str = "+79160000001";
const PARTNER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));

/// A folder with an authority and the PBX's certificate by it.
struct Trust {
    authority: Authority,
    _folder: TempDir,
}

impl Trust {
    fn new() -> Trust {
        let folder = tempfile::tempdir().unwrap();
        let authority = Authority::new(folder.path(), "authority");
        Trust {
            authority,
            _folder: folder,
        }
    }

    /// `[server]` with UDP and TLS, and a number that is forwarded to the trunk `partner`.
    fn plan(&self, peer: &str, more: &str) -> String {
        let (certificate, key) = self.authority.sign("pbx", &["127.0.0.1", "pbx.test"]);
        let (authority, plain) = (self.authority.file.display(), pbx::server());
        let udp = plain.lines().find(|line| line.starts_with("sip = "));
        let udp = udp.expect("a listener").to_owned();
        let both = format!(
            "{}, \"tls://127.0.0.1:0\"]\ntls = {{ certificate = \"{}\", key = \"{}\", ca = \"{authority}\", client_ca = \"{authority}\" }}",
            udp.trim_end_matches(']'),
            certificate.display(),
            key.display(),
        );
        plain.replacen(&udp, &both, 1)
            + &pbx::operator("anna", "")
            + &format!(
                r#"
[trunks.partner]
peer = "{peer}"
timeout = "2s"
[forwards.partner]
to = "+79990000000"
trunk = "partner"
[numbers."+74951000001"]
to = "operator:anna"
[numbers."+74951000002"]
to = "forward:partner"
[numbers."+74951000003"]
to = "announcement:short"
[announcements.short]
prompt = "prompts/short.wav"
then = "hangup"
{more}
"#
            )
    }
}

/// SIPp calls over TLS and is answered by a SIPp over TLS: the voices pass, and many calls share one connection each way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sipp_calls_sipp_over_tls() {
    let trust = Trust::new();
    let place = SocketAddr::new(CALLER, free_port(CALLER));
    let pbx = Pbx::start(&trust.plan(&format!("tls://{place}"), "")).await;
    let carrier = trust.authority.sign("carrier", &["127.0.0.2"]);
    let local = SocketAddr::new(CALLER, free_port(CALLER));
    let out = Tunnel::out_of_tls(place, &carrier, local).await;
    let ca = &trust.authority.file;
    let into = Tunnel::into_tls(CALLER, pbx.over("tls"), "pbx.test", ca).await;

    let (near, far) = (
        RtpPeer::open(CALLER, Law::Mu).await,
        RtpPeer::open(CALLER, Law::Mu).await,
    );
    let answers = Phone::Answer(200, far.place(), Law::Mu);
    let callee = |calls: u32, xml: String| Run {
        local,
        calls,
        transport: "t1",
        ..Run::once(xml, CALLER, into.address)
    };
    let mut called = Sipp::start(&callee(1, answers.xml()));
    listens(local).await;
    let call = Caller::new("+74951000002", FROM, near.place(), Then::HangUpAfter(4_000));
    let mut caller = Sipp::start(&Run {
        transport: "t1",
        ..Run::once(call.xml(), CALLER, into.address)
    });
    let answer = caller.answer(LIMIT).await;
    near.send_to(answer.media().unwrap());
    near.tone(Some(440.0));
    let invite = called.invite(LIMIT).await;
    far.send_to(invite.media().unwrap());
    far.tone(Some(1_000.0));
    caller.finished(LIMIT).await;
    called.finished(LIMIT).await;
    // Each tone began when this test had read of the call: most of what was said then is heard.
    for (said, heard, hertz) in [(&near, &far, 440.0), (&far, &near, 1_000.0)] {
        let (said, heard) = (said.said(), sound::seconds_of(&heard.audio(), hertz));
        assert!(
            heard > 0.5 && heard > said.min(3.0) - 1.0,
            "{hertz} Hz: {heard} s of {said} s"
        );
    }
    // What SIPp writes in its Via is TCP: that is between it and its socat.
    let via = invite.header("Via").unwrap();
    assert!(
        via.starts_with("SIP/2.0/TLS ") && via.contains(";alias"),
        "{via}"
    );
    for message in [&answer, &invite] {
        let contact = message.header("Contact").unwrap();
        assert!(contact.contains(";transport=tls"), "{contact}");
    }
    // Nothing is repeated over a connection but a 200, and that only until its ACK.
    assert_eq!(called.count(false, "INVITE "), 1);
    assert_eq!(called.count(false, "BYE "), 1);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");

    let silent = Phone::Answer(50, (CALLER, 9_000), Law::Mu);
    let mut called = Sipp::start(&callee(40, silent.xml()));
    listens(local).await;
    let call = Caller::new(
        "+74951000002",
        "+7916[call_number]",
        (CALLER, 9_000),
        Then::HangUpAfter(200),
    );
    let before = into.connections();
    let mut callers = Sipp::start(&Run {
        calls: 40,
        rate: 20,
        transport: "t1",
        ..Run::once(call.xml(), CALLER, into.address)
    });
    callers.finished(LIMIT).await;
    called.finished(LIMIT).await;
    assert_eq!(into.connections() - before, 1);
    // One for each SIPp that was called: the first one took its connection with it.
    assert_eq!(out.connections(), 2);
    let rows = pbx.items("/api/v1/calls?limit=100").await;
    let answered = rows
        .iter()
        .filter(|row| row["result"] == "answered")
        .count();
    assert_eq!(answered, 41);
}

/// Waits until SIPp listens at an address, without giving it a connection.
async fn listens(address: SocketAddr) {
    eventually(LIMIT, "SIPp listens", || async {
        std::net::TcpListener::bind(address).is_err().then_some(())
    })
    .await;
}

/// The PBX ends a call that came over TLS: its BYE takes the caller's connection, though his Contact names a port and no transport.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_pbx_hangs_up_over_tls() {
    let trust = Trust::new();
    let pbx = Pbx::start(&trust.plan("tls://127.0.0.2:9", "")).await;
    let ca = &trust.authority.file;
    let into = Tunnel::into_tls(CALLER, pbx.over("tls"), "pbx.test", ca).await;
    let call = Caller::new("+74951000003", FROM, (CALLER, 9_000), Then::WaitForBye);
    let mut caller = Sipp::start(&Run {
        transport: "t1",
        ..Run::once(call.xml(), CALLER, into.address)
    });
    caller.finished(LIMIT).await;
    assert_eq!(into.connections(), 1);
    assert_eq!(pbx.ended_call(FROM).await["result"], "served");
}

/// How a partner connects to us.
struct Shown {
    /// The name in its certificate, if it shows one.
    certificate: Option<&'static str>,
    /// Whether its Via says `alias`.
    alias: bool,
    /// Whether our calls take its connection.
    lends: bool,
}

/// Only the last one may lend.
const SHOWN: [Shown; 4] = [
    Shown {
        certificate: None,
        alias: true,
        lends: false,
    },
    Shown {
        certificate: Some("other.example"),
        alias: true,
        lends: false,
    },
    Shown {
        certificate: Some("partner.example"),
        alias: false,
        lends: false,
    },
    Shown {
        certificate: Some("partner.example"),
        alias: true,
        lends: true,
    },
];

/// RFC 5923: a partner's own connection takes our calls, if it offers that and has proved by its certificate to be the one we call. Else we open one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_partner_lends_its_connection() {
    let trust = Trust::new();
    let names = NameServer::start(vec![host("partner.example.", PARTNER)]).await;
    let door = tokio::net::TcpListener::bind((PARTNER, 0)).await.unwrap();
    let port = door.local_addr().unwrap().port();
    let toml = trust.plan(&format!("tls://partner.example:{port}"), "");
    let dns = format!("[server]\ndns = [\"{}\"]", names.address);
    let pbx = Pbx::start(&toml.replacen("[server]", &dns, 1)).await;
    for (number, shown) in SHOWN.iter().enumerate() {
        let own = shown
            .certificate
            .map(|name| trust.authority.sign(name, &[name]));
        let client = trust.authority.client(own.as_ref());
        let there = pbx.over("tls");
        let mut stream = Stream::tls_from(PARTNER, there, "pbx.test", client)
            .await
            .unwrap();
        let mark = if shown.alias { ";alias" } else { "" };
        let via = format!("partner.example:{port}{mark}");
        let options = stream.draw("OPTIONS", &format!("sip:{there}"), &via, "", "");
        let contact = format!("Contact: <sip:x@{via};transport=tls>");
        let plain = format!("Contact: <sip:partner.example:{port};transport=tls>");
        stream.send(options.replace(&contact, &plain)).await;
        assert_eq!(stream.answer().await.status(), 200);
        let from = format!("+7916000000{number}");
        let call = Caller::new(
            "+74951000002",
            &from,
            (CALLER, 9_000),
            Then::HangUpAfter(300),
        );
        if shown.lends {
            let mut caller = Sipp::call(pbx.sip, &call);
            let invite = stream.request("INVITE").await;
            assert_eq!(
                invite.request_uri(),
                format!("sip:+79990000000@partner.example:{port}")
            );
            // Over a connection that is not ours to lend, none is offered.
            let via = invite.header(Name::Via).unwrap();
            assert!(
                via.starts_with("SIP/2.0/TLS ") && !via.contains("alias"),
                "{via}"
            );
            let body = crate::support::by_hand::sdp(SocketAddr::new(PARTNER, 9_000), "0");
            let contact = format!("sip:partner.example:{port};transport=tls");
            stream.respond(&invite, 200, &contact, &body).await;
            stream.request("ACK").await;
            let bye = stream.request("BYE").await;
            stream.respond(&bye, 200, &contact, "").await;
            caller.finished(LIMIT).await;
            assert_eq!(pbx.ended_call(&from).await["result"], "answered");
            continue;
        }
        let refused = Caller {
            then: Then::Refused(480),
            ..call
        };
        let mut caller = Sipp::call(pbx.sip, &refused);
        let opened = tokio::time::timeout(LIMIT, door.accept()).await;
        // Nobody there speaks TLS: the call goes nowhere.
        drop(
            opened
                .expect("a connection to the partner's own port")
                .unwrap(),
        );
        assert!(
            stream.frame(Duration::from_millis(300)).await.is_none(),
            "{number}"
        );
        caller.finished(LIMIT).await;
        let row = pbx.ended_call(&from).await;
        assert_eq!(row["cause"], "unreachable", "{row}");
    }
    let more = tokio::time::timeout(Duration::from_millis(100), door.accept()).await;
    assert!(more.is_err(), "a connection that nobody needed");
}

/// Registered over TLS, called there; when the connection breaks the phone is offline at once, and a call meanwhile finds nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_fails_takes_the_binding_with_it() {
    let trust = Trust::new();
    let pbx = Pbx::start(&trust.plan("tls://127.0.0.2:9", "")).await;
    let mut phone = registers(&trust, &pbx, "1").await;
    let mut second = registers(&trust, &pbx, "2").await;
    pbx.wait_for_state("anna", "available").await;
    // Two flows of one phone (RFC 5626): the one that registered last is called.
    let call = Caller::new(
        "+74951000001",
        FROM,
        (CALLER, 9_000),
        Then::CancelAfter(300),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    rings_until_cancelled(&mut second).await;
    caller.finished(LIMIT).await;
    assert!(phone.frame(Duration::from_millis(100)).await.is_none());
    // That flow fails: the other one is called.
    drop(second);
    pause(300).await;
    assert_eq!(pbx.operator_state("anna").await, "available");
    let call = Caller {
        from: "+79160000002",
        ..call
    };
    let mut caller = Sipp::call(pbx.sip, &call);
    rings_until_cancelled(&mut phone).await;
    caller.finished(LIMIT).await;
    drop(phone);
    pbx.wait_for_state("anna", "offline").await;
    let call = Caller {
        from: "+79160000003",
        then: Then::Refused(480),
        ..call
    };
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    let row = pbx.ended_call("+79160000003").await;
    assert_eq!(row["cause"], "no_operators", "{row}");
}

/// The flow fails while the phone rings: the caller is not left ringing nobody.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flow_that_fails_while_it_rings() {
    let trust = Trust::new();
    let pbx = Pbx::start(&trust.plan("tls://127.0.0.2:9", "")).await;
    let mut phone = registers(&trust, &pbx, "1").await;
    pbx.wait_for_state("anna", "available").await;
    let call = Caller::new("+74951000001", FROM, (CALLER, 9_000), Then::Refused(480));
    let mut caller = Sipp::call(pbx.sip, &call);
    let invite = phone.request("INVITE").await;
    phone
        .respond(&invite, 180, "sip:anna@phone.invalid;transport=tls", "")
        .await;
    pause(200).await;
    drop(phone);
    caller.finished(Duration::from_secs(8)).await;
    pbx.wait_for_state("anna", "offline").await;
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "missed", "{row}");
}

/// Anna's phone on a TLS connection, as one of its flows.
async fn registers(trust: &Trust, pbx: &Pbx, flow: &str) -> Stream {
    let client = trust.authority.client(None);
    let mut phone = Stream::tls_from(PHONES, pbx.over("tls"), "pbx.test", client)
        .await
        .unwrap();
    let contact = format!(
        "<sip:anna@phone.invalid;transport=tls>;reg-id={flow};+sip.instance=\"<urn:uuid:f81d4fae-7dec-11d0-a765-00a0c91e6bf6>\""
    );
    let more = "Supported: path, outbound\r\n";
    let ok = phone
        .register("anna", &contact, "phone.invalid", more)
        .await;
    assert_eq!(ok.status(), 200);
    assert_eq!(ok.header(Name::Require), Some("outbound"));
    phone
}

async fn rings_until_cancelled(phone: &mut Stream) {
    let contact = "sip:anna@phone.invalid;transport=tls";
    let invite = phone.request("INVITE").await;
    phone.respond(&invite, 180, contact, "").await;
    let cancel = phone.request("CANCEL").await;
    phone.respond(&cancel, 200, contact, "").await;
    phone.respond(&invite, 487, contact, "").await;
    phone.request("ACK").await;
}

/// The PBX is killed and starts again: a phone over UDP is called as if nothing had been; one over TLS is gone with its connection, its calls fail at once
/// and say why, until it registers again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn registrations_outlive_a_restart_where_they_can() {
    let trust = Trust::new();
    let more = pbx::operator("boris", "") + "[numbers.\"+74951000004\"]\nto = \"operator:boris\"\n";
    let mut pbx = Pbx::start(&trust.plan("tls://127.0.0.2:9", &more)).await;
    let anna = registers(&trust, &pbx, "1").await;
    let answers = Phone::Answer(50, (PHONES, 9_000), Law::Mu);
    let mut boris = Sipp::phone(pbx.sip, "boris", &answers, 2).await;
    for name in ["anna", "boris"] {
        pbx.wait_for_state(name, "available").await;
    }
    let calls = async |pbx: &Pbx, number: &str, from: &str, then: Then| {
        let call = Caller::new(number, from, (CALLER, 9_000), then);
        Sipp::call(pbx.sip, &call).finished(LIMIT).await;
        pbx.ended_call(from).await
    };
    // Written before the kill: a clean stop is not needed for it.
    pause(1_000).await;
    for (round, kill) in [true, false].into_iter().enumerate() {
        if kill {
            pbx.crash();
        } else {
            pbx.terminate();
            pbx.ended(LIMIT).await;
        }
        pbx.restart();
        assert_eq!(pbx.operator_state("anna").await, "offline");
        let row = calls(
            &pbx,
            "+74951000004",
            &format!("+7916000001{round}"),
            Then::HangUpAfter(200),
        )
        .await;
        assert_eq!(
            (&row["result"], &row["operator"]),
            (&"answered".into(), &"boris".into())
        );
        let begun = std::time::Instant::now();
        let row = calls(
            &pbx,
            "+74951000001",
            &format!("+7916000002{round}"),
            Then::Refused(480),
        )
        .await;
        assert_eq!(row["cause"], "no_operators", "{row}");
        assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    }
    boris.finished(LIMIT).await;
    drop(anna);
    let mut anna = registers(&trust, &pbx, "1").await;
    pbx.wait_for_state("anna", "available").await;
    let call = Caller::new(
        "+74951000001",
        FROM,
        (CALLER, 9_000),
        Then::CancelAfter(200),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    rings_until_cancelled(&mut anna).await;
    caller.finished(LIMIT).await;
}
