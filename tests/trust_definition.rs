//! An archive that somebody else made: its definition reads nothing of its receiver, asks nobody,
//! and nothing in the file runs.

use std::path::Path;
use std::time::{Duration, Instant};

use crate::api::{UsageApi, nine_days, usage_definition};
use crate::harness::{Ran, Workspace, execute, rows};

const TOKEN: &str = "token-of-the-giver-4711";
const OWN_TOKEN: &str = "token-of-the-receiver-0815";

/// What a command that does not hang may take on a busy machine.
const SOON: Duration = Duration::from_secs(20);

/// An archive that was made with a token, alone in its receiver's folder as `given.db`. The
/// receiver has a variable of the same name.
fn given(api: &UsageApi, more: &str) -> Workspace {
    let auth = "auth = { kind = \"bearer\", token = \"${env:FLEET_TOKEN}\" }\nretry";
    let definition = usage_definition(&api.api.address, "").replacen("retry", auth, 1) + more;
    let mut giver = Workspace::new(&definition);
    giver.variable("FLEET_TOKEN", TOKEN);
    giver.sync();
    giver.run(&["eject"]).expect(0);
    let mut receiver = Workspace::empty();
    receiver.variable("FLEET_TOKEN", OWN_TOKEN);
    std::fs::copy(giver.path("a.db"), receiver.path("given.db")).expect("a copy");
    receiver
}

/// Runs a command that must not hang.
#[expect(clippy::disallowed_methods, reason = "what must not hang is timed by the test")]
fn within(limit: Duration, run: impl FnOnce() -> Ran) -> Ran {
    let began = Instant::now();
    let ran = run();
    assert!(began.elapsed() < limit, "after {:?}: {ran:?}", began.elapsed());
    ran
}

fn on_given(receiver: &Workspace, arguments: &[&str]) -> Ran {
    receiver.run(&[&["-a", "given.db"], arguments].concat())
}

/// Everything in a folder, by name, content and nothing else.
fn files(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = std::fs::read_dir(folder).expect("the folder").flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    let mut all: Vec<_> = files
        .map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            (name, std::fs::read(entry.path()).expect("a file"))
        })
        .collect();
    all.sort();
    all
}

#[test]
fn a_definition_that_only_an_archive_holds_asks_nobody_and_is_sent_nothing() {
    let api = UsageApi::start(nine_days(), 50);
    let receiver = given(&api, "");
    let before = api.api.log().len();
    for arguments in [
        &["sync"] as &[&str],
        &["sync", "usage"],
        &["sync", "--from", "2026-01-02"],
        &["watch"],
        &["prove", "usage"],
        &["outbox", "send"],
        &["outbox", "serve", "--listen", "127.0.0.1:0"],
    ] {
        let refused = on_given(&receiver, arguments);
        assert_eq!(refused.code, 9, "{arguments:?}: {refused:?}");
        assert!(refused.stderr.contains("the definition is not trusted"), "{refused:?}");
        assert!(refused.stderr.contains("${env:FLEET_TOKEN}"), "{refused:?}");
        assert!(refused.stderr.contains(&api.api.address), "{refused:?}");
        assert!(refused.stderr.contains("windrow -a given.db trust"), "{refused:?}");
        assert!(!format!("{refused:?}").contains(OWN_TOKEN), "{refused:?}");
    }
    on_given(&receiver, &["doctor"]);
    on_given(&receiver, &["check", "--fail-on", "error"]).expect(0);
    on_given(&receiver, &["sync", "--dry-run"]).expect(0);
    on_given(&receiver, &["handoff", "on.db"]).expect(0);
    assert_eq!(api.api.log().len(), before, "nobody was asked");
    for (name, bytes) in files(receiver.folder()) {
        let held = bytes.windows(OWN_TOKEN.len()).any(|part| part == OWN_TOKEN.as_bytes());
        assert!(!held, "{name} holds the receiver's token");
    }
}

#[test]
fn without_a_secret_it_asks_nobody_either() {
    let api = UsageApi::start(nine_days(), 50);
    let giver = Workspace::new(&usage_definition(&api.api.address, ""));
    giver.sync();
    giver.run(&["eject"]).expect(0);
    let receiver = Workspace::empty();
    std::fs::copy(giver.path("a.db"), receiver.path("given.db")).expect("a copy");
    let before = api.api.log().len();
    on_given(&receiver, &["sync"]).expect(9);
    assert_eq!(api.api.log().len(), before);
}

#[test]
fn a_merge_into_a_new_archive_vouches_for_nothing() {
    let api = UsageApi::start(nine_days(), 50);
    let receiver = given(&api, "");
    receiver.run(&["-a", "new.db", "merge", "given.db"]).expect(0);
    let before = api.api.log().len();
    let refused = receiver.run(&["-a", "new.db", "sync"]);
    assert!(refused.code == 9 || refused.code == 2, "{refused:?}");
    assert_eq!(api.api.log().len(), before);
}

#[test]
fn trust_shows_what_goes_where_and_is_given_to_what_was_shown() {
    let api = UsageApi::start(nine_days(), 50);
    let receiver = given(&api, "\n[checks.mine]\nsql = \"SELECT 1 WHERE 0\"\n");
    let shown = on_given(&receiver, &["trust"]).expect(0).stdout;
    let sent = format!("and send ${{env:FLEET_TOKEN}} to {}", api.api.address);
    assert!(shown.contains(&sent), "{shown}");
    assert!(shown.contains("run the check mine: SELECT 1 WHERE 0"), "{shown}");
    assert!(shown.contains("You do not trust it"), "{shown}");
    let grant = on_given(&receiver, &["trust", "--json"]).expect(0).json();
    assert_eq!(grant["trusted"], false);
    assert_eq!(grant["grant"]["sources"][0]["secrets"][0], "${env:FLEET_TOKEN}");
    let digest = grant["grant"]["digest"].as_str().expect("a digest").to_owned();
    let command = format!("windrow -a given.db trust --accept {}", &digest[..12]);
    assert!(shown.contains(&command), "{shown}");

    on_given(&receiver, &["trust", "--accept", &digest[..11]]).expect(2);
    on_given(&receiver, &["trust", "--accept", "000000000000"]).expect(9);
    on_given(&receiver, &["sync"]).expect(9);
    let accepted = on_given(&receiver, &["trust", "--accept", &digest[..12]]).expect(0).stdout;
    assert!(accepted.contains("You trust it."), "{accepted}");
    let before = api.api.log().len();
    on_given(&receiver, &["sync"]).expect(0);
    let sent = api.api.log()[before].header("authorization").map(str::to_owned);
    assert_eq!(sent, Some(format!("Bearer {OWN_TOKEN}")));
    assert_eq!(receiver.run(&["trust", "--list"]).expect(0).stdout, format!("{digest}\n"));

    // Another definition in the archive is another question.
    let elsewhere = "UPDATE _windrow_definitions SET text = replace(text, '/usage', '/other')";
    execute(&receiver.path("given.db"), elsewhere);
    on_given(&receiver, &["sync"]).expect(9);
    let back = "UPDATE _windrow_definitions SET text = replace(text, '/other', '/usage')";
    execute(&receiver.path("given.db"), back);
    on_given(&receiver, &["sync"]).expect(0);
    receiver.run(&["trust", "--forget", &digest]).expect(0);
    receiver.run(&["trust", "--forget", &digest]).expect(2);
    on_given(&receiver, &["sync"]).expect(9);
}

#[test]
fn a_definition_that_was_written_out_is_its_users_own() {
    let api = UsageApi::start(nine_days(), 50);
    let receiver = given(&api, "");
    on_given(&receiver, &["definition", "--out", "windrow.toml"]).expect(0);
    receiver.run(&["sync"]).expect(0);
    on_given(&receiver, &["sync"]).expect(0);
}

#[test]
fn trust_that_cannot_be_remembered_is_not_given() {
    let api = UsageApi::start(nine_days(), 50);
    let mut receiver = given(&api, "");
    receiver.variable("WINDROW_STATE_DIR", "");
    let refused = on_given(&receiver, &["trust"]).expect(2);
    assert!(refused.stderr.contains("WINDROW_STATE_DIR"), "{refused:?}");
    on_given(&receiver, &["sync"]).expect(9);
}

#[test]
fn checks_of_the_archives_own_run_within_limits() {
    let api = UsageApi::start(nine_days(), 50);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n \
                   WHERE i < 0";
    let large = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 2000) \
                 SELECT i, hex(zeroblob(400000)) FROM n ORDER BY 2, 1";
    let long = "SELECT hex(zeroblob(900000000))";
    let pragma = "SELECT * FROM pragma_database_list";
    let checks: Vec<String> = [
        ("endless", endless),
        ("large", large),
        ("long", long),
        ("pragma", pragma),
        ("schema", "SELECT sql FROM sqlite_schema WHERE 0"),
        ("good", "SELECT id FROM usage LIMIT 1"),
    ]
    .map(|(name, sql)| {
        format!(
            "\n[checks.{name}]\nsql = \"{sql}\"\nmax_time = \"9999 days\"\nseverity = \"info\"\n"
        )
    })
    .into();
    let receiver = given(&api, "");
    // The giver's own check of these would not end, so that they are written in afterwards.
    let toml = rows(&receiver.path("given.db"), "SELECT text FROM _windrow_definitions").join("\n");
    let toml = format!("{toml}{}", checks.concat()).replace('\'', "''");
    execute(
        &receiver.path("given.db"),
        &format!("UPDATE _windrow_definitions SET text = '{toml}'"),
    );
    let found = within(Duration::from_secs(60), || on_given(&receiver, &["check", "--json"]));
    let found = found.json();
    let findings = found["findings"].as_array().expect("findings");
    let about = |name: &str| -> Vec<String> {
        let own = findings.iter().filter(|finding| finding["stream"] == name);
        own.map(|finding| finding["found"].as_str().expect("text").to_owned()).collect()
    };
    assert!(about("endless")[0].contains("did not end within 5 seconds"), "{found}");
    for name in ["large", "long", "pragma"] {
        assert!(about(name)[0].contains("could not be run"), "{name}: {:?}", about(name));
    }
    assert_eq!(about("schema"), [""; 0], "{found}");
    assert_eq!(about("good"), ["id SL-1"], "{found}");
}

/// Commands that look into an archive.
const LOOKS: [&[&str]; 10] = [
    &["status"],
    &["status", "--digest"],
    &["check"],
    &["report", "--out", "page.html"],
    &["query", "SELECT * FROM usage"],
    &["export", "--out", "out"],
    &["runs"],
    &["diff", "--since", "0"],
    &["rejects"],
    &["handoff", "on.db"],
];

#[test]
fn a_view_in_the_place_of_a_table_is_refused_by_whatever_looks() {
    let api = UsageApi::start(nine_days(), 50);
    let endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS id, \
        i AS day, i AS gb, i AS updated_at, NULL AS _rest, i AS _first_seen_at, i AS _changed_at, \
        1 AS _revision, 1 AS _run FROM n";
    let spoilt = [
        format!("ALTER TABLE usage RENAME TO kept; CREATE VIEW usage AS {endless}"),
        format!("ALTER TABLE usage RENAME TO kept; CREATE VIEW USAGE AS {endless}"),
        "ALTER TABLE _windrow_runs RENAME TO kept; CREATE VIEW _windrow_runs AS WITH RECURSIVE \
         n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i AS run FROM n"
            .to_owned(),
        "ALTER TABLE _windrow_streams RENAME TO kept; CREATE VIEW _windrow_streams AS SELECT * \
         FROM kept"
            .to_owned(),
        "ALTER TABLE usage RENAME TO kept; CREATE VIRTUAL TABLE usage USING fts5(id, day)"
            .to_owned(),
    ];
    for sql in spoilt {
        let receiver = given(&api, "");
        execute(&receiver.path("given.db"), &format!("PRAGMA legacy_alter_table = ON; {sql}"));
        for own_definition in [false, true] {
            if own_definition {
                let text = usage_definition(&api.api.address, "").replace("a.db", "given.db");
                receiver.define(&text);
            }
            for arguments in LOOKS {
                let refused = within(SOON, || on_given(&receiver, arguments));
                let codes: &[i32] = if own_definition { &[9] } else { &[6, 9] };
                assert!(codes.contains(&refused.code), "{sql}\n{arguments:?}: {refused:?}");
            }
        }
    }
}

#[test]
fn triggers_do_not_fire_and_an_archive_with_some_is_not_written_for_a_stranger() {
    let api = UsageApi::start(nine_days(), 50);
    let receiver = given(&api, "");
    let trigger = "CREATE TABLE told (x); CREATE TRIGGER t AFTER INSERT ON _windrow_runs BEGIN \
        INSERT INTO told VALUES ('fired'); UPDATE _windrow_definitions SET text = 'x'; END; \
        CREATE TRIGGER u AFTER UPDATE ON usage BEGIN INSERT INTO told VALUES ('fired'); END; \
        CREATE TRIGGER i AFTER INSERT ON usage BEGIN INSERT INTO told VALUES ('fired'); END;";
    execute(&receiver.path("given.db"), trigger);
    for arguments in [&["sync"] as &[&str], &["eject"], &["rejects", "retry"], &["handoff", "x.db"]]
    {
        let refused = on_given(&receiver, arguments).expect(9);
        assert!(refused.stderr.contains("trigger `i`"), "{arguments:?}: {refused:?}");
    }
    // What looks only looks.
    on_given(&receiver, &["status"]).expect(0);
    // Under a definition of the receiver's own nothing of the file runs either.
    receiver.define(&usage_definition(&api.api.address, "").replace("a.db", "given.db"));
    let synced = receiver.run(&["sync", "--from", "2026-01-01"]).expect(0);
    assert!(synced.stderr.contains("the trigger `t` on `_windrow_runs` is not run"), "{synced:?}");
    assert_eq!(rows(&receiver.path("given.db"), "SELECT count(*) FROM told"), ["0"]);
    let altered = "SELECT count(*) FROM _windrow_definitions WHERE text = 'x'";
    assert_eq!(rows(&receiver.path("given.db"), altered), ["0"]);
}

#[test]
fn an_analysts_views_are_read_by_their_own_definition_and_by_no_strangers() {
    let api = UsageApi::start(nine_days(), 50);
    let receiver = given(&api, "");
    execute(&receiver.path("given.db"), "CREATE VIEW mine AS SELECT count(*) AS n FROM usage");
    let ask = ["query", "SELECT n FROM mine", "--format", "ndjson"];
    let refused = on_given(&receiver, &ask).expect(2);
    assert!(refused.stderr.contains("access to view"), "{refused:?}");
    receiver.define(&usage_definition(&api.api.address, "").replace("a.db", "given.db"));
    assert_eq!(receiver.run(&ask).expect(0).stdout, "{\"n\":27}\n");
}
