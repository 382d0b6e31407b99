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
use crate::sip::endpoint::ConnectionId;
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
