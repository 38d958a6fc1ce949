//! Raw pages: what a source said, word for word, kept in the transaction of the page's rows.
//!
//! A body is kept once however often it comes. What a page's fetch depended on is kept with it,
//! so that the same rules give the same rows again.

use std::collections::BTreeMap;

use rusqlite::{OptionalExtension, Row, named_params};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::definition::{BODY_BYTES_LIMIT, Scalar};
use crate::model::{Error, ErrorKind, Window, WindowKey, hexadecimal};

use crate::store::error::at;
use crate::store::ledger::{bounds_text, window_of};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::transaction::Tx;

/// zstd's own default: JSON shrinks to a tenth or less, faster than any network brings it.
const PACKING_LEVEL: i32 = 3;

/// A text under its hash, packed.
struct Packed {
    sha256: String,
    bytes: u64,
    body: Vec<u8>,
}

impl Packed {
    fn new(text: &str) -> Self {
        let body = zstd::bulk::compress(text.as_bytes(), PACKING_LEVEL);
        let body = body.expect("zstd packs whatever fits into memory");
        let sha256 = hexadecimal(&Sha256::digest(text.as_bytes()));
        Self { sha256, bytes: text.len() as u64, body }
    }
}

/// A page on its way into the archive, packed.
pub struct RawPage {
    body: Packed,
    /// The parent row that it was asked for.
    parent: Option<Packed>,
    asked: Option<Window>,
    /// Whether a secret was taken out of its records.
    altered: bool,
}

impl RawPage {
    /// Packs the body of an answer, the range that was asked for, and the parent row's columns.
    /// `altered` tells that the body does not give the records as they came.
    pub fn pack(
        body: &str,
        altered: bool,
        asked: Option<Window>,
        parent: &BTreeMap<String, Scalar>,
    ) -> Self {
        let parent = (!parent.is_empty()).then(|| Packed::new(&parent_text(parent)));
        Self { body: Packed::new(body), parent, asked, altered }
    }

    /// About how many bytes it takes up.
    pub fn size(&self) -> usize {
        self.body.body.len() + self.parent.as_ref().map_or(0, |parent| parent.body.len())
    }
}

/// A page that was kept, ready to be read again.
#[derive(Clone, Debug, PartialEq)]
pub struct KeptPage {
    /// Its number; pages are numbered in the order of their writing.
    pub page: i64,
    /// Which fetch it belongs to.
    pub window_key: WindowKey,
    /// The range that was asked for.
    pub asked: Option<Window>,
    /// The parent row's columns.
    pub parent: BTreeMap<String, Scalar>,
    /// Whether a fetch begins with it.
    pub first: bool,
    /// Whether a secret was taken out of its records.
    pub altered: bool,
    /// When its rows were written.
    pub written_at: String,
    pub run: i64,
    /// The body; empty where the source had no content to send.
    pub body: String,
}

/// What is kept of a stream beside its rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Kept {
    /// The number of pages that are kept.
    pub pages: u64,
    /// Bytes of their bodies in the archive: packed, each once.
    pub bytes: u64,
    /// Whether a rebuild has set its table aside and is not confirmed.
    pub table_aside: bool,
}

impl Reader {
    /// The stream's page after page `after`, in the order of writing. One at a time: memory does
    /// not grow with the number of pages.
    pub fn kept_page_after(&self, stream: &str, after: i64) -> Result<Option<KeptPage>, Error> {
        let sql = "SELECT p.page_id, p.partition, p.start_at, p.end_at, p.asked_from, p.asked_to,
                p.first, p.written_at, p.run_id, b.sha256 AS body_sha256,
                b.bytes AS body_bytes, b.body, r.sha256 AS parent_sha256,
                r.bytes AS parent_bytes, r.body AS parent, p.altered
            FROM _windrow_raw_pages AS p JOIN _windrow_raw_bodies AS b USING (body_id)
            LEFT JOIN _windrow_raw_bodies AS r ON r.body_id = p.parent_id
            WHERE p.stream = :stream AND p.page_id > :after ORDER BY p.page_id LIMIT 1";
        let read = || -> rusqlite::Result<Option<(KeptPage, bool)>> {
            let mut statement = self.connection.prepare_cached(sql)?;
            statement
                .query_row(named_params! { ":stream": stream, ":after": after }, |row| {
                    kept_page(stream, row)
                })
                .optional()
        };
        match read().map_err(at(&self.path))? {
            Some((page, false)) => {
                let number = page.page;
                let message = format!("the kept page {number} of stream `{stream}` is damaged");
                let help = "go back to a copy of the archive, or read the stream's windows again";
                Err(Error::new(ErrorKind::Unusable, message).help(help))
            }
            other => Ok(other.map(|(page, _)| page)),
        }
    }
}

impl Tx<'_> {
    /// Keeps a page, in the transaction of its rows.
    pub fn keep_page(
        &self,
        window_key: &WindowKey,
        page: &RawPage,
        first: bool,
        requested_at: &str,
        run: i64,
        now: &str,
    ) -> Result<(), Error> {
        let write = || -> rusqlite::Result<()> {
            let body = self.keep_body(&page.body)?;
            let parent = page.parent.as_ref().map(|parent| self.keep_body(parent)).transpose()?;
            let (start, end) = bounds_text(window_key.window);
            let asked = page.asked.map(|asked| bounds_text(Some(asked)));
            let (from, to) = asked.unzip();
            let sql = "INSERT INTO _windrow_raw_pages
                (stream, partition, start_at, end_at, asked_from, asked_to, first, altered,
                 requested_at, written_at, run_id, parent_id, body_id)
                VALUES (:stream, :partition, :start, :end, :from, :to, :first, :altered,
                :requested_at, :now, :run, :parent, :body)";
            self.connection.prepare_cached(sql)?.execute(named_params! {
                ":stream": window_key.stream,
                ":partition": window_key.partition,
                ":start": start,
                ":end": end,
                ":from": from,
                ":to": to,
                ":first": first,
                ":altered": page.altered,
                ":requested_at": requested_at,
                ":now": now,
                ":run": run,
                ":parent": parent,
                ":body": body,
            })?;
            Ok(())
        };
        write().map_err(at(&self.path))
    }

    fn keep_body(&self, body: &Packed) -> rusqlite::Result<i64> {
        let sql = "SELECT body_id FROM _windrow_raw_bodies WHERE sha256 = :sha256";
        let mut known = self.connection.prepare_cached(sql)?;
        if let Some(id) =
            known.query_row(named_params! { ":sha256": &body.sha256 }, only).optional()?
        {
            return Ok(id);
        }
        let sql = "INSERT INTO _windrow_raw_bodies (sha256, bytes, body) VALUES (:sha256, :bytes,
            :body)";
        let values =
            named_params! { ":sha256": body.sha256, ":bytes": body.bytes, ":body": body.body };
        self.connection.prepare_cached(sql)?.execute(values)?;
        Ok(self.connection.last_insert_rowid())
    }
}

impl Reader {
    /// What is kept of a stream beside its rows.
    pub fn kept(&self, stream: &str) -> Result<Kept, Error> {
        let read = || -> rusqlite::Result<Kept> {
            let sql = "SELECT (SELECT count(*) FROM _windrow_raw_pages WHERE stream =
                :stream) AS pages,
                (SELECT coalesce(sum(length(body)), 0) FROM _windrow_raw_bodies WHERE body_id IN
                    (SELECT body_id FROM _windrow_raw_pages WHERE stream = :stream)) AS bytes,
                EXISTS (SELECT 1 FROM _windrow_rebuilds WHERE stream = :stream) AS table_aside";
            let mut statement = self.connection.prepare_cached(sql)?;
            statement.query_row(named_params! { ":stream": stream }, |row| {
                Ok(Kept {
                    pages: row.get("pages")?,
                    bytes: row.get("bytes")?,
                    table_aside: row.get("table_aside")?,
                })
            })
        };
        read().map_err(at(&self.path))
    }
}

/// A page, and whether it is what was kept.
fn kept_page(stream: &str, row: &Row<'_>) -> rusqlite::Result<(KeptPage, bool)> {
    let text = |name: &str| -> rusqlite::Result<String> {
        Ok(row.get::<_, Option<String>>(name)?.unwrap_or_default())
    };
    let body = unpack(row, ["body_sha256", "body_bytes", "body"])?;
    let parent = match row.get_ref("parent_sha256")? {
        rusqlite::types::ValueRef::Null => Some(BTreeMap::new()),
        _ => unpack(row, ["parent_sha256", "parent_bytes", "parent"])?
            .and_then(|text| parent_from_text(&text)),
    };
    let whole = body.is_some() && parent.is_some();
    let page = KeptPage {
        page: row.get("page_id")?,
        window_key: WindowKey {
            stream: stream.to_owned(),
            partition: row.get("partition")?,
            window: window_of(&text("start_at")?, &text("end_at")?),
        },
        asked: window_of(&text("asked_from")?, &text("asked_to")?),
        parent: parent.unwrap_or_default(),
        first: row.get("first")?,
        altered: row.get("altered")?,
        written_at: row.get("written_at")?,
        run: row.get("run_id")?,
        body: body.unwrap_or_default(),
    };
    Ok((page, whole))
}

/// The text whose hash, length and packed bytes stand in these columns; none where they do not
/// belong together.
fn unpack(row: &Row<'_>, [sha256, bytes, body]: [&str; 3]) -> rusqlite::Result<Option<String>> {
    let (sha256, bytes): (String, u64) = (row.get(sha256)?, row.get(bytes)?);
    let room = usize::try_from(bytes.min(BODY_BYTES_LIMIT)).unwrap_or(usize::MAX);
    let unpacked = zstd::bulk::decompress(row.get_ref(body)?.as_blob()?, room);
    let whole = unpacked.ok().filter(|text| hexadecimal(&Sha256::digest(text)) == sha256);
    Ok(whole.and_then(|text| String::from_utf8(text).ok()))
}

/// A parent row as JSON, exactly: doubles as text.
fn parent_text(parent: &BTreeMap<String, Scalar>) -> String {
    let value = |scalar: &Scalar| match scalar {
        Scalar::Null => Value::Null,
        Scalar::Integer(number) => Value::from(*number),
        Scalar::Real(number) => serde_json::json!({ "real": format!("{number:e}") }),
        Scalar::Text(text) => Value::from(text.as_str()),
    };
    let members = parent.iter().map(|(name, scalar)| (name.clone(), value(scalar)));
    Value::Object(members.collect()).to_string()
}

/// Reads what [`parent_text`] wrote.
fn parent_from_text(text: &str) -> Option<BTreeMap<String, Scalar>> {
    let members: Map<String, Value> = serde_json::from_str(text).ok()?;
    let scalar = |value: &Value| match value {
        Value::Null => Some(Scalar::Null),
        Value::Number(number) => number.as_i64().map(Scalar::Integer),
        Value::String(text) => Some(Scalar::Text(text.clone())),
        Value::Object(real) => Some(Scalar::Real(real.get("real")?.as_str()?.parse().ok()?)),
        _ => None,
    };
    members.iter().map(|(name, value)| Some((name.clone(), scalar(value)?))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Command, Timestamp};
    use crate::store::Archive;
    use crate::store::runs::RunStart;
    use crate::store::table::tests::{archive_with, usage_shape};

    fn kept() -> (tempfile::TempDir, Archive, i64) {
        let (folder, archive) = archive_with(&usage_shape());
        let now = Timestamp::UNIX_EPOCH;
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        (folder, archive, run)
    }

    fn window_key() -> WindowKey {
        let at = |second| chrono::DateTime::from_timestamp(second, 0).expect("in range");
        let window = Window::new(at(0), at(60));
        WindowKey { stream: "usage".into(), partition: "\"a\"".into(), window }
    }

    #[test]
    fn a_page_comes_back_as_it_was_kept_and_a_body_is_kept_once() {
        let (_folder, archive, run) = kept();
        let window_key = window_key();
        let parent: BTreeMap<String, Scalar> = [
            ("a", Scalar::Real(0.1 + 0.2)),
            ("b", Scalar::Integer(i64::MIN)),
            ("c", Scalar::Text("\u{e9}\0".into())),
            ("d", Scalar::Null),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        let page = RawPage::pack("[1, 2]", false, window_key.window, &parent);
        for first in [true, false] {
            archive
                .transaction(|tx| tx.keep_page(&window_key, &page, first, "then", run, "now"))
                .expect("kept");
        }
        let one = archive.kept_page_after("usage", 0).expect("read").expect("a page");
        let expected = KeptPage {
            page: 1,
            asked: window_key.window,
            window_key,
            parent,
            first: true,
            altered: false,
            written_at: "now".into(),
            run,
            body: "[1, 2]".into(),
        };
        assert_eq!(one, expected);
        let two = archive.kept_page_after("usage", 1).expect("read").expect("another page");
        assert!(!two.first && two.body == one.body);
        assert_eq!(archive.kept_page_after("usage", 2).expect("read"), None);
        assert_eq!(archive.kept_page_after("other", 0).expect("read"), None);
        let reader = Reader::open(archive.path()).expect("a reader");
        let size = reader.kept("usage").expect("a size");
        assert_eq!((size.pages, size.bytes), (2, page.body.body.len() as u64));
    }

    #[test]
    fn a_page_that_is_not_what_was_kept_is_told_and_never_read() {
        let (_folder, archive, run) = kept();
        let page = RawPage::pack("[1, 2]", false, None, &BTreeMap::new());
        archive
            .transaction(|tx| tx.keep_page(&window_key(), &page, true, "then", run, "now"))
            .expect("kept");
        let other = Packed::new("[1, 3]").body;
        for body in [other, b"junk".to_vec()] {
            let sql = "UPDATE _windrow_raw_bodies SET body = ?1";
            archive.connection.execute(sql, [body]).expect("damaged");
            let error = archive.kept_page_after("usage", 0).expect_err("damaged");
            assert_eq!(error.kind, ErrorKind::Unusable);
        }
    }
}
