//! Header values, one type per file: parse, print, tests.
//!
//! Which header lines a message has is `wire`'s.

pub mod name_addr;
pub mod params;
pub mod rack;
pub mod reason;
pub mod replaces;
pub mod seconds;
pub mod session_expires;
pub mod via;
pub mod warning;

use crate::sip::wire::{Message, Name};

/// Whether a list of option tags (Supported, Require) has this one.
pub fn has_option(message: &Message, name: Name, tag: &str) -> bool {
    message
        .headers(name)
        .flat_map(|line| line.split(','))
        .any(|listed| listed.trim().eq_ignore_ascii_case(tag))
}
