//! Our reading and writing of plain SIP messages against rsip's. Plain: long names, one value a line, ASCII; beyond that rsip is no oracle.

use bytes::Bytes;
use proptest::prelude::*;
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
use vats::sip::header::name_addr::NameAddr;
use vats::sip::header::via::Via;
use vats::sip::wire::{Message, Name, Writer};

const METHODS: [&str; 6] = ["INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER"];

#[derive(Clone, Debug)]
struct Plain {
    method: &'static str,
    user: String,
    host: String,
    port: Option<u16>,
    display: Option<String>,
    from_tag: String,
    to_tag: Option<String>,
    call_id: String,
    cseq: u32,
    branch: String,
    subject: String,
    body: String,
}

prop_compose! {
    fn plain()(
        method in prop::sample::select(&METHODS[..]),
        (user, host) in ("[a-z][a-z0-9]{0,9}", "([a-z]{1,8}\\.){1,2}(example|test)"),
        port in prop::option::of(1u16..),
        display in prop::option::of("[A-Z][a-z]{0,8}( [A-Z][a-z]{1,5})?"),
        (from_tag, to_tag) in ("[a-z0-9]{1,12}", prop::option::of("[a-z0-9]{1,12}")),
        (call_id, branch) in ("[a-z0-9]{1,12}@[a-z]{1,8}", "z9hG4bK[a-zA-Z0-9]{1,12}"),
        cseq in 0..0x8000_0000u32,
        (subject, body) in ("[A-Za-z][A-Za-z0-9 ,;=]{0,20}[a-z]", "[ -~]{0,60}"),
    ) -> Plain {
        Plain { method, user, host, port, display, from_tag, to_tag, call_id, cseq, branch, subject, body }
    }
}

impl Plain {
    fn uri(&self) -> String {
        let port = self.port.map(|port| format!(":{port}")).unwrap_or_default();
        format!("sip:{}@{}{port}", self.user, self.host)
    }

    fn from(&self) -> String {
        let display = self
            .display
            .as_ref()
            .map(|name| format!("\"{name}\" "))
            .unwrap_or_default();
        format!("{display}<{}>;tag={}", self.uri(), self.from_tag)
    }

    fn to(&self) -> String {
        let tag = self
            .to_tag
            .as_ref()
            .map(|tag| format!(";tag={tag}"))
            .unwrap_or_default();
        format!("<{}>{tag}", self.uri())
    }

    fn written(&self) -> Bytes {
        Writer::request(self.method, &self.uri())
            .header(
                Name::Via,
                format!(
                    "SIP/2.0/UDP {}:5060;branch={};rport",
                    self.host, self.branch
                ),
            )
            .header(Name::MaxForwards, 70)
            .header(Name::From, self.from())
            .header(Name::To, self.to())
            .header(Name::CallId, &self.call_id)
            .header(Name::CSeq, format!("{} {}", self.cseq, self.method))
            .header(Name::Contact, format!("<{};transport=udp>", self.uri()))
            .header(Name::Subject, &self.subject)
            .finish_with("text/plain", self.body.as_bytes())
    }
}

proptest! {
    #[test]
    fn requests_are_read_alike(plain in plain()) {
        let bytes = plain.written();
        let theirs = rsip::Request::try_from(&bytes[..]).unwrap();
        let ours = Message::parse(bytes).unwrap();
        prop_assert_eq!(ours.defect(), None);
        prop_assert_eq!(ours.method_text(), theirs.method().to_string());
        prop_assert_eq!(ours.request_uri(), theirs.uri().to_string());
        prop_assert_eq!(ours.call_id(), theirs.call_id_header().unwrap().value());
        let cseq = theirs.cseq_header().unwrap().typed().unwrap();
        prop_assert_eq!(ours.cseq(), cseq.seq);
        let from = theirs.from_header().unwrap().typed().unwrap();
        prop_assert_eq!(Some(ours.from_tag()), from.tag().map(|tag| tag.value()));
        let own = NameAddr::parse(ours.header(Name::From).unwrap()).unwrap();
        // rsip leaves the quotes on.
        let display = from.display_name.as_ref().map(|name| name.trim_matches('"'));
        prop_assert_eq!(own.display.as_deref(), display.filter(|name| !name.is_empty()));
        prop_assert_eq!(own.uri.as_str(), from.uri.to_string());
        let user = own.uri.user();
        prop_assert_eq!(user.as_deref(), from.uri.user());
        prop_assert_eq!(own.uri.port(), from.uri.port().map(|port| *port.value()));
        let to = theirs.to_header().unwrap().typed().unwrap();
        prop_assert_eq!(ours.to_tag(), to.tag().map(|tag| tag.value()));
        let via = theirs.via_header().unwrap().typed().unwrap();
        prop_assert_eq!(Some(ours.branch()), via.branch().map(|branch| branch.value()));
        let own = Via::parse_list(ours.header(Name::Via).unwrap()).unwrap();
        prop_assert_eq!(&own[0].host, &via.uri.host_with_port.host.to_string());
        prop_assert_eq!(own[0].port, via.uri.port().map(|port| *port.value()));
        prop_assert_eq!(ours.lines().count(), theirs.headers.iter().count());
        prop_assert_eq!(&ours.body()[..], &theirs.body()[..]);
    }

    #[test]
    fn our_responses_are_read_by_the_other(plain in plain(), code in prop::sample::select(vec![100u16, 180, 200, 404, 486, 503])) {
        let request = Message::parse(plain.written()).unwrap();
        let source = "192.0.2.1:40000".parse().unwrap();
        let written = Writer::response_from(&request, code, Some("ours"), Some(source)).finish();
        let theirs = rsip::Response::try_from(&written[..]).unwrap();
        prop_assert_eq!(theirs.status_code().code(), code);
        prop_assert_eq!(theirs.call_id_header().unwrap().value(), request.call_id());
        let to = theirs.to_header().unwrap().typed().unwrap();
        let tag = plain.to_tag.as_deref().unwrap_or("ours");
        prop_assert_eq!(to.tag().map(|tag| tag.value()), Some(tag));
        let via = theirs.via_header().unwrap().typed().unwrap();
        prop_assert_eq!(via.received().unwrap(), Some(source.ip()));
        prop_assert_eq!(via.branch().map(|branch| branch.value()), Some(plain.branch.as_str()));
    }

    #[test]
    fn their_requests_are_read_by_us(plain in plain()) {
        let theirs = rsip::Request::try_from(&plain.written()[..]).unwrap();
        let printed = Vec::<u8>::from(theirs);
        let ours = Message::parse(Bytes::from(printed)).unwrap();
        prop_assert_eq!(ours.defect(), None);
        prop_assert_eq!((ours.call_id(), ours.from_tag()), (plain.call_id.as_str(), plain.from_tag.as_str()));
        prop_assert_eq!(&ours.body()[..], plain.body.as_bytes());
    }
}
