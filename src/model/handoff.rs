//! The log of hand-offs.

use strum::{Display, EnumString, IntoStaticStr};

/// Which way an archive went.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Display, EnumString, IntoStaticStr)]
#[strum(serialize_all = "lowercase")]
pub enum HandoffDirection {
    /// A copy was given away.
    Given,
    /// Another archive was merged into this one.
    Taken,
}

impl HandoffDirection {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}
