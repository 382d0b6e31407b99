//! One SIP message: its bytes and an index over them.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::index::{self, Index, Line, Span};
use super::method::Method;
use super::multipart;
use super::name::Name;
use super::normalise::normalise;

/// One SIP message: its bytes and an index over them. Cloning is cheap.
#[derive(Clone)]
pub struct Message(Arc<Indexed>);

struct Indexed {
    received: Bytes,
    /// What the index counts in, when it is not what was received.
    clean: Option<Bytes>,
    index: Index,
}

/// Why bytes are not a SIP message.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum ParseError {
    /// Nothing that could be answered.
    #[error("not a SIP message: {0}")]
    NotSip(&'static str),
}

impl Message {
    /// Reads one datagram. Compact names, folded lines, leading CRLF, white space before colons and bytes that are not UTF-8 are taken in;
    /// what can be answered parses, with `defect()` naming the first thing that is wrong (its status is 400, 501, 505 or 513).
    pub fn parse(datagram: Bytes) -> Result<Message, ParseError> {
        let start = datagram
            .iter()
            .position(|byte| !matches!(byte, b'\r' | b'\n'))
            .ok_or(ParseError::NotSip("keep-alive"))?;
        if datagram.get(start).is_some_and(|&byte| byte < 0x20) {
            return Err(ParseError::NotSip("a binary protocol such as STUN"));
        }
        if datagram.len() > index::MAX_INDEXED {
            return Err(ParseError::NotSip("too large to be looked at"));
        }
        let received = if start == 0 {
            datagram
        } else {
            datagram.slice(start..)
        };
        if let Some(index) = index::index(&received)? {
            return Ok(Message(Arc::new(Indexed {
                received,
                clean: None,
                index,
            })));
        }
        let clean = Bytes::from(normalise(&received));
        let index =
            index::index(&clean)?.ok_or(ParseError::NotSip("lines that cannot be told apart"))?;
        Ok(Message(Arc::new(Indexed {
            received,
            clean: Some(clean),
            index,
        })))
    }

    /// What is wrong with it although it could be read: the SIP status to answer with, and a sentence. Requests with a defect must not be
    /// processed further; responses with one are dropped (RFC 3261 §18.1.2).
    pub fn defect(&self) -> Option<(u16, &str)> {
        let (status, sentence) = self.0.index.defect.as_ref()?;
        Some((*status, sentence))
    }

    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        self.0.index.status == 0
    }

    /// The request's method; a response's method is that of its CSeq.
    pub fn method(&self) -> Method {
        self.0.index.method
    }

    /// The method as written.
    pub fn method_text(&self) -> &str {
        self.span(self.0.index.method_text)
    }

    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        if self.is_request() {
            self.span(self.0.index.target)
        } else {
            ""
        }
    }

    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        self.0.index.status
    }

    /// The reason phrase of a response; empty for a request.
    pub fn reason_phrase(&self) -> &str {
        if self.is_request() {
            ""
        } else {
            self.span(self.0.index.target)
        }
    }

    /// The first header line of that name, unfolded and trimmed.
    pub fn header(&self, name: Name) -> Option<&str> {
        Some(self.span(self.0.index.first(name)?.value))
    }

    /// All header lines of that name, in order; a line may hold a list.
    pub fn headers(&self, name: Name) -> impl Iterator<Item = &str> {
        self.0.index.all(name).map(|line| self.span(line.value))
    }

    /// Every header line in order, with its name as written.
    pub fn lines(&self) -> impl Iterator<Item = (Name, &str, &str)> {
        self.0
            .index
            .lines
            .iter()
            .map(|line| (line.name, self.written_name(line), self.span(line.value)))
    }

    /// The first header line of a name that `Name` does not list, compared without case.
    pub fn other_header(&self, name: &str) -> Option<&str> {
        match Name::parse(name) {
            Name::Other => self
                .0
                .index
                .all(Name::Other)
                .find(|line| self.written_name(line).eq_ignore_ascii_case(name))
                .map(|line| self.span(line.value)),
            known => self.header(known),
        }
    }

    /// The body, cut to Content-Length.
    pub fn body(&self) -> Bytes {
        self.text().slice(self.0.index.body.range())
    }

    /// The part of the body that is of that type: the body itself, or a part of multipart/mixed (RFC 5621). A body without
    /// Content-Type that begins like SDP is taken for application/sdp. `None` too when the body is encoded (Content-Encoding).
    pub fn body_of(&self, content_type: &str) -> Option<Bytes> {
        if self.0.index.body.range().is_empty() {
            return None;
        }
        if let Some(encoding) = self.header(Name::ContentEncoding)
            && !encoding.eq_ignore_ascii_case("identity")
        {
            return None;
        }
        multipart::find(self.body(), self.header(Name::ContentType), content_type)
    }

    /// The whole message as received, without leading line ends.
    pub fn bytes(&self) -> &Bytes {
        &self.0.received
    }

    /// Call-ID.
    pub fn call_id(&self) -> &str {
        self.header(Name::CallId).unwrap_or_default()
    }

    /// The tag of From; empty when absent (RFC 2543 peers).
    pub fn from_tag(&self) -> &str {
        self.span(self.0.index.from_tag)
    }

    /// The tag of To, if any.
    pub fn to_tag(&self) -> Option<&str> {
        self.0.index.to_tag.map(|tag| self.span(tag))
    }

    /// CSeq's number.
    pub fn cseq(&self) -> u32 {
        self.0.index.cseq
    }

    /// The branch of the topmost Via; empty when absent.
    pub fn branch(&self) -> &str {
        self.span(self.0.index.branch)
    }

    fn text(&self) -> &Bytes {
        self.0.clean.as_ref().unwrap_or(&self.0.received)
    }

    fn span(&self, span: Span) -> &str {
        self.range(span.range())
    }

    fn written_name(&self, line: &Line) -> &str {
        self.range(line.written_name())
    }

    /// The head was checked to be UTF-8 as a whole and spans end at ASCII delimiters, so the second check never fails; it is cheaper than a doubt.
    fn range(&self, range: Range<usize>) -> &str {
        let bytes = self.text().get(range).unwrap_or_default();
        std::str::from_utf8(bytes).unwrap_or_default()
    }
}

impl std::fmt::Debug for Message {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.status() {
            0 => write!(f, "Message({} {}", self.method_text(), self.request_uri())?,
            status => write!(f, "Message({status} to {}", self.method_text())?,
        }
        write!(f, ", Call-ID {}, CSeq {})", self.call_id(), self.cseq())
    }
}
