//! What an archive knows, what it does not, and what in it cannot be right.
//!
//! [`check()`] reads facts from the archive a row at a time and hands them to judges that know no
//! SQL, no clock and no archive: the ledger's, the calendar's, the series', the counts'. Nothing is
//! changed and nothing is printed.

mod alerts;
mod calendar;
mod counts;
mod days;
mod drift;
mod finding;
mod gather;
mod ledger;
mod mend;
mod odd;
mod questions;
mod series;
mod stream;
mod sweep;
mod tables;
mod twins;

pub use alerts::{Scope, plan_alerts};
pub use days::{StreamDays, days_of};
pub use finding::{Finding, Report};
pub use gather::{CheckOptions, Limit, check, check_table};
pub use mend::Mender;
pub use questions::{refuse_columns, refuse_questions};
