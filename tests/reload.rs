//! A new configuration in a running PBX, by API and by SIGHUP: all of it or nothing.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::phone::Vats;
use crate::support::receiver::Receiver;
use crate::support::scenario;
use crate::support::sipp::{Run, Sipp};
use crate::support::{CALLER, free_port, pause};
use serde_json::Value;

const LIMIT: Duration = Duration::from_secs(15);
const TRUNK: &str = "\n[trunks.here]\naccept = [\"127.0.0.1/32\"]\n";

fn number(to: &str) -> String {
    format!("\n[numbers.\"+74951000001\"]\nto = \"{to}\"\n")
}

fn menu(key: &str) -> String {
    format!(
        "\n[menus.main]\nprompt = \"prompts/long.wav\"\nkeys = {{ 1 = \"{key}\" }}\nattempts = 1\n\n[hunts.sales]\nmembers = [\"anna\"]\n"
    )
}

async fn told(receiver: &Receiver, kind: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    crate::support::eventually(LIMIT, kind, || async {
        let all = receiver.deliveries();
        let mut these = all.iter().filter(|delivery| delivery.kind() == kind);
        these
            .find(|delivery| is_it(&delivery.event["data"]))
            .map(|delivery| delivery.event["data"].clone())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_running_call_keeps_its_plan() {
    let server = pbx::server() + TRUNK + &pbx::operator("anna", "") + &number("menu:main");
    let pbx = Pbx::start(&format!("{server}{}", menu("hunt:sales"))).await;
    let folder = pbx.folder();
    let _anna = Vats::answer(folder, pbx.sip, "anna", &["--after", "0s"]).await;
    let options = [
        "--from",
        "sip:+79161111111@127.0.0.1",
        "--keys",
        "1@3s",
        "--for",
        "5s",
    ];
    let old = Vats::dial(folder, pbx.sip, "+74951000001", &options);
    old.says("answered").await;
    let (status, answer) = pbx.reload(&format!("{server}{}", menu("echo"))).await;
    assert_eq!((status, answer["plan_version"].as_u64()), (200, Some(2)));
    let options = [
        "--from",
        "sip:+79162222222@127.0.0.1",
        "--keys",
        "1@500ms",
        "--for",
        "2s",
    ];
    let new = Vats::dial(folder, pbx.sip, "+74951000001", &options);
    for phone in [old, new] {
        let (code, said) = phone.ended().await;
        assert_eq!(code, 0, "{said}");
    }
    let old = pbx.ended_call("+79161111111").await;
    assert_eq!(
        (&old["result"], &old["hunt"]),
        (&"answered".into(), &"sales".into())
    );
    assert_eq!(old["plan_version"], 1);
    let new = pbx.ended_call("+79162222222").await;
    assert_eq!(
        (&new["result"], &new["path"][1]),
        (&"served".into(), &"echo".into())
    );
    assert_eq!(new["plan_version"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn operators_come_and_go() {
    let server = pbx::server() + TRUNK + &number("echo");
    let anna = format!("{server}{}", pbx::operator("anna", ""));
    let boris = format!("{server}{}", pbx::operator("boris", ""));
    let pbx = Pbx::start(&anna).await;
    let folder = pbx.folder();
    let early = Vats::answer_with(folder, pbx.sip, "boris", "secret-boris", &[]);
    assert_eq!(early.ended().await.0, 1);
    let phone = Vats::answer(folder, pbx.sip, "anna", &[]).await;
    pbx.wait_for_state("anna", "available").await;

    pbx.configure(&boris);
    pbx.signal("HUP");
    pbx.wait_for_state("boris", "offline").await;
    assert_eq!(pbx.items("/api/v1/operators").await.len(), 1);
    let _boris = Vats::answer(folder, pbx.sip, "boris", &[]).await;
    pbx.wait_for_state("boris", "available").await;
    let again = Vats::answer_with(folder, pbx.sip, "anna", "secret-anna", &[]);
    assert_eq!(again.ended().await.0, 1);

    // Who was taken out and is put in again has no phone until it registers again.
    let (status, _) = pbx.reload(&anna).await;
    assert_eq!(status, 200);
    pause(200).await;
    assert_eq!(pbx.operator_state("anna").await, "offline");
    drop(phone);
    let _phone = Vats::answer(folder, pbx.sip, "anna", &[]).await;
    pbx.wait_for_state("anna", "available").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_configuration_changes_nothing() {
    let server = pbx::server() + TRUNK;
    let good = format!(
        "{server}{}{}",
        pbx::operator("anna", ""),
        number("operator:anna")
    );
    let pbx = Pbx::start(&good).await;
    let bad = format!(
        "{server}{}{}\n[hunts.sales]\nmembers = [\"anna\", \"carl\"]\nwait = 20\n",
        pbx::operator("zoe", ""),
        number("hunt:sales")
    );
    let (status, answer) = pbx.reload(&bad).await;
    assert_eq!(status, 422, "{answer}");
    let problems = answer["error"]["problems"].as_array().unwrap();
    assert_eq!(problems.len(), 3, "anna, carl and wait: {problems:?}");
    for problem in problems {
        let text = problem.as_str().unwrap();
        assert!(text.starts_with("config/vats.toml:"), "{text}");
        assert!(text.contains(": error: "), "{text}");
    }
    pbx.signal("HUP");
    crate::support::eventually(LIMIT, "the log says why", || async {
        let log = pbx.log();
        (log.contains("there is no [operators.carl]") && log.contains("not reloaded")).then_some(())
    })
    .await;
    let (status, answer) = pbx.reload("[server\n").await;
    assert_eq!(status, 422, "{answer}");
    std::fs::remove_file(pbx.folder().join("config/vats.toml")).unwrap();
    let (status, answer) = pbx.post("/api/v1/reload", &Value::Null).await;
    assert_eq!(status, 422);
    assert!(answer.to_string().contains("no *.toml file"), "{answer}");

    let operators = pbx.items("/api/v1/operators").await;
    assert_eq!(operators.len(), 1);
    assert_eq!(operators[0]["operator"], "anna");
    let call = Vats::dial(pbx.folder(), pbx.sip, "+74951000001", &[]);
    let (code, said) = call.ended().await;
    assert!(code == 1 && said.contains("refused: 480"), "{said}");
    assert_eq!(
        pbx.ended_call("+79160000000").await["path"][0],
        "operator:anna"
    );
    // The counter does not run on for refused plans.
    let (_, answer) = pbx.reload(&good).await;
    assert_eq!(answer["plan_version"], 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_needs_a_restart_is_refused() {
    let server = pbx::server() + TRUNK;
    let pbx = Pbx::start(&format!("{server}{}", number("echo"))).await;
    let sip = format!("udp://{}", pbx.sip);
    for (from, to, key) in [
        (sip.as_str(), "udp://127.0.0.1:0", "server.sip"),
        (
            "http = \"127.0.0.1:0\"",
            "http = \"127.0.0.1:1\"",
            "server.http",
        ),
        ("data/vats.db", "data/other.db", "server.database"),
        (
            "rtp_ports = \"",
            "rtp_ports = \"1024-1123\" #",
            "server.rtp_ports",
        ),
        (
            "drain =",
            "public_address = \"192.0.2.1\"\ndrain =",
            "server.public_address",
        ),
        (
            "[trunks.acme]",
            "[recordings]\npath = \"other\"\n[trunks.acme]",
            "recordings.path",
        ),
    ] {
        let toml = format!("{}{}", server.replace(from, to), number("hangup"));
        let (status, answer) = pbx.reload(&toml).await;
        assert_eq!(status, 422, "{key}: {answer}");
        let why = answer["error"]["problems"][0].as_str().unwrap();
        assert_eq!(why, format!("{key} changed: that needs a restart"));
    }
    let both = server
        .replace("data/vats.db", "data/other.db")
        .replace(&sip, "udp://127.0.0.1:0");
    let (_, answer) = pbx.reload(&format!("{both}{}", number("hangup"))).await;
    assert!(
        answer
            .to_string()
            .contains("server.sip, server.database changed"),
        "{answer}"
    );
    assert!(!pbx.folder().join("data/other.db").exists());
    let call = Vats::dial(pbx.folder(), pbx.sip, "+74951000001", &["--for", "500ms"]);
    assert_eq!(call.ended().await.0, 0, "still the echo");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn trunks_and_webhooks_are_switched() {
    let before = Receiver::start(&[]).await;
    let after = Receiver::start(&[]).await;
    let provider = SocketAddr::new(CALLER, free_port(CALLER));
    let registrar = Sipp::start(&Run {
        local: provider,
        calls: 2,
        ..Run::once(
            scenario::registrar(&[("7495001", "pass-7495001")]),
            CALLER,
            "127.0.0.1:9".parse().unwrap(),
        )
    });
    registrar.listening().await;
    let server = pbx::server() + TRUNK + &number("echo");
    let account = format!(
        "\n[trunks.beta]\npeer = \"{provider}\"\nregister = {{ user = \"7495001\", password = \"pass-7495001\" }}\n"
    );
    let events = ["call.ended", "config.reloaded", "trunk.state"];
    let pbx = Pbx::start(&format!("{server}{}", before.section(&events))).await;
    let (status, answer) = pbx
        .reload(&format!("{server}{account}{}", after.section(&events)))
        .await;
    assert_eq!(status, 200, "{answer}");
    let data = told(&after, "config.reloaded", |_| true).await;
    assert_eq!(data["plan_version"], 2);
    told(&after, "trunk.state", |data| {
        data["trunk"] == "beta" && data["state"] == "registered"
    })
    .await;
    let call = Vats::dial(pbx.folder(), pbx.sip, "+74951000001", &["--for", "500ms"]);
    assert_eq!(call.ended().await.0, 0);
    after.accepted("call.ended", "+79160000000", LIMIT).await;
    assert!(before.deliveries().is_empty(), "{:?}", before.deliveries());

    let (status, _) = pbx
        .reload(&format!("{server}{}", after.section(&events)))
        .await;
    assert_eq!(status, 200);
    told(&after, "trunk.state", |data| {
        data["trunk"] == "beta" && data["state"] == "unregistered"
    })
    .await;
    registrar
        .message(LIMIT, "the end of the registration", |m| {
            m.start().starts_with("REGISTER ") && m.header("Expires") == Some("0")
        })
        .await;
}
