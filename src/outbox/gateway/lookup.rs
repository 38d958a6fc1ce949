//! Looking entries up on connections of their own, so that an answer that is kept already waits
//! for no write.

use std::path::Path;
use std::sync::{Arc, Mutex};

use tokio::sync::{mpsc, oneshot};

use crate::model::Error;
use crate::outbox::OutboxEntry;
use crate::store::Reader;

/// Connections that look entries up: two, so that one large answer does not hold up all others.
const READERS: usize = 2;

/// A question for the entry of a key.
pub(crate) struct EntryLookup {
    pub source: String,
    pub key: String,
    pub reply: oneshot::Sender<Result<Option<OutboxEntry>, Error>>,
}

/// Starts the readers of an archive; they end with the other end of the questions.
pub(crate) fn start(path: &Path, questions: mpsc::Receiver<EntryLookup>) -> Result<(), Error> {
    let questions = Arc::new(Mutex::new(questions));
    for number in 0..READERS {
        let reader = Reader::open(path)?;
        let questions = Arc::clone(&questions);
        let thread = std::thread::Builder::new().name(format!("lookup-{number}"));
        let started = thread.spawn(move || {
            loop {
                let mut queue = questions.lock().expect("no holder of the queue panics");
                let Some(question) = queue.blocking_recv() else { return };
                drop(queue);
                let found = find(&reader, &question.source, &question.key);
                // Who asked may have gone away.
                let _ = question.reply.send(found);
            }
        });
        started.map_err(|error| Error::io(path, "start a reader of", &error))?;
    }
    Ok(())
}

fn find(reader: &Reader, source: &str, key: &str) -> Result<Option<OutboxEntry>, Error> {
    match reader.outbox_find(key, Some(source))?.first() {
        Some(number) => reader.outbox_entry(*number),
        None => Ok(None),
    }
}
