//! G.722 and Opus, their clocks and numbers.

use super::*;

const PHONE: [Codec; 4] = [Codec::Opus, Codec::G722, Codec::Pcma, Codec::Pcmu];

#[test]
fn an_offer_with_everything() {
    let text = leg(&PHONE).offer();
    let text = std::str::from_utf8(&text).unwrap();
    let (_, audio) = text.split_once("m=").unwrap();
    assert_eq!(
        audio,
        "audio 20000 RTP/AVP 111 9 8 0 110 101\r\n\
         a=rtpmap:111 opus/48000/2\r\n\
         a=fmtp:111 useinbandfec=1;stereo=0;sprop-stereo=0;maxaveragebitrate=40000\r\n\
         a=rtpmap:9 G722/8000\r\na=rtpmap:8 PCMA/8000\r\na=rtpmap:0 PCMU/8000\r\n\
         a=rtpmap:110 telephone-event/48000\r\na=fmtp:110 0-16\r\n\
         a=rtpmap:101 telephone-event/8000\r\na=fmtp:101 0-16\r\n\
         a=ptime:20\r\na=sendrecv\r\na=rtcp-mux\r\n"
    );
    // Without Opus there is one clock.
    let text = leg(&[Codec::G722, Codec::Pcma]).offer();
    assert!(!std::str::from_utf8(&text).unwrap().contains("48000"));
}

#[test]
fn opus_is_answered_with_its_number_and_its_clock() {
    let offer = sdp(
        "m=audio 4000 RTP/AVP 96 0 97 98\r\na=rtpmap:96 OPUS/48000/2\r\na=fmtp:96 maxplaybackrate=16000;useinbandfec=1\r\n\
         a=rtpmap:97 telephone-event/8000\r\na=rtpmap:98 telephone-event/48000\r\na=ptime:30\r\n",
    );
    let mut leg = leg(&PHONE);
    let (answer, agreed) = leg.answer(&offer).unwrap();
    assert_eq!((agreed.codec, agreed.send_payload_type), (Codec::Opus, 96));
    assert_eq!(
        (agreed.telephone_event, agreed.event_clock_rate),
        (Some((98, 98)), 48_000)
    );
    assert_eq!(agreed.packet_time_ms, 20, "Opus has no packets of 30 ms");
    let wishes = agreed.opus.unwrap();
    assert!(wishes.fec);
    assert_eq!(wishes.max_playback_hz, 16_000);
    let answer = std::str::from_utf8(&answer).unwrap();
    assert!(answer.contains("m=audio 20000 RTP/AVP 96 98\r\na=rtpmap:96 opus/48000/2\r\n"));
    // Later offers of ours mean the same by the numbers.
    let again = leg.offer();
    let again = std::str::from_utf8(&again).unwrap();
    assert!(
        again.contains("m=audio 20000 RTP/AVP 96 9 8 0 98 97\r\n"),
        "{again}"
    );
}

#[test]
fn a_phone_with_opus_may_have_only_the_telephone_networks_events() {
    let mut leg = leg(&PHONE);
    leg.offer();
    let answer = sdp(
        "m=audio 4000 RTP/AVP 100 101\r\na=rtpmap:100 opus/48000/2\r\na=rtpmap:101 telephone-event/8000\r\n",
    );
    let agreed = leg.accept_answer(&answer).unwrap();
    assert_eq!(
        (
            agreed.codec,
            agreed.send_payload_type,
            agreed.receive_payload_type
        ),
        (Codec::Opus, 100, 111)
    );
    assert_eq!(
        (agreed.telephone_event, agreed.event_clock_rate),
        (Some((101, 101)), 8_000)
    );
}

#[test]
fn g722_needs_no_map_and_counts_at_8_khz() {
    let offer = sdp("m=audio 4000 RTP/AVP 9 8 101\r\na=rtpmap:101 telephone-event/48000\r\n");
    let (_, agreed) = leg(&PHONE).answer(&offer).unwrap();
    assert_eq!(
        (agreed.codec, agreed.send_payload_type, agreed.opus),
        (Codec::G722, 9, None)
    );
    assert_eq!(
        agreed.telephone_event, None,
        "events of another clock do not go with it"
    );
    let wrong = sdp("m=audio 4000 RTP/AVP 96\r\na=rtpmap:96 G722/16000\r\n");
    assert!(leg(&PHONE).answer(&wrong).is_err());
}

#[test]
fn an_answer_that_was_not_sent_yet_can_be_another() {
    let offer = sdp(
        "m=audio 4000 RTP/AVP 107 9 8\r\na=rtpmap:107 opus/48000/2\r\nm=video 4002 RTP/AVP 34\r\n",
    );
    let mut leg = leg(&PHONE);
    let (first, agreed) = leg.answer(&offer).unwrap();
    assert_eq!(agreed.codec, Codec::Opus);
    assert_eq!(
        leg.choices().collect::<Vec<_>>(),
        [Codec::Opus, Codec::G722, Codec::Pcma]
    );
    assert_eq!(leg.answer_with(Codec::Pcmu), None);
    assert_eq!(leg.answer_with(Codec::Opus), None);
    let (second, agreed) = leg.answer_with(Codec::Pcma).unwrap();
    assert_eq!((agreed.codec, agreed.packet_time_ms), (Codec::Pcma, 20));
    assert_eq!(leg.agreed(), Some(&agreed));
    let second = std::str::from_utf8(&second).unwrap();
    assert!(second.contains("m=audio 20000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"));
    assert!(second.contains("m=video 0 "));
    let origin = |text: &str| text.lines().nth(1).unwrap().to_owned();
    assert_eq!(origin(second), origin(std::str::from_utf8(&first).unwrap()));
    assert_ne!(leg.answer_with(Codec::Opus), None, "and back");
}

#[test]
fn packet_times_are_those_that_the_codec_has() {
    for (codec, said, means) in [
        ("8", 10, 10),
        ("8", 50, 50),
        ("8", 90, 60),
        ("111", 10, 10),
        ("111", 50, 40),
        ("111", 120, 60),
    ] {
        let offer = sdp(&format!(
            "m=audio 4000 RTP/AVP {codec}\r\na=rtpmap:111 opus/48000/2\r\na=ptime:{said}\r\n"
        ));
        let (_, agreed) = leg(&PHONE).answer(&offer).unwrap();
        assert_eq!(agreed.packet_time_ms, means, "{codec} {said}");
    }
}
