//! The file's records on their way into the scratch, each once: a row, or a reject.

use std::collections::BTreeMap;

use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::adopt::{RecordOrigin, Scratch};
use crate::definition;
use crate::host::Stop;
use crate::model::{Error, RowSet, hexadecimal};
use crate::record::{RecordReader, extract};

use super::file::{AdoptedFile, FileRecord};
use super::keep::Ranking;
use super::matching::ColumnMatching;

/// Rejects of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct RejectCount {
    /// The name of the reject's kind, as `_windrow_rejects.kind` has it.
    pub kind: &'static str,
    pub count: u64,
    /// The first one's place and reason.
    pub example: String,
}

/// What the file holds.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    pub records: u64,
    /// Records that can be rows.
    pub rows: u64,
    /// Records that cannot be rows, by kind.
    pub rejects: Vec<RejectCount>,
    /// SHA-256 of the records in their order, hexadecimal.
    pub sha256: String,
}

impl Loaded {
    /// Counts a reject of `kind`; the first of each kind is the example.
    pub fn count_reject(rejects: &mut Vec<RejectCount>, kind: &'static str, reason: &str) {
        match rejects.iter_mut().find(|have| have.kind == kind) {
            Some(have) => have.count += 1,
            None => rejects.push(RejectCount { kind, count: 1, example: reason.to_owned() }),
        }
    }
}

/// Reads the whole file into the scratch.
pub fn load(
    file: &AdoptedFile,
    matching: &ColumnMatching,
    reader: &RecordReader,
    ranking: &mut Ranking,
    scratch: &Scratch,
    stop: &Stop,
) -> Result<Loaded, Error> {
    let whole = definition::Path::parse("$").expect("the root is a path");
    let nobody = BTreeMap::new();
    let mut loaded = Loaded::default();
    let mut hasher = Sha256::new();
    let mut rows = RowSet::new(reader.width());
    file.each_record(&mut |place, record| {
        if let Some(cause) = stop.cause() {
            return Err(cause.into());
        }
        loaded.records += 1;
        let (text, taken) = match &record {
            FileRecord::Fields(values) => {
                let (text, taken) = matching.records_of(values);
                (text, Some(taken))
            }
            FileRecord::Json(text) => ((*text).to_owned(), None),
        };
        hasher.update(text.as_bytes());
        hasher.update(b"\n");
        rows.cells.clear();
        rows.text.clear();
        rows.bytes.clear();
        rows.key_hashes.clear();
        let mut read = Ok(());
        let body = taken.as_deref().unwrap_or(&text);
        extract(body, &whole, &mut |steps| read = reader.read(steps, &nobody, &mut rows))
            .map_err(|error| Error::usage(format!("record {place}: {error}")))?;
        match read {
            Ok(()) => {
                loaded.rows += 1;
                let rank = ranking.rank(place, &record, &rows, 0)?;
                scratch.add(RecordOrigin { place, rank: &rank, record: &text }, &rows, 0)?;
            }
            Err(mut refusal) => {
                refusal.reason = format!("{} {place}: {}", file.unit(), refusal.reason);
                let reject = refusal.reject(text, Some(matching.beside.clone()), 0);
                Loaded::count_reject(&mut loaded.rejects, reject.kind.as_str(), &reject.reason);
                scratch.reject(place, &reject)?;
            }
        }
        Ok(())
    })?;
    loaded.sha256 = hexadecimal(&hasher.finalize());
    Ok(loaded)
}
