//! The one task that writes the journal.

use std::collections::VecDeque;
use std::io;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::said::log;
use super::{Counters, Flushed, Message};
use crate::ledger::journal::Entry;
use crate::store::spool::{Portion, Spool};
use crate::store::{Position, Store, StoreError};

/// Entries that are written together, each with its position.
#[derive(Debug, Default)]
struct Batch {
    entries: Vec<Entry>,
    positions: Vec<Position>,
}

impl Batch {
    /// What follows this position; all of it when the position is not in the batch.
    fn after(&self, position: Option<Position>) -> Batch {
        let taken = position
            .and_then(|position| self.positions.iter().position(|at| *at == position))
            .map_or(0, |index| index + 1);
        Batch {
            entries: self.entries.iter().skip(taken).cloned().collect(),
            positions: self.positions.iter().skip(taken).copied().collect(),
        }
    }

    /// The entries of higher numbers, all of this run.
    fn behind(&self, position: Position) -> Batch {
        let taken = self
            .positions
            .partition_point(|at| at.number <= position.number);
        self.after(
            taken
                .checked_sub(1)
                .and_then(|last| self.positions.get(last).copied()),
        )
    }
}

/// How far a replay came.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Replay {
    Done,
    More,
    Failed,
}

/// Takes what is handed over to the database, or to the spool.
pub struct Writer {
    store: Arc<dyn Store>,
    spool: Arc<Mutex<Spool>>,
    receiver: mpsc::UnboundedReceiver<Message>,
    /// Told when a call began or a flush is asked for.
    urgent: Arc<Notify>,
    counters: Arc<Counters>,
    run: i64,
    number: u64,
    /// Everything goes through the spool until it is empty.
    spooling: bool,
    /// The spool is read from where the database stands.
    located: bool,
    /// The last entry that the spool holds beside the database's way, until its batch is stored.
    noted: Option<Position>,
    /// Batches that neither database nor disk took yet, in order.
    held: VecDeque<Arc<Batch>>,
    flushes: Vec<oneshot::Sender<Flushed>>,
    closed: bool,
    pause: Duration,
    /// When the last batch was complete.
    gathered_at: Option<Instant>,
}

impl Writer {
    pub(super) fn new(
        store: Arc<dyn Store>,
        spool: Spool,
        receiver: mpsc::UnboundedReceiver<Message>,
        urgent: Arc<Notify>,
        counters: Arc<Counters>,
        run: i64,
    ) -> Writer {
        let spooling = !spool.is_empty();
        Writer {
            store,
            spool: Arc::new(Mutex::new(spool)),
            receiver,
            urgent,
            counters,
            run,
            number: 0,
            spooling,
            located: false,
            noted: None,
            held: VecDeque::new(),
            flushes: Vec::new(),
            closed: false,
            pause: FIRST_PAUSE,
            gathered_at: None,
        }
    }

    /// Writes until the last [`Journal`](super::Journal) is dropped. It is woken for every call and goes to the database
    /// in many small steps, so it is cheapest alone on a runtime of its own.
    pub async fn run(mut self) {
        while !(self.closed && self.receiver.is_empty() && !self.spooling) {
            self.counters
                .spooling
                .store(self.spooling.into(), Ordering::Relaxed);
            if !self.spooling {
                let batch = self.gather().await;
                self.write(batch).await;
                if !self.spooling {
                    self.answer(Flushed::Stored);
                }
                continue;
            }
            self.take_to_spool().await;
            match self.replay().await {
                Replay::Done => {
                    self.spooling = false;
                    self.pause = FIRST_PAUSE;
                    tracing::info!("the database has taken all that was spooled");
                    self.answer(Flushed::Stored);
                }
                Replay::More => {}
                Replay::Failed if self.closed => break,
                Replay::Failed => self.wait().await,
            }
        }
        let place = self.place();
        self.answer(place);
    }

    /// Waits for the first entry, then for more until a batch is full, a flush is asked for, or [`LINGER`] has passed and
    /// [`PACE`] since the last batch: a transaction costs as much as the rows of several calls, so that calls share it. What
    /// must not be lost meanwhile is noted in the spool.
    async fn gather(&mut self) -> Batch {
        let mut batch = Batch::default();
        let message = self.receiver.recv().await;
        self.accept(message, &mut batch);
        let soonest = Instant::now() + LINGER;
        let deadline = self
            .gathered_at
            .map_or(soonest, |last| soonest.max(last + PACE));
        // Asleep until then: to be woken for each entry would cost more than to write it.
        while !self.fill(&mut batch) {
            tokio::select! {
                () = sleep_until(deadline) => {
                    self.fill(&mut batch);
                    break;
                }
                () = self.urgent.notified() => {}
            }
            if !self.fill(&mut batch) {
                // Others that come at the same time are noted with it.
                sleep(SOON).await;
                if !self.fill(&mut batch) {
                    self.note(&batch);
                }
            }
        }
        self.gathered_at = Some(Instant::now());
        batch
    }

    /// The entries so far outlive the process from now on. A few hundred bytes into the page cache, so it is done here.
    fn note(&mut self, batch: &Batch) {
        let taken = self.noted.map_or(0, |noted| {
            let is_noted = |at: &Position| at.number <= noted.number;
            batch.positions.partition_point(is_noted)
        });
        let entries = batch.entries.get(taken..).unwrap_or_default();
        let positions = batch.positions.get(taken..).unwrap_or_default();
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        match spool.note(entries, positions) {
            Ok(()) => self.noted = batch.positions.last().copied(),
            Err(error) => {
                tracing::warn!(%error, "the journal's entries of the last moments would not outlive a crash: the spool cannot be written");
            }
        }
    }

    /// What was noted is in the database.
    fn forget_noted(&mut self) {
        if self.noted.take().is_none() {
            return;
        }
        let mut spool = self.spool.lock().unwrap_or_else(PoisonError::into_inner);
        if let Err(error) = spool.forget() {
            // Its positions keep the entries from being applied again.
            tracing::warn!(%error, "the spool cannot be emptied");
        }
    }

    /// Adds what is queued; true when there is nothing to wait for.
    fn fill(&mut self, batch: &mut Batch) -> bool {
        while batch.entries.len() < BATCH && self.flushes.is_empty() && !self.closed {
            match self.receiver.try_recv() {
                Ok(message) => self.accept(Some(message), batch),
                Err(mpsc::error::TryRecvError::Empty) => return false,
                Err(mpsc::error::TryRecvError::Disconnected) => self.closed = true,
            }
        }
        true
    }

    fn accept(&mut self, message: Option<Message>, batch: &mut Batch) {
        match message {
            Some(Message::Entry(entry)) => {
                log(&entry);
                self.number += 1;
                batch.entries.push(entry);
                batch.positions.push(Position {
                    run: self.run,
                    number: self.number,
                });
            }
            Some(Message::Flush(reply)) => self.flushes.push(reply),
            None => self.closed = true,
        }
    }

    async fn write(&mut self, batch: Batch) {
        if batch.entries.is_empty() {
            return;
        }
        let batch = Arc::new(batch);
        let written = self.apply(&batch, true).await;
        match written {
            Ok(()) if self.spooling => {}
            Ok(()) => self.forget_noted(),
            Err(error) if error.is_final() => match self.one_by_one(&batch).await {
                Some(rest) => self.begin_spooling(rest).await,
                None if self.spooling => {}
                None => self.forget_noted(),
            },
            Err(error) => {
                tracing::warn!(%error, "journal entries go to the spool until the database is back");
                if !self.spooling {
                    self.begin_spooling(batch).await;
                }
            }
        }
    }

    /// Applies a batch. Should the database take so long that the queue outgrows its bound, the queue moves to the
    /// spool, behind the batch itself (where that is `fresh`: not in the spool already).
    async fn apply(&mut self, batch: &Arc<Batch>, fresh: bool) -> Result<(), StoreError> {
        let store = Arc::clone(&self.store);
        let mut applied = store.apply_at(&batch.entries, batch.positions.last().copied());
        let result = loop {
            tokio::select! {
                biased;
                result = &mut applied => break result,
                () = sleep(WATCH) => {
                    if self.receiver.len() > QUEUE {
                        if fresh && !self.spooling {
                            tracing::warn!("the database is slow; journal entries go to the spool");
                            self.begin_spooling(Arc::clone(batch)).await;
                        }
                        self.take_to_spool().await;
                    }
                }
            }
        };
        match &result {
            Ok(()) => Counters::add(&self.counters.batches, 1),
            Err(_) => Counters::add(&self.counters.failures, 1),
        }
        result
    }

    /// Applies a batch's entries one at a time and sets aside those that the database refuses; what is left when the
    /// database goes away meanwhile is returned.
    async fn one_by_one(&mut self, batch: &Batch) -> Option<Arc<Batch>> {
        let pairs = || batch.entries.iter().zip(&batch.positions);
        for (index, (entry, position)) in pairs().enumerate() {
            let applied = self
                .store
                .apply_at(std::slice::from_ref(entry), Some(*position))
                .await;
            match applied {
                Ok(()) => Counters::add(&self.counters.batches, 1),
                Err(error) if error.is_final() => {
                    tracing::error!(%error, ?entry, "the database refuses an entry; it is set aside in rejected.jsonl");
                    Counters::add(&self.counters.rejected, 1);
                    let (entry, position) = (entry.clone(), *position);
                    let kept = self
                        .on_spool(move |spool| spool.reject(&entry, position))
                        .await;
                    if let Err(error) = kept {
                        tracing::error!(%error, "the refused entry could not be set aside");
                    }
                }
                Err(_) => {
                    let (entries, positions) =
                        pairs().skip(index).map(|(e, p)| (e.clone(), *p)).unzip();
                    return Some(Arc::new(Batch { entries, positions }));
                }
            }
        }
        None
    }

    async fn begin_spooling(&mut self, batch: Arc<Batch>) {
        self.spooling = true;
        self.located = false;
        // What was noted is in the spool already, at its place.
        let rest = match self.noted.take() {
            Some(noted) => Arc::new(batch.behind(noted)),
            None => batch,
        };
        self.held.push_back(rest);
        self.spool_held().await;
    }

    /// Moves what is queued to the spool.
    async fn take_to_spool(&mut self) {
        let mut batch = Batch::default();
        loop {
            match self.receiver.try_recv() {
                Ok(message) => self.accept(Some(message), &mut batch),
                Err(mpsc::error::TryRecvError::Empty) => break,
                Err(mpsc::error::TryRecvError::Disconnected) => {
                    self.closed = true;
                    break;
                }
            }
            if batch.entries.len() >= QUEUE {
                self.held.push_back(Arc::new(std::mem::take(&mut batch)));
                self.spool_held().await;
            }
        }
        if !batch.entries.is_empty() {
            self.held.push_back(Arc::new(batch));
        }
        self.spool_held().await;
    }

    async fn spool_held(&mut self) {
        while let Some(batch) = self.held.front().cloned() {
            let count = batch.entries.len() as u64;
            let kept = self
                .on_spool(move |spool| spool.append(&batch.entries, &batch.positions))
                .await;
            match kept {
                Ok(()) => {
                    self.held.pop_front();
                    Counters::add(&self.counters.spooled, count);
                }
                Err(error) => {
                    tracing::error!(%error, "the spool cannot be written; journal entries stay in memory");
                    return;
                }
            }
        }
    }

    /// Applies a part of the spool, then what is held in memory.
    async fn replay(&mut self) -> Replay {
        match self.try_replay().await {
            Ok(replay) => replay,
            Err(error) => {
                tracing::error!(%error, "the spool cannot be read");
                Replay::Failed
            }
        }
    }

    async fn try_replay(&mut self) -> io::Result<Replay> {
        if !self.located {
            let Ok(position) = self.store.position().await else {
                return Ok(Replay::Failed);
            };
            self.on_spool(move |spool| spool.locate(position)).await?;
            self.located = true;
        }
        for _ in 0..PORTIONS {
            let portion = self.on_spool(|spool| spool.read(BATCH)).await?;
            let Portion {
                entries,
                positions,
                end,
            } = portion;
            if entries.is_empty() {
                self.on_spool(move |spool| spool.advance(end)).await?;
                return Ok(self.apply_held().await);
            }
            let batch = Arc::new(Batch { entries, positions });
            if !self.apply_spooled(&batch).await {
                self.located = false;
                return Ok(Replay::Failed);
            }
            self.on_spool(move |spool| spool.advance(end)).await?;
        }
        Ok(Replay::More)
    }

    async fn apply_spooled(&mut self, batch: &Arc<Batch>) -> bool {
        match self.apply(batch, false).await {
            Ok(()) => true,
            Err(error) if error.is_final() => self.one_by_one(batch).await.is_none(),
            Err(_) => false,
        }
    }

    /// The spool is empty: what the disk did not take goes straight to the database.
    async fn apply_held(&mut self) -> Replay {
        while let Some(batch) = self.held.front().cloned() {
            let Ok(position) = self.store.position().await else {
                return Replay::Failed;
            };
            let rest = Arc::new(batch.after(position));
            if !rest.entries.is_empty() && !self.apply_spooled(&rest).await {
                return Replay::Failed;
            }
            self.held.pop_front();
        }
        let waiting = self.on_spool(|spool| Ok(spool.pending())).await;
        if waiting.is_ok_and(|bytes| bytes == 0) {
            Replay::Done
        } else {
            Replay::More
        }
    }

    /// The database is away: takes entries to the spool until it is time to try again.
    async fn wait(&mut self) {
        let place = self.place();
        self.answer(place);
        let again = Instant::now() + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        while !self.closed {
            let mut batch = Batch::default();
            match timeout_at(again, self.receiver.recv()).await {
                Ok(message) => self.accept(message, &mut batch),
                Err(_) => return,
            }
            if !batch.entries.is_empty() {
                self.held.push_back(Arc::new(batch));
                // Others may follow at once: one sync for all of them.
                sleep(LINGER).await;
            }
            self.take_to_spool().await;
            if !self.flushes.is_empty() {
                return;
            }
        }
    }

    fn place(&self) -> Flushed {
        match (self.spooling, self.held.is_empty()) {
            (false, _) => Flushed::Stored,
            (true, true) => Flushed::Spooled,
            (true, false) => Flushed::Nowhere,
        }
    }

    fn answer(&mut self, flushed: Flushed) {
        for reply in self.flushes.drain(..) {
            // Who asked may have stopped waiting.
            let _ = reply.send(flushed);
        }
    }

    async fn on_spool<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Spool) -> io::Result<T> + Send + 'static,
    ) -> io::Result<T> {
        let spool = Arc::clone(&self.spool);
        let done = tokio::task::spawn_blocking(move || {
            work(&mut spool.lock().unwrap_or_else(PoisonError::into_inner))
        });
        done.await.map_err(io::Error::other)?
    }
}

/// The most entries in a transaction.
const BATCH: usize = 500;
/// How long a batch waits for more entries.
const LINGER: Duration = Duration::from_millis(5);
/// How long an urgent entry waits for others before it is noted.
const SOON: Duration = Duration::from_millis(5);
/// The least time between two batches, unless a flush is asked for.
const PACE: Duration = Duration::from_millis(250);
/// The most entries in memory.
const QUEUE: usize = 10_000;
/// How often the queue is looked at while the database writes.
const WATCH: Duration = Duration::from_millis(100);
/// How many batches are replayed before new entries are spooled.
const PORTIONS: usize = 20;
/// Between attempts while the database is away: doubled each time.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
