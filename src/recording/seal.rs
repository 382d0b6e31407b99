//! The thread that completes closed files: to the disk, measured, hashed, into the journal. Apart from the writer, because
//! hashing hours of sound would hold up everybody else's recording.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use super::copier::Work;
use super::repair::complete;
use crate::ledger::journal::{Entry, RecordingRecord};

/// What the writer tells.
pub enum Seal {
    /// A recording began.
    Begun(RecordingRecord),
    /// What its row says has changed.
    Changed(RecordingRecord),
    /// Its file is closed and as long as it will be.
    Closed(RecordingRecord),
    /// It was thrown away, or could not be begun.
    Gone,
}

/// Runs until the writer is gone.
pub fn run(
    root: PathBuf,
    inbox: Receiver<Seal>,
    journal: Arc<dyn Fn(Entry) + Send + Sync>,
    copies: Sender<Work>,
    census: Arc<AtomicUsize>,
) {
    for message in inbox {
        match message {
            Seal::Begun(record) => journal(Entry::RecordingStarted(record)),
            Seal::Changed(record) => journal(Entry::RecordingChanged(record)),
            Seal::Closed(record) => {
                let record = complete(&root, &record).unwrap_or_else(|error| {
                    tracing::error!(
                        recording = %record.recording_id, path = record.path, %error,
                        "the recording's file cannot be completed"
                    );
                    record
                });
                journal(Entry::RecordingEnded(record.clone()));
                let is_complete = record.sha256.is_some();
                if record.copy_due && is_complete && copies.send(Work::Copy(record.into())).is_err()
                {
                    tracing::warn!("a recording is copied after the next start");
                }
                census.fetch_sub(1, Ordering::Relaxed);
            }
            Seal::Gone => {
                census.fetch_sub(1, Ordering::Relaxed);
            }
        }
    }
}
