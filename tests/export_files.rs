//! `windrow export`: CSV and NDJSON, where files come to lie, and what is never left behind.

use std::path::Path;
use std::process::{Child, Stdio};

use windrow::history::{RowSource, Selection, Stored};
use windrow::model::Error;
use windrow::store::Reader;

use crate::api::{Api, FAST, UsageApi, items_definition, json, nine_days};
use crate::harness::{Ran, Workspace, execute, ran};

fn synced(more: &str) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    (api, workspace)
}

fn export(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.run(&[&["export"], more].concat())
}

/// The names in a folder, hidden ones too.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    let mut names: Vec<String> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

const TYPES: &str = "columns = { id = \"integer\", name = \"text\", gb = \"real\", \
    price = \"decimal\", any = \"number\", yes = \"boolean\", doc = \"json\", raw = \"blob\" }";

fn items() -> Workspace {
    let api = Api::start(|_, _| {
        json(
            r#"{"data":[
            {"id":9223372036854775807,"name":"a, \"b\"\nc","gb":1e300,"price":1.50,
             "any":12345678901234567890.10,"yes":true,"doc":{"b":[1.10,null]},"raw":"AP8="},
            {"id":2,"name":"","gb":0.1,"price":-5,"any":7,"yes":false,"doc":"x","raw":null},
            {"id":3,"name":"=cmd()","gb":null,"price":null,"any":-7.5,"yes":null,"doc":null,
             "raw":"","more":"-1"},
            {"id":4,"name":"@\u001b[31m"}]}"#,
        )
    });
    let workspace = Workspace::new(&items_definition(&api.address, FAST, TYPES));
    workspace.sync();
    workspace
}

#[test]
fn csv_is_rfc_4180_and_tells_null_from_empty() {
    let workspace = items();
    let csv = export(&workspace, &["items", "-f", "csv"]).expect(0).stdout;
    assert_eq!(
        csv,
        "id,name,gb,price,any,yes,doc,raw,_rest\r\n\
         2,\"\",0.1,-5,7,false,\"\"\"x\"\"\",,\r\n\
         3,=cmd(),,,-7.5,,,\"\",\"{\"\"more\"\":\"\"-1\"\"}\"\r\n\
         4,@\u{1b}[31m,,,,,,,\r\n\
         9223372036854775807,\"a, \"\"b\"\"\nc\",1e+300,1.50,12345678901234567890.10,true,\
         \"{\"\"b\"\":[1.10,null]}\",AP8=,\r\n"
    );
    let guarded = export(&workspace, &["items", "-f", "csv", "--excel-safe"]).expect(0).stdout;
    assert!(guarded.contains("\r\n3,'=cmd(),,,-7.5,"), "{guarded}");
    assert!(guarded.contains("\r\n4,'@") && guarded.contains(",-5,7,"), "{guarded}");
    let odd = export(&workspace, &["items", "-f", "ndjson", "--excel-safe"]).expect(2);
    assert!(odd.stderr.contains("--excel-safe is for CSV"), "{odd:?}");
}

#[test]
fn ndjson_keeps_every_digit_and_json_as_json() {
    let workspace = items();
    let ndjson = export(&workspace, &["items", "-f", "ndjson"]).expect(0).stdout;
    let lines: Vec<&str> = ndjson.lines().collect();
    let first = r#"{"id":2,"name":"","gb":0.1,"price":-5,"any":7,"yes":false,"doc":"x","raw":null,"_rest":null}"#;
    let last = concat!(
        r#"{"id":9223372036854775807,"name":"a, \"b\"\nc","gb":1e+300,"price":1.50,"#,
        r#""any":12345678901234567890.10,"yes":true,"doc":{"b":[1.10,null]},"raw":"AP8=","_rest":null}"#
    );
    assert_eq!((lines[0], lines[3], lines.len()), (first, last, 4));
    let sql = "UPDATE items SET doc = '[1,' || char(10) || '2]', gb = 9e999 WHERE id = 2";
    execute(&workspace.path("a.db"), sql);
    let refused = export(&workspace, &["items", "-f", "ndjson"]).expect(6);
    let told = "`items` (id = 2): the column `gb` holds inf, which JSON has no number for";
    assert!(refused.stderr.contains(told), "{refused:?}");
    let rest = export(&workspace, &["items", "-f", "ndjson", "--where", "id = 2 and gb < 1"]);
    assert_eq!(rest.expect(0).stdout, "");
    execute(&workspace.path("a.db"), "UPDATE items SET gb = 1 WHERE id = 2");
    let split = export(&workspace, &["items", "-f", "ndjson", "--where", "id = 2"]).expect(0);
    assert_eq!(split.stdout.lines().count(), 1, "{split:?}");
    assert!(split.stdout.contains("\"doc\":[1, 2]"), "{split:?}");
}

#[test]
fn a_value_that_no_text_is_ends_the_export_and_names_its_place() {
    let workspace = items();
    let sql = "UPDATE items SET name = CAST(x'ff' AS TEXT) WHERE id = 3";
    execute(&workspace.path("a.db"), sql);
    for more in [&["-f", "csv"][..], &["-f", "ndjson"], &["-o", "x.parquet"]] {
        let ran = export(&workspace, &[&["items"], more].concat()).expect(6);
        assert!(ran.stderr.contains("`items` (id = 3): the column `name` holds `"), "{ran:?}");
        assert!(ran.stderr.contains("not UTF-8"), "{ran:?}");
    }
    assert!(!names(workspace.folder()).iter().any(|name| name.contains("x.parquet")));
}

#[test]
fn streams_go_to_a_folder_and_one_to_a_file_or_standard_output() {
    let (_api, workspace) = synced("");
    let all = export(&workspace, &[]).expect(0);
    assert!(all.stdout.starts_with("a-export/usage.parquet: 27 rows, "), "{all:?}");
    assert_eq!(names(&workspace.path("a-export")), ["usage.parquet"]);
    let again = export(&workspace, &[]).expect(2);
    assert!(again.stderr.contains("--force replaces it"), "{again:?}");
    export(&workspace, &["--force"]).expect(0);
    export(&workspace, &["usage", "-o", "deep/er", "-f", "csv"]).expect(0);
    assert_eq!(names(&workspace.path("deep/er")), ["usage.csv"]);
    export(&workspace, &["usage", "-o", "u.jsonl"]).expect(0);
    let lines = std::fs::read_to_string(workspace.path("u.jsonl")).expect("a file");
    assert_eq!(lines.lines().count(), 27);
    assert_eq!(export(&workspace, &["usage", "-f", "ndjson", "-o", "-"]).expect(0).stdout, lines);
    let told = export(&workspace, &["usage", "-o", "u.csv", "--json"]).expect(0).json();
    let stream = &told["streams"][0];
    assert_eq!((&stream["rows"], &stream["path"]), (&27.into(), &"u.csv".into()));
    assert_eq!(stream["columns"][1], serde_json::json!({"name": "day", "type": "date"}));
    let size = std::fs::metadata(workspace.path("u.csv")).expect("a file").len();
    assert_eq!(stream["bytes"], size);
    for (arguments, why) in [
        (&["-o", "u.parquet"][..], "one file takes one stream"),
        (&["usage", "-o", "p.csv", "--partition-by", "day"], "one file takes one stream"),
        (&["usage", "-o", "-"], "standard output takes one stream"),
        (&["-f", "csv", "-o", "-"], "standard output takes one stream"),
        (&["usage", "-f", "csv", "--json"], "standard output is full of rows"),
        (&["usage", "-f", "csv", "-o", "x.parquet"], "disagree"),
        (&["usage", "-o", "a.db", "--force"], "a.db is the archive itself"),
        (&["usage", "-o", "a-export/usage.parquet/x.csv"], "Not a directory"),
        (&["usge"], "has no stream `usge`"),
        (&["usage", "-f", "csv", "--where", "nope = 1"], "no such column: nope"),
        (
            &["usage", "-f", "csv", "--where", "1); DELETE FROM usage; --"],
            "near \")\": syntax error",
        ),
    ] {
        let ran = export(&workspace, arguments);
        assert!(ran.code == 2 || ran.code == 8, "{arguments:?}: {ran:?}");
        assert!(ran.stderr.contains(why), "{arguments:?}: {ran:?}");
    }
    assert_eq!(workspace.value("SELECT count(*) FROM usage"), "27");
    std::fs::create_dir(workspace.path("d.csv")).expect("a folder");
    let folder = export(&workspace, &["usage", "-o", "d.csv", "--force"]).expect(2);
    assert!(folder.stderr.contains("d.csv is a folder, where a file is to be"), "{folder:?}");
}

#[test]
fn own_columns_come_when_asked_for_and_rows_that_are_gone_with_them() {
    let (_api, workspace) = synced("");
    let sql = "ALTER TABLE usage ADD COLUMN _deleted_at TEXT;
        UPDATE usage SET _deleted_at = '2026-01-10T00:00:00+00:00' WHERE id = 'SL-1'";
    execute(&workspace.path("a.db"), sql);
    let plain = export(&workspace, &["usage", "-f", "csv"]).expect(0).stdout;
    assert_eq!(plain.lines().count(), 1 + 18);
    assert!(plain.starts_with("id,day,gb,updated_at,_rest\r\n") && !plain.contains("SL-1"));
    let own = export(&workspace, &["usage", "-f", "csv", "--own-columns"]).expect(0).stdout;
    let head = "id,day,gb,updated_at,_rest,_first_seen_at,_changed_at,_revision,_run,_deleted_at";
    assert!(own.starts_with(head), "{own}");
    assert_eq!(own.lines().filter(|l| l.ends_with("2026-01-10T00:00:00+00:00")).count(), 9);
    let path = workspace.path("o.parquet");
    export(&workspace, &["usage", "--own-columns", "-o", "o.parquet"]).expect(0);
    assert!(path.exists());
}

#[test]
fn an_export_of_the_past_is_what_the_archive_said_then() {
    let (api, workspace) = synced("history = true");
    api.change(|records| records.iter_mut().for_each(|record| record.gb += 100.0));
    workspace.sync();
    let csv = |more: &[&str]| {
        export(&workspace, &[&["usage", "-f", "csv"], more].concat()).expect(0).stdout
    };
    let first = csv(&["--as-of", "1"]);
    assert!(first.contains("SL-1,2026-01-09,9.5,"), "{first}");
    assert!(csv(&[]).contains("SL-1,2026-01-09,109.5,"));
    export(&workspace, &["usage", "-o", "then.parquet", "--as-of", "1"]).expect(0);
    let bytes = std::fs::read(workspace.path("then.parquet")).expect("a file");
    let has = |text: &[u8]| bytes.windows(text.len()).any(|window| window == text);
    assert!(has(b"windrow.as_of") && !has(b"windrow.coverage"));
    let (_api, without) = synced("");
    let refused = export(&without, &["usage", "-f", "csv", "--as-of", "1"]).expect(2);
    assert!(refused.stderr.contains("the stream `usage` has no history"), "{refused:?}");
}

#[test]
fn all_streams_are_of_one_moment_whatever_is_written_meanwhile() {
    let (_api, workspace) = synced("");
    let path = workspace.path("a.db");
    let sql = "CREATE TABLE usage_b AS SELECT * FROM usage;
        INSERT INTO _windrow_streams (stream, key, columns, inferred, start_at, created_at)
        SELECT 'usage_b', key, columns, inferred, start_at, created_at FROM _windrow_streams";
    execute(&path, sql);
    // So slow that the rows are deleted long before the second stream is read.
    let slow = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000) \
        SELECT max(i) FROM n) > 0";
    let arguments = ["export", "-f", "csv", "-o", "out", "--where", slow];
    let mut child = workspace.command(&arguments).stdout(Stdio::null()).spawn().expect("it starts");
    wait_for(&workspace, "out/.usage_b.csv.partial", &mut child);
    execute(&path, "DELETE FROM usage; DELETE FROM usage_b");
    assert!(child.wait().expect("it ends").success());
    for name in ["out/usage.csv", "out/usage_b.csv"] {
        let text = std::fs::read_to_string(workspace.path(name)).expect(name);
        assert_eq!(text.lines().count(), 1 + 27, "{name}");
    }
}

#[test]
fn a_reader_that_holds_a_moment_sees_nothing_later() {
    let (_api, workspace) = synced("");
    let path = workspace.path("a.db");
    let reader = Reader::open(&path).expect("a reader");
    reader.hold_snapshot().expect("a moment");
    execute(&path, "DELETE FROM usage WHERE id = 'SL-1'");
    let columns = ["gb".to_owned()];
    let selection = Selection {
        stream: "usage",
        columns: &columns,
        condition: None,
        alive: false,
        prefix: None,
        order: &[],
    };
    let mut rows = 0;
    let scanned = RowSource::Now(reader).scan::<Error>(&selection, |row| {
        assert!(matches!(row, [Stored::Real(_)]));
        rows += 1;
        Ok(())
    });
    scanned.expect("rows");
    assert_eq!((rows, workspace.value("SELECT count(*) FROM usage")), (27, "18".to_owned()));
}

#[test]
fn a_table_that_is_not_what_the_archive_says_is_named_and_not_bent() {
    let (_api, workspace) = synced("");
    let path = workspace.path("a.db");
    let sql = "ALTER TABLE usage RENAME TO other; CREATE TABLE usage AS SELECT * FROM other;
        UPDATE usage SET gb = 'much' WHERE id = 'SL-1' AND day = '2026-01-02'";
    execute(&path, sql);
    let ran = export(&workspace, &["usage", "-o", "u.parquet"]).expect(6);
    let told = "`usage` (id = `SL-1`, day = `2026-01-02`): the column `gb` holds `much`, which is \
        no double";
    assert!(ran.stderr.contains(told), "{ran:?}");
    let csv = export(&workspace, &["usage", "-f", "csv"]).expect(0).stdout;
    assert!(csv.contains("SL-1,2026-01-02,much,"), "{csv}");
    execute(&path, "UPDATE usage SET gb = 1, id = NULL WHERE gb = 'much'");
    let ran = export(&workspace, &["usage", "-o", "u.parquet"]).expect(6);
    assert!(ran.stderr.contains("the column `id` holds NULL, in a column of the key"), "{ran:?}");
    assert!(!workspace.path("u.parquet").exists());
}

#[test]
fn whoever_closes_the_pipe_has_seen_enough() {
    let (_api, workspace) = synced("");
    let mut command = workspace.command(&["export", "usage", "-f", "csv"]);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    drop(child.stdout.take());
    let ended = ran(&child.wait_with_output().expect("it ends")).expect(0);
    assert_eq!(ended.stderr, "");
}

#[test]
fn a_stream_with_the_name_of_another_place_is_refused() {
    let (_api, workspace) = synced("");
    let sql = "ALTER TABLE usage RENAME TO \"../evil\";
        UPDATE _windrow_streams SET stream = '../evil'";
    execute(&workspace.path("a.db"), sql);
    let ran = export(&workspace, &["-o", "in/side"]).expect(2);
    assert!(ran.stderr.contains("has a name that no file should have"), "{ran:?}");
    assert!(!workspace.path("in/evil.parquet").exists());
    export(&workspace, &["../evil", "-o", "tame.csv"]).expect(0);
}

/// Never true, and never done.
const ENDLESS: &str = "(WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) \
    SELECT max(i) FROM n) < 0";

/// An export that does not end by itself, once it has begun its file.
fn endless(workspace: &Workspace, more: &[&str], partial: &str) -> Child {
    let arguments = [&["export", "usage", "--where", ENDLESS], more].concat();
    let mut command = workspace.command(&arguments);
    let mut child =
        command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("it starts");
    wait_for(workspace, partial, &mut child);
    child
}

fn wait_for(workspace: &Workspace, file: &str, child: &mut Child) {
    while !workspace.path(file).exists() {
        let ended = child.try_wait().expect("a process");
        assert!(ended.is_none(), "{file} was never made: {ended:?}");
        std::thread::yield_now();
    }
}

#[cfg(unix)]
fn signal(child: &Child, signal: &str) {
    let kill = std::process::Command::new("kill").args([signal, &child.id().to_string()]).status();
    assert!(kill.expect("kill runs").success());
}

#[cfg(unix)]
#[test]
fn whoever_is_interrupted_leaves_nothing() {
    let (_api, workspace) = synced("");
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        for (more, partial) in [
            (&["-o", "u.parquet"][..], ".u.parquet.partial"),
            (&["-o", "out", "--partition-by", "day"], "out/.usage.parts"),
        ] {
            let child = endless(&workspace, more, partial);
            signal(&child, name);
            let ended = ran(&child.wait_with_output().expect("it ends")).expect(code);
            assert!(ended.stderr.contains("stopped: no file was made"), "{ended:?}");
            assert!(!names(workspace.folder()).iter().any(|name| name.contains("u.parquet")));
        }
        assert!(names(&workspace.path("out")).is_empty());
    }
}

#[cfg(unix)]
#[test]
fn whoever_is_killed_leaves_no_final_name_and_the_next_one_cleans_up() {
    let (_api, workspace) = synced("");
    for (more, partial, whole) in [
        (&["-o", "u.parquet"][..], ".u.parquet.partial", "u.parquet"),
        (&["-o", "out", "--partition-by", "day"], "out/.usage.parts", "out/usage"),
    ] {
        let mut child = endless(&workspace, more, partial);
        let arguments = [&["usage"], more].concat();
        let second = export(&workspace, &arguments).expect(2);
        assert!(second.stderr.contains("another export is writing"), "{second:?}");
        signal(&child, "-KILL");
        child.wait().expect("it ends");
        assert!(workspace.path(partial).exists() && !workspace.path(whole).exists());
        export(&workspace, &arguments).expect(0);
        assert!(!workspace.path(partial).exists() && workspace.path(whole).exists());
    }
    assert_eq!(names(&workspace.path("out")), ["usage"]);
}

#[cfg(unix)]
#[test]
fn a_disk_that_is_full_is_8_and_leaves_what_was_there() {
    let (_api, workspace) = synced("");
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 40)
        INSERT INTO usage SELECT hex(randomblob(4096)), '2026-02-01', i, NULL, NULL, '', '', 1, 1
        FROM n";
    for format in ["csv", "ndjson", "parquet"] {
        let file = format!("u.{format}");
        export(&workspace, &["usage", "-o", &file]).expect(0);
        let before = std::fs::read(workspace.path(&file)).expect("a file");
        execute(&workspace.path("a.db"), fill);
        // A limit on the size of files stands for the end of the disk.
        let program = env!("CARGO_BIN_EXE_windrow");
        let script = format!("ulimit -f 64; \"{program}\" export usage --force -o {file}");
        let mut command = std::process::Command::new("sh");
        command.args(["-c", &script]).current_dir(workspace.folder());
        let full = ran(&command.output().expect("a shell")).expect(8);
        assert!(full.stderr.contains("help: look at the space"), "{full:?}");
        assert_eq!(std::fs::read(workspace.path(&file)).expect("a file"), before);
        execute(&workspace.path("a.db"), "DELETE FROM usage WHERE day = '2026-02-01'");
    }
    assert!(!names(workspace.folder()).iter().any(|name| name.contains("partial")));
}

#[cfg(unix)]
#[test]
fn nobody_else_reads_an_export_unless_its_owner_says_so() {
    use std::os::unix::fs::PermissionsExt;
    let (_api, workspace) = synced("");
    export(&workspace, &["-o", "out"]).expect(0);
    let mode = |name: &str| workspace.path(name).metadata().expect(name).permissions().mode();
    assert_eq!((mode("out") & 0o777, mode("out/usage.parquet") & 0o777), (0o700, 0o600));
}
