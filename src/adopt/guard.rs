//! A CSV file whose quotes are watched while it is read (RFC 4180, section 2).
//!
//! A reader of CSV takes a quote that is never closed for a very long field, and the rest of the
//! file with it. Here the line is named in which it opens, before memory has filled.

use std::fmt;
use std::io::Read;

/// The longest record, bytes: far above any row of a table, far below a laptop's memory.
const RECORD_BYTES_MAX: usize = 16 * 1024 * 1024;

/// What is wrong with a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CsvFault {
    /// A quote that opens in this line is closed nowhere, or in the middle of a field.
    Quote(u64),
    /// The record that begins in this line is too long to be one.
    Long(u64),
}

impl fmt::Display for CsvFault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            CsvFault::Quote(line) => {
                write!(out, "line {line}: a quote opens and is not closed where its field ends")
            }
            CsvFault::Long(line) => write!(out, "line {line}: a record longer than 16 MiB"),
        }
    }
}

impl std::error::Error for CsvFault {}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GuardState {
    /// Where a field begins.
    Start,
    /// In a field without quotes.
    Plain,
    /// In a field with quotes.
    Quoted,
    /// After a quote in such a field: its end, or the first of two.
    Closed,
}

/// Hands bytes on and fails at the first fault.
pub struct Guard<R> {
    inner: R,
    delimiter: u8,
    state: GuardState,
    line: u64,
    opened: u64,
    began: u64,
    length: usize,
}

impl<R: Read> Guard<R> {
    /// Watches a file whose fields are apart by `delimiter`.
    pub fn new(inner: R, delimiter: u8) -> Self {
        Self { inner, delimiter, state: GuardState::Start, line: 1, opened: 1, began: 1, length: 0 }
    }

    fn step(&mut self, byte: u8) -> Result<(), CsvFault> {
        self.length += 1;
        if self.length > RECORD_BYTES_MAX {
            let open = self.state == GuardState::Quoted;
            return Err(if open {
                CsvFault::Quote(self.opened)
            } else {
                CsvFault::Long(self.began)
            });
        }
        self.line += u64::from(byte == b'\n');
        let quoted = self.state == GuardState::Quoted;
        self.state = match (self.state, byte) {
            (GuardState::Start, b'"') => {
                self.opened = self.line;
                GuardState::Quoted
            }
            (GuardState::Closed, b'"') => GuardState::Quoted,
            (GuardState::Quoted, b'"') => GuardState::Closed,
            (GuardState::Quoted, _) => GuardState::Quoted,
            (_, b'\r' | b'\n') => GuardState::Start,
            (_, byte) if byte == self.delimiter => GuardState::Start,
            (GuardState::Closed, _) => return Err(CsvFault::Quote(self.opened)),
            (GuardState::Start | GuardState::Plain, _) => GuardState::Plain,
        };
        if byte == b'\n' && !quoted {
            self.length = 0;
            self.began = self.line;
        }
        Ok(())
    }
}

impl<R: Read> Read for Guard<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let count = self.inner.read(buffer)?;
        if count == 0 && !buffer.is_empty() && self.state == GuardState::Quoted {
            return Err(std::io::Error::other(CsvFault::Quote(self.opened)));
        }
        for byte in &buffer[..count] {
            self.step(*byte).map_err(std::io::Error::other)?;
        }
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn fault(text: &str) -> Option<CsvFault> {
        let mut out = String::new();
        let error = Guard::new(text.as_bytes(), b',').read_to_string(&mut out).err()?;
        error.get_ref()?.downcast_ref::<CsvFault>().copied()
    }

    #[test]
    fn a_broken_quote_is_found_in_the_line_where_it_opens() {
        let cases = [
            ("a,b\n1,\"x\"\n", None),
            ("a,b\n1,\"x \"\"y\"\" \n z\"\n2,3\n", None),
            ("a,b\r\n\"1\",\"\"\r\n", None),
            ("a,b\n1,5\" pipe\n", None),
            ("a,b\n1,\"x\n2,y\n", Some(CsvFault::Quote(2))),
            ("a,b\n1,2\n1,\"x\n2,\"y\"\n", Some(CsvFault::Quote(3))),
            ("a,b\n\"x\"y,2\n", Some(CsvFault::Quote(2))),
        ];
        for (text, expected) in cases {
            assert_eq!(fault(text), expected, "{text:?}");
        }
        let long = format!("a,b\n1,2\n{}", "x".repeat(RECORD_BYTES_MAX + 1));
        assert_eq!(fault(&long), Some(CsvFault::Long(3)));
        let open = format!("a,b\n1,\"{}", "x\n".repeat(RECORD_BYTES_MAX));
        assert_eq!(fault(&open), Some(CsvFault::Quote(2)));
    }

    proptest! {
        #[test]
        fn what_a_csv_writer_writes_has_no_fault(
            rows in prop::collection::vec(prop::collection::vec("[a\",\r\n ]{0,6}", 3), 1..8),
        ) {
            let mut writer = csv::Writer::from_writer(Vec::new());
            for row in &rows {
                writer.write_record(row).expect("in memory");
            }
            let bytes = writer.into_inner().expect("in memory");
            prop_assert_eq!(fault(&String::from_utf8(bytes).expect("text")), None);
        }
    }
}
