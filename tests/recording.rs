//! Recordings: exact to the sample, through transfers and pauses, as WAV and as Opus, and after kill -9 at any stage.

use std::path::Path;
use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::receiver::Receiver;
use crate::support::sound::{self, Law};
use crate::support::{eventually, pause};
use audiopus::coder::Decoder;
use audiopus::packet::Packet;
use audiopus::{Channels, MutSignals, SampleRate};
use ogg::PacketReader;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const LIMIT: Duration = Duration::from_secs(40);
const NUMBER: &str = "+74951000001";
const FROM: &str = "+79160000000";
const CALLER_TONE: f64 = 440.0;
const ANNA_TONE: f64 = 1_000.0;
const BORIS_TONE: f64 = 1_500.0;

fn plan(more: &str) -> String {
    pbx::server()
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "extension = \"102\"")
        + &format!(
            r#"
[trunks.here]
accept = ["127.0.0.1/32"]
codecs = ["g722", "pcma", "pcmu"]
[numbers."{NUMBER}"]
to = "operator:anna"
{more}
"#
        )
}

async fn operator(pbx: &Pbx, name: &str, hertz: f64, more: &[&str]) -> Vats {
    let file = format!("{name}.wav");
    phone::tone(pbx.folder(), &file, hertz);
    let options = ["--after", "0s", "--play", &file];
    Vats::answer(pbx.folder(), pbx.sip, name, &[&options[..], more].concat()).await
}

fn caller(pbx: &Pbx, length: &str, more: &[&str]) -> Vats {
    phone::tone(pbx.folder(), "caller.wav", CALLER_TONE);
    let options = ["--for", length, "--play", "caller.wav"];
    Vats::dial(
        pbx.folder(),
        pbx.sip,
        NUMBER,
        &[&options[..], more].concat(),
    )
}

/// The row of a call's recording once it is complete.
async fn complete(pbx: &Pbx, call: &Value) -> Value {
    let id = call["recording_id"].as_str().expect("a recording");
    let path = format!("/api/v1/recordings/{id}");
    eventually(LIMIT, "the recording is complete", || async {
        let row = pbx.json(&path).await;
        (!row["sha256"].is_null()).then_some(row)
    })
    .await
}

/// The recording's file; what the row says of it is true.
async fn audio(pbx: &Pbx, row: &Value) -> Vec<u8> {
    let (status, bytes) = pbx.fetch(row["audio"].as_str().unwrap()).await;
    assert_eq!(status, 200);
    assert_eq!(row["bytes"], bytes.len());
    let digest = Sha256::digest(&bytes);
    let digest: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(row["sha256"], digest);
    bytes
}

async fn running_call(pbx: &Pbx) -> String {
    eventually(LIMIT, "a conversation", || async {
        let live = pbx.items("/api/v1/calls/live").await;
        let one = live.iter().find(|call| !call["answered_at"].is_null())?;
        Some(one["call_id"].as_str().unwrap().to_owned())
    })
    .await
}

/// A mono file of noise that a law codes without loss.
fn noise(path: &Path, law: Law, seed: u64) -> Vec<i16> {
    let mut state = seed;
    let samples: Vec<i16> = std::iter::repeat_with(|| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        law.decode((state >> 56) as u8)
    })
    .take(20 * 8_000)
    .collect();
    sound::write_wav(path, &samples);
    samples
}

/// A side holds what was sent, each sample in its place: from its first sound to its last, without a gap.
fn assert_same(side: &[i16], sent: &[i16]) {
    let first = side.iter().position(|&sample| sample != 0).expect("sound");
    let sound = &side[first..];
    let begin = &sound[..400];
    let at = sent.windows(400).position(|part| part == begin);
    // The first samples of a packet may be silence, and so may its last ones.
    let at = at.expect("its beginning is what was sent");
    let length = sound.len().min(sent.len() - at) / 160 * 160 - 320;
    assert!(length >= 3 * 8_000, "{length} samples");
    assert!(sound[..length] == sent[at..at + length], "samples differ");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_are_stored_sample_for_sample() {
    let pbx = Pbx::start(&plan("")).await;
    let left = noise(&pbx.folder().join("near.wav"), Law::A, 1);
    let right = noise(&pbx.folder().join("far.wav"), Law::Mu, 2);
    let options = ["--after", "0s", "--play", "far.wav", "--codec", "pcmu"];
    let _anna = Vats::answer(pbx.folder(), pbx.sip, "anna", &options).await;
    let options = ["--for", "5s", "--play", "near.wav", "--codec", "pcma"];
    let caller = Vats::dial(pbx.folder(), pbx.sip, NUMBER, &options);
    assert_eq!(caller.ended().await.0, 0);
    let call = pbx.ended_call(FROM).await;
    let row = complete(&pbx, &call).await;
    assert_eq!(row["sample_rate"], 8_000);
    let (sides, rate) = sound::read_wav(&audio(&pbx, &row).await);
    assert_eq!(rate, 8_000);
    assert_same(&sides[0], &left);
    assert_same(&sides[1], &right);
}

/// How much of a side at 16 kHz is a tone, in seconds.
fn wide_seconds(side: &[i16], hertz: f64) -> f64 {
    let every_other: Vec<i16> = side.iter().step_by(2).copied().collect();
    sound::seconds_of(&every_other, hertz)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wideband_leg_makes_a_file_of_16_khz() {
    let pbx = Pbx::start(&plan("")).await;
    let anna = operator(&pbx, "anna", ANNA_TONE, &["--codec", "pcma"]).await;
    let (code, said) = caller(&pbx, "5s", &["--codec", "g722"]).ended().await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("speaking G722"), "{said}");
    assert!(anna.said().contains("speaking PCMA"), "{}", anna.said());
    let call = pbx.ended_call(FROM).await;
    let row = complete(&pbx, &call).await;
    assert_eq!(row["sample_rate"], 16_000);
    let (sides, rate) = sound::read_wav(&audio(&pbx, &row).await);
    assert_eq!(rate, 16_000);
    let talked = row["duration_ms"].as_f64().unwrap() / 1_000.0;
    for (side, hertz) in sides.iter().zip([CALLER_TONE, ANNA_TONE]) {
        let heard = wide_seconds(side, hertz);
        assert!(heard > talked - 0.8, "{hertz} Hz: {heard} s of {talked} s");
        let every_other: Vec<i16> = side.iter().step_by(2).copied().collect();
        let gap = sound::longest_gap(&every_other, hertz);
        assert!(gap <= 0.04, "{hertz} Hz has a gap of {gap} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn opus_legs_are_recorded_too() {
    let pbx = Pbx::start(&plan("")).await;
    let _anna = operator(&pbx, "anna", ANNA_TONE, &["--codec", "opus"]).await;
    let _boris = operator(&pbx, "boris", BORIS_TONE, &["--codec", "opus"]).await;
    phone::tone(pbx.folder(), "caller.wav", CALLER_TONE);
    let options =
        "--from sip:anna@pbx.test --password secret-anna --play caller.wav --for 4s --codec opus";
    let options: Vec<&str> = options.split(' ').collect();
    let (code, said) = Vats::dial(pbx.folder(), pbx.sip, "102", &options)
        .ended()
        .await;
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("speaking opus"), "{said}");
    let call = pbx.ended_call("anna").await;
    let row = complete(&pbx, &call).await;
    let (sides, rate) = sound::read_wav(&audio(&pbx, &row).await);
    assert_eq!(rate, 16_000);
    let talked = row["duration_ms"].as_f64().unwrap() / 1_000.0;
    for (side, hertz) in sides.iter().zip([CALLER_TONE, BORIS_TONE]) {
        let heard = wide_seconds(side, hertz);
        assert!(heard > talked - 0.8, "{hertz} Hz: {heard} s of {talked} s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_file_goes_through_a_transfer_and_says_who_was_heard() {
    let pbx = Pbx::start(&plan("")).await;
    let _boris = operator(&pbx, "boris", BORIS_TONE, &[]).await;
    let _anna = operator(&pbx, "anna", ANNA_TONE, &["--transfer", "102@2s"]).await;
    assert_eq!(caller(&pbx, "5s", &[]).ended().await.0, 0);
    let call = pbx.ended_call(FROM).await;
    let row = complete(&pbx, &call).await;
    assert_eq!(call["recordings"].as_array().unwrap().len(), 1);
    let segments = row["segments"].as_array().unwrap();
    let of = |name: &str| {
        let one = segments.iter().find(|one| one["operator"] == name);
        let one = one.unwrap_or_else(|| panic!("{name}: {row}"));
        assert_eq!(one["side"], "right");
        (
            one["from_ms"].as_u64().unwrap(),
            one["to_ms"].as_u64().unwrap(),
        )
    };
    let (anna, boris) = (of("anna"), of("boris"));
    assert!(anna.0 < 100 && anna.1.abs_diff(2_000) < 500, "{row}");
    assert!(boris.0 >= anna.1 && boris.0 < anna.1 + 1_500, "{row}");
    // He leaves, and then the file is ended.
    let length = row["duration_ms"].as_u64().unwrap();
    assert!(boris.1 <= length && boris.1 + 100 > length, "{row}");
    assert!(segments.iter().any(|one| one["side"] == "left"), "{row}");

    let (sides, _) = sound::read_wav(&audio(&pbx, &row).await);
    let split = usize::try_from(boris.0).unwrap() * 8;
    let (before, after) = sides[1].split_at(split);
    let talked = |samples: &[i16], hertz| sound::seconds_of(samples, hertz);
    assert!(talked(before, ANNA_TONE) > 1.3 && talked(before, BORIS_TONE) == 0.0);
    assert!(talked(after, BORIS_TONE) > 1.0 && talked(after, ANNA_TONE) == 0.0);
}

/// Seconds of a tone in a part of a side.
fn within(side: &[i16], from_ms: u64, to_ms: u64, hertz: f64) -> f64 {
    let at = |ms: u64| usize::try_from(ms * 8).unwrap().min(side.len());
    sound::seconds_of(&side[at(from_ms)..at(to_ms)], hertz)
}

fn pauses(row: &Value) -> Vec<(u64, u64)> {
    let pauses = row["pauses"].as_array().unwrap().iter();
    let ms = |pause: &Value, key: &str| pause[key].as_u64().unwrap();
    pauses
        .map(|one| (ms(one, "from_ms"), ms(one, "to_ms")))
        .collect()
}

/// Nothing of either side in the pause, both of them around it.
fn assert_paused(sides: &[Vec<i16>], pause: (u64, u64), tones: [f64; 2]) {
    for (side, hertz) in sides.iter().zip(tones) {
        let at = |ms: u64| usize::try_from(ms * 8).unwrap();
        assert!(side[at(pause.0)..at(pause.1)].iter().all(|&s| s == 0));
        assert!(within(side, 0, pause.0, hertz) > 0.5, "{hertz} Hz before");
        assert!(
            within(side, pause.1, 60_000, hertz) > 0.5,
            "{hertz} Hz after"
        );
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_by_command_is_silence_and_survives_kill_9() {
    let mut pbx = Pbx::start(&plan("")).await;
    let _anna = operator(&pbx, "anna", ANNA_TONE, &[]).await;
    let caller = caller(&pbx, "20s", &[]);
    let call = running_call(&pbx).await;
    let path = format!("/api/v1/calls/{call}/recording");
    let (status, wrong) = pbx.post(&path, &json!({"state": "off"})).await;
    assert_eq!(status, 400, "{wrong}");
    pause(1_200).await;
    let (status, said) = pbx.post(&path, &json!({"state": "paused"})).await;
    assert_eq!((status, &said["state"]), (200, &json!("paused")), "{said}");
    let recording = said["recording_id"].as_str().unwrap().to_owned();
    let row = format!("/api/v1/recordings/{recording}");
    eventually(LIMIT, "the row tells of the pause", || async {
        let row = pbx.json(&row).await;
        (row["pauses"][0]["to_ms"].is_null() && row["pauses"][0]["from_ms"].is_u64()).then_some(())
    })
    .await;
    pause(1_500).await;
    assert_eq!(pbx.post(&path, &json!({"state": "running"})).await.0, 200);
    pause(1_500).await;
    assert_eq!(pbx.post(&path, &json!({"state": "paused"})).await.0, 200);
    pause(1_000).await;
    pbx.crash();
    drop(caller);
    pbx.restart();
    let ended = pbx.ended_call_of(&call).await;
    assert_eq!(ended["ended_by"], "crash");
    let row = complete(&pbx, &ended).await;
    let (sides, _) = sound::read_wav(&audio(&pbx, &row).await);
    let length = row["duration_ms"].as_u64().unwrap();
    let pauses = pauses(&row);
    let [first, last] = pauses[..] else {
        panic!("{row}");
    };
    assert!((first.1 - first.0).abs_diff(1_500) < 400, "{row}");
    assert_eq!(last.1, length);
    assert_paused(&sides, first, [CALLER_TONE, ANNA_TONE]);
    let (status, gone) = pbx.post(&path, &json!({"state": "running"})).await;
    assert_eq!(status, 404, "{gone}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_pauses_with_his_keys_and_nobody_else() {
    let pbx = Pbx::start(&plan("[features]\npause_recording = \"*1\"\n")).await;
    let _boris = operator(&pbx, "boris", BORIS_TONE, &[]).await;
    phone::tone(pbx.folder(), "anna.wav", ANNA_TONE);
    let options = "--from sip:anna@pbx.test --password secret-anna --play anna.wav --for 6s --keys *1@1500ms,*1@3500ms";
    let options: Vec<&str> = options.split(' ').collect();
    let dialled = Vats::dial(pbx.folder(), pbx.sip, "102", &options);
    assert_eq!(dialled.ended().await.0, 0);
    let call = pbx.ended_call("anna").await;
    let row = complete(&pbx, &call).await;
    let (sides, _) = sound::read_wav(&audio(&pbx, &row).await);
    let pauses = pauses(&row);
    let [one] = pauses[..] else {
        panic!("{row}");
    };
    assert!((one.1 - one.0).abs_diff(2_000) < 300, "{row}");
    assert_paused(&sides, one, [ANNA_TONE, BORIS_TONE]);

    let _anna = operator(&pbx, "anna", ANNA_TONE, &[]).await;
    let outside = caller(&pbx, "3s", &["--keys", "*1@1s"]);
    assert_eq!(outside.ended().await.0, 0);
    let call = pbx.ended_call(FROM).await;
    assert_eq!(complete(&pbx, &call).await["pauses"], json!([]));
}

/// The sides of an Ogg/Opus file as a player hears them, at 8 kHz.
fn read_opus(bytes: &[u8]) -> Vec<Vec<i16>> {
    let mut ogg = PacketReader::new(std::io::Cursor::new(bytes));
    let head = ogg.read_packet_expected().unwrap().data;
    assert_eq!((&head[..8], head[9]), (&b"OpusHead"[..], 2));
    let skip = usize::from(u16::from_le_bytes([head[10], head[11]])) / 6;
    let tags = ogg.read_packet_expected().unwrap().data;
    assert_eq!(&tags[..8], b"OpusTags");
    let mut decoder = Decoder::new(SampleRate::Hz8000, Channels::Stereo).unwrap();
    let (mut pcm, mut all, mut end) = ([0i16; 960], Vec::new(), 0);
    while let Some(packet) = ogg.read_packet().unwrap() {
        let signals = MutSignals::try_from(pcm.as_mut_slice()).unwrap();
        let payload = Packet::try_from(packet.data.as_slice()).unwrap();
        let frames = decoder.decode(Some(payload), signals, false).unwrap();
        all.extend_from_slice(&pcm[..2 * frames]);
        end = packet.absgp_page() as usize / 6;
    }
    let side = |at| all.iter().skip(at).step_by(2).copied().take(end).skip(skip);
    vec![side(0).collect(), side(1).collect()]
}

async fn copied(pbx: &Pbx, call: &Value) -> Value {
    let id = call["recording_id"].as_str().expect("a recording");
    let path = format!("/api/v1/recordings/{id}");
    eventually(LIMIT, "the copy in Opus", || async {
        let row = pbx.json(&path).await;
        row["path"]
            .as_str()
            .unwrap()
            .ends_with(".opus")
            .then_some(row)
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_in_opus_replaces_the_file() {
    let receiver = Receiver::start(&[]).await;
    let opus = "[recordings]\nformat = \"opus\"\n".to_owned();
    let pbx = Pbx::start(&plan(&(opus + &receiver.section(&["recording.ready"])))).await;
    let _anna = operator(&pbx, "anna", ANNA_TONE, &[]).await;
    assert_eq!(caller(&pbx, "4s", &[]).ended().await.0, 0);
    let call = pbx.ended_call(FROM).await;
    let row = copied(&pbx, &call).await;
    assert!(pbx.recordings().is_empty(), "the WAV file is gone");
    let bytes = audio(&pbx, &row).await;
    // It is told once, of the file that stays.
    let event = receiver.accepted("recording.ready", FROM, LIMIT).await;
    assert_eq!(row["format"], "opus");
    for key in [
        "recording_id",
        "path",
        "format",
        "bytes",
        "sha256",
        "duration_ms",
    ] {
        assert_eq!(event.event["data"][key], row[key], "{key}");
    }
    assert_eq!(receiver.of("recording.ready", FROM).len(), 1);
    let sides = read_opus(&bytes);
    let length = row["duration_ms"].as_u64().unwrap();
    assert!((3_500..4_500).contains(&length), "{row}");
    for (side, hertz) in sides.iter().zip([CALLER_TONE, ANNA_TONE]) {
        assert_eq!(side.len() as u64 / 8, length);
        let heard = sound::seconds_of(side, hertz);
        assert!(
            heard > length as f64 / 1_000.0 - 0.6,
            "{hertz} Hz: {heard} s"
        );
    }
    let url = format!("http://{}{}", pbx.http, row["audio"].as_str().unwrap());
    let part = reqwest::Client::new()
        .get(&url)
        .header("Range", "bytes=4-11");
    let part = part.send().await.unwrap();
    assert_eq!(part.status(), 206);
    assert_eq!(part.headers()["content-type"], "audio/ogg");
    assert_eq!(part.bytes().await.unwrap(), bytes[4..12]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_at_any_stage_leaves_a_recording_that_plays() {
    let receiver = Receiver::start(&[]).await;
    let opus = "[recordings]\nformat = \"opus\"\n".to_owned();
    let plan = plan(&(opus + &receiver.section(&["recording.ready"])));
    let mut pbx = Pbx::start(&plan).await;
    // While it is written, at its end, while it is completed, while it is copied.
    for (after, ended) in [(3_000, false), (0, true), (15, true), (60, true)] {
        let _anna = operator(&pbx, "anna", ANNA_TONE, &[]).await;
        let caller = caller(&pbx, if ended { "3s" } else { "20s" }, &[]);
        let id = running_call(&pbx).await;
        if ended {
            let log = || pbx.items("/api/v1/calls/live");
            eventually(LIMIT, "the end", || async {
                log().await.is_empty().then_some(())
            })
            .await;
        }
        pause(after).await;
        pbx.crash();
        drop(caller);
        pbx.restart();
        let call = pbx.ended_call_of(&id).await;
        let row = copied(&pbx, &call).await;
        let sides = read_opus(&audio(&pbx, &row).await);
        for (side, hertz) in sides.iter().zip([CALLER_TONE, ANNA_TONE]) {
            let heard = sound::seconds_of(side, hertz);
            assert!(heard > 0.4, "{hertz} Hz: {heard} s of {row}");
        }
        assert!(pbx.recordings().is_empty());
        let of = |data: &Value| data["recording_id"] == row["recording_id"];
        let told = eventually(LIMIT, "recording.ready", || async {
            let mut all = receiver.of("recording.ready", FROM);
            all.retain(|one| of(&one.event["data"]));
            (!all.is_empty()).then_some(all)
        })
        .await;
        // A delivery whose answer was lost in the crash comes again, as the same event.
        assert!(told.iter().all(|one| one.id == told[0].id), "{told:?}");
        assert_eq!(told[0].event["data"]["sha256"], row["sha256"]);
    }
}
