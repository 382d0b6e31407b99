//! The thread that has the files. It may wait for the disk as long as that takes: the thread that empties the taps never does,
//! and what it makes meanwhile is kept in memory up to [`MOST_BACKLOG`]; beyond that it is silence.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender};

use super::file::WavFile;
use super::seal::Seal;
use super::timeline::Layout;
use super::unharmed::{unharmed, unharmed_io};
use crate::ledger::id::RecordingId;
use crate::ledger::journal::RecordingRecord;

/// One thing to be done, in order.
#[derive(Debug)]
pub enum Task {
    /// A new file; the record's path is what is wished.
    Create(Box<RecordingRecord>),
    /// Sound to be added.
    Append(RecordingId, Vec<u8>),
    /// So many bytes of silence to be added.
    Skip(RecordingId, u32),
    /// The journal learns of it.
    Begun(Box<RecordingRecord>),
    /// The journal learns what changed.
    Changed(Box<RecordingRecord>),
    /// Nothing more will come for it; its record says why.
    Failed(Box<RecordingRecord>),
    /// It could not be begun; its record says why.
    Lost(Box<RecordingRecord>),
    /// The file is as long as it will be.
    Closed(Box<RecordingRecord>),
    /// The file is thrown away.
    Discard(RecordingId),
}

/// All files that are being written.
pub struct Disk {
    root: PathBuf,
    seal: Sender<Seal>,
    files: HashMap<RecordingId, Target>,
    backlog: Backlog,
}

/// Bytes on their way to the disk.
pub type Backlog = Arc<AtomicUsize>;

struct Target {
    file: WavFile,
    /// As it was told last, with the path that was taken. Once the disk failed it says so, and the file ends there.
    record: RecordingRecord,
}

/// Runs until the writer is gone.
pub fn run(mut disk: Disk, inbox: &Receiver<Vec<Task>>) {
    for tasks in inbox {
        for task in tasks {
            // What is done with files is caught where it is done.
            if let Err(why) = unharmed(|| disk.carry_out(task)) {
                tracing::error!(
                    why,
                    "the thread that writes recordings goes on after a panic"
                );
            }
        }
    }
}

impl Disk {
    /// Writes below `root`, tells `seal` of beginnings and ends.
    pub fn new(root: PathBuf, seal: Sender<Seal>, backlog: Backlog) -> Disk {
        Disk {
            root,
            seal,
            files: HashMap::new(),
            backlog,
        }
    }

    /// Does what is asked. Of a recording whose file could not be created nothing more is heard.
    pub fn carry_out(&mut self, task: Task) {
        match task {
            Task::Create(record) => self.create(&record),
            Task::Append(recording, bytes) => {
                self.write(recording, |file| file.append(&bytes));
                self.backlog.fetch_sub(bytes.len(), Ordering::Relaxed);
            }
            Task::Skip(recording, bytes) => self.write(recording, |file| file.skip(bytes)),
            Task::Begun(record) => self.tell(record, Seal::Begun),
            Task::Changed(record) => self.tell(record, Seal::Changed),
            Task::Failed(record) => {
                let target = self.files.get_mut(&record.recording_id);
                if let Some(target) = target.filter(|target| target.record.fault.is_none()) {
                    target.record.fault.clone_from(&record.fault);
                    self.tell(record, Seal::Failed);
                }
            }
            Task::Lost(record) => self.lose(&record, record.fault.clone().unwrap_or_default()),
            Task::Closed(record) => {
                let id = record.recording_id;
                self.tell(record, Seal::Closed);
                self.files.remove(&id);
            }
            Task::Discard(recording) => self.discard(recording),
        }
    }

    fn create(&mut self, record: &RecordingRecord) {
        let layout = Layout::of(record.kind);
        let create = || WavFile::create(&self.root, &record.path, layout, record.rate_hz);
        match unharmed_io(create) {
            Ok((file, path)) => {
                let mut record = record.clone();
                record.path = path;
                let id = record.recording_id;
                self.files.insert(id, Target { file, record });
            }
            Err(error) => self.lose(record, format!("Its file cannot be created: {error}.")),
        }
    }

    fn lose(&self, record: &RecordingRecord, fault: String) {
        self.send(Seal::Failed(nothing(record, fault)));
        self.send(Seal::Gone);
    }

    fn write(
        &mut self,
        recording: RecordingId,
        write: impl FnOnce(&mut WavFile) -> io::Result<()>,
    ) {
        let target = self.files.get_mut(&recording);
        let Some(target) = target.filter(|target| target.record.fault.is_none()) else {
            return;
        };
        if let Err(error) = unharmed_io(|| write(&mut target.file)) {
            // What is there is kept, the call goes on without.
            target.record.fault = Some(format!("Its file cannot be written: {error}."));
            let record = target.record.clone();
            self.send(Seal::Failed(record));
        }
    }

    /// Passes a record on with what only its file knows.
    fn tell(&mut self, mut record: Box<RecordingRecord>, what: fn(RecordingRecord) -> Seal) {
        if let Some(target) = self.files.get_mut(&record.recording_id) {
            record.path.clone_from(&target.record.path);
            record.fault.clone_from(&target.record.fault);
            target.record.clone_from(&record);
            self.send(what(*record));
        }
    }

    fn discard(&mut self, recording: RecordingId) {
        let Some(Target { file, record }) = self.files.remove(&recording) else {
            return;
        };
        if let Err(error) = file.remove() {
            tracing::warn!(
                %recording, path = record.path, %error,
                "a discarded recording's file cannot be removed"
            );
        }
        if let Some(fault) = record.fault.clone() {
            // The journal knows of it already.
            self.send(Seal::Changed(nothing(&record, fault)));
        }
        self.send(Seal::Gone);
    }

    fn send(&self, message: Seal) {
        if self.seal.send(message).is_err() {
            tracing::error!("the thread that completes recordings is gone");
        }
    }
}

/// The row of a recording of which nothing was kept.
fn nothing(record: &RecordingRecord, fault: String) -> RecordingRecord {
    RecordingRecord {
        duration_ms: Some(0),
        bytes: Some(0),
        copy_due: false,
        fault: Some(fault),
        ..record.clone()
    }
}

/// The most bytes that wait for the disk: two seconds of 2,000 recordings, a minute of 60.
pub const MOST_BACKLOG: usize = 128 * 1024 * 1024;

#[cfg(test)]
impl Disk {
    /// From now on the disk fails for this recording.
    pub fn break_down(&mut self, recording: RecordingId) {
        self.write(recording, |_| Err(io::ErrorKind::StorageFull.into()));
    }

    /// Writing to this recording's file panics once.
    pub fn stumble(&mut self, recording: RecordingId) {
        self.write(recording, |_| panic!("planted"));
    }
}
