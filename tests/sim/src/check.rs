//! The invariants, checked on the file by plain SQL against the model's truth.
//!
//! Numbers are those of the fault catalogue: S1 completeness, S2 no phantom, S3 rows and
//! checkpoint together, S4 what was told is durable, S5 uniqueness, S6 versions never go back,
//! S11 no gap is jumped, S12 nothing complete beyond the source's own time, S26 a sound file.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use windrow::http::SourceErrorKind;
use windrow::sync::RunError;

use crate::scenario::{Kind, SECOND, Scenario};
use crate::world::{Record, World};

/// A row of the archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// What the record says.
    pub value: i64,
    /// Which state that is.
    pub state: usize,
}

/// A complete stretch, as the ledger has it.
#[derive(Clone, Debug, PartialEq)]
pub struct Complete {
    /// Whose.
    pub partition: String,
    /// Its beginning, or 0 without a window.
    pub start: i64,
    /// Its end, or 0.
    pub end: i64,
    /// Up to where it counts.
    pub read_to: i64,
    /// As of when.
    pub requested_at: i64,
    /// Whether it is never read again.
    pub settled: bool,
    /// Whether it could not be read again since.
    pub failed: bool,
    /// Whether a merge has put it in doubt, so that it is read again whatever it says.
    pub disputed: bool,
}

/// What an archive holds.
#[derive(Default)]
pub struct Seen {
    /// Rows by id.
    pub rows: BTreeMap<i64, Row>,
    /// Ids that more than one row has.
    pub doubled: Vec<i64>,
    /// The stream's complete stretches.
    pub complete: Vec<Complete>,
    /// Partitions that are absent, and since when.
    pub absent: Vec<(String, i64)>,
    /// Where partial fetches and holes begin.
    pub unfinished: Vec<i64>,
    /// Rows that are marked as gone.
    pub marked: Vec<i64>,
    /// Replaced versions that are kept, and how many there were.
    pub versions: Option<(i64, i64)>,
}

/// Opens an archive as any SQLite tool does: for writing, so that a log is taken in.
pub fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(std::time::Duration::ZERO)?;
    Ok(connection)
}

fn millis(text: &str) -> i64 {
    chrono::DateTime::parse_from_rfc3339(text).map_or(0, |at| at.timestamp_millis())
}

/// Reads what is there. Nothing but an empty archive has no table.
pub fn look(connection: &Connection) -> rusqlite::Result<Seen> {
    let mut seen = Seen::default();
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = ?1";
    let has = |name: &str| connection.query_row(sql, [name], |row| row.get::<_, i64>(0));
    if has("records")? > 0 {
        let mut statement = connection.prepare("SELECT id, value FROM records")?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let (id, value): (i64, i64) = (row.get(0)?, row.get(1)?);
            let state = usize::try_from(value - id * 1_000).unwrap_or(usize::MAX);
            if seen.rows.insert(id, Row { value, state }).is_some() {
                seen.doubled.push(id);
            }
        }
    }
    let column = "SELECT count(*) FROM pragma_table_info('records') WHERE name = '_deleted_at'";
    if connection.query_row(column, [], |row| row.get::<_, i64>(0))? > 0 {
        let sql = "SELECT id FROM records WHERE _deleted_at IS NOT NULL";
        let mut statement = connection.prepare(sql)?;
        seen.marked = statement.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    }
    let merged = "SELECT count(*) FROM _windrow_handoffs WHERE direction = 'taken'";
    let merged = has("_windrow_handoffs")? > 0
        && connection.query_row(merged, [], |row| row.get::<_, i64>(0))? > 0;
    // What others have replaced is here as well, and counts as theirs.
    if has("records_history")? > 0 && !merged {
        // Of a row that was deleted the last version is here as well.
        let sql = "SELECT (SELECT count(*) FROM records_history),
            (SELECT coalesce(sum(_revision - 1), 0) FROM records)
            + (SELECT coalesce(sum(last), 0) FROM (SELECT max(_revision) AS last
                FROM records_history WHERE id NOT IN (SELECT id FROM records) GROUP BY id))";
        seen.versions = Some(connection.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))?);
    }
    if has("_windrow_ledger")? > 0 {
        let disputed = match has("_windrow_disputed")? > 0 {
            true => {
                "EXISTS (SELECT 1 FROM _windrow_disputed AS d WHERE d.stream = l.stream
                    AND d.partition = l.partition AND d.read_at >= l.requested_at
                    AND d.start_at < l.end_at AND d.end_at > l.start_at)"
            }
            false => "0",
        };
        let sql = format!(
            "SELECT partition, start_at, end_at, coalesce(read_to, ''), requested_at, state,
                {disputed}, error IS NOT NULL
            FROM _windrow_ledger AS l WHERE stream = 'records' ORDER BY partition, start_at"
        );
        let mut statement = connection.prepare(&sql)?;
        let mut rows = statement.query([])?;
        while let Some(row) = rows.next()? {
            let text = |at: usize| row.get::<_, String>(at);
            let state = text(5)?;
            if state == "partial" || state == "truncated" {
                seen.unfinished.push(millis(&text(1)?));
                continue;
            }
            if state == "absent" {
                seen.absent.push((text(0)?, millis(&text(4)?)));
                continue;
            }
            seen.complete.push(Complete {
                partition: text(0)?,
                start: millis(&text(1)?),
                end: millis(&text(2)?),
                read_to: millis(&text(3)?),
                requested_at: millis(&text(4)?),
                settled: state == "settled",
                disputed: row.get(6)?,
                failed: row.get(7)?,
            });
        }
    }
    Ok(seen)
}

/// What is wrong with the archive as it is, at true time `now`. None where nobody may read.
pub fn check_ledger(path: &Path, world: &World, now: i64) -> Option<Vec<String>> {
    if !path.exists() {
        return Some(Vec::new());
    }
    let connection = open(path).ok()?;
    let seen = look(&connection).ok()?;
    Some(compare(&seen, world, now))
}

/// Holds what was seen against the truth.
pub fn compare(seen: &Seen, world: &World, now: i64) -> Vec<String> {
    let mut wrong = Vec::new();
    for (id, row) in &seen.rows {
        let index = usize::try_from(row.value / 1_000 - 1).unwrap_or(usize::MAX);
        let record = world.records.get(index).filter(|_| world.key_of(index) == *id);
        let state = usize::try_from(row.value % 1_000).unwrap_or(usize::MAX);
        let version = record.and_then(|record| record.versions.get(state));
        match version {
            Some(version) if version.visible_at <= now && version.value == row.value => {}
            _ => wrong.push(format!("S2: row {id} with {} was never served", row.value)),
        }
    }
    wrong.extend(seen.doubled.iter().map(|id| format!("S5: record {id} is there twice")));
    for pair in seen.complete.windows(2) {
        if pair[0].partition == pair[1].partition && pair[0].end > pair[1].start {
            wrong.push(format!("S11: complete stretches overlap: {pair:?}"));
        }
    }
    for (partition, since) in &seen.absent {
        let has = |record: &&Record| {
            partition.contains(&format!("\"L{}\"", record.line))
                && record.visible(since - SECOND).is_some()
        };
        if let Some(record) = world.records.iter().find(has) {
            wrong.push(format!("S1: {partition} is absent and has record {}", record.id));
        }
    }
    for complete in &seen.complete {
        check_complete(seen, world, complete, now, &mut wrong);
    }
    let scenario = &world.scenario;
    // Where a row was taken for gone and came back, it has begun again.
    let counts = scenario.history && !(scenario.deletes && may_be_shifted(world, false));
    if let Some((kept, were)) = seen.versions.filter(|(kept, were)| counts && kept != were) {
        wrong.push(format!("history: {kept} replaced versions are kept of {were}"));
    }
    if !may_be_shifted(world, false) {
        let there = |id: &&i64| {
            let record = world.records.get(usize::try_from(**id - 1).unwrap_or(usize::MAX));
            record.is_some_and(|record| record.visible(now).is_some())
        };
        let alive = seen.marked.iter().filter(there);
        wrong.extend(alive.map(|id| format!("missing: row {id} is marked and the API has it")));
    }
    wrong
}

/// Whether a hole between counted pages can be hidden just now: nobody counts, the window will be
/// read again, and records went or changed places meanwhile.
fn may_be_shifted(world: &World, settled: bool) -> bool {
    let (scenario, classes) = (&world.scenario, world.drawn);
    let final_word = settled || scenario.kind == Kind::Cursor;
    if !scenario.is_counted() {
        return false;
    }
    if !scenario.is_total_exact() {
        return (classes.deletions || classes.churn) && !final_word;
    }
    // One record goes and another one comes: the count is what it was.
    classes.deletions
}

/// The row of a record. A key may stand for more than one: the content tells which it is.
fn row_of(seen: &Seen, world: &World, record: &Record) -> Option<Row> {
    let index = usize::try_from(record.id - 1).expect("ids begin with 1");
    let row = seen.rows.get(&world.key_of(index)).filter(|row| row.value / 1_000 == record.id)?;
    let state = usize::try_from(row.value % 1_000).expect("it is not negative");
    Some(Row { state, ..*row })
}

fn check_complete(
    seen: &Seen,
    world: &World,
    complete: &Complete,
    now: i64,
    wrong: &mut Vec<String>,
) {
    let scenario = &world.scenario;
    if scenario.dated && complete.requested_at > now {
        wrong.push(format!("S12: complete as of {} at {now}", complete.requested_at));
    }
    if scenario.kind == Kind::Window && complete.read_to > complete.requested_at.max(complete.start)
    {
        wrong.push(format!("S12: counts up to {} but was asked earlier", complete.read_to));
    }
    if complete.disputed || may_be_shifted(world, complete.settled) {
        return;
    }
    for (index, record) in world.records.iter().enumerate() {
        if world.is_at_odds(index) {
            continue;
        }
        let inside = match scenario.kind {
            Kind::Window => record.at >= complete.start && record.at < complete.read_to,
            _ => true,
        };
        let ours =
            scenario.parents == 0 || complete.partition.contains(&format!("\"L{}\"", record.line));
        let gone = record.deleted_at.is_some_and(|gone| gone <= now);
        // A change in the second of the request may fall on either side of it.
        let as_of = complete.requested_at - SECOND;
        if !inside || !ours || gone {
            continue;
        }
        let Some(state) = record.visible(as_of) else { continue };
        if scenario.kind == Kind::Cursor && record.versions[state].updated_at < scenario.edges[0] {
            continue;
        }
        match row_of(seen, world, record) {
            Some(row) if row.state >= state => {}
            Some(row) => wrong.push(format!(
                "S1: record {} is at state {} and was at {state} when {complete:?} was read",
                record.id, row.state
            )),
            None => wrong.push(format!(
                "S1: record {} at {} is not there, complete is {complete:?}",
                record.id, record.at
            )),
        }
    }
}

/// S23: a window that could not be read again says so, though it stays complete.
pub fn check_noted(seen: &Seen, errors: &[RunError]) -> Vec<String> {
    let told = errors.iter().filter(|error| {
        let stops = matches!(error.kind, SourceErrorKind::Stopped | SourceErrorKind::Budget);
        error.stream == "records" && !stops
    });
    let mut wrong = Vec::new();
    for error in told {
        let Some((start, end)) = error.window.as_deref().and_then(|it| it.split_once("..")) else {
            continue;
        };
        let window = (millis(start), millis(end));
        let is_of = |it: &&Complete| {
            it.partition == error.partition && (it.start, it.end) == window && !it.failed
        };
        if seen.complete.iter().any(|it| is_of(&it)) {
            wrong.push(format!("S23: {window:?} is said to be whole: {}", error.message));
        }
    }
    wrong
}

/// S6: no row goes back to an older version.
pub fn check_versions(before: &BTreeMap<i64, Row>, after: &BTreeMap<i64, Row>) -> Vec<String> {
    let back =
        after.iter().filter(|(id, row)| before.get(id).is_some_and(|old| old.state > row.state));
    back.map(|(id, row)| format!("S6: row {id} went back to state {}", row.state)).collect()
}

/// S4: what was told to be complete still is.
pub fn check_told(told: &[Complete], now: &[Complete]) -> Vec<String> {
    let mut lost = Vec::new();
    for old in told {
        let mut at = old.start;
        let mut covering: Vec<&Complete> =
            now.iter().filter(|new| new.partition == old.partition).collect();
        covering.sort_by_key(|new| new.start);
        if old.end == 0 {
            if covering.is_empty() {
                lost.push(format!("S4: {old:?} was told to be complete and is not"));
            }
            continue;
        }
        for new in covering {
            if new.start <= at && new.read_to > at {
                at = new.read_to;
            }
        }
        if at < old.read_to {
            lost.push(format!("S4: {old:?} was told to be complete, now only up to {at}"));
        }
    }
    lost
}

/// S5 and S26: SQLite's own checks.
pub fn check_file(connection: &Connection) -> rusqlite::Result<Vec<String>> {
    let mut wrong = Vec::new();
    let said: String = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0))?;
    if said != "ok" {
        wrong.push(format!("S26: {said}"));
    }
    let orphans: i64 =
        connection.query_row("SELECT count(*) FROM pragma_foreign_key_check", [], |r| r.get(0))?;
    if orphans > 0 {
        wrong.push(format!("S26: {orphans} rows point to nothing"));
    }
    Ok(wrong)
}

/// At rest: the archive is the truth, except for records that were deleted after they were kept.
pub fn check_truth(seen: &Seen, world: &World, now: i64) -> Vec<String> {
    let mut wrong = check_records(seen, world, now);
    let scenario = &world.scenario;
    let hidden = may_be_shifted(world, true);
    if scenario.kind == Kind::Window {
        check_gaps(seen, scenario, now, &mut wrong);
    }
    if scenario.kind == Kind::Snapshot && scenario.missing && !hidden {
        // Each stage of the rest has read it all, and two fetches tell.
        let stands = |id: &&i64| {
            let record = world.records.get(usize::try_from(**id - 1).unwrap_or(usize::MAX));
            !seen.marked.contains(id) && record.is_some_and(|r| r.visible(now).is_none())
        };
        let gone = seen.rows.keys().filter(stands);
        wrong.extend(gone.map(|id| format!("missing: row {id} stands and the API has it not")));
    }
    wrong
}

/// At rest: every record that is served is there as it is served.
pub fn check_records(seen: &Seen, world: &World, now: i64) -> Vec<String> {
    let mut wrong = Vec::new();
    let scenario = &world.scenario;
    let hidden = may_be_shifted(world, true);
    for record in &world.records {
        let Some(state) = record.visible(now).filter(|_| !hidden) else { continue };
        if scenario.kind == Kind::Window && scenario.cell(record.at).is_none() {
            continue;
        }
        if scenario.kind == Kind::Cursor && record.versions[state].updated_at < scenario.edges[0] {
            continue;
        }
        match row_of(seen, world, record) {
            Some(row) if row.state == state => {}
            Some(row) => wrong.push(format!(
                "S9: record {} is at state {} and not at {state}",
                record.id, row.state
            )),
            None => wrong.push(format!("S10: record {} at {} is missing", record.id, record.at)),
        }
    }
    wrong
}

/// S11 and S18: from the start to now there is no gap.
fn check_gaps(seen: &Seen, scenario: &Scenario, now: i64, wrong: &mut Vec<String>) {
    let mut reach: BTreeMap<&str, i64> = BTreeMap::new();
    for complete in &seen.complete {
        let at = reach.entry(&complete.partition).or_insert(scenario.edges[0]);
        if complete.start > *at {
            wrong.push(format!("S11: nothing is known from {at} to {}", complete.start));
        }
        *at = (*at).max(complete.read_to);
    }
    let absent = usize::from(scenario.missing_parent().is_some());
    if reach.len() != scenario.parents.max(1) - absent {
        wrong.push(format!("S18: {} partitions are known", reach.len()));
    }
    let short = reach.values().any(|at| *at < now - 60 * 60 * SECOND);
    // What a clock that ran ahead began of the future is left until then.
    let unfinished = seen.unfinished.iter().filter(|start| **start <= now).count();
    if short || unfinished > 0 {
        wrong.push(format!("S18: not at rest: {reach:?}, {unfinished} unfinished"));
    }
}

/// S3: an adoption is there with all of its rows, or there is nothing.
pub fn check_adopted(
    connection: &Connection,
    rows: usize,
    adopted: u64,
) -> rusqlite::Result<Option<String>> {
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name = '_windrow_adoptions'";
    let known: i64 = connection.query_row(sql, [], |row| row.get(0))?;
    let sql = "SELECT count(*) FROM _windrow_adoptions";
    let adoptions = if known == 0 { 0 } else { connection.query_row(sql, [], |row| row.get(0))? };
    let whole = if adoptions == 0_i64 { rows == 0 } else { rows as u64 >= adopted };
    let torn = format!("S3: {adoptions} adoptions of {adopted} records, and {rows} rows");
    Ok((!whole).then_some(torn))
}
