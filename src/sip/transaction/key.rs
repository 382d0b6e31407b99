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
    let _ = if request.branch().starts_with(COOKIE) {
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
