//! SQL that shows a fact to a person: one line that any SQLite shell runs as it is.
//!
//! Names are quoted and values are literals, whatever an API put into them: a text with a control
//! character is written by its bytes, so that a terminal can be given the statement.

use crate::model::{Timestamp, hexadecimal, instant_to_text, printable};

use crate::store::sql::quote;
use crate::store::value::Value;

/// Rows that one statement shows at most: a person reads a few, and a wrong window may have
/// millions.
const SHOWN_MAX: u32 = 100;

/// A value as SQL writes it.
pub fn literal(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(i64::MIN) => "(-9223372036854775807 - 1)".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) if number.is_infinite() && *number > 0.0 => "9e999".to_owned(),
        Value::Real(number) if number.is_infinite() => "-9e999".to_owned(),
        Value::Real(number) => format!("{number:?}"),
        Value::Text(text) => text_literal(text),
        Value::Blob(bytes) => format!("x'{}'", hexadecimal(bytes)),
    }
}

fn text_literal(text: &str) -> String {
    if printable(text) == text {
        return format!("'{}'", text.replace('\'', "''"));
    }
    format!("CAST(x'{}' AS TEXT)", hexadecimal(text.as_bytes()))
}

/// Names separated by commas.
pub(crate) fn list(names: &[String]) -> String {
    names.iter().map(|name| quote(name)).collect::<Vec<_>>().join(", ")
}

/// What the log says of a stream's fields.
pub fn sql_of_drift(stream: &str) -> String {
    let stream = text_literal(stream);
    format!(
        "SELECT at, run_id, change, field, detail FROM _windrow_schema_log WHERE stream = {stream} \
         ORDER BY log_id DESC LIMIT {SHOWN_MAX}"
    )
}

/// Which rows: the value of each column.
pub type KeyColumns<'a> = [(&'a str, &'a Value)];

fn conditions(rows: &KeyColumns<'_>) -> Vec<String> {
    let each = rows.iter().map(|(name, value)| format!("{} IS {}", quote(name), literal(value)));
    each.collect()
}

fn where_all(conditions: &[String]) -> String {
    match conditions {
        [] => String::new(),
        all => format!(" WHERE {}", all.join(" AND ")),
    }
}

/// The rows of a group whose date lies from `from` up to but without `to`.
pub fn sql_of_stretch(
    table: &str,
    group: &KeyColumns<'_>,
    date: &str,
    shown: &[String],
    (from, to): (&str, &str),
) -> String {
    let mut all = conditions(group);
    let date_name = quote(date);
    all.push(format!("{date_name} >= {}", text_literal(from)));
    all.push(format!("{date_name} < {}", text_literal(to)));
    let columns: Vec<String> =
        std::iter::once(date.to_owned()).chain(shown.iter().cloned()).collect();
    format!(
        "SELECT {} FROM {}{} ORDER BY {date_name}",
        list(&columns),
        quote(table),
        where_all(&all)
    )
}

/// How many rows of a stretch were there at some time.
/// `living`: without those that are gone.
pub fn sql_of_count(
    table: &str,
    stretch: Option<(&str, &str, &str)>,
    by: Option<&str>,
    living: bool,
) -> String {
    let mut all = Vec::new();
    if let Some((date, from, to)) = stretch {
        all.push(format!("{} >= {}", quote(date), text_literal(from)));
        all.push(format!("{} < {}", quote(date), text_literal(to)));
    }
    all.extend(living.then(|| "\"_deleted_at\" IS NULL".to_owned()));
    all.extend(by.map(|by| format!("\"_first_seen_at\" <= {}", text_literal(by))));
    format!("SELECT count(*) FROM {}{}", quote(table), where_all(&all))
}

/// The times of a stretch.
pub fn sql_of_times(table: &str, date: &str, from: &str, to: &str) -> String {
    let date = quote(date);
    let (from, to) = (text_literal(from), text_literal(to));
    format!(
        "SELECT {date} FROM {} WHERE {date} >= {from} AND {date} < {to} ORDER BY {date} LIMIT \
         {SHOWN_MAX}",
        quote(table)
    )
}

/// The rows of a stretch that came after some time.
pub fn sql_of_arrivals(
    table: &str,
    key: &[String],
    stretch: (&str, &str, &str),
    after: &str,
) -> String {
    let (name, from, to) = stretch;
    let date = quote(name);
    let more = [name.to_owned(), "_first_seen_at".to_owned()];
    let more = more.into_iter().filter(|name| !key.contains(name));
    let columns: Vec<String> = key.iter().cloned().chain(more).collect();
    format!(
        "SELECT {} FROM {} WHERE {date} >= {} AND {date} < {} AND \
         \"_first_seen_at\" > {} ORDER BY \"_first_seen_at\" DESC LIMIT {SHOWN_MAX}",
        list(&columns),
        quote(table),
        text_literal(from),
        text_literal(to),
        text_literal(after)
    )
}

/// The rows that have these values.
pub fn sql_of_rows(table: &str, rows: &KeyColumns<'_>) -> String {
    format!("SELECT * FROM {}{}", quote(table), where_all(&conditions(rows)))
}

/// The keys that stand more than once.
pub fn sql_of_duplicates(table: &str, key: &[String]) -> String {
    let key = list(key);
    format!(
        "SELECT {key}, count(*) AS times FROM {} GROUP BY {key} HAVING count(*) > 1 ORDER BY times \
         DESC, {key}",
        quote(table)
    )
}

/// What the ledger says of a stretch and of what touches it.
pub fn sql_of_ledger(stream: &str, partition: &str, from: Timestamp, to: Timestamp) -> String {
    let instant = |at| text_literal(&instant_to_text(at));
    format!(
        "SELECT start_at, end_at, state, read_to, source_total, distinct_keys, error FROM \
         _windrow_ledger WHERE stream = {} AND partition = {} AND start_at <= {} AND end_at >= {} \
         ORDER BY start_at",
        text_literal(stream),
        text_literal(partition),
        instant(to),
        instant(from)
    )
}

/// What the ledger says of a snapshot or a mark.
pub fn sql_of_fetch(stream: &str, partition: &str) -> String {
    format!(
        "SELECT state, requested_at, completed_at, source_total, distinct_keys, error FROM \
         _windrow_ledger WHERE stream = {} AND partition = {}",
        text_literal(stream),
        text_literal(partition)
    )
}

/// How far each partition of a stream was read.
pub fn sql_of_newest(stream: &str) -> String {
    format!(
        "SELECT partition, max(read_to) AS read_to, max(completed_at) AS completed_at FROM \
         _windrow_ledger WHERE stream = {} AND state IN ('complete', 'settled') GROUP BY partition \
         ORDER BY read_to LIMIT {SHOWN_MAX}",
        text_literal(stream)
    )
}

/// The rows that are marked as gone.
pub fn sql_of_gone(table: &str, key: &[String]) -> String {
    format!(
        "SELECT {}, \"_deleted_at\" FROM {} WHERE \"_deleted_at\" IS NOT NULL ORDER BY \
         \"_deleted_at\" DESC LIMIT {SHOWN_MAX}",
        list(key),
        quote(table)
    )
}

/// The complete windows that hold so many records.
pub fn sql_of_full_windows(stream: &str, records: u64) -> String {
    format!(
        "SELECT partition, start_at, end_at, last_records FROM _windrow_ledger WHERE stream = {} \
         AND last_records = {records} ORDER BY start_at DESC LIMIT {SHOWN_MAX}",
        text_literal(stream)
    )
}

/// The remarks of runs on what a stream's answers said.
pub fn sql_of_remarks(stream: &str) -> String {
    format!(
        "SELECT run_id, at, partition, window, message FROM _windrow_run_events WHERE kind = \
         'remark' AND stream = {} ORDER BY run_id DESC LIMIT {SHOWN_MAX}",
        text_literal(stream)
    )
}

/// The windows whose fetches held out-of-window records.
pub fn sql_of_out_of_window(stream: &str) -> String {
    format!(
        "SELECT partition, start_at, end_at, out_of_window FROM _windrow_ledger WHERE stream = {} \
         AND out_of_window > 0 ORDER BY start_at",
        text_literal(stream)
    )
}

/// The rejects of a stream and kind, by reason.
pub fn sql_of_rejects(stream: &str, kind: &str) -> String {
    format!(
        "SELECT reason, count(*) AS times, min(reject_id) AS first FROM _windrow_rejects WHERE \
         stream = {} AND kind = {} AND closed_at IS NULL GROUP BY reason ORDER BY times DESC",
        text_literal(stream),
        text_literal(kind)
    )
}

/// The complete entries of a stream's ledger, by the definition that they were fetched by.
pub fn sql_of_requests(stream: &str) -> String {
    format!(
        "SELECT definition_id, count(*) AS entries, min(start_at) AS first, max(end_at) AS last \
         FROM _windrow_ledger JOIN _windrow_runs USING (run_id) WHERE stream = {} AND \
         _windrow_ledger.state IN ('complete', 'settled') GROUP BY definition_id",
        text_literal(stream)
    )
}

/// What is known of a stream's columns.
pub fn sql_of_seen_columns(stream: &str) -> String {
    format!(
        "SELECT \"column\", place, found, records, nearest FROM _windrow_seen_columns WHERE \
         stream = {}",
        text_literal(stream)
    )
}

/// How many rows of a table have a value in a column.
pub fn sql_of_values(table: &str, column: &str) -> String {
    format!("SELECT count(*), count({}) FROM {}", quote(column), quote(table))
}

/// What a source's clock said.
pub fn sql_of_clock(source: &str) -> String {
    format!(
        "SELECT source, skew_ms, seen_at FROM _windrow_clocks WHERE source = {}",
        text_literal(source)
    )
}

/// Runs that noted times later than this.
pub fn sql_of_future(until: &str) -> String {
    format!(
        "SELECT run_id, started_at, read_at FROM _windrow_runs WHERE read_at > {}",
        text_literal(until)
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rusqlite::Connection;

    #[expect(clippy::disallowed_methods, reason = "a database in memory")]
    fn back(sql: &str) -> Value {
        let connection = Connection::open(":memory:").expect("a database");
        connection.query_row(&format!("SELECT {sql}"), [], |row| row.get(0)).expect(sql)
    }

    fn same(value: &Value) -> bool {
        *value == back(&literal(value))
    }

    #[test]
    fn hostile_texts_and_extreme_numbers_are_literals() {
        for value in [
            Value::Null,
            Value::Integer(i64::MIN),
            Value::Integer(i64::MAX),
            Value::Real(f64::INFINITY),
            Value::Real(1e300),
            Value::Real(5e-324),
            Value::Text("'; DROP TABLE usage; --".to_owned()),
            Value::Text("a\0b\u{1b}[31m\n\u{202e}".to_owned()),
            Value::Blob(vec![0, 255]),
        ] {
            assert!(same(&value), "{value:?}");
            let text = literal(&value);
            assert_eq!(printable(&text), text);
        }
    }

    proptest! {
        #[test]
        fn a_literal_is_the_value(
            text in ".{0,20}", number in any::<i64>(), real in any::<f64>(),
        ) {
            prop_assert!(same(&Value::Text(text)));
            prop_assert!(same(&Value::Integer(number)));
            prop_assert!(real.is_nan() || same(&Value::Real(real)));
        }
    }
}
