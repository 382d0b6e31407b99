//! The one pass over a message: where each line, value and tag stands.
//!
//! What cannot be indexed as it stands (folded lines, stray CR, NUL, bytes that are not UTF-8) is reported as dirty; `normalise` makes it clean.

use std::borrow::Cow;
use std::ops::Range;

use smallvec::SmallVec;

use super::message::ParseError;
use super::method::Method;
use super::name::Name;
use super::scan::{self, Broken, Params};

/// A stretch of the message.
#[derive(Copy, Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct Span {
    start: u32,
    end: u32,
}

impl Span {
    pub(super) fn new(start: usize, end: usize) -> Span {
        // Callers index messages below `MAX_INDEXED`, so nothing is cut off.
        Span {
            start: start as u32,
            end: end.max(start) as u32,
        }
    }

    pub(super) fn range(self) -> Range<usize> {
        self.start as usize..self.end as usize
    }
}

/// One header line.
#[derive(Copy, Clone, Debug)]
pub(super) struct Line {
    pub(super) name: Name,
    name_length: u16,
    name_start: u32,
    pub(super) value: Span,
}

impl Line {
    /// Where the name is written.
    pub(super) fn written_name(&self) -> Range<usize> {
        let start = self.name_start as usize;
        start..start + usize::from(self.name_length)
    }
}

/// A sentence about what is wrong, and the status to answer with.
pub(super) type Defect = (u16, Cow<'static, str>);

/// The index over a clean message.
#[derive(Clone, Debug)]
pub(super) struct Index {
    pub(super) method: Method,
    /// The method as written in the start line, or in the CSeq of a response.
    pub(super) method_text: Span,
    /// Request-URI, or the reason phrase.
    pub(super) target: Span,
    /// 0: a request.
    pub(super) status: u16,
    pub(super) lines: SmallVec<[Line; 24]>,
    /// Per name, the place of its first line plus one; 0: none.
    first: [u8; Name::COUNT],
    /// One bit per name that has a second line.
    repeated: u128,
    pub(super) body: Span,
    pub(super) from_tag: Span,
    pub(super) to_tag: Option<Span>,
    pub(super) branch: Span,
    pub(super) cseq: u32,
    pub(super) defect: Option<Defect>,
}

// `repeated` has a bit for every name.
const _: () = assert!(Name::COUNT <= 128);

/// Larger messages are answered 513.
pub(super) const MAX_MESSAGE: usize = 32 * 1024;
/// More header lines than that are answered 513 too.
const MAX_LINES: usize = 200;
/// Nothing longer is looked at.
pub(super) const MAX_INDEXED: usize = 1 << 24;

/// What no Request-URI contains.
static STRANGE: [bool; 256] = {
    let mut table = [false; 256];
    let mut byte = 0;
    while byte < table.len() {
        table[byte] = byte <= 0x20 || byte == 0x7f || matches!(byte as u8, b'"' | b'<' | b'>');
        byte += 1;
    }
    table
};

/// Indexes `text`, which begins with the start line. `None`: it is dirty and needs `normalise` first.
pub(super) fn index(text: &[u8]) -> Result<Option<Index>, ParseError> {
    let (line_end, mut at) = line(text, 0);
    let mut index = start_line(text, line_end)?;
    // How many lines ended with CR LF, to be held against the CRs there are.
    let mut line_ends = usize::from(at - line_end == 2);
    let mut ended = false;
    while let Some(&byte) = text.get(at) {
        if matches!(byte, b' ' | b'\t') {
            return Ok(None);
        }
        let (end, next) = line(text, at);
        line_ends += usize::from(next - end == 2);
        if end == at {
            ended = true;
            at = next;
            break;
        }
        index.header_line(text, at, end);
        at = next;
    }
    if is_dirty(text.get(..at).unwrap_or_default(), line_ends) {
        return Ok(None);
    }
    if !ended {
        index.fault(400, "The message ends within its headers");
    }
    index.body = Span::new(at, text.len());
    index.check(text);
    Ok(Some(index))
}

/// The line that begins at `at`: where its text ends (before CR LF or LF) and where the next begins.
fn line(text: &[u8], at: usize) -> (usize, usize) {
    let rest = text.get(at..).unwrap_or_default();
    match memchr::memchr(b'\n', rest) {
        None => (text.len(), text.len()),
        Some(0) => (at, at + 1),
        Some(found) => {
            let end = at + found;
            let before = text.get(end - 1) == Some(&b'\r');
            (end - usize::from(before), end + 1)
        }
    }
}

/// Whether the head has what a clean one has not: bytes that are not UTF-8, NUL, a CR that ends no line.
fn is_dirty(head: &[u8], line_ends: usize) -> bool {
    std::str::from_utf8(head).is_err()
        || memchr::memchr(0, head).is_some()
        || memchr::memchr_iter(b'\r', head).count() != line_ends
}

fn start_line(text: &[u8], end: usize) -> Result<Index, ParseError> {
    let mut index = Index {
        method: Method::Other,
        method_text: Span::default(),
        target: Span::default(),
        status: 0,
        lines: SmallVec::new(),
        first: [0; Name::COUNT],
        repeated: 0,
        body: Span::default(),
        from_tag: Span::default(),
        to_tag: None,
        branch: Span::default(),
        cseq: 0,
        defect: None,
    };
    let start = text.get(..end).unwrap_or_default().trim_ascii_end();
    if start
        .get(..4)
        .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"))
    {
        index.status_line(start)?;
    } else {
        index.request_line(start)?;
    }
    Ok(index)
}

impl Index {
    /// The first header line of that name.
    pub(super) fn first(&self, name: Name) -> Option<&Line> {
        let place = *self.first.get(name as usize)?;
        self.lines.get(usize::from(place.checked_sub(1)?))
    }

    /// All header lines of that name.
    pub(super) fn all(&self, name: Name) -> impl Iterator<Item = &Line> {
        let place = self.first.get(name as usize).copied().unwrap_or(0);
        let from = match place {
            0 => self.lines.len(),
            place => usize::from(place) - 1,
        };
        self.lines
            .get(from..)
            .unwrap_or_default()
            .iter()
            .filter(move |line| line.name == name)
    }

    fn fault(&mut self, status: u16, sentence: impl Into<Cow<'static, str>>) {
        if self.defect.is_none() {
            self.defect = Some((status, sentence.into()));
        }
    }

    fn status_line(&mut self, start: &[u8]) -> Result<(), ParseError> {
        let space = memchr::memchr(b' ', start).ok_or(ParseError::NotSip("no status"))?;
        let code = start.get(space + 1..space + 4).unwrap_or_default();
        self.status = number(code)
            .and_then(|code| u16::try_from(code).ok())
            .filter(|code| (100..=699).contains(code))
            .ok_or(ParseError::NotSip("no status"))?;
        match start.get(space + 4) {
            None => self.target = Span::new(start.len(), start.len()),
            Some(b' ') => self.target = Span::new(space + 5, start.len()),
            Some(_) => return Err(ParseError::NotSip("the status has more than three digits")),
        }
        self.version(start.get(..space).unwrap_or_default());
        Ok(())
    }

    fn request_line(&mut self, start: &[u8]) -> Result<(), ParseError> {
        let method_end =
            memchr::memchr(b' ', start).ok_or(ParseError::NotSip("no request line"))?;
        let version_start =
            memchr::memrchr(b' ', start).ok_or(ParseError::NotSip("no request line"))? + 1;
        let method = start.get(..method_end).unwrap_or_default();
        let version = start.get(version_start..).unwrap_or_default();
        if method.is_empty() || !method.iter().all(|&byte| scan::is_token(byte)) {
            return Err(ParseError::NotSip("no method"));
        }
        if !version
            .get(..4)
            .is_some_and(|head| head.eq_ignore_ascii_case(b"SIP/"))
        {
            return Err(ParseError::NotSip("no SIP version"));
        }
        self.method = Method::from_bytes(method);
        self.method_text = Span::new(0, method_end);
        self.version(version);
        let uri_end = version_start.saturating_sub(1);
        let uri = start.get(method_end + 1..uri_end).unwrap_or_default();
        self.target = Span::new(method_end + 1, uri_end.max(method_end + 1));
        self.check_uri(uri);
        Ok(())
    }

    fn check_uri(&mut self, uri: &[u8]) {
        let strange = |byte: &&u8| STRANGE.get(usize::from(**byte)) == Some(&true);
        match uri.iter().find(strange) {
            Some(byte) if byte.is_ascii_whitespace() => {
                self.fault(400, "The Request-URI contains white space");
            }
            Some(_) => self.fault(
                400,
                "The Request-URI stands in brackets or contains characters that no URI has",
            ),
            None if !uri.contains(&b':') => self.fault(400, "The Request-URI has no scheme"),
            None => {}
        }
    }

    fn version(&mut self, version: &[u8]) {
        if !version.eq_ignore_ascii_case(b"SIP/2.0") {
            self.fault(505, "Only SIP/2.0 is spoken here");
        }
    }

    /// Takes one header line in. A line that is none (no colon, no name) is passed over, as RFC 3261 §16.3 lets us.
    fn header_line(&mut self, text: &[u8], start: usize, end: usize) {
        let line = text.get(start..end).unwrap_or_default();
        // Names are short: counting beats a search that is made for long texts.
        let Some(colon) = line.iter().position(|&byte| byte == b':') else {
            return;
        };
        let written = line.get(..colon).unwrap_or_default().trim_ascii_end();
        let name = Name::from_bytes(written);
        let is_name = name != Name::Other
            || (!written.is_empty() && written.iter().all(|&byte| scan::is_token(byte)));
        let Ok(name_length) = u16::try_from(written.len()) else {
            return;
        };
        if !is_name {
            return;
        }
        if self.lines.len() >= MAX_LINES {
            self.fault(513, "The message has too many header lines");
            return;
        }
        let value_start = scan::skip_space(text, start + colon + 1).min(end);
        let value = text.get(value_start..end).unwrap_or_default();
        let value_end = value_start + value.trim_ascii_end().len();
        match self.first.get_mut(name as usize) {
            Some(first) if *first == 0 => {
                *first = u8::try_from(self.lines.len() + 1).unwrap_or(0);
            }
            _ => self.repeated |= 1 << name as u32,
        }
        self.lines.push(Line {
            name,
            name_length,
            name_start: start as u32,
            value: Span::new(value_start, value_end),
        });
    }

    /// Finds the tags and numbers that every layer asks for, and the first thing that is wrong.
    fn check(&mut self, text: &[u8]) {
        if text.len() > MAX_MESSAGE {
            self.fault(
                513,
                format!("The message is larger than {MAX_MESSAGE} bytes"),
            );
        }
        self.once(Name::CSeq);
        self.cseq_line(text);
        self.once(Name::CallId);
        self.once(Name::From);
        if let Some(tag) = self.tag(text, Name::From) {
            self.from_tag = tag;
        }
        self.once(Name::To);
        self.to_tag = self.tag(text, Name::To);
        self.topmost_via(text);
        self.at_most_once(Name::MaxForwards);
        if let Some(value) = self.value(text, Name::MaxForwards)
            && self.status == 0
            && number(value).is_none_or(|hops| hops > 255)
        {
            self.fault(400, "Max-Forwards is not a number from 0 to 255");
        }
        self.at_most_once(Name::ContentLength);
        self.content_length(text);
    }

    fn value<'t>(&self, text: &'t [u8], name: Name) -> Option<&'t [u8]> {
        text.get(self.first(name)?.value.range())
    }

    fn once(&mut self, name: Name) {
        match self.first(name) {
            None => self.fault(400, format!("{name} is missing")),
            Some(line) if line.value.range().is_empty() => {
                self.fault(400, format!("{name} is empty"))
            }
            Some(_) => self.at_most_once(name),
        }
    }

    fn at_most_once(&mut self, name: Name) {
        if self.repeated & (1 << name as u32) != 0 {
            self.fault(400, format!("{name} is there more than once"));
        }
    }

    fn cseq_line(&mut self, text: &[u8]) {
        let Some(line) = self.first(Name::CSeq).copied() else {
            return;
        };
        let value = text.get(line.value.range()).unwrap_or_default();
        let digits = value
            .iter()
            .take_while(|byte| byte.is_ascii_digit())
            .count();
        let method_start = scan::skip_space(value, digits);
        let method = value.get(method_start..).unwrap_or_default();
        let cseq = value
            .get(..digits)
            .and_then(number)
            .and_then(|cseq| u32::try_from(cseq).ok());
        let (Some(cseq), true, true) = (
            cseq,
            method_start > digits,
            !method.is_empty() && method.iter().all(|&byte| scan::is_token(byte)),
        ) else {
            self.fault(400, "CSeq is not a number and a method");
            return;
        };
        self.cseq = cseq;
        if self.status != 0 {
            let start = line.value.range().start + method_start;
            self.method_text = Span::new(start, start + method.len());
            self.method = Method::from_bytes(method);
        } else if text.get(self.method_text.range()) != Some(method) {
            // RFC 4475 §3.1.2.18 prefers 501 where nobody here knows the method either.
            let status = if self.method == Method::Other {
                501
            } else {
                400
            };
            self.fault(status, "CSeq names another method than the request line");
        }
    }

    /// The tag of From or To.
    fn tag(&mut self, text: &[u8], name: Name) -> Option<Span> {
        let line = *self.first(name)?;
        let value = text.get(line.value.range())?;
        match scan::address_params(value) {
            Ok(at) => {
                let (tag, end) = Params::new(value, at).value_and_end(b"tag");
                if end < value.len() {
                    // Our own tag could not be added to it.
                    self.fault(400, format!("Something other than parameters ends {name}"));
                }
                let tag = tag?;
                let start = line.value.range().start;
                Some(Span::new(start + tag.start, start + tag.end))
            }
            Err(Broken::Quote) => {
                self.fault(400, format!("A quoted string in {name} does not end"));
                None
            }
            Err(Broken::Bracket) => {
                self.fault(400, format!("An angle bracket in {name} is not closed"));
                None
            }
        }
    }

    fn topmost_via(&mut self, text: &[u8]) {
        let Some(line) = self.first(Name::Via).copied() else {
            self.fault(400, "Via is missing");
            return;
        };
        let value = text.get(line.value.range()).unwrap_or_default();
        let start = line.value.range().start;
        let params = memchr::memchr2(b';', b',', value).unwrap_or(value.len());
        let (branch, end) = Params::new(value, params).value_and_end(b"branch");
        if let Some(branch) = branch {
            self.branch = Span::new(start + branch.start, start + branch.end);
        }
        if !matches!(value.get(end), None | Some(b',')) {
            self.fault(400, "Something other than parameters ends the first Via");
        }
        if value.is_empty() {
            self.fault(400, "Via is empty");
        }
    }

    fn content_length(&mut self, text: &[u8]) {
        let Some(value) = self.value(text, Name::ContentLength) else {
            return;
        };
        let came = self.body.range();
        match number(value) {
            None => self.fault(400, "Content-Length is not a number"),
            Some(length) => match usize::try_from(length) {
                Ok(length) if length <= came.len() => {
                    self.body = Span::new(came.start, came.start + length);
                }
                _ => self.fault(400, "Content-Length is larger than what came"),
            },
        }
    }
}

/// A decimal number of at most 18 digits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 18 {
        return None;
    }
    digits.iter().try_fold(0u64, |sum, &byte| {
        byte.is_ascii_digit()
            .then(|| sum * 10 + u64::from(byte - b'0'))
    })
}
