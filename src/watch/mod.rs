//! Keeping an archive up to date by rounds: how long the rest between two of them is, whether a
//! request is queued meanwhile, and the unit by which a system runs `windrow watch`. The command
//! drives the rounds.

mod backoff;
mod queue_watch;
mod unit;

pub use backoff::{Rest, Round, rest_after};
pub use queue_watch::QueueWatch;
pub use unit::{UnitPaths, launchd_unit, systemd_unit, task_unit};
