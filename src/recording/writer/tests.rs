use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{Receiver, channel};

use super::*;
use crate::audio::{g711, goertzel, tone, wav};
use crate::ledger::clock::Wall;
use crate::ledger::id::{Name, VoicemailId};
use crate::ledger::journal::Entry;
use crate::ledger::recording::{Pause, Side};
use crate::media::tap::{TapHeader, TapWriter, tap};
use crate::recording::disk::{Disk, MOST_BACKLOG};
use crate::recording::repair::{complete, repair};
use crate::recording::samples;
use crate::recording::seal::Seal;
use crate::sdp::negotiate::Codec;

const RECORDING: RecordingId = RecordingId::from_u128(42);
const CALLER: LegId = LegId::from_u128(1);
const OPERATOR: LegId = LegId::from_u128(2);

fn now(ms: u64) -> Now {
    Now {
        mono: Mono::from_micros(5_000_000 + ms * 1_000),
        wall: Wall::from_micros(1_772_960_700_000_000 + ms as i64 * 1_000),
    }
}

fn begin(kind: RecordingKind) -> Box<Begin> {
    Box::new(Begin {
        recording: RECORDING,
        kind,
        mailbox: Some(Name::from("sales")),
        call: samples::call(7, Some("+79991234567"), Some("+74951000001")),
        wideband: false,
        opus: false,
    })
}

/// A writer in virtual time with what it told.
struct Rig {
    root: tempfile::TempDir,
    writer: Writer,
    disk: Disk,
    tasks: Receiver<Vec<Task>>,
    told: Receiver<Seal>,
}

impl Rig {
    fn new() -> Rig {
        let root = tempfile::tempdir().unwrap();
        let (seal, told) = channel();
        let backlog = Backlog::default();
        let (sender, tasks) = channel();
        let disk = Disk::new(root.path().to_owned(), seal, Arc::clone(&backlog));
        let writer = Writer::new(sender, backlog);
        Rig {
            root,
            writer,
            disk,
            tasks,
            told,
        }
    }

    fn begin(&mut self, kind: RecordingKind) -> RecordingRecord {
        self.take(Message::Begin(begin(kind), false, now(0)));
        self.begun()
    }

    /// As the thread does it.
    fn take(&mut self, message: Message) {
        self.writer.take(message);
        self.writer.tell_changes();
        self.write();
    }

    fn poll(&mut self, ms: u64) {
        self.writer.poll(now(ms).mono);
        self.write();
    }

    fn write(&mut self) {
        self.writer.hand_over();
        for task in self.tasks.try_iter().flatten() {
            self.disk.carry_out(task);
        }
    }

    fn begun(&mut self) -> RecordingRecord {
        match self.told.try_recv() {
            Ok(Seal::Begun(record)) => record,
            _ => panic!("not begun"),
        }
    }

    fn attach(&mut self, leg: LegId, side: Side) -> TapWriter {
        self.attach_at(0, leg, side, None)
    }

    fn attach_at(&mut self, ms: u64, leg: LegId, side: Side, operator: Option<&str>) -> TapWriter {
        let (writer, tap) = tap();
        let feed = Feed {
            leg,
            side,
            operator: operator.map(Name::from),
            tap,
        };
        self.take(Message::Attach(RECORDING, feed, now(ms).mono));
        writer
    }

    /// Both taps get 20 ms every 20 ms; the writer polls every 40 ms.
    fn talk(&mut self, from_ms: u64, to_ms: u64, taps: &mut [(&mut TapWriter, f64, Codec)]) {
        for at in (from_ms..to_ms).step_by(20) {
            for (index, (tap, frequency, codec)) in taps.iter_mut().enumerate() {
                let whole = tone::tone(&[*frequency], -6.0, to_ms as u32);
                let payload: Vec<u8> = whole[at as usize * 8..][..160]
                    .iter()
                    .map(|&sample| match codec {
                        Codec::Pcmu => g711::ulaw_encode(sample),
                        _ => g711::alaw_encode(sample),
                    })
                    .collect();
                let header = TapHeader {
                    arrival: now(at).mono,
                    timestamp: at as u32 * 8 + index as u32 * 90_000,
                    ssrc: index as u32,
                    codec: *codec,
                };
                assert!(tap.push(header, &payload));
            }
            if at % 40 == 0 {
                self.poll(at);
            }
        }
    }

    fn closed(&mut self) -> RecordingRecord {
        loop {
            match self.told.try_recv() {
                Ok(Seal::Changed(_)) => {}
                Ok(Seal::Closed(record)) => return complete(self.root.path(), &record).unwrap(),
                _ => panic!("not closed"),
            }
        }
    }

    fn channels(&self, record: &RecordingRecord) -> Vec<Vec<i16>> {
        read(&self.root.path().join(&record.path))
    }
}

fn read(path: &Path) -> Vec<Vec<i16>> {
    wav::read_channels(&fs::read(path).unwrap()).unwrap().1
}

/// Every 20 ms of it is this tone and nothing else.
fn assert_tone(samples: &[i16], frequency: f64) {
    for (n, part) in samples.chunks_exact(160).enumerate() {
        assert!(
            goertzel::share(part, frequency) > 0.99,
            "{frequency} Hz at {} ms",
            n * 20
        );
    }
}

#[test]
fn left_is_the_caller_and_right_the_operator_without_a_gap() {
    let mut rig = Rig::new();
    let begun = rig.begin(RecordingKind::Conversation);
    assert_eq!(begun.started_at, now(0).wall);
    let mut caller = rig.attach(CALLER, Side::Left);
    let mut operator = rig.attach(OPERATOR, Side::Right);
    rig.talk(
        0,
        5_000,
        &mut [
            (&mut caller, 450.0, Codec::Pcma),
            (&mut operator, 1_000.0, Codec::Pcmu),
        ],
    );
    rig.take(Message::Stop(RECORDING, now(5_000).mono));
    let record = rig.closed();
    assert_eq!(record.duration_ms, Some(5_000));
    assert_eq!(record.bytes, Some(44 + 5_000 * 32));
    let channels = rig.channels(&record);
    assert_tone(&channels[0], 450.0);
    assert_tone(&channels[1], 1_000.0);
}

#[test]
fn silence_fills_what_nobody_said_and_the_end_is_the_stop() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut caller = rig.attach(CALLER, Side::Left);
    rig.talk(1_000, 1_500, &mut [(&mut caller, 450.0, Codec::Pcma)]);
    rig.take(Message::Stop(RECORDING, now(3_210).mono));
    let record = rig.closed();
    assert_eq!(record.duration_ms, Some(3_210));
    let channels = rig.channels(&record);
    // The G.711 code nearest to nothing is not 0 in A-law; silence that was not sent is.
    assert!(channels[0][..8_000].iter().all(|&sample| sample == 0));
    assert_tone(&channels[0][8_000..12_000], 450.0);
    assert!(channels[0][12_000..].iter().all(|&sample| sample == 0));
    assert!(channels[1].iter().all(|&sample| sample == 0));
}

#[test]
fn a_transfer_changes_the_leg_of_a_side() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut first = rig.attach_at(0, OPERATOR, Side::Right, Some("anna"));
    rig.talk(0, 1_000, &mut [(&mut first, 450.0, Codec::Pcma)]);
    rig.take(Message::Detach(RECORDING, OPERATOR, now(1_000).mono));
    let boris = LegId::from_u128(3);
    let mut second = rig.attach_at(1_010, boris, Side::Right, Some("boris"));
    rig.talk(1_000, 2_000, &mut [(&mut second, 1_000.0, Codec::Pcmu)]);
    assert!(!first.push(
        TapHeader {
            arrival: now(1_000).mono,
            timestamp: 0,
            ssrc: 0,
            codec: Codec::Pcma
        },
        &[0; 160]
    ));
    drop(second);
    rig.poll(2_000);
    rig.take(Message::Shutdown(now(2_000).mono));
    let record = rig.closed();
    let channels = rig.channels(&record);
    assert_tone(&channels[1][..8_000], 450.0);
    assert_tone(&channels[1][8_000..], 1_000.0);
    let segments: Vec<_> = record
        .segments
        .iter()
        .map(|s| (s.operator.as_ref().unwrap().as_str(), s.from_ms, s.to_ms))
        .collect();
    let expected = [("anna", 0, Some(1_000)), ("boris", 1_010, Some(2_000))];
    assert_eq!(segments, expected);
}

#[test]
fn a_pause_is_silence_on_both_sides_and_the_time_goes_on() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut caller = rig.attach(CALLER, Side::Left);
    let mut operator = rig.attach(OPERATOR, Side::Right);
    let mut told = Vec::new();
    for (from, to, paused) in [
        (0, 1_010, true),
        (1_010, 2_990, false),
        (2_990, 4_000, true),
    ] {
        let (from, until) = (from / 20 * 20, to / 20 * 20);
        let mut taps = [
            (&mut caller, 450.0, Codec::Pcma),
            (&mut operator, 1_000.0, Codec::Pcmu),
        ];
        rig.talk(from, until, &mut taps);
        rig.take(Message::Pause(RECORDING, paused, now(to).mono));
        while let Ok(Seal::Changed(record)) = rig.told.try_recv() {
            told = record.pauses;
        }
    }
    let lasting = Pause {
        from_ms: 4_000,
        to_ms: None,
    };
    assert_eq!(told.last(), Some(&lasting));
    rig.take(Message::Stop(RECORDING, now(4_500).mono));
    let record = rig.closed();
    assert_eq!(record.duration_ms, Some(4_500));
    let spans: Vec<_> = record.pauses.iter().map(|p| (p.from_ms, p.to_ms)).collect();
    assert_eq!(spans, [(1_010, Some(2_990)), (4_000, Some(4_500))]);
    for (side, frequency) in rig.channels(&record).iter().zip([450.0, 1_000.0]) {
        assert_tone(&side[..8_000], frequency);
        assert!(side[8_080..23_920].iter().all(|&sample| sample == 0));
        assert_tone(&side[24_000..32_000], frequency);
    }
}

#[test]
fn turns_are_spread_and_regular() {
    let mut rig = Rig::new();
    assert_eq!(rig.writer.next_turn(), None);
    for n in 0..64u128 {
        let mut begin = begin(RecordingKind::Conversation);
        begin.recording = RecordingId::from_u128(n);
        rig.writer.take(Message::Begin(begin, false, now(0)));
    }
    let mut turns = Vec::new();
    while turns.len() < 16 {
        let due = rig.writer.next_turn().unwrap();
        rig.writer.poll(due);
        turns.push(due);
    }
    for pair in turns.windows(2) {
        assert_eq!(pair[1].since(pair[0]), Duration::from_millis(50));
    }
    let all = turns[0] + Duration::from_millis(400);
    assert_eq!(turns[8], all);
}

#[test]
fn a_message_is_mono() {
    let mut rig = Rig::new();
    let kind = RecordingKind::Voicemail(VoicemailId::from_u128(5));
    rig.take(Message::Begin(begin(kind), false, now(0)));
    let mut caller = rig.attach(CALLER, Side::Left);
    rig.talk(0, 400, &mut [(&mut caller, 450.0, Codec::Pcma)]);
    assert!(rig.told.try_recv().is_err());
    rig.take(Message::Stop(RECORDING, now(400).mono));
    let begun = rig.begun();
    assert_eq!(
        (begun.kind, begun.voicemail_box),
        (kind, Some(Name::from("sales")))
    );
    let record = rig.closed();
    assert_eq!(record.duration_ms, Some(400));
    let channels = rig.channels(&record);
    assert_eq!(channels.len(), 1);
    assert_tone(&channels[0], 450.0);
}

#[test]
fn an_empty_message_leaves_nothing_behind() {
    let mut rig = Rig::new();
    let kind = RecordingKind::Voicemail(VoicemailId::from_u128(5));
    let files = |rig: &Rig| {
        let folder = rig.root.path().join("default/2026/03/08");
        fs::read_dir(folder).unwrap().count()
    };
    rig.take(Message::Begin(begin(kind), false, now(0)));
    rig.poll(900);
    assert_eq!(files(&rig), 1);
    rig.take(Message::Discard(RECORDING));
    assert_eq!(files(&rig), 0);
    assert!(matches!(rig.told.try_recv(), Ok(Seal::Gone)));

    rig.take(Message::Begin(begin(kind), false, now(0)));
    rig.poll(2_300);
    assert_eq!(rig.begun().kind, kind);
}

#[test]
fn a_killed_process_loses_less_than_a_second() {
    let mut rig = Rig::new();
    let begun = rig.begin(RecordingKind::Conversation);
    let path = rig.root.path().join(&begun.path);
    assert_eq!(fs::metadata(&path).unwrap().len(), 44);
    let mut caller = rig.attach(CALLER, Side::Left);
    let copy = tempfile::tempdir().unwrap();
    for second in 0..5 {
        let (from, to) = (second * 970, (second + 1) * 970);
        rig.talk(
            from / 20 * 20,
            to / 20 * 20,
            &mut [(&mut caller, 450.0, Codec::Pcma)],
        );
        // As a player would see it …
        let copied = copy.path().join("copy.wav");
        fs::copy(&path, &copied).unwrap();
        let heard = hound::WavReader::open(&copied).unwrap().duration();
        assert!(u64::from(heard) + 8_000 >= to * 8, "{heard} of {}", to * 8);
        // … and as the next start finds it.
        let record = RecordingRecord {
            path: "copy.wav".into(),
            ..begun.clone()
        };
        let repaired = repair(copy.path(), vec![record]);
        assert!(repaired[0].duration_ms.unwrap() + 1_000 >= to);
        let left = &read(&copied)[0];
        assert_tone(&left[..left.len() / 160 * 160], 450.0);
    }
}

#[test]
fn a_disk_that_fails_ends_the_recording_and_nothing_else() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut caller = rig.attach(CALLER, Side::Left);
    rig.talk(0, 1_000, &mut [(&mut caller, 450.0, Codec::Pcma)]);
    rig.told.try_iter().for_each(drop);
    rig.disk.break_down(RECORDING);
    let Ok(Seal::Failed(failed)) = rig.told.try_recv() else {
        panic!("nobody is told");
    };
    assert_eq!(failed.state(), "failed");
    rig.talk(1_000, 1_800, &mut [(&mut caller, 450.0, Codec::Pcma)]);
    rig.take(Message::Pause(RECORDING, true, now(1_900).mono));
    rig.take(Message::Stop(RECORDING, now(2_000).mono));
    let record = rig.closed();
    assert_eq!(record.duration_ms, Some(520));
    assert_eq!((record.fault, record.path), (failed.fault, failed.path));
    rig.take(Message::Detach(RECORDING, CALLER, now(2_000).mono));
    assert!(rig.told.try_recv().is_err());

    fs::remove_dir_all(rig.root.path()).unwrap();
    fs::write(rig.root.path(), "no folder").unwrap();
    rig.take(Message::Begin(
        begin(RecordingKind::Conversation),
        false,
        now(0),
    ));
    let Ok(Seal::Failed(failed)) = rig.told.try_recv() else {
        panic!("nobody is told");
    };
    assert_eq!((failed.state(), failed.bytes), ("failed", Some(0)));
    let fault = failed.fault.unwrap();
    assert!(fault.starts_with("Its file cannot be created: "), "{fault}");
    assert!(matches!(rig.told.try_recv(), Ok(Seal::Gone)));
}

#[test]
fn a_conference_is_complete_when_the_last_one_leaves() {
    let mut rig = Rig::new();
    let begun = begin(RecordingKind::Conversation);
    rig.take(Message::Begin(begun, true, now(0)));
    rig.begun();
    rig.poll(500);
    let first = rig.attach_at(600, CALLER, Side::Left, None);
    let second = rig.attach_at(700, OPERATOR, Side::Right, Some("anna"));
    rig.take(Message::Detach(RECORDING, CALLER, now(1_000).mono));
    drop(first);
    let mut third = rig.attach_at(1_200, CALLER, Side::Left, None);
    rig.take(Message::Detach(RECORDING, OPERATOR, now(1_500).mono));
    rig.talk(1_500, 2_000, &mut [(&mut third, 450.0, Codec::Pcma)]);
    assert!(rig.writer.next_turn().is_some());
    rig.take(Message::Detach(RECORDING, CALLER, now(2_000).mono));
    drop((second, third));
    let record = rig.closed();
    assert_eq!(
        (record.duration_ms, record.segments.len()),
        (Some(2_000), 3)
    );
    assert!(rig.writer.next_turn().is_none());

    // The last one vanished without being detached.
    let begun = begin(RecordingKind::Conversation);
    rig.take(Message::Begin(begun, true, now(3_000)));
    rig.begun();
    let tap = rig.attach_at(3_000, CALLER, Side::Left, None);
    rig.poll(4_000);
    assert!(rig.writer.next_turn().is_some());
    drop(tap);
    rig.poll(5_000);
    assert!(rig.closed().duration_ms >= Some(1_900));
}

#[test]
fn a_message_that_failed_and_is_thrown_away_leaves_a_complete_row() {
    let mut rig = Rig::new();
    let kind = RecordingKind::Voicemail(VoicemailId::from_u128(1));
    rig.take(Message::Begin(begin(kind), false, now(0)));
    rig.disk.break_down(RECORDING);
    assert!(matches!(rig.told.try_recv(), Ok(Seal::Failed(_))));
    rig.take(Message::Discard(RECORDING));
    assert!(matches!(rig.told.try_recv(), Ok(Seal::Changed(row)) if row.duration_ms == Some(0)));
    assert!(matches!(rig.told.try_recv(), Ok(Seal::Gone)));
}

#[test]
fn a_disk_that_stands_still_costs_memory_and_then_sound_but_never_time() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut caller = rig.attach(CALLER, Side::Left);
    for at in (0..4_000).step_by(20) {
        let header = TapHeader {
            arrival: now(at).mono,
            timestamp: at as u32 * 8,
            ssrc: 1,
            codec: Codec::Pcma,
        };
        assert!(caller.push(header, &[0x10; 160]), "the tap is emptied");
        rig.writer.poll(now(at).mono);
        if at == 2_000 {
            // Others have filled the memory.
            rig.writer
                .room
                .backlog
                .fetch_add(MOST_BACKLOG, Ordering::Relaxed);
        }
    }
    rig.writer
        .room
        .backlog
        .fetch_sub(MOST_BACKLOG, Ordering::Relaxed);
    rig.take(Message::Stop(RECORDING, now(4_000).mono));
    assert_eq!(rig.writer.room.backlog.load(Ordering::Relaxed), 0);
    let record = rig.closed();
    assert_eq!(record.duration_ms, Some(4_000));
    let left = &rig.channels(&record)[0];
    let heard = |from: usize, to: usize| left[from * 8..to * 8].iter().all(|&s| s != 0);
    let silent = |from: usize, to: usize| left[from * 8..to * 8].iter().all(|&s| s == 0);
    assert!(heard(0, 1_700) && silent(2_000, 3_400) && heard(3_820, 4_000));
}

mod faults;
mod threads;
