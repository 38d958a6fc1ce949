//! What is wrong with network, clock, proxy, TLS, disk, archive and definition, and the help.
//!
//! [`gather()`] looks and decides nothing, [`examine()`] decides and looks at nothing: facts in,
//! findings out. Nothing here is printed, and nothing is repaired.

pub(crate) mod examine;
pub(crate) mod facts;
pub(crate) mod finding;
pub(crate) mod gather;
pub(crate) mod health;
pub(crate) mod network;
pub(crate) mod storage;

pub use examine::examine;
pub use facts::{
    AnswerFacts, ArchiveFacts, DefinitionFacts, Facts, SecretFact, SecretFound, SourceFacts,
    SourceReach,
};
pub use finding::{DoctorFinding, DoctorVerdict, FaultArea, worst};
pub use gather::{Surroundings, Way, gather};
pub use health::{Ejected, Health, eject, eject_with};
