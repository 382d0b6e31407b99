//! name-addr and addr-spec with header parameters: From, To, Contact, Route, Record-Route, P-Asserted-Identity … (RFC 3261 §20.10).

use super::params::{self, ParamList, Quoted};
use crate::sip::uri::{Uri, UriError};
use crate::sip::wire::scan;

/// One address with its display name and header parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /// Unquoted display name.
    pub display: Option<String>,
    /// The URI.
    pub uri: Uri,
    /// Header parameters in order, names in lower case, values unquoted.
    pub params: ParamList,
}

impl NameAddr {
    /// A URI without display name and parameters.
    pub fn new(uri: Uri) -> NameAddr {
        NameAddr {
            display: None,
            uri,
            params: ParamList::new(),
        }
    }

    /// Reads one.
    pub fn parse(text: &str) -> Result<NameAddr, UriError> {
        let text = text.trim();
        let end = scan::address_params(text.as_bytes()).map_err(|broken| match broken {
            scan::Broken::Quote => UriError("a quoted string does not end"),
            scan::Broken::Bracket => UriError("an angle bracket is not closed"),
        })?;
        let address = text.get(..end).unwrap_or_default().trim_end();
        let (display, uri) = match address.strip_suffix('>') {
            Some(inside) => divide(inside)?,
            None => (None, address),
        };
        Ok(NameAddr {
            display,
            uri: Uri::parse(uri.trim())?,
            params: params::read(text, end)
                .ok_or(UriError("something other than parameters follows it"))?,
        })
    }

    /// Reads a comma-separated list.
    pub fn parse_list(text: &str) -> Result<Vec<NameAddr>, UriError> {
        params::elements(text)
            .ok_or(UriError("a quoted string or bracket is not closed"))?
            .into_iter()
            .map(NameAddr::parse)
            .collect()
    }

    /// The value of a header parameter, `Some("")` for one without.
    pub fn param(&self, name: &str) -> Option<&str> {
        params::find(&self.params, name)
    }

    /// With this header parameter added.
    pub fn with_param(mut self, name: &str, value: Option<&str>) -> NameAddr {
        self.params
            .push((name.to_ascii_lowercase(), value.map(str::to_owned)));
        self
    }
}

/// Display name and URI of `"name" <uri` (the closing bracket is off).
fn divide(text: &str) -> Result<(Option<String>, &str), UriError> {
    let quoted = match text.starts_with('"') {
        true => {
            scan::skip_quoted(text.as_bytes(), 0).ok_or(UriError("a quoted string does not end"))?
        }
        false => 0,
    };
    let open = text
        .get(quoted..)
        .and_then(|rest| rest.find('<'))
        .ok_or(UriError("an angle bracket is not opened"))?
        + quoted;
    let display = text.get(..open).unwrap_or_default().trim();
    let uri = text.get(open + 1..).unwrap_or_default();
    if quoted > 0 && display.len() != quoted {
        return Err(UriError(
            "something stands between its display name and its bracket",
        ));
    }
    let display = params::unquote(display);
    Ok((Some(display).filter(|display| !display.is_empty()), uri))
}

/// With angle brackets, the display name quoted where needed.
impl std::fmt::Display for NameAddr {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if let Some(display) = &self.display {
            let words = !display.is_empty() && display.trim() == display;
            if words
                && display
                    .bytes()
                    .all(|byte| scan::is_token(byte) || byte == b' ')
            {
                write!(f, "{display} ")?;
            } else {
                write!(f, "{} ", Quoted(display))?;
            }
        }
        write!(f, "<{}>", self.uri)?;
        params::print(&self.params, f)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parse(text: &str) -> NameAddr {
        NameAddr::parse(text).unwrap()
    }

    #[test]
    fn with_and_without_brackets() {
        let one = parse("\"Anna \\\"A\\\" <x>\" <sip:anna@h;lr>;tag=1; Expires = 60");
        assert_eq!(one.display.as_deref(), Some("Anna \"A\" <x>"));
        assert_eq!(one.uri.param("lr"), Some(""));
        assert_eq!(
            (one.param("tag"), one.param("EXPIRES")),
            (Some("1"), Some("60"))
        );
        let bare = parse("sip:anna@h;tag=1");
        assert_eq!(
            (bare.uri.as_str(), bare.param("tag")),
            ("sip:anna@h", Some("1"))
        );
        assert_eq!(
            parse("Anna Smith<tel:+7>").display.as_deref(),
            Some("Anna Smith")
        );
        assert_eq!(parse("\"\" <sip:h>").display, None);
    }

    #[test]
    fn a_list_keeps_quoted_commas() {
        let list =
            NameAddr::parse_list("\"a, b\" <sip:a@h>;q=1,<sip:b@h>;+sip.instance=\"<urn:uuid:1>\"")
                .unwrap();
        assert_eq!(list.len(), 2);
        assert_eq!(list[1].param("+sip.instance"), Some("<urn:uuid:1>"));
        assert_eq!(
            list[1].to_string(),
            "<sip:b@h>;+sip.instance=\"<urn:uuid:1>\""
        );
    }

    #[test]
    fn what_is_none() {
        for text in [
            "",
            "<>",
            "<sip:a@h",
            "\"a <sip:a@h>",
            "<sip:a@h> x",
            "\"a\" b <sip:a@h>",
            "a <b <sip:h>>",
            "anna",
        ] {
            assert!(NameAddr::parse(text).is_err(), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read(display in "\\PC{1,12}", user in "\\PC{1,8}", value in "[ -~]{0,9}") {
            let one = NameAddr {
                display: Some(display),
                ..NameAddr::new(Uri::sip(Some(&user), "h", None))
            }
            .with_param("tag", Some(&value))
            .with_param("lr", None);
            prop_assert_eq!(NameAddr::parse(&one.to_string()).unwrap(), one.clone());
            let list = format!("{one}, {one}");
            prop_assert_eq!(NameAddr::parse_list(&list).unwrap(), vec![one.clone(), one]);
        }

        #[test]
        fn no_text_does_harm(text in "[ -~]{0,40}") {
            let _ = NameAddr::parse_list(&text);
            let _ = NameAddr::parse_list(&format!("<sip:a@h>{text}"));
            let _ = NameAddr::parse_list(&format!("\"{text}\" <sip:{text}>;{text}"));
        }
    }
}
