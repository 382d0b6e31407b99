//! The thread that writes: polls the taps, decodes, hands samples to the timelines and what is old enough to the files.

use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::file::WavFile;
use super::path::relative_path;
use super::seal::Seal;
use super::timeline::{HOLD_SAMPLES, Layout, Timeline};
use super::{Begin, Clock};
use crate::audio::g711;
use crate::call::output::Side;
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{LegId, RecordingId};
use crate::ledger::journal::{RecordingKind, RecordingRecord};
use crate::media::tap::TapReader;
use crate::sdp::negotiate::Codec;

/// What is asked of the writer; times are read by the asker.
pub enum Message {
    /// A new file, whose time 0 is then.
    Begin(Box<Begin>, Now),
    /// A leg feeds a side.
    Attach(RecordingId, LegId, Side, TapReader),
    /// A leg feeds no side any more.
    Detach(RecordingId, LegId),
    /// The file ends then.
    Stop(RecordingId, Mono),
    /// The file is thrown away.
    Discard(RecordingId),
    /// All files end then, and the thread.
    Shutdown(Mono),
}

/// All files that are being written.
pub struct Writer {
    root: PathBuf,
    seal: Sender<Seal>,
    open: HashMap<RecordingId, Open>,
    begun: u64,
    buffers: Buffers,
}

/// Kept between polls, so that polling does not allocate.
#[derive(Default)]
struct Buffers {
    payload: Vec<u8>,
    samples: Vec<i16>,
    frames: Vec<i16>,
}

struct Open {
    record: RecordingRecord,
    file: WavFile,
    timeline: Timeline,
    taps: Vec<(LegId, TapReader)>,
    /// Whether the journal knows of it.
    announced: bool,
    /// Packets lost in taps that are detached.
    lost: u64,
    refresh_at: Mono,
}

/// Runs until told to shut down, or until every handle is gone: then all files end at that moment.
pub fn run(mut writer: Writer, inbox: &Receiver<Message>, clock: &Clock) {
    let mut poll_at = Mono::ZERO;
    loop {
        let received = if writer.open.is_empty() {
            inbox.recv().map_err(|_| RecvTimeoutError::Disconnected)
        } else {
            inbox.recv_timeout(poll_at.since(clock().mono))
        };
        match received {
            Ok(Message::Shutdown(at)) => return writer.stop_all(at),
            Ok(message) => writer.take(message),
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return writer.stop_all(clock().mono),
        }
        let now = clock().mono;
        if now >= poll_at {
            writer.poll(now);
            poll_at = now + POLL;
        }
    }
}

impl Writer {
    /// Writes below `root`, tells `seal` of beginnings and ends.
    pub fn new(root: PathBuf, seal: Sender<Seal>) -> Writer {
        Writer {
            root,
            seal,
            open: HashMap::new(),
            begun: 0,
            buffers: Buffers::default(),
        }
    }

    /// Does what is asked, `Shutdown` included.
    pub fn take(&mut self, message: Message) {
        match message {
            Message::Begin(begin, at) => self.begin(*begin, at),
            Message::Attach(recording, leg, side, tap) => self.attach(recording, leg, side, tap),
            Message::Detach(recording, leg) => self.detach(recording, leg),
            Message::Stop(recording, at) => self.stop(recording, at),
            Message::Discard(recording) => self.discard(recording),
            Message::Shutdown(at) => self.stop_all(at),
        }
    }

    /// Takes what the taps hold and writes everything that nothing earlier can precede any more.
    pub fn poll(&mut self, now: Mono) {
        let mut failed = Vec::new();
        for (&recording, open) in &mut self.open {
            open.drain(&mut self.buffers);
            open.taps.retain(|(leg, tap)| {
                let finished = tap.is_finished();
                if finished {
                    open.timeline.detach(*leg);
                    open.lost += tap.dropped();
                }
                !finished
            });
            let until = open.timeline.position(now) - HOLD_SAMPLES;
            let result = open.write(until, &mut self.buffers).and_then(|()| {
                if now < open.refresh_at {
                    return Ok(());
                }
                open.refresh_at = (open.refresh_at + REFRESH).max(now);
                open.file.refresh()
            });
            if open.timeline.taken() >= MESSAGE_FRAMES {
                open.announce(&self.seal);
            }
            if let Err(error) = result {
                failed.push((recording, error));
            }
        }
        for (recording, error) in failed {
            self.fail(recording, &error);
        }
    }

    fn begin(&mut self, begin: Begin, at: Now) {
        let layout = match begin.kind {
            RecordingKind::Conversation => Layout::Stereo,
            RecordingKind::Voicemail(_) => Layout::Mono,
        };
        let wanted = relative_path(&begin.call, begin.kind, at.wall);
        let (file, path) = match WavFile::create(&self.root, &wanted, layout) {
            Ok(created) => created,
            Err(error) => {
                tracing::error!(
                    call = %begin.call.call_id, recording = %begin.recording, path = wanted, %error,
                    "the call is not recorded: its file cannot be created"
                );
                return tell(&self.seal, Seal::Gone);
            }
        };
        let record = RecordingRecord {
            recording_id: begin.recording,
            tenant: begin.call.tenant,
            call_id: begin.call.call_id,
            kind: begin.kind,
            voicemail_box: begin.mailbox,
            path,
            started_at: at.wall,
            duration_ms: None,
            bytes: None,
            sha256: None,
        };
        // Recordings that begin together are not refreshed together.
        let stagger = Duration::from_millis(self.begun * 137 % 500);
        self.begun += 1;
        let mut open = Open {
            record,
            file,
            timeline: Timeline::new(at.mono, layout),
            taps: Vec::with_capacity(2),
            announced: false,
            lost: 0,
            refresh_at: at.mono + stagger,
        };
        if begin.kind == RecordingKind::Conversation {
            open.announce(&self.seal);
        }
        if let Some(replaced) = self.open.insert(begin.recording, open) {
            tracing::error!(recording = %begin.recording, "a recording was begun twice");
            self.close(replaced);
        }
    }

    fn attach(&mut self, recording: RecordingId, leg: LegId, side: Side, tap: TapReader) {
        // A recording that failed is gone; the tap goes with it.
        let Some(open) = self.open.get_mut(&recording) else {
            return;
        };
        open.drain(&mut self.buffers);
        open.forget(leg);
        open.timeline.attach(leg, side);
        open.taps.push((leg, tap));
    }

    fn detach(&mut self, recording: RecordingId, leg: LegId) {
        if let Some(open) = self.open.get_mut(&recording) {
            open.drain(&mut self.buffers);
            open.forget(leg);
        }
    }

    fn stop(&mut self, recording: RecordingId, at: Mono) {
        let Some(mut open) = self.open.remove(&recording) else {
            return;
        };
        open.drain(&mut self.buffers);
        let until = open.timeline.position(at);
        if let Err(error) = open.write(until, &mut self.buffers) {
            open.complain(&error);
        }
        self.close(open);
    }

    fn stop_all(&mut self, at: Mono) {
        let all: Vec<RecordingId> = self.open.keys().copied().collect();
        for recording in all {
            self.stop(recording, at);
        }
    }

    fn discard(&mut self, recording: RecordingId) {
        let Some(open) = self.open.remove(&recording) else {
            return;
        };
        if let Err(error) = open.file.remove() {
            tracing::warn!(%recording, path = open.record.path, %error, "a discarded recording's file cannot be removed");
        }
        tell(&self.seal, Seal::Gone);
    }

    /// The disk failed: what is there is kept, the call goes on without.
    fn fail(&mut self, recording: RecordingId, error: &io::Error) {
        if let Some(open) = self.open.remove(&recording) {
            open.complain(error);
            self.close(open);
        }
    }

    fn close(&mut self, mut open: Open) {
        while let Some((leg, _)) = open.taps.first() {
            let leg = *leg;
            open.forget(leg);
        }
        if open.lost > 0 {
            tracing::warn!(
                recording = %open.record.recording_id, packets = open.lost,
                "packets are missing in a recording: the writer was too slow for them"
            );
        }
        tracing::debug!(recording = %open.record.recording_id, left_out = open.timeline.dropped(), "recording closed");
        open.announce(&self.seal);
        if let Err(error) = open.file.finish() {
            tracing::error!(
                recording = %open.record.recording_id, path = open.record.path, %error,
                "the recording's header cannot be completed"
            );
        }
        tell(&self.seal, Seal::Closed(open.record));
    }
}

impl Open {
    /// Takes everything out of the taps.
    fn drain(&mut self, buffers: &mut Buffers) {
        for (leg, tap) in &mut self.taps {
            while let Some(header) = tap.pop(&mut buffers.payload) {
                let decode: fn(u8) -> i16 = match header.codec {
                    Codec::Pcmu => g711::ulaw_decode,
                    Codec::Pcma => g711::alaw_decode,
                    Codec::G722 | Codec::Opus => continue,
                };
                buffers.samples.clear();
                let decoded = buffers.payload.iter().map(|&code| decode(code));
                buffers.samples.extend(decoded);
                self.timeline.push(*leg, &header, &buffers.samples);
            }
        }
    }

    fn announce(&mut self, seal: &Sender<Seal>) {
        if !self.announced {
            self.announced = true;
            tell(seal, Seal::Begun(self.record.clone()));
        }
    }

    fn write(&mut self, until: i64, buffers: &mut Buffers) -> io::Result<()> {
        buffers.frames.clear();
        self.timeline.pull(until, &mut buffers.frames);
        if !self.file.has_room(buffers.frames.len()) {
            return Err(io::Error::new(
                io::ErrorKind::FileTooLarge,
                "a WAV file cannot be longer than 4 GiB",
            ));
        }
        self.file.append(&buffers.frames)
    }

    fn forget(&mut self, leg: LegId) {
        self.timeline.detach(leg);
        let lost = &mut self.lost;
        self.taps.retain(|(other, tap)| {
            if *other == leg {
                *lost += tap.dropped();
            }
            *other != leg
        });
    }

    fn complain(&self, error: &io::Error) {
        tracing::error!(
            call = %self.record.call_id, recording = %self.record.recording_id, path = self.record.path, %error,
            "the recording ends early: its file cannot be written"
        );
    }
}

fn tell(seal: &Sender<Seal>, message: Seal) {
    if seal.send(message).is_err() {
        tracing::error!("the thread that completes recordings is gone");
    }
}

/// A message is journalled once it is this long (2 s), so that an empty one, which is discarded, leaves no row behind.
const MESSAGE_FRAMES: u64 = 16_000;
/// How often taps are polled; they hold a second.
const POLL: Duration = Duration::from_millis(40);
/// How often a file's header is brought up to date.
const REFRESH: Duration = Duration::from_millis(500);

#[cfg(test)]
mod tests;
