//! What a check looks for, and when its statements end.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::definition::Definition;
use crate::host::{Clock, Stop};
use crate::model::Error;
use crate::model::Timestamp;
use crate::store::Reader;

use crate::check::help_commands::HelpCommands;

/// What to look for.
pub struct CheckOptions<'a> {
    /// What is archived; none when only the archive is there.
    pub definition: Option<&'a Definition>,
    /// These streams; all when empty. Then the definition's own questions are not asked.
    pub streams: &'a [String],
    /// Where the grid of each window stream starts.
    pub starts: BTreeMap<String, Timestamp>,
    /// Leave out what lies before.
    pub since: Option<Timestamp>,
    /// Robust deviations that make a spike, whatever the definition says.
    pub tolerance: Option<f64>,
    pub now: Timestamp,
    /// The commands that mend.
    pub help_commands: &'a HelpCommands,
}

/// Ends statements: when somebody asks for the end, and when a question takes too long.
#[derive(Clone)]
pub struct Limit {
    clock: Arc<dyn Clock>,
    stop: Stop,
    /// Milliseconds of the monotonic clock; the greatest number for none.
    deadline: Arc<AtomicU64>,
}

impl Limit {
    /// Has the statements of `reader` end when `stop` says so.
    pub fn on(reader: &mut Reader, clock: Arc<dyn Clock>, stop: Stop) -> Result<Self, Error> {
        let limit = Self { clock, stop, deadline: Arc::new(AtomicU64::new(u64::MAX)) };
        limit.also_on(reader)?;
        Ok(limit)
    }

    /// Has the statements of another reader of the archive end by the same deadline.
    pub(crate) fn also_on(&self, reader: &mut Reader) -> Result<(), Error> {
        let own = self.clone();
        reader.end_when(move || own.stop.cause().is_some() || own.is_over())
    }

    pub(crate) fn millis(&self) -> u64 {
        u64::try_from(self.clock.monotonic().as_millis()).unwrap_or(u64::MAX)
    }

    fn is_over(&self) -> bool {
        self.millis() >= self.deadline.load(Ordering::Relaxed)
    }

    /// Gives what `work` does so much time. Tells whether it was over before the work was done.
    pub(crate) fn within<T>(&self, time: Duration, work: impl FnOnce() -> T) -> (T, bool) {
        let millis = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.deadline.store(self.millis().saturating_add(millis), Ordering::Relaxed);
        let done = work();
        let over = self.is_over();
        self.deadline.store(u64::MAX, Ordering::Relaxed);
        (done, over)
    }
}
