//! What the definitions that an archive was made by say of its streams. The last one need not name
//! them all: a stream may have come by a merge, or have been left out since.

use rusqlite::Connection;

use crate::definition::{Definition, Stream, parse_definition};

use crate::merge::tables::Merge;
use crate::model::Error;
use crate::store::error::at;
use crate::store::reader::Reader;

/// Definitions that are asked, the latest ones: a stream that none of so many names is unknown.
const DEFINITIONS_MAX: u32 = 1_000;

/// An archive's definitions, in the order in which they are asked: its own runs' before those that
/// a merge has brought, the later before the earlier.
#[derive(Clone, Debug, Default)]
pub struct RunDefinitions {
    by_run: Vec<(i64, Definition)>,
}

impl RunDefinitions {
    /// What is said of a stream, by the first definition that names it; and the run that used it.
    pub fn of(&self, stream: &str) -> Option<(&Definition, &Stream, i64)> {
        self.by_run
            .iter()
            .find_map(|(run, definition)| Some((definition, definition.stream(stream)?, *run)))
    }

    fn read(connection: &Connection) -> rusqlite::Result<Self> {
        let sql = format!(
            "SELECT max(r.run_id) AS rows, d.text
             FROM _windrow_definitions d JOIN _windrow_runs r USING (definition_id)
             GROUP BY definition_id ORDER BY min(r.merged_by IS NOT NULL), max(r.run_id) DESC
             LIMIT {DEFINITIONS_MAX}"
        );
        let mut statement = connection.prepare(&sql)?;
        let rows =
            statement.query_map([], |row| Ok((row.get("rows")?, row.get::<_, String>("text")?)))?;
        let mut by_run = Vec::new();
        for row in rows {
            let (run, text) = row?;
            // One that cannot be read any more says nothing.
            by_run.extend(parse_definition("archive", &text).ok().map(|parsed| (run, parsed)));
        }
        Ok(Self { by_run })
    }
}

impl Reader {
    /// What the archive's definitions say of its streams.
    pub fn said(&self) -> Result<RunDefinitions, Error> {
        RunDefinitions::read(&self.connection).map_err(at(&self.path))
    }
}

impl Merge<'_> {
    /// What this archive's definitions say, those that were brought a moment ago included.
    pub fn said(&self) -> Result<RunDefinitions, Error> {
        RunDefinitions::read(self.ours()).map_err(at(self.tx.path()))
    }
}
