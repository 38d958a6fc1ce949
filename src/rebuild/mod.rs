//! Making streams' tables again from their kept pages: the same rules, no network.
//!
//! All streams of a rebuild, parents first, in one transaction; a dry run is one that is taken
//! back, so that what is shown is what would be done.

pub(crate) mod carry;
pub(crate) mod compare;
pub(crate) mod rejected_again;
pub(crate) mod replay;
pub(crate) mod settle;
pub(crate) mod table_swap;
pub(crate) mod trial;

use serde::Serialize;

use crate::definition::{Definition, RequestChange, Stream, parse_definition};
use crate::host::Host;
use crate::model::numbers::{inflect, many};
use crate::model::{Command, Error, TableShape, instant_to_text};
use crate::store::{Archive, RunStart, Tx};

use crate::rebuild::replay::Replay;
use crate::rebuild::table_swap::{RenameSettings, refuse};
use crate::rebuild::trial::Trial;

pub use carry::{Carried, EndedHistory, Remade};
pub use compare::{ColumnChange, NewRejects, RebuildComparison, Regrouped};
pub use table_swap::{Recount, TableObject, UnkeptRuns};

/// What to do about records whose pages were not kept. A sync refuses the new key or type.
const READ_AGAIN: &str = "with the key and the types that the table has and `raw = true`, read it \
    again (`windrow sync --from START`), and rebuild then; or give the stream another name";

/// What to make again.
#[derive(Clone, Copy, Debug)]
pub struct Rebuilding<'a> {
    /// What the streams are to become.
    pub definition: &'a Definition,
    /// These streams; all that have kept pages when empty.
    pub streams: &'a [String],
    /// Whether it is done, and not only shown.
    pub apply: bool,
}

/// A stream that was made again.
#[derive(Clone, Debug, Serialize)]
pub struct Rebuilt {
    pub stream: String,
    /// Pages that were read.
    pub pages: u64,
    #[serde(flatten)]
    pub comparison: RebuildComparison,
    /// Rows that no kept page gives and that stay as they are.
    pub carried: Vec<Carried>,
    /// Windows whose count no longer agrees with the source's; they are read again.
    pub windows_reopened: u64,
    /// What else a person should know, a line each.
    pub notes: Vec<String>,
}

/// Makes streams again, or shows what that would change: then the transaction is taken back. None
/// when somebody asked for the end; nothing is changed then.
pub fn rebuild(
    archive: &Archive,
    host: &Host,
    rebuilding: &Rebuilding<'_>,
) -> Result<Option<Vec<Rebuilt>>, Error> {
    let _settings = RenameSettings::set(archive)?;
    let tx = archive.begin()?;
    let rebuilt = rebuild_all(&tx, host, rebuilding)?;
    if rebuilding.apply && rebuilt.is_some() {
        tx.commit()?;
    }
    Ok(rebuilt)
}

fn rebuild_all(
    tx: &Tx<'_>,
    host: &Host,
    rebuilding: &Rebuilding<'_>,
) -> Result<Option<Vec<Rebuilt>>, Error> {
    let Rebuilding { definition, streams: names, .. } = *rebuilding;
    let mut run = None;
    let mut done = Vec::new();
    for stream in &definition.streams {
        let named = names.contains(&stream.name);
        if !named && (!names.is_empty() || tx.kept_page_after(&stream.name, 0)?.is_none()) {
            continue;
        }
        let now = host.clock.now();
        if run.is_none() {
            let version = env!("CARGO_PKG_VERSION");
            let text = &definition.text;
            let start = RunStart { command: Command::Rebuild, version, definition: text, now };
            run = Some(tx.note_run(&start, "made tables again from kept pages")?);
        }
        match rebuild_stream(tx, host, definition, stream, run.unwrap_or_default())? {
            Some(rebuilt) => done.push(rebuilt),
            None => return Ok(None),
        }
    }
    Ok(Some(done))
}

/// A rebuild that is done with.
#[derive(Clone, Debug, Serialize)]
pub struct Settled {
    pub stream: String,
    /// Rows of the table that was let go, or that is there again.
    pub rows: u64,
}

/// Lets go of what rebuilds set aside, or puts it back: of these streams, or of all.
pub fn settle_rebuilds(
    archive: &Archive,
    host: &Host,
    definition: &Definition,
    streams: &[String],
    undo: bool,
) -> Result<Vec<Settled>, Error> {
    let open = archive.open_rebuilds()?;
    if let Some(name) = streams.iter().find(|name| !open.contains(name)) {
        let message = format!("there is no rebuild of stream `{name}` that waits for a word");
        return Err(refuse(message, "`windrow rebuild` shows what one would change"));
    }
    let command = if undo { Command::RebuildUndo } else { Command::RebuildConfirm };
    let (version, text) = (env!("CARGO_PKG_VERSION"), &definition.text);
    let start = RunStart { command, version, definition: text, now: host.clock.now() };
    let _settings = RenameSettings::set(archive)?;
    archive.transaction(|tx| {
        let mut settled = Vec::new();
        for stream in open.into_iter().filter(|one| streams.is_empty() || streams.contains(one)) {
            let rows = match undo {
                true => tx.undo_rebuild(&stream)?,
                false => {
                    accept_reading(tx, definition, &stream)?;
                    tx.confirm_rebuild(&stream)?
                }
            };
            settled.push(Settled { stream, rows });
        }
        if !settled.is_empty() {
            tx.note_run(&start, "")?;
        }
        Ok(settled)
    })
}

/// What is read otherwise of the same answers was read so from the kept pages, where they hold
/// everything: nothing has to be fetched for it.
fn accept_reading(tx: &Tx<'_>, definition: &Definition, stream: &str) -> Result<(), Error> {
    if !tx.unkept_runs(stream)?.iter().all(|runs| runs.command == Some(Command::Rebuild)) {
        return Ok(());
    }
    let changes = tx.request_history()?.changes(&definition.text, stream);
    tx.accept_requests(stream, &changes, RequestChange::is_reading).map(|_| ())
}

fn rebuild_stream(
    tx: &Tx<'_>,
    host: &Host,
    definition: &Definition,
    stream: &Stream,
    run: i64,
) -> Result<Option<Rebuilt>, Error> {
    let name = &stream.name;
    let old = standing(tx, name)?;
    let unkept = unkept_runs(tx, name)?;
    let inferred = tx.was_inferred(name)?;
    let objects = tx.set_aside(name)?;
    tx.note_rebuild(&old, inferred, &objects, run)?;
    let format = definition.sources[&stream.source].format();
    let mut replay = Replay::new(tx, stream, format, old.retention.marks);
    if !replay.run(host)? {
        return Ok(None);
    }
    let Some(table) = &replay.table else {
        let message = format!("no kept page of stream `{name}` has a record");
        return Err(refuse(message, "declare the stream's `columns`"));
    };
    let new = table.shape().clone();
    let now = instant_to_text(host.clock.now());
    let remade = Remade { old: &old, new: &new, run, now: &now };
    let tried = !unkept.is_empty();
    if tried && !Trial::new(tx, &old, run)?.run(host)? {
        return Ok(None);
    }
    let found = tx.find_carried(&remade, tried)?;
    if tried {
        tx.drop_trial(name)?;
    }
    let carried = tx.carried(name)?;
    if found > 0
        && let Some(why) = tx.unfit(&remade)?
    {
        return Err(do_not_fit(name, found, &carried, &why));
    }
    let ended = tx.carry_over(&remade)?;
    tx.settle_rejects(name)?;
    tx.end_rebuild(&remade)?;
    let comparison = tx.compare(&old, &new)?;
    let unfit = tx.put_objects(name, &objects)?;
    let mut notes: Vec<String> = unfit
        .into_iter()
        .map(|(object, why)| {
            format!("your {} `{}` does not fit the new table: {why}", object.kind, object.name)
        })
        .collect();
    notes.extend(notes_of(definition, name, &comparison, &ended, replay.altered));
    let (pages, windows_reopened) = (replay.pages, replay.reopened);
    let stream = name.clone();
    Ok(Some(Rebuilt { stream, pages, comparison, carried, windows_reopened, notes }))
}

/// What a person should know beside the numbers.
fn notes_of(
    definition: &Definition,
    name: &str,
    comparison: &RebuildComparison,
    ended: &EndedHistory,
    altered: u64,
) -> Vec<String> {
    let mut notes = Vec::new();
    if comparison.key_after.is_some() {
        let children = definition.streams.iter().filter(|child| hangs_off(child, name));
        notes.extend(children.map(|child| {
            let child = &child.name;
            format!("`{child}` runs once for each row of `{name}`: under new keys it is read anew")
        }));
    }
    if let Some(history) = &ended.history {
        notes.push(format!(
            "the history until now stays in `{history}`: under another key a new one begins"
        ));
    }
    if ended.alive > 0 {
        notes.push(format!(
            "{} that {} gone at the source {} there again: the old key had noted that",
            many(ended.alive, "row"),
            inflect(ended.alive, "was", "were"),
            inflect(ended.alive, "is", "are")
        ));
    }
    if altered > 0 {
        notes.push(format!(
            "a secret stood in the records of {} and was taken out: its name stands there now",
            many(altered, "kept page")
        ));
    }
    notes
}

fn hangs_off(child: &Stream, parent: &str) -> bool {
    child.for_each.as_deref() == Some(parent)
}

/// The table as it is, of a stream that can be made again.
fn standing(tx: &Tx<'_>, name: &str) -> Result<TableShape, Error> {
    let Some((old, open)) = tx.standing(name)? else {
        let message = format!("stream `{name}` has no table yet");
        return Err(refuse(message, "`windrow sync` makes it as the definition says"));
    };
    if open {
        let message = format!("the last rebuild of stream `{name}` is not confirmed");
        let help = "`windrow rebuild --confirm` lets the old table go, `--undo` puts it back";
        return Err(refuse(message, help));
    }
    if tx.kept_page_after(name, 0)?.is_none() {
        let message = format!("no page of stream `{name}` was kept");
        return Err(refuse(message, READ_AGAIN));
    }
    Ok(old)
}

/// Runs that brought the stream rows whose pages were not kept. A run that kept pages and got none
/// may still have taken up orphans.
fn unkept_runs(tx: &Tx<'_>, name: &str) -> Result<Vec<UnkeptRuns>, Error> {
    let mut unkept = tx.unkept_runs(name)?;
    unkept.retain(|runs| {
        let text = runs.definition.as_deref().unwrap_or_default();
        let definition = parse_definition("the archive's definition", text).ok();
        let raw = definition.and_then(|one| one.stream(name).map(|stream| stream.raw));
        !(runs.command.is_some_and(Command::keeps_pages) && raw == Some(true))
    });
    Ok(unkept)
}

fn do_not_fit(name: &str, rows: u64, carried: &[Carried], why: &str) -> Error {
    let spans = carried.iter().map(Carried::to_string).collect::<Vec<_>>().join(", ");
    let message = format!(
        "{} of stream `{name}` {} in no kept page ({spans}) and cannot be carried over {why}",
        many(rows, "row"),
        inflect(rows, "is", "are")
    );
    let help = format!("{READ_AGAIN}; an adoption can be taken back (`windrow adopt --undo`)");
    refuse(message, help)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::host::{Stop, StopCause, SystemFiles};
    use crate::kept_pages::RawPage;
    use crate::model::WindowKey;
    use crate::store::{Opening, Reader};

    const TEXT: &str = "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"http://127.0.0.1\"\n\
        [streams.items]\npath = \"/items\"\nrecords = \"$[*]\"\nkey = \"id\"\nraw = true\n\
        [streams.items.columns]\nid = \"integer\"\n";

    #[test]
    fn a_rebuild_that_is_asked_to_end_changes_nothing() {
        let folder = tempfile::tempdir().expect("a folder");
        let definition = parse_definition("windrow.toml", TEXT).expect("a definition");
        let now = "2026-01-10T12:00:00+00:00";
        let opening = Opening { note: "test", now, allow_network_fs: false, files: &SystemFiles };
        let archive = Archive::open(&folder.path().join("a.db"), &opening).expect("an archive");
        let (switch, stop) = Stop::new();
        let host = Host::system(stop);
        let stream = &definition.streams[0];
        let columns = stream.columns.clone().expect("columns");
        let shape = TableShape::of(stream, &columns, false);
        archive.transaction(|tx| tx.ensure_table(&shape, None, now)).expect("a table");
        let start = RunStart {
            command: Command::Sync,
            version: "0",
            definition: &definition.text,
            now: host.clock.now(),
        };
        let run = archive.transaction(|tx| tx.start_run(&start)).expect("a run");
        let window_key =
            WindowKey { stream: "items".into(), partition: String::new(), window: None };
        let page = RawPage::pack("[{\"id\": 1}]", false, None, &BTreeMap::new());
        archive
            .transaction(|tx| tx.keep_page(&window_key, &page, true, now, run, now))
            .expect("a page");
        let apply = Rebuilding { definition: &definition, streams: &[], apply: true };
        let rows = || {
            let reader = Reader::open(archive.path()).expect("a reader");
            reader.count("items").expect("rows").living
        };
        switch.ask(StopCause::Interrupt);
        assert!(rebuild(&archive, &host, &apply).expect("no fault").is_none());
        assert_eq!((rows(), archive.open_rebuilds().expect("rebuilds").len()), (0, 0));
        let host = Host::system(Stop::never());
        assert!(rebuild(&archive, &host, &apply).expect("no fault").is_some());
        assert_eq!((rows(), archive.open_rebuilds().expect("rebuilds").len()), (1, 1));
    }
}
