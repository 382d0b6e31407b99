//! Providers: registration with a challenge, two accounts at one address, and laws that differ from the phone's.

use std::net::SocketAddr;
use std::time::Duration;

use crate::support::pbx::{self, Pbx};
use crate::support::receiver::Receiver;
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{self, Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp, Traced};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, free_port, pause};

const LIMIT: Duration = Duration::from_secs(15);
const MEDIA: (std::net::IpAddr, u16) = (CALLER, 9_000);

fn account(name: &str, peer: SocketAddr, user: &str) -> String {
    format!(
        "\n[trunks.{name}]\npeer = \"{peer}\"\nregister = {{ user = \"{user}\", password = \"pass-{user}\", expires = \"5m\" }}\n"
    )
}

const ECHO: &str = "\n[numbers.\"+74951000001\"]\nlanding_page = \"/sofas\"\nto = \"echo\"\n";

/// The user of our Contact in the REGISTER of that account.
fn contact_user(registrar: &Sipp, account: &str) -> String {
    let all = registrar.messages();
    let ours = |m: &&Traced| {
        m.start().starts_with("REGISTER ") && m.header("To").is_some_and(|to| to.contains(account))
    };
    let register = all.iter().find(ours).expect("a REGISTER");
    let contact = register.header("Contact").expect("a Contact");
    let (_, uri) = contact.split_once("sip:").expect("a SIP URI");
    uri.split('@').next().unwrap().to_owned()
}

async fn wait_for_trunk(receiver: &Receiver, trunk: &str, state: &str) {
    crate::support::eventually(LIMIT, &format!("{trunk} is {state}"), || async {
        let all = receiver.deliveries();
        let told = all.iter().find(|d| {
            let data = &d.event["data"];
            d.kind() == "trunk.state" && data["trunk"] == trunk && data["state"] == state
        });
        told.map(|_| ())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_accounts_at_one_address() {
    let receiver = Receiver::start(&[]).await;
    let provider = SocketAddr::new(CALLER, free_port(CALLER));
    let accounts = [("7495001", "pass-7495001"), ("7495002", "pass-7495002")];
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut registrar = Sipp::start(&Run {
        local: provider,
        calls: 2,
        ..Run::once(scenario::registrar(&accounts), CALLER, nowhere)
    });
    registrar.listening().await;
    let toml = pbx::server()
        + &account("beta", provider, "7495001")
        + &account("gamma", provider, "7495002")
        + &receiver.section(&["trunk.state"])
        + ECHO;
    let pbx = Pbx::start(&toml).await;
    wait_for_trunk(&receiver, "beta", "registered").await;
    wait_for_trunk(&receiver, "gamma", "registered").await;
    registrar.finished(LIMIT).await;
    let users = ["7495001", "7495002"].map(|user| contact_user(&registrar, user));
    assert_ne!(users[0], users[1]);
    for (user, trunk, from) in [
        (&users[1], "gamma", "+79160000001"),
        (&users[0], "beta", "+79160000002"),
    ] {
        let call = Caller {
            request_user: Some(user),
            ..Caller::new("+74951000001", from, MEDIA, Then::HangUpAfter(300))
        };
        let mut caller = Sipp::start(&Run {
            local: provider,
            ..Run::once(call.xml(), CALLER, pbx.sip)
        });
        caller.finished(LIMIT).await;
        let row = pbx.ended_call(from).await;
        assert_eq!(row["trunk"], trunk, "{row}");
        assert_eq!(row["result"], "served", "{row}");
        assert_eq!(row["number"], "+74951000001");
    }
}

/// A forward over a trunk whose provider wants credentials for each call: 401 is answered with the account.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_provider_challenges_our_call() {
    let receiver = Receiver::start(&[]).await;
    let provider = SocketAddr::new(CALLER, free_port(CALLER));
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let at_provider = |xml: String| Run {
        local: provider,
        ..Run::once(xml, CALLER, nowhere)
    };
    let accounts = [("7495004", "pass-7495004")];
    let mut registrar = Sipp::start(&at_provider(scenario::registrar(&accounts)));
    registrar.listening().await;
    let toml = pbx::server()
        + &account("beta", provider, "7495004")
        + &receiver.section(&["trunk.state"])
        + "\n[forwards.mobile]\nto = \"+79990000000\"\ntrunk = \"beta\"\n[numbers.\"+74951000001\"]\nto = \"forward:mobile\"\n";
    let pbx = Pbx::start(&toml).await;
    wait_for_trunk(&receiver, "beta", "registered").await;
    registrar.finished(LIMIT).await;
    let callee = scenario::challenging_callee("7495004", "pass-7495004", MEDIA, Law::Mu);
    let mut callee = Sipp::start(&at_provider(callee));
    callee.listening().await;
    let from = "+79160000001";
    let call = Caller::new("+74951000001", from, MEDIA, Then::HangUpAfter(500));
    let mut caller = Sipp::call(pbx.sip, &call);
    caller.finished(LIMIT).await;
    callee.finished(LIMIT).await;
    let row = pbx.ended_call(from).await;
    assert_eq!(row["result"], "answered", "{row}");
    let legs = row["legs"].as_array().unwrap();
    assert_eq!(
        legs[0]["kind"], "caller",
        "in the order in which they began: {row}"
    );
    let forward = &legs[1];
    assert_eq!(forward["trunk"], "beta", "{row}");
    assert_eq!(forward["sip_code"], 200, "{row}");
    assert!(forward["sip_call_id"].is_string(), "{row}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_refused_account_is_told() {
    let receiver = Receiver::start(&[]).await;
    let provider = SocketAddr::new(CALLER, free_port(CALLER));
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut registrar = Sipp::start(&Run {
        local: provider,
        ..Run::once(
            scenario::registrar(&[("7495003", "another")]),
            CALLER,
            nowhere,
        )
    });
    registrar.listening().await;
    let toml = pbx::server()
        + &account("delta", provider, "7495003")
        + &receiver.section(&["trunk.state"])
        + ECHO;
    let _pbx = Pbx::start(&toml).await;
    wait_for_trunk(&receiver, "delta", "failed").await;
    registrar.finished(LIMIT).await;
}

/// The trunk speaks A-law only, the phone µ-law only: both hear each other, and the recording has both.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_law_trunk_and_mu_law_phone() {
    let toml = pbx::server().replace("[\"pcmu\", \"pcma\"]", "[\"pcma\"]")
        + &pbx::operator("anna", "")
        + "\n[numbers.\"+74951000001\"]\nto = \"operator:anna\"\n";
    let pbx = Pbx::start(&toml).await;
    let near = RtpPeer::open(CALLER, Law::A).await;
    let far = RtpPeer::open(PHONES, Law::Mu).await;
    let answer = Phone::Answer(100, far.place(), Law::Mu);
    let mut phone = Sipp::phone(pbx.sip, "anna", &answer, 1).await;
    let number = "+79160000001";
    let call = Caller {
        law: Law::A,
        ..Caller::new(
            "+74951000001",
            number,
            near.place(),
            Then::HangUpAfter(2_500),
        )
    };
    let mut caller = Sipp::call(pbx.sip, &call);
    near.send_to(caller.answer(LIMIT).await.media().unwrap());
    near.tone(Some(440.0));
    far.send_to(phone.invite(LIMIT).await.media().unwrap());
    far.tone(Some(1_000.0));
    caller.finished(LIMIT).await;
    phone.finished(LIMIT).await;
    near.tone(None);
    far.tone(None);
    assert!(sound::seconds_of(&near.audio(), 1_000.0) > 1.8);
    assert!(sound::seconds_of(&far.audio(), 440.0) > 1.8);
    let row = pbx.ended_call(number).await;
    assert_eq!(row["result"], "answered", "{row}");
    pause(500).await;
    let id = row["recording_id"].as_str().expect("a recording");
    let (_, wav) = pbx.fetch(&format!("/api/v1/recordings/{id}/audio")).await;
    let (sides, _) = sound::read_wav(&wav);
    assert!(sound::seconds_of(&sides[0], 440.0) > 1.8);
    assert!(sound::seconds_of(&sides[1], 1_000.0) > 1.8);
}
