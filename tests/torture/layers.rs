//! RFC 4475 §3.2 to §3.4: messages that are grammatical and go wrong one layer up.

use vats::sip::wire::Name;

use super::caller::Caller;
use super::rig::{Rig, SDP, assert_refused, statuses, wire};

#[test]
fn s3_2_1_a_branch_that_is_only_the_cookie() {
    let draw = |call: &str| {
        wire(&format!(
            "OPTIONS sip:user@pbx.example SIP/2.0\nTo: sip:user@pbx.example\nFrom: sip:caller@gate.example;tag=33242\nMax-Forwards: 3\n\
             Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bK\nAccept: application/sdp\nCall-ID: badbranch.{call}\nCSeq: 8 OPTIONS\nl: 0\n\n"
        ))
    };
    let mut rig = Rig::new();
    let first = rig.answer(draw("one"));
    let second = rig.answer(draw("two"));
    assert_eq!((first.status(), first.call_id()), (200, "badbranch.one"));
    assert_eq!((second.status(), second.call_id()), (200, "badbranch.two"));
    // The same request once more is a retransmission: the same answer.
    assert_eq!(rig.answer(draw("two")).bytes(), second.bytes());
}

#[test]
fn s3_3_1_mandatory_headers_are_missing() {
    let text = format!(
        "INVITE sip:+74951000001@192.0.2.1 SIP/2.0\nCSeq: 193942 INVITE\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdj.insuf\n\
         Content-Type: application/sdp\nl: @LENGTH@\n\n{SDP}"
    );
    let refusal = Rig::new().answer(wire(&text));
    assert_refused(&refusal, 400, "Call-ID is missing");
    assert_eq!(refusal.branch(), "z9hG4bKkdj.insuf");
    let text = text.replace("CSeq", "Call-ID: insuf.0ha0isndaksdj\nCSeq");
    assert_refused(&Rig::new().answer(wire(&text)), 400, "From is missing");
    let text = text.replace("CSeq", "From: <sip:a@gate.example>;tag=1\nCSeq");
    assert_refused(&Rig::new().answer(wire(&text)), 400, "To is missing");
}

/// A good OPTIONS with this Request-URI and these lines.
fn options(uri: &str, more: &str) -> Vec<u8> {
    wire(&format!(
        "OPTIONS {uri} SIP/2.0\nTo: sip:user@pbx.example\nFrom: sip:caller@gate.example;tag=384\nMax-Forwards: 3\nCall-ID: options.nasd0asr32\n\
         CSeq: 3923423 OPTIONS\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw383\n{more}\n"
    ))
}

#[test]
fn s3_3_2_a_scheme_that_nobody_knows() {
    let refusal = Rig::new().answer(options(
        "nobodyKnowsThisScheme:totallyopaquecontent",
        "l: 0\n",
    ));
    assert_refused(&refusal, 416, "sip, sips and tel");
}

#[test]
fn s3_3_3_a_scheme_that_is_known_elsewhere() {
    let refusal = Rig::new().answer(options("soap.beep://192.0.2.103:3002", "l: 0\n"));
    assert_eq!(refusal.status(), 416);
}

#[test]
fn s3_3_4_other_schemes_in_headers() {
    let text = "REGISTER sip:pbx.example SIP/2.0\nTo: isbn:2983792873\nFrom: <http://www.example.com>;tag=3234233\nMax-Forwards: 70\n\
        Call-ID: unksm2.daksdj@hyphenated-host.example\nCSeq: 234902 REGISTER\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\n\
        Contact: <name:John_Smith>\nl: 0\n\n";
    let refusal = Rig::new().answer(wire(text));
    assert_refused(&refusal, 400, "To of a REGISTER");
    // Where nothing depends on them they do not matter.
    let call = format!(
        "INVITE sip:+74951000001@192.0.2.1 SIP/2.0\nTo: isbn:2983792873\nFrom: <http://www.example.com>;tag=3234233\nMax-Forwards: 70\n\
         Call-ID: unksm2.invite\nCSeq: 234902 INVITE\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\n\
         Contact: <name:John_Smith>\nContent-Type: application/sdp\nl: @LENGTH@\n\n{SDP}"
    );
    assert_eq!(statuses(&Rig::new().answers(wire(&call))), [100, 200]);
}

#[test]
fn s3_3_5_extensions_that_nobody_has() {
    let refusal = Rig::new().answer(options(
        "sip:user@pbx.example",
        "Require: nothingSupportsThis, nothingSupportsThisEither\n\
         Proxy-Require: noProxiesSupportThis, norDoAnyProxiesSupportThis\nl: 0\n",
    ));
    assert_refused(&refusal, 420, "extension");
    assert_eq!(
        refusal.header(Name::Unsupported),
        Some("nothingSupportsThis, nothingSupportsThisEither")
    );
    // What is asked of proxies is not asked of us.
    let answer = Rig::new().answer(options(
        "sip:user@pbx.example",
        "Proxy-Require: noProxiesSupportThis\nl: 0\n",
    ));
    assert_eq!(answer.status(), 200);
}

/// An INVITE to a number that answers at once, with these lines and this body.
fn invite(more: &str, body: &str) -> Vec<u8> {
    wire(&format!(
        "INVITE sip:+74951000001@192.0.2.1 SIP/2.0\nContact: <sip:caller@192.0.2.20>\nTo: sip:+74951000001@192.0.2.1\n\
         From: sip:caller@gate.example;tag=8392034\nMax-Forwards: 70\nCall-ID: invut.0ha0isndaksdjadsfij34n23d\nCSeq: 235448 INVITE\n\
         Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\n{more}Content-Length: @LENGTH@\n\n{body}"
    ))
}

#[test]
fn s3_3_6_a_body_of_an_unknown_kind() {
    let body = "<audio>\n <pcmu port=\"443\"/>\n</audio>\n";
    let refusal = Rig::new().answer(invite("Content-Type: application/unknownformat\n", body));
    assert_refused(&refusal, 415, "application/sdp");
    assert_eq!(refusal.header(Name::Accept), Some("application/sdp"));
    let refusal = Rig::new().answer(invite(
        "Content-Type: application/sdp\nContent-Encoding: gzip\n",
        SDP,
    ));
    assert_refused(&refusal, 415, "without any encoding");
    assert_eq!(refusal.header(Name::AcceptEncoding), Some("identity"));
    // One that may be left unread is left unread: the 200 makes the offer.
    let optional =
        "Content-Type: application/unknownformat\nContent-Disposition: render; handling=optional\n";
    let answers = Rig::new().answers(invite(optional, body));
    assert_eq!(statuses(&answers), [100, 200]);
    assert!(answers[1].body_of("application/sdp").is_some());
}

#[test]
fn s3_3_7_credentials_of_an_unknown_scheme() {
    let text = "REGISTER sip:pbx.example SIP/2.0\nTo: sip:anna@pbx.example\nFrom: sip:anna@pbx.example;tag=87321hj23128\nMax-Forwards: 8\n\
        Call-ID: regaut01.0ha0isndaksdj\nCSeq: 9338 REGISTER\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\n\
        Authorization: NoOneKnowsThisScheme opaque-data=here\nContent-Length: 0\n\n";
    let challenge = Rig::new().answer(wire(text));
    assert_eq!(challenge.status(), 401);
    assert!(
        challenge
            .header(Name::WwwAuthenticate)
            .unwrap()
            .starts_with("Digest ")
    );
}

#[test]
fn s3_3_8_single_headers_that_come_twice() {
    for line in [
        "CSeq: 59 INVITE",
        "Call-ID: multi01.98asdh@192.0.2.2",
        "From: sip:user2@gate.example;tag=2912",
        "To: sip:user2@gate.example",
        "Max-Forwards: 5",
        "l: 100",
    ] {
        let refusal = Rig::new().answer(invite(
            &format!("Content-Type: application/sdp\n{line}\n"),
            SDP,
        ));
        assert_refused(&refusal, 400, "is there more than once");
    }
}

#[test]
fn s3_3_9_two_content_lengths() {
    let text = options("sip:user@pbx.example", "Content-Length: 13\n")
        .into_iter()
        .chain(*b"There's no way to know how many octets are supposed to be here.")
        .collect::<Vec<u8>>();
    let doubled = String::from_utf8(text).unwrap().replace(
        "Content-Length: 13",
        "Content-Length: 13\r\nContent-Length: 5",
    );
    assert_refused(
        &Rig::new().answer(doubled),
        400,
        "Content-Length is there more than once",
    );
}

#[test]
fn s3_3_10_a_response_that_asks_to_be_sent_on() {
    let mut caller = Caller::new();
    caller.hear("SIP/2.0 200 OK", |text| {
        text.replace(
            "\nFrom",
            "\nVia: SIP/2.0/UDP 255.255.255.255;branch=z9hG4bK1saber23\nFrom",
        )
    });
    assert_eq!(caller.drops().malformed, 1);
    assert!(caller.events().is_empty() && caller.sent().is_empty());
}

#[test]
fn s3_3_11_max_forwards_zero() {
    let spent = |bytes: Vec<u8>, from: &str| {
        String::from_utf8(bytes)
            .unwrap()
            .replace(from, "Max-Forwards: 0")
    };
    let asked = spent(options("sip:user@pbx.example", "l: 0\n"), "Max-Forwards: 3");
    assert_eq!(Rig::new().answer(asked).status(), 200);
    let called = spent(
        invite("Content-Type: application/sdp\n", SDP),
        "Max-Forwards: 70",
    );
    assert_refused(&Rig::new().answer(called), 483, "Max-Forwards");
}

/// A REGISTER of anna's with this Contact.
fn registration(contact: &'static str) -> impl Fn(u32, &str) -> String {
    move |n, credentials| {
        let text = format!(
            "REGISTER sip:pbx.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKkdjuw{n}\nMax-Forwards: 70\n\
             From: sip:anna@pbx.example;tag=838293\nTo: sip:anna@pbx.example\nCall-ID: cparam.70710@192.0.2.20\nCSeq: {n} REGISTER\n\
             Contact: {contact}\n{credentials}l: 0\n\n"
        );
        String::from_utf8(wire(&text)).unwrap()
    }
}

fn registered_contact(contact: &'static str) -> String {
    let registered = Rig::new().register(registration(contact));
    assert_eq!(registered.status(), 200);
    registered.header(Name::Contact).unwrap().to_owned()
}

#[test]
fn s3_3_12_a_parameter_of_the_contact() {
    let contact = registered_contact("sip:+19725552222@gw1.example;unknownparam");
    assert!(
        contact.starts_with("<sip:+19725552222@gw1.example>;unknownparam"),
        "{contact}"
    );
}

#[test]
fn s3_3_13_a_parameter_of_the_contacts_uri() {
    let contact = registered_contact("<sip:+19725552222@gw1.example;unknownparam>");
    assert!(
        contact.starts_with("<sip:+19725552222@gw1.example;unknownparam>;"),
        "{contact}"
    );
}

#[test]
fn s3_3_14_a_header_in_the_contacts_uri() {
    let contact = registered_contact("<sip:anna@192.0.2.20?Route=%3Csip:gate.example%3E>");
    assert!(
        contact.starts_with("<sip:anna@192.0.2.20?Route=%3Csip:gate.example%3E>;"),
        "{contact}"
    );
}

#[test]
fn s3_3_15_nothing_that_we_send_is_accepted() {
    let refusal = Rig::new().answer(invite("Accept: text/nobodyKnowsThis\n", ""));
    assert_refused(&refusal, 406, "Accept");
    let answers = Rig::new().answers(invite("Accept: text/nobodyKnowsThis, application/*\n", ""));
    assert_eq!(statuses(&answers), [100, 200]);
}

#[test]
fn s3_4_1_an_invite_as_it_was_before_rfc_3261() {
    let text = format!(
        "INVITE sip:+74951000001@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20\nFrom: <sip:+13035551111@ift.client.example;user=phone>\n\
         Record-Route: <sip:UserB@gate.example;maddr=192.0.2.20>\nTo: sip:+74951000001@192.0.2.1;user=phone\n\
         Call-ID: inv2543.1717@ift.client.example\nCSeq: 56 INVITE\nContent-Type: application/sdp\n\n{SDP}"
    );
    let mut rig = Rig::new();
    let answers = rig.answers(wire(&text));
    assert_eq!(statuses(&answers), [100, 200]);
    let ok = &answers[1];
    assert!(
        ok.header(Name::RecordRoute)
            .unwrap()
            .contains("maddr=192.0.2.20")
    );
    // Again without a branch: known by its whole form, and no second call (the 200 is repeated by time).
    assert!(rig.answers(wire(&text)).is_empty());
    assert_eq!(rig.live_calls(), 1);
    let bye = format!(
        "BYE sip:+74951000001@192.0.2.1 SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20\nFrom: <sip:+13035551111@ift.client.example;user=phone>\n\
         To: {}\nCall-ID: inv2543.1717@ift.client.example\nCSeq: 57 BYE\n\n",
        ok.header(Name::To).unwrap()
    );
    assert_eq!(rig.answer(wire(&bye)).status(), 200);
    assert_eq!(rig.live_calls(), 0);
}
