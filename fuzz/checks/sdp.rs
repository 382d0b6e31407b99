use vats::sdp::codec::Codec;
use vats::sdp::description::Description;
use vats::sdp::negotiate::Negotiation;

/// Any bytes as an offer and as an answer: refused with a sentence, or answered with as many streams as were offered.
pub fn sdp(bytes: &[u8]) {
    let codecs = [Codec::Pcma, Codec::Pcmu];
    let local = "192.0.2.1:20000".parse().expect("an address");
    let mut leg = Negotiation::new(local, &codecs, 7);
    match leg.answer(bytes) {
        Ok((answer, agreed)) => {
            let offered = Description::parse(bytes).expect("an offer that was answered");
            let answered = Description::parse(&answer).expect("an answer of ours");
            assert_eq!(answered.streams.len(), offered.streams.len());
            assert!(codecs.contains(&agreed.codec));
            assert_eq!(leg.agreed(), Some(&agreed));
            // The same offer again changes nothing that was agreed on.
            let (_, again) = leg.answer(bytes).expect("the same offer");
            assert_eq!(again, agreed);
            let offer = leg.offer();
            let offer = Description::parse(&offer).expect("an offer of ours");
            assert_eq!(offer.streams.len(), offered.streams.len());
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
    let mut leg = Negotiation::new(local, &codecs, 8);
    let offer = leg.offer();
    if let Ok(agreed) = leg.accept_answer(bytes) {
        assert!(codecs.contains(&agreed.codec));
    }
    // Our own offer is one that we would answer.
    let mut other = Negotiation::new(local, &codecs, 9);
    let (answer, _) = other.answer(&offer).expect("an offer of ours");
    leg.accept_answer(&answer).expect("an answer of ours");
}
