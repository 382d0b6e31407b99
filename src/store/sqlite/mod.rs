//! The store in a SQLite file.
//!
//! Write-ahead log with `synchronous = NORMAL`: what was committed survives the death of the process; after a power cut
//! the last moments may be missing, the file is never torn. One connection writes, several read beside it.

mod column;
mod crash;
mod defence;
mod outbox;
mod quality;
mod read;
mod schema;
mod table;
#[cfg(test)]
mod tests;
mod write;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use arc_swap::ArcSwap;
use sqlx::SqlSafeStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use tokio::sync::Notify;

use super::outbox::{Delivery, EndpointRow, Settlement, Subscriptions};
use super::page::{CallFilter, Page, PageRequest};
use super::row::{CallDetail, CallRow, MissedItem};
use super::{Answer, Closed, Position, Store, StoreError};
use crate::ledger::clock::Wall;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::{CallId, Name, RecordingId, Tenant};
use crate::ledger::journal::{
    BanRecord, BindingRecord, Entry, Messages, OutboundDay, RecordingRecord,
};

/// A store in a SQLite file.
pub struct SqliteStore {
    writer: SqlitePool,
    readers: SqlitePool,
    entropy: Mutex<Entropy>,
    subscriptions: ArcSwap<Subscriptions>,
    outbox_changed: Arc<Notify>,
}

impl SqliteStore {
    /// Opens the database that `server.database` names, `sqlite://PATH` (relative to the working directory); the file and
    /// its folder are made where missing, the tables brought up to date. `entropy` makes the events' ids.
    ///
    /// # Errors
    /// [`StoreError::UnknownDatabase`], [`StoreError::Folder`], [`StoreError::Migration`], [`StoreError::Away`].
    pub async fn open(database: &str, entropy: Entropy) -> Result<SqliteStore, StoreError> {
        let path = database
            .strip_prefix("sqlite://")
            .or_else(|| database.strip_prefix("sqlite:"))
            .filter(|path| !path.is_empty() && *path != ":memory:")
            .ok_or_else(|| StoreError::UnknownDatabase(database.to_owned()))?;
        SqliteStore::open_file(Path::new(path), entropy).await
    }

    /// Opens the database in this file.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub async fn open_file(path: &Path, entropy: Entropy) -> Result<SqliteStore, StoreError> {
        if let Some(folder) = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty())
        {
            std::fs::create_dir_all(folder).map_err(|source| StoreError::Folder {
                path: folder.display().to_string(),
                source,
            })?;
        }
        let options = SqliteConnectOptions::new()
            .filename(path)
            .create_if_missing(true)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal)
            .foreign_keys(true)
            .busy_timeout(BUSY_TIMEOUT)
            .pragma("cache_size", "-2000")
            .pragma("journal_size_limit", "67108864")
            .pragma("temp_store", "memory");
        let writer = patiently(async || pool(1).connect_with(options.clone()).await).await?;
        migrator().run(&writer).await?;
        let readers = pool(READERS).connect_lazy_with(options);
        Ok(SqliteStore {
            writer,
            readers,
            entropy: Mutex::new(entropy),
            subscriptions: ArcSwap::default(),
            outbox_changed: Arc::new(Notify::new()),
        })
    }

    /// Closes the connections; a last checkpoint folds the log into the file.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

impl Store for SqliteStore {
    fn apply_at<'a>(&'a self, entries: &'a [Entry], position: Option<Position>) -> Answer<'a, ()> {
        Box::pin(self.write_entries(entries, position))
    }

    fn position(&self) -> Answer<'_, Option<Position>> {
        Box::pin(self.read_position())
    }

    fn close_after_crash(&self, now: Wall) -> Answer<'_, Closed> {
        Box::pin(self.close_open_calls(now))
    }

    fn bindings(&self, now: Wall) -> Answer<'_, Vec<BindingRecord>> {
        Box::pin(self.read_bindings(now))
    }

    fn messages<'a>(&'a self, tenant: &'a Tenant) -> Answer<'a, BTreeMap<Name, Messages>> {
        Box::pin(self.read_messages(tenant))
    }

    fn heard(&self, recording: RecordingId) -> Answer<'_, Option<Wall>> {
        Box::pin(self.read_heard(recording))
    }

    fn bans(&self, now: Wall) -> Answer<'_, Vec<BanRecord>> {
        Box::pin(self.read_bans(now))
    }

    fn outbound_days<'a>(&'a self, day: &'a str) -> Answer<'a, Vec<OutboundDay>> {
        Box::pin(self.read_outbound_days(day))
    }

    fn last_sign_of_life(&self) -> Answer<'_, Option<Wall>> {
        Box::pin(async { Ok(self.fact("alive_at").await?.map(Wall::from_micros)) })
    }

    fn plan_version(&self) -> Answer<'_, Option<u64>> {
        Box::pin(async {
            let version = self.fact("plan_version").await?;
            Ok(version.and_then(|version| u64::try_from(version).ok()))
        })
    }

    fn calls<'a>(
        &'a self,
        filter: &'a CallFilter,
        page: &'a PageRequest,
    ) -> Answer<'a, Page<CallRow>> {
        Box::pin(self.read_calls(filter, page))
    }

    fn call<'a>(&'a self, tenant: &'a Tenant, call: CallId) -> Answer<'a, Option<CallDetail>> {
        Box::pin(self.read_call(tenant, call))
    }

    fn missed<'a>(
        &'a self,
        tenant: &'a Tenant,
        page: &'a PageRequest,
    ) -> Answer<'a, Page<MissedItem>> {
        Box::pin(self.read_missed(tenant, page))
    }

    fn recording<'a>(
        &'a self,
        tenant: &'a Tenant,
        recording: RecordingId,
    ) -> Answer<'a, Option<RecordingRecord>> {
        Box::pin(self.read_recording(tenant, recording))
    }

    fn latest_recording(&self, call: CallId) -> Answer<'_, Option<RecordingRecord>> {
        Box::pin(async move { Ok(self.read_recordings(call).await?.pop()) })
    }

    fn subscribe(&self, subscriptions: Subscriptions) {
        self.subscriptions.store(Arc::new(subscriptions));
    }

    fn outbox_changed(&self) -> Arc<Notify> {
        Arc::clone(&self.outbox_changed)
    }

    fn due<'a>(&'a self, webhook: &'a Name, now: Wall, limit: u32) -> Answer<'a, Vec<Delivery>> {
        Box::pin(self.read_due(webhook, now, limit))
    }

    fn next_due<'a>(&'a self, webhook: &'a Name, after: Wall) -> Answer<'a, Option<Wall>> {
        Box::pin(self.read_next_due(webhook, after))
    }

    fn settle<'a>(
        &'a self,
        settlements: &'a [Settlement],
        endpoints: &'a [EndpointRow],
    ) -> Answer<'a, ()> {
        Box::pin(self.write_settlements(settlements, endpoints))
    }

    fn endpoints(&self) -> Answer<'_, Vec<EndpointRow>> {
        Box::pin(self.read_endpoints())
    }

    fn prune(&self, now: Wall) -> Answer<'_, bool> {
        Box::pin(self.prune_outbox(now))
    }

    fn ping(&self) -> Answer<'_, ()> {
        Box::pin(async {
            sqlx::query("SELECT 1 FROM facts LIMIT 1")
                .fetch_optional(&self.readers)
                .await?;
            Ok(())
        })
    }
}

/// Opens something on a disk. On a machine that is starting up, or busy, a disk may take long for its first answer.
async fn patiently<T>(
    mut open: impl AsyncFnMut() -> Result<T, sqlx::Error>,
) -> Result<T, sqlx::Error> {
    for _ in 1..ATTEMPTS {
        match open().await {
            Err(sqlx::Error::PoolTimedOut) => {
                tracing::warn!("the database does not answer yet; it is opened again");
            }
            answer => return answer,
        }
    }
    open().await
}

fn pool(connections: u32) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// How long a connection is waited for.
const ACQUIRE: Duration = Duration::from_secs(10);
/// How often opening is tried at the start.
const ATTEMPTS: u32 = 5;

fn migrator() -> Migrator {
    let migrations = MIGRATIONS
        .iter()
        .map(|(version, name, sql)| {
            let kind = MigrationType::Simple;
            Migration::new(*version, (*name).into(), kind, sql.into_sql_str(), false)
        })
        .collect();
    Migrator::with_migrations(migrations)
}

/// Never edited once released: a change of the tables is a new file.
const MIGRATIONS: &[(i64, &str, &str)] = &[
    (1, "first", include_str!("../migrations/0001_first.sql")),
    (6, "defence", include_str!("../migrations/0006_defence.sql")),
    (30, "paths", include_str!("../migrations/0030_paths.sql")),
    (
        40,
        "recordings",
        include_str!("../migrations/0040_recordings.sql"),
    ),
    (50, "heard", include_str!("../migrations/0050_heard.sql")),
    (
        55,
        "quality",
        include_str!("../migrations/0055_quality.sql"),
    ),
    (62, "fault", include_str!("../migrations/0062_fault.sql")),
];

/// Another process (a person with `sqlite3`) may hold the lock for so long before a batch goes to the spool.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

const READERS: u32 = 3;
