//! Bugs on purpose, so that the tests can be tested: each must be caught by an invariant.
//!
//! Without the feature `planted` [`is`] is a constant `false` and nothing of this is in the
//! program; no release and no user's build has the feature. With it, a bug is planted for one
//! thread by `plant`, by the simulator alone.

/// A mistake that a writer of such a program could make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bug {
    /// The window is called complete before its rows are committed.
    CheckpointBeforeRows,
    /// `synchronous=NORMAL`: a commit may be lost by a power cut.
    NormalSync,
    /// `BEGIN` for `BEGIN IMMEDIATE`.
    DeferredTransaction,
    /// `>` for `>=` at the lower bound that is asked for.
    OpenLowerBound,
    /// The overlap is not asked for.
    OverlapIgnored,
    /// A window is settled as soon as it has ended.
    LatenessIgnored,
    /// An older version overwrites a newer one.
    VersionIgnored,
    /// `Retry-After` is not looked at.
    RetryAfterIgnored,
    /// A next link or redirect to another host is followed.
    OtherHostFollowed,
    /// An empty page is the end of the data, whatever its token.
    EmptyPageIsTheEnd,
    /// A page with fewer records than were asked for is the end of the data.
    ShortPageIsTheEnd,
    /// What is not JSON is a page without records.
    ErrorPageIsEmpty,
    /// The source's total is not compared.
    TotalIgnored,
    /// The lock is not taken.
    LockSkipped,
    /// A window that is still open counts to its end.
    OpenWindowIsWhole,
    /// The source's own time is not looked at.
    SourceTimeIgnored,
    /// Pages that shift under a reading are not noticed.
    ShiftIgnored,
    /// Replaced versions are not kept.
    HistorySkipped,
    /// A reading of one parent's rows tells that those of another are gone.
    ParentsConfused,
    /// A write is sent again when its key is forgotten, or was never told.
    SentInDoubt,
    /// Writes of one lane overtake each other.
    LaneOvertaken,
    /// A copy of an archive is taken for the archive.
    CopySends,
    /// What loses against another archive's row is not kept.
    LoserDropped,
    /// Another archive's ledger is taken without its rows.
    LedgerWithoutRows,
    /// What a part's ledger says is taken although what it is based on is not here.
    PartIsWhole,
    /// What another archive has seen go is not taken.
    DeletionForgotten,
    /// A column that only another archive has is not taken.
    ColumnForgotten,
    /// A part of a stream keeps the ledger of the whole.
    PartProvesItself,
    /// A signature by an unknown key counts as none.
    StrangerBelieved,
    /// So does one of another file.
    ChangedBelieved,
    /// What was unpacked of a sealed file stays.
    UnpackedStays,
    /// A hashed key is made of the whole record.
    KeyOfWholeRecord,
    /// Rows that the source no longer has are not looked for.
    GoneUnnoticed,
}

/// Those that a life in the simulator must show.
pub const BUGS: [Bug; 23] = [
    Bug::CheckpointBeforeRows,
    Bug::NormalSync,
    Bug::DeferredTransaction,
    Bug::OpenLowerBound,
    Bug::OverlapIgnored,
    Bug::LatenessIgnored,
    Bug::VersionIgnored,
    Bug::RetryAfterIgnored,
    Bug::OtherHostFollowed,
    Bug::EmptyPageIsTheEnd,
    Bug::ShortPageIsTheEnd,
    Bug::ErrorPageIsEmpty,
    Bug::TotalIgnored,
    Bug::LockSkipped,
    Bug::OpenWindowIsWhole,
    Bug::SourceTimeIgnored,
    Bug::ShiftIgnored,
    Bug::HistorySkipped,
    Bug::ParentsConfused,
    Bug::SentInDoubt,
    Bug::LaneOvertaken,
    Bug::CopySends,
    Bug::GoneUnnoticed,
];

/// Those of a merge, which the laws of `handoff` must catch.
pub const BUGS_OF_MERGE: [Bug; 2] = [Bug::LoserDropped, Bug::LedgerWithoutRows];

/// Those that three laptops in the simulator must show.
pub const BUGS_OF_LAPTOPS: [Bug; 8] = [
    Bug::PartIsWhole,
    Bug::DeletionForgotten,
    Bug::ColumnForgotten,
    Bug::PartProvesItself,
    Bug::StrangerBelieved,
    Bug::ChangedBelieved,
    Bug::UnpackedStays,
    Bug::KeyOfWholeRecord,
];

#[cfg(feature = "planted")]
std::thread_local! {
    static PLANTED: std::cell::Cell<Option<Bug>> = const { std::cell::Cell::new(None) };
}

/// Plants a bug in this thread, or pulls it out.
#[cfg(feature = "planted")]
pub fn plant(bug: Option<Bug>) {
    PLANTED.set(bug);
}

/// Whether this bug is planted.
#[cfg(feature = "planted")]
pub fn is(bug: Bug) -> bool {
    PLANTED.get() == Some(bug)
}

/// Whether this bug is planted: never.
#[cfg(not(feature = "planted"))]
#[inline(always)]
pub const fn is(_bug: Bug) -> bool {
    false
}
