//! Telephone numbers: E.164, and how national forms become it.

/// A number in E.164 with its plus sign, `+74951000001`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct E164(String);

/// An ISO 3166 country whose national numbers are read (`RU`: 8… = +7…).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Country([u8; 2]);

impl E164 {
    /// The number with its plus sign.
    pub fn as_str(&self) -> &str {
        &self.0
    }
    /// Reads a number as written in `country`: E.164 with or without plus, international or national prefix, punctuation. `None` when it is not a telephone number.
    pub fn read(_text: &str, _country: Country) -> Option<E164> {
        todo!("dialplan helper")
    }
}
impl std::fmt::Display for E164 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}
impl std::borrow::Borrow<str> for E164 {
    fn borrow(&self) -> &str {
        &self.0
    }
}
