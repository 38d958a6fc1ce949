//! One integration binary: a file for each command or promise, a harness, and the tidy checks.

mod api;
mod harness;

mod adopt;
mod adopt_bad_input;
mod adopt_in_place;
mod bad_input;
mod check;
mod definition;
mod demo;
mod doctor;
mod documentation;
mod eject;
mod exit_codes;
mod full_disk;
mod fuzzing;
mod history;
mod hostile_bodies;
mod idempotency;
mod interruption;
mod logs;
mod one_writer;
mod pagination;
mod prove;
mod query;
mod rejects;
mod runs;
mod streams;
mod tidy;
mod tls_faults;
mod trust_source;
mod vanished;
mod watch;
mod wire_faults;
mod wire_waits;
mod writing;
