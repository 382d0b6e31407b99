use super::*;
use proptest::prelude::*;

const BOTH: [Codec; 2] = [Codec::Pcma, Codec::Pcmu];

fn leg(codecs: &[Codec]) -> Negotiation {
    Negotiation::new("198.51.100.1:20000".parse().unwrap(), codecs, u64::MAX)
}

fn sdp(lines: &str) -> Vec<u8> {
    format!("v=0\r\no=- 1 1 IN IP4 192.0.2.7\r\ns=-\r\nc=IN IP4 192.0.2.7\r\nt=0 0\r\n{lines}")
        .into_bytes()
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

fn version(bytes: &Bytes) -> u64 {
    let text = text(bytes);
    let origin = text.lines().find(|line| line.starts_with("o=")).unwrap();
    origin.split(' ').nth(2).unwrap().parse().unwrap()
}

#[test]
fn an_offer_says_everything_we_take() {
    let mut leg = leg(&BOTH);
    assert_eq!(
        text(&leg.offer()),
        "v=0\r\no=- 9223372036854775807 1 IN IP4 198.51.100.1\r\ns=-\r\nc=IN IP4 198.51.100.1\r\nt=0 0\r\n\
         m=audio 20000 RTP/AVP 8 0 101\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\na=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\n"
    );
    assert_eq!(version(&leg.offer()), 1);
}

#[test]
fn our_preference_decides_and_the_offerers_numbers_are_used() {
    let mut leg = leg(&BOTH);
    let offer = sdp(
        "m=audio 4000 RTP/AVP 0 97 18 96\r\na=rtpmap:97 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\na=ptime:30\r\n",
    );
    let (answer, agreed) = leg.answer(&offer).unwrap();
    assert_eq!(
        agreed,
        Agreed {
            remote: Some("192.0.2.7:4000".parse().unwrap()),
            codec: Codec::Pcma,
            send_payload_type: 97,
            receive_payload_type: 97,
            telephone_event: Some((96, 96)),
            event_clock_rate: 8_000,
            opus: None,
            packet_time_ms: 30,
            max_packet_time_ms: None,
            direction: Direction::SendRecv,
            crypto: None,
            rtcp_mux: false,
            rtcp: None,
        }
    );
    assert!(text(&answer).contains("m=audio 20000 RTP/AVP 97 96\r\n"));
    assert!(text(&answer).contains("a=rtpmap:97 PCMA/8000\r\n"));
    // A later offer of ours keeps the numbers' meaning.
    assert!(text(&leg.offer()).contains("m=audio 20000 RTP/AVP 97 0 96\r\n"));
    assert_eq!(leg.agreed(), Some(&agreed));
}

#[test]
fn numbers_that_mean_something_else_to_the_offerer_are_given_up() {
    let mut leg = leg(&BOTH);
    leg.answer(&sdp(
        "m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 opus/48000/2\r\n",
    ))
    .unwrap();
    assert!(text(&leg.offer()).contains("m=audio 20000 RTP/AVP 8 0 96\r\n"));
}

#[test]
fn other_streams_are_declined_in_their_place() {
    let mut leg = leg(&BOTH);
    let offer = sdp(
        "a=group:BUNDLE 0 1 2\r\nm=video 5000 RTP/AVP 96 97\r\na=rtpmap:96 H264/90000\r\nm=audio 4002 RTP/SAVP 0\r\nm=audio 4000 RTP/AVPF 0\r\na=mid:1\r\nm=image 4004 udptl t38\r\n",
    );
    let (answer, agreed) = leg.answer(&offer).unwrap();
    assert_eq!(agreed.remote, Some("192.0.2.7:4000".parse().unwrap()));
    assert_eq!(agreed.telephone_event, None);
    let answer = text(&answer);
    let lines: Vec<&str> = answer
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 96 97",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 20000 RTP/AVPF 0",
            "m=image 0 udptl t38"
        ]
    );
    let again = text(&leg.offer());
    let lines: Vec<&str> = again
        .lines()
        .filter(|line| line.starts_with("m="))
        .collect();
    assert_eq!(
        lines,
        [
            "m=video 0 RTP/AVP 96 97",
            "m=audio 0 RTP/SAVP 0",
            "m=audio 20000 RTP/AVPF 0 8 101",
            "m=image 0 udptl t38"
        ]
    );
}

#[test]
fn hold_and_resume() {
    let mut leg = leg(&BOTH);
    let offer = |line: &str| sdp(&format!("m=audio 4000 RTP/AVP 0\r\n{line}"));
    let (first, _) = leg.answer(&offer("")).unwrap();
    let (again, _) = leg.answer(&offer("")).unwrap();
    assert_eq!((first.clone(), version(&first)), (again, 1));
    for (theirs, ours, held) in [
        ("a=sendonly\r\n", Direction::RecvOnly, true),
        ("a=inactive\r\n", Direction::Inactive, true),
        ("a=recvonly\r\n", Direction::SendOnly, false),
        ("a=sendrecv\r\n", Direction::SendRecv, false),
    ] {
        let before = version(&leg.offer());
        let (answer, agreed) = leg.answer(&offer(theirs)).unwrap();
        assert_eq!((agreed.direction, agreed.is_held()), (ours, held));
        assert!(text(&answer).contains(&format!("a={}\r\n", ours.as_str())));
        assert_eq!(version(&answer), before + 1);
    }
}

#[test]
fn the_old_hold_by_address_zero() {
    let mut leg = leg(&BOTH);
    leg.answer(&sdp("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    let (answer, agreed) = leg
        .answer(&sdp("m=audio 4000 RTP/AVP 0\r\nc=IN IP4 0.0.0.0\r\n"))
        .unwrap();
    assert_eq!(agreed.remote, None);
    assert!(agreed.is_held());
    assert!(text(&answer).contains("a=recvonly\r\n"));
    assert!(text(&answer).contains("m=audio 20000 "));
}

#[test]
fn a_closed_stream_is_answered_closed_and_can_open_again() {
    let mut leg = leg(&BOTH);
    assert_eq!(
        leg.answer(&sdp("m=audio 0 RTP/AVP 0\r\n")),
        Err(SdpError::NoAudio)
    );
    leg.answer(&sdp("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    let (answer, agreed) = leg.answer(&sdp("m=audio 0 RTP/AVP 0\r\n")).unwrap();
    assert_eq!((agreed.remote, agreed.is_held()), (None, true));
    assert!(text(&answer).contains("m=audio 0 RTP/AVP 0\r\n"));
    let (_, agreed) = leg.answer(&sdp("m=audio 4006 RTP/AVP 8 0\r\n")).unwrap();
    assert_eq!(agreed.remote, Some("192.0.2.7:4006".parse().unwrap()));
    assert_eq!(agreed.codec, Codec::Pcmu, "the codec agreed before is kept");
}

#[test]
fn what_a_stream_was_closed_as_is_not_what_it_opens_as() {
    for closing in ["RTP/SAVP 0", "udptl t38", "RTP/AVP 18"] {
        let mut leg = leg(&BOTH);
        leg.answer(&sdp("m=audio 4000 RTP/AVPF 0\r\n")).unwrap();
        let closing = format!("m=audio 0 {closing}\r\n");
        let (answer, _) = leg.answer(&sdp(&closing)).unwrap();
        assert!(text(&answer).contains(&closing));
        assert!(text(&leg.offer()).contains("m=audio 20000 RTP/AVPF 0 8 101\r\n"));
    }
}

#[test]
fn the_codec_changes_when_the_old_one_is_no_longer_offered() {
    let mut leg = leg(&BOTH);
    leg.answer(&sdp("m=audio 4000 RTP/AVP 8 0\r\n")).unwrap();
    let (_, agreed) = leg.answer(&sdp("m=audio 4000 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(agreed.codec, Codec::Pcmu);
}

#[test]
fn what_cannot_be_agreed_is_said_and_changes_nothing() {
    let mut leg = leg(&[Codec::Pcma]);
    leg.answer(&sdp("m=audio 4000 RTP/AVP 8\r\n")).unwrap();
    let before = leg.clone();
    let error = leg
        .answer(&sdp(
            "m=audio 4000 RTP/AVP 0 18 111\r\na=rtpmap:111 opus/48000/2\r\n",
        ))
        .unwrap_err();
    assert_eq!(
        error.to_string(),
        "no codec in common: this PBX speaks PCMA, the far side PCMU, payload type 18, opus/48000"
    );
    assert!(matches!(
        leg.answer(&sdp("m=audio 4000 RTP/SAVP 8\r\n")),
        Err(SdpError::NoCommonTransport { .. })
    ));
    assert_eq!(
        leg.answer(&sdp("m=video 4000 RTP/AVP 96\r\n")),
        Err(SdpError::NoAudio)
    );
    assert_eq!(leg.answer(&sdp("")), Err(SdpError::NoAudio));
    assert!(matches!(leg.answer(b"hello"), Err(SdpError::Malformed(_))));
    assert_eq!(leg, before);
}

#[test]
fn an_answer_may_use_its_own_numbers() {
    let mut leg = leg(&BOTH);
    leg.offer();
    let agreed = leg
        .accept_answer(&sdp(
            "m=audio 4000 RTP/AVP 18 98 0 96\r\na=rtpmap:98 PCMA/8000\r\na=rtpmap:96 telephone-event/8000\r\n",
        ))
        .unwrap();
    assert_eq!(agreed.codec, Codec::Pcma);
    assert_eq!(
        (agreed.send_payload_type, agreed.receive_payload_type),
        (98, 8)
    );
    assert_eq!(agreed.telephone_event, Some((96, 101)));
}

#[test]
fn an_answer_without_maps_means_what_we_meant() {
    let mut leg = leg(&BOTH);
    leg.offer();
    let agreed = leg
        .accept_answer(&sdp("m=audio 4000 RTP/AVP 0 101\r\na=sendonly\r\n"))
        .unwrap();
    assert_eq!(agreed.telephone_event, Some((101, 101)));
    assert_eq!(agreed.direction, Direction::RecvOnly);
}

#[test]
fn several_answers_to_one_offer_the_last_counts() {
    let mut leg = leg(&BOTH);
    leg.offer();
    leg.accept_answer(&sdp("m=audio 4000 RTP/AVP 8\r\n"))
        .unwrap();
    leg.accept_answer(&sdp("m=audio 4010 RTP/AVP 0\r\n"))
        .unwrap();
    let agreed = leg.agreed().unwrap();
    assert_eq!(agreed.remote, Some("192.0.2.7:4010".parse().unwrap()));
    assert_eq!(agreed.codec, Codec::Pcmu);
}

#[test]
fn answers_that_do_not_fit() {
    let mut leg = leg(&[Codec::Pcmu]);
    assert!(matches!(
        leg.accept_answer(&sdp("m=audio 4000 RTP/AVP 0\r\n")),
        Err(SdpError::AnswerMismatch(_))
    ));
    leg.offer();
    for answer in [
        "",
        "m=audio 4000 RTP/AVP 0\r\nm=video 4 RTP/AVP 96\r\n",
        "m=video 4000 RTP/AVP 0\r\n",
        "m=audio 4000 RTP/SAVP 0\r\n",
    ] {
        assert!(
            matches!(
                leg.accept_answer(&sdp(answer)),
                Err(SdpError::AnswerMismatch(_))
            ),
            "{answer:?}"
        );
    }
    assert!(matches!(
        leg.accept_answer(&sdp("m=audio 4000 RTP/AVP 8\r\n")),
        Err(SdpError::NoCommonCodec { .. })
    ));
    assert_eq!(
        leg.accept_answer(&sdp("m=audio 0 RTP/AVP 0\r\n")),
        Err(SdpError::NoAudio)
    );
    assert_eq!(leg.agreed(), None);
    leg.accept_answer(&sdp("m=audio 4000 RTP/AVP 0\r\n"))
        .unwrap();
    leg.offer();
    let closed = leg.accept_answer(&sdp("m=audio 0 RTP/AVP 0\r\n")).unwrap();
    assert_eq!(closed.remote, None);
}

#[test]
fn ipv6_and_packet_times() {
    let mut leg = Negotiation::new("[2001:db8::5]:20000".parse().unwrap(), &BOTH, 7);
    let offer =
        "v=0\r\nc=IN IP6 2001:db8::9\r\nm=audio 4000 RTP/AVP 0\r\na=ptime:60\r\na=maxptime:45\r\n";
    let (answer, agreed) = leg.answer(offer.as_bytes()).unwrap();
    assert_eq!(agreed.remote, Some("[2001:db8::9]:4000".parse().unwrap()));
    assert_eq!(agreed.packet_time_ms, 40);
    assert_eq!(agreed.max_packet_time_ms, Some(45));
    assert!(text(&answer).contains("c=IN IP6 2001:db8::5\r\n"));
}

#[test]
fn numbers_may_change_with_a_later_offer() {
    let mut leg = leg(&BOTH);
    let first = sdp("m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 telephone-event/8000\r\n");
    let (_, agreed) = leg.answer(&first).unwrap();
    assert_eq!(agreed.telephone_event, Some((101, 101)));
    // The same codec and events by other numbers; the old one of the events means something else now.
    let second = sdp(
        "m=audio 4000 RTP/AVP 98 97\r\na=rtpmap:98 PCMA/8000\r\na=rtpmap:97 telephone-event/8000\r\na=rtpmap:101 speex/8000\r\n",
    );
    let (answer, agreed) = leg.answer(&second).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Pcma, 98));
    assert_eq!(agreed.receive_payload_type, 98);
    assert_eq!(agreed.telephone_event, Some((97, 97)));
    assert!(text(&answer).contains("m=audio 20000 RTP/AVP 98 97\r\n"));
    // An offer of ours uses what was agreed last.
    assert!(text(&leg.offer()).contains(" RTP/AVP 98 0 97\r\n"));
    // And back.
    let (_, agreed) = leg.answer(&first).unwrap();
    assert_eq!(
        (agreed.send_payload_type, agreed.telephone_event),
        (8, Some((101, 101)))
    );
}

#[test]
fn of_several_audio_streams_one_is_taken_and_stays() {
    let two = |ports: [u16; 2]| {
        let [a, b] = ports;
        sdp(&format!(
            "m=audio {a} RTP/AVP 18\r\nm=audio {b} RTP/AVP 8\r\nm=video 5000 RTP/AVP 96\r\n"
        ))
    };
    let mut leg = leg(&BOTH);
    let (answer, agreed) = leg.answer(&two([4000, 4002])).unwrap();
    assert_eq!(agreed.remote.unwrap().port(), 4002);
    assert!(text(&answer).contains("m=audio 0 RTP/AVP 18\r\nm=audio 20000 RTP/AVP 8\r\n"));
    assert!(text(&answer).contains("m=video 0 RTP/AVP 96\r\n"));
    // The one that was taken is closed by its offerer: it stays so, in its place.
    assert!(
        leg.answer(&two([4000, 0])).is_err(),
        "the other is of no use"
    );
    assert_eq!(leg.agreed(), Some(&agreed));
    let (answer, agreed) = leg.answer(&two([0, 0])).unwrap();
    assert_eq!(
        (agreed.remote, agreed.direction),
        (None, Direction::Inactive)
    );
    assert_eq!(text(&answer).matches("m=audio 0 ").count(), 2);
    // Offered again, it is taken again.
    let (_, agreed) = leg.answer(&two([0, 4006])).unwrap();
    assert_eq!(agreed.remote.unwrap().port(), 4006);
}

/// RFC 3261 §13.2.1: an offer in a 2xx is answered in the ACK, whatever can be done with it.
#[test]
fn an_offer_of_no_use_is_answered_with_every_stream_declined() {
    let mut leg = leg(&BOTH);
    let offer = sdp("m=audio 4000 RTP/AVP 18\r\nm=video 5000 RTP/AVP 96\r\n");
    assert!(leg.answer(&offer).is_err());
    let answer = leg.decline(&offer).unwrap();
    assert!(text(&answer).ends_with("m=audio 0 RTP/AVP 18\r\nm=video 0 RTP/AVP 96\r\n"));
    assert_eq!(leg.agreed(), None);
    assert_eq!(leg.decline(b"nonsense"), None);
}

#[test]
fn reports_have_a_place_of_their_own_over_ipv6_too() {
    let mut leg = Negotiation::new("[2001:db8::5]:20000".parse().unwrap(), &BOTH, 7);
    // The stream's c= line counts, not the session's; and what is no time per packet is passed over.
    let offer = "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::9\r\n\
                 a=rtcp:4009 IN IP6 2001:db8::a\r\na=ptime:x\r\na=maxptime:5\r\n";
    let (answer, agreed) = leg.answer(offer.as_bytes()).unwrap();
    assert_eq!(agreed.remote, Some("[2001:db8::9]:4000".parse().unwrap()));
    assert_eq!(agreed.rtcp, Some("[2001:db8::a]:4009".parse().unwrap()));
    assert_eq!(agreed.packet_time_ms, 20);
    assert!(!text(&answer).contains("rtcp-mux"));
}

fn line() -> impl Strategy<Value = String> {
    prop_oneof![
        "m=(audio|video|image) (0|4000|65535|70000) (RTP/AVP|RTP/AVPF|RTP/SAVP|udptl)( (0|8|9|96|101|t38)){0,4}",
        "a=rtpmap:(0|8|96|97|101) (PCMU|pcma|telephone-event|opus)/(8000|48000)",
        "a=(sendrecv|sendonly|recvonly|inactive|ptime:20|ptime:0|maxptime:5|mid:0)",
        "c=IN IP4 (192\\.0\\.2\\.1|0\\.0\\.0\\.0|shop|224\\.0\\.0\\.1/127)",
        "[a-z]=[ -~]{0,20}",
        "[ -~]{0,20}",
    ]
}

fn description() -> impl Strategy<Value = Vec<u8>> {
    proptest::collection::vec(line(), 0..12)
        .prop_map(|lines| format!("v=0\r\n{}\r\n", lines.join("\r\n")).into_bytes())
}

proptest! {
    #[test]
    fn an_answer_mirrors_the_offer(offers in proptest::collection::vec(description(), 1..5)) {
        let mut leg = leg(&BOTH);
        for offer in offers {
            let before = leg.clone();
            match leg.answer(&offer) {
                Ok((answer, agreed)) => {
                    let theirs = Description::parse(&offer).unwrap();
                    let ours = Description::parse(&answer).unwrap();
                    prop_assert_eq!(ours.streams.len(), theirs.streams.len());
                    prop_assert!(ours.streams.iter().filter(|stream| stream.port != 0).count() <= 1);
                    for (answered, offered) in ours.streams.iter().zip(&theirs.streams) {
                        prop_assert_eq!(&answered.kind, &offered.kind);
                        prop_assert_eq!(&answered.proto, &offered.proto);
                        prop_assert!(answered.formats.iter().all(|format| offered.formats.contains(format)));
                    }
                    prop_assert!(matches!(agreed.packet_time_ms, 10..=60));
                    // Whoever offered can take what we answered, and we our own offer back.
                    let mut far = Negotiation::new("192.0.2.7:4000".parse().unwrap(), &BOTH, 1);
                    prop_assert_eq!(Description::parse(&leg.offer()).unwrap().streams.len(), theirs.streams.len());
                    prop_assert!(far.answer(&leg.offer()).is_ok());
                }
                Err(_) => prop_assert_eq!(&leg, &before),
            }
        }
    }

    #[test]
    fn no_answer_makes_it_panic(answer in description()) {
        let mut leg = leg(&BOTH);
        leg.offer();
        let before = leg.clone();
        if leg.accept_answer(&answer).is_err() {
            prop_assert_eq!(&leg, &before);
        }
    }

    #[test]
    fn two_of_us_always_agree(a in 0..3usize, b in 0..3usize) {
        let choices: [&[Codec]; 3] = [&[Codec::Pcma], &[Codec::Pcmu], &BOTH];
        let (mut caller, mut callee) = (leg(choices[a]), leg(choices[b]));
        if let Ok((answer, theirs)) = callee.answer(&caller.offer()) {
            let ours = caller.accept_answer(&answer).unwrap();
            prop_assert_eq!(ours.codec, theirs.codec);
            prop_assert_eq!(ours.telephone_event, Some((101, 101)));
        } else {
            prop_assert!(a != b && a < 2 && b < 2);
        }
    }
}

#[test]
fn an_address_that_no_packet_of_ours_reaches_is_refused() {
    let offer =
        |address: &str| format!("v=0\r\nc=IN {address}\r\nm=audio 4000 RTP/AVP 0\r\n").into_bytes();
    assert!(matches!(
        leg(&BOTH).answer(&offer("IP6 2001:db8::9")),
        Err(SdpError::OtherFamily { .. })
    ));
    for address in ["IP4 224.1.1.1/127", "IP4 255.255.255.255"] {
        let refused = leg(&BOTH).answer(&offer(address));
        assert!(matches!(refused, Err(SdpError::Malformed(_))), "{address}");
    }
    // An unspecified address is a hold, whatever its version.
    assert!(leg(&BOTH).answer(&offer("IP6 ::")).is_ok());
}

#[test]
fn an_alternative_over_the_other_ip_version_before_ours_does_no_harm() {
    let mut leg = leg(&BOTH);
    let offer =
        sdp("m=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\nm=audio 4002 RTP/AVP 0 8\r\n");
    let (answer, agreed) = leg.answer(&offer).unwrap();
    assert_eq!(agreed.remote, Some("192.0.2.7:4002".parse().unwrap()));
    let answer = text(&answer);
    assert!(answer.contains("m=audio 0 RTP/AVP 8\r\nm=audio 20000 RTP/AVP 8\r\n"));
    let other = sdp("m=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\n");
    assert!(matches!(
        leg.answer(&other),
        Err(SdpError::OtherFamily { .. })
    ));
    let worse = sdp("m=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\nm=audio 4002 RTP/AVP 9\r\n");
    assert!(matches!(
        leg.answer(&worse),
        Err(SdpError::NoCommonCodec { .. })
    ));
}

#[test]
fn each_refusal_has_its_warning_code() {
    for (lines, code) in [
        ("m=audio 4000 RTP/AVP 9\r\n", Some(305)),
        ("m=video 4000 RTP/AVP 96\r\n", Some(304)),
        ("m=audio 4000 RTP/SAVP 8\r\n", Some(302)),
        (
            "m=audio 4000 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\n",
            Some(301),
        ),
        ("m=audio x\r\n", None),
    ] {
        let error = leg(&BOTH).answer(&sdp(lines)).unwrap_err();
        assert_eq!(error.warning().map(|(code, _)| code), code, "{error}");
    }
}

#[test]
fn what_was_answered_can_be_offered_again_to_refresh_the_session() {
    let mut leg = leg(&BOTH);
    let held = sdp("m=video 9 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n");
    leg.answer(&held).unwrap();
    // The far side's answer to that repeats what it said, or resumes.
    let still = leg
        .accept_answer(&sdp(
            "m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0\r\na=sendonly\r\n",
        ))
        .unwrap();
    assert!(still.is_held());
    let back = leg
        .accept_answer(&sdp("m=video 0 RTP/AVP 31\r\nm=audio 4000 RTP/AVP 0\r\n"))
        .unwrap();
    assert!(!back.is_held());
    assert_eq!(back.codec, Codec::Pcmu);
}

mod codecs;
