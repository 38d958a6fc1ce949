//! The signs of one answer: what its headers and its members beside the records say of its
//! completeness.

use url::Url;

use crate::definition::Segment;
use crate::http::{LinkNext, is_address, next_link};
use crate::model::excerpt;
use crate::record::{Elements, Members};

use super::names::{Topic, header_topic, is_about_the_answer, plain, topic};

/// How deep objects beside the records are looked into: less misses signs such as
/// `meta.pagination.links.next.href`, more takes members of included objects for signs.
const DEPTH_MAX: usize = 5;
/// Bytes of an answer beside its records that are looked into; the members of larger objects, such
/// as included resources, are about themselves.
const BESIDE_BYTES_MAX: usize = 4 << 20;
/// Characters of a value in a message: a message stays on one or two lines, also with a long token.
const SHOWN_MAX: usize = 80;

/// Something that an answer says, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sign {
    /// A JSONPath, or `the header Link`.
    pub at: String,
    /// The value, cut to a message's length.
    pub value: String,
    /// What kind of value it is.
    pub kind: SignKind,
}

/// What a sign is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SignKind {
    /// A `Link` header with `rel=next`.
    Link,
    /// An address of the next page.
    Address,
    /// A token for the next page.
    Token,
    /// A page number or an offset.
    Number(u64),
    /// A flag that says that there is more.
    Flag,
    /// How many records or pages there are.
    Count(u64),
    /// A part of the answer that failed.
    Failure,
}

/// What one answer says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Signs {
    /// That there is more.
    pub more: Vec<Sign>,
    /// That there is no more.
    pub last: bool,
    /// How many records there are.
    pub total: Option<Sign>,
    /// How many pages there are.
    pub pages: Option<Sign>,
    /// That a part is missing or that the request failed.
    pub failed: Option<Sign>,
    /// A `Link` header that cannot be read.
    pub unreadable: Option<Sign>,
}

impl Signs {
    /// The same without secrets, which an answer may repeat in the address of the next page.
    #[must_use]
    pub fn redacted(mut self, redact: &dyn Fn(&str) -> String) -> Self {
        let Signs { more, total: _, pages: _, last: _, failed, unreadable } = &mut self;
        for sign in more.iter_mut().chain(failed).chain(unreadable) {
            sign.value = redact(&sign.value);
        }
        self
    }
}

/// One answer, as the signs are read from it.
pub struct JudgedAnswer<'a> {
    /// Its headers; names in lower case.
    pub headers: &'a [(String, String)],
    /// Its address after redirects.
    pub url: &'a Url,
    /// Its body without the records; none where there is no body to look into.
    pub beside: Option<&'a str>,
    /// The path of its records.
    pub records: &'a [Segment],
    /// How many records it has.
    pub received: u64,
    /// The member that the definition calls an error: others are none then.
    pub error_is_declared: bool,
}

/// What an answer says.
pub fn signs_of(answer: &JudgedAnswer<'_>) -> Signs {
    let mut found = SignSearch {
        answer,
        signs: Signs::default(),
        weak: None,
        failed_flag: None,
        filtered: None,
    };
    found.headers();
    if let Some(beside) = answer.beside.filter(|text| text.len() <= BESIDE_BYTES_MAX) {
        found.root(beside.trim_start());
    }
    found.finish()
}

/// Texts that stand for no value.
fn is_nothing(text: &str) -> bool {
    matches!(
        text.trim().to_ascii_lowercase().as_str(),
        "" | "null" | "none" | "nil" | "false" | "0" | "-1" | "undefined"
    )
}

/// A scalar's text without quotes; none for null, objects and arrays.
fn scalar(raw: &str) -> Option<String> {
    match raw.as_bytes().first()? {
        b'"' => serde_json::from_str(raw).ok(),
        b'{' | b'[' | b'n' => None,
        _ => Some(raw.to_owned()),
    }
}

fn flag(raw: &str) -> Option<bool> {
    match scalar(raw)?.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" => Some(true),
        "false" | "0" | "no" => Some(false),
        _ => None,
    }
}

fn count(raw: &str) -> Option<u64> {
    scalar(raw)?.trim().parse().ok()
}

struct SignSearch<'a> {
    answer: &'a JudgedAnswer<'a>,
    signs: Signs,
    /// A count that may be that of the page.
    weak: Option<Sign>,
    /// A count of what a filter leaves.
    filtered: Option<Sign>,
    /// A flag that says that the request failed: a text beside it says more.
    failed_flag: Option<Sign>,
}

impl SignSearch<'_> {
    fn headers(&mut self) {
        let answer = self.answer;
        let named = |name: &'static str| {
            answer.headers.iter().filter(move |(have, _)| have == name).map(|(_, v)| v.as_str())
        };
        let at = "the header Link".to_owned();
        match next_link(named("link")) {
            LinkNext::None => {}
            LinkNext::At(target) => self.more(at, &target, SignKind::Link),
            LinkNext::Unreadable(value) => {
                let value = excerpt(&value, SHOWN_MAX);
                self.signs.unreadable = Some(Sign { at, value, kind: SignKind::Link });
            }
        }
        // RFC 9110, section 14.4: `bytes` are no records.
        let range = named("content-range").find(|range| !range.trim_start().starts_with("bytes"));
        if let Some(total) = range.and_then(|range| range.rsplit_once('/')?.1.trim().parse().ok()) {
            self.total("the header Content-Range".to_owned(), total);
        }
        for (name, value) in answer.headers {
            let value = value.trim();
            let Some(topic) = header_topic(name).filter(|_| !is_nothing(value)) else { continue };
            let at = format!("the header {}", header_name(name));
            match topic {
                Topic::Next => self.place(at, value),
                Topic::More if flag(value) == Some(true) => self.more(at, value, SignKind::Flag),
                Topic::Total => {
                    if let Ok(total) = value.parse() {
                        self.total(at, total);
                    }
                }
                Topic::Pages => {
                    if let Ok(pages) = value.parse() {
                        self.pages(at, pages);
                    }
                }
                _ => {}
            }
        }
        if let Some(json) = named("x-pagination").find(|text| text.trim_start().starts_with('{')) {
            self.object(json, "the header X-Pagination", None, 1, "pagination");
        }
    }

    /// Looks through the body: an object, or a list that holds one beside the records, as the World
    /// Bank answers.
    fn root(&mut self, beside: &str) {
        match self.answer.records.split_first() {
            Some((Segment::Index(index), rest)) if beside.starts_with('[') => {
                let Ok(Elements(elements)) = Elements::parse(beside) else { return };
                for (at, element) in elements.into_iter().enumerate() {
                    if i64::try_from(at) != Ok(*index) {
                        self.object(element, &format!("$[{at}]"), None, 0, "");
                    } else if element.starts_with('{') {
                        self.object(element, &format!("$[{at}]"), Some(rest), 0, "");
                    }
                }
            }
            _ => self.object(beside, "$", Some(self.answer.records), 0, ""),
        }
    }

    /// Looks through an object. `records` is the rest of the path to the records, where the object
    /// lies on it.
    fn object(
        &mut self,
        text: &str,
        at: &str,
        records: Option<&[Segment]>,
        depth: usize,
        container: &str,
    ) {
        let Ok(Members(members)) = Members::parse(text) else { return };
        for (name, raw) in &members {
            let on_the_way = records.and_then(|path| match path.split_first() {
                Some((Segment::Name(next), rest)) if next == name => Some(rest),
                _ => None,
            });
            let path = under_path(at, name);
            let plain = plain(name);
            if raw.starts_with('{') {
                if let Some(on_the_way) = on_the_way
                    && matches!(on_the_way.first(), Some(Segment::Name(_)))
                    && depth < DEPTH_MAX
                {
                    self.object(raw, &path, Some(on_the_way), depth + 1, &plain);
                } else if on_the_way.is_none() {
                    self.member_object(raw, &path, &plain, depth);
                }
            } else if on_the_way.is_none() {
                let siblings = &members;
                self.member(raw, path, &plain, Place { container, depth, siblings, records });
            }
        }
    }

    /// An object beside the records.
    fn member_object(&mut self, raw: &str, at: &str, plain: &str, depth: usize) {
        match topic(plain) {
            Some(Topic::Next) => {
                // HAL, HubSpot and others: an object that holds the address or the token.
                let Ok(Members(members)) = Members::parse(raw) else { return };
                let value = members.iter().find_map(|(name, raw)| {
                    let value = scalar(raw).filter(|value| !is_nothing(value))?;
                    Some((under_path(at, name), value))
                });
                match value {
                    Some((at, value)) => self.place(at, &value),
                    // DynamoDB: the key of the next record, each value under its type.
                    None if members.iter().any(|(_, raw)| raw.starts_with('{') && *raw != "{}") => {
                        self.more(at.to_owned(), raw, SignKind::Token);
                    }
                    None => {}
                }
                return;
            }
            Some(Topic::Total | Topic::Count) => {
                let Ok(members) = Members::parse(raw) else { return };
                let value = members.get("value").or_else(|| members.get("count"));
                if let Some(total) = value.and_then(count) {
                    self.total(format!("{at}.value"), total);
                }
                return;
            }
            Some(Topic::Failures) => return self.failures(raw, at.to_owned()),
            _ => {}
        }
        if plain == "shards" {
            let failed = Members::parse(raw).ok().and_then(|members| count(members.get("failed")?));
            if let Some(failed) = failed.filter(|failed| *failed > 0) {
                self.failed(format!("{at}.failed"), &failed.to_string());
            }
        } else if is_about_the_answer(plain) && depth < DEPTH_MAX {
            self.object(raw, at, None, depth + 1, plain);
        }
    }

    fn member(&mut self, raw: &str, at: String, plain: &str, place: Place<'_>) {
        if raw.starts_with('[') && matches!(plain, "links" | "link") {
            return self.links(raw, &at);
        }
        let Some(topic) = topic(plain) else { return };
        match topic {
            Topic::More => match flag(raw) {
                Some(true) => self.more(at, raw, SignKind::Flag),
                Some(false) => self.signs.last = true,
                None => {}
            },
            Topic::Last => match flag(raw) {
                // A number under `lastPage` counts pages.
                _ if plain == "lastpage" && raw != "true" && raw != "false" => {
                    if let Some(pages) = count(raw) {
                        self.pages(at, pages);
                    }
                }
                Some(true) => self.signs.last = true,
                Some(false) if raw != "0" => self.more(at, raw, SignKind::Flag),
                _ => {}
            },
            Topic::Next => {
                if let Some(value) = scalar(raw).filter(|value| !is_nothing(value)) {
                    if value == "true" {
                        self.more(at, "true", SignKind::Flag);
                    } else {
                        self.place(at, &value);
                    }
                }
            }
            Topic::Cursor => self.cursor(raw, at, plain, &place),
            Topic::Total => {
                if let Some(total) = count(raw) {
                    self.total(at, total);
                }
            }
            Topic::Filtered => {
                if let Some(total) = count(raw) {
                    let kind = SignKind::Count(total);
                    self.filtered = Some(Sign { at, value: total.to_string(), kind });
                }
            }
            Topic::Left if count(raw).is_some_and(|left| left > 0) => {
                self.more(at, raw, SignKind::Flag);
            }
            Topic::Count => {
                if let Some(count) = count(raw) {
                    self.count(at, count);
                }
            }
            Topic::Pages => {
                if let Some(pages) = count(raw) {
                    self.pages(at, pages);
                }
            }
            Topic::Partial if flag(raw) == Some(true) => self.failed(at, raw),
            Topic::Success if place.is_root() && flag(raw) == Some(false) => {
                let sign = Sign { at, value: raw.to_owned(), kind: SignKind::Failure };
                self.failed_flag.get_or_insert(sign);
            }
            Topic::Failures if place.is_root() => self.failures(raw, at),
            Topic::FailedParts if count(raw).is_some_and(|failed| failed > 0) => {
                self.failed(at, raw);
            }
            Topic::Status if place.is_root() => {
                const BAD: [&str; 6] = ["error", "fail", "failed", "failure", "partial", "ko"];
                let word = scalar(raw).unwrap_or_default().to_ascii_lowercase();
                // Of an object with an id it is the state of what the records belong to.
                let is_entity = place.siblings.iter().any(|(name, _)| name == "id");
                let of_the_answer = !is_entity || self.answer.received == 0 || word == "partial";
                if of_the_answer && BAD.contains(&word.as_str()) {
                    let value = excerpt(raw, SHOWN_MAX);
                    self.failed_flag.get_or_insert(Sign { at, value, kind: SignKind::Failure });
                }
            }
            _ => {}
        }
    }

    /// Names that lead on only where they stand in a place for it.
    fn cursor(&mut self, raw: &str, at: String, plain: &str, place: &Place<'_>) {
        let Some(value) = scalar(raw).filter(|value| !is_nothing(value)) else { return };
        let is_text = raw.starts_with('"');
        let leads_on = match plain {
            // Reddit: beside `before`. Facebook's `cursors` holds both on the last page too.
            "after" => {
                let before = place.siblings.iter().find(|(name, _)| name == "before");
                before.is_some_and(|(_, raw)| {
                    !place.container.contains("cursor") || matches!(*raw, "null" | "\"\"")
                })
            }
            // Airtable: a text that is no number, beside the records.
            "offset" => is_text && value.parse::<i64>().is_err() && place.records.is_some(),
            _ => {
                let asked = self.answer.url.query_pairs().any(|(_, asked)| asked == value);
                let at_records = place.records.is_some() && plain == "cursor";
                is_text
                    && !asked
                    && (at_records || matches!(place.container, "pagination" | "paging"))
            }
        };
        if leads_on {
            self.place(at, &value);
        }
    }

    /// A list of links with relations: FHIR, HATEOAS.
    fn links(&mut self, raw: &str, at: &str) {
        let Ok(Elements(elements)) = Elements::parse(raw) else { return };
        for element in elements {
            let Ok(members) = Members::parse(element) else { continue };
            let text = |name: &str| members.get(name).and_then(scalar);
            let named = |names: &[&'static str]| {
                names.iter().find_map(|name| text(name).map(|value| (*name, value)))
            };
            let (relation_name, relation) = named(&["rel", "relation"]).unwrap_or_default();
            let (target_name, target) = named(&["href", "url", "uri"]).unzip();
            if relation.eq_ignore_ascii_case("next")
                && let Some(target) = target.filter(|target| !is_nothing(target))
            {
                let target_name = target_name.unwrap_or_default();
                let at = format!("{at}[?@.{relation_name} == 'next'].{target_name}");
                self.place(at, &target);
            }
        }
    }

    fn failures(&mut self, raw: &str, at: String) {
        let nothing = match raw.as_bytes().first() {
            Some(b'[') => Elements::parse(raw).is_ok_and(|elements| elements.0.is_empty()),
            Some(b'{') => Members::parse(raw).is_ok_and(|Members(members)| {
                // `{"code": 0, "message": ""}` says that nothing failed.
                members.iter().all(|(name, raw)| {
                    let fine = name == "code" && matches!(*raw, "200" | "\"200\"" | "\"0\"");
                    let empty = matches!(*raw, "null" | "[]" | "{}");
                    fine || empty || scalar(raw).is_some_and(|value| is_nothing(&value))
                })
            }),
            _ => scalar(raw).is_none_or(|value| {
                let lower = value.to_ascii_lowercase();
                is_nothing(&value) || matches!(lower.as_str(), "ok" | "no error" | "success")
            }),
        };
        if !nothing {
            self.failed(at, raw);
        }
    }

    /// The place of the next page.
    fn place(&mut self, at: String, value: &str) {
        let address = is_address(value);
        if address && self.is_this_page(value) {
            return;
        }
        let kind = match value.parse() {
            _ if address => SignKind::Address,
            Ok(number) => SignKind::Number(number),
            Err(_) => SignKind::Token,
        };
        self.more(at, value, kind);
    }

    fn is_this_page(&self, address: &str) -> bool {
        self.answer.url.join(address).is_ok_and(|target| target == *self.answer.url)
    }

    fn more(&mut self, at: String, value: &str, kind: SignKind) {
        if kind == SignKind::Link && self.is_this_page(value) {
            return;
        }
        self.signs.more.push(Sign { at, value: excerpt(value, SHOWN_MAX), kind });
    }

    fn total(&mut self, at: String, total: u64) {
        let sign = Sign { at, value: total.to_string(), kind: SignKind::Count(total) };
        self.signs.total.get_or_insert(sign);
    }

    fn count(&mut self, at: String, count: u64) {
        // The size of a page that was asked for, said again.
        let asked = self.answer.url.query_pairs().any(|(_, value)| value.parse() == Ok(count));
        if !asked {
            let sign = Sign { at, value: count.to_string(), kind: SignKind::Count(count) };
            self.weak.get_or_insert(sign);
        }
    }

    fn pages(&mut self, at: String, pages: u64) {
        let sign = Sign { at, value: pages.to_string(), kind: SignKind::Count(pages) };
        self.signs.pages.get_or_insert(sign);
    }

    fn failed(&mut self, at: String, value: &str) {
        if !self.answer.error_is_declared {
            let sign = Sign { at, value: excerpt(value, 200), kind: SignKind::Failure };
            self.signs.failed.get_or_insert(sign);
        }
    }

    fn finish(mut self) -> Signs {
        // A flag only says that there is more; what leads on can be followed.
        self.signs.more.sort_by_key(|sign| sign.kind == SignKind::Flag);
        // Beside a total, a count is that of the page.
        if self.signs.total.is_none() {
            self.signs.total = self.weak;
        }
        // What a filter leaves is what was asked for.
        self.signs.total = self.filtered.or(self.signs.total);
        if !self.answer.error_is_declared && self.signs.failed.is_none() {
            self.signs.failed = self.failed_flag;
        }
        self.signs
    }
}

/// Where a member stands.
struct Place<'p> {
    container: &'p str,
    depth: usize,
    siblings: &'p [(std::borrow::Cow<'p, str>, &'p str)],
    records: Option<&'p [Segment]>,
}

impl Place<'_> {
    fn is_root(&self) -> bool {
        self.depth == 0
    }
}

/// A JSONPath one step further.
fn under_path(at: &str, name: &str) -> String {
    let simple = name.chars().next().is_some_and(|first| first.is_alphabetic() || first == '_')
        && name.chars().all(|letter| letter.is_alphanumeric() || letter == '_');
    if simple { format!("{at}.{name}") } else { format!("{at}['{name}']") }
}

/// A header's name as it is usually written.
fn header_name(lower: &str) -> String {
    let words = lower.split('-').map(|word| match word {
        "wp" => "WP".to_owned(),
        word => {
            let mut letters = word.chars();
            let first = letters.next().map(|first| first.to_ascii_uppercase());
            first.into_iter().chain(letters).collect()
        }
    });
    words.collect::<Vec<String>>().join("-")
}
