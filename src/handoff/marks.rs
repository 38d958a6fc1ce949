//! Which row is not as it was given? A digest says that one differs; these marks say which.
//!
//! A mark is the CRC-32 of a row, in the order of the key. It need not withstand anybody: whether
//! anything was changed at all is the digest's word.

use std::collections::VecDeque;

/// Marks of rows in one piece of the hand-off's own table.
pub const MARKS_PER_CHUNK: usize = 4096;
/// How far rows are looked for that have moved, in marks.
const LOOK_AHEAD: usize = 1024;
/// Rows that are told of by name; the others are counted.
const NAMED_MAX: usize = 20;

/// The mark of a row, from its line in the digest of all its values.
pub fn mark(line: &[u8]) -> [u8; 4] {
    let mut crc = flate2::Crc::new();
    crc.update(line);
    crc.sum().to_be_bytes()
}

/// Puts a chunk of marks away by its number.
pub type Put<'p, E> = &'p mut dyn FnMut(i64, &[u8]) -> Result<(), E>;

/// The marks of a stream's rows on their way, so that no more than a chunk is in memory.
#[derive(Debug, Default)]
pub struct Chunks {
    bytes: Vec<u8>,
    number: i64,
}

impl Chunks {
    /// The next row's line; a chunk that is full is put away by its number.
    pub fn add<E>(&mut self, line: &[u8], put: Put<'_, E>) -> Result<(), E> {
        self.bytes.extend(mark(line));
        if self.bytes.len() < MARKS_PER_CHUNK * 4 { Ok(()) } else { self.flush(put) }
    }

    /// The rows have ended.
    pub fn end<E>(mut self, put: Put<'_, E>) -> Result<(), E> {
        if self.bytes.is_empty() { Ok(()) } else { self.flush(put) }
    }

    fn flush<E>(&mut self, put: Put<'_, E>) -> Result<(), E> {
        put(self.number, &self.bytes)?;
        self.number += 1;
        self.bytes.clear();
        Ok(())
    }
}

/// Rows of a stream that are not as they were given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Altered {
    /// Keys of rows that were changed or added, the first ones.
    pub keys: Vec<String>,
    /// How many those are.
    pub altered: u64,
    /// Keys before which rows are missing, the first ones; none stands for the end.
    pub missing_before: Vec<Option<String>>,
    /// How many rows are missing.
    pub missing: u64,
}

/// Compares rows as they come with the marks that they had.
pub struct MarkMatching<'m> {
    expected: &'m [u8],
    at: usize,
    odd: VecDeque<String>,
    found: Altered,
}

impl<'m> MarkMatching<'m> {
    /// Begins with the marks as they were given.
    pub fn new(expected: &'m [u8]) -> Self {
        Self { expected, at: 0, odd: VecDeque::new(), found: Altered::default() }
    }

    /// The next row: its line and its key.
    pub fn row(&mut self, line: &[u8], key: impl FnOnce() -> String) {
        let found = mark(line);
        let (rest, _) = self.expected[self.at..].as_chunks::<4>();
        // A row that is not here can only have moved by what is missing or was put in.
        let reach = LOOK_AHEAD.max(self.odd.len() * 2);
        match rest.iter().take(reach).position(|mark| *mark == found) {
            Some(skipped) => {
                if skipped > 0 || !self.odd.is_empty() {
                    self.settle(skipped, Some(key()));
                }
                self.at += (skipped + 1) * 4;
            }
            None => self.odd.push_back(key()),
        }
    }

    /// Rows that were not known stand for as many of those that are gone.
    fn settle(&mut self, skipped: usize, before: Option<String>) {
        self.found.altered += self.odd.len() as u64;
        let missing = skipped.saturating_sub(self.odd.len());
        let room = NAMED_MAX.saturating_sub(self.found.keys.len());
        self.found.keys.extend(self.odd.drain(..).take(room));
        if missing > 0 {
            self.found.missing += missing as u64;
            if self.found.missing_before.len() < NAMED_MAX {
                self.found.missing_before.push(before);
            }
        }
    }

    /// The rows have ended.
    pub fn end(mut self) -> Altered {
        let left = (self.expected.len() - self.at) / 4;
        if left > 0 || !self.odd.is_empty() {
            self.settle(left, None);
        }
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn altered(given: &[&str], now: &[&str]) -> Altered {
        let marks: Vec<u8> = given.iter().flat_map(|line| mark(line.as_bytes())).collect();
        let mut matching = MarkMatching::new(&marks);
        for line in now {
            matching.row(line.as_bytes(), || (*line).to_owned());
        }
        matching.end()
    }

    #[test]
    fn a_row_that_was_changed_added_or_taken_away_is_named() {
        let given = ["a", "b", "c", "d"];
        assert_eq!(altered(&given, &given), Altered::default());
        let changed = altered(&given, &["a", "B", "c", "d"]);
        assert_eq!((changed.keys, changed.altered, changed.missing), (vec!["B".into()], 1, 0));
        let added = altered(&given, &["a", "b", "x", "c", "d"]);
        assert_eq!((added.keys, added.missing), (vec!["x".into()], 0));
        let taken = altered(&given, &["a", "d"]);
        assert_eq!((taken.missing, taken.missing_before), (2, vec![Some("d".into())]));
        assert_eq!(taken.altered, 0);
        let last = altered(&given, &["a", "b", "c"]);
        assert_eq!((last.missing, last.missing_before), (1, vec![None]));
        let all = altered(&given, &[]);
        assert_eq!((all.missing, all.altered), (4, 0));
    }

    proptest! {
        #[test]
        fn rows_and_what_is_missing_always_add_up(
            given in prop::collection::vec(0_u16..500, 0..60),
            now in prop::collection::vec(0_u16..500, 0..60),
        ) {
            let text = |n: &u16| n.to_string();
            let (given, now): (Vec<String>, Vec<String>) =
                (given.iter().map(text).collect(), now.iter().map(text).collect());
            let lines: Vec<&str> = given.iter().map(String::as_str).collect();
            let rows: Vec<&str> = now.iter().map(String::as_str).collect();
            let found = altered(&lines, &rows);
            let same = given == now;
            prop_assert_eq!(found == Altered::default(), same);
            // Each row that was given is found again, stands for an altered one, or is missing.
            prop_assert!(found.missing <= given.len() as u64);
            prop_assert!(found.altered <= now.len() as u64);
        }
    }
}
