//! Equality of URIs (RFC 3261 §19.1.4, RFC 3966 §4).

use std::net::Ipv6Addr;

use super::escape::decode;
use super::{Scheme, Uri};

/// Parameters that never match when only one URI has them. `transport` is among them by the RFC's examples.
const DECIDING: [&str; 5] = ["user", "ttl", "method", "maddr", "transport"];

pub(super) fn matches(one: &Uri, other: &Uri) -> bool {
    if one.scheme() != other.scheme() {
        return false;
    }
    match one.scheme() {
        Scheme::Other => one.as_str() == other.as_str(),
        Scheme::Tel => {
            let number = |uri: &Uri| uri.user().map(|user| user.to_ascii_lowercase());
            number(one) == number(other)
                && params_match(one, other, &["phone-context", "isub", "ext"])
        }
        Scheme::Sip | Scheme::Sips => {
            user_info(one) == user_info(other)
                && host_matches(one.host(), other.host())
                && one.port() == other.port()
                && params_match(one, other, &DECIDING)
                && headers(one) == headers(other)
        }
    }
}

/// User and password, with those escapes resolved that mean nothing.
fn user_info(uri: &Uri) -> Option<Vec<u8>> {
    let start = uri.user.as_ref()?.start;
    let rest = uri.text.get(start..)?;
    Some(unescaped(rest.get(..rest.find('@')?)?))
}

fn unescaped(text: &str) -> Vec<u8> {
    decode(text, |byte| !b";/?:@&=+$,%".contains(&byte))
}

fn host_matches(one: &str, other: &str) -> bool {
    if one.eq_ignore_ascii_case(other) {
        return true;
    }
    match (one.parse::<Ipv6Addr>(), other.parse::<Ipv6Addr>()) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

fn params_match(one: &Uri, other: &Uri, deciding: &[&str]) -> bool {
    let agree = |from: &Uri, with: &Uri| {
        // Of a name that comes more than once, which none may, the first counts.
        from.params().all(|(name, _)| match with.param(name) {
            Some(found) => {
                let value = from.param(name).unwrap_or_default();
                unescaped(value).eq_ignore_ascii_case(&unescaped(found))
            }
            None => !deciding
                .iter()
                .any(|param| param.eq_ignore_ascii_case(name)),
        })
    };
    agree(one, other) && agree(other, one)
}

/// The headers in an order of their own: theirs does not count.
fn headers(uri: &Uri) -> Vec<(String, Vec<u8>)> {
    let mut headers: Vec<_> = uri
        .headers()
        .map(|(name, value)| (name.to_ascii_lowercase(), unescaped(value)))
        .collect();
    headers.sort();
    headers
}
