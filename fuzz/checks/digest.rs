use bytes::Bytes;
use vats::ledger::clock::Mono;
use vats::ledger::entropy::Entropy;
use vats::sip::auth::{Credentials, Verdict, Verifier, answer_challenge};
use vats::sip::wire::Message;

/// Any credentials are refused with a new challenge; any challenge is answered with one line or not at all.
pub fn digest(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes).replace(['\r', '\n', '\0'], " ");
    let mut entropy = Entropy::from_number(3);
    let mut verifier = Verifier::new("pbx.example", entropy.split());
    let request = read(&format!(
        "REGISTER sip:pbx.example SIP/2.0\r\n{HEAD}Authorization: {text}\r\n\r\n"
    ));
    let now = Mono::from_micros(1_000_000);
    let lookup = |user: &str| (user == "anna").then(|| ("anna-password".to_owned(), false));
    match verifier.check(now, &request, lookup) {
        Verdict::Challenge { values, .. } => {
            assert!(values.iter().all(|value| value.starts_with("Digest ")));
        }
        verdict => panic!("{verdict:?}"),
    }
    let challenge = read(&format!(
        "SIP/2.0 401 Unauthorized\r\n{HEAD}WWW-Authenticate: {text}\r\n\r\n"
    ));
    let anna = Credentials {
        user: "anna".to_owned(),
        password: "anna-password".to_owned(),
        realm: None,
    };
    let uri = "sip:pbx.example";
    let answer = answer_challenge(&challenge, "REGISTER", uri, &anna, 1, &mut entropy);
    if let Some((name, value)) = answer {
        assert!(
            !value.contains(['\r', '\n']) && !value.contains("anna-password"),
            "{value}"
        );
        let request = read(&format!(
            "REGISTER sip:pbx.example SIP/2.0\r\n{HEAD}{name}: {value}\r\n\r\n"
        ));
        assert_eq!(request.header(name), Some(value.trim()));
    }
}

const HEAD: &str = "Via: SIP/2.0/UDP 192.0.2.9;branch=z9hG4bK1\r\nFrom: <sip:anna@pbx.example>;tag=1\r\nTo: <sip:anna@pbx.example>\r\n\
    Call-ID: c\r\nCSeq: 1 REGISTER\r\n";

fn read(text: &str) -> Message {
    Message::parse(Bytes::copy_from_slice(text.as_bytes())).expect("a message")
}
