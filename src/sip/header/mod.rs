//! Header values, one type per file: parse, print, tests.

pub mod name_addr;
pub mod via;
