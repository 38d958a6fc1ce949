//! Where the log goes: to stderr what was asked for, to a file in the state directory what
//! happened.
//!
//! Every line passes the redactor, whoever wrote it; a log that cannot be kept is a notice and
//! never a failure.

use std::io::Write;
use std::sync::{Arc, LazyLock, Mutex, PoisonError, RwLock};

use tracing_subscriber::filter::EnvFilter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;
use tracing_subscriber::layer::{Layer, SubscriberExt};
use tracing_subscriber::registry::Registry;
use tracing_subscriber::util::SubscriberInitExt;

use crate::host::log_file::LogFile;
use crate::host::{Clock, Host};
use crate::http::SecretValues;
use crate::model::{Error, ErrorKind, instant_to_text, printable, printable_json};

use super::global::{Global, LogFormat};
use super::output::complain;

/// What no line may hold. Of the process, as the log is.
static SECRETS: LazyLock<RwLock<SecretValues>> = LazyLock::new(RwLock::default);

/// From here on no line of the log holds one of these.
pub fn keep_out(secrets: &SecretValues) {
    *SECRETS.write().unwrap_or_else(PoisonError::into_inner) = secrets.clone();
}

/// Starts the log: on stderr what `-v` or `WINDROW_LOG` ask for, and in a file, where the command
/// changes something, what happens.
///
/// # Errors
///
/// Where the file is a link or another thing that windrow does not write to. One that cannot be
/// written is none.
pub fn start(global: &Global, keeps_file: bool, host: &Host) -> Result<(), Error> {
    let level = match global.verbose {
        0 => "off",
        1 => "windrow=debug",
        _ => "windrow=trace,reqwest=debug",
    };
    let wanted = host.environment.variable("WINDROW_LOG").unwrap_or_else(|| level.to_owned());
    let time = HostTime(Arc::clone(&host.clock));
    let mut layers: Vec<Box<dyn Layer<Registry> + Send + Sync>> = Vec::new();
    if let Ok(filter) = EnvFilter::try_new(wanted) {
        layers.push(match global.log_format {
            LogFormat::Text => tracing_subscriber::fmt::layer()
                .without_time()
                .with_ansi(false)
                .with_writer(|| Line { out: LineOut::Stderr, safe: printable })
                .with_filter(filter)
                .boxed(),
            LogFormat::Json => tracing_subscriber::fmt::layer()
                .json()
                .flatten_event(true)
                .with_timer(time.clone())
                .with_writer(|| Line { out: LineOut::Stderr, safe: printable_json })
                .with_filter(filter)
                .boxed(),
        });
    }
    if let Some(folder) = host.environment.state_folder().filter(|_| keeps_file) {
        let log = LogFile::in_folder(&folder);
        log.look().map_err(|error| Error::file(ErrorKind::Storage, "keep a log", &error))?;
        let kept = Arc::new(Mutex::new(KeptLog { log, lost: false }));
        let writer = move || Line { out: LineOut::File(Arc::clone(&kept)), safe: printable_json };
        let file = tracing_subscriber::fmt::layer()
            .json()
            .flatten_event(true)
            .with_timer(time)
            .with_writer(writer)
            .with_filter(EnvFilter::new("windrow=debug"));
        layers.push(file.boxed());
    }
    // A second call in one process keeps the first log.
    let _ = tracing_subscriber::registry().with(layers).try_init();
    Ok(())
}

/// The host's time, so that a frozen clock is one in the log too.
#[derive(Clone)]
struct HostTime(Arc<dyn Clock>);

impl FormatTime for HostTime {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        out.write_str(&instant_to_text(self.0.now()))
    }
}

/// The file, and whether it has been given up.
struct KeptLog {
    log: LogFile,
    lost: bool,
}

enum LineOut {
    Stderr,
    File(Arc<Mutex<KeptLog>>),
}

/// One line on its way out. The formatter hands over each event as a whole.
struct Line {
    out: LineOut,
    safe: fn(&str) -> String,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        let clean = SECRETS.read().unwrap_or_else(PoisonError::into_inner).redact(&text);
        let line = format!("{}\n", (self.safe)(clean.trim_end_matches('\n')));
        match &self.out {
            LineOut::Stderr => complain(&line),
            LineOut::File(kept) => keep(kept, &line),
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn keep(kept: &Mutex<KeptLog>, line: &str) {
    let mut kept = kept.lock().unwrap_or_else(PoisonError::into_inner);
    if kept.lost {
        return;
    }
    if let Err(error) = kept.log.append(line.as_bytes()) {
        kept.lost = true;
        let path = printable(&kept.log.path().display().to_string());
        complain(&format!("note: no log is kept: cannot write {path}: {error}\n"));
    }
}
