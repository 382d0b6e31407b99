use bytes::Bytes;
use vats::sip::header::name_addr::NameAddr;
use vats::sip::header::reason::Reason;
use vats::sip::header::via::Via;
use vats::sip::header::warning::Warning;
use vats::sip::wire::{Message, Name, Writer};

/// Any bytes are a message or none; a request can be answered, and the answer belongs to it.
pub fn message(bytes: &[u8]) {
    let Ok(message) = Message::parse(Bytes::copy_from_slice(bytes)) else {
        return;
    };
    assert_ne!(message.is_request(), (100..700).contains(&message.status()));
    assert!(!format!("{message:?}").is_empty());
    lines(&message);
    bodies(&message);
    let again = Message::parse(message.bytes().clone()).expect("what was read is read again");
    assert_eq!(again.defect(), message.defect());
    assert_eq!(again.call_id(), message.call_id());
    if message.is_request() {
        answer(&message);
    }
}

fn lines(message: &Message) {
    let mut count = 0;
    for (name, written, value) in message.lines() {
        count += 1;
        assert!(!written.is_empty() && !written.contains([':', '\r', '\n']));
        assert_eq!(Name::parse(written), name);
        assert!(!value.contains(['\r', '\n', '\0']), "{value:?}");
        assert!(message.other_header(written).is_some());
        if name != Name::Other {
            assert!(message.headers(name).any(|other| other == value));
        }
        header_values(value);
    }
    assert!(count <= 200 || message.defect().is_some());
}

/// What prints and is read back is the same.
fn header_values(value: &str) {
    if let Ok(list) = NameAddr::parse_list(value) {
        for one in list {
            let printed = one.to_string();
            let again = NameAddr::parse(&printed);
            assert_eq!(again.as_ref(), Ok(&one), "{printed}");
        }
    }
    assert!(
        Via::is_list(value)
            || Via::parse_list(value).is_none_or(|list| list.is_empty() || has_gaps(value))
    );
    for via in Via::parse_list(value).into_iter().flatten() {
        let printed = via.to_string();
        assert_eq!(Via::parse(&printed).as_ref(), Some(&via), "{printed}");
    }
    if let Some(warning) = Warning::parse(value) {
        assert!(!warning.to_string().contains(['\r', '\n']));
    }
    for reason in Reason::parse_list(value) {
        assert!(!reason.to_string().contains(['\r', '\n']));
    }
}

/// Empty elements are passed over by one and refused by the other.
fn has_gaps(value: &str) -> bool {
    value.split(',').any(|element| element.trim().is_empty())
}

fn bodies(message: &Message) {
    let body = message.body();
    assert!(body.len() <= message.bytes().len());
    for kind in ["application/sdp", "text/plain", "application/dtmf-relay"] {
        if let Some(part) = message.body_of(kind) {
            assert!(part.len() <= body.len());
        }
    }
}

fn answer(request: &Message) {
    let source = "192.0.2.9:5060".parse().ok();
    let bytes = Writer::response_from(request, 400, Some("ours"), source).finish();
    let answer = Message::parse(bytes).expect("an answer of ours is SIP");
    assert_eq!(answer.status(), 400);
    if request.defect().is_some() {
        return;
    }
    assert_eq!(answer.defect(), None);
    assert_eq!(answer.call_id(), request.call_id());
    assert_eq!(answer.cseq(), request.cseq());
    assert_eq!(answer.method_text(), request.method_text());
    assert_eq!(answer.from_tag(), request.from_tag());
    assert_eq!(answer.to_tag(), request.to_tag().or(Some("ours")));
    let vias = (request.header(Name::Via), answer.header(Name::Via));
    assert_eq!(answer.branch(), request.branch(), "{vias:?}");
}
