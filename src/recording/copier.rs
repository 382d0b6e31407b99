//! The thread that makes the copies in Opus, one after another, while nothing else wants the processor.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::Receiver;

use super::opus_copy::{CopyError, replace};
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
        match replace(&root, &record, &stop) {
            Ok(copied) => journal(Entry::RecordingCopied(copied)),
            Err(CopyError::Stopped) => return,
            Err(error) => {
                tracing::error!(
                    recording = %record.recording_id, path = record.path, %error,
                    "the recording stays a WAV file: its copy in Opus cannot be made"
                );
                journal(Entry::RecordingCopied(RecordingRecord {
                    copy_due: false,
                    ..*record
                }));
            }
        }
    }
}
