//! Pages and tables for people. Values in, text out; nothing is printed here.

mod adopt;
mod diff;
mod diff_files;
mod handoff;
mod merge;
mod outbox;
mod prove;
mod publish;
mod rebuild;
mod rejects;
mod runs;
mod status;
mod sync;
mod table;

pub use adopt::{adopted_page, healed_page};
pub use diff::{DiffCounts, difference_line};
pub use diff_files::{BetweenCounts, unlike_line};
pub use handoff::{gave_page, verified_page};
pub use merge::merged_page;
pub use outbox::{
    outbox_json, outbox_page, outbox_plan_table, outbox_row_json, outbox_table, planned_json,
};
pub use prove::proof_page;
pub use publish::published_page;
pub use rebuild::rebuilt_page;
pub use rejects::{reject_page, rejects_table, retry_page};
pub use runs::{run_page, runs_table};
pub use status::{coverage_bar, drift_line, status_page};
pub use sync::{outcome_table, sync_page};
pub use table::{markdown, plain_table};
