//! What becomes of two archives' words: which row stands, when each version stood, what the ledger
//! proves. Functions from values to values.
//!
//! Every answer depends on the two sides' words alone and not on whose they are, so that laptops
//! that never talk decide alike.

use std::cmp::Ordering;
use std::collections::BTreeSet;

use chrono::TimeZone;

use crate::definition::Scalar;
use crate::merge::{
    LedgerOrigin, LedgerSpan, ReadBy, RowClaim, RowVersion, UnitedSpan, VersionEnd,
};
use crate::model::{instant_from_text, instant_to_text};

/// How a stream decides between two contents of one key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rules {
    /// The first one stays, as `on_conflict = "keep"` says.
    pub keep_first: bool,
    /// The zone of dates.
    pub zone: chrono_tz::Tz,
}

impl Rules {
    /// Which of two fetches of the same content speaks for it: the greater.
    pub fn order_fetches(self, one: &ReadBy, other: &ReadBy) -> Ordering {
        let order = one.cmp(other);
        if self.keep_first { order.reverse() } else { order }
    }

    /// Which of two contents stands: the greater. Greater version, then later fetch, then the
    /// name of the run that read it, then the greater digest; a total order, whoever asks. The
    /// digest comes last since it depends on which columns an archive has: what one of them keeps
    /// in `_rest` is a column's value in another.
    pub fn order(self, one: &RowClaim, other: &RowClaim) -> Ordering {
        let versions = if self.keep_first {
            Ordering::Equal
        } else {
            order_versions(&one.version, &other.version)
        };
        versions
            .then_with(|| self.order_fetches(&one.read, &other.read))
            .then_with(|| one.digest.cmp(&other.digest))
    }

    /// The instant of a date, or of a timestamp as the archive writes it.
    pub fn instant_of(self, text: &str) -> Option<String> {
        let date = || {
            let midnight = text.parse::<chrono::NaiveDate>().ok()?.and_hms_opt(0, 0, 0)?;
            Some(self.zone.from_local_datetime(&midnight).earliest()?.to_utc())
        };
        instant_from_text(text).or_else(date).map(instant_to_text)
    }

    /// Until when each version of a row stood, so that no two stand at one time and no two after
    /// one run; none for the one that stands now. Where two overlap, the greater stands from its
    /// beginning on, and the other has stood until then or not at all.
    pub fn recut(self, versions: &[RowVersion]) -> Vec<Option<VersionEnd>> {
        let now = versions.iter().position(|version| version.until.is_none());
        let beats = |one: usize, other: usize| {
            self.order(&versions[one].claim, &versions[other].claim) == Ordering::Greater
        };
        let times: Vec<(&str, &str)> = versions
            .iter()
            .map(|version| (version.from.as_str(), version.until.as_deref().unwrap_or(FOR_EVER)))
            .collect();
        let runs: Vec<(i64, i64)> = versions
            .iter()
            .map(|version| (version.from_run, version.until_run.unwrap_or(i64::MAX)))
            .collect();
        let tie = |one: usize, other: usize| {
            let (one, other) = (&versions[one].claim, &versions[other].claim);
            one.read.cmp(&other.read).then_with(|| one.digest.cmp(&other.digest))
        };
        let at = cut(&times, now, &beats, &tie);
        let run = cut(&runs, now, &beats, &tie);
        let ended = at.into_iter().zip(run).enumerate();
        ended
            .map(|(n, (at, run))| (Some(n) != now).then(|| VersionEnd { at: at.to_owned(), run }))
            .collect()
    }
}

/// Which of two marks of a cursor has seen more: the greater number, or the later time.
pub fn order_marks(one: &str, other: &str) -> Ordering {
    let number = |text: &str| text.parse::<i64>().ok();
    let utc = Rules { keep_first: false, zone: chrono_tz::UTC };
    match (number(one).zip(number(other)), utc.instant_of(one).zip(utc.instant_of(other))) {
        (Some((one, other)), _) => one.cmp(&other),
        (None, Some((one_at, other_at))) => one_at.cmp(&other_at).then_with(|| one.cmp(other)),
        (None, None) => one.cmp(other),
    }
}

/// Sorts behind every instant that an archive writes.
const FOR_EVER: &str = "~";

/// Ends of spans that do not overlap: within its own end each stands until a greater one begins,
/// and all have ended when the one begins that stands now.
fn cut<T: Ord + Copy>(
    spans: &[(T, T)],
    now: Option<usize>,
    beats: &dyn Fn(usize, usize) -> bool,
    tie: &dyn Fn(usize, usize) -> Ordering,
) -> Vec<T> {
    let mut order: Vec<usize> = (0..spans.len()).filter(|n| Some(*n) != now).collect();
    order.sort_by(|one, other| spans[*one].0.cmp(&spans[*other].0).then_with(|| tie(*one, *other)));
    let mut ends: Vec<T> = spans.iter().map(|(from, _)| *from).collect();
    let mut standing: Option<usize> = None;
    for n in order {
        let (from, own_end) = spans[n];
        let end = now.map_or(own_end, |now| own_end.min(spans[now].0));
        if end <= from {
            continue;
        }
        match standing.filter(|other| ends[*other] > from) {
            Some(other) if !beats(n, other) => continue,
            Some(other) => ends[other] = from,
            None => {}
        }
        ends[n] = end;
        standing = Some(n);
    }
    ends
}

/// As SQLite orders values, with null least: numbers, then texts.
fn order_versions(one: &Scalar, other: &Scalar) -> Ordering {
    use Scalar::{Integer, Null, Real, Text};
    let class = |value: &Scalar| match value {
        Null => 0,
        Integer(_) | Real(_) => 1,
        Text(_) => 2,
    };
    match (one, other) {
        (Integer(one), Integer(other)) => one.cmp(other),
        (Real(one), Real(other)) => one.partial_cmp(other).unwrap_or(Ordering::Equal),
        (Integer(one), Real(other)) => order_mixed(*one, *other),
        (Real(one), Integer(other)) => order_mixed(*other, *one).reverse(),
        (Text(one), Text(other)) => one.as_bytes().cmp(other.as_bytes()),
        _ => class(one).cmp(&class(other)),
    }
}

/// Exactly: a double holds no more than 53 bits of an integer.
#[expect(clippy::cast_possible_truncation, reason = "it is within the bounds of an i64")]
#[expect(clippy::cast_precision_loss, reason = "only the bounds are compared as doubles")]
fn order_mixed(integer: i64, real: f64) -> Ordering {
    if real >= i64::MAX as f64 {
        return Ordering::Less;
    }
    if real < i64::MIN as f64 {
        return Ordering::Greater;
    }
    let whole = real.trunc();
    integer.cmp(&(whole as i64)).then_with(|| 0.0_f64.total_cmp(&(real - whole + 0.0)))
}

/// The union of two ledgers of one partition: at each instant what either side has proven, of the
/// later fetch where both have; settled where either is. Entries of one side do not overlap.
/// Pieces of one entry that touch and say the same are one.
pub fn unite(ours: &[LedgerSpan], theirs: &[LedgerSpan]) -> Vec<UnitedSpan> {
    let mut edges = BTreeSet::new();
    for span in ours.iter().chain(theirs) {
        edges.extend([span.start.as_str(), span.covered_to(), span.end.as_str()]);
    }
    let edges: Vec<&str> = edges.into_iter().collect();
    let mut united: Vec<UnitedSpan> = Vec::new();
    let mut of_ours = SpanWalk::new(ours);
    let mut of_theirs = SpanWalk::new(theirs);
    for stretch in edges.windows(2) {
        let (from, to) = (stretch[0], stretch[1]);
        let (our, their) = (of_ours.at(from), of_theirs.at(from));
        let covers = |spans: &[LedgerSpan], n: &usize| from < spans[*n].covered_to();
        let ours_here = our.filter(|n| covers(ours, n));
        let theirs_here = their.filter(|n| covers(theirs, n));
        let Some((of, mut value)) = better(
            ours_here.map(|n| (LedgerOrigin::Ours(n), &ours[n])),
            theirs_here.map(|n| (LedgerOrigin::Theirs(n), &theirs[n])),
        ) else {
            // The open end of an entry goes with its last piece.
            if let Some(last) = united.last_mut().filter(|last| last.span.end == from)
                && (our.map(LedgerOrigin::Ours) == Some(last.of)
                    || their.map(LedgerOrigin::Theirs) == Some(last.of))
            {
                to.clone_into(&mut last.span.end);
            }
            continue;
        };
        let of_both = ours_here.map(|n| &ours[n]).into_iter();
        let mut of_both = of_both.chain(theirs_here.map(|n| &theirs[n]));
        value.settled = of_both.any(|span| span.settled);
        (value.start, value.end, value.read_to) = (from.into(), to.into(), to.into());
        match united.last_mut() {
            Some(last) if last.of == of && last.joins(&value) => {
                last.span.end.clone_from(&value.end);
                last.span.read_to = value.read_to;
            }
            _ => united.push(UnitedSpan { span: value, of }),
        }
    }
    united
}

type Found<'s> = Option<(LedgerOrigin, &'s LedgerSpan)>;

/// The later fetch; of two alike this side's, which is then left as it is.
fn better(ours: Found<'_>, theirs: Found<'_>) -> Option<(LedgerOrigin, LedgerSpan)> {
    let key = |span: &LedgerSpan| (span.requested_at.clone(), span.dated_by_source);
    let found = match (ours, theirs) {
        (Some(ours), Some(theirs)) if key(theirs.1) > key(ours.1) => Some(theirs),
        (Some(ours), _) => Some(ours),
        (None, theirs) => theirs,
    };
    found.map(|(of, span)| (of, span.clone()))
}

impl UnitedSpan {
    /// Whether the next piece of the same entry is one with this one.
    fn joins(&self, next: &LedgerSpan) -> bool {
        self.span.end == next.start
            && self.span.read_to == next.start
            && self.span.settled == next.settled
    }
}

/// Finds the entry that an instant lies in; the instants come in order.
struct SpanWalk<'s> {
    spans: &'s [LedgerSpan],
    order: Vec<usize>,
    next: usize,
}

impl<'s> SpanWalk<'s> {
    fn new(spans: &'s [LedgerSpan]) -> Self {
        let mut order: Vec<usize> = (0..spans.len()).collect();
        order.sort_by(|one, other| spans[*one].start.cmp(&spans[*other].start));
        Self { spans, order, next: 0 }
    }

    fn at(&mut self, instant: &str) -> Option<usize> {
        while let Some(n) = self.order.get(self.next) {
            let span = &self.spans[*n];
            if span.end.as_str() > instant {
                return (span.start.as_str() <= instant).then_some(*n);
            }
            self.next += 1;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn rules() -> impl Strategy<Value = Rules> {
        any::<bool>().prop_map(|keep_first| Rules { keep_first, zone: chrono_tz::UTC })
    }

    fn claim() -> impl Strategy<Value = RowClaim> {
        let version = prop_oneof![
            Just(Scalar::Null),
            (-2_i64..3).prop_map(Scalar::Integer),
            (-3_i32..4).prop_map(|n| Scalar::Real(f64::from(n) / 2.0)),
            "[a-b]{0,2}".prop_map(Scalar::Text),
        ];
        (version, 0_u8..3, 0_u8..3, 0_u8..3).prop_map(|(version, at, digest, uid)| RowClaim {
            version,
            read: ReadBy { read_at: at.to_string(), uid: uid.to_string() },
            digest: digest.to_string(),
        })
    }

    /// A version of a row; what stands now ends never.
    fn version() -> impl Strategy<Value = RowVersion> {
        (claim(), 0_u8..8, 0_u8..8, 0_i64..8, 0_i64..8).prop_map(
            |(claim, from, length, from_run, runs)| RowVersion {
                claim,
                from: format!("{from:02}"),
                until: Some(format!("{:02}", from + length)),
                from_run,
                until_run: Some(from_run + runs),
            },
        )
    }

    fn span(from: u8, length: u8, reach: u8, settled: bool, at: u8, source: bool) -> LedgerSpan {
        LedgerSpan {
            start: format!("{from:02}"),
            end: format!("{:02}", from + length),
            read_to: format!("{:02}", from + reach.min(length)),
            settled,
            requested_at: format!("{at:02}"),
            dated_by_source: source,
        }
    }

    /// A ledger: entries that do not overlap.
    fn ledger() -> impl Strategy<Value = Vec<LedgerSpan>> {
        let entry = (0_u8..3, 1_u8..5, 0_u8..6, any::<bool>(), 0_u8..4, any::<bool>());
        prop::collection::vec(entry, 0..5).prop_map(|entries| {
            let mut from = 0;
            let place = |(gap, length, reach, settled, at, source)| {
                let start = from + gap;
                from = start + length;
                span(start, length, reach, settled, at, source)
            };
            entries.into_iter().map(place).collect()
        })
    }

    type Known = Option<(bool, String, bool)>;

    /// What a ledger says of an instant.
    fn says(ledger: &[LedgerSpan], at: &str) -> Known {
        let here = |span: &&LedgerSpan| span.start.as_str() <= at && at < span.covered_to();
        let found = ledger.iter().find(here);
        found.map(|span| (span.settled, span.requested_at.clone(), span.dated_by_source))
    }

    fn join(one: Known, other: Known) -> Known {
        match (one, other) {
            (Some(one), Some(other)) => {
                let later = (one.1, one.2).max((other.1, other.2));
                Some((one.0 || other.0, later.0, later.1))
            }
            (one, None) => one,
            (None, other) => other,
        }
    }

    fn spans(united: &[UnitedSpan]) -> Vec<LedgerSpan> {
        united.iter().map(|piece| piece.span.clone()).collect()
    }

    proptest! {
        #[test]
        fn the_order_of_contents_is_total(
            rules in rules(), a in claim(), b in claim(), c in claim(),
        ) {
            prop_assert_eq!(rules.order(&a, &b), rules.order(&b, &a).reverse());
            let exceeds = |one, other| rules.order(one, other) == Ordering::Greater;
            prop_assert!(exceeds(&a, &b) || exceeds(&b, &c) || !exceeds(&a, &c));
        }

        #[test]
        fn versions_that_were_cut_never_stand_together(
            rules in rules(), all in prop::collection::vec(version(), 1..7),
            stands in any::<bool>(),
        ) {
            let mut all = all;
            if stands {
                all[0].until = None;
                all[0].until_run = None;
            }
            let ended = rules.recut(&all);
            let both = |one: usize, other: usize| {
                let at = |n: usize| {
                    let end = ended[n].as_ref().map_or(FOR_EVER, |ended| &ended.at);
                    (all[n].from.as_str(), end)
                };
                let run = |n: usize| {
                    (all[n].from_run, ended[n].as_ref().map_or(i64::MAX, |ended| ended.run))
                };
                let ((from, to), (other_from, other_to)) = (at(one), at(other));
                let ((run, until), (other_run, other_until)) = (run(one), run(other));
                (from < other_to && other_from < to && from < to && other_from < other_to,
                    run < other_until && other_run < until && run < until
                        && other_run < other_until)
            };
            for one in 0..all.len() {
                for other in one + 1..all.len() {
                    prop_assert_eq!(both(one, other), (false, false), "{} {}", one, other);
                }
                if let Some(ended) = &ended[one] {
                    prop_assert!(ended.at >= all[one].from && ended.run >= all[one].from_run);
                    let own_end = all[one].until.as_ref().max(Some(&all[one].from));
                    prop_assert!(Some(&ended.at) <= own_end);
                }
            }
        }

        #[test]
        fn a_version_that_overlaps_nothing_is_left_as_it_is(
            rules in rules(), claims in prop::collection::vec((claim(), 1_u8..4), 1..6),
        ) {
            let mut from = 0;
            let place = |(claim, length): (RowClaim, u8)| {
                let start = from;
                from += length;
                RowVersion {
                    claim,
                    from: format!("{start:02}"),
                    until: Some(format!("{from:02}")),
                    from_run: i64::from(start),
                    until_run: Some(i64::from(from)),
                }
            };
            let all: Vec<RowVersion> = claims.into_iter().map(place).collect();
            for (version, ended) in all.iter().zip(rules.recut(&all)) {
                let as_it_was = version.until.clone().zip(version.until_run);
                prop_assert_eq!(ended.map(|ended| (ended.at, ended.run)), as_it_was);
            }
        }

        #[test]
        fn a_united_ledger_says_at_each_instant_what_the_two_say(a in ledger(), b in ledger()) {
            let ab = unite(&a, &b);
            let united = spans(&ab);
            for n in 0..40 {
                let at = format!("{n:02}");
                prop_assert_eq!(says(&united, &at), join(says(&a, &at), says(&b, &at)), "{}", n);
            }
            prop_assert!(united.windows(2).all(|two| two[0].end <= two[1].start), "{:?}", united);
            prop_assert!(united.iter().all(|span| span.start < span.end));
            for n in 0..40 {
                let at = format!("{n:02}");
                prop_assert_eq!(says(&spans(&unite(&b, &a)), &at), says(&united, &at));
            }
            let again = unite(&united, &b);
            prop_assert_eq!(spans(&again), united, "what was taken is not taken again");
            prop_assert!(again.iter().all(|piece| matches!(piece.of, LedgerOrigin::Ours(_))));
        }
    }

    #[test]
    fn greater_version_then_later_fetch_then_greater_digest() {
        let claim = |version: Scalar, at: &str, digest: &str| RowClaim {
            version,
            read: ReadBy { read_at: at.to_owned(), uid: String::new() },
            digest: digest.to_owned(),
        };
        let (one, two) = (|| Scalar::Integer(1), || Scalar::Integer(2));
        let cases = [
            ("a greater version", claim(one(), "9", "f"), claim(two(), "1", "a")),
            ("any version", claim(Scalar::Null, "9", "f"), claim(one(), "1", "a")),
            ("a later fetch", claim(one(), "1", "f"), claim(one(), "9", "a")),
            ("a fetch of a source", claim(one(), "", "f"), claim(one(), "1", "a")),
            ("a greater digest", claim(one(), "1", "a"), claim(one(), "1", "f")),
        ];
        for (name, lesser, greater) in cases {
            let rules = Rules { keep_first: false, zone: chrono_tz::UTC };
            assert_eq!(rules.order(&lesser, &greater), Ordering::Less, "{name}");
        }
        // Where the first one stays, the earlier fetch does, whatever its version.
        let first = Rules { keep_first: true, zone: chrono_tz::UTC };
        let (earlier, later) = (claim(one(), "1", "a"), claim(two(), "9", "f"));
        assert_eq!(first.order(&earlier, &later), Ordering::Greater);
    }

    #[test]
    fn the_greater_mark_has_seen_more() {
        for (less, more) in [
            ("9", "10"),
            ("2026-01-09", "2026-01-10T00:00:00+00:00"),
            ("2026-01-09T00:00:00.5+00:00", "2026-01-09T00:00:01+00:00"),
        ] {
            assert_eq!(order_marks(less, more), Ordering::Less);
            assert_eq!(order_marks(more, less), Ordering::Greater);
        }
    }
}
