//! Whole messages: what is read, what is wrong with them, what is written.

use bytes::Bytes;
use proptest::prelude::*;

use super::*;

const INVITE: &str = "INVITE sip:+74951000001@pbx.shop.example SIP/2.0\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;rport, SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb2\r\n\
v: SIP/2.0/TCP [2001:db8::1]:5062;branch=z9hG4bKc3\r\n\
Max-Forwards: 70\r\n\
From: \"Visitor; tag=no\" <sip:+79990000000;tag=no@192.0.2.1>;tag=f1\r\n\
t: <sip:+74951000001@pbx.shop.example;tag=no>\r\n\
i: call-1@192.0.2.1\r\n\
CSeq : 7  INVITE\r\n\
X-Shop: sofas\r\n\
Timestamp: 54\r\n\
c: application/sdp\r\n\
l: 5\r\n\
\r\n\
v=0\r\nrest";

fn parse(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).unwrap()
}

#[test]
fn everything_in_a_request_is_found() {
    let message = parse(INVITE);
    assert_eq!(message.defect(), None);
    assert!(message.is_request());
    assert_eq!(message.method(), Method::Invite);
    assert_eq!(message.request_uri(), "sip:+74951000001@pbx.shop.example");
    assert_eq!((message.status(), message.reason_phrase()), (0, ""));
    assert_eq!(message.headers(Name::Via).count(), 2);
    assert_eq!(message.header(Name::MaxForwards), Some("70"));
    assert_eq!(message.header(Name::Contact), None);
    assert_eq!(message.other_header("x-shop"), Some("sofas"));
    assert_eq!(message.other_header("timestamp"), Some("54"));
    assert_eq!(message.call_id(), "call-1@192.0.2.1");
    assert_eq!((message.from_tag(), message.to_tag()), ("f1", None));
    assert_eq!((message.cseq(), message.branch()), (7, "z9hG4bKa1"));
    assert_eq!(message.body(), "v=0\r\n");
    assert_eq!(message.body_of("application/sdp").unwrap(), "v=0\r\n");
    assert_eq!(message.bytes(), INVITE);
}

#[test]
fn everything_in_a_response_is_found() {
    let message = parse(
        "SIP/2.0 183 Just a moment\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: sip:a@h;tag=1\r\n\
         To: B <sip:b@h> ; Tag = 2\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n",
    );
    assert_eq!(message.defect(), None);
    assert_eq!(
        (message.status(), message.reason_phrase()),
        (183, "Just a moment")
    );
    assert_eq!(
        (message.method(), message.method_text()),
        (Method::Invite, "INVITE")
    );
    assert_eq!(message.request_uri(), "");
    assert_eq!((message.from_tag(), message.to_tag()), ("1", Some("2")));
    assert!(message.body().is_empty());
}

#[test]
fn a_response_takes_over_what_it_must_and_the_source() {
    let request = parse(INVITE);
    let source = "198.51.100.7:40000".parse().unwrap();
    let response = Writer::response_from(&request, 100, None, Some(source)).finish();
    assert_eq!(
        response,
        "SIP/2.0 100 Trying\r\n\
Via: SIP/2.0/UDP 192.0.2.1:5060;branch=z9hG4bKa1;received=198.51.100.7;rport=40000, SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKb2\r\n\
Via: SIP/2.0/TCP [2001:db8::1]:5062;branch=z9hG4bKc3\r\n\
From: \"Visitor; tag=no\" <sip:+79990000000;tag=no@192.0.2.1>;tag=f1\r\n\
To: <sip:+74951000001@pbx.shop.example;tag=no>\r\n\
Call-ID: call-1@192.0.2.1\r\n\
CSeq: 7  INVITE\r\n\
Timestamp: 54\r\n\
Content-Length: 0\r\n\r\n"
    );
    let answered = Message::parse(
        Writer::response_to(&request, 486, Some("t9")).finish_with("text/plain", b"busy"),
    )
    .unwrap();
    assert_eq!(answered.to_tag(), Some("t9"));
    assert_eq!(answered.reason_phrase(), "Busy Here");
    assert_eq!(answered.header(Name::Timestamp), None);
    assert_eq!(answered.body(), "busy");
    assert_eq!(
        answered.headers(Name::Via).next(),
        request.headers(Name::Via).next()
    );
}

#[test]
fn received_is_added_only_where_it_tells_something() {
    let via = |text: &str, source: &str| {
        let request = parse(&format!(
            "OPTIONS sip:a@b SIP/2.0\r\nVia: {text}\r\nFrom: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: 1\r\nCSeq: 1 OPTIONS\r\n\r\n"
        ));
        let response = Writer::response_from(&request, 200, None, Some(source.parse().unwrap()));
        let response = Message::parse(response.finish()).unwrap();
        response.header(Name::Via).unwrap().to_owned()
    };
    let plain = "SIP/2.0/UDP 192.0.2.1:5060;branch=1";
    assert_eq!(via(plain, "192.0.2.1:9"), plain);
    assert_eq!(
        via("SIP/2.0/UDP [2001:DB8::1]:5060;branch=1", "[2001:db8::1]:9"),
        "SIP/2.0/UDP [2001:DB8::1]:5060;branch=1"
    );
    assert_eq!(
        via("SIP/2.0/UDP host;branch=1;received=6.6.6.6", "192.0.2.1:9"),
        "SIP/2.0/UDP host;branch=1;received=192.0.2.1"
    );
    assert_eq!(
        via(
            "SIP/2.0/UDP 192.0.2.1;rport=1;branch=\"a;,\"",
            "192.0.2.1:9"
        ),
        "SIP/2.0/UDP 192.0.2.1;branch=\"a;,\";received=192.0.2.1;rport=9"
    );
}

#[test]
fn nothing_starts_a_header_that_was_not_meant_to() {
    let message = Writer::request("INFO\r\nX: 1", "sip:a b\r\nY: 2@h")
        .header(Name::Subject, "one\r\nContact: <sip:evil>\0")
        .other("X-A: b\r\nRoute", "c")
        .other("", "d")
        .finish_with("text/plain\r\nZ: 3", b"");
    assert_eq!(
        message,
        "INFOX:1 sip:abY:2@h SIP/2.0\r\nSubject: one  Contact: <sip:evil> \r\nX-AbRoute: c\r\n\
         Content-Type: text/plain  Z: 3\r\nContent-Length: 0\r\n\r\n"
    );
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        method in "[A-Z]{1,10}",
        call_id in "[!-~]{1,30}",
        cseq: u32,
        from_tag in "[a-zA-Z0-9.-]{1,12}",
        to_tag in prop::option::of("[a-zA-Z0-9.-]{1,12}"),
        display in "[^\\r\\n\0\"\\\\]{0,20}",
        subject in "\\PC{0,30}",
        own in "X-[A-Za-z]{3,8}",
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let to_param = to_tag.as_ref().map(|tag| format!(";tag={tag}")).unwrap_or_default();
        let written = Writer::request(&method, "sip:a@h")
            .header(Name::Via, "SIP/2.0/UDP h;rport;branch=z9hG4bKx")
            .header(Name::From, format!("\"{display}\" <sip:b@h>;tag={from_tag}"))
            .header(Name::To, format!("<sip:a@h>{to_param}"))
            .header(Name::CallId, &call_id)
            .header(Name::CSeq, format!("{cseq} {method}"))
            .header(Name::Subject, &subject)
            .other(&own, &subject)
            .finish_with("application/x", &body);
        let message = Message::parse(written).unwrap();
        prop_assert_eq!(message.defect(), None);
        prop_assert_eq!(message.method_text(), &method);
        prop_assert_eq!(message.call_id(), &call_id);
        prop_assert_eq!(message.cseq(), cseq);
        prop_assert_eq!(message.from_tag(), &from_tag);
        prop_assert_eq!(message.to_tag(), to_tag.as_deref());
        prop_assert_eq!(message.branch(), "z9hG4bKx");
        prop_assert_eq!(message.header(Name::Subject), Some(subject.trim_matches([' ', '\t'])));
        prop_assert_eq!(message.other_header(&own), Some(subject.trim_matches([' ', '\t'])));
        prop_assert_eq!(&message.body()[..], &body[..]);
    }

    #[test]
    fn no_bytes_do_harm(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
        ask_everything(&bytes);
    }

    /// Near misses find more than noise does: a good message with some bytes changed, cut or doubled.
    #[test]
    fn no_damage_does_harm(
        damage in prop::collection::vec((any::<prop::sample::Index>(), prop::sample::select(&b"\r\n \t:;,<>\"\\\0\xff=@0"[..])), 0..12),
        cut in any::<prop::sample::Index>(),
        doubled: bool,
    ) {
        let mut bytes = INVITE.as_bytes().to_vec();
        for (place, byte) in damage {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        ask_everything(&bytes);
        if doubled {
            let half = bytes[..cut.index(bytes.len())].to_vec();
            bytes.extend(half);
        } else {
            bytes.truncate(cut.index(bytes.len()));
        }
        ask_everything(&bytes);
    }
}

fn ask_everything(bytes: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    let _ = (
        message.method(),
        message.request_uri(),
        message.reason_phrase(),
    );
    let _ = (message.from_tag(), message.to_tag(), message.branch());
    let _ = (
        message.other_header("x-shop"),
        message.body_of("application/sdp"),
        message.defect(),
    );
    for (name, written, value) in message.lines() {
        assert!(name == Name::parse(written) && !value.contains(['\r', '\n']));
    }
    // What we say about it can itself be read, with as many lines as were meant.
    let source = "192.0.2.1:5060".parse().unwrap();
    let response = Writer::response_from(&message, 400, Some("t"), Some(source)).finish();
    let response = Message::parse(response).unwrap();
    assert_eq!(response.status(), 400);
    assert_eq!(
        response.headers(Name::Via).count(),
        message.headers(Name::Via).count()
    );
    assert_eq!(response.call_id(), message.call_id());
    assert!(response.body().is_empty());
}
