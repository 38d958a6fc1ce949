//! The values of secrets, and how they are taken out of texts.

use std::sync::{Arc, PoisonError, RwLock};

use aho_corasick::{AhoCorasick, MatchKind};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};

use crate::definition::{EscapeContext, SecretReference, Source, Template, TemplateValues};

/// The values of all secrets that requests of a run may hold, also to take them out of texts.
///
/// Clones share what is learned on the way, so that a token which one part of a run is given is
/// taken out of the texts of all.
#[derive(Clone, Default)]
pub struct SecretValues {
    values: Vec<(SecretReference, String)>,
    /// What Basic authorisation makes of user names and passwords, and what is shown instead.
    pairs: Vec<(String, String)>,
    /// What sources have given, and what is shown instead.
    learned: Arc<RwLock<Vec<(String, String)>>>,
    /// The last one that was made; another one is needed once more was learned.
    matcher: Arc<RwLock<Option<Arc<Matcher>>>>,
}

/// Finds every form of every secret in one pass.
struct Matcher {
    /// How many credentials were learned when it was made.
    learned: usize,
    automaton: AhoCorasick,
    /// What is shown in place of each form.
    shown: Vec<String>,
}

impl std::fmt::Debug for SecretValues {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "SecretValues({})", self.values.len())
    }
}

/// Secrets that are shorter are not searched for in a file, bytes: in megabytes of data they would
/// be found by chance.
pub const SEARCHED_BYTES_MIN: usize = 8;
/// Secrets that are shorter are not taken out of texts, bytes: they would be found in every word.
const REDACTED_BYTES_MIN: usize = 4;

impl SecretValues {
    /// Remembers a secret's value.
    pub fn insert(&mut self, reference: SecretReference, value: String) {
        self.values.push((reference, value));
        self.matcher = Arc::default();
    }

    /// Remembers a credential that a source has given, such as an access token, from here on and in
    /// every clone. `shown` stands for it in texts.
    pub fn learn(&self, value: &str, shown: &str) {
        if value.len() < REDACTED_BYTES_MIN {
            return;
        }
        let mut learned = self.learned.write().unwrap_or_else(PoisonError::into_inner);
        if !learned.iter().any(|(have, _)| have == value) {
            learned.push((value.to_owned(), shown.to_owned()));
        }
    }

    /// Remembers what Basic authorisation makes of a source's credentials.
    pub fn remember_pairs(&mut self, source: &Source) {
        if let Some((username, password)) = source.auth.pair() {
            let none = TemplateValues::default();
            let secret = |reference: &SecretReference| self.value(reference);
            let render =
                |template: &Template| template.render(&none, EscapeContext::Plain, &secret);
            if let (Ok(user), Ok(password)) = (render(username), render(password)) {
                let pair = STANDARD.encode(format!("{user}:{password}"));
                self.pairs.push((pair, format!("(credentials of {})", source.name)));
                self.matcher = Arc::default();
            }
        }
    }

    /// The value of a secret.
    pub fn value(&self, reference: &SecretReference) -> Result<String, String> {
        let found = self.values.iter().find(|(have, _)| have == reference);
        found.map(|(_, value)| value.clone()).ok_or_else(|| format!("{reference} is not set"))
    }

    /// Every form in which each secret may lie in a file, with the name that it has. Short ones are
    /// left out: they would be found everywhere.
    pub fn forms(&self) -> Vec<(String, String)> {
        let long = self.values.iter().filter(|(_, value)| value.len() >= SEARCHED_BYTES_MIN);
        let forms = long.flat_map(|(reference, value)| {
            forms_of(value).into_iter().map(|form| (form, reference.to_string()))
        });
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner).clone();
        let learned = learned.into_iter().filter(|(value, _)| value.len() >= SEARCHED_BYTES_MIN);
        let learned = learned.flat_map(|(value, shown)| {
            forms_of(&value).into_iter().map(move |form| (form, shown.clone()))
        });
        forms.chain(learned).chain(self.pairs.iter().cloned()).collect()
    }

    /// Whether a text holds a secret in any form.
    pub fn are_in(&self, text: &[u8]) -> bool {
        let text = String::from_utf8_lossy(text);
        self.redact(&text) != text
    }

    /// Takes every secret out of a text, also where it is escaped for an address or in base64.
    pub fn redact(&self, text: &str) -> String {
        let matcher = self.matcher();
        matcher.automaton.replace_all(text, &matcher.shown)
    }

    fn matcher(&self) -> Arc<Matcher> {
        let learned = self.learned.read().unwrap_or_else(PoisonError::into_inner);
        let known = self.matcher.read().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(matcher) = known.filter(|matcher| matcher.learned == learned.len()) {
            return matcher;
        }
        let values = self.values.iter().map(|(name, value)| (value.clone(), name.to_string()));
        let values = values.filter(|(value, _)| value.len() >= REDACTED_BYTES_MIN);
        let secrets = values.chain(learned.iter().cloned()).flat_map(|(value, shown)| {
            forms_of(&value).into_iter().map(move |form| (form, shown.clone()))
        });
        let (forms, shown): (Vec<_>, Vec<_>) = secrets.chain(self.pairs.iter().cloned()).unzip();
        // One secret may begin with another: the longer one is taken out.
        let mut automaton = AhoCorasick::builder();
        let automaton = automaton.match_kind(MatchKind::LeftmostLongest);
        let automaton = automaton.build(forms).expect("secrets are far smaller than an automaton");
        let matcher = Arc::new(Matcher { learned: learned.len(), automaton, shown });
        let mut kept = self.matcher.write().unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::clone(&matcher));
        matcher
    }
}

/// The forms in which a secret may come back: as it is, escaped for an address in each of the
/// usual ways, in base64, and as JSON text. Longer forms first, so that none is left in halves.
fn forms_of(value: &str) -> Vec<String> {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    const UNRESERVED_KEPT: &percent_encoding::AsciiSet =
        &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');
    let json = serde_json::to_string(value).unwrap_or_default();
    let escaped = [
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        utf8_percent_encode(value, UNRESERVED_KEPT).to_string(),
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
    ];
    let mut forms: Vec<String> = escaped.iter().map(|form| lower_escapes(form)).collect();
    forms.extend(escaped);
    forms.extend([STANDARD.encode(value), STANDARD_NO_PAD.encode(value)]);
    forms.extend([URL_SAFE.encode(value), URL_SAFE_NO_PAD.encode(value)]);
    let json = json.get(1..json.len().saturating_sub(1)).unwrap_or_default().to_owned();
    let ascii = in_ascii(&json);
    forms.extend([json.replace('/', "\\/"), ascii.replace('/', "\\/"), ascii, json]);
    forms.push(value.to_owned());
    forms.retain(|form| !form.is_empty());
    forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    forms.dedup();
    forms
}

/// JSON text with `\u` escapes for all that is not ASCII, as many writers give it.
fn in_ascii(json: &str) -> String {
    let mut out = String::with_capacity(json.len());
    let mut units = [0_u16; 2];
    for letter in json.chars() {
        match letter.is_ascii() {
            true => out.push(letter),
            false => letter.encode_utf16(&mut units).iter().for_each(|unit| {
                out.push_str(&format!("\\u{unit:04x}"));
            }),
        }
    }
    out
}

/// The text with its percent escapes in lower case: `%2F` as `%2f`.
fn lower_escapes(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut left = 0_u8;
    for letter in text.chars() {
        left = if letter == '%' { 3 } else { left };
        out.push(if left > 0 { letter.to_ascii_lowercase() } else { letter });
        left = left.saturating_sub(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_source_gives_is_taken_out_of_the_texts_of_every_clone() {
        let mut secrets = SecretValues::default();
        secrets.insert(SecretReference::Environment("KEY".into()), "s3cret/+".into());
        let clone = secrets.clone();
        assert_eq!(clone.redact("tok/en-1 s3cret/+"), "tok/en-1 ${env:KEY}");
        secrets.learn("tok/en-1", "(token of fleet)");
        for form in ["tok/en-1", "tok%2Fen-1", r"tok\/en-1", &STANDARD.encode("tok/en-1")] {
            assert_eq!(clone.redact(form), "(token of fleet)", "{form}");
        }
        assert!(clone.forms().iter().any(|(form, _)| form == "tok/en-1"));
        secrets.learn("no", "(too short)");
        assert_eq!(secrets.redact("no"), "no", "a short text would be found in every word");
    }

    #[test]
    fn a_secret_that_begins_with_another_leaves_nothing_behind() {
        let mut secrets = SecretValues::default();
        let name = |name: &str| SecretReference::Environment(name.to_owned());
        secrets.insert(name("A"), "s3cret/+ö".to_owned());
        secrets.insert(name("B"), "s3cret/+öQz7longer".to_owned());
        for form in [
            "s3cret/+öQz7longer",
            r"s3cret\/+öQz7longer",
            r"s3cret\/+\u00f6Qz7longer",
            &STANDARD_NO_PAD.encode("s3cret/+öQz7longer"),
            &URL_SAFE_NO_PAD.encode("s3cret/+öQz7longer"),
        ] {
            assert_eq!(secrets.redact(form), "${env:B}", "{form}");
        }
    }

    #[test]
    fn a_secret_is_taken_out_of_a_text_in_each_of_its_forms() {
        let mut secrets = SecretValues::default();
        secrets.insert(SecretReference::Environment("KEY".into()), "s3cret/+".into());
        let text = "bad key s3cret/+ or s3cret%2F%2B or czNjcmV0Lys=";
        assert_eq!(secrets.redact(text), "bad key ${env:KEY} or ${env:KEY} or ${env:KEY}");
        secrets.insert(SecretReference::Environment("B".into()), "ab_c-d/\"e".into());
        for form in ["ab_c-d%2F%22e", "ab_c-d%2f%22e", "ab%5Fc%2Dd%2F%22e", "ab_c-d/\\\"e"] {
            assert_eq!(secrets.redact(form), "${env:B}", "{form}");
        }
    }
}
