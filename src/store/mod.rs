//! The SQLite core: the only room that opens connections.
//!
//! Opening and its refusals, tables, writing (rows and checkpoint in one transaction), the
//! ledger, reading. It decides nothing about windows or the network, and owns no table of a
//! feature.

pub(crate) mod archive;
pub(crate) mod content;
pub(crate) mod diagnosis;
pub(crate) mod error;
pub(crate) mod foreign;
pub(crate) mod formats;
pub(crate) mod future;
pub(crate) mod history;
pub(crate) mod ledger;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod parents;
pub(crate) mod place;
pub(crate) mod query;
pub(crate) mod read;
pub(crate) mod reader;
pub(crate) mod refused;
pub(crate) mod rejects;
pub(crate) mod row;
pub(crate) mod run_detail;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod sql;
pub(crate) mod stops;
pub(crate) mod table;
pub(crate) mod target;
pub(crate) mod transaction;
pub(crate) mod untrusted;
pub(crate) mod value;
pub(crate) mod write;

pub use archive::Archive;
pub use content::Fill;
pub use foreign::{Foreign, ForeignTable};
pub use formats::{ArchiveFormat, FORMATS, Formats, Migration};
pub use future::{CLOCK_TOLERANCE, DISBELIEVED, FutureReadings};
pub use open::{APPLICATION_ID, Opening, holder_note, sqlite_is_sound};
pub use parents::Orphan;
pub use query::{AnswerPart, TakeAnswer};
pub use read::{LedgerRow, ParentRow, RejectRow, StoredDefinition, StreamRow, TableRows};
pub use reader::Reader;
pub use rejects::{KeptReject, RejectEntry, RejectRecord, RejectSelection, RejectState};
pub use run_detail::{
    EVENTS_PER_RUN_MAX, FETCHES_PER_RUN_MAX, FetchRow, PlanPart, RunDetail, RunEvent,
};
pub use runs::{RunEnd, RunRow, RunStart, RunStreamRow};
pub use target::refuse_own;
pub use transaction::{Snapshot, Tx};
pub use untrusted::{look_at_given, open_compared, open_untrusted};
pub use value::Value;
pub use write::TableWriter;
