//! What header values share: parameters, quoted strings, lists (RFC 3261 §7.3.1, §25.1).

use std::fmt;

use crate::sip::wire::scan::{self, Params};

/// Parameters in order: names in lower case, values unquoted, `None` for one without value.
pub type ParamList = Vec<(String, Option<String>)>;

/// Reads `;name=value;name…` from offset `at` of `text` to its end. `None`: something else stands there.
pub(in crate::sip) fn read(text: &str, at: usize) -> Option<ParamList> {
    let mut params = Params::new(text.as_bytes(), at);
    let mut list = ParamList::new();
    for param in params.by_ref() {
        let name = text.get(param.name)?;
        if !name.bytes().all(scan::is_token) || name.is_empty() {
            return None;
        }
        let value = match param.value {
            Some(value) => Some(unquote(text.get(value)?)),
            None => None,
        };
        list.push((name.to_ascii_lowercase(), value));
    }
    (params.stopped_at() >= text.len()).then_some(list)
}

/// The value of a parameter, `Some("")` for one without.
pub(in crate::sip) fn find<'a>(
    list: &'a [(String, Option<String>)],
    name: &str,
) -> Option<&'a str> {
    list.iter()
        .find(|(written, _)| written.eq_ignore_ascii_case(name))
        .map(|(_, value)| value.as_deref().unwrap_or_default())
}

/// Prints parameters, quoting values that are neither tokens nor hosts.
pub(super) fn print(list: &[(String, Option<String>)], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (name, value) in list {
        write!(f, ";{name}")?;
        match value {
            Some(value) if is_plain(value) => write!(f, "={value}")?,
            Some(value) => write!(f, "={}", Quoted(value))?,
            None => {}
        }
    }
    Ok(())
}

/// A text as a quoted string; line ends in it become blanks.
#[derive(Copy, Clone, Debug)]
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        use fmt::Write;
        f.write_char('"')?;
        for letter in self.0.chars() {
            match letter {
                '"' | '\\' => {
                    f.write_char('\\')?;
                    f.write_char(letter)?;
                }
                '\r' | '\n' | '\0' => f.write_char(' ')?,
                _ => f.write_char(letter)?,
            }
        }
        f.write_char('"')
    }
}

/// A quoted string without its quotes and escapes; any other text as it is.
pub fn unquote(text: &str) -> String {
    let Some(inside) = text
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'))
    else {
        return text.to_owned();
    };
    let mut plain = String::with_capacity(inside.len());
    let mut letters = inside.chars();
    while let Some(letter) = letters.next() {
        match letter {
            '\\' => plain.extend(letters.next()),
            letter => plain.push(letter),
        }
    }
    plain
}

/// The elements of a comma-separated list, trimmed, empty ones left out; commas in quotes and angle brackets do not divide. `None`: a quote or bracket
/// is not closed.
pub fn elements(text: &str) -> Option<Vec<&str>> {
    let bytes = text.as_bytes();
    let mut elements = Vec::new();
    let mut from = 0;
    while from < bytes.len() {
        let end = scan::element_end(bytes, from).ok()?;
        let element = text.get(from..end)?.trim();
        if !element.is_empty() {
            elements.push(element);
        }
        from = end + 1;
    }
    Some(elements)
}

/// Whether a value needs no quotes: a token, or a host or address.
fn is_plain(value: &str) -> bool {
    !value.is_empty()
        && value
            .bytes()
            .all(|byte| scan::is_token(byte) || matches!(byte, b'[' | b']' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_come_and_go() {
        assert_eq!(unquote(r#""a \"b\" \\c""#), r#"a "b" \c"#);
        assert_eq!(Quoted("a \"b\" \\\r\nc").to_string(), r#""a \"b\" \\  c""#);
        assert_eq!(unquote("\"open"), "\"open");
    }

    #[test]
    fn lists_divide_at_free_commas_only() {
        assert_eq!(
            elements(r#""a,b" <sip:x,y@h>;p="c,\",d", , e"#).unwrap(),
            [r#""a,b" <sip:x,y@h>;p="c,\",d""#, "e"]
        );
        assert_eq!(elements("\"a"), None);
        assert_eq!(elements("a <b"), None);
    }

    #[test]
    fn parameters_are_read_leniently_but_wholly() {
        let list = read(";A = \"x;y\" ; lr;;b=1:2;", 0).unwrap();
        assert_eq!(find(&list, "a"), Some("x;y"));
        assert_eq!(
            (find(&list, "lr"), find(&list, "B")),
            (Some(""), Some("1:2"))
        );
        assert_eq!(read(";a rest", 0), None);
        assert_eq!(read(";a=\"x", 0), None);
        assert_eq!(read("x", 0), None);
    }
}
