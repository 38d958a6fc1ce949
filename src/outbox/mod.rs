//! The outbox: writes that wait for the network and take effect once.
//!
//! `request` checks what is queued and makes the bytes that are sent, `alert` words what is told of
//! findings, `plan` says what is sent now and why the rest waits, `decide` what an answer or its
//! absence makes of an entry: functions from values to values. `send` is the shell that acts;
//! `station` knows whose entries these are; `gateway` takes requests from other programs.

mod alert;
mod decide;
mod depart;
mod fill;
mod gateway;
mod land;
mod look;
mod plan;
mod report;
mod request;
mod send;
mod station;
mod target;
mod wire;

pub use alert::{ALERTS_PER_CHECK_MAX, Tiding, alert_entry, tidings};
pub use decide::{Again, Reply, Verdict, judge, lifetime_ends, may_send, settle};
pub use fill::{fill, filled, holes_of};
pub use gateway::{GatewayParts, Sending, TOKEN_CHARS_MIN, prepare_gateway, serve_gateway};
pub use plan::{Doing, Planned, Scene, Why, plan};
pub use report::{SendReport, Sent};
pub use request::{
    BODY_BYTES_MAX, Given, KEY_CHARS_MAX, LANE_CHARS_MAX, Refusal, digest_of, fresh_key, prepare,
};
pub use send::{SendOptions, SendParts, send};
pub use station::{Home, Record, Stations, Taken, claim_entry, home_of, station_for};
pub use wire::{Wire, wire_of};
