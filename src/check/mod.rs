//! What an archive knows, what it does not, and what in it cannot be right.
//!
//! [`check()`] reads facts from the archive a row at a time and hands them to judges that know no
//! SQL, no clock and no archive: the ledger's, the calendar's, the series', the counts'. Nothing is
//! changed and nothing is printed.

pub(crate) mod alerts;
pub(crate) mod calendar;
pub(crate) mod columns;
pub(crate) mod counts;
pub(crate) mod days;
pub(crate) mod drift;
pub(crate) mod edges;
pub mod evidence;
pub(crate) mod facts;
pub(crate) mod finding;
pub(crate) mod gather;
pub(crate) mod help_commands;
pub(crate) mod ledger;
pub(crate) mod options;
pub(crate) mod outliers;
pub(crate) mod questions;
pub(crate) mod requests;
pub(crate) mod series;
pub(crate) mod stream;
pub(crate) mod sweep;
pub(crate) mod tables;
pub(crate) mod tell;
pub(crate) mod twins;
pub(crate) mod weak;

pub use alerts::{AlertScope, plan_alerts};
pub use days::{StreamDays, days_of};
pub use facts::{DuplicateFact, SeriesRow, TwinFact};
pub use finding::{CheckReport, Finding};
pub use gather::{check, check_table};
pub use help_commands::HelpCommands;
pub use options::{CheckOptions, Limit};
pub use questions::{refuse_columns, refuse_questions};
pub use tell::{AlertQueue, QueuedAlerts, has_news};
