use super::*;
use crate::sdp::negotiate::Codec;
use proptest::prelude::*;

const START: u64 = 1_000_000;
const LEG: LegId = LegId::from_u128(1);

fn at_ms(ms: i64) -> Mono {
    Mono::from_micros(START.saturating_add_signed(ms * 1_000))
}

fn timeline() -> Timeline {
    let mut timeline = Timeline::new(at_ms(0), Layout::Mono, 8_000);
    timeline.attach(LEG, Side::Left);
    timeline
}

fn header(arrival_ms: i64, timestamp: u32, ssrc: u32) -> TapHeader {
    TapHeader {
        arrival: at_ms(arrival_ms),
        timestamp,
        ssrc,
        codec: Codec::Pcma,
    }
}

/// A packet of 20 ms whose samples all say `value`.
fn packet(timeline: &mut Timeline, arrival_ms: i64, timestamp: u32, value: i16) {
    timeline.push(LEG, &header(arrival_ms, timestamp, 7), &[value; 160]);
}

fn all(timeline: &mut Timeline, until_ms: i64) -> Vec<i16> {
    let mut frames = Vec::new();
    timeline.pull(until_ms * 8, &mut frames);
    frames
}

/// Runs of one value: (value, milliseconds).
fn runs(samples: &[i16]) -> Vec<(i16, usize)> {
    let mut runs: Vec<(i16, usize)> = Vec::new();
    for &sample in samples {
        match runs.last_mut() {
            Some((value, length)) if *value == sample => *length += 1,
            _ => runs.push((sample, 1)),
        }
    }
    runs.into_iter().map(|(value, n)| (value, n / 8)).collect()
}

#[test]
fn packets_follow_their_timestamps_whatever_the_jitter() {
    let mut timeline = timeline();
    for (n, jitter) in [0i64, 35, 2, 60, 0, 17, -10, 0].into_iter().enumerate() {
        let timestamp = (u32::MAX - 500).wrapping_add(n as u32 * 160);
        packet(
            &mut timeline,
            100 + n as i64 * 20 + jitter,
            timestamp,
            1_000 + n as i16,
        );
    }
    let mut expected = vec![(0, 100)];
    expected.extend((0..8).map(|n| (1_000 + n, 20)));
    expected.push((0, 140));
    assert_eq!(runs(&all(&mut timeline, 400)), expected);
    assert_eq!(timeline.dropped(), 0);
}

#[test]
fn loss_is_silence_reordering_is_mended_repeats_are_left_out() {
    let mut timeline = timeline();
    for (arrival, n) in [(0, 0), (40, 2), (41, 1), (42, 1), (43, 2), (80, 4)] {
        packet(&mut timeline, arrival, n * 160, 1_000 + n as i16);
    }
    assert_eq!(
        runs(&all(&mut timeline, 100)),
        [(1_000, 20), (1_001, 20), (1_002, 20), (0, 20), (1_004, 20)]
    );
    assert_eq!(timeline.dropped(), 2);
}

#[test]
fn what_comes_after_its_time_was_written_is_cut_or_dropped() {
    let mut timeline = timeline();
    packet(&mut timeline, 0, 0, 1_000);
    assert_eq!(all(&mut timeline, 30).len(), 240);
    packet(&mut timeline, 300, 160, 2_000);
    assert_eq!(runs(&all(&mut timeline, 50)), [(2_000, 10), (0, 10)]);
}

#[test]
fn a_new_source_starts_at_its_arrival() {
    let mut timeline = timeline();
    timeline.push(LEG, &header(0, 5_000, 1), &[1_000; 160]);
    timeline.push(LEG, &header(100, 77, 2), &[2_000; 160]);
    timeline.push(LEG, &header(125, 237, 2), &[2_001; 160]);
    // The next one comes a little early: not over what was there.
    timeline.push(LEG, &header(138, 9, 3), &[3_000; 160]);
    assert_eq!(
        runs(&all(&mut timeline, 160)),
        [(1_000, 20), (0, 80), (2_000, 20), (2_001, 20), (3_000, 20)]
    );
}

#[test]
fn a_jump_of_timestamps_is_believed_when_it_goes_on() {
    let mut timeline = timeline();
    packet(&mut timeline, 0, 0, 1_000);
    packet(&mut timeline, 20, 900_000, 5_000);
    packet(&mut timeline, 40, 320, 1_002);
    packet(&mut timeline, 60, 2_000_000, 2_000);
    packet(&mut timeline, 80, 2_000_160, 2_001);
    packet(&mut timeline, 100, 2_000_320, 2_002);
    assert_eq!(
        runs(&all(&mut timeline, 120)),
        [
            (1_000, 20),
            (0, 20),
            (1_002, 20),
            (2_000, 20),
            (2_001, 20),
            (2_002, 20)
        ]
    );
}

#[test]
fn after_a_pause_arrivals_count_again() {
    let mut timeline = timeline();
    packet(&mut timeline, 0, 0, 1_000);
    // A phone that freezes its timestamps while it is held …
    packet(&mut timeline, 3_000, 160, 2_000);
    // … and a talk spurt 50 ms off after 500 ms.
    packet(&mut timeline, 3_570, 160 + 520 * 8, 3_000);
    assert_eq!(
        runs(&all(&mut timeline, 3_600)),
        [
            (1_000, 20),
            (0, 2_980),
            (2_000, 20),
            (0, 550),
            (3_000, 20),
            (0, 10)
        ]
    );
}

/// Sends `seconds` from a clock that runs `ppm` too slow, loud but for 100 ms of each second; answers the largest offset
/// between arrival and place in the last second.
fn drifted(ppm: i64, seconds: i64) -> i64 {
    let mut timeline = timeline();
    let mut worst = 0;
    for n in 0..seconds * 50 {
        let arrival_us = n * 20_000 + n * 20_000 * ppm / 1_000_000;
        let value = if n % 50 < 5 { 0 } else { 1_000 };
        let arrival = Mono::from_micros(START.saturating_add_signed(arrival_us));
        let header = TapHeader {
            arrival,
            timestamp: (n * 160) as u32,
            ssrc: 7,
            codec: Codec::Pcma,
        };
        timeline.push(LEG, &header, &[value; 160]);
        let position = timeline.streams[0].anchor.as_ref().unwrap().position;
        if n > (seconds - 1) * 50 {
            worst = worst.max((timeline.position(arrival) - position).abs());
        }
        timeline.pull(timeline.settled(arrival), &mut Vec::new());
    }
    assert_eq!(timeline.dropped(), 0);
    worst
}

#[test]
fn a_clock_that_runs_away_is_followed_in_silence() {
    for ppm in [300, -300] {
        let worst = drifted(ppm, 600);
        assert!(worst <= 25 * 8, "{ppm}: {worst}");
    }
}

#[test]
fn speech_is_not_broken_by_a_lasting_delay_below_the_hold() {
    let mut timeline = timeline();
    let mut frames = Vec::new();
    for n in 0..500i64 {
        let delay = if n > 100 { 150 } else { 0 };
        packet(&mut timeline, n * 20 + delay, (n * 160) as u32, 1_000);
        timeline.pull((n * 20 + delay - 200) * 8, &mut frames);
    }
    timeline.pull(80_000, &mut frames);
    assert_eq!(runs(&frames), [(1_000, 10_000)]);
}

#[test]
fn a_lasting_delay_beyond_the_hold_costs_a_moment_only() {
    let mut timeline = timeline();
    let mut frames = Vec::new();
    for n in 0..200i64 {
        let now = n * 20 + if n >= 100 { 600 } else { 0 };
        packet(&mut timeline, now, (n * 160) as u32, 1_000);
        timeline.pull((now - 200) * 8, &mut frames);
    }
    timeline.pull(8 * 4_600, &mut frames);
    let heard = frames.iter().filter(|&&sample| sample != 0).count() / 160;
    assert_eq!(heard, 196);
}

/// Packets that say who they are: 1,000 and their number.
fn numbered(timeline: &mut Timeline, arrival_ms: i64, numbers: std::ops::Range<u32>) {
    for n in numbers {
        packet(timeline, arrival_ms, n * 160, 1_000 + n as i16);
    }
}

/// Every 20 ms is silence or the packet that belongs there, `late_ms` after its place.
fn assert_own_places(samples: &[i16], late_ms: usize) -> usize {
    let mut stored = 0;
    for (n, part) in samples[late_ms * 8..].chunks_exact(160).enumerate() {
        let own = [0, 1_000 + n as i16];
        assert!(
            own.contains(&part[0]) && part.iter().all(|s| *s == part[0]),
            "{n}: {part:?}"
        );
        stored += usize::from(part[0] != 0);
    }
    stored
}

#[test]
fn what_was_held_up_and_comes_at_once_moves_nothing() {
    // For 700 ms nothing is read, then all of it, and half a second of that is written already.
    let mut timeline = timeline();
    for n in 0..50 {
        numbered(&mut timeline, i64::from(n) * 20, n..n + 1);
    }
    let mut frames = all(&mut timeline, 1_500);
    numbered(&mut timeline, 1_700, 50..85);
    for n in 85..150 {
        numbered(&mut timeline, i64::from(n) * 20, n..n + 1);
    }
    frames.extend(all(&mut timeline, 3_000));
    assert_eq!(assert_own_places(&frames, 0), 150 - 25);
}

#[test]
fn a_stream_that_begins_with_a_burst_is_never_laid_over_itself() {
    // What was sent in 600 ms comes at once, then a part is missing, and the rest comes in time: it was anchored late.
    let mut timeline = timeline();
    numbered(&mut timeline, 600, 0..20);
    for n in 31..60 {
        numbered(&mut timeline, i64::from(n) * 20, n..n + 1);
    }
    let frames = all(&mut timeline, 2_000);
    let runs = runs(&frames);
    assert!(runs.iter().all(|&(value, _)| value < 1_100), "{runs:?}");
    let heard: Vec<i16> = runs
        .iter()
        .map(|run| run.0)
        .filter(|&value| value > 0)
        .collect();
    let sent: Vec<i16> = (0..20).chain(31..60).map(|n| 1_000 + n).collect();
    assert_eq!(heard, sent);
}

#[test]
fn what_was_held_up_for_seconds_is_never_laid_over_itself() {
    // For 2.8 s nothing comes; then all of it, of which a second is taken, and the rest in time.
    let mut timeline = timeline();
    for n in 0..8 {
        numbered(&mut timeline, i64::from(n) * 20, n..n + 1);
    }
    let mut frames = all(&mut timeline, 2_900);
    numbered(&mut timeline, 2_960, 8..148);
    for n in 148..400 {
        numbered(&mut timeline, i64::from(n) * 20, n..n + 1);
        frames.extend(all(&mut timeline, i64::from(n) * 20 - HOLD_MS));
    }
    frames.extend(all(&mut timeline, 9_500));
    let runs = runs(&frames);
    let heard: Vec<i16> = runs.iter().map(|run| run.0).filter(|&v| v > 0).collect();
    assert!(runs.iter().all(|&(value, _)| value < 1_400), "{runs:?}");
    assert!(heard.is_sorted_by(|a, b| a < b), "{heard:?}");
    assert!(heard.len() > 300, "{heard:?}");
    // What came in time is where it belongs to a second.
    let last = frames.iter().position(|&value| value == 1_399);
    assert!(
        last.is_some_and(|at| at.abs_diff(399 * 160) <= 8_000),
        "{last:?}"
    );
}

#[test]
fn stereo_keeps_sides_apart_and_mono_adds_them() {
    let other = LegId::from_u128(2);
    for (layout, expected) in [(Layout::Stereo, vec![3, 4]), (Layout::Mono, vec![7])] {
        let mut timeline = Timeline::new(at_ms(0), layout, 8_000);
        timeline.attach(LEG, Side::Left);
        timeline.attach(other, Side::Right);
        timeline.push(LEG, &header(0, 0, 1), &[3; 160]);
        timeline.push(other, &header(0, 0, 2), &[4; 160]);
        let mut frames = Vec::new();
        assert_eq!(timeline.pull(1, &mut frames), 1);
        assert_eq!(frames, expected);
    }
}

#[test]
fn a_side_may_change_its_leg() {
    let other = LegId::from_u128(2);
    let mut timeline = timeline();
    packet(&mut timeline, 0, 0, 1_000);
    timeline.detach(LEG);
    packet(&mut timeline, 20, 160, 1_001);
    timeline.attach(other, Side::Left);
    timeline.push(other, &header(60, 9, 7), &[2_000; 160]);
    assert_eq!(
        runs(&all(&mut timeline, 80)),
        [(1_000, 20), (0, 40), (2_000, 20)]
    );
}

/// Streams whose clocks run at other rates than the file.
#[test]
fn rates_of_clocks_and_files_differ() {
    for (codec, rate, ticks) in [
        (Codec::G722, 16_000, 160),
        (Codec::Opus, 16_000, 960),
        (Codec::Opus, 8_000, 960),
        (Codec::Pcma, 16_000, 160),
    ] {
        let samples = rate as usize / 50;
        let mut timeline = Timeline::new(at_ms(0), Layout::Mono, rate);
        timeline.attach(LEG, Side::Left);
        for (arrival, n) in [(100, 0u32), (140, 2), (141, 1), (160, 3), (200, 5)] {
            let header = TapHeader {
                arrival: at_ms(arrival),
                timestamp: n.wrapping_sub(2).wrapping_mul(ticks),
                ssrc: 7,
                codec,
            };
            timeline.push(LEG, &header, &vec![1_000 + n as i16; samples]);
        }
        let mut frames = Vec::new();
        timeline.pull(i64::from(rate) / 1_000 * 220, &mut frames);
        let per_ms = rate as usize / 1_000;
        let value = |ms: usize| frames[ms * per_ms];
        assert_eq!(
            [90, 110, 130, 150, 170, 190, 210].map(value),
            [0, 1_000, 1_001, 1_002, 1_003, 0, 1_005]
        );
        assert_eq!(frames[100 * per_ms - 1..100 * per_ms + 1], [0, 1_000]);
    }
}

#[test]
fn a_pause_covers_what_is_not_pulled_yet() {
    let mut timeline = timeline();
    for n in 0..10u32 {
        packet(&mut timeline, i64::from(n) * 20, n * 160, 1_000);
        if n == 4 {
            timeline.pause(50);
            timeline.pause(60);
        }
    }
    timeline.resume(130);
    timeline.resume(150);
    let mut frames = all(&mut timeline, 70);
    frames.extend(all(&mut timeline, 200));
    assert_eq!(runs(&frames), [(1_000, 50), (0, 80), (1_000, 70)]);
}

#[test]
fn room_is_exchanged_without_a_trace() {
    let mut bench = Workbench::default();
    let mut timeline = timeline();
    let mut frames = Vec::new();
    for n in 0..20u32 {
        timeline.exchange(&mut bench);
        packet(&mut timeline, i64::from(n) * 20, n * 160, 1_000);
        timeline.pull(i64::from(n) * 160 - 800, &mut frames);
        timeline.exchange(&mut bench);
        assert!(timeline.left.0.capacity() <= 1_000);
    }
    timeline.pull(400 * 8, &mut frames);
    assert_eq!(runs(&frames), [(1_000, 400)]);
}

#[test]
fn packets_from_before_the_beginning_are_cut() {
    let mut timeline = timeline();
    packet(&mut timeline, -5, 0, 1_000);
    packet(&mut timeline, 20, 160, 1_001);
    assert_eq!(
        runs(&all(&mut timeline, 40)),
        [(1_000, 15), (1_001, 20), (0, 5)]
    );
}

proptest! {
    /// Jitter and reordering up to 90 ms, repeats, and loss in short runs leave every received sample in its place.
    #[test]
    fn a_rough_network_leaves_no_trace(
        packets in proptest::collection::vec((0i64..90, 0u8..10, any::<bool>()), 1..300),
        base in any::<u32>(),
        first_jitter in 0i64..20,
    ) {
        let mut sent = Vec::new();
        let mut lost_run = 0;
        let mut expected = vec![0i16; packets.len() * 160];
        for (n, (jitter, loss, twice)) in packets.into_iter().enumerate() {
            if n > 0 && loss == 0 && lost_run < 5 {
                lost_run += 1;
                continue;
            }
            lost_run = 0;
            let value = 300 + (n % 1_000) as i16;
            expected[n * 160..(n + 1) * 160].fill(value);
            let delay = if n == 0 { first_jitter } else { 20 + jitter };
            sent.push((n as i64 * 20 + delay, n, value));
            if twice {
                sent.push((n as i64 * 20 + 105, n, value));
            }
        }
        sent.sort();
        let mut timeline = timeline();
        let mut frames = Vec::new();
        for (arrival, n, value) in sent {
            packet(&mut timeline, arrival, base.wrapping_add(n as u32 * 160), value);
            timeline.pull((arrival - 200) * 8, &mut frames);
        }
        let length = expected.len();
        timeline.pull((length as i64) + first_jitter * 8, &mut frames);
        prop_assert!(frames[first_jitter as usize * 8..] == expected[..]);
    }

    /// Whatever comes, the file has exactly the length that was asked for and the memory in between is bounded.
    #[test]
    fn nothing_makes_it_panic_or_grow(
        packets in proptest::collection::vec((0u64..3_000_000, any::<u32>(), 0u32..3, 0usize..400), 0..60),
    ) {
        let mut timeline = timeline();
        let mut frames = Vec::new();
        let mut now = 0;
        for (later, timestamp, ssrc, length) in packets {
            now += later / 1_000;
            let ms = i64::try_from(now).unwrap();
            // Now and then a timestamp near the last one's.
            let timestamp = if timestamp % 3 == 0 { timestamp } else { timestamp % 4_000 };
            timeline.push(LEG, &header(ms, timestamp, ssrc), &vec![1_000; length]);
            prop_assert!(timeline.left.0.len() <= 8 * MAX_AHEAD_MS as usize);
            timeline.pull((ms - 200) * 8, &mut frames);
        }
        let end = now as i64 * 8 + 1;
        timeline.pull(end, &mut frames);
        prop_assert_eq!(frames.len() as i64, end);
        prop_assert_eq!(timeline.taken(), end as u64);
    }
}
