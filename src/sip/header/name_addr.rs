//! name-addr and addr-spec with header parameters: From, To, Contact, Route, Record-Route, P-Asserted-Identity …
use crate::sip::uri::{Uri, UriError};

/// One address with its display name and header parameters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NameAddr {
    /** Unquoted display name. */
    pub display: Option<String>,
    /** The URI. */
    pub uri: Uri,
    /** Header parameters in order, names in lower case, values unquoted. */
    pub params: Vec<(String, Option<String>)>,
}

impl NameAddr {
    /// Reads one.
    pub fn parse(_text: &str) -> Result<NameAddr, UriError> {
        todo!()
    }
    /// Reads a comma-separated list.
    pub fn parse_list(_text: &str) -> Result<Vec<NameAddr>, UriError> {
        todo!()
    }
    /// The value of a header parameter, `Some("")` for one without.
    pub fn param(&self, _name: &str) -> Option<&str> {
        todo!()
    }
}
// Display prints it with angle brackets, the display name quoted where needed.
impl std::fmt::Display for NameAddr {
    fn fmt(&self, _f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        todo!()
    }
}
