//! What a column is: a member of the source, exactly, in whatever order members were met.

use std::path::Path;

use crate::api::{ItemsApi, items_definition};
use crate::harness::{Ran, Workspace, dump};

/// A snapshot of `items` whose records a test can change.
struct Items(ItemsApi);

impl Items {
    fn start() -> Items {
        Items(ItemsApi::start(""))
    }

    fn definition(&self, stream: &str) -> String {
        items_definition(&self.0.api.address, "", stream)
    }

    /// A laptop that has synced these records, one answer after another.
    fn laptop(&self, stream: &str, answers: &[&str]) -> Workspace {
        let workspace = Workspace::new(&self.definition(stream));
        for answer in answers {
            self.sync(&workspace, answer).expect(0);
        }
        workspace
    }

    fn sync(&self, workspace: &Workspace, answer: &str) -> Ran {
        self.0.change(answer);
        workspace.run(&["sync"])
    }
}

fn name(path: &Path) -> &str {
    path.to_str().expect("a path of text")
}

fn columns(laptop: &Workspace) -> Vec<String> {
    let sql = "SELECT name FROM pragma_table_info('items') WHERE name NOT LIKE '\\_%' ESCAPE '\\'";
    laptop.rows(sql)
}

const BOTH: &str = r#"{"id":1,"Name":"Ana","name":"x"},{"id":2,"Name":"Bo","name":"y"}"#;

#[test]
fn columns_of_members_that_differ_in_case_are_not_united_and_both_are_named() {
    let items = Items::start();
    let a = items.laptop("", &[r#"{"id":1,"Name":"Ana"}"#, BOTH]);
    let b = items.laptop("", &[r#"{"id":1,"name":"x"}"#, BOTH]);
    assert_eq!(
        (columns(&a), columns(&b)),
        (vec!["id".into(), "Name".into()], vec!["id".into(), "name".into()])
    );
    for (into, from) in [(&a, &b), (&b, &a)] {
        let before = dump(&into.path("a.db"), &[]);
        for dry_run in [&[][..], &["--dry-run"]] {
            let from = from.path("a.db");
            let refused = into.run(&[&["merge", name(&from)], dry_run].concat()).expect(2);
            let says = "its column for one of the members `Name` and `name` is `";
            assert!(refused.stderr.contains(says), "{refused:?}");
            assert!(refused.stderr.contains("path = \"$.Name\""), "a cure: {refused:?}");
        }
        assert_eq!(dump(&into.path("a.db"), &[]), before);
    }
    // One that has neither is united with either, and not with both.
    let c = items.laptop("columns = { id = \"number\" }", &[BOTH]);
    c.run(&["merge", name(&a.path("a.db"))]).expect(0);
    assert_eq!(columns(&c), ["id", "Name"]);
    assert_eq!(
        c.value("SELECT Name || ' ' || _rest FROM items WHERE id = 1"),
        "Ana {\"name\":\"x\"}"
    );
    let refused = c.run(&["merge", name(&b.path("a.db"))]).expect(2);
    assert!(refused.stderr.contains("`Name` and `name`"), "{refused:?}");
    std::fs::copy(b.path("a.db"), a.path("b.db")).expect("a stick");
    let told = a.run(&["diff", "a.db", "b.db"]).expect(1).stdout;
    assert!(told.contains("items: only a.db has the column Name"), "{told}");
    assert!(told.contains("items: only b.db has the column name"), "{told}");
}

#[test]
fn the_order_in_which_members_are_met_makes_no_difference() {
    let items = Items::start();
    for (one, other, column) in [
        (BOTH, r#"{"id":1,"name":"x","Name":"Ana"},{"id":2,"name":"y","Name":"Bo"}"#, "name"),
        // What SQL does not take as it is, is no column under any other name.
        (
            r#"{"id":1,"a-b":1,"a_b":2,"a b":3,"É":4,"é":5}"#,
            r#"{"id":1,"é":5,"É":4,"a b":3,"a_b":2,"a-b":1}"#,
            "a_b",
        ),
    ] {
        let a = items.laptop("", &[one]);
        let b = items.laptop("", &[other]);
        for laptop in [&a, &b] {
            assert_eq!(columns(laptop), ["id", column], "{one}");
        }
        a.run(&["merge", name(&b.path("a.db"))]).expect(0);
        b.run(&["merge", name(&a.path("a.db"))]).expect(0);
        assert_eq!(a.digests(), b.digests(), "{one}");
    }
    // What the definition names is a column, whatever else there is.
    let named = items.definition("").replace("key = \"id\"", "key = \"Id\"");
    let laptop = Workspace::new(&named);
    items.sync(&laptop, r#"{"id":1,"Id":7,"ID":8}"#).expect(0);
    assert_eq!(columns(&laptop), ["Id"]);
    // Also where they become columns later.
    let drift = "on_drift = \"add_column\"\ncolumns = { id = \"number\" }";
    let first = r#"{"id":1}"#;
    let a = items.laptop(drift, &[first, r#"{"id":1,"b":0,"name":"x","Name":"Ana","a":0}"#]);
    let b = items.laptop(drift, &[first, r#"{"id":1,"a":0,"Name":"Ana","name":"x","b":0}"#]);
    for laptop in [&a, &b] {
        let columns = columns(laptop);
        assert!(columns.contains(&"name".into()) && columns.len() == 4, "{columns:?}");
    }
    a.run(&["merge", name(&b.path("a.db"))]).expect(0);
}

#[test]
fn a_declared_column_is_no_member_of_its_name_in_another_case() {
    let items = Items::start();
    let declared = |columns: &str| format!("columns = {{ id = \"number\", {columns} }}");
    let a = items.laptop("", &[r#"{"id":1,"name":"x"}"#, BOTH]);
    // The table has a column of `name`.
    a.define(&items.definition(&declared("Name = \"text\"")));
    let before = dump(&a.path("a.db"), &[]);
    let refused = items.sync(&a, BOTH);
    assert_ne!(refused.code, 0, "{refused:?}");
    let says = "has a column `name`, and `Name` is another member of the source";
    assert!(refused.stderr.contains(says), "{refused:?}");
    assert!(refused.stderr.contains("Name_2 = { type"), "{refused:?}");
    assert_eq!(columns(&a), ["id", "name"], "{before:?}");
    // The cure that is told.
    let cure = "name = \"text\", Name_2 = { type = \"text\", path = \"$.Name\" }";
    a.define(&items.definition(&declared(cure)));
    items.sync(&a, BOTH).expect(0);
    let both = "SELECT name || ' ' || Name_2 FROM items ORDER BY id";
    assert_eq!(a.rows(both), ["x Ana", "y Bo"]);
    let b = items.laptop(&declared(cure), &[BOTH]);
    a.run(&["merge", name(&b.path("a.db"))]).expect(0);
    b.run(&["merge", name(&a.path("a.db"))]).expect(0);
    assert_eq!(a.digests(), b.digests());
}

#[test]
fn a_column_that_is_declared_to_come_from_another_member_is_another_column() {
    let items = Items::start();
    let inferred = || items.laptop("", &[r#"{"id":1,"name":"x"}"#, BOTH]);
    let renamed = "columns = { id = \"number\", name = { type = \"text\", path = \"$.Name\" } }";
    let (a, b) = (inferred(), items.laptop(renamed, &[BOTH]));
    for (into, from) in [(&a, &b), (&b, &a)] {
        let refused = into.run(&["merge", name(&from.path("a.db"))]).expect(2);
        let says = "its column `name` is read otherwise here than there";
        assert!(refused.stderr.contains(says), "{refused:?}");
    }
    // In one archive its rows are corrected from what was left over of them.
    a.define(&items.definition(renamed));
    items.sync(&a, r#"{"id":2,"Name":"Bo","name":"y"}"#).expect(0);
    assert_eq!(
        a.value("SELECT name || ' ' || _rest FROM items WHERE id = 1"),
        "Ana {\"name\":\"x\"}"
    );
    a.run(&["merge", name(&b.path("a.db"))]).expect(0);
}
