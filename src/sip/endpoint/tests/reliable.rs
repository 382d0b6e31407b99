//! Reliable provisional responses and PRACK (RFC 3262), theirs and ours, and UPDATE in early dialogs (RFC 3311).

use super::command::Usage;
use super::*;

fn rung(rig: &mut Rig, change: impl FnOnce(String) -> String) -> SessionId {
    rig.receive(&change(INVITE.to_owned()));
    rig.sent();
    match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    }
}

fn with(header: &'static str) -> impl FnOnce(String) -> String {
    move |invite| invite.replace("CSeq", &format!("{header}\nCSeq"))
}

fn progress(rig: &mut Rig, session: SessionId, code: u16, sdp: Option<&'static [u8]>) {
    rig.command(Command::Progress {
        session,
        code,
        sdp: sdp.map(Bytes::from_static),
    });
}

fn rseq(response: &Message) -> u32 {
    assert_eq!(response.header(Name::Require), Some("100rel"));
    response.header(Name::RSeq).unwrap().parse().unwrap()
}

fn prack(response: &Message, rseq: u32, cseq: u32, body: &str) -> String {
    within(
        response,
        "PRACK",
        cseq,
        &format!("RAck: {rseq} 1 INVITE"),
        body,
    )
}

fn statuses(rig: &mut Rig) -> Vec<u16> {
    rig.sent()
        .iter()
        .map(|(_, message)| message.status())
        .collect()
}

#[test]
fn a_caller_that_requires_it_gets_each_provisional_response_once_acknowledged() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    progress(&mut rig, session, 180, None);
    let ringing = rig.one();
    let number = rseq(&ringing);
    // A second one waits for the PRACK of the first.
    progress(&mut rig, session, 183, Some(ANSWER));
    rig.sent_nothing();
    rig.pass(Duration::from_millis(500));
    assert_eq!(rig.one().bytes(), ringing.bytes());
    rig.pass(Duration::from_millis(1_000));
    assert_eq!(rig.one().bytes(), ringing.bytes());
    rig.receive(&prack(&ringing, number + 1, 2, ""));
    assert_eq!(statuses(&mut rig), [481]);
    let right = prack(&ringing, number, 3, "");
    rig.receive(&right);
    let sent = rig.sent();
    assert_eq!(sent[0].1.status(), 200);
    let early = &sent[1].1;
    assert_eq!((early.status(), rseq(early)), (183, number + 1));
    assert_eq!(&early.body()[..], ANSWER);
    rig.receive(&right);
    assert_eq!(statuses(&mut rig), [200]);
    rig.receive(&prack(early, number + 1, 4, ""));
    assert_eq!(statuses(&mut rig), [200]);
    rig.pass(Duration::from_secs(40));
    rig.sent_nothing();
    assert!(rig.events().is_empty());
}

#[test]
fn the_2xx_waits_for_the_prack_of_what_described_us() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    progress(&mut rig, session, 183, Some(ANSWER));
    let early = rig.one();
    rig.accept(session);
    rig.sent_nothing();
    rig.receive(&prack(&early, rseq(&early), 2, ""));
    let sent = rig.sent();
    let codes: Vec<u16> = sent.iter().map(|(_, message)| message.status()).collect();
    assert_eq!(codes, [200, 200]);
    let ok = &sent[1].1;
    // The answer was given: it is not said again.
    assert!(ok.body().is_empty());
    rig.receive(&ack(ok));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Acked { sdp: None, .. }]
    ));
}

#[test]
fn a_2xx_does_not_wait_for_the_prack_of_mere_ringing() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    progress(&mut rig, session, 180, None);
    let ringing = rig.one();
    rig.accept(session);
    let ok = rig.one();
    assert_eq!((ok.status(), &ok.body()[..]), (200, ANSWER));
    rig.receive(&ack(&ok));
    rig.receive(&prack(&ringing, rseq(&ringing), 2, ""));
    assert_eq!(statuses(&mut rig), [200]);
    rig.receive(&prack(&ringing, rseq(&ringing), 3, ""));
    assert_eq!(statuses(&mut rig), [481]);
}

#[test]
fn where_it_is_only_supported_ringing_is_sent_as_ever() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Supported: 100rel"));
    progress(&mut rig, session, 180, None);
    let ringing = rig.one();
    assert_eq!((ringing.header(Name::RSeq), ringing.status()), (None, 180));
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("k: timer, 100rel"));
    let usage = Usage {
        reliable: true,
        ..Usage::default()
    };
    rig.command(Command::Use { session, usage });
    progress(&mut rig, session, 180, None);
    rseq(&rig.one());
}

#[test]
fn without_a_prack_the_call_ends() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    progress(&mut rig, session, 183, Some(ANSWER));
    rig.accept(session);
    rig.pass(Duration::from_secs(31));
    let resent = rig.sent().len();
    assert_eq!(resent, 1 + 5, "at 0.5, 1.5, 3.5, 7.5 and 15.5 s");
    rig.pass(Duration::from_secs(1));
    assert_eq!(statuses(&mut rig), [183, 504]);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::Lost,
            ..
        }]
    ));
    rig.assert_ends();
}

#[test]
fn cancel_ends_a_call_whose_2xx_waits() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    progress(&mut rig, session, 183, Some(ANSWER));
    let early = rig.one();
    rig.accept(session);
    let cancel = INVITE.replace("INVITE", "CANCEL");
    let cancel = cancel.split("Content-Type").next().unwrap();
    rig.receive(cancel);
    assert_eq!(statuses(&mut rig), [200, 487]);
    assert!(matches!(rig.events().as_slice(), [Event::Cancelled { .. }]));
    rig.receive(&prack(&early, rseq(&early), 2, ""));
    assert_eq!(statuses(&mut rig), [481]);
    rig.assert_ends();
}

#[test]
fn our_offer_goes_out_reliably_and_its_answer_comes_in_the_prack() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, |invite| {
        let head = invite.split("Content-Type").next().unwrap();
        head.replace("CSeq", "Require: 100rel\nCSeq")
    });
    // Without a description there is nothing that may be said.
    progress(&mut rig, session, 180, None);
    rig.sent_nothing();
    progress(&mut rig, session, 183, Some(OFFER));
    let early = rig.one();
    assert_eq!(&early.body()[..], OFFER);
    rig.receive(&within(&early, "UPDATE", 2, "", "v=0\ns=glare\n"));
    assert_eq!(statuses(&mut rig), [491]);
    rig.receive(&prack(&early, rseq(&early), 3, "v=0\ns=answer\n"));
    assert_eq!(statuses(&mut rig), [200]);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Acked { sdp: Some(_), .. }]
    ));
    rig.command(Command::Accept {
        session,
        sdp: Bytes::from_static(OFFER),
        headers: Headers::new(),
    });
    assert!(rig.one().body().is_empty());
}

#[test]
fn an_offer_in_a_prack_and_in_an_early_update_is_answered() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    rig.receive(&INVITE.replace("z9hG4bKinvite", "z9hG4bKother"));
    assert_eq!(statuses(&mut rig), [482]);
    progress(&mut rig, session, 183, Some(ANSWER));
    let early = rig.one();
    rig.accept(session);
    rig.receive(&prack(&early, rseq(&early), 2, "v=0\ns=other\n"));
    rig.sent_nothing();
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Offer { sdp: Some(_), .. }]
    ));
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(b"v=0\r\ns=to the prack\r\n"),
    });
    let sent = rig.sent();
    assert_eq!(sent[0].1.header(Name::CSeq), Some("2 PRACK"));
    assert!(!sent[0].1.body().is_empty());
    assert_eq!(sent[1].1.header(Name::CSeq), Some("1 INVITE"));
    assert!(sent[1].1.body().is_empty());

    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Require: 100rel"));
    progress(&mut rig, session, 183, Some(ANSWER));
    let early = rig.one();
    rig.receive(&prack(&early, rseq(&early), 2, ""));
    rig.sent();
    rig.receive(&within(&early, "UPDATE", 3, "", "v=0\ns=moved\n"));
    assert!(matches!(rig.events().as_slice(), [Event::Offer { .. }]));
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(ANSWER),
    });
    let answer = rig.one();
    assert_eq!((answer.status(), &answer.body()[..]), (200, ANSWER));
    assert!(answer.header(Name::Contact).is_some());
}

#[test]
fn an_early_update_before_our_answer_is_asked_to_come_again() {
    let mut rig = Rig::new();
    let session = rung(&mut rig, with("Supported: 100rel"));
    progress(&mut rig, session, 180, None);
    let ringing = rig.one();
    rig.receive(&within(&ringing, "UPDATE", 2, "", "v=0\ns=1\n"));
    let refusal = rig.one();
    assert_eq!(refusal.status(), 500);
    assert!(refusal.header(Name::RetryAfter).is_some());
    rig.receive(&within(&ringing, "UPDATE", 3, "", ""));
    assert_eq!(statuses(&mut rig), [200]);
    assert_eq!(rig.events().len(), 0);
}

fn reliable_response(invite: &Message, code: u16, rseq: u32, body: &str) -> String {
    let more = format!("Contact: <sip:bob@192.0.2.9>\nRequire: 100rel\nRSeq: {rseq}");
    response(invite, code, "bob", &more, body)
}

#[test]
fn theirs_are_acknowledged_in_order_and_once() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.usage.reliable = true);
    assert!(invite.header(Name::Supported).unwrap().contains("100rel"));
    rig.receive(&reliable_response(&invite, 180, 900, ""));
    let prack = rig.one();
    assert_eq!(
        (
            prack.method(),
            prack.header(Name::RAck),
            prack.to_tag(),
            prack.cseq(),
            prack.request_uri()
        ),
        (
            Method::Prack,
            Some("900 1 INVITE"),
            Some("bob"),
            2,
            "sip:bob@192.0.2.9"
        )
    );
    rig.receive(&reliable_response(&invite, 180, 900, ""));
    rig.sent_nothing();
    rig.receive(&reliable_response(&invite, 183, 902, "v=0\ns=later\n"));
    rig.sent_nothing();
    rig.receive(&response(&prack, 200, "", "", ""));
    rig.receive(&reliable_response(&invite, 183, 901, "v=0\ns=answer\n"));
    assert_eq!(rig.one().header(Name::RAck), Some("901 1 INVITE"));
    assert_eq!(rig.events().len(), 2);
    rig.receive(&response(
        &invite,
        200,
        "bob",
        "Contact: <sip:bob@192.0.2.9>",
        "",
    ));
    let ack = rig.one();
    assert_eq!((ack.method(), ack.cseq()), (Method::Ack, 1));
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    let bye = rig.one();
    assert_eq!((bye.method(), bye.cseq()), (Method::Bye, 4));
}

#[test]
fn a_far_side_that_demands_it_gets_it() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    assert!(!invite.header(Name::Supported).unwrap().contains("100rel"));
    rig.receive(&response(&invite, 421, "x", "Require: 100rel", ""));
    let sent = rig.sent();
    let again = &sent.last().unwrap().1;
    assert_eq!((again.method(), again.cseq()), (Method::Invite, 2));
    assert!(again.header(Name::Supported).unwrap().contains("100rel"));
    rig.receive(&response(again, 421, "x", "Require: 100rel", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused { code: 421, .. }]
    ));
}

#[test]
fn their_early_update_is_taken_once_our_offer_is_answered() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.usage.reliable = true);
    rig.receive(&reliable_response(&invite, 183, 1, "v=0\ns=answer\n"));
    rig.sent();
    rig.events();
    let update = format!(
        "UPDATE sip:alice@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKu\nFrom: <sip:bob@192.0.2.9>;tag=bob\nTo: <sip:alice@192.0.2.1>;tag={}\nCall-ID: {}\nCSeq: 1 UPDATE\nMax-Forwards: 70\nContact: <sip:bob@192.0.2.9:5070>\nContent-Type: application/sdp\n\nv=0\n",
        invite.from_tag(),
        invite.call_id()
    );
    rig.receive(&update);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Offer { sdp: Some(_), .. }]
    ));
    rig.command(Command::AnswerOffer {
        session: SESSION,
        sdp: Bytes::from_static(ANSWER),
    });
    assert_eq!(rig.one().status(), 200);
}
