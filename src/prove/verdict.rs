//! What two fetches of one row mean: pure, value by value, as a sync would judge them.

use crate::definition::OnConflict;
use crate::store::Value;

/// What makes two rows of one key equal.
#[derive(Clone, Debug)]
pub struct RowRules {
    /// Values of the key, which come first and are equal.
    pub key: usize,
    /// The tolerance of each value after the key.
    pub tolerances: Vec<Option<f64>>,
    /// The value that tells older from newer.
    pub version: Option<usize>,
    /// What becomes of rows that are there.
    pub on_conflict: OnConflict,
}

/// What a second fetch says of a row.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RowVerdict {
    /// The source's row is equal to the archive's.
    Equal,
    /// Something else, and a sync would keep what is there: an older version, or
    /// `on_conflict = "keep"`.
    Protected,
    /// Something else in these values.
    Changed(Vec<usize>),
}

/// Holds the archive's row against the source's.
pub fn judge(rules: &RowRules, archive: &[Value], source: &[Value]) -> RowVerdict {
    let values = archive.iter().zip(source).enumerate().skip(rules.key);
    let differing = values
        .zip(&rules.tolerances)
        .filter_map(|((at, (old, new)), tolerance)| differs(old, new, *tolerance).then_some(at));
    let differing: Vec<usize> = differing.collect();
    let older = rules.version.is_some_and(|at| is_older(&archive[at], &source[at]));
    match () {
        () if differing.is_empty() => RowVerdict::Equal,
        () if older || rules.on_conflict == OnConflict::Keep => RowVerdict::Protected,
        () => RowVerdict::Changed(differing),
    }
}

/// As the condition of the upsert has it.
fn differs(old: &Value, new: &Value, tolerance: Option<f64>) -> bool {
    match (tolerance, old, new) {
        (_, Value::Null, Value::Null) => false,
        (_, Value::Null, _) | (_, _, Value::Null) => true,
        (Some(tolerance), old, new) => (number(old) - number(new)).abs() > tolerance,
        (None, Value::Integer(_), Value::Real(_)) | (None, Value::Real(_), Value::Integer(_)) => {
            !same_number(old, new)
        }
        (None, old, new) => old != new,
    }
}

#[expect(clippy::cast_precision_loss, reason = "as SQLite's abs(a - b) does")]
fn number(value: &Value) -> f64 {
    match value {
        Value::Integer(number) => *number as f64,
        Value::Real(number) => *number,
        Value::Text(text) => text.parse().unwrap_or(0.0),
        Value::Null | Value::Blob(_) => 0.0,
    }
}

/// Whether a whole number and a double are the same, to the last digit.
fn same_number(a: &Value, b: &Value) -> bool {
    #[expect(clippy::cast_possible_truncation, reason = "compared with what it was made of")]
    let exact =
        |number: f64| (number.fract() == 0.0 && number.abs() < 1e18).then_some(number as i64);
    match (a, b) {
        (Value::Integer(whole), Value::Real(real)) | (Value::Real(real), Value::Integer(whole)) => {
            exact(*real) == Some(*whole)
        }
        _ => false,
    }
}

/// Whether a sync would not let the source's row replace the archive's.
fn is_older(archive: &Value, source: &Value) -> bool {
    match (archive, source) {
        (Value::Null, _) => false,
        (_, Value::Null) => true,
        (Value::Text(old), Value::Text(new)) => new < old,
        (Value::Integer(old), Value::Integer(new)) => new < old,
        _ => number(source) < number(archive),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> RowRules {
        let on_conflict = OnConflict::Update;
        RowRules { key: 1, tolerances: vec![None, Some(0.01)], version: None, on_conflict }
    }

    fn row(a: Value, b: Value) -> [Value; 3] {
        [Value::Integer(1), a, b]
    }

    #[test]
    fn values_are_equal_where_a_sync_would_leave_them() {
        let text = |text: &str| Value::Text(text.to_owned());
        let real = Value::Real;
        let cases = [
            (row(text("a"), real(1.0)), row(text("a"), real(1.009)), vec![]),
            (row(text("a"), real(1.0)), row(text("b"), real(1.02)), vec![1, 2]),
            (row(Value::Null, Value::Null), row(Value::Null, real(0.0)), vec![2]),
            (row(Value::Integer(2), real(0.0)), row(real(2.0), real(0.0)), vec![]),
            (row(Value::Integer(2), real(0.0)), row(real(2.5), real(0.0)), vec![1]),
            (row(text("2"), text("1.00")), row(text("2"), text("1.005")), vec![]),
            (row(text("2"), text("1.00")), row(Value::Integer(2), text("1.5")), vec![1, 2]),
        ];
        for (old, new, differing) in cases {
            let expected = match differing.is_empty() {
                true => RowVerdict::Equal,
                false => RowVerdict::Changed(differing),
            };
            assert_eq!(judge(&rules(), &old, &new), expected, "{old:?} {new:?}");
        }
    }

    #[test]
    fn what_a_sync_would_keep_is_protected() {
        let (old, new) = (row(Value::Integer(5), Value::Null), row(Value::Integer(4), Value::Null));
        let versioned = RowRules { version: Some(1), ..rules() };
        assert_eq!(judge(&versioned, &old, &new), RowVerdict::Protected);
        assert_eq!(judge(&versioned, &new, &old), RowVerdict::Changed(vec![1]));
        let keeping = RowRules { on_conflict: OnConflict::Keep, ..rules() };
        assert_eq!(judge(&keeping, &new, &old), RowVerdict::Protected);
        assert_eq!(judge(&keeping, &new, &new), RowVerdict::Equal);
    }
}
