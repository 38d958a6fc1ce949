//! Whom to tell of what `windrow check` finds.

use super::{Severity, WriteMethod};

/// What can be told of a finding: `{{ alert.state }}` and so on, and the members of the default
/// body.
pub const ALERT_VALUES: [&str; 8] =
    ["state", "id", "check", "severity", "stream", "expected", "found", "help"];

/// The checks, as findings name them.
pub const CHECK_NAMES: [&str; 29] = [
    "cap",
    "clock",
    "count_mismatch",
    "drift",
    "drop",
    "duplicates",
    "fewer_rows",
    "future",
    "gone",
    "last_tick",
    "lateness",
    "missing_dates",
    "more_rows",
    "near_duplicates",
    "never_found",
    "null_column",
    "orphans",
    "out_of_window",
    "outdated",
    "partial",
    "pending",
    "rejects",
    "remark",
    "spike",
    "sql",
    "stale",
    "stale_window",
    "truncated",
    "window_start",
];

/// A request that goes out once for each finding, and once more when it is solved.
#[derive(Clone, Debug, PartialEq)]
pub struct Alert {
    /// What its findings are remembered by.
    pub name: String,
    /// The API that is told.
    pub source: String,
    /// The path, appended to the source's address.
    pub path: String,
    pub method: WriteMethod,
    /// From which severity on.
    pub severity: Severity,
    /// These streams, tables or sources; all when empty.
    pub streams: Vec<String>,
    /// These checks; all when empty.
    pub checks: Vec<String>,
    /// The JSON body with templates in its texts; [`ALERT_VALUES`] where there is none.
    pub body: Option<serde_json::Value>,
    /// The lane; one for each finding where there is none.
    pub lane: Option<String>,
}

impl Alert {
    /// Whether it is about what this check finds in this stream.
    pub fn covers(&self, check: &str, stream: &str) -> bool {
        let fits = |list: &[String], name: &str| list.is_empty() || list.iter().any(|n| n == name);
        fits(&self.checks, check) && fits(&self.streams, stream)
    }
}
