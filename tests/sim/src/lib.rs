//! A simulator for windrow: the engine that users run, in a world made from a seed.
//!
//! `scenario` draws the definition and the faults; `world` is the API and its truth; `net` is the
//! wire; `quirk` is what an API may have of its own; `seams` are the clock and the files; `vfs` and `disk` are the disk; `life` runs it all;
//! `check` holds the file against the truth, `dump` writes it as a text that can be compared.
//! `outbox` and `orders` are the same for writes; `laptops` are three lives that swap files, which
//! lie on the `stick`. The same seed gives the same life, event for event.

pub mod check;
pub mod disk;
pub mod dump;
pub mod kill;
pub mod laptops;
pub mod later;
pub mod life;
pub mod net;
pub mod orders;
pub mod outbox;
pub mod power;
pub mod quirk;
pub mod scenario;
pub mod seams;
mod stick;
pub mod swarm;
pub mod vfs;
pub mod world;
