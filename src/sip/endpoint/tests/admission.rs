//! What is refused, answered or dropped before it reaches anybody (RFC 3261 §8.2, §16.3, §18).

use super::*;

fn options(change: impl FnOnce(&mut String)) -> String {
    let mut text = "OPTIONS sip:192.0.2.1 SIP/2.0
Via: SIP/2.0/UDP 10.0.0.5:5066;branch=z9hG4bKoptions;rport
Max-Forwards: 70
From: <sip:anna@192.0.2.9>;tag=anna
To: <sip:192.0.2.1>
Call-ID: options
CSeq: 5 OPTIONS
"
    .to_owned();
    change(&mut text);
    text
}

fn refusal_of(text: &str) -> Message {
    let mut rig = Rig::new();
    rig.receive(text);
    let events = rig.events();
    assert!(events.is_empty(), "{events:?}");
    let response = rig.one();
    assert!(response.to_tag().is_some());
    response
}

#[test]
fn a_request_is_reported_and_the_reply_takes_the_way_back() {
    let mut rig = Rig::new();
    rig.receive(&options(|_| {}));
    let id = match rig.events().as_slice() {
        [Event::Request { id, message, .. }] => {
            assert_eq!(message.method(), Method::Options);
            *id
        }
        other => panic!("{other:?}"),
    };
    rig.receive(&options(|_| {}));
    rig.sent_nothing();
    assert!(rig.events().is_empty(), "a retransmission is not reported");
    rig.command(Command::Reply {
        id,
        code: 200,
        headers: vec![(Name::Subject, "x".to_owned())],
    });
    let (to, reply) = rig.sent().remove(0);
    assert_eq!(to, address(THEM));
    assert_eq!(reply.status(), 200);
    let via = reply.header(Name::Via).unwrap();
    assert!(
        via.contains("received=192.0.2.9") && via.contains("rport=5060"),
        "{via}"
    );
    for name in [
        Name::Allow,
        Name::Supported,
        Name::Accept,
        Name::Server,
        Name::Subject,
    ] {
        assert!(reply.header(name).is_some(), "{name:?}");
    }
    rig.receive(&options(|_| {}));
    assert_eq!(rig.one().bytes(), reply.bytes(), "the reply is repeated");
    rig.assert_ends();
}

#[test]
fn unknown_methods_get_405_and_what_is_allowed() {
    let refusal = refusal_of(&options(|text| {
        *text = text
            .replace("OPTIONS ", "DANCE ")
            .replace(" OPTIONS", " DANCE")
    }));
    assert_eq!(refusal.status(), 405);
    assert!(refusal.header(Name::Allow).unwrap().contains("INVITE"));
}

#[test]
fn other_schemes_get_416() {
    let text = INVITE.replace(
        "INVITE sip:74951000001@192.0.2.1",
        "INVITE mailto:a@b.example",
    );
    assert_eq!(refusal_of(&text).status(), 416);
}

#[test]
fn required_extensions_get_420() {
    let text = INVITE.replace(
        "Max-Forwards",
        "Require: precondition, timer, eventlist\nMax-Forwards",
    );
    let refusal = refusal_of(&text);
    assert_eq!(refusal.status(), 420);
    assert_eq!(
        refusal.header(Name::Unsupported),
        Some("precondition, eventlist")
    );
}

#[test]
fn other_bodies_get_415_unless_optional() {
    let text = INVITE.replace("application/sdp", "text/plain");
    let refusal = refusal_of(&text);
    assert_eq!(refusal.status(), 415);
    assert_eq!(refusal.header(Name::Accept), Some("application/sdp"));
    let mut rig = Rig::new();
    rig.receive(&text.replace(
        "Content-Type",
        "Content-Disposition: render;handling=optional\nContent-Type",
    ));
    assert_eq!(rig.one().status(), 100);
}

#[test]
fn spent_requests_get_483_but_options_is_answered() {
    let spent = |text: &str| text.replace("Max-Forwards: 70", "Max-Forwards: 0");
    assert_eq!(refusal_of(&spent(INVITE)).status(), 483);
    let mut rig = Rig::new();
    rig.receive(&spent(&options(|_| {})));
    assert_eq!(rig.events().len(), 1);
}

#[test]
fn requests_of_no_dialog_get_481_and_acks_nothing() {
    let stranger = INVITE.replace(
        "<sip:74951000001@192.0.2.1>\n",
        "<sip:74951000001@192.0.2.1>;tag=0123456789abcdef\n",
    );
    assert_eq!(refusal_of(&stranger).status(), 481);
    for method in ["BYE", "INFO", "UPDATE", "PRACK", "CANCEL"] {
        let text = options(|text| *text = text.replace("OPTIONS", method));
        assert_eq!(refusal_of(&text).status(), 481, "{method}");
    }
    let mut rig = Rig::new();
    rig.receive(&options(|text| *text = text.replace("OPTIONS", "ACK")));
    rig.sent_nothing();
    assert_eq!(rig.endpoint.drops().stray_acks, 1);
}

#[test]
fn copies_that_took_another_way_get_482() {
    let mut rig = Rig::new();
    rig.rung();
    rig.receive(&INVITE.replace("z9hG4bKinvite", "z9hG4bKother"));
    assert_eq!(rig.one().status(), 482);
    assert!(rig.events().is_empty());
}

#[test]
fn defects_are_answered_with_a_sentence() {
    let refusal = refusal_of(&INVITE.replace("CSeq: 1 INVITE", "CSeq: 1 BYE"));
    assert_eq!(refusal.status(), 400);
    assert!(
        refusal
            .header(Name::Warning)
            .unwrap()
            .starts_with("399 vats ")
    );
    assert_eq!(
        refusal_of(&INVITE.replace("SIP/2.0\nVia", "SIP/7.0\nVia")).status(),
        505
    );
}

#[test]
fn what_cannot_be_answered_is_dropped_and_counted() {
    let mut rig = Rig::new();
    rig.receive("hello there");
    rig.receive("SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK0123456789abcdef\nFrom: <sip:a@b>;tag=1\nTo: <sip:a@b>;tag=2\nCall-ID: x\nCSeq: 1 BYE\n");
    rig.receive(
        "SIP/2.0 200 OK\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK0123456789abcdef\nCall-ID: x\n",
    );
    rig.endpoint
        .handle_message(rig.now, flow_to(THEM), Bytes::from_static(b"\r\n\r\n"));
    rig.sent_nothing();
    let drops = rig.endpoint.drops();
    assert_eq!(
        (drops.unreadable, drops.stray_responses, drops.malformed),
        (1, 1, 1)
    );
}

#[test]
fn a_caller_without_a_from_tag_is_served() {
    let mut rig = Rig::new();
    rig.receive(&INVITE.replace(";tag=anna", ""));
    let session = match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    };
    rig.sent();
    rig.accept(session);
    let ok = rig.one();
    assert_eq!(ok.status(), 200);
    rig.receive(&ack(&ok).replace(";tag=anna", ""));
    rig.receive(&within(&ok, "BYE", 2, "", "").replace(";tag=anna", ""));
    assert_eq!(rig.one().status(), 200);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Acked { .. }, Event::Ended { .. }]
    ));
    rig.assert_ends();
}

#[test]
fn a_register_that_is_refused_leaves_nothing_behind() {
    let mut rig = Rig::new();
    let register = |number: u32| {
        options(|text| {
            *text = text
                .replace("OPTIONS", "REGISTER")
                .replace("z9hG4bKoptions", &format!("z9hG4bK{number}"))
                .replace("Call-ID: options", &format!("Call-ID: {number}"));
        })
    };
    let refused = [
        (483, register(1).replace("Forwards: 70", "Forwards: 0")),
        (420, register(2) + "Require: x\n"),
        (416, register(3).replace("REGISTER sip:", "REGISTER xyz:")),
    ];
    for (code, text) in refused {
        for _ in 0..2 {
            rig.receive(&text);
            assert_eq!(rig.one().status(), code);
        }
        assert_eq!(rig.endpoint.census(), Census::default());
    }
}
