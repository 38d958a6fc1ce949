//! What two archives hold differently, for people: a line each.

use crate::history::{Change, RowDifference};
use crate::model::{Window, excerpt, printable};

use crate::cli::text::diff::difference_line;
use crate::model::numbers::count;

/// Characters of a partition's name or of a mark that are shown.
const NAME_CHARS_MAX: usize = 60;

/// The one of two archives that has what the other lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// The first.
    A,
    /// The second.
    B,
}

/// One thing that two archives hold differently.
#[derive(Clone, Debug, PartialEq)]
pub enum Unlike {
    /// Only one has the stream, with so many rows.
    Stream(Owner, u64),
    /// The keys differ, so that rows cannot be held against each other.
    Key(String, String),
    /// Only one has a column of this name and type.
    Column(Owner, String, String),
    /// The types of a column differ.
    Type(String, String, String),
    /// A row: vanished where only the first has it, inserted where only the second has.
    Row(RowDifference),
    /// Only one has read this partition there: a window, or, with none, the whole.
    Covered(Owner, String, Option<Window>),
    /// The marks of a partition differ.
    Mark(String, Option<String>, Option<String>),
}

/// How much differs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BetweenCounts {
    only_a: u64,
    only_b: u64,
    changed: u64,
    others: u64,
}

impl BetweenCounts {
    /// Counts one more.
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

    /// The last line.
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

impl Unlike {
    /// A line about it; `names` are those of the two archives, printable.
    pub fn line(&self, stream: &str, names: &[String; 2]) -> String {
        let of = |owner: &Owner| match owner {
            Owner::A => &names[0],
            Owner::B => &names[1],
        };
        let [first, second] = names;
        match self {
            Unlike::Row(difference) => difference_line(stream, difference),
            Unlike::Stream(owner, rows) => {
                format!("{stream}: only {} has it ({} rows)\n", of(owner), count(*rows))
            }
            Unlike::Key(a, b) => format!(
                "{stream}: its key is {} in {first} and {} in {second}; rows are not compared\n",
                printable(a),
                printable(b)
            ),
            Unlike::Column(owner, column, kind) => {
                format!(
                    "{stream}: only {} has the column {} ({kind})\n",
                    of(owner),
                    printable(column)
                )
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
}

fn part(partition: &str) -> String {
    let name = excerpt(partition, NAME_CHARS_MAX);
    if name.is_empty() { name } else { format!(" {name}") }
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let lines = lines.map(|unlike| unlike.line("usage", &names));
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
}
