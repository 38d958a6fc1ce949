//! The outbox in the archive: entries, their attempts, the senders that queued them.
//!
//! Nothing here decides what becomes of an entry; each change is one transaction that takes effect
//! only where the entry still is as the decision found it.

pub(crate) mod alerts;
pub(crate) mod change;
pub(crate) mod entry;
pub(crate) mod given_outbox;
pub(crate) mod lift;
pub(crate) mod open;
pub(crate) mod read;

pub use alerts::AlertRow;
pub use change::{Added, AttemptClaim, KeptAnswer, NewEntry, Settlement};
pub use entry::{MovedEntry, OutboxAttempt, OutboxBrief, OutboxEntry, SenderIdentity};
pub use given_outbox::{GivenEntries, MOVED, move_outbox, take_entries};
pub use open::Outbox;
pub use read::{OutboxCount, QueueMark};

/// Entries of which something is still to come. One that is full of entries which no network ever
/// takes is a mistake that should be seen while a laptop can still plan over them in memory.
pub const OPEN_ENTRIES_MAX: u64 = 100_000;
