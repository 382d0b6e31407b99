//! The thread that empties the taps: decodes, hands samples to the timelines, and what is old enough to the thread that has the
//! files. It never waits for a disk.
//!
//! Each recording has its turn every 400 ms: by then taps are less than half full, and a turn is one write of about 12 KiB.
//! Recordings take turns in eight slices, so that thousands of them keep neither the disk nor a core busy at one moment.

use std::collections::HashMap;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::Duration;

use super::disk::{Backlog, Task};
use super::open::{Feed, Open, Room, fault};
use super::path::relative_path;
use super::timeline::{Layout, Timeline};
use super::unharmed::unharmed;
use super::{Begin, Clock};
use crate::ledger::clock::{Mono, Now};
use crate::ledger::id::{LegId, RecordingId};
use crate::ledger::journal::{RecordingKind, RecordingRecord};

/// What is asked of the writer; times are read by the asker.
pub enum Message {
    /// A new file, whose time 0 is then; it ends when nobody feeds it any more (`true`), or by `Stop`.
    Begin(Box<Begin>, bool, Now),
    /// A leg feeds a side from then on.
    Attach(RecordingId, Feed, Mono),
    /// A leg feeds no side any more.
    Detach(RecordingId, LegId, Mono),
    /// Nothing is stored from then on (`true`), or everything again.
    Pause(RecordingId, bool, Mono),
    /// The file ends then.
    Stop(RecordingId, Mono),
    /// The file is thrown away.
    Discard(RecordingId),
    /// All files end then, and the thread.
    Shutdown(Mono),
}

impl Message {
    fn recording(&self) -> Option<RecordingId> {
        match self {
            Message::Begin(begin, ..) => Some(begin.recording),
            Message::Attach(recording, ..)
            | Message::Detach(recording, ..)
            | Message::Pause(recording, ..)
            | Message::Stop(recording, ..)
            | Message::Discard(recording) => Some(*recording),
            Message::Shutdown(_) => None,
        }
    }
}

/// All files that are being written.
pub struct Writer {
    disk: Sender<Vec<Task>>,
    slices: [Slice; SLICES as usize],
    /// Recordings of which the journal does not know the latest.
    changed: Vec<RecordingId>,
    room: Room,
    /// How often it got round.
    rounds: u64,
}

/// Recordings that have their turn together.
#[derive(Default)]
struct Slice {
    open: HashMap<RecordingId, Open>,
    due: Mono,
}

/// Runs until told to shut down, or until every handle is gone: then all files end at that moment.
///
/// After a panic it goes on where it was: recordings stay open, the taps hold what comes meanwhile. After another one before it
/// got round once, something that is open has to be at fault, and all of it is given up.
pub fn run(mut writer: Writer, inbox: &Receiver<Message>, clock: &Clock) {
    let mut rounds = None;
    while let Err(why) = unharmed(|| serve(&mut writer, inbox, clock)) {
        tracing::error!(why, "the recorder goes on after a panic");
        if rounds == Some(writer.rounds) {
            writer.give_up(&why);
        }
        rounds = Some(writer.rounds);
    }
}

fn serve(writer: &mut Writer, inbox: &Receiver<Message>, clock: &Clock) {
    loop {
        let received = match writer.next_turn() {
            None => inbox.recv().map_err(|_| RecvTimeoutError::Disconnected),
            Some(due) => inbox.recv_timeout(due.since(clock().mono)),
        };
        let mut next = match received {
            Ok(message) => Some(message),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => {
                writer.stop_all(clock().mono);
                return writer.hand_over();
            }
        };
        while let Some(message) = next {
            if let Message::Shutdown(at) = message {
                writer.stop_all(at);
                return writer.hand_over();
            }
            writer.take(message);
            next = inbox.try_recv().ok();
        }
        writer.tell_changes();
        writer.poll(clock().mono);
        writer.hand_over();
        writer.rounds += 1;
    }
}

impl Writer {
    /// Gives `disk` what is to be written; `backlog` is what waits there.
    pub fn new(disk: Sender<Vec<Task>>, backlog: Backlog) -> Writer {
        Writer {
            disk,
            slices: Default::default(),
            changed: Vec::new(),
            room: Room::new(backlog),
            rounds: 0,
        }
    }

    /// Does what is asked, `Shutdown` included. What the journal should know of it is told by `tell_changes`, and nothing is
    /// done on the disk before `hand_over`. If it panics, the recording that it is about has failed.
    pub fn take(&mut self, message: Message) {
        let recording = message.recording();
        if let (Err(why), Some(recording)) = (unharmed(|| self.carry_out(message)), recording) {
            self.fail(recording, &why);
        }
    }

    fn carry_out(&mut self, message: Message) {
        match message {
            Message::Begin(begin, shared, at) => self.begin(*begin, shared, at),
            Message::Attach(recording, feed, at) => {
                self.change(recording, |open, room| open.attach(feed, at, room));
            }
            Message::Detach(recording, leg, at) => {
                self.change(recording, |open, room| open.detach(leg, at, room));
                let open = self.slices[place(recording)].open.get(&recording);
                if open.is_some_and(Open::is_left) {
                    self.stop(recording, at);
                }
            }
            Message::Pause(recording, paused, at) => {
                self.change(recording, |open, _| open.pause(paused, at));
            }
            Message::Stop(recording, at) => self.stop(recording, at),
            Message::Discard(recording) => self.discard(recording),
            Message::Shutdown(at) => self.stop_all(at),
        }
    }

    /// Tells the journal what changed. Apart from `take`, so that what is asked together is one row.
    pub fn tell_changes(&mut self) {
        while let Some(recording) = self.changed.pop() {
            let slice = &mut self.slices[place(recording)];
            if let Some(open) = slice.open.get_mut(&recording) {
                open.tell_change(&mut self.room.tasks);
            }
        }
    }

    /// When the next recordings have their turn.
    pub fn next_turn(&self) -> Option<Mono> {
        let busy = self.slices.iter().filter(|slice| !slice.open.is_empty());
        busy.map(|slice| slice.due).min()
    }

    /// Takes what the taps hold and writes everything that nothing earlier can precede any more, for all whose turn it is.
    pub fn poll(&mut self, now: Mono) {
        let (mut left, mut failed) = (Vec::new(), Vec::new());
        for (index, slice) in (0u64..).zip(&mut self.slices) {
            if slice.open.is_empty() || now < slice.due {
                continue;
            }
            slice.due = turn_after(now, index);
            for (recording, open) in &mut slice.open {
                let room = &mut self.room;
                let turned = unharmed(|| {
                    open.turn(now, room);
                    open.announce_when_long(&mut room.tasks);
                    open.is_left()
                });
                match turned {
                    Ok(true) => left.push(*recording),
                    Ok(false) => {}
                    Err(why) => failed.push((*recording, why)),
                }
            }
        }
        for (recording, why) in failed {
            self.fail(recording, &why);
        }
        for recording in left {
            self.stop(recording, now);
        }
    }

    /// Gives the disk's thread everything at once, so that it wakes up once.
    pub fn hand_over(&mut self) {
        if self.room.tasks.is_empty() {
            return;
        }
        let room = Vec::with_capacity(self.room.tasks.len());
        let tasks = std::mem::replace(&mut self.room.tasks, room);
        if self.disk.send(tasks).is_err() {
            tracing::error!("the thread that writes recordings is gone");
        }
    }

    fn begin(&mut self, begin: Begin, shared: bool, at: Now) {
        let layout = Layout::of(begin.kind);
        let rate_hz = if begin.wideband { WIDE_HZ } else { NARROW_HZ };
        let path = unharmed(|| relative_path(&begin.call, begin.kind, at.wall));
        let mut record = RecordingRecord {
            recording_id: begin.recording,
            tenant: begin.call.tenant.clone(),
            call_id: begin.call.call_id,
            kind: begin.kind,
            voicemail_box: begin.mailbox,
            path: String::new(),
            started_at: at.wall,
            duration_ms: None,
            bytes: None,
            sha256: None,
            rate_hz,
            segments: Vec::new(),
            pauses: Vec::new(),
            copy_due: begin.opus,
            fault: None,
        };
        match path {
            Ok(path) => record.path = path,
            Err(why) => {
                record.fault = Some(fault(&why));
                return self.room.tasks.push(Task::Lost(record.into()));
            }
        }
        let timeline = Timeline::new(at.mono, layout, rate_hz);
        self.room.tasks.push(Task::Create(record.clone().into()));
        let open = Open::new(record, timeline, shared);
        let index = place(begin.recording);
        let slice = &mut self.slices[index];
        if slice.open.is_empty() {
            slice.due = turn_after(at.mono, index as u64);
        }
        if let Some(replaced) = slice.open.insert(begin.recording, open) {
            tracing::error!(recording = %begin.recording, "a recording was begun twice");
            replaced.close(&mut self.room.tasks);
        }
        if begin.kind == RecordingKind::Conversation {
            self.changed.push(begin.recording);
        }
    }

    /// A recording that failed is gone: then nothing happens, and a tap goes with it.
    fn change(&mut self, recording: RecordingId, change: impl FnOnce(&mut Open, &mut Room)) {
        if let Some(open) = self.slices[place(recording)].open.get_mut(&recording) {
            change(open, &mut self.room);
            if !self.changed.contains(&recording) {
                self.changed.push(recording);
            }
        }
    }

    fn remove(&mut self, recording: RecordingId) -> Option<Open> {
        self.slices[place(recording)].open.remove(&recording)
    }

    fn stop(&mut self, recording: RecordingId, at: Mono) {
        if let Some(mut open) = self.remove(recording) {
            let room = &mut self.room;
            match unharmed(|| open.finish(at, room)) {
                Ok(()) => open.close(&mut room.tasks),
                Err(why) => open.fail(&why, &mut room.tasks),
            }
        }
    }

    /// A recording met a fault of ours.
    fn fail(&mut self, recording: RecordingId, why: &str) {
        match self.remove(recording) {
            Some(open) => open.fail(why, &mut self.room.tasks),
            None => tracing::error!(%recording, why, "a recording was not there any more"),
        }
    }

    /// The same for all.
    fn give_up(&mut self, why: &str) {
        let all = self.slices.iter_mut().flat_map(|slice| slice.open.drain());
        for (_, open) in all {
            open.fail(why, &mut self.room.tasks);
        }
        self.changed.clear();
        self.hand_over();
    }

    fn stop_all(&mut self, at: Mono) {
        let all = self.slices.iter().flat_map(|slice| slice.open.keys());
        let all: Vec<RecordingId> = all.copied().collect();
        for recording in all {
            self.stop(recording, at);
        }
    }

    fn discard(&mut self, recording: RecordingId) {
        if self.remove(recording).is_some() {
            self.room.tasks.push(Task::Discard(recording));
        }
    }
}

/// The slice of a recording: the last bits of its id are random.
const fn place(recording: RecordingId) -> usize {
    (recording.as_u128() % SLICES as u128) as usize
}

/// The first turn of a slice after `now`.
fn turn_after(now: Mono, slice: u64) -> Mono {
    let period = TURN.as_micros() as u64;
    let phase = slice * period / SLICES;
    let turns = (now.as_micros() + period - phase) / period;
    Mono::from_micros(turns * period + phase)
}

/// How often a recording has its turn. Taps hold a second; with the hold of the timeline, a crash loses less than that.
const TURN: Duration = Duration::from_millis(400);
const SLICES: u64 = 8;
/// The rate of a file when nobody speaks a wideband codec.
const NARROW_HZ: u32 = 8_000;
/// And when somebody does.
const WIDE_HZ: u32 = 16_000;

#[cfg(test)]
impl Writer {
    /// From now on each turn of this recording panics.
    pub fn plant(&mut self, recording: RecordingId) {
        self.change(recording, |open, _| open.is_faulty = true);
    }
}

#[cfg(test)]
mod tests;
