//! The instruments themselves: SIPp scenarios against one another and the RTP peer, without the PBX between them.

use std::time::Duration;

use crate::support::baresip::Baresip;
use crate::support::rtp_peer::RtpPeer;
use crate::support::scenario::{self, Caller, Phone, Then};
use crate::support::sipp::{Run, Sipp};
use crate::support::sound::{self, Law};
use crate::support::{CALLER, PHONES, pause};

const LIMIT: Duration = Duration::from_secs(10);

async fn pair(phone: &Phone, caller: &Caller<'_>) -> (Sipp, Sipp) {
    let remote = "127.0.0.1:9".parse().unwrap();
    let phone = Sipp::start(&Run::once(phone.xml(), PHONES, remote));
    phone.listening().await;
    let caller = Sipp::start(&Run::once(caller.xml(), CALLER, phone.address));
    (phone, caller)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tones_and_keys_are_heard() {
    let (near, far) = tokio::join!(
        RtpPeer::open(CALLER, Law::Mu),
        RtpPeer::open(PHONES, Law::Mu)
    );
    let answer = Phone::Answer(200, far.place(), Law::Mu);
    let call = Caller::new("100", "200", near.place(), Then::HangUpAfter(1_500));
    let (mut phone, mut caller) = pair(&answer, &call).await;
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.tone(Some(440.0));
    near.send_to(media);
    pause(300).await;
    near.press('5');
    caller.finished(LIMIT).await;
    phone.finished(LIMIT).await;
    let audio = far.audio();
    assert!(sound::seconds_of(&audio, 440.0) > 1.0);
    assert!(sound::seconds_of(&audio, 1_000.0) == 0.0);
    let events = far.heard();
    let event = events.iter().find(|p| p.payload_type == 101).unwrap();
    assert_eq!(event.payload[0], 5);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn refusals_and_cancels_run_to_their_end() {
    let media = (CALLER, 9_000);
    let refused = Caller::new("1", "2", media, Then::Refused(603));
    let cancelled = Caller::new("1", "2", media, Then::CancelAfter(500));
    let (declines, rings) = (Phone::Refuse(100, "603 Decline"), Phone::Ring);
    let (first, second) = tokio::join!(pair(&declines, &refused), pair(&rings, &cancelled));
    for mut sipp in [first.1, second.1, first.0, second.0] {
        sipp.finished(LIMIT).await;
    }
}

#[test]
fn the_two_laws_turn_round() {
    for law in [Law::Mu, Law::A] {
        for octet in 0..=255u8 {
            let value = law.decode(octet);
            assert_eq!(law.decode(law.encode(value)), value);
        }
    }
    assert_eq!(Law::A.decode(0xD5), 8);
    assert_eq!(Law::Mu.decode(0x80), 32_124);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn baresip_registers_answers_and_hears() {
    let near = RtpPeer::open(CALLER, Law::Mu).await;
    let accounts = scenario::registrar(&[("beta", "x"), ("anna", "secret-anna")]);
    let nowhere = "127.0.0.1:9".parse().unwrap();
    let mut registrar = Sipp::start(&Run::once(accounts, CALLER, nowhere));
    registrar.listening().await;
    let phone = Baresip::start(registrar.address, "anna", 1_000.0, "PCMU/8000/1").await;
    registrar.finished(LIMIT).await;
    let register = registrar
        .message(LIMIT, "REGISTER", |m| m.start().starts_with("REGISTER"))
        .await;
    let contact = register.header("Contact").unwrap();
    let user = contact.split(['@', ':']).nth(1).unwrap().to_owned();
    let call = Caller::new(&user, "200", near.place(), Then::HangUpAfter(1_500));
    let mut caller = Sipp::start(&Run::once(call.xml(), CALLER, phone.address));
    let media = caller.answer(LIMIT).await.media().unwrap();
    near.tone(Some(440.0));
    near.send_to(media);
    caller.finished(LIMIT).await;
    let theirs = near.audio();
    assert!(sound::seconds_of(&theirs, 1_000.0) > 1.0);
    let ours = phone.heard().await;
    assert!(sound::seconds_of(&ours, 440.0) > 1.0);
}
