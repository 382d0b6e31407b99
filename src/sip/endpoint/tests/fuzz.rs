//! Whatever comes in, in whatever order: no panic, no reply to a reply, and nothing left in the end.

use proptest::prelude::*;

use super::*;

/// What may happen to an endpoint.
#[derive(Clone, Debug)]
enum Happening {
    /// A message of the far side, with some bytes overwritten.
    Message(usize, Vec<(prop::sample::Index, u8)>),
    /// A response to the latest request of ours.
    Response(u16, u8),
    Command(u8),
    /// PRACK of our latest reliable provisional response, with an offer or without.
    Prack(bool),
    Pass(u16),
}

fn happening() -> impl Strategy<Value = Happening> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3);
    prop_oneof![
        4 => (0..9usize, damage).prop_map(|(which, damage)| Happening::Message(which, damage)),
        4 => (prop::sample::select(vec![100u16, 180, 183, 199, 200, 302, 401, 405, 407, 408, 421, 422, 481, 487, 491, 500]), 0..4u8)
            .prop_map(|(code, tag)| Happening::Response(code, tag)),
        4 => (0..10u8).prop_map(Happening::Command),
        1 => any::<bool>().prop_map(Happening::Prack),
        2 => (0..40_000u16).prop_map(Happening::Pass),
    ]
}

fn command(which: u8, session: SessionId) -> Command {
    let sdp = Bytes::from_static(ANSWER);
    let headers = Headers::new();
    match which {
        0 => Command::Progress {
            session,
            code: 183,
            sdp: Some(sdp),
        },
        1 => Command::Accept {
            session,
            sdp,
            headers,
        },
        2 => Command::Reject {
            session,
            code: 486,
            headers,
        },
        3 => Command::End {
            session,
            reason: None,
        },
        4 => Command::Keep { session },
        5 => Command::AnswerOffer { session, sdp },
        6 => Command::RefuseOffer {
            session,
            code: 488,
            headers,
        },
        7 => Command::Probe { session },
        8 => Command::Use {
            session,
            usage: TIMED,
        },
        _ => Command::Offer { session, sdp },
    }
}

const TIMED: command::Usage = command::Usage {
    session_expires: Some(90),
    min_se: 4,
    reliable: true,
};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn nothing_breaks_it(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut rig = Rig::new();
        let (_, ok) = rig.accepted();
        let mut request = rig.dial(|invite| invite.usage = TIMED);
        let mut early: Option<Message> = None;
        let mut number = 5;
        let mut sessions = vec![SESSION];
        let bye = within(&ok, "BYE", 9, "", "");
        let second = INVITE.replace("CSeq", "Require: 100rel\nk: timer\nx: 90;refresher=uac\nCSeq");
        let texts = [
            second.replace("Call-ID: incoming", "Call-ID: second").replace("bKinvite", "bKsecond"),
            INVITE.replace("INVITE", "CANCEL").replace("Call-ID: incoming", "Call-ID: second").replace("bKinvite", "bKsecond"),
            ack(&ok),
            within(&ok, "INVITE", 3, "", "v=0\n"),
            within(&ok, "UPDATE", 4, "", "v=0\n"),
            within(&ok, "INVITE", 3, "", "v=0\n").replace("INVITE", "ACK").replace("within3INVITE", "ackagain"),
            within(&ok, "INFO", 6, "", ""),
            bye,
            within(&ok, "UPDATE", 4, "k: timer\nx: 4;refresher=uas", ""),
        ];
        for happening in happenings {
            match happening {
                Happening::Message(which, damage) => {
                    let mut bytes = texts[which].clone().into_bytes();
                    for (place, byte) in damage {
                        let place = place.index(bytes.len());
                        bytes[place] = byte;
                    }
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    rig.receive(&text);
                }
                Happening::Response(code, tag) => {
                    let more = match tag {
                        3 => "Contact: <sip:bob@192.0.2.9>\nRequire: 100rel\nRSeq: 7\nAllow: UPDATE\nx: 6;refresher=uac\nMin-SE: 8",
                        _ => "Contact: <sip:bob@192.0.2.9>",
                    };
                    let tag = ["", "one", "two", "two"][usize::from(tag)];
                    rig.receive(&response(&request, code, tag, more, "v=0\n"));
                }
                Happening::Command(which) => {
                    for session in sessions.clone() {
                        rig.command(command(which, session));
                    }
                }
                Happening::Prack(offers) => {
                    if let Some(early) = &early {
                        number += 1;
                        let rack = format!("RAck: {} 1 INVITE", early.header(Name::RSeq).unwrap());
                        let body = if offers { "v=0\n" } else { "" };
                        let prack = within(early, "PRACK", number, &rack, body);
                        rig.receive(&prack.replace("Call-ID: incoming", "Call-ID: second"));
                    }
                }
                Happening::Pass(millis) => rig.pass(Duration::from_millis(u64::from(millis))),
            }
            for (_, message) in rig.sent() {
                if message.header(Name::RSeq).is_some() {
                    early = Some(message.clone());
                }
                // A response repeats what may be wrong with its request.
                if message.is_request() {
                    prop_assert_eq!(message.defect(), None);
                    if message.method() != Method::Ack {
                        request = message;
                    }
                }
            }
            for event in rig.events() {
                match event {
                    Event::Incoming { session, .. } => sessions.push(session),
                    Event::Request { id, .. } => rig.command(Command::Reply { id, code: 404, headers: Headers::new() }),
                    _ => {}
                }
            }
        }
        rig.receive(&within(&ok, "BYE", 4_000_000_000, "", ""));
        rig.sent();
        for session in sessions {
            rig.command(Command::End { session, reason: None });
        }
        rig.assert_ends();
    }
}
