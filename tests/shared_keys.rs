//! One key from two parents: a record of both, two records, or one that has moved.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use crate::api::{Api, FAST, answer, json};
use crate::harness::Workspace;

/// Children of two parents; `more` goes into their table.
fn definition(address: &str, more: &str) -> String {
    format!(
        "[archive]\npath = \"a.db\"\n[sources.s]\nbase_url = \"{address}\"\n{FAST}\n\
         [streams.lines]\npath = \"/lines\"\nrecords = \"$.data[*]\"\nkey = \"id\"\n\
         [streams.kids]\nfor_each = \"lines\"\npath = \"/lines/{{{{ parent.id }}}}\"\n\
         records = \"$.data[*]\"\nkey = \"id\"\n{more}\n\
         columns = {{ id = \"integer\", n = \"integer\" }}\n"
    )
}

/// Two parents, and the answers for their children, which a test changes. No answer is an error.
struct Parents {
    kids: Arc<Mutex<[&'static str; 2]>>,
    _api: Api,
    workspace: Workspace,
}

impl Parents {
    /// `miscounts`: the first answer for the second parent has a wrong total, and is asked for again.
    fn of(kids: [&'static str; 2], miscounts: bool) -> Parents {
        let kids = Arc::new(Mutex::new(kids));
        let (shared, miscounts) = (Arc::clone(&kids), AtomicBool::new(miscounts));
        let api = Api::start(move |asked, _| {
            let [first, second] = *shared.lock().expect("no test panics in here");
            match asked.path() {
                "/lines" => json(r#"{"data":[{"id":1},{"id":2}]}"#),
                "/lines/1" => json(first),
                "/lines/2" if second.is_empty() => answer("500 Internal Server Error", &[], "no"),
                _ if miscounts.swap(false, Ordering::Relaxed) => {
                    json(&second.replace("\"total\":1", "\"total\":9"))
                }
                _ => json(second),
            }
        });
        let definition = definition(&api.address, "total = \"$.total\"");
        let workspace = Workspace::new(&definition);
        Parents { kids, _api: api, workspace }
    }

    fn change(&self, kids: [&'static str; 2]) {
        *self.kids.lock().expect("no test panics in here") = kids;
    }

    fn rows(&self) -> Vec<String> {
        self.workspace.rows("SELECT id, n FROM kids ORDER BY id")
    }

    /// Syncs, and expects that the key 1 is refused.
    fn refused(&self) {
        let ran = self.workspace.run(&["sync"]).expect(5);
        assert!(ran.stderr.contains("the key id = 1 came from another parent"), "{ran:?}");
        assert!(self.rows().contains(&"1|1".to_owned()), "the first one stands");
    }
}

const ONE: &str = r#"{"data":[{"id":1,"n":1}],"total":1}"#;
const OTHER: &str = r#"{"data":[{"id":1,"n":2}],"total":1}"#;
const NONE: &str = r#"{"data":[],"total":0}"#;

#[test]
fn a_key_of_two_parents_is_found_also_where_one_of_them_is_in_the_archive_already() {
    let parents = Parents::of([ONE, ""], false);
    parents.workspace.run(&["sync"]).expect(3);
    parents.change([ONE, OTHER]);
    for _ in 0..3 {
        parents.refused();
    }
    parents.change([ONE, ONE]);
    parents.workspace.sync();
    assert_eq!(parents.rows(), ["1|1"], "it is one record of both");
}

#[test]
fn a_child_that_moves_to_another_parent_between_two_runs_is_no_contradiction() {
    let parents = Parents::of([ONE, NONE], false);
    parents.workspace.sync();
    parents.change([NONE, OTHER]);
    parents.workspace.sync();
    assert_eq!(parents.rows(), ["1|2"]);
}

/// The first page of the second parent is refused, the last one fails: the rows of the first are
/// not written, and only a fetch from the first page on can bring them.
#[test]
fn a_fetch_whose_page_was_taken_back_is_not_carried_on_behind_it() {
    let fails = Arc::new(AtomicBool::new(true));
    let shared = Arc::clone(&fails);
    let api =
        Api::start(move |asked, _| match (asked.path(), asked.parameter("cursor").as_deref()) {
            ("/lines", _) => json(r#"{"data":[{"id":1},{"id":2}]}"#),
            ("/lines/1", _) => json(r#"{"data":[{"id":1,"n":1}]}"#),
            (_, None) => json(r#"{"data":[{"id":1,"n":2},{"id":2,"n":2}],"next":"b"}"#),
            (_, Some("b")) => json(r#"{"data":[{"id":3,"n":2}],"next":"c"}"#),
            _ if shared.load(Ordering::Relaxed) => answer("500 Internal Server Error", &[], "no"),
            _ => json(r#"{"data":[{"id":4,"n":2}],"next":null}"#),
        });
    let paginate = "paginate = { kind = \"cursor\", next = \"$.next\", param = \"cursor\" }";
    let workspace = Workspace::new(&definition(&api.address, paginate));
    workspace.run(&["sync"]).expect(3);
    fails.store(false, Ordering::Relaxed);
    let ran = workspace.run(&["sync"]).expect(5);
    assert!(ran.stderr.contains("the key id = 1 came from another parent"), "{ran:?}");
}

#[test]
fn a_fetch_that_is_repeated_is_held_against_the_other_parents_again() {
    let parents = Parents::of([ONE, OTHER], true);
    parents.refused();
}
