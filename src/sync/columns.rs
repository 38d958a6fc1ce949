//! A stream's columns, and the table that they make.

use crate::archive::StreamRow;
use crate::definition::{Column, Key, Stream};
use crate::model::{KeyShape, Retention, TableColumn, TableShape};

/// The columns of a stream, if they are known before its first page.
pub fn known_columns(stream: &Stream, stored: Option<&StreamRow>) -> Option<Vec<Column>> {
    if let Some(columns) = &stream.columns {
        return Some(columns.clone());
    }
    let columns = stored?.columns.iter();
    Some(columns.map(|column| Column::plain(&column.name, column.kind)).collect())
}

/// The table of a stream with these columns.
pub fn table_shape(stream: &Stream, columns: &[Column], inferred: bool) -> TableShape {
    let column = |column: &Column| TableColumn {
        name: column.name.clone(),
        kind: column.kind,
        tolerance: column.tolerance,
    };
    let known = |name: &String| columns.iter().any(|column| column.name == *name);
    TableShape {
        name: stream.name.clone(),
        columns: columns.iter().map(column).collect(),
        key: match &stream.key {
            Key::Columns(names) => KeyShape::Columns(names.clone()),
            Key::Hash(fields) => KeyShape::Hash(fields.clone()),
        },
        version: stream.version.clone().filter(known),
        on_conflict: stream.on_conflict,
        references: stream
            .references
            .iter()
            .filter(|(column, _)| known(column))
            .map(|(column, target)| (column.clone(), target.clone()))
            .collect(),
        inferred,
        retention: Retention { history: stream.history },
    }
}
