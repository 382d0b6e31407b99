//! The jitter buffer: packets of one sender, put in order and held back just long enough to be played without gaps.
//!
//! The play-out delay is measured against the fastest packets of the last seconds ([`delay`]), so it needs no count of what is
//! in the buffer and follows a clock that runs away. The one who plays pulls: each [`JitterBuffer::take`] says what comes
//! next (a packet, a loss, or nothing), and [`JitterBuffer::pace`] whether to play a little faster or slower.
//! All room is allocated at the beginning. Not here: decoding, concealment, changing the speed (`audio`).

mod delay;

use self::delay::Delay;
use super::sequence::{SequenceTracker, Step};
use crate::ledger::clock::Mono;

/// Packets of one sender on their way to be played.
#[derive(Debug)]
pub struct JitterBuffer {
    /// In hertz.
    clock_rate: u32,
    slots: Box<[Slot]>,
    payloads: Box<[u8]>,
    /// Bytes of a slot's payload at most.
    stride: usize,
    stream: Option<Stream>,
    delay: Delay,
    mode: Mode,
    /// The number that is played next.
    next: u64,
    /// Where in the sender's time the packet after the one taken last should begin.
    position: i64,
    /// Ticks that were filled since because nothing was there.
    starved: i64,
    /// Ticks of a packet.
    length: i64,
    tally: Tally,
}

/// A packet for the buffer: what its header says, and its payload.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Arrived<'a> {
    /// RTP sequence number.
    pub sequence: u16,
    /// RTP timestamp.
    pub timestamp: u32,
    /// The stream it belongs to.
    pub ssrc: u32,
    /// First packet of a talkspurt.
    pub marker: bool,
    /// For whoever plays it: its codec.
    pub kind: u8,
    /// What it carries.
    pub payload: &'a [u8],
}

/// What became of a packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Kept {
    /// It will be played.
    Kept,
    /// Its time has passed.
    Late,
    /// It is there already.
    Duplicate,
    /// Empty, or longer than a slot.
    Unfit,
}

/// What is played next.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Take<'a> {
    /// This packet; say by [`JitterBuffer::lasted`] how long it is.
    Packet(Arrived<'a>),
    /// So many ticks are lost; `next` is the packet after them if it may know what they were (forward error correction).
    Lost {
        /// Of the sender's clock; at least 1.
        ticks: u32,
        /// The packet that follows.
        next: Option<Arrived<'a>>,
    },
    /// Nothing has come, or the sender pauses: fill what is wanted.
    Nothing,
}

/// How fast to play.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Pace {
    /// As it comes.
    Steady,
    /// Longer, where that is not heard.
    Slower,
    /// Shorter, where that is not heard.
    Faster,
    /// Shorter, even if it is heard.
    MuchFaster,
}

/// What happened so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Tally {
    /// Packets handed in.
    pub received: u64,
    /// Packets played.
    pub played: u64,
    /// Packets that came after their time.
    pub late: u64,
    /// Packets that came twice.
    pub duplicate: u64,
    /// Packets that were empty or too long.
    pub unfit: u64,
    /// Packets thrown away because too many came at once.
    pub overflowed: u64,
    /// Ticks told as lost.
    pub lost_ticks: u64,
    /// Ticks filled while nothing was there in the middle of a talkspurt.
    pub starved_ticks: u64,
}

/// The sender's numbers, made one line whatever he restarts.
#[derive(Clone, Debug)]
struct Stream {
    ssrc: u32,
    tracker: SequenceTracker,
    /// From the tracker's numbers to ours.
    shift: u64,
    /// The number that this run began with.
    begins: u64,
    /// From his timestamps to our ticks.
    timestamp: u32,
    ticks: i64,
}

#[derive(Copy, Clone, PartialEq, Eq, Debug)]
enum Mode {
    /// Waits until what is there is old enough.
    Filling,
    Playing,
}

#[derive(Copy, Clone, Debug, Default)]
struct Slot {
    /// 0: empty.
    number: u64,
    ticks: i64,
    sequence: u16,
    timestamp: u32,
    ssrc: u32,
    marker: bool,
    kind: u8,
    length: u16,
}

impl JitterBuffer {
    /// Room for `packets` of `payload` bytes each at most, of a sender whose RTP clock has `clock_rate` hertz.
    pub fn new(clock_rate: u32, packets: usize, payload: usize) -> JitterBuffer {
        let clock_rate = clock_rate.max(1000);
        let (packets, stride) = (packets.max(4), payload.min(usize::from(u16::MAX)));
        JitterBuffer {
            clock_rate,
            slots: vec![Slot::default(); packets].into_boxed_slice(),
            payloads: vec![0; packets * stride].into_boxed_slice(),
            stride,
            stream: None,
            delay: Delay::new(),
            mode: Mode::Filling,
            next: 1,
            position: 0,
            starved: 0,
            length: i64::from(clock_rate / 50),
            tally: Tally::default(),
        }
    }

    /// A packet came.
    pub fn insert(&mut self, arrival: Mono, packet: Arrived<'_>) -> Kept {
        self.tally.received += 1;
        let length = packet.payload.len();
        if length == 0 || length > self.stride {
            self.tally.unfit += 1;
            return Kept::Unfit;
        }
        let Some((number, ticks)) = self.line_up(arrival, &packet) else {
            self.tally.late += 1;
            return Kept::Late;
        };
        self.delay.heard(arrival, self.micros(ticks));
        if number < self.next || self.is_past(ticks) {
            self.tally.late += 1;
            return Kept::Late;
        }
        let room = self.slots.len() as u64;
        if number >= self.next + room {
            self.make_room(number + 1 - room);
        }
        let place = (number % room) as usize;
        let Some(slot) = self.slots.get_mut(place) else {
            return Kept::Unfit;
        };
        if slot.number == number {
            self.tally.duplicate += 1;
            return Kept::Duplicate;
        }
        *slot = Slot {
            number,
            ticks,
            sequence: packet.sequence,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            marker: packet.marker,
            kind: packet.kind,
            length: length as u16,
        };
        let start = place * self.stride;
        if let Some(room) = self.payloads.get_mut(start..start + length) {
            room.copy_from_slice(packet.payload);
        }
        Kept::Kept
    }

    /// What is played next at `now`, when `wanted` ticks are missing. Asked again until nothing is missing; after [`Take::Nothing`] the caller
    /// fills the rest.
    pub fn take(&mut self, now: Mono, wanted: u32) -> Take<'_> {
        let Some(first) = self.first_in_time() else {
            self.starve(wanted);
            return Take::Nothing;
        };
        if self.mode == Mode::Playing {
            let gap = first.ticks - self.position - self.starved;
            let is_whole = first.number == self.next;
            if gap <= self.length / 4 {
                return self.play(first);
            }
            let longest = i64::from(self.clock_rate) * LONGEST_LOSS_MS / 1000;
            if !is_whole && gap <= longest {
                return self.lose(first, gap);
            }
            // He pauses, or so much is lost that nothing can stand for it.
            self.mode = Mode::Filling;
        }
        let waited = self.delay.of(now, self.micros(first.ticks));
        if waited >= self.delay.target() {
            self.mode = Mode::Playing;
            return self.play(first);
        }
        self.starve(wanted);
        Take::Nothing
    }

    /// The packet taken last lasts so many ticks.
    pub fn lasted(&mut self, ticks: u32) {
        let ticks = i64::from(ticks);
        self.position += ticks - self.length;
        self.length = ticks.max(1);
    }

    /// How fast to play what would be taken at `now`.
    pub fn pace(&self, now: Mono) -> Pace {
        if self.mode != Mode::Playing || self.starved > 0 {
            return Pace::Steady;
        }
        let beyond = self.delay.of(now, self.micros(self.position)) - self.delay.target();
        if beyond > MUCH_TOO_LONG {
            Pace::MuchFaster
        } else if beyond > TOO_LONG {
            Pace::Faster
        } else if beyond < TOO_SHORT {
            Pace::Slower
        } else {
            Pace::Steady
        }
    }

    /// Takes the oldest packet whatever its time, for somebody else to play; `None` when nothing is left.
    pub fn drain(&mut self) -> Option<Arrived<'_>> {
        let first = self.first()?;
        self.clear(first.number);
        self.next = first.number + 1;
        self.position = first.ticks + self.length;
        Some(self.packet(first))
    }

    /// Forgets the sender and all that is there.
    pub fn reset(&mut self) {
        self.slots.fill(Slot::default());
        self.stream = None;
        self.delay = Delay::new();
        self.mode = Mode::Filling;
        self.starved = 0;
    }

    /// How long after the fastest packets one must be played so that few come late, in microseconds.
    pub fn target_micros(&self) -> i64 {
        self.delay.target()
    }

    /// How long after its fastest arrival the sound heard at `now` is, in microseconds, when `pending` ticks that were taken are still to be heard.
    pub fn delay_micros(&self, now: Mono, pending: u32) -> i64 {
        self.delay
            .of(now, self.micros(self.position - i64::from(pending)))
    }

    /// Packets that are there.
    pub fn len(&self) -> usize {
        self.slots.iter().filter(|slot| slot.number != 0).count()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.first().is_none()
    }

    /// Of the sender's RTP clock, in hertz.
    pub fn clock_rate(&self) -> u32 {
        self.clock_rate
    }

    /// What happened so far.
    pub fn tally(&self) -> Tally {
        self.tally
    }

    /// The packet's number and its place in time, on one line through restarts of the sender; `None`: from before this run.
    fn line_up(&mut self, arrival: Mono, packet: &Arrived<'_>) -> Option<(u64, i64)> {
        let clock_rate = i64::from(self.clock_rate);
        if let Some(stream) = &mut self.stream
            && stream.ssrc == packet.ssrc
        {
            let step = packet.timestamp.wrapping_sub(stream.timestamp) as i32;
            let ticks = stream.ticks + i64::from(step);
            let off = self.delay.of(arrival, ticks * 1_000_000 / clock_rate);
            match stream.tracker.follow(packet.sequence) {
                Step::Ahead { extended, .. } if off.abs() < OTHER_TIME => {
                    (stream.timestamp, stream.ticks) = (packet.timestamp, ticks);
                    return Some((extended.wrapping_add(stream.shift), ticks));
                }
                Step::Late { extended } => {
                    let number = extended.wrapping_add(stream.shift);
                    return (number >= stream.begins).then_some((number, ticks));
                }
                // He set his clock, or began anew.
                Step::Ahead { .. } | Step::Jump => {}
            }
        }
        let (number, ticks) = self.begin(arrival);
        let begins = self.stream.as_ref().map_or(0, |_| number);
        let tracker = SequenceTracker::new(packet.sequence);
        self.stream = Some(Stream {
            ssrc: packet.ssrc,
            shift: number.wrapping_sub(tracker.first()),
            tracker,
            begins,
            timestamp: packet.timestamp,
            ticks,
        });
        Some((number, ticks))
    }

    /// Where a new run begins: after all that is there, at the time at which a fast packet would have come now.
    fn begin(&self, arrival: Mono) -> (u64, i64) {
        let Some(stream) = &self.stream else {
            // Far from the lower end, so that what is reordered stays on the line.
            return (self.next + (1 << 16), 0);
        };
        let number = stream.tracker.highest().wrapping_add(stream.shift) + 1;
        let now = self.delay.of(arrival, 0) * i64::from(self.clock_rate) / 1_000_000;
        let after = stream.ticks + self.length;
        // Within a packet of the end it simply goes on.
        let ticks = if now < after + self.length {
            after
        } else {
            now
        };
        (number, ticks)
    }

    /// Whether the time of a packet at `ticks` has been filled otherwise.
    fn is_past(&self, ticks: i64) -> bool {
        self.mode == Mode::Playing && ticks + self.length <= self.position
    }

    /// The packet with the lowest number.
    fn first(&self) -> Option<Slot> {
        let room = self.slots.len() as u64;
        // Almost always the first one looked at.
        let waiting = self.slots.get((self.next % room) as usize);
        if let Some(slot) = waiting
            && slot.number == self.next
        {
            return Some(*slot);
        }
        let there = self.slots.iter().filter(|slot| slot.number != 0);
        there.min_by_key(|slot| slot.number).copied()
    }

    /// The packet with the lowest number whose time has not been filled otherwise.
    fn first_in_time(&mut self) -> Option<Slot> {
        loop {
            let first = self.first()?;
            if !self.is_past(first.ticks) {
                return Some(first);
            }
            self.clear(first.number);
            self.next = first.number + 1;
            self.tally.late += 1;
        }
    }

    fn play(&mut self, slot: Slot) -> Take<'_> {
        self.clear(slot.number);
        self.next = slot.number + 1;
        self.position = slot.ticks + self.length;
        self.starved = 0;
        self.tally.played += 1;
        Take::Packet(self.packet(slot))
    }

    /// `first` is there and what should come before it is not: a packet's length of it is given up.
    fn lose(&mut self, first: Slot, gap: i64) -> Take<'_> {
        let ticks = gap.min(self.length);
        self.position += self.starved + ticks;
        self.starved = 0;
        self.tally.lost_ticks += ticks as u64;
        let is_next = gap <= self.length + self.length / 4;
        Take::Lost {
            ticks: u32::try_from(ticks).unwrap_or(1).max(1),
            next: is_next.then(|| self.packet(first)),
        }
    }

    /// Nothing is there: the sound stands still, until that is taken for a pause.
    fn starve(&mut self, wanted: u32) {
        if self.mode == Mode::Filling {
            return;
        }
        self.starved += i64::from(wanted);
        self.tally.starved_ticks += u64::from(wanted);
        if self.starved > i64::from(self.clock_rate) * PAUSE_MS / 1000 {
            self.mode = Mode::Filling;
            self.position += self.starved;
            self.starved = 0;
        }
    }

    /// Nothing below `lowest` can be kept.
    fn make_room(&mut self, lowest: u64) {
        for slot in &mut self.slots {
            if slot.number != 0 && slot.number < lowest {
                *slot = Slot::default();
                self.tally.overflowed += 1;
            }
        }
        self.next = lowest;
    }

    fn clear(&mut self, number: u64) {
        let room = self.slots.len() as u64;
        if let Some(slot) = self.slots.get_mut((number % room) as usize) {
            *slot = Slot::default();
        }
    }

    /// What a slot held; its bytes stay until the next packet comes.
    fn packet(&self, slot: Slot) -> Arrived<'_> {
        let start = (slot.number % self.slots.len() as u64) as usize * self.stride;
        let end = start + usize::from(slot.length);
        Arrived {
            sequence: slot.sequence,
            timestamp: slot.timestamp,
            ssrc: slot.ssrc,
            marker: slot.marker,
            kind: slot.kind,
            payload: self.payloads.get(start..end).unwrap_or_default(),
        }
    }

    fn micros(&self, ticks: i64) -> i64 {
        ticks * 1_000_000 / i64::from(self.clock_rate)
    }
}

/// A loss longer than this is a pause.
const LONGEST_LOSS_MS: i64 = 200;
/// Nothing for longer than this is a pause.
const PAUSE_MS: i64 = 100;
/// Timestamps that stand so far from the clock, in microseconds, belong to another time line.
const OTHER_TIME: i64 = 500_000;
/// Beyond the target by more than this, in microseconds: more than what a beat and a packet of 20 ms leave to chance.
const TOO_LONG: i64 = 25_000;
const MUCH_TOO_LONG: i64 = 100_000;
/// Below the target by more than this, packets begin to come too late.
const TOO_SHORT: i64 = 0;

#[cfg(test)]
mod tests;
