//! Over connections: nothing is sent twice but a 2xx, and what a closed connection means.

use super::*;
use crate::sip::endpoint::ConnectionId;

const CONNECTION: ConnectionId = ConnectionId::theirs(1);

fn stream(connection: ConnectionId) -> Flow {
    Flow {
        transport: Transport::Tcp,
        connection,
        ..flow_to("192.0.2.9:40000")
    }
}

/// What is sent until everything is over, as milliseconds from now and start line.
fn sent_later(rig: &mut Rig) -> Vec<(u64, String)> {
    let start = rig.now.mono;
    let mut sent = Vec::new();
    while let Some(at) = rig.endpoint.poll_timeout() {
        rig.now = rig.now + at.since(rig.now.mono);
        rig.endpoint.handle_timeout(rig.now);
        for (_, message) in rig.sent() {
            let what = match message.is_request() {
                true => message.method_text().to_owned(),
                false => message.status().to_string(),
            };
            sent.push((rig.now.mono.millis_since(start), what));
        }
    }
    sent
}

fn tcp(text: &str) -> String {
    text.replace("SIP/2.0/UDP", "SIP/2.0/TCP")
}

#[test]
fn our_requests_are_sent_once() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.flow = stream(CONNECTION));
    let via = invite.header(Name::Via).unwrap();
    assert!(via.starts_with("SIP/2.0/TCP 192.0.2.1:5060;"), "{via}");
    let contact = invite.header(Name::Contact).unwrap();
    assert_eq!(contact, "<sip:alice@192.0.2.1:5060;transport=tcp>");
    assert_eq!(sent_later(&mut rig), []);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused { code: 408, .. }]
    ));
    rig.assert_ends();
}

#[test]
fn a_refusal_is_acknowledged_and_nothing_lingers() {
    let mut rig = Rig::new();
    let invite = rig.dial(|invite| invite.flow = stream(CONNECTION));
    rig.receive_on(stream(CONNECTION), &response(&invite, 486, "bob", "", ""));
    assert_eq!(rig.one().method_text(), "ACK");
    rig.pass(Duration::ZERO);
    assert_eq!(rig.endpoint.census(), Census::default());
}

#[test]
fn our_refusal_is_sent_once_our_2xx_until_its_ack() {
    let mut rig = Rig::new();
    let ring = |rig: &mut Rig| {
        rig.receive_on(stream(CONNECTION), &tcp(INVITE));
        rig.sent();
        match rig.events().as_slice() {
            [Event::Incoming { session, .. }] => *session,
            other => panic!("{other:?}"),
        }
    };
    let session = ring(&mut rig);
    rig.command(Command::Reject {
        session,
        code: 486,
        headers: Headers::new(),
    });
    assert_eq!(rig.one().status(), 486);
    assert_eq!(sent_later(&mut rig), []);
    let session = ring(&mut rig);
    rig.accept(session);
    let ok = rig.one();
    let contact = ok.header(Name::Contact).unwrap();
    assert!(contact.ends_with(";transport=tcp>"), "{contact}");
    rig.pass(Duration::from_millis(600));
    assert_eq!(rig.one().status(), 200);
    rig.receive_on(stream(CONNECTION), &tcp(&ack(&ok)));
    rig.pass(Duration::from_secs(40));
    rig.sent_nothing();
    let bye = tcp(&within(&ok, "BYE", 2, "", ""));
    rig.receive_on(stream(CONNECTION), &bye);
    assert_eq!(rig.one().status(), 200);
    rig.assert_ends();
}

#[test]
fn a_closed_connection_fails_what_waits_on_it() {
    let mut rig = Rig::new();
    rig.dial(|invite| invite.flow = stream(CONNECTION));
    let other = Flow {
        remote: address("192.0.2.9:40001"),
        ..stream(ConnectionId::theirs(2))
    };
    rig.endpoint.handle_flow_closed(rig.now, other);
    assert!(rig.events().is_empty());
    rig.endpoint.handle_flow_closed(rig.now, stream(CONNECTION));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused {
            code: 503,
            responded: false,
            ..
        }]
    ));
    rig.assert_ends();
}

/// Who connected to us cannot answer any more; a server that we connected to may, by a connection of its own.
#[test]
fn a_ringing_phone_that_disconnects_is_gone_a_server_is_not() {
    for (connection, gone) in [(CONNECTION, true), (ConnectionId::ours(1), false)] {
        let mut rig = Rig::new();
        let invite = rig.dial(|invite| invite.flow = stream(connection));
        rig.receive_on(stream(connection), &response(&invite, 180, "bob", "", ""));
        rig.events();
        rig.endpoint.handle_flow_closed(rig.now, stream(connection));
        let refused = matches!(rig.events().as_slice(), [Event::Refused { code: 503, .. }]);
        assert_eq!(refused, gone);
    }
}

/// RFC 3261 §18.2.2.
#[test]
fn a_response_whose_connection_is_gone_goes_to_the_sent_by() {
    let mut rig = Rig::new();
    let invite = tcp(INVITE).replace("192.0.2.9:5060;branch", "phone.example:5070;branch");
    rig.receive_on(stream(CONNECTION), &invite);
    rig.sent();
    let events = rig.events();
    let [Event::Incoming { session, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    rig.endpoint.handle_flow_closed(rig.now, stream(CONNECTION));
    rig.accept(*session);
    let transmit = rig.endpoint.poll_transmit().unwrap();
    assert_eq!(transmit.flow.remote, address("192.0.2.9:5070"));
    assert!(transmit.flow.connection.is_none());
    assert_eq!(transmit.flow.transport, Transport::Tcp);
}

#[test]
fn a_dialog_goes_on_over_the_connection_that_its_far_side_opens_next() {
    let mut rig = Rig::new();
    // Behind a NAT: the Via's host is not where it comes from.
    let invite = tcp(INVITE).replace("192.0.2.9:5060;branch", "10.0.0.9:5060;branch");
    rig.receive_on(stream(CONNECTION), &invite);
    rig.sent();
    let events = rig.events();
    let [Event::Incoming { session, .. }] = events.as_slice() else {
        panic!("{events:?}");
    };
    rig.accept(*session);
    let ok = rig.one();
    rig.receive_on(stream(CONNECTION), &tcp(&ack(&ok)));
    rig.endpoint.handle_flow_closed(rig.now, stream(CONNECTION));
    let again = Flow {
        remote: address("192.0.2.9:40007"),
        ..stream(ConnectionId::theirs(2))
    };
    rig.receive_on(again, &tcp(&within(&ok, "INFO", 2, "", "")));
    rig.sent();
    rig.command(Command::End {
        session: *session,
        reason: None,
    });
    let bye = rig.endpoint.poll_transmit().unwrap();
    assert_eq!(bye.flow, again);
}

#[test]
fn a_phone_whose_connection_breaks_while_it_is_asked_is_asked_again() {
    for is_back in [true, false] {
        let mut rig = Rig::new();
        rig.receive_on(stream(CONNECTION), &tcp(INVITE));
        rig.sent();
        let events = rig.events();
        let [Event::Incoming { session, .. }] = events.as_slice() else {
            panic!("{events:?}");
        };
        rig.accept(*session);
        let ok = rig.one();
        rig.receive_on(stream(CONNECTION), &tcp(&ack(&ok)));
        rig.events();
        rig.command(Command::Probe { session: *session });
        assert_eq!(rig.one().method(), Method::Options);
        rig.endpoint.handle_flow_closed(rig.now, stream(CONNECTION));
        assert!(rig.events().is_empty());
        if is_back {
            let again = Flow {
                remote: address("192.0.2.9:40007"),
                ..stream(ConnectionId::theirs(2))
            };
            rig.receive_on(again, &tcp(&within(&ok, "INFO", 2, "", "")));
            rig.sent();
            rig.events();
            rig.pass(Duration::from_secs(10));
            let options = rig.one();
            let ok = response(&options, 200, "", "", "");
            rig.receive_on(again, &tcp(&ok));
        } else {
            rig.pass(Duration::from_secs(63));
        }
        let events = rig.events();
        let [Event::Probed { alive, .. }] = events.as_slice() else {
            panic!("{events:?}");
        };
        assert_eq!(*alive, is_back);
    }
}

/// A server may close an idle connection just when we send on it.
#[test]
fn what_a_closing_connection_may_have_lost_is_sent_once_more() {
    let mut rig = Rig::new();
    let flow = stream(ConnectionId::ours(1));
    let first = rig.dial(|invite| invite.flow = flow);
    rig.endpoint.send_again(rig.now, flow);
    let again = rig.one();
    assert_eq!(again.bytes(), first.bytes());
    rig.endpoint.handle_flow_closed(rig.now, flow);
    assert!(rig.events().is_empty());
    rig.endpoint.send_again(rig.now, flow);
    rig.sent_nothing();
    rig.endpoint.handle_flow_closed(rig.now, flow);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused { code: 503, .. }]
    ));
    rig.assert_ends();
}
