//! `windrow verify`: proves what a file is that somebody gave.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use crate::cli::text::verified_page;
use crate::digest::digest_statement;
use crate::handoff::envelope::{KnownKey, Limits, PublicKeys, read_key_text};
use crate::handoff::{GivenOpening, Opened, open_given, verify};
use crate::host::Host;
use crate::model::{Error, ExitCode};
use crate::store::StreamRow;

use super::global::Global;
use super::keys::{key_password, keyring};
use super::output::Output;

#[derive(Debug, Args)]
pub struct VerifyArguments {
    /// The archive or hand-off to verify
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    #[command(flatten)]
    pub given: GivenArguments,
    /// Print the SQL by which the digests can be computed without windrow
    #[arg(long)]
    pub print_sql: bool,
}

/// How a file that somebody gave is opened.
#[derive(Clone, Debug, Args)]
pub struct GivenArguments {
    /// It must be signed by this trusted key's name, or by the key in this file
    #[arg(long, value_name = "KEY")]
    pub signer: Option<String>,
    /// An age identity that opens it, besides your own
    #[arg(long, value_name = "FILE")]
    pub identity: Vec<PathBuf>,
    /// The most bytes that a compressed file may become [default: 1 TiB]
    #[arg(long, value_name = "BYTES")]
    pub max_size: Option<u64>,
}

impl GivenArguments {
    /// Opens a file that somebody gave.
    pub fn open(&self, file: &std::path::Path, host: &Host) -> Result<Opened, Error> {
        let keyring = keyring(host)?;
        let mut limits = Limits::default();
        if let Some(bytes) = self.max_size {
            limits.bytes_max = bytes;
        }
        let opening = GivenOpening {
            file,
            keyring: &keyring,
            signer: self.signer.as_deref().map(|name| self.named(name, host)).transpose()?,
            identities: self.identity.clone(),
            password: key_password(host),
            limits,
        };
        open_given(&opening, host)
    }

    fn named(&self, name: &str, host: &Host) -> Result<KnownKey, Error> {
        let path = std::path::Path::new(name);
        if path.is_file() {
            let public = PublicKeys::parse(&read_key_text(path)?)?;
            return Ok(KnownKey { name: name.to_owned(), own: false, public });
        }
        Ok(keyring(host)?.named(name)?)
    }
}

pub fn run(
    args: &VerifyArguments,
    _global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let opened = args.given.open(&args.file, host)?;
    let file = args.file.display().to_string();
    if args.print_sql {
        print_sql(&opened.reader.streams()?, &file, output)?;
        return Ok(ExitCode::Done);
    }
    let verified = verify(&opened, host)?;
    if output.json() {
        let mut line = json!({ "file": file });
        if let (Some(line), Ok(serde_json::Value::Object(all))) =
            (line.as_object_mut(), serde_json::to_value(&verified))
        {
            line.extend(all);
        }
        output.json_line(&line)?;
    } else {
        output.result(&verified_page(&verified, &file))?;
    }
    let same = verified.differences.is_empty();
    Ok(if same { ExitCode::Done } else { ExitCode::Found })
}

fn print_sql(streams: &[StreamRow], file: &str, output: &Output) -> Result<(), Error> {
    if output.json() {
        let sql = |row: &StreamRow| json!({ "stream": row.stream, "sql": digest_statement(row) });
        let all: Vec<serde_json::Value> = streams.iter().map(sql).collect();
        return output.json_line(&json!({ "file": file, "sql": all }));
    }
    for stream in streams {
        output.exact(&format!("-- {}\n{}\n", stream.stream, digest_statement(stream)))?;
    }
    Ok(())
}
