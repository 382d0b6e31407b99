//! Lists in pages: the filters of `GET /api/v1/calls`, limits, and cursors that name the last row seen.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::ledger::cause::{CallResult, Direction};
use crate::ledger::clock::Wall;
use crate::ledger::id::{CallId, Tenant};

/// Which calls are asked for; `None` and the default tenant: all.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CallFilter {
    /// The shop.
    pub tenant: Tenant,
    /// How they ended.
    pub result: Option<CallResult>,
    /// Which way they went.
    pub direction: Option<Direction>,
    /// The calling number.
    pub caller: Option<String>,
    /// The outside party's number.
    pub party: Option<String>,
    /// The dialled number.
    pub number: Option<String>,
    /// The landing page.
    pub landing_page: Option<String>,
    /// Arrived at or after.
    pub from: Option<Wall>,
    /// Arrived before.
    pub to: Option<Wall>,
}

/// How much is asked for and where to go on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PageRequest {
    /// At most so many, 1 to [`PageRequest::MAX`].
    pub limit: u32,
    /// Go on after this row.
    pub after: Option<Cursor>,
}

impl PageRequest {
    /// The limit when none is asked for.
    pub const DEFAULT: u32 = 50;
    /// The highest limit.
    pub const MAX: u32 = 500;

    /// A request; `limit` is brought into its range.
    pub fn new(limit: Option<u32>, after: Option<Cursor>) -> PageRequest {
        PageRequest {
            limit: limit
                .unwrap_or(PageRequest::DEFAULT)
                .clamp(1, PageRequest::MAX),
            after,
        }
    }
}

impl Default for PageRequest {
    fn default() -> PageRequest {
        PageRequest::new(None, None)
    }
}

/// A page of a list.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Page<T> {
    /// The rows, newest first.
    pub items: Vec<T>,
    /// Where the next page begins; `None` on the last.
    pub next: Option<Cursor>,
}

impl<T> Page<T> {
    /// Cuts `items`, of which one more than `limit` was asked for, to a page.
    pub fn cut(mut items: Vec<T>, limit: u32, cursor: impl Fn(&T) -> Cursor) -> Page<T> {
        let limit = limit as usize;
        let more = items.len() > limit;
        items.truncate(limit);
        let next = if more { items.last().map(cursor) } else { None };
        Page { items, next }
    }
}

/// The last row of a page. Printed, it is opaque to clients.
#[derive(Copy, Clone, PartialEq, Eq, Debug)]
pub struct Cursor {
    /// The row's time.
    pub at: Wall,
    /// The row's call, which tells rows of the same time apart.
    pub call: CallId,
}

impl std::fmt::Display for Cursor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut bytes = [0u8; 24];
        bytes[..8].copy_from_slice(&self.at.as_micros().to_be_bytes());
        bytes[8..].copy_from_slice(&self.call.as_u128().to_be_bytes());
        f.write_str(&URL_SAFE_NO_PAD.encode(bytes))
    }
}

/// The text is not a cursor that a list gave.
#[derive(Copy, Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("the cursor is not one that a list of this API gave")]
pub struct BadCursor;

impl std::str::FromStr for Cursor {
    type Err = BadCursor;
    fn from_str(text: &str) -> Result<Cursor, BadCursor> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| BadCursor)?;
        let (at, call) = bytes.split_first_chunk::<8>().ok_or(BadCursor)?;
        let call: [u8; 16] = call.try_into().map_err(|_| BadCursor)?;
        Ok(Cursor {
            at: Wall::from_micros(i64::from_be_bytes(*at)),
            call: CallId::from_u128(u128::from_be_bytes(call)),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn cursors_read_back(at: i64, call: u128) {
            let cursor = Cursor { at: Wall::from_micros(at), call: CallId::from_u128(call) };
            prop_assert_eq!(cursor.to_string().parse::<Cursor>(), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text: String) {
            let _ = text.parse::<Cursor>();
        }
    }

    #[test]
    fn limits_stay_in_range() {
        assert_eq!(PageRequest::new(None, None).limit, 50);
        assert_eq!(PageRequest::new(Some(0), None).limit, 1);
        assert_eq!(PageRequest::new(Some(9_999), None).limit, 500);
    }
}
