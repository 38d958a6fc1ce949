//! How long to wait until the next round of a watch: decided here, waited for elsewhere.
//!
//! Being offline is a state and not an error. A network that comes and goes is tried often and
//! cheaply; a source that fails is left alone for longer; what only a person can mend is looked at
//! again now and then, in case somebody has.

use crate::http::SourceErrorKind;
use crate::model::{Error, ErrorKind, Timestamp};

use crate::sync::SyncReport;

/// How a round ended, as far as the next one depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Round {
    /// Everything that was due is complete.
    Complete,
    /// There is no network, or not the one that leads to the source.
    Offline,
    /// The source asked to be left alone.
    Waiting,
    /// The source answers, with errors.
    Failing,
    /// Somebody has to look: credentials, an invalid response, a definition.
    Broken,
    /// Another process has the archive.
    Held,
    /// The archive was there before, and is not any more.
    Gone,
    /// The disk is full, read-only or broken.
    Storage,
}

/// The wait before the next round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// The length of the wait, milliseconds.
    pub millis: i64,
    /// Whether it ends early when the network comes back.
    pub until_network: bool,
}

impl Rest {
    /// The length as a duration; a negative one is none.
    pub fn whole(self) -> std::time::Duration {
        std::time::Duration::from_millis(u64::try_from(self.millis).unwrap_or(0))
    }

    /// The same, but over by `at`; never shorter than a second.
    #[must_use]
    pub fn no_later_than(self, at: Timestamp, now: Timestamp) -> Rest {
        let until = (at - now).num_milliseconds().max(SECOND);
        Rest { millis: self.millis.min(until), ..self }
    }
}

const SECOND: i64 = 1_000;
const MINUTE: i64 = 60 * SECOND;

impl Round {
    /// How a sync ended.
    pub fn of(result: &Result<SyncReport, Error>) -> Round {
        match result {
            Err(error) => match error.kind {
                ErrorKind::Held => Round::Held,
                ErrorKind::Storage => Round::Storage,
                _ => Round::Broken,
            },
            Ok(report) => Round::after(report.gravest().map(|error| error.kind)),
        }
    }

    /// How a round ended whose gravest error with a source was this.
    pub fn after(error: Option<SourceErrorKind>) -> Round {
        match error {
            None | Some(SourceErrorKind::Stopped | SourceErrorKind::Budget) => Round::Complete,
            Some(SourceErrorKind::Offline) => Round::Offline,
            Some(SourceErrorKind::Waiting) => Round::Waiting,
            Some(SourceErrorKind::Failing) => Round::Failing,
            Some(_) => Round::Broken,
        }
    }
}

/// How long to rest after a round. `row` counts rounds that ended this way one after another, from
/// 0; `every_ms` is the pause after a round that went well; `jitter` is in `[0, 1)`.
pub fn rest_after(
    round: Round,
    row: u32,
    every_ms: i64,
    not_before: Option<Timestamp>,
    now: Timestamp,
    jitter: f64,
) -> Rest {
    let until_network = round == Round::Offline;
    // Full jitter: a hundred laptops that lost one network do not all come back at once.
    let backoff = |base: i64, most: i64| {
        let doubled = base.saturating_mul(1_i64.checked_shl(row.min(30)).unwrap_or(i64::MAX));
        ((doubled.min(most) as f64 * jitter) as i64).max(base / 2)
    };
    let millis = match round {
        Round::Complete => every_ms,
        Round::Offline => backoff(4 * SECOND, 5 * MINUTE),
        Round::Failing => backoff(30 * SECOND, 30 * MINUTE),
        Round::Held | Round::Gone => backoff(2 * SECOND, 30 * SECOND),
        Round::Storage => backoff(30 * SECOND, 10 * MINUTE),
        Round::Broken => every_ms.max(backoff(MINUTE, 60 * MINUTE)),
        Round::Waiting => 0,
    };
    let told = not_before.map_or(0, |until| until.signed_duration_since(now).num_milliseconds());
    let told = if matches!(round, Round::Waiting | Round::Failing) { told } else { 0 };
    Rest { millis: millis.max(told).max(SECOND), until_network }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Timestamp {
        chrono::DateTime::from_timestamp(1_767_225_600, 0).expect("in range")
    }

    fn millis(round: Round, row: u32, jitter: f64) -> i64 {
        rest_after(round, row, 15 * MINUTE, None, now(), jitter).millis
    }

    #[test]
    fn each_round_has_its_rest() {
        assert_eq!(millis(Round::Complete, 0, 0.9), 15 * MINUTE);
        assert_eq!(millis(Round::Offline, 0, 0.5), 2 * SECOND);
        assert_eq!(millis(Round::Offline, 3, 0.5), 16 * SECOND);
        assert_eq!(millis(Round::Broken, 0, 0.5), 15 * MINUTE);
        assert_eq!(millis(Round::Held, 0, 0.0), SECOND);
    }

    #[test]
    fn no_rest_grows_without_end_and_none_is_a_storm() {
        for round in [Round::Offline, Round::Failing, Round::Held, Round::Storage, Round::Broken] {
            for row in [0, 5, 31, 32, u32::MAX] {
                for jitter in [0.0, 0.5, 0.999] {
                    let millis = millis(round, row, jitter);
                    assert!((SECOND..=60 * MINUTE).contains(&millis), "{round:?} {row} {millis}");
                }
            }
        }
    }

    #[test]
    fn what_the_source_asked_for_is_obeyed_and_only_the_network_wakes_early() {
        let until = now() + chrono::TimeDelta::minutes(70);
        let rest = rest_after(Round::Waiting, 0, MINUTE, Some(until), now(), 0.5);
        assert_eq!(rest, Rest { millis: 70 * MINUTE, until_network: false });
        assert!(rest_after(Round::Offline, 0, MINUTE, Some(until), now(), 0.5).until_network);
    }
}
