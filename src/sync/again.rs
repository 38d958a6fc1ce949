//! Readings that somebody picked: a second look at places that are known, whatever is due.

use std::collections::BTreeMap;
use std::path::PathBuf;

use crate::archive::ParentRow;
use crate::definition::{Kind, Stream, TemplateValues};
use crate::model::{Instant, Place, Window};
use crate::window::{Reason, WindowPlan, plan_again};

use super::job::{Job, cursor_text, window_job};

/// Places that are read again, into an archive that may know nothing of them.
#[derive(Clone, Debug)]
pub struct Again {
    /// The archive that knows the streams' columns and starts, the parents and the waits. It is
    /// only read.
    pub known: PathBuf,
    /// The places, by partition; a place without a window is a snapshot, or a mark from its start.
    pub places: BTreeMap<String, Vec<Option<Window>>>,
    /// What a start such as "90 days ago" counts back from, for a mark.
    pub now: Instant,
}

impl Again {
    /// The readings of one stream and partition.
    pub fn jobs(
        &self,
        stream: &Stream,
        start: Option<Instant>,
        parent: Option<&ParentRow>,
        now: Instant,
    ) -> Vec<Job> {
        let partition = parent.map(|row| row.partition.clone()).unwrap_or_default();
        let picked = self.places.get(&partition).map(Vec::as_slice).unwrap_or_default();
        let place =
            |window| Place { stream: stream.name.clone(), partition: partition.clone(), window };
        let parent = parent.map(|row| row.values.clone()).unwrap_or_default();
        let whole = |cursor| Job {
            place: place(None),
            asked: None,
            reason: Reason::Asked,
            resume: None,
            values: TemplateValues { cursor, parent: parent.clone(), ..TemplateValues::default() },
            mark: None,
            second: false,
        };
        match &stream.kind {
            Kind::Window(rules) => {
                let plan = WindowPlan { rules, start: start.unwrap_or(now), now, range: None };
                let windows = picked.iter().flatten();
                let tasks = windows.flat_map(|window| plan_again(&plan, *window));
                tasks
                    .filter_map(|task| window_job(rules, place(Some(task.window)), task, &parent))
                    .collect()
            }
            Kind::Snapshot { .. } => vec![whole(None)],
            Kind::Cursor(rules) => vec![whole(Some(cursor_text(rules, None, self.now)))],
        }
    }
}
