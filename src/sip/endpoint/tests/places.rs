//! An INVITE that may go to several places (RFC 3263 §4.3).

use super::super::command::Hop;
use super::super::event::HopFailure;
use super::*;

const SECOND: &str = "192.0.2.10:5060";
const THIRD: &str = "192.0.2.11:5060";
const CONTACT: &str = "Contact: <sip:bob@192.0.2.10>";

fn hop(remote: &str) -> Hop {
    Hop {
        flow: flow_to(remote),
        uri: format!("sip:bob@{remote}"),
        large: None,
    }
}

/// Sends an INVITE that may go to three places and is given up after 3 s; 30 s for all.
fn dial_any(rig: &mut Rig, change: impl FnOnce(&mut Invite)) -> Message {
    let mut invite = outgoing_invite();
    invite.give_up_after = Some(Duration::from_secs(3));
    change(&mut invite);
    rig.command(Command::InviteAny {
        invite: Box::new(invite),
        others: vec![hop(SECOND), hop(THIRD)],
        search: Duration::from_secs(30),
        large: None,
    });
    rig.one()
}

/// RFC 3261 §18.1.1: a request over 1300 bytes goes by a stream to whom offers one, and to nobody else.
#[test]
fn a_large_invite_goes_by_the_stream_that_is_offered() {
    let tcp = Flow {
        transport: Transport::Tcp,
        ..flow_to(SECOND)
    };
    for (size, large, transport) in [
        (500, Some(tcp), Transport::Udp),
        (1_500, Some(tcp), Transport::Tcp),
        (1_500, None, Transport::Udp),
    ] {
        let mut rig = Rig::new();
        let mut invite = outgoing_invite();
        invite.sdp = Bytes::from(vec![b'a'; size]);
        rig.command(Command::InviteAny {
            invite: Box::new(invite),
            others: Vec::new(),
            search: Duration::from_secs(30),
            large,
        });
        let transmit = rig.endpoint.poll_transmit().unwrap();
        assert_eq!(transmit.flow.transport, transport, "{size}");
        let message = Message::parse(transmit.bytes).unwrap();
        let via = message.header(Name::Via).unwrap();
        let named = format!("SIP/2.0/{} ", transport.in_via());
        assert!(via.starts_with(&named), "{via}");
    }
}

fn by(transport: Transport, remote: &str) -> Flow {
    Flow {
        transport,
        ..flow_to(remote)
    }
}

/// The transport of the next message that is sent, and the message.
fn next(rig: &mut Rig) -> (Transport, Message) {
    let transmit = rig.endpoint.poll_transmit().unwrap();
    let message = Message::parse(transmit.bytes).unwrap();
    let via = message.header(Name::Via).unwrap();
    let named = format!("SIP/2.0/{} ", transmit.flow.transport.in_via());
    assert!(via.starts_with(&named), "{via}");
    (transmit.flow.transport, message)
}

/// The same within the dialog, unless the far side's Contact names a transport or another address.
#[test]
fn large_requests_within_a_dialog_take_the_stream_that_the_peer_offers() {
    let tcp = by(Transport::Tcp, THEM);
    for (contact, size, transport) in [
        ("192.0.2.9", 1_500, Transport::Tcp),
        ("192.0.2.9:5060", 1_500, Transport::Tcp),
        ("192.0.2.9", 100, Transport::Udp),
        ("192.0.2.9;transport=udp", 1_500, Transport::Udp),
        ("192.0.2.77", 1_500, Transport::Udp),
    ] {
        let mut rig = Rig::new();
        let invite = Box::new(outgoing_invite());
        rig.command(Command::InviteAny {
            invite,
            others: Vec::new(),
            search: Duration::from_secs(30),
            large: Some(tcp),
        });
        let (first, invite) = next(&mut rig);
        assert_eq!(first, Transport::Udp);
        let contact = format!("Contact: <sip:bob@{contact}>");
        rig.receive(&response(&invite, 200, "bob", &contact, "v=0\n"));
        assert_eq!(next(&mut rig).0, Transport::Udp);
        rig.command(Command::Offer {
            session: SESSION,
            sdp: Bytes::from(vec![b'a'; size]),
        });
        assert_eq!(next(&mut rig).0, transport, "{contact} {size}");
        rig.events();
    }
}

#[test]
fn large_requests_to_a_caller_take_the_stream_that_his_trunk_offers() {
    let mut rig = Rig::new();
    let (session, _) = rig.accepted();
    rig.command(Command::OffersStream {
        session,
        large: by(Transport::Tcp, THEM),
    });
    rig.command(Command::Offer {
        session,
        sdp: Bytes::from(vec![b'a'; 1_500]),
    });
    assert_eq!(next(&mut rig).0, Transport::Tcp);
}

#[test]
fn a_large_register_takes_the_stream_that_the_registrar_offers() {
    for (size, transport) in [(1_500, Transport::Tcp), (10, Transport::Udp)] {
        let mut rig = Rig::new();
        let request = Box::new(Request {
            id: RequestId(1),
            method: Method::Register,
            flow: flow_to(THEM),
            uri: "sip:192.0.2.9".to_owned(),
            from: "<sip:shop@192.0.2.9>".to_owned(),
            to: "<sip:shop@192.0.2.9>".to_owned(),
            call_id: None,
            cseq: 1,
            credentials: None,
            headers: vec![(Name::Subject, "a".repeat(size))],
        });
        let large = Some(by(Transport::Tcp, THEM));
        rig.command(Command::RequestBy { request, large });
        assert_eq!(next(&mut rig).0, transport);
    }
}

/// Lets time pass; the INVITEs that went to another place than `old`.
fn pass_to(rig: &mut Rig, seconds: u64, old: &str) -> Vec<(SocketAddr, Message)> {
    rig.pass(Duration::from_secs(seconds));
    let mut sent = rig.sent();
    sent.retain(|(to, message)| *to != address(old) && message.method() == Method::Invite);
    sent
}

fn tried(events: Vec<Event>) -> Vec<(SocketAddr, Option<u16>)> {
    events
        .into_iter()
        .filter_map(|event| match event {
            Event::HopTried { flow, failed, .. } => {
                Some((flow.remote, failed.map(|failed| failed.code)))
            }
            _ => None,
        })
        .collect()
}

#[test]
fn silence_leads_on_and_the_late_one_is_cancelled() {
    let mut rig = Rig::new();
    let first = dial_any(&mut rig, |_| {});
    let sent = pass_to(&mut rig, 3, THEM);
    let (to, second) = &sent[0];
    assert_eq!(*to, address(SECOND));
    assert_eq!(second.request_uri(), format!("sip:bob@{SECOND}"));
    let same = |message: &Message| (message.call_id().to_owned(), message.cseq());
    assert_eq!(same(second), same(&first));
    assert_ne!(second.branch(), first.branch());
    assert_eq!(tried(rig.events()), [(address(THEM), Some(408))]);
    rig.receive_from(SECOND, &response(second, 180, "bob", CONTACT, ""));
    assert_eq!(tried(rig.events()), [(address(SECOND), None)]);
    // The first one wakes up: it is cancelled, once, and its 487 acknowledged.
    rig.receive(&response(&first, 180, "late", "", ""));
    let cancel = rig.one();
    assert_eq!(
        (cancel.method(), cancel.branch()),
        (Method::Cancel, first.branch())
    );
    rig.receive(&response(&cancel, 200, "late", "", ""));
    rig.receive(&response(&first, 183, "late", "", ""));
    rig.sent_nothing();
    rig.receive(&response(&first, 487, "late", "", ""));
    assert_eq!(rig.one().method(), Method::Ack);
    assert!(rig.events().is_empty());
    rig.receive_from(
        SECOND,
        &response(second, 200, "bob", CONTACT, "v=0\ns=answer\n"),
    );
    assert_eq!(rig.one().method(), Method::Ack);
    assert!(matches!(
        rig.events()[..],
        [Event::Answered { late: false, .. }]
    ));
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    let bye = rig.one();
    rig.receive_from(SECOND, &response(&bye, 200, "", "", ""));
    rig.assert_ends();
}

#[test]
fn a_late_200_is_acknowledged_and_ended() {
    let mut rig = Rig::new();
    let first = dial_any(&mut rig, |_| {});
    let second = pass_to(&mut rig, 3, THEM).remove(0).1;
    rig.receive_from(SECOND, &response(&second, 180, "bob", CONTACT, ""));
    rig.events();
    rig.receive(&response(
        &first,
        200,
        "late",
        "Contact: <sip:l@192.0.2.9>",
        "v=0\ns=answer\n",
    ));
    let sent = rig.sent();
    let methods: Vec<Method> = sent.iter().map(|(_, message)| message.method()).collect();
    assert_eq!(methods, [Method::Ack, Method::Bye]);
    assert!(rig.events().is_empty());
}

#[test]
fn a_503_leads_on_at_once_and_its_retry_after_is_told() {
    let mut rig = Rig::new();
    let first = dial_any(&mut rig, |_| {});
    rig.receive(&response(&first, 503, "x", "Retry-After: 120 (busy)", ""));
    let sent = rig.sent();
    assert_eq!(sent[0].1.method(), Method::Ack);
    assert_eq!(sent[1].0, address(SECOND));
    let events = rig.events();
    let failed = HopFailure {
        code: 503,
        retry_after: Some(Duration::from_secs(120)),
    };
    assert!(
        matches!(&events[..], [Event::HopTried { failed: Some(found), .. }] if *found == failed),
        "{events:?}"
    );
}

#[test]
fn a_closed_flow_leads_on() {
    let mut rig = Rig::new();
    dial_any(&mut rig, |_| {});
    rig.endpoint.handle_flow_closed(rig.now, flow_to(THEM));
    assert_eq!(rig.sent()[0].0, address(SECOND));
    assert_eq!(tried(rig.events()), [(address(THEM), Some(503))]);
}

#[test]
fn a_decline_is_final() {
    for code in [480, 486, 500, 600, 603] {
        let mut rig = Rig::new();
        let first = dial_any(&mut rig, |_| {});
        rig.receive(&response(&first, code, "x", "", ""));
        assert_eq!(rig.one().method(), Method::Ack);
        let events = rig.events();
        assert!(
            matches!(&events[..], [Event::HopTried { failed: None, .. }, Event::Refused { code: found, .. }] if *found == code),
            "{events:?}"
        );
    }
}

#[test]
fn who_rang_is_not_left_for_another() {
    let mut rig = Rig::new();
    let first = dial_any(&mut rig, |_| {});
    rig.receive(&response(&first, 180, "bob", CONTACT, ""));
    rig.receive(&response(&first, 503, "bob", "", ""));
    assert_eq!(rig.one().method(), Method::Ack);
    assert!(matches!(
        rig.events().last(),
        Some(Event::Refused { code: 503, .. })
    ));
}

#[test]
fn the_last_failure_is_reported_and_all_time_is_bounded() {
    let mut rig = Rig::new();
    dial_any(&mut rig, |_| {});
    rig.pass(Duration::from_secs(9));
    rig.sent();
    let events = rig.events();
    assert!(
        matches!(
            events.last(),
            Some(Event::Refused {
                code: 408,
                responded: false,
                ..
            })
        ),
        "{events:?}"
    );
    assert_eq!(tried(events).len(), 3);
    rig.assert_ends();
    let mut rig = Rig::new();
    dial_any(&mut rig, |invite| {
        invite.give_up_after = Some(Duration::from_secs(31))
    });
    rig.pass(Duration::from_secs(32));
    assert_eq!(tried(rig.events()).len(), 1);
}

#[test]
fn a_caller_who_leaves_ends_the_search() {
    let mut rig = Rig::new();
    let first = dial_any(&mut rig, |_| {});
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    assert!(pass_to(&mut rig, 10, THEM).is_empty());
    rig.receive(&response(&first, 180, "x", "", ""));
    assert_eq!(rig.one().method(), Method::Cancel);
    rig.assert_ends();
}

#[test]
fn credentials_are_for_one_place() {
    let mut rig = Rig::new();
    let challenge = "WWW-Authenticate: Digest realm=\"r\", nonce=\"one\"";
    let first = dial_any(&mut rig, |invite| {
        invite.credentials = Some(crate::sip::auth::Credentials::new("shop", "secret"));
    });
    rig.receive(&response(&first, 401, "x", challenge, ""));
    let retry = rig.sent().remove(1).1;
    assert!(retry.header(Name::Authorization).is_some());
    // Silent from now on: the next place is asked without what was learnt here.
    let (to, second) = pass_to(&mut rig, 3, THEM).remove(0);
    assert_eq!(to, address(SECOND));
    assert!(second.header(Name::Authorization).is_none());
}
