//! What does a merge of large archives take? Makes two archives of so many rows, half of which
//! both have; of these every tenth says something else.
//!
//!     cargo run --example merge_load -- FOLDER 2000000
//!     /usr/bin/time -v windrow --archive FOLDER/a.db merge FOLDER/b.db
#![expect(clippy::disallowed_methods, clippy::disallowed_macros, reason = "it makes and prints")]

use std::path::Path;

use windrow::definition::{Column, ColumnType, Definition, parse_definition};
use windrow::host::SystemFiles;
use windrow::model::{Command, TableShape, Timestamp, instant_to_text};
use windrow::store::{Archive, Opening, RunEnd, RunStart};

const DEFINITION: &str = r#"
[archive]
path = "a.db"
[sources.s]
base_url = "http://127.0.0.1:9"
[streams.usage]
path = "/usage"
records = "$[*]"
key = ["id", "day"]
columns = { id = "text", day = "date", gb = "real", at = "timestamp" }
"#;

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let (Some(folder), Some(rows)) = (arguments.get(1), arguments.get(2)) else {
        println!("merge_load FOLDER ROWS");
        return;
    };
    let rows: u64 = rows.parse().expect("a number of rows");
    let definition = parse_definition("windrow.toml", DEFINITION).expect("a definition");
    let folder = Path::new(folder);
    std::fs::create_dir_all(folder).expect("a folder");
    make(&folder.join("a.db"), &definition, (0, rows), 0);
    make(&folder.join("b.db"), &definition, (rows / 2, rows), 60);
}

/// An archive of `count` rows from number `first` on, which were read at that second.
fn make(path: &Path, definition: &Definition, (first, count): (u64, u64), second: i64) {
    let now = Timestamp::UNIX_EPOCH + chrono::TimeDelta::seconds(second);
    let text = instant_to_text(now);
    let files = &SystemFiles;
    let opening = Opening { note: "load", now: &text, allow_network_fs: true, files };
    let archive = Archive::open(path, &opening).expect("a new archive");
    let columns = [
        ("id", ColumnType::Text),
        ("day", ColumnType::Date),
        ("gb", ColumnType::Real),
        ("at", ColumnType::Timestamp),
    ];
    let columns: Vec<Column> =
        columns.iter().map(|(name, kind)| Column::plain(name, *kind)).collect();
    let shape = TableShape::of(&definition.streams[0], &columns, false);
    archive.transaction(|tx| tx.ensure_table(&shape, None, &text)).expect("a table");
    let start =
        RunStart { command: Command::Sync, version: "0", definition: &definition.text, now };
    let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
    archive.transaction(|tx| tx.end_run(run, &RunEnd::nothing_asked(now))).expect("ended");
    archive.close().expect("closed");
    let connection = rusqlite::Connection::open(path).expect("the archive");
    let sql = format!(
        "WITH RECURSIVE n(n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM n WHERE n < {})
         INSERT INTO usage SELECT printf('SL-%08d', n * 2654435761 % 4294967296),
            date('2020-01-01', (n % 2000) || ' days'), n % 1000 + (n % 10 = 0) * {second},
            '2026-01-09T00:00:00+00:00', NULL, '{text}', '{text}', 1, {run} FROM n",
        first + count - 1
    );
    connection.execute_batch(&sql).expect("rows");
    println!("{}: {count} rows", path.display());
}
