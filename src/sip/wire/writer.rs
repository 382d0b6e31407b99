//! Writing messages: nothing that a peer supplied can start a header.

use std::fmt::{self, Display, Write};
use std::net::SocketAddr;

use bytes::Bytes;

use super::message::Message;
use super::name::Name;
use super::scan::{self, Params};
use crate::sip::status;

/// Writes one message. Values are cleared of CR, LF and NUL, so nothing that a peer supplied can start a header.
#[derive(Debug)]
pub struct Writer {
    buffer: Vec<u8>,
}

impl Writer {
    /// Starts a request.
    pub fn request(method: &str, uri: &str) -> Writer {
        let mut writer = Writer::with_room(0);
        writer.word(method);
        writer.buffer.push(b' ');
        writer.word(uri);
        writer.buffer.extend_from_slice(b" SIP/2.0\r\n");
        writer
    }

    /// Starts a response with the standard phrase of its code.
    pub fn response(code: u16) -> Writer {
        Writer::response_with_room(code, 0)
    }

    /// Starts a response to `request`: Via (all), From, To (with `to_tag` if it has none), Call-ID, CSeq, and for 100 Timestamp (RFC 3261 §8.2.6).
    pub fn response_to(request: &Message, code: u16, to_tag: Option<&str>) -> Writer {
        Writer::response_from(request, code, to_tag, None)
    }

    /// As `response_to`; with `source`, where the request came from, the topmost Via gets `received` and `rport` (RFC 3261 §18.2.1, RFC 3581 §4).
    pub fn response_from(
        request: &Message,
        code: u16,
        to_tag: Option<&str>,
        source: Option<SocketAddr>,
    ) -> Writer {
        let mut writer = Writer::response_with_room(code, request.bytes().len());
        let mut vias = request.headers(Name::Via);
        if let Some(topmost) = vias.next() {
            match source {
                Some(source) => writer.topmost_via(topmost, source),
                None => writer.line(Name::Via.as_str(), &topmost),
            }
        }
        for via in vias {
            writer.line(Name::Via.as_str(), &via);
        }
        if let Some(from) = request.header(Name::From) {
            writer.line(Name::From.as_str(), &from);
        }
        if let Some(to) = request.header(Name::To) {
            match to_tag.filter(|_| request.to_tag().is_none()) {
                Some(tag) => writer.line(Name::To.as_str(), &format_args!("{to};tag={tag}")),
                None => writer.line(Name::To.as_str(), &to),
            }
        }
        let copied = match code {
            100 => &[Name::CallId, Name::CSeq, Name::Timestamp][..],
            _ => &[Name::CallId, Name::CSeq][..],
        };
        for &name in copied {
            if let Some(value) = request.header(name) {
                writer.line(name.as_str(), &value);
            }
        }
        writer
    }

    /// Adds a header line.
    pub fn header(mut self, name: Name, value: impl Display) -> Writer {
        if name != Name::Other {
            self.line(name.as_str(), &value);
        }
        self
    }

    /// Adds a header line of any name; characters that a name cannot have are left out.
    pub fn other(mut self, name: &str, value: impl Display) -> Writer {
        let name: String = name
            .chars()
            .filter(|letter| u8::try_from(*letter).is_ok_and(scan::is_token))
            .collect();
        if !name.is_empty() {
            self.line(&name, &value);
        }
        self
    }

    /// Ends without a body: Content-Length 0.
    pub fn finish(mut self) -> Bytes {
        self.buffer.extend_from_slice(b"Content-Length: 0\r\n\r\n");
        Bytes::from(self.buffer)
    }

    /// Ends with a body.
    pub fn finish_with(mut self, content_type: &str, body: &[u8]) -> Bytes {
        self.line(Name::ContentType.as_str(), &content_type);
        self.line(Name::ContentLength.as_str(), &body.len());
        self.buffer.extend_from_slice(b"\r\n");
        self.buffer.extend_from_slice(body);
        Bytes::from(self.buffer)
    }

    fn with_room(room: usize) -> Writer {
        Writer {
            buffer: Vec::with_capacity(room.max(1_024)),
        }
    }

    fn response_with_room(code: u16, room: usize) -> Writer {
        let mut writer = Writer::with_room(room);
        writer.buffer.extend_from_slice(b"SIP/2.0 ");
        writer.value(&code);
        writer.buffer.push(b' ');
        writer
            .buffer
            .extend_from_slice(status::phrase(code).as_bytes());
        writer.buffer.extend_from_slice(b"\r\n");
        writer
    }

    fn line(&mut self, name: &str, value: &dyn Display) {
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(b": ");
        self.value(value);
        self.buffer.extend_from_slice(b"\r\n");
    }

    fn value(&mut self, value: &dyn Display) {
        // A `Display` that fails has written what it could; the line still ends.
        let _ = write!(Clean(&mut self.buffer), "{value}");
    }

    /// A part of the start line: blanks and control characters would divide it anew.
    fn word(&mut self, word: &str) {
        self.buffer
            .extend(word.bytes().filter(|byte| *byte > b' ' && *byte != 0x7f));
    }

    /// The line of the topmost Via with what we know of the source in its first value.
    fn topmost_via(&mut self, line: &str, source: SocketAddr) {
        let bytes = line.as_bytes();
        let sent_by_end = memchr::memchr2(b';', b',', bytes).unwrap_or(bytes.len());
        let mut params = Params::new(bytes, sent_by_end);
        let mut rport = false;
        let mut kept = String::with_capacity(line.len());
        kept.push_str(line.get(..sent_by_end).unwrap_or_default());
        for param in params.by_ref() {
            let name = line.get(param.name.clone()).unwrap_or_default();
            if name.eq_ignore_ascii_case("rport") {
                rport = true;
            } else if !name.eq_ignore_ascii_case("received") {
                let end = param.value.map_or(param.name.end, |value| value.end);
                kept.push(';');
                kept.push_str(line.get(param.name.start..end).unwrap_or_default());
            }
        }
        let rest = line.get(params.stopped_at()..).unwrap_or_default();
        // What is no parameter must not grow together with the last one.
        if !rest.is_empty() && !rest.starts_with(',') {
            kept.push(' ');
        }
        let address = source.ip().to_canonical();
        let port = source.port();
        let named = sent_by_host(line.get(..sent_by_end).unwrap_or_default());
        let via = Name::Via.as_str();
        if rport {
            self.line(
                via,
                &format_args!("{kept};received={address};rport={port}{rest}"),
            );
        } else if named.parse() != Ok(address) {
            self.line(via, &format_args!("{kept};received={address}{rest}"));
        } else {
            self.line(via, &format_args!("{kept}{rest}"));
        }
    }
}

/// The host of `SIP/2.0/UDP host:port`, IPv6 without brackets.
fn sent_by_host(value: &str) -> &str {
    // With blanks around the colon the port stands alone; then the host is not found and `received` is added, which does no harm.
    let sent_by = value
        .trim_end()
        .rsplit([' ', '\t'])
        .next()
        .unwrap_or_default();
    match sent_by.strip_prefix('[') {
        Some(v6) => v6.split(']').next().unwrap_or_default(),
        None => sent_by.split(':').next().unwrap_or_default(),
    }
}

/// Replaces what could end a line by blanks.
struct Clean<'a>(&'a mut Vec<u8>);

impl Write for Clean<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text.as_bytes();
        while let Some(found) = memchr::memchr3(b'\r', b'\n', 0, rest) {
            self.0
                .extend_from_slice(rest.get(..found).unwrap_or_default());
            self.0.push(b' ');
            rest = rest.get(found + 1..).unwrap_or_default();
        }
        self.0.extend_from_slice(rest);
        Ok(())
    }
}
