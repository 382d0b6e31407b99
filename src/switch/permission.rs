//! What an operator may dial when he does it in the middle of a call, by REFER or by a 3xx of his phone: the same as when he places one (`outbound`).

use super::core::Core;
use crate::dialplan::routing::Entry;
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, Name};

impl Core {
    /// What a dialled text means for this operator now, and how it is written in the record.
    pub(super) fn may_dial(&mut self, now: Now, operator: &Name, dialled: &str) -> (Entry, String) {
        self.outside(now, operator, dialled)
    }

    /// A running call dials this for the operator: it counts against his limits.
    pub(super) fn note_dialled(&mut self, call: CallId, operator: &Name, entry: &Entry) {
        self.note_outbound(call, operator, entry);
    }
}
