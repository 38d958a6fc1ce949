//! `windrow demo`: the whole story, without a network.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anstyle::{AnsiColor, Style};

use crate::cli::text::{coverage_bar, outcome_table, plain_table};
use crate::demo::{Conclusion, DemoScene, tell};
use crate::host::Host;
use crate::model::{Error, ErrorKind, ExitCode, RunState, count};
use crate::model::{Outcomes, State, Window, instant_from_text, printable};
use crate::store::Reader;
use crate::sync::SyncReport;

use super::args::DemoArguments;
use super::output::{Output, Styled};

/// How long a person may read a chapter before the next one, milliseconds.
const CHAPTER_PAUSE_MS: u64 = 1_200;

pub fn run(args: &DemoArguments, host: &Host, output: &Output) -> Result<ExitCode, Error> {
    let folder = folder(args)?;
    let program = std::env::current_exe().map_err(|error| {
        Error::new(ErrorKind::Bug, format!("cannot find windrow's own program: {error}"))
    })?;
    let pause = output.terminal() && !output.json() && !args.fast;
    let theatre = Theatre { output, host, pause };
    if !output.json() {
        theatre.opening();
    }
    let conclusion = tell(&folder, &program, host, &|scene| theatre.show(scene))?;
    if output.json() {
        let mut value = serde_json::to_value(&conclusion).expect("a conclusion is JSON");
        value["holds"] = conclusion.holds().into();
        output.json_line(&value)?;
    }
    if conclusion.holds() {
        return Ok(ExitCode::Done);
    }
    Err(Error::new(ErrorKind::Bug, "the archive does not hold what the API holds"))
}

/// The folder that the archive is left in.
fn folder(args: &DemoArguments) -> Result<PathBuf, Error> {
    let make = |path: &Path| {
        std::fs::create_dir_all(path).map_err(|error| {
            Error::new(ErrorKind::Storage, format!("cannot make {}: {error}", path.display()))
        })
    };
    if let Some(folder) = &args.keep {
        make(folder)?;
        for name in ["fleet.db", "windrow.toml"] {
            if folder.join(name).symlink_metadata().is_ok() {
                let message = format!("{} already holds a {name}", folder.display());
                return Err(Error::new(ErrorKind::Storage, message)
                    .help("name an empty folder with --keep"));
            }
        }
        return Ok(folder.clone());
    }
    let base = std::env::temp_dir();
    let mut names = (1..).map(|n| base.join(format!("windrow-demo-{n}")));
    // The first name that nobody has: making the folder is what claims it.
    let folder = names.find(|path| match std::fs::create_dir(path) {
        Ok(()) => true,
        Err(error) => error.kind() != std::io::ErrorKind::AlreadyExists,
    });
    let folder = folder.unwrap_or(base);
    make(&folder)?;
    Ok(folder)
}

struct Theatre<'a> {
    output: &'a Output,
    host: &'a Host,
    pause: bool,
}

impl Theatre<'_> {
    fn style(colour: AnsiColor) -> Style {
        Style::new().bold().fg_color(Some(colour.into()))
    }

    fn say(&self, text: &str) {
        // The story is the result of this command: it goes to stdout. A gone reader is no error.
        let _ = self.output.result(text);
    }

    fn say_styled(&self, text: &Styled) {
        let _ = self.output.styled_result(text);
    }

    fn opening(&self) {
        self.say(
            "windrow demo: an API on loopback that behaves as APIs do, and a laptop that is used\n\
             as laptops are. Four clients with plans of 1,000 GB a month; the API resends old\n\
             days, corrects some, delivers some a week late, and fails in between.\n",
        );
    }

    fn chapter(&self, date: &str, about: &str) {
        if self.pause {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            if let Ok(runtime) = runtime {
                let wait = Duration::from_millis(CHAPTER_PAUSE_MS);
                runtime.block_on(self.host.clock.pause(wait));
            }
        }
        let head = Styled::default().plain("\n").piece(Self::style(AnsiColor::Cyan), date);
        self.say_styled(&head.plain(&format!(": {about}\n")));
    }

    fn synced(&self, report: &SyncReport) {
        let outcomes = report.outcomes();
        let windows = format!("{}/{}", report.windows_completed(), report.windows_planned());
        let state = report.state();
        let colour = if state == RunState::Complete { AnsiColor::Green } else { AnsiColor::Yellow };
        let line = Styled::default()
            .plain(&format!("  run {}: ", report.run))
            .piece(Self::style(colour), state.as_str());
        self.say_styled(&line.plain(&format!(
            ", {windows} fetches; {} inserted, {} updated, {} unchanged, {} skipped, {} \
             rejected\n",
            count(outcomes.inserted),
            count(outcomes.updated),
            count(outcomes.unchanged),
            count(outcomes.skipped),
            count(outcomes.rejected),
        )));
        for error in &report.errors {
            self.say(&format!("  {}\n", printable(&error.message)));
        }
    }

    fn conclusion(&self, conclusion: &Conclusion) {
        let heading = |text: &str| {
            let text = Styled::default().plain("\n").piece(Self::style(AnsiColor::Cyan), text);
            self.say_styled(&text.plain("\n"));
        };
        heading("What each run did");
        let rows: Vec<(Vec<String>, Outcomes)> = conclusion
            .runs
            .iter()
            .map(|run| {
                let windows = format!("{}/{}", run.windows_completed, run.windows_planned);
                let killed = run.exit_code.is_none();
                let windows = if killed { "killed".to_owned() } else { windows };
                (vec![run.run.to_string(), run.started_at[..10].to_owned(), windows], run.outcomes)
            })
            .collect();
        self.say(&outcome_table(&["run", "on", "complete"], &rows));
        heading("Coverage of the windows of daily_usage");
        self.say(&coverage(conclusion).unwrap_or_default());
        heading("October, GB by client");
        self.say(&totals(conclusion));
        let (there, here) = conclusion.days;
        self.say(&format!("\n{here} line-days in the archive, {there} at the API\n"));
        heading("Try next");
        let (definition, archive) = (conclusion.definition.display(), conclusion.archive.display());
        // As it was called, so that the lines can be pasted.
        let windrow = std::env::args().next().unwrap_or_else(|| "windrow".to_owned());
        self.say(&format!(
            "{windrow} status -d {definition}\n\
             {windrow} runs -d {definition}\n\
             {windrow} query -d {definition} \"SELECT * FROM daily_usage WHERE _revision > 1\"\n\
             sqlite3 {archive} \".schema daily_usage\"\n"
        ));
    }
}

/// The bar of the usage stream, from the archive itself.
fn coverage(conclusion: &Conclusion) -> Option<String> {
    let reader = Reader::open(&conclusion.archive).ok()?;
    let rows = reader.ledger_rows("daily_usage").ok()?;
    let windows: Vec<(Window, State)> = rows
        .iter()
        .filter_map(|row| {
            let end = row.read_to.as_deref().and_then(instant_from_text)?;
            let window = Window::new(instant_from_text(&row.start_at)?, end)?;
            Some((window, row.state))
        })
        .collect();
    let line = Window::new(windows.first()?.0.start(), conclusion.now)?;
    let bar = coverage_bar(&windows, line, 51);
    let settled = windows.iter().filter(|(_, state)| *state == State::Settled).count();
    Some(format!(
        "{} {bar} {}\n█ settled ({settled} windows), ▓ complete and may still change ({})\n",
        line.start().date_naive(),
        line.end().date_naive(),
        windows.len() - settled
    ))
}

fn totals(conclusion: &Conclusion) -> String {
    let header = ["client", "plan", "the API itself", "windrow", "", "a script that inserts"];
    let rows: Vec<Vec<String>> = conclusion
        .totals
        .iter()
        .map(|total| {
            vec![
                total.client.clone(),
                total.plan_gb.to_string(),
                total.truth_gb.clone(),
                total.windrow_gb.clone(),
                if total.equal { "equal".to_owned() } else { "DIFFERENT".to_owned() },
                total.script_gb.clone(),
            ]
        })
        .collect();
    plain_table(&header.map(str::to_owned), &rows, &[false, true, true, true, false, true])
}

impl Theatre<'_> {
    fn show(&self, scene: &DemoScene<'_>) {
        if self.output.json() {
            return;
        }
        match scene {
            DemoScene::Chapter(date, about) => self.chapter(date, about),
            DemoScene::Remark(text) => self.say(&format!("  {text}\n")),
            DemoScene::Synced(report) => self.synced(report),
            DemoScene::Conclusion(conclusion) => self.conclusion(conclusion),
        }
    }
}
