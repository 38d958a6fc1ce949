//! A person's own SQL, read-only.

use rusqlite::config::DbConfig;
use rusqlite::fallible_iterator::FallibleIterator;
use rusqlite::hooks::{AuthAction, AuthContext, Authorization};
use rusqlite::limits::Limit;
use rusqlite::{ErrorCode, Statement};

use crate::model::{Error, ErrorKind};
use crate::store::error::at;
use crate::store::reader::Reader;
use crate::store::value::{Value, owned};

/// A part of an answer: first the columns, then each row.
#[derive(Debug)]
pub enum AnswerPart<'a> {
    /// The names of the columns.
    Columns(&'a [String]),
    /// A row, a value for each column.
    Row(Vec<Value>),
}

impl AnswerPart<'_> {
    /// The row that it is.
    pub fn row(self) -> Option<Vec<Value>> {
        match self {
            AnswerPart::Columns(_) => None,
            AnswerPart::Row(values) => Some(values),
        }
    }
}

/// Takes an answer part by part; gives an error to stop.
pub type TakeAnswer<'t> = dyn FnMut(AnswerPart<'_>) -> std::io::Result<()> + 't;

/// The longest value that SQL of somebody else's may make, bytes: a finding shows far less, and one
/// `zeroblob` cannot fill the memory.
const GIVEN_VALUE_BYTES_MAX: i32 = 1 << 20;
/// The memory that SQLite may take while SQL of somebody else's runs, bytes: what sorts more than
/// that is no check.
const GIVEN_MEMORY_BYTES_MAX: u32 = 256 << 20;

impl Reader {
    /// Lets a person's SQL read the views of the archive, which are the person's own.
    pub fn allow_views(&self) -> Result<(), Error> {
        let allowed = self.connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_VIEW, true);
        allowed.map(drop).map_err(at(&self.path))
    }

    /// Confines this connection, for good, to SQL that nobody vouches for: it reads tables, and
    /// its values and its memory are bounded. SQLite counts memory for the whole process.
    pub fn confine(&mut self) -> Result<(), Error> {
        let only_read = |context: AuthContext<'_>| match context.action {
            AuthAction::Select
            | AuthAction::Read { .. }
            | AuthAction::Function { .. }
            | AuthAction::Recursive => Authorization::Allow,
            _ => Authorization::Deny,
        };
        let mut confined = || -> rusqlite::Result<()> {
            self.connection.execute_batch(&format!(
                "PRAGMA temp_store = MEMORY; PRAGMA hard_heap_limit = {GIVEN_MEMORY_BYTES_MAX};"
            ))?;
            self.connection.set_limit(Limit::SQLITE_LIMIT_LENGTH, GIVEN_VALUE_BYTES_MAX)?;
            self.connection.authorizer(Some(only_read))
        };
        confined().map_err(at(&self.path))
    }

    /// Runs one statement that reads, and hands its rows on as they come.
    pub fn query(&self, sql: &str, take: &mut TakeAnswer<'_>) -> Result<(), Error> {
        let wrong = |error| self.wrong(error);
        let mut statement = self.statement_that_reads(sql)?;
        let names: Vec<String> = statement.column_names().map(str::to_owned).collect();
        let mut rows = statement.raw_query();
        let put = |error: std::io::Error| Error::output("write the answer", &error);
        take(AnswerPart::Columns(&names)).map_err(put)?;
        while let Some(row) = rows.next().map_err(wrong)? {
            let values = (0..names.len()).map(|at| row.get_ref(at).map(owned));
            let values = values.collect::<rusqlite::Result<_>>().map_err(wrong)?;
            take(AnswerPart::Row(values)).map_err(put)?;
        }
        Ok(())
    }

    /// The one statement that a text is, which must not change anything.
    pub(crate) fn statement_that_reads(&self, sql: &str) -> Result<Statement<'_>, Error> {
        let mut batch = rusqlite::Batch::new(&self.connection, sql);
        let Some(statement) = batch.next().map_err(|error| self.wrong(error))? else {
            return Err(Error::new(ErrorKind::Query, "there is no query"));
        };
        if batch.next().map_err(|error| self.wrong(error))?.is_some() {
            let message = "there are several statements where one is taken";
            return Err(Error::new(ErrorKind::Query, message));
        }
        if !statement.readonly() {
            let message = "the query would change the archive, and here is only read";
            let help = "open the file with `sqlite3` if you mean it";
            return Err(Error::new(ErrorKind::Query, message).help(help));
        }
        Ok(statement)
    }

    pub(crate) fn wrong(&self, error: rusqlite::Error) -> Error {
        let text = error.to_string();
        if text.contains("access to view") {
            // By `allow_views`, which an archive that somebody else defined does not get.
            let message = format!("the query is wrong: {text}");
            let help = "only the archive says what its views are: write its definition out \
                 (`windrow definition --out windrow.toml`) and read it first, or ask the tables";
            return Error::new(ErrorKind::Query, message).help(help);
        }
        match is_of_the_query(&error) {
            true => Error::new(ErrorKind::Query, format!("the query is wrong: {error}"))
                .help("`windrow query \"SELECT name, sql FROM sqlite_schema\"` lists the tables"),
            false => at(&self.path)(error),
        }
    }
}

/// Whether an error on a person's SQL is the SQL's own, and not of the file, the disk or the
/// moment.
pub(crate) fn is_of_the_query(error: &rusqlite::Error) -> bool {
    !matches!(
        error.sqlite_error_code(),
        Some(
            ErrorCode::DiskFull
                | ErrorCode::ReadOnly
                | ErrorCode::SystemIoFailure
                | ErrorCode::CannotOpen
                | ErrorCode::PermissionDenied
                | ErrorCode::DatabaseBusy
                | ErrorCode::DatabaseLocked
                | ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::OperationInterrupted
                | ErrorCode::InternalMalfunction
        )
    )
}
