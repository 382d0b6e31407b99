//! The dial plan: what admins write in TOML, checked once and then asked for every call.
//!
//! `config` turns text into a [`plan::Plan`] or a list of problems with places and hints; `number` reads telephone numbers;
//! `schedule` reads opening hours; `dry_run` walks a call through the plan without placing it. Nothing here reads a file or a clock.

pub mod config;
pub mod dry_run;
pub mod features;
pub mod graph;
pub mod keeping;
pub mod listener;
pub mod media_io;
pub mod number;
pub mod plan;
pub mod provider;
pub mod routing;
pub mod schedule;
pub mod served;
pub mod trace;
pub mod trunk;
