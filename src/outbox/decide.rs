//! What an answer, or that there is none, makes of an entry.
//!
//! An attempt whose outcome is not known leaves a *doubt*. An entry in doubt is sent again only
//! where the API is told a key and still remembers it; where it does not, or no longer, the entry
//! is *unknown* and nobody but a lookup or a person takes it out of that.

use crate::archive::{OutboxBrief, Settlement};
use crate::definition::{Idempotency, Source};
use crate::model::{EntryState, Instant};
use crate::pull::{
    NetKind, Response, is_retried, leads_to_login, looks_like_html, looks_like_portal,
};

/// How far a clock may be set back before it is not believed any more, milliseconds. A time server
/// moves it by less.
const CLOCK_SLACK_MS: i64 = 120_000;
/// What is left of a key's lifetime for the request to arrive, milliseconds; at most a tenth of it.
const MARGIN_MS_MAX: i64 = 60_000;

/// What came back.
#[derive(Clone, Debug)]
pub enum Reply<'a> {
    /// An answer.
    Answer(&'a Response),
    /// None, and why.
    Fault(NetKind),
    /// The sender ended before there was one.
    Interrupted,
}

/// What it means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
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
pub fn judge(reply: &Reply<'_>, source: &Source) -> Verdict {
    let response = match reply {
        Reply::Interrupted => return Verdict::Doubtful,
        Reply::Fault(kind) => return judge_fault(*kind),
        Reply::Answer(response) => response,
    };
    let is_page = looks_like_html(response) && response.status < 400;
    if is_page || looks_like_portal(response) || leads_to_login(response) {
        return Verdict::Doubtful;
    }
    let keyed = source.idempotency.key.is_some();
    match response.status {
        401 | 403 => Verdict::Credentials,
        407 | 511 => Verdict::Doubtful,
        425 | 429 => Verdict::Later,
        status if keyed && source.idempotency.in_progress.contains(&status) => Verdict::InProgress,
        status if source.retry.never.contains(&status) && status < 500 => Verdict::Refused,
        _ if is_retried(response, &source.retry) => Verdict::Doubtful,
        200..=299 => Verdict::Taken,
        300..=399 => Verdict::Elsewhere,
        400..=499 => Verdict::Refused,
        _ => Verdict::Doubtful,
    }
}

fn judge_fault(kind: NetKind) -> Verdict {
    match kind {
        NetKind::Unreachable | NetKind::Forbidden | NetKind::Tls | NetKind::Malformed => {
            Verdict::Unsent
        }
        NetKind::Timeout
        | NetKind::Cut
        | NetKind::TooLarge
        | NetKind::Swollen
        | NetKind::Undecodable => Verdict::Doubtful,
    }
}

/// Whether an entry in doubt may be sent again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Again {
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
pub fn lifetime_ends(first: Instant, rules: &Idempotency) -> Instant {
    let margin = (rules.lifetime_ms / 10).min(MARGIN_MS_MAX);
    later(first, rules.lifetime_ms - margin)
}

/// Whether the entry may be sent at `now`.
pub fn may_send(entry: &OutboxBrief, rules: &Idempotency, now: Instant) -> Again {
    if !entry.doubt || rules.repeatable.contains(&entry.method) {
        return Again::May;
    }
    let (true, true, Some(first)) = (entry.keyed, rules.key.is_some(), entry.first_sent_at) else {
        return Again::NoKey;
    };
    let seen = entry.last_seen_at.unwrap_or(first).max(first);
    if later(now, CLOCK_SLACK_MS) < seen {
        return Again::ClockBack;
    }
    if now.max(seen) < lifetime_ends(first, rules) { Again::May } else { Again::TooLate }
}

/// What becomes of an entry whose attempt ended with `verdict`. `wait_ms` is how long it rests
/// before another one.
pub fn settle(
    entry: &OutboxBrief,
    verdict: Verdict,
    rules: &Idempotency,
    wait_ms: i64,
    now: Instant,
) -> Settlement {
    let next = later(now, wait_ms);
    let mut end = Settlement { doubt: entry.doubt, ..Settlement::nothing(now) };
    match verdict {
        Verdict::Taken => (end.state, end.doubt) = (EntryState::Done, false),
        Verdict::Refused => (end.state, end.doubt) = (EntryState::Rejected, false),
        Verdict::Later => end.next_at = Some(next),
        Verdict::Credentials => {}
        Verdict::Unsent => end.unsent = true,
        Verdict::Elsewhere => (end.state, end.doubt) = (EntryState::Unknown, true),
        Verdict::InProgress | Verdict::Doubtful => {
            end.doubt = true;
            let seen = entry.last_seen_at.max(Some(now));
            let entry = OutboxBrief { doubt: true, last_seen_at: seen, ..entry.clone() };
            match may_send(&entry, rules, next) {
                Again::May => end.next_at = Some(next),
                _ => end.state = EntryState::Unknown,
            }
        }
    }
    end
}

/// Ten years is for ever, here.
fn later(at: Instant, millis: i64) -> Instant {
    at.checked_add_signed(chrono::TimeDelta::milliseconds(millis)).unwrap_or(at)
}
