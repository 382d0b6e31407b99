//! The files as one tree of values, each with its place: sections of all files merged, a name that is defined twice reported with both places.

use std::collections::{BTreeMap, HashMap};

use toml::de::{DeTable, DeValue};

use super::SourceFile;
use super::problem::Span;

/// A value and where it stands.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// Where.
    pub at: Span,
    /// What.
    pub value: Value,
}

/// A TOML value.
#[derive(Clone, Debug)]
pub(crate) enum Value {
    /// A string.
    Text(String),
    /// An integer; `None` when it does not fit.
    Integer(Option<i64>),
    /// A number with a point.
    Float,
    /// `true` or `false`.
    Bool(bool),
    /// A date, a time or both, as TOML writes it.
    Date(String),
    /// An array.
    List(Vec<Node>),
    /// A table.
    Table(Table),
}

/// Keys and values in the order of the file.
#[derive(Clone, Debug, Default)]
pub(crate) struct Table(pub Vec<Item>);

/// A key, where it stands, and its value.
#[derive(Clone, Debug)]
pub(crate) struct Item {
    /// The key without quotes.
    pub key: String,
    /// Where the key stands.
    pub at: Span,
    /// Its value.
    pub node: Node,
}

/// Text that is not TOML.
#[derive(Clone, Debug)]
pub(crate) struct SyntaxError {
    /// Where.
    pub at: Span,
    /// Why.
    pub message: String,
    /// The key is defined twice: where the first one is, if it could be found.
    pub first: Option<Span>,
}

/// Something that two files define.
#[derive(Clone, Debug)]
pub(crate) struct Twice {
    /// What: `hunts.sales`.
    pub what: String,
    /// The earlier place.
    pub first: Span,
    /// The later one.
    pub second: Span,
}

impl Value {
    /// What it is, for messages.
    pub fn describe(&self) -> &'static str {
        match self {
            Value::Text(_) => "a string",
            Value::Integer(_) => "an integer",
            Value::Float => "a number with a point",
            Value::Bool(_) => "true or false",
            Value::Date(_) => "a date",
            Value::List(_) => "a list",
            Value::Table(_) => "a table",
        }
    }
}

impl Table {
    /// The item with this key.
    pub fn item(&self, key: &str) -> Option<&Item> {
        self.0.iter().find(|item| item.key == key)
    }

    /// Takes another file's items in. A table that both have is merged down to the level of names: `[server]` by key, `[hunts]` by hunt.
    fn merge(&mut self, other: Table, above: &str, twice: &mut Vec<Twice>) {
        let mut index: HashMap<String, usize> = HashMap::new();
        for (number, item) in self.0.iter().enumerate() {
            index.entry(item.key.clone()).or_insert(number);
        }
        for item in other.0 {
            let known = index
                .get(&item.key)
                .and_then(|number| self.0.get_mut(*number));
            let Some(known) = known else {
                self.0.push(item);
                continue;
            };
            match (&mut known.node.value, item.node.value) {
                (Value::Table(into), Value::Table(more)) if above.is_empty() => {
                    into.merge(more, &item.key, twice);
                }
                // `[[test]]` in several files.
                (Value::List(into), Value::List(more)) if above.is_empty() => into.extend(more),
                _ => twice.push(Twice {
                    what: if above.is_empty() {
                        item.key
                    } else {
                        format!("{above}.{}", item.key)
                    },
                    first: known.at,
                    second: item.at,
                }),
            }
        }
    }
}

/// Reads all files. With a syntax error in any of them nothing else is looked at: what follows would only confuse.
pub(crate) fn read(sources: &[SourceFile]) -> Result<(Table, Vec<Twice>), Vec<SyntaxError>> {
    let mut whole = Table::default();
    let mut twice = Vec::new();
    let mut errors = Vec::new();
    for (file, source) in sources.iter().enumerate() {
        let (table, wrong) = DeTable::parse_recoverable(&source.text);
        let table = convert_table(table.get_ref(), file, 0);
        for error in wrong {
            errors.push(syntax_error(&error, file, source, &table));
        }
        whole.merge(table, "", &mut twice);
    }
    if errors.is_empty() {
        Ok((whole, twice))
    } else {
        Err(errors)
    }
}

/// A value written as TOML, as defaults are.
pub(crate) fn literal(text: &str, at: Span) -> Option<Node> {
    let value = DeValue::parse(text).ok()?;
    let mut node = convert(value.get_ref(), at, at.file, 0);
    node.set_place(at);
    Some(node)
}

impl Node {
    fn set_place(&mut self, at: Span) {
        self.at = at;
        match &mut self.value {
            Value::List(nodes) => nodes.iter_mut().for_each(|node| node.set_place(at)),
            Value::Table(table) => {
                for item in &mut table.0 {
                    item.at = at;
                    item.node.set_place(at);
                }
            }
            _ => {}
        }
    }
}

fn syntax_error(
    error: &toml::de::Error,
    file: usize,
    source: &SourceFile,
    table: &Table,
) -> SyntaxError {
    let span = error.span().unwrap_or(0..0);
    let at = Span {
        file,
        start: span.start,
        end: span.end,
    };
    let message = error.message().trim().replace('\n', ", ");
    let word = source.text.get(span.clone()).unwrap_or("");
    let first = message
        .contains("duplicate")
        .then(|| find_key(table, word.trim_matches(['"', '\'']), span.start))
        .flatten();
    SyntaxError { at, message, first }
}

/// The last key of this name before `before`.
fn find_key(table: &Table, key: &str, before: usize) -> Option<Span> {
    let mut found: Option<Span> = None;
    for item in &table.0 {
        let own = (item.key == key && item.at.start < before).then_some(item.at);
        let below = match &item.node.value {
            Value::Table(table) => find_key(table, key, before),
            _ => None,
        };
        for candidate in [own, below].into_iter().flatten() {
            if found.is_none_or(|found| found.start < candidate.start) {
                found = Some(candidate);
            }
        }
    }
    found
}

fn convert_table(table: &DeTable<'_>, file: usize, depth: usize) -> Table {
    let mut items: BTreeMap<(usize, usize), Item> = BTreeMap::new();
    for (number, (key, value)) in table.iter().enumerate() {
        let span = key.span();
        let at = Span {
            file,
            start: span.start,
            end: span.end,
        };
        let range = value.span();
        let value_at = Span {
            file,
            start: range.start,
            end: range.end,
        };
        let item = Item {
            key: key.get_ref().to_string(),
            at,
            node: convert(value.get_ref(), value_at, file, depth),
        };
        items.insert((span.start, number), item);
    }
    Table(items.into_values().collect())
}

fn convert(value: &DeValue<'_>, at: Span, file: usize, depth: usize) -> Node {
    // The plan is at most five tables deep; deeper ones are reported as unknown keys, not followed.
    let value = match value {
        DeValue::String(text) => Value::Text(text.to_string()),
        DeValue::Integer(integer) => {
            Value::Integer(i64::from_str_radix(integer.as_str(), integer.radix()).ok())
        }
        DeValue::Float(_) => Value::Float,
        DeValue::Boolean(value) => Value::Bool(*value),
        DeValue::Datetime(date) => Value::Date(date.to_string()),
        DeValue::Array(values) if depth < DEEPEST => Value::List(
            values
                .iter()
                .map(|value| {
                    let range = value.span();
                    let at = Span {
                        file,
                        start: range.start,
                        end: range.end,
                    };
                    convert(value.get_ref(), at, file, depth + 1)
                })
                .collect(),
        ),
        DeValue::Array(_) => Value::List(Vec::new()),
        DeValue::Table(table) if depth < DEEPEST => {
            Value::Table(convert_table(table, file, depth + 1))
        }
        DeValue::Table(_) => Value::Table(Table::default()),
    };
    Node { at, value }
}

const DEEPEST: usize = 16;
