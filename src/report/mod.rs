//! Pages and tables for people. Values in, text out; nothing is printed here.

mod adopted;
mod between;
mod diff;
mod handoff;
mod merged;
mod numbers;
mod outbox;
mod page;
mod proof;
mod published;
mod rebuilt;
mod rejects;
mod runs;
mod status;
mod synced;
mod table;
mod wrap;

pub use adopted::{adopted_page, healed_page};
pub use between::{BetweenCounts, Owner, Unlike};
pub use diff::{DiffCounts, difference_line};
pub use handoff::{covers_text, gave_page, verified_page};
pub use merged::merged_page;
pub use numbers::{ago, bytes, count, duration, many, many_are};
pub use outbox::{
    outbox_json, outbox_line, outbox_page, outbox_plan_table, outbox_row_json, outbox_table,
    planned_json,
};
pub use page::{Calendar, ReportFacts, Standing, StreamFacts, Verdict, calendar_of, report_page};
pub use proof::proof_page;
pub use published::published_page;
pub use rebuilt::rebuilt_page;
pub use rejects::{reject_page, rejects_table, retry_page};
pub use runs::{run_page, runs_table};
pub use status::{StreamStatus, coverage_bar, drift_line, status_page};
pub use synced::{outcome_table, sync_page};
pub use table::{markdown, plain_table};
pub use wrap::{shell_word, wrapped};
