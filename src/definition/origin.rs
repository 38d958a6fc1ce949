//! Who vouches for a definition, which decides what it may read and whom it may ask.

use super::Definition;

/// Who vouches for a definition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DefinitionOrigin {
    /// The user's own file.
    File,
    /// An archive holds it and no file does; the user has trusted it with `windrow trust`.
    TrustedArchive,
    /// An archive holds it and no file does. It reads no variable and no file, and reaches no host.
    Archive,
}

impl Definition {
    /// Whether it may read secrets and reach the hosts that it names.
    pub fn is_trusted(&self) -> bool {
        self.origin != DefinitionOrigin::Archive
    }
}
