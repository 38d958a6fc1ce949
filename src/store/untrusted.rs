//! An archive that somebody else gave: read, and nothing in it is believed before it was looked at.
//!
//! The file itself is never written, no log beside it is taken in, its schema must be what windrow
//! makes and nothing else. The settings are those of `SQLite`'s advice for untrusted files.

use std::io::Read;
use std::path::{Path, PathBuf};

use rusqlite::limits::Limit;
use rusqlite::{Connection, OpenFlags};

use crate::host::Stop;
use crate::host::files::{lock_holder, lock_path, open_named};

use crate::model::{Error, ErrorKind};
use crate::store::foreign::{at_file, guard};
use crate::store::formats::FORMATS;
use crate::store::open::{check_identity, refuse_missing, sqlite_address};
use crate::store::place::look_at;
use crate::store::reader::Reader;

/// What an SQLite file begins with.
const MAGIC: &[u8; 16] = b"SQLite format 3\0";
/// A statement of a schema that is longer was not made by windrow: a table of a thousand columns
/// is shorter.
const SQL_BYTES_MAX: i32 = 1_000_000;
/// Nothing of windrow's has as many columns.
const COLUMNS_MAX: i32 = 2_000;
/// Terms of one SELECT that are joined by UNION and the like: windrow's own statements have fewer,
/// and each term costs memory.
const COMPOUND_MAX: i32 = 20;
/// Nesting of an expression: windrow's own statements need less, and SQLite calls itself for each
/// level (it allows 1,000 by itself).
const DEPTH_MAX: i32 = 500;

/// Opens an archive of whoever's for reading beside another, as it is: with a log beside it, while
/// a sync runs, with tables and views of an analyst's, which are never read.
///
/// What is damaged, and what is not windrow's where windrow's tables must be, is refused as by
/// [`open_untrusted`]; nothing of the file's is run, and nothing is written, so that a change that
/// was broken off is not taken back either.
pub fn open_compared(path: &Path, stop: &Stop) -> Result<Reader, Error> {
    let found = path.metadata().map_err(|error| Error::io(path, "open", &error))?;
    if found.is_dir() {
        refuse_odd_place(path)?;
    } else if !found.is_file() {
        let message = format!("{} is no file", path.display());
        return Err(Error::new(ErrorKind::Unsafe, message).help("name an archive"));
    }
    look_at(path)?;
    if log_beside(path).is_none() {
        check_header(path)?;
    }
    let address = sqlite_address(path)?;
    let connection = match (open_limited(address.as_str(), path, stop), log_beside(path)) {
        // On read-only media there is no place for the log's index; the file itself is whole.
        (Err(error), None) if error.kind == ErrorKind::Storage => {
            open_limited(&format!("{address}?immutable=1"), path, stop)?
        }
        (Err(error), Some(beside)) if error.kind == ErrorKind::Storage => {
            let message = format!("a change of {} was broken off", path.display());
            let help = format!(
                "{} belongs to it: if it is an archive of your own, `windrow status` takes the \
                 change back",
                beside.display()
            );
            return Err(Error::new(ErrorKind::Unusable, message).help(help));
        }
        (other, _) => other?,
    };
    let format = check_identity(&connection, path, FORMATS)?;
    crate::store::schema::check_own_tables(&connection, path, format)?;
    connection.execute_batch("PRAGMA query_only = ON").map_err(at_file(path))?;
    Ok(Reader { connection, path: path.to_owned(), formats: FORMATS })
}

/// Looks at an archive whose definition is not its user's own, and refuses one in which anything
/// would act besides windrow: what has the place of a table of windrow's and, where the archive is
/// to be written, triggers and indexes with expressions on such a table.
pub fn look_at_given(path: &Path, writes: bool, stop: &Stop) -> Result<Reader, Error> {
    refuse_missing(path)?;
    let reader = open_compared(path, stop)?;
    if writes {
        let format = check_identity(&reader.connection, path, FORMATS)?;
        crate::store::schema::check_nothing_acts(&reader.connection, path, format)?;
    }
    Ok(reader)
}

/// A connection that runs nothing of the file and takes no more than windrow makes.
fn open_limited(address: &str, path: &Path, stop: &Stop) -> Result<Connection, Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_NOFOLLOW
        | OpenFlags::SQLITE_OPEN_URI;
    let open = || -> rusqlite::Result<Connection> {
        let mut connection = Connection::open_with_flags(address, flags)?;
        for (limit, value) in [
            (Limit::SQLITE_LIMIT_SQL_LENGTH, SQL_BYTES_MAX),
            (Limit::SQLITE_LIMIT_COLUMN, COLUMNS_MAX),
            (Limit::SQLITE_LIMIT_COMPOUND_SELECT, COMPOUND_MAX),
            (Limit::SQLITE_LIMIT_EXPR_DEPTH, DEPTH_MAX),
            (Limit::SQLITE_LIMIT_TRIGGER_DEPTH, 1),
        ] {
            connection.set_limit(limit, value)?;
        }
        guard(&mut connection, stop)?;
        Ok(connection)
    };
    open().map_err(at_file(path))
}

/// Opens an archive of somebody else's for reading, once its header, its neighbours and its schema
/// have been looked at.
///
/// A link, a file that is none, a log beside it, and a schema with anything that windrow does not
/// make are refused; so are a file that was cut off, one that is no archive, and one of a newer
/// format.
pub fn open_untrusted(path: &Path, stop: &Stop) -> Result<Reader, Error> {
    refuse_odd_place(path)?;
    check_header(path)?;
    let address = format!("{}?immutable=1", sqlite_address(path)?);
    let connection = open_limited(&address, path, stop)?;
    let format = check_identity(&connection, path, FORMATS)?;
    crate::store::schema::check_schema(&connection, path, format)?;
    Ok(Reader { connection, path: path.to_owned(), formats: FORMATS })
}

/// A link may lead to another file by the time that it is opened; a log beside the file would be
/// taken for a part of it by the next program.
fn refuse_odd_place(path: &Path) -> Result<(), Error> {
    let refuse = |message: String, help: &str| {
        Err(Error::new(ErrorKind::Unsafe, message).help(help.to_owned()))
    };
    let name = path.display();
    let found = path.symlink_metadata().map_err(|error| Error::io(path, "open", &error))?;
    if found.file_type().is_symlink() {
        return refuse(format!("{name} is a link"), "name the file that you were given itself");
    }
    if found.is_dir() {
        let message = format!("{name} is a folder");
        return Err(Error::new(ErrorKind::Unusable, message).help("name a file in it"));
    }
    if !found.is_file() {
        return refuse(format!("{name} is no file"), "name the file that you were given");
    }
    look_at(path)?;
    if let Some(beside) = log_beside(path) {
        let message = format!("{} lies beside it", beside.display());
        let help = "an archive that is given away is one file: ask for a hand-off, or if it is \
                    an archive of your own, make it one file with `windrow eject`";
        return refuse(message, help);
    }
    match lock_holder(&lock_path(path)) {
        Ok(Some(note)) => {
            let message = format!("{name} is held by {note}");
            let help = "wait until it is done, or ask for a hand-off, which is made meanwhile";
            Err(Error::new(ErrorKind::Held, message).help(help))
        }
        _ => Ok(()),
    }
}

/// A log beside a file that has something to add to it. An empty one, which a reader leaves behind,
/// has not.
pub(super) fn log_beside(path: &Path) -> Option<PathBuf> {
    let beside = ["-wal", "-journal"].into_iter().map(|ending| {
        let mut beside = path.as_os_str().to_owned();
        beside.push(ending);
        PathBuf::from(beside)
    });
    let says = |beside: &PathBuf| {
        beside.symlink_metadata().is_ok_and(|found| !found.is_file() || found.len() > 0)
    };
    beside.into_iter().find(says)
}

/// The first hundred bytes tell whether it is a whole SQLite file.
fn check_header(path: &Path) -> Result<(), Error> {
    let unusable = |message: String, help: &str| {
        Err(Error::new(ErrorKind::Unusable, message).help(help.to_owned()))
    };
    let (name, again) = (path.display(), "ask for it again");
    let read_error = |error: std::io::Error| Error::io(path, "read", &error);
    let mut header = Vec::with_capacity(100);
    let file = open_named(path).map_err(read_error)?;
    let length = file.metadata().map_err(read_error)?.len();
    file.take(100).read_to_end(&mut header).map_err(read_error)?;
    if header.is_empty() {
        return unusable(format!("{name} is empty"), again);
    }
    let (Some(magic), Some(page), Some(versions), Some(pages)) =
        (header.get(..16), header.get(16..18), header.get(18..20), header.get(28..32))
    else {
        return unusable(format!("{name} is not an SQLite file"), "name an archive");
    };
    if magic != MAGIC {
        return unusable(format!("{name} is not an SQLite file"), "name an archive");
    }
    let page = match u64::from(u16::from_be_bytes([page[0], page[1]])) {
        1 => 65_536,
        size => size,
    };
    let pages = u64::from(u32::from_be_bytes([pages[0], pages[1], pages[2], pages[3]]));
    // Bytes that SQLite keeps for later, and leaves empty, hold nobody's message.
    let kept_free = header.get(72..92).is_some_and(|bytes| bytes.iter().all(|byte| *byte == 0));
    if !kept_free || header.len() < 100 || !page.is_power_of_two() || page < 512 || header[20] != 0
    {
        return unusable(format!("{name} is damaged: its header makes no sense"), again);
    }
    if !matches!(versions, [1, 1] | [2, 2]) {
        return unusable(format!("{name} is damaged: its header makes no sense"), again);
    }
    match length.cmp(&(page * pages)) {
        std::cmp::Ordering::Equal => Ok(()),
        std::cmp::Ordering::Less => unusable(
            format!("{name} was cut off: {length} of {} bytes are there", page * pages),
            again,
        ),
        std::cmp::Ordering::Greater => unusable(
            format!("{name} is damaged: {} bytes follow its last page", length - page * pages),
            again,
        ),
    }
}
