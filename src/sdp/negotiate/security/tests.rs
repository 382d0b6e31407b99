//! Offers and answers with keys, between a leg of ours and phones of all kinds.

use super::super::*;
use super::*;

const KEY: &str = "WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz";
const OTHER: &str = "PS1uQCVeeCFCanVmcjkpPywjNWhcYD0mXXtxaVBR";

fn leg(policy: Policy, private: bool, seed: u8) -> Negotiation {
    let mut keys: KeySeed = [[seed; LONGEST_MATERIAL]; 4];
    for (key, number) in keys.iter_mut().zip(1u8..) {
        key.fill(seed.wrapping_mul(7).wrapping_add(number));
    }
    Negotiation::new("198.51.100.1:20000".parse().unwrap(), &[Codec::Pcma], 7)
        .secured(policy, private, keys)
}

fn sdp(medias: &str) -> Vec<u8> {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{medias}")
        .into_bytes()
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).unwrap()
}

fn savp(lines: &str) -> Vec<u8> {
    sdp(&format!("m=audio 4000 RTP/SAVP 8\r\n{lines}"))
}

#[test]
fn a_secure_offer_is_answered_with_the_first_suite_that_we_speak() {
    let offer = savp(&format!(
        "a=crypto:9 AES_CM_256_HMAC_SHA1_80 inline:AAAA\r\n\
         a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:{KEY}|2^31|1:1\r\n\
         a=crypto:5 AES_CM_128_HMAC_SHA1_80 inline:{OTHER}\r\n"
    ));
    for policy in [Policy::Offered, Policy::Required] {
        let mut leg = leg(policy, false, 1);
        let (answer, agreed) = leg.answer(&offer).unwrap();
        let crypto = agreed.crypto.unwrap();
        assert_eq!(crypto.send.suite(), Suite::AesCm128HmacSha1Tag32);
        assert_eq!(&crypto.receive.material()[..8], b"YS___sem");
        let answer = text(&answer);
        assert!(answer.contains("m=audio 20000 RTP/SAVP 8"), "{answer}");
        assert_eq!(answer.matches("a=crypto").count(), 1);
        assert!(answer.contains("a=crypto:4 AES_CM_128_HMAC_SHA1_32 inline:"));
        assert!(!answer.contains(KEY));
    }
    assert_eq!(
        leg(Policy::Off, true, 1)
            .answer(&offer)
            .unwrap_err()
            .warning(),
        Some((302, "Incompatible transport protocol"))
    );
}

#[test]
fn a_plain_offer_with_keys_is_protected_where_that_is_not_off() {
    let offer = sdp(&format!(
        "m=audio 4000 RTP/AVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"
    ));
    for (policy, protected) in [
        (Policy::Off, false),
        (Policy::Offered, true),
        (Policy::Required, true),
    ] {
        let (answer, agreed) = leg(policy, false, 1).answer(&offer).unwrap();
        assert_eq!(agreed.crypto.is_some(), protected);
        assert_eq!(text(&answer).contains("a=crypto:1 "), protected);
        assert!(text(&answer).contains("RTP/AVP 8"));
    }
}

#[test]
fn plain_audio_is_refused_where_protection_is_required() {
    let plain = sdp("m=audio 4000 RTP/AVP 8\r\n");
    assert!(
        leg(Policy::Offered, true, 1)
            .answer(&plain)
            .unwrap()
            .1
            .crypto
            .is_none()
    );
    let error = leg(Policy::Required, true, 1).answer(&plain).unwrap_err();
    assert_eq!(error, SdpError::ProtectionRequired);
    assert_eq!(
        error.warning(),
        Some((302, "Incompatible transport protocol"))
    );
    // Of both, the protected one is taken.
    let both = sdp(&format!(
        "m=audio 4000 RTP/AVP 8\r\nm=audio 4002 RTP/SAVP 8\r\na=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n"
    ));
    let (answer, agreed) = leg(Policy::Offered, false, 1).answer(&both).unwrap();
    assert!(agreed.crypto.is_some());
    assert!(text(&answer).contains("m=audio 0 RTP/AVP 8\r\nm=audio 20000 RTP/SAVP 8\r\n"));
    let (_, agreed) = leg(Policy::Off, false, 1).answer(&both).unwrap();
    assert!(agreed.crypto.is_none());
}

#[test]
fn what_cannot_be_used_is_said_in_a_sentence() {
    let broken = savp("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:AAAA\r\n");
    let mut offered = leg(Policy::Offered, false, 1);
    let error = offered.answer(&broken).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a key of the audio stream (a=crypto) cannot be read: its key has not the length that the suite wants"
    );
    // Beside a good one it is refused too.
    let beside = savp(&format!(
        "a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\na=crypto:2 AEAD_AES_128_GCM\r\n"
    ));
    assert!(matches!(offered.answer(&beside), Err(SdpError::Crypto(_))));
    let other = savp("a=crypto:1 AES_CM_256_HMAC_SHA1_80 inline:AAAA\r\n");
    let error = offered.answer(&other).unwrap_err().to_string();
    assert!(
        error.ends_with("the far side offers AES_CM_256_HMAC_SHA1_80"),
        "{error}"
    );
    let error = offered.answer(&savp("")).unwrap_err().to_string();
    assert!(error.ends_with("the far side names no key"), "{error}");
    assert_eq!(offered.agreed(), None);
}

#[test]
fn keys_are_offered_by_policy() {
    let offer = |policy, private| text(&leg(policy, private, 1).offer()).to_owned();
    assert!(!offer(Policy::Off, true).contains("crypto"));
    assert!(!offer(Policy::Offered, false).contains("crypto"));
    let optional = offer(Policy::Offered, true);
    assert!(optional.contains(" RTP/AVP 8"), "{optional}");
    for (suite, tag) in Suite::ALL.into_iter().zip(1..) {
        assert!(optional.contains(&format!("a=crypto:{tag} {} inline:", suite.as_str())));
    }
    assert!(offer(Policy::Required, false).contains(" RTP/SAVP 8"));
}

#[test]
fn answers_to_our_keys() {
    let line = format!("a=crypto:3 AES_CM_128_HMAC_SHA1_80 inline:{KEY}\r\n");
    let plain = sdp("m=audio 4000 RTP/AVP 8\r\n");
    let with_key = sdp(&format!("m=audio 4000 RTP/AVP 8\r\n{line}"));

    let mut optional = leg(Policy::Offered, true, 1);
    optional.offer();
    assert!(optional.accept_answer(&plain).unwrap().crypto.is_none());
    let agreed = optional.accept_answer(&with_key).unwrap();
    assert_eq!(
        agreed.crypto.unwrap().send.suite(),
        Suite::AesCm128HmacSha1Tag80
    );

    let mut required = leg(Policy::Required, true, 1);
    required.offer();
    assert!(matches!(
        required.accept_answer(&plain),
        Err(SdpError::AnswerMismatch(_))
    ));
    assert!(matches!(
        required.accept_answer(&savp("")),
        Err(SdpError::AnswerMismatch(_))
    ));
    assert!(
        required
            .accept_answer(&savp(&line))
            .unwrap()
            .crypto
            .is_some()
    );

    let mut silent = leg(Policy::Offered, false, 1);
    silent.offer();
    assert!(matches!(
        silent.accept_answer(&savp(&line)),
        Err(SdpError::AnswerMismatch(_))
    ));
    assert!(silent.accept_answer(&with_key).unwrap().crypto.is_none());
}

#[test]
fn two_of_us_agree_and_keep_their_keys() {
    for policy in [Policy::Offered, Policy::Required] {
        let (mut caller, mut callee) = (leg(policy, true, 1), leg(policy, true, 2));
        let (answer, theirs) = callee.answer(&caller.offer()).unwrap();
        let ours = caller.accept_answer(&answer).unwrap();
        let (a, b) = (ours.crypto.clone().unwrap(), theirs.crypto.clone().unwrap());
        assert_eq!((&a.send, &a.receive), (&b.receive, &b.send));
        assert_eq!(a.send.suite(), Suite::AeadAes256Gcm);
        assert!(ours.rtcp_mux && theirs.rtcp_mux);
        // A re-INVITE in either direction keeps them, and says one line only.
        let offer = callee.offer();
        assert_eq!(text(&offer).matches("a=crypto").count(), 1);
        let (answer, again) = caller.answer(&offer).unwrap();
        assert_eq!(again.crypto.as_ref(), Some(&a));
        assert_eq!(
            callee.accept_answer(&answer).unwrap().crypto.as_ref(),
            Some(&b)
        );
    }
}

#[test]
fn reports_go_where_both_want_them() {
    let mut leg = leg(Policy::Off, false, 1);
    let (answer, agreed) = leg
        .answer(&sdp("m=audio 4000 RTP/AVP 8\r\na=rtcp:4009\r\n"))
        .unwrap();
    assert!(!agreed.rtcp_mux && !text(&answer).contains("rtcp-mux"));
    assert_eq!(agreed.rtcp, Some("192.0.2.7:4009".parse().unwrap()));
    let (answer, agreed) = leg
        .answer(&sdp("m=audio 4000 RTP/AVP 8\r\na=rtcp-mux\r\n"))
        .unwrap();
    assert!(agreed.rtcp_mux && text(&answer).contains("a=rtcp-mux\r\n"));
    let mut leg = self::leg(Policy::Off, false, 1);
    assert!(text(&leg.offer()).contains("a=rtcp-mux\r\n"));
    assert!(
        !leg.accept_answer(&sdp("m=audio 4000 RTP/AVP 8\r\n"))
            .unwrap()
            .rtcp_mux
    );
    // A repeated offer does not move the reports.
    assert!(!text(&leg.offer()).contains("rtcp-mux"));
}
