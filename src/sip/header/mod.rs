//! Header values, one type per file: parse, print, tests.
//!
//! Which header lines a message has is `wire`'s.

pub mod name_addr;
pub mod params;
pub mod reason;
pub mod replaces;
pub mod via;
pub mod warning;
