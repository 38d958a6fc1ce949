//! Asking the source whether a write of unknown outcome has taken effect.

use crate::definition::{BodyFormat, Lookup, Paginate, Source, TemplateValues};
use crate::http::{HttpResponse, NetError, PageToken, RequestPlan, data_of, error_of_exchange};
use crate::model::{EntryState, Error};
use crate::outbox::{OutboxBrief, OutboxEntry, Settlement};
use crate::store::Tx;

use super::send::{AttemptPurpose, SendRound};

/// What a lookup says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Seen {
    /// It has taken effect.
    Found,
    /// It has not taken effect.
    Nothing,
    /// The answer does not tell.
    Unclear,
}

/// What an answer to a lookup says: only a whole answer that is data says anything.
fn judge_look(response: &HttpResponse, lookup: &Lookup) -> Seen {
    let Some(found) = &lookup.found else {
        return match response.status {
            404 => Seen::Nothing,
            200 | 204 if data_of(response, BodyFormat::Json).is_ok() => Seen::Found,
            _ => Seen::Unclear,
        };
    };
    let Ok(text) = data_of(response, BodyFormat::Json) else { return Seen::Unclear };
    let Ok(value) = serde_json::from_str::<serde_json::Value>(text) else { return Seen::Unclear };
    if found.library().query(&value).is_empty() { Seen::Nothing } else { Seen::Found }
}

impl SendRound<'_> {
    /// Sends the lookup of an entry.
    pub(crate) fn look(&mut self, entry: &OutboxEntry, source: &Source) -> Result<(), Error> {
        let Some(lookup) = &source.idempotency.lookup else { return Ok(()) };
        let values = TemplateValues { key: Some(entry.sent_key.clone()), ..Default::default() };
        let plan = RequestPlan {
            source,
            template: &lookup.request,
            paginate: &Paginate::None,
            values: &values,
            token: &PageToken::Start,
        };
        let request = match self.client.read(&plan) {
            Ok(request) => request,
            Err(error) => {
                self.errors.insert(source.name.clone(), error);
                return Ok(());
            }
        };
        self.client.take_turn(source);
        let carried = self.client.carry(source, request);
        let number = entry.brief.entry;
        if let Some(brief) = self.brief(number) {
            brief.state = EntryState::Sending;
        }
        self.looking.insert(number);
        self.go(number, AttemptPurpose::Look, carried);
        Ok(())
    }

    /// What a lookup makes of its entry.
    pub(crate) fn looked(
        &mut self,
        within: Option<&Tx<'_>>,
        brief: &OutboxBrief,
        source: &Source,
        outcome: &Result<HttpResponse, NetError>,
    ) -> Result<(), Error> {
        let Some(lookup) = &source.idempotency.lookup else { return Ok(()) };
        self.looking.remove(&brief.entry);
        let now = self.host.clock.now();
        let mut end = Settlement::nothing(now);
        let (wait_ms, asked) = self.wait_of(outcome, source, brief.entry);
        self.keep_wait(within, source, asked, now)?;
        match outcome {
            Err(error) => {
                let source_error = error_of_exchange(error, self.host.network.link_is_up());
                end.note = Some(self.client.redact(&format!("the lookup failed: {error}")));
                self.errors.insert(source.name.clone(), source_error);
            }
            Ok(response) => match judge_look(response, lookup) {
                Seen::Found => {
                    end.state = EntryState::Done;
                    end.note = Some("a lookup found it".to_owned());
                    end.status = Some(response.status);
                    let redact = |text: &str| self.client.redact(text);
                    end.answer = Some(super::report::kept(response, &redact));
                }
                Seen::Nothing => {
                    (end.state, end.afresh) = (EntryState::Queued, true);
                    end.note = Some("a lookup found nothing".to_owned());
                }
                Seen::Unclear => {
                    let said = super::report::said(response);
                    end.note = Some(self.client.redact(&format!("the lookup says {said}")));
                }
            },
        }
        if end.note.is_some() && !matches!(end.state, EntryState::Done) && !end.afresh {
            (end.state, end.in_doubt) = (EntryState::Unknown, true);
            end.next_at = now.checked_add_signed(chrono::TimeDelta::milliseconds(wait_ms));
        }
        if self.write(within, |tx| tx.change(brief.entry, EntryState::Unknown, &end))? {
            self.told(brief.entry, &end);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::definition::{Path, RequestTemplate, Template};

    #[test]
    fn a_lookup_says_something_only_by_a_whole_answer_that_is_data() {
        let lookup = |found: Option<&str>| Lookup {
            request: RequestTemplate {
                post: false,
                path: Template::parse("/x").expect("a template"),
                query: Vec::new(),
                headers: Vec::new(),
                body: None,
            },
            found: found.map(|text| Path::parse(text).expect("a path")),
            wait_ms: 0,
        };
        let (by_path, by_status) = (lookup(Some("$.data[*]")), lookup(None));
        let cases = [
            (&by_path, 200, r#"{"data":[{}]}"#, Seen::Found),
            (&by_path, 200, r#"{"data":[]}"#, Seen::Nothing),
            (&by_path, 200, "<html>", Seen::Unclear),
            (&by_path, 200, r#"{"data":["#, Seen::Unclear),
            (&by_path, 404, r#"{"data":[]}"#, Seen::Unclear),
            (&by_path, 500, r#"{"data":[]}"#, Seen::Unclear),
            (&by_status, 200, "{}", Seen::Found),
            (&by_status, 404, "", Seen::Nothing),
            (&by_status, 404, "<html>", Seen::Nothing),
            (&by_status, 200, "<html>", Seen::Unclear),
            (&by_status, 401, "", Seen::Unclear),
        ];
        for (lookup, status, body, expected) in cases {
            let body = body.as_bytes().to_vec();
            let response = HttpResponse { status, headers: Vec::new(), body };
            assert_eq!(judge_look(&response, lookup), expected, "{status} {:?}", response.body);
        }
    }
}
