//! SIP, SIPS and tel URIs (RFC 3261 §19.1, RFC 3966).

/// A URI, checked and indexed. Cloning is cheap enough to keep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Uri {
    text: String,
}

/// The schemes we know.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Scheme {
    Sip,
    Sips,
    Tel,
    /** Any other: 416. */
    Other,
}

/// Why a text is not a URI.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("not a URI: {0}")]
pub struct UriError(pub &'static str);

impl Uri {
    /// Reads a URI without angle brackets.
    pub fn parse(_text: &str) -> Result<Uri, UriError> {
        todo!()
    }
    /// `sip:user@host:port`, escaped as needed; no `user`: without.
    pub fn sip(_user: Option<&str>, _host: &str, _port: Option<u16>) -> Uri {
        todo!()
    }
    /// Its scheme.
    pub fn scheme(&self) -> Scheme {
        todo!()
    }
    /// The user part, unescaped; a tel URI's number.
    pub fn user(&self) -> Option<std::borrow::Cow<'_, str>> {
        todo!()
    }
    /// The host as written, IPv6 without brackets; empty for tel.
    pub fn host(&self) -> &str {
        todo!()
    }
    /// The port, if written.
    pub fn port(&self) -> Option<u16> {
        todo!()
    }
    /// A URI parameter's value, `Some("")` for one without (`lr`).
    pub fn param(&self, _name: &str) -> Option<&str> {
        todo!()
    }
    /// With this parameter added or replaced.
    pub fn with_param(self, _name: &str, _value: &str) -> Uri {
        todo!()
    }
    /// The URI as written.
    pub fn as_str(&self) -> &str {
        &self.text
    }
    /// Equality by RFC 3261 §19.1.4 (for bindings).
    pub fn matches(&self, _other: &Uri) -> bool {
        todo!()
    }
}
impl std::fmt::Display for Uri {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}
