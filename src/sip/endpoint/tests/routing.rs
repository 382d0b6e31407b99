//! Where requests within a dialog go (RFC 3261 §12.1, §12.2.1.1).

use super::*;

fn destinations(rig: &mut Rig) -> Vec<(String, Method, String)> {
    rig.sent()
        .iter()
        .map(|(to, message)| {
            (
                to.to_string(),
                message.method(),
                message.request_uri().to_owned(),
            )
        })
        .collect()
}

fn answer(rig: &mut Rig, routing: Routing, more: &str) -> Vec<(SocketAddr, Message)> {
    let invite = rig.dial(|invite| invite.routing = routing);
    rig.receive(&response(&invite, 200, "bob", more, "v=0\ns=answer\n"));
    rig.sent()
}

#[test]
fn a_phone_behind_nat_is_reached_on_its_flow() {
    let mut rig = Rig::new();
    let sent = answer(&mut rig, Routing::Flow, "Contact: <sip:bob@10.0.0.7:5090>");
    assert_eq!(
        (sent[0].0, sent[0].1.request_uri()),
        (address(THEM), "sip:bob@10.0.0.7:5090")
    );
}

#[test]
fn a_phone_whose_contact_names_another_port_of_its_address_is_reached_on_its_flow() {
    let mut rig = Rig::new();
    let sent = answer(&mut rig, Routing::Flow, "Contact: <sip:bob@192.0.2.9:5090>");
    assert_eq!(sent[0].0, address(THEM));
}

#[test]
fn record_routes_are_passed_in_reverse() {
    let mut rig = Rig::new();
    let sent = answer(
        &mut rig,
        Routing::Dialog,
        "Record-Route: <sip:192.0.2.21;lr>, <sip:192.0.2.20:5080;lr>\nContact: <sip:bob@203.0.113.5>",
    );
    let (to, ack) = &sent[0];
    assert_eq!(*to, address("192.0.2.20:5080"));
    assert_eq!(ack.request_uri(), "sip:bob@203.0.113.5");
    let routes: Vec<_> = ack.headers(Name::Route).collect();
    assert_eq!(routes, ["<sip:192.0.2.20:5080;lr>", "<sip:192.0.2.21;lr>"]);
}

#[test]
fn a_strict_router_gets_its_uri_as_request_uri() {
    let mut rig = Rig::new();
    let sent = answer(
        &mut rig,
        Routing::Dialog,
        "Record-Route: <sip:192.0.2.21;lr>\nRecord-Route: <sip:192.0.2.20>\nContact: <sip:bob@203.0.113.5>",
    );
    let (to, ack) = &sent[0];
    assert_eq!(
        (*to, ack.request_uri()),
        (address("192.0.2.20:5060"), "sip:192.0.2.20")
    );
    let routes: Vec<_> = ack.headers(Name::Route).collect();
    assert_eq!(routes, ["<sip:192.0.2.21;lr>", "<sip:bob@203.0.113.5>"]);
}

#[test]
fn a_host_name_is_resolved_once_and_requests_wait_for_it() {
    let mut rig = Rig::new();
    let sent = answer(
        &mut rig,
        Routing::Dialog,
        "Contact: <sip:bob@gw.example:5071>",
    );
    assert!(sent.is_empty());
    let events = rig.events();
    let wanted = crate::sip::locate::Wish {
        host: "gw.example".to_owned(),
        port: Some(5071),
        transport: Some(Transport::Udp),
        secure: false,
    };
    let id = match events.as_slice() {
        [Event::Answered { .. }, Event::ResolveNeeded { id, wish }] if *wish == wanted => *id,
        [Event::ResolveNeeded { id, wish }, Event::Answered { .. }] if *wish == wanted => *id,
        other => panic!("{other:?}"),
    };
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    rig.sent_nothing();
    rig.command(Command::Resolved {
        id,
        addresses: vec![address("198.51.100.1:5071")],
    });
    let uri = "sip:bob@gw.example:5071".to_owned();
    assert_eq!(
        destinations(&mut rig),
        [
            ("198.51.100.1:5071".to_owned(), Method::Ack, uri.clone()),
            ("198.51.100.1:5071".to_owned(), Method::Bye, uri)
        ]
    );
    rig.command(Command::Resolved {
        id,
        addresses: vec![],
    });
    rig.sent_nothing();
    rig.assert_ends();
}

#[test]
fn an_unresolved_name_falls_back_to_the_flow() {
    for told in [true, false] {
        let mut rig = Rig::new();
        answer(&mut rig, Routing::Dialog, "Contact: <sip:bob@gw.example>");
        let id = rig
            .events()
            .iter()
            .find_map(|event| match event {
                Event::ResolveNeeded { id, .. } => Some(*id),
                _ => None,
            })
            .unwrap();
        if told {
            rig.command(Command::Resolved {
                id,
                addresses: vec![],
            });
        } else {
            rig.pass(Duration::from_secs(5));
        }
        assert_eq!(rig.sent()[0].0, address(THEM));
    }
}

#[test]
fn a_caller_whose_via_names_its_address_is_reached_at_its_contact() {
    let mut rig = Rig::new();
    rig.receive(&INVITE.replace("Contact: <sip:anna@192.0.2.9:5060>", "Record-Route: <sip:192.0.2.30;lr>\nRecord-Route: <sip:192.0.2.31;lr>\nContact: <sip:anna@203.0.113.77>"));
    let session = match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    };
    rig.sent();
    rig.accept(session);
    let ok = rig.one();
    assert_eq!(ok.headers(Name::RecordRoute).count(), 2);
    rig.receive(&ack(&ok));
    rig.command(Command::End {
        session,
        reason: None,
    });
    let (to, bye) = rig.sent().remove(0);
    assert_eq!(
        (to, bye.request_uri()),
        (address("192.0.2.30:5060"), "sip:anna@203.0.113.77")
    );
    assert_eq!(
        bye.headers(Name::Route).collect::<Vec<_>>(),
        ["<sip:192.0.2.30;lr>", "<sip:192.0.2.31;lr>"]
    );
}

#[test]
fn a_caller_behind_nat_is_reached_on_its_flow() {
    let mut rig = Rig::new();
    rig.receive(
        &INVITE
            .replace("UDP 192.0.2.9:5060", "UDP 10.0.0.3:5060")
            .replace("anna@192.0.2.9:5060", "anna@10.0.0.3:5060"),
    );
    let session = match rig.events().as_slice() {
        [Event::Incoming { session, .. }] => *session,
        other => panic!("{other:?}"),
    };
    rig.sent();
    rig.accept(session);
    let ok = rig.one();
    rig.receive(&ack(&ok));
    rig.command(Command::End {
        session,
        reason: None,
    });
    assert_eq!(
        destinations(&mut rig),
        [(
            THEM.to_owned(),
            Method::Bye,
            "sip:anna@10.0.0.3:5060".to_owned()
        )]
    );
}
