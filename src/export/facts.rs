//! What a file says of itself: where its rows come from and what they cover.

use serde::Serialize;

use crate::history::ReadStretch;
use crate::model::{Error, Timestamp, Window, instant_from_text, instant_to_text};
use crate::store::{Reader, StreamRow};
use crate::window::Coverage;

/// A stretch of time: its first instant and the first one after it.
pub type TimeSpan = [String; 2];

/// What the ledger says of a stream. With parents: what holds for every one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StreamCoverage {
    /// The parents that it has been read for; 0 for a stream without.
    pub parents: u64,
    /// The end of the unbroken stretch that begins where the stream does.
    pub watermark: Option<String>,
    /// Complete windows; those that touch are merged.
    pub complete: Vec<TimeSpan>,
    /// What is not complete between the beginning and the end of what has been read.
    pub gaps: Vec<TimeSpan>,
    /// Of a stream without windows: when it was last read as a whole; none where some of it was
    /// not.
    pub first_complete_at: Option<String>,
}

/// Reads the ledger of a stream, one row after the other.
pub fn covered(reader: &Reader, stream: &StreamRow) -> Result<StreamCoverage, Error> {
    let mut gathered = GatheredCoverage::default();
    reader.stretches(&stream.stream, |stretch| gathered.add(stretch))?;
    Ok(gathered.end(stream.start_at))
}

#[derive(Default)]
struct GatheredCoverage {
    parents: u64,
    /// The partition in hand, and its complete windows.
    partition: Option<String>,
    windows: Vec<Window>,
    /// What all partitions before it have in common.
    common: Option<Coverage>,
    first: Option<Timestamp>,
    last: Option<Timestamp>,
    first_complete_at: Option<String>,
    broken: bool,
}

impl GatheredCoverage {
    fn add(&mut self, stretch: ReadStretch) {
        if self.partition.as_ref() != Some(&stretch.partition) {
            self.end_partition();
            self.parents += u64::from(!stretch.partition.is_empty());
            self.partition = Some(stretch.partition);
        }
        let (start, end) = (&stretch.window.0, &stretch.window.1);
        let Some(start) = instant_from_text(start) else {
            self.add_whole(stretch.complete, stretch.completed_at);
            return;
        };
        let read_to = stretch.read_to.as_deref().filter(|_| stretch.complete);
        let Some(end) = read_to.or(Some(end)).and_then(instant_from_text) else { return };
        self.first = Some(self.first.map_or(start, |first| first.min(start)));
        self.last = Some(self.last.map_or(end, |last| last.max(end)));
        if stretch.complete {
            self.windows.extend(Window::new(start, end));
        }
    }

    fn add_whole(&mut self, complete: bool, at: Option<String>) {
        self.broken |= !complete || at.is_none();
        self.first_complete_at = match (self.first_complete_at.take(), at) {
            (Some(one), Some(two)) => Some(one.min(two)),
            (one, two) => one.or(two),
        };
    }

    fn end_partition(&mut self) {
        if self.partition.is_none() {
            return;
        }
        let own = Coverage::of(self.windows.drain(..));
        self.common = Some(match self.common.take() {
            Some(common) => common.intersection(&own),
            None => own,
        });
    }

    fn end(mut self, start: Option<Timestamp>) -> StreamCoverage {
        self.end_partition();
        let common = self.common.unwrap_or_default();
        let start = start.or(self.first);
        let line = start.zip(self.last).and_then(|(start, end)| Window::new(start, end));
        let text = |window: Window| [window.start(), window.end()].map(instant_to_text);
        StreamCoverage {
            parents: self.parents,
            watermark: start.and_then(|start| common.watermark(start)).map(instant_to_text),
            complete: common.parts().iter().copied().map(text).collect(),
            gaps: line.map_or_else(Vec::new, |line| common.gaps(line).map(text).collect()),
            first_complete_at: self.first_complete_at.filter(|_| !self.broken),
        }
    }
}

/// What is the same for all files of an export.
#[derive(Clone, Debug, Default)]
pub struct ExportOrigin {
    /// The archive's own name, where it has one.
    pub archive_id: Option<String>,
    /// When the rows were read.
    pub exported_at: String,
    /// The latest run that they can come from.
    pub last_run: Option<i64>,
    /// The condition that they meet.
    pub condition: Option<String>,
    /// The moment of the past that they are of.
    pub as_of: Option<String>,
}

/// Names and texts for a file's metadata.
pub fn metadata(
    origin: &ExportOrigin,
    stream: &StreamRow,
    covered: Option<&StreamCoverage>,
    partition: Option<&str>,
) -> Vec<(String, String)> {
    let types: serde_json::Map<String, serde_json::Value> = stream
        .columns
        .iter()
        .map(|column| (column.name.clone(), serde_json::json!(column.kind)))
        .collect();
    let facts = [
        ("version", Some(env!("CARGO_PKG_VERSION").to_owned())),
        ("archive_id", origin.archive_id.clone()),
        ("stream", Some(stream.stream.clone())),
        ("key", Some(serde_json::json!(stream.key.columns()).to_string())),
        ("columns", Some(serde_json::Value::Object(types).to_string())),
        ("exported_at", Some(origin.exported_at.clone())),
        ("last_run", origin.last_run.map(|run| run.to_string())),
        ("as_of", origin.as_of.clone()),
        ("where", origin.condition.clone()),
        ("partitioned_by", partition.map(str::to_owned)),
        ("watermark", covered.and_then(|covered| covered.watermark.clone())),
        ("coverage", covered.map(|covered| serde_json::json!(covered).to_string())),
    ];
    let named = |(name, text): (&str, Option<String>)| Some((format!("windrow.{name}"), text?));
    facts.into_iter().filter_map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn day(day: u32) -> String {
        format!("2026-01-{day:02}T00:00:00+00:00")
    }

    fn stretch(partition: &str, days: (u32, u32), complete: bool) -> ReadStretch {
        ReadStretch {
            partition: partition.to_owned(),
            window: (day(days.0), day(days.1)),
            complete,
            read_to: Some(day(days.1)),
            completed_at: None,
        }
    }

    fn whole(partition: &str, complete: bool, at: Option<&str>) -> ReadStretch {
        let window = (String::new(), String::new());
        let completed_at = at.map(str::to_owned);
        ReadStretch { window, completed_at, ..stretch(partition, (1, 2), complete) }
    }

    fn covered_by(stretches: Vec<ReadStretch>) -> StreamCoverage {
        let mut gathered = GatheredCoverage::default();
        stretches.into_iter().for_each(|stretch| gathered.add(stretch));
        gathered.end(instant_from_text(&day(1)))
    }

    #[test]
    fn with_parents_only_what_holds_for_each_of_them_is_covered() {
        let told = covered_by(vec![
            stretch("1", (1, 5), true),
            stretch("1", (5, 9), true),
            stretch("2", (1, 4), true),
            stretch("2", (4, 6), false),
            stretch("2", (6, 9), true),
        ]);
        assert_eq!((told.parents, told.watermark), (2, Some(day(4))));
        assert_eq!(told.complete, [[day(1), day(4)], [day(6), day(9)]]);
        assert_eq!(told.gaps, [[day(4), day(6)]]);
        let none = covered_by(vec![stretch("1", (1, 5), true), stretch("2", (1, 5), false)]);
        assert_eq!((none.complete.len(), none.watermark), (0, None));
        assert_eq!(none.gaps, [[day(1), day(5)]]);
    }

    #[test]
    fn a_stream_without_windows_is_whole_since_its_oldest_fetch() {
        let told = covered_by(vec![whole("1", true, Some("b")), whole("2", true, Some("a"))]);
        assert_eq!(told.first_complete_at.as_deref(), Some("a"));
        let broken = covered_by(vec![whole("1", true, Some("b")), whole("2", false, Some("a"))]);
        assert_eq!(broken.first_complete_at, None);
        assert_eq!(covered_by(Vec::new()), StreamCoverage::default());
    }
}
