//! Archives of the first format, so that bringing them to today's can be cut off everywhere.

use std::path::Path;

use refinery::Target;
use rusqlite::Connection;

use crate::check::open;

mod embedded {
    refinery::embed_migrations!("../../migrations");
}

/// The format that is made.
const FORMAT: i32 = 1;

/// Puts what the archive at `path` holds into one of the first format at `older`.
pub fn make_older(path: &Path, older: &Path) {
    #[allow(clippy::disallowed_methods)]
    let mut new = Connection::open(older).expect("the scratch folder can be written");
    let mut runner = embedded::migrations::runner().set_target(Target::Version(FORMAT));
    runner.set_migration_table_name("_windrow_migrations");
    runner.run(&mut new).expect("the first migration");
    let from = open(path).expect("an archive");
    for (name, sql) in tables(&from) {
        let own = name.starts_with("_windrow_");
        if own && columns(&new, &name).is_empty() || name == "_windrow_migrations" {
            continue;
        }
        if !own {
            new.execute_batch(&sql).expect("a table");
        }
        copy(&from, &new, &name);
    }
    // Archives have had a name of their own since a later format.
    new.execute("DELETE FROM _windrow_meta WHERE name = 'archive_id'", []).expect("no name");
    let format = "UPDATE _windrow_meta SET value = ?1 WHERE name = 'format'";
    new.execute(format, [FORMAT.to_string()]).expect("the format");
    let mode = "PRAGMA journal_mode = WAL";
    new.query_row(mode, [], |_| Ok(())).expect("as windrow keeps its archives");
}

fn tables(connection: &Connection) -> Vec<(String, String)> {
    let sql = "SELECT name, sql FROM sqlite_schema
        WHERE type = 'table' AND name NOT LIKE 'sqlite%' ORDER BY rowid";
    let mut statement = connection.prepare(sql).expect("a schema");
    let found = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).expect("tables");
    found.map(|found| found.expect("a table")).collect()
}

fn columns(connection: &Connection, table: &str) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_info(?1)";
    let mut statement = connection.prepare(sql).expect("a statement");
    let names = statement.query_map([table], |row| row.get(0)).expect("columns");
    names.map(|name| name.expect("a name")).collect()
}

/// Copies the columns that both know.
fn copy(from: &Connection, to: &Connection, table: &str) {
    let theirs = columns(from, table);
    let both: Vec<String> =
        columns(to, table).into_iter().filter(|name| theirs.contains(name)).collect();
    let list = both.iter().map(|name| format!("\"{name}\"")).collect::<Vec<_>>().join(", ");
    let parameters = vec!["?"; both.len()].join(", ");
    let insert = format!("INSERT OR REPLACE INTO \"{table}\" ({list}) VALUES ({parameters})");
    let mut insert = to.prepare(&insert).expect("a statement");
    let select = format!("SELECT {list} FROM \"{table}\"");
    let mut select = from.prepare(&select).expect("a statement");
    let mut rows = select.query([]).expect("rows");
    while let Some(row) = rows.next().expect("a row") {
        let values: Vec<rusqlite::types::Value> =
            (0..both.len()).map(|at| row.get(at).expect("a value")).collect();
        insert.execute(rusqlite::params_from_iter(values)).expect("a row");
    }
}
