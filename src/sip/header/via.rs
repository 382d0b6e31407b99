//! Via (RFC 3261 §20.42, RFC 3581).

/// One Via value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Via {
    /** `UDP`, `TCP` … in upper case. */
    pub transport: String,
    /** sent-by host. */
    pub host: String,
    /** sent-by port. */
    pub port: Option<u16>,
    /** Parameters in order, names in lower case. */
    pub params: Vec<(String, Option<String>)>,
}
impl Via {
    /// Reads a comma-separated list.
    pub fn parse_list(_text: &str) -> Option<Vec<Via>> {
        todo!()
    }
    /// The value of a parameter, `Some("")` for one without.
    pub fn param(&self, _name: &str) -> Option<&str> {
        todo!()
    }
}
