//! Ctrl-C and the system's wish that windrow ends.

use crate::host::{StopCause, StopSwitch};

use super::error::exit_code_of_stop;

/// Listens on a thread of its own. The first signal asks for an orderly end, the second one ends
/// the process at once: every commit is whole, so nothing is lost by that either.
pub fn listen(switch: StopSwitch) {
    let listener = std::thread::Builder::new().name("signals".to_owned());
    // Without a listener Ctrl-C ends the process at once, as it does everywhere.
    let _ = listener.spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        if let Ok(runtime) = runtime {
            runtime.block_on(wait_for_signals(&switch));
        }
    });
}

/// "File size limit exceeded", on Linux, macOS and the BSDs.
#[cfg(unix)]
const SIGXFSZ: i32 = 25;

#[cfg(unix)]
async fn wait_for_signals(switch: &StopSwitch) {
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
async fn wait_for_signals(switch: &StopSwitch) {
    let mut first = true;
    while tokio::signal::ctrl_c().await.is_ok() {
        end_or_ask(switch, StopCause::Interrupt, &mut first);
    }
}

#[expect(clippy::disallowed_methods, reason = "a second Ctrl-C means now")]
fn end_or_ask(switch: &StopSwitch, cause: StopCause, first: &mut bool) {
    if !std::mem::take(first) {
        std::process::exit(exit_code_of_stop(cause).into());
    }
    switch.ask(cause);
}
