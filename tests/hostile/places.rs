//! Makers of files that are none: FIFOs, devices, sockets, links, and files of another user.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use crate::harness::{Ran, Workspace, ran};

/// A user who owns nothing of ours: `nobody`.
pub const NOBODY: u32 = 65_534;

/// How long a command may take that is to end at once. The promise is two seconds; a loaded
/// machine that runs a debug build is given three more.
const ENDS_WITHIN: Duration = Duration::from_secs(5);

/// Something under a name where windrow expects a file of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trap {
    Link,
    DanglingLink,
    HardLink,
    Fifo,
    Socket,
    Folder,
    /// A link to a device that never ends.
    LinkToDevice,
    /// A device itself; only root can make one.
    Device,
    /// A regular file of another user; only root can make one.
    OtherOwner,
}

impl Trap {
    pub const ALL: [Trap; 9] = [
        Trap::Link,
        Trap::DanglingLink,
        Trap::HardLink,
        Trap::Fifo,
        Trap::Socket,
        Trap::Folder,
        Trap::LinkToDevice,
        Trap::Device,
        Trap::OtherOwner,
    ];

    /// What refuses to be opened whoever owns it.
    pub fn of_any_owner() -> impl Iterator<Item = Trap> {
        Trap::ALL.into_iter().filter(|trap| *trap != Trap::OtherOwner)
    }

    /// Puts it at `path`, where nothing is, with the victim at its other end. False where this
    /// user cannot make it.
    pub fn set(self, path: &Path, victim: &Victim) -> bool {
        match self {
            Trap::Link => std::os::unix::fs::symlink(&victim.path, path).expect("a link"),
            Trap::DanglingLink => {
                std::os::unix::fs::symlink(victim.missing(), path).expect("a link");
            }
            Trap::HardLink => std::fs::hard_link(&victim.path, path).expect("a link"),
            Trap::Fifo => make_fifo(path),
            Trap::Socket => drop(std::os::unix::net::UnixListener::bind(path).expect("a socket")),
            Trap::Folder => std::fs::create_dir(path).expect("a folder"),
            Trap::LinkToDevice => std::os::unix::fs::symlink("/dev/zero", path).expect("a link"),
            Trap::Device => {
                let mut mknod = Command::new("mknod");
                let made = mknod.arg(path).args(["c", "1", "5"]).stderr(Stdio::null()).status();
                return made.is_ok_and(|status| status.success());
            }
            Trap::OtherOwner => {
                std::fs::write(path, "whose?\n").expect("a file");
                if std::os::unix::fs::chown(path, Some(NOBODY), None).is_err() {
                    std::fs::remove_file(path).expect("removed");
                    return false;
                }
            }
        }
        true
    }
}

/// Takes away whatever lies at `path`, without following a link.
pub fn clear(path: &Path) {
    match path.symlink_metadata() {
        Ok(found) if found.is_dir() => std::fs::remove_dir(path).expect("removed"),
        Ok(_) => std::fs::remove_file(path).expect("removed"),
        Err(_) => {}
    }
}

pub fn make_fifo(path: &Path) {
    let made = Command::new("mkfifo").arg(path).status().expect("mkfifo runs");
    assert!(made.success());
}

/// Whether this user may do what root may.
pub fn is_root(workspace: &Workspace) -> bool {
    workspace.folder().metadata().expect("the folder").uid() == 0
}

/// A file of ours that a link leads to.
pub struct Victim {
    path: PathBuf,
    bytes: Vec<u8>,
    changed: SystemTime,
}

impl Victim {
    pub fn make(path: PathBuf) -> Self {
        let bytes = b"precious\n".to_vec();
        std::fs::write(&path, &bytes).expect("a file");
        let changed = path.metadata().and_then(|found| found.modified()).expect("its time");
        Self { path, bytes, changed }
    }

    fn missing(&self) -> PathBuf {
        self.path.with_extension("missing")
    }

    /// Fails where its bytes or its time are not as they were, or where something was made at the
    /// other end of a link that led nowhere.
    pub fn check(&self, case: &str) {
        assert_eq!(std::fs::read(&self.path).expect("the victim"), self.bytes, "{case}");
        let changed = self.path.metadata().and_then(|found| found.modified()).expect("its time");
        assert_eq!(changed, self.changed, "{case}");
        assert!(!self.missing().exists(), "{case}");
    }
}

/// Runs windrow and fails where it does not end at once.
pub fn ends(workspace: &Workspace, arguments: &[&str]) -> Ran {
    ends_as(workspace.command(arguments))
}

/// See [`ends`].
#[expect(clippy::disallowed_methods, reason = "another process is waited for")]
pub fn ends_as(mut command: Command) -> Ran {
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let mut child = child.expect("windrow starts");
    let began = Instant::now();
    while child.try_wait().expect("a child").is_none() {
        if began.elapsed() > ENDS_WITHIN {
            child.kill().expect("killed");
            panic!("it does not end: {command:?}");
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    ran(&child.wait_with_output().expect("it ended"))
}
