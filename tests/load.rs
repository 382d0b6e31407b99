//! 200 calls at 20 a second through menu and hunt: every one accounted for, nothing left behind. Needs a quiet machine.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::scenario::{Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::Law;
use crate::support::{CALLER, PHONES, free_port};

const OPERATORS: usize = 100;
const CALLS: u32 = 200;
const LIMIT: Duration = Duration::from_secs(60);

fn plan(phones: SocketAddr) -> String {
    let mut toml = pbx::server();
    let mut members = Vec::new();
    for index in 0..OPERATORS {
        let name = format!("op{index}");
        let contact = format!("contact = \"sip:{name}@{phones}\"");
        toml += &pbx::operator(&name, &contact);
        members.push(name);
    }
    toml + &format!(
        r#"
[numbers."+74951000001"]
landing_page = "/sofas"
to = "menu:main"

[menus.main]
prompt = "prompts/short.wav"
keys = {{ 1 = "hunt:sales" }}

[hunts.sales]
members = {members:?}
strategy = "linear"
"#
    )
}

async fn wave(pbx: &Pbx, phones: SocketAddr, calls: u32) {
    let answer = Phone::Answer(200, (PHONES, 9_000), Law::Mu);
    let mut operators = Sipp::start(&Run {
        local: phones,
        calls,
        trace: false,
        ..Run::once(answer.xml(), PHONES, pbx.sip)
    });
    operators.listening().await;
    // SIPp numbers its calls from 1.
    let call = Caller {
        keys: false,
        ..Caller::new(
            "+74951000001",
            "+7916000[call_number]",
            (CALLER, 9_000),
            Then::InfoKey(700, '1', 2_000),
        )
    };
    let mut callers = Sipp::start(&Run {
        calls,
        rate: 20,
        trace: false,
        ..Run::once(call.xml(), CALLER, pbx.sip)
    });
    callers.finished(LIMIT).await;
    operators.finished(LIMIT).await;
    pbx.wait_until_idle(Duration::from_secs(10)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_hundred_calls_leave_nothing_behind() {
    let phones = SocketAddr::new(PHONES, free_port(PHONES));
    let pbx = Pbx::start(&plan(phones)).await;
    // What is opened once (database connections, logs) is open after the first few calls.
    wave(&pbx, phones, 5).await;
    crate::support::pause(2_000).await;
    let before = (pbx.open_files(), pbx.sockets());
    wave(&pbx, phones, CALLS).await;

    let expected = usize::try_from(CALLS).unwrap() + 5;
    let rows = crate::support::eventually(LIMIT, "every call is in the ledger", || async {
        let mut rows = Vec::new();
        let mut next = String::new();
        loop {
            let page = pbx.json(&format!("/api/v1/calls?limit=100{next}")).await;
            rows.extend(page["items"].as_array().unwrap().clone());
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        let ended = rows.iter().filter(|row| !row["ended_at"].is_null()).count();
        (ended == expected).then_some(rows)
    })
    .await;
    let answered = rows
        .iter()
        .filter(|row| row["result"] == "answered")
        .count();
    assert_eq!(answered, expected);
    let mut ids: Vec<String> = rows.iter().map(|row| row["call_id"].to_string()).collect();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), expected);

    // Idle keep-alive connections of this test's own client count as files of the PBX: compare when they are the same.
    crate::support::eventually(Duration::from_secs(20), "the files of before", || async {
        let now = (pbx.open_files(), pbx.sockets());
        (now.0 <= before.0 && now.1 <= before.1).then_some(())
    })
    .await;
    assert_eq!(pbx.recordings().len(), expected);
    for operator in pbx.items("/api/v1/operators?limit=200").await {
        assert_eq!(operator["state"], "available", "{operator}");
    }
}
