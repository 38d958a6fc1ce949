//! A row of the archive as the texts of a row over there. Decides, and does nothing.

use crate::model::{excerpt, hexadecimal};
use crate::publish::OutRow;
use crate::store::Value;

use super::statement::Table;
use super::value::{Fit, PgType, fit, own_instant, rest_with};

/// How much of a key's value a message shows, characters: enough to find the row, and a message
/// stays on one line.
const KEY_CHARS_MAX: usize = 60;

/// A row as texts; nothing is NULL.
pub type Cells = Vec<Option<String>>;

/// A value that cannot be kept over there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unfit<'t> {
    pub column: &'t str,
    /// Its type over there.
    pub kind: PgType,
    /// The reason, in words for people.
    pub why: &'static str,
}

/// The cells in the order of [`Table::sent`], and how many values are exact in `_rest` alone; or
/// the column that cannot be kept, and why.
pub fn cells_of<'t>(
    table: &'t Table,
    row: &OutRow,
    publisher: &str,
) -> Result<(Cells, u64), Unfit<'t>> {
    let mut cells = Vec::with_capacity(table.columns.len() + super::statement::OWN.len());
    let mut exact = Vec::new();
    for ((name, kind), value) in table.columns.iter().zip(&row.values) {
        cells.push(match fit(*kind, table.role(name), value) {
            Fit::Null => None,
            Fit::Exact(text) => Some(text),
            Fit::Beside(cell, json) => {
                exact.push((name.as_str(), json));
                cell
            }
            Fit::Refused(why) => return Err(Unfit { column: name, kind: *kind, why }),
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

#[cfg(test)]
mod tests {
    use super::super::statement::OWN;
    use super::*;

    fn table(key: PgType) -> Table {
        Table {
            schema: "\"s\"".into(),
            name: "t".into(),
            key_text: "id".into(),
            key: vec!["id".into()],
            columns: vec![("id".into(), key), ("at".into(), PgType::Timestamp)],
            version: None,
            keeps_first: false,
            lacking: Vec::new(),
        }
    }

    fn row(key: &str, at: &str) -> OutRow {
        OutRow {
            values: vec![Value::Text(key.into()), Value::Text(at.into())],
            rest: Some("{\"n\":1.10}".into()),
            first_seen_at: "2026-01-01T00:00:00.1234567+00:00".into(),
            changed_at: "2026-01-02T00:00:00+00:00".into(),
            revision: 3,
            deleted_at: None,
            archive: Some("A".into()),
            run_uid: Some("u".into()),
            read_at: String::new(),
            sha256: [1; 32],
        }
    }

    #[test]
    fn a_row_brings_its_values_its_origin_and_what_does_not_fit() {
        let table = table(PgType::Text);
        let row = row("a", "2026-01-01T00:00:00.123456789+00:00");
        let (cells, beside) = cells_of(&table, &row, "P").expect("it fits");
        assert_eq!((cells.len(), beside), (2 + OWN.len(), 1));
        let rest = "{\"n\":1.10,\"_exact\":{\"at\":\"2026-01-01T00:00:00.123456789+00:00\"}}";
        let expected = [
            Some("a"),
            Some("2026-01-01T00:00:00.123456+00:00"),
            Some(rest),
            Some("2026-01-01T00:00:00.123456+00:00"),
            Some("2026-01-02T00:00:00+00:00"),
            Some("3"),
            None,
            Some("A"),
            Some("u"),
            None,
        ];
        let shown: Vec<Option<&str>> = cells.iter().map(Option::as_deref).collect();
        assert_eq!(shown[..10], expected);
        assert_eq!(shown[11], Some("P"));
    }

    #[test]
    fn a_key_that_cannot_be_kept_is_refused_by_its_column() {
        let table = table(PgType::Text);
        let unfit = cells_of(&table, &row("a\0", ""), "P").expect_err("a NUL in a key");
        assert_eq!(unfit.column, "id");
        assert_eq!(key_shown(&[Value::Text("a\u{1b}".into()), Value::Integer(7)]), "a\\u{1b}, 7");
    }
}
