//! Offer/answer for one leg (RFC 3264): what we offer, what we answer, and what was agreed.
//!
//! One audio stream is used; every other stream of an offer is declined with port 0 in its place. `a=mid`, bundles,
//! ICE are ignored in offers and never offered. How a stream is protected is decided in `security`.

mod choice;
mod error;
mod numbers;
mod security;

use std::net::{IpAddr, SocketAddr};

use bytes::Bytes;
use sdp_types::{Attribute, Connection, Media, MediaType, Origin, Session, TransportProto};
use smallvec::SmallVec;

use self::choice::{Match, event_clocks, telephone_event};
pub use self::error::SdpError;
use self::numbers::Numbers;
pub use self::security::KeySeed;
use self::security::{Security, dress, is_worn};
pub use super::codec::Codec;
use super::crypto::{CryptoAgreed, CryptoLine, Policy};
use super::description::{Description, Format, Stream};
use super::opus_format::OpusFormat;

/// The direction of a stream from our point of view (RFC 8866 §6.7).
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub enum Direction {
    /// Both ways.
    SendRecv,
    /// We send and do not listen.
    SendOnly,
    /// We listen and do not send.
    RecvOnly,
    /// Neither.
    Inactive,
}

impl Direction {
    /// The same stream from the other side's point of view.
    pub const fn reversed(self) -> Direction {
        match self {
            Direction::SendRecv => Direction::SendRecv,
            Direction::SendOnly => Direction::RecvOnly,
            Direction::RecvOnly => Direction::SendOnly,
            Direction::Inactive => Direction::Inactive,
        }
    }

    /// The same without sending.
    const fn without_sending(self) -> Direction {
        match self {
            Direction::SendRecv | Direction::RecvOnly => Direction::RecvOnly,
            Direction::SendOnly | Direction::Inactive => Direction::Inactive,
        }
    }

    /// The attribute's name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Direction::SendRecv => "sendrecv",
            Direction::SendOnly => "sendonly",
            Direction::RecvOnly => "recvonly",
            Direction::Inactive => "inactive",
        }
    }
}

/// What both sides agreed on for the audio stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Agreed {
    /// Where the far side receives RTP; `None` when it gave address 0.0.0.0 or port 0.
    pub remote: Option<SocketAddr>,
    /// The codec, in both directions.
    pub codec: Codec,
    /// The payload type to send voice with (the far side's number).
    pub send_payload_type: u8,
    /// The payload type that we receive voice with (our number).
    pub receive_payload_type: u8,
    /// Payload types for telephone-event (RFC 4733) as (send, receive); `None`: not agreed.
    pub telephone_event: Option<(u8, u8)>,
    /// The clock that durations of telephone events count in, in hertz.
    pub event_clock_rate: u32,
    /// What the far side wants of the Opus that it is sent; `None` with other codecs.
    pub opus: Option<OpusFormat>,
    /// Milliseconds of audio per packet that the far side wants, 10 to 60; 20 unless it said otherwise.
    pub packet_time_ms: u32,
    /// The most milliseconds of audio per packet that the far side takes (`a=maxptime`), if it said so.
    pub max_packet_time_ms: Option<u32>,
    /// From our point of view.
    pub direction: Direction,
    /// How the stream is protected (RFC 4568); `None`: it is plain.
    pub crypto: Option<Box<CryptoAgreed>>,
    /// Reports (RTCP) go over the port of the stream (RFC 5761); otherwise over the one above it.
    pub rtcp_mux: bool,
    /// Where the far side receives reports, if it named a place of its own (RFC 3605).
    pub rtcp: Option<SocketAddr>,
}

impl Agreed {
    /// Whether the far side put us on hold: it does not want to hear us (sendonly, inactive or address 0.0.0.0 on its side).
    pub fn is_held(&self) -> bool {
        self.remote.is_none() || matches!(self.direction, Direction::RecvOnly | Direction::Inactive)
    }

    /// The same with the stream closed (port 0).
    fn closed(&self) -> Agreed {
        Agreed {
            remote: None,
            direction: Direction::Inactive,
            ..self.clone()
        }
    }
}

/// What an offer leaves to choose, best first.
type Choices = SmallVec<[Match; 4]>;

/// One leg's side of offer/answer. Our address, payload numbers and session id never change; the version counts up when what we say changes.
#[derive(Clone, PartialEq, Debug)]
pub struct Negotiation {
    local: SocketAddr,
    codecs: Vec<Codec>,
    session_id: u64,
    version: u64,
    /// What we said last, without the o= line; empty before the first.
    said: Vec<Media>,
    /// Which m-line is our audio.
    audio_at: usize,
    /// The transport that the far side offered it over; `None`: only ours was offered so far.
    transport: Option<String>,
    numbers: Numbers,
    /// What was offered and can be answered; several early dialogs answer one offer.
    offered: Option<Offered>,
    agreed: Option<Agreed>,
    /// What the offer that was answered last leaves to choose, the chosen one among it.
    choices: Choices,
    security: Security,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Offered {
    streams: usize,
    audio_at: usize,
    numbers: Numbers,
    /// Our keys in it.
    lines: Vec<CryptoLine>,
    rtcp_mux: bool,
}

impl Negotiation {
    /// For a leg whose media we receive at `local` (the address to be written), with codecs in order of preference and a random session id (o= line).
    pub fn new(local: SocketAddr, codecs: &[Codec], session_id: u64) -> Negotiation {
        let mut ours: Vec<Codec> = Vec::with_capacity(codecs.len());
        for &codec in codecs {
            if !ours.contains(&codec) {
                ours.push(codec);
            }
        }
        Negotiation {
            local,
            codecs: ours,
            // Many stacks read it as a signed number.
            session_id: session_id & (u64::MAX >> 1),
            version: 0,
            said: Vec::new(),
            audio_at: 0,
            transport: None,
            numbers: Numbers::usual(),
            offered: None,
            agreed: None,
            security: Security::default(),
            choices: SmallVec::new(),
        }
    }

    /// The same with its media protected as the policy says; without this it never is. `private`: nobody on the way reads
    /// what we say, so that keys may be offered unasked.
    #[must_use]
    pub fn secured(mut self, policy: Policy, private: bool, seed: KeySeed) -> Negotiation {
        self.security = Security::new(policy, private, seed);
        self
    }

    /// Our offer: first, or again unchanged (a re-INVITE without SDP asks for it).
    pub fn offer(&mut self) -> Bytes {
        let mut codecs = self.codecs.clone();
        if let Some(agreed) = &self.agreed {
            codecs.sort_by_key(|&codec| codec != agreed.codec);
        }
        let voice: Vec<(Codec, u8)> = codecs
            .into_iter()
            .map(|codec| (codec, self.numbers.of(codec)))
            .collect();
        // An offerer's transport stays what it was, whatever it wrote where it closed the stream.
        let ours = self.security.transport();
        let proto = self.transport.as_deref().unwrap_or(ours);
        let before = self.offered.as_ref().map(|offered| &*offered.lines);
        let lines = self
            .security
            .lines(self.agreed.as_ref(), before.unwrap_or_default());
        let rtcp_mux = self.agreed.as_ref().is_none_or(|agreed| agreed.rtcp_mux);
        let events: Vec<(u8, u32)> = event_clocks(&voice)
            .map(|clock_rate| (self.numbers.event(clock_rate), clock_rate))
            .collect();
        let mut audio = self.audio(proto, &voice, &events, Direction::SendRecv);
        dress(&mut audio, &lines, rtcp_mux);
        // The streams that were declined keep their place (RFC 3264 §8).
        let mut medias = self.said.clone();
        match medias.get_mut(self.audio_at) {
            Some(place) => *place = audio,
            None => medias = vec![audio],
        }
        self.offered = Some(Offered {
            streams: medias.len(),
            audio_at: self.audio_at,
            numbers: self.numbers,
            lines,
            rtcp_mux,
        });
        self.say(medias)
    }

    /// Answers `offer`, first or later (hold, resume, address change). The m-lines are answered in order, those that are not our audio with port 0.
    /// After an error nothing has changed: the session goes on as it was.
    pub fn answer(&mut self, offer: &[u8]) -> Result<(Bytes, Agreed), SdpError> {
        let description = Description::parse(offer)?;
        let Some((index, choices)) = self.choose(&description)? else {
            return self.answer_closed(&description);
        };
        let stream = description.streams.get(index).ok_or(SdpError::NoAudio)?;
        let found = *choices.first().ok_or(SdpError::NoAudio)?;
        let (remote, direction) = self.remote_and_direction(stream)?;
        let (crypto, lines) = match self.security.answer(stream)? {
            Some(secured) => (Some(secured.agreed), vec![secured.line]),
            None => (None, Vec::new()),
        };
        let agreed = Agreed {
            crypto,
            rtcp_mux: stream.rtcp_mux,
            rtcp: place_of_reports(stream, remote),
            ..found.agreed(remote, direction)
        };
        let mut medias: Vec<Media> = description.streams.iter().map(declined).collect();
        if let Some(place) = medias.get_mut(index) {
            *place = self.audio_of(&stream.proto, &found, direction);
            dress(place, &lines, stream.rtcp_mux);
        }
        self.choices = choices;
        self.audio_at = index;
        self.transport = Some(stream.proto.clone());
        self.numbers.learn(stream);
        // A re-INVITE that only refreshes the session offers what was answered here.
        self.offered = Some(Offered {
            streams: medias.len(),
            audio_at: index,
            numbers: self.numbers,
            lines,
            rtcp_mux: stream.rtcp_mux,
        });
        self.agreed = Some(agreed.clone());
        Ok((self.say(medias), agreed))
    }

    /// Answers an offer that nothing can be agreed on: each stream with port 0 in its place (RFC 3264 §6). For offers that
    /// cannot be refused, as they come in a response (RFC 3261 §13.2.1). `None` when it cannot even be read.
    pub fn decline(&mut self, offer: &[u8]) -> Option<Bytes> {
        let description = Description::parse(offer).ok()?;
        let medias = description.streams.iter().map(declined).collect();
        Some(self.say(medias))
    }

    /// The codecs that the offer answered last has in common with us, in our order.
    pub fn choices(&self) -> impl Iterator<Item = Codec> + '_ {
        self.choices.iter().map(|choice| choice.codec)
    }

    /// Answers the offer that was answered last with another of its codecs: for an answer that has not been sent yet. `None`
    /// when the offer does not have that codec, or when there is nothing to change.
    pub fn answer_with(&mut self, codec: Codec) -> Option<(Bytes, Agreed)> {
        let found = *self.choices.iter().find(|choice| choice.codec == codec)?;
        let before = self
            .agreed
            .as_ref()
            .filter(|agreed| agreed.codec != codec)?;
        let agreed = Agreed {
            crypto: before.crypto.clone(),
            rtcp_mux: before.rtcp_mux,
            rtcp: before.rtcp,
            ..found.agreed(before.remote, before.direction)
        };
        let mut medias = self.said.clone();
        let place = medias.get_mut(self.audio_at)?;
        let said = std::mem::replace(place, self.audio_of(&place.proto, &found, agreed.direction));
        let worn = said.attributes.into_iter();
        place.attributes.extend(worn.filter(is_worn));
        self.agreed = Some(agreed.clone());
        // The answer that this one stands for was never seen.
        self.version = self.version.saturating_sub(1);
        Some((self.say(medias), agreed))
    }

    /// Takes the answer to our last offer. May be called again with another answer to the same offer (several early
    /// dialogs, or the 200 after a 183): the last one counts. After an error nothing has changed.
    pub fn accept_answer(&mut self, answer: &[u8]) -> Result<Agreed, SdpError> {
        let Some(offered) = self.offered.clone() else {
            return Err(mismatch("there is no offer to be answered".into()));
        };
        let description = Description::parse(answer)?;
        let count = description.streams.len();
        if count != offered.streams {
            return Err(mismatch(format!(
                "we offered {} streams, it describes {count}",
                offered.streams
            )));
        }
        let stream = description
            .streams
            .get(offered.audio_at)
            .ok_or(SdpError::NoAudio)?;
        if !self.security.speaks(stream) {
            return Err(mismatch(format!(
                "we offered audio over RTP, it says {} over {}",
                stream.kind, stream.proto
            )));
        }
        if stream.port == 0 {
            let closed = self.agreed.as_ref().ok_or(SdpError::NoAudio)?.closed();
            self.agreed = Some(closed.clone());
            return Ok(closed);
        }
        let found = self.match_answer(stream, &offered)?;
        let (remote, direction) = self.remote_and_direction(stream)?;
        let agreed = Agreed {
            crypto: self.security.accept(stream, &offered)?,
            rtcp_mux: offered.rtcp_mux && stream.rtcp_mux,
            rtcp: place_of_reports(stream, remote),
            receive_payload_type: offered.numbers.of(found.codec),
            telephone_event: found
                .event
                .map(|(number, clock_rate)| (number, offered.numbers.event(clock_rate))),
            ..found.agreed(remote, direction)
        };
        self.choices.clear();
        self.agreed = Some(agreed.clone());
        Ok(agreed)
    }

    /// What is agreed now.
    pub fn agreed(&self) -> Option<&Agreed> {
        self.agreed.as_ref()
    }

    /// The stream to take and the codecs in it, best first; `None` when the audio agreed before is being closed.
    fn choose(&self, description: &Description) -> Result<Option<(usize, Choices)>, SdpError> {
        let mut candidates: Vec<(usize, &Stream)> = description
            .streams
            .iter()
            .enumerate()
            .filter(|(_, stream)| self.security.speaks(stream) && stream.port != 0)
            .collect();
        // Of a protected stream and a plain one, the protected one.
        candidates.sort_by_key(|(_, stream)| !stream.is_secure_audio());
        if self.agreed.is_some() {
            candidates.sort_by_key(|&(index, _)| index != self.audio_at);
        }
        let mut wrong = None;
        for &(index, stream) in &candidates {
            // An alternative over the other IP version may stand before the one for us (RFC 4091).
            if let Err(error) = self.remote_and_direction(stream) {
                wrong.get_or_insert(error);
            } else if let Err(error) = self.security.answer(stream) {
                wrong.get_or_insert(error);
            } else {
                let choices = self.match_offer(stream);
                if !choices.is_empty() {
                    return Ok(Some((index, choices)));
                }
                wrong = Some(self.no_common_codec(stream));
            }
        }
        if let Some(error) = wrong {
            return Err(error);
        }
        if let Some(stream) = description
            .streams
            .iter()
            .find(|stream| stream.is_audio() && stream.port != 0)
        {
            return Err(SdpError::NoCommonTransport {
                theirs: stream.proto.clone(),
            });
        }
        let was_ours = description.streams.get(self.audio_at);
        if self.agreed.is_some() && was_ours.is_some_and(Stream::is_audio) {
            return Ok(None);
        }
        Err(SdpError::NoAudio)
    }

    fn answer_closed(&mut self, description: &Description) -> Result<(Bytes, Agreed), SdpError> {
        let closed = self.agreed.as_ref().ok_or(SdpError::NoAudio)?.closed();
        self.agreed = Some(closed.clone());
        let medias = description.streams.iter().map(declined).collect();
        Ok((self.say(medias), closed))
    }

    /// What to take of an offered stream: the codec agreed before while it is still offered, else by our preference.
    fn match_offer(&self, stream: &Stream) -> Choices {
        let agreed = self.agreed.as_ref().map(|agreed| agreed.codec);
        let rest = self.codecs.iter().copied();
        let ours = agreed
            .into_iter()
            .chain(rest.filter(|codec| Some(*codec) != agreed));
        ours.filter_map(|codec| {
            stream
                .known_formats()
                .find(|&(_, format)| format == Format::Voice(codec))
                .map(|(payload_type, _)| Match {
                    event: telephone_event(stream, codec),
                    ..Match::new(stream, codec, payload_type)
                })
        })
        .collect()
    }

    /// What the far side took of our offer: the first format that we offered. It may use its own numbers (RFC 3264 §5.1).
    fn match_answer(&self, stream: &Stream, offered: &Offered) -> Result<Match, SdpError> {
        let (codec, payload_type) = stream
            .known_formats()
            .find_map(|(payload_type, format)| match format {
                Format::Voice(codec) if self.codecs.contains(&codec) => Some((codec, payload_type)),
                _ => None,
            })
            .or_else(|| self.unmapped_voice(stream, offered))
            .ok_or_else(|| self.no_common_codec(stream))?;
        // An answer that repeats our number without its rtpmap means what we meant.
        let unmapped = || {
            let clock_rate = codec.clock_rate();
            let ours = offered.numbers.event(clock_rate);
            (stream.lists(ours) && stream.map(ours).is_none()).then_some((ours, clock_rate))
        };
        Ok(Match {
            event: telephone_event(stream, codec).or_else(unmapped),
            ..Match::new(stream, codec, payload_type)
        })
    }

    /// A dynamic number of ours for a voice codec, repeated without its rtpmap.
    fn unmapped_voice(&self, stream: &Stream, offered: &Offered) -> Option<(Codec, u8)> {
        stream.formats.iter().find_map(|format| {
            let number: u8 = format.parse().ok()?;
            if stream.map(number).is_some() {
                return None;
            }
            let codec = self
                .codecs
                .iter()
                .copied()
                .find(|&codec| offered.numbers.of(codec) == number)?;
            Some((codec, number))
        })
    }

    /// Where to send and which way the stream goes from our point of view. Address 0.0.0.0 is a hold (RFC 3264 §8.4).
    fn remote_and_direction(
        &self,
        stream: &Stream,
    ) -> Result<(Option<SocketAddr>, Direction), SdpError> {
        let direction = stream.direction.reversed();
        Ok(match stream.address()? {
            Some(address) if address.is_ipv4() != self.local.is_ipv4() => {
                return Err(SdpError::OtherFamily {
                    ours: self.local.ip(),
                    theirs: address,
                });
            }
            Some(address) => (Some(SocketAddr::new(address, stream.port)), direction),
            None => (None, direction.without_sending()),
        })
    }

    fn no_common_codec(&self, stream: &Stream) -> SdpError {
        let ours: Vec<&str> = self.codecs.iter().map(|codec| codec.encoding()).collect();
        SdpError::NoCommonCodec {
            ours: ours.join(", "),
            theirs: stream.format_names(),
        }
    }

    fn audio(
        &self,
        proto: &str,
        voice: &[(Codec, u8)],
        events: &[(u8, u32)],
        direction: Direction,
    ) -> Media {
        let formats: Vec<String> = voice
            .iter()
            .map(|&(_, number)| number)
            .chain(events.iter().map(|&(number, _)| number))
            .map(|number| number.to_string())
            .collect();
        let mut media = Media::new(
            MediaType::Audio,
            self.local.port(),
            TransportProto::RtpAvp,
            formats.join(" "),
        );
        proto.clone_into(&mut media.proto);
        let attributes = &mut media.attributes;
        for (codec, number) in voice {
            let mut map = format!("{number} {}/{}", codec.encoding(), codec.clock_rate());
            if let Some(channels) = codec.map_channels() {
                map.push_str(&format!("/{channels}"));
            }
            attributes.push(Attribute::with_value("rtpmap", map));
            if *codec == Codec::Opus {
                let wishes = format!("{number} {}", OpusFormat::OURS);
                attributes.push(Attribute::with_value("fmtp", wishes));
            }
        }
        for (number, clock_rate) in events {
            let map = format!("{number} telephone-event/{clock_rate}");
            attributes.push(Attribute::with_value("rtpmap", map));
            // Digits, *, #, A to D, and flash.
            attributes.push(Attribute::with_value("fmtp", format!("{number} 0-16")));
        }
        attributes.push(Attribute::with_value("ptime", DEFAULT_PACKET_TIME_MS));
        attributes.push(Attribute::new(direction.as_str()));
        media
    }

    /// The audio stream of an answer that takes one codec.
    fn audio_of(&self, proto: &str, found: &Match, direction: Direction) -> Media {
        let events: SmallVec<[(u8, u32); 1]> = found.event.into_iter().collect();
        self.audio(
            proto,
            &[(found.codec, found.payload_type)],
            &events,
            direction,
        )
    }

    fn say(&mut self, medias: Vec<Media>) -> Bytes {
        if self.said != medias {
            self.version += 1;
            self.said = medias;
        }
        let address: IpAddr = self.local.ip();
        let origin = Origin::with_ip_addr(self.session_id, self.version, address);
        let mut session = Session::new(origin, "-");
        session.connection = Some(Connection::from_ip_addr(address));
        session.medias = std::mem::take(&mut self.said);
        let mut text = Vec::with_capacity(320);
        // Writing into a Vec cannot fail.
        let written = session.write(&mut text);
        debug_assert!(written.is_ok());
        self.said = session.medias;
        Bytes::from(text)
    }
}

/// Where the far side receives reports, if it names a place.
fn place_of_reports(stream: &Stream, remote: Option<SocketAddr>) -> Option<SocketAddr> {
    let (port, address) = stream.rtcp?;
    let remote = remote?.ip();
    let address = address.filter(|address| address.is_ipv4() == remote.is_ipv4());
    Some(SocketAddr::new(address.unwrap_or(remote), port))
}

/// A stream of the offer with port 0: refused, in its place, its transport and formats kept (RFC 3264 §6).
fn declined(stream: &Stream) -> Media {
    let mut media = Media::new(
        MediaType::Audio,
        0,
        TransportProto::RtpAvp,
        stream.formats.join(" "),
    );
    stream.kind.clone_into(&mut media.media);
    stream.proto.clone_into(&mut media.proto);
    media
}

fn mismatch(why: String) -> SdpError {
    SdpError::AnswerMismatch(why)
}

const DEFAULT_PACKET_TIME_MS: u32 = 20;

#[cfg(test)]
mod tests;
