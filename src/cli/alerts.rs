//! Tells of findings: queues what alerts say of them, for `check` and for `watch`.

use serde::Serialize;

use crate::check::{AlertScope, CheckReport, plan_alerts};
use crate::definition::{Alert, Definition};
use crate::host::Host;
use crate::http::SecretValues;
use crate::model::count;
use crate::model::{Error, ErrorKind, Timestamp};
use crate::outbox::{Added, AlertRow, OPEN_ENTRIES_MAX};
use crate::outbox::{QueueRefusal, alert_entry, alert_notices, sender_for};
use crate::store::{Reader, Tx};

use super::args::Global;
use super::outbox::{folder_of, open_outbox};
use super::workspace::known_secrets;

/// Messages that were queued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Queued {
    /// About what was found.
    pub found: u64,
    /// About what is solved.
    pub solved: u64,
}

impl Queued {
    /// In words.
    pub fn line(self) -> String {
        let Queued { found, solved } = self;
        format!("alerts: {} found and {} solved are queued", count(found), count(solved))
    }

    /// Whether there is nothing to send.
    pub fn is_nothing(self) -> bool {
        self == Queued::default()
    }
}

/// The alerts that this machine sends: those of a definition that is here. One who was given only
/// the archive tells nobody.
pub fn alerts_of<'a>(definition: Option<&'a Definition>, global: &Global) -> &'a [Alert] {
    let here = definition.filter(|_| global.definition.exists());
    here.map(|definition| definition.alerts.as_slice()).unwrap_or_default()
}

/// Queues a message for whatever has come or gone, in the transaction that remembers it. Nothing
/// is opened for writing when there is nothing to tell.
pub fn tell_of(
    report: &CheckReport,
    scope: AlertScope,
    definition: &Definition,
    global: &Global,
    host: &Host,
) -> Result<Queued, Error> {
    let ids = ids_of(report);
    let reader = Reader::open(&definition.archive)?;
    let mut news = false;
    for alert in &definition.alerts {
        let rows = reader.alert_rows(&alert.name, &borrowed(&ids))?;
        news |= !plan_alerts(alert, report, &rows, scope).is_empty();
    }
    drop(reader);
    if !news {
        return Ok(Queued::default());
    }
    let outbox = open_outbox(definition, None, host)?;
    let post = Post {
        definition,
        archive: outbox.made_at()?,
        sender: sender_for(&outbox, host)?,
        secrets: known_secrets(definition, folder_of(global), host),
        now: host.clock.now(),
    };
    let queued = outbox.transaction(|tx| {
        let mut queued = Queued::default();
        for alert in &definition.alerts {
            // Somebody else may have told it since.
            let rows = tx.alert_rows(&alert.name, &borrowed(&ids))?;
            let changed = plan_alerts(alert, report, &rows, scope);
            post.queue(tx, alert, &changed, &mut queued)?;
            tx.put_alerts(&changed, post.now)?;
        }
        Ok::<_, Error>(queued)
    })?;
    Ok(queued)
}

/// What messages are made and queued with.
struct Post<'a> {
    definition: &'a Definition,
    archive: String,
    sender: String,
    secrets: SecretValues,
    now: Timestamp,
}

impl Post<'_> {
    fn queue(
        &self,
        tx: &Tx<'_>,
        alert: &Alert,
        changed: &[AlertRow],
        queued: &mut Queued,
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
