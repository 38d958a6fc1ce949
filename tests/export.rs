//! `windrow export`: every value arrives as it is, in whole files or none, all of one moment.

use std::path::Path;

use parquet::basic::{Compression, LogicalType, Repetition, TimeUnit};
use parquet::file::metadata::ParquetMetaData;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use crate::api::{Api, FAST, UsageApi, items_definition, json, nine_days};
use crate::harness::{Ran, Workspace, execute};

fn synced(more: &str) -> (UsageApi, Workspace) {
    let api = UsageApi::start(nine_days(), 50);
    let workspace = Workspace::new(&api.definition(more));
    workspace.sync();
    (api, workspace)
}

const TYPES: &str = "columns = { id = \"integer\", name = \"text\", gb = \"real\", \
    price = \"decimal\", any = \"number\", yes = \"boolean\", day = \"date\", at = \"timestamp\", \
    doc = \"json\", raw = \"blob\" }";

const NASTY: [&str; 4] = [
    r#"{"id":-9223372036854775808,"name":"é \"q\", a\nb","gb":1.7976931348623157e308,
        "price":12345678901234567890123456789012345.25,"any":9007199254740993,"yes":true,
        "day":"1969-12-31","at":"1969-12-31T23:59:59.999999Z","doc":{"b":[1,2.50,"x\ny"],"a":null},
        "raw":"AAECAw==","more":1.10}"#,
    r#"{"id":0,"name":"","gb":0.5,"price":-0.1,"any":-1,"yes":false,"day":"0001-01-01",
        "at":"9999-12-31T23:59:59.999999Z","doc":"","raw":""}"#,
    r#"{"id":1,"name":null,"gb":null,"price":null,"any":null,"yes":null,"day":null,"at":null,
        "doc":null,"raw":null}"#,
    r#"{"id":9223372036854775807,"name":"=1+1","gb":5e-324,"price":1e3,"any":0.5,"yes":true,
        "day":"9999-12-31","at":"2026-01-01T00:00:00Z","doc":[],"raw":"/w=="}"#,
];

/// An archive with a stream `items` of these records.
fn items(records: &[&str]) -> Workspace {
    let body = format!("{{\"data\":[{}]}}", records.join(","));
    let api = Api::start(move |_, _| json(&body));
    let workspace = Workspace::new(&items_definition(&api.address, FAST, TYPES));
    workspace.sync();
    workspace
}

fn export(workspace: &Workspace, more: &[&str]) -> Ran {
    workspace.run(&[&["export"], more].concat())
}

fn open(path: &Path) -> SerializedFileReader<std::fs::File> {
    let file = std::fs::File::open(path).expect("a file");
    SerializedFileReader::new(file).expect("Parquet")
}

/// `name type` of each column.
fn types(metadata: &ParquetMetaData) -> Vec<String> {
    let columns = metadata.file_metadata().schema_descr().columns().iter();
    let line = |column: &parquet::schema::types::ColumnDescPtr| {
        let kind = match column.logical_type_ref() {
            Some(LogicalType::Timestamp(t)) => {
                assert!(t.is_adjusted_to_u_t_c && t.unit == TimeUnit::MICROS);
                "TIMESTAMP".to_owned()
            }
            Some(LogicalType::Decimal(d)) => format!("DECIMAL({},{})", d.precision, d.scale),
            Some(logical) => format!("{logical:?}").to_uppercase(),
            None => column.physical_type().to_string(),
        };
        let required = column.self_type().get_basic_info().repetition() == Repetition::REQUIRED;
        format!("{} {kind}{}", column.name(), if required { " REQUIRED" } else { "" })
    };
    columns.map(line).collect()
}

fn cell(field: &Field) -> String {
    match field {
        Field::Null => "NULL".to_owned(),
        Field::Str(text) => text.clone(),
        Field::Bytes(bytes) => format!("{:?}", bytes.data()),
        Field::Double(number) => format!("{number:?}"),
        Field::TimestampMicros(micros) => micros.to_string(),
        Field::Date(days) => days.to_string(),
        other => other.to_string(),
    }
}

/// The values of a column, in the order of the file.
fn column(path: &Path, name: &str) -> Vec<String> {
    let rows = open(path).into_iter().map(|row| row.expect("a row"));
    let value = |row: parquet::record::Row| {
        let found = row.get_column_iter().find(|(have, _)| *have == name);
        cell(found.expect(name).1)
    };
    rows.map(value).collect()
}

/// What a file says of itself.
fn said(path: &Path, name: &str) -> Option<String> {
    let reader = open(path);
    let metadata = reader.metadata().file_metadata();
    let pairs = metadata.key_value_metadata().expect("metadata");
    let name = format!("windrow.{name}");
    pairs.iter().find(|pair| pair.key == name).and_then(|pair| pair.value.clone())
}

#[test]
fn every_type_arrives_in_parquet_as_what_it_is() {
    let workspace = items(&NASTY);
    let ran = export(&workspace, &["items", "-o", "items.parquet"]).expect(0);
    assert!(ran.stdout.starts_with("items.parquet: 4 rows, "), "{ran:?}");
    assert_eq!(ran.stderr, "");
    let path = workspace.path("items.parquet");
    let reader = open(&path);
    assert_eq!(
        types(reader.metadata()),
        [
            "id INT64 REQUIRED",
            "name STRING",
            "gb DOUBLE",
            "price DECIMAL(38,2)",
            "any DECIMAL(18,1)",
            "yes BOOLEAN",
            "day DATE",
            "at TIMESTAMP",
            "doc STRING",
            "raw BYTE_ARRAY",
            "_rest STRING",
        ]
    );
    let is = |name: &str, values: [&str; 4]| assert_eq!(column(&path, name), values, "{name}");
    is("id", ["-9223372036854775808", "0", "1", "9223372036854775807"]);
    is("name", ["é \"q\", a\nb", "", "NULL", "=1+1"]);
    is("gb", ["1.7976931348623157e308", "0.5", "NULL", "5e-324"]);
    is("price", ["12345678901234567890123456789012345.25", "-0.10", "NULL", "1000.00"]);
    is("any", ["9007199254740993.0", "-1.0", "NULL", "0.5"]);
    is("yes", ["true", "false", "NULL", "true"]);
    is("day", ["-1", "-719162", "NULL", "2932896"]);
    is("at", ["-1", "253402300799999999", "NULL", "1767225600000000"]);
    is("doc", [r#"{"a":null,"b":[1,2.50,"x\ny"]}"#, "\"\"", "NULL", "[]"]);
    is("raw", ["[0, 1, 2, 3]", "[]", "NULL", "[255]"]);
    is("_rest", ["{\"more\":1.10}", "NULL", "NULL", "NULL"]);
}

#[test]
fn what_a_type_does_not_hold_is_kept_as_text_and_told() {
    let record = |id: u8, price: &str, any: &str, at: &str| {
        format!(r#"{{"id":{id},"price":{price},"any":{any},"at":"{at}"}}"#)
    };
    let first = record(1, "1e38", "1e400", "2026-01-01T00:00:00.123456789Z");
    let second = record(2, "0.1", "1", "2026-01-01T00:00:00Z");
    let workspace = items(&[&first, &second]);
    execute(&workspace.path("a.db"), "UPDATE items SET yes = 2, day = '2026-02-30' WHERE id = 2");
    let ran = export(&workspace, &["--out", "out"]).expect(0);
    let path = workspace.path("out/items.parquet");
    let types = types(open(&path).metadata());
    for expected in ["price STRING", "any STRING", "at STRING", "day STRING", "yes INT64"] {
        assert!(types.iter().any(|have| have == expected), "{expected}: {types:?}");
    }
    assert_eq!(column(&path, "price"), ["1e38", "0.1"]);
    assert_eq!(column(&path, "any"), ["1e400", "1"]);
    assert_eq!(column(&path, "at")[0], "2026-01-01T00:00:00.123456789+00:00");
    assert_eq!(
        (&column(&path, "day")[1], &column(&path, "yes")[1]),
        (&"2026-02-30".into(), &"2".into())
    );
    for note in [
        "note: `items.at` is written as text: `2026-01-01T00:00:00.123456789+00:00` does not fit \
         timestamp",
        "note: `items.price` is written as text: its values have 39 digits before the point and 1 after",
        "note: `items.yes` is written as integer: 2 does not fit boolean",
        "note: `items.day` is written as text: `2026-02-30` does not fit date",
    ] {
        assert!(ran.stderr.contains(note), "{note}: {}", ran.stderr);
    }
}

#[test]
fn no_rows_are_a_file_with_columns_and_without_rows() {
    let workspace = items(&NASTY);
    export(&workspace, &["items", "-o", "none.parquet", "--where", "0"]).expect(0);
    let reader = open(&workspace.path("none.parquet"));
    assert_eq!((reader.num_row_groups(), reader.metadata().file_metadata().num_rows()), (0, 0));
    assert_eq!(types(reader.metadata()).len(), 11);
}

#[test]
fn numbers_are_the_narrowest_type_that_holds_them_all() {
    for (values, expected, read) in [
        (["1", "-2"], "any INT64", ["1", "-2"]),
        (["1", "0.5"], "any DOUBLE", ["1.0", "0.5"]),
        (["9007199254740993", "0.5"], "any DECIMAL(18,1)", ["9007199254740993.0", "0.5"]),
        (["null", "null"], "any DOUBLE", ["NULL", "NULL"]),
    ] {
        let records: Vec<String> =
            (0..2).map(|n| format!(r#"{{"id":{n},"any":{}}}"#, values[n])).collect();
        let workspace = items(&[&records[0], &records[1]]);
        export(&workspace, &["items", "-o", "x.parquet"]).expect(0);
        let path = workspace.path("x.parquet");
        assert_eq!(types(open(&path).metadata())[4], expected);
        assert_eq!(column(&path, "any"), read);
    }
}

#[test]
fn a_file_says_where_its_rows_come_from_and_what_they_cover() {
    let (_api, workspace) = synced("");
    let gap = "UPDATE _windrow_ledger SET state = 'partial' WHERE start_at LIKE '2026-01-04%'";
    execute(&workspace.path("a.db"), gap);
    export(&workspace, &["usage", "-o", "usage.parquet", "--where", "gb > 2"]).expect(0);
    let path = workspace.path("usage.parquet");
    let says = |name: &str| said(&path, name).unwrap_or_default();
    assert_eq!((says("stream"), says("key")), ("usage".into(), r#"["id","day"]"#.into()));
    assert_eq!((says("rows"), says("where")), ("24".into(), "gb > 2".into()));
    assert_eq!((says("version"), says("last_run")), (env!("CARGO_PKG_VERSION").into(), "1".into()));
    assert_eq!(says("exported_at"), "2026-01-10T12:00:00+00:00");
    assert_eq!(says("watermark"), "2026-01-04T00:00:00+00:00");
    let types = r#"{"id":"text","day":"date","gb":"real","updated_at":"timestamp"}"#;
    assert_eq!(says("columns"), types);
    let coverage: serde_json::Value = serde_json::from_str(&says("coverage")).expect("JSON");
    let day = |day: &str| format!("2026-01-{day}:00:00+00:00");
    let complete = [[day("01T00"), day("04T00")], [day("05T00"), day("10T12")]];
    assert_eq!(coverage["complete"], serde_json::json!(complete));
    assert_eq!(coverage["gaps"], serde_json::json!([[day("04T00"), day("05T00")]]));
    let reader = open(&path);
    let file = reader.metadata().file_metadata();
    assert!(file.created_by().is_some_and(|by| by.starts_with("windrow version ")));
    let group = reader.metadata().row_group(0);
    assert!(matches!(group.column(0).compression(), Compression::ZSTD(_)));
    let statistics = group.column(1).statistics().expect("statistics");
    assert!(statistics.null_count_opt() == Some(0) && statistics.min_bytes_opt().is_some());
    let sorted = group.sorting_columns().expect("sorted").iter();
    assert_eq!(sorted.map(|column| column.column_idx).collect::<Vec<_>>(), [0, 1]);
}

#[test]
fn row_groups_are_bounded_by_rows_and_by_bytes() {
    let (_api, workspace) = synced("");
    let fill = |rows: u32, id: &str| {
        format!(
            "DELETE FROM usage; WITH RECURSIVE n(i) AS
             (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {rows})
             INSERT INTO usage SELECT {id}, '2026-01-01', i, NULL, NULL, '', '', 1, 1 FROM n"
        )
    };
    let groups = |fill: &str| -> Vec<i64> {
        execute(&workspace.path("a.db"), fill);
        export(&workspace, &["usage", "-o", "usage.parquet", "--force"]).expect(0);
        let reader = open(&workspace.path("usage.parquet"));
        reader.metadata().row_groups().iter().map(|group| group.num_rows()).collect()
    };
    assert_eq!(groups(&fill(130_000, "i")), [122_880, 7_120]);
    let path = workspace.path("usage.parquet");
    assert_eq!(
        column(&path, "gb").iter().filter_map(|n| n.parse::<f64>().ok()).sum::<f64>(),
        8_450_065_000.0
    );
    assert_eq!(groups(&fill(40, "i || hex(zeroblob(524288))")), [32, 8]);
}

#[test]
fn partitions_are_folders_that_readers_know_and_lose_no_value() {
    let records = [
        r#"{"id":2,"day":"2026-01-31","at":"2025-12-31T23:59:59.9Z"}"#,
        r#"{"id":1,"day":"2026-01-01","at":"2026-01-01T00:00:00Z"}"#,
        r#"{"id":3,"day":"2026-02-01","at":"2026-01-01T00:00:00Z"}"#,
        r#"{"id":4,"day":null,"at":"2026-01-01T00:00:00Z"}"#,
    ];
    let workspace = items(&records);
    let parts = |by: &str, out: &str| -> Vec<String> {
        let ran = export(&workspace, &["items", "--partition-by", by, "-o", out]).expect(0);
        assert!(ran.stdout.contains("4 rows in "), "{ran:?}");
        let folder = workspace.path(out).join("items");
        let entries = std::fs::read_dir(&folder).expect("partitions").flatten();
        let mut parts: Vec<String> = entries
            .map(|entry| {
                let path = entry.path().join("part-0.parquet");
                let (ids, days) = (column(&path, "id").join(" "), column(&path, "day").join(" "));
                assert_eq!(said(&path, "rows"), Some(ids.split(' ').count().to_string()));
                format!("{}: {ids} | {days}", entry.file_name().to_string_lossy())
            })
            .collect();
        parts.sort();
        parts
    };
    let months = [
        "day_month=2026-01: 1 2 | 20454 20484",
        "day_month=2026-02: 3 | 20485",
        "day_month=__HIVE_DEFAULT_PARTITION__: 4 | NULL",
    ];
    assert_eq!(parts("day", "months"), months);
    assert_eq!(parts("at:year", "years").len(), 2);
    assert_eq!(parts("day:day", "days").len(), 4);
    let path = workspace.path("months/items/day_month=2026-01/part-0.parquet");
    assert_eq!(said(&path, "partitioned_by").as_deref(), Some("day_month"));
    // What is not made by an export is not replaced by one.
    std::fs::write(workspace.path("months/items/mine.txt"), "mine").expect("a file");
    let again = ["items", "--partition-by", "day", "-o", "months"];
    assert!(export(&workspace, &again).expect(2).stderr.contains("is there already"));
    let forced = [&again[..], &["--force"]].concat();
    assert!(export(&workspace, &forced).expect(2).stderr.contains("holds other things"));
    std::fs::remove_file(workspace.path("months/items/mine.txt")).expect("removed");
    execute(&workspace.path("a.db"), "DELETE FROM items WHERE id < 4");
    export(&workspace, &forced).expect(0);
    let folder = std::fs::read_dir(workspace.path("months/items")).expect("a folder");
    assert_eq!(folder.count(), 1, "what was there is gone as a whole");
    for (by, why) in [
        ("nope", "`items` has day, at"),
        ("name", "no date or timestamp"),
        ("day:week", "COLUMN:month"),
    ] {
        let ran = export(&workspace, &["items", "--partition-by", by, "-o", "no"]).expect(2);
        assert!(ran.stderr.contains(why), "{ran:?}");
    }
}
