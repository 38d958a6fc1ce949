//! Which findings somebody was told of.

use rusqlite::{Connection, named_params};

use crate::definition::Severity;
use crate::model::{Error, Timestamp, instant_to_text};
use crate::store::reader::Reader;
use crate::store::row::named;
use crate::store::row::only;
use crate::store::transaction::Tx;

/// What an alert knows of a finding.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertRow {
    pub alert: String,
    /// The identity of the finding, the same in each check.
    pub finding: String,
    /// Which check found it.
    pub check: String,
    /// The stream, table or source.
    pub stream: String,
    /// How grave it was when it was told.
    pub severity: Severity,
    /// What should have been there.
    pub expected: String,
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
    /// How many changes the alerts have seen.
    pub fn alert_changes(&self) -> Result<i64, Error> {
        self.run(changes)
    }

    /// What an alert knows of these findings, and of those that are not solved.
    pub fn alert_rows(&self, alert: &str, findings: &[&str]) -> Result<Vec<AlertRow>, Error> {
        self.run(|connection| rows(connection, alert, findings))
    }

    /// When the archive was made, which a copy of it keeps.
    pub fn made_at(&self) -> Result<String, Error> {
        let sql = "SELECT value FROM _windrow_meta WHERE name = 'created_at'";
        self.run(|connection| connection.query_row(sql, [], only))
    }
}

impl Tx<'_> {
    /// Keeps what alerts know from now on, all under one count.
    pub fn put_alerts(&self, rows: &[AlertRow], now: Timestamp) -> Result<(), Error> {
        let sql = "INSERT INTO _windrow_alerts (alert, finding, check_name, stream, severity,
                expected, found, help, episode, opened_at, solved_at, change)
            VALUES (:alert, :finding, :check, :stream, :severity, :expected, :found, :help,
            :episode, :now, iif(:solved, :now, NULL), :change)
            ON CONFLICT (alert, finding) DO UPDATE SET severity = excluded.severity,
                expected = excluded.expected, found = excluded.found, help = excluded.help,
                episode = excluded.episode, solved_at = excluded.solved_at,
                opened_at = iif(:solved, opened_at, excluded.opened_at), change = excluded.change";
        let now = instant_to_text(now);
        self.run(|connection| {
            let change = changes(connection)? + 1;
            let mut statement = connection.prepare_cached(sql)?;
            for row in rows {
                statement.execute(named_params! {
                    ":alert": row.alert,
                    ":finding": row.finding,
                    ":check": row.check,
                    ":stream": row.stream,
                    ":severity": row.severity.as_str(),
                    ":expected": row.expected,
                    ":found": row.found,
                    ":help": row.help,
                    ":episode": row.episode,
                    ":now": now,
                    ":solved": row.solved,
                    ":change": change,
                })?;
            }
            Ok(())
        })
    }
}

fn changes(connection: &Connection) -> rusqlite::Result<i64> {
    let sql = "SELECT coalesce(max(change), 0) FROM _windrow_alerts";
    connection.query_row(sql, [], only)
}

fn rows(
    connection: &Connection,
    alert: &str,
    findings: &[&str],
) -> rusqlite::Result<Vec<AlertRow>> {
    let sql = "SELECT alert, finding, check_name, stream, severity, expected, found, help, episode,
            solved_at IS NOT NULL AS solved, change
        FROM _windrow_alerts
        WHERE alert = :alert AND (solved_at IS NULL OR finding IN (SELECT value
        FROM json_each(:findings)))
        ORDER BY finding";
    let findings = serde_json::Value::from(findings.to_vec()).to_string();
    let mut statement = connection.prepare_cached(sql)?;
    let rows =
        statement.query_map(named_params! { ":alert": alert, ":findings": findings }, |row| {
            Ok(AlertRow {
                alert: row.get("alert")?,
                finding: row.get("finding")?,
                check: row.get("check_name")?,
                stream: row.get("stream")?,
                severity: named(row, "severity", ("_windrow_alerts", "severity"))?,
                expected: row.get("expected")?,
                found: row.get("found")?,
                help: row.get("help")?,
                episode: row.get("episode")?,
                solved: row.get("solved")?,
                change: row.get("change")?,
            })
        })?;
    rows.collect()
}
