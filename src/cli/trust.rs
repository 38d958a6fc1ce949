//! `windrow trust`: what a definition that only an archive holds asks for, and granting it.

use std::path::Path;

use clap::Args;
use serde_json::json;

use crate::definition::parse_definition;
use crate::host::Host;
use crate::model::{Error, ErrorKind, ExitCode, many};
use crate::model::{instant_to_text, printable};
use crate::store::{Reader, look_at_given};
use crate::trust::{DIGEST_CHARS_MIN, Grant, TrustStore};

use super::global::Global;
use super::output::Output;
use super::workspace::load_definition;

#[derive(Debug, Args)]
pub struct TrustArguments {
    /// Trust the definition of this digest, as it was shown
    #[arg(long, value_name = "DIGEST", conflicts_with_all = ["forget", "list"])]
    pub accept: Option<String>,
    /// Trust the definition of this digest no longer
    #[arg(long, value_name = "DIGEST", conflicts_with = "list")]
    pub forget: Option<String>,
    /// List the digests of all trusted definitions
    #[arg(long)]
    pub list: bool,
}

pub fn run(
    args: &TrustArguments,
    global: &Global,
    host: &Host,
    output: &Output,
) -> Result<ExitCode, Error> {
    let store = store(host)?;
    if args.list {
        return list(&store, output);
    }
    if let Some(digest) = &args.forget {
        return forget(&store, digest, output);
    }
    let archive = match &global.archive {
        Some(archive) => archive.clone(),
        None => load_definition(global)?.archive,
    };
    let asked = asked_by(&look_at_given(&archive, false, &host.stop)?)?;
    if let Some(shown) = &args.accept {
        accept(&store, &asked, shown, &archive, host)?;
    }
    let trusted = store.holds(&asked.digest);
    if output.json() {
        output.json_line(&json!({
            "archive": archive.display().to_string(), "trusted": trusted, "grant": asked,
        }))?;
        return Ok(ExitCode::Done);
    }
    output.result(&page(&asked, &archive, trusted))?;
    Ok(ExitCode::Done)
}

fn store(host: &Host) -> Result<TrustStore, Error> {
    let state = host.environment.state_folder().ok_or_else(|| {
        let message = "there is no state folder in which trust could be remembered";
        Error::usage(message).help(
            "set WINDROW_STATE_DIR to a folder of your own, or write the definition out with \
             `windrow definition --out windrow.toml`",
        )
    })?;
    Ok(TrustStore::in_folder(&state))
}

/// What the definition of an archive's last run asks for.
fn asked_by(reader: &Reader) -> Result<Grant, Error> {
    let Some(text) = reader.definition()? else {
        let message = format!("{} holds no definition", reader.path().display());
        return Err(Error::usage(message).help("`windrow sync` by a definition makes one"));
    };
    Ok(Grant::asked_by(&parse_definition("the archive's definition", &text)?))
}

fn accept(
    store: &TrustStore,
    asked: &Grant,
    shown: &str,
    archive: &Path,
    host: &Host,
) -> Result<(), Error> {
    if shown.len() < DIGEST_CHARS_MIN {
        let message = format!("a digest is named by at least {DIGEST_CHARS_MIN} characters");
        return Err(Error::usage(message).help("copy it from what `windrow trust` shows"));
    }
    if !asked.digest.starts_with(shown) {
        let message = format!(
            "the definition in {} is not the one that was shown: its digest is {}",
            archive.display(),
            asked.digest
        );
        return Err(Error::new(ErrorKind::Unsafe, message).help("look at what it asks for now"));
    }
    let note = json!({
        "archive": archive.display().to_string(),
        "accepted_at": instant_to_text(host.clock.now()),
        "grant": asked,
    });
    store.accept(&asked.digest, &format!("{note:#}\n")).map_err(|error| {
        let message = format!("trust cannot be remembered: {error}");
        Error::new(ErrorKind::Storage, message).help("look at the state folder and its permissions")
    })
}

fn list(store: &TrustStore, output: &Output) -> Result<ExitCode, Error> {
    let all = store.all();
    if output.json() {
        output.json_line(&json!({ "trusted": all }))?;
    } else {
        output.result(&all.iter().map(|digest| format!("{digest}\n")).collect::<String>())?;
        output.say(&format!("{} trusted\n", many(all.len() as u64, "definition")));
    }
    Ok(ExitCode::Done)
}

fn forget(store: &TrustStore, shown: &str, output: &Output) -> Result<ExitCode, Error> {
    let fits = |digest: &String| shown.len() >= DIGEST_CHARS_MIN && digest.starts_with(shown);
    let Some(digest) = store.all().into_iter().find(fits) else {
        let message = format!("no trusted definition has the digest {shown}");
        return Err(Error::usage(message).help("`windrow trust --list` lists them"));
    };
    store.forget(&digest).map_err(|error| {
        Error::new(ErrorKind::Storage, format!("trust cannot be taken back: {error}"))
            .help("look at the state folder and its permissions")
    })?;
    if output.json() {
        output.json_line(&json!({ "forgotten": digest }))?;
    } else {
        output.result(&format!("{digest} is trusted no longer\n"))?;
    }
    Ok(ExitCode::Done)
}

fn page(asked: &Grant, archive: &Path, trusted: bool) -> String {
    let archive = printable(&archive.display().to_string());
    let mut page = format!("{archive} holds a definition with the digest {}.\n", asked.digest);
    page.push_str("It may, once you trust it:\n");
    for source in &asked.sources {
        page.push_str(&printable(&format!("  ask {} (source {})", source.base_url, source.name)));
        page.push('\n');
        for secret in &source.secrets {
            page.push_str(&printable(&format!("    and send {secret} to {}", source.base_url)));
            page.push('\n');
        }
        for host in &source.allow_hosts {
            page.push_str(&printable(&format!("    and follow addresses to {host}, no secret")));
            page.push('\n');
        }
    }
    for (name, sql) in &asked.checks {
        page.push_str(&printable(&format!("  run the check {name}: {sql}")));
        page.push('\n');
    }
    if trusted {
        page.push_str("You trust it.\n");
        return page;
    }
    page.push_str(&format!(
        "You do not trust it: `sync` and whatever else asks somebody is refused.\n\
         To trust it: windrow -a {archive} trust --accept {}\n",
        &asked.digest[..DIGEST_CHARS_MIN]
    ));
    page
}
