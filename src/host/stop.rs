//! How a run learns that it should end: Ctrl-C, a termination signal, or a test.

use tokio::sync::watch;

/// Who asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// SIGINT, Ctrl-C.
    Interrupt,
    /// SIGTERM or SIGHUP.
    Terminate,
}

/// The listener's end; cheap to clone.
#[derive(Clone, Debug)]
pub struct Stop {
    receiver: watch::Receiver<Option<StopCause>>,
}

/// The sender's end.
#[derive(Clone, Debug)]
pub struct StopSwitch {
    sender: std::sync::Arc<watch::Sender<Option<StopCause>>>,
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
        *self.receiver.borrow()
    }

    /// Waits until somebody asks for the end; for ever when nobody can.
    pub async fn requested(&self) -> StopCause {
        let mut receiver = self.receiver.clone();
        loop {
            if let Some(cause) = *receiver.borrow_and_update() {
                return cause;
            }
            if receiver.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

impl StopSwitch {
    /// Asks for the end. The first cause stands.
    pub fn ask(&self, cause: StopCause) {
        self.sender.send_if_modified(|current| {
            let first = current.is_none();
            if first {
                *current = Some(cause);
            }
            first
        });
    }
}
