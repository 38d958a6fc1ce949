//! The tables over there: which are windrow's, how they must change, and what is refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value as Json};
use tokio_postgres::{Client, Transaction};

use super::error::{explain, sql_state, state};
use super::mark::{Pass, PublishedMark, RunName};
use super::statement::{LEDGERS, Table, quote};
use super::value::PgType;
use crate::model::{Error, ErrorKind};

/// How often the tables are made again when another one makes them at the same time: the other one
/// is done after one of its transactions, and an error that stays is reported.
const ATTEMPTS: usize = 4;

/// What is noted over there of a stream's table.
#[derive(Clone, Debug, PartialEq)]
pub struct Noted {
    /// The key as a definition says it.
    pub key: String,
    /// The columns and their types.
    pub columns: Map<String, Json>,
    /// The column that tells older from newer.
    pub version: Option<String>,
}

/// What is to be done to a stream's table.
#[derive(Clone, Debug, PartialEq)]
pub enum TableStep {
    /// It is made; what was sent into one that is gone is forgotten.
    Create,
    /// It gets these columns, which may be none.
    Add(Vec<(String, PgType)>),
}

/// What a stream's table is like, once it is ready.
#[derive(Debug)]
pub(crate) struct Ready {
    pub mark: PublishedMark,
    pub step: TableStep,
    pub empty: bool,
    /// Columns that the table has and this archive lacks.
    pub lacking: Vec<String>,
}

/// What becomes of a stream's table. `present` says whether there is anything of that name, and
/// `alone` whether no other archive has sent rows into it.
pub fn decide(
    table: &Table,
    noted: Option<&Noted>,
    present: bool,
    alone: bool,
) -> Result<TableStep, Error> {
    let place = table.place();
    let anew = format!(
        "publish into another schema with --schema; or `DROP TABLE {place}` over there: it is then \
         made and filled anew"
    );
    let differs = |what: String| Err(Error::usage(what).help(&anew));
    let Some(noted) = noted.filter(|_| present) else {
        if !present {
            return Ok(TableStep::Create);
        }
        let message = format!("the database already has {place}, which windrow did not make");
        let help = "publish into a schema of its own with --schema, or rename that table";
        return Err(Error::new(ErrorKind::Unsafe, message).help(help));
    };
    let stream = &table.name;
    if noted.key != table.key_text {
        let (there, here) = (&noted.key, &table.key_text);
        return differs(format!(
            "the key of stream `{stream}` is ({there}) over there, ({here}) here"
        ));
    }
    let mut added = Vec::new();
    for (name, kind) in &table.columns {
        let is_other = |there: &&String| *there != name && there.eq_ignore_ascii_case(name);
        if let Some(there) = noted.columns.keys().find(is_other) {
            return differs(format!(
                "stream `{stream}` has a column `{there}` over there and `{name}` here, which are \
                 two members of the source: an archive has a column for one of them"
            ));
        }
        match noted.columns.get(name).and_then(Json::as_str) {
            None => added.push((name.clone(), *kind)),
            Some(there) if there != kind.as_str() => {
                let here = kind.as_str();
                return differs(format!(
                    "the column `{name}` of stream `{stream}` is {there} over there, {here} here"
                ));
            }
            Some(_) => {}
        }
    }
    if noted.version != table.version && !alone {
        let text = |version: &Option<String>| {
            version.as_ref().map_or("nothing".to_owned(), |name| format!("`{name}`"))
        };
        return differs(format!(
            "rows of stream `{stream}` are told old from new by {} over there, by {} here",
            text(&noted.version),
            text(&table.version)
        ));
    }
    Ok(TableStep::Add(added))
}

/// Columns that are noted over there and that this archive lacks.
fn lacking(table: &Table, noted: Option<&Noted>) -> Vec<String> {
    let names = noted.into_iter().flat_map(|noted| noted.columns.keys());
    let is_ours = |name: &String| table.columns.iter().any(|(have, _)| have == name);
    names.filter(|name| !is_ours(name)).cloned().collect()
}

/// Whose tables, and where.
pub(crate) struct Setting<'a> {
    pub tables: &'a [Table],
    pub schema: &'a str,
    pub archive: &'a str,
    pub version: &'a str,
    /// The database for people.
    pub place: &'a str,
    /// Whether the engine has advisory locks.
    pub locks: bool,
    pub dry_run: bool,
}

impl Setting<'_> {
    fn own(&self, name: &str) -> String {
        format!("{}.{}", quote(self.schema), quote(name))
    }

    /// Looks at the tables and makes them what they must be, all in one transaction; with
    /// `dry_run` it only looks.
    pub async fn prepare(&self, client: &mut Client) -> Result<Vec<Ready>, Error> {
        let mut attempt = 1;
        loop {
            match self.attempt(client).await {
                Err(LookFailure::Database(error)) if attempt < ATTEMPTS && is_a_race(&error) => {
                    attempt += 1;
                }
                Err(LookFailure::Database(error)) => {
                    return Err(explain(&error, "cannot make the tables", self.place));
                }
                Err(LookFailure::Refused(error)) => return Err(error),
                Ok(ready) => return Ok(ready),
            }
        }
    }

    async fn attempt(&self, client: &mut Client) -> Result<Vec<Ready>, LookFailure> {
        let begin = client.build_transaction().read_only(self.dry_run);
        let transaction = begin.start().await?;
        if self.locks && !self.dry_run {
            let sql = "SELECT pg_advisory_xact_lock(hashtext($1::text)::bigint)";
            transaction.execute(sql, &[&format!("windrow {}", self.schema)]).await?;
        }
        let present = self.look(&transaction).await?;
        let noted = self.noted(&transaction, &present).await?;
        let mut steps = Vec::new();
        for table in self.tables {
            let is_present = present.contains(&table.name);
            let known = noted.get(&table.name);
            let alone = match known {
                Some(known) if is_present && known.version != table.version => {
                    self.is_alone(&transaction, &table.name).await?
                }
                _ => true,
            };
            steps.push(decide(table, known, is_present, alone).map_err(LookFailure::Refused)?);
        }
        if !self.dry_run {
            self.make(&transaction, &present, &noted, &steps).await?;
        }
        let mut ready = Vec::new();
        for (table, step) in self.tables.iter().zip(steps) {
            let made = step == TableStep::Create;
            let marked = present.contains("_windrow_published") || !self.dry_run;
            let mark = match made && self.dry_run || !marked {
                true => PublishedMark::default(),
                false => self.mark(&transaction, &table.name).await?,
            };
            let empty = made || self.is_empty(&transaction, table).await?;
            let lacking = match &step {
                TableStep::Create => Vec::new(),
                TableStep::Add(_) => lacking(table, noted.get(&table.name)),
            };
            ready.push(Ready { mark, step, empty, lacking });
        }
        transaction.commit().await?;
        Ok(ready)
    }

    /// The names among ours that are taken, by tables or by anything else.
    async fn look(&self, on: &Transaction<'_>) -> Result<BTreeSet<String>, LookFailure> {
        let wanted = self.tables.iter().map(|table| table.name.as_str());
        let wanted: Vec<&str> = wanted.chain(LEDGERS.map(|(name, _)| name)).collect();
        let sql = "SELECT c.relname::text FROM pg_catalog.pg_class AS c
            JOIN pg_catalog.pg_namespace AS n ON n.oid = c.relnamespace
            WHERE n.nspname::text = $1::text AND c.relname::text = ANY ($2::text[])";
        let rows = on.query(sql, &[&self.schema, &wanted]).await?;
        Ok(rows.iter().map(|row| row.get(0)).collect())
    }

    async fn noted(
        &self,
        on: &Transaction<'_>,
        present: &BTreeSet<String>,
    ) -> Result<BTreeMap<String, Noted>, LookFailure> {
        let mut noted = BTreeMap::new();
        if !present.contains("_windrow_tables") {
            return Ok(noted);
        }
        let sql =
            format!("SELECT stream, key, columns, version FROM {}", self.own("_windrow_tables"));
        for row in on.query(&sql, &[]).await? {
            let columns: String = row.get(2);
            let columns = serde_json::from_str(&columns).unwrap_or_default();
            let one = Noted { key: row.get(1), columns, version: row.get(3) };
            noted.insert(row.get(0), one);
        }
        Ok(noted)
    }

    async fn is_alone(&self, on: &Transaction<'_>, stream: &str) -> Result<bool, LookFailure> {
        let sql = format!(
            "SELECT count(*) FROM {} WHERE stream = $1 AND archive_id <> $2",
            self.own("_windrow_published")
        );
        let others: i64 = on.query_one(&sql, &[&stream, &self.archive]).await?.get(0);
        Ok(others == 0)
    }

    async fn is_empty(&self, on: &Transaction<'_>, table: &Table) -> Result<bool, LookFailure> {
        let sql = format!("SELECT 1 FROM {} LIMIT 1", table.place());
        Ok(on.query_opt(&sql, &[]).await?.is_none())
    }

    async fn make(
        &self,
        on: &Transaction<'_>,
        present: &BTreeSet<String>,
        noted: &BTreeMap<String, Noted>,
        steps: &[TableStep],
    ) -> Result<(), LookFailure> {
        let there = "SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname::text = $1::text";
        if on.query_opt(there, &[&self.schema]).await?.is_none() {
            // IF NOT EXISTS would ask for the right to make one where there is one.
            on.batch_execute(&format!("CREATE SCHEMA {}", quote(self.schema))).await?;
        }
        for (name, columns) in LEDGERS {
            if !present.contains(name) {
                let sql = format!("CREATE TABLE {} ({columns})", self.own(name));
                on.batch_execute(&sql).await?;
            }
        }
        for (table, step) in self.tables.iter().zip(steps) {
            self.make_one(on, table, noted.get(&table.name), step).await?;
        }
        Ok(())
    }

    async fn make_one(
        &self,
        on: &Transaction<'_>,
        table: &Table,
        noted: Option<&Noted>,
        step: &TableStep,
    ) -> Result<(), LookFailure> {
        let mut columns: Map<String, Json> = Map::new();
        match step {
            TableStep::Create => {
                on.batch_execute(&table.create()).await?;
                let sql =
                    format!("DELETE FROM {} WHERE stream = $1", self.own("_windrow_published"));
                on.execute(&sql, &[&table.name]).await?;
            }
            TableStep::Add(added) => {
                columns = noted.map(|noted| noted.columns.clone()).unwrap_or_default();
                for (name, kind) in added {
                    on.batch_execute(&table.add(name, *kind)).await?;
                }
            }
        }
        columns.extend(
            table.columns.iter().map(|(name, kind)| (name.clone(), Json::from(kind.as_str()))),
        );
        let same =
            noted.is_some_and(|noted| noted.version == table.version && noted.columns == columns);
        let columns = Json::Object(columns).to_string();
        if !same || *step == TableStep::Create {
            let sql = format!(
                "INSERT INTO {} (stream, key, columns, version) VALUES ($1, $2, $3, $4)
                 ON CONFLICT (stream) DO UPDATE SET key = excluded.key,
                    columns = excluded.columns, version = excluded.version",
                self.own("_windrow_tables")
            );
            on.execute(&sql, &[&table.name, &table.key_text, &columns, &table.version]).await?;
        }
        let sql = format!(
            "INSERT INTO {} (archive_id, stream, step, columns, rows_written, windrow_version)
             VALUES ($1, $2, 0, '', 0, $3) ON CONFLICT (archive_id, stream) DO NOTHING",
            self.own("_windrow_published")
        );
        on.execute(&sql, &[&self.archive, &table.name, &self.version]).await?;
        Ok(())
    }

    async fn mark(&self, on: &Transaction<'_>, stream: &str) -> Result<PublishedMark, LookFailure> {
        let sql = format!(
            "SELECT sent_run, sent_uid, pass, columns, coverage_sha256, step FROM {}
             WHERE archive_id = $1 AND stream = $2",
            self.own("_windrow_published")
        );
        let Some(row) = on.query_opt(&sql, &[&self.archive, &stream]).await? else {
            return Ok(PublishedMark::default());
        };
        let run: Option<i64> = row.get(0);
        let uid: Option<String> = row.get(1);
        let pass: Option<String> = row.get(2);
        Ok(PublishedMark {
            sent: run.map(|run| RunName { run, uid: uid.unwrap_or_default() }),
            // A pass that this version cannot read is begun anew.
            pass: pass.and_then(|pass| serde_json::from_str::<Pass>(&pass).ok()),
            columns: row.get(3),
            coverage: row.get(4),
            step: row.get(5),
        })
    }
}

enum LookFailure {
    Database(tokio_postgres::Error),
    Refused(Error),
}

impl From<tokio_postgres::Error> for LookFailure {
    fn from(error: tokio_postgres::Error) -> Self {
        LookFailure::Database(error)
    }
}

/// Whether another one was quicker.
fn is_a_race(error: &tokio_postgres::Error) -> bool {
    let races = [state::SERIALIZATION, state::DEADLOCK, state::UNIQUE, state::TABLE_EXISTS];
    sql_state(error).is_some_and(|code| races.contains(&code))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        Table {
            schema: "\"s\"".into(),
            name: "usage".into(),
            key_text: "id".into(),
            key: vec!["id".into()],
            columns: vec![("id".into(), PgType::Text), ("gb".into(), PgType::Double)],
            version: Some("gb".into()),
            keeps_first: false,
            lacking: Vec::new(),
        }
    }

    fn noted(columns: &str) -> Noted {
        let columns = serde_json::from_str(columns).expect("an object");
        Noted { key: "id".into(), columns, version: Some("gb".into()) }
    }

    const SAME: &str = r#"{"gb": "double precision", "id": "text", "more": "text"}"#;

    #[test]
    fn tables_are_made_grown_or_taken_as_they_are() {
        let ours = noted(SAME);
        assert_eq!(decide(&table(), None, false, true).expect("made"), TableStep::Create);
        assert_eq!(decide(&table(), Some(&ours), false, true).expect("anew"), TableStep::Create);
        assert_eq!(
            decide(&table(), Some(&ours), true, true).expect("as it is"),
            TableStep::Add(vec![])
        );
        let less = noted(r#"{"id": "text"}"#);
        let added = vec![("gb".to_owned(), PgType::Double)];
        assert_eq!(decide(&table(), Some(&less), true, true).expect("more"), TableStep::Add(added));
        assert_eq!(lacking(&table(), Some(&ours)), ["more"]);
        let unversioned = Noted { version: None, ..ours };
        assert!(decide(&table(), Some(&unversioned), true, true).is_ok(), "only this archive");
    }

    #[test]
    fn what_is_not_ours_or_differs_is_refused_with_the_difference() {
        let refused = |noted: Option<&Noted>, alone| {
            let error = decide(&table(), noted, true, alone).expect_err("refused");
            assert!(error.help.is_some());
            (error.kind, error.message)
        };
        let (kind, message) = refused(None, true);
        assert_eq!(kind, ErrorKind::Unsafe);
        assert_eq!(message, "the database already has \"s\".\"usage\", which windrow did not make");
        let retyped = noted(r#"{"id": "text", "gb": "text"}"#);
        assert_eq!(
            refused(Some(&retyped), true).1,
            "the column `gb` of stream `usage` is text over there, double precision here"
        );
        let recased = noted(r#"{"id": "text", "GB": "double precision"}"#);
        assert_eq!(
            refused(Some(&recased), true).1,
            "stream `usage` has a column `GB` over there and `gb` here, which are two members of \
             the source: an archive has a column for one of them"
        );
        let rekeyed = Noted { key: "id, day".into(), ..noted(SAME) };
        assert_eq!(
            refused(Some(&rekeyed), true).1,
            "the key of stream `usage` is (id, day) over there, (id) here"
        );
        let unversioned = Noted { version: None, ..noted(SAME) };
        assert_eq!(
            refused(Some(&unversioned), false).1,
            "rows of stream `usage` are told old from new by nothing over there, by `gb` here"
        );
    }
}
