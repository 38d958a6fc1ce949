//! What can go wrong on the way to another database, told apart by what a person does about it.

use std::error::Error as _;

use crate::model::{Error, ErrorKind};
use tokio_postgres::error::DbError;

/// SQLSTATEs that windrow acts on.
pub(crate) mod state {
    /// Another transaction changed what this one read: it is tried again.
    pub const SERIALIZATION: &str = "40001";
    /// Two transactions waited for each other: it is tried again.
    pub const DEADLOCK: &str = "40P01";
    /// A row of this key is there already.
    pub const UNIQUE: &str = "23505";
    /// A table of this name is there already.
    pub const TABLE_EXISTS: &str = "42P07";
}

/// The SQLSTATE of an error, if the database itself complained.
pub(crate) fn sql_state(error: &tokio_postgres::Error) -> Option<&str> {
    error.code().map(tokio_postgres::error::SqlState::code)
}

/// Whether the database could not take a value as it is: a row can be named.
pub(crate) fn is_of_a_row(error: &tokio_postgres::Error) -> bool {
    sql_state(error).is_some_and(is_state_of_a_row)
}

fn is_state_of_a_row(code: &str) -> bool {
    ["22", "23", "54"].iter().any(|class| code.starts_with(class))
}

/// Turns the client's error into one that a person can act on. `what` is what was being done,
/// `place` the database without its password.
pub(crate) fn explain(error: &tokio_postgres::Error, what: &str, place: &str) -> Error {
    match error.as_db_error() {
        Some(said) => explain_state(said, what, place),
        None => explain_wire(error, what, place),
    }
}

fn explain_state(said: &DbError, what: &str, place: &str) -> Error {
    // Of a row's fault the detail is the row itself: that is the archive's, and not a message's.
    let detail = said.detail().filter(|_| !is_state_of_a_row(said.code().code()));
    let detail = detail.map(|detail| format!(" ({detail})")).unwrap_or_default();
    let message = format!("{what} at {place}: {}{detail}", said.message());
    let (kind, help) = help_of(said.code().code());
    let error = Error::new(kind, message);
    match (help, said.hint()) {
        (Some(help), _) => error.help(help),
        (None, Some(hint)) => error.help(hint),
        (None, None) => error,
    }
}

/// Which kind of error an SQLSTATE is, and the help.
fn help_of(code: &str) -> (ErrorKind, Option<&'static str>) {
    let lasting = "nothing that was sent is lost: run it again, and it goes on where it ended";
    match (code, code.get(..2).unwrap_or_default()) {
        ("28P01", _) => (
            ErrorKind::Credentials,
            Some("look at the user's name, and at PGPASSWORD or the password file"),
        ),
        (_, "28") => (
            ErrorKind::Credentials,
            Some("look at the user's name and at the server's pg_hba.conf"),
        ),
        ("42501", _) => (
            ErrorKind::Credentials,
            Some(
                "grant the role what it needs: CREATE on the database or on the schema, and on \
                 windrow's tables there SELECT, INSERT, UPDATE and DELETE",
            ),
        ),
        ("22P05", _) => (
            ErrorKind::Usage,
            Some("make a database that takes all of Unicode: CREATE DATABASE … ENCODING 'UTF8'"),
        ),
        ("3D000", _) => (ErrorKind::Usage, Some("make the database first, or name another one")),
        ("53100", _) => (
            ErrorKind::Storage,
            Some("make room on the database's disk, then run it again: it goes on where it ended"),
        ),
        ("25006", _) => (
            ErrorKind::Storage,
            Some("this server only reads, as a standby does: name the one that writes"),
        ),
        (_, "58") => (ErrorKind::Storage, Some("look at the database's disk and log")),
        ("55P03", _) => {
            (ErrorKind::Held, Some("wait until the other one is done, then run it again"))
        }
        (_, "53" | "57" | "08" | "40") => (ErrorKind::Offline, Some(lasting)),
        (_, "0A") => (ErrorKind::Usage, Some("this engine lacks what windrow needs; see the docs")),
        ("42601", _) => (ErrorKind::Bug, None),
        _ => (ErrorKind::Usage, None),
    }
}

fn explain_wire(error: &tokio_postgres::Error, what: &str, place: &str) -> Error {
    let text = error.to_string();
    let mut reason = text.clone();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        if !reason.contains(&more) {
            reason = format!("{reason}: {more}");
        }
        cause = error.source();
    }
    let message = format!("{what} at {place}: {reason}");
    if text.starts_with("error performing TLS handshake") {
        return Error::new(ErrorKind::Unsafe, message).help(tls_help(&reason));
    }
    if text.starts_with("invalid configuration") || text.starts_with("authentication error") {
        return Error::new(ErrorKind::Credentials, message)
            .help("set PGPASSWORD or name a password file; see `windrow publish --help`");
    }
    let help = if error.is_closed() || text.starts_with("error communicating") {
        "the database went away: run it again, and it goes on where it ended"
    } else {
        "look at the network, at host and port, and at whether the database runs; run it again"
    };
    Error::new(ErrorKind::Offline, message).help(help)
}

fn tls_help(reason: &str) -> &'static str {
    if reason.contains("does not support TLS") {
        "the server takes no TLS: switch it on there; `sslmode=disable` sends everything in the \
         open"
    } else {
        "name the authority's certificate with `sslrootcert=FILE`, and the host as its certificate \
         does"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_error_of_a_database_is_told_apart_by_its_help() {
        let cases = [
            ("28P01", ErrorKind::Credentials),
            ("28000", ErrorKind::Credentials),
            ("42501", ErrorKind::Credentials),
            ("3D000", ErrorKind::Usage),
            ("53100", ErrorKind::Storage),
            ("53300", ErrorKind::Offline),
            ("57P01", ErrorKind::Offline),
            ("40001", ErrorKind::Offline),
            ("08006", ErrorKind::Offline),
            ("58030", ErrorKind::Storage),
            ("25006", ErrorKind::Storage),
            ("55P03", ErrorKind::Held),
            ("0A000", ErrorKind::Usage),
            ("22003", ErrorKind::Usage),
            ("42601", ErrorKind::Bug),
        ];
        for (code, error) in cases {
            assert_eq!(help_of(code).0, error, "{code}");
        }
    }
}
