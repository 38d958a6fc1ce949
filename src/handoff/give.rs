//! Gives an archive away: a consistent copy of the running archive under its final name, checked,
//! or nothing under that name.

use std::io::Read;
use std::path::{Path, PathBuf};

use aho_corasick::AhoCorasick;

use crate::handoff::envelope::{Packing, SigningKey, pack, sign, signature_path};
use crate::handoff::invariants::Broken;
use crate::handoff::{Draft, GivenNote, Naming, Part, note_given};
use crate::host::files::{self, FileLock, FileSystemSort, LockError, try_lock};
use crate::host::{Host, Leftover, Stop};
use crate::model::sha256_of;
use crate::model::{Error, ErrorKind, instant_to_text};
use crate::outbox::Outbox;
use crate::outbox::store::move_outbox;
use crate::outbox::{Senders, Taken};
use crate::store::{Reader, open_untrusted};

use super::manifest::{Manifest, find, manifest_of, part_made, stop_here};

/// A file on FAT has less than 4 GiB.
const FAT_FILE_BYTES_MAX: u64 = (1 << 32) - 1;

/// What is to be given.
pub struct Giving<'a> {
    pub archive: &'a Path,
    /// The file that is to be made.
    pub out: &'a Path,
    /// The part of it; the default is the whole.
    pub part: Part,
    /// What is put around it.
    pub packing: Packing,
    /// Whether what waits in the outbox goes along, and is no longer sent from here.
    pub with_outbox: bool,
    /// What must not be in it, each with its name: secrets in every form that they may have.
    pub secrets: Vec<(String, String)>,
    /// The key that signs the file; none for a file without a signature.
    pub signing: Option<SigningKey>,
    /// Whether a file of that name is replaced.
    pub force: bool,
    /// What others are told who find the archive held.
    pub note: &'a str,
}

/// A hand-off that was made, and what is told of it.
pub struct Gave {
    /// What the file says of itself.
    pub manifest: Manifest,
    /// The SHA-256 of that.
    pub sha256: String,
    /// The size of the file, bytes.
    pub bytes: u64,
    /// The id of the key that signed it.
    pub signed_by: Option<String>,
    /// What of the analyst's own was left out.
    pub left_out: Vec<String>,
    /// Requests of the outbox that went along.
    pub moved: u64,
    /// Why the archive's own log does not hold it.
    pub not_noted: Option<String>,
}

/// Letters of the target's name that the drafts' names begin with: with what SQLite adds to them
/// they are no longer than a name may be.
const DRAFT_LETTERS_MAX: usize = 40;

/// How often the claim is made anew because whoever had it before took its name away: each of
/// them does so once, when it ends.
const CLAIM_TRIES_MAX: u32 = 100;

/// Files that are made on the way, by one process at a time; what is left of them goes when this
/// does. Nobody can know their names before: SQLite would take in a log that lies ready beside
/// such a name. The claim has a name that others know, to find each other by.
struct Drafts {
    plain: PathBuf,
    packed: PathBuf,
    claim: PathBuf,
    /// None where the file system has no locks.
    _lock: Option<FileLock>,
    _leftovers: Vec<Leftover>,
}

impl Drafts {
    /// Beside the target, so that the last step is a renaming. What a killed hand-off to the same
    /// target has left is taken away; the drafts of a living one are refused.
    fn claim(out: &Path, note: &str) -> Result<Self, Error> {
        let name = out.file_name().unwrap_or_default().to_string_lossy();
        let begin: String = name.chars().take(DRAFT_LETTERS_MAX).collect();
        let mark = sha256_of(&name);
        let mark = mark.get(..8).unwrap_or_default();
        let begin = format!("{begin}-part-{mark}");
        let claim = out.with_file_name(format!("{begin}-claim"));
        let lock = take_claim(&claim, out, note)?;
        let begin = format!("{begin}-draft-");
        if lock.is_some() {
            // One that stays only takes up room.
            let left = files::names_beside(out, &begin);
            left.into_iter().for_each(|path| drop(std::fs::remove_file(path)));
        }
        let plain = out.with_file_name(format!("{begin}{}", files::fresh_word()));
        let packed = out.with_file_name(format!("{begin}{}", files::fresh_word()));
        let made = Self::made_of(&plain, &packed);
        let leftovers = made.iter().map(|path| Leftover::note(path)).collect();
        Ok(Self { plain, packed, claim, _lock: lock, _leftovers: leftovers })
    }

    /// Every file that may be made on the way.
    fn made_of(plain: &Path, packed: &Path) -> Vec<PathBuf> {
        let drafts = [plain.to_owned(), packed.to_owned(), signature_path(packed)];
        let beside = drafts.iter().flat_map(|path| {
            ["", "-journal", "-wal", "-shm"].map(|ending| {
                let mut name = path.as_os_str().to_owned();
                name.push(ending);
                PathBuf::from(name)
            })
        });
        beside.collect()
    }

    fn clear(&self) {
        for path in Self::made_of(&self.plain, &self.packed) {
            // One that stays only takes up room.
            let _ = std::fs::remove_file(path);
        }
    }
}

impl Drop for Drafts {
    fn drop(&mut self) {
        self.clear();
        // Its name goes before the lock does.
        let _ = std::fs::remove_file(&self.claim);
    }
}

/// Keeps others from making the same file; none where the file system has no locks, which is no
/// reason not to make a file.
fn take_claim(claim: &Path, out: &Path, note: &str) -> Result<Option<FileLock>, Error> {
    let held = |message: String| {
        let error = Error::new(ErrorKind::Held, message);
        Err(error.help("wait until it is done, or name another file"))
    };
    for _ in 0..CLAIM_TRIES_MAX {
        match try_lock(claim, note) {
            // Whoever had it may have taken its name away in the meantime.
            Ok(lock) if !lock.is_at(claim) => {}
            Ok(lock) => return Ok(Some(lock)),
            Err(LockError::Held { note }) => {
                let who = if note.is_empty() { "another process" } else { note.as_str() };
                return held(format!("another hand-off is making {}: {who}", out.display()));
            }
            Err(LockError::Io(error)) if error.kind() == std::io::ErrorKind::Unsupported => {
                return Ok(None);
            }
            Err(LockError::Io(error)) => return Err(cannot_make(out, &error)),
        }
    }
    held(format!("{} is taken away again and again", claim.display()))
}

/// Makes the file, and notes it in the archive.
pub fn give(giving: &Giving<'_>, host: &Host) -> Result<Gave, Error> {
    let mut reader = Reader::open(giving.archive)?;
    check_target(giving)?;
    check_room(giving)?;
    check_part(&reader, &giving.part)?;
    let _senders = match giving.with_outbox {
        true => Some(take_senders(giving, host)?),
        false => None,
    };
    let drafts = Drafts::claim(giving.out, giving.note)?;
    let stop = &host.stop;
    // SQLite takes an empty file as well, and this one is its owner's alone from the beginning.
    files::create_private(&drafts.plain).map_err(|error| cannot_make(&drafts.plain, &error))?;
    reader.copy_into(&drafts.plain, stop)?;
    drop(reader);
    let now = host.clock.now();
    let at = instant_to_text(now);
    let new_id = || format!("{:032x}", host.random.bits());
    let (archive_id, handoff_id) = (new_id(), new_id());
    let naming = Naming { archive_id: &archive_id, handoff_id: &handoff_id, at: &at };

    let draft = Draft::open(&drafts.plain, stop)?;
    let part = part_made(draft.reader(), &giving.part)?;
    let left_out = draft.strip(&giving.part, &naming, giving.with_outbox)?;
    let found = draft.transaction(|tx| {
        let mut put = |stream: &str, chunk, marks: &[u8]| tx.put_marks(stream, chunk, marks);
        find(tx, stop, &mut put)
    })?;
    let manifest = manifest_of(draft.reader(), &found, part, &handoff_id, now)?;
    let text = serde_json::to_string(&manifest).map_err(|error| {
        Error::new(ErrorKind::Bug, format!("a manifest cannot be written: {error}"))
    })?;
    let going = if giving.with_outbox { draft.going()? } else { Vec::new() };
    draft.finish(&text)?;
    let checked = check_copy(&drafts.plain, stop);
    stop_here(stop)?;
    checked?;
    refuse_secrets(&drafts.plain, &giving.secrets, stop)?;
    stop_here(stop)?;
    publish(giving, &drafts, &handoff_id, &going, host)?;
    let moved = going.len() as u64;

    let sha256 = sha256_of(&text);
    let bytes = giving.out.metadata().map(|found| found.len());
    let bytes = bytes.map_err(|error| Error::io(giving.out, "look at", &error))?;
    let name = giving.out.file_name().unwrap_or_default().to_string_lossy();
    let summary = summary(&manifest);
    let given = GivenNote { naming, file: &name, sha256: &sha256, summary: &summary };
    let not_noted = note_given(giving.archive, &given, giving.note).err();
    let signed_by = giving.signing.as_ref().map(SigningKey::key_id);
    let not_noted = not_noted.map(|error| error.message);
    Ok(Gave { manifest, sha256, bytes, signed_by, left_out, moved, not_noted })
}

/// What was given, in a line.
pub fn summary(manifest: &Manifest) -> String {
    let rows: u64 = manifest.streams.iter().map(|stream| stream.rows).sum();
    let streams = manifest.streams.len() as u64;
    let part = if manifest.part.is_some() { ", a part" } else { "" };
    let ending = |number: u64| if number == 1 { "" } else { "s" };
    format!("{streams} stream{}, {rows} row{}{part}", ending(streams), ending(rows))
}

/// A file cannot be made where it is wanted.
fn cannot_make(path: &Path, error: &std::io::Error) -> Error {
    let error = Error::io(path, "make", error);
    match error.kind {
        ErrorKind::Storage => {
            error.help("look at the space and the permissions there, or name another place")
        }
        _ => error,
    }
}

fn check_target(giving: &Giving<'_>) -> Result<(), Error> {
    let (out, name) = (giving.out, giving.out.display());
    let refuse = |message: String, help: &str| Err(Error::usage(message).help(help));
    if out.to_str().is_none() {
        return refuse(format!("the path {name} is not Unicode text"), "name another file");
    }
    if out.as_os_str() == "-" {
        let message = "`-` is no name for a hand-off: it is made as a file".to_owned();
        return refuse(message, "name a file");
    }
    if out.is_dir() {
        return refuse(format!("{name} is a folder"), "name a file in it");
    }
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let message = format!("there is no folder {}", folder.display());
        return Err(
            Error::new(ErrorKind::Storage, message).help("make it first, or name another place")
        );
    }
    for path in [out.to_owned(), signature_path(out)] {
        let shown = path.display();
        match path.symlink_metadata() {
            Ok(found) if !found.is_file() => {
                return refuse(format!("{shown} is no plain file"), "name another file");
            }
            Ok(_) if !giving.force => {
                let help = "name another file, or say --force";
                return refuse(format!("{shown} is there already"), help);
            }
            Err(error) if error.kind() == std::io::ErrorKind::InvalidFilename => {
                return refuse(format!("{shown}: {error}"), "name another file");
            }
            _ => {}
        }
    }
    if super::companions(out).next().is_some() {
        let message = format!("another program has {name} open, or left its log beside it");
        return Err(Error::usage(message).help("name another file"));
    }
    Ok(())
}

/// A stick that is too small is told before anything is written to it.
fn check_room(giving: &Giving<'_>) -> Result<(), Error> {
    let size = giving.archive.metadata();
    let size = size.map_err(|error| Error::io(giving.archive, "look at", &error))?.len();
    let free = files::free_bytes(giving.out);
    let free = free.map_err(|error| Error::io(giving.out, "find room for", &error))?;
    let name = giving.out.display();
    let place = files::file_system(giving.out);
    let is_old_fat = place
        .is_some_and(|place| place.sort == FileSystemSort::Fat && !place.name.contains("exfat"));
    if is_old_fat && size > FAT_FILE_BYTES_MAX {
        let message = format!("{name} would be on FAT, where a file has less than 4 GiB");
        let help = "make it elsewhere with --compress and copy it, or format the stick as exFAT";
        return Err(Error::new(ErrorKind::Storage, message).help(help));
    }
    if giving.part == Part::default() && free < size {
        let message = format!("{name} needs up to {size} bytes, and {free} are free there");
        return Err(
            Error::new(ErrorKind::Storage, message).help("free some space, or name another place")
        );
    }
    Ok(())
}

fn check_part(reader: &Reader, part: &Part) -> Result<(), Error> {
    let is_given = |name: &String| part.streams.is_empty() || part.streams.contains(name);
    let streams = reader.streams()?;
    for name in &part.streams {
        if !streams.iter().any(|stream| stream.stream == *name) {
            let known: Vec<&str> = streams.iter().map(|s| s.stream.as_str()).collect();
            let message = format!("the archive has no stream `{name}`");
            return Err(Error::usage(message).help(format!("it has {}", known.join(", "))));
        }
    }
    if let Some(run) = part.since
        && reader.run_row(run)?.is_none()
    {
        let message = format!("the archive has no run {run}");
        return Err(Error::usage(message).help("`windrow runs` lists them"));
    }
    let given: Vec<String> =
        streams.into_iter().map(|stream| stream.stream).filter(is_given).collect();
    reader.refuse_altered(&given)?;
    if let Some(condition) = &part.condition {
        reader.check_condition(&given, condition)?;
    }
    Ok(())
}

/// Nothing may be sent while it is moved: whoever sends is told that the archive is given away.
fn take_senders(giving: &Giving<'_>, host: &Host) -> Result<Taken, Error> {
    let outbox = Outbox::open_beside(giving.archive)?;
    let Some(outbox) = outbox else { return Ok(Taken::default()) };
    let senders = Senders::of(giving.archive, host)?;
    let homes = senders.homes(|| outbox.outbox_senders())?;
    let taken = senders.take(homes, giving.note)?;
    match &taken.held_by {
        None => Ok(taken),
        Some(holder) => {
            let message = format!("requests of the outbox are being sent by {holder}");
            let error = Error::new(ErrorKind::Held, message);
            Err(error.help("wait until it is done, or stop it"))
        }
    }
}

/// The copy is looked at as whoever gets it will.
fn check_copy(path: &Path, stop: &Stop) -> Result<(), Error> {
    let broken = open_untrusted(path, stop)?.broken()?;
    let Some(Broken { place, what }) = broken.first() else { return Ok(()) };
    let place = if place.is_empty() { String::new() } else { format!("{place}: ") };
    let message = format!("the archive is not whole, and was not given away: {place}{what}");
    let help = "`windrow verify` on a copy lists all of it; go back to a copy that is whole";
    Err(Error::new(ErrorKind::Unusable, message).help(help))
}

/// A source may have sent a credential back as data. Whoever has the file would have it then.
fn refuse_secrets(path: &Path, secrets: &[(String, String)], stop: &Stop) -> Result<(), Error> {
    let forms = secrets.iter().map(|(form, _)| form.as_bytes());
    let read_error = |error: std::io::Error| Error::io(path, "read", &error);
    let search = AhoCorasick::new(forms).map_err(|error| {
        Error::new(ErrorKind::Bug, format!("secrets cannot be searched for: {error}"))
    })?;
    let file = files::open_given(path).map_err(read_error)?;
    let Some(found) = search.stream_find_iter(Stoppable { file, stop }).next() else {
        return Ok(());
    };
    stop_here(stop)?;
    let found = found.map_err(read_error)?;
    let name = secrets.get(found.pattern().as_usize()).map_or("", |(_, name)| name.as_str());
    let message = format!("the value of {name} is in the archive: a source has sent it back");
    let help = "set another credential, look for the rows (`windrow query`), and leave them out \
                with --where or --streams; if it is no secret, say --allow-secrets";
    Err(Error::new(ErrorKind::Unsafe, message).help(help))
}

/// A file that cannot be read on once somebody wants the end.
struct Stoppable<'s> {
    file: std::fs::File,
    stop: &'s Stop,
}

impl Read for Stoppable<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self.stop.cause() {
            None => self.file.read(buffer),
            Some(_) => Err(std::io::Error::other("stopped before the end")),
        }
    }
}

/// Puts around it what is asked for, and gives it its name. The signature comes first: a file
/// under that name is never without. What is moved is no longer ours before it is anybody else's.
fn publish(
    giving: &Giving<'_>,
    drafts: &Drafts,
    handoff_id: &str,
    going: &[i64],
    host: &Host,
) -> Result<(), Error> {
    let plain = !giving.packing.compress && giving.packing.recipients.is_empty();
    let made = if plain { &drafts.plain } else { &drafts.packed };
    if !plain {
        pack(&drafts.plain, made, &giving.packing)?;
    }
    let move_to = |from: &Path, to: &Path| {
        host.files.publish(from, to).map_err(|error| Error::io(to, "make", &error))
    };
    let (own, old) = (signature_path(made), signature_path(giving.out));
    match &giving.signing {
        Some(key) => {
            let name = giving.out.file_name().unwrap_or_default().to_string_lossy();
            sign(made, &own, key, &format!("windrow hand-off {name}"))?;
            if let Err(error) = move_to(&own, &old) {
                let _ = std::fs::remove_file(&own);
                return Err(error);
            }
        }
        None if old.symlink_metadata().is_ok() => {
            // It was made for the file that is replaced.
            host.files.remove(&old).map_err(|error| Error::io(&old, "remove", &error))?;
        }
        None => {}
    }
    if !going.is_empty() {
        let note = format!("moved to {}", giving.out.display());
        move_outbox(giving.archive, handoff_id, &note, going)?;
    }
    move_to(made, giving.out)
}
