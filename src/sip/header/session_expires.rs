//! Session-Expires and Min-SE (RFC 4028 §4, §5).

use std::fmt;

/// A Session-Expires value.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct SessionExpires {
    /// The interval in seconds.
    pub seconds: u32,
    /// Who refreshes, seen from the transaction that carries it.
    pub refresher: Option<Refresher>,
}

/// Who refreshes a session.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Refresher {
    /// Who sent the request.
    Uac,
    /// Who answered it.
    Uas,
}

impl SessionExpires {
    /// Reads a value; `None`: it has no number. A refresher of another name is as none.
    pub fn parse(text: &str) -> Option<SessionExpires> {
        let mut parts = text.split(';');
        let seconds = delta(parts.next()?)?;
        let refresher = parts
            .filter_map(|part| part.split_once('='))
            .find(|(name, _)| name.trim().eq_ignore_ascii_case("refresher"))
            .and_then(|(_, value)| Refresher::parse(value.trim()));
        Some(SessionExpires { seconds, refresher })
    }
}

impl Refresher {
    fn parse(text: &str) -> Option<Refresher> {
        [Refresher::Uac, Refresher::Uas]
            .into_iter()
            .find(|refresher| text.eq_ignore_ascii_case(refresher.as_str()))
    }

    /// The parameter's value.
    pub const fn as_str(self) -> &'static str {
        match self {
            Refresher::Uac => "uac",
            Refresher::Uas => "uas",
        }
    }
}

impl fmt::Display for SessionExpires {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.seconds)?;
        match self.refresher {
            Some(refresher) => write!(f, ";refresher={}", refresher.as_str()),
            None => Ok(()),
        }
    }
}

/// The seconds of a Min-SE value.
pub fn min_se(text: &str) -> Option<u32> {
    delta(text.split(';').next()?)
}

/// delta-seconds; what does not fit is the largest that does (RFC 3261 §20.19 treats Expires so).
fn delta(text: &str) -> Option<u32> {
    let digits = text.trim();
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(digits.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn printed_and_read() {
        for (text, seconds, refresher) in [
            ("1800", 1800, None),
            ("90 ; Refresher = UAS ;x=y", 90, Some(Refresher::Uas)),
            ("4000;refresher=uac", 4000, Some(Refresher::Uac)),
            ("99999999999;refresher=me", u32::MAX, None),
        ] {
            let value = SessionExpires::parse(text).unwrap();
            assert_eq!((value.seconds, value.refresher), (seconds, refresher));
            assert_eq!(SessionExpires::parse(&value.to_string()), Some(value));
        }
        assert_eq!(SessionExpires::parse("soon"), None);
        assert_eq!(SessionExpires::parse("-5"), None);
        assert_eq!(min_se(" 90 ;x"), Some(90));
        assert_eq!(min_se(""), None);
    }
}
