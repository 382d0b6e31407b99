//! The thread that makes the copies in Opus, one after another, while nothing else wants the processor.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use super::opus_copy::{CopyError, replace};
use super::unharmed::unharmed;
use crate::ledger::journal::{Entry, RecordingRecord};
use crate::media::io::priority;

/// What the copier is asked.
pub enum Work {
    /// Replace the file of a complete recording.
    Copy(Box<RecordingRecord>),
    /// End. What waits is done after the next start.
    Stop,
}

/// Runs until it is stopped. `stop` also ends a copy that is being made.
pub fn run(
    root: PathBuf,
    inbox: Receiver<Work>,
    journal: Arc<dyn Fn(Entry) + Send + Sync>,
    stop: Arc<AtomicBool>,
) {
    if let Err(error) = priority::lower() {
        tracing::warn!(%error, "copies of recordings are made at normal priority");
    }
    for work in inbox {
        let record = match work {
            Work::Copy(record) => record,
            Work::Stop => return,
        };
        if stop.load(Ordering::Relaxed) {
            return;
        }
        let told = match unharmed(|| replace(&root, &record, &stop)) {
            Ok(Ok(copied)) => copied,
            Ok(Err(CopyError::Stopped)) => return,
            Ok(Err(error)) => uncopied(*record, &error.to_string()),
            Err(panic) => uncopied(*record, &panic),
        };
        if let Err(why) = unharmed(|| journal(Entry::RecordingCopied(told))) {
            tracing::error!(
                why,
                "the thread that copies recordings goes on after a panic"
            );
        }
    }
}

fn uncopied(record: RecordingRecord, error: &str) -> RecordingRecord {
    tracing::error!(
        recording = %record.recording_id, path = record.path, error,
        "the recording stays a WAV file: its copy in Opus cannot be made"
    );
    RecordingRecord {
        copy_due: false,
        ..record
    }
}
