//! What a batch of journal entries does to the rows, and which events it raises. No I/O: the store answers [`Questions`]
//! from its tables, [`account`] says what to write, and a database writes it in one transaction.
//!
//! Rows that a batch touches several times are written once, as they stand at its end; events are written each.

mod book;
mod envelope;
#[cfg(test)]
mod properties;
#[cfg(test)]
pub(crate) mod tests;

use std::collections::{BTreeSet, HashMap, HashSet};

use self::book::Book;
use super::row::CallRow;
use crate::ledger::call::TraceLine;
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::ledger::event::EventType;
use crate::ledger::id::{CallId, EventId, LegId, Name, RecordingId, Tenant};
use crate::ledger::journal::{BanRecord, BindingRecord, Entry, OutboundDay, RecordingRecord};
use crate::ledger::leg::LegRecord;
use crate::ledger::quality::LegQuality;

/// What must be known of the tables before a batch is accounted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Questions {
    /// Are these calls over?
    pub ended: BTreeSet<CallId>,
    /// Which missed calls of these parties are open?
    pub parties: BTreeSet<(Tenant, String)>,
    /// How do these calls' rows stand?
    pub rows: BTreeSet<CallId>,
}

impl Questions {
    /// The questions that these entries raise.
    pub fn of(entries: &[Entry]) -> Questions {
        let mut questions = Questions::default();
        let mut begun = HashSet::new();
        for entry in entries {
            match entry {
                Entry::CallStarted(call) => {
                    questions.ended.insert(call.call_id);
                    begun.insert(call.call_id);
                }
                Entry::CallAnswered(call) | Entry::CallChanged(call) => {
                    questions.ended.insert(call.call_id);
                }
                Entry::CallEnded { call, .. } => {
                    questions.ended.insert(call.call_id);
                    if let Some(party) = &call.party {
                        questions
                            .parties
                            .insert((call.tenant.clone(), party.clone()));
                    }
                }
                Entry::RecordingEnded(RecordingRecord { call_id, .. })
                | Entry::RecordingCopied(RecordingRecord { call_id, .. })
                    if !begun.contains(call_id) =>
                {
                    questions.rows.insert(*call_id);
                }
                Entry::RecordingFailed { recording, .. } if !begun.contains(&recording.call_id) => {
                    questions.rows.insert(recording.call_id);
                }
                _ => {}
            }
        }
        questions
    }
}

/// The answers to [`Questions`].
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Known {
    /// The calls that are over.
    pub ended: HashSet<CallId>,
    /// Open missed calls by party, oldest first.
    pub missed: HashMap<(Tenant, String), Vec<MissedRow>>,
    /// Calls' rows.
    pub rows: HashMap<CallId, CallRow>,
}

/// A row of `missed`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MissedRow {
    /// The missed call.
    pub call_id: CallId,
    /// The shop.
    pub tenant: Tenant,
    /// Who was missed; `None`: withheld.
    pub caller: Option<String>,
    /// When the call ended.
    pub missed_at: Wall,
    /// The caller's newest open one.
    pub latest: bool,
    /// When the caller was reached.
    pub recovered_at: Option<Wall>,
    /// By which call.
    pub recovered_by: Option<CallId>,
}

/// A row of `events`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EventRow {
    /// The event's id, the same on every delivery.
    pub event_id: EventId,
    /// The shop.
    pub tenant: Tenant,
    /// Its type.
    pub kind: EventType,
    /// When it happened.
    pub time: Wall,
    /// The call that it is about.
    pub call_id: Option<CallId>,
    /// CloudEvents JSON.
    pub body: String,
}

/// A row of `operator_states` or `trunk_states`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StateRow {
    /// The shop.
    pub tenant: Tenant,
    /// The operator or trunk.
    pub name: Name,
    /// Its state.
    pub state: String,
    /// Why; trunks only.
    pub reason: Option<String>,
    /// Since when.
    pub at: Wall,
}

/// What to write, all in one transaction.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Effects {
    /// Calls to insert or replace.
    pub calls: Vec<CallRow>,
    /// Legs to insert or replace.
    pub legs: Vec<(CallId, LegRecord)>,
    /// Traces to insert or replace.
    pub traces: Vec<(CallId, Vec<TraceLine>)>,
    /// Missed calls to insert or replace.
    pub missed: Vec<MissedRow>,
    /// Recordings to insert or replace.
    pub recordings: Vec<RecordingRecord>,
    /// Bindings to insert or replace.
    pub bindings: Vec<BindingRecord>,
    /// Bindings to remove: operator and contact.
    pub unbound: Vec<(Name, String)>,
    /// Operators' states to append.
    pub operators: Vec<StateRow>,
    /// Trunks' states to append.
    pub trunks: Vec<StateRow>,
    /// Events to append, in order.
    pub events: Vec<EventRow>,
    /// The last sign of life.
    pub alive: Option<Wall>,
    /// The plan in force.
    pub plan_version: Option<u64>,
    /// Bans to insert or replace.
    pub bans: Vec<BanRecord>,
    /// Addresses whose ban was lifted.
    pub unbanned: Vec<String>,
    /// Talk of operators to the outside, by day, to insert or replace.
    pub talked: Vec<OutboundDay>,
    /// How legs sounded, to insert or replace.
    pub quality: Vec<(CallId, LegId, LegQuality)>,
    /// Messages that were heard; the first time counts.
    pub heard: Vec<(RecordingId, Wall)>,
}

/// Says what `entries`, in order, do to the rows.
///
/// # Errors
/// A record that cannot be written as JSON.
pub fn account(
    entries: &[Entry],
    known: Known,
    entropy: &mut Entropy,
) -> Result<Effects, serde_json::Error> {
    let mut book = Book::new(known, entropy);
    for entry in entries {
        book.enter(entry)?;
    }
    Ok(book.finish())
}
