//! Alerts: what `check` finds is told once, and once more when it is solved, through the outbox to
//! an API that counts effects.

use std::collections::BTreeMap;
use std::process::Stdio;

use serde_json::Value;

use crate::api::answer;
use crate::harness::{Ran, Workspace, execute, ran};
use crate::outbox::{Counter, Step, definition};
use crate::watch::Watch;

const CHECKS: &str = "\
[checks.low]
sql = \"SELECT item, stock FROM shelf WHERE stock < 5 ORDER BY item\"
[checks.empty]
sql = \"SELECT item FROM shelf WHERE stock = 0 ORDER BY item\"
severity = \"error\"
";
const ALERT: &str = "[[alerts]]\npath = \"/alerts\"\n";

/// A shop that is told, and an archive with a shelf.
struct Case {
    shop: Counter,
    workspace: Workspace,
}

impl Case {
    fn new(alerts: &str) -> Case {
        Case::with(alerts, |_, _| Step::Take)
    }

    fn with(
        alerts: &str,
        policy: impl Fn(&crate::api::Asked, usize) -> Step + Send + Sync + 'static,
    ) -> Case {
        let shop = Counter::start(policy);
        let workspace = Workspace::new(&shop.definition(&format!("{CHECKS}{alerts}")));
        workspace.run(&["sync"]).expect(0);
        let case = Case { shop, workspace };
        case.shelf("CREATE TABLE shelf (item TEXT, stock INTEGER)");
        case.shelf("INSERT INTO shelf VALUES ('tea', 9), ('milk', 9)");
        case
    }

    fn shelf(&self, sql: &str) {
        execute(&self.workspace.path("a.db"), sql);
    }

    fn check(&self, more: &[&str]) -> Ran {
        self.workspace.run(&[&["check"], more].concat())
    }

    fn send(&self) {
        self.workspace.run(&["outbox", "send"]).expect(0);
    }

    /// What the shop was told, in this order: state and identity.
    fn told(&self) -> Vec<String> {
        let effects = self.shop.effects();
        assert!(effects.values().all(|count| *count == 1), "{effects:?}");
        let bodies = self.bodies();
        assert_eq!(bodies.len(), effects.len(), "each entry has a key of its own");
        let text = |body: &Value, key: &str| body[key].as_str().unwrap_or("?").to_owned();
        bodies.iter().map(|b| format!("{} {}", text(b, "state"), text(b, "id"))).collect()
    }

    fn bodies(&self) -> Vec<Value> {
        let log = self.shop.api.log();
        log.iter().map(|asked| serde_json::from_str(&asked.body).expect("JSON")).collect()
    }

    /// What is queued or was, oldest first.
    fn entries(&self) -> Vec<String> {
        self.workspace.rows(
            "SELECT json_extract(CAST(body AS TEXT), '$.state') || ' '
                || json_extract(CAST(body AS TEXT), '$.id')
             FROM _windrow_outbox ORDER BY entry",
        )
    }
}

#[test]
fn a_finding_is_told_once_and_once_more_when_it_is_solved_and_anew_when_it_comes_back() {
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3 WHERE item = 'tea'");
    let first = case.check(&[]).expect(1);
    assert!(first.stderr.contains("1 found and 0 solved are queued"), "{first:?}");
    for _ in 0..2 {
        let again = case.check(&[]).expect(1);
        assert!(!again.stderr.contains("alerts"), "{again:?}");
        case.send();
    }
    assert_eq!(case.told(), ["found sql/low/tea"]);
    // Worse, and the same finding: it was told.
    case.shelf("UPDATE shelf SET stock = 2 WHERE item = 'tea'");
    case.check(&[]).expect(1);
    case.shelf("UPDATE shelf SET stock = 9 WHERE item = 'tea'");
    for _ in 0..2 {
        case.check(&[]).expect(0);
        case.send();
    }
    assert_eq!(case.told(), ["found sql/low/tea", "solved sql/low/tea"]);
    case.shelf("UPDATE shelf SET stock = 1 WHERE item = 'tea'");
    let json = case.check(&["--json"]).expect(1).json();
    assert_eq!(json["alerts"], serde_json::json!({ "found": 1, "solved": 0 }));
    case.send();
    assert_eq!(case.told()[2..], ["found sql/low/tea"]);
    let rows = case.workspace.rows("SELECT finding, episode, solved_at FROM _windrow_alerts");
    assert_eq!(rows, ["sql/low/tea|2|NULL"]);
    let body = &case.bodies()[0];
    assert_eq!(body["severity"], "warning");
    assert_eq!((&body["check"], &body["stream"]), (&"sql".into(), &"low".into()));
    for key in ["expected", "found", "help"] {
        assert!(body[key].as_str().is_some_and(|text| !text.is_empty()), "{body}");
    }
}

#[test]
fn severity_streams_and_checks_choose_what_is_told() {
    let alerts = "
[[alerts]]
name = \"pager\"
path = \"/alerts\"
severity = \"error\"
body = { state = \"{{ alert.state }}\", id = \"pager {{ alert.id }}\" }
[[alerts]]
name = \"mail\"
path = \"/alerts\"
streams = [\"low\"]
checks = [\"sql\"]
body = { state = \"{{ alert.state }}\", id = \"mail {{ alert.id }}\", n = [1, true] }
[[alerts]]
name = \"none\"
path = \"/alerts\"
checks = [\"stale\"]
";
    let case = Case::new(alerts);
    case.shelf("UPDATE shelf SET stock = 0 WHERE item = 'tea'");
    case.check(&["--no-alerts"]).expect(1);
    case.check(&["--tolerance", "2"]).expect(1);
    case.check(&["--table", "shelf", "--key", "stock"]).expect(0);
    assert_eq!(case.entries(), [""; 0], "nobody asked to tell");
    case.check(&[]).expect(1);
    case.send();
    // Lanes do not wait for each other.
    let mut told = case.told();
    told.sort();
    assert_eq!(told, ["found mail sql/low/tea", "found pager sql/empty/tea"]);
    let bodies = case.bodies();
    assert!(bodies.iter().any(|body| body["n"] == serde_json::json!([1, true])), "{bodies:?}");
    // The pager is told no longer of what is only low.
    case.shelf("UPDATE shelf SET stock = 1 WHERE item = 'tea'");
    case.check(&[]).expect(1);
    case.send();
    assert_eq!(case.told()[2..], ["solved pager sql/empty/tea"]);
}

#[test]
fn what_was_found_offline_is_told_in_order_when_there_is_a_network() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = free.local_addr().expect("an address").port();
    drop(free);
    let address = format!("http://127.0.0.1:{port}");
    let mut workspace = Workspace::new(&definition(&address, &format!("{CHECKS}{ALERT}")));
    workspace.run(&["sync"]).expect(0);
    let archive = workspace.path("a.db");
    execute(&archive, "CREATE TABLE shelf (item TEXT, stock INTEGER)");
    execute(&archive, "INSERT INTO shelf VALUES ('tea', 3)");
    workspace.run(&["check"]).expect(1);
    workspace.run(&["outbox", "send"]).expect(3);
    execute(&archive, "UPDATE shelf SET stock = 9");
    workspace.run(&["check"]).expect(0);
    let lanes = workspace.rows("SELECT DISTINCT lane FROM _windrow_outbox");
    assert_eq!(lanes.len(), 1, "what is solved follows what was found");
    let shop = Counter::start_at(port, |_, _| Step::Take);
    workspace.at("2026-01-10T13:00:00Z").run(&["sync"]).expect(0);
    let case = Case { shop, workspace };
    assert_eq!(case.told(), ["found sql/low/tea", "solved sql/low/tea"]);
}

#[test]
fn a_watch_tells_at_once_what_a_round_has_found() {
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3 WHERE item = 'tea'");
    let watch = Watch::start(&case.workspace, "1 second");
    let round = watch.until("synced");
    let message = round["message"].as_str().expect("a text");
    assert!(message.contains("outbox: 1 done; alerts: 1 found and 0 solved"), "{message}");
    let next = watch.until("synced");
    assert!(!next["message"].to_string().contains("alerts"), "{next}");
    drop(watch);
    assert_eq!(case.told(), ["found sql/low/tea"]);
}

#[test]
fn a_lost_answer_tells_nobody_twice() {
    let case = Case::with(ALERT, |_, number| match number {
        0 => Step::TakeAnd(answer("503 Service Unavailable", &[], "")),
        _ => Step::Take,
    });
    case.shelf("UPDATE shelf SET stock = 3 WHERE item = 'tea'");
    case.check(&[]).expect(1);
    case.send();
    let expected: BTreeMap<String, usize> =
        case.shop.effects().into_keys().map(|key| (key, 1)).collect();
    assert_eq!(case.shop.effects(), expected);
    assert_eq!(expected.len(), 1);
    assert_eq!(case.shop.api.log().len(), 2);
}

#[test]
fn a_look_at_a_part_solves_nothing() {
    let stream = "[streams.items]\npath = \"/items\"\nrecords = \"$[*]\"\nkey = \"id\"\n";
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3 WHERE item = 'tea'");
    case.check(&[]).expect(1);
    case.shelf("UPDATE shelf SET stock = 9");
    let more = format!("{stream}{CHECKS}{ALERT}checks = [\"sql\"]\n");
    case.workspace.define(&case.shop.definition(&more));
    case.check(&["items"]);
    case.check(&["--since", "2026-01-01"]);
    // An alert that is about something else now leaves alone what it does not look at.
    case.workspace.define(&case.shop.definition(&format!("{CHECKS}{ALERT}checks = [\"stale\"]\n")));
    case.check(&[]).expect(0);
    assert_eq!(case.entries(), ["found sql/low/tea"]);
    // A question that cannot be asked is no look either.
    let broken = CHECKS.replace("FROM shelf WHERE stock < 5", "FROM shelves");
    case.workspace.define(&case.shop.definition(&format!("{broken}{ALERT}")));
    case.check(&[]).expect(2);
    assert_eq!(case.entries(), ["found sql/low/tea"]);
    case.workspace.define(&case.shop.definition(&format!("{CHECKS}{ALERT}")));
    case.check(&[]).expect(0);
    assert_eq!(case.entries(), ["found sql/low/tea", "solved sql/low/tea"]);
}

#[test]
fn looks_at_the_same_time_queue_each_message_once() {
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3");
    for (code, expected) in [(1, 2), (0, 4)] {
        let spawn = |_| {
            let mut command = case.workspace.command(&["check"]);
            command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("windrow starts")
        };
        let children: Vec<_> = (0..6).map(spawn).collect();
        for child in children {
            ran(&child.wait_with_output().expect("it ends")).expect(code);
        }
        assert_eq!(case.entries().len(), expected);
        case.shelf("UPDATE shelf SET stock = 9");
    }
    case.send();
    assert_eq!(case.told().len(), 4);
}

#[test]
fn a_message_that_cannot_be_queued_is_not_remembered_as_told() {
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3 WHERE item = 'tea'");
    // The entry is queued and then what is remembered of it cannot be written: neither is there.
    case.shelf(
        "CREATE INDEX full ON _windrow_alerts
         (CASE WHEN alert <> '' THEN abs(-9223372036854775807 - 1) END)",
    );
    let ran = case.check(&[]);
    assert_ne!(ran.code, 1, "{ran:?}");
    assert!(ran.stdout.contains("sql/low/tea"), "what was found is shown all the same: {ran:?}");
    assert_eq!(case.entries(), [""; 0]);
    case.shelf("DROP INDEX full");
    case.check(&[]).expect(1);
    assert_eq!(case.entries(), ["found sql/low/tea"]);
}

#[test]
fn without_alerts_and_without_news_the_archive_is_only_read() {
    let case = Case::new("");
    case.shelf("UPDATE shelf SET stock = 3");
    let file = case.workspace.path("a.db");
    // The file, and what is in the log beside it.
    let bytes = || {
        let log = std::fs::read(case.workspace.path("a.db-wal")).unwrap_or_default();
        (std::fs::read(&file).expect("the archive"), log)
    };
    let before = bytes();
    case.check(&[]).expect(1);
    assert!(bytes() == before, "there is nobody to tell");
    case.workspace.define(&case.shop.definition(&format!("{CHECKS}{ALERT}")));
    case.check(&[]).expect(1);
    assert_eq!(case.entries().len(), 2);
    let before = bytes();
    case.check(&[]).expect(1);
    assert!(bytes() == before, "all of it was told");
}

#[test]
fn one_who_has_only_the_archive_tells_nobody() {
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3");
    std::fs::remove_file(case.workspace.path("windrow.toml")).expect("it was there");
    case.check(&["-a", "a.db"]).expect(1);
    assert_eq!(case.entries(), [""; 0]);
}

#[test]
fn an_archive_that_somebody_writes_is_told_of_all_the_same() {
    let case = Case::new(ALERT);
    case.shelf("UPDATE shelf SET stock = 3 WHERE item = 'tea'");
    let lock = windrow::host::files::lock_path(&case.workspace.path("a.db"));
    let _held = windrow::host::files::try_lock(&lock, "a sync").expect("the lock is free");
    case.check(&[]).expect(1);
    assert_eq!(case.entries(), ["found sql/low/tea"]);
}

#[test]
fn hostile_values_are_told_as_they_are_and_secrets_are_not() {
    let mut case = Case::new("");
    let source = "headers = { x-token = \"${env:SHOP_TOKEN}\" }\n";
    case.workspace.variable("SHOP_TOKEN", "hush-hush-hush");
    case.workspace.define(&case.shop.definition(&format!("{source}{CHECKS}{ALERT}")));
    let wild = ["{{ result.k.id }}", "\u{1b}]0;x\u{7}\"}", "a/b%\u{202e}", "hush-hush-hush"];
    for item in wild {
        case.shelf(&format!("INSERT INTO shelf VALUES ('{item}', 3)"));
    }
    let shown = case.check(&[]).expect(1);
    assert!(!shown.stdout.contains(['\u{1b}', '\u{202e}']), "{shown:?}");
    case.send();
    assert_eq!(case.told().len(), 4);
    let bodies = case.bodies();
    let all = serde_json::to_string(&bodies).expect("JSON");
    assert!(!all.contains("hush") && all.contains("${env:SHOP_TOKEN}"), "{all}");
    assert!(bodies.iter().any(|body| body["found"].to_string().contains("{{ result.k.id }}")));
    let log = case.shop.api.log();
    assert!(log.iter().all(|asked| asked.header("x-token") == Some("hush-hush-hush")));
    let stored = case.workspace.rows("SELECT CAST(body AS TEXT) FROM _windrow_outbox");
    assert!(!stored.concat().contains("hush"));
}

#[test]
fn more_than_anybody_reads_is_one_message() {
    let case = Case::new(ALERT);
    case.shelf(
        "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 130)
         INSERT INTO shelf SELECT 'i' || i, 3 FROM n",
    );
    case.check(&[]).expect(1);
    let entries = case.entries();
    assert_eq!(entries.len(), 51);
    assert!(entries[50].starts_with("found rest/"), "{entries:?}");
    assert_eq!(case.workspace.value("SELECT count(*) FROM _windrow_alerts"), "101");
    case.check(&[]).expect(1);
    assert_eq!(case.entries().len(), 51, "all of it was told");
    case.shelf("UPDATE shelf SET stock = 9");
    case.check(&[]).expect(0);
    assert_eq!(case.entries().len(), 102);
}

#[test]
fn all_that_is_wrong_with_alerts_is_told_at_once() {
    let alerts = "
[[alerts]]
path = \"alerts\"
severity = \"warning\"
streams = [\"lows\"]
checks = [\"spikes\"]
[[alerts]]
path = \"/a\"
source = \"shops\"
lane = \"\"
body = { text = \"{{ alert.fond }}\", auth_key = \"${env:TOKEN}\" }
[[alerts]]
path = \"/b/../c\"
[[alerts]]
path = \"/c/{{ alert.id }}\"
[[alerts]]
path = \"/d\"
[[alerts]]
path = \"/d\"
";
    let workspace = Workspace::new(&definition("http://127.0.0.1:9", &format!("{CHECKS}{alerts}")));
    let wrong = workspace.run(&["check"]).expect(2);
    let expected = [
        "the path `alerts` does not begin with `/`",
        "the stream `lows` is not defined",
        "did you mean `low`?",
        "the check `spikes` is not defined",
        "did you mean `spike`?",
        "the source `shops` is not defined",
        "a lane's name has 1 to 255 characters",
        "the template uses `alert.fond`",
        "did you mean `{{ alert.found }}`?",
        "a secret cannot stand in the body of an alert",
        "the path `/b/../c` leads out of the source's address",
        "the path of an alert is the same for all findings",
        "two alerts are remembered as `/d`",
    ];
    for text in expected {
        assert!(wrong.stderr.contains(text), "{text} in\n{}", wrong.stderr);
    }
    // The caret stands under the item that is meant.
    assert!(wrong.stderr.contains("path = \"/b/../c\""), "{}", wrong.stderr);
    let key = "idempotency = { in = \"body\", name = \"id\" }\n";
    workspace.define(&definition("http://127.0.0.1:9", &format!("{key}{ALERT}")));
    let wrong = workspace.run(&["check"]).expect(2);
    assert!(wrong.stderr.contains("the body holds `id`, which is where the key goes"), "{wrong:?}");
}

#[test]
fn every_check_that_there_is_can_be_chosen() {
    let page = include_str!("../docs/commands/check.md");
    let table = page.lines().filter(|line| line.starts_with("| `"));
    let names = table.flat_map(|line| {
        let first = line.split('|').nth(1).unwrap_or_default();
        first.split('`').skip(1).step_by(2).map(str::to_owned).collect::<Vec<_>>()
    });
    let mut names: Vec<String> = names.collect();
    names.sort();
    assert_eq!(names, windrow::definition::CHECK_NAMES);
}
