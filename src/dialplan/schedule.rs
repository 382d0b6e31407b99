//! Opening hours.
use crate::ledger::clock::Wall;

/// Opening hours with holidays, in a time zone.
#[derive(Clone, PartialEq, Debug)]
pub struct Schedule {}
impl Schedule {
    /// Whether it is open at `at`.
    pub fn is_open(&self, _at: Wall, _zone: &jiff::tz::TimeZone) -> bool {
        todo!("dialplan helper")
    }
}
