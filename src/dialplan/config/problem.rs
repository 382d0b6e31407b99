//! What is wrong with a configuration: where, why, and what would be right.

use std::fmt;
use std::ops::Range;

use super::SourceFile;

/// How bad a problem is.
#[derive(Copy, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Severity {
    /// The plan cannot be used.
    Error,
    /// The plan can be used; the admin should look.
    Warning,
}

/// A place in a configuration file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Place {
    /// The file's path as it was given.
    pub path: String,
    /// Counted from 1.
    pub line: usize,
    /// Counted from 1, in characters.
    pub column: usize,
    /// Bytes of the file's text.
    pub span: Range<usize>,
}

/// One problem. Displays on one line: `vats.toml:12:5: error: …; hint`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// How bad.
    pub severity: Severity,
    /// What is wrong, in one sentence without a full stop.
    pub message: String,
    /// Where; none when it is not a matter of one place in a file.
    pub place: Option<Place>,
    /// A second place that belongs to it, and what stands there.
    pub also: Option<(Place, String)>,
    /// What would be right.
    pub hint: Option<String>,
}

/// Bytes of one of the files that are read together.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(crate) struct Span {
    /// Index into the list of files.
    pub file: usize,
    /// The first byte.
    pub start: usize,
    /// Behind the last byte.
    pub end: usize,
}

impl Place {
    pub(crate) fn of(span: Span, sources: &[SourceFile]) -> Place {
        let (path, text) = sources.get(span.file).map_or(("", ""), |source| {
            (source.path.as_str(), source.text.as_str())
        });
        let start = floor_boundary(text, span.start);
        let end = floor_boundary(text, span.end.max(start));
        let before = text.get(..start).unwrap_or("");
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Place {
            path: path.to_owned(),
            line: before.matches('\n').count() + 1,
            column: before.get(line_start..).unwrap_or("").chars().count() + 1,
            span: start..end,
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}:{}", self.path, self.line, self.column)
    }
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Severity::Error => "error",
            Severity::Warning => "warning",
        })
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "{place}: ")?;
        }
        write!(f, "{}: {}", self.severity, self.message)?;
        if let Some((place, what)) = &self.also {
            write!(f, " ({what} at {place})")?;
        }
        if let Some(hint) = &self.hint {
            write!(f, "; {hint}")?;
        }
        Ok(())
    }
}

/// The known word nearest to `word`, if it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let most = (word.chars().count() / 3).clamp(1, 3);
    known
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance <= most)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Levenshtein's distance, swapped neighbours counted as one step, on the first 64 characters.
fn distance(a: &str, b: &str) -> usize {
    let a: Vec<char> = a.chars().take(64).collect();
    let b: Vec<char> = b.chars().take(64).collect();
    let mut before: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, &from) in a.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, &to) in b.iter().enumerate() {
            let at =
                |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
            let mut best = (at(&row, j) + usize::from(from != to))
                .min(at(&row, j + 1) + 1)
                .min(at(&next, j) + 1);
            let swapped =
                i > 0 && j > 0 && a.get(i - 1) == Some(&to) && b.get(j - 1) == Some(&from);
            if swapped {
                best = best.min(at(&before, j - 1) + 1);
            }
            next.push(best);
        }
        before = std::mem::replace(&mut row, next);
    }
    row.last().copied().unwrap_or(0)
}

fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words_are_found() {
        assert_eq!(nearest("sale", ["sales", "support"]), Some("sales"));
        assert_eq!(nearest("slaes", ["sales", "support"]), Some("sales"));
        assert_eq!(nearest("anna", ["boris"]), None);
        assert_eq!(nearest("", ["a"]), Some("a"));
        assert_eq!(distance("ring_all", "ring-all"), 1);
    }

    #[test]
    fn places_count_lines_and_characters() {
        let sources = [SourceFile {
            path: "a.toml".into(),
            text: "x = 1\nя = \"ы\"\n".into(),
        }];
        let place = Place::of(
            Span {
                file: 0,
                start: 11,
                end: 14,
            },
            &sources,
        );
        assert_eq!((place.line, place.column), (2, 5));
        let beyond = Place::of(
            Span {
                file: 0,
                start: 99,
                end: 3,
            },
            &sources,
        );
        assert_eq!(beyond.line, 3);
        assert_eq!(
            Place::of(
                Span {
                    file: 9,
                    start: 0,
                    end: 0
                },
                &sources
            )
            .line,
            1
        );
    }
}
