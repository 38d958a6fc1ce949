//! What time is it, and how long do we wait? Nothing else in windrow reads a clock.

use std::future::Future;
use std::pin::Pin;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};

/// A pause that ends by itself.
pub type Pause<'a> = Pin<Box<dyn Future<Output = ()> + Send + 'a>>;

/// Wall time for what is written down, monotonic time for what is waited for.
pub trait Clock: Send + Sync {
    /// The wall clock, UTC.
    fn now(&self) -> DateTime<Utc>;
    /// Time since some fixed instant; never goes back.
    fn monotonic(&self) -> Duration;
    /// Ends after `duration` of this clock.
    fn pause(&self, duration: Duration) -> Pause<'_>;
    /// Whether this wall clock runs, so that it can be held against another one.
    fn runs(&self) -> bool {
        true
    }
}

/// The machine's own clock.
pub struct SystemClock {
    origin: Instant,
}

impl SystemClock {
    /// Starts the monotonic count at zero.
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }

    fn monotonic(&self) -> Duration {
        self.origin.elapsed()
    }

    #[expect(clippy::disallowed_methods, reason = "the one place that sleeps")]
    fn pause(&self, duration: Duration) -> Pause<'_> {
        // The timer is made when the pause begins, which may be later and elsewhere than here.
        Box::pin(async move { tokio::time::sleep(duration).await })
    }
}

/// A wall clock that stands where it is put. Waits are real, so that a server can be waited for.
pub struct SteadyClock {
    now: Mutex<DateTime<Utc>>,
    real: SystemClock,
}

impl SteadyClock {
    /// A clock that stands at `now` until it is set again.
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { now: Mutex::new(now), real: SystemClock::new() }
    }

    /// Moves the clock to `now`.
    pub fn set(&self, now: DateTime<Utc>) {
        *self.now.lock().expect("no holder of the clock panics") = now;
    }
}

impl Clock for SteadyClock {
    fn now(&self) -> DateTime<Utc> {
        *self.now.lock().expect("no holder of the clock panics")
    }

    fn monotonic(&self) -> Duration {
        self.real.monotonic()
    }

    fn pause(&self, duration: Duration) -> Pause<'_> {
        self.real.pause(duration)
    }

    fn runs(&self) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_may_be_made_before_there_is_a_runtime() {
        let clock = SystemClock::new();
        let pause = clock.pause(Duration::from_millis(1));
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        runtime.expect("a runtime").block_on(pause);
    }
}
