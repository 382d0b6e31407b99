//! What carriers do that phones do not: challenges in the middle of a call, progress without sound, callers named in their own way, calls sent elsewhere,
//! calls of theirs joined, IPv6.

use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

use crate::support::by_hand::{Peer, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Then};
use crate::support::script::{Audio, Script};
use crate::support::sipp::{Run, Sipp};
use crate::support::softphone::Softphone;
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, free_port, pause};
use tokio::task::block_in_place;
use vats::sip::wire::{Message, Method, Name};

const LIMIT: Duration = Duration::from_secs(20);
const CARRIER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 5));
const MEDIA: (IpAddr, u16) = (CALLER, 9_000);
const FROM: &str = "+79160000001";

/// A carrier by hand, with a place for what it is told.
struct Carrier {
    peer: Peer,
    media: UdpSocket,
}

/// A PBX and its carrier; `lines` belong to the trunk.
async fn start(server: &str, lines: &str, more: &str) -> (Pbx, Carrier) {
    let port = free_port(CARRIER);
    let toml = pbx::server().replacen("[server]", &format!("[server]\n{server}"), 1)
        + &pbx::operator("anna", "")
        + &pbx::operator("clara", "")
        + &format!(
            r#"
[trunks.carrier]
peer = "{CARRIER}:{port}"
{lines}
[forwards.out]
to = "+79990000000"
trunk = "carrier"
[numbers."+74951000001"]
to = "forward:out"
[numbers."+74951000002"]
to = "operator:anna"
[numbers."+74951000003"]
to = "operator:clara"
[numbers."+74951000004"]
to = "echo"
{more}
"#
        );
    let pbx = Pbx::start(&toml).await;
    let peer = Peer::bound(&pbx, SocketAddr::new(CARRIER, port));
    let media = UdpSocket::bind((CARRIER, 0)).unwrap();
    (pbx, Carrier { peer, media })
}

impl Carrier {
    fn sdp(&self) -> String {
        sdp(self.media.local_addr().unwrap(), "0")
    }

    fn ok(&self, request: &Message, more: &str) {
        let contact = format!("Contact: <sip:far@{}>\r\n", self.peer.at);
        let body = match request.method() {
            Method::Invite => self.sdp(),
            _ => String::new(),
        };
        let more = contact + more;
        self.peer.respond_with(request, 200, "far", &more, &body);
        if request.method() == Method::Invite {
            self.peer.request(Method::Ack);
        }
    }

    /// The next request of this method, within ten seconds.
    fn hears(&self, method: Method) -> Message {
        self.peer.request_within(Duration::from_secs(10), method)
    }

    /// Challenges a request; the one that answers the challenge.
    fn challenges(&self, request: &Message, nonce: &str) -> Message {
        let more = format!(
            "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"{nonce}\", algorithm=MD5, qop=\"auth\"\r\n"
        );
        self.peer.respond_with(request, 407, "far", &more, "");
        if request.method() == Method::Invite {
            self.peer.request(Method::Ack);
        }
        let again = self.hears(request.method());
        assert_eq!(again.call_id(), request.call_id());
        assert_eq!(again.cseq(), request.cseq() + 1);
        assert_ne!(again.branch(), request.branch());
        proves(&again, nonce, 1);
        again
    }

    /// Calls a number and is answered.
    fn connected(&mut self, number: &str) -> Message {
        let body = self.sdp();
        self.peer.connected(number, &body)
    }

    /// REFER in the dialog of that 200; the status that answers it.
    fn refers(&mut self, ok: &Message, cseq: u32, to: &str) -> u16 {
        let to = format!("Refer-To: {to}\r\n");
        let refer = self.peer.within(ok, "REFER", cseq, &to, "");
        self.peer.send(refer);
        self.peer.answer().status()
    }

    /// The final report of a REFER.
    fn report(&self) -> String {
        loop {
            let notify = self.hears(Method::Notify);
            self.ok(&notify, "");
            let body = String::from_utf8(notify.body().to_vec()).unwrap();
            if !body.starts_with("SIP/2.0 1") {
                return body;
            }
        }
    }
}

/// Whether a request carries credentials for this nonce, used that often.
fn proves(request: &Message, nonce: &str, count: u32) {
    let shown = request.header(Name::ProxyAuthorization).unwrap_or("none");
    assert!(shown.contains(&format!("nonce=\"{nonce}\"")), "{shown}");
    assert!(shown.contains(&format!("nc={count:08x}")), "{shown}");
}

fn calls(pbx: &Pbx, number: &str, from: &str, then: Then) -> Sipp {
    Sipp::call(pbx.sip, &Caller::new(number, from, MEDIA, then))
}

/// A caller who knows neither session timers nor OPTIONS, and so is asked nothing.
fn quiet_caller(pbx: &Pbx, rest: impl FnOnce(Script) -> Script) -> Sipp {
    let script = Script::caller("+74951000001", FROM)
        .invite("Allow: INVITE, ACK, BYE\n", Some(Audio::at(MEDIA)))
        .may_ring()
        .dialog(200)
        .ack(None);
    Sipp::start(&Run::once(rest(script).xml(), CALLER, pbx.sip))
}

/// A proxy whose nonces live for seconds: INVITE, the re-INVITE that refreshes the session, and BYE are each challenged, and each come again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_to_whatever_we_ask() {
    let server = "session_expires = \"6s\"\nmin_session_expires = \"4s\"";
    let lines = "auth = { user = \"shop\", password = \"x\" }";
    let (pbx, carrier) = start(server, lines, "").await;
    let mut caller = quiet_caller(&pbx, |script| script.wait(4_500).bye());
    block_in_place(|| {
        let first = carrier.hears(Method::Invite);
        let invite = carrier.challenges(&first, "n1");
        // It takes no UPDATE, so a refresh is a re-INVITE.
        let timer =
            "Allow: INVITE, ACK, BYE\r\nRequire: timer\r\nSession-Expires: 6;refresher=uac\r\n";
        carrier.ok(&invite, timer);
        let refresh = carrier.hears(Method::Invite);
        assert!(refresh.to_tag().is_some());
        proves(&refresh, "n1", 2);
        let again = carrier.challenges(&refresh, "n2");
        assert_eq!(again.body(), refresh.body());
        assert_eq!(
            again.header(Name::SessionExpires),
            refresh.header(Name::SessionExpires)
        );
        carrier.ok(&again, timer);
        let bye = carrier.hears(Method::Bye);
        proves(&bye, "n2", 2);
        let bye = carrier.challenges(&bye, "n3");
        carrier.ok(&bye, "");
    });
    caller.finished(LIMIT).await;
    let row = pbx.ended_call(FROM).await;
    assert_eq!(
        (&row["result"], &row["ended_by"]),
        (&"answered".into(), &"caller".into())
    );
    assert!(row["talk_ms"].as_f64().unwrap() > 4_000.0, "{row}");
}

/// Wrong credentials in the middle of a call: the refresh is given up, and the call with it, by a BYE that says so. Nobody tries for ever.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_challenge_that_cannot_be_met() {
    let server = "session_expires = \"6s\"\nmin_session_expires = \"4s\"";
    let lines = "auth = { user = \"shop\", password = \"x\" }";
    let (pbx, carrier) = start(server, lines, "").await;
    let mut caller = quiet_caller(&pbx, Script::wait_for_bye);
    block_in_place(|| {
        let invite = carrier.hears(Method::Invite);
        let timer =
            "Allow: INVITE, ACK, BYE\r\nRequire: timer\r\nSession-Expires: 6;refresher=uac\r\n";
        carrier.ok(&invite, timer);
        let refresh = carrier.hears(Method::Invite);
        let again = carrier.challenges(&refresh, "n1");
        let more = "Proxy-Authenticate: Digest realm=\"carrier\", nonce=\"n2\", algorithm=MD5, qop=\"auth\"\r\n";
        carrier.peer.respond_with(&again, 407, "far", more, "");
        let bye = carrier.hears(Method::Bye);
        carrier.ok(&bye, "");
    });
    caller.finished(LIMIT).await;
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert!(row["trace"].to_string().contains("session"), "{row}");
}

/// 183 without a description is ringing; with one it is heard.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn progress_without_sound() {
    let (pbx, carrier) = start("", "", "").await;
    let mut caller = calls(&pbx, "+74951000001", FROM, Then::HangUpAfter(300));
    block_in_place(|| {
        let invite = carrier.hears(Method::Invite);
        let contact = format!("Contact: <sip:far@{}>\r\n", carrier.peer.at);
        carrier.peer.respond_with(&invite, 183, "far", &contact, "");
        std::thread::sleep(Duration::from_millis(300));
        carrier
            .peer
            .respond_with(&invite, 183, "far", &contact, &carrier.sdp());
        std::thread::sleep(Duration::from_millis(300));
        // And again without: what is heard goes on.
        carrier.peer.respond_with(&invite, 180, "far", &contact, "");
        std::thread::sleep(Duration::from_millis(300));
        carrier.ok(&invite, "");
        let bye = carrier.hears(Method::Bye);
        carrier.ok(&bye, "");
    });
    caller.finished(LIMIT).await;
    let heard: Vec<(String, bool)> = caller
        .messages()
        .iter()
        .filter(|message| !message.sent && message.start().starts_with("SIP/2.0 1"))
        .map(|message| (message.start()[8..11].to_owned(), message.media().is_some()))
        .filter(|(code, _)| code != "100")
        .collect();
    assert_eq!(heard[0], ("180".to_owned(), false), "{heard:?}");
    assert_eq!(heard[1], ("183".to_owned(), true), "{heard:?}");
    assert_eq!(pbx.ended_call(FROM).await["result"], "answered");
}

/// Remote-Party-ID names the caller where nothing better does; `privacy=full` hides him, and what is said of the called one is nobody's number.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_named_by_remote_party_id() {
    let (pbx, mut carrier) = start("", "", "").await;
    let party =
        |user: &str, more: &str| format!("Remote-Party-ID: \"Shop\" <sip:{user}@x>;{more}\r\n");
    let cases = [
        (
            party("89161112201", "party=calling;screen=yes;privacy=off"),
            Some("+79161112201"),
        ),
        (
            party("89161112202", "party=called") + &party("89161112203", "screen=no"),
            Some("+79161112203"),
        ),
        (party("89161112204", "party=calling;privacy=full"), None),
        // Asserted identity is worth more.
        (
            party("89161112205", "party=calling") + "P-Asserted-Identity: <sip:+79161112206@x>\r\n",
            Some("+79161112206"),
        ),
    ];
    for (lines, caller) in cases {
        let body = carrier.sdp();
        let invite = carrier.peer.call("+74951000004", &lines, &body);
        carrier.peer.send(invite);
        let ok = carrier.peer.answer();
        let ack = carrier.peer.within(&ok, "ACK", 1, "", "");
        carrier.peer.send(ack);
        carrier.peer.hang_up(&ok);
        pbx.wait_until_idle(LIMIT).await;
        let last = &pbx.items("/api/v1/calls?limit=1").await[0];
        assert_eq!(last["caller"].as_str(), caller, "{lines}");
    }
}

/// A carrier that sends the call elsewhere is not obeyed, unless its trunk says so and the number is one that may be dialled over it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_carrier_that_sends_the_call_elsewhere() {
    let rule =
        "[outbound.russia]\nprefixes = [\"+7\"]\ntrunks = [\"carrier\"]\nallow = [\"anna\"]\n";
    for (redirect, there, obeyed) in [
        (false, "+79991112233", false),
        (true, "+4930123456", false),
        (true, "+79991112233", true),
    ] {
        let (pbx, carrier) = start("", &format!("redirect = {redirect}"), rule).await;
        let then = match obeyed {
            true => Then::HangUpAfter(300),
            false => Then::Refused(480),
        };
        let mut caller = calls(&pbx, "+74951000001", FROM, then);
        block_in_place(|| {
            let invite = carrier.hears(Method::Invite);
            let contact = format!("Contact: <sip:{there}@elsewhere.example>\r\n");
            carrier.peer.respond_with(&invite, 302, "far", &contact, "");
            carrier.peer.request(Method::Ack);
            if obeyed {
                let second = carrier.hears(Method::Invite);
                let uri = second.request_uri();
                // The number, at the carrier: its Contact's host is nobody we call.
                assert!(uri.starts_with(&format!("sip:{there}@127.0.0.5")), "{uri}");
                carrier.ok(&second, "");
                let bye = carrier.hears(Method::Bye);
                carrier.ok(&bye, "");
            }
        });
        caller.finished(LIMIT).await;
        let row = pbx.ended_call(FROM).await;
        let result = if obeyed { "answered" } else { "missed" };
        assert_eq!(row["result"], result, "{redirect} {there}: {row}");
        assert!(block_in_place(|| carrier.peer.hear(Duration::from_millis(200))).is_none());
    }
}

/// A phone that forwards is bound by its operator's limits: with the rule's lines in use it is not obeyed, when they are free it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_forwards_beyond_the_limit() {
    let rule = "[outbound.russia]\nprefixes = [\"+7\"]\ntrunks = [\"carrier\"]\nallow = [\"anna\", \"clara\"]\nmax_calls = 1\n";
    let (pbx, carrier) = start("", "", rule).await;
    let _anna = Vats::answer(pbx.folder(), pbx.sip, "anna", &["--forward", "89161234567"]).await;
    let mut clara = Softphone::register(&pbx, PHONES, "clara");
    let outside = block_in_place(|| {
        let session = clara.call("+79160009999", Vec::new());
        clara.pass(Duration::from_millis(300));
        let invite = carrier.hears(Method::Invite);
        carrier.ok(&invite, "");
        clara.answered(session);
        session
    });
    let mut refused = calls(&pbx, "+74951000002", FROM, Then::Refused(480));
    refused.finished(LIMIT).await;
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "missed", "{row}");
    let trace = row["trace"].to_string();
    assert!(trace.contains("outbound.russia"), "{trace}");
    block_in_place(|| {
        clara.hang_up(outside);
        let bye = carrier.hears(Method::Bye);
        carrier.ok(&bye, "");
    });
    let second = "+79160000002";
    let mut caller = calls(&pbx, "+74951000002", second, Then::HangUpAfter(300));
    block_in_place(|| {
        let invite = carrier.hears(Method::Invite);
        assert!(invite.request_uri().contains("+79161234567"));
        carrier.ok(&invite, "");
        let bye = carrier.hears(Method::Bye);
        carrier.ok(&bye, "");
    });
    caller.finished(LIMIT).await;
    let row = pbx.ended_call(second).await;
    assert_eq!(
        (&row["result"], &row["operator"]),
        (&"answered".into(), &"anna".into())
    );
}

/// The parameters of Replaces that name the dialog of this 200.
fn replacing(ok: &Message) -> String {
    let tag = |name| {
        ok.header(name)
            .unwrap()
            .rsplit_once(";tag=")
            .unwrap()
            .1
            .to_owned()
    };
    let (to, from) = (tag(Name::To), tag(Name::From));
    format!(
        "<sip:x@pbx.test?Replaces={}%3Bto-tag%3D{to}%3Bfrom-tag%3D{from}>",
        ok.call_id()
    )
}

/// A trunk that may transfers attended: it joins two of its own calls, and nobody else's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_joins_two_of_its_calls() {
    let (pbx, mut carrier) = start("", "transfer = true", "").await;
    let folder = pbx.folder();
    let takes = async |name: &str, hertz: f64| {
        phone::tone(folder, &format!("{name}.wav"), hertz);
        let (tone, record) = (format!("{name}.wav"), format!("{name}_heard.wav"));
        let options = ["--after", "0s", "--play", &tone, "--record", &record];
        Vats::answer(folder, pbx.sip, name, &options).await
    };
    let anna = takes("anna", 440.0).await;
    let clara = takes("clara", 1_000.0).await;
    // Another trunk's call.
    let mut stranger = Peer::new(&pbx, CALLER);
    let foreign = block_in_place(|| stranger.connected("+74951000004", &sdp(stranger.at, "0")));
    let (first, second) = block_in_place(|| {
        let first = carrier.connected("+74951000002");
        (first, carrier.connected("+74951000003"))
    });
    block_in_place(|| {
        assert_eq!(carrier.refers(&first, 2, &replacing(&foreign)), 202);
        assert!(carrier.report().starts_with("SIP/2.0 403"));
        // From outside no dialog is taken over, not even one's own.
        let name = replacing(&second);
        let name = name.split_once("Replaces=").unwrap().1.replace("%3B", ";");
        let line = format!(
            "Replaces: {}\r\n",
            name.replace("%3D", "=").trim_end_matches('>')
        );
        let body = carrier.sdp();
        let invite = carrier.peer.call("+74951000002", &line, &body);
        carrier.peer.send(invite);
        assert_eq!(carrier.peer.answer().status(), 403);
        assert_eq!(carrier.refers(&first, 3, &replacing(&second)), 202);
        assert!(carrier.report().starts_with("SIP/2.0 200"));
        for _ in 0..2 {
            let bye = carrier.hears(Method::Bye);
            carrier.ok(&bye, "");
        }
    });
    pause(2_500).await;
    for name in ["anna", "clara"] {
        assert_eq!(pbx.operator_state(name).await, "talking");
    }
    anna.signal("INT");
    assert_eq!(anna.ended().await.0, 0);
    clara.says("the caller hung up").await;
    for (name, other) in [("anna", 1_000.0), ("clara", 440.0)] {
        let bytes = std::fs::read(folder.join(format!("{name}_heard.wav"))).unwrap();
        let seconds = sound::seconds_of(&sound::read_wav(&bytes).0[0], other);
        assert!(seconds > 1.8, "{name} heard the other for {seconds} s");
    }
    block_in_place(|| stranger.hang_up(&foreign));
    pbx.wait_until_idle(LIMIT).await;
}

/// A trunk over IPv6, by UDP and by TCP, between two PBXs: from an IPv4 caller to the far echo and back, and the other way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trunk_over_ipv6() {
    let listeners = r#"sip = ["udp://127.0.0.1:0", "udp://[::1]:0", "tcp://[::1]:0"]"#;
    let server = || {
        let lines: Vec<String> = pbx::server()
            .lines()
            .map(|line| match line.starts_with("sip = ") {
                true => listeners.to_owned(),
                false => line.to_owned(),
            })
            .collect();
        lines.join("\n") + "\n"
    };
    for transport in ["udp", "tcp"] {
        let plan = server()
            + "[trunks.near]\naccept = [\"::1/128\"]\n[numbers.\"+74952000001\"]\nto = \"echo\"\n";
        let far = Pbx::start(&plan).await;
        let six = |pbx: &Pbx| *pbx.all(transport).iter().find(|one| one.is_ipv6()).unwrap();
        let near = server()
            + &format!(
                "[trunks.far]\npeer = \"{transport}://{}\"\noptions = \"5s\"\n[forwards.far]\nto = \"+74952000001\"\ntrunk = \"far\"\n[numbers.\"+74951000001\"]\nto = \"forward:far\"\n",
                six(&far)
            );
        let near = Pbx::start(&near).await;
        crate::support::eventually(LIMIT, "the far side lives", || async {
            let trunks = near.items("/api/v1/trunks").await;
            let far = trunks.iter().find(|trunk| trunk["trunk"] == "far")?;
            (far["peers"][0]["state"] == "up").then_some(())
        })
        .await;
        let media = RtpPeer::open(CALLER, Law::Mu).await;
        let call = Caller::new(
            "+74951000001",
            FROM,
            media.place(),
            Then::HangUpAfter(5_000),
        );
        let four = *near.all("udp").iter().find(|one| one.is_ipv4()).unwrap();
        let mut caller = Sipp::start(&Run::once(call.xml(), CALLER, four));
        media.send_to(caller.answer(LIMIT).await.media().unwrap());
        media.tone(Some(440.0));
        caller.finished(LIMIT).await;
        let back = sound::seconds_of(&media.audio(), 440.0);
        assert!(back > 1.5, "{transport}: {back} s of echo");
        assert_eq!(near.ended_call(FROM).await["result"], "answered");
        let rows = far.items("/api/v1/calls").await;
        assert_eq!(
            (&rows[0]["trunk"], &rows[0]["result"]),
            (&"near".into(), &"served".into())
        );
    }
}

/// RFC 3261 §13.2.1: what comes as an offer in a 200 is answered in the ACK, and in a reliable 183 in the PRACK, also when
/// nothing of it can be taken; then the call ends and says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_of_no_use_is_answered_before_its_call_ends() {
    for early in [false, true] {
        let lines = "offer = \"delayed\"\nreliable = true";
        let (pbx, carrier) = start("", lines, "").await;
        let call = Caller::new("+74951000001", FROM, MEDIA, Then::Refused(488));
        let mut caller = Sipp::call(pbx.sip, &call);
        block_in_place(|| {
            let peer = &carrier.peer;
            let offer = carrier.sdp().replace("RTP/AVP 0", "RTP/AVP 18");
            let declined = |message: &Message| {
                let text = String::from_utf8_lossy(&message.body()).into_owned();
                assert!(text.contains("m=audio 0 RTP/AVP 18\r\n"), "{text}");
            };
            let contact = format!("Contact: <sip:far@{}>\r\n", peer.at);
            let invite = peer.request_within(LIMIT, Method::Invite);
            assert!(invite.body().is_empty());
            if early {
                let reliable = contact + "Require: 100rel\r\nRSeq: 7\r\n";
                peer.respond_with(&invite, 183, "far", &reliable, &offer);
                let prack = peer.request_within(LIMIT, Method::Prack);
                declined(&prack);
                peer.respond_with(&prack, 200, "far", "", "");
                let cancel = peer.request_within(LIMIT, Method::Cancel);
                let reason = cancel.header(Name::Reason).unwrap();
                assert!(reason.contains("SIP;cause=488"), "{reason}");
                peer.respond_with(&cancel, 200, "far", "", "");
                peer.respond_with(&invite, 487, "far", "", "");
            } else {
                peer.respond_with(&invite, 200, "far", &contact, &offer);
                declined(&peer.request_within(LIMIT, Method::Ack));
                let bye = peer.request_within(LIMIT, Method::Bye);
                let reason = bye.header(Name::Reason).unwrap();
                assert!(reason.contains("SIP;cause=488"), "{reason}");
                peer.respond_with(&bye, 200, "far", "", "");
            }
        });
        caller.finished(LIMIT).await;
        let row = pbx.ended_call(FROM).await;
        assert_eq!(row["cause"], "no_codec", "{row}");
    }
}
