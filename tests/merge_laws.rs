//! What holds of merges, whatever the archives hold and in whatever order they meet.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use windrow::history::{Moment, Past};
use windrow::model::State;
use windrow::store::{Reader, Value};

use crate::merge_world::{
    Sync, World, ahead, ask, cases, contents, contents_in, covered, day, syncs,
};

proptest! {
    #![proptest_config(cases(16, "proptest-regressions/merge_laws.txt"))]

    #[test]
    fn merging_is_commutative_associative_and_idempotent(
        shared in syncs(5), own in prop::collection::vec(syncs(6), 3..=3),
    ) {
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let ba = world.merged("b", &["a"]);
        prop_assert_eq!(world.dump(&ab), world.dump(&ba), "commutative");
        let bc = world.merged("b", &["c"]);
        let left = world.merged(&ab, &["c"]);
        let right = world.merged("a", &[&bc]);
        let all = world.dump(&left);
        prop_assert_eq!(&all, &world.dump(&right), "associative");
        let other = world.merged("c", &[&ba]);
        prop_assert_eq!(&all, &world.dump(&other), "in any order");
        world.copy("c", "at_once");
        world.take("at_once", &["a", "b"]);
        prop_assert_eq!(&all, &world.dump("at_once"), "also of several at once");
        for (into, from) in [(&left, "a"), (&left, "b"), (&left, "c"), (&other, &*left)] {
            let before = world.bytes(into);
            let was = world.everything(into);
            let report = world.take(into, &[from]);
            let mut is = world.everything(into);
            is.retain(|line| !was.contains(line));
            prop_assert!(!report.changed, "{into} knows {from} already: {is:#?}");
            prop_assert!(before == world.bytes(into), "not a byte of {into} was touched");
        }
    }

    #[test]
    fn readings_from_the_future_keep_the_laws(
        shared in syncs(4), own in prop::collection::vec(syncs(6), 3..=3),
        picked in prop::collection::vec(prop::bool::weighted(0.4), 6),
    ) {
        let shared = ahead(shared, &picked);
        let own: Vec<Vec<Sync>> = own.into_iter().map(|syncs| ahead(syncs, &picked)).collect();
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let ba = world.merged("b", &["a"]);
        prop_assert_eq!(world.dump(&ab), world.dump(&ba), "commutative");
        let bc = world.merged("b", &["c"]);
        let left = world.merged(&ab, &["c"]);
        let right = world.merged("a", &[&bc]);
        prop_assert_eq!(world.dump(&left), world.dump(&right), "associative");
        for from in ["a", "b", "c", &*right] {
            let before = world.bytes(&left);
            prop_assert!(!world.take(&left, &[from]).changed, "{left} knows {from} already");
            prop_assert!(before == world.bytes(&left), "not a byte was touched");
        }
        let until = "SELECT count(*) FROM _windrow_runs WHERE read_at > '2026-03-02T00:05'";
        prop_assert_eq!(ask(&world.reader(&left), until), [[Value::Integer(0)]]);
    }

    #[test]
    fn nothing_is_lost_and_coverage_is_exactly_the_union(
        shared in syncs(4), own in prop::collection::vec(syncs(8), 2..=2),
    ) {
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let sides = ["a", "b"];
        let mut said = BTreeSet::new();
        let mut days = BTreeSet::new();
        let merged = world.dump(&ab);
        for side in sides {
            said.extend(contents_in(&world.dump(side), &merged));
            days.extend(covered(&world.reader(side)));
        }
        prop_assert_eq!(contents(&merged), said);
        prop_assert_eq!(covered(&world.reader(&ab)), days);
    }

    #[test]
    fn at_no_moment_of_the_past_do_two_versions_of_a_row_stand(
        shared in syncs(6), own in prop::collection::vec(syncs(10), 2..=2),
    ) {
        let world = World::new(&shared, &own);
        let ab = world.merged("a", &["b"]);
        let last = ask(&world.reader(&ab), "SELECT coalesce(max(run_id), 0) FROM _windrow_runs");
        let [Value::Integer(last)] = last[0][..] else { panic!("{last:?}") };
        let at = |second| day(31) + chrono::TimeDelta::seconds(second);
        let moments = (0..7).map(|n| Moment::After(at(n))).chain((0..=last).map(Moment::Run));
        for stream in ["versioned", "hashed"] {
            if world.reader(&ab).stream(stream).expect("streams").is_none() {
                continue;
            }
            let once: BTreeMap<&str, BTreeSet<String>> = ["a", "b"]
                .map(|side| (side, keys(&world.reader(side), stream)))
                .into();
            for moment in moments.clone() {
                let then = as_of(&world, &ab, stream, &moment);
                let ids: BTreeSet<&String> = then.iter().map(|(id, _)| id).collect();
                prop_assert_eq!(ids.len(), then.len(), "{:?} {}: {:?}", &moment, stream, &then);
                if let Moment::After(_) = moment {
                    for (side, other) in [("a", "b"), ("b", "a")] {
                        let alone =
                            |id: &String| once[side].contains(id) && !once[other].contains(id);
                        let was: Vec<(String, String)> = if once[side].is_empty() {
                            Vec::new()
                        } else {
                            as_of(&world, side, stream, &moment)
                        };
                        let was: Vec<_> = was.into_iter().filter(|(id, _)| alone(id)).collect();
                        let is: Vec<_> =
                            then.iter().filter(|(id, _)| alone(id)).cloned().collect();
                        prop_assert_eq!(was, is, "{:?} {} alone in {}", &moment, stream, side);
                    }
                }
            }
        }
    }
}

/// The keys that a stream has ever had.
fn keys(reader: &Reader, stream: &str) -> BTreeSet<String> {
    if reader.stream(stream).expect("streams").is_none() {
        return BTreeSet::new();
    }
    let sql = format!("SELECT id FROM {stream} UNION SELECT id FROM {stream}_history");
    ask(reader, &sql).into_iter().map(|row| format!("{:?}", row[0])).collect()
}

fn as_of(world: &World, name: &str, stream: &str, moment: &Moment) -> Vec<(String, String)> {
    let past = Past::of(world.reader(name), moment).expect("a past");
    let mut rows = Vec::new();
    let sql = format!("SELECT id, gb, v FROM {stream} ORDER BY id");
    past.query(&sql, &mut |part| {
        rows.extend(part.row());
        Ok(())
    })
    .expect("rows");
    let text = |row: &Vec<Value>| (format!("{:?}", row[0]), format!("{:?}", &row[1..]));
    rows.iter().map(text).collect()
}

#[test]
fn a_merge_of_two_contents_of_one_key_keeps_both() {
    let one = |gb, at| Sync {
        stream: 0,
        rows: vec![(1, gb, None, 0)],
        extras: 0,
        day: 1,
        days: 1,
        state: State::Settled,
        at,
        partition: false,
        adopts: false,
        reject: None,
    };
    let world = World::new(&[], &[vec![one(0, 1)], vec![one(1, 2)]]);
    let merged = world.merged("a", &["b"]);
    let said: BTreeSet<_> =
        ["a", "b"].iter().flat_map(|side| contents(&world.dump(side))).collect();
    assert_eq!(contents(&world.dump(&merged)), said);
}
