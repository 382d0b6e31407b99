//! Writing many rows with few statements: rows go in chunks of fixed sizes, so that each statement is prepared once.

use std::collections::HashMap;
use std::sync::{Arc, LazyLock, Mutex, PoisonError};

use serde::Serialize;
use sqlx::sqlite::{SqliteArguments, SqliteConnection};
use sqlx::{Arguments, AssertSqlSafe};

use crate::ledger::clock::Wall;
use crate::ledger::id::Name;

/// A table, its columns, and what happens when a row with the same key is there.
#[derive(Debug)]
pub(super) struct Table {
    pub name: &'static str,
    pub columns: &'static [&'static str],
    /// The key's columns; empty: rows are appended.
    pub key: &'static [&'static str],
    /// Columns that are not replaced in a row that is there.
    pub fixed: &'static [&'static str],
}

/// A value to be bound.
#[derive(Clone, Debug)]
pub(super) enum Value {
    Null,
    Integer(i64),
    Text(String),
}

impl Table {
    /// Inserts the rows; those whose key is there are replaced (nothing is, where every column is fixed).
    pub(super) async fn put(
        &self,
        connection: &mut SqliteConnection,
        rows: Vec<Vec<Value>>,
    ) -> Result<(), sqlx::Error> {
        let mut rest = rows.into_iter();
        while rest.len() > 0 {
            let size = CHUNKS
                .into_iter()
                .find(|size| *size <= rest.len())
                .unwrap_or(1);
            let mut arguments = SqliteArguments::default();
            arguments.reserve(size * self.columns.len(), 0);
            for value in rest.by_ref().take(size).flatten() {
                match value {
                    Value::Null => arguments.add(None::<i64>),
                    Value::Integer(number) => arguments.add(number),
                    Value::Text(text) => arguments.add(text),
                }
                .map_err(sqlx::Error::Encode)?;
            }
            sqlx::query_with(AssertSqlSafe(self.statement(size)), arguments)
                .execute(&mut *connection)
                .await?;
        }
        Ok(())
    }

    /// The statement for `size` rows. Made of constants of this module alone.
    fn statement(&self, size: usize) -> Arc<str> {
        let mut statements = STATEMENTS.lock().unwrap_or_else(PoisonError::into_inner);
        let statement = statements
            .entry((self.name, size))
            .or_insert_with(|| self.sql(size).into());
        Arc::clone(statement)
    }

    fn sql(&self, size: usize) -> String {
        let row = format!("({})", vec!["?"; self.columns.len()].join(", "));
        let mut sql = format!(
            "INSERT INTO {} ({}) VALUES {}",
            self.name,
            self.columns.join(", "),
            vec![row.as_str(); size].join(", ")
        );
        if !self.key.is_empty() {
            let replaced: Vec<String> = self
                .columns
                .iter()
                .filter(|column| !self.key.contains(column) && !self.fixed.contains(column))
                .map(|column| format!("{column} = excluded.{column}"))
                .collect();
            sql.push_str(&format!(" ON CONFLICT ({}) DO ", self.key.join(", ")));
            if replaced.is_empty() {
                sql.push_str("NOTHING");
            } else {
                sql.push_str(&format!("UPDATE SET {}", replaced.join(", ")));
            }
        }
        sql
    }
}

impl Value {
    /// The name that serde gives to an enum's variant.
    pub(super) fn word<T: Serialize>(word: T) -> Value {
        match serde_json::to_value(word) {
            Ok(serde_json::Value::String(text)) => Value::Text(text),
            Ok(other) => Value::Text(other.to_string()),
            Err(_) => Value::Null,
        }
    }

    /// [`Value::word`] or `NULL`.
    pub(super) fn maybe_word<T: Serialize>(word: Option<T>) -> Value {
        word.map_or(Value::Null, Value::word)
    }

    /// The value printed.
    pub(super) fn text(text: impl std::fmt::Display) -> Value {
        Value::Text(text.to_string())
    }

    /// The value printed, or `NULL`.
    pub(super) fn maybe_text<T: std::fmt::Display>(text: Option<T>) -> Value {
        text.map_or(Value::Null, Value::text)
    }

    /// A number; the highest that fits when it does not.
    pub(super) fn number(number: u64) -> Value {
        Value::Integer(i64::try_from(number).unwrap_or(i64::MAX))
    }

    /// [`Value::number`] or `NULL`.
    pub(super) fn maybe_number(number: Option<u64>) -> Value {
        number.map_or(Value::Null, Value::number)
    }
}

impl From<Wall> for Value {
    fn from(wall: Wall) -> Value {
        Value::Integer(wall.as_micros())
    }
}

impl From<Option<Wall>> for Value {
    fn from(wall: Option<Wall>) -> Value {
        wall.map_or(Value::Null, Value::from)
    }
}

impl From<Option<String>> for Value {
    fn from(text: Option<String>) -> Value {
        text.map_or(Value::Null, Value::Text)
    }
}

impl From<Option<Name>> for Value {
    fn from(name: Option<Name>) -> Value {
        Value::maybe_text(name)
    }
}

/// Rows in a statement: the largest that fits is taken.
const CHUNKS: [usize; 6] = [32, 16, 8, 4, 2, 1];

type Statements = HashMap<(&'static str, usize), Arc<str>>;
static STATEMENTS: LazyLock<Mutex<Statements>> = LazyLock::new(Mutex::default);
