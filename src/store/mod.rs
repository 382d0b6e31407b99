//! What survives: calls, legs, traces, recordings, bindings, missed callers, and the outbox of events.
//!
//! [`Store`] is the one trait; [`sqlite`] keeps it in a file. [`accounting`] decides, without I/O, what a batch of journal
//! entries does to the rows and which events it raises; [`journal`] feeds batches from the signalling task, and [`spool`]
//! keeps them on disk while the database is away. Delivery of the outbox is `notify`'s.
//!
//! Order at start: open the store, [`Store::subscribe`], [`journal::Journal::open`] and its `flush` (it replays what was
//! spooled), then [`Store::close_after_crash`], and only then take calls.

pub mod accounting;
pub mod journal;
pub mod outbox;
pub mod page;
pub mod row;
pub mod spool;
pub mod sqlite;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::Notify;

use self::outbox::{Delivery, EndpointRow, Settlement, Subscriptions};
use self::page::{CallFilter, Page, PageRequest};
use self::row::{CallDetail, CallRow, MissedItem};
use crate::ledger::clock::Wall;
use crate::ledger::id::{CallId, Name, RecordingId, Tenant};
use crate::ledger::journal::{
    BanRecord, BindingRecord, Entry, Messages, OutboundDay, RecordingRecord,
};

/// What a store's method returns: a future of its result.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// The wall clock, as the edge reads it.
pub type Clock = Arc<dyn Fn() -> Wall + Send + Sync>;

/// Where rows and the outbox are kept. One writer per store: the journal is the only one that calls [`Store::apply_at`].
pub trait Store: Send + Sync + 'static {
    /// Writes a batch in one transaction, in order, with the events that it raises and their deliveries to the subscribed
    /// webhooks. `position` is recorded in the same transaction. Entries for a call that has ended are ignored.
    ///
    /// # Errors
    /// Nothing of the batch is kept on an error, but for [`StoreError::Away`] at the moment of the commit, after which
    /// [`Store::position`] tells whether it was.
    fn apply_at<'a>(&'a self, entries: &'a [Entry], position: Option<Position>) -> Answer<'a, ()>;

    /// [`Store::apply_at`] without a position: for batches that no journal repeats.
    fn apply<'a>(&'a self, entries: &'a [Entry]) -> Answer<'a, ()> {
        self.apply_at(entries, None)
    }

    /// The position of the last batch that had one.
    fn position(&self) -> Answer<'_, Option<Position>>;

    /// Closes every call that a dead process left open (DESIGN.md section 5) with its events, and returns the recordings
    /// that were being written, for the repair. `now` bounds the times that it writes.
    fn close_after_crash(&self, now: Wall) -> Answer<'_, Closed>;

    /// The registrar's bindings that end after `now`; older ones are removed.
    fn bindings(&self, now: Wall) -> Answer<'_, Vec<BindingRecord>>;

    /// How many complete messages each voicemail box holds.
    fn messages<'a>(&'a self, tenant: &'a Tenant) -> Answer<'a, BTreeMap<Name, Messages>>;

    /// When a message was heard first.
    fn heard(&self, recording: RecordingId) -> Answer<'_, Option<Wall>>;

    /// The bans that end after `now`; older ones are removed.
    fn bans(&self, now: Wall) -> Answer<'_, Vec<BanRecord>>;

    /// What operators have talked to the outside on `day` (`2026-03-08`); earlier days are removed.
    fn outbound_days<'a>(&'a self, day: &'a str) -> Answer<'a, Vec<OutboundDay>>;

    /// The time of the last `Entry::Alive`.
    fn last_sign_of_life(&self) -> Answer<'_, Option<Wall>>;

    /// The plan version of the last `Entry::ConfigReloaded` or `Entry::PlanLoaded`.
    fn plan_version(&self) -> Answer<'_, Option<u64>>;

    /// Calls, newest first.
    fn calls<'a>(
        &'a self,
        filter: &'a CallFilter,
        page: &'a PageRequest,
    ) -> Answer<'a, Page<CallRow>>;

    /// One call with its legs, trace and recordings.
    fn call<'a>(&'a self, tenant: &'a Tenant, call: CallId) -> Answer<'a, Option<CallDetail>>;

    /// Callers who were missed and not reached since, the latest first.
    fn missed<'a>(
        &'a self,
        tenant: &'a Tenant,
        page: &'a PageRequest,
    ) -> Answer<'a, Page<MissedItem>>;

    /// One recording or message.
    fn recording<'a>(
        &'a self,
        tenant: &'a Tenant,
        recording: RecordingId,
    ) -> Answer<'a, Option<RecordingRecord>>;

    /// The newest recording or message of a call.
    fn latest_recording(&self, call: CallId) -> Answer<'_, Option<RecordingRecord>>;

    /// Which webhooks get which events, from now on. Set it before the first batch is applied.
    fn subscribe(&self, subscriptions: Subscriptions);

    /// Notified when a batch has written deliveries.
    fn outbox_changed(&self) -> Arc<Notify>;

    /// Deliveries to `webhook` that are due at `now`, the longest due first.
    fn due<'a>(&'a self, webhook: &'a Name, now: Wall, limit: u32) -> Answer<'a, Vec<Delivery>>;

    /// When the first delivery to `webhook` is due that is due after `after`.
    fn next_due<'a>(&'a self, webhook: &'a Name, after: Wall) -> Answer<'a, Option<Wall>>;

    /// Records how deliveries went and how their endpoints stand, in one transaction.
    fn settle<'a>(
        &'a self,
        settlements: &'a [Settlement],
        endpoints: &'a [EndpointRow],
    ) -> Answer<'a, ()>;

    /// How endpoints stood when last recorded.
    fn endpoints(&self) -> Answer<'_, Vec<EndpointRow>>;

    /// Removes a small batch of old deliveries and events; true when there may be more.
    fn prune(&self, now: Wall) -> Answer<'_, bool>;

    /// Whether the store answers.
    fn ping(&self) -> Answer<'_, ()>;
}

/// Where a journal stands: entries of a run are numbered.
#[derive(Copy, Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Position {
    /// The run of the process: the wall clock in microseconds when its journal started.
    pub run: i64,
    /// The entry's number within the run, from 1.
    pub number: u64,
}

/// What [`Store::close_after_crash`] found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Closed {
    /// The calls that it closed.
    pub calls: Vec<CallId>,
    /// Recordings and messages that were being written.
    pub unfinished: Vec<RecordingRecord>,
    /// Complete recordings that wait for their copy in another format.
    pub uncopied: Vec<RecordingRecord>,
}

/// Why a store did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The `database` setting is not one that this version knows.
    #[error("database {0:?} is not available in this version: write sqlite://PATH")]
    UnknownDatabase(String),
    /// The database's folder cannot be made.
    #[error("the database's folder {path} cannot be created: {source}")]
    Folder {
        /// The folder.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// The tables cannot be brought up to date.
    #[error("the database's tables cannot be brought up to date: {0}")]
    Migration(#[from] sqlx::migrate::MigrateError),
    /// The database cannot be reached, is full or is locked: what failed may be tried again.
    #[error("the database does not answer: {0}")]
    Away(sqlx::Error),
    /// The database refuses this data: trying again does not help.
    #[error("the database refuses the data: {0}")]
    Refused(sqlx::Error),
    /// A row does not read as what was written.
    #[error("column {column} of table {table} does not read: {reason}")]
    Unreadable {
        /// The table.
        table: &'static str,
        /// The column.
        column: &'static str,
        /// Why.
        reason: String,
    },
}

impl StoreError {
    /// Whether the same batch can never be written.
    pub fn is_final(&self) -> bool {
        matches!(self, StoreError::Refused(_) | StoreError::Unreadable { .. })
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> StoreError {
        let refused = match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().and_then(|code| code.parse::<i32>().ok());
                code.is_some_and(|code| REFUSALS.contains(&(code & 0xff)))
            }
            sqlx::Error::Encode(_)
            | sqlx::Error::Decode(_)
            | sqlx::Error::ColumnDecode { .. }
            | sqlx::Error::ColumnNotFound(_)
            | sqlx::Error::TypeNotFound { .. } => true,
            _ => false,
        };
        if refused {
            StoreError::Refused(error)
        } else {
            StoreError::Away(error)
        }
    }
}

/// SQLite's primary result codes for data that it does not take: too big, constraint, mismatch, range.
const REFUSALS: [i32; 4] = [18, 19, 20, 25];
