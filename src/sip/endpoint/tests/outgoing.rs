//! Our INVITE: early dialogs, several 2xx, CANCEL, giving up (RFC 3261 §13.2, §9.1).

use super::*;

const CONTACT: &str = "Contact: <sip:bob@192.0.2.9:5070>";

fn answered(events: &[Event]) -> bool {
    match events {
        [Event::Answered { sdp, late, .. }] => {
            assert_eq!(sdp.as_deref(), Some(&b"v=0\r\ns=answer\r\n"[..]));
            *late
        }
        other => panic!("{other:?}"),
    }
}

fn end(rig: &mut Rig) {
    rig.command(Command::End {
        session: SESSION,
        reason: Some("SIP;cause=200;text=\"Call completed elsewhere\"".to_owned()),
    });
}

#[test]
fn the_invite_carries_what_was_asked_for() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    assert_eq!(invite.request_uri(), "sip:bob@192.0.2.9");
    assert_eq!(
        invite.header(Name::Contact),
        Some("<sip:alice@192.0.2.1:5060>")
    );
    assert_eq!(invite.header(Name::MaxForwards), Some("69"));
    assert_eq!(invite.header(Name::Subject), Some("Sofas"));
    assert_eq!(invite.other_header("x-vats-call"), Some("1"));
    assert!(invite.header(Name::Via).unwrap().contains(";rport;"));
    for name in [Name::Allow, Name::Supported, Name::UserAgent] {
        assert!(invite.header(name).is_some(), "{name:?}");
    }
    assert_eq!(invite.body_of("application/sdp").as_deref(), Some(OFFER));
    assert_eq!(invite.defect(), None);
}

#[test]
fn progress_is_reported_per_early_dialog_and_not_twice() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    rig.receive(&response(&invite, 100, "", "", ""));
    let ringing = response(&invite, 180, "one", CONTACT, "");
    rig.receive(&ringing);
    rig.receive(&ringing);
    rig.receive(&response(&invite, 183, "two", CONTACT, "v=0\ns=early\n"));
    let events = rig.events();
    let heard: Vec<_> = events
        .iter()
        .map(|event| match event {
            Event::Progress {
                dialog, code, sdp, ..
            } => (dialog.as_str(), *code, sdp.is_some()),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(heard, [("one", 180, false), ("two", 183, true)]);
    assert_eq!(rig.endpoint.census().dialogs, 2);
    rig.receive(&response(&invite, 199, "two", "", ""));
    assert!(rig.events().is_empty());
    assert_eq!(rig.endpoint.census().dialogs, 1);
    rig.pass(Duration::from_secs(100));
    rig.sent_nothing();
}

#[test]
fn a_2xx_is_reported_once_and_acked_each_time_it_comes() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    let ok = response(&invite, 200, "bob", CONTACT, "v=0\ns=answer\n");
    rig.receive(&ok);
    assert!(!answered(&rig.events()));
    let (to, ack) = rig.sent().remove(0);
    assert_eq!(to, address("192.0.2.9:5070"));
    assert_eq!((ack.method(), ack.cseq()), (Method::Ack, invite.cseq()));
    assert_eq!(ack.request_uri(), "sip:bob@192.0.2.9:5070");
    assert_ne!(ack.branch(), invite.branch());
    assert!(ack.header(Name::Supported).is_none());
    rig.receive(&ok);
    assert_eq!(rig.one().bytes(), ack.bytes());
    assert!(rig.events().is_empty());
    end(&mut rig);
    let bye = rig.one();
    assert_eq!((bye.method(), bye.cseq()), (Method::Bye, 2));
    assert!(
        bye.header(Name::Reason)
            .unwrap()
            .contains("completed elsewhere")
    );
    rig.receive(&response(&bye, 481, "", "", ""));
    assert_eq!(rig.endpoint.census().sessions, 0);
    rig.receive(&ok);
    assert_eq!(
        rig.one().bytes(),
        ack.bytes(),
        "even when the session is gone"
    );
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn the_first_2xx_wins_and_others_are_acked_and_ended() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    rig.receive(&response(&invite, 180, "two", CONTACT, ""));
    rig.receive(&response(&invite, 200, "one", CONTACT, "v=0\ns=answer\n"));
    rig.sent();
    assert_eq!(rig.events().len(), 2);
    let second = response(
        &invite,
        200,
        "two",
        "Contact: <sip:second@192.0.2.10>",
        "v=0\ns=answer\n",
    );
    rig.receive(&second);
    let sent = rig.sent();
    let methods: Vec<_> = sent
        .iter()
        .map(|(to, message)| (to.to_string(), message.method(), message.to_tag()))
        .collect();
    assert_eq!(
        methods,
        [
            ("192.0.2.10:5060".to_owned(), Method::Ack, Some("two")),
            ("192.0.2.10:5060".to_owned(), Method::Bye, Some("two"))
        ]
    );
    rig.receive(&second);
    assert_eq!(rig.one().method(), Method::Ack);
    rig.receive(&response(&sent[1].1, 200, "", "", ""));
    assert!(rig.events().is_empty());
    assert_eq!(rig.endpoint.census().sessions, 1);
    end(&mut rig);
    rig.assert_ends();
    assert!(rig.events().is_empty());
}

#[test]
fn a_2xx_that_comes_after_the_session_is_acked_and_ended_too() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    rig.receive(&response(&invite, 200, "one", CONTACT, "v=0\ns=answer\n"));
    rig.sent();
    end(&mut rig);
    let bye = rig.one();
    rig.receive(&response(&bye, 200, "", "", ""));
    rig.events();
    rig.receive(&response(&invite, 200, "two", CONTACT, "v=0\ns=answer\n"));
    assert_eq!(rig.sent().len(), 2);
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn cancel_is_held_until_a_provisional_response() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    end(&mut rig);
    rig.sent_nothing();
    rig.receive(&response(&invite, 100, "", "", ""));
    let cancel = rig.one();
    assert_eq!(cancel.method(), Method::Cancel);
    assert_eq!(cancel.branch(), invite.branch());
    assert_eq!(cancel.header(Name::Via), invite.header(Name::Via));
    assert_eq!((cancel.cseq(), cancel.to_tag()), (1, None));
    assert!(
        cancel
            .header(Name::Reason)
            .unwrap()
            .starts_with("SIP;cause=200")
    );
    assert!(cancel.header(Name::Supported).is_none());
    end(&mut rig);
    rig.sent_nothing();
    rig.receive(&response(&cancel, 200, "bob", "", ""));
    rig.receive(&response(&invite, 487, "bob", "", ""));
    assert_eq!(rig.one().method(), Method::Ack);
    assert!(rig.events().is_empty(), "nothing is reported after End");
    assert_eq!(rig.endpoint.census().sessions, 0);
    rig.assert_ends();
}

#[test]
fn a_cancel_without_effect_drops_the_session_in_the_end() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    rig.receive(&response(&invite, 180, "bob", "", ""));
    end(&mut rig);
    let cancel = rig.one();
    rig.receive(&response(&cancel, 200, "bob", "", ""));
    rig.events();
    rig.pass(Duration::from_secs(31));
    assert_eq!(rig.endpoint.census().sessions, 1);
    rig.pass(Duration::from_secs(2));
    assert_eq!(rig.endpoint.census().sessions, 0);
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn a_2xx_that_crosses_cancel_is_the_users_choice() {
    for keep in [true, false] {
        let mut rig = Rig::new();
        let invite = rig.dial(|_| {});
        rig.receive(&response(&invite, 180, "bob", CONTACT, ""));
        rig.events();
        end(&mut rig);
        rig.receive(&response(&invite, 200, "bob", CONTACT, "v=0\ns=answer\n"));
        assert!(answered(&rig.events()));
        let sent = rig.sent();
        assert_eq!(
            sent.iter()
                .map(|(_, message)| message.method())
                .collect::<Vec<_>>(),
            [Method::Cancel, Method::Ack]
        );
        if keep {
            rig.command(Command::Keep { session: SESSION });
            rig.pass(Duration::from_secs(100));
            let sent = rig.sent();
            assert!(
                sent.iter()
                    .all(|(_, message)| message.method() == Method::Cancel),
                "{sent:?}"
            );
            assert_eq!(rig.endpoint.census().sessions, 1);
            end(&mut rig);
        } else {
            end(&mut rig);
        }
        assert_eq!(rig.one().method(), Method::Bye);
        rig.assert_ends();
        assert!(rig.events().is_empty());
    }
}

#[test]
fn nobody_who_decides_on_a_late_2xx_means_bye() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    rig.receive(&response(&invite, 180, "bob", CONTACT, ""));
    end(&mut rig);
    rig.receive(&response(&invite, 200, "bob", CONTACT, "v=0\ns=answer\n"));
    rig.events();
    rig.assert_ends();
}

#[test]
fn giving_up_early_is_a_timeout_and_late_answers_are_ended() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.give_up_after = Some(Duration::from_secs(3)));
    rig.pass(Duration::from_secs(3));
    match rig.events().as_slice() {
        [
            Event::Refused {
                code: 408,
                responded: false,
                message: None,
                ..
            },
        ] => {}
        other => panic!("{other:?}"),
    }
    rig.sent();
    rig.pass(Duration::from_secs(5));
    rig.sent_nothing();
    rig.receive(&response(&invite, 200, "bob", CONTACT, "v=0\ns=answer\n"));
    let sent = rig.sent();
    assert_eq!(
        sent.iter()
            .map(|(_, message)| message.method())
            .collect::<Vec<_>>(),
        [Method::Ack, Method::Bye]
    );
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn a_phone_that_begins_to_ring_after_we_gave_up_is_cancelled() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.give_up_after = Some(Duration::from_secs(3)));
    rig.pass(Duration::from_secs(4));
    rig.sent();
    rig.events();
    rig.receive(&response(&invite, 180, "bob", CONTACT, ""));
    assert_eq!(rig.one().method(), Method::Cancel);
    assert!(rig.events().is_empty());
    rig.assert_ends();
}

#[test]
fn any_response_in_time_keeps_the_invite() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.give_up_after = Some(Duration::from_secs(3)));
    rig.receive(&response(&invite, 100, "", "", ""));
    rig.pass(Duration::from_secs(60));
    assert!(rig.events().is_empty());
    rig.receive(&response(&invite, 480, "bob", "", ""));
    match rig.events().as_slice() {
        [
            Event::Refused {
                code: 480,
                reason,
                responded: true,
                message: Some(_),
                ..
            },
        ] => assert_eq!(reason, "Whatever"),
        other => panic!("{other:?}"),
    }
    rig.assert_ends();
}

#[test]
fn a_flood_of_2xx_is_bounded() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    for branch in 0..1_000 {
        rig.receive(&response(&invite, 180, &format!("e{branch}"), CONTACT, ""));
    }
    for branch in 0..1_000 {
        rig.receive(&response(
            &invite,
            200,
            &format!("t{branch}"),
            CONTACT,
            "v=0\ns=answer\n",
        ));
    }
    let census = rig.endpoint.census();
    assert!(census.sessions <= 16 && census.dialogs <= 16, "{census:?}");
    end(&mut rig);
    rig.assert_ends();
}
