//! What an archive's own tables tell of how it came to be: what a hand-off's manifest says is held
//! against it.

use rusqlite::{Connection, OptionalExtension, named_params};

use crate::model::{Error, HandoffDirection};
use crate::store::reader::Reader;
use crate::store::row::only;

/// Streams whose marks are looked at; no archive has as many.
const STREAMS_MAX: usize = 10_000;

/// What the tables of an archive tell of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Traces {
    /// Rows of the manifest's table.
    pub manifests: u64,
    /// The format that the file has.
    pub format: i32,
    /// How it was made, where it is a copy that was handed off.
    pub copied: Option<Copied>,
    /// All runs in the file, also those of other archives.
    pub runs: u64,
    /// Runs that ran in this very archive, under the id that it has now.
    pub own_runs: u64,
    /// Senders of its outbox: a copy is given none.
    pub senders: u64,
    /// Whether parts may have been in it before it was given: it had taken archives in, or was a
    /// hand-off itself.
    pub mixed: bool,
    /// Whether its ledger proves anything.
    pub proves: bool,
    /// Whether a ledger lies aside: it is a part of streams.
    pub lies_aside: bool,
    /// Pages that hold nothing that counts.
    pub free_pages: u64,
    /// The pieces in which marks of rows lie.
    pub marks: Vec<MarksOf>,
}

/// How a copy was made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Copied {
    pub handoff_id: String,
    pub at: String,
}

/// The marks of a stream's rows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarksOf {
    pub stream: String,
    /// In how many pieces they lie.
    pub chunks: u64,
    /// The number of the last piece.
    pub last: i64,
    /// The bytes of all pieces together.
    pub bytes: u64,
}

impl Traces {
    /// Whether it must be a hand-off to which nothing has been written since: it was named by one,
    /// or nothing that is in it ran under its name.
    pub fn was_just_given(&self) -> bool {
        let is_worked_in = self.own_runs > 0 || self.senders > 0;
        !self.marks.is_empty() || !is_worked_in && (self.copied.is_some() || self.runs > 0)
    }
}

impl Reader {
    /// Looks at what the tables tell of the archive.
    pub fn traces(&self) -> Result<Traces, Error> {
        self.run(|connection| {
            let own = "SELECT value FROM _windrow_meta WHERE name = 'archive_id'";
            let number =
                |sql: &str| -> rusqlite::Result<u64> { connection.query_row(sql, [], only) };
            let any = |sql: &str| number(&format!("SELECT EXISTS ({sql})")).map(|any| any > 0);
            let copied =
                format!("SELECT handoff_id, at FROM _windrow_lineage WHERE archive_id = ({own})");
            let copied = connection
                .query_row(&copied, [], |row| {
                    Ok(Copied { handoff_id: row.get("handoff_id")?, at: row.get("at")? })
                })
                .optional()?;
            let format = connection.query_row("PRAGMA user_version", [], only)?;
            Ok(Traces {
                manifests: number("SELECT count(*) FROM _windrow_manifest")?,
                format,
                copied,
                runs: number("SELECT count(*) FROM _windrow_runs")?,
                own_runs: number(&format!(
                    "SELECT count(*) FROM _windrow_runs WHERE archive_id = ({own})"
                ))?,
                senders: number("SELECT count(*) FROM _windrow_outbox_senders")?,
                mixed: connection
                    .prepare(&format!(
                        "SELECT 1 FROM _windrow_lineage WHERE archive_id <> ({own})
                         UNION ALL SELECT 1 FROM _windrow_handoffs WHERE direction = :taken"
                    ))?
                    .exists(named_params! { ":taken": HandoffDirection::Taken.as_str() })?,
                proves: any("SELECT 1 FROM _windrow_ledger")?,
                lies_aside: any("SELECT 1 FROM _windrow_part_ledger")?,
                free_pages: number("SELECT freelist_count FROM pragma_freelist_count")?,
                marks: marks(connection)?,
            })
        })
    }

    /// Whether a piece of the marks of a stream's rows is this one.
    pub fn has_row_marks(&self, stream: &str, chunk: i64, marks: &[u8]) -> Result<bool, Error> {
        self.run(|connection| {
            // A length is known without reading what may be far too long.
            let sql = "SELECT 1 FROM _windrow_manifest_marks
                WHERE stream = :stream AND chunk = :chunk AND iif(length(marks) = :length,
                marks = :marks, 0)";
            connection.prepare_cached(sql)?.exists(named_params! {
                ":stream": stream,
                ":chunk": chunk,
                ":marks": marks,
                ":length": marks.len(),
            })
        })
    }

    /// How many runs, up to the one of this number where there is one, have done nothing to the
    /// stream that is lacking; and how many beyond it have. Runs of which a merge has brought
    /// something beyond it are given as a whole.
    pub fn lacks_beside(&self, stream: &str, up_to: Option<i64>) -> Result<(u64, u64), Error> {
        self.run(|connection| {
            let sql = "SELECT count(*) FILTER (WHERE l.run_id IS NULL AND r.run_id <= :up_to
                        AND NOT coalesce(r.merged_by > :up_to, 0)) AS done,
                    count(*) FILTER (WHERE l.run_id IS NOT NULL AND r.run_id > :up_to) AS lacking
                FROM _windrow_runs AS r
                LEFT JOIN _windrow_missing_runs AS l ON l.run_id = r.run_id AND l.stream = :stream";
            let up_to = up_to.unwrap_or(i64::MAX);
            connection.query_row(sql, named_params! { ":stream": stream, ":up_to": up_to }, |row| {
                Ok((row.get("done")?, row.get("lacking")?))
            })
        })
    }
}

fn marks(connection: &Connection) -> rusqlite::Result<Vec<MarksOf>> {
    let sql = "SELECT stream, count(*) AS chunks, max(chunk) AS last, sum(length(marks)) AS bytes
        FROM _windrow_manifest_marks GROUP BY stream ORDER BY stream";
    let mut statement = connection.prepare(&format!("{sql} LIMIT {STREAMS_MAX}"))?;
    let rows = statement.query_map([], |row| {
        Ok(MarksOf {
            stream: row.get("stream")?,
            chunks: row.get("chunks")?,
            last: row.get("last")?,
            bytes: row.get("bytes")?,
        })
    })?;
    rows.collect()
}
