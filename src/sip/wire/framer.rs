//! Framing on streams (RFC 3261 §18.3): messages end where Content-Length says, with keep-alives between them (RFC 5626 §4.4.1).
//!
//! What is in a message is not looked at beyond its length; WebSockets frame by themselves and do not come here.

use bytes::{Buf, Bytes, BytesMut};

/// The longest head: start line and headers.
pub const MAX_HEAD: usize = 32 * 1024;
/// The longest message that is taken off a stream; what is answered 513 although it could be framed is the endpoint's.
pub const MAX_FRAME: usize = 64 * 1024;

/// What comes off a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Frame {
    /// A whole message.
    Message(Bytes),
    /// A double CRLF: to be answered with a single one.
    Ping,
    /// A single CRLF: the answer to a ping of ours.
    Pong,
}

/// Why nothing after this can be told apart: the stream is to be closed.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// The head has no end.
    #[error("The headers are longer than {} KiB", MAX_HEAD / 1024)]
    HeadTooLong,
    /// It would be answered 513.
    #[error("The message is longer than {} KiB", MAX_FRAME / 1024)]
    TooLarge,
    /// RFC 3261 §20.14: mandatory over streams.
    #[error(
        "Content-Length is missing; over TCP, TLS and the like nothing else tells where a message ends"
    )]
    NoLength,
    /// No number, or two that differ.
    #[error("Content-Length is no number, or two that differ")]
    BadLength,
}

impl FrameError {
    /// The status that says so.
    pub const fn status(self) -> u16 {
        match self {
            FrameError::HeadTooLong | FrameError::TooLarge => 513,
            FrameError::NoLength | FrameError::BadLength => 400,
        }
    }
}

/// Cuts the bytes of one stream into frames.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: BytesMut,
    /// How far the end of the head was looked for.
    searched: usize,
    /// The length of the head and of the whole message, once the head is there.
    known: Option<(usize, usize)>,
}

impl Framer {
    /// With nothing read yet.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// Where to put what is read.
    pub fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// Whether a message has begun and not ended.
    pub fn is_within(&self) -> bool {
        let begun = self.buffer.get(..self.buffer.len().min(4));
        begun.is_some_and(|bytes| bytes.iter().any(|byte| !matches!(byte, b'\r' | b'\n')))
    }

    /// The next frame; `Ok(None)`: more has to be read first. After an error `take_head` gives what there is of the message.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        if self.known.is_none() {
            if let Some(frame) = self.between() {
                return Ok(frame);
            }
            let Some(head) = self.find_head()? else {
                return Ok(None);
            };
            let body = content_length(self.buffer.get(..head).unwrap_or_default())?;
            let whole = head.saturating_add(body);
            if whole > MAX_FRAME {
                return Err(FrameError::TooLarge);
            }
            self.known = Some((head, whole));
        }
        let Some((_, whole)) = self.known.filter(|(_, whole)| self.buffer.len() >= *whole) else {
            return Ok(None);
        };
        self.known = None;
        self.searched = 0;
        let message = Bytes::copy_from_slice(self.buffer.get(..whole).unwrap_or_default());
        self.buffer.advance(whole);
        if self.buffer.is_empty() && self.buffer.capacity() > SPARE {
            self.buffer = BytesMut::new();
        }
        Ok(Some(Frame::Message(message)))
    }

    /// The head of the message that could not be framed, for the answer.
    pub fn take_head(&mut self) -> Bytes {
        let end = self.buffer.len().min(MAX_HEAD);
        let end = head_end(self.buffer.get(..end).unwrap_or_default(), 0).unwrap_or(end);
        self.buffer.split_to(end).freeze()
    }

    /// Line ends between messages. `None`: a message begins; `Some(None)`: too little is there to know.
    fn between(&mut self) -> Option<Option<Frame>> {
        let (length, frame) = match self.buffer.get(..self.buffer.len().min(4))? {
            b"\r\n\r\n" => (4, Frame::Ping),
            [] | b"\r" | b"\r\n" | b"\r\n\r" => return Some(None),
            [b'\r', b'\n', ..] => (2, Frame::Pong),
            [b'\n', ..] => (1, Frame::Pong),
            _ => return None,
        };
        self.buffer.advance(length);
        self.searched = 0;
        Some(Some(frame))
    }

    fn find_head(&mut self) -> Result<Option<usize>, FrameError> {
        // The end may have begun before what was read last.
        let from = self.searched.saturating_sub(3);
        let found = head_end(&self.buffer, from);
        self.searched = self.buffer.len();
        match found {
            Some(end) if end > MAX_HEAD => Err(FrameError::HeadTooLong),
            None if self.buffer.len() > MAX_HEAD => Err(FrameError::HeadTooLong),
            found => Ok(found),
        }
    }
}

/// Where the empty line after the headers ends.
fn head_end(text: &[u8], from: usize) -> Option<usize> {
    let searched = text.get(from..)?;
    memchr::memchr_iter(b'\n', searched)
        .map(|found| from + found + 1)
        .find_map(|next| match text.get(next..)? {
            [b'\n', ..] => Some(next + 1),
            [b'\r', b'\n', ..] => Some(next + 2),
            _ => None,
        })
}

/// The value of Content-Length in a head.
fn content_length(head: &[u8]) -> Result<usize, FrameError> {
    let mut found = None;
    for line in head.split(|byte| *byte == b'\n').skip(1) {
        let Some(colon) = memchr::memchr(b':', line) else {
            continue;
        };
        let (name, value) = line.split_at(colon);
        let name = name.trim_ascii();
        if !name.eq_ignore_ascii_case(b"content-length") && !name.eq_ignore_ascii_case(b"l") {
            continue;
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let length = std::str::from_utf8(value)
            .ok()
            .filter(|digits| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()))
            .ok_or(FrameError::BadLength)?;
        // What does not fit is too large, not wrong.
        let length = length.parse().unwrap_or(usize::MAX);
        if found.is_some_and(|before| before != length) {
            return Err(FrameError::BadLength);
        }
        found = Some(length);
    }
    found.ok_or(FrameError::NoLength)
}

/// A buffer that once held more is given back when it is empty.
const SPARE: usize = 8 * 1024;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OPTIONS: &str = "OPTIONS sip:a SIP/2.0\r\nCall-ID: 1\r\nContent-Length: 0\r\n\r\n";
    const INVITE: &str = "INVITE sip:a SIP/2.0\r\nl : 5\r\nCall-ID: 2\r\n\r\nv=0\r\n";

    fn frames(pieces: &[&[u8]]) -> Result<Vec<Frame>, FrameError> {
        let mut framer = Framer::new();
        let mut frames = Vec::new();
        for piece in pieces {
            framer.buffer().extend_from_slice(piece);
            while let Some(frame) = framer.next_frame()? {
                frames.push(frame);
            }
        }
        Ok(frames)
    }

    fn message(text: &'static str) -> Frame {
        Frame::Message(Bytes::from_static(text.as_bytes()))
    }

    #[test]
    fn glued_and_cut_messages_come_out_whole() {
        let glued = format!("{OPTIONS}{INVITE}\r\n\r\n{OPTIONS}");
        let whole = vec![
            message(OPTIONS),
            message(INVITE),
            Frame::Ping,
            message(OPTIONS),
        ];
        assert_eq!(frames(&[glued.as_bytes()]), Ok(whole.clone()));
        let bytes: Vec<&[u8]> = glued.as_bytes().chunks(1).collect();
        assert_eq!(frames(&bytes), Ok(whole));
    }

    #[test]
    fn line_ends_between_messages_are_keep_alives() {
        assert_eq!(frames(&[b"\r\n\r\n"]), Ok(vec![Frame::Ping]));
        let pong = format!("\r\n{OPTIONS}");
        assert_eq!(
            frames(&[pong.as_bytes()]),
            Ok(vec![Frame::Pong, message(OPTIONS)])
        );
        assert_eq!(frames(&[b"\r\n"]), Ok(vec![]));
    }

    #[test]
    fn what_cannot_be_framed_says_why() {
        let missing = b"OPTIONS sip:a SIP/2.0\r\nCall-ID: 1\r\n\r\n";
        assert_eq!(frames(&[missing]), Err(FrameError::NoLength));
        for lie in ["x", "", "-1", "5\r\nContent-Length: 6"] {
            let text = format!("OPTIONS sip:a SIP/2.0\r\nContent-Length: {lie}\r\n\r\n");
            assert_eq!(
                frames(&[text.as_bytes()]),
                Err(FrameError::BadLength),
                "{lie}"
            );
        }
        for large in ["70000", "99999999999999999999999999"] {
            let text = format!("OPTIONS sip:a SIP/2.0\r\nContent-Length: {large}\r\n\r\n");
            assert_eq!(
                frames(&[text.as_bytes()]),
                Err(FrameError::TooLarge),
                "{large}"
            );
        }
        let endless = "a".repeat(MAX_HEAD + 1);
        assert_eq!(frames(&[endless.as_bytes()]), Err(FrameError::HeadTooLong));
    }

    #[test]
    fn the_head_of_what_is_too_large_is_there_for_the_answer() {
        let mut framer = Framer::new();
        let head = "OPTIONS sip:a SIP/2.0\r\nContent-Length: 70000\r\n\r\n";
        framer.buffer().extend_from_slice(head.as_bytes());
        framer.buffer().extend_from_slice(b"beginning of a body");
        assert_eq!(framer.next_frame(), Err(FrameError::TooLarge));
        assert_eq!(framer.take_head(), head.as_bytes());
    }

    proptest! {
        #[test]
        fn however_it_is_cut_the_same_comes_out(cuts in proptest::collection::vec(1usize..40, 1..60), count in 1usize..6) {
            let stream = format!("{INVITE}\r\n\r\n{OPTIONS}").repeat(count);
            let mut rest = stream.as_bytes();
            let mut pieces = Vec::new();
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (piece, left) = rest.split_at((*cut).min(rest.len()));
                pieces.push(piece);
                rest = left;
            }
            prop_assert_eq!(frames(&pieces), frames(&[stream.as_bytes()]));
        }

        #[test]
        fn no_bytes_do_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = frames(&[&bytes]);
        }
    }
}
