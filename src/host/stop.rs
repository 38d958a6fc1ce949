//! How a run learns that it should end: Ctrl-C, a termination signal, or a test.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

use tokio::sync::watch;

/// The listener of this process's signals.
static OF_PROCESS: OnceLock<Stop> = OnceLock::new();

/// Who asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    Interrupt,
    Terminate,
}

/// The listener's end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop {
    receiver: watch::Receiver<Option<Asked>>,
}

/// Requests the end of the work that holds the other end, a [`Stop`].
#[derive(Clone, Debug)]
pub struct StopSwitch {
    sender: std::sync::Arc<watch::Sender<Option<Asked>>>,
}

/// That somebody asked for the end, and when.
#[derive(Clone, Copy, Debug)]
struct Asked {
    cause: StopCause,
    at: Instant,
}

impl StopCause {
    /// What a process that ends for it returns, as a shell has it: 128 and the signal's number.
    pub const fn exit_number(self) -> u8 {
        match self {
            StopCause::Interrupt => 128 + 2,
            StopCause::Terminate => 128 + 15,
        }
    }
}

impl Stop {
    /// A switch and its listener.
    pub fn new() -> (StopSwitch, Stop) {
        let (sender, receiver) = watch::channel(None);
        (StopSwitch { sender: std::sync::Arc::new(sender) }, Stop { receiver })
    }

    /// A listener whose switch nobody holds: the run ends by itself.
    pub fn never() -> Stop {
        Stop::new().1
    }

    /// The cause, once somebody asked for the end.
    pub fn cause(&self) -> Option<StopCause> {
        self.receiver.borrow().map(|asked| asked.cause)
    }

    /// How long ago somebody asked for the end.
    pub fn since(&self) -> Option<Duration> {
        self.receiver.borrow().map(|asked| asked.at.elapsed())
    }

    /// Makes this the listener of the process's signals, which [`Stop::of_process`] gives. A signal
    /// is for the whole process, so what cannot be handed a listener looks there. The first one
    /// stays.
    pub fn hear_signals(&self) {
        let _ = OF_PROCESS.set(self.clone());
    }

    /// The listener of the process's signals, where the process has one.
    pub fn of_process() -> Option<&'static Stop> {
        OF_PROCESS.get()
    }

    /// Waits until somebody asks for the end; for ever when nobody can.
    pub async fn requested(&self) -> StopCause {
        let mut receiver = self.receiver.clone();
        loop {
            if let Some(asked) = *receiver.borrow_and_update() {
                return asked.cause;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl StopSwitch {
    /// Asks for the end. The first cause stands.
    #[expect(clippy::disallowed_methods, reason = "a signal comes in the machine's own time")]
    pub fn ask(&self, cause: StopCause) {
        let at = Instant::now();
        self.sender.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(Asked { cause, at });
            }
            first
        });
    }
}
