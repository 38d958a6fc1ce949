//! One integration binary: a file for each command or promise, a harness, and the tidy checks.

mod api;
mod harness;

mod bad_input;
mod definition;
mod demo;
mod documentation;
mod exit_codes;
mod idempotency;
mod interruption;
mod pagination;
mod query;
mod streams;
mod tidy;
mod trust_source;
mod writing;
