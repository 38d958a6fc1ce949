//! The archive file: the only room that knows SQL.
//!
//! Opening and its refusals, tables, writing (rows and checkpoint in one transaction), the
//! ledger, reading. It decides nothing about windows or the network.

mod adopted;
mod between;
mod carry;
mod compare;
mod condition;
mod diagnosis;
mod diff;
mod digest;
mod drift;
mod error;
pub mod evidence;
mod export;
mod foreign;
mod given_outbox;
mod heal;
mod health;
mod history;
mod invariants;
mod ledger;
mod merge;
mod moment;
mod names;
mod open;
mod outbox;
mod parents;
mod past;
mod place;
mod proof;
mod publish;
mod query;
mod raw;
mod read;
mod rebuild;
mod rejected_again;
mod rejects;
mod run_detail;
mod runs;
mod said;
mod schema;
mod scratch;
mod settle;
mod snapshot;
mod stops;
mod survey;
mod table;
mod traces;
mod untrusted;
mod vanished;
mod waits;
mod write;

pub use adopted::{AdoptedSpan, AdoptionRow, ReadingSince, Removed, Standing, StandingQuery};
pub use between::Covered;
pub use carry::{Carried, Ended, Remade};
pub use compare::{ColumnChange, Comparison, NewRejects, Regrouped};
pub use diff::{Change, Difference, Known, Named};
pub use digest::{
    TableDigest, WholeDigest, digest_statement, digest_stream, digest_tables, digest_whole,
    digested_columns, each_line, sha256_of,
};
pub use drift::Fill;
pub use error::{ArchiveError, Cause};
pub use export::{ReadStretch, Rows, Selection, Stored};
pub use foreign::{Foreign, ForeignTable};
pub use given_outbox::move_outbox;
pub use heal::{Healed, Healing, HealingRule, Inflation, Restored, heal, restore, survey_in_place};
pub use health::{Ejected, Health, eject};
pub use invariants::Broken;
pub use merge::{
    EndedTaken, FillBox, Filling, Gained, Judge, LedgerOf, Merge, Named as MergeColumns, Pair,
    RowCounts, RunCounts, TableDifference, Taking, Unite,
};
pub use moment::Moment;
pub use open::{APPLICATION_ID, Archive, Opening, SCHEMA_VERSION, sqlite_is_sound};
pub use outbox::{
    Added, AlertRow, Claim, KeptAnswer, NewEntry, OPEN_ENTRIES_MAX, Outbox, OutboxAttempt,
    OutboxBrief, OutboxCount, OutboxEntry, Settlement, Station,
};
pub use parents::Orphan;
pub use past::Past;
pub use proof::{DonePlace, RowDigest, Stamp, TableView, ViewRow};
pub use publish::{OutRow, OutTable, PUBLISH_BYTES_MAX, Phase};
pub use query::{Answer, Value};
pub use raw::{Kept, KeptPage, RawPage};
pub use read::{LedgerRow, ParentRow, Reader, RejectRow, StoredDefinition, StreamRow};
pub use rebuild::{Recount, TableObject, UnkeptRuns};
pub use rejects::{KeptReject, RejectEntry, RejectRecord, RejectSelection};
pub use run_detail::{
    EVENTS_PER_RUN_MAX, PlanPart, READINGS_PER_RUN_MAX, ReadingRow, RunDetail, RunEvent,
};
pub use runs::{RunEnd, RunRow, RunStart, RunStreamRow};
pub use said::Said;
pub use scratch::{Member, Origin, Scratch};
pub use snapshot::{Draft, Given, Naming, Part, note_given};
pub use survey::{DuplicateFact, LedgerFact, SeriesRow, TwinFact};
pub use traces::{Copied, MarksOf, Traces};
pub use untrusted::{look_at_given, open_compared, open_untrusted};
pub use vanished::{VanishedCount, VanishedRow};
pub use waits::WaitRow;
pub use write::TableWriter;
