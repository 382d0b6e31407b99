//! Percent encoding (RFC 3261 §19.1.2, §25.1).

use std::borrow::Cow;

/// The text with its escapes resolved; escapes that are none, or that do not give UTF-8, stay as written.
pub(super) fn unescape(text: &str) -> Cow<'_, str> {
    if !text.contains('%') {
        return Cow::Borrowed(text);
    }
    String::from_utf8(decode(text, |_| true)).map_or(Cow::Borrowed(text), Cow::Owned)
}

/// The bytes with those escapes resolved that may be; the others keep their digits in upper case.
pub(super) fn decode(text: &str, may: impl Fn(u8) -> bool) -> Vec<u8> {
    let bytes = text.as_bytes();
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(&byte) = bytes.get(at) {
        let escaped = (byte == b'%')
            .then(|| Some((hex(*bytes.get(at + 1)?)?, hex(*bytes.get(at + 2)?)?)))
            .flatten()
            .map(|(high, low)| high * 16 + low);
        match escaped {
            Some(value) => {
                if may(value) {
                    decoded.push(value);
                } else {
                    decoded.extend_from_slice(format!("%{value:02X}").as_bytes());
                }
                at += 3;
            }
            None => {
                decoded.push(byte);
                at += 1;
            }
        }
    }
    decoded
}

/// Appends a user part.
pub(super) fn escape_user(text: &mut String, user: &str) {
    escape_into(text, user, |byte| {
        is_unreserved(byte) || b"&=+$,;?/".contains(&byte)
    });
}

/// A parameter's name or value.
pub(super) fn escape_param(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    escape_into(&mut escaped, text, |byte| {
        is_unreserved(byte) || b"[]/:&+$%".contains(&byte)
    });
    escaped
}

fn escape_into(text: &mut String, part: &str, may: impl Fn(u8) -> bool) {
    for byte in part.bytes() {
        if may(byte) {
            text.push(char::from(byte));
        } else {
            text.push_str(&format!("%{byte:02X}"));
        }
    }
}

fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"-_.!~*'()".contains(&byte)
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit)
        .to_digit(16)
        .and_then(|value| u8::try_from(value).ok())
}
