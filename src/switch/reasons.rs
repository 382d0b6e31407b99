//! The one table from our reasons to what a far side reads: `Warning` (RFC 3261 §20.43) and `Reason` (RFC 3326, RFC 6432).

use crate::call::output::EndReason;
use crate::ledger::cause::Cause;
use crate::sdp::negotiate::SdpError;
use crate::sip::endpoint::command::Headers;
use crate::sip::wire::Name;

/// After how many seconds a caller refused for lack of room may try again.
const RETRY_AFTER: u32 = 5;

/// The value of `Reason` for a BYE or CANCEL.
pub fn end_reason(reason: EndReason) -> String {
    match reason {
        EndReason::AnsweredElsewhere => {
            "SIP;cause=200;text=\"Call completed elsewhere\"".to_owned()
        }
        // Not cause 200: a phone that still rings would take the call for completed elsewhere and not list it as missed.
        EndReason::Normal => {
            "SIP;cause=487;text=\"The other side hung up\", Q.850;cause=16".to_owned()
        }
        EndReason::Cause(cause) => {
            format!(
                "SIP;cause={};text=\"{}\"",
                cause.sip_status(),
                cause.sentence()
            )
        }
        EndReason::Soundless(why) => format!("SIP;cause=500;text=\"{why}\""),
    }
}

/// The headers of a refusal: `Warning: 399` with the sentence, `Reason` with the Q.850 cause, `Retry-After` where trying again makes sense.
pub fn refusal(code: u16, cause: Option<Cause>, sentence: &str, domain: &str) -> Headers {
    let mut headers = Headers::new();
    if !sentence.is_empty() {
        let quoted = sentence.replace('\\', "\\\\").replace('"', "\\\"");
        headers.push((Name::Warning, format!("399 {domain} \"{quoted}\"")));
    }
    if let Some(value) = cause.map(Cause::q850).or_else(|| q850_of(code)) {
        headers.push((Name::Reason, format!("Q.850;cause={value}")));
    }
    if code == 503 {
        headers.push((Name::RetryAfter, RETRY_AFTER.to_string()));
    }
    headers
}

/// The headers of a 488: our sentence, and the Warning code that is for this (RFC 3261 §20.43).
pub fn unusable_media(why: &SdpError, domain: &str) -> Headers {
    let mut headers = refusal(488, Some(Cause::NoCodec), &why.to_string(), domain);
    if let Some((code, text)) = why.warning() {
        headers.push((Name::Warning, format!("{code} {domain} \"{text}\"")));
    }
    headers
}

/// The headers of a refused re-INVITE or UPDATE.
pub fn refused_offer(code: u16, domain: &str) -> Headers {
    match code {
        488 => refusal(
            code,
            Some(Cause::NoCodec),
            Cause::NoCodec.sentence(),
            domain,
        ),
        _ => refusal(code, None, "The session cannot be changed now", domain),
    }
}

/// The Q.850 cause of a far side's status that is passed on (RFC 3398 §8.2.6.1).
const fn q850_of(code: u16) -> Option<u8> {
    Some(match code {
        404 | 485 | 604 => 1,
        486 | 600 => 17,
        480 => 18,
        401..=403 | 407 | 603 => 21,
        410 => 22,
        482 | 483 => 25,
        484 => 28,
        502 => 38,
        400 | 481 | 500 | 503 => 41,
        405 => 63,
        488 | 606 => 65,
        406 | 415 | 501 => 79,
        408 | 504 => 102,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn losers_read_that_the_call_was_completed_elsewhere() {
        assert_eq!(
            end_reason(EndReason::AnsweredElsewhere),
            "SIP;cause=200;text=\"Call completed elsewhere\""
        );
    }

    #[test]
    fn a_full_trunk_says_when_to_try_again() {
        let headers = refusal(
            503,
            Some(Cause::TrunkCapacity),
            "All \"lines\" in use",
            "pbx.example",
        );
        assert_eq!(headers[0].1, "399 pbx.example \"All \\\"lines\\\" in use\"");
        assert_eq!(headers[1].1, "Q.850;cause=34");
        assert_eq!(headers[2], (Name::RetryAfter, "5".to_owned()));
    }

    #[test]
    fn a_status_that_is_passed_on_keeps_its_meaning() {
        let headers = refusal(404, None, "Not Found", "pbx.example");
        assert_eq!(headers[1], (Name::Reason, "Q.850;cause=1".to_owned()));
        assert_eq!(refusal(491, None, "", "pbx.example"), []);
    }
}
