//! Where text goes: results to stdout, everything else to stderr.

use std::io::{IsTerminal, Write};
use std::path::Path;

use crate::host::files::{make_private_file, replace};
use crate::host::{Environment, Host};
use crate::model::printable;

use super::args::{Colour, Global};
use super::error::{Failure, STORAGE, USAGE};

/// The two streams of a command.
pub struct Output {
    json: bool,
    colour: bool,
    terminal: bool,
}

impl Output {
    /// Looks at the arguments, at NO_COLOR and at where stderr leads.
    pub fn new(global: &Global, environment: &dyn Environment) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let no_colour = environment.variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !no_colour,
        };
        Self { json: global.json, colour, terminal }
    }

    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// Whether a person watches stderr.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// Writes a result. A reader that has gone away is no error: `| head` is used by everybody.
    pub fn result(&self, text: &str) -> Result<(), Failure> {
        let mut out = std::io::stdout().lock();
        match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
            other => other.map_err(Failure::from),
        }
    }

    /// Writes a result as one line of JSON.
    pub fn json_line(&self, value: &impl serde::Serialize) -> Result<(), Failure> {
        let mut text = serde_json::to_string(value).expect("a result can be written as JSON");
        text.push('\n');
        self.result(&text)
    }

    /// Says something on stderr.
    pub fn say(&self, text: &str) {
        complain(text);
    }

    /// A bold or coloured piece of a message, where colours are allowed.
    pub fn paint(&self, style: anstyle::Style, text: &str) -> String {
        if self.colour { format!("{style}{text}{style:#}") } else { text.to_owned() }
    }

    /// Says why a command failed, and the cure.
    pub fn fail(&self, failure: &Failure) {
        if let Some(problems) = &failure.problems {
            if self.json {
                complain(&format!("{}\n", problems_json(problems)));
            } else {
                complain(&problems.render(self.colour));
            }
            return;
        }
        self.trouble(&failure.message, failure.cure.as_deref());
    }

    /// Says what went wrong and what to do about it.
    pub fn trouble(&self, message: &str, cure: Option<&str>) {
        let red = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let cyan = anstyle::Style::new().bold().fg_color(Some(anstyle::AnsiColor::Cyan.into()));
        let mut text = format!("{} {}\n", self.paint(red, "error:"), printable(message));
        if let Some(cure) = cure {
            text.push_str(&format!("  {} {}\n", self.paint(cyan, "help:"), printable(cure)));
        }
        complain(&text);
    }
}

fn problems_json(problems: &crate::definition::Problems) -> serde_json::Value {
    let each = problems.problems.iter().map(|problem| {
        let (line, column) = problems.place(problem);
        serde_json::json!({
            "file": problems.file, "line": line, "column": column,
            "message": problem.message, "help": problem.help,
        })
    });
    serde_json::json!({ "problems": each.collect::<Vec<_>>() })
}

/// Writes to stderr. If that is gone there is nobody left to tell.
pub fn complain(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

/// Shows clap's help, version or error.
pub fn show_clap(error: &clap::Error) -> u8 {
    let _ = error.print();
    u8::try_from(error.exit_code()).unwrap_or(USAGE)
}

/// Writes a result to a file of its own: whole or not at all.
pub fn write_file(out: &Path, text: &str, force: bool, host: &Host) -> Result<(), Failure> {
    let failed = |error: std::io::Error| {
        let cure = "name a file in a folder that is there and may be written";
        Failure::file(STORAGE, &format!("write {}", out.display()), &error).cure(cure)
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
    replace(out, text.as_bytes(), &*host.files).map_err(failed)
}
