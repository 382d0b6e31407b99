//! Recording all calls of a plane, as the switch has it done.

use std::io;
use std::sync::Arc;

use tempfile::TempDir;
use vats::call::media::Feeds;
use vats::clock::Clock;
use vats::ledger::call::CallRecord;
use vats::ledger::id::{CallId, RecordingId};
use vats::ledger::journal::RecordingKind;
use vats::ledger::recording::Side;
use vats::media::Plane;
use vats::media::tap::tap;
use vats::recording::{Begin, Recorder, RecorderSettings};

use super::scenario::leg;

/// A recorder with its folder, which goes when this is dropped.
pub struct Recording {
    recorder: Recorder,
    _folder: TempDir,
}

/// The threads that record.
pub const THREADS: [&str; 2] = ["recorder", "record-disk"];

impl Recording {
    /// Begins a recording for each call.
    pub fn begin(plane: &mut Plane, calls: usize, clock: Clock) -> io::Result<Recording> {
        let folder = tempfile::tempdir()?;
        let settings = RecorderSettings {
            root: folder.path().to_owned(),
            clock: Arc::new(move || clock.now()),
        };
        let recorder = Recorder::start(settings, Box::new(|_| {}))?;
        for call in 0..calls {
            let recording = RecordingId::from_u128(call as u128 + 1);
            recorder.begin(Begin {
                recording,
                kind: RecordingKind::Conversation,
                mailbox: None,
                wideband: false,
                opus: false,
                call: CallRecord::begun(CallId::from_u128(call as u128 + 1), clock.now().wall),
            });
            for (leg, side) in [
                (leg(2 * call), Side::Left),
                (leg(2 * call + 1), Side::Right),
            ] {
                let (writer, reader) = tap();
                plane.attach_tap(leg, Feeds::Call, writer);
                recorder.attach(recording, leg, side, None, reader);
            }
        }
        Ok(Recording {
            recorder,
            _folder: folder,
        })
    }

    pub fn end(self) {
        self.recorder.shutdown();
    }
}
