//! What the system has refused SQLite, by its extended code.

/// The operation that the system has refused, by SQLite's extended code.
pub(crate) fn refused_operation(error: &rusqlite::Error) -> &'static str {
    use rusqlite::ffi::{
        SQLITE_CANTOPEN, SQLITE_IOERR_DIR_FSYNC, SQLITE_IOERR_FSTAT, SQLITE_IOERR_FSYNC,
        SQLITE_IOERR_READ, SQLITE_IOERR_SHMMAP, SQLITE_IOERR_SHORT_READ, SQLITE_IOERR_TRUNCATE,
        SQLITE_IOERR_WRITE, SQLITE_PERM,
    };
    let rusqlite::Error::SqliteFailure(failure, _) = error else { return "used" };
    match failure.extended_code {
        SQLITE_IOERR_READ | SQLITE_IOERR_SHORT_READ | SQLITE_IOERR_FSTAT | SQLITE_IOERR_SHMMAP => {
            "read"
        }
        SQLITE_IOERR_WRITE
        | SQLITE_IOERR_FSYNC
        | SQLITE_IOERR_DIR_FSYNC
        | SQLITE_IOERR_TRUNCATE => "written",
        SQLITE_PERM => "opened",
        code if code & 0xff == SQLITE_CANTOPEN => "opened",
        _ => "used",
    }
}
