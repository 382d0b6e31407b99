//! Recording: one WAV file per conversation or message, written beside the calls and never in their way.
//!
//! The media threads copy what legs receive into taps; one thread polls them and places every packet on the file's
//! [timeline](timeline); a second one writes the files, however slow the disk is; a third one completes closed files (disk, length, SHA-256, journal); a fourth
//! one, when nothing else wants the processor, replaces them by copies in Opus where that is asked for. What a crash
//! left unfinished, [`repair::repair`] completes at the next start. The index, retention and upload are not here.

mod copier;
mod disk;
pub mod ear;
pub mod file;
mod open;
pub mod opus_copy;
pub mod path;
pub mod repair;
#[cfg(test)]
mod samples;
mod seal;
pub mod timeline;
mod unharmed;
mod wav_header;
mod writer;

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{Builder, JoinHandle};

use self::copier::Work;
use self::disk::{Backlog, Disk};
use self::open::Feed;
use self::seal::{Counts, Sealer};
use self::writer::{Message, Writer};
use crate::ledger::call::CallRecord;
use crate::ledger::clock::Now;
use crate::ledger::id::{LegId, Name, RecordingId};
use crate::ledger::journal::{Entry, RecordingKind, RecordingRecord};
use crate::ledger::recording::Side;
use crate::media::io::priority;
use crate::media::tap::TapReader;

/// Reads both clocks; the monotonic one must be the one that taps' arrivals are stamped with.
pub type Clock = Arc<dyn Fn() -> Now + Send + Sync>;

/// What the recorder needs to know at its start.
#[derive(Clone)]
pub struct RecorderSettings {
    /// The folder that paths are relative to; made when it is not there.
    pub root: PathBuf,
    /// The clocks.
    pub clock: Clock,
}

/// A recording to be begun.
#[derive(Clone, PartialEq, Debug)]
pub struct Begin {
    /// Its id.
    pub recording: RecordingId,
    /// Conversation (stereo) or message (mono).
    pub kind: RecordingKind,
    /// A message's voicemail box.
    pub mailbox: Option<Name>,
    /// The call as it is now: gives the path.
    pub call: CallRecord,
    /// Somebody on it speaks a wideband codec: the file has 16 kHz.
    pub wideband: bool,
    /// The file is to be replaced by a copy in Opus.
    pub opus: bool,
}

/// The recorder's handle, cheap to clone. No method but `shutdown` waits for anything.
#[derive(Clone)]
pub struct Recorder {
    sender: Sender<Message>,
    clock: Clock,
    copies: Sender<Work>,
    counts: Counts,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl Recorder {
    /// Starts the writer. `journal` is called with `RecordingStarted` and `RecordingEnded`, in this order for each recording, and
    /// with `RecordingFailed` when one cannot be kept, from threads of the recorder's own; a message begins in the journal when it
    /// is 2 s long or ends. Fails when the folder cannot be made or no thread can be had.
    pub fn start(
        settings: RecorderSettings,
        journal: Box<dyn Fn(Entry) + Send + Sync>,
    ) -> io::Result<Recorder> {
        std::fs::create_dir_all(&settings.root)?;
        let counts = Counts::default();
        let (seal, seal_inbox) = channel();
        let (sender, inbox) = channel();
        let journal: Arc<dyn Fn(Entry) + Send + Sync> = Arc::from(journal);
        let (copies, copies_inbox) = channel();
        let stop = Arc::new(AtomicBool::new(false));
        let (root, told, halt) = (
            settings.root.clone(),
            Arc::clone(&journal),
            Arc::clone(&stop),
        );
        let copying = Builder::new()
            .name("record-copy".into())
            .spawn(move || copier::run(root, copies_inbox, told, halt))?;
        let sealer = Sealer {
            root: settings.root.clone(),
            clock: Arc::clone(&settings.clock),
            journal,
            copies: copies.clone(),
            counts: counts.clone(),
        };
        let sealing = Builder::new()
            .name("record-seal".into())
            .spawn(move || sealer.run(seal_inbox))?;
        let last = copies.clone();
        let backlog = Backlog::default();
        let (disk, disk_inbox) = channel();
        let files = Disk::new(settings.root, seal, Arc::clone(&backlog));
        let writing = Builder::new()
            .name("record-disk".into())
            .spawn(move || disk::run(files, &disk_inbox))?;
        let clock = Arc::clone(&settings.clock);
        let thread = Builder::new().name("recorder".into()).spawn(move || {
            // The media threads fill the taps at a higher priority, and a tap holds a second.
            if let Err(error) = priority::favour() {
                tracing::debug!(%error, "taps are emptied at normal priority");
            }
            writer::run(Writer::new(disk, backlog), &inbox, &clock);
            // The writer is dropped, so the other threads end after their last file.
            if writing.join().is_err() {
                tracing::error!("the thread that writes recordings panicked");
            }
            if sealing.join().is_err() {
                tracing::error!("the thread that completes recordings panicked");
            }
            stop.store(true, Ordering::Relaxed);
            // One that ended before has nothing to end.
            let _ended = last.send(Work::Stop);
            if copying.join().is_err() {
                tracing::error!("the thread that copies recordings panicked");
            }
        })?;
        Ok(Recorder {
            sender,
            clock: settings.clock,
            copies,
            counts,
            thread: Arc::new(Mutex::new(Some(thread))),
        })
    }

    /// Begins a recording: this moment is its file's time 0. When the file cannot be created the journal hears that it failed, and
    /// the recording's other commands do nothing.
    pub fn begin(&self, begin: Begin) {
        self.begin_as(begin, false);
    }

    /// The same for a recording that several calls feed: it needs no `stop`, as none of them knows whether it is the last, and is
    /// complete when nobody feeds it any more.
    pub fn begin_shared(&self, begin: Begin) {
        self.begin_as(begin, true);
    }

    fn begin_as(&self, begin: Begin, shared: bool) {
        self.counts.alive.fetch_add(1, Ordering::Relaxed);
        let now = (self.clock)();
        if !self.tell(Message::Begin(Box::new(begin), shared, now)) {
            self.counts.alive.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// A leg feeds a side from now on; further legs of one side are added up, the same leg replaces itself.
    /// `operator` is whose leg it is, for the recording's row.
    pub fn attach(
        &self,
        recording: RecordingId,
        leg: LegId,
        side: Side,
        operator: Option<Name>,
        tap: TapReader,
    ) {
        let feed = Feed {
            leg,
            side,
            operator,
            tap,
        };
        self.tell(Message::Attach(recording, feed, (self.clock)().mono));
    }

    /// A leg feeds the recording no more; what its tap holds is still taken.
    pub fn detach(&self, recording: RecordingId, leg: LegId) {
        self.tell(Message::Detach(recording, leg, (self.clock)().mono));
    }

    /// From this moment on nothing is stored (`true`), or everything again. The file's time goes on.
    pub fn pause(&self, recording: RecordingId, paused: bool) {
        self.tell(Message::Pause(recording, paused, (self.clock)().mono));
    }

    /// The file ends at this moment.
    pub fn stop(&self, recording: RecordingId) {
        let now = (self.clock)();
        self.tell(Message::Stop(recording, now.mono));
    }

    /// The file is removed. The journal never hears of a message that was discarded within its first 2 s; else, no
    /// `RecordingEnded` follows.
    pub fn discard(&self, recording: RecordingId) {
        self.tell(Message::Discard(recording));
    }

    /// A complete recording of an earlier run still waits for its copy in Opus.
    pub fn copy(&self, record: RecordingRecord) {
        if self.copies.send(Work::Copy(record.into())).is_err() {
            tracing::warn!(
                "the recorder has shut down: a recording is copied after the next start"
            );
        }
    }

    /// Recordings begun and not yet complete in the journal.
    pub fn census(&self) -> usize {
        self.counts.alive.load(Ordering::Relaxed)
    }

    /// Recordings that could not be kept, or not to their end, since the start.
    pub fn failed(&self) -> usize {
        self.counts.failed.load(Ordering::Relaxed)
    }

    /// Ends all files at this moment and waits until they are complete and in the journal.
    pub fn shutdown(self) {
        let now = (self.clock)();
        self.tell(Message::Shutdown(now.mono));
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if thread.is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("the recorder's thread panicked");
        }
    }

    fn tell(&self, message: Message) -> bool {
        let told = self.sender.send(message).is_ok();
        if !told {
            tracing::warn!("the recorder has shut down: nothing is recorded any more");
        }
        told
    }
}
