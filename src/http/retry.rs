//! What to do after a failed attempt: try again and when, or give up.

use crate::definition::RetryPolicy;
use crate::model::{Timestamp, WAIT_IMPOSED_MAX};

use crate::http::rate::{quota_wait_ms, seconds_ms, span_ms};
use crate::http::transport::{HttpResponse, NetKind};

/// Statuses that a later attempt may better (docs/contract.md, section 7).
const RETRIED: [u16; 7] = [408, 425, 429, 500, 502, 503, 504];

/// The longest backoff between two attempts, milliseconds, before `max_wait` cuts it further: it
/// keeps the doubling finite, and a later run serves a longer outage better.
const BACKOFF_MS_MAX: f64 = 300_000.0;

/// What is done after a failed attempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Try again after so many milliseconds.
    RetryAfter(i64),
    /// The source named a time that is too far away to sit out.
    NotBefore(Timestamp),
    /// It is no use.
    GiveUp,
}

/// Whether an answer is one that a later attempt may better.
pub fn is_retried(response: &HttpResponse, policy: &RetryPolicy) -> bool {
    let status = response.status;
    if policy.never.contains(&status) {
        return false;
    }
    let says_later = || {
        // Nearly every answer ends here, and a body of megabytes is not read for nothing.
        if policy.body_contains.is_empty() {
            return false;
        }
        let body = String::from_utf8_lossy(&response.body);
        policy.body_contains.iter().any(|text| body.contains(text))
    };
    RETRIED.contains(&status)
        || policy.also.contains(&status)
        || is_a_limit(response)
        || says_later()
}

/// Whether an answer refuses a request for now and no longer: many sources say so with 403, some
/// with another of these statuses, beside a wait or a quota that is spent.
fn is_a_limit(response: &HttpResponse) -> bool {
    // 401 and 407 ask for credentials, whatever they say of later.
    let refuses = matches!(response.status, 400 | 402 | 403 | 406 | 409 | 412 | 420 | 423 | 430);
    // What the wait counts from does not matter to whether there is one.
    let now = chrono::DateTime::UNIX_EPOCH;
    refuses
        && (retry_after_ms(response, now).is_some_and(|wait| wait > 0)
            || (matches!(response.status, 403 | 420 | 430)
                && quota_wait_ms(response, now).is_some_and(|wait| wait > 0)))
}

/// Whether a broken exchange may go better next time.
pub fn is_retried_error(kind: NetKind) -> bool {
    matches!(kind, NetKind::Unreachable | NetKind::Timeout | NetKind::Cut)
}

/// What to do after attempt number `attempt` (from 1). `asked_ms` is the wait that the source
/// asked for, which counts up to [`WAIT_IMPOSED_MAX`]; `jitter` is in `[0, 1)`.
pub fn decide(
    attempt: u32,
    policy: &RetryPolicy,
    asked_ms: Option<i64>,
    now: Timestamp,
    jitter: f64,
) -> Decision {
    let backoff = backoff_ms(attempt, policy, jitter);
    let asked_ms = asked_ms.map(|asked| asked.min(WAIT_IMPOSED_MAX.num_milliseconds()));
    let wait = asked_ms.unwrap_or(0).max(if asked_ms.is_some() { 0 } else { backoff });
    if asked_ms.is_some_and(|asked| asked > policy.wait_ms_max) {
        let until = now.checked_add_signed(chrono::TimeDelta::milliseconds(wait));
        return Decision::NotBefore(until.unwrap_or(now));
    }
    if attempt >= policy.attempts {
        return match asked_ms.filter(|asked| *asked > 0) {
            Some(asked) => {
                let until = now.checked_add_signed(chrono::TimeDelta::milliseconds(asked));
                Decision::NotBefore(until.unwrap_or(now))
            }
            None => Decision::GiveUp,
        };
    }
    Decision::RetryAfter(wait)
}

/// Exponential backoff with full jitter: anything between nothing and the whole of it.
pub fn backoff_ms(attempt: u32, policy: &RetryPolicy, jitter: f64) -> i64 {
    let doublings = i32::try_from(attempt.saturating_sub(1).min(30)).unwrap_or(30);
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a wait fit a double")]
    let (base, most) = (policy.base_ms as f64, policy.wait_ms_max as f64);
    let whole = (base * 2_f64.powi(doublings)).min(BACKOFF_MS_MAX).min(most);
    #[expect(clippy::cast_possible_truncation, reason = "at most five minutes")]
    let wait = (whole * jitter.clamp(0.0, 1.0)).round() as i64;
    wait
}

/// The wait of a `Retry-After`, milliseconds, however long: seconds, also with decimals, or a date
/// in any of HTTP's three forms (RFC 9110, section 10.2.3).
///
/// A date counts from the answer's own `Date`, so that a laptop whose clock is wrong waits as
/// long as one whose clock is right. A date in the past is no wait; an unreadable value is none.
///
/// Also its other spellings: `X-Retry-After`, `Retry-After-Ms` and `x-ms-retry-after-ms`, and a
/// value with a unit, as `30s`.
pub fn retry_after_ms(response: &HttpResponse, now: Timestamp) -> Option<i64> {
    let in_millis = ["retry-after-ms", "x-ms-retry-after-ms", "x-retry-after-ms"];
    let millis = in_millis.iter().find_map(|name| response.header(name)?.trim().parse().ok());
    if let Some(millis) = millis.filter(|millis: &i64| *millis >= 0) {
        return Some(millis);
    }
    let names =
        ["retry-after", "x-retry-after", "x-ratelimit-retry-after", "x-rate-limit-retry-after"];
    let value = names.iter().find_map(|name| response.header(name))?.trim();
    if let Some(millis) = seconds_ms(value).or_else(|| span_ms(value)) {
        return Some(millis);
    }
    let at = httpdate::parse_http_date(value).ok()?;
    let millis = |time: std::time::SystemTime| {
        chrono::DateTime::<chrono::Utc>::from(time).timestamp_millis()
    };
    let sent = response.header("date").and_then(|date| httpdate::parse_http_date(date).ok());
    let from = sent.map_or(now.timestamp_millis(), millis);
    Some((millis(at) - from).max(0))
}

/// What a source has asked for, milliseconds: the longest of all that an answer says.
pub fn asked_wait_ms(response: &HttpResponse, now: Timestamp) -> Option<i64> {
    retry_after_ms(response, now).max(quota_wait_ms(response, now))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers<'h> = &'h [(&'h str, &'h str)];

    fn policy() -> RetryPolicy {
        RetryPolicy {
            attempts: 3,
            base_ms: 1000,
            wait_ms_max: 60_000,
            also: vec![418],
            never: vec![500],
            body_contains: vec!["try later".to_owned()],
        }
    }

    fn answer(status: u16, headers: &[(&str, &str)], body: &str) -> HttpResponse {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        HttpResponse { status, headers, body: body.as_bytes().to_vec() }
    }

    fn now() -> Timestamp {
        chrono::DateTime::from_timestamp(784_111_777, 0).expect("in range")
    }

    #[test]
    fn a_definition_overrides_by_status_and_by_body() {
        let cases = [
            (429, "", true),
            (503, "", true),
            (500, "", false),
            (418, "", true),
            (404, "", false),
            (200, "ok", false),
            (200, "please try later", true),
            (501, "", false),
        ];
        for (status, body, expected) in cases {
            assert_eq!(
                is_retried(&answer(status, &[], body), &policy()),
                expected,
                "{status} {body}"
            );
        }
    }

    #[test]
    fn a_limit_is_a_wait_whatever_its_status() {
        let wait: Headers = &[("retry-after", "4.0")];
        let quota: Headers = &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")];
        let left: Headers = &[("x-ratelimit-remaining", "12"), ("x-ratelimit-reset", "30")];
        let cases = [
            (403, wait, true),
            (403, quota, true),
            (403, left, false),
            (403, &[][..], false),
            (400, wait, true),
            (400, quota, false),
            (409, wait, true),
            (420, quota, true),
            (401, wait, false),
            (401, quota, false),
            (404, quota, false),
        ];
        for (status, headers, expected) in cases {
            let answer = answer(status, headers, "");
            assert_eq!(is_retried(&answer, &policy()), expected, "{status} {headers:?}");
        }
    }

    #[test]
    fn retry_after_is_read_in_both_forms_and_by_the_servers_own_clock() {
        // 784111777 is Sun, 06 Nov 1994 08:49:37 GMT.
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        let skewed = ("date", "Mon, 07 Nov 1994 08:49:37 GMT");
        let cases: [(Headers, Option<i64>); 22] = [
            (&[("retry-after", "120")], Some(120_000)),
            (&[("retry-after", "4.0")], Some(4_000)),
            (&[("retry-after", "1.5")], Some(1_500)),
            (&[("retry-after", "0.00001")], Some(1)),
            (&[("retry-after", ".5")], None),
            (&[("retry-after", "1.5.0")], None),
            (&[("retry-after", "1e9")], None),
            (&[("retry-after", "99999999999999999999.9")], Some(i64::MAX)),
            (&[("retry-after", "0")], Some(0)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:49:41 GMT"), date], Some(4_000)),
            (&[("retry-after", "Sunday, 06-Nov-94 08:49:41 GMT"), date], Some(4_000)),
            (&[("retry-after", "Sun Nov  6 08:49:41 1994"), date], Some(4_000)),
            (&[("retry-after", "Mon, 07 Nov 1994 08:49:41 GMT"), skewed], Some(4_000)),
            (&[("retry-after", "Sun, 06 Nov 1994 08:00:00 GMT"), date], Some(0)),
            (&[("retry-after", "-5")], None),
            (&[("retry-after", "soon")], None),
            (&[("x-retry-after", "7")], Some(7_000)),
            (&[("retry-after-ms", "250"), ("retry-after", "9")], Some(250)),
            (&[("x-ms-retry-after-ms", "1500")], Some(1_500)),
            (&[("retry-after", "30s")], Some(30_000)),
            (&[("x-ratelimit-retry-after", "2")], Some(2_000)),
            (&[("retry-after", "1 fortnight")], None),
        ];
        for (headers, expected) in cases {
            assert_eq!(retry_after_ms(&answer(429, headers, ""), now()), expected, "{headers:?}");
        }
    }

    #[test]
    fn a_wait_without_sense_does_not_lock_a_source_for_ever() {
        let bound = now() + WAIT_IMPOSED_MAX;
        for value in [
            "Fri, 31 Dec 9999 23:59:59 GMT",
            "315360000",
            "315360000.0",
            "99999999999999999999",
            "9223372036854775807",
        ] {
            let far = answer(429, &[("retry-after", value)], "");
            let asked = asked_wait_ms(&far, now());
            assert!(asked.is_some_and(|asked| asked >= 315_360_000_000), "{value}: {asked:?}");
            for attempt in [1, 3] {
                let decision = decide(attempt, &policy(), asked, now(), 0.5);
                assert_eq!(decision, Decision::NotBefore(bound), "{value}");
            }
            let patient = RetryPolicy { wait_ms_max: i64::MAX, ..policy() };
            let decision = decide(1, &patient, asked, now(), 0.5);
            assert_eq!(decision, Decision::RetryAfter(WAIT_IMPOSED_MAX.num_milliseconds()));
        }
    }

    #[test]
    fn backoff_doubles_with_full_jitter_and_gives_up_after_the_last_attempt() {
        let policy = policy();
        assert_eq!(decide(1, &policy, None, now(), 0.5), Decision::RetryAfter(500));
        assert_eq!(decide(2, &policy, None, now(), 0.5), Decision::RetryAfter(1000));
        assert_eq!(decide(2, &policy, None, now(), 0.0), Decision::RetryAfter(0));
        assert_eq!(decide(3, &policy, None, now(), 0.5), Decision::GiveUp);
    }

    #[test]
    fn a_wait_that_is_too_long_ends_the_run_and_is_never_cut_short() {
        let policy = policy();
        let until = |seconds| Decision::NotBefore(now() + chrono::TimeDelta::seconds(seconds));
        assert_eq!(decide(1, &policy, Some(4_000), now(), 0.9), Decision::RetryAfter(4_000));
        assert_eq!(decide(1, &policy, Some(3_600_000), now(), 0.9), until(3600));
        assert_eq!(decide(3, &policy, Some(4_000), now(), 0.9), until(4));
    }
}
