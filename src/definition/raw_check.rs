//! What may be written about checks: what is expected of a stream, and questions of one's own.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};

/// What `windrow check` expects of a stream.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawStreamCheck {
    /// When each group has a record: `daily`, `weekdays`, `monthly`, or `monthly from day 15` for
    /// a billing cycle. Default: inferred from each group's own dates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calendar: Option<String>,
    /// The column with the record's date. Default: `window.field`, else the date of the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub date: Option<String>,
    /// The columns that tell one series from another. Default: the key without the date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<Vec<String>>,
    /// The columns that are looked through for spikes and drops. Default: all numbers outside of
    /// the key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values: Option<Vec<String>>,
    /// How many robust deviations from its median make a value a spike or a drop. Default 8.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// How far behind now the archive may be. Default: two steps, or twice `refresh`, and at least
    /// 2 days.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_age: Option<String>,
}

/// A question of one's own: either `sql`, or `table` and `key`.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawCheck {
    /// One statement that reads; each row that it returns is a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sql: Option<String>,
    /// Any table of the archive, also one that windrow did not make.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub table: Option<String>,
    /// The columns of `table` that no two rows may share.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<Vec<String>>,
    /// How grave a finding is. Default `warning`; with `table`, `error`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub severity: Option<Severity>,
    /// The command that mends what is found.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub help: Option<String>,
    /// How long the statement may take. Default `30 seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_time: Option<String>,
}

/// How grave a finding is, the gravest last.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize, JsonSchema,
)]
#[serde(rename_all = "snake_case")]
#[derive(EnumString, IntoStaticStr, VariantArray)]
#[strum(serialize_all = "snake_case")]
pub enum Severity {
    /// Worth knowing; there is nothing to do.
    Info,
    /// Data may be missing or wrong.
    Warning,
    /// Numbers that are made from this are wrong.
    Error,
}

impl Severity {
    /// The name as the definition writes it.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
