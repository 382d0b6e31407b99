//! RFC 5118 §4: addresses of IPv6 wherever one may stand.

use vats::sip::uri::Uri;
use vats::sip::wire::{Message, Name};

use super::rig::{Rig, TRUNK_6, assert_refused, statuses, wire};

/// A description with this connection line for the session and this one for the stream.
fn description(session: &str, stream: &str) -> String {
    format!(
        "v=0\no=assistant 971731711378798081 0 IN IP6 2001:db8::20\ns=Live video feed\nc=IN {session}\nt=3338481189 3370017201\n\
         m=audio 6000 RTP/AVP 8\n{stream}"
    )
}

fn request(method: &str, uri: &str, via: &str, more: &str, body: &str) -> Vec<u8> {
    wire(&format!(
        "{method} {uri} SIP/2.0\nTo: <sip:+74951000001@[2001:db8::1]>\nFrom: <sip:user@gate.example>;tag=81x2\n\
         Via: SIP/2.0/UDP {via}\nCall-ID: SSG9559905523997077@hlau_4100\nMax-Forwards: 70\nCSeq: 98176 {method}\n{more}\
         Content-Length: @LENGTH@\n\n{body}"
    ))
}

const VIA: &str = "[2001:db8::20]:5060;branch=z9hG4bKas3-111";

fn answers(datagram: &[u8]) -> Vec<Message> {
    Rig::new().answers_to(TRUNK_6, datagram)
}

/// The answer to an INVITE with this body.
fn called(body: &str) -> Vec<Message> {
    let more = "Contact: <sip:user@[2001:db8::20]>\nContent-Type: application/sdp\n";
    let uri = "sip:+74951000001@[2001:db8::1]";
    answers(&request("INVITE", uri, VIA, more, body))
}

#[test]
fn s4_1_a_valid_reference() {
    let register = request("REGISTER", "sip:[2001:db8::10]", VIA, "", "");
    assert_eq!(statuses(&answers(&register)), [401]);
}

#[test]
fn s4_2_a_reference_without_brackets() {
    let register = request("REGISTER", "sip:2001:db8::10", VIA, "", "");
    let answers = answers(&register);
    assert_refused(&answers[0], 400, "Request-URI cannot be read");
}

#[test]
fn s4_3_a_port_within_the_brackets_is_part_of_the_address() {
    let uri = Uri::parse("sip:[2001:db8::10:5070]").unwrap();
    assert_eq!((uri.host(), uri.port()), ("2001:db8::10:5070", None));
    let register = request("REGISTER", "sip:[2001:db8::10:5070]", VIA, "", "");
    assert_eq!(statuses(&answers(&register)), [401]);
}

#[test]
fn s4_4_a_port_behind_the_brackets() {
    let uri = Uri::parse("sip:[2001:db8::10]:5070").unwrap();
    assert_eq!((uri.host(), uri.port()), ("2001:db8::10", Some(5070)));
    let register = request("REGISTER", "sip:[2001:db8::10]:5070", VIA, "", "");
    assert_eq!(statuses(&answers(&register)), [401]);
}

#[test]
fn s4_5_received_with_and_without_brackets() {
    for received in ["[2001:db8::9:255]", "2001:db8::9:255"] {
        let via = format!("[2001:db8::9:1];received={received};branch=z9hG4bKas3-111");
        let bye = request("BYE", "sip:user@[2001:db8::1]", &via, "", "");
        let answers = answers(&bye);
        assert_eq!(statuses(&answers), [481]);
        // What the far side claims about itself gives way to what was seen.
        let via = answers[0].header(Name::Via).unwrap();
        assert!(
            via.ends_with(";received=2001:db8::20") && !via.contains("9:255"),
            "{via}"
        );
    }
}

#[test]
fn s4_6_addresses_in_a_description() {
    let answers = called(&description("IP6 2001:db8::20", ""));
    assert_eq!(statuses(&answers), [100, 200]);
    let sdp = answers[1].body_of("application/sdp").unwrap();
    let sdp = String::from_utf8(sdp.to_vec()).unwrap();
    assert!(sdp.contains("c=IN IP6 2001:db8::1\r\n"), "{sdp}");
    let contact = answers[1].header(Name::Contact).unwrap();
    assert!(contact.contains("@[2001:db8::1]:5060"), "{contact}");
}

#[test]
fn s4_7_addresses_of_both_kinds_in_headers() {
    let via = "[2001:db8::9:1]:6050;branch=z9hG4bKas3-111\nVia: SIP/2.0/UDP 192.0.2.1;branch=z9hG4bKjhja8781hjuaij65144\n\
        Via: SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200";
    let bye = request("BYE", "sip:user@host.example", via, "", "");
    let answers = answers(&bye);
    assert_eq!(statuses(&answers), [481]);
    let vias: Vec<&str> = answers[0].headers(Name::Via).collect();
    assert_eq!(vias.len(), 3);
    assert_eq!(
        vias[2],
        "SIP/2.0/TCP [2001:db8::9:255];branch=z9hG4bK451jj;received=192.0.2.200"
    );
}

#[test]
fn s4_8_addresses_of_both_kinds_in_a_description() {
    // The stream's own line decides.
    let answers = called(&description("IP4 192.0.2.20", "c=IN IP6 2001:db8::20\n"));
    assert_eq!(statuses(&answers), [100, 200]);
    // Here it names an address that the listener's family does not reach (RFC 6157 §4.2).
    let answers = called(&description("IP6 2001:db8::20", "c=IN IP4 192.0.2.20\n"));
    assert_refused(answers.last().unwrap(), 488, "IP version");
    // A second stream is declined in its place, whatever its address.
    let answers = called(&description(
        "IP6 2001:db8::20",
        "m=video 6024 RTP/AVP 107\nc=IN IP4 192.0.2.20\na=rtpmap:107 H263-1998/90000\n",
    ));
    assert_eq!(statuses(&answers), [100, 200]);
    let sdp = answers[1].body_of("application/sdp").unwrap();
    let sdp = String::from_utf8(sdp.to_vec()).unwrap();
    assert!(sdp.contains("m=video 0 "), "{sdp}");
}

#[test]
fn s4_9_ipv4_addresses_mapped_into_ipv6() {
    let via = "[::ffff:192.0.2.10]:19823;branch=z9hG4bKbh19";
    let more =
        "Contact: \"T. desk phone\" <sip:ted@[::ffff:192.0.2.10]>\nContent-Type: application/sdp\n";
    let body = "v=0\no=tl 971731711378798081 0 IN IP6 ::ffff:192.0.2.10\ns=T's call\nc=IN IP6 ::ffff:192.0.2.10\n\
        t=3338481189 3370017201\nm=audio 49170 RTP/AVP 8\n";
    let uri = "sip:+74951000001@[::ffff:192.0.2.1]";
    let invite = request("INVITE", uri, via, more, body);
    // It came over IPv4, and so do its media.
    let answers = Rig::new().answers_to("192.0.2.20:19823", &invite);
    assert_eq!(statuses(&answers), [100, 200]);
}

#[test]
fn s4_10_three_colons_are_one_too_many() {
    let uri = "sip:user@[2001:db8:::192.0.2.1]";
    assert!(Uri::parse(uri).is_err());
    let answers_to_three = answers(&request("OPTIONS", uri, VIA, "", ""));
    assert_refused(&answers_to_three[0], 400, "Request-URI cannot be read");
    let uri = "sip:user@[2001:db8::192.0.2.1]";
    let answers_to_two = answers(&request("OPTIONS", uri, VIA, "", ""));
    assert_eq!(statuses(&answers_to_two), [200]);
}
