//! What a check has found so far: the sections and the names in them, and the problems.

use std::cell::RefCell;
use std::collections::{BTreeMap, HashMap};

use super::problem::{Span, nearest};
use super::schema::{SECTIONS, Section, Shape};
use super::tree::{Item, Node, SyntaxError, Table, Twice, Value};
use super::values::{Wrong, is_name};
use super::{Checked, Edge, Place, Problem, Severity, SourceFile};
use crate::dialplan::plan::{Destination, Plan};
use crate::ledger::id::Name;

/// Collects problems, and knows which names the files define.
pub(crate) struct Checker<'a> {
    sources: &'a [SourceFile],
    /// The world.
    pub edge: &'a dyn Edge,
    problems: RefCell<Vec<(Span, Problem)>>,
    names: HashMap<&'static str, BTreeMap<String, Span>>,
}

/// A named, numbered or single entry of a section, not yet read.
pub(crate) struct RawEntry {
    /// Its section.
    pub section: &'static Section,
    /// Its name; the section's for single ones.
    pub name: String,
    /// Where its name stands.
    pub at: Span,
    /// Its keys.
    pub table: Table,
}

impl<'a> Checker<'a> {
    /// A checker of these files.
    pub fn new(sources: &'a [SourceFile], edge: &'a dyn Edge) -> Checker<'a> {
        Checker {
            sources,
            edge,
            problems: RefCell::default(),
            names: HashMap::new(),
        }
    }

    /// The result: the plan is given out only without errors.
    pub fn finish(self, plan: Option<Plan>, expectations: Vec<Span>) -> Checked {
        let mut problems = self.problems.into_inner();
        let failed = problems
            .iter()
            .any(|(_, problem)| problem.severity == Severity::Error);
        let plan = if failed { None } else { plan };
        if plan.is_none() && !failed {
            let problem = Problem {
                severity: Severity::Error,
                message:
                    "the plan could not be built although nothing is wrong with it: a fault of vats"
                        .into(),
                place: None,
                also: None,
                hint: None,
            };
            problems.push((START, problem));
        }
        problems.sort_by_key(|(span, _)| (span.file, span.start));
        let mut problems: Vec<Problem> = problems.into_iter().map(|(_, problem)| problem).collect();
        problems.dedup();
        Checked {
            plan,
            problems,
            expectations: expectations
                .into_iter()
                .map(|span| Place::of(span, self.sources))
                .collect(),
        }
    }

    /// Where a span is, for people.
    pub fn place(&self, at: Span) -> Place {
        Place::of(at, self.sources)
    }

    /// Takes a problem down.
    pub fn report(&self, severity: Severity, at: Span, wrong: Wrong, also: Option<(Span, &str)>) {
        let problem = Problem {
            severity,
            message: wrong.message,
            place: Some(self.place(at)),
            also: also.map(|(span, what)| (self.place(span), what.to_owned())),
            hint: wrong.hint,
        };
        self.problems.borrow_mut().push((at, problem));
    }

    /// Takes an error down.
    pub fn error(&self, at: Span, wrong: Wrong) {
        self.report(Severity::Error, at, wrong, None);
    }

    /// Takes a warning down.
    pub fn warn(&self, at: Span, wrong: Wrong) {
        self.report(Severity::Warning, at, wrong, None);
    }

    /// Names that are defined in two files.
    pub fn report_twice(&self, twice: Vec<Twice>) {
        for Twice {
            what,
            first,
            second,
        } in twice
        {
            let wrong = Wrong::new(format!("`{what}` is defined twice"))
                .hint("remove one, or give it another name");
            self.report(
                Severity::Error,
                second,
                wrong,
                Some((first, "first defined")),
            );
        }
    }

    /// Text that is not TOML.
    pub fn report_syntax(&self, errors: Vec<SyntaxError>) {
        for error in errors {
            let wrong = Wrong::new(error.message);
            let first = error.first.map(|first| (first, "first defined"));
            self.report(Severity::Error, error.at, wrong, first);
        }
    }

    /// Sorts the files' tables into entries, and notes the names that they define.
    pub fn sections(&mut self, table: Table) -> Vec<RawEntry> {
        let mut entries = Vec::new();
        for item in table.0 {
            let Some(section) = Section::named(&item.key) else {
                self.unknown_section(&item);
                continue;
            };
            self.entries_of(section, item, &mut entries);
        }
        for entry in &entries {
            self.names
                .entry(entry.section.name)
                .or_default()
                .insert(entry.name.clone(), entry.at);
        }
        entries
    }

    fn entries_of(&self, section: &'static Section, item: Item, entries: &mut Vec<RawEntry>) {
        let expected = match section.shape {
            Shape::Later => {
                let message = format!("[{}] is not available in this version", section.name);
                self.error(item.at, Wrong::new(message).hint("remove it for now"));
                return;
            }
            Shape::Single => format!("[{}]", section.name),
            Shape::Named => format!("[{}.NAME]", section.name),
            Shape::Numbered => format!("[{}.\"+74951000001\"]", section.name),
            Shape::List => format!("[[{}]]", section.name),
        };
        let misshapen = |at: Span| {
            let message = format!("`{}` is a section with entries of its own", section.name);
            self.error(
                at,
                Wrong::new(message).hint(format!("write it as {expected}")),
            );
        };
        let new = |name: String, at: Span, table: Table| RawEntry {
            section,
            name,
            at,
            table,
        };
        match (section.shape, item.node.value) {
            (Shape::Single, Value::Table(table)) => {
                entries.push(new(item.key, item.at, table));
            }
            (Shape::List, Value::List(nodes)) => {
                for Node { at, value } in nodes {
                    match value {
                        // The place of `[[test]]` itself.
                        Value::Table(table) => entries.push(new(item.key.clone(), at, table)),
                        _ => misshapen(at),
                    }
                }
            }
            (Shape::Named | Shape::Numbered, Value::Table(named)) => {
                for entry in named.0 {
                    let Value::Table(table) = entry.node.value else {
                        misshapen(entry.at);
                        continue;
                    };
                    if section.shape == Shape::Named && !is_name(&entry.key) {
                        let message = format!("\"{}\" cannot be a name", entry.key);
                        let hint = "names are letters, digits, _, - and ., at most 64";
                        self.error(entry.at, Wrong::new(message).hint(hint));
                        continue;
                    }
                    entries.push(new(entry.key, entry.at, table));
                }
            }
            _ => misshapen(item.at),
        }
    }

    fn unknown_section(&self, item: &Item) {
        let wrong = Wrong::new(format!("`{}` is no section of the configuration", item.key));
        let wrong = match nearest(&item.key, SECTIONS.iter().map(|section| section.name)) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None => {
                let names: Vec<&str> = SECTIONS
                    .iter()
                    .filter(|section| section.shape != Shape::Later)
                    .map(|section| section.name)
                    .collect();
                wrong.hint(format!("the sections are {}", names.join(", ")))
            }
        };
        self.error(item.at, wrong);
    }

    /// Where a name of a section is defined.
    pub fn defined(&self, section: &str, name: &str) -> Option<Span> {
        self.names.get(section)?.get(name).copied()
    }

    /// A name that must be defined in a section.
    pub fn name(&self, section: &str, name: &str) -> Result<Name, Wrong> {
        if self.defined(section, name).is_some() {
            return Ok(Name::from(name));
        }
        let wrong = Wrong::new(format!("there is no [{section}.{name}]"));
        Err(match nearest(name, self.names_of(section)) {
            Some(near) => wrong.hint(format!("did you mean `{near}`?")),
            None if self.names_of(section).next().is_none() => {
                wrong.hint(format!("add [{section}.{name}]"))
            }
            None => {
                let names: Vec<&str> = self.names_of(section).take(8).collect();
                wrong.hint(format!("known: {}", names.join(", ")))
            }
        })
    }

    /// A destination as the plan writes it.
    pub fn destination(&self, text: &str) -> Result<Destination, Wrong> {
        let Some((kind, name)) = text.split_once(':') else {
            return match text {
                "echo" => Ok(Destination::Echo),
                "hangup" => Ok(Destination::Hangup),
                _ => Err(self.no_destination(text)),
            };
        };
        let (section, make): (_, fn(Name) -> Destination) = match kind {
            "menu" => ("menus", Destination::Menu),
            "hunt" => ("hunts", Destination::Hunt),
            "operator" => ("operators", Destination::Operator),
            "forward" => ("forwards", Destination::Forward),
            "voicemail" => ("voicemails", Destination::Voicemail),
            "announcement" => ("announcements", Destination::Announcement),
            "schedule" => ("schedules", Destination::Schedule),
            "conference" => ("conferences", Destination::Conference),
            "callback" => {
                let message = format!("{kind}: destinations are not available in this version");
                return Err(Wrong::new(message));
            }
            _ => return Err(self.no_destination(text)),
        };
        self.name(section, name).map(make).map_err(|wrong| {
            // Say the hint as it must be written.
            let hint = nearest(name, self.names_of(section))
                .map(|near| format!("did you mean \"{kind}:{near}\"?"));
            Wrong {
                hint: hint.or(wrong.hint),
                ..wrong
            }
        })
    }

    /// The names that a section defines.
    pub fn names_of(&self, section: &str) -> impl Iterator<Item = &str> {
        self.names
            .get(section)
            .into_iter()
            .flat_map(|names| names.keys().map(String::as_str))
    }

    fn no_destination(&self, text: &str) -> Wrong {
        let (kind, name) = text.split_once(':').unwrap_or((text, ""));
        let wrong = Wrong::new(format!("\"{text}\" is no destination"));
        if name.is_empty() {
            // A bare name: perhaps the kind was forgotten.
            let forgotten = KINDS
                .iter()
                .find(|(_, section)| self.defined(section, text).is_some());
            if let Some((kind, _)) = forgotten {
                return wrong.hint(format!("did you mean \"{kind}:{text}\"?"));
            }
        }
        let kinds = KINDS.iter().map(|(kind, _)| *kind);
        match nearest(kind, kinds.chain(["echo", "hangup"])) {
            Some(near) if name.is_empty() => wrong.hint(format!("did you mean \"{near}\"?")),
            Some(near) => wrong.hint(format!("did you mean \"{near}:{name}\"?")),
            None => wrong.hint(
                "a destination is menu:NAME, hunt:NAME, operator:NAME, forward:NAME, voicemail:NAME, announcement:NAME, schedule:NAME, echo or hangup",
            ),
        }
    }
}

const KINDS: [(&str, &str); 8] = [
    ("menu", "menus"),
    ("hunt", "hunts"),
    ("operator", "operators"),
    ("forward", "forwards"),
    ("voicemail", "voicemails"),
    ("announcement", "announcements"),
    ("schedule", "schedules"),
    ("conference", "conferences"),
];

/// The beginning of the first file.
pub(crate) const START: Span = Span {
    file: 0,
    start: 0,
    end: 0,
};
