//! windrow keeps one SQLite archive of what HTTP APIs say.
//!
//! # The path of the data
//!
//! ```text
//! plan windows -> pull pages -> extract + normalise records -> dedupe in the page -> batch
//!                                                       -> write rows + checkpoint
//! ```
//!
//! [`sync`] is the spine. It asks [`window`] what is due, [`http`] for pages, [`record`] for the
//! rows in them, and hands those to [`store`] together with the progress that they are. Two
//! lanes run side by side, so that fetching, parsing and writing overlap.
//!
//! # Rooms
//!
//! A core and one room for each feature. The core: `window` and `record` decide, `http` asks,
//! `store` keeps (it opens archives, and owns the tables of streams, ledger, runs and rejects). A
//! feature has its decisions, its types and the SQL of its own tables in one room: `digest`,
//! `kept_pages`, `vanished`, `drift`, `changes` and `waits` beside the rows; `sync`, `watch`,
//! `rebuild`, `prove`, `history`, `outbox`, `handoff`, `merge`, `doctor`, `check`, `adopt`,
//! `export`, `publish`, `trust`. `report` and `cli` show what those find; `model` has the values
//! that rooms pass to each other, `host` what is outside, `definition` the rules.
//!
//! A room imports only from layers below its own; `tests/tidy.rs` has the layers and their reasons.
//!
//! # Invariants
//!
//! - A window is complete only when every page of it came, was parsed and is committed, no page
//!   repeated another, and the count agrees with the source's total where there is one.
//! - The row of the ledger that says so is written in the transaction of the window's last rows.
//! - Complete windows of one stream and partition never overlap, and what they cover only grows.
//! - Every received record is counted once; the five outcomes add up, and SQLite checks it.
//! - An equal row is not written; an older version never overwrites a newer one.
//! - Digits stay as they came; what a column cannot hold exactly is kept beside it.
//! - Decisions are functions from values to values; clock, chance and the network are passed in.

// In the order in which they are best read; rustfmt would sort them.
pub mod definition;

pub mod host;

pub mod model;

pub mod window;

pub mod http;

pub mod record;

pub mod evidence;

pub mod store;

pub mod digest;

pub mod kept_pages;

pub mod vanished;

pub mod drift;

pub mod changes;

pub mod waits;

pub mod trust;

pub mod sync;

pub mod watch;

pub mod rebuild;

pub mod prove;

pub mod history;

pub mod outbox;

pub mod handoff;

pub mod merge;

pub mod doctor;

pub mod check;

pub mod adopt;

pub mod export;

pub mod publish;

pub mod report;

pub mod demo;

pub mod cli;
