//! Our INVITE without an offer: theirs in the 200 or in a reliable provisional response, our answer in the ACK or PRACK (RFC 3261 §13.2.1,
//! RFC 3262 §5).

use super::command::Usage;
use super::*;

const THEIR_OFFER: &str = "v=0\ns=their offer\n";
const CONTACT: &str = "Contact: <sip:bob@192.0.2.9>";

fn dial(rig: &mut Rig) -> Message {
    let invite = rig.dial(|invite| {
        invite.sdp = Bytes::new();
        invite.usage = Usage {
            reliable: true,
            ..Usage::default()
        };
    });
    assert!(invite.body().is_empty());
    assert_eq!(invite.header(Name::ContentType), None);
    invite
}

fn answer(rig: &mut Rig) {
    rig.command(Command::AnswerOffer {
        session: SESSION,
        sdp: Bytes::from_static(ANSWER),
    });
}

fn reliable(invite: &Message, rseq: u32, body: &str) -> String {
    let more = format!("Require: 100rel\nRSeq: {rseq}\n{CONTACT}");
    response(invite, 183, "bob", &more, body)
}

#[test]
fn the_ack_answers_the_offer_of_the_200() {
    let mut rig = Rig::new();
    let invite = dial(&mut rig);
    // Not reliable, so it is no offer.
    rig.receive(&response(&invite, 183, "bob", CONTACT, THEIR_OFFER));
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Progress { sdp: None, .. }]
    ));
    let ok = response(&invite, 200, "bob", CONTACT, THEIR_OFFER);
    rig.receive(&ok);
    assert!(matches!(
        rig.events().as_slice(),
        [Event::Answered { sdp: Some(_), .. }]
    ));
    rig.receive(&ok);
    rig.sent_nothing();
    answer(&mut rig);
    let ack = rig.one();
    assert_eq!(ack.method(), Method::Ack);
    assert_eq!(&ack.body()[..], ANSWER);
    assert_eq!(ack.header(Name::ContentType), Some("application/sdp"));
    rig.receive(&ok);
    assert_eq!(rig.one().bytes(), ack.bytes(), "the same ACK again");
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    let bye = rig.one();
    rig.receive(&response(&bye, 200, "", "", ""));
    rig.assert_ends();
}

#[test]
fn the_prack_answers_the_offer_of_a_reliable_183() {
    let mut rig = Rig::new();
    let invite = dial(&mut rig);
    let early = reliable(&invite, 7, THEIR_OFFER);
    rig.receive(&early);
    let events = rig.events();
    assert!(
        matches!(
            events.as_slice(),
            [
                Event::Offer { sdp: Some(_), .. },
                Event::Progress { sdp: None, .. }
            ]
        ),
        "{events:?}"
    );
    rig.receive(&early);
    rig.sent_nothing();
    answer(&mut rig);
    let prack = rig.one();
    assert_eq!(prack.method(), Method::Prack);
    assert_eq!(prack.header(Name::RAck), Some("7 1 INVITE"));
    assert_eq!(&prack.body()[..], ANSWER);
    rig.receive(&response(&prack, 200, "", "", ""));
    // What is said again is no new offer.
    rig.receive(&reliable(&invite, 8, THEIR_OFFER));
    let again = rig.one();
    assert!(again.body().is_empty());
    rig.receive(&response(&again, 200, "", "", ""));
    assert!(rig.events().is_empty());
    rig.receive(&response(&invite, 200, "bob", CONTACT, THEIR_OFFER));
    let ack = rig.one();
    assert_eq!((ack.method(), ack.body().is_empty()), (Method::Ack, true));
    assert!(matches!(rig.events().as_slice(), [Event::Answered { .. }]));
}

#[test]
fn an_offer_that_nobody_answers_is_acknowledged_before_the_bye() {
    let mut rig = Rig::new();
    let invite = dial(&mut rig);
    rig.receive(&response(&invite, 200, "bob", CONTACT, THEIR_OFFER));
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    let methods: Vec<Method> = rig.sent().iter().map(|(_, one)| one.method()).collect();
    assert_eq!(methods, [Method::Ack, Method::Bye]);
    rig.assert_ends();
}

/// An offer that is refused leaves an INVITE that is given up.
#[test]
fn an_offer_in_a_183_that_is_of_no_use_is_acknowledged_all_the_same() {
    let mut rig = Rig::new();
    let invite = dial(&mut rig);
    rig.receive(&reliable(&invite, 7, THEIR_OFFER));
    rig.command(Command::RefuseOffer {
        session: SESSION,
        code: 488,
        headers: Headers::new(),
    });
    let prack = rig.one();
    assert_eq!(
        (prack.method(), prack.body().is_empty()),
        (Method::Prack, true)
    );
    rig.command(Command::End {
        session: SESSION,
        reason: None,
    });
    assert_eq!(rig.one().method(), Method::Cancel);
    rig.assert_ends();
}
