//! When the next request may go out under a client-side limit, and after what an answer said.

use std::time::Duration;

use crate::definition::Rate;
use crate::model::Timestamp;

use crate::http::transport::HttpResponse;

/// Spaces requests evenly: with `5/second` one every 200 ms, on monotonic time.
#[derive(Clone, Debug, Default)]
pub struct Pace {
    next: Duration,
}

impl Pace {
    /// How long to wait at `now` before the next request, which is thereby taken.
    pub fn take(&mut self, rate: Option<Rate>, now: Duration) -> Duration {
        let Some(rate) = rate else { return Duration::ZERO };
        let per = Duration::from_millis(u64::try_from(rate.per_ms).unwrap_or(0));
        let at = self.next.max(now);
        self.next = at + per / rate.count.max(1);
        at - now
    }
}

/// How long an answer asks not to be bothered, however long that is: `RateLimit` with nothing left,
/// or a header whose name ends in `remaining` with 0 and one beside it that says until when.
/// Milliseconds.
///
/// The names that are in use: `X-RateLimit-`, `RateLimit-`, `X-Rate-Limit-`, those with a word in
/// between (`x-ratelimit-requests-remaining`, `X-App-Rate-Limit-Remaining`), with `Reset`,
/// `Reset-After`, `Reset-At`, `Reset-Time` or `Reset-Ms`.
pub fn quota_wait_ms(response: &HttpResponse, now: Timestamp) -> Option<i64> {
    if let Some(wait) = structured_wait(response) {
        return Some(wait);
    }
    let plain = |name: &str| name.replace(['-', '_'], "");
    let spent = |name: &str, value: &str| {
        let family = plain(name).strip_suffix("remaining")?.to_owned();
        let left: f64 = value.trim().parse().ok()?;
        (family.contains("ratelimit") && left <= 0.0).then_some(family)
    };
    let spent = response.headers.iter().filter_map(|(name, value)| spent(name, value));
    let waits = spent.filter_map(|family| {
        response.headers.iter().find_map(|(name, value)| {
            let plain = plain(name);
            match plain.strip_prefix(&family)? {
                "reset" | "resetat" | "resettime" => reset_ms(value.trim(), now),
                "resetafter" | "resetin" => seconds_ms(value.trim()).or_else(|| span_ms(value)),
                "resetms" => value.trim().parse().ok(),
                _ => None,
            }
        })
    });
    waits.max().filter(|wait| *wait > 0)
}

/// Until when, as milliseconds from now: seconds from now, epoch seconds or epoch milliseconds,
/// told apart by size; a time as a text; `6m0s`.
fn reset_ms(value: &str, now: Timestamp) -> Option<i64> {
    let Ok(reset) = value.parse::<f64>() else {
        let at = chrono::DateTime::parse_from_rfc3339(value).map(|at| at.timestamp_millis());
        let at = at.ok().or_else(|| {
            let at = httpdate::parse_http_date(value).ok()?;
            Some(Timestamp::from(at).timestamp_millis())
        });
        return at.map(|at| at - now.timestamp_millis()).or_else(|| span_ms(value));
    };
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of this epoch fit a double")]
    let now_ms = now.timestamp_millis() as f64;
    let wait_ms = if reset > 1e11 {
        reset - now_ms
    } else if reset > 1e8 {
        reset * 1000.0 - now_ms
    } else {
        reset * 1000.0
    };
    #[expect(clippy::cast_possible_truncation, reason = "the largest number is as good")]
    let wait_ms = wait_ms.ceil() as i64;
    Some(wait_ms)
}

/// A length of time in the way of Go: `1h2m3.5s`, `20ms`. Milliseconds, rounded up.
pub(super) fn span_ms(text: &str) -> Option<i64> {
    let mut rest = text.trim();
    let mut millis = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|letter: char| !letter.is_ascii_digit() && letter != '.')?;
        let (number, after) = rest.split_at(digits);
        let letters = after.find(|letter: char| !letter.is_ascii_alphabetic());
        let (unit, after) = after.split_at(letters.unwrap_or(after.len()));
        let per = match unit {
            "ms" => 1.0,
            "s" | "sec" | "seconds" => 1_000.0,
            "m" | "min" => 60_000.0,
            "h" => 3_600_000.0,
            _ => return None,
        };
        millis += number.parse::<f64>().ok()? * per;
        rest = after;
    }
    #[expect(clippy::cast_possible_truncation, reason = "the largest number is as good")]
    let millis = millis.ceil() as i64;
    (!text.trim().is_empty()).then_some(millis)
}

/// The wait of `RateLimit: "name";r=0;t=10` (draft-ietf-httpapi-ratelimit-headers), milliseconds.
fn structured_wait(response: &HttpResponse) -> Option<i64> {
    let waits =
        response.headers_of("ratelimit").flat_map(|value| value.split(',')).filter_map(|item| {
            let parameter = |name: &str| {
                let mut parts = item.split(';').map(str::trim);
                parts.find_map(|part| part.strip_prefix(name)?.strip_prefix('='))
            };
            let left: f64 = parameter("r")?.parse().ok()?;
            (left <= 0.0).then_some(seconds_ms(parameter("t")?)?)
        });
    waits.max().filter(|wait| *wait > 0)
}

/// Seconds in decimal digits as milliseconds, rounded up; a number beyond all bounds is the
/// largest one.
pub(super) fn seconds_ms(text: &str) -> Option<i64> {
    let (whole, part) = text.split_once('.').unwrap_or((text, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(part) {
        return None;
    }
    let seconds = whole.parse::<i64>().unwrap_or(i64::MAX);
    let (shown, rest) = part.split_at(part.len().min(3));
    let millis = format!("{shown:0<3}").parse::<i64>().unwrap_or(0);
    let more = i64::from(rest.bytes().any(|digit| digit != b'0'));
    Some(seconds.saturating_mul(1000).saturating_add(millis + more))
}

#[cfg(test)]
mod tests {
    use super::*;

    type Headers = &'static [(&'static str, &'static str)];

    #[test]
    fn requests_are_spaced_evenly_and_a_pause_is_not_saved_up() {
        let rate = Some(Rate { count: 5, per_ms: 1000 });
        let mut pace = Pace::default();
        let ms = Duration::from_millis;
        assert_eq!(pace.take(rate, ms(0)), ms(0));
        assert_eq!(pace.take(rate, ms(0)), ms(200));
        assert_eq!(pace.take(rate, ms(250)), ms(150));
        assert_eq!(pace.take(rate, ms(5000)), ms(0));
        assert_eq!(pace.take(rate, ms(5000)), ms(200));
        assert_eq!(Pace::default().take(None, ms(7)), ms(0));
    }

    #[test]
    fn a_spent_quota_is_waited_for_in_each_of_its_spellings() {
        let now = chrono::DateTime::from_timestamp(1_800_000_000, 0).expect("in range");
        let cases: [(Headers, Option<i64>); 24] = [
            (&[("ratelimit", "\"default\";r=0;t=10")], Some(10_000)),
            (&[("ratelimit", "\"default\";r=5;t=10")], None),
            (&[("ratelimit", "\"a\";r=5;t=1, \"b\";r=0;t=3")], Some(3_000)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "30")], Some(30_000)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000060")], Some(60_000)),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1800000060000")],
                Some(60_000),
            ),
            (&[("ratelimit", "\"a\";r=0;t=99999999999999999999")], Some(i64::MAX)),
            (&[("ratelimit", "\"a\";r=0;t=4.0")], Some(4_000)),
            (&[("ratelimit", "\"a\";r=0;t=-4")], None),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "inf")], Some(i64::MAX)),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "nan")], None),
            (&[("ratelimit-remaining", "0"), ("ratelimit-reset", "2.0005")], Some(2_001)),
            (&[("x-ratelimit-remaining", "1"), ("x-ratelimit-reset", "30")], None),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "soon")], None),
            (&[("x-rate-limit-remaining", "0"), ("x-rate-limit-reset", "30")], Some(30_000)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-after", "1.5")], Some(1_500)),
            (
                &[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "2027-01-15T08:00:05Z")],
                Some(5_000),
            ),
            (
                &[
                    ("ratelimit-remaining", "0"),
                    ("ratelimit-reset", "Fri, 15 Jan 2027 08:00:07 GMT"),
                ],
                Some(7_000),
            ),
            (
                &[("x-ratelimit-requests-remaining", "0"), ("x-ratelimit-requests-reset", "1m2s")],
                Some(62_000),
            ),
            (&[("x-app-rate-limit-remaining", "0"), ("x-app-rate-limit-reset", "20ms")], Some(20)),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset-ms", "250")], Some(250)),
            (&[("x-ratelimit-remaining", "5"), ("x-rate-limit-reset", "30")], None),
            (&[("x-remaining", "0"), ("x-reset", "30")], None),
            (&[("x-ratelimit-remaining", "0"), ("x-ratelimit-reset", "1s2x")], None),
        ];
        for (headers, expected) in cases {
            let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            let response = HttpResponse { status: 200, headers, body: Vec::new() };
            assert_eq!(quota_wait_ms(&response, now), expected, "{:?}", response.headers);
        }
    }
}
