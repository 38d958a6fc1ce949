//! Ways in which an API is not the plain one that a definition describes: some of them agree with
//! the definition all the same, others contradict it. A seed has at most one.

use crate::scenario::{Kind, Paging, Scenario, Total, once_in};

/// Milliseconds in an hour.
const HOUR: i64 = crate::scenario::HOUR;

/// One such way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Quirk {
    /// None of them.
    #[default]
    None,
    /// A filter after paging: pages in the middle are short.
    FilteredPages,
    /// The definition says that a short page is the last, and it is.
    ShortEnd,
    /// The total stops at `most`, which the definition may say.
    CappedTotal {
        /// The largest total.
        most: usize,
        /// Whether the definition says so.
        declared: bool,
    },
    /// Records with equal sort keys come in another order each time.
    Ties,
    /// One key stands for two records, of one parent or of two.
    RepeatedKeys {
        /// Of two parents.
        across_parents: bool,
    },
    /// The clock of the source is ahead by so many milliseconds.
    ClockAhead(i64),
    /// Times without an offset, in the zone that the definition names.
    LocalTimes,
    /// A list of one record is that record.
    SingleObject,
    /// While there are faults, answers lack records and say so.
    PartialFailures(Failure),
    /// The definition does not follow the pages.
    Unfollowed {
        /// What the answers say of more.
        says: Says,
        /// Whether the definition names another place, in place of none.
        misplaced: bool,
    },
    /// Where there is no data the answer has this status.
    EmptyStatus {
        /// 204 or 404.
        status: u16,
        /// Whether the definition says so.
        declared: bool,
    },
    /// The first parent has no data in the stream.
    MissingParent {
        /// 403 or 404.
        status: u16,
        /// Whether the definition says so.
        declared: bool,
    },
}

/// How an answer says that it failed in part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// `errors` beside the data.
    Errors,
    /// `partial: true`.
    Partial,
    /// `timed_out: true`.
    TimedOut,
    /// A count of failed shards.
    Shards,
}

impl Failure {
    /// The member of the answer.
    pub fn member(self) -> &'static str {
        match self {
            Failure::Errors => r#","errors":[{"message":"a shard is gone"}]"#,
            Failure::Partial => r#","partial":true"#,
            Failure::TimedOut => r#","timed_out":true"#,
            Failure::Shards => r#","_shards":{"total":5,"failed":1}"#,
        }
    }
}

/// The one way in which an answer says that there is more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Says {
    /// A `Link` with `rel="next"`.
    Link,
    /// The same with single quotes.
    QuotedLink,
    /// A token.
    Token,
    /// An address.
    Address,
    /// `has_more`.
    Flag,
    /// A count of all records, in the body.
    Total,
    /// The same in a header.
    TotalHeader,
    /// A count of pages.
    Pages,
}

impl Scenario {
    /// Draws what a simulated life has: in every fourth seed, one thing that is not plain.
    pub fn draw_with_quirk(seed: u64) -> Scenario {
        let mut scenario = Scenario::draw(seed);
        if seed.is_multiple_of(4) && scenario.cap.is_none() {
            let mut random = fastrand::Rng::with_seed(seed ^ 0x0071_4e5e);
            scenario.draw_quirk(&mut random);
        }
        scenario
    }

    fn draw_quirk(&mut self, r: &mut fastrand::Rng) {
        let counted = [Paging::Page, Paging::Offset][r.usize(..2)];
        let declared = r.bool();
        self.quirk = match r.u32(..12) {
            0 => {
                self.paging = Paging::Page;
                self.page_size = self.page_size.max(2);
                self.short_pages = false;
                Quirk::FilteredPages
            }
            1 => {
                (self.paging, self.sized, self.says_more) = (counted, true, false);
                self.total = Total::None;
                Quirk::ShortEnd
            }
            2 => {
                self.page_size = r.usize(1..4);
                self.total = [Total::Body, Total::Header][r.usize(..2)];
                let most = 2 * self.given_size() + r.usize(..3);
                // What is refused is read again and again, and grows meanwhile.
                self.classes.churn &= declared;
                Quirk::CappedTotal { most, declared }
            }
            3 if self.kind != Kind::Cursor => {
                self.paging = counted;
                self.page_size = r.usize(1..4);
                Quirk::Ties
            }
            4 if self.kind != Kind::Cursor => self.repeat_keys(r),
            5 => Quirk::LocalTimes,
            6 => Quirk::SingleObject,
            7 => Quirk::PartialFailures(
                [Failure::Errors, Failure::Partial, Failure::TimedOut, Failure::Shards]
                    [r.usize(..4)],
            ),
            8 => self.follow_nothing(r),
            9 => Quirk::EmptyStatus { status: [204, 404][r.usize(..2)], declared },
            10 => {
                self.parents = 3;
                Quirk::MissingParent { status: [403, 404][r.usize(..2)], declared }
            }
            _ => {
                (self.dated, self.classes.clocks) = (true, false);
                Quirk::ClockAhead(r.i64(1..30) * HOUR)
            }
        };
        // Nobody counts, or what counts has a meaning of its own.
        self.classes.ties &= self.is_counted();
        let tokens = !self.is_counted() && self.paging != Paging::None;
        let tokens = tokens && self.paging != Paging::LastId;
        self.classes.tokens &= tokens;
        self.classes.empty_pages &= tokens;
        self.classes.resends &= tokens;
    }

    fn repeat_keys(&mut self, r: &mut fastrand::Rng) -> Quirk {
        if self.paging == Paging::LastId {
            self.paging = Paging::Token;
        }
        (self.version, self.history, self.missing) = (false, false, false);
        (self.classes.deletions, self.classes.resends) = (false, false);
        let across_parents = once_in(r, 3);
        if across_parents {
            // Parents that are not fetched by one run are not compared, as settled windows are not.
            self.kind = Kind::Snapshot;
            self.parents = self.parents.max(2);
        }
        Quirk::RepeatedKeys { across_parents }
    }

    fn follow_nothing(&mut self, r: &mut fastrand::Rng) -> Quirk {
        let (says, paging) = [
            (Says::Link, Paging::Link),
            (Says::QuotedLink, Paging::Link),
            (Says::Token, Paging::Token),
            (Says::Address, Paging::NextUrl),
            (Says::Flag, Paging::Page),
            (Says::Total, Paging::Page),
            (Says::TotalHeader, Paging::Offset),
            (Says::Pages, Paging::Page),
        ][r.usize(..8)];
        (self.paging, self.total, self.says_more) = (paging, Total::None, false);
        (self.sized, self.post) = (false, false);
        let placed = matches!(says, Says::Token | Says::Address);
        Quirk::Unfollowed { says, misplaced: placed && r.bool() }
    }

    /// The `paginate` of a definition that does not follow the pages, if it has one at all.
    pub fn unfollowed_table(&self) -> Option<&'static str> {
        let Quirk::Unfollowed { says, misplaced } = self.quirk else { return None };
        Some(match says {
            Says::Address if misplaced => "kind = \"next_url\"\nnext = \"$.paging.next\"\n",
            _ if misplaced => "kind = \"cursor\"\nnext = \"$.paging.next_cursor\"\n",
            _ => "",
        })
    }

    /// Keys of the stream that are about answers that mean nothing.
    pub fn nothing_keys(&self) -> String {
        match self.quirk {
            Quirk::EmptyStatus { status: 404, declared: true } => {
                "empty = { status = [404], body = \"no data\" }\n".to_owned()
            }
            Quirk::EmptyStatus { status, declared: true } => {
                format!("empty = {{ status = [{status}] }}\n")
            }
            Quirk::MissingParent { status, declared: true } => {
                format!("absent = {{ status = [{status}] }}\n")
            }
            _ => String::new(),
        }
    }

    /// The parent that has no data in the stream.
    pub fn missing_parent(&self) -> Option<usize> {
        matches!(self.quirk, Quirk::MissingParent { .. }).then_some(0)
    }

    /// By how much the clock of the source is ahead, milliseconds.
    pub fn clock_ahead(&self) -> i64 {
        if let Quirk::ClockAhead(millis) = self.quirk { millis } else { 0 }
    }

    /// Whether a total tells how many records there are.
    pub fn is_total_exact(&self) -> bool {
        self.total != Total::None && !matches!(self.quirk, Quirk::CappedTotal { .. })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_quirk_is_drawn_often_enough_to_tell_anything() {
        let mut drawn = std::collections::BTreeMap::new();
        for seed in 1..=2_000 {
            let quirk = format!("{:?}", Scenario::draw_with_quirk(seed).quirk);
            let name = quirk.split(['(', ' ']).next().unwrap_or_default().to_owned();
            *drawn.entry(name).or_insert(0) += 1;
        }
        let rare: Vec<_> = drawn.iter().filter(|(_, times)| **times < 20).collect();
        assert!(rare.is_empty() && drawn.len() == 13, "{drawn:?}");
    }
}
