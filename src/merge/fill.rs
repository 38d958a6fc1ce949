//! Columns that only one archive has: rows of the other take their values from what was left over
//! of each, as when a sync adds a column, so that a row says the same wherever it is.

use rusqlite::named_params;

use crate::merge::stream_policy::MergePolicy;
use crate::model::{Error, Filled, TableColumn};
use crate::store::error::at;
use crate::store::table::stored_table;
use crate::store::value::Value;

use crate::merge::tables::{Filling, Merge};
use crate::store::content::{Content, filled_content, value_of};
use crate::store::row::only;

/// Definitions that are looked at for where a column's values come from, the newest of them:
/// nobody changes one every day of half a year.
const DEFINITIONS_MAX: u32 = 200;

/// A filling, and where its columns stand among the values of a row.
pub(crate) struct Fills<'f> {
    filling: Filling<'f>,
    places: Vec<usize>,
    rest: usize,
}

impl Merge<'_> {
    /// The definitions that this archive and those that it has taken in were ever made by, newest
    /// first: the same in whatever order archives meet.
    pub fn definitions(&self) -> Result<Vec<String>, Error> {
        let sql = "SELECT text FROM _windrow_definitions
            ORDER BY first_used_at DESC, sha256 LIMIT :limit";
        let read = || -> rusqlite::Result<Vec<String>> {
            let mut statement = self.ours().prepare(sql)?;
            statement.query_map(named_params! { ":limit": DEFINITIONS_MAX }, only)?.collect()
        };
        read().map_err(at(&self.tx.path))
    }

    /// Fills columns that this archive has just got.
    pub(crate) fn fill_added(
        &self,
        stream: &str,
        added: &[String],
        judge: &MergePolicy<'_>,
    ) -> Result<(), Error> {
        let wrong = at(&self.tx.path);
        let stored = stored_table(self.ours(), stream).map_err(wrong)?;
        let columns = stored.map(|(_, columns)| columns).unwrap_or_default();
        let columns: Vec<TableColumn> =
            columns.into_iter().filter(|column| added.contains(&column.name)).collect();
        let Some(filling) = judge.filling(&columns) else { return Ok(()) };
        self.tx.fill_columns(stream, &filling.columns, &*filling.fill, None, &self.now)
    }
}

impl<'f> Fills<'f> {
    /// For rows of a table of the other's that has these of the columns; none where it has all.
    pub fn new(
        columns: &[String],
        typed: &[TableColumn],
        have: &[Option<String>],
        judge: &'f MergePolicy<'f>,
    ) -> Option<Fills<'f>> {
        let place = |name: &str| columns.iter().position(|have| have == name);
        let lacks = |column: &&TableColumn| place(&column.name).is_some_and(|n| have[n].is_none());
        let lacking: Vec<TableColumn> = typed.iter().filter(lacks).cloned().collect();
        let filling = judge.filling(&lacking)?;
        let places = filling.columns.iter().filter_map(|name| place(name)).collect();
        Some(Fills { filling, places, rest: place("_rest")? })
    }

    /// Fills the row; tells whether it says anything else now.
    pub fn fill(&self, values: &mut [Value]) -> bool {
        let Value::Text(rest) = &values[self.rest] else { return false };
        let Some(Filled { row, .. }) = (self.filling.fill)(rest) else { return false };
        let places = self.places.iter().chain([&self.rest]);
        for (place, cell) in places.zip(row.row(0)) {
            values[*place] = value_of(&row, *cell);
        }
        true
    }

    /// Fills a row that is one text.
    pub fn fill_text(&self, text: &str) -> Option<Content> {
        filled_content(text, &self.filling.columns, &*self.filling.fill)
    }
}
