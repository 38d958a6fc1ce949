//! What two archives say differently of one stream: rows in the order of their keys, and what each
//! has read.
//!
//! Both sides are read side by side, a row of each at a time; nothing is gathered here.

use std::cmp::Ordering;

use rusqlite::{Connection, Rows, Statement, named_params};

use crate::model::{Error, Window, instant_from_text};

use crate::history::diff::{Change, RowDifference, Taker};
use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::sql::{live_columns, quote};
use crate::store::value::{Value, owned};

/// When a source took the row away; two archives learn of it at different times.
const DELETED_AT: &str = "_deleted_at";

/// What a stream's ledger proves of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PartitionCoverage {
    /// The parent's key as JSON, or empty.
    pub partition: String,
    /// What complete windows cover, oldest first, those that touch as one.
    pub windows: Vec<Window>,
    /// Whether it was read as a whole, where it has no windows.
    pub whole: bool,
    /// The mark of a cursor stream.
    pub mark: Option<String>,
}

/// Takes what the two sides cover of a partition; none where a side knows nothing of it.
pub type CoverTaker<'t> =
    dyn FnMut(Option<&PartitionCoverage>, Option<&PartitionCoverage>) -> std::io::Result<()> + 't;

impl Reader {
    /// Hands on each row of `stream` that only this archive has (as vanished), that only `other`
    /// has (as inserted), or that the two have with other values (old here, new there), in the
    /// order of their keys. Both tables must have the same `key`. Of windrow's own columns `_rest`
    /// counts, and of `_deleted_at` whether there is a time. Values of columns that only one side
    /// has stand with the rows that only it has.
    pub fn diff_rows(
        &self,
        other: &Reader,
        stream: &str,
        key: &[String],
        take: &mut Taker<'_>,
    ) -> Result<(), Error> {
        let ours = told_columns(self, stream, key)?;
        let theirs = told_columns(other, stream, key)?;
        let common = common_columns(&ours, &theirs);
        let names = |live: &[String]| -> Vec<String> {
            let more = live.iter().filter(|name| !common.contains(name));
            common.iter().chain(more).cloned().collect()
        };
        let (our_names, their_names) = (names(&ours), names(&theirs));
        let mut our_statement = self.prepared(&select(stream, key, &our_names, &ours))?;
        let mut their_statement = other.prepared(&select(stream, key, &their_names, &theirs))?;
        let mut left = RowSide::new(self, &mut our_statement, key, our_names)?;
        let mut right = RowSide::new(other, &mut their_statement, key, their_names)?;
        let mut put = |difference| {
            take(difference).map_err(|error| Error::output("write the answer", &error))
        };
        loop {
            match order(left.row.as_deref(), right.row.as_deref(), key.len()) {
                None => return Ok(()),
                Some(Ordering::Less) => {
                    put(left.taken(Change::Vanished)?)?;
                }
                Some(Ordering::Greater) => {
                    put(right.taken(Change::Inserted)?)?;
                }
                Some(Ordering::Equal) => {
                    if let Some(difference) = both(&left, &right, &common) {
                        put(difference)?;
                    }
                    left.step()?;
                    right.step()?;
                }
            }
        }
    }

    /// Hands on, partition by partition, what the complete windows of the two archives cover.
    pub fn diff_coverage(
        &self,
        other: &Reader,
        stream: &str,
        take: &mut CoverTaker<'_>,
    ) -> Result<(), Error> {
        let mut our_statement = self.prepared(LEDGER)?;
        let mut their_statement = other.prepared(LEDGER)?;
        let mut left = Ledger::new(self, &mut our_statement, stream)?;
        let mut right = Ledger::new(other, &mut their_statement, stream)?;
        let (mut ours, mut theirs) = (left.next()?, right.next()?);
        while ours.is_some() || theirs.is_some() {
            let order = match (&ours, &theirs) {
                (Some(a), Some(b)) => a.partition.cmp(&b.partition),
                (Some(_), None) => Ordering::Less,
                (None, _) => Ordering::Greater,
            };
            let (a, b) = (order.is_le(), order.is_ge());
            let taken = take(ours.as_ref().filter(|_| a), theirs.as_ref().filter(|_| b));
            taken.map_err(|error| Error::output("write the answer", &error))?;
            if a {
                ours = left.next()?;
            }
            if b {
                theirs = right.next()?;
            }
        }
        Ok(())
    }

    fn prepared(&self, sql: &str) -> Result<Statement<'_>, Error> {
        self.connection.prepare(sql).map_err(at(&self.path))
    }
}

/// The columns of a stream's table that are told, without its key.
fn told_columns(reader: &Reader, stream: &str, key: &[String]) -> Result<Vec<String>, Error> {
    let columns = |connection: &Connection| live_columns(connection, stream);
    let columns = columns(&reader.connection).map_err(at(&reader.path))?;
    let told = |name: &String| !name.starts_with('_') || name == "_rest" || name == DELETED_AT;
    let names = columns.into_iter().map(|column| column.name);
    Ok(names.filter(|name| told(name) && !key.contains(name)).collect())
}

/// The columns that both have. Whether rows can be marked as gone is no column of the data, so
/// that one side is enough.
fn common_columns(ours: &[String], theirs: &[String]) -> Vec<String> {
    let shared = ours.iter().filter(|name| theirs.contains(name) && *name != DELETED_AT);
    let marks = ours.iter().chain(theirs).find(|name| *name == DELETED_AT);
    shared.chain(marks).cloned().collect()
}

/// Key and columns; NULL for those that this side does not have.
fn select(stream: &str, key: &[String], names: &[String], live: &[String]) -> String {
    let keys: Vec<String> = key.iter().map(|name| quote(name)).collect();
    let others = names.iter().map(|name| match live.contains(name) {
        true => quote(name),
        false => "NULL".to_owned(),
    });
    let all: Vec<String> = keys.iter().cloned().chain(others).collect();
    let (all, keys) = (all.join(", "), keys.join(", "));
    format!("SELECT {all} FROM main.{} ORDER BY {keys}", quote(stream))
}

/// One of the two tables, and the row that it has come to.
struct RowSide<'s> {
    reader: &'s Reader,
    rows: Rows<'s>,
    key: &'s [String],
    names: Vec<String>,
    row: Option<Vec<Value>>,
}

impl<'s> RowSide<'s> {
    fn new(
        reader: &'s Reader,
        statement: &'s mut Statement<'_>,
        key: &'s [String],
        names: Vec<String>,
    ) -> Result<Self, Error> {
        let rows = statement.query([]).map_err(at(&reader.path))?;
        let mut side = Self { reader, rows, key, names, row: None };
        side.step()?;
        Ok(side)
    }

    fn step(&mut self) -> Result<(), Error> {
        let width = self.key.len() + self.names.len();
        let mut next = || -> rusqlite::Result<Option<Vec<Value>>> {
            let Some(row) = self.rows.next()? else { return Ok(None) };
            (0..width).map(|at| row.get_ref(at).map(owned)).collect::<Result<_, _>>().map(Some)
        };
        self.row = next().map_err(at(&self.reader.path))?;
        Ok(())
    }

    /// The row, which only this side has; and goes on.
    fn taken(
        &mut self,
        change: impl FnOnce(crate::history::diff::NamedValues) -> Change,
    ) -> Result<RowDifference, Error> {
        let mut values = self.row.take().unwrap_or_default().into_iter();
        let key = self.key.iter().cloned().zip(values.by_ref()).collect();
        let change = change(self.names.iter().cloned().zip(values).collect());
        self.step()?;
        Ok(RowDifference { key, change })
    }
}

/// How a row that both have differs.
fn both(left: &RowSide<'_>, right: &RowSide<'_>, common: &[String]) -> Option<RowDifference> {
    let keys = left.key.len();
    let (ours, theirs) = (left.row.as_deref()?, right.row.as_deref()?);
    let pairs = common.iter().zip(ours[keys..].iter().zip(&theirs[keys..]));
    let differs = |name: &str, a: &Value, b: &Value| match name {
        DELETED_AT => (*a == Value::Null) != (*b == Value::Null),
        _ => a != b,
    };
    let columns = pairs
        .filter(|(name, (a, b))| differs(name, a, b))
        .map(|(name, (a, b))| (name.clone(), a.clone(), b.clone()));
    let columns: Vec<_> = columns.collect();
    let key = left.key.iter().cloned().zip(ours.iter().cloned()).collect();
    let change = Change::Changed(Some(columns.clone()));
    (!columns.is_empty()).then_some(RowDifference { key, change })
}

/// Which of two rows comes first; none where both tables have come to their ends.
fn order(a: Option<&[Value]>, b: Option<&[Value]>, keys: usize) -> Option<Ordering> {
    match (a, b) {
        (None, None) => None,
        (Some(_), None) => Some(Ordering::Less),
        (None, Some(_)) => Some(Ordering::Greater),
        (Some(a), Some(b)) => {
            let parts = a[..keys].iter().zip(&b[..keys]).map(|(a, b)| compare(a, b));
            Some(parts.fold(Ordering::Equal, Ordering::then))
        }
    }
}

/// As SQLite orders ("Datatypes In SQLite", section 4.1), with BINARY for texts.
fn compare(a: &Value, b: &Value) -> Ordering {
    let rank = |value: &Value| match value {
        Value::Null => 0,
        Value::Integer(_) | Value::Real(_) => 1,
        Value::Text(_) => 2,
        Value::Blob(_) => 3,
    };
    match (a, b) {
        (Value::Integer(a), Value::Integer(b)) => a.cmp(b),
        (Value::Real(a), Value::Real(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
        (Value::Integer(a), Value::Real(b)) => whole_and_real(*a, *b),
        (Value::Real(a), Value::Integer(b)) => whole_and_real(*b, *a).reverse(),
        (Value::Text(a), Value::Text(b)) => a.as_bytes().cmp(b.as_bytes()),
        (Value::Blob(a), Value::Blob(b)) => a.cmp(b),
        (a, b) => rank(a).cmp(&rank(b)),
    }
}

/// Exact: a double is not bent into 64 bits, nor an integer into 53.
fn whole_and_real(whole: i64, real: f64) -> Ordering {
    const TOO_LARGE: f64 = 9_223_372_036_854_775_808.0;
    if real >= TOO_LARGE {
        return Ordering::Less;
    }
    if real < -TOO_LARGE {
        return Ordering::Greater;
    }
    #[expect(clippy::cast_possible_truncation, reason = "it has just been seen to fit")]
    let floor = real.floor() as i64;
    whole.cmp(&floor).then(if real > real.floor() { Ordering::Less } else { Ordering::Equal })
}

const LEDGER: &str = "SELECT partition, start_at, coalesce(read_to, end_at) AS end_at, cursor
    FROM _windrow_ledger WHERE stream = :stream AND state IN ('complete', 'settled')
    ORDER BY partition, start_at, _windrow_ledger.end_at";

/// The ledger of a stream, a partition at a time.
struct Ledger<'s> {
    reader: &'s Reader,
    rows: Rows<'s>,
    ahead: Option<PartitionCoverage>,
}

impl<'s> Ledger<'s> {
    fn new(
        reader: &'s Reader,
        statement: &'s mut Statement<'_>,
        stream: &str,
    ) -> Result<Self, Error> {
        let rows =
            statement.query(named_params! { ":stream": stream }).map_err(at(&reader.path))?;
        let mut ledger = Self { reader, rows, ahead: None };
        ledger.ahead = ledger.line()?;
        Ok(ledger)
    }

    fn next(&mut self) -> Result<Option<PartitionCoverage>, Error> {
        let Some(mut covered) = self.ahead.take() else { return Ok(None) };
        while let Some(line) = self.line()? {
            if line.partition != covered.partition {
                self.ahead = Some(line);
                break;
            }
            covered.whole |= line.whole;
            covered.mark = covered.mark.max(line.mark);
            for window in line.windows {
                covered.add(window);
            }
        }
        Ok(Some(covered))
    }

    fn line(&mut self) -> Result<Option<PartitionCoverage>, Error> {
        let mut read = || -> rusqlite::Result<Option<PartitionCoverage>> {
            let Some(row) = self.rows.next()? else { return Ok(None) };
            let (start, end): (String, String) = (row.get("start_at")?, row.get("end_at")?);
            let window = instant_from_text(&start)
                .zip(instant_from_text(&end))
                .and_then(|(start, end)| Window::new(start, end));
            Ok(Some(PartitionCoverage {
                partition: row.get("partition")?,
                windows: window.into_iter().collect(),
                whole: start.is_empty(),
                mark: row.get("cursor")?,
            }))
        };
        read().map_err(at(&self.reader.path))
    }
}

impl PartitionCoverage {
    /// Windows come in the order of their starts.
    fn add(&mut self, window: Window) {
        match self.windows.last_mut() {
            Some(last) if window.start() <= last.end() => {
                let end = last.end().max(window.end());
                *last = Window::new(last.start(), end).unwrap_or(*last);
            }
            _ => self.windows.push(window),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn value() -> impl Strategy<Value = Value> {
        let edges = prop::sample::select(vec![0_i64, 1, -1, i64::MAX, i64::MIN, 1 << 53]);
        let reals = vec![0.0, -0.5, 0.5, 1e300, -1e300, 9.3e18, 9_007_199_254_740_993.0, 2.0];
        prop_oneof![
            edges.prop_map(Value::Integer),
            (-3_i64..3).prop_map(Value::Integer),
            prop::sample::select(reals).prop_map(Value::Real),
            "[a-c\u{e9}\u{ffff}\u{10000}]{0,3}".prop_map(Value::Text),
            prop::collection::vec(any::<u8>(), 0..3).prop_map(Value::Blob),
        ]
    }

    proptest! {
        #[test]
        fn values_are_ordered_as_sqlite_orders_them(a in value(), b in value()) {
            let connection = Connection::open_in_memory().expect("memory");
            let sql = "SELECT CASE WHEN ?1 < ?2 THEN -1 ELSE ?1 > ?2 END";
            let sqlite: i64 =
                connection.query_row(sql, [&a, &b], |row| row.get(0)).expect("an order");
            prop_assert_eq!(compare(&a, &b) as i64, sqlite);
        }
    }
}
