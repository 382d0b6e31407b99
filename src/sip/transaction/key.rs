//! What a request is matched by at the server (RFC 3261 §17.2.3), and what makes it a merged one (§8.2.2.2).

use std::fmt::Write as _;
use std::hash::{BuildHasher, RandomState};

use super::{COOKIE, via};
use crate::sip::wire::{Message, Method, Name};

/// Writes the matching key of a request into `key`. `method` is the request's own, or INVITE to find what an ACK or CANCEL is about.
pub(super) fn write(key: &mut String, request: &Message, method: &str) {
    key.clear();
    let via_line = request.header(Name::Via).unwrap_or("");
    let top = via::first_value(via_line);
    // Writing to a String does not fail.
    // A bare cookie identifies nothing: some devices send it with every request.
    let is_unique = request
        .branch()
        .strip_prefix(COOKIE)
        .is_some_and(|rest| !rest.is_empty());
    let _ = if is_unique {
        write!(key, "{}|{}|{method}", request.branch(), via::sent_by(top))
    } else {
        // RFC 2543. The To tag is left out: an ACK has one that the INVITE had not.
        write!(
            key,
            "{}|{}|{}|{}|{top}|{method}",
            request.call_id(),
            request.from_tag(),
            request.cseq(),
            request.request_uri(),
        )
    };
}

/// The method under which a request's own transaction is filed: an ACK belongs to its INVITE.
pub(super) fn method_of(request: &Message) -> &str {
    match request.method() {
        Method::Ack => Method::Invite.as_str(),
        _ => request.method_text(),
    }
}

/// What copies of one request that took different ways have in common.
pub(super) fn merge(state: &RandomState, request: &Message) -> u64 {
    state.hash_one((
        request.call_id(),
        request.from_tag(),
        request.cseq(),
        request.method_text(),
    ))
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn request(method: &str, branch: &str, to_tag: &str) -> Message {
        let text = format!(
            "{method} sip:b@192.0.2.1 SIP/2.0\r\nVia: SIP/2.0/UDP a.example:5060;branch={branch}, SIP/2.0/UDP z\r\n\
             From: <sip:a@a.example>;tag=a\r\nTo: <sip:b@192.0.2.1>{to_tag}\r\nCall-ID: c\r\nCSeq: 1 {method}\r\n\
             Max-Forwards: 70\r\nContent-Length: 0\r\n\r\n"
        );
        Message::parse(Bytes::from(text)).unwrap()
    }

    fn key_of(request: &Message) -> String {
        let mut key = String::new();
        write(&mut key, request, method_of(request));
        key
    }

    #[test]
    fn branch_sent_by_and_method_are_the_key() {
        let invite = key_of(&request("INVITE", "z9hG4bK1", ""));
        assert_eq!(invite, "z9hG4bK1|a.example:5060|INVITE");
        assert_eq!(key_of(&request("ACK", "z9hG4bK1", ";tag=b")), invite);
        assert_ne!(key_of(&request("CANCEL", "z9hG4bK1", "")), invite);
        assert_ne!(key_of(&request("INVITE", "z9hG4bK2", "")), invite);
    }

    #[test]
    fn without_a_cookie_the_whole_request_is_the_key() {
        let invite = key_of(&request("INVITE", "1", ""));
        assert_eq!(key_of(&request("ACK", "1", ";tag=b")), invite);
        assert_ne!(key_of(&request("INVITE", "2", "")), invite);
        let bare = key_of(&request("INVITE", "z9hG4bK", ""));
        assert!(bare.starts_with("c|a|1|"), "{bare}");
    }

    #[test]
    fn copies_have_the_same_hash_whatever_their_branch() {
        let state = RandomState::new();
        let one = merge(&state, &request("INVITE", "z9hG4bK1", ""));
        assert_eq!(merge(&state, &request("INVITE", "z9hG4bK2", "")), one);
        assert_ne!(merge(&state, &request("OPTIONS", "z9hG4bK2", "")), one);
    }
}
