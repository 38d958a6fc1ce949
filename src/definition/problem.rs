//! What is wrong with a definition, where, and what was probably meant.

use std::fmt;
use std::ops::Range;

use annotate_snippets::{AnnotationKind, Level, Renderer, Snippet};

/// One thing that is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Bytes of the text that it is about.
    pub span: Range<usize>,
    pub message: String,
    /// What to write instead.
    pub help: Option<String>,
}

impl Problem {
    /// A problem at `span`.
    pub fn new(span: Range<usize>, message: impl Into<String>) -> Self {
        Self { span, message: message.into(), help: None }
    }

    /// Says what to write instead.
    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// All that is wrong with one file.
#[derive(Clone, Debug)]
pub struct Problems {
    /// The file's name as the user knows it.
    pub file: String,
    pub text: String,
    /// Sorted by their place in the text.
    pub problems: Vec<Problem>,
}

impl Problems {
    /// Sorts the problems and drops repetitions.
    pub fn new(file: &str, text: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by(|a, b| (a.span.start, &a.message).cmp(&(b.span.start, &b.message)));
        problems.dedup();
        Self { file: file.to_owned(), text: text.to_owned(), problems }
    }

    /// The text that a person reads: each problem with file, line and caret.
    pub fn render(&self, colour: bool) -> String {
        let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
        // As many bytes as before, so that the carets stay where they are.
        let source = tame(&self.text);
        let file = printable_lines(&self.file).replace('\n', "\\n");
        let mut out = String::new();
        for problem in &self.problems {
            let (start, end) = self.whole_letters(&problem.span);
            let snippet = Snippet::source(&source)
                .path(&file)
                .annotation(AnnotationKind::Primary.span(start..end));
            let message = printable_lines(&problem.message);
            let help = problem.help.as_deref().map(printable_lines);
            let mut group = Level::ERROR.primary_title(&message).element(snippet);
            if let Some(help) = &help {
                group = group.element(Level::HELP.message(help));
            }
            out.push_str(&renderer.render(&[group]));
            out.push('\n');
        }
        out
    }

    /// The span of a problem, widened to whole letters.
    fn whole_letters(&self, span: &Range<usize>) -> (usize, usize) {
        let mut start = span.start.min(self.text.len());
        let mut end = span.end.clamp(start, self.text.len());
        while !self.text.is_char_boundary(start) {
            start -= 1;
        }
        while !self.text.is_char_boundary(end) {
            end += 1;
        }
        (start, end)
    }

    /// The 1-based line and column at which a problem starts.
    pub fn place(&self, problem: &Problem) -> (usize, usize) {
        let before = &self.text[..problem.span.start.min(self.text.len())];
        let line = before.matches('\n').count() + 1;
        let column = before.chars().rev().take_while(|c| *c != '\n').count() + 1;
        (line, column)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let count = self.problems.len();
        let plural = if count == 1 { "problem" } else { "problems" };
        write!(out, "the definition {} has {count} {plural}", self.file)
    }
}

impl std::error::Error for Problems {}

/// Whether a letter steers a terminal, turns the direction of what follows, or cannot be seen.
///
/// These are the controls (C0, DEL, C1), the marks, overrides and isolates of writing direction,
/// the separators of lines, letters of no width, fillers that look like a space, and tags. The
/// variation selectors U+FE00 to U+FE0F are none: they choose between two pictures of one letter.
pub fn is_unsafe_letter(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{feff}'
            | '\u{115f}'..='\u{1160}' | '\u{3164}' | '\u{ffa0}'
            | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1bca0}'..='\u{1bca3}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
        )
}

/// Whether a terminal would do something with it other than show it. Lines stay lines.
fn is_wild(letter: char) -> bool {
    is_unsafe_letter(letter) && !matches!(letter, '\n' | '\t')
}

/// Puts question marks, as many as it has bytes, for each letter that a terminal would obey.
fn tame(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text.chars().peekable();
    while let Some(letter) = rest.next() {
        let ends_line = letter == '\r' && rest.peek() == Some(&'\n');
        match is_wild(letter) && !ends_line {
            true => out.extend(std::iter::repeat_n('?', letter.len_utf8())),
            false => out.push(letter),
        }
    }
    out
}

/// A message, which may quote the file, with such letters escaped.
fn printable_lines(text: &str) -> String {
    let shown = |letter: char| match is_wild(letter) {
        true => letter.escape_unicode().to_string(),
        false => letter.to_string(),
    };
    text.chars().map(shown).collect()
}

/// Names longer than this are nobody's slip of the finger; comparing them would take gigabytes.
const NAME_CHARS_MAX: usize = 64;

/// The known name nearest to a misspelt one, if one is near enough to be meant.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let wanted = name.to_lowercase();
    known
        .into_iter()
        .filter(|known| known.len().max(wanted.len()) <= NAME_CHARS_MAX)
        .map(|candidate| {
            (strsim::damerau_levenshtein(&wanted, &candidate.to_lowercase()), candidate)
        })
        .filter(|(distance, candidate)| {
            *distance <= (candidate.len().max(wanted.len()) / 3).max(1)
                || candidate.len() >= 3 && wanted.contains(&candidate.to_lowercase())
        })
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// "did you mean …?", or the list of what is known when nothing is near.
pub fn suggest<'a>(name: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> Option<String> {
    if let Some(near) = nearest(name, known.clone()) {
        return Some(format!("did you mean `{near}`?"));
    }
    let names: Vec<String> = known.into_iter().map(|name| format!("`{name}`")).collect();
    (!names.is_empty()).then(|| format!("known here: {}", names.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_name_is_found_and_a_far_one_is_not() {
        let known = ["base_url", "auth", "rate"];
        assert_eq!(nearest("baseurl", known), Some("base_url"));
        assert_eq!(nearest("Rate", known), Some("rate"));
        assert_eq!(nearest("zzz", known), None);
    }

    #[test]
    fn a_caret_stands_under_whole_letters_and_nothing_wild_is_printed() {
        let text = "records = \"$é\" # \u{9b}31m\n";
        let problem = Problem::new(12..13, "no \u{1b}[31m").help("or \u{9b}x");
        let rendered = Problems::new("w.toml", text, vec![problem]).render(false);
        assert!(rendered.contains('é'), "{rendered}");
        assert!(!rendered.contains(['\u{1b}', '\u{9b}']), "{rendered:?}");
        let long = "x".repeat(1_000_000);
        assert_eq!(nearest("id", [long.as_str()]), None);
    }

    #[test]
    fn a_place_is_told_by_line_and_column() {
        let problems = Problems::new("w.toml", "a\nbc = 1\n", vec![Problem::new(3..4, "x")]);
        assert_eq!(problems.place(&problems.problems[0]), (2, 2));
    }

    #[test]
    fn what_can_be_seen_and_steers_nothing_is_safe() {
        for letter in "aZ09 é ü 漢 ع א 😀 \u{fe0f} \u{301} = < ' \" \\ \u{a0}".chars() {
            assert!(!is_unsafe_letter(letter), "{letter:?}");
        }
        for letter in "\0\u{7}\t\n\r\u{1b}\u{7f}\u{80}\u{85}\u{9b}\u{9d}\u{9f}".chars() {
            assert!(is_unsafe_letter(letter), "{letter:?}");
        }
        let hidden = "\u{ad}\u{61c}\u{200b}\u{200d}\u{200e}\u{200f}\u{2028}\u{2029}\u{202a}\u{202e}\
                      \u{2060}\u{2066}\u{2069}\u{feff}\u{fff9}\u{3164}\u{e0001}\u{e0041}\u{e0100}";
        for letter in hidden.chars() {
            assert!(is_unsafe_letter(letter), "{letter:?}");
        }
    }
}
