//! The shape of `windrow.toml`, as text: what may be written where.
//!
//! These types are the one description of the format. The JSON Schema that `windrow schema`
//! prints is made from them, and the checker in `shape.rs` walks that schema, so the three
//! cannot drift apart. What the words mean is decided in `resolve.rs`.

use indexmap::IndexMap;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::auth::RawAuth;
use super::nothing::{RawAbsent, RawEmpty};
use super::paging::{RawPaginate, RawTotal};
use super::raw_alerts::RawAlert;
use super::raw_check::{RawCheck, RawStreamCheck};
use super::raw_outbox::RawIdempotency;
use super::raw_parameter::RawParameter;
use super::{BodyFormat, ColumnType};

/// What one archive holds.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "windrow.toml")]
pub struct RawDefinition {
    /// The file that the records are kept in.
    pub archive: RawArchive,
    /// The APIs, by name.
    pub sources: IndexMap<String, RawSource>,
    /// The collections of records, by name. A stream's name is its table's name. May be left out
    /// where there is only an outbox.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub streams: IndexMap<String, RawStream>,
    /// Questions of one's own for `windrow check`, by name.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub checks: IndexMap<String, RawCheck>,
    /// Whom to tell of what `windrow check` finds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alerts: Vec<RawAlert>,
}

/// The file that the records are kept in.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawArchive {
    /// The file, relative to the definition.
    pub path: String,
    /// Allow a file on a network file system, where SQLite's locks cannot be trusted.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub allow_network_fs: bool,
}

/// An API: its address, its credentials and its limits.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawSource {
    /// What every path of the source's streams is appended to.
    pub base_url: String,
    /// How requests are authorised. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<RawAuth>,
    /// Headers of every request.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// At most so many requests: `5/second`, `100/minute`, `1000/hour`. Holds across streams.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate: Option<String>,
    /// Send credentials over a network by `http://`, for everybody on the way to read.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub insecure: bool,
    /// Take secrets of fewer than 8 characters, which are not taken out of logs and answers.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub short_secrets: bool,
    /// Other hosts (`host` or `host:port`) that a next link or a redirect may lead to. They are
    /// never sent credentials.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub allow_hosts: Vec<String>,
    /// The longest wait for a connection. Default `10 seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub connect_timeout: Option<String>,
    /// The longest silence while an answer is read. Default `30 seconds`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_timeout: Option<String>,
    /// The largest answer, decoded. Default `64 MiB`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_body: Option<String>,
    /// How many times its size a compressed answer beyond 1 MiB may unpack to. Default 200.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_ratio: Option<u64>,
    /// `json`: answers are JSON, whatever their `Content-Type` says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub content_type: Option<BodyFormat>,
    /// When and how often a failed request is tried again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<RawRetry>,
    /// How the API keeps a write of the outbox that comes twice from counting twice. Default: as
    /// the IETF's Idempotency-Key draft has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub idempotency: Option<RawIdempotency>,
}

/// When and how often a failed request is tried again.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct RawRetry {
    /// Attempts in all, the first included. Default 5.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub attempts: Option<u32>,
    /// The base of the exponential backoff. Default `1 second`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub base: Option<String>,
    /// The longest wait that a run sits out; a longer one ends the run. Default `60 seconds`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_wait: Option<String>,
    /// Statuses to try again besides 408, 425, 429, 500, 502, 503 and 504.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub also: Vec<u16>,
    /// Statuses never to try again.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub never: Vec<u16>,
    /// Try again when the body of an answer, of whatever status, contains one of these texts.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub body_contains: Vec<String>,
}

/// One collection of records; one table.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawStream {
    /// The API. May be left out when there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// `GET` (default) or `POST`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub method: Option<RawMethod>,
    /// The path, appended to the source's `base_url`. A template.
    pub path: String,
    /// Query parameters. Texts are templates; a list repeats the parameter.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub query: IndexMap<String, RawParameter>,
    /// Headers besides the source's. Their values are templates.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub headers: IndexMap<String, String>,
    /// The JSON body. Texts in it are templates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<serde_json::Value>,
    /// Where the records are in an answer: an RFC 9535 JSONPath.
    pub records: String,
    /// The natural key: a column, a list of columns, or `{ hash = [fields] }`.
    pub key: RawKey,
    /// The column that says which of two fetches of a record is newer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// The columns, by name. Left out, they are inferred from the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub columns: Option<IndexMap<String, RawColumn>>,
    /// Makes this a window stream: a grid in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub window: Option<RawWindow>,
    /// Makes this a cursor stream: an API that only offers "changed since".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<RawCursor>,
    /// For a snapshot stream (neither `window` nor `cursor`): how old a fetch may get.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// Run this stream once for each row of another one, the parent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_each: Option<String>,
    /// How the API pages. Default: not at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paginate: Option<RawPaginate>,
    /// Where the API says how many records a request has in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<RawTotal>,
    /// How often a window is read whose count disagrees with the total, or whose pages shift
    /// while they are read. Default 3; 1 believes the first fetch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub reconcile_attempts: Option<u32>,
    /// The number of records at which the API silently cuts a result.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub max_records: Option<u64>,
    /// Answers that mean that a window or a collection has no records. Default: an empty list, and
    /// 204 where no total is declared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub empty: Option<RawEmpty>,
    /// Answers that mean that a parent (`for_each`) has no data in the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent: Option<RawAbsent>,
    /// The largest share of the parents that may be absent at once. Default 0.5.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub absent_ratio_max: Option<f64>,
    /// Texts that stand for null in every column, as `["", "N/A"]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null_values: Vec<String>,
    /// Whether several parents, or windows that do not overlap, may give the same record in
    /// different states: the later one wins. Default false: then such a key is not unique.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub shared_key: bool,
    /// What becomes of a row that is there already. Default `update`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_conflict: Option<RawOnConflict>,
    /// Keep every replaced version of a row, with the time it was true, in `<stream>_history`.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub history: bool,
    /// What becomes of rows that the source no longer returns. Default `keep`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing: Option<RawMissing>,
    /// The largest share of a window's rows that is marked or deleted at once. Default 0.05.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_ratio_max: Option<f64>,
    /// The number of a window's rows that may be marked or deleted at once whatever
    /// `missing_ratio_max` says, but never all of them. Default 3.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub missing_min: Option<u64>,
    /// The member of a record that, when it is there and neither null, false, 0 nor empty, makes
    /// the record a tombstone: its row is marked as gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deleted: Option<String>,
    /// What becomes of fields that appear, vanish or change their type. Default `record`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_drift: Option<RawOnDrift>,
    /// The most rejects of one fetch of a window; one more fails it. Default: all records of a
    /// page, or more than a fifth of a window's, fail it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_rejects: Option<u64>,
    /// The member of an answer that, when it is there and neither null, false, 0 nor empty, makes
    /// the answer an error. Default: the usual ones, as `errors`, `ok: false` and `partial: true`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Columns that hold the key of another stream's row: `{ column = "stream" }`.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty")]
    pub references: IndexMap<String, String>,
    /// What `windrow check` expects of the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub check: Option<RawStreamCheck>,
    /// Keep each page as it came, compressed, so that `windrow rebuild` can make the stream's
    /// table again. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub raw: bool,
}

/// The HTTP method of a fetch.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema)]
pub enum RawMethod {
    /// The usual method of a fetch.
    #[serde(rename = "GET")]
    Get,
    /// For APIs that take a query as a JSON body. Must be safe to repeat.
    #[serde(rename = "POST")]
    Post,
}

/// The natural key of the stream's records.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawKey {
    /// A key of one column.
    Column(String),
    /// A key of several columns.
    Columns(Vec<String>),
    /// No stable id: the SHA-256 of these fields.
    Hash(RawHashKey),
}

/// A key made of a hash.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawHashKey {
    /// The record's members that together tell it from all others.
    pub hash: Vec<String>,
}

/// A column: its type, or a table that says more.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawColumn {
    /// The type; the value is the record's member of the column's name.
    Type(ColumnType),
    /// The type and where the value comes from.
    Full(RawColumnTable),
}

/// A column in full.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawColumnTable {
    /// The type of the column's values.
    #[serde(rename = "type")]
    pub kind: ColumnType,
    /// Where in the record (or in `ancestor`) the value is: a JSONPath of names and indexes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Take the value from what the first part of `records` leads to: a prefix of `records`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ancestor: Option<String>,
    /// The value is the name of the member that this prefix of `records` leads to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub member: Option<String>,
    /// The value is this column of the parent row (`for_each`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent: Option<String>,
    /// Records need not have it: it is not told where no record ever had it. Default false.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub optional: bool,
    /// For numbers: two values this close count as equal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tolerance: Option<f64>,
    /// For `date` and `timestamp`: how the API writes it: a strftime format, `rfc3339`, `unix`
    /// or `unix_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// For a `timestamp` without an offset: the zone it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// Texts that stand for null, besides those of the stream.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub null_values: Vec<String>,
    /// For a `timestamp` with a `timezone`: which instant a local time means that comes twice, or
    /// that the clocks skip. Default `reject`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ambiguous: Option<RawAmbiguous>,
}

/// Which instant a local time means that comes twice, or that the clocks skip.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAmbiguous {
    /// By the offset before the clocks changed.
    First,
    /// By the offset after the clocks changed.
    Second,
    /// Neither: the record is a reject.
    Reject,
}

/// A grid in time.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawWindow {
    /// The column that holds the record's own time; tells out-of-window records.
    pub field: String,
    /// Where the grid starts: a date, a timestamp, or `-90 days` (resolved once, at the first
    /// sync).
    pub start: String,
    /// The length of a window: `1 day`, `1 month`, `PT6H`.
    pub step: String,
    /// How far before its window a request reaches. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<String>,
    /// How long after a window's end its data may still change. Default none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lateness: Option<String>,
    /// How old the fetch of a window that is not settled may get. Default: read every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
    /// The IANA zone that days and months are counted in. Default `UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// How the API wants a bound: a strftime format, `rfc3339` (default), `unix` or `unix_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// How the API reads the two bounds. Default `[)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bounds: Option<RawBounds>,
    /// The smallest step between two bounds that the API tells apart. Default: what `format`
    /// shows; an included upper bound of a `timestamp` is then the end of the window itself.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub precision: Option<String>,
    /// The API knows the future: ask for the whole of the open window.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub ahead: bool,
    /// Which windows are read first. Default `oldest`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub order: Option<RawOrder>,
    /// The longest range that the API takes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_span: Option<String>,
}

/// How an API reads the two bounds of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
pub enum RawBounds {
    /// From start on, up to but without end.
    #[serde(rename = "[)")]
    ClosedOpen,
    /// Both bounds are included.
    #[serde(rename = "[]")]
    ClosedClosed,
    /// After start, end included.
    #[serde(rename = "(]")]
    OpenClosed,
    /// Neither bound is included.
    #[serde(rename = "()")]
    OpenOpen,
}

/// Which windows are read first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOrder {
    /// Today first, then yesterday.
    Newest,
    /// From the start on.
    Oldest,
}

/// A mark that moves with what was committed.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawCursor {
    /// The column whose largest committed value is the mark: a `timestamp`, `date` or `integer`.
    pub field: String,
    /// The first mark: a date, a timestamp, `-90 days`, or a number.
    pub start: RawCursorStart,
    /// How far before the mark the next fetch starts: a duration, or a number for an integer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub overlap: Option<RawCursorStart>,
    /// How the API wants a timestamp: a strftime format, `rfc3339` (default), `unix`, `unix_ms`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<String>,
    /// The zone of bounds without an offset. Default `UTC`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timezone: Option<String>,
    /// How old a fetch may get. Default: read every time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refresh: Option<String>,
}

/// A mark or a distance.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(untagged)]
pub enum RawCursorStart {
    /// For an integer cursor.
    Integer(i64),
    /// For a time cursor.
    Text(String),
}

/// What becomes of fields that appear, vanish or change their type.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOnDrift {
    /// The change is logged and nothing else.
    Record,
    /// It is logged, and a new field becomes a column.
    AddColumn,
    /// The window fails, and nothing of the page is written.
    Fail,
}

/// What becomes of a row that is there already.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawOnConflict {
    /// The later fetch wins.
    Update,
    /// The first fetch wins.
    Keep,
}

/// What becomes of rows that the source no longer returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawMissing {
    /// They stay as they are.
    Keep,
    /// They get a time in `_deleted_at`.
    Mark,
    /// They leave the table; their last version stays in `<stream>_history`.
    Delete,
}
