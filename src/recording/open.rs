//! One recording that is being written: its taps, its timeline, and what its row says so far.

use std::sync::atomic::Ordering;

use super::disk::{Backlog, MOST_BACKLOG, Task};
use super::ear::Ear;
use super::timeline::{PacketKind, Timeline, Workbench};
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
    timeline: Timeline,
    taps: Vec<Tap>,
    /// Whether the journal knows of it.
    announced: bool,
    /// It ends when nobody feeds it any more.
    shared: bool,
    /// Packets lost in taps that are detached.
    lost: u64,
    /// Milliseconds that are silent because the disk was too slow.
    skipped_ms: u64,
    /// Its next turn panics.
    #[cfg(test)]
    pub is_faulty: bool,
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
    /// What is to be done on the disk.
    pub tasks: Vec<Task>,
    /// What the disk has not done yet.
    pub backlog: Backlog,
}

impl Room {
    /// With nothing in it yet.
    pub fn new(backlog: Backlog) -> Room {
        Room {
            backlog,
            ..Room::default()
        }
    }
}

impl Open {
    /// A recording that begins.
    pub fn new(record: RecordingRecord, timeline: Timeline, shared: bool) -> Open {
        Open {
            shared,
            record,
            timeline,
            taps: Vec::with_capacity(2),
            announced: false,
            lost: 0,
            skipped_ms: 0,
            #[cfg(test)]
            is_faulty: false,
        }
    }

    /// Takes what the taps hold and writes what is settled.
    pub fn turn(&mut self, now: Mono, room: &mut Room) {
        self.timeline.exchange(&mut room.bench);
        self.drain(room);
        #[cfg(test)]
        assert!(!self.is_faulty, "planted");
        self.write(self.timeline.settled(now), room);
        self.timeline.exchange(&mut room.bench);
        let gone = self.taps.iter().filter(|tap| tap.reader.is_finished());
        let gone: Vec<LegId> = gone.map(|tap| tap.leg).collect();
        for leg in gone {
            self.forget(leg);
        }
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

    /// Whether somebody has fed it and nobody does any more, so that nobody will end it.
    pub fn is_left(&self) -> bool {
        self.shared && self.taps.is_empty() && !self.record.segments.is_empty()
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
        self.write(self.timeline.position(at), room);
        self.timeline.exchange(&mut room.bench);
    }

    /// Closes the file and hands it on to be completed.
    pub fn close(mut self, tasks: &mut Vec<Task>) {
        while let Some(tap) = self.taps.first() {
            self.forget(tap.leg);
        }
        if self.lost > 0 {
            tracing::warn!(
                recording = %self.record.recording_id, packets = self.lost,
                "packets are missing in a recording: the writer was too slow for them"
            );
        }
        if self.skipped_ms > 0 {
            tracing::error!(
                recording = %self.record.recording_id, ms = self.skipped_ms,
                "a part of a recording is silence: the disk was too slow for it"
            );
        }
        tracing::debug!(recording = %self.record.recording_id, left_out = self.timeline.dropped(), "recording closed");
        self.announce(tasks);
        tasks.push(Task::Closed(self.record.into()));
    }

    /// Gives it up after a fault of ours: its file ends with what was written, as after a crash. Its taps go, and so the media
    /// threads copy nothing for it any more.
    pub fn fail(mut self, why: &str, tasks: &mut Vec<Task>) {
        let fault = fault(why);
        tracing::error!(recording = %self.record.recording_id, fault, "a recording is given up");
        self.announce(tasks);
        self.record.fault = Some(fault);
        tasks.push(Task::Failed(self.record.clone().into()));
        tasks.push(Task::Closed(self.record.into()));
    }

    /// A message is journalled once it is 2 s long, so that an empty one, which is discarded, leaves no row behind.
    pub fn announce_when_long(&mut self, tasks: &mut Vec<Task>) {
        if self.timeline.taken() >= MESSAGE_SECONDS * u64::from(self.record.rate_hz) {
            self.announce(tasks);
        }
    }

    /// Something changed that the row shows.
    pub fn tell_change(&mut self, tasks: &mut Vec<Task>) {
        if self.announced {
            tasks.push(Task::Changed(self.record.clone().into()));
        } else if self.record.kind == RecordingKind::Conversation {
            self.announce(tasks);
        }
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

    fn write(&mut self, until: i64, room: &mut Room) {
        let recording = self.record.recording_id;
        let step = 2 * u64::from(self.record.rate_hz);
        loop {
            let some = self.timeline.taken().saturating_add(step);
            let some = i64::try_from(some).unwrap_or(i64::MAX).min(until);
            room.frames.clear();
            let frames = self.timeline.pull(some, &mut room.frames);
            if frames == 0 {
                return;
            }
            let size = room.frames.len() * 2;
            if room.backlog.load(Ordering::Relaxed) + size > MOST_BACKLOG {
                self.skipped_ms += frames * 1_000 / u64::from(self.record.rate_hz);
                let skipped = u32::try_from(size).unwrap_or(u32::MAX);
                room.tasks.push(Task::Skip(recording, skipped));
                continue;
            }
            let mut bytes = vec![0; size];
            let (pairs, _) = bytes.as_chunks_mut::<2>();
            for (pair, sample) in pairs.iter_mut().zip(&room.frames) {
                *pair = sample.to_le_bytes();
            }
            room.backlog.fetch_add(size, Ordering::Relaxed);
            room.tasks.push(Task::Append(recording, bytes));
        }
    }

    fn announce(&mut self, tasks: &mut Vec<Task>) {
        if !self.announced {
            self.announced = true;
            tasks.push(Task::Begun(self.record.clone().into()));
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

/// A fault of ours in the words of a recording's row.
pub fn fault(why: &str) -> String {
    format!("The recorder failed at it: {why}.")
}

/// So much of a message is worth a row.
const MESSAGE_SECONDS: u64 = 2;
