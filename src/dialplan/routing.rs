//! Which entry of the plan a dialled text means: for calls from a trunk, and for what an operator dials.

use super::number::E164;
use super::plan::Plan;
use crate::ledger::id::Name;

/// What was dialled, resolved against the plan.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Entry {
    /// One of our numbers: a key of `Plan::numbers`.
    Number(E164),
    /// A colleague, by name or extension.
    Operator(Name),
    /// An outside number that the operator may dial.
    Outbound {
        /// The number.
        number: E164,
        /// Trunks in order of preference.
        trunks: Vec<Name>,
        /// The number shown.
        caller_id: Option<E164>,
    },
    /// `echo`, dialled by an operator.
    Echo,
    /// A number that exists but that this operator may not dial: 603.
    NotAllowed {
        /// One sentence with a remedy.
        why: String,
    },
    /// Nothing of ours: 404.
    Unknown,
}

/// Resolves a call from `trunk`: the first candidate (Request-URI user, To user, P-Called-Party-ID, as `number_from` orders them) that is a number of ours
/// and not bound to another trunk. Also gives the dialled number in E.164 (or as received) for the record.
pub fn from_trunk(
    _plan: &Plan,
    _trunk: &Name,
    _request_uri: &str,
    _to: &str,
    _p_called_party_id: Option<&str>,
) -> (Entry, String) {
    todo!("dialplan helper")
}

/// Resolves what `operator` dialled: a colleague's name or extension, `echo`, a number of ours, or an outside number allowed by `[outbound.*]`.
pub fn from_operator(_plan: &Plan, _operator: &Name, _dialled: &str) -> (Entry, String) {
    todo!("dialplan helper")
}
