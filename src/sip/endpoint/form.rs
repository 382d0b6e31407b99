//! Whether the headers of a request have their form, as far as an answer depends on it (RFC 3261 §8.2.2, RFC 4475).
//!
//! What every message must have was checked when it was read (`wire`). Where only one meaning is possible a wrong form is taken in: blanks in
//! brackets, a display name that should be quoted, a date of another zone.

use super::core::Refusal;
use crate::sip::header::name_addr::NameAddr;
use crate::sip::header::params;
use crate::sip::header::via::Via;
use crate::sip::uri::Scheme;
use crate::sip::wire::{Message, Method, Name};

/// What is wrong with the form of a request's headers.
pub(super) fn problem(request: &Message) -> Option<Refusal<'static>> {
    if !request.headers(Name::Via).all(Via::is_list) {
        return Some(BAD_VIA);
    }
    let registers = request.method() == Method::Register;
    (registers && !names_an_account(request)).then_some(BAD_ADDRESS_OF_RECORD)
}

/// Whether the far side reads bodies of this type: `type/subtype` in small letters. Without Accept it does, and with an empty one too, which some
/// devices send and do not mean.
pub(super) fn accepts(request: &Message, wanted: &str) -> bool {
    let mut named = false;
    for line in request.headers(Name::Accept) {
        let Some(ranges) = params::elements(line) else {
            return true;
        };
        for range in ranges {
            named = true;
            if covers(range, wanted) {
                return true;
            }
        }
    }
    !named
}

/// Whether the body may be left unread (RFC 3261 §20.11).
pub(super) fn is_optional(request: &Message) -> bool {
    let Some(disposition) = request.header(Name::ContentDisposition) else {
        return false;
    };
    let at = disposition.find(';').unwrap_or(disposition.len());
    params::read(disposition, at).is_some_and(|list| {
        params::find(&list, "handling").is_some_and(|how| how.eq_ignore_ascii_case("optional"))
    })
}

/// Whether a media range (`*/*`, `application/*`, `application/sdp`, each with parameters) takes a type in.
fn covers(range: &str, wanted: &str) -> bool {
    let range = range.split(';').next().unwrap_or_default();
    let Some((kind, subtype)) = range.split_once('/') else {
        return false;
    };
    let Some((wanted_kind, wanted_subtype)) = wanted.split_once('/') else {
        return false;
    };
    let matches = |written: &str, wanted: &str| {
        let written = written.trim();
        written == "*" || written.eq_ignore_ascii_case(wanted)
    };
    matches(kind, wanted_kind) && matches(subtype, wanted_subtype)
}

/// An address-of-record is a SIP or SIPS URI (RFC 3261 §10.2).
fn names_an_account(register: &Message) -> bool {
    register
        .header(Name::To)
        .and_then(|to| NameAddr::parse(to).ok())
        .is_some_and(|to| matches!(to.uri.scheme(), Scheme::Sip | Scheme::Sips))
}

const BAD_VIA: Refusal<'_> = Refusal::new(400, "Via is no list of SIP hops");
const BAD_ADDRESS_OF_RECORD: Refusal<'_> =
    Refusal::new(400, "To of a REGISTER is no sip or sips address");

#[cfg(test)]
mod tests {
    use super::*;

    fn invite(more: &str) -> Message {
        let text = format!(
            "INVITE sip:b@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\n\
             Call-ID: c\r\nCSeq: 1 INVITE\r\n{more}\r\n"
        );
        Message::parse(text.into()).unwrap()
    }

    #[test]
    fn accept_takes_ranges_and_lists() {
        for (accept, taken) in [
            ("", true),
            ("Accept:\r\n", true),
            ("Accept: application/sdp\r\n", true),
            ("Accept: Application / SDP ;level=1\r\n", true),
            ("Accept: text/plain, application/*;q=0.3\r\n", true),
            ("Accept: text/plain\r\nAccept: */*\r\n", true),
            ("Accept: text/plain, application/sdp2\r\n", false),
            ("Accept: sdp\r\n", false),
        ] {
            assert_eq!(
                accepts(&invite(accept), "application/sdp"),
                taken,
                "{accept}"
            );
        }
    }

    #[test]
    fn handling_may_stand_anywhere_in_the_disposition() {
        for (disposition, optional) in [
            ("", false),
            ("Content-Disposition: session\r\n", false),
            (
                "Content-Disposition: render ; Handling = OPTIONAL\r\n",
                true,
            ),
            (
                "Content-Disposition: render;x=\"handling=optional\"\r\n",
                false,
            ),
            ("Content-Disposition: render;handling=required\r\n", false),
        ] {
            assert_eq!(is_optional(&invite(disposition)), optional, "{disposition}");
        }
    }
}
