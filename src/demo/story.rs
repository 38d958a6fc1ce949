//! The chapters.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{self, Stdio};
use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::Duration;

use chrono::{DateTime, NaiveDate, Utc};
use serde::Serialize;

use crate::definition::{Definition, parse_definition};
use crate::host::files::make_private_file;
use crate::host::{Clock, Host, SteadyClock};
use crate::http::{HttpTransport, SecretValues, Transport};
use crate::model::{Command, Error, ErrorKind, instant_to_text};
use crate::store::{Archive, Opening, Reader, RunRow, Value, holder_note};
use crate::sync::{Lanes, Silent, SyncOptions, SyncParts, SyncReport, sync, transports};

use super::api::{Api, DemoFault};
use super::world::{CLIENTS, gb, lines, usage};

/// How long the demo waits for the process that it is about to kill, seconds: it must start and
/// come to its window, which takes seconds on a machine under load.
const VICTIM_SECONDS_MAX: u64 = 20;
/// Billing cycles that the usual script asks for each time.
const SCRIPT_CYCLES: u32 = 3;
/// The month whose totals are compared.
const MONTH: (&str, &str) = ("2025-10-01", "2025-11-01");

/// What the audience sees next.
pub enum DemoScene<'a> {
    /// A new chapter: its date and what it is about.
    Chapter(&'a str, &'a str),
    Remark(&'a str),
    /// A sync has ended.
    Synced(&'a SyncReport),
    Conclusion(&'a Conclusion),
}

/// The function that shows a scene of the demonstration.
pub type ShowScene<'s> = dyn Fn(&DemoScene<'_>) + 's;

/// The system broke the story off: a file, a port, a process.
fn system(error: impl std::fmt::Display) -> Error {
    Error::new(ErrorKind::Storage, error.to_string())
}

/// A client's usage in the month, as each of three counts it.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClientTotal {
    pub client: String,
    pub plan_gb: u32,
    /// What the API itself says, GB.
    pub truth_gb: String,
    /// What windrow's archive says, GB.
    pub windrow_gb: String,
    /// What a script that inserts whatever comes has, GB.
    pub script_gb: String,
    /// Whether windrow and the API agree to the last digit.
    pub equal: bool,
}

/// The end of the story.
#[derive(Clone, Debug, Serialize)]
pub struct Conclusion {
    /// Where the archive is.
    pub archive: PathBuf,
    /// Where its definition is.
    pub definition: PathBuf,
    /// What each run did, oldest first.
    pub runs: Vec<RunRow>,
    /// The month, by client.
    pub totals: Vec<ClientTotal>,
    /// Days of service lines in the month, at the API and in the archive.
    pub days: (u64, u64),
    /// The world's clock at the end.
    pub now: DateTime<Utc>,
}

impl Conclusion {
    /// Whether windrow has what the API has.
    pub fn holds(&self) -> bool {
        self.days.0 == self.days.1 && self.totals.iter().all(|total| total.equal)
    }
}

/// The definition that the demo works with.
fn definition_text(address: &str) -> String {
    format!(
        r#"# The definition of windrow's demo. The API that it names ended with the demo.
[archive]
path = "fleet.db"

[sources.fleet]
base_url = "{address}/v1"
retry = {{ base = "50 ms" }}

[streams.clients]
path = "/clients"
records = "$.data[*]"
key = "client_id"

[streams.service_lines]
path = "/service-lines"
records = "$.data[*]"
key = "service_line_id"
references = {{ client_id = "clients" }}
columns = {{ service_line_id = "text", client_id = "text" }}

[streams.daily_usage]
path = "/usage"
query = {{ from = "{{{{ window.start }}}}", to = "{{{{ window.end }}}}" }}
records = "$.lines.*.daily_usage[*]"
key = ["service_line_id", "usage_date"]
version = "updated_at"
total = "$.total"

[streams.daily_usage.window]
field = "usage_date"
start = "2025-10-01"
step = "7 days"
overlap = "2 days"
lateness = "16 days"
format = "%Y-%m-%d"
bounds = "[]"

[streams.daily_usage.paginate]
kind = "page"
size = 40
size_param = "per_page"

[streams.daily_usage.columns]
service_line_id = {{ type = "text", member = "$.lines.*" }}
usage_date = {{ type = "date", path = "$.date" }}
consumed_gb = "decimal"
updated_at = "timestamp"
"#
    )
}

struct Story<'a> {
    api: Api,
    folder: PathBuf,
    definition: Definition,
    clock: Arc<SteadyClock>,
    host: Host,
    show: &'a ShowScene<'a>,
    /// What the script of the story has inserted: client, day, thousandths of a GB.
    script: Vec<(String, NaiveDate, u64)>,
}

/// Tells the story; the archive is left in `folder`. `program` is windrow itself, to be killed.
pub fn tell(
    folder: &Path,
    program: &Path,
    host: &Host,
    show: &ShowScene<'_>,
) -> Result<Conclusion, Error> {
    let api = Api::start(at("2025-10-12T09:00:00Z")).map_err(system)?;
    let text = definition_text(&api.address());
    make_private_file(&folder.join("windrow.toml"), &text).map_err(system)?;
    let mut definition = parse_definition("windrow.toml", &text)
        .map_err(|problems| system(problems.render(false)))?;
    definition.archive = folder.join("fleet.db");
    let clock = Arc::new(SteadyClock::new(at("2025-10-12T09:00:00Z")));
    let host = Host { clock: clock.clone(), ..host.clone() };
    let folder = folder.to_owned();
    let script = Vec::new();
    let mut story = Story { api, folder, definition, clock, host, show, script };
    story.first_connection()?;
    story.no_network()?;
    story.hotel()?;
    story.catching_up()?;
    story.killed(program)?;
    story.carrying_on()?;
    story.settled()?;
    let conclusion = story.conclude()?;
    show(&DemoScene::Conclusion(&conclusion));
    Ok(conclusion)
}

/// An instant that is written in this file.
fn at(text: &str) -> DateTime<Utc> {
    text.parse().expect("the story's dates are written by hand and tested")
}

impl Story<'_> {
    fn chapter(&self, now: &str, about: &str) {
        let now = at(now);
        self.clock.set(now);
        self.api.set_now(now);
        (self.show)(&DemoScene::Chapter(&now.format("%-d %B %Y").to_string(), about));
    }

    fn remark(&self, text: &str) {
        (self.show)(&DemoScene::Remark(text));
    }

    fn sync(&self) -> Result<SyncReport, Error> {
        let now = instant_to_text(self.clock.now());
        let archive = Archive::open(
            &self.definition.archive,
            &Opening {
                note: &holder_note(Command::Demo, self.clock.now()),
                now: &now,
                allow_network_fs: true,
                files: &*self.host.files,
            },
        )?;
        let transports = transports(&self.definition, |source| {
            let http = HttpTransport::new(source.connect_timeout_ms, source.read_timeout_ms);
            http.map(|transport| Arc::new(transport) as Arc<dyn Transport>)
        });
        let transports = transports.map_err(system)?;
        let parts = SyncParts {
            definition: &self.definition,
            host: &self.host,
            transports,
            secrets: SecretValues::default(),
            observer: &Silent,
        };
        let options = SyncOptions { command: Command::Demo, ..SyncOptions::default() };
        let report = sync(&archive, parts, &options, Lanes::Overlapped)?;
        archive.close()?;
        (self.show)(&DemoScene::Synced(&report));
        Ok(report)
    }

    /// What the usual script does: ask for the last billing cycles, insert whatever comes.
    fn run_script(&mut self) {
        let now = self.clock.now();
        let today = now.date_naive();
        for client in &CLIENTS {
            let start = super::world::cycle_start(client, today, SCRIPT_CYCLES - 1);
            let rows = usage(start, today, now).into_iter();
            let of_client = rows.filter(|row| row.client == client.id);
            self.script.extend(of_client.map(|row| (client.id.to_owned(), row.date, row.milli_gb)));
        }
    }

    fn first_connection(&mut self) -> Result<(), Error> {
        self.chapter("2025-10-12T09:00:00Z", "the first connection: 429, 500, and it goes on");
        self.remark("the API answers 429 with Retry-After, then 500, then the data");
        self.api.plan_faults(vec![Some(DemoFault::TooMany(1)), Some(DemoFault::ServerError)]);
        self.sync()?;
        Ok(())
    }

    fn no_network(&mut self) -> Result<(), Error> {
        self.chapter("2025-10-19T18:00:00Z", "at sea: no network");
        self.api.go_offline();
        let report = self.sync()?;
        self.api.come_back().map_err(system)?;
        self.remark(&format!(
            "offline is a state and not an error: exit code {}, nothing lost, nothing retried in \
             a storm",
            report.exit_code()
        ));
        Ok(())
    }

    fn hotel(&mut self) -> Result<(), Error> {
        self.chapter("2025-10-20T21:00:00Z", "a hotel: every answer is a login page, status 200");
        self.api.set_login_page(true);
        self.sync()?;
        self.api.set_login_page(false);
        self.remark("a web page is not \"no data\": no window was called complete");
        Ok(())
    }

    fn catching_up(&mut self) -> Result<(), Error> {
        self.chapter("2025-10-21T08:00:00Z", "logged in: cut connections, and pages that shift");
        self.remark("one answer is cut in the middle; a row appears while pages are read");
        self.api.plan_faults(vec![None, None, Some(DemoFault::Cut), None, Some(DemoFault::Shift)]);
        self.sync()?;
        Ok(())
    }

    /// Starts windrow as a process and kills it while it waits for a page.
    fn killed(&mut self, program: &Path) -> Result<(), Error> {
        self.chapter("2025-11-03T07:00:00Z", "the battery dies in the middle of a window");
        self.run_script();
        let (tell, asked) = channel();
        // The second window's second page never comes.
        let faults = [None, None, None, None, None, None, Some(DemoFault::Stall(tell))];
        self.api.plan_faults(faults.to_vec());
        let child = process::Command::new(program)
            .args(["sync", "--definition"])
            .arg(self.folder.join("windrow.toml"))
            .env("WINDROW_STATE_DIR", "")
            .env("WINDROW_TEST_NOW", instant_to_text(self.clock.now()))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let mut child = child.map_err(system)?;
        let in_the_middle = asked.recv_timeout(Duration::from_secs(VICTIM_SECONDS_MAX)).is_ok();
        child.kill().map_err(system)?;
        child.wait().map_err(system)?;
        if !in_the_middle {
            return Err(system("the process did not get to its window"));
        }
        self.api.plan_faults(Vec::new());
        self.remark("kill -9 while a page was on its way; its window was not complete");
        Ok(())
    }

    fn carrying_on(&mut self) -> Result<(), Error> {
        self.chapter("2025-11-03T07:05:00Z", "power is back: it carries on");
        self.sync()?;
        self.remark("corrected days were updated, late days inserted, equal rows not touched");
        Ok(())
    }

    fn settled(&mut self) -> Result<(), Error> {
        self.chapter("2025-11-20T10:00:00Z", "two weeks later, and once more right after");
        self.run_script();
        self.sync()?;
        let again = self.sync()?;
        let changed = again.outcomes().inserted + again.outcomes().updated;
        self.remark(&format!("an unchanged source: {changed} rows written, the checkpoint only"));
        Ok(())
    }

    fn conclude(&self) -> Result<Conclusion, Error> {
        let now = self.clock.now();
        let day = |text: &str| text.parse::<NaiveDate>().expect("the month is written by hand");
        let (from, until) = (day(MONTH.0), day(MONTH.1));
        let truth = usage(from, until, now);
        let reader = Reader::open(&self.definition.archive)?;
        let kept = kept_usage(&reader)?;
        let client_of: BTreeMap<String, &str> =
            lines().map(|(line, client)| (line, client.id)).collect();
        let totals = CLIENTS.iter().map(|client| {
            let truth: u64 =
                truth.iter().filter(|row| row.client == client.id).map(|row| row.milli_gb).sum();
            let of_client = |line: &String| client_of.get(line).is_some_and(|id| *id == client.id);
            let windrow: u64 =
                kept.iter().filter(|(line, _)| of_client(line)).map(|(_, milli)| milli).sum();
            let in_month = |row: &&(String, NaiveDate, u64)| {
                row.0 == client.id && row.1 >= from && row.1 < until
            };
            let script: u64 = self.script.iter().filter(in_month).map(|row| row.2).sum();
            ClientTotal {
                client: client.name.to_owned(),
                plan_gb: client.plan_gb,
                truth_gb: gb(truth),
                windrow_gb: gb(windrow),
                script_gb: gb(script),
                equal: truth == windrow,
            }
        });
        let totals = totals.collect();
        let mut runs = reader.runs(100)?;
        runs.reverse();
        Ok(Conclusion {
            archive: self.definition.archive.clone(),
            definition: self.folder.join("windrow.toml"),
            runs,
            totals,
            days: (truth.len() as u64, kept.len() as u64),
            now,
        })
    }
}

/// The month's rows of the archive: service line and thousandths of a GB.
fn kept_usage(reader: &Reader) -> Result<Vec<(String, u64)>, Error> {
    let mut rows = Vec::new();
    let sql = format!(
        "SELECT service_line_id, CAST(round(consumed_gb * 1000) AS INTEGER) FROM daily_usage
         WHERE usage_date >= '{}' AND usage_date < '{}'",
        MONTH.0, MONTH.1
    );
    reader.query(&sql, &mut |part| {
        if let Some([Value::Text(line), Value::Integer(milli)]) = part.row().as_deref() {
            rows.push((line.clone(), u64::try_from(*milli).unwrap_or(0)));
        }
        Ok(())
    })?;
    Ok(rows)
}
