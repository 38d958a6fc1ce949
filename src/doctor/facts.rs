//! What was seen, before anybody judges it.

use crate::doctor::Health;
use crate::host::files::FileSystem;
use crate::http::NetError;
use crate::model::{Error, Timestamp};

/// All that was seen.
#[derive(Debug)]
pub struct Facts {
    /// The machine's wall clock.
    pub now: Timestamp,
    pub definition: DefinitionFacts,
    /// The secrets that it refers to.
    pub secrets: Vec<SecretFact>,
    /// The archive and the place where it lies; `None` when nobody says where that is.
    pub archive: Option<ArchiveFacts>,
    /// Whether the network was left alone on purpose.
    pub offline: bool,
    /// `Some(false)` when every link but loopback is down, `None` when nobody can tell.
    pub links_up: Option<bool>,
    /// Name and value of each proxy variable that counts, as it is set.
    pub proxies: Vec<(String, String)>,
    /// The sources of the definition.
    pub sources: Vec<SourceFacts>,
    /// Those of them that asked for a wait that is not over, and what they said.
    pub waits: Vec<(String, String)>,
}

/// What became of reading the definition.
#[derive(Clone, Debug, PartialEq)]
pub enum DefinitionFacts {
    /// It was read without a problem.
    Sound {
        file: String,
        /// How many sources it has.
        sources: usize,
        /// How many streams it has.
        streams: usize,
    },
    /// It cannot be read, or has problems.
    Broken {
        /// What is wrong, with each place.
        message: String,
        /// What to do about it.
        help: Option<String>,
    },
    /// Only an archive was named, and that one cannot be asked for its definition.
    Absent,
}

/// A secret, never its value.
#[derive(Clone, Debug, PartialEq)]
pub struct SecretFact {
    /// The reference as the definition writes it: `${env:NAME}` or `${file:PATH}`.
    pub reference: String,
    /// The place in the definition that needs it.
    pub place: String,
    /// How it was found.
    pub found: SecretFound,
}

/// How a secret was found.
#[derive(Clone, Debug, PartialEq)]
pub enum SecretFound {
    Good,
    /// It is not there, for this reason.
    Missing(String),
    /// It has too few characters to be taken out of texts.
    Short,
    /// It holds blanks or control characters at an end or within, which no server hands out.
    Odd,
    /// Its file can be read by others.
    Exposed {
        file: String,
        /// The permission bits of the file, as `0o644`.
        mode: u32,
    },
}

/// The archive and the place where it lies.
#[derive(Debug)]
pub struct ArchiveFacts {
    pub path: String,
    /// Whether a network file system was asked for.
    pub allow_network_fs: bool,
    /// What SQLite says of it; `None` when there is no file yet.
    pub health: Option<Result<Health, Error>>,
    /// Why the file cannot be written, if so.
    pub unwritable: Option<String>,
    /// The size of the archive's file, bytes.
    pub bytes: u64,
    /// What the names of the files beside it add to its own.
    pub beside: Vec<String>,
    /// What the holder of its lock wrote about itself, or why that cannot be told.
    pub holder: Result<Option<String>, String>,
    /// Why no file can be made beside it, if so.
    pub closed_folder: Option<String>,
    /// Room on the disk.
    pub free_bytes: Result<u64, String>,
    /// What kind of file system that is; `None` when nobody can tell.
    pub file_system: Option<FileSystem>,
}

/// A source, and what came of asking for its base address.
#[derive(Clone, Debug)]
pub struct SourceFacts {
    pub name: String,
    /// Its base address, which never holds credentials.
    pub base_url: String,
    /// Whether that is https.
    pub secure: bool,
    /// Whether that is this machine.
    pub loopback: bool,
    pub reach: SourceReach,
}

/// What came of a request.
#[derive(Clone, Debug)]
pub enum SourceReach {
    /// It was not sent.
    NotAsked,
    /// No request could be sent at all: the HTTP client does not start, and why.
    NoClient(String),
    Answered(AnswerFacts),
    /// No answer came, for this reason.
    Failed(NetError),
}

/// What an answer says of the way to the source.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AnswerFacts {
    /// The HTTP status of the answer.
    pub status: u16,
    /// Whether it is a web page.
    pub html: bool,
    /// The other host that it sends on to.
    pub elsewhere: Option<String>,
    /// The source's clock and this machine's at the same moment.
    pub clocks: Option<(Timestamp, Timestamp)>,
}
