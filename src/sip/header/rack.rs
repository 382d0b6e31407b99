//! RSeq and RAck (RFC 3262 §7.1, §7.2): the number of a reliable provisional response, and its acknowledgement.

use std::fmt;

use crate::sip::wire::{Message, Method, Name};

/// What a PRACK acknowledges.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct RAck {
    /// The response's RSeq.
    pub rseq: u32,
    /// The CSeq number of the request that it answered.
    pub cseq: u32,
    /// That request's method.
    pub method: Method,
}

impl RAck {
    /// Reads `776656 1 INVITE`.
    pub fn parse(text: &str) -> Option<RAck> {
        let mut parts = text.split_ascii_whitespace();
        let read = RAck {
            rseq: number(parts.next()?)?,
            cseq: number(parts.next()?)?,
            method: Method::parse(parts.next()?),
        };
        parts.next().is_none().then_some(read)
    }
}

impl fmt::Display for RAck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} {}", self.rseq, self.cseq, self.method.as_str())
    }
}

/// The RSeq of a provisional response that wants to be acknowledged.
pub fn reliable(response: &Message) -> Option<u32> {
    if !super::has_option(response, Name::Require, "100rel") {
        return None;
    }
    number(response.header(Name::RSeq)?.trim())
}

fn number(text: &str) -> Option<u32> {
    text.bytes()
        .all(|byte| byte.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_and_read() {
        let rack = RAck::parse("776656  1 INVITE").unwrap();
        assert_eq!(
            (rack.rseq, rack.cseq, rack.method),
            (776_656, 1, Method::Invite)
        );
        assert_eq!(rack.to_string(), "776656 1 INVITE");
        for text in ["", "1 INVITE", "1 2", "1 2 INVITE 3", "+1 2 INVITE"] {
            assert_eq!(RAck::parse(text), None, "{text}");
        }
    }
}
