//! Whether what the answers of a fetch say contradicts the end of the data that was found.

use crate::definition::{Paginate, Stream};
use crate::model::numbers::{count, many};

use super::signs::{Sign, SignKind, Signs};

/// The signs of the pages of one fetch, as far as its end is judged by them.
#[derive(Clone, Debug, Default)]
pub struct FetchSigns {
    /// The first count of records: some sources count what is left, page after page.
    pub total: Option<Sign>,
    /// The last count of pages.
    pub pages: Option<Sign>,
    /// What the last page says.
    pub last: Signs,
}

impl FetchSigns {
    /// Takes in what the next page says.
    pub fn take(&mut self, signs: Signs) {
        if self.total.is_none() {
            self.total.clone_from(&signs.total);
        }
        if signs.pages.is_some() {
            self.pages.clone_from(&signs.pages);
        }
        self.last = signs;
    }

    /// Whether the answers hold counts that only a whole fetch can be held against.
    pub fn needs_whole(&self, stream: &Stream) -> bool {
        stream.total.is_none()
            && !stream.total_rules.unrelated
            && (self.pages.is_some() || (self.total.is_some() && stream.records_are_one_list()))
    }
}

/// What contradicts the end of the data.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// What the answer says, and where.
    pub message: String,
    /// The key to write in the definition.
    pub help: String,
}

/// The numbers that a fetch's signs are compared with.
#[derive(Clone, Copy, Debug)]
pub struct Came {
    /// Records, whether or not they became rows.
    pub records: u64,
    /// Pages that were asked for.
    pub pages: u64,
    /// Whether all pages of the fetch are counted in these: not where it carries on another one.
    pub whole: bool,
    /// Whether the declared total is what came, or a rule of `paginate.end` has found the end: then
    /// the address or token of a next page is one that the source always gives.
    pub end_is_declared: bool,
}

/// What contradicts a page by itself: it failed in part, or says where to go on in a way that
/// cannot be read.
pub fn contradiction_of_page(stream: &Stream, signs: &Signs) -> Option<Contradiction> {
    if let Some(Sign { at, value, .. }) = &signs.failed {
        return Some(Contradiction {
            message: format!("the answer says that it failed, or a part of it: {value} at {at}"),
            help: "if this is no error, name the member that is an error with `error`".to_owned(),
        });
    }
    let by_link = matches!(stream.paginate, Paginate::Link);
    let unreadable = signs.unreadable.as_ref().filter(|sign| {
        by_link || (!stream.paginate_is_written && sign.value.to_ascii_lowercase().contains("next"))
    })?;
    Some(Contradiction {
        message: format!("the header Link cannot be read: {}", unreadable.value),
        help: "a link is `<address>; rel=\"next\"`: tell whoever runs the API, or page in another \
               way with `paginate`"
            .to_owned(),
    })
}

/// Whether the definition says that one page is all, whatever the answers say of more: then what
/// contradicts that is told by `check` alone.
pub fn one_page_is_all(stream: &Stream) -> bool {
    stream.paginate_is_written && matches!(stream.paginate, Paginate::None)
}

/// What contradicts the end that was found after the last page.
pub fn contradiction_of_end(
    stream: &Stream,
    signs: &FetchSigns,
    came: Came,
) -> Option<Contradiction> {
    says_more(stream, signs, came)
        .or_else(|| counts_more_pages(stream, signs, came))
        .or_else(|| counts_more_records(stream, signs, came))
}

/// The last answer says that there is more. Where a flag says that there is not, tokens and
/// addresses are for later: a source of changes goes on for ever.
fn says_more(stream: &Stream, signs: &FetchSigns, came: Came) -> Option<Contradiction> {
    let all_came = |number: u64| match signs.total.as_ref().map(|total| total.kind) {
        // An offset that lies at the end of what is counted, or beyond it.
        Some(SignKind::Count(total)) => came.records >= total && number >= total,
        _ => false,
    };
    let is_last = signs.last.last || came.end_is_declared;
    let is_declared = |sign: &&Sign| !stream.end_is_declared_at(&sign.at);
    let mut more = signs.last.more.iter().filter(is_declared);
    let sign = more.find(|sign| match sign.kind {
        SignKind::Flag => true,
        SignKind::Number(number) => !is_last && !all_came(number),
        _ => !is_last,
    })?;
    let Sign { at, value, kind } = sign;
    let message = match kind {
        SignKind::Flag => format!("the answer says that there is more: {value} at {at}"),
        _ => format!("the answer says that there is more: {at} leads on to {value}"),
    };
    Some(Contradiction { message, help: help_for_more(stream, sign) })
}

/// The key to write, so that the sign is followed.
fn help_for_more(stream: &Stream, sign: &Sign) -> String {
    let Sign { at, kind, .. } = sign;
    let header = at.strip_prefix("the header ");
    let kind = match (kind, header) {
        (SignKind::Link, _) => "paginate = { kind = \"link\" }".to_owned(),
        (SignKind::Address, Some(header)) => {
            format!("paginate = {{ kind = \"next_url\", header = \"{header}\" }}")
        }
        (SignKind::Address, None) => {
            format!("paginate = {{ kind = \"next_url\", next = \"{at}\" }}")
        }
        (SignKind::Token, Some(header)) => {
            format!("paginate = {{ kind = \"cursor\", header = \"{header}\", param = \"…\" }}")
        }
        (SignKind::Token, None) => {
            format!("paginate = {{ kind = \"cursor\", next = \"{at}\", param = \"…\" }}")
        }
        (SignKind::Flag, None) => {
            // What says that this was not the last page is false until the last one.
            let end = match sign.value.as_str() {
                "true" => format!("more = \"{at}\""),
                "false" => format!("end = {{ at = \"{at}\", is = true }}"),
                _ => format!("end = {{ at = \"{at}\", absent = true }}"),
            };
            format!("paginate = {{ kind = \"page\", {end} }}, or another kind with this")
        }
        _ => "paginate = { kind = \"page\" }, or `offset`".to_owned(),
    };
    match stream.paginate_is_written {
        true => format!("the stream's `paginate` does not follow it; write `{kind}`"),
        false => format!(
            "write `{kind}`; if one page is all, `paginate = {{ kind = \"none\" }}` says so"
        ),
    }
}

fn counts_more_pages(stream: &Stream, signs: &FetchSigns, came: Came) -> Option<Contradiction> {
    let Sign { at, kind: SignKind::Count(pages), .. } = signs.pages.as_ref()? else { return None };
    if stream.total.is_some() || stream.total_rules.unrelated || stream.end_is_declared_at(at) {
        return None;
    }
    (came.whole && *pages > came.pages && came.pages > 0 && *pages > 1).then(|| Contradiction {
        message: format!("the answer counts {pages} pages at {at}, and {} came", came.pages),
        help: match stream.paginate_is_written {
            false => format!(
                "write how the API pages, as `paginate = {{ kind = \"page\", pages = \"{at}\" }}`; \
                 if this counts something else, `total = \"none\"` says so"
            ),
            true => "the stream's `paginate` ends too early; if this counts something else, \
                     `total = \"none\"` says so"
                .to_owned(),
        },
    })
}

fn counts_more_records(stream: &Stream, signs: &FetchSigns, came: Came) -> Option<Contradiction> {
    let Sign { at, kind: SignKind::Count(total), .. } = signs.total.as_ref()? else { return None };
    let declared = stream.total.is_some() || stream.total_rules.unrelated;
    if declared || !stream.records_are_one_list() {
        return None;
    }
    (came.whole && *total > came.records).then(|| Contradiction {
        message: format!(
            "the answer counts {} at {at}, and {} came",
            many(*total, "record"),
            count(came.records)
        ),
        help: match stream.paginate_is_written {
            false => "write how the API pages with `paginate`; if this counts something else, \
                      `total = \"none\"` says so"
                .to_owned(),
            true => {
                let place = match at.strip_prefix("the header ") {
                    Some(header) => format!("{{ header = \"{header}\" }}"),
                    None => format!("\"{at}\""),
                };
                format!(
                    "if it counts the records of a request, the pages end too early: `total = \
                     {place}` compares each window with it; if not, write `total = \"none\"`"
                )
            }
        },
    })
}
