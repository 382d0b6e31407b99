//! The timeline of one recording: puts tapped audio where it belongs in the file. No files, threads or clocks.
//!
//! Time 0 is the recording's beginning. A stream is anchored at the arrival of its first packet and then advances by RTP
//! timestamp, so that jitter leaves no trace and audio between anchors is exact to the sample. It is anchored anew when its
//! SSRC changes or its timestamps jump, after a pause, and, in silence only, when the far side's clock has run away by more
//! than 20 ms. What was not received is silence, and so is what a pause covers; what comes again, or too late, is left out.
//!
//! Positions and lengths are in frames of the file, whatever the rate of the streams' own clocks.

use std::collections::VecDeque;

use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::ledger::journal::RecordingKind;
use crate::ledger::recording::Side;
use crate::media::tap::TapHeader;
use crate::sdp::negotiate::Codec;

/// How the sides are written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Both sides added into one channel.
    Mono,
    /// Left, right.
    Stereo,
}

impl Layout {
    /// That of a kind of recording.
    pub const fn of(kind: RecordingKind) -> Layout {
        match kind {
            RecordingKind::Conversation => Layout::Stereo,
            RecordingKind::Voicemail(_) => Layout::Mono,
        }
    }

    /// Channels of the file.
    pub const fn channels(self) -> u16 {
        match self {
            Layout::Mono => 1,
            Layout::Stereo => 2,
        }
    }
}

/// Audio on its way into one file. Feed [`push`](Timeline::push), then [`pull`](Timeline::pull) what is old enough that
/// nothing earlier is still expected: up to [`settled`](Timeline::settled).
#[derive(Debug)]
pub struct Timeline {
    origin: Mono,
    layout: Layout,
    scale: Scale,
    left: Track,
    right: Track,
    streams: Vec<Stream>,
    /// Frames that were pulled; nothing can be placed before it any more.
    taken: i64,
    dropped: u64,
    /// Nothing is stored from one frame to another; the last one may last.
    pauses: Vec<(i64, Option<i64>)>,
}

/// The file's rate, for times and for streams' clocks.
#[derive(Copy, Clone, Debug)]
struct Scale {
    rate_hz: i64,
}

/// Samples from `taken` on.
#[derive(Debug, Default)]
struct Track(Vec<i16>);

/// What a packet is to its stream.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum PacketKind {
    /// The first of a source: its decoder begins anew.
    Fresh,
    /// It came before: it needs no decoding.
    Repeated,
    /// Another one.
    Further,
}

/// Room that timelines work in by turns: between its turns each keeps no more than what waits in it.
#[derive(Debug, Default)]
pub struct Workbench {
    left: Vec<i16>,
    right: Vec<i16>,
}

/// What one leg sends.
#[derive(Debug)]
struct Stream {
    leg: LegId,
    side: Side,
    scale: Scale,
    anchor: Option<Anchor>,
    /// Where what was stored of it ends.
    end: i64,
    /// A packet whose timestamp jumped: believed when the next one follows it.
    suspect: Option<Suspect>,
    /// Consecutive packets that came too late or lie too far ahead, and when the last that counted came.
    strays: u32,
    strayed: i64,
}

/// Where the latest packet in order was placed.
#[derive(Debug)]
struct Anchor {
    ssrc: u32,
    timestamp: u32,
    position: i64,
    length: i64,
    arrival: i64,
    /// Silent samples up to and including the latest packet.
    silent: i64,
    recent: VecDeque<u32>,
    drift: Drift,
}

#[derive(Debug)]
struct Suspect {
    next_timestamp: u32,
    arrival: i64,
    samples: Vec<i16>,
}

/// How far arrivals run behind timestamps, seen through jitter: the least of the last one to two windows.
#[derive(Debug)]
struct Drift {
    low: i64,
    count: u32,
    previous: Option<i64>,
}

/// What to do with a packet.
enum Step {
    Drop,
    /// An older packet that fills a gap.
    Fill(i64),
    /// The next packet, here.
    Place(i64),
    /// The next packet, here, and the clocks are compared anew.
    Anchor(i64),
    Suspect,
}

impl Timeline {
    /// A timeline that begins at `origin`, for a file of `rate_hz`.
    pub fn new(origin: Mono, layout: Layout, rate_hz: u32) -> Timeline {
        Timeline {
            origin,
            layout,
            scale: Scale {
                rate_hz: i64::from(rate_hz),
            },
            left: Track::default(),
            right: Track::default(),
            streams: Vec::new(),
            taken: 0,
            dropped: 0,
            pauses: Vec::new(),
        }
    }

    /// Frames from the beginning to `at`; negative before it.
    pub fn position(&self, at: Mono) -> i64 {
        let micros = i128::from(at.as_micros()) - i128::from(self.origin.as_micros());
        i64::try_from(micros * i128::from(self.scale.rate_hz) / 1_000_000).unwrap_or(i64::MAX)
    }

    /// Milliseconds from the beginning to `at`; 0 before it.
    pub fn millis(&self, at: Mono) -> u64 {
        at.as_micros().saturating_sub(self.origin.as_micros()) / 1_000
    }

    /// The frame before which nothing is expected any more at `now`.
    pub fn settled(&self, now: Mono) -> i64 {
        self.position(now) - self.scale.frames(HOLD_MS)
    }

    /// From this millisecond on nothing is stored, until [`resume`](Timeline::resume). What was pulled already stays.
    pub fn pause(&mut self, at_ms: u64) {
        let from = self.scale.frames(i64::try_from(at_ms).unwrap_or(i64::MAX));
        if !matches!(self.pauses.last(), Some((_, None))) {
            self.pauses.push((from, None));
        }
    }

    /// Ends the pause.
    pub fn resume(&mut self, at_ms: u64) {
        let to = self.scale.frames(i64::try_from(at_ms).unwrap_or(i64::MAX));
        if let Some((_, end @ None)) = self.pauses.last_mut() {
            *end = Some(to);
        }
    }

    /// Exchanges the room that it works in with the bench's: before its turn, and after it.
    pub fn exchange(&mut self, bench: &mut Workbench) {
        self.left.swap(&mut bench.left);
        self.right.swap(&mut bench.right);
    }

    /// A leg feeds a side from now on; if it did already, it begins anew.
    pub fn attach(&mut self, leg: LegId, side: Side) {
        self.detach(leg);
        self.streams.push(Stream {
            leg,
            side,
            scale: self.scale,
            anchor: None,
            end: i64::MIN / 2,
            suspect: None,
            strays: 0,
            strayed: i64::MIN / 2,
        });
    }

    /// A leg feeds no side any more. What it sent stays.
    pub fn detach(&mut self, leg: LegId) {
        self.streams.retain(|stream| stream.leg != leg);
    }

    /// What a packet is to its stream, before it is decoded.
    pub fn kind_of(&self, leg: LegId, header: &TapHeader) -> PacketKind {
        let stream = self.streams.iter().find(|stream| stream.leg == leg);
        let anchor = stream.and_then(|stream| stream.anchor.as_ref());
        match anchor {
            Some(anchor) if anchor.ssrc != header.ssrc => PacketKind::Fresh,
            Some(anchor) if anchor.recent.contains(&header.timestamp) => PacketKind::Repeated,
            Some(_) => PacketKind::Further,
            None => PacketKind::Fresh,
        }
    }

    /// A packet of an attached leg, decoded.
    pub fn push(&mut self, leg: LegId, header: &TapHeader, samples: &[i16]) {
        let arrival = self.position(header.arrival);
        let Some(stream) = self.streams.iter_mut().find(|stream| stream.leg == leg) else {
            return;
        };
        if samples.is_empty() {
            return;
        }
        let track = match stream.side {
            Side::Left => &mut self.left,
            Side::Right => &mut self.right,
        };
        let most = usize::try_from(self.scale.frames(MAX_AHEAD_MS)).unwrap_or(usize::MAX);
        let step = stream.judge(header, arrival, samples, self.taken);
        let confirmed = stream.suspect.take();
        let position = match step {
            Step::Drop => {
                self.dropped += 1;
                return;
            }
            Step::Suspect => {
                let length = self.scale.ticks(samples.len(), header.codec);
                stream.suspect = Some(Suspect {
                    next_timestamp: header.timestamp.wrapping_add(length),
                    arrival,
                    samples: samples.to_vec(),
                });
                return;
            }
            Step::Fill(position) => position,
            Step::Place(position) => {
                stream.advance(header, arrival, position, samples);
                position
            }
            Step::Anchor(position) => {
                let position = match confirmed {
                    Some(suspect) if suspect.next_timestamp == header.timestamp => {
                        let start = stream.after_own_audio(suspect.arrival);
                        track.put(start - self.taken, &suspect.samples, most);
                        start + suspect.samples.len() as i64
                    }
                    _ => position,
                };
                stream.anchor = None;
                stream.advance(header, arrival, position, samples);
                position
            }
        };
        track.put(position - self.taken, samples, most);
    }

    /// Appends the frames up to `until` to `frames`, interleaved by layout; returns how many frames.
    pub fn pull(&mut self, until: i64, frames: &mut Vec<i16>) -> u64 {
        let count = until.saturating_sub(self.taken).max(0);
        let length = usize::try_from(count).unwrap_or(usize::MAX);
        let start = frames.len();
        let channels = usize::from(self.layout.channels());
        frames.resize(start.saturating_add(length.saturating_mul(channels)), 0);
        let new = frames.get_mut(start..).unwrap_or_default();
        match self.layout {
            Layout::Stereo => {
                let (pairs, _) = new.as_chunks_mut::<2>();
                for (pair, sample) in pairs.iter_mut().zip(&self.left.0) {
                    pair[0] = *sample;
                }
                for (pair, sample) in pairs.iter_mut().zip(&self.right.0) {
                    pair[1] = *sample;
                }
            }
            Layout::Mono => {
                for (sum, sample) in new.iter_mut().zip(&self.left.0) {
                    *sum = *sample;
                }
                for (sum, sample) in new.iter_mut().zip(&self.right.0) {
                    *sum = sum.saturating_add(*sample);
                }
            }
        }
        self.left.skip(length);
        self.right.skip(length);
        silence(&self.pauses, self.taken, channels, new);
        self.taken += count;
        let taken = self.taken;
        self.pauses.retain(|(_, to)| to.is_none_or(|to| to > taken));
        count.unsigned_abs()
    }

    /// Frames pulled so far.
    pub fn taken(&self) -> u64 {
        self.taken.unsigned_abs()
    }

    /// A packet was left out before it came here.
    pub fn leave_out(&mut self) {
        self.dropped += 1;
    }

    /// Packets left out so far: repeated, too late, or not believed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Track {
    /// Adds samples at an offset from what is next to be pulled; what lies before that is cut off, and what is too far ahead.
    fn put(&mut self, offset: i64, samples: &[i16], most: usize) {
        let skip = usize::try_from(-offset.min(0)).unwrap_or(usize::MAX);
        let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX);
        let Some(samples) = samples.get(skip..) else {
            return;
        };
        let end = start.saturating_add(samples.len());
        if end > most {
            return;
        }
        let filled = self.0.len();
        if start >= filled {
            self.0.resize(start, 0);
            self.0.extend_from_slice(samples);
            return;
        }
        if filled < end {
            self.0.resize(end, 0);
        }
        let places = self.0.get_mut(start..).unwrap_or_default();
        for (place, &sample) in places.iter_mut().zip(samples) {
            *place = place.saturating_add(sample);
        }
    }

    /// The first samples were pulled.
    fn skip(&mut self, count: usize) {
        let left = self.0.len().saturating_sub(count);
        if left > 0 {
            self.0.copy_within(count.., 0);
        }
        self.0.truncate(left);
    }

    /// Exchanges rooms; the samples stay with the track.
    fn swap(&mut self, room: &mut Vec<i16>) {
        room.clear();
        room.reserve_exact(self.0.len());
        room.extend_from_slice(&self.0);
        std::mem::swap(&mut self.0, room);
        room.clear();
    }
}

impl Scale {
    /// A time in frames.
    const fn frames(self, ms: i64) -> i64 {
        ms.saturating_mul(self.rate_hz) / 1_000
    }

    /// A span of a codec's clock in frames.
    fn of_clock(self, ticks: i32, codec: Codec) -> i64 {
        i64::from(ticks) * self.rate_hz / i64::from(codec.clock_rate())
    }

    /// Frames in a span of a codec's clock.
    fn ticks(self, frames: usize, codec: Codec) -> u32 {
        let frames = i64::try_from(frames).unwrap_or(i64::MAX);
        let ticks = frames.saturating_mul(i64::from(codec.clock_rate())) / self.rate_hz;
        u32::try_from(ticks).unwrap_or(u32::MAX)
    }
}

/// Makes frames from `start` on silent where a pause covers them.
fn silence(pauses: &[(i64, Option<i64>)], start: i64, channels: usize, frames: &mut [i16]) {
    let place = |at: i64| usize::try_from(at.saturating_sub(start).max(0)).unwrap_or(usize::MAX);
    for &(from, to) in pauses {
        let end = to.map_or(frames.len(), |to| place(to).saturating_mul(channels));
        let end = end.min(frames.len());
        let from = place(from).saturating_mul(channels);
        if let Some(covered) = frames.get_mut(from..end) {
            covered.fill(0);
        }
    }
}

impl Stream {
    fn judge(&mut self, header: &TapHeader, arrival: i64, samples: &[i16], taken: i64) -> Step {
        let Some(anchor) = self
            .anchor
            .as_mut()
            .filter(|anchor| anchor.ssrc == header.ssrc)
        else {
            return Step::Anchor(self.after_own_audio(arrival));
        };
        let scale = self.scale;
        let ticks = header.timestamp.wrapping_sub(anchor.timestamp) as i32;
        let ahead = scale.of_clock(ticks, header.codec);
        let position = anchor.position + ahead;
        let late_by = arrival - position;
        if (-scale.frames(HOLD_MS)..=0).contains(&ahead) {
            return if anchor.recent.contains(&header.timestamp) {
                Step::Drop
            } else {
                anchor.remember(header.timestamp);
                Step::Fill(position)
            };
        }
        let tolerance = scale.frames(TOLERANCE_MS);
        let off = late_by.abs() > tolerance;
        let was_quiet = arrival - anchor.arrival > scale.frames(PAUSE_MS);
        let paused = was_quiet || ahead - anchor.length >= scale.frames(GAP_MS);
        let far = scale.frames(FAR_MS);
        let jumped = ahead < 0 || (ahead != anchor.length && late_by.abs() > far);
        let confirmed = matches!(&self.suspect, Some(s) if s.next_timestamp == header.timestamp);
        if confirmed {
            return Step::Anchor(self.after_own_audio(arrival));
        }
        if jumped && !was_quiet {
            return Step::Suspect;
        }
        if off && paused {
            return Step::Anchor(self.after_own_audio(arrival));
        }
        if position + samples.len() as i64 <= taken || late_by < -far {
            // What was held up comes all at once, and what follows comes in time again: that says nothing about the clock.
            if arrival - self.strayed >= samples.len() as i64 / 2 {
                (self.strays, self.strayed) = (self.strays + 1, arrival);
            }
            if self.strays >= MAX_STRAYS {
                return Step::Anchor(self.after_own_audio(arrival.max(taken)));
            }
            anchor.follow(header, arrival, position, samples);
            return Step::Drop;
        }
        match anchor.correction(late_by, samples, tolerance) {
            Some(shift) => Step::Anchor(position + shift),
            None => Step::Place(position),
        }
    }

    /// The place for audio that arrived at `arrival`: then, but not over what is stored of the stream, which may have come all at
    /// once and so lies ahead of its arrival.
    fn after_own_audio(&self, arrival: i64) -> i64 {
        arrival.max(self.end)
    }

    /// `position` becomes the latest.
    fn advance(&mut self, header: &TapHeader, arrival: i64, position: i64, samples: &[i16]) {
        self.strays = 0;
        self.end = self.end.max(position + samples.len() as i64);
        match &mut self.anchor {
            Some(anchor) => anchor.follow(header, arrival, position, samples),
            None => {
                self.anchor = Some(Anchor {
                    ssrc: header.ssrc,
                    timestamp: header.timestamp,
                    position,
                    length: samples.len() as i64,
                    arrival,
                    silent: 0,
                    recent: VecDeque::from([header.timestamp]),
                    drift: Drift::new(),
                });
            }
        }
    }
}

impl Anchor {
    fn follow(&mut self, header: &TapHeader, arrival: i64, position: i64, samples: &[i16]) {
        self.timestamp = header.timestamp;
        self.position = position;
        self.length = samples.len() as i64;
        self.arrival = arrival;
        self.remember(header.timestamp);
    }

    fn remember(&mut self, timestamp: u32) {
        if self.recent.len() == RECENT_PACKETS {
            self.recent.pop_front();
        }
        self.recent.push_back(timestamp);
    }

    /// By how much to move the stream, when its clock has run away and the packet is silent. Moving back eats silence only.
    fn correction(&mut self, late_by: i64, samples: &[i16], tolerance: i64) -> Option<i64> {
        let silent_before = self.silent;
        let silent = samples
            .iter()
            .all(|sample| sample.unsigned_abs() <= SILENT_LEVEL);
        self.silent = if silent {
            self.silent + samples.len() as i64
        } else {
            0
        };
        let drift = self.drift.learn(late_by)?;
        if !silent || drift.abs() <= tolerance {
            return None;
        }
        let shift = drift.max(-silent_before);
        (shift != 0).then_some(shift)
    }
}

impl Drift {
    fn new() -> Drift {
        Drift {
            low: i64::MAX,
            count: 0,
            previous: None,
        }
    }

    /// Takes one measurement; answers once a whole window has been seen.
    fn learn(&mut self, late_by: i64) -> Option<i64> {
        self.low = self.low.min(late_by);
        self.count += 1;
        let settled = self.previous.map(|previous| previous.min(self.low));
        if self.count == DRIFT_PACKETS {
            self.previous = Some(self.low);
            self.low = i64::MAX;
            self.count = 0;
        }
        settled
    }
}

/// How long frames wait for packets that come late or out of order.
pub const HOLD_MS: i64 = 200;
/// Nearer than this, timestamps are believed rather than arrivals.
const TOLERANCE_MS: i64 = 20;
/// Audio missing for this long is a pause of the source and not loss.
const GAP_MS: i64 = 200;
/// Nothing arrived for this long: the source had stopped, its timestamps perhaps with it.
const PAUSE_MS: i64 = 1_000;
/// Timestamps this far from arrivals are no jitter.
const FAR_MS: i64 = 1_000;
/// The most that is kept before it is pulled.
const MAX_AHEAD_MS: i64 = 5_000;
/// After so many packets too late or too early in a row, their clock is believed lost.
const MAX_STRAYS: u32 = 5;
/// Timestamps remembered to know a repeated packet: more than the hold has in packets of 10 ms.
const RECENT_PACKETS: usize = 32;
/// A window of the drift: 1 s in packets of 20 ms.
const DRIFT_PACKETS: u32 = 50;
/// Samples up to this are silence: -44 dBFS.
const SILENT_LEVEL: u16 = 200;

#[cfg(test)]
mod tests;
