//! A real phone with several lines (linphonec) does what desk phones do: holds, consults, transfers blind and attended, is given calls by others.

use std::time::Duration;

use crate::support::linphone::Linphone;
use crate::support::pbx::{self, Pbx};
use crate::support::phone::{self, Vats};
use crate::support::rtp_peer::RtpPeer;
use crate::support::script::{Audio, Script};
use crate::support::sipp::{Run, Sipp};
use crate::support::softphone::Softphone;
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, pause};

const LIMIT: Duration = Duration::from_secs(30);
const FROM: &str = "+79160000001";
const CALLER_TONE: f64 = 440.0;
const BORIS_TONE: f64 = 1_000.0;
const CLARA_TONE: f64 = 1_500.0;
/// `prompts/long.wav`.
const MUSIC: f64 = 300.0;

async fn start() -> Pbx {
    let plain = pbx::server().replacen("[server]", "[server]\nmusic = \"prompts/long.wav\"", 1);
    let toml = plain
        + &pbx::operator("anna", "extension = \"101\"")
        + &pbx::operator("boris", "extension = \"102\"")
        + &pbx::operator("clara", "extension = \"103\"")
        + "\n[numbers.\"+74951000001\"]\nto = \"operator:boris\"\n";
    Pbx::start(&toml).await
}

/// Boris's phone; `None`, having said so, where this machine has none.
async fn boris(pbx: &Pbx) -> Option<Linphone> {
    match Linphone::start(pbx.sip, "boris", BORIS_TONE).await {
        Ok(phone) => {
            pbx.wait_for_state("boris", "available").await;
            Some(phone)
        }
        Err(why) => {
            println!("skipped: {why}");
            None
        }
    }
}

async fn clara(pbx: &Pbx) -> Vats {
    phone::tone(pbx.folder(), "clara.wav", CLARA_TONE);
    let options = [
        "--after",
        "300ms",
        "--play",
        "clara.wav",
        "--record",
        "clara_heard.wav",
    ];
    Vats::answer(pbx.folder(), pbx.sip, "clara", &options).await
}

/// A caller with sound, who stays until he is left.
async fn caller(pbx: &Pbx) -> (Sipp, RtpPeer) {
    let media = RtpPeer::open(CALLER, Law::Mu).await;
    let script = Script::caller("+74951000001", FROM)
        .invite("Allow: INVITE, ACK, BYE\n", Some(Audio::at(media.place())))
        .may_ring()
        .dialog(200)
        .ack(None)
        .wait_for_bye();
    media.tone(Some(CALLER_TONE));
    (
        Sipp::start(&Run::once(script.xml(), CALLER, pbx.sip)),
        media,
    )
}

/// How long the caller has heard a tone so far.
fn heard(media: &RtpPeer, hertz: f64) -> f64 {
    sound::seconds_of(&media.audio(), hertz)
}

async fn clara_heard(pbx: &Pbx, clara: &Vats) -> f64 {
    clara.says("recorded").await;
    let bytes = std::fs::read(pbx.folder().join("clara_heard.wav")).unwrap();
    sound::seconds_of(&sound::read_wav(&bytes).0[0], CALLER_TONE)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_holds_consults_and_transfers() {
    let pbx = start().await;
    let Some(mut boris) = boris(&pbx).await else {
        return;
    };
    let clara = clara(&pbx).await;
    let (mut caller, media) = caller(&pbx).await;
    boris.says("assigned id 1").await;
    boris.press_and_talk("answer").await;
    media.send_to(caller.answer(LIMIT).await.media().unwrap());
    pause(1_500).await;
    let talked = heard(&media, BORIS_TONE);
    assert!(talked > 0.5, "boris was heard for {talked} s");
    boris.press("pause 1");
    pause(1_500).await;
    let music = heard(&media, MUSIC);
    assert!(music > 0.8, "{music} s of music");
    boris.press_and_talk("call sip:103@pbx.test").await;
    pause(1_000).await;
    assert_eq!(
        heard(&media, CLARA_TONE),
        0.0,
        "the consultation is between the two"
    );
    boris.press("transfer 1 --to-call 2");
    pbx.wait_for_state("boris", "available").await;
    pause(2_500).await;
    let heard_clara = heard(&media, CLARA_TONE);
    assert!(
        heard_clara > 1.8,
        "the caller heard clara for {heard_clara} s"
    );
    assert_eq!(pbx.operator_state("clara").await, "talking");
    // The phone has been told what came of it, and is free of both calls.
    let log = boris.log();
    assert!(
        log.contains("Replaces") && log.contains("SIP/2.0 200"),
        "{log}"
    );
    clara.signal("INT");
    caller.finished(LIMIT).await;
    let seconds = clara_heard(&pbx, &clara).await;
    assert!(seconds > 1.8, "clara heard the caller for {seconds} s");
    let row = pbx.ended_call(FROM).await;
    assert_eq!(
        (&row["result"], &row["operator"]),
        (&"answered".into(), &"boris".into())
    );
    let trace = row["trace"].to_string();
    assert!(trace.contains("Held"), "{trace}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_transfers_blind_and_takes_a_held_call_back() {
    let pbx = start().await;
    let Some(mut boris) = boris(&pbx).await else {
        return;
    };
    let clara = clara(&pbx).await;
    let (mut caller, media) = caller(&pbx).await;
    boris.says("assigned id 1").await;
    boris.press_and_talk("answer").await;
    media.send_to(caller.answer(LIMIT).await.media().unwrap());
    boris.press("pause 1");
    pause(1_000).await;
    boris.press_and_talk("resume 1").await;
    pause(2_000).await;
    let audio = media.audio();
    let end = sound::seconds_of(&audio[audio.len() - 8_000..], BORIS_TONE);
    assert!(
        end > 0.7,
        "boris is heard again for {end} s of the last second"
    );
    boris.press("transfer 1 sip:103@pbx.test");
    clara.says("passed on by <sip:boris@pbx.test>").await;
    clara.says("answered").await;
    pbx.wait_for_state("boris", "available").await;
    pause(2_000).await;
    clara.signal("INT");
    caller.finished(LIMIT).await;
    let seconds = clara_heard(&pbx, &clara).await;
    assert!(seconds > 1.5, "clara heard the caller for {seconds} s");
    let row = pbx.ended_call(FROM).await;
    let path = serde_json::json!(["operator:boris", "operator:clara"]);
    assert_eq!(row["path"], path, "{row}");
}

/// The phone is the one that a call is passed on to after a consultation: nothing but the voice changes for it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_given_a_call() {
    let pbx = start().await;
    let Some(mut boris) = boris(&pbx).await else {
        return;
    };
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let clara = clara(&pbx).await;
    let first = anna.call("103", Vec::new());
    anna.answered(first);
    let second = anna.call("102", Vec::new());
    anna.hears_ringing(second);
    boris.says("assigned id 1").await;
    boris.press_and_talk("answer").await;
    anna.answered(second);
    let there = anna.replacing(second);
    assert_eq!(anna.refer(first, &there), 202);
    assert_eq!(anna.report(first), 200);
    anna.ended(first);
    anna.ended(second);
    pause(2_500).await;
    for name in ["boris", "clara"] {
        assert_eq!(pbx.operator_state(name).await, "talking");
    }
    boris.press("terminate 1");
    clara.says("recorded").await;
    let bytes = std::fs::read(pbx.folder().join("clara_heard.wav")).unwrap();
    let seconds = sound::seconds_of(&sound::read_wav(&bytes).0[0], BORIS_TONE);
    assert!(seconds > 1.5, "clara heard boris for {seconds} s");
    pbx.wait_until_idle(LIMIT).await;
}

/// Its list of friends: it subscribes to anna's presence and is told when she is busy and when she is not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_watches_a_colleague() {
    let pbx = start().await;
    let mut anna = Softphone::register(&pbx, PHONES, "anna");
    let Some(boris) = boris(&pbx).await else {
        return;
    };
    let told = async |what: &str| {
        crate::support::eventually(LIMIT, &format!("boris is told {what}"), || async {
            let log = boris.log();
            let (_, document) = log.rsplit_once("<presence ")?;
            document.contains(what).then_some(())
        })
        .await;
    };
    told("<basic>open</basic>").await;
    let clara = clara(&pbx).await;
    let session = anna.call("103", Vec::new());
    anna.answered(session);
    told("on-the-phone").await;
    anna.hang_up(session);
    clara.says("the caller hung up").await;
    crate::support::eventually(LIMIT, "boris is told that she is free", || async {
        let log = boris.log();
        let (_, document) = log.rsplit_once("<presence ")?;
        (!document.contains("on-the-phone")).then_some(())
    })
    .await;
    let log = boris.log();
    assert!(log.contains("SUBSCRIBE sip:anna@pbx.test"), "{log}");
}
