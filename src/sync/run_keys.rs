//! Keys that several partitions or windows of one run give: whether they mean the same record.
//!
//! A key that two parents use for different records, or that lacks the day of a daily record, would
//! make one row of two, at each sync another one. The rows of a run are kept in filters of a few
//! bits for each key; only where a filter knows a key is the archive asked, before and after.

use std::collections::HashMap;

use crate::definition::{ColumnOrigin, Key, Stream, StreamKind};
use crate::model::{Error, RowSet, WindowKey};
use crate::store::{TableWriter, Tx};

use super::tally::takes_any_order;

/// Bits of a filter for each key that it is made for: one key in 1,700 is asked for in vain.
const BITS_PER_KEY: usize = 16;
/// Places of a key in a filter.
const PLACES: u64 = 8;
/// The most keys that a filter is made for: 4 MiB. With more of them it asks in vain more often.
const KEYS_MAX: usize = 2_000_000;

/// The most keys with which a filter alone tells that it holds one: it is wrong once in five
/// thousand million times. With more of them it takes a row that this run has written.
const SURE_KEYS_MAX: usize = 250_000;

/// A set that may say yes to a key that it does not hold, and never no to one that it does.
#[derive(Debug, Default)]
struct KeyFilter {
    words: Vec<u64>,
    len: usize,
}

impl KeyFilter {
    fn places(&self, key: u64) -> impl Iterator<Item = (usize, u64)> + use<> {
        let bits = (self.words.len() * 64) as u64;
        let step = (key >> 32) | 1;
        (0..PLACES).map(move |n| {
            let bit = key.wrapping_add(step.wrapping_mul(n)) % bits.max(1);
            (usize::try_from(bit / 64).unwrap_or(0), 1 << (bit % 64))
        })
    }

    fn holds(&self, key: u64) -> bool {
        !self.words.is_empty() && self.places(key).all(|(word, bit)| self.words[word] & bit != 0)
    }

    /// Whether it holds the key, beyond doubt.
    fn surely_holds(&self, key: u64) -> bool {
        self.len <= SURE_KEYS_MAX && self.holds(key)
    }

    fn clear(&mut self) {
        self.len = 0;
        self.words.fill(0);
    }

    fn add(&mut self, key: u64) {
        if self.words.is_empty() {
            self.words = vec![0; KEYS_MAX * BITS_PER_KEY / 64];
        }
        self.len += 1;
        for (word, bit) in self.places(key).collect::<Vec<_>>() {
            self.words[word] |= bit;
        }
    }

    fn take_in(&mut self, other: &mut Self) {
        if other.len == 0 {
            return;
        }
        if self.words.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        self.len += other.len;
        for (word, more) in self.words.iter_mut().zip(&mut other.words) {
            *word |= std::mem::take(more);
        }
        other.len = 0;
    }
}

/// The keys of a stream in one run.
#[derive(Debug, Default)]
pub struct RunKeys {
    /// The keys that earlier partitions of the run have given.
    partitions: KeyFilter,
    /// Of earlier windows of the partition in hand.
    windows: KeyFilter,
    /// Of the fetch in hand.
    current: KeyFilter,
    of: Option<WindowKey>,
}

/// Whether two partitions or windows of the stream may give one key for two records.
pub fn is_at_risk(stream: &Stream) -> bool {
    if stream.shared_key || stream.version.is_some() || takes_any_order(stream) {
        return false;
    }
    let (Key::Columns(fields) | Key::Hash(fields)) = &stream.key;
    let from_parent =
        |name: &String| {
            stream.columns.iter().flatten().any(|column| {
                column.name == *name && matches!(column.origin, ColumnOrigin::Parent(_))
            })
        };
    let by_parent = stream.for_each.is_some() && !fields.iter().any(from_parent);
    let by_window = match &stream.kind {
        StreamKind::Window(rules) => !fields.contains(&rules.field),
        StreamKind::Snapshot { .. } | StreamKind::Cursor(_) => false,
    };
    by_parent || by_window
}

/// A row of a page that an earlier partition or window of the run has given.
pub struct KnownRow {
    /// A hash of its key: writing takes orphans out of the page, and so moves its rows.
    key: u64,
    revision: i64,
}

impl RunKeys {
    /// A fetch begins; or begins again, and then its keys are held against the others' once more.
    pub fn begin(&mut self, window_key: &WindowKey) {
        match self.of.replace(window_key.clone()) {
            Some(of) if of == *window_key => self.current.clear(),
            Some(of) if of.partition == window_key.partition => {
                self.windows.take_in(&mut self.current);
            }
            _ => {
                self.partitions.take_in(&mut self.windows);
                self.partitions.take_in(&mut self.current);
            }
        }
    }

    /// Which rows of a page another partition or window of this run has given already. Call it
    /// before the page is written.
    ///
    /// What another partition has given counts also where it was in the archive before and is
    /// unchanged since. Of windows it does not: they overlap, and a record may change between two
    /// requests for it.
    pub fn known_rows(
        &mut self,
        tx: &Tx<'_>,
        table: &TableWriter,
        rows: &RowSet,
        run: i64,
    ) -> Result<Vec<KnownRow>, Error> {
        let mut known = Vec::new();
        for (at, key) in rows.key_hashes.iter().enumerate() {
            if (self.partitions.holds(*key) || self.windows.holds(*key))
                && !self.current.holds(*key)
                && let Some((written_by, revision)) = tx.row_stamp(table, rows, at)?
                && (written_by == run || self.partitions.surely_holds(*key))
            {
                known.push(KnownRow { key: *key, revision });
            }
        }
        for key in &rows.key_hashes {
            self.current.add(*key);
        }
        Ok(known)
    }
}

/// The first of these rows that the page has changed: two records have its key.
pub fn changed_row(
    tx: &Tx<'_>,
    table: &TableWriter,
    rows: &RowSet,
    known: &[KnownRow],
) -> Result<Option<usize>, Error> {
    if known.is_empty() {
        return Ok(None);
    }
    let places = rows.key_hashes.iter().enumerate().map(|(at, key)| (*key, at));
    let places: HashMap<u64, usize> = places.collect();
    for row in known {
        // An orphan is not written, and so changes nothing.
        let Some(at) = places.get(&row.key).copied() else { continue };
        let now = tx.row_stamp(table, rows, at)?;
        if now.is_some_and(|(_, revision)| revision != row.revision) {
            return Ok(Some(at));
        }
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spread(number: u64) -> u64 {
        let mixed = number.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (mixed ^ (mixed >> 29)).wrapping_mul(0xBF58_476D_1CE4_E5B9)
    }

    #[test]
    fn a_filter_never_forgets_and_seldom_invents() {
        let (mut one, mut two) = (KeyFilter::default(), KeyFilter::default());
        assert!(!one.holds(7));
        (0..200_000).for_each(|n| one.add(spread(n)));
        (200_000..400_000).for_each(|n| two.add(spread(n)));
        one.take_in(&mut two);
        assert!((0..400_000).all(|n| one.holds(spread(n))));
        assert!(!(200_000..400_000).any(|n| two.holds(spread(n))), "it is empty again");
        let invented = (1_000_000..1_100_000).filter(|n| one.holds(spread(*n))).count();
        assert!(invented < 10, "{invented}");
        assert!(!one.surely_holds(spread(7)), "there are too many");
        one.clear();
        assert!(!one.holds(spread(7)));
        (0..SURE_KEYS_MAX as u64).for_each(|n| one.add(spread(n)));
        assert!(one.surely_holds(spread(7)));
        assert!(!(1_000_000..2_000_000).any(|n| one.surely_holds(spread(n))));
    }
}
