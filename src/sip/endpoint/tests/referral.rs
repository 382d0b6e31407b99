//! REFER within a session and its reports, theirs and ours (RFC 3515, RFC 4488, RFC 5057), and finding a dialog for Replaces (RFC 3891).

use super::*;

const TARGET: &str = "Refer-To: <sip:102@pbx.example>";

fn refer(ok: &Message, cseq: u32, more: &str) -> String {
    within(ok, "REFER", cseq, more, "")
}

/// An established session with a REFER that was taken; the first report is answered.
fn taken() -> (Rig, SessionId, Message) {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    rig.receive(&refer(&ok, 2, TARGET));
    assert!(matches!(rig.events().as_slice(), [Event::Refer { .. }]));
    rig.command(Command::AnswerRefer {
        session,
        code: 202,
        headers: Headers::new(),
    });
    let sent: Vec<Message> = rig.sent().into_iter().map(|(_, message)| message).collect();
    let [accepted, notify] = sent.as_slice() else {
        panic!("{sent:?}");
    };
    assert_eq!(accepted.status(), 202);
    assert!(accepted.header(Name::Contact).is_some());
    assert_eq!(told(notify), ("refer", "active;expires=300", 100));
    rig.receive(&response(notify, 200, "", "", ""));
    (rig, session, ok)
}

/// Event, Subscription-State and the status that a report tells.
fn told(notify: &Message) -> (&str, &str, u16) {
    assert_eq!(notify.method(), Method::Notify);
    let kind = notify.header(Name::ContentType).unwrap();
    assert!(kind.starts_with("message/sipfrag"), "{kind}");
    let body = notify.body();
    let code = String::from_utf8(body.to_vec()).unwrap();
    let code = code.strip_prefix("SIP/2.0 ").unwrap();
    let code = code.split(' ').next().unwrap().parse().unwrap();
    let header = |name| notify.header(name).unwrap();
    (header(Name::Event), header(Name::SubscriptionState), code)
}

fn notice(rig: &mut Rig, session: SessionId, code: u16) {
    rig.command(Command::ReferNotice {
        session,
        code,
        phrase: String::new(),
    });
}

#[test]
fn reports_go_on_until_a_final_one() {
    let (mut rig, session, ok) = taken();
    notice(&mut rig, session, 180);
    let ringing = rig.one();
    assert_eq!(told(&ringing).2, 180);
    rig.receive(&response(&ringing, 200, "", "", ""));
    notice(&mut rig, session, 180);
    rig.sent_nothing();
    rig.receive(&refer(&ok, 3, TARGET));
    assert_eq!(rig.one().status(), 491, "one at a time");
    notice(&mut rig, session, 486);
    let last = rig.one();
    assert_eq!(told(&last), ("refer", "terminated;reason=noresource", 486));
    rig.receive(&response(&last, 200, "", "", ""));
    notice(&mut rig, session, 200);
    rig.sent_nothing();
    // The next one has an id (RFC 3515 §2.4.6).
    rig.receive(&refer(&ok, 4, TARGET));
    rig.command(Command::AnswerRefer {
        session,
        code: 202,
        headers: Headers::new(),
    });
    let sent = rig.sent();
    assert_eq!(told(&sent[1].1).0, "refer;id=4");
    rig.receive(&response(&sent[1].1, 200, "", "", ""));
    rig.command(Command::End {
        session,
        reason: None,
    });
    let sent: Vec<Message> = rig.sent().into_iter().map(|(_, message)| message).collect();
    assert_eq!(told(&sent[0]).2, 487, "it ends with the session");
    assert_eq!(sent[1].method(), Method::Bye);
    rig.receive(&response(&sent[0], 200, "", "", ""));
    rig.receive(&response(&sent[1], 200, "", "", ""));
    rig.assert_ends();
}

#[test]
fn whoever_hangs_up_still_hears_the_end() {
    let (mut rig, session, ok) = taken();
    rig.receive(&within(&ok, "BYE", 3, "", ""));
    assert_eq!(rig.one().status(), 200);
    assert!(matches!(rig.events().as_slice(), [Event::Ended { .. }]));
    rig.receive(&within(&ok, "INVITE", 4, "", "v=0\ns=late\n"));
    assert_eq!(rig.one().status(), 481);
    notice(&mut rig, session, 200);
    let last = rig.one();
    assert_eq!(told(&last).2, 200);
    rig.receive(&response(&last, 200, "", "", ""));
    rig.assert_ends();

    let (mut rig, session, ok) = taken();
    rig.receive(&within(&ok, "BYE", 3, "", ""));
    rig.sent();
    notice(&mut rig, session, 180);
    let report = rig.one();
    // It is gone for good.
    rig.receive(&response(&report, 481, "", "", ""));
    rig.assert_ends();
}

#[test]
fn reports_do_not_go_on_for_ever() {
    let (mut rig, session, ok) = taken();
    rig.pass(Duration::from_secs(299));
    rig.sent_nothing();
    rig.pass(Duration::from_secs(2));
    let last = rig.sent().remove(0).1;
    assert_eq!(told(&last).1, "terminated;reason=timeout");
    rig.receive(&response(&last, 200, "", "", ""));
    notice(&mut rig, session, 200);
    rig.sent_nothing();
    rig.receive(&within(&ok, "BYE", 3, "", ""));
    rig.sent();
    rig.assert_ends();
}

#[test]
fn a_subscriber_renews_and_ends_them() {
    let (mut rig, session, ok) = taken();
    let subscribe = |cseq, event: &str, expires: u32| {
        let more = format!("Event: {event}\nExpires: {expires}");
        within(&ok, "SUBSCRIBE", cseq, &more, "")
    };
    rig.receive(&subscribe(3, "dialog", 60));
    assert_eq!(rig.one().status(), 489);
    rig.receive(&subscribe(4, "refer", 60));
    let sent = rig.sent();
    assert_eq!(sent[0].1.status(), 200);
    assert_eq!(told(&sent[1].1).1, "active;expires=60");
    rig.receive(&response(&sent[1].1, 200, "", "", ""));
    rig.receive(&subscribe(5, "refer", 0));
    let sent = rig.sent();
    assert_eq!(told(&sent[1].1).1, "terminated;reason=timeout");
    rig.receive(&response(&sent[1].1, 200, "", "", ""));
    notice(&mut rig, session, 200);
    rig.sent_nothing();
    rig.receive(&subscribe(6, "refer", 60));
    assert_eq!(rig.one().status(), 403);
}

#[test]
fn without_reports_and_refusals() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    let quiet = format!("{TARGET}\nRefer-Sub: false\nRequire: norefersub");
    rig.receive(&refer(&ok, 2, &quiet));
    rig.command(Command::AnswerRefer {
        session,
        code: 202,
        headers: Headers::new(),
    });
    let accepted = rig.one();
    assert_eq!(accepted.status(), 202);
    assert_eq!(accepted.header(Name::ReferSub), Some("false"));
    notice(&mut rig, session, 200);
    rig.sent_nothing();
    rig.receive(&refer(&ok, 3, ""));
    assert_eq!(rig.one().status(), 400);
    let two = format!("{TARGET}\n{TARGET}");
    rig.receive(&refer(&ok, 4, &two));
    assert_eq!(rig.one().status(), 400);
    rig.events();
    rig.receive(&refer(&ok, 5, TARGET));
    rig.command(Command::AnswerRefer {
        session,
        code: 403,
        headers: Headers::new(),
    });
    assert_eq!(rig.one().status(), 403);
    rig.receive(&within(&ok, "NOTIFY", 6, "Event: refer", ""));
    assert_eq!(rig.one().status(), 481, "nothing was asked of them");
    // Before the answer there is nobody to pass on.
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(Command::Progress {
        session,
        code: 180,
        sdp: None,
    });
    let ringing = rig.one();
    rig.receive(&refer(&ringing, 2, TARGET));
    assert_eq!(rig.one().status(), 491);
}

#[test]
fn our_refer_and_its_reports() {
    let mut rig = Rig::new();
    let session = rig.dialled(|_| {});
    rig.command(Command::Refer {
        session,
        to: "<sip:102@pbx.example>".to_owned(),
        headers: Headers::new(),
    });
    let refer = rig.one();
    assert_eq!(refer.method(), Method::Refer);
    assert_eq!(refer.header(Name::ReferTo), Some("<sip:102@pbx.example>"));
    rig.receive(&response(&refer, 202, "", "", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::ReferAnswered { code: 202, .. }]
    ));
    let report = |rig: &mut Rig, cseq: u32, state: &str, code: u16| {
        rig.receive(&format!(
            "NOTIFY sip:alice@192.0.2.1 SIP/2.0
            Via: SIP/2.0/UDP 192.0.2.9:5060;branch=z9hG4bKn{cseq}
            From: <sip:bob@192.0.2.9>;tag=bob
            To: {}
            Call-ID: a84b4c76e66710
            CSeq: {cseq} NOTIFY
            Event: refer
            Subscription-State: {state}
            Content-Type: message/sipfrag\n\nSIP/2.0 {code} X\n",
            refer.header(Name::From).unwrap(),
        ));
        rig.one().status()
    };
    assert_eq!(report(&mut rig, 1, "active;expires=60", 180), 200);
    assert_eq!(
        report(&mut rig, 2, "terminated;reason=noresource", 200),
        200
    );
    assert!(matches!(
        rig.events().as_slice(),
        [
            Event::ReferReport { code: 180, .. },
            Event::ReferReport { code: 200, .. }
        ]
    ));
    assert_eq!(report(&mut rig, 3, "active", 200), 481);
}

#[test]
fn a_dialog_is_found_by_its_name_whichever_side_writes_it() {
    let mut rig = Rig::new();
    let (session, ok) = rig.accepted();
    let ours = ok.to_tag().unwrap().to_owned();
    for (one, other) in [(&*ours, "anna"), ("anna", &*ours)] {
        let found = rig.endpoint.find_dialog("incoming", one, other).unwrap();
        assert_eq!(found.session, session);
        assert!(found.is_confirmed);
        assert!(!found.is_ours);
    }
    assert_eq!(rig.endpoint.find_dialog("other", &ours, "anna"), None);
    assert_eq!(rig.endpoint.find_dialog("incoming", &ours, "eve"), None);
    let named = rig.endpoint.dialog_of(session).unwrap();
    assert_eq!(
        (&*named.call_id, &*named.local_tag, &*named.remote_tag),
        ("incoming", &*ours, "anna")
    );
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    assert_eq!(
        rig.endpoint.dialog_of(SESSION),
        None,
        "no tag of theirs yet"
    );
    rig.receive(&response(&invite, 180, "bob", "", ""));
    let found = rig
        .endpoint
        .find_dialog("a84b4c76e66710", "bob", invite.from_tag())
        .unwrap();
    assert!(found.is_ours && !found.is_confirmed);
}
