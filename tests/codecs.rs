//! Phones with wide codecs: between a phone and the telephone network sound and keys are converted, between two phones they
//! pass as they are, and prompts are heard in every codec.

use std::time::Duration;

use crate::support::baresip::Baresip;
use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Then};
use crate::support::sipp::Sipp;
use crate::support::sound::{self, Law};
use crate::support::{CALLER, eventually, pause};

const LIMIT: Duration = Duration::from_secs(15);
const CALLER_TONE: f64 = 440.0;
const PHONE_TONE: f64 = 1_000.0;
/// Of `prompts/long.wav`.
const PROMPT_TONE: f64 = 300.0;
/// How the phone names its codecs, and the rate that it hears them at.
const WIDE: [(&str, &str, u32); 2] = [
    ("g722", "G722/16000/1", 16_000),
    ("opus", "opus/48000/2", 48_000),
];

fn plan(operators: &str) -> String {
    pbx::server()
        + operators
        + r#"
[numbers."+74951000001"]
to = "hunt:sales"

[numbers."+74951000002"]
to = "announcement:hours"

[hunts.sales]
members = ["anna"]
strategy = "ring-all"
wait = "20s"
otherwise = "hangup"

[announcements.hours]
prompt = "prompts/long.wav"
then = "hangup"
"#
}

/// How loud the loudest second is, of half of full scale.
fn loudness(samples: &[i16], hertz: f64) -> f64 {
    let blocks = samples.chunks_exact(1_600);
    let levels = blocks.filter(|block| sound::share(block, hertz) > 0.9);
    let rms = levels.map(|block| {
        let power: f64 = block.iter().map(|s| f64::from(*s).powi(2)).sum();
        (2.0 * power / block.len() as f64).sqrt()
    });
    rms.fold(0.0, f64::max) / 16_000.0
}

async fn a_phone_and_the_telephone_network(codec: &str, named: &str, rate: u32, number: &str) {
    let anna = pbx::operator("anna", &format!("codecs = [\"{codec}\"]"));
    let pbx = Pbx::start(&plan(&anna)).await;
    let near = RtpPeer::open(CALLER, Law::A).await;
    let phone = Baresip::start(pbx.sip, "anna", PHONE_TONE, named).await;
    pbx.wait_for_state("anna", "available").await;
    let call = Caller {
        law: Law::A,
        ..Caller::new(
            "+74951000001",
            number,
            near.place(),
            Then::HangUpAfter(6_000),
        )
    };
    let mut caller = Sipp::call(pbx.sip, &call);
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.send_to(media);
    near.tone(Some(CALLER_TONE));
    pause(2_500).await;
    near.press('5');
    caller.finished(LIMIT).await;
    near.tone(None);

    let row = pbx.ended_call(number).await;
    let talked = row["talk_ms"].as_f64().unwrap() / 1_000.0;
    assert!((4.5..=6.5).contains(&talked), "{row}");
    let network = near.audio();
    let heard = sound::seconds_of(&network, PHONE_TONE);
    assert!(heard >= talked - 1.0, "{codec}: {heard} s of {talked} s");
    let level = loudness(&network, PHONE_TONE);
    assert!((0.7..1.3).contains(&level), "{codec}: {level}");
    let own = phone.heard().await;
    assert_eq!(phone.heard_rate(), rate);
    let heard = sound::seconds_of(&own, CALLER_TONE);
    assert!(heard >= talked - 1.2, "{codec}: {heard} s of {talked} s");
    let level = loudness(&own, CALLER_TONE);
    assert!((0.7..1.3).contains(&level), "{codec}: {level}");
    eventually(LIMIT, "the phone tells the key", || async {
        let log = phone.log();
        let told = log.contains("received event: '5'") || log.contains("received DTMF: '5'");
        told.then_some(())
    })
    .await;
    // One packet each 20 ms, none lost or doubled on the way.
    let voice: Vec<_> = near
        .heard()
        .into_iter()
        .filter(|packet| packet.payload_type == Law::A.payload_type())
        .collect();
    for pair in voice.windows(2) {
        assert_eq!(pair[1].sequence, pair[0].sequence.wrapping_add(1));
        assert_eq!(pair[1].timestamp, pair[0].timestamp.wrapping_add(160));
        assert_eq!(pair[0].payload.len(), 160);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_g722_phone_and_the_telephone_network() {
    let (codec, named, rate) = WIDE[0];
    a_phone_and_the_telephone_network(codec, named, rate, "+79160000011").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_opus_phone_and_the_telephone_network() {
    let (codec, named, rate) = WIDE[1];
    a_phone_and_the_telephone_network(codec, named, rate, "+79160000012").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn prompts_are_heard_in_wide_codecs() {
    let pbx = Pbx::start(&plan(
        &(pbx::operator("anna", "") + &pbx::operator("boris", "")),
    ))
    .await;
    for ((_, named, rate), name) in WIDE.into_iter().zip(["anna", "boris"]) {
        let phone = Baresip::start(pbx.sip, name, PHONE_TONE, named).await;
        pbx.wait_for_state(name, "available").await;
        phone
            .command_with("dial", "sip:+74951000002@pbx.test")
            .await;
        pbx.ended_call(name).await;
        let heard = phone.heard().await;
        assert_eq!(phone.heard_rate(), rate);
        let seconds = sound::seconds_of(&heard, PROMPT_TONE);
        assert!(seconds > 3.2, "{named}: {seconds} s of 4 s");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_phones_take_the_codec_that_both_have_and_no_telephone_hears_a_conversion() {
    let operators = pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "extension = \"102\"");
    let pbx = Pbx::start(&plan(&operators)).await;
    // Anna would rather have Opus, which Boris has not.
    let anna = Baresip::start(
        pbx.sip,
        "anna",
        CALLER_TONE,
        "opus/48000/2,G722/16000/1,PCMA/8000/1",
    )
    .await;
    let boris = Baresip::start(pbx.sip, "boris", PHONE_TONE, "G722/16000/1,PCMA/8000/1").await;
    for name in ["anna", "boris"] {
        pbx.wait_for_state(name, "available").await;
    }
    anna.command_with("dial", "sip:102@pbx.test").await;
    pbx.wait_for_state("boris", "talking").await;
    pause(2_500).await;
    anna.command("hangup").await;
    pbx.ended_call("anna").await;
    for (phone, tone) in [(&anna, PHONE_TONE), (&boris, CALLER_TONE)] {
        let seconds = sound::seconds_of(&phone.heard().await, tone);
        assert!(seconds > 1.5, "{tone} Hz for {seconds} s");
        assert_eq!(phone.heard_rate(), 16_000, "G.722 on both legs");
    }

    // A call from the telephone network stays as it is.
    let near = RtpPeer::open(CALLER, Law::A).await;
    let call = Caller {
        law: Law::A,
        ..Caller::new(
            "+74951000001",
            "+79160000013",
            near.place(),
            Then::HangUpAfter(2_500),
        )
    };
    let mut caller = Sipp::call(pbx.sip, &call);
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.send_to(media);
    near.tone(Some(CALLER_TONE));
    caller.finished(LIMIT).await;
    pbx.ended_call("+79160000013").await;
    assert!(sound::seconds_of(&anna.heard().await, CALLER_TONE) > 1.0);
    assert_eq!(anna.heard_rate(), 8_000, "PCMA on both legs");
}
