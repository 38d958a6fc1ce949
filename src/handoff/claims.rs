//! What a manifest says, held against what else the file tells.
//!
//! Whoever changes a file can make its manifest anew, and nothing but a signature, or its number
//! told by another way, stands against that. Whoever does less is contradicted here.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::handoff::Traces;
use crate::model::Error;
use crate::model::numbers::many_are;
use crate::model::sha256_of;
use crate::store::Reader;

use super::manifest::{FoundContents, Manifest, PartMade, last_run};
use super::marks::MARKS_PER_CHUNK;

/// One thing that is not as it was given, or not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct VerifyDifference {
    /// The stream or table; empty for the file as a whole.
    pub place: String,
    /// The key of the row, as SQL literals, where it is one row.
    pub key: Option<String>,
    /// The difference, in words for people.
    pub what: String,
}

/// A manifest, and the file that it is in.
pub struct ManifestClaim<'c> {
    pub reader: &'c Reader,
    /// What its tables tell of it.
    pub traces: &'c Traces,
    /// What it says of itself.
    pub manifest: &'c Manifest,
    /// That, as it is written there.
    pub text: &'c str,
    pub found: &'c FoundContents,
}

/// Streams whose marks are not those of the rows that they have now.
#[derive(Debug, Default)]
pub struct MarksSeen {
    odd: BTreeSet<String>,
}

impl MarksSeen {
    /// Compares a piece of the marks of a stream's rows with the one that was given.
    pub fn look(
        &mut self,
        reader: &Reader,
        stream: &str,
        chunk: i64,
        marks: &[u8],
    ) -> Result<(), Error> {
        if !self.odd.contains(stream) && !reader.has_row_marks(stream, chunk, marks)? {
            self.odd.insert(stream.to_owned());
        }
        Ok(())
    }
}

const MANIFEST: &str = "_windrow_manifest";

fn told(place: &str, what: impl Into<String>) -> VerifyDifference {
    VerifyDifference { place: place.to_owned(), key: None, what: what.into() }
}

/// What is wrong with a file that bears no manifest, if anything is.
pub fn removed(traces: &Traces) -> Option<VerifyDifference> {
    traces.was_just_given().then(|| {
        told("", "its manifest was removed: it is a hand-off, and no run has written to it since")
    })
}

impl ManifestClaim<'_> {
    /// Everything in which the manifest is contradicted, but for the digests of tables and streams.
    pub fn differences(&self, seen: &MarksSeen) -> Result<Vec<VerifyDifference>, Error> {
        let mut all = Vec::new();
        let Traces { manifests, free_pages, .. } = *self.traces;
        if manifests != 1 {
            all.push(told(MANIFEST, format!("{} there, 1 was given", many_are(manifests, "row"))));
        }
        if !self.is_as_written()? {
            all.push(told(MANIFEST, "it was changed since it was given"));
        }
        if free_pages > 0 {
            let what = format!("it has free pages ({free_pages}), and a hand-off has none");
            all.push(told("", what));
        }
        for (field, is_so) in self.fields()? {
            if !is_so {
                let what = format!("`{field}` is not what the rest of the file says");
                all.push(told(MANIFEST, what));
            }
        }
        all.extend(self.lists());
        all.extend(self.marks(seen));
        Ok(all)
    }

    /// Whether it has the digest that it tells, and is in windrow's own words. A newer version may
    /// know more words.
    fn is_as_written(&self) -> Result<bool, Error> {
        if let Some(sha256) = &self.manifest.rest_sha256 {
            let rest = self.text.strip_suffix(&format!(",\"rest_sha256\":\"{sha256}\"}}"));
            return Ok(rest.is_some_and(|rest| sha256_of(&format!("{rest}}}")) == *sha256));
        }
        let ours = self.manifest.windrow == env!("CARGO_PKG_VERSION");
        Ok(!ours || self.manifest.text()? == self.text)
    }

    /// Each field that the file says a second time, and whether it says the same.
    fn fields(&self) -> Result<[(&'static str, bool); 7], Error> {
        let (manifest, traces) = (self.manifest, self.traces);
        let copied = traces.copied.as_ref();
        let lineage: Vec<String> =
            self.reader.lineage()?.into_iter().map(|(_, parent)| parent).collect();
        let last = last_run(self.reader)?;
        Ok([
            ("form", manifest.form > 0),
            ("archive_format", manifest.archive_format == traces.format),
            ("handoff_id", copied.is_some_and(|copied| copied.handoff_id == manifest.handoff_id)),
            ("made_at", copied.is_some_and(|copied| copied.at == manifest.made_at)),
            ("lineage", lineage == manifest.lineage),
            ("last_run", last == manifest.last_run && traces.own_runs == 0),
            ("part", self.is_this_part()?),
        ])
    }

    /// Whether what is lacking is what this part leaves out.
    fn is_this_part(&self) -> Result<bool, Error> {
        let traces = self.traces;
        let whole = PartMade { since: None, streams: Vec::new(), condition: None };
        let part = self.manifest.part.as_ref().unwrap_or(&whole);
        let cuts = part.since.is_some() || part.condition.is_some();
        let here: BTreeSet<&str> =
            self.found.streams.iter().map(|stream| stream.stream.as_str()).collect();
        let named: BTreeSet<&str> = part.streams.iter().map(String::as_str).collect();
        if (self.manifest.part.is_some() && *part == whole)
            || (cuts && traces.proves)
            || (!cuts && traces.lies_aside && !traces.mixed)
            || (!named.is_empty() && named != here)
        {
            return Ok(false);
        }
        if let Some(since) = &part.since
            && self.reader.run_uid(since.run)?.as_ref() != Some(&since.uid)
        {
            return Ok(false);
        }
        // What was lacking before it was given is lacking still, and nothing tells the two apart.
        let lacks = self.reader.lacks()?;
        let unsaid = lacks.iter().any(|(stream, _)| !here.contains(stream.as_str()));
        if unsaid && named.is_empty() && !traces.mixed {
            return Ok(false);
        }
        let up_to = match (&part.condition, &part.since) {
            (Some(_), _) => None,
            (None, Some(since)) => Some(since.run),
            (None, None) => Some(0),
        };
        for stream in here {
            let (not_lacking, more) = self.reader.lacks_beside(stream, up_to)?;
            if not_lacking > 0 || more > 0 && !traces.mixed {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Streams and tables that are told of and not there, or told of twice.
    fn lists(&self) -> Vec<VerifyDifference> {
        let (manifest, found) = (self.manifest, self.found);
        let given: Vec<&str> = manifest.streams.iter().map(|s| s.stream.as_str()).collect();
        let now: Vec<&str> = found.streams.iter().map(|s| s.stream.as_str()).collect();
        let tables: Vec<&str> = manifest.tables.iter().map(|t| t.table.as_str()).collect();
        let twice = |names: &[&str]| {
            let mut seen = BTreeSet::new();
            let again: BTreeSet<&str> =
                names.iter().filter(|name| !seen.insert(**name)).copied().collect();
            again.into_iter().map(|name| told(name, "it is told of twice")).collect::<Vec<_>>()
        };
        let mut all = twice(&given);
        all.extend(twice(&tables));
        let gone = given.iter().filter(|name| !now.contains(name) && !tables.contains(name));
        all.extend(gone.map(|name| told(name, "it is not there, and was given")));
        let more = now.iter().filter(|name| !given.contains(name) && tables.contains(name));
        all.extend(more.map(|name| told(name, "it was not given as a stream")));
        all
    }

    /// Marks that are not those of the rows that were given.
    fn marks(&self, seen: &MarksSeen) -> Vec<VerifyDifference> {
        let (manifest, found) = (self.manifest, self.found);
        let mut odd: BTreeSet<&str> = BTreeSet::new();
        for stream in &manifest.streams {
            // Of rows that were changed the marks must differ.
            let given = manifest.tables.iter().find(|table| table.table == stream.stream);
            let unchanged = given.is_some_and(|given| found.tables.contains(given));
            if !self.have_their_size(&stream.stream)
                || unchanged && seen.odd.contains(&stream.stream)
            {
                odd.insert(&stream.stream);
            }
        }
        let known = |name: &str| manifest.streams.iter().any(|stream| stream.stream == name);
        odd.extend(self.traces.marks.iter().map(|m| m.stream.as_str()).filter(|m| !known(m)));
        let what = |name: &str| format!("the marks of stream `{name}` are not those of its rows");
        odd.into_iter().map(|name| told("_windrow_manifest_marks", what(name))).collect()
    }

    /// Whether there are as many marks of a stream's rows as rows were given.
    fn have_their_size(&self, stream: &str) -> bool {
        let given = self.manifest.streams.iter().find(|given| given.stream == stream);
        let rows = given.map_or(0, |given| given.rows);
        let chunks = rows.div_ceil(MARKS_PER_CHUNK as u64);
        match self.traces.marks.iter().find(|marks| marks.stream == stream) {
            None => rows == 0,
            Some(marks) => {
                let last = u64::try_from(marks.last).ok().and_then(|last| last.checked_add(1));
                rows.checked_mul(4) == Some(marks.bytes)
                    && (marks.chunks, last) == (chunks, Some(chunks))
            }
        }
    }

    /// Whether the marks of a stream that was changed can tell which rows were.
    pub fn can_be_its_own(&self, stream: &str, seen: &MarksSeen) -> bool {
        self.have_their_size(stream) && seen.odd.contains(stream)
    }
}
