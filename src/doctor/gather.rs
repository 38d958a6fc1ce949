//! Looks at everything and decides nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use url::Url;

use crate::definition::{Definition, SecretReference, Source, is_loopback};
use crate::host::files::{self, lock_path};
use crate::host::{Environment, Host};
use crate::http::{
    HttpRequest, HttpResponse, Method, NetError, NetKind, Transport, is_too_short, looks_like_html,
    secrets_of,
};
use crate::model::Timestamp;
use crate::store::Reader;

use super::facts::{
    AnswerFacts, ArchiveFacts, DefinitionFacts, Facts, SecretFact, SecretFound, SourceFacts,
    SourceReach,
};

/// The longest that one source is waited for: what has not answered by then does not work for a
/// person either.
const ANSWER_MS_MAX: u64 = 20_000;
/// The largest answer: who only knocks needs none.
const ANSWER_BYTES_MAX: u64 = 1 << 20;
/// The longest `Age` of an answer that is believed, seconds: a year, as caches have it.
const AGE_SECONDS_MAX: i64 = 31_536_000;
/// The variables that the HTTP client looks at, each with its other spelling; the first that is
/// set counts.
const PROXY_VARIABLES: [[&str; 2]; 4] = [
    ["HTTPS_PROXY", "https_proxy"],
    ["HTTP_PROXY", "http_proxy"],
    ["ALL_PROXY", "all_proxy"],
    ["NO_PROXY", "no_proxy"],
];

/// How requests go out.
pub enum Way {
    /// Not at all, on purpose: no socket is opened.
    Offline,
    /// Not at all: the HTTP client does not start.
    Closed(NetError),
    /// By these, one for each source.
    Open(BTreeMap<String, Arc<dyn Transport>>),
}

/// What the facts are gathered from.
pub struct Surroundings<'a> {
    /// What became of reading the definition.
    pub told: DefinitionFacts,
    /// The definition, if it could be read.
    pub definition: Option<&'a Definition>,
    /// The archive's path, if somebody names one.
    pub archive: Option<&'a Path>,
    /// The folder from which secret files are found.
    pub folder: &'a Path,
    pub way: Way,
    /// Clock, variables, links, stop.
    pub host: &'a Host,
}

/// Looks. Changes nothing, but for a file beside the archive that is made and removed at once.
pub fn gather(surroundings: Surroundings<'_>) -> Facts {
    let Surroundings { told, definition, archive, folder, way, host } = surroundings;
    let now = host.clock.now();
    let allow = definition.is_some_and(|definition| definition.allow_network_fs);
    let environment = &*host.environment;
    let secrets = definition.map(|it| secret_facts(it, folder, environment)).unwrap_or_default();
    Facts {
        now,
        definition: told,
        secrets,
        archive: archive.map(|path| archive_facts(path, allow, now)),
        offline: matches!(way, Way::Offline),
        links_up: host.network.link_is_up(),
        proxies: proxies(environment),
        sources: definition.map(|it| source_facts(it, &way, host)).unwrap_or_default(),
        waits: definition.zip(archive).map(|(it, path)| waits(it, path, now)).unwrap_or_default(),
    }
}

/// The waits that the archive notes; one that cannot be read is told of elsewhere.
fn waits(definition: &Definition, archive: &Path, now: Timestamp) -> Vec<(String, String)> {
    let held = archive.is_file().then(|| Reader::open(archive)?.waits_held(now));
    let held = held.and_then(Result::ok).unwrap_or_default().into_iter();
    let known = held.filter(|wait| definition.sources.contains_key(&wait.source));
    known.map(|wait| (wait.source, wait.reason)).collect()
}

fn secret_facts(
    definition: &Definition,
    folder: &Path,
    environment: &dyn Environment,
) -> Vec<SecretFact> {
    let fact = |(place, reference): (String, SecretReference)| {
        let found = find_secret(definition, &reference, folder, environment);
        SecretFact { reference: reference.to_string(), place, found }
    };
    secrets_of(definition).into_iter().map(fact).collect()
}

fn find_secret(
    definition: &Definition,
    reference: &SecretReference,
    folder: &Path,
    environment: &dyn Environment,
) -> SecretFound {
    let (value, open) = match reference {
        SecretReference::Environment(name) => {
            let value = environment.variable(name);
            (value.ok_or_else(|| format!("the variable {name} is not set")), None)
        }
        SecretReference::File(path) => {
            let file = folder.join(path);
            let value = environment.secret_file(&file);
            let open = files::mode_for_others(&file).map(|mode| (file, mode));
            (value.map_err(|error| format!("cannot read {path}: {error}")), open)
        }
    };
    match (value, open) {
        (Err(why), _) => SecretFound::Missing(why),
        (Ok(value), _) if value.is_empty() => SecretFound::Missing("it is empty".to_owned()),
        (Ok(value), _) if is_too_short(definition, reference, &value) => SecretFound::Short,
        (Ok(_), Some((file, mode))) => {
            SecretFound::Exposed { file: file.display().to_string(), mode }
        }
        (Ok(value), None) if value.trim() != value || value.contains(char::is_control) => {
            SecretFound::Odd
        }
        (Ok(_), None) => SecretFound::Good,
    }
}

fn archive_facts(path: &Path, allow_network_fs: bool, now: Timestamp) -> ArchiveFacts {
    let is_file = path.is_file();
    // Before SQLite has the file open: closing a handle of our own would drop its locks.
    let appending = if is_file { files::try_writing(path) } else { Ok(()) };
    let health = path.exists().then(|| Reader::open(path)?.health(now));
    let text = |error: std::io::Error| error.to_string();
    ArchiveFacts {
        path: path.display().to_string(),
        allow_network_fs,
        health,
        unwritable: appending.err().map(text),
        bytes: path.metadata().map_or(0, |metadata| metadata.len()),
        beside: files::endings_beside(path),
        holder: files::lock_holder(&lock_path(path)).map_err(text),
        closed_folder: files::try_making(path).err().map(text),
        free_bytes: files::free_bytes(path).map_err(text),
        file_system: files::file_system(path),
    }
}

fn proxies(environment: &dyn Environment) -> Vec<(String, String)> {
    let first = |names: [&str; 2]| {
        let mut set = names
            .into_iter()
            .filter_map(|name| environment.variable(name).map(|value| (name.to_owned(), value)));
        set.next().filter(|(_, value)| !value.is_empty())
    };
    PROXY_VARIABLES.into_iter().filter_map(first).collect()
}

fn source_facts(definition: &Definition, way: &Way, host: &Host) -> Vec<SourceFacts> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let mut facts = Vec::new();
    for source in definition.sources.values() {
        let reach = match (way, &runtime) {
            (Way::Offline, _) => SourceReach::NotAsked,
            (Way::Closed(error), _) => SourceReach::NoClient(error.detail.clone()),
            (Way::Open(_), Err(error)) => SourceReach::NoClient(error.to_string()),
            (Way::Open(transports), Ok(runtime)) => match transports.get(&source.name) {
                Some(transport) => runtime.block_on(ask(source, &**transport, host)),
                None => SourceReach::NotAsked,
            },
        };
        facts.push(SourceFacts {
            name: source.name.clone(),
            base_url: source.base_url.to_string(),
            secure: source.base_url.scheme() == "https",
            loopback: is_loopback(&source.base_url),
            reach,
        });
    }
    facts
}

/// Asks for the base address itself, without credentials and once.
async fn ask(source: &Source, transport: &dyn Transport, host: &Host) -> SourceReach {
    let format = source.format();
    let request = HttpRequest {
        method: Method::Get,
        url: source.base_url.clone(),
        headers: vec![("accept".to_owned(), format.media_type().to_owned())],
        body: None,
        format,
        body_bytes_max: ANSWER_BYTES_MAX,
        body_ratio_max: source.body_ratio_max,
    };
    let late = |detail: &str| NetError { kind: NetKind::Timeout, detail: detail.to_owned() };
    let answer = tokio::select! {
        answer = transport.send(&request) => answer,
        () = host.clock.pause(Duration::from_millis(ANSWER_MS_MAX)) => {
            Err(late("no whole answer in time"))
        }
        _ = host.stop.requested() => Err(late("somebody asked for the end")),
    };
    match answer {
        Ok(response) => SourceReach::Answered(AnswerFacts {
            status: response.status,
            html: looks_like_html(&response),
            elsewhere: elsewhere(&source.base_url, &response),
            clocks: source_time(&response).map(|theirs| (theirs, host.clock.now())),
        }),
        Err(error) => SourceReach::Failed(error),
    }
}

/// The other host that an answer sends on to.
fn elsewhere(base: &Url, response: &HttpResponse) -> Option<String> {
    if !(300..400).contains(&response.status) {
        return None;
    }
    let to = base.join(response.header("location")?).ok()?;
    let host = to.host_str()?;
    (Some(host) != base.host_str()).then(|| host.to_owned())
}

/// What time it is at the source: its `Date`, and how long the answer lay in a cache since
/// (RFC 9110, section 6.6.1; RFC 9111, section 5.1).
fn source_time(response: &HttpResponse) -> Option<Timestamp> {
    let date = httpdate::parse_http_date(response.header("date")?).ok()?;
    let age = response.header("age").and_then(|text| text.trim().parse::<i64>().ok());
    let age = TimeDelta::seconds(age.unwrap_or(0).clamp(0, AGE_SECONDS_MAX));
    DateTime::<Utc>::from(date).checked_add_signed(age)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn response(status: u16, headers: &[(&str, &str)]) -> HttpResponse {
        let headers = headers.iter().map(|(name, value)| ((*name).into(), (*value).into()));
        HttpResponse { status, headers: headers.collect(), body: Vec::new() }
    }

    #[test]
    fn an_answer_tells_the_time_and_a_cached_one_how_old_it_is() {
        let date = ("date", "Sat, 10 Jan 2026 12:00:00 GMT");
        let text = |response: &HttpResponse| source_time(response).map(|at| at.to_rfc3339());
        assert_eq!(text(&response(200, &[date])).as_deref(), Some("2026-01-10T12:00:00+00:00"));
        let cached = response(200, &[date, ("age", "600")]);
        assert_eq!(text(&cached).as_deref(), Some("2026-01-10T12:10:00+00:00"));
        assert_eq!(text(&response(200, &[("date", "yesterday")])), None);
    }

    #[test]
    fn only_another_host_is_elsewhere() {
        let base = Url::parse("https://api.example.com/v1").expect("an address");
        let to = |status, place| elsewhere(&base, &response(status, &[("location", place)]));
        assert_eq!(to(302, "http://login.hotel/").as_deref(), Some("login.hotel"));
        assert_eq!(to(301, "/v1/"), None);
        assert_eq!(to(200, "http://login.hotel/"), None);
    }
}
