//! The union of two ledgers, partition by partition: what the other has proven is proven here once
//! its rows are here, which they are.

use std::cmp::Ordering;

use rusqlite::{named_params, params_from_iter};

use crate::merge::{LedgerOrigin, LedgerSpan, UnitedSpan};
use crate::store::DISBELIEVED;
use crate::store::value::Value;

use crate::merge::copy::{Copy, number, text};
use crate::merge::tables::Taking;
use crate::model::Error;

/// Unites this archive's fetches of one partition with the other's.
pub type Unite<'u> = dyn Fn(&[LedgerSpan], &[LedgerSpan]) -> Vec<UnitedSpan> + 'u;

/// How a ledger is united.
pub struct LedgerOf<'u> {
    pub unite: &'u Unite<'u>,
    /// Marks of cursor streams: the greater has seen more.
    pub order_marks: &'u dyn Fn(&str, &str) -> Ordering,
}

/// What is proven now that was not before.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Gained {
    /// Partition, first instant and the one after the last, in order.
    pub spans: Vec<(String, String, String)>,
    /// Snapshots and marks that were not here, or are later now.
    pub fetches: u64,
}

/// Facts of a whole window, which are not known of its pieces.
const OF_THE_WHOLE: [&str; 6] =
    ["token", "distinct_keys", "source_total", "asked_from", "last_records", "previous_records"];
const DONE: &str = "state IN ('complete', 'settled')";

/// The complete windows of a partition.
struct LedgerSide {
    spans: Vec<LedgerSpan>,
    rows: Vec<Vec<Value>>,
}

impl Taking<'_> {
    /// Takes what the other's ledger proves of a stream. After its rows.
    pub fn take_ledger(&self, stream: &str, of: &LedgerOf<'_>) -> Result<Gained, Error> {
        let take = || -> rusqlite::Result<Gained> {
            self.take_disputed(stream)?;
            let mut gained = Gained::default();
            let sql = format!(
                "SELECT DISTINCT partition FROM _windrow_ledger WHERE stream = :stream AND {DONE}
                 ORDER BY 1"
            );
            let mut statement = self.theirs.prepare(&sql)?;
            let mut rows = statement.query(named_params! { ":stream": stream })?;
            while let Some(row) = rows.next()? {
                self.unite_partition(stream, &row.get::<_, String>("partition")?, of, &mut gained)?;
            }
            Ok(gained)
        };
        take().map_err(self.wrong())
    }

    fn take_disputed(&self, stream: &str) -> rusqlite::Result<()> {
        let copy = Copy::of(self.ours(), "_windrow_disputed", "stream = :stream")?;
        let whose = named_params! { ":stream": stream };
        copy.each(self.theirs, whose, &mut |row| self.put_disputed(&row))
    }

    fn put_disputed(&self, row: &[Value]) -> rusqlite::Result<()> {
        let sql = "INSERT INTO _windrow_disputed (stream, partition, start_at, end_at, read_at)
            VALUES (?, ?, ?, ?, ?) ON CONFLICT (stream, partition, start_at, end_at)
            DO UPDATE SET read_at = excluded.read_at WHERE excluded.read_at > read_at";
        self.ours().prepare_cached(sql)?.execute(params_from_iter(row)).map(|_| ())
    }

    fn unite_partition(
        &self,
        stream: &str,
        partition: &str,
        of: &LedgerOf<'_>,
        gained: &mut Gained,
    ) -> rusqlite::Result<()> {
        let copy = Copy::of(
            self.ours(),
            "_windrow_ledger",
            &format!("stream = :stream AND partition = :partition AND start_at <> '' AND {DONE}"),
        )?;
        let ours = LedgerSide::read(&copy, self.ours(), [stream, partition], &|_| {})?;
        let believe = |row: &mut [Value]| self.disbelieve(&copy, row);
        let theirs = LedgerSide::read(&copy, self.theirs, [stream, partition], &believe)?;
        let united = (of.unite)(&ours.spans, &theirs.spans);
        let is_whole = |piece: &UnitedSpan| match piece.of {
            LedgerOrigin::Ours(n) => ours.spans[n] == piece.span,
            LedgerOrigin::Theirs(_) => false,
        };
        let whole: Vec<usize> = united
            .iter()
            .filter(|piece| is_whole(piece))
            .map(|piece| match piece.of {
                LedgerOrigin::Ours(n) | LedgerOrigin::Theirs(n) => n,
            })
            .collect();
        let place = [stream, partition];
        for (n, span) in ours.spans.iter().enumerate() {
            if !whole.contains(&n) {
                let sql = "DELETE FROM _windrow_ledger WHERE stream = :stream
                    AND partition = :partition AND start_at = :start AND end_at = :end";
                let values = named_params! {
                    ":stream": stream,
                    ":partition": partition,
                    ":start": span.start,
                    ":end": span.end,
                };
                self.ours().prepare_cached(sql)?.execute(values)?;
            }
        }
        for piece in united.iter().filter(|piece| !is_whole(piece)) {
            self.clear_broken_off(place, &piece.span)?;
            let (row, span, is_ours) = match piece.of {
                LedgerOrigin::Ours(n) => (&ours.rows[n], &ours.spans[n], true),
                LedgerOrigin::Theirs(n) => (&theirs.rows[n], &theirs.spans[n], false),
            };
            let mut row = row.clone();
            if !is_ours {
                let run = copy.place("run_id");
                row[run] = Value::Integer(self.known(number(&row[run])).run);
            }
            write_piece(&copy, &mut row, span, &piece.span);
            copy.put(self.tx(), &row)?;
        }
        gained.add(partition, &ours.spans, &united);
        self.unite_single(stream, partition, of, gained)
    }

    /// A fetch of the other's by a clock that ran ahead is of a time that is not believed, and may
    /// have been made too early for its window to be settled.
    fn disbelieve(&self, copy: &Copy, row: &mut [Value]) {
        let is_believed = self.known(number(&row[copy.place("run_id")])).read.is_believed();
        if is_believed || number(&row[copy.place("dated_by_source")]) != 0 {
            return;
        }
        row[copy.place("requested_at")] = Value::Text(DISBELIEVED.to_owned());
        let state = copy.place("state");
        if text(&row[state]) == "settled" {
            row[state] = Value::Text("complete".to_owned());
        }
    }

    /// Fetches that were broken off go where a complete one covers them now.
    fn clear_broken_off(&self, place: [&str; 2], span: &LedgerSpan) -> rusqlite::Result<()> {
        let sql = "DELETE FROM _windrow_ledger WHERE stream = :stream
            AND partition = :partition AND start_at <> '' AND start_at < :read_to
            AND end_at > :start AND state IN ('partial', 'truncated')";
        let values = named_params! {
            ":stream": place[0],
            ":partition": place[1],
            ":start": span.start,
            ":read_to": span.read_to,
        };
        self.ours().prepare_cached(sql)?.execute(values).map(|_| ())
    }

    /// A snapshot, or the mark of a cursor: the later fetch, and the greater mark.
    fn unite_single(
        &self,
        stream: &str,
        partition: &str,
        of: &LedgerOf<'_>,
        gained: &mut Gained,
    ) -> rusqlite::Result<()> {
        let condition = "stream = :stream AND partition = :partition AND start_at = ''";
        let copy = Copy::of(self.ours(), "_windrow_ledger", condition)?;
        let (mut ours, mut theirs) = (None, None);
        let (state, cursor) = (copy.place("state"), copy.place("cursor"));
        let (requested, dated_by_source) =
            (copy.place("requested_at"), copy.place("dated_by_source"));
        let done = |row: &Vec<Value>| matches!(text(&row[state]), "complete" | "settled");
        let which = named_params! { ":stream": stream, ":partition": partition };
        copy.each(self.ours(), which, &mut |row| {
            ours = Some(row);
            Ok(())
        })?;
        copy.each(self.theirs, which, &mut |mut row| {
            self.disbelieve(&copy, &mut row);
            theirs = Some(row).filter(done);
            Ok(())
        })?;
        let Some(mut theirs) = theirs else { return Ok(()) };
        let run = copy.place("run_id");
        theirs[run] = Value::Integer(self.known(number(&theirs[run])).run);
        let Some(ours) = ours else {
            gained.fetches += 1;
            return copy.put(self.tx(), &theirs).map(|_| ());
        };
        let later =
            |row: &[Value]| (text(&row[requested]).to_owned(), number(&row[dated_by_source]));
        let is_later = !done(&ours) || later(&theirs) > later(&ours);
        let mark = match (&ours[cursor], &theirs[cursor]) {
            (Value::Text(one), Value::Text(other)) => {
                let greater = (of.order_marks)(one, other) == Ordering::Less;
                if greater { theirs[cursor].clone() } else { ours[cursor].clone() }
            }
            (Value::Null, theirs) => theirs.clone(),
            (ours, _) => ours.clone(),
        };
        let mut united = if is_later { theirs } else { ours.clone() };
        united[cursor] = mark;
        if united == ours {
            return Ok(());
        }
        gained.fetches += 1;
        let sql = format!("DELETE FROM _windrow_ledger WHERE {condition}");
        self.ours().prepare_cached(&sql)?.execute(which)?;
        copy.put(self.tx(), &united).map(|_| ())
    }

    /// Notes that what was read of the window around an instant is in doubt: the other's complete
    /// fetches that hold it, where they are later than `after`; or this archive's own.
    pub(crate) fn doubt(
        &self,
        stream: &str,
        instant: &str,
        after: &str,
        of_theirs: bool,
    ) -> rusqlite::Result<()> {
        let sql = format!(
            "SELECT stream, partition, start_at, end_at, requested_at, run_id
             FROM _windrow_ledger AS l
             WHERE stream = :stream AND start_at <= :instant
                AND coalesce(read_to, end_at) > :instant AND requested_at > :after AND {DONE}"
        );
        let (loser, winner) = match of_theirs {
            true => (self.theirs, self.ours()),
            false => (self.ours(), self.theirs),
        };
        let later = format!(
            "SELECT 1 FROM _windrow_ledger WHERE stream = :stream AND partition = :partition
                AND start_at <= :instant AND coalesce(read_to, end_at) > :instant
                AND requested_at >= :read_at AND {DONE}"
        );
        let mut statement = loser.prepare_cached(&sql)?;
        let mut rows = statement
            .query(named_params! { ":stream": stream, ":instant": instant, ":after": after })?;
        while let Some(row) = rows.next()? {
            let run: Option<i64> = row.get("run_id")?;
            if of_theirs && !self.known(run.unwrap_or_default()).read.is_believed() {
                continue;
            }
            let values: Vec<Value> = (0..5).map(|n| row.get(n)).collect::<rusqlite::Result<_>>()?;
            let (partition, read_at) = (text(&values[1]), text(&values[4]));
            let own = winner.prepare_cached(&later)?.exists(named_params! {
                ":stream": stream,
                ":partition": partition,
                ":instant": instant,
                ":read_at": read_at,
            })?;
            if !own {
                self.put_disputed(&values)?;
            }
        }
        Ok(())
    }
}

impl LedgerSide {
    fn read(
        copy: &Copy,
        connection: &rusqlite::Connection,
        [stream, partition]: [&str; 2],
        correct: &dyn Fn(&mut [Value]),
    ) -> rusqlite::Result<LedgerSide> {
        let mut side = LedgerSide { spans: Vec::new(), rows: Vec::new() };
        let place = |name: &str| copy.place(name);
        let (start, end) = (place("start_at"), place("end_at"));
        let (state, read_to) = (place("state"), place("read_to"));
        let (requested, dated_by_source) = (place("requested_at"), place("dated_by_source"));
        copy.each(connection, [stream, partition], &mut |mut row| {
            correct(&mut row);
            let (from, to) = (text(&row[start]).to_owned(), text(&row[end]).to_owned());
            let reached = match &row[read_to] {
                Value::Text(read_to) => read_to.clone(),
                _ => to.clone(),
            };
            side.spans.push(LedgerSpan {
                read_to: reached.min(to.clone()).max(from.clone()),
                start: from,
                end: to,
                settled: text(&row[state]) == "settled",
                requested_at: text(&row[requested]).to_owned(),
                dated_by_source: number(&row[dated_by_source]) != 0,
            });
            side.rows.push(row);
            Ok(())
        })?;
        Ok(side)
    }
}

/// A row of the ledger as a piece of what it was.
fn write_piece(copy: &Copy, row: &mut [Value], was: &LedgerSpan, piece: &LedgerSpan) {
    let mut set = |name: &str, text: &str| row[copy.place(name)] = Value::Text(text.to_owned());
    set("start_at", &piece.start);
    set("end_at", &piece.end);
    set("read_to", &piece.read_to);
    set("state", if piece.settled { "settled" } else { "complete" });
    if (&was.start, &was.end) != (&piece.start, &piece.end) {
        for name in OF_THE_WHOLE {
            row[copy.place(name)] = Value::Null;
        }
    }
}

impl Gained {
    /// What the union covers and this archive's own fetches did not.
    fn add(&mut self, partition: &str, ours: &[LedgerSpan], united: &[UnitedSpan]) {
        for piece in united {
            let LedgerOrigin::Theirs(_) = piece.of else { continue };
            let mut from = piece.span.start.clone();
            let end = &piece.span.read_to;
            let mut covered: Vec<&LedgerSpan> = ours
                .iter()
                .filter(|span| span.start < *end && *span.covered_to() > *from)
                .collect();
            covered.sort_by(|one, other| one.start.cmp(&other.start));
            for span in covered {
                self.push(partition, &from, &span.start);
                from = from.max(span.covered_to().to_owned());
            }
            self.push(partition, &from, end);
        }
    }

    /// Spans that touch are one.
    fn push(&mut self, partition: &str, from: &str, to: &str) {
        if from >= to {
            return;
        }
        match self.spans.last_mut() {
            Some((of, _, end)) if of == partition && end == from => to.clone_into(end),
            _ => self.spans.push((partition.to_owned(), from.to_owned(), to.to_owned())),
        }
    }
}
