//! A stream's table as the definition has it: columns that were added are filled, and columns that
//! were corrected are carried out on the rows that are there.

use crate::changes::{CorrectedColumn, RecastCount};
use crate::definition::{Column, Definition, Key, RecordedDefinition, Stream, parse_definition};
use crate::model::{
    Command, Error, ErrorKind, FieldChange, FieldChangeKind, TableColumn, TableShape, Timestamp,
    instant_to_text,
};
use crate::record::{Filler, Recast, RecordReader, corrected};
use crate::store::{RunStart, RunStreamRow, Tx};

/// A table that is brought up to a definition.
pub struct FitTable<'a> {
    pub definition: &'a Definition,
    pub stream: &'a Stream,
    /// What its records are read by.
    pub reader: &'a RecordReader,
    pub shape: &'a TableShape,
    /// Where the stream's grid starts.
    pub start_at: Option<Timestamp>,
    /// The run in hand; none for a rehearsal.
    pub run: Option<i64>,
    /// The time that rows are written with.
    pub now: Timestamp,
}

impl FitTable<'_> {
    /// Makes the table, or brings it up to the definition. Tells whether columns were corrected, so
    /// that records which were rejected may be rows now.
    pub fn fit(&self, tx: &Tx<'_>) -> Result<bool, Error> {
        let now = instant_to_text(self.now);
        let corrected = self.correct(tx, &now)?;
        let start = self.start_at.map(instant_to_text);
        let added = tx.ensure_table(self.shape, start.as_deref(), &now)?;
        if let Some(filler) = Filler::new(self.reader, &added) {
            let fill = |rest: &str| filler.fill(rest);
            tx.fill_columns(&self.shape.name, filler.columns(), &fill, self.run, &now)?;
        }
        if let Some(run) = self.run {
            tx.note_table_definition(&self.shape.name, run)?;
        }
        Ok(corrected)
    }

    fn correct(&self, tx: &Tx<'_>, now: &str) -> Result<bool, Error> {
        let name = &self.stream.name;
        let Some(columns) = &self.stream.columns else { return Ok(false) };
        let Some(text) = tx.last_definition(name)? else { return Ok(false) };
        if text == self.definition.text {
            return Ok(false);
        }
        let before = parse_definition("the archive's definition", &text).ok();
        let Some(said) = before.as_ref().and_then(|it| it.stream(name)) else { return Ok(false) };
        let stored = tx.stream(name)?.map(|row| row.columns).unwrap_or_default();
        let inferred: Vec<Column> =
            stored.iter().map(|column| Column::plain(&column.name, column.kind)).collect();
        let before = said.columns.as_ref().unwrap_or(&inferred);
        let mut pairs = corrected(before, columns);
        // An inferred column is of the member of its name; how it is read was never said.
        pairs.retain(|(before, now)| said.columns.is_some() || before.origin != now.origin);
        // What the table does not have yet is added, and what it has otherwise is not from here.
        pairs.retain(|(before, _)| {
            stored.iter().any(|it| it.name == before.name && it.kind == before.kind)
        });
        if pairs.is_empty() {
            return Ok(false);
        }
        let has_rows = tx.has_any_row(name)?;
        if has_rows {
            self.refuse_open_rebuild(tx)?;
        }
        let recast = Recast::new(pairs, self.reader, before);
        let mut counts = vec![RecastCount::default(); recast.now().count()];
        if has_rows {
            let start = RunStart {
                command: Command::Rebuild,
                version: env!("CARGO_PKG_VERSION"),
                definition: &self.definition.text,
                now: self.now,
            };
            let own = tx.note_run(&start, "carried out corrected columns")?;
            let corrected = self.corrected_columns(&recast);
            let read = |rest: Option<&str>, cells: &crate::model::RowSet| {
                let done = recast.read(rest, cells);
                (done.row, done.unknown)
            };
            counts = tx.recast_columns(name, &corrected, &read, own, now)?;
            self.refuse_keys(tx, &recast, &counts)?;
            let row = RunStreamRow { stream: name.clone(), ..RunStreamRow::default() };
            tx.add_to_run(own, &row)?;
        }
        self.note(tx, &recast, &counts, &text, now)?;
        Ok(true)
    }

    fn corrected_columns(&self, recast: &Recast<'_>) -> Vec<CorrectedColumn> {
        let table = |column: &Column| TableColumn {
            name: column.name.clone(),
            kind: column.kind,
            tolerance: column.tolerance,
        };
        let (Key::Columns(key) | Key::Hash(key)) = &self.stream.key;
        let pairs = recast.before().zip(recast.now()).map(|(before, now)| CorrectedColumn {
            before: table(before),
            now: table(now),
            is_key: key.contains(&now.name),
        });
        pairs.collect()
    }

    /// Under a key that is read otherwise, every row would be there a second time.
    fn refuse_keys(
        &self,
        tx: &Tx<'_>,
        recast: &Recast<'_>,
        counts: &[RecastCount],
    ) -> Result<(), Error> {
        let name = &self.stream.name;
        let rekeyed = recast.now().zip(counts).find(|(_, count)| count.rekeyed > 0);
        let Some((column, _)) = rekeyed else { return Ok(()) };
        let column = &column.name;
        let message = format!(
            "the column `{column}`, of which the key of stream `{name}` is made, is read otherwise \
             than before: its rows would be there a second time"
        );
        Err(Error::new(ErrorKind::Definition, message).help(tx.help_to_remake(name)?))
    }

    fn refuse_open_rebuild(&self, tx: &Tx<'_>) -> Result<(), Error> {
        let name = &self.stream.name;
        if !tx.kept(name)?.table_aside {
            return Ok(());
        }
        let message = format!(
            "columns of stream `{name}` were corrected, and its last rebuild is not confirmed"
        );
        let help = "`windrow rebuild --confirm` lets the old table go, `--undo` puts it back";
        Err(Error::new(ErrorKind::Definition, message).help(help))
    }

    /// Keeps which columns are carried out on all rows, and logs what became of each.
    fn note(
        &self,
        tx: &Tx<'_>,
        recast: &Recast<'_>,
        counts: &[RecastCount],
        before: &str,
        at: &str,
    ) -> Result<(), Error> {
        let stream = &self.stream.name;
        let fingerprint =
            |text: &str| RecordedDefinition::parse(text).and_then(|it| it.fingerprint(stream));
        let prints = fingerprint(before).zip(fingerprint(&self.definition.text));
        for ((before, now), count) in recast.before().zip(recast.now()).zip(counts) {
            // What was kept since it was close enough may be further off than that now.
            let (was, is) = (before.tolerance.unwrap_or(0.0), now.tolerance.unwrap_or(0.0));
            let stale = is < was && count.rows > 0;
            if let Some((one, other)) = prints.as_ref().filter(|_| count.unknown == 0 && !stale) {
                tx.accept_column(stream, &now.name, one, other)?;
            }
            let Some(run) = self.run.filter(|_| count.rows > 0) else { continue };
            let again = match count.unknown > 0 || stale {
                true => "; what is not kept is read again",
                false => "",
            };
            let rows = if count.rows == 1 { "row" } else { "rows" };
            let detail = format!(
                "{} of {} {rows} filled from what was kept{again}",
                count.filled, count.rows
            );
            tx.log_field_change(&FieldChange {
                stream: stream.clone(),
                change: FieldChangeKind::Corrected,
                field: now.name.clone(),
                detail,
                at: at.to_owned(),
                run,
            })?;
        }
        Ok(())
    }
}
