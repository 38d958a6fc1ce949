//! The commands whose names an archive keeps: in its runs and in the note of the lock's holder.

use serde::Serialize;
use strum::{Display, EnumString, IntoStaticStr, VariantArray};

/// A command that writes runs, or has an archive for itself while it works.
#[derive(
    Clone,
    Copy,
    Debug,
    Default,
    PartialEq,
    Eq,
    Serialize,
    Display,
    EnumString,
    IntoStaticStr,
    VariantArray,
)]
#[serde(into = "&'static str")]
#[strum(serialize_all = "lowercase")]
pub enum Command {
    #[default]
    Sync,
    /// A round of a watch.
    Watch,
    /// The demonstration, in an archive of its own.
    Demo,
    /// Into a copy of its own, beside the archive.
    Prove,
    /// Also where an adoption is taken back.
    Adopt,
    /// Rejects that became rows.
    #[strum(serialize = "rejects retry")]
    RejectsRetry,
    /// Rejects that a person set aside.
    #[strum(serialize = "rejects discard")]
    RejectsDiscard,
    /// Rows that a run marked or deleted, brought back.
    #[strum(serialize = "vanished --undo")]
    VanishedUndo,
    /// The tables of streams, made again from kept pages.
    Rebuild,
    /// The old tables removed.
    #[strum(serialize = "rebuild --confirm")]
    RebuildConfirm,
    /// The old tables put back.
    #[strum(serialize = "rebuild --undo")]
    RebuildUndo,
    /// Another archive taken in.
    Merge,
    /// A copy given away.
    Handoff,
    /// The archive, made one file that is safe to unplug.
    Eject,
    /// Entries listed, queued or changed.
    Outbox,
    /// Entries of the outbox, sent.
    #[strum(serialize = "outbox send")]
    OutboxSend,
    /// The gateway of the outbox, as long as it runs.
    #[strum(serialize = "outbox serve")]
    OutboxServe,
}

impl Command {
    /// As it stands in the archive.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The names of the commands of which a fact is true, as a JSON array that SQL takes apart with
    /// `json_each`.
    pub fn names_where(fact: fn(Command) -> bool) -> String {
        let names = Command::VARIANTS.iter().copied().filter(|command| fact(*command));
        serde_json::Value::from_iter(names.map(Command::as_str)).to_string()
    }

    /// Whether its runs read sources: what they write then says what a source said at that time.
    pub fn reads_source(self) -> bool {
        use Command::*;
        match self {
            Sync | Watch | Demo | Prove => true,
            Adopt | RejectsRetry | RejectsDiscard | VanishedUndo => false,
            Rebuild | RebuildConfirm | RebuildUndo => false,
            Merge | Handoff | Eject | Outbox | OutboxSend | OutboxServe => false,
        }
    }

    /// Whether its runs keep the pages of streams whose definition says so, for a rebuild.
    pub fn keeps_pages(self) -> bool {
        use Command::*;
        match self {
            Sync | Watch | Demo => true,
            // The copy that it reads into is removed.
            Prove => false,
            Adopt | RejectsRetry | RejectsDiscard | VanishedUndo => false,
            Rebuild | RebuildConfirm | RebuildUndo => false,
            Merge | Handoff | Eject | Outbox | OutboxSend | OutboxServe => false,
        }
    }

    /// Whether its runs are about one archive alone, so that a merge does not take them along: no
    /// row and no fetch bears their number.
    pub fn is_of_one_archive(self) -> bool {
        use Command::*;
        match self {
            Merge | Handoff => true,
            Sync | Watch | Demo | Prove | Adopt | RejectsRetry | RejectsDiscard => false,
            VanishedUndo | Rebuild | RebuildConfirm | RebuildUndo => false,
            // They write no runs.
            Eject | Outbox | OutboxSend | OutboxServe => false,
        }
    }

    /// Whether its runs change rows without a count by stream of what they did.
    pub fn changes_uncounted(self) -> bool {
        use Command::*;
        match self {
            // An adoption that is taken back has no count.
            Adopt | VanishedUndo => true,
            Sync | Watch | Demo | Prove | RejectsRetry | RejectsDiscard => false,
            // A stream whose rebuild is not confirmed is not made again.
            Rebuild | RebuildConfirm | RebuildUndo => false,
            Merge | Handoff | Eject | Outbox | OutboxSend | OutboxServe => false,
        }
    }

    /// Whether its runs may take rows out of a stream's table without a trace of them.
    pub fn removes_untraced(self) -> bool {
        use Command::*;
        match self {
            Adopt | Rebuild | RebuildConfirm | RebuildUndo => true,
            Sync | Watch | Demo | Prove | RejectsRetry | RejectsDiscard | VanishedUndo => false,
            Merge | Handoff | Eject | Outbox | OutboxSend | OutboxServe => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fact_about_commands_is_a_list_of_their_names() {
        assert_eq!(Command::names_where(Command::is_of_one_archive), "[\"merge\",\"handoff\"]");
        assert_eq!(
            Command::names_where(Command::changes_uncounted),
            "[\"adopt\",\"vanished --undo\"]"
        );
        assert_eq!(
            Command::names_where(Command::removes_untraced),
            "[\"adopt\",\"rebuild\",\"rebuild --confirm\",\"rebuild --undo\"]"
        );
    }

    #[test]
    fn each_command_is_read_by_its_own_name() {
        for command in Command::VARIANTS {
            assert_eq!(command.as_str().parse(), Ok(*command));
        }
    }
}
