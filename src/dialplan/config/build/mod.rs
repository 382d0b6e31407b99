//! The parts of the plan, each from its entries. What is wrong has been reported when a part is `None`.

mod destinations;
mod lines;
mod media;
mod outside;
mod people;
mod provider;
mod security;
mod server;

use std::collections::BTreeMap;

use super::checker::{Checker, RawEntry};
use super::entry::Entry;
use super::problem::Span;
use super::schema::Shape;
use super::tree::Table;
use crate::dialplan::number::Country;
use crate::dialplan::plan::Plan;
use crate::ledger::id::Name;

/// The plan, and where each `[[test]]` says what it expects.
pub(crate) fn plan(
    checker: &Checker<'_>,
    raw: &[RawEntry],
    version: u64,
) -> (Option<Plan>, Vec<Span>) {
    let empty = Table::default();
    let parts = Parts {
        checker,
        raw,
        empty: &empty,
    };
    let server = server::server(&parts.single("server"));
    // Numbers are still looked at when the server's country is wrong.
    let country = server.as_ref().map_or(Country::RU, |server| server.country);
    let security = security::security(&parts.single("security"));
    let recordings = server::recordings(&parts.single("recordings"));
    let trunks = parts.named("trunks", |entry| lines::trunk(entry, country));
    let operators = parts.named("operators", people::operator);
    let extensions = people::extensions(&parts);
    let numbers = lines::numbers(&parts, country);
    let menus = parts.named("menus", destinations::menu);
    let hunts = parts.named("hunts", destinations::hunt);
    let schedules = parts.named("schedules", destinations::schedule);
    let forwards = parts.named("forwards", |entry| destinations::forward(entry, country));
    let announcements = parts.named("announcements", destinations::announcement);
    let voicemails = parts.named("voicemails", destinations::voicemail);
    let conferences = parts.named("conferences", destinations::conference);
    people::look_at_conference_extensions(&parts, &extensions);
    let outbound = parts.named("outbound", |entry| people::outbound(entry, country));
    let features = people::features(&parts.single("features"));
    let webhooks = parts.named("webhooks", outside::webhook);
    let (tests, expectations): (Vec<_>, Vec<_>) = parts
        .entries("test")
        .filter_map(|entry| outside::test(&entry))
        .unzip();
    lines::look_at_trunks(&parts);
    let plan = || {
        Some(Plan {
            version,
            server: server?,
            security: security?,
            recordings: recordings?,
            trunks,
            operators,
            extensions,
            numbers,
            menus,
            hunts,
            schedules,
            forwards,
            announcements,
            voicemails,
            conferences,
            outbound,
            webhooks,
            tests,
            features: features?,
        })
    };
    (plan(), expectations)
}

/// The entries, by section.
struct Parts<'a> {
    checker: &'a Checker<'a>,
    raw: &'a [RawEntry],
    empty: &'a Table,
}

impl<'a> Parts<'a> {
    fn raw_entries(&self, section: &str) -> impl Iterator<Item = &'a RawEntry> {
        self.raw
            .iter()
            .filter(move |entry| entry.section.name == section)
    }

    /// The entries of a section, in the order of the files.
    fn entries(&self, section: &str) -> impl Iterator<Item = Entry<'a>> {
        let checker = self.checker;
        self.raw_entries(section).map(move |entry| {
            let path = match entry.section.shape {
                Shape::Single | Shape::List | Shape::Later => entry.name.clone(),
                Shape::Named | Shape::Numbered => format!("{}.{}", entry.section.name, entry.name),
            };
            Entry::open(
                checker,
                path,
                &entry.name,
                entry.at,
                &entry.table,
                entry.section.keys,
            )
        })
    }

    /// A section that is written once or not at all.
    fn single(&self, section: &'static str) -> Entry<'a> {
        self.entries(section).next().unwrap_or_else(|| {
            let keys = super::schema::Section::named(section).map_or(&[][..], |found| found.keys);
            Entry::open(
                self.checker,
                section.to_owned(),
                section,
                super::checker::START,
                self.empty,
                keys,
            )
        })
    }

    /// The entries of a section, made and by name.
    fn named<T>(&self, section: &str, make: impl Fn(&Entry<'_>) -> Option<T>) -> BTreeMap<Name, T> {
        self.entries(section)
            .filter_map(|entry| Some((Name::from(entry.name), make(&entry)?)))
            .collect()
    }
}
