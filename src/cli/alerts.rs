//! Tells of findings, for `check` and for `watch`.

use crate::check::{AlertQueue, AlertScope, CheckReport, QueuedAlerts, has_news};
use crate::definition::{Alert, Definition};
use crate::host::Host;
use crate::model::Error;
use crate::outbox::sender_for;
use crate::store::Reader;

use super::global::Global;
use super::outbox::{folder_of, open_outbox};
use super::workspace::known_secrets;

/// The alerts that this machine sends: those of a definition that is here. One who was given only
/// the archive tells nobody.
pub fn alerts_of<'a>(definition: Option<&'a Definition>, global: &Global) -> &'a [Alert] {
    let here = definition.filter(|_| global.definition.exists());
    here.map(|definition| definition.alerts.as_slice()).unwrap_or_default()
}

/// Queues a message for whatever has come or gone. Nothing is opened for writing when there is
/// nothing to tell.
pub fn tell_of(
    report: &CheckReport,
    scope: AlertScope,
    definition: &Definition,
    global: &Global,
    host: &Host,
) -> Result<QueuedAlerts, Error> {
    if !has_news(report, scope, definition, &Reader::open(&definition.archive)?)? {
        return Ok(QueuedAlerts::default());
    }
    let outbox = open_outbox(definition, None, host)?;
    let queue = AlertQueue {
        definition,
        archive: outbox.made_at()?,
        sender: sender_for(&outbox, host)?,
        secrets: known_secrets(definition, folder_of(global), host),
        now: host.clock.now(),
    };
    queue.tell(report, scope, &outbox)
}
