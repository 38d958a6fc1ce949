//! `kill -9` of the real binary, at any moment, against the model API over real sockets.
//!
//! After every kill the file is held against the truth, and what an earlier look found complete
//! must still be. When an archive is whole the next one is begun.
//!
//! One kill in six meets a sync that waits for an answer. Before it another program must be able to
//! write; after it every page that had come is there, and no later sync asks for one of them again.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use url::Url;

use crate::check::{check_file, check_told, check_truth, compare, look, open};
use crate::scenario::{CANARY, Classes, Kind, Paging, Scenario, Total, instant};
use crate::swarm::scratch;
use crate::world::World;

/// What a campaign did.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// Processes that were killed while they ran.
    pub kills: u64,
    /// Processes that had ended before.
    pub late: u64,
    /// Of these, while the sync waited for an answer.
    pub waiting: u64,
    /// Kills that left a log to recover.
    pub logs: u64,
    /// Archives that were brought to their end.
    pub archives: u64,
    /// What was wrong.
    pub violations: Vec<String>,
}

/// A life that has many windows and pages, so that a kill meets something.
fn busy(seed: u64) -> Scenario {
    let mut scenario = (seed..)
        .map(Scenario::draw)
        .find(|drawn| drawn.kind == Kind::Window && drawn.paging == Paging::Token && drawn.dated)
        .expect("one of the seeds is such a life");
    scenario.classes = Classes::default();
    scenario.parents = 0;
    scenario.post = false;
    scenario.page_size = 2;
    scenario.cap = None;
    // Where a total is held against a window, its pages are counted from the first one.
    if seed.is_multiple_of(2) {
        scenario.total = Total::None;
    }
    scenario.past = scenario.edges.len() - 6;
    scenario.lateness_hours = 0;
    scenario
}

/// One kill of so many is of a sync that waits.
const WAITING_EVERY: u64 = 6;
/// How long a sync is silent before it is killed: several times what windrow takes to commit.
const SILENCE: Duration = Duration::from_millis(800);
/// How long another program tries to write while a sync waits; its lock would be there longer.
const WRITER_PATIENCE: Duration = Duration::from_millis(500);
/// How often a process is looked at.
const LOOK: Duration = Duration::from_millis(5);

/// What the API was asked for, and where it stops answering.
#[derive(Default)]
struct Wire {
    /// The targets that it has answered since the last silence.
    answered: Vec<String>,
    /// Those before.
    earlier: Vec<String>,
    /// The one that it did not answer.
    held: Option<String>,
    /// After so many answers it is silent.
    silent_after: Option<usize>,
    /// A request waits for its answer.
    silent: bool,
}

/// The wire, and the bell that ends a silence.
type Line = (Mutex<Wire>, Condvar);

/// Waits while the API is silent; `false` where it never answers this request.
fn hold(line: &Line, target: &str) -> bool {
    let (wire, bell) = line;
    let mut wire = wire.lock().expect("no holder panics");
    if wire.silent_after.is_some_and(|most| wire.answered.len() >= most) {
        wire.silent = true;
        wire.held = Some(target.to_owned());
        let ended = bell.wait_while(wire, |wire| wire.silent_after.is_some());
        drop(ended.expect("no holder panics"));
        return false;
    }
    wire.answered.push(target.to_owned());
    true
}

/// Answers as the model does, over a socket.
fn serve(stream: &TcpStream, world: &Mutex<World>, line: &Line, now: i64) {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    loop {
        let mut head = String::new();
        if !reader.read_line(&mut head).is_ok_and(|read| read > 0) {
            return;
        }
        let target = head.split(' ').nth(1).unwrap_or("/").to_owned();
        while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
        let Ok(url) = Url::parse(&format!("http://api{target}")) else { return };
        if !hold(line, &target) {
            return;
        }
        let answer = world.lock().expect("no holder panics").answer(&url, now);
        let body = answer.body;
        let headers = answer.headers.iter().map(|(name, value)| format!("{name}: {value}\r\n"));
        let text = format!(
            "HTTP/1.1 {} OK\r\ncontent-type: application/json\r\n{}content-length: {}\r\n\r\n\
             {body}",
            answer.status,
            headers.collect::<String>(),
            body.len()
        );
        if out.write_all(text.as_bytes()).is_err() {
            return;
        }
    }
}

struct Archive {
    folder: tempfile::TempDir,
    world: Arc<Mutex<World>>,
    line: Arc<Line>,
    /// Whether a window that was cut off goes on at its next page.
    resumes: bool,
    now: i64,
}

impl Archive {
    fn begin(seed: u64) -> Archive {
        let scenario = busy(seed);
        let now = scenario.edges[scenario.past] + 7_000;
        let world = Arc::new(Mutex::new(World::new(scenario.clone())));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let line = Arc::new(Line::default());
        let (served, shared) = (Arc::clone(&world), Arc::clone(&line));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (world, line) = (Arc::clone(&served), Arc::clone(&shared));
                std::thread::spawn(move || serve(&stream, &world, &line, now));
            }
        });
        let folder = scratch();
        let toml = scenario.toml("a.db").replace("https://api.example.com/v1", &address);
        // The number that stands in each answer is held against what a whole fetch received, unless
        // the definition says that it is none.
        let toml = match scenario.total {
            Total::None => toml.replacen("\nkey = ", "\ntotal = \"none\"\nkey = ", 1),
            _ => toml,
        };
        std::fs::write(folder.path().join("windrow.toml"), toml).expect("it can be written");
        Archive { folder, world, line, resumes: scenario.total == Total::None, now }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
    }

    /// Kills a sync once it has waited for an answer for a while; `None` where it came to its end
    /// before. Gives what was wrong.
    #[allow(clippy::disallowed_methods)]
    fn kill_waiting(&self, binary: &Path, answers: usize) -> Option<Vec<String>> {
        let (wire, bell) = &*self.line;
        {
            let mut wire = wire.lock().expect("no holder panics");
            let before = std::mem::take(&mut wire.answered);
            wire.earlier.extend(before);
            wire.silent_after = Some(answers);
        }
        let mut child = self.sync(binary);
        let waits = loop {
            if wire.lock().expect("no holder panics").silent {
                break true;
            }
            if child.try_wait().expect("it can be waited for").is_some() {
                break false;
            }
            std::thread::sleep(LOOK);
        };
        let mut wrong = Vec::new();
        if waits {
            std::thread::sleep(SILENCE);
            let written = open(&self.path()).and_then(|connection| {
                connection.busy_timeout(WRITER_PATIENCE)?;
                connection.execute_batch("BEGIN IMMEDIATE; ROLLBACK")
            });
            if let Err(error) = written {
                wrong.push(format!("S27: nobody else can write while a sync waits: {error}"));
            }
            let _ = child.kill();
        }
        let _ = child.wait();
        let mut wire = wire.lock().expect("no holder panics");
        (wire.silent, wire.silent_after) = (false, None);
        bell.notify_all();
        waits.then_some(wrong)
    }

    /// Goes on after a kill in the middle of a window: its whole pages are there, and the next
    /// request is the one that was not answered.
    fn go_on(&self, binary: &Path) -> Option<String> {
        let (wire, _) = &*self.line;
        let (held, came) = {
            let mut wire = wire.lock().expect("no holder panics");
            (wire.held.take()?, std::mem::take(&mut wire.answered))
        };
        let window = held.split_once("&cursor=")?.0;
        let kept = pages_kept(&self.path()).map_err(|error| format!("S27: {error}"));
        let status = self.sync(binary).wait().expect("it can be waited for");
        let mut wire = wire.lock().expect("no holder panics");
        let asked = std::mem::take(&mut wire.answered);
        let known = wire.earlier.iter().any(|each| each.starts_with(window));
        wire.earlier.extend(came.iter().chain(&asked).cloned());
        let pages = came.iter().rev().take_while(|each| each.starts_with(window)).count() as i64;
        let mut of_window = asked.iter().filter(|each| each.starts_with(window));
        let next = of_window.next().map(String::as_str).unwrap_or_default();
        match kept {
            Err(error) => Some(error),
            Ok(_) if !status.success() => Some(format!("a sync after a kill ended with {status}")),
            // Of a window that an earlier sync has read, nobody here knows how far it had come.
            Ok(_) if known => None,
            Ok(kept) if kept != Some(pages) => {
                Some(format!("S27: {kept:?} pages of {pages} are kept of {held}"))
            }
            Ok(_) if self.resumes && next != held => {
                Some(format!("S27: {next} was asked for after a kill, and not {held}"))
            }
            Ok(_) => None,
        }
    }

    fn sync(&self, binary: &Path) -> std::process::Child {
        Command::new(binary)
            .arg("sync")
            .current_dir(self.folder.path())
            .env_clear()
            .env("TOKEN", CANARY)
            .env("WINDROW_STATE_DIR", "")
            .env("WINDROW_TEST_NOW", instant(self.now).to_rfc3339())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("windrow starts")
    }
}

/// Kills until so many were met while they ran.
#[allow(clippy::disallowed_methods)]
pub fn kill_everywhere(binary: &Path, kills: u64, seed: u64) -> Kills {
    let mut sum = Kills::default();
    let mut random = fastrand::Rng::with_seed(seed);
    let mut next = seed;
    while sum.kills < kills && sum.violations.is_empty() {
        let archive = Archive::begin(next);
        next += 1;
        let mut told = Vec::new();
        loop {
            if sum.kills.is_multiple_of(WAITING_EVERY) && sum.kills < kills {
                let Some(wrong) = archive.kill_waiting(binary, random.usize(2..9)) else { break };
                (sum.kills, sum.waiting) = (sum.kills + 1, sum.waiting + 1);
                sum.violations.extend(wrong);
                sum.violations.extend(look_at(&archive, &mut told));
                sum.violations.extend(archive.go_on(binary));
                if !sum.violations.is_empty() {
                    return sum;
                }
            }
            let mut child = archive.sync(binary);
            // Most of them soon: the beginning of an archive is the most delicate moment.
            let most = [3_000, 15_000, 60_000, 200_000][random.usize(..4)];
            std::thread::sleep(Duration::from_micros(random.u64(200..most)));
            let ended = child.try_wait().expect("it can be waited for").is_some();
            let _ = child.kill();
            let status = child.wait().expect("it can be waited for");
            if ended || sum.kills >= kills {
                sum.late += 1;
                if status.success() {
                    break;
                }
                continue;
            }
            sum.kills += 1;
            let log = std::fs::metadata(archive.folder.path().join("a.db-wal"));
            sum.logs += u64::from(log.is_ok_and(|log| log.len() > 0));
            sum.violations.extend(look_at(&archive, &mut told));
            if !sum.violations.is_empty() {
                return sum;
            }
        }
        let status = archive.sync(binary).wait().expect("it can be waited for");
        if !status.success() {
            sum.violations.push(format!("a sync without a kill ended with {status}"));
        }
        sum.violations.extend(look_at(&archive, &mut told));
        let connection = open(&archive.path()).expect("a whole archive");
        let seen = look(&connection).expect("a whole archive");
        let world = archive.world.lock().expect("no holder panics");
        sum.violations.extend(check_truth(&seen, &world, archive.now));
        sum.archives += 1;
    }
    sum
}

/// The pages of the window that is in hand; `None` where there is none.
fn pages_kept(path: &Path) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT sum(pages) FROM _windrow_ledger WHERE state = 'partial'";
    open(path)?.query_row(sql, [], |row| row.get(0))
}

fn look_at(archive: &Archive, told: &mut Vec<crate::check::Complete>) -> Vec<String> {
    if !archive.path().exists() {
        return check_told(told, &[]);
    }
    let found = open(&archive.path()).and_then(|connection| {
        let wrong = check_file(&connection)?;
        Ok((look(&connection)?, wrong))
    });
    match found {
        Err(error) => vec![format!("S26: {error}")],
        Ok((seen, mut wrong)) => {
            let world = archive.world.lock().expect("no holder panics");
            wrong.extend(compare(&seen, &world, archive.now));
            wrong.extend(check_told(told, &seen.complete));
            *told = seen.complete;
            wrong
        }
    }
}
