//! The next page: what a kind of paging puts on a request, what it reads from an answer, when it
//! stops. How a kind is written in the definition stands in `definition/paging.rs`.
//!
//! Rules are judged on the page as received. Nothing but a proven end of the data is an end: an
//! empty page where the source says there is more is an invalid response.

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use url::Url;

use crate::definition::{Paginate, Path, Segment, Source, Stream, TokenAt, TokenInto, Total};
use crate::http::address::{resolve_address, set_parameter};
use crate::http::link::next_link;
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
    /// A page number.
    Page(u64),
    /// An offset.
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
            return Ok(Self::default());
        }
        let mut facts = Self {
            received: rows.received,
            content_hash: rows.content_hash,
            total: page_total(stream, page, body)?,
            ..Self::default()
        };
        let more_at = match &stream.paginate {
            Paginate::Page { more, .. }
            | Paginate::Offset { more, .. }
            | Paginate::Cursor { more, .. } => more.as_ref(),
            _ => None,
        };
        facts.more = more_at.map(|path| more_of(body, path)).transpose()?;
        match &stream.paginate {
            Paginate::None | Paginate::Offset { .. } => {}
            Paginate::Page { pages, .. } => {
                facts.pages = pages.as_ref().map(|path| number_at(body, path)).transpose()?;
            }
            Paginate::Cursor { token, .. } => facts.next = token_of(token, page, body, rows),
            Paginate::Link => {
                let target = next_link(page.response.headers_of("link"));
                facts.next = target.map(|to| address_of(&to, page, source)).transpose()?;
            }
            Paginate::NextUrl(path) => {
                let target = body.value_at(path).as_deref().and_then(token_text);
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
        TokenAt::Header(name) => {
            let value = page.response.header(&name.to_lowercase())?.trim();
            (!value.is_empty()).then(|| value.to_owned())
        }
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

fn page_total(stream: &Stream, page: &Page, body: &Body<'_>) -> Result<Option<u64>, SourceError> {
    match &stream.total {
        None | Some(Total::Endpoint { .. }) => Ok(None),
        Some(Total::Body(path)) => number_at(body, path).map(Some),
        Some(Total::Header(name)) => {
            let value = page.response.header(&name.to_lowercase());
            let number = value.and_then(|value| value.trim().parse().ok());
            number.map(Some).ok_or_else(|| {
                invalid_response(format!("expected a total in the header {name}"))
                    .help("check the stream's `total`")
            })
        }
    }
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
    /// Another page.
    Page(PageToken),
    /// Nothing: the end of the data is proven.
    End,
    /// The source contradicts itself.
    Broken(String),
}

/// Walks through the pages of one window.
#[derive(Debug)]
pub struct Pager<'d> {
    paginate: &'d Paginate,
    pages: u64,
    received: u64,
    /// Pages in a row that held no record.
    empty: u64,
    /// Content of pages that held records, and where each came first.
    seen: HashMap<u64, u64>,
    tokens: HashMap<PageToken, u64>,
    /// Whether a page of the full size ever came: only then is a short page the last one, since
    /// a source may give fewer records to a page than it is asked for.
    pub full_page_seen: bool,
}

impl std::hash::Hash for PageToken {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.to_text().hash(state);
    }
}

impl<'d> Pager<'d> {
    /// A pager at the beginning of a window, or at a page to go on with.
    pub fn new(paginate: &'d Paginate, full_page_seen: bool) -> Self {
        Self {
            paginate,
            pages: 0,
            received: 0,
            empty: 0,
            seen: HashMap::new(),
            tokens: HashMap::new(),
            full_page_seen,
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

    /// What comes after the page at `token`.
    pub fn next(&mut self, token: &PageToken, facts: &PageFacts) -> Next {
        self.pages += 1;
        self.received += facts.received;
        self.empty = if facts.received == 0 { self.empty + 1 } else { 0 };
        self.tokens.entry(token.clone()).or_insert(self.pages);
        if facts.received > 0
            && let Some(first) = self.seen.insert(facts.content_hash, self.pages)
        {
            let pages = self.pages;
            return Next::Broken(format!("page {pages} repeats the records of page {first}"));
        }
        let next = self.after(token, facts);
        let Next::Page(next) = next else { return next };
        if let Some(first) = self.tokens.get(&next) {
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

    fn after(&mut self, token: &PageToken, facts: &PageFacts) -> Next {
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
            (Paginate::Cursor { token: TokenAt::LastRecord(field), .. }, _) => {
                match (&facts.next, facts.received, facts.more) {
                    (_, _, Some(false)) | (_, 0, None) => Next::End,
                    (_, 0, Some(true)) => empty_but_more(),
                    (Some(next), _, _) => Next::Page(PageToken::Cursor(next.clone())),
                    (None, _, _) => Next::Broken(format!("the last record has no {field:?}")),
                }
            }
            (Paginate::Cursor { .. }, _) => match (&facts.next, facts.more) {
                (_, Some(false)) | (None, None) => Next::End,
                (Some(next), _) => Next::Page(PageToken::Cursor(next.clone())),
                (None, Some(true)) => {
                    Next::Broken("the source says there is more, but gives no token".to_owned())
                }
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
            return Next::End;
        }
        if facts.total.is_some_and(|total| self.received >= total) {
            return Next::End;
        }
        // With a total, only the total or an empty page is the end.
        let short = size.is_some_and(|size| facts.received < size);
        if short && self.full_page_seen && facts.total.is_none() {
            return Next::End;
        }
        Next::Page(next)
    }
}

fn empty_but_more() -> Next {
    Next::Broken("the source says there is more, but the page is empty".to_owned())
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
        let mut pager = Pager::new(paginate, false);
        let mut token = pager.first();
        let mut seen = Vec::new();
        for facts in pages {
            match pager.next(&token, facts) {
                Next::Page(next) => {
                    seen.push(next.to_text());
                    token = next;
                }
                Next::End => {
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
    fn a_short_page_is_the_end_only_once_a_full_one_has_come() {
        let sized = page(Some(10));
        assert_eq!(walk(&sized, &[facts(10, 1), facts(3, 2)]), [r#"{"page":2}"#, "end"]);
        // The source gives 5 to a page where 10 were asked for: stopping would lose the rest.
        assert_eq!(
            walk(&sized, &[facts(5, 1), facts(5, 2), facts(0, 0)]),
            [r#"{"page":2}"#, r#"{"page":3}"#, "end"]
        );
        assert_eq!(walk(&page(None), &[facts(5, 1), facts(0, 0)]), [r#"{"page":2}"#, "end"]);
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
        let mut pager = Pager::new(&paginate, false);
        assert!(matches!(pager.next(&PageToken::Page(u64::MAX), &facts(5, 1)), Next::Broken(_)));
    }

    #[test]
    fn pages_without_end_are_bounded() {
        let (paginate, mut last) = (cursor(), Next::End);
        for received in [0, 1] {
            let mut pager = Pager::new(&paginate, false);
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
