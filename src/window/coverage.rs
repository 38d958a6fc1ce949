//! Which stretches of time are known, as a set of half-open intervals that never touch.

use crate::model::{Timestamp, Window};

/// A set of instants.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Coverage {
    /// Sorted, apart from each other.
    parts: Vec<Window>,
}

impl Coverage {
    /// The union of `windows`, in whatever order they come.
    pub fn of(windows: impl IntoIterator<Item = Window>) -> Self {
        let mut all: Vec<Window> = windows.into_iter().collect();
        all.sort();
        let mut parts: Vec<Window> = Vec::with_capacity(all.len());
        for window in all {
            match parts.last_mut() {
                Some(last) if window.start() <= last.end() => {
                    if window.end() > last.end() {
                        *last = Window::new(last.start(), window.end()).unwrap_or(*last);
                    }
                }
                _ => parts.push(window),
            }
        }
        Self { parts }
    }

    /// The intervals, oldest first.
    pub fn parts(&self) -> &[Window] {
        &self.parts
    }

    /// Whether the whole of `window` is in the set.
    pub fn covers(&self, window: Window) -> bool {
        self.gaps(window).next().is_none()
    }

    /// What of `window` is not in the set, oldest first.
    pub fn gaps(&self, window: Window) -> impl Iterator<Item = Window> {
        let first = self.parts.partition_point(|part| part.end() <= window.start());
        let mut inside =
            self.parts[first..].iter().take_while(move |part| part.start() < window.end());
        let mut from = Some(window.start());
        std::iter::from_fn(move || {
            while let Some(start) = from {
                let (gap_end, next) = match inside.next() {
                    Some(part) => (part.start(), Some(part.end())),
                    None => (window.end(), None),
                };
                from = next;
                if let Some(gap) = Window::new(start, gap_end) {
                    return Some(gap);
                }
            }
            None
        })
    }

    /// The instants that are in both sets.
    pub fn intersection(&self, other: &Coverage) -> Coverage {
        let (mut own, mut others) = (self.parts.iter(), other.parts.iter());
        let (mut a, mut b) = (own.next(), others.next());
        let mut parts = Vec::new();
        while let (Some(one), Some(two)) = (a, b) {
            parts.extend(one.intersection(*two));
            if one.end() <= two.end() {
                a = own.next();
            } else {
                b = others.next();
            }
        }
        Coverage { parts }
    }

    /// The end of the unbroken stretch that begins at `start`: the watermark.
    pub fn watermark(&self, start: Timestamp) -> Option<Timestamp> {
        let part = self.parts.iter().find(|part| part.start() <= start && start < part.end());
        part.map(|part| part.end())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::DateTime;
    use proptest::prelude::*;

    fn window(start: i64, end: i64) -> Option<Window> {
        let at = |seconds| DateTime::from_timestamp(seconds, 0).expect("in range");
        Window::new(at(start), at(end))
    }

    #[test]
    fn the_watermark_stops_at_the_first_gap() {
        let parts = [window(0, 10), window(10, 20), window(30, 40)].into_iter().flatten();
        let coverage = Coverage::of(parts);
        let start = DateTime::from_timestamp(0, 0).expect("in range");
        assert_eq!(coverage.watermark(start).map(|at| at.timestamp()), Some(20));
        let later = DateTime::from_timestamp(25, 0).expect("in range");
        assert_eq!(coverage.watermark(later), None);
    }

    proptest! {
        #[test]
        fn a_second_is_either_covered_or_in_exactly_one_gap(
            parts in prop::collection::vec((0_i64..100, 0_i64..100), 0..12),
            (from, length) in (0_i64..90, 1_i64..60),
        ) {
            let windows: Vec<_> = parts.iter().filter_map(|(a, b)| window(*a, *b)).collect();
            let coverage = Coverage::of(windows.clone());
            let asked = window(from, from + length).expect("not empty");
            let gaps: Vec<_> = coverage.gaps(asked).collect();
            for second in from..from + length {
                let at = DateTime::from_timestamp(second, 0).expect("in range");
                let covered = windows.iter().any(|window| window.contains(at));
                let in_gaps = gaps.iter().filter(|gap| gap.contains(at)).count();
                prop_assert_eq!(in_gaps, usize::from(!covered));
            }
            prop_assert_eq!(coverage.covers(asked), gaps.is_empty());
            prop_assert!(gaps.iter().all(|gap| gap.intersection(asked) == Some(*gap)));
        }

        #[test]
        fn a_second_is_in_an_intersection_where_it_is_in_both(
            a in prop::collection::vec((0_i64..60, 0_i64..60), 0..8),
            b in prop::collection::vec((0_i64..60, 0_i64..60), 0..8),
        ) {
            let set = |parts: &[(i64, i64)]| {
                Coverage::of(parts.iter().filter_map(|(from, to)| window(*from, *to)))
            };
            let (a, b) = (set(&a), set(&b));
            let both = a.intersection(&b);
            prop_assert_eq!(&Coverage::of(both.parts().iter().copied()), &both);
            for second in 0..60 {
                let one = window(second, second + 1).expect("not empty");
                prop_assert_eq!(both.covers(one), a.covers(one) && b.covers(one));
            }
        }
    }
}
