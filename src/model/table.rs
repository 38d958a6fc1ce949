//! The shape of a stream's table.

use serde::{Deserialize, Serialize};

use crate::definition::{Column, ColumnType, Key, OnConflict, Scalar, Stream};

/// A column as it is in the table.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct TableColumn {
    pub name: String,
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Values this close are equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
}

impl TableColumn {
    /// The column among these whose name differs from this one in the case of letters alone.
    /// SQLite takes the two names for one, and they are two members of the source.
    pub fn other_case<'c>(columns: &'c [TableColumn], name: &str) -> Option<&'c TableColumn> {
        columns.iter().find(|have| have.name != name && have.name.eq_ignore_ascii_case(name))
    }
}

/// The natural key as it is in the table.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum KeyShape {
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
    /// Rows can be marked as gone, in a column `_deleted_at`.
    pub marks: bool,
    /// Each row brings a last cell that tells whether it is a tombstone.
    pub tombstones: bool,
    /// It is noted which rows a fetch has seen.
    pub watched: bool,
    /// Rows that are gone are deleted; their last versions go into the history.
    pub deletes: bool,
}

impl Retention {
    /// What the definition says of a stream.
    pub fn of(stream: &Stream) -> Retention {
        let deletes = stream.missing.as_ref().map(|rules| rules.delete);
        Retention {
            history: stream.history,
            marks: stream.deleted.is_some() || deletes == Some(false),
            tombstones: stream.deleted.is_some(),
            watched: deletes.is_some(),
            deletes: deletes == Some(true),
        }
    }
}

/// The rows of which a complete fetch can tell that they are gone, and what becomes of those.
#[derive(Clone, Debug, PartialEq)]
pub struct GoneScope {
    /// A column with the first text inside and the first one after; none for all rows.
    pub field: Option<(String, String, String)>,
    /// Columns that hold the key of the parent that was read for.
    pub parent: Vec<(String, Scalar)>,
    /// Delete them; else they are marked.
    pub delete: bool,
    /// The share of the scope's rows that may go at once, from 0 to 1.
    pub ratio_max: f64,
    /// Rows of it that may go at once whatever their share is, if others stay.
    pub min: u64,
}

/// A stream's table as its rows are written and read.
#[derive(Clone, Debug, PartialEq)]
pub struct TableShape {
    /// The stream's and the table's name.
    pub name: String,
    /// The columns in order, without windrow's own.
    pub columns: Vec<TableColumn>,
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
            retention: Retention::of(stream),
        }
    }

    /// The columns that a row brings, in order: `_key` if hashed, the columns, `_rest`.
    pub fn row_columns(&self) -> Vec<String> {
        let hashed = matches!(self.key, KeyShape::Hash(_));
        let own = hashed.then(|| "_key".to_owned()).into_iter();
        let columns = self.columns.iter().map(|column| column.name.clone());
        own.chain(columns).chain(["_rest".to_owned()]).collect()
    }

    /// The cells of a row.
    pub fn row_width(&self) -> usize {
        self.row_columns().len() + usize::from(self.retention.tombstones)
    }
}
