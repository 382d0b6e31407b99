//! One recording that is being written: its taps, its timeline, its file, and what its row says so far.

use std::io;
use std::sync::mpsc::Sender;

use super::ear::Ear;
use super::file::WavFile;
use super::seal::Seal;
use super::timeline::{PacketKind, Timeline, Workbench};
use super::writer::tell;
use crate::ledger::clock::Mono;
use crate::ledger::id::{LegId, Name};
use crate::ledger::journal::{RecordingKind, RecordingRecord};
use crate::ledger::recording::{Pause, Segment, Side};
use crate::media::tap::TapReader;

/// A leg that feeds a recording.
pub struct Feed {
    /// The leg.
    pub leg: LegId,
    /// The side that it is heard on.
    pub side: Side,
    /// The operator whose leg it is.
    pub operator: Option<Name>,
    /// What it says.
    pub tap: TapReader,
}

/// A recording that is being written.
pub struct Open {
    record: RecordingRecord,
    file: WavFile,
    timeline: Timeline,
    taps: Vec<Tap>,
    /// Whether the journal knows of it.
    announced: bool,
    /// Packets lost in taps that are detached.
    lost: u64,
}

struct Tap {
    leg: LegId,
    reader: TapReader,
    ear: Ear,
}

/// Room to work in, for all recordings in turn, so that a turn allocates nothing.
#[derive(Default)]
pub struct Room {
    bench: Workbench,
    spare: Vec<u8>,
    samples: Vec<i16>,
    frames: Vec<i16>,
    bytes: Vec<u8>,
}

impl Open {
    /// A recording whose file was created.
    pub fn new(record: RecordingRecord, file: WavFile, timeline: Timeline) -> Open {
        Open {
            record,
            file,
            timeline,
            taps: Vec::with_capacity(2),
            announced: false,
            lost: 0,
        }
    }

    /// Takes what the taps hold and writes what is settled.
    ///
    /// # Errors
    /// The disk fails, or the file is too long.
    pub fn turn(&mut self, now: Mono, room: &mut Room) -> io::Result<()> {
        self.timeline.exchange(&mut room.bench);
        self.drain(room);
        let written = self.write(self.timeline.settled(now), room);
        self.timeline.exchange(&mut room.bench);
        let gone = self.taps.iter().filter(|tap| tap.reader.is_finished());
        let gone: Vec<LegId> = gone.map(|tap| tap.leg).collect();
        for leg in gone {
            self.forget(leg);
        }
        written
    }

    /// A leg feeds a side from `at` on; if it did already, it begins anew.
    pub fn attach(&mut self, feed: Feed, at: Mono, room: &mut Room) {
        self.detach(feed.leg, at, room);
        self.timeline.attach(feed.leg, feed.side);
        self.record.segments.push(Segment {
            leg_id: feed.leg,
            side: feed.side,
            operator: feed.operator,
            from_ms: self.timeline.millis(at),
            to_ms: None,
        });
        self.taps.push(Tap {
            leg: feed.leg,
            reader: feed.tap,
            ear: Ear::new(self.record.rate_hz),
        });
    }

    /// A leg feeds the recording no more; what its tap holds is still taken.
    pub fn detach(&mut self, leg: LegId, at: Mono, room: &mut Room) {
        let to = self.timeline.millis(at);
        for segment in &mut self.record.segments {
            if segment.leg_id == leg && segment.to_ms.is_none() {
                segment.to_ms = Some(to.max(segment.from_ms));
            }
        }
        if self.taps.iter().any(|tap| tap.leg == leg) {
            self.timeline.exchange(&mut room.bench);
            self.drain(room);
            self.timeline.exchange(&mut room.bench);
            self.forget(leg);
        }
    }

    /// Nothing is stored from `at` on, or everything again.
    pub fn pause(&mut self, paused: bool, at: Mono) {
        let at_ms = self.timeline.millis(at);
        let last = self.record.pauses.last_mut();
        match last.filter(|pause| pause.to_ms.is_none()) {
            Some(pause) if !paused => {
                pause.to_ms = Some(at_ms);
                self.timeline.resume(at_ms);
            }
            None if paused => {
                self.record.pauses.push(Pause {
                    from_ms: at_ms,
                    to_ms: None,
                });
                self.timeline.pause(at_ms);
            }
            _ => {}
        }
    }

    /// Writes everything up to `at`.
    pub fn finish(&mut self, at: Mono, room: &mut Room) {
        self.timeline.exchange(&mut room.bench);
        self.drain(room);
        let written = self.write(self.timeline.position(at), room);
        self.timeline.exchange(&mut room.bench);
        if let Err(error) = written {
            self.complain(&error);
        }
    }

    /// Closes the file and hands it on to be completed.
    pub fn close(mut self, seal: &Sender<Seal>) {
        while let Some(tap) = self.taps.first() {
            self.forget(tap.leg);
        }
        if self.lost > 0 {
            tracing::warn!(
                recording = %self.record.recording_id, packets = self.lost,
                "packets are missing in a recording: the writer was too slow for them"
            );
        }
        tracing::debug!(recording = %self.record.recording_id, left_out = self.timeline.dropped(), "recording closed");
        self.announce(seal);
        tell(seal, Seal::Closed(self.record));
    }

    /// Removes the file.
    pub fn discard(self) {
        if let Err(error) = self.file.remove() {
            tracing::warn!(
                recording = %self.record.recording_id, path = self.record.path, %error,
                "a discarded recording's file cannot be removed"
            );
        }
    }

    /// A message is journalled once it is 2 s long, so that an empty one, which is discarded, leaves no row behind.
    pub fn announce_when_long(&mut self, seal: &Sender<Seal>) {
        if self.timeline.taken() >= MESSAGE_SECONDS * u64::from(self.record.rate_hz) {
            self.announce(seal);
        }
    }

    /// Something changed that the row shows.
    pub fn tell_change(&mut self, seal: &Sender<Seal>) {
        if self.announced {
            tell(seal, Seal::Changed(self.record.clone()));
        } else if self.record.kind == RecordingKind::Conversation {
            self.announce(seal);
        }
    }

    /// Why the recording ends early.
    pub fn complain(&self, error: &io::Error) {
        tracing::error!(
            call = %self.record.call_id, recording = %self.record.recording_id, path = self.record.path, %error,
            "the recording ends early: its file cannot be written"
        );
    }

    /// Takes everything out of the taps.
    fn drain(&mut self, room: &mut Room) {
        let timeline = &mut self.timeline;
        let Room { spare, samples, .. } = room;
        for Tap { leg, reader, ear } in &mut self.taps {
            reader.drain(spare, |header, payload| {
                let kind = timeline.kind_of(*leg, &header);
                if kind == PacketKind::Repeated {
                    return timeline.leave_out();
                }
                let is_fresh = kind == PacketKind::Fresh;
                ear.hear(header.codec, is_fresh, payload, samples);
                timeline.push(*leg, &header, samples);
            });
        }
    }

    fn write(&mut self, until: i64, room: &mut Room) -> io::Result<()> {
        let step = 2 * u64::from(self.record.rate_hz);
        loop {
            let some = self.timeline.taken().saturating_add(step);
            let some = i64::try_from(some).unwrap_or(i64::MAX).min(until);
            room.frames.clear();
            if self.timeline.pull(some, &mut room.frames) == 0 {
                return Ok(());
            }
            self.file.append(&room.frames, &mut room.bytes)?;
        }
    }

    fn announce(&mut self, seal: &Sender<Seal>) {
        if !self.announced {
            self.announced = true;
            tell(seal, Seal::Begun(self.record.clone()));
        }
    }

    fn forget(&mut self, leg: LegId) {
        self.timeline.detach(leg);
        let lost = &mut self.lost;
        self.taps.retain(|tap| {
            if tap.leg == leg {
                *lost += tap.reader.dropped();
            }
            tap.leg != leg
        });
    }
}

/// So much of a message is worth a row.
const MESSAGE_SECONDS: u64 = 2;
