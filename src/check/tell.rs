//! Tells of findings: queues what alerts say of them in the outbox.

use serde::Serialize;

use crate::check::alerts::{AlertScope, plan_alerts};
use crate::check::finding::CheckReport;
use crate::definition::{Alert, Definition};
use crate::http::SecretValues;
use crate::model::{Error, ErrorKind, Timestamp, count};
use crate::outbox::{
    Added, AlertRow, OPEN_ENTRIES_MAX, Outbox, QueueRefusal, alert_entry, alert_notices,
};
use crate::store::{Reader, Tx};

/// Messages that were queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueuedAlerts {
    /// About what was found.
    pub found: u64,
    /// About what is solved.
    pub solved: u64,
}

impl QueuedAlerts {
    /// The line for people with both numbers.
    pub fn line(self) -> String {
        let QueuedAlerts { found, solved } = self;
        format!("alerts: {} found and {} solved are queued", count(found), count(solved))
    }

    /// Whether there is nothing to send.
    pub fn is_nothing(self) -> bool {
        self == QueuedAlerts::default()
    }
}

/// Whether something has come or gone that an alert has not told yet.
pub fn has_news(
    report: &CheckReport,
    scope: AlertScope,
    definition: &Definition,
    reader: &Reader,
) -> Result<bool, Error> {
    let ids = ids_of(report);
    for alert in &definition.alerts {
        let rows = reader.alert_rows(&alert.name, &borrowed(&ids))?;
        if !plan_alerts(alert, report, &rows, scope).is_empty() {
            return Ok(true);
        }
    }
    Ok(false)
}

/// What messages are made and queued with.
pub struct AlertQueue<'a> {
    /// The definition whose alerts tell.
    pub definition: &'a Definition,
    /// When the archive was made.
    pub archive: String,
    /// The identity under which this archive queues entries.
    pub sender: String,
    /// What no message may hold.
    pub secrets: SecretValues,
    /// The time of the messages.
    pub now: Timestamp,
}

impl AlertQueue<'_> {
    /// Queues a message for whatever has come or gone, in the transaction that remembers it.
    pub fn tell(
        &self,
        report: &CheckReport,
        scope: AlertScope,
        outbox: &Outbox,
    ) -> Result<QueuedAlerts, Error> {
        let ids = ids_of(report);
        outbox.transaction(|tx| {
            let mut queued = QueuedAlerts::default();
            for alert in &self.definition.alerts {
                // Somebody else may have told it since.
                let rows = tx.alert_rows(&alert.name, &borrowed(&ids))?;
                let changed = plan_alerts(alert, report, &rows, scope);
                self.queue(tx, alert, &changed, &mut queued)?;
                tx.put_alerts(&changed, self.now)?;
            }
            Ok::<_, Error>(queued)
        })
    }

    fn queue(
        &self,
        tx: &Tx<'_>,
        alert: &Alert,
        changed: &[AlertRow],
        queued: &mut QueuedAlerts,
    ) -> Result<(), Error> {
        let Some(source) = self.definition.sources.get(&alert.source) else { return Ok(()) };
        for notice in alert_notices(alert, &self.archive, changed) {
            let by = (self.sender.as_str(), self.now);
            let entry = alert_entry(alert, source, &notice, &self.secrets, by);
            let entry = entry.map_err(|refusal| refused(alert, refusal))?;
            for added in tx.add_all(&[entry])? {
                match added {
                    Added::Full => return Err(full()),
                    // Under its key it was told before.
                    Added::Same(_) | Added::Different(_) => {}
                    Added::New(_) if notice.values["state"] == "solved" => queued.solved += 1,
                    Added::New(_) => queued.found += 1,
                }
            }
        }
        Ok(())
    }
}

fn ids_of(report: &CheckReport) -> Vec<String> {
    let overflow = report.overflow();
    report.findings.iter().chain(&overflow).map(|finding| finding.id.clone()).collect()
}

fn borrowed(ids: &[String]) -> Vec<&str> {
    ids.iter().map(String::as_str).collect()
}

fn refused(alert: &Alert, refusal: QueueRefusal) -> Error {
    let message = format!("the alert `{}` cannot be queued: {}", alert.name, refusal.message);
    let help = refusal.help.unwrap_or_else(|| "mend it in `[[alerts]]`".to_owned());
    Error::new(ErrorKind::Definition, message).help(help)
}

fn full() -> Error {
    let message = format!("the outbox has {OPEN_ENTRIES_MAX} open entries, the most: no alert");
    let help = "send them (`windrow outbox send`), or cancel those that nobody needs";
    Error::new(ErrorKind::Storage, message).help(help)
}
