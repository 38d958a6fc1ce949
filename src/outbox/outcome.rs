//! The way back: what came of an attempt is written down in one transaction.

use crate::definition::Source;
use crate::http::{HttpResponse, NetError, asked_wait_ms, backoff_ms, error_of_exchange};
use crate::model::{Error, Timestamp, WAIT_IMPOSED_MAX, Wait};
use crate::outbox::Settlement;
use crate::store::Tx;

use super::decide::{AttemptVerdict, Reply, judge, settle};
use super::report::{kept, refused_credentials, said};
use super::send::{AttemptOutcome, AttemptPurpose, SendRound};

impl SendRound<'_> {
    /// What an answer, or that there is none, makes of its entry.
    pub(crate) fn record_outcome(
        &mut self,
        within: Option<&Tx<'_>>,
        (entry, purpose, outcome): &AttemptOutcome,
    ) -> Result<(), Error> {
        let entry = *entry;
        let Some(brief) = self.brief(entry).cloned() else { return Ok(()) };
        let Some(source) = self.source(&brief.source).cloned() else { return Ok(()) };
        if matches!(purpose, AttemptPurpose::Look) {
            return self.looked(within, &brief, &source, outcome);
        }
        let reply = match outcome {
            Ok(response) => Reply::Answer(response),
            Err(error) => Reply::Fault(error.kind),
        };
        let verdict = judge(&reply, &source);
        let (wait_ms, asked) = self.wait_of(outcome, &source, entry);
        let now = self.host.clock.now();
        let mut end = settle(&brief, verdict, &source.idempotency, wait_ms, now);
        self.rested.remove(&entry);
        match outcome {
            Ok(response) => self.answered(&mut end, verdict, response),
            Err(error) => end.note = Some(self.client.redact(&error.detail)),
        }
        if verdict == AttemptVerdict::Unsent {
            end.afresh = self.outbox.outbox_entry(entry)?.is_some_and(|e| e.attempts <= 1);
        }
        self.put(within, entry, &end)?;
        if matches!(verdict, AttemptVerdict::Later | AttemptVerdict::Doubtful) {
            self.keep_wait(within, &source, asked, now)?;
        }
        match (verdict, outcome) {
            (AttemptVerdict::Unsent, Err(error)) => {
                let source_error = error_of_exchange(error, self.host.network.link_is_up());
                self.errors.insert(source.name.clone(), source_error);
            }
            (AttemptVerdict::Credentials, Ok(response)) => {
                self.client.renew(&source);
                let source_error = refused_credentials(response.status);
                self.errors.insert(source.name.clone(), source_error);
            }
            _ => {}
        }
        Ok(())
    }

    /// Keeps what a source asked for, for this run and later ones.
    pub(crate) fn keep_wait(
        &mut self,
        within: Option<&Tx<'_>>,
        source: &Source,
        asked_ms: Option<i64>,
        now: Timestamp,
    ) -> Result<(), Error> {
        let Some(asked_ms) = asked_ms else { return Ok(()) };
        let wait = Wait::imposed(&source.name, asked_ms, now);
        self.waits.insert(source.name.clone(), wait.until);
        self.write(within, |tx| tx.write_wait(&source.name, &wait, now))
    }

    /// How long an entry rests, and what the source asked for, which may be longer.
    pub(crate) fn wait_of(
        &self,
        outcome: &Result<HttpResponse, NetError>,
        source: &Source,
        entry: i64,
    ) -> (i64, Option<i64>) {
        let now = self.host.clock.now();
        let asked = outcome.as_ref().ok().and_then(|response| asked_wait_ms(response, now));
        let attempt = self.attempts.get(&entry).copied().unwrap_or(1);
        let backoff = backoff_ms(attempt, &source.retry, self.host.random.unit());
        let rest = asked.map_or(backoff, |asked| asked.min(WAIT_IMPOSED_MAX.num_milliseconds()));
        (rest, asked.filter(|asked| *asked > 0))
    }

    /// Keeps what may be kept of an answer.
    fn answered(&self, end: &mut Settlement, verdict: AttemptVerdict, response: &HttpResponse) {
        end.status = Some(response.status);
        if matches!(
            verdict,
            AttemptVerdict::Taken | AttemptVerdict::Refused | AttemptVerdict::Elsewhere
        ) {
            end.answer = Some(kept(response, &|text| self.client.redact(text)));
        }
        if verdict != AttemptVerdict::Taken {
            let said = said(response);
            end.note = Some(self.client.redact(&said));
        }
    }
}
