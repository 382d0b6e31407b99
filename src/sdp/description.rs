//! A received session description (RFC 8866), reduced to what one audio stream needs.
//!
//! The grammar is `sdp-types`'s; before it sees the text, lines it would stumble over although phones send them
//! (bare LF or CR, trailing blanks, bytes that are not UTF-8, unknown or wrongly repeated lines) are mended or left out.

use std::net::{IpAddr, Ipv4Addr};

use super::negotiate::{Codec, Direction, SdpError};
use super::opus_format::OpusFormat;

/// What the far side described: its streams in the order of their m-lines.
#[derive(Clone, PartialEq, Debug)]
pub struct Description {
    /// One per m-line.
    pub streams: Vec<Stream>,
}

/// One m-line with what belongs to it, session-level values filled in.
#[derive(Clone, PartialEq, Debug)]
pub struct Stream {
    /// `audio`, `video`, … as written.
    pub kind: String,
    /// Zero: the stream is refused or closed.
    pub port: u16,
    /// `RTP/AVP` … as written.
    pub proto: String,
    /// The formats as written, in order of preference.
    pub formats: Vec<String>,
    /// Where it is received: its own c= line, else the session's; `None` when neither is there.
    pub connection: Option<String>,
    /// The direction from the far side's point of view.
    pub direction: Direction,
    /// `a=ptime`, milliseconds.
    pub packet_time_ms: Option<u32>,
    /// `a=maxptime`, milliseconds.
    pub max_packet_time_ms: Option<u32>,
    /// `a=rtpmap` (RFC 8866 §6.6).
    pub maps: Vec<RtpMap>,
    /// `a=crypto` (RFC 4568), as written.
    pub crypto: Vec<String>,
    /// `a=rtcp-mux` (RFC 5761): reports come on the same port.
    pub rtcp_mux: bool,
    /// `a=rtcp` (RFC 3605): where reports are received if not one port above; its own address only if it names one.
    pub rtcp: Option<(u16, Option<IpAddr>)>,
    /// `a=fmtp` (RFC 8866 §6.15): payload type and parameters.
    pub parameters: Vec<(u8, String)>,
}

/// What a payload type means in a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct RtpMap {
    /// The payload type.
    pub payload_type: u8,
    /// The encoding's name as written.
    pub encoding: String,
    /// The clock rate in Hz.
    pub clock_rate: u32,
    /// Whether it has one channel.
    pub mono: bool,
}

/// What a format of a stream is to us.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Format {
    /// A voice codec of ours.
    Voice(Codec),
    /// telephone-event (RFC 4733) at a clock rate in hertz: 8,000, or 48,000 beside Opus.
    TelephoneEvent(u32),
}

impl Format {
    /// All that are understood.
    pub const ALL: [Format; 6] = [
        Format::Voice(Codec::Pcmu),
        Format::Voice(Codec::Pcma),
        Format::Voice(Codec::G722),
        Format::Voice(Codec::Opus),
        Format::TelephoneEvent(8_000),
        Format::TelephoneEvent(48_000),
    ];
}

impl Description {
    /// Reads a description; an error says what is wrong with it.
    pub fn parse(text: &[u8]) -> Result<Description, SdpError> {
        if text.len() > MAX_BYTES {
            return Err(malformed("it is longer than 64 KiB"));
        }
        let session = sdp_types::Session::parse(&mend(text))
            .map_err(|error| malformed(&error.to_string()))?;
        if session.medias.len() > MAX_STREAMS {
            return Err(malformed("it has more than 64 streams"));
        }
        let connection = session
            .connection
            .as_ref()
            .map(|connection| connection.connection_address.clone());
        let direction = direction(&session.attributes).unwrap_or(Direction::SendRecv);
        let streams = session
            .medias
            .into_iter()
            .map(|media| Stream::new(media, connection.as_deref(), direction))
            .collect();
        Ok(Description { streams })
    }
}

impl Stream {
    fn new(
        media: sdp_types::Media,
        connection: Option<&str>,
        direction_above: Direction,
    ) -> Stream {
        Stream {
            formats: media
                .fmt
                .split_ascii_whitespace()
                .map(str::to_owned)
                .collect(),
            connection: media
                .connections
                .first()
                .map(|connection| connection.connection_address.as_str())
                .or(connection)
                .map(str::to_owned),
            direction: direction(&media.attributes).unwrap_or(direction_above),
            packet_time_ms: milliseconds(&media.attributes, "ptime"),
            max_packet_time_ms: milliseconds(&media.attributes, "maxptime"),
            maps: media
                .attributes
                .iter()
                .filter(|attribute| attribute.attribute.eq_ignore_ascii_case("rtpmap"))
                .filter_map(|attribute| RtpMap::parse(attribute.value.as_deref()?))
                .collect(),
            crypto: values(&media.attributes, "crypto")
                .map(str::to_owned)
                .collect(),
            rtcp_mux: media
                .attributes
                .iter()
                .any(|attribute| attribute.attribute.eq_ignore_ascii_case("rtcp-mux")),
            rtcp: values(&media.attributes, "rtcp").find_map(rtcp),
            parameters: media
                .attributes
                .iter()
                .filter(|attribute| attribute.attribute.eq_ignore_ascii_case("fmtp"))
                .filter_map(|attribute| {
                    let value = attribute.value.as_deref()?.trim();
                    let (number, parameters) = value.split_once(char::is_whitespace)?;
                    Some((number.parse().ok()?, parameters.trim().to_owned()))
                })
                .collect(),
            kind: media.media,
            port: media.port,
            proto: media.proto,
        }
    }

    /// Whether it is audio over plain RTP; `RTP/AVPF` (RFC 4585) is, as its feedback is optional.
    pub fn is_plain_audio(&self) -> bool {
        self.is_audio()
            && (self.proto.eq_ignore_ascii_case("RTP/AVP")
                || self.proto.eq_ignore_ascii_case("RTP/AVPF"))
    }

    /// Whether it is audio over SRTP with keys in the description: `RTP/SAVP` (RFC 3711 §12) or `RTP/SAVPF` (RFC 5124).
    pub fn is_secure_audio(&self) -> bool {
        self.is_audio()
            && (self.proto.eq_ignore_ascii_case("RTP/SAVP")
                || self.proto.eq_ignore_ascii_case("RTP/SAVPF"))
    }

    /// Whether it is audio of whatever transport.
    pub fn is_audio(&self) -> bool {
        self.kind.eq_ignore_ascii_case("audio")
    }

    /// The formats that we understand with their payload types, in the far side's order.
    pub fn known_formats(&self) -> impl Iterator<Item = (u8, Format)> + '_ {
        self.formats.iter().filter_map(|format| {
            let payload_type = format.parse::<u8>().ok().filter(|&number| number < 128)?;
            Some((payload_type, self.format(payload_type)?))
        })
    }

    /// What a payload type stands for: by its rtpmap, else by RFC 3551's table.
    pub fn format(&self, payload_type: u8) -> Option<Format> {
        match self.map(payload_type) {
            Some(map) => map.format(),
            None => Codec::of_static(payload_type).map(Format::Voice),
        }
    }

    /// Whether its m-line lists this payload type.
    pub fn lists(&self, payload_type: u8) -> bool {
        self.formats
            .iter()
            .any(|format| format.parse() == Ok(payload_type))
    }

    /// The rtpmap of a payload type, if it has one.
    pub fn map(&self, payload_type: u8) -> Option<&RtpMap> {
        self.maps
            .iter()
            .find(|map| map.payload_type == payload_type)
    }

    /// What the far side wants of the Opus that it is sent with this payload type.
    pub fn opus_format(&self, payload_type: u8) -> OpusFormat {
        self.parameters
            .iter()
            .find(|(number, _)| *number == payload_type)
            .map(|(_, parameters)| OpusFormat::parse(parameters))
            .unwrap_or_default()
    }

    /// The far side's receiving address: `None` inside when it is 0.0.0.0 or `::` (the hold of RFC 2543).
    pub fn address(&self) -> Result<Option<IpAddr>, SdpError> {
        let text = self
            .connection
            .as_deref()
            .ok_or_else(|| malformed("the audio stream has no c= line"))?;
        let address = text.split('/').next().unwrap_or_default();
        let address: IpAddr = address
            .parse()
            .map_err(|_| malformed(&format!("`{address}` is not an IP address")))?;
        // An IPv4 address written as an IPv6 one is reached over IPv4 (RFC 5118 §4.9).
        let address = address.to_canonical();
        if address.is_multicast() || address == IpAddr::V4(Ipv4Addr::BROADCAST) {
            return Err(malformed(&format!("{address} is not one host's address")));
        }
        Ok((!address.is_unspecified()).then_some(address))
    }

    /// The names of its formats, for messages to people.
    pub fn format_names(&self) -> String {
        let names: Vec<String> = self
            .formats
            .iter()
            .map(|format| {
                let payload_type = format.parse::<u8>().ok();
                match payload_type.and_then(|number| self.map(number)) {
                    Some(map) => format!("{}/{}", map.encoding, map.clock_rate),
                    None => match payload_type.and_then(Codec::of_static) {
                        Some(codec) => codec.encoding().to_owned(),
                        None => format!("payload type {format}"),
                    },
                }
            })
            .collect();
        names.join(", ")
    }
}

impl RtpMap {
    /// `0 PCMU/8000` or `96 opus/48000/2`.
    fn parse(value: &str) -> Option<RtpMap> {
        let (payload_type, encoding) = value.trim().split_once(char::is_whitespace)?;
        let mut parts = encoding.trim().split('/');
        Some(RtpMap {
            payload_type: payload_type.parse().ok()?,
            encoding: parts.next()?.trim().to_owned(),
            clock_rate: parts.next()?.trim().parse().ok()?,
            mono: parts.next().is_none_or(|channels| channels.trim() == "1"),
        })
    }

    fn format(&self) -> Option<Format> {
        let is = |name: &str| self.encoding.eq_ignore_ascii_case(name);
        match self.clock_rate {
            // Two channels are written and any number sent (RFC 7587 §7).
            48_000 if is("opus") => Some(Format::Voice(Codec::Opus)),
            _ if !self.mono => None,
            8_000 if is("pcmu") => Some(Format::Voice(Codec::Pcmu)),
            8_000 if is("pcma") => Some(Format::Voice(Codec::Pcma)),
            8_000 if is("g722") => Some(Format::Voice(Codec::G722)),
            8_000 | 48_000 if is("telephone-event") => {
                Some(Format::TelephoneEvent(self.clock_rate))
            }
            _ => None,
        }
    }
}

fn direction(attributes: &[sdp_types::Attribute]) -> Option<Direction> {
    let all = [
        Direction::SendRecv,
        Direction::SendOnly,
        Direction::RecvOnly,
        Direction::Inactive,
    ];
    attributes.iter().find_map(|attribute| {
        let is =
            |direction: &Direction| attribute.attribute.eq_ignore_ascii_case(direction.as_str());
        all.into_iter().find(is)
    })
}

fn values<'a>(
    attributes: &'a [sdp_types::Attribute],
    name: &'a str,
) -> impl Iterator<Item = &'a str> {
    attributes
        .iter()
        .filter(move |attribute| attribute.attribute.eq_ignore_ascii_case(name))
        .map(|attribute| attribute.value.as_deref().unwrap_or_default())
}

/// `53020` or `53020 IN IP4 192.0.2.7`.
fn rtcp(value: &str) -> Option<(u16, Option<IpAddr>)> {
    let mut fields = value.split_ascii_whitespace();
    let port = fields.next()?.parse().ok().filter(|port| *port != 0)?;
    let address = fields.nth(2).and_then(|address| address.parse().ok());
    Some((port, address))
}

/// A value in milliseconds; some phones write fractions (`20.0`), which are cut off.
fn milliseconds(attributes: &[sdp_types::Attribute], name: &str) -> Option<u32> {
    let value = attributes
        .iter()
        .find(|attribute| attribute.attribute.eq_ignore_ascii_case(name))?
        .value
        .as_deref()?
        .trim();
    let end = value
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(value.len());
    value.get(..end)?.parse().ok()
}

/// Keeps the lines that matter here, in a form that `sdp-types` reads: v=, the first c= of each section, m= and a=.
fn mend(text: &[u8]) -> Vec<u8> {
    let mut mended = Vec::with_capacity(text.len());
    let mut has_connection = false;
    let mut put = |line: &str| {
        mended.extend_from_slice(line.as_bytes());
        mended.extend_from_slice(b"\r\n");
    };
    for line in text.split(|&byte| byte == b'\n' || byte == b'\r') {
        let line = String::from_utf8_lossy(line);
        let line = line.trim();
        let Some((key, value)) = line.split_once('=') else {
            continue;
        };
        match key {
            "v" => put(&format!("v={}", value.trim())),
            "a" => put(line),
            "c" if !has_connection => {
                has_connection = true;
                put(line);
            }
            "m" => {
                has_connection = false;
                let mut fields: Vec<&str> = value.split_ascii_whitespace().collect();
                if fields.len() == 3 {
                    // A closed stream without any format; a token that is no payload type keeps the line readable.
                    fields.push("-");
                }
                put(&format!("m={}", fields.join(" ")));
            }
            _ => {}
        }
    }
    mended
}

fn malformed(why: &str) -> SdpError {
    SdpError::Malformed(why.to_owned())
}

const MAX_BYTES: usize = 64 * 1024;
const MAX_STREAMS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn audio(text: &str) -> Stream {
        Description::parse(text.as_bytes())
            .unwrap()
            .streams
            .remove(0)
    }

    #[test]
    fn rough_text_is_read() {
        let stream = audio(
            "v=0 \no=broken\nk=?\nz=what\nc=IN IP4 192.0.2.7\nc=IN IP4 192.0.2.8\n\nnonsense\nm=audio  4000  RTP/AVP  0 101 \na=rtpmap:101  telephone-event/8000 \na=ptime:30.0\nx=y",
        );
        assert_eq!(stream.port, 4000);
        assert_eq!(
            stream.address().unwrap(),
            Some("192.0.2.7".parse().unwrap())
        );
        assert_eq!(stream.packet_time_ms, Some(30));
        assert_eq!(
            stream.known_formats().collect::<Vec<_>>(),
            [
                (0, Format::Voice(Codec::Pcmu)),
                (101, Format::TelephoneEvent(8_000))
            ]
        );
    }

    #[test]
    fn carriage_returns_alone_end_lines_too() {
        assert_eq!(
            audio("v=0\rc=IN IP4 192.0.2.7\rm=audio 4 RTP/AVP 8\r").port,
            4
        );
    }

    #[test]
    fn bytes_that_are_not_utf8_do_no_harm() {
        let text =
            b"v=0\r\ns=caf\xe9\r\nc=IN IP4 192.0.2.7\r\nm=audio 4 RTP/AVP 8\r\na=label:\xff\r\n";
        assert_eq!(Description::parse(text).unwrap().streams.len(), 1);
    }

    #[test]
    fn media_level_beats_session_level() {
        let stream = audio(
            "v=0\r\nc=IN IP4 192.0.2.7\r\na=inactive\r\nm=audio 4 RTP/AVP 8\r\nc=IN IP6 2001:db8::1\r\na=sendonly\r\n",
        );
        assert_eq!(
            stream.address().unwrap(),
            Some("2001:db8::1".parse().unwrap())
        );
        assert_eq!(stream.direction, Direction::SendOnly);
    }

    #[test]
    fn a_closed_stream_needs_no_format() {
        let stream = audio("v=0\r\nm=audio 0 RTP/AVP\r\n");
        assert_eq!((stream.port, stream.known_formats().count()), (0, 0));
    }

    #[test]
    fn what_cannot_be_read_is_said() {
        for text in [
            "",
            "hello",
            "v=1\r\n",
            "v=0\r\nm=audio x RTP/AVP 0\r\n",
            "v=0\r\nm=audio\r\n",
        ] {
            assert!(
                matches!(
                    Description::parse(text.as_bytes()),
                    Err(SdpError::Malformed(_))
                ),
                "{text:?}"
            );
        }
        assert!(audio("v=0\r\nm=audio 4 RTP/AVP 0\r\n").address().is_err());
        assert!(
            audio("v=0\r\nc=IN IP4 shop.example\r\nm=audio 4 RTP/AVP 0\r\n")
                .address()
                .is_err()
        );
    }

    #[test]
    fn keys_and_places_of_reports_are_read() {
        let stream = audio(
            "v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4 RTP/SAVP 0\r\na=crypto:1 X inline:y \r\na=crypto:2 Z\r\na=rtcp:53020 IN IP4 192.0.2.9\r\na=rtcp-mux\r\n",
        );
        assert_eq!(stream.crypto, ["1 X inline:y", "2 Z"]);
        assert!(stream.rtcp_mux && stream.is_secure_audio() && !stream.is_plain_audio());
        assert_eq!(
            stream.rtcp,
            Some((53_020, Some("192.0.2.9".parse().unwrap())))
        );
        let stream = audio("v=0\r\nc=IN IP4 192.0.2.7\r\nm=audio 4 RTP/AVP 0\r\na=rtcp:7\r\n");
        assert_eq!((stream.rtcp, stream.rtcp_mux), (Some((7, None)), false));
    }

    #[test]
    fn an_rtpmap_overrides_the_static_table() {
        let stream = audio(
            "v=0\r\nm=audio 4 RTP/AVP 8 96 97\r\na=rtpmap:8 L16/8000\r\na=rtpmap:96 pcma/8000/1\r\na=rtpmap:97 PCMU/16000\r\n",
        );
        assert_eq!(
            stream.known_formats().collect::<Vec<_>>(),
            [(96, Format::Voice(Codec::Pcma))]
        );
        assert_eq!(stream.format_names(), "L16/8000, pcma/8000, PCMU/16000");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = Description::parse(&bytes);
        }
    }
}
