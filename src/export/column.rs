//! What a column becomes elsewhere, decided by all its values and never by a guess.

use chrono::NaiveDate;
use serde::de::IgnoredAny;

use crate::definition::ColumnType;
use crate::history::Stored;
use crate::model::{KeyShape, excerpt, instant_from_text, instant_to_text};
use crate::store::StreamRow;

use super::decimal::{DIGITS_MAX, DIGITS_OF_LONG, Number};

/// Integers up to here are the same in a double: 2^53.
const EXACT_IN_DOUBLE: u64 = 1 << 53;
/// Letters of a value that a message shows: enough to find it, and a message stays on one line.
const SHOWN_MAX: usize = 40;

/// A column of an export.
#[derive(Clone, Debug, PartialEq)]
pub struct ExportColumn {
    pub name: String,
    /// What the definition says that it holds.
    pub kind: ColumnType,
    /// Whether it is of the key, and thus never NULL.
    pub required: bool,
}

/// The columns of a stream's rows, in the order of its table: the key where it is hashed, the
/// definition's, `_rest`, and windrow's own where they are asked for.
pub fn export_columns(stream: &StreamRow, own: &[String]) -> Vec<ExportColumn> {
    let key = stream.key.columns();
    let column = |name: &str, kind: ColumnType| ExportColumn {
        name: name.to_owned(),
        kind,
        required: key.iter().any(|have| have == name),
    };
    let hashed = matches!(stream.key, KeyShape::Hash(_));
    let mut columns: Vec<ExportColumn> =
        hashed.then(|| column("_key", ColumnType::Text)).into_iter().collect();
    columns.extend(stream.columns.iter().map(|own| column(&own.name, own.kind)));
    columns.push(column("_rest", ColumnType::Json));
    columns.extend(own.iter().map(|name| match name.ends_with("_at") {
        true => column(name, ColumnType::Timestamp),
        false => column(name, ColumnType::Integer),
    }));
    columns
}

/// What all values of a column can be written as, exactly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExactType {
    Text,
    /// A signed integer of 64 bits.
    Integer,
    /// A double (IEEE 754, 64 bits).
    Real,
    Boolean,
    /// A date, as days since 1970.
    Date,
    /// Microseconds since 1970, UTC.
    Timestamp,
    /// A decimal number of at most `precision` digits, `scale` of them after the point.
    Decimal {
        /// 18 or 38, so that it seldom changes from one export to the next.
        precision: i32,
        /// From 0 to `precision`.
        scale: i32,
    },
    Bytes,
}

impl ExactType {
    /// As a person writes it.
    pub fn spoken(self) -> String {
        let name = match self {
            ExactType::Text => "text",
            ExactType::Integer => "integer",
            ExactType::Real => "double",
            ExactType::Boolean => "boolean",
            ExactType::Date => "date",
            ExactType::Timestamp => "timestamp",
            ExactType::Decimal { precision, scale } => {
                return format!("decimal({precision}, {scale})");
            }
            ExactType::Bytes => "bytes",
        };
        name.to_owned()
    }

    /// Whether the archive sorts such values as every reader of Parquet does.
    pub fn sorts_alike(self, kind: ColumnType) -> bool {
        kind != ColumnType::Decimal
            && !matches!(
                (kind, self),
                (ColumnType::Number, ExactType::Text | ExactType::Decimal { .. })
            )
    }
}

/// Looks at every value of a column.
#[derive(Debug)]
pub struct Survey {
    kind: ColumnType,
    any: bool,
    /// The first value that the type does not hold, and why.
    misfit: Option<String>,
    /// Of numbers: all are integers; all are integers or doubles and exact in a double.
    integers: bool,
    doubles: bool,
    /// The digits that decimals need: before the point, after it, and after it at least.
    whole: i64,
    scale: i64,
    scale_least: i64,
}

impl Survey {
    /// A survey of a column that holds this.
    pub fn of(kind: ColumnType) -> Survey {
        Survey {
            kind,
            any: false,
            misfit: None,
            integers: true,
            doubles: true,
            whole: 0,
            scale: 0,
            scale_least: 0,
        }
    }

    /// Whether the type depends on the values. SQLite sees to the others; JSON is text for most
    /// readers, whatever its annotation says.
    pub fn is_needed(kind: ColumnType) -> bool {
        use ColumnType::{Boolean, Date, Decimal, Number, Timestamp};
        matches!(kind, Boolean | Date | Decimal | Number | Timestamp)
    }

    /// Looks at a value.
    pub fn add(&mut self, value: Stored<'_>) {
        if value == Stored::Null {
            return;
        }
        self.any = true;
        let fits = match self.kind {
            ColumnType::Decimal | ColumnType::Number => return self.add_number(value),
            ColumnType::Boolean => boolean(value).is_some(),
            ColumnType::Date => date(value).is_some(),
            ColumnType::Timestamp => micros(value).is_some(),
            _ => true,
        };
        if !fits {
            self.note(value);
        }
    }

    fn add_number(&mut self, value: Stored<'_>) {
        let whole = matches!(value, Stored::Integer(_));
        self.integers &= whole;
        self.doubles &= match value {
            Stored::Integer(number) => number.unsigned_abs() <= EXACT_IN_DOUBLE,
            other => matches!(other, Stored::Real(_)),
        };
        match number(value) {
            None => self.note(value),
            Some(number) => {
                self.whole = self.whole.max(number.whole_digits());
                self.scale = self.scale.max(number.scale());
                self.scale_least = self.scale_least.max(number.scale_least());
            }
        }
    }

    fn note(&mut self, value: Stored<'_>) {
        self.misfit.get_or_insert_with(|| shown(value));
    }

    /// What they all can be, and why that is not what the definition says.
    pub fn decide(&self) -> (ExactType, Option<String>) {
        let plain = match self.kind {
            ColumnType::Text | ColumnType::Json => ExactType::Text,
            ColumnType::Integer => ExactType::Integer,
            ColumnType::Real => ExactType::Real,
            ColumnType::Blob => ExactType::Bytes,
            ColumnType::Boolean => ExactType::Boolean,
            ColumnType::Date => ExactType::Date,
            ColumnType::Timestamp => ExactType::Timestamp,
            ColumnType::Number if self.integers && self.any => ExactType::Integer,
            ColumnType::Number if self.doubles => ExactType::Real,
            ColumnType::Decimal | ColumnType::Number => return self.decide_decimal(),
        };
        match (self.because(), plain) {
            (None, plain) => (plain, None),
            (because, ExactType::Boolean) => (ExactType::Integer, because),
            (because, _) => (ExactType::Text, because),
        }
    }

    fn because(&self) -> Option<String> {
        let value = self.misfit.as_ref()?;
        Some(format!("{value} does not fit {}", type_name(self.kind)))
    }

    fn decide_decimal(&self) -> (ExactType, Option<String>) {
        if let Some(because) = self.because() {
            return (ExactType::Text, Some(because));
        }
        let fits = |scale: &i64| self.whole.saturating_add(*scale) <= DIGITS_MAX;
        let Some(scale) = [self.scale, self.scale_least].into_iter().find(fits) else {
            let why = format!(
                "its values have {} digits before the point and {} after it, {DIGITS_MAX} in all \
                 is the most",
                self.whole, self.scale_least
            );
            return (ExactType::Text, Some(why));
        };
        let precision =
            if self.whole + scale <= DIGITS_OF_LONG { DIGITS_OF_LONG } else { DIGITS_MAX };
        let small = |number: i64| i32::try_from(number).unwrap_or(i32::MAX);
        (ExactType::Decimal { precision: small(precision), scale: small(scale) }, None)
    }
}

/// A type as the definition writes it.
pub fn type_name(kind: ColumnType) -> String {
    format!("{kind:?}").to_lowercase()
}

/// Days since 1970 of a date that reads as it is written.
pub fn date(value: Stored<'_>) -> Option<i32> {
    let Stored::Text(text) = value else { return None };
    let day = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
    let since = day.signed_duration_since(NaiveDate::default()).num_days();
    (day.to_string() == text).then(|| i32::try_from(since).ok()).flatten()
}

/// Microseconds since 1970 of an instant that has no more digits and reads as it is written.
pub fn micros(value: Stored<'_>) -> Option<i64> {
    let Stored::Text(text) = value else { return None };
    let at = instant_from_text(text)?;
    let nanos = at.timestamp_subsec_nanos();
    // A leap second is kept by chrono as more than a second's nanoseconds.
    let exact = nanos < 1_000_000_000 && nanos.is_multiple_of(1_000);
    (exact && instant_to_text(at) == text).then(|| at.timestamp_micros())
}

/// A boolean that is 0 or 1.
pub fn boolean(value: Stored<'_>) -> Option<bool> {
    match value {
        Stored::Integer(0) => Some(false),
        Stored::Integer(1) => Some(true),
        _ => None,
    }
}

/// The number that a value is or that its text says.
pub fn number(value: Stored<'_>) -> Option<Number> {
    match value {
        Stored::Integer(number) => Number::parse(&number.to_string()),
        Stored::Real(number) => Number::parse(&format!("{number:e}")),
        Stored::Text(text) => Number::parse(text),
        _ => None,
    }
}

/// Whether a value is text that is JSON.
pub fn is_json(value: Stored<'_>) -> bool {
    matches!(value, Stored::Text(text) if serde_json::from_str::<IgnoredAny>(text).is_ok())
}

/// A double in the shortest way that leads back to it.
pub fn real_text(number: f64) -> String {
    // JSON has no word for what is not finite.
    let json = number.is_finite().then(|| serde_json::to_string(&number).ok()).flatten();
    json.unwrap_or_else(|| number.to_string())
}

/// The beginning of a value, for a message.
pub fn shown(value: Stored<'_>) -> String {
    match value {
        Stored::Null => "NULL".to_owned(),
        Stored::Integer(number) => number.to_string(),
        Stored::Real(number) => real_text(number),
        Stored::Text(text) => format!("`{}`", excerpt(text, SHOWN_MAX)),
        Stored::Blob(bytes) => format!("{} bytes", bytes.len()),
        Stored::NotText(bytes) => {
            format!("`{}`, which is not UTF-8", excerpt(&String::from_utf8_lossy(bytes), SHOWN_MAX))
        }
    }
}
