//! `kill -9` of the real binary, at any moment, against the model API over real sockets.
//!
//! After every kill the file is held against the truth, and what an earlier look found complete
//! must still be. When an archive is whole the next one is begun.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use url::Url;

use crate::check::{check_file, check_told, check_truth, compare, look, open};
use crate::scenario::{CANARY, Classes, Kind, Paging, Scenario, instant};
use crate::swarm::scratch;
use crate::world::World;

/// What a campaign did.
#[derive(Clone, Debug, Default)]
pub struct Kills {
    /// Processes that were killed while they ran.
    pub kills: u64,
    /// Processes that had ended before.
    pub late: u64,
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
    scenario.past = scenario.edges.len() - 6;
    scenario.lateness_hours = 0;
    scenario
}

/// Answers as the model does, over a socket.
fn serve(stream: &TcpStream, world: &Mutex<World>, now: i64) {
    let mut reader = BufReader::new(stream);
    let mut out = stream;
    loop {
        let mut line = String::new();
        if !reader.read_line(&mut line).is_ok_and(|read| read > 0) {
            return;
        }
        let target = line.split(' ').nth(1).unwrap_or("/").to_owned();
        while reader.read_line(&mut line).is_ok_and(|read| read > 2) {}
        let Ok(url) = Url::parse(&format!("http://api{target}")) else { return };
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
    now: i64,
}

impl Archive {
    fn begin(seed: u64) -> Archive {
        let scenario = busy(seed);
        let now = scenario.edges[scenario.past] + 7_000;
        let world = Arc::new(Mutex::new(World::new(scenario.clone())));
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
        let address = format!("http://{}/v1", listener.local_addr().expect("an address"));
        let served = Arc::clone(&world);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let world = Arc::clone(&served);
                std::thread::spawn(move || serve(&stream, &world, now));
            }
        });
        let folder = scratch();
        let toml = scenario.toml("a.db").replace("https://api.example.com/v1", &address);
        std::fs::write(folder.path().join("windrow.toml"), toml).expect("it can be written");
        Archive { folder, world, now }
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.db")
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
