//! Callers who wait, are refused or give up: SIP code, result, cause and trace of each.

use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::Sipp;
use crate::support::sound::Law;
use crate::support::{CALLER, PHONES, pause};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(20);
const MEDIA: (std::net::IpAddr, u16) = (CALLER, 9_000);
const DEAF: (std::net::IpAddr, u16) = (PHONES, 9_000);

fn plan() -> String {
    pbx::server()
        + &pbx::operator("anna", "")
        + &pbx::operator("boris", "")
        + r#"
[numbers."+74951000001"]
to = "hunt:sales"
[numbers."+74951000002"]
to = "menu:long"
[numbers."+74951000003"]
to = "menu:short"
[numbers."+74951000004"]
to = "hunt:music"
[numbers."+74951000005"]
to = "hunt:brief"

[menus.long]
prompt = "prompts/long.wav"
keys = { 1 = "hunt:sales" }
[menus.short]
prompt = "prompts/short.wav"
keys = { 1 = "hunt:sales" }

[hunts.sales]
members = ["anna", "boris"]
strategy = "ring-all"
[hunts.music]
members = ["anna"]
strategy = "ring-all"
music = "prompts/long.wav"
[hunts.brief]
members = ["anna"]
strategy = "ring-all"
wait = "1500ms"
"#
}

fn assert_ended(row: &Value, result: &str, cause: Option<&str>, code: u16) {
    assert_eq!(row["result"], result, "{row}");
    assert_eq!(row["cause"].as_str(), cause, "{row}");
    assert_eq!(row["sip_code"], code, "{row}");
    let trace = row["trace"].as_array().expect("a trace");
    assert!(!trace.is_empty(), "{row}");
}

/// Calls, waits for the caller's end, gives the row.
async fn run(pbx: &Pbx, to: &str, from: &str, then: Then) -> Value {
    let mut caller = Sipp::call(pbx.sip, &Caller::new(to, from, MEDIA, then));
    caller.finished(LIMIT).await;
    pbx.ended_call(from).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_callers_one_operator_in_order() {
    let pbx = Pbx::start(&plan()).await;
    let answer = Phone::Answer(300, DEAF, Law::Mu);
    let mut phone = Sipp::phone(pbx.sip, "anna", &answer, 3).await;
    let numbers = ["+79160000001", "+79160000002", "+79160000003"];
    let mut callers = Vec::new();
    for number in numbers {
        let call = Caller::new("+74951000001", number, MEDIA, Then::HangUpAfter(1_500));
        callers.push(Sipp::call(pbx.sip, &call));
        pause(250).await;
    }
    for caller in &mut callers {
        caller.finished(LIMIT).await;
    }
    phone.finished(LIMIT).await;
    let messages = phone.messages();
    let served: Vec<&str> = messages
        .iter()
        .filter(|m| !m.sent && m.start().starts_with("INVITE "))
        .filter_map(|m| m.header("From"))
        .collect();
    assert_eq!(served.len(), 3, "{served:?}");
    for (from, number) in served.iter().zip(numbers) {
        assert!(
            from.contains(number),
            "{from} was served in the place of {number}"
        );
    }
    let mut freed = 0.0;
    for caller in &callers {
        let answered = caller.answer(LIMIT).await.at;
        assert!(answered >= freed, "two callers at once");
        let bye = |m: &crate::support::sipp::Traced| m.start().starts_with("BYE");
        freed = caller.message(LIMIT, "BYE", bye).await.at;
    }
    for number in numbers {
        assert_ended(&pbx.ended_call(number).await, "answered", None, 200);
    }
    pbx.wait_for_state("anna", "available").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_declines() {
    let pbx = Pbx::start(&plan()).await;
    let (declines, busy) = (
        Phone::Refuse(200, "603 Decline"),
        Phone::Refuse(400, "486 Busy Here"),
    );
    let (mut anna, mut boris) = tokio::join!(
        Sipp::phone(pbx.sip, "anna", &declines, 1),
        Sipp::phone(pbx.sip, "boris", &busy, 1)
    );
    let row = run(&pbx, "+74951000001", "+79160000001", Then::Refused(480)).await;
    assert_ended(&row, "missed", Some("no_answer"), 480);
    assert!(row["wait_hunt_ms"].as_u64().unwrap() < 2_000, "{row}");
    anna.finished(LIMIT).await;
    boris.finished(LIMIT).await;
    let legs = row["legs"].as_array().unwrap();
    let declined = legs.iter().filter(|leg| leg["outcome"] == "declined");
    assert_eq!(declined.count(), 2, "{legs:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_registered_and_unknown_number() {
    let pbx = Pbx::start(&plan()).await;
    let row = run(&pbx, "+74951000001", "+79160000001", Then::Refused(480)).await;
    assert_ended(&row, "missed", Some("no_operators"), 480);
    assert!(row["wait_hunt_ms"].as_u64().unwrap() < 500, "{row}");
    let row = run(&pbx, "+74959999999", "+79160000002", Then::Refused(404)).await;
    assert_ended(&row, "rejected", Some("unknown_number"), 404);
    let missed = pbx.items("/api/v1/missed").await;
    assert_eq!(missed.len(), 1, "{missed:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn callers_give_up_at_every_stage() {
    let pbx = Pbx::start(&plan()).await;
    let (greeting, menu) = tokio::join!(
        run(
            &pbx,
            "+74951000002",
            "+79160000001",
            Then::HangUpAfter(1_000)
        ),
        run(
            &pbx,
            "+74951000003",
            "+79160000002",
            Then::HangUpAfter(1_800)
        )
    );
    assert_ended(&greeting, "missed", Some("abandoned_greeting"), 200);
    assert_ended(&menu, "missed", Some("abandoned_menu"), 200);
    let flags = greeting["flags"].as_array().unwrap();
    assert!(flags.contains(&"short".into()), "{greeting}");

    let mut phone = Sipp::phone(pbx.sip, "anna", &Phone::Ring, 1).await;
    let ringing = run(
        &pbx,
        "+74951000001",
        "+79160000003",
        Then::CancelAfter(1_000),
    )
    .await;
    assert_ended(&ringing, "missed", Some("abandoned_ringing"), 487);
    phone.finished(LIMIT).await;
    assert_eq!(phone.count(false, "CANCEL"), 1);
    pbx.wait_for_state("anna", "available").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_busy_operator_keeps_callers_in_the_line() {
    let pbx = Pbx::start(&plan()).await;
    let answer = Phone::Answer(100, DEAF, Law::Mu);
    let mut phone = Sipp::phone(pbx.sip, "anna", &answer, 1).await;
    let first = Caller::new(
        "+74951000001",
        "+79160000001",
        MEDIA,
        Then::HangUpAfter(5_000),
    );
    let mut talking = Sipp::call(pbx.sip, &first);
    talking.answer(LIMIT).await;
    pbx.wait_for_state("anna", "talking").await;
    let (waiting, limit) = tokio::join!(
        run(
            &pbx,
            "+74951000004",
            "+79160000002",
            Then::HangUpAfter(1_500)
        ),
        run(&pbx, "+74951000005", "+79160000003", Then::Refused(486))
    );
    assert_ended(&waiting, "missed", Some("abandoned_hunt"), 200);
    assert_ended(&limit, "missed", Some("all_busy"), 486);
    talking.finished(LIMIT).await;
    phone.finished(LIMIT).await;
    assert_eq!(phone.count(false, "INVITE"), 1, "a busy operator was rung");
}
