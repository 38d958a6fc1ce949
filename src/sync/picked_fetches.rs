//! Fetches that somebody picked: a second look at places that are known, whatever is due.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::definition::{Stream, StreamKind, TemplateValues};
use crate::model::{Timestamp, Window, WindowKey};
use crate::store::ParentRow;
use crate::window::{Reason, WindowPlan, plan_again};

use crate::sync::fetch_job::{FetchJob, cursor_text, window_job};

/// Places that are read again, into an archive that may know nothing of them.
#[derive(Clone, Debug)]
pub struct PickedFetches {
    /// The archive that knows the streams' columns and starts, the parents and the waits. It is
    /// only read.
    pub known: PathBuf,
    /// The places, by partition; a place without a window is a snapshot, or a mark from its start.
    pub places: BTreeMap<String, Vec<Option<Window>>>,
    /// What a start such as "90 days ago" counts back from, for a mark.
    pub now: Timestamp,
}

impl PickedFetches {
    /// The fetches of one stream and partition.
    pub fn jobs(
        &self,
        stream: &Stream,
        start: Option<Timestamp>,
        parent: Option<&ParentRow>,
        now: Timestamp,
    ) -> Vec<FetchJob> {
        let partition = parent.map(|row| row.partition.clone()).unwrap_or_default();
        let picked = self.places.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let window_key = |window| WindowKey {
            stream: stream.name.clone(),
            partition: partition.clone(),
            window,
        };
        let parent = parent.map(|row| row.values.clone()).unwrap_or_default();
        let whole = |cursor| FetchJob {
            window_key: window_key(None),
            asked: None,
            reason: Reason::Asked,
            resume: None,
            values: TemplateValues { cursor, parent: parent.clone(), ..TemplateValues::default() },
            mark: None,
            second: false,
            slow_halvings: 0,
        };
        match &stream.kind {
            StreamKind::Window(rules) => {
                let plan = WindowPlan { rules, start: start.unwrap_or(now), now, range: None };
                let windows = picked.iter().flatten();
                let tasks = windows.flat_map(|window| plan_again(&plan, *window));
                tasks
                    .filter_map(|task| {
                        window_job(rules, window_key(Some(task.window)), task, &parent)
                    })
                    .collect()
            }
            StreamKind::Snapshot { .. } => vec![whole(None)],
            StreamKind::Cursor(rules) => vec![whole(Some(cursor_text(rules, None, self.now)))],
        }
    }
}
