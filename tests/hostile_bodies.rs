//! Bodies that are meant to break a reader, or to fill its memory: what can be kept is kept to the
//! last digit, what cannot is told, and the peak of memory is bounded.

use crate::api::{Api, FAST, Reply, items_definition, json};
use crate::harness::{Workspace, counts};

/// A workspace that has synced this body.
fn synced(body: &str, stream: &str) -> (Api, Workspace, serde_json::Value) {
    let body = body.to_owned();
    let api = Api::start(move |_, _| json(&body));
    let stream = format!("max_rejects = 1000\n{stream}");
    let workspace = Workspace::new(&items_definition(&api.address, FAST, &stream));
    let report = workspace.sync().json();
    (api, workspace, report)
}

const NUMBERS: &str = r#"{"data":[{"id":9007199254740993,"a":18446744073709551615,
    "b":10000000000000000000000,"c":0.123456789012345678901234567890,"d":1.10,"e":1E400,"f":-0,
    "g":-9223372036854775808}]}"#;

#[test]
fn every_number_is_kept_exactly_and_as_its_digits_where_the_column_says_so() {
    let (_api, workspace, _) = synced(NUMBERS, "");
    let sql = "SELECT id, a, typeof(a), b, c, d, e, f, g FROM items";
    assert_eq!(
        workspace.value(sql),
        "9007199254740993|18446744073709551615|text|1e22|0.123456789012345678901234567890|1.1|\
         1E400|-0.0|-9223372036854775808"
    );
    let names = ["a", "b", "c", "d", "e", "f", "g"];
    let columns = names.map(|name| format!("{name} = \"decimal\""));
    let columns = format!("columns = {{ id = \"integer\", {} }}", columns.join(", "));
    let (_api, workspace, _) = synced(NUMBERS, &columns);
    assert_eq!(
        workspace.value("SELECT id, a, b, c, d, e, f, g FROM items"),
        "9007199254740993|18446744073709551615|10000000000000000000000|\
         0.123456789012345678901234567890|1.10|1E400|-0|-9223372036854775808"
    );
    let sum = "SELECT count(*) FROM items WHERE id = 9007199254740993";
    assert_eq!(workspace.value(sum), "1", "and not its neighbour 9007199254740992");
}

#[test]
fn a_number_that_a_column_cannot_hold_is_a_reject_with_its_digits() {
    let body = r#"{"data":[{"id":1,"n":18446744073709551615},{"id":2,"n":1E400},{"id":3,"n":7}]}"#;
    let columns = "columns = { id = \"integer\", n = \"integer\" }";
    let (_api, workspace, report) = synced(body, columns);
    assert_eq!(counts(&report, "items"), "3 1 0 0 0 2");
    assert_eq!(
        workspace.rows("SELECT record FROM _windrow_rejects ORDER BY reject_id"),
        [r#"{"id":1,"n":18446744073709551615}"#, r#"{"id":2,"n":1E400}"#]
    );
}

#[test]
fn every_text_is_kept_byte_for_byte_and_half_a_letter_is_a_reject() {
    let body = "{\"data\":[{\"id\":1,\"nul\":\"a\\u0000b\",\"fe\":\"\\ufffe\",\
        \"raw\":\"\u{fffe}\",\"bom\":\"\u{feff}x\",\"face\":\"\u{1f600}\",\"pair\":\
        \"\\ud83d\\ude00\",\"nfc\":\"\u{e9}\",\"nfd\":\"e\u{301}\",\"\u{e9}\":1,\
        \"e\u{301}\":2},{\"id\":2,\"nul\":\"\\ud800\"},{\"id\":3,\"nul\":\"\\udc00\\ud800\"}]}";
    let (_api, workspace, report) = synced(body, "");
    assert_eq!(counts(&report, "items"), "3 1 0 0 0 2");
    let names = ["nul", "fe", "raw", "bom", "face", "pair", "nfc", "nfd"];
    let expected =
        ["610062", "EFBFBE", "EFBFBE", "EFBBBF78", "F09F9880", "F09F9880", "C3A9", "65CC81"];
    for (name, bytes) in names.iter().zip(expected) {
        assert_eq!(workspace.value(&format!("SELECT hex({name}) FROM items")), bytes, "{name}");
    }
    let rest = "{\"e\u{301}\":2,\"\u{e9}\":1}";
    assert_eq!(workspace.value("SELECT _rest FROM items"), rest, "two names, not one");
    let records = workspace.rows("SELECT record FROM _windrow_rejects ORDER BY reject_id");
    assert_eq!(records, [r#"{"id":2,"nul":"\ud800"}"#, r#"{"id":3,"nul":"\udc00\ud800"}"#]);
}

#[test]
fn a_byte_order_mark_is_passed_over_on_every_page() {
    let api = Api::start(|_, number| {
        let next = if number == 0 { "\"2\"" } else { "null" };
        json(&format!("\u{feff}{{\"data\":[{{\"id\":{number}}}],\"next\":{next}}}"))
    });
    let paging = "paginate = { kind = \"cursor\", next = \"$.next\" }";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paging));
    workspace.sync();
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["0", "1"]);
}

#[test]
fn names_of_members_are_data_and_never_sql() {
    let long = "k".repeat(10_000);
    let body = format!(
        r#"{{"data":[{{"id":1,"Id":2,"\"; DROP TABLE items;--":3,"__proto__":5,"":6,"name":"a",
        "Name":"b","{long}":7,"_rest":9,"_run":10,"_windrow_x":11,"select":12,"na me":13}}]}}"#
    );
    let (_api, workspace, _) = synced(&body, "");
    let row = workspace.value("SELECT id, name, \"select\", _rest FROM items");
    let sql_like = r#""":6,"\"; DROP TABLE items;--":3,"Id":2,"Name":"b","__proto__":5"#;
    let own = r#""_rest":9,"_run":10,"_windrow_x":11"#;
    let rest = format!("{{{sql_like},{own},\"{long}\":7,\"na me\":13}}");
    assert_eq!(row, format!("1|a|12|{rest}"));
    assert_eq!(workspace.value("PRAGMA integrity_check"), "ok");
}

#[test]
fn a_parent_with_a_member_that_sqlite_has_a_meaning_for_runs_each_child() {
    let api = Api::start(|asked, _| match asked.path() {
        "/items" => {
            json(r#"{"data":[{"id":1,"rowid":7,"oid":7},{"id":2,"rowid":7},{"id":3,"rowid":"x"}]}"#)
        }
        path => json(&format!(r#"{{"data":[{{"path":"{path}"}}]}}"#)),
    });
    let mut definition = items_definition(&api.address, FAST, "");
    definition.push_str(
        "\n[streams.kids]\npath = \"/kids/{{ parent.id }}\"\nfor_each = \"items\"\n\
         records = \"$.data[*]\"\nkey = \"path\"\n",
    );
    let workspace = Workspace::new(&definition);
    workspace.sync();
    let kids = workspace.rows("SELECT path FROM kids ORDER BY path");
    assert_eq!(kids, ["/kids/1", "/kids/2", "/kids/3"]);
}

#[test]
fn a_name_that_stands_twice_is_a_reject_in_a_record_and_a_broken_word_on_the_way_to_it() {
    let body = r#"{"data":[{"id":1,"v":1,"v":2},{"id":2,"v":1,"\u0076":2},{"id":3}]}"#;
    let (_api, workspace, report) = synced(body, "");
    assert_eq!(counts(&report, "items"), "3 1 0 0 0 2");
    let kinds = workspace.rows("SELECT DISTINCT kind FROM _windrow_rejects");
    assert_eq!(kinds, ["duplicate_member"]);
    crate::wire_faults::Patient::new(|_, _| json(r#"{"data":[{"id":1}],"data":[{"id":2}]}"#))
        .expect(FAST, "", 5, "found two of that name", 1);
}

#[test]
fn a_key_is_of_one_type_and_never_null_and_1_is_not_the_text_1() {
    let body = r#"{"data":[{"id":1},{"id":"1"},{"id":null},{"x":1},{"id":true},{"id":1.5}]}"#;
    let (_api, workspace, report) = synced(body, "columns = { id = \"integer\" }");
    assert_eq!(counts(&report, "items"), "6 1 0 0 0 5");
    assert_eq!(
        workspace.rows("SELECT kind, record FROM _windrow_rejects ORDER BY reject_id"),
        [
            r#"type|{"id":"1"}"#,
            r#"no_key|{"id":null}"#,
            r#"no_key|{"x":1}"#,
            r#"type|{"id":true}"#,
            r#"type|{"id":1.5}"#
        ]
    );
    // Without declared columns the first page decides; what comes later does not merge with it.
    let api = Api::start(|_, number| match number {
        0 => json(r#"{"data":[{"id":1},{"id":2}],"next":"2"}"#),
        _ => json(r#"{"data":[{"id":"1"},{"id":3}],"next":null}"#),
    });
    let paging = "paginate = { kind = \"cursor\", next = \"$.next\" }\nmax_rejects = 1";
    let workspace = Workspace::new(&items_definition(&api.address, FAST, paging));
    let report = workspace.sync().json();
    assert_eq!(counts(&report, "items"), "4 3 0 0 0 1");
    assert_eq!(workspace.value("SELECT record FROM _windrow_rejects"), r#"{"id":"1"}"#);
    assert_eq!(workspace.rows("SELECT id FROM items ORDER BY id"), ["1", "2", "3"]);
}

/// A body of raw bytes with its length.
fn raw(body: &[u8]) -> Reply {
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    Reply::Bytes([head.as_bytes(), body].concat())
}

#[test]
fn bytes_that_are_no_text_are_a_broken_word() {
    let bodies: [&'static [u8]; 3] = [
        b"{\"data\":[{\"id\":1,\"v\":\"a\xff\"}]}",
        b"{\"data\":[{\"id\":1,\"v\":\"\xed\xa0\x80\"}]}",
        b"{\"data\":[{\"id\":1,\"v\":\"\xc0\xaf\"}]}",
    ];
    for body in bodies {
        let patient = crate::wire_faults::Patient::new(move |_, _| raw(body));
        patient.expect(FAST, "", 5, "the answer is not UTF-8", 1);
    }
    let api = Api::start(|_, _| json(r#"{"data":[{"id":NaN}]}"#));
    let ran = Workspace::new(&items_definition(&api.address, FAST, "")).run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("`id`, the key, has no value"), "{ran:?}");
}

#[test]
fn a_record_that_is_too_deep_is_a_reject_and_the_rest_of_the_page_goes_on() {
    for depth in [200, 100_000] {
        let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        let body = format!(r#"{{"data":[{{"id":1,"v":{deep}}},{{"id":2}}]}}"#);
        let (_api, workspace, report) = synced(&body, "columns = { id = \"integer\" }");
        assert_eq!(counts(&report, "items"), "2 1 0 0 0 1");
        let reason = workspace.value("SELECT reason FROM _windrow_rejects");
        assert_eq!(reason, "nesting deeper than 127");
        assert_eq!(workspace.value("SELECT id FROM items"), "2");
    }
}

#[cfg(target_os = "linux")]
mod memory {
    use std::process::Stdio;
    use std::sync::Mutex;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use crate::api::{Api, FAST, Reply, items_definition, json};
    use crate::harness::{Ran, Workspace, ran};
    use crate::wire_faults::{encoded, gzip};

    /// The most that a process may ever have had in memory.
    const PEAK_MIB_MAX: u64 = 150;

    fn within_bounds(
        stream: &str,
        hostile: impl Fn() -> Reply + Send + Sync + 'static,
    ) -> (Ran, Workspace) {
        within_bounds_of(FAST, stream, hostile)
    }

    /// Syncs `items` from a hostile source and then `after`, whose answer waits until the peak of
    /// the process has been read.
    fn within_bounds_of(
        source: &str,
        stream: &str,
        hostile: impl Fn() -> Reply + Send + Sync + 'static,
    ) -> (Ran, Workspace) {
        let (tell, arrived) = channel();
        let (go, gone) = channel::<()>();
        let (tell, gone) = (Mutex::new(tell), Mutex::new(gone));
        let api = Api::start(move |asked, _| {
            if asked.path() != "/after" {
                return hostile();
            }
            let _ = tell.lock().expect("one listener").send(());
            let gone = gone.lock().expect("one waits at a time");
            let _ = gone.recv_timeout(Duration::from_secs(30));
            json(r#"{"data":[{"id":1}]}"#)
        });
        let mut definition = items_definition(&api.address, source, stream);
        definition.push_str(
            "\n[streams.after]\npath = \"/after\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n",
        );
        let workspace = Workspace::new(&definition);
        let mut command = workspace.command(&["sync", "--json"]);
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("windrow starts");
        if arrived.recv_timeout(Duration::from_secs(60)).is_err() {
            child.kill().expect("a process that has lost itself is killed");
        }
        let peak = peak_mib(child.id());
        drop(go);
        let ran = ran(&child.wait_with_output().expect("windrow ends"));
        assert!(peak < PEAK_MIB_MAX, "{peak} MiB: {}", ran.stderr);
        assert_eq!(workspace.value("SELECT count(*) FROM after"), "1");
        (ran, workspace)
    }

    /// The high-water mark of a process that still runs.
    fn peak_mib(process: u32) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).expect("it runs");
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let number = line.and_then(|line| line.split_whitespace().next());
        number.and_then(|kib| kib.parse::<u64>().ok()).expect("a number of KiB") / 1024
    }

    /// What is left of a stream whose only answer was refused.
    fn nothing_is_complete(workspace: &Workspace) {
        let sql = "SELECT count(*) FROM _windrow_ledger
            WHERE stream = 'items' AND state IN ('complete', 'settled')";
        assert_eq!(workspace.value(sql), "0");
    }

    /// A zstd frame (RFC 8878) of blocks that each say: 128 KiB of spaces.
    fn zstd_of_spaces(mib: usize) -> Vec<u8> {
        const BLOCK: u32 = 128 * 1024;
        // Magic; no checksum, no size; a window of 128 KiB.
        let mut frame = vec![0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x38];
        let blocks = mib * 8;
        for number in 1..=blocks {
            let run_length = 1_u32 << 1;
            let header = (BLOCK << 3) | run_length | u32::from(number == blocks);
            frame.extend_from_slice(&header.to_le_bytes()[..3]);
            frame.push(b' ');
        }
        frame
    }

    #[test]
    fn a_small_answer_that_grows_without_end_is_refused_in_bounded_memory() {
        let spaces = vec![b' '; 70 * 1024 * 1024];
        let small = gzip(&spaces);
        drop(spaces);
        let zstd = zstd_of_spaces(300);
        let bombs: [(&str, Vec<u8>); 2] = [("gzip", small), ("zstd", zstd)];
        for (coding, bomb) in bombs {
            let coding = coding.to_owned();
            let limits = [("", "times that"), ("\nmax_ratio = 1000000", "than 67108864 bytes")];
            for (limit, says) in limits {
                let (coding, bomb) = (coding.clone(), bomb.clone());
                let source = format!("{FAST}{limit}");
                let (ran, workspace) =
                    within_bounds_of(&source, "", move || encoded(&coding, &bomb));
                let ran = ran.expect(5);
                assert!(ran.stderr.contains(says), "{ran:?}");
                nothing_is_complete(&workspace);
            }
        }
    }

    #[test]
    fn a_body_without_an_end_is_refused_in_bounded_memory() {
        let (ran, workspace) = within_bounds("", || {
            let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
            Reply::Endless(head, [&b"10000\r\n"[..], &[b' '; 0x10000], b"\r\n"].concat())
        });
        let ran = ran.expect(5);
        assert!(ran.stderr.contains("larger than 67108864 bytes"), "{ran:?}");
        nothing_is_complete(&workspace);
    }

    #[test]
    fn a_text_of_16_mib_is_kept_in_bounded_memory() {
        const LENGTH: usize = 16 * 1024 * 1024;
        let (ran, workspace) = within_bounds("", || {
            json(&format!(r#"{{"data":[{{"id":1,"v":"{}"}}]}}"#, "x".repeat(LENGTH)))
        });
        ran.expect(0);
        let sql = "SELECT length(v), v = replace(hex(zeroblob(8388608)), '0', 'x') FROM items";
        assert_eq!(workspace.value(sql), format!("{LENGTH}|1"));
    }

    #[test]
    fn a_record_of_a_million_members_is_kept_or_told_in_bounded_memory_and_time() {
        let body = || {
            let members: Vec<String> = (0..1_000_000).map(|n| format!("\"m{n}\":1")).collect();
            json(&format!(r#"{{"data":[{{"id":1,{}}}]}}"#, members.join(",")))
        };
        let (ran, workspace) = within_bounds("columns = { id = \"integer\" }", body);
        ran.expect(0);
        assert_eq!(workspace.value("SELECT length(_rest) FROM items"), "11888891");
        // Without columns there would be a million of them.
        let (ran, workspace) = within_bounds("", body);
        let ran = ran.expect(5);
        assert!(ran.stderr.contains("declare the stream's `columns`"), "{ran:?}");
        nothing_is_complete(&workspace);
    }

    #[test]
    fn a_list_of_millions_that_are_no_records_is_refused_in_bounded_memory() {
        for stream in ["", "columns = { id = \"integer\" }"] {
            let (ran, workspace) = within_bounds(stream, || {
                json(&format!(r#"{{"data":[{}1]}}"#, "1,".repeat(3_000_000)))
            });
            let ran = ran.expect(5);
            assert!(ran.stderr.contains("no record is an object; the first is 1"), "{ran:?}");
            nothing_is_complete(&workspace);
        }
    }
}
