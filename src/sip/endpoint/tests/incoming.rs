//! Their INVITE: provisional responses, 200 until ACK, CANCEL, endings (RFC 3261 §13.3, §9.2, §15).

use super::*;

fn progress(session: SessionId, code: u16, sdp: Option<&'static [u8]>) -> Command {
    Command::Progress {
        session,
        code,
        sdp: sdp.map(Bytes::from_static),
    }
}

fn cancel() -> String {
    INVITE
        .replace("INVITE", "CANCEL")
        .split("Contact")
        .next()
        .unwrap()
        .to_owned()
}

#[test]
fn progress_carries_tag_contact_and_is_repeated_each_minute() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(progress(session, 183, Some(ANSWER)));
    let early = rig.one();
    assert_eq!(early.status(), 183);
    assert!(early.to_tag().is_some());
    assert_eq!(
        early.header(Name::Contact),
        Some("<sip:74951000001@192.0.2.1:5060>")
    );
    assert_eq!(early.body_of("application/sdp").as_deref(), Some(ANSWER));
    rig.receive(INVITE);
    assert_eq!(rig.one().bytes(), early.bytes());
    rig.pass(Duration::from_secs(59));
    rig.sent_nothing();
    rig.pass(Duration::from_secs(62));
    assert_eq!(rig.sent().len(), 2);
    rig.accept(session);
    let ok = rig.one();
    assert_eq!((ok.status(), ok.to_tag()), (200, early.to_tag()));
    rig.receive(&ack(&ok));
    rig.pass(Duration::from_secs(100));
    rig.sent_nothing();
}

#[test]
fn a_200_is_resent_until_its_ack() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.accept(session);
    let ok = rig.one();
    assert!(ok.header(Name::Contact).is_some() && ok.header(Name::Allow).is_some());
    rig.pass(Duration::from_secs(4));
    assert_eq!(rig.sent().len(), 3);
    rig.receive(INVITE);
    rig.sent_nothing();
    rig.receive(&ack(&ok));
    rig.receive(&ack(&ok));
    match rig.events().as_slice() {
        [Event::Acked { sdp: None, .. }] => {}
        other => panic!("{other:?}"),
    }
    rig.pass(Duration::from_secs(60));
    rig.sent_nothing();
    assert_eq!(
        rig.endpoint.census(),
        Census {
            sessions: 1,
            dialogs: 1,
            ..Census::default()
        }
    );
}

#[test]
fn a_200_that_is_never_acked_ends_the_session() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.accept(session);
    rig.sent();
    rig.pass(Duration::from_secs(32));
    match rig.events().as_slice() {
        [
            Event::Ended {
                how: event::Ended::NoAck,
                ..
            },
        ] => {}
        other => panic!("{other:?}"),
    }
    assert_eq!(rig.sent().last().unwrap().1.method(), Method::Bye);
    rig.assert_ends();
}

#[test]
fn the_answer_to_our_offer_comes_with_the_ack() {
    let mut rig = Rig::new();
    let text = INVITE.split("Content-Type").next().unwrap();
    rig.receive(text);
    let session = match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    };
    rig.sent();
    rig.accept(session);
    let ok = rig.one();
    rig.receive(&within(&ok, "UPDATE", 2, "", "v=0\ns=glare\n"));
    assert_eq!(rig.one().status(), 491);
    rig.receive(
        &(ack(&ok).trim_end().to_owned() + "\nContent-Type: application/sdp\n\nv=0\ns=answer\n"),
    );
    match rig.events().as_slice() {
        [Event::Acked { sdp: Some(sdp), .. }] => assert_eq!(&sdp[..], ANSWER),
        other => panic!("{other:?}"),
    }
}

#[test]
fn cancel_gets_200_and_the_invite_487() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(progress(session, 180, None));
    let tag = rig.one().to_tag().map(str::to_owned);
    rig.receive(&cancel());
    let sent = rig.sent();
    assert_eq!(
        sent.iter()
            .map(|(_, message)| (message.status(), message.method()))
            .collect::<Vec<_>>(),
        [(200, Method::Cancel), (487, Method::Invite)]
    );
    assert!(
        sent.iter()
            .all(|(_, message)| message.to_tag() == tag.as_deref())
    );
    assert!(matches!(rig.events().as_slice(), [Event::Cancelled { .. }]));
    rig.accept(session);
    rig.sent_nothing();
    rig.receive(&cancel());
    assert_eq!(rig.one().status(), 200);
    rig.assert_ends();
}

#[test]
fn cancel_after_our_200_changes_nothing() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.accept(session);
    let ok = rig.one();
    rig.receive(&cancel());
    assert_eq!(rig.one().status(), 200);
    rig.receive(&ack(&ok));
    assert!(matches!(rig.events().as_slice(), [Event::Acked { .. }]));
    assert_eq!(rig.endpoint.census().sessions, 1);
}

#[test]
fn bye_to_an_early_dialog_is_a_cancel() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(progress(session, 180, None));
    let ringing = rig.one();
    rig.receive(&within(&ringing, "BYE", 2, "", ""));
    let sent = rig.sent();
    assert_eq!(
        sent.iter()
            .map(|(_, message)| message.status())
            .collect::<Vec<_>>(),
        [200, 487]
    );
    assert!(matches!(rig.events().as_slice(), [Event::Cancelled { .. }]));
    rig.assert_ends();
}

#[test]
fn bye_waits_for_the_ack() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.accept(session);
    let ok = rig.one();
    rig.command(Command::End {
        session,
        reason: None,
    });
    rig.sent_nothing();
    rig.receive(&ack(&ok));
    let bye = rig.one();
    assert_eq!((bye.method(), bye.cseq()), (Method::Bye, 1));
    assert_eq!(bye.request_uri(), "sip:anna@192.0.2.9:5060");
    assert_eq!(bye.from_tag(), ok.to_tag().unwrap());
    assert_eq!(bye.to_tag(), Some("anna"));
    rig.receive(&response(&bye, 200, "", "", ""));
    assert!(rig.events().is_empty());
    assert_eq!(rig.endpoint.census().sessions, 0);
    rig.assert_ends();
}

#[test]
fn bye_waits_no_longer_than_the_200_is_resent() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.accept(session);
    rig.command(Command::End {
        session,
        reason: None,
    });
    rig.pass(Duration::from_secs(32));
    assert_eq!(rig.sent().last().unwrap().1.method(), Method::Bye);
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn end_of_an_unanswered_session_is_480() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(Command::End {
        session,
        reason: Some("Q.850;cause=16".to_owned()),
    });
    let refusal = rig.one();
    assert_eq!(
        (refusal.status(), refusal.header(Name::Reason)),
        (480, Some("Q.850;cause=16"))
    );
    rig.assert_ends();
    assert!(rig.events().is_empty());
}

#[test]
fn a_challenge_is_a_refusal_and_the_next_invite_a_new_session() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(Command::Reject {
        session,
        code: 401,
        headers: vec![(
            Name::WwwAuthenticate,
            "Digest realm=\"x\", nonce=\"n\"".to_owned(),
        )],
    });
    let refusal = rig.one();
    assert_eq!(
        refusal.header(Name::WwwAuthenticate),
        Some("Digest realm=\"x\", nonce=\"n\"")
    );
    rig.receive(&ack(&refusal).replace("z9hG4bKack1", "z9hG4bKinvite"));
    rig.receive(
        &INVITE
            .replace("1 INVITE", "2 INVITE")
            .replace("bKinvite", "bKagain"),
    );
    assert!(matches!(rig.events().as_slice(), [Event::Incoming { .. }]));
}

#[test]
fn bye_before_the_ack_ends_the_session() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.accept(session);
    let ok = rig.one();
    rig.receive(&within(&ok, "BYE", 2, "", ""));
    assert_eq!(rig.one().status(), 200);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::Bye,
            ..
        }]
    ));
    rig.receive(&ack(&ok));
    rig.pass(Duration::from_secs(20));
    rig.sent_nothing();
    rig.assert_ends();
}

#[test]
fn a_challenge_never_sends_more_than_it_was_sent() {
    let mut rig = Rig::new();
    rig.receive(INVITE);
    let Some(Event::Incoming { session, .. }) = rig.endpoint.poll_event() else {
        panic!("no INVITE");
    };
    rig.command(Command::Challenge {
        session,
        headers: vec![(Name::WwwAuthenticate, "Digest realm=\"x\"".to_owned())],
    });
    let challenge = rig.one();
    assert_eq!(challenge.status(), 401);
    rig.pass(Duration::from_secs(10));
    rig.sent_nothing();
    rig.receive(INVITE);
    assert_eq!(rig.one().bytes(), challenge.bytes());
    rig.pass(Duration::from_secs(40));
    rig.sent_nothing();
    rig.assert_ends();
}
