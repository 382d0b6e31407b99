//! RFC 4475 §3.1.2: messages that break the grammar. Refused where the RFC leaves no choice; taken in where it leaves one and only one meaning is
//! possible.

use vats::sip::endpoint::event::Event;
use vats::sip::wire::{Message, Name};

use super::caller::Caller;
use super::rig::{Rig, SDP, assert_refused, statuses, wire};

/// A good INVITE to a number that answers at once, with one text replaced by another.
fn invite(from: &str, to: &str) -> Vec<u8> {
    let text = format!(
        "INVITE sip:+74951000001@192.0.2.1 SIP/2.0\nTo: <sip:+74951000001@192.0.2.1>\nFrom: \"Caller\" <sip:caller@gate.example>;tag=134161461246\n\
         Max-Forwards: 7\nCall-ID: invalid.0ha0isndaksdjasdf3234nas\nCSeq: 8 INVITE\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\n\
         Contact: <sip:caller@192.0.2.20>\nContent-Type: application/sdp\nContent-Length: @LENGTH@\n\n{SDP}"
    );
    spoilt(&text, from, to)
}

fn options(from: &str, to: &str) -> Vec<u8> {
    let text = "OPTIONS sip:user@pbx.example SIP/2.0\nTo: <sip:user@pbx.example>\nFrom: <sip:caller@gate.example>;tag=242etr\n\
        Max-Forwards: 70\nCall-ID: invalid.23o4uhi\nCSeq: 8 OPTIONS\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\nl: 0\n\n";
    spoilt(text, from, to)
}

fn spoilt(text: &str, from: &str, to: &str) -> Vec<u8> {
    assert!(text.contains(from), "{from}");
    wire(&text.replacen(from, to, 1))
}

fn assert_answered(datagram: Vec<u8>) {
    let answers = Rig::new().answers(&datagram);
    assert_eq!(statuses(&answers), [100, 200], "{answers:?}");
}

fn assert_bad(datagram: Vec<u8>, says: &str) {
    let mut rig = Rig::new();
    assert_refused(&rig.answer(datagram), 400, says);
    assert_eq!(rig.live_calls(), 0);
}

#[test]
fn s3_1_2_1_separators_that_separate_nothing() {
    let spoilt = invite("192.0.2.20;branch=z9hG4bKkdjuw", "192.0.2.20;;,;,,");
    assert_bad(spoilt, "Via is no list");
    assert_bad(invite("Via: SIP/2.0/UDP", "Via: SIP/2.0"), "Via is no list");
    // A parameter too few at the end of a Contact harms nobody.
    assert_answered(invite(
        "<sip:caller@192.0.2.20>",
        "\"Joe\" <sip:caller@192.0.2.20>;;;;",
    ));
}

#[test]
fn s3_1_2_2_a_content_length_larger_than_the_message() {
    assert_bad(
        invite("@LENGTH@", "9999"),
        "Content-Length is larger than what came",
    );
    // One that is too small cuts the body: what is left describes no audio.
    let answers = Rig::new().answers(invite("@LENGTH@", "5"));
    assert_eq!(answers.last().unwrap().status(), 488);
}

#[test]
fn s3_1_2_3_a_negative_content_length() {
    assert_bad(invite("@LENGTH@", "-999"), "Content-Length is not a number");
}

#[test]
fn s3_1_2_4_overlarge_numbers_in_a_request() {
    let huge = "36893488147419103232";
    let draw = |cseq: &'static str, hops: &'static str| {
        move |n: u32, credentials: &str| {
            let cseq = if cseq.is_empty() {
                n.to_string()
            } else {
                cseq.to_owned()
            };
            let text = format!(
                "REGISTER sip:pbx.example SIP/2.0\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK342sdfoi3{n}\nTo: <sip:anna@pbx.example>\n\
                 From: <sip:anna@pbx.example>;tag=239232jh3\nCSeq: {cseq} REGISTER\nCall-ID: scalar02.23o0pd9vanlq3wnrlnewofjas9ui32\n\
                 Max-Forwards: {hops}\nExpires: 10000000000000000000\nContact: <sip:anna@192.0.2.20>;q=7.3;expires=280297596632815\n\
                 {credentials}Content-Length: 0\n\n"
            );
            String::from_utf8(wire(&text)).unwrap()
        }
    };
    let refusal = Rig::new().answer(draw(huge, "70")(1, ""));
    assert_refused(&refusal, 400, "CSeq is not a number");
    let refusal = Rig::new().answer(draw("", "300")(1, ""));
    assert_refused(&refusal, 400, "Max-Forwards is not a number from 0 to 255");
    // The largest expiry that is granted, whatever was asked for.
    let registered = Rig::new().register(draw("", "70"));
    assert_eq!(registered.status(), 200);
    let contact = registered.header(Name::Contact).unwrap();
    assert!(contact.contains(";expires=120"), "{contact}");
}

#[test]
fn s3_1_2_5_overlarge_numbers_in_a_response() {
    let start = "SIP/2.0 503 Service Unavailable";
    let mut caller = Caller::new();
    caller.hear(start, |text| {
        text.replace("CSeq: 1", "CSeq: 9292394834772304023312")
    });
    assert_eq!(caller.drops().malformed, 1);
    assert!(caller.events().is_empty() && caller.sent().is_empty());
    caller.pass();
    assert_eq!(caller.sent(), ["INVITE"], "it goes on waiting");
    caller.hear(start, |text| {
        text.replace(
            "Contact:",
            "Retry-After: 949302838503028349304023988\nWarning: 1812 overture \"In Progress\"\nContact:",
        )
    });
    assert!(matches!(
        caller.events().as_slice(),
        [Event::Refused { code: 503, .. }]
    ));
}

#[test]
fn s3_1_2_6_a_quoted_string_without_an_end() {
    let spoilt = invite(
        "To: <sip:+74951000001@192.0.2.1>",
        "To: \"Mr. J. User <sip:+74951000001@192.0.2.1>",
    );
    assert_bad(spoilt, "A quoted string in To does not end");
}

#[test]
fn s3_1_2_7_brackets_around_the_request_uri() {
    let spoilt = invite(
        "sip:+74951000001@192.0.2.1 SIP",
        "<sip:+74951000001@192.0.2.1> SIP",
    );
    assert_bad(spoilt, "The Request-URI stands in brackets");
}

#[test]
fn s3_1_2_8_blanks_within_the_request_uri() {
    assert_bad(
        invite("192.0.2.1 SIP", "192.0.2.1; lr SIP"),
        "The Request-URI contains white space",
    );
}

#[test]
fn s3_1_2_9_blanks_around_the_request_uri() {
    assert_bad(
        invite("INVITE sip", "INVITE  sip"),
        "The Request-URI contains white space",
    );
    assert_bad(
        invite("192.0.2.1 SIP", "192.0.2.1  SIP"),
        "The Request-URI contains white space",
    );
}

#[test]
fn s3_1_2_10_blanks_behind_the_request_line() {
    let answer = Rig::new().answer(options("SIP/2.0\n", "SIP/2.0  \n"));
    assert_eq!(answer.status(), 200);
}

#[test]
fn s3_1_2_11_headers_in_the_request_uri() {
    // They are passed over, and go nowhere from here.
    let spoilt = invite(
        "192.0.2.1 SIP",
        "192.0.2.1?Route=%3Csip:gate.example%3E SIP",
    );
    let answers = Rig::new().answers(&spoilt);
    assert_eq!(statuses(&answers), [100, 200]);
    assert_eq!(answers[1].header(Name::Route), None);
}

#[test]
fn s3_1_2_12_a_date_in_another_zone() {
    assert_answered(invite("CSeq", "Date: Fri, 01 Jan 2010 16:00:00 EST\nCSeq"));
}

#[test]
fn s3_1_2_13_a_contact_whose_parts_are_anybodys() {
    let draw = |n: u32, credentials: &str| {
        let text = format!(
            "REGISTER sip:pbx.example SIP/2.0\nTo: sip:anna@pbx.example\nFrom: sip:anna@pbx.example;tag=998332\nMax-Forwards: 70\n\
             Call-ID: regbadct.k345asrl3fdbv@192.0.2.20\nCSeq: {n} REGISTER\nVia: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKkdjuw{n}\n\
             Contact: sip:anna@192.0.2.20?Route=%3Csip:gate.example%3E\n{credentials}l: 0\n\n"
        );
        String::from_utf8(wire(&text)).unwrap()
    };
    let refusal = Rig::new().register(draw);
    assert_refused(&refusal, 400, "Contact is no list of SIP addresses");
}

#[test]
fn s3_1_2_14_blanks_within_brackets() {
    let answer = Rig::new().answer(options(
        "To: <sip:user@pbx.example>",
        "To: \"Watson, Thomas\" < sip:t.watson@pbx.example >",
    ));
    assert_eq!(answer.status(), 200);
    assert!(
        answer
            .header(Name::To)
            .unwrap()
            .starts_with("\"Watson, Thomas\" < sip:t.watson@pbx.example >;tag=")
    );
}

#[test]
fn s3_1_2_15_a_display_name_that_should_be_quoted() {
    let answer = Rig::new().answer(options(
        "From: <sip:caller",
        "From: Bell, Alexander <sip:caller",
    ));
    assert_eq!((answer.status(), answer.from_tag()), (200, "242etr"));
}

#[test]
fn s3_1_2_16_another_version() {
    let refusal = Rig::new().answer(options("SIP/2.0\n", "SIP/7.0\n"));
    assert_refused(&refusal, 505, "Only SIP/2.0");
}

#[test]
fn s3_1_2_17_a_cseq_of_another_method() {
    let refusal = Rig::new().answer(options("8 OPTIONS", "8 INVITE"));
    assert_refused(&refusal, 400, "CSeq names another method");
}

#[test]
fn s3_1_2_18_a_cseq_of_another_method_than_an_unknown_one() {
    let refusal = Rig::new().answer(options("OPTIONS sip", "NEWMETHOD sip"));
    assert_refused(&refusal, 501, "CSeq names another method");
    assert!(refusal.header(Name::Allow).unwrap().contains("OPTIONS"));
}

#[test]
fn s3_1_2_19_an_overlarge_status() {
    let mut caller = Caller::new();
    caller.hear("SIP/2.0 4294967301 better not break the receiver", |text| {
        text
    });
    assert_eq!(caller.drops().unreadable, 1);
    assert!(caller.events().is_empty() && caller.sent().is_empty());
    let text = wire("SIP/2.0 4294967301 x\nl: 0\n\n");
    assert!(Message::parse(text.into()).is_err());
}
