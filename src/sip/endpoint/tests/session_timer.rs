//! Session timers (RFC 4028): both refreshers, both edges, and what happens when nobody refreshes.

use super::command::Usage;
use super::*;

const TIMED: Usage = Usage {
    session_expires: Some(1800),
    min_se: 0,
    reliable: false,
};

/// An established outgoing session whose 200 says `more`.
fn dialled(rig: &mut Rig, more: &str) -> Message {
    let invite = rig.dial(|invite| invite.usage = TIMED);
    assert_eq!(invite.header(Name::SessionExpires), Some("1800"));
    assert!(invite.header(Name::Supported).unwrap().contains("timer"));
    let more = format!("Contact: <sip:bob@192.0.2.9>\n{more}");
    rig.receive(&response(&invite, 200, "bob", &more, "v=0\ns=answer\n"));
    rig.sent();
    rig.events();
    invite
}

/// An established incoming session whose INVITE says `more`; gives its 200.
fn accepted(rig: &mut Rig, usage: Usage, more: &str) -> (SessionId, Message) {
    rig.receive(&INVITE.replace("CSeq", &format!("{more}CSeq")));
    rig.sent();
    let session = match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    };
    rig.command(Command::Use { session, usage });
    rig.accept(session);
    let ok = rig.one();
    rig.receive(&ack(&ok));
    rig.events();
    (session, ok)
}

fn methods(rig: &mut Rig) -> Vec<Method> {
    rig.sent()
        .iter()
        .map(|(_, message)| message.method())
        .collect()
}

fn expired(rig: &mut Rig) {
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Ended {
            how: event::Ended::Expired,
            ..
        }]
    ));
    let bye = rig.one();
    assert_eq!(bye.method(), Method::Bye);
    assert!(bye.header(Name::Reason).unwrap().contains("expired"));
}

#[test]
fn we_refresh_by_update_where_the_far_side_takes_it() {
    let mut rig = Rig::new();
    dialled(
        &mut rig,
        "Allow: INVITE, UPDATE\nRequire: timer\nSession-Expires: 1800;refresher=uac",
    );
    for _ in 0..20 {
        rig.pass(Duration::from_secs(899));
        rig.sent_nothing();
        rig.pass(Duration::from_secs(1));
        let update = rig.one();
        assert_eq!(update.method(), Method::Update);
        assert!(update.body().is_empty());
        assert_eq!(
            update.header(Name::SessionExpires),
            Some("1800;refresher=uac")
        );
        rig.receive(&response(
            &update,
            200,
            "",
            "Session-Expires: 1800;refresher=uac",
            "",
        ));
        rig.sent_nothing();
    }
    assert!(rig.events().is_empty());
}

#[test]
fn we_refresh_by_a_re_invite_that_says_nothing_new_where_update_is_unknown() {
    for allow in ["", "Allow: INVITE, ACK, BYE\n"] {
        let mut rig = Rig::new();
        dialled(
            &mut rig,
            &format!("{allow}Session-Expires: 180;refresher=uac"),
        );
        rig.pass(Duration::from_secs(90));
        let again = rig.one();
        assert_eq!(again.method(), Method::Invite);
        assert_eq!(&again.body()[..], OFFER);
        rig.receive(&response(
            &again,
            200,
            "",
            "Contact: <sip:bob@192.0.2.9>\nSession-Expires: 180;refresher=uac",
            "v=0\ns=answer\n",
        ));
        assert_eq!(methods(&mut rig), [Method::Ack]);
        assert!(matches!(
            rig.events().as_slice(),
            [Event::OfferAnswered { .. }]
        ));
        rig.pass(Duration::from_secs(90));
        assert_eq!(methods(&mut rig), [Method::Invite]);
    }
}

#[test]
fn an_update_that_is_refused_after_all_becomes_a_re_invite() {
    let mut rig = Rig::new();
    dialled(
        &mut rig,
        "Allow: UPDATE\nSession-Expires: 180;refresher=uac",
    );
    rig.pass(Duration::from_secs(90));
    let update = rig.one();
    rig.receive(&response(&update, 405, "", "", ""));
    assert_eq!(methods(&mut rig), [Method::Invite]);
}

#[test]
fn a_far_side_that_refreshes_keeps_the_session_and_one_that_stops_loses_it() {
    let mut rig = Rig::new();
    let (_, ok) = accepted(
        &mut rig,
        TIMED,
        "Supported: timer\nSession-Expires: 1800;refresher=uac\n",
    );
    assert_eq!(
        (ok.header(Name::SessionExpires), ok.header(Name::Require)),
        (Some("1800;refresher=uac"), Some("timer"))
    );
    // Four hours, by UPDATE and by re-INVITE in turn.
    for turn in 0..16 {
        rig.pass(Duration::from_secs(900));
        rig.sent_nothing();
        let more = "Supported: timer\nSession-Expires: 1800;refresher=uac";
        if turn % 2 == 0 {
            rig.receive(&within(&ok, "UPDATE", 2 + turn, more, ""));
            let answer = rig.one();
            assert_eq!(answer.status(), 200);
            assert_eq!(
                answer.header(Name::SessionExpires),
                Some("1800;refresher=uac")
            );
            continue;
        }
        rig.receive(&within(&ok, "INVITE", 2 + turn, more, "v=0\ns=same\n"));
        let session = match rig.events().as_slice() {
            [Event::Offer { session, .. }] => *session,
            other => panic!("{other:?}"),
        };
        rig.command(Command::AnswerOffer {
            session,
            sdp: Bytes::from_static(ANSWER),
        });
        let answer = rig.sent().pop().unwrap().1;
        assert_eq!(
            answer.header(Name::SessionExpires),
            Some("1800;refresher=uac")
        );
        rig.receive(&ack(&answer));
        rig.events();
    }
    rig.pass(Duration::from_secs(1767));
    rig.sent_nothing();
    rig.pass(Duration::from_secs(1));
    expired(&mut rig);
    rig.assert_ends();
}

#[test]
fn a_caller_without_timers_is_asked_whether_it_is_there() {
    let mut rig = Rig::new();
    let (_, ok) = accepted(&mut rig, TIMED, "");
    assert_eq!(ok.header(Name::SessionExpires), None);
    for _ in 0..16 {
        rig.pass(Duration::from_secs(900));
        let options = rig.one();
        assert_eq!(options.method(), Method::Options);
        rig.receive(&response(&options, 200, "", "", ""));
        assert!(matches!(
            rig.events().as_slice(),
            [Event::Probed { alive: true, .. }]
        ));
    }
    rig.pass(Duration::from_secs(933));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Probed { alive: false, .. }]
    ));
}

#[test]
fn with_timers_off_nothing_is_sent_for_hours() {
    let mut rig = Rig::new();
    let (_, ok) = accepted(&mut rig, Usage::default(), "Supported: timer\n");
    assert_eq!(ok.header(Name::SessionExpires), None);
    rig.pass(Duration::from_secs(4 * 3600));
    rig.sent_nothing();
    assert!(rig.events().is_empty());
}

#[test]
fn a_refresh_without_an_answer_ends_the_session() {
    for code in [0, 408, 481] {
        let mut rig = Rig::new();
        dialled(
            &mut rig,
            "Allow: UPDATE\nSession-Expires: 180;refresher=uac",
        );
        rig.pass(Duration::from_secs(90));
        let update = rig.one();
        match code {
            0 => rig.pass(Duration::from_secs(33)),
            code => rig.receive(&response(&update, code, "", "", "")),
        }
        assert!(matches!(
            rig.events().as_slice(),
            [Event::Ended {
                how: event::Ended::Lost,
                ..
            }]
        ));
        assert_eq!(methods(&mut rig).last(), Some(&Method::Bye));
        rig.assert_ends();
    }
}

#[test]
fn an_update_that_is_not_taken_without_sdp_becomes_a_re_invite_for_good() {
    for code in [400, 403, 415, 488, 500, 603] {
        let mut rig = Rig::new();
        let terms = "Allow: UPDATE\nSession-Expires: 180;refresher=uac";
        dialled(&mut rig, terms);
        rig.pass(Duration::from_secs(90));
        let update = rig.one();
        assert_eq!(update.method(), Method::Update);
        rig.receive(&response(&update, code, "", "", ""));
        rig.sent_nothing();
        rig.pass(Duration::from_secs(4));
        for _ in 0..3 {
            let again = rig.sent().remove(0).1;
            assert_eq!(again.method(), Method::Invite, "{code}");
            let more = format!("Contact: <sip:bob@192.0.2.9>\n{terms}");
            rig.receive(&response(&again, 200, "", &more, "v=0\ns=answer\n"));
            rig.sent();
            rig.events();
            rig.pass(Duration::from_secs(90));
        }
    }
}

#[test]
fn a_far_side_that_takes_no_refresh_is_asked_less_and_less_often() {
    let mut rig = Rig::new();
    let terms = "Allow: UPDATE\nSession-Expires: 1800;refresher=uac";
    dialled(&mut rig, terms);
    let mut tries = 0;
    let ended = loop {
        rig.pass(Duration::from_secs(1));
        for (_, message) in rig.sent() {
            if matches!(message.method(), Method::Update | Method::Invite) {
                tries += 1;
                rig.receive(&response(&message, 488, "", "", ""));
            }
        }
        if let Some(event) = rig.events().pop() {
            break event;
        }
    };
    assert!((8..=20).contains(&tries), "{tries}");
    let how = event::Ended::Expired;
    assert!(matches!(ended, Event::Ended { how: told, .. } if told == how));
}

#[test]
fn a_refresh_that_meets_trouble_is_tried_again() {
    let mut rig = Rig::new();
    dialled(
        &mut rig,
        "Allow: UPDATE\nSession-Expires: 180;refresher=uac",
    );
    rig.pass(Duration::from_secs(90));
    let update = rig.one();
    rig.receive(&response(&update, 503, "", "Retry-After: 2", ""));
    rig.pass(Duration::from_secs(4));
    let update = rig.sent().remove(0).1;
    assert_eq!(update.method(), Method::Update);
    rig.receive(&response(
        &update,
        200,
        "",
        "Session-Expires: 180;refresher=uac",
        "",
    ));
    rig.pass(Duration::from_secs(86));
    rig.sent_nothing();
}

#[test]
fn too_small_an_interval_is_refused_within_the_dialog_and_obeyed_outside() {
    let mut rig = Rig::new();
    let (_, ok) = accepted(&mut rig, TIMED, "");
    rig.receive(&within(
        &ok,
        "UPDATE",
        2,
        "Supported: timer\nSession-Expires: 60",
        "",
    ));
    let refusal = rig.one();
    assert_eq!(
        (refusal.status(), refusal.header(Name::MinSe)),
        (422, Some("90"))
    );
    let mut rig = Rig::new();
    let first = rig.dial(|invite| invite.usage = TIMED);
    rig.receive(&response(&first, 422, "x", "Min-SE: 3600", ""));
    let sent = rig.sent();
    let second = &sent.last().unwrap().1;
    assert_eq!(
        (
            second.method(),
            second.cseq(),
            second.header(Name::SessionExpires),
            second.header(Name::MinSe),
            second.call_id(),
        ),
        (
            Method::Invite,
            2,
            Some("3600"),
            Some("3600"),
            first.call_id()
        )
    );
    rig.receive(&response(second, 422, "x", "Min-SE: 3600", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused { code: 422, .. }]
    ));
}

#[test]
fn a_422_to_a_refresh_is_obeyed() {
    let mut rig = Rig::new();
    dialled(
        &mut rig,
        "Allow: UPDATE\nSession-Expires: 180;refresher=uac",
    );
    rig.pass(Duration::from_secs(90));
    let update = rig.one();
    rig.receive(&response(&update, 422, "", "Min-SE: 600", ""));
    let update = rig.one();
    assert_eq!(
        (
            update.header(Name::SessionExpires),
            update.header(Name::MinSe)
        ),
        (Some("600;refresher=uac"), Some("600"))
    );
}

#[test]
fn a_refresh_waits_while_another_offer_is_open() {
    let mut rig = Rig::new();
    let (session, ok) = accepted(
        &mut rig,
        TIMED,
        "Supported: timer\nSession-Expires: 180;refresher=uas\n",
    );
    rig.pass(Duration::from_secs(89));
    rig.receive(&within(&ok, "INVITE", 2, "", "v=0\ns=theirs\n"));
    rig.sent();
    rig.pass(Duration::from_secs(2));
    rig.sent_nothing();
    rig.command(Command::AnswerOffer {
        session,
        sdp: Bytes::from_static(ANSWER),
    });
    let answer = rig.one();
    rig.receive(&ack(&answer));
    rig.events();
    // Their re-INVITE, which said nothing of timers, turned them off: what waited is sent all the same, which does no harm.
    rig.pass(Duration::from_secs(5));
    let sent = methods(&mut rig);
    assert!(!sent.is_empty(), "and resent, as nobody answers");
    assert!(sent.iter().all(|method| *method == Method::Invite));
}
