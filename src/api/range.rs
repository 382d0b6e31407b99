//! Byte ranges (RFC 9110 §14): one range is served, anything else is the whole.

/// What of a body is asked for.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub(super) enum Extent {
    /// All of it.
    Whole,
    /// From the first to the last byte, both included.
    Part(u64, u64),
    /// Nothing that is there: 416.
    Outside,
}

/// Reads a `Range` header for a body of `length` bytes. Several ranges, or units other than bytes, are not understood and
/// so ignored (RFC 9110 §14.2).
pub(super) fn extent(range: Option<&str>, length: u64) -> Extent {
    let Some(spec) = range.and_then(|range| range.trim().strip_prefix("bytes=")) else {
        return Extent::Whole;
    };
    let Some((first, last)) = spec.trim().split_once('-') else {
        return Extent::Whole;
    };
    match (number(first), number(last)) {
        (Some(first), _) if last.is_empty() => part(first, length.saturating_sub(1), length),
        (Some(first), Some(last)) if first <= last => {
            part(first, last.min(length.saturating_sub(1)), length)
        }
        (None, Some(0)) if first.is_empty() => Extent::Outside,
        (None, Some(suffix)) if first.is_empty() => part(
            length.saturating_sub(suffix),
            length.saturating_sub(1),
            length,
        ),
        _ => Extent::Whole,
    }
}

fn part(first: u64, last: u64, length: u64) -> Extent {
    if first < length {
        Extent::Part(first, last)
    } else {
        Extent::Outside
    }
}

fn number(text: &str) -> Option<u64> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ranges_of_a_thousand_bytes() {
        let cases = [
            (None, Extent::Whole),
            (Some("bytes=0-99"), Extent::Part(0, 99)),
            (Some("bytes=990-"), Extent::Part(990, 999)),
            (Some("bytes=-10"), Extent::Part(990, 999)),
            (Some("bytes=-5000"), Extent::Part(0, 999)),
            (
                Some("bytes=0-99999999999999999999999"),
                Extent::Part(0, 999),
            ),
            (Some("bytes=1000-"), Extent::Outside),
            (Some("bytes=-0"), Extent::Outside),
            (Some("bytes=5-4"), Extent::Whole),
            (Some("bytes=0-1,5-6"), Extent::Whole),
            (Some("lines=0-1"), Extent::Whole),
            (Some("bytes=-"), Extent::Whole),
            (Some("bytes=+1-2"), Extent::Whole),
        ];
        for (range, expected) in cases {
            assert_eq!(extent(range, 1_000), expected, "{range:?}");
        }
        assert_eq!(extent(Some("bytes=0-"), 0), Extent::Outside);
    }

    proptest! {
        #[test]
        fn a_part_lies_inside(range in "bytes=[0-9]{0,4}-[0-9]{0,4}", length in 0u64..2_000) {
            if let Extent::Part(first, last) = extent(Some(&range), length) {
                prop_assert!(first <= last && last < length);
            }
        }
    }
}
