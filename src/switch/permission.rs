//! The one place where what an operator dials is weighed, however he does it: an INVITE, a REFER, a 3xx of his phone, the API.

use super::core::Core;
use crate::dialplan::routing::{self, Entry};
use crate::ledger::id::Name;

impl Core {
    /// What a dialled text means for this operator, and how it is written in the record.
    pub(super) fn may_dial(&self, operator: &Name, dialled: &str) -> (Entry, String) {
        routing::from_operator(&self.plan, operator, dialled)
    }
}
