//! What an operator may dial when he does it in the middle of a call: by REFER, or by a 3xx of his phone. A call that he places is weighed by the
//! same rules, so what is added to them belongs in the one place that both ask.

use super::core::Core;
use crate::dialplan::routing::{self, Entry};
use crate::ledger::clock::Now;
use crate::ledger::id::{CallId, Name};

impl Core {
    /// What a dialled text means for this operator now, and how it is written in the record.
    pub(super) fn may_dial(
        &mut self,
        _now: Now,
        operator: &Name,
        dialled: &str,
    ) -> (Entry, String) {
        routing::from_operator(&self.plan, operator, dialled)
    }

    /// A running call dials this for the operator.
    pub(super) fn note_dialled(&mut self, call: CallId, operator: &Name, entry: &Entry) {
        tracing::debug!(%call, %operator, ?entry, "dialled within a call");
    }
}
