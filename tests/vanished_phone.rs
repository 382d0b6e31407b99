//! An operator's phone that vanishes in a call. Most of its minute is waiting: the RTP timeout (30 s) and the OPTIONS after it (32 s).

use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::Sipp;
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, pause};

const LIMIT: Duration = Duration::from_secs(20);
const DEAF: (std::net::IpAddr, u16) = (PHONES, 9_000);

fn plan() -> String {
    pbx::server()
        + &pbx::operator("anna", "")
        + &pbx::operator("boris", "")
        + r#"
[numbers."+74951000006"]
to = "hunt:turns"
[hunts.turns]
members = ["anna", "boris"]
strategy = "linear"
"#
}

/// RTP stops, the in-dialog OPTIONS goes unanswered: the caller is back in the hunt and reaches a colleague.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_phone_that_vanishes_gives_the_caller_back() {
    let pbx = Pbx::start(&plan()).await;
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let vanishes = Phone::AnswerAndVanish(far.place());
    let answers = Phone::Answer(100, DEAF, Law::Mu);
    let (mut anna, mut boris) = tokio::join!(
        Sipp::phone(pbx.sip, "anna", &vanishes, 1),
        Sipp::phone(pbx.sip, "boris", &answers, 1)
    );
    let number = "+79160000001";
    let call = Caller::new(
        "+74951000006",
        number,
        near.place(),
        Then::HangUpAfter(80_000),
    );
    let mut caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    far.send_to(anna.invite(LIMIT).await.media().unwrap());
    far.tone(Some(1_000.0));
    pause(2_000).await;
    assert!(sound::seconds_of(&far.audio(), 440.0) > 1.0);
    anna.kill();
    drop(far);
    let back = boris.invite(Duration::from_secs(75)).await;
    assert!(back.header("From").unwrap().contains(number));
    pbx.wait_for_state("boris", "talking").await;
    caller.finished(Duration::from_secs(90)).await;
    boris.finished(LIMIT).await;
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered");
    assert_eq!(row["cause"], serde_json::Value::Null);
    assert_eq!(row["sip_code"], 200);
    let trace = row["trace"].to_string();
    assert!(trace.contains("anna") && trace.contains("boris"), "{trace}");
}
