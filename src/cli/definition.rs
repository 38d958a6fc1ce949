//! `windrow definition`: the definition that an archive was made by, written out again.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::archive::{Reader, StoredDefinition};
use crate::definition::{Definition, SecretReference, definition_text, parse_definition};
use crate::host::Host;
use crate::host::files::make_private_file;
use crate::model::printable;
use crate::pull::secrets_of;

use super::args::Global;
use super::error::{Failure, STORAGE, USAGE};
use super::output::Output;
use super::target::refuse_own;
use super::workspace::load_for_reading;

#[derive(Debug, Args)]
pub struct DefinitionArguments {
    /// Write it to this file instead of standard output
    #[arg(long, value_name = "FILE")]
    pub out: Option<PathBuf>,
    /// Replace the file if it is there
    #[arg(long, requires = "out")]
    pub force: bool,
    /// As this run used it; default: the latest
    #[arg(long, value_name = "RUN")]
    pub run: Option<i64>,
}

pub fn run(
    args: &DefinitionArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<u8, Failure> {
    let archive = match &global.archive {
        // A definition beside it is none of its business, and need not even be one.
        Some(archive) => archive.clone(),
        None => load_for_reading(global)?.1,
    };
    let stored = stored(&Reader::open(&archive)?, args.run)?;
    let name = format!("the definition of run {}", stored.run);
    let path = archive_path(&archive, args.out.as_deref())?;
    let text = definition_text(&name, &stored.text, &path)?;
    let definition = parse_definition(&name, &text)?;
    let wanted = credentials(&definition);
    let file = format!("{}\n{text}", header(&path, &stored, &wanted));
    if let Some(out) = &args.out {
        refuse_own(out, &archive, None)?;
        write_out(out, &file, args.force, host)?;
    }
    if output.json() {
        let each = wanted.iter().map(Credential::json).collect::<Vec<_>>();
        output.json_line(&json!({
            "run": stored.run, "archive": path, "credentials": each, "definition": text,
            "out": args.out.as_ref().map(|out| out.display().to_string()),
        }))?;
    } else if args.out.is_none() {
        output.result(&file)?;
    }
    output.say(&told(&wanted));
    Ok(0)
}

fn stored(reader: &Reader, run: Option<i64>) -> Result<StoredDefinition, Failure> {
    if let Some(stored) = reader.stored_definition(run)? {
        return Ok(stored);
    }
    let message = match run {
        Some(run) => format!("there is no run {run}, or it had no definition"),
        None => "no run of this archive had a definition".to_owned(),
    };
    Err(Failure::new(USAGE, message).cure("`windrow runs` lists the runs"))
}

/// The archive as a definition in `out`'s folder is to name it.
fn archive_path(archive: &Path, out: Option<&Path>) -> Result<String, Failure> {
    let folder = out.and_then(Path::parent);
    let here = folder.is_none_or(|folder| folder == Path::new("") || folder == Path::new("."));
    let path = if here || archive.is_absolute() {
        archive.to_owned()
    } else {
        std::path::absolute(archive)?
    };
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        let message = format!("a definition cannot name {}: it is no text", path.display());
        Failure::new(USAGE, message).cure("rename the archive")
    })
}

/// A secret that whoever goes on with the archive has to bring.
struct Credential {
    reference: SecretReference,
    place: String,
    address: Option<String>,
}

impl Credential {
    fn line(&self) -> String {
        let goes = self.address.iter().map(|address| format!(", which is sent to {address}"));
        let line = format!("{} for {}{}", self.reference, self.place, goes.collect::<String>());
        printable(&line)
    }

    fn json(&self) -> Value {
        json!({
            "reference": self.reference.to_string(), "place": self.place,
            "base_url": self.address,
        })
    }
}

fn credentials(definition: &Definition) -> Vec<Credential> {
    let address = |place: &str| {
        let source = match place.split_once(' ')? {
            ("source", name) => name,
            (_, name) => &definition.stream(name)?.source,
        };
        Some(definition.sources.get(source)?.base_url.to_string())
    };
    let wanted = secrets_of(definition).into_iter();
    let each = wanted.map(|(place, reference)| {
        let address = address(&place);
        Credential { reference, place, address }
    });
    each.collect()
}

/// What stands above the definition.
fn header(path: &str, stored: &StoredDefinition, wanted: &[Credential]) -> String {
    let mut text = format!(
        "# The definition of {} as run {} used it, begun {}.\n",
        printable(path),
        stored.run,
        printable(&stored.started_at)
    );
    if wanted.is_empty() {
        return text + "# It needs no credentials.\n";
    }
    text.push_str("# It holds no credentials. Before `windrow sync`, bring your own:\n");
    for credential in wanted {
        text.push_str(&format!("#   {}\n", credential.line()));
    }
    text
}

fn told(wanted: &[Credential]) -> String {
    if wanted.is_empty() {
        return "it needs no credentials; `windrow sync` goes on\n".to_owned();
    }
    let mut text = "before `windrow sync`, bring credentials of your own:\n".to_owned();
    for credential in wanted {
        let how = match &credential.reference {
            SecretReference::Environment(name) => format!("export {}=…", printable(name)),
            SecretReference::File(path) => format!("put it into the file {}", printable(path)),
        };
        text.push_str(&format!("  {} ({how})\n", credential.line()));
    }
    text
}

fn write_out(out: &Path, text: &str, force: bool, host: &Host) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let cure = "name a file in a folder that is there and may be written, or leave --out away";
        Failure::new(STORAGE, format!("cannot write {}: {error}", out.display())).cure(cure)
    };
    if !force {
        return make_private_file(out, text).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there already", out.display());
                Failure::new(USAGE, message).cure("name another file, or replace it with --force")
            }
            _ => failed(error),
        });
    }
    let mut new = out.as_os_str().to_owned();
    new.push(format!("-new-{}", std::process::id()));
    let new = PathBuf::from(new);
    let written = make_private_file(&new, text).and_then(|()| host.files.publish(&new, out));
    written.map_err(|error| {
        // Gone already where it was renamed.
        let _ = std::fs::remove_file(&new);
        failed(error)
    })
}
