//! Ctrl-C and the system's wish that windrow ends.

use std::time::Duration;

use crate::host::leftover::remove_leftovers;
use crate::host::stop::{StopCause, StopSwitch};

/// When a command that has not come to its end by itself is ended. With [`TIDY_MAX`] it stays
/// under the two seconds that docs/contract.md, section 14, promises.
const COMMAND_MAX: Duration = Duration::from_millis(1_500);
/// How long what lies on the disk is tidied up for before that: a few files are removed in far
/// less, and a disk that does not answer holds up the end no longer.
const TIDY_MAX: Duration = Duration::from_millis(300);

/// How long the listener may take to begin: far longer than it does, and a system that gives it no
/// time at all does not hold up a command.
const LISTENER_MAX: Duration = Duration::from_secs(5);

/// Listens on a thread of its own, from before it returns on. The first signal asks for an orderly
/// end, which the process is given `COMMAND_MAX` for; the second one ends it at once: every
/// commit is whole, so nothing is lost by that either.
pub fn listen_for_signals(switch: StopSwitch) {
    let listener = std::thread::Builder::new().name("signals".to_owned());
    // Without a listener Ctrl-C ends the process at once, as it does everywhere.
    let (begun, begins) = std::sync::mpsc::channel::<()>();
    let spawned = listener.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(wait_for_signals(&switch, || drop(begun)));
        }
    });
    if spawned.is_ok() {
        // A command that met a signal before the listener did would end without tidying up.
        let _ = begins.recv_timeout(LISTENER_MAX);
    }
}

/// "File size limit exceeded", on Linux, macOS and the BSDs.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

#[cfg(unix)]
async fn wait_for_signals(switch: &StopSwitch, begun: impl FnOnce()) {
    use tokio::signal::unix::{SignalKind, signal};
    let signals = (
        signal(SignalKind::interrupt()),
        signal(SignalKind::terminate()),
        signal(SignalKind::hangup()),
    );
    let (Ok(mut interrupt), Ok(mut terminate), Ok(mut hangup)) = signals else { return };
    // A file-size limit is met with this signal, whose default is death; with a listener the
    // write fails instead, and is reported as any other storage error.
    let _file_size = signal(SignalKind::from_raw(SIGXFSZ));
    begun();
    let mut first = true;
    loop {
        let cause = tokio::select! {
            _ = interrupt.recv() => StopCause::Interrupt,
            _ = terminate.recv() => StopCause::Terminate,
            _ = hangup.recv() => StopCause::Terminate,
        };
        end_or_ask(switch, cause, &mut first);
    }
}

#[cfg(not(unix))]
async fn wait_for_signals(switch: &StopSwitch, begun: impl FnOnce()) {
    let mut first = true;
    begun();
    while tokio::signal::ctrl_c().await.is_ok() {
        end_or_ask(switch, StopCause::Interrupt, &mut first);
    }
}

#[expect(clippy::disallowed_methods, reason = "a second Ctrl-C means now")]
fn end_or_ask(switch: &StopSwitch, cause: StopCause, first: &mut bool) {
    if !std::mem::take(first) {
        std::process::exit(cause.exit_number().into());
    }
    switch.ask(cause);
    // Where no thread can be had, a second signal still ends the process.
    let _ = std::thread::Builder::new()
        .name("last resort".to_owned())
        .spawn(move || end_by_force(cause));
}

/// Ends the process when the command has not ended by then: it waits for what nothing interrupts,
/// such as a pipe that nobody reads, a disk, a look-up of a name, or it computes. What is not
/// committed is taken back as after a `kill -9`.
#[expect(clippy::disallowed_methods, reason = "the time that a person waits is real")]
fn end_by_force(cause: StopCause) {
    std::thread::sleep(COMMAND_MAX);
    // Tidying may wait for the same disk as the command.
    let (done, tidied) = std::sync::mpsc::channel();
    let _ = std::thread::Builder::new().name("tidying".to_owned()).spawn(move || {
        tracing::warn!(exit_code = cause.exit_number(), "ended by force: the command did not end");
        remove_leftovers();
        let _ = done.send(());
    });
    let _ = tidied.recv_timeout(TIDY_MAX);
    std::process::exit(cause.exit_number().into());
}
