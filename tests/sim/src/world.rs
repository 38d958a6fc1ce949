//! The model API: what is true, who may see it since when, and who changes it meanwhile.

use std::collections::BTreeMap;

use chrono::TimeZone;
use url::Url;

use crate::quirk::{Quirk, Says};
use crate::scenario::{
    Classes, Format, HOUR, Kind, Paging, SECOND, Scenario, Total, instant, once_in,
};

/// A state of a record.
#[derive(Clone, Copy, Debug)]
pub struct Version {
    /// From when on it is served.
    pub visible_at: i64,
    /// What the record says of itself.
    pub updated_at: i64,
    /// Its content.
    pub value: i64,
}

/// A record and all its states.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its key.
    pub id: i64,
    /// Its own time.
    pub at: i64,
    /// Whose it is.
    pub line: usize,
    /// Oldest first.
    pub versions: Vec<Version>,
    /// When it went.
    pub deleted_at: Option<i64>,
}

impl Record {
    /// The number of the state that is served at `now`.
    pub fn visible(&self, now: i64) -> Option<usize> {
        if self.deleted_at.is_some_and(|gone| gone <= now) {
            return None;
        }
        self.versions.iter().rposition(|version| version.visible_at <= now)
    }
}

/// An answer before anything happens to it on its way.
pub struct Answer {
    /// The status.
    pub status: u16,
    /// Headers besides the usual ones.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: String,
}

/// The API.
pub struct World {
    /// What the seed drew.
    pub scenario: Scenario,
    /// Everything that ever was.
    pub records: Vec<Record>,
    /// Draws what happens.
    pub random: fastrand::Rng,
    /// What was on in the storm, also when it is over.
    pub drawn: Classes,
    /// Whether the storm is over.
    pub calm: bool,
    /// Whether an answer was given that the definition is at odds with.
    pub contradicted: bool,
    /// Records that bear another one's key.
    bears: BTreeMap<usize, usize>,
    /// The line that was last said not to be there, by a slip.
    slipped: Option<usize>,
}

/// How long a token lives, milliseconds.
const TOKEN_LIFE: i64 = 30 * 60 * SECOND;

impl World {
    /// A world with a past and a scheduled future.
    pub fn new(scenario: Scenario) -> World {
        let random = fastrand::Rng::with_seed(scenario.seed ^ 0x0dd_ba11);
        let drawn = scenario.classes;
        let mut world = World {
            drawn,
            scenario,
            records: Vec::new(),
            random,
            calm: false,
            contradicted: false,
            bears: BTreeMap::new(),
            slipped: None,
        };
        let many = matches!(world.scenario.quirk, Quirk::CappedTotal { .. });
        for cell in 0..world.scenario.edges.len() - 1 {
            let (start, end) = (world.scenario.edges[cell], world.scenario.edges[cell + 1]);
            let most = if many || world.scenario.cap.is_some() { 14 } else { 7 };
            for _ in 0..world.random.usize(..most) {
                let at = world.time_in(start, end);
                if world.fits_cap(at) {
                    world.schedule(at);
                }
            }
        }
        if let Quirk::RepeatedKeys { across_parents } = world.scenario.quirk {
            world.repeat_keys(across_parents);
        }
        world
    }

    /// Whether one more record of that time leaves each window below the cap, however often it is
    /// halved. An instant that meets the cap by itself is a hole for ever, as it must be: nobody
    /// can tell whether the cap has hidden a record. So are two instants next to each other where
    /// the upper bound is included, since the smallest request is for both.
    fn fits_cap(&self, at: i64) -> bool {
        let Some(cap) = self.scenario.cap else { return true };
        let reach = if self.scenario.upper_closed { self.scenario.tick() } else { 0 };
        let among = |from: i64, to: i64| {
            self.records.iter().filter(|record| (from..=to).contains(&record.at)).count()
        };
        among(at - reach, at).max(among(at, at + reach)) + 1 < cap
    }

    /// Gives some records the key of the one before, with the same times.
    fn repeat_keys(&mut self, across_parents: bool) {
        let mut n = 1;
        while n < self.records.len() {
            if once_in(&mut self.random, 6) {
                let first = self.records[n - 1].clone();
                let record = &mut self.records[n];
                (record.at, record.line) = (first.at, first.line);
                if across_parents {
                    record.line = (first.line + 1) % self.scenario.parents;
                }
                record.versions.clear();
                for (state, version) in first.versions.iter().enumerate() {
                    let value = record.id * 1_000 + state as i64;
                    record.versions.push(Version { value, ..*version });
                }
                self.bears.insert(n, n - 1);
                n += 1;
            }
            n += 1;
        }
    }

    /// The key that a record bears.
    pub fn key_of(&self, record: usize) -> i64 {
        self.records[self.bears.get(&record).copied().unwrap_or(record)].id
    }

    /// Whether another parent has a record of the same key. Where a run has fetched one of the two
    /// parents alone, its record stands, and the next run that fetches both refuses it.
    pub fn is_at_odds(&self, record: usize) -> bool {
        let across = matches!(self.scenario.quirk, Quirk::RepeatedKeys { across_parents: true });
        across && self.shares_key(record)
    }

    fn shares_key(&self, record: usize) -> bool {
        self.bears.iter().any(|(one, other)| *one == record || *other == record)
    }

    /// A time of a window, as a record of this API can have it. Edges are likelier than chance.
    fn time_in(&mut self, start: i64, end: i64) -> i64 {
        let tick = self.scenario.tick();
        let ties = self.scenario.quirk == Quirk::Ties;
        let at = match self.random.u32(..8) {
            0 => start,
            2..6 if ties => start + (end - start) / 2,
            1 => end - tick,
            _ => self.random.i64(start..end),
        };
        if self.scenario.format == Format::Date {
            let date = self.scenario.date(at);
            let local = date.and_hms_opt(0, 0, 0).expect("midnight");
            let zone = self.scenario.zone;
            let midnight = zone.from_local_datetime(&local).earliest().expect("midnight is there");
            return midnight.timestamp_millis().max(start);
        }
        (at - at.rem_euclid(tick)).max(start)
    }

    /// A record with its states, none of them too late to be caught.
    fn schedule(&mut self, at: i64) {
        let deadline = match self.scenario.kind {
            Kind::Window => self.scenario.deadline(at),
            _ => at + 48 * HOUR,
        };
        let mut visible_at = at + self.random.i64(0..SECOND);
        if deadline > visible_at && once_in(&mut self.random, 3) {
            visible_at = self.random.i64(visible_at..=deadline);
        }
        let visible_at = visible_at.min(deadline.max(at));
        self.add(at, visible_at);
        while once_in(&mut self.random, 3) {
            let last = self.records.last().expect("one was just added");
            let after = last.versions.last().expect("each has one").visible_at;
            if after >= deadline {
                break;
            }
            let visible_at = self.random.i64(after + 1..=deadline);
            let record = self.records.len() - 1;
            self.change(record, visible_at);
        }
    }

    fn add(&mut self, at: i64, visible_at: i64) {
        let id = self.records.len() as i64 + 1;
        let absent = usize::from(self.scenario.missing_parent().is_some());
        let line = absent + self.random.usize(..self.scenario.parents.max(1) - absent);
        let record = Record { id, at, line, versions: Vec::new(), deleted_at: None };
        self.records.push(record);
        self.change(self.records.len() - 1, visible_at);
    }

    fn change(&mut self, record: usize, visible_at: i64) {
        // A cursor API shows a change some time after the moment that it is dated.
        let lag = match self.scenario.kind {
            Kind::Cursor if self.scenario.overlap_hours > 0 => {
                self.random.i64(0..self.scenario.overlap_hours * HOUR / 2)
            }
            _ => 0,
        };
        let record = &mut self.records[record];
        let before = record.versions.last().map_or(i64::MIN, |version| version.updated_at);
        let updated_at = (visible_at - lag).max(before + 1);
        let value = record.id * 1_000 + record.versions.len() as i64;
        record.versions.push(Version { visible_at, updated_at, value });
    }

    /// When the last change that is on its way is there.
    pub fn calm_at(&self) -> i64 {
        let versions = self.records.iter().flat_map(|record| &record.versions);
        versions.map(|version| version.visible_at).max().unwrap_or(i64::MIN)
    }

    /// Somebody else is at work while pages are read.
    pub fn churn(&mut self, now: i64) {
        let classes = self.scenario.classes;
        if classes.churn && once_in(&mut self.random, 3) {
            let alive: Vec<usize> = (0..self.records.len())
                .filter(|n| {
                    let record = &self.records[*n];
                    let late = self.scenario.kind == Kind::Window
                        && self.scenario.deadline(record.at) < now;
                    let last = record.versions.last().expect("each has one").visible_at;
                    record.visible(now).is_some() && !late && last < now && !self.shares_key(*n)
                })
                .collect();
            if self.random.bool() && !alive.is_empty() {
                let record = alive[self.random.usize(..alive.len())];
                self.change(record, now);
            } else if let Some((start, end)) = self.scenario.cell(now) {
                let at = self.time_in(start, end.min(now + 1).max(start + 1)).min(now);
                self.add(at, now);
            }
        }
        if classes.deletions && once_in(&mut self.random, 6) {
            let alive: Vec<usize> = (0..self.records.len())
                .filter(|n| self.records[*n].visible(now).is_some())
                .collect();
            if !alive.is_empty() {
                let record = alive[self.random.usize(..alive.len())];
                self.records[record].deleted_at = Some(now);
            }
        }
    }

    /// Answers a request as a healthy API does.
    pub fn answer(&mut self, url: &Url, now: i64) -> Answer {
        let asked: BTreeMap<String, String> =
            url.query_pairs().map(|(k, v)| (k.into_owned(), v.into_owned())).collect();
        if let Some(refusal) = self.refuse_line(url, &asked) {
            return refusal;
        }
        match url.path() {
            "/v1/lines" => {
                let lines = (0..self.scenario.parents).map(|n| format!("{{\"line\":\"L{n}\"}}"));
                ok(format!("{{\"data\":[{}]}}", lines.collect::<Vec<_>>().join(",")))
            }
            "/v1/count" => match self.select(&asked, now) {
                Ok(found) => ok(format!("{{\"count\":{}}}", found.len())),
                Err(refusal) => refusal,
            },
            "/v1/records" => match self.select(&asked, now) {
                Ok(found) => self.page(url, &asked, &found, now),
                Err(refusal) => refusal,
            },
            _ => refusal(404, "no such path"),
        }
    }

    /// What a parent without a part in the stream is answered, and any other one by a slip.
    fn refuse_line(&mut self, url: &Url, asked: &BTreeMap<String, String>) -> Option<Answer> {
        let Quirk::MissingParent { status, declared } = self.scenario.quirk else { return None };
        if url.path() == "/v1/lines" {
            return None;
        }
        let line = asked.get("line").and_then(|line| line.strip_prefix('L')?.parse().ok())?;
        if Some(line) == self.scenario.missing_parent() {
            self.contradicted |= !declared;
            return Some(refusal(status, "no part in this"));
        }
        let slipped = std::mem::take(&mut self.slipped);
        if !self.calm && slipped != Some(line) && once_in(&mut self.random, 12) {
            self.slipped = Some(line);
            return Some(refusal(status, "no part in this"));
        }
        None
    }

    /// The records that a request is about, sorted; the sort key, the record, its state.
    fn select(
        &mut self,
        asked: &BTreeMap<String, String>,
        now: i64,
    ) -> Result<Vec<(i64, usize, usize)>, Answer> {
        let line = asked.get("line").and_then(|line| line.strip_prefix('L')?.parse().ok());
        let range = self.range(asked)?;
        let mut found = Vec::new();
        for (n, record) in self.records.iter().enumerate() {
            let Some(state) = record.visible(now) else { continue };
            if self.scenario.parents > 0 && line != Some(record.line) {
                continue;
            }
            let updated_at = record.versions[state].updated_at;
            let (key, inside) = match self.scenario.kind {
                Kind::Window => (record.at, range(record.at)),
                Kind::Cursor => (updated_at, range(updated_at)),
                Kind::Snapshot if self.scenario.quirk == Quirk::Ties => (record.at, true),
                Kind::Snapshot => (record.id, true),
            };
            let key = if self.scenario.paging == Paging::LastId { record.id } else { key };
            if inside {
                found.push((key, n, state));
            }
        }
        let ties = self.scenario.quirk == Quirk::Ties;
        if ties && found.len() > self.scenario.given_size() {
            found.sort_unstable();
            self.contradicted |= found.windows(2).any(|pair| pair[0].0 == pair[1].0);
        }
        if ties || self.scenario.classes.ties {
            self.random.shuffle(&mut found);
            found.sort_by_key(|(key, ..)| *key);
        } else {
            found.sort_unstable();
        }
        if let Some(cap) = self.scenario.cap {
            found.truncate(cap);
        }
        Ok(found)
    }

    /// What the API makes of the bounds.
    fn range(&self, asked: &BTreeMap<String, String>) -> Result<Box<dyn Fn(i64) -> bool>, Answer> {
        let read = |name: &str| -> Result<i64, Answer> {
            let text = asked.get(name).ok_or_else(|| refusal(400, "a bound is missing"))?;
            self.read_time(text).ok_or_else(|| refusal(400, "a bound is no time"))
        };
        Ok(match self.scenario.kind {
            Kind::Snapshot => Box::new(|_| true),
            Kind::Cursor => {
                let since = match self.scenario.integer_marks {
                    false => read("since")?,
                    true => asked
                        .get("since")
                        .and_then(|text| text.parse().ok())
                        .ok_or_else(|| refusal(400, "the mark is no number"))?,
                };
                Box::new(move |at| at >= since)
            }
            Kind::Window => {
                let (from, to) = (read("from")?, read("to")?);
                let most = self.scenario.span_hours() * HOUR + HOUR + 2 * self.scenario.tick();
                if self.scenario.short_ranges && to - from > most {
                    return Err(refusal(400, "the range is too long"));
                }
                let (lower, upper) = (self.scenario.lower_closed, self.scenario.upper_closed);
                Box::new(move |at| {
                    (if lower { at >= from } else { at > from })
                        && (if upper { at <= to } else { at < to })
                })
            }
        })
    }

    fn read_time(&self, text: &str) -> Option<i64> {
        match self.scenario.format {
            Format::Date => {
                let date = chrono::NaiveDate::parse_from_str(text, "%Y-%m-%d").ok()?;
                let local = date.and_hms_opt(0, 0, 0)?;
                let at = self.scenario.zone.from_local_datetime(&local).earliest()?;
                Some(at.timestamp_millis())
            }
            Format::Rfc3339 => {
                Some(chrono::DateTime::parse_from_rfc3339(text).ok()?.timestamp_millis())
            }
            Format::Unix => Some(text.parse::<i64>().ok()? * SECOND),
            Format::UnixMillis => text.parse().ok(),
        }
    }

    /// A time as a record of this API says it.
    fn write_time(&self, at: i64) -> String {
        match self.scenario.format {
            Format::Date => self.scenario.date(at).to_string(),
            _ if self.scenario.quirk == Quirk::LocalTimes => {
                let local = instant(at).with_timezone(&self.scenario.zone);
                local.format("%Y-%m-%dT%H:%M:%S%.3f").to_string()
            }
            _ => stamp(at),
        }
    }

    fn json(&self, record: usize, state: usize) -> String {
        let id = self.key_of(record);
        let record = &self.records[record];
        let version = &record.versions[state];
        let seq = match self.scenario.integer_marks {
            true => format!(",\"seq\":{}", version.updated_at),
            false => String::new(),
        };
        format!(
            r#"{{"id":{},"at":"{}","value":{},"updated_at":"{}"{seq}}}"#,
            id,
            self.write_time(record.at),
            version.value,
            stamp(version.updated_at)
        )
    }

    /// Everything that was said of all records until `now`, in the order in which it was said, as
    /// a script that only inserts has it; and how many records that are.
    pub fn said_until(&self, now: i64) -> (Vec<String>, u64) {
        let (mut said, mut records) = (Vec::new(), 0);
        for (n, record) in self.records.iter().enumerate() {
            let Some(last) = record.visible(now) else { continue };
            records += 1;
            said.extend((0..=last).map(|state| self.json(n, state)));
            said.push(self.json(n, last));
        }
        (said, records)
    }

    fn page(
        &mut self,
        url: &Url,
        asked: &BTreeMap<String, String>,
        found: &[(i64, usize, usize)],
        now: i64,
    ) -> Answer {
        if let Some(nothing) = self.say_nothing(found) {
            return nothing;
        }
        if self.scenario.quirk == Quirk::FilteredPages {
            return self.filtered_page(url, asked, found, now);
        }
        let size = self.scenario.given_size();
        let number = |name: &str| asked.get(name).and_then(|text| text.parse::<usize>().ok());
        let from = match self.scenario.paging {
            Paging::None => 0,
            Paging::Page => (number("page").unwrap_or(1).max(1) - 1) * size,
            Paging::Offset => number("offset").unwrap_or(0),
            Paging::LastId => {
                let after = asked.get("after").and_then(|text| text.parse().ok()).unwrap_or(0);
                found.partition_point(|(key, ..)| *key <= after)
            }
            _ => match asked.get("cursor") {
                None => 0,
                Some(token) => match read_token(token) {
                    Some((issued, _, _)) if self.is_dead(issued, now) => {
                        return refusal(410, "this token has expired");
                    }
                    Some((_, key, id)) => {
                        found.partition_point(|(k, n, _)| (*k, self.records[*n].id) <= (key, id))
                    }
                    None => return refusal(400, "no such token"),
                },
            },
        };
        let from = from.min(found.len());
        let unpaged = self.scenario.paging == Paging::None;
        let mut to = if unpaged { found.len() } else { (from + size).min(found.len()) };
        if self.scenario.classes.empty_pages && from < found.len() && once_in(&mut self.random, 4) {
            to = from;
        }
        self.notice_keys(&found[..to]);
        let mut data: Vec<String> =
            found[from..to].iter().map(|(_, n, state)| self.json(*n, *state)).collect();
        if self.scenario.classes.resends {
            // Also of records that came on an earlier page.
            for (_, n, state) in &found[..to] {
                if *state > 0 && once_in(&mut self.random, 3) {
                    let older = self.random.usize(..*state);
                    let old = self.json(*n, older);
                    let place = self.random.usize(..=data.len());
                    data.insert(place, old);
                }
            }
        }
        self.finish_page(url, found, (to, to < found.len()), data, now)
    }

    fn is_dead(&mut self, issued: i64, now: i64) -> bool {
        let tokens = self.scenario.classes.tokens;
        tokens && (now - issued > TOKEN_LIFE || once_in(&mut self.random, 12))
    }

    fn finish_page(
        &mut self,
        url: &Url,
        found: &[(i64, usize, usize)],
        (to, more): (usize, bool),
        mut data: Vec<String>,
        now: i64,
    ) -> Answer {
        let token = more.then(|| {
            let (key, id) = match to.checked_sub(1).filter(|_| to > 0) {
                Some(last) => (found[last].0, self.records[found[last].1].id),
                None => (i64::MIN, 0),
            };
            // Never the same text twice: an empty page goes on from where it was.
            format!("{now}_{key}_{id}_{}", self.random.u32(..))
        });
        let mut next = url.clone();
        if let Some(token) = &token {
            let kept: Vec<(String, String)> = url
                .query_pairs()
                .filter(|(name, _)| name != "cursor" && name != "api_key")
                .map(|(name, value)| (name.into_owned(), value.into_owned()))
                .collect();
            next.query_pairs_mut().clear().extend_pairs(kept).append_pair("cursor", token);
        }
        if let Quirk::Unfollowed { says, .. } = self.scenario.quirk {
            self.contradicted |= more;
            return self.say_once(says, found.len(), more.then_some((&next, token)), &data);
        }
        let mut headers = Vec::new();
        let said = match (self.scenario.paging, &token) {
            (Paging::Link, Some(_)) => {
                headers.push(("link".to_owned(), format!("<{next}>; rel=\"next\"")));
                "null".to_owned()
            }
            (Paging::HeaderToken, Some(token)) => {
                headers.push(("x-next".to_owned(), token.clone()));
                "null".to_owned()
            }
            (Paging::NextUrl, Some(_)) => format!("\"{next}\""),
            (Paging::Token, Some(token)) => format!("\"{token}\""),
            _ => "null".to_owned(),
        };
        let mut total = found.len();
        if let Quirk::CappedTotal { most, declared } = self.scenario.quirk {
            self.contradicted |= !declared && total > most;
            total = total.min(most);
        }
        let failed = self.fail_in_part(&mut data);
        headers.push(("x-total".to_owned(), total.to_string()));
        let data = match &*data {
            [record] if self.scenario.quirk == Quirk::SingleObject => record.clone(),
            records => format!("[{}]", records.join(",")),
        };
        let body =
            format!(r#"{{"data":{data},"next":{said},"total":{total},"more":{more}{failed}}}"#);
        Answer { status: 200, headers, body }
    }
}

/// What is not plain about the answers.
impl World {
    /// The answer where there is no data.
    fn say_nothing(&mut self, found: &[(i64, usize, usize)]) -> Option<Answer> {
        let Quirk::EmptyStatus { status, declared } = self.scenario.quirk else { return None };
        if found.is_empty() {
            let counted = matches!(self.scenario.total, Total::Body | Total::Header);
            self.contradicted |= !declared && (status == 404 || counted);
            return Some(match status {
                204 => Answer { status, headers: Vec::new(), body: String::new() },
                _ => refusal(status, "no data"),
            });
        }
        // A slip, which no definition takes for an answer.
        let slips = !self.calm && status == 404 && once_in(&mut self.random, 12);
        slips.then(|| refusal(404, "no such route"))
    }

    /// A page of places, some of which a filter leaves empty.
    fn filtered_page(
        &mut self,
        url: &Url,
        asked: &BTreeMap<String, String>,
        found: &[(i64, usize, usize)],
        now: i64,
    ) -> Answer {
        let mut places = Vec::new();
        for entry in found {
            // Never two in a row, so that no page is empty.
            if self.records[entry.1].id % 3 == 0 {
                places.push(None);
            }
            places.push(Some(*entry));
        }
        let size = self.scenario.page_size;
        let page = asked.get("page").and_then(|text| text.parse::<usize>().ok()).unwrap_or(1);
        let from = ((page.max(1) - 1) * size).min(places.len());
        let to = (from + size).min(places.len());
        let given = places[from..to].iter().flatten();
        let data = given.map(|(_, n, state)| self.json(*n, *state)).collect();
        self.finish_page(url, found, (0, to < places.len()), data, now)
    }

    /// Two records with one key in one answer, or in those of two parents.
    fn notice_keys(&mut self, given: &[(i64, usize, usize)]) {
        let Quirk::RepeatedKeys { across_parents } = self.scenario.quirk else { return };
        let has = |n: &usize| given.iter().any(|(_, given, _)| given == n);
        let both = self.bears.iter().any(|(one, other)| match across_parents {
            true => has(one) || has(other),
            false => has(one) && has(other),
        });
        self.contradicted |= both;
    }

    /// Leaves records out, while there are faults, and says so.
    fn fail_in_part(&mut self, data: &mut Vec<String>) -> &'static str {
        let Quirk::PartialFailures(failure) = self.scenario.quirk else { return "" };
        if self.calm || !once_in(&mut self.random, 4) {
            return "";
        }
        data.retain(|_| self.random.bool());
        failure.member()
    }

    /// An answer that says in one way alone that there is more.
    fn say_once(
        &self,
        says: Says,
        total: usize,
        more: Option<(&Url, Option<String>)>,
        data: &[String],
    ) -> Answer {
        let (mut headers, mut member) = (Vec::new(), String::new());
        let next = more.as_ref().map(|(next, _)| next);
        match says {
            Says::Link | Says::QuotedLink => {
                let quote = if says == Says::Link { '"' } else { '\'' };
                let link = next.map(|next| format!("<{next}>; rel={quote}next{quote}"));
                headers.extend(link.map(|link| ("link".to_owned(), link)));
            }
            Says::Token => {
                let token = more.and_then(|(_, token)| token);
                let token = token.map_or("null".to_owned(), |token| format!("\"{token}\""));
                member = format!(r#","next_cursor":{token}"#);
            }
            Says::Address => {
                let next = next.map_or("null".to_owned(), |next| format!("\"{next}\""));
                member = format!(r#","next":{next}"#);
            }
            Says::Flag => member = format!(r#","has_more":{}"#, more.is_some()),
            Says::Total => member = format!(r#","total_count":{total}"#),
            Says::TotalHeader => headers.push(("x-total-count".to_owned(), total.to_string())),
            Says::Pages => {
                let pages = total.div_ceil(self.scenario.given_size());
                member = format!(r#","total_pages":{pages}"#);
            }
        }
        let body = format!(r#"{{"data":[{}]{member}}}"#, data.join(","));
        Answer { status: 200, headers, body }
    }
}

fn read_token(token: &str) -> Option<(i64, i64, i64)> {
    let mut parts = token.split('_').map(str::parse::<i64>);
    Some((parts.next()?.ok()?, parts.next()?.ok()?, parts.next()?.ok()?))
}

fn stamp(at: i64) -> String {
    instant(at).to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

fn ok(body: String) -> Answer {
    Answer { status: 200, headers: Vec::new(), body }
}

fn refusal(status: u16, why: &str) -> Answer {
    Answer { status, headers: Vec::new(), body: format!("{{\"message\":\"{why}\"}}") }
}
