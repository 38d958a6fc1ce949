//! A moment of an archive's past, and which versions of rows were true at it.

use crate::store::row::only;
use rusqlite::Connection;
use rusqlite::named_params;

use crate::model::{Timestamp, instant_to_text};

/// A moment of the past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moment {
    /// What the archive said once everything of this instant was written.
    After(Timestamp),
    /// What it said just before this instant.
    Before(Timestamp),
    /// What it said when this run had ended; 0 is before the first run.
    Run(i64),
}

impl Moment {
    /// Of a row that is there now: whether it has been so since then. `row` is the table's name.
    pub(crate) fn still(&self, row: &str) -> String {
        match self {
            Moment::After(at) => format!("{row}.\"_changed_at\" <= '{}'", instant_to_text(*at)),
            Moment::Before(at) => format!("{row}.\"_changed_at\" < '{}'", instant_to_text(*at)),
            Moment::Run(run) => format!("{row}.\"_run\" <= {run}"),
        }
    }

    /// Of a version that was replaced: whether it was true then. Of one row that holds for one
    /// version at most.
    pub(crate) fn was(&self, row: &str) -> String {
        format!("{} AND {}", self.still(row), self.ended_since(row))
    }

    /// Of a version that was replaced: whether that was since then.
    pub(crate) fn ended_since(&self, row: &str) -> String {
        match self {
            Moment::After(at) => format!("{row}.\"_replaced_at\" > '{}'", instant_to_text(*at)),
            Moment::Before(at) => format!("{row}.\"_replaced_at\" >= '{}'", instant_to_text(*at)),
            Moment::Run(run) => format!("{row}.\"_replaced_run\" > {run}"),
        }
    }

    /// Whether a history that is whole since `from` reaches back to this moment.
    pub(crate) fn is_in(&self, from: &str, connection: &Connection) -> rusqlite::Result<bool> {
        match self {
            _ if from.is_empty() => Ok(true),
            Moment::After(at) | Moment::Before(at) => Ok(from <= instant_to_text(*at).as_str()),
            // Then every run since must have ended with the history on.
            Moment::Run(run) => {
                let sql = "SELECT NOT EXISTS (SELECT 1 FROM _windrow_runs
                    WHERE run_id > :run AND coalesce(finished_at, started_at) < :from)";
                connection.query_row(sql, named_params! { ":run": run, ":from": from }, only)
            }
        }
    }

    /// When it was, as far as that can be told by the clock.
    pub(crate) fn begins(&self, connection: &Connection) -> rusqlite::Result<String> {
        match self {
            Moment::After(at) | Moment::Before(at) => Ok(instant_to_text(*at)),
            Moment::Run(run) => {
                let sql = "SELECT coalesce(min(started_at), '9999') FROM _windrow_runs
                    WHERE run_id > :run";
                connection.query_row(sql, named_params! { ":run": run }, only)
            }
        }
    }
}
