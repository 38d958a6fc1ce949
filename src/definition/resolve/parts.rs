//! The small parts that sources and streams share: durations, sizes, rates, templates, paths.

use chrono_tz::Tz;
use indexmap::IndexMap;

use crate::definition::context::Context;
use crate::definition::problem::nearest;
use crate::definition::raw_parameter::RawParameter;
use crate::definition::{Path, Rate, Span, Template, TimeFormat};

impl Context<'_> {
    /// A duration, or zero when it is left out.
    pub(super) fn duration(&mut self, place: &[&str], text: Option<&str>) -> Option<Span> {
        text.and_then(|text| self.take(place, Span::parse(text)))
    }

    /// A duration in milliseconds that a machine can wait for.
    pub(super) fn millis(&mut self, place: &[&str], text: Option<&str>, default: i64) -> i64 {
        let Some(text) = text else { return default };
        match self.take(place, Span::parse(text)).map(|span| span.approximate_millis()) {
            Some(0) => {
                self.report(place, "this must be longer than nothing");
                default
            }
            Some(millis) => millis,
            None => default,
        }
    }

    /// A template whose names are all among `known`.
    pub(in crate::definition) fn template(
        &mut self,
        place: &[&str],
        text: &str,
        known: &[&str],
    ) -> Option<Template> {
        let template = self.take(place, Template::parse(text))?;
        let parents_open = known.contains(&"parent.*");
        for name in template.names() {
            let fits = known.contains(&name.as_str())
                || parents_open && name.starts_with("parent.") && name.matches('.').count() == 1;
            if fits {
                continue;
            }
            let help = match nearest(name, known.iter().copied().filter(|k| *k != "parent.*")) {
                Some(near) => format!("did you mean `{{{{ {near} }}}}`?"),
                None if known.is_empty() => "no value can stand here".to_owned(),
                None => format!("known here: {}", known.join(", ")),
            };
            let message = format!("the template uses `{name}`, which does not exist here");
            self.report_help(place, message, Some(help));
        }
        Some(template)
    }

    /// The templates of a query, lists spread out.
    pub(in crate::definition) fn parameters(
        &mut self,
        place: &[&str],
        query: &IndexMap<String, RawParameter>,
        known: &[&str],
    ) -> Vec<(String, Template)> {
        let mut all = Vec::new();
        for (name, value) in query {
            let place: Vec<&str> = place.iter().copied().chain([name.as_str()]).collect();
            let texts = match value {
                RawParameter::Text(text) => {
                    self.check_credential(&place, name, text);
                    vec![text.clone()]
                }
                RawParameter::Integer(number) => vec![number.to_string()],
                RawParameter::Number(number) => vec![number.to_string()],
                RawParameter::Boolean(truth) => vec![truth.to_string()],
                RawParameter::List(texts) => {
                    texts.iter().for_each(|text| self.check_credential(&place, name, text));
                    texts.clone()
                }
            };
            for text in texts {
                all.extend(self.template(&place, &text, known).map(|t| (name.clone(), t)));
            }
        }
        all
    }

    /// A checked JSONPath; the caret points into its text.
    pub(in crate::definition) fn path(&mut self, place: &[&str], text: &str) -> Option<Path> {
        match Path::parse(text) {
            Ok(path) => Some(path),
            Err(error) => {
                let mut span = self.span(place);
                // One byte for the opening quote of a basic string.
                if span.end - span.start == text.len() + 2 {
                    let at = (span.start + 1 + error.position).min(span.end - 1);
                    span = at..(at + 1).min(span.end);
                }
                let help = "for example `$.data[*]`; see RFC 9535".to_owned();
                self.problems.push(crate::definition::Problem {
                    span,
                    message: error.message,
                    help: Some(help),
                });
                None
            }
        }
    }

    /// An IANA time zone, UTC when it is left out.
    pub(super) fn zone(&mut self, place: &[&str], text: Option<&str>) -> Tz {
        let Some(text) = text else { return Tz::UTC };
        text.parse().unwrap_or_else(|_| {
            let near = nearest(text, chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()));
            let help = near.map(|near| format!("did you mean `{near}`?"));
            let message = format!("`{text}` is not an IANA time zone such as `Europe/Berlin`");
            self.report_help(place, message, help);
            Tz::UTC
        })
    }

    /// A time format, RFC 3339 when it is left out.
    pub(super) fn time_format(&mut self, place: &[&str], text: Option<&str>) -> TimeFormat {
        text.and_then(|text| self.take(place, TimeFormat::parse(text)))
            .unwrap_or(TimeFormat::Rfc3339)
    }

    /// Refuses a literal credential: a definition is handed on with the archive.
    pub(super) fn check_credential(&mut self, place: &[&str], name: &str, text: &str) {
        let literal = Template::parse(text).is_ok_and(|template| {
            template.secrets().next().is_none() && template.names().is_empty()
        });
        if literal && !text.is_empty() && sounds_secret(name) {
            let message = format!("`{name}` looks like a credential, and is written out");
            let help = "keep it in a variable and write `${env:NAME}`, or `${file:PATH}`";
            self.report_help(place, message, Some(help.to_owned()));
        }
    }
}

/// Whether a header or parameter of this name usually holds a credential.
pub fn sounds_secret(name: &str) -> bool {
    let name: String =
        name.to_lowercase().chars().filter(|c| !matches!(c, '-' | '_' | '.')).collect();
    let exact = ["auth", "sig", "signature", "key", "pwd", "pass", "jwt", "session"];
    let parts = [
        "authorization",
        "apikey",
        "accesskey",
        "secret",
        "password",
        "passwd",
        "cookie",
        "accesstoken",
        "authtoken",
        "bearer",
        "clienttoken",
        "privatetoken",
        "subscriptionkey",
    ];
    exact.contains(&name.as_str())
        || name == "token"
        || name == "xtoken"
        || parts.iter().any(|part| name.contains(part))
}

/// Whether a header may have this name: a token of RFC 9110, section 5.6.2.
pub fn is_header_name(name: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    !name.is_empty() && name.bytes().all(allowed)
}

/// `5/second`, `100/minute`, `1000/hour`, `10000/day`.
pub(super) fn parse_rate(text: &str) -> Result<Rate, String> {
    let wrong = || format!("`{text}` is not a rate such as `5/second` or `100/minute`");
    let (count, unit) = text.split_once('/').ok_or_else(wrong)?;
    let count: u32 = count.trim().parse().map_err(|_| wrong())?;
    let per_ms = match unit.trim() {
        "second" | "s" => 1_000,
        "minute" | "min" => 60_000,
        "hour" | "h" => 3_600_000,
        "day" | "d" => 86_400_000,
        _ => return Err(wrong()),
    };
    if count == 0 {
        return Err(format!("`{text}` allows no request at all"));
    }
    Ok(Rate { count, per_ms })
}

/// `64 MiB`, `500 kB`, `1048576 B`.
pub(super) fn parse_size(text: &str) -> Result<u64, String> {
    let wrong = || format!("`{text}` is not a size such as `64 MiB`");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| wrong())?;
    let unit = match text[digits..].trim() {
        "B" => 1,
        "kB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "" => return Err(format!("{number} has no unit. Write one: `{number} MiB`")),
        _ => return Err(wrong()),
    };
    number.checked_mul(unit).filter(|bytes| *bytes > 0).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates_and_sizes_need_their_units() {
        assert_eq!(parse_rate("5/second"), Ok(Rate { count: 5, per_ms: 1000 }));
        assert_eq!(parse_rate("100 / minute"), Ok(Rate { count: 100, per_ms: 60_000 }));
        for text in ["5", "0/second", "5/fortnight", "x/second", "-1/second"] {
            assert!(parse_rate(text).is_err(), "{text}");
        }
        assert_eq!(parse_size("64 MiB"), Ok(64 << 20));
        for text in ["64", "MiB", "0 B", "64 XB", "99999999999 GiB"] {
            assert!(parse_size(text).is_err(), "{text}");
        }
    }

    #[test]
    fn names_that_usually_hold_credentials_are_known() {
        for name in ["Authorization", "X-API-Key", "api_key", "access_token", "Cookie", "token"] {
            assert!(sounds_secret(name), "{name}");
        }
        for name in ["page_token", "per_page", "Accept", "keywords", "key_id"] {
            assert!(!sounds_secret(name), "{name}");
        }
    }
}
