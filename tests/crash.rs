//! kill -9 and SIGTERM in the middle of calls: what was recorded and accounted survives.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, free_port, pause};

const LIMIT: Duration = Duration::from_secs(15);
const DEAF: (std::net::IpAddr, u16) = (PHONES, 9_000);

fn plan(receiver: &Receiver) -> String {
    pbx::server()
        + &pbx::operator("anna", "")
        + &receiver.section(&["call.ended", "call.missed", "recording.ready"])
        + "\n[numbers.\"+74951000001\"]\nto = \"hunt:sales\"\n[hunts.sales]\nmembers = [\"anna\"]\nstrategy = \"ring-all\"\n"
}

fn phone_at(pbx: &Pbx, local: SocketAddr, phone: &Phone) -> Sipp {
    Sipp::start(&Run {
        local,
        ..Run::once(phone.xml(), PHONES, pbx.sip)
    })
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_in_the_middle_of_a_recorded_call() {
    let receiver = Receiver::start(&[]).await;
    let mut pbx = Pbx::start(&plan(&receiver)).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let local = SocketAddr::new(PHONES, free_port(PHONES));
    Sipp::register(pbx.sip, "anna", local).await;
    let mut phone = phone_at(&pbx, local, &Phone::AnswerAndVanish(far.place()));
    phone.listening().await;
    let number = "+79160000001";
    let call = Caller::new("+74951000001", number, near.place(), Then::WaitForBye);
    let caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    far.send_to(phone.invite(LIMIT).await.media().unwrap());
    far.tone(Some(1_000.0));
    pause(4_000).await;
    pbx.crash();
    phone.kill();
    drop(caller);
    near.tone(None);
    far.tone(None);
    let talked = sound::seconds_of(&far.audio(), 440.0);
    assert!(talked > 3.0, "{talked} s of talk before the crash");

    pbx.restart();
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(row["ended_by"], "crash");
    let id = row["recording_id"].as_str().expect("a recording");
    let (status, wav) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    assert_eq!(status, 200);
    let (sides, _) = sound::read_wav(&wav);
    for (side, hertz) in sides.iter().zip([440.0, 1_000.0]) {
        let kept = sound::seconds_of(side, hertz);
        assert!(kept >= talked - 1.1, "{kept} s of {talked} s at {hertz} Hz");
    }
    receiver.accepted("call.ended", number, LIMIT).await;
    assert!(receiver.of("call.missed", number).is_empty());

    // The phone did not register again: its binding came back with the database.
    let mut phone = phone_at(&pbx, local, &Phone::Answer(100, DEAF, Law::Mu));
    phone.listening().await;
    let second = "+79160000002";
    let call = Caller::new(
        "+74951000001",
        second,
        (CALLER, 9_000),
        Then::HangUpAfter(300),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    phone.finished(LIMIT).await;
    assert_eq!(pbx.ended_call(second).await["result"], "answered");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_9_while_a_phone_rings_is_a_missed_call() {
    let receiver = Receiver::start(&[]).await;
    let mut pbx = Pbx::start(&plan(&receiver)).await;
    let phone = Sipp::phone(pbx.sip, "anna", &Phone::Ring, 1).await;
    let number = "+79160000003";
    let call = Caller::new("+74951000001", number, (CALLER, 9_000), Then::WaitForBye);
    let caller = Sipp::call(pbx.sip, &call);
    phone.invite(LIMIT).await;
    // The row is written behind the call; the promise is about what was written.
    pause(1_500).await;
    pbx.crash();
    drop((caller, phone));
    pbx.restart();
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "missed", "{row}");
    assert_eq!(row["cause"], "system_error");
    assert_eq!(row["ended_by"], "crash");
    receiver.accepted("call.missed", number, LIMIT).await;
    assert_eq!(receiver.of("call.missed", number).len(), 1);
    assert_eq!(pbx.items("/api/v1/missed").await.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_drains() {
    let receiver = Receiver::start(&[]).await;
    let mut pbx = Pbx::start(&plan(&receiver)).await;
    let answer = Phone::Answer(100, DEAF, Law::Mu);
    let mut phone = Sipp::phone(pbx.sip, "anna", &answer, 1).await;
    let (number, late) = ("+79160000004", "+79160000005");
    let call = Caller::new("+74951000001", number, (CALLER, 9_000), Then::WaitForBye);
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.answer(LIMIT).await;
    pause(500).await;
    pbx.terminate();
    pause(500).await;
    let refused = Caller::new("+74951000001", late, (CALLER, 9_000), Then::Refused(503));
    let mut second = Sipp::call(pbx.sip, &refused);
    second.finished(LIMIT).await;
    caller.finished(LIMIT).await;
    phone.finished(LIMIT).await;
    let status = pbx.ended(LIMIT).await;
    assert!(status.success(), "{status}");
    pbx.restart();
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered", "{row}");
    assert_eq!(row["ended_by"], "system");
    let row = pbx.ended_call(late).await;
    assert_eq!(
        (&row["cause"], &row["sip_code"]),
        (&"overload".into(), &503.into())
    );
    receiver.accepted("call.ended", number, LIMIT).await;
    receiver.accepted("call.missed", late, LIMIT).await;
}
