//! Nobody answers: the overflow comes on time, the phones are cancelled, the event arrives once and is signed. Needs a quiet machine.

use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Sipp, Traced};
use crate::support::{CALLER, PHONES};

const LIMIT: Duration = Duration::from_secs(40);
const MEDIA: (std::net::IpAddr, u16) = (CALLER, 9_000);

fn plan(hunt: &str, receiver: &Receiver) -> String {
    pbx::server()
        + &pbx::operator("anna", "")
        + &pbx::operator("boris", "ring = \"10s\"\notherwise = \"hangup\"")
        + &receiver.section(&["call.missed", "call.ended"])
        + &format!(
            r#"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "hunt:sales"

[announcements.closed]
prompt = "prompts/short.wav"
then = "hangup"

[hunts.sales]
members = ["anna", "boris"]
{hunt}
"#
        )
}

async fn at(sipp: &Sipp, sent: bool, start: &str) -> Traced {
    let matches = |m: &Traced| m.sent == sent && m.start().starts_with(start);
    sipp.message(LIMIT, start, matches).await
}

fn assert_near(seconds: f64, wanted: f64) {
    assert!(
        (seconds - wanted).abs() <= 0.1,
        "after {seconds:.3} s, not {wanted} s"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn ring_all_overflows_after_twenty_seconds() {
    let receiver = Receiver::start(&["call.missed"]).await;
    let hunt = "strategy = \"ring-all\"\nwait = \"20s\"\notherwise = \"announcement:closed\"";
    let pbx = Pbx::start(&plan(hunt, &receiver)).await;
    let (mut anna, mut boris) = tokio::join!(
        Sipp::phone(pbx.sip, "anna", &Phone::Ring, 1),
        Sipp::phone(pbx.sip, "boris", &Phone::Ring, 1)
    );
    let number = "+79160000001";
    let call = Caller::new("+74951000001", number, MEDIA, Then::WaitForBye);
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    let start = at(&caller, true, "INVITE").await.at;
    for phone in [&mut anna, &mut boris] {
        phone.finished(LIMIT).await;
        assert_near(at(phone, false, "CANCEL").await.at - start, 20.0);
        assert_eq!(phone.count(false, "INVITE"), 1);
    }
    assert_near(caller.answer(LIMIT).await.at - start, 20.0);

    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "missed", "{row}");
    assert_eq!(row["cause"], "wait_limit");
    assert_eq!(row["landing_page"], "/sofas");
    assert_near(row["wait_hunt_ms"].as_f64().unwrap() / 1_000.0, 20.0);
    let legs = row["legs"].as_array().unwrap();
    assert_eq!(legs.len(), 3, "{legs:?}");

    let taken = receiver.accepted("call.missed", number, LIMIT).await;
    let both = receiver.of("call.missed", number);
    assert_eq!(both.len(), 2, "{both:?}");
    assert_eq!((both[0].answered, &both[0].id), (500, &taken.id));
    let pause = (both[1].at - both[0].at).as_secs_f64();
    assert!((4.9..7.0).contains(&pause), "again after {pause} s");
    crate::support::pause(1_500).await;
    assert_eq!(receiver.of("call.missed", number).len(), 2);
    assert_eq!(receiver.of("call.ended", number).len(), 1);
    let missed = pbx.items("/api/v1/missed").await;
    assert_eq!(missed.len(), 1, "{missed:?}");
    assert_eq!(missed[0]["caller"], number);
    for name in ["anna", "boris"] {
        pbx.wait_for_state(name, "available").await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn linear_overflows_in_the_middle_of_a_ring() {
    let receiver = Receiver::start(&[]).await;
    let hunt = "strategy = \"linear\"\nring = \"8s\"\nwait = \"20s\"\notherwise = \"hangup\"";
    let pbx = Pbx::start(&plan(hunt, &receiver)).await;
    let (mut anna, mut boris) = tokio::join!(
        Sipp::phone(pbx.sip, "anna", &Phone::Ring, 2),
        Sipp::phone(pbx.sip, "boris", &Phone::Ring, 1)
    );
    let number = "+79160000002";
    let call = Caller::new("+74951000001", number, MEDIA, Then::Refused(480));
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    let start = at(&caller, true, "INVITE").await.at;
    let cancels = |phone: &Sipp| -> Vec<f64> {
        let all = phone.messages();
        let ours = all
            .iter()
            .filter(|m| !m.sent && m.start().starts_with("CANCEL"));
        ours.map(|m| m.at - start).collect()
    };
    let (annas, borises) = (cancels(&anna), cancels(&boris));
    assert_near(annas[0], 8.0);
    assert_near(borises[0], 16.0);
    assert_near(annas[1], 20.0);
    let refusal = at(&caller, false, "SIP/2.0 480").await;
    assert_near(refusal.at - start, 20.0);
    assert!(refusal.header("Warning").unwrap().starts_with("399 "));
    assert!(refusal.header("Reason").unwrap().contains("Q.850;cause=19"));
    let row = pbx.ended_call(number).await;
    assert_eq!(
        (&row["result"], &row["cause"]),
        (&"missed".into(), &"wait_limit".into())
    );
    assert_eq!(row["sip_code"], 480);
    receiver.accepted("call.missed", number, LIMIT).await;
    assert_eq!(receiver.of("call.missed", number).len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_crosses_the_limit_wins() {
    let receiver = Receiver::start(&[]).await;
    let hunt =
        "strategy = \"linear\"\nring = \"10s\"\nwait = \"3s\"\notherwise = \"operator:boris\"";
    let pbx = Pbx::start(&plan(hunt, &receiver)).await;
    let late = Phone::AnswerOnCancel((PHONES, 9_000));
    let (mut anna, mut boris) = tokio::join!(
        Sipp::phone(pbx.sip, "anna", &late, 1),
        Sipp::phone(pbx.sip, "boris", &Phone::Ring, 1)
    );
    let number = "+79160000003";
    let call = Caller::new("+74951000001", number, MEDIA, Then::HangUpAfter(1_000));
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    let elsewhere = at(&boris, false, "CANCEL").await;
    let reason = elsewhere.header("Reason").unwrap().to_owned();
    assert!(reason.contains("SIP;cause=200"), "{reason}");
    let row = pbx.ended_call(number).await;
    assert_eq!(
        (&row["result"], &row["operator"]),
        (&"answered".into(), &"anna".into())
    );
    assert!(receiver.of("call.missed", number).is_empty());
    for name in ["anna", "boris"] {
        pbx.wait_for_state(name, "available").await;
    }
}
