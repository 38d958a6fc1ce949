//! What to archive: `windrow.toml`, from text to checked types, all problems at once.
//!
//! `raw.rs` says what may be written, `shape.rs` finds what may not, `resolve` gives it meaning.
//! Nothing here reads a clock, the environment or the network.

mod alert;
mod auth;
mod body_format;
mod check;
mod column_type;
mod context;
mod fingerprint;
mod local_time;
mod nothing;
mod origin;
mod outbox;
mod paging;
mod path;
mod problem;
mod raw;
mod raw_alerts;
mod raw_check;
mod raw_outbox;
mod raw_parameter;
mod resolve;
mod shape;
mod span;
mod strftime;
mod template;
mod time_format;

use std::collections::BTreeMap;
use std::path::PathBuf;

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use url::Url;

pub use alert::{ALERT_VALUES, Alert, CHECK_NAMES};
pub use auth::{Auth, FixedAuth};
pub use body_format::BodyFormat;
pub use check::{Check, CheckQuestion, ExpectedDates, StreamCheck, TOLERANCE};
pub use column_type::{ColumnStorage, ColumnType, TypeFamily};
pub use fingerprint::{Fingerprint, RecordedDefinition, RequestChange};
pub use local_time::{LocalTime, doubled_stretch, local_time, resolve_local};
pub use nothing::{AbsentRules, EmptyRules, NothingRule};
pub use origin::DefinitionOrigin;
pub use outbox::{Idempotency, KeyFormat, KeyPlace, KeyRule, Lookup, OnRejected, WriteMethod};
pub use paging::{AddressAt, EndRule, Paginate, TokenAt, TokenInto, Total, TotalRules};
pub use path::{Path, PathError, Segment};
pub use problem::{Problem, Problems, is_unsafe_letter, nearest, suggest};
pub use raw::{
    RawAmbiguous as Ambiguous, RawBounds as Bounds, RawOnConflict as OnConflict,
    RawOnDrift as OnDrift, RawOrder as Order,
};
pub use raw_check::Severity;
pub use resolve::{
    definition_text, is_column_name, is_given_name, is_header_name, is_loopback, json_schema,
    parse_definition, parse_start, sounds_secret,
};
pub use span::Span;
pub use strftime::{Pattern, SPECIFIERS, WrittenTime};
pub use template::{
    EscapeContext, Scalar, SecretReference, Template, TemplateValues, show_reference,
};
pub use time_format::TimeFormat;

/// The name of a stream and of its table: `[a-z_][a-z0-9_]{0,62}`.
pub type StreamName = String;

/// The default of `connect_timeout`, milliseconds: a shorter one fails on satellite and mobile
/// links, a longer one keeps an offline run waiting.
pub const CONNECT_TIMEOUT_MS: i64 = 10_000;
/// The default of `read_timeout`, milliseconds: an API that computes its answer may be silent for
/// many seconds; a longer silence keeps a run on a dead connection.
pub const READ_TIMEOUT_MS: i64 = 30_000;
/// The most that `max_body` may say, bytes: a body is held in memory whole, and a larger one does
/// not fit beside its rows on a laptop.
pub const BODY_BYTES_LIMIT: u64 = 1 << 30;
/// The default of `max_ratio`: JSON shrinks to a tenth as a rule, and to a hundredth at times.
pub const BODY_RATIO_MAX: u64 = 200;
/// The default of `max_body`, bytes: far above any sane page, far below a laptop's memory.
pub const BODY_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// The default of `retry.attempts`: the waits between them add up to 15 seconds at most; fewer lose
/// a window to a short fault, more hold up the other windows.
pub const ATTEMPTS_MAX: u32 = 5;
/// The default of `missing_ratio_max`: a larger share at once looks more like a fault of the source
/// than like deletions.
pub const MISSING_RATIO_MAX: f64 = 0.05;
/// The default of `missing_min`, rows: a window of a few rows can lose one, and an outage of the
/// source that hides many is still noticed.
pub const MISSING_MIN: u64 = 3;
/// The default of `reconcile_attempts`: where pages shift, two fetches in a row must agree, which
/// leaves one for a change between them.
pub const RECONCILE_ATTEMPTS: u32 = 3;

/// A definition whose settings and references were all checked.
#[derive(Clone, Debug)]
pub struct Definition {
    /// The archive file, as the definition writes it.
    pub archive: PathBuf,
    /// Whether a network file system was asked for.
    pub allow_network_fs: bool,
    pub sources: BTreeMap<String, Source>,
    /// The streams, each after the ones that it hangs off.
    pub streams: Vec<Stream>,
    /// Questions for `windrow check`.
    pub checks: Vec<Check>,
    /// Whom to tell of what it finds.
    pub alerts: Vec<Alert>,
    /// The definition as TOML without comments; holds references to secrets, never secrets.
    pub text: String,
    /// Who vouches for it.
    pub origin: DefinitionOrigin,
}

impl Definition {
    /// The stream of that name.
    pub fn stream(&self, name: &str) -> Option<&Stream> {
        self.streams.iter().find(|stream| stream.name == name)
    }
}

/// An API: its address, its credentials and its limits.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its name in the definition.
    pub name: String,
    /// What paths are appended to; never has a query or user information.
    pub base_url: Url,
    /// How requests are authorised.
    pub auth: Auth,
    /// Headers of every request.
    pub headers: Vec<(String, Template)>,
    /// The client-side limit, for all streams of the source together.
    pub rate: Option<Rate>,
    /// Whether its secrets may be so short that they cannot be taken out of texts.
    pub short_secrets: bool,
    /// Other hosts that may be followed to, without credentials.
    pub allow_hosts: Vec<String>,
    /// The longest wait for a connection, milliseconds.
    pub connect_timeout_ms: i64,
    /// The longest silence while an answer is read, milliseconds.
    pub read_timeout_ms: i64,
    /// The largest answer, decoded bytes.
    pub body_bytes_max: u64,
    /// How many bytes may come out of each byte of a compressed answer.
    pub body_ratio_max: u64,
    /// The format of its answers whatever their `Content-Type` says, where the definition names it.
    pub declared_format: Option<BodyFormat>,
    /// When to try again.
    pub retry: RetryPolicy,
    /// How it keeps a write that comes twice from counting twice.
    pub idempotency: Idempotency,
}

impl Source {
    /// The format of its answers.
    pub fn format(&self) -> BodyFormat {
        self.declared_format.unwrap_or_default()
    }
}

/// At most `count` requests in `per_ms` milliseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rate {
    pub count: u32,
    pub per_ms: i64,
}

/// When a failed request is tried again.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts for one request, the first included.
    pub attempts: u32,
    /// The base of the backoff, milliseconds.
    pub base_ms: i64,
    /// The longest wait that a run sits out, milliseconds.
    pub wait_ms_max: i64,
    /// More statuses to retry.
    pub also: Vec<u16>,
    /// Statuses not to retry.
    pub never: Vec<u16>,
    /// Texts in a body that mean "later".
    pub body_contains: Vec<String>,
}

/// One collection of records; one table.
#[derive(Clone, Debug)]
pub struct Stream {
    /// Its name and its table's.
    pub name: StreamName,
    pub source: String,
    pub request: RequestTemplate,
    /// Where the records are.
    pub records: Path,
    pub key: Key,
    /// The column that tells older from newer.
    pub version: Option<String>,
    /// The columns, or none to infer them.
    pub columns: Option<Vec<Column>>,
    /// Grid, whole collection, or mark.
    pub kind: StreamKind,
    /// The stream that this one runs once for each row of.
    pub for_each: Option<StreamName>,
    /// How the API pages.
    pub paginate: Paginate,
    /// Whether the definition says how the API pages; it may say "not at all".
    pub paginate_is_written: bool,
    /// When the data ends, besides the rules of its kind of paging.
    pub ends: Vec<EndRule>,
    /// Where the API says how many there are.
    pub total: Option<Total>,
    /// How the total is read.
    pub total_rules: TotalRules,
    /// When an answer means that there are no records.
    pub empty: Option<EmptyRules>,
    /// When an answer means that a parent has no data in the stream.
    pub absent: Option<AbsentRules>,
    /// Whether several partitions may give the same record in different states.
    pub shared_key: bool,
    /// How often a window whose count disagrees is read.
    pub reconcile_attempts: u32,
    /// The number at which the API cuts a result.
    pub max_records: Option<u64>,
    /// What becomes of rows that are there.
    pub on_conflict: OnConflict,
    /// Whether every replaced version of a row is kept.
    pub history: bool,
    /// What becomes of rows that the source no longer returns; none where they stay.
    pub missing: Option<MissingRules>,
    /// Where a record says that it is a tombstone.
    pub deleted: Option<Vec<Segment>>,
    /// What becomes of drift.
    pub on_drift: OnDrift,
    /// The number of rejects that fails a window.
    pub max_rejects: Option<u64>,
    /// The member that makes an answer an error.
    pub error: Option<Path>,
    /// Columns to the streams whose keys they hold.
    pub references: BTreeMap<String, StreamName>,
    /// What `windrow check` expects of it.
    pub check: StreamCheck,
    /// Whether each page is kept as it came.
    pub raw: bool,
}

/// What becomes of rows that the source no longer returns.
#[derive(Clone, Debug, PartialEq)]
pub struct MissingRules {
    /// They are deleted; else they are marked.
    pub delete: bool,
    /// The share of a window's rows that may go at once, from 0 to 1.
    pub ratio_max: f64,
    /// Rows of a window that may go at once whatever their share is, if others stay.
    pub min: u64,
    /// Of a stream with a parent: columns, and the parts of the parent's key that they hold.
    pub parent: Vec<(String, String)>,
}

/// A request of a stream before its placeholders are filled.
#[derive(Clone, Debug)]
pub struct RequestTemplate {
    /// `POST` instead of `GET`.
    pub post: bool,
    /// Appended to the base URL.
    pub path: Template,
    /// Parameters in order; a list repeats its name.
    pub query: Vec<(String, Template)>,
    /// Name and value of each header besides the source's.
    pub headers: Vec<(String, Template)>,
    /// The JSON body with templates in its texts.
    pub body: Option<serde_json::Value>,
}

/// The natural key of a stream's records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Key {
    Columns(Vec<String>),
    /// The SHA-256 of these members of the record, in a column `_key`.
    Hash(Vec<String>),
}

/// A declared or inferred column of a stream.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// Its name in the table.
    pub name: String,
    pub kind: ColumnType,
    /// Where its value comes from.
    pub origin: ColumnOrigin,
    /// Whether records need not have it.
    pub optional: bool,
    /// Values this close are equal.
    pub tolerance: Option<f64>,
    /// How the API writes a date or timestamp.
    pub format: Option<TimeFormat>,
    /// The zone of times without an offset.
    pub zone: Option<Tz>,
    /// Texts that stand for null.
    pub null_values: Vec<String>,
    /// Which instant a local time means that comes twice or never.
    pub ambiguous: Ambiguous,
}

impl Column {
    /// A column whose value is the record's member of its name.
    pub fn plain(name: &str, kind: ColumnType) -> Column {
        Column {
            name: name.to_owned(),
            kind,
            origin: ColumnOrigin::Record(vec![Segment::Name(name.to_owned())]),
            optional: false,
            tolerance: None,
            format: None,
            zone: None,
            null_values: Vec::new(),
            ambiguous: Ambiguous::Reject,
        }
    }

    /// Whether its value comes from this member of the record, or from within it.
    pub fn takes(&self, member: &str) -> bool {
        matches!(&self.origin, ColumnOrigin::Record(path)
            if matches!(path.first(), Some(Segment::Name(first)) if first == member))
    }
}

/// Where a column's value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ColumnOrigin {
    /// A place in the record.
    Record(Vec<Segment>),
    /// A place in what the first `depth` steps of `records` lead to.
    Ancestor {
        /// Steps from the root of the answer.
        depth: usize,
        /// The place from there on.
        path: Vec<Segment>,
    },
    /// The name of the member that step `depth` of `records` went through.
    Member {
        /// Steps from the root, at least 1.
        depth: usize,
    },
    /// A column of the parent row.
    Parent(String),
}

/// Grid, whole collection, or mark.
#[derive(Clone, Debug)]
pub enum StreamKind {
    /// A grid in time.
    Window(Box<WindowRules>),
    /// The whole collection, when it was last read longer than `refresh` ago.
    Snapshot {
        /// How old a fetch may get.
        refresh: Option<Span>,
    },
    /// Changed since a mark.
    Cursor(Box<CursorRules>),
}

/// How a window stream is cut and asked for.
#[derive(Clone, Debug)]
pub struct WindowRules {
    /// The column that holds the record's own time.
    pub field: String,
    /// Where the grid starts.
    pub start: Start,
    /// The length of a window.
    pub step: Span,
    /// How far before its window a request reaches.
    pub overlap: Span,
    /// How long after its end a window may still change.
    pub lateness: Span,
    /// How old a fetch may get.
    pub refresh: Option<Span>,
    /// The zone of days and months.
    pub zone: Tz,
    /// How the API wants a bound.
    pub format: TimeFormat,
    /// How the API reads the two bounds.
    pub bounds: Bounds,
    /// The smallest step that the API tells apart.
    pub precision: Span,
    /// An included upper bound is the window's end itself, and not the tick before it: records may
    /// be finer than `precision`.
    pub asks_for_end: bool,
    /// The API knows the future.
    pub ahead: bool,
    /// Which windows are read first.
    pub order: Order,
    /// The longest range that the API takes.
    pub max_span: Option<Span>,
}

/// How a cursor stream is asked for.
#[derive(Clone, Debug)]
pub struct CursorRules {
    /// The column whose largest value is the mark.
    pub field: String,
    /// The first mark and the distance that is read again.
    pub mark: CursorMark,
    /// How the API wants a time.
    pub format: TimeFormat,
    /// The zone of times.
    pub zone: Tz,
    /// How old a fetch may get.
    pub refresh: Option<Span>,
}

/// The kind of a mark.
#[derive(Clone, Debug)]
pub enum CursorMark {
    /// A time; the API compares it with when a record changed.
    Time {
        /// The mark of the first fetch.
        start: Start,
        /// How far back the next fetch starts.
        overlap: Span,
    },
    /// A number that grows, such as an id.
    Integer {
        /// The mark of the first fetch.
        start: i64,
        /// How far back the next fetch starts.
        overlap: i64,
    },
}

/// Where a grid starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Start {
    /// An instant that the definition states.
    At(DateTime<Utc>),
    /// So long before the first sync, at the start of that day.
    Ago(Span),
}
