//! Where text goes: results to stdout, everything else to stderr.
//!
//! This is the only place that has the two streams, and what goes to them is escaped here: a name,
//! a value or a message can never steer a terminal, whoever forgot to escape it before. Colours of
//! windrow's own are therefore no part of a text: a [`Styled`] knows which piece has which.

use std::io::{BufWriter, IsTerminal, Write};
use std::path::Path;

use anstyle::Style;
use indicatif::ProgressDrawTarget;

use super::global::{Colour, Global};
use crate::host::files::{make_private_file, replace};
use crate::host::{Environment, Host};
use crate::model::{Error, ErrorKind, Escape, Escaping, ExitCode, printable};

/// Rows on their way to stdout.
pub type Rows = BufWriter<Escaping<Box<dyn Write + Send>>>;

/// What rows are written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OutputWriter {
    /// Lines for people, escaped wherever they go.
    Page,
    /// Text for programs, as it is.
    Text,
    /// JSON, escaped where it goes to a terminal.
    Json,
}

/// Text, some pieces of which have a colour or a weight.
#[derive(Clone, Debug, Default)]
pub struct Styled(Vec<(Style, String)>);

impl Styled {
    /// A piece in a style.
    #[must_use]
    pub fn piece(mut self, style: Style, text: &str) -> Self {
        self.0.push((style, text.to_owned()));
        self
    }

    /// A piece without one.
    #[must_use]
    pub fn plain(self, text: &str) -> Self {
        self.piece(Style::new(), text)
    }

    fn write(&self, out: &mut dyn Write, colour: bool) -> std::io::Result<()> {
        for (style, text) in &self.0 {
            let (on, off) = (style.render(), style.render_reset());
            if colour {
                write!(out, "{on}")?;
            }
            let mut piece = Escaping::new(&mut *out, Escape::Text);
            piece.write_all(text.as_bytes()).and_then(|()| piece.flush())?;
            if colour {
                write!(out, "{off}")?;
            }
        }
        Ok(())
    }
}

/// The two streams of a command.
pub struct Output {
    json: bool,
    colour: bool,
    /// Whether a person watches stderr.
    terminal: bool,
    /// Whether a person watches stdout.
    shown: bool,
}

impl Output {
    /// Looks at the arguments, at NO_COLOR and at where the two streams lead.
    pub fn new(global: &Global, environment: &dyn Environment) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let no_colour = environment.variable("NO_COLOR").is_some_and(|value| !value.is_empty());
        let colour = match global.color {
            Colour::Always => true,
            Colour::Never => false,
            Colour::Auto => terminal && !no_colour,
        };
        Self { json: global.json, colour, terminal, shown: std::io::stdout().is_terminal() }
    }

    /// Whether results are JSON.
    pub fn json(&self) -> bool {
        self.json
    }

    /// What rows are written as where there are two ways.
    pub fn written(&self) -> OutputWriter {
        if self.json { OutputWriter::Json } else { OutputWriter::Page }
    }

    /// Whether a person watches stderr.
    pub fn terminal(&self) -> bool {
        self.terminal
    }

    /// Whether a person watches stdout.
    pub fn shown(&self) -> bool {
        self.shown
    }

    /// Where a bar is drawn: where a person watches stderr, else nowhere. What is put into it is
    /// escaped by [`Bar`](super::progress::Bar).
    pub fn bar_target(&self) -> ProgressDrawTarget {
        let drawn = self.terminal && !self.json;
        if drawn { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() }
    }

    /// Writes a result for people, escaped wherever it goes: a pipe often ends at a terminal.
    ///
    /// A reader that has gone away is no error: `| head` is used by everybody.
    pub fn result(&self, text: &str) -> Result<(), Error> {
        self.styled_result(&Styled::default().plain(text))
    }

    /// Writes a result for people, some of it in colours.
    pub fn styled_result(&self, text: &Styled) -> Result<(), Error> {
        let mut out = std::io::stdout().lock();
        taken(text.write(&mut out, self.colour).and_then(|()| out.flush()))
    }

    /// Writes a result for programs: as it is, and escaped only on a terminal.
    pub fn exact(&self, text: &str) -> Result<(), Error> {
        let mut out = self.rows(OutputWriter::Text);
        taken(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Writes a result as one line of JSON.
    pub fn json_line(&self, value: &impl serde::Serialize) -> Result<(), Error> {
        let mut text = serde_json::to_string(value).expect("a result can be written as JSON");
        text.push('\n');
        let mut out = self.rows(OutputWriter::Json);
        taken(out.write_all(text.as_bytes()).and_then(|()| out.flush()))
    }

    /// Takes many rows. What is for programs is escaped on a terminal alone.
    pub fn rows(&self, written: OutputWriter) -> Rows {
        let escape = match (self.shown, written) {
            (_, OutputWriter::Page) | (true, OutputWriter::Text) => Escape::Text,
            (false, _) => Escape::Nothing,
            (true, OutputWriter::Json) => Escape::Json,
        };
        BufWriter::new(Escaping::new(Box::new(std::io::stdout()), escape))
    }

    /// Says something on stderr.
    pub fn say(&self, text: &str) {
        complain(text);
    }

    /// Says why a command failed, and the help.
    pub fn fail(&self, failure: &Error) {
        if let Some(problems) = failure.problems() {
            if self.json {
                complain_as(&format!("{}\n", problems_json(problems)), Escape::Json);
            } else {
                complain_as(&problems.render(self.colour), Escape::Coloured);
            }
            return;
        }
        self.error(&failure.message, failure.help.as_deref());
    }

    /// Says what went wrong and what to do about it.
    pub fn error(&self, message: &str, help: Option<&str>) {
        let bold = |colour: anstyle::AnsiColor| Style::new().bold().fg_color(Some(colour.into()));
        let mut text = Styled::default()
            .piece(bold(anstyle::AnsiColor::Red), "error:")
            .plain(&format!(" {}\n", printable(message)));
        if let Some(help) = help {
            text = text
                .plain("  ")
                .piece(bold(anstyle::AnsiColor::Cyan), "help:")
                .plain(&format!(" {}\n", printable(help)));
        }
        // If stderr is gone there is nobody left to tell.
        let mut whole = Vec::new();
        let _ = text.write(&mut whole, self.colour);
        let _ = std::io::stderr().lock().write_all(&whole);
    }
}

/// What came of writing a result. Whoever has gone away, as `| head` does, has seen what they
/// wanted.
pub fn taken(written: std::io::Result<()>) -> Result<(), Error> {
    match written {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(|error| Error::output("write the result", &error)),
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

/// Writes to stderr, escaped wherever that leads.
pub fn complain(text: &str) {
    complain_as(text, Escape::Text);
}

/// Writes to stderr in one piece. If that is gone there is nobody left to tell.
fn complain_as(text: &str, escape: Escape) {
    let mut whole = Vec::with_capacity(text.len());
    let mut out = Escaping::new(&mut whole, escape);
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    let _ = std::io::stderr().lock().write_all(&whole);
}

/// Shows clap's help, version or error; `again` asks clap again, with other arguments.
///
/// clap repeats arguments inside of text that it colours, so that its own colours and somebody's
/// could not be told apart: it is given the arguments once more with all that steers escaped.
pub fn show_clap(
    error: clap::Error,
    arguments: &[std::ffi::OsString],
    again: impl Fn(Vec<String>) -> Option<clap::Error>,
) -> ExitCode {
    let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Done };
    let shown: Vec<String> =
        arguments.iter().map(|argument| printable(&argument.to_string_lossy())).collect();
    let same = shown.iter().zip(arguments).all(|(shown, argument)| argument == shown.as_str());
    let tame = if same { Some(error.render()) } else { again(shown).map(|error| error.render()) };
    let choice = match error.use_stderr() {
        true => anstream::AutoStream::choice(&std::io::stderr()),
        false => anstream::AutoStream::choice(&std::io::stdout()),
    };
    let (text, escape) = match (tame, choice) {
        (Some(text), anstream::ColorChoice::Never) => (text.to_string(), Escape::Text),
        (Some(text), _) => (text.ansi().to_string(), Escape::Coloured),
        (None, _) => (error.render().to_string(), Escape::Text),
    };
    if error.use_stderr() {
        complain_as(&text, escape);
    } else {
        let mut out = Escaping::new(std::io::stdout().lock(), escape);
        // Whoever has gone away wants no help.
        let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
    }
    code
}

/// From here on a panic is told as everything is, escaped: its text may quote what somebody sent.
pub fn tell_panics() {
    std::panic::set_hook(Box::new(|panic| {
        let backtrace = std::backtrace::Backtrace::capture();
        let place = panic.location().map(|at| format!(" at {at}")).unwrap_or_default();
        let payload = panic.payload();
        let payload = payload.downcast_ref::<String>().map(String::as_str).or_else(|| {
            let fixed = payload.downcast_ref::<&'static str>();
            fixed.copied()
        });
        let payload = payload.unwrap_or("something that is no text");
        let mut text = format!("windrow panicked{place}:\n{payload}\n");
        if backtrace.status() == std::backtrace::BacktraceStatus::Captured {
            text.push_str(&format!("{backtrace}\n"));
        }
        complain(&text);
    }));
}

/// Writes a result to a file of its own: whole or not at all.
pub fn write_file(out: &Path, text: &str, force: bool, host: &Host) -> Result<(), Error> {
    let failed = |error: std::io::Error| {
        let help = "name a file in a folder that is there and may be written";
        Error::file(ErrorKind::Storage, &format!("write {}", out.display()), &error).help(help)
    };
    if !force {
        return make_private_file(out, text).map_err(|error| match error.kind() {
            std::io::ErrorKind::AlreadyExists => {
                let message = format!("{} is there already", out.display());
                Error::usage(message).help("name another file, or replace it with --force")
            }
            _ => failed(error),
        });
    }
    replace(out, text.as_bytes(), &*host.files).map_err(failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_colour_is_of_windrow_s_own_or_is_shown_as_text() {
        let red = Style::new().fg_color(Some(anstyle::AnsiColor::Red.into()));
        let evil = "a\u{1b}[32mb\u{9b}2J\r\n";
        let text = Styled::default().piece(red, evil).plain(evil);
        let written = |colour: bool| {
            let mut out = Vec::new();
            text.write(&mut out, colour).expect("memory");
            String::from_utf8(out).expect("text")
        };
        let shown = "a\\u{1b}[32mb\\u{9b}2J\r\n";
        assert_eq!(written(true), format!("\u{1b}[31m{shown}\u{1b}[0m{shown}"));
        assert_eq!(written(false), format!("{shown}{shown}"));
    }
}
