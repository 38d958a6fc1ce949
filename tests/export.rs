//! `windrow export`: every value arrives as it is, whole files or none, all of one moment.

use std::path::{Path, PathBuf};

use parquet::basic::{LogicalType, TimeUnit};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::{Field, Row};

use crate::api::{UsageApi, nine_days};
use crate::harness::{Ran, Workspace, execute};

fn synced() -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(""));
    workspace.sync();
    (api, workspace)
}

/// A definition of which only the tables are used.
const NASTY: &str = r#"
[archive]
path = "a.db"

[sources.s]
base_url = "http://127.0.0.1:9"

[streams.nasty]
path = "/x"
key = "id"
columns = { id = "integer", name = "text", gb = "real", price = "decimal", any = "number", yes = "boolean", day = "date", at = "timestamp", doc = "json", raw = "blob" }
"#;

/// An archive with a stream `nasty` of these rows, in the order of the columns above.
fn nasty(rows: &[&str]) -> Workspace {
    let workspace = Workspace::new(NASTY);
    workspace.run(&["sync"]).expect(3);
    let path = workspace.path("a.db");
    execute(&path, &nasty_tables());
    for row in rows {
        let own = "NULL, '2026-01-01T00:00:00+00:00', '2026-01-01T00:00:00+00:00', 1, 1";
        execute(&path, &format!("INSERT INTO nasty VALUES ({row}, {own})"));
    }
    workspace
}
