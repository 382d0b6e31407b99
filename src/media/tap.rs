//! The tap: what a leg receives, copied before decoding into a lock-free ring of a second's length for the recorder.
//!
//! A packet is one record in a ring of bytes: a header of fixed size, then the payload. Both are committed at once,
//! so the reader never sees half a packet.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rtrb::{Consumer, Producer, RingBuffer};

use crate::call::media::Feeds;
use crate::ledger::clock::Mono;
use crate::sdp::negotiate::Codec;

/// What is known of one tapped packet.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct TapHeader {
    /// When it was received.
    pub arrival: Mono,
    /// Its RTP timestamp, in its codec's clock rate.
    pub timestamp: u32,
    /// Its SSRC: a new one re-anchors.
    pub ssrc: u32,
    /// Its codec.
    pub codec: Codec,
}

/// The media thread's end.
#[derive(Debug)]
pub struct TapWriter {
    ring: Producer<u8>,
    dropped: Arc<AtomicU64>,
}

/// A leg's taps: one for each recording that it feeds.
#[derive(Debug, Default)]
pub struct Taps {
    call: Option<TapWriter>,
    conference: Option<TapWriter>,
}

/// The recorder's end.
#[derive(Debug)]
pub struct TapReader {
    ring: Consumer<u8>,
    dropped: Arc<AtomicU64>,
}

/// A tap that holds at least one second of G.711 or G.722.
pub fn tap() -> (TapWriter, TapReader) {
    tap_of(CAPACITY)
}

/// A tap that holds at least one second of what is usual in this codec, as far as it is known.
pub fn tap_for(codec: Option<Codec>) -> (TapWriter, TapReader) {
    match codec {
        Some(Codec::Pcmu | Codec::Pcma | Codec::G722) | None => tap_of(CAPACITY),
        Some(Codec::Opus) => tap_of(LARGE_CAPACITY),
    }
}

fn tap_of(capacity: usize) -> (TapWriter, TapReader) {
    let (producer, consumer) = RingBuffer::new(capacity);
    let dropped = Arc::new(AtomicU64::new(0));
    (
        TapWriter {
            ring: producer,
            dropped: Arc::clone(&dropped),
        },
        TapReader {
            ring: consumer,
            dropped,
        },
    )
}

impl Taps {
    /// The tap for that recording.
    pub fn of(&mut self, feeds: Feeds) -> &mut Option<TapWriter> {
        match feeds {
            Feeds::Call => &mut self.call,
            Feeds::Conference => &mut self.conference,
        }
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.call.is_none() && self.conference.is_none()
    }

    /// Copies one packet into each. What does not fit is counted there, and its reader asks for that.
    pub fn push(&mut self, header: TapHeader, payload: &[u8]) {
        for tap in [&mut self.call, &mut self.conference].into_iter().flatten() {
            let _fits = tap.push(header, payload);
        }
    }
}

impl TapWriter {
    /// Copies one packet in; `false` (and counted) when the ring is full or the reader is gone. Never blocks or allocates.
    pub fn push(&mut self, header: TapHeader, payload: &[u8]) -> bool {
        let pushed = self.try_push(header, payload);
        if !pushed {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
        pushed
    }

    fn try_push(&mut self, header: TapHeader, payload: &[u8]) -> bool {
        let Ok(length) = u16::try_from(payload.len()) else {
            return false;
        };
        if self.ring.is_abandoned() {
            return false;
        }
        let Ok(mut chunk) = self.ring.write_chunk(HEADER + payload.len()) else {
            return false;
        };
        let (first, second) = chunk.as_mut_slices();
        let written = spread(&header.to_bytes(length), first, second, 0);
        spread(payload, first, second, written);
        chunk.commit_all();
        true
    }
}

impl TapReader {
    /// Takes everything out: each packet is shown once, in order. A payload that goes round the end of the ring is put
    /// together in `spare`.
    pub fn drain(&mut self, spare: &mut Vec<u8>, mut each: impl FnMut(TapHeader, &[u8])) {
        // Packets are committed whole, so what is there are whole packets.
        let Ok(chunk) = self.ring.read_chunk(self.ring.slots()) else {
            return;
        };
        let (first, second) = chunk.as_slices();
        let mut at = 0;
        let mut header = [0u8; HEADER];
        while gather(first, second, at, &mut header) {
            let (header, length) = TapHeader::from_bytes(&header);
            at += HEADER;
            let whole = match at.checked_sub(first.len()) {
                Some(behind) => second.get(behind..behind + length),
                None => first.get(at..at + length),
            };
            match whole {
                Some(payload) => each(header, payload),
                None => {
                    spare.clear();
                    spare.resize(length, 0);
                    if !gather(first, second, at, spare) {
                        break;
                    }
                    each(header, spare);
                }
            }
            at += length;
        }
        chunk.commit_all();
    }

    /// Packets dropped because the ring was full, so far.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// Whether the writer is gone (the leg was closed or detached) and the ring is empty.
    pub fn is_finished(&self) -> bool {
        // In this order: what was pushed before the writer went is seen by `is_empty`.
        self.ring.is_abandoned() && self.ring.is_empty()
    }
}

impl TapHeader {
    fn to_bytes(self, length: u16) -> [u8; HEADER] {
        let mut bytes = [0u8; HEADER];
        bytes[0..2].copy_from_slice(&length.to_le_bytes());
        bytes[2] = self.codec.usual_payload_type();
        bytes[3..11].copy_from_slice(&self.arrival.as_micros().to_le_bytes());
        bytes[11..15].copy_from_slice(&self.timestamp.to_le_bytes());
        bytes[15..19].copy_from_slice(&self.ssrc.to_le_bytes());
        bytes
    }

    fn from_bytes(bytes: &[u8; HEADER]) -> (TapHeader, usize) {
        let [l0, l1, codec, a0, a1, a2, a3, a4, a5, a6, a7, rest @ ..] = *bytes;
        let [t0, t1, t2, t3, s0, s1, s2, s3] = rest;
        let header = TapHeader {
            arrival: Mono::from_micros(u64::from_le_bytes([a0, a1, a2, a3, a4, a5, a6, a7])),
            timestamp: u32::from_le_bytes([t0, t1, t2, t3]),
            ssrc: u32::from_le_bytes([s0, s1, s2, s3]),
            codec: Codec::of_static(codec).unwrap_or(Codec::Opus),
        };
        (header, usize::from(u16::from_le_bytes([l0, l1])))
    }
}

/// Copies `bytes` to position `at` of the two slices taken as one; returns the position after them.
fn spread(bytes: &[u8], first: &mut [u8], second: &mut [u8], at: usize) -> usize {
    let room = first.len().saturating_sub(at).min(bytes.len());
    let (here, there) = bytes.split_at(room);
    if room > 0 {
        first[at..at + room].copy_from_slice(here);
    }
    if !there.is_empty() {
        let start = at.max(first.len()) - first.len();
        second[start..start + there.len()].copy_from_slice(there);
    }
    at + bytes.len()
}

/// Fills `bytes` from position `at` of the two slices taken as one; `false` when they hold less.
fn gather(first: &[u8], second: &[u8], at: usize, bytes: &mut [u8]) -> bool {
    if at + bytes.len() > first.len() + second.len() {
        return false;
    }
    let here = first.get(at..).unwrap_or_default();
    let room = here.len().min(bytes.len());
    let (front, back) = bytes.split_at_mut(room);
    front.copy_from_slice(&here[..room]);
    if !back.is_empty() {
        let start = at.max(first.len()) - first.len();
        back.copy_from_slice(&second[start..start + back.len()]);
    }
    true
}

/// Length, codec, arrival, timestamp, SSRC.
const HEADER: usize = 2 + 1 + 8 + 4 + 4;
/// One second at 64 kbit/s is 8,950 bytes in packets of 20 ms and 9,900 in packets of 10 ms.
const CAPACITY: usize = 10 * 1024;
/// One second of Opus at 128 kbit/s.
const LARGE_CAPACITY: usize = 18 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn header(n: u32) -> TapHeader {
        TapHeader {
            arrival: Mono::from_micros(u64::from(n) * 20_000 + (1 << 40)),
            timestamp: n.wrapping_mul(160),
            ssrc: !n,
            codec: if n.is_multiple_of(2) {
                Codec::Pcmu
            } else {
                Codec::Pcma
            },
        }
    }

    fn all(reader: &mut TapReader) -> Vec<(TapHeader, Vec<u8>)> {
        let mut got = Vec::new();
        reader.drain(&mut Vec::new(), |header, payload| {
            got.push((header, payload.to_vec()));
        });
        got
    }

    #[test]
    fn holds_a_second_and_counts_what_does_not_fit() {
        for (packets, size) in [(50, 160), (100, 80), (34, 240)] {
            let (mut writer, mut reader) = tap();
            for n in 0..packets {
                assert!(writer.push(header(n), &vec![n as u8; size]));
            }
            while writer.push(header(0), &[0; 160]) {}
            assert_eq!(reader.dropped(), 1);
            let got = all(&mut reader);
            for (n, got) in (0..packets).zip(&got) {
                assert_eq!(*got, (header(n), vec![n as u8; size]));
            }
            assert!(got.len() >= packets as usize);
        }
    }

    #[test]
    fn each_end_learns_that_the_other_is_gone() {
        let (mut writer, mut reader) = tap();
        assert!(writer.push(header(1), &[1, 2, 3]));
        assert!(!reader.is_finished());
        drop(writer);
        assert!(!reader.is_finished());
        assert_eq!(all(&mut reader), [(header(1), vec![1, 2, 3])]);
        assert!(reader.is_finished());
        let (mut writer, reader) = tap();
        drop(reader);
        assert!(!writer.push(header(1), &[1]));
    }

    #[test]
    fn each_recording_has_a_ring_of_its_own() {
        let mut taps = Taps::default();
        taps.push(header(0), &[0; 160]);
        let (writer, mut call) = tap();
        *taps.of(Feeds::Call) = Some(writer);
        taps.push(header(1), &[1; 160]);
        let (writer, mut conference) = tap();
        *taps.of(Feeds::Conference) = Some(writer);
        taps.push(header(2), &[2; 160]);
        *taps.of(Feeds::Call) = None;
        taps.push(header(3), &[3; 160]);
        assert!(!taps.is_empty());
        *taps.of(Feeds::Conference) = None;
        assert!(taps.is_empty());
        let got = |n: u32| (header(n), vec![n as u8; 160]);
        assert_eq!(all(&mut call), [got(1), got(2)]);
        assert_eq!(all(&mut conference), [got(2), got(3)]);
        assert!(call.is_finished() && conference.is_finished());
    }

    #[test]
    fn a_payload_too_large_for_the_ring_is_refused_and_the_ring_goes_on() {
        let (mut writer, mut reader) = tap();
        assert!(!writer.push(header(1), &[0; 20_000]));
        assert!(!writer.push(header(1), &[0; 70_000]));
        assert!(writer.push(header(2), &[7; 160]));
        assert_eq!(all(&mut reader), [(header(2), vec![7; 160])]);
        assert_eq!(reader.dropped(), 2);
    }

    #[test]
    fn threads_agree_on_every_byte() {
        let (mut writer, mut reader) = tap();
        let sender = std::thread::spawn(move || {
            for n in 0..5_000u32 {
                while !writer.push(header(n), &n.to_le_bytes().repeat((n % 50) as usize)) {
                    std::thread::yield_now();
                }
            }
        });
        let mut spare = Vec::new();
        let mut n = 0u32;
        while n < 5_000 {
            reader.drain(&mut spare, |got, payload| {
                assert_eq!(got, header(n));
                assert_eq!(payload, n.to_le_bytes().repeat((n % 50) as usize));
                n += 1;
            });
            std::thread::yield_now();
        }
        sender.join().unwrap();
        assert!(reader.is_finished());
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out_in_order(
            sizes in proptest::collection::vec((0usize..1500, any::<bool>()), 1..200)
        ) {
            let (mut writer, mut reader) = tap();
            let mut expected = Vec::new();
            for (n, (size, take)) in sizes.into_iter().enumerate() {
                let bytes: Vec<u8> = (0..size).map(|i| (i + n) as u8).collect();
                if writer.push(header(n as u32), &bytes) {
                    expected.push((header(n as u32), bytes));
                }
                if take {
                    prop_assert_eq!(all(&mut reader), std::mem::take(&mut expected));
                }
            }
        }
    }
}
