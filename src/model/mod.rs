//! The words that rooms pass to each other: windows, ledger entries, rows, counts.
//!
//! Values without IO. A room that decides (`window`, `record`) and the room that keeps
//! (`archive`) both speak in these and never import each other.

mod command;
mod drift;
mod error;
mod escape;
mod exit_code;
mod handoff;
mod ledger;
pub(crate) mod numbers;
mod outbox;
mod outdated;
mod reject;
mod rows;
mod run;
mod seen;
mod spent;
mod table;
mod text;
mod time;
mod vanished;
mod wait;
mod wrap;

pub use command::Command;
pub use drift::{FieldChange, FieldChangeKind, FieldUse, Kinds, KnownField, PageField, PageFields};
pub use error::{Error, ErrorKind};
pub use escape::{Escape, Escaping};
pub use exit_code::ExitCode;
pub use handoff::HandoffDirection;
pub use ledger::{Checkpoint, Entry, Outcomes, RunState, State, WindowKey, place_of, problem_of};
pub use numbers::{ago, bytes, count, duration, inflect, many, many_are};
pub use outbox::EntryState;
pub use outdated::Outdated;
pub use reject::{RecordRefusal, Reject, RejectKind};
pub use rows::{Cell, Filled, RowSet};
pub use run::{FetchResult, RunEventKind};
pub use seen::SeenColumn;
pub use spent::Spent;
pub use table::{GoneScope, KeyShape, Retention, TableColumn, TableShape};
pub use text::{
    excerpt, hexadecimal, printable, printable_json, printable_json_page, printable_page, sha256_of,
};
pub use time::{Timestamp, Window, instant_from_text, instant_to_text};
pub use vanished::VanishedState;
pub use wait::{WAIT_IMPOSED_MAX, Wait, bounded};
pub use wrap::{shell_word, wrapped};
