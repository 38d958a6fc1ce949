//! What a program is told about its entry.

use base64::Engine;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::model::{EntryState, instant_to_text};
use crate::outbox::OutboxEntry;

use super::problem::{GatewayProblem, GatewayProblemKind};
use super::reply::{ENTRY_PREFIX, GatewayAnswer};

/// RFC 3986, section 2.3: unreserved characters need no escape.
const PATH_ESCAPED: &AsciiSet =
    &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
/// When to ask again about something that is being worked on, seconds.
pub(crate) const ASK_AGAIN_S: u64 = 1;

/// How an entry is to the request that asks for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum How {
    /// The request made it.
    New,
    /// It was there before.
    Known,
}

/// How far the patience of a program goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    /// As far as the attempt that is on the wire.
    Attempt,
    /// It said how long it waits, and that is not over.
    Asked,
    /// The time that it waits is over.
    Over,
}

/// What a program is told now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum GatewayStep {
    /// It waits on: nothing has come yet.
    Wait,
    /// What came of its entry.
    Tell,
    /// That its entry is kept and goes on by itself.
    Accepted,
    /// That another request of its key is on the wire.
    InProgress,
}

/// What the program is told whose entry is in this state.
pub(crate) fn step(state: EntryState, how: How, patience: Patience) -> GatewayStep {
    match (state, how, patience) {
        (EntryState::Queued, _, Patience::Asked)
        | (EntryState::Sending, _, Patience::Asked)
        | (EntryState::Sending, How::New, Patience::Attempt) => GatewayStep::Wait,
        (EntryState::Queued, _, _) | (EntryState::Sending, How::New, _) => GatewayStep::Accepted,
        (EntryState::Sending, How::Known, _) => GatewayStep::InProgress,
        _ => GatewayStep::Tell,
    }
}

/// The address of an entry.
pub(crate) fn address_of(source: &str, key: &str) -> String {
    let escaped = |text| utf8_percent_encode(text, PATH_ESCAPED);
    format!("{ENTRY_PREFIX}{}/{}", escaped(source), escaped(key))
}

/// What came of an entry of which nothing more comes by itself at once.
pub(crate) fn tell(entry: &OutboxEntry, how: How) -> Result<GatewayAnswer, GatewayProblem> {
    let brief = &entry.brief;
    let address = address_of(&brief.source, &brief.key);
    let note = brief.note.as_deref().unwrap_or("there is no note about it");
    let is_answer = match brief.state {
        EntryState::Done => entry.status.is_some_and(|status| (200..300).contains(&status)),
        _ => entry.status.is_some(),
    };
    match (brief.state, &entry.answer, entry.status) {
        (EntryState::Done | EntryState::Rejected, Some(body), Some(status)) if is_answer => {
            let mut headers = entry.answer_headers.clone();
            if how == How::Known {
                headers.retain(|(name, _)| name != "idempotency-replayed");
                headers.push(("idempotency-replayed".to_owned(), "true".to_owned()));
            }
            Ok(GatewayAnswer { status, headers, body: body.clone() })
        }
        (EntryState::Done, _, _) => Ok(document(entry)),
        (EntryState::Expired | EntryState::Cancelled, _, _) => {
            Err(GatewayProblem::new(GatewayProblemKind::TakenBack, note).about(address))
        }
        (EntryState::Unknown, _, _) => {
            let detail = format!(
                "{note}; it may have had its effect, and is not sent again by itself: somebody \
                 looks at the API and says so with `windrow outbox resolve`"
            );
            Err(GatewayProblem::new(GatewayProblemKind::OutcomeUnknown, detail).about(address))
        }
        _ => Err(GatewayProblem::new(GatewayProblemKind::AnswerLost, note).about(address)),
    }
}

/// That an entry is kept and its answer comes later.
pub(crate) fn accepted(
    source: &str,
    key: &str,
    state: EntryState,
    why: Option<&str>,
) -> GatewayAnswer {
    let address = address_of(source, key);
    let body = json!({
        "source": source, "key": key, "state": state.as_str(), "entry": address, "waits": why,
    });
    let mut answer = json_answer(202, &body);
    answer.headers.push(("location".to_owned(), address));
    answer.headers.push(("retry-after".to_owned(), ASK_AGAIN_S.to_string()));
    answer
}

/// How an entry stands.
pub(crate) fn document(entry: &OutboxEntry) -> GatewayAnswer {
    let brief = &entry.brief;
    let answer = entry.answer.as_ref().map(|body| {
        let headers: serde_json::Map<String, Value> = entry
            .answer_headers
            .iter()
            .map(|(name, value)| (name.clone(), value.as_str().into()))
            .collect();
        let mut answer = json!({ "status": entry.status, "headers": headers });
        match std::str::from_utf8(body) {
            Ok(text) => answer["body"] = text.into(),
            Err(_) => {
                let coded = base64::engine::general_purpose::STANDARD.encode(body);
                answer["body_base64"] = coded.into();
            }
        }
        answer
    });
    let body = json!({
        "source": brief.source, "key": brief.key, "state": brief.state,
        "entry": address_of(&brief.source, &brief.key),
        "queued_at": instant_to_text(entry.created_at),
        "finished_at": entry.finished_at.map(instant_to_text),
        "attempts": entry.attempts, "note": brief.note, "answer": answer,
    });
    json_answer(200, &body)
}

fn json_answer(status: u16, body: &Value) -> GatewayAnswer {
    let headers = vec![
        ("content-type".to_owned(), "application/json".to_owned()),
        ("cache-control".to_owned(), "no-store".to_owned()),
    ];
    GatewayAnswer { status, headers, body: body.to_string().into_bytes() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_program_is_told_depends_on_its_entry_and_its_patience() {
        use EntryState::{Cancelled, Done, Queued, Rejected, Sending, Unknown};
        use How::{Known, New};
        use Patience::{Asked, Attempt, Over};
        let cases = [
            (Queued, New, Attempt, GatewayStep::Accepted),
            (Queued, New, Asked, GatewayStep::Wait),
            (Queued, New, Over, GatewayStep::Accepted),
            (Queued, Known, Attempt, GatewayStep::Accepted),
            (Queued, Known, Asked, GatewayStep::Wait),
            (Sending, New, Attempt, GatewayStep::Wait),
            (Sending, New, Asked, GatewayStep::Wait),
            (Sending, New, Over, GatewayStep::Accepted),
            (Sending, Known, Attempt, GatewayStep::InProgress),
            (Sending, Known, Asked, GatewayStep::Wait),
            (Sending, Known, Over, GatewayStep::InProgress),
        ];
        for (state, how, patience, expected) in cases {
            assert_eq!(step(state, how, patience), expected, "{state:?} {how:?} {patience:?}");
        }
        for state in [Done, Rejected, Unknown, Cancelled, EntryState::Expired] {
            for (how, patience) in [(New, Attempt), (Known, Asked), (New, Over)] {
                assert_eq!(step(state, how, patience), GatewayStep::Tell, "{state:?}");
            }
        }
    }

    #[test]
    fn the_address_of_an_entry_holds_any_key() {
        assert_eq!(address_of("shop", "a/b?c%"), "/.windrow/outbox/shop/a%2Fb%3Fc%25");
    }
}
