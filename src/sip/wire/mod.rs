//! Messages on the wire: one pass over the bytes gives an index, nothing is copied; and a writer.

pub mod method;
pub mod name;

use bytes::Bytes;

pub use method::Method;
pub use name::Name;

/// One SIP message: its bytes and an index over them. Cloning is cheap.
#[derive(Clone, Debug)]
pub struct Message {
    _bytes: Bytes,
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
    /// what can be answered parses, with `defect()` naming the first thing that is wrong (its status is 400, 505 or 513).
    pub fn parse(_datagram: Bytes) -> Result<Message, ParseError> {
        todo!()
    }
    /// What is wrong with it although it could be read: the SIP status to answer with, and a sentence. Requests with a defect must not be processed further.
    pub fn defect(&self) -> Option<(u16, &str)> {
        todo!()
    }
    /// Whether it is a request.
    pub fn is_request(&self) -> bool {
        todo!()
    }
    /// The request's method; a response's method is that of its CSeq.
    pub fn method(&self) -> Method {
        todo!()
    }
    /// The method as written.
    pub fn method_text(&self) -> &str {
        todo!()
    }
    /// The Request-URI as written; empty for a response.
    pub fn request_uri(&self) -> &str {
        todo!()
    }
    /// The status of a response; 0 for a request.
    pub fn status(&self) -> u16 {
        todo!()
    }
    /// The reason phrase of a response.
    pub fn reason_phrase(&self) -> &str {
        todo!()
    }
    /// The first header line of that name, unfolded and trimmed.
    pub fn header(&self, _name: Name) -> Option<&str> {
        todo!()
    }
    /// All header lines of that name, in order; a line may hold a list.
    pub fn headers(&self, _name: Name) -> impl Iterator<Item = &str> {
        [].into_iter()
    }
    /// The first header line of a name that `Name` does not list, compared without case.
    pub fn other_header(&self, _name: &str) -> Option<&str> {
        todo!()
    }
    /// The body, cut to Content-Length.
    pub fn body(&self) -> Bytes {
        todo!()
    }
    /// The part of the body that is of that type: the body itself, or a part of multipart/mixed (RFC 5621).
    pub fn body_of(&self, _content_type: &str) -> Option<Bytes> {
        todo!()
    }
    /// The whole message as received.
    pub fn bytes(&self) -> &Bytes {
        todo!()
    }
    // Typed shortcuts of what every layer asks for:
    /// Call-ID.
    pub fn call_id(&self) -> &str {
        todo!()
    }
    /// The tag of From; empty when absent (RFC 2543 peers).
    pub fn from_tag(&self) -> &str {
        todo!()
    }
    /// The tag of To, if any.
    pub fn to_tag(&self) -> Option<&str> {
        todo!()
    }
    /// CSeq's number.
    pub fn cseq(&self) -> u32 {
        todo!()
    }
    /// The branch of the topmost Via; empty when absent.
    pub fn branch(&self) -> &str {
        todo!()
    }
}

/// Writes one message. Values are cleared of CR, LF and NUL, so nothing that a peer supplied can start a header.
#[derive(Debug)]
pub struct Writer {
    _private: (),
}

impl Writer {
    /// Starts a request.
    pub fn request(_method: &str, _uri: &str) -> Writer {
        todo!()
    }
    /// Starts a response with the standard phrase of its code.
    pub fn response(_code: u16) -> Writer {
        todo!()
    }
    /// Starts a response to `request`: Via (all), From, To (with `to_tag` if it has none), Call-ID, CSeq, and for 100 Timestamp (RFC 3261 §8.2.6).
    pub fn response_to(_request: &Message, _code: u16, _to_tag: Option<&str>) -> Writer {
        todo!()
    }
    /// Adds a header line.
    pub fn header(self, _name: Name, _value: impl std::fmt::Display) -> Writer {
        todo!();
        #[allow(unreachable_code)]
        self
    }
    /// Adds a header line of any name.
    pub fn other(self, _name: &str, _value: impl std::fmt::Display) -> Writer {
        self
    }
    /// Ends without a body: Content-Length 0.
    pub fn finish(self) -> Bytes {
        todo!()
    }
    /// Ends with a body.
    pub fn finish_with(self, _content_type: &str, _body: &[u8]) -> Bytes {
        todo!()
    }
}
