//! `windrow merge`: takes other archives in.

use std::path::{Path, PathBuf};

use clap::Args;

use crate::cli::text::merged_page;
use crate::handoff::{Opened, Room, verify};
use crate::host::Host;
use crate::merge::MergeOrder;
use crate::merge::merge;
use crate::model::{Command, Error, ErrorKind, instant_to_text};
use crate::model::{ExitCode, bytes};
use crate::store::{Archive, FORMATS, Formats, Opening, Reader, holder_note, look_at_given};

use super::global::Global;
use super::output::Output;
use super::verify::GivenArguments;
use super::workspace::{load_definition, parse_duration, waiting_for};

/// From this size on it is said how much room a merge may take.
const ROOM_TOLD_FROM: u64 = 64 * 1024 * 1024;

#[derive(Debug, Args)]
pub struct MergeArguments {
    /// The archives or hand-offs to add
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// Print what would be inserted, replaced and complete, and change nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    pub given: GivenArguments,
    /// Wait this long for another process that holds the archive
    #[arg(long, value_name = "DURATION")]
    pub wait: Option<String>,
}

pub fn run(
    args: &MergeArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let wait = args.wait.as_deref().map(parse_duration).transpose()?;
    let (path, allow_network_fs) = archive_of(global, host)?;
    let note = holder_note(Command::Merge, host.clock.now());
    let now = host.clock.now();
    let opening =
        Opening { note: &note, now: &instant_to_text(now), allow_network_fs, files: &*host.files };
    let mut others = Others::new(&args.given, &opening, host, FORMATS);
    for file in &args.files {
        refuse_itself(&path, file)?;
        others.open(file)?;
    }
    say_room(&args.files, output);
    let made = !path.exists();
    let (archive, _room) = match args.dry_run {
        true => open_untouched(&path, &opening, host, FORMATS)?,
        false => (waiting_for(wait, host, || Archive::open(&path, &opening))?, None),
    };
    let version = env!("CARGO_PKG_VERSION");
    let order = MergeOrder { now, version, dry_run: args.dry_run };
    let report = merge(&archive, &others.readers(), &order);
    archive.close()?;
    if made && report.is_err() && !args.dry_run {
        // It was made for this alone.
        host.files.remove(&path).map_err(|error| Error::io(&path, "remove", &error))?;
    }
    let report = report?;
    if output.json() {
        output.json_line(&report)?;
    } else {
        output.result(&merged_page(&report))?;
    }
    Ok(ExitCode::Done)
}

/// The archive that is merged into, and whether a network file system is taken. Whoever was given
/// a file and has nothing else need not have a definition.
fn archive_of(global: &Global, host: &Host) -> Result<(PathBuf, bool), Error> {
    match &global.archive {
        Some(archive) if !global.definition.exists() => {
            if archive.exists() {
                look_at_given(archive, true, &host.stop)?;
            }
            Ok((archive.clone(), false))
        }
        _ => {
            let definition = load_definition(global)?;
            Ok((definition.archive, definition.allow_network_fs))
        }
    }
}

/// Opens the archive so that what is done and taken back leaves every byte of it as it is; else a
/// copy, which goes with the room: where opening and closing it changes it, or another process
/// has it, or it cannot be written.
fn open_untouched(
    path: &Path,
    opening: &Opening<'_>,
    host: &Host,
    formats: Formats,
) -> Result<(Archive, Option<Room>), Error> {
    if Archive::opens_untouched(path, formats) {
        match Archive::open_with(path, opening, formats) {
            Err(error) if matches!(error.kind, ErrorKind::Held | ErrorKind::Storage) => {}
            other => return Ok((other?, None)),
        }
    }
    let room = Room::make(host)?;
    let copy = room.archive();
    if path.exists() {
        Reader::open_with(path, formats)?.copy_into(&copy, &host.stop)?;
    }
    Ok((Archive::open_with(&copy, opening, formats)?, Some(room)))
}

fn refuse_itself(archive: &Path, file: &Path) -> Result<(), Error> {
    let full = |path: &Path| path.canonicalize().ok();
    let same = full(archive).is_some() && full(archive) == full(file) || is_link(archive, file);
    if !same {
        return Ok(());
    }
    let message = format!("{} is the archive itself", file.display());
    Err(Error::usage(message).help("name another archive, or a copy with syncs of its own"))
}

#[cfg(unix)]
fn is_link(one: &Path, other: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    let place = |path: &Path| path.metadata().ok().map(|known| (known.dev(), known.ino()));
    place(one).is_some() && place(one) == place(other)
}

#[cfg(not(unix))]
fn is_link(_one: &Path, _other: &Path) -> bool {
    false
}

/// One transaction is in the log as a whole before it is in the archive.
fn say_room(files: &[PathBuf], output: &Output) {
    let sizes = files.iter().filter_map(|file| file.metadata().ok()).map(|known| known.len());
    let size: u64 = sizes.sum();
    if size >= ROOM_TOLD_FROM {
        output.say(&format!(
            "merging {}: it may need up to about {} of space beside the archive\n",
            bytes(size),
            bytes(size.saturating_mul(2))
        ));
    }
}

/// The archives that are taken in, opened for reading and proven. They close before their copies
/// go.
struct Others<'o> {
    opened: Vec<(String, Opened)>,
    given: &'o GivenArguments,
    opening: &'o Opening<'o>,
    host: &'o Host,
    formats: Formats,
    /// Copies that were brought up to this format.
    lifted: Vec<Room>,
}

impl<'o> Others<'o> {
    fn new(
        given: &'o GivenArguments,
        opening: &'o Opening<'o>,
        host: &'o Host,
        formats: Formats,
    ) -> Self {
        Self { opened: Vec::new(), given, opening, host, formats, lifted: Vec::new() }
    }

    /// Here and nowhere else an archive is opened that somebody else may have written. All of it is
    /// looked at before anything of it is taken.
    fn open(&mut self, file: &Path) -> Result<(), Error> {
        let mut opened = self.given.open(file, self.host)?;
        // A manifest speaks of the file as it was given.
        let verified = verify(&opened, self.host)?;
        if opened.reader.format()? < self.formats.newest().version() {
            self.lift(&mut opened)?;
        }
        let name = file.display().to_string();
        if let Some(difference) = verified.differences.first() {
            let place = match (&difference.key, difference.place.as_str()) {
                (Some(key), place) => format!("{place} ({key}): "),
                (None, "") => String::new(),
                (None, place) => format!("{place}: "),
            };
            let message = format!("{name} is not taken in: {place}{}", difference.what);
            let help = format!("`windrow verify {name}` lists all of it; ask for it again");
            return Err(Error::new(ErrorKind::Unsafe, message).help(help));
        }
        self.opened.push((name, opened));
        Ok(())
    }

    fn readers(&self) -> Vec<(String, &Reader)> {
        self.opened.iter().map(|(name, opened)| (name.clone(), &opened.reader)).collect()
    }

    /// An archive of an older format is brought up to this one in a copy of our own.
    fn lift(&mut self, older: &mut Opened) -> Result<(), Error> {
        let room = Room::make(self.host)?;
        let copy = room.archive();
        self.lifted.push(room);
        older.reader.copy_into(&copy, &self.host.stop)?;
        Archive::open_with(&copy, self.opening, self.formats)?.close()?;
        older.reader = Reader::open_with(&copy, self.formats)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::host::{Environment, Stop, SystemFiles};
    use crate::store::RunStart;
    use crate::store::formats::tests::LATER;

    struct Folders(PathBuf);

    impl Environment for Folders {
        fn variable(&self, _: &str) -> Option<String> {
            None
        }

        fn secret_file(&self, _: &Path) -> std::io::Result<String> {
            Err(std::io::ErrorKind::NotFound.into())
        }

        fn state_folder(&self) -> Option<PathBuf> {
            Some(self.0.join("state"))
        }

        fn keys_folder(&self) -> Option<PathBuf> {
            Some(self.0.join("keys"))
        }
    }

    const OPENING: Opening<'_> =
        Opening { note: "test", now: "now", allow_network_fs: true, files: &SystemFiles };

    fn host_in(folder: &Path) -> Host {
        let environment = Arc::new(Folders(folder.to_owned()));
        Host { environment, ..Host::system(Stop::never()) }
    }

    /// Makes an archive of this windrow's format with a run in it, and gives its bytes.
    fn older(path: &Path, host: &Host) -> Vec<u8> {
        let archive = Archive::open(path, &OPENING).expect("a new archive");
        let now = host.clock.now();
        let start = RunStart { command: Command::Sync, version: "0", definition: "", now };
        archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        archive.close().expect("closed");
        std::fs::read(path).expect("the file")
    }

    #[test]
    fn a_dry_run_opens_a_copy_of_an_archive_of_an_older_format() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("a.db");
        let host = host_in(folder.path());
        let before = older(&path, &host);
        for (formats, copied) in [(FORMATS, false), (LATER, true)] {
            let opened = open_untouched(&path, &OPENING, &host, formats);
            let (archive, room) = opened.map_err(|failure| failure.message).expect("it opens");
            let found = (archive.path() != path, room.is_some());
            assert_eq!(found, (copied, copied));
            archive.close().expect("closed");
            assert_eq!(std::fs::read(&path).expect("the file"), before);
            assert!(!folder.path().join("a.db-before-format-2").exists());
        }
    }

    #[test]
    fn a_file_of_an_older_format_is_taken_in_and_stays_as_it_is() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        let (host, opening) = (host_in(folder.path()), OPENING);
        let before = older(&path("b.db"), &host);
        let now = host.clock.now();
        let given = GivenArguments { signer: None, identity: Vec::new(), max_size: None };
        let mut others = Others::new(&given, &opening, &host, LATER);
        others.open(&path("b.db")).map_err(|failure| failure.message).expect("it is opened");
        assert_eq!(others.opened[0].1.reader.format().expect("a format"), 2);
        let ours = Archive::open_with(&path("a.db"), &opening, LATER).expect("a new archive");
        let order = MergeOrder { now, version: "0", dry_run: false };
        let report = merge(&ours, &others.readers(), &order);
        assert!(report.map_err(|error| error.message).expect("it is merged").changed);
        assert_eq!(ours.reopen().expect("a reader").runs(9).expect("runs").len(), 2);
        assert_eq!(std::fs::read(path("b.db")).expect("the file"), before);
        assert!(!path("b.db-before-format-2").exists(), "nothing is laid beside it");
        let unpacked = || path("state").join("unpacked").read_dir().expect("the folder").count();
        assert!(unpacked() > 0);
        drop(others);
        assert_eq!(unpacked(), 0, "the copy that was brought up to date is gone");
    }
}
