//! From the signalling task to the store: entries are handed over without waiting, written in batches, and kept in the
//! spool while the database is away.
//!
//! One task writes. Once anything is spooled everything goes through the spool, so that the order holds.

mod said;
#[cfg(test)]
mod tests;
mod writer;

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{Notify, mpsc, oneshot};

pub use self::writer::Writer;
use super::spool::Spool;
use super::{Clock, Store};
use crate::ledger::journal::Entry;

/// A handle on the journal. Cheap to clone; its [`Writer`] ends when the last one is dropped.
#[derive(Clone, Debug)]
pub struct Journal {
    sender: mpsc::UnboundedSender<Message>,
    urgent: Arc<Notify>,
    counters: Arc<Counters>,
}

impl Journal {
    /// A journal and what writes it, which somebody must [run](Writer::run). What an earlier process left in `spool` is
    /// replayed first: await [`Journal::flush`] for it before the store is asked what is open. `clock` numbers the run.
    ///
    /// # Errors
    /// The spool's folder or file cannot be made, read or written.
    pub fn open(
        store: Arc<dyn Store>,
        spool: &Path,
        clock: &Clock,
    ) -> io::Result<(Journal, Writer)> {
        let spool = Spool::open(spool)?;
        let (sender, receiver) = mpsc::unbounded_channel();
        let counters = Arc::new(Counters::default());
        let run = clock().as_micros();
        let urgent = Arc::new(Notify::new());
        let writer = Writer::new(
            store,
            spool,
            receiver,
            Arc::clone(&urgent),
            Arc::clone(&counters),
            run,
        );
        let journal = Journal {
            sender,
            urgent,
            counters,
        };
        Ok((journal, writer))
    }

    /// Hands an entry over. Never waits; what is handed over is written in this order.
    ///
    /// What decides a call's result (its begin, its answer, its end), and whether an address is banned, is kept over the end of
    /// this process after 5 ms, whatever ends it: noted in the spool until the database has it. All else may take 250 ms.
    pub fn write(&self, entry: Entry) {
        Counters::add(&self.counters.entries, 1);
        let urgent = matches!(
            entry,
            Entry::CallStarted(_)
                | Entry::CallAnswered(_)
                | Entry::CallEnded { .. }
                | Entry::Banned(_)
                | Entry::Unbanned { .. }
        );
        if self.sender.send(Message::Entry(entry)).is_err() {
            Counters::add(&self.counters.lost, 1);
            tracing::error!("the journal's task has ended; an entry is lost");
        }
        if urgent {
            self.urgent.notify_one();
        }
    }

    /// Waits until everything written so far is safe, and says where.
    pub async fn flush(&self) -> Flushed {
        let (reply, answer) = oneshot::channel();
        if self.sender.send(Message::Flush(reply)).is_err() {
            return Flushed::Nowhere;
        }
        self.urgent.notify_one();
        answer.await.unwrap_or(Flushed::Nowhere)
    }

    /// What the journal has done so far.
    pub fn counters(&self) -> &Counters {
        &self.counters
    }
}

/// Where entries are after a flush.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Flushed {
    /// In the database.
    Stored,
    /// In the spool: the database is away, or has not yet taken all that was spooled.
    Spooled,
    /// In memory alone: database and disk fail, or the task has ended.
    Nowhere,
}

/// What a journal has done since its start.
#[derive(Debug, Default)]
pub struct Counters {
    /// Entries handed over.
    pub entries: AtomicU64,
    /// Batches that the database took.
    pub batches: AtomicU64,
    /// Entries that went to the spool.
    pub spooled: AtomicU64,
    /// Batches that the database did not take.
    pub failures: AtomicU64,
    /// Entries that the database refused for good; they are in `rejected.jsonl`.
    pub rejected: AtomicU64,
    /// Entries that nobody could keep.
    pub lost: AtomicU64,
    /// 1 while entries go through the spool.
    pub spooling: AtomicU64,
}

impl Counters {
    /// Whether entries go through the spool now.
    pub fn is_spooling(&self) -> bool {
        self.spooling.load(Ordering::Relaxed) != 0
    }

    fn add(counter: &AtomicU64, number: u64) {
        counter.fetch_add(number, Ordering::Relaxed);
    }
}

#[allow(
    clippy::large_enum_variant,
    reason = "nearly every message is an entry"
)]
#[derive(Debug)]
enum Message {
    Entry(Entry),
    Flush(oneshot::Sender<Flushed>),
}
