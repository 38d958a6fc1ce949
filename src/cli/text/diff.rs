//! Differences, for people: a line each.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::history::{Change, NamedValues, RowDifference};
use crate::model::{excerpt, printable};
use crate::store::Value;

use crate::model::numbers::count;

/// Characters of a value that are shown: a change has two values, which should stand on two lines
/// at most.
const VALUE_CHARS_MAX: usize = 60;

/// How many rows differ, and how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiffCounts {
    inserted: u64,
    changed: u64,
    vanished: u64,
}

impl DiffCounts {
    /// Counts a row by the kind of its change.
    pub fn add(&mut self, change: &Change) {
        match change {
            Change::Inserted(_) => self.inserted += 1,
            Change::Changed(_) => self.changed += 1,
            Change::Vanished(_) => self.vanished += 1,
        }
    }

    /// Whether there is a difference.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// The last line of the output, with the three numbers.
    pub fn line(&self) -> String {
        let [inserted, changed, vanished] = [self.inserted, self.changed, self.vanished].map(count);
        format!("{inserted} inserted, {changed} changed, {vanished} vanished\n")
    }
}

/// `+` a new row, `~` a changed one, `-` one that vanished; the key, then the columns.
pub fn difference_line(stream: &str, difference: &RowDifference) -> String {
    let (mark, columns) = match &difference.change {
        Change::Inserted(values) => ('+', named(values)),
        Change::Vanished(values) => ('-', named(values)),
        Change::Changed(None) => ('~', Vec::new()),
        Change::Changed(Some(columns)) => {
            let each = columns
                .iter()
                .map(|(name, old, new)| format!("{name} {} -> {}", shown(old), shown(new)));
            ('~', each.collect())
        }
    };
    let key: Vec<String> = difference.key.iter().map(|(_, value)| shown(value)).collect();
    let line = format!("{mark} {stream} {}  {}", key.join(" "), columns.join(", "));
    format!("{}\n", printable(line.trim_end()))
}

/// The columns that hold something.
fn named(values: &NamedValues) -> Vec<String> {
    let held = values.iter().filter(|(_, value)| *value != Value::Null);
    held.map(|(name, value)| format!("{name} {}", shown(value))).collect()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => excerpt(text, VALUE_CHARS_MAX),
        Value::Blob(bytes) => excerpt(&STANDARD.encode(bytes), VALUE_CHARS_MAX),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_one_line_that_no_value_can_break() {
        let text = |text: &str| Value::Text(text.to_owned());
        let key = vec![("id".to_owned(), text("a\nb")), ("day".to_owned(), Value::Integer(3))];
        let line = |change| difference_line("usage", &RowDifference { key: key.clone(), change });
        let gb = |old, new| Change::Changed(Some(vec![("gb".to_owned(), old, new)]));
        assert_eq!(line(gb(Value::Null, Value::Real(1.5))), "~ usage a\\nb 3  gb NULL -> 1.5\n");
        assert_eq!(line(Change::Changed(None)), "~ usage a\\nb 3\n");
        let values = vec![("gb".to_owned(), text("\u{1b}[31m")), ("at".to_owned(), Value::Null)];
        assert_eq!(line(Change::Inserted(values.clone())), "+ usage a\\nb 3  gb \\u{1b}[31m\n");
        assert!(line(Change::Vanished(values)).starts_with("- usage"));
    }
}
