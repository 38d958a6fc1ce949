//! Taking an adoption back: its rows go, unless a sync has confirmed them since.

use chrono::TimeDelta;
use serde::Serialize;

use crate::adopt::AdoptionRow;
use crate::definition::{ColumnType, Stream, StreamKind};
use crate::model::{Error, Window, instant_to_text};
use crate::store::{Archive, RunStart, Tx};

use super::unverified::unverified;

/// What was taken back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Undone {
    /// The run that had adopted it.
    pub run: i64,
    pub stream: String,
    pub file: String,
    /// Rows that the adoption had brought and that left the table.
    pub removed: u64,
    /// Rows that stay, since a sync has confirmed them.
    pub confirmed: u64,
}

/// Takes back an adoption, all of it or nothing. `stream` and the type of its window's field tell
/// which rows lie in time that is confirmed.
pub fn undo(
    archive: &Archive,
    adoption: &AdoptionRow,
    stream: Option<&Stream>,
    start: &RunStart<'_>,
) -> Result<Undone, Error> {
    archive.transaction(|tx| take_back(tx, adoption, stream, start))
}

fn take_back(
    tx: &Tx<'_>,
    adoption: &AdoptionRow,
    stream: Option<&Stream>,
    start: &RunStart<'_>,
) -> Result<Undone, Error> {
    let fetches = tx.fetches_since(&adoption.stream, adoption.run)?;
    let rules = match stream.map(|stream| &stream.kind) {
        Some(StreamKind::Window(rules)) => Some(rules),
        _ => None,
    };
    if stream.is_none() && fetches.iter().any(|fetch| fetch.complete) {
        let message = format!("the definition has no stream `{}`", adoption.stream);
        let help = "without it nobody can tell which rows a sync has confirmed since";
        return Err(Error::usage(message).help(help));
    }
    let mut open: Vec<Option<Window>> = Vec::new();
    for span in tx.adopted_spans(&adoption.stream)? {
        if span.run == adoption.run {
            open.extend(unverified(&span, &fetches));
        }
    }
    let adopted = tx.count_of_run(&adoption.stream, adoption.run)?;
    let removed = match rules {
        Some(rules) => {
            let kind = tx.column_type(&adoption.stream, &rules.field)?;
            let as_stored = |window: &Window| match kind {
                Some(ColumnType::Date) => {
                    let day = |at: chrono::DateTime<chrono::Utc>| {
                        at.with_timezone(&rules.zone).date_naive()
                    };
                    let last = day(window.end() - TimeDelta::milliseconds(1));
                    let after = last.succ_opt().unwrap_or(last);
                    (day(window.start()).to_string(), after.to_string())
                }
                _ => (instant_to_text(window.start()), instant_to_text(window.end())),
            };
            let stretches: Vec<_> = open.iter().flatten().map(as_stored).collect();
            tx.take_back(adoption, Some(&rules.field), &stretches)?
        }
        None if open.is_empty() => 0,
        None => tx.take_back(adoption, None, &[])?,
    };
    tx.forget_adoption(adoption)?;
    let (run, file) = (adoption.run, &adoption.file);
    tx.note_run(start, &format!("undid run {run}, which had adopted {file}"))?;
    Ok(Undone {
        run,
        stream: adoption.stream.clone(),
        file: file.clone(),
        removed,
        confirmed: adopted - removed,
    })
}
