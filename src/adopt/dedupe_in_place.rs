//! A table of somebody's own SQLite file that holds rows twice: found, set aside in a table beside
//! it, kept out by a UNIQUE index, and put back.
//!
//! All of it is one transaction of that file, and all of the work is SQL over temporary tables, so
//! memory does not grow with the table. Triggers, views and foreign-key actions do not run.

use std::path::Path;

use rusqlite::{Connection, OpenFlags, OptionalExtension, named_params};

use crate::host::Stop;
use crate::host::files::FileLock;

use crate::adopt::adopted::{count_of, duplicates_query};
use crate::model::{Error, ErrorKind};
use crate::store::foreign::{ForeignTable, at_file, open_guarded, ordinary_table};
use crate::store::formats::FORMATS;
use crate::store::open::{APPLICATION_ID, take_lock};
use crate::store::reader::Reader;
use crate::store::row::only;
use crate::store::sql::quote;
use crate::store::transaction::Tx;
use crate::store::value::Value;

/// Groups that are told one by one: enough to see by what they were doubled; the counts cover all.
const WORST_MAX: u32 = 10;

/// Which of several rows of one key stays.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeepRule {
    /// The one that came first.
    First,
    /// The one that came last.
    Last,
    /// The one with the latest time in this column.
    Newest(String),
    /// The one with the highest number or text in this column.
    Highest(String),
}

/// What is to be healed, and how.
#[derive(Clone, Debug)]
pub struct Deduplication<'a> {
    pub path: &'a Path,
    pub table: &'a str,
    /// The columns that tell one record from all others.
    pub key: &'a [String],
    pub rule: KeepRule,
    /// The rule, as it was given.
    pub rule_text: &'a str,
    /// The time that is noted.
    pub now: &'a str,
    /// Breaks the work off.
    pub stop: &'a Stop,
}

/// A numeric column's sums.
#[derive(Clone, Debug, PartialEq, serde::Serialize)]
pub struct Inflation {
    pub column: String,
    /// Its sum over all rows of the table.
    pub with: f64,
    /// Over those that stay.
    pub without: f64,
}

/// What was found in a table, and what was done about it.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Deduplicated {
    pub table: String,
    pub key: Vec<String>,
    /// Rows of the table.
    pub rows: u64,
    /// Rows whose key is NULL in a column: they cannot be told apart and stay.
    pub null_keys: u64,
    /// Keys that stand more than once.
    pub groups: u64,
    /// Rows beyond the one that stays for each key.
    pub duplicates: u64,
    /// Of those, how many differ from the one that stays, by column.
    pub differing: Vec<(String, u64)>,
    /// The sums of numeric columns.
    pub inflation: Vec<Inflation>,
    /// The keys that stand most often: key, rows, the row that stays.
    pub worst: Vec<(String, u64, i64)>,
    /// Whether the file was changed.
    pub applied: bool,
    /// The query that finds keys that stand more than once.
    pub proof: String,
    /// How many it finds now.
    pub remaining: u64,
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Restored {
    pub table: String,
    /// Rows that were put back.
    pub rows: u64,
}

/// Looks at the table and changes nothing.
pub fn survey_in_place(healing: &Deduplication<'_>) -> Result<Deduplicated, Error> {
    let connection = open_guarded(healing.path, OpenFlags::SQLITE_OPEN_READ_ONLY, healing.stop)?;
    let table = target(&connection, healing)?;
    let found = examine(&connection, &table, healing);
    found.map_err(at_file(healing.path))
}

/// Sets all but one row of each key aside and keeps new ones out, in one transaction.
pub fn heal(healing: &Deduplication<'_>, note: &str) -> Result<Deduplicated, Error> {
    let error = at_file(healing.path);
    let (file, _lock) = open_writer(healing.path, note, healing.stop)?;
    let tx = Tx::begin_on_file(&file).map_err(&error)?;
    let connection = &tx.connection;
    let table = target(connection, healing)?;
    let orphans = dangling(connection, &table.name);
    let mut healed = examine(connection, &table, healing).map_err(&error)?;
    if is_healed(connection, &table.name).map_err(&error)? {
        if healed.duplicates == 0 {
            return Ok(healed);
        }
        let message = format!("`{}` was healed before and holds rows twice again", table.name);
        let help = "put the removed rows back with `--undo` first, then heal all of it";
        return Err(Error::new(ErrorKind::Definition, message).help(help));
    }
    set_aside(&tx, &table, healing).map_err(&error)?;
    if dangling(connection, &table.name) > orphans {
        let message = format!("rows of another table refer to rows of `{}`", table.name);
        let help = "choose the rule so that those stay, or let them refer to the row that does";
        let message = format!("{message} that would be removed");
        return Err(Error::new(ErrorKind::Definition, message).help(help));
    }
    healed.remaining = count_of(connection, &healed.proof).map_err(&error)?;
    healed.applied = true;
    tx.commit_on_file().map_err(&error)?;
    Ok(healed)
}

/// Puts back what [`heal`] removed, so that the file holds what it did.
pub fn restore(
    path: &Path,
    table: Option<&str>,
    note: &str,
    stop: &Stop,
) -> Result<Restored, Error> {
    let file_error = at_file(path);
    let (file, _lock) = open_writer(path, note, stop)?;
    let tx = Tx::begin_on_file(&file).map_err(&file_error)?;
    let connection = &tx.connection;
    let name = healed_table(connection, table).map_err(&file_error)?.ok_or_else(|| {
        let message = format!("nothing was removed from {} in place", path.display());
        Error::new(ErrorKind::Definition, message).help("there is nothing to undo")
    })?;
    let table = ordinary_table(connection, path, &name)?;
    let back = put_back(&tx, &table).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::ConstraintViolation) => {
            let message = format!("`{name}` has other rows in the places of the removed ones");
            let help = format!("the removed rows are in `{}`; nothing was changed", aside(&name));
            Error::new(ErrorKind::Definition, message).help(help)
        }
        _ => file_error(error),
    })?;
    tx.commit_on_file().map_err(&file_error)?;
    Ok(Restored { table: name, rows: back })
}

/// Opens the file for writing; an archive of windrow's own is locked as any writer locks it.
fn open_writer(path: &Path, note: &str, stop: &Stop) -> Result<(Reader, Option<FileLock>), Error> {
    let connection = open_guarded(path, OpenFlags::SQLITE_OPEN_READ_WRITE, stop)?;
    let id = connection.query_row("PRAGMA application_id", [], only::<i32>);
    let own = id.map_err(at_file(path))? == APPLICATION_ID;
    let lock = own.then(|| take_lock(path, note)).transpose()?;
    Ok((Reader::over(connection, path, FORMATS), lock))
}

fn target(connection: &Connection, healing: &Deduplication<'_>) -> Result<ForeignTable, Error> {
    let table = ordinary_table(connection, healing.path, healing.table)?;
    let refuse = |message: String, help: &str| {
        Err(Error::new(ErrorKind::Definition, message).help(help.to_owned()))
    };
    let Some(rowid) = table.rowid else {
        let message = format!("the rows of `{}` have no number to be known by", table.name);
        return refuse(message, "adopt it into an archive instead, without --in-place");
    };
    let ranked = match &healing.rule {
        KeepRule::Newest(column) | KeepRule::Highest(column) => Some(column),
        KeepRule::First | KeepRule::Last => None,
    };
    for column in healing.key.iter().chain(ranked) {
        if !table.columns.contains(column) {
            let message = format!("the table `{}` has no column `{column}`", table.name);
            return refuse(message, &format!("it has: {}", table.columns.join(", ")));
        }
    }
    let error = at_file(healing.path);
    for column in healing.key {
        let forms = forms_of(connection, &table.name, rowid, column).map_err(&error)?;
        let dates = forms.iter().filter(|form| form.name.contains("date")).count();
        let numbers = forms.iter().filter(|form| form.name == "number").count();
        if dates > 1 || numbers == 1 && forms.len() > 1 {
            let message =
                format!("the key's `{column}` is written in several ways: {}", told(&forms));
            return refuse(
                message,
                "one key may stand in it twice unseen: write it in one way first",
            );
        }
    }
    let Some(column) = ranked else { return Ok(table) };
    let forms = forms_of(connection, &table.name, rowid, column).map_err(&error)?;
    let newest = matches!(healing.rule, KeepRule::Newest(_));
    let comparable = |form: &Form| !newest || form.name == "number" || form.name.contains("ISO");
    let all_times = newest && forms.iter().all(|form| form.name.contains("ISO"));
    if !forms.iter().all(comparable) || forms.len() > 1 && !all_times {
        let message = format!("the values of `{column}` cannot be put in order: {}", told(&forms));
        return refuse(message, "name another column, or keep the `first` or the `last` row");
    }
    Ok(table)
}

/// A way in which values of a column are written.
struct Form {
    name: String,
    rows: u64,
    first: i64,
}

fn told(forms: &[Form]) -> String {
    let each = forms.iter().map(|form| {
        let Form { name, rows, first } = form;
        format!("{rows} as {name} (such as row {first})")
    });
    each.collect::<Vec<_>>().join(", ")
}

fn forms_of(
    connection: &Connection,
    table: &str,
    rowid: &str,
    column: &str,
) -> rusqlite::Result<Vec<Form>> {
    let (table, c) = (quote(table), quote(column));
    let iso = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9]";
    let sql = format!(
        "SELECT form, count(*) AS rows, min(place) AS first FROM (SELECT {rowid} AS place, CASE
            WHEN typeof({c}) IN ('integer', 'real') THEN 'number'
            WHEN typeof({c}) = 'blob' THEN 'bytes'
            WHEN {c} GLOB '{iso}' AND julianday({c}) IS NOT NULL THEN 'an ISO date'
            WHEN {c} GLOB '{iso}[T ]*' AND julianday({c}) IS NOT NULL THEN 'an ISO date with a time'
            WHEN length({c}) <= 10 AND {c} GLOB '[0-9]*[-/.][0-9]*[-/.][0-9][0-9]*'
                THEN 'another form of date'
            ELSE 'text' END AS form FROM {table} WHERE {c} IS NOT NULL)
        GROUP BY form ORDER BY count(*) DESC, form"
    );
    let mut statement = connection.prepare(&sql)?;
    let forms = statement.query_map([], |row| {
        Ok(Form { name: row.get("form")?, rows: row.get("rows")?, first: row.get("first")? })
    })?;
    forms.collect()
}

/// Finds the rows too many, into a temporary table, and counts.
fn examine(
    connection: &Connection,
    table: &ForeignTable,
    healing: &Deduplication<'_>,
) -> rusqlite::Result<Deduplicated> {
    let (name, rowid) = (quote(&table.name), table.rowid.unwrap_or("rowid"));
    let key: Vec<String> = healing.key.iter().map(|column| quote(column)).collect();
    let alike: Vec<String> = key.iter().map(|column| format!("{column} COLLATE BINARY")).collect();
    let known: Vec<String> = key.iter().map(|column| format!("{column} IS NOT NULL")).collect();
    let order = match &healing.rule {
        KeepRule::First => format!("{rowid} ASC"),
        KeepRule::Last => format!("{rowid} DESC"),
        KeepRule::Highest(column) => format!("{} DESC, {rowid} DESC", quote(column)),
        KeepRule::Newest(column) => {
            let c = quote(column);
            let time = format!("CASE typeof({c}) WHEN 'text' THEN julianday({c}) ELSE {c} END");
            format!("{time} DESC, {c} DESC, {rowid} DESC")
        }
    };
    connection.execute_batch(&format!(
        "CREATE TEMP TABLE _windrow_away (place INTEGER PRIMARY KEY, kept INTEGER NOT NULL);
         INSERT INTO temp._windrow_away SELECT place, kept FROM (
            SELECT {rowid} AS place, first_value({rowid}) OVER (PARTITION BY {} ORDER BY {order})
                AS kept FROM main.{name} WHERE {}) WHERE place <> kept ORDER BY place",
        alike.join(", "),
        known.join(" AND ")
    ))?;
    let number = |sql: &str| connection.query_row(sql, [], only::<u64>);
    let proof = duplicates_query(&table.name, healing.key);
    let null_keys = format!("SELECT count(*) FROM main.{name} WHERE NOT ({})", known.join(" AND "));
    let mut healed = Deduplicated {
        table: table.name.clone(),
        key: healing.key.to_vec(),
        rows: number(&format!("SELECT count(*) FROM main.{name}"))?,
        null_keys: number(&null_keys)?,
        groups: number("SELECT count(DISTINCT kept) FROM temp._windrow_away")?,
        duplicates: number("SELECT count(*) FROM temp._windrow_away")?,
        remaining: count_of(connection, &proof)?,
        proof,
        ..Deduplicated::default()
    };
    if healed.duplicates > 0 {
        weigh(connection, table, healing, &mut healed)?;
    }
    Ok(healed)
}

/// What the rows too many do to the numbers, and how they differ from those that stay.
fn weigh(
    connection: &Connection,
    table: &ForeignTable,
    healing: &Deduplication<'_>,
    healed: &mut Deduplicated,
) -> rusqlite::Result<()> {
    let (name, rowid) = (quote(&table.name), table.rowid.unwrap_or("rowid"));
    let sql = "SELECT name FROM pragma_table_xinfo(:name) WHERE pk > 0";
    let primary: Vec<String> = connection
        .prepare(sql)?
        .query_map(named_params! { ":name": &table.name }, only)?
        .collect::<rusqlite::Result<_>>()?;
    for column in &table.columns {
        if healing.key.contains(column) || primary.contains(column) {
            continue;
        }
        let c = quote(column);
        let differ = format!(
            "SELECT count(*) FROM temp._windrow_away AS away
                JOIN main.{name} AS gone ON gone.{rowid} = away.place
                JOIN main.{name} AS stays ON stays.{rowid} = away.kept
             WHERE gone.{c} IS NOT stays.{c}"
        );
        let differ: u64 = connection.query_row(&differ, [], only)?;
        if differ > 0 {
            healed.differing.push((column.clone(), differ));
        }
        let all = format!(
            "SELECT total({c}) AS sum,
                count({c}) > 0 AND sum(typeof({c}) IN ('text', 'blob')) = 0 AS numeric
             FROM main.{name}"
        );
        let (with, numeric): (f64, bool) =
            connection.query_row(&all, [], |row| Ok((row.get("sum")?, row.get("numeric")?)))?;
        if !numeric {
            continue;
        }
        let stay = format!(
            "SELECT total({c}) FROM main.{name} WHERE {rowid} NOT IN
                (SELECT place FROM temp._windrow_away)"
        );
        let without = connection.query_row(&stay, [], only)?;
        healed.inflation.push(Inflation { column: column.clone(), with, without });
    }
    let key: Vec<String> =
        healing.key.iter().map(|column| format!("stays.{}", quote(column))).collect();
    let sql = format!(
        "SELECT away.kept, count(*) + 1 AS times, {} FROM temp._windrow_away AS away
            JOIN main.{name} AS stays ON stays.{rowid} = away.kept
         GROUP BY away.kept ORDER BY count(*) DESC, away.kept LIMIT {WORST_MAX}",
        key.join(", ")
    );
    let mut statement = connection.prepare(&sql)?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        let value = |at: usize| row.get::<_, Value>(at).map(|value| spoken(&value));
        let values =
            (0..key.len()).map(|at| value(at + 2)).collect::<rusqlite::Result<Vec<_>>>()?;
        healed.worst.push((values.join(", "), row.get("times")?, row.get("kept")?));
    }
    Ok(())
}

fn spoken(value: &Value) -> String {
    match value {
        Value::Null => "NULL".to_owned(),
        Value::Integer(number) => number.to_string(),
        Value::Real(number) => number.to_string(),
        Value::Text(text) => text.clone(),
        Value::Blob(bytes) => format!("{} bytes", bytes.len()),
    }
}

/// The table that keeps what was removed from `table`.
fn aside(table: &str) -> String {
    format!("_windrow_removed_{table}")
}

fn index_of(table: &str) -> String {
    format!("_windrow_key_{table}")
}

fn set_aside(
    tx: &Tx<'_>,
    table: &ForeignTable,
    healing: &Deduplication<'_>,
) -> rusqlite::Result<()> {
    let (name, rowid) = (quote(&table.name), table.rowid.unwrap_or("rowid"));
    let columns: Vec<String> = table.columns.iter().map(|column| quote(column)).collect();
    let columns = columns.join(", ");
    let own: Vec<String> =
        table.columns.iter().map(|column| format!("t.{}", quote(column))).collect();
    let own = own.join(", ");
    let key: Vec<String> =
        healing.key.iter().map(|column| format!("{} COLLATE BINARY", quote(column))).collect();
    // Columns without a type keep each value as it is.
    tx.connection.execute_batch(&format!(
        "CREATE TABLE IF NOT EXISTS _windrow_healed
            (name TEXT PRIMARY KEY, key TEXT, rule TEXT, healed_at TEXT);
         CREATE TABLE {0} (_windrow_place INTEGER PRIMARY KEY, _windrow_kept, {columns});
         INSERT INTO {0} SELECT away.place, away.kept, {own} FROM temp._windrow_away AS away
            JOIN main.{name} AS t ON t.{rowid} = away.place ORDER BY away.place;
         DELETE FROM main.{name} WHERE {rowid} IN (SELECT place FROM temp._windrow_away);
         CREATE UNIQUE INDEX {1} ON {name} ({2})",
        quote(&aside(&table.name)),
        quote(&index_of(&table.name)),
        key.join(", ")
    ))?;
    let sql = "INSERT INTO _windrow_healed VALUES (:name, :key, :rule_text, :now)";
    let key = healing.key.join(", ");
    tx.connection.execute(
        sql,
        named_params! {
            ":name": table.name,
            ":key": key,
            ":rule_text": healing.rule_text,
            ":now": healing.now,
        },
    )?;
    Ok(())
}

fn has_healed(connection: &Connection) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = '_windrow_healed'";
    connection.prepare(sql)?.exists([])
}

fn is_healed(connection: &Connection, table: &str) -> rusqlite::Result<bool> {
    Ok(has_healed(connection)?
        && connection
            .prepare(
                "SELECT 1 FROM _windrow_healed WHERE
            name = :table",
            )?
            .exists(named_params! { ":table": table })?)
}

/// The table that was healed: the one that was named, else the last one.
fn healed_table(connection: &Connection, named: Option<&str>) -> rusqlite::Result<Option<String>> {
    if !has_healed(connection)? {
        return Ok(None);
    }
    let sql = "SELECT name FROM _windrow_healed WHERE :named IS NULL OR lower(name) = lower(:named)
        ORDER BY rowid DESC LIMIT 1";
    connection.query_row(sql, named_params! { ":named": named }, only).optional()
}

fn put_back(tx: &Tx<'_>, table: &ForeignTable) -> rusqlite::Result<u64> {
    let (name, rowid) = (quote(&table.name), table.rowid.unwrap_or("rowid"));
    let columns: Vec<String> = table.columns.iter().map(|column| quote(column)).collect();
    let (columns, kept) = (columns.join(", "), quote(&aside(&table.name)));
    tx.connection.execute_batch(&format!("DROP INDEX {}", quote(&index_of(&table.name))))?;
    let sql = format!(
        "INSERT INTO main.{name} ({rowid}, {columns}) SELECT _windrow_place, {columns} FROM {kept}
         ORDER BY _windrow_place"
    );
    let back = tx.connection.execute(&sql, [])?;
    tx.connection.execute_batch(&format!("DROP TABLE {kept}"))?;
    tx.connection.execute(
        "DELETE FROM _windrow_healed WHERE
        name = :name",
        named_params! { ":name": &table.name },
    )?;
    let left = "SELECT count(*) FROM _windrow_healed";
    if tx.connection.query_row(left, [], only::<u64>)? == 0 {
        tx.connection.execute_batch("DROP TABLE _windrow_healed")?;
    }
    Ok(back as u64)
}

/// References to rows of the table that lead nowhere; none where SQLite cannot tell.
fn dangling(connection: &Connection, table: &str) -> u64 {
    let sql = "SELECT count(*) FROM pragma_foreign_key_check WHERE lower(parent) = lower(:table)";
    connection.query_row(sql, named_params! { ":table": table }, only).unwrap_or(0)
}
