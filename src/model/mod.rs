//! The words that rooms pass to each other: windows, ledger entries, rows, counts.
//!
//! Values without IO. A room that decides (`window`, `record`) and the room that keeps
//! (`archive`) both speak in these and never import each other.

mod drift;
mod ledger;
mod merge;
mod outbox;
mod rows;
mod spent;
mod table;
mod text;
mod time;
mod wait;

pub use drift::{FieldChange, Kinds, KnownField, PageField, PageFields, Usage};
pub use ledger::{Entry, Outcomes, Place, Progress, State};
pub use merge::{Claim, Ended, LedgerSpan, Origin, ReadBy, RowVersion, UnitedSpan};
pub use outbox::EntryState;
pub use rows::{Cell, Filled, Reject, RejectKind, RowSet};
pub use spent::Spent;
pub use table::{KeyShape, Retention, Scope, TableColumn, TableShape};
pub use text::{
    excerpt, hexadecimal, printable, printable_json, printable_json_page, printable_page,
};
pub use time::{Instant, Window, instant_from_text, instant_to_text};
pub use wait::{WAIT_IMPOSED_MAX, Wait, bounded};
