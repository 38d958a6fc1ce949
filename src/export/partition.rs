//! Folders by day, month or year, named as Hive does.

use crate::history::Stored;
use crate::model::Error;

use super::column::{ExportColumn, date};

/// What Hive, Spark, DuckDB and Polars call the partition of NULL.
const NULL_PARTITION: &str = "__HIVE_DEFAULT_PARTITION__";

/// The length of a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Day,
    Month,
    Year,
}

impl Unit {
    const ALL: [(Unit, &str, usize); 3] =
        [(Unit::Day, "day", 10), (Unit::Month, "month", 7), (Unit::Year, "year", 4)];

    fn name(self) -> &'static str {
        Unit::ALL.iter().find(|(unit, ..)| *unit == self).map_or("day", |(_, name, _)| name)
    }

    /// Letters of a date or timestamp that tell the partition.
    pub fn letters(self) -> usize {
        Unit::ALL.iter().find(|(unit, ..)| *unit == self).map_or(10, |(.., letters)| *letters)
    }
}

/// By which column, and in which pieces.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionBy {
    /// A date or a timestamp.
    pub column: String,
    /// The length of the pieces, in UTC.
    pub unit: Unit,
}

impl PartitionBy {
    /// Reads `COLUMN` or `COLUMN:day`, `:month`, `:year`; a month without.
    pub fn parse(text: &str) -> Result<PartitionBy, String> {
        let (column, unit) = text.split_once(':').unwrap_or((text, "month"));
        let found = Unit::ALL.iter().find(|(_, name, _)| *name == unit);
        match found {
            Some((unit, ..)) if !column.is_empty() => {
                Ok(PartitionBy { column: column.to_owned(), unit: *unit })
            }
            _ => Err(format!("`{text}` is not COLUMN:day, COLUMN:month or COLUMN:year")),
        }
    }

    /// The name of the partitions' own column. Another than the column's, whose values stay in the
    /// files: a reader would take the folder's name for the value.
    pub fn name(&self) -> String {
        format!("{}_{}", self.column, self.unit.name())
    }

    /// The column's place, where it is one of these and tells a time.
    pub fn find(&self, stream: &str, columns: &[ExportColumn]) -> Result<usize, Error> {
        let name = &self.column;
        let times: Vec<&str> = columns
            .iter()
            .filter(|column| column.kind.is_time())
            .map(|column| column.name.as_str())
            .collect();
        let help = match times.as_slice() {
            [] => format!("`{stream}` has no date and no timestamp: export it without"),
            times => format!("`{stream}` has {}", times.join(", ")),
        };
        let Some(at) = columns.iter().position(|column| column.name == *name) else {
            return Err(Error::usage(format!("`{stream}` has no column `{name}`")).help(help));
        };
        if !columns[at].kind.is_time() {
            let message = format!("the column `{name}` of `{stream}` is no date or timestamp");
            return Err(Error::usage(message).help(help));
        }
        if columns.iter().any(|column| column.name.eq_ignore_ascii_case(&self.name())) {
            let message = format!("`{stream}` has a column `{}` of its own", self.name());
            return Err(Error::usage(message).help("partition it by another column or unit"));
        }
        Ok(at)
    }

    /// The folder of a value, or none where it is not a time.
    pub fn folder(&self, value: Stored<'_>) -> Option<String> {
        let part = match value {
            Stored::Null => NULL_PARTITION,
            Stored::Text(text) => {
                date(Stored::Text(text.get(..10)?))?;
                text.get(..self.unit.letters())?
            }
            _ => return None,
        };
        Some(format!("{}={part}", self.name()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_partition_is_named_after_its_column_and_unit() {
        let day = "2026-01-31T23:59:59.5+00:00";
        let cases = [
            ("at", day, Some("at_month=2026-01")),
            ("at:day", day, Some("at_day=2026-01-31")),
            ("at:year", "2026-01-31", Some("at_year=2026")),
            ("at", "../../etc", None),
            ("at", "2026-02-30", None),
            ("at", "2026", None),
        ];
        for (by, value, folder) in cases {
            let by = PartitionBy::parse(by).expect("a partition");
            assert_eq!(by.folder(Stored::Text(value)).as_deref(), folder, "{value}");
        }
        let by = PartitionBy::parse("at").expect("a partition");
        let null = Some("at_month=__HIVE_DEFAULT_PARTITION__");
        assert_eq!(by.folder(Stored::Null).as_deref(), null);
        assert!(PartitionBy::parse("at:week").is_err() && PartitionBy::parse(":day").is_err());
    }
}
