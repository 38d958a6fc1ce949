//! What an answer, or that there is none, makes of an entry.
//!
//! An attempt whose outcome is not known leaves a *doubt*. An entry in doubt is sent again only
//! where the API is told a key and still remembers it; where it does not, or no longer, the entry
//! is *unknown* and nobody but a lookup or a person takes it out of that.

use crate::definition::{Idempotency, Source};
use crate::http::{
    HttpResponse, NetKind, is_retried, leads_to_login, looks_like_html, looks_like_portal,
};
use crate::model::{EntryState, Timestamp};
use crate::outbox::{OutboxBrief, Settlement};

/// How far a clock may be set back before it is not believed any more, milliseconds. A time server
/// moves it by less.
const CLOCK_SLACK_MS: i64 = 120_000;
/// What is left of a key's lifetime for the request to arrive, milliseconds; at most a tenth of it.
const MARGIN_MS_MAX: i64 = 60_000;

/// What came back of one attempt.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    Answer(&'a HttpResponse),
    /// No answer came, for this reason.
    Fault(NetKind),
    /// The sender ended before there was one.
    Interrupted,
}

/// The meaning of a reply for the entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AttemptVerdict {
    /// The API took it.
    Taken,
    /// The API refused it for good: it has had no effect.
    Refused,
    /// The API has had it and does not know yet.
    InProgress,
    /// The API does not take it now: it has had no effect.
    Later,
    /// The API does not take it from us: it has had no effect.
    Credentials,
    /// It never reached the API.
    Unsent,
    /// It may have had its effect.
    Doubtful,
    /// The API points elsewhere, where a write is not sent; it may have had its effect.
    Elsewhere,
}

/// What a reply to a write means.
pub fn judge(reply: &Reply<'_>, source: &Source) -> AttemptVerdict {
    let response = match reply {
        Reply::Interrupted => return AttemptVerdict::Doubtful,
        Reply::Fault(kind) => return judge_fault(*kind),
        Reply::Answer(response) => response,
    };
    let is_page = looks_like_html(response) && response.status < 400;
    if is_page || looks_like_portal(response) || leads_to_login(response) {
        return AttemptVerdict::Doubtful;
    }
    let keyed = source.idempotency.key.is_some();
    match response.status {
        401 | 403 => AttemptVerdict::Credentials,
        407 | 511 => AttemptVerdict::Doubtful,
        425 | 429 => AttemptVerdict::Later,
        status if keyed && source.idempotency.in_progress.contains(&status) => {
            AttemptVerdict::InProgress
        }
        status if source.retry.never.contains(&status) && status < 500 => AttemptVerdict::Refused,
        _ if is_retried(response, &source.retry) => AttemptVerdict::Doubtful,
        200..=299 => AttemptVerdict::Taken,
        300..=399 => AttemptVerdict::Elsewhere,
        400..=499 => AttemptVerdict::Refused,
        _ => AttemptVerdict::Doubtful,
    }
}

fn judge_fault(kind: NetKind) -> AttemptVerdict {
    match kind {
        NetKind::Unreachable | NetKind::Forbidden | NetKind::Tls | NetKind::Malformed => {
            AttemptVerdict::Unsent
        }
        NetKind::Timeout
        | NetKind::Cut
        | NetKind::TooLarge
        | NetKind::Swollen
        | NetKind::Undecodable => AttemptVerdict::Doubtful,
    }
}

/// Whether an entry in doubt may be sent again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResendRule {
    /// It may: it has had no effect, or the API still knows its key.
    May,
    /// The API is told no key.
    NoKey,
    /// The API may have forgotten the key.
    TooLate,
    /// Nobody can tell how old the key is: the clock was set back.
    ClockBack,
}

/// When an entry that was first sent at `first` is sent for the last time.
pub fn lifetime_ends(first: Timestamp, rules: &Idempotency) -> Timestamp {
    let margin = (rules.lifetime_ms / 10).min(MARGIN_MS_MAX);
    later(first, rules.lifetime_ms - margin)
}

/// Whether the entry may be sent at `now`.
pub fn may_send(entry: &OutboxBrief, rules: &Idempotency, now: Timestamp) -> ResendRule {
    if !entry.in_doubt || rules.repeatable.contains(&entry.method) {
        return ResendRule::May;
    }
    let (true, true, Some(first)) = (entry.keyed, rules.key.is_some(), entry.first_sent_at) else {
        return ResendRule::NoKey;
    };
    let seen = entry.last_seen_at.unwrap_or(first).max(first);
    if later(now, CLOCK_SLACK_MS) < seen {
        return ResendRule::ClockBack;
    }
    if now.max(seen) < lifetime_ends(first, rules) { ResendRule::May } else { ResendRule::TooLate }
}

/// What becomes of an entry whose attempt ended with `verdict`. `wait_ms` is how long it rests
/// before another one.
pub fn settle(
    entry: &OutboxBrief,
    verdict: AttemptVerdict,
    rules: &Idempotency,
    wait_ms: i64,
    now: Timestamp,
) -> Settlement {
    let next = later(now, wait_ms);
    let mut end = Settlement { in_doubt: entry.in_doubt, ..Settlement::nothing(now) };
    match verdict {
        AttemptVerdict::Taken => (end.state, end.in_doubt) = (EntryState::Done, false),
        AttemptVerdict::Refused => (end.state, end.in_doubt) = (EntryState::Rejected, false),
        AttemptVerdict::Later => end.next_at = Some(next),
        AttemptVerdict::Credentials => {}
        AttemptVerdict::Unsent => end.unsent = true,
        AttemptVerdict::Elsewhere => (end.state, end.in_doubt) = (EntryState::Unknown, true),
        AttemptVerdict::InProgress | AttemptVerdict::Doubtful => {
            end.in_doubt = true;
            let seen = entry.last_seen_at.max(Some(now));
            let entry = OutboxBrief { in_doubt: true, last_seen_at: seen, ..entry.clone() };
            match may_send(&entry, rules, next) {
                ResendRule::May => end.next_at = Some(next),
                _ => end.state = EntryState::Unknown,
            }
        }
    }
    end
}

/// Ten years is for ever, here.
fn later(at: Timestamp, millis: i64) -> Timestamp {
    at.checked_add_signed(chrono::TimeDelta::milliseconds(millis)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::definition::{WriteMethod, parse_definition};

    fn source(more: &str) -> Source {
        let text = format!(
            "[archive]\npath = 'a.db'\n[sources.s]\nbase_url = 'https://a.example'\n\
             retry = {{ never = [418], also = [420], body_contains = ['later'] }}\n\
             [sources.s.idempotency]\n{more}"
        );
        parse_definition("w.toml", &text).expect("a definition").sources["s"].clone()
    }

    fn at(millis: i64) -> Timestamp {
        chrono::DateTime::from_timestamp_millis(1_767_225_600_000 + millis).expect("in range")
    }

    fn entry(in_doubt: bool, first: Option<i64>, seen: Option<i64>) -> OutboxBrief {
        OutboxBrief {
            entry: 1,
            source: "s".to_owned(),
            key: "k".to_owned(),
            base_url: "https://a.example/".to_owned(),
            method: WriteMethod::Post,
            path_start: "/".to_owned(),
            keyed: true,
            lane: None,
            after: None,
            not_before: None,
            expires_at: None,
            owner: "o".to_owned(),
            state: EntryState::Sending,
            in_doubt,
            first_sent_at: first.map(at),
            last_seen_at: seen.map(at),
            next_at: None,
            note: None,
            moved: None,
        }
    }

    fn answer(status: u16, body: &str, headers: &[(&str, &str)]) -> HttpResponse {
        let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
        HttpResponse { status, headers, body: body.as_bytes().to_vec() }
    }

    /// Status, body, headers; what it means where keys are honoured, and where they are not.
    type Case<'c> = (u16, &'c str, &'c [(&'c str, &'c str)], AttemptVerdict, AttemptVerdict);

    #[test]
    fn each_answer_means_one_thing() {
        use AttemptVerdict::*;
        let html = [("content-type", "text/html")];
        let login = [("location", "http://hotspot.example/login")];
        let cases: [Case; 22] = [
            (200, "{}", &[], Taken, Taken),
            (201, "", &[], Taken, Taken),
            (202, "", &[], Taken, Taken),
            (204, "", &[], Taken, Taken),
            (200, "try later", &[], Doubtful, Doubtful),
            (200, "<html>", &html, Doubtful, Doubtful),
            (200, r#"{"captive":true}"#, &[], Doubtful, Doubtful),
            (302, "", &login, Doubtful, Doubtful),
            (303, "", &[], Elsewhere, Elsewhere),
            (307, "", &[], Elsewhere, Elsewhere),
            (400, "", &[], Refused, Refused),
            (401, "", &[], Credentials, Credentials),
            (403, "", &[], Credentials, Credentials),
            (404, "<html>", &html, Refused, Refused),
            (408, "", &[], Doubtful, Doubtful),
            (409, "", &[], InProgress, Refused),
            (418, "", &[], Refused, Refused),
            (420, "", &[], Doubtful, Doubtful),
            (422, "", &[], Refused, Refused),
            (429, "", &[], Later, Later),
            (500, "", &[], Doubtful, Doubtful),
            (511, "", &[], Doubtful, Doubtful),
        ];
        let (keyed, not) = (source(""), source("honoured = false"));
        for (status, body, headers, with_keys, without) in cases {
            let response = answer(status, body, headers);
            let reply = Reply::Answer(&response);
            assert_eq!(judge(&reply, &keyed), with_keys, "{status} {body}");
            assert_eq!(judge(&reply, &not), without, "{status} {body}");
        }
        for kind in [NetKind::Unreachable, NetKind::Tls, NetKind::Forbidden, NetKind::Malformed] {
            assert_eq!(judge(&Reply::Fault(kind), &keyed), Unsent, "{kind:?}");
        }
        for kind in [NetKind::Timeout, NetKind::Cut, NetKind::TooLarge, NetKind::Undecodable] {
            assert_eq!(judge(&Reply::Fault(kind), &keyed), Doubtful, "{kind:?}");
        }
        assert_eq!(judge(&Reply::Interrupted, &keyed), Doubtful);
    }

    #[test]
    fn a_method_that_the_definition_calls_repeatable_needs_no_key() {
        let rules = source("honoured = false\nrepeatable = ['PUT']").idempotency;
        let mut put = OutboxBrief { keyed: false, ..entry(true, Some(0), Some(0)) };
        assert_eq!(may_send(&put, &rules, at(0)), ResendRule::NoKey);
        put.method = WriteMethod::Put;
        assert_eq!(may_send(&put, &rules, at(1 << 40)), ResendRule::May);
    }

    const VERDICTS: [AttemptVerdict; 8] = [
        AttemptVerdict::Taken,
        AttemptVerdict::Refused,
        AttemptVerdict::InProgress,
        AttemptVerdict::Later,
        AttemptVerdict::Credentials,
        AttemptVerdict::Unsent,
        AttemptVerdict::Doubtful,
        AttemptVerdict::Elsewhere,
    ];

    proptest! {
        /// Whatever comes, in whatever order, at whatever times the clock says: an entry that may
        /// have had its effect is on the wire again only within the lifetime of its key by every
        /// clock that was seen, and never where no key is told.
        #[test]
        fn no_entry_in_doubt_is_sent_after_its_keys_lifetime(
            honoured: bool,
            steps in prop::collection::vec((0..8_usize, -200_000_000_i64..200_000_000), 1..40),
        ) {
            let rules = source(if honoured { "" } else { "honoured = false" }).idempotency;
            let mut brief = OutboxBrief { keyed: honoured, ..entry(false, None, None) };
            brief.state = EntryState::Queued;
            let (mut clock, mut latest) = (0_i64, i64::MIN);
            for (verdict, jump) in steps {
                clock += jump;
                if brief.state != EntryState::Queued {
                    break;
                }
                if may_send(&brief, &rules, at(clock)) != ResendRule::May {
                    prop_assert!(brief.in_doubt);
                    break;
                }
                if brief.in_doubt {
                    let first = brief.first_sent_at.expect("it was sent");
                    prop_assert!(honoured);
                    prop_assert!(clock + CLOCK_SLACK_MS >= latest);
                    prop_assert!(at(clock) < later(first, rules.lifetime_ms));
                    prop_assert!(brief.last_seen_at < Some(later(first, rules.lifetime_ms)));
                }
                let first = brief.first_sent_at.filter(|_| brief.in_doubt);
                brief.first_sent_at = first.or(Some(at(clock)));
                brief.last_seen_at = brief.last_seen_at.max(Some(at(clock)));
                latest = latest.max(clock);
                let end = settle(&brief, VERDICTS[verdict], &rules, 1_000, at(clock));
                let known = [AttemptVerdict::Taken, AttemptVerdict::Refused];
                prop_assert!(!brief.in_doubt || end.in_doubt || known.contains(&VERDICTS[verdict]),
                    "a doubt does not go by itself");
                (brief.state, brief.in_doubt) = (end.state, end.in_doubt);
            }
        }
    }
}
