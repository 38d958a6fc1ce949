//! What was fetched by another request than the one of the definition at hand.

use std::collections::BTreeSet;

use serde::Serialize;

use super::numbers::many_are;
use crate::definition::RequestChange;

/// Entries of a stream's ledger that another request has fetched.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outdated {
    /// The number of the entries.
    #[serde(rename = "outdated")]
    pub entries: u64,
    /// The keys of the definition that have changed since, in backticks.
    pub changed: BTreeSet<String>,
}

impl Outdated {
    /// Adds so many entries, whose request differs in this.
    pub fn add(&mut self, entries: u64, changes: &[RequestChange]) {
        if entries > 0 && !changes.is_empty() {
            self.entries += entries;
            self.changed.extend(changes.iter().map(RequestChange::spoken));
        }
    }

    /// Adds others of the same stream.
    pub fn extend(&mut self, more: Outdated) {
        self.entries += more.entries;
        self.changed.extend(more.changed);
    }

    /// In one sentence; none where there are none. `is_window`: the entries are windows.
    pub fn spoken(&self, is_window: bool) -> Option<String> {
        let entry = if is_window { "window" } else { "fetch" };
        let changed: Vec<&str> = self.changed.iter().map(String::as_str).collect();
        let changed = changed.join(", ");
        let what = many_are(self.entries, entry);
        (self.entries > 0).then(|| format!("{what} outdated ({changed} changed)"))
    }
}
