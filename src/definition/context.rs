//! The place of a problem in the text of a definition, and what was found so far.

use std::collections::BTreeSet;
use std::ops::Range;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::problem::{Problem, suggest};

/// The text under the checks, and what they found.
pub(super) struct Context<'t> {
    pub(super) table: &'t Spanned<DeTable<'t>>,
    pub(super) text: &'t str,
    pub(super) problems: Vec<Problem>,
}

impl Context<'_> {
    /// Reports a problem with the value at `place`.
    pub(super) fn report(&mut self, place: &[&str], message: impl Into<String>) {
        let span = self.span(place);
        self.problems.push(Problem::new(span, message));
    }

    /// Reports a problem and says what to write instead.
    pub(super) fn report_help(&mut self, place: &[&str], message: String, help: Option<String>) {
        let span = self.span(place);
        self.problems.push(Problem { span, message, help });
    }

    /// Reports a name that is not known, with the nearest one that is.
    pub(super) fn unknown(
        &mut self,
        place: &[&str],
        what: &str,
        name: &str,
        known: &BTreeSet<String>,
    ) {
        let help = suggest(name, known.iter().map(String::as_str));
        self.report_help(place, format!("{what} `{name}` is not defined"), help);
    }

    /// Takes the value, or reports why there is none.
    pub(super) fn take<T>(&mut self, place: &[&str], value: Result<T, String>) -> Option<T> {
        value.map_err(|message| self.report(place, message)).ok()
    }

    /// Reports a problem with the name at `place`.
    pub(super) fn report_name(&mut self, place: &[&str], message: String) {
        let span = self.key_span(place);
        self.problems.push(Problem::new(span, message));
    }

    /// The bytes of the value at `place`, or of the nearest thing around it that exists.
    pub(super) fn span(&self, place: &[&str]) -> Range<usize> {
        let mut span = 0..0;
        let mut table = self.table.get_ref();
        let mut place = place.iter().peekable();
        while let Some(key) = place.next() {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else {
                break;
            };
            let (mut name, mut value) = (name.span(), value);
            // An item of a list is named by its number, and shown by its first line.
            if let DeValue::Array(items) = value.get_ref()
                && let Some(item) = place.next_if(|key| key.parse::<usize>().is_ok())
                && let Some(item) = item.parse().ok().and_then(|item: usize| items.get(item))
            {
                (name, value) = (self.first_line(item.span()), item);
            }
            // A table written over several lines is shown by its name.
            let is_last = place.peek().is_none();
            span = match value.get_ref() {
                DeValue::Table(_) if !self.is_one_line(&value.span()) => name,
                _ if is_last => value.span(),
                _ => name,
            };
            let DeValue::Table(inner) = value.get_ref() else { break };
            table = inner;
        }
        span
    }

    fn first_line(&self, span: Range<usize>) -> Range<usize> {
        let text = self.text.get(span.clone()).unwrap_or_default();
        let line = text.lines().next().unwrap_or_default().trim_end().len();
        span.start..span.start + line
    }

    fn key_span(&self, place: &[&str]) -> Range<usize> {
        let mut span = 0..0;
        let mut table = self.table.get_ref();
        for key in place {
            let Some((name, value)) = table.iter().find(|(name, _)| name.get_ref() == key) else {
                break;
            };
            span = name.span();
            let DeValue::Table(inner) = value.get_ref() else { break };
            table = inner;
        }
        span
    }

    fn is_one_line(&self, span: &Range<usize>) -> bool {
        let text = self.text.get(span.clone()).unwrap_or_default();
        text.starts_with('{') && !text.contains('\n')
    }
}
