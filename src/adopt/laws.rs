//! What holds of every adoption, whatever the file holds.
#![cfg(test)]

use std::path::Path;

use proptest::prelude::*;

use super::*;
use crate::definition::{Definition, parse_definition};
use crate::digest::digest_tables;
use crate::host::SystemFiles;
use crate::model::Command;
use crate::store::{AnswerPart, Opening};

const DEFINITION: &str = r#"
[archive]
path = "a.db"
[sources.s]
base_url = "http://127.0.0.1:9"
[streams.usage]
path = "/usage"
query = { from = "{{ window.start }}" }
records = "$[*]"
key = ["id", "day"]
window = { field = "day", start = "2026-01-01", step = "1 day", format = "%Y-%m-%d" }
columns = { id = "text", day = "date", gb = "real", at = "timestamp" }
"#;

fn definition() -> Definition {
    parse_definition("windrow.toml", DEFINITION).expect("a definition")
}

fn start(definition: &Definition) -> RunStart<'_> {
    let now = crate::model::instant_from_text("2026-02-01T00:00:00Z").expect("an instant");
    RunStart { command: Command::Adopt, version: "0", definition: &definition.text, now }
}

fn open(folder: &Path) -> Archive {
    let files = &SystemFiles;
    let opening = Opening { note: "test", now: "now", allow_network_fs: true, files };
    Archive::open(&folder.join("a.db"), &opening).expect("an archive")
}

/// Records of few keys, some of which cannot be rows.
fn records() -> impl Strategy<Value = Vec<String>> {
    let gb = prop_oneof![4 => (0_u8..3).prop_map(|n| n.to_string()), 1 => Just("\"x\"".to_owned())];
    let record = (0_u8..3, 1_u8..4, gb, 0_u8..3).prop_map(|(id, day, gb, at)| {
        format!(
            r#"{{"id":"{id}","day":"2026-01-0{day}","gb":{gb},"at":"2026-01-0{}T00:00:00Z"}}"#,
            at + 1
        )
    });
    prop::collection::vec(record, 1..24)
}

fn rules() -> impl Strategy<Value = Keep> {
    let column = || "at".to_owned();
    prop_oneof![
        Just(Keep::First),
        Just(Keep::Last),
        Just(Keep::Newest(column())),
        Just(Keep::Highest("gb".to_owned())),
        Just(Keep::Api),
    ]
}

/// Adopts these lines; none where no record can be a row.
fn adopt(folder: &Path, archive: &Archive, lines: &[String], keep: &Keep) -> Option<AdoptReport> {
    let definition = definition();
    let path = folder.join("f.ndjson");
    std::fs::write(&path, lines.join("\n")).expect("a file");
    let request = AdoptRequest {
        path: &path,
        table: None,
        stream: &definition.streams[0],
        stored: None,
        keep: Some(keep.clone()),
        fields: FieldRules::default(),
    };
    let prepared = prepare(request, &Stop::never()).ok()?;
    let shown = prepared.survey(Some(&Reader::open(archive.path()).expect("a reader")));
    let report = prepared.apply(archive, &start(&definition)).expect("adopted");
    let shown = shown.expect("shown");
    let (mut said, mut done) = (shown.clone(), report.clone());
    (said.run, done.run, said.proof, done.proof) = (None, None, None, None);
    assert_eq!(format!("{said:?}"), format!("{done:?}"), "what is shown is what is done");
    Some(report)
}

/// All that the archive says, but for the log of its runs.
fn content(archive: &Archive) -> Vec<String> {
    let reader = Reader::open(archive.path()).expect("a reader");
    let ask = |sql: &str| {
        let mut lines = Vec::new();
        let take = &mut |part: AnswerPart<'_>| {
            lines.extend(part.row().map(|values| format!("{values:?}")));
            Ok(())
        };
        reader.query(sql, take).expect(sql);
        lines
    };
    let mut all = ask("SELECT * FROM sqlite_schema ORDER BY name");
    for table in ["streams", "ledger", "rejects", "adoptions", "adopted", "adopted_removed"] {
        all.extend(ask(&format!("SELECT * FROM _windrow_{table}")));
    }
    if !ask("SELECT 1 FROM sqlite_schema WHERE name = 'usage'").is_empty() {
        all.extend(ask("SELECT * FROM usage"));
    }
    all
}

fn digest(archive: &Archive) -> String {
    let reader = Reader::open(archive.path()).expect("a reader");
    format!("{:?}", digest_tables(&reader).expect("digests"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn adopting_is_idempotent_and_each_record_is_counted_once(
        lines in records(), keep in rules(),
    ) {
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(folder.path());
        let Some(report) = adopt(folder.path(), &archive, &lines, &keep) else { return Ok(()) };
        let found = &report.found;
        let rejected: u64 = found.rejects.iter().map(|reject| reject.count).sum();
        prop_assert_eq!(report.records, found.keys + found.duplicates + rejected);
        prop_assert_eq!(found.keys, found.new + found.undecided);
        let (before, sums) = (content(&archive), digest(&archive));
        let again = adopt(folder.path(), &archive, &lines, &keep).expect("rows");
        prop_assert!(again.already);
        prop_assert_eq!(content(&archive), before);
        // The same records twice over are another file, and say nothing new of any key.
        let twice = [lines.clone(), lines].concat();
        let more = adopt(folder.path(), &archive, &twice, &keep).expect("rows");
        prop_assert_eq!(more.found.new, 0);
        prop_assert_eq!(digest(&archive), sums);
    }

    #[test]
    fn an_undo_gives_back_what_was_there(
        first in records(), second in records(), keep in rules(),
    ) {
        // The same records by another rule are refused.
        prop_assume!(first != second);
        let folder = tempfile::tempdir().expect("a folder");
        let archive = open(folder.path());
        let definition = definition();
        adopt(folder.path(), &archive, &first, &Keep::First);
        let before = content(&archive);
        let known = archive.adoptions().expect("adoptions").len();
        adopt(folder.path(), &archive, &second, &keep);
        let adoptions = archive.adoptions().expect("adoptions");
        if adoptions.len() > known {
            let stream = definition.streams.first();
            undo(&archive, &adoptions[0], stream, &start(&definition)).expect("undone");
        }
        prop_assert_eq!(content(&archive), before);
    }
}
