//! What two archives hold differently, for people: a line each.

use crate::history::{Change, Owner, RowDifference, Unlike};
use crate::model::{excerpt, printable};

use crate::cli::text::diff::difference_line;
use crate::model::numbers::{count, many};

/// Characters of a partition's name or of a mark that are shown: the rest of the line is the
/// difference.
const NAME_CHARS_MAX: usize = 60;

/// The numbers of the differences between two archives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BetweenCounts {
    only_a: u64,
    only_b: u64,
    changed: u64,
    others: u64,
}

impl BetweenCounts {
    /// Counts a row, or a difference of shape or coverage.
    pub fn add(&mut self, unlike: &Unlike) {
        match unlike {
            Unlike::Row(RowDifference { change: Change::Vanished(_), .. }) => self.only_a += 1,
            Unlike::Row(RowDifference { change: Change::Inserted(_), .. }) => self.only_b += 1,
            Unlike::Row(_) => self.changed += 1,
            _ => self.others += 1,
        }
    }

    /// Whether there is a difference.
    pub fn any(&self) -> bool {
        *self != Self::default()
    }

    /// The last line of the output; `names` are those of the two files.
    pub fn line(&self, names: &[String; 2]) -> String {
        if !self.any() {
            return "the two archives hold the same\n".to_owned();
        }
        let [a, b, changed, others] =
            [self.only_a, self.only_b, self.changed, self.others].map(count);
        let [first, second] = names;
        format!(
            "rows: {a} only in {first} (-), {b} only in {second} (+), {changed} with other values \
             (~); shape and coverage: {others}\n"
        )
    }
}

/// A line about a difference; `names` are those of the two archives, printable.
pub fn unlike_line(unlike: &Unlike, stream: &str, names: &[String; 2]) -> String {
    let of = |owner: &Owner| match owner {
        Owner::A => &names[0],
        Owner::B => &names[1],
    };
    let [first, second] = names;
    match unlike {
        Unlike::Row(difference) => difference_line(stream, difference),
        Unlike::Stream(owner, rows) => {
            format!("{stream}: only {} has it ({})\n", of(owner), many(*rows, "row"))
        }
        Unlike::Key(a, b) => format!(
            "{stream}: its key is {} in {first} and {} in {second}; rows are not compared\n",
            printable(a),
            printable(b)
        ),
        Unlike::Column(owner, column, kind) => {
            format!("{stream}: only {} has the column {} ({kind})\n", of(owner), printable(column))
        }
        Unlike::Type(column, a, b) => format!(
            "{stream}: the column {} is {a} in {first} and {b} in {second}\n",
            printable(column)
        ),
        Unlike::Covered(owner, partition, window) => {
            let what = window.map_or("all".to_owned(), |window| window.to_string());
            format!("{stream}{}: only {} covers {what}\n", part(partition), of(owner))
        }
        Unlike::Mark(partition, a, b) => {
            let shown = |mark: &Option<String>| {
                mark.as_deref().map_or("none".to_owned(), |m| excerpt(m, NAME_CHARS_MAX))
            };
            let (a, b) = (shown(a), shown(b));
            format!("{stream}{}: {first} is at {a}, {second} at {b}\n", part(partition))
        }
    }
}
fn part(partition: &str) -> String {
    let name = excerpt(partition, NAME_CHARS_MAX);
    if name.is_empty() { name } else { format!(" {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{PartitionCoverage, coverage_differences};
    use crate::model::Window;

    #[test]
    fn what_differs_is_one_line_that_no_value_can_break() {
        let names = ["a.db".to_owned(), "b.db".to_owned()];
        let lines = [
            Unlike::Stream(Owner::B, 1200),
            Unlike::Key("id".into(), "id, day".into()),
            Unlike::Column(Owner::A, "no\nte".into(), "text".into()),
            Unlike::Type("gb".into(), "real".into(), "text".into()),
            Unlike::Covered(Owner::A, "\"SL\u{1b}-1\"".into(), None),
            Unlike::Mark(String::new(), Some("5".into()), None),
        ];
        let lines = lines.map(|unlike| unlike_line(&unlike, "usage", &names));
        assert_eq!(
            lines.concat(),
            "usage: only b.db has it (1,200 rows)\n\
             usage: its key is id in a.db and id, day in b.db; rows are not compared\n\
             usage: only a.db has the column no\\nte (text)\n\
             usage: the column gb is real in a.db and text in b.db\n\
             usage \"SL\\u{1b}-1\": only a.db covers all\n\
             usage: a.db is at 5, b.db at none\n"
        );
        assert_eq!(BetweenCounts::default().line(&names), "the two archives hold the same\n");
    }

    fn covered(windows: &[(i64, i64)], mark: Option<&str>) -> PartitionCoverage {
        let at = |hour: &i64| chrono::DateTime::from_timestamp(hour * 3600, 0).expect("in range");
        let windows = windows.iter().filter_map(|(start, end)| Window::new(at(start), at(end)));
        PartitionCoverage {
            partition: "\"SL-1\"".to_owned(),
            windows: windows.collect(),
            whole: mark.is_some(),
            mark: mark.map(str::to_owned),
        }
    }

    #[test]
    fn what_only_one_side_has_read_is_told_and_what_both_have_is_not() {
        let told = |a: Option<&PartitionCoverage>, b: Option<&PartitionCoverage>| {
            let names = ["a".to_owned(), "b".to_owned()];
            let lines = coverage_differences(a, b);
            lines.iter().map(|unlike| unlike_line(unlike, "s", &names)).collect::<String>()
        };
        let (a, b) = (covered(&[(0, 24), (48, 72)], None), covered(&[(0, 48)], None));
        assert_eq!(told(Some(&a), Some(&a)), "");
        assert_eq!(
            told(Some(&a), Some(&b)),
            "s \"SL-1\": only a covers 1970-01-03..1970-01-04\n\
             s \"SL-1\": only b covers 1970-01-02..1970-01-03\n"
        );
        assert_eq!(told(None, Some(&b)), "s \"SL-1\": only b covers 1970-01-01..1970-01-03\n");
        let (five, six) = (covered(&[], Some("5")), covered(&[], Some("6")));
        assert_eq!(told(Some(&five), Some(&six)), "s \"SL-1\": a is at 5, b at 6\n");
        assert_eq!(told(Some(&five), None), "s \"SL-1\": only a covers all\n");
        assert_eq!(told(Some(&five), Some(&five)), "");
    }
}
