//! The log beside the user's other state: a few files of bounded size, readable by their owner
//! alone.
//!
//! Rotation is by size. The crates for it panic where a folder cannot be made or where two
//! processes rotate at once, or bound the number of files and not their size; here every failure is
//! an error that the caller may shrug at.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use super::files::{append_own, look_own, make_private, make_private_folder};

/// The most bytes of one file: about ten thousand requests.
pub const LOG_BYTES_MAX: u64 = 2 * 1024 * 1024;
/// Files in all: the current one and older ones, `.1` the latest. They take 10 MiB together.
pub const LOG_FILES_MAX: usize = 5;

/// The log of this process, shared with others that run at the same time.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    file: Option<File>,
    bytes_max: u64,
}

impl LogFile {
    /// The log in a folder. Neither is made before there is something to write.
    pub fn in_folder(folder: &Path) -> Self {
        Self { path: folder.join("windrow.log"), file: None, bytes_max: LOG_BYTES_MAX }
    }

    /// The path of the file that lines are added to.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Adds a line, its end included. The files before it make room; a line that no file can hold
    /// is left out.
    pub fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let length = line.len() as u64;
        if length > self.bytes_max {
            return Ok(());
        }
        // By the handle: another process may have moved the file on.
        let full = |bytes: u64| bytes + length > self.bytes_max;
        let fits = match &self.file {
            Some(file) => !full(file.metadata()?.len()),
            None => false,
        };
        if !fits {
            if fs::symlink_metadata(&self.path).is_ok_and(|known| full(known.len())) {
                self.rotate()?;
            }
            self.file = Some(self.open()?);
        }
        // One call for one line: appending is atomic, so that processes do not mix theirs.
        self.file.as_mut().map_or(Ok(()), |file| file.write_all(line))
    }

    /// Whether the file may be written to: it may be missing, and it is no link, no FIFO or
    /// device, no other file's second name, and no other user's.
    ///
    /// # Errors
    ///
    /// A [`super::files::FileRefusal`].
    pub fn look(&self) -> io::Result<()> {
        look_own(&self.path)
    }

    fn open(&self) -> io::Result<File> {
        if let Some(folder) = self.path.parent() {
            make_private_folder(folder)?;
        }
        let file = append_own(&self.path)?;
        make_private(&file)?;
        Ok(file)
    }

    fn rotate(&mut self) -> io::Result<()> {
        self.file = None;
        for number in (1..LOG_FILES_MAX - 1).rev() {
            // Where there is none yet, or another process has just moved it.
            let _ = fs::rename(self.numbered(number), self.numbered(number + 1));
        }
        fs::rename(&self.path, self.numbered(1))
    }

    fn numbered(&self, number: usize) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(format!(".{number}"));
        PathBuf::from(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(folder: &Path) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("the folder").flatten();
        let mut names: Vec<String> =
            entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    #[test]
    fn the_number_and_the_size_of_files_are_bounded_and_the_newest_lines_stay() {
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("state/windrow");
        // Two processes, one after the other on the same files.
        let mut logs = [0, 1].map(|_| LogFile { bytes_max: 100, ..LogFile::in_folder(&inside) });
        for number in 0..200 {
            logs[number % 2].append(format!("line {number:04}\n").as_bytes()).expect("a line");
        }
        logs[0].append(&[b'x'; 101]).expect("left out");
        let expected = ["", ".1", ".2", ".3", ".4"].map(|end| format!("windrow.log{end}"));
        assert_eq!(names(&inside), expected);
        let mut all = String::new();
        for name in expected {
            let text = fs::read_to_string(inside.join(&name)).expect("text");
            assert!(text.len() <= 100 && text.ends_with('\n'), "{name}: {text:?}");
            all.push_str(&text);
        }
        assert!(all.contains("line 0199") && all.contains("line 0198"), "{all}");
        assert!(!all.contains("line 0100"), "{all}");
    }

    #[cfg(unix)]
    #[test]
    fn a_log_is_its_owners_alone_also_one_that_was_not() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().expect("a folder");
        let inside = folder.path().join("state");
        let mode = |path: &Path| fs::metadata(path).expect("it").permissions().mode() & 0o777;
        let mut log = LogFile::in_folder(&inside);
        log.append(b"a\n").expect("a line");
        assert_eq!((mode(&inside), mode(log.path())), (0o700, 0o600));
        fs::set_permissions(log.path(), fs::Permissions::from_mode(0o644)).expect("a mode");
        LogFile::in_folder(&inside).append(b"b\n").expect("a line");
        assert_eq!(mode(log.path()), 0o600);
        assert_eq!(fs::read_to_string(log.path()).expect("text"), "a\nb\n");
    }

    #[test]
    fn a_folder_that_cannot_be_made_is_an_error() {
        let folder = tempfile::tempdir().expect("a folder");
        fs::write(folder.path().join("file"), "").expect("a file");
        let mut log = LogFile::in_folder(&folder.path().join("file/state"));
        assert!(log.append(b"a\n").is_err());
    }
}
