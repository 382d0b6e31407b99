//! One leg's part in RTCP: what it sends and hears is counted, reports are made when they are due, reports that come are
//! understood.

use std::time::Duration;

use super::interval::interval;
use super::read::{Packet, RtcpError, compound};
use super::reception::{Counts, Reception};
use super::write::Report;
use super::{ReportBlock, SenderInfo};
use crate::ledger::clock::{Mono, Wall};
use crate::rtp::packet::HEADER;
use crate::rtp::sequence::{SequenceTracker, Step};

/// A leg's session.
#[derive(Clone, Debug)]
pub struct Session {
    ssrc: u32,
    cname: [u8; CNAME],
    /// NTP time at `Mono::ZERO`.
    epoch: u64,
    clock_rate: u32,
    sent: Sent,
    /// Of the source heard now.
    heard: Option<Reception>,
    /// Of sources heard before.
    past: Counts,
    /// What was counted when the last report was made.
    reported: Counts,
    /// The middle of the last sender report's NTP time, and when it came.
    last_report: Option<(u32, Mono)>,
    far: Far,
    next: Option<Mono>,
    random: u64,
}

/// What was sent.
#[derive(Clone, Debug, Default)]
struct Sent {
    packets: u64,
    octets: u64,
    /// Timestamp of the last packet, and when it went out.
    last: Option<(u32, Mono)>,
    numbers: Option<SequenceTracker>,
    first: u16,
    /// Packets sent when the last report was made.
    reported: u64,
}

/// What the far side reported about what was sent.
#[derive(Clone, Debug, Default)]
struct Far {
    block: Option<ReportBlock>,
    /// Numbers that were never sent, by the time of that block: a relay passes the gaps of its source on.
    gaps: u64,
    counts: Counts,
    round_trip: Option<Duration>,
}

/// What a session has measured so far.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub struct Measured {
    /// Of what came in.
    pub inward: Counts,
    /// Of what was sent, as far as the far side has reported on it.
    pub outward: Counts,
    /// Packets sent.
    pub sent: u64,
    /// Interarrival jitter of what comes in.
    pub jitter: Duration,
    /// The same at the far side, if it reports.
    pub far_jitter: Option<Duration>,
    /// To the far side and back, if it reports.
    pub round_trip: Option<Duration>,
}

impl Session {
    /// A session of a source of ours. `wall` is the wall clock at `Mono::ZERO`; the seed makes the canonical name, which
    /// tells nothing (RFC 7022 §4.2), and the spacing of reports.
    pub fn new(ssrc: u32, wall: Wall, seed: [u8; 16]) -> Session {
        let mut cname = [0u8; CNAME];
        for (digit, byte) in cname.iter_mut().zip(seed) {
            *digit = b'a' + byte % 26;
        }
        Session {
            ssrc,
            cname,
            epoch: ntp_of(wall),
            clock_rate: 8_000,
            sent: Sent::default(),
            heard: None,
            past: Counts::default(),
            reported: Counts::default(),
            last_report: None,
            far: Far::default(),
            next: None,
            random: u64::from_le_bytes(*seed.first_chunk().unwrap_or(&[1; 8])) | 1,
        }
    }

    /// Media was agreed on, at first or anew.
    pub fn agree(&mut self, now: Mono, clock_rate: u32) {
        if clock_rate != self.clock_rate {
            self.clock_rate = clock_rate.max(1);
            self.forget_source();
        }
        if self.next.is_none() {
            let random = self.draw();
            self.next = Some(now + interval(true, random));
        }
    }

    /// An RTP packet of ours goes out, before it is protected.
    pub fn note_sent(&mut self, now: Mono, packet: &[u8]) {
        let [_, _, s0, s1, t0, t1, t2, t3, ..] = *packet else {
            return;
        };
        let sequence = u16::from_be_bytes([s0, s1]);
        let sent = &mut self.sent;
        let numbers = sent.numbers.get_or_insert_with(|| {
            sent.first = sequence;
            SequenceTracker::new(sequence)
        });
        // Ours never jump.
        let is_late = matches!(numbers.follow(sequence), Step::Late { .. }) && sent.packets > 0;
        sent.packets += 1;
        sent.octets += packet.len().saturating_sub(HEADER) as u64;
        if !is_late {
            sent.last = Some((u32::from_be_bytes([t0, t1, t2, t3]), now));
        }
    }

    /// An RTP packet of the far side came. `timed` packets carry the moment in their timestamp.
    pub fn note_received(
        &mut self,
        now: Mono,
        ssrc: u32,
        sequence: u16,
        timestamp: u32,
        timed: bool,
    ) {
        if let Some(heard) = &mut self.heard
            && heard.ssrc == ssrc
            && heard.note(now, sequence, timestamp, timed)
        {
            return;
        }
        self.forget_source();
        let mut heard = Reception::new(now, ssrc, sequence, self.clock_rate);
        heard.note(now, sequence, timestamp, timed);
        self.heard = Some(heard);
    }

    /// A compound packet of the far side came.
    pub fn hear(&mut self, now: Mono, datagram: &[u8]) -> Result<(), RtcpError> {
        for packet in compound(datagram)? {
            let blocks = match packet {
                Packet::SenderReport { info, blocks, .. } => {
                    self.last_report = Some(((info.ntp >> 16) as u32, now));
                    blocks
                }
                Packet::ReceiverReport { blocks, .. } => blocks,
                _ => continue,
            };
            for block in blocks {
                if block.ssrc == self.ssrc {
                    self.take_block(now, block);
                }
            }
        }
        Ok(())
    }

    /// Writes a report if one is due; its length.
    pub fn report(&mut self, now: Mono, target: &mut [u8]) -> Option<usize> {
        if self.next.is_none_or(|next| now < next) {
            return None;
        }
        let random = self.draw();
        self.next = Some(now + interval(false, random));
        // Before anything was sent or heard there is nothing to say.
        if self.sent.packets == 0 && self.heard.is_none() {
            return None;
        }
        self.write(now, target, false)
    }

    /// Writes the last report, with the farewell; `None` when nothing was ever sent or heard.
    pub fn farewell(&mut self, now: Mono, target: &mut [u8]) -> Option<usize> {
        if self.sent.packets == 0 && self.heard.is_none() {
            return None;
        }
        self.write(now, target, true)
    }

    /// What was measured so far.
    pub fn measured(&self) -> Measured {
        let far_jitter = self.far.block.map(|block| {
            Duration::from_micros(u64::from(block.jitter) * 1_000_000 / u64::from(self.clock_rate))
        });
        Measured {
            inward: self.inward(),
            outward: self.far.counts,
            sent: self.sent.packets,
            jitter: self
                .heard
                .as_ref()
                .map_or(Duration::ZERO, Reception::jitter_time),
            far_jitter,
            round_trip: self.far.round_trip,
        }
    }

    fn inward(&self) -> Counts {
        match &self.heard {
            Some(heard) => self.past.plus(heard.counts()),
            None => self.past,
        }
    }

    fn forget_source(&mut self) {
        self.past = self.inward();
        self.heard = None;
        self.reported = self.past;
    }

    fn write(&mut self, now: Mono, target: &mut [u8], bye: bool) -> Option<usize> {
        let info = (self.sent.packets > self.sent.reported).then(|| self.sender_info(now));
        self.sent.reported = self.sent.packets;
        let block = self.heard.as_ref().map(|heard| self.block(now, heard));
        self.reported = self.inward();
        Report {
            ssrc: self.ssrc,
            info,
            block,
            cname: &self.cname,
            bye,
        }
        .write(target)
    }

    fn sender_info(&self, now: Mono) -> SenderInfo {
        let timestamp = self.sent.last.map_or(0, |(timestamp, at)| {
            let passed = now.since(at).as_micros() * u128::from(self.clock_rate) / 1_000_000;
            timestamp.wrapping_add(passed as u32)
        });
        SenderInfo {
            ntp: self.ntp(now),
            timestamp,
            packets: self.sent.packets as u32,
            octets: self.sent.octets as u32,
        }
    }

    fn block(&self, now: Mono, heard: &Reception) -> ReportBlock {
        let lately = self.inward().since(self.reported);
        let lost = lately.lost().max(0) as u64;
        let fraction = match lately.expected {
            0 => 0,
            expected => (lost * 256 / expected).min(255) as u8,
        };
        let (last_report, since) = self.last_report.map_or((0, 0), |(middle, at)| {
            let passed = now.since(at).as_micros() * 65_536 / 1_000_000;
            (middle, u32::try_from(passed).unwrap_or(u32::MAX))
        });
        ReportBlock {
            ssrc: heard.ssrc,
            fraction_lost: fraction,
            lost: heard.counts().lost().clamp(-0x80_0000, 0x7f_ffff) as i32,
            highest: heard.highest(),
            jitter: heard.jitter(),
            last_report,
            since_last_report: since,
        }
    }

    fn take_block(&mut self, now: Mono, block: ReportBlock) {
        if block.last_report != 0 {
            let middle = (self.ntp(now) >> 16) as u32;
            let units = middle
                .wrapping_sub(block.last_report)
                .wrapping_sub(block.since_last_report);
            // A little below zero by rounding is zero; far off is a broken clock.
            let units = if units > u32::MAX - (1 << 16) {
                0
            } else {
                units
            };
            let round_trip = Duration::from_micros(u64::from(units) * 1_000_000 / 65_536);
            if round_trip < LONGEST_ROUND_TRIP {
                self.far.round_trip = Some(round_trip);
            }
        }
        let Some(numbers) = &self.sent.numbers else {
            return;
        };
        let gaps = (numbers.highest() - numbers.first() + 1).saturating_sub(self.sent.packets);
        let (highest, lost) = match self.far.block {
            Some(before) => (before.highest, before.lost),
            None => (u32::from(self.sent.first).wrapping_sub(1), 0),
        };
        let expected = block.highest.wrapping_sub(highest);
        if expected < FURTHEST {
            let skipped = gaps.saturating_sub(self.far.gaps) as i64;
            let lost = (i64::from(block.lost) - i64::from(lost) - skipped).max(0) as u64;
            let expected = u64::from(expected).saturating_sub(skipped as u64);
            self.far.counts = self.far.counts.plus(Counts {
                expected,
                received: expected.saturating_sub(lost),
                late: 0,
            });
        }
        self.far.gaps = gaps;
        self.far.block = Some(block);
    }

    fn ntp(&self, now: Mono) -> u64 {
        let micros = u128::from(now.as_micros());
        self.epoch.wrapping_add(((micros << 32) / 1_000_000) as u64)
    }

    /// Good enough for spacing reports (xorshift).
    fn draw(&mut self) -> u32 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 32) as u32
    }
}

/// NTP time: seconds since 1900-01-01 and 2^-32 of a second (RFC 5905 §6).
fn ntp_of(wall: Wall) -> u64 {
    let micros = i128::from(wall.as_micros()) + TO_1900 * 1_000_000;
    ((micros << 32) / 1_000_000) as u64
}

/// Characters of a canonical name: 75 bits of chance.
const CNAME: usize = 16;
/// Seconds from 1900 to 1970.
const TO_1900: i128 = 2_208_988_800;
/// A round trip beyond this is not believed.
const LONGEST_ROUND_TRIP: Duration = Duration::from_secs(30);
/// Numbers between two reports beyond this are not believed.
const FURTHEST: u32 = 1 << 20;

#[cfg(test)]
mod tests;
