//! Histories that ended with a rebuild under another key: each is a table of its own, named by the
//! rebuild's run, whose number is another one here.

use rusqlite::named_params;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use crate::store::history::{create_history, history_indexes};
use crate::store::row::only;
use crate::store::sql::{LiveColumn, live_columns, quote};
use crate::store::value::Value;

use crate::merge::copy::number;
use crate::merge::shape::Pair;
use crate::merge::tables::Taking;
use crate::model::Error;

/// What was taken of histories that have ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndedTaken {
    /// Versions that were not here.
    pub versions: u64,
    /// What was not taken, in words.
    pub left: Vec<String>,
}

impl Taking<'_> {
    /// Takes the versions of histories that have ended in the other archive. After its runs.
    pub fn take_ended(&self, pair: &Pair) -> Result<EndedTaken, Error> {
        let take = || -> rusqlite::Result<EndedTaken> {
            let mut taken = EndedTaken::default();
            let prefix = format!("{}_history_until_", pair.stream);
            let sql = "SELECT name FROM sqlite_schema
                WHERE type = 'table' AND substr(name, 1, length(:prefix)) = :prefix ORDER BY name";
            let mut statement = self.theirs.prepare(sql)?;
            let names =
                statement.query_map(named_params! { ":prefix": &prefix }, only::<String>)?;
            for theirs in names.collect::<rusqlite::Result<Vec<_>>>()? {
                let run = theirs[prefix.len()..].parse::<i64>().ok();
                let known = run.and_then(|run| self.runs.get(&run));
                match known.map(|known| format!("{prefix}{}", known.run)) {
                    Some(ours) => match self.take_table(&theirs, &ours)? {
                        Some(versions) => taken.versions += versions,
                        None => taken.left.push(format!("`{theirs}`: a table `{ours}` is here")),
                    },
                    None => taken.left.push(format!("`{theirs}`: its run is not known")),
                }
            }
            Ok(taken)
        };
        take().map_err(self.wrong())
    }

    /// Gives how many versions were not here; none where something else has the name.
    fn take_table(&self, theirs: &str, ours: &str) -> rusqlite::Result<Option<u64>> {
        let columns = live_columns(self.theirs, theirs)?;
        let names: Vec<String> = columns.iter().map(|column| column.name.clone()).collect();
        let key = key_of(self.theirs, theirs)?;
        let have: Vec<String> =
            live_columns(self.ours(), ours)?.into_iter().map(|column| column.name).collect();
        let taken = "SELECT 1 FROM sqlite_schema WHERE lower(name) = lower(:ours)";
        let taken = self
            .ours()
            .query_row(taken, named_params! { ":ours": ours }, |_| Ok(()))
            .optional()?
            .is_some();
        if !taken {
            self.make_ended(ours, columns, &key)?;
        } else if names.iter().any(|name| !have.contains(name)) {
            return Ok(None);
        }
        let runs = ["_run", "_replaced_run"];
        let list: Vec<String> = names.iter().map(|name| quote(name)).collect();
        let same = |(n, name): (usize, &String)| {
            let is = if key.contains(name) { "=" } else { "IS" };
            format!("{} {is} ?{}", quote(name), n + 1)
        };
        let same: Vec<String> = names.iter().enumerate().map(same).collect();
        let parameters: Vec<String> = (1..=names.len()).map(|n| format!("?{n}")).collect();
        let (list, table) = (list.join(", "), quote(ours));
        let mut put = self.ours().prepare(&format!(
            "INSERT INTO main.{table} ({list}) SELECT {}
             WHERE NOT EXISTS (SELECT 1 FROM main.{table} WHERE {})",
            parameters.join(", "),
            same.join(" AND ")
        ))?;
        let read = format!("SELECT {list} FROM main.{} ORDER BY _rowid_", quote(theirs));
        let mut read = self.theirs.prepare(&read)?;
        let mut rows = read.query([])?;
        let mut versions = 0;
        while let Some(row) = rows.next()? {
            let mut values: Vec<Value> =
                (0..names.len()).map(|n| row.get(n)).collect::<rusqlite::Result<_>>()?;
            for (value, name) in values.iter_mut().zip(&names) {
                if runs.contains(&name.as_str()) {
                    *value = Value::Integer(self.known(number(value)).run);
                }
            }
            versions += put.execute(params_from_iter(values))? as u64;
        }
        Ok(Some(versions))
    }

    fn make_ended(
        &self,
        name: &str,
        columns: Vec<LiveColumn>,
        key: &[String],
    ) -> rusqlite::Result<()> {
        let own = ["_replaced_at", "_replaced_run"];
        let columns: Vec<LiveColumn> =
            columns.into_iter().filter(|column| !own.contains(&column.name.as_str())).collect();
        self.merge.grown.set(true);
        self.ours().execute_batch(&create_history(name, &columns, key))
    }
}

/// The key by which the history was kept, as its index has it.
fn key_of(connection: &Connection, history: &str) -> rusqlite::Result<Vec<String>> {
    let [by_key, _] = history_indexes(history);
    let sql = "SELECT name FROM pragma_index_info(:by_key) WHERE name <> '_revision' ORDER BY
        seqno";
    let mut statement = connection.prepare(sql)?;
    statement.query_map(named_params! { ":by_key": by_key }, only)?.collect()
}
