//! A recording VFS: every write, truncation, sync, removal and rename of an archive's files goes
//! through here, is counted, can be made to fail, and can be lost as a power cut loses it.
//!
//! It lies over the operating system's own VFS and is SQLite's default in this process, so the
//! archive room runs unchanged. Only files in a folder that was registered are recorded. Real
//! syncs are skipped: what is durable is decided by the model in [`crate::disk`].

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_int, c_void};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, Once, OnceLock};

use rusqlite::ffi::*;

use crate::disk::{Disk, Op, Touch};

/// A disk that several connections share.
pub type SharedDisk = Arc<Mutex<Disk>>;

static DISKS: Mutex<BTreeMap<PathBuf, SharedDisk>> = Mutex::new(BTreeMap::new());
static REAL: OnceLock<usize> = OnceLock::new();

fn real() -> *mut sqlite3_vfs {
    *REAL.get().expect("the VFS is registered before any file is opened") as *mut sqlite3_vfs
}

/// Makes the recording VFS SQLite's default, once in a process.
pub fn register() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        // SAFETY: SQLite's own default VFS lives as long as the process; ours is leaked. Nothing
        // has used SQLite yet, so that it may be configured.
        unsafe {
            // Its count of bytes in use is one lock that all lives would wait for.
            sqlite3_config(SQLITE_CONFIG_MEMSTATUS, c_int::from(false));
            let found = sqlite3_vfs_find(std::ptr::null());
            REAL.set(found as usize).expect("it is set once");
            let mut vfs: sqlite3_vfs = *found;
            vfs.szOsFile += size_of::<Handle>() as c_int;
            vfs.pNext = std::ptr::null_mut();
            vfs.zName = c"windrow-sim".as_ptr();
            vfs.xOpen = Some(open);
            vfs.xDelete = Some(delete);
            sqlite3_vfs_register(Box::into_raw(Box::new(vfs)), 1);
        }
    });
}

/// From here on files in `folder` are recorded by `disk`.
pub fn attach(folder: &Path, disk: &SharedDisk) {
    let mut disks = DISKS.lock().expect("no holder panics");
    disks.insert(folder.to_owned(), Arc::clone(disk));
}

/// Files in `folder` are no longer recorded.
pub fn detach(folder: &Path) {
    DISKS.lock().expect("no holder panics").remove(folder);
}

fn disk_of(path: &Path) -> Option<SharedDisk> {
    let disks = DISKS.lock().expect("no holder panics");
    path.parent().and_then(|folder| disks.get(folder)).cloned()
}

/// What stands before the real file in the memory that SQLite allots to a handle.
#[repr(C)]
struct Handle {
    base: sqlite3_file,
    recorded: *mut Recorded,
}

struct Recorded {
    disk: SharedDisk,
    name: Arc<str>,
}

impl Recorded {
    fn touch(&self, touch: Touch) -> Result<(), c_int> {
        self.disk.lock().expect("no holder panics").touch(touch)
    }

    fn log(&self, op: Op) {
        self.disk.lock().expect("no holder panics").log(op);
    }

    /// A reader takes its place in the log, or reads: moments at which another writer hurts.
    fn let_others_in(&self) {
        let hook = self.disk.lock().expect("no holder panics").take_hook();
        if let Some(mut hook) = hook {
            hook();
            self.disk.lock().expect("no holder panics").give_hook(hook);
        }
    }
}

unsafe fn inner(file: *mut sqlite3_file) -> *mut sqlite3_file {
    // SAFETY: szOsFile was enlarged by the size of a Handle, which stands first.
    unsafe { file.cast::<u8>().add(size_of::<Handle>()).cast() }
}

unsafe fn recorded<'a>(file: *mut sqlite3_file) -> Option<&'a Recorded> {
    // SAFETY: the handle was filled by `open`; the pointer is null or owned by the handle.
    unsafe { (*file.cast::<Handle>()).recorded.as_ref() }
}

macro_rules! forward {
    ($name:ident, $method:ident($($arg:ident: $kind:ty),*)) => {
        unsafe extern "C" fn $name(file: *mut sqlite3_file, $($arg: $kind),*) -> c_int {
            // SAFETY: SQLite calls this on a handle that `open` filled.
            unsafe {
                let real = inner(file);
                match (*(*real).pMethods).$method {
                    Some(method) => method(real, $($arg),*),
                    None => SQLITE_OK,
                }
            }
        }
    };
}

forward!(file_size, xFileSize(size: *mut sqlite3_int64));
forward!(lock, xLock(level: c_int));
forward!(unlock, xUnlock(level: c_int));
forward!(reserved, xCheckReservedLock(out: *mut c_int));
forward!(control, xFileControl(op: c_int, value: *mut c_void));
forward!(sector, xSectorSize());
forward!(shm_map, xShmMap(page: c_int, size: c_int, extend: c_int, out: *mut *mut c_void));
forward!(shm_unmap, xShmUnmap(remove: c_int));

/// No promise about torn or atomic writes: the model breaks them all.
unsafe extern "C" fn characteristics(_file: *mut sqlite3_file) -> c_int {
    0
}

unsafe extern "C" fn shm_barrier(file: *mut sqlite3_file) {
    // SAFETY: as for the forwarded methods.
    unsafe {
        let real = inner(file);
        if let Some(method) = (*(*real).pMethods).xShmBarrier {
            method(real);
        }
    }
}

unsafe extern "C" fn shm_lock(
    file: *mut sqlite3_file,
    offset: c_int,
    count: c_int,
    flags: c_int,
) -> c_int {
    // SAFETY: as for the forwarded methods.
    unsafe {
        let real = inner(file);
        let Some(method) = (*(*real).pMethods).xShmLock else { return SQLITE_OK };
        let code = method(real, offset, count, flags);
        if code == SQLITE_OK
            && flags == SQLITE_SHM_SHARED | SQLITE_SHM_LOCK
            && let Some(recorded) = recorded(file)
        {
            recorded.let_others_in();
        }
        code
    }
}

unsafe extern "C" fn read(
    file: *mut sqlite3_file,
    into: *mut c_void,
    count: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: as for the forwarded methods.
    unsafe {
        if let Some(Err(code)) = recorded(file).map(|recorded| recorded.touch(Touch::Read)) {
            return code;
        }
        if let Some(recorded) = recorded(file) {
            recorded.let_others_in();
        }
        let real = inner(file);
        (*(*real).pMethods).xRead.map_or(SQLITE_OK, |method| method(real, into, count, offset))
    }
}

unsafe extern "C" fn write(
    file: *mut sqlite3_file,
    from: *const c_void,
    count: c_int,
    offset: sqlite3_int64,
) -> c_int {
    // SAFETY: as for the forwarded methods; `from` holds `count` bytes.
    unsafe {
        if let Some(recorded) = recorded(file) {
            if let Err(code) = recorded.touch(Touch::Write) {
                return code;
            }
            let bytes = std::slice::from_raw_parts(from.cast::<u8>(), count as usize).to_vec();
            recorded.log(Op::Write { file: recorded.name.clone(), at: offset as u64, bytes });
        }
        let real = inner(file);
        (*(*real).pMethods).xWrite.map_or(SQLITE_OK, |method| method(real, from, count, offset))
    }
}

unsafe extern "C" fn truncate(file: *mut sqlite3_file, size: sqlite3_int64) -> c_int {
    // SAFETY: as for the forwarded methods.
    unsafe {
        if let Some(recorded) = recorded(file) {
            if let Err(code) = recorded.touch(Touch::Truncate) {
                return code;
            }
            recorded.log(Op::Truncate { file: recorded.name.clone(), size: size as u64 });
        }
        let real = inner(file);
        (*(*real).pMethods).xTruncate.map_or(SQLITE_OK, |method| method(real, size))
    }
}

unsafe extern "C" fn sync(file: *mut sqlite3_file, flags: c_int) -> c_int {
    // SAFETY: as for the forwarded methods.
    unsafe {
        let Some(recorded) = recorded(file) else {
            let real = inner(file);
            return (*(*real).pMethods).xSync.map_or(SQLITE_OK, |method| method(real, flags));
        };
        if let Err(code) = recorded.touch(Touch::Sync) {
            return code;
        }
        recorded.log(Op::Sync { file: recorded.name.clone() });
        SQLITE_OK
    }
}

unsafe extern "C" fn close(file: *mut sqlite3_file) -> c_int {
    // SAFETY: the handle is closed once; its pointer came from Box::into_raw.
    unsafe {
        let real = inner(file);
        let mut code = SQLITE_OK;
        if !(*real).pMethods.is_null()
            && let Some(method) = (*(*real).pMethods).xClose
        {
            code = method(real);
        }
        let handle = file.cast::<Handle>();
        if !(*handle).recorded.is_null() {
            drop(Box::from_raw((*handle).recorded));
            (*handle).recorded = std::ptr::null_mut();
        }
        code
    }
}

static METHODS: sqlite3_io_methods = sqlite3_io_methods {
    iVersion: 2,
    xClose: Some(close),
    xRead: Some(read),
    xWrite: Some(write),
    xTruncate: Some(truncate),
    xSync: Some(sync),
    xFileSize: Some(file_size),
    xLock: Some(lock),
    xUnlock: Some(unlock),
    xCheckReservedLock: Some(reserved),
    xFileControl: Some(control),
    xSectorSize: Some(sector),
    xDeviceCharacteristics: Some(characteristics),
    xShmMap: Some(shm_map),
    xShmLock: Some(shm_lock),
    xShmBarrier: Some(shm_barrier),
    xShmUnmap: Some(shm_unmap),
    xFetch: None,
    xUnfetch: None,
};

unsafe fn path_of(name: *const c_char) -> Option<PathBuf> {
    if name.is_null() {
        return None;
    }
    // SAFETY: SQLite gives a text that ends in a zero byte.
    let text = unsafe { CStr::from_ptr(name) };
    Some(PathBuf::from(text.to_string_lossy().into_owned()))
}

fn short(path: &Path) -> Arc<str> {
    path.file_name().map(|name| name.to_string_lossy()).unwrap_or_default().into()
}

unsafe extern "C" fn open(
    _vfs: *mut sqlite3_vfs,
    name: sqlite3_filename,
    file: *mut sqlite3_file,
    flags: c_int,
    out: *mut c_int,
) -> c_int {
    // SAFETY: SQLite gives memory of szOsFile bytes, of which the handle takes the first ones.
    unsafe {
        let handle = file.cast::<Handle>();
        (*handle).recorded = std::ptr::null_mut();
        (*file).pMethods = std::ptr::null();
        let inner = inner(file);
        (*inner).pMethods = std::ptr::null();
        let path = path_of(name);
        let disk = path.as_deref().and_then(disk_of);
        if let Some(disk) = &disk
            && let Err(code) = disk.lock().expect("no holder panics").touch(Touch::Open)
        {
            return code;
        }
        let Some(method) = (*real()).xOpen else { return SQLITE_CANTOPEN };
        let code = method(real(), name, inner, flags, out);
        if let (Some(disk), Some(path)) = (disk, path) {
            let name = short(&path);
            if code == SQLITE_OK {
                disk.lock().expect("no holder panics").made(&name);
            }
            (*handle).recorded = Box::into_raw(Box::new(Recorded { disk, name }));
        }
        if (*inner).pMethods.is_null() {
            if !(*handle).recorded.is_null() {
                drop(Box::from_raw((*handle).recorded));
                (*handle).recorded = std::ptr::null_mut();
            }
        } else {
            (*file).pMethods = &METHODS;
        }
        code
    }
}

unsafe extern "C" fn delete(_vfs: *mut sqlite3_vfs, name: *const c_char, sync: c_int) -> c_int {
    // SAFETY: SQLite gives a text that ends in a zero byte.
    unsafe {
        let path = path_of(name);
        let disk = path.as_deref().and_then(disk_of);
        if let Some(disk) = &disk
            && let Err(code) = disk.lock().expect("no holder panics").touch(Touch::Delete)
        {
            return code;
        }
        let Some(method) = (*real()).xDelete else { return SQLITE_OK };
        let code = method(real(), name, 0);
        if let (Some(disk), Some(path), SQLITE_OK) = (disk, path, code) {
            let op = Op::Delete { file: short(&path), durable: sync != 0 };
            disk.lock().expect("no holder panics").log(op);
        }
        code
    }
}
