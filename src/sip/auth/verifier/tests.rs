use std::time::Duration;

use super::*;
use crate::sip::auth::{Credentials, answer_challenge};
use crate::sip::wire::Writer;

const START: Mono = Mono::from_micros(1_000_000);

fn verifier() -> Verifier {
    Verifier::new("shop", Entropy::from_number(1))
}

fn lookup(user: &str) -> Option<(String, bool)> {
    match user {
        "anna" => Some(("secret".to_owned(), false)),
        "old" => Some(("secret".to_owned(), true)),
        _ => None,
    }
}

fn request(user: &str, authorization: Option<(Name, String)>) -> Message {
    let mut writer = Writer::request("REGISTER", "sip:shop")
        .header(Name::Via, "SIP/2.0/UDP h;branch=z9hG4bK1")
        .header(Name::From, format!("<sip:{user}@shop>;tag=1"))
        .header(Name::To, format!("<sip:{user}@shop>"))
        .header(Name::CallId, "c")
        .header(Name::CSeq, "1 REGISTER");
    if let Some((name, value)) = authorization {
        writer = writer.header(name, value);
    }
    Message::parse(writer.finish()).unwrap()
}

fn values(verdict: Verdict) -> (Vec<String>, bool) {
    match verdict {
        Verdict::Challenge { values, failed } => (values, failed),
        Verdict::Authenticated { user } => panic!("{user} was let in"),
    }
}

/// What a phone answers to these challenges.
fn answer(values: &[String], user: &str, password: &str, uri: &str, count: u32) -> (Name, String) {
    let mut writer = Writer::response(401).header(Name::CSeq, "1 REGISTER");
    for value in values {
        writer = writer.header(Name::WwwAuthenticate, value);
    }
    let response = Message::parse(writer.finish()).unwrap();
    let credentials = Credentials {
        user: user.to_owned(),
        password: password.to_owned(),
        realm: None,
    };
    let mut entropy = Entropy::from_number(u64::from(count));
    answer_challenge(
        &response,
        "REGISTER",
        uri,
        &credentials,
        count,
        &mut entropy,
    )
    .unwrap()
}

fn challenged(verifier: &mut Verifier, user: &str) -> Vec<String> {
    let (values, failed) = values(verifier.check(START, &request(user, None), lookup));
    assert!(!failed);
    values
}

fn authenticated(user: &str) -> Verdict {
    Verdict::Authenticated { user: user.into() }
}

#[test]
fn both_algorithms_are_offered_sha_256_first_and_both_do() {
    let mut verifier = verifier();
    let values = challenged(&mut verifier, "anna");
    assert_eq!(values.len(), 2);
    assert!(values[0].ends_with("qop=\"auth\", algorithm=SHA-256"));
    assert!(values[1].ends_with("qop=\"auth\", algorithm=MD5"));
    for (offer, count) in [(&values[..1], 1), (&values[1..], 2)] {
        let header = answer(offer, "anna", "secret", "sip:shop", count);
        let verdict = verifier.check(START, &request("anna", Some(header)), lookup);
        assert_eq!(verdict, authenticated("anna"));
    }
}

#[test]
fn proxy_authorization_and_a_user_with_domain_do_too() {
    let mut verifier = verifier();
    let values = challenged(&mut verifier, "anna");
    let (_, value) = answer(&values, "anna@shop", "secret", "sip:127.0.0.1:5060", 1);
    let request = request("anna", Some((Name::ProxyAuthorization, value)));
    assert_eq!(
        verifier.check(START, &request, lookup),
        authenticated("anna")
    );
}

#[test]
fn a_count_is_good_for_one_request_and_a_replay_is_stale() {
    let mut verifier = verifier();
    let offer = challenged(&mut verifier, "anna");
    let first = request(
        "anna",
        Some(answer(&offer, "anna", "secret", "sip:shop", 1)),
    );
    assert_eq!(verifier.check(START, &first, lookup), authenticated("anna"));
    let (again, failed) = values(verifier.check(START, &first, lookup));
    assert!(again[0].ends_with(", stale=true") && !failed);
    let second = request(
        "anna",
        Some(answer(&offer, "anna", "secret", "sip:shop", 2)),
    );
    assert_eq!(
        verifier.check(START, &second, lookup),
        authenticated("anna")
    );
}

#[test]
fn old_and_foreign_nonces_are_stale_and_no_failure() {
    let mut verifier = verifier();
    let offer = challenged(&mut verifier, "anna");
    let header = answer(&offer, "anna", "secret", "sip:shop", 1);
    let late = START + Duration::from_secs(301);
    let (again, failed) =
        values(verifier.check(late, &request("anna", Some(header.clone())), lookup));
    assert!(again[0].ends_with(", stale=true") && !failed);
    let mut restarted = Verifier::new("shop", Entropy::from_number(2));
    let (again, failed) = values(restarted.check(START, &request("anna", Some(header)), lookup));
    assert!(again[0].ends_with(", stale=true") && !failed);
}

#[test]
fn a_wrong_password_and_an_unknown_user_look_the_same() {
    let shape = |user: &str, password: &str| {
        let mut verifier = verifier();
        let offer = challenged(&mut verifier, user);
        let header = answer(&offer, user, password, "sip:shop", 1);
        let (again, failed) = values(verifier.check(START, &request(user, Some(header)), lookup));
        assert!(failed);
        (offer, again)
    };
    assert_eq!(shape("anna", "wrong"), shape("nobody", "secret"));
}

#[test]
fn who_is_offered_md5_alone_gets_it_and_nothing_else_does() {
    let mut verifier = verifier();
    let offer = challenged(&mut verifier, "old");
    assert_eq!(offer.len(), 1);
    assert!(offer[0].ends_with("algorithm=MD5"));
    let header = answer(&offer, "old", "secret", "sip:shop", 1);
    assert_eq!(
        verifier.check(START, &request("old", Some(header)), lookup),
        authenticated("old")
    );
    let stronger = [offer[0].replace("MD5", "SHA-256")];
    let header = answer(&stronger, "old", "secret", "sip:shop", 2);
    assert!(values(verifier.check(START, &request("old", Some(header)), lookup)).1);
}

#[test]
fn without_qop_md5_does_once_per_nonce() {
    let mut verifier = verifier();
    let offer = [challenged(&mut verifier, "anna")[1].replace(", qop=\"auth\"", "")];
    let header = answer(&offer, "anna", "secret", "sip:shop", 1);
    let request = request("anna", Some(header));
    assert_eq!(
        verifier.check(START, &request, lookup),
        authenticated("anna")
    );
    assert!(!values(verifier.check(START, &request, lookup)).1);
}

#[test]
fn credentials_for_another_user_of_the_same_host_fail() {
    assert!(uri_fits("sip:shop;transport=udp", "sip:shop"));
    assert!(uri_fits("sip:127.0.0.1:5060", "sip:101@shop"));
    assert!(uri_fits("sip:101@127.0.0.1", "sip:101@shop"));
    assert!(!uri_fits("sip:101@shop", "sip:+7999@shop"));
    assert!(!uri_fits("/index.html", "sip:shop"));
}

#[test]
fn what_cannot_be_checked_is_bare() {
    let mut verifier = verifier();
    for value in [
        "Basic YQ==",
        "Digest realm=\"other\", username=\"anna\", nonce=\"\", uri=\"\", response=\"\"",
        "Digest realm=\"shop\", username=\"anna\"",
        "Digest realm=\"shop\", username=\"anna\", nonce=\"\", uri=\"\", response=\"\", qop=auth, nc=xyz, cnonce=\"\"",
        "Digest realm=\"shop\", username=\"anna\", nonce=\"\", uri=\"\", response=\"\", algorithm=SHA-512-256",
    ] {
        let request = request("anna", Some((Name::Authorization, value.to_owned())));
        let (values, failed) = values(verifier.check(START, &request, lookup));
        assert!(!failed && !values[0].contains("stale"), "{value}");
    }
}

#[test]
fn unknown_users_are_challenged_like_known_ones() {
    let mut verifier = verifier();
    verifier.set_md5_only(1, 2);
    let mut offers = |user: &str| {
        let verdict = verifier.check(START, &request(user, None), lookup);
        values(verdict).0.len()
    };
    assert_eq!((offers("anna"), offers("old")), (2, 1));
    let strangers: Vec<usize> = (0..64).map(|n| offers(&format!("ghost{n}"))).collect();
    assert!(strangers.contains(&1) && strangers.contains(&2));
    for (n, offered) in strangers.into_iter().enumerate() {
        assert_eq!(offers(&format!("ghost{n}")), offered);
    }
    verifier.set_md5_only(2, 2);
    let verdict = verifier.check(START, &request("ghost", None), lookup);
    assert_eq!(values(verdict).0.len(), 1);
}

#[test]
fn a_nonce_is_good_only_where_it_was_sent() {
    let mut verifier = verifier();
    let challenge = verifier.check_from(START, b"here", &request("anna", None), lookup);
    let (challenges, _) = values(challenge);
    let wrong = request(
        "anna",
        Some(answer(&challenges, "anna", "guess", "sip:shop", 1)),
    );
    let (elsewhere, failed) = values(verifier.check_from(START, b"there", &wrong, lookup));
    assert!(!failed && elsewhere[0].ends_with("stale=true"));
    let (here, failed) = values(verifier.check_from(START, b"here", &wrong, lookup));
    assert!(failed && !here[0].contains("stale"));
    // What is not looked at gets what is wrong.
    let unseen = verifier.refuse(START, b"here", &wrong, lookup);
    let (unseen, failed) = values(unseen);
    assert!(!failed && unseen.len() == here.len() && !unseen[0].contains("stale"));
    assert_eq!(verifier.user_of(&wrong), Some("anna"));
}
