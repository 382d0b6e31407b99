//! Bodies with several parts (RFC 2046 §5.1, RFC 5621): finding the part of a type.

use bytes::Bytes;

use super::name::Name;
use super::scan::{self, Params};

/// Bodies nested deeper are not looked into.
const MAX_DEPTH: u8 = 3;

/// The part of `body` that is of the type `wanted`; the first of several.
pub(super) fn find(body: Bytes, content_type: Option<&str>, wanted: &str) -> Option<Bytes> {
    find_within(body, content_type, wanted, MAX_DEPTH)
}

fn find_within(body: Bytes, content_type: Option<&str>, wanted: &str, depth: u8) -> Option<Bytes> {
    let Some(content_type) = content_type else {
        let sdp = body.starts_with(b"v=0") && wanted.eq_ignore_ascii_case("application/sdp");
        return sdp.then_some(body);
    };
    let params = content_type.find(';').unwrap_or(content_type.len());
    let kind = content_type.get(..params).unwrap_or_default();
    if same_type(kind, wanted) {
        return Some(body);
    }
    let multipart = kind
        .trim_start()
        .get(..10)
        .is_some_and(|head| head.eq_ignore_ascii_case("multipart/"));
    if !multipart || depth == 0 {
        return None;
    }
    let bytes = content_type.as_bytes();
    let boundary = bytes.get(Params::new(bytes, params).value_of(b"boundary")?)?;
    parts(&body, boundary)
        .filter_map(|(start, end)| part(body.slice(start..end), wanted, depth - 1))
        // An empty part says nothing; another one may.
        .find(|found| !found.is_empty())
}

/// `a / b` is `A/b`: RFC 3261 allows blanks around the slash.
fn same_type(written: &str, wanted: &str) -> bool {
    written
        .bytes()
        .filter(|byte| !matches!(byte, b' ' | b'\t'))
        .map(|byte| byte.to_ascii_lowercase())
        .eq(wanted.bytes().map(|byte| byte.to_ascii_lowercase()))
}

/// One part: its own headers, an empty line, its body.
fn part(part: Bytes, wanted: &str, depth: u8) -> Option<Bytes> {
    let mut at = 0;
    let mut content_type = None;
    loop {
        let rest = part.get(at..)?;
        let (line, next) = match memchr::memchr(b'\n', rest) {
            Some(end) => (rest.get(..end)?, at + end + 1),
            None => return None,
        };
        at = next;
        let line = line.trim_ascii_end();
        if line.is_empty() {
            break;
        }
        let colon = memchr::memchr(b':', line).unwrap_or(line.len());
        let name = line.get(..colon).unwrap_or_default().trim_ascii();
        if Name::from_bytes(name) == Name::ContentType {
            let value = line.get(colon + 1..).unwrap_or_default().trim_ascii();
            content_type = std::str::from_utf8(value).ok();
        }
    }
    find_within(part.slice(at..), content_type, wanted, depth)
}

/// Where each part stands between the boundary lines. A missing last boundary ends at the end.
fn parts<'a>(body: &'a [u8], boundary: &'a [u8]) -> impl Iterator<Item = (usize, usize)> + 'a {
    let mut next = delimiter(body, boundary, 0);
    std::iter::from_fn(move || {
        let (_, start) = next?;
        if body.get(start.saturating_sub(2)..start) == Some(b"--") {
            return None;
        }
        let start = line_after(body, start);
        next = delimiter(body, boundary, start);
        let end = next.map_or(body.len(), |(before, _)| before);
        Some((start, end.max(start)))
    })
}

/// The next boundary at the beginning of a line: where the line end before it begins, and the offset behind it (behind `--` when it is the last).
fn delimiter(body: &[u8], boundary: &[u8], from: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let found = at + memchr::memmem::find(body.get(at..)?, b"--")?;
        let end = found + 2 + boundary.len();
        let starts_line = found == 0 || body.get(found - 1) == Some(&b'\n');
        if starts_line && body.get(found + 2..end) == Some(boundary) {
            let before = match body.get(..found) {
                Some([.., b'\r', b'\n']) => found - 2,
                Some([.., b'\n']) => found - 1,
                _ => found,
            };
            let last = body.get(end..end + 2) == Some(b"--");
            return Some((before, if last { end + 2 } else { end }));
        }
        at = found + 1;
    }
}

fn line_after(body: &[u8], at: usize) -> usize {
    let at = scan::skip_space(body, at);
    match body.get(at..) {
        Some([b'\r', b'\n', ..]) => at + 2,
        Some([b'\n', ..]) => at + 1,
        _ => at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIXED: &[u8] = b"ignored\r\n--x y\r\nContent-Type: application/isup;version=x\r\n\r\n\x01--\x02\r\n--x y\r\nc: Application / SDP\r\n\r\nv=0\r\n\r\n--x y--\r\n";

    fn find_in(body: &'static [u8], kind: &str, wanted: &str) -> Option<Bytes> {
        find(Bytes::from_static(body), Some(kind), wanted)
    }

    #[test]
    fn the_part_of_a_type_is_found() {
        let kind = "Multipart/Mixed ; boundary=\"x y\"";
        assert_eq!(find_in(MIXED, kind, "application/sdp").unwrap(), "v=0\r\n");
        assert_eq!(
            find_in(MIXED, kind, "application/isup").unwrap(),
            &b"\x01--\x02"[..]
        );
        assert_eq!(find_in(MIXED, kind, "text/plain"), None);
    }

    #[test]
    fn a_plain_body_is_itself_whatever_the_parameters() {
        assert_eq!(
            find_in(
                b"v=0\r\n",
                "application/SDP;charset=utf-8",
                "application/sdp"
            )
            .unwrap(),
            "v=0\r\n"
        );
    }

    #[test]
    fn without_a_type_only_what_begins_like_sdp_is_sdp() {
        let body = Bytes::from_static(b"v=0\r\n");
        assert!(find(body.clone(), None, "application/sdp").is_some());
        assert!(find(body, None, "text/plain").is_none());
    }

    #[test]
    fn a_missing_last_boundary_or_none_at_all_does_no_harm() {
        let kind = "multipart/mixed;boundary=b";
        assert_eq!(
            find_in(b"--b\r\nc: a/b\r\n\r\nrest", kind, "a/b").unwrap(),
            "rest"
        );
        assert_eq!(find_in(b"--b", kind, "a/b"), None);
        assert_eq!(find_in(b"--b--", kind, "a/b"), None);
        assert_eq!(find_in(b"", "multipart/mixed", "a/b"), None);
    }
}
