//! Which columns a stream has when its definition does not say: what its first page shows.

use std::collections::HashMap;

use indexmap::{IndexMap, IndexSet};

use crate::definition::{Column, ColumnType, Path, TimeFormat, is_column_name};

use super::extract::{ExtractError, extract};
use super::json::{JsonKind, Members, string_text};
use super::non_numbers::non_number;

/// The columns of the records of a page, in the order in which they first appear. `times` are the
/// columns that windows and marks are about: they become dates or timestamps where their values
/// look so.
///
/// Only names that SQL takes as they are become columns; everything else stays in `_rest`. A
/// number becomes `number`, which holds integers, doubles and exact text, since one page cannot
/// tell that the next one brings no fraction. Of names that differ in the case of letters alone,
/// which SQLite takes for one, one becomes a column, whatever their order: one of `needed`, which
/// the definition names, else the last by its bytes, which is the one in lower case.
pub fn infer_columns(
    body: &str,
    path: &Path,
    times: &[&str],
    needed: &[&str],
) -> Result<Vec<Column>, ExtractError> {
    let mut guesses: IndexMap<String, Guess> = IndexMap::new();
    extract(body, path, &mut |steps| {
        let raw = steps.last().map_or("", |step| step.raw);
        let Ok(members) = Members::parse(raw) else { return };
        for (name, value) in &members.0 {
            if !guesses.contains_key(name.as_ref()) {
                guesses.insert(name.to_string(), Guess::new(name));
            }
            guesses[name.as_ref()].look(value);
        }
    })?;
    let named = guesses.values().filter(|guess| is_column_name(&guess.name));
    let mut columns: Vec<Column> =
        named.filter_map(|guess| Some(Column::plain(&guess.name, guess.kind(times)?))).collect();
    let rank = |name: &str| (needed.contains(&name) || times.contains(&name), name.to_owned());
    let mut best: HashMap<String, (bool, String)> = HashMap::new();
    for column in &columns {
        let rank = rank(&column.name);
        let standing = best.entry(column.name.to_ascii_lowercase()).or_insert_with(|| rank.clone());
        if rank > *standing {
            *standing = rank;
        }
    }
    columns.retain(|column| best[&column.name.to_ascii_lowercase()].1 == column.name);
    Ok(columns)
}

/// The most names that are told; beyond, nobody reads them and columns are not inferred.
pub const MEMBER_NAMES_MAX: usize = 1_001;

/// The names of the members of a page's records, in the order in which they first appear.
pub fn member_names(body: &str, path: &Path) -> Vec<String> {
    let mut names: IndexSet<String> = IndexSet::new();
    let found = extract(body, path, &mut |steps| {
        let raw = steps.last().map_or("", |step| step.raw);
        let Ok(members) = Members::parse(raw) else { return };
        for (name, _) in &members.0 {
            if names.len() < MEMBER_NAMES_MAX && !names.contains(name.as_ref()) {
                names.insert(name.to_string());
            }
        }
    });
    if found.is_err() { Vec::new() } else { names.into_iter().collect() }
}

struct Guess {
    name: String,
    kinds: Vec<JsonKind>,
    all_dates: bool,
    all_timestamps: bool,
}

impl Guess {
    fn new(name: &str) -> Self {
        Self { name: name.to_owned(), kinds: Vec::new(), all_dates: true, all_timestamps: true }
    }

    fn look(&mut self, raw: &str) {
        let kind = JsonKind::of(raw);
        // `NaN` tells as little of a column as null does.
        if kind == JsonKind::Null || non_number(raw).is_some() {
            return;
        }
        if !self.kinds.contains(&kind) {
            self.kinds.push(kind);
        }
        let text = if kind == JsonKind::String { string_text(raw) } else { None };
        let text = text.unwrap_or_default();
        let date = chrono::NaiveDate::parse_from_str(&text, "%Y-%m-%d").is_ok();
        self.all_dates &= date && text.len() == 10;
        self.all_timestamps &= TimeFormat::Rfc3339.read(&text, None).is_some();
    }

    /// Nothing but nulls tells nothing; two kinds are kept as JSON.
    fn kind(&self, times: &[&str]) -> Option<ColumnType> {
        let time = times.contains(&self.name.as_str());
        Some(match self.kinds.as_slice() {
            [] => return None,
            [JsonKind::String] if time && self.all_dates => ColumnType::Date,
            [JsonKind::String] if time && self.all_timestamps => ColumnType::Timestamp,
            [JsonKind::String] => ColumnType::Text,
            [JsonKind::Number] => ColumnType::Number,
            [JsonKind::Boolean] => ColumnType::Boolean,
            _ => ColumnType::Json,
        })
    }
}
