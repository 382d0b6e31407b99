//! Providers that fail, refuse, challenge and want things their own way.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use crate::support::name_server::{NameServer, host, srv};
use crate::support::pbx::{self, Pbx};
use crate::support::provider::{Invite, Provider, Register, Ways};
use crate::support::receiver::Receiver;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::Law;
use crate::support::{CALLER, eventually, free_port, pause};
use serde_json::Value;
use vats::sip::wire::{Method, Name};

const LIMIT: Duration = Duration::from_secs(15);
const MEDIA: (std::net::IpAddr, u16) = (CALLER, 9_000);
const FROM: &str = "+79160000001";

fn media() -> SocketAddr {
    SocketAddr::new(CALLER, 9_002)
}

/// A trunk `beta` with these lines, and a number that is forwarded over it.
fn forward(lines: &str) -> String {
    pbx::server()
        + &format!(
            "\n[trunks.beta]\ntimeout = \"1s\"\n{lines}\n[forwards.mobile]\nto = \"+79990000000\"\ntrunk = \"beta\"\n[numbers.\"+74951000001\"]\nto = \"forward:mobile\"\n"
        )
}

fn peers(addresses: &[SocketAddr]) -> String {
    let names: Vec<String> = addresses.iter().map(SocketAddr::to_string).collect();
    format!("peers = {names:?}\n")
}

fn answering() -> Provider {
    Provider::start(Ways {
        invite: Invite::Answer(media()),
        ..Ways::default()
    })
}

/// Calls the number from `from` and hangs up when answered; the call's row.
async fn call(pbx: &Pbx, from: &str) -> Value {
    let call = Caller::new("+74951000001", from, MEDIA, Then::HangUpAfter(300));
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    pbx.ended_call(from).await
}

async fn refused(pbx: &Pbx, from: &str, code: u16) -> Value {
    let call = Caller::new("+74951000001", from, MEDIA, Then::Refused(code));
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    pbx.ended_call(from).await
}

async fn trunk(pbx: &Pbx, name: &str) -> Value {
    let all = pbx.items("/api/v1/trunks").await;
    let found = all.iter().find(|trunk| trunk["trunk"] == name);
    found
        .unwrap_or_else(|| panic!("no {name}: {all:?}"))
        .clone()
}

/// The state of a trunk's address in the API.
async fn address_state(pbx: &Pbx, address: SocketAddr) -> String {
    let beta = trunk(pbx, "beta").await;
    let all = beta["peers"].as_array().unwrap().clone();
    let found = all
        .iter()
        .find(|peer| peer["address"] == address.to_string());
    found.unwrap_or_else(|| panic!("{beta}"))["state"]
        .as_str()
        .unwrap()
        .to_owned()
}

async fn told(receiver: &Receiver, state: &str, from: usize) -> usize {
    eventually(
        Duration::from_secs(30),
        &format!("beta is {state}"),
        || async {
            let all = receiver.deliveries();
            let data = |n: usize| all[n].event["data"].clone();
            (from..all.len()).find(|n| data(*n)["trunk"] == "beta" && data(*n)["state"] == state)
        },
    )
    .await
        + 1
}

/// The first address is silent, then rings when it is too late: it is cancelled, and the call runs over the second.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silence_leads_to_the_next_address() {
    let silent = Provider::start(Ways {
        invite: Invite::Silence(Some(1_600)),
        ..Ways::default()
    });
    let second = answering();
    let pbx = Pbx::start(&forward(&peers(&[silent.address, second.address]))).await;
    let call = Caller::new("+74951000001", FROM, MEDIA, Then::HangUpAfter(1_500));
    let mut caller = Sipp::call(pbx.sip, &call);
    let cancel = silent.request(Method::Cancel, 0, LIMIT).await;
    caller.finished(LIMIT).await;
    let first = silent.requests(Method::Invite).remove(0);
    let other = second.requests(Method::Invite).remove(0);
    let waited = other.at - first.at;
    assert!(waited > Duration::from_millis(900), "{waited:?}");
    assert!(waited < Duration::from_millis(2_000), "{waited:?}");
    assert_eq!(cancel.call_id(), first.message.call_id());
    assert_eq!(other.message.call_id(), first.message.call_id());
    assert_ne!(other.message.branch(), first.message.branch());
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    let trace = row["trace"].to_string();
    assert!(trace.contains(&silent.address.to_string()), "{trace}");
    assert_eq!(address_state(&pbx, silent.address).await, "down");
    assert_eq!(address_state(&pbx, second.address).await, "up");
}

/// A 503 is not tried again before its Retry-After, though its OPTIONS would be answered; afterwards it is.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_503_leads_to_the_next_address_and_is_remembered() {
    let first = Provider::start(Ways {
        invite: Invite::Refuse(503, "Retry-After: 4\r\n"),
        ..Ways::default()
    });
    let second = answering();
    let lines = peers(&[first.address, second.address]) + "options = \"5s\"\n";
    let pbx = Pbx::start(&forward(&lines)).await;
    let row = call(&pbx, FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(address_state(&pbx, first.address).await, "down");
    let begun = Instant::now();
    first.change(|ways| ways.invite = Invite::Answer(media()));
    let row = call(&pbx, "+79160000002").await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(first.requests(Method::Invite).len(), 1);
    assert_eq!(second.requests(Method::Invite).len(), 2);
    eventually(LIMIT, "its time is over", || async {
        (address_state(&pbx, first.address).await == "up").then_some(())
    })
    .await;
    assert!(
        begun.elapsed() > Duration::from_secs(3),
        "{:?}",
        begun.elapsed()
    );
    let row = call(&pbx, "+79160000003").await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(first.requests(Method::Invite).len(), 2);
}

/// A person's no is a no: neither another address nor another trunk is asked.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_decline_is_final() {
    for (number, status) in ["603 Decline", "486 Busy Here", "600 Busy Everywhere"]
        .into_iter()
        .enumerate()
    {
        let first = SocketAddr::new(CALLER, free_port(CALLER));
        let second = answering();
        let pbx = Pbx::start(&forward(&peers(&[first, second.address]))).await;
        let mut person = Sipp::start(&Run {
            local: first,
            ..Run::once(Phone::Refuse(100, status).xml(), CALLER, pbx.sip)
        });
        person.listening().await;
        let code = status[..3].parse().unwrap();
        let row = refused(&pbx, &format!("+7916000001{number}"), code).await;
        person.finished(LIMIT).await;
        assert_eq!(row["result"], "missed", "{row}");
        assert_eq!(row["cause"], "no_answer", "{row}");
        assert!(second.requests(Method::Invite).is_empty(), "{status}");
    }
}

/// An operator dials: the first trunk has nobody, the second one is taken.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_next_trunk_is_tried() {
    let gone = Provider::start(Ways {
        invite: Invite::Refuse(500, ""),
        ..Ways::default()
    });
    let second = answering();
    let toml = pbx::server()
        + &pbx::operator("anna", "")
        + &format!(
            "\n[trunks.beta]\npeer = \"{}\"\n[trunks.gamma]\npeer = \"{}\"\nnumber_format = \"dialled\"\n[outbound.all]\nprefixes = [\"+7\"]\ntrunks = [\"beta\", \"gamma\"]\nallow = [\"anna\"]\n[numbers.\"+74951000001\"]\nto = \"echo\"\n",
            gone.address, second.address
        );
    let pbx = Pbx::start(&toml).await;
    let place = (crate::support::PHONES, 9_000);
    let mut phone = Sipp::start(&Run::once(
        crate::support::scenario::operator_dials("anna", "+79161234567", place, 500),
        crate::support::PHONES,
        pbx.sip,
    ));
    phone.finished(LIMIT).await;
    let row = pbx.ended_call("anna").await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(row["trunk"], "gamma", "{row}");
    let invite = second.requests(Method::Invite).remove(0).message;
    assert!(
        invite.request_uri().starts_with("sip:89161234567@"),
        "{}",
        invite.request_uri()
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weights_choose_the_address() {
    let (light, heavy) = (answering(), answering());
    let lines = peers(&[light.address, heavy.address]) + "weights = [1, 65535]\n";
    let pbx = Pbx::start(&forward(&lines)).await;
    let row = call(&pbx, FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert!(light.requests(Method::Invite).is_empty());
    assert_eq!(heavy.requests(Method::Invite).len(), 1);
}

/// OPTIONS finds out that a provider is gone, and that he is back; any answer but 408 and 503 is life.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn options_tell_who_lives() {
    let receiver = Receiver::start(&[]).await;
    let provider = Provider::start(Ways {
        options: Some(403),
        ..Ways::default()
    });
    let lines = format!("peer = \"{}\"\noptions = \"5s\"\n", provider.address);
    let toml = forward(&lines) + &receiver.section(&["trunk.state"]);
    let pbx = Pbx::start(&toml).await;
    eventually(LIMIT, "the address is up", || async {
        (address_state(&pbx, provider.address).await == "up").then_some(())
    })
    .await;
    assert_eq!(trunk(&pbx, "beta").await["state"], "available");
    provider.change(|ways| ways.options = Some(503));
    let seen = told(&receiver, "unreachable", 0).await;
    let shown = trunk(&pbx, "beta").await;
    assert_eq!(shown["state"], "unreachable", "{shown}");
    assert!(shown["reason"].as_str().unwrap().contains("503"), "{shown}");
    provider.change(|ways| ways.options = Some(200));
    told(&receiver, "available", seen).await;
    assert_eq!(address_state(&pbx, provider.address).await, "up");
}

fn account(provider: &Provider) -> String {
    format!(
        "peer = \"{}\"\nregister = {{ user = \"shop\", password = \"secret\", expires = \"60s\" }}\n",
        provider.address
    )
}

/// 423 raises what is asked for; a refused refresh is told and tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_registration_is_kept() {
    let receiver = Receiver::start(&[]).await;
    let provider = Provider::start(Ways {
        register: Register::Grant {
            seconds: 2,
            least: 600,
        },
        ..Ways::default()
    });
    let toml = forward(&account(&provider)) + &receiver.section(&["trunk.state"]);
    let _pbx = Pbx::start(&toml).await;
    let first = provider.request(Method::Register, 0, LIMIT).await;
    let second = provider.request(Method::Register, 1, LIMIT).await;
    let expires =
        |message: &vats::sip::wire::Message| message.header(Name::Expires).unwrap().to_owned();
    assert_eq!(
        (expires(&first), expires(&second)),
        ("60".into(), "600".into())
    );
    let seen = told(&receiver, "registered", 0).await;
    // Granted for two seconds: the refresh comes before they are over.
    let third = provider
        .request(Method::Register, 2, Duration::from_secs(4))
        .await;
    assert_eq!(third.call_id(), second.call_id());
    assert!(third.cseq() > second.cseq());
    provider.change(|ways| ways.register = Register::Refuse(403));
    let seen = told(&receiver, "failed", seen).await;
    let fine = Register::Grant {
        seconds: 300,
        least: 0,
    };
    provider.change(|ways| ways.register = fine);
    told(&receiver, "registered", seen).await;
}

/// A trunk is taken out of the plan while its first REGISTER is under way: the provider is told all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_removed_trunk_is_unregistered() {
    let provider = Provider::start(Ways {
        register: Register::Silence,
        ..Ways::default()
    });
    let plain = pbx::server() + "\n[numbers.\"+74951000001\"]\nto = \"echo\"\n";
    let toml = format!("{plain}\n[trunks.beta]\n{}", account(&provider));
    let pbx = Pbx::start(&toml).await;
    provider.request(Method::Register, 0, LIMIT).await;
    let (status, answer) = pbx.reload(&plain).await;
    assert_eq!(status, 200, "{answer}");
    let fine = Register::Grant {
        seconds: 300,
        least: 0,
    };
    provider.change(|ways| ways.register = fine);
    eventually(LIMIT, "the REGISTER that ends it", || async {
        let all = provider.requests(Method::Register);
        let last = all.last()?.message.clone();
        (last.header(Name::Expires) == Some("0")).then_some(())
    })
    .await;
}

/// Each provider its headers: caller in Remote-Party-ID, numbers as dialled, Diversion and History-Info.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_forward_tells_who_calls_whom() {
    let provider = answering();
    let lines = format!(
        "peer = \"{}\"\ncaller_id = \"caller\"\nnumber_format = \"dialled\"\nidentity = [\"p-asserted-identity\", \"remote-party-id\"]\ndiversion = [\"diversion\", \"history-info\"]\nauth = {{ user = \"shop\", password = \"x\" }}\n",
        provider.address
    );
    let pbx = Pbx::start(&forward(&lines)).await;
    let row = call(&pbx, FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    let invite = provider.requests(Method::Invite).remove(0).message;
    let header = |name| invite.header(name).unwrap_or("").to_owned();
    assert!(
        invite.request_uri().starts_with("sip:89990000000@"),
        "{}",
        invite.request_uri()
    );
    assert!(
        header(Name::From).starts_with("<sip:shop@pbx.test>"),
        "{}",
        header(Name::From)
    );
    assert_eq!(
        header(Name::PAssertedIdentity),
        "<sip:89160000001@pbx.test>"
    );
    assert_eq!(
        header(Name::RemotePartyId),
        "<sip:89160000001@pbx.test>;party=calling;screen=yes;privacy=off"
    );
    assert_eq!(
        header(Name::Diversion),
        "<sip:84951000001@pbx.test>;reason=unconditional;counter=1"
    );
    assert!(
        header(Name::HistoryInfo).contains("cause=302"),
        "{}",
        header(Name::HistoryInfo)
    );
    assert_eq!(header(Name::Privacy), "");
}

/// 407 on INVITE and again on BYE.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_proxy_challenges_everything() {
    let provider = answering();
    let challenge = "Digest realm=\"beta\", nonce=\"n1\", algorithm=SHA-256, qop=\"auth\"";
    provider.change(|ways| ways.challenge = Some((407, challenge)));
    let lines = format!(
        "peer = \"{}\"\nauth = {{ user = \"shop\", password = \"x\", realm = \"beta\" }}\n",
        provider.address
    );
    let pbx = Pbx::start(&forward(&lines)).await;
    let row = call(&pbx, FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(provider.requests(Method::Invite).len(), 2);
    let bye = provider.request(Method::Bye, 1, LIMIT).await;
    let first = provider.requests(Method::Bye).remove(0).message;
    // The first one says already what the INVITE had learnt, with the nonce counted on.
    let before = first.header(Name::ProxyAuthorization).unwrap();
    assert!(before.contains("nc=00000002"), "{before}");
    let after = bye.header(Name::ProxyAuthorization).unwrap();
    assert!(after.contains("algorithm=SHA-256"), "{after}");
    assert!(after.contains("nc=00000001"), "{after}");
}

/// Who wants auth-int alone is not answered, and the call's trace says why.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn auth_int_alone_is_refused_with_a_reason() {
    let provider = answering();
    let challenge = "Digest realm=\"beta\", nonce=\"n1\", qop=\"auth-int\"";
    provider.change(|ways| ways.challenge = Some((401, challenge)));
    let lines = format!(
        "peer = \"{}\"\nauth = {{ user = \"shop\", password = \"x\" }}\n",
        provider.address
    );
    let pbx = Pbx::start(&forward(&lines)).await;
    let row = refused(&pbx, FROM, 480).await;
    assert_eq!(row["cause"], "unreachable", "{row}");
    assert!(row["trace"].to_string().contains("auth-int"), "{row}");
    assert_eq!(provider.requests(Method::Invite).len(), 1);
}

/// A forward's 183 with SDP reaches the caller as 183 with our SDP.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn early_media_passes_through_a_forward() {
    let provider = Provider::start(Ways {
        invite: Invite::Early(media(), 700),
        ..Ways::default()
    });
    let pbx = Pbx::start(&forward(&format!("peer = \"{}\"\n", provider.address))).await;
    let call = Caller::new("+74951000001", FROM, MEDIA, Then::HangUpAfter(300));
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    let early = caller
        .messages()
        .into_iter()
        .find(|m| !m.sent && m.start().starts_with("SIP/2.0 183"))
        .expect("a 183");
    assert!(early.media().is_some(), "{}", early.text);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
}

/// A provider that sends no offer gets ours in the 200 and answers it in the ACK.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_without_an_offer() {
    let toml = pbx::server() + "\n[numbers.\"+74951000001\"]\nto = \"echo\"\n";
    let pbx = Pbx::start(&toml).await;
    let xml = crate::support::scenario::late_offer("+74951000001", FROM, MEDIA, Law::Mu, 500);
    let mut caller = Sipp::start(&Run::once(xml, CALLER, pbx.sip));
    caller.finished(LIMIT).await;
    let answer = caller.answer(LIMIT).await;
    assert!(answer.media().is_some(), "{}", answer.text);
    let row = pbx.ended_call(FROM).await;
    assert_eq!(row["result"], "served", "{row}");
}

/// The most calls a second: what is more is refused for want of a line.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_go_out_at_their_pace() {
    let provider = answering();
    let lines = format!("peer = \"{}\"\ncalls_per_second = 1\n", provider.address);
    let pbx = Pbx::start(&forward(&lines)).await;
    let begun = Instant::now();
    let first = Caller::new("+74951000001", FROM, MEDIA, Then::HangUpAfter(300));
    let mut first = Sipp::call(pbx.sip, &first);
    provider.request(Method::Invite, 0, LIMIT).await;
    let second = Caller::new("+74951000001", "+79160000002", MEDIA, Then::Refused(503));
    let mut second = Sipp::call(pbx.sip, &second);
    second.finished(LIMIT).await;
    // On a machine so slow that a second has passed between them there is nothing to be refused.
    assert!(begun.elapsed() < Duration::from_secs(10));
    first.finished(LIMIT).await;
    let row = pbx.ended_call("+79160000002").await;
    assert_eq!(row["cause"], "trunk_capacity", "{row}");
    pause(1_000).await;
    let row = call(&pbx, "+79160000003").await;
    assert_eq!(row["result"], "answered", "{row}");
}

/// A provider known by name alone: SRV records lead to it, the silent one of the higher priority first.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn srv_records_lead_to_the_provider() {
    let silent = Provider::start(Ways {
        invite: Invite::Silence(None),
        ..Ways::default()
    });
    let second = answering();
    let name = "_sip._udp.beta.example.";
    let names = NameServer::start(vec![
        srv(name, 10, silent.address.port(), "a.beta.example."),
        srv(name, 20, second.address.port(), "b.beta.example."),
        host("a.beta.example.", CALLER),
        host("b.beta.example.", CALLER),
    ])
    .await;
    let dns = format!("[server]\ndns = [\"{}\"]", names.address);
    let lines = "peer = \"beta.example\"\nregister = { user = \"shop\", password = \"x\", expires = \"60s\" }\n";
    silent.change(|ways| ways.register = Register::Silence);
    let pbx = Pbx::start(&forward(lines).replacen("[server]", &dns, 1)).await;
    let first = silent.request(Method::Register, 0, LIMIT).await;
    let next = second.request(Method::Register, 0, LIMIT).await;
    assert_eq!(first.call_id(), next.call_id());
    eventually(LIMIT, "it is registered at the second", || async {
        (trunk(&pbx, "beta").await["state"] == "registered").then_some(())
    })
    .await;
    // The silent one is passed over until it lives again.
    silent.change(|ways| ways.register = Register::Refuse(404));
    eventually(LIMIT, "an OPTIONS finds it again", || async {
        (address_state(&pbx, silent.address).await == "up").then_some(())
    })
    .await;
    let row = call(&pbx, FROM).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(silent.requests(Method::Invite).len(), 1);
    let invite = second.requests(Method::Invite).remove(0).message;
    assert_eq!(invite.request_uri(), "sip:+79990000000@beta.example");
    assert_eq!(address_state(&pbx, silent.address).await, "down");
    // What comes from either address is this trunk's.
    assert_eq!(
        trunk(&pbx, "beta").await["peers"].as_array().unwrap().len(),
        2
    );
}

/// A name that leads nowhere: the trunk is unreachable and says why, until the name is there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_name_that_appears_later() {
    let receiver = Receiver::start(&[]).await;
    let provider = answering();
    let names = NameServer::start(Vec::new()).await;
    let dns = format!("[server]\ndns = [\"{}\"]", names.address);
    let lines = format!("peer = \"late.example:{}\"\n", provider.address.port());
    let toml = forward(&lines).replacen("[server]", &dns, 1) + &receiver.section(&["trunk.state"]);
    let pbx = Pbx::start(&toml).await;
    let seen = told(&receiver, "unreachable", 0).await;
    let shown = trunk(&pbx, "beta").await;
    assert!(
        shown["reason"].as_str().unwrap().contains("late.example"),
        "{shown}"
    );
    let row = refused(&pbx, FROM, 480).await;
    assert_eq!(row["cause"], "unreachable", "{row}");
    names.add(host("late.example.", CALLER));
    told(&receiver, "available", seen).await;
    let row = call(&pbx, "+79160000002").await;
    assert_eq!(row["result"], "answered", "{row}");
}

/// The INVITE has no offer; what the provider offers in its 200 is answered in the ACK, what it offers in a reliable 183 in the PRACK.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_that_wants_to_make_the_offer() {
    for (invite, answering, lines) in [
        (Invite::Offer(media()), Method::Ack, ""),
        (
            Invite::OfferEarly(media()),
            Method::Prack,
            "reliable = true\n",
        ),
    ] {
        let provider = Provider::start(Ways {
            invite,
            ..Ways::default()
        });
        let lines = format!(
            "peer = \"{}\"\noffer = \"delayed\"\n{lines}",
            provider.address
        );
        let pbx = Pbx::start(&forward(&lines)).await;
        let row = call(&pbx, FROM).await;
        assert_eq!(row["result"], "answered", "{row}");
        let invite = provider.request(Method::Invite, 0, LIMIT).await;
        assert!(invite.body().is_empty());
        let answer = provider.request(answering, 0, LIMIT).await;
        let text = String::from_utf8_lossy(&answer.body()).into_owned();
        // The provider offered PCMU alone.
        assert!(
            text.contains("m=audio ") && text.contains(" RTP/AVP 0"),
            "{text}"
        );
        let acks = provider.requests(Method::Ack);
        assert_eq!(acks.len(), 1);
        assert_eq!(
            acks[0].message.body().is_empty(),
            answering == Method::Prack
        );
    }
}
