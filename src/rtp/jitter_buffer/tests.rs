mod recorded;

use proptest::prelude::*;

use super::*;

/// A sender, a network and a player in virtual time; what is heard is the number of the packet that a tick came from.
struct Line {
    buffer: JitterBuffer,
    clock_rate: u32,
    packet_ms: u32,
    /// Taken and not heard yet.
    pending: u32,
    heard: Vec<u32>,
    lost_ticks: u64,
    nothing_ticks: u64,
    /// Ticks cut out and put in.
    cut: u64,
    put: u64,
    most: usize,
    longest_delay: i64,
}

impl Line {
    fn new(clock_rate: u32, packet_ms: u32) -> Line {
        Line {
            buffer: JitterBuffer::new(clock_rate, 50, 200),
            clock_rate,
            packet_ms,
            pending: 0,
            heard: Vec::new(),
            lost_ticks: 0,
            nothing_ticks: 0,
            cut: 0,
            put: 0,
            most: 0,
            longest_delay: 0,
        }
    }

    fn packet_ticks(&self) -> u32 {
        self.clock_rate / 1000 * self.packet_ms
    }

    fn send(&mut self, at: u64, number: u32) -> Kept {
        self.send_as(at, number, number * self.packet_ticks(), 7)
    }

    fn send_as(&mut self, at: u64, number: u32, timestamp: u32, ssrc: u32) -> Kept {
        self.buffer.insert(
            Mono::from_micros(at),
            Arrived {
                sequence: (number as u16).wrapping_add(65_500),
                timestamp: timestamp.wrapping_add(u32::MAX - 5000),
                ssrc,
                marker: false,
                kind: 0,
                payload: &number.to_be_bytes(),
            },
        )
    }

    /// 20 ms are heard at `at`.
    fn beat(&mut self, at: u64) {
        let now = Mono::from_micros(at);
        let frame = self.clock_rate / 50;
        let tenth = frame / 4;
        self.most = self.most.max(self.buffer.len());
        if self.buffer.mode == Mode::Playing && self.buffer.starved == 0 {
            let delay = self.buffer.delay_micros(now, self.pending);
            self.longest_delay = self.longest_delay.max(delay);
        }
        while self.pending < frame {
            let ticks = self.packet_ticks();
            let pace = self.buffer.pace(now);
            match self.buffer.take(now, frame - self.pending) {
                Take::Packet(packet) => {
                    let number = u32::from_be_bytes(packet.payload.try_into().unwrap());
                    self.heard.push(number);
                    self.buffer.lasted(ticks);
                    self.pending += ticks;
                    match pace {
                        Pace::Faster | Pace::MuchFaster => {
                            self.pending -= tenth.min(self.pending);
                            self.cut += u64::from(tenth);
                        }
                        Pace::Slower => {
                            self.pending += tenth;
                            self.put += u64::from(tenth);
                        }
                        Pace::Steady => {}
                    }
                }
                Take::Lost { ticks, .. } => {
                    self.lost_ticks += u64::from(ticks);
                    self.pending += ticks;
                }
                Take::Nothing => {
                    self.nothing_ticks += u64::from(frame - self.pending);
                    self.pending = frame;
                }
            }
        }
        self.pending -= frame;
    }

    /// Plays `arrivals` (time, number), which need not be sorted, until a second after the last.
    fn play(&mut self, arrivals: &mut [(u64, u32)]) {
        arrivals.sort_by_key(|&(at, number)| (at, number));
        let end = arrivals.last().map_or(0, |&(at, _)| at) + 1_000_000;
        let mut coming = arrivals.iter().peekable();
        let mut at = 0;
        while at < end {
            while let Some(&(arrival, number)) = coming.next_if(|&&(arrival, _)| arrival <= at) {
                self.send(arrival, number);
            }
            self.beat(at);
            at += 20_000;
        }
    }

    fn is_in_order(&self) -> bool {
        self.heard.windows(2).all(|pair| pair[0] < pair[1])
    }
}

/// Reproducible noise.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) % bound.max(1)
    }
}

#[test]
fn a_steady_stream_is_played_whole_with_little_delay() {
    for (clock_rate, packet_ms) in [
        (8000, 20),
        (8000, 10),
        (8000, 60),
        (48_000, 20),
        (16_000, 30),
    ] {
        let mut line = Line::new(clock_rate, packet_ms);
        let count = 3000;
        let mut arrivals: Vec<_> = (0..count)
            .map(|n| (3_000 + u64::from(n * packet_ms) * 1000, n))
            .collect();
        line.play(&mut arrivals);
        assert_eq!(line.heard.len(), count as usize, "{packet_ms}");
        assert!(line.is_in_order());
        assert_eq!((line.lost_ticks, line.cut), (0, 0), "{packet_ms}");
        // Packets and beats of unlike length want a little more delay than the first packet found.
        let most = if packet_ms == 20 { 0 } else { clock_rate / 50 };
        assert!(line.put <= u64::from(most), "{packet_ms}");
        assert!(line.longest_delay <= 45_000, "{}", line.longest_delay);
    }
}

#[test]
fn jitter_is_evened_out() {
    let mut line = Line::new(8000, 20);
    let mut dice = Dice(1);
    let mut arrivals: Vec<_> = (0..15_000)
        .map(|n| (u64::from(n) * 20_000 + dice.below(60_000), n))
        .collect();
    line.play(&mut arrivals);
    let tally = line.buffer.tally();
    // What came too late in the first moments, and the rare one after.
    assert!(tally.late + line.lost_ticks / 160 < 150, "{tally:?}");
    assert!(line.heard.len() > 14_800);
    assert!(line.is_in_order());
    assert!(line.longest_delay < 130_000, "{}", line.longest_delay);
    assert!(line.most < 10);
}

#[test]
fn packets_that_overtake_each_other_are_put_in_order() {
    let mut line = Line::new(8000, 20);
    // Each fourth one comes 50 ms late, behind two others.
    let mut arrivals: Vec<_> = (0..5000)
        .map(|n| {
            (
                u64::from(n) * 20_000 + if n % 4 == 2 { 50_000 } else { 0 },
                n,
            )
        })
        .collect();
    line.play(&mut arrivals);
    assert!(line.is_in_order());
    assert!(line.heard.len() > 4980, "{}", line.heard.len());
}

#[test]
fn what_is_lost_is_told_and_time_goes_on() {
    let mut line = Line::new(8000, 20);
    let mut dice = Dice(3);
    let mut arrivals: Vec<_> = (0..10_000u32)
        .filter(|_| dice.below(10) != 0)
        .map(|n| (u64::from(n) * 20_000, n))
        .collect();
    let sent = arrivals.len();
    line.play(&mut arrivals);
    assert_eq!(line.heard.len(), sent);
    let lost = (10_000 - sent as u64) * 160;
    let filled = line.lost_ticks + line.buffer.tally().starved_ticks;
    assert!(filled.abs_diff(lost) < 160 * 20, "{filled} {lost}");
    assert!(line.longest_delay < 60_000, "{}", line.longest_delay);
}

#[test]
fn the_packet_after_a_loss_may_know_what_was_lost() {
    let mut line = Line::new(8000, 20);
    for n in [0u32, 1, 2, 4, 5, 8, 9] {
        line.send(u64::from(n) * 20_000, n);
    }
    let mut told = Vec::new();
    let mut at = 30_000;
    while line.heard.len() < 7 && at < 1_000_000 {
        match line.buffer.take(Mono::from_micros(at), 160) {
            Take::Packet(packet) => {
                line.heard
                    .push(u32::from_be_bytes(packet.payload.try_into().unwrap()));
                line.buffer.lasted(160);
            }
            Take::Lost { ticks, next } => told.push((
                ticks,
                next.map(|next| u32::from_be_bytes(next.payload.try_into().unwrap())),
            )),
            Take::Nothing => {}
        }
        at += 20_000;
    }
    assert_eq!(line.heard, [0, 1, 2, 4, 5, 8, 9]);
    assert_eq!(told, [(160, Some(4)), (160, None), (160, Some(8))]);
}

#[test]
fn a_burst_after_a_stall_does_not_stay() {
    let mut line = Line::new(8000, 20);
    let mut arrivals: Vec<_> = (0..6000u32)
        .map(|n| {
            let sent = u64::from(n) * 20_000;
            // A quarter of a second nothing, then all at once.
            let stalled = (20_000_000..20_250_000).contains(&sent);
            (if stalled { 20_250_000 } else { sent }, n)
        })
        .collect();
    line.play(&mut arrivals);
    assert!(line.is_in_order());
    assert!(line.heard.len() >= 5995, "{}", line.heard.len());
    assert!(line.cut > 0);
    let end = Mono::from_micros(119_990_000);
    assert!(line.buffer.delay_micros(end, line.pending) < 60_000);
}

#[test]
fn a_flood_is_bounded() {
    let mut buffer = JitterBuffer::new(8000, 50, 200);
    for n in 0..10_000u32 {
        let arrived = Arrived {
            sequence: n as u16,
            timestamp: n * 160,
            ssrc: 1,
            marker: false,
            kind: 0,
            payload: &[1; 160],
        };
        buffer.insert(Mono::from_micros(1000), arrived);
        assert!(buffer.len() <= 50);
    }
    let mut taken = 0;
    while let Take::Packet(_) = buffer.take(Mono::from_micros(900_000), 160) {
        taken += 1;
    }
    assert!(taken <= 50);
}

/// An hour of a sender whose clock is wrong by `ppm`: its numbers begin again twice.
fn skewed(ppm: i64) -> Line {
    let mut line = Line::new(8000, 20);
    let hour = 3600 * 1_000_000u64;
    let mut dice = Dice(9);
    let (mut number, mut at) = (0u32, 0u64);
    let mut next_arrival = 0u64;
    let mut late_delays = 0i64;
    while at < hour {
        while next_arrival <= at {
            line.send(next_arrival.min(at), number);
            number += 1;
            let sent = u64::from(number) * 20_000;
            let drift = (sent as i64 * ppm / 1_000_000) as u64;
            next_arrival = sent.wrapping_sub(drift) + dice.below(8_000);
        }
        line.beat(at);
        if at > 10_000_000 {
            let delay = line
                .buffer
                .delay_micros(Mono::from_micros(at), line.pending);
            late_delays = late_delays.max(delay);
            assert!(line.buffer.len() < 6, "{}", line.buffer.len());
        }
        if line.heard.len() > 1000 {
            line.heard.drain(..990);
        }
        at += 20_000;
    }
    assert!(late_delays < 70_000, "{late_delays}");
    line
}

#[test]
fn an_hour_of_a_fast_clock() {
    let line = skewed(200);
    // 0.72 s came too much and were cut out in small pieces.
    let cut = line.cut as f64 / 8000.0;
    assert!((0.67..0.8).contains(&cut), "{cut}");
    assert_eq!(line.buffer.tally().late, 0);
    assert!(line.lost_ticks == 0 && line.put == 0);
}

#[test]
fn an_hour_of_a_slow_clock() {
    let line = skewed(-200);
    let put = (line.put + line.nothing_ticks) as f64 / 8000.0;
    assert!((0.67..0.8).contains(&put), "{put}");
    assert_eq!(line.buffer.tally().late, 0);
    // A clock that is slow makes nobody wait in vain.
    assert!(line.nothing_ticks < 2000, "{}", line.nothing_ticks);
    assert!(line.lost_ticks == 0 && line.cut == 0);
}

#[test]
fn a_sender_that_begins_anew_goes_on() {
    let mut line = Line::new(8000, 20);
    let mut at = 0;
    for n in 0..100u32 {
        line.send(at, n);
        line.beat(at + 1000);
        at += 20_000;
    }
    // Another SSRC, numbers and time of its own.
    for n in 100..200u32 {
        line.send_as(at, n + 20_000, 0x4000_0000 + n * 160, 8);
        line.beat(at + 1000);
        at += 20_000;
    }
    // The same one with numbers that jump.
    for n in 200..300u32 {
        line.send_as(at, n + 50_000, 0x7000_0000 + n * 160, 8);
        line.beat(at + 1000);
        at += 20_000;
    }
    for _ in 0..10 {
        line.beat(at);
        at += 20_000;
    }
    assert_eq!(line.heard.len(), 300);
    assert!(line.longest_delay < 60_000, "{}", line.longest_delay);
    assert!(line.nothing_ticks < 160 * 20);
}

#[test]
fn a_pause_of_the_talker_is_no_loss() {
    let mut line = Line::new(8000, 20);
    let mut numbers = 0u32;
    let mut at = 0u64;
    let mut dice = Dice(4);
    for talk in 0..40u64 {
        let pause = 200 + talk * 40;
        for _ in 0..50 {
            line.send_as(at + dice.below(5000), numbers, (at / 125) as u32, 7);
            numbers += 1;
            line.beat(at + 6000);
            at += 20_000;
        }
        for _ in 0..pause / 20 {
            line.beat(at + 6000);
            at += 20_000;
        }
    }
    for _ in 0..10 {
        line.beat(at + 6000);
        at += 20_000;
    }
    assert_eq!(line.heard.len(), 2000);
    assert_eq!(line.lost_ticks, 0);
    assert_eq!(line.buffer.tally().late, 0);
    assert!(line.longest_delay < 80_000, "{}", line.longest_delay);
}

#[test]
fn what_is_left_can_be_taken_in_order() {
    let mut line = Line::new(8000, 20);
    for n in [3u32, 0, 2, 5] {
        line.send(100, n);
    }
    let mut left = Vec::new();
    while let Some(packet) = line.buffer.drain() {
        left.push((packet.sequence, packet.payload[3]));
    }
    assert_eq!(left, [(65_500, 0), (65_502, 2), (65_503, 3), (65_505, 5)]);
    assert!(line.buffer.is_empty());
    assert_eq!(line.send(200, 4), Kept::Late);
    assert_eq!(line.send(200, 6), Kept::Kept);
}

#[test]
fn unfit_and_double_packets_are_told() {
    let mut buffer = JitterBuffer::new(8000, 8, 4);
    let mut put = |sequence, payload: &[u8]| {
        buffer.insert(
            Mono::ZERO,
            Arrived {
                sequence,
                timestamp: 0,
                ssrc: 0,
                marker: false,
                kind: 0,
                payload,
            },
        )
    };
    assert_eq!(put(1, &[]), Kept::Unfit);
    assert_eq!(put(1, &[0; 5]), Kept::Unfit);
    assert_eq!(put(1, &[0; 4]), Kept::Kept);
    assert_eq!(put(1, &[0; 4]), Kept::Duplicate);
}

proptest! {
    /// Whatever comes when: nothing is played twice or out of order within a stream, nothing grows, time goes on.
    #[test]
    fn any_arrivals_are_survived(
        clock_rate in prop_oneof![Just(8000u32), Just(48_000)],
        packets in proptest::collection::vec(
            (0u64..40_000, -3i32..6, any::<bool>(), 0u32..4), 1..400),
        jumps in proptest::collection::vec((0usize..400, any::<u16>(), any::<u32>()), 0..4),
    ) {
        let mut buffer = JitterBuffer::new(clock_rate, 20, 8);
        let mut at = 0u64;
        let (mut sequence, mut timestamp, mut ssrc) = (5u16, 9u32, 1u32);
        let frame = clock_rate / 50;
        let mut count = 0u64;
        for (n, (pause, step, beat, repeat)) in packets.into_iter().enumerate() {
            at += pause;
            sequence = sequence.wrapping_add(step as u16);
            timestamp = timestamp.wrapping_add((step * frame as i32) as u32);
            for (when, jump, other) in &jumps {
                if *when == n {
                    (sequence, timestamp) = (*jump, *other);
                    ssrc = ssrc.wrapping_add(other & 1);
                }
            }
            for _ in 0..=repeat / 3 {
                count += 1;
                buffer.insert(Mono::from_micros(at), Arrived {
                    sequence, timestamp, ssrc, marker: false, kind: 0, payload: &[1],
                });
            }
            prop_assert!(buffer.len() <= 20);
            if beat {
                let mut filled = 0;
                let mut turns = 0;
                while filled < frame {
                    turns += 1;
                    prop_assert!(turns < 50);
                    match buffer.take(Mono::from_micros(at), frame - filled) {
                        Take::Packet(_) => { buffer.lasted(frame); filled += frame; }
                        Take::Lost { ticks, .. } => { prop_assert!(ticks >= 1); filled += ticks; }
                        Take::Nothing => filled = frame,
                    }
                }
            }
        }
        let tally = buffer.tally();
        prop_assert_eq!(tally.received, count);
        let known = tally.played + tally.duplicate + tally.overflowed + tally.unfit + buffer.len() as u64;
        prop_assert!(known <= count);
        prop_assert_eq!(known + tally.late, count);
    }

    /// Random delays and losses: what is heard is in order, each packet once, and the buffer does not grow.
    #[test]
    fn any_network_is_heard_in_order(
        seed: u64, jitter in 1u64..150_000, loss in 0u64..40, packet_ms in prop_oneof![Just(10u32), Just(20), Just(40)]
    ) {
        let mut dice = Dice(seed);
        let mut line = Line::new(8000, packet_ms);
        let mut arrivals = Vec::new();
        for n in 0..1500u32 {
            if dice.below(100) >= loss {
                arrivals.push((u64::from(n * packet_ms) * 1000 + dice.below(jitter), n));
            }
        }
        line.play(&mut arrivals);
        prop_assert!(line.is_in_order());
        prop_assert!(line.longest_delay < 2 * jitter as i64 + 120_000, "{}", line.longest_delay);
        let late = line.buffer.tally().late as usize;
        prop_assert_eq!(line.heard.len() + late, arrivals.len());
        prop_assert!(late * 10 <= arrivals.len(), "{} of {}", late, arrivals.len());
    }
}
