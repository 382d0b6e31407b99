//! The thread that completes closed files: to the disk, measured, hashed, into the journal. Apart from the writer, because
//! hashing hours of sound would hold up everybody else's recording.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use super::Clock;
use super::copier::Work;
use super::repair::complete;
use super::unharmed::{unharmed, unharmed_io};
use crate::ledger::journal::{Entry, RecordingRecord};

/// What the writer tells.
pub enum Seal {
    /// A recording began.
    Begun(RecordingRecord),
    /// What its row says has changed.
    Changed(RecordingRecord),
    /// Its file is closed and as long as it will be.
    Closed(RecordingRecord),
    /// Nothing more of it can be stored; its record says why.
    Failed(RecordingRecord),
    /// It was thrown away, or could not be begun.
    Gone,
}

/// What is counted of all recordings.
#[derive(Clone, Default)]
pub struct Counts {
    /// Begun and not yet complete in the journal.
    pub alive: Arc<AtomicUsize>,
    /// Not kept, or not to their end.
    pub failed: Arc<AtomicUsize>,
}

/// Completes recordings.
pub struct Sealer {
    /// The folder that paths are relative to.
    pub root: PathBuf,
    /// The clocks.
    pub clock: Clock,
    /// Where entries go.
    pub journal: Arc<dyn Fn(Entry) + Send + Sync>,
    /// Where copies are asked for.
    pub copies: Sender<Work>,
    /// What is counted.
    pub counts: Counts,
}

impl Sealer {
    /// Runs until the writer is gone.
    pub fn run(self, inbox: Receiver<Seal>) {
        for message in inbox {
            let is_last = matches!(message, Seal::Closed(_) | Seal::Gone);
            if let Err(why) = unharmed(|| self.take(message)) {
                // The row of one that was about to be complete stays open: the next start completes it.
                tracing::error!(
                    why,
                    "the thread that completes recordings goes on after a panic"
                );
            }
            if is_last {
                self.counts.alive.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }

    fn take(&self, message: Seal) {
        match message {
            Seal::Begun(record) => (self.journal)(Entry::RecordingStarted(record)),
            Seal::Changed(record) => (self.journal)(Entry::RecordingChanged(record)),
            Seal::Failed(record) => self.fail(record),
            Seal::Closed(record) => self.close(record),
            Seal::Gone => {}
        }
    }

    fn close(&self, mut record: RecordingRecord) {
        match unharmed_io(|| complete(&self.root, &record)) {
            Ok(record) => {
                (self.journal)(Entry::RecordingEnded(record.clone()));
                if record.copy_due && self.copies.send(Work::Copy(record.into())).is_err() {
                    tracing::warn!("a recording is copied after the next start");
                }
            }
            Err(error) => {
                // Its row stays open: the next start tries again.
                record.fault = Some(format!("Its file cannot be completed: {error}."));
                self.fail(record);
            }
        }
    }

    fn fail(&self, record: RecordingRecord) {
        self.counts.failed.fetch_add(1, Ordering::Relaxed);
        (self.journal)(Entry::RecordingFailed {
            recording: record.into(),
            at: (self.clock)().wall,
        });
    }
}
