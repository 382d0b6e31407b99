//! A table read by its declaration: each accessor takes a key's type and default from the schema and reports what is wrong with its value.
//!
//! `None` from an accessor means that the key is absent and optional, or that its value is wrong and has been reported.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use super::checker::Checker;
use super::problem::{Span, nearest};
use super::schema::{Key, Kind, Presence};
use super::tree::{Node, Table, Value};
use super::values::{self, Wrong};
use crate::audio::clip::Clip;
use crate::dialplan::number::{Country, E164};
use crate::dialplan::plan::Destination;
use crate::ledger::id::Name;

/// A table and the keys that it may have.
pub(crate) struct Entry<'a> {
    /// Where problems go.
    pub check: &'a Checker<'a>,
    /// Its path, `hunts.sales`.
    pub path: String,
    /// Its last name.
    pub name: &'a str,
    /// Where that stands.
    pub at: Span,
    table: &'a Table,
    keys: &'static [Key],
}

/// A string and where it stands.
pub(crate) struct Text<'a> {
    /// Where.
    pub at: Span,
    /// What.
    pub text: Cow<'a, str>,
}

impl<'a> Entry<'a> {
    /// The entry, its keys looked over: unknown ones and those of later versions are reported here.
    pub fn open(
        check: &'a Checker<'a>,
        path: String,
        name: &'a str,
        at: Span,
        table: &'a Table,
        keys: &'static [Key],
    ) -> Entry<'a> {
        for item in &table.0 {
            match keys.iter().find(|key| key.name == item.key) {
                None => check.error(item.at, unknown_key(&item.key, &path, keys)),
                Some(Key {
                    presence: Presence::Later(instead),
                    ..
                }) => {
                    let message = format!("`{}` is not available in this version", item.key);
                    check.error(item.at, Wrong::new(message).hint(*instead));
                }
                Some(_) => {}
            }
        }
        for key in keys {
            if key.presence == Presence::Required && table.item(key.name).is_none() {
                let message = format!("`{path}` has no `{}`", key.name);
                let hint = format!("add {} = …: {}", key.name, key.kind.describe());
                check.error(at, Wrong::new(message).hint(hint));
            }
        }
        Entry {
            check,
            path,
            name,
            at,
            table,
            keys,
        }
    }

    /// Where a key stands; the entry where it is absent.
    pub fn place(&self, key: &str) -> Span {
        self.table.item(key).map_or(self.at, |item| item.at)
    }

    /// Where a key's value stands; the entry where it is absent.
    pub fn value_place(&self, key: &str) -> Span {
        self.table.item(key).map_or(self.at, |item| item.node.at)
    }

    /// Whether a key is written.
    pub fn has(&self, key: &str) -> bool {
        self.table.item(key).is_some()
    }

    fn key(&self, name: &str) -> Option<&'static Key> {
        self.keys.iter().find(|key| key.name == name)
    }

    /// The value as written, or the default.
    fn node(&self, name: &str) -> Option<Cow<'a, Node>> {
        if let Some(item) = self.table.item(name) {
            return Some(Cow::Borrowed(&item.node));
        }
        match self.key(name)?.presence {
            Presence::Default(literal) => super::tree::literal(literal, self.at).map(Cow::Owned),
            _ => None,
        }
    }

    fn mistyped(&self, key: &str, kind: &Kind, node: &Node) {
        let message = format!(
            "`{key}` takes {}, not {}",
            kind.describe(),
            node.value.describe()
        );
        let wrong = Wrong::new(message);
        let wrong = match (kind, &node.value) {
            (Kind::Duration(..), Value::Integer(Some(number))) => {
                wrong.hint(format!("write the unit: \"{number}s\""))
            }
            (Kind::List(_), Value::Text(text)) => wrong.hint(format!("write [\"{text}\"]")),
            (Kind::Number, Value::Integer(Some(number))) => {
                wrong.hint(format!("write it in quotes: \"+{number}\""))
            }
            (_, Value::Integer(Some(number))) => {
                wrong.hint(format!("write it in quotes: \"{number}\""))
            }
            _ => wrong,
        };
        self.check.error(node.at, wrong);
    }

    /// A string, perhaps an empty one.
    pub fn text(&self, key: &str) -> Option<Text<'a>> {
        let kind = self.key(key)?.kind;
        text_of(self.node(key)?)
            .map_err(|node| self.mistyped(key, &kind, &node))
            .ok()
    }

    /// A string, read by `parse`.
    pub fn read<T>(&self, key: &str, parse: impl FnOnce(&str) -> Result<T, Wrong>) -> Option<T> {
        let text = self.text(key)?;
        if text.text.is_empty() {
            self.check
                .error(text.at, Wrong::new(format!("`{key}` is empty")));
            return None;
        }
        parse(&text.text)
            .map_err(|wrong| self.check.error(text.at, wrong))
            .ok()
    }

    /// A list of strings, each read by `parse`; `None` when any is wrong.
    pub fn list<T>(
        &self,
        key: &str,
        mut parse: impl FnMut(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let kind = self.key(key)?.kind;
        let node = self.node(key)?;
        let Value::List(nodes) = &node.value else {
            self.mistyped(key, &kind, &node);
            return None;
        };
        let mut values = Vec::with_capacity(nodes.len());
        let mut seen: Vec<&str> = Vec::new();
        for node in nodes {
            let Value::Text(text) = &node.value else {
                if let Kind::List(inner) = kind {
                    self.mistyped(key, inner, node);
                }
                continue;
            };
            if seen.contains(&text.as_str()) {
                let message = format!("\"{text}\" is named twice in `{key}`");
                self.check
                    .error(node.at, Wrong::new(message).hint("name it once"));
                continue;
            }
            seen.push(text);
            match parse(text) {
                Ok(value) => values.push(value),
                Err(wrong) => self.check.error(node.at, wrong),
            }
        }
        (values.len() == nodes.len()).then_some(values)
    }

    /// As [`Entry::list`], with at least one element.
    pub fn some<T>(
        &self,
        key: &str,
        parse: impl FnMut(&str) -> Result<T, Wrong>,
    ) -> Option<Vec<T>> {
        let values = self.list(key, parse)?;
        if values.is_empty() {
            let message = format!("`{key}` is empty");
            let kind = self.key(key)?.kind.describe();
            self.check.error(
                self.place(key),
                Wrong::new(message).hint(format!("it takes {kind}")),
            );
            return None;
        }
        Some(values)
    }

    /// A duration within the bounds of its declaration.
    pub fn duration(&self, key: &str) -> Option<Duration> {
        let Kind::Duration(least, most) = self.key(key)?.kind else {
            return None;
        };
        self.read(key, |text| {
            let duration = values::duration(text).ok_or_else(|| {
                Wrong::new(format!("\"{text}\" is no duration"))
                    .hint("write a whole number and ms, s, m or h: \"20s\"")
            })?;
            let within = values::duration(least).is_none_or(|least| least <= duration)
                && values::duration(most).is_none_or(|most| duration <= most);
            if !within {
                return Err(Wrong::new(format!(
                    "`{key}` must be from {least} to {most}, not {text}"
                )));
            }
            Ok(duration)
        })
    }

    /// `true` or `false`.
    pub fn boolean(&self, key: &str) -> Option<bool> {
        let kind = self.key(key)?.kind;
        let node = self.node(key)?;
        match node.value {
            Value::Bool(value) => Some(value),
            _ => {
                self.mistyped(key, &kind, &node);
                None
            }
        }
    }

    /// A whole number within the bounds of its declaration.
    pub fn integer(&self, key: &str) -> Option<u32> {
        let kind = self.key(key)?.kind;
        let Kind::Integer(least, most) = kind else {
            return None;
        };
        let node = self.node(key)?;
        let Value::Integer(value) = node.value else {
            self.mistyped(key, &kind, &node);
            return None;
        };
        match value.filter(|value| (least..=most).contains(value)) {
            Some(value) => u32::try_from(value).ok(),
            None => {
                let message = format!("`{key}` must be from {least} to {most}");
                self.check.error(node.at, Wrong::new(message));
                None
            }
        }
    }

    /// A list of whole numbers within the bounds of its declaration; `None` when any is wrong.
    pub fn integers(&self, key: &str) -> Option<Vec<u32>> {
        let kind = self.key(key)?.kind;
        let Kind::List(Kind::Integer(least, most)) = kind else {
            return None;
        };
        let node = self.node(key)?;
        let Value::List(nodes) = &node.value else {
            self.mistyped(key, &kind, &node);
            return None;
        };
        let mut values = Vec::with_capacity(nodes.len());
        for node in nodes {
            match node.value {
                Value::Integer(Some(value)) if (*least..=*most).contains(&value) => {
                    values.extend(u32::try_from(value));
                }
                _ => {
                    let message = format!("`{key}` takes whole numbers from {least} to {most}");
                    self.check.error(node.at, Wrong::new(message));
                }
            }
        }
        (values.len() == nodes.len()).then_some(values)
    }

    /// One of the words of its declaration.
    pub fn word(&self, key: &str) -> Option<String> {
        let Kind::OneOf(now, later) = self.key(key)?.kind else {
            return None;
        };
        self.read(key, |text| one_of(key, text, now, later))
    }

    /// A list of the words of its declaration.
    pub fn words(&self, key: &str) -> Option<Vec<String>> {
        let Kind::List(Kind::OneOf(now, later)) = self.key(key)?.kind else {
            return None;
        };
        self.some(key, |text| one_of(key, text, now, later))
    }

    /// A destination.
    pub fn destination(&self, key: &str) -> Option<Destination> {
        self.read(key, |text| self.check.destination(text))
    }

    /// A sound file.
    pub fn sound(&self, key: &str) -> Option<Arc<Clip>> {
        self.read(key, |text| {
            self.check.edge.clip(text).map_err(|why| {
                Wrong::new(format!("\"{text}\" cannot be played: {why}"))
                    .hint("paths are relative to the configuration directory")
            })
        })
    }

    /// The name of an entry of a section.
    pub fn of(&self, key: &str) -> Option<Name> {
        let Kind::Of(section) = self.key(key)?.kind else {
            return None;
        };
        self.read(key, |text| self.check.name(section, text))
    }

    /// Names of entries of a section.
    pub fn many_of(&self, key: &str) -> Option<Vec<Name>> {
        let Kind::List(Kind::Of(section)) = self.key(key)?.kind else {
            return None;
        };
        self.some(key, |text| self.check.name(section, text))
    }

    /// A telephone number as it is written in `country`.
    pub fn number(&self, key: &str, country: Country) -> Option<E164> {
        self.read(key, |text| number(text, country))
    }

    /// A secret: written, from the environment, or made.
    pub fn secret(&self, key: &str) -> Option<String> {
        let made = matches!(self.key(key)?.kind, Kind::MadeSecret);
        self.read(key, |text| {
            if let Some(name) = text.strip_prefix("env:") {
                return match self.check.edge.env(name) {
                    Some(value) if !value.is_empty() => Ok(value),
                    _ => Err(
                        Wrong::new(format!("the environment variable {name} is not set"))
                            .hint(format!("start vats with {name}=… in its environment")),
                    ),
                };
            }
            if text == "generate" {
                if !made {
                    return Err(Wrong::new(format!("`{key}` cannot be generated"))
                        .hint("write it, or \"env:NAME\""));
                }
                let path = format!("{}.{key}", self.path);
                return self
                    .check
                    .edge
                    .secret(&path)
                    .ok_or_else(|| Wrong::new(format!("no value could be made for `{path}`")));
            }
            Ok(text.to_owned())
        })
    }

    /// A table within this one.
    pub fn inner(&'a self, key: &'static str) -> Option<Entry<'a>> {
        let kind = self.key(key)?.kind;
        let Kind::Table(keys) = kind else {
            return None;
        };
        let item = self.table.item(key)?;
        let Value::Table(table) = &item.node.value else {
            self.mistyped(key, &kind, &item.node);
            return None;
        };
        let path = format!("{}.{key}", self.path);
        Some(Entry::open(self.check, path, key, item.at, table, keys))
    }

    /// A table whose keys are not declared one by one.
    pub fn free_table(&self, key: &str) -> Option<&'a Table> {
        let kind = self.key(key)?.kind;
        let item = self.table.item(key)?;
        match &item.node.value {
            Value::Table(table) => Some(table),
            _ => {
                self.mistyped(key, &kind, &item.node);
                None
            }
        }
    }

    /// A string or a TOML date, as text.
    pub fn date_text(&self, key: &str) -> Option<Text<'a>> {
        match self.node(key)?.as_ref() {
            Node {
                at,
                value: Value::Date(text),
            } => Some(Text {
                at: *at,
                text: Cow::Owned(text.clone()),
            }),
            _ => self.text(key),
        }
    }
}

/// A telephone number as it is written in `country`.
pub(crate) fn number(text: &str, country: Country) -> Result<E164, Wrong> {
    let read = E164::read(text, country).filter(|_| !text.contains(';'));
    read.ok_or_else(|| {
        Wrong::new(format!("\"{text}\" is no telephone number"))
            .hint("write it in E.164, such as \"+74951000001\"")
    })
}

fn text_of(node: Cow<'_, Node>) -> Result<Text<'_>, Node> {
    match node {
        Cow::Borrowed(Node {
            at,
            value: Value::Text(text),
        }) => Ok(Text {
            at: *at,
            text: Cow::Borrowed(text),
        }),
        Cow::Owned(Node {
            at,
            value: Value::Text(text),
        }) => Ok(Text {
            at,
            text: Cow::Owned(text),
        }),
        other => Err(other.into_owned()),
    }
}

fn one_of(key: &str, text: &str, now: &[&str], later: &[&str]) -> Result<String, Wrong> {
    if now.contains(&text) {
        return Ok(text.to_owned());
    }
    let choices: Vec<String> = now.iter().map(|word| format!("\"{word}\"")).collect();
    let choices = choices.join(" or ");
    if later.contains(&text) {
        return Err(
            Wrong::new(format!("\"{text}\" is not available in this version"))
                .hint(format!("use {choices}")),
        );
    }
    let wrong = Wrong::new(format!("`{key}` takes {choices}, not \"{text}\""));
    Err(match nearest(text, now.iter().copied()) {
        Some(near) => wrong.hint(format!("did you mean \"{near}\"?")),
        None => wrong,
    })
}

fn unknown_key(key: &str, path: &str, keys: &[Key]) -> Wrong {
    let wrong = Wrong::new(format!("`{path}` has no key `{key}`"));
    match nearest(key, keys.iter().map(|key| key.name)) {
        Some(near) => wrong.hint(format!("did you mean `{near}`?")),
        None => {
            let names: Vec<&str> = keys
                .iter()
                .filter(|key| !matches!(key.presence, Presence::Later(_)))
                .map(|key| key.name)
                .collect();
            wrong.hint(format!("its keys are {}", names.join(", ")))
        }
    }
}
