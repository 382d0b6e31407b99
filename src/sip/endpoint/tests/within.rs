//! Requests within a dialog, theirs and ours (RFC 3261 §12.2, §14, §15; RFC 3311).

use super::*;

fn statuses(rig: &mut Rig) -> Vec<u16> {
    rig.sent()
        .iter()
        .map(|(_, message)| message.status())
        .collect()
}

#[test]
fn a_re_invite_is_an_offer_and_its_200_is_resent_until_the_ack() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(&within(&ok, "INVITE", 2, "", "v=0\ns=hold\n"));
    match rig.events().as_slice() {
        [Event::Offer { sdp: Some(sdp), .. }] => assert_eq!(&sdp[..], b"v=0\r\ns=hold\r\n"),
        other => panic!("{other:?}"),
    }
    assert_eq!(statuses(&mut rig), [100]);
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(ANSWER),
    });
    let answer = rig.one();
    assert_eq!((answer.status(), answer.to_tag()), (200, ok.to_tag()));
    assert!(answer.header(Name::Contact).is_some());
    rig.pass(Duration::from_secs(1));
    assert_eq!(statuses(&mut rig), [200]);
    rig.receive(&ack(&answer));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Acked { sdp: None, .. }]
    ));
    rig.pass(Duration::from_secs(60));
    rig.sent_nothing();
}

#[test]
fn a_re_invite_without_sdp_asks_for_our_offer() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(&within(&ok, "INVITE", 2, "", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Offer { sdp: None, .. }]
    ));
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(OFFER),
    });
    rig.sent();
    rig.receive(&within(&ok, "INVITE", 3, "", "v=0\ns=glare\n"));
    assert_eq!(statuses(&mut rig), [491]);
    let answer = ack(&ok)
        .replace("CSeq: 1", "CSeq: 2")
        .replace("z9hG4bKack1", "z9hG4bKack2");
    rig.receive(
        &(answer.trim_end().to_owned() + "\nContent-Type: application/sdp\n\nv=0\ns=answer\n"),
    );
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Acked { sdp: Some(_), .. }]
    ));
}

#[test]
fn a_second_offer_before_the_first_is_answered_gets_500_and_retry_after() {
    let mut rig = Rig::new();
    let (_, ok) = rig.accepted();
    rig.receive(&within(&ok, "INVITE", 2, "", "v=0\ns=1\n"));
    rig.sent();
    rig.receive(&within(&ok, "UPDATE", 3, "", "v=0\ns=2\n"));
    let refusal = rig.one();
    assert_eq!(refusal.status(), 500);
    assert!(
        refusal
            .header(Name::RetryAfter)
            .unwrap()
            .parse::<u8>()
            .unwrap()
            <= 10
    );
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn a_refused_offer_leaves_the_session_as_it_was() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(&within(&ok, "UPDATE", 2, "", "v=0\ns=1\n"));
    rig.command(Command::RefuseOffer {
        session,
        code: 488,
        headers: vec![(Name::Warning, "399 a \"b\"".to_owned())],
    });
    let refusal = rig.one();
    assert_eq!(
        (refusal.status(), refusal.header(Name::Warning)),
        (488, Some("399 a \"b\""))
    );
    assert_eq!(rig.endpoint.census().sessions, 1);
}

#[test]
fn update_without_sdp_refreshes_the_target_alone() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(
        &within(&ok, "UPDATE", 2, "", "").replace("anna@192.0.2.9:5060>", "anna@192.0.2.9:5099>"),
    );
    let answer = rig.one();
    assert_eq!(answer.status(), 200);
    assert!(answer.header(Name::Contact).is_some());
    assert!(rig.events().is_empty());
    rig.command(Command::End {
        session,
        reason: None,
    });
    let (to, bye) = rig.sent().remove(0);
    assert_eq!(to, address("192.0.2.9:5099"));
    assert_eq!(bye.request_uri(), "sip:anna@192.0.2.9:5099");
}

#[test]
fn a_re_invite_that_is_never_acked_ends_the_session() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(&within(&ok, "INVITE", 2, "", "v=0\ns=1\n"));
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(ANSWER),
    });
    rig.events();
    rig.pass(Duration::from_secs(33));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::NoAck,
            ..
        }]
    ));
    assert!(
        rig.sent()
            .iter()
            .any(|(_, message)| message.method() == Method::Bye)
    );
    rig.assert_ends();
}

#[test]
fn a_cancelled_re_invite_gets_487_and_the_session_stays() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    let again = within(&ok, "INVITE", 2, "", "v=0\ns=1\n");
    rig.receive(&again);
    rig.sent();
    rig.receive(
        again
            .replace("INVITE", "CANCEL")
            .replace("within2CANCEL", "within2INVITE")
            .split("Content-Type")
            .next()
            .unwrap(),
    );
    assert_eq!(statuses(&mut rig), [200, 487]);
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(ANSWER),
    });
    rig.sent_nothing();
    assert_eq!(rig.endpoint.census().sessions, 1);
}

#[test]
fn info_options_and_what_is_not_available() {
    let mut rig = Rig::new();
    let (_, ok) = rig.accepted();
    rig.receive(&within(&ok, "INFO", 2, "", ""));
    assert_eq!(statuses(&mut rig), [200]);
    assert!(matches!(rig.events().as_slice(), [Event::Info { .. }]));
    rig.receive(&within(&ok, "OPTIONS", 3, "", ""));
    let options = rig.one();
    assert_eq!(options.status(), 200);
    for name in [Name::Allow, Name::Accept, Name::Supported] {
        assert!(options.header(name).is_some(), "{name:?}");
    }
    for (cseq, method, status) in [
        (4, "PRACK", 481),
        (5, "NOTIFY", 481),
        (6, "REFER", 400),
        (7, "SUBSCRIBE", 489),
        (8, "MESSAGE", 405),
        (9, "DANCE", 405),
    ] {
        rig.receive(&within(&ok, method, cseq, "", ""));
        assert_eq!(rig.one().status(), status, "{method}");
    }
    assert!(rig.events().is_empty());
}

#[test]
fn sequence_numbers_only_rise() {
    let mut rig = Rig::new();
    let (_, ok) = rig.accepted();
    rig.receive(&within(&ok, "OPTIONS", 9, "", ""));
    assert_eq!(statuses(&mut rig), [200]);
    rig.receive(&within(&ok, "INFO", 5, "", ""));
    assert_eq!(statuses(&mut rig), [500]);
    assert!(rig.events().is_empty());
}

#[test]
fn other_tags_are_other_dialogs() {
    let mut rig = Rig::new();
    let (_, ok) = rig.accepted();
    rig.receive(&within(&ok, "BYE", 2, "", "").replace("tag=anna", "tag=eve"));
    assert_eq!(statuses(&mut rig), [481]);
    rig.receive(&within(&ok, "BYE", 3, "", "").replace("Call-ID: incoming", "Call-ID: guessed"));
    assert_eq!(statuses(&mut rig), [481]);
    assert!(rig.events().is_empty());
}

#[test]
fn their_bye_ends_the_session() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(&within(&ok, "INVITE", 2, "", "v=0\ns=1\n"));
    rig.sent();
    rig.events();
    rig.receive(&within(&ok, "BYE", 3, "", ""));
    assert_eq!(statuses(&mut rig), [200, 487]);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::Bye,
            ..
        }]
    ));
    rig.command(Command::End {
        session,
        reason: None,
    });
    rig.sent_nothing();
    rig.assert_ends();
}

#[test]
fn byes_that_cross_are_both_answered() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.command(Command::End {
        session,
        reason: None,
    });
    rig.sent();
    rig.receive(&within(&ok, "BYE", 2, "", ""));
    assert_eq!(statuses(&mut rig), [200]);
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn a_probe_tells_whether_the_far_side_knows_the_dialog() {
    for (code, alive) in [(200, true), (405, true), (408, false)] {
        let mut rig = Rig::new();
        rig.dialled(|_| {});
        rig.command(Command::Probe { session: SESSION });
        rig.command(Command::Probe { session: SESSION });
        let options = rig.one();
        assert_eq!(
            (options.method(), options.to_tag()),
            (Method::Options, Some("bob"))
        );
        rig.receive(&response(&options, code, "", "", ""));
        match rig.events().as_slice() {
            [Event::Probed { alive: told, .. }] => assert_eq!(*told, alive, "{code}"),
            other => panic!("{other:?}"),
        }
    }
    let mut rig = Rig::new();
    rig.dialled(|_| {});
    rig.command(Command::Probe { session: SESSION });
    let options = rig.one();
    rig.receive(&response(&options, 481, "", "", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::Lost,
            ..
        }]
    ));
    assert_eq!(rig.one().method(), Method::Bye);
    let mut rig = Rig::new();
    rig.dialled(|_| {});
    rig.command(Command::Probe { session: SESSION });
    rig.pass(Duration::from_secs(33));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Probed { alive: false, .. }]
    ));
}

#[test]
fn an_offer_before_our_invite_is_answered_is_glare() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    rig.receive(&response(&invite, 180, "bob", "", ""));
    rig.events();
    let update = format!(
        "UPDATE sip:alice@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKu\nFrom: <sip:bob@192.0.2.9>;tag=bob\nTo: <sip:alice@192.0.2.1>;tag={}\nCall-ID: {}\nCSeq: 1 UPDATE\nMax-Forwards: 70\nContent-Type: application/sdp\n\nv=0\n",
        invite.from_tag(),
        invite.call_id()
    );
    rig.receive(&update);
    assert_eq!(statuses(&mut rig), [491]);
}

#[test]
fn our_re_invite_brings_an_answer_and_is_acked() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.command(Command::Offer {
        session,
        sdp: Bytes::from_static(OFFER),
    });
    let offer = rig.one();
    assert_eq!(
        (offer.method(), offer.to_tag(), offer.cseq()),
        (Method::Invite, Some("anna"), 1)
    );
    assert!(offer.header(Name::Contact).is_some());
    rig.receive(&within(&ok, "UPDATE", 2, "", "v=0\ns=glare\n"));
    assert_eq!(statuses(&mut rig), [491]);
    let answer = response(
        &offer,
        200,
        "",
        "Contact: <sip:anna@192.0.2.9:5098>",
        "v=0\ns=answer\n",
    );
    rig.receive(&answer);
    let (to, ack) = rig.sent().remove(0);
    assert_eq!(
        (to, ack.method(), ack.cseq()),
        (address("192.0.2.9:5098"), Method::Ack, 1)
    );
    assert!(matches!(
        rig.events().as_slice(),
        [Event::OfferAnswered { sdp: Some(_), .. }]
    ));
    rig.receive(&answer);
    assert_eq!(rig.one().bytes(), ack.bytes());
    assert!(rig.events().is_empty());
    rig.command(Command::End {
        session,
        reason: None,
    });
    assert_eq!(rig.one().cseq(), 2);
    rig.assert_ends();
}

#[test]
fn offers_that_meet_are_tried_again_and_theirs_goes_first() {
    let mut rig = Rig::new();
    let session = rig.dialled(|_| {});
    rig.command(Command::Offer {
        session,
        sdp: Bytes::from_static(OFFER),
    });
    let first = rig.one();
    rig.receive(&response(&first, 491, "", "", ""));
    assert_eq!(rig.one().method(), Method::Ack);
    rig.pass(Duration::from_millis(2_099));
    rig.sent_nothing();
    rig.pass(Duration::from_millis(2_000));
    let second = rig.one();
    assert_eq!((second.method(), second.cseq()), (Method::Invite, 3));
    rig.receive(&response(&second, 488, "", "", ""));
    rig.sent();
    assert!(matches!(
        rig.events().as_slice(),
        [Event::OfferRefused { code: 488, .. }]
    ));
    assert_eq!(rig.endpoint.census().sessions, 1);
}

#[test]
fn a_re_invite_that_the_far_side_does_not_know_ends_the_session() {
    let mut rig = Rig::new();
    let session = rig.dialled(|_| {});
    rig.command(Command::Offer {
        session,
        sdp: Bytes::from_static(OFFER),
    });
    let offer = rig.one();
    rig.receive(&response(&offer, 481, "", "", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::Lost,
            ..
        }]
    ));
    assert_eq!(rig.sent().last().unwrap().1.method(), Method::Bye);
    rig.assert_ends();
}
