//! Text to plan: TOML files with places kept, every key checked against its declaration, every name resolved, all problems collected.
//!
//! `tree` reads the files, `schema` declares the keys, `entry` reads a table by its declaration, `build` makes the parts of the plan, `whole` looks at the
//! plan as a graph. Files, environment and generated secrets come in through [`Edge`]; nothing here reads a disk.

mod build;
mod checker;
mod entry;
mod problem;
pub mod schema;
mod tree;
mod values;
mod whole;

use std::path::PathBuf;
use std::sync::Arc;

use crate::audio::clip::Clip;
use crate::dialplan::listener::TlsFiles;
use crate::dialplan::plan::Plan;

pub use self::problem::{Place, Problem, Severity};

/// A configuration file's text.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceFile {
    /// Its path, as problems show it.
    pub path: String,
    /// Its content.
    pub text: String,
}

/// What the checker asks of the world.
pub trait Edge {
    /// The sound in a file, by its path as written. Errors are a sentence.
    fn clip(&self, path: &str) -> Result<Arc<Clip>, String>;
    /// An environment variable.
    fn env(&self, name: &str) -> Option<String>;
    /// The value of a key that is written as `"generate"`: `operators.anna.password`.
    fn secret(&self, key: &str) -> Option<String>;
    /// This machine's name.
    fn host_name(&self) -> Option<String>;
    /// A time zone by its IANA name.
    fn time_zone(&self, name: &str) -> Option<jiff::tz::TimeZone>;
    /// Where a file of the configuration is, by its path as written.
    fn file(&self, path: &str) -> PathBuf {
        PathBuf::from(path)
    }
    /// Whether these files are usable; a sentence why not.
    fn tls(&self, _files: &TlsFiles) -> Result<(), String> {
        Ok(())
    }
}

/// What came of a check.
#[derive(Debug)]
pub struct Checked {
    /// The plan, when there is no error.
    pub plan: Option<Plan>,
    /// Errors and warnings, in the order of the files.
    pub problems: Vec<Problem>,
    /// Where each `[[test]]` of the plan says what it expects.
    pub expectations: Vec<Place>,
}

/// Checks the files as one configuration: a plan, or all that is wrong. Warnings do not fail it; [`examine`] gives them too.
pub fn check(sources: &[SourceFile], edge: &dyn Edge, version: u64) -> Result<Plan, Vec<Problem>> {
    let checked = examine(sources, edge, version);
    checked.plan.ok_or(checked.problems)
}

/// Checks the files as one configuration.
pub fn examine(sources: &[SourceFile], edge: &dyn Edge, version: u64) -> Checked {
    let mut checker = checker::Checker::new(sources, edge);
    let table = match tree::read(sources) {
        Ok((table, twice)) => {
            checker.report_twice(twice);
            table
        }
        Err(errors) => {
            checker.report_syntax(errors);
            return checker.finish(None, Vec::new());
        }
    };
    let raw = checker.sections(table);
    let (plan, expectations) = build::plan(&checker, &raw, version);
    if let Some(plan) = &plan {
        whole::look(&checker, plan);
    }
    checker.finish(plan, expectations)
}

/// The `server.database` of the files as written, or its default: beside it generated secrets are kept. Wrong files are for `examine` to report.
pub fn database(sources: &[SourceFile]) -> String {
    let written =
        tree::read(sources)
            .ok()
            .and_then(|(table, _)| match &table.item("server")?.node.value {
                tree::Value::Table(server) => match &server.item("database")?.node.value {
                    tree::Value::Text(text) => Some(text.clone()),
                    _ => None,
                },
                _ => None,
            });
    written.unwrap_or_else(|| DEFAULT_DATABASE.to_owned())
}

/// A duration as the configuration writes it: `500ms`, `20s`, `5m`, `4h`.
pub fn read_duration(text: &str) -> Option<std::time::Duration> {
    values::duration(text)
}

const DEFAULT_DATABASE: &str = "sqlite://data/vats.db";

#[cfg(test)]
pub(crate) mod tests;
