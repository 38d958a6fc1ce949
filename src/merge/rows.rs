//! Row by row through the other archive's table: what is not here is put here, what is equal is
//! left, and of two contents the greater stands and the other is kept.

use std::cell::RefCell;
use std::cmp::Ordering;

use rusqlite::named_params;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Row, params_from_iter};

use crate::definition::Scalar;
use crate::merge::stream_policy::MergePolicy;
use crate::merge::{ReadBy, RowClaim};
use crate::store::read::scalar;
use crate::store::sql::quote;
use crate::store::value::Value;

use crate::merge::fill::Fills;
use crate::merge::shape::Pair;
use crate::merge::tables::Taking;
use crate::model::Error;
use crate::store::content::Content;
use crate::store::row::only;

/// Keys of rows in conflict that are told one by one: enough to look some up; all are counted.
const KEYS_TOLD_MAX: usize = 5;

/// What became of the other archive's rows of one stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct RowCounts {
    /// Rows that were not here.
    pub inserted: u64,
    /// Rows in whose place the other's stand now.
    pub replaced: u64,
    /// Rows that stand here against the other's.
    pub kept: u64,
    /// Rows that say the same.
    pub equal: u64,
    /// Rows that the other knows to be gone, and are gone now.
    pub deleted: u64,
    /// Of the replaced and the kept: those between which no version decided.
    pub conflicts: u64,
    /// The keys of some of these, as SQL literals.
    pub conflict_keys: Vec<String>,
}

impl RowCounts {
    /// Rows that the other archive had: the sum of the five counts.
    pub fn seen(&self) -> u64 {
        self.inserted + self.replaced + self.kept + self.equal + self.deleted
    }
}

/// A row as it was read.
pub(crate) struct FoundRow {
    /// The columns that say something.
    pub values: Vec<Value>,
    pub first_seen_at: String,
    pub changed_at: String,
    pub revision: i64,
    pub run: i64,
    pub rowid: i64,
}

impl FoundRow {
    /// Reads the `width` values of a row, and windrow's own columns behind them.
    pub fn of(row: &Row<'_>, width: usize) -> rusqlite::Result<Self> {
        let values = (0..width).map(|n| row.get::<_, Value>(n));
        Ok(Self {
            values: values.collect::<rusqlite::Result<_>>()?,
            first_seen_at: row.get(width)?,
            changed_at: row.get(width + 1)?,
            revision: row.get(width + 2)?,
            run: row.get(width + 3)?,
            rowid: row.get(width + 4)?,
        })
    }
}

/// Two rows whose contents differ.
struct Meeting {
    ours: FoundRow,
    theirs: FoundRow,
    /// What the losing one says is kept under this.
    our_content: Content,
    their_content: Content,
    key: String,
}

/// What is true of a whole stream, so that most rows need not be asked about.
struct Scan<'j> {
    /// What is read of the other's table.
    their_list: String,
    /// How columns are filled that its table lacks.
    fills: Option<Fills<'j>>,
    /// Whether this archive has seen later fetches of rows.
    confirmed: bool,
    their_confirmed: bool,
    /// Whether this archive knows of rows that are gone.
    gone: bool,
    /// Whether contents are kept that have lost.
    superseded: bool,
    insert: String,
    counts: RefCell<RowCounts>,
}

impl Taking<'_> {
    /// Takes the rows of a stream in the order in which they lie, one at a time.
    pub fn take_rows(&self, pair: &Pair, judge: &MergePolicy<'_>) -> Result<RowCounts, Error> {
        self.each_row(pair, judge).map_err(self.wrong())
    }

    fn each_row(&self, pair: &Pair, judge: &MergePolicy<'_>) -> rusqlite::Result<RowCounts> {
        let scan = self.scan(pair, judge)?;
        let (table, width) = (quote(&pair.stream), pair.columns.len());
        let all = format!("SELECT {} FROM main.{table} ORDER BY _rowid_", scan.their_list);
        let one = format!("SELECT {} FROM main.{table} WHERE {}", pair.our_list(), pair.by_key(1));
        let mut all = self.theirs.prepare(&all)?;
        let mut one = self.ours().prepare(&one)?;
        let key = pair.key_places();
        let mut rows = all.query([])?;
        while let Some(theirs) = rows.next()? {
            for (parameter, place) in key.iter().enumerate() {
                let value = ToSqlOutput::Borrowed(theirs.get_ref(*place)?);
                one.raw_bind_parameter(parameter + 1, value)?;
            }
            let mut found = one.raw_query();
            match found.next()? {
                None => {
                    drop(found);
                    self.meet_none(pair, judge, &scan, scan.found(theirs, width)?)?;
                }
                Some(ours) if scan.fills.is_some() => {
                    let (ours, theirs) = (FoundRow::of(ours, width)?, scan.found(theirs, width)?);
                    drop(found);
                    if says_same(pair, &ours.values, &theirs.values) {
                        self.meet_equal(pair, judge, &scan, &ours, &theirs)?;
                    } else {
                        self.meet_other(pair, judge, &scan, ours, theirs)?;
                    }
                }
                Some(ours) if are_equal(pair, ours, theirs)? => {
                    let same = [ours.get::<_, i64>(width + 3)?, theirs.get(width + 3)?];
                    let seen = theirs.get_ref(width)?.as_str()? < ours.get_ref(width)?.as_str()?;
                    let plain = !scan.confirmed && !scan.their_confirmed;
                    if !seen && plain && self.known(same[1]).run == same[0] {
                        scan.counts.borrow_mut().equal += 1;
                        continue;
                    }
                    let (ours, theirs) = (FoundRow::of(ours, width)?, FoundRow::of(theirs, width)?);
                    drop(found);
                    self.meet_equal(pair, judge, &scan, &ours, &theirs)?;
                }
                Some(ours) => {
                    let (ours, theirs) = (FoundRow::of(ours, width)?, FoundRow::of(theirs, width)?);
                    drop(found);
                    self.meet_other(pair, judge, &scan, ours, theirs)?;
                }
            }
        }
        Ok(scan.counts.into_inner())
    }

    fn scan<'j>(&self, pair: &Pair, judge: &'j MergePolicy<'j>) -> rusqlite::Result<Scan<'j>> {
        let stream = &pair.stream;
        let any = |connection: &rusqlite::Connection, table: &str, more: &str| {
            let sql = format!("SELECT 1 FROM {table} WHERE stream = :stream {more} LIMIT 1");
            connection.prepare(&sql)?.exists(named_params! { ":stream": stream })
        };
        let width = pair.columns.len();
        let parameters: Vec<String> = (1..=width + 4).map(|n| format!("?{n}")).collect();
        let (their_list, fills) = pair.their_side(self.theirs, stream, judge)?;
        Ok(Scan {
            their_list,
            fills,
            confirmed: any(self.ours(), "_windrow_confirmed", "")?,
            their_confirmed: any(self.theirs, "_windrow_confirmed", "")?,
            gone: any(self.ours(), "_windrow_vanished", "AND state = 'deleted'")?,
            superseded: any(self.ours(), "_windrow_superseded", "")?
                || any(self.theirs, "_windrow_superseded", "")?,
            insert: format!(
                "INSERT INTO main.{} ({}, \"_first_seen_at\", \"_changed_at\", \"_revision\", \
                 \"_run\") VALUES ({})",
                quote(stream),
                pair.names(),
                parameters.join(", ")
            ),
            counts: RefCell::default(),
        })
    }

    /// There is no row of this key here; perhaps it is known to be gone.
    fn meet_none(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        scan: &Scan<'_>,
        theirs: FoundRow,
    ) -> rusqlite::Result<()> {
        if scan.gone
            && let Some(gone) = self.our_deletion(pair, judge, &theirs.values)?
        {
            let key = self.key_text(pair, &theirs.values)?;
            let (content, claim) = self.their_claim(pair, scan, &key, &theirs)?;
            if judge.order(&gone.claim, &claim) == Ordering::Greater {
                scan.counts.borrow_mut().kept += 1;
                return self.keep_their_loser(pair, judge, theirs, &content, &key);
            }
            self.forget_deletion(pair, &key)?;
            self.insert(pair, scan, &theirs)?;
            self.recut(pair, judge, &theirs.values)?;
            return Ok(());
        }
        self.insert(pair, scan, &theirs)
    }

    fn insert(&self, pair: &Pair, scan: &Scan<'_>, theirs: &FoundRow) -> rusqlite::Result<()> {
        let known = self.known(theirs.run);
        let own = [
            Value::Text(theirs.first_seen_at.clone()),
            Value::Text(theirs.changed_at.clone()),
            Value::Integer(theirs.revision),
            Value::Integer(known.run),
        ];
        let mut insert = self.ours().prepare_cached(&scan.insert)?;
        insert.execute(params_from_iter(theirs.values.iter().chain(&own)))?;
        self.bring(known.run)?;
        if scan.their_confirmed {
            let key = self.key_text(pair, &theirs.values)?;
            if let Some(run) = confirmed_by(self.theirs, pair, &key, theirs.run)? {
                self.confirm(pair, &key, self.known(run).run, known.run)?;
            }
        }
        scan.counts.borrow_mut().inserted += 1;
        Ok(())
    }

    /// Both say the same: the better fetch speaks for it, and it was seen first when it was.
    fn meet_equal(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        scan: &Scan<'_>,
        ours: &FoundRow,
        theirs: &FoundRow,
    ) -> rusqlite::Result<()> {
        scan.counts.borrow_mut().equal += 1;
        self.see_first(pair, ours, &theirs.first_seen_at)?;
        let key = self.key_text(pair, &theirs.values)?;
        let (_, our_read) = self.our_fetch(pair, scan, &key, ours)?;
        let (run, their_read) = self.their_fetch(pair, scan, &key, theirs)?;
        if judge.order_fetches(&our_read, &their_read) == Ordering::Less {
            self.confirm(pair, &key, run, ours.run)?;
        }
        Ok(())
    }

    fn meet_other(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        scan: &Scan<'_>,
        ours: FoundRow,
        theirs: FoundRow,
    ) -> rusqlite::Result<()> {
        let key = self.key_text(pair, &theirs.values)?;
        let (their_content, their_claim) = self.their_claim(pair, scan, &key, &theirs)?;
        let our_content = Content::of(&pair.columns, &ours.values);
        let (_, read) = self.our_fetch(pair, scan, &key, &ours)?;
        let our_claim = claim(pair, &ours.values, &our_content, read);
        let theirs_wins = judge.order(&our_claim, &their_claim) == Ordering::Less;
        if our_claim.version == their_claim.version {
            let mut counts = scan.counts.borrow_mut();
            counts.conflicts += 1;
            if counts.conflict_keys.len() < KEYS_TOLD_MAX {
                counts.conflict_keys.push(key.clone());
            }
            // The fetch that has lost may have been made again since, and found the same.
            let (winner, loser) =
                if theirs_wins { (&their_claim, &ours) } else { (&our_claim, &theirs) };
            if let Some(instant) = instant_of(pair, judge, &loser.values) {
                self.doubt(&pair.stream, &instant, &winner.read.read_at, !theirs_wins)?;
            }
        }
        let meeting = Meeting { ours, theirs, our_content, their_content, key };
        if theirs_wins {
            self.replace(pair, judge, scan, meeting)
        } else {
            scan.counts.borrow_mut().kept += 1;
            self.see_first(pair, &meeting.ours, &meeting.theirs.first_seen_at)?;
            let Meeting { theirs, their_content, key, .. } = meeting;
            self.keep_their_loser(pair, judge, theirs, &their_content, &key)
        }
    }

    /// A row was seen first when either archive saw it first.
    fn see_first(&self, pair: &Pair, ours: &FoundRow, first_seen_at: &str) -> rusqlite::Result<()> {
        if first_seen_at >= ours.first_seen_at.as_str() {
            return Ok(());
        }
        let sql = format!(
            "UPDATE main.{} SET \"_first_seen_at\" = :first_seen_at WHERE _rowid_ = :rowid",
            quote(&pair.stream)
        );
        let values = named_params! { ":rowid": ours.rowid, ":first_seen_at": first_seen_at };
        self.ours().prepare_cached(&sql)?.execute(values).map(|_| ())
    }

    /// The other's row takes the place of ours, which is kept.
    fn replace(
        &self,
        pair: &Pair,
        judge: &MergePolicy<'_>,
        scan: &Scan<'_>,
        meeting: Meeting,
    ) -> rusqlite::Result<()> {
        let Meeting { ours, theirs, our_content, their_content, key, .. } = meeting;
        let known = self.known(theirs.run);
        let sets: Vec<String> =
            pair.columns.iter().map(|name| format!("{} = ?", quote(name))).collect();
        let sql = format!(
            "UPDATE main.{} SET \"_first_seen_at\" = ?, \"_changed_at\" = ?, \"_revision\" = ?,
                \"_run\" = ?, {} WHERE _rowid_ = ?",
            quote(&pair.stream),
            sets.join(", ")
        );
        let own = [
            Value::Text(ours.first_seen_at.clone().min(theirs.first_seen_at)),
            Value::Text(theirs.changed_at),
            Value::Integer(ours.revision.max(theirs.revision) + 1),
            Value::Integer(known.run),
        ];
        let mut update = self.ours().prepare_cached(&sql)?;
        let row = Value::Integer(ours.rowid);
        let values = own.iter().chain(&theirs.values).chain(std::iter::once(&row));
        update.execute(params_from_iter(values))?;
        self.bring(known.run)?;
        if scan.confirmed || scan.their_confirmed {
            let forget = "DELETE FROM _windrow_confirmed WHERE stream = :stream AND key = :key";
            self.ours().prepare_cached(forget)?.execute(named_params! {
                ":stream": pair.stream,
                ":key": key,
            })?;
            if let Some(run) = confirmed_by(self.theirs, pair, &key, theirs.run)? {
                self.confirm(pair, &key, self.known(run).run, known.run)?;
            }
        }
        if scan.superseded {
            let sql = "DELETE FROM _windrow_superseded
                WHERE stream = :stream AND key = :key AND sha256 = :digest";
            let values = named_params! {
                ":stream": pair.stream,
                ":key": key,
                ":digest": their_content.digest,
            };
            self.ours().prepare_cached(sql)?.execute(values)?;
        }
        scan.counts.borrow_mut().replaced += 1;
        self.keep_our_loser(pair, judge, ours, &our_content, &key)
    }

    /// Notes that a later fetch has said the same as the row.
    fn confirm(&self, pair: &Pair, key: &str, run: i64, row_run: i64) -> rusqlite::Result<()> {
        let sql = "INSERT INTO _windrow_confirmed (stream, key, run_id, row_run)
            VALUES (:stream, :key, :run, :row_run) ON CONFLICT (stream, key)
            DO UPDATE SET run_id = excluded.run_id, row_run = excluded.row_run";
        let values = named_params! {
            ":stream": &pair.stream,
            ":key": key,
            ":run": run,
            ":row_run": row_run,
        };
        self.ours().prepare_cached(sql)?.execute(values).map(|_| ())
    }

    fn our_fetch(
        &self,
        pair: &Pair,
        scan: &Scan<'_>,
        key: &str,
        row: &FoundRow,
    ) -> rusqlite::Result<(i64, ReadBy)> {
        let asked = scan.confirmed || scan.their_confirmed;
        let by = if asked { confirmed_by(self.ours(), pair, key, row.run)? } else { None };
        let run = by.unwrap_or(row.run);
        Ok((run, (*self.merge.fetch(run)?).clone()))
    }

    /// The run, by its number here.
    fn their_fetch(
        &self,
        pair: &Pair,
        scan: &Scan<'_>,
        key: &str,
        row: &FoundRow,
    ) -> rusqlite::Result<(i64, ReadBy)> {
        let asked = scan.their_confirmed;
        let by = if asked { confirmed_by(self.theirs, pair, key, row.run)? } else { None };
        let known = self.known(by.unwrap_or(row.run));
        Ok((known.run, (*known.read).clone()))
    }

    fn their_claim(
        &self,
        pair: &Pair,
        scan: &Scan<'_>,
        key: &str,
        row: &FoundRow,
    ) -> rusqlite::Result<(Content, RowClaim)> {
        let content = Content::of(&pair.columns, &row.values);
        let (_, read) = self.their_fetch(pair, scan, key, row)?;
        let claim = claim(pair, &row.values, &content, read);
        Ok((content, claim))
    }
}

fn instant_of(pair: &Pair, judge: &MergePolicy<'_>, values: &[Value]) -> Option<String> {
    match &values[pair.field?] {
        Value::Text(text) => judge.instant_of(text),
        _ => None,
    }
}

/// What a row claims.
pub(crate) fn claim(pair: &Pair, values: &[Value], content: &Content, read: ReadBy) -> RowClaim {
    let version = pair.version.map(|at| scalar(ValueRef::from(&values[at])));
    let version = version.unwrap_or(Scalar::Null);
    RowClaim { version, read, digest: content.digest.clone() }
}

impl Scan<'_> {
    /// A row of the other's, with the columns filled that its table lacks.
    fn found(&self, row: &Row<'_>, width: usize) -> rusqlite::Result<FoundRow> {
        let mut found = FoundRow::of(row, width)?;
        if let Some(fills) = &self.fills {
            fills.fill(&mut found.values);
        }
        Ok(found)
    }
}

/// Whether the columns hold the same, and both or none are marked as gone.
fn says_same(pair: &Pair, ours: &[Value], theirs: &[Value]) -> bool {
    pair.columns.iter().zip(ours.iter().zip(theirs)).all(|(name, (one, other))| {
        match name.as_str() {
            crate::store::content::MARK => (*one == Value::Null) == (*other == Value::Null),
            _ => one == other,
        }
    })
}

/// The same of rows that were not read yet.
fn are_equal(pair: &Pair, ours: &Row<'_>, theirs: &Row<'_>) -> rusqlite::Result<bool> {
    for (at, name) in pair.columns.iter().enumerate() {
        let (one, other) = (ours.get_ref(at)?, theirs.get_ref(at)?);
        let same = match name.as_str() {
            crate::store::content::MARK => (one == ValueRef::Null) == (other == ValueRef::Null),
            _ => one == other,
        };
        if !same {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The run that has read the row again since the run that wrote it.
pub(crate) fn confirmed_by(
    connection: &rusqlite::Connection,
    pair: &Pair,
    key: &str,
    row_run: i64,
) -> rusqlite::Result<Option<i64>> {
    use rusqlite::OptionalExtension;
    let sql = "SELECT run_id FROM _windrow_confirmed
        WHERE stream = :stream AND key = :key AND row_run = :row_run";
    let mut statement = connection.prepare_cached(sql)?;
    let which = named_params! { ":stream": pair.stream, ":key": key, ":row_run": row_run };
    statement.query_row(which, only).optional()
}
