//! The recorder's own threads, in real time.

use std::sync::{Arc, Mutex};

use super::*;
use crate::recording::seal::{Counts, Sealer};
use crate::recording::{Recorder, RecorderSettings};

#[test]
fn the_threads_record_in_real_time() {
    let root = tempfile::tempdir().unwrap();
    let started = std::time::Instant::now();
    let clock: Clock = Arc::new(move || now(started.elapsed().as_millis() as u64));
    let journal = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&journal);
    let settings = RecorderSettings {
        root: root.path().to_owned(),
        clock: Arc::clone(&clock),
    };
    let recorder = Recorder::start(
        settings,
        Box::new(move |entry| sink.lock().unwrap().push(entry)),
    )
    .unwrap();
    let since = started.elapsed().as_millis() as u64;
    recorder.begin(*begin(RecordingKind::Conversation));
    let begun_by = started.elapsed().as_millis() as u64;
    assert_eq!(recorder.census(), 1);
    let (mut left, reader) = tap();
    recorder.attach(RECORDING, CALLER, Side::Left, None, reader);
    let sound = tone::tone(&[450.0], -6.0, 600);
    // They arrive a while from now, so that this thread is never late with them.
    let first = clock().mono + Duration::from_millis(500);
    for (n, part) in sound.chunks_exact(160).enumerate() {
        let payload: Vec<u8> = part
            .iter()
            .map(|&sample| g711::alaw_encode(sample))
            .collect();
        let header = TapHeader {
            arrival: first + Duration::from_millis(n as u64 * 20),
            timestamp: n as u32 * 160,
            ssrc: 1,
            codec: Codec::Pcma,
        };
        assert!(left.push(header, &payload));
    }
    std::thread::sleep(Duration::from_millis(1_500));
    let asked = started.elapsed().as_millis() as u64;
    recorder.stop(RECORDING);
    let asked_by = started.elapsed().as_millis() as u64;
    recorder.clone().shutdown();
    assert_eq!(recorder.census(), 0);
    recorder.begin(*begin(RecordingKind::Conversation));
    assert_eq!(recorder.census(), 0, "after the shutdown nothing begins");
    let entries = journal.lock().unwrap();
    // Whether the tap came in the first row or in one of its own depends on the threads.
    let [
        Entry::RecordingStarted(begun),
        ..,
        Entry::RecordingEnded(ended),
    ] = entries.as_slice()
    else {
        panic!("{entries:?}");
    };
    assert_eq!(ended.segments.len(), 1);
    assert_eq!(
        (begun.path.as_str(), begun.bytes),
        (ended.path.as_str(), None)
    );
    let duration = ended.duration_ms.unwrap();
    let possible = asked - begun_by - 1..=asked_by - since + 1;
    assert!(possible.contains(&duration), "{duration} of {possible:?}");
    assert_eq!(ended.sha256.as_ref().map(String::len), Some(64));
    let channels = read(&root.path().join(&ended.path));
    let first = channels[0].iter().position(|&sample| sample != 0).unwrap();
    assert_tone(&channels[0][first..first + 4_640], 450.0);
}

#[test]
fn handles_may_simply_go_away() {
    let root = tempfile::tempdir().unwrap();
    let (sender, inbox) = channel();
    let settings = RecorderSettings {
        root: root.path().to_owned(),
        clock: Arc::new(|| now(500)),
    };
    let journal = Box::new(move |entry| sender.send(entry).unwrap());
    let recorder = Recorder::start(settings, journal).unwrap();
    recorder.begin(*begin(RecordingKind::Conversation));
    drop(recorder);
    let entries: Vec<Entry> = inbox.into_iter().collect();
    assert!(matches!(
        entries.as_slice(),
        [Entry::RecordingStarted(_), Entry::RecordingEnded(record)] if record.duration_ms == Some(0)
    ));
}

#[test]
fn the_census_counts_what_is_open_and_what_failed() {
    // The seal thread alone answers for the counts.
    let (seal, inbox) = channel();
    let counts = Counts::default();
    counts.alive.store(2, Ordering::Relaxed);
    seal.send(Seal::Gone).unwrap();
    seal.send(Seal::Closed(samples::record("none.wav")))
        .unwrap();
    drop(seal);
    let root = tempfile::tempdir().unwrap();
    let (journal, entries) = channel();
    let sealer = Sealer {
        root: root.path().to_owned(),
        clock: Arc::new(|| now(500)),
        journal: Arc::new(move |entry| journal.send(entry).unwrap()),
        copies: channel().0,
        counts: counts.clone(),
    };
    sealer.run(inbox);
    assert_eq!(counts.alive.load(Ordering::Relaxed), 0);
    assert_eq!(counts.failed.load(Ordering::Relaxed), 1);
    let entries: Vec<Entry> = entries.into_iter().collect();
    let [Entry::RecordingFailed { recording, at }] = entries.as_slice() else {
        panic!("{entries:?}");
    };
    // Not complete: the next start looks at it again.
    assert_eq!((recording.duration_ms, *at), (None, now(500).wall));
}
