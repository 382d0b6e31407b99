//! Whether a request can be served at all (RFC 3261 §8.2): what is wrong with it, as a refusal.

use super::core::{self, Refusal};
use super::form;
use crate::sip::uri::{Scheme, Uri};
use crate::sip::wire::{Message, Method, Name};

/// What is wrong with a request's method, its Request-URI or the form of its headers.
pub fn inspect(request: &Message) -> Option<Refusal<'static>> {
    if request.method() == Method::Other {
        return Some(UNKNOWN_METHOD);
    }
    match Uri::parse(request.request_uri()).map(|uri| uri.scheme()) {
        Ok(Scheme::Other) => Some(WRONG_SCHEME),
        Ok(_) => form::problem(request),
        // A scheme that we do not know may have any form.
        Err(_) if !has_known_scheme(request.request_uri()) => Some(WRONG_SCHEME),
        Err(_) => Some(BAD_URI),
    }
}

/// The extensions that a request needs and we lack, as the value of Unsupported; `None`: none.
pub fn unsupported(request: &Message) -> Option<String> {
    let mut lacking = String::new();
    for tag in request
        .headers(Name::Require)
        .flat_map(|line| line.split(','))
    {
        let tag = tag.trim();
        let by_registrar = request.method() == Method::Register
            && ["path", "outbound"]
                .iter()
                .any(|known| tag.eq_ignore_ascii_case(known));
        if tag.is_empty() || by_registrar || is_supported(tag) {
            continue;
        }
        if !lacking.is_empty() {
            lacking.push_str(", ");
        }
        lacking.push_str(tag);
    }
    (!lacking.is_empty()).then_some(lacking)
}

/// Whether the request has travelled as far as it may.
pub fn is_exhausted(request: &Message) -> bool {
    request.method() != Method::Options
        && request
            .header(Name::MaxForwards)
            .and_then(|hops| hops.trim().parse::<u32>().ok())
            == Some(0)
}

/// What is wrong with the content of an INVITE or UPDATE: a type that we do not read and that is not optional, an encoding, or that the far side
/// would not read our description.
pub fn body_problem(request: &Message) -> Option<Refusal<'static>> {
    if !form::accepts(request, core::SDP) {
        return Some(NOT_ACCEPTED);
    }
    if request.body().is_empty() || form::is_optional(request) {
        return None;
    }
    let encoded = request
        .header(Name::ContentEncoding)
        .is_some_and(|encoding| !encoding.trim().eq_ignore_ascii_case("identity"));
    if encoded {
        return Some(ENCODED);
    }
    request.body_of(core::SDP).is_none().then_some(UNKNOWN_BODY)
}

fn is_supported(tag: &str) -> bool {
    core::SUPPORTED
        .split(',')
        .any(|known| known.trim().eq_ignore_ascii_case(tag))
}

fn has_known_scheme(uri: &str) -> bool {
    let scheme = uri.split(':').next().unwrap_or("");
    ["sip", "sips", "tel"]
        .iter()
        .any(|known| scheme.eq_ignore_ascii_case(known))
}

const UNKNOWN_METHOD: Refusal<'_> = Refusal::with(
    405,
    "This method is not known here",
    Name::Allow,
    core::ALLOW,
);
const WRONG_SCHEME: Refusal<'_> = Refusal::new(416, "Only sip, sips and tel URIs are served here");
const BAD_URI: Refusal<'_> = Refusal::new(400, "The Request-URI cannot be read");
const UNKNOWN_BODY: Refusal<'_> = Refusal::with(
    415,
    "Only session descriptions (application/sdp) are read here",
    Name::Accept,
    core::ACCEPT,
);
const ENCODED: Refusal<'_> = Refusal::with(
    415,
    "Bodies are read here without any encoding",
    Name::AcceptEncoding,
    "identity",
);
const NOT_ACCEPTED: Refusal<'_> = Refusal::new(
    406,
    "Accept leaves out application/sdp, and nothing else is sent here",
);
