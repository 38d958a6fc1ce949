//! What is wrong with network, clock, proxy, TLS, disk, archive and definition, and the cure.
//!
//! [`gather()`] looks and decides nothing, [`examine()`] decides and looks at nothing: facts in,
//! findings out. Nothing here is printed, and nothing is repaired.

mod examine;
mod facts;
mod finding;
mod gather;
mod network;
mod storage;

pub use examine::examine;
pub use facts::{
    Answer, ArchiveFacts, DefinitionFacts, Facts, Reach, SecretFact, SecretFound, SourceFacts,
};
pub use finding::{Fault, Finding, Verdict, worst};
pub use gather::{Surroundings, Way, gather};
