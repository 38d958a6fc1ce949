//! The shape of a stream's table.

use serde::{Deserialize, Serialize};

use crate::definition::{Column, ColumnType, Key, OnConflict, Stream};

/// A column as it is in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableColumn {
    /// Its name.
    pub name: String,
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Values this close are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

/// The natural key as it is in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyShape {
    /// These columns.
    Columns(Vec<String>),
    /// The column `_key`, made of these fields.
    Hash(Vec<String>),
}

impl KeyShape {
    /// The columns under the UNIQUE constraint.
    pub fn columns(&self) -> Vec<String> {
        match self {
            KeyShape::Columns(columns) => columns.clone(),
            KeyShape::Hash(_) => vec!["_key".to_owned()],
        }
    }
}

/// What stays of what a table once said.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Retention {
    /// Replaced versions of rows stay in the table's history.
    pub history: bool,
}

/// A stream's table.
#[derive(Clone, Debug, PartialEq)]
pub struct TableShape {
    /// The stream's and the table's name.
    pub name: String,
    /// The columns in order, without windrow's own.
    pub columns: Vec<TableColumn>,
    /// The natural key.
    pub key: KeyShape,
    /// The column that tells older from newer.
    pub version: Option<String>,
    /// What becomes of rows that are there.
    pub on_conflict: OnConflict,
    /// Column and the table whose key it holds.
    pub references: Vec<(String, String)>,
    /// Whether the columns were inferred.
    pub inferred: bool,
    /// What stays of what it once said.
    pub retention: Retention,
}

impl TableShape {
    /// The table of a stream whose columns are known.
    pub fn of(stream: &Stream, columns: &[Column], inferred: bool) -> TableShape {
        let column = |column: &Column| TableColumn {
            name: column.name.clone(),
            kind: column.kind,
            tolerance: column.tolerance,
        };
        let known = |name: &String| columns.iter().any(|column| column.name == *name);
        let references = stream.references.iter().filter(|(column, _)| known(column));
        TableShape {
            name: stream.name.clone(),
            columns: columns.iter().map(column).collect(),
            key: match &stream.key {
                Key::Columns(names) => KeyShape::Columns(names.clone()),
                Key::Hash(fields) => KeyShape::Hash(fields.clone()),
            },
            version: stream.version.clone().filter(known),
            on_conflict: stream.on_conflict,
            references: references
                .map(|(column, target)| (column.clone(), target.clone()))
                .collect(),
            inferred,
            retention: Retention { history: stream.history },
        }
    }

    /// The columns that a row brings, in order: `_key` if hashed, the columns, `_rest`.
    pub fn row_columns(&self) -> Vec<String> {
        let hashed = matches!(self.key, KeyShape::Hash(_));
        let own = hashed.then(|| "_key".to_owned()).into_iter();
        let columns = self.columns.iter().map(|column| column.name.clone());
        own.chain(columns).chain(["_rest".to_owned()]).collect()
    }
}
