//! What asking costs.

use std::ops::{AddAssign, Sub};

use serde::Serialize;

/// What a run, a stream or a fetch has spent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Spent {
    pub requests: u64,
    /// The repetitions among them.
    pub retries: u64,
    /// Bytes of decoded bodies.
    pub bytes: u64,
    /// Time in waits, for a source's sake or by its own limits, milliseconds.
    pub waited_ms: u64,
}

impl AddAssign for Spent {
    fn add_assign(&mut self, more: Spent) {
        self.requests += more.requests;
        self.retries += more.retries;
        self.bytes += more.bytes;
        self.waited_ms += more.waited_ms;
    }
}

impl Sub for Spent {
    type Output = Spent;

    /// What was spent since `before`.
    fn sub(self, before: Spent) -> Spent {
        Spent {
            requests: self.requests.saturating_sub(before.requests),
            retries: self.retries.saturating_sub(before.retries),
            bytes: self.bytes.saturating_sub(before.bytes),
            waited_ms: self.waited_ms.saturating_sub(before.waited_ms),
        }
    }
}
