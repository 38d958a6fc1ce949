//! The archive, who has it, and the disk it lies on.

use crate::doctor::Health;
use crate::host::files::FileSystemSort;
use crate::model::numbers::{inflect, many};
use crate::model::{Error, ErrorKind};

use super::facts::{ArchiveFacts, Facts};
use super::finding::{DoctorFinding, FaultArea};

/// Below this nothing can be written safely: the log grows to 32 MiB before it is copied into the
/// file, which may need as much again.
const FREE_BYTES_MIN: u64 = 64 << 20;
/// Below this a person should make room before the next long trip.
const FREE_BYTES_LOW: u64 = 512 << 20;

/// Judges the archive and its place.
pub fn examine(facts: &Facts) -> Vec<DoctorFinding> {
    let Some(archive) = &facts.archive else {
        return vec![DoctorFinding::skip("archive", "the definition names it; --archive does too")];
    };
    let mut findings = match &archive.health {
        None => {
            let found = format!("there is none at {} yet: the first sync makes it", archive.path);
            vec![DoctorFinding::skip("archive", found)]
        }
        Some(Err(error)) => vec![unusable(error)],
        Some(Ok(health)) => {
            vec![usable(archive, health), content(archive, health), journal(health), future(health)]
        }
    };
    findings.extend([
        leftovers(archive),
        lock(archive),
        folder(archive),
        free_space(archive),
        file_system(archive),
    ]);
    findings
}

fn unusable(error: &Error) -> DoctorFinding {
    let help = error.help.as_deref().unwrap_or("keep the file as it is and go back to a copy");
    let fault = match error.kind {
        ErrorKind::Held => return DoctorFinding::warn("archive", &error.message, help),
        ErrorKind::Storage => FaultArea::Storage,
        _ => FaultArea::Archive,
    };
    DoctorFinding::bad("archive", fault, &error.message, help)
}

fn usable(archive: &ArchiveFacts, health: &Health) -> DoctorFinding {
    let path = &archive.path;
    if let Some(why) = &archive.unwritable {
        let found = format!("{path} can be read, not written: {why}");
        let help = "make the file writable, or copy it elsewhere";
        return DoctorFinding::bad("archive", FaultArea::Storage, found, help);
    }
    let plural = if health.streams == 1 { "" } else { "s" };
    let found = format!("{path}: format {}, {} stream{plural}", health.format, health.streams);
    DoctorFinding::ok("archive", found)
}

fn content(archive: &ArchiveFacts, health: &Health) -> DoctorFinding {
    let name = "archive content";
    if let Some(first) = health.damage.first() {
        let found = format!("{} is damaged: {first}", archive.path);
        let help = "keep the file as it is and go back to a copy; `sqlite3 FILE .recover` may help";
        return DoctorFinding::bad(name, FaultArea::Archive, found, help);
    }
    if health.broken_references > 0 {
        let number = health.broken_references;
        let found = format!("{number} of windrow's own rows refer to rows that are gone");
        let help = "another program has changed windrow's tables: go back to a copy";
        return DoctorFinding::bad(name, FaultArea::Archive, found, help);
    }
    DoctorFinding::ok(name, "every page and every reference is sound")
}

fn journal(health: &Health) -> DoctorFinding {
    let name = "archive journal";
    match health.journal_mode.as_str() {
        "wal" => DoctorFinding::ok(name, "a write-ahead log"),
        "delete" => {
            DoctorFinding::ok(name, "none: it was ejected, and the next sync begins a new log")
        }
        other => {
            let found = format!("the mode is `{other}`, which windrow never sets");
            DoctorFinding::warn(name, found, "the next `windrow sync` sets it back")
        }
    }
}

fn future(health: &Health) -> DoctorFinding {
    let name = "clock and archive";
    match (&health.latest_fetch, health.future_fetches) {
        (Some(latest), number @ 1..) => {
            let found = format!(
                "{} {} made later than now, the last at {latest}",
                many(number, "fetch"),
                inflect(number, "was", "were")
            );
            let help = "the clock is behind, or was ahead then: set it right; if it was ahead, \
                        read those days again with `windrow sync --from`";
            DoctorFinding::warn(name, found, help)
        }
        _ => DoctorFinding::ok(name, "no fetch lies in the future"),
    }
}

fn leftovers(archive: &ArchiveFacts) -> DoctorFinding {
    let name = "leftovers";
    let is_draft = |rest: &&String| rest.ends_with("-new") || rest.contains("-new-");
    let drafts: Vec<String> = archive
        .beside
        .iter()
        .filter(is_draft)
        .map(|rest| format!("{}{rest}", archive.path))
        .collect();
    if drafts.is_empty() {
        return DoctorFinding::ok(name, "no draft was left behind");
    }
    if matches!(archive.holder, Ok(Some(_))) {
        return DoctorFinding::skip(name, "somebody is writing: a draft may be in the making");
    }
    let found = format!("a run that was killed left {}", drafts.join(", "));
    DoctorFinding::warn(name, found, "remove it: nothing of it was called complete")
}

fn lock(archive: &ArchiveFacts) -> DoctorFinding {
    let name = "lock";
    match &archive.holder {
        Ok(None) => DoctorFinding::ok(name, "nobody holds the archive"),
        Ok(Some(note)) => {
            let holder = if note.is_empty() { "another process" } else { note };
            let found = format!("the archive is held by {holder}");
            DoctorFinding::warn(name, found, "somebody works: wait (`windrow sync --wait 5m` does)")
        }
        Err(why) => {
            let found = format!("cannot tell who holds the archive: {why}");
            DoctorFinding::warn(name, found, "the lock file beside the archive must be readable")
        }
    }
}

fn folder(archive: &ArchiveFacts) -> DoctorFinding {
    let name = "folder";
    match &archive.closed_folder {
        None => DoctorFinding::ok(name, "files can be made beside the archive"),
        Some(why) => {
            let found = format!("no file can be made beside {}: {why}", archive.path);
            let help = "the archive's folder must exist and be writable";
            DoctorFinding::bad(name, FaultArea::Storage, found, help)
        }
    }
}

fn free_space(archive: &ArchiveFacts) -> DoctorFinding {
    let name = "free space";
    let free = match &archive.free_bytes {
        Ok(free) => *free,
        Err(why) => return DoctorFinding::skip(name, format!("cannot tell: {why}")),
    };
    let mebibytes = free >> 20;
    if free < FREE_BYTES_MIN {
        let found = format!("{mebibytes} MiB are left on the disk");
        let help = format!("free some space: a sync needs {} MiB", FREE_BYTES_MIN >> 20);
        return DoctorFinding::bad(name, FaultArea::Storage, found, help);
    }
    if free < FREE_BYTES_LOW {
        let found = format!("only {mebibytes} MiB are left on the disk");
        return DoctorFinding::warn(name, found, "free some space before the archive grows");
    }
    if free < archive.bytes {
        let size = archive.bytes >> 20;
        let found = format!("{mebibytes} MiB are left on the disk, the archive has {size} MiB");
        let help = "there is no room for a copy of it, which an upgrade makes: free some space";
        return DoctorFinding::warn(name, found, help);
    }
    DoctorFinding::ok(name, format!("{mebibytes} MiB are left on the disk"))
}

fn file_system(archive: &ArchiveFacts) -> DoctorFinding {
    let name = "file system";
    let Some(system) = &archive.file_system else {
        return DoctorFinding::skip(name, "this system does not tell its kind");
    };
    let kind = &system.name;
    match system.sort {
        FileSystemSort::Local => DoctorFinding::ok(name, kind),
        FileSystemSort::Network => {
            let found = format!("{kind} is a network file system, where a log is not safe");
            let help = "keep the archive on a local disk";
            if archive.allow_network_fs {
                return DoctorFinding::warn(name, format!("{found}; it was asked for"), help);
            }
            let help = format!("{help}, or set `allow_network_fs = true`");
            DoctorFinding::bad(name, FaultArea::Storage, found, help)
        }
        FileSystemSort::Fat => {
            let found = format!("{kind} keeps no journal of its own, and sticks lie about syncs");
            DoctorFinding::warn(name, found, "run `windrow eject` before the stick is pulled")
        }
        FileSystemSort::Memory => {
            let found = format!("{kind} is memory: the archive is gone when the machine stops");
            DoctorFinding::warn(name, found, "keep the archive on a disk")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::examine::tests::each_is_found;
    use crate::doctor::finding::DoctorVerdict;
    use crate::host::files::FileSystem;

    fn archive(facts: &mut Facts) -> &mut ArchiveFacts {
        facts.archive.as_mut().expect("a fine machine has an archive")
    }

    fn health(facts: &mut Facts) -> &mut Health {
        let health = archive(facts).health.as_mut().expect("it is there");
        health.as_mut().expect("it is sound")
    }

    fn on(facts: &mut Facts, name: &str, sort: FileSystemSort) {
        archive(facts).file_system = Some(FileSystem { name: name.to_owned(), sort });
    }

    const BROKEN: DoctorVerdict = DoctorVerdict::Bad(FaultArea::Archive);
    const STORAGE: DoctorVerdict = DoctorVerdict::Bad(FaultArea::Storage);

    fn error(kind: ErrorKind) -> Error {
        Error::new(kind, "error")
    }

    #[test]
    fn what_is_wrong_with_the_archive_is_found() {
        each_is_found(&[
            ("archive", |f| f.archive = None, DoctorVerdict::Skip, "--archive"),
            (
                "archive",
                |f| archive(f).health = None,
                DoctorVerdict::Skip,
                "the first sync makes it",
            ),
            (
                "archive",
                |f| archive(f).health = Some(Err(error(ErrorKind::Unusable))),
                BROKEN,
                "error",
            ),
            (
                "archive",
                |f| archive(f).health = Some(Err(error(ErrorKind::Storage))),
                STORAGE,
                "error",
            ),
            (
                "archive",
                |f| archive(f).health = Some(Err(error(ErrorKind::Held))),
                DoctorVerdict::Warn,
                "error",
            ),
            (
                "archive",
                |f| archive(f).unwritable = Some("Permission denied".to_owned()),
                STORAGE,
                "not written: Permission denied",
            ),
            (
                "archive content",
                |f| health(f).damage = vec!["page 7: wrong".to_owned()],
                BROKEN,
                "page 7",
            ),
            ("archive content", |f| health(f).broken_references = 2, BROKEN, "2 of"),
            (
                "archive journal",
                |f| health(f).journal_mode = "delete".to_owned(),
                DoctorVerdict::Ok,
                "ejected",
            ),
            (
                "archive journal",
                |f| health(f).journal_mode = "memory".to_owned(),
                DoctorVerdict::Warn,
                "`memory`",
            ),
            (
                "clock and archive",
                |f| {
                    health(f).future_fetches = 3;
                    health(f).latest_fetch = Some("2027-01-01T00:00:00+00:00".to_owned());
                },
                DoctorVerdict::Warn,
                "3 fetches",
            ),
        ]);
    }

    #[test]
    fn what_is_wrong_with_its_place_is_found() {
        each_is_found(&[
            (
                "leftovers",
                |f| archive(f).beside.push("-new".to_owned()),
                DoctorVerdict::Warn,
                "left a.db-new",
            ),
            (
                "leftovers",
                |f| {
                    archive(f).beside.push("-before-format-2-new".to_owned());
                    archive(f).holder = Ok(Some("process 7".to_owned()));
                },
                DoctorVerdict::Skip,
                "in the making",
            ),
            (
                "lock",
                |f| archive(f).holder = Ok(Some("process 7".to_owned())),
                DoctorVerdict::Warn,
                "held by process 7",
            ),
            (
                "lock",
                |f| archive(f).holder = Err("denied".to_owned()),
                DoctorVerdict::Warn,
                "denied",
            ),
            (
                "folder",
                |f| archive(f).closed_folder = Some("no such folder".to_owned()),
                STORAGE,
                "no such folder",
            ),
            ("free space", |f| archive(f).free_bytes = Ok(10 << 20), STORAGE, "10 MiB"),
            (
                "free space",
                |f| archive(f).free_bytes = Ok(100 << 20),
                DoctorVerdict::Warn,
                "only 100",
            ),
            (
                "free space",
                |f| {
                    archive(f).free_bytes = Ok(1 << 30);
                    archive(f).bytes = 2 << 30;
                },
                DoctorVerdict::Warn,
                "the archive has 2048 MiB",
            ),
            (
                "free space",
                |f| archive(f).free_bytes = Err("?".to_owned()),
                DoctorVerdict::Skip,
                "?",
            ),
            ("file system", |f| on(f, "nfs4", FileSystemSort::Network), STORAGE, "nfs4"),
            (
                "file system",
                |f| {
                    on(f, "cifs", FileSystemSort::Network);
                    archive(f).allow_network_fs = true;
                },
                DoctorVerdict::Warn,
                "asked for",
            ),
            ("file system", |f| on(f, "exfat", FileSystemSort::Fat), DoctorVerdict::Warn, "exfat"),
            (
                "file system",
                |f| on(f, "tmpfs", FileSystemSort::Memory),
                DoctorVerdict::Warn,
                "memory",
            ),
            (
                "file system",
                |f| archive(f).file_system = None,
                DoctorVerdict::Skip,
                "does not tell",
            ),
        ]);
    }
}
