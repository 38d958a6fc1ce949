//! The SQL that is spoken over there: plain, so that every engine of the protocol knows it.
//! Decides, and does nothing.

use serde_json::{Map, Value as Json};

use crate::model::KeyShape;
use crate::store::StreamRow;

use super::value::{PgType, Role};

/// windrow's own columns of a published table, behind the stream's.
pub const OWN: [(&str, PgType, bool); 10] = [
    ("_rest", PgType::Json, false),
    ("_first_seen_at", PgType::Timestamp, true),
    ("_changed_at", PgType::Timestamp, true),
    ("_revision", PgType::Bigint, true),
    ("_deleted_at", PgType::Timestamp, false),
    ("_archive", PgType::Text, true),
    ("_run_uid", PgType::Text, true),
    ("_read_at", PgType::Timestamp, false),
    ("_sha256", PgType::Bytes, true),
    ("_publisher", PgType::Text, true),
];

/// What windrow keeps over there beside the streams' tables.
pub const LEDGERS: [(&str, &str); 3] = [
    (
        "_windrow_tables",
        "stream text NOT NULL PRIMARY KEY,
         key text NOT NULL,
         columns text NOT NULL,
         version text",
    ),
    (
        "_windrow_published",
        "archive_id text NOT NULL,
         stream text NOT NULL,
         step bigint NOT NULL,
         sent_run bigint,
         sent_uid text,
         pass text,
         columns text NOT NULL,
         coverage_sha256 text,
         rows_written bigint NOT NULL,
         published_at timestamptz,
         windrow_version text NOT NULL,
         PRIMARY KEY (archive_id, stream)",
    ),
    (
        "_windrow_coverage",
        "archive_id text NOT NULL,
         stream text NOT NULL,
         number bigint NOT NULL,
         partition text NOT NULL,
         start_at timestamptz,
         end_at timestamptz,
         state text NOT NULL,
         read_to timestamptz,
         completed_at timestamptz,
         received bigint NOT NULL,
         distinct_keys bigint,
         source_total bigint,
         out_of_window bigint NOT NULL,
         error text,
         PRIMARY KEY (archive_id, stream, number)",
    ),
];

/// An identifier in quotes.
pub fn quote(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// A stream's table over there.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// The schema, in quotes.
    pub schema: String,
    pub name: String,
    /// The key as a definition says it.
    pub key_text: String,
    /// The columns of the key.
    pub key: Vec<String>,
    /// The stream's columns, the key first.
    pub columns: Vec<(String, PgType)>,
    /// The column that tells older from newer.
    pub version: Option<String>,
    /// Whether the first content of a key stays, as `on_conflict = "keep"` says.
    pub keeps_first: bool,
    /// Columns that the table has over there and this archive has not.
    pub lacking: Vec<String>,
}

/// What decides between two contents of a key.
#[derive(Clone, Copy, Debug, Default)]
pub struct Deciding<'d> {
    /// The column that tells older from newer.
    pub version: Option<&'d str>,
    /// Whether the first content stays.
    pub keeps_first: bool,
}

impl Table {
    /// The table of a stream, with its columns in this order.
    pub fn of(stream: &StreamRow, order: &[String], by: Deciding<'_>, schema: &str) -> Table {
        let key = stream.key.columns();
        let kind = |name: &String| {
            let column = stream.columns.iter().find(|column| column.name == *name);
            // The hash of a key is no column of the stream.
            column.map_or(PgType::Text, |column| PgType::of(column.kind, key.contains(name)))
        };
        Table {
            schema: quote(schema),
            name: stream.stream.clone(),
            key_text: match &stream.key {
                KeyShape::Columns(columns) => columns.join(", "),
                KeyShape::Hash(fields) => format!("hash of {}", fields.join(", ")),
            },
            columns: order.iter().map(|name| (name.clone(), kind(name))).collect(),
            version: by
                .version
                .filter(|name| order.iter().any(|have| have == name))
                .map(str::to_owned),
            keeps_first: by.keeps_first,
            lacking: Vec::new(),
            key,
        }
    }

    /// What a column is for.
    pub fn role(&self, column: &str) -> Role {
        match column {
            column if self.key.iter().any(|key| key == column) => Role::Key,
            column if self.version.as_deref() == Some(column) => Role::Version,
            _ => Role::Plain,
        }
    }

    /// Schema and name, in quotes.
    pub fn place(&self) -> String {
        format!("{}.{}", self.schema, quote(&self.name))
    }

    /// The stream's columns as they are noted over there.
    pub fn columns_json(&self) -> String {
        let members = self.columns.iter().map(|(name, kind)| (name.clone(), kind.as_str().into()));
        Json::Object(members.collect::<Map<_, _>>()).to_string()
    }

    /// All columns that are sent, in order.
    pub fn sent(&self) -> Vec<(&str, PgType)> {
        let streams = self.columns.iter().map(|(name, kind)| (name.as_str(), *kind));
        streams.chain(OWN.map(|(name, kind, _)| (name, kind))).collect()
    }

    /// The statement that makes the table.
    pub fn create(&self) -> String {
        let streams = self.columns.iter().map(|(name, kind)| {
            let required = if self.key.contains(name) { " NOT NULL" } else { "" };
            format!("{} {}{required}", quote(name), kind.as_str())
        });
        let own = OWN.iter().map(|(name, kind, required)| {
            let required = if *required { " NOT NULL" } else { "" };
            format!("{} {}{required}", quote(name), kind.as_str())
        });
        let lines: Vec<String> = streams.chain(own).collect();
        format!(
            "CREATE TABLE {} ({}, PRIMARY KEY ({}))",
            self.place(),
            lines.join(", "),
            list(self.key.iter().map(String::as_str), "")
        )
    }

    /// Gives it a column more.
    pub fn add(&self, name: &str, kind: PgType) -> String {
        format!("ALTER TABLE {} ADD COLUMN {} {}", self.place(), quote(name), kind.as_str())
    }

    /// Begins a COPY of all columns.
    pub fn copy(&self) -> String {
        let names = list(self.sent().into_iter().map(|(name, _)| name), "");
        format!("COPY {} ({names}) FROM STDIN", self.place())
    }

    /// Inserts rows, each column an array of texts, or puts them in the place of those that they
    /// beat. `own` says that an archive's word replaces whatever the same archive has sent before;
    /// else, as between archives, the greater one stands.
    pub fn upsert(&self, own: bool) -> String {
        let sent = self.sent();
        let names = list(sent.iter().map(|(name, _)| *name), "");
        let cast = sent.iter().enumerate().map(|(n, (_, kind))| format!("c{n}::{}", kind.as_str()));
        let parameters: Vec<String> = (1..=sent.len()).map(|n| format!("${n}::text[]")).collect();
        let cells: Vec<String> = (0..sent.len()).map(|n| format!("c{n}")).collect();
        let others = sent.iter().filter(|(name, _)| !self.key.iter().any(|key| key == name));
        let sets = others.map(|(name, _)| format!("{0} = excluded.{0}", quote(name)));
        // A content has nothing in columns that its archive lacks: it has them in `_rest`.
        let sets = sets.chain(self.lacking.iter().map(|name| format!("{} = NULL", quote(name))));
        let wins = if own {
            format!("here.\"_publisher\" = excluded.\"_publisher\" AND ({NEWS}) OR {}", self.wins())
        } else {
            self.wins()
        };
        format!(
            "INSERT INTO {} AS here ({names}) SELECT {} FROM unnest({}) AS n ({}) \
             ON CONFLICT ({}) DO UPDATE SET {} WHERE {wins}",
            self.place(),
            cast.collect::<Vec<_>>().join(", "),
            parameters.join(", "),
            cells.join(", "),
            list(self.key.iter().map(String::as_str), ""),
            sets.collect::<Vec<_>>().join(", "),
        )
    }

    /// Whether the row that comes beats the one that is there: by the greater version, then the
    /// later fetch, then the greater name of its run, then the greater digest: the order of a
    /// merge, so that the order in which archives come does not matter. No version is less than
    /// any, and so is no fetch. Where the first content stays, the earlier fetch beats.
    fn wins(&self) -> String {
        if self.keeps_first {
            return EARLIER.to_owned();
        }
        let Some(version) = &self.version else { return LATER.to_owned() };
        let kind = self.columns.iter().find(|(name, _)| name == version).map(|(_, kind)| *kind);
        let name = quote(version);
        let value = |row: &str| match kind {
            // By bytes, as SQLite compares, and not by the database's language.
            Some(PgType::Text) => format!("convert_to({row}.{name}, 'UTF8')"),
            _ => format!("{row}.{name}"),
        };
        let values = SqlOrder::nullable(&value("excluded"), &value("here"));
        let exact = |row: &str| exact_of(row, version);
        let SqlOrder { greater, same } = match kind {
            // Of one microsecond: by all digits.
            Some(PgType::Timestamp) => {
                values.then(SqlOrder::present(&exact("excluded"), &exact("here")))
            }
            // SQLite sorts numbers before digits that it holds as text, and these by their bytes.
            Some(PgType::Numeric) => {
                SqlOrder::present(&exact("excluded"), &exact("here")).then(values)
            }
            _ => values,
        };
        format!("({greater} OR ({same}) AND {LATER})")
    }
}

/// How two values over there compare.
struct SqlOrder {
    greater: String,
    same: String,
}

impl SqlOrder {
    /// Of values that may be NULL, which is less than any.
    fn nullable(come: &str, here: &str) -> SqlOrder {
        SqlOrder {
            greater: format!("{come} > {here} OR {come} IS NOT NULL AND {here} IS NULL"),
            same: format!("{come} = {here} OR {come} IS NULL AND {here} IS NULL"),
        }
    }

    /// Of values that are never NULL.
    fn present(come: &str, here: &str) -> SqlOrder {
        SqlOrder { greater: format!("{come} > {here}"), same: format!("{come} = {here}") }
    }

    /// Those of the same value by another one.
    fn then(self, next: SqlOrder) -> SqlOrder {
        let SqlOrder { greater, same } = self;
        SqlOrder {
            greater: format!("{greater} OR ({same}) AND ({})", next.greater),
            same: format!("({same}) AND ({})", next.same),
        }
    }
}

/// The bytes of the exact form of a column's value, empty where the column holds it exactly. Read
/// from the text of `_rest`, whose last member `_exact` is: an operator of JSON fails where there
/// is a NUL anywhere in it.
fn exact_of(row: &str, column: &str) -> String {
    let text = r#""(?:[^"\\\\]|\\\\.)*""#;
    let pattern = format!(r#"(?s)^.*"_exact": ?[{{](?:{text}: ?{text}, ?)*"{column}": ?"([^"]*)""#);
    format!(
        "coalesce(convert_to(substring({row}.\"_rest\"::text from E'{pattern}'), 'UTF8'), \
         ''::bytea)"
    )
}

/// Whether what an archive says differs from what it said.
const NEWS: &str = "here.\"_sha256\" <> excluded.\"_sha256\" OR here.\"_run_uid\" <> \
    excluded.\"_run_uid\" OR (here.\"_deleted_at\" IS NULL) <> (excluded.\"_deleted_at\" IS NULL)";

/// Of rows of one version: whether the one that comes was read later.
const LATER: &str = "(coalesce(excluded.\"_read_at\", '0001-01-01T00:00:00Z'::timestamptz), \
    convert_to(excluded.\"_run_uid\", 'UTF8'), excluded.\"_sha256\") > \
    (coalesce(here.\"_read_at\", '0001-01-01T00:00:00Z'::timestamptz), \
    convert_to(here.\"_run_uid\", 'UTF8'), here.\"_sha256\")";

/// Where the first content stays: whether the one that comes was read earlier.
const EARLIER: &str = "(coalesce(here.\"_read_at\", '0001-01-01T00:00:00Z'::timestamptz), \
    convert_to(here.\"_run_uid\", 'UTF8'), excluded.\"_sha256\") > \
    (coalesce(excluded.\"_read_at\", '0001-01-01T00:00:00Z'::timestamptz), \
    convert_to(excluded.\"_run_uid\", 'UTF8'), here.\"_sha256\")";

/// Names in quotes, with something before each.
pub fn list<'n>(names: impl Iterator<Item = &'n str>, before: &str) -> String {
    names.map(|name| format!("{before}{}", quote(name))).collect::<Vec<_>>().join(", ")
}

/// Adds a row to the text form of COPY.
pub fn copy_line(cells: &[Option<String>], out: &mut Vec<u8>) {
    for (at, cell) in cells.iter().enumerate() {
        if at > 0 {
            out.push(b'\t');
        }
        let Some(text) = cell else {
            out.extend_from_slice(b"\\N");
            continue;
        };
        for byte in text.bytes() {
            match byte {
                b'\\' => out.extend_from_slice(b"\\\\"),
                b'\n' => out.extend_from_slice(b"\\n"),
                b'\r' => out.extend_from_slice(b"\\r"),
                b'\t' => out.extend_from_slice(b"\\t"),
                byte => out.push(byte),
            }
        }
    }
    out.push(b'\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(version: Option<(&str, PgType)>) -> Table {
        let mut columns = vec![("id".to_owned(), PgType::Text), ("gb".to_owned(), PgType::Double)];
        columns.extend(version.map(|(name, kind)| (name.to_owned(), kind)));
        Table {
            schema: quote("odd \"name"),
            name: "usage".into(),
            key_text: "id".into(),
            key: vec!["id".into()],
            columns,
            version: version.map(|(name, _)| name.to_owned()),
            keeps_first: false,
            lacking: Vec::new(),
        }
    }

    #[test]
    fn a_table_has_the_archive_s_key_and_columns_and_where_each_row_is_from() {
        assert_eq!(
            table(None).create(),
            "CREATE TABLE \"odd \"\"name\".\"usage\" (\"id\" text NOT NULL, \"gb\" double \
             precision, \"_rest\" json, \"_first_seen_at\" timestamptz NOT NULL, \"_changed_at\" \
             timestamptz NOT NULL, \"_revision\" bigint NOT NULL, \"_deleted_at\" timestamptz, \
             \"_archive\" text NOT NULL, \"_run_uid\" text NOT NULL, \"_read_at\" timestamptz, \
             \"_sha256\" bytea NOT NULL, \"_publisher\" text NOT NULL, PRIMARY KEY (\"id\"))"
        );
        assert_eq!(table(None).columns_json(), r#"{"id":"text","gb":"double precision"}"#);
    }

    #[test]
    fn an_upsert_never_touches_the_key_and_beats_by_version_fetch_and_digest() {
        let sql = table(Some(("at", PgType::Timestamp))).upsert(false);
        assert!(
            sql.contains("ON CONFLICT (\"id\") DO UPDATE SET \"gb\" = excluded.\"gb\""),
            "{sql}"
        );
        assert!(!sql.contains("\"id\" = excluded"), "{sql}");
        assert!(sql.contains("WHERE (excluded.\"at\" > here.\"at\" OR"), "{sql}");
        assert!(sql.ends_with(&format!("AND {LATER})")), "{sql}");
        assert!(!sql.contains("_publisher\" = excluded.\"_publisher\" AND"), "{sql}");
        let own = table(None).upsert(true);
        assert!(own.contains("here.\"_publisher\" = excluded.\"_publisher\" AND ("), "{own}");
        assert!(own.ends_with(&format!(" OR {LATER}")), "{own}");
        let text = table(Some(("v", PgType::Text))).upsert(false);
        assert!(
            text.contains("convert_to(excluded.\"v\", 'UTF8') > convert_to(here.\"v\""),
            "{text}"
        );
        assert!(sql.contains("unnest($1::text[], $2::text[]"), "{sql}");
    }

    #[test]
    fn versions_beat_as_in_a_merge_by_their_exact_forms() {
        let at = |kind| table(Some(("at", kind))).upsert(false);
        let exact = "E'(?s)^.*\"_exact\": ?[{]";
        let time = at(PgType::Timestamp);
        let first = time.find("excluded.\"at\" > here.\"at\"").expect("the value");
        assert!(first < time.find(exact).expect("the exact form"), "{time}");
        let number = at(PgType::Numeric);
        let first = number.find(exact).expect("the exact form");
        assert!(first < number.find("excluded.\"at\" > here.\"at\"").expect("it"), "{number}");
        assert!(!at(PgType::Text).contains(exact) && !at(PgType::Bigint).contains(exact));
        let keeps = Table { keeps_first: true, ..table(Some(("at", PgType::Timestamp))) };
        assert!(keeps.upsert(false).ends_with(&format!("WHERE {EARLIER}")));
        let uid = LATER.find("_run_uid").expect("the run");
        assert!(uid < LATER.find("_sha256").expect("the digest"), "the run before the digest");
    }

    #[test]
    fn a_row_that_wins_has_nothing_in_columns_that_its_archive_lacks() {
        let lacks = Table { lacking: vec!["more".into()], ..table(None) };
        assert!(lacks.upsert(true).contains("\"more\" = NULL"), "{}", lacks.upsert(true));
        assert!(!lacks.copy().contains("more"));
    }

    #[test]
    fn a_line_of_copy_gives_back_every_text() {
        let mut out = Vec::new();
        let cells = [None, Some("a\tb\nc\\d\re".to_owned()), Some(String::new())];
        copy_line(&cells, &mut out);
        copy_line(&[Some("\\N".to_owned())], &mut out);
        assert_eq!(String::from_utf8_lossy(&out), "\\N\ta\\tb\\nc\\\\d\\re\t\n\\\\N\n");
    }
}
