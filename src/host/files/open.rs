//! The one place that opens files by name, and what it refuses.
//!
//! Whoever can write to a folder can put a link, a FIFO or a device under a name that windrow is
//! about to use. So a name is looked at before it is opened, a link in its last part is not
//! followed where windrow chose the name, nothing is waited for, and what was opened is looked at
//! again by its handle.

use std::fmt;
use std::fs::{File, Metadata, OpenOptions};
use std::io::{Error, ErrorKind, Read, Result, Write};
use std::path::{Path, PathBuf};

use super::{Files, folder_of, sync_directory};

/// How often a name is looked at again that somebody changes while it is opened: another windrow
/// that ends takes its lock file away once.
const OPEN_TRIES_MAX: u32 = 10;
/// How many unpredictable names are tried for a draft: two are never alike by chance.
const DRAFT_TRIES_MAX: u32 = 10;
/// Letters of a file's name that the name of its draft begins with: with what follows it is no
/// longer than a name may be.
const DRAFT_LETTERS_MAX: usize = 40;

/// Why a file is not opened although it is there: opening it might do harm, or wait for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileRefusal {
    path: PathBuf,
    fault: Fault,
    named: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(not(unix), allow(dead_code, reason = "only Unix tells owners and second names"))]
enum Fault {
    Link,
    /// What it is instead of a regular file.
    Other(&'static str),
    Links(u64),
    Owner(u32),
    Moving,
}

impl FileRefusal {
    /// What is wrong, with the path.
    pub fn message(&self) -> String {
        let name = self.path.display();
        match &self.fault {
            Fault::Link => format!("{name} is a symbolic link, which windrow does not follow"),
            Fault::Other(kind) => format!("{name} is {kind}, not a regular file"),
            Fault::Links(number) => {
                format!("{name} has {number} hard links: it is another file's name as well")
            }
            Fault::Owner(user) => format!("{name} belongs to another user (uid {user})"),
            Fault::Moving => format!("{name} was replaced again and again while it was opened"),
        }
    }

    /// What to do about it.
    pub fn help(&self) -> String {
        let name = self.path.display();
        match &self.fault {
            Fault::Other("a FIFO") if self.named => {
                "write what comes out of the pipe into a file, and name that file".to_owned()
            }
            _ if self.named => "name a regular file".to_owned(),
            Fault::Owner(_) => format!(
                "run windrow as the user who owns {name}; if nobody needs it, remove it, or use a \
                 folder that only you can write to"
            ),
            Fault::Moving => "use a folder that only you can write to".to_owned(),
            Fault::Link | Fault::Other(_) | Fault::Links(_) => {
                format!("find out who made {name}, remove that name, and run the command again")
            }
        }
    }
}

impl fmt::Display for FileRefusal {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.message())
    }
}

impl std::error::Error for FileRefusal {}

/// The refusal in an error of this module; none where the system itself failed.
pub fn refusal(error: &Error) -> Option<&FileRefusal> {
    error.get_ref()?.downcast_ref()
}

/// What is demanded of a file before it is used.
#[derive(Clone, Copy)]
struct Demand {
    /// A link in the last part of the name is followed: a person chose the name.
    follow: bool,
    /// The name is the file's only one.
    single: bool,
    /// The file belongs to the user who runs this.
    own: bool,
}

/// A file that a person names to be read.
const NAMED: Demand = Demand { follow: true, single: false, own: false };
/// A file that somebody gave.
const GIVEN: Demand = Demand { follow: false, single: false, own: false };
/// A file beside an archive of anybody's.
const BESIDE: Demand = Demand { follow: false, single: true, own: false };
/// A file of windrow's own.
const OWN: Demand = Demand { follow: false, single: true, own: true };

/// Opens a file of windrow's own for reading and writing, one for its owner alone where it is not
/// there yet. What is in it stays.
///
/// # Errors
///
/// A [`FileRefusal`] for a link, for what is no regular file, for a file with another name, and for
/// one of another user; the system's errors.
pub fn open_own(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false);
    open(path, &mut options, OWN)
}

/// Opens a file of windrow's own for adding to it; see [`open_own`].
pub fn append_own(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    open(path, &mut options, OWN)
}

/// Opens a file of windrow's own that is there already; see [`open_own`].
pub fn open_own_left(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true).write(true), OWN)
}

/// Reads a small file of windrow's own; see [`open_own`].
pub fn read_own(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    bounded(open(path, OpenOptions::new().read(true), OWN)?, bytes_max)
}

/// Opens a file beside an archive of anybody's for reading: no link, and with one name.
pub(super) fn open_beside(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true), BESIDE)
}

/// Opens a file that somebody gave for reading: no link.
pub fn open_given(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true), GIVEN)
}

/// Opens a regular file that a person names for reading; links are followed. Never while this
/// process has it open with SQLite: the closing of this handle would drop SQLite's locks.
pub fn open_named(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true), NAMED)
}

/// Reads a file that a person names, up to a limit; a longer one is `FileTooLarge`.
pub fn read_named(path: &Path, bytes_max: u64) -> Result<Vec<u8>> {
    bounded(open_named(path)?, bytes_max)
}

/// The same as text; what is no UTF-8 is `InvalidData`.
pub fn read_named_text(path: &Path, bytes_max: u64) -> Result<String> {
    String::from_utf8(read_named(path, bytes_max)?)
        .map_err(|_| Error::new(ErrorKind::InvalidData, "it is not UTF-8 text"))
}

/// Opens a file that a person names for writing, and changes nothing in it.
pub(super) fn write_named(path: &Path) -> Result<File> {
    open(path, OpenOptions::new().read(true).write(true), NAMED)
}

/// Whether SQLite may open the file at `path` by its name; one that is not there it may make.
///
/// `beside` tells a file that windrow or SQLite named from the archive itself, which may be a link.
///
/// # Errors
///
/// A [`FileRefusal`]; the system's errors.
pub fn look(path: &Path, beside: bool) -> Result<()> {
    let demand = if beside { BESIDE } else { NAMED };
    match found(path, demand) {
        Ok(found) => refuse(path, &found, demand),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Whether windrow may use what is at `path` as a file of its own; one that is not there it may
/// make. Errors of the system are left to whoever opens it.
///
/// # Errors
///
/// A [`FileRefusal`].
pub fn look_own(path: &Path) -> Result<()> {
    found(path, OWN).map_or(Ok(()), |found| refuse(path, &found, OWN))
}

fn bounded(file: File, bytes_max: u64) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    // One byte more tells that it is too long.
    if file.take(bytes_max.saturating_add(1)).read_to_end(&mut bytes)? as u64 > bytes_max {
        let message = format!("it is longer than {bytes_max} bytes");
        return Err(Error::new(ErrorKind::FileTooLarge, message));
    }
    Ok(bytes)
}

fn open(path: &Path, options: &mut OpenOptions, demand: Demand) -> Result<File> {
    private(options);
    without_waiting(options, demand);
    for _ in 0..OPEN_TRIES_MAX {
        // Before it is opened: the opening of a device may do something by itself.
        if let Ok(found) = found(path, demand) {
            refuse(path, &found, demand)?;
        }
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) => {
                // It may have been put there since.
                found(path, demand).map_or(Ok(()), |found| refuse(path, &found, demand))?;
                return Err(error);
            }
        };
        let opened = file.metadata()?;
        refuse(path, &opened, demand)?;
        if !demand.own {
            return Ok(file);
        }
        // A second name of somebody's file has none beside it once the first one is gone, so that
        // the name is asked again.
        match path.symlink_metadata() {
            Ok(named) if same_file(&named, &opened) => {
                refuse(path, &named, demand)?;
                return Ok(file);
            }
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Err(refused(path, Fault::Moving, demand))
}

fn found(path: &Path, demand: Demand) -> Result<Metadata> {
    if demand.follow { path.metadata() } else { path.symlink_metadata() }
}

fn refused(path: &Path, fault: Fault, demand: Demand) -> Error {
    let refusal = FileRefusal { path: path.to_owned(), fault, named: demand.follow };
    Error::new(ErrorKind::InvalidInput, refusal)
}

fn refuse(path: &Path, found: &Metadata, demand: Demand) -> Result<()> {
    let kind = found.file_type();
    if kind.is_symlink() {
        return Err(refused(path, Fault::Link, demand));
    }
    if kind.is_dir() && demand.follow {
        return Err(Error::from(ErrorKind::IsADirectory));
    }
    if !kind.is_file() {
        return Err(refused(path, Fault::Other(kind_of(kind)), demand));
    }
    refuse_owner(path, found, demand)
}

#[cfg(unix)]
fn kind_of(kind: std::fs::FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    if kind.is_dir() {
        "a folder"
    } else if kind.is_fifo() {
        "a FIFO"
    } else if kind.is_socket() {
        "a socket"
    } else {
        "a device"
    }
}

#[cfg(not(unix))]
fn kind_of(kind: std::fs::FileType) -> &'static str {
    if kind.is_dir() { "a folder" } else { "a device" }
}

#[cfg(unix)]
fn refuse_owner(path: &Path, found: &Metadata, demand: Demand) -> Result<()> {
    use std::os::unix::fs::MetadataExt;
    if demand.single && found.nlink() > 1 {
        return Err(refused(path, Fault::Links(found.nlink()), demand));
    }
    let owner = found.uid();
    let own = rustix::process::geteuid().as_raw();
    if demand.own && owner != own && owner_of_new_files(path) != Some(owner) {
        return Err(refused(path, Fault::Owner(owner), demand));
    }
    Ok(())
}

#[cfg(not(unix))]
fn refuse_owner(_path: &Path, _found: &Metadata, _demand: Demand) -> Result<()> {
    Ok(())
}

/// Whom a file belongs to that is made beside `path`: on a stick, and on shares, all files belong
/// to one user whoever makes them.
#[cfg(unix)]
fn owner_of_new_files(path: &Path) -> Option<u32> {
    use std::os::unix::fs::MetadataExt;
    let (file, trial) = create_draft(path).ok()?;
    let owner = file.metadata().map(|found| found.uid());
    std::fs::remove_file(trial).ok()?;
    owner.ok()
}

#[cfg(unix)]
fn same_file(one: &Metadata, other: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

#[cfg(not(unix))]
fn same_file(_one: &Metadata, _other: &Metadata) -> bool {
    // What is open cannot be removed here.
    true
}

/// Nothing is waited for: neither the other end of a FIFO nor a device.
#[cfg(unix)]
fn without_waiting(options: &mut OpenOptions, demand: Demand) {
    use rustix::fs::OFlags;
    use std::os::unix::fs::OpenOptionsExt;
    let mut flags = OFlags::NONBLOCK | OFlags::NOCTTY;
    if !demand.follow {
        flags |= OFlags::NOFOLLOW;
    }
    options.custom_flags(i32::try_from(flags.bits()).unwrap_or(0));
}

#[cfg(not(unix))]
fn without_waiting(_options: &mut OpenOptions, _demand: Demand) {}

/// Makes new files readable by their owner alone.
#[cfg(unix)]
fn private(options: &mut OpenOptions) {
    use std::os::unix::fs::OpenOptionsExt;
    options.mode(0o600);
}

#[cfg(not(unix))]
fn private(_options: &mut OpenOptions) {}

/// Makes an empty file that only its owner may read; one that is there is an error, and so is a
/// link, wherever it leads.
pub fn create_private(path: &Path) -> Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create_new(true);
    private(&mut options);
    options.open(path)
}

/// Makes a file that only its owner may read, with this text; one that is there is an error.
pub fn make_private_file(path: &Path, text: &str) -> Result<()> {
    make_private_bytes(path, text.as_bytes())
}

/// The same with bytes.
pub fn make_private_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    let mut file = create_private(path)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    sync_directory(path)
}

/// Makes a file readable by its owner alone; no effect where there are no such modes.
pub fn make_private(file: &File) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
    }
    let _ = file;
    Ok(())
}

/// Letters that nobody can know before: 64 bits as hexadecimal digits.
pub fn fresh_word() -> String {
    let mut bytes = [0; 8];
    let word = match getrandom::fill(&mut bytes) {
        Ok(()) => u64::from_le_bytes(bytes),
        // The names are made exclusively all the same.
        Err(_) => fastrand::u64(..),
    };
    format!("{word:016x}")
}

/// Makes a file for its owner alone beside `path`, under a name that nobody can know before.
pub fn create_draft(path: &Path) -> Result<(File, PathBuf)> {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let begin: String = name.chars().take(DRAFT_LETTERS_MAX).collect();
    let mut made = Err(Error::from(ErrorKind::AlreadyExists));
    for _ in 0..DRAFT_TRIES_MAX {
        let draft = path.with_file_name(format!("{begin}-new-{}", fresh_word()));
        made = create_private(&draft).map(|file| (file, draft));
        if !made.as_ref().is_err_and(|error| error.kind() == ErrorKind::AlreadyExists) {
            break;
        }
    }
    made
}

/// Puts these bytes under a name, for the owner alone and durably: as a whole, or what was there
/// stays. A link of that name is replaced, and the file that it leads to is not.
pub fn replace(path: &Path, bytes: &[u8], files: &dyn Files) -> Result<()> {
    let (mut file, draft) = create_draft(path)?;
    let written = file.write_all(bytes);
    drop(file);
    let replaced = written.and_then(|()| files.publish(&draft, path));
    if replaced.is_err() {
        // Nobody knows it by this name.
        let _ = std::fs::remove_file(&draft);
    }
    replaced
}

/// Whether a file can be made and written beside `path`, by doing it and taking it away again:
/// modes, read-only mounts, quotas and full disks all have their say in that.
pub fn try_making(path: &Path) -> Result<()> {
    let (mut file, trial) = create_draft(path)?;
    let written = file.write_all(b"windrow doctor");
    std::fs::remove_file(&trial)?;
    written
}

/// Whether the file at `path` can be opened for writing; writes nothing. Never while this process
/// has it open with SQLite: the closing of this handle would drop SQLite's locks.
pub fn try_writing(path: &Path) -> Result<()> {
    write_named(path).map(drop)
}

/// What is in the folder of `path` under names that begin like this.
pub fn names_beside(path: &Path, begin: &str) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let found = entries.filter(|entry| entry.file_name().to_string_lossy().starts_with(begin));
    found.map(|entry| path.with_file_name(entry.file_name())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::SystemFiles;

    #[cfg(unix)]
    #[test]
    fn what_is_no_file_of_ours_is_refused_and_one_that_a_person_names_may_be_a_link() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        std::fs::write(path("plain"), "plain").expect("a file");
        std::fs::write(path("two"), "two").expect("a file");
        std::fs::hard_link(path("two"), path("second")).expect("a link");
        std::os::unix::fs::symlink("plain", path("link")).expect("a link");
        std::fs::create_dir(path("folder")).expect("a folder");
        let socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        type Open = fn(&Path) -> Result<File>;
        let openers: [(&str, Open); 6] = [
            ("own", open_own),
            ("append", append_own),
            ("left", open_own_left),
            ("beside", open_beside),
            ("given", open_given),
            ("named", open_named),
        ];
        // Which of them open it.
        let cases = [
            ("plain", "own append left beside given named"),
            ("second", "given named"),
            ("link", "named"),
            ("folder", ""),
            ("socket", ""),
        ];
        for (name, expected) in cases {
            let opened = openers.iter().filter(|(_, open)| open(&path(name)).is_ok());
            let opened: Vec<&str> = opened.map(|(opener, _)| *opener).collect();
            assert_eq!(opened.join(" "), expected, "{name}");
        }
        drop(socket);
        let error = open_own(&path("link")).expect_err("a link");
        let refusal = refusal(&error).expect("a refusal");
        assert!(refusal.message().contains("link is a symbolic link"), "{refusal}");
        assert!(refusal.help().contains("remove that name"), "{}", refusal.help());
        let device = open_named(Path::new("/dev/null")).expect_err("a device");
        assert_eq!(device.to_string(), "/dev/null is a device, not a regular file");
        assert_eq!(std::fs::read(path("plain")).expect("the file"), b"plain");
    }

    #[test]
    fn a_file_is_read_to_a_bound() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a");
        std::fs::write(&path, "12345").expect("a file");
        assert_eq!(read_named(&path, 5).expect("it fits"), b"12345");
        let long = read_own(&path, 4).expect_err("one byte more");
        assert_eq!(long.kind(), ErrorKind::FileTooLarge);
        std::fs::write(&path, [0xff]).expect("a file");
        let binary = read_named_text(&path, 5).expect_err("no text");
        assert_eq!(binary.kind(), ErrorKind::InvalidData);
        assert!(try_making(&path).is_ok() && try_making(&path.join("no")).is_err());
    }

    #[test]
    fn a_file_is_replaced_as_a_whole_and_a_draft_never_stays() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a".repeat(255));
        replace(&path, b"one", &SystemFiles).expect("a long name");
        replace(&path, b"two", &SystemFiles).expect("again");
        assert_eq!(std::fs::read(&path).expect("the file"), b"two");
        std::fs::create_dir(folder.path().join("folder")).expect("a folder");
        replace(&folder.path().join("folder"), b"x", &SystemFiles).expect_err("in the way");
        assert_eq!(std::fs::read_dir(folder.path()).expect("the folder").count(), 2);
        assert_ne!(fresh_word(), fresh_word());
    }
}
