//! The switch under floods and after restarts, without a network.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;

use super::*;
use crate::call::media::{MediaAct, MediaEvent};
use crate::dialplan::config::tests::plan;
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{Name, Tenant};
use crate::ledger::journal::BindingRecord;
use crate::sip::auth::Credentials;
use crate::sip::endpoint::command::{Command as SipCommand, Request as SipRequest};
use crate::sip::endpoint::event::RequestId;
use crate::sip::endpoint::{ConnectionId, Endpoint, Settings};
use crate::sip::wire::Method;
use crate::switch::handle::{Ask, Views};
use crate::switch::reach::Reach;

const PLAN: &str = r#"
[server]
sip = ["udp://192.0.2.1:5060", "tcp://192.0.2.1:5060"]
domain = "pbx.example"
country = "RU"
[trunks.acme]
accept = ["192.0.2.0/24"]
[operators.anna]
password = "anna-password"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "echo"
"#;
const TRUNK: &str = "192.0.2.20:5060";
const ELSEWHERE: &str = "203.0.113.9:5060";
const SDP: &str = "v=0\r\no=- 1 1 IN IP4 192.0.2.20\r\ns=-\r\nc=IN IP4 192.0.2.20\r\nt=0 0\r\nm=audio 49170 RTP/AVP 8 0\r\n";

fn now() -> Now {
    Now {
        mono: Mono::from_micros(1_000_000),
        wall: Wall::from_micros(1_772_960_700_000_000),
    }
}

fn core(bindings: Vec<BindingRecord>) -> Core {
    let ours: SocketAddr = "192.0.2.1:5060".parse().unwrap();
    let reach = Reach::over(
        vec![(Transport::Udp, ours), (Transport::Tcp, ours)],
        Box::new(|_| [192, 0, 2, 1].into()),
    );
    let mut core = Core::new(
        now(),
        Arc::new(plan(PLAN)),
        reach,
        Arc::new(Views::default()),
        bindings,
        Entropy::from_number(1),
    );
    settle(&mut core);
    core
}

/// What is sent; media open at once.
fn settle(core: &mut Core) -> Vec<Message> {
    let mut sent = Vec::new();
    while let Some(effect) = core.poll_effect() {
        match effect {
            Effect::Transmit(transmit) => sent.push(Message::parse(transmit.bytes).unwrap()),
            Effect::Media(MediaAct::Open { leg, .. }) => {
                let local = "192.0.2.1:20000".parse().unwrap();
                core.handle_media(now(), leg, MediaEvent::Opened { local });
            }
            _ => {}
        }
    }
    sent
}

fn request(method: &str, number: u32, to_tag: &str, body: &str) -> Bytes {
    let kind = match body {
        "" => "",
        _ => "Content-Type: application/sdp\r\n",
    };
    let text = format!(
        "{method} sip:+74951000001@192.0.2.1 SIP/2.0\r\n\
         Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK{method}{number}\r\n\
         Max-Forwards: 70\r\n\
         From: <sip:+79990000000@192.0.2.20>;tag=theirs\r\n\
         To: <sip:+74951000001@192.0.2.1>{to_tag}\r\n\
         Call-ID: call-{number}\r\n\
         CSeq: 1 {method}\r\n\
         Contact: <sip:192.0.2.20>\r\n\
         {kind}Content-Length: {}\r\n\r\n{body}",
        body.len()
    );
    Bytes::from(text)
}

fn give(core: &mut Core, from: &str, bytes: Bytes) -> Vec<Message> {
    core.handle_datagram(now(), ListenerId(0), from.parse().unwrap(), bytes);
    settle(core)
}

/// A call from the trunk, answered and acknowledged; the parameter with our tag.
fn call(core: &mut Core, number: u32) -> String {
    let sent = give(core, TRUNK, request("INVITE", number, "", SDP));
    let ok = sent.iter().find(|sent| sent.status() == 200).unwrap();
    let tag = format!(";tag={}", ok.to_tag().unwrap());
    give(core, TRUNK, request("ACK", number, &tag, ""));
    tag
}

/// Forged strangers take all that there is for them.
fn flood(core: &mut Core) {
    for number in 0..5_000_u32 {
        let address = IpAddr::from((0x6440_0000 + number).to_be_bytes());
        core.admit(now().mono, address, &request("OPTIONS", number, "", ""));
    }
}

#[test]
fn a_flood_of_strangers_does_not_hit_what_runs() {
    let mut core = core(Vec::new());
    let tag = call(&mut core, 1);
    flood(&mut core);
    let elsewhere: SocketAddr = ELSEWHERE.parse().unwrap();
    let mut admit = |bytes| core.admit(now().mono, elsewhere.ip(), &bytes);
    let served = Admission::Served(Standing::Stranger);
    assert_eq!(admit(request("OPTIONS", 9, "", "")), Admission::Limited);
    assert_eq!(admit(request("BYE", 1, ";tag=1", "")), Admission::Limited);
    assert_eq!(admit(request("ACK", 1, &tag, "")), served);
    assert_eq!(admit(request("BYE", 1, &tag, "")), served);
    assert_eq!(admit(request("INFO", 1, &tag, "")), served);
    let stray = "SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK1\r\n\r\n";
    assert_eq!(admit(Bytes::from(stray)), Admission::Limited);
    give(&mut core, ELSEWHERE, request("BYE", 1, &tag, ""));
    assert_eq!(core.live_calls(), 0);
}

#[test]
fn what_is_limited_on_a_connection_is_answered() {
    let mut core = core(Vec::new());
    let connection = ConnectionId::theirs(1);
    let accepted = Heard::Accepted {
        connection,
        listener: ListenerId(1),
        transport: Transport::Tcp,
        remote: ELSEWHERE.parse().unwrap(),
        names: Vec::new(),
    };
    core.take_in_heard(now(), accepted);
    flood(&mut core);
    let mut heard = |bytes| {
        core.take_in_heard(now(), Heard::Message { connection, bytes });
        settle(&mut core)
            .iter()
            .map(Message::status)
            .collect::<Vec<_>>()
    };
    assert_eq!(heard(request("OPTIONS", 1, "", "")), [503]);
    assert!(heard(request("ACK", 1, "", "")).is_empty());
}

fn bound(from: &str) -> BindingRecord {
    BindingRecord {
        operator: Name::from("anna"),
        contact: format!("sip:anna@{from}"),
        transport: Transport::Udp.as_str().to_owned(),
        local: "192.0.2.1:5060".parse().unwrap(),
        remote: from.parse().unwrap(),
        call_id: "registered".to_owned(),
        cseq: 1,
        expires_at: now().wall + Duration::from_secs(60),
        user_agent: None,
        granted: Duration::from_secs(60),
        path: Vec::new(),
    }
}

#[test]
fn restored_phones_are_known_and_not_banned() {
    let mut core = core(vec![bound(ELSEWHERE)]);
    let ip = "203.0.113.9".parse().unwrap();
    assert_eq!(core.access.standing(now().mono, ip), Standing::Known);
    let later = now().mono + Duration::from_secs(61);
    assert_eq!(core.access.standing(later, ip), Standing::Stranger);
    let ban = |address: &str| BanRecord {
        tenant: Tenant::default(),
        address: address.to_owned(),
        reason: "6 failed log-ins".to_owned(),
        failures: 6,
        users: 1,
        banned_at: now().wall,
        until: now().wall + Duration::from_secs(600),
    };
    core.restore_bans(now(), vec![ban("203.0.113.9"), ban("203.0.113.10")]);
    assert!(!core.access.is_banned(now().mono, ip));
    assert_eq!(core.views.bans.len(), 1);
}

#[test]
fn under_strain_registered_phones_are_let_in() {
    let mut core = core(vec![bound(ELSEWHERE)]);
    for _ in 0..3 {
        core.note_processors(now(), 1.0);
    }
    let mut status = |from, number| {
        let sent = give(&mut core, from, request("REGISTER", number, "", ""));
        sent.iter().map(Message::status).collect::<Vec<_>>()
    };
    assert_eq!(status("203.0.113.10:5060", 1), [503]);
    assert_eq!(status(ELSEWHERE, 2), [401]);
}

#[test]
fn draining_ends_calls_some_at_a_time() {
    let mut core = core(Vec::new());
    for number in 0..120 {
        call(&mut core, number);
    }
    assert_eq!(core.live_calls(), 120);
    let (reply, _) = oneshot::channel();
    core.handle_ask(now(), Ask::Drain { reply });
    let (again, _) = oneshot::channel();
    core.handle_ask(now(), Ask::Drain { reply: again });
    settle(&mut core);
    let mut byes = Vec::new();
    let mut time = now();
    for _ in 0..4 {
        core.handle_timeout(time);
        let sent = settle(&mut core);
        let new = sent.iter().filter(|sent| sent.method() == Method::Bye);
        byes.push(new.count());
        time = time + Duration::from_millis(6);
    }
    assert_eq!(byes, [50, 50, 20, 0]);
}

/// A phone of anna's, whose connection is the first that is opened.
fn phone_at_home() -> (Endpoint, Flow) {
    let settings = Settings {
        product: "phone".to_owned(),
    };
    let phone = Endpoint::new(settings, Entropy::from_number(9));
    let local: SocketAddr = "203.0.113.9:40000".parse().unwrap();
    let flow = Flow {
        transport: Transport::Tcp,
        ..Flow::udp(ListenerId(0), "192.0.2.1:5060".parse().unwrap(), local)
    };
    (phone, flow)
}

/// Hands over what the phone sends, without serving it.
fn take_from(phone: &mut Endpoint, core: &mut Core) {
    while let Some(transmit) = phone.poll_transmit() {
        let message = Heard::Message {
            connection: ConnectionId::theirs(1),
            bytes: transmit.bytes,
        };
        core.take_in_heard(now(), message);
    }
}

/// A registration that is served after its connection closed would bind the phone to nothing.
#[test]
fn who_has_left_is_not_served() {
    for stays in [true, false] {
        let mut core = core(Vec::new());
        let (mut phone, flow) = phone_at_home();
        core.take_in_heard(
            now(),
            Heard::Accepted {
                connection: ConnectionId::theirs(1),
                listener: ListenerId(1),
                transport: Transport::Tcp,
                remote: "203.0.113.9:40000".parse().unwrap(),
                names: Vec::new(),
            },
        );
        let address = "<sip:anna@pbx.example>".to_owned();
        let request = SipRequest {
            id: RequestId(1),
            method: Method::Register,
            flow,
            uri: "sip:pbx.example".to_owned(),
            from: address.clone(),
            to: address,
            call_id: None,
            cseq: 1,
            credentials: Some(Credentials {
                user: "anna".to_owned(),
                password: "anna-password".to_owned(),
                realm: None,
            }),
            headers: vec![(
                HeaderName::Contact,
                "<sip:anna@203.0.113.9:40000;transport=tcp>".to_owned(),
            )],
        };
        phone.handle_command(now(), SipCommand::Request(Box::new(request)));
        take_from(&mut phone, &mut core);
        while core.serve_next(now()) {}
        for challenge in settle(&mut core) {
            phone.handle_message(now(), flow, challenge.bytes().clone());
        }
        take_from(&mut phone, &mut core);
        assert!(core.has_waiting(), "the answer to the challenge");
        if !stays {
            core.take_in_heard(
                now(),
                Heard::Closed {
                    connection: ConnectionId::theirs(1),
                    why: "gone".to_owned(),
                    opened: true,
                },
            );
        }
        while core.serve_next(now()) {}
        assert_eq!(core.registrar.operators().count(), usize::from(stays));
        assert_eq!(settle(&mut core).len(), usize::from(stays));
    }
}

/// The natural end of a ban is told, and it is listed no more.
#[test]
fn a_ban_that_is_over_is_forgotten() {
    let mut core = core(Vec::new());
    let record = BanRecord {
        tenant: Tenant::default(),
        address: "203.0.113.10".to_owned(),
        reason: "6 failed log-ins".to_owned(),
        failures: 6,
        users: 1,
        banned_at: now().wall,
        until: now().wall + Duration::from_secs(600),
    };
    core.restore_bans(now(), vec![record]);
    let later = now() + Duration::from_secs(600);
    assert_eq!(core.poll_timeout(), Some(later.mono));
    core.handle_timeout(later);
    assert!(core.views.bans.is_empty());
    let told = std::iter::from_fn(|| core.poll_effect()).find_map(|effect| match effect {
        Effect::Journal(Entry::Unbanned {
            address, why, at, ..
        }) => Some((address, why, at)),
        _ => None,
    });
    let expected = ("203.0.113.10".to_owned(), BanEnd::Expired, later.wall);
    assert_eq!(told, Some(expected));
}

/// Time in the socket counts: half a second in which nothing was served soon is overload.
#[test]
fn time_in_the_kernel_is_delay() {
    let mut core = core(Vec::new());
    let mut time = now();
    for number in 0..20 {
        let options = request("OPTIONS", number, "", "");
        let waited = Duration::from_millis(700);
        let from = TRUNK.parse().unwrap();
        core.take_in_late(time, waited, ListenerId(0), from, options);
        while core.serve_next(time) {}
        settle(&mut core);
        time = time + Duration::from_millis(50);
    }
    assert_eq!(core.overloaded(time), Some(Why::Delay));
}
