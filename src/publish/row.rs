//! A row of the archive as the texts of a row over there. Decides, and does nothing.

use crate::archive::{OutRow, Value};
use crate::model::{excerpt, hexadecimal};

use super::statement::Table;
use super::value::{Fit, fit, own_instant, rest_with};

/// How much of a key's value a message shows, characters.
const KEY_CHARS_MAX: usize = 60;

/// The cells in the order of [`Table::sent`], and how many values are exact in `_rest` alone; or
/// the column that cannot be kept, and why.
pub fn cells_of<'t>(
    table: &'t Table,
    row: &OutRow,
    publisher: &str,
) -> Result<(Vec<Option<String>>, u64), (&'t str, &'static str)> {
    let mut cells = Vec::with_capacity(table.columns.len() + super::statement::OWN.len());
    let mut exact = Vec::new();
    for ((name, kind), value) in table.columns.iter().zip(&row.values) {
        cells.push(match fit(*kind, table.key.contains(name), value) {
            Fit::Null => None,
            Fit::Exact(text) => Some(text),
            Fit::Beside(cell, json) => {
                exact.push((name.as_str(), json));
                cell
            }
            Fit::Refused(why) => return Err((name, why)),
        });
    }
    let beside = exact.len() as u64;
    let instant = |text: &String| own_instant(text);
    cells.extend([
        rest_with(row.rest.as_deref(), &exact),
        Some(instant(&row.first_seen_at)),
        Some(instant(&row.changed_at)),
        Some(row.revision.to_string()),
        row.deleted_at.as_ref().map(instant),
        Some(row.archive.clone().unwrap_or_default()),
        Some(row.run_uid.clone().unwrap_or_default()),
        Some(instant(&row.read_at)).filter(|at| !at.is_empty()),
        Some(format!("\\x{}", hexadecimal(&row.sha256))),
        Some(publisher.to_owned()),
    ]);
    Ok((cells, beside))
}

/// A key for people.
pub fn key_shown(key: &[Value]) -> String {
    let one = |value: &Value| match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => excerpt(text, KEY_CHARS_MAX),
        Value::Blob(bytes) => excerpt(&hexadecimal(bytes), KEY_CHARS_MAX),
    };
    key.iter().map(one).collect::<Vec<_>>().join(", ")
}
