//! Challenges to our requests (RFC 3261 §22, RFC 8760).

use super::*;
use crate::sip::auth::Credentials;

const CHALLENGE: &str =
    "WWW-Authenticate: Digest realm=\"r\", nonce=\"one\", algorithm=MD5, qop=\"auth\"";
const PROXY: &str =
    "Proxy-Authenticate: Digest realm=\"p\", nonce=\"two\", algorithm=MD5, qop=\"auth\"";
const STALE: &str = "WWW-Authenticate: Digest realm=\"r\", nonce=\"three\", algorithm=MD5, qop=\"auth\", stale=TRUE";

fn credentials() -> Option<Credentials> {
    Some(Credentials {
        user: "shop".to_owned(),
        password: "secret".to_owned(),
        realm: None,
    })
}

/// Takes the ACK to a refusal and the next attempt.
fn ack_and_retry(rig: &mut Rig) -> Message {
    let sent = rig.sent();
    assert_eq!(sent.len(), 2, "{sent:?}");
    assert_eq!(sent[0].1.method(), Method::Ack);
    sent[1].1.clone()
}

#[test]
fn invite_answers_each_realm_and_the_ack_repeats_it() {
    let mut rig = Rig::new();
    let first = rig.dial(|invite| invite.credentials = credentials());
    rig.receive(&response(&first, 407, "x", PROXY, ""));
    let second = ack_and_retry(&mut rig);
    assert_eq!(
        (second.cseq(), second.call_id(), second.from_tag()),
        (2, first.call_id(), first.from_tag())
    );
    assert_ne!(second.branch(), first.branch());
    assert!(
        second
            .header(Name::ProxyAuthorization)
            .unwrap()
            .contains("realm=\"p\"")
    );
    rig.receive(&response(&second, 401, "y", CHALLENGE, ""));
    let third = ack_and_retry(&mut rig);
    assert!(third.header(Name::ProxyAuthorization).is_some());
    assert!(
        third
            .header(Name::Authorization)
            .unwrap()
            .contains("realm=\"r\"")
    );
    rig.receive(&response(
        &third,
        200,
        "bob",
        "Contact: <sip:bob@192.0.2.9>",
        "v=0\ns=answer\n",
    ));
    let ack = rig.one();
    assert_eq!(ack.cseq(), 3);
    assert_eq!(
        ack.header(Name::Authorization),
        third.header(Name::Authorization)
    );
    assert_eq!(rig.events().len(), 1);

    rig.command(Command::End {
        session: SESSION,
        reason: Some("SIP;cause=200".to_owned()),
    });
    let bye = rig.one();
    assert_eq!(bye.cseq(), 4);
    rig.receive(&response(&bye, 407, "", PROXY, ""));
    let again = rig.one();
    assert_eq!((again.method(), again.cseq()), (Method::Bye, 5));
    assert!(
        again.header(Name::ProxyAuthorization).is_some() && again.header(Name::Reason).is_some()
    );
    rig.receive(&response(&again, 200, "", "", ""));
    assert_eq!(rig.endpoint.census().sessions, 0);
    rig.assert_ends();
}

#[test]
fn wrong_credentials_are_not_tried_twice_but_a_stale_nonce_is() {
    let mut rig = Rig::new();
    let first = rig.dial(|invite| invite.credentials = credentials());
    rig.receive(&response(&first, 401, "x", CHALLENGE, ""));
    let second = ack_and_retry(&mut rig);
    rig.receive(&response(&second, 401, "x", STALE, ""));
    let third = ack_and_retry(&mut rig);
    assert!(third.header(Name::Authorization).unwrap().contains("three"));
    rig.receive(&response(&third, 401, "x", CHALLENGE, ""));
    assert_eq!(rig.one().method(), Method::Ack);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused {
            code: 401,
            responded: true,
            ..
        }]
    ));
    rig.assert_ends();
}

#[test]
fn without_credentials_a_challenge_is_a_refusal() {
    let mut rig = Rig::new();
    let first = rig.dial(|_| {});
    rig.receive(&response(&first, 407, "x", PROXY, ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Refused { code: 407, .. }]
    ));
}

#[test]
fn a_cancelled_invite_answers_no_challenge() {
    let mut rig = Rig::new();
    let first = rig.dial(|invite| invite.credentials = credentials());
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    rig.receive(&response(&first, 401, "x", CHALLENGE, ""));
    assert_eq!(rig.one().method(), Method::Ack);
    assert_eq!(rig.endpoint.census().sessions, 0);
    assert!(rig.events().is_empty());
}

#[test]
fn register_is_sent_again_with_credentials() {
    let mut rig = Rig::new();
    rig.command(Command::Request(Box::new(Request {
        id: RequestId(1),
        method: Method::Register,
        flow: flow_to(THEM),
        uri: "sip:192.0.2.9".to_owned(),
        from: "<sip:shop@192.0.2.9>".to_owned(),
        to: "<sip:shop@192.0.2.9>".to_owned(),
        call_id: Some("kept".to_owned()),
        cseq: 40,
        credentials: credentials(),
        headers: vec![
            (Name::Contact, "<sip:opaque@192.0.2.1>".to_owned()),
            (Name::Expires, "300".to_owned()),
        ],
    })));
    let first = rig.one();
    assert_eq!(
        (
            first.call_id(),
            first.cseq(),
            first.headers(Name::Contact).count()
        ),
        ("kept", 40, 1)
    );
    rig.receive(&response(&first, 401, "r", CHALLENGE, ""));
    let second = rig.one();
    assert_eq!(
        (second.cseq(), second.header(Name::Expires)),
        (41, Some("300"))
    );
    assert!(
        second
            .header(Name::Authorization)
            .unwrap()
            .contains("username=\"shop\"")
    );
    rig.receive(&response(
        &second,
        200,
        "r",
        "Contact: <sip:opaque@192.0.2.1>;expires=300",
        "",
    ));
    match rig.events().as_slice() {
        [
            Event::Response {
                id: RequestId(1),
                code: 200,
                message: Some(message),
            },
        ] => assert_eq!(message.cseq(), 41),
        other => panic!("{other:?}"),
    }
    rig.assert_ends();
}

#[test]
fn a_probe_answers_its_challenge() {
    let mut rig = Rig::new();
    rig.dialled(|invite| invite.credentials = credentials());
    rig.command(Command::Probe { session: SESSION });
    let first = rig.one();
    rig.receive(&response(&first, 401, "", CHALLENGE, ""));
    let second = rig.one();
    assert!(second.header(Name::Authorization).is_some());
    rig.receive(&response(&second, 200, "", "", ""));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Probed { alive: true, .. }]
    ));
}

/// A proxy whose nonces do not live long: what one request has learnt, the next one says at once, counted on.
#[test]
fn the_latest_nonce_is_used_for_all_that_follows() {
    let mut rig = Rig::new();
    rig.dialled(|invite| invite.credentials = credentials());
    let shown = |message: &Message| message.header(Name::Authorization).unwrap_or("").to_owned();
    rig.command(Command::Probe { session: SESSION });
    let probe = rig.one();
    assert_eq!(shown(&probe), "");
    rig.receive(&response(&probe, 401, "", CHALLENGE, ""));
    let probe = rig.one();
    rig.receive(&response(&probe, 200, "", "", ""));
    let sdp = bytes::Bytes::from_static(b"v=0\ns=again\n");
    rig.command(Command::Offer {
        session: SESSION,
        sdp,
    });
    let invite = rig.one();
    assert!(shown(&invite).contains("nonce=\"one\"") && shown(&invite).contains("nc=00000002"));
    rig.receive(&response(&invite, 401, "", STALE, ""));
    let invite = ack_and_retry(&mut rig);
    assert!(shown(&invite).contains("nonce=\"three\"") && shown(&invite).contains("nc=00000001"));
    rig.receive(&response(
        &invite,
        200,
        "",
        "Contact: <sip:bob@192.0.2.9>",
        "v=0\ns=a\n",
    ));
    rig.one();
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    let bye = rig.one();
    assert!(shown(&bye).contains("nonce=\"three\"") && shown(&bye).contains("nc=00000002"));
}
