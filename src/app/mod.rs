//! Composition: what is read, started, reloaded and stopped in which order.

pub mod load;
