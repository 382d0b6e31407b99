//! Composition: what is read, started, reloaded and stopped in which order.

pub mod load;

mod banner;
mod limits;
mod memory;
mod run;
mod signals;
mod start;

pub use self::run::run;
