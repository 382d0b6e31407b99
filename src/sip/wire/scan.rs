//! Finding one's way in a header value without copying: quoted strings, angle brackets, parameters, list elements.
//!
//! Works on bytes and returns offsets; a delimiter is always ASCII, so offsets are character boundaries.

use std::ops::Range;

/// Why a value cannot be divided.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(in crate::sip) enum Broken {
    /// A quoted string does not end.
    Quote,
    /// An angle bracket is not closed.
    Bracket,
}

/// The offset behind the quoted string that begins at `at` (where the `"` is).
pub(in crate::sip) fn skip_quoted(bytes: &[u8], at: usize) -> Option<usize> {
    let mut position = at + 1;
    loop {
        let rest = bytes.get(position..)?;
        let found = position + memchr::memchr2(b'"', b'\\', rest)?;
        if bytes.get(found) == Some(&b'"') {
            return Some(found + 1);
        }
        position = found + 2;
    }
}

/// Where the header parameters of a name-addr or addr-spec begin (RFC 3261 §20: without brackets every parameter is the header's).
pub(in crate::sip) fn address_params(bytes: &[u8]) -> Result<usize, Broken> {
    let mut from = 0;
    if bytes.first() == Some(&b'"') {
        from = skip_quoted(bytes, 0).ok_or(Broken::Quote)?;
    }
    let rest = bytes.get(from..).unwrap_or_default();
    match memchr::memchr(b'<', rest) {
        Some(open) => {
            let inside = rest.get(open..).unwrap_or_default();
            let close = memchr::memchr(b'>', inside).ok_or(Broken::Bracket)?;
            Ok(from + open + close + 1)
        }
        None => Ok(memchr::memchr(b';', rest).map_or(bytes.len(), |semicolon| from + semicolon)),
    }
}

/// The end of the list element that begins at `from`: the next comma outside quotes and brackets, or the end.
pub(in crate::sip) fn element_end(bytes: &[u8], from: usize) -> Result<usize, Broken> {
    let mut position = from;
    while let Some(&byte) = bytes.get(position) {
        position = match byte {
            b',' => return Ok(position),
            b'"' => skip_quoted(bytes, position).ok_or(Broken::Quote)?,
            b'<' => {
                let rest = bytes.get(position..).unwrap_or_default();
                position + memchr::memchr(b'>', rest).ok_or(Broken::Bracket)?
            }
            _ => position + 1,
        };
    }
    Ok(bytes.len())
}

/// One parameter: its name and its value as written (quotes included), as offsets.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(in crate::sip) struct Param {
    pub(in crate::sip) name: Range<usize>,
    pub(in crate::sip) value: Option<Range<usize>>,
}

/// The parameters from `at` on, where a `;` is expected; ends at the end, at a comma, or where the grammar does.
pub(in crate::sip) struct Params<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Params<'a> {
    pub(in crate::sip) fn new(bytes: &'a [u8], at: usize) -> Params<'a> {
        Params { bytes, at }
    }

    /// Where it stopped: `bytes.len()` when all of it were parameters.
    pub(in crate::sip) fn stopped_at(&self) -> usize {
        self.at
    }

    /// The value of the parameter of that name, without quotes; an empty range for one without value.
    pub(in crate::sip) fn value_of(mut self, name: &[u8]) -> Option<Range<usize>> {
        let bytes = self.bytes;
        let param = self.find(|param| is_named(bytes, param, name))?;
        Some(value_in(bytes, &param))
    }

    /// As `value_of`, and where the parameters end.
    pub(in crate::sip) fn value_and_end(mut self, name: &[u8]) -> (Option<Range<usize>>, usize) {
        let bytes = self.bytes;
        let mut value = None;
        for param in self.by_ref() {
            if value.is_none() && is_named(bytes, &param, name) {
                value = Some(value_in(bytes, &param));
            }
        }
        (value, self.at)
    }
}

fn is_named(bytes: &[u8], param: &Param, name: &[u8]) -> bool {
    bytes
        .get(param.name.clone())
        .is_some_and(|written| written.eq_ignore_ascii_case(name))
}

fn value_in(bytes: &[u8], param: &Param) -> Range<usize> {
    let end = param.name.end;
    let value = param.value.clone().unwrap_or(end..end);
    let quoted = bytes.get(value.start) == Some(&b'"') && value.len() >= 2;
    if quoted {
        value.start + 1..value.end - 1
    } else {
        value
    }
}

impl Iterator for Params<'_> {
    type Item = Param;

    fn next(&mut self) -> Option<Param> {
        let bytes = self.bytes;
        loop {
            self.at = skip_space(bytes, self.at);
            if bytes.get(self.at) != Some(&b';') {
                return None;
            }
            let start = skip_space(bytes, self.at + 1);
            let end = token_end(bytes, start);
            let equals = skip_space(bytes, end);
            if bytes.get(equals) != Some(&b'=') {
                self.at = end;
                if start == end {
                    // An empty parameter (";;" or a last ";") is passed over.
                    if equals > self.at {
                        self.at = equals;
                    }
                    continue;
                }
                return Some(Param {
                    name: start..end,
                    value: None,
                });
            }
            let value = skip_space(bytes, equals + 1);
            let end_of_value = if bytes.get(value) == Some(&b'"') {
                skip_quoted(bytes, value)?
            } else {
                value_end(bytes, value)
            };
            self.at = end_of_value;
            return Some(Param {
                name: start..end,
                value: Some(value..end_of_value),
            });
        }
    }
}

/// The offset of the first byte from `at` on that is not a blank.
pub(in crate::sip) fn skip_space(bytes: &[u8], mut at: usize) -> usize {
    while matches!(bytes.get(at), Some(b' ' | b'\t')) {
        at += 1;
    }
    at
}

fn token_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b';' | b',' | b'=' | b' ' | b'\t' | b'"') {
            break;
        }
        at += 1;
    }
    at
}

/// As `token_end`, but an equals sign belongs to the value: tags and branches made with base64 have one.
fn value_end(bytes: &[u8], mut at: usize) -> usize {
    while let Some(byte) = bytes.get(at) {
        if matches!(byte, b';' | b',' | b' ' | b'\t' | b'"') {
            break;
        }
        at += 1;
    }
    at
}

/// Whether a byte may stand in a token (RFC 3261 §25.1).
pub(in crate::sip) const fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric()
        || matches!(
            byte,
            b'-' | b'.' | b'!' | b'%' | b'*' | b'_' | b'+' | b'`' | b'\'' | b'~'
        )
}
