//! The archive file: the only room that knows SQL.
//!
//! Opening and its refusals, tables, writing (rows and checkpoint in one transaction), the
//! ledger, reading. It decides nothing about windows or the network.

pub(crate) mod archive;
pub(crate) mod content;
pub(crate) mod diagnosis;
pub(crate) mod digest;
pub(crate) mod drift;
pub(crate) mod error;
pub(crate) mod foreign;
pub(crate) mod formats;
pub(crate) mod history;
pub(crate) mod invariants;
pub(crate) mod ledger;
pub(crate) mod names;
pub(crate) mod open;
pub(crate) mod parents;
pub(crate) mod place;
pub(crate) mod query;
pub(crate) mod raw;
pub(crate) mod read;
pub(crate) mod reader;
pub(crate) mod rejects;
pub(crate) mod row;
pub(crate) mod run_detail;
pub(crate) mod runs;
pub(crate) mod schema;
pub(crate) mod sql;
pub(crate) mod stops;
pub(crate) mod table;
pub(crate) mod transaction;
pub(crate) mod untrusted;
pub(crate) mod value;
pub(crate) mod vanished;
pub(crate) mod waits;
pub(crate) mod write;

pub use archive::Archive;
pub use content::Fill;
pub use digest::{
    TableDigest, WholeDigest, digest_statement, digest_stream, digest_tables, digest_whole,
    digested_columns, each_line,
};
pub use foreign::{Foreign, ForeignTable};
pub use formats::{ArchiveFormat, FORMATS, Formats, Migration};
pub use invariants::Broken;
pub use open::{APPLICATION_ID, Opening, holder_note, sqlite_is_sound};
pub use parents::Orphan;
pub use query::QuerySink;
pub use raw::{Kept, KeptPage, RawPage};
pub use read::{LedgerRow, ParentRow, RejectRow, StoredDefinition, StreamRow};
pub use reader::Reader;
pub use rejects::{KeptReject, RejectEntry, RejectRecord, RejectSelection};
pub use run_detail::{
    EVENTS_PER_RUN_MAX, FETCHES_PER_RUN_MAX, FetchRow, PlanPart, RunDetail, RunEvent,
};
pub use runs::{RunEnd, RunRow, RunStart, RunStreamRow};
pub use transaction::{Snapshot, Tx};
pub use untrusted::{look_at_given, open_compared, open_untrusted};
pub use value::Value;
pub use vanished::{VanishedCount, VanishedRow};
pub use waits::WaitRow;
pub use write::TableWriter;
