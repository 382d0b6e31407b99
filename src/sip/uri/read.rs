//! Reading a URI: where its parts stand.

use std::net::Ipv6Addr;
use std::ops::Range;

use super::{Scheme, Uri, UriError};

/// Longer URIs are refused.
const MAX_LENGTH: usize = 4_096;

pub(super) fn read(text: &str) -> Result<Uri, UriError> {
    if text.len() > MAX_LENGTH {
        return Err(UriError("it is too long"));
    }
    if text
        .bytes()
        .any(|byte| byte <= b' ' || byte == 0x7f || matches!(byte, b'<' | b'>' | b'"'))
    {
        return Err(UriError(
            "it contains blanks, brackets, quotes or control characters",
        ));
    }
    let colon = text.find(':').ok_or(UriError("it has no scheme"))?;
    let written = text.get(..colon).unwrap_or_default();
    let mut letters = written.bytes();
    if !letters
        .next()
        .is_some_and(|letter| letter.is_ascii_alphabetic())
        || !letters.all(|letter| letter.is_ascii_alphanumeric() || b"+-.".contains(&letter))
    {
        return Err(UriError("it has no scheme"));
    }
    let scheme = match written {
        _ if written.eq_ignore_ascii_case("sip") => Scheme::Sip,
        _ if written.eq_ignore_ascii_case("sips") => Scheme::Sips,
        _ if written.eq_ignore_ascii_case("tel") => Scheme::Tel,
        _ => Scheme::Other,
    };
    match scheme {
        Scheme::Sip | Scheme::Sips => read_sip(text, scheme, colon + 1),
        Scheme::Tel => read_tel(text, colon + 1),
        Scheme::Other if text.len() == colon + 1 => Err(UriError("nothing follows the scheme")),
        Scheme::Other => Ok(Uri {
            text: text.into(),
            scheme,
            user: None,
            host: 0..0,
            port: None,
            params: text.len(),
            headers: text.len(),
        }),
    }
}

/// What stands for a URI that could not be built: the top-level name that resolves nowhere (RFC 6761 §6.4).
pub(super) fn unusable() -> Uri {
    let text = "sip:invalid";
    Uri {
        text: text.into(),
        scheme: Scheme::Sip,
        user: None,
        host: 4..text.len(),
        port: None,
        params: text.len(),
        headers: text.len(),
    }
}

fn read_sip(text: &str, scheme: Scheme, start: usize) -> Result<Uri, UriError> {
    let rest = text.get(start..).unwrap_or_default();
    let (user, host_start) = match rest.find('@') {
        Some(0) => return Err(UriError("its user is empty")),
        Some(at) => {
            let password = rest.get(..at).and_then(|info| info.find(':'));
            let user = start..start + password.unwrap_or(at);
            if user.is_empty() {
                return Err(UriError("its user is empty"));
            }
            (Some(user), start + at + 1)
        }
        None => (None, start),
    };
    let (host, after_host) = read_host(text, host_start)?;
    let (port, after_port) = read_port(text, after_host)?;
    let tail = text.get(after_port..).unwrap_or_default();
    if !matches!(tail.bytes().next(), None | Some(b';' | b'?')) {
        return Err(UriError("something stands behind its host"));
    }
    let headers = tail.find('?').map_or(text.len(), |mark| after_port + mark);
    Ok(Uri {
        text: text.into(),
        scheme,
        user,
        host,
        port,
        params: after_port,
        headers,
    })
}

fn read_host(text: &str, start: usize) -> Result<(Range<usize>, usize), UriError> {
    let rest = text.get(start..).unwrap_or_default();
    if let Some(inside) = rest.strip_prefix('[') {
        let end = inside
            .find(']')
            .ok_or(UriError("its IPv6 address does not end"))?;
        let address = inside.get(..end).unwrap_or_default();
        if address.parse::<Ipv6Addr>().is_err() {
            return Err(UriError("its IPv6 address is none"));
        }
        return Ok((start + 1..start + 1 + end, start + end + 2));
    }
    let length = rest
        .bytes()
        .take_while(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'-' | b'_'))
        .count();
    if length == 0 {
        return Err(UriError("it has no host"));
    }
    Ok((start..start + length, start + length))
}

fn read_port(text: &str, start: usize) -> Result<(Option<u16>, usize), UriError> {
    let Some(rest) = text.get(start..).and_then(|rest| rest.strip_prefix(':')) else {
        return Ok((None, start));
    };
    let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
    let port = rest
        .get(..digits)
        .and_then(|digits| digits.parse().ok())
        .ok_or(UriError("its port is not a number up to 65535"))?;
    Ok((Some(port), start + 1 + digits))
}

fn read_tel(text: &str, start: usize) -> Result<Uri, UriError> {
    let rest = text.get(start..).unwrap_or_default();
    let length = rest.find(';').unwrap_or(rest.len());
    let number = rest.get(..length).unwrap_or_default();
    let digits = number.strip_prefix('+').unwrap_or(number);
    let fits = digits
        .bytes()
        .all(|byte| byte.is_ascii_hexdigit() || b"*#-.()".contains(&byte));
    if !fits
        || !digits
            .bytes()
            .any(|byte| byte.is_ascii_hexdigit() || b"*#".contains(&byte))
    {
        return Err(UriError("its number is none"));
    }
    Ok(Uri {
        text: text.into(),
        scheme: Scheme::Tel,
        user: Some(start..start + length),
        host: 0..0,
        port: None,
        params: start + length,
        headers: text.len(),
    })
}
