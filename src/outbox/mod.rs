//! The outbox: writes that wait for the network and take effect once.
//!
//! `request` checks what is queued and makes the bytes that are sent, `alert` words what is told of
//! findings, `plan` says what is sent now and why the rest waits, `decide` what an answer or its
//! absence makes of an entry: functions from values to values. `send` is the shell that acts;
//! `sender` knows whose entries these are; `gateway` takes requests from other programs.

pub(crate) mod alert;
pub(crate) mod claim;
pub(crate) mod decide;
pub(crate) mod fill;
pub(crate) mod gateway;
pub(crate) mod look;
pub(crate) mod outcome;
pub(crate) mod placeholder;
pub(crate) mod plan;
pub(crate) mod report;
pub(crate) mod request;
pub(crate) mod send;
pub(crate) mod sender;
pub(crate) mod store;
pub(crate) mod target;
pub(crate) mod wire;

pub use alert::{ALERTS_PER_CHECK_MAX, AlertNotice, alert_entry, alert_notices};
pub use decide::{AttemptVerdict, Reply, ResendRule, judge, lifetime_ends, may_send, settle};
pub use fill::{fill, filled};
pub use gateway::{GatewayParts, SendPermit, TOKEN_CHARS_MIN, prepare_gateway, serve_gateway};
pub use placeholder::placeholders_of;
pub use plan::{Doing, Planned, SendScene, WaitReason, plan};
pub use report::{SendReport, Sent};
pub use request::{
    BODY_BYTES_MAX, GivenRequest, KEY_CHARS_MAX, LANE_CHARS_MAX, QueueRefusal, digest_of,
    fresh_key, prepare,
};
pub use send::{SendOptions, SendParts, send};
pub use sender::{Home, Record, Senders, Taken, claim_entry, home_of, sender_for};
pub use store::{
    Added, AlertRow, AttemptClaim, GivenEntries, KeptAnswer, MOVED, MovedEntry, NewEntry,
    OPEN_ENTRIES_MAX, Outbox, OutboxAttempt, OutboxBrief, OutboxCount, OutboxEntry, QueueMark,
    SenderIdentity, Settlement, move_outbox, take_entries,
};
pub use wire::{Wire, wire_of};
