//! `windrow publish`: carries the archive on to PostgreSQL or whatever speaks its protocol.

use std::cell::Cell;

use clap::Args;

use crate::cli::text::published_page;
use crate::definition::SecretReference;
use crate::host::{Host, StopCause};
use crate::http::{SECRET_CHARS_MIN, SecretValues};
use crate::model::{Error, ErrorKind, ExitCode};
use crate::publish::{Address, PublishEvent, Published, Publishing, publish};
use crate::store::Reader;

use super::global::Global;
use super::output::Output;
use super::progress::Bar;
use super::workspace::{archived_streams, load_for_reading};

/// Where the address comes from when no argument says it.
const URL_VARIABLE: &str = "WINDROW_PUBLISH_URL";

#[derive(Debug, Args)]
pub struct PublishArguments {
    /// `postgresql://USER@HOST:PORT/DATABASE`; `${env:NAME}` stands for a variable. Default: what
    /// WINDROW_PUBLISH_URL says. Others can see a password that is written here: better set
    /// PGPASSWORD or name a password file (PGPASSFILE)
    #[arg(value_name = "URL")]
    pub url: Option<String>,
    /// The schema that the tables are in; it is made where it is not there
    #[arg(long, value_name = "NAME", default_value = "windrow")]
    pub schema: String,
    /// These streams only; may be given several times
    #[arg(long = "stream", value_name = "STREAM")]
    pub streams: Vec<String>,
    /// Print what would be sent, and change nothing
    #[arg(long)]
    pub dry_run: bool,
}

pub fn run(
    args: &PublishArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let url = args.url.clone().or_else(|| host.environment.variable(URL_VARIABLE));
    let url = url.filter(|url| !url.is_empty()).ok_or_else(|| {
        let help = format!("name it, or set {URL_VARIABLE}: postgresql://USER@HOST/DATABASE");
        Error::usage("no database is named").help(help)
    })?;
    if args.schema.is_empty() || args.schema.starts_with("pg_") || args.schema.contains('\0') {
        let help = "name another one with --schema";
        return Err(Error::usage("this schema is PostgreSQL's own").help(help));
    }
    let address = Address::resolve(&url, &*host.environment)?;
    let mut secrets = SecretValues::default();
    if let Some(password) = address.password() {
        if password.chars().count() < SECRET_CHARS_MIN {
            output.say(&format!(
                "note: the password has fewer than {SECRET_CHARS_MIN} characters, and may stay in \
                 messages and in the log\n"
            ));
        }
        let shown = SecretReference::Environment("PGPASSWORD".to_owned());
        secrets.insert(shown, password.to_owned());
    }
    super::log::keep_out(&secrets);
    if address.in_address && args.url.is_some() {
        output.say(
            "note: others on this machine can see a password on a command line: set PGPASSWORD\n",
        );
    }
    let (_, path) = load_for_reading(global, host)?;
    let reader = Reader::open(&path)?;
    let streams = archived_streams(&reader, &args.streams)?;
    let meanwhile = Meanwhile::new(output);
    let publishing = Publishing {
        reader: &reader,
        streams,
        address: &address,
        schema: &args.schema,
        dry_run: args.dry_run,
        host,
        notice: &|event| meanwhile.notice(event, output, &address),
    };
    let ended = work(&publishing, host);
    meanwhile.bar.finish();
    let (published, error) = match ended? {
        Ended::Done(published, error) => (published, error),
        Ended::Stopped(cause) => {
            output.say("stopped: the sent rows are in the database; the next run continues\n");
            return Ok(cause.into());
        }
    };
    show(&published, error.as_ref(), &secrets, output)
}

enum Ended {
    Done(Published, Option<Error>),
    Stopped(StopCause),
}

fn work(publishing: &Publishing<'_>, host: &Host) -> Result<Ended, Error> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime =
        runtime.map_err(|error| Error::new(ErrorKind::Bug, format!("cannot start: {error}")))?;
    Ok(runtime.block_on(async {
        tokio::select! {
            (published, error) = publish(publishing) => Ended::Done(published, error),
            // The connection closes, and the database takes the transaction in hand back.
            cause = host.stop.requested() => Ended::Stopped(cause),
        }
    }))
}

fn show(
    published: &Published,
    error: Option<&Error>,
    secrets: &SecretValues,
    output: &Output,
) -> Result<ExitCode, Error> {
    let code = error.map_or(ExitCode::Done, Error::exit_code);
    if output.json() {
        let mut value = serde_json::to_value(published).expect("a report can be written as JSON");
        value["exit_code"] = code.number().into();
        output.json_line(&value)?;
    } else if error.is_none() || published.streams.iter().any(|stream| stream.sent > 0) {
        output.result(&published_page(published))?;
    }
    if let Some(error) = error {
        // A server may repeat what it was told.
        let message = secrets.redact(&error.message);
        tracing::warn!(message, code = code.number(), "error");
        output.error(&message, error.help.as_deref());
    }
    Ok(code)
}

/// What a person sees meanwhile; nothing in a pipe.
struct Meanwhile {
    bar: Bar,
    open: Cell<bool>,
}

impl Meanwhile {
    fn new(output: &Output) -> Self {
        let template =
            "{spinner} {prefix} {wide_bar:.cyan/blue} {human_pos}/{human_len} rows  {eta}";
        Self { bar: Bar::new(output, template), open: Cell::new(false) }
    }

    fn notice(&self, event: &PublishEvent<'_>, output: &Output, address: &Address) {
        match event {
            PublishEvent::Open if !self.open.replace(true) => output.say(&format!(
                "note: the connection to {} is not encrypted: others on the network can read it\n",
                crate::model::printable(&address.shown())
            )),
            PublishEvent::Open => {}
            PublishEvent::Begins { stream, rows } => {
                self.bar.begin(stream, *rows);
            }
            PublishEvent::Sent { rows } => self.bar.advance(*rows),
        }
    }
}
