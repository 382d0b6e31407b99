//! Messages in the spirit of RFC 4475 and RFC 5118, in our own words: valid ones that look wrong, wrong ones that must be answered, and what is no SIP.

use bytes::Bytes;

use super::*;

fn parse(bytes: impl AsRef<[u8]>) -> Message {
    Message::parse(Bytes::copy_from_slice(bytes.as_ref())).unwrap()
}

/// The status and sentence of what is wrong.
fn defect(bytes: impl AsRef<[u8]>) -> Option<(u16, String)> {
    let message = parse(bytes);
    let (status, sentence) = message.defect()?;
    Some((status, sentence.to_owned()))
}

fn refused(status: u16, sentence: &str) -> Option<(u16, String)> {
    Some((status, sentence.to_owned()))
}

fn not_sip(bytes: impl AsRef<[u8]>) -> bool {
    Message::parse(Bytes::copy_from_slice(bytes.as_ref())).is_err()
}

/// A request with this start line and these lines behind the mandatory ones.
fn request(start: &str, more: &str) -> String {
    let method = start.split(' ').next().unwrap();
    format!(
        "{start}\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
         Call-ID: c\r\nCSeq: 1 {method}\r\n{more}\r\n"
    )
}

/// A good OPTIONS with one text replaced by another.
fn options(from: &str, to: &str) -> String {
    let good = request(
        "OPTIONS sip:b@h SIP/2.0",
        "Max-Forwards: 70\r\nContent-Length: 0\r\n",
    );
    assert!(good.contains(from), "{from}");
    good.replacen(from, to, 1)
}

#[test]
fn a_tortuous_but_valid_invite() {
    let message = parse(
        b"INVITE sip:vivekg@chair-dnrc.example.com;unknownparam SIP/2.0\r\n\
TO :\r\n sip:vivekg@chair-dnrc.example.com ;   tag    = 1918181833n\r\n\
from   : \"J Rosenberg \\\\\\\"\"       <sip:jdrosen@example.com>\r\n  ;\r\n  tag = 98asjd8\r\n\
MaX-fOrWaRdS: 0068\r\n\
Call-ID: wsinv.ndaksdj@192.0.2.1\r\n\
Content-Length   : 5\r\n\
cseq: 0009\r\n  INVITE\r\n\
Via  : SIP  /   2.0\r\n /UDP\r\n    192.0.2.2;branch=390skdjuw\r\n\
s :\r\n\
NewFangledHeader:   newfangled value\r\n continued newfangled value\r\n\
UnknownHeaderWithUnusualValue: ;;,,;;,;\r\n\
Content-Type: application/sdp\r\n\
Route:\r\n <sip:services.example.com;lr;unknownwith=value;unknown-no-value>\r\n\
v:  SIP  / 2.0  / TCP     spindle.example.com   ;\r\n  branch  =   z9hG4bK9ikj8  ,\r\n SIP  /    2.0   / UDP  192.168.255.111   ; branch=\r\n z9hG4bK30239\r\n\
m:\"Quoted string \\\"\\\"\" <sip:jdrosen@example.com> ; newparam =\r\n      newvalue ;\r\n  secondparam ; q = 0.33\r\n\
\r\n\
v=0\r\n" as &[u8],
    );
    assert_eq!(message.defect(), None);
    assert_eq!(
        (message.from_tag(), message.to_tag()),
        ("98asjd8", Some("1918181833n"))
    );
    assert_eq!((message.cseq(), message.branch()), (9, "390skdjuw"));
    assert_eq!(message.header(Name::Subject), Some(""));
    assert_eq!(
        message.other_header("newfangledheader"),
        Some("newfangled value continued newfangled value")
    );
    let vias: Vec<_> = message
        .headers(Name::Via)
        .flat_map(|line| crate::sip::header::via::Via::parse_list(line).unwrap())
        .collect();
    assert_eq!(vias.len(), 3);
    assert_eq!(vias[2].param("branch"), Some("z9hG4bK30239"));
    assert_eq!(message.body(), "v=0\r\n");
    assert!(message.bytes().starts_with(b"INVITE") && message.bytes().ends_with(b"v=0\r\n"));
}

#[test]
fn valid_ones_that_look_wrong() {
    for (bytes, why) in [
        (
            request("!in.-%*_+`'~m sip:b@h SIP/2.0", ""),
            "every token letter in the method",
        ),
        (
            request(
                "OPTIONS sip:sips%3Auser%40example.com@example.net SIP/2.0",
                "",
            ),
            "an escaped URI as user",
        ),
        (
            request("OPTIONS sip:null-%00-null@h SIP/2.0", ""),
            "an escaped zero",
        ),
        (
            request("RE%47IST%45R sip:b@h SIP/2.0", ""),
            "an escape that is none, in a method",
        ),
        (
            request("OPTIONS soap.beep://host SIP/2.0", ""),
            "a scheme that we do not know: 416 is the endpoint's",
        ),
        (
            request("OPTIONS sip:[2001:db8::10] SIP/2.0  ", ""),
            "blanks behind the start line",
        ),
        (
            request("options sip:b@h sip/2.0", ""),
            "small letters: another method, the same version",
        ),
        (options("OPTIONS", "\r\n\r\nOPTIONS"), "line ends before it"),
        (
            options(
                "Via: SIP/2.0/UDP h",
                "Via: SIP/2.0/UDP [2001:db8::9:1]:5060;received=[2001:db8::9]",
            ),
            "IPv6",
        ),
        (
            options("From: <sip:a@h>;tag=1", "From: sip:a@h"),
            "no tag, no brackets",
        ),
        (
            options("From: <sip:a@h>", "From:\"<\\\"\"<sip:a@h>"),
            "brackets within quotes",
        ),
        (options("Max-Forwards: 70\r\n", ""), "an RFC 2543 phone"),
        (
            options(
                "Content-Length: 0\r\n",
                "no header at all\r\n: nameless\r\nbad name: x\r\n",
            ),
            "lines that are none",
        ),
        (options("\r\n", "\n"), "a LF alone"),
    ] {
        assert_eq!(defect(&bytes), None, "{why}");
    }
}

#[test]
fn bytes_that_are_not_utf_8_are_read_as_latin_1_and_the_body_stays() {
    let mut bytes = options("From: <sip:a@h>", "From: Jos# <sip:a@h>").into_bytes();
    let place = bytes.iter().position(|&byte| byte == b'#').unwrap();
    bytes[place] = 0xe9;
    bytes.extend_from_slice(b"\xff");
    let message = parse(&bytes);
    assert_eq!((message.defect(), message.from_tag()), (None, "1"));
    assert_eq!(message.header(Name::From), Some("José <sip:a@h>;tag=1"));
    assert_eq!(message.bytes(), &bytes);
    let bytes: Vec<u8> = [
        request("MESSAGE sip:b@h SIP/2.0", "").as_bytes(),
        b"\xff\xfe\0",
    ]
    .concat();
    assert_eq!(&parse(&bytes).body()[..], b"\xff\xfe\0");
}

#[test]
fn what_follows_the_body_is_cut_off() {
    let second = "INVITE sip:x@h SIP/2.0\r\n\r\n";
    let message = parse(
        options("Max-Forwards", &format!("X: {second}Max-Forwards")).replace(second, "") + second,
    );
    assert_eq!(message.defect(), None);
    assert!(message.body().is_empty());
}

#[test]
fn mandatory_lines_are_there_once() {
    for name in ["Via", "From", "To", "Call-ID", "CSeq"] {
        let line = format!("\r\n{name}: ");
        assert_eq!(
            defect(options(&line, "\r\nX: ")),
            refused(400, &format!("{name} is missing"))
        );
    }
    for (name, line) in [
        ("From", "f: <sip:x@h>;tag=2"),
        ("To", "To: <sip:x@h>"),
        ("Call-ID", "i: d"),
        ("CSeq", "CSeq: 2 OPTIONS"),
        ("Max-Forwards", "Max-Forwards: 5"),
        ("Content-Length", "l: 0"),
    ] {
        let doubled = options("Via", &format!("{line}\r\nVia"));
        assert_eq!(
            defect(doubled),
            refused(400, &format!("{name} is there more than once"))
        );
    }
    assert_eq!(
        defect(options("Call-ID: c", "Call-ID:")),
        refused(400, "Call-ID is empty")
    );
}

#[test]
fn the_first_thing_wrong_is_named() {
    let cseq = refused(400, "CSeq is not a number and a method");
    let space = refused(400, "The Request-URI contains white space");
    for (from, to, expected) in [
        ("1 OPTIONS", "4294967296 OPTIONS", cseq.clone()),
        ("1 OPTIONS", "36893488147419103232 OPTIONS", cseq.clone()),
        ("1 OPTIONS", "-1 OPTIONS", cseq.clone()),
        ("1 OPTIONS", "OPTIONS", cseq.clone()),
        ("1 OPTIONS", "1", cseq.clone()),
        ("1 OPTIONS", "1OPTIONS", cseq),
        (
            "1 OPTIONS",
            "1 INVITE",
            refused(400, "CSeq names another method than the request line"),
        ),
        (
            "SIP/2.0\r",
            "SIP/7.0\r",
            refused(505, "Only SIP/2.0 is spoken here"),
        ),
        ("sip:b@h SIP", "sip:b@h; lr SIP", space.clone()),
        ("sip:b@h SIP", " sip:b@h SIP", space),
        (
            "sip:b@h SIP",
            "b SIP",
            refused(400, "The Request-URI has no scheme"),
        ),
        (
            "70",
            "256",
            refused(400, "Max-Forwards is not a number from 0 to 255"),
        ),
        (
            "70",
            "-1",
            refused(400, "Max-Forwards is not a number from 0 to 255"),
        ),
        (
            "Length: 0",
            "Length: 1",
            refused(400, "Content-Length is larger than what came"),
        ),
        (
            "Length: 0",
            "Length: 99999999999999999999",
            refused(400, "Content-Length is not a number"),
        ),
        (
            "Length: 0",
            "Length: -999",
            refused(400, "Content-Length is not a number"),
        ),
        (
            "To: <sip:b@h>",
            "To: \"Mr. J. User <sip:b@h>",
            refused(400, "A quoted string in To does not end"),
        ),
        (
            "<sip:a@h>;tag=1",
            "<sip:a@h;tag=1",
            refused(400, "An angle bracket in From is not closed"),
        ),
        (
            "\r\n\r\n",
            "\r\n",
            refused(400, "The message ends within its headers"),
        ),
    ] {
        assert_eq!(defect(options(from, to)), expected, "{to}");
    }
    let bracketed = defect(options("sip:b@h SIP", "<sip:b@h> SIP")).unwrap();
    assert_eq!(bracketed.0, 400);
}

#[test]
fn too_much_is_513() {
    let long = options("Max", &format!("Subject: {}\r\nMax", "x".repeat(40_000)));
    assert_eq!(defect(long).map(|defect| defect.0), Some(513));
    let many = options("Max", &format!("{}Max", "X: y\r\n".repeat(300)));
    assert_eq!(defect(many).map(|defect| defect.0), Some(513));
}

#[test]
fn a_request_with_a_defect_can_be_answered() {
    let request = parse(options("sip:b@h SIP", "sip:b@h; lr SIP"));
    let (status, _) = request.defect().unwrap();
    let response = parse(Writer::response_to(&request, status, Some("t")).finish());
    assert_eq!(
        (response.status(), response.to_tag(), response.call_id()),
        (400, Some("t"), "c")
    );
}

#[test]
fn responses() {
    let response = |start: &str| {
        format!(
            "{start}\r\nVia: SIP/2.0/UDP h\r\nFrom: <sip:a@h>\r\nTo: <sip:b@h>\r\nCall-ID: c\r\nCSeq: 1 INVITE\r\n\r\n"
        )
    };
    for (start, status, phrase) in [
        (
            "SIP/2.0 200 = 2**3 * 5**2 но сто девяносто девять",
            200,
            "= 2**3 * 5**2 но сто девяносто девять",
        ),
        ("SIP/2.0 100 ", 100, ""),
        ("SIP/2.0 100", 100, ""),
        ("SIP/2.0 699 Private", 699, "Private"),
    ] {
        let message = parse(response(start));
        assert_eq!(
            (message.status(), message.reason_phrase()),
            (status, phrase.trim())
        );
        assert_eq!((message.defect(), message.method()), (None, Method::Invite));
    }
    for start in [
        "SIP/2.0 4294967301 x",
        "SIP/2.0 99 x",
        "SIP/2.0 700 x",
        "SIP/2.0 abc x",
        "SIP/2.0",
        "SIP/2.0 20",
    ] {
        assert!(not_sip(response(start)), "{start}");
    }
    assert_eq!(
        parse(response("SIP/1.0 200 OK"))
            .defect()
            .map(|defect| defect.0),
        Some(505)
    );
}

#[test]
fn what_is_no_sip() {
    for bytes in [
        &b""[..],
        b"\r\n\r\n",
        b"\0\x01\0\0\x21\x12\xa4\x42abcdefghijkl",
        b"\x80\x00\x12\x34rtp",
        b"GET / HTTP/1.1\r\nHost: h\r\n\r\n",
        b"INVITE\r\n\r\n",
        b"INVITE sip:a@h\r\n\r\n",
        b"INV<ITE sip:a@h SIP/2.0\r\n\r\n",
        b" INVITE sip:a@h SIP/2.0\r\n\r\n",
        b"INVITE SIP/2.0\r\rx",
        b"hello",
    ] {
        assert!(not_sip(bytes), "{}", bytes.escape_ascii());
    }
}
