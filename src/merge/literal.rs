//! Keys as texts of SQL literals, as `quote()` writes them: read back without running them.

use crate::store::value::Value;

/// The values of a key; none where the text is not what `quote()` writes.
pub(crate) fn parse_key(text: &str) -> Option<Vec<Value>> {
    let mut values = Vec::new();
    let mut rest = text;
    loop {
        let (value, after) = literal(rest)?;
        values.push(value);
        if after.is_empty() {
            return Some(values);
        }
        rest = after.strip_prefix(',')?;
    }
}

fn literal(text: &str) -> Option<(Value, &str)> {
    if let Some(rest) = text.strip_prefix('\'') {
        return quoted(rest);
    }
    let end = text.find(',').unwrap_or(text.len());
    let (word, rest) = text.split_at(end);
    let value = if word == "NULL" {
        Value::Null
    } else if let Some(digits) = word.strip_prefix("X'").and_then(|word| word.strip_suffix('\'')) {
        Value::Blob(bytes_of(digits)?)
    } else if let Ok(number) = word.parse::<i64>() {
        Value::Integer(number)
    } else {
        Value::Real(word.parse::<f64>().ok()?)
    };
    Some((value, rest))
}

/// A text up to its closing quote; two quotes stand for one.
fn quoted(text: &str) -> Option<(Value, &str)> {
    let mut said = String::new();
    let mut rest = text;
    loop {
        let (before, after) = rest.split_once('\'')?;
        said.push_str(before);
        match after.strip_prefix('\'') {
            Some(after) => {
                said.push('\'');
                rest = after;
            }
            None => return Some((Value::Text(said), after)),
        }
    }
}

fn bytes_of(digits: &str) -> Option<Vec<u8>> {
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    pairs.map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn value() -> impl Strategy<Value = Value> {
        prop_oneof![
            any::<i64>().prop_map(Value::Integer),
            any::<f64>().prop_filter("a number", |n| n.is_finite()).prop_map(Value::Real),
            "[a-z',é]{0,8}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..5).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn what_sqlite_quotes_is_read_back(values in prop::collection::vec(value(), 1..4)) {
            let connection = rusqlite::Connection::open_in_memory().expect("SQLite");
            let parameters = (1..=values.len()).map(|n| format!("quote(?{n})"));
            let parameters: Vec<String> = parameters.collect();
            let sql = format!("SELECT {}", parameters.join(" || ',' || "));
            let text: String = connection
                .query_row(&sql, rusqlite::params_from_iter(&values), |row| row.get(0))
                .expect("a text");
            prop_assert_eq!(parse_key(&text), Some(values));
        }
    }

    #[test]
    fn what_is_no_literal_is_refused() {
        for text in ["", "'a", "a", "1,", "X'0", "(SELECT 1)"] {
            assert_eq!(parse_key(text), None, "{text}");
        }
    }
}
