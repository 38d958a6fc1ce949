//! How the work of a connection ends early: a signal to the process, or whatever else its caller
//! waits for. Every connection that windrow opens on a file is set up here.

use std::time::Duration;

use rusqlite::{Connection, ErrorCode};

use crate::host::Stop;

/// Instructions of SQLite between two looks whether somebody wants it to end: thousands a second.
const STEPS_BETWEEN_LOOKS: i32 = 10_000;
/// How long after a signal a writer may still go on: the page in hand is then mostly written, and
/// what is noted at the end of a run takes no longer. A reader ends at once.
const WRITER_GRACE: Duration = Duration::from_millis(700);
/// How long a statement waits for another program's lock: a person at an `sqlite3` shell commits
/// within that.
const BUSY_MAX: Duration = Duration::from_secs(10);
/// The longest pause between two tries for a lock: a longer one adds to each wait, a shorter one
/// keeps the processor from the holder.
const BUSY_PAUSE_MAX: Duration = Duration::from_millis(50);

/// Has every statement of a connection that reads end as soon as `enough` says so or a signal came.
/// The error is SQLITE_INTERRUPT.
pub(crate) fn end_when(
    connection: &mut Connection,
    enough: impl FnMut() -> bool + Send + 'static,
) -> rusqlite::Result<()> {
    let mut enough = enough;
    let ends = move || signalled(Duration::ZERO) || enough();
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(ends))
}

/// Has the connection end when the process is told to, and wait for others' locks until then.
pub(crate) fn end_with_process(connection: &mut Connection) -> rusqlite::Result<()> {
    let grace = match connection.is_readonly("main")? {
        true => Duration::ZERO,
        false => WRITER_GRACE,
    };
    connection.progress_handler(STEPS_BETWEEN_LOOKS, Some(move || signalled(grace)))?;
    wait_for_locks(connection)
}

/// Has the connection wait for a lock of another program, unless the process is told to end.
pub(crate) fn wait_for_locks(connection: &mut Connection) -> rusqlite::Result<()> {
    let mut waited = Duration::ZERO;
    connection.busy_handler(Some(move |times: i32| {
        if times == 0 {
            waited = Duration::ZERO;
        }
        if waited >= BUSY_MAX || signalled(Duration::ZERO) {
            return false;
        }
        let pause = Duration::from_millis(1 << times.clamp(0, 6)).min(BUSY_PAUSE_MAX);
        waited += pause;
        pause_for(pause);
        true
    }))
}

#[expect(clippy::disallowed_methods, reason = "SQLite waits for another process in real time")]
fn pause_for(pause: Duration) {
    std::thread::sleep(pause);
}

/// Whether a signal came to this process, this long ago or longer.
fn signalled(ago: Duration) -> bool {
    Stop::of_process().and_then(Stop::since).is_some_and(|since| since >= ago)
}

/// Whether an error is that a statement was ended before it was done, by whoever wants that. A lock
/// that is no longer waited for because of a signal is one too.
pub(crate) fn was_ended(error: &rusqlite::Error) -> bool {
    match error.sqlite_error_code() {
        Some(ErrorCode::OperationInterrupted) => true,
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => signalled(Duration::ZERO),
        _ => false,
    }
}
