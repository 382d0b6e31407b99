//! Makes a dirty message clean in one new buffer: folded lines (RFC 3261 §7.3.1) become one, a CR alone or a NUL becomes a blank,
//! bytes that are not UTF-8 are read as Latin-1. The body stays as it came.

/// The clean copy of `text`.
pub(super) fn normalise(text: &[u8]) -> Vec<u8> {
    let (head, body) = divide(text);
    let mut clean = Vec::with_capacity(text.len() + 64);
    let mut lines = head.split(|&byte| byte == b'\n').peekable();
    while let Some(line) = lines.next() {
        let last = lines.peek().is_none();
        let line = match line {
            [line @ .., b'\r'] => line,
            line => line,
        };
        let folded = matches!(line.first(), Some(b' ' | b'\t')) && !clean.is_empty();
        if folded {
            clean.push(b' ');
        } else if !clean.is_empty() {
            clean.extend_from_slice(b"\r\n");
        }
        if last && line.is_empty() {
            break;
        }
        append(
            &mut clean,
            if folded {
                line.trim_ascii_start()
            } else {
                line
            },
        );
    }
    if let Some(body) = body {
        clean.extend_from_slice(b"\r\n\r\n");
        clean.extend_from_slice(body);
    }
    clean
}

/// The head without its last line end, and what follows the empty line; no body when no empty line came.
fn divide(text: &[u8]) -> (&[u8], Option<&[u8]>) {
    let mut from = 0;
    while let Some(found) = text
        .get(from..)
        .and_then(|rest| memchr::memchr(b'\n', rest))
    {
        let end = from + found;
        let after = text.get(end + 1..).unwrap_or_default();
        let skip = match after {
            [b'\n', ..] => 1,
            [b'\r', b'\n', ..] => 2,
            _ => {
                from = end + 1;
                continue;
            }
        };
        return (text.get(..end).unwrap_or_default(), after.get(skip..));
    }
    (text, None)
}

fn append(clean: &mut Vec<u8>, line: &[u8]) {
    for chunk in line.utf8_chunks() {
        clean.extend(chunk.valid().bytes().map(|byte| {
            if matches!(byte, b'\r' | 0) {
                b' '
            } else {
                byte
            }
        }));
        for &byte in chunk.invalid() {
            let mut utf8 = [0; 2];
            clean.extend_from_slice(char::from(byte).encode_utf8(&mut utf8).as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_stray_returns_and_latin_1_are_gone_and_the_body_is_untouched() {
        assert_eq!(
            normalise(b"A B\r\nX: 1,\r\n \t2\nY: a\rb\xe9\r\n\r\nbo\r\n \xff"),
            b"A B\r\nX: 1, 2\r\nY: a b\xc3\xa9\r\n\r\nbo\r\n \xff"
        );
    }

    #[test]
    fn without_an_empty_line_there_is_no_body() {
        assert_eq!(normalise(b"A\r\nB: \r\n c\r\n"), b"A\r\nB:  c\r\n");
    }
}
