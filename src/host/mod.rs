//! The outside as seen from inside: clock, randomness, environment, network, files, signals.
//!
//! Every room that needs one of these takes it from [`Host`], so that a test, the demo or a
//! simulator can hand in its own. This room decides nothing.

mod clock;
mod environment;
pub mod files;
mod folder;
mod leftover;
pub mod log_file;
mod network;
mod random;
mod signals;
mod stop;

use std::sync::Arc;

pub use clock::{Clock, Pause, SteadyClock, SystemClock};
pub use environment::{Environment, ProcessEnvironment};
pub use files::{Files, SystemFiles};
pub use folder::{HeldFolder, PrivateFolder};
pub use leftover::{Leftover, remove_leftovers};
pub use network::{Network, SystemNetwork};
pub use random::{Random, SeededRandom};
pub use signals::listen_for_signals;
pub use stop::{Stop, StopCause, StopSwitch};

/// The bundle of seams that one run of windrow sees of the world.
#[derive(Clone)]
pub struct Host {
    /// Wall and monotonic time.
    pub clock: Arc<dyn Clock>,
    /// Jitter, and the bits of keys that nobody chose.
    pub random: Arc<dyn Random>,
    /// Variables and secret files.
    pub environment: Arc<dyn Environment>,
    /// Names and removals of files, made durable.
    pub files: Arc<dyn Files>,
    /// What the operating system says of its links.
    pub network: Arc<dyn Network>,
    /// Tells a run that a person or the system wants it to end.
    pub stop: Stop,
}

impl Host {
    /// The real world. `WINDROW_TEST_NOW` (an RFC 3339 instant) freezes the clock and
    /// `WINDROW_TEST_SEED` fixes the jitter, so that a command can be tested as a process.
    pub fn system(stop: Stop) -> Self {
        let environment = ProcessEnvironment;
        let frozen = environment
            .variable("WINDROW_TEST_NOW")
            .and_then(|text| chrono::DateTime::parse_from_rfc3339(&text).ok())
            .map(|at| at.to_utc());
        let seed = environment.variable("WINDROW_TEST_SEED").and_then(|text| text.parse().ok());
        let clock: Arc<dyn Clock> = match frozen {
            Some(at) => Arc::new(SteadyClock::new(at)),
            None => Arc::new(SystemClock::new()),
        };
        Self {
            clock,
            random: Arc::new(SeededRandom::jitter(seed)),
            environment: Arc::new(environment),
            files: Arc::new(SystemFiles),
            network: Arc::new(SystemNetwork),
            stop,
        }
    }
}
