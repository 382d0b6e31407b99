//! The timeline of one recording: puts tapped audio where it belongs in the file. No files, threads or clocks.
//!
//! Time 0 is the recording's beginning. A stream is anchored at the arrival of its first packet and then advances by RTP
//! timestamp, so that jitter leaves no trace and audio between anchors is exact to the sample. It is anchored anew when its
//! SSRC changes or its timestamps jump, after a pause, and, in silence only, when the far side's clock has run away by more
//! than 20 ms. What was not received is silence; what comes again, or too late, is left out.

use std::collections::VecDeque;

use crate::call::output::Side;
use crate::ledger::clock::Mono;
use crate::ledger::id::LegId;
use crate::media::tap::TapHeader;

/// How the sides are written.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Layout {
    /// Both sides added into one channel.
    Mono,
    /// Left, right.
    Stereo,
}

impl Layout {
    /// Channels of the file.
    pub const fn channels(self) -> u16 {
        match self {
            Layout::Mono => 1,
            Layout::Stereo => 2,
        }
    }
}

/// Audio on its way into one file. Feed [`push`](Timeline::push), then [`pull`](Timeline::pull) what is old enough that
/// nothing earlier is still expected: [`HOLD_SAMPLES`] behind the present.
#[derive(Debug)]
pub struct Timeline {
    origin: Mono,
    layout: Layout,
    left: Track,
    right: Track,
    streams: Vec<Stream>,
    /// Frames that were pulled; nothing can be placed before it any more.
    taken: i64,
    dropped: u64,
}

/// Samples from `taken` on.
#[derive(Debug, Default)]
struct Track(VecDeque<i16>);

/// What one leg sends.
#[derive(Debug)]
struct Stream {
    leg: LegId,
    side: Side,
    anchor: Option<Anchor>,
    /// A packet whose timestamp jumped: believed when the next one follows it.
    suspect: Option<Suspect>,
    /// Consecutive packets that came too late or lie too far ahead.
    strays: u32,
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
    /// A timeline that begins at `origin`.
    pub fn new(origin: Mono, layout: Layout) -> Timeline {
        Timeline {
            origin,
            layout,
            left: Track::default(),
            right: Track::default(),
            streams: Vec::new(),
            taken: 0,
            dropped: 0,
        }
    }

    /// Frames from the beginning to `at`; negative before it.
    pub fn position(&self, at: Mono) -> i64 {
        let micros = i128::from(at.as_micros()) - i128::from(self.origin.as_micros());
        i64::try_from(micros * 8 / 1_000).unwrap_or(i64::MAX)
    }

    /// A leg feeds a side from now on; if it did already, it begins anew.
    pub fn attach(&mut self, leg: LegId, side: Side) {
        self.detach(leg);
        self.streams.push(Stream {
            leg,
            side,
            anchor: None,
            suspect: None,
            strays: 0,
        });
    }

    /// A leg feeds no side any more. What it sent stays.
    pub fn detach(&mut self, leg: LegId) {
        self.streams.retain(|stream| stream.leg != leg);
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
        let step = stream.judge(header, arrival, samples, self.taken);
        let confirmed = stream.suspect.take();
        let position = match step {
            Step::Drop => {
                self.dropped += 1;
                return;
            }
            Step::Suspect => {
                stream.suspect = Some(Suspect {
                    next_timestamp: header.timestamp.wrapping_add(samples.len() as u32),
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
                        track.put(start - self.taken, &suspect.samples);
                        start + suspect.samples.len() as i64
                    }
                    _ => position,
                };
                stream.anchor = None;
                stream.advance(header, arrival, position, samples);
                position
            }
        };
        track.put(position - self.taken, samples);
    }

    /// Appends the frames up to `until` to `frames`, interleaved by layout; returns how many frames.
    pub fn pull(&mut self, until: i64, frames: &mut Vec<i16>) -> u64 {
        let count = until.saturating_sub(self.taken).max(0);
        for _ in 0..count {
            let left = self.left.0.pop_front().unwrap_or(0);
            let right = self.right.0.pop_front().unwrap_or(0);
            match self.layout {
                Layout::Stereo => frames.extend([left, right]),
                Layout::Mono => frames.push(left.saturating_add(right)),
            }
        }
        self.taken += count;
        count.unsigned_abs()
    }

    /// Frames pulled so far.
    pub fn taken(&self) -> u64 {
        self.taken.unsigned_abs()
    }

    /// Packets left out so far: repeated, too late, or not believed.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }
}

impl Track {
    /// Adds samples at an offset from what is next to be pulled; what lies before that is cut off.
    fn put(&mut self, offset: i64, samples: &[i16]) {
        let skip = usize::try_from(-offset.min(0)).unwrap_or(usize::MAX);
        let start = usize::try_from(offset.max(0)).unwrap_or(usize::MAX);
        let Some(samples) = samples.get(skip..) else {
            return;
        };
        let end = start.saturating_add(samples.len());
        if end > MAX_AHEAD_SAMPLES {
            return;
        }
        if self.0.len() < end {
            self.0.resize(end, 0);
        }
        for (place, &sample) in self.0.iter_mut().skip(start).zip(samples) {
            *place = place.saturating_add(sample);
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
        let ahead = i64::from(header.timestamp.wrapping_sub(anchor.timestamp) as i32);
        let position = anchor.position + ahead;
        let late_by = arrival - position;
        if (-HOLD_SAMPLES..=0).contains(&ahead) {
            return if anchor.recent.contains(&header.timestamp) {
                Step::Drop
            } else {
                anchor.remember(header.timestamp);
                Step::Fill(position)
            };
        }
        let off = late_by.abs() > TOLERANCE_SAMPLES;
        let paused =
            arrival - anchor.arrival > PAUSE_SAMPLES || ahead - anchor.length >= GAP_SAMPLES;
        let jumped = ahead < 0 || (ahead != anchor.length && late_by.abs() > FAR_SAMPLES);
        let confirmed = matches!(&self.suspect, Some(s) if s.next_timestamp == header.timestamp);
        if confirmed {
            return Step::Anchor(self.after_own_audio(arrival));
        }
        if jumped && arrival - anchor.arrival <= PAUSE_SAMPLES {
            return Step::Suspect;
        }
        if off && paused {
            return Step::Anchor(self.after_own_audio(arrival));
        }
        if position + samples.len() as i64 <= taken || late_by < -FAR_SAMPLES {
            self.strays += 1;
            if self.strays >= MAX_STRAYS {
                return Step::Anchor(arrival.max(taken));
            }
            anchor.follow(header, arrival, position, samples);
            return Step::Drop;
        }
        match anchor.correction(late_by, samples) {
            Some(shift) => Step::Anchor(position + shift),
            None => Step::Place(position),
        }
    }

    /// The place for audio that arrived at `arrival`: then, but not over the stream's own latest audio when that ends just there.
    fn after_own_audio(&self, arrival: i64) -> i64 {
        match &self.anchor {
            Some(anchor) => {
                let end = anchor.position + anchor.length;
                if (0..GAP_SAMPLES).contains(&(end - arrival)) {
                    end
                } else {
                    arrival
                }
            }
            None => arrival,
        }
    }

    /// `position` becomes the latest.
    fn advance(&mut self, header: &TapHeader, arrival: i64, position: i64, samples: &[i16]) {
        self.strays = 0;
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
    fn correction(&mut self, late_by: i64, samples: &[i16]) -> Option<i64> {
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
        if !silent || drift.abs() <= TOLERANCE_SAMPLES {
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

/// How long frames wait for packets that come late or out of order: 200 ms.
pub const HOLD_SAMPLES: i64 = 200 * SAMPLES_PER_MS;
const SAMPLES_PER_MS: i64 = 8;
/// Nearer than this, timestamps are believed rather than arrivals: 20 ms.
const TOLERANCE_SAMPLES: i64 = 20 * SAMPLES_PER_MS;
/// Audio missing for this long is a pause of the source and not loss: 200 ms.
const GAP_SAMPLES: i64 = 200 * SAMPLES_PER_MS;
/// Nothing arrived for this long: the source had stopped, its timestamps perhaps with it: 1 s.
const PAUSE_SAMPLES: i64 = 1_000 * SAMPLES_PER_MS;
/// Timestamps this far from arrivals are no jitter: 1 s.
const FAR_SAMPLES: i64 = 1_000 * SAMPLES_PER_MS;
/// The most that is kept before it is pulled: 5 s.
const MAX_AHEAD_SAMPLES: usize = 5_000 * SAMPLES_PER_MS as usize;
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
