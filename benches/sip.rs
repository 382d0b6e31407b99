//! Reading a 1.1 kB INVITE and printing its 200, beside rsip in the same run. Printed figures are per message.

#[path = "budget/mod.rs"]
mod budget;

use std::hint::black_box;
use std::time::Duration;

use bytes::Bytes;
use criterion::{Criterion, criterion_group};
use rsip::prelude::{HeadersExt, ToTypedHeader, UntypedHeader};
use vats::sip::header::name_addr::NameAddr;
use vats::sip::header::via::Via;
use vats::sip::wire::{Message, Name, Writer};

use self::budget::{Limit, Row};

/// What a provider's border controller sends: in long names, unfolded, so that rsip reads it too.
const INVITE: &str = "INVITE sip:+74951000001@pbx.shop.example:5060;user=phone SIP/2.0\r\n\
Via: SIP/2.0/UDP 203.0.113.10:5060;branch=z9hG4bK-524287-1---a9d3f1c07be2;rport\r\n\
Max-Forwards: 69\r\n\
Contact: <sip:+79990000000@203.0.113.10:5060;transport=udp>\r\n\
To: <sip:+74951000001@pbx.shop.example;user=phone>\r\n\
From: \"Visitor\" <sip:+79990000000@sip.acme.example;user=phone>;tag=8a1c9f20\r\n\
Call-ID: 84211ZTk0NzA2MmRkYTE5NzM0YzQ5NmQ1ZmY0@203.0.113.10\r\n\
CSeq: 102 INVITE\r\n\
Session-Expires: 1800\r\n\
Min-SE: 90\r\n\
Allow: INVITE, ACK, CANCEL, BYE, NOTIFY, REFER, MESSAGE, OPTIONS, INFO, SUBSCRIBE, UPDATE\r\n\
Content-Type: application/sdp\r\n\
Supported: replaces, timer, 100rel\r\n\
User-Agent: Acme Border Controller 7.4.1\r\n\
P-Asserted-Identity: <sip:+79990000000@sip.acme.example;user=phone>\r\n\
Privacy: none\r\n\
Content-Length: 285\r\n\
\r\n\
v=0\r\n\
o=- 1786543210 1786543210 IN IP4 203.0.113.10\r\n\
s=-\r\n\
c=IN IP4 203.0.113.10\r\n\
t=0 0\r\n\
m=audio 17734 RTP/AVP 8 0 18 101\r\n\
a=rtpmap:8 PCMA/8000\r\n\
a=rtpmap:0 PCMU/8000\r\n\
a=rtpmap:18 G729/8000\r\n\
a=fmtp:18 annexb=no\r\n\
a=rtpmap:101 telephone-event/8000\r\n\
a=fmtp:101 0-16\r\n\
a=ptime:20\r\n\
a=sendrecv\r\n";

const ANSWER: &[u8] = b"v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\nm=audio 20000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n";

fn reading(criterion: &mut Criterion) {
    let bytes = Bytes::from_static(INVITE.as_bytes());
    let mut group = criterion.benchmark_group("read a 1.1 kB INVITE");
    group.bench_function("vats, index alone", |bencher| {
        bencher.iter(|| Message::parse(black_box(bytes.clone())).unwrap());
    });
    group.bench_function("vats, five shortcuts", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(bytes.clone())).unwrap();
            black_box((message.call_id(), message.from_tag(), message.to_tag()));
            black_box((message.cseq(), message.branch()));
        });
    });
    group.bench_function("vats, five typed headers", |bencher| {
        bencher.iter(|| {
            let message = Message::parse(black_box(bytes.clone())).unwrap();
            let address = |name| NameAddr::parse(message.header(name).unwrap()).unwrap();
            black_box((
                address(Name::From),
                address(Name::To),
                address(Name::Contact),
            ));
            black_box(Via::parse_list(message.header(Name::Via).unwrap()).unwrap());
            black_box(message.cseq());
        });
    });
    group.bench_function("rsip, five typed headers", |bencher| {
        bencher.iter(|| {
            let message = rsip::Request::try_from(black_box(INVITE)).unwrap();
            black_box(message.from_header().unwrap().typed().unwrap());
            black_box(message.to_header().unwrap().typed().unwrap());
            black_box(message.contact_header().unwrap().typed().unwrap());
            black_box(message.via_header().unwrap().typed().unwrap());
            black_box(message.cseq_header().unwrap().typed().unwrap());
        });
    });
    group.finish();
}

fn printing(criterion: &mut Criterion) {
    let invite = Message::parse(Bytes::from_static(INVITE.as_bytes())).unwrap();
    let read = rsip::Request::try_from(INVITE).unwrap();
    let mut group = criterion.benchmark_group("print its 200");
    group.bench_function("vats", |bencher| {
        bencher.iter(|| {
            Writer::response_from(
                black_box(&invite),
                200,
                Some("t1"),
                "203.0.113.10:5060".parse().ok(),
            )
            .header(Name::Contact, "<sip:192.0.2.7:5060>")
            .header(Name::Server, "vats")
            .finish_with("application/sdp", ANSWER)
        });
    });
    group.bench_function("rsip", |bencher| {
        bencher.iter(|| {
            let read = black_box(&read);
            let headers: Vec<rsip::Header> = vec![
                read.via_header().unwrap().clone().into(),
                read.from_header().unwrap().clone().into(),
                read.to_header()
                    .unwrap()
                    .clone()
                    .with_tag("t1".into())
                    .unwrap()
                    .into(),
                read.call_id_header().unwrap().clone().into(),
                read.cseq_header().unwrap().clone().into(),
                rsip::headers::Contact::new("<sip:192.0.2.7:5060>").into(),
                rsip::headers::Server::new("vats").into(),
                rsip::headers::ContentType::new("application/sdp").into(),
                rsip::headers::ContentLength::new(ANSWER.len().to_string()).into(),
            ];
            let response = rsip::Response {
                status_code: 200.into(),
                headers: headers.into(),
                version: rsip::Version::V2,
                body: ANSWER.to_vec(),
            };
            Vec::<u8>::from(response)
        });
    });
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .warm_up_time(Duration::from_millis(500))
        .measurement_time(Duration::from_secs(2));
    targets = reading, printing
}

fn main() -> std::io::Result<()> {
    benches();
    Criterion::default().configure_from_args().final_summary();
    if std::env::args().any(|arg| arg == "--test") {
        return Ok(());
    }
    let mean = |name: &str| estimate(name).unwrap_or(f64::NAN);
    let row = |what, ours, theirs| {
        Row::new(what, mean(ours), Limit::Open).beside(&[("rsip", mean(theirs))])
    };
    budget::report(
        "sip",
        &[
            row(
                "read a 1.1 kB INVITE, five typed headers (ns)",
                "read a 1.1 kB INVITE/vats, five typed headers",
                "read a 1.1 kB INVITE/rsip, five typed headers",
            ),
            row(
                "print its 200 (ns)",
                "print its 200/vats",
                "print its 200/rsip",
            ),
        ],
    )
}

/// The mean of a benchmark's last run, nanoseconds.
fn estimate(name: &str) -> Option<f64> {
    let folder = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let file = folder
        .join("criterion")
        .join(name)
        .join("new/estimates.json");
    let estimates: serde_json::Value = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    estimates["mean"]["point_estimate"].as_f64()
}
