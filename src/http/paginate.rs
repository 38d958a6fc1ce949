//! The next page: what a kind of paging puts on a request, what it reads from an answer, when it
//! stops. How a kind is written in the definition stands in `definition/paging.rs`.
//!
//! Rules are judged on the page as received. Nothing but a proven end of the data is an end: an
//! empty page where the source says there is more is an invalid response.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use url::Url;

use crate::definition::{
    AddressAt, EndRule, Paginate, Path, Segment, Source, Stream, TokenAt, TokenInto, Total,
};
use crate::http::address::{resolve_address, set_parameter};
use crate::http::link::{LinkNext, next_link};
use crate::http::page::Page;
use crate::http::source_error::{SourceError, invalid_response};
use crate::model::excerpt;
use crate::record::{Body, PageRows, text_at};

/// The most pages that one window is believed to have. A hundred thousand pages of one record
/// each is already a mistake in the definition.
pub const PAGES_PER_WINDOW_MAX: u64 = 100_000;

/// The most pages in a row without a record: a source that filters after paging gives some, one
/// that gives a hundred gives them for ever.
pub const EMPTY_PAGES_MAX: u64 = 100;

/// Where a page is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PageToken {
    /// The request as it is.
    Start,
    Page(u64),
    Offset(u64),
    /// A token of the API's own.
    Cursor(String),
    /// An address, without credentials.
    Url(String),
}

impl PageToken {
    /// As it stands in the ledger.
    pub fn to_text(&self) -> String {
        serde_json::to_string(self).expect("a token can be written as JSON")
    }

    /// Reads what [`PageToken::to_text`] wrote.
    pub fn from_text(text: &str) -> Option<PageToken> {
        serde_json::from_str(text).ok()
    }

    /// Puts the page that is wanted on a request. An address that a source gave stays as it is.
    pub(super) fn put(
        &self,
        paginate: &Paginate,
        url: &mut Url,
        body: &mut Option<serde_json::Value>,
    ) {
        if matches!(self, PageToken::Url(_)) {
            return;
        }
        if let Paginate::Page { size: Some(size), size_param: Some(param), .. }
        | Paginate::Offset { size: Some(size), size_param: Some(param), .. } = paginate
        {
            set_parameter(url, param, &size.to_string());
        }
        match (self, paginate) {
            (PageToken::Page(number), Paginate::Page { param, .. }) => {
                set_parameter(url, param, &number.to_string());
            }
            (PageToken::Offset(offset), Paginate::Offset { param, .. }) => {
                set_parameter(url, param, &offset.to_string());
            }
            (PageToken::Cursor(token), Paginate::Cursor { into, .. }) => match into {
                TokenInto::Query(param) => set_parameter(url, param, token),
                TokenInto::Body(member) => {
                    let object = body.get_or_insert_with(|| serde_json::json!({}));
                    object[member.as_str()] = serde_json::Value::from(token.as_str());
                }
            },
            _ => {}
        }
    }
}

/// What a page says about paging.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PageFacts {
    /// Records that came, before any filter.
    pub received: u64,
    /// The token or address of the next page.
    pub next: Option<String>,
    /// Whether the source says that there is more.
    pub more: Option<bool>,
    /// How many pages there are.
    pub pages: Option<u64>,
    /// How many records there are in all.
    pub total: Option<u64>,
    /// A hash of the records as they came.
    pub content_hash: u64,
    /// Whether the total is at least this: the source stops counting there.
    pub total_is_capped: bool,
    /// Whether a rule of the definition says that the data ends with this page.
    pub ends: bool,
    /// Whether the answer had no content at all.
    pub without_content: bool,
}

impl PageFacts {
    /// What an answer to a request of the stream says about paging and totals.
    pub fn of(
        stream: &Stream,
        source: &Source,
        page: &Page,
        body: &Body<'_>,
        rows: &PageRows,
    ) -> Result<Self, SourceError> {
        if body.is_without_content() {
            return Ok(Self { without_content: true, ..Self::default() });
        }
        let mut facts = Self {
            received: rows.received,
            content_hash: rows.content_hash,
            total: page_total(stream, page, body)?,
            ends: stream.ends.iter().any(|rule| rule_holds(rule, body)),
            ..Self::default()
        };
        facts.total_is_capped = facts.total >= stream.total_rules.cap
            && facts.total.is_some()
            && stream.total_rules.cap.is_some();
        let more_at = match &stream.paginate {
            Paginate::Page { more, .. }
            | Paginate::Offset { more, .. }
            | Paginate::Cursor { more, .. } => more.as_ref(),
            _ => None,
        };
        // Where the definition says that nothing there is the end, nothing is no error.
        let may_be_absent = |path: &Path| {
            stream.ends.iter().any(|rule| matches!(rule, EndRule::Absent(at) if at == path))
        };
        facts.more = match more_at {
            Some(path) if facts.ends && may_be_absent(path) => Some(false),
            more_at => more_at.map(|path| more_of(body, path)).transpose()?,
        };
        match &stream.paginate {
            Paginate::None | Paginate::Offset { .. } => {}
            Paginate::Page { pages, .. } => {
                facts.pages = pages.as_ref().map(|path| number_at(body, path)).transpose()?;
            }
            Paginate::Cursor { token, .. } => {
                facts.next = token_of(token, page, body, rows);
                refuse_address(token, facts.next.as_deref().filter(|_| !facts.ends))?;
            }
            Paginate::Link => match next_link(page.response.headers_of("link")) {
                LinkNext::At(to) => facts.next = Some(address_of(&to, page, source)?),
                // What cannot be read is no end: `evidence` says so.
                LinkNext::None | LinkNext::Unreadable(_) => {}
            },
            Paginate::NextUrl(at) => {
                let target = match at {
                    AddressAt::Body(path) => body.value_at(path).as_deref().and_then(token_text),
                    AddressAt::Header(name) => header_text(page, name),
                };
                facts.next = target.map(|to| address_of(&to, page, source)).transpose()?;
            }
        }
        Ok(facts)
    }
}

/// An address that an answer gave, resolved and held to its origin.
fn address_of(address: &str, page: &Page, source: &Source) -> Result<String, SourceError> {
    resolve_address(address, &page.url, source).map(|url| url.to_string())
}

/// Whether a rule says that the data ends with a page; of those that look at its values.
fn rule_holds(rule: &EndRule, body: &Body<'_>) -> bool {
    let value = |at: &Path| body.value_at(at).filter(|raw| raw != "null");
    match rule {
        EndRule::Value { at, is } => {
            let found = body.value_at(at).and_then(|raw| serde_json::from_str(&raw).ok());
            found.is_some_and(|found: serde_json::Value| is.contains(&found))
        }
        EndRule::Absent(at) => value(at).is_none(),
        EndRule::ShortPage | EndRule::EmptyPage | EndRule::RepeatedPage | EndRule::Status(_) => {
            false
        }
    }
}

/// An address that stands where a token was declared would be sent as a parameter, which a source
/// may take for a filter that nothing meets.
fn refuse_address(token: &TokenAt, next: Option<&str>) -> Result<(), SourceError> {
    let Some(next) = next.filter(|next| is_address(next)) else { return Ok(()) };
    let (place, key) = match token {
        TokenAt::Body(path) => (path.text().to_owned(), format!("next = \"{}\"", path.text())),
        TokenAt::Header(name) => (format!("the header {name}"), format!("header = \"{name}\"")),
        TokenAt::LastRecord(_) => return Ok(()),
    };
    let message = format!("expected a token at {place}, found an address: {}", excerpt(next, 80));
    Err(invalid_response(message)
        .help(format!("write `paginate = {{ kind = \"next_url\", {key} }}`")))
}

/// Whether a text is an address and no token.
pub fn is_address(text: &str) -> bool {
    let text = text.trim();
    let start = text.get(..8).unwrap_or(text).to_ascii_lowercase();
    start.starts_with("http://")
        || start.starts_with("https://")
        || (text.starts_with(['/', '?']) && text.contains('?') && text.contains('='))
}

fn header_text(page: &Page, name: &str) -> Option<String> {
    let value = page.response.header(&name.to_lowercase())?.trim();
    (!value.is_empty()).then(|| value.to_owned())
}

fn more_of(body: &Body<'_>, path: &Path) -> Result<bool, SourceError> {
    match body.value_at(path).as_deref() {
        Some("true") => Ok(true),
        Some("false" | "null") => Ok(false),
        _ => {
            let message = format!("expected true or false at {}", path.text());
            Err(invalid_response(message).help("check the stream's `paginate.more`"))
        }
    }
}

fn token_of(token: &TokenAt, page: &Page, body: &Body<'_>, rows: &PageRows) -> Option<String> {
    match token {
        TokenAt::Body(path) => body.value_at(path).as_deref().and_then(token_text),
        TokenAt::Header(name) => header_text(page, name),
        TokenAt::LastRecord(field) => {
            let record = rows.last_record.as_deref()?;
            text_at(record, &[Segment::Name(field.clone())]).and_then(token_text)
        }
    }
}

/// A token as text; null, false and an empty text are none.
fn token_text(raw: &str) -> Option<String> {
    match raw {
        "null" | "false" | "\"\"" => None,
        raw if raw.starts_with('"') => serde_json::from_str(raw).ok(),
        raw => Some(raw.to_owned()),
    }
}

/// The total that a page says; none where it says none, as some sources do after the first page.
fn page_total(stream: &Stream, page: &Page, body: &Body<'_>) -> Result<Option<u64>, SourceError> {
    match &stream.total {
        None | Some(Total::Endpoint { .. }) => Ok(None),
        Some(Total::Body(path)) => match body.value_at(path).as_deref() {
            None | Some("null") => Ok(None),
            Some(_) => number_at(body, path).map(Some),
        },
        Some(Total::Header(name)) => {
            let Some(value) = page.response.header(&name.to_lowercase()) else { return Ok(None) };
            // `Content-Range: items 0-99/5411`; `*` for a count that is not known.
            let number = value.rsplit('/').next().unwrap_or(value).trim();
            if number == "*" {
                return Ok(None);
            }
            number.parse().map(Some).map_err(|_| {
                let found = excerpt(value, 60);
                invalid_response(format!("expected a total in the header {name}, found {found}"))
                    .help("check the stream's `total`")
            })
        }
    }
}

/// A first page without the total that the definition names.
pub fn no_total(stream: &Stream, status: u16) -> SourceError {
    let place = match &stream.total {
        Some(Total::Body(path)) => format!("at {}", path.text()),
        Some(Total::Header(name)) => format!("in the header {name}"),
        None | Some(Total::Endpoint { .. }) => "in the answer".to_owned(),
    };
    let found = match status {
        204 => "the answer has no content (HTTP 204)",
        _ => "found nothing there",
    };
    invalid_response(format!("expected a total {place}, {found}")).help(
        "check the stream's `total`; if such an answer means that there is no data, `empty` says \
         so",
    )
}

/// The count at a path, which must be there.
pub fn number_at(body: &Body<'_>, path: &Path) -> Result<u64, SourceError> {
    let raw = body.value_at(path);
    let number = raw.as_deref().and_then(|raw| raw.trim_matches('"').parse().ok());
    number.ok_or_else(|| {
        let found = raw.map_or_else(|| "nothing".to_owned(), |raw| excerpt(&raw, 60));
        invalid_response(format!("expected a count at {}, found {found}", path.text()))
            .help("check `total` and `paginate.pages`")
    })
}

/// What comes after a page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    Page(PageToken),
    /// Nothing: the end of the data is proven.
    End,
    /// Nothing, and the page itself is the one before again.
    Repeated,
    /// The source contradicts itself.
    Broken(String),
}

/// Walks through the pages of one window.
#[derive(Debug)]
pub struct Pager<'d> {
    paginate: &'d Paginate,
    ends: &'d [EndRule],
    pages: u64,
    received: u64,
    /// Pages in a row that held no record.
    empty: u64,
    /// The most records that one page held.
    largest: u64,
    /// What the pages before have said of how many pages and records there are.
    known: (Option<u64>, Option<u64>),
    /// The records of the page before, as a hash.
    before: Option<u64>,
    /// Content of pages that held records, and where each came first.
    seen: HashMap<u64, u64>,
    tokens: HashMap<PageToken, u64>,
    /// Whether a page of the full size ever came: only then is a short page the last one, since
    /// a source may give fewer records to a page than it is asked for.
    pub full_page_seen: bool,
    /// Whether the page that is asked for next lies beyond what the total counts.
    pub beyond_total: bool,
}

impl std::hash::Hash for PageToken {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.to_text().hash(state);
    }
}

impl<'d> Pager<'d> {
    /// A pager at the beginning of a window, or at a page to go on with.
    pub fn new(paginate: &'d Paginate, ends: &'d [EndRule], full_page_seen: bool) -> Self {
        Self {
            paginate,
            ends,
            pages: 0,
            received: 0,
            empty: 0,
            largest: 0,
            known: (None, None),
            before: None,
            seen: HashMap::new(),
            tokens: HashMap::new(),
            full_page_seen,
            beyond_total: false,
        }
    }

    /// Where the first page is.
    pub fn first(&self) -> PageToken {
        match self.paginate {
            Paginate::Page { first, .. } => PageToken::Page(*first),
            Paginate::Offset { .. } => PageToken::Offset(0),
            _ => PageToken::Start,
        }
    }

    /// Whether a status says that the page that was asked for lies past the end.
    pub fn ends_with(&self, status: u16) -> bool {
        let declared = self
            .ends
            .iter()
            .any(|rule| matches!(rule, EndRule::Status(statuses) if statuses.contains(&status)));
        self.pages > 0 && (declared || (self.beyond_total && PAST_THE_END.contains(&status)))
    }

    /// Whether a page is the one before again, and the definition takes that for the end.
    pub fn repeats(&self, facts: &PageFacts) -> bool {
        facts.received > 0
            && self.before == Some(facts.content_hash)
            && self.has(|rule| matches!(rule, EndRule::RepeatedPage))
    }

    /// Whether the end that was found is one that `paginate.end` names.
    pub fn ended_as_declared(&self, facts: &PageFacts) -> bool {
        facts.ends
            || self.repeats(facts)
            || facts.received == 0 && self.has(|rule| matches!(rule, EndRule::EmptyPage))
    }

    fn has(&self, which: fn(&EndRule) -> bool) -> bool {
        self.ends.iter().any(which)
    }

    /// What comes after the page at `token`.
    pub fn next(&mut self, token: &PageToken, facts: &PageFacts) -> Next {
        self.pages += 1;
        self.beyond_total = false;
        let ends_repeated = self.has(|rule| matches!(rule, EndRule::RepeatedPage));
        if self.repeats(facts) {
            return Next::Repeated;
        }
        self.before = Some(facts.content_hash).filter(|_| facts.received > 0);
        self.received += facts.received;
        self.empty = if facts.received == 0 { self.empty + 1 } else { 0 };
        self.tokens.entry(token.clone()).or_insert(self.pages);
        if facts.received > 0
            && let Some(first) = self.seen.insert(facts.content_hash, self.pages)
        {
            let pages = self.pages;
            return Next::Broken(format!("page {pages} repeats the records of page {first}"));
        }
        let next = if facts.ends { Next::End } else { self.after(token, facts) };
        self.largest = self.largest.max(facts.received);
        let Next::Page(next) = next else { return next };
        if let Some(first) = self.tokens.get(&next).filter(|_| !self.token_may_repeat()) {
            if ends_repeated && next == *token {
                return Next::End;
            }
            let pages = self.pages;
            return Next::Broken(format!("page {pages} leads back to page {first}"));
        }
        if self.empty >= EMPTY_PAGES_MAX {
            return Next::Broken(format!("{EMPTY_PAGES_MAX} pages in a row hold no record"));
        }
        if self.pages >= PAGES_PER_WINDOW_MAX {
            return Next::Broken(format!("the window has more than {PAGES_PER_WINDOW_MAX} pages"));
        }
        Next::Page(next)
    }

    /// Some sources keep the place on their side, and give one token until an empty page.
    fn token_may_repeat(&self) -> bool {
        !self.paginate.is_counted() && self.has(|rule| matches!(rule, EndRule::EmptyPage))
    }

    fn after(&mut self, token: &PageToken, facts: &PageFacts) -> Next {
        let known = (facts.pages.or(self.known.0), facts.total.or(self.known.1));
        self.known = known;
        if facts.without_content && self.pages > 1 {
            let counts_more = known.0.is_some_and(|pages| pages >= self.pages)
                || known.1.is_some_and(|total| total > self.received);
            let why = match self.paginate.is_counted() {
                false => "the page before leads to this one",
                true if counts_more => "the pages before count more",
                true => return Next::End,
            };
            return Next::Broken(format!("{why}, and the answer has no content, as HTTP 204 says"));
        }
        let ends_empty = self.has(|rule| matches!(rule, EndRule::EmptyPage));
        let ends_with_value = self.ends.iter().any(|rule| rule.place().is_some());
        match (self.paginate, token) {
            (Paginate::None, _) => Next::End,
            (Paginate::Page { size, first, .. }, token) => {
                let number = if let PageToken::Page(number) = token { *number } else { *first };
                let last = facts.pages.map(|pages| first.saturating_add(pages.saturating_sub(1)));
                let known_more = last.map(|last| number < last);
                self.counted(facts, *size, known_more, PageToken::Page(number.saturating_add(1)))
            }
            (Paginate::Offset { size, .. }, token) => {
                let offset = if let PageToken::Offset(offset) = token { *offset } else { 0 };
                // By what came, not by what was asked for: a source may cap its pages.
                let next = PageToken::Offset(offset.saturating_add(facts.received));
                self.counted(facts, *size, None, next)
            }
            (Paginate::Cursor { .. } | Paginate::Link | Paginate::NextUrl(_), _)
                if ends_empty && facts.received == 0 =>
            {
                if facts.more == Some(true) {
                    empty_but_more()
                } else {
                    Next::End
                }
            }
            (Paginate::Cursor { token: TokenAt::LastRecord(field), .. }, _) => {
                match (&facts.next, facts.received, facts.more) {
                    (_, 0, None) if ends_with_value => empty_but_more(),
                    (_, _, Some(false)) | (_, 0, None) => Next::End,
                    (_, 0, Some(true)) => empty_but_more(),
                    (Some(next), _, _) => Next::Page(PageToken::Cursor(next.clone())),
                    (None, _, _) => Next::Broken(format!("the last record has no {field:?}")),
                }
            }
            (Paginate::Cursor { .. }, _) => match (&facts.next, facts.more) {
                (_, Some(false)) => Next::End,
                (Some(next), _) => Next::Page(PageToken::Cursor(next.clone())),
                (None, Some(true)) => {
                    Next::Broken("the source says there is more, but gives no token".to_owned())
                }
                (None, None) if ends_empty || ends_with_value => Next::Broken(
                    "the page gives no token, and does not end the data as `end` says".to_owned(),
                ),
                (None, None) => Next::End,
            },
            (Paginate::Link | Paginate::NextUrl(_), _) => match &facts.next {
                Some(next) => Next::Page(PageToken::Url(next.clone())),
                None => Next::End,
            },
        }
    }

    /// Pages that are counted by number or offset.
    fn counted(
        &mut self,
        facts: &PageFacts,
        size: Option<u64>,
        known_more: Option<bool>,
        next: PageToken,
    ) -> Next {
        self.full_page_seen |= size.is_some_and(|size| facts.received >= size);
        let more = facts.more.or(known_more);
        match more {
            Some(false) => return Next::End,
            Some(true) if facts.received == 0 => return empty_but_more(),
            Some(true) => return Next::Page(next),
            None => {}
        }
        if facts.received == 0 {
            let ends_with_value = self.ends.iter().any(|rule| rule.place().is_some());
            return if ends_with_value { empty_but_more() } else { Next::End };
        }
        let total = facts.total.filter(|_| !facts.total_is_capped);
        if total.is_some_and(|total| self.received >= total) {
            // Some sources stop counting at a number and go on giving pages: after a full page one
            // more is asked for. Where the size of a page is not said, or the source gives fewer
            // records than that, a page that is as long as the longest one is full, once there is
            // one to compare it with.
            let as_asked = size.is_some_and(|size| facts.received >= size);
            let as_before = self.pages > 1 && facts.received >= self.largest;
            if !as_asked && !as_before {
                return Next::End;
            }
            self.beyond_total = true;
            return Next::Page(next);
        }
        // A source that filters after paging gives short pages in the middle: a short page is only
        // the last one where the definition says so.
        let short = size.is_some_and(|size| facts.received < size);
        let ends_short = self.has(|rule| matches!(rule, EndRule::ShortPage));
        if short && ends_short && self.full_page_seen && facts.total.is_none() {
            return Next::End;
        }
        Next::Page(next)
    }
}

/// Statuses of a page past the end, where everything that the total counts has come.
const PAST_THE_END: [u16; 5] = [400, 404, 410, 416, 422];

fn empty_but_more() -> Next {
    Next::Broken("the source says there is more, but the page is empty".to_owned())
}

/// What to do about a walk through the pages that cannot go on.
pub fn help_for_walk(stream: &Stream) -> String {
    let parameter = match &stream.paginate {
        Paginate::Page { param, .. } | Paginate::Offset { param, .. } => Some(param),
        Paginate::Cursor { into: TokenInto::Query(param), .. } => Some(param),
        _ => None,
    };
    let sent = parameter.map_or(String::new(), |param| {
        format!("does the API read the parameter `{param}` that asks for a page? ")
    });
    format!(
        "{sent}if this is how the source says that the data ends, write `paginate.end`, as \
         \"repeated_page\", \"empty_page\" or {{ at = \"$.…\", is = … }}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: Option<u64>) -> Paginate {
        Paginate::Page {
            param: "page".into(),
            first: 1,
            size,
            size_param: None,
            pages: None,
            more: None,
        }
    }

    fn cursor() -> Paginate {
        let path = Path::parse("$.next").expect("a path");
        Paginate::Cursor {
            token: TokenAt::Body(path),
            into: TokenInto::Query("cursor".into()),
            more: None,
        }
    }

    fn facts(received: u64, hash: u64) -> PageFacts {
        PageFacts { received, content_hash: hash, ..PageFacts::default() }
    }

    fn walk(paginate: &Paginate, pages: &[PageFacts]) -> Vec<String> {
        walk_with(paginate, &[], pages)
    }

    fn walk_with(paginate: &Paginate, ends: &[EndRule], pages: &[PageFacts]) -> Vec<String> {
        let mut pager = Pager::new(paginate, ends, false);
        let mut token = pager.first();
        let mut seen = Vec::new();
        for facts in pages {
            match pager.next(&token, facts) {
                Next::Page(next) => {
                    seen.push(next.to_text());
                    token = next;
                }
                Next::End | Next::Repeated => {
                    seen.push("end".to_owned());
                    break;
                }
                Next::Broken(why) => {
                    seen.push(why);
                    break;
                }
            }
        }
        seen
    }

    #[test]
    fn a_short_page_is_the_end_only_where_the_definition_says_so() {
        let sized = page(Some(10));
        let pages = [facts(10, 1), facts(3, 2), facts(4, 3), facts(0, 0)];
        let (two, three, four) = (r#"{"page":2}"#, r#"{"page":3}"#, r#"{"page":4}"#);
        // A source that filters after paging gives short pages in the middle.
        assert_eq!(walk(&sized, &pages), [two, three, four, "end"]);
        let short = [EndRule::ShortPage];
        assert_eq!(walk_with(&sized, &short, &pages), [two, "end"]);
        // The source gives 5 to a page where 10 were asked for: stopping would lose the rest.
        let fives = [facts(5, 1), facts(5, 2), facts(0, 0)];
        assert_eq!(walk_with(&sized, &short, &fives), [two, three, "end"]);
        assert_eq!(walk(&page(None), &[facts(5, 1), facts(0, 0)]), [two, "end"]);
    }

    #[test]
    fn a_total_after_a_full_page_is_held_against_one_more() {
        let total = |received, hash| PageFacts { total: Some(10), ..facts(received, hash) };
        let (two, three) = (r#"{"page":2}"#, r#"{"page":3}"#);
        // The source stops counting at 10 and goes on giving pages.
        let capped = [total(5, 1), total(5, 2), total(3, 3)];
        assert_eq!(walk(&page(Some(5)), &capped), [two, three, "end"]);
        assert_eq!(
            walk(&page(None), &[total(5, 1), total(5, 2), total(0, 0)]),
            [two, three, "end"]
        );
        assert_eq!(
            walk(&page(Some(5)), &[total(5, 1), total(4, 2), total(1, 3)]),
            [two, three, "end"]
        );
        // The source gives 5 to a page where 8 were asked for.
        assert_eq!(walk(&page(Some(8)), &capped), [two, three, "end"]);
        // One page that holds all that is counted, of an unknown size, is no full one.
        assert_eq!(walk(&page(None), &[total(10, 1)]), ["end"]);
        let mut pager = Pager::new(&Paginate::None, &[], false);
        assert!(!pager.ends_with(404), "the first page is never past the end");
        let sized = page(Some(5));
        pager = Pager::new(&sized, &[], false);
        let _ = pager.next(&PageToken::Page(1), &total(5, 1));
        assert!(!pager.ends_with(404), "the total counts more");
        let _ = pager.next(&PageToken::Page(2), &total(5, 2));
        assert!(pager.ends_with(404) && !pager.ends_with(500) && !pager.ends_with(401));
    }

    #[test]
    fn the_end_is_where_the_definition_says() {
        let status = [EndRule::Status(vec![404])];
        let counted = page(None);
        let mut pager = Pager::new(&counted, &status, false);
        assert!(!pager.ends_with(404), "a first page that is not there is no end");
        let _ = pager.next(&PageToken::Page(1), &facts(5, 1));
        assert!(pager.ends_with(404) && !pager.ends_with(410));
        let value = [EndRule::Absent(Path::parse("$.x").expect("a path"))];
        let ended = PageFacts { ends: true, ..facts(5, 1) };
        assert_eq!(walk_with(&counted, &value, &[ended]), ["end"]);
        assert_eq!(
            walk_with(&counted, &value, &[facts(0, 0)]),
            ["the source says there is more, but the page is empty"]
        );
        let same = |n, hash| PageFacts { next: Some("t".into()), ..facts(n, hash) };
        let empty = [EndRule::EmptyPage];
        let token = r#"{"cursor":"t"}"#;
        let scroll = [same(5, 1), same(5, 2), same(0, 0)];
        assert_eq!(walk_with(&cursor(), &empty, &scroll), [token, token, "end"]);
        let repeated = [EndRule::RepeatedPage];
        assert_eq!(walk_with(&cursor(), &repeated, &[same(5, 1), same(3, 2)]), [token, "end"]);
        let again = [facts(5, 1), facts(3, 2), facts(3, 2)];
        let (two, three) = (r#"{"page":2}"#, r#"{"page":3}"#);
        assert_eq!(walk_with(&counted, &repeated, &again), [two, three, "end"]);
    }

    #[test]
    fn an_answer_without_content_is_no_page_where_a_page_led_to_it() {
        let next = PageFacts { next: Some("a".into()), ..facts(5, 1) };
        let nothing = PageFacts { without_content: true, ..PageFacts::default() };
        let said = walk(&cursor(), &[next, nothing.clone()]);
        assert!(said[1].contains("no content, as HTTP 204"), "{said:?}");
        assert_eq!(walk(&page(None), &[facts(5, 1), nothing]), [r#"{"page":2}"#, "end"]);
    }

    #[test]
    fn an_address_is_told_from_a_token() {
        for text in ["http://h/x?_token=1", "HTTPS://h/x", "/x?page=2", "?after=3"] {
            assert!(is_address(text), "{text}");
        }
        for text in ["/abc+def==", "eyJpZCI6MX0=", "abc?", "2026-01-01T00:00:00Z", "/page", ""] {
            assert!(!is_address(text), "{text}");
        }
    }

    #[test]
    fn what_the_source_says_about_more_is_believed_and_held_against_it() {
        let says = |received, hash, more| PageFacts { more: Some(more), ..facts(received, hash) };
        assert_eq!(
            walk(&page(Some(10)), &[says(10, 1, true), says(10, 2, false)]),
            [r#"{"page":2}"#, "end"]
        );
        assert_eq!(
            walk(&page(None), &[says(0, 0, true)]),
            ["the source says there is more, but the page is empty"]
        );
        let pages = |received, hash| PageFacts { pages: Some(2), ..facts(received, hash) };
        assert_eq!(walk(&page(None), &[pages(5, 1), pages(5, 2)]), [r#"{"page":2}"#, "end"]);
        assert_eq!(
            walk(&page(None), &[pages(0, 0)]),
            ["the source says there is more, but the page is empty"]
        );
        let total = |received, hash| PageFacts { total: Some(7), ..facts(received, hash) };
        assert_eq!(walk(&page(Some(5)), &[total(5, 1), total(2, 2)]), [r#"{"page":2}"#, "end"]);
    }

    #[test]
    fn numbers_beyond_64_bits_do_not_make_an_end() {
        let pages = PageFacts { pages: Some(u64::MAX), ..facts(5, 1) };
        let mut paginate = page(None);
        if let Paginate::Page { first, .. } = &mut paginate {
            *first = 2;
        }
        assert_eq!(walk(&paginate, &[pages]), [r#"{"page":3}"#]);
        let mut pager = Pager::new(&paginate, &[], false);
        assert!(matches!(pager.next(&PageToken::Page(u64::MAX), &facts(5, 1)), Next::Broken(_)));
    }

    #[test]
    fn pages_without_end_are_bounded() {
        let (paginate, mut last) = (cursor(), Next::End);
        for received in [0, 1] {
            let mut pager = Pager::new(&paginate, &[], false);
            let mut token = pager.first();
            for number in 0..=PAGES_PER_WINDOW_MAX {
                let next = Some(number.to_string());
                last = pager.next(&token, &PageFacts { next, ..facts(received, number) });
                let Next::Page(following) = last.clone() else { break };
                token = following;
            }
            assert!(matches!(last, Next::Broken(_)), "{last:?}");
        }
    }

    #[test]
    fn an_offset_moves_by_what_came() {
        let offset = Paginate::Offset {
            param: "offset".into(),
            size: Some(10),
            size_param: None,
            more: None,
        };
        assert_eq!(
            walk(&offset, &[facts(7, 1), facts(7, 2), facts(0, 0)]),
            [r#"{"offset":7}"#, r#"{"offset":14}"#, "end"]
        );
    }

    #[test]
    fn a_page_that_repeats_its_token_or_its_records_breaks_the_window() {
        let with = |next: &str, hash| PageFacts { next: Some(next.to_owned()), ..facts(5, hash) };
        assert_eq!(
            walk(&cursor(), &[with("a", 1), with("b", 2), with("a", 3)]),
            [r#"{"cursor":"a"}"#, r#"{"cursor":"b"}"#, "page 3 leads back to page 2"]
        );
        assert_eq!(
            walk(&page(None), &[facts(5, 1), facts(5, 1)]),
            [r#"{"page":2}"#, "page 2 repeats the records of page 1"]
        );
        let link = Paginate::Link;
        assert_eq!(
            walk(&link, &[with("http://a/2", 1), with("http://a/2", 2)])[1],
            "page 2 leads back to page 2"
        );
    }

    #[test]
    fn a_cursor_ends_without_a_token_and_goes_on_over_an_empty_page() {
        let with = |next: &str, n, hash| PageFacts { next: Some(next.into()), ..facts(n, hash) };
        assert_eq!(walk(&cursor(), &[with("a", 0, 0), facts(5, 1)]), [r#"{"cursor":"a"}"#, "end"]);
    }
}
