//! Carrying an archive on to PostgreSQL, or to whatever speaks its protocol.
//!
//! Rows go over in batches, in the order of their keys, each batch in one transaction with the mark
//! of how far it goes: a connection that is lost neither skips nor repeats. The only room that
//! knows the client of that protocol.

pub(crate) mod address;
pub(crate) mod changed_rows;
pub(crate) mod connect;
mod copy;
pub(crate) mod coverage;
pub(crate) mod error;
pub(crate) mod mark;
pub(crate) mod row;
pub(crate) mod send;
pub(crate) mod statement;
pub(crate) mod sweep;
pub(crate) mod there;
pub(crate) mod tls;
pub(crate) mod value;

use serde::Serialize;
use tokio_postgres::Client;

use crate::definition::OnConflict;
use crate::host::Host;
use crate::model::{Error, instant_to_text};
use crate::store::{Reader, StreamRow};

use mark::{Here, PassReason, RunName, key_from_json, next_pass};
use send::StreamSender;
use statement::{Deciding, Table};
use there::{Ready, Setting, TableStep};

pub use address::{Address, TlsMode};
pub use changed_rows::{OutRow, OutTable, PUBLISH_BYTES_MAX, Phase};
pub use send::PassCounts;

/// What is published, and where.
pub struct Publishing<'a> {
    pub reader: &'a Reader,
    /// These of its streams.
    pub streams: Vec<StreamRow>,
    pub address: &'a Address,
    /// The schema that the tables are in.
    pub schema: &'a str,
    /// Look, and change nothing.
    pub dry_run: bool,
    pub host: &'a Host,
    /// What is told while it runs.
    pub notice: &'a dyn Fn(&PublishEvent<'_>),
}

/// What happens while an archive is published.
#[derive(Debug)]
pub enum PublishEvent<'e> {
    /// What is said can be read on the way to another machine.
    Open,
    /// Rows of a stream begin to go.
    Begins {
        stream: &'e str,
        /// How many are left.
        rows: u64,
    },
    /// So many more are over there for good.
    Sent { rows: u64 },
}

/// What a publish did, or would do.
#[derive(Clone, Debug, Serialize)]
pub struct Published {
    /// The database, without user and password.
    pub database: String,
    pub schema: String,
    /// Whether nothing was changed.
    pub dry_run: bool,
    /// By stream, in the order in which they went; as far as it came.
    pub streams: Vec<PublishedStream>,
}

/// What was published of a stream.
#[derive(Clone, Debug, Serialize)]
pub struct PublishedStream {
    pub stream: String,
    /// Whether its table was made.
    pub created: bool,
    /// Columns that its table got.
    pub added: Vec<String>,
    /// Whether everything was sent again, since this archive is an older copy of itself.
    pub restored: bool,
    /// Rows that went over, or that would.
    pub sent: u64,
    /// Rows of them that were inserted or replaced there.
    pub written: u64,
    /// Rows of them that were deleted here, and are marked there.
    pub gone: u64,
    /// Values that PostgreSQL cannot hold as they are, and that are exact in `_rest` alone.
    pub beside: u64,
}

/// A stream on its way out.
struct Outgoing {
    out: OutTable,
    ready: Ready,
}

/// Publishes what is new. What was sent before error came is over there, and is told.
pub async fn publish(publishing: &Publishing<'_>) -> (Published, Option<Error>) {
    let mut published = Published {
        database: publishing.address.shown(),
        schema: publishing.schema.to_owned(),
        dry_run: publishing.dry_run,
        streams: Vec::new(),
    };
    let ended = publishing.run(&mut published.streams).await;
    (published, ended.err())
}

impl Publishing<'_> {
    async fn run(&self, done: &mut Vec<PublishedStream>) -> Result<(), Error> {
        let _snapshot = self.reader.begin_snapshot()?;
        let archive = self.reader.archive_id()?;
        let (run, uid) = self.reader.settled_run()?;
        let newest = RunName { run, uid };
        let (outs, tables) = self.tables()?;
        tracing::info!(database = self.address.shown(), schema = self.schema, "publishing begins");
        let (mut client, open) = connect::connect(self.address).await?;
        if open && self.address.remote {
            (self.notice)(&PublishEvent::Open);
        }
        let place = self.address.shown();
        let locks = match self.dry_run {
            true => false,
            false => {
                let what = (archive.as_str(), self.schema);
                connect::lock(&client, what, self.address, &*self.host.clock).await?
            }
        };
        let setting = Setting {
            tables: &tables,
            schema: self.schema,
            archive: &archive,
            version: env!("CARGO_PKG_VERSION"),
            place: &place,
            locks,
            dry_run: self.dry_run,
        };
        let ready = setting.prepare(&mut client).await?;
        for ((out, mut table), mut ready) in outs.into_iter().zip(tables).zip(ready) {
            table.lacking = std::mem::take(&mut ready.lacking);
            let table = &table;
            let going = Outgoing { out, ready };
            let mut stream = begun(table, &going.ready);
            let sent = match self.dry_run {
                true => self.look(table, &going, &newest, &mut stream),
                false => {
                    let to = (archive.as_str(), &newest);
                    self.send(&mut client, table, going, to, &mut stream).await
                }
            };
            tracing::info!(
                stream = table.name,
                sent = stream.sent,
                written = stream.written,
                "published"
            );
            done.push(stream);
            sent?;
        }
        Ok(())
    }

    /// The tables here and there. What tells old from new is what the archive's definitions say.
    fn tables(&self) -> Result<(Vec<OutTable>, Vec<Table>), Error> {
        let said = self.reader.said()?;
        let until = self.reader.believed_until(self.host.clock.now())?;
        let (mut outs, mut tables) = (Vec::new(), Vec::new());
        for stream in &self.streams {
            let out = self.reader.out_table(stream, &until)?;
            let said = said.of(&stream.stream);
            let by = said.map(|(_, stream, _)| Deciding {
                version: stream.version.as_deref(),
                keeps_first: stream.on_conflict == OnConflict::Keep,
            });
            tables.push(Table::of(stream, &out.columns, by.unwrap_or_default(), self.schema));
            outs.push(out);
        }
        Ok((outs, tables))
    }

    fn next(
        &self,
        table: &Table,
        ready: &Ready,
        newest: &RunName,
    ) -> Result<(mark::Pass, PassReason), Error> {
        let columns = table.columns_json();
        let here = Here { newest: newest.clone(), columns: &columns, empty: ready.empty };
        let uid = |run| self.reader.run_uid(run);
        next_pass(&ready.mark, &here, uid, |run| self.reader.has_undone_since(run))
    }

    /// What would be sent.
    fn look(
        &self,
        table: &Table,
        going: &Outgoing,
        newest: &RunName,
        stream: &mut PublishedStream,
    ) -> Result<(), Error> {
        let (pass, why) = self.next(table, &going.ready, newest)?;
        stream.restored = why == PassReason::Restored;
        let after = pass.after.as_deref().and_then(key_from_json);
        let count = |phase, since, after: Option<&[_]>| {
            self.reader.count_out(&going.out, phase, since, after)
        };
        let (mut rows, behind) = match pass.gone {
            true => (0, after.as_deref()),
            false => (count(Phase::Rows, pass.from, after.as_deref())?, None),
        };
        stream.gone = count(Phase::Gone, pass.from, behind)?;
        if why == PassReason::CutOff {
            // Another pass follows with what has changed since.
            rows += count(Phase::Rows, pass.to.run, None)?;
            stream.gone += count(Phase::Gone, pass.to.run, None)?;
        }
        stream.sent = rows + stream.gone;
        Ok(())
    }

    async fn send(
        &self,
        client: &mut Client,
        table: &Table,
        going: Outgoing,
        (archive, newest): (&str, &RunName),
        stream: &mut PublishedStream,
    ) -> Result<(), Error> {
        let Outgoing { out, mut ready } = going;
        let now = || instant_to_text(self.host.clock.now());
        let place = self.address.shown();
        let mut sender = StreamSender {
            client,
            reader: self.reader,
            table,
            out: &out,
            archive,
            version: env!("CARGO_PKG_VERSION"),
            place: &place,
            now: &now,
            notice: self.notice,
        };
        loop {
            let (pass, why) = self.next(table, &ready, newest)?;
            if why == PassReason::Restored {
                stream.restored = true;
                // What was sent last counts no longer: a pass that is cut off goes on.
                ready.mark.sent = None;
            }
            let mut counts = PassCounts::default();
            let sent = sender.send(&mut ready.mark, &pass, &mut counts).await;
            stream.sent += counts.sent;
            stream.written += counts.written;
            stream.gone += counts.gone;
            stream.beside += counts.beside;
            sent?;
            // The coverage is of the time of this snapshot. Rows that an earlier one had sent
            // before it was cut off may have changed since: the pass after this one takes them.
            let whole = why != PassReason::CutOff;
            sender.finish(&mut ready.mark, &pass, whole).await?;
            ready.empty = false;
            if whole {
                return Ok(());
            }
        }
    }
}

fn begun(table: &Table, ready: &Ready) -> PublishedStream {
    let added = match &ready.step {
        TableStep::Create => Vec::new(),
        TableStep::Add(columns) => columns.iter().map(|(name, _)| name.clone()).collect(),
    };
    PublishedStream {
        stream: table.name.clone(),
        created: ready.step == TableStep::Create,
        added,
        restored: false,
        sent: 0,
        written: 0,
        gone: 0,
        beside: 0,
    }
}
