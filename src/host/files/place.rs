//! What kind of place a file lies in, and what lies beside it.

use std::path::Path;

use super::folder_of;

/// What kind of place a file lies in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FileSystem {
    /// Its name, as the mount table has it.
    pub name: String,
    /// What that means for an archive.
    pub sort: FileSystemSort,
}

/// What a file system means for an archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileSystemSort {
    /// A disk of this machine.
    Local,
    /// Another machine's: there is no memory shared with the processes there.
    Network,
    /// FAT in one of its forms: no journal, no modes, and mostly a stick.
    Fat,
    /// Memory: gone when the machine stops.
    Memory,
}

/// The file system that `path` lies on, or `None` where nobody can tell.
///
/// The mount table is read because it names the kind without any unsafe call.
pub fn file_system(path: &Path) -> Option<FileSystem> {
    let table = std::fs::read_to_string("/proc/self/mounts").ok()?;
    let full = path.canonicalize().or_else(|_| folder_of(path).canonicalize()).ok()?;
    file_system_in(&table, &full)
}

/// The network file system that `path` lies on, by name, or `None` for a local one.
///
/// SQLite's write-ahead log needs memory shared between processes, which no network file
/// system gives.
pub fn network_file_system(path: &Path) -> Option<String> {
    let found = file_system(path)?;
    (found.sort == FileSystemSort::Network).then_some(found.name)
}

const NETWORK_KINDS: [&str; 10] =
    ["nfs", "nfs4", "cifs", "smb3", "smbfs", "9p", "afs", "ceph", "fuse.sshfs", "fuse.rclone"];
const FAT_KINDS: [&str; 5] = ["vfat", "msdos", "exfat", "fuse.exfat", "fuse.exfat-fuse"];
const MEMORY_KINDS: [&str; 2] = ["tmpfs", "ramfs"];

fn file_system_in(table: &str, path: &Path) -> Option<FileSystem> {
    let mounts = table.lines().filter_map(|line| {
        let mut fields = line.split(' ').skip(1);
        let point = fields.next()?.replace("\\040", " ");
        Some((point, fields.next()?.to_owned()))
    });
    let (_, name) =
        mounts.filter(|(point, _)| path.starts_with(point)).max_by_key(|(point, _)| point.len())?;
    let is = |kinds: &[&str]| kinds.contains(&name.as_str());
    let sort = if is(&NETWORK_KINDS) {
        FileSystemSort::Network
    } else if is(&FAT_KINDS) {
        FileSystemSort::Fat
    } else if is(&MEMORY_KINDS) {
        FileSystemSort::Memory
    } else {
        FileSystemSort::Local
    };
    Some(FileSystem { name, sort })
}

/// Bytes that an ordinary user may still write where `path` lies or will lie.
pub fn free_bytes(path: &Path) -> std::io::Result<u64> {
    fs4::available_space(folder_of(path))
}

/// What the names of the files beside `path` add to its own: `-wal`, `-lock` and the like.
pub fn endings_beside(path: &Path) -> Vec<String> {
    let Some(own) = path.file_name().map(|name| name.to_string_lossy().into_owned()) else {
        return Vec::new();
    };
    let entries = std::fs::read_dir(folder_of(path)).into_iter().flatten().flatten();
    let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
    let mut endings: Vec<String> = names
        .filter_map(|name| name.strip_prefix(&own).map(str::to_owned))
        .filter(|ending| ending.starts_with('-'))
        .collect();
    endings.sort();
    endings
}

/// The permission bits of a file that others than its owner may read, write or run; `None` where
/// they may not, and where there are no such modes.
#[cfg(unix)]
pub fn mode_for_others(path: &Path) -> Option<u32> {
    use std::os::unix::fs::PermissionsExt;
    let mode = path.metadata().ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then_some(mode)
}

/// The permission bits of a file that others may read; there are none here.
#[cfg(not(unix))]
pub fn mode_for_others(_path: &Path) -> Option<u32> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_mount_point_decides_what_kind_of_place_it_is() {
        let table = "/dev/a / ext4 rw 0 0\nsrv:/x /mnt nfs4 rw 0 0\n/dev/b /mnt/local ext4 rw 0 0\n\
            /dev/c /media/my\\040stick vfat rw 0 0\nx /tmp tmpfs rw 0 0";
        let cases = [
            ("/home/a.db", "ext4", FileSystemSort::Local),
            ("/mnt/a.db", "nfs4", FileSystemSort::Network),
            ("/mnt/local/a.db", "ext4", FileSystemSort::Local),
            ("/media/my stick/a.db", "vfat", FileSystemSort::Fat),
            ("/tmp/a.db", "tmpfs", FileSystemSort::Memory),
        ];
        for (path, name, sort) in cases {
            let expected = FileSystem { name: name.to_owned(), sort };
            assert_eq!(file_system_in(table, Path::new(path)), Some(expected), "{path}");
        }
    }

    #[test]
    fn a_folder_says_what_lies_beside_a_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("a.db");
        for name in ["a.db", "a.db-wal", "a.db-new", "b.db-wal", "a.dbx"] {
            std::fs::write(folder.path().join(name), "").expect("a file");
        }
        assert_eq!(endings_beside(&path), ["-new", "-wal"]);
        assert!(free_bytes(&path).is_ok());
    }
}
