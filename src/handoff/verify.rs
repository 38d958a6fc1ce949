//! Proves what a file is that somebody gave: who signed it, whether it is whole, what it holds and
//! covers, and whether that is what it was given as.

use std::fs::File;
use std::path::{Path, PathBuf};

use serde::Serialize;

use crate::digest::each_line;
use crate::handoff::envelope::{
    EnvelopeKind, Keyring, KnownKey, Limits, Signer, Unpacked, kind, read_identities,
    signature_path, unpack, verify_signature,
};
use crate::handoff::invariants::Broken;
use crate::host::{HeldFolder, Host, files};
use crate::model::numbers::{inflect, many, many_are};
use crate::model::sha256_of;
use crate::model::{Error, ErrorKind, instant_from_text};
use crate::store::{FutureReadings, Reader, open_untrusted};

use super::claims::{ManifestClaim, MarksSeen, VerifyDifference, removed};
use super::manifest::{FoundContents, MANIFEST_FORM, Manifest, ManifestStream, find};
use super::marks::{Altered, MarkMatching};

/// How a given file is opened.
pub struct GivenOpening<'a> {
    pub file: &'a Path,
    /// The keys that are believed, and our own identities.
    pub keyring: &'a Keyring,
    /// Only this key is believed, where one is named; then the file must be signed.
    pub signer: Option<KnownKey>,
    /// More identities that may open what is encrypted.
    pub identities: Vec<PathBuf>,
    /// What opens an identity or key that is encrypted itself.
    pub password: Option<String>,
    /// How large it may become.
    pub limits: Limits,
}

/// A given file that is open for reading.
pub struct Opened {
    /// The archive in it.
    pub reader: Reader,
    /// Whose signature it bears.
    pub signer: Option<Signer>,
    /// What was around it; none where it is plain.
    pub unpacked: Option<Unpacked>,
    /// Where it was unpacked to; goes with this.
    room: Option<Room>,
}

/// A folder of our own, for what was unpacked and for copies; it goes with this.
pub struct Room(HeldFolder);

impl Room {
    /// Makes one in the state folder, which nobody else may look into.
    pub fn make(host: &Host) -> Result<Room, Error> {
        let folder = unpacked_folder(host).ok_or_else(|| {
            let message = "there is no state folder to unpack into";
            Error::new(ErrorKind::Storage, message)
                .help("set WINDROW_STATE_DIR to a folder on this machine")
        })?;
        let room = folder.join(format!("{:032x}", host.random.bits()));
        let held = HeldFolder::make(&room);
        held.map(Room).map_err(|error| Error::io(&room, "make", &error))
    }

    /// The archive in it, once there is one.
    pub fn archive(&self) -> PathBuf {
        self.0.path().join("archive.db")
    }
}

impl Opened {
    /// Where the plain archive lies: the file itself, or what was unpacked of it.
    pub fn path(&self, file: &Path) -> PathBuf {
        self.room.as_ref().map_or_else(|| file.to_owned(), Room::archive)
    }
}

/// What a file proved to be.
#[derive(Debug, Serialize)]
pub struct Verified {
    /// Whose signature it bears.
    pub signed_by: Option<String>,
    /// The id of that key.
    pub key_id: Option<String>,
    /// Whether it was encrypted.
    pub encrypted: bool,
    /// Whether it was compressed.
    pub compressed: bool,
    pub archive_id: String,
    /// What it says of itself; none where it is an archive that was not handed off, or was written
    /// to since.
    pub manifest: Option<Manifest>,
    /// The SHA-256 of that, which whoever made it was told.
    pub sha256: Option<String>,
    /// What it holds, as found.
    pub streams: Vec<ManifestStream>,
    /// Streams of which it lacks the work of some runs, and of how many.
    pub lacks: Vec<(String, u64)>,
    /// Readings whose time had not come by this machine's clock, or when the file was made.
    pub future: Option<FutureReadings>,
    /// What is not as it was given or must be.
    pub differences: Vec<VerifyDifference>,
}

/// Opens a given file: looks at its signature before anything else, takes off what is around it,
/// and refuses what could do harm.
pub fn open_given(opening: &GivenOpening<'_>, host: &Host) -> Result<Opened, Error> {
    clear_rooms(host);
    let file = opening.file;
    let found = file.symlink_metadata().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            let message = format!("there is no archive at {}", file.display());
            Error::new(ErrorKind::Unusable, message).help("name one that is there")
        }
        _ => Error::io(file, "open", &error),
    })?;
    if found.file_type().is_symlink() || !found.is_file() {
        // It says what is wrong with it.
        open_untrusted(file, &host.stop)?;
    }
    let handle = files::open_given(file).map_err(|error| Error::io(file, "open", &error))?;
    let signer = check_signature(opening, &handle)?;
    let kind = kind(file)?;
    if kind == EnvelopeKind::Sqlite || found.len() == 0 {
        let reader = open_untrusted(file, &host.stop)?;
        return Ok(Opened { reader, signer, unpacked: None, room: None });
    }
    let room = Room::make(host)?;
    let plain = room.archive();
    let mut files = opening.identities.clone();
    if kind == EnvelopeKind::Age {
        files.extend(opening.keyring.identities()?);
    }
    let identities = read_identities(&files, opening.password.as_deref())?;
    let unpacked = unpack(&handle, file, &plain, &identities, &opening.limits)?;
    let reader = open_untrusted(&plain, &host.stop)?;
    Ok(Opened { reader, signer, unpacked: Some(unpacked), room: Some(room) })
}

/// A file that nobody has signed is taken where no signer was named, and said to be unsigned.
fn check_signature(opening: &GivenOpening<'_>, handle: &File) -> Result<Option<Signer>, Error> {
    let signature = signature_path(opening.file);
    let keys = match &opening.signer {
        Some(signer) => vec![signer.clone()],
        None if signature.symlink_metadata().is_err() => return Ok(None),
        None => opening.keyring.list()?,
    };
    Ok(Some(verify_signature(handle, opening.file, &signature, &keys)?))
}

/// Where files are unpacked to, each in a folder of its own.
fn unpacked_folder(host: &Host) -> Option<PathBuf> {
    host.environment.state_folder().map(|folder| folder.join("unpacked"))
}

/// What killed processes have unpacked lies there in plain.
fn clear_rooms(host: &Host) {
    let is_room = |name: &str| name.len() == 32 && name.bytes().all(|b| b.is_ascii_hexdigit());
    if let Some(folder) = unpacked_folder(host) {
        HeldFolder::clear(&folder, is_room);
    }
}

/// Reads all of a file that is open, and compares it with what it says of itself.
pub fn verify(opened: &Opened, host: &Host) -> Result<Verified, Error> {
    let reader = &opened.reader;
    let mut differences: Vec<VerifyDifference> =
        reader.broken()?.into_iter().map(of_broken).collect();
    let text = reader.manifest()?;
    let manifest = text.as_deref().map(parse_manifest).transpose()?;
    // A file that is not whole is not read further: what it says would be chance.
    let mut found = FoundContents { streams: Vec::new(), tables: Vec::new() };
    if differences.is_empty() {
        let mut seen = MarksSeen::default();
        found = find(reader, &host.stop, &mut |stream, chunk, marks| {
            seen.look(reader, stream, chunk, marks)
        })?;
        let traces = reader.traces()?;
        match (&manifest, &text) {
            (Some(manifest), Some(text)) => {
                let claim =
                    ManifestClaim { reader, traces: &traces, manifest, text, found: &found };
                differences.extend(claim.differences(&seen)?);
                differences.extend(compare(&claim, &seen)?);
            }
            _ => differences.extend(removed(&traces)),
        }
    }
    let mut until = reader.believed_until(host.clock.now())?;
    let made_at = manifest.as_ref().and_then(|manifest| instant_from_text(&manifest.made_at));
    if let Some(made_at) = made_at {
        until = until.min(reader.believed_until(made_at)?);
    }
    let unpacked = opened.unpacked.as_ref();
    Ok(Verified {
        signed_by: opened.signer.as_ref().map(|signer| signer.name.clone()),
        key_id: opened.signer.as_ref().map(|signer| signer.key_id.clone()),
        encrypted: unpacked.is_some_and(|unpacked| unpacked.encrypted),
        compressed: unpacked.is_some_and(|unpacked| unpacked.compressed),
        archive_id: reader.archive_id()?,
        manifest,
        sha256: text.as_deref().map(sha256_of),
        streams: found.streams,
        lacks: reader.lacks()?,
        future: reader.future_readings(&until)?,
        differences,
    })
}

fn of_broken(broken: Broken) -> VerifyDifference {
    VerifyDifference { place: broken.place, key: None, what: broken.what }
}

fn parse_manifest(text: &str) -> Result<Manifest, Error> {
    let manifest: Manifest = serde_json::from_str(text).map_err(|error| {
        let message = format!("its manifest cannot be read: {error}");
        Error::new(ErrorKind::Unusable, message).help("ask for it again")
    })?;
    if manifest.form > MANIFEST_FORM {
        let message = format!("its manifest has form {}, from a newer windrow", manifest.form);
        return Err(Error::new(ErrorKind::Unusable, message).help("use the newer windrow"));
    }
    Ok(manifest)
}

/// What is not as the manifest says of streams and tables.
fn compare(claim: &ManifestClaim<'_>, seen: &MarksSeen) -> Result<Vec<VerifyDifference>, Error> {
    let ManifestClaim { reader, manifest, found, .. } = *claim;
    let mut all = Vec::new();
    let mut tell = |place: &str, what: String| {
        all.push(VerifyDifference { place: place.to_owned(), key: None, what });
    };
    if manifest.archive_id != reader.archive_id()? {
        tell("", "it bears another archive's id than its manifest".to_owned());
    }
    for given in &manifest.tables {
        match found.tables.iter().find(|table| table.table == given.table) {
            None => tell(&given.table, format!("it is gone; {} given", rows_were(given.rows))),
            Some(now) if now == given => {}
            Some(now) if now.rows != given.rows => {
                let given_rows = format!("{} {}", given.rows, was(given.rows));
                let what = format!("{} there, {given_rows} given", many_are(now.rows, "row"));
                tell(&given.table, what);
            }
            Some(_) => tell(&given.table, "rows were changed since it was given".to_owned()),
        }
    }
    for now in &found.tables {
        if !manifest.tables.iter().any(|given| given.table == now.table) {
            tell(&now.table, format!("it was not given; {} there", many_are(now.rows, "row")));
        }
    }
    for given in &manifest.streams {
        let differs = all.iter().any(|difference| difference.place == given.stream);
        let here = found.streams.iter().any(|now| now.stream == given.stream);
        if differs && here && claim.can_be_its_own(&given.stream, seen) {
            all.extend(rows_of(&given.stream, named(reader, &given.stream)?));
        }
    }
    let told = |stream: &ManifestStream| all.iter().any(|d| d.place == stream.stream);
    let odd = found.streams.iter().filter(|now| !manifest.streams.contains(now) && !told(now));
    let odd: Vec<String> = odd.map(|now| now.stream.clone()).collect();
    all.extend(odd.into_iter().map(|place| {
        let what = "what it covers is not what was given".to_owned();
        VerifyDifference { place, key: None, what }
    }));
    Ok(all)
}

/// Which rows of a stream are not as they were given.
fn named(reader: &Reader, stream: &str) -> Result<Altered, Error> {
    let marks = reader.manifest_marks(stream)?;
    let mut matching = MarkMatching::new(&marks);
    if let Some(row) = reader.stream(stream)? {
        each_line(reader, &row, &mut |line, key| matching.row(line, || key))?;
    }
    Ok(matching.end())
}

fn rows_were(rows: u64) -> String {
    format!("{} {}", many(rows, "row"), was(rows))
}

fn was(number: u64) -> &'static str {
    inflect(number, "was", "were")
}

fn rows_of(stream: &str, altered: Altered) -> Vec<VerifyDifference> {
    let tell = |key: Option<String>, what: String| VerifyDifference {
        place: stream.to_owned(),
        key,
        what,
    };
    let named = altered.keys.len() as u64;
    let mut all: Vec<VerifyDifference> = altered
        .keys
        .into_iter()
        .map(|key| tell(Some(key), "this row is not as it was given".to_owned()))
        .collect();
    if altered.altered > named {
        let more = altered.altered - named;
        all.push(tell(None, format!("{} not", many_are(more, "more row"))));
    }
    for before in altered.missing_before {
        let what = match before {
            Some(_) => "rows are missing before this one",
            None => "rows are missing at the end",
        };
        all.push(tell(before, what.to_owned()));
    }
    all
}
