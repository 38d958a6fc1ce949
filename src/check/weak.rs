//! Where the evidence that windows are complete is weak: they end where a source may cap its
//! answers, or an answer said something against the definition.
//!
//! Equal numbers of records prove nothing alone: a source with 24 records a day has as many in each
//! window. Six windows with the same number are told only where that number is the largest of all,
//! is one at which people let an API stop (a round number, or a number that the request itself
//! asks for), no total was declared, and the records are not the same things window for window: a
//! hundred meters with one record a day are a hundred records a day, and not a cap.

use crate::definition::{EscapeContext, Severity, Stream, TemplateValues};
use crate::model::{Error, State, Window, instant_from_text, place_of};
use crate::store::{LedgerRow, Reader};

use super::evidence::{sql_of_full_windows, sql_of_remarks};
use super::finding::{Collector, Finding, identity};
use crate::check::help_commands::HelpCommands;

/// Windows with the same number of records that are no chance: with fewer, ties are common.
const FULL_WINDOWS_MIN: u64 = 6;

/// Numbers at which APIs cap their answers, by their documentation.
const CAPS: [u64; 11] = [20, 25, 50, 100, 200, 250, 500, 1_000, 2_000, 5_000, 10_000];

/// The windows that hold the most records.
#[derive(Clone, Debug, Default)]
pub struct Fullest {
    /// How many records each of them has.
    records: u64,
    /// How many they are: complete, and read to their end.
    windows: u64,
    /// The partitions that they are of.
    partitions: u64,
    /// The partition and the window of the last of them.
    last: Option<(String, Option<Window>)>,
}

impl Fullest {
    /// Takes a row of the ledger; those of a partition come one after another.
    pub fn take(&mut self, row: &LedgerRow) {
        let complete = matches!(row.state, State::Complete | State::Settled);
        let Some(records) = row.last_records.filter(|_| complete) else { return };
        if records < self.records {
            return;
        }
        if records > self.records {
            *self = Fullest { records, ..Fullest::default() };
        }
        let ends = [&row.start_at, &row.end_at].map(|at| instant_from_text(at));
        let window = ends[0].zip(ends[1]).and_then(|(start, end)| Window::new(start, end));
        let read_to = row.read_to.as_deref().and_then(instant_from_text);
        if window.is_some_and(|window| read_to < Some(window.end())) {
            return;
        }
        self.windows += 1;
        if self.last.as_ref().is_none_or(|(partition, _)| *partition != row.partition) {
            self.partitions += 1;
        }
        self.last = Some((row.partition.clone(), window));
    }
}

/// Whether the request asks for so many records in as many words.
fn asks_for(stream: &Stream, records: u64) -> bool {
    let shown = |template: &crate::definition::Template| {
        let plain = template.names().is_empty() && template.secrets().next().is_none();
        let render =
            || {
                template.render(&TemplateValues::default(), EscapeContext::Plain, &|_| {
                    Ok(String::new())
                })
            };
        if plain { render().ok() } else { None }
    };
    let asked = |text: String| text.trim().parse() == Ok(records);
    stream.request.query.iter().any(|(_, template)| shown(template).is_some_and(asked))
}

/// Looks for a cap that nobody declared. `things` counts what the records are about: their keys
/// without the date; none where no date is known.
pub fn check_cap(
    stream: &Stream,
    fullest: &Fullest,
    help_commands: &HelpCommands,
    things: impl FnOnce() -> Result<Option<u64>, Error>,
    collector: &mut Collector,
) -> Result<(), Error> {
    let Fullest { records, windows, partitions, .. } = *fullest;
    let declared = stream.max_records.is_some() || stream.total.is_some();
    let is_cap = CAPS.contains(&records) || asks_for(stream, records);
    if windows < FULL_WINDOWS_MIN || records < 2 || !is_cap || declared {
        return Ok(());
    }
    if things()?.is_some_and(|things| things <= records.saturating_mul(partitions)) {
        return Ok(());
    }
    let (partition, window) = fullest.last.clone().unwrap_or_default();
    let place = place_of(&partition, window);
    collector.add(Finding {
        id: identity(&["cap", &stream.name]),
        check: "cap",
        severity: Severity::Warning,
        stream: stream.name.to_string(),
        expected: "windows that differ in number, or one that has more".to_owned(),
        found: format!(
            "{windows} windows have exactly {records} records, the last one {place}, and none has \
             more: the source may cap its answers"
        ),
        sql: sql_of_full_windows(&stream.name, records),
        help: help_commands.command("prove", &[&stream.name]),
        first: Some(format!(
            "ask the provider; if answers are capped, write `max_records = {records}` for `{}`, or \
             say with `paginate` where the next page is",
            stream.name
        )),
        until: window.map(Window::end),
    });
    Ok(())
}

/// What answers said against a definition that says that one page is all.
pub fn check_remarks(
    reader: &Reader,
    stream: &Stream,
    help_commands: &HelpCommands,
    collector: &mut Collector,
) -> Result<(), Error> {
    let Some(remark) = reader.last_remark(&stream.name)? else { return Ok(()) };
    let mut place = remark.partition.into_iter().chain(remark.window).collect::<Vec<_>>().join(" ");
    if !place.is_empty() {
        place.push_str(": ");
    }
    collector.add(Finding {
        id: identity(&["remark", &stream.name]),
        check: "remark",
        severity: Severity::Info,
        stream: stream.name.to_string(),
        expected: "one answer with all records, as `paginate = { kind = \"none\" }` says"
            .to_owned(),
        found: format!("{place}{}", remark.message),
        sql: sql_of_remarks(&stream.name),
        help: help_commands.sync_due(&stream.name),
        first: Some(format!(
            "see whether the answers of `{}` are whole; if not, write out how it pages",
            stream.name
        )),
        until: None,
    });
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32, records: u64) -> LedgerRow {
        LedgerRow {
            start_at: format!("2026-01-{day:02}T00:00:00+00:00"),
            end_at: format!("2026-01-{:02}T00:00:00+00:00", day + 1),
            read_to: Some(format!("2026-01-{:02}T00:00:00+00:00", day + 1)),
            last_records: Some(records),
            ..LedgerRow::plain(State::Settled)
        }
    }

    #[test]
    fn the_fullest_windows_are_those_with_the_most_records_that_were_read_to_their_end() {
        let mut fullest = Fullest::default();
        for row in [day(1, 99), day(2, 100), day(3, 100), day(4, 98)] {
            fullest.take(&row);
        }
        assert_eq!((fullest.records, fullest.windows, fullest.partitions), (100, 2, 1));
        let open = LedgerRow { read_to: Some("2026-01-05T12:00:00+00:00".into()), ..day(5, 100) };
        fullest.take(&open);
        assert_eq!(fullest.windows, 2, "an open window is not full yet");
        fullest.take(&LedgerRow { read_to: open.read_to, ..day(5, 101) });
        assert_eq!((fullest.records, fullest.windows), (101, 0), "it shows that there is no cap");
    }
}
