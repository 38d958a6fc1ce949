//! What `windrow check` expects of a stream, and the questions that a definition asks.

use super::{Severity, Span};

/// The default of `tolerance`, robust deviations. Of noise that falls off as slowly as a Laplace
/// distribution's, 3 values in 10,000 lie beyond it, of a normal one's, none.
pub const TOLERANCE: f64 = 8.0;
/// The default of a check's `max_time`, milliseconds: a person waits that long for an answer.
pub const CHECK_TIME_MS: i64 = 30_000;

/// What is expected of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StreamCheck {
    /// When each group has a record; inferred when it is not declared.
    pub calendar: Option<ExpectedDates>,
    /// The column with the record's date.
    pub date: Option<String>,
    /// The columns that tell one series from another.
    pub group: Option<Vec<String>>,
    /// The columns that are looked through for spikes and drops.
    pub values: Option<Vec<String>>,
    /// Robust deviations that make a spike.
    pub tolerance: Option<f64>,
    /// How far behind now the archive may be.
    pub max_age: Option<Span>,
}

impl StreamCheck {
    /// The default of `max_age`: what may be old is what is read rarely.
    pub fn age_max(&self, step: Option<Span>) -> Span {
        let twice = step.map(|step| Span {
            months: step.months.saturating_mul(2),
            days: step.days.saturating_mul(2),
            millis: step.millis.saturating_mul(2),
        });
        let least = Span { days: 2, ..Span::ZERO };
        let usual = twice.filter(|twice| twice.approximate_millis() > least.approximate_millis());
        self.max_age.unwrap_or(usual.unwrap_or(least))
    }
}

/// When each group of a stream has a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExpectedDates {
    Daily,
    /// Every day from Monday to Friday.
    Weekdays,
    /// Once in each cycle of a month that begins on this day, 1 to 31; in a shorter month, on its
    /// last day.
    Monthly(u32),
}

impl ExpectedDates {
    /// Reads `daily`, `weekdays`, `monthly` or `monthly from day 15`.
    pub fn parse(text: &str) -> Result<ExpectedDates, String> {
        let words: Vec<&str> = text.split_whitespace().collect();
        match words.as_slice() {
            ["daily"] => Ok(ExpectedDates::Daily),
            ["weekdays"] => Ok(ExpectedDates::Weekdays),
            ["monthly"] => Ok(ExpectedDates::Monthly(1)),
            ["monthly", "from", "day", day] => match day.parse() {
                Ok(day @ 1..=31) => Ok(ExpectedDates::Monthly(day)),
                _ => Err(format!("`{day}` is not a day of a month: write 1 to 31")),
            },
            _ => Err(format!(
                "`{text}` is not a calendar: write `daily`, `weekdays`, `monthly` or `monthly \
                 from day 15`"
            )),
        }
    }
}

impl std::fmt::Display for ExpectedDates {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ExpectedDates::Daily => out.write_str("daily"),
            ExpectedDates::Weekdays => out.write_str("weekdays"),
            ExpectedDates::Monthly(1) => out.write_str("monthly"),
            ExpectedDates::Monthly(day) => write!(out, "monthly from day {day}"),
        }
    }
}

/// A question of the definition's own.
#[derive(Clone, Debug, PartialEq)]
pub struct Check {
    pub name: String,
    pub question: CheckQuestion,
    /// How grave a finding is.
    pub severity: Severity,
    /// The command that mends what is found.
    pub help: Option<String>,
    /// How long the statement may take, milliseconds.
    pub time_ms_max: i64,
}

/// What a check asks.
#[derive(Clone, Debug, PartialEq)]
pub enum CheckQuestion {
    /// This statement returns no row.
    Sql(String),
    /// No two rows of a table share these columns.
    Unique { table: String, key: Vec<String> },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calendars_are_read_and_printed_the_same() {
        for text in ["daily", "weekdays", "monthly", "monthly from day 15"] {
            assert_eq!(
                ExpectedDates::parse(text).map(|read| read.to_string()),
                Ok(text.to_owned())
            );
        }
        for text in ["", "weekly", "monthly from day 0", "monthly from day 32", "monthly from 3"] {
            assert!(ExpectedDates::parse(text).is_err(), "{text}");
        }
    }
}
