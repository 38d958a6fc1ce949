//! A model of a disk: what is durable, what is on its way, and what a power cut leaves of that.
//!
//! Two folder policies: on a journalling file system (`Journalled`, like ext4) any sync makes
//! earlier removals and renames durable; on a plain one (`Plain`, like FAT on a stick) only a sync
//! of the folder does. New files are there at once. Unsynced writes may be lost, kept in any
//! combination, or torn at sectors of 512 bytes.

use std::collections::BTreeMap;
use std::ffi::c_int;
use std::path::Path;
use std::sync::Arc;

use rusqlite::ffi;

/// Bytes that a disk writes whole.
const SECTOR: usize = 512;

/// Something done to a file.
#[derive(Clone, Debug)]
pub enum Op {
    /// Bytes at an offset.
    Write {
        /// The file's name.
        file: Arc<str>,
        /// The offset.
        at: u64,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A new length.
    Truncate {
        /// The file's name.
        file: Arc<str>,
        /// The length.
        size: u64,
    },
    /// Everything written to the file so far is on the disk.
    Sync {
        /// The file's name.
        file: Arc<str>,
    },
    /// The name is gone.
    Delete {
        /// The file's name.
        file: Arc<str>,
        /// Whether the folder was synced after it.
        durable: bool,
    },
    /// The file has another name.
    Rename {
        /// The old name.
        from: Arc<str>,
        /// The new name.
        to: Arc<str>,
    },
    /// The folder's names are on the disk.
    SyncFolder,
    /// Something that the harness notes in the log.
    Mark(u64),
}

/// What an operation is about to do; reads and openings can fail but change nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// Open a file.
    Open,
    /// Read.
    Read,
    /// Write.
    Write,
    /// Truncate.
    Truncate,
    /// Sync a file.
    Sync,
    /// Remove or rename.
    Delete,
}

/// How names become durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// With any later sync.
    Journalled,
    /// With a sync of the folder alone.
    Plain,
}

/// Which operation fails.
#[derive(Clone, Copy, Debug)]
pub struct Failing {
    /// Its number, from 1, since [`Disk::fail`].
    pub at: u64,
    /// Whether every later one fails too.
    pub sticky: bool,
    /// Whether writes say "disk full" and not "I/O error".
    pub full: bool,
}

/// Files by name.
pub type Image = BTreeMap<Arc<str>, Vec<u8>>;

/// Another program that does something at a delicate moment.
pub type Hook = Box<dyn FnMut() + Send>;

/// The disk under one folder.
pub struct Disk {
    policy: Policy,
    durable: Image,
    pending: Vec<Op>,
    /// The whole log, where it is wanted.
    log: Option<Vec<Op>>,
    touches: u64,
    changes: u64,
    failing: Option<Failing>,
    failed: bool,
    cut_at: Option<u64>,
    cut: bool,
    hook: Option<Hook>,
}

impl Disk {
    /// An empty disk.
    pub fn new(policy: Policy) -> Self {
        Self {
            policy,
            durable: Image::new(),
            pending: Vec::new(),
            log: None,
            touches: 0,
            changes: 0,
            failing: None,
            failed: false,
            cut_at: None,
            cut: false,
            hook: None,
        }
    }

    /// Keeps every operation, for enumeration.
    pub fn record(&mut self) {
        self.log = Some(Vec::new());
    }

    /// The operations so far.
    pub fn take_log(&mut self) -> Vec<Op> {
        self.log.replace(Vec::new()).unwrap_or_default()
    }

    /// The power goes at the change of this number from now, from 1.
    pub fn cut_after(&mut self, changes: u64) {
        self.cut_at = Some(self.changes + changes);
    }

    /// The power stays on after all.
    pub fn spare(&mut self) {
        self.cut_at = None;
    }

    /// What will happen, for the log.
    pub fn armed(&self) -> String {
        let cut = self.cut_at.map(|at| at - self.changes);
        format!("power goes after {cut:?} changes, {:?}", self.failing)
    }

    /// Whether the power has gone.
    pub fn is_cut(&self) -> bool {
        self.cut
    }

    /// Whether the next operation may fail.
    pub fn is_at_risk(&self) -> bool {
        self.cut || self.cut_at.is_some() || self.failing.is_some()
    }

    /// From here on the operation of that number fails.
    pub fn fail(&mut self, failing: Option<Failing>) {
        self.touches = 0;
        self.failed = false;
        self.failing = failing;
    }

    /// Whether an operation was made to fail.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// What is done when a reader takes its place in the log.
    pub fn set_hook(&mut self, hook: Option<Hook>) {
        self.hook = hook;
    }

    /// Takes the hook out while it runs, so that it does not call itself.
    pub fn take_hook(&mut self) -> Option<Hook> {
        self.hook.take()
    }

    /// Puts the hook back.
    pub fn give_hook(&mut self, hook: Hook) {
        self.hook = Some(hook);
    }

    /// Whether an operation may happen; SQLite's error code when it may not.
    pub fn touch(&mut self, touch: Touch) -> Result<(), c_int> {
        self.touches += 1;
        let fails = self.failing.is_some_and(|failing| {
            self.touches == failing.at || (failing.sticky && self.touches > failing.at)
        });
        if touch != Touch::Read && touch != Touch::Open && !fails {
            self.changes += 1;
            self.cut |= self.cut_at.is_some_and(|at| self.changes >= at);
        }
        if self.cut || fails {
            self.failed |= fails;
            let full = self.failing.is_some_and(|failing| failing.full) && !self.cut;
            return Err(code_of(touch, full));
        }
        Ok(())
    }

    /// A file is opened; a new one is there at once.
    pub fn made(&mut self, file: &Arc<str>) {
        let renamed = |op: &Op| matches!(op, Op::Rename { to, .. } if to == file);
        if !file.ends_with("-shm") && !self.pending.iter().any(renamed) {
            self.durable.entry(Arc::clone(file)).or_default();
        }
    }

    /// An operation has happened.
    pub fn log(&mut self, op: Op) {
        if file_of(&op).is_some_and(|file| file.ends_with("-shm")) {
            return;
        }
        if let Some(log) = &mut self.log {
            log.push(op.clone());
        }
        take_in(&mut self.durable, &mut self.pending, op, self.policy);
    }

    /// What the power cut leaves. The log's index in shared memory is always lost.
    pub fn after_power_cut(&self, kept: Kept, random: &mut fastrand::Rng) -> Image {
        image_of(&self.durable, &self.pending, kept, random)
    }

    /// Starts anew from an image.
    pub fn restart(&mut self, image: Image) {
        let policy = self.policy;
        let log = self.log.take();
        *self = Disk { durable: image, log, ..Disk::new(policy) };
    }
}

/// Which unsynced operations a power cut leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// None of them.
    None,
    /// All, as after a `kill -9`.
    All,
    /// Any of them, writes whole.
    Some,
    /// Any of them, writes torn at sectors.
    Torn,
}

fn code_of(touch: Touch, full: bool) -> c_int {
    match touch {
        Touch::Open => ffi::SQLITE_CANTOPEN,
        Touch::Read => ffi::SQLITE_IOERR_READ,
        Touch::Write if full => ffi::SQLITE_FULL,
        Touch::Write => ffi::SQLITE_IOERR_WRITE,
        Touch::Truncate => ffi::SQLITE_IOERR_TRUNCATE,
        Touch::Sync => ffi::SQLITE_IOERR_FSYNC,
        Touch::Delete => ffi::SQLITE_IOERR_DELETE,
    }
}

fn file_of(op: &Op) -> Option<&Arc<str>> {
    match op {
        Op::Write { file, .. } | Op::Truncate { file, .. } => Some(file),
        Op::Sync { file } | Op::Delete { file, .. } => Some(file),
        _ => None,
    }
}

/// Moves the durable state on by an operation.
pub fn take_in(durable: &mut Image, pending: &mut Vec<Op>, op: Op, policy: Policy) {
    match op {
        Op::Sync { file } => {
            let (now, later) = std::mem::take(pending).into_iter().partition::<Vec<_>, _>(|op| {
                let names = matches!(op, Op::Delete { .. } | Op::Rename { .. });
                if names { policy == Policy::Journalled } else { file_of(op) == Some(&file) }
            });
            *pending = later;
            let mut now = now;
            // What is synced under a name that is not durable yet is there under the old name.
            for op in pending.iter().rev() {
                if let Op::Rename { from, to } = op {
                    rename_in(&mut now, to, from);
                }
            }
            now.iter().for_each(|op| apply(durable, op, None));
        }
        Op::SyncFolder => settle_names(durable, pending),
        Op::Delete { durable: true, .. } => {
            pending.push(op);
            settle_names(durable, pending);
        }
        Op::Mark(_) => {}
        Op::Write { .. } | Op::Truncate { .. } => {
            make_anew(durable, pending, &op);
            pending.push(op);
        }
        op @ (Op::Delete { .. } | Op::Rename { .. }) => pending.push(op),
    }
}

/// A file that is written after its name was removed is a new one, and has the name: the removal
/// cannot come after it.
fn make_anew(durable: &mut Image, pending: &mut Vec<Op>, op: &Op) {
    let Some(file) = file_of(op) else { return };
    let removed = |op: &Op| matches!(op, Op::Delete { file: gone, .. } if gone == file);
    if pending.iter().any(removed) {
        pending.retain(|op| file_of(op) != Some(file));
        durable.insert(Arc::clone(file), Vec::new());
    }
}

/// Makes names durable in the order in which they changed; bytes keep waiting under them.
fn settle_names(durable: &mut Image, pending: &mut Vec<Op>) {
    let mut later: Vec<Op> = Vec::new();
    for op in std::mem::take(pending) {
        match &op {
            Op::Delete { file, .. } => {
                later.retain(|op| file_of(op) != Some(file));
                durable.remove(file);
            }
            Op::Rename { from, to } => {
                rename_in(&mut later, from, to);
                apply(durable, &op, None);
            }
            _ => later.push(op),
        }
    }
    *pending = later;
}

fn rename_in(ops: &mut [Op], from: &Arc<str>, to: &Arc<str>) {
    for op in ops {
        match op {
            Op::Write { file, .. } | Op::Truncate { file, .. } if file == from => {
                *file = Arc::clone(to);
            }
            _ => {}
        }
    }
}

fn apply(image: &mut Image, op: &Op, torn: Option<&mut fastrand::Rng>) {
    match op {
        Op::Write { file, at, bytes } => {
            let held = image.entry(Arc::clone(file)).or_default();
            let at = usize::try_from(*at).expect("a file fits into memory");
            if held.len() < at + bytes.len() {
                held.resize(at + bytes.len(), 0);
            }
            match torn {
                None => held[at..at + bytes.len()].copy_from_slice(bytes),
                Some(random) => {
                    for start in (0..bytes.len()).step_by(SECTOR) {
                        let end = (start + SECTOR).min(bytes.len());
                        if random.bool() {
                            held[at + start..at + end].copy_from_slice(&bytes[start..end]);
                        }
                    }
                }
            }
        }
        Op::Truncate { file, size } => {
            let size = usize::try_from(*size).expect("a file fits into memory");
            image.entry(Arc::clone(file)).or_default().resize(size, 0);
        }
        Op::Delete { file, .. } => {
            image.remove(file);
        }
        Op::Rename { from, to } => {
            if let Some(bytes) = image.remove(from) {
                image.insert(Arc::clone(to), bytes);
            }
        }
        Op::Sync { .. } | Op::SyncFolder | Op::Mark(_) => {}
    }
}

/// What is there after a power cut. Bytes that were written under a name follow its rename.
pub fn image_of(durable: &Image, pending: &[Op], kept: Kept, random: &mut fastrand::Rng) -> Image {
    let mut image = durable.clone();
    let mut rest: Vec<Op> = pending.to_vec();
    for at in 0..rest.len() {
        let keep = match kept {
            Kept::None => false,
            Kept::All => true,
            Kept::Some | Kept::Torn => random.bool(),
        };
        let op = rest[at].clone();
        if let (true, Op::Delete { .. } | Op::Truncate { .. }) = (keep, &op) {
            apply(&mut image, &op, None);
        } else if let (true, Op::Rename { from, to }) = (keep, &op) {
            apply(&mut image, &op, None);
            rename_in(&mut rest[at + 1..], from, to);
        } else if keep {
            let torn = kept == Kept::Torn && random.u8(..4) == 0;
            apply(&mut image, &op, torn.then_some(&mut *random));
        } else if let Op::Rename { from, to } = &op {
            // The rename is lost: what came later under the new name goes to the old one.
            rename_in(&mut rest[at + 1..], to, from);
        }
    }
    image
}

/// Writes an image into a folder, over whatever archive files are there.
pub fn lay_down(folder: &Path, image: &Image) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        std::fs::remove_file(entry?.path())?;
    }
    image.iter().try_for_each(|(name, bytes)| std::fs::write(folder.join(&**name), bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_synced_under_a_name_that_is_not_durable_are_there_under_either_name() {
        let (old, new): (Arc<str>, Arc<str>) = ("a-new".into(), "a".into());
        let write =
            |file: &Arc<str>, byte| Op::Write { file: Arc::clone(file), at: 0, bytes: vec![byte] };
        let sync = |file: &Arc<str>| Op::Sync { file: Arc::clone(file) };
        let rename = Op::Rename { from: Arc::clone(&old), to: Arc::clone(&new) };
        let ops = [write(&old, 1), sync(&old), rename, write(&new, 2), sync(&new)];
        let (mut durable, mut pending) = (Image::new(), Vec::new());
        for op in ops {
            take_in(&mut durable, &mut pending, op, Policy::Plain);
        }
        let mut random = fastrand::Rng::with_seed(1);
        let lost = image_of(&durable, &pending, Kept::None, &mut random);
        assert_eq!(lost, Image::from([(Arc::clone(&old), vec![2])]));
        let kept = image_of(&durable, &pending, Kept::All, &mut random);
        assert_eq!(kept, Image::from([(Arc::clone(&new), vec![2])]));
        take_in(&mut durable, &mut pending, Op::SyncFolder, Policy::Plain);
        assert_eq!(durable, kept);
    }
}
