//! Answers that mean that there is nothing: how they are written in `windrow.toml`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::context::Context;

/// The largest share of a stream's parents that may be absent at once, by default: when most are
/// refused, the path or the credentials are wrong rather than the parents.
const ABSENT_RATIO_MAX: f64 = 0.5;

/// An answer that means that there is nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NothingRule {
    /// Its statuses; none: any.
    pub status: Vec<u16>,
    /// A text that its body contains; empty: the body is empty. None: any body.
    pub body: Option<String>,
}

impl NothingRule {
    /// Whether an answer is such a one.
    pub fn holds(&self, status: u16, body: &[u8]) -> bool {
        if self.status.is_empty() && self.body.is_none() {
            return false;
        }
        let body_holds = match self.body.as_deref() {
            None => true,
            Some("") => body.trim_ascii().is_empty(),
            Some(text) => String::from_utf8_lossy(body).contains(text),
        };
        let status_holds = match self.status.is_empty() {
            true => status < 400,
            false => self.status.contains(&status),
        };
        status_holds && body_holds
    }
}

/// When a window or a collection without records is no error.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EmptyRules {
    /// By status and body.
    pub rule: NothingRule,
    /// Also where the list of records is absent or null.
    pub list_absent: bool,
}

/// When a parent has no data in the stream.
#[derive(Clone, Debug, PartialEq)]
pub struct AbsentRules {
    /// By status and body.
    pub rule: NothingRule,
    /// The share of the parents that may be absent at once, from 0 to 1.
    pub ratio_max: f64,
}

/// An answer that means that there is no data, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawEmpty {
    /// Statuses that mean no data: `[404]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// A text that the body contains; `""` for an empty body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// `absent`: also where the list of records is not there, or null.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub records: Option<RawAbsentList>,
}

/// What is not there where there is no data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum RawAbsentList {
    /// The list of records.
    Absent,
}

/// An answer that means that a parent has no data in the stream, as it is written.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RawAbsent {
    /// Statuses, as `[403, 404]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub status: Vec<u16>,
    /// A text that the body contains; `""` for an empty body.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
}

/// Statuses that never mean that there is nothing: wrong credentials, a limit, a failing source.
fn check_status(place: &[&str], status: &[u16], context: &mut Context<'_>) {
    let never = |status: &u16| matches!(status, 401 | 407 | 429) || !(200..500).contains(status);
    if let Some(status) = status.iter().copied().find(never) {
        let message = format!("{status} never means that there is nothing");
        let help = "statuses like 204, 404 or 410 can; 401, 429 and those from 500 on say that \
                    the source could not or would not answer";
        context.report_help(place, message, Some(help.to_owned()));
    }
}

pub(in crate::definition) fn empty_of(
    stream: &str,
    empty: Option<&RawEmpty>,
    context: &mut Context<'_>,
) -> Option<EmptyRules> {
    let empty = empty?;
    let place = ["streams", stream, "empty"];
    check_status(&place, &empty.status, context);
    if empty.status.is_empty() && empty.body.is_none() && empty.records.is_none() {
        context.report(&place, "`empty` needs a `status`, a `body` or `records = \"absent\"`");
    }
    Some(EmptyRules {
        rule: NothingRule { status: empty.status.clone(), body: empty.body.clone() },
        list_absent: empty.records.is_some(),
    })
}

pub(in crate::definition) fn absent_of(
    stream: &str,
    absent: Option<&RawAbsent>,
    share: Option<f64>,
    has_parent: bool,
    context: &mut Context<'_>,
) -> Option<AbsentRules> {
    let at = |key: &'static str| ["streams", stream, key];
    let ratio_max = share.unwrap_or(ABSENT_RATIO_MAX);
    if !(0.0..=1.0).contains(&ratio_max) {
        context.report(&at("absent_ratio_max"), "a share lies between 0 and 1: 20 % is `0.2`");
    }
    let Some(absent) = absent else {
        if share.is_some() {
            context.report(&at("absent_ratio_max"), "`absent_ratio_max` needs `absent`");
        }
        return None;
    };
    check_status(&at("absent"), &absent.status, context);
    if absent.status.is_empty() && absent.body.is_none() {
        context.report(&at("absent"), "`absent` needs a `status` or a `body`");
    }
    if !has_parent {
        let message = "`absent` is about parents, and the stream has no `for_each`";
        let help = "`empty` says when a window or a collection without records is no error";
        context.report_help(&at("absent"), message.to_owned(), Some(help.to_owned()));
    }
    let rule = NothingRule { status: absent.status.clone(), body: absent.body.clone() };
    Some(AbsentRules { rule, ratio_max })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_means_nothing_only_as_it_is_written() {
        let rule = |status: &[u16], body: Option<&str>| NothingRule {
            status: status.to_vec(),
            body: body.map(str::to_owned),
        };
        let cases = [
            (rule(&[404], None), 404, "{}", true),
            (rule(&[404], None), 200, "{}", false),
            (rule(&[404], Some("no data")), 404, "{\"m\":\"no data\"}", true),
            (rule(&[404], Some("no data")), 404, "no route", false),
            (rule(&[], Some("")), 200, " \n", true),
            (rule(&[], Some("")), 200, "[]", false),
            (rule(&[], Some("no data")), 404, "no data", false),
            (rule(&[], None), 200, "", false),
        ];
        for (rule, status, body, expected) in cases {
            assert_eq!(rule.holds(status, body.as_bytes()), expected, "{rule:?} {status} {body}");
        }
    }
}
