//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966): read, built, compared.
//!
//! Resolving a host is not here.

mod compare;
mod escape;
mod read;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;
use std::sync::Arc;

use crate::sip::wire::scan::Params;

/// A URI, checked and indexed. Cloning is cheap enough to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: Arc<str>,
    scheme: Scheme,
    /// User without password, or a tel URI's number.
    user: Option<Range<usize>>,
    host: Range<usize>,
    port: Option<u16>,
    /// Where the parameters begin (at their `;`), where the headers do (at their `?`).
    params: usize,
    headers: usize,
}

/// The schemes we know.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `sip:`
    Sip,
    /// `sips:`
    Sips,
    /// `tel:`
    Tel,
    /// Any other: 416.
    Other,
}

/// Why a text is not a URI.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a URI: {0}")]
pub struct UriError(pub &'static str);

impl Uri {
    /// Reads a URI without angle brackets.
    pub fn parse(text: &str) -> Result<Uri, UriError> {
        read::read(text)
    }

    /// `sip:user@host:port`, escaped as needed; no `user`: without. Characters that no host has are left out.
    pub fn sip(user: Option<&str>, host: &str, port: Option<u16>) -> Uri {
        let mut text = String::from("sip:");
        if let Some(user) = user.filter(|user| !user.is_empty()) {
            escape::escape_user(&mut text, user);
            text.push('@');
        }
        push_host(&mut text, host);
        if let Some(port) = port {
            // Writing to a String does not fail.
            let _ = write!(text, ":{port}");
        }
        read::read(&text).unwrap_or_else(|_| read::unusable())
    }

    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// The user part, unescaped; a tel URI's number without visual separators.
    pub fn user(&self) -> Option<Cow<'_, str>> {
        let written = self.slice(self.user.clone()?);
        if self.scheme != Scheme::Tel {
            return Some(escape::unescape(written));
        }
        if written.contains(['-', '.', '(', ')']) {
            Some(Cow::Owned(written.replace(['-', '.', '(', ')'], "")))
        } else {
            Some(Cow::Borrowed(written))
        }
    }

    /// The host as written, IPv6 without brackets; empty for tel.
    pub fn host(&self) -> &str {
        self.slice(self.host.clone())
    }

    /// The port, if written.
    pub fn port(&self) -> Option<u16> {
        self.port
    }

    /// A URI parameter's value, `Some("")` for one without (`lr`).
    pub fn param(&self, name: &str) -> Option<&str> {
        let bytes = self.text.as_bytes().get(..self.headers)?;
        let value = Params::new(bytes, self.params).value_of(name.as_bytes())?;
        Some(self.slice(value))
    }

    /// The URI parameters in order as written; the value is `""` for one without.
    pub fn params(&self) -> impl Iterator<Item = (&str, &str)> {
        let bytes = self.text.as_bytes().get(..self.headers).unwrap_or_default();
        Params::new(bytes, self.params).map(|param| {
            let value = param.value.unwrap_or_default();
            (self.slice(param.name), self.slice(value))
        })
    }

    /// The header part behind `?` in order as written (`sip:a@b?Replaces=…`).
    pub fn headers(&self) -> impl Iterator<Item = (&str, &str)> {
        let written = self.text.get(self.headers..).unwrap_or_default();
        written
            .strip_prefix('?')
            .unwrap_or_default()
            .split('&')
            .filter(|header| !header.is_empty())
            .map(|header| header.split_once('=').unwrap_or((header, "")))
    }

    /// The value of a header behind `?`, unescaped.
    pub fn header(&self, name: &str) -> Option<Cow<'_, str>> {
        let found = self
            .headers()
            .find(|(written, _)| escape::unescape(written).eq_ignore_ascii_case(name));
        found.map(|(_, value)| escape::unescape(value))
    }

    /// Without the headers behind `?`: they are not for a Request-URI (RFC 3261 §19.1.5).
    pub fn without_headers(&self) -> &str {
        self.slice(0..self.headers)
    }

    /// With this parameter added or replaced; an empty value adds the name alone (`lr`).
    pub fn with_param(self, name: &str, value: &str) -> Uri {
        let mut text = String::with_capacity(self.text.len() + name.len() + value.len() + 2);
        text.push_str(self.slice(0..self.params));
        let mut push = |name: &str, value: &str| {
            text.push(';');
            text.push_str(name);
            if !value.is_empty() {
                text.push('=');
                text.push_str(value);
            }
        };
        for (other, value) in self.params() {
            if !other.eq_ignore_ascii_case(name) {
                push(other, value);
            }
        }
        push(&escape::escape_param(name), &escape::escape_param(value));
        text.push_str(self.slice(self.headers..self.text.len()));
        read::read(&text).unwrap_or(self)
    }

    /// The URI as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Equality by RFC 3261 §19.1.4 (for bindings).
    pub fn matches(&self, other: &Uri) -> bool {
        compare::matches(self, other)
    }

    fn slice(&self, range: Range<usize>) -> &str {
        self.text.get(range).unwrap_or_default()
    }
}

impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

/// A host, IPv6 in brackets.
fn push_host(text: &mut String, host: &str) {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_v6 = host.contains(':');
    if is_v6 {
        text.push('[');
    }
    text.extend(host.chars().filter(|letter| {
        letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | '_' | ':')
    }));
    if is_v6 {
        text.push(']');
    }
}
