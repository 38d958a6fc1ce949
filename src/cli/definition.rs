//! `windrow definition`: the definition that an archive was made by, written out again.

use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use crate::definition::{Definition, SecretReference, definition_text, parse_definition};
use crate::host::Host;
use crate::http::secret_uses;
use crate::model::{Error, ExitCode, printable};
use crate::store::{Reader, StoredDefinition, refuse_own};

use super::global::Global;
use super::output::{Output, write_file};
use super::workspace::load_definition;

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
) -> Result<ExitCode, Error> {
    let archive = match &global.archive {
        // A definition beside it is none of its business, and need not even be one.
        Some(archive) => archive.clone(),
        None => load_definition(global)?.archive,
    };
    let reader = Reader::open(&archive)?;
    let stored = stored(&reader, args.run)?;
    let name = format!("the definition of run {}", stored.run);
    let path = archive_path(&archive, args.out.as_deref())?;
    let text = definition_text(&name, &stored.text, &path)?;
    let definition = parse_definition(&name, &text)?;
    let wanted = credentials(&definition);
    let left_out = left_out(&reader, &definition)?;
    let file = format!("{}\n{text}", header(&path, &stored, &wanted, &left_out));
    if let Some(out) = &args.out {
        refuse_own(out, &archive, None)?;
        write_file(out, &file, args.force, host)?;
    }
    if output.json() {
        let each = wanted.iter().map(Credential::json).collect::<Vec<_>>();
        output.json_line(&json!({
            "run": stored.run, "archive": path, "credentials": each, "definition": text,
            "left_out": left_out.iter().map(LeftOut::json).collect::<Vec<_>>(),
            "out": args.out.as_ref().map(|out| out.display().to_string()),
        }))?;
    } else if args.out.is_none() {
        output.exact(&file)?;
    }
    output.say(&left_out.iter().map(|left| format!("{}\n", left.line())).collect::<String>());
    output.say(&told(&wanted));
    Ok(ExitCode::Done)
}

fn stored(reader: &Reader, run: Option<i64>) -> Result<StoredDefinition, Error> {
    if let Some(stored) = reader.stored_definition(run)? {
        return Ok(stored);
    }
    let message = match run {
        Some(run) => format!("there is no run {run}, or it had no definition"),
        None => "no run of this archive had a definition".to_owned(),
    };
    Err(Error::usage(message).help("`windrow runs` lists the runs"))
}

/// The archive as a definition in `out`'s folder is to name it.
fn archive_path(archive: &Path, out: Option<&Path>) -> Result<String, Error> {
    let folder = out.and_then(Path::parent);
    let here = folder.is_none_or(|folder| folder == Path::new("") || folder == Path::new("."));
    let path = if here || archive.is_absolute() {
        archive.to_owned()
    } else {
        std::path::absolute(archive).map_err(|error| Error::io(archive, "find", &error))?
    };
    let text = path.to_str().map(str::to_owned);
    text.ok_or_else(|| {
        let message = format!("a definition cannot name {}: it is no text", path.display());
        Error::usage(message).help("rename the archive")
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
    let each = secret_uses(definition).into_iter().map(|used| Credential {
        address: definition.sources.get(&used.source).map(|source| source.base_url.to_string()),
        reference: used.reference,
        place: used.place,
    });
    each.collect()
}

/// A stream of the archive that the definition does not name: it came by a merge, or was taken out.
struct LeftOut {
    stream: String,
    run: Option<i64>,
}

impl LeftOut {
    fn line(&self) -> String {
        let stream = printable(&self.stream);
        match self.run {
            Some(run) => format!(
                "the archive also holds `{stream}`, which this does not name; \
                 `windrow definition --run {run}` does"
            ),
            None => format!("the archive also holds `{stream}`, which no definition names"),
        }
    }

    fn json(&self) -> Value {
        json!({"stream": self.stream, "run": self.run})
    }
}

fn left_out(reader: &Reader, definition: &Definition) -> Result<Vec<LeftOut>, Error> {
    let said = reader.said()?;
    let streams = reader.streams()?.into_iter().map(|row| row.stream);
    let others = streams.filter(|stream| definition.stream(stream).is_none());
    let each = others.map(|stream| {
        let run = said.of(&stream).map(|(_, _, run)| run);
        LeftOut { stream, run }
    });
    Ok(each.collect())
}

/// What stands above the definition.
fn header(
    path: &str,
    stored: &StoredDefinition,
    wanted: &[Credential],
    left_out: &[LeftOut],
) -> String {
    let mut text = format!(
        "# The definition of {} as run {} used it, begun {}.\n",
        printable(path),
        stored.run,
        printable(&stored.started_at)
    );
    text.extend(left_out.iter().map(|left| format!("# {}.\n", left.line())));
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
        return "it needs no credentials; run `windrow sync` to continue\n".to_owned();
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
