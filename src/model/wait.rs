//! Waits that somebody else imposes, and their bound.

use chrono::TimeDelta;

use super::time::Timestamp;

/// The longest wait that windrow keeps because a source asked for it. The quotas of public APIs
/// are renewed each day at the latest; a source that means longer says so again when it is asked,
/// which costs it one request a day.
pub const WAIT_IMPOSED_MAX: TimeDelta = TimeDelta::days(1);
/// The bound in words.
const WAIT_IMPOSED_MAX_TEXT: &str = "1 day";
/// The latest instant that is quoted, seconds since 1970: the end of the year 9999.
const QUOTED_SECONDS_MAX: i64 = 253_402_300_799;

/// A wait that holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wait {
    /// Until then the source is not asked; at most [`WAIT_IMPOSED_MAX`] after it was noted.
    pub until: Timestamp,
    /// What the source asked for and what windrow does, in words.
    pub reason: String,
}

impl Wait {
    /// The wait of a source that asks at `now` to be left alone for `asked_ms`.
    pub fn imposed(source: &str, asked_ms: i64, now: Timestamp) -> Wait {
        let last = Timestamp::from_timestamp(QUOTED_SECONDS_MAX, 0).unwrap_or(now);
        let after = |wait| now.checked_add_signed(wait).unwrap_or(last).min(last);
        let asked = TimeDelta::try_milliseconds(asked_ms.max(0)).unwrap_or(TimeDelta::MAX);
        let until = after(asked.min(WAIT_IMPOSED_MAX));
        Wait { until, reason: words(source, after(asked), until) }
    }

    /// A wait as it was noted: `not_before` at `set_at`, by some clock. None where it does not
    /// hold any more, and where nobody knows when a wait beyond the bound was noted.
    ///
    /// Where the clock has been set back since, as much of it is left as there was.
    pub fn noted(
        source: &str,
        not_before: Timestamp,
        set_at: Option<Timestamp>,
        reason: &str,
        now: Timestamp,
    ) -> Option<Wait> {
        let until = bounded(not_before, set_at, now).filter(|until| *until > now)?;
        let reason = match until == not_before {
            true => reason.to_owned(),
            false if set_at.is_some_and(|set_at| set_at > now) => words(source, until, until),
            false => words(source, not_before, until),
        };
        Some(Wait { until, reason })
    }
}

/// Until when a wait holds that was noted at `set_at`: see [`Wait::noted`].
pub fn bounded(
    not_before: Timestamp,
    set_at: Option<Timestamp>,
    now: Timestamp,
) -> Option<Timestamp> {
    let length = |from: Timestamp| {
        let length = not_before.signed_duration_since(from);
        length.clamp(TimeDelta::zero(), WAIT_IMPOSED_MAX)
    };
    match set_at {
        Some(set_at) if set_at > now => now.checked_add_signed(length(set_at)),
        Some(set_at) => set_at.checked_add_signed(length(set_at)),
        None => (not_before.signed_duration_since(now) <= WAIT_IMPOSED_MAX).then_some(not_before),
    }
}

fn words(source: &str, asked: Timestamp, until: Timestamp) -> String {
    let text = |at: Timestamp| at.format("%Y-%m-%d %H:%M:%S UTC").to_string();
    if asked == until {
        return format!("the source {source} asks not to be asked before {}", text(until));
    }
    format!(
        "the source {source} asked for a wait until {}; windrow waits at most \
         {WAIT_IMPOSED_MAX_TEXT} and asks again after {}",
        text(asked),
        text(until)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_timestamp(1_768_046_400 + seconds, 0).expect("in range")
    }

    const DAY: i64 = 86_400;

    #[test]
    fn a_wait_that_is_asked_for_ends_within_the_bound() {
        for (asked_ms, seconds) in [
            (-5, 0),
            (0, 0),
            (4_000, 4),
            (DAY * 1000, DAY),
            (DAY * 1000 + 1000, DAY),
            (10 * 365 * DAY * 1000, DAY),
            (i64::MAX, DAY),
        ] {
            let wait = Wait::imposed("s", asked_ms, at(0));
            assert_eq!(wait.until, at(seconds), "{asked_ms}");
            let quotes = wait.reason.contains("at most 1 day");
            assert_eq!(quotes, asked_ms > DAY * 1000, "{}", wait.reason);
        }
        assert_eq!(WAIT_IMPOSED_MAX_TEXT, "1 day");
        assert_eq!(WAIT_IMPOSED_MAX, TimeDelta::days(1));
    }

    #[test]
    fn a_noted_wait_holds_no_longer_than_the_bound_from_its_own_noting() {
        let year = 365 * DAY;
        // When it ends, when it was noted, how long it holds from now.
        let cases = [
            (60, Some(-10), Some(60)),
            (-1, Some(-10), None),
            (10 * year, Some(0), Some(DAY)),
            (10 * year, Some(-DAY + 5), Some(5)),
            (10 * year, Some(-DAY), None),
            (10 * year, Some(-year), None),
            (60, None, Some(60)),
            (DAY, None, Some(DAY)),
            (10 * year, None, None),
            // The clock was set back since.
            (year + 60, Some(year), Some(60)),
            (11 * year, Some(year), Some(DAY)),
            (year - 60, Some(year), None),
        ];
        for (not_before, set_at, holds) in cases {
            let wait = Wait::noted("s", at(not_before), set_at.map(at), "noted", at(0));
            let until = wait.as_ref().map(|wait| wait.until);
            assert_eq!(until, holds.map(at), "{not_before} {set_at:?}");
            let Some(wait) = wait else { continue };
            let cut = wait.until != at(not_before);
            assert_eq!(wait.reason == "noted", !cut, "{}", wait.reason);
        }
        let far = (Timestamp::MAX_UTC, Timestamp::MIN_UTC);
        for (not_before, set_at) in [(far.0, Some(far.1)), (far.1, Some(far.0)), (far.0, None)] {
            assert_eq!(Wait::noted("s", not_before, set_at, "", at(0)), None);
        }
        let whole = Wait::noted("s", far.0, Some(far.0), "", at(0));
        assert_eq!(whole, None);
    }
}
