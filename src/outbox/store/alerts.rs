//! Which findings somebody was told of.

use rusqlite::{Connection, params};

use crate::definition::Severity;
use crate::model::{Error, Timestamp, instant_to_text};
use crate::store::read::Reader;

use crate::outbox::store::open::Outbox;

/// What an alert knows of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    /// The alert's name.
    pub alert: String,
    /// The finding's identity.
    pub finding: String,
    /// Which check found it.
    pub check: String,
    /// The stream, table or source.
    pub stream: String,
    /// How grave it was when it was told.
    pub severity: Severity,
    /// What should have been there.
    pub expected: String,
    /// What was there.
    pub found: String,
    /// The command that mends it.
    pub help: String,
    /// How often it has come, this time included.
    pub episode: u32,
    /// Whether it is there no longer.
    pub solved: bool,
    /// When it was changed, on a count of such changes.
    pub change: i64,
}

impl Reader {
    /// How many changes the alerts have seen; none in an archive of a format without them.
    pub fn alert_changes(&self) -> Result<i64, Error> {
        if self.has_alerts()? { self.run(changes) } else { Ok(0) }
    }

    /// What an alert knows of these findings, and of those that are not solved.
    pub fn alert_rows(&self, alert: &str, findings: &[&str]) -> Result<Vec<AlertRow>, Error> {
        match self.has_alerts()? {
            true => self.run(|connection| rows(connection, alert, findings)),
            false => Ok(Vec::new()),
        }
    }

    fn has_alerts(&self) -> Result<bool, Error> {
        let sql = "SELECT count(*) FROM sqlite_schema WHERE name = '_windrow_alerts'";
        self.run(|connection| connection.query_row(sql, [], |row| row.get(0)))
    }
}

impl Outbox {
    /// What an alert knows of these findings, and of those that are not solved.
    pub fn alert_rows(&self, alert: &str, findings: &[&str]) -> Result<Vec<AlertRow>, Error> {
        self.read(|connection| rows(connection, alert, findings))
    }

    /// When the archive was made, which a copy of it keeps.
    pub fn made_at(&self) -> Result<String, Error> {
        let sql = "SELECT value FROM _windrow_meta WHERE name = 'created_at'";
        self.read(|connection| connection.query_row(sql, [], |row| row.get(0)))
    }

    /// Keeps what alerts know from now on, all under one count.
    pub fn put_alerts(&self, rows: &[AlertRow], now: Timestamp) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_alerts (alert, finding, check_name, stream, severity,
                expected, found, help, episode, opened_at, solved_at, change)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, iif(?11, ?10, NULL), ?12)
            ON CONFLICT (alert, finding) DO UPDATE SET severity = excluded.severity,
                expected = excluded.expected, found = excluded.found, help = excluded.help,
                episode = excluded.episode, solved_at = excluded.solved_at,
                opened_at = iif(?11, opened_at, excluded.opened_at), change = excluded.change";
        let now = instant_to_text(now);
        self.write(|connection| {
            let change = changes(connection)? + 1;
            let mut statement = connection.prepare_cached(sql)?;
            for row in rows {
                statement.execute(params![
                    row.alert,
                    row.finding,
                    row.check,
                    row.stream,
                    row.severity.as_str(),
                    row.expected,
                    row.found,
                    row.help,
                    row.episode,
                    now,
                    row.solved,
                    change,
                ])?;
            }
            Ok(())
        })
    }
}

fn changes(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(max(change), 0) FROM _windrow_alerts";
    connection.query_row(sql, [], |row| row.get(0))
}

fn rows(
    connection: &Connection,
    alert: &str,
    findings: &[&str],
) -> rusqlite::Result<Vec<AlertRow>> {
    let sql = "SELECT alert, finding, check_name, stream, severity, expected, found, help, episode,
            solved_at IS NOT NULL, change
        FROM _windrow_alerts
        WHERE alert = ?1 AND (solved_at IS NULL OR finding IN (SELECT value FROM json_each(?2)))
        ORDER BY finding";
    let findings = serde_json::Value::from(findings.to_vec()).to_string();
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map(params![alert, findings], |row| {
        Ok(AlertRow {
            alert: row.get(0)?,
            finding: row.get(1)?,
            check: row.get(2)?,
            stream: row.get(3)?,
            severity: Severity::parse(&row.get::<_, String>(4)?).unwrap_or(Severity::Warning),
            expected: row.get(5)?,
            found: row.get(6)?,
            help: row.get(7)?,
            episode: row.get(8)?,
            solved: row.get(9)?,
            change: row.get(10)?,
        })
    })?;
    rows.collect()
}
