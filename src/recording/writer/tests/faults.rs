//! Panics within: of one recording, of the thread, of the journal.

use std::sync::atomic::{AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use super::*;
use crate::recording::{Recorder, RecorderSettings};

/// In the same slice as the first one.
const OTHER: RecordingId = RecordingId::from_u128(42 + SLICES as u128);

fn another(recording: RecordingId) -> Box<Begin> {
    Box::new(Begin {
        recording,
        ..*begin(RecordingKind::Conversation)
    })
}

#[test]
fn a_panic_over_one_recording_ends_that_one_and_no_other() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut caller = rig.attach(CALLER, Side::Left);
    rig.take(Message::Begin(another(OTHER), false, now(0)));
    let (mut operator, reader) = tap();
    let feed = Feed {
        leg: OPERATOR,
        side: Side::Left,
        operator: None,
        tap: reader,
    };
    rig.take(Message::Attach(OTHER, feed, now(0).mono));
    rig.talk(
        0,
        2_000,
        &mut [
            (&mut operator, 1_000.0, Codec::Pcmu),
            (&mut caller, 450.0, Codec::Pcma),
        ],
    );
    rig.told.try_iter().for_each(drop);
    rig.writer.plant(RECORDING);
    rig.talk(2_000, 4_000, &mut [(&mut operator, 1_000.0, Codec::Pcmu)]);

    let told: Vec<Seal> = rig.told.try_iter().collect();
    let [Seal::Failed(failed), Seal::Closed(closed)] = told.as_slice() else {
        panic!("{} were told", told.len());
    };
    let fault = "The recorder failed at it: a panic (planted).";
    assert_eq!(failed.fault.as_deref(), Some(fault));
    assert_eq!(failed.recording_id, RECORDING);
    let record = complete(rig.root.path(), closed).unwrap();
    assert_eq!(record.state(), "failed");
    assert_eq!(record.fault, failed.fault);
    let kept = record.duration_ms.unwrap();
    assert!((1_000..=2_000).contains(&kept), "{kept}");
    let left = &rig.channels(&record)[0];
    assert_tone(&left[..left.len() / 160 * 160], 450.0);
    // The media thread's end of the tap learns that nobody listens.
    let header = TapHeader {
        arrival: now(4_000).mono,
        timestamp: 32_000,
        ssrc: 1,
        codec: Codec::Pcma,
    };
    assert!(!caller.push(header, &[0; 160]));
    rig.take(Message::Pause(RECORDING, true, now(4_000).mono));
    rig.take(Message::Detach(RECORDING, CALLER, now(4_000).mono));
    rig.take(Message::Stop(RECORDING, now(4_000).mono));
    assert!(rig.told.try_recv().is_err());

    rig.take(Message::Stop(OTHER, now(4_000).mono));
    let record = rig.closed();
    assert_eq!((record.recording_id, record.fault.as_ref()), (OTHER, None));
    assert_eq!(record.duration_ms, Some(4_000));
    assert_tone(&rig.channels(&record)[0], 1_000.0);
}

#[test]
fn a_panic_over_a_file_is_a_disk_that_failed() {
    let mut rig = Rig::new();
    rig.begin(RecordingKind::Conversation);
    let mut caller = rig.attach(CALLER, Side::Left);
    rig.talk(0, 1_000, &mut [(&mut caller, 450.0, Codec::Pcma)]);
    rig.told.try_iter().for_each(drop);
    rig.disk.stumble(RECORDING);
    let Ok(Seal::Failed(failed)) = rig.told.try_recv() else {
        panic!("nobody is told");
    };
    let fault = "Its file cannot be written: a panic (planted).";
    assert_eq!(failed.fault.as_deref(), Some(fault));
    rig.take(Message::Stop(RECORDING, now(2_000).mono));
    assert!(rig.closed().duration_ms.unwrap() < 1_000);
}

/// A recorder whose clock panics on its thread as often as is asked for.
struct Shaky {
    root: tempfile::TempDir,
    /// Milliseconds.
    time: Arc<AtomicU64>,
    faults: Arc<AtomicUsize>,
    journal: Arc<Mutex<Vec<Entry>>>,
    recorder: Recorder,
}

impl Shaky {
    fn new() -> Shaky {
        let time = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&time);
        let faults = Arc::new(AtomicUsize::new(0));
        let planted = Arc::clone(&faults);
        let clock: Clock = Arc::new(move || {
            if std::thread::current().name() == Some("recorder") {
                let left = planted.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| {
                    left.checked_sub(1)
                });
                assert!(left.is_err(), "planted");
            }
            now(shown.load(Ordering::SeqCst))
        });
        let journal = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&journal);
        let root = tempfile::tempdir().unwrap();
        let settings = RecorderSettings {
            root: root.path().to_owned(),
            clock,
        };
        let journalling = move |entry| sink.lock().unwrap().push(entry);
        let recorder = Recorder::start(settings, Box::new(journalling)).unwrap();
        Shaky {
            root,
            time,
            faults,
            journal,
            recorder,
        }
    }

    fn until(&self, what: &str, mut is_so: impl FnMut(&[Entry]) -> bool) {
        let deadline = Instant::now() + Duration::from_secs(30);
        while !is_so(&self.journal.lock().unwrap()) {
            assert!(Instant::now() < deadline, "{what}");
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    /// The thread gets round once.
    fn round(&self, id: u128) {
        let id = RecordingId::from_u128(id);
        self.recorder.begin(*another(id));
        self.until("a round", |entries| {
            let begun = |one: &Entry| {
                matches!(one, Entry::RecordingStarted(begun) if begun.recording_id == id)
            };
            entries.iter().any(begun)
        });
        self.recorder.discard(id);
    }

    /// So many panics, one after another.
    fn stumble(&self, times: usize) {
        self.faults.store(times, Ordering::SeqCst);
        self.until("the faults", |_| self.faults.load(Ordering::SeqCst) == 0);
    }
}

#[test]
fn the_thread_goes_on_after_a_panic_and_nothing_is_missing() {
    let shaky = Shaky::new();
    shaky.recorder.begin(*begin(RecordingKind::Conversation));
    let (mut left, reader) = tap();
    shaky
        .recorder
        .attach(RECORDING, CALLER, Side::Left, None, reader);
    let sound = tone::tone(&[450.0], -6.0, 600);
    for (n, part) in (0u32..).zip(sound.chunks_exact(160)) {
        shaky.time.store(u64::from(n) * 20, Ordering::SeqCst);
        if n.is_multiple_of(7) {
            shaky.stumble(1);
            shaky.round(100 + u128::from(n));
        }
        let payload: Vec<u8> = part.iter().map(|&one| g711::alaw_encode(one)).collect();
        let header = TapHeader {
            arrival: now(u64::from(n) * 20).mono,
            timestamp: n * 160,
            ssrc: 1,
            codec: Codec::Pcma,
        };
        assert!(left.push(header, &payload));
    }
    shaky.time.store(600, Ordering::SeqCst);
    shaky.stumble(1);
    shaky.recorder.stop(RECORDING);
    shaky.recorder.clone().shutdown();
    let entries = shaky.journal.lock().unwrap();
    assert!(
        !entries
            .iter()
            .any(|one| matches!(one, Entry::RecordingFailed { .. }))
    );
    let Some(Entry::RecordingEnded(ended)) = entries.last() else {
        panic!("{entries:?}");
    };
    assert_eq!(ended.recording_id, RECORDING);
    assert_eq!(ended.fault, None);
    assert_eq!(ended.duration_ms, Some(600));
    let left = &read(&shaky.root.path().join(&ended.path))[0];
    assert_tone(left, 450.0);
}

#[test]
fn what_is_open_is_given_up_when_panics_do_not_end() {
    let shaky = Shaky::new();
    shaky.recorder.begin(*begin(RecordingKind::Conversation));
    shaky.until("the begin", |entries| !entries.is_empty());
    shaky.stumble(2);
    shaky.until("the end", |entries| {
        matches!(entries.last(), Some(Entry::RecordingEnded(_)))
    });
    let failed = shaky.journal.lock().unwrap().iter().any(|entry| {
        matches!(entry, Entry::RecordingFailed { recording, .. } if recording.fault.is_some())
    });
    assert!(failed);
    assert_eq!(shaky.recorder.failed(), 1);
    shaky.until("the count", |_| shaky.recorder.census() == 0);
    // The next one is recorded.
    shaky.recorder.begin(*another(OTHER));
    shaky.recorder.stop(OTHER);
    shaky.recorder.clone().shutdown();
    let entries = shaky.journal.lock().unwrap();
    let Some(Entry::RecordingEnded(ended)) = entries.last() else {
        panic!("{entries:?}");
    };
    assert_eq!((ended.recording_id, ended.fault.as_ref()), (OTHER, None));
}

#[test]
fn a_journal_that_panics_ends_no_thread() {
    let root = tempfile::tempdir().unwrap();
    let (sender, inbox) = channel();
    let settings = RecorderSettings {
        root: root.path().to_owned(),
        clock: Arc::new(|| now(500)),
    };
    let journal = Box::new(move |entry| match entry {
        Entry::RecordingStarted(_) => panic!("planted"),
        entry => sender.send(entry).unwrap(),
    });
    let recorder = Recorder::start(settings, journal).unwrap();
    recorder.begin(*begin(RecordingKind::Conversation));
    recorder.stop(RECORDING);
    recorder.clone().shutdown();
    assert_eq!(recorder.census(), 0);
    drop(recorder);
    let entries: Vec<Entry> = inbox.into_iter().collect();
    assert!(matches!(entries.as_slice(), [Entry::RecordingEnded(_)]));
}
