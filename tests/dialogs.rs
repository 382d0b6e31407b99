//! What both sides may ask within a call: hold in each form, UPDATE, reliable provisional responses, session timers, glare, delayed offers.

use std::time::Duration;

use crate::support::baresip::Baresip;
use crate::support::by_hand::{Peer, SOON, sdp};
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::Phone;
use crate::support::script::{Audio, Script};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, free_port, pause};
use vats::sip::wire::Name;

const LIMIT: Duration = Duration::from_secs(30);
const DEAF: (std::net::IpAddr, u16) = (PHONES, 9_000);
const NUMBER: &str = "+79160000001";
/// `prompts/long.wav`, which is the music.
const MUSIC: f64 = 300.0;
const CALLER_TONE: f64 = 440.0;
const OPERATOR_TONE: f64 = 1_000.0;

fn plan(server: &str, more: &str) -> String {
    let beginning = pbx::server().replacen(
        "[server]",
        &format!("[server]\nmusic = \"prompts/long.wav\"\n{server}"),
        1,
    );
    beginning
        + &pbx::operator("anna", "")
        + &pbx::operator("boris", "")
        + r#"
[numbers."+74951000001"]
to = "echo"
[numbers."+74951000002"]
to = "operator:anna"
[numbers."+74951000003"]
to = "hunt:turns"
[hunts.turns]
members = ["anna", "boris"]
strategy = "linear"
ring = "3s"
"# + more
}

/// Session intervals of seconds, so that a test need not wait for half an hour.
const QUICK: &str = "session_expires = \"8s\"\nmin_session_expires = \"4s\"\n";

/// A side that knows neither session timers nor OPTIONS: it is not asked anything.
const SILENT: &str = "Allow: INVITE, ACK, BYE\n";

fn run(pbx: &Pbx, script: Script) -> Sipp {
    Sipp::start(&Run::once(script.xml(), CALLER, pbx.sip))
}

/// An operator's phone that follows a script, once.
async fn phone(pbx: &Pbx, operator: &str, script: Script) -> Sipp {
    let local = std::net::SocketAddr::new(PHONES, free_port(PHONES));
    Sipp::register(pbx.sip, operator, local).await;
    let sipp = Sipp::start(&Run {
        local,
        ..Run::once(script.xml(), PHONES, pbx.sip)
    });
    sipp.listening().await;
    sipp
}

/// The directions and ports in the answers to a peer's offers.
fn answers(sipp: &Sipp) -> Vec<(String, u16)> {
    sipp.messages()
        .iter()
        .filter(|message| !message.sent && message.start().starts_with("SIP/2.0 200"))
        .filter_map(|message| {
            let port = message.media()?.port();
            let line = message.text.lines().find(|line| {
                line.starts_with("a=")
                    && (line.ends_with("recv")
                        || line.ends_with("only")
                        || line.ends_with("inactive"))
            })?;
            Some((line[2..].to_owned(), port))
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_caller_holds_in_every_form_and_the_operator_hears_music() {
    let pbx = Pbx::start(&plan("", "")).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let mut anna = Sipp::phone(
        pbx.sip,
        "anna",
        &Phone::Answer(100, far.place(), Law::Mu),
        1,
    )
    .await;
    let audio = Audio::at(near.place());
    let held = [
        audio.going("sendonly"),
        audio.going("inactive"),
        audio.nowhere(),
    ];
    let mut script = Script::caller("+74951000002", NUMBER)
        .invite("", Some(audio))
        .may_ring()
        .dialog(200)
        .ack(None);
    for form in held {
        script = script.wait(600).reinvite(form).wait(1_500).reinvite(audio);
    }
    // Only listening is no hold: the operator goes on hearing the caller's silence, the caller the operator.
    let script = script
        .wait(600)
        .reinvite(audio.going("recvonly"))
        .wait(600)
        .reinvite(audio)
        .wait(600)
        .bye();
    let mut caller = run(&pbx, script);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(CALLER_TONE));
    far.send_to(anna.invite(LIMIT).await.media().unwrap());
    far.tone(Some(OPERATOR_TONE));
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    let answers = answers(&caller);
    let directions: Vec<&str> = answers
        .iter()
        .map(|(direction, _)| &direction[..])
        .collect();
    assert_eq!(
        directions,
        [
            "sendrecv", "recvonly", "sendrecv", "inactive", "sendrecv", "recvonly", "sendrecv",
            "sendonly", "sendrecv"
        ]
    );
    assert!(answers.iter().all(|(_, port)| *port == answers[0].1));
    let music = sound::seconds_of(&far.audio(), MUSIC);
    assert!((3.5..5.5).contains(&music), "{music} s of music");
    let tone = sound::seconds_of(&far.audio(), CALLER_TONE);
    assert!(tone > 1.5, "{tone} s of the caller");
    let tone = sound::seconds_of(&near.audio(), OPERATOR_TONE);
    assert!(tone > 1.5, "{tone} s of the operator");
    assert_eq!(sound::seconds_of(&near.audio(), MUSIC), 0.0);
    let row = pbx.ended_call(NUMBER).await;
    let trace = row["trace"].to_string();
    assert_eq!(trace.matches("\"Held\"").count(), 3, "{trace}");
    assert_eq!(trace.matches("\"Resumed\"").count(), 3, "{trace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_holds_by_update_while_the_caller_re_invites() {
    let pbx = Pbx::start(&plan("", "")).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let audio = Audio::at(DEAF);
    let script = Script::callee()
        .respond("200 OK", "Allow: INVITE, UPDATE\n", Some(audio))
        .hear("ACK")
        .wait(500)
        .ask("UPDATE", "", Some(audio.going("sendonly")))
        .expect(200)
        .wait(1_500)
        .ask("UPDATE", "", None)
        .expect(200)
        .ask("OPTIONS", "", None)
        .expect(200)
        .ask("MESSAGE", "", None)
        .expect(405)
        .wait_for_bye();
    let mut anna = phone(&pbx, "anna", script).await;
    let audio = Audio::at(near.place());
    let script = Script::caller("+74951000002", NUMBER)
        .invite("", Some(audio))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait(1_000)
        .reinvite(audio)
        .wait(1_500)
        .bye();
    let mut caller = run(&pbx, script);
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    let music = sound::seconds_of(&near.audio(), MUSIC);
    assert!(
        music > 1.2,
        "{music} s of music, the re-INVITE in the middle"
    );
    let options = anna.messages();
    let options = options
        .iter()
        .find(|m| {
            !m.sent
                && m.header("CSeq")
                    .is_some_and(|cseq| cseq.contains("OPTIONS"))
        })
        .unwrap();
    for (name, word) in [
        ("Allow", "UPDATE"),
        ("Allow", "PRACK"),
        ("Supported", "timer"),
        ("Supported", "100rel"),
        ("Accept", "application/sdp"),
    ] {
        assert!(options.header(name).unwrap().contains(word), "{name}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn provisional_responses_are_acknowledged_both_ways() {
    let peer = free_port(CALLER);
    let trunk = format!(
        "[trunks.firm]\npeer = \"{CALLER}:{peer}\"\nreliable = true\n[numbers.\"+74951000004\"]\nto = \"forward:mobile\"\n[forwards.mobile]\nto = \"+79990000000\"\ntrunk = \"firm\"\n"
    );
    let pbx = Pbx::start(&plan("", &trunk)).await;
    let audio = Audio::at((CALLER, 9_000));
    // A provider that answers early and reliably, and needs no SDP in its 200 then.
    let script = Script::callee()
        .keep_via()
        .respond(
            "183 Session Progress",
            "Require: 100rel\nRSeq: 4711\n",
            Some(audio),
        )
        .hear("PRACK")
        .answer("200 OK", "", None)
        .wait(300)
        .respond_late("200 OK", "", None)
        .hear("ACK")
        .wait_for_bye();
    let mut provider = Sipp::start(&Run {
        local: std::net::SocketAddr::new(CALLER, peer),
        ..Run::once(script.xml(), CALLER, pbx.sip)
    });
    provider.listening().await;
    let script = Script::caller("+74951000004", NUMBER)
        .invite("Require: 100rel\n", Some(audio))
        .dialog(183)
        .ask("PRACK", "RAck: [$rseq] 1 INVITE\n", None)
        .expect(200)
        .expect(200);
    // The ACK belongs to the INVITE, not to the PRACK after it.
    let script = script.ack_of(1).wait(500).bye();
    let mut caller = run(&pbx, script);
    caller.finished(LIMIT).await;
    provider.finished(LIMIT).await;
    let heard = provider.messages();
    let invite = heard.iter().find(|m| m.start().starts_with("INVITE"));
    assert!(
        invite
            .unwrap()
            .header("Supported")
            .unwrap()
            .contains("100rel")
    );
    let prack = heard.iter().find(|m| m.start().starts_with("PRACK"));
    assert_eq!(prack.unwrap().header("RAck"), Some("4711 1 INVITE"));
    let row = pbx.ended_call(NUMBER).await;
    assert_eq!(row["result"], "answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sessions_are_refreshed_by_whom_it_was_agreed() {
    let pbx = Pbx::start(&plan(QUICK, "")).await;
    // The phone takes UPDATE and lets the PBX refresh.
    let refreshed = "Session-Expires: 8;refresher=uac\nRequire: timer\n";
    let mut script = Script::callee()
        .respond(
            "200 OK",
            &format!("Allow: INVITE, UPDATE\n{refreshed}"),
            Some(Audio::at(DEAF)),
        )
        .hear("ACK");
    for _ in 0..2 {
        script = script.hear("UPDATE").answer("200 OK", refreshed, None);
    }
    let mut anna = phone(&pbx, "anna", script.wait_for_bye()).await;
    // The caller asks for too little, then refreshes itself twice, then no more.
    let timed =
        |seconds: u32| format!("Supported: timer\nSession-Expires: {seconds};refresher=uac\n");
    let audio = Audio::at((CALLER, 9_000));
    let mut script = Script::caller("+74951000002", NUMBER)
        .invite(&timed(2), Some(audio))
        .expect(422)
        .refused(2)
        .invite(&timed(6), Some(audio))
        .may_ring()
        .dialog(200)
        .ack(None);
    for _ in 0..2 {
        script = script
            .wait(3_000)
            .ask("UPDATE", &timed(6), None)
            .expect(200);
    }
    let mut caller = run(&pbx, script.wait_for_bye());
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    let heard = caller.messages();
    let bye = heard.iter().find(|m| m.start().starts_with("BYE")).unwrap();
    assert!(bye.header("Reason").unwrap().contains("expired"));
    let small = heard.iter().find(|m| m.start().contains(" 422 ")).unwrap();
    assert_eq!(small.header("Min-SE"), Some("4"));
    let agreed = heard
        .iter()
        .filter(|m| !m.sent && m.header("Session-Expires").is_some());
    for ok in agreed {
        assert_eq!(ok.header("Session-Expires"), Some("6;refresher=uac"));
        assert_eq!(ok.header("Require"), Some("timer"));
    }
    assert_eq!(anna.count(false, "UPDATE"), 2);
    let row = pbx.ended_call(NUMBER).await;
    assert_eq!(row["result"], "answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn re_invites_that_meet_get_491_and_come_again() {
    let pbx = Pbx::start(&plan(
        "session_expires = \"24s\"\nmin_session_expires = \"4s\"\n",
        "",
    ))
    .await;
    let audio = Audio::at(DEAF);
    // At half of the interval, and with four seconds left to try again.
    let refreshed = "Session-Expires: 24;refresher=uac\nRequire: timer\n";
    // Without UPDATE, and with 422 first: the PBX refreshes by a re-INVITE, which meets ours.
    let script = Script::callee()
        .respond("422 Session Interval Too Small", "Min-SE: 7\n", None)
        .hear("ACK")
        .hear("INVITE")
        .respond(
            "200 OK",
            &format!("Allow: INVITE, ACK, BYE\n{refreshed}"),
            Some(audio),
        )
        .hear("ACK")
        .hear("INVITE")
        .answer("491 Request Pending", "", None)
        .hear("ACK")
        .hear("INVITE")
        .answer("200 OK", refreshed, Some(audio))
        .hear("ACK")
        .wait_for_bye();
    let mut anna = phone(&pbx, "anna", script).await;
    let script = Script::caller("+74951000002", NUMBER)
        .invite(SILENT, Some(Audio::at((CALLER, 9_000))))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait(17_500)
        .bye();
    let mut caller = run(&pbx, script);
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    let heard = anna.messages();
    let invites: Vec<_> = heard
        .iter()
        .filter(|m| !m.sent && m.start().starts_with("INVITE"))
        .collect();
    assert_eq!(invites.len(), 4);
    assert_eq!(invites[0].header("Session-Expires"), Some("24"));
    assert_eq!(invites[1].header("Min-SE"), Some("7"));
    let body = |n: usize| invites[n].text.split("\n\n").nth(1).unwrap().to_owned();
    assert_eq!(body(1), body(2), "an unchanged description");
    assert_eq!(body(2), body(3));
    let gap = invites[3].at - invites[2].at;
    assert!((2.0..4.3).contains(&gap), "{gap} s after 491");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_dies_while_it_holds_gives_the_caller_back() {
    let pbx = Pbx::start(&plan(QUICK, "")).await;
    let audio = Audio::at(DEAF);
    // It is to refresh, holds, and is gone.
    let script = Script::callee()
        .respond(
            "200 OK",
            "Allow: INVITE, UPDATE\nRequire: timer\nSession-Expires: 8;refresher=uas\n",
            Some(audio),
        )
        .hear("ACK")
        .wait(300)
        .ask(
            "INVITE",
            "Supported: timer\nSession-Expires: 8;refresher=uac\n",
            Some(audio.going("sendonly")),
        )
        .expect(200)
        .ack(None)
        .wait(3_600_000);
    let mut anna = phone(&pbx, "anna", script).await;
    let answers = Phone::Answer(100, DEAF, Law::Mu);
    let mut boris = Sipp::phone(pbx.sip, "boris", &answers, 1).await;
    let script = Script::caller("+74951000003", NUMBER)
        .invite(SILENT, Some(Audio::at((CALLER, 9_000))))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait(12_500)
        .bye();
    let mut caller = run(&pbx, script);
    anna.message(LIMIT, "the answer to its hold", |m| {
        !m.sent && m.text.contains("a=recvonly")
    })
    .await;
    anna.kill();
    let back = boris.invite(Duration::from_secs(15)).await;
    assert!(back.header("From").unwrap().contains(NUMBER));
    pbx.wait_for_state("boris", "talking").await;
    caller.finished(LIMIT).await;
    boris.finished(LIMIT).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_may_come_later_or_be_asked_for_again() {
    let pbx = Pbx::start(&plan("", "")).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let audio = Audio::at(near.place());
    let script = Script::caller("+74951000001", NUMBER)
        .invite("", None)
        .may_ring()
        .dialog(200)
        .ack(Some(audio))
        .wait(1_500)
        .ask("INVITE", "", None)
        .expect(200)
        .ack(Some(audio))
        .wait(1_500)
        .bye();
    let mut caller = run(&pbx, script);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(CALLER_TONE));
    caller.finished(LIMIT).await;
    let echo = sound::seconds_of(&near.audio(), CALLER_TONE);
    assert!(echo > 2.0, "{echo} s of echo");
    let offers = answers(&caller);
    assert_eq!(offers.len(), 2);
    assert_eq!(offers[0], offers[1]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_be_agreed_on_is_named() {
    let pbx = Pbx::start(&plan("", "")).await;
    let mut peer = Peer::new(&pbx, CALLER);
    let plain = sdp(peer.at, "0");
    for (from, to, code) in [
        ("RTP/AVP 0", "RTP/AVP 9", "305 "),
        ("m=audio", "m=video", "304 "),
        ("RTP/AVP", "RTP/SAVP", "302 "),
        ("c=IN IP4 127.0.0.2", "c=IN IP6 2001:db8::1", "301 "),
    ] {
        let invite = peer.call("+74951000001", "", &plain.replace(from, to));
        peer.send(&invite);
        let refusal = peer.answer();
        assert_eq!(refusal.status(), 488, "{to}");
        let warnings: Vec<&str> = refusal.headers(Name::Warning).collect();
        assert!(warnings[0].starts_with("399 "), "{warnings:?}");
        assert!(warnings[1].starts_with(code), "{warnings:?}");
    }
    // An IPv6 alternative before the IPv4 one is no reason to refuse the call.
    let both = plain.replace(
        "m=audio",
        "m=audio 5000 RTP/AVP 0\r\nc=IN IP6 2001:db8::1\r\nm=audio",
    );
    let ok = peer.connected("+74951000001", &both);
    let body = String::from_utf8(ok.body().to_vec()).unwrap();
    assert!(body.contains("m=audio 0 RTP/AVP 0\r\n"), "{body}");
    // A re-INVITE that cannot be agreed on leaves the call as it was.
    let again = peer.within(
        &ok,
        "INVITE",
        2,
        "Content-Type: application/sdp\r\n",
        &plain.replace("RTP/AVP 0", "RTP/AVP 9"),
    );
    peer.send(again);
    let refusal = peer.answer();
    assert_eq!(refusal.status(), 488);
    let codes: Vec<&str> = refusal.headers(Name::Warning).collect();
    assert!(codes[1].starts_with("305 "), "{codes:?}");
    // What is not understood is refused, and the call goes on.
    for (cseq, (method, more, status)) in (3..).zip([
        ("INFO", "Content-Type: text/plain\r\n", 415),
        ("INFO", "Info-Package: conference\r\n", 469),
        ("INFO", "", 200),
        ("MESSAGE", "Content-Type: text/plain\r\n", 405),
        ("UPDATE", "Require: precondition\r\n", 420),
        ("PRACK", "RAck: 1 1 INVITE\r\n", 481),
    ]) {
        let body = if status == 415 { "hello" } else { "" };
        let request = peer.within(&ok, method, cseq, more, body);
        peer.all();
        peer.send(request);
        assert_eq!(peer.answer().status(), status, "{method} {more}");
    }
    pause(100).await;
    peer.hang_up(&ok);
    pbx.wait_until_idle(SOON).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_holds_and_resumes() {
    let pbx = Pbx::start(&plan("", "")).await;
    let anna = Baresip::start(pbx.sip, "anna", OPERATOR_TONE, "PCMU/8000/1").await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let script = Script::caller("+74951000002", NUMBER)
        .invite("", Some(Audio::at(near.place())))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait(6_000)
        .bye();
    let mut caller = run(&pbx, script);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(CALLER_TONE));
    pause(1_200).await;
    anna.command("hold").await;
    pause(2_000).await;
    let music = sound::seconds_of(&near.audio(), MUSIC);
    anna.command("resume").await;
    caller.finished(LIMIT).await;
    assert!(music > 1.3, "{music} s of music");
    let heard = near.audio();
    let end = &heard[heard.len() - 8_000..];
    let tone = sound::seconds_of(end, OPERATOR_TONE);
    assert!(tone > 0.8, "{tone} s of the operator at the end");
    let row = pbx.ended_call(NUMBER).await;
    let trace = row["trace"].to_string();
    assert!(
        trace.contains("\"Held\"") && trace.contains("\"Resumed\""),
        "{trace}"
    );
}

/// Two of us as each other's trunk: sessions between them are refreshed, and a hold on one side is music on the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_pbx_hold_and_refresh_across_their_trunk() {
    let port_of = |plan: &str| {
        let (_, rest) = plan.split_once("udp://127.0.0.1:").unwrap();
        rest.split_once('"').unwrap().0.to_owned()
    };
    let (first, second) = (plan(QUICK, ""), plan(QUICK, ""));
    let trunk =
        |name: &str, of: &str| format!("[trunks.{name}]\npeer = \"127.0.0.1:{}\"\n", port_of(of));
    let first = first.clone()
        + &trunk("branch", &second)
        + "[numbers.\"+74951000005\"]\nto = \"forward:branch\"\n[forwards.branch]\nto = \"+74951000002\"\ntrunk = \"branch\"\n";
    let second = second + &trunk("office", &first);
    let (office, branch) = tokio::join!(Pbx::start(&first), Pbx::start(&second));
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let audio = Audio::at(DEAF);
    let script = Script::callee()
        .respond("200 OK", SILENT, Some(audio))
        .hear("ACK")
        .wait(9_000)
        .reinvite(audio.going("sendonly"))
        .wait(2_000)
        .reinvite(audio)
        .wait(500)
        .bye();
    let mut anna = phone(&branch, "anna", script).await;
    let script = Script::caller("+74951000005", NUMBER)
        .invite(SILENT, Some(Audio::at(near.place())))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait_for_bye();
    let mut caller = run(&office, script);
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    let music = sound::seconds_of(&near.audio(), MUSIC);
    assert!(music > 1.5, "{music} s of music through both");
    // The branch is shown a number of the office.
    for (pbx, number) in [(&office, NUMBER), (&branch, "+74951000005")] {
        let row = pbx.ended_call(number).await;
        assert_eq!(row["result"], "answered");
        assert!(row["talk_ms"].as_f64().unwrap() > 11_000.0);
    }
}
