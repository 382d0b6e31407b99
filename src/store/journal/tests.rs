use std::time::Duration;
use tokio::task::JoinHandle;

use sqlx::Connection;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};

use super::*;
use crate::ledger::entropy::Entropy;
use crate::ledger::id::Tenant;
use crate::store::accounting::tests::{call, ended, second};
use crate::store::page::{CallFilter, PageRequest};
use crate::store::sqlite::SqliteStore;

struct Place {
    folder: tempfile::TempDir,
    store: Arc<SqliteStore>,
}

impl Place {
    async fn new() -> Place {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("vats.db");
        let store = SqliteStore::open_file(&file, Entropy::from_number(1))
            .await
            .unwrap();
        Place {
            folder,
            store: Arc::new(store),
        }
    }

    fn journal(&self) -> (Journal, JoinHandle<()>) {
        let clock: Clock = Arc::new(|| {
            let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap();
            crate::ledger::clock::Wall::from_micros(since.as_micros() as i64)
        });
        let (journal, writer) = Journal::open(
            self.store.clone(),
            &self.folder.path().join("spool"),
            &clock,
        )
        .unwrap();
        (journal, tokio::spawn(writer.run()))
    }

    async fn other_connection(&self) -> SqliteConnection {
        let file = self.folder.path().join("vats.db");
        SqliteConnection::connect_with(&SqliteConnectOptions::new().filename(file))
            .await
            .unwrap()
    }

    async fn states(&self) -> Vec<String> {
        sqlx::query_scalar("SELECT state FROM operator_states ORDER BY rowid")
            .fetch_all(&mut self.other_connection().await)
            .await
            .unwrap()
    }
}

fn state(number: u32) -> Entry {
    Entry::OperatorState {
        tenant: Tenant::default(),
        operator: "anna".into(),
        state: number.to_string(),
        at: second(i64::from(number)),
    }
}

async fn stored(journal: &Journal) {
    for _ in 0..300 {
        if journal.flush().await == Flushed::Stored {
            return;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("the journal was not stored within 15 s");
}

fn expected(count: u32) -> Vec<String> {
    (0..count).map(|number| number.to_string()).collect()
}

#[tokio::test]
async fn entries_are_stored_in_order() {
    let place = Place::new().await;
    let (journal, task) = place.journal();
    for number in 0..1_200 {
        journal.write(state(number));
    }
    assert_eq!(journal.flush().await, Flushed::Stored);
    assert_eq!(place.states().await, expected(1_200));
    assert!(journal.counters().batches.load(Ordering::Relaxed) <= 10);
    drop(journal);
    task.await.unwrap();
}

/// Right after a batch was stored, so that the next one waits, a call begins; true when it was noted before it was stored.
async fn begins_and_is_noted(place: &Place, journal: &Journal, number: u32) -> bool {
    let batches = || journal.counters().batches.load(Ordering::Relaxed);
    let before = batches();
    journal.write(state(number));
    while batches() == before {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    journal.write(state(number + 100));
    journal.write(Entry::CallStarted(Box::new(call(number.into(), None, 0))));
    let spool = place.folder.path().join("spool/entries.jsonl");
    while batches() == before + 1 {
        if std::fs::metadata(&spool).unwrap().len() > 0 {
            return true;
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    false
}

#[tokio::test]
async fn the_begin_of_a_call_outlives_the_process() {
    let place = Place::new().await;
    let (journal, task) = place.journal();
    let mut number = 0;
    // A busy machine may need a few tries.
    while !begins_and_is_noted(&place, &journal, number).await {
        number += 1;
        assert!(number < 20, "no begin of a call was ever noted");
    }
    task.abort();
    assert!(task.await.unwrap_err().is_cancelled());
    let (journal, task) = place.journal();
    stored(&journal).await;
    let begun: Vec<String> =
        sqlx::query_scalar("SELECT body FROM events WHERE type = 'call.started'")
            .fetch_all(&mut place.other_connection().await)
            .await
            .unwrap();
    assert_eq!(begun.len() as u32, number + 1);
    assert_eq!(place.states().await.len() as u32, 2 * (number + 1));
    let spool = std::fs::metadata(place.folder.path().join("spool/entries.jsonl")).unwrap();
    assert_eq!(spool.len(), 0);
    drop(journal);
    task.await.unwrap();
}

#[tokio::test]
async fn what_was_noted_when_the_database_goes_away_is_applied_once() {
    let place = Place::new().await;
    let (journal, task) = place.journal();
    assert_eq!(journal.flush().await, Flushed::Stored);
    let mut other = place.other_connection().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    for number in 0..5u32 {
        journal.write(state(number));
        journal.write(Entry::CallStarted(Box::new(call(number.into(), None, 0))));
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(journal.flush().await, Flushed::Spooled);
    lock.rollback().await.unwrap();
    stored(&journal).await;
    assert_eq!(place.states().await, expected(5));
    drop(journal);
    task.await.unwrap();
}

#[tokio::test]
async fn while_the_database_is_locked_entries_are_spooled_and_replayed_once() {
    let place = Place::new().await;
    let mut other = place.other_connection().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (journal, task) = place.journal();
    for number in 0..25_000 {
        journal.write(state(number));
    }
    assert_eq!(journal.flush().await, Flushed::Spooled);
    assert!(journal.counters().is_spooling());
    for number in 25_000..25_010 {
        journal.write(state(number));
    }
    lock.rollback().await.unwrap();
    stored(&journal).await;
    assert_eq!(place.states().await, expected(25_010));
    journal.write(state(25_010));
    stored(&journal).await;
    assert_eq!(place.states().await.len(), 25_011);
    let spool = std::fs::metadata(place.folder.path().join("spool/entries.jsonl")).unwrap();
    assert_eq!(spool.len(), 0);
    drop(journal);
    task.await.unwrap();
}

#[tokio::test]
async fn what_an_earlier_process_spooled_comes_first_and_once() {
    let place = Place::new().await;
    let positions: Vec<crate::store::Position> = (1..=4)
        .map(|number| crate::store::Position { run: 1, number })
        .collect();
    let entries: Vec<Entry> = (0..4).map(state).collect();
    let mut spool = Spool::open(&place.folder.path().join("spool")).unwrap();
    spool.append(&entries, &positions).unwrap();
    drop(spool);
    // Two of them were applied, and the process died before it could cut the spool.
    place
        .store
        .apply_at(&entries[..2], Some(positions[1]))
        .await
        .unwrap();
    let (journal, _task) = place.journal();
    journal.write(state(4));
    stored(&journal).await;
    assert_eq!(place.states().await, expected(5));
}

#[tokio::test]
async fn a_refused_entry_is_set_aside_and_the_rest_is_stored() {
    let place = Place::new().await;
    sqlx::raw_sql(
        "CREATE TRIGGER refuse BEFORE INSERT ON operator_states WHEN NEW.state = '1' \
         BEGIN SELECT RAISE(ABORT, 'refused'); END",
    )
    .execute(&mut place.other_connection().await)
    .await
    .unwrap();
    let (journal, _task) = place.journal();
    for number in 0..4 {
        journal.write(state(number));
    }
    stored(&journal).await;
    assert_eq!(place.states().await, ["0", "2", "3"]);
    assert_eq!(journal.counters().rejected.load(Ordering::Relaxed), 1);
    let rejected = place.folder.path().join("spool/rejected.jsonl");
    assert_eq!(
        std::fs::read_to_string(rejected).unwrap().lines().count(),
        1
    );
}

#[tokio::test]
async fn every_kind_of_entry_survives_the_spool() {
    let place = Place::new().await;
    let mut other = place.other_connection().await;
    let lock = other.begin_with("BEGIN IMMEDIATE").await.unwrap();
    let (journal, _task) = place.journal();
    let record = call(1, Some("+79161234567"), 0);
    journal.write(Entry::CallStarted(Box::new(record.clone())));
    journal.write(ended(record, 5, false));
    journal.write(Entry::BindingSaved(Box::new(
        crate::store::accounting::tests::binding(),
    )));
    assert_eq!(journal.flush().await, Flushed::Spooled);
    lock.rollback().await.unwrap();
    stored(&journal).await;
    let filter = CallFilter::default();
    let page = place
        .store
        .calls(&filter, &PageRequest::default())
        .await
        .unwrap();
    assert_eq!(page.items.len(), 1);
    assert_eq!(place.store.bindings(second(0)).await.unwrap().len(), 1);
}
