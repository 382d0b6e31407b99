//! Timers, retransmissions and lingering (RFC 3261 §17, RFC 6026).

use super::*;

/// The times, in milliseconds from now, at which something is sent within `seconds`.
fn sending_times(rig: &mut Rig, seconds: u64) -> Vec<u64> {
    let start = rig.now.mono;
    let end = rig.now + Duration::from_secs(seconds);
    let mut times = Vec::new();
    while let Some(at) = rig.endpoint.poll_timeout().filter(|at| *at <= end.mono) {
        rig.now = rig.now + at.since(rig.now.mono);
        rig.endpoint.handle_timeout(rig.now);
        times.extend(rig.sent().iter().map(|_| rig.now.mono.millis_since(start)));
    }
    rig.now = end;
    times
}

#[test]
fn invite_is_resent_at_doubling_intervals_and_times_out() {
    let mut rig = Rig::new();
    rig.dial(|_| {});
    assert_eq!(sending_times(&mut rig, 31), [500, 1500, 3500, 7500, 15500]);
    assert!(rig.events().is_empty());
    assert_eq!(sending_times(&mut rig, 2), [500]);
    match rig.events().as_slice() {
        [
            Event::Refused {
                code: 408,
                responded: false,
                ..
            },
        ] => {}
        other => panic!("{other:?}"),
    }
    rig.assert_ends();
}

#[test]
fn other_requests_are_resent_up_to_every_four_seconds() {
    let mut rig = Rig::new();
    request(&mut rig, 3);
    assert_eq!(
        sending_times(&mut rig, 40),
        [
            500, 1500, 3500, 7500, 11500, 15500, 19500, 23500, 27500, 31500
        ]
    );
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Response {
            id: RequestId(3),
            code: 408,
            message: None
        }]
    ));
}

fn request(rig: &mut Rig, id: u64) -> Message {
    rig.command(Command::Request(Box::new(Request {
        id: RequestId(id),
        method: Method::Options,
        flow: flow_to(THEM),
        uri: "sip:192.0.2.9".to_owned(),
        from: "<sip:us@192.0.2.1>".to_owned(),
        to: "<sip:192.0.2.9>".to_owned(),
        call_id: None,
        cseq: 1,
        credentials: None,
        headers: Headers::new(),
    })));
    rig.one()
}

#[test]
fn a_refusal_is_acked_each_time_it_comes_and_reported_once() {
    let mut rig = Rig::new();
    let invite = rig.dial(|_| {});
    let busy = response(&invite, 486, "bob", "", "");
    rig.receive(&busy);
    let ack = rig.one();
    assert_eq!(ack.method(), Method::Ack);
    assert_eq!(ack.branch(), invite.branch());
    assert_eq!(ack.to_tag(), Some("bob"));
    assert!(ack.header(Name::Supported).is_none());
    rig.receive(&busy);
    assert_eq!(rig.one().bytes(), ack.bytes());
    assert_eq!(rig.events().len(), 1);
    rig.assert_ends();
}

#[test]
fn our_refusal_is_resent_until_its_ack() {
    let mut rig = Rig::new();
    let session = rig.rung();
    rig.command(Command::Reject {
        session,
        code: 486,
        headers: Headers::new(),
    });
    let busy = rig.one();
    assert_eq!(busy.status(), 486);
    assert_eq!(sending_times(&mut rig, 12), [500, 1500, 3500, 7500, 11500]);
    rig.receive(&ack(&busy).replace("z9hG4bKack1", "z9hG4bKinvite"));
    assert!(sending_times(&mut rig, 40).is_empty());
    rig.assert_ends();
}

#[test]
fn an_old_client_is_matched_without_a_cookie() {
    let mut rig = Rig::new();
    let old = INVITE.replace("z9hG4bKinvite", "1");
    rig.receive(&old);
    assert_eq!(rig.one().status(), 100);
    rig.receive(&old);
    assert_eq!(rig.one().status(), 100, "a retransmission");
    let session = match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    };
    rig.receive(
        old.replace("INVITE", "CANCEL")
            .split("Content-Type")
            .next()
            .unwrap(),
    );
    let sent = rig.sent();
    assert_eq!(
        sent.iter()
            .map(|(_, message)| message.status())
            .collect::<Vec<_>>(),
        [200, 487]
    );
    assert!(
        matches!(rig.events().as_slice(), [Event::Cancelled { session: ended }] if *ended == session)
    );
    let to = sent[1].1.header(Name::To).unwrap().to_owned();
    let ack = old
        .replace("INVITE sip", "ACK sip")
        .replace("1 INVITE", "1 ACK")
        .replace("To: <sip:74951000001@192.0.2.1>", &format!("To: {to}"));
    rig.receive(ack.split("Content-Type").next().unwrap());
    assert_eq!(rig.endpoint.drops().stray_acks, 0);
    assert!(
        sending_times(&mut rig, 40).is_empty(),
        "the ACK was matched"
    );
    rig.assert_ends();
}

#[test]
fn branches_of_other_senders_are_other_transactions() {
    let mut rig = Rig::new();
    rig.rung();
    rig.receive_from(
        "192.0.2.8:5060",
        &INVITE
            .replace("UDP 192.0.2.9", "UDP 192.0.2.8")
            .replace("Call-ID: incoming", "Call-ID: other"),
    );
    assert!(matches!(rig.events().as_slice(), [Event::Incoming { .. }]));
}

#[test]
fn a_closed_flow_fails_what_has_no_response_yet() {
    let mut rig = Rig::new();
    request(&mut rig, 1);
    let invite = rig.dial(|_| {});
    let proceeding = rig.dial(|invite| invite.session = SessionId(8));
    rig.receive(&response(&proceeding, 180, "x", "", ""));
    rig.events();
    rig.endpoint.handle_flow_closed(rig.now, flow_to(THEM));
    let events = rig.events();
    assert_eq!(events.len(), 2, "{events:?}");
    assert!(
        events
            .iter()
            .any(|event| matches!(event, Event::Response { code: 503, .. }))
    );
    assert!(events.iter().any(|event| matches!(
        event,
        Event::Refused {
            code: 503,
            responded: false,
            ..
        }
    )));
    rig.receive(&response(&invite, 200, "late", "", ""));
    assert_eq!(rig.endpoint.drops().stray_responses, 1);
}

#[test]
fn lingering_transactions_are_slim() {
    let mut rig = Rig::new();
    for round in 0..50u32 {
        let invite = rig.dial(|invite| invite.session = SessionId(u128::from(round)));
        rig.receive(&response(
            &invite,
            200,
            "bob",
            "Contact: <sip:bob@192.0.2.9>",
            "v=0\ns=answer\n",
        ));
        rig.sent();
        rig.command(Command::End {
            session: SessionId(u128::from(round)),
            reason: None,
        });
        let bye = rig.one();
        rig.receive(&response(&bye, 200, "", "", ""));
        rig.receive(
            &INVITE
                .replace("Call-ID: incoming", &format!("Call-ID: {round}"))
                .replace("invite;", &format!("{round};")),
        );
        rig.sent();
        rig.events();
    }
    let census = rig.endpoint.census();
    assert!(census.lingering >= 100, "{census:?}");
    let each = rig.endpoint.lingering_bytes() / census.lingering;
    assert!(each <= 1_100, "{each} bytes each");
}
