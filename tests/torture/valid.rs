//! RFC 4475 §3.1.1: messages that look wrong and are right.

use vats::sip::endpoint::event::Event;
use vats::sip::uri::Uri;
use vats::sip::wire::{Message, Name};

use super::caller::Caller;
use super::rig::{Rig, SDP, statuses, wire};

/// Takes any value and any line; the display name holds an escaped backslash and quote, lists share lines, everything is folded.
fn tortuous(to_tag: &str) -> Vec<u8> {
    let head = format!(
        r#"INVITE sip:+74951000001@192.0.2.1;unknownparam SIP/2.0
TO :
 sip:+74951000001@192.0.2.1{to_tag}
from   : "A Visitor \\\""       <sip:visitor@gate.example>
  ;
  tag = 98asjd8
MaX-fOrWaRdS: 0068
Call-ID: tortuous.1@192.0.2.20
Content-Length   : @LENGTH@
cseq: 0009
  INVITE
Via  : SIP  /   2.0
 /UDP
    192.0.2.20;branch=390skdjuw
s :
NewFangledHeader:   newfangled value
 continued newfangled value
UnknownHeaderWithUnusualValue: ;;,,;;,;
Content-Type: application/sdp
Route:
 <sip:services.example;lr;unknownwith=value;unknown-no-value>
v:  SIP  / 2.0  / TCP     spindle.example   ;
  branch  =   z9hG4bK9ikj8  ,
 SIP  /    2.0   / UDP  192.168.255.111   ; branch=
 z9hG4bK30239
m:"Quoted string \"\"" <sip:visitor@gate.example> ; newparam =
      newvalue ;
  secondparam ; q = 0.33

"#
    );
    wire(&(head + SDP))
}

#[test]
fn s3_1_1_1_a_short_tortuous_invite() {
    let mut rig = Rig::new();
    let answers = rig.answers(tortuous(""));
    assert_eq!(statuses(&answers), [100, 200]);
    let ok = &answers[1];
    let vias: Vec<&str> = ok.headers(Name::Via).collect();
    assert_eq!(vias.len(), 2);
    assert!(
        vias[0].ends_with("192.0.2.20;branch=390skdjuw"),
        "{}",
        vias[0]
    );
    assert!(vias[1].contains("spindle.example") && vias[1].contains("192.168.255.111"));
    assert_eq!((ok.cseq(), ok.from_tag()), (9, "98asjd8"));
    // As the RFC has it, within a dialog that nobody here knows.
    let answers = Rig::new().answers(tortuous(" ;   tag    = 1918181833n"));
    assert_eq!(statuses(&answers), [481]);
    assert_eq!(answers[0].to_tag(), Some("1918181833n"));
}

#[test]
fn s3_1_1_2_a_wide_range_of_valid_characters() {
    let method = "!interesting-Method0123456789_*+`.%indeed'~";
    let mut text = format!(
        "{method} sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*:&it+has=1,weird!*pas$wo~d_too.(doesn't-it)@pbx.example SIP/2.0\n\
         Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK-.!%66*_+`'~\n\
         To: \"BEL:\\\u{7} NUL:\\\u{0} DEL:\\\u{7f}\" <sip:1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*@pbx.example>\n"
    );
    text += "From: token1~` token2'+_ token3*%!.- <sip:mundane@pbx.example>;fromParam''~+*_!.-%=\"работающий\";tag=_token~1'+`*%!-.\n";
    text += "Call-ID: intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{\n";
    text += &format!("CSeq: 139122385 {method}\nMax-Forwards: 255\n");
    text += "extensionHeader-!.%*+_`'~:\u{feff}大停電\nContent-Length: 0\n\n";
    let answer = Rig::new().answer(wire(&text));
    assert_eq!(answer.status(), 405);
    assert!(answer.header(Name::Allow).unwrap().contains("INVITE"));
    assert_eq!(
        answer.call_id(),
        "intmeth.word%ZK-!.*_+'@word`~)(><:\\/\"][?}{"
    );
    assert_eq!((answer.cseq(), answer.method_text()), (139_122_385, method));
    assert_eq!(answer.branch(), "z9hG4bK-.!%66*_+`'~");
    assert!(
        answer
            .header(Name::From)
            .unwrap()
            .contains("=\"работающий\"")
    );
}

#[test]
fn s3_1_1_3_escapes_that_are_escapes() {
    let text = "INVITE sip:sips%3Auser%40gate.example@192.0.2.1 SIP/2.0\n\
        To: sip:%2B7495%31000001@192.0.2.1\n\
        From: <sip:I%20have%20spaces@gate.example>;tag=938\n\
        Max-Forwards: 87\ni: esc01.239409asdfakjkn23onasd0-3234\nCSeq: 234234 INVITE\n\
        Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKkdjuw\nC: application/sdp\n\
        Contact:\n  <sip:cal%6Cer@192.0.2.20:5060;%6C%72;n%61me=v%61lue%25%34%31>\n\
        Content-Length: @LENGTH@\n\n";
    // The Request-URI's user is no number of ours, To's is, once its escapes are resolved.
    let answers = Rig::new().answers(wire(&(text.to_owned() + SDP)));
    assert_eq!(statuses(&answers), [100, 200]);
    assert!(answers[1].header(Name::From).unwrap().contains("%20"));
    let uri = Uri::parse("sip:sips%3Auser%40gate.example@192.0.2.1").unwrap();
    assert_eq!(uri.user().as_deref(), Some("sips:user@gate.example"));
}

#[test]
fn s3_1_1_4_escaped_nulls_are_part_of_a_name() {
    let draw = |to: &'static str| {
        move |n: u32, credentials: &str| {
            let text = format!(
                "REGISTER sip:pbx.example SIP/2.0\nTo: sip:{to}@pbx.example\nFrom: sip:{to}@pbx.example;tag=839923423\n\
                 Max-Forwards: 70\nCall-ID: escnull.39203ndfvkjdasfkq3w4otrq0adsfdfnavd\nCSeq: {n} REGISTER\n\
                 Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bKdkdjuw{n}\nContact: <sip:%00@192.0.2.20>\n\
                 Contact: <sip:%00%00@192.0.2.20>\n{credentials}L:0\n\n"
            );
            String::from_utf8(wire(&text)).unwrap()
        }
    };
    assert_eq!(Rig::new().register(draw("anna%00")).status(), 403);
    let registered = Rig::new().register(draw("anna"));
    assert_eq!(registered.status(), 200);
    let mut contacts: Vec<&str> = registered.headers(Name::Contact).collect();
    contacts.sort_unstable();
    assert_eq!(contacts.len(), 2);
    assert!(contacts[0].starts_with("<sip:%00%00@"), "{contacts:?}");
    assert!(contacts[1].starts_with("<sip:%00@"), "{contacts:?}");
}

#[test]
fn s3_1_1_5_a_percent_sign_that_escapes_nothing() {
    let text = "RE%47IST%45R sip:registrar.example SIP/2.0\nTo: \"%Z%45\" <sip:resource@pbx.example>\n\
        From: \"%Z%45\" <sip:resource@pbx.example>;tag=f232jadfj23\nCall-ID: esc02.asdfnqwo34rq23i34jrjasdcnl23nrlknsdf\n\
        Via: SIP/2.0/UDP 192.0.2.20:5060;branch=z9hG4bK209%fzsnel234\nCSeq: 29344 RE%47IST%45R\nMax-Forwards: 70\n\
        Contact: <sip:alias1@192.0.2.20>\nC%6Fntact: <sip:alias2@192.0.2.20>\nContact: <sip:alias3@192.0.2.20>\nl: 0\n\n";
    let answer = Rig::new().answer(wire(text));
    assert_eq!(answer.status(), 405);
    assert_eq!(answer.method_text(), "RE%47IST%45R");
    assert_eq!(answer.branch(), "z9hG4bK209%fzsnel234");
    assert!(answer.header(Name::To).unwrap().starts_with("\"%Z%45\""));
    let request = Message::parse(wire(text).into()).unwrap();
    assert_eq!(request.headers(Name::Contact).count(), 2);
}

#[test]
fn s3_1_1_6_no_blank_before_the_bracket() {
    let text = "OPTIONS sip:user@pbx.example SIP/2.0\nTo: sip:user@pbx.example\nFrom: caller<sip:caller@gate.example>;tag=323\n\
        Max-Forwards: 70\nCall-ID: lwsdisp.1234abcd@funky.example\nCSeq: 60 OPTIONS\n\
        Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\nl: 0\n\n";
    let answer = Rig::new().answer(wire(text));
    assert_eq!((answer.status(), answer.from_tag()), (200, "323"));
}

#[test]
fn s3_1_1_7_long_values() {
    let many = |word: &str, times: usize| word.repeat(times);
    let vias: String = (2..34)
        .rev()
        .map(|n| format!("v: SIP/2.0/TCP sip{n}.example\n"))
        .collect();
    let text = format!(
        "INVITE sip:+74951000001@192.0.2.1 SIP/2.0\nTo: \"I have a user name of {} proportion\"<sip:+74951000001@192.0.2.1:6000;\
         unknownparam1=very{}value;longparam{}=shortvalue;very{}ParameterNameWithNoValue>\n\
         F: sip:{}@gate.example;tag=12{}424;unknownheaderparam{}=unknowheaderparam{};unknownValueless{}\n\
         Call-ID: longreq.one{}longcallid\nCSeq: 3882340 INVITE\n\
         Unknown-{}-Name: unknown-{}-value; unknown-{}-parameter-name = unknown-{}-parameter-value\n\
         Via: SIP/2.0/UDP sip33.example\n{vias}V: SIP/2.0/UDP 192.0.2.20;rport=5060;branch=very{}branchvalue\n\
         Max-Forwards: 70\nContact: <sip:{}@192.0.2.20:5060>\nContent-Type: application/sdp\nl: @LENGTH@\n\n{SDP}",
        many("extreme", 10),
        many("long", 20),
        many("name", 25),
        many("long", 25),
        many("amazinglylongcallername", 5),
        many("982", 50),
        many("name", 20),
        many("value", 15),
        many("paramname", 10),
        many("really", 20),
        many("Long", 20),
        many("long", 20),
        many("long", 20),
        many("long", 20),
        many("long", 50),
        many("amazinglylongcallername", 5),
    );
    let answers = Rig::new().answers(wire(&text));
    assert_eq!(statuses(&answers), [100, 200]);
    let ok = &answers[1];
    assert_eq!(ok.headers(Name::Via).count(), 34);
    assert_eq!(ok.from_tag(), format!("12{}424", many("982", 50)));
    assert_eq!(
        ok.call_id(),
        format!("longreq.one{}longcallid", many("really", 20))
    );
}

#[test]
fn s3_1_1_8_what_follows_the_first_message_in_a_datagram() {
    let register = "REGISTER sip:pbx.example SIP/2.0\nTo: sip:j.user@pbx.example\nFrom: sip:j.user@pbx.example;tag=43251j3j324\n\
        Max-Forwards: 8\nI: dblreq.0ha0isndaksdj99sdfafnl3lk233412\nContact: sip:j.user@192.0.2.20\nCSeq: 8 REGISTER\n\
        Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw23492\nContent-Length: 0\n\n";
    let invite = "\nINVITE sip:+74951000001@192.0.2.1 SIP/2.0\nt: sip:+74951000001@192.0.2.1\nFrom: sip:caller@gate.example;tag=141334\n\
        Max-Forwards: 8\nCall-ID: dblreq.0ha0isnda977644900765@192.0.2.20\nCSeq: 8 INVITE\n\
        Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw380234\nContent-Type: application/sdp\nContent-Length: 4\n\nv=0\n";
    let mut rig = Rig::new();
    let answer = rig.answer([wire(register), wire(invite)].concat());
    assert_eq!((answer.status(), answer.method_text()), (401, "REGISTER"));
    assert_eq!(rig.live_calls(), 0);
}

#[test]
fn s3_1_1_9_parameters_in_a_user() {
    let text = "OPTIONS sip:user;par=u%40gate.example@pbx.example SIP/2.0\nTo: sip:j_user@pbx.example\n\
        From: sip:caller@gate.example;tag=33242\nMax-Forwards: 3\nCall-ID: semiuri.0ha0isndaksdj\nCSeq: 8 OPTIONS\n\
        Accept: application/sdp, application/pkcs7-mime,\n        multipart/mixed, multipart/signed,\n        message/sip, message/sipfrag\n\
        Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\nl: 0\n\n";
    assert_eq!(Rig::new().answer(wire(text)).status(), 200);
    let uri = Uri::parse("sip:user;par=u%40gate.example@pbx.example").unwrap();
    assert_eq!(uri.user().as_deref(), Some("user;par=u@gate.example"));
    assert_eq!(uri.params().count(), 0);
}

#[test]
fn s3_1_1_10_transports_of_every_kind() {
    let text = "OPTIONS sip:user@pbx.example SIP/2.0\nTo: sip:user@pbx.example\nFrom: <sip:caller@gate.example>;tag=323\n\
        Max-Forwards: 70\nCall-ID: transports.kijh4akdnaqjkwendsasfdj\nAccept: application/sdp\nCSeq: 60 OPTIONS\n\
        Via: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\nVia: SIP/2.0/SCTP t2.example;branch=z9hG4bKklasjdhf\n\
        Via: SIP/2.0/TLS t3.example;branch=z9hG4bK2980unddj\nVia: SIP/2.0/UNKNOWN t4.example;branch=z9hG4bKasd0f3en\n\
        Via: SIP/2.0/TCP t5.example;branch=z9hG4bK0a9idfnee\nl: 0\n\n";
    let answer = Rig::new().answer(wire(text));
    assert_eq!(answer.status(), 200);
    let transports: Vec<&str> = answer
        .headers(Name::Via)
        .filter_map(|via| via.strip_prefix("SIP/2.0/")?.split(' ').next())
        .collect();
    assert_eq!(transports, ["UDP", "SCTP", "TLS", "UNKNOWN", "TCP"]);
    // An unknown one on top: the datagram came from somewhere, and that is where the answer goes.
    let unknown = text.replace("SIP/2.0/UDP 192", "SIP/2.0/CARRIER-PIGEON 192");
    assert_eq!(Rig::new().answer(wire(&unknown)).status(), 200);
}

#[test]
fn s3_1_1_11_bodies_in_parts() {
    let head = |method: &str| {
        format!(
            "{method} sip:+74951000001@192.0.2.1 SIP/2.0\nTo: <sip:+74951000001@192.0.2.1>\nFrom: sip:caller@gate.example;tag=34525\n\
             Max-Forwards: 5\nCall-ID: mpart01.ndaksdj\nCSeq: 1 {method}\nVia: SIP/2.0/UDP 192.0.2.20;branch=z9hG4bKkdjuw\n\
             Contact: <sip:caller@192.0.2.20>\nContent-Type: multipart/mixed;boundary=7a9cbec02ceef655\n"
        )
    };
    let signature = b"\x30\x82\x01\x52\x06\x09\x2a\x86\x48\x86\xf7\r\n--7a9c\0\xa0\x82\xff";
    let message = |method: &str, kind: &str, text: &str| {
        let mut body = format!("--7a9cbec02ceef655\r\nContent-Type: {kind}\r\n\r\n").into_bytes();
        body.extend_from_slice(text.replace('\n', "\r\n").as_bytes());
        body.extend_from_slice(b"\r\n--7a9cbec02ceef655\r\n\r\n\r\n--7a9cbec02ceef655\r\nContent-Type: application/octet-stream\r\n\r\n");
        body.extend_from_slice(signature);
        body.extend_from_slice(b"\r\n--7a9cbec02ceef655--\r\n");
        let mut whole = wire(&format!("{}l: {}\n\n", head(method), body.len()));
        whole.extend_from_slice(&body);
        whole
    };
    let text = message("MESSAGE", "text/plain", "Hello");
    let parsed = Message::parse(text.clone().into()).unwrap();
    assert_eq!(
        &parsed.body_of("application/octet-stream").unwrap()[..],
        signature
    );
    // Messages are not carried here, and the answer says what is.
    let answer = Rig::new().answer(text);
    assert_eq!(answer.status(), 405);
    assert!(!answer.header(Name::Allow).unwrap().contains("MESSAGE"));
    let answers = Rig::new().answers(message("INVITE", "application/sdp", SDP));
    assert_eq!(statuses(&answers), [100, 200]);
}

#[test]
fn s3_1_1_12_an_unusual_reason_phrase() {
    let mut caller = Caller::new();
    caller.hear(
        "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять - простое",
        |text| text,
    );
    assert_eq!(caller.sent(), ["ACK"]);
    assert!(matches!(
        caller.events().as_slice(),
        [Event::Answered { .. }]
    ));
}

#[test]
fn s3_1_1_13_an_empty_reason_phrase() {
    for start in ["SIP/2.0 100 ", "SIP/2.0 100"] {
        let mut caller = Caller::new();
        caller.hear(start, |text| text);
        caller.pass();
        assert!(caller.sent().is_empty(), "{start}: the INVITE is repeated");
        assert_eq!(caller.drops().malformed + caller.drops().unreadable, 0);
    }
}
